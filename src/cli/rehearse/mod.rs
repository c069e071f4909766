//! `runbook rehearse FILE`: the scenarios that lie beside a runbook, in simulated time.
//!
//! The account is data and goes to stdout: a scenario's steps as they end, with simulated times, then
//! its counts and what does not hold. Of a folder or several runbooks there is a table instead ([`many`]).
//! Wiring and layout; what happens is `rehearsal`'s.

mod account;
mod many;

use std::path::{Path, PathBuf};
use std::time::Instant;

use jiff::Timestamp;
use serde::Serialize;
use tokio::runtime::Builder;

use super::{Exit, Output};
use crate::diagnostic::{Diagnostic, Kind};
use crate::journal::Holder;
use crate::record::Through;
use crate::rehearsal::{Impossible, Rehearsal, Rehearsed, Rehearsing, rehearse};
use crate::report::{Ending, QuestionReport, Report, StepReport};
use crate::run::Operator;
use crate::run::begin::Unplanned;
use crate::runbook::Runbook;
use crate::ui::{Style, TerminalOperator, Text, Tone, Ui, count};
use account::Account;

/// Rehearse runbooks against a simulated service: hours pass in moments.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A runbook; or several, or folders: every scenario of every runbook in them, many at once.
    #[arg(value_name = "FILE|DIR", required = true)]
    pub files: Vec<PathBuf>,
    /// Its rehearsal; without it, NAME.rehearsal.yaml beside the runbook.
    #[arg(long, value_name = "FILE")]
    pub rehearsal: Option<PathBuf>,
    /// Only this scenario; repeatable.
    #[arg(long, value_name = "NAME")]
    pub scenario: Vec<String>,
    /// Scenarios that are rehearsed at once, of a folder or several runbooks; else one a core.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub jobs: Option<u16>,
    /// Another seed than the scenarios' own.
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Ask at the terminal, as in earnest, instead of taking the scenarios' answers.
    #[arg(long)]
    pub interactive: bool,
}

/// Exit 0 where every expectation holds, 1 where one does not, 2 where a file is invalid.
pub fn run(arguments: &Arguments, ui: &Ui, output: Output) -> Exit {
    match arguments.files.as_slice() {
        [file] if !file.is_dir() => one(arguments, file, ui, output),
        _ => many::run(arguments, ui, output),
    }
}

fn one(arguments: &Arguments, file: &Path, ui: &Ui, output: Output) -> Exit {
    let (runbook, rehearsal) = match load(file, arguments.rehearsal.as_deref()) {
        Ok(files) => files,
        Err(problems) => return super::invalid(&problems, ui, output),
    };
    let names = match chosen(&rehearsal, &arguments.scenario) {
        Ok(names) => names,
        Err(problems) => return super::invalid(&problems, ui, output),
    };
    let problems = parameter_problems(&runbook, &rehearsal, &names);
    if !problems.is_empty() {
        return super::invalid(&problems, ui, output);
    }
    if arguments.interactive && !ui.is_interactive() {
        ui.error("--interactive asks at a terminal, and there is none", None);
        return Exit::Invalid;
    }
    let mut told = Vec::new();
    for name in names {
        let scenario = Telling {
            seed: arguments.seed,
            interactive: arguments.interactive,
            runbook: &runbook,
            rehearsal: &rehearsal,
            name,
            ui,
            output,
        };
        match scenario.tell() {
            Ok(one) => told.push(one),
            Err(exit) => return exit,
        }
    }
    end(file, &told, ui, output)
}

/// Reads a runbook and the rehearsal beside it.
///
/// # Errors
/// The problems of both files.
pub fn load(
    runbook: &Path,
    rehearsal: Option<&Path>,
) -> Result<(Runbook, Rehearsal), Vec<Diagnostic>> {
    let beside = runbook.with_extension("rehearsal.yaml");
    let rehearsal = rehearsal.unwrap_or(&beside);
    let read = |path: &Path| super::read(path).map_err(|problem| vec![problem]);
    // Where there is no runbook, nothing need be said of its rehearsal.
    let bytes = read(runbook)?;
    let first = Runbook::parse(&runbook.display().to_string(), &bytes);
    let second = read(rehearsal)
        .and_then(|bytes| Rehearsal::parse(&rehearsal.display().to_string(), &bytes));
    match (first, second) {
        (Ok(first), Ok(second)) => Ok((first, second)),
        (first, second) => {
            let mut problems = first.err().unwrap_or_default();
            problems.extend(second.err().unwrap_or_default());
            Err(problems)
        }
    }
}

/// The scenarios that were asked for, in the file's order; all of them where none was named.
fn chosen<'a>(
    rehearsal: &'a Rehearsal,
    wanted: &[String],
) -> Result<Vec<&'a str>, Vec<Diagnostic>> {
    let known = || rehearsal.scenarios.keys().map(String::as_str);
    let problems: Vec<Diagnostic> = wanted
        .iter()
        .filter(|name| !rehearsal.scenarios.contains_key(*name))
        .map(|name| unknown_scenario(rehearsal, name))
        .collect();
    if !problems.is_empty() {
        return Err(problems);
    }
    if rehearsal.scenarios.is_empty() {
        return Err(vec![Diagnostic::plain(
            Kind::Name,
            "the rehearsal has no scenario",
        )]);
    }
    Ok(known()
        .filter(|name| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name))
        .collect())
}

/// What is wrong with a scenario's name.
pub fn unknown_scenario(rehearsal: &Rehearsal, name: &str) -> Diagnostic {
    let known: Vec<&str> = rehearsal.scenarios.keys().map(String::as_str).collect();
    Diagnostic::plain(Kind::Name, format!("there is no scenario `{name}`"))
        .expected(format!("one of {}", known.join(", ")))
        .near(name, known.iter().copied())
}

/// What is wrong with the parameters of these scenarios, each problem once.
fn parameter_problems(runbook: &Runbook, rehearsal: &Rehearsal, names: &[&str]) -> Vec<Diagnostic> {
    let mut problems: Vec<Diagnostic> = Vec::new();
    for name in names {
        let input = rehearsal.parameters(&rehearsal.scenarios[*name]);
        for problem in runbook.resolve_parameters(&input).err().unwrap_or_default() {
            if !problems
                .iter()
                .any(|known| known.message == problem.message)
            {
                problems.push(problem.note(format!("in scenario `{name}`")));
            }
        }
    }
    problems
}

/// One scenario, about to be told.
struct Telling<'a> {
    seed: Option<u64>,
    interactive: bool,
    runbook: &'a Runbook,
    rehearsal: &'a Rehearsal,
    name: &'a str,
    ui: &'a Ui,
    output: Output,
}

impl Telling<'_> {
    fn tell(&self) -> Result<Told, Exit> {
        let title = self.rehearsal.scenarios[self.name].title.clone();
        let mut account = Account::new(self.ui.clone(), self.output == Output::Text);
        account.heading(self.name, title.as_deref());
        let began = Instant::now();
        let outcome = self.rehearse(&mut account)?;
        account.clear();
        if outcome
            .as_ref()
            .is_ok_and(|done| done.exits.last() == Some(&130))
        {
            self.ui.error("interrupted", None);
            return Err(Exit::Interrupted);
        }
        let told = Told::of(self.name, title, outcome, account.report());
        account.ending(&told, began.elapsed());
        if account.is_closed() {
            return Err(Exit::Failed);
        }
        Ok(told)
    }

    fn rehearse(&self, account: &mut Account) -> Result<Result<Rehearsed, Impossible>, Exit> {
        let terminal = self.interactive.then(|| {
            TerminalOperator::new(self.ui.clone(), Holder::here().witness(Through::Terminal))
        });
        let rehearsing = Rehearsing {
            runbook: self.runbook,
            rehearsal: self.rehearsal,
            name: self.name,
            seed: self.seed,
            operator: terminal.as_ref().map(|terminal| terminal as &dyn Operator),
            display: account,
            kill: None,
        };
        in_simulated_time(rehearsing).map_err(|error| {
            self.ui.error(&format!("cannot start: {error}"), None);
            Exit::Failed
        })
    }
}

/// On a runtime of its own, whose clock is paused: it jumps to the next timer when nothing can run.
fn in_simulated_time(rehearsing: Rehearsing<'_>) -> std::io::Result<Result<Rehearsed, Impossible>> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()?;
    let outcome = runtime.block_on(rehearse(rehearsing));
    runtime.shutdown_background();
    Ok(outcome)
}

/// A scenario that took place, or could not.
#[derive(Debug, Serialize)]
struct Told {
    /// Its name.
    scenario: String,
    /// What happens in it.
    title: Option<String>,
    /// Whether every expectation holds.
    ok: bool,
    /// Expectations that do not hold, in words.
    failures: Vec<String>,
    /// Exit codes of `exec` and of each `resume`; a kill is 137.
    exits: Vec<u8>,
    /// What `notify` would have been told: the event, and the program. Nothing was run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notified: Vec<String>,
    /// Writes that reached the simulated service.
    writes: usize,
    /// Seconds of simulated time.
    simulated_seconds: f64,
    /// As in `show --output json`.
    ending: Ending,
    /// As in `show --output json`.
    steps: Vec<StepReport>,
    /// As in `show --output json`.
    questions: Vec<QuestionReport>,
}

impl Told {
    fn of(
        name: &str,
        title: Option<String>,
        outcome: Result<Rehearsed, Impossible>,
        report: &Report,
    ) -> Self {
        let (failures, exits, writes, notified) = match outcome {
            Ok(done) => (done.failures, done.exits, done.writes, done.told),
            Err(impossible) => (why(impossible), Vec::new(), 0, Vec::new()),
        };
        let passed = |end: Timestamp| report.run.opened.map(|begin| end.duration_since(begin));
        Self {
            scenario: name.to_owned(),
            title,
            ok: failures.is_empty(),
            failures,
            exits,
            notified,
            writes,
            simulated_seconds: report
                .last
                .and_then(passed)
                .map_or(0.0, |passed| passed.as_secs_f64()),
            ending: report.ending.clone(),
            steps: report.steps.clone(),
            questions: report.questions.clone(),
        }
    }
}

/// Why a scenario did not take place.
fn why(impossible: Impossible) -> Vec<String> {
    match impossible {
        Impossible::Parameters(problems) => problems
            .into_iter()
            .map(|problem| problem.message)
            .collect(),
        Impossible::World(text) => text
            .lines()
            .map(|line| format!("the world does not hold together: {line}"))
            .collect(),
        Impossible::Unplanned(Unplanned::Expression(text)) => {
            vec![format!("there is no plan: {text}")]
        }
        Impossible::Unplanned(Unplanned::Check(checks)) => checks
            .into_iter()
            .map(|check| format!("there is no plan, a check does not hold: {check}"))
            .collect(),
        Impossible::Unplanned(Unplanned::Guards(problems)) => problems
            .into_iter()
            .map(|problem| {
                let line = problem.position.map_or(0, |position| position.line);
                format!("there is no plan: {} (line {line})", problem.message)
            })
            .collect(),
        Impossible::Unplanned(Unplanned::Service(problem)) => {
            vec![format!("there is no plan: {}", problem.message)]
        }
        Impossible::Other(text) => vec![text],
    }
}

/// What `--output json` holds. Fields are only ever added.
#[derive(Serialize)]
struct Document<'a> {
    /// `rehearsed/v1`
    schema: &'static str,
    /// The runbook.
    file: String,
    ok: bool,
    scenarios: &'a [Told],
}

/// The last line, and the exit code.
fn end(file: &Path, told: &[Told], ui: &Ui, output: Output) -> Exit {
    let failed: Vec<&str> = told
        .iter()
        .filter(|one| !one.ok)
        .map(|one| one.scenario.as_str())
        .collect();
    let printed = match output {
        Output::Json => {
            let document = Document {
                schema: "rehearsed/v1",
                file: file.display().to_string(),
                ok: failed.is_empty(),
                scenarios: told,
            };
            serde_json::to_value(&document)
                .map_err(std::io::Error::from)
                .and_then(|value| super::print_json(ui, &value))
        }
        Output::Text => ui.data(&verdict(told.len(), &failed, ui.out_style())),
    };
    match printed {
        Ok(()) if failed.is_empty() => Exit::Done,
        Ok(()) => Exit::Failed,
        Err(error) => {
            ui.error(&format!("cannot write to stdout: {error}"), None);
            Exit::Failed
        }
    }
}

fn verdict(all: usize, failed: &[&str], style: Style) -> String {
    let mut text = Text::new(style);
    let scenarios = count(all as u64, "scenario");
    match failed {
        [] => text.line(Tone::Good, &format!("{scenarios}: all ok")),
        failed => {
            let names = failed.join(", ");
            let line = format!("{scenarios}: {} FAILED ({names})", failed.len());
            text.line(Tone::Bad, &line);
        }
    }
    text.into_string()
}

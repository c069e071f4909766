//! What `exec`, `resume`, `plan` and `explain` have in common: flags, parameters, the connection, the
//! survey, signals, and a run with its ending.
//!
//! Wiring: each function says on the terminal what went wrong and gives back the [`Exit`] that follows.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use jiff::Timestamp;
use rustix::process::getpid;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::unbounded_channel;
use uuid::Uuid;

use super::parameters::ParameterFlags;
use super::{Exit, Output, extension};
use crate::action::World;
use crate::action::survey::survey as survey_service;
use crate::action::{command, lease};
use crate::api::{Bound, Feed, Own, Runs, Server};
use crate::connection::{Access, ConnectProblem, Connection, ConnectionArgs, Effective, Settings};
use crate::desk::{Desk, Together};
use crate::diagnostic::{Diagnostic, Kind};
use crate::journal::{self, Holder, Journal, JournalError};
use crate::plan::Survey;
use crate::record::{Flags, Record, RunId, Through};
use crate::report::{Located, LockPlan, holder_lines, shell_word, unlock_line, write_json};
use crate::run::kill::KillSwitch;
use crate::run::{Broken, Display, Interrupts, Loop, Operator, Progress, Stop, begin};
use crate::runbook::{
    ParameterInput, ParameterType, Parameters, Runbook, Scope, StepBody, outputs,
};
use crate::steps::notice::Whereabouts;
use crate::steps::{Finish, Machine};
use crate::temporal::Temporal;
use crate::ui::{Asked, BEAT, LiveDisplay, Pulse, TerminalOperator, Tone, Ui};

/// What steers a run; recorded with each attachment.
#[derive(Clone, Debug, Default, Args)]
pub struct Steering {
    /// Answer yes to ordinary questions, and to extensions up to twice the plan's count
    #[arg(long)]
    pub yes: bool,
    /// The word that a step wants typed; repeatable
    #[arg(long, value_name = "STEP=WORD")]
    pub confirm: Vec<String>,
    /// Fill in a field of a manual task's form; repeatable
    #[arg(long, value_name = "STEP.FIELD=VALUE")]
    pub answer: Vec<String>,
    /// Park after this step
    #[arg(long, value_name = "STEP")]
    pub until: Option<String>,
    /// Leave the Workflows of this row alone; repeatable
    #[arg(long, value_name = "ROW")]
    pub skip_row: Vec<String>,
    /// Write to at most so many Workflows, then park
    #[arg(long, value_name = "N")]
    pub limit: Option<u64>,
    /// Writes a second, at most; wins over the runbook's `pace`
    #[arg(long, value_name = "N", value_parser = rate)]
    pub rate: Option<f64>,
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate.is_finite() && rate > 0.0 => Ok(rate),
        _ => Err("expected a number above 0".to_owned()),
    }
}

impl Steering {
    /// As the journal keeps it.
    ///
    /// # Errors
    /// Every step and row that the runbook does not have.
    pub fn flags(&self, runbook: &Runbook) -> Result<Flags, Vec<Diagnostic>> {
        let names = Names::of(runbook);
        let mut problems = Vec::new();
        let mut confirm = BTreeMap::new();
        for given in &self.confirm {
            let Some((step, word)) = given.split_once('=') else {
                let message = format!("`--confirm {given}` names no word");
                problems.push(
                    Diagnostic::plain(Kind::Usage, message).expected("`--confirm STEP=WORD`"),
                );
                continue;
            };
            problems.extend(names.step("--confirm", step));
            confirm.insert(step.to_owned(), word.to_owned());
        }
        problems.extend(
            self.until
                .iter()
                .filter_map(|step| names.step("--until", step)),
        );
        problems.extend(
            self.skip_row
                .iter()
                .filter_map(|row| names.row("--skip-row", row)),
        );
        let mut answers: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        for given in &self.answer {
            match answer(runbook, &names, given) {
                Ok((step, field, value)) => {
                    let fields = answers.entry(step.to_owned()).or_default();
                    fields.insert(field.to_owned(), value.to_owned());
                }
                Err(problem) => problems.push(problem),
            }
        }
        let flags = Flags {
            yes: self.yes,
            confirm,
            answers,
            until: self.until.clone(),
            skip_rows: self.skip_row.clone(),
            limit: self.limit,
            rate: self.rate,
            ..Flags::default()
        };
        if problems.is_empty() {
            Ok(flags)
        } else {
            Err(problems)
        }
    }
}

/// A field of a form, as `--answer` gives it. That it fits is found out here, unless the field's
/// declaration depends on what only the run knows.
fn answer<'a>(
    runbook: &Runbook,
    names: &Names<'_>,
    given: &'a str,
) -> Result<(&'a str, &'a str, &'a str), Diagnostic> {
    let problem = |message: String| Diagnostic::plain(Kind::Usage, message);
    let parts = given
        .split_once('=')
        .and_then(|(target, value)| Some((target.split_once('.')?, value)));
    let Some(((step, field), value)) = parts else {
        let message = format!("`--answer {given}` names no field and value");
        return Err(problem(message).expected("`--answer STEP.FIELD=VALUE`"));
    };
    if let Some(unknown) = names.step("--answer", step) {
        return Err(unknown);
    }
    let form = runbook.step(step).and_then(|step| match &step.body {
        StepBody::Action { with, .. } => with.get("form")?.as_object(),
        StepBody::Repeat { .. } => None,
    });
    let Some(form) = form else {
        return Err(problem(format!("`--answer`: step `{step}` has no form")));
    };
    let known = || form.keys().map(String::as_str);
    let Some(declared) = form.get(field) else {
        let message = format!("`--answer`: the form of `{step}` has no field `{field}`");
        let names: Vec<&str> = known().collect();
        let expected = format!("one of {}", names.join(", "));
        return Err(problem(message).expected(expected).near(field, known()));
    };
    if !declared.to_string().contains("${{")
        && let Ok(declared) = serde_json::from_value(declared.clone())
        && let Err(why) = outputs::typed(&declared, value)
    {
        return Err(problem(format!("`--answer {step}.{field}`: {why}")));
    }
    Ok((step, field, value))
}

/// The names that flags may use.
pub struct Names<'a> {
    steps: BTreeSet<&'a str>,
    rows: BTreeSet<&'a str>,
}

impl<'a> Names<'a> {
    /// Those of a runbook.
    pub fn of(runbook: &'a Runbook) -> Self {
        let rows = runbook
            .decisions
            .values()
            .flat_map(|decision| &decision.rows);
        Self {
            steps: runbook
                .all_steps()
                .iter()
                .map(|step| step.id.as_str())
                .collect(),
            rows: rows.map(|row| row.id.as_str()).collect(),
        }
    }

    /// What is wrong with a step that a flag names.
    pub fn step(&self, flag: &str, name: &str) -> Option<Diagnostic> {
        unknown(&self.steps, flag, "step", name)
    }

    /// What is wrong with a row that a flag names.
    pub fn row(&self, flag: &str, name: &str) -> Option<Diagnostic> {
        unknown(&self.rows, flag, "row", name)
    }
}

fn unknown(known: &BTreeSet<&str>, flag: &str, noun: &str, name: &str) -> Option<Diagnostic> {
    (!known.contains(name)).then(|| {
        let message = format!("`{flag}`: the runbook has no {noun} `{name}`");
        let names: Vec<&str> = known.iter().copied().collect();
        Diagnostic::plain(Kind::Usage, message)
            .expected(format!("one of {}", names.join(", ")))
            .near(name, known.iter().copied())
    })
}

/// Performs a verb that calls a service. A prompt that still waits for a key holds nobody up.
pub fn perform<F>(ui: &Ui, work: impl FnOnce(Interrupts) -> F) -> Exit
where
    F: Future<Output = Exit>,
{
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            ui.error(&format!("cannot start: {error}"), None);
            return Exit::Failed;
        }
    };
    let exit = runtime.block_on(async {
        match signals().and_then(|interrupts| suspension(ui).map(|()| interrupts)) {
            Ok(interrupts) => work(interrupts).await,
            Err(error) => {
                ui.error(&format!("cannot watch for signals: {error}"), None);
                Exit::Failed
            }
        }
    });
    runtime.shutdown_background();
    exit
}

fn signals() -> std::io::Result<Interrupts> {
    let (sender, receiver) = unbounded_channel();
    let watched = [
        (SignalKind::interrupt(), "Ctrl-C"),
        (SignalKind::terminate(), "SIGTERM"),
        (SignalKind::hangup(), "SIGHUP"),
    ];
    for (kind, name) in watched {
        let mut stream = signal(kind)?;
        let sender = sender.clone();
        tokio::spawn(async move {
            while stream.recv().await.is_some() && sender.send(name.into()).is_ok() {}
        });
    }
    if !extension::stands_behind() {
        return Ok(receiver);
    }
    tokio::spawn(async move {
        extension::left_alone().await;
        sender.send("the end of the temporal CLI".into())
    });
    Ok(once(receiver))
}

/// What comes together is one event, not a second one that would leave calls in flight alone.
fn once(mut signals: Interrupts) -> Interrupts {
    let (sender, receiver) = unbounded_channel();
    tokio::spawn(async move {
        let mut latest: Option<Instant> = None;
        while let Some(name) = signals.recv().await {
            let together = latest.is_some_and(|at| at.elapsed() < extension::TOGETHER);
            if !together && sender.send(name).is_err() {
                return;
            }
            latest = latest.filter(|_| together).or_else(|| Some(Instant::now()));
        }
    });
    receiver
}

/// Ctrl-Z leaves the terminal clean, and what is drawn begins anew when this process goes on.
fn suspension(ui: &Ui) -> std::io::Result<()> {
    let mut stop = signal(SignalKind::from_raw(libc::SIGTSTP))?;
    let mut go_on = signal(SignalKind::from_raw(libc::SIGCONT))?;
    let terminal = ui.clone();
    tokio::spawn(async move {
        while stop.recv().await.is_some() {
            if has_a_shell() {
                terminal.suspended(|| {
                    // Itself alone: the terminal has told the others of the job.
                    let _ = rustix::process::kill_process(getpid(), rustix::process::Signal::STOP);
                });
            }
        }
    });
    let terminal = ui.clone();
    tokio::spawn(async move {
        while go_on.recv().await.is_some() {
            terminal.continued();
        }
    });
    Ok(())
}

/// Whether somebody is there who can let a stopped job go on: a parent of the same session. Else a process that
/// stops would stay so; the kernel does not stop it either.
fn has_a_shell() -> bool {
    let session = |process| rustix::process::getsid(process).ok();
    let parent = rustix::process::getppid();
    parent.is_some() && session(parent) == session(None)
}

/// Does `work` unless a signal comes first, or the time of the whole command is over: before a run's
/// first record there is nothing to write down.
pub async fn unless_interrupted<T>(
    interrupts: &mut Interrupts,
    limit: Option<Duration>,
    ui: &Ui,
    work: impl Future<Output = Result<T, Exit>>,
) -> Result<T, Exit> {
    let mut pulse = Pulse::new(ui, "Reads the service");
    let work = async {
        let mut beats = tokio::time::interval(BEAT);
        tokio::pin!(work);
        loop {
            tokio::select! {
                biased;
                result = &mut work => return result,
                _ = beats.tick() => pulse.beat(),
            }
        }
    };
    let over = async {
        match limit {
            Some(limit) => tokio::time::sleep(limit).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        Some(signal) = interrupts.recv() => {
            ui.close();
            ui.error(&format!("{signal}: nothing was changed"), None);
            Err(Exit::Interrupted)
        }
        () = over => {
            ui.close();
            ui.error("the time of --command-timeout is over; nothing was changed", None);
            Err(Exit::Failed)
        }
        result = work => result,
    }
}

/// Resolves the connection's flags, environment and profile.
///
/// # Errors
/// [`Exit::Invalid`].
pub fn settings(arguments: &ConnectionArgs, ui: &Ui) -> Result<Settings, Exit> {
    effective(arguments, ui).map(|effective| effective.settings)
}

/// As [`settings`], where the runbook's guards allow the service and the namespace.
///
/// # Errors
/// [`Exit::Invalid`]; [`Exit::Refused`] by a guard, before anything is connected to.
pub fn guarded(
    runbook: &Runbook,
    arguments: &ConnectionArgs,
    ui: &Ui,
    output: Output,
) -> Result<Settings, Exit> {
    let settings = settings(arguments, ui)?;
    let guards = &runbook.guards;
    let refused = guards.refuse_service(&settings.address, &settings.namespace);
    if refused.is_empty() {
        return Ok(settings);
    }
    Err(super::forbidden(&refused, ui, output))
}

/// Refuses what was counted where the runbook's guards do not allow it.
///
/// # Errors
/// [`Exit::Refused`].
pub fn within_guards(
    survey: &Survey,
    runbook: &Runbook,
    skip: &[String],
    written: impl Fn(&str) -> u64,
    ui: &Ui,
    output: Output,
) -> Result<(), Exit> {
    let refused = survey.beyond_guards(runbook, skip, written);
    if refused.is_empty() {
        return Ok(());
    }
    Err(super::forbidden(&refused, ui, output))
}

/// As [`settings`], with where each value came from.
///
/// # Errors
/// [`Exit::Invalid`].
pub fn effective(arguments: &ConnectionArgs, ui: &Ui) -> Result<Effective, Exit> {
    let effective = arguments.effective().map_err(|error| {
        ui.error(
            &error.to_string(),
            Some(error.hint()).filter(|hint| !hint.is_empty()),
        );
        Exit::Invalid
    })?;
    effective.hints.iter().for_each(|hint| ui.hint(hint));
    Ok(effective)
}

/// Opens a connection.
///
/// # Errors
/// [`Exit::Failed`] where the service cannot be reached, [`Exit::Invalid`] where it was described wrongly.
pub async fn connect(settings: &Settings, access: Access, ui: &Ui) -> Result<Temporal, Exit> {
    match Connection::open(settings, access).await {
        Ok(connection) => Ok(Temporal::new(connection)),
        Err(error) => {
            ui.error(
                &error.to_string(),
                Some(error.hint()).filter(|hint| !hint.is_empty()),
            );
            Err(match error.problem() {
                ConnectProblem::Configuration | ConnectProblem::KeyInClear => Exit::Invalid,
                _ => Exit::Failed,
            })
        }
    }
}

/// Values for all parameters: what is missing is asked for where somebody is there. The runbook's checks
/// hold for them.
///
/// # Errors
/// [`Exit::Invalid`], with everything said; [`Exit::Interrupted`] by Ctrl-C at a prompt.
pub async fn parameters(
    runbook: &Runbook,
    flags: &ParameterFlags,
    ui: &Ui,
    output: Output,
) -> Result<Parameters, Exit> {
    let input = flags
        .input(runbook)
        .map_err(|problems| super::invalid(&problems, ui, output))?;
    complete(runbook, input, ui, output).await
}

/// As [`parameters`], of what was given so far.
///
/// # Errors
/// As [`parameters`].
pub async fn complete(
    runbook: &Runbook,
    mut input: ParameterInput,
    ui: &Ui,
    output: Output,
) -> Result<Parameters, Exit> {
    if ui.is_interactive() && !runbook.missing_parameters(&input).is_empty() {
        // On a thread of its own: a signal must reach whoever waits for the prompt.
        let (book, terminal) = (runbook.clone(), ui.clone());
        let asked = tokio::task::spawn_blocking(move || {
            prompt(&book, &mut input, &terminal)?;
            Ok(input)
        });
        input = asked.await.unwrap_or(Err(Exit::Bug))?;
    }
    let parameters = runbook
        .resolve_parameters(&input)
        .map_err(|problems| super::invalid(&problems, ui, output))?;
    check(runbook, &parameters, ui, output)?;
    Ok(parameters)
}

fn prompt(runbook: &Runbook, input: &mut ParameterInput, ui: &Ui) -> Result<(), Exit> {
    let missing: Vec<String> = runbook
        .missing_parameters(input)
        .into_iter()
        .map(str::to_owned)
        .collect();
    for name in missing {
        let parameter = &runbook.params[&name];
        let form = match parameter.kind {
            ParameterType::List => "; several with commas between them",
            ParameterType::Map => "; KEY=VALUE with commas between them",
            ParameterType::Version => "; DEPLOYMENT:BUILD",
            _ => "",
        };
        let help = format!("{}{form}", parameter.description);
        let mut fits = |text: &str| input.clone().prompted(runbook, &name, text);
        match ui.ask(
            &name,
            help.trim_start_matches("; "),
            parameter.secret,
            &mut fits,
        ) {
            Asked::Text(text) => {
                // It was checked before it was taken.
                let _ = input.prompted(runbook, &name, &text);
            }
            Asked::Interrupted => return Err(Exit::Interrupted),
            Asked::Nobody => return Ok(()),
        }
    }
    Ok(())
}

/// The runbook's checks.
fn check(runbook: &Runbook, parameters: &Parameters, ui: &Ui, output: Output) -> Result<(), Exit> {
    let scope = runbook.scope(parameters, &BTreeMap::new(), &Value::Null);
    let problems: Vec<Diagnostic> = match runbook.failed_checks(&scope) {
        Ok(failed) => failed
            .into_iter()
            .map(|check| {
                Diagnostic::plain(Kind::Parameter, check.otherwise.clone())
                    .note(format!("this does not hold: {}", check.that))
            })
            .collect(),
        Err(error) => vec![Diagnostic::plain(
            Kind::Expression,
            format!("a check cannot be evaluated: {error}"),
        )],
    };
    if problems.is_empty() {
        return Ok(());
    }
    Err(super::invalid(&problems, ui, output))
}

/// A new run's id: when it began, in UTC, and four letters that tell it from others.
pub fn new_run(now: Timestamp) -> RunId {
    const LETTERS: &[u8] = b"abcdefghjkmnpqrstuvwxyz23456789";
    let random = Uuid::new_v4();
    let letters: String = random.as_bytes()[..4]
        .iter()
        .map(|byte| char::from(LETTERS[usize::from(*byte) % LETTERS.len()]))
        .collect();
    RunId(format!("rb-{}-{letters}", now.strftime("%Y%m%d-%H%M%S")))
}

/// Reads the service for a plan.
///
/// # Errors
/// [`Exit::Failed`] where it cannot be read, [`Exit::Invalid`] where a table cannot be filled in.
pub async fn survey(
    world: &World,
    runbook: &Runbook,
    parameters: &Parameters,
    looks: usize,
    ui: &Ui,
    output: Output,
) -> Result<Survey, Exit> {
    let scope = scope(runbook, parameters, &world.run);
    let subject = begin::subject(runbook, parameters, &scope, looks).map_err(|error| {
        let problem = Diagnostic::plain(Kind::Decision, error.to_string());
        super::invalid(&[problem], ui, output)
    })?;
    survey_service(world, &subject).await.map_err(|problem| {
        ui.error(&problem.message, None);
        Exit::Failed
    })
}

/// The lock that a run takes, and who has it now; none where the runbook declares none.
///
/// # Errors
/// [`Exit::Failed`] where the service cannot be read, [`Exit::Invalid`] where the lock has no name,
/// [`Exit::Refused`] where something else has its Workflow ID.
pub async fn lock(
    world: &World,
    runbook: &Runbook,
    parameters: &Parameters,
    ui: &Ui,
    output: Output,
) -> Result<Option<LockPlan>, Exit> {
    let scope = scope(runbook, parameters, &world.run);
    let name = runbook.lock_name(&scope).map_err(|error| {
        let problem = Diagnostic::plain(Kind::Expression, format!("`lock`: {error}"));
        super::invalid(&[problem], ui, output)
    })?;
    let Some(name) = name else {
        return Ok(None);
    };
    lock_named(world, &name, ui).await.map(Some)
}

/// Who has a lock now.
///
/// # Errors
/// As [`lock`].
pub async fn lock_named(world: &World, name: &str, ui: &Ui) -> Result<LockPlan, Exit> {
    let holder = match lease::holder(world, name).await {
        Ok(None) => None,
        Ok(Some(lease::Seen::Held(holder))) => Some(*holder),
        Ok(Some(lease::Seen::Foreign(workflow_type))) => {
            let id = crate::lease::workflow_id(name);
            ui.error(
                &format!("the Workflow `{id}` is of type {workflow_type}: it is no lock"),
                Some("give the lock another name, or find out who started that Workflow"),
            );
            return Err(Exit::Refused);
        }
        Err(error) => return Err(failed(&error.to_string(), ui)),
    };
    Ok(LockPlan::new(name, holder, world.clock.now()))
}

/// Says that somebody else has the lock, and the two ways on.
pub fn refused_by_lock(
    held: &LockPlan,
    holder: &crate::lease::Holder,
    world: &World,
    ui: &Ui,
) -> Exit {
    ui.error(
        &format!("the lock `{}` is held; nothing was changed", held.name),
        None,
    );
    for line in holder_lines(holder, world.clock.now()) {
        ui.line(Tone::Plain, &format!("  {line}"));
    }
    let connection = world.temporal.connection();
    let unlock = unlock_line(&held.name, connection.address(), connection.namespace());
    ui.hint("wait until it is given back, and try again");
    ui.hint(&format!(
        "where nobody carries that run out any more: {unlock}"
    ));
    Exit::Refused
}

/// The scope of expressions before any step has run.
pub fn scope(runbook: &Runbook, parameters: &Parameters, run: &RunId) -> Scope {
    runbook.scope(parameters, &BTreeMap::new(), &json!({ "id": run.0 }))
}

/// Says what went wrong.
pub fn failed(message: &str, ui: &Ui) -> Exit {
    ui.error(message, None);
    Exit::Failed
}

/// What follows from printing data.
pub fn printed(result: std::io::Result<()>, ui: &Ui) -> Exit {
    match result {
        Ok(()) => Exit::Done,
        Err(error) => failed(&format!("cannot write to stdout: {error}"), ui),
    }
}

/// Says what is wrong with a journal.
pub fn refused(error: &JournalError, ui: &Ui) -> Exit {
    ui.error(&error.to_string(), Some(&error.hint()));
    match error.exit_code() {
        1 => Exit::Failed,
        2 => Exit::Invalid,
        4 => Exit::Refused,
        _ => Exit::Bug,
    }
}

/// A run that is ready to go on.
pub struct Session<'a> {
    /// Opened and attached.
    pub machine: Machine,
    /// Locked.
    pub journal: Journal,
    /// The service.
    pub temporal: Temporal,
    /// What was recalled of earlier attachments.
    pub display: LiveDisplay,
    /// The run.
    pub run: RunId,
    /// Where the journal is.
    pub path: PathBuf,
    /// Whether nothing is written.
    pub dry: bool,
    /// Terminal.
    pub ui: &'a Ui,
    /// How data is printed.
    pub output: Output,
    /// Time of the whole command.
    pub limit: Option<Duration>,
    /// Where it is answered from elsewhere.
    pub desk: Option<Desk>,
    /// Where others look on, and answer at the desk.
    pub bound: Option<Bound>,
}

impl Session<'_> {
    /// Runs it to an end of some kind, and says how it ended.
    pub async fn run(mut self, mut interrupts: Interrupts) -> Exit {
        let user = Holder::here().witness(Through::Terminal);
        let located = located(&self.path, &self.run);
        self.announce(&located);
        let whereabouts = self.whereabouts();
        if let Some(limit) = self.limit {
            interrupts = with_limit(interrupts, limit);
        }
        let (dry, output, ui) = (self.dry, self.output, self.ui);
        let feed = Feed::default();
        let server = match self.serve(&feed) {
            Ok(server) => server,
            Err(exit) => return exit,
        };
        let terminal = TerminalOperator::new(self.ui.clone(), user);
        let together;
        let operator: &dyn Operator = match &self.desk {
            Some(desk) => {
                interrupts = desk.joined(interrupts);
                together = Together {
                    terminal: &terminal,
                    desk,
                };
                &together
            }
            None => &terminal,
        };
        let mut display = Shown {
            live: self.display,
            stream: (self.output == Output::Json).then(|| self.ui.clone()),
            desk: self.desk.clone(),
            feed: feed.clone(),
        };
        let mut run = Loop {
            machine: self.machine,
            journal: self.journal,
            world: World::of(
                self.temporal.clone(),
                crate::clock::Clock::real(),
                self.run.clone(),
            ),
            operator,
            display: &mut display,
            interrupts,
            kill: KillSwitch::from_text(std::env::var("RUNBOOK_TEST_KILL").ok().as_deref()),
        };
        let ended = run.run().await;
        let Loop {
            machine,
            journal,
            world,
            interrupts,
            ..
        } = run;
        // Whoever is told may go on with the run.
        drop(journal);
        self.desk.iter().for_each(Desk::close);
        feed.close();
        ui.close();
        let finish = ended.as_ref().ok().cloned();
        let exit = conclude(ended, &display.live, &located, (dry, output), ui);
        if let Some(finish) = finish {
            tell(&machine, &finish, &whereabouts, &world, interrupts, ui).await;
        }
        // Last: whoever watches may still be reading the end.
        server.into_iter().for_each(Server::stop);
        exit
    }

    /// Lets others look on and answer, where that was asked for.
    fn serve(&mut self, feed: &Feed) -> Result<Option<Server>, Exit> {
        let (Some(bound), Some(desk)) = (self.bound.take(), &self.desk) else {
            return Ok(None);
        };
        let own = Own {
            run: self.run.clone(),
            path: self.path.clone(),
            feed: feed.clone(),
            desk: desk.clone(),
        };
        let server = bound
            .serve(Runs::Own(own))
            .map_err(|why| failed(&why, self.ui))?;
        let line = format!("Others may watch and answer on {}", server.address());
        self.ui.line(Tone::Plain, &line);
        let target = located(&self.path, &self.run).target;
        let target = shell_word(&target);
        let line = format!("  runbook watch {target}; runbook approve {target} STEP");
        self.ui.line(Tone::Plain, &line);
        Ok(Some(server))
    }

    fn whereabouts(&self) -> Whereabouts {
        let connection = self.temporal.connection();
        // Whoever is told may stand elsewhere.
        let path = std::path::absolute(&self.path).unwrap_or_else(|_| self.path.clone());
        Whereabouts {
            state: path.display().to_string(),
            resume: journal::resume_line(&path, &self.run),
            address: connection.address().to_owned(),
            namespace: connection.namespace().to_owned(),
        }
    }

    fn announce(&self, located: &Located) {
        let connection = self.temporal.connection();
        let kind = if self.dry { "Dry run" } else { "Run" };
        self.ui.line(
            Tone::Strong,
            &format!(
                "{kind} {} on {}, namespace {}",
                self.run,
                connection.address(),
                connection.namespace()
            ),
        );
        self.ui
            .line(Tone::Plain, &format!("State file: {}", located.path));
        if !self.dry {
            self.ui.line(
                Tone::Plain,
                &format!(
                    "If this process ends, go on with: {}",
                    journal::resume_line(&self.path, &self.run)
                ),
            );
            self.announce_notify();
        }
    }

    /// It is run without being asked for: so it is said beforehand.
    fn announce_notify(&self) {
        let Some(notify) = &self.machine.runbook().notify else {
            return;
        };
        let events: Vec<&str> = notify.on.iter().map(|event| event.name()).collect();
        let (program, events) = (notify.argv.join(" "), events.join(", "));
        self.ui
            .line(Tone::Plain, &format!("Notified when {events}: {program}"));
    }
}

/// Says how a run ended, and gives the exit code that follows.
fn conclude(
    ended: Result<Finish, Broken>,
    live: &LiveDisplay,
    located: &Located,
    (dry, output): (bool, Output),
    ui: &Ui,
) -> Exit {
    if let Err(Broken::Abandoned) = ended {
        ui.error(
            "interrupted twice: calls in flight were left alone",
            Some(&format!(
                "runbook resume {} finds out what became of them",
                located.target
            )),
        );
        return Exit::Interrupted;
    }
    summarize(live, located, ui, output);
    match ended {
        // A dry run has nothing to go on with.
        Ok(Finish::Parked) if dry => Exit::Done,
        Ok(finish) => exit_of(&finish),
        Err(Broken::Journal(error)) => refused(&error, ui),
        Err(Broken::Killed) => Exit::Failed,
        Err(Broken::Abandoned) => Exit::Interrupted,
    }
}

/// Tells the program that the runbook names. What goes wrong with that is a warning; a signal ends the program, too.
async fn tell(
    machine: &Machine,
    finish: &Finish,
    whereabouts: &Whereabouts,
    world: &World,
    mut interrupts: Interrupts,
    ui: &Ui,
) {
    let notice = match machine.notice(finish, whereabouts) {
        Ok(None) => return,
        Ok(Some(notice)) => notice,
        Err(error) => return ui.warning(&format!("`notify` was not run: {error}")),
    };
    let program = notice.sealed.command.argv[0].0.clone();
    ui.draw(&[format!("Telling `{program}` that the run {}", said(finish))]);
    let problem = tokio::select! {
        biased;
        Some(_) = interrupts.recv() => Some("interrupted; it was ended".to_owned()),
        problem = command::tell(world, &notice) => problem,
    };
    ui.clear();
    if let Some(problem) = problem {
        ui.warning(&format!("`notify`: {problem}"));
    }
}

fn said(finish: &Finish) -> &'static str {
    match finish {
        Finish::Succeeded => "finished",
        Finish::Parked => "is parked",
        Finish::Halted | Finish::Interrupted | Finish::Refused => "halted",
    }
}

fn exit_of(finish: &Finish) -> Exit {
    match finish {
        Finish::Succeeded => Exit::Done,
        Finish::Halted => Exit::Failed,
        Finish::Parked => Exit::Parked,
        Finish::Interrupted => Exit::Interrupted,
        Finish::Refused => Exit::Refused,
    }
}

/// The last lines: data for people, beside the stream of records for programs.
pub fn summarize(display: &LiveDisplay, located: &Located, ui: &Ui, output: Output) {
    let report = display.report();
    match output {
        Output::Text => {
            if let Err(error) = ui.data(&report.summary(located, ui.out_style())) {
                ui.error(&format!("cannot write to stdout: {error}"), None);
            }
        }
        Output::Json => ui.say(&report.summary(located, ui.err_style())),
    }
}

/// Where a run's journal is, and what `resume` takes.
pub fn located(path: &Path, run: &RunId) -> Located {
    let shown = path.display().to_string();
    let usual = journal::path_of(run).is_ok_and(|usual| usual == path);
    Located {
        target: if usual { run.0.clone() } else { shown.clone() },
        path: shown,
        holder: None,
    }
}

/// A signal of its own when the time of the whole command is over.
fn with_limit(mut interrupts: Interrupts, limit: Duration) -> Interrupts {
    let (sender, receiver) = unbounded_channel();
    tokio::spawn(async move {
        let over = tokio::time::sleep(limit);
        tokio::pin!(over);
        let mut waits = true;
        loop {
            let name = tokio::select! {
                Some(name) = interrupts.recv() => name,
                () = &mut over, if waits => { waits = false; Stop::Signal("--command-timeout") }
                else => return,
            };
            if sender.send(name).is_err() {
                return;
            }
        }
    });
    receiver
}

/// The terminal, and the records as JSON Lines on stdout where a program reads them.
struct Shown {
    live: LiveDisplay,
    stream: Option<Ui>,
    desk: Option<Desk>,
    feed: Feed,
}

impl Display for Shown {
    fn record(&mut self, record: &Record) {
        if let Some(ui) = &self.stream {
            let written = ui.write_data(|out| {
                write_json(record, false, out)?;
                out.write_all(b"\n")
            });
            if let Err(error) = written {
                ui.error(
                    &format!("cannot write to stdout: {error}"),
                    Some("the run goes on; its records are in the state file"),
                );
                self.stream = None;
            }
        }
        self.live.record(record);
        // Last: whoever answered from elsewhere is told when it is shown here, too.
        self.desk.iter().for_each(|desk| desk.observe(record));
        self.feed.record(record);
    }

    fn progress(&mut self, progress: &Progress) {
        self.live.progress(progress);
        self.feed.progress(progress);
    }
}

//! What a shell's completion asks this program: names of steps, rows, parameters, scenarios and runs.
//!
//! The shell asks through a variable (see `runbook completions`), the `temporal` CLI through the hidden verb
//! `__complete` of its own completions. Files on the command line and journals are read; no service is called, and
//! nothing is ever said about what went wrong: an answer that is not there is no answer.

use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Arg, Command};
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate, complete};
use clap_complete::env::Shells;
use jiff::Timestamp;
use serde_json::Value;

use super::Exit;
use super::extension;
use super::rehearse;
use super::runs::Run;
use crate::journal;
use crate::record::{Body, Record};
use crate::report::duration;
use crate::runbook::{Parameter, ParameterType, Runbook, StepBody};
use crate::ui::Ui;

/// The name of the shell that asks.
pub const VARIABLE: &str = "RUNBOOK_COMPLETE";
/// What the `temporal` CLI's completions call; the second leaves descriptions out.
const ASKED: [&str; 2] = ["__complete", "__completeNoDesc"];
/// Longest description.
const DESCRIPTION: usize = 60;

/// Answers, where something was asked: how the command ends.
pub fn answer(arguments: &[OsString], command: &Command, ui: &Ui) -> Option<Exit> {
    let shell = std::env::var(VARIABLE).ok().filter(|it| !it.is_empty());
    let verb = arguments.get(1).and_then(|word| word.to_str());
    let text = if let Some(shell) = shell {
        to_shell(&shell, arguments, command)
    } else if extension::is_called(arguments) && verb.is_some_and(|verb| ASKED.contains(&verb)) {
        to_cli(arguments, command)
    } else {
        return None;
    };
    let Some(text) = text else {
        return Some(Exit::Failed);
    };
    Some(match ui.write_data(|out| out.write_all(&text)) {
        Ok(()) => Exit::Done,
        Err(_) => Exit::Failed,
    })
}

/// `runbook -- WORD…`, as the script that was printed for the shell calls it.
fn to_shell(shell: &str, arguments: &[OsString], command: &Command) -> Option<Vec<u8>> {
    let begin = arguments.iter().position(|word| word == "--")?;
    let words = arguments[begin + 1..].to_vec();
    let shells = Shells::builtins();
    let mut text = Vec::new();
    let here = std::env::current_dir().ok();
    shells
        .completer(shell)?
        .write_complete(
            &mut knowing(command, &words),
            words,
            here.as_deref(),
            &mut text,
        )
        .ok()?;
    Some(text)
}

/// `temporal-runbook __complete WORD… LAST`: a candidate a line with its description, then `:` and what the shell is
/// to do (the bits of cobra's ShellCompDirective: 2 adds no space, 4 offers no files).
fn to_cli(arguments: &[OsString], command: &Command) -> Option<Vec<u8>> {
    let (last, before) = arguments.get(2..)?.split_last()?;
    let words = std::iter::once(OsString::from("runbook")).chain(before.iter().cloned());
    let (mut words, _) = extension::respell(words.collect(), command);
    words.push(last.clone());
    let (here, index) = (std::env::current_dir().ok(), words.len() - 1);
    let found = complete(&mut knowing(command, &words), words, index, here.as_deref()).ok()?;
    let mut text = Vec::new();
    let mut directive = 4;
    for candidate in found.iter().filter(|it| !it.is_hide_set()) {
        let value = candidate.get_value().to_string_lossy();
        if value.ends_with(['=', '/', '.']) {
            directive = 6;
        }
        let help = candidate.get_help().map(ToString::to_string);
        let help = help.unwrap_or_default();
        let first = help.lines().next().unwrap_or_default();
        writeln!(text, "{value}\t{first}").ok()?;
    }
    writeln!(text, ":{directive}").ok()?;
    Some(text)
}

/// The command line, whose names are those of what is on it.
fn knowing(command: &Command, words: &[OsString]) -> Command {
    let verb = words.iter().skip(1).filter_map(|word| word.to_str());
    let Some(verb) = verb.filter_map(|word| command.find_subcommand(word)).next() else {
        return command.clone();
    };
    let subject = Arc::new(Subject::of(verb, words));
    command.clone().mut_subcommand(verb.get_name(), |verb| {
        verb.mut_args(|argument| named(argument, &subject))
    })
}

/// An argument that takes a name, with where its names come from.
fn named(argument: Arg, subject: &Arc<Subject>) -> Arg {
    let names: fn(&Subject, &str) -> Vec<CompletionCandidate> = match argument.get_id().as_str() {
        "until" | "accept" | "step" => steps,
        "confirm" => words_to_type,
        "answer" => fields,
        "skip_row" => rows,
        "params" => parameters,
        "scenario" => scenarios,
        "run" => |_, _| runs(),
        _ => return argument,
    };
    let subject = Arc::clone(subject);
    argument.add(ArgValueCompleter::new(move |typed: &OsStr| {
        let Some(typed) = typed.to_str() else {
            return Vec::new();
        };
        let begins = |it: &CompletionCandidate| it.get_value().to_string_lossy().starts_with(typed);
        let mut found = names(&subject, typed);
        found.retain(begins);
        found
    }))
}

/// What the command line is about.
#[derive(Debug, Default)]
struct Subject {
    file: Option<PathBuf>,
    rehearsal: Option<PathBuf>,
    run: Option<String>,
}

impl Subject {
    /// From the words of it; the one that is being written is among them, and may be no whole one.
    fn of(verb: &Command, words: &[OsString]) -> Self {
        let mut subject = Self::default();
        let mut words = words.iter().skip(1).map(|word| word.to_string_lossy());
        words.by_ref().find(|word| *word == verb.get_name());
        let first = verb
            .get_positionals()
            .next()
            .map(|it| it.get_id().as_str().to_owned());
        let mut placed = false;
        while let Some(word) = words.next() {
            if word.starts_with('-') && word.len() > 1 {
                let value = if word.contains('=') || !takes_value(verb, &word) {
                    None
                } else {
                    words.next()
                };
                if let ("--rehearsal", Some(value)) = (word.as_ref(), value) {
                    subject.rehearsal = Some(PathBuf::from(value.as_ref()));
                }
            } else if !placed {
                placed = true;
                match first.as_deref() {
                    Some("run") => subject.run = Some(word.into_owned()),
                    _ => subject.file = Some(PathBuf::from(word.as_ref())),
                }
            }
        }
        subject
    }

    /// The runbook: the file's, or the one that the run was begun with.
    fn runbook(&self) -> Option<Runbook> {
        if let Some(path) = &self.file {
            return Runbook::parse("", &super::read(path).ok()?).ok();
        }
        let path = journal::find(self.run.as_deref()?).ok()?;
        let listed = journal::list_in(path.parent()?).ok()?;
        let journal = listed.into_iter().find(|listed| listed.path == path)?;
        let Record {
            body: Body::Opened { plan, .. },
            ..
        } = journal.ends.ok()?.first
        else {
            return None;
        };
        Runbook::parse("", plan.get("source")?.as_str()?.as_bytes()).ok()
    }
}

fn takes_value(verb: &Command, word: &str) -> bool {
    let is = |argument: &&Arg| match word.strip_prefix("--") {
        Some(long) => argument.get_long() == Some(long),
        // `-pNAME` has its value in the same word.
        None => word.len() == 2 && argument.get_short() == word.chars().nth(1),
    };
    let argument = verb.get_arguments().find(is);
    argument.is_some_and(|it| it.get_action().takes_values() && !it.is_require_equals_set())
}

/// With a description of one line.
fn candidate(value: impl Into<OsString>, help: &str) -> CompletionCandidate {
    let line = help.lines().next().unwrap_or_default();
    let shown: String = line
        .chars()
        .filter(|it| !it.is_control())
        .take(DESCRIPTION)
        .collect();
    let help = (!shown.is_empty()).then(|| shown.into());
    CompletionCandidate::new(value).help(help)
}

/// For each step something.
fn of_steps(
    subject: &Subject,
    of: impl Fn(&crate::runbook::Step, &str) -> Vec<CompletionCandidate>,
) -> Vec<CompletionCandidate> {
    let runbook = subject.runbook();
    let steps = runbook.as_ref().map(Runbook::all_steps).unwrap_or_default();
    let each = steps.iter().flat_map(|step| {
        let action = match &step.body {
            StepBody::Action { action, .. } => action,
            StepBody::Repeat { .. } => "repeat",
        };
        of(step, step.title.as_deref().unwrap_or(action))
    });
    each.collect()
}

fn steps(subject: &Subject, _: &str) -> Vec<CompletionCandidate> {
    of_steps(subject, |step, help| vec![candidate(&step.id, help)])
}

/// `STEP=`, of steps that want a word.
fn words_to_type(subject: &Subject, _: &str) -> Vec<CompletionCandidate> {
    of_steps(subject, |step, help| match &step.confirm {
        Some(_) => vec![candidate(format!("{}=", step.id), help)],
        None => Vec::new(),
    })
}

/// `STEP.FIELD=`, of tasks with a form.
fn fields(subject: &Subject, _: &str) -> Vec<CompletionCandidate> {
    of_steps(subject, |step, help| {
        let StepBody::Action { with, .. } = &step.body else {
            return Vec::new();
        };
        let form = with.get("form").and_then(Value::as_object);
        let names = form.into_iter().flat_map(|form| form.keys());
        names
            .map(|name| candidate(format!("{}.{name}=", step.id), help))
            .collect()
    })
}

fn rows(subject: &Subject, _: &str) -> Vec<CompletionCandidate> {
    let runbook = subject.runbook();
    let decisions = runbook.iter().flat_map(|runbook| &runbook.decisions);
    decisions
        .flat_map(|(name, decision)| {
            let rows = decision.rows.iter();
            rows.map(move |row| candidate(&row.id, &format!("{name}: {}", row.apply)))
        })
        .collect()
}

/// `NAME=`, and values where they are known. A secret is not given on a command line.
fn parameters(subject: &Subject, typed: &str) -> Vec<CompletionCandidate> {
    let runbook = subject.runbook();
    let all = runbook.iter().flat_map(|runbook| &runbook.params);
    all.filter(|(_, parameter)| !parameter.secret)
        .flat_map(|(name, parameter)| match typed.split_once('=') {
            Some((given, _)) => values(name, given, parameter),
            None => vec![candidate(
                beginning(name, parameter),
                &parameter.description,
            )],
        })
        .collect()
}

/// An entry of a map has a key.
fn beginning(name: &str, parameter: &Parameter) -> String {
    match parameter.kind {
        ParameterType::Map => format!("{name}."),
        _ => format!("{name}="),
    }
}

fn values(name: &str, given: &str, parameter: &Parameter) -> Vec<CompletionCandidate> {
    let entry = given.strip_prefix(name).is_some_and(|rest| {
        rest.is_empty() || (rest.starts_with('.') && parameter.kind == ParameterType::Map)
    });
    if !entry {
        return Vec::new();
    }
    let choices = parameter.choices.iter().map(|choice| match choice {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    });
    let mut texts: Vec<String> = choices.collect();
    if parameter.kind == ParameterType::Boolean {
        texts = ["true", "false"].map(str::to_owned).to_vec();
    }
    let each = texts.into_iter();
    each.map(|text| candidate(format!("{given}={text}"), ""))
        .collect()
}

fn scenarios(subject: &Subject, _: &str) -> Vec<CompletionCandidate> {
    let Some(file) = &subject.file else {
        return Vec::new();
    };
    let files = rehearse::load(file, subject.rehearsal.as_deref().map(Path::new));
    let Ok((_, rehearsal)) = files else {
        return Vec::new();
    };
    let each = rehearsal.scenarios.iter();
    each.map(|(name, scenario)| candidate(name, scenario.title.as_deref().unwrap_or_default()))
        .collect()
}

/// The newest first.
fn runs() -> Vec<CompletionCandidate> {
    let listed = journal::list().unwrap_or_default().into_iter().map(Run::of);
    let now = Timestamp::now();
    let each = listed.enumerate().filter_map(|(place, run)| {
        let header = run.run?;
        let age = run.last.map(|last| duration(now.duration_since(last)));
        let help = format!(
            "{}, {}, {} ago",
            run.state,
            header.runbook,
            age.unwrap_or_default()
        );
        Some(candidate(header.id, &help).display_order(Some(place)))
    });
    each.collect()
}

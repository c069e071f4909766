//! The command line: one verb a file, wiring only.
//!
//! A verb is a file with `Arguments` (its doc comments are the help text) and `run`; it has one line in
//! [`Verb`] and one in [`Verb::run`]. What a verb prints goes through [`Ui`]; what it ends with is an
//! [`Exit`].

use std::ffi::OsString;
use std::io::Read;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::process::ExitCode;

use clap::{Command, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use serde_json::json;
use tracing_subscriber::filter::LevelFilter;

use crate::connection::respell;
use crate::diagnostic::{self, Diagnostic, Kind};
use crate::document::LARGEST_FILE;
use crate::report::write_json;
use crate::runbook::Runbook;
use crate::ui::{Colours, Ui, start_log};

pub mod completing;
pub mod completions;
pub mod connection;
pub mod diff;
pub mod docs;
pub mod examples;
pub mod exec;
pub mod explain;
pub mod extension;
pub mod man;
pub mod new;
pub mod parameters;
pub mod plan;
pub mod resume;
pub mod rehearse;
pub mod reset_points;
pub mod runs;
pub mod saved;
pub mod schema;
pub mod session;
pub mod show;
pub mod simulator;
pub mod unlock;
pub mod validate;
pub mod report;
pub mod pages;
pub mod listen;
pub mod serve;
pub mod watch;
pub mod approve;
pub mod stop;
pub mod version;

/// How the command ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All was done.
    Done,
    /// A step failed or halted; resumable.
    Failed,
    /// Usage, or an invalid runbook.
    Invalid,
    /// Waits for a confirmation; resumable.
    Parked,
    /// A stale plan, a guard or a lock.
    Refused,
    /// A bug in this tool.
    Bug,
    /// Interrupted; resumable.
    Interrupted,
    /// `plan --detailed-exitcode`: there is something to do.
    Changes,
}

impl Exit {
    /// The exit code that scripts see.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Invalid => 2,
            Self::Parked => 3,
            Self::Refused => 4,
            Self::Bug => 70,
            Self::Interrupted => 130,
            Self::Changes => 2,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Above the options that every verb has, behind its own.
const GLOBAL: &str = "For every verb";

/// Carries out operational procedures that are written as YAML: plan, rehearse, execute, resume.
#[derive(Debug, Parser)]
#[command(
    name = "runbook",
    version,
    long_version = version::long(),
    arg_required_else_help = true,
    max_term_width = 100
)]
pub struct Cli {
    /// How data is printed; csv and jsonl are for the Workflows of `show`.
    #[arg(long, global = true, help_heading = GLOBAL, value_enum, default_value_t = Format::Text)]
    pub output: Format,
    /// When colours are used; NO_COLOR is obeyed.
    #[arg(long, global = true, help_heading = GLOBAL, value_enum, default_value_t = Colour::Auto, value_name = "WHEN")]
    pub color: Colour,
    /// How much of what this tool does is logged to stderr: each call at `debug`.
    #[arg(long, global = true, help_heading = GLOBAL, value_enum, default_value_t = LogLevel::Never, value_name = "LEVEL")]
    pub log_level: LogLevel,
    /// How log lines are written.
    #[arg(long, global = true, help_heading = GLOBAL, value_enum, default_value_t = LogFormat::Text, value_name = "FORMAT")]
    pub log_format: LogFormat,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What `--output` takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
    /// An object a line.
    Jsonl,
    /// RFC 4180, with a header line.
    Csv,
    /// For a comment of a pull request; of `diff`.
    Markdown,
    /// Workflow commands, which GitHub shows beside the lines; of `validate`.
    Github,
}

impl Format {
    /// For verbs that print no long lists; none where this is a list's format.
    fn output(self) -> Option<Output> {
        match self {
            Self::Text => Some(Output::Text),
            Self::Json => Some(Output::Json),
            Self::Jsonl | Self::Csv | Self::Markdown | Self::Github => None,
        }
    }
}

/// How data is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// When colours are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Colour {
    /// On terminals.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl From<Colour> for Colours {
    fn from(colour: Colour) -> Self {
        match colour {
            Colour::Auto => Self::Auto,
            Colour::Always => Self::Always,
            Colour::Never => Self::Never,
        }
    }
}

/// What `--log-level` takes; the names are the `temporal` CLI's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)]
pub enum LogLevel {
    Debug,
    Info,
    Warn,
    Error,
    Never,
}

impl From<LogLevel> for LevelFilter {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Debug => Self::DEBUG,
            LogLevel::Info => Self::INFO,
            LogLevel::Warn => Self::WARN,
            LogLevel::Error => Self::ERROR,
            LogLevel::Never => Self::OFF,
        }
    }
}

/// What `--log-format` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// An object a line.
    Json,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Check runbooks offline: all problems at once
    Validate(validate::Arguments),
    /// Write a commented runbook and its rehearsal to begin with
    New(new::Arguments),
    /// Rehearse a runbook against a simulated service: hours pass in moments
    Rehearse(rehearse::Arguments),
    /// Show what a run would do: reads the service, changes nothing
    Plan(Box<plan::Arguments>),
    /// Carry out a runbook: plan, then its steps in order, with a journal that can be resumed
    Exec(Box<exec::Arguments>),
    /// Go on with a run from its state file, wherever it stopped
    Resume(Box<resume::Arguments>),
    /// List the runs of this user, the newest first
    Runs,
    /// Show what happened in a run: steps, times, questions and answers, counts
    Show(show::Arguments),
    /// Write a run down as a document: one HTML file, Markdown, JSON or CSV
    Report(report::Arguments),
    /// Look on while a run goes on, as its own terminal shows it; ends with the run, and as it does
    Watch(Box<watch::Arguments>),
    /// Answer what a run asks, wherever it runs
    Approve(Box<approve::Arguments>),
    /// Stop a run as Ctrl-C at its own terminal does; it can be resumed
    Stop(Box<stop::Arguments>),
    /// Let others look at the runs of a state folder, and answer what they ask
    Serve(Box<serve::Arguments>),
    /// Say which row takes a Workflow, why, and what would be done to it
    Explain(Box<explain::Arguments>),
    /// List the points to which a Workflow can be reset, with what lies between them
    ResetPoints(Box<reset_points::Arguments>),
    /// Break the lock of a run that nobody carries out any more
    Unlock(Box<unlock::Arguments>),
    /// Show the connection's values and where each came from, and test them
    Connection(Box<connection::Arguments>),
    /// Write a runbook as a page of Markdown: purpose, parameters, decisions, steps, flow
    Docs(docs::Arguments),
    /// Say in operators' words what an edit of a runbook changes, the most dangerous first
    Diff(diff::Arguments),
    /// Serve a scenario's world on a port, as a Temporal service
    Simulator(simulator::Arguments),
    /// Print a JSON Schema, for editors
    Schema(schema::Arguments),
    /// Print a completion script for a shell
    Completions(completions::Arguments),
    /// Print the manual, or write a page for each verb
    Man(man::Arguments),
}

impl Verb {
    fn run(self, ui: &Ui, format: Format) -> Exit {
        match &self {
            Self::Show(arguments) => return show::run(arguments, ui, format),
            Self::Validate(arguments) => return validate::run(arguments, ui, format),
            Self::Diff(arguments) => return diff::run(arguments, ui, format),
            Self::Docs(arguments) if format == Format::Markdown => {
                return docs::run(arguments, ui, Output::Text);
            }
            _ => {}
        }
        let Some(output) = format.output() else {
            return no_such_format(format, "text or json", ui);
        };
        match self {
            Self::Validate(arguments) => validate::run(&arguments, ui, format),
            Self::New(arguments) => new::run(&arguments, ui),
            Self::Docs(arguments) => docs::run(&arguments, ui, output),
            Self::Diff(arguments) => diff::run(&arguments, ui, format),
            Self::Plan(arguments) => plan::run(&arguments, ui, output),
            Self::Explain(arguments) => explain::run(&arguments, ui, output),
            Self::ResetPoints(arguments) => reset_points::run(&arguments, ui, output),
            Self::Exec(arguments) => exec::run(&arguments, ui, output),
            Self::Resume(arguments) => resume::run(&arguments, ui, output),
            Self::Rehearse(arguments) => rehearse::run(&arguments, ui, output),
            Self::Simulator(arguments) => simulator::run(&arguments, ui, output),
            Self::Connection(arguments) => connection::run(&arguments, ui, output),
            Self::Unlock(arguments) => unlock::run(&arguments, ui, output),
            Self::Runs => runs::run(ui, output),
            Self::Show(arguments) => show::run(&arguments, ui, format),
            Self::Schema(arguments) => schema::run(&arguments, ui),
            Self::Report(arguments) => report::run(&arguments, ui),
            Self::Serve(arguments) => serve::run(&arguments, ui, output),
            Self::Watch(arguments) => watch::run(&arguments, ui, output),
            Self::Approve(arguments) => approve::run(&arguments, ui, output),
            Self::Stop(arguments) => stop::run(&arguments, ui, output),
            Self::Completions(arguments) => completions::run(&arguments, &command(), ui),
            Self::Man(arguments) => man::run(&arguments, command(), ui),
        }
    }
}

/// Says that a verb does not print in a format, and what it prints in.
fn no_such_format(format: Format, known: &str, ui: &Ui) -> Exit {
    let hint = match format {
        Format::Jsonl | Format::Csv => "--output csv and jsonl are for `runbook show`",
        Format::Github => "--output github is for `runbook validate`",
        Format::Markdown => "--output markdown is for `runbook diff`",
        Format::Text | Format::Json => "",
    };
    ui.error(&format!("this verb's --output is {known}"), Some(hint));
    Exit::Invalid
}

/// Parses the command line, runs the verb, and turns a panic into a short message; the exit code.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let ui = Ui::from_environment(Colours::Auto);
    if let Some(exit) = completing::answer(&arguments, &command(), &ui) {
        return exit.into();
    }
    if !extension::is_called(&arguments) {
        return perform(respell(arguments), command()).into();
    }
    if extension::stands_behind() {
        let (arguments, mut hints) = extension::respell(arguments, &command());
        let (arguments, more) = respell(arguments);
        hints.extend(more);
        return perform((arguments, hints), command().bin_name(extension::SHOWN)).into();
    }
    extension::stand_before(&arguments).map_or_else(
        |error| {
            ui.error(&format!("runbook cannot be started: {error}"), None);
            Exit::Failed.into()
        },
        ExitCode::from,
    )
}

/// The command line's definition, with examples.
pub fn command() -> Command {
    examples::shown(Cli::command())
}

fn perform((arguments, hints): (Vec<OsString>, Vec<String>), mut command: Command) -> Exit {
    let detailed = arguments.iter().any(|it| it == "--detailed-exitcode");
    let parsed = command.try_get_matches_from_mut(arguments);
    let parsed = parsed.and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed.map_err(|error| error.format(&mut command)) {
        Ok(cli) => cli,
        Err(error) => {
            return match usage(&error) {
                // With it, 2 says that there is something to do.
                Exit::Invalid if detailed => Exit::Failed,
                exit => exit,
            };
        }
    };
    let ui = Ui::from_environment(cli.color.into());
    report_panics(&ui);
    start_log(&ui, cli.log_level.into(), cli.log_format == LogFormat::Json);
    hints.iter().for_each(|hint| ui.hint(hint));
    panic::catch_unwind(AssertUnwindSafe(|| cli.verb.run(&ui, cli.output))).unwrap_or(Exit::Bug)
}

/// Help and version go to stdout and are no error; the rest is how to call it.
fn usage(error: &clap::Error) -> Exit {
    // A closed pipe is no reason to fail.
    let _ = error.print();
    if error.exit_code() == 0 {
        Exit::Done
    } else {
        Exit::Invalid
    }
}

/// A panic is a bug: it is said in a line, with its place, and ends the process with 70.
fn report_panics(ui: &Ui) {
    let ui = ui.clone();
    panic::set_hook(Box::new(move |info| {
        let place = info
            .location()
            .map(|at| format!(" ({}:{})", at.file(), at.line()))
            .unwrap_or_default();
        let text = info
            .payload()
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned());
        let text = text
            .or_else(|| info.payload().downcast_ref::<String>().cloned())
            .unwrap_or_default();
        ui.last_words(
            &format!("a bug in runbook: {text}{place}"),
            Some("a run can be resumed: what was done is in its journal"),
        );
    }));
}

/// Reads a file, or stdin for `-`, but not more than a runbook can be.
///
/// # Errors
/// Where it cannot be read.
pub fn read(path: &Path) -> Result<Vec<u8>, Diagnostic> {
    let name = path.display().to_string();
    let fail = |why: &std::io::Error| {
        let message = format!("cannot read the file: {}", plain(why));
        let problem = Diagnostic::of_file(&name, Kind::File, message);
        match name.starts_with("rb-") {
            true => problem.note(format!("with a run go on by `runbook resume {name}`")),
            false => problem,
        }
    };
    let limit = LARGEST_FILE as u64 + 1;
    let mut bytes = Vec::new();
    if name == "-" {
        std::io::stdin()
            .lock()
            .take(limit)
            .read_to_end(&mut bytes)
            .map_err(|why| fail(&why))?;
    } else {
        let file = std::fs::File::open(path).map_err(|why| fail(&why))?;
        file.take(limit)
            .read_to_end(&mut bytes)
            .map_err(|why| fail(&why))?;
    }
    Ok(bytes)
}

fn plain(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        std::io::ErrorKind::IsADirectory => "it is a folder".to_owned(),
        _ => error.to_string(),
    }
}

/// Why a file cannot be written, in words; a folder that is not there is named.
pub fn unwritable(path: &Path, error: &std::io::Error) -> String {
    let why = match (error.kind(), missing_folder(path)) {
        (std::io::ErrorKind::NotFound, Some(folder)) => {
            format!("there is no folder {}", folder.display())
        }
        _ => plain(error),
    };
    format!("cannot write {}: {why}", path.display())
}

/// The folder that a file would be in, where there is none.
pub fn missing_folder(path: &Path) -> Option<&Path> {
    let folder = path.parent()?;
    (!folder.as_os_str().is_empty() && !folder.exists()).then_some(folder)
}

/// Reads and checks a runbook; its problems are printed.
///
/// # Errors
/// [`Exit::Invalid`], with everything said.
pub fn load(path: &Path, ui: &Ui, output: Output) -> Result<Runbook, Exit> {
    read(path)
        .map_err(|problem| vec![problem])
        .and_then(|bytes| Runbook::parse(&path.display().to_string(), &bytes))
        .map_err(|problems| invalid(&problems, ui, output))
}

/// Prints diagnostics: to stderr for people, to stdout as JSON.
pub fn invalid(problems: &[Diagnostic], ui: &Ui, output: Output) -> Exit {
    diagnose(problems, ui, output, Exit::Invalid)
}

/// The same, of what the runbook's guards refuse.
pub fn forbidden(problems: &[Diagnostic], ui: &Ui, output: Output) -> Exit {
    diagnose(problems, ui, output, Exit::Refused)
}

fn diagnose(problems: &[Diagnostic], ui: &Ui, output: Output, exit: Exit) -> Exit {
    match output {
        Output::Text => {
            let style = ui.err_style();
            let text = diagnostic::render(problems, style.colour, style.width.unwrap_or(140));
            let count = problems.len();
            ui.say(&format!(
                "{text}{count} problem{}\n",
                if count == 1 { "" } else { "s" }
            ));
        }
        Output::Json => {
            let valid = exit != Exit::Invalid;
            if print_json(ui, &json!({ "valid": valid, "diagnostics": problems })).is_err() {
                return Exit::Failed;
            }
        }
    }
    exit
}

/// Prints data as JSON.
///
/// # Errors
/// Where stdout cannot be written, other than a closed pipe.
pub fn print_json(ui: &Ui, value: &serde_json::Value) -> std::io::Result<()> {
    ui.write_data(|out| {
        write_json(value, true, out)?;
        out.write_all(b"\n")
    })
}

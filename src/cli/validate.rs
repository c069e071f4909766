//! `runbook validate FILE...`: offline, all problems of all files in one pass.

use std::path::PathBuf;

use serde_json::json;

use super::{Exit, Format};
use crate::diagnostic::{self, Diagnostic};
use crate::rehearsal::Rehearsal;
use crate::review::annotation;
use crate::runbook::Runbook;
use crate::ui::{Tone, Ui, count};

/// Check runbooks offline: all problems at once.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Runbooks and rehearsals; `-` is stdin.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

/// Exit 2 where anything is wrong, 0 where nothing is. `--output github` annotates the lines of a pull request.
pub fn run(arguments: &Arguments, ui: &Ui, format: Format) -> Exit {
    if matches!(format, Format::Csv | Format::Jsonl | Format::Markdown) {
        return super::no_such_format(format, "text, json or github", ui);
    }
    let mut problems = Vec::new();
    let mut valid = Vec::new();
    for path in &arguments.files {
        let name = path.display().to_string();
        let checked = super::read(path)
            .map_err(|problem| vec![problem])
            .and_then(|bytes| check(&name, &bytes));
        match checked {
            Ok(()) => valid.push(name),
            Err(found) => problems.extend(found),
        }
    }
    match (format.output(), problems.as_slice()) {
        (None, [_, ..]) => annotate(&problems, ui),
        (Some(output), [_, ..]) => super::invalid(&problems, ui, output),
        (Some(super::Output::Json), []) => {
            let nothing = json!({ "valid": true, "diagnostics": [] });
            super::runs::written(super::print_json(ui, &nothing), ui)
        }
        (_, []) => {
            let say = |name: &String| ui.line(Tone::Plain, &format!("{name}: valid"));
            valid.iter().for_each(say);
            Exit::Done
        }
    }
}

/// On stdout the commands and nothing else: the runner reads every line of a job's output, so that no text of
/// a file may stand there as it is.
fn annotate(problems: &[Diagnostic], ui: &Ui) -> Exit {
    let commands: String = problems
        .iter()
        .map(|problem| annotation(problem) + "\n")
        .collect();
    let written = super::runs::written(ui.write_data(|out| out.write_all(commands.as_bytes())), ui);
    ui.line(Tone::Bad, &count(problems.len() as u64, "problem"));
    match written {
        Exit::Done => Exit::Invalid,
        failed => failed,
    }
}

/// A runbook, or a rehearsal where the file says that it is one.
fn check(name: &str, bytes: &[u8]) -> Result<(), Vec<Diagnostic>> {
    if !is_rehearsal(bytes) {
        return Runbook::parse(name, bytes).map(drop);
    }
    Rehearsal::parse(name, bytes)
        .map(drop)
        .map_err(|mut found| {
            diagnostic::sort(&mut found);
            found
        })
}

fn is_rehearsal(bytes: &[u8]) -> bool {
    let declares = |line: &[u8]| {
        let value = line.strip_prefix(b"schema:").map(<[u8]>::trim_ascii);
        value.is_some_and(|value| value.starts_with(b"rehearsal/"))
    };
    bytes.split(|byte| *byte == b'\n').any(declares)
}

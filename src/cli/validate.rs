//! `runbook validate FILE...`: offline, all problems of all files in one pass.

use std::path::PathBuf;

use serde_json::json;

use super::{Exit, Output};
use crate::diagnostic::{self, Diagnostic};
use crate::rehearsal::Rehearsal;
use crate::runbook::Runbook;
use crate::ui::{Tone, Ui};

/// Check runbooks offline: all problems at once.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Runbooks and rehearsals; `-` is stdin.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

/// Exit 2 where anything is wrong, 0 where nothing is.
pub fn run(arguments: &Arguments, ui: &Ui, output: Output) -> Exit {
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
    if !problems.is_empty() {
        return super::invalid(&problems, ui, output);
    }
    match output {
        Output::Text => valid
            .iter()
            .for_each(|name| ui.line(Tone::Plain, &format!("{name}: valid"))),
        Output::Json => {
            if super::print_json(ui, &json!({ "valid": true, "diagnostics": [] })).is_err() {
                return Exit::Failed;
            }
        }
    }
    Exit::Done
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

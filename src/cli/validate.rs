//! `runbook validate FILE...`: offline, all problems of all files in one pass.

use std::path::PathBuf;

use serde_json::json;

use super::{Exit, Output};
use crate::runbook::Runbook;
use crate::ui::{Tone, Ui};

/// Check runbooks offline: all problems at once.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Runbooks; `-` is stdin.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

/// Exit 2 where anything is wrong, 0 where nothing is.
pub fn run(arguments: &Arguments, ui: &Ui, output: Output) -> Exit {
    let mut problems = Vec::new();
    let mut valid = Vec::new();
    for path in &arguments.files {
        let name = path.display().to_string();
        let parsed = super::read(path)
            .map_err(|problem| vec![problem])
            .and_then(|bytes| Runbook::parse(&name, &bytes));
        match parsed {
            Ok(_) => valid.push(name),
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

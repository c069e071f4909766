//! `runbook schema`: the JSON Schemas that are generated from the Rust types.

use clap::ValueEnum;

use super::Exit;
use crate::ui::Ui;
use crate::{rehearsal, runbook, schema};

/// Print a JSON Schema, for editors.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Of which file.
    #[arg(value_enum, default_value_t = Of::Runbook)]
    pub of: Of,
}

/// The files that have a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Of {
    /// `runbook/v1`
    Runbook,
    /// `rehearsal/v1`
    Rehearsal,
}

/// Prints it.
pub fn run(arguments: &Arguments, ui: &Ui) -> Exit {
    match ui.data(&text(arguments.of)) {
        Ok(()) => Exit::Done,
        Err(error) => {
            ui.error(&format!("cannot write: {error}"), None);
            Exit::Failed
        }
    }
}

/// The text of `schemas/*.v1.json`.
pub fn text(of: Of) -> String {
    match of {
        Of::Runbook => schema::text(runbook::schema().json()),
        Of::Rehearsal => schema::text(rehearsal::schema().json()),
    }
}

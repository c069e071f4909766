//! `runbook show RUN`: what happened in a run, from its journal.
//!
//! Reads the journal once, also while another process writes to it. Wiring; the renderings are
//! `report`'s.

use std::path::Path;

use clap::Args;

use super::runs::{refused, written};
use super::{Exit, Format};
use crate::journal::{self, JournalError};
use crate::page::located;
use crate::report::{Layout, Report, Workflows};
use crate::ui::Ui;

/// Show what happened in a run.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Run id, a beginning of it that no other run has, or the state file's path
    #[arg(value_name = "RUN")]
    pub run: String,
    /// List each Workflow: row, strategy, state, old and new Run ID, error; --output csv and jsonl do
    #[arg(long)]
    pub workflows: bool,
}

impl Arguments {
    /// How Workflows are written; none where they are not asked for.
    fn layout(&self, format: Format) -> Option<Layout> {
        match (format, self.workflows) {
            (Format::Csv, _) => Some(Layout::Csv),
            (Format::Jsonl, _) => Some(Layout::JsonLines),
            (Format::Json, true) => Some(Layout::Json),
            (Format::Text, true) => Some(Layout::Text),
            (_, false) | (Format::Markdown | Format::Github, _) => None,
        }
    }
}

/// Runs the verb.
pub fn run(arguments: &Arguments, ui: &Ui, format: Format) -> Exit {
    if matches!(format, Format::Markdown | Format::Github) {
        return super::no_such_format(format, "text, json, jsonl or csv", ui);
    }
    show(arguments, ui, format).unwrap_or_else(|error| refused(&error, ui))
}

fn show(arguments: &Arguments, ui: &Ui, format: Format) -> Result<Exit, JournalError> {
    let path = journal::find(&arguments.run)?;
    let printed = match arguments.layout(format) {
        Some(layout) => {
            let mut workflows = Workflows::new();
            read(&path, ui, |record| workflows.apply(record))?;
            ui.write_data(|out| workflows.write(layout, out))
        }
        None => {
            let mut report = Report::new();
            read(&path, ui, |record| report.apply(record))?;
            let located = located(&path, &report);
            match format {
                Format::Json => ui.write_data(|out| report.write_json(&located, out)),
                _ => ui.data(&report.text(&located, ui.out_style())),
            }
        }
    };
    Ok(written(printed, ui))
}

/// Reads a journal, and warns where its last line is not whole.
///
/// # Errors
/// Where it cannot be read, or is damaged.
pub fn read(
    path: &Path,
    ui: &Ui,
    mut each: impl FnMut(&crate::record::Record),
) -> Result<(), JournalError> {
    let mut records = journal::read(path)?;
    for record in &mut records {
        each(&record?);
    }
    if let Some(torn) = records.torn() {
        // Also what a reader sees of a line that is being written.
        let bytes = torn.bytes;
        ui.warning(&format!(
            "the last line is not whole ({bytes} bytes): it is left out here, and cut off on resume"
        ));
    }
    Ok(())
}

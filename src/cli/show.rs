//! `runbook show RUN`: what happened in a run, from its journal.
//!
//! Reads the journal once, also while another process writes to it. Wiring; the renderings are
//! `report`'s.

use std::path::Path;

use clap::{Args, ValueEnum};

use super::runs::{refused, written};
use crate::journal::{self, JournalError};
use crate::report::{Layout, Located, Report, Workflows};
use crate::ui::Ui;

/// Show what happened in a run: steps, times, questions and answers, counts
#[derive(Debug, Args)]
pub struct Show {
    /// Run id, a beginning of it that no other run has, or the state file's path
    #[arg(value_name = "RUN")]
    pub run: String,
    /// List each Workflow: row, strategy, state, old and new Run ID, error
    #[arg(long)]
    pub workflows: bool,
    /// How to print it; csv and jsonl list the Workflows
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people
    Text,
    /// One JSON document; with --workflows an array
    Json,
    /// Workflows, a JSON object a line
    Jsonl,
    /// Workflows as RFC 4180, with a header line
    Csv,
}

impl Show {
    fn layout(&self) -> Option<Layout> {
        match (self.output, self.workflows) {
            (Output::Csv, _) => Some(Layout::Csv),
            (Output::Jsonl, _) => Some(Layout::JsonLines),
            (Output::Json, true) => Some(Layout::Json),
            (Output::Text, true) => Some(Layout::Text),
            (Output::Json | Output::Text, false) => None,
        }
    }
}

/// Runs the verb; the exit code.
pub fn run(args: &Show, ui: &Ui) -> u8 {
    match show(args, ui) {
        Ok(code) => code,
        Err(error) => refused(&error, ui),
    }
}

fn show(args: &Show, ui: &Ui) -> Result<u8, JournalError> {
    let path = journal::find(&args.run)?;
    let printed = match args.layout() {
        Some(layout) => {
            let mut workflows = Workflows::new();
            read(&path, ui, |record| workflows.apply(record))?;
            ui.write_data(|out| workflows.write(layout, out))
        }
        None => {
            let mut report = Report::new();
            read(&path, ui, |record| report.apply(record))?;
            let located = locate(&path, &report);
            match args.output {
                Output::Json => ui.write_data(|out| report.write_json(&located, out)),
                _ => ui.data(&report.text(&located, ui.out_style())),
            }
        }
    };
    Ok(written(printed, ui))
}

fn read(
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

/// Where a run's journal is, and what to call it on a command line.
pub fn locate(path: &Path, report: &Report) -> Located {
    let id = crate::record::RunId(report.run.id.clone());
    let shown = path.display().to_string();
    let usual = journal::path_of(&id).is_ok_and(|usual| usual == path);
    Located {
        target: if usual { id.0 } else { shown.clone() },
        path: shown,
        holder: journal::running(path).map(|holder| {
            let known = holder.map(|holder| holder.to_string());
            known.unwrap_or_else(|| "somebody".to_owned())
        }),
    }
}

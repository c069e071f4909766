//! The ledger as the page's script takes it: a column each, texts that repeat once.
//!
//! A row as an object would take five times the room; 100,000 of them are to load at once. Everything that a
//! reader sees is made harmless here: the script puts it into the page as text, and no mark in a name can
//! turn or hide what stands around it.

use std::collections::HashMap;
use std::io::{self, Write};

use serde::Serialize;

use super::Dossier;
use crate::report::entry::{State, treatment_name};
use crate::report::format::{clip, harmless};
use crate::report::summary::health_word;
use crate::report::workflows::{WorkflowRow, treatment_words};

/// A longer text is cut, and says so: JSON and CSV have it whole.
const LONGEST: usize = 2_000;
/// With more rows than this, commands are left out: they would be most of the page.
const COMMANDS: usize = 10_000;

/// Rows, column by column. A number in `step`, `row`, `strategy`, `outcome`, `type`, `health` and `why` stands for a
/// text.
#[derive(Default, Serialize)]
struct Columns {
    /// Record up to which this holds.
    seq: u64,
    /// Workflows in the whole ledger.
    total: usize,
    /// Whether commands are there.
    commands: bool,
    texts: Vec<String>,
    ordinal: Vec<u32>,
    step: Vec<u32>,
    iteration: Vec<u32>,
    row: Vec<u32>,
    strategy: Vec<u32>,
    outcome: Vec<u32>,
    #[serde(rename = "type")]
    workflow_type: Vec<u32>,
    health: Vec<u32>,
    why: Vec<u32>,
    id: Vec<String>,
    run: Vec<String>,
    new_run: Vec<String>,
    /// Milliseconds since 1970.
    claimed: Vec<i64>,
    since: Vec<i64>,
    command: Vec<String>,
    link: Vec<String>,
    /// The number of each text.
    #[serde(skip)]
    numbers: HashMap<String, u32>,
}

impl Columns {
    fn text(&mut self, text: &str) -> u32 {
        let shown = shown(text);
        if let Some(number) = self.numbers.get(&shown) {
            return *number;
        }
        let number = u32::try_from(self.texts.len()).unwrap_or(0);
        self.texts.push(shown.clone());
        self.numbers.insert(shown, number);
        number
    }

    fn push(&mut self, row: &WorkflowRow<'_>) {
        let step = self.text(row.step);
        self.step.push(step);
        let name = self.text(row.row);
        self.row.push(name);
        let strategy = self.text(row.strategy);
        self.strategy.push(strategy);
        let outcome = self.text(outcome(row));
        self.outcome.push(outcome);
        let workflow_type = self.text(row.workflow_type);
        self.workflow_type.push(workflow_type);
        let health = self.text(row.health.map_or("", health_word));
        self.health.push(health);
        let why = self.text(&why(row));
        self.why.push(why);
        self.ordinal.push(row.ordinal);
        self.iteration.push(row.iteration);
        self.id.push(shown(row.workflow_id));
        self.run.push(shown(&row.run_id));
        self.new_run
            .push(shown(row.new_run_id.as_deref().unwrap_or("")));
        self.claimed.push(row.claimed.as_millisecond());
        self.since.push(row.since.as_millisecond());
        if self.commands {
            self.command.push(shown(&row.command));
            self.link.push(shown(&row.link));
        }
    }
}

pub(super) fn shown(text: &str) -> String {
    harmless(&clip(text, LONGEST)).into_owned()
}

/// What became of it, in a word or two.
pub(super) fn outcome(row: &WorkflowRow<'_>) -> &'static str {
    match (row.state, row.treatment) {
        (State::Done, Some(treatment)) => treatment_words(treatment),
        (State::Done, None) => treatment_name(crate::record::Treatment::Moved),
        (state, _) => state.words(),
    }
}

/// Why, in a line.
pub(super) fn why(row: &WorkflowRow<'_>) -> String {
    match (row.code, row.message) {
        ("", message) => message.to_owned(),
        (code, "") => code.to_owned(),
        (code, message) => format!("{code}: {message}"),
    }
}

/// Writes the rows that changed after `since`.
pub(super) fn write(dossier: &Dossier, since: u64, out: &mut dyn Write) -> io::Result<()> {
    let rows = dossier.workflows.len();
    let mut columns = Columns {
        seq: dossier.seq,
        total: rows,
        commands: rows <= COMMANDS,
        ..Columns::default()
    };
    columns.text("");
    for index in 0..rows {
        if dossier.changed.get(index).is_none_or(|seq| *seq > since)
            && let Some(row) = dossier.workflows.at(index)
        {
            columns.push(&row);
        }
    }
    serde_json::to_writer(out, &columns).map_err(io::Error::from)
}

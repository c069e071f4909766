//! Each Workflow that a run touched: a fold, and its rows as text, JSON, JSON Lines and CSV.
//!
//! What becomes of a Workflow is known only when the last record was read, so a compact entry of each is
//! kept (about 150 bytes with its names); rows are made one at a time while they are written. In JSON a
//! harmful character is written as an escape and keeps its value; in CSV and text it is shown as
//! [`harmless`] shows it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::{self, Write as _};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::entry::{Change, State, change, treatment_name};
use super::format::{LONGEST_CELL, clip, columns, harmless, is_harmful};
use super::summary::health_word;
use crate::decision::Naming;
use crate::diagnostic::is_plain;
use crate::equivalent::{self, At};
use crate::record::{Body, Claim, Health, Ordinal, Record, Treatment, Write};
use crate::survey::WorkflowKey;

/// Texts that are kept once, however often they occur; further ones are kept each time.
const SHARED: usize = 10_000;
/// Distinct writes that are kept; of further ones no command is shown.
const WRITES: usize = 1_000;

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Columns.
    Text,
    /// One array.
    Json,
    /// An object a line.
    JsonLines,
    /// RFC 4180, with a header line.
    Csv,
}

/// One Workflow as it is written. Fields are only ever added.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WorkflowRow<'a> {
    /// Number of its ledger entry.
    pub ordinal: Ordinal,
    /// Step that claimed it.
    pub step: &'a str,
    /// Iteration of the loop around the step; 0 outside of one.
    pub iteration: u32,
    /// Row that took it; empty where none was named.
    pub row: &'a str,
    /// Strategy in force; empty where nothing was about to be sent.
    pub strategy: &'a str,
    /// How far it is.
    pub state: State,
    /// What was done to it, or what was about to be done.
    pub treatment: Option<Treatment>,
    /// Workflow ID.
    pub workflow_id: &'a str,
    /// Workflow Type.
    pub workflow_type: &'a str,
    /// Run ID that was claimed.
    pub run_id: String,
    /// Run that took its place.
    pub new_run_id: Option<String>,
    /// How it was when somebody last looked after its recovery.
    pub health: Option<Health>,
    /// gRPC code or refusal; empty where there is none.
    pub code: &'a str,
    /// Error, or why it was skipped.
    pub message: &'a str,
    /// When it was claimed.
    pub claimed: Timestamp,
    /// When it came into this state.
    pub since: Timestamp,
    /// The command that does the write by hand; empty where nothing was about to be sent, or the CLI has none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub command: String,
    /// The page of its newest run in the Web UI; empty where the UI's address is not known.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub link: String,
}

/// The fold.
#[derive(Clone, Debug, Default)]
pub struct Workflows {
    texts: Texts,
    entries: Vec<Entry>,
    /// Where commands go, and the run's id.
    address: String,
    namespace: String,
    ui: String,
    run: String,
    /// What was sent, without what is one Workflow's alone: a step has a few of them.
    writes: Vec<Write>,
}

#[derive(Clone, Debug)]
struct Entry {
    id: Span,
    run: RunName,
    new_run: Option<RunName>,
    workflow_type: Span,
    step: Span,
    row: Span,
    strategy: Span,
    code: Span,
    message: Span,
    iteration: u32,
    claimed: i64,
    since: i64,
    state: State,
    treatment: Option<Treatment>,
    health: Option<Health>,
    /// Number in `writes`, from 1; 0 is none.
    write: u32,
    /// Event id of a reset.
    event: i64,
}

/// A piece of [`Texts`].
#[derive(Clone, Copy, Debug, Default)]
struct Span {
    start: u32,
    length: u32,
}

/// A Run ID: 16 bytes where it is written as Temporal writes a UUID.
#[derive(Clone, Copy, Debug)]
enum RunName {
    Uuid([u8; 16]),
    Text(Span),
}

/// All texts, one after another.
#[derive(Clone, Debug, Default)]
struct Texts {
    all: String,
    shared: HashMap<String, Span>,
}

impl Texts {
    /// Past 4 GiB texts are left out rather than mixed up.
    fn push(&mut self, text: &str) -> Span {
        let (Ok(start), Ok(length)) = (u32::try_from(self.all.len()), u32::try_from(text.len()))
        else {
            return Span::default();
        };
        self.all.push_str(text);
        Span { start, length }
    }

    fn share(&mut self, text: &str) -> Span {
        if text.is_empty() {
            return Span::default();
        }
        if let Some(span) = self.shared.get(text) {
            return *span;
        }
        let span = self.push(text);
        if self.shared.len() < SHARED {
            self.shared.insert(text.to_owned(), span);
        }
        span
    }

    fn get(&self, span: Span) -> &str {
        &self.all[span.start as usize..][..span.length as usize]
    }

    fn run(&mut self, run: &str) -> RunName {
        match uuid::Uuid::try_parse(run) {
            Ok(uuid) if uuid.hyphenated().encode_lower(&mut [0; 36]) == run => {
                RunName::Uuid(uuid.into_bytes())
            }
            _ => RunName::Text(self.push(run)),
        }
    }

    fn run_name(&self, run: RunName) -> String {
        match run {
            RunName::Uuid(bytes) => uuid::Uuid::from_bytes(bytes).to_string(),
            RunName::Text(span) => self.get(span).to_owned(),
        }
    }
}

impl Workflows {
    /// Of no records.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no Workflow was claimed.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Folds one more record in.
    pub fn apply(&mut self, record: &Record) {
        let at = record.at.as_millisecond();
        if let Body::Intent { ordinal, write, .. } = &record.body {
            self.intend(*ordinal, write);
        }
        if let Some(change) = change(&record.body) {
            self.change(&change, at);
            return;
        }
        match &record.body {
            Body::Opened { run, plan, .. } => {
                let text = |name: &str| {
                    let value = plan.pointer(&format!("/survey/preflight/{name}"));
                    value.and_then(Value::as_str).unwrap_or_default().to_owned()
                };
                self.address = text("address");
                self.namespace = text("namespace");
                self.ui = text("ui");
                self.run.clone_from(&run.0);
            }
            Body::Page { place, claims, .. } => {
                let step = self.texts.share(&place.step);
                for claim in claims {
                    self.claim(claim, step, place.iteration, at);
                }
            }
            Body::Retried { ordinals } => {
                for entry in ordinals.iter().copied() {
                    if let Some(entry) = self.entries.get_mut(entry as usize) {
                        entry.become_state(State::Claimed, at);
                    }
                }
            }
            Body::Verified {
                ordinal, health, ..
            } => {
                if let Some(entry) = self.entries.get_mut(*ordinal as usize) {
                    entry.health = Some(*health);
                }
            }
            _ => {}
        }
    }

    fn intend(&mut self, ordinal: Ordinal, write: &Write) {
        let (common, event) = write.split();
        let known = self.writes.iter().position(|known| *known == common);
        let number = known.unwrap_or_else(|| {
            if self.writes.len() < WRITES {
                self.writes.push(common);
            }
            self.writes.len() - 1
        });
        if let Some(entry) = self.entries.get_mut(ordinal as usize) {
            let same = self.writes[number] == write.split().0;
            entry.write = if same {
                u32::try_from(number + 1).unwrap_or(0)
            } else {
                0
            };
            entry.event = event;
        }
    }

    fn command(&self, entry: &Entry) -> String {
        let Some(write) = (entry.write as usize)
            .checked_sub(1)
            .and_then(|n| self.writes.get(n))
        else {
            return String::new();
        };
        let key = WorkflowKey {
            workflow_id: self.texts.get(entry.id).to_owned(),
            run_id: self.texts.run_name(entry.run),
        };
        let (run, step) = (self.run.as_str(), self.texts.get(entry.step));
        let at = At {
            address: &self.address,
            namespace: &self.namespace,
        };
        let mark = Naming { run, step }.mark();
        equivalent::of_write(&write.joined(entry.event), &key, &mark, at).command
    }

    fn link(&self, entry: &Entry) -> String {
        if self.ui.is_empty() {
            return String::new();
        }
        let key = WorkflowKey {
            workflow_id: self.texts.get(entry.id).to_owned(),
            run_id: self.texts.run_name(entry.new_run.unwrap_or(entry.run)),
        };
        equivalent::link(&self.ui, &self.namespace, &key)
    }

    fn claim(&mut self, claim: &Claim, step: Span, iteration: u32, at: i64) {
        if claim.ordinal as usize != self.entries.len() {
            return;
        }
        let entry = Entry {
            id: self.texts.push(&claim.id),
            run: self.texts.run(&claim.run),
            new_run: None,
            workflow_type: self.texts.share(&claim.workflow_type),
            step,
            row: Span::default(),
            strategy: Span::default(),
            code: Span::default(),
            message: Span::default(),
            iteration,
            claimed: at,
            since: at,
            state: State::Claimed,
            treatment: None,
            health: None,
            write: 0,
            event: 0,
        };
        self.entries.push(entry);
    }

    fn change(&mut self, change: &Change<'_>, at: i64) {
        let Some(entry) = self.entries.get_mut(change.ordinal as usize) else {
            return;
        };
        entry.become_state(change.state, at);
        entry.code = self.texts.share(change.code);
        entry.message = self.texts.share(&change.message);
        if !change.row.is_empty() {
            entry.row = self.texts.share(change.row);
        }
        if !change.strategy.is_empty() {
            entry.strategy = self.texts.share(change.strategy);
        }
        entry.treatment = change.treatment.or(entry.treatment);
        entry.new_run = change.new_run.map(|run| self.texts.run(run));
    }

    /// Row by row, in the order of claims.
    pub fn rows(&self) -> impl Iterator<Item = WorkflowRow<'_>> {
        self.entries
            .iter()
            .enumerate()
            .map(|(i, entry)| self.row(i, entry))
    }

    /// The one with this number.
    pub(super) fn at(&self, ordinal: usize) -> Option<WorkflowRow<'_>> {
        Some(self.row(ordinal, self.entries.get(ordinal)?))
    }

    fn row(&self, i: usize, entry: &Entry) -> WorkflowRow<'_> {
        let text = |span| self.texts.get(span);
        let time = |ms| Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH);
        WorkflowRow {
            ordinal: Ordinal::try_from(i).unwrap_or(Ordinal::MAX),
            step: text(entry.step),
            iteration: entry.iteration,
            row: text(entry.row),
            strategy: text(entry.strategy),
            state: entry.state,
            treatment: entry.treatment,
            workflow_id: text(entry.id),
            workflow_type: text(entry.workflow_type),
            run_id: self.texts.run_name(entry.run),
            new_run_id: entry.new_run.map(|run| self.texts.run_name(run)),
            health: entry.health,
            code: text(entry.code),
            message: text(entry.message),
            claimed: time(entry.claimed),
            since: time(entry.since),
            command: self.command(entry),
            link: self.link(entry),
        }
    }

    /// Writes all rows, each as soon as it is made.
    pub fn write(&self, layout: Layout, out: &mut dyn io::Write) -> io::Result<()> {
        let mut out = io::BufWriter::with_capacity(1 << 16, out);
        match layout {
            Layout::Text => self.write_text(&mut out),
            Layout::Json => self.write_array(&mut out),
            Layout::JsonLines => self.rows().try_for_each(|row| {
                write_json(&row, false, &mut out)?;
                out.write_all(b"\n")
            }),
            Layout::Csv => self.write_csv(&mut out),
        }?;
        out.flush()
    }

    fn write_array(&self, out: &mut dyn io::Write) -> io::Result<()> {
        out.write_all(b"[")?;
        for (i, row) in self.rows().enumerate() {
            out.write_all(if i == 0 { b"\n  " } else { b",\n  " })?;
            write_json(&row, false, out)?;
        }
        out.write_all(if self.is_empty() { b"]\n" } else { b"\n]\n" })
    }

    fn write_csv(&self, out: &mut dyn io::Write) -> io::Result<()> {
        const HEADER: &str = "ordinal,step,iteration,row,strategy,state,treatment,workflow_id,workflow_type,run_id,new_run_id,health,code,message,claimed,since,command,link";
        out.write_all(HEADER.as_bytes())?;
        out.write_all(b"\r\n")?;
        for row in self.rows() {
            let ordinal = row.ordinal.to_string();
            let iteration = row.iteration.to_string();
            let claimed = row.claimed.to_string();
            let since = row.since.to_string();
            let fields = [
                ordinal.as_str(),
                row.step,
                &iteration,
                row.row,
                row.strategy,
                row.state.name(),
                row.treatment.map_or("", treatment_name),
                row.workflow_id,
                row.workflow_type,
                &row.run_id,
                row.new_run_id.as_deref().unwrap_or(""),
                row.health.map_or("", health_name),
                row.code,
                row.message,
                &claimed,
                &since,
                &row.command,
                &row.link,
            ];
            for (i, field) in fields.into_iter().enumerate() {
                if i > 0 {
                    out.write_all(b",")?;
                }
                write_field(field, out)?;
            }
            out.write_all(b"\r\n")?;
        }
        Ok(())
    }

    /// Columns as wide as their widest cell; lines are not broken, so that they can be searched.
    fn write_text(&self, out: &mut dyn io::Write) -> io::Result<()> {
        const HEADS: [&str; 9] = [
            "STEP", "ROW", "STATE", "STRATEGY", "WORKFLOW", "TYPE", "RUN", "NEW RUN", "HEALTH",
        ];
        if self.is_empty() {
            return out.write_all(b"No Workflow was touched.\n");
        }
        let mut widths = HEADS.map(str::len);
        for row in self.rows() {
            for (width, cell) in widths.iter_mut().zip(cells(&row)) {
                *width = (*width).max(columns(&clip(&harmless(cell), LONGEST_CELL)));
            }
        }
        write_line(&HEADS, "WHY", &widths, out)?;
        for row in self.rows() {
            let why = match (row.code, row.message) {
                ("", message) => message.to_owned(),
                (code, "") => code.to_owned(),
                (code, message) => format!("{code}: {message}"),
            };
            write_line(&cells(&row), &why, &widths, out)?;
        }
        Ok(())
    }
}

impl Entry {
    fn become_state(&mut self, state: State, at: i64) {
        self.state = state;
        self.since = at;
        self.code = Span::default();
        self.message = Span::default();
    }
}

fn cells<'a>(row: &'a WorkflowRow<'_>) -> [&'a str; 9] {
    let state = match (row.state, row.treatment) {
        (State::Done, Some(treatment)) => treatment_words(treatment),
        (state, _) => state.words(),
    };
    [
        row.step,
        row.row,
        state,
        row.strategy,
        row.workflow_id,
        row.workflow_type,
        &row.run_id,
        row.new_run_id.as_deref().unwrap_or(""),
        row.health.map_or("", health_word),
    ]
}

fn write_line(
    cells: &[&str; 9],
    last: &str,
    widths: &[usize; 9],
    out: &mut dyn io::Write,
) -> io::Result<()> {
    let mut line = String::new();
    for (cell, width) in cells.iter().zip(widths) {
        let cell = harmless(cell);
        let cell = clip(&cell, LONGEST_CELL);
        line.push_str(&cell);
        // A column that is empty throughout has its heading's width: kept, so that columns are stable.
        line.extend(std::iter::repeat_n(
            ' ',
            width.saturating_sub(columns(&cell)) + 2,
        ));
    }
    line.push_str(&clip(&harmless(last), LONGEST_CELL));
    out.write_all(line.trim_end().as_bytes())?;
    out.write_all(b"\n")
}

pub(super) fn treatment_words(treatment: Treatment) -> &'static str {
    match treatment {
        Treatment::StartedOver => "started over",
        treatment => treatment_name(treatment),
    }
}

fn health_name(health: Health) -> &'static str {
    match health {
        Health::Failed => "failed",
        health => health_word(health),
    }
}

/// A field of RFC 4180: in quotes where it holds a comma, a quote, or spaces at its ends; quotes doubled. What
/// a spreadsheet would compute gets a `'` before it, which spreadsheets take for "this is text".
fn write_field(field: &str, out: &mut dyn io::Write) -> io::Result<()> {
    let computes =
        field.starts_with(['=', '+', '-', '@', '\t', '\r']) && field.parse::<f64>().is_err();
    let field = match computes {
        true => Cow::Owned(format!("'{}", harmless(field))),
        false => harmless(field),
    };
    let bare = !field.contains([',', '"']) && !field.starts_with(' ') && !field.ends_with(' ');
    if bare {
        return out.write_all(field.as_bytes());
    }
    write!(out, "\"{}\"", field.replace('"', "\"\""))
}

/// Writes JSON in which harmful characters are escaped: the same data, safe to look at.
pub fn write_json<T: Serialize + ?Sized>(
    value: &T,
    pretty: bool,
    out: &mut dyn io::Write,
) -> io::Result<()> {
    let result = match pretty {
        true => {
            let formatter = Escaping(serde_json::ser::PrettyFormatter::new());
            value.serialize(&mut serde_json::Serializer::with_formatter(out, formatter))
        }
        false => {
            let formatter = Escaping(serde_json::ser::CompactFormatter);
            value.serialize(&mut serde_json::Serializer::with_formatter(out, formatter))
        }
    };
    result.map_err(io::Error::from)
}

/// A JSON formatter that escapes what is harmful in strings and leaves the rest to another one.
struct Escaping<F>(F);

impl<F: serde_json::ser::Formatter> serde_json::ser::Formatter for Escaping<F> {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        if is_plain(fragment) {
            return writer.write_all(fragment.as_bytes());
        }
        while let Some(at) = rest.find(is_harmful) {
            writer.write_all(&rest.as_bytes()[..at])?;
            let c = rest[at..].chars().next().unwrap_or_default();
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
            rest = &rest[at + c.len_utf8()..];
        }
        writer.write_all(rest.as_bytes())
    }

    fn begin_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_array(writer)
    }

    fn end_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array(writer)
    }

    fn begin_array_value<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.0.begin_array_value(writer, first)
    }

    fn end_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array_value(writer)
    }

    fn begin_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object(writer)
    }

    fn end_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object(writer)
    }

    fn begin_object_key<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.0.begin_object_key(writer, first)
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object_value(writer)
    }

    fn end_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object_value(writer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn json_keeps_every_string_and_shows_nothing_harmful(text in any::<String>(), pretty: bool) {
            let mut out = Vec::new();
            write_json(&text, pretty, &mut out).expect("memory");
            let shown = String::from_utf8(out).expect("UTF-8");
            prop_assert!(!shown.chars().any(is_harmful));
            prop_assert_eq!(serde_json::from_str::<String>(&shown).expect("JSON"), text);
        }

        #[test]
        fn a_csv_field_can_be_read_back(text in "[a-z,\" ü]{0,12}") {
            let mut out = Vec::new();
            write_field(&text, &mut out).expect("memory");
            let shown = String::from_utf8(out).expect("UTF-8");
            let inner = shown.strip_prefix('"').and_then(|s| s.strip_suffix('"'));
            let back = inner.map_or(shown.clone(), |s| s.replace("\"\"", "\""));
            prop_assert_eq!(back, text);
            prop_assert_eq!(inner.is_none(), !shown.contains([',', '"']) && shown.trim() == shown);
        }

        #[test]
        fn no_csv_field_is_a_formula(text in "[=+@\t\r-][a-z0-9|!'(]{0,8}") {
            let mut out = Vec::new();
            write_field(&text, &mut out).expect("memory");
            let shown = String::from_utf8(out).expect("UTF-8");
            let kept = shown.trim_start_matches('"').starts_with('\'') || shown.parse::<f64>().is_ok();
            prop_assert!(kept, "{}", shown);
        }

        #[test]
        fn any_run_id_is_kept(run in "[0-9a-fA-F-]{0,40}") {
            let mut texts = Texts::default();
            let name = texts.run(&run);
            prop_assert_eq!(texts.run_name(name), run);
        }
    }

    #[test]
    fn a_uuid_takes_sixteen_bytes() {
        let mut texts = Texts::default();
        let run = texts.run("019a0000-0000-7000-8000-00000000000f");
        assert!(matches!(run, RunName::Uuid(_)));
        assert_eq!(texts.run_name(run), "019a0000-0000-7000-8000-00000000000f");
    }
}

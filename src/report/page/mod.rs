//! A run as a document: for whoever follows it from afar, and whoever reads what happened next week.
//!
//! [`Dossier`] folds records into all that a page shows; [`Page`] is that as plain data, and each format is made
//! of it: one self-contained HTML file, Markdown for an incident review, JSON, and CSV (the ledger). The
//! same fragments of HTML make the live page. Pure: input is records, output is bytes.

mod chronicle;
mod html;
mod ledger;
mod markdown;
mod model;

use std::io::{self, Write};

use serde::Serialize;
use serde::ser::{SerializeSeq, Serializer};

pub use chronicle::{Chronicle, Point};
pub use html::{Shell, policy, runs_fragment, shell};
pub use model::Page;

use super::entry::change;
use super::fold::Report;
use super::summary::Located;
use super::workflows::{Layout, Workflows, write_json};
use crate::record::{Body, Ordinal, Record};

/// All that a page shows of a run, kept while records arrive.
#[derive(Clone, Debug, Default)]
pub struct Dossier {
    report: Report,
    workflows: Workflows,
    chronicle: Chronicle,
    /// By ledger entry: the record that changed it last.
    changed: Vec<u64>,
    seq: u64,
}

impl Dossier {
    /// Of no records.
    pub fn new() -> Self {
        Self::default()
    }

    /// Folds one more record in.
    pub fn apply(&mut self, record: &Record) {
        self.report.apply(record);
        self.workflows.apply(record);
        self.chronicle.apply(record);
        self.seq = record.seq;
        self.touch(record);
    }

    fn touch(&mut self, record: &Record) {
        let seq = record.seq;
        let mut touch = |ordinal: Ordinal| {
            if let Some(changed) = self.changed.get_mut(ordinal as usize) {
                *changed = seq;
            }
        };
        match &record.body {
            Body::Page { .. } => {}
            Body::Retried { ordinals } => ordinals.iter().copied().for_each(touch),
            Body::Verified { ordinal, .. } => touch(*ordinal),
            body => change(body).into_iter().for_each(|one| touch(one.ordinal)),
        }
        self.changed.resize(self.workflows.len(), seq);
    }

    /// The number of the last record.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// The run as a whole.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Each Workflow.
    pub fn workflows(&self) -> &Workflows {
        &self.workflows
    }

    /// What a page shows, but the ledger.
    pub fn page<'a>(&'a self, located: &'a Located) -> Page<'a> {
        Page::of(&self.report, &self.chronicle, self.workflows.len(), located)
    }

    /// The page's data, with each Workflow, as JSON: `page/v1`.
    ///
    /// # Errors
    /// Where `out` cannot be written.
    pub fn write_json(&self, located: &Located, out: &mut dyn Write) -> io::Result<()> {
        let mut out = io::BufWriter::with_capacity(1 << 16, out);
        let document = Document {
            page: self.page(located),
            ledger: Rows(&self.workflows),
        };
        write_json(&document, true, &mut out)?;
        out.write_all(b"\n")?;
        out.flush()
    }

    /// The ledger as CSV.
    ///
    /// # Errors
    /// Where `out` cannot be written.
    pub fn write_csv(&self, out: &mut dyn Write) -> io::Result<()> {
        self.workflows.write(Layout::Csv, out)
    }

    /// A document for an incident review, as GitHub shows Markdown.
    pub fn markdown(&self, located: &Located) -> String {
        markdown::render(&self.page(located), &self.workflows)
    }

    /// One file that needs nothing else: no network, no other file.
    ///
    /// # Errors
    /// Where `out` cannot be written.
    pub fn write_html(&self, located: &Located, out: &mut dyn Write) -> io::Result<()> {
        html::write_file(self, located, out)
    }

    /// The live page's sections, but the ledger's rows, as a fragment of HTML.
    /// Where answers can be given, the open question has a form, and it says whose they are.
    pub fn fragment(&self, located: &Located, answers_as: Option<&str>) -> String {
        let purpose = match answers_as {
            Some(who) => html::Use::Answer(who),
            None => html::Use::Watch,
        };
        html::fragment(self, located, purpose)
    }

    /// The ledger's rows that changed after record `since`, as the page's script takes them; 0 is all of them.
    ///
    /// # Errors
    /// Where `out` cannot be written.
    pub fn write_ledger(&self, since: u64, out: &mut dyn Write) -> io::Result<()> {
        ledger::write(self, since, out)
    }
}

/// What `--format json` holds. Fields are only ever added.
#[derive(Serialize)]
struct Document<'a> {
    page: Page<'a>,
    /// Each Workflow, as `show --workflows --output json` has it.
    ledger: Rows<'a>,
}

struct Rows<'a>(&'a Workflows);

impl Serialize for Rows<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut rows = serializer.serialize_seq(Some(self.0.len()))?;
        for row in self.0.rows() {
            rows.serialize_element(&row)?;
        }
        rows.end()
    }
}

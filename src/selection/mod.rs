//! Which Workflows a step is about, once everything is filled in: the source, what is left out, and what was
//! found of it.
//!
//! Pure. Visibility, files and the ledger are read elsewhere; here is what they are asked for, and the rules that hold for
//! whatever they answer. An exclusion by a List Filter leaves out what *matches*: a Workflow of which that cannot
//! be told is not left out.
//!
//! - [`reader`]: names in a file, one after the other.

pub mod reader;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::catalog::{Named, OfLedger, Only, Select};
use crate::list_filter::{self, Filter};
use crate::survey::{Listed, WorkflowKey};

/// Why a claim by Workflow ID is given back when the ID has another run by the time of the look: the other
/// run is claimed in its place.
pub const ANOTHER_RUN: &str = "its Workflow ID has another run by now";
/// Samples of names that are shown.
pub const SAMPLES: usize = 5;

/// Where Workflows come from.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Source {
    /// A List Filter: the table's scope.
    #[default]
    Query,
    /// These.
    Ids(Vec<Named>),
    /// The names in this file, relative to the working directory.
    File(String),
    /// What earlier steps had. Whoever knows the ledger puts their names in its place.
    Ledger(OfLedger),
}

/// What is left out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exclusion {
    /// What matches this.
    pub filter: Option<Filter>,
    /// These, those that earlier steps had among them; one without a run stands for all its runs.
    pub names: NameSet,
    /// The names in this file.
    pub file: Option<String>,
    /// The folder that the file must not leave.
    pub within: Option<String>,
    /// What earlier steps had.
    pub ledger: Option<OfLedger>,
    /// And which steps had it, in words.
    pub from: String,
}

/// A selection with everything filled in. The default is a query and nothing besides.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Selection {
    /// Where they come from.
    pub source: Source,
    /// Which steps had them, in words, where they are the names that earlier steps had.
    pub from: String,
    /// The folder that the file must not leave; none where an operator named the file.
    pub within: Option<String>,
    /// Which are left out.
    pub exclude: Exclusion,
    /// What must be true of each besides, as its look finds it.
    pub only: Option<Only>,
    /// The most that are taken.
    pub limit: Option<u64>,
    /// So many, drawn at random.
    pub sample: Option<u64>,
}

/// Attributes that every Workflow has from its start: `NOT (…)` of a condition on these is the same to every
/// store, so the service may leave these Workflows out of a listing.
const ALWAYS_THERE: [&str; 6] = [
    "WorkflowId",
    "RunId",
    "WorkflowType",
    "StartTime",
    "ExecutionStatus",
    "TaskQueue",
];

/// Attributes that a look does not have: a condition on one can be listed by, and not judged by.
pub const NOT_IN_A_LOOK: [&str; 7] = [
    "HistoryLength",
    "StateTransitionCount",
    "HistorySizeBytes",
    "RootWorkflowId",
    "RootRunId",
    "TemporalExternalPayloadCount",
    "TemporalExternalPayloadSizeBytes",
];

impl Exclusion {
    /// Whether anything is left out.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Why this Workflow is left out by its attributes, if it is.
    pub fn by_attributes(&self, listed: &Listed) -> Option<String> {
        let filter = self.filter.as_ref()?;
        filter
            .matches(listed)
            .then(|| format!("excluded: `{}` holds", filter.render()))
    }

    /// The part of a listing's query that leaves these out, where the service does it as it is done here.
    pub fn sent(&self) -> Option<Filter> {
        let filter = self.filter.as_ref()?;
        let safe = filter
            .attribute_names()
            .iter()
            .all(|name| ALWAYS_THERE.contains(name));
        safe.then(|| filter.clone().negate())
    }

    /// In words; empty for nothing.
    pub fn words(&self) -> String {
        let mut parts = Vec::new();
        parts.extend(
            self.filter
                .as_ref()
                .map(|filter| format!("`{}`", filter.render())),
        );
        if !self.names.is_empty() && self.from.is_empty() {
            parts.push(counted(self.names.len() as u64, "named Workflow"));
        }
        parts.extend(self.file.as_ref().map(|file| format!("those in {file}")));
        parts.extend(self.ledger.as_ref().map(of_ledger));
        parts.extend(Some(self.from.clone()).filter(|from| !from.is_empty()));
        parts.join(", ")
    }
}

impl Selection {
    /// From rendered arguments: the scope of the listing, and the rest. `known` is the query where it was parsed
    /// before.
    ///
    /// # Errors
    /// Where there is not exactly one source, or a query does not parse: the offline checks should have said so.
    pub fn new(select: &Select, known: Option<Filter>) -> Result<(Filter, Self), String> {
        let parse = |text: &str| {
            list_filter::parse(text).map_err(|problems| {
                problems
                    .first()
                    .map_or_else(String::new, |p| p.message.clone())
            })
        };
        let mut scope = Filter::everything();
        let source = match (&select.query, &select.ids, &select.file, &select.ledger) {
            (Some(text), None, None, None) => {
                scope = match known {
                    Some(filter) => filter,
                    None => parse(text)?,
                };
                Source::Query
            }
            (None, Some(ids), None, None) => Source::Ids(ids.clone()),
            (None, None, Some(file), None) => Source::File(file.clone()),
            (None, None, None, Some(ledger)) => Source::Ledger(ledger.clone()),
            _ => {
                return Err(
                    "`select` wants exactly one of `query`, `ids`, `file` and `ledger`".to_owned(),
                );
            }
        };
        let exclude = select.exclude.clone().unwrap_or_default();
        let filter = exclude.query.as_deref().map(parse).transpose()?;
        let unjudgeable = filter.as_ref().and_then(|filter| {
            let names = filter.attribute_names();
            names
                .into_iter()
                .find(|name| NOT_IN_A_LOOK.contains(name))
                .map(str::to_owned)
        });
        if let Some(name) = unjudgeable {
            return Err(format!(
                "`exclude` cannot be judged by `{name}`: a look does not have it"
            ));
        }
        let selection = Self {
            source,
            from: String::new(),
            within: select.within.clone(),
            exclude: Exclusion {
                // What can match nothing leaves nothing out.
                filter: filter.filter(|filter| filter.fold().constant() != Some(false)),
                names: NameSet::of(exclude.ids.iter().flatten()),
                file: exclude.file,
                within: exclude.within,
                ledger: exclude.ledger,
                from: String::new(),
            },
            only: select.only,
            limit: select.limit,
            sample: select.sample,
        };
        Ok((scope, selection))
    }

    /// Whether the Workflows are given by name: each is then looked up, and none is dropped silently.
    pub fn is_named(&self) -> bool {
        self.source != Source::Query
    }

    /// Whether it is a query and nothing besides.
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }

    /// Puts names in the place of what earlier steps had. A Workflow that one of them had is left out with all its runs.
    pub fn know(&mut self, names: impl Fn(&OfLedger) -> Vec<Named>) {
        if let Source::Ledger(ledger) = &self.source {
            self.from = of_ledger(ledger);
            self.source = Source::Ids(names(ledger));
        }
        if let Some(ledger) = self.exclude.ledger.take() {
            self.exclude.from = of_ledger(&ledger);
            for name in names(&ledger) {
                self.exclude.names.insert(&Named::new(name.id));
            }
        }
    }

    /// The files that it reads.
    pub fn files(&self) -> Vec<&str> {
        let source = match &self.source {
            Source::File(file) => Some(file.as_str()),
            _ => None,
        };
        source
            .into_iter()
            .chain(self.exclude.file.as_deref())
            .collect()
    }

    /// Steps whose ledger it takes or leaves out.
    pub fn ledger_steps(&self) -> Vec<&str> {
        let source = match &self.source {
            Source::Ledger(ledger) => Some(ledger),
            _ => None,
        };
        let both = source.into_iter().chain(&self.exclude.ledger);
        both.flat_map(|ledger| &ledger.steps)
            .map(String::as_str)
            .collect()
    }

    /// Where the Workflows come from, in words; empty for a query.
    pub fn words(&self) -> String {
        match &self.source {
            _ if !self.from.is_empty() => self.from.clone(),
            Source::Query => String::new(),
            Source::Ids(ids) => counted(ids.len() as u64, "named Workflow"),
            Source::File(file) => format!("file {file}"),
            Source::Ledger(ledger) => of_ledger(ledger),
        }
    }
}

fn counted(count: u64, noun: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{s}")
}

fn of_ledger(ledger: &OfLedger) -> String {
    let states: Vec<&str> = ledger.states.iter().map(|state| state.name()).collect();
    format!(
        "what {} had as {}",
        ledger.steps.join(", "),
        states.join(" or ")
    )
}

/// A set of names that takes 16 bytes each, however long they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NameSet(BTreeSet<u128>);

impl NameSet {
    /// Of these.
    pub fn of<'a>(names: impl IntoIterator<Item = &'a Named>) -> Self {
        let mut set = Self::default();
        names.into_iter().for_each(|name| {
            set.insert(name);
        });
        set
    }

    /// Adds one; false where it is in already.
    pub fn insert(&mut self, name: &Named) -> bool {
        self.0.insert(digest(&name.id, name.run.as_deref()))
    }

    /// Whether a Workflow is meant: by this very run, or by its ID for every run.
    pub fn covers(&self, key: &WorkflowKey) -> bool {
        !self.0.is_empty()
            && (self.0.contains(&digest(&key.workflow_id, None))
                || self
                    .0
                    .contains(&digest(&key.workflow_id, Some(&key.run_id))))
    }

    /// Whether a name is in it: itself, or its ID for every run.
    pub fn covers_name(&self, name: &Named) -> bool {
        !self.0.is_empty()
            && (self.0.contains(&digest(&name.id, None))
                || self.0.contains(&digest(&name.id, name.run.as_deref())))
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn digest(id: &str, run: Option<&str>) -> u128 {
    let mut hash = Sha256::new();
    hash.update(id.as_bytes());
    hash.update([0]);
    // A run is named by its UUID, in whatever case.
    hash.update(run.unwrap_or_default().to_ascii_lowercase().as_bytes());
    first_16(&hash.finalize())
}

fn first_16(bytes: &[u8]) -> u128 {
    let mut first = [0; 16];
    first
        .iter_mut()
        .zip(bytes)
        .for_each(|(to, from)| *to = *from);
    u128::from_be_bytes(first)
}

/// Draws so many of a stream of things, each by its name: the same names give the same draw, in whatever order
/// they come. Keeps no more than it draws.
#[derive(Clone, Debug)]
pub struct Draw<T> {
    seed: String,
    size: usize,
    kept: std::collections::BTreeMap<u128, T>,
}

impl<T> Draw<T> {
    /// Of at most `size`, by `seed`.
    pub fn new(seed: impl Into<String>, size: u64) -> Self {
        Self {
            seed: seed.into(),
            size: usize::try_from(size).unwrap_or(usize::MAX),
            kept: std::collections::BTreeMap::new(),
        }
    }

    /// Puts one in; what comes twice counts once.
    pub fn add(&mut self, id: &str, run: &str, item: T) {
        let mut hash = Sha256::new();
        for part in [&self.seed, id, run] {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        self.kept.insert(first_16(&hash.finalize()), item);
        if self.kept.len() > self.size {
            self.kept.pop_last();
        }
    }

    /// What was drawn.
    pub fn finish(self) -> Vec<T> {
        self.kept.into_values().collect()
    }
}

/// A file as it was when it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSeen {
    /// As the runbook and the parameters name it.
    pub name: String,
    /// Absolute.
    pub path: String,
    /// SHA-256 of its bytes, hexadecimal.
    pub sha256: String,
    /// Names in it, repeated ones included.
    pub names: u64,
}

/// What was found of a selection before anything was written: counts before and after exclusion.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// Where they come from, in words; empty for a query.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub from: String,
    /// What is left out, in words; empty for nothing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub without: String,
    /// Named, or matching the query, before anything is left out.
    pub selected: u64,
    /// Of these, repeated: counted once.
    #[serde(default)]
    pub duplicates: u64,
    /// Of these, left out.
    #[serde(default)]
    pub excluded: u64,
    /// Of these, not there: so many of those that were looked up.
    #[serde(default)]
    pub missing: u64,
    /// Some of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing_samples: Vec<String>,
    /// Of these, looked at and not as `only` wants them.
    #[serde(default)]
    pub unfit: u64,
    /// Not looked up yet (of those named).
    #[serde(default)]
    pub not_looked_up: u64,
    /// What a limit or a sample leaves of them; else all that are left.
    pub left: u64,
    /// Files that were read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileSeen>,
}

impl Found {
    /// In words: `12 selected, 1 of them twice, 3 excluded, 2 not found: 6 left`.
    pub fn words(&self) -> String {
        let mut parts = vec![format!("{} selected", self.selected)];
        let mut add = |count: u64, what: &str| {
            if count > 0 {
                parts.push(format!("{count} {what}"));
            }
        };
        add(self.duplicates, "repeated");
        add(self.excluded, "excluded");
        add(self.missing, "not found");
        add(self.unfit, "not as `only` wants");
        add(self.not_looked_up, "not looked up yet");
        let mut text = format!("{}: {} left", parts.join(", "), self.left);
        if !self.missing_samples.is_empty() {
            text.push_str(&format!(
                " (not found: {})",
                self.missing_samples.join(", ")
            ));
        }
        text
    }
}

#[cfg(test)]
mod tests;

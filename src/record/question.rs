//! What a run asks, and what a yes is given for.

use std::collections::BTreeSet;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::Treatment;
use crate::catalog::{Effect, FormField};
use crate::selection::Found;
use crate::survey::Version;

/// How sure a count is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Certainty {
    /// Every Workflow was listed.
    Exact,
    /// Listed, but the row depends on the Workflow Task: so many at most.
    AtMost,
    /// By CountWorkflowExecutions.
    Estimate,
}

/// The `temporal` command line that does the same by hand, and in what it differs from what this tool does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Equivalent {
    /// Quoted for a POSIX shell; empty where the CLI has nothing of the kind.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub command: String,
    /// What the command does not do, a sentence; empty where nothing is to be said.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub caution: String,
}

impl Equivalent {
    /// Whether there is nothing to show.
    pub fn is_empty(&self) -> bool {
        self.command.is_empty() && self.caution.is_empty()
    }

    /// There is no such command: why.
    pub fn none(caution: &str) -> Self {
        Self {
            command: String::new(),
            caution: caution.to_owned(),
        }
    }

    /// Says one thing more beside it.
    #[must_use]
    pub fn with(mut self, caution: impl AsRef<str>) -> Self {
        if !self.caution.is_empty() {
            self.caution.push(' ');
        }
        self.caution.push_str(caution.as_ref());
        self
    }
}

/// One line of the table that a question shows: what may be written to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RowAsk {
    /// Row id; for a step without a decision table the step's id.
    pub row: String,
    /// The List Filter as rendered.
    pub query: String,
    /// Classes, task condition.
    pub condition: String,
    /// Workflows now.
    pub count: u64,
    /// How sure that is.
    pub certainty: Certainty,
    /// Workflows in the plan; none where it did not know.
    pub planned: Option<u64>,
    /// Of these, already granted before.
    pub granted: u64,
    /// Some Workflow IDs.
    pub samples: Vec<String>,
    /// Strategy's name.
    pub strategy: String,
    /// What the strategy does, in words.
    pub does: String,
    /// Target Version.
    pub target: Option<Version>,
    /// Counts before and after exclusion, where the step selects by more than a query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selection: Option<Found>,
    /// The command that would do it by hand.
    #[serde(default, skip_serializing_if = "Equivalent::is_empty")]
    pub equivalent: Equivalent,
    /// Pages of the samples in the Web UI, where its address is known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<String>,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Question {
    /// May these Workflows be written to?
    Rows {
        /// Line by line.
        rows: Vec<RowAsk>,
        /// Whether it extends what was granted before.
        extension: bool,
        /// Writes a second, at most.
        rate: f64,
        /// Calls in flight, at most.
        concurrency: u32,
        /// What else has to be known, a sentence each.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        notes: Vec<String>,
    },
    /// May this be changed?
    Changes {
        /// What would change, a sentence each.
        changes: Vec<String>,
        /// The commands that would do it by hand.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        equivalents: Vec<Equivalent>,
    },
    /// All canaries of a row are unproven: go on?
    Canary {
        /// The row.
        row: String,
        /// How many.
        count: u32,
    },
    /// Do this, and say so.
    Manual {
        /// What to do.
        instructions: String,
        /// What is to be entered.
        #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
        form: IndexMap<String, FormField>,
        /// What a flag has entered already.
        #[serde(default, skip_serializing_if = "Map::is_empty")]
        given: Map<String, Value>,
    },
    /// May this program be run?
    Command {
        /// It and its arguments, as a shell would take them.
        line: String,
        /// Where it runs, if the step says so.
        directory: Option<String>,
        /// Names of the environment variables that it is given.
        variables: Vec<String>,
        /// Names of those that it gets from `runbook`.
        inherits: Vec<String>,
        /// What it may do.
        effect: Effect,
    },
}

/// What is done to one Workflow, and where it is moved by that.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Deed {
    /// What.
    pub treatment: Treatment,
    /// Where to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Version>,
}

/// What a yes is given for. A write under other terms needs another yes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// SHA-256, hexadecimal, over the query or selection as rendered, the action and its arguments, and those of
    /// its fallbacks.
    pub digest: String,
    /// What may be done to a Workflow under it; empty for a step that is not about single Workflows.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub deeds: BTreeSet<Deed>,
}

impl Terms {
    /// Those of `what`, and of what may be done to a Workflow.
    pub fn of(what: &Value, deeds: BTreeSet<Deed>) -> Self {
        let digest = Sha256::digest(what.to_string());
        Self {
            digest: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
            deeds,
        }
    }
}

/// What was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Answer {
    Yes,
    No,
}

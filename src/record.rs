//! What the journal can hold: one fact a record, in the order in which it became true.
//!
//! Pure data, versioned ([`FORMAT`]). An *intent* is written before an effect, its *outcome* after it.
//! Identifiers of a Workflow appear once, in the [`Body::Page`] that claims it; later records name it
//! by its ordinal. Progress that may be lost (bars, rates) is not a record.
//!
//! Changes: 1.0 first format; 1.1 `asked` says by its terms what a yes is given for (a grant of before
//! covers nothing, and is asked for again); 1.2 locks: `locking`, `locked`, `lock_refused`, `lock_lost`, `unlocking`
//! and `unlocked`; 1.3 `opened` names the saved plan that the run carries out; who answers, in full: `answered` says
//! from where, and may say that it came through something else than a terminal; `attached` has the user id; `asked`
//! says how many people must agree, and `approved` that one did.

mod witness;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use indexmap::IndexMap;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::catalog::{Effect, FormField};
use crate::history::ResetPoint;
use crate::lease;
use crate::runbook::Agreement;
use crate::selection::Found;
use crate::selection::reader::Cursor;
use crate::survey::{BatchState, Override, Status, Version, WorkflowKey};
pub use witness::{Account, Through, Witness};

/// Major and minor version of the format. A reader takes any minor of its major.
pub const FORMAT: Format = Format { major: 1, minor: 3 };

/// A format's version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Format {
    /// Readers of another major refuse.
    pub major: u32,
    /// Readers of a smaller minor ignore what they do not know.
    pub minor: u32,
}

/// A run's id, `rb-…`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RunId(pub String);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Number of a ledger entry, from 0, in the order of claims.
pub type Ordinal = u32;

/// One record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// From 1, without gaps.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// What.
    pub body: Body,
}

/// Where a step stands in a run: its id and, inside a loop, the iteration (from 1; 0 outside).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// Step id.
    pub step: String,
    /// Iteration of the enclosing loop, from 1; 0 outside of one.
    pub iteration: u32,
}

/// What was decided when somebody attached: the flags of `exec` and `resume` that steer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Flags {
    /// `--yes`
    pub yes: bool,
    /// Steps for which `--confirm STEP=WORD` gave a word.
    pub confirm: BTreeMap<String, String>,
    /// `--until STEP`: the run parks after it.
    pub until: Option<String>,
    /// `--skip-row ROW`
    pub skip_rows: Vec<String>,
    /// `--limit N`: at most so many writes to Workflows in this attachment.
    pub limit: Option<u64>,
    /// `--retry-failed`
    pub retry_failed: bool,
    /// `--accept STEP`
    pub accept: Vec<String>,
    /// `--rate N`
    pub rate: Option<f64>,
    /// `-p NAME.KEY=VALUE` given to `resume`: entries added to map parameters.
    pub entries: BTreeMap<String, BTreeMap<String, String>>,
    /// `--answer STEP.FIELD=VALUE`: fields of forms, by step.
    pub answers: BTreeMap<String, BTreeMap<String, String>>,
}

/// One claimed Workflow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Claim {
    /// Its number from now on.
    pub ordinal: Ordinal,
    /// Workflow ID.
    pub id: String,
    /// Run ID.
    pub run: String,
    /// Workflow Type.
    #[serde(rename = "type")]
    pub workflow_type: String,
    /// It was named without a run: the run that its Workflow ID has now is meant, also when that is another one
    /// by the time of the look.
    #[serde(default, skip_serializing_if = "is_false")]
    pub latest: bool,
}

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

/// What a write does to a Workflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Treatment {
    /// A Versioning Override, nothing else.
    Moved,
    /// Reset to the first Workflow Task, or started anew.
    StartedOver,
    /// Reset to a later point.
    Undone,
    /// Terminated.
    Terminated,
    /// Asked to cancel.
    Cancelled,
    /// Sent a Signal.
    Signalled,
}

/// What an intent was decided on: to settle it, and to know afterwards why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    /// Status.
    pub status: Status,
    /// Current run of the Workflow ID.
    pub current_run: String,
    /// Effective Version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// Newest reset of the base run before ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reset_run_id: Option<String>,
    /// Events in the history.
    pub history_length: i64,
    /// Attempt of the pending Workflow Task; 0 where none was pending.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub attempt: u32,
}

fn yes() -> bool {
    true
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
fn is_true(truth: &bool) -> bool {
    *truth
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
fn is_false(truth: &bool) -> bool {
    !*truth
}

/// The write, complete: what the call carries beyond the Workflow's own names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "call", rename_all = "snake_case")]
pub enum Write {
    /// ResetWorkflowExecution.
    Reset {
        /// `workflow_task_finish_event_id`.
        event_id: i64,
        /// Re-apply Signals afterwards.
        signals: bool,
        /// Re-apply Updates afterwards.
        updates: bool,
        /// Re-apply results of Nexus operations afterwards.
        #[serde(default = "yes", skip_serializing_if = "is_true")]
        nexus: bool,
        /// The run that is reset, where that is not the one that was claimed: the one before it in its chain.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        base: Option<String>,
        /// Pinned in the same call.
        target: Option<Version>,
        /// With the run and the step. Not written down with each intent: it is the strategy's own, and
        /// an intent in doubt is never sent again.
        #[serde(skip)]
        reason: String,
        /// Request id (it protects nothing; it tells calls apart).
        request_id: String,
    },
    /// UpdateWorkflowExecutionOptions; no target unsets the Override.
    Options {
        /// The Override to set.
        target: Option<Override>,
    },
    /// StartWorkflowExecution with the start event's arguments.
    Restart {
        /// Pinned to.
        target: Version,
        /// From run, step and base run: the service answers the same call with the same run.
        request_id: String,
        /// Whether the base runs (conflict policy TERMINATE_EXISTING) or is closed (FAIL).
        terminate: bool,
    },
    /// TerminateWorkflowExecution.
    Terminate {
        /// With the run and the step. Not written down with each intent: it is the strategy's own, and
        /// an intent in doubt is never sent again.
        #[serde(skip)]
        reason: String,
    },
    /// RequestCancelWorkflowExecution.
    Cancel {
        /// With the run and the step; not written down with each intent.
        #[serde(skip)]
        reason: String,
        /// From run, step and Workflow: a second request with it leaves no second event.
        request_id: String,
    },
    /// SignalWorkflowExecution.
    Signal {
        /// The Signal's name.
        name: String,
        /// How many arguments it has.
        arguments: usize,
        /// The arguments. They are the strategy's own: large ones are not written down with each intent.
        #[serde(default, skip_serializing_if = "is_large")]
        input: Vec<Value>,
        /// Headers; not written down with each intent.
        #[serde(skip)]
        headers: BTreeMap<String, Value>,
        /// From run, step and Workflow. A run takes a request id once, and its history names it.
        request_id: String,
    },
}

/// So many bytes of a Signal's arguments, as JSON, are written down with each intent.
const LARGE: usize = 1_000;

fn is_large(input: &[Value]) -> bool {
    let bytes: usize = input.iter().map(|value| value.to_string().len()).sum();
    input.is_empty() || bytes > LARGE
}

impl Write {
    /// Where it moves the Workflow; none where it does not.
    pub fn target(&self) -> Option<&Version> {
        match self {
            Self::Reset { target, .. } => target.as_ref(),
            Self::Options {
                target: Some(Override::Pinned { version } | Override::OneTime { version }),
            } => Some(version),
            Self::Restart { target, .. } => Some(target),
            Self::Options { .. }
            | Self::Terminate { .. }
            | Self::Cancel { .. }
            | Self::Signal { .. } => None,
        }
    }

    /// The write without what is this Workflow's alone (event id, request id), and the event id: what a
    /// step sends to many is equal then.
    pub fn split(&self) -> (Self, i64) {
        let mut common = self.clone();
        let event = match &mut common {
            Self::Reset {
                event_id,
                request_id,
                ..
            } => {
                request_id.clear();
                std::mem::take(event_id)
            }
            Self::Restart { request_id, .. }
            | Self::Cancel { request_id, .. }
            | Self::Signal { request_id, .. } => {
                request_id.clear();
                0
            }
            Self::Options { .. } | Self::Terminate { .. } => 0,
        };
        (common, event)
    }

    /// The opposite of [`Self::split`], without the request id.
    pub fn joined(&self, event: i64) -> Self {
        let mut write = self.clone();
        if let Self::Reset { event_id, .. } = &mut write {
            *event_id = event;
        }
        write
    }
}

/// How a write ended, or why there was none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Outcome {
    /// The service said so.
    Done {
        /// The run that it made.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        new_run: Option<String>,
    },
    /// Nothing was needed.
    Skipped {
        /// Why.
        reason: String,
    },
    /// It cannot be done to this Workflow.
    Refused {
        /// The refusal's name.
        refusal: String,
        /// In words.
        message: String,
        /// Events that a reset could go to instead, nearest first.
        #[serde(
            default,
            rename = "valid_reset_events",
            skip_serializing_if = "Vec::is_empty"
        )]
        points: Vec<ResetPoint>,
    },
    /// The call failed, and nothing happened.
    Failed {
        /// gRPC code.
        code: String,
        /// In words.
        message: String,
    },
    /// Nobody knows.
    Unknown {
        /// gRPC code, or empty.
        code: String,
        /// In words.
        message: String,
    },
    /// Dry run: this would be done.
    Would {
        /// In words.
        what: String,
        /// Where a reset would go, and what lies after that.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        point: Option<Box<ResetPoint>>,
        /// What it loses, runs again or re-applies, a sentence each.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        effects: Vec<String>,
    },
}

/// What a later look found out about an intent in doubt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Settlement {
    /// It happened.
    Done {
        /// The run that it made.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        new_run: Option<String>,
        /// Whether it was this run's doing; none where the evidence does not say.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ours: Option<bool>,
    },
    /// It did not happen: back to the look.
    NotDone,
    /// It cannot be found out.
    Unknown,
}

/// Health of a recovered Workflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// A Workflow Task completed on its target since (or it closed well there).
    Healthy,
    /// Its old task has still to time out, or its new one to be taken.
    Waiting,
    /// Idle: nothing has shown that it works.
    Unproven,
    /// Its Workflow Task fails.
    Failing,
    /// Its Workflow Task is scheduled, and nobody takes it.
    Unpolled,
    /// Timed out or failed before a task ran on the target.
    Lost,
    /// Failed on the target.
    Failed,
}

impl Health {
    /// Failing, unpolled, lost or failed.
    pub fn is_unhealthy(self) -> bool {
        matches!(
            self,
            Self::Failing | Self::Unpolled | Self::Lost | Self::Failed
        )
    }
}

/// A batch job of the service that a step hands Workflows to. It can be started again under its id: the
/// service makes one job of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Its id: from run, step, iteration and attempt, so that no two are the same.
    pub id: String,
    /// Job of the step in this iteration, from 1.
    pub attempt: u32,
    /// The approved List Filter, as it was frozen; none where the job is about named Workflows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// The Workflows, by ordinals: first and last of each range.
    pub takes: Vec<(Ordinal, Ordinal)>,
    /// Row that takes them.
    pub row: String,
    /// What is done to them.
    pub treatment: Treatment,
    /// Where they are moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Version>,
    /// Operations a second, at most.
    pub rate: f64,
}

impl Job {
    /// The Workflows, one by one.
    pub fn ordinals(&self) -> impl Iterator<Item = Ordinal> + '_ {
        self.takes.iter().flat_map(|(first, last)| *first..=*last)
    }

    /// How many Workflows it takes.
    pub fn len(&self) -> u64 {
        let sizes = self.takes.iter();
        sizes.map(|(first, last)| u64::from(last - first) + 1).sum()
    }

    /// Whether it takes none.
    pub fn is_empty(&self) -> bool {
        self.takes.is_empty()
    }
}

/// How a batch job ended. What that means for each Workflow is looked at afterwards.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum JobEnd {
    /// The service says so, with the counts that it has.
    Ended {
        /// Completed (even where operations failed), failed, or unknown where the service forgot it.
        state: BatchState,
        /// Workflows that it counted.
        total: u64,
        /// Operations that were done.
        complete: u64,
        /// Operations that failed.
        failed: u64,
    },
    /// It was never started, and will not be: its Workflows are free again.
    NotStarted {
        /// Why.
        message: String,
    },
}

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepStatus {
    /// As it should.
    Succeeded,
    /// `when` was false, or nothing was left to do.
    Skipped,
    /// An error.
    Failed,
    /// A limit, a canary, an answer or what is left over stopped it.
    Halted,
    /// It was halted or failed, and somebody accepted that.
    Accepted,
    /// Dry run: read, but not done.
    Rehearsed,
}

impl StepStatus {
    /// Whether the run goes on after it.
    pub fn passes(self) -> bool {
        !matches!(self, Self::Failed | Self::Halted)
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// Every step passed.
    Succeeded,
    /// A step failed or halted; `resume` goes on.
    Halted,
}

/// A saved plan that a run carries out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedFrom {
    /// Over the whole file.
    pub digest: String,
    /// When the service was read for it.
    pub made: Timestamp,
    /// Who made it.
    pub user: String,
    /// On which host.
    pub host: String,
}

/// The facts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Body {
    /// First record: the whole plan.
    Opened {
        /// Of this file.
        format: Format,
        /// The run.
        run: RunId,
        /// The plan as data (`plan::Plan`), secrets left out.
        plan: Box<Value>,
        /// Version of the tool.
        tool: String,
        /// A dry run's journal cannot be resumed.
        dry: bool,
        /// Whether time and service are simulated.
        rehearsal: bool,
        /// The file that the plan came from, where it was saved before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        saved: Option<SavedFrom>,
    },
    /// Somebody runs it now.
    Attached {
        /// From 1.
        attachment: u32,
        /// Host name.
        host: String,
        /// Process id.
        pid: u32,
        /// User name.
        user: String,
        /// User id on that host; none before 1.3.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        uid: Option<u32>,
        /// What they asked for.
        flags: Box<Flags>,
        /// What was found out about the service, a sentence each (changes since the plan first).
        notes: Vec<String>,
    },
    /// A step begins.
    StepStarted {
        /// Which.
        place: Place,
    },
    /// A question.
    Asked {
        /// From 1.
        question: u32,
        /// For which step.
        place: Place,
        /// What.
        what: Box<Question>,
        /// What a yes is given for: by row, or under the step's id.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        terms: BTreeMap<String, Terms>,
        /// Who must agree, where that is more than anybody.
        #[serde(default, skip_serializing_if = "Agreement::is_plain")]
        agreement: Agreement,
    },
    /// Its answer.
    Answered {
        /// Which question.
        question: u32,
        /// Yes or no.
        answer: Answer,
        /// Who; where several had to agree, the last of them.
        by: String,
        /// From where, as [`Witness::from`] has it.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        from: String,
        /// Through what.
        means: Through,
        /// Workflows granted in all, by row.
        #[serde(default)]
        grants: BTreeMap<String, u64>,
        /// Until when.
        expires: Timestamp,
        /// What they entered.
        #[serde(default)]
        note: String,
        /// Values of the form.
        #[serde(default, skip_serializing_if = "Map::is_empty")]
        form: Map<String, Value>,
    },
    /// Workflows are claimed by a step.
    Page {
        /// By which.
        place: Place,
        /// Pass of the listing, from 1.
        pass: u32,
        /// They.
        claims: Vec<Claim>,
        /// How far a file of names was taken in by now; none for other sources.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cursor: Option<Cursor>,
    },
    /// A listing came to its end, and all that it claimed is decided.
    PassEnded {
        /// Of which step.
        place: Place,
        /// Pass.
        pass: u32,
        /// New claims in it.
        claimed: u64,
        /// Listed Workflows that no row takes, by type: count and samples.
        unmatched: BTreeMap<String, Leftover>,
    },
    /// A claim is given back: the Workflow is free for another row, step, or its successor.
    Released {
        /// Which.
        ordinal: Ordinal,
        /// Why.
        reason: String,
    },
    /// A failed or refused Workflow is taken up again (`--retry-failed`).
    Retried {
        /// Which.
        ordinals: Vec<Ordinal>,
    },
    /// A write is about to leave.
    Intent {
        /// To which Workflow.
        ordinal: Ordinal,
        /// Row that took it.
        row: String,
        /// Strategy in force (a row's, or a fallback).
        strategy: String,
        /// What it does.
        treatment: Treatment,
        /// The call.
        write: Box<Write>,
        /// What was seen.
        seen: Box<Seen>,
        /// When the call gives up.
        deadline: Timestamp,
    },
    /// It ended, or there was none.
    Outcome {
        /// Of which Workflow.
        ordinal: Ordinal,
        /// Row that took it, where there was no intent that says so.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        row: String,
        /// How.
        outcome: Outcome,
    },
    /// The service refused a strategy for one Workflow, and the strategy has a fallback for that: back
    /// to the look, which will not choose the refused strategy again.
    Barred {
        /// Which Workflow.
        ordinal: Ordinal,
        /// The strategy that was refused.
        strategy: String,
        /// The refusal's name.
        refusal: String,
        /// In words.
        message: String,
    },
    /// An intent in doubt was looked into.
    Settled {
        /// Of which Workflow.
        ordinal: Ordinal,
        /// What was found.
        settlement: Settlement,
        /// What says so.
        evidence: String,
    },
    /// A row's canary was decided.
    Canary {
        /// Of which step.
        place: Place,
        /// Row.
        row: String,
        /// Whether the row goes on.
        passed: bool,
        /// Why.
        reason: String,
    },
    /// A Workflow's health changed.
    Verified {
        /// By which step.
        place: Place,
        /// Which Workflow.
        ordinal: Ordinal,
        /// How it is.
        health: Health,
        /// In words.
        note: String,
    },
    /// A Workflow of an earlier step was found closed.
    FoundClosed {
        /// By which step.
        place: Place,
        /// Which Workflow.
        ordinal: Ordinal,
        /// How it closed; none where it does not exist any more.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        status: Option<Status>,
    },
    /// An action on the service is about to write.
    Acting {
        /// Which step.
        place: Place,
        /// What it changes, a sentence each.
        changes: Vec<String>,
        /// What that adds to cumulative output fields.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        counts: BTreeMap<String, u64>,
    },
    /// It ended.
    Acted {
        /// Which step.
        place: Place,
        /// Empty where it was done; else the error.
        error: String,
        /// Whether it may be tried again.
        again: bool,
    },
    /// A step hands Workflows to a batch job of the service; the job is started after this.
    Job {
        /// Which step.
        place: Place,
        /// The job.
        job: Box<Job>,
    },
    /// The job is over.
    JobEnded {
        /// Of which step.
        place: Place,
        /// Its id.
        id: String,
        /// How.
        end: JobEnd,
    },
    /// What a step waits for.
    Polled {
        /// Which step.
        place: Place,
        /// In words.
        status: String,
    },
    /// An iteration of a loop is over.
    Iterated {
        /// The loop.
        step: String,
        /// Which iteration.
        iteration: u32,
        /// Whether `until` held.
        done: bool,
        /// Why not, or when the next begins.
        note: String,
    },
    /// A step is over.
    StepEnded {
        /// Which.
        place: Place,
        /// How.
        status: StepStatus,
        /// Its output.
        output: Value,
        /// Why, where there is something to say.
        message: String,
    },
    /// A limit was reached.
    LimitHit {
        /// By which step.
        place: Place,
        /// Its name.
        limit: String,
        /// What was counted.
        value: u64,
        /// What is allowed.
        bound: u64,
    },
    /// The run waits for somebody (exit 3).
    Parked {
        /// For what.
        reason: String,
    },
    /// Ctrl-C or a signal.
    Interrupted {
        /// Its name.
        signal: String,
        /// What goes on without this tool, a sentence each.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        notes: Vec<String>,
    },
    /// The run is over.
    Ended {
        /// How.
        status: RunStatus,
        /// In words.
        message: String,
    },
    /// What a step's selection came to when somebody was about to be asked; the files that it reads must stay as
    /// they are from here on.
    Selected {
        /// Which step.
        place: Place,
        /// What was found.
        found: Box<Found>,
    },
    /// The run is about to take its lock.
    Locking {
        /// The lock's name.
        name: String,
        /// Which taking, from 1: each has a request id of its own.
        taking: u32,
    },
    /// The run has its lock.
    Locked {
        /// Run ID of the lease.
        lease: String,
    },
    /// The run stops, for it cannot have its lock (exit 4).
    LockRefused {
        /// Who has it; none where the service did not let it be taken.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        holder: Option<Box<lease::Holder>>,
        /// Why, where it is not somebody else's.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        message: String,
    },
    /// The run had its lock, and has it no more: somebody broke it.
    LockLost {
        /// What says so.
        evidence: String,
    },
    /// The run is about to give its lock back.
    Unlocking {},
    /// It gave it back.
    Unlocked {
        /// Why that is not certain; empty where it is.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        error: String,
    },
    /// Somebody agreed to what is asked, and that alone does not answer it: more people must, or the run was parked
    /// when it came.
    Approved {
        /// Which question.
        question: u32,
        /// Who.
        by: Witness,
        /// Workflows granted in all, by row, as far as it is up to them.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        grants: BTreeMap<String, u64>,
        /// Until when that counts.
        expires: Timestamp,
        /// What they entered.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        note: String,
        /// Values of the form.
        #[serde(default, skip_serializing_if = "Map::is_empty")]
        form: Map<String, Value>,
    },
}

/// Listed Workflows of one type that no row takes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Leftover {
    /// How many.
    pub count: u64,
    /// Some Workflow IDs.
    pub samples: Vec<String>,
}

impl Claim {
    /// The Workflow.
    pub fn key(&self) -> WorkflowKey {
        WorkflowKey {
            workflow_id: self.id.clone(),
            run_id: self.run.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_of_before_1_3_is_read() {
        let old = r#"{"seq":4,"at":"2026-01-01T00:00:00Z","body":{"kind":"answered","question":1,"answer":"yes","by":"alice","means":"prompt","expires":"2026-01-01T04:00:00Z"}}"#;
        let record: Record = serde_json::from_str(old).expect("a record");
        let Body::Answered {
            by, from, means, ..
        } = record.body
        else {
            panic!("an answer");
        };
        let who = (by.as_str(), from.as_str(), means);
        assert_eq!(who, ("alice", "", Through::Terminal));
        let asked = r#"{"kind":"attached","attachment":1,"host":"h","pid":1,"user":"u","flags":{},"notes":[]}"#;
        let body: Body = serde_json::from_str(asked).expect("a body");
        assert!(matches!(body, Body::Attached { uid: None, .. }));
    }

    #[test]
    fn a_record_survives_the_round_trip() {
        let record = Record {
            seq: 7,
            at: "2026-01-01T00:00:00Z".parse().expect("a timestamp"),
            body: Body::Outcome {
                ordinal: 3,
                row: String::new(),
                outcome: Outcome::Done {
                    new_run: Some("r".to_owned()),
                },
            },
        };
        let text = serde_json::to_string(&record).expect("json");
        assert_eq!(
            text,
            r#"{"seq":7,"at":"2026-01-01T00:00:00Z","body":{"kind":"outcome","ordinal":3,"outcome":{"is":"done","new_run":"r"}}}"#
        );
        assert_eq!(
            serde_json::from_str::<Record>(&text).expect("a record"),
            record
        );
    }
}

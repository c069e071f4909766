//! What a report holds: plain data, documented field by field, as `--output json` writes it.
//!
//! The fold beside it fills it in. Fields are only ever added.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::Value;

use super::entry::State;
use crate::history::Outlook;
use crate::lease::Holder;
use crate::record::{
    Answer, Health, Leftover, Place, Question, RunStatus, SavedFrom, StepStatus, Through,
    Treatment, Witness,
};
use crate::runbook::Agreement;

/// What run it is.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Header {
    /// Run id.
    pub id: String,
    /// The runbook's name.
    pub runbook: String,
    /// The runbook's title.
    pub title: String,
    /// Digest of the plan.
    pub digest: String,
    /// Parameter values, without secrets.
    pub params: Value,
    /// When it was opened.
    pub opened: Option<Timestamp>,
    /// The service's address.
    pub address: String,
    /// Namespace.
    pub namespace: String,
    /// Version of the tool that opened it.
    pub tool: String,
    /// The saved plan that it carries out; none where it was planned when it was begun.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub saved: Option<SavedFrom>,
    /// Whether it writes nothing.
    pub dry: bool,
    /// Whether time and service are simulated.
    pub rehearsal: bool,
}

/// Somebody ran it.
#[derive(Clone, Debug, Serialize)]
pub struct Attachment {
    /// From 1.
    pub attachment: u32,
    /// Since when.
    pub at: Timestamp,
    /// Time of its last record.
    pub until: Timestamp,
    /// Host name.
    pub host: String,
    /// Process id.
    pub pid: u32,
    /// User name.
    pub user: String,
    /// The flags that steer, as on the command line.
    pub flags: Vec<String>,
    /// What was found out about the service, a sentence each.
    pub notes: Vec<String>,
}

/// One step over all its iterations.
#[derive(Clone, Debug, Serialize)]
pub struct StepReport {
    /// Step id.
    pub step: String,
    /// Title; empty where it has none.
    pub title: String,
    /// The loop around it.
    pub parent: Option<String>,
    /// The latest iteration; 0 outside of a loop.
    pub iteration: u32,
    /// How it ended; none while it runs.
    pub status: Option<StepStatus>,
    /// Why, where there is something to say.
    pub message: String,
    /// When it first began.
    pub started: Option<Timestamp>,
    /// When it last ended.
    pub ended: Option<Timestamp>,
    /// Seconds spent in it while somebody was attached, over all iterations.
    pub seconds: f64,
    /// Its output.
    pub output: Value,
    /// What it changed on the service, a sentence each.
    pub changes: Vec<String>,
    /// Workflows that it claimed, without those given back.
    pub claimed: u64,
    /// Workflows that it gave back.
    pub released: u64,
    /// Workflows that it is expected to claim in all, from its last question.
    pub expected: Option<u64>,
    /// Counts over all rows.
    pub counts: Counts,
    /// Row by row, in the order of their first Workflow.
    pub rows: Vec<RowReport>,
    /// How the Workflows that it recovered are, as far as anybody looked.
    pub health: BTreeMap<Health, u64>,
    /// Listed Workflows that no row takes, by type.
    pub unmatched: BTreeMap<String, Leftover>,
    /// Canaries that were decided.
    pub canaries: Vec<Canary>,
    /// Limits that were reached.
    pub limits: Vec<Hit>,
    /// What it last waited for.
    pub waiting: Option<Waiting>,
    /// What resets would do (in a dry run), and where those whose event is invalid could go instead.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resets: Vec<Outlook>,
    /// Workflows that a row is expected to take in all, from its last question.
    #[serde(skip)]
    pub expected_rows: BTreeMap<String, u64>,
    #[serde(skip)]
    pub(super) began: Option<Timestamp>,
}

/// Workflows by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Moved, started over or undone.
    pub recovered: u64,
    /// A Versioning Override, nothing else.
    pub moved: u64,
    /// Reset to the first Workflow Task, or started anew.
    pub started_over: u64,
    /// Reset to a later point.
    pub undone: u64,
    /// Terminated.
    pub terminated: u64,
    /// Asked to cancel.
    pub cancelled: u64,
    /// Sent a Signal.
    pub signalled: u64,
    /// Nothing was needed.
    pub skipped: u64,
    /// It cannot be done to them.
    pub refused: u64,
    /// The call failed, and nothing happened.
    pub failed: u64,
    /// Nobody knows.
    pub unknown: u64,
    /// A write was about to leave, and nothing says how it ended.
    pub in_doubt: u64,
    /// A dry run would change them.
    pub would: u64,
}

impl Counts {
    /// Workflows that the step is through with.
    pub fn decided(&self) -> u64 {
        self.recovered
            + self.terminated
            + self.cancelled
            + self.signalled
            + self.skipped
            + self.refused
            + self.failed
            + self.unknown
            + self.would
    }

    /// Those that a write changed.
    pub fn written(&self) -> u64 {
        self.recovered + self.terminated + self.cancelled + self.signalled
    }

    /// Refused, failed and unknown ones.
    pub fn bad(&self) -> u64 {
        self.refused + self.failed + self.unknown
    }

    pub(super) fn change(&mut self, state: State, treatment: Option<Treatment>, by: i64) {
        let add = |n: &mut u64| *n = n.saturating_add_signed(by);
        match state {
            State::Claimed | State::Released => {}
            State::InDoubt => add(&mut self.in_doubt),
            State::Skipped => add(&mut self.skipped),
            State::Refused => add(&mut self.refused),
            State::Failed => add(&mut self.failed),
            State::Unknown => add(&mut self.unknown),
            State::Would => add(&mut self.would),
            State::Done => match treatment {
                Some(Treatment::Terminated) => add(&mut self.terminated),
                Some(Treatment::Cancelled) => add(&mut self.cancelled),
                Some(Treatment::Signalled) => add(&mut self.signalled),
                Some(Treatment::Moved) | None => self.recover(|c| &mut c.moved, by),
                Some(Treatment::StartedOver) => self.recover(|c| &mut c.started_over, by),
                Some(Treatment::Undone) => self.recover(|c| &mut c.undone, by),
            },
        }
    }

    fn recover(&mut self, kind: fn(&mut Self) -> &mut u64, by: i64) {
        self.recovered = self.recovered.saturating_add_signed(by);
        let kind = kind(self);
        *kind = kind.saturating_add_signed(by);
    }
}

/// A row of a decision table; for a step without one, the step.
#[derive(Clone, Debug, Serialize)]
pub struct RowReport {
    /// Row id; empty where no row was named.
    pub row: String,
    /// Counts.
    pub counts: Counts,
    /// Why Workflows were skipped, refused, failed or are unknown; most frequent first.
    #[serde(serialize_with = "reasons")]
    pub reasons: BTreeMap<(State, String), u64>,
}

/// Why, and how often.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// What became of them.
    pub state: State,
    /// Why, without Run IDs.
    pub reason: String,
    /// Workflows.
    pub count: u64,
}

impl RowReport {
    /// Why, most frequent first.
    pub fn reasons(&self) -> Vec<Reason> {
        sorted(&self.reasons)
    }
}

fn sorted(reasons: &BTreeMap<(State, String), u64>) -> Vec<Reason> {
    let mut list: Vec<Reason> = reasons
        .iter()
        .map(|((state, reason), count)| Reason {
            state: *state,
            reason: reason.clone(),
            count: *count,
        })
        .collect();
    list.sort_by_key(|reason| std::cmp::Reverse(reason.count));
    list
}

fn reasons<S: serde::Serializer>(
    reasons: &BTreeMap<(State, String), u64>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    sorted(reasons).serialize(serializer)
}

/// A row's canary.
#[derive(Clone, Debug, Serialize)]
pub struct Canary {
    /// Row id.
    pub row: String,
    /// Whether the row goes on.
    pub passed: bool,
    /// Why.
    pub reason: String,
}

/// A limit that was reached.
#[derive(Clone, Debug, Serialize)]
pub struct Hit {
    /// Its name.
    pub limit: String,
    /// What was counted.
    pub value: u64,
    /// What is allowed.
    pub bound: u64,
}

/// What a step waits for.
#[derive(Clone, Debug, Serialize)]
pub struct Waiting {
    /// In words.
    pub status: String,
    /// When that was checked.
    pub at: Timestamp,
}

/// A question and its answer.
#[derive(Clone, Debug, Serialize)]
pub struct QuestionReport {
    /// From 1.
    pub question: u32,
    /// For which step.
    pub place: Place,
    /// When.
    pub asked: Timestamp,
    /// In short.
    pub short: String,
    /// What.
    pub what: Question,
    /// Who must agree, where that is more than anybody.
    #[serde(skip_serializing_if = "Agreement::is_plain")]
    pub agreement: Agreement,
    /// Who agreed, where that alone was not the answer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub approvals: Vec<ApprovalReport>,
    /// The answer, if there is one.
    pub answer: Option<AnswerReport>,
}

/// One of several who must agree.
#[derive(Clone, Debug, Serialize)]
pub struct ApprovalReport {
    /// Who.
    pub by: Witness,
    /// When.
    pub at: Timestamp,
    /// Until when it counts.
    pub expires: Timestamp,
    /// What they entered.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// An answer.
#[derive(Clone, Debug, Serialize)]
pub struct AnswerReport {
    /// Yes or no.
    pub answer: Answer,
    /// Who.
    pub by: String,
    /// Through what.
    pub means: Through,
    /// From where; empty where that is not known.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub from: String,
    /// When.
    pub at: Timestamp,
    /// Workflows granted in all, by row.
    pub grants: BTreeMap<String, u64>,
    /// Until when.
    pub expires: Timestamp,
    /// What they entered.
    pub note: String,
    /// Values of the form.
    #[serde(skip_serializing_if = "serde_json::Map::is_empty")]
    pub form: serde_json::Map<String, serde_json::Value>,
}

/// How a run ended, as far as the records go.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Ending {
    /// Nothing says that it ended: it runs, or it was killed.
    #[default]
    Open,
    /// It waits for somebody.
    Parked {
        /// For what.
        reason: String,
    },
    /// Ctrl-C or a signal.
    Interrupted {
        /// Its name.
        signal: String,
    },
    /// It could not have its lock: nothing was started.
    Refused {
        /// Who has it.
        holder: Option<Box<Holder>>,
        /// Why, where it is not somebody else's.
        message: String,
        /// When.
        at: Timestamp,
    },
    /// It is over.
    Ended {
        /// How.
        status: RunStatus,
        /// In words.
        message: String,
    },
}

impl StepReport {
    pub(super) fn new(id: &str, title: String, parent: Option<String>) -> Self {
        Self {
            step: id.to_owned(),
            title,
            parent,
            iteration: 0,
            status: None,
            message: String::new(),
            started: None,
            ended: None,
            seconds: 0.0,
            output: Value::Null,
            changes: Vec::new(),
            claimed: 0,
            released: 0,
            expected: None,
            counts: Counts::default(),
            rows: Vec::new(),
            health: BTreeMap::new(),
            unmatched: BTreeMap::new(),
            canaries: Vec::new(),
            limits: Vec::new(),
            waiting: None,
            resets: Vec::new(),
            expected_rows: BTreeMap::new(),
            began: None,
        }
    }

    /// Time spent in it so far, while somebody was attached, over all iterations.
    pub fn spent(&self, now: Timestamp) -> SignedDuration {
        let open = self.began.map(|began| now.duration_since(began));
        let open = open.unwrap_or_default().max(SignedDuration::ZERO);
        SignedDuration::try_from_secs_f64(self.seconds).unwrap_or_default() + open
    }

    /// Since when it runs now, in this round of its loop; none where it does not.
    pub fn runs_for(&self, now: Timestamp) -> Option<SignedDuration> {
        self.began.map(|began| now.duration_since(began))
    }

    /// Workflows in all: claimed ones, or those that are still expected.
    pub fn total(&self) -> u64 {
        self.expected.unwrap_or(0).max(self.claimed)
    }

    pub(super) fn stop(&mut self, at: Timestamp) {
        if let Some(began) = self.began.take() {
            self.seconds += at.duration_since(began).as_secs_f64().max(0.0);
        }
    }

    pub(super) fn row_index(&mut self, row: &str) -> u16 {
        let index = self.rows.iter().position(|known| known.row == row);
        let index = index.unwrap_or_else(|| {
            self.rows.push(RowReport {
                row: row.to_owned(),
                counts: Counts::default(),
                reasons: BTreeMap::new(),
            });
            self.rows.len() - 1
        });
        u16::try_from(index).unwrap_or(super::fold::NO_ROW)
    }
}

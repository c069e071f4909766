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

mod question;
mod witness;
mod write;

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::lease;
use crate::runbook::Agreement;
use crate::selection::Found;
use crate::selection::reader::Cursor;
use crate::survey::{Status, WorkflowKey};
pub use question::{Answer, Certainty, Deed, Equivalent, Question, RowAsk, Terms};
pub use witness::{Account, Through, Witness};
pub use write::{Health, Job, JobEnd, Outcome, Seen, Settlement, Treatment, Write};

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

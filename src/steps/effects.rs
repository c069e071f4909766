//! What the machine names to be done, and what comes back: plain data, with no decision in it.
//!
//! The vocabulary between [`Machine`](super::Machine), which decides, and whoever performs. Knows neither.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

use super::command;
use super::job::{JobRequest, JobSeen};
use crate::approval::{Permit, Reply};
use crate::catalog::Named;
use crate::decision::{Table, Verdict};
use crate::lease::{self, Lease};
use crate::ledger::OpenIntent;
use crate::plan::TableSurvey;
use crate::record::{Equivalent, Health, Ordinal, Outcome, Place, Question, Settlement, Write};
use crate::selection::FileSeen;
use crate::selection::reader::Cursor;
use crate::survey::{Listed, Status, Version, WorkflowKey};

/// What an observation of a service action found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observation {
    /// Output fields.
    pub output: Map<String, Value>,
    /// What the action would change, a sentence each; none where all is as it should be.
    pub changes: Vec<String>,
    /// Not yet as it should be, and there is nothing to do but wait: what for.
    pub pending: Option<String>,
    /// The commands that would make the changes by hand.
    pub equivalents: Vec<Equivalent>,
    /// What the changes add to cumulative output fields, once they are made.
    pub counts: BTreeMap<String, u64>,
}

/// Why a read or a write on the service did not go well.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// In words.
    pub message: String,
    /// Whether another try may go better.
    pub transient: bool,
    /// Whether waiting is all that is needed (a Version that still has pollers).
    pub not_yet: bool,
}

/// What a write to one Workflow came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Written {
    /// It ended so.
    Ended(Outcome),
    /// The look was too old by the time the call would have left: nothing was sent.
    Stale,
    /// What was granted had run out by the time the call would have left: nothing was sent.
    Lapsed,
    /// The target Version is refused for every Workflow: the step halts.
    TargetRefused(String),
}

/// What a look and the verdict on it came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Judged {
    /// A verdict.
    Verdict(Box<Verdict>, Box<Listed>),
    /// There is no such execution any more.
    Gone,
}

/// A page of a listing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ListedPage {
    /// Its rows.
    pub rows: Vec<Listed>,
    /// Token of the next page.
    pub next: Option<Vec<u8>>,
    /// How many names were asked about.
    pub asked: usize,
    /// What was found under each of them; those that are left out are not among them.
    pub named: Vec<(Named, Option<Listed>)>,
    /// Names that were read from a file, to be looked up; those that are left out are not among them.
    pub names: Vec<Named>,
    /// How far the file was read.
    pub read: Option<Cursor>,
    /// Where it goes on; none at its end.
    pub cursor: Option<Cursor>,
}

/// What a listing reads next.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// A page of what the scope's query matches: from the beginning, or where it goes on.
    Page(Option<Vec<u8>>),
    /// Names of the file, from here on.
    File(Cursor),
    /// What is under these names.
    Names(Vec<Named>),
    /// Everything, to draw a sample of it.
    Draw,
}

/// A service action, complete.
#[derive(Clone, Debug, PartialEq)]
pub struct Act {
    /// Its name.
    pub action: String,
    /// Rendered arguments.
    pub with: Value,
}

/// Something to do. Nothing of it is done before the outbox is durable. What writes holds a [`Permit`], which
/// only a grant makes.
#[derive(Debug)]
pub enum Effect {
    /// Read what a service action needs to know.
    Observe {
        /// For which step.
        place: Place,
        /// Action.
        action: String,
        /// Rendered arguments.
        with: Value,
    },
    /// Carry out a service action.
    Act {
        /// For which step.
        place: Place,
        /// What was granted.
        act: Permit<Act>,
    },
    /// Count the rows of several decisions.
    Evaluate {
        /// For which step.
        place: Place,
        /// The tables.
        tables: Vec<Arc<Table>>,
    },
    /// Count a decision's rows.
    Survey {
        /// For which step.
        place: Place,
        /// The table.
        table: Arc<Table>,
        /// Files as they were when somebody was first asked.
        frozen: Vec<FileSeen>,
    },
    /// Read a page.
    List {
        /// For which step.
        place: Place,
        /// The table.
        table: Arc<Table>,
        /// What is read next.
        next: Next,
        /// Files as they were when somebody was asked.
        frozen: Vec<FileSeen>,
    },
    /// Look at a Workflow and judge.
    Look {
        /// For which step.
        place: Place,
        /// Its number.
        ordinal: Ordinal,
        /// It.
        key: WorkflowKey,
        /// The table.
        table: Arc<Table>,
        /// See [`crate::decision::Case::lost`].
        lost: bool,
        /// See [`crate::decision::Case::latest`].
        latest: bool,
        /// See [`crate::decision::Case::barred`].
        barred: Option<(String, String)>,
    },
    /// Write to a Workflow.
    Write {
        /// For which step.
        place: Place,
        /// Its number.
        ordinal: Ordinal,
        /// It.
        key: WorkflowKey,
        /// The call, as it was granted.
        write: Permit<Write>,
        /// When it gives up.
        deadline: Timestamp,
        /// When the look that it rests on was asked for.
        looked: Timestamp,
        /// How old that look may be when the call leaves.
        fresh_for: SignedDuration,
    },
    /// Find out what became of an intent.
    Settle {
        /// For which step.
        place: Place,
        /// Its number.
        ordinal: Ordinal,
        /// The Workflow.
        key: WorkflowKey,
        /// The intent.
        intent: OpenIntent,
        /// Not before.
        after: Timestamp,
    },
    /// Look at a recovered Workflow's health.
    Verify {
        /// For which step.
        place: Place,
        /// Its number.
        ordinal: Ordinal,
        /// The run to look at.
        key: WorkflowKey,
        /// Where it was moved.
        target: Option<Version>,
        /// See [`crate::health::health`].
        attempt: u32,
        /// When the write ended.
        moved: Option<Timestamp>,
        /// See [`crate::health::woken`].
        woken: bool,
    },
    /// Read a Workflow's status.
    Status {
        /// For which step.
        place: Place,
        /// Its number.
        ordinal: Ordinal,
        /// The run to look at.
        key: WorkflowKey,
    },
    /// Start a batch job, or find out how far it is.
    Job {
        /// For which step.
        place: Place,
        /// The job.
        request: Arc<JobRequest>,
        /// To start it, as it was granted; else it is only looked for.
        start: Option<Permit<Arc<JobRequest>>>,
    },
    /// Look at what a batch job did to a Workflow.
    Compare {
        /// For which step.
        place: Place,
        /// Its number.
        ordinal: Ordinal,
        /// It.
        key: WorkflowKey,
        /// The job, without its Workflows.
        request: Arc<JobRequest>,
    },
    /// Ask somebody.
    Ask {
        /// Its number.
        question: u32,
        /// For which step.
        place: Place,
        /// What.
        what: Question,
        /// The word that must be typed.
        word: Option<String>,
    },
    /// Run a program.
    Run {
        /// For which step.
        place: Place,
        /// What, with its secrets, as it was granted.
        command: Permit<Box<command::Sealed>>,
    },
    /// Nothing before then, unless something completes.
    Wait {
        /// When.
        until: Timestamp,
        /// What for.
        reason: String,
    },
    /// The run stops here.
    Finish(Finish),
    /// Do something about the lease of the run's lock.
    Lease {
        /// What.
        call: lease::Call,
        /// The lease.
        lease: Box<Lease>,
    },
}

/// How a run stops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finish {
    /// Every step passed.
    Succeeded,
    /// A step failed or halted.
    Halted,
    /// It waits for somebody.
    Parked,
    /// Ctrl-C or a signal.
    Interrupted,
    /// Somebody else has its lock.
    Refused,
}

/// What became of an effect.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum Completion {
    Observed {
        place: Place,
        result: Result<Observation, Problem>,
    },
    Acted {
        place: Place,
        result: Result<(), Problem>,
    },
    Surveyed {
        place: Place,
        result: Result<TableSurvey, Problem>,
    },
    Listed {
        place: Place,
        result: Result<ListedPage, Problem>,
    },
    Judged {
        ordinal: Ordinal,
        at: Timestamp,
        result: Result<Judged, Problem>,
    },
    Written {
        ordinal: Ordinal,
        written: Written,
    },
    Settled {
        ordinal: Ordinal,
        result: Result<(Settlement, String), Problem>,
    },
    Verified {
        place: Place,
        ordinal: Ordinal,
        result: Result<(Health, String), Problem>,
    },
    StatusRead {
        place: Place,
        ordinal: Ordinal,
        result: Result<Option<Status>, Problem>,
    },
    Answered {
        question: u32,
        reply: Reply,
    },
    Ran {
        place: Place,
        ran: command::Ran,
    },
    Job {
        place: Place,
        /// Whether it was to be started.
        start: bool,
        result: Result<JobSeen, Problem>,
    },
    Compared {
        ordinal: Ordinal,
        result: Result<Outcome, Problem>,
    },
    Leased {
        call: lease::Call,
        answer: lease::Answer,
    },
}

impl Completion {
    /// Whether it only read, and another try may bring what this one did not.
    pub(super) fn is_unread(&self) -> bool {
        let problem = match self {
            Self::Observed { result, .. } => result.as_ref().err(),
            Self::Surveyed { result, .. } => result.as_ref().err(),
            Self::Listed { result, .. } => result.as_ref().err(),
            Self::Judged { result, .. } => result.as_ref().err(),
            Self::Settled { result, .. } => result.as_ref().err(),
            Self::Verified { result, .. } => result.as_ref().err(),
            Self::StatusRead { result, .. } => result.as_ref().err(),
            Self::Compared { result, .. } => result.as_ref().err(),
            Self::Acted { .. }
            | Self::Written { .. }
            | Self::Answered { .. }
            | Self::Ran { .. }
            | Self::Job { .. }
            | Self::Leased { .. } => None,
        };
        problem.is_some_and(|problem| problem.transient)
    }
}

impl Effect {
    /// Whether it changes nothing, so that it may be given up at any time.
    pub fn only_reads(&self) -> bool {
        match self {
            Self::Observe { .. }
            | Self::Evaluate { .. }
            | Self::Survey { .. }
            | Self::List { .. }
            | Self::Look { .. }
            | Self::Settle { .. }
            | Self::Verify { .. }
            | Self::Status { .. }
            | Self::Compare { .. } => true,
            Self::Act { .. }
            | Self::Write { .. }
            | Self::Run { .. }
            | Self::Job { .. }
            | Self::Ask { .. }
            | Self::Wait { .. }
            | Self::Finish(_)
            | Self::Lease { .. } => false,
        }
    }
}

/// What is free.
pub struct Room<'a> {
    /// Calls that may be in flight, less those that are.
    pub slots: usize,
    /// Takes a token of the writing pace; false where the next one is not due yet.
    pub token: &'a mut dyn FnMut() -> bool,
    /// Set where there was work that only lacked a token or a slot.
    pub starved: bool,
}

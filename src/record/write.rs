//! What is done to a Workflow: the write, what it was decided on, how it ended, and what a look found afterwards.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Ordinal, is_true, is_zero, yes};
use crate::history::ResetPoint;
use crate::survey::{BatchState, Override, Status, Version};

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

//! What is known of one Workflow in a step, and counts of many.

use std::sync::Arc;

use jiff::Timestamp;

use super::Life;
use crate::catalog::LedgerState;
use crate::record::{Health, Seen, Treatment, Write};
use crate::survey::{Status, Version, WorkflowKey};

/// An intent that has no outcome yet.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenIntent {
    /// Strategy in force.
    pub strategy: String,
    /// The call.
    pub write: Write,
    /// What was seen.
    pub seen: Seen,
    /// When the call gives up.
    pub deadline: Timestamp,
}

/// One entry.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The Workflow.
    pub key: Arc<WorkflowKey>,
    /// Its type.
    pub workflow_type: Arc<str>,
    /// The step that claimed it.
    pub step: Arc<str>,
    /// Where it stands.
    pub life: Life,
    /// The row that took it.
    pub row: Option<Arc<str>>,
    /// What the write does.
    pub treatment: Option<Treatment>,
    /// Where the write moves it.
    pub target: Option<Version>,
    /// Attempt of the Workflow Task that was pending at the write, if the write went to the same run.
    pub attempt: u32,
    /// The run that the write made.
    pub new_run: Option<Box<str>>,
    /// When its last write ended (or was settled).
    pub ended: Option<Timestamp>,
    /// Intent without an outcome.
    pub intent: Option<Box<OpenIntent>>,
    /// A strategy that the service refused, and the refusal's name.
    pub barred: Option<Box<(String, String)>>,
    /// Its health, once looked at.
    pub health: Option<Health>,
    /// It was named without a run: whatever run its Workflow ID has now is meant.
    pub latest: bool,
    /// That it is closed, once somebody waited for that and found it so.
    pub closed: Option<Closed>,
    /// Reason of a skip, a refusal or a failure.
    pub note: Option<Box<str>>,
}

/// How a Workflow was found closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// With this status.
    As(Status),
    /// It does not exist any more.
    Gone,
}

impl Entry {
    /// Whether it is in a state, as a selection names it.
    pub fn is(&self, state: LedgerState) -> bool {
        let done = self.life == Life::Done;
        let treated = |treatment| done && self.treatment == Some(treatment);
        let health = self.health.filter(|_| done);
        let unhealthy = health.is_some_and(Health::is_unhealthy);
        match state {
            LedgerState::Recovered => done,
            LedgerState::Moved => treated(Treatment::Moved),
            LedgerState::StartedOver => treated(Treatment::StartedOver),
            LedgerState::Undone => treated(Treatment::Undone),
            LedgerState::Terminated => treated(Treatment::Terminated),
            LedgerState::Cancelled => treated(Treatment::Cancelled),
            LedgerState::Signalled => treated(Treatment::Signalled),
            LedgerState::Skipped => self.life == Life::Skipped,
            LedgerState::Refused => self.life == Life::Refused,
            LedgerState::Failed => self.life == Life::Failed,
            LedgerState::Unknown => self.life == Life::Unknown,
            LedgerState::Healthy => health == Some(Health::Healthy),
            LedgerState::Unproven => done && health != Some(Health::Healthy) && !unhealthy,
            LedgerState::Unhealthy => unhealthy,
        }
    }

    /// Whether its Version says nothing about its health: the write woke it and moved it nowhere. The run
    /// that a reset made has the Version of the task that was copied, before any Worker took it.
    pub fn is_woken(&self) -> bool {
        match self.treatment {
            Some(Treatment::Cancelled | Treatment::Signalled) => true,
            Some(Treatment::StartedOver | Treatment::Undone) => self.target.is_none(),
            Some(Treatment::Moved | Treatment::Terminated) | None => false,
        }
    }

    /// The run to look at now: the one that the write made, else the claimed one.
    pub fn current(&self) -> WorkflowKey {
        WorkflowKey {
            workflow_id: self.key.workflow_id.clone(),
            run_id: self
                .new_run
                .as_deref()
                .unwrap_or(&self.key.run_id)
                .to_owned(),
        }
    }
}

/// Counts of a step or of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Counts {
    pub moved: u64,
    pub started_over: u64,
    pub undone: u64,
    pub terminated: u64,
    pub cancelled: u64,
    pub signalled: u64,
    pub skipped: u64,
    pub refused: u64,
    pub failed: u64,
    pub unknown: u64,
    pub would: u64,
}

impl Counts {
    /// Written to, by any strategy.
    pub fn recovered(&self) -> u64 {
        self.moved
            + self.started_over
            + self.undone
            + self.terminated
            + self.cancelled
            + self.signalled
    }

    /// Decided, in whatever way.
    pub(super) fn all(&self) -> u64 {
        self.recovered() + self.skipped + self.refused + self.failed + self.unknown + self.would
    }

    pub(super) fn slot(&mut self, life: Life, treatment: Option<Treatment>) -> Option<&mut u64> {
        Some(match life {
            Life::Done => match treatment.unwrap_or(Treatment::Moved) {
                Treatment::Moved => &mut self.moved,
                Treatment::StartedOver => &mut self.started_over,
                Treatment::Undone => &mut self.undone,
                Treatment::Terminated => &mut self.terminated,
                Treatment::Cancelled => &mut self.cancelled,
                Treatment::Signalled => &mut self.signalled,
            },
            Life::Skipped => &mut self.skipped,
            Life::Refused => &mut self.refused,
            Life::Failed => &mut self.failed,
            Life::Unknown => &mut self.unknown,
            Life::Would => &mut self.would,
            Life::Claimed | Life::Intended | Life::InDoubt | Life::Released | Life::Handed => {
                return None;
            }
        })
    }
}

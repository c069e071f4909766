//! One Workflow Execution as the simulated service keeps it. Small, because there may be 100,000.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use temporalio_protos::temporal::api::sdk::v1::UserMetadata;
use temporalio_protos::temporal::api::workflow::v1::{
    VersioningOverride, versioning_override as message,
};

use super::history::{ChildMark, History, Message};
use super::proto;
use super::query::QueryWorld;
use super::state::{State, VersionId};
use super::world::{Behaviour, ClosesAs, Group, GroupBehavior, OnCancel, TaskFailure};
use crate::survey::{AttributeValue, Behavior, Status};

/// What the Workflows of a group have in common.
#[derive(Debug)]
pub(super) struct Kind {
    pub(super) workflow_type: Arc<str>,
    pub(super) task_queue: Arc<str>,
    pub(super) deployment: Arc<str>,
    pub(super) profile: Arc<Profile>,
    pub(super) run_timeout: Option<Duration>,
    pub(super) execution_timeout: Option<Duration>,
    pub(super) attributes: Vec<(String, AttributeValue)>,
    pub(super) input: Option<serde_json::Value>,
    pub(super) cron: Option<String>,
}

/// What Workers do with a Workflow Type.
#[derive(Debug, Default)]
pub(super) struct Profile {
    pub(super) on: BTreeMap<VersionId, Behaviour>,
    pub(super) takes: Duration,
    /// What a Workflow without a completed task says of itself with its first.
    pub(super) behavior: GroupBehavior,
    pub(super) on_cancel: OnCancel,
    pub(super) cancel_takes: Duration,
    pub(super) on_signal: BTreeMap<String, ClosesAs>,
    pub(super) queries: BTreeMap<String, QueryWorld>,
}

impl Profile {
    /// What a group says, with the behaviours of its Versions.
    pub(super) fn of(group: &Group, on: BTreeMap<VersionId, Behaviour>) -> Self {
        Self {
            on,
            takes: group.takes.0,
            behavior: group.behavior,
            on_cancel: group.on_cancel,
            cancel_takes: group.cancel_takes.unwrap_or_default().0,
            on_signal: group.on_signal.clone(),
            queries: group.queries.clone(),
        }
    }
}

/// A Versioning Override.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Override {
    Pinned(VersionId),
    OneTime(VersionId),
    AutoUpgrade,
}

impl Override {
    /// The Version that it names.
    pub(super) fn target(self) -> Option<VersionId> {
        match self {
            Self::Pinned(version) | Self::OneTime(version) => Some(version),
            Self::AutoUpgrade => None,
        }
    }

    /// As Describe and the history show it.
    pub(super) fn message(self, state: &State) -> VersioningOverride {
        let inner = match self {
            Self::Pinned(version) => message::Override::Pinned(message::PinnedOverride {
                behavior: message::PinnedOverrideBehavior::Pinned as i32,
                version: Some(proto::version(state.version_name(version))),
            }),
            Self::OneTime(version) => message::Override::OneTime(message::OneTimeOverride {
                target_deployment_version: Some(proto::version(state.version_name(version))),
            }),
            Self::AutoUpgrade => message::Override::AutoUpgrade(true),
        };
        VersioningOverride {
            r#override: Some(inner),
            ..Default::default()
        }
    }
}

/// The pending Workflow Task.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Task {
    None,
    /// In a queue, for the Workers of a Version (none: of no Version).
    Scheduled {
        version: Option<VersionId>,
        since: Timestamp,
        original: Timestamp,
        attempt: u32,
    },
    /// A Worker has its first attempt and will answer.
    Taken {
        version: VersionId,
        started: Timestamp,
        original: Timestamp,
    },
    /// A Worker has it and will not answer: it ends at `until`.
    Held {
        started: Timestamp,
        original: Timestamp,
        attempt: u32,
        until: Timestamp,
    },
    /// Fails again and again on one Version; attempts are computed from the time, nothing ticks.
    Retrying {
        version: VersionId,
        since: Timestamp,
        original: Timestamp,
        first: u32,
    },
}

/// One attempt of a task that fails again and again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Attempt {
    pub(super) number: u32,
    pub(super) started: Timestamp,
    pub(super) ends: Timestamp,
}

/// Attempts that last as long as all that follow: the backoff is capped at 10 minutes.
const CAPPED: u32 = 11;

/// How long an attempt lasts: the first two fail at once and are tried again, from the third on the
/// Worker does not answer, and the timeout grows from 10 s by 5 s, 10 s, 20 s … up to 10 minutes more.
fn lasts(attempt: u32, first: u32) -> SignedDuration {
    match attempt {
        1 if first == 1 => SignedDuration::from_millis(300),
        2 if first == 1 => SignedDuration::from_millis(9_700),
        0..=3 => SignedDuration::from_secs(10),
        4..CAPPED => SignedDuration::from_secs(10 + (5 << (attempt - 4))),
        _ => SignedDuration::from_secs(610),
    }
}

/// The attempt that runs at `now`, where the attempt `first` began at `since`.
pub(super) fn attempt_at(since: Timestamp, first: u32, now: Timestamp) -> Attempt {
    let mut number = first;
    let mut started = since;
    loop {
        let ends = started + lasts(number, first);
        if now < ends {
            return Attempt {
                number,
                started,
                ends,
            };
        }
        if number >= CAPPED {
            let whole = now.duration_since(started).as_secs() / 610;
            let started = started + SignedDuration::from_secs(whole * 610);
            let skipped = u32::try_from(whole).unwrap_or(u32::MAX);
            return Attempt {
                number: number.saturating_add(skipped),
                started,
                ends: started + SignedDuration::from_secs(610),
            };
        }
        number += 1;
        started = ends;
    }
}

/// Consecutive problems after which `TemporalReportedProblems` is set: the fifth has ended.
pub(super) const REPORTED_FROM: u32 = 6;

/// A child that its parent started.
#[derive(Clone, Debug)]
pub(super) struct Child {
    pub(super) mark: Arc<ChildMark>,
    pub(super) initiated: i64,
    pub(super) done: bool,
}

/// What few executions have.
#[derive(Clone, Debug, Default)]
pub(super) struct Extra {
    /// Index of the parent.
    pub(super) parent: Option<u32>,
    pub(super) children: Vec<Child>,
    /// WorkflowExecutionStartedEventAttributes, encoded, where a call started it.
    pub(super) start: Option<Arc<[u8]>>,
    /// What a person reads about it, where a call said so.
    pub(super) metadata: Option<Arc<UserMetadata>>,
    /// Run that it continues.
    pub(super) continued_from: Option<u128>,
    pub(super) cancel_requested: bool,
    /// Whether it took note of that.
    pub(super) cancel_heeded: bool,
    /// Request ids of Signals that this run has seen. A reset's new run knows none of them: a Signal that
    /// was applied again, and is then sent again with the same request id, arrives twice.
    pub(super) signal_requests: Vec<String>,
    /// Updates that a reset applies again and no task has accepted yet.
    pub(super) admitted: Vec<Arc<Message>>,
    /// When its first Workflow Task is scheduled.
    pub(super) waits_until: Option<Timestamp>,
}

/// One Workflow Execution.
#[derive(Clone, Debug)]
pub(super) struct Execution {
    pub(super) id: Arc<str>,
    pub(super) run: u128,
    pub(super) kind: Arc<Kind>,
    /// Its number in the group.
    pub(super) number: u32,
    pub(super) status: Status,
    pub(super) started: Timestamp,
    pub(super) closed: Option<Timestamp>,
    pub(super) behavior: Behavior,
    /// The Version that completed the last Workflow Task.
    pub(super) ran_on: Option<VersionId>,
    /// Versions that completed a Workflow Task.
    pub(super) used: Arc<[VersionId]>,
    /// Pinned by its parent or the run before it.
    pub(super) inherited: Option<VersionId>,
    pub(super) moved: Option<Override>,
    pub(super) task: Task,
    /// Whether an Activity runs.
    pub(super) working: bool,
    /// Bumped when the task changes, so that what was due for the old one is void.
    pub(super) generation: u32,
    /// `TemporalReportedProblems`, beyond what [`Task::Retrying`] says.
    pub(super) problems: bool,
    pub(super) history: History,
    pub(super) reset_run: Option<u128>,
    pub(super) last_reset: Option<Timestamp>,
    pub(super) first_run: u128,
    pub(super) original_run: u128,
    /// Request id of the start, where a call started it.
    pub(super) request_id: Option<Arc<str>>,
    /// What Visibility shows.
    pub(super) visible: Option<Snapshot>,
    pub(super) extra: Option<Box<Extra>>,
}

/// What Visibility shows of an execution and can change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Snapshot {
    pub(super) status: Status,
    pub(super) closed: Option<Timestamp>,
    pub(super) version: Option<VersionId>,
    pub(super) behavior: u8,
}

impl Execution {
    /// How many events its history has.
    pub(super) fn history_length(&self) -> i64 {
        i64::try_from(self.history.len()).unwrap_or(i64::MAX)
    }

    pub(super) fn is_open(&self) -> bool {
        self.status.is_open()
    }

    pub(super) fn children(&self) -> &[Child] {
        self.extra.as_ref().map_or(&[], |extra| &extra.children)
    }

    /// Request id of the start; that of a seeded execution is made from its first run.
    pub(super) fn start_request(&self) -> String {
        match &self.request_id {
            Some(id) => id.to_string(),
            None => format!("start-{:032x}", self.original_run),
        }
    }

    pub(super) fn parent(&self) -> Option<u32> {
        self.extra.as_ref().and_then(|extra| extra.parent)
    }

    pub(super) fn extra_mut(&mut self) -> &mut Extra {
        self.extra.get_or_insert_default()
    }

    /// Versioning behavior with the Override.
    pub(super) fn effective_behavior(&self) -> Behavior {
        match self.moved {
            Some(Override::Pinned(_) | Override::OneTime(_)) => Behavior::Pinned,
            Some(Override::AutoUpgrade) => Behavior::AutoUpgrade,
            None => self.behavior,
        }
    }

    /// The Version that Visibility is to show: an Override flips it at once.
    pub(super) fn effective_version(&self) -> Option<VersionId> {
        self.moved.and_then(Override::target).or(self.ran_on)
    }

    /// The attempt of the pending task, and when it started where a Worker has it.
    pub(super) fn pending_attempt(&self, now: Timestamp) -> Option<(u32, Option<Timestamp>)> {
        match self.task {
            Task::None => None,
            Task::Scheduled { attempt, .. } => Some((attempt, None)),
            Task::Taken { started, .. } => Some((1, Some(started))),
            Task::Held {
                attempt, started, ..
            } => Some((attempt, Some(started))),
            Task::Retrying { since, first, .. } => {
                let attempt = attempt_at(since, first, now);
                Some((attempt.number, Some(attempt.started)))
            }
        }
    }

    /// Whether `TemporalReportedProblems` is set.
    pub(super) fn reports_problems(&self, now: Timestamp) -> bool {
        self.problems
            || match self.task {
                Task::Retrying { since, first, .. } => {
                    attempt_at(since, first, now).number >= REPORTED_FROM
                }
                _ => false,
            }
    }

    /// Why its tasks fail, where `TemporalReportedProblems` is set.
    pub(super) fn reported_cause(&self, now: Timestamp) -> Option<TaskFailure> {
        self.reports_problems(now).then(|| {
            self.history
                .last_failure()
                .unwrap_or(TaskFailure::NonDeterministic)
        })
    }

    /// Whether its first Workflow Task is still to be scheduled.
    pub(super) fn waits(&self) -> bool {
        self.extra
            .as_ref()
            .is_some_and(|extra| extra.waits_until.is_some())
    }

    /// What Visibility is to show from now on.
    pub(super) fn snapshot(&self) -> Snapshot {
        Snapshot {
            status: self.status,
            closed: self.closed,
            version: self.effective_version(),
            behavior: super::history::behavior_number(self.effective_behavior()) as u8,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_grow_as_measured() {
        let begin = Timestamp::UNIX_EPOCH;
        let number =
            |seconds: i64| attempt_at(begin, 1, begin + SignedDuration::from_secs(seconds)).number;
        assert_eq!(
            (number(0), number(1), number(10), number(20), number(35)),
            (1, 2, 3, 4, 5)
        );
        assert_eq!((number(54), number(55)), (5, 6));
        assert!(number(8 * 3600) > 50);
    }

    #[test]
    fn an_attempt_holds_its_moment() {
        let begin = Timestamp::UNIX_EPOCH;
        for seconds in [0, 5, 100, 1_000, 10_000, 100_000] {
            let now = begin + SignedDuration::from_secs(seconds);
            let attempt = attempt_at(begin, 1, now);
            assert!(attempt.started <= now && now < attempt.ends, "{seconds}");
        }
    }
}

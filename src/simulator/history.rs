//! Histories: compact events, shared between the Workflows of a group until they are touched, and made
//! into Temporal's HistoryEvents only when somebody reads them.
//!
//! Event ids are positions, from 1. Scheduled and started ids are found by position too, so that an
//! event needs 24 bytes.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use temporalio_protos::temporal::api::common::v1::{
    ActivityType, Header, Payloads, WorkerVersionStamp,
};
use temporalio_protos::temporal::api::enums::v1::{
    EventType, StartChildWorkflowExecutionFailedCause, TimeoutType, UpdateAdmittedEventOrigin,
    VersioningBehavior, WorkflowTaskFailedCause,
};
use temporalio_protos::temporal::api::failure::v1::failure::FailureInfo;
use temporalio_protos::temporal::api::failure::v1::{Failure, ResetWorkflowFailureInfo};
use temporalio_protos::temporal::api::history::v1::history_event::Attributes;
use temporalio_protos::temporal::api::history::v1::{self as history, HistoryEvent};
use temporalio_protos::temporal::api::sdk::v1::UserMetadata;
use temporalio_protos::temporal::api::update::v1 as update;

use super::execution::{Execution, Override};
use super::proto;
use super::state::{State, VersionId};
use super::world::TaskFailure;
use crate::survey::Behavior;

/// One event: when, in microseconds after the history's origin, and what.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) at: i64,
    pub(super) what: What,
}

/// What an event says; ids are found by position.
#[derive(Clone, Debug)]
pub(super) enum What {
    Started,
    TaskScheduled,
    TaskStarted(VersionId),
    TaskCompleted(VersionId, Behavior),
    TaskFailed(TaskFailure),
    TaskTimedOut,
    ResetFailed(Arc<ResetMark>),
    /// The task that an Update asks for: scheduled and started at once, in one batch of events.
    SpeculativeScheduled,
    SpeculativeStarted(VersionId),
    ActivityScheduled(Option<Arc<str>>),
    ActivityStarted,
    ActivityCompleted,
    TimerStarted(Duration),
    TimerFired,
    Signaled(Arc<Message>),
    /// An Update that a reset applies again: the next Workflow Task accepts it.
    UpdateAdmitted(Arc<Message>),
    UpdateAccepted(Arc<Message>),
    UpdateCompleted(Arc<Message>),
    OptionsUpdated(Arc<OptionsMark>),
    ChildInitiated(Arc<ChildMark>),
    ChildStarted(Arc<ChildMark>),
    ChildCompleted(Arc<ChildMark>),
    ChildStartFailed(Arc<ChildMark>),
    CancelRequested(Arc<CancelMark>),
    Canceled,
    Completed,
    Failed(&'static str),
    TimedOut,
    Terminated(Arc<TerminateMark>),
    ContinuedAsNew(Arc<u128>),
}

/// The mark that a reset leaves in the new run.
#[derive(Clone, Debug)]
pub(super) struct ResetMark {
    pub(super) reason: String,
    pub(super) base: u128,
    pub(super) new: u128,
}

/// Who asked for a cancellation, and why.
#[derive(Clone, Debug)]
pub(super) struct CancelMark {
    pub(super) reason: String,
    pub(super) identity: String,
}

/// A Signal or an Update.
#[derive(Clone, Debug, Default)]
pub(super) struct Message {
    pub(super) name: String,
    pub(super) input: Option<Payloads>,
    pub(super) header: Option<Header>,
    /// Whether it was admitted before it was accepted, after a reset.
    pub(super) admitted: bool,
    pub(super) identity: String,
    pub(super) request_id: String,
}

/// A change of the Versioning Override.
#[derive(Clone, Debug)]
pub(super) struct OptionsMark {
    pub(super) versioning_override: Option<Override>,
    pub(super) identity: String,
}

/// A child as its parent's history names it.
#[derive(Clone, Debug)]
pub(super) struct ChildMark {
    pub(super) id: Arc<str>,
    pub(super) run: u128,
    pub(super) workflow_type: Arc<str>,
    pub(super) task_queue: Arc<str>,
}

/// Who terminated, and why.
#[derive(Clone, Debug)]
pub(super) struct TerminateMark {
    pub(super) reason: String,
    pub(super) details: Option<Payloads>,
    pub(super) identity: String,
}

/// A history: a prefix that many share, and what came after.
#[derive(Clone, Debug)]
pub(super) struct History {
    shared: Arc<[Event]>,
    taken: usize,
    own: Vec<Event>,
    /// Microseconds since the epoch.
    origin: i64,
}

impl History {
    pub(super) fn new(shared: Arc<[Event]>, origin: Timestamp) -> Self {
        Self {
            taken: shared.len(),
            shared,
            own: Vec::new(),
            origin: origin.as_microsecond(),
        }
    }

    /// Number of events: the id of the last one.
    pub(super) fn len(&self) -> usize {
        self.taken + self.own.len()
    }

    pub(super) fn push(&mut self, at: Timestamp, what: What) {
        self.own.push(Event {
            at: at.as_microsecond() - self.origin,
            what,
        });
    }

    /// The event with this id.
    pub(super) fn get(&self, id: usize) -> Option<&What> {
        let index = id.checked_sub(1)?;
        if index < self.taken {
            self.shared.get(index)
        } else {
            self.own.get(index - self.taken)
        }
        .map(|event| &event.what)
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &Event> {
        self.shared[..self.taken].iter().chain(&self.own)
    }

    /// When the first event happened.
    pub(super) fn origin(&self) -> Timestamp {
        proto::from_micros(self.origin)
    }

    /// When the event with this id happened.
    pub(super) fn time_of(&self, id: i64) -> Option<Timestamp> {
        let event = self.iter().nth(usize::try_from(id - 1).ok()?)?;
        Some(proto::from_micros(self.origin + event.at))
    }

    pub(super) fn last_time(&self) -> Timestamp {
        proto::from_micros(self.origin + self.iter().next_back().map_or(0, |event| event.at))
    }

    /// The first `count` events of it, as a history of its own.
    pub(super) fn prefix(&self, count: usize) -> Self {
        Self {
            shared: self.shared.clone(),
            taken: self.taken.min(count),
            own: self.own[..count.saturating_sub(self.taken).min(self.own.len())].to_vec(),
            origin: self.origin,
        }
    }

    /// The Version and behavior of the last completed Workflow Task.
    pub(super) fn last_completed(&self) -> Option<(VersionId, Behavior)> {
        self.iter().rev().find_map(|event| match event.what {
            What::TaskCompleted(version, behavior) => Some((version, behavior)),
            _ => None,
        })
    }

    /// Versions that completed a Workflow Task, in order, once each.
    pub(super) fn used(&self) -> Vec<VersionId> {
        let mut used = Vec::new();
        for event in self.iter() {
            if let What::TaskCompleted(version, _) = event.what
                && !used.contains(&version)
            {
                used.push(version);
            }
        }
        used
    }

    /// Why the last failed Workflow Task failed.
    pub(super) fn last_failure(&self) -> Option<TaskFailure> {
        self.iter().rev().find_map(|event| match event.what {
            What::TaskFailed(cause) => Some(cause),
            _ => None,
        })
    }

    /// The id of the first event of a kind.
    pub(super) fn first_id(&self, of: impl Fn(&What) -> bool) -> Option<i64> {
        let found = self.iter().position(|event| of(&event.what))?;
        i64::try_from(found + 1).ok()
    }

    /// The id of the last event of a kind.
    pub(super) fn last_id(&self, of: impl Fn(&What) -> bool) -> Option<i64> {
        let from_the_end = self.iter().rev().position(|event| of(&event.what))?;
        i64::try_from(self.len() - from_the_end).ok()
    }
}

/// Positions that later events refer to.
#[derive(Default)]
struct Positions {
    task_scheduled: i64,
    task_started: i64,
    task_completed: i64,
    activity_scheduled: i64,
    activity_started: i64,
    timer_started: i64,
    child_initiated: i64,
    child_started: i64,
    update_accepted: i64,
}

impl Positions {
    fn note(&mut self, id: i64, what: &What) {
        match what {
            What::TaskScheduled | What::SpeculativeScheduled => self.task_scheduled = id,
            What::TaskStarted(_) | What::SpeculativeStarted(_) => self.task_started = id,
            What::TaskCompleted(..) => self.task_completed = id,
            What::ActivityScheduled(_) => self.activity_scheduled = id,
            What::ActivityStarted => self.activity_started = id,
            What::TimerStarted(_) => self.timer_started = id,
            What::ChildInitiated(_) => self.child_initiated = id,
            What::ChildStarted(_) => self.child_started = id,
            What::UpdateAccepted(_) => self.update_accepted = id,
            _ => {}
        }
    }
}

/// The events of an execution after the first `from`, up to the one with the id `to`, as Temporal's
/// messages. What is before them is only counted, so that a page of a long history is cheap.
pub(super) fn materialise(state: &State, index: u32, from: usize, to: usize) -> Vec<HistoryEvent> {
    let run = state.execution(index);
    let mut seen = Positions::default();
    let origin = run.history.origin;
    let mut events = Vec::with_capacity(to.min(run.history.len()).saturating_sub(from));
    for (position, event) in run.history.iter().enumerate().take(to) {
        let id = i64::try_from(position + 1).unwrap_or(i64::MAX);
        seen.note(id, &event.what);
        if position < from {
            continue;
        }
        let (kind, attributes) = attributes(state, index, id, &event.what, &seen);
        events.push(HistoryEvent {
            event_id: id,
            event_time: Some(proto::stamp(proto::from_micros(origin + event.at))),
            event_type: kind as i32,
            task_id: 1_048_576 + id,
            worker_may_ignore: kind == EventType::WorkflowExecutionOptionsUpdated,
            attributes: Some(attributes),
            user_metadata: metadata(run, &event.what),
            ..Default::default()
        });
    }
    events
}

fn metadata(run: &Execution, what: &What) -> Option<UserMetadata> {
    let said = run
        .extra
        .as_ref()
        .and_then(|extra| extra.metadata.as_deref());
    said.filter(|_| matches!(what, What::Started)).cloned()
}

/// An event that only a reply shows: the trailing task of an attempt above 1.
pub(super) fn transient(
    id: i64,
    at: Timestamp,
    kind: EventType,
    attributes: Attributes,
) -> HistoryEvent {
    HistoryEvent {
        event_id: id,
        event_time: Some(proto::stamp(at)),
        event_type: kind as i32,
        attributes: Some(attributes),
        ..Default::default()
    }
}

#[allow(clippy::too_many_lines)] // one arm an event type
fn attributes(
    state: &State,
    index: u32,
    id: i64,
    what: &What,
    seen: &Positions,
) -> (EventType, Attributes) {
    let run = state.execution(index);
    let queue = || proto::task_queue(&run.kind.task_queue);
    match what {
        What::Started => (
            EventType::WorkflowExecutionStarted,
            Attributes::WorkflowExecutionStartedEventAttributes(state.started_attributes(index)),
        ),
        What::TaskScheduled | What::SpeculativeScheduled => (
            EventType::WorkflowTaskScheduled,
            Attributes::WorkflowTaskScheduledEventAttributes(
                history::WorkflowTaskScheduledEventAttributes {
                    task_queue: queue(),
                    start_to_close_timeout: Some(prost_types::Duration {
                        seconds: 10,
                        nanos: 0,
                    }),
                    attempt: 1,
                },
            ),
        ),
        What::TaskStarted(version) | What::SpeculativeStarted(version) => (
            EventType::WorkflowTaskStarted,
            Attributes::WorkflowTaskStartedEventAttributes(
                history::WorkflowTaskStartedEventAttributes {
                    scheduled_event_id: seen.task_scheduled,
                    identity: worker_identity(state, *version),
                    ..Default::default()
                },
            ),
        ),
        What::TaskCompleted(version, behavior) => {
            let name = state.version_name(*version);
            (
                EventType::WorkflowTaskCompleted,
                Attributes::WorkflowTaskCompletedEventAttributes(
                    history::WorkflowTaskCompletedEventAttributes {
                        scheduled_event_id: seen.task_scheduled,
                        started_event_id: seen.task_started,
                        identity: worker_identity(state, *version),
                        worker_version: Some(WorkerVersionStamp {
                            build_id: name.build.to_string(),
                            ..Default::default()
                        }),
                        versioning_behavior: behavior_number(*behavior),
                        worker_deployment_name: name.deployment.to_string(),
                        deployment_version: Some(proto::version(name)),
                        ..Default::default()
                    },
                ),
            )
        }
        What::TaskFailed(cause) => (
            EventType::WorkflowTaskFailed,
            Attributes::WorkflowTaskFailedEventAttributes(
                history::WorkflowTaskFailedEventAttributes {
                    scheduled_event_id: seen.task_scheduled,
                    started_event_id: seen.task_started,
                    cause: failed_cause(*cause) as i32,
                    failure: failure(match cause {
                        TaskFailure::NonDeterministic => {
                            "Nondeterminism error: the commands do not match the history"
                        }
                        TaskFailure::Error => "the Workflow's code raised an error",
                    }),
                    ..Default::default()
                },
            ),
        ),
        What::TaskTimedOut => (
            EventType::WorkflowTaskTimedOut,
            Attributes::WorkflowTaskTimedOutEventAttributes(
                history::WorkflowTaskTimedOutEventAttributes {
                    scheduled_event_id: seen.task_scheduled,
                    started_event_id: seen.task_started,
                    timeout_type: TimeoutType::StartToClose as i32,
                },
            ),
        ),
        What::ResetFailed(mark) => (
            EventType::WorkflowTaskFailed,
            Attributes::WorkflowTaskFailedEventAttributes(
                history::WorkflowTaskFailedEventAttributes {
                    scheduled_event_id: seen.task_scheduled,
                    started_event_id: seen.task_started,
                    cause: WorkflowTaskFailedCause::ResetWorkflow as i32,
                    failure: failure(&mark.reason).map(|failure| Failure {
                        failure_info: Some(FailureInfo::ResetWorkflowFailureInfo(
                            ResetWorkflowFailureInfo::default(),
                        )),
                        ..failure
                    }),
                    identity: "history-service".to_owned(),
                    base_run_id: proto::run_text(mark.base),
                    new_run_id: proto::run_text(mark.new),
                    ..Default::default()
                },
            ),
        ),
        What::ActivityScheduled(name) => (
            EventType::ActivityTaskScheduled,
            Attributes::ActivityTaskScheduledEventAttributes(
                history::ActivityTaskScheduledEventAttributes {
                    activity_id: id.to_string(),
                    activity_type: Some(ActivityType {
                        name: name.as_deref().unwrap_or("work").to_owned(),
                    }),
                    task_queue: queue(),
                    workflow_task_completed_event_id: seen.task_completed,
                    ..Default::default()
                },
            ),
        ),
        What::ActivityStarted => (
            EventType::ActivityTaskStarted,
            Attributes::ActivityTaskStartedEventAttributes(
                history::ActivityTaskStartedEventAttributes {
                    scheduled_event_id: seen.activity_scheduled,
                    attempt: 1,
                    ..Default::default()
                },
            ),
        ),
        What::ActivityCompleted => (
            EventType::ActivityTaskCompleted,
            Attributes::ActivityTaskCompletedEventAttributes(
                history::ActivityTaskCompletedEventAttributes {
                    scheduled_event_id: seen.activity_scheduled,
                    started_event_id: seen.activity_started,
                    ..Default::default()
                },
            ),
        ),
        What::Signaled(message) => (
            EventType::WorkflowExecutionSignaled,
            Attributes::WorkflowExecutionSignaledEventAttributes(
                history::WorkflowExecutionSignaledEventAttributes {
                    signal_name: message.name.clone(),
                    input: message.input.clone(),
                    identity: message.identity.clone(),
                    header: message.header.clone(),
                    request_id: message.request_id.clone(),
                    ..Default::default()
                },
            ),
        ),
        What::TimerStarted(length) => (
            EventType::TimerStarted,
            Attributes::TimerStartedEventAttributes(history::TimerStartedEventAttributes {
                timer_id: id.to_string(),
                start_to_fire_timeout: Some(proto::span(*length)),
                workflow_task_completed_event_id: seen.task_completed,
            }),
        ),
        What::TimerFired => (
            EventType::TimerFired,
            Attributes::TimerFiredEventAttributes(history::TimerFiredEventAttributes {
                timer_id: seen.timer_started.to_string(),
                started_event_id: seen.timer_started,
            }),
        ),
        What::UpdateAdmitted(message) => (
            EventType::WorkflowExecutionUpdateAdmitted,
            Attributes::WorkflowExecutionUpdateAdmittedEventAttributes(
                history::WorkflowExecutionUpdateAdmittedEventAttributes {
                    request: Some(update_request(message)),
                    origin: UpdateAdmittedEventOrigin::Reapply as i32,
                },
            ),
        ),
        What::UpdateAccepted(message) => (
            EventType::WorkflowExecutionUpdateAccepted,
            Attributes::WorkflowExecutionUpdateAcceptedEventAttributes(
                history::WorkflowExecutionUpdateAcceptedEventAttributes {
                    protocol_instance_id: message.request_id.clone(),
                    accepted_request: (!message.admitted).then(|| update_request(message)),
                    ..Default::default()
                },
            ),
        ),
        What::UpdateCompleted(message) => (
            EventType::WorkflowExecutionUpdateCompleted,
            Attributes::WorkflowExecutionUpdateCompletedEventAttributes(
                history::WorkflowExecutionUpdateCompletedEventAttributes {
                    meta: meta(message),
                    accepted_event_id: seen.update_accepted,
                    ..Default::default()
                },
            ),
        ),
        What::OptionsUpdated(mark) => (
            EventType::WorkflowExecutionOptionsUpdated,
            Attributes::WorkflowExecutionOptionsUpdatedEventAttributes(
                history::WorkflowExecutionOptionsUpdatedEventAttributes {
                    versioning_override: mark.versioning_override.map(|one| one.message(state)),
                    unset_versioning_override: mark.versioning_override.is_none(),
                    identity: mark.identity.clone(),
                    ..Default::default()
                },
            ),
        ),
        What::ChildInitiated(mark) => (
            EventType::StartChildWorkflowExecutionInitiated,
            Attributes::StartChildWorkflowExecutionInitiatedEventAttributes(
                history::StartChildWorkflowExecutionInitiatedEventAttributes {
                    namespace: state.namespace.clone(),
                    namespace_id: state.namespace_id.clone(),
                    workflow_id: mark.id.to_string(),
                    workflow_type: proto::workflow_type(&mark.workflow_type),
                    task_queue: proto::task_queue(&mark.task_queue),
                    parent_close_policy: 1,
                    workflow_task_completed_event_id: seen.task_completed,
                    ..Default::default()
                },
            ),
        ),
        What::ChildStarted(mark) => (
            EventType::ChildWorkflowExecutionStarted,
            Attributes::ChildWorkflowExecutionStartedEventAttributes(
                history::ChildWorkflowExecutionStartedEventAttributes {
                    namespace: state.namespace.clone(),
                    namespace_id: state.namespace_id.clone(),
                    initiated_event_id: initiated(run, &mark.id, seen),
                    workflow_execution: Some(proto::execution(&mark.id, mark.run)),
                    workflow_type: proto::workflow_type(&mark.workflow_type),
                    ..Default::default()
                },
            ),
        ),
        What::ChildCompleted(mark) => (
            EventType::ChildWorkflowExecutionCompleted,
            Attributes::ChildWorkflowExecutionCompletedEventAttributes(
                history::ChildWorkflowExecutionCompletedEventAttributes {
                    namespace: state.namespace.clone(),
                    namespace_id: state.namespace_id.clone(),
                    workflow_execution: Some(proto::execution(&mark.id, mark.run)),
                    workflow_type: proto::workflow_type(&mark.workflow_type),
                    initiated_event_id: initiated(run, &mark.id, seen),
                    started_event_id: seen.child_started,
                    ..Default::default()
                },
            ),
        ),
        What::ChildStartFailed(mark) => (
            EventType::StartChildWorkflowExecutionFailed,
            Attributes::StartChildWorkflowExecutionFailedEventAttributes(
                history::StartChildWorkflowExecutionFailedEventAttributes {
                    namespace: state.namespace.clone(),
                    namespace_id: state.namespace_id.clone(),
                    workflow_id: mark.id.to_string(),
                    workflow_type: proto::workflow_type(&mark.workflow_type),
                    cause: StartChildWorkflowExecutionFailedCause::WorkflowAlreadyExists as i32,
                    initiated_event_id: seen.child_initiated,
                    workflow_task_completed_event_id: seen.task_completed,
                    ..Default::default()
                },
            ),
        ),
        What::CancelRequested(mark) => (
            EventType::WorkflowExecutionCancelRequested,
            Attributes::WorkflowExecutionCancelRequestedEventAttributes(
                history::WorkflowExecutionCancelRequestedEventAttributes {
                    cause: mark.reason.clone(),
                    identity: mark.identity.clone(),
                    ..Default::default()
                },
            ),
        ),
        What::Canceled => (
            EventType::WorkflowExecutionCanceled,
            Attributes::WorkflowExecutionCanceledEventAttributes(
                history::WorkflowExecutionCanceledEventAttributes {
                    workflow_task_completed_event_id: seen.task_completed,
                    ..Default::default()
                },
            ),
        ),
        What::Completed => (
            EventType::WorkflowExecutionCompleted,
            Attributes::WorkflowExecutionCompletedEventAttributes(
                history::WorkflowExecutionCompletedEventAttributes {
                    workflow_task_completed_event_id: seen.task_completed,
                    ..Default::default()
                },
            ),
        ),
        What::Failed(message) => (
            EventType::WorkflowExecutionFailed,
            Attributes::WorkflowExecutionFailedEventAttributes(
                history::WorkflowExecutionFailedEventAttributes {
                    failure: failure(message),
                    workflow_task_completed_event_id: seen.task_completed,
                    ..Default::default()
                },
            ),
        ),
        What::TimedOut => (
            EventType::WorkflowExecutionTimedOut,
            Attributes::WorkflowExecutionTimedOutEventAttributes(
                history::WorkflowExecutionTimedOutEventAttributes::default(),
            ),
        ),
        What::Terminated(mark) => (
            EventType::WorkflowExecutionTerminated,
            Attributes::WorkflowExecutionTerminatedEventAttributes(
                history::WorkflowExecutionTerminatedEventAttributes {
                    reason: mark.reason.clone(),
                    details: mark.details.clone(),
                    identity: mark.identity.clone(),
                },
            ),
        ),
        What::ContinuedAsNew(new) => (
            EventType::WorkflowExecutionContinuedAsNew,
            Attributes::WorkflowExecutionContinuedAsNewEventAttributes(
                history::WorkflowExecutionContinuedAsNewEventAttributes {
                    new_execution_run_id: proto::run_text(**new),
                    workflow_type: proto::workflow_type(&run.kind.workflow_type),
                    task_queue: queue(),
                    workflow_task_completed_event_id: seen.task_completed,
                    ..Default::default()
                },
            ),
        ),
    }
}

fn initiated(run: &super::execution::Execution, child: &str, seen: &Positions) -> i64 {
    run.children()
        .iter()
        .find(|one| &*one.mark.id == child)
        .map_or(seen.child_initiated, |one| one.initiated)
}

fn failed_cause(cause: TaskFailure) -> WorkflowTaskFailedCause {
    match cause {
        TaskFailure::NonDeterministic => WorkflowTaskFailedCause::NonDeterministicError,
        TaskFailure::Error => WorkflowTaskFailedCause::WorkflowWorkerUnhandledFailure,
    }
}

fn update_request(message: &Message) -> update::Request {
    update::Request {
        meta: meta(message),
        input: Some(update::Input {
            name: message.name.clone(),
            args: message.input.clone(),
            header: message.header.clone(),
        }),
        ..Default::default()
    }
}

fn meta(message: &Message) -> Option<update::Meta> {
    Some(update::Meta {
        update_id: message.request_id.clone(),
        identity: message.identity.clone(),
    })
}

fn failure(message: &str) -> Option<Failure> {
    Some(Failure {
        message: message.to_owned(),
        ..Default::default()
    })
}

fn worker_identity(state: &State, version: VersionId) -> String {
    format!("worker-{}", state.version_name(version).build)
}

/// Temporal's number of a behavior.
pub(super) fn behavior_number(behavior: Behavior) -> i32 {
    (match behavior {
        Behavior::Unspecified => VersioningBehavior::Unspecified,
        Behavior::Pinned => VersioningBehavior::Pinned,
        Behavior::AutoUpgrade => VersioningBehavior::AutoUpgrade,
    }) as i32
}

//! What a strategy needs from a history, and nothing more: read from the front, then, where the end is
//! wanted and far away, from the back. Bounded: a history longer than the bound is said to be so.

use temporalio_protos::temporal::api::enums::v1::{
    EventType, HistoryEventFilterType, WorkflowTaskFailedCause,
};
use temporalio_protos::temporal::api::history::v1::HistoryEvent;
use temporalio_protos::temporal::api::history::v1::history_event::Attributes;
use temporalio_protos::temporal::api::workflowservice::v1::{
    GetWorkflowExecutionHistoryRequest, GetWorkflowExecutionHistoryResponse,
    GetWorkflowExecutionHistoryReverseRequest,
};

use super::convert::time_of;
use super::{CallError, Rpc, Temporal, convert};
use crate::survey::{HistoryLook, HistoryNeed, Look, ResetOrigin, ResetPoint, WorkflowKey};

/// Pages that are read at most; the server's pages hold 256 events by default.
const MOST_PAGES: usize = 20;
const PAGE_SIZE: i32 = 1000;

/// Events of one run, by id, without gaps between `first` and the last; or two such pieces.
#[derive(Debug, Default)]
struct Events {
    /// From event 1.
    front: Vec<HistoryEvent>,
    /// From the end, turned around; empty where the front reaches the end.
    back: Vec<HistoryEvent>,
    /// Whether events in the middle, or at the end, were not read.
    truncated: bool,
}

impl Temporal {
    /// Reads what `need` asks for. `look` tells how much of the history is durable: what a retrying
    /// task shows after that is transient, and cannot be reset to.
    pub async fn history(
        &self,
        key: &WorkflowKey,
        need: HistoryNeed,
        look: &Look,
    ) -> Result<HistoryLook, CallError> {
        let events = match need {
            HistoryNeed::Nothing => return Ok(HistoryLook::default()),
            HistoryNeed::Start => self.front(key, 1).await?,
            HistoryNeed::FirstWorkflowTask => self.front(key, MOST_PAGES).await?,
            HistoryNeed::LastWorkflowTask => self.both_ends(key).await?,
        };
        Ok(judge(events, need, look, &key.run_id))
    }

    /// The start event, which is what a restart copies; as text for the journal.
    pub async fn start_event(&self, key: &WorkflowKey) -> Result<String, CallError> {
        let events = self.front(key, 1).await?;
        let start = events.front.first().filter(|event| is_start(event));
        start.map(convert::event_to_text).ok_or_else(|| {
            CallError::unusable(
                Rpc::GetWorkflowExecutionHistory,
                "a history without its start event",
            )
        })
    }

    /// Which reset made a run, by the first page of its history.
    pub async fn reset_origin(&self, key: &WorkflowKey) -> Result<Option<ResetOrigin>, CallError> {
        let events = self.front(key, 1).await?;
        Ok(origin(events.front.iter(), &key.run_id))
    }

    /// Why a run was terminated: reason and details of its last event; none where it was not.
    pub async fn termination(&self, key: &WorkflowKey) -> Result<Option<Termination>, CallError> {
        let message = GetWorkflowExecutionHistoryRequest {
            namespace: self.namespace(),
            execution: Some(convert::execution(key)),
            history_event_filter_type: HistoryEventFilterType::CloseEvent.into(),
            ..Default::default()
        };
        let response = self.history_page(message).await?;
        let last = response.history.unwrap_or_default().events.pop();
        Ok(last.and_then(|event| match event.attributes {
            Some(Attributes::WorkflowExecutionTerminatedEventAttributes(attributes)) => {
                let payloads = attributes.details.unwrap_or_default().payloads;
                Some(Termination {
                    reason: attributes.reason,
                    identity: attributes.identity,
                    details: payloads.first().and_then(convert::text),
                })
            }
            _ => None,
        }))
    }

    /// The first pages.
    async fn front(&self, key: &WorkflowKey, pages: usize) -> Result<Events, CallError> {
        let mut events = Events::default();
        let mut message = GetWorkflowExecutionHistoryRequest {
            namespace: self.namespace(),
            execution: Some(convert::execution(key)),
            maximum_page_size: PAGE_SIZE,
            ..Default::default()
        };
        for _ in 0..pages {
            let response = self.history_page(message.clone()).await?;
            events
                .front
                .extend(response.history.unwrap_or_default().events);
            message.next_page_token = response.next_page_token;
            if message.next_page_token.is_empty() {
                return Ok(events);
            }
        }
        events.truncated = true;
        Ok(events)
    }

    /// The first page and, where that is not all, pages from the end until a completed Workflow Task.
    async fn both_ends(&self, key: &WorkflowKey) -> Result<Events, CallError> {
        let mut events = self.front(key, 1).await?;
        if !events.truncated {
            return Ok(events);
        }
        let met = events.front.last().map_or(0, |event| event.event_id);
        let mut message = GetWorkflowExecutionHistoryReverseRequest {
            namespace: self.namespace(),
            execution: Some(convert::execution(key)),
            maximum_page_size: PAGE_SIZE,
            ..Default::default()
        };
        for _ in 1..MOST_PAGES {
            let response = self
                .read(
                    Rpc::GetWorkflowExecutionHistoryReverse,
                    message.clone(),
                    |mut service, request| async move {
                        service
                            .get_workflow_execution_history_reverse(request)
                            .await
                    },
                )
                .await?;
            events
                .back
                .extend(response.history.unwrap_or_default().events);
            message.next_page_token = response.next_page_token;
            let reached = events
                .back
                .last()
                .is_none_or(|event| event.event_id <= met + 1);
            if reached || message.next_page_token.is_empty() {
                events.truncated = !reached;
                break;
            }
            if events
                .back
                .iter()
                .any(|event| event.event_type() == EventType::WorkflowTaskCompleted)
            {
                break;
            }
        }
        events.back.retain(|event| event.event_id > met);
        events.back.reverse();
        Ok(events)
    }

    async fn history_page(
        &self,
        message: GetWorkflowExecutionHistoryRequest,
    ) -> Result<GetWorkflowExecutionHistoryResponse, CallError> {
        self.read(Rpc::GetWorkflowExecutionHistory, message, |mut service, request| async move {
            service.get_workflow_execution_history(request).await
        })
        .await
    }
}

/// How a run was terminated. A reset says its reason here; a restart names the new run in the details.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Termination {
    /// The reason that was given.
    pub reason: String,
    /// Who did it; `history-resetter` for a reset.
    pub identity: String,
    /// The first detail, where it is text.
    pub details: Option<String>,
}

/// The events → what the strategy asked for; truncated where something of it lies in what was not
/// read. Pure.
fn judge(events: Events, need: HistoryNeed, look: &Look, run_id: &str) -> HistoryLook {
    let durable = |event: &&HistoryEvent| event.event_id <= look.history_length;
    let all: Vec<&HistoryEvent> = events
        .front
        .iter()
        .chain(&events.back)
        .filter(durable)
        .collect();
    let completed = |event: &&&HistoryEvent| event.event_type() == EventType::WorkflowTaskCompleted;
    let ended = |event: &&&HistoryEvent| {
        matches!(
            event.event_type(),
            EventType::WorkflowTaskFailed | EventType::WorkflowTaskTimedOut
        )
    };
    let point = match need {
        HistoryNeed::Nothing | HistoryNeed::Start => None,
        HistoryNeed::FirstWorkflowTask => all
            .iter()
            .find(completed)
            .or_else(|| all.iter().find(ended)),
        // Back to where a task failed would drop nothing and still make a new run.
        HistoryNeed::LastWorkflowTask => all.iter().rev().find(completed),
    };
    let made_by_reset = origin(all.iter().copied(), run_id);
    let enough = match need {
        HistoryNeed::Nothing | HistoryNeed::Start => true,
        HistoryNeed::FirstWorkflowTask => false,
        HistoryNeed::LastWorkflowTask => point.is_some(),
    };
    let unknown_origin = look.last_reset.is_some() && made_by_reset.is_none();
    HistoryLook {
        reset_point: point.map(|point| reset_point(point, &all, look)),
        dispatched: dispatched(&all, look),
        made_by_reset,
        start: events
            .front
            .first()
            .filter(|event| need == HistoryNeed::Start && is_start(event))
            .map(convert::event_to_text),
        truncated: events.truncated && (!enough || unknown_origin),
    }
}

fn reset_point(point: &HistoryEvent, all: &[&HistoryEvent], look: &Look) -> ResetPoint {
    let after = || all.iter().filter(|event| event.event_id > point.event_id);
    let count = |kinds: &[EventType]| {
        let matching = after()
            .filter(|event| kinds.contains(&event.event_type()))
            .count();
        u32::try_from(matching).unwrap_or(u32::MAX)
    };
    ResetPoint {
        event_id: point.event_id,
        time: time_of!(point.event_time),
        signals_after: count(&[EventType::WorkflowExecutionSignaled]),
        updates_after: count(&[
            EventType::WorkflowExecutionUpdateAccepted,
            EventType::WorkflowExecutionUpdateAdmitted,
        ]),
        activities_after: count(&[EventType::ActivityTaskCompleted]),
        events_after: u64::try_from(look.history_length - point.event_id).unwrap_or(0),
    }
}

/// Whether a Worker ever got a task of this run. A reset writes a started task of its own, which no
/// Worker saw.
fn dispatched(all: &[&HistoryEvent], look: &Look) -> bool {
    let by_resets: Vec<i64> = all
        .iter()
        .filter_map(|event| reset_failure(event))
        .map(|failure| failure.started_event_id)
        .collect();
    let by_worker = |event: &&HistoryEvent| {
        event.event_type() == EventType::WorkflowTaskStarted && !by_resets.contains(&event.event_id)
    };
    let pending = look
        .pending_task
        .as_ref()
        .is_some_and(|task| task.started || task.attempt > 1);
    pending || all.iter().copied().any(|event| by_worker(&event))
}

type TaskFailure = temporalio_protos::temporal::api::history::v1::WorkflowTaskFailedEventAttributes;

fn reset_failure(event: &HistoryEvent) -> Option<&TaskFailure> {
    match event.attributes.as_ref()? {
        Attributes::WorkflowTaskFailedEventAttributes(failure)
            if failure.cause() == WorkflowTaskFailedCause::ResetWorkflow =>
        {
            Some(failure)
        }
        _ => None,
    }
}

/// The newest reset in the history that made this very run; older ones made its bases.
fn origin<'a>(
    events: impl DoubleEndedIterator<Item = &'a HistoryEvent>,
    run_id: &str,
) -> Option<ResetOrigin> {
    let mut failures = events.rev().filter_map(reset_failure);
    let failure = failures.find(|failure| run_id.is_empty() || failure.new_run_id == run_id)?;
    Some(ResetOrigin {
        base_run_id: failure.base_run_id.clone(),
        reason: failure
            .failure
            .as_ref()
            .map(|failure| failure.message.clone())
            .unwrap_or_default(),
    })
}

fn is_start(event: &HistoryEvent) -> bool {
    matches!(
        event.attributes,
        Some(Attributes::WorkflowExecutionStartedEventAttributes(_))
    )
}

#[cfg(test)]
#[path = "history_tests.rs"]
mod tests;

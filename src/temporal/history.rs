//! What a strategy needs from a history, and nothing more: read from whichever end is nearer, page by
//! page, each page forgotten when the next is asked for. Bounded: a history longer than the bound is said
//! to be so.

use temporalio_protos::temporal::api::common::v1::Payloads;
use temporalio_protos::temporal::api::enums::v1::{
    HistoryEventFilterType, WorkflowTaskFailedCause,
};
use temporalio_protos::temporal::api::history::v1::history_event::Attributes;
use temporalio_protos::temporal::api::history::v1::{
    HistoryEvent, WorkflowTaskCompletedEventAttributes,
};
use temporalio_protos::temporal::api::workflowservice::v1::GetWorkflowExecutionHistoryRequest;

use super::convert::time_of;
use super::pages::{Ended, PAGE_SIZE};
use super::{CallError, Rpc, Temporal, convert};
use crate::history::{Direction, Event, Kind, Miss, Points, ResetPoint, ResetTo, Seek, Sort};
use crate::payload;
use crate::survey::{BaseRun, HistoryLook, HistoryNeed, Look, ResetOrigin, WorkflowKey};

/// Pages that are read to find a point; the server's pages hold 256 events by default, and a history
/// ends at 51,200 of them.
const MOST_PAGES: usize = 400;
/// Pages that are read on, once the point is known, to count what follows it.
const PAGES_TO_COUNT: usize = 20;

/// What is gathered beside a point, from every event that is read.
#[derive(Debug, Default)]
struct Gathered {
    /// Workflow Tasks that were started, less those that a reset wrote.
    started: i64,
    origin: Option<ResetOrigin>,
}

impl Gathered {
    fn take(&mut self, event: &HistoryEvent, look: &Look, run_id: &str) {
        if event.event_id > look.history_length {
            return;
        }
        match (&event.attributes, reset_failure(event)) {
            (_, Some(_)) => self.started -= 1,
            (Some(Attributes::WorkflowTaskStartedEventAttributes(_)), _) => self.started += 1,
            _ => {}
        }
        if self.origin.is_none() {
            self.origin = origin(std::iter::once(event), run_id);
        }
    }

    /// Whether a Worker ever got a task of this run. A reset writes a started task of its own, which no
    /// Worker saw.
    fn dispatched(&self, look: &Look) -> bool {
        let pending = look
            .pending_task
            .as_ref()
            .is_some_and(|task| task.started || task.attempt > 1);
        pending || self.started > 0
    }
}

/// The first page of a history.
struct Front {
    events: Vec<HistoryEvent>,
    next: Vec<u8>,
}

impl Temporal {
    /// Reads what `need` asks for. `look` tells how much of the history is durable: what a retrying
    /// task shows after that is transient, and cannot be reset to.
    pub async fn history(
        &self,
        key: &WorkflowKey,
        need: &HistoryNeed,
        look: &Look,
    ) -> Result<HistoryLook, CallError> {
        match need {
            HistoryNeed::Nothing => Ok(HistoryLook::default()),
            HistoryNeed::Start => self.starting(key).await,
            HistoryNeed::Point(ResetTo::LastContinuedAsNew) => self.run_before(key, look).await,
            HistoryNeed::Point(to) => self.seek(key, to, look).await,
        }
    }

    async fn starting(&self, key: &WorkflowKey) -> Result<HistoryLook, CallError> {
        let front = self.front(key).await?;
        let start = front.events.first().filter(|event| is_start(event));
        Ok(HistoryLook {
            start: start.map(convert::event_to_text),
            made_by_reset: origin(front.events.iter(), &key.run_id),
            ..HistoryLook::default()
        })
    }

    /// The last Workflow Task of the run that continued as this one.
    async fn run_before(&self, key: &WorkflowKey, look: &Look) -> Result<HistoryLook, CallError> {
        let front = self.front(key).await?;
        let none = HistoryLook {
            miss: Some(Miss::NotContinued),
            dispatched: true,
            ..HistoryLook::default()
        };
        let before = match front.events.first().and_then(|it| it.attributes.as_ref()) {
            Some(Attributes::WorkflowExecutionStartedEventAttributes(start))
                if !start.continued_execution_run_id.is_empty() =>
            {
                start.continued_execution_run_id.clone()
            }
            _ => return Ok(none),
        };
        let base = WorkflowKey {
            workflow_id: key.workflow_id.clone(),
            run_id: before,
        };
        // Retention may have deleted it.
        let Some(seen) = self.look(&base).await? else {
            return Ok(none);
        };
        let found = self.seek(&base, &ResetTo::LastWorkflowTask, &seen).await?;
        let mut gathered = Gathered::default();
        for event in &front.events {
            gathered.take(event, look, &key.run_id);
        }
        Ok(HistoryLook {
            made_by_reset: gathered.origin,
            base: Some(BaseRun {
                run_id: base.run_id,
                reset_run_id: seen.reset_run_id,
            }),
            ..found
        })
    }

    /// Finds one point, from the end where it is expected; a short history is read in one call.
    async fn seek(
        &self,
        key: &WorkflowKey,
        to: &ResetTo,
        look: &Look,
    ) -> Result<HistoryLook, CallError> {
        let mut seek = Seek::new(to.clone(), look.history_length);
        let mut gathered = Gathered::default();
        let front = self.front(key).await?;
        let inputs = to.wants_input();
        for event in &front.events {
            gathered.take(event, look, &key.run_id);
        }
        let whole = match seek.direction() {
            Direction::Forward => {
                self.forward(key, front, &mut seek, &mut gathered, look, inputs)
                    .await?
            }
            Direction::Reverse => {
                let mut take = |event: &HistoryEvent| {
                    gathered.take(event, look, &key.run_id);
                    seek.push(&brief(event, inputs));
                    !seek.done()
                };
                match to {
                    // What is around an event of the first page is all there.
                    ResetTo::Event(id) if missing(&front, *id) => {
                        front.events.iter().rev().all(&mut take);
                        true
                    }
                    _ => self.backward(key, &front, &mut take).await?,
                }
            }
        };
        let enough = seek.done() || whole;
        let found = seek.finish(whole);
        let dispatched = gathered.dispatched(look) || found.is_ok();
        let unknown_origin = look.last_reset.is_some() && gathered.origin.is_none();
        Ok(HistoryLook {
            truncated: !enough || !whole && unknown_origin,
            dispatched,
            made_by_reset: gathered.origin,
            miss: found.as_ref().err().cloned(),
            reset_point: found.ok().map(|point| counted_to(point, look)),
            base: None,
            start: None,
        })
    }

    /// Reads on from the first page; says whether that reached the end.
    async fn forward(
        &self,
        key: &WorkflowKey,
        front: Front,
        seek: &mut Seek,
        gathered: &mut Gathered,
        look: &Look,
        inputs: bool,
    ) -> Result<bool, CallError> {
        for event in &front.events {
            seek.push(&brief(event, inputs));
        }
        let mut next = front.next;
        let mut pages = 1;
        while !next.is_empty() {
            let enough = seek.decided() && pages >= PAGES_TO_COUNT;
            if seek.done() || enough || pages >= MOST_PAGES {
                return Ok(false);
            }
            let response = self.history_page(forward_request(self, key, next)).await?;
            for event in &response.history.unwrap_or_default().events {
                gathered.take(event, look, &key.run_id);
                seek.push(&brief(event, inputs));
            }
            next = response.next_page_token;
            pages += 1;
        }
        Ok(true)
    }

    /// Feeds events from the newest to the oldest, while `take` wants more; says whether it came to event 1.
    async fn backward(
        &self,
        key: &WorkflowKey,
        front: &Front,
        take: &mut (dyn FnMut(&HistoryEvent) -> bool + Send),
    ) -> Result<bool, CallError> {
        if !front.next.is_empty() {
            let met = front.events.last().map_or(0, |event| event.event_id);
            let (mut reached, mut enough) = (false, false);
            let mut unmet = |event: HistoryEvent| {
                reached |= event.event_id <= met + 1;
                enough = event.event_id > met && !take(&event);
                !reached && !enough
            };
            self.newest_first(key, MOST_PAGES - 1, &mut unmet).await?;
            if enough || !reached {
                return Ok(false);
            }
        }
        Ok(front.events.iter().rev().all(take))
    }

    /// The points of a run, newest first, up to `most`; and whether there are older ones.
    pub async fn reset_points(
        &self,
        key: &WorkflowKey,
        look: &Look,
        most: usize,
    ) -> Result<(Vec<ResetPoint>, bool), CallError> {
        let mut points = Points::new(look.history_length, most);
        let front = self.front(key).await?;
        let whole = {
            let mut take = |event: &HistoryEvent| {
                points.push(&brief(event, false));
                !points.done()
            };
            self.backward(key, &front, &mut take).await?
        };
        let cut = !whole && !points.done();
        let (points, more) = points.finish();
        Ok((points, more || cut))
    }

    /// The start event, which is what a restart copies; as text for the journal.
    pub async fn start_event(&self, key: &WorkflowKey) -> Result<String, CallError> {
        let front = self.front(key).await?;
        let start = front.events.first().filter(|event| is_start(event));
        start.map(convert::event_to_text).ok_or_else(|| {
            CallError::unusable(
                Rpc::GetWorkflowExecutionHistory,
                "a history without its start event",
            )
        })
    }

    /// Which reset made a run, by the first page of its history.
    pub async fn reset_origin(&self, key: &WorkflowKey) -> Result<Option<ResetOrigin>, CallError> {
        let front = self.front(key).await?;
        Ok(origin(front.events.iter(), &key.run_id))
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

    /// Finds an event that happened after event `after`, from the end; bounded, and then says so.
    pub(super) async fn find_after<T: Send>(
        &self,
        key: &WorkflowKey,
        after: i64,
        wanted: impl Fn(&Attributes) -> Option<T> + Send + Sync,
    ) -> Result<Found<T>, CallError> {
        let mut found = None;
        let mut newer = |event: HistoryEvent| {
            if event.event_id <= after {
                return false;
            }
            found = event.attributes.as_ref().and_then(&wanted);
            found.is_none()
        };
        let ended = self.newest_first(key, MOST_PAGES, &mut newer).await?;
        Ok(match (found, ended) {
            (Some(found), _) => Found::Yes(found),
            (None, Ended::TooLong) => Found::TooLong,
            (None, _) => Found::No,
        })
    }

    /// Whether a run's history shows a Signal with this request id after event `after`. One that
    /// arrived while a Workflow Task is in flight shows only when that ends.
    pub async fn signalled(
        &self,
        key: &WorkflowKey,
        request_id: &str,
        after: i64,
    ) -> Result<Found<()>, CallError> {
        self.find_after(key, after, |attributes| match attributes {
            Attributes::WorkflowExecutionSignaledEventAttributes(signal) => {
                (signal.request_id == request_id).then_some(())
            }
            _ => None,
        })
        .await
    }

    /// Whether a run's history shows a Signal from this identity: that of a batch job names the job.
    pub async fn signalled_by(
        &self,
        key: &WorkflowKey,
        identity: &str,
    ) -> Result<Found<()>, CallError> {
        self.find_after(key, 0, |attributes| match attributes {
            Attributes::WorkflowExecutionSignaledEventAttributes(signal) => {
                (signal.identity == identity).then_some(())
            }
            _ => None,
        })
        .await
    }

    /// The reason of the cancellation that a run's history shows after event `after`.
    pub async fn cancel_reason(
        &self,
        key: &WorkflowKey,
        after: i64,
    ) -> Result<Found<String>, CallError> {
        self.find_after(key, after, |attributes| match attributes {
            Attributes::WorkflowExecutionCancelRequestedEventAttributes(cancel) => {
                Some(cancel.cause.clone())
            }
            _ => None,
        })
        .await
    }

    async fn front(&self, key: &WorkflowKey) -> Result<Front, CallError> {
        let message = forward_request(self, key, Vec::new());
        let response = self.history_page(message).await?;
        Ok(Front {
            events: response.history.unwrap_or_default().events,
            next: response.next_page_token,
        })
    }
}

/// What a bounded search in a history came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found<T> {
    /// It is there.
    Yes(T),
    /// It is not.
    No,
    /// Too many events happened since.
    TooLong,
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

fn forward_request(
    temporal: &Temporal,
    key: &WorkflowKey,
    next_page_token: Vec<u8>,
) -> GetWorkflowExecutionHistoryRequest {
    GetWorkflowExecutionHistoryRequest {
        namespace: temporal.namespace(),
        execution: Some(convert::execution(key)),
        maximum_page_size: PAGE_SIZE,
        next_page_token,
        ..Default::default()
    }
}

/// Whether an event id that the first page covers is none to which the run can be reset.
fn missing(front: &Front, id: i64) -> bool {
    let last = front.events.last().map_or(0, |event| event.event_id);
    let valid = |event: &HistoryEvent| event.event_id == id && brief(event, false).is_point();
    id < last && !front.events.iter().any(valid)
}

/// Describe knows the length even where not everything after the point was read.
fn counted_to(point: ResetPoint, look: &Look) -> ResetPoint {
    let after = u64::try_from(look.history_length - point.event_id).unwrap_or(0);
    ResetPoint {
        events_after: after.max(point.events_after),
        ..point
    }
}

/// An event of the service → what a reset is concerned with.
fn brief(event: &HistoryEvent, inputs: bool) -> Event {
    let mut brief = Event {
        id: event.event_id,
        time: time_of!(event.event_time),
        kind: Kind::Other,
        name: String::new(),
        of: 0,
        input: None,
    };
    if let Some(attributes) = &event.attributes {
        describe(attributes, inputs, &mut brief);
    }
    brief
}

/// What one event is, what it is called, what it ends.
fn describe(attributes: &Attributes, inputs: bool, into: &mut Event) {
    use Attributes as A;
    let input = |payloads: &Option<Payloads>| inputs.then(|| value(payloads)).flatten();
    let (kind, name, of) = match attributes {
        A::WorkflowTaskScheduledEventAttributes(_) => (Kind::TaskScheduled, None, 0),
        A::WorkflowTaskStartedEventAttributes(_) => (Kind::TaskStarted, None, 0),
        A::WorkflowTaskCompletedEventAttributes(it) => (Kind::TaskCompleted(build(it)), None, 0),
        A::WorkflowTaskFailedEventAttributes(it) => {
            let by_reset = it.cause() == WorkflowTaskFailedCause::ResetWorkflow;
            (Kind::TaskFailed(by_reset), Some(cause(it.cause())), 0)
        }
        A::WorkflowTaskTimedOutEventAttributes(_) => (Kind::TaskTimedOut, None, 0),
        A::WorkflowExecutionSignaledEventAttributes(it) => {
            into.input = input(&it.input);
            (Kind::Of(Sort::Signal), Some(it.signal_name.clone()), 0)
        }
        A::WorkflowExecutionUpdateAcceptedEventAttributes(it) => {
            let asked = it.accepted_request.as_ref();
            let asked = asked.and_then(|request| request.input.as_ref());
            into.input = asked.and_then(|asked| input(&asked.args));
            let name = asked.map(|asked| asked.name.clone());
            (Kind::Of(Sort::Update), name, 0)
        }
        A::WorkflowExecutionCancelRequestedEventAttributes(_) => {
            (Kind::Of(Sort::CancelRequest), None, 0)
        }
        A::ActivityTaskScheduledEventAttributes(it) => {
            into.input = input(&it.input);
            let name = it.activity_type.as_ref().map(|it| it.name.clone());
            (Kind::Of(Sort::ActivityScheduled), name, 0)
        }
        A::ActivityTaskCompletedEventAttributes(it) => (
            Kind::Of(Sort::ActivityCompleted),
            None,
            it.scheduled_event_id,
        ),
        A::ActivityTaskFailedEventAttributes(it) => {
            (Kind::Of(Sort::ActivityFailed), None, it.scheduled_event_id)
        }
        A::ActivityTaskTimedOutEventAttributes(it) => {
            (Kind::Of(Sort::ActivityFailed), None, it.scheduled_event_id)
        }
        A::TimerStartedEventAttributes(it) => {
            (Kind::Of(Sort::TimerStarted), Some(it.timer_id.clone()), 0)
        }
        A::TimerFiredEventAttributes(it) => {
            let name = Some(it.timer_id.clone());
            (Kind::Of(Sort::TimerFired), name, it.started_event_id)
        }
        A::StartChildWorkflowExecutionInitiatedEventAttributes(it) => {
            into.input = input(&it.input);
            let name = it.workflow_type.as_ref().map(|it| it.name.clone());
            (Kind::Of(Sort::ChildStarted), name, 0)
        }
        A::ChildWorkflowExecutionCompletedEventAttributes(it) => {
            (Kind::Of(Sort::ChildClosed), None, it.initiated_event_id)
        }
        A::ChildWorkflowExecutionFailedEventAttributes(it) => {
            (Kind::Of(Sort::ChildClosed), None, it.initiated_event_id)
        }
        A::ChildWorkflowExecutionCanceledEventAttributes(it) => {
            (Kind::Of(Sort::ChildClosed), None, it.initiated_event_id)
        }
        A::ChildWorkflowExecutionTimedOutEventAttributes(it) => {
            (Kind::Of(Sort::ChildClosed), None, it.initiated_event_id)
        }
        A::ChildWorkflowExecutionTerminatedEventAttributes(it) => {
            (Kind::Of(Sort::ChildClosed), None, it.initiated_event_id)
        }
        A::NexusOperationScheduledEventAttributes(it) => (
            Kind::Of(Sort::NexusScheduled),
            Some(it.operation.clone()),
            0,
        ),
        A::NexusOperationCompletedEventAttributes(it) => {
            (Kind::Of(Sort::NexusClosed), None, it.scheduled_event_id)
        }
        A::NexusOperationFailedEventAttributes(it) => {
            (Kind::Of(Sort::NexusClosed), None, it.scheduled_event_id)
        }
        _ => return,
    };
    into.kind = kind;
    into.name = name.unwrap_or_default();
    into.of = of;
}

/// One argument as it is, several as a list, none as null; none where one cannot be read.
fn value(payloads: &Option<Payloads>) -> Option<serde_json::Value> {
    let payloads = payloads.as_ref().map_or(&[][..], |it| &it.payloads);
    let mut values = Vec::new();
    for payload in payloads {
        values.push(payload::decode(payload).value()?.clone());
    }
    Some(match values.len() {
        0 => serde_json::Value::Null,
        1 => values.remove(0),
        _ => serde_json::Value::Array(values),
    })
}

/// `WORKFLOW_TASK_FAILED_CAUSE_NON_DETERMINISTIC_ERROR` → `non_deterministic_error`.
fn cause(cause: WorkflowTaskFailedCause) -> String {
    let name = cause.as_str_name();
    name.strip_prefix("WORKFLOW_TASK_FAILED_CAUSE_")
        .unwrap_or(name)
        .to_ascii_lowercase()
}

/// Who completed a task: the Build ID of its Version, of the versioning before that, or the binary checksum.
#[allow(deprecated)] // what older Workers report
fn build(completed: &WorkflowTaskCompletedEventAttributes) -> String {
    let version = completed.deployment_version.as_ref();
    let stamp = completed.worker_version.as_ref();
    let candidates = [
        version.map(|it| it.build_id.clone()),
        stamp.map(|it| it.build_id.clone()),
        Some(completed.binary_checksum.clone()),
    ];
    let mut named = candidates.into_iter().flatten();
    named.find(|name| !name.is_empty()).unwrap_or_default()
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

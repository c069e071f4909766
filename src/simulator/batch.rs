//! Temporal's batch jobs as their callers see them: start, describe, list, stop. Codes, wording and
//! counts as measured on server 1.32; what a job does meanwhile is in `batch_job`.
//!
//! What a caller must not rely on is served here too: the limit of jobs at a time is a count over
//! Visibility, so starts that race all pass; counts are those of the job's last heartbeat, one a page of
//! 1,000, and are gone for an instant while the job closes; a stopped job is FAILED at once, keeps the
//! counts of its last heartbeat, and goes on for some seconds; a `max_operations_per_second` below the
//! service's own rate changes nothing.

use std::cmp::Reverse;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use temporalio_protos::temporal::api::batch::v1::BatchOperationInfo;
use temporalio_protos::temporal::api::common::v1::{Execution as Target, WorkflowExecution};
use temporalio_protos::temporal::api::enums::v1::{
    BatchOperationState, BatchOperationType, ExecutionType,
};
use temporalio_protos::temporal::api::workflowservice::v1::start_batch_operation_request::Operation;
use temporalio_protos::temporal::api::workflowservice::v1::{
    self as service, StartBatchOperationRequest,
};
use tonic::{Code, Status as Reply};

use super::proto;
use super::state::{Due, State};
use crate::list_filter;

/// What a job counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchCounts {
    /// Workflows that the query matched when the job looked, or executions that were named.
    pub total: i64,
    /// Operations that the job takes for done; most of those on a Workflow that is not there count here.
    pub complete: i64,
    /// Operations that failed.
    pub failed: i64,
}

/// A job as the service keeps it.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) request: Arc<StartBatchOperationRequest>,
    pub(super) run: u128,
    pub(super) started: Timestamp,
    pub(super) closed: Option<(Timestamp, BatchOperationState)>,
    /// Counts of the last heartbeat.
    pub(super) shown: BatchCounts,
    /// Counts of the Worker that runs it.
    pub(super) counts: BatchCounts,
    /// Operations that were tried, repetitions included.
    pub(super) tried: u64,
    pub(super) page: Vec<WorkflowExecution>,
    pub(super) next: usize,
    /// Counts when the page began, and the tokens of this page and the one after it.
    pub(super) before: BatchCounts,
    pub(super) token: Vec<u8>,
    pub(super) following: Vec<u8>,
    pub(super) interrupted: bool,
    /// When the Worker hears of a stop.
    pub(super) stops: Option<Timestamp>,
}

impl Job {
    pub(super) fn new(request: StartBatchOperationRequest, run: u128, started: Timestamp) -> Self {
        Self {
            request: Arc::new(request),
            run,
            started,
            closed: None,
            shown: BatchCounts::default(),
            counts: BatchCounts::default(),
            tried: 0,
            page: Vec::new(),
            next: 0,
            before: BatchCounts::default(),
            token: Vec::new(),
            following: Vec::new(),
            interrupted: false,
            stops: None,
        }
    }

    pub(super) fn state(&self) -> BatchOperationState {
        self.closed
            .map_or(BatchOperationState::Running, |(_, state)| state)
    }

    /// What Visibility, which is late, knows of it: nothing yet, that it runs, or how it closed.
    fn visible(&self, at: Timestamp) -> Option<Option<(Timestamp, BatchOperationState)>> {
        (self.started <= at).then(|| self.closed.filter(|(closed, _)| *closed <= at))
    }
}

/// Where a job stands in a listing: open ones first, then the latest closed.
type JobKey = (Reverse<Timestamp>, Reverse<Timestamp>, u128);

/// How long a Worker goes on after its job was stopped: until a heartbeat tells it (6.4 s were measured).
const STOP_HEARD: SignedDuration = SignedDuration::from_secs(7);
/// From the start of a job to its first look at its Workflows.
const FIRST_LOOK: std::time::Duration = std::time::Duration::from_millis(100);

impl State {
    pub(super) fn start_batch(
        &mut self,
        request: &StartBatchOperationRequest,
    ) -> Result<service::StartBatchOperationResponse, Reply> {
        self.check_namespace(&request.namespace)?;
        check_job_id(&request.job_id)?;
        check_start(request)?;
        let at = self.visible_time();
        let running = self
            .jobs
            .values()
            .filter(|job| job.visible(at) == Some(None))
            .count();
        if running >= self.world.batches.concurrent as usize {
            return Err(Reply::resource_exhausted(
                "Max concurrent batch operations is reached",
            ));
        }
        if let Some(job) = self.jobs.get(&request.job_id) {
            return Err(already(job));
        }
        let job = Job::new(request.clone(), self.random.run_id(), self.now);
        self.jobs.insert(request.job_id.clone(), job);
        self.due_after(FIRST_LOOK, Due::BatchLook(request.job_id.as_str().into()));
        Ok(service::StartBatchOperationResponse {})
    }

    /// What Visibility shows now happened at this time or before it.
    fn visible_time(&self) -> Timestamp {
        let lag = SignedDuration::try_from(self.world.limits.visibility_lag.0).unwrap_or_default();
        self.now.checked_sub(lag).unwrap_or(Timestamp::MIN)
    }

    pub(super) fn stop_batch(
        &mut self,
        request: &service::StopBatchOperationRequest,
    ) -> Result<service::StopBatchOperationResponse, Reply> {
        self.check_namespace(&request.namespace)?;
        check_job_id(&request.job_id)?;
        if request.reason.is_empty() {
            return Err(Reply::invalid_argument("Reason is not set on request."));
        }
        let now = self.now;
        let job = self
            .jobs
            .get_mut(&request.job_id)
            .ok_or_else(|| unknown(&request.job_id))?;
        if job.closed.is_some() {
            return Err(Reply::not_found("workflow execution already completed"));
        }
        job.closed = Some((now, BatchOperationState::Failed));
        job.stops = Some(now + STOP_HEARD);
        Ok(service::StopBatchOperationResponse {})
    }

    pub(super) fn describe_batch(
        &mut self,
        request: &service::DescribeBatchOperationRequest,
    ) -> Result<service::DescribeBatchOperationResponse, Reply> {
        self.check_namespace(&request.namespace)?;
        check_job_id(&request.job_id)?;
        let job = self
            .jobs
            .get(&request.job_id)
            .ok_or_else(|| unknown(&request.job_id))?;
        Ok(service::DescribeBatchOperationResponse {
            operation_type: operation_type(job) as i32,
            job_id: request.job_id.clone(),
            state: job.state() as i32,
            start_time: Some(proto::stamp(job.started)),
            close_time: job.closed.map(|(at, _)| proto::stamp(at)),
            total_operation_count: job.shown.total,
            complete_operation_count: job.shown.complete,
            failure_operation_count: job.shown.failed,
            identity: identity(&job.request).to_owned(),
            reason: job.request.reason.clone(),
            query: job.request.visibility_query.clone(),
            executions: named(&job.request)
                .into_iter()
                .map(|it| Target {
                    r#type: ExecutionType::Workflow as i32,
                    business_id: it.workflow_id,
                    run_id: it.run_id,
                })
                .collect(),
        })
    }

    pub(super) fn list_batches(
        &mut self,
        request: &service::ListBatchOperationsRequest,
    ) -> Result<service::ListBatchOperationsResponse, Reply> {
        self.check_namespace(&request.namespace)?;
        let at = self.visible_time();
        let mut listed: Vec<(JobKey, BatchOperationInfo)> = self
            .jobs
            .iter()
            .filter_map(|(id, job)| Some(listing(id, job, job.visible(at)?)))
            .collect();
        listed.sort_by_key(|(key, _)| *key);
        let after = read_token(&request.next_page_token)?;
        let size = usize::try_from(request.page_size)
            .ok()
            .filter(|size| *size > 0)
            .unwrap_or(usize::MAX);
        let mut rest = listed
            .into_iter()
            .filter(|(key, _)| after.is_none_or(|after| *key > after))
            .peekable();
        let page: Vec<_> = rest.by_ref().take(size).collect();
        let more = rest.peek().is_some();
        Ok(service::ListBatchOperationsResponse {
            next_page_token: page
                .last()
                .filter(|_| more)
                .map_or_else(Vec::new, |(key, _)| write_token(*key)),
            operation_info: page.into_iter().map(|(_, info)| info).collect(),
        })
    }
}

fn listing(
    id: &str,
    job: &Job,
    closed: Option<(Timestamp, BatchOperationState)>,
) -> (JobKey, BatchOperationInfo) {
    let state = closed.map_or(BatchOperationState::Running, |(_, state)| state);
    let key = (
        Reverse(closed.map_or(Timestamp::MAX, |(at, _)| at)),
        Reverse(job.started),
        job.run,
    );
    let info = BatchOperationInfo {
        job_id: id.to_owned(),
        state: state as i32,
        start_time: Some(proto::stamp(job.started)),
        close_time: closed.map(|(at, _)| proto::stamp(at)),
        operation_type: operation_type(job) as i32,
    };
    (key, info)
}

fn write_token(key: JobKey) -> Vec<u8> {
    let token = (
        key.0.0.as_nanosecond(),
        key.1.0.as_nanosecond(),
        proto::run_text(key.2),
    );
    serde_json::to_vec(&token).unwrap_or_default()
}

fn read_token(bytes: &[u8]) -> Result<Option<JobKey>, Reply> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let bad = || Reply::unknown("something went wrong, please retry (invalid page token)");
    let (closed, started, run): (i128, i128, String) =
        serde_json::from_slice(bytes).map_err(|_| bad())?;
    let time = |nanos| {
        Timestamp::from_nanosecond(nanos)
            .map(Reverse)
            .map_err(|_| bad())
    };
    let run = uuid::Uuid::try_parse(&run).map_err(|_| bad())?;
    Ok(Some((time(closed)?, time(started)?, run.as_u128())))
}

fn check_job_id(id: &str) -> Result<(), Reply> {
    if id.is_empty() {
        return Err(Reply::invalid_argument("JobId is not set on request."));
    }
    Ok(())
}

fn check_start(request: &StartBatchOperationRequest) -> Result<(), Reply> {
    let by_query = !request.visibility_query.is_empty();
    let by_name = !named(request).is_empty();
    if request.reason.is_empty() || request.operation.is_none() || !by_query && !by_name {
        return Err(Reply::invalid_argument(
            "must provide required parameters: BatchType,Reason,Namespace, AND one of (Query OR Executions OR \
             TargetExecutions)",
        ));
    }
    if by_query && by_name {
        return Err(Reply::invalid_argument(
            "visibility query, executions, and target executions are mutually exclusive",
        ));
    }
    match &request.operation {
        Some(Operation::SignalOperation(it)) if it.signal.is_empty() => {
            return Err(Reply::invalid_argument("must provide signal name"));
        }
        Some(Operation::ResetOperation(it))
            if it
                .options
                .as_ref()
                .map_or(it.reset_type == 0, |options| options.target.is_none()) =>
        {
            return Err(Reply::invalid_argument(
                "unknown batch reset type Unspecified",
            ));
        }
        Some(
            Operation::TerminationOperation(_)
            | Operation::SignalOperation(_)
            | Operation::CancellationOperation(_)
            | Operation::ResetOperation(_)
            | Operation::UpdateWorkflowOptionsOperation(_),
        ) => {}
        _ => {
            return Err(Reply::unimplemented(
                "the simulator does not serve this operation as a batch",
            ));
        }
    }
    match list_filter::parse(&request.visibility_query) {
        Err(problems) if by_query => {
            let text = problems.first().map(|it| it.message.replace('`', "'"));
            let text = text.unwrap_or_default();
            Err(Reply::invalid_argument(format!(
                "invalid visibility query: {text}"
            )))
        }
        _ => Ok(()),
    }
}

/// The executions that a job names, in the old spelling or the new one.
pub(super) fn named(request: &StartBatchOperationRequest) -> Vec<WorkflowExecution> {
    if !request.executions.is_empty() {
        return request.executions.clone();
    }
    request
        .target_executions
        .iter()
        .map(|it| WorkflowExecution {
            workflow_id: it.business_id.clone(),
            run_id: it.run_id.clone(),
        })
        .collect()
}

fn identity(request: &StartBatchOperationRequest) -> &str {
    match &request.operation {
        Some(Operation::TerminationOperation(it)) => &it.identity,
        Some(Operation::SignalOperation(it)) => &it.identity,
        Some(Operation::CancellationOperation(it)) => &it.identity,
        Some(Operation::ResetOperation(it)) => &it.identity,
        Some(Operation::UpdateWorkflowOptionsOperation(it)) => &it.identity,
        _ => "",
    }
}

/// Who started a job, for the list of writes.
pub(super) fn identity_of(request: &StartBatchOperationRequest) -> String {
    identity(request).to_owned()
}

fn operation_type(job: &Job) -> BatchOperationType {
    match &job.request.operation {
        Some(Operation::TerminationOperation(_)) => BatchOperationType::TerminateWorkflow,
        Some(Operation::SignalOperation(_)) => BatchOperationType::SignalWorkflow,
        Some(Operation::CancellationOperation(_)) => BatchOperationType::CancelWorkflow,
        Some(Operation::ResetOperation(_)) => BatchOperationType::ResetWorkflow,
        Some(Operation::UpdateWorkflowOptionsOperation(_)) => {
            BatchOperationType::UpdateWorkflowExecutionOptions
        }
        _ => BatchOperationType::Unspecified,
    }
}

fn unknown(id: &str) -> Reply {
    Reply::not_found(format!("workflow not found for ID: {id}"))
}

fn already(job: &Job) -> Reply {
    let (id, run) = (&job.request.job_id, proto::run_text(job.run));
    let text = if job.closed.is_some() {
        format!(
            "Workflow execution already finished. WorkflowId: {id}, RunId: {run}. Workflow Id reuse policy: reject \
             duplicate workflow Id."
        )
    } else {
        format!("Workflow execution is already running. WorkflowId: {id}, RunId: {run}.")
    };
    Reply::new(Code::AlreadyExists, text)
}

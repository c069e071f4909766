//! What a batch job does while it runs: it looks at its Workflows by pages of 1,000, does one operation
//! after the other at the service's rate, and says how far it is once a page. It can be interrupted, and
//! then does its page again: an operation without protection, a reset, happens twice.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use temporalio_protos::temporal::api::batch::v1::{
    BatchOperationCancellation, BatchOperationReset,
};
use temporalio_protos::temporal::api::common::v1::WorkflowExecution;
use temporalio_protos::temporal::api::common::v1::reset_options::Target;
use temporalio_protos::temporal::api::enums::v1::{BatchOperationState, ResetType};
use temporalio_protos::temporal::api::workflowservice::v1 as service;
use temporalio_protos::temporal::api::workflowservice::v1::start_batch_operation_request::Operation;
use tonic::{Code, Status as Reply};

use super::batch::{BatchCounts, Job, named};
use super::facts::Actor;
use super::history::What;
use super::proto;
use super::state::{Due, State};
use super::world::BatchJobWorld;

/// How many Workflows a job takes at once.
const PAGE: i32 = 1000;
/// From the start of a job to its first heartbeat that others can see.
const FIRST_HEARTBEAT: Duration = Duration::from_millis(2_500);
/// Between the last operation and the close; the counts are gone meanwhile.
const CLOSING: Duration = Duration::from_millis(200);
/// From the death of a job's Worker to the next one: the heartbeat timeout.
const REPLACED: Duration = Duration::from_secs(10);
/// Who cancels and terminates: the Worker that runs the job, not its caller.
const WORKER: &str = "batcher@simulator";

impl State {
    /// A job of somebody else that runs already, and only keeps its place.
    pub(super) fn add_foreign_job(&mut self, it: &BatchJobWorld) {
        let request = service::StartBatchOperationRequest {
            namespace: self.namespace.clone(),
            job_id: it.id.clone(),
            reason: "somebody else's".to_owned(),
            visibility_query: "WorkflowType = 'SomethingElse'".to_owned(),
            operation: Some(Operation::CancellationOperation(
                BatchOperationCancellation {
                    identity: "somebody else".to_owned(),
                },
            )),
            ..Default::default()
        };
        let started = self.begin - SignedDuration::from_secs(60);
        let job = Job::new(request, self.random.run_id(), started);
        self.jobs.insert(it.id.clone(), job);
        self.due_after(it.ends.0, Due::BatchEnd(it.id.as_str().into()));
    }

    fn job(&mut self, id: &str) -> Option<&mut Job> {
        self.jobs.get_mut(id)
    }

    /// The first look: an attribute that the namespace does not have fails the job, without a word.
    pub(super) fn batch_look(&mut self, id: &Arc<str>) {
        let Some(job) = self.jobs.get(&**id).cloned() else {
            return;
        };
        if job.closed.is_some() {
            return;
        }
        let total = match self.batch_total(&job) {
            Ok(total) => total,
            Err(_) => return self.close_batch(id, BatchOperationState::Failed),
        };
        let counts = BatchCounts {
            total,
            ..BatchCounts::default()
        };
        if let Some(job) = self.job(id) {
            job.counts = counts;
            job.before = counts;
        }
        self.due_after(FIRST_HEARTBEAT, Due::BatchHeartbeat(id.clone()));
        self.batch_page(id, Vec::new(), FIRST_HEARTBEAT);
    }

    fn batch_total(&mut self, job: &Job) -> Result<i64, Reply> {
        if job.request.visibility_query.is_empty() {
            return Ok(i64::try_from(named(&job.request).len()).unwrap_or(i64::MAX));
        }
        let request = service::CountWorkflowExecutionsRequest {
            namespace: self.namespace.clone(),
            query: effective_query(job),
        };
        Ok(self.count(&request)?.count)
    }

    pub(super) fn batch_heartbeat(&mut self, id: &str) {
        if let Some(job) = self.job(id).filter(|job| job.closed.is_none()) {
            job.shown = job.before;
        }
    }

    /// Takes up the page behind a token; without one left, the job closes `idle` later.
    fn batch_page(&mut self, id: &Arc<str>, token: Vec<u8>, idle: Duration) {
        let Some(job) = self.jobs.get(&**id).cloned() else {
            return;
        };
        let (page, following) = if job.request.visibility_query.is_empty() {
            (named(&job.request), Vec::new())
        } else {
            let request = service::ListWorkflowExecutionsRequest {
                namespace: self.namespace.clone(),
                page_size: PAGE,
                next_page_token: token.clone(),
                query: effective_query(&job),
            };
            let reply = self.list(&request).unwrap_or_default();
            let rows = reply.executions.into_iter();
            (
                rows.filter_map(|it| it.execution).collect(),
                reply.next_page_token,
            )
        };
        let empty = page.is_empty();
        if let Some(job) = self.job(id) {
            job.page = page;
            job.next = 0;
            job.token = token;
            job.following = following;
        }
        if empty {
            self.due_after(idle, Due::BatchEnd(id.clone()));
        } else {
            self.due_after(Duration::ZERO, Due::BatchStep(id.clone()));
        }
    }

    /// One operation.
    pub(super) fn batch_step(&mut self, id: &Arc<str>) {
        let now = self.now;
        let Some(job) = self.jobs.get(&**id) else {
            return;
        };
        if job.stops.is_some_and(|stops| now >= stops) {
            return;
        }
        let world = &self.world.batches;
        if !job.interrupted && world.interrupted_after == Some(job.tried) {
            return self.interrupt_batch(id);
        }
        let Some(target) = job.page.get(job.next).cloned() else {
            return;
        };
        let (request, run, number) = (job.request.clone(), job.run, job.tried + 1);
        let unlucky = world
            .fails_every
            .is_some_and(|every| every > 0 && number.is_multiple_of(every))
            || world
                .fails
                .iter()
                .any(|start| target.workflow_id.starts_with(start.as_str()));
        let rate = world.rate;
        self.actor = Actor {
            by: format!("batch {id}"),
            write: None,
        };
        let done = !unlucky && self.operate_batch(&request, run, &target);
        self.actor = Actor::default();
        let Some(job) = self.job(id) else { return };
        job.tried = number;
        job.next += 1;
        if done {
            job.counts.complete += 1;
        } else {
            job.counts.failed += 1;
        }
        if job.next < job.page.len() {
            return self.due_after(
                Duration::from_secs_f64(1.0 / rate),
                Due::BatchStep(id.clone()),
            );
        }
        job.before = job.counts;
        if job.closed.is_none() {
            job.shown = job.counts;
        }
        let following = std::mem::take(&mut job.following);
        if following.is_empty() {
            if job.closed.is_none() {
                job.shown = BatchCounts::default();
            }
            self.due_after(CLOSING, Due::BatchEnd(id.clone()));
        } else {
            self.batch_page(id, following, CLOSING);
        }
    }

    /// Its Worker dies; the next one begins the page again.
    fn interrupt_batch(&mut self, id: &Arc<str>) {
        let Some(job) = self.job(id) else { return };
        job.interrupted = true;
        job.counts = job.before;
        let token = job.token.clone();
        self.due_after(REPLACED, Due::BatchAgain(id.clone(), token));
    }

    pub(super) fn batch_again(&mut self, id: &Arc<str>, token: Vec<u8>) {
        if self.jobs.get(&**id).is_some_and(|job| job.closed.is_none()) {
            self.batch_page(id, token, CLOSING);
        }
    }

    pub(super) fn batch_end(&mut self, id: &Arc<str>) {
        self.close_batch(id, BatchOperationState::Completed);
    }

    fn close_batch(&mut self, id: &str, state: BatchOperationState) {
        let now = self.now;
        if let Some(job) = self.job(id).filter(|job| job.closed.is_none()) {
            job.closed = Some((now, state));
            job.shown = job.counts;
        }
    }

    /// Whether the job takes the operation for done. What is not there counts as done, except for resets.
    fn operate_batch(
        &mut self,
        request: &service::StartBatchOperationRequest,
        run: u128,
        target: &WorkflowExecution,
    ) -> bool {
        let (namespace, workflow_execution) = (self.namespace.clone(), Some(target.clone()));
        let request_id = request_id(run, target);
        let result = match &request.operation {
            Some(Operation::SignalOperation(it)) => self
                .signal_execution(&service::SignalWorkflowExecutionRequest {
                    namespace,
                    workflow_execution,
                    signal_name: it.signal.clone(),
                    input: it.input.clone(),
                    header: it.header.clone(),
                    identity: it.identity.clone(),
                    request_id,
                    ..Default::default()
                })
                .map(drop),
            Some(Operation::CancellationOperation(_)) => self
                .request_cancel(&service::RequestCancelWorkflowExecutionRequest {
                    namespace,
                    workflow_execution,
                    identity: WORKER.to_owned(),
                    request_id,
                    ..Default::default()
                })
                .map(drop),
            Some(Operation::TerminationOperation(it)) => self
                .terminate_execution(&service::TerminateWorkflowExecutionRequest {
                    namespace,
                    workflow_execution,
                    reason: request.reason.clone(),
                    details: it.details.clone(),
                    identity: WORKER.to_owned(),
                    ..Default::default()
                })
                .map(drop),
            Some(Operation::UpdateWorkflowOptionsOperation(it)) => self
                .update_options(&service::UpdateWorkflowExecutionOptionsRequest {
                    namespace,
                    workflow_execution,
                    workflow_execution_options: it.workflow_execution_options.clone(),
                    update_mask: it.update_mask.clone(),
                    identity: it.identity.clone(),
                })
                .map(drop),
            Some(Operation::ResetOperation(it)) => {
                return self
                    .batch_reset(it, &request.reason, target, request_id)
                    .is_ok();
            }
            _ => Ok(()),
        };
        match result {
            Ok(()) => true,
            Err(reply) => reply.code() == Code::NotFound,
        }
    }

    fn batch_reset(
        &mut self,
        it: &BatchOperationReset,
        reason: &str,
        target: &WorkflowExecution,
        request_id: String,
    ) -> Result<(), Reply> {
        let base = self.find(Some(target))?;
        let options = it.options.clone().unwrap_or_default();
        let wanted = options.target.clone().or_else(|| {
            Some(match ResetType::try_from(it.reset_type) {
                Ok(ResetType::LastWorkflowTask) => Target::LastWorkflowTask(()),
                _ => Target::FirstWorkflowTask(()),
            })
        });
        let none = || Reply::not_found("no reset point found");
        let (base, point) = match wanted {
            Some(Target::FirstWorkflowTask(())) => (base, self.first_task(base).ok_or_else(none)?),
            Some(Target::LastWorkflowTask(())) => (base, self.last_task(base).ok_or_else(none)?),
            Some(Target::WorkflowTaskId(point)) => (base, point),
            Some(Target::BuildId(build)) => self
                .build_point(base, &build, options.current_run_only)
                .ok_or_else(none)?,
            None => return Err(none()),
        };
        let (id, run) = (self.execution(base).id.clone(), self.execution(base).run);
        self.reset(&service::ResetWorkflowExecutionRequest {
            namespace: self.namespace.clone(),
            workflow_execution: Some(proto::execution(&id, run)),
            reason: reason.to_owned(),
            workflow_task_finish_event_id: point,
            request_id,
            reset_reapply_type: options.reset_reapply_type,
            reset_reapply_exclude_types: options.reset_reapply_exclude_types,
            post_reset_operations: it.post_reset_operations.clone(),
            identity: it.identity.clone(),
        })
        .map(drop)
    }

    /// The first completed Workflow Task, else what follows the first scheduled one.
    fn first_task(&self, index: u32) -> Option<i64> {
        let history = &self.execution(index).history;
        history
            .first_id(|what| matches!(what, What::TaskCompleted(..)))
            .or_else(|| {
                history
                    .first_id(|what| matches!(what, What::TaskScheduled))
                    .map(|id| id + 1)
            })
    }

    /// The first task in the chain of runs that a Build ID completed: its run and the event.
    fn build_point(&self, index: u32, build: &str, current_only: bool) -> Option<(u32, i64)> {
        let point = self
            .reset_points(index)
            .into_iter()
            .find(|point| &*self.version_name(point.version).build == build)?;
        (!current_only || point.index == index).then_some((point.index, point.event))
    }

    fn last_task(&self, index: u32) -> Option<i64> {
        let history = &self.execution(index).history;
        history
            .last_id(|what| matches!(what, What::TaskCompleted(..)))
            .or_else(|| {
                history
                    .last_id(|what| matches!(what, What::TaskScheduled))
                    .map(|id| id + 1)
            })
    }
}

/// The query that is carried out: the service adds that they run, except for resets.
fn effective_query(job: &Job) -> String {
    let query = &job.request.visibility_query;
    match job.request.operation {
        Some(Operation::ResetOperation(_)) => query.clone(),
        _ => format!("({query}) AND ExecutionStatus IN ('Running', 'Paused')"),
    }
}

/// The same for each try of a job on a Workflow, so that a repeated Signal arrives once.
fn request_id(job: u128, target: &WorkflowExecution) -> String {
    let name = format!("{}/{}", target.workflow_id, target.run_id);
    uuid::Uuid::new_v5(&uuid::Uuid::from_u128(job), name.as_bytes()).to_string()
}

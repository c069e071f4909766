//! Temporal's own batch jobs: start, stop, describe, list.
//!
//! A job id makes the start idempotent: the service refuses a second job of the same id for as long as
//! it remembers the first (measured on server 1.32.0; while another job runs it answers
//! RESOURCE_EXHAUSTED first). What a job did to one Workflow is nowhere in its description: only counts,
//! and those only by pages of the listing.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use temporalio_protos::temporal::api::batch::v1::{
    BatchOperationCancellation, BatchOperationInfo, BatchOperationReset, BatchOperationSignal,
    BatchOperationTermination, BatchOperationUpdateWorkflowExecutionOptions,
};
use temporalio_protos::temporal::api::common::v1::{
    Payloads, ResetOptions, WorkflowExecution, reset_options,
};
use temporalio_protos::temporal::api::enums::v1::{BatchOperationState, BatchOperationType};
use temporalio_protos::temporal::api::workflowservice::v1::start_batch_operation_request::Operation;
use temporalio_protos::temporal::api::workflowservice::v1::{
    DescribeBatchOperationRequest, DescribeBatchOperationResponse, ListBatchOperationsRequest,
    StartBatchOperationRequest, StopBatchOperationRequest,
};

use super::convert::time_of;
use super::reads::absent;
use super::writes::{OVERRIDE_PATH, exclusion, header, move_to, options};
use super::{CallError, Cause, Reapply, Rpc, Temporal, convert};
use crate::survey::{BatchJob, BatchKind, BatchState, Override, WorkflowKey};

/// Which Workflows a job is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BatchScope {
    /// Those that match when the service lists them.
    Query(String),
    /// These.
    Executions(Vec<WorkflowKey>),
}

/// What a job does to each Workflow.
#[derive(Clone, Debug, PartialEq)]
pub enum BatchOperation {
    /// Resets it.
    Reset {
        /// Where to.
        to: BatchResetPoint,
        /// What is not applied again; empty applies all.
        exclude: BTreeSet<Reapply>,
        /// Where the new run goes.
        target: Option<Override>,
    },
    /// Sets its Versioning Override, or unsets it.
    Options {
        /// The Override.
        target: Option<Override>,
    },
    /// Signals it.
    Signal {
        /// The Signal's name.
        name: String,
        /// Its arguments.
        input: Vec<Value>,
        /// Its headers.
        headers: BTreeMap<String, Value>,
    },
    /// Requests its cancellation.
    Cancel,
    /// Terminates it.
    Terminate,
}

/// Where a batch reset goes; the service finds the event in each history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BatchResetPoint {
    /// The first Workflow Task.
    First,
    /// The last completed one.
    Last,
    /// The first one that a Build ID completed, in the current run.
    Build(String),
}

/// A job as it is started.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchCall {
    /// Its id; the same call twice is one job.
    pub job_id: String,
    /// Why: of the job, and of each reset and termination that it does.
    pub reason: String,
    /// The operation's identity, and that of each Signal that it sends; cancellations and terminations have
    /// that of the service's own Worker.
    pub identity: String,
    /// Which Workflows.
    pub scope: BatchScope,
    /// Operations a second at most; the service keeps to its own limit where that is lower.
    pub rate: f32,
    /// What it does.
    pub operation: BatchOperation,
}

impl Temporal {
    /// Starts a job. Sent once: where the answer is lost, the job id tells ([`Self::batch`]).
    ///
    /// # Errors
    /// [`Cause::TooManyBatches`] while another job runs; [`Cause::AlreadyRunning`] where the id is taken.
    pub async fn start_batch(&self, call: &BatchCall) -> Result<(), CallError> {
        let rpc = Rpc::StartBatchOperation;
        if call.job_id.is_empty() || call.reason.is_empty() {
            return Err(CallError::unsendable(rpc, "a job needs an id and a reason"));
        }
        let (visibility_query, executions) = match &call.scope {
            BatchScope::Query(query) if query.trim().is_empty() => {
                return Err(CallError::unsendable(
                    rpc,
                    "a job needs a query that is not empty",
                ));
            }
            BatchScope::Query(query) => (query.clone(), Vec::new()),
            BatchScope::Executions(keys) => {
                (String::new(), keys.iter().map(convert::execution).collect())
            }
        };
        let input = match &call.operation {
            BatchOperation::Signal { input, .. } => self.arguments(rpc, input).await?,
            _ => None,
        };
        let operation = operation(call, input);
        let message = self.start_batch_message(call, operation, visibility_query, executions);
        self.write(rpc, message, |mut service, request| async move {
            service.start_batch_operation(request).await
        })
        .await
        .map(|_| ())
    }

    /// `executions` is deprecated for `target_executions`, which servers before 1.31 do not read.
    #[allow(deprecated)]
    fn start_batch_message(
        &self,
        call: &BatchCall,
        operation: Operation,
        visibility_query: String,
        executions: Vec<WorkflowExecution>,
    ) -> StartBatchOperationRequest {
        StartBatchOperationRequest {
            namespace: self.namespace(),
            visibility_query,
            job_id: call.job_id.clone(),
            reason: call.reason.clone(),
            executions,
            max_operations_per_second: call.rate,
            operation: Some(operation),
            ..Default::default()
        }
    }

    /// Stops a job; what it did stays done.
    pub async fn stop_batch(&self, job_id: &str, reason: &str) -> Result<(), CallError> {
        let message = StopBatchOperationRequest {
            namespace: self.namespace(),
            job_id: job_id.to_owned(),
            reason: reason.to_owned(),
            identity: self.identity(),
        };
        self.write(
            Rpc::StopBatchOperation,
            message,
            |mut service, request| async move { service.stop_batch_operation(request).await },
        )
        .await
        .map(|_| ())
    }

    /// What the service says about a job; none where it knows none of that id (any more).
    pub async fn batch(&self, job_id: &str) -> Result<Option<BatchJob>, CallError> {
        let message = DescribeBatchOperationRequest {
            namespace: self.namespace(),
            job_id: job_id.to_owned(),
        };
        let result = self
            .read(Rpc::DescribeBatchOperation, message, |mut service, request| async move {
                service.describe_batch_operation(request).await
            })
            .await;
        Ok(absent(result, &[Cause::BatchNotFound])?.map(described))
    }

    /// Jobs of the namespace, at most `limit`, and whether there are more; without counts, query and
    /// reason, which only [`Self::batch`] has.
    pub async fn batches(&self, limit: u32) -> Result<(Vec<BatchJob>, bool), CallError> {
        let message = ListBatchOperationsRequest {
            namespace: self.namespace(),
            page_size: limit.clamp(1, 1000).cast_signed(),
            ..Default::default()
        };
        let response = self
            .read(
                Rpc::ListBatchOperations,
                message,
                |mut service, request| async move { service.list_batch_operations(request).await },
            )
            .await?;
        let more = !response.next_page_token.is_empty();
        Ok((
            response.operation_info.into_iter().map(in_list).collect(),
            more,
        ))
    }
}

/// `input` are a Signal's arguments, as the Workers read them.
fn operation(call: &BatchCall, input: Option<Payloads>) -> Operation {
    let identity = call.identity.clone();
    match &call.operation {
        BatchOperation::Reset {
            to,
            exclude,
            target,
        } => {
            let options = ResetOptions {
                target: Some(match to {
                    BatchResetPoint::First => reset_options::Target::FirstWorkflowTask(()),
                    BatchResetPoint::Last => reset_options::Target::LastWorkflowTask(()),
                    BatchResetPoint::Build(build) => reset_options::Target::BuildId(build.clone()),
                }),
                current_run_only: true,
                reset_reapply_exclude_types: exclude
                    .iter()
                    .map(|kind| exclusion(*kind).into())
                    .collect(),
                ..Default::default()
            };
            Operation::ResetOperation(BatchOperationReset {
                identity,
                options: Some(options),
                post_reset_operations: target.iter().map(move_to).collect(),
                ..Default::default()
            })
        }
        BatchOperation::Options { target } => {
            let mut update = BatchOperationUpdateWorkflowExecutionOptions {
                identity,
                workflow_execution_options: Some(options(target.as_ref())),
                ..Default::default()
            };
            update.update_mask.get_or_insert_default().paths = vec![OVERRIDE_PATH.to_owned()];
            Operation::UpdateWorkflowOptionsOperation(update)
        }
        BatchOperation::Signal { name, headers, .. } => {
            Operation::SignalOperation(BatchOperationSignal {
                signal: name.clone(),
                input,
                header: header(headers),
                identity,
            })
        }
        BatchOperation::Cancel => {
            Operation::CancellationOperation(BatchOperationCancellation { identity })
        }
        BatchOperation::Terminate => Operation::TerminationOperation(BatchOperationTermination {
            identity,
            details: None,
        }),
    }
}

fn described(response: DescribeBatchOperationResponse) -> BatchJob {
    let number = |count: i64| u64::try_from(count).unwrap_or(0);
    BatchJob {
        kind: kind(response.operation_type),
        state: state(response.state),
        started: time_of!(response.start_time),
        closed: time_of!(response.close_time),
        total: number(response.total_operation_count),
        complete: number(response.complete_operation_count),
        failed: number(response.failure_operation_count),
        executions: response.executions.len() as u64,
        id: response.job_id,
        identity: response.identity,
        reason: response.reason,
        query: response.query,
    }
}

fn in_list(info: BatchOperationInfo) -> BatchJob {
    BatchJob {
        kind: kind(info.operation_type),
        state: state(info.state),
        started: time_of!(info.start_time),
        closed: time_of!(info.close_time),
        id: info.job_id,
        ..BatchJob::default()
    }
}

fn state(number: i32) -> BatchState {
    match BatchOperationState::try_from(number).unwrap_or_default() {
        BatchOperationState::Unspecified => BatchState::Unknown,
        BatchOperationState::Running => BatchState::Running,
        BatchOperationState::Completed => BatchState::Completed,
        BatchOperationState::Failed => BatchState::Failed,
    }
}

/// Servers before 1.31 answer with the numbers that are deprecated now.
#[allow(deprecated)]
fn kind(number: i32) -> BatchKind {
    use BatchOperationType as T;
    match T::try_from(number).unwrap_or_default() {
        T::Terminate | T::TerminateWorkflow => BatchKind::Terminate,
        T::Cancel | T::CancelWorkflow => BatchKind::Cancel,
        T::Signal | T::SignalWorkflow => BatchKind::Signal,
        T::Delete | T::DeleteWorkflow => BatchKind::Delete,
        T::Reset | T::ResetWorkflow => BatchKind::Reset,
        T::UpdateExecutionOptions | T::UpdateWorkflowExecutionOptions => BatchKind::UpdateOptions,
        T::Unspecified
        | T::UnpauseActivity
        | T::UpdateActivityOptions
        | T::ResetActivity
        | T::TerminateActivity
        | T::CancelActivity
        | T::DeleteActivity => BatchKind::Other,
    }
}

//! From a call to the state and back: one table of RPCs, served by name in memory and through the
//! generated trait over TCP; limits, latency and faults around each.

use std::time::Duration;

use prost::Message as _;
use temporalio_protos::temporal::api::operatorservice::v1::{
    ListSearchAttributesRequest, ListSearchAttributesResponse,
};
use temporalio_protos::temporal::api::workflowservice::v1 as messages;
use tonic::{Code, Request, Response, Status as Reply};

use super::Simulator;
use super::facts::{Actor, Details, Write};
use super::faults::{Effect, FaultKind};
use super::operator_service::operator_service_server::OperatorService;
use super::service::workflow_service_server::WorkflowService;
use super::state::State;

/// How long a lost call is lost: longer than any deadline.
const LOST: Duration = Duration::from_secs(86_400);

/// How long the service keeps a Query that no Worker takes.
const QUERY_PATIENCE: Duration = Duration::from_secs(30);

macro_rules! rpcs {
    ($($name:literal $method:ident $request:ident $response:ident $handler:ident;)*) => {
        /// The RPCs of WorkflowService that are served.
        pub(super) const NAMES: &[&str] = &[$($name),*];

        impl Simulator {
            /// Answers a call by its name.
            pub(super) async fn call(&self, rpc: &str, request: &[u8]) -> Result<Vec<u8>, Reply> {
                match rpc {
                    $($name => {
                        let request = messages::$request::decode(request).map_err(|error| malformed(&error))?;
                        let reply = self.answer($name, request, State::$handler).await?;
                        Ok(reply.encode_to_vec())
                    })*
                    "ListSearchAttributes" => {
                        let request =
                            ListSearchAttributesRequest::decode(request).map_err(|error| malformed(&error))?;
                        let reply = self.answer("ListSearchAttributes", request, State::search_attributes).await?;
                        Ok(reply.encode_to_vec())
                    }
                    other => Err(Reply::unimplemented(format!("unknown method {other}"))),
                }
            }
        }

        #[tonic::async_trait]
        impl WorkflowService for Simulator {
            $(async fn $method(
                &self,
                request: Request<messages::$request>,
            ) -> Result<Response<messages::$response>, Reply> {
                self.answer($name, request.into_inner(), State::$handler).await.map(Response::new)
            })*
        }
    };
}

rpcs! {
    "GetSystemInfo" get_system_info GetSystemInfoRequest GetSystemInfoResponse system_info;
    "GetClusterInfo" get_cluster_info GetClusterInfoRequest GetClusterInfoResponse cluster_info;
    "DescribeNamespace" describe_namespace DescribeNamespaceRequest DescribeNamespaceResponse describe_namespace;
    "StartWorkflowExecution" start_workflow_execution StartWorkflowExecutionRequest StartWorkflowExecutionResponse start;
    "TerminateWorkflowExecution" terminate_workflow_execution TerminateWorkflowExecutionRequest TerminateWorkflowExecutionResponse terminate_execution;
    "SignalWorkflowExecution" signal_workflow_execution SignalWorkflowExecutionRequest SignalWorkflowExecutionResponse signal_execution;
    "RequestCancelWorkflowExecution" request_cancel_workflow_execution RequestCancelWorkflowExecutionRequest RequestCancelWorkflowExecutionResponse request_cancel;
    "ResetWorkflowExecution" reset_workflow_execution ResetWorkflowExecutionRequest ResetWorkflowExecutionResponse reset;
    "UpdateWorkflowExecutionOptions" update_workflow_execution_options UpdateWorkflowExecutionOptionsRequest UpdateWorkflowExecutionOptionsResponse update_options;
    "DescribeWorkflowExecution" describe_workflow_execution DescribeWorkflowExecutionRequest DescribeWorkflowExecutionResponse describe;
    "GetWorkflowExecutionHistory" get_workflow_execution_history GetWorkflowExecutionHistoryRequest GetWorkflowExecutionHistoryResponse history;
    "GetWorkflowExecutionHistoryReverse" get_workflow_execution_history_reverse GetWorkflowExecutionHistoryReverseRequest GetWorkflowExecutionHistoryReverseResponse history_reverse;
    "ListWorkflowExecutions" list_workflow_executions ListWorkflowExecutionsRequest ListWorkflowExecutionsResponse list;
    "CountWorkflowExecutions" count_workflow_executions CountWorkflowExecutionsRequest CountWorkflowExecutionsResponse count;
    "DescribeWorkerDeployment" describe_worker_deployment DescribeWorkerDeploymentRequest DescribeWorkerDeploymentResponse describe_deployment;
    "DescribeWorkerDeploymentVersion" describe_worker_deployment_version DescribeWorkerDeploymentVersionRequest DescribeWorkerDeploymentVersionResponse describe_version;
    "ListWorkerDeployments" list_worker_deployments ListWorkerDeploymentsRequest ListWorkerDeploymentsResponse list_deployments;
    "SetWorkerDeploymentCurrentVersion" set_worker_deployment_current_version SetWorkerDeploymentCurrentVersionRequest SetWorkerDeploymentCurrentVersionResponse set_current;
    "SetWorkerDeploymentRampingVersion" set_worker_deployment_ramping_version SetWorkerDeploymentRampingVersionRequest SetWorkerDeploymentRampingVersionResponse set_ramping;
    "SetWorkerDeploymentManager" set_worker_deployment_manager SetWorkerDeploymentManagerRequest SetWorkerDeploymentManagerResponse set_manager;
    "DeleteWorkerDeploymentVersion" delete_worker_deployment_version DeleteWorkerDeploymentVersionRequest DeleteWorkerDeploymentVersionResponse delete_version;
    "DeleteWorkerDeployment" delete_worker_deployment DeleteWorkerDeploymentRequest DeleteWorkerDeploymentResponse delete_deployment;
    "DescribeTaskQueue" describe_task_queue DescribeTaskQueueRequest DescribeTaskQueueResponse describe_task_queue;
    "StartBatchOperation" start_batch_operation StartBatchOperationRequest StartBatchOperationResponse start_batch;
    "StopBatchOperation" stop_batch_operation StopBatchOperationRequest StopBatchOperationResponse stop_batch;
    "DescribeBatchOperation" describe_batch_operation DescribeBatchOperationRequest DescribeBatchOperationResponse describe_batch;
    "ListBatchOperations" list_batch_operations ListBatchOperationsRequest ListBatchOperationsResponse list_batches;
    "ListNamespaces" list_namespaces ListNamespacesRequest ListNamespacesResponse list_namespaces;
    "UpdateWorkerDeploymentVersionMetadata" update_worker_deployment_version_metadata UpdateWorkerDeploymentVersionMetadataRequest UpdateWorkerDeploymentVersionMetadataResponse update_metadata;
    "QueryWorkflow" query_workflow QueryWorkflowRequest QueryWorkflowResponse query;
}

#[tonic::async_trait]
impl OperatorService for Simulator {
    async fn list_search_attributes(
        &self,
        request: Request<ListSearchAttributesRequest>,
    ) -> Result<Response<ListSearchAttributesResponse>, Reply> {
        self.answer(
            "ListSearchAttributes",
            request.into_inner(),
            State::search_attributes,
        )
        .await
        .map(Response::new)
    }
}

impl Simulator {
    /// One call: on its way, limits and faults, the effect, and the way back.
    async fn answer<Q: Details, A>(
        &self,
        rpc: &str,
        request: Q,
        handler: fn(&mut State, &Q) -> Result<A, Reply>,
    ) -> Result<A, Reply> {
        let (latency, verdict) = {
            let mut state = self.state();
            let now = self.clock.now();
            (state.world.latency.0, state.injector.meet(rpc, now))
        };
        self.wait(latency + verdict.before).await;
        if let Some((kind, Effect::Before)) = verdict.fault {
            if kind == FaultKind::LostRequest {
                self.wait(LOST).await;
            }
            return Err(failure(kind));
        }
        let result = self
            .state()
            .perform(self.clock.now(), rpc, &request, handler);
        let unheard = matches!(&result, Err(reply) if reply.code() == Code::DeadlineExceeded);
        if rpc == "QueryWorkflow" && unheard {
            self.wait(QUERY_PATIENCE).await;
        }
        self.wait(verdict.after).await;
        match verdict.fault {
            Some((kind, _)) => {
                if kind == FaultKind::LostReply {
                    self.wait(LOST).await;
                }
                Err(failure(kind))
            }
            None => result,
        }
    }

    async fn wait(&self, duration: Duration) {
        if !duration.is_zero() {
            self.clock.sleep(duration).await;
        }
    }
}

impl State {
    fn perform<Q: Details, A>(
        &mut self,
        now: jiff::Timestamp,
        rpc: &str,
        request: &Q,
        handler: fn(&mut Self, &Q) -> Result<A, Reply>,
    ) -> Result<A, Reply> {
        self.advance(now);
        *self.calls.entry(rpc.to_owned()).or_default() += 1;
        let details = request.details();
        self.actor = Actor {
            by: details
                .as_ref()
                .map(|[.., identity]| identity.clone())
                .unwrap_or_default(),
            write: details.as_ref().map(|_| self.writes.len()),
        };
        let result = self.limit(rpc).and_then(|()| handler(self, request));
        self.actor = Actor::default();
        if let Some([subject, run_id, request_id, reason, identity]) = details {
            let result = result.as_ref().err().map_or(Code::Ok, Reply::code);
            self.writes.push(Write {
                at: self.now,
                rpc: rpc.to_owned(),
                subject,
                run_id,
                request_id,
                reason,
                identity,
                result: format!("{result:?}"),
            });
        }
        result
    }

    fn limit(&mut self, rpc: &str) -> Result<(), Reply> {
        let now = self.now;
        let visibility = matches!(rpc, "ListWorkflowExecutions" | "CountWorkflowExecutions");
        let free = matches!(rpc, "GetSystemInfo" | "GetClusterInfo");
        if free || visibility && self.visibility_bucket.take(now) {
            return Ok(());
        }
        if !visibility && self.bucket.as_mut().is_none_or(|bucket| bucket.take(now)) {
            return Ok(());
        }
        Err(Reply::resource_exhausted("namespace rate limit exceeded"))
    }
}

fn failure(kind: FaultKind) -> Reply {
    match kind {
        FaultKind::Unavailable => Reply::unavailable("service unavailable"),
        FaultKind::LostRequest | FaultKind::LostReply => Reply::cancelled("Timeout expired"),
        FaultKind::ResourceExhausted => Reply::resource_exhausted("namespace rate limit exceeded"),
        FaultKind::DeadlineExceeded | FaultKind::Latency => {
            Reply::deadline_exceeded("context deadline exceeded")
        }
        FaultKind::Internal => Reply::internal("internal error"),
        FaultKind::PermissionDenied => Reply::permission_denied("Request unauthorized."),
    }
}

fn malformed(error: &prost::DecodeError) -> Reply {
    Reply::internal(format!("failed to decode the request: {error}"))
}

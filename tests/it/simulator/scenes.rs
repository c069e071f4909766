//! A simulated service and short names for its calls.

use std::time::Duration;

use jiff::Timestamp;
use prost::Message;
use runbook::clock::Clock;
use runbook::connection::InMemory;
use runbook::simulator::{Facts, Fault, Simulator, World};
use serde_json::json;
use temporalio_protos::temporal::api::common::v1::{Payload, Payloads, WorkflowExecution};
use temporalio_protos::temporal::api::deployment::v1::WorkerDeploymentVersion;
use temporalio_protos::temporal::api::enums::v1::EventType;
use temporalio_protos::temporal::api::history::v1::{HistoryEvent, history_event::Attributes};
use temporalio_protos::temporal::api::query::v1::WorkflowQuery;
use temporalio_protos::temporal::api::workflow::v1::{
    PostResetOperation, VersioningOverride, WorkflowExecutionOptions, post_reset_operation,
    versioning_override,
};
use temporalio_protos::temporal::api::workflowservice::v1::*;
use tonic::{Code, Status};

pub struct Scene {
    pub simulator: Simulator,
    pub clock: Clock,
    channel: InMemory,
}

/// v1 completes, v2 is bad and Current, v3 completes (safe), v4 has no Workers, v5 knows another queue.
pub fn world(workflows: serde_json::Value) -> World {
    let version = |behaves: &str| json!({ "task_queues": ["orders-tq"], "behaves": behaves });
    serde_json::from_value(json!({
        "deployments": { "orders": {
            "current": "v2",
            "versions": {
                "v1": version("complete"),
                "v2": version("fail_tasks"),
                "v3": version("idle"),
                "v4": { "task_queues": ["orders-tq"], "workers": false },
                "v5": { "task_queues": ["other-tq"] },
            },
        } },
        "attributes": { "Tier": "keyword" },
        "workflows": workflows,
    }))
    .expect("a world")
}

pub fn scene(workflows: serde_json::Value) -> Scene {
    Scene::new(&world(workflows), &[])
}

impl Scene {
    pub fn new(world: &World, faults: &[Fault]) -> Self {
        let clock = Clock::simulated("2026-11-21T12:00:00Z".parse::<Timestamp>().expect("a time"));
        let simulator = Simulator::new(world, faults, 7, clock.clone()).expect("a sound world");
        Self {
            channel: simulator.channel(),
            simulator,
            clock,
        }
    }

    pub async fn call<Q: Message, A: Message + Default>(
        &self,
        rpc: &str,
        request: Q,
    ) -> Result<A, Status> {
        let bytes = (self.channel)(
            rpc.to_owned(),
            http::HeaderMap::new(),
            request.encode_to_vec().into(),
        )
        .await?;
        Ok(A::decode(&bytes[..]).expect("a reply"))
    }

    pub async fn pass(&self, duration: Duration) {
        self.clock.sleep(duration).await;
    }

    pub async fn seconds(&self, seconds: u64) {
        self.pass(Duration::from_secs(seconds)).await;
    }

    pub fn facts(&self) -> Facts {
        self.simulator.facts()
    }

    pub async fn describe(&self, id: &str, run: &str) -> DescribeWorkflowExecutionResponse {
        self.try_describe(id, run).await.expect("it is there")
    }

    pub async fn try_describe(
        &self,
        id: &str,
        run: &str,
    ) -> Result<DescribeWorkflowExecutionResponse, Status> {
        let request = DescribeWorkflowExecutionRequest {
            namespace: "default".to_owned(),
            execution: execution(id, run),
        };
        self.call("DescribeWorkflowExecution", request).await
    }

    pub async fn run_of(&self, id: &str) -> String {
        self.describe(id, "")
            .await
            .workflow_execution_info
            .unwrap()
            .execution
            .unwrap()
            .run_id
    }

    pub async fn history(&self, id: &str, run: &str) -> Vec<HistoryEvent> {
        let request = GetWorkflowExecutionHistoryRequest {
            namespace: "default".to_owned(),
            execution: execution(id, run),
            ..Default::default()
        };
        let reply: GetWorkflowExecutionHistoryResponse = self
            .call("GetWorkflowExecutionHistory", request)
            .await
            .expect("a history");
        reply.history.unwrap().events
    }

    pub async fn types(&self, id: &str, run: &str) -> Vec<EventType> {
        self.history(id, run)
            .await
            .iter()
            .map(HistoryEvent::event_type)
            .collect()
    }

    pub async fn reset(&self, request: ResetWorkflowExecutionRequest) -> Result<String, Status> {
        let reply: ResetWorkflowExecutionResponse =
            self.call("ResetWorkflowExecution", request).await?;
        Ok(reply.run_id)
    }

    pub async fn update(
        &self,
        id: &str,
        wanted: Option<VersioningOverride>,
    ) -> Result<UpdateWorkflowExecutionOptionsResponse, Status> {
        let request = UpdateWorkflowExecutionOptionsRequest {
            namespace: "default".to_owned(),
            workflow_execution: execution(id, ""),
            workflow_execution_options: Some(options(wanted)),
            update_mask: mask(),
            ..Default::default()
        };
        self.call("UpdateWorkflowExecutionOptions", request).await
    }

    pub async fn signal(&self, id: &str) -> Result<SignalWorkflowExecutionResponse, Status> {
        let request = SignalWorkflowExecutionRequest {
            namespace: "default".to_owned(),
            workflow_execution: execution(id, ""),
            signal_name: "nudge".to_owned(),
            ..Default::default()
        };
        self.call("SignalWorkflowExecution", request).await
    }

    pub async fn start_batch(&self, request: StartBatchOperationRequest) -> Result<(), Status> {
        let _: StartBatchOperationResponse = self.call("StartBatchOperation", request).await?;
        Ok(())
    }

    pub async fn stop_batch(&self, job: &str) -> Result<(), Status> {
        let request = StopBatchOperationRequest {
            namespace: "default".to_owned(),
            job_id: job.to_owned(),
            reason: "enough".to_owned(),
            ..Default::default()
        };
        let _: StopBatchOperationResponse = self.call("StopBatchOperation", request).await?;
        Ok(())
    }

    pub async fn batch(&self, job: &str) -> Result<DescribeBatchOperationResponse, Status> {
        let request = DescribeBatchOperationRequest {
            namespace: "default".to_owned(),
            job_id: job.to_owned(),
        };
        self.call("DescribeBatchOperation", request).await
    }

    pub async fn batches(&self, size: i32, token: Vec<u8>) -> ListBatchOperationsResponse {
        let request = ListBatchOperationsRequest {
            namespace: "default".to_owned(),
            page_size: size,
            next_page_token: token,
        };
        self.call("ListBatchOperations", request)
            .await
            .expect("a listing")
    }

    pub async fn send(
        &self,
        id: &str,
        name: &str,
        input: serde_json::Value,
        request_id: &str,
    ) -> Result<SignalWorkflowExecutionResponse, Status> {
        let request = SignalWorkflowExecutionRequest {
            namespace: "default".to_owned(),
            workflow_execution: execution(id, ""),
            signal_name: name.to_owned(),
            input: payloads(&input),
            identity: "tester".to_owned(),
            request_id: request_id.to_owned(),
            ..Default::default()
        };
        self.call("SignalWorkflowExecution", request).await
    }

    pub async fn cancel(&self, id: &str, request_id: &str) -> Result<(), Status> {
        let request = RequestCancelWorkflowExecutionRequest {
            namespace: "default".to_owned(),
            workflow_execution: execution(id, ""),
            identity: "tester".to_owned(),
            reason: "INC-1".to_owned(),
            request_id: request_id.to_owned(),
            ..Default::default()
        };
        let _: RequestCancelWorkflowExecutionResponse =
            self.call("RequestCancelWorkflowExecution", request).await?;
        Ok(())
    }

    pub async fn ask(
        &self,
        id: &str,
        run: &str,
        query: &str,
        reject: i32,
    ) -> Result<QueryWorkflowResponse, Status> {
        let request = QueryWorkflowRequest {
            namespace: "default".to_owned(),
            execution: execution(id, run),
            query: Some(WorkflowQuery {
                query_type: query.to_owned(),
                ..Default::default()
            }),
            query_reject_condition: reject,
        };
        self.call("QueryWorkflow", request).await
    }

    /// What a Query answers, as JSON.
    pub async fn answer(&self, id: &str, query: &str) -> serde_json::Value {
        let reply = self.ask(id, "", query, 0).await.expect("an answer");
        serde_json::from_slice(&reply.query_result.unwrap().payloads[0].data).unwrap()
    }

    pub async fn list(
        &self,
        query: &str,
        size: i32,
        token: Vec<u8>,
    ) -> Result<ListWorkflowExecutionsResponse, Status> {
        let request = ListWorkflowExecutionsRequest {
            namespace: "default".to_owned(),
            page_size: size,
            next_page_token: token,
            query: query.to_owned(),
        };
        self.call("ListWorkflowExecutions", request).await
    }

    pub async fn ids(&self, query: &str) -> Vec<String> {
        let reply = self.list(query, 1000, Vec::new()).await.expect("a listing");
        reply
            .executions
            .into_iter()
            .map(|one| one.execution.unwrap().workflow_id)
            .collect()
    }

    pub async fn count(&self, query: &str) -> Result<CountWorkflowExecutionsResponse, Status> {
        let request = CountWorkflowExecutionsRequest {
            namespace: "default".to_owned(),
            query: query.to_owned(),
        };
        self.call("CountWorkflowExecutions", request).await
    }

    pub async fn ramp(
        &self,
        build: &str,
        percentage: f32,
    ) -> Result<SetWorkerDeploymentRampingVersionResponse, Status> {
        let request = SetWorkerDeploymentRampingVersionRequest {
            namespace: "default".to_owned(),
            deployment_name: "orders".to_owned(),
            build_id: build.to_owned(),
            percentage,
            ..Default::default()
        };
        self.call("SetWorkerDeploymentRampingVersion", request)
            .await
    }

    pub async fn set_current(
        &self,
        build: &str,
    ) -> Result<SetWorkerDeploymentCurrentVersionResponse, Status> {
        let request = SetWorkerDeploymentCurrentVersionRequest {
            namespace: "default".to_owned(),
            deployment_name: "orders".to_owned(),
            build_id: build.to_owned(),
            ..Default::default()
        };
        self.call("SetWorkerDeploymentCurrentVersion", request)
            .await
    }

    pub async fn deployment(&self) -> DescribeWorkerDeploymentResponse {
        let request = DescribeWorkerDeploymentRequest {
            namespace: "default".to_owned(),
            deployment_name: "orders".to_owned(),
        };
        self.call("DescribeWorkerDeployment", request)
            .await
            .expect("a deployment")
    }

    pub async fn status(&self, build: &str) -> String {
        let info = self.deployment().await.worker_deployment_info.unwrap();
        let found = info
            .version_summaries
            .iter()
            .find(|it| it.deployment_version.as_ref().unwrap().build_id == build);
        found.map_or_else(|| "absent".to_owned(), |it| format!("{:?}", it.status()))
    }

    pub async fn delete(&self, build: &str, skip_drainage: bool) -> Result<(), Status> {
        let request = DeleteWorkerDeploymentVersionRequest {
            namespace: "default".to_owned(),
            deployment_version: version(build),
            skip_drainage,
            ..Default::default()
        };
        let _: DeleteWorkerDeploymentVersionResponse =
            self.call("DeleteWorkerDeploymentVersion", request).await?;
        Ok(())
    }
}

fn payloads(value: &serde_json::Value) -> Option<Payloads> {
    let payload = Payload {
        data: value.to_string().into_bytes(),
        ..Default::default()
    };
    Some(Payloads {
        payloads: vec![payload],
    })
}

pub fn execution(id: &str, run: &str) -> Option<WorkflowExecution> {
    Some(WorkflowExecution {
        workflow_id: id.to_owned(),
        run_id: run.to_owned(),
    })
}

pub fn version(build: &str) -> Option<WorkerDeploymentVersion> {
    Some(WorkerDeploymentVersion {
        deployment_name: "orders".to_owned(),
        build_id: build.to_owned(),
    })
}

pub fn pinned(build: &str) -> VersioningOverride {
    VersioningOverride {
        r#override: Some(versioning_override::Override::Pinned(
            versioning_override::PinnedOverride {
                behavior: versioning_override::PinnedOverrideBehavior::Pinned as i32,
                version: version(build),
            },
        )),
        ..Default::default()
    }
}

pub fn options(wanted: Option<VersioningOverride>) -> WorkflowExecutionOptions {
    WorkflowExecutionOptions {
        versioning_override: wanted,
        ..Default::default()
    }
}

#[allow(clippy::default_trait_access)] // the mask's package is not ours to name
pub fn mask() -> Option<prost_types::FieldMask> {
    Some(prost_types::FieldMask {
        paths: vec!["versioning_override".to_owned()],
    })
}

/// A reset to an event, with a request id of its own.
pub fn reset_to(
    id: &str,
    run: &str,
    event: i64,
    request_id: &str,
) -> ResetWorkflowExecutionRequest {
    ResetWorkflowExecutionRequest {
        namespace: "default".to_owned(),
        workflow_execution: execution(id, run),
        reason: "INC-1".to_owned(),
        workflow_task_finish_event_id: event,
        request_id: request_id.to_owned(),
        identity: "tester".to_owned(),
        ..Default::default()
    }
}

/// And moved to a Version in the same call.
pub fn reset_with_move(
    id: &str,
    run: &str,
    event: i64,
    build: &str,
) -> ResetWorkflowExecutionRequest {
    ResetWorkflowExecutionRequest {
        post_reset_operations: vec![PostResetOperation {
            variant: Some(post_reset_operation::Variant::UpdateWorkflowOptions(
                post_reset_operation::UpdateWorkflowOptions {
                    workflow_execution_options: Some(options(Some(pinned(build)))),
                    update_mask: mask(),
                },
            )),
        }],
        ..reset_to(id, run, event, "r-1")
    }
}

pub fn start(id: &str, request_id: &str) -> StartWorkflowExecutionRequest {
    use temporalio_protos::temporal::api::common::v1::WorkflowType;
    use temporalio_protos::temporal::api::taskqueue::v1::TaskQueue;
    StartWorkflowExecutionRequest {
        namespace: "default".to_owned(),
        workflow_id: id.to_owned(),
        workflow_type: Some(WorkflowType {
            name: "Order".to_owned(),
        }),
        task_queue: Some(TaskQueue {
            name: "orders-tq".to_owned(),
            ..Default::default()
        }),
        request_id: request_id.to_owned(),
        ..Default::default()
    }
}

/// Code and message of a refusal.
pub fn refusal<T: std::fmt::Debug>(result: Result<T, Status>) -> (Code, String) {
    let status = result.expect_err("a refusal");
    (status.code(), status.message().to_owned())
}

/// The attributes of the mark that a reset leaves.
pub fn reset_mark(events: &[HistoryEvent]) -> (String, String, String) {
    events
        .iter()
        .rev()
        .find_map(|event| match &event.attributes {
            Some(Attributes::WorkflowTaskFailedEventAttributes(it))
                if !it.base_run_id.is_empty() =>
            {
                Some((
                    it.failure.as_ref().unwrap().message.clone(),
                    it.base_run_id.clone(),
                    it.new_run_id.clone(),
                ))
            }
            _ => None,
        })
        .expect("a run that a reset made")
}

/// A Search Attribute as JSON.
pub fn attribute(reply: &DescribeWorkflowExecutionResponse, name: &str) -> serde_json::Value {
    let info = reply.workflow_execution_info.as_ref().unwrap();
    info.search_attributes
        .as_ref()
        .and_then(|it| it.indexed_fields.get(name))
        .map_or(serde_json::Value::Null, |payload| {
            serde_json::from_slice(&payload.data).unwrap()
        })
}

//! The calls that read: Describe, histories by pages, counts and listings by pages, the namespace and
//! the server itself.

use temporalio_protos::temporal::api::enums::v1::{
    EventType, HistoryEventFilterType as Filter, TaskQueueType,
};
use temporalio_protos::temporal::api::operatorservice::v1::{
    ListSearchAttributesRequest, ListSearchAttributesResponse,
};
use temporalio_protos::temporal::api::taskqueue::v1::TaskQueue;
use temporalio_protos::temporal::api::workflowservice::v1::*;

use super::backend::{Plot, execution};
use super::transcript::{Notes, check};

const NO_RUN: &str = "11111111-1111-4111-8111-111111111111";

#[test]
fn workflows() {
    check("read_describe", Plot::default(), async |notes| {
        let (id, run) = notes.started("Order", "o").await;
        let cases = [
            ("current", id.as_str(), ""),
            ("by run", &id, &run),
            ("unknown Workflow", "nowhere", ""),
            ("unknown run", &id, NO_RUN),
            ("another's run", "nowhere", &run),
            ("no run id", &id, "nonsense"),
            ("no Workflow", "", ""),
        ];
        for (label, id, run) in cases {
            let result = notes.describe(id, run).await;
            notes.outcome(label, result);
        }
        let it = notes.describe(&id, "").await.unwrap();
        let info = it.workflow_execution_info.unwrap();
        let text = format!(
            "{:?} {:?}, queue {}, deployment {}, first run {}, root {:?}, parent {:?}, length {}",
            info.r#type.as_ref().map(|it| &it.name),
            info.status(),
            info.task_queue,
            info.worker_deployment_name,
            info.first_run_id,
            info.root_execution.map(|it| it.workflow_id),
            info.parent_execution,
            info.history_length
        );
        notes.note("info", text);
        let points = info.auto_reset_points.unwrap_or_default().points;
        let points: Vec<String> = points
            .iter()
            .map(|it| {
                format!(
                    "{} {} {} {}",
                    it.build_id, it.run_id, it.first_workflow_task_completed_id, it.resettable
                )
            })
            .collect();
        notes.note("reset points", points.join(", "));
        let temporal = notes.temporal().await;
        let key = |id: &str, run: &str| runbook::survey::WorkflowKey {
            workflow_id: id.to_owned(),
            run_id: run.to_owned(),
        };
        for (label, id, run) in [
            ("unknown Workflow", "nowhere", ""),
            ("unknown run", id.as_str(), NO_RUN),
        ] {
            let result = temporal.look(&key(id, run)).await;
            let found = notes.told(&format!("the tool: {label}"), result);
            notes.note(
                &format!("{label} is none"),
                found.is_some_and(|it| it.is_none()),
            );
        }
    });
}

fn forward(
    notes: &Notes,
    id: &str,
    run: &str,
    size: i32,
    token: Vec<u8>,
) -> GetWorkflowExecutionHistoryRequest {
    GetWorkflowExecutionHistoryRequest {
        namespace: notes.namespace.clone(),
        execution: execution(id, run),
        maximum_page_size: size,
        next_page_token: token,
        ..Default::default()
    }
}

#[test]
fn histories() {
    check("read_histories", Plot::default(), async |notes| {
        let (id, run) = notes.started("Order", "o").await;
        for name in ["one", "two", "three"] {
            notes.signal(&id, name).await;
            notes.settled(&id).await;
        }
        notes
            .events_with(&id, EventType::WorkflowTaskCompleted, 4)
            .await;
        let mut token = Vec::new();
        for page in 0.. {
            let request = forward(notes, &id, &run, 5, token);
            let reply: GetWorkflowExecutionHistoryResponse = notes
                .call("GetWorkflowExecutionHistory", request)
                .await
                .unwrap();
            let events = reply.history.unwrap().events;
            notes.events(&format!("page {page}"), &events);
            token = reply.next_page_token;
            if token.is_empty() {
                break;
            }
        }
        let mut token = Vec::new();
        for page in 0.. {
            let request = GetWorkflowExecutionHistoryReverseRequest {
                namespace: notes.namespace.clone(),
                execution: execution(&id, &run),
                maximum_page_size: 6,
                next_page_token: token,
            };
            let reply: GetWorkflowExecutionHistoryReverseResponse = notes
                .call("GetWorkflowExecutionHistoryReverse", request)
                .await
                .unwrap();
            let events = reply.history.unwrap().events;
            notes.events(&format!("page {page} from the end"), &events);
            token = reply.next_page_token;
            if token.is_empty() {
                break;
            }
        }
        let last = GetWorkflowExecutionHistoryRequest {
            history_event_filter_type: Filter::CloseEvent as i32,
            ..forward(notes, &id, &run, 0, Vec::new())
        };
        let reply: GetWorkflowExecutionHistoryResponse = notes
            .call("GetWorkflowExecutionHistory", last)
            .await
            .unwrap();
        notes.events("the last event", &reply.history.unwrap().events);
        let cases = [
            (
                "unknown Workflow",
                forward(notes, "nowhere", "", 0, Vec::new()),
            ),
            ("unknown run", forward(notes, &id, NO_RUN, 0, Vec::new())),
            ("no run id", forward(notes, &id, "nonsense", 0, Vec::new())),
            ("no Workflow", forward(notes, "", "", 0, Vec::new())),
            (
                "a token that is none",
                forward(notes, &id, &run, 0, b"nonsense".to_vec()),
            ),
        ];
        for (label, request) in cases {
            let result: Result<GetWorkflowExecutionHistoryResponse, _> = notes
                .call("GetWorkflowExecutionHistory", request.clone())
                .await;
            notes.outcome(label, result);
            let request = GetWorkflowExecutionHistoryReverseRequest {
                namespace: request.namespace,
                execution: request.execution,
                next_page_token: request.next_page_token,
                ..Default::default()
            };
            let result: Result<GetWorkflowExecutionHistoryReverseResponse, _> = notes
                .call("GetWorkflowExecutionHistoryReverse", request)
                .await;
            notes.outcome(&format!("{label}, from the end"), result);
        }
        for size in [-1, 0, 100_000] {
            let request = forward(notes, &id, &run, size, Vec::new());
            let reply: GetWorkflowExecutionHistoryResponse = notes
                .call("GetWorkflowExecutionHistory", request)
                .await
                .unwrap();
            notes.note(
                &format!("a page of {size}"),
                reply.history.unwrap().events.len(),
            );
        }
    });
}

#[test]
fn counts_and_listings() {
    let plot = Plot {
        alone: true,
        ..Plot::default()
    };
    check("read_listings", plot, async |notes| {
        for name in ["a", "b", "c", "d", "e"] {
            notes.started("Order", name).await;
        }
        for name in ["b", "d"] {
            notes.terminate(&notes.id(name), "over").await;
        }
        notes
            .listed(
                "WorkflowType = 'Order' AND ExecutionStatus = 'Terminated'",
                2,
            )
            .await;
        notes
            .listed(
                "WorkflowType = 'Order' AND TemporalWorkerDeploymentVersion IS NOT NULL",
                5,
            )
            .await;
        let count = |query: &str| CountWorkflowExecutionsRequest {
            namespace: notes.namespace.clone(),
            query: query.to_owned(),
        };
        let counted = [
            "WorkflowType = 'Order'",
            "WorkflowType = 'Order' AND ExecutionStatus = 'Running'",
            "WorkflowType = 'Nobody'",
            "WorkflowType = 'Order' GROUP BY ExecutionStatus",
            "WorkflowType = 'Nobody' GROUP BY ExecutionStatus",
            "WorkflowType = 'Order' GROUP BY WorkflowType",
            "WorkflowType = 'Order' GROUP BY ExecutionStatus, WorkflowType",
            "GROUP BY ExecutionStatus AND WorkflowType = 'Order'",
            "WorkflowType = 'Order' ORDER BY StartTime",
        ]
        .map(|query| (query, count(query)));
        for (query, request) in counted {
            let result: Result<CountWorkflowExecutionsResponse, _> =
                notes.call("CountWorkflowExecutions", request).await;
            if let Some(reply) = notes.refusal(&format!("count {query}"), result) {
                let mut groups: Vec<String> = reply
                    .groups
                    .iter()
                    .map(|it| {
                        format!(
                            "{} {}",
                            String::from_utf8_lossy(&it.group_values[0].data),
                            it.count
                        )
                    })
                    .collect();
                groups.sort();
                notes.note(
                    &format!("counted {query}"),
                    format!("{} {groups:?}", reply.count),
                );
            }
        }
        let list = |query: &str, size, token: Vec<u8>| ListWorkflowExecutionsRequest {
            namespace: notes.namespace.clone(),
            query: query.to_owned(),
            page_size: size,
            next_page_token: token,
        };
        let all = "WorkflowType = 'Order'";
        let mut pages = Vec::new();
        let mut token = Vec::new();
        loop {
            let reply: ListWorkflowExecutionsResponse = notes
                .call("ListWorkflowExecutions", list(all, 2, token))
                .await
                .unwrap();
            let names: Vec<String> = reply
                .executions
                .into_iter()
                .filter_map(|it| it.execution)
                .map(|it| it.workflow_id)
                .collect();
            pages.push(names.join(" "));
            token = reply.next_page_token;
            if token.is_empty() {
                break;
            }
        }
        let odd = [
            ("-1", list(all, -1, Vec::new())),
            ("0", list(all, 0, Vec::new())),
            ("100,000", list(all, 100_000, Vec::new())),
        ];
        let wrong = [
            ("a token that is none", list(all, 2, b"nonsense".to_vec())),
            ("a broken query", list("WorkflowType = ", 2, Vec::new())),
            ("an unknown attribute", list("Nope = 'x'", 2, Vec::new())),
            (
                "a grouped listing",
                list(
                    "WorkflowType = 'Order' GROUP BY ExecutionStatus",
                    2,
                    Vec::new(),
                ),
            ),
        ];
        notes.note("pages of 2", pages.join(" | "));
        for (size, request) in odd {
            let reply: ListWorkflowExecutionsResponse =
                notes.call("ListWorkflowExecutions", request).await.unwrap();
            notes.note(&format!("a page of {size}"), reply.executions.len());
        }
        for (label, request) in wrong {
            let result: Result<ListWorkflowExecutionsResponse, _> =
                notes.call("ListWorkflowExecutions", request).await;
            notes.refusal(label, result);
        }
        let temporal = notes.temporal().await;
        let mut counts = temporal.count_by_status(all).await.unwrap();
        counts.sort_by_key(|(status, _)| status.name());
        notes.shows("the tool: by status", counts);
        let result = temporal.count("Nope = 'x'").await;
        notes.told("the tool: an unknown attribute", result);
        let error = temporal
            .list("WorkflowType = ", 10, None)
            .await
            .expect_err("a broken query");
        notes.shows(
            "the tool: a broken query",
            (error.meaning.verdict, error.meaning.cause),
        );
        let reply: ListWorkflowExecutionsResponse =
            notes.list("WorkflowId = 'nowhere'").await.unwrap();
        notes.note("nothing found", reply.executions.len());
    });
}

#[test]
fn the_namespace_and_the_server() {
    check("read_server", Plot::default(), async |notes| {
        let reply: GetSystemInfoResponse = notes
            .call("GetSystemInfo", GetSystemInfoRequest {})
            .await
            .unwrap();
        notes.note("server", reply.server_version);
        notes.shows("capabilities", reply.capabilities);
        let reply: GetClusterInfoResponse = notes
            .call("GetClusterInfo", GetClusterInfoRequest {})
            .await
            .unwrap();
        notes.note(
            "cluster",
            format!(
                "{}, shards {}",
                reply.server_version, reply.history_shard_count
            ),
        );
        let request = DescribeNamespaceRequest {
            namespace: notes.namespace.clone(),
            ..Default::default()
        };
        let reply: DescribeNamespaceResponse =
            notes.call("DescribeNamespace", request).await.unwrap();
        let info = reply.namespace_info.unwrap();
        notes.note(
            "namespace",
            format!(
                "{} {:?}, an id {}",
                info.name,
                info.state(),
                !info.id.is_empty()
            ),
        );
        notes.shows("namespace capabilities", info.capabilities);
        let by_id = DescribeNamespaceRequest {
            id: info.id,
            ..Default::default()
        };
        let result: Result<DescribeNamespaceResponse, _> =
            notes.call("DescribeNamespace", by_id).await;
        notes.outcome("by id", result);
        let request = ListSearchAttributesRequest {
            namespace: notes.namespace.clone(),
        };
        let reply: ListSearchAttributesResponse = notes
            .call_on(
                "temporal.api.operatorservice.v1.OperatorService",
                "ListSearchAttributes",
                request,
            )
            .await
            .unwrap();
        let sorted = |all: std::collections::HashMap<String, i32>| {
            let mut all: Vec<String> = all
                .into_iter()
                .map(|(name, kind)| format!("{name} {kind}"))
                .collect();
            all.sort();
            all.join(", ")
        };
        notes.note("custom attributes", sorted(reply.custom_attributes));
        notes.note("system attributes", sorted(reply.system_attributes));
        let request = DescribeTaskQueueRequest {
            namespace: notes.namespace.clone(),
            task_queue: Some(TaskQueue {
                name: notes.queue.clone(),
                ..Default::default()
            }),
            task_queue_type: TaskQueueType::Workflow as i32,
            ..Default::default()
        };
        let result: Result<DescribeTaskQueueResponse, _> =
            notes.call("DescribeTaskQueue", request.clone()).await;
        notes.outcome("task queue", result);
        let none = DescribeTaskQueueRequest {
            task_queue: None,
            ..request
        };
        let result: Result<DescribeTaskQueueResponse, _> =
            notes.call("DescribeTaskQueue", none).await;
        notes.outcome("no task queue", result);
        let temporal = notes.temporal().await;
        let preflight = temporal.preflight().await;
        notes.outcome(
            "the tool's preflight",
            preflight
                .map(drop)
                .map_err(|error| tonic::Status::unknown(error.to_string())),
        );
    });
}

/// Every call with an empty namespace and with an unknown one.
#[test]
fn namespaces() {
    check("read_namespaces", Plot::default(), async |notes| {
        macro_rules! each {
            ($($rpc:literal $request:ident $response:ident { $($field:ident: $value:expr),* };)*) => {
                for namespace in ["", "nowhere"] {
                    $(
                        #[allow(clippy::needless_update)] // some have no other field
                        let request = $request {
                            namespace: namespace.to_owned(),
                            $($field: $value,)*
                            ..Default::default()
                        };
                        let result: Result<$response, _> = notes.call($rpc, request).await;
                        notes.outcome(&format!("{} `{namespace}`", $rpc), result);
                    )*
                }
            };
        }
        let (id, run) = (notes.id("o"), NO_RUN.to_owned());
        let deployment = notes.deployment.clone();
        each! {
            "DescribeNamespace" DescribeNamespaceRequest DescribeNamespaceResponse {};
            "CountWorkflowExecutions" CountWorkflowExecutionsRequest CountWorkflowExecutionsResponse {};
            "ListWorkflowExecutions" ListWorkflowExecutionsRequest ListWorkflowExecutionsResponse {};
            "DescribeWorkflowExecution" DescribeWorkflowExecutionRequest DescribeWorkflowExecutionResponse { execution: execution(&id, &run) };
            "GetWorkflowExecutionHistory" GetWorkflowExecutionHistoryRequest GetWorkflowExecutionHistoryResponse { execution: execution(&id, &run) };
            "GetWorkflowExecutionHistoryReverse" GetWorkflowExecutionHistoryReverseRequest GetWorkflowExecutionHistoryReverseResponse { execution: execution(&id, &run) };
            "DescribeWorkerDeployment" DescribeWorkerDeploymentRequest DescribeWorkerDeploymentResponse { deployment_name: deployment.clone() };
            "DescribeWorkerDeploymentVersion" DescribeWorkerDeploymentVersionRequest DescribeWorkerDeploymentVersionResponse { deployment_version: notes.version("v2") };
            "ListWorkerDeployments" ListWorkerDeploymentsRequest ListWorkerDeploymentsResponse {};
            "DescribeBatchOperation" DescribeBatchOperationRequest DescribeBatchOperationResponse { job_id: "j".to_owned() };
            "ListBatchOperations" ListBatchOperationsRequest ListBatchOperationsResponse {};
            "TerminateWorkflowExecution" TerminateWorkflowExecutionRequest TerminateWorkflowExecutionResponse { workflow_execution: execution(&id, &run) };
            "RequestCancelWorkflowExecution" RequestCancelWorkflowExecutionRequest RequestCancelWorkflowExecutionResponse { workflow_execution: execution(&id, &run) };
            "SignalWorkflowExecution" SignalWorkflowExecutionRequest SignalWorkflowExecutionResponse { workflow_execution: execution(&id, &run), signal_name: "s".to_owned() };
            "SetWorkerDeploymentCurrentVersion" SetWorkerDeploymentCurrentVersionRequest SetWorkerDeploymentCurrentVersionResponse { deployment_name: deployment.clone(), build_id: "v2".to_owned() };
            "SetWorkerDeploymentRampingVersion" SetWorkerDeploymentRampingVersionRequest SetWorkerDeploymentRampingVersionResponse { deployment_name: deployment.clone(), build_id: "v3".to_owned() };
            "DeleteWorkerDeploymentVersion" DeleteWorkerDeploymentVersionRequest DeleteWorkerDeploymentVersionResponse { deployment_version: notes.version("v2") };
            "StopBatchOperation" StopBatchOperationRequest StopBatchOperationResponse { job_id: "j".to_owned(), reason: "r".to_owned() };
            "ResetWorkflowExecution" ResetWorkflowExecutionRequest ResetWorkflowExecutionResponse { workflow_execution: execution(&id, &run), request_id: "r".to_owned(), workflow_task_finish_event_id: 4 };
        }
    });
}

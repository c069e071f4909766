//! Batch jobs: what is refused, states and counts, what is added to a query, who signs.

use prost_types::FieldMask;
use serde_json::json;
use temporalio_protos::temporal::api::batch::v1::*;
use temporalio_protos::temporal::api::common::v1::{ResetOptions, reset_options::Target};
use temporalio_protos::temporal::api::enums::v1::{BatchOperationState as State, EventType};
use temporalio_protos::temporal::api::history::v1::history_event::Attributes;
use temporalio_protos::temporal::api::workflow::v1::{
    PostResetOperation, WorkflowExecutionOptions, post_reset_operation,
};
use temporalio_protos::temporal::api::workflowservice::v1::start_batch_operation_request::Operation;
use temporalio_protos::temporal::api::workflowservice::v1::*;
use tonic::{Code, Status};

use super::backend::{Plot, Stage, TESTER, execution, payloads};
use super::transcript::{Notes, check};

fn alone() -> Plot {
    Plot {
        alone: true,
        ..Plot::default()
    }
}

fn job(stage: &Stage, id: &str, query: &str, operation: Operation) -> StartBatchOperationRequest {
    StartBatchOperationRequest {
        namespace: stage.namespace.clone(),
        job_id: stage.id(id),
        reason: "INC-1".to_owned(),
        visibility_query: query.to_owned(),
        operation: Some(operation),
        ..Default::default()
    }
}

/// Starts a job when the slot is free.
async fn start(stage: &Stage, request: StartBatchOperationRequest) -> Result<(), Status> {
    stage
        .until("a free slot", async || {
            let result: Result<StartBatchOperationResponse, Status> =
                stage.call("StartBatchOperation", request.clone()).await;
            match result {
                Err(status) if status.code() == Code::ResourceExhausted => None,
                other => Some(other.map(drop)),
            }
        })
        .await
}

async fn described(stage: &Stage, id: &str) -> Result<DescribeBatchOperationResponse, Status> {
    let request = DescribeBatchOperationRequest {
        namespace: stage.namespace.clone(),
        job_id: stage.id(id),
    };
    stage.call("DescribeBatchOperation", request).await
}

/// Notes what became of a job when it has ended.
async fn ended(notes: &mut Notes, id: &str) -> DescribeBatchOperationResponse {
    let it = notes
        .until("the job to end", async || {
            described(notes, id)
                .await
                .ok()
                .filter(|it| it.state() != State::Running)
        })
        .await;
    let text = format!(
        "{:?}, total {}, complete {}, failed {}",
        it.state(),
        it.total_operation_count,
        it.complete_operation_count,
        it.failure_operation_count
    );
    notes.note(&format!("job {id}"), text);
    it
}

async fn run(
    notes: &mut Notes,
    request: StartBatchOperationRequest,
) -> DescribeBatchOperationResponse {
    let id = notes.plain(&request.job_id);
    start(notes, request).await.expect("a job");
    ended(notes, &id).await
}

fn signal() -> Operation {
    Operation::SignalOperation(BatchOperationSignal {
        signal: "add".to_owned(),
        input: payloads(&json!({ "n": 1 })),
        identity: TESTER.to_owned(),
        ..Default::default()
    })
}

fn cancel() -> Operation {
    Operation::CancellationOperation(BatchOperationCancellation {
        identity: TESTER.to_owned(),
    })
}

fn terminate() -> Operation {
    Operation::TerminationOperation(BatchOperationTermination {
        identity: TESTER.to_owned(),
        details: None,
    })
}

fn reset(options: ResetOptions) -> Operation {
    Operation::ResetOperation(BatchOperationReset {
        identity: TESTER.to_owned(),
        options: Some(options),
        ..Default::default()
    })
}

fn update(stage: &Stage, build: &str) -> Operation {
    Operation::UpdateWorkflowOptionsOperation(BatchOperationUpdateWorkflowExecutionOptions {
        identity: TESTER.to_owned(),
        workflow_execution_options: Some(WorkflowExecutionOptions {
            versioning_override: Some(stage.pinned(build)),
            ..Default::default()
        }),
        update_mask: Some(FieldMask {
            paths: vec!["versioning_override".to_owned()],
        }),
    })
}

/// Two that run and one that is closed, when Visibility shows them; gives the query that finds them.
async fn three(notes: &Notes) -> String {
    for name in ["a", "b", "c"] {
        notes.started("Order", name).await;
    }
    notes.terminate(&notes.id("c"), "over").await;
    notes
        .listed(
            "WorkflowType = 'Order' AND ExecutionStatus = 'Terminated'",
            1,
        )
        .await;
    notes
        .listed(
            "WorkflowType = 'Order' AND TemporalUsedWorkerDeploymentVersions IS NOT NULL",
            3,
        )
        .await;
    "WorkflowType = 'Order'".to_owned()
}

#[test]
fn refused() {
    check("batch_refused", alone(), async |notes| {
        let whole = job(notes, "j", "WorkflowType = 'Order'", signal());
        let executions: Vec<_> = execution("a", "").into_iter().collect();
        let cases = [
            (
                "no reason",
                StartBatchOperationRequest {
                    reason: String::new(),
                    ..whole.clone()
                },
            ),
            (
                "no operation",
                StartBatchOperationRequest {
                    operation: None,
                    ..whole.clone()
                },
            ),
            (
                "no target",
                StartBatchOperationRequest {
                    visibility_query: String::new(),
                    ..whole.clone()
                },
            ),
            (
                "no job id",
                StartBatchOperationRequest {
                    job_id: String::new(),
                    ..whole.clone()
                },
            ),
            (
                "both targets",
                StartBatchOperationRequest {
                    executions,
                    ..whole.clone()
                },
            ),
            (
                "no signal name",
                job(
                    notes,
                    "j",
                    "WorkflowType = 'Order'",
                    Operation::SignalOperation(Default::default()),
                ),
            ),
            (
                "no reset options",
                job(
                    notes,
                    "j",
                    "WorkflowType = 'Order'",
                    Operation::ResetOperation(Default::default()),
                ),
            ),
            (
                "a broken query",
                job(notes, "j", "WorkflowType = ", signal()),
            ),
        ];
        for (label, request) in cases {
            let result: Result<StartBatchOperationResponse, _> =
                notes.call("StartBatchOperation", request).await;
            match label {
                "a broken query" => notes.refusal(label, result),
                _ => notes.outcome(label, result),
            };
        }
        let result = described(notes, "j").await;
        notes.outcome("none of them made a job", result);
        let stop = |id: &str, reason: &str| StopBatchOperationRequest {
            namespace: notes.namespace.clone(),
            job_id: id.to_owned(),
            reason: reason.to_owned(),
            ..Default::default()
        };
        for (label, request) in [
            ("stop an unknown job", stop("nojob", "r")),
            ("stop without a reason", stop("nojob", "")),
            ("stop no job", stop("", "r")),
        ] {
            let result: Result<StopBatchOperationResponse, _> =
                notes.call("StopBatchOperation", request).await;
            notes.outcome(label, result);
        }
        let temporal = notes.temporal().await;
        let result = temporal.batch("nojob").await;
        let found = notes.told("the tool: an unknown job", result);
        notes.note("it is none", found.is_some_and(|it| it.is_none()));
        let result = temporal.stop_batch("nojob", "r").await;
        notes.told("the tool: stop an unknown job", result);
    });
}

#[test]
fn signals() {
    check("batch_signals", alone(), async |notes| {
        let query = three(notes).await;
        let request = job(notes, "j1", &query, signal());
        let it = run(notes, request).await;
        notes.note(
            "described",
            format!(
                "{:?} by {}, `{}`, {}",
                it.operation_type(),
                it.identity,
                it.reason,
                it.query
            ),
        );
        notes.note(
            "times",
            format!("{} {}", it.start_time.is_some(), it.close_time.is_some()),
        );
        let id = notes.id("a");
        let events = notes
            .events_with(&id, EventType::WorkflowExecutionSignaled, 1)
            .await;
        let signaled = events
            .iter()
            .find(|it| it.event_type() == EventType::WorkflowExecutionSignaled)
            .unwrap();
        let Some(Attributes::WorkflowExecutionSignaledEventAttributes(it)) = &signaled.attributes
        else {
            panic!()
        };
        notes.note(
            "the Signal",
            format!(
                "{} by {}, request id `{}`",
                it.signal_name,
                it.identity,
                it.request_id.is_empty()
            ),
        );
        let again = job(notes, "j1", &query, signal());
        let result = start(notes, again).await;
        notes.outcome("the same job id", result);
        let stop = StopBatchOperationRequest {
            namespace: notes.namespace.clone(),
            job_id: notes.id("j1"),
            reason: "r".to_owned(),
            ..Default::default()
        };
        let result: Result<StopBatchOperationResponse, _> =
            notes.call("StopBatchOperation", stop).await;
        notes.outcome("stop it when it has ended", result);
        let list = ListBatchOperationsRequest {
            namespace: notes.namespace.clone(),
            ..Default::default()
        };
        let listed = notes
            .until("the job in the list", async || {
                let reply: ListBatchOperationsResponse = notes
                    .call("ListBatchOperations", list.clone())
                    .await
                    .expect("a list");
                let info = reply.operation_info.into_iter().next()?;
                (info.state() == State::Completed).then_some(info)
            })
            .await;
        notes.note(
            "listed",
            format!(
                "{} {:?} {:?}",
                listed.job_id,
                listed.state(),
                listed.operation_type()
            ),
        );
        let request = job(notes, "none", "WorkflowType = 'Nobody'", signal());
        run(notes, request).await;
        let request = job(notes, "unknown", "Nope = 'x'", signal());
        run(notes, request).await;
    });
}

#[test]
fn terminations_and_cancellations() {
    check("batch_ends", alone(), async |notes| {
        let query = three(notes).await;
        let request = job(notes, "cancel", &query, cancel());
        run(notes, request).await;
        let id = notes.id("a");
        notes.closed(&id, "").await;
        let events = notes.history(&id, "").await;
        let asked = events
            .iter()
            .find(|it| it.event_type() == EventType::WorkflowExecutionCancelRequested)
            .unwrap();
        let Some(Attributes::WorkflowExecutionCancelRequestedEventAttributes(it)) =
            &asked.attributes
        else {
            panic!()
        };
        notes.note(
            "the request",
            format!("`{}` by its caller {}", it.cause, it.identity == TESTER),
        );
        let (d, _) = notes.started("Order", "d").await;
        notes
            .listed("WorkflowType = 'Order' AND ExecutionStatus = 'Running'", 1)
            .await;
        let request = job(notes, "terminate", &query, terminate());
        run(notes, request).await;
        notes.closed(&d, "").await;
        let events = notes.history(&d, "").await;
        let Some(Attributes::WorkflowExecutionTerminatedEventAttributes(it)) =
            &events.last().unwrap().attributes
        else {
            panic!()
        };
        notes.note(
            "the end",
            format!("`{}` by its caller {}", it.reason, it.identity == TESTER),
        );
    });
}

#[test]
fn resets() {
    check("batch_resets", alone(), async |notes| {
        let query = three(notes).await;
        let first = ResetOptions {
            target: Some(Target::FirstWorkflowTask(())),
            ..Default::default()
        };
        let request = job(notes, "first", &query, reset(first.clone()));
        run(notes, request).await;
        for name in ["a", "b", "c"] {
            let id = notes.id(name);
            notes.settled(&id).await;
            notes.look(name, &id, "").await;
        }
        let id = notes.id("a");
        let events = notes.history(&id, "").await;
        notes.events("events of a", &events);
        let mark = events.iter().find_map(|it| match &it.attributes {
            Some(Attributes::WorkflowTaskFailedEventAttributes(it)) => it.failure.clone(),
            _ => None,
        });
        notes.note("the reason", mark.unwrap().message);
        notes.listed(&query, 6).await;
        notes
            .listed(&format!("{query} AND ExecutionStatus = 'Terminated'"), 3)
            .await;
        let request = job(
            notes,
            "again",
            &format!("{query} AND ExecutionStatus = 'Terminated'"),
            reset(first.clone()),
        );
        run(notes, request).await;
        notes.listed(&query, 9).await;
        let current = ResetOptions {
            current_run_only: true,
            ..first
        };
        let request = job(
            notes,
            "current",
            &format!("{query} AND ExecutionStatus = 'Terminated'"),
            reset(current),
        );
        run(notes, request).await;
        let runs = notes.listed(&query, 15).await;
        notes.note("runs then", runs.len());
    });
}

#[test]
fn reset_points() {
    check("batch_reset_points", alone(), async |notes| {
        for name in ["a", "b", "c", "d", "e"] {
            let (id, _) = notes.started("Order", name).await;
            notes.signal(&id, "add").await;
            notes
                .events_with(&id, EventType::WorkflowTaskCompleted, 2)
                .await;
        }
        let cases = [
            ("last", "a", Target::LastWorkflowTask(())),
            ("event 4", "b", Target::WorkflowTaskId(4)),
            ("event 2", "c", Target::WorkflowTaskId(2)),
            ("build", "d", Target::BuildId("v2".to_owned())),
            ("unused build", "e", Target::BuildId("v3".to_owned())),
        ];
        for (label, name, target) in cases {
            let options = ResetOptions {
                target: Some(target),
                ..Default::default()
            };
            let id = notes.id(name);
            let request = StartBatchOperationRequest {
                executions: execution(&id, "").into_iter().collect(),
                ..job(notes, &label.replace(' ', "-"), "", reset(options))
            };
            run(notes, request).await;
            notes.settled(&id).await;
            let events = notes.history(&id, "").await;
            notes.events(&format!("{label}: events"), &events);
        }
        let id = notes.id("a");
        let update = post_reset_operation::UpdateWorkflowOptions {
            workflow_execution_options: Some(WorkflowExecutionOptions {
                versioning_override: Some(notes.pinned("v3")),
                ..Default::default()
            }),
            update_mask: Some(FieldMask {
                paths: vec!["versioning_override".to_owned()],
            }),
        };
        let operation = Operation::ResetOperation(BatchOperationReset {
            identity: TESTER.to_owned(),
            options: Some(ResetOptions {
                target: Some(Target::FirstWorkflowTask(())),
                reset_reapply_exclude_types: vec![1],
                ..Default::default()
            }),
            post_reset_operations: vec![PostResetOperation {
                variant: Some(post_reset_operation::Variant::UpdateWorkflowOptions(update)),
            }],
            ..Default::default()
        });
        let request = StartBatchOperationRequest {
            executions: execution(&id, "").into_iter().collect(),
            ..job(notes, "move", "", operation)
        };
        run(notes, request).await;
        notes.settled(&id).await;
        notes.look("moved", &id, "").await;
        let events = notes.history(&id, "").await;
        notes.events("without the Signal", &events);
    });
}

#[test]
fn by_name() {
    check("batch_executions", alone(), async |notes| {
        three(notes).await;
        let [a, c] = ["a", "c"].map(|name| notes.id(name));
        let targets = [
            execution(&a, ""),
            execution(&c, ""),
            execution("nowhere", ""),
            execution(&a, "11111111-1111-4111-8111-111111111111"),
        ];
        let first = ResetOptions {
            target: Some(Target::FirstWorkflowTask(())),
            ..Default::default()
        };
        let operations = [
            ("signal", signal()),
            ("update", update(notes, "v3")),
            ("unknown", update(notes, "v9")),
            ("cancel", cancel()),
            ("terminate", terminate()),
            ("reset", reset(first)),
        ];
        for (name, operation) in operations {
            let request = StartBatchOperationRequest {
                executions: targets.iter().flatten().cloned().collect(),
                ..job(notes, name, "", operation)
            };
            run(notes, request).await;
            if name == "update" {
                notes.look("a is moved", &a, "").await;
            }
            if name == "cancel" {
                notes.closed(&a, "").await;
            }
        }
        let it = described(notes, "reset").await.unwrap();
        notes.note(
            "described",
            format!("{} executions, query `{}`", it.executions.len(), it.query),
        );
    });
}

#[test]
fn one_at_a_time() {
    check("batch_slots", alone(), async |notes| {
        // A job that finds nothing runs for some seconds.
        let nothing = "WorkflowType = 'Nobody'";
        let request = job(notes, "j1", nothing, signal());
        start(notes, request.clone()).await.unwrap();
        let again: Result<StartBatchOperationResponse, Status> =
            notes.call("StartBatchOperation", request.clone()).await;
        notes.note("the same id at once is refused", again.is_err());
        let busy = notes
            .until("the slot to be taken", async || {
                let result: Result<StartBatchOperationResponse, Status> =
                    notes.call("StartBatchOperation", request.clone()).await;
                result
                    .err()
                    .filter(|status| status.code() == Code::ResourceExhausted)
            })
            .await;
        notes.note("busy", busy.message());
        let temporal = notes.temporal().await;
        let call = runbook::temporal::BatchCall {
            job_id: notes.id("j3"),
            reason: "INC-1".to_owned(),
            identity: TESTER.to_owned(),
            rate: 10.0,
            scope: runbook::temporal::BatchScope::Query(nothing.to_owned()),
            operation: runbook::temporal::BatchOperation::Cancel,
        };
        let result = temporal.start_batch(&call).await;
        notes.told("the tool: busy", result);
        let stop = StopBatchOperationRequest {
            namespace: notes.namespace.clone(),
            job_id: notes.id("j1"),
            reason: "enough".to_owned(),
            identity: TESTER.to_owned(),
        };
        let result: Result<StopBatchOperationResponse, _> =
            notes.call("StopBatchOperation", stop).await;
        notes.outcome("stopped", result);
        ended(notes, "j1").await;
        let result = start(notes, job(notes, "j1", nothing, signal())).await;
        notes.outcome("the same id later", result);
        let result = temporal
            .start_batch(&runbook::temporal::BatchCall {
                job_id: notes.id("j1"),
                ..call
            })
            .await;
        notes.told("the tool: the same id", result);
    });
}

//! Signals, cancellation, termination and Queries.

use serde_json::json;
use temporalio_protos::temporal::api::enums::v1::{EventType, QueryRejectCondition as Reject};
use temporalio_protos::temporal::api::query::v1::WorkflowQuery;
use temporalio_protos::temporal::api::workflowservice::v1::*;
use tonic::Status;

use super::backend::{Plot, TESTER, execution};
use super::transcript::{Notes, check};

const NO_RUN: &str = "11111111-1111-4111-8111-111111111111";

#[test]
fn signals() {
    let plot = Plot {
        types: json!({ "Order": { "on_signal": { "finish": "completed" } } }),
        ..Plot::default()
    };
    check("signals", plot, async |notes| {
        let (id, run) = notes.started("Order", "o").await;
        let one = json!({ "n": 1 });
        let result = notes.send(&id, "", "add", &one, "s-1").await;
        notes.outcome("sent", result);
        let result = notes.send(&id, &run, "add", &one, "s-1").await;
        notes.outcome("the same request id", result);
        notes
            .events_with(&id, EventType::WorkflowExecutionSignaled, 1)
            .await;
        let result = notes
            .send(&id, "", "other", &json!({ "n": 2 }), "s-1")
            .await;
        notes.outcome("the same request id, another Signal", result);
        notes.settled(&id).await;
        let events = notes.history(&id, "").await;
        notes.events("once", &events);
        notes.shows("the event", &events[4].attributes);
        for label in ["without a request id", "without one again"] {
            let result = notes.send(&id, "", "add", &one, "").await;
            notes.outcome(label, result);
            notes.settled(&id).await;
        }
        let types = notes.types(&id, "").await;
        notes.note(
            "Signals",
            types
                .iter()
                .filter(|it| **it == EventType::WorkflowExecutionSignaled)
                .count(),
        );
        let result = notes.send(&id, "", "", &one, "s-2").await;
        notes.outcome("no name", result);
        let result = notes.send("nowhere", "", "add", &one, "s-2").await;
        notes.outcome("unknown Workflow", result);
        let result = notes.send("", "", "add", &one, "s-2").await;
        notes.outcome("no Workflow", result);
        let result = notes.send(&id, NO_RUN, "add", &one, "s-2").await;
        notes.outcome("unknown run", result);
        let result = notes.send(&id, "nonsense", "add", &one, "s-2").await;
        notes.outcome("no run id", result);
        notes.send(&id, "", "finish", &one, "s-3").await.unwrap();
        notes.closed(&id, "").await;
        let result = notes.send(&id, "", "finish", &one, "s-3").await;
        notes.outcome("closed, the same request id", result);
        let result = notes.send(&id, &run, "finish", &one, "s-4").await;
        notes.outcome("closed", result);
    });
}

#[test]
fn a_reset_forgets_request_ids() {
    check("signals_after_reset", Plot::default(), async |notes| {
        let (id, base) = notes.started("Order", "o").await;
        notes
            .send(&id, "", "add", &json!({ "n": 1 }), "s-1")
            .await
            .unwrap();
        notes
            .events_with(&id, EventType::WorkflowTaskCompleted, 2)
            .await;
        let request = ResetWorkflowExecutionRequest {
            namespace: notes.namespace.clone(),
            workflow_execution: execution(&id, &base),
            reason: "INC-1".to_owned(),
            workflow_task_finish_event_id: 4,
            request_id: "r".to_owned(),
            identity: TESTER.to_owned(),
            ..Default::default()
        };
        let _: ResetWorkflowExecutionResponse =
            notes.call("ResetWorkflowExecution", request).await.unwrap();
        notes.settled(&id).await;
        let before = notes.history(&id, "").await;
        notes.events("applied again", &before);
        notes.shows("the event", &before[4].attributes);
        let result = notes.send(&id, "", "add", &json!({ "n": 1 }), "s-1").await;
        notes.outcome("the same request id", result);
        notes.settled(&id).await;
        let after = notes.types(&id, "").await;
        notes.note(
            "Signals",
            after
                .iter()
                .filter(|it| **it == EventType::WorkflowExecutionSignaled)
                .count(),
        );
        let result = notes
            .send(&id, &base, "add", &json!({ "n": 1 }), "s-1")
            .await;
        notes.outcome("to the base, the same request id", result);
    });
}

fn cancelling(
    notes: &Notes,
    id: &str,
    run: &str,
    request_id: &str,
) -> RequestCancelWorkflowExecutionRequest {
    RequestCancelWorkflowExecutionRequest {
        namespace: notes.namespace.clone(),
        workflow_execution: execution(id, run),
        identity: TESTER.to_owned(),
        request_id: request_id.to_owned(),
        reason: "INC-1".to_owned(),
        ..Default::default()
    }
}

async fn cancel(
    notes: &Notes,
    request: RequestCancelWorkflowExecutionRequest,
) -> Result<(), Status> {
    let _: RequestCancelWorkflowExecutionResponse = notes
        .call("RequestCancelWorkflowExecution", request)
        .await?;
    Ok(())
}

#[test]
fn cancellation() {
    let plot = Plot {
        versions: json!({ "v2": {}, "v3": {} }),
        types: json!({
            "Obeys": {}, "Completes": { "on_cancel": "completed" }, "Fails": { "on_cancel": "failed" },
            "Ignores": { "on_cancel": "ignored" },
        }),
        ..Plot::default()
    };
    check("cancellation", plot, async |notes| {
        for kind in ["Obeys", "Completes", "Fails"] {
            let (id, run) = notes.started(kind, kind).await;
            let request = cancelling(notes, &id, &run, "c-1");
            let result = cancel(notes, request).await;
            notes.outcome(&format!("{kind}: requested"), result);
            notes.closed(&id, "").await;
            notes.look(&format!("{kind}: end"), &id, "").await;
            let events = notes.history(&id, "").await;
            notes.events(&format!("{kind}: events"), &events);
            let request = cancelling(notes, &id, "", "c-2");
            let result = cancel(notes, request).await;
            notes.outcome(&format!("{kind}: closed"), result);
        }
        let (id, run) = notes.started("Ignores", "Ignores").await;
        for (label, request_id) in [
            ("requested", "c-1"),
            ("again", "c-1"),
            ("another request id", "c-2"),
            ("none", ""),
        ] {
            let request = cancelling(notes, &id, &run, request_id);
            let result = cancel(notes, request).await;
            notes.outcome(&format!("Ignores: {label}"), result);
        }
        notes.settled(&id).await;
        notes.look("Ignores: goes on", &id, "").await;
        let events = notes.history(&id, "").await;
        notes.events("Ignores: events", &events);
        notes.shows("the event", &events[4].attributes);
        let reset = ResetWorkflowExecutionRequest {
            namespace: notes.namespace.clone(),
            workflow_execution: execution(&id, &run),
            workflow_task_finish_event_id: 4,
            request_id: "r".to_owned(),
            reason: "INC-1".to_owned(),
            ..Default::default()
        };
        let _: ResetWorkflowExecutionResponse =
            notes.call("ResetWorkflowExecution", reset).await.unwrap();
        notes.settled(&id).await;
        notes.look("reset to before it", &id, "").await;
        let events = notes.history(&id, "").await;
        notes.events("its events", &events);
        let cases = [
            ("unknown Workflow", cancelling(notes, "nowhere", "", "c")),
            ("unknown run", cancelling(notes, &id, NO_RUN, "c")),
            ("no run id", cancelling(notes, &id, "nonsense", "c")),
            ("no Workflow", cancelling(notes, "", "", "c")),
            (
                "another first run",
                RequestCancelWorkflowExecutionRequest {
                    first_execution_run_id: NO_RUN.to_owned(),
                    ..cancelling(notes, &id, "", "c")
                },
            ),
        ];
        for (label, request) in cases {
            let result = cancel(notes, request).await;
            notes.outcome(label, result);
        }
    });
}

#[test]
fn termination() {
    check("termination", Plot::default(), async |notes| {
        let (id, run) = notes.started("Order", "o").await;
        let request = TerminateWorkflowExecutionRequest {
            namespace: notes.namespace.clone(),
            workflow_execution: execution(&id, ""),
            reason: "INC-1".to_owned(),
            identity: TESTER.to_owned(),
            ..Default::default()
        };
        let naming = |workflow: &str, run: &str, first: &str| TerminateWorkflowExecutionRequest {
            workflow_execution: execution(workflow, run),
            first_execution_run_id: first.to_owned(),
            ..request.clone()
        };
        let cases = [
            ("another first run", naming(&id, "", NO_RUN)),
            ("unknown Workflow", naming("nowhere", "", "")),
            ("unknown run", naming(&id, NO_RUN, "")),
            ("no run id", naming(&id, "nonsense", "")),
            ("no Workflow", naming("", "", "")),
            ("right first run", naming(&id, &run, &run)),
            ("closed", naming(&id, "", "")),
            ("closed, by run", naming(&id, &run, "")),
            ("closed, another first run", naming(&id, "", NO_RUN)),
        ];
        for (label, request) in cases {
            let result: Result<TerminateWorkflowExecutionResponse, _> =
                notes.call("TerminateWorkflowExecution", request).await;
            notes.outcome(label, result);
        }
        notes.look("the end", &id, "").await;
        let events = notes.history(&id, "").await;
        notes.events("events", &events);
        notes.shows("the event", &events.last().unwrap().attributes);
        let temporal = notes.temporal().await;
        let key = |workflow: &str, run: &str| runbook::survey::WorkflowKey {
            workflow_id: workflow.to_owned(),
            run_id: run.to_owned(),
        };
        let result = temporal.terminate(&key(&id, &run), "INC-1", None).await;
        notes.told("the tool: closed", result);
        let result = temporal.terminate(&key("nowhere", ""), "INC-1", None).await;
        notes.told("the tool: unknown", result);
        let result = temporal.update_options(&key(&id, &run), None).await;
        notes.told("the tool: options of a closed one", result);
    });
}

async fn ask(
    notes: &Notes,
    id: &str,
    run: &str,
    name: &str,
    reject: Reject,
) -> Result<QueryWorkflowResponse, Status> {
    let request = QueryWorkflowRequest {
        namespace: notes.namespace.clone(),
        execution: execution(id, run),
        query: Some(WorkflowQuery {
            query_type: name.to_owned(),
            ..Default::default()
        }),
        query_reject_condition: reject as i32,
    };
    notes.call("QueryWorkflow", request).await
}

#[test]
fn queries() {
    let plot = Plot {
        types: json!({ "Order": {
            "on_signal": { "finish": "completed" },
            "queries": { "sum": { "adds": { "add": "n" } }, "broken": { "fails": "no stock" } },
        } }),
        ..Plot::default()
    };
    check("queries", plot, async |notes| {
        let (id, run) = notes.started("Order", "o").await;
        notes
            .send(&id, "", "add", &json!({ "n": 5 }), "s-1")
            .await
            .unwrap();
        notes
            .events_with(&id, EventType::WorkflowTaskCompleted, 2)
            .await;
        let asked =
            async |notes: &mut Notes, label: &str, id: &str, run: &str, name: &str, reject| {
                let result = ask(notes, id, run, name, reject).await;
                if let Some(reply) = notes.outcome(label, result) {
                    let answer = reply
                        .query_result
                        .map(|it| String::from_utf8_lossy(&it.payloads[0].data).into_owned());
                    let rejected = reply.query_rejected.map(|it| it.status());
                    notes.note(
                        &format!("{label}, answer"),
                        format!("{answer:?} {rejected:?}"),
                    );
                }
            };
        asked(notes, "answered", &id, &run, "sum", Reject::None).await;
        asked(notes, "NotOpen while open", &id, "", "sum", Reject::NotOpen).await;
        asked(notes, "failing", &id, "", "broken", Reject::None).await;
        asked(notes, "no name", &id, "", "", Reject::None).await;
        asked(
            notes,
            "unknown Workflow",
            "nowhere",
            "",
            "sum",
            Reject::None,
        )
        .await;
        asked(notes, "unknown run", &id, NO_RUN, "sum", Reject::None).await;
        let types = notes.types(&id, "").await;
        notes.shows("no events", types);
        notes
            .send(&id, "", "finish", &json!({ "n": 1 }), "s-2")
            .await
            .unwrap();
        notes.closed(&id, "").await;
        asked(notes, "closed", &id, "", "sum", Reject::None).await;
        asked(notes, "closed, NotOpen", &id, "", "sum", Reject::NotOpen).await;
        asked(
            notes,
            "completed, NotCompletedCleanly",
            &id,
            "",
            "sum",
            Reject::NotCompletedCleanly,
        )
        .await;
        let (id, _) = notes.started("Order", "t").await;
        notes.terminate(&id, "over").await;
        asked(
            notes,
            "terminated, NotCompletedCleanly",
            &id,
            "",
            "sum",
            Reject::NotCompletedCleanly,
        )
        .await;
        asked(notes, "terminated", &id, "", "sum", Reject::None).await;
    });
}

#[test]
fn the_tools_own_calls() {
    use runbook::survey::WorkflowKey;
    use runbook::temporal::SignalCall;
    check("interrupts_tool", Plot::default(), async |notes| {
        let (id, run) = notes.started("Order", "o").await;
        let temporal = notes.temporal().await;
        let key = WorkflowKey {
            workflow_id: id.clone(),
            run_id: run.clone(),
        };
        let call = |key: &WorkflowKey| SignalCall {
            key: key.clone(),
            name: "add".to_owned(),
            input: vec![json!({ "n": 1 })],
            headers: [("trace".to_owned(), json!("t"))].into(),
            request_id: "s-1".to_owned(),
        };
        let unknown = WorkflowKey {
            workflow_id: "nowhere".to_owned(),
            run_id: NO_RUN.to_owned(),
        };
        let other = WorkflowKey {
            workflow_id: id.clone(),
            run_id: NO_RUN.to_owned(),
        };
        for (label, key) in [
            ("sent", &key),
            ("again", &key),
            ("unknown", &unknown),
            ("unknown run", &other),
        ] {
            let result = temporal.signal(&call(key)).await;
            notes.told(label, result);
        }
        notes.settled(&id).await;
        let types = notes.types(&id, "").await;
        notes.shows("events", types);
        let result = temporal.signalled(&key, "s-1", 0).await;
        let found = notes.told("settled by the history", result);
        notes.shows("found", found);
        let result = temporal.cancel(&key, "INC-1", "c-1").await;
        notes.told("cancelled", result);
        notes.closed(&id, "").await;
        let result = temporal.cancel_reason(&key, 0).await;
        let found = notes.told("the reason", result);
        notes.shows("reason", found);
        let result = temporal.signal(&call(&key)).await;
        notes.told("closed", result);
        let result = temporal.cancel(&unknown, "INC-1", "c-1").await;
        notes.told("cancel unknown", result);
    });
}

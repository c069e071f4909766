//! Signals, cancellation and Queries, as measured on server 1.32 with the Python SDK.

use serde_json::json;
use temporalio_protos::temporal::api::enums::v1::{
    EventType, QueryRejectCondition, ResetReapplyExcludeType, WorkflowExecutionStatus,
};
use temporalio_protos::temporal::api::history::v1::history_event::Attributes;
use temporalio_protos::temporal::api::workflowservice::v1::{
    TerminateWorkflowExecutionRequest, TerminateWorkflowExecutionResponse,
};
use tonic::Code;

use super::scenes::*;

/// Five Signals brought 500 points, one took them away.
fn loyalty() -> serde_json::Value {
    json!([{
        "type": "LoyaltyProgram", "id": "123", "version": "v3",
        "queries": {
            "points": { "adds": { "add_points": "points" }, "subtracts": { "spend": "points" } },
            "signals": { "counts": ["add_points", "spend"] },
            "last": { "starts": null, "sets": { "add_points": "" } },
            "broken": { "fails": "query went wrong" },
        },
        "history": [
            { "signal": "add_points", "input": { "points": 100 }, "times": 5 },
            { "signal": "spend", "input": { "points": 500 }, "identity": "aaron", "ago": "10m" },
        ],
    }])
}

fn completed_before(events: &[EventType], signal: usize) -> i64 {
    let position = events
        .iter()
        .enumerate()
        .filter(|(_, kind)| **kind == EventType::WorkflowExecutionSignaled)
        .nth(signal)
        .expect("the Signal")
        .0;
    let before = events[..position]
        .iter()
        .rposition(|kind| *kind == EventType::WorkflowTaskCompleted);
    i64::try_from(before.unwrap() + 1).unwrap()
}

#[tokio::test(start_paused = true)]
async fn points_come_back_where_the_bad_signal_is_left_out() {
    let scene = scene(loyalty());
    assert_eq!(scene.answer("123", "points").await, json!(0));
    let base = scene.run_of("123").await;
    let point = completed_before(&scene.types("123", "").await, 5);
    let mut request = reset_to("123", &base, point, "r1");
    scene.reset(request.clone()).await.unwrap();
    scene.seconds(1).await;
    assert_eq!(
        scene.answer("123", "points").await,
        json!(0),
        "applied again"
    );
    request.request_id = "r2".to_owned();
    request.reset_reapply_exclude_types = vec![ResetReapplyExcludeType::Signal as i32];
    scene.reset(request).await.unwrap();
    scene.seconds(1).await;
    assert_eq!(scene.answer("123", "points").await, json!(500));
    let facts = scene.facts().workflows["123"].clone();
    assert_eq!(facts.signals_by_name["add_points"], 5);
    assert!(!facts.signals_by_name.contains_key("spend"));
    assert_eq!(facts.queries["points"], json!(500));
}

#[tokio::test(start_paused = true)]
async fn queries_fold_what_was_received() {
    let scene = scene(loyalty());
    assert_eq!(scene.answer("123", "signals").await, json!(6));
    assert_eq!(scene.answer("123", "last").await, json!({ "points": 100 }));
    scene
        .send("123", "add_points", json!({ "points": 1.5 }), "s1")
        .await
        .unwrap();
    scene
        .send("123", "unknown", json!(null), "s2")
        .await
        .unwrap();
    assert_eq!(scene.answer("123", "points").await, json!(1.5));
    assert_eq!(scene.answer("123", "signals").await, json!(7));
}

#[tokio::test(start_paused = true)]
async fn queries_that_fail() {
    let scene = scene(loyalty());
    let refused =
        async |id: &str, run: &str, query: &str| refusal(scene.ask(id, run, query, 0).await);
    assert_eq!(
        refused("123", "", "nope").await,
        (
            Code::InvalidArgument,
            "Query handler for 'nope' expected but not found, known queries: [__enhanced_stack_trace __stack_trace \
             __temporal_workflow_metadata broken last points signals]"
                .to_owned()
        )
    );
    let broken = scene.ask("123", "", "broken", 0).await.unwrap_err();
    assert_eq!(
        (broken.code(), broken.message()),
        (Code::InvalidArgument, "query went wrong")
    );
    assert!(
        String::from_utf8_lossy(broken.details()).contains("QueryFailedFailure"),
        "the detail tells a Worker's refusal from the service's"
    );
    assert_eq!(
        refused("123", "", "").await,
        (
            Code::InvalidArgument,
            "QueryType is not set on request.".to_owned()
        )
    );
    assert_eq!(
        refused("nowhere", "", "points").await,
        (
            Code::NotFound,
            "workflow not found for ID: nowhere".to_owned()
        )
    );
    assert_eq!(
        refused("123", "x", "points").await,
        (Code::InvalidArgument, "Invalid RunId.".to_owned())
    );
}

#[tokio::test(start_paused = true)]
async fn queries_that_nobody_can_answer() {
    let scene = scene(json!([
        { "type": "Order", "id": "stuck", "version": "v2", "task": "failing" },
        { "type": "Order", "id": "alone", "version": "v4" },
        { "type": "Order", "id": "new", "version": "v4", "tasks": 0, "task": "unpolled" },
        { "type": "Order", "id": "cron", "version": "v3", "cron": "0 0 * * *", "waits": "3h" },
    ]));
    let refused = async |id: &str| refusal(scene.ask(id, "", "points", 0).await);
    let failed = |text: &str| (Code::FailedPrecondition, text.to_owned());
    assert_eq!(
        refused("stuck").await,
        failed("Unable to query workflow due to Workflow Task in failed state.")
    );
    assert_eq!(
        refused("cron").await,
        failed("Workflow task is not scheduled yet.")
    );
    for id in ["alone", "new"] {
        let begin = tokio::time::Instant::now();
        assert_eq!(
            refused(id).await,
            (
                Code::DeadlineExceeded,
                "query timed out before a worker could process it".to_owned()
            )
        );
        assert!(
            begin.elapsed().as_secs() >= 30,
            "the service keeps it for 30 s"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn closed_runs_answer_queries_unless_the_caller_minds() {
    let mut group = loyalty();
    group[0]["status"] = json!("terminated");
    let scene = scene(group);
    assert_eq!(scene.answer("123", "points").await, json!(0));
    for (condition, rejected) in [
        (QueryRejectCondition::None, false),
        (QueryRejectCondition::NotOpen, true),
        (QueryRejectCondition::NotCompletedCleanly, true),
    ] {
        let reply = scene
            .ask("123", "", "points", condition as i32)
            .await
            .unwrap();
        assert_eq!(reply.query_rejected.is_some(), rejected, "{condition:?}");
        assert_eq!(reply.query_result.is_some(), !rejected, "{condition:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_signal_is_taken_once_by_a_run() {
    let scene = scene(loyalty());
    let received = || scene.facts().workflows["123"].signals;
    scene
        .send("123", "add_points", json!({ "points": 7 }), "X")
        .await
        .unwrap();
    scene
        .send("123", "add_points", json!({ "points": 7 }), "X")
        .await
        .expect("OK, and nothing");
    assert_eq!(received(), 7);
    scene.seconds(1).await;
    let base = scene.run_of("123").await;
    scene.reset(reset_to("123", &base, 4, "r")).await.unwrap();
    scene.seconds(1).await;
    assert_eq!(received(), 7, "applied again");
    scene
        .send("123", "add_points", json!({ "points": 7 }), "X")
        .await
        .unwrap();
    assert_eq!(received(), 8, "the new run knows no request ids");
    let events = scene.history("123", "").await;
    let Some(Attributes::WorkflowExecutionSignaledEventAttributes(last)) = events
        .iter()
        .rev()
        .find(|it| it.event_type() == EventType::WorkflowExecutionSignaled)
        .and_then(|it| it.attributes.clone())
    else {
        panic!("no Signal");
    };
    assert_eq!(
        (
            last.signal_name.as_str(),
            last.request_id.as_str(),
            last.identity.as_str()
        ),
        ("add_points", "X", "tester")
    );
}

#[tokio::test(start_paused = true)]
async fn a_signal_may_close_a_workflow() {
    let scene = scene(json!([{
        "type": "Order", "id": "o", "version": "v3", "on_signal": { "finish": "completed" },
    }]));
    scene.send("o", "other", json!(1), "a").await.unwrap();
    scene.seconds(1).await;
    assert_eq!(scene.facts().workflows["o"].status.name(), "Running");
    scene.send("o", "finish", json!(1), "b").await.unwrap();
    scene.seconds(1).await;
    assert_eq!(scene.facts().workflows["o"].status.name(), "Completed");
    assert_eq!(
        refusal(scene.send("o", "finish", json!(1), "c").await),
        (
            Code::NotFound,
            "workflow execution already completed".to_owned()
        )
    );
}

#[tokio::test(start_paused = true)]
async fn cancellation_as_the_workflow_likes() {
    let scene = scene(json!([
        { "type": "A", "id": "now", "version": "v3" },
        { "type": "B", "id": "later", "version": "v3", "cancel_takes": "5s", "on_cancel": "completed" },
        { "type": "C", "id": "never", "version": "v3", "on_cancel": "ignored" },
        { "type": "D", "id": "alone", "version": "v4" },
        { "type": "E", "id": "cron", "version": "v3", "waits": "3h" },
        { "type": "F", "id": "done", "version": "v3", "status": "completed" },
    ]));
    let status = |id: &str| scene.facts().workflows[id].status.name();
    for id in ["now", "later", "never", "alone", "cron"] {
        scene.cancel(id, "A").await.unwrap();
        scene
            .cancel(id, "B")
            .await
            .expect("OK twice, with another request id too");
        let extended = scene.describe(id, "").await.workflow_extended_info.unwrap();
        assert!(extended.cancel_requested, "{id}");
    }
    scene.cancel("done", "A").await.expect("OK though closed");
    scene.seconds(1).await;
    assert_eq!((status("now"), status("later")), ("Canceled", "Running"));
    assert_eq!((status("never"), status("alone")), ("Running", "Running"));
    assert_eq!(
        status("cron"),
        "Canceled",
        "a wait ends with a cancellation"
    );
    scene.seconds(5).await;
    assert_eq!(status("later"), "Completed");
    let requests = scene.types("never", "").await;
    let requests = requests
        .iter()
        .filter(|it| **it == EventType::WorkflowExecutionCancelRequested);
    assert_eq!(requests.count(), 1);
    let facts = scene.facts();
    assert_eq!(facts.workflows["now"].closed_by.as_deref(), Some("tester"));
    assert_eq!(facts.workflows["now"].done.cancels, 1);
    assert_eq!(facts.workflows["done"].done.cancels, 0);
    assert_eq!(
        refusal(scene.cancel("nowhere", "A").await).0,
        Code::NotFound
    );
}

#[tokio::test(start_paused = true)]
async fn a_reset_forgets_a_cancellation_request() {
    let scene =
        scene(json!([{ "type": "Order", "id": "o", "version": "v3", "on_cancel": "ignored" }]));
    scene.cancel("o", "A").await.unwrap();
    scene.seconds(1).await;
    let base = scene.run_of("o").await;
    scene.reset(reset_to("o", &base, 4, "r")).await.unwrap();
    let reply = scene.describe("o", "").await;
    assert!(!reply.workflow_extended_info.unwrap().cancel_requested);
    assert_eq!(
        reply.workflow_execution_info.unwrap().status(),
        WorkflowExecutionStatus::Running
    );
}

#[tokio::test(start_paused = true)]
async fn a_termination_names_who_and_why() {
    let scene = scene(json!([{ "type": "Order", "id": "o", "version": "v3" }]));
    let request = TerminateWorkflowExecutionRequest {
        namespace: "default".to_owned(),
        workflow_execution: execution("o", ""),
        reason: "INC-1".to_owned(),
        identity: "tester".to_owned(),
        ..Default::default()
    };
    let _: TerminateWorkflowExecutionResponse = scene
        .call("TerminateWorkflowExecution", request)
        .await
        .unwrap();
    let facts = scene.facts().workflows["o"].clone();
    assert_eq!(
        (facts.closed_by.as_deref(), facts.reason.as_deref()),
        (Some("tester"), Some("INC-1"))
    );
}

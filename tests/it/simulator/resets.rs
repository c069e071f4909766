//! ResetWorkflowExecution: facts 4, 5, 6, 8 and 15.

use serde_json::json;
use temporalio_protos::temporal::api::enums::v1::{
    EventType, ResetReapplyExcludeType, WorkflowExecutionStatus as Status,
};
use temporalio_protos::temporal::api::history::v1::history_event::Attributes;
use temporalio_protos::temporal::api::workflow::v1::{PostResetOperation, post_reset_operation};
use tonic::Code;

use super::scenes::*;

fn stuck() -> serde_json::Value {
    json!([{ "type": "Order", "id": "o", "version": "v2", "task": "failing" }])
}

#[tokio::test(start_paused = true)]
async fn a_stuck_history_ends_in_two_failures() {
    let scene = scene(stuck());
    use EventType::*;
    let durable = [
        WorkflowExecutionStarted,
        WorkflowTaskScheduled,
        WorkflowTaskStarted,
        WorkflowTaskCompleted,
        ActivityTaskScheduled,
        ActivityTaskStarted,
        ActivityTaskCompleted,
        WorkflowTaskScheduled,
        WorkflowTaskStarted,
        WorkflowTaskFailed,
        WorkflowTaskScheduled,
        WorkflowTaskStarted,
        WorkflowTaskFailed,
    ];
    let events = scene.types("o", "").await;
    assert_eq!(events[..13], durable);
    assert_eq!(
        events[13..],
        [WorkflowTaskScheduled, WorkflowTaskStarted],
        "transient"
    );
    let described = scene.describe("o", "").await;
    assert_eq!(
        described
            .workflow_execution_info
            .as_ref()
            .unwrap()
            .history_length,
        13
    );
    assert!(described.pending_workflow_task.unwrap().attempt > 5);
}

#[tokio::test(start_paused = true)]
async fn a_reset_with_move_lands_on_its_target() {
    let scene = scene(stuck());
    let base = scene.run_of("o").await;
    let new = scene
        .reset(reset_with_move("o", &base, 4, "v1"))
        .await
        .unwrap();
    let events = scene.history("o", &new).await;
    use EventType::*;
    let types: Vec<_> = events.iter().map(|event| event.event_type()).collect();
    assert_eq!(
        types,
        [
            WorkflowExecutionStarted,
            WorkflowTaskScheduled,
            WorkflowTaskStarted,
            WorkflowTaskFailed,
            WorkflowExecutionOptionsUpdated,
            WorkflowTaskScheduled
        ]
    );
    assert_eq!(
        reset_mark(&events),
        ("INC-1".to_owned(), base.clone(), new.clone())
    );

    let described = scene.describe("o", &new).await;
    let versioning = described
        .workflow_execution_info
        .as_ref()
        .unwrap()
        .versioning_info
        .clone()
        .unwrap();
    assert_eq!(
        versioning.deployment_version, None,
        "empty until the first task there"
    );
    assert_eq!(
        attribute(&described, "TemporalWorkerDeploymentVersion"),
        json!("orders:v1")
    );
    assert!(
        described
            .workflow_extended_info
            .as_ref()
            .unwrap()
            .last_reset_time
            .is_some()
    );
    assert_eq!(
        described
            .workflow_execution_info
            .as_ref()
            .unwrap()
            .first_run_id,
        base
    );

    let old = scene.describe("o", &base).await;
    assert_eq!(
        old.workflow_execution_info.as_ref().unwrap().status(),
        Status::Terminated
    );
    assert_eq!(
        old.workflow_extended_info.as_ref().unwrap().reset_run_id,
        new
    );
    let last = scene.history("o", &base).await.pop().unwrap();
    let Some(Attributes::WorkflowExecutionTerminatedEventAttributes(mark)) = last.attributes else {
        panic!("terminated last")
    };
    assert_eq!(
        (mark.reason.as_str(), mark.identity.as_str()),
        ("INC-1", "history-resetter")
    );

    scene.seconds(1).await;
    let described = scene.describe("o", "").await;
    let versioning = described
        .workflow_execution_info
        .as_ref()
        .unwrap()
        .versioning_info
        .clone()
        .unwrap();
    assert_eq!(versioning.deployment_version.unwrap().build_id, "v1");
    assert_eq!(
        attribute(&described, "BuildIds"),
        json!(["pinned:orders:v1", "unversioned:v1"])
    );
    assert_eq!(
        attribute(&described, "TemporalUsedWorkerDeploymentVersions"),
        json!(["orders:v1"])
    );
    scene.seconds(120).await;
    assert_eq!(
        scene.facts().workflows["o"].status,
        runbook::survey::Status::Completed
    );
}

#[tokio::test(start_paused = true)]
async fn the_same_request_id_makes_another_run_each_time() {
    let scene = scene(stuck());
    let base = scene.run_of("o").await;
    let mut runs = Vec::new();
    for request_id in ["a", "a", "b", "a"] {
        runs.push(
            scene
                .reset(reset_to("o", &base, 4, request_id))
                .await
                .unwrap(),
        );
        let described = scene.describe("o", &base).await;
        assert_eq!(
            &described.workflow_extended_info.unwrap().reset_run_id,
            runs.last().unwrap(),
            "the newest"
        );
    }
    runs.sort();
    runs.dedup();
    assert_eq!(runs.len(), 4);
    assert_eq!(scene.facts().workflows["o"].done.resets, 4);
    assert_eq!(scene.simulator.writes().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn the_request_id_of_the_start_resets_nothing() {
    let scene = scene(stuck());
    let base = scene.run_of("o").await;
    let described = scene.describe("o", "").await;
    let ids = described.workflow_extended_info.unwrap().request_id_infos;
    let original = ids.keys().next().unwrap().clone();
    assert_eq!(
        scene
            .reset(reset_to("o", &base, 4, &original))
            .await
            .unwrap(),
        base
    );
    assert_eq!(scene.facts().workflows["o"].done.resets, 0);
    assert_eq!(
        refusal(scene.reset(reset_to("o", &base, 4, "")).await),
        (
            Code::InvalidArgument,
            "RequestId is not set on request.".to_owned()
        )
    );
}

#[tokio::test(start_paused = true)]
async fn a_closed_base_keeps_its_status_and_an_unrelated_run_is_terminated() {
    let scene = scene(json!([
        { "type": "Order", "id": "o", "version": "v2", "status": "failed", "superseded_by": { "type": "Other" } }
    ]));
    let other = scene.run_of("o").await;
    let listed = scene
        .list(
            "WorkflowId = 'o' AND ExecutionStatus = 'Failed'",
            10,
            Vec::new(),
        )
        .await
        .unwrap();
    let base = listed.executions[0].execution.clone().unwrap().run_id;
    assert_ne!(base, other);
    let new = scene.reset(reset_to("o", &base, 4, "r")).await.unwrap();
    let described = scene.describe("o", &base).await;
    assert_eq!(
        described.workflow_execution_info.unwrap().status(),
        Status::Failed
    );
    assert_eq!(described.workflow_extended_info.unwrap().reset_run_id, new);
    let described = scene.describe("o", &other).await;
    assert_eq!(
        described.workflow_execution_info.unwrap().status(),
        Status::Terminated
    );
    assert_eq!(described.workflow_extended_info.unwrap().reset_run_id, "");
    let current = scene
        .describe("o", "")
        .await
        .workflow_execution_info
        .unwrap();
    assert_eq!(
        (
            current.execution.unwrap().run_id,
            current.r#type.unwrap().name
        ),
        (new, "Order".to_owned())
    );
}

#[tokio::test(start_paused = true)]
async fn event_ids() {
    let scene = scene(stuck());
    let base = scene.run_of("o").await;
    let out = "Workflow task finish ID must be > 1 && <= workflow last event ID.";
    for id in [0, 1, -3, 14, 15, 100] {
        let refused = refusal(scene.reset(reset_to("o", &base, id, "r")).await);
        assert_eq!(refused, (Code::InvalidArgument, out.to_owned()), "{id}");
    }
    for (id, words) in [
        (
            2,
            "StateRebuilder unable to Rebuild mutable state to event ID: 1, version: 0, this event must be at the boundary",
        ),
        (
            5,
            "StateRebuilder unable to Rebuild mutable state to event ID: 4, version: 0, this event must be at the boundary",
        ),
        (
            6,
            "Can only reset workflow to event ID in range [WorkflowTaskScheduled +1, WorkflowTaskStarted + 1]: 6",
        ),
        (
            7,
            "StateRebuilder unable to Rebuild mutable state to event ID: 6, version: 0, this event must be at the boundary",
        ),
    ] {
        let refused = refusal(scene.reset(reset_to("o", &base, id, "r")).await);
        assert_eq!(refused, (Code::InvalidArgument, words.to_owned()), "{id}");
    }
    assert_eq!(scene.facts().workflows["o"].runs, 1, "nothing was reset");
    for id in [3, 4, 9, 10, 13] {
        scene.reset(reset_to("o", &base, id, "r")).await.unwrap();
    }
    let terminated = 14;
    scene
        .reset(reset_to("o", &base, terminated, "r"))
        .await
        .unwrap();
    let refused = refusal(scene.reset(reset_to("o", "nonsense", 4, "r")).await);
    assert_eq!(
        refused,
        (Code::InvalidArgument, "Invalid RunId.".to_owned())
    );
}

#[tokio::test(start_paused = true)]
async fn a_refused_target_resets_nothing() {
    let scene = scene(stuck());
    let base = scene.run_of("o").await;
    for build in ["v9", "v5"] {
        let refused = refusal(scene.reset(reset_with_move("o", &base, 4, build)).await);
        let words = format!(
            "Pinned version 'orders:{build}' is not present in task queue 'orders-tq' of type 'Workflow'"
        );
        assert_eq!(refused, (Code::FailedPrecondition, words));
    }
    let mut signals = reset_to("o", &base, 4, "r");
    signals.post_reset_operations = vec![PostResetOperation {
        variant: Some(post_reset_operation::Variant::SignalWorkflow(
            Default::default(),
        )),
    }];
    assert_eq!(
        refusal(scene.reset(signals).await).1,
        "unsupported post reset operation: *workflow.PostResetOperation_SignalWorkflow_"
    );
    assert_eq!(scene.run_of("o").await, base);
    assert_eq!(
        scene.facts().workflows["o"].status,
        runbook::survey::Status::Running
    );
}

#[tokio::test(start_paused = true)]
async fn a_version_without_workers_is_accepted_and_hangs() {
    let scene = scene(stuck());
    let base = scene.run_of("o").await;
    scene
        .reset(reset_with_move("o", &base, 4, "v4"))
        .await
        .unwrap();
    scene.seconds(3_600).await;
    let task = scene.describe("o", "").await.pending_workflow_task.unwrap();
    assert_eq!((task.attempt, task.started_time), (1, None));
}

#[tokio::test(start_paused = true)]
async fn signals_and_updates_are_reapplied_unless_excluded() {
    let scene = scene(json!([
        { "type": "Order", "id": "o", "count": 2, "version": "v2", "task": "failing", "signals": 7, "updates": 2 }
    ]));
    for (id, excluded, signals, updates) in [
        ("o-0", vec![], 7, 2),
        (
            "o-1",
            vec![
                ResetReapplyExcludeType::Signal as i32,
                ResetReapplyExcludeType::Update as i32,
            ],
            0,
            0,
        ),
    ] {
        let mut request = reset_with_move(id, "", 4, "v3");
        request.reset_reapply_exclude_types = excluded;
        scene.reset(request).await.unwrap();
        let facts = &scene.facts().workflows[id];
        assert_eq!((facts.signals, facts.updates), (signals, updates));
    }
}

#[tokio::test(start_paused = true)]
async fn a_first_reset_without_move_goes_to_the_current_version_and_a_last_one_stays() {
    let scene = scene(
        json!([{ "type": "Order", "id": "o", "count": 2, "version": "v2", "task": "failing" }]),
    );
    scene.set_current("v1").await.unwrap();
    scene.reset(reset_to("o-0", "", 4, "r")).await.unwrap();
    scene.reset(reset_to("o-1", "", 10, "r")).await.unwrap();
    scene.seconds(1).await;
    let facts = scene.facts();
    assert_eq!(facts.workflows["o-0"].ran_on.as_deref(), Some("orders:v1"));
    assert_eq!(facts.workflows["o-1"].ran_on.as_deref(), Some("orders:v2"));
    assert!(facts.workflows["o-1"].attempt > 0);
}

#[tokio::test(start_paused = true)]
async fn overrides_survive() {
    let scene = scene(json!([
        { "type": "Order", "id": "o", "version": "v2", "task": "failing", "versioning_override": "v3" }
    ]));
    scene.reset(reset_to("o", "", 4, "r")).await.unwrap();
    assert!(
        scene
            .types("o", "")
            .await
            .contains(&EventType::WorkflowExecutionOptionsUpdated)
    );
    assert_eq!(
        scene.facts().workflows["o"].versioning_override.as_deref(),
        Some("orders:v3")
    );
}

#[tokio::test(start_paused = true)]
async fn a_parent_that_is_reset_to_before_its_running_child_fails_and_orphans_it() {
    let scene = scene(json!([
        { "type": "Parent", "id": "p", "version": "v2", "task": "failing", "children": { "type": "Child" } }
    ]));
    let described = scene.describe("p", "").await;
    assert_eq!(described.pending_children.len(), 1);
    let child = described.pending_children[0].clone();
    assert!(child.initiated_id > 4);
    scene
        .reset(reset_with_move("p", "", 4, "v1"))
        .await
        .unwrap();
    scene.seconds(1).await;
    let facts = scene.facts();
    assert_eq!(facts.workflows["p"].status, runbook::survey::Status::Failed);
    assert_eq!(
        facts.workflows[&child.workflow_id].status,
        runbook::survey::Status::Running
    );
    assert!(
        scene
            .types("p", "")
            .await
            .contains(&EventType::StartChildWorkflowExecutionFailed)
    );
}

#[tokio::test(start_paused = true)]
async fn a_child_that_is_reset_under_its_running_parent_completes_it() {
    let scene = scene(json!([
        { "type": "Parent", "id": "p", "version": "v1", "children": { "type": "Child", "task": "failing", "version": "v2" } }
    ]));
    let child = scene.describe("p", "").await.pending_children[0].clone();
    scene
        .reset(reset_with_move(&child.workflow_id, "", 4, "v1"))
        .await
        .unwrap();
    scene.seconds(600).await;
    let facts = scene.facts();
    assert_eq!(
        facts.workflows[&child.workflow_id].status,
        runbook::survey::Status::Completed
    );
    assert_eq!(
        facts.workflows["p"].status,
        runbook::survey::Status::Completed
    );
}

#[tokio::test(start_paused = true)]
async fn a_run_that_timed_out_gets_the_same_timeout_anew() {
    let scene = scene(json!([
        { "type": "Order", "id": "o", "version": "v2", "status": "timed_out", "timeout": "10m" }
    ]));
    scene
        .reset(reset_with_move("o", "", 4, "v3"))
        .await
        .unwrap();
    scene.seconds(590).await;
    assert_eq!(
        scene.facts().workflows["o"].status,
        runbook::survey::Status::Running
    );
    scene.seconds(20).await;
    assert_eq!(
        scene.facts().workflows["o"].status,
        runbook::survey::Status::TimedOut
    );
}

#[tokio::test(start_paused = true)]
async fn a_reset_by_hand_is_seen_and_not_counted_as_ours() {
    let scene = scene(json!([
        { "type": "Order", "id": "o", "version": "v2", "task": "failing", "reset_by_hand": true }
    ]));
    let facts = &scene.facts().workflows["o"];
    assert_eq!((facts.runs, facts.done.resets), (2, 0));
    assert_eq!(facts.ran_on.as_deref(), Some("orders:v2"));
    let (reason, base, new) = reset_mark(&scene.history("o", "").await);
    assert_eq!((reason.as_str(), new), ("by hand", scene.run_of("o").await));
    assert_eq!(
        scene
            .describe("o", &base)
            .await
            .workflow_extended_info
            .unwrap()
            .reset_run_id,
        scene.run_of("o").await
    );
}

//! The Versioning Override and what happens to tasks: facts 3, 7, 13 and 16.

use serde_json::json;
use temporalio_protos::temporal::api::enums::v1::EventType;
use temporalio_protos::temporal::api::workflow::v1::{VersioningOverride, versioning_override};
use temporalio_protos::temporal::api::workflowservice::v1::*;
use tonic::Code;

use super::scenes::*;

fn updates(types: &[EventType]) -> usize {
    types
        .iter()
        .filter(|kind| **kind == EventType::WorkflowExecutionOptionsUpdated)
        .count()
}

#[tokio::test(start_paused = true)]
async fn visibility_flips_at_once_and_a_started_task_stays_until_it_times_out() {
    let scene = scene(json!([{ "type": "Order", "id": "o", "version": "v2", "task": "failing" }]));
    scene.update("o", Some(pinned("v3"))).await.unwrap();
    scene.seconds(1).await;
    assert_eq!(
        scene
            .ids("TemporalWorkerDeploymentVersion = 'orders:v3'")
            .await,
        ["o"]
    );
    let described = scene.describe("o", "").await;
    let versioning = described
        .workflow_execution_info
        .unwrap()
        .versioning_info
        .unwrap();
    assert_eq!(versioning.deployment_version.unwrap().build_id, "v2");
    assert!(versioning.versioning_override.is_some());
    let task = described.pending_workflow_task.unwrap();
    assert!(task.attempt > 5 && task.started_time.is_some());
    scene.seconds(700).await;
    let facts = &scene.facts().workflows["o"];
    assert_eq!(
        (facts.ran_on.as_deref(), facts.attempt),
        (Some("orders:v3"), 0)
    );
}

#[tokio::test(start_paused = true)]
async fn repeating_it_writes_no_second_event_and_unsetting_keeps_the_pin() {
    let scene = scene(json!([{ "type": "Order", "id": "o", "version": "v2" }]));
    scene.update("o", Some(pinned("v3"))).await.unwrap();
    scene.update("o", Some(pinned("v3"))).await.unwrap();
    assert_eq!(updates(&scene.types("o", "").await), 1);
    assert_eq!(scene.facts().workflows["o"].done.moves, 1);
    scene.signal("o").await.unwrap();
    scene.seconds(1).await;
    assert_eq!(
        scene.facts().workflows["o"].ran_on.as_deref(),
        Some("orders:v3")
    );
    scene.update("o", None).await.unwrap();
    scene.update("o", None).await.unwrap();
    assert_eq!(updates(&scene.types("o", "").await), 2);
    let facts = &scene.facts().workflows["o"];
    assert_eq!(
        (
            facts.version.as_deref(),
            facts.versioning_override.as_deref()
        ),
        (Some("orders:v3"), None)
    );
}

#[tokio::test(start_paused = true)]
async fn an_idle_workflow_moves_only_at_its_next_event() {
    let scene = scene(json!([{ "type": "Order", "id": "o", "version": "v2" }]));
    scene.update("o", Some(pinned("v3"))).await.unwrap();
    scene.seconds(3_600).await;
    assert_eq!(
        scene.facts().workflows["o"].ran_on.as_deref(),
        Some("orders:v2")
    );
}

#[tokio::test(start_paused = true)]
async fn a_task_that_nobody_took_moves_at_once() {
    let scene = scene(json!([{ "type": "Order", "id": "o", "version": "v4", "task": "unpolled" }]));
    scene.seconds(60).await;
    assert_eq!(scene.facts().workflows["o"].attempt, 1);
    scene.update("o", Some(pinned("v3"))).await.unwrap();
    scene.seconds(1).await;
    assert_eq!(
        scene.facts().workflows["o"].ran_on.as_deref(),
        Some("orders:v3")
    );
}

#[tokio::test(start_paused = true)]
async fn a_one_time_override_disappears() {
    let scene = scene(json!([{ "type": "Order", "id": "o", "version": "v2" }]));
    let once = VersioningOverride {
        r#override: Some(versioning_override::Override::OneTime(
            versioning_override::OneTimeOverride {
                target_deployment_version: version("v3"),
            },
        )),
        ..Default::default()
    };
    scene.update("o", Some(once)).await.unwrap();
    assert_eq!(
        scene.facts().workflows["o"].versioning_override.as_deref(),
        Some("orders:v3")
    );
    scene.signal("o").await.unwrap();
    scene.seconds(1).await;
    let facts = &scene.facts().workflows["o"];
    assert_eq!(
        (
            facts.versioning_override.as_deref(),
            facts.version.as_deref()
        ),
        (None, Some("orders:v3"))
    );
}

#[tokio::test(start_paused = true)]
async fn refusals() {
    let scene = scene(json!([
        { "type": "Order", "id": "o", "version": "v2" },
        { "type": "Order", "id": "c", "version": "v2", "status": "completed" },
    ]));
    let done = (
        Code::NotFound,
        "workflow execution already completed".to_owned(),
    );
    assert_eq!(refusal(scene.update("c", Some(pinned("v3"))).await), done);
    assert_eq!(refusal(scene.signal("c").await), done);
    assert_eq!(
        refusal(scene.update("nowf", Some(pinned("v3"))).await),
        (Code::NotFound, "workflow not found for ID: nowf".to_owned())
    );
    assert_eq!(
        refusal(scene.update("o", Some(pinned("v9"))).await),
        (
            Code::FailedPrecondition,
            "Pinned version 'orders:v9' is not present in task queue 'orders-tq' of type 'Workflow'".to_owned()
        )
    );
    let bare = UpdateWorkflowExecutionOptionsRequest {
        namespace: "default".to_owned(),
        workflow_execution: execution("o", ""),
        ..Default::default()
    };
    let refused = scene
        .call::<_, UpdateWorkflowExecutionOptionsResponse>("UpdateWorkflowExecutionOptions", bare)
        .await;
    assert_eq!(
        refusal(refused),
        (Code::InvalidArgument, "UpdateMask is required".to_owned())
    );
    let run = "00000000-0000-4000-8000-000000000000";
    assert_eq!(
        refusal(scene.try_describe("o", run).await),
        (
            Code::NotFound,
            format!("workflow execution not found for workflow ID \"o\" and run ID \"{run}\"")
        )
    );
    let cancel = RequestCancelWorkflowExecutionRequest {
        namespace: "default".to_owned(),
        workflow_execution: execution("c", ""),
        ..Default::default()
    };
    let _: RequestCancelWorkflowExecutionResponse = scene
        .call("RequestCancelWorkflowExecution", cancel)
        .await
        .unwrap();
    let terminate = TerminateWorkflowExecutionRequest {
        namespace: "default".to_owned(),
        workflow_execution: execution("c", ""),
        ..Default::default()
    };
    let refused = scene
        .call::<_, TerminateWorkflowExecutionResponse>(
            "TerminateWorkflowExecution",
            terminate.clone(),
        )
        .await;
    assert_eq!(refusal(refused), done);
    let wrong = TerminateWorkflowExecutionRequest {
        workflow_execution: execution("o", ""),
        first_execution_run_id: run.to_owned(),
        ..terminate
    };
    let refused = scene
        .call::<_, TerminateWorkflowExecutionResponse>("TerminateWorkflowExecution", wrong)
        .await;
    assert_eq!(
        refusal(refused),
        (Code::NotFound, "workflow execution not found".to_owned())
    );
}

#[tokio::test(start_paused = true)]
async fn problems_are_reported_late_and_cleared_by_a_completed_task() {
    let scene = scene(json!([{ "type": "Order", "id": "o", "version": "v2" }]));
    scene.signal("o").await.unwrap();
    scene.seconds(1).await;
    let described = scene.describe("o", "").await;
    assert_eq!(
        described.pending_workflow_task.as_ref().unwrap().attempt,
        2,
        "seen at once"
    );
    assert!(attribute(&described, "TemporalReportedProblems").is_null());
    scene.seconds(60).await;
    let described = scene.describe("o", "").await;
    assert_eq!(
        attribute(&described, "TemporalReportedProblems")[0],
        "category=WorkflowTaskFailed"
    );
    scene.update("o", Some(pinned("v3"))).await.unwrap();
    let described = scene.describe("o", "").await;
    assert!(
        !attribute(&described, "TemporalReportedProblems").is_null(),
        "not by the Override"
    );
    scene.seconds(120).await;
    assert!(attribute(&scene.describe("o", "").await, "TemporalReportedProblems").is_null());
}

#[tokio::test(start_paused = true)]
async fn a_terminated_base_keeps_its_reported_problems() {
    let scene = scene(json!([{ "type": "Order", "id": "o", "version": "v2", "task": "failing" }]));
    scene
        .reset(reset_with_move("o", "", 4, "v3"))
        .await
        .unwrap();
    scene.seconds(1).await;
    let query = "TemporalReportedProblems IN ('category=WorkflowTaskFailed')";
    let listed = scene.list(query, 10, Vec::new()).await.unwrap();
    assert_eq!(listed.executions.len(), 1);
    assert!(
        scene
            .ids(&format!("{query} AND ExecutionStatus = 'Running'"))
            .await
            .is_empty()
    );
}

#[tokio::test(start_paused = true)]
async fn auto_upgrade_workflows_carry_the_version_attribute_too() {
    let scene =
        scene(json!([{ "type": "Order", "id": "a", "version": "v2", "behavior": "auto_upgrade" }]));
    let described = scene.describe("a", "").await;
    assert_eq!(
        attribute(&described, "TemporalWorkerDeploymentVersion"),
        "orders:v2"
    );
    assert_eq!(
        attribute(&described, "TemporalWorkflowVersioningBehavior"),
        "AutoUpgrade"
    );
    assert_eq!(attribute(&described, "BuildIds"), json!(["unversioned:v2"]));
}

#[tokio::test(start_paused = true)]
async fn moved_and_lost() {
    let scene = scene(
        json!([{ "type": "Order", "id": "o", "version": "v2", "started": "1h", "timeout": "61m" }]),
    );
    scene.update("o", Some(pinned("v3"))).await.unwrap();
    scene.seconds(120).await;
    let described = scene.describe("o", "").await;
    assert_eq!(
        format!(
            "{:?}",
            described.workflow_execution_info.as_ref().unwrap().status()
        ),
        "TimedOut"
    );
    assert_eq!(
        attribute(&described, "TemporalWorkerDeploymentVersion"),
        "orders:v3"
    );
    assert_eq!(
        attribute(&described, "BuildIds"),
        json!(["pinned:orders:v3", "unversioned:v2"])
    );
    assert_eq!(
        attribute(&described, "TemporalUsedWorkerDeploymentVersions"),
        json!(["orders:v2"])
    );
}

#[tokio::test(start_paused = true)]
async fn a_version_that_cannot_replay_keeps_failing() {
    let mut world = world(json!([
        { "type": "Order", "id": "o", "version": "v2", "task": "failing", "behaves": { "v3": "fail_tasks" } }
    ]));
    world.latency = Default::default();
    let scene = Scene::new(&world, &[]);
    scene.update("o", Some(pinned("v3"))).await.unwrap();
    scene.seconds(3_600).await;
    let facts = &scene.facts().workflows["o"];
    assert_eq!(facts.ran_on.as_deref(), Some("orders:v2"));
    assert!(facts.attempt > 8, "{}", facts.attempt);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_is_held_when_its_workers_stop_times_out() {
    let mut world =
        world(json!([{ "type": "Order", "id": "o", "version": "v1", "task": "progressing" }]));
    world
        .deployments
        .get_mut("orders")
        .unwrap()
        .versions
        .get_mut("v1")
        .unwrap()
        .stops = Some(runbook::simulator::world::Span::seconds(1));
    let scene = Scene::new(&world, &[]);
    scene.seconds(30).await;
    assert!(
        scene
            .types("o", "")
            .await
            .contains(&EventType::WorkflowTaskTimedOut)
    );
    let task = scene.describe("o", "").await.pending_workflow_task.unwrap();
    assert_eq!((task.attempt, task.started_time), (2, None));
}

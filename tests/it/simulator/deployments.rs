//! Routing, drainage, pollers, deletion: facts 1, 2 and 11.

use serde_json::json;
use temporalio_protos::temporal::api::workflowservice::v1::*;
use tonic::Code;

use super::scenes::*;

fn one() -> serde_json::Value {
    json!([{ "type": "Order", "id": "o", "version": "v2", "task": "failing" }])
}

#[tokio::test(start_paused = true)]
async fn a_ramp_of_nothing_stays_ramping() {
    let scene = scene(json!([]));
    scene.ramp("v3", 100.0).await.unwrap();
    let reply = scene.ramp("v3", 0.0).await.unwrap();
    assert_eq!(
        (reply.previous_version.as_str(), reply.previous_percentage),
        ("orders.v3", 100.0)
    );
    let again = scene.ramp("v3", 0.0).await.unwrap();
    assert_eq!(
        reply.conflict_token, again.conflict_token,
        "no change, no new token"
    );
    scene.seconds(3_600).await;
    assert_eq!(scene.status("v3").await, "Ramping");
    for skip in [false, true] {
        assert_eq!(
            refusal(scene.delete("v3", skip).await),
            (
                Code::FailedPrecondition,
                "version 'orders:v3' cannot be deleted since it is current or ramping".to_owned()
            )
        );
    }
    scene.ramp("", 0.0).await.unwrap();
    assert_eq!(scene.status("v3").await, "Draining");
    scene.seconds(181).await;
    assert_eq!(scene.status("v3").await, "Drained");
    scene.ramp("", 0.0).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_empty_build_with_a_percentage_ramps_unversioned_workers() {
    let scene = scene(json!([]));
    scene.ramp("", 5.0).await.unwrap();
    let reply = scene.ramp("", 0.0).await.unwrap();
    assert_eq!(
        (reply.previous_version.as_str(), reply.previous_percentage),
        ("__unversioned__", 5.0)
    );
}

#[tokio::test(start_paused = true)]
async fn refusals_of_routing() {
    let scene = scene(json!([]));
    assert_eq!(
        refusal(scene.ramp("nope", 5.0).await),
        (
            Code::NotFound,
            "build ID 'nope' not found in Worker Deployment 'orders'".to_owned()
        )
    );
    assert_eq!(
        refusal(scene.ramp("v2", 5.0).await),
        (
            Code::FailedPrecondition,
            "requested ramping version orders.v2 is already current".to_owned()
        )
    );
    assert_eq!(
        refusal(scene.set_current("v5").await),
        (
            Code::FailedPrecondition,
            "proposed current version 'orders:v5' is missing active task queues from the current version; these would \
             become unversioned if it is set as the current version"
                .to_owned()
        )
    );
    let stale = SetWorkerDeploymentRampingVersionRequest {
        namespace: "default".to_owned(),
        deployment_name: "orders".to_owned(),
        build_id: "v3".to_owned(),
        percentage: 1.0,
        conflict_token: vec![9, 9],
        ..Default::default()
    };
    let refused = scene
        .call::<_, SetWorkerDeploymentRampingVersionResponse>(
            "SetWorkerDeploymentRampingVersion",
            stale,
        )
        .await;
    assert_eq!(
        refusal(refused),
        (
            Code::FailedPrecondition,
            "conflict token mismatch".to_owned()
        )
    );
    let unknown = DescribeWorkerDeploymentRequest {
        namespace: "default".to_owned(),
        deployment_name: "nodep".to_owned(),
    };
    let refused = scene
        .call::<_, DescribeWorkerDeploymentResponse>("DescribeWorkerDeployment", unknown)
        .await;
    assert_eq!(
        refusal(refused),
        (
            Code::NotFound,
            "no Worker Deployment found with name 'nodep'; does your Worker Deployment have pollers?".to_owned()
        )
    );
    let unknown = DescribeWorkerDeploymentVersionRequest {
        namespace: "default".to_owned(),
        deployment_version: version("nope"),
        ..Default::default()
    };
    let refused = scene
        .call::<_, DescribeWorkerDeploymentVersionResponse>(
            "DescribeWorkerDeploymentVersion",
            unknown,
        )
        .await;
    assert_eq!(
        refusal(refused),
        (
            Code::NotFound,
            "Worker Deployment Version not found".to_owned()
        )
    );
    let elsewhere = DescribeWorkerDeploymentRequest {
        namespace: "x".to_owned(),
        deployment_name: "orders".to_owned(),
    };
    let refused = scene
        .call::<_, DescribeWorkerDeploymentResponse>("DescribeWorkerDeployment", elsewhere)
        .await;
    assert_eq!(
        refusal(refused),
        (Code::NotFound, "Namespace x is not found.".to_owned())
    );
}

#[tokio::test(start_paused = true)]
async fn a_manager_keeps_others_out() {
    let mut world = world(json!([]));
    world
        .deployments
        .get_mut("orders")
        .unwrap()
        .manager_identity = Some("controller".to_owned());
    let scene = Scene::new(&world, &[]);
    let (code, words) = refusal(scene.ramp("v3", 5.0).await);
    assert_eq!(code, Code::FailedPrecondition);
    assert!(
        words
            .starts_with("ManagerIdentity 'controller' is set and does not match user identity ''"),
        "{words}"
    );
}

#[tokio::test(start_paused = true)]
async fn setting_the_current_version_again_does_not_clear_a_ramp() {
    let scene = scene(json!([]));
    scene.ramp("v3", 50.0).await.unwrap();
    let before = scene.deployment().await.conflict_token;
    let reply = scene.set_current("v2").await.unwrap();
    assert_eq!(reply.conflict_token, before);
    assert_eq!(scene.status("v3").await, "Ramping");
    scene.set_current("v3").await.unwrap();
    let routing = scene
        .deployment()
        .await
        .worker_deployment_info
        .unwrap()
        .routing_config
        .unwrap();
    assert_eq!(
        (
            routing.ramping_deployment_version,
            routing.ramping_version_percentage
        ),
        (None, 0.0)
    );
    assert_eq!(scene.status("v2").await, "Draining");
}

#[tokio::test(start_paused = true)]
async fn drained_comes_when_nothing_runs_there_and_is_not_final() {
    let scene = scene(one());
    scene.set_current("v1").await.unwrap();
    scene.seconds(1_800).await;
    assert_eq!(scene.status("v2").await, "Draining");
    scene.update("o", Some(pinned("v3"))).await.unwrap();
    assert_eq!(scene.status("v2").await, "Draining", "until the next look");
    scene.seconds(185).await;
    assert_eq!(scene.status("v2").await, "Drained");
    assert_eq!(
        scene.status("v3").await,
        "Draining",
        "it was INACTIVE until somebody was pinned to it"
    );
    scene.update("o", Some(pinned("v2"))).await.unwrap();
    assert_eq!(scene.status("v2").await, "Draining");
}

#[tokio::test(start_paused = true)]
async fn deletion_and_its_refusals() {
    let mut world = world(one());
    let bad = world
        .deployments
        .get_mut("orders")
        .unwrap()
        .versions
        .get_mut("v2")
        .unwrap();
    bad.stops = Some(runbook::simulator::world::Span::seconds(1_000));
    let scene = Scene::new(&world, &[]);
    scene.set_current("v1").await.unwrap();
    let refused = |why: &str| {
        (
            Code::FailedPrecondition,
            format!("version 'orders:v2' cannot be deleted since it {why}"),
        )
    };
    assert_eq!(
        refusal(scene.delete("v2", false).await),
        refused("is draining")
    );
    assert_eq!(
        refusal(scene.delete("v2", true).await),
        refused("has active pollers")
    );
    scene.update("o", Some(pinned("v3"))).await.unwrap();
    scene.seconds(400).await;
    assert_eq!(
        refusal(scene.delete("v2", false).await),
        refused("has active pollers")
    );
    scene.seconds(700).await;
    assert_eq!(
        refusal(scene.delete("v2", false).await),
        refused("has active pollers")
    );
    scene.seconds(300).await;
    scene.delete("v2", false).await.unwrap();
    assert_eq!(scene.status("v2").await, "absent");
    scene.delete("v2", false).await.unwrap();
    scene.delete("never-was", false).await.unwrap();
    scene.seconds(60).await;
    assert_eq!(scene.status("v2").await, "absent");
    let unknown = DeleteWorkerDeploymentVersionRequest {
        namespace: "default".to_owned(),
        deployment_version: Some(
            temporalio_protos::temporal::api::deployment::v1::WorkerDeploymentVersion {
                deployment_name: "nodep".to_owned(),
                build_id: "v1".to_owned(),
            },
        ),
        ..Default::default()
    };
    let refused = scene
        .call::<_, DeleteWorkerDeploymentVersionResponse>("DeleteWorkerDeploymentVersion", unknown)
        .await;
    assert_eq!(
        refusal(refused),
        (
            Code::NotFound,
            "workflow not found for ID: temporal-sys-worker-deployment:nodep".to_owned()
        )
    );
}

#[tokio::test(start_paused = true)]
async fn a_version_that_was_deleted_under_a_live_worker_comes_back() {
    let mut world = world(json!([]));
    world.poller_history_ttl = runbook::simulator::world::Span::seconds(10);
    let scene = Scene::new(&world, &[]);
    scene.delete("v3", false).await.unwrap();
    assert_eq!(scene.status("v3").await, "absent");
    scene.seconds(6).await;
    assert_eq!(scene.status("v3").await, "Inactive");
}

#[tokio::test(start_paused = true)]
async fn a_controller_ramps_again_and_an_operator_interferes() {
    let mut world = world(one());
    world.controllers =
        serde_json::from_value(json!([{ "ramps": "v2", "at": ["5m", "10m"], "percentage": 25 }]))
            .unwrap();
    world.operators = serde_json::from_value(
        json!([{ "at": "2m", "does": "move", "type": "Order", "to": "v3" }]),
    )
    .unwrap();
    let scene = Scene::new(&world, &[]);
    scene.set_current("v1").await.unwrap();
    scene.seconds(130).await;
    assert_eq!(
        scene.facts().workflows["o"].version.as_deref(),
        Some("orders:v3")
    );
    scene.seconds(180).await;
    assert_eq!(scene.status("v2").await, "Ramping");
    scene.ramp("", 0.0).await.unwrap();
    scene.seconds(300).await;
    assert_eq!(
        scene.facts().deployments["orders"].ramping.as_deref(),
        Some("v2")
    );
}

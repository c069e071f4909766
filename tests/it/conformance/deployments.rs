//! Worker Deployments: routing and its refusals, drainage in its order, deletion.

use runbook::survey::{Override, Version, WorkflowKey};
use serde_json::json;
use temporalio_protos::temporal::api::deployment::v1::{RoutingConfig, WorkerDeploymentVersion};
use temporalio_protos::temporal::api::enums::v1::{
    VersionDrainageStatus, WorkerDeploymentVersionStatus as Status,
};
use temporalio_protos::temporal::api::workflowservice::v1::*;
use tonic::Status as Reply;

use super::backend::{Plot, Stage, TESTER};
use super::transcript::{Notes, check};

fn own() -> Plot {
    Plot {
        own: true,
        ..Plot::default()
    }
}

async fn described(stage: &Stage) -> DescribeWorkerDeploymentResponse {
    let request = DescribeWorkerDeploymentRequest {
        namespace: stage.namespace.clone(),
        deployment_name: stage.deployment.clone(),
    };
    stage
        .call("DescribeWorkerDeployment", request)
        .await
        .expect("the deployment")
}

fn build(version: Option<&WorkerDeploymentVersion>) -> &str {
    version.map_or("none", |it| &it.build_id)
}

fn routes(config: &RoutingConfig) -> String {
    format!(
        "current {} ({}), ramping {} ({}) at {} %",
        build(config.current_deployment_version.as_ref()),
        config.current_version,
        build(config.ramping_deployment_version.as_ref()),
        config.ramping_version,
        config.ramping_version_percentage
    )
}

/// Notes the routing and the status of each Version.
async fn routing(notes: &mut Notes, label: &str) {
    let info = described(&notes.stage)
        .await
        .worker_deployment_info
        .expect("its info");
    let mut versions: Vec<String> = info
        .version_summaries
        .iter()
        .map(|it| {
            // Where a Version is routed to, times may be left of an earlier drainage.
            let drainage = it.drainage_info.as_ref().map(|it| it.status());
            let drainage = drainage.filter(|it| *it != VersionDrainageStatus::Unspecified);
            format!(
                "{} {:?} {drainage:?}",
                build(it.deployment_version.as_ref()),
                it.status()
            )
        })
        .collect();
    versions.sort();
    let config = routes(&info.routing_config.unwrap_or_default());
    notes.note(label, format!("{config}; {}", versions.join(", ")));
}

/// Waits for the status of a Version, also in the summary that its deployment has of it, which comes later.
async fn becomes(stage: &Stage, wanted: &str, status: Status) {
    stage
        .until(&format!("{wanted} to be {status:?}"), async || {
            if stage.version_status(wanted).await != Some(status) {
                return None;
            }
            let info = described(stage).await.worker_deployment_info?;
            let mut summaries = info.version_summaries.iter();
            let summary = summaries.find(|it| build(it.deployment_version.as_ref()) == wanted)?;
            (summary.status() == status).then_some(())
        })
        .await;
}

fn ramping(
    stage: &Stage,
    build: &str,
    percentage: f32,
) -> SetWorkerDeploymentRampingVersionRequest {
    SetWorkerDeploymentRampingVersionRequest {
        namespace: stage.namespace.clone(),
        deployment_name: stage.deployment.clone(),
        build_id: build.to_owned(),
        percentage,
        identity: TESTER.to_owned(),
        ..Default::default()
    }
}

fn making_current(stage: &Stage, build: &str) -> SetWorkerDeploymentCurrentVersionRequest {
    SetWorkerDeploymentCurrentVersionRequest {
        namespace: stage.namespace.clone(),
        deployment_name: stage.deployment.clone(),
        build_id: build.to_owned(),
        identity: TESTER.to_owned(),
        ..Default::default()
    }
}

async fn ramp(
    notes: &mut Notes,
    label: &str,
    request: SetWorkerDeploymentRampingVersionRequest,
) -> Vec<u8> {
    let result: Result<SetWorkerDeploymentRampingVersionResponse, _> = notes
        .call("SetWorkerDeploymentRampingVersion", request)
        .await;
    let Some(reply) = notes.outcome(label, result) else {
        return Vec::new();
    };
    let before = build(reply.previous_deployment_version.as_ref()).to_owned();
    let text = format!(
        "{before} ({}) at {} %",
        reply.previous_version, reply.previous_percentage
    );
    notes.note(&format!("{label}, before"), text);
    reply.conflict_token
}

async fn make_current(
    notes: &mut Notes,
    label: &str,
    request: SetWorkerDeploymentCurrentVersionRequest,
) -> Vec<u8> {
    let result: Result<SetWorkerDeploymentCurrentVersionResponse, _> = notes
        .call("SetWorkerDeploymentCurrentVersion", request)
        .await;
    let Some(reply) = notes.outcome(label, result) else {
        return Vec::new();
    };
    let before = build(reply.previous_deployment_version.as_ref()).to_owned();
    notes.note(
        &format!("{label}, before"),
        format!("{before} ({})", reply.previous_version),
    );
    reply.conflict_token
}

async fn delete(
    stage: &Stage,
    deployment: &str,
    build: &str,
    skip_drainage: bool,
) -> Result<(), Reply> {
    let request = DeleteWorkerDeploymentVersionRequest {
        namespace: stage.namespace.clone(),
        deployment_version: Some(WorkerDeploymentVersion {
            deployment_name: deployment.to_owned(),
            build_id: build.to_owned(),
        }),
        skip_drainage,
        identity: TESTER.to_owned(),
        ..Default::default()
    };
    let _: DeleteWorkerDeploymentVersionResponse =
        stage.call("DeleteWorkerDeploymentVersion", request).await?;
    Ok(())
}

#[test]
fn ramps() {
    check("deployment_ramps", own(), async |notes| {
        routing(notes, "at first").await;
        let request = ramping(notes, "v3", 50.0);
        let token = ramp(notes, "ramp v3 at 50", request.clone()).await;
        becomes(notes, "v3", Status::Ramping).await;
        routing(notes, "after it").await;
        let again = ramp(notes, "the same again", request).await;
        notes.note("the token is the same", token == again);
        let request = ramping(notes, "v3", 0.0);
        ramp(notes, "at 0", request).await;
        routing(notes, "is still ramping").await;
        let result = delete(notes, &notes.deployment, "v3", false).await;
        notes.outcome("delete it", result);
        let result = delete(notes, &notes.deployment, "v3", true).await;
        notes.outcome("delete it, skipping drainage", result);
        let request = ramping(notes, "v1", 100.0);
        ramp(notes, "ramp another", request).await;
        becomes(notes, "v3", Status::Drained).await;
        routing(notes, "the first drains").await;
        let request = ramping(notes, "", 0.0);
        ramp(notes, "unset", request.clone()).await;
        becomes(notes, "v1", Status::Drained).await;
        routing(notes, "unset now").await;
        ramp(notes, "unset again", request.clone()).await;
        let unversioned = ramping(notes, "", 5.0);
        ramp(notes, "ramp nothing at 5", unversioned).await;
        routing(notes, "ramps unversioned Workers").await;
        ramp(notes, "unset that", request).await;
        routing(notes, "nothing ramps").await;
    });
}

#[test]
fn currents() {
    check("deployment_currents", own(), async |notes| {
        let request = ramping(notes, "v3", 100.0);
        ramp(notes, "ramp v3", request).await;
        let request = making_current(notes, "v2");
        let token = described(notes).await.conflict_token;
        let same = make_current(notes, "v2, which is current", request).await;
        notes.note("the token is the same", token == same);
        routing(notes, "the ramp goes on").await;
        let request = making_current(notes, "v3");
        make_current(notes, "v3, which ramps", request).await;
        becomes(notes, "v3", Status::Current).await;
        becomes(notes, "v2", Status::Drained).await;
        routing(notes, "it ramps no more").await;
        let request = making_current(notes, "v2");
        make_current(notes, "v2 again", request).await;
        becomes(notes, "v2", Status::Current).await;
        becomes(notes, "v3", Status::Drained).await;
        routing(notes, "back").await;
        let request = making_current(notes, "");
        make_current(notes, "nothing", request).await;
        becomes(notes, "v2", Status::Drained).await;
        routing(notes, "unversioned Workers are current").await;
    });
}

#[test]
fn refused() {
    let plot = Plot {
        versions: json!({ "v2": {}, "v3": {}, "v5": { "task_queue": "other" } }),
        ..own()
    };
    check("deployment_refused", plot, async |notes| {
        let cases = [
            ("ramp an unknown Version", ramping(notes, "nope", 10.0)),
            ("ramp the current", ramping(notes, "v2", 10.0)),
            ("ramp at -1", ramping(notes, "v3", -1.0)),
            ("ramp at 101", ramping(notes, "v3", 101.0)),
            (
                "ramp with a stale token",
                SetWorkerDeploymentRampingVersionRequest {
                    conflict_token: b"stale".to_vec(),
                    ..ramping(notes, "v3", 10.0)
                },
            ),
            (
                "ramp in no deployment",
                SetWorkerDeploymentRampingVersionRequest {
                    deployment_name: "nodep".to_owned(),
                    ..ramping(notes, "v3", 10.0)
                },
            ),
            ("ramp one of another task queue", ramping(notes, "v5", 10.0)),
        ];
        for (label, request) in cases {
            ramp(notes, label, request).await;
        }
        let cases = [
            ("an unknown Version", making_current(notes, "nope")),
            (
                "with a stale token",
                SetWorkerDeploymentCurrentVersionRequest {
                    conflict_token: b"stale".to_vec(),
                    ..making_current(notes, "v3")
                },
            ),
            (
                "in no deployment",
                SetWorkerDeploymentCurrentVersionRequest {
                    deployment_name: "nodep".to_owned(),
                    ..making_current(notes, "v3")
                },
            ),
            ("one of another task queue", making_current(notes, "v5")),
        ];
        for (label, request) in cases {
            make_current(notes, label, request).await;
        }
        routing(notes, "nothing changed").await;
        let temporal = notes.temporal().await;
        let token = described(notes).await.conflict_token;
        let fresh = runbook_token(&token);
        let result = temporal
            .set_current(&notes.deployment, Some("v5"), &fresh, false)
            .await;
        notes.told("the tool: another task queue", result);
        let result = temporal
            .set_ramping(&notes.typed_version("v2"), 5.0, &fresh, false)
            .await;
        notes.told("the tool: ramp the current", result);
        let result = temporal
            .set_ramping(&notes.typed_version("v3"), 5.0, "c3RhbGU=", false)
            .await;
        notes.told("the tool: a stale token", result);
        let result = temporal.set_current("nodep", Some("v3"), "", false).await;
        notes.told("the tool: no deployment", result);
        let result = temporal
            .set_current(&notes.deployment, Some("nope"), "", false)
            .await;
        notes.told("the tool: no Version", result);
        let result = temporal.describe_deployment("nodep").await;
        let found = notes.told("the tool: describe no deployment", result);
        notes.note("it is none", found.is_some_and(|it| it.is_none()));
        let nowhere = Version {
            deployment: "nodep".to_owned(),
            build_id: "v1".to_owned(),
        };
        for (label, version) in [
            ("no Version", notes.typed_version("nope")),
            ("no deployment's Version", nowhere),
        ] {
            let result = temporal.describe_version(&version).await;
            let found = notes.told(&format!("the tool: describe {label}"), result);
            notes.note(
                &format!("{label} is none"),
                found.is_some_and(|it| it.is_none()),
            );
        }
    });
}

/// As the tool keeps tokens: base64.
fn runbook_token(token: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(token)
}

#[test]
fn managers() {
    check("deployment_manager", own(), async |notes| {
        use set_worker_deployment_manager_request::NewManagerIdentity::ManagerIdentity;
        let manage = |who: &str| SetWorkerDeploymentManagerRequest {
            namespace: notes.namespace.clone(),
            deployment_name: notes.deployment.clone(),
            identity: "controller".to_owned(),
            new_manager_identity: Some(ManagerIdentity(who.to_owned())),
            ..Default::default()
        };
        let (other, none) = (manage("controller"), manage(""));
        let result: Result<SetWorkerDeploymentManagerResponse, _> =
            notes.call("SetWorkerDeploymentManager", other).await;
        notes.outcome("managed by another", result);
        let manager = described(notes)
            .await
            .worker_deployment_info
            .unwrap()
            .manager_identity;
        notes.note("the manager", manager);
        let request = ramping(notes, "v3", 10.0);
        ramp(notes, "ramp", request).await;
        let request = making_current(notes, "v3");
        make_current(notes, "make current", request).await;
        let result = delete(notes, &notes.deployment, "v3", false).await;
        notes.outcome("delete", result);
        let temporal = notes.temporal().await;
        let result = temporal
            .set_current(&notes.deployment, Some("v3"), "", false)
            .await;
        notes.told("the tool", result);
        let result: Result<SetWorkerDeploymentManagerResponse, _> =
            notes.call("SetWorkerDeploymentManager", none).await;
        notes.outcome("managed by nobody", result);
        let request = ramping(notes, "v3", 10.0);
        ramp(notes, "ramp again", request).await;
    });
}

#[test]
fn drainage() {
    check("deployment_drainage", own(), async |notes| {
        let (id, _) = notes.started("Order", "o").await;
        notes.make_current("v3").await;
        becomes(notes, "v2", Status::Draining).await;
        notes.pause(4_000).await;
        routing(notes, "a Workflow runs on v2").await;
        let result = delete(notes, &notes.deployment, "v2", false).await;
        notes.outcome("delete it", result);
        let temporal = notes.temporal().await;
        let run = notes
            .describe(&id, "")
            .await
            .unwrap()
            .workflow_execution_info
            .unwrap()
            .execution
            .unwrap();
        let key = WorkflowKey {
            workflow_id: id.clone(),
            run_id: run.run_id,
        };
        let to = |version| Override::Pinned { version };
        let [v1, v2, v3] = ["v1", "v2", "v3"].map(|build| to(notes.typed_version(build)));
        temporal
            .update_options(&key, Some(&v3))
            .await
            .expect("moved");
        becomes(notes, "v2", Status::Drained).await;
        routing(notes, "it was moved").await;
        notes.look("though it still ran on v2", &id, "").await;
        temporal
            .update_options(&key, Some(&v2))
            .await
            .expect("moved back");
        becomes(notes, "v2", Status::Draining).await;
        routing(notes, "drained is not final").await;
        temporal
            .update_options(&key, Some(&v1))
            .await
            .expect("moved on");
        becomes(notes, "v1", Status::Draining).await;
        becomes(notes, "v2", Status::Drained).await;
        routing(notes, "an inactive one drains too").await;
        notes.terminate(&id, "over").await;
        becomes(notes, "v1", Status::Drained).await;
        routing(notes, "nothing runs").await;
    });
}

#[test]
fn deletion() {
    check("deployment_deletion", own(), async |notes| {
        let name = notes.deployment.clone();
        let cases = [
            ("an unknown Version", name.as_str(), "nope"),
            ("of an unknown deployment", "nodep", "v1"),
            ("the current", name.as_str(), "v2"),
            ("with pollers", name.as_str(), "v3"),
        ];
        for (label, deployment, build) in cases {
            let result = delete(notes, deployment, build, false).await;
            notes.outcome(label, result);
            let result = delete(notes, deployment, build, true).await;
            notes.outcome(&format!("{label}, skipping drainage"), result);
        }
        let temporal = notes.temporal().await;
        let result = temporal.delete_version(&notes.typed_version("v3")).await;
        notes.told("the tool: with pollers", result);
        let result = temporal.delete_version(&notes.typed_version("v2")).await;
        notes.told("the tool: the current", result);
        let nowhere = Version {
            deployment: "nodep".to_owned(),
            build_id: "v1".to_owned(),
        };
        let result = temporal.delete_version(&nowhere).await;
        notes.told("the tool: no deployment", result);
        notes.stop_workers("v3").await;
        let result = delete(notes, &name, "v3", false).await;
        notes.outcome("just after its Workers stopped", result);
        notes
            .until("its pollers to be forgotten", async || {
                delete(notes, &name, "v3", false).await.ok()
            })
            .await;
        notes.shows("its status then", notes.version_status("v3").await);
        routing(notes, "what is left").await;
        let result = delete(notes, &name, "v3", false).await;
        notes.outcome("again", result);
        let result = temporal.describe_version(&notes.typed_version("v3")).await;
        let found = notes.told("the tool: describe it", result);
        notes.note("it is none", found.is_some_and(|it| it.is_none()));
        let (id, run) = notes.started("Order", "o").await;
        let key = WorkflowKey {
            workflow_id: id,
            run_id: run,
        };
        let target = Override::Pinned {
            version: notes.typed_version("v3"),
        };
        let result = temporal.update_options(&key, Some(&target)).await;
        notes.told("an Override to it", result);
    });
}

#[test]
fn listed_and_described() {
    check("deployment_reads", own(), async |notes| {
        let request = ramping(notes, "v3", 25.0);
        ramp(notes, "ramp", request).await;
        becomes(notes, "v3", Status::Ramping).await;
        let summary = notes
            .until("the deployment in the list", async || {
                let request = ListWorkerDeploymentsRequest {
                    namespace: notes.namespace.clone(),
                    page_size: 100,
                    ..Default::default()
                };
                let reply: ListWorkerDeploymentsResponse = notes
                    .call("ListWorkerDeployments", request)
                    .await
                    .expect("a list");
                reply
                    .worker_deployments
                    .into_iter()
                    .find(|it| it.name == notes.deployment && it.ramping_version_summary.is_some())
            })
            .await;
        notes.note(
            "listed",
            routes(&summary.routing_config.unwrap_or_default()),
        );
        notes.shows(
            "current",
            summary.current_version_summary.map(|it| it.status()),
        );
        notes.shows(
            "ramping",
            summary.ramping_version_summary.map(|it| it.status()),
        );
        for build in ["v1", "v2", "v3"] {
            let request = DescribeWorkerDeploymentVersionRequest {
                namespace: notes.namespace.clone(),
                deployment_version: notes.version(build),
                ..Default::default()
            };
            let reply: DescribeWorkerDeploymentVersionResponse = notes
                .call("DescribeWorkerDeploymentVersion", request)
                .await
                .unwrap();
            let mut queues: Vec<String> = reply
                .version_task_queues
                .iter()
                .map(|it| format!("{} {:?}", it.name, it.r#type()))
                .collect();
            queues.sort();
            let info = reply.worker_deployment_version_info.unwrap();
            let text = format!(
                "{:?} at {} %, {} {}, drainage {:?}, since {} {}, queues {}",
                info.status(),
                info.ramp_percentage,
                info.deployment_name,
                info.version,
                info.drainage_info.map(|it| it.status()),
                info.current_since_time.is_some(),
                info.ramping_since_time.is_some(),
                queues.join(", ")
            );
            notes.note(build, text);
        }
        let cases = [
            (
                "no Version",
                "DescribeWorkerDeploymentVersion",
                notes.version("nope"),
            ),
            (
                "no deployment's Version",
                "DescribeWorkerDeploymentVersion",
                Some(WorkerDeploymentVersion {
                    deployment_name: "nodep".to_owned(),
                    build_id: "v1".to_owned(),
                }),
            ),
        ];
        for (label, rpc, deployment_version) in cases {
            let request = DescribeWorkerDeploymentVersionRequest {
                namespace: notes.namespace.clone(),
                deployment_version,
                ..Default::default()
            };
            let result: Result<DescribeWorkerDeploymentVersionResponse, _> =
                notes.call(rpc, request).await;
            notes.outcome(label, result);
        }
        let request = DescribeWorkerDeploymentRequest {
            namespace: notes.namespace.clone(),
            deployment_name: "nodep".to_owned(),
        };
        let result: Result<DescribeWorkerDeploymentResponse, _> =
            notes.call("DescribeWorkerDeployment", request).await;
        notes.outcome("no deployment", result);
        let temporal = notes.temporal().await;
        let routing = temporal
            .describe_deployment(&notes.deployment)
            .await
            .unwrap()
            .expect("it is there");
        notes.note(
            "the tool's current",
            format!("{:?}", routing.current.map(|it| it.build_id)),
        );
    });
}

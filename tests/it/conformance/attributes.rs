//! What Visibility shows of a Workflow's Version, from its start to its end, and which queries find it.

use runbook::survey::{Override, WorkflowKey};
use runbook::temporal::ResetCall;
use serde_json::json;
use temporalio_protos::temporal::api::enums::v1::EventType;
use temporalio_protos::temporal::api::workflowservice::v1::*;

use super::backend::Plot;
use super::transcript::{Notes, check};

async fn found(notes: &mut Notes, label: &str, id: &str, query: &str) {
    let whole = format!("WorkflowId = '{id}' AND {query}");
    let result = notes.list(&whole).await;
    if let Some(reply) = notes.outcome(&format!("{label}: asked"), result) {
        notes.note(label, reply.executions.len());
    }
}

#[test]
fn auto_upgrade_carries_the_version_too() {
    let plot = Plot {
        types: json!({ "Order": { "behavior": "auto_upgrade" } }),
        own: true,
        ..Plot::default()
    };
    check("attributes_auto_upgrade", plot, async |notes| {
        let (id, _) = notes.started("Order", "o").await;
        notes.look("on v2", &id, "").await;
        notes.attributes("attributes on v2", &id, "").await;
        notes.make_current("v3").await;
        notes.attributes("not at once", &id, "").await;
        notes.signal(&id, "nudge").await;
        notes
            .events_with(&id, EventType::WorkflowTaskCompleted, 2)
            .await;
        notes.look("on v3", &id, "").await;
        notes.attributes("attributes on v3", &id, "").await;
        let v3 = notes.version_text("v3");
        let of = format!("TemporalWorkerDeploymentVersion = '{v3}'");
        notes
            .listed(&format!("WorkflowId = '{id}' AND {of}"), 1)
            .await;
        found(
            notes,
            "as pinned",
            &id,
            &format!("{of} AND TemporalWorkflowVersioningBehavior = 'Pinned'"),
        )
        .await;
        found(
            notes,
            "as AutoUpgrade",
            &id,
            &format!("{of} AND TemporalWorkflowVersioningBehavior = 'AutoUpgrade'"),
        )
        .await;
    });
}

#[test]
fn moved_but_lost() {
    check(
        "attributes_moved_but_lost",
        Plot::default(),
        async |notes| {
            let id = notes.id("o");
            let start = StartWorkflowExecutionRequest {
                workflow_run_timeout: Some(prost_types::Duration {
                    seconds: 8,
                    nanos: 0,
                }),
                ..notes.start_of("Order", &id)
            };
            let run = notes.start_request(start).await.unwrap();
            notes.settled(&id).await;
            let temporal = notes.temporal().await;
            let key = WorkflowKey {
                workflow_id: id.clone(),
                run_id: run.clone(),
            };
            let safe = Override::Pinned {
                version: notes.typed_version("v3"),
            };
            temporal
                .update_options(&key, Some(&safe))
                .await
                .expect("moved");
            notes.attributes("moved", &id, "").await;
            notes.closed(&id, &run).await;
            notes.look("lost", &id, &run).await;
            notes.attributes("its attributes", &id, &run).await;
            notes
                .listed(
                    &format!("WorkflowId = '{id}' AND ExecutionStatus = 'TimedOut'"),
                    1,
                )
                .await;
            let (v2, v3) = (notes.version_text("v2"), notes.version_text("v3"));
            for (label, query) in [
                (
                    "by the bad Version",
                    format!("TemporalWorkerDeploymentVersion = '{v2}'"),
                ),
                (
                    "by the target",
                    format!("TemporalWorkerDeploymentVersion = '{v3}'"),
                ),
                (
                    "by a used Version",
                    format!("TemporalUsedWorkerDeploymentVersions = '{v2}'"),
                ),
                (
                    "by not having used the target",
                    format!("TemporalUsedWorkerDeploymentVersions != '{v3}'"),
                ),
                ("by a Build ID", "BuildIds = 'unversioned:v2'".to_owned()),
                (
                    "by a deployment",
                    format!("TemporalWorkerDeployment = '{}'", notes.deployment),
                ),
                (
                    "by the deprecated spelling",
                    format!(
                        "TemporalWorkerDeploymentVersion = '{}'",
                        v3.replace(':', ".")
                    ),
                ),
            ] {
                found(notes, label, &id, &query).await;
            }
            let call = ResetCall {
                key,
                event_id: 4,
                exclude: Default::default(),
                reason: "INC-1".to_owned(),
                request_id: "r".to_owned(),
                target: None,
            };
            let result = temporal.reset(&call).await;
            let new = notes.told("reset", result).unwrap();
            notes.settled(&id).await;
            notes.look("the new run", &id, &new).await;
            notes
                .attributes("the new run's attributes", &id, &new)
                .await;
            let closed = notes.closed(&id, &new).await;
            notes.shows(
                "the same timeout anew",
                closed.workflow_execution_info.unwrap().status(),
            );
        },
    );
}

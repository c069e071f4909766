//! StartWorkflowExecution over an earlier run: fact 12.

use serde_json::json;
use temporalio_protos::temporal::api::enums::v1::{
    WorkflowIdConflictPolicy as Conflict, WorkflowIdReusePolicy as Reuse,
};
use temporalio_protos::temporal::api::history::v1::history_event::Attributes;
use temporalio_protos::temporal::api::workflowservice::v1::*;
use tonic::Code;

use super::scenes::*;

async fn send(
    scene: &Scene,
    request: StartWorkflowExecutionRequest,
) -> Result<StartWorkflowExecutionResponse, tonic::Status> {
    scene.call("StartWorkflowExecution", request).await
}

fn one() -> serde_json::Value {
    json!([
        { "type": "Order", "id": "o", "version": "v2", "task": "failing" },
        { "type": "Order", "id": "c", "version": "v2", "status": "completed" },
    ])
}

fn replace(build: &str, request_id: &str) -> StartWorkflowExecutionRequest {
    StartWorkflowExecutionRequest {
        workflow_id_conflict_policy: Conflict::TerminateExisting as i32,
        versioning_override: Some(pinned(build)),
        ..start("o", request_id)
    }
}

#[tokio::test(start_paused = true)]
async fn terminate_existing_is_atomic_and_idempotent_by_request_id() {
    let scene = scene(one());
    let base = scene.run_of("o").await;
    let first = send(&scene, replace("v1", "r")).await.unwrap();
    let again = send(&scene, replace("v1", "r")).await.unwrap();
    assert_eq!(first.run_id, again.run_id);
    assert_ne!(first.run_id, base);
    let last = scene.history("o", &base).await.pop().unwrap();
    let Some(Attributes::WorkflowExecutionTerminatedEventAttributes(mark)) = last.attributes else {
        panic!()
    };
    assert_eq!(mark.reason, "TerminateIfRunning WorkflowIdReusePolicy");
    let details = String::from_utf8(mark.details.unwrap().payloads[0].data.clone()).unwrap();
    assert!(
        details.contains(&format!("terminated by new runID: {}", first.run_id)),
        "{details}"
    );
    let described = scene.describe("o", &base).await;
    assert_eq!(
        described.workflow_extended_info.unwrap().reset_run_id,
        "",
        "no link but the details"
    );
    assert_eq!(scene.facts().workflows["o"].done.restarts, 1);
    scene.seconds(120).await;
    assert_eq!(
        scene.facts().workflows["o"].status,
        runbook::survey::Status::Completed
    );
}

#[tokio::test(start_paused = true)]
async fn a_refused_override_leaves_the_old_run_alone() {
    let scene = scene(one());
    let base = scene.run_of("o").await;
    let (code, _) = refusal(send(&scene, replace("v9", "r")).await);
    assert_eq!(
        (code, scene.run_of("o").await),
        (Code::FailedPrecondition, base)
    );
}

#[tokio::test(start_paused = true)]
async fn policies() {
    let scene = scene(one());
    let base = scene.run_of("o").await;
    assert_eq!(
        refusal(send(&scene, start("o", "r")).await),
        (
            Code::AlreadyExists,
            format!("Workflow execution is already running. WorkflowId: o, RunId: {base}.")
        )
    );
    let mut existing = replace("v3", "r");
    existing.workflow_id_conflict_policy = Conflict::UseExisting as i32;
    let reply = send(&scene, existing).await.unwrap();
    assert_eq!(
        (reply.run_id.as_str(), reply.started),
        (base.as_str(), false)
    );
    assert_eq!(
        scene.facts().workflows["o"].versioning_override,
        None,
        "silently dropped"
    );

    let mut both = replace("v3", "r");
    both.workflow_id_reuse_policy = Reuse::RejectDuplicate as i32;
    let (code, words) = refusal(send(&scene, both).await);
    assert_eq!(code, Code::InvalidArgument);
    assert!(
        words.starts_with("Invalid WorkflowIDReusePolicy: ")
            && words.contains("cannot be used together with")
    );

    let mut rejected = start("c", "r");
    rejected.workflow_id_reuse_policy = Reuse::RejectDuplicate as i32;
    let (code, words) = refusal(send(&scene, rejected).await);
    assert_eq!(code, Code::AlreadyExists);
    assert!(
        words.starts_with("Workflow execution already finished. WorkflowId: c, RunId: "),
        "{words}"
    );
    let mut failed_only = start("c", "r");
    failed_only.workflow_id_reuse_policy = Reuse::AllowDuplicateFailedOnly as i32;
    assert_eq!(
        refusal(send(&scene, failed_only).await).0,
        Code::AlreadyExists
    );
    assert!(send(&scene, start("c", "r")).await.unwrap().started);
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_is_what_event_one_says() {
    let scene = scene(one());
    let old = scene.history("o", "").await.remove(0);
    let Some(Attributes::WorkflowExecutionStartedEventAttributes(old)) = old.attributes else {
        panic!()
    };
    let request = StartWorkflowExecutionRequest {
        input: old.input.clone(),
        ..replace("v1", "r")
    };
    send(&scene, request).await.unwrap();
    let new = scene.history("o", "").await.remove(0);
    let Some(Attributes::WorkflowExecutionStartedEventAttributes(new)) = new.attributes else {
        panic!()
    };
    assert_eq!(new.input, old.input);
    assert_eq!(scene.facts().workflows["o"].input, r#"{"n":0}"#);
    assert_ne!(new.first_execution_run_id, old.first_execution_run_id);
}

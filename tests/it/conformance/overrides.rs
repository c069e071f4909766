//! UpdateWorkflowExecutionOptions: what is set, repeated, unset and refused, and when a Workflow moves.

use prost_types::FieldMask;
use serde_json::json;
use temporalio_protos::temporal::api::workflow::v1::{
    VersioningOverride, WorkflowExecutionOptions,
};
use temporalio_protos::temporal::api::workflowservice::v1::*;
use tonic::Status;

use super::backend::{Plot, TESTER, execution};
use super::transcript::{Notes, check};

async fn update(
    notes: &Notes,
    id: &str,
    run: &str,
    wanted: Option<VersioningOverride>,
) -> Result<UpdateWorkflowExecutionOptionsResponse, Status> {
    let request = UpdateWorkflowExecutionOptionsRequest {
        namespace: notes.namespace.clone(),
        workflow_execution: execution(id, run),
        workflow_execution_options: Some(WorkflowExecutionOptions {
            versioning_override: wanted,
            ..Default::default()
        }),
        update_mask: Some(FieldMask {
            paths: vec!["versioning_override".to_owned()],
        }),
        identity: TESTER.to_owned(),
    };
    notes.call("UpdateWorkflowExecutionOptions", request).await
}

#[test]
fn set_repeated_and_unset() {
    check(
        "override_set_repeated_and_unset",
        Plot::default(),
        async |notes| {
            let (id, run) = notes.started("Order", "o").await;
            let set = update(notes, &id, "", Some(notes.pinned("v3"))).await;
            let reply = notes.outcome("set", set).expect("a reply");
            notes.shows("reply", reply.workflow_execution_options);
            let again = update(notes, &id, &run, Some(notes.pinned("v3"))).await;
            notes.outcome("set again, by run id", again);
            let events = notes.history(&id, "").await;
            notes.events("one event only", &events);
            notes.shows("the event", &events.last().unwrap().attributes);
            let unset = update(notes, &id, "", None).await;
            notes.outcome("unset", unset);
            let again = update(notes, &id, "", None).await;
            notes.outcome("unset again", again);
            let events = notes.history(&id, "").await;
            notes.events("after unset", &events);
            notes.shows("the event of unset", &events.last().unwrap().attributes);
        },
    );
}

#[test]
fn refused() {
    let plot = Plot {
        versions: json!({ "v2": {}, "v3": {}, "v5": { "task_queue": "other" } }),
        ..Plot::default()
    };
    check("override_refused", plot, async |notes| {
        let (id, _) = notes.started("Order", "o").await;
        let result = update(notes, &id, "", Some(notes.pinned("v9"))).await;
        notes.outcome("unknown Version", result);
        let result = update(notes, &id, "", Some(notes.pinned("v5"))).await;
        notes.outcome("a Version of another task queue", result);
        let result = update(notes, "nowhere", "", Some(notes.pinned("v3"))).await;
        notes.outcome("unknown Workflow", result);
        let result = update(
            notes,
            &id,
            "11111111-1111-4111-8111-111111111111",
            Some(notes.pinned("v3")),
        )
        .await;
        notes.outcome("unknown run", result);
        let result = update(notes, &id, "nonsense", Some(notes.pinned("v3"))).await;
        notes.outcome("no run id", result);
        let types = notes.types(&id, "").await;
        notes.shows("nothing changed", types);
        notes.terminate(&id, "over").await;
        let result = update(notes, &id, "", Some(notes.pinned("v3"))).await;
        notes.outcome("closed", result);
    });
}

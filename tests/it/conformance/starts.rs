//! StartWorkflowExecution: ids that are taken, request ids, Overrides, and what a restart copies.

use serde_json::json;
use temporalio_protos::temporal::api::common::v1::{
    Header, Memo, Priority, RetryPolicy, SearchAttributes,
};
use temporalio_protos::temporal::api::enums::v1::{
    WorkflowIdConflictPolicy as Conflict, WorkflowIdReusePolicy as Reuse,
};
use temporalio_protos::temporal::api::history::v1::history_event::Attributes;
use temporalio_protos::temporal::api::sdk::v1::UserMetadata;
use temporalio_protos::temporal::api::workflowservice::v1::*;
use tonic::Status;

use super::backend::{Plot, payloads};
use super::transcript::{Notes, check};

async fn start(
    notes: &Notes,
    request: StartWorkflowExecutionRequest,
) -> Result<StartWorkflowExecutionResponse, Status> {
    notes.call("StartWorkflowExecution", request).await
}

fn with(
    notes: &Notes,
    id: &str,
    conflict: Conflict,
    reuse: Reuse,
) -> StartWorkflowExecutionRequest {
    StartWorkflowExecutionRequest {
        workflow_id_conflict_policy: conflict as i32,
        workflow_id_reuse_policy: reuse as i32,
        ..notes.start_of("Order", id)
    }
}

/// Notes what came of it: the run, whether it was started, its status.
async fn noted(notes: &mut Notes, label: &str, request: StartWorkflowExecutionRequest) {
    let result = start(notes, request).await;
    if let Some(reply) = notes.outcome(label, result) {
        let text = format!(
            "run {}, started {}, {:?}",
            reply.run_id,
            reply.started,
            reply.status()
        );
        notes.note(&format!("{label}, reply"), text);
    }
}

#[test]
fn an_id_that_is_taken() {
    check("start_taken", Plot::default(), async |notes| {
        let (id, run) = notes.started("Order", "o").await;
        notes.note("the first run", &run);
        let conflicts = [Conflict::Unspecified, Conflict::Fail, Conflict::UseExisting];
        for conflict in conflicts {
            let request = with(notes, &id, conflict, Reuse::AllowDuplicate);
            noted(notes, &format!("while it runs, {conflict:?}"), request).await;
        }
        let request = with(notes, &id, Conflict::UseExisting, Reuse::AllowDuplicate);
        let pinned = StartWorkflowExecutionRequest {
            versioning_override: Some(notes.pinned("v3")),
            ..request
        };
        noted(notes, "UseExisting with an Override", pinned).await;
        notes.look("which it drops", &id, "").await;
        for reuse in [
            Reuse::RejectDuplicate,
            Reuse::AllowDuplicateFailedOnly,
            Reuse::Unspecified,
        ] {
            let request = with(notes, &id, Conflict::TerminateExisting, reuse);
            noted(notes, &format!("TerminateExisting with {reuse:?}"), request).await;
            notes.settled(&id).await;
        }
        let request = with(notes, &id, Conflict::Fail, Reuse::TerminateIfRunning);
        noted(notes, "Fail with TerminateIfRunning", request).await;
        let request = with(notes, &id, Conflict::Unspecified, Reuse::TerminateIfRunning);
        noted(notes, "TerminateIfRunning alone", request).await;
    });
}

#[test]
fn an_id_of_a_closed_workflow() {
    let plot = Plot {
        types: json!({ "Order": { "on_signal": { "finish": "completed", "fail": "failed" } } }),
        ..Plot::default()
    };
    check("start_closed", plot, async |notes| {
        for how in ["finish", "fail", "terminate"] {
            for reuse in [
                Reuse::RejectDuplicate,
                Reuse::AllowDuplicateFailedOnly,
                Reuse::AllowDuplicate,
            ] {
                let (id, _) = notes.started("Order", &format!("{how}-{reuse:?}")).await;
                match how {
                    "terminate" => notes.terminate(&id, "over").await,
                    signal => notes.signal(&id, signal).await,
                }
                notes.closed(&id, "").await;
                let request = with(notes, &id, Conflict::Fail, reuse);
                noted(notes, &format!("after {how}, {reuse:?}"), request).await;
            }
        }
    });
}

#[test]
fn a_repeated_request_id() {
    check("start_request_id", Plot::default(), async |notes| {
        let id = notes.id("o");
        let first = notes.start_of("Order", &id);
        noted(notes, "first", first.clone()).await;
        noted(notes, "again", first.clone()).await;
        notes.settled(&id).await;
        let restart = with(
            notes,
            &id,
            Conflict::TerminateExisting,
            Reuse::AllowDuplicate,
        );
        noted(notes, "restart", restart.clone()).await;
        noted(notes, "restart again", restart.clone()).await;
        notes.settled(&id).await;
        noted(notes, "the first request once more", first.clone()).await;
        notes.terminate(&id, "over").await;
        noted(notes, "restart after its run was closed", restart).await;
        notes.look("current", &id, "").await;
    });
}

#[test]
fn a_restart_is_one_step() {
    let plot = Plot {
        versions: json!({ "v2": {}, "v3": {}, "v4": { "workers": false } }),
        ..Plot::default()
    };
    check("start_restart", plot, async |notes| {
        let (id, base) = notes.started("Order", "o").await;
        let restart = |build: &str| StartWorkflowExecutionRequest {
            versioning_override: Some(notes.pinned(build)),
            ..with(
                notes,
                &id,
                Conflict::TerminateExisting,
                Reuse::AllowDuplicate,
            )
        };
        let (unknown, safe, alone) = (restart("v9"), restart("v3"), restart("v4"));
        noted(notes, "to an unknown Version", unknown).await;
        notes.look("the old run goes on", &id, "").await;
        noted(notes, "to a Version", safe).await;
        notes.settled(&id).await;
        let old = notes.history(&id, &base).await;
        notes.events("the old run", &old);
        let Some(Attributes::WorkflowExecutionTerminatedEventAttributes(end)) =
            &old.last().unwrap().attributes
        else {
            panic!("not terminated");
        };
        let details = end.details.clone().unwrap_or_default();
        let details = String::from_utf8_lossy(&details.payloads[0].data).into_owned();
        notes.note(
            "its end",
            format!("{} by {}: {details}", end.reason, end.identity),
        );
        notes.look("the old run's end", &id, &base).await;
        notes.look("the new run", &id, "").await;
        let new = notes.history(&id, "").await;
        notes.events("its events", &new);
        notes.attributes("its attributes", &id, "").await;
        noted(notes, "to a Version without Workers", alone).await;
        notes.look("which waits", &id, "").await;
        notes.attributes("before a first task", &id, "").await;
    });
}

#[test]
fn what_is_missing() {
    check("start_missing", Plot::default(), async |notes| {
        let id = notes.id("o");
        let whole = notes.start_of("Order", &id);
        let cases = [
            (
                "Workflow ID",
                StartWorkflowExecutionRequest {
                    workflow_id: String::new(),
                    ..whole.clone()
                },
            ),
            (
                "Workflow Type",
                StartWorkflowExecutionRequest {
                    workflow_type: None,
                    ..whole.clone()
                },
            ),
            (
                "task queue",
                StartWorkflowExecutionRequest {
                    task_queue: None,
                    ..whole.clone()
                },
            ),
            (
                "namespace",
                StartWorkflowExecutionRequest {
                    namespace: String::new(),
                    ..whole.clone()
                },
            ),
            (
                "known namespace",
                StartWorkflowExecutionRequest {
                    namespace: "nowhere".to_owned(),
                    ..whole.clone()
                },
            ),
            (
                "attribute",
                StartWorkflowExecutionRequest {
                    search_attributes: Some(SearchAttributes {
                        indexed_fields: [(
                            "Nope".to_owned(),
                            payloads(&json!("x")).unwrap().payloads.remove(0),
                        )]
                        .into(),
                    }),
                    ..whole.clone()
                },
            ),
            (
                "request id",
                StartWorkflowExecutionRequest {
                    request_id: String::new(),
                    ..whole.clone()
                },
            ),
        ];
        for (what, request) in cases {
            let result = start(notes, request).await;
            notes.outcome(&format!("no {what}"), result.map(drop));
        }
    });
}

#[test]
fn what_a_restart_copies_is_in_event_1() {
    check("start_event_1", Plot::default(), async |notes| {
        let id = notes.id("o");
        let payload = |text: &str| payloads(&json!(text)).unwrap().payloads.remove(0);
        let one = |name: &str, text: &str| [(name.to_owned(), payload(text))].into();
        let span = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
        let request = StartWorkflowExecutionRequest {
            workflow_execution_timeout: span(7_200),
            workflow_run_timeout: span(3_600),
            workflow_task_timeout: span(20),
            retry_policy: Some(RetryPolicy {
                maximum_attempts: 3,
                ..Default::default()
            }),
            memo: Some(Memo {
                fields: one("note", "m"),
            }),
            search_attributes: Some(SearchAttributes {
                indexed_fields: one("Tier", "gold"),
            }),
            header: Some(Header {
                fields: one("trace", "h"),
            }),
            user_metadata: Some(UserMetadata {
                summary: Some(payload("s")),
                details: None,
            }),
            priority: Some(Priority {
                priority_key: 2,
                ..Default::default()
            }),
            ..notes.start_of("Order", &id)
        };
        notes.start_request(request).await.unwrap();
        notes.settled(&id).await;
        let events = notes.history(&id, "").await;
        let Some(Attributes::WorkflowExecutionStartedEventAttributes(it)) =
            events[0].attributes.clone()
        else {
            panic!("no start");
        };
        let seconds = |it: Option<prost_types::Duration>| it.map(|it| it.seconds);
        notes.shows(
            "timeouts",
            [
                seconds(it.workflow_execution_timeout),
                seconds(it.workflow_run_timeout),
                seconds(it.workflow_task_timeout),
            ],
        );
        notes.shows(
            "retry",
            it.retry_policy
                .map(|it| (it.maximum_attempts, it.backoff_coefficient)),
        );
        notes.shows(
            "memo",
            it.memo.map(|it| it.fields.into_keys().collect::<Vec<_>>()),
        );
        notes.shows(
            "attributes",
            it.search_attributes
                .map(|it| it.indexed_fields.into_keys().collect::<Vec<_>>()),
        );
        notes.shows(
            "header",
            it.header
                .map(|it| it.fields.into_keys().collect::<Vec<_>>()),
        );
        notes.shows(
            "summary",
            events[0]
                .user_metadata
                .clone()
                .and_then(|it| it.summary)
                .map(|it| it.data),
        );
        notes.shows("priority", it.priority.map(|it| it.priority_key));
        notes.note(
            "first and original run",
            format!(
                "{} {}",
                it.first_execution_run_id, it.original_execution_run_id
            ),
        );
        notes.shows(
            "attempt, identity, id",
            (it.attempt, it.identity, it.workflow_id),
        );
        notes.attributes("Describe's attributes", &id, "").await;
        let described = notes.describe(&id, "").await.unwrap();
        notes.shows(
            "Describe's memo",
            described
                .workflow_execution_info
                .unwrap()
                .memo
                .map(|it| it.fields.len()),
        );
        let config = described.execution_config.unwrap();
        notes.shows(
            "Describe's timeouts",
            [
                seconds(config.workflow_execution_timeout),
                seconds(config.workflow_run_timeout),
                seconds(config.default_workflow_task_timeout),
            ],
        );
        let rows = notes
            .listed(&format!("WorkflowId = '{id}' AND Tier = 'gold'"), 1)
            .await;
        notes.note("found by its attribute", rows.len());
    });
}

#[test]
fn the_tools_own_restart() {
    use runbook::survey::{Override, WorkflowKey};
    use runbook::temporal::RestartCall;
    check("start_tool_restart", Plot::default(), async |notes| {
        let (id, base) = notes.started("Order", "o").await;
        let temporal = notes.temporal().await;
        let key = WorkflowKey {
            workflow_id: id.clone(),
            run_id: base.clone(),
        };
        let event = temporal.start_event(&key).await.expect("event 1");
        let call = |build: &str, request_id: &str, terminate_existing| RestartCall {
            workflow_id: id.clone(),
            start: event.clone(),
            request_id: request_id.to_owned(),
            terminate_existing,
            target: Some(Override::Pinned {
                version: notes.typed_version(build),
            }),
        };
        let calls = [
            (
                "while it runs, without terminating",
                call("v3", "r-1", false),
            ),
            ("to an unknown Version", call("v9", "r-2", true)),
            ("terminating", call("v3", "r-3", true)),
            ("sent again", call("v3", "r-3", true)),
        ];
        for (label, call) in calls {
            let result = temporal.restart(&call).await;
            if let Some(run) = notes.told(label, result) {
                notes.note(&format!("{label}, run"), run);
            }
        }
        notes.settled(&id).await;
        notes.look("the new run", &id, "").await;
        notes.look("the old run", &id, &base).await;
    });
}

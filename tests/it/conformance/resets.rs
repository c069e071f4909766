//! ResetWorkflowExecution: points, request ids, what is applied again, closed bases, Overrides.

use prost_types::FieldMask;
use runbook::survey::{Override, WorkflowKey};
use runbook::temporal::ResetCall;
use serde_json::json;
use temporalio_protos::temporal::api::enums::v1::{
    EventType, ResetReapplyExcludeType as Exclude, ResetReapplyType as Reapply,
    WorkflowIdConflictPolicy,
};
use temporalio_protos::temporal::api::failure::v1::failure::FailureInfo;
use temporalio_protos::temporal::api::history::v1::HistoryEvent;
use temporalio_protos::temporal::api::history::v1::history_event::Attributes;
use temporalio_protos::temporal::api::update::v1 as update;
use temporalio_protos::temporal::api::workflow::v1::{
    PostResetOperation, VersioningOverride, WorkflowExecutionOptions, post_reset_operation,
};
use temporalio_protos::temporal::api::workflowservice::v1::*;
use tonic::Status;

use super::backend::{Plot, TESTER, execution, payloads};
use super::transcript::{Notes, check};

fn reset_to(notes: &Notes, id: &str, run: &str, event: i64) -> ResetWorkflowExecutionRequest {
    ResetWorkflowExecutionRequest {
        namespace: notes.namespace.clone(),
        workflow_execution: execution(id, run),
        reason: "INC-1".to_owned(),
        workflow_task_finish_event_id: event,
        request_id: uuid::Uuid::new_v4().to_string(),
        identity: TESTER.to_owned(),
        ..Default::default()
    }
}

async fn reset(notes: &Notes, request: ResetWorkflowExecutionRequest) -> Result<String, Status> {
    let reply: ResetWorkflowExecutionResponse =
        notes.call("ResetWorkflowExecution", request).await?;
    Ok(reply.run_id)
}

fn move_to(wanted: Option<VersioningOverride>) -> Vec<PostResetOperation> {
    let update = post_reset_operation::UpdateWorkflowOptions {
        workflow_execution_options: Some(WorkflowExecutionOptions {
            versioning_override: wanted,
            ..Default::default()
        }),
        update_mask: Some(FieldMask {
            paths: vec!["versioning_override".to_owned()],
        }),
    };
    vec![PostResetOperation {
        variant: Some(post_reset_operation::Variant::UpdateWorkflowOptions(update)),
    }]
}

/// Notes what came of a reset, and the run; gives it.
async fn noted(notes: &mut Notes, label: &str, request: ResetWorkflowExecutionRequest) -> String {
    let result = reset(notes, request).await;
    match notes.outcome(label, result) {
        Some(run) => {
            notes.note(&format!("{label}, run"), &run);
            run
        }
        None => String::new(),
    }
}

/// What the event that a reset writes says.
fn reset_mark(events: &[HistoryEvent]) -> String {
    let found = events
        .iter()
        .rev()
        .find_map(|event| match &event.attributes {
            Some(Attributes::WorkflowTaskFailedEventAttributes(it))
                if !it.new_run_id.is_empty() =>
            {
                Some((event, it))
            }
            _ => None,
        });
    let (event, it) = found.expect("the mark of a reset");
    let failure = it.failure.clone().unwrap_or_default();
    let info = matches!(
        failure.failure_info,
        Some(FailureInfo::ResetWorkflowFailureInfo(_))
    );
    format!(
        "event {}, {:?}, `{}`, reset info {info}, base {}, new {}, by {}",
        event.event_id,
        it.cause(),
        failure.message,
        it.base_run_id,
        it.new_run_id,
        it.identity
    )
}

#[test]
fn of_a_running_workflow() {
    check("reset_running", Plot::default(), async |notes| {
        let (id, base) = notes.started("Order", "o").await;
        notes.note("base", &base);
        let request = ResetWorkflowExecutionRequest {
            post_reset_operations: move_to(Some(notes.pinned("v3"))),
            ..reset_to(notes, &id, &base, 4)
        };
        let new = noted(notes, "reset with move", request).await;
        notes.settled(&id).await;
        notes.look("the base", &id, &base).await;
        let old = notes.history(&id, &base).await;
        notes.events("its events", &old);
        notes.shows("its last event", &old.last().unwrap().attributes);
        notes.attributes("its attributes", &id, &base).await;
        notes.look("the new run", &id, "").await;
        let events = notes.history(&id, &new).await;
        notes.events("the new run's events", &events);
        notes.note("its mark", reset_mark(&events));
        notes
            .attributes("the new run's attributes", &id, &new)
            .await;
        let described = notes.describe(&id, &new).await.unwrap();
        let extended = described.workflow_extended_info.unwrap();
        notes.note("last reset time is set", extended.last_reset_time.is_some());
        notes.note("request ids", extended.request_id_infos.len());
        let info = described.workflow_execution_info.unwrap();
        notes.note("first run", info.first_run_id);
        let Some(Attributes::WorkflowExecutionStartedEventAttributes(start)) =
            &events[0].attributes
        else {
            panic!("no start");
        };
        notes.note(
            "original run",
            format!(
                "{} {}",
                start.original_execution_run_id, start.first_execution_run_id
            ),
        );
        for (run, status) in [(&new, "Running"), (&base, "Terminated")] {
            let query =
                format!("WorkflowId = '{id}' AND RunId = '{run}' AND ExecutionStatus = '{status}'");
            let rows = notes.listed(&query, 1).await;
            notes.note(&format!("listed as {status}"), &rows[0].1);
        }
    });
}

#[test]
fn without_a_move_goes_where_routing_says() {
    check(
        "reset_routing",
        Plot {
            own: true,
            ..Plot::default()
        },
        async |notes| {
            let (id, base) = notes.started("Order", "o").await;
            notes.make_current("v3").await;
            let request = reset_to(notes, &id, &base, 4);
            let first = noted(notes, "to the first task", request).await;
            notes.settled(&id).await;
            notes.look("goes to the Current Version", &id, &first).await;
            notes.attributes("its attributes", &id, &first).await;
            notes.signal(&id, "nudge").await;
            let events = notes
                .events_with(&id, EventType::WorkflowTaskCompleted, 2)
                .await;
            let last = events
                .iter()
                .rev()
                .find(|it| it.event_type() == EventType::WorkflowTaskCompleted)
                .unwrap();
            let request = reset_to(notes, &id, &first, last.event_id);
            let second = noted(notes, "to the last task", request).await;
            notes.settled(&id).await;
            notes.look("stays", &id, &second).await;
        },
    );
}

#[test]
fn request_ids_do_not_protect() {
    check("reset_request_id", Plot::default(), async |notes| {
        let id = notes.id("o");
        let start = StartWorkflowExecutionRequest {
            request_id: "the start's".to_owned(),
            ..notes.start_of("Order", &id)
        };
        let base = notes.start_request(start).await.unwrap();
        notes.settled(&id).await;
        let fixed = |request: ResetWorkflowExecutionRequest, request_id: &str| {
            ResetWorkflowExecutionRequest {
                request_id: request_id.to_owned(),
                ..request
            }
        };
        let one = fixed(reset_to(notes, &id, &base, 4), "one");
        noted(notes, "first", one.clone()).await;
        notes.look("base after the first", &id, &base).await;
        notes.settled(&id).await;
        noted(notes, "again", one.clone()).await;
        notes.settled(&id).await;
        notes.look("base after the second", &id, &base).await;
        let current = fixed(reset_to(notes, &id, "", 4), "one");
        noted(notes, "the current run, same id", current).await;
        notes.settled(&id).await;
        notes.look("base after the third", &id, &base).await;
        let start = fixed(reset_to(notes, &id, &base, 4), "the start's");
        noted(notes, "with the start's request id", start).await;
        let none = fixed(reset_to(notes, &id, &base, 4), "");
        noted(notes, "without", none).await;
        let no_reason = ResetWorkflowExecutionRequest {
            reason: String::new(),
            ..reset_to(notes, &id, &base, 4)
        };
        noted(notes, "without a reason", no_reason).await;
        notes.settled(&id).await;
        let all = notes.listed(&format!("WorkflowId = '{id}'"), 5).await;
        notes.note("runs", all.len());
    });
}

#[test]
fn points() {
    let plot = Plot {
        types: json!({ "Order": { "behaves": { "v2": "complete" }, "takes": "100ms" } }),
        ..Plot::default()
    };
    check("reset_points", plot, async |notes| {
        let id = notes.id("o");
        let base = notes.start("Order", &id).await;
        notes.closed(&id, "").await;
        let events = notes.history(&id, &base).await;
        notes.events("the base", &events);
        for event in &events {
            let request = reset_to(notes, &id, &base, event.event_id);
            noted(
                notes,
                &format!("to {} {:?}", event.event_id, event.event_type()),
                request,
            )
            .await;
        }
        for event in [0, -1, events.len() as i64 + 1, i64::MAX] {
            let request = reset_to(notes, &id, &base, event);
            noted(notes, &format!("to {event}"), request).await;
        }
        let request = reset_to(notes, &id, "nonsense", 4);
        noted(notes, "no run id", request).await;
        let request = reset_to(notes, &id, "11111111-1111-4111-8111-111111111111", 4);
        noted(notes, "unknown run", request).await;
        let request = reset_to(notes, "nowhere", "", 4);
        noted(notes, "unknown Workflow", request).await;
        let request = ResetWorkflowExecutionRequest {
            workflow_execution: None,
            ..reset_to(notes, &id, "", 4)
        };
        noted(notes, "no Workflow", request).await;
    });
}

#[test]
fn points_around_signals() {
    check("reset_points_signals", Plot::default(), async |notes| {
        let (id, base) = notes.started("Order", "o").await;
        notes.signal(&id, "one").await;
        notes
            .events_with(&id, EventType::WorkflowTaskCompleted, 2)
            .await;
        let events = notes.history(&id, &base).await;
        notes.events("the base", &events);
        for event in &events[4..] {
            let request = reset_to(notes, &id, &base, event.event_id);
            let new = noted(
                notes,
                &format!("to {} {:?}", event.event_id, event.event_type()),
                request,
            )
            .await;
            if !new.is_empty() {
                notes.settled(&id).await;
                let events = notes.history(&id, &new).await;
                notes.events(&format!("after the reset to {}", event.event_id), &events);
            }
        }
    });
}

#[test]
fn what_is_applied_again() {
    let plot = Plot {
        types: json!({ "Order": { "queries": { "sum": { "adds": { "add": "n" } } } } }),
        ..Plot::default()
    };
    check("reset_reapply", plot, async |notes| {
        let (id, base) = notes.started("Order", "o").await;
        notes
            .send(&id, "", "add", &json!({ "n": 1 }), "s-1")
            .await
            .unwrap();
        notes
            .events_with(&id, EventType::WorkflowTaskCompleted, 2)
            .await;
        let request = UpdateWorkflowExecutionRequest {
            namespace: notes.namespace.clone(),
            workflow_execution: execution(&id, ""),
            wait_policy: Some(update::WaitPolicy { lifecycle_stage: 3 }),
            request: Some(update::Request {
                meta: Some(update::Meta {
                    update_id: "u-1".to_owned(),
                    identity: TESTER.to_owned(),
                }),
                input: Some(update::Input {
                    name: "add".to_owned(),
                    args: payloads(&json!({ "n": 10 })),
                    ..Default::default()
                }),
                ..Default::default()
            }),
            ..Default::default()
        };
        if !notes.is_simulated() {
            let _: UpdateWorkflowExecutionResponse = notes
                .call("UpdateWorkflowExecution", request)
                .await
                .unwrap();
        }
        notes.settled(&id).await;
        notes
            .send(&id, "", "add", &json!({ "n": 100 }), "s-2")
            .await
            .unwrap();
        notes.settled(&id).await;
        let signals = |events: &[HistoryEvent]| {
            events
                .iter()
                .filter(|it| it.event_type() == EventType::WorkflowExecutionSignaled)
                .count()
        };
        let cases = [
            ("all", vec![], Reapply::Unspecified),
            ("no signals", vec![Exclude::Signal], Reapply::Unspecified),
            (
                "neither signals nor updates",
                vec![Exclude::Signal, Exclude::Update],
                Reapply::Unspecified,
            ),
            ("none, in the old field", vec![], Reapply::None),
            ("signals, in the old field", vec![], Reapply::Signal),
        ];
        for (label, exclude, reapply) in cases {
            let request = ResetWorkflowExecutionRequest {
                reset_reapply_exclude_types: exclude.into_iter().map(|it| it as i32).collect(),
                reset_reapply_type: reapply as i32,
                ..reset_to(notes, &id, &base, 4)
            };
            let run = reset(notes, request).await.unwrap();
            notes.settled(&id).await;
            let events = notes.history(&id, &run).await;
            notes.note(&format!("{label}: signals"), signals(&events));
        }
    });
}

#[test]
fn of_a_closed_run() {
    let plot = Plot {
        types: json!({ "Order": { "on_signal": { "finish": "completed" } }, "Other": {} }),
        ..Plot::default()
    };
    check("reset_closed", plot, async |notes| {
        let (id, base) = notes.started("Order", "o").await;
        notes.signal(&id, "finish").await;
        notes.closed(&id, &base).await;
        let request = reset_to(notes, &id, &base, 4);
        let new = noted(notes, "a completed one", request).await;
        notes.closed(&id, &new).await;
        notes.look("the signal is applied again", &id, &new).await;
        notes.look("the base", &id, &base).await;
        let start = StartWorkflowExecutionRequest {
            workflow_id_conflict_policy: WorkflowIdConflictPolicy::Fail as i32,
            ..notes.start_of("Other", &id)
        };
        let other = notes.start_request(start).await.unwrap();
        notes.settled(&id).await;
        notes.look("another Workflow under its id", &id, "").await;
        let request = ResetWorkflowExecutionRequest {
            reset_reapply_exclude_types: vec![Exclude::Signal as i32],
            ..reset_to(notes, &id, &base, 4)
        };
        noted(notes, "the base again", request).await;
        notes.settled(&id).await;
        notes.look("the other is terminated", &id, &other).await;
        let events = notes.history(&id, &other).await;
        notes.shows("by", &events.last().unwrap().attributes);
        notes.look("the base's newest reset", &id, &base).await;
        notes.look("current", &id, "").await;
        let kind = notes
            .describe(&id, "")
            .await
            .unwrap()
            .workflow_execution_info
            .unwrap()
            .r#type;
        notes.shows("its type", kind.map(|it| it.name));
    });
}

#[test]
fn refused_moves_change_nothing() {
    check("reset_refused", Plot::default(), async |notes| {
        let (id, base) = notes.started("Order", "o").await;
        let mut headless = notes.pinned("v3");
        if let Some(
            temporalio_protos::temporal::api::workflow::v1::versioning_override::Override::Pinned(
                pinned,
            ),
        ) = &mut headless.r#override
        {
            pinned.behavior = 0;
        }
        let signal = vec![PostResetOperation {
            variant: Some(post_reset_operation::Variant::SignalWorkflow(
                post_reset_operation::SignalWorkflow {
                    signal_name: "s".to_owned(),
                    ..Default::default()
                },
            )),
        }];
        let cases = [
            ("to an unknown Version", move_to(Some(notes.pinned("v9")))),
            ("without the kind of pin", move_to(Some(headless))),
            ("with a Signal", signal),
        ];
        for (label, post_reset_operations) in cases {
            let request = ResetWorkflowExecutionRequest {
                post_reset_operations,
                ..reset_to(notes, &id, &base, 4)
            };
            noted(notes, label, request).await;
        }
        notes.look("untouched", &id, "").await;
        notes.terminate(&id, "over").await;
        let request = ResetWorkflowExecutionRequest {
            post_reset_operations: move_to(Some(notes.pinned("v9"))),
            ..reset_to(notes, &id, &base, 4)
        };
        noted(notes, "closed, to an unknown Version", request).await;
        notes.look("no new run", &id, "").await;
    });
}

#[test]
fn overrides_survive() {
    check("reset_override_survives", Plot::default(), async |notes| {
        let (id, base) = notes.started("Order", "o").await;
        let temporal = notes.temporal().await;
        let key = WorkflowKey {
            workflow_id: id.clone(),
            run_id: base.clone(),
        };
        let target = Override::Pinned {
            version: notes.typed_version("v3"),
        };
        let result = temporal.update_options(&key, Some(&target)).await;
        notes.told("override", result);
        let call = ResetCall {
            key,
            event_id: 4,
            exclude: [
                runbook::temporal::Reapply::Signal,
                runbook::temporal::Reapply::Update,
            ]
            .into(),
            reason: "INC-2".to_owned(),
            request_id: "r".to_owned(),
            target: None,
        };
        let result = temporal.reset(&call).await;
        let run = notes.told("reset without a move", result).unwrap();
        notes.settled(&id).await;
        notes.look("the new run", &id, &run).await;
        let events = notes.history(&id, &run).await;
        notes.events("its events", &events);
        let request = ResetWorkflowExecutionRequest {
            post_reset_operations: move_to(None),
            ..reset_to(notes, &id, &run, 4)
        };
        let run = noted(notes, "reset that unsets", request).await;
        notes.settled(&id).await;
        notes.look("unset", &id, &run).await;
        let events = notes.history(&id, &run).await;
        notes.events("events of the unset one", &events);
        let request = ResetWorkflowExecutionRequest {
            post_reset_operations: move_to(Some(notes.pinned("v2"))),
            ..reset_to(notes, &id, &base, 4)
        };
        let run = noted(notes, "the base, with a move", request).await;
        notes.settled(&id).await;
        notes.look("moved", &id, &run).await;
        let events = notes.history(&id, &run).await;
        notes.events("events of the moved one", &events);
        let wrong = ResetCall {
            event_id: 3,
            target: Some(Override::Pinned {
                version: notes.typed_version("v9"),
            }),
            ..call.clone()
        };
        let result = temporal.reset(&wrong).await;
        notes.told("the tool's refused target", result);
        let wrong = ResetCall {
            event_id: 2,
            ..call
        };
        let result = temporal.reset(&wrong).await;
        notes.told("the tool's refused point", result);
    });
}

#[test]
fn to_a_version_without_workers() {
    let plot = Plot {
        versions: json!({ "v2": {}, "v4": { "workers": false } }),
        ..Plot::default()
    };
    check("reset_no_workers", plot, async |notes| {
        let (id, base) = notes.started("Order", "o").await;
        let request = ResetWorkflowExecutionRequest {
            post_reset_operations: move_to(Some(notes.pinned("v4"))),
            ..reset_to(notes, &id, &base, 4)
        };
        noted(notes, "accepted", request).await;
        notes.look("waits", &id, "").await;
        notes.attributes("its attributes", &id, "").await;
        let types = notes.types(&id, "").await;
        notes.shows("events", types);
    });
}

//! Workflow Tasks that fail again and again: what Describe, the history and Visibility show, and how a
//! Workflow gets out of it.

use runbook::survey::{Override, WorkflowKey};
use runbook::temporal::ResetCall;
use serde_json::json;
use temporalio_protos::temporal::api::enums::v1::PendingWorkflowTaskState;
use temporalio_protos::temporal::api::history::v1::HistoryEvent;
use temporalio_protos::temporal::api::history::v1::history_event::Attributes;

use super::backend::Plot;
use super::transcript::{Notes, check};

/// On v2 an Order fails its tasks and what is Calm waits for an Activity; v6 does not replay that.
fn plot() -> Plot {
    Plot {
        versions: json!({
            "v2": { "behaves": "raise_errors" }, "v3": { "behaves": "idle" }, "v6": { "behaves": "fail_tasks" },
        }),
        types: json!({
            "Order": {},
            "Probe": { "behaves": { "v2": "idle" } },
            "Calm": { "behaves": { "v2": "complete", "v3": "complete" }, "takes": "10m" },
        }),
        ..Plot::default()
    }
}

async fn attempt(notes: &Notes, id: &str, at_least: i32) {
    notes
        .until(&format!("attempt {at_least}"), async || {
            let task = notes.describe(id, "").await.ok()?.pending_workflow_task?;
            let started = task.state() == PendingWorkflowTaskState::Started;
            (task.attempt >= at_least && started).then_some(())
        })
        .await;
}

/// Why its tasks failed, each cause once: how many failures a history keeps is the SDK's business.
fn causes(events: &[HistoryEvent]) -> String {
    let mut causes: Vec<String> = events
        .iter()
        .filter_map(|it| match &it.attributes {
            Some(Attributes::WorkflowTaskFailedEventAttributes(it)) => {
                Some(format!("{:?}", it.cause()))
            }
            _ => None,
        })
        .collect();
    causes.dedup();
    causes.join(", ")
}

/// Who took each Workflow Task, each once.
fn takers(events: &[HistoryEvent]) -> String {
    let mut takers: Vec<String> = events
        .iter()
        .filter_map(|it| match &it.attributes {
            Some(Attributes::WorkflowTaskStartedEventAttributes(it)) => Some(it.identity.clone()),
            _ => None,
        })
        .filter(|identity| !identity.is_empty())
        .collect();
    takers.dedup();
    takers.join(", ")
}

fn to(notes: &Notes, build: &str) -> Override {
    Override::Pinned {
        version: notes.typed_version(build),
    }
}

#[test]
fn reported_late_and_kept_by_a_base() {
    check("problems_reported", plot(), async |notes| {
        let id = notes.id("o");
        let base = notes.start("Order", &id).await;
        attempt(notes, &id, 3).await;
        let events = notes.history(&id, "").await;
        notes.note("why", causes(&events));
        notes.attributes("not reported yet", &id, "").await;
        let reported = format!("WorkflowId = '{id}' AND TemporalReportedProblems IS NOT NULL");
        notes.listed(&reported, 1).await;
        notes.attributes("reported", &id, "").await;
        for query in [
            "= 'category=WorkflowTaskFailed'",
            "IN ('category=WorkflowTaskFailed', 'category=WorkflowTaskTimedOut')",
            "!= 'category=WorkflowTaskFailed'",
            "IS NULL",
            "STARTS_WITH 'category'",
        ] {
            let whole = format!("WorkflowId = '{id}' AND TemporalReportedProblems {query}");
            let result = notes.list(&whole).await;
            if let Some(reply) = notes.refusal(&format!("list {query}"), result) {
                notes.note(&format!("rows of {query}"), reply.executions.len());
            }
        }
        let temporal = notes.temporal().await;
        let key = WorkflowKey {
            workflow_id: id.clone(),
            run_id: base.clone(),
        };
        let look = temporal.look(&key).await.unwrap().expect("it is there");
        notes.shows("the tool: why", temporal.task_failure(&look).await.unwrap());
        let call = ResetCall {
            key,
            event_id: 4,
            exclude: Default::default(),
            reason: "INC-1".to_owned(),
            request_id: "r".to_owned(),
            target: Some(to(notes, "v3")),
        };
        let result = temporal.reset(&call).await;
        let run = notes.told("reset to the failed task", result).unwrap();
        notes.settled(&id).await;
        notes.look("the new run", &id, &run).await;
        notes.attributes("its attributes", &id, &run).await;
        notes
            .listed(&format!("{reported} AND ExecutionStatus = 'Terminated'"), 1)
            .await;
        notes.attributes("the base's attributes", &id, &base).await;
    });
}

#[test]
fn a_replay_that_does_not_fit() {
    check("problems_replay", plot(), async |notes| {
        let (id, run) = notes.started("Calm", "o").await;
        let temporal = notes.temporal().await;
        let key = WorkflowKey {
            workflow_id: id.clone(),
            run_id: run,
        };
        let (bad, safe) = (to(notes, "v6"), to(notes, "v3"));
        temporal
            .update_options(&key, Some(&bad))
            .await
            .expect("moved");
        notes
            .look("nothing happens while it is idle", &id, "")
            .await;
        notes.signal(&id, "nudge").await;
        attempt(notes, &id, 3).await;
        let events = notes.history(&id, "").await;
        notes.note("why", causes(&events));
        let look = temporal.look(&key).await.unwrap().expect("it is there");
        notes.shows("the tool: why", temporal.task_failure(&look).await.unwrap());
        temporal
            .update_options(&key, Some(&safe))
            .await
            .expect("moved on");
        let described = notes.describe(&id, "").await.unwrap();
        let task = described.pending_workflow_task.expect("a task");
        notes.shows("the started task stays", task.state());
        notes.settled(&id).await;
        notes.attributes("moved when it timed out", &id, "").await;
        let last = notes.history(&id, "").await;
        notes.note("taken by", takers(&last));
    });
}

#[test]
fn an_override_on_a_first_task_that_fails() {
    check("problems_first_task", plot(), async |notes| {
        let id = notes.id("o");
        let run = notes.start("Order", &id).await;
        attempt(notes, &id, 3).await;
        let temporal = notes.temporal().await;
        let key = WorkflowKey {
            workflow_id: id.clone(),
            run_id: run,
        };
        temporal
            .update_options(&key, Some(&to(notes, "v3")))
            .await
            .expect("moved");
        // The started task must first time out; whoever takes the next one writes events.
        let before = notes.describe(&id, "").await.unwrap();
        let before = before.workflow_execution_info.unwrap().history_length;
        let events = notes
            .until("the next task to be taken", async || {
                let it = notes.describe(&id, "").await.ok()?;
                let longer = it.workflow_execution_info?.history_length > before + 2;
                match longer {
                    true => Some(notes.history(&id, "").await),
                    false => None,
                }
            })
            .await;
        notes.note("taken by", takers(&events));
        notes.terminate(&id, "over").await;
    });
}

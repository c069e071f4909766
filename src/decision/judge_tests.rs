//! Verdicts of cancel, Signal and terminate.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::list_filter;
use crate::selection::Selection;
use crate::survey::{CurrentRun, PendingTask};

fn look(status: Status) -> Look {
    let run = "run-1".to_owned();
    Look {
        listed: Listed {
            key: WorkflowKey {
                workflow_id: "order-1".to_owned(),
                run_id: run.clone(),
            },
            workflow_type: "Order".to_owned(),
            status,
            task_queue: "q".to_owned(),
            start_time: None,
            close_time: None,
            parent: None,
            attributes: Default::default(),
        },
        at: Timestamp::UNIX_EPOCH,
        first_run_id: run.clone(),
        history_length: 9,
        reset_run_id: None,
        current: CurrentRun {
            run_id: run.clone(),
            status,
            first_run_id: run,
        },
        behavior: Behavior::Unspecified,
        versioning_override: None,
        deployment_version: None,
        pending_task: None,
        pending_children: Vec::new(),
        parent_running: None,
        run_timeout_seconds: 0,
        execution_timeout_seconds: 0,
        cancel_requested: false,
        last_reset: None,
    }
}

fn verdict(action: &str, with: Value, look: &Look, step: &str) -> Verdict {
    let scope = list_filter::parse("WorkflowType = 'Order'").expect("a filter");
    let call = Call::new(action, with).expect("arguments");
    judge(&Case {
        table: &Table::single(step, scope, Selection::default(), call),
        look,
        history: None,
        lost: false,
        latest: false,
        failure: None,
        barred: None,
        naming: Naming { run: "rb-1", step },
    })
}

fn skipped(action: &str, with: Value, look: &Look) -> String {
    match verdict(action, with, look, "stop") {
        Verdict::Skip { reason, .. } => reason,
        other => panic!("{other:?}"),
    }
}

fn written(action: &str, with: Value, look: &Look, step: &str) -> Write {
    match verdict(action, with, look, step) {
        Verdict::Write { write, .. } => *write,
        other => panic!("{other:?}"),
    }
}

const CANCEL: &str = "workflows.cancel";
const SIGNAL: &str = "workflows.signal";

#[test]
fn what_is_closed_is_skipped_by_name() {
    for status in Status::ALL.into_iter().filter(|status| !status.is_open()) {
        let look = look(status);
        let closed = format!("already closed ({status})");
        assert_eq!(skipped(CANCEL, json!({ "reason": "R" }), &look), closed);
        assert_eq!(skipped(SIGNAL, json!({ "name": "S" }), &look), closed);
        let terminate = skipped("workflows.terminate", json!({ "reason": "R" }), &look);
        assert_eq!(terminate, closed);
    }
}

#[test]
fn a_paused_workflow_is_open() {
    let look = look(Status::Paused);
    written(CANCEL, json!({ "reason": "R" }), &look, "stop");
    written(SIGNAL, json!({ "name": "S" }), &look, "stop");
}

#[test]
fn a_cancel_is_asked_for_once() {
    let mut asked = look(Status::Running);
    asked.cancel_requested = true;
    assert_eq!(
        skipped(CANCEL, json!({ "reason": "R" }), &asked),
        "cancel already requested"
    );
    // It says nothing about a Signal.
    written(SIGNAL, json!({ "name": "S" }), &asked, "stop");
}

#[test]
fn the_reason_of_a_cancel_tells_whose_it_is() {
    let write = written(
        CANCEL,
        json!({ "reason": "INC-8" }),
        &look(Status::Running),
        "stop",
    );
    let Write::Cancel { reason, .. } = write else {
        panic!("{write:?}");
    };
    assert_eq!(reason, "INC-8 [runbook rb-1 stop]");
}

#[test]
fn a_signals_request_id_is_the_same_at_every_look_and_another_in_every_step() {
    let with = json!({ "name": "add", "input": { "points": 1 } });
    let id = |look: &Look, step: &str| match written(SIGNAL, with.clone(), look, step) {
        Write::Signal { request_id, .. } => request_id,
        other => panic!("{other:?}"),
    };
    let early = look(Status::Running);
    let mut late = early.clone();
    late.history_length = 70;
    late.pending_task = Some(PendingTask {
        started: true,
        attempt: 3,
        original_scheduled: None,
        scheduled: None,
        started_at: None,
    });
    assert_eq!(id(&early, "send"), id(&late, "send"));
    assert_ne!(id(&early, "send"), id(&early, "again"));
    let mut successor = early.clone();
    successor.listed.key.run_id = "run-2".to_owned();
    assert_ne!(id(&early, "send"), id(&successor, "send"));
}

#[test]
fn input_is_one_argument_and_null_is_one_too() {
    let values = |with: Value| match written(SIGNAL, with, &look(Status::Running), "send") {
        Write::Signal {
            input, arguments, ..
        } => {
            assert_eq!(input.len(), arguments);
            input
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(values(json!({ "name": "S" })), Vec::<Value>::new());
    assert_eq!(values(json!({ "name": "S", "input": null })), [Value::Null]);
    assert_eq!(
        values(json!({ "name": "S", "input": [1, 2] })),
        [json!([1, 2])]
    );
    assert_eq!(
        values(json!({ "name": "S", "arguments": [1, "two"] })),
        [json!(1), json!("two")]
    );
}

#[test]
fn a_large_input_is_not_written_down_with_each_intent() {
    let look = look(Status::Running);
    for (length, kept) in [(10, 1), (5_000, 0)] {
        let input = "x".repeat(length);
        let write = written(
            SIGNAL,
            json!({ "name": "S", "input": input }),
            &look,
            "send",
        );
        let text = serde_json::to_string(&write).expect("JSON");
        let read: Write = serde_json::from_str(&text).expect("a write");
        let Write::Signal {
            input, arguments, ..
        } = read
        else {
            panic!("{read:?}");
        };
        assert_eq!((input.len(), arguments), (kept, 1));
    }
}

#[test]
fn what_is_shown_of_an_input_is_cut_between_characters() {
    let input = "ü".repeat(1_000);
    let call = Call::new(SIGNAL, json!({ "name": "S", "input": input })).expect("arguments");
    let does = call.does();
    assert!(does.starts_with("send Signal `S` with \"ü"), "{does}");
    assert!(does.ends_with('…') && does.chars().count() < 200, "{does}");
}

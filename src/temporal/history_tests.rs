//! Histories, judged; their shapes are those that server 1.32 wrote.

use jiff::Timestamp;
use temporalio_protos::temporal::api::failure::v1::Failure;
use temporalio_protos::temporal::api::history::v1::{
    WorkflowExecutionStartedEventAttributes, WorkflowTaskFailedEventAttributes,
};

use super::*;
use crate::survey::{Behavior, CurrentRun, Listed, PendingTask, ResetOrigin, Status, WorkflowKey};

fn look(history_length: i64) -> Look {
    Look {
        listed: Listed {
            key: WorkflowKey {
                workflow_id: "w".to_owned(),
                run_id: "r".to_owned(),
            },
            workflow_type: "Order".to_owned(),
            status: Status::Running,
            task_queue: "q".to_owned(),
            start_time: None,
            close_time: None,
            parent: None,
            attributes: Default::default(),
        },
        at: Timestamp::UNIX_EPOCH,
        first_run_id: "r".to_owned(),
        history_length,
        reset_run_id: None,
        current: CurrentRun {
            run_id: "r".to_owned(),
            status: Status::Running,
            first_run_id: "r".to_owned(),
        },
        behavior: Behavior::Pinned,
        versioning_override: None,
        deployment_version: None,
        pending_task: None,
        pending_children: Vec::new(),
        parent_running: None,
        run_timeout_seconds: 0,
        execution_timeout_seconds: 0,
        last_reset: None,
    }
}

/// One letter an event: S start, s task scheduled, t task started, c completed, f failed, o timed out,
/// R failed by the reset that made this run, A activity completed, g signal, u update, . anything else.
fn events(letters: &str) -> Vec<HistoryEvent> {
    letters
        .chars()
        .zip(1..)
        .map(|(letter, event_id)| event(letter, event_id))
        .collect()
}

fn event(letter: char, event_id: i64) -> HistoryEvent {
    let kind = match letter {
        'S' => EventType::WorkflowExecutionStarted,
        's' => EventType::WorkflowTaskScheduled,
        't' => EventType::WorkflowTaskStarted,
        'c' => EventType::WorkflowTaskCompleted,
        'f' | 'R' => EventType::WorkflowTaskFailed,
        'o' => EventType::WorkflowTaskTimedOut,
        'A' => EventType::ActivityTaskCompleted,
        'g' => EventType::WorkflowExecutionSignaled,
        'u' => EventType::WorkflowExecutionUpdateAccepted,
        _ => EventType::TimerStarted,
    };
    let attributes = match letter {
        'S' => Some(Attributes::WorkflowExecutionStartedEventAttributes(
            WorkflowExecutionStartedEventAttributes::default(),
        )),
        'R' => Some(Attributes::WorkflowTaskFailedEventAttributes(
            WorkflowTaskFailedEventAttributes {
                cause: WorkflowTaskFailedCause::ResetWorkflow.into(),
                started_event_id: event_id - 1,
                base_run_id: "base".to_owned(),
                new_run_id: "r".to_owned(),
                failure: Some(Failure {
                    message: "INC-1".to_owned(),
                    ..Default::default()
                }),
                ..Default::default()
            },
        )),
        _ => None,
    };
    HistoryEvent {
        event_id,
        event_type: kind.into(),
        attributes,
        ..Default::default()
    }
}

fn whole(letters: &str) -> Events {
    Events {
        front: events(letters),
        ..Events::default()
    }
}

fn judged(letters: &str, need: HistoryNeed) -> HistoryLook {
    let durable = i64::try_from(letters.len()).expect("short");
    judge(whole(letters), need, &look(durable), "r")
}

fn point(letters: &str, need: HistoryNeed) -> Option<i64> {
    judged(letters, need)
        .reset_point
        .map(|point| point.event_id)
}

const FIRST: HistoryNeed = HistoryNeed::FirstWorkflowTask;
const LAST: HistoryNeed = HistoryNeed::LastWorkflowTask;

#[test]
fn the_first_and_the_last_completed_task() {
    let letters = "Sstc..Astcg.stc..";
    assert_eq!(
        (point(letters, FIRST), point(letters, LAST)),
        (Some(4), Some(15))
    );
    let stuck = "Sstc.Astfstf";
    assert_eq!(
        (point(stuck, FIRST), point(stuck, LAST)),
        (Some(4), Some(4)),
        "completed, not failed"
    );
}

#[test]
fn what_follows_the_point_is_counted() {
    let point = judged("SstcgA.guAstf", FIRST).reset_point.expect("a point");
    assert_eq!(
        (
            point.signals_after,
            point.updates_after,
            point.activities_after
        ),
        (2, 1, 2)
    );
    assert_eq!(point.events_after, 9);
}

#[test]
fn without_a_completed_task_the_first_durable_failed_one_will_do_and_there_is_no_last() {
    assert_eq!(
        (point("Sstfsto", FIRST), point("Sstfsto", LAST)),
        (Some(4), None)
    );
    assert_eq!(point("Sst", FIRST), None);
    assert_eq!(point("S", LAST), None);
}

#[test]
fn transient_events_of_a_retrying_task_are_no_reset_points() {
    let with_transient = judge(whole("Sstfstc"), FIRST, &look(4), "r");
    assert_eq!(
        with_transient.reset_point.map(|point| point.event_id),
        Some(4)
    );
}

#[test]
fn dispatched() {
    assert!(!judged("S", FIRST).dispatched);
    assert!(!judged("Ss", FIRST).dispatched);
    assert!(judged("Sst", FIRST).dispatched);
    assert!(
        !judged("SstR.s", FIRST).dispatched,
        "the reset's own task was given to nobody"
    );
    assert!(judged("SstR.st", FIRST).dispatched);
    let retrying = PendingTask {
        started: false,
        attempt: 2,
        original_scheduled: None,
        scheduled: None,
        started_at: None,
    };
    let look = Look {
        pending_task: Some(retrying),
        ..look(2)
    };
    assert!(
        judge(whole("Ss"), FIRST, &look, "r").dispatched,
        "a second attempt had a first"
    );
}

#[test]
fn which_reset_made_the_run() {
    let expected = ResetOrigin {
        base_run_id: "base".to_owned(),
        reason: "INC-1".to_owned(),
    };
    assert_eq!(judged("SstR.stc", LAST).made_by_reset, Some(expected));
    assert_eq!(
        judged("Sstfstc", LAST).made_by_reset,
        None,
        "an ordinary failure is no reset"
    );
    let of_a_base = judge(whole("SstR.stc"), LAST, &look(8), "another run");
    assert_eq!(
        of_a_base.made_by_reset, None,
        "that reset made a base of this run"
    );
}

#[test]
fn the_start_event_comes_back_as_it_was() {
    let text = judged("Sst", HistoryNeed::Start)
        .start
        .expect("a start event");
    assert_eq!(convert::event_from_text(&text), Some(event('S', 1)));
    assert_eq!(convert::event_from_text("not base64!"), None);
}

#[test]
fn truncated_only_where_the_unread_part_could_hold_the_answer() {
    let split = |back: &str| {
        let mut back = events(back);
        back.iter_mut().for_each(|event| event.event_id += 1000);
        Events {
            front: events("Sstc."),
            back,
            truncated: true,
        }
    };
    let far = look(2000);
    let found = judge(split("..stc.g"), LAST, &far, "r");
    assert_eq!(
        found
            .reset_point
            .map(|point| (point.event_id, point.signals_after)),
        Some((1005, 1))
    );
    assert!(!found.truncated);

    let first = judge(split("..g"), FIRST, &far, "r");
    assert!(first.truncated, "signals in the middle were not counted");

    let reset = Look {
        last_reset: Some(Timestamp::UNIX_EPOCH),
        ..far
    };
    assert!(
        judge(split("..stc"), LAST, &reset, "r").truncated,
        "the reset's event is in the middle"
    );
}

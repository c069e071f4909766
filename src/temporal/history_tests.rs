//! Histories, judged; their shapes are those that server 1.32 wrote.

use jiff::Timestamp;
use temporalio_protos::temporal::api::failure::v1::Failure;
use temporalio_protos::temporal::api::history::v1::WorkflowTaskFailedEventAttributes;

use super::*;
use crate::survey::{Behavior, CurrentRun, Listed, PendingTask, ResetOrigin, Status, WorkflowKey};
use temporalio_protos::temporal::api::common::v1::Payload;

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
        cancel_requested: false,
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
    use Attributes as A;
    let attributes = match letter {
        'S' => A::WorkflowExecutionStartedEventAttributes(Default::default()),
        's' => A::WorkflowTaskScheduledEventAttributes(Default::default()),
        't' => A::WorkflowTaskStartedEventAttributes(Default::default()),
        'c' => A::WorkflowTaskCompletedEventAttributes(Default::default()),
        'f' => A::WorkflowTaskFailedEventAttributes(Default::default()),
        'o' => A::WorkflowTaskTimedOutEventAttributes(Default::default()),
        'A' => A::ActivityTaskCompletedEventAttributes(Default::default()),
        'g' => A::WorkflowExecutionSignaledEventAttributes(Default::default()),
        'u' => A::WorkflowExecutionUpdateAcceptedEventAttributes(Default::default()),
        'R' => A::WorkflowTaskFailedEventAttributes(WorkflowTaskFailedEventAttributes {
            cause: WorkflowTaskFailedCause::ResetWorkflow.into(),
            started_event_id: event_id - 1,
            base_run_id: "base".to_owned(),
            new_run_id: "r".to_owned(),
            failure: Some(Failure {
                message: "INC-1".to_owned(),
                ..Default::default()
            }),
            ..Default::default()
        }),
        _ => A::MarkerRecordedEventAttributes(Default::default()),
    };
    HistoryEvent {
        event_id,
        attributes: Some(attributes),
        ..Default::default()
    }
}

/// What a run of these events was made by, and whether a Worker ever got a task of it.
fn gathered(letters: &str, look: &Look, run_id: &str) -> (Option<ResetOrigin>, bool) {
    let mut gathered = Gathered::default();
    for event in events(letters) {
        gathered.take(&event, look, run_id);
    }
    let dispatched = gathered.dispatched(look);
    (gathered.origin, dispatched)
}

fn of(letters: &str) -> (Option<ResetOrigin>, bool) {
    let durable = i64::try_from(letters.len()).expect("short");
    gathered(letters, &look(durable), "r")
}

#[test]
fn dispatched() {
    assert!(!of("S").1);
    assert!(!of("Ss").1);
    assert!(of("Sst").1);
    assert!(!of("SstR.s").1, "the reset's own task was given to nobody");
    assert!(of("SstR.st").1);
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
    assert!(gathered("Ss", &look, "r").1, "a second attempt had a first");
}

#[test]
fn which_reset_made_the_run() {
    let expected = ResetOrigin {
        base_run_id: "base".to_owned(),
        reason: "INC-1".to_owned(),
    };
    assert_eq!(of("SstR.stc").0, Some(expected));
    assert_eq!(of("Sstfstc").0, None, "an ordinary failure is no reset");
    let of_a_base = gathered("SstR.stc", &look(8), "another run");
    assert_eq!(of_a_base.0, None, "that reset made a base of this run");
}

#[test]
fn the_start_event_comes_back_as_it_was() {
    let start = event('S', 1);
    assert!(is_start(&start));
    let text = convert::event_to_text(&start);
    assert_eq!(convert::event_from_text(&text), Some(start));
    assert_eq!(convert::event_from_text("not base64!"), None);
}

#[test]
fn events_are_told_in_short() {
    use temporalio_protos::temporal::api::common::v1::ActivityType;
    use temporalio_protos::temporal::api::history::v1::{
        ActivityTaskCompletedEventAttributes, ActivityTaskScheduledEventAttributes,
        WorkflowExecutionSignaledEventAttributes,
    };
    let brief = |attributes, inputs| {
        brief(
            &HistoryEvent {
                event_id: 7,
                attributes: Some(attributes),
                ..Default::default()
            },
            inputs,
        )
    };
    let signal = |payloads: Vec<Payload>| {
        Attributes::WorkflowExecutionSignaledEventAttributes(
            WorkflowExecutionSignaledEventAttributes {
                signal_name: "spend".to_owned(),
                input: Some(Payloads { payloads }),
                ..Default::default()
            },
        )
    };
    let json = |value: serde_json::Value| payload::encode(&value);
    let told = brief(signal(vec![json(500.into())]), true);
    assert_eq!(
        (told.kind, told.name.as_str()),
        (Kind::Of(Sort::Signal), "spend")
    );
    assert_eq!(told.input, Some(500.into()));
    let two = brief(signal(vec![json(1.into()), json("a".into())]), true);
    assert_eq!(two.input, Some(serde_json::json!([1, "a"])));
    assert_eq!(
        brief(signal(vec![]), true).input,
        Some(serde_json::Value::Null)
    );
    assert_eq!(
        brief(signal(vec![json(500.into())]), false).input,
        None,
        "not decoded where nobody asks"
    );
    let sealed = Payload {
        data: vec![1, 2, 3],
        ..Default::default()
    };
    assert_eq!(brief(signal(vec![sealed]), true).input, None);

    let scheduled = brief(
        Attributes::ActivityTaskScheduledEventAttributes(ActivityTaskScheduledEventAttributes {
            activity_type: Some(ActivityType {
                name: "Charge".to_owned(),
            }),
            ..Default::default()
        }),
        false,
    );
    assert_eq!(scheduled.name, "Charge");
    let done = brief(
        Attributes::ActivityTaskCompletedEventAttributes(ActivityTaskCompletedEventAttributes {
            scheduled_event_id: 5,
            ..Default::default()
        }),
        false,
    );
    assert_eq!((done.kind, done.of), (Kind::Of(Sort::ActivityCompleted), 5));
    assert_eq!(
        cause(WorkflowTaskFailedCause::NonDeterministicError),
        "non_deterministic_error"
    );
}

#[test]
#[allow(deprecated)] // what older Workers report
fn a_build_is_known_by_any_of_its_names() {
    use temporalio_protos::temporal::api::common::v1::WorkerVersionStamp;
    use temporalio_protos::temporal::api::deployment::v1::WorkerDeploymentVersion;
    let by_checksum = WorkflowTaskCompletedEventAttributes {
        binary_checksum: "sum".to_owned(),
        ..Default::default()
    };
    assert_eq!(build(&by_checksum), "sum");
    let by_stamp = WorkflowTaskCompletedEventAttributes {
        worker_version: Some(WorkerVersionStamp {
            build_id: "stamp".to_owned(),
            ..Default::default()
        }),
        ..by_checksum
    };
    assert_eq!(build(&by_stamp), "stamp");
    let by_version = WorkflowTaskCompletedEventAttributes {
        deployment_version: Some(WorkerDeploymentVersion {
            deployment_name: "orders".to_owned(),
            build_id: "v2".to_owned(),
        }),
        ..by_stamp
    };
    assert_eq!(build(&by_version), "v2");
}

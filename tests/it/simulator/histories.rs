//! Histories as a world tells them, and which of their events a reset accepts: measured on server 1.32
//! event by event.

use serde_json::json;
use temporalio_protos::temporal::api::enums::v1::{
    ContinueAsNewInitiator, EventType, EventType::*, ResetReapplyExcludeType,
    WorkflowTaskFailedCause,
};
use temporalio_protos::temporal::api::history::v1::HistoryEvent;
use temporalio_protos::temporal::api::history::v1::history_event::Attributes;
use temporalio_protos::temporal::api::workflowservice::v1::*;
use tonic::Code;

use super::scenes::*;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Verdict {
    Accepted,
    NotABoundary,
    OutOfRange,
    NoSuchEvent,
}
use Verdict::*;

/// What a reset of the base run to an event comes to.
async fn verdict(scene: &Scene, id: &str, run: &str, event: i64) -> Verdict {
    let Err(status) = scene
        .reset(reset_to(id, run, event, &format!("r-{event}")))
        .await
    else {
        return Accepted;
    };
    assert_eq!(status.code(), Code::InvalidArgument);
    let message = status.message();
    if message.starts_with("StateRebuilder unable to Rebuild mutable state to event ID: ") {
        assert!(
            message.contains(&format!("event ID: {},", event - 1)),
            "{message}"
        );
        NotABoundary
    } else if message.starts_with("Can only reset workflow to event ID in range [") {
        assert!(message.ends_with(&format!(": {event}")), "{message}");
        OutOfRange
    } else {
        assert_eq!(
            message,
            "Workflow task finish ID must be > 1 && <= workflow last event ID."
        );
        NoSuchEvent
    }
}

#[tokio::test(start_paused = true)]
async fn every_event_of_a_rich_history() {
    let scene = scene(json!([{
        "type": "Rich", "id": "r", "version": "v3",
        "history": [
            { "activity": "charge" },
            { "timer": "300ms" },
            { "child": "Child" },
            { "update": "adjust", "input": 2 },
            { "signal": "add", "input": 2 },
        ],
    }]));
    let expected: Vec<(EventType, Verdict)> = vec![
        (WorkflowExecutionStarted, NoSuchEvent),
        (WorkflowTaskScheduled, NotABoundary),
        (WorkflowTaskStarted, Accepted),
        (WorkflowTaskCompleted, Accepted),
        (ActivityTaskScheduled, NotABoundary),
        (ActivityTaskStarted, OutOfRange),
        (ActivityTaskCompleted, NotABoundary),
        (WorkflowTaskScheduled, NotABoundary),
        (WorkflowTaskStarted, Accepted),
        (WorkflowTaskCompleted, Accepted),
        (TimerStarted, NotABoundary),
        (TimerFired, OutOfRange),
        (WorkflowTaskScheduled, NotABoundary),
        (WorkflowTaskStarted, Accepted),
        (WorkflowTaskCompleted, Accepted),
        (StartChildWorkflowExecutionInitiated, NotABoundary),
        (ChildWorkflowExecutionStarted, OutOfRange),
        (WorkflowTaskScheduled, NotABoundary),
        (WorkflowTaskStarted, Accepted),
        (WorkflowTaskCompleted, Accepted),
        (ChildWorkflowExecutionCompleted, OutOfRange),
        (WorkflowTaskScheduled, NotABoundary),
        (WorkflowTaskStarted, Accepted),
        (WorkflowTaskCompleted, Accepted),
        (WorkflowTaskScheduled, OutOfRange),
        (WorkflowTaskStarted, NotABoundary),
        (WorkflowTaskCompleted, Accepted),
        (WorkflowExecutionUpdateAccepted, NotABoundary),
        (WorkflowExecutionUpdateCompleted, NotABoundary),
        (WorkflowExecutionSignaled, OutOfRange),
        (WorkflowTaskScheduled, NotABoundary),
        (WorkflowTaskStarted, Accepted),
        (WorkflowTaskCompleted, Accepted),
    ];
    let kinds: Vec<_> = expected.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(scene.types("r", "").await, kinds);
    let run = scene.run_of("r").await;
    for (event, (kind, wanted)) in (1..).zip(&expected) {
        assert_eq!(
            verdict(&scene, "r", &run, event).await,
            *wanted,
            "{event} {kind:?}"
        );
    }
    assert_eq!(
        verdict(&scene, "r", &run, 35).await,
        NoSuchEvent,
        "34 is its termination now"
    );
}

#[tokio::test(start_paused = true)]
async fn a_signal_where_a_task_is_pending_is_a_reset_point() {
    let scene = scene(json!([
        { "type": "Order", "id": "new", "version": "v4", "tasks": 0, "task": "unpolled" },
        { "type": "Order", "id": "stuck", "version": "v2", "task": "failing" },
    ]));
    for id in ["new", "stuck"] {
        scene.send(id, "add", json!(1), "").await.unwrap();
    }
    let run = scene.run_of("new").await;
    for (event, wanted) in [
        (2, NotABoundary),
        (3, Accepted),
        (4, Accepted),
        (5, NoSuchEvent),
    ] {
        assert_eq!(verdict(&scene, "new", &run, event).await, wanted, "{event}");
    }
    use EventType::*;
    assert_eq!(
        scene.types("new", "").await,
        [
            WorkflowExecutionStarted,
            WorkflowTaskScheduled,
            WorkflowExecutionSignaled,
            WorkflowTaskStarted,
            WorkflowTaskFailed,
            WorkflowTaskScheduled
        ],
        "reset to its termination: the Signal stays"
    );
    let run = scene.run_of("stuck").await;
    assert_eq!(
        scene.types("stuck", "").await[13],
        WorkflowExecutionSignaled
    );
    for (event, wanted) in [
        (10, Accepted),
        (11, NotABoundary),
        (12, Accepted),
        (13, Accepted),
        (14, Accepted),
    ] {
        assert_eq!(
            verdict(&scene, "stuck", &run, event).await,
            wanted,
            "{event}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_waits_has_no_reset_point_and_its_signals_wait_with_it() {
    let scene = scene(json!([
        { "type": "Order", "id": "o", "version": "v3", "cron": "0 0 * * *", "waits": "1h", "started": "1m" },
    ]));
    scene.send("o", "add", json!(1), "").await.unwrap();
    assert_eq!(
        scene.types("o", "").await,
        [WorkflowExecutionStarted, WorkflowExecutionSignaled]
    );
    let run = scene.run_of("o").await;
    assert_eq!(verdict(&scene, "o", &run, 1).await, NoSuchEvent);
    assert_eq!(verdict(&scene, "o", &run, 2).await, OutOfRange);
    let start = start_of(&scene.history("o", "").await);
    assert_eq!(start.cron_schedule, "0 0 * * *");
    assert_eq!(start.initiator(), ContinueAsNewInitiator::CronSchedule);
    assert_eq!(start.first_workflow_task_backoff.unwrap().seconds, 3_660);
    scene.seconds(3_601).await;
    assert!(scene.types("o", "").await.contains(&WorkflowTaskCompleted));
}

fn start_of(
    events: &[HistoryEvent],
) -> temporalio_protos::temporal::api::history::v1::WorkflowExecutionStartedEventAttributes {
    match events[0].attributes.clone() {
        Some(Attributes::WorkflowExecutionStartedEventAttributes(start)) => start,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_chain_is_linked_and_its_later_signals_are_applied_again() {
    let scene = scene(json!([{
        "type": "Order", "id": "c", "version": "v3", "chain": 2,
        "history": [{ "signal": "add", "input": 5 }],
    }]));
    let mut runs = Vec::new();
    let mut run = scene.run_of("c").await;
    loop {
        let start = start_of(&scene.history("c", &run).await);
        runs.push(run.clone());
        if start.continued_execution_run_id.is_empty() {
            break;
        }
        assert_eq!(start.initiator(), ContinueAsNewInitiator::Workflow);
        run = start.continued_execution_run_id;
        let last = scene.history("c", &run).await.pop().unwrap();
        let Some(Attributes::WorkflowExecutionContinuedAsNewEventAttributes(last)) =
            last.attributes
        else {
            panic!("not continued");
        };
        assert_eq!(last.new_execution_run_id, *runs.last().unwrap());
    }
    assert_eq!(runs.len(), 3);
    let first = runs.last().unwrap();
    assert_eq!(
        start_of(&scene.history("c", &runs[0]).await).first_execution_run_id,
        *first
    );
    let points = scene
        .describe("c", "")
        .await
        .workflow_execution_info
        .unwrap()
        .auto_reset_points
        .unwrap();
    assert_eq!(
        points.points.len(),
        1,
        "one a Build ID, in the run where it began"
    );
    assert_eq!(
        (
            &points.points[0].run_id,
            points.points[0].build_id.as_str(),
            points.points[0].first_workflow_task_completed_id
        ),
        (first, "v3", 4)
    );
    scene.reset(reset_to("c", first, 4, "r1")).await.unwrap();
    assert_eq!(scene.facts().workflows["c"].signals, 3, "of all three runs");
    let mut without = reset_to("c", first, 4, "r2");
    without.reset_reapply_exclude_types = vec![ResetReapplyExcludeType::Signal as i32];
    scene.reset(without).await.unwrap();
    assert_eq!(scene.facts().workflows["c"].signals, 0);
    assert_eq!(
        scene
            .describe("c", &runs[0])
            .await
            .workflow_extended_info
            .unwrap()
            .reset_run_id,
        "",
        "terminated, not reset"
    );
}

#[tokio::test(start_paused = true)]
async fn updates_are_admitted_before_they_are_accepted_again() {
    let scene = scene(json!([
        { "type": "Order", "id": "o", "version": "v3", "behaves": { "v2": "idle" }, "history": [{ "update": "adjust", "input": 3 }] },
    ]));
    let run = scene.run_of("o").await;
    scene.reset(reset_to("o", &run, 4, "r")).await.unwrap();
    let reset = [
        WorkflowExecutionStarted,
        WorkflowTaskScheduled,
        WorkflowTaskStarted,
        WorkflowTaskFailed,
    ];
    let at_once = [WorkflowExecutionUpdateAdmitted, WorkflowTaskScheduled];
    assert_eq!(scene.types("o", "").await, [&reset[..], &at_once].concat());
    scene.seconds(1).await;
    let then = [
        WorkflowTaskStarted,
        WorkflowTaskCompleted,
        WorkflowExecutionUpdateAccepted,
        WorkflowExecutionUpdateCompleted,
    ];
    assert_eq!(
        scene.types("o", "").await,
        [&reset[..], &at_once, &then].concat()
    );
    assert_eq!(scene.facts().workflows["o"].updates, 1);
    let second = scene.run_of("o").await;
    scene.reset(reset_to("o", &second, 4, "r2")).await.unwrap();
    scene.seconds(1).await;
    assert_eq!(
        scene.facts().workflows["o"].updates,
        1,
        "once, though it is in two events"
    );
}

#[tokio::test(start_paused = true)]
async fn a_failed_task_keeps_the_activities_before_it() {
    let scene = scene(json!([{ "type": "Order", "id": "o", "version": "v2", "task": "failing" }]));
    let run = scene.run_of("o").await;
    scene
        .reset(reset_with_move("o", &run, 13, "v3"))
        .await
        .unwrap();
    scene.seconds(1).await;
    let types = scene.types("o", "").await;
    assert!(types.contains(&ActivityTaskCompleted), "{types:?}");
    assert_eq!(
        scene.facts().workflows["o"].ran_on.as_deref(),
        Some("orders:v3")
    );
}

#[tokio::test(start_paused = true)]
async fn failures_have_their_cause() {
    let scene = scene(json!([
        { "type": "Order", "id": "nd", "version": "v2", "task": "failing" },
        { "type": "Order", "id": "err", "version": "v2", "task": "erring" },
        { "type": "Order", "id": "past", "version": "v3", "history": [{ "failure": "error" }] },
    ]));
    for (id, cause, reported) in [
        (
            "nd",
            WorkflowTaskFailedCause::NonDeterministicError,
            "cause=WorkflowTaskFailedCauseNonDeterministicError",
        ),
        (
            "err",
            WorkflowTaskFailedCause::WorkflowWorkerUnhandledFailure,
            "cause=WorkflowTaskFailedCauseWorkflowWorkerUnhandledFailure",
        ),
        (
            "past",
            WorkflowTaskFailedCause::WorkflowWorkerUnhandledFailure,
            "",
        ),
    ] {
        let events = scene.history(id, "").await;
        let found = events
            .iter()
            .rev()
            .find_map(|event| match &event.attributes {
                Some(Attributes::WorkflowTaskFailedEventAttributes(it)) => Some(it.cause()),
                _ => None,
            });
        assert_eq!(found, Some(cause), "{id}");
        let problems = attribute(&scene.describe(id, "").await, "TemporalReportedProblems");
        assert_eq!(
            problems
                .get(1)
                .and_then(|it| it.as_str())
                .unwrap_or_default(),
            reported,
            "{id}"
        );
    }
    assert_eq!(
        scene
            .ids("TemporalReportedProblems = 'cause=WorkflowTaskFailedCauseNonDeterministicError'")
            .await,
        ["nd"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_fix_under_the_same_build_id_is_taken_up() {
    let mut world = world(json!([
        { "type": "Order", "id": "o", "version": "v2", "task": "failing", "failing_for": "10s" },
    ]));
    world
        .deployments
        .get_mut("orders")
        .unwrap()
        .versions
        .get_mut("v2")
        .unwrap()
        .fixed = serde_json::from_value(json!({ "after": "1m", "behaves": "idle" })).unwrap();
    let scene = Scene::new(&world, &[]);
    scene.seconds(59).await;
    assert!(scene.facts().workflows["o"].attempt > 3);
    scene.seconds(120).await;
    let facts = scene.facts().workflows["o"].clone();
    assert_eq!(
        (facts.attempt, facts.ran_on.as_deref()),
        (0, Some("orders:v2"))
    );
}

#[tokio::test(start_paused = true)]
async fn versions_change_within_a_history() {
    let scene = scene(json!([{
        "type": "Order", "id": "o", "version": "v1",
        "history": [{ "signal": "add" }, { "signal": "add", "version": "v3", "task": false }, { "activity": "work" }],
    }]));
    assert_eq!(
        scene.facts().workflows["o"].ran_on.as_deref(),
        Some("orders:v3")
    );
    let points = scene
        .describe("o", "")
        .await
        .workflow_execution_info
        .unwrap()
        .auto_reset_points
        .unwrap();
    let points: Vec<_> = points
        .points
        .iter()
        .map(|it| (it.build_id.as_str(), it.first_workflow_task_completed_id))
        .collect();
    assert_eq!(points, [("v1", 4), ("v3", 12)]);
}

#[tokio::test(start_paused = true)]
async fn a_long_history_is_read_by_pages_from_both_ends() {
    let scene = scene(json!([
        { "type": "Order", "id": "o", "version": "v3", "events": 50_000, "history": [{ "signal": "bad" }] },
    ]));
    let length = scene
        .describe("o", "")
        .await
        .workflow_execution_info
        .unwrap()
        .history_length;
    assert!((49_990..=50_000).contains(&length), "{length}");
    let page = async |token| -> (Vec<HistoryEvent>, Vec<u8>) {
        let request = GetWorkflowExecutionHistoryReverseRequest {
            namespace: "default".to_owned(),
            execution: execution("o", ""),
            maximum_page_size: 10_000,
            next_page_token: token,
        };
        let reply: GetWorkflowExecutionHistoryReverseResponse = scene
            .call("GetWorkflowExecutionHistoryReverse", request)
            .await
            .unwrap();
        (reply.history.unwrap().events, reply.next_page_token)
    };
    let (last, token) = page(Vec::new()).await;
    assert_eq!(last[0].event_id, length);
    assert!(
        (256..=512).contains(&last.len()),
        "256 batches of events, of one or two here: {}",
        last.len()
    );
    let left = length - i64::try_from(last.len()).unwrap();
    scene.send("o", "meanwhile", json!(1), "").await.unwrap();
    let (next, _) = page(token).await;
    assert_eq!(next[0].event_id, left, "though it grew meanwhile");
    let mut seen = 0;
    let mut token = Vec::new();
    loop {
        let request = GetWorkflowExecutionHistoryRequest {
            namespace: "default".to_owned(),
            execution: execution("o", ""),
            next_page_token: token,
            ..Default::default()
        };
        let reply: GetWorkflowExecutionHistoryResponse = scene
            .call("GetWorkflowExecutionHistory", request)
            .await
            .unwrap();
        for event in reply.history.unwrap().events {
            seen += 1;
            assert_eq!(event.event_id, seen);
        }
        token = reply.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert!(seen > length);
}

#[test]
fn a_history_that_cannot_be_is_refused() {
    let problems = |group: serde_json::Value| {
        let world = world(json!([group]));
        let clock = runbook::clock::Clock::simulated(jiff::Timestamp::UNIX_EPOCH);
        runbook::simulator::Simulator::new(&world, &[], 1, clock)
            .err()
            .map(|it| it.problems.join("; "))
            .unwrap_or_default()
    };
    let order = |more: serde_json::Value| {
        let mut group = json!({ "type": "Order", "version": "v3" });
        group
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        problems(group)
    };
    assert!(order(json!({ "history": [{}] })).contains("is one of `signal`"));
    assert!(
        order(json!({ "history": [{ "signal": "a", "timer": "1s" }] }))
            .contains("is one of `signal`")
    );
    assert!(
        order(json!({ "history": [{ "signal": "a", "version": "v9" }] }))
            .contains("names the version `v9`")
    );
    assert!(
        order(json!({ "history": [{ "signal": "a" }], "tasks": 0 }))
            .contains("must have been completed")
    );
    assert!(order(json!({ "waits": "1h", "status": "completed" })).contains("must be running"));
}

//! Batch jobs: fact 9, and what was measured beside it.

use runbook::simulator::BatchCounts;
use serde_json::json;
use temporalio_protos::temporal::api::batch::v1::*;
use temporalio_protos::temporal::api::common::v1::{ResetOptions, reset_options::Target};
use temporalio_protos::temporal::api::enums::v1::{
    BatchOperationState as State, BatchOperationType as Type, EventType,
};
use temporalio_protos::temporal::api::history::v1::history_event::Attributes;
use temporalio_protos::temporal::api::workflowservice::v1::StartBatchOperationRequest;
use temporalio_protos::temporal::api::workflowservice::v1::start_batch_operation_request::Operation;
use tonic::Code;

use super::scenes::*;

/// `count` running Orders on v3, which waits for Signals.
fn orders(count: u32) -> serde_json::Value {
    json!([{ "type": "Order", "id": "o-{n}", "count": count, "version": "v3" }])
}

fn job(id: &str, query: &str, operation: Operation) -> StartBatchOperationRequest {
    StartBatchOperationRequest {
        namespace: "default".to_owned(),
        job_id: id.to_owned(),
        reason: "INC-1".to_owned(),
        visibility_query: query.to_owned(),
        operation: Some(operation),
        ..Default::default()
    }
}

fn signal() -> Operation {
    Operation::SignalOperation(BatchOperationSignal {
        signal: "add".to_owned(),
        identity: "tester".to_owned(),
        ..Default::default()
    })
}

fn cancel() -> Operation {
    Operation::CancellationOperation(BatchOperationCancellation {
        identity: "tester".to_owned(),
    })
}

fn terminate() -> Operation {
    Operation::TerminationOperation(BatchOperationTermination {
        identity: "tester".to_owned(),
        details: None,
    })
}

fn reset(target: Target) -> Operation {
    Operation::ResetOperation(BatchOperationReset {
        identity: "tester".to_owned(),
        options: Some(ResetOptions {
            target: Some(target),
            ..Default::default()
        }),
        ..Default::default()
    })
}

fn counts(total: i64, complete: i64, failed: i64) -> BatchCounts {
    BatchCounts {
        total,
        complete,
        failed,
    }
}

/// State and counts as Describe shows them.
async fn shown(scene: &Scene, id: &str) -> (State, BatchCounts) {
    let reply = scene.batch(id).await.expect("the job");
    let counts = counts(
        reply.total_operation_count,
        reply.complete_operation_count,
        reply.failure_operation_count,
    );
    (reply.state(), counts)
}

const ALL: &str = "WorkflowType = 'Order'";

#[tokio::test(start_paused = true)]
async fn a_job_tells_its_counts_late_and_closes() {
    let scene = scene(orders(200));
    scene.start_batch(job("j1", ALL, signal())).await.unwrap();
    assert_eq!(shown(&scene, "j1").await, (State::Running, counts(0, 0, 0)));
    scene.seconds(3).await;
    assert_eq!(
        shown(&scene, "j1").await,
        (State::Running, counts(200, 0, 0)),
        "by pages of 1,000: nothing of the first is told before it is done"
    );
    let signals: u32 = scene
        .facts()
        .workflows
        .values()
        .map(|it| it.done.signals)
        .sum();
    assert!(
        (100..200).contains(&signals),
        "about 50 a second: {signals}"
    );
    scene.seconds(7).await;
    assert_eq!(
        shown(&scene, "j1").await,
        (State::Completed, counts(200, 200, 0))
    );
    let facts = scene.facts();
    assert!(facts.workflows.values().all(|it| it.done.signals == 1));
    let reply = scene.batch("j1").await.unwrap();
    assert_eq!(reply.operation_type(), Type::SignalWorkflow);
    assert_eq!(
        (reply.identity, reply.reason),
        ("tester".to_owned(), "INC-1".to_owned())
    );
    assert_eq!(reply.query, ALL);
    assert!(reply.close_time.is_some() && reply.close_time != reply.start_time);
}

#[tokio::test(start_paused = true)]
async fn progress_comes_by_pages() {
    let scene = scene(orders(1_500));
    scene.start_batch(job("j1", ALL, signal())).await.unwrap();
    scene.seconds(22).await;
    assert_eq!(
        shown(&scene, "j1").await,
        (State::Running, counts(1_500, 1_000, 0))
    );
    scene.seconds(20).await;
    assert_eq!(
        shown(&scene, "j1").await,
        (State::Completed, counts(1_500, 1_500, 0))
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_missing_is_refused() {
    let scene = scene(orders(1));
    let required = "must provide required parameters: BatchType,Reason,Namespace, AND one of (Query OR Executions OR \
                    TargetExecutions)";
    let refused = async |request| refusal(scene.start_batch(request).await);
    let invalid = |text: &str| (Code::InvalidArgument, text.to_owned());
    let whole = || job("j1", ALL, signal());
    for request in [
        StartBatchOperationRequest {
            reason: String::new(),
            ..whole()
        },
        StartBatchOperationRequest {
            operation: None,
            ..whole()
        },
        StartBatchOperationRequest {
            visibility_query: String::new(),
            ..whole()
        },
    ] {
        assert_eq!(refused(request).await, invalid(required));
    }
    assert_eq!(
        refused(StartBatchOperationRequest {
            job_id: String::new(),
            ..whole()
        })
        .await,
        invalid("JobId is not set on request.")
    );
    assert_eq!(
        refused(StartBatchOperationRequest {
            executions: execution("o-0", "").into_iter().collect(),
            ..whole()
        })
        .await,
        invalid("visibility query, executions, and target executions are mutually exclusive")
    );
    assert_eq!(
        refused(job(
            "j1",
            ALL,
            Operation::SignalOperation(BatchOperationSignal::default())
        ))
        .await,
        invalid("must provide signal name")
    );
    assert_eq!(
        refused(job(
            "j1",
            ALL,
            Operation::ResetOperation(BatchOperationReset::default())
        ))
        .await,
        invalid("unknown batch reset type Unspecified")
    );
    let (code, message) = refused(job("j1", "WorkflowId = ", signal())).await;
    assert_eq!(code, Code::InvalidArgument);
    assert!(
        message.starts_with("invalid visibility query: "),
        "{message}"
    );
    assert_eq!(
        refusal(scene.batch("j1").await),
        (Code::NotFound, "workflow not found for ID: j1".to_owned()),
        "nothing of that made a job"
    );
}

#[tokio::test(start_paused = true)]
async fn an_unknown_attribute_fails_silently() {
    let scene = scene(orders(1));
    scene
        .start_batch(job("j1", "Nope = 'x'", signal()))
        .await
        .unwrap();
    scene.seconds(1).await;
    assert_eq!(shown(&scene, "j1").await, (State::Failed, counts(0, 0, 0)));
}

#[tokio::test(start_paused = true)]
async fn nothing_matched_closes_after_a_while() {
    let scene = scene(orders(1));
    scene
        .start_batch(job("j1", "WorkflowId = 'x'", signal()))
        .await
        .unwrap();
    scene.seconds(2).await;
    assert_eq!(shown(&scene, "j1").await.0, State::Running);
    scene.seconds(1).await;
    assert_eq!(
        shown(&scene, "j1").await,
        (State::Completed, counts(0, 0, 0))
    );
}

#[tokio::test(start_paused = true)]
async fn one_at_a_time_as_far_as_visibility_knows() {
    let scene = scene(orders(300));
    scene.start_batch(job("j1", ALL, signal())).await.unwrap();
    scene
        .start_batch(job("race", ALL, signal()))
        .await
        .expect("Visibility is late");
    let (code, text) = refusal(scene.start_batch(job("j1", ALL, signal())).await);
    assert_eq!(code, Code::AlreadyExists);
    assert!(
        text.starts_with("Workflow execution is already running. WorkflowId: j1, RunId: "),
        "{text}"
    );
    scene.seconds(1).await;
    let busy = (
        Code::ResourceExhausted,
        "Max concurrent batch operations is reached".to_owned(),
    );
    assert_eq!(
        refusal(scene.start_batch(job("j2", ALL, signal())).await),
        busy
    );
    assert_eq!(
        refusal(scene.start_batch(job("j1", ALL, signal())).await),
        busy,
        "the slot is looked at before the id"
    );
    scene.seconds(30).await;
    let (code, text) = refusal(scene.start_batch(job("j1", ALL, signal())).await);
    assert_eq!(code, Code::AlreadyExists);
    assert!(
        text.starts_with("Workflow execution already finished. WorkflowId: j1, RunId: "),
        "{text}"
    );
    assert!(
        text.ends_with(". Workflow Id reuse policy: reject duplicate workflow Id."),
        "{text}"
    );
    scene.start_batch(job("j2", ALL, signal())).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stopped_job_is_failed_and_goes_on_for_a_while() {
    let scene = scene(orders(900));
    scene.start_batch(job("j1", ALL, signal())).await.unwrap();
    scene.seconds(3).await;
    scene.stop_batch("j1").await.unwrap();
    assert_eq!(
        shown(&scene, "j1").await,
        (State::Failed, counts(900, 0, 0))
    );
    let signals = || -> u32 {
        scene
            .facts()
            .workflows
            .values()
            .map(|it| it.done.signals)
            .sum()
    };
    let then = signals();
    scene.seconds(10).await;
    let after = signals();
    assert!(after > then + 200, "{then} {after}");
    scene.seconds(60).await;
    assert_eq!(signals(), after);
    assert_eq!(
        shown(&scene, "j1").await,
        (State::Failed, counts(900, 0, 0)),
        "what it did is not told"
    );
    assert_eq!(
        refusal(scene.stop_batch("j1").await),
        (
            Code::NotFound,
            "workflow execution already completed".to_owned()
        )
    );
    assert_eq!(
        refusal(scene.stop_batch("nope").await),
        (Code::NotFound, "workflow not found for ID: nope".to_owned())
    );
}

#[tokio::test(start_paused = true)]
async fn the_service_adds_running_except_for_resets() {
    let mut groups = orders(2);
    groups
        .as_array_mut()
        .unwrap()
        .push(json!({ "type": "Order", "id": "done", "version": "v3", "status": "completed" }));
    let scene = scene(groups);
    scene.start_batch(job("t", ALL, terminate())).await.unwrap();
    scene.seconds(5).await;
    assert_eq!(
        shown(&scene, "t").await,
        (State::Completed, counts(2, 2, 0))
    );
    let events = scene.history("o-0", "").await;
    let Some(Attributes::WorkflowExecutionTerminatedEventAttributes(last)) =
        events.last().unwrap().attributes.clone()
    else {
        panic!("not terminated");
    };
    assert_eq!(last.reason, "INC-1", "the job's reason");
    assert_ne!(last.identity, "tester", "the Worker of the job does it");
    scene
        .start_batch(job("r", ALL, reset(Target::FirstWorkflowTask(()))))
        .await
        .unwrap();
    scene.seconds(5).await;
    assert_eq!(
        shown(&scene, "r").await,
        (State::Completed, counts(3, 3, 0)),
        "closed ones too"
    );
    assert!(
        scene
            .facts()
            .workflows
            .values()
            .all(|it| it.done.resets == 1)
    );
    assert_eq!(reset_mark(&scene.history("done", "").await).0, "INC-1");
}

#[tokio::test(start_paused = true)]
async fn a_superseded_run_is_reset_again() {
    let scene = scene(orders(1));
    for round in 0..3 {
        scene
            .start_batch(job(
                &format!("r{round}"),
                ALL,
                reset(Target::FirstWorkflowTask(())),
            ))
            .await
            .unwrap();
        scene.seconds(5).await;
    }
    assert_eq!(
        scene.facts().workflows["o-0"].done.resets,
        1 + 2 + 4,
        "every run that the query still finds"
    );
}

#[tokio::test(start_paused = true)]
async fn executions_by_name_with_what_is_not_there() {
    let mut groups = orders(1);
    groups
        .as_array_mut()
        .unwrap()
        .push(json!({ "type": "Order", "id": "done", "version": "v3", "status": "completed" }));
    let scene = scene(groups);
    let run = scene.run_of("o-0").await;
    let named = |id: &str, operation| StartBatchOperationRequest {
        executions: [
            execution("o-0", ""),
            execution("done", ""),
            execution("nowhere", ""),
            execution("o-0", "11111111-1111-4111-8111-111111111111"),
        ]
        .into_iter()
        .flatten()
        .collect(),
        ..job(id, "", operation)
    };
    scene.start_batch(named("s", signal())).await.unwrap();
    scene.seconds(5).await;
    assert_eq!(
        shown(&scene, "s").await,
        (State::Completed, counts(4, 4, 0)),
        "not found is taken for done"
    );
    assert_eq!(scene.batch("s").await.unwrap().executions.len(), 4);
    scene.start_batch(named("c", cancel())).await.unwrap();
    scene.seconds(5).await;
    assert_eq!(shown(&scene, "c").await.1, counts(4, 4, 0));
    scene
        .start_batch(named("r", reset(Target::FirstWorkflowTask(()))))
        .await
        .unwrap();
    scene.seconds(5).await;
    assert_eq!(
        shown(&scene, "r").await,
        (State::Completed, counts(4, 2, 2)),
        "but not by a reset"
    );
    assert_ne!(scene.run_of("o-0").await, run);
}

#[tokio::test(start_paused = true)]
async fn update_options_moves_and_counts_refusals() {
    let update = |build: &str| {
        Operation::UpdateWorkflowOptionsOperation(BatchOperationUpdateWorkflowExecutionOptions {
            identity: "tester".to_owned(),
            workflow_execution_options: Some(options(Some(pinned(build)))),
            update_mask: mask(),
        })
    };
    let scene = scene(orders(3));
    scene
        .start_batch(job("bad", ALL, update("v9")))
        .await
        .unwrap();
    scene.seconds(5).await;
    assert_eq!(
        shown(&scene, "bad").await,
        (State::Completed, counts(3, 0, 3)),
        "without a word why"
    );
    scene
        .start_batch(job("good", ALL, update("v1")))
        .await
        .unwrap();
    scene.seconds(5).await;
    assert_eq!(
        shown(&scene, "good").await,
        (State::Completed, counts(3, 3, 0))
    );
    assert!(
        scene
            .facts()
            .workflows
            .values()
            .all(|it| it.versioning_override.as_deref() == Some("orders:v1"))
    );
}

#[tokio::test(start_paused = true)]
async fn resets_by_last_task_event_and_build() {
    let scene =
        scene(json!([{ "type": "Order", "id": "o-{n}", "count": 4, "version": "v3", "tasks": 2 }]));
    let one = |id: &str, workflow: &str, target| StartBatchOperationRequest {
        executions: execution(workflow, "").into_iter().collect(),
        ..job(id, "", reset(target))
    };
    for (id, target, complete) in [
        ("o-0", Target::LastWorkflowTask(()), 1),
        ("o-1", Target::WorkflowTaskId(3), 1),
        ("o-2", Target::BuildId("v3".to_owned()), 1),
        ("o-3", Target::BuildId("v1".to_owned()), 0),
    ] {
        scene.start_batch(one(id, id, target)).await.unwrap();
        scene.seconds(5).await;
        assert_eq!(
            shown(&scene, id).await,
            (State::Completed, counts(1, complete, 1 - complete)),
            "{id}"
        );
    }
    let position = async |id: &str| {
        let events = scene.history(id, "").await;
        events
            .iter()
            .position(|event| event.event_type() == EventType::WorkflowTaskFailed)
            .map(|at| at + 1)
    };
    assert_eq!(position("o-0").await, Some(10), "the last completed task");
    assert_eq!(position("o-1").await, Some(4), "after the started one");
    assert_eq!(
        position("o-2").await,
        Some(4),
        "the first that the Build ID completed"
    );
}

#[tokio::test(start_paused = true)]
async fn operations_fail_as_the_world_says() {
    let mut world = world(orders(10));
    world.batches.fails_every = Some(5);
    world.batches.fails = vec!["o-3".to_owned()];
    let scene = Scene::new(&world, &[]);
    scene.start_batch(job("j1", ALL, signal())).await.unwrap();
    scene.seconds(5).await;
    let (state, told) = shown(&scene, "j1").await;
    assert_eq!(state, State::Completed, "failures do not fail a job");
    assert_eq!((told.total, told.complete + told.failed), (10, 10));
    let signals: u32 = scene
        .facts()
        .workflows
        .values()
        .map(|it| it.done.signals)
        .sum();
    assert_eq!(i64::from(signals), told.complete);
    assert_eq!(scene.facts().workflows["o-3"].done.signals, 0);
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_job_does_its_page_again() {
    let mut world = world(orders(20));
    world.batches.interrupted_after = Some(8);
    let scene = Scene::new(&world, &[]);
    scene.start_batch(job("s", ALL, signal())).await.unwrap();
    scene.seconds(30).await;
    assert_eq!(
        shown(&scene, "s").await,
        (State::Completed, counts(20, 20, 0))
    );
    assert!(
        scene
            .facts()
            .workflows
            .values()
            .all(|it| it.done.signals == 1),
        "a Signal has its request id"
    );
    assert_eq!(scene.facts().batches["s"].tried, 28);
    let by_name = StartBatchOperationRequest {
        executions: (0..20)
            .filter_map(|n| execution(&format!("o-{n}"), ""))
            .collect(),
        ..job("r", "", reset(Target::FirstWorkflowTask(())))
    };
    scene.start_batch(by_name).await.unwrap();
    scene.seconds(30).await;
    assert_eq!(
        shown(&scene, "r").await,
        (State::Completed, counts(20, 20, 0))
    );
    let resets: u32 = scene
        .facts()
        .workflows
        .values()
        .map(|it| it.done.resets)
        .sum();
    assert_eq!(resets, 28, "a reset has no protection");
}

#[tokio::test(start_paused = true)]
async fn jobs_of_others_hold_the_slot_and_are_listed() {
    let mut world = world(orders(100));
    world.batches.jobs = serde_json::from_value(json!([{ "id": "theirs", "ends": "1m" }])).unwrap();
    let scene = Scene::new(&world, &[]);
    assert_eq!(
        refusal(scene.start_batch(job("j1", ALL, signal())).await).0,
        Code::ResourceExhausted
    );
    scene.seconds(61).await;
    scene.start_batch(job("j1", ALL, signal())).await.unwrap();
    scene.seconds(1).await;
    let first = scene.batches(1, Vec::new()).await;
    assert_eq!(first.operation_info[0].job_id, "j1");
    assert_eq!(first.operation_info[0].state(), State::Running);
    let second = scene.batches(1, first.next_page_token).await;
    assert_eq!(second.operation_info[0].job_id, "theirs");
    assert_eq!(second.operation_info[0].state(), State::Completed);
    assert!(second.next_page_token.is_empty());
}

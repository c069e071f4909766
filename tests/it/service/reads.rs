//! Looks, histories and the preflight, against a service in memory that counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use prost::Message;
use runbook::clock::Clock;
use runbook::connection::{Access, InMemory};
use runbook::history::ResetTo;
use runbook::survey::{HistoryNeed, WorkflowKey};
use runbook::temporal::{Cause, Verdict};
use temporalio_protos::temporal::api::common::v1::WorkflowExecution;
use temporalio_protos::temporal::api::enums::v1::{EventType, WorkflowExecutionStatus};
use temporalio_protos::temporal::api::history::v1::history_event::Attributes;
use temporalio_protos::temporal::api::history::v1::{
    History, HistoryEvent, WorkflowExecutionSignaledEventAttributes,
};
use temporalio_protos::temporal::api::workflow::v1::{
    WorkflowExecutionExtendedInfo, WorkflowExecutionInfo,
};
use temporalio_protos::temporal::api::workflowservice::v1::{
    DescribeNamespaceResponse, DescribeWorkflowExecutionRequest, DescribeWorkflowExecutionResponse,
    GetSystemInfoResponse, GetWorkflowExecutionHistoryRequest, GetWorkflowExecutionHistoryResponse,
    GetWorkflowExecutionHistoryReverseRequest, GetWorkflowExecutionHistoryReverseResponse,
};
use tokio::sync::watch;
use tokio::time::Instant;
use tonic::Status;

use super::{in_memory, key, temporal};

/// A run whose history has `total` events, given out by page; one completed Workflow Task at `completed`.
fn paged(total: i64, completed: i64) -> (InMemory, Arc<AtomicUsize>) {
    const PAGE: i64 = 3;
    let pages = Arc::new(AtomicUsize::new(0));
    let counter = pages.clone();
    let service: InMemory = Arc::new(move |rpc, _headers, request| {
        let counter = counter.clone();
        Box::pin(async move {
            let event = |id: i64| HistoryEvent {
                event_id: id,
                event_type: match id == completed {
                    true => EventType::WorkflowTaskCompleted.into(),
                    false => EventType::WorkflowExecutionSignaled.into(),
                },
                attributes: Some(match id == completed {
                    true => Attributes::WorkflowTaskCompletedEventAttributes(Default::default()),
                    false => Attributes::WorkflowExecutionSignaledEventAttributes(
                        WorkflowExecutionSignaledEventAttributes {
                            signal_name: "earn".to_owned(),
                            ..Default::default()
                        },
                    ),
                }),
                ..Default::default()
            };
            let read = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).parse::<i64>().ok();
            let page = |ids: Vec<i64>, next: Option<i64>| {
                let events = ids.into_iter().map(event).collect();
                let token = next
                    .map(|next| next.to_string().into_bytes())
                    .unwrap_or_default();
                (Some(History { events }), token)
            };
            match rpc.as_str() {
                "GetWorkflowExecutionHistory" => {
                    counter.fetch_add(1, Ordering::SeqCst);
                    let request =
                        GetWorkflowExecutionHistoryRequest::decode(request).expect("a request");
                    let from = read(request.next_page_token).unwrap_or(1);
                    let to = total.min(from + PAGE - 1);
                    let (history, next_page_token) =
                        page((from..=to).collect(), (to < total).then_some(to + 1));
                    let response = GetWorkflowExecutionHistoryResponse {
                        history,
                        next_page_token,
                        ..Default::default()
                    };
                    Ok(response.encode_to_vec())
                }
                "GetWorkflowExecutionHistoryReverse" => {
                    counter.fetch_add(1, Ordering::SeqCst);
                    let request = GetWorkflowExecutionHistoryReverseRequest::decode(request)
                        .expect("a request");
                    let from = read(request.next_page_token).unwrap_or(total);
                    let to = (from - PAGE + 1).max(1);
                    let ids = (to..=from).rev().collect();
                    let (history, next_page_token) = page(ids, (to > 1).then_some(to - 1));
                    let response = GetWorkflowExecutionHistoryReverseResponse {
                        history,
                        next_page_token,
                    };
                    Ok(response.encode_to_vec())
                }
                "DescribeWorkflowExecution" => Ok(described(total).encode_to_vec()),
                _ => Ok(GetSystemInfoResponse::default().encode_to_vec()),
            }
        })
    });
    (service, pages)
}

fn described(history_length: i64) -> DescribeWorkflowExecutionResponse {
    let info = WorkflowExecutionInfo {
        execution: Some(WorkflowExecution {
            workflow_id: key().workflow_id,
            run_id: key().run_id,
        }),
        status: WorkflowExecutionStatus::Running.into(),
        history_length,
        ..Default::default()
    };
    DescribeWorkflowExecutionResponse {
        workflow_execution_info: Some(info),
        ..Default::default()
    }
}

/// Event id of the point, signals after it, truncated, pages that were read.
async fn read_history(
    total: i64,
    completed: i64,
    need: HistoryNeed,
) -> (Option<(i64, u32)>, bool, usize) {
    let (service, pages) = paged(total, completed);
    let temporal = temporal(service, Access::ReadOnly).await;
    let look = temporal.look(&key()).await.expect("a look").expect("found");
    let history = temporal
        .history(&key(), &need, &look)
        .await
        .expect("a history");
    let point = history
        .reset_point
        .map(|point| (point.event_id, point.signals_after));
    (point, history.truncated, pages.load(Ordering::SeqCst))
}

fn first() -> HistoryNeed {
    HistoryNeed::Point(ResetTo::FirstWorkflowTask)
}

fn last() -> HistoryNeed {
    HistoryNeed::Point(ResetTo::LastWorkflowTask)
}

fn event(id: i64) -> HistoryNeed {
    HistoryNeed::Point(ResetTo::Event(id))
}

/// While a process is suspended, answers wait for it: what they say is as old as the question.
#[tokio::test(start_paused = true)]
async fn a_look_is_as_old_as_its_question() {
    let service: InMemory = Arc::new(|rpc, _headers, _request| {
        Box::pin(async move {
            if rpc != "DescribeWorkflowExecution" {
                return Ok(GetSystemInfoResponse::default().encode_to_vec());
            }
            tokio::time::sleep(Duration::from_secs(8)).await;
            let running = WorkflowExecutionStatus::Running;
            Ok(run("order-1", "run-1", running, None, "").encode_to_vec())
        })
    });
    let clock = Clock::simulated(Timestamp::UNIX_EPOCH);
    let temporal = temporal(service, Access::ReadOnly).await;
    let temporal = temporal.with_clock(clock.clone());
    let asked = clock.now();
    let look = temporal.look(&key()).await.expect("an answer");
    assert_eq!(look.expect("a Workflow").at, asked);
    assert_eq!(clock.now().duration_since(asked).as_secs(), 8);
}

/// Whoever interrupts a run does not wait until a service that is away was tried for a minute.
#[tokio::test(start_paused = true)]
async fn a_read_is_given_up_when_nobody_waits_for_it_any_more() {
    let (away, _) = in_memory(|_, _| Err(Status::unavailable("injected")));
    let silent: InMemory = Arc::new(|rpc, _headers, _request| {
        Box::pin(async move {
            if rpc == "DescribeWorkflowExecution" {
                std::future::pending::<()>().await;
            }
            Ok(GetSystemInfoResponse::default().encode_to_vec())
        })
    });
    for service in [away, silent] {
        let leaving = watch::Sender::new(false);
        let temporal = temporal(service, Access::ReadOnly).await;
        let temporal = temporal.until(leaving.subscribe());
        let began = Instant::now();
        let leave = async {
            tokio::time::sleep(Duration::from_secs(3)).await;
            leaving.send_replace(true);
        };
        let key = key();
        let (looked, ()) = tokio::join!(temporal.look(&key), leave);
        let error = looked.expect_err("given up");
        assert!(error.to_string().contains("interrupted"), "{error}");
        assert_eq!(error.meaning.verdict, Verdict::Retry);
        assert_eq!(began.elapsed().as_secs(), 3);
    }
}

#[tokio::test]
async fn a_long_history_is_read_within_bounds() {
    let short = (Some((2, 4)), false, 2);
    assert_eq!(
        read_history(6, 2, first()).await,
        short,
        "to the end: what follows is counted"
    );
    assert_eq!(
        read_history(6, 2, last()).await,
        short,
        "the back meets the front"
    );
    assert_eq!(
        read_history(300, 298, last()).await,
        (Some((298, 2)), false, 2),
        "from the end"
    );
    assert_eq!(
        read_history(300, 280, last()).await,
        (Some((280, 20)), false, 8)
    );
    assert_eq!(
        read_history(300, 2, first()).await,
        (Some((2, 58)), true, 20),
        "20 pages at most"
    );
    assert_eq!(
        read_history(300, 150, last()).await,
        (Some((150, 150)), false, 52),
        "as far as it takes"
    );
    assert_eq!(
        read_history(1500, 150, last()).await,
        (None, true, 400),
        "400 pages at most, and it says so"
    );
    assert_eq!(
        read_history(300, 298, event(298)).await,
        (Some((298, 2)), false, 2),
        "only the pages after the event"
    );
    assert_eq!(
        read_history(300, 2, event(1)).await,
        (None, false, 1),
        "an invalid event near the front is known by the first page"
    );
    assert_eq!(
        read_history(300, 299, event(297)).await,
        (None, false, 100),
        "an invalid event with few points around it: read to the front"
    );
    assert_eq!(
        read_history(300, 150, HistoryNeed::Start).await,
        (None, false, 1)
    );
    assert_eq!(
        read_history(300, 150, HistoryNeed::Nothing).await,
        (None, false, 0)
    );
}

/// Executions by `ID/RUN`, the current run by `ID/`; counts the describes.
fn described_world(
    executions: Vec<(&'static str, DescribeWorkflowExecutionResponse)>,
) -> (InMemory, Arc<AtomicUsize>) {
    let describes = Arc::new(AtomicUsize::new(0));
    let counter = describes.clone();
    let executions = Arc::new(executions);
    let service: InMemory = Arc::new(move |rpc, _headers, request| {
        let (counter, executions) = (counter.clone(), executions.clone());
        Box::pin(async move {
            if rpc != "DescribeWorkflowExecution" {
                return Ok(GetSystemInfoResponse::default().encode_to_vec());
            }
            counter.fetch_add(1, Ordering::SeqCst);
            let request = DescribeWorkflowExecutionRequest::decode(request).expect("a request");
            let asked = request.execution.expect("an execution");
            let name = format!("{}/{}", asked.workflow_id, asked.run_id);
            let found = executions.iter().find(|(known, _)| *known == name);
            let missing = format!("workflow not found for ID: {}", asked.workflow_id);
            found
                .map(|(_, reply)| reply.encode_to_vec())
                .ok_or_else(|| Status::not_found(missing))
        })
    });
    (service, describes)
}

fn run(
    id: &str,
    run: &str,
    status: WorkflowExecutionStatus,
    parent: Option<(&str, &str)>,
    reset_run_id: &str,
) -> DescribeWorkflowExecutionResponse {
    let execution = |(id, run): (&str, &str)| WorkflowExecution {
        workflow_id: id.to_owned(),
        run_id: run.to_owned(),
    };
    DescribeWorkflowExecutionResponse {
        workflow_execution_info: Some(WorkflowExecutionInfo {
            execution: Some(execution((id, run))),
            status: status.into(),
            parent_execution: parent.map(execution),
            ..Default::default()
        }),
        workflow_extended_info: Some(WorkflowExecutionExtendedInfo {
            reset_run_id: reset_run_id.to_owned(),
            ..Default::default()
        }),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_look_describes_more_only_where_it_decides_something() {
    use WorkflowExecutionStatus::{Failed, Running, Terminated};
    let (service, describes) = described_world(vec![
        ("plain/1", run("plain", "1", Running, None, "")),
        ("closed/1", run("closed", "1", Failed, None, "")),
        ("closed/", run("closed", "2", Running, None, "")),
        (
            "child/1",
            run("child", "1", Running, Some(("parent", "1")), ""),
        ),
        ("parent/1", run("parent", "1", Terminated, None, "2")),
        ("parent/", run("parent", "2", Running, None, "")),
        (
            "orphan/1",
            run("orphan", "1", Running, Some(("dead", "1")), ""),
        ),
        ("dead/1", run("dead", "1", Terminated, None, "")),
        (
            "stray/1",
            run("stray", "1", Running, Some(("nowhere", "1")), ""),
        ),
    ]);
    let temporal = temporal(service, Access::ReadOnly).await;
    let look = async |id: &str| {
        let before = describes.load(Ordering::SeqCst);
        let key = WorkflowKey {
            workflow_id: id.to_owned(),
            run_id: "1".to_owned(),
        };
        let look = temporal.look(&key).await.expect("an answer");
        let found = look.map(|look| (look.current.run_id, look.parent_running));
        (found, describes.load(Ordering::SeqCst) - before)
    };
    let found = |current: &str, parent_running| Some((current.to_owned(), parent_running));
    assert_eq!(look("plain").await, (found("1", None), 1));
    assert_eq!(look("closed").await, (found("2", None), 2), "superseded");
    assert_eq!(
        look("child").await,
        (found("1", Some(true)), 3),
        "its parent was reset, and runs on"
    );
    assert_eq!(look("orphan").await, (found("1", Some(false)), 2));
    assert_eq!(look("stray").await, (found("1", Some(false)), 2));
    assert_eq!(look("nobody").await, (None, 1));
}

#[tokio::test]
async fn a_missing_namespace_is_named() {
    let (service, _) = in_memory(|rpc, _| match rpc {
        "DescribeNamespace" => Err(Status::not_found("Namespace default is not found.")),
        _ => Err(Status::unimplemented("not here")),
    });
    let error = temporal(service, Access::ReadOnly)
        .await
        .preflight()
        .await
        .expect_err("no namespace");
    assert_eq!(error.meaning.cause, Cause::NamespaceNotFound);
    assert!(
        error
            .to_string()
            .contains("there is no such namespace: check --namespace"),
        "{error}"
    );
}

#[tokio::test]
async fn a_preflight_says_what_it_could_not_find_out() {
    let (service, _) = in_memory(|rpc, _| match rpc {
        "DescribeNamespace" => Ok(DescribeNamespaceResponse::default().encode_to_vec()),
        _ => Err(Status::permission_denied("Request unauthorized.")),
    });
    let preflight = temporal(service, Access::ReadOnly)
        .await
        .preflight()
        .await
        .expect("the rest");
    assert!(preflight.attributes.is_empty());
    assert!(
        preflight.unknown[0].starts_with("the Search Attributes: "),
        "{:?}",
        preflight.unknown
    );
}

//! The connection and the typed calls against services in this process: in memory here, over TCP and
//! TLS in `network`. No network beyond the loopback.

mod interrupt;
mod codec;
mod network;
mod reads;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use prost::Message;
use runbook::connection::{Access, Connection, InMemory, Settings};
use runbook::survey::{Override, Version, WorkflowKey};
use runbook::temporal::{
    CallError, Cause, Reapply, ResetCall, RestartCall, SignalCall, Temporal, Verdict,
};
use temporalio_protos::temporal::api::history::v1::history_event::Attributes;
use temporalio_protos::temporal::api::history::v1::{
    History, HistoryEvent, WorkflowExecutionStartedEventAttributes,
};
use temporalio_protos::temporal::api::workflowservice::v1::{
    CountWorkflowExecutionsResponse, GetSystemInfoResponse, GetWorkflowExecutionHistoryResponse,
    ResetWorkflowExecutionRequest,
};
use tonic::{Code, Request, Status};

/// A service in memory that answers `GetSystemInfo` and a start event, counts the rest and gives it
/// to `answer`.
fn in_memory<F>(answer: F) -> (InMemory, Arc<AtomicUsize>)
where
    F: Fn(&str, usize) -> Result<Vec<u8>, Status> + Send + Sync + 'static,
{
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = calls.clone();
    let answer = Arc::new(answer);
    let service: InMemory = Arc::new(move |rpc, _headers, _request| {
        let (counter, answer) = (counter.clone(), answer.clone());
        Box::pin(async move {
            match rpc.as_str() {
                "GetSystemInfo" => Ok(GetSystemInfoResponse::default().encode_to_vec()),
                "GetWorkflowExecutionHistory" => Ok(started().encode_to_vec()),
                _ => answer(&rpc, counter.fetch_add(1, Ordering::SeqCst)),
            }
        })
    });
    (service, calls)
}

fn started() -> GetWorkflowExecutionHistoryResponse {
    let attributes = WorkflowExecutionStartedEventAttributes::default();
    let event = HistoryEvent {
        event_id: 1,
        attributes: Some(Attributes::WorkflowExecutionStartedEventAttributes(
            attributes,
        )),
        ..Default::default()
    };
    GetWorkflowExecutionHistoryResponse {
        history: Some(History {
            events: vec![event],
        }),
        ..Default::default()
    }
}

async fn temporal(service: InMemory, access: Access) -> Temporal {
    let connection = Connection::in_memory(&Settings::default(), service, access).await;
    Temporal::new(connection.expect("an in-memory connection opens"))
}

fn key() -> WorkflowKey {
    WorkflowKey {
        workflow_id: "order-1".to_owned(),
        run_id: "run-1".to_owned(),
    }
}

fn target() -> Version {
    Version {
        deployment: "orders".to_owned(),
        build_id: "v3".to_owned(),
    }
}

fn reset_call() -> ResetCall {
    ResetCall {
        key: key(),
        event_id: 4,
        exclude: BTreeSet::from([Reapply::Signal]),
        reason: "INC-1".to_owned(),
        request_id: "request-1".to_owned(),
        target: Some(Override::Pinned { version: target() }),
    }
}

fn signal_call() -> SignalCall {
    SignalCall {
        key: key(),
        name: "add_points".to_owned(),
        input: vec![serde_json::json!(100)],
        headers: BTreeMap::new(),
        request_id: "request-1".to_owned(),
    }
}

/// Each write that the tool has, once.
async fn all_writes(temporal: &Temporal) -> Vec<CallError> {
    let start = temporal.start_event(&key()).await.expect("the start event");
    let restart = RestartCall {
        workflow_id: "order-1".to_owned(),
        start,
        request_id: "request-1".to_owned(),
        terminate_existing: true,
        target: None,
    };
    let failures = [
        temporal.reset(&reset_call()).await.err(),
        temporal.restart(&restart).await.err(),
        temporal.update_options(&key(), None).await.err(),
        temporal.terminate(&key(), "INC-1", None).await.err(),
        temporal
            .set_current("orders", Some("v3"), "", false)
            .await
            .err(),
        temporal.set_ramping(&target(), 5.0, "", false).await.err(),
        temporal.unset_ramping("orders", "").await.err(),
        temporal.delete_version(&target()).await.err(),
        temporal.cancel(&key(), "INC-1", "request-1").await.err(),
        temporal.signal(&signal_call()).await.err(),
    ];
    failures.into_iter().flatten().collect()
}

const WRITES: usize = 10;

#[tokio::test(start_paused = true)]
async fn no_layer_retries_a_write() {
    for code in (1..=16).map(Code::from) {
        let (service, calls) = in_memory(move |_, _| Err(Status::new(code, "injected")));
        let temporal = temporal(service, Access::ReadWrite).await;
        let errors = all_writes(&temporal).await;
        assert_eq!(errors.len(), WRITES);
        assert_eq!(
            calls.load(Ordering::SeqCst),
            WRITES,
            "{code:?}: exactly one call for each write"
        );
        for error in errors {
            let in_doubt = error.meaning.verdict == Verdict::InDoubt;
            assert_eq!(in_doubt, !error.nothing_happened(), "{error}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_in_memory_that_never_answers_puts_the_write_in_doubt_after_one_call() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = calls.clone();
    let service: InMemory = Arc::new(move |rpc, _, _| {
        let counter = counter.clone();
        Box::pin(async move {
            if rpc == "GetSystemInfo" {
                return Ok(GetSystemInfoResponse::default().encode_to_vec());
            }
            counter.fetch_add(1, Ordering::SeqCst);
            std::future::pending().await
        })
    });
    let temporal = temporal(service, Access::ReadWrite).await;
    let error = temporal.reset(&reset_call()).await.expect_err("no answer");
    assert_eq!(
        (error.code, error.meaning.verdict),
        (Code::DeadlineExceeded, Verdict::InDoubt)
    );
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_dry_run_refuses_each_write_before_the_backend() {
    let (service, calls) = in_memory(|_, _| Ok(Vec::new()));
    let temporal = temporal(service, Access::ReadOnly).await;
    let errors = all_writes(&temporal).await;
    assert_eq!(errors.len(), WRITES);
    for error in errors {
        assert_eq!(error.meaning.cause, Cause::DryRun);
        assert!(
            error.message.starts_with("a dry run cannot write: "),
            "{}",
            error.message
        );
        assert!(error.nothing_happened());
    }
    assert_eq!(calls.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn a_read_waits_out_what_passes() {
    let trouble = [
        Code::Unavailable,
        Code::ResourceExhausted,
        Code::Aborted,
        Code::DeadlineExceeded,
    ];
    let (service, calls) = in_memory(move |_, call| match trouble.get(call) {
        Some(code) => Err(Status::new(*code, "injected")),
        None => Ok(CountWorkflowExecutionsResponse {
            count: 7,
            groups: Vec::new(),
        }
        .encode_to_vec()),
    });
    let temporal = temporal(service, Access::ReadOnly).await;
    assert_eq!(temporal.count("").await.expect("a count"), 7);
    assert_eq!(calls.load(Ordering::SeqCst), trouble.len() + 1);
}

#[tokio::test(start_paused = true)]
async fn a_read_gives_up_when_patience_ends_and_says_what_was_tried() {
    let (service, calls) = in_memory(|_, _| Err(Status::unavailable("injected")));
    let temporal = temporal(service, Access::ReadOnly).await;
    let error = temporal.count("").await.expect_err("never available");
    let tried = calls.load(Ordering::SeqCst);
    assert!(tried > 5, "{tried} tries");
    assert!(
        error
            .to_string()
            .ends_with(&format!("(tried {tried} times in 60 s)")),
        "{error}"
    );
}

#[tokio::test]
async fn a_read_that_is_refused_is_not_tried_again() {
    let (service, calls) = in_memory(|_, _| Err(Status::invalid_argument("invalid query")));
    let error = temporal(service, Access::ReadOnly)
        .await
        .count("nope = 1")
        .await
        .expect_err("refused");
    assert_eq!(
        (error.meaning.verdict, error.meaning.cause),
        (Verdict::Fail, Cause::Query)
    );
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn clones_share_the_visibility_budget() {
    let (service, calls) =
        in_memory(|_, _| Ok(CountWorkflowExecutionsResponse::default().encode_to_vec()));
    let temporal = temporal(service, Access::ReadOnly).await;
    let counts = (0..40).map(|_| {
        let temporal = temporal.clone();
        tokio::spawn(async move { temporal.count("").await })
    });
    let counts: Vec<_> = counts.collect();
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(
        calls.load(Ordering::SeqCst),
        15,
        "five in each of the three seconds that began"
    );
    for count in counts {
        count.abort();
    }
}

#[tokio::test]
async fn a_statuss_details_and_trailers_survive() {
    let (service, _) = in_memory(|_, _| {
        let mut status = Status::with_details(Code::NotFound, "gone", b"details".as_slice().into());
        status
            .metadata_mut()
            .insert("some-trailer", "kept".parse().expect("ascii"));
        Err(status)
    });
    let connection = Connection::in_memory(&Settings::default(), service, Access::ReadWrite).await;
    let mut client = connection.expect("opens").workflow_service();
    let request = Request::new(ResetWorkflowExecutionRequest::default());
    let status = client
        .reset_workflow_execution(request)
        .await
        .expect_err("refused");
    assert_eq!(
        (status.code(), status.message(), status.details()),
        (Code::NotFound, "gone", &b"details"[..])
    );
    assert_eq!(
        status
            .metadata()
            .get("some-trailer")
            .map(|value| value.as_bytes()),
        Some(&b"kept"[..])
    );
}

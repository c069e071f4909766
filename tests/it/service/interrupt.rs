//! Signals in a history, and Queries, against a service in memory.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use prost::Message;
use runbook::connection::Access;
use runbook::survey::{Status as Is, WorkflowKey};
use runbook::temporal::{Cause, Found, QueryCall, Reply};
use serde_json::{Value, json};
use temporalio_protos::temporal::api::common::v1::{Payload, Payloads};
use temporalio_protos::temporal::api::enums::v1::WorkflowExecutionStatus;
use temporalio_protos::temporal::api::history::v1::history_event::Attributes;
use temporalio_protos::temporal::api::history::v1::{
    History, HistoryEvent, WorkflowExecutionSignaledEventAttributes,
};
use temporalio_protos::temporal::api::query::v1::QueryRejected;
use temporalio_protos::temporal::api::workflowservice::v1::{
    GetWorkflowExecutionHistoryReverseResponse, QueryWorkflowResponse,
};
use tonic::{Code, Status};

use super::{in_memory, key, temporal};

/// A page of a history, newest first: event `last` and those before it, each a Signal whose request id
/// is its event id.
fn page(last: i64, events: i64, more: bool) -> Vec<u8> {
    let event = |event_id: i64| HistoryEvent {
        event_id,
        attributes: Some(Attributes::WorkflowExecutionSignaledEventAttributes(
            WorkflowExecutionSignaledEventAttributes {
                request_id: event_id.to_string(),
                ..Default::default()
            },
        )),
        ..Default::default()
    };
    GetWorkflowExecutionHistoryReverseResponse {
        history: Some(History {
            events: (0..events).map(|n| event(last - n)).collect(),
        }),
        next_page_token: if more { vec![1] } else { Vec::new() },
    }
    .encode_to_vec()
}

#[tokio::test]
async fn a_signal_is_found_by_its_request_id_and_not_looked_for_before_the_intent() {
    let (service, calls) = in_memory(|_, call| match call {
        0 => Ok(page(100, 50, true)),
        _ => Ok(page(50, 50, false)),
    });
    let temporal = temporal(service, Access::ReadOnly).await;
    let find = async |id: &str, after| temporal.signalled(&key(), id, after).await.expect("read");
    assert_eq!(find("60", 10).await, Found::Yes(()));
    assert_eq!(calls.load(Ordering::SeqCst), 1, "one page is enough");
}

#[tokio::test]
async fn what_is_older_than_the_intent_is_no_evidence() {
    let (service, calls) = in_memory(|_, _| Ok(page(100, 50, true)));
    let temporal = temporal(service, Access::ReadOnly).await;
    let found = temporal.signalled(&key(), "60", 70).await.expect("read");
    assert_eq!(found, Found::No);
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_history_that_grew_too_much_is_said_to_be_so() {
    let (service, calls) = in_memory(|_, call| Ok(page(1_000_000 - 100 * call as i64, 100, true)));
    let temporal = temporal(service, Access::ReadOnly).await;
    let found = temporal.signalled(&key(), "1", 0).await.expect("read");
    assert_eq!(found, Found::TooLong);
    assert!(calls.load(Ordering::SeqCst) <= 400, "it is bounded");
}

fn query() -> QueryCall {
    QueryCall {
        key: WorkflowKey {
            workflow_id: "order-1".to_owned(),
            run_id: String::new(),
        },
        name: "points".to_owned(),
        input: Vec::new(),
        headers: BTreeMap::new(),
        reject: None,
        timeout: Duration::from_secs(3),
    }
}

fn answer(values: &[Value]) -> Vec<u8> {
    let payload = |value: &Value| Payload {
        metadata: [("encoding".to_owned(), b"json/plain".to_vec())].into(),
        data: value.to_string().into_bytes(),
        ..Default::default()
    };
    QueryWorkflowResponse {
        query_result: Some(Payloads {
            payloads: values.iter().map(payload).collect(),
        }),
        ..Default::default()
    }
    .encode_to_vec()
}

#[tokio::test]
async fn a_dry_run_may_ask_and_one_value_is_the_answer() {
    for (values, wanted) in [
        (vec![], Value::Null),
        (vec![json!({ "points": 500 })], json!({ "points": 500 })),
        (vec![json!([1, 2])], json!([1, 2])),
        (vec![json!(1), json!("b")], json!([1, "b"])),
    ] {
        let (service, _) = in_memory(move |_, _| Ok(answer(&values)));
        let temporal = temporal(service, Access::ReadOnly).await;
        let reply = temporal.query(&query()).await.expect("an answer");
        assert_eq!(reply, Reply::Answer(wanted));
    }
}

#[tokio::test]
async fn a_rejected_query_says_in_which_state_the_workflow_is() {
    let (service, _) = in_memory(|_, _| {
        Ok(QueryWorkflowResponse {
            query_rejected: Some(QueryRejected {
                status: WorkflowExecutionStatus::Completed.into(),
            }),
            ..Default::default()
        }
        .encode_to_vec())
    });
    let temporal = temporal(service, Access::ReadOnly).await;
    let reply = temporal.query(&query()).await.expect("a reply");
    assert_eq!(reply, Reply::Rejected(Is::Completed));
}

#[tokio::test(start_paused = true)]
async fn what_passes_is_asked_again_within_the_deadline_and_the_rest_is_not() {
    let (service, calls) = in_memory(|_, call| match call {
        0 => Err(Status::unavailable("injected")),
        1 => Err(Status::resource_exhausted("injected")),
        _ => Ok(answer(&[json!(7)])),
    });
    let reply = temporal(service, Access::ReadOnly)
        .await
        .query(&query())
        .await;
    assert_eq!(reply.expect("an answer"), Reply::Answer(json!(7)));
    assert_eq!(calls.load(Ordering::SeqCst), 3);

    for code in [
        Code::InvalidArgument,
        Code::DeadlineExceeded,
        Code::NotFound,
        Code::FailedPrecondition,
        Code::Unknown,
    ] {
        let (service, calls) = in_memory(move |_, _| Err(Status::new(code, "injected")));
        let reply = temporal(service, Access::ReadOnly)
            .await
            .query(&query())
            .await;
        assert_eq!(reply.expect_err("refused").code, code);
        assert_eq!(calls.load(Ordering::SeqCst), 1, "{code:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_query_that_nobody_can_be_asked_ends_at_its_deadline() {
    let (service, calls) = in_memory(|_, _| Err(Status::unavailable("injected")));
    let temporal = temporal(service, Access::ReadOnly).await;
    let begun = tokio::time::Instant::now();
    let error = temporal.query(&query()).await.expect_err("never available");
    assert_eq!(error.meaning.cause, Cause::NoAnswer);
    assert!(begun.elapsed() <= query().timeout);
    assert!(calls.load(Ordering::SeqCst) > 5);
}

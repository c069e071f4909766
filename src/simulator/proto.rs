//! Small conversions between the simulator's own values and Temporal's messages.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use temporalio_protos::temporal::api::common::v1::{
    Payload, Payloads, WorkflowExecution, WorkflowType,
};
use temporalio_protos::temporal::api::deployment::v1::WorkerDeploymentVersion;
use temporalio_protos::temporal::api::enums::v1::{TaskQueueKind, WorkflowExecutionStatus};
use temporalio_protos::temporal::api::taskqueue::v1::TaskQueue;

use super::state::VersionName;
use crate::survey::{AttributeValue, Status};

pub(super) fn stamp(at: Timestamp) -> prost_types::Timestamp {
    let (mut seconds, mut nanos) = (at.as_second(), at.subsec_nanosecond());
    if nanos < 0 {
        seconds -= 1;
        nanos += 1_000_000_000;
    }
    prost_types::Timestamp { seconds, nanos }
}

pub(super) fn from_micros(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(micros).unwrap_or_default()
}

pub(super) fn span(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or(0),
    }
}

pub(super) fn unspan(duration: Option<&prost_types::Duration>) -> Option<Duration> {
    let duration = duration?;
    let length = Duration::new(
        u64::try_from(duration.seconds).ok()?,
        u32::try_from(duration.nanos).ok()?,
    );
    (!length.is_zero()).then_some(length)
}

pub(super) fn run_text(run: u128) -> String {
    uuid::Uuid::from_u128(run).to_string()
}

pub(super) fn execution(id: &str, run: u128) -> WorkflowExecution {
    WorkflowExecution {
        workflow_id: id.to_owned(),
        run_id: run_text(run),
    }
}

pub(super) fn workflow_type(name: &str) -> Option<WorkflowType> {
    Some(WorkflowType {
        name: name.to_owned(),
    })
}

pub(super) fn task_queue(name: &str) -> Option<TaskQueue> {
    Some(TaskQueue {
        name: name.to_owned(),
        kind: TaskQueueKind::Normal as i32,
        normal_name: String::new(),
    })
}

pub(super) fn version(name: &VersionName) -> WorkerDeploymentVersion {
    WorkerDeploymentVersion {
        deployment_name: name.deployment.to_string(),
        build_id: name.build.to_string(),
    }
}

/// The deprecated spelling, `DEPLOYMENT.BUILD`.
pub(super) fn dotted(name: &VersionName) -> String {
    format!("{}.{}", name.deployment, name.build)
}

pub(super) fn status_number(status: Status) -> i32 {
    (match status {
        Status::Running => WorkflowExecutionStatus::Running,
        Status::Completed => WorkflowExecutionStatus::Completed,
        Status::Failed => WorkflowExecutionStatus::Failed,
        Status::Canceled => WorkflowExecutionStatus::Canceled,
        Status::Terminated => WorkflowExecutionStatus::Terminated,
        Status::ContinuedAsNew => WorkflowExecutionStatus::ContinuedAsNew,
        Status::TimedOut => WorkflowExecutionStatus::TimedOut,
        Status::Paused => WorkflowExecutionStatus::Paused,
    }) as i32
}

pub(super) fn json_payload(value: &(impl Serialize + ?Sized)) -> Payload {
    Payload {
        metadata: HashMap::from([("encoding".to_owned(), b"json/plain".to_vec())]),
        // What is put into one is always JSON.
        data: serde_json::to_vec(value).unwrap_or_default(),
        ..Default::default()
    }
}

pub(super) fn json_payloads(value: &serde_json::Value) -> Option<Payloads> {
    Some(Payloads {
        payloads: vec![json_payload(value)],
    })
}

/// The payloads as text, for an observer: JSON where it is, else the length.
pub(super) fn payload_text(payloads: Option<&Payloads>) -> String {
    let parts: Vec<String> = payloads
        .map(|all| {
            all.payloads
                .iter()
                .map(|one| String::from_utf8_lossy(&one.data).into_owned())
                .collect()
        })
        .unwrap_or_default();
    parts.join(", ")
}

/// A Search Attribute as the service sends it: JSON, with its type in the metadata.
pub(super) fn attribute_payload(value: &AttributeValue) -> Payload {
    let (kind, mut payload) = match value {
        AttributeValue::Keyword(text) => ("Keyword", json_payload(text)),
        AttributeValue::Text(text) => ("Text", json_payload(text)),
        AttributeValue::KeywordList(list) => ("KeywordList", json_payload(list)),
        AttributeValue::Int(number) => ("Int", json_payload(number)),
        AttributeValue::Double(number) => ("Double", json_payload(number)),
        AttributeValue::Bool(value) => ("Bool", json_payload(value)),
        AttributeValue::Datetime(at) => ("Datetime", json_payload(&at.to_string())),
    };
    payload
        .metadata
        .insert("type".to_owned(), kind.as_bytes().to_vec());
    payload
}

//! QueryWorkflow: what a Workflow's Workers would answer, which is a fold over the Signals and Updates in
//! its history; so a reset that leaves Signals out changes the answer. Refusals as on server 1.32, with
//! the wording of the Python SDK where Workers give it.

use std::collections::BTreeMap;

use prost::Message as _;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use temporalio_protos::google::rpc;
use temporalio_protos::temporal::api::enums::v1::QueryRejectCondition as Reject;
use temporalio_protos::temporal::api::query::v1::QueryRejected;
use temporalio_protos::temporal::api::workflowservice::v1 as service;
use tonic::{Code, Status as Reply};

use super::execution::Execution;
use super::history::{Message, What};
use super::proto;
use super::state::State;
use super::world::Behaviour;
use crate::survey::Status;

/// From this attempt on a failing Workflow Task keeps Queries away.
const FAILING_FROM: u32 = 3;
/// Queries that every Worker of the SDK answers.
const BUILT_IN: &str = "__enhanced_stack_trace __stack_trace __temporal_workflow_metadata";

/// How Workers answer a Query. Of each Signal or Update that is named, a field of its argument counts;
/// an empty field name is the whole argument.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct QueryWorld {
    /// What it answers before anything was received; by default 0.
    pub starts: Option<Value>,
    /// Signals and Updates whose field is added: `{ add_points: points }`.
    pub adds: BTreeMap<String, String>,
    /// Signals and Updates whose field is subtracted.
    pub subtracts: BTreeMap<String, String>,
    /// Signals and Updates whose field becomes the answer.
    pub sets: BTreeMap<String, String>,
    /// Signals and Updates that count one each.
    pub counts: Vec<String>,
    /// It fails, with these words.
    pub fails: Option<String>,
}

impl QueryWorld {
    fn start(&self) -> Value {
        self.starts.clone().unwrap_or_else(|| json!(0))
    }

    fn after(&self, answer: Value, message: &Message) -> Value {
        let name = message.name.as_str();
        let read = |field: &String| field_of(message, field);
        if let Some(value) = self.sets.get(name).and_then(read) {
            return value;
        }
        if let Some(value) = self.adds.get(name).and_then(read) {
            return sum(&answer, &value, 1);
        }
        if let Some(value) = self.subtracts.get(name).and_then(read) {
            return sum(&answer, &value, -1);
        }
        if self.counts.iter().any(|one| one == name) {
            return sum(&answer, &json!(1), 1);
        }
        answer
    }
}

fn field_of(message: &Message, field: &str) -> Option<Value> {
    let payload = message.input.as_ref()?.payloads.first()?;
    let value: Value = serde_json::from_slice(&payload.data).ok()?;
    if field.is_empty() {
        return Some(value);
    }
    value.get(field).cloned()
}

fn sum(before: &Value, value: &Value, sign: i64) -> Value {
    match (before.as_i64(), value.as_i64()) {
        (Some(before), Some(value)) => json!(before.saturating_add(value.saturating_mul(sign))),
        _ => {
            let sign = if sign < 0 { -1.0 } else { 1.0 };
            json!(before.as_f64().unwrap_or(0.0) + sign * value.as_f64().unwrap_or(0.0))
        }
    }
}

impl State {
    pub(super) fn query(
        &mut self,
        request: &service::QueryWorkflowRequest,
    ) -> Result<service::QueryWorkflowResponse, Reply> {
        self.check_namespace(&request.namespace)?;
        let name = request
            .query
            .as_ref()
            .map(|query| query.query_type.as_str())
            .unwrap_or_default();
        if name.is_empty() {
            return Err(Reply::invalid_argument("QueryType is not set on request."));
        }
        let run = self.execution(self.find(request.execution.as_ref())?);
        if rejected(run.status, request.query_reject_condition) {
            return Ok(service::QueryWorkflowResponse {
                query_rejected: Some(QueryRejected {
                    status: proto::status_number(run.status),
                }),
                ..Default::default()
            });
        }
        self.check_ready(run)?;
        let answer = self.answered(run, name)?;
        Ok(service::QueryWorkflowResponse {
            query_result: proto::json_payloads(&answer),
            ..Default::default()
        })
    }

    /// Whether a Worker gets the Query. One that nobody takes times out after 30 s: the caller waits.
    fn check_ready(&self, run: &Execution) -> Result<(), Reply> {
        if run.is_open() && run.waits() {
            return Err(Reply::failed_precondition(
                "Workflow task is not scheduled yet.",
            ));
        }
        let failing = run
            .pending_attempt(self.now)
            .is_some_and(|(attempt, _)| attempt >= FAILING_FROM);
        if run.is_open() && failing {
            return Err(Reply::failed_precondition(
                "Unable to query workflow due to Workflow Task in failed state.",
            ));
        }
        let polled = self
            .route_of(run)
            .is_some_and(|version| self.behaviour(run, version) != Behaviour::NoWorkers);
        if !polled || run.is_open() && run.ran_on.is_none() {
            return Err(Reply::deadline_exceeded(
                "query timed out before a worker could process it",
            ));
        }
        Ok(())
    }

    fn answered(&self, run: &Execution, name: &str) -> Result<Value, Reply> {
        let queries = &run.kind.profile.queries;
        let Some(query) = queries.get(name) else {
            let known: Vec<&str> = queries.keys().map(String::as_str).collect();
            return Err(failed(&format!(
                "Query handler for '{name}' expected but not found, known queries: [{}]",
                [&[BUILT_IN], known.as_slice()].concat().join(" ")
            )));
        };
        match &query.fails {
            Some(words) => Err(failed(words)),
            None => Ok(fold(query, run)),
        }
    }

    /// What each Query of a run answers, for an observer.
    pub(super) fn answers(run: &Execution) -> BTreeMap<String, Value> {
        let queries = run.kind.profile.queries.iter();
        queries
            .filter(|(_, query)| query.fails.is_none())
            .map(|(name, query)| (name.clone(), fold(query, run)))
            .collect()
    }
}

fn fold(query: &QueryWorld, run: &Execution) -> Value {
    run.history
        .iter()
        .filter_map(|event| match &event.what {
            What::Signaled(message) | What::UpdateAccepted(message) => Some(message),
            _ => None,
        })
        .fold(query.start(), |answer, message| {
            query.after(answer, message)
        })
}

fn rejected(status: Status, condition: i32) -> bool {
    match Reject::try_from(condition) {
        Ok(Reject::NotOpen) => !status.is_open(),
        Ok(Reject::NotCompletedCleanly) => !status.is_open() && status != Status::Completed,
        _ => false,
    }
}

/// A Worker's refusal: the code and the detail that the service gives it.
fn failed(message: &str) -> Reply {
    let detail = prost_types::Any {
        type_url: "type.googleapis.com/temporal.api.errordetails.v1.QueryFailedFailure".to_owned(),
        value: Vec::new(),
    };
    let status = rpc::Status {
        code: Code::InvalidArgument as i32,
        message: message.to_owned(),
        details: vec![detail],
    };
    Reply::with_details(
        Code::InvalidArgument,
        message,
        status.encode_to_vec().into(),
    )
}

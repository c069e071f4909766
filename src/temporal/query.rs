//! QueryWorkflow: a read that a Worker answers by running Workflow code.
//!
//! One deadline for one question, tries that pass included: a Workflow without a Worker never answers,
//! and no patience changes that.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use temporalio_protos::temporal::api::enums::v1::QueryRejectCondition;
use temporalio_protos::temporal::api::query::v1::WorkflowQuery;
use temporalio_protos::temporal::api::workflowservice::v1::{
    QueryWorkflowRequest, QueryWorkflowResponse,
};
use tokio::time::Instant;
use tonic::{Code, Status as Reason};

use super::writes::header;
use super::{CallError, Rpc, Temporal, convert};
use crate::catalog::Reject;
use crate::payload::Decoded;
use crate::survey::{Status, WorkflowKey};

/// Pause before a question is put again.
const PAUSE: Duration = Duration::from_millis(250);

/// A question to one Workflow.
#[derive(Clone, Debug, PartialEq)]
pub struct QueryCall {
    /// The run; an empty Run ID is the current one.
    pub key: WorkflowKey,
    /// The Query's name.
    pub name: String,
    /// Its arguments.
    pub input: Vec<Value>,
    /// Its headers.
    pub headers: BTreeMap<String, Value>,
    /// Which Workflows do not answer.
    pub reject: Option<Reject>,
    /// How long it may take in all; the connection's own limit for a call bounds it, too.
    pub timeout: Duration,
}

/// What came back.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// The answer; of several values a list, of none `null`.
    Answer(Value),
    /// The Workflow is in a state that was to be rejected.
    Rejected(Status),
    /// There is an answer, and it cannot be read here: why.
    Unreadable(String),
}

impl Temporal {
    /// Asks one Workflow.
    ///
    /// # Errors
    /// Nobody answered in time, there is no such Workflow, or its Worker refused the Query.
    pub async fn query(&self, call: &QueryCall) -> Result<Reply, CallError> {
        let rpc = Rpc::QueryWorkflow;
        let message = QueryWorkflowRequest {
            namespace: self.namespace(),
            execution: Some(convert::execution(&call.key)),
            query: Some(WorkflowQuery {
                query_type: call.name.clone(),
                query_args: self.arguments(rpc, &call.input).await?,
                header: header(&call.headers),
            }),
            query_reject_condition: reject(call.reject).into(),
        };
        let until = Instant::now() + call.timeout;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let mut request = self.request(message.clone());
            request.set_timeout(left.min(self.call_timeout()));
            let mut service = self.connection.workflow_service();
            let answered = tokio::time::timeout(left, service.query_workflow(request));
            let status = match answered.await {
                Ok(Ok(response)) => return Ok(self.reply(response.into_inner()).await),
                Ok(Err(status)) => status,
                Err(_elapsed) => Reason::deadline_exceeded("nobody answered in time"),
            };
            let passes = matches!(status.code(), Code::Unavailable | Code::ResourceExhausted);
            if !passes || left <= PAUSE {
                return Err(CallError::of(rpc, &status));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn reply(&self, response: QueryWorkflowResponse) -> Reply {
        if let Some(rejected) = response.query_rejected {
            return match convert::status(rejected.status) {
                Some(status) => Reply::Rejected(status),
                None => Reply::Unreadable("rejected, with a status that is not known".to_owned()),
            };
        }
        let payloads = response.query_result.unwrap_or_default().payloads;
        let shown = self.show(payloads).await;
        if let Some(problem) = shown.problem {
            return Reply::Unreadable(format!("{problem} (hint: {})", problem.hint()));
        }
        let mut values = shown.values.iter().map(Decoded::to_json);
        Reply::Answer(match (values.next(), values.len()) {
            (None, _) => Value::Null,
            (Some(only), 0) => only,
            (Some(first), _) => std::iter::once(first).chain(values).collect(),
        })
    }
}

fn reject(condition: Option<Reject>) -> QueryRejectCondition {
    match condition {
        None => QueryRejectCondition::None,
        Some(Reject::NotOpen) => QueryRejectCondition::NotOpen,
        Some(Reject::NotCompletedCleanly) => QueryRejectCondition::NotCompletedCleanly,
    }
}

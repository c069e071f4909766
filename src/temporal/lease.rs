//! The calls about a lease: a Workflow that no Worker takes, and that says who has a lock.

use std::collections::BTreeMap;

use jiff::Timestamp;
use temporalio_protos::temporal::api::common::v1::{Memo, WorkflowType};
use temporalio_protos::temporal::api::enums::v1::{
    WorkflowIdConflictPolicy, WorkflowIdReusePolicy,
};
use temporalio_protos::temporal::api::history::v1::history_event::Attributes;
use temporalio_protos::temporal::api::taskqueue::v1::TaskQueue;
use temporalio_protos::temporal::api::workflowservice::v1::{
    GetWorkflowExecutionHistoryReverseRequest, StartWorkflowExecutionRequest,
};

use super::{CallError, Rpc, Temporal, convert, writes};
use crate::lease::{TASK_QUEUE, WORKFLOW_TYPE};
use crate::payload;
use crate::survey::{Status, WorkflowKey};

/// A lease, to be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseStart {
    /// Its Workflow ID.
    pub workflow_id: String,
    /// Who has it. In clear, whatever codec the namespace uses: whoever is refused has to read it.
    pub memo: BTreeMap<String, String>,
    /// Never used before: the service answers the same id with the run that it made, also when that is closed.
    pub request_id: String,
}

/// What the service says about a Workflow ID that may be a lease's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseSeen {
    /// Its current run.
    pub run_id: String,
    /// Whether that runs.
    pub open: bool,
    /// Workflow Type.
    pub workflow_type: String,
    /// Texts of its memo.
    pub memo: BTreeMap<String, String>,
    /// When it started.
    pub since: Timestamp,
}

impl Temporal {
    /// Starts a lease where none runs; gives its Run ID. Refused where one does.
    pub async fn start_lease(&self, start: &LeaseStart) -> Result<String, CallError> {
        let rpc = Rpc::StartWorkflowExecution;
        let memo = start.memo.iter();
        let message = StartWorkflowExecutionRequest {
            namespace: self.namespace(),
            workflow_id: start.workflow_id.clone(),
            workflow_type: Some(WorkflowType {
                name: WORKFLOW_TYPE.to_owned(),
            }),
            task_queue: Some(TaskQueue {
                name: TASK_QUEUE.to_owned(),
                ..Default::default()
            }),
            identity: self.identity(),
            request_id: start.request_id.clone(),
            workflow_id_reuse_policy: WorkflowIdReusePolicy::AllowDuplicate.into(),
            workflow_id_conflict_policy: WorkflowIdConflictPolicy::Fail.into(),
            memo: Some(Memo {
                fields: memo
                    .map(|(name, text)| (name.clone(), payload::encode(&text.as_str().into())))
                    .collect(),
            }),
            ..Default::default()
        };
        let response = self
            .write(rpc, message, |mut service, request| async move {
                service.start_workflow_execution(request).await
            })
            .await?;
        writes::named(rpc, response.run_id)
    }

    /// What has a Workflow ID now; none where nothing has it.
    pub async fn lease(&self, workflow_id: &str) -> Result<Option<LeaseSeen>, CallError> {
        let key = WorkflowKey {
            workflow_id: workflow_id.to_owned(),
            run_id: String::new(),
        };
        let Some(response) = self.describe(&key).await? else {
            return Ok(None);
        };
        let info = response.workflow_execution_info.unwrap_or_default();
        let unusable = |what: &str| CallError::unusable(Rpc::DescribeWorkflowExecution, what);
        let status = convert::status(info.status).ok_or_else(|| unusable("an unknown status"))?;
        let since = convert::time_of!(info.start_time);
        Ok(Some(LeaseSeen {
            run_id: info
                .execution
                .map(|execution| execution.run_id)
                .unwrap_or_default(),
            open: Status::is_open(status),
            workflow_type: info.r#type.map(|kind| kind.name).unwrap_or_default(),
            memo: info
                .memo
                .unwrap_or_default()
                .fields
                .iter()
                .filter_map(|(name, text)| Some((name.clone(), convert::text(text)?)))
                .collect(),
            since: since.ok_or_else(|| unusable("a Workflow without a start time"))?,
        }))
    }

    /// When the newest event of a run happened, and whose doing it was where that is said: for a lease, its latest
    /// sign of life.
    pub async fn last_event(
        &self,
        key: &WorkflowKey,
    ) -> Result<Option<(Timestamp, String)>, CallError> {
        let message = GetWorkflowExecutionHistoryReverseRequest {
            namespace: self.namespace(),
            execution: Some(convert::execution(key)),
            maximum_page_size: 1,
            ..Default::default()
        };
        let result = self
            .read(
                Rpc::GetWorkflowExecutionHistoryReverse,
                message,
                |mut service, request| async move {
                    service
                        .get_workflow_execution_history_reverse(request)
                        .await
                },
            )
            .await;
        let Some(response) = super::reads::absent(result, &[super::Cause::WorkflowNotFound])?
        else {
            return Ok(None);
        };
        let events = response.history.unwrap_or_default().events;
        Ok(events.into_iter().next().and_then(|event| {
            let at = convert::time_of!(event.event_time)?;
            let by = match event.attributes {
                Some(Attributes::WorkflowExecutionSignaledEventAttributes(signal)) => {
                    signal.identity
                }
                _ => String::new(),
            };
            Some((at, by))
        }))
    }
}

//! Writes. Each is one call; who wants it again must look first.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use temporalio_protos::temporal::api::common::v1::Header;
use temporalio_protos::temporal::api::enums::v1::{
    ResetReapplyExcludeType, WorkflowIdConflictPolicy, WorkflowIdReusePolicy,
};
use temporalio_protos::temporal::api::history::v1::HistoryEvent;
use temporalio_protos::temporal::api::history::v1::history_event::Attributes;
use temporalio_protos::temporal::api::workflow::v1::post_reset_operation::{
    UpdateWorkflowOptions, Variant,
};
use temporalio_protos::temporal::api::workflow::v1::{
    PostResetOperation, WorkflowExecutionOptions,
};
use temporalio_protos::temporal::api::workflowservice::v1::{
    DeleteWorkerDeploymentVersionRequest, RequestCancelWorkflowExecutionRequest,
    ResetWorkflowExecutionRequest, SetWorkerDeploymentCurrentVersionRequest,
    SetWorkerDeploymentRampingVersionRequest, SignalWorkflowExecutionRequest,
    StartWorkflowExecutionRequest, TerminateWorkflowExecutionRequest,
    UpdateWorkflowExecutionOptionsRequest,
};

use super::{CallError, Rpc, Temporal, convert};
use crate::payload;
use crate::survey::{Override, Version, WorkflowKey};

/// The only option that is ever updated.
pub(super) const OVERRIDE_PATH: &str = "versioning_override";

/// What a reset does *not* apply again after its point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reapply {
    /// Signals.
    Signal,
    /// Updates.
    Update,
    /// Results of Nexus operations.
    Nexus,
}

/// A reset, with a Versioning Override in the same atomic call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResetCall {
    /// The base run; its Run ID must be there, else the current run would be reset.
    pub key: WorkflowKey,
    /// `workflow_task_finish_event_id`.
    pub event_id: i64,
    /// What is not applied again; empty applies all.
    pub exclude: BTreeSet<Reapply>,
    /// Goes into the histories of both runs.
    pub reason: String,
    /// Does not protect a reset from being done twice; the service wants one all the same.
    pub request_id: String,
    /// Where the new run goes.
    pub target: Option<Override>,
}

/// A new start with the original arguments and options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestartCall {
    /// Workflow ID.
    pub workflow_id: String,
    /// The base's start event, as [`Temporal::start_event`] gave it.
    pub start: String,
    /// Makes the call idempotent.
    pub request_id: String,
    /// True where the base runs: it is terminated in the same call. False refuses if anything runs.
    pub terminate_existing: bool,
    /// Where the new run goes.
    pub target: Option<Override>,
}

/// A Signal to one run.
#[derive(Clone, Debug, PartialEq)]
pub struct SignalCall {
    /// The run; its Run ID must be there, else a successor could get the Signal a second time.
    pub key: WorkflowKey,
    /// The Signal's name.
    pub name: String,
    /// Its arguments.
    pub input: Vec<Value>,
    /// Its headers.
    pub headers: BTreeMap<String, Value>,
    /// Makes the call idempotent for this run.
    pub request_id: String,
}

/// Headers on the wire. The SDKs encode them with the default converter, and their codec leaves them
/// alone unless told.
pub(super) fn header(values: &BTreeMap<String, Value>) -> Option<Header> {
    (!values.is_empty()).then(|| Header {
        fields: values
            .iter()
            .map(|(name, value)| (name.clone(), payload::encode(value)))
            .collect(),
    })
}

impl Temporal {
    /// Resets a run; gives the new Run ID.
    pub async fn reset(&self, call: &ResetCall) -> Result<String, CallError> {
        let rpc = Rpc::ResetWorkflowExecution;
        if call.key.run_id.is_empty() || call.request_id.is_empty() {
            return Err(CallError::unsendable(
                rpc,
                "a reset needs the base's Run ID and a request id",
            ));
        }
        let message = ResetWorkflowExecutionRequest {
            namespace: self.namespace(),
            workflow_execution: Some(convert::execution(&call.key)),
            reason: call.reason.clone(),
            workflow_task_finish_event_id: call.event_id,
            request_id: call.request_id.clone(),
            reset_reapply_exclude_types: call
                .exclude
                .iter()
                .map(|kind| exclusion(*kind).into())
                .collect(),
            post_reset_operations: call.target.iter().map(move_to).collect(),
            identity: self.identity(),
            ..Default::default()
        };
        let response = self
            .write(rpc, message, |mut service, request| async move {
                service.reset_workflow_execution(request).await
            })
            .await?;
        named(rpc, response.run_id)
    }

    /// Sets a Versioning Override, or unsets it.
    pub async fn update_options(
        &self,
        key: &WorkflowKey,
        target: Option<&Override>,
    ) -> Result<(), CallError> {
        let mut message = UpdateWorkflowExecutionOptionsRequest {
            namespace: self.namespace(),
            workflow_execution: Some(convert::execution(key)),
            workflow_execution_options: Some(options(target)),
            identity: self.identity(),
            ..Default::default()
        };
        message.update_mask.get_or_insert_default().paths = vec![OVERRIDE_PATH.to_owned()];
        self.write(
            Rpc::UpdateWorkflowExecutionOptions,
            message,
            |mut service, request| async move {
                service.update_workflow_execution_options(request).await
            },
        )
        .await
        .map(|_| ())
    }

    /// Starts a Workflow anew; gives the new Run ID. With the same request id it gives the same run.
    pub async fn restart(&self, call: &RestartCall) -> Result<String, CallError> {
        let rpc = Rpc::StartWorkflowExecution;
        let event = convert::event_from_text(&call.start)
            .ok_or_else(|| CallError::unsendable(rpc, "the start event cannot be read"))?;
        let message = self
            .start_like(event, call)
            .ok_or_else(|| CallError::unsendable(rpc, "the event is not a start event"))?;
        let response = self
            .write(rpc, message, |mut service, request| async move {
                service.start_workflow_execution(request).await
            })
            .await?;
        named(rpc, response.run_id)
    }

    /// What a start copies from the event of another, and nothing else: not how the old run came to be
    /// (parent, chain, inherited pin, backoff, expiry), and not its last result.
    fn start_like(
        &self,
        event: HistoryEvent,
        call: &RestartCall,
    ) -> Option<StartWorkflowExecutionRequest> {
        let Some(Attributes::WorkflowExecutionStartedEventAttributes(start)) = event.attributes
        else {
            return None;
        };
        let conflict = match call.terminate_existing {
            true => WorkflowIdConflictPolicy::TerminateExisting,
            false => WorkflowIdConflictPolicy::Fail,
        };
        Some(StartWorkflowExecutionRequest {
            namespace: self.namespace(),
            workflow_id: call.workflow_id.clone(),
            workflow_type: start.workflow_type,
            task_queue: start.task_queue,
            input: start.input,
            workflow_execution_timeout: start.workflow_execution_timeout,
            workflow_run_timeout: start.workflow_run_timeout,
            workflow_task_timeout: start.workflow_task_timeout,
            identity: self.identity(),
            request_id: call.request_id.clone(),
            workflow_id_reuse_policy: WorkflowIdReusePolicy::AllowDuplicate.into(),
            workflow_id_conflict_policy: conflict.into(),
            retry_policy: start.retry_policy,
            cron_schedule: start.cron_schedule,
            memo: start.memo,
            search_attributes: start.search_attributes,
            header: start.header,
            user_metadata: event.user_metadata,
            links: event.links,
            versioning_override: call.target.as_ref().map(convert::to_override),
            priority: start.priority,
            ..Default::default()
        })
    }

    /// Terminates a run. `first_run_id`, where given, must be the chain's.
    pub async fn terminate(
        &self,
        key: &WorkflowKey,
        reason: &str,
        first_run_id: Option<&str>,
    ) -> Result<(), CallError> {
        let message = TerminateWorkflowExecutionRequest {
            namespace: self.namespace(),
            workflow_execution: Some(convert::execution(key)),
            reason: reason.to_owned(),
            identity: self.identity(),
            first_execution_run_id: first_run_id.unwrap_or_default().to_owned(),
            ..Default::default()
        };
        self.write(Rpc::TerminateWorkflowExecution, message, |mut service, request| async move {
            service.terminate_workflow_execution(request).await
        })
        .await
        .map(|_| ())
    }

    /// Asks a run to cancel. The service says OK for a closed one, too: look first.
    pub async fn cancel(
        &self,
        key: &WorkflowKey,
        reason: &str,
        request_id: &str,
    ) -> Result<(), CallError> {
        let message = RequestCancelWorkflowExecutionRequest {
            namespace: self.namespace(),
            workflow_execution: Some(convert::execution(key)),
            identity: self.identity(),
            request_id: request_id.to_owned(),
            reason: reason.to_owned(),
            ..Default::default()
        };
        self.write(
            Rpc::RequestCancelWorkflowExecution,
            message,
            |mut service, request| async move {
                service.request_cancel_workflow_execution(request).await
            },
        )
        .await
        .map(|_| ())
    }

    /// Sends a Signal. A run takes a request id once: measured on server 1.32, also across its restart,
    /// while the Signal waits behind a Workflow Task, and when the run is closed by then. The runs that
    /// follow it (continued as new, reset) do not know its request ids.
    pub async fn signal(&self, call: &SignalCall) -> Result<(), CallError> {
        let rpc = Rpc::SignalWorkflowExecution;
        if call.key.run_id.is_empty() || call.request_id.is_empty() {
            return Err(CallError::unsendable(
                rpc,
                "a Signal needs the Run ID and a request id, else it could arrive twice",
            ));
        }
        let message = SignalWorkflowExecutionRequest {
            namespace: self.namespace(),
            workflow_execution: Some(convert::execution(&call.key)),
            signal_name: call.name.clone(),
            input: self.arguments(rpc, &call.input).await?,
            identity: self.identity(),
            request_id: call.request_id.clone(),
            header: header(&call.headers),
            ..Default::default()
        };
        self.write(rpc, message, |mut service, request| async move {
            service.signal_workflow_execution(request).await
        })
        .await
        .map(|_| ())
    }

    /// Sets the Current Version, or unversioned Workers where `build_id` is none; gives the new
    /// conflict token. An empty `conflict_token` does not compare.
    pub async fn set_current(
        &self,
        deployment: &str,
        build_id: Option<&str>,
        conflict_token: &str,
        ignore_missing_task_queues: bool,
    ) -> Result<String, CallError> {
        let rpc = Rpc::SetWorkerDeploymentCurrentVersion;
        let message = SetWorkerDeploymentCurrentVersionRequest {
            namespace: self.namespace(),
            deployment_name: deployment.to_owned(),
            build_id: build_id.unwrap_or_default().to_owned(),
            conflict_token: token(rpc, conflict_token)?,
            identity: self.identity(),
            ignore_missing_task_queues,
            ..Default::default()
        };
        let response = self
            .write(rpc, message, |mut service, request| async move {
                service.set_worker_deployment_current_version(request).await
            })
            .await?;
        Ok(convert::token_text(&response.conflict_token))
    }

    /// Ramps a Version to a percentage above 0; gives the new conflict token. (At 0 % a Version stays
    /// Ramping and never drains: that is [`Self::unset_ramping`]'s business.)
    pub async fn set_ramping(
        &self,
        version: &Version,
        percentage: f32,
        conflict_token: &str,
        ignore_missing_task_queues: bool,
    ) -> Result<String, CallError> {
        let rpc = Rpc::SetWorkerDeploymentRampingVersion;
        if !(percentage > 0.0 && percentage <= 100.0) {
            return Err(CallError::unsendable(
                rpc,
                "a ramp is above 0 and at most 100 percent",
            ));
        }
        let ramp = Ramp {
            build_id: &version.build_id,
            percentage,
            ignore_missing_task_queues,
        };
        self.ramp(&version.deployment, ramp, conflict_token).await
    }

    /// Ends a ramp: no Build ID *and* 0 %, the only form that makes the Version drain.
    pub async fn unset_ramping(
        &self,
        deployment: &str,
        conflict_token: &str,
    ) -> Result<String, CallError> {
        let ramp = Ramp {
            build_id: "",
            percentage: 0.0,
            ignore_missing_task_queues: false,
        };
        self.ramp(deployment, ramp, conflict_token).await
    }

    async fn ramp(
        &self,
        deployment: &str,
        ramp: Ramp<'_>,
        conflict_token: &str,
    ) -> Result<String, CallError> {
        let rpc = Rpc::SetWorkerDeploymentRampingVersion;
        let message = SetWorkerDeploymentRampingVersionRequest {
            namespace: self.namespace(),
            deployment_name: deployment.to_owned(),
            build_id: ramp.build_id.to_owned(),
            percentage: ramp.percentage,
            conflict_token: token(rpc, conflict_token)?,
            identity: self.identity(),
            ignore_missing_task_queues: ramp.ignore_missing_task_queues,
            ..Default::default()
        };
        let response = self
            .write(rpc, message, |mut service, request| async move {
                service.set_worker_deployment_ramping_version(request).await
            })
            .await?;
        Ok(convert::token_text(&response.conflict_token))
    }

    /// Deletes a Version that is drained or inactive. One that is gone already is a success.
    pub async fn delete_version(&self, version: &Version) -> Result<(), CallError> {
        let message = DeleteWorkerDeploymentVersionRequest {
            namespace: self.namespace(),
            deployment_version: Some(convert::to_version(version)),
            skip_drainage: false,
            identity: self.identity(),
            ..Default::default()
        };
        self.write(
            Rpc::DeleteWorkerDeploymentVersion,
            message,
            |mut service, request| async move {
                service.delete_worker_deployment_version(request).await
            },
        )
        .await
        .map(|_| ())
    }
}

struct Ramp<'a> {
    build_id: &'a str,
    percentage: f32,
    ignore_missing_task_queues: bool,
}

fn token(rpc: Rpc, text: &str) -> Result<Vec<u8>, CallError> {
    convert::token(text)
        .ok_or_else(|| CallError::unsendable(rpc, "the conflict token cannot be read"))
}

/// A write that answers without the run it made has happened, but nobody can name it.
pub(super) fn named(rpc: Rpc, run_id: String) -> Result<String, CallError> {
    match run_id.is_empty() {
        false => Ok(run_id),
        true => Err(CallError::unusable(rpc, "the answer names no run")),
    }
}

pub(super) fn exclusion(kind: Reapply) -> ResetReapplyExcludeType {
    match kind {
        Reapply::Signal => ResetReapplyExcludeType::Signal,
        Reapply::Update => ResetReapplyExcludeType::Update,
        Reapply::Nexus => ResetReapplyExcludeType::Nexus,
    }
}

pub(super) fn options(target: Option<&Override>) -> WorkflowExecutionOptions {
    WorkflowExecutionOptions {
        versioning_override: target.map(convert::to_override),
        ..Default::default()
    }
}

pub(super) fn move_to(target: &Override) -> PostResetOperation {
    let mut update = UpdateWorkflowOptions {
        workflow_execution_options: Some(options(Some(target))),
        ..Default::default()
    };
    update.update_mask.get_or_insert_default().paths = vec![OVERRIDE_PATH.to_owned()];
    PostResetOperation {
        variant: Some(Variant::UpdateWorkflowOptions(update)),
    }
}

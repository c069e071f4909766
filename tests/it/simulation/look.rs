//! What Describe and listings told the process, and what the case says of it: filters and rows evaluated
//! here, by other code than the tool's.

use jiff::Timestamp;
use prost::Message as _;
use temporalio_protos::temporal::api::deployment::v1::WorkerDeploymentVersion;
use temporalio_protos::temporal::api::enums::v1::{
    PendingWorkflowTaskState, VersioningBehavior, WorkflowExecutionStatus,
};
use temporalio_protos::temporal::api::workflow::v1::versioning_override::Override;
use temporalio_protos::temporal::api::workflowservice::v1 as api;

use super::case::{Row as TableRow, Scope, Treat};
use super::wire::Sent;

/// One Workflow, as it was seen.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) id: String,
    pub(crate) run: String,
    pub(crate) workflow_type: String,
    pub(crate) status: String,
    /// Where it goes next: Override, else where it ran.
    pub(crate) version: Option<String>,
    pub(crate) ran_on: Option<String>,
    pub(crate) pinned: Option<bool>,
    /// Attempt of the pending Workflow Task.
    pub(crate) attempt: Option<u32>,
    pub(crate) has_parent: bool,
    pub(crate) reset: bool,
}

fn version(it: Option<&WorkerDeploymentVersion>) -> Option<String> {
    it.filter(|it| !it.build_id.is_empty())
        .map(|it| format!("{}:{}", it.deployment_name, it.build_id))
}

/// A look, where the call was one and was answered.
pub(crate) fn read(sent: &Sent) -> Option<(Timestamp, Seen)> {
    if sent.rpc != "DescribeWorkflowExecution" {
        return None;
    }
    let (at, reply) = sent.answered.as_ref()?;
    let it = api::DescribeWorkflowExecutionResponse::decode(&reply.as_ref()?[..]).ok()?;
    let info = it.workflow_execution_info?;
    let execution = info.execution.clone().unwrap_or_default();
    let status = WorkflowExecutionStatus::try_from(info.status).ok()?;
    let status = format!("{status:?}");
    let versioning = info.versioning_info.clone().unwrap_or_default();
    let ran_on = version(versioning.deployment_version.as_ref());
    let over = versioning.versioning_override.and_then(|it| it.r#override);
    let (moved, moved_pinned) = match &over {
        Some(Override::Pinned(pinned)) => (version(pinned.version.as_ref()), Some(true)),
        Some(Override::OneTime(once)) => {
            (version(once.target_deployment_version.as_ref()), Some(true))
        }
        Some(Override::AutoUpgrade(_)) => (None, Some(false)),
        None => (None, None),
    };
    let natural = match VersioningBehavior::try_from(versioning.behavior) {
        Ok(VersioningBehavior::Pinned) => Some(true),
        Ok(VersioningBehavior::AutoUpgrade) => Some(false),
        _ => None,
    };
    let task = it.pending_workflow_task.as_ref();
    let attempt = task
        .filter(|task| task.state != PendingWorkflowTaskState::Unspecified as i32)
        .map(|task| u32::try_from(task.attempt).unwrap_or(0));
    let extended = it.workflow_extended_info.unwrap_or_default();
    let seen = Seen {
        run: execution.run_id,
        id: execution.workflow_id,
        workflow_type: info.r#type.unwrap_or_default().name,
        status,
        version: moved.or_else(|| ran_on.clone()),
        ran_on,
        pinned: moved_pinned.or(natural),
        attempt,
        has_parent: info.parent_execution.is_some(),
        reset: !extended.reset_run_id.is_empty(),
    };
    Some((*at, seen))
}

/// Workflow ID, run and type.
pub(crate) type Row = (String, String, String);

/// What a listing showed, and the step whose query it was.
pub(crate) fn listed(sent: &Sent) -> Option<(String, Vec<Row>)> {
    if sent.rpc != "ListWorkflowExecutions" {
        return None;
    }
    let request = api::ListWorkflowExecutionsRequest::decode(&sent.request[..]);
    let query = request.map(|it| it.query).unwrap_or_default();
    let (_, rest) = query.split_once("'mark-")?;
    let mark = rest.split('\'').next().unwrap_or_default().to_owned();
    let (_, reply) = sent.answered.as_ref()?;
    let reply = api::ListWorkflowExecutionsResponse::decode(&reply.as_ref()?[..]).ok()?;
    let rows = reply.executions.into_iter().map(|it| {
        let execution = it.execution.unwrap_or_default();
        let kind = it.r#type.unwrap_or_default().name;
        (execution.workflow_id, execution.run_id, kind)
    });
    Some((mark, rows.collect()))
}

/// Whether a query takes it, or why not. What was not seen is taken for true.
pub(crate) fn in_scope(scope: &Scope, seen: &Seen) -> Result<(), String> {
    if !scope.types.is_empty() && !scope.types.contains(&seen.workflow_type.as_str()) {
        return Err(format!("its type is {}", seen.workflow_type));
    }
    if !scope.statuses.is_empty() && !scope.statuses.contains(&seen.status.as_str()) {
        return Err(format!("its status is {}", seen.status));
    }
    if let (Some(wanted), Some(found)) = (scope.version, &seen.version)
        && *found != format!("orders:{wanted}")
    {
        return Err(format!("it is on {found}"));
    }
    if scope.pinned && seen.pinned == Some(false) {
        return Err("it is not pinned".to_owned());
    }
    Ok(())
}

/// Whether a row takes it.
pub(crate) fn takes(row: &TableRow, seen: &Seen) -> bool {
    let task = match row.task {
        Some("failing") => seen.attempt.is_some_and(|attempt| attempt > 1),
        Some("progressing") => seen.attempt == Some(1),
        Some(_) => seen.attempt.is_none(),
        None => true,
    };
    task && row.types.contains(&seen.workflow_type.as_str())
}

/// Whether a strategy may be applied to it.
pub(crate) fn may_be(treat: &Treat, seen: &Seen) -> Result<(), String> {
    let open = seen.status == "Running";
    match treat {
        Treat::Reset { again, .. } if !open => {
            if seen.reset && !again {
                return Err("it is closed and was reset before".to_owned());
            }
            if seen.has_parent {
                return Err("it is the closed child of another".to_owned());
            }
            Ok(())
        }
        Treat::Reset { .. } | Treat::Restart(_) => Ok(()),
        _ if open => Ok(()),
        _ => Err(format!("it is closed ({})", seen.status)),
    }
}

pub(crate) fn is_again(treat: &Treat) -> bool {
    matches!(treat, Treat::Reset { again: true, .. })
}

/// The journal's name of what a strategy calls.
pub(crate) fn call_of(treat: &Treat) -> &'static str {
    match treat {
        Treat::Move(_) => "options",
        Treat::Reset { .. } => "reset",
        Treat::Restart(_) => "restart",
        Treat::Terminate => "terminate",
        Treat::Cancel => "cancel",
        Treat::Signal => "signal",
    }
}

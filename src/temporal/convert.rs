//! Temporal's messages → [`survey`](crate::survey) data, and the few that go the other way.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use temporalio_protos::temporal::api;
use temporalio_protos::temporal::api::common::v1::{Payload, SearchAttributes, WorkflowExecution};
use temporalio_protos::temporal::api::deployment::v1::worker_deployment_info::WorkerDeploymentVersionSummary;
use temporalio_protos::temporal::api::deployment::v1::{
    VersionDrainageInfo, WorkerDeploymentInfo, WorkerDeploymentVersion,
};
use temporalio_protos::temporal::api::enums::v1::{
    IndexedValueType, PendingWorkflowTaskState, TaskQueueType, VersioningBehavior,
    WorkerDeploymentVersionStatus, WorkflowExecutionStatus,
};
use temporalio_protos::temporal::api::workflow::v1::versioning_override::{
    OneTimeOverride, PinnedOverride, PinnedOverrideBehavior,
};
use temporalio_protos::temporal::api::workflow::v1::{
    PendingChildExecutionInfo, PendingWorkflowTaskInfo, VersioningOverride, WorkflowExecutionInfo,
    versioning_override,
};
use temporalio_protos::temporal::api::workflowservice::v1::{
    DescribeWorkerDeploymentResponse, DescribeWorkerDeploymentVersionResponse,
    DescribeWorkflowExecutionResponse,
};

use crate::survey::{
    AttributeValue, Behavior, CurrentRun, Listed, Look, Override, PendingChild, PendingTask,
    Routing, Status, Version, VersionInfo, VersionStatus, WorkflowKey,
};

/// How a deployment names the Workers that have no Version.
const UNVERSIONED: &str = "__unversioned__";

/// A protobuf timestamp's parts → time; none where it is out of range.
pub(super) fn time(seconds: i64, nanos: i32) -> Option<Timestamp> {
    Timestamp::new(seconds, nanos).ok()
}

/// Shorthand for the optional timestamps of messages (their type has no public name here).
macro_rules! time_of {
    ($field:expr) => {
        $field
            .as_ref()
            .and_then(|t| $crate::temporal::convert::time(t.seconds, t.nanos))
    };
}
pub(super) use time_of;

/// Whole seconds of an optional protobuf duration; 0 where there is none.
macro_rules! seconds_of {
    ($field:expr) => {
        $field
            .as_ref()
            .map_or(0, |d| u64::try_from(d.seconds).unwrap_or(0))
    };
}

pub(super) fn execution(key: &WorkflowKey) -> WorkflowExecution {
    WorkflowExecution {
        workflow_id: key.workflow_id.clone(),
        run_id: key.run_id.clone(),
    }
}

fn key(execution: WorkflowExecution) -> WorkflowKey {
    WorkflowKey {
        workflow_id: execution.workflow_id,
        run_id: execution.run_id,
    }
}

/// Statuses by Temporal's number; none for one that this tool does not know.
pub(super) fn status(number: i32) -> Option<Status> {
    match WorkflowExecutionStatus::try_from(number).ok()? {
        WorkflowExecutionStatus::Unspecified => None,
        WorkflowExecutionStatus::Running => Some(Status::Running),
        WorkflowExecutionStatus::Completed => Some(Status::Completed),
        WorkflowExecutionStatus::Failed => Some(Status::Failed),
        WorkflowExecutionStatus::Canceled => Some(Status::Canceled),
        WorkflowExecutionStatus::Terminated => Some(Status::Terminated),
        WorkflowExecutionStatus::ContinuedAsNew => Some(Status::ContinuedAsNew),
        WorkflowExecutionStatus::TimedOut => Some(Status::TimedOut),
        WorkflowExecutionStatus::Paused => Some(Status::Paused),
    }
}

/// A status by its List Filter spelling.
pub(super) fn status_named(name: &str) -> Option<Status> {
    Status::ALL.into_iter().find(|status| status.name() == name)
}

pub(super) fn version(version: WorkerDeploymentVersion) -> Option<Version> {
    let both = !version.deployment_name.is_empty() && !version.build_id.is_empty();
    both.then_some(Version {
        deployment: version.deployment_name,
        build_id: version.build_id,
    })
}

pub(super) fn to_version(version: &Version) -> WorkerDeploymentVersion {
    WorkerDeploymentVersion {
        deployment_name: version.deployment.clone(),
        build_id: version.build_id.clone(),
    }
}

/// A JSON payload as text; the group values of a count come so.
pub(super) fn text(payload: &Payload) -> Option<String> {
    serde_json::from_slice(&payload.data).ok()
}

/// Search Attributes, decoded by the type in their metadata. One that cannot be decoded is left out.
pub(super) fn attributes(attributes: Option<SearchAttributes>) -> BTreeMap<String, AttributeValue> {
    let fields = attributes
        .map(|attributes| attributes.indexed_fields)
        .unwrap_or_default();
    fields
        .into_iter()
        .filter_map(|(name, payload)| Some((name, attribute(&payload)?)))
        .collect()
}

/// `json/plain` with a `type`: written `Keyword` by servers, `INDEXED_VALUE_TYPE_KEYWORD` by some SDKs.
fn attribute(payload: &Payload) -> Option<AttributeValue> {
    let value: serde_json::Value = serde_json::from_slice(&payload.data).ok()?;
    let kind = payload.metadata.get("type");
    let kind = kind.and_then(|kind| std::str::from_utf8(kind).ok());
    match indexed_type(kind.unwrap_or_default()) {
        IndexedValueType::Keyword => one(&value).map(AttributeValue::Keyword),
        IndexedValueType::Text => one(&value).map(AttributeValue::Text),
        IndexedValueType::KeywordList => many(&value).map(AttributeValue::KeywordList),
        IndexedValueType::Int => integer(&value).map(AttributeValue::Int),
        IndexedValueType::Double => value.as_f64().map(AttributeValue::Double),
        IndexedValueType::Bool => value.as_bool().map(AttributeValue::Bool),
        IndexedValueType::Datetime => value.as_str()?.parse().ok().map(AttributeValue::Datetime),
        IndexedValueType::Unspecified => guess(&value),
    }
}

/// Also where a server writes a large one with an exponent; what is beyond an `i64` is its nearest.
#[allow(clippy::cast_possible_truncation)] // saturating, as said
fn integer(value: &serde_json::Value) -> Option<i64> {
    value.as_i64().or_else(|| {
        value
            .as_f64()
            .filter(|it| it.fract() == 0.0)
            .map(|it| it as i64)
    })
}

fn indexed_type(name: &str) -> IndexedValueType {
    IndexedValueType::from_str_name(name).unwrap_or(match name {
        "Keyword" => IndexedValueType::Keyword,
        "Text" => IndexedValueType::Text,
        "KeywordList" => IndexedValueType::KeywordList,
        "Int" => IndexedValueType::Int,
        "Double" => IndexedValueType::Double,
        "Bool" => IndexedValueType::Bool,
        "Datetime" => IndexedValueType::Datetime,
        _ => IndexedValueType::Unspecified,
    })
}

/// A Search Attribute's type as the documentation spells it.
pub(super) fn type_name(number: i32) -> &'static str {
    match IndexedValueType::try_from(number).unwrap_or_default() {
        IndexedValueType::Unspecified => "Unspecified",
        IndexedValueType::Text => "Text",
        IndexedValueType::Keyword => "Keyword",
        IndexedValueType::Int => "Int",
        IndexedValueType::Double => "Double",
        IndexedValueType::Bool => "Bool",
        IndexedValueType::Datetime => "Datetime",
        IndexedValueType::KeywordList => "KeywordList",
    }
}

/// One text; SDKs of old wrapped single values in a list.
fn one(value: &serde_json::Value) -> Option<String> {
    match value {
        serde_json::Value::Array(items) if items.len() == 1 => items[0].as_str().map(str::to_owned),
        other => other.as_str().map(str::to_owned),
    }
}

fn many(value: &serde_json::Value) -> Option<Vec<String>> {
    match value {
        serde_json::Value::Array(items) => items
            .iter()
            .map(|item| item.as_str().map(str::to_owned))
            .collect(),
        other => other.as_str().map(|text| vec![text.to_owned()]),
    }
}

fn guess(value: &serde_json::Value) -> Option<AttributeValue> {
    match value {
        serde_json::Value::Bool(value) => Some(AttributeValue::Bool(*value)),
        serde_json::Value::Number(number) => match number.as_i64() {
            Some(int) => Some(AttributeValue::Int(int)),
            None => number.as_f64().map(AttributeValue::Double),
        },
        serde_json::Value::String(text) => Some(AttributeValue::Keyword(text.clone())),
        serde_json::Value::Array(_) => many(value).map(AttributeValue::KeywordList),
        serde_json::Value::Null | serde_json::Value::Object(_) => None,
    }
}

/// One execution; none where the service left out what identifies it.
pub(super) fn listed(info: WorkflowExecutionInfo) -> Option<Listed> {
    let closed = info.close_time.is_some();
    let counters = closed.then(|| counters(&info)).into_iter().flatten();
    let attributes = attributes(info.search_attributes)
        .into_iter()
        .chain(counters)
        .collect();
    Some(Listed {
        key: key(info.execution?),
        workflow_type: info.r#type.map(|kind| kind.name).unwrap_or_default(),
        status: status(info.status)?,
        task_queue: info.task_queue,
        start_time: time_of!(info.start_time),
        close_time: time_of!(info.close_time),
        parent: info
            .parent_execution
            .filter(|parent| !parent.workflow_id.is_empty())
            .map(key),
        attributes,
    })
}

/// What Visibility holds from the close on, and a filter can ask for.
fn counters(
    info: &WorkflowExecutionInfo,
) -> impl Iterator<Item = (String, AttributeValue)> + use<> {
    [
        ("HistoryLength", info.history_length),
        ("HistorySizeBytes", info.history_size_bytes),
        ("StateTransitionCount", info.state_transition_count),
    ]
    .into_iter()
    .filter(|(_, value)| *value > 0)
    .map(|(name, value)| (name.to_owned(), AttributeValue::Int(value)))
}

pub(super) fn current_run(info: &WorkflowExecutionInfo) -> Option<CurrentRun> {
    Some(CurrentRun {
        run_id: info.execution.as_ref()?.run_id.clone(),
        status: status(info.status)?,
        first_run_id: info.first_run_id.clone(),
    })
}

/// A Describe reply → a look that is not finished: `current` is this run, and whether a parent runs is
/// not known.
pub(super) fn look(response: DescribeWorkflowExecutionResponse, at: Timestamp) -> Option<Look> {
    let mut info = response.workflow_execution_info?;
    let extended = response.workflow_extended_info.unwrap_or_default();
    let config = response.execution_config.unwrap_or_default();
    let versioning = info.versioning_info.take().unwrap_or_default();
    Some(Look {
        at,
        first_run_id: info.first_run_id.clone(),
        history_length: info.history_length,
        reset_run_id: Some(extended.reset_run_id).filter(|run| !run.is_empty()),
        current: current_run(&info)?,
        behavior: behavior(versioning.behavior),
        versioning_override: versioning.versioning_override.and_then(from_override),
        deployment_version: versioning.deployment_version.and_then(version),
        pending_task: response.pending_workflow_task.map(pending_task),
        pending_children: response
            .pending_children
            .into_iter()
            .map(pending_child)
            .collect(),
        parent_running: None,
        run_timeout_seconds: seconds_of!(config.workflow_run_timeout),
        execution_timeout_seconds: seconds_of!(config.workflow_execution_timeout),
        cancel_requested: extended.cancel_requested,
        last_reset: time_of!(extended.last_reset_time),
        listed: listed(info)?,
    })
}

fn behavior(number: i32) -> Behavior {
    match VersioningBehavior::try_from(number).unwrap_or_default() {
        VersioningBehavior::Unspecified => Behavior::Unspecified,
        VersioningBehavior::Pinned => Behavior::Pinned,
        VersioningBehavior::AutoUpgrade => Behavior::AutoUpgrade,
    }
}

fn from_override(proto: VersioningOverride) -> Option<Override> {
    match proto.r#override? {
        versioning_override::Override::Pinned(pinned) => Some(Override::Pinned {
            version: version(pinned.version?)?,
        }),
        versioning_override::Override::OneTime(once) => Some(Override::OneTime {
            version: version(once.target_deployment_version?)?,
        }),
        versioning_override::Override::AutoUpgrade(true) => Some(Override::AutoUpgrade),
        versioning_override::Override::AutoUpgrade(false) => None,
    }
}

pub(super) fn to_override(target: &Override) -> VersioningOverride {
    let target = match target {
        Override::Pinned { version } => versioning_override::Override::Pinned(PinnedOverride {
            behavior: PinnedOverrideBehavior::Pinned.into(),
            version: Some(to_version(version)),
        }),
        Override::OneTime { version } => versioning_override::Override::OneTime(OneTimeOverride {
            target_deployment_version: Some(to_version(version)),
        }),
        Override::AutoUpgrade => versioning_override::Override::AutoUpgrade(true),
    };
    VersioningOverride {
        r#override: Some(target),
        ..VersioningOverride::default()
    }
}

fn pending_task(task: PendingWorkflowTaskInfo) -> PendingTask {
    PendingTask {
        started: task.state == i32::from(PendingWorkflowTaskState::Started),
        attempt: u32::try_from(task.attempt).unwrap_or(0),
        original_scheduled: time_of!(task.original_scheduled_time),
        scheduled: time_of!(task.scheduled_time),
        started_at: time_of!(task.started_time),
    }
}

fn pending_child(child: PendingChildExecutionInfo) -> PendingChild {
    PendingChild {
        key: WorkflowKey {
            workflow_id: child.workflow_id,
            run_id: child.run_id,
        },
        workflow_type: child.workflow_type_name,
        initiated_event: child.initiated_id,
    }
}

/// A deployment's description; none where the service left the deployment out.
#[allow(deprecated)] // `ramping_version` alone tells that unversioned Workers ramp
pub(super) fn routing(response: DescribeWorkerDeploymentResponse) -> Option<Routing> {
    let WorkerDeploymentInfo {
        name,
        version_summaries,
        routing_config,
        manager_identity,
        ..
    } = response.worker_deployment_info?;
    let routing = routing_config.unwrap_or_default();
    Some(Routing {
        deployment: name,
        current: routing.current_deployment_version.and_then(version),
        ramping_unversioned: routing.ramping_version == UNVERSIONED
            && routing.ramping_version_percentage > 0.0,
        ramping: routing.ramping_deployment_version.and_then(version),
        ramp_percentage: routing.ramping_version_percentage,
        conflict_token: token_text(&response.conflict_token),
        manager_identity,
        versions: version_summaries.into_iter().filter_map(summary).collect(),
    })
}

fn summary(summary: WorkerDeploymentVersionSummary) -> Option<VersionInfo> {
    let (checked, changed) = drainage(summary.drainage_info.as_ref());
    Some(VersionInfo {
        version: version(summary.deployment_version?)?,
        status: version_status(summary.status),
        drainage_checked: checked,
        drainage_changed: changed,
        task_queues: Vec::new(),
    })
}

fn drainage(info: Option<&VersionDrainageInfo>) -> (Option<Timestamp>, Option<Timestamp>) {
    match info {
        Some(info) => (
            time_of!(info.last_checked_time),
            time_of!(info.last_changed_time),
        ),
        None => (None, None),
    }
}

fn version_status(number: i32) -> VersionStatus {
    match WorkerDeploymentVersionStatus::try_from(number).unwrap_or_default() {
        WorkerDeploymentVersionStatus::Unspecified => VersionStatus::Unspecified,
        WorkerDeploymentVersionStatus::Inactive => VersionStatus::Inactive,
        WorkerDeploymentVersionStatus::Current => VersionStatus::Current,
        WorkerDeploymentVersionStatus::Ramping => VersionStatus::Ramping,
        WorkerDeploymentVersionStatus::Draining => VersionStatus::Draining,
        WorkerDeploymentVersionStatus::Drained => VersionStatus::Drained,
        WorkerDeploymentVersionStatus::Created => VersionStatus::Created,
    }
}

/// A Version's description; none where the service left the Version out.
pub(super) fn version_info(
    response: DescribeWorkerDeploymentVersionResponse,
) -> Option<VersionInfo> {
    let info = response.worker_deployment_version_info?;
    let (checked, changed) = drainage(info.drainage_info.as_ref());
    let mut task_queues: Vec<_> = response
        .version_task_queues
        .into_iter()
        .map(|queue| (queue.name, queue.r#type))
        .chain(
            info.task_queue_infos
                .into_iter()
                .map(|queue| (queue.name, queue.r#type)),
        )
        .map(|(name, kind)| (name, queue_type(kind).to_owned()))
        .collect();
    task_queues.sort();
    task_queues.dedup();
    Some(VersionInfo {
        version: version(info.deployment_version?)?,
        status: version_status(info.status),
        drainage_checked: checked,
        drainage_changed: changed,
        task_queues,
    })
}

fn queue_type(number: i32) -> &'static str {
    match TaskQueueType::try_from(number).unwrap_or_default() {
        TaskQueueType::Unspecified => "unspecified",
        TaskQueueType::Workflow => "workflow",
        TaskQueueType::Activity => "activity",
        TaskQueueType::Nexus => "nexus",
    }
}

/// A history event as text, for the journal.
pub(super) fn event_to_text(event: &api::history::v1::HistoryEvent) -> String {
    STANDARD.encode(prost::Message::encode_to_vec(event))
}

/// The way back; none where the text is not an event.
pub(super) fn event_from_text(text: &str) -> Option<api::history::v1::HistoryEvent> {
    prost::Message::decode(STANDARD.decode(text).ok()?.as_slice()).ok()
}

/// A conflict token as text.
pub(super) fn token_text(token: &[u8]) -> String {
    STANDARD.encode(token)
}

/// A conflict token from its text; none where it is not one of ours.
pub(super) fn token(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

#[cfg(test)]
#[path = "convert_tests.rs"]
mod tests;

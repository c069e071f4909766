//! The calls that read: Describe, histories, the namespace, the cluster, the task queue.

use std::collections::HashMap;

use temporalio_protos::temporal::api::common::v1::WorkerVersionStamp;
use temporalio_protos::temporal::api::enums::v1::{
    ArchivalState, EventType, HistoryEventFilterType, IndexedValueType, NamespaceState,
    PendingWorkflowTaskState, ReplicationState, VersioningBehavior,
};
use temporalio_protos::temporal::api::history::v1::history_event::Attributes;
use temporalio_protos::temporal::api::history::v1::{
    History as HistoryMessage, HistoryEvent, WorkflowTaskScheduledEventAttributes,
    WorkflowTaskStartedEventAttributes,
};
use temporalio_protos::temporal::api::namespace::v1::{
    BadBinaries, NamespaceConfig, NamespaceInfo, namespace_info,
};
use temporalio_protos::temporal::api::operatorservice::v1::{
    ListSearchAttributesRequest, ListSearchAttributesResponse,
};
use temporalio_protos::temporal::api::replication::v1::{
    ClusterReplicationConfig, NamespaceReplicationConfig,
};
use temporalio_protos::temporal::api::taskqueue::v1::PollerInfo;
use temporalio_protos::temporal::api::workflow::v1::{
    PendingChildExecutionInfo, PendingWorkflowTaskInfo, RequestIdInfo, ResetPointInfo, ResetPoints,
    VersioningOverride, WorkflowExecutionConfig, WorkflowExecutionExtendedInfo,
    WorkflowExecutionInfo, WorkflowExecutionVersioningInfo,
};
use temporalio_protos::temporal::api::workflowservice::v1 as service;
use tonic::Status as Reply;

use super::execution::{Execution, Override, Task};
use super::history::{self, History, What};
use super::proto::{self, stamp};
use super::reset::begins_batch;
use super::state::{State, VersionId};
use super::world::AttributeType;
use crate::list_filter;

/// The server version that is simulated.
const SERVER_VERSION: &str = "1.32.0";
const CLUSTER: &str = "simulator";
/// What Go sends for no time at all.
const NO_TIME: prost_types::Timestamp = prost_types::Timestamp {
    seconds: -62_135_596_800,
    nanos: 0,
};
/// The largest page of a history, and what any other size means (`history.historyMaxPageSize`).
const PAGE: usize = 256;

/// Where the service says that a Build ID completed its first Workflow Task.
pub(super) struct AutoResetPoint {
    pub(super) version: VersionId,
    pub(super) index: u32,
    pub(super) event: i64,
}

impl State {
    pub(super) fn describe(
        &mut self,
        request: &service::DescribeWorkflowExecutionRequest,
    ) -> Result<service::DescribeWorkflowExecutionResponse, Reply> {
        self.check_namespace(&request.namespace)?;
        let index = self.find(request.execution.as_ref())?;
        let run = self.execution(index);
        Ok(service::DescribeWorkflowExecutionResponse {
            execution_config: Some(WorkflowExecutionConfig {
                task_queue: proto::task_queue(&run.kind.task_queue),
                workflow_execution_timeout: Some(proto::span(
                    run.kind.execution_timeout.unwrap_or_default(),
                )),
                workflow_run_timeout: Some(proto::span(run.kind.run_timeout.unwrap_or_default())),
                default_workflow_task_timeout: self.task_timeout(run),
                ..Default::default()
            }),
            workflow_execution_info: Some(self.described_info(index)),
            pending_children: self.pending_children(run),
            pending_workflow_task: self.pending_task(run),
            workflow_extended_info: Some(self.extended(run)),
            ..Default::default()
        })
    }

    /// The first Workflow Task that each Version completed, in this run or the ones that it continues.
    pub(super) fn reset_points(&self, index: u32) -> Vec<AutoResetPoint> {
        let run = self.execution(index);
        let before = run
            .extra
            .as_ref()
            .and_then(|extra| extra.continued_from)
            .and_then(|before| self.by_run.get(&before));
        let mut points = before.map_or_else(Vec::new, |before| self.reset_points(*before));
        for version in run.used.iter().copied() {
            if points.iter().any(|point| point.version == version) {
                continue;
            }
            let event = run
                .history
                .first_id(|what| matches!(what, What::TaskCompleted(by, _) if *by == version));
            points.extend(event.map(|event| AutoResetPoint {
                version,
                index,
                event,
            }));
        }
        points
    }

    fn point_message(&self, point: &AutoResetPoint) -> ResetPointInfo {
        ResetPointInfo {
            build_id: self.version_name(point.version).build.to_string(),
            run_id: proto::run_text(self.execution(point.index).run),
            create_time: self
                .execution(point.index)
                .history
                .time_of(point.event)
                .map(stamp),
            first_workflow_task_completed_id: point.event,
            resettable: true,
            ..Default::default()
        }
    }

    fn described_info(&self, index: u32) -> WorkflowExecutionInfo {
        let points = self.reset_points(index);
        let run = self.execution(index);
        WorkflowExecutionInfo {
            auto_reset_points: Some(ResetPoints {
                points: points.iter().map(|it| self.point_message(it)).collect(),
            }),
            history_length: run.history_length(),
            first_run_id: proto::run_text(run.first_run),
            versioning_info: Some(self.versioning_info(run)),
            most_recent_worker_version_stamp: run.ran_on.map(|version| WorkerVersionStamp {
                build_id: self.version_name(version).build.to_string(),
                use_versioning: false,
            }),
            worker_deployment_name: run
                .effective_version()
                .map(|it| self.version_name(it).deployment.to_string())
                .unwrap_or_default(),
            ..self.info(index, Some(run.snapshot()))
        }
    }

    fn versioning_info(&self, run: &Execution) -> WorkflowExecutionVersioningInfo {
        let ran_on = run.ran_on.map(|version| self.version_name(version));
        WorkflowExecutionVersioningInfo {
            behavior: history::behavior_number(run.behavior),
            version: ran_on.map(proto::dotted).unwrap_or_default(),
            deployment_version: ran_on.map(proto::version),
            versioning_override: run.moved.map(|it| self.described_override(it)),
            ..Default::default()
        }
    }

    /// Describe adds the deprecated fields, which histories and replies leave out.
    fn described_override(&self, it: Override) -> VersioningOverride {
        let (behavior, pinned_version) = match it {
            Override::Pinned(version) => (
                VersioningBehavior::Pinned,
                proto::dotted(self.version_name(version)),
            ),
            Override::AutoUpgrade => (VersioningBehavior::AutoUpgrade, String::new()),
            Override::OneTime(_) => (VersioningBehavior::Unspecified, String::new()),
        };
        VersioningOverride {
            behavior: behavior as i32,
            pinned_version,
            ..it.message(self)
        }
    }

    fn extended(&self, run: &Execution) -> WorkflowExecutionExtendedInfo {
        let info = RequestIdInfo {
            event_type: EventType::WorkflowExecutionStarted as i32,
            event_id: 1,
            buffered: false,
        };
        let request_id_infos = HashMap::from([(run.start_request(), info)]);
        WorkflowExecutionExtendedInfo {
            run_expiration_time: run
                .kind
                .run_timeout
                .and_then(|timeout| run.started.checked_add(timeout).ok())
                .map_or(Some(NO_TIME), |at| Some(stamp(at))),
            cancel_requested: run
                .extra
                .as_ref()
                .is_some_and(|extra| extra.cancel_requested),
            last_reset_time: run.last_reset.map(stamp),
            original_start_time: Some(stamp(run.started)),
            reset_run_id: run.reset_run.map(proto::run_text).unwrap_or_default(),
            request_id_infos,
            ..Default::default()
        }
    }

    fn pending_children(&self, run: &Execution) -> Vec<PendingChildExecutionInfo> {
        if !run.is_open() {
            return Vec::new();
        }
        run.children()
            .iter()
            .filter(|child| !child.done && child.initiated > 0)
            .map(|child| {
                let current = self
                    .by_id
                    .get(&child.mark.id)
                    .map(|lineage| self.execution(lineage.current()).run);
                PendingChildExecutionInfo {
                    workflow_id: child.mark.id.to_string(),
                    run_id: proto::run_text(current.unwrap_or(child.mark.run)),
                    workflow_type_name: child.mark.workflow_type.to_string(),
                    initiated_id: child.initiated,
                    parent_close_policy: 1,
                }
            })
            .collect()
    }

    fn pending_task(&self, run: &Execution) -> Option<PendingWorkflowTaskInfo> {
        let (attempt, started) = run.pending_attempt(self.now)?;
        let (original, scheduled) = match run.task {
            Task::None => return None,
            Task::Scheduled {
                original, since, ..
            } => (original, since),
            Task::Taken {
                original, started, ..
            } => (original, started),
            Task::Held {
                original, started, ..
            } => (original, started),
            Task::Retrying {
                original, since, ..
            } => (original, started.unwrap_or(since)),
        };
        let state = if started.is_some() {
            PendingWorkflowTaskState::Started
        } else {
            PendingWorkflowTaskState::Scheduled
        };
        Some(PendingWorkflowTaskInfo {
            state: state as i32,
            scheduled_time: Some(stamp(scheduled)),
            original_scheduled_time: Some(stamp(original)),
            started_time: started.map(stamp),
            attempt: i32::try_from(attempt).unwrap_or(i32::MAX),
        })
    }

    /// The task of an attempt above 1, which a reply shows but no history keeps.
    fn trailing(&self, run: &Execution) -> Vec<HistoryEvent> {
        let Some((attempt, started)) = run
            .pending_attempt(self.now)
            .filter(|(attempt, _)| *attempt > 1)
        else {
            return Vec::new();
        };
        let id = i64::try_from(run.history.len()).unwrap_or(i64::MAX - 2) + 1;
        let at = started.unwrap_or(self.now);
        let scheduled = Attributes::WorkflowTaskScheduledEventAttributes(
            WorkflowTaskScheduledEventAttributes {
                task_queue: proto::task_queue(&run.kind.task_queue),
                attempt: i32::try_from(attempt).unwrap_or(i32::MAX),
                ..Default::default()
            },
        );
        let mut events = vec![history::transient(
            id,
            at,
            EventType::WorkflowTaskScheduled,
            scheduled,
        )];
        if started.is_some() {
            let started = Attributes::WorkflowTaskStartedEventAttributes(
                WorkflowTaskStartedEventAttributes {
                    scheduled_event_id: id,
                    ..Default::default()
                },
            );
            events.push(history::transient(
                id + 1,
                at,
                EventType::WorkflowTaskStarted,
                started,
            ));
        }
        events
    }

    pub(super) fn history(
        &mut self,
        request: &service::GetWorkflowExecutionHistoryRequest,
    ) -> Result<service::GetWorkflowExecutionHistoryResponse, Reply> {
        self.check_namespace(&request.namespace)?;
        let (index, from) =
            self.history_page(request.execution.as_ref(), &request.next_page_token)?;
        let length = self.execution(index).history.len();
        let mut trailing = self.trailing(self.execution(index));
        let history = &self.execution(index).history;
        if request.history_event_filter_type == HistoryEventFilterType::CloseEvent as i32 {
            // An open one has no such event, and nothing here waits for it.
            let from = if self.execution(index).is_open() {
                length
            } else {
                length - 1
            };
            return Ok(service::GetWorkflowExecutionHistoryResponse {
                history: Some(HistoryMessage {
                    events: history::materialise(self, index, from, length),
                }),
                ..Default::default()
            });
        }
        let to = page_end(history, from, page_size(request.maximum_page_size));
        let mut events = history::materialise(self, index, from, to);
        if to == length {
            events.append(&mut trailing);
        }
        let next_page_token = self.page_token(index, to, to < length);
        Ok(service::GetWorkflowExecutionHistoryResponse {
            history: Some(HistoryMessage { events }),
            next_page_token,
            ..Default::default()
        })
    }

    pub(super) fn history_reverse(
        &mut self,
        request: &service::GetWorkflowExecutionHistoryReverseRequest,
    ) -> Result<service::GetWorkflowExecutionHistoryReverseResponse, Reply> {
        self.check_namespace(&request.namespace)?;
        let (index, at) =
            self.history_page(request.execution.as_ref(), &request.next_page_token)?;
        let length = self.execution(index).history.len();
        // A token holds how many events are still to come, so that a history may grow meanwhile.
        let to = if request.next_page_token.is_empty() {
            length
        } else {
            at.min(length)
        };
        let history = &self.execution(index).history;
        let from = page_begin(history, to, page_size(request.maximum_page_size));
        let mut events = history::materialise(self, index, from, to);
        events.reverse();
        let next_page_token = self.page_token(index, from, from > 0);
        Ok(service::GetWorkflowExecutionHistoryReverseResponse {
            history: Some(HistoryMessage { events }),
            next_page_token,
        })
    }

    /// The run of a history, which a token keeps, and where the page begins.
    fn history_page(
        &self,
        execution: Option<&temporalio_protos::temporal::api::common::v1::WorkflowExecution>,
        token: &[u8],
    ) -> Result<(u32, usize), Reply> {
        if token.is_empty() {
            return Ok((self.find(execution)?, 0));
        }
        let bad = || Reply::invalid_argument("Invalid NextPageToken.");
        let (run, from): (String, usize) = serde_json::from_slice(token).map_err(|_| bad())?;
        let run = uuid::Uuid::try_parse(&run).map_err(|_| bad())?;
        let index = self.by_run.get(&run.as_u128()).copied().ok_or_else(bad)?;
        Ok((index, from))
    }

    fn page_token(&self, index: u32, next: usize, more: bool) -> Vec<u8> {
        if !more {
            return Vec::new();
        }
        let token = (proto::run_text(self.execution(index).run), next);
        serde_json::to_vec(&token).unwrap_or_default()
    }

    pub(super) fn system_info(
        &mut self,
        _: &service::GetSystemInfoRequest,
    ) -> Result<service::GetSystemInfoResponse, Reply> {
        Ok(service::GetSystemInfoResponse {
            server_version: SERVER_VERSION.to_owned(),
            capabilities: Some(service::get_system_info_response::Capabilities {
                signal_and_query_header: true,
                internal_error_differentiation: true,
                activity_failure_include_heartbeat: true,
                supports_schedules: true,
                encoded_failure_attributes: true,
                build_id_based_versioning: true,
                upsert_memo: true,
                eager_workflow_start: true,
                sdk_metadata: true,
                count_group_by_execution_status: true,
                ..Default::default()
            }),
        })
    }

    pub(super) fn cluster_info(
        &mut self,
        _: &service::GetClusterInfoRequest,
    ) -> Result<service::GetClusterInfoResponse, Reply> {
        Ok(service::GetClusterInfoResponse {
            server_version: SERVER_VERSION.to_owned(),
            cluster_id: CLUSTER.to_owned(),
            cluster_name: CLUSTER.to_owned(),
            history_shard_count: 1,
            persistence_store: "memory".to_owned(),
            visibility_store: "memory".to_owned(),
            ..Default::default()
        })
    }

    pub(super) fn describe_namespace(
        &mut self,
        request: &service::DescribeNamespaceRequest,
    ) -> Result<service::DescribeNamespaceResponse, Reply> {
        if request.namespace.is_empty() && request.id.is_empty() {
            // This call has words of its own for it.
            return Err(Reply::invalid_argument("Namespace not set on request."));
        }
        if !(request.namespace.is_empty() && request.id == self.namespace_id) {
            self.check_namespace(&request.namespace)?;
        }
        Ok(self.described_namespace())
    }

    /// There is one.
    pub(super) fn list_namespaces(
        &mut self,
        _: &service::ListNamespacesRequest,
    ) -> Result<service::ListNamespacesResponse, Reply> {
        Ok(service::ListNamespacesResponse {
            namespaces: vec![self.described_namespace()],
            next_page_token: Vec::new(),
        })
    }

    fn described_namespace(&self) -> service::DescribeNamespaceResponse {
        service::DescribeNamespaceResponse {
            namespace_info: Some(NamespaceInfo {
                name: self.namespace.clone(),
                state: NamespaceState::Registered as i32,
                id: self.namespace_id.clone(),
                supports_schedules: true,
                capabilities: Some(namespace_info::Capabilities {
                    eager_workflow_start: true,
                    sync_update: true,
                    async_update: true,
                    reported_problems_search_attribute: true,
                    ..Default::default()
                }),
                ..Default::default()
            }),
            config: Some(NamespaceConfig {
                workflow_execution_retention_ttl: Some(prost_types::Duration {
                    seconds: 7 * 86_400,
                    nanos: 0,
                }),
                bad_binaries: Some(BadBinaries::default()),
                history_archival_state: ArchivalState::Disabled as i32,
                visibility_archival_state: ArchivalState::Disabled as i32,
                ..Default::default()
            }),
            replication_config: Some(NamespaceReplicationConfig {
                active_cluster_name: CLUSTER.to_owned(),
                clusters: vec![ClusterReplicationConfig {
                    cluster_name: CLUSTER.to_owned(),
                    ..Default::default()
                }],
                state: ReplicationState::Normal as i32,
            }),
            ..Default::default()
        }
    }

    /// Pollers of the Current Version only: others are not seen, as on the real service.
    pub(super) fn describe_task_queue(
        &mut self,
        request: &service::DescribeTaskQueueRequest,
    ) -> Result<service::DescribeTaskQueueResponse, Reply> {
        self.check_namespace(&request.namespace)?;
        let Some(queue) = request.task_queue.as_ref().map(|it| it.name.as_str()) else {
            return Err(Reply::invalid_argument("taskQueue is not set"));
        };
        let pollers = self
            .deployments
            .values()
            .filter_map(|deployment| deployment.current)
            .filter(|version| {
                let workers = &self.workers[usize::from(version.0)];
                workers.polling && workers.task_queues.contains(queue)
            })
            .map(|version| PollerInfo {
                last_access_time: Some(stamp(self.now)),
                identity: format!("worker-{}", self.version_name(version).build),
                rate_per_second: 100_000.0,
                ..Default::default()
            })
            .collect();
        Ok(service::DescribeTaskQueueResponse {
            pollers,
            ..Default::default()
        })
    }

    pub(super) fn search_attributes(
        &mut self,
        request: &ListSearchAttributesRequest,
    ) -> Result<ListSearchAttributesResponse, Reply> {
        self.check_namespace(&request.namespace)?;
        let custom_attributes: HashMap<_, _> = self
            .world
            .attributes
            .iter()
            .map(|(name, kind)| (name.clone(), indexed(*kind) as i32))
            .collect();
        let system_attributes = list_filter::system_attributes()
            .map(|(name, kind)| (name.to_owned(), system(kind) as i32))
            .collect();
        Ok(ListSearchAttributesResponse {
            custom_attributes,
            system_attributes,
            ..Default::default()
        })
    }
}

/// A page holds so many batches of events, whole: its end, where it begins behind `from` events.
fn page_end(history: &History, from: usize, batches: usize) -> usize {
    let begins = |at: usize| history.get(at + 1).is_some_and(begins_batch);
    (0..batches).fold(from, |at, _| {
        (at + 1..history.len())
            .find(|next| begins(*next))
            .unwrap_or(history.len())
    })
}

/// The same from the end: its beginning, where it ends with event `to`.
fn page_begin(history: &History, to: usize, batches: usize) -> usize {
    (0..batches).fold(to, |at, _| {
        (0..at)
            .rev()
            .find(|from| history.get(from + 1).is_some_and(begins_batch))
            .unwrap_or(0)
    })
}

fn page_size(asked: i32) -> usize {
    usize::try_from(asked)
        .ok()
        .filter(|size| (1..=PAGE).contains(size))
        .unwrap_or(PAGE)
}

fn system(kind: list_filter::AttributeType) -> IndexedValueType {
    match kind {
        list_filter::AttributeType::Keyword => IndexedValueType::Keyword,
        list_filter::AttributeType::Text => IndexedValueType::Text,
        list_filter::AttributeType::KeywordList => IndexedValueType::KeywordList,
        list_filter::AttributeType::Int => IndexedValueType::Int,
        list_filter::AttributeType::Double => IndexedValueType::Double,
        list_filter::AttributeType::Bool => IndexedValueType::Bool,
        list_filter::AttributeType::Datetime => IndexedValueType::Datetime,
    }
}

fn indexed(kind: AttributeType) -> IndexedValueType {
    match kind {
        AttributeType::Keyword => IndexedValueType::Keyword,
        AttributeType::Text => IndexedValueType::Text,
        AttributeType::KeywordList => IndexedValueType::KeywordList,
        AttributeType::Int => IndexedValueType::Int,
        AttributeType::Double => IndexedValueType::Double,
        AttributeType::Bool => IndexedValueType::Bool,
        AttributeType::Datetime => IndexedValueType::Datetime,
    }
}

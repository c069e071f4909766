//! The calls that change single Workflow Executions, except reset: start, terminate, signal, cancel, and
//! the Versioning Override. Codes and wording as measured on server 1.32.

use std::sync::Arc;

use prost::Message as _;
use temporalio_protos::temporal::api::common::v1::{RetryPolicy, WorkflowExecution};
use temporalio_protos::temporal::api::enums::v1::{
    WorkflowIdConflictPolicy as Conflict, WorkflowIdReusePolicy as Reuse,
};
use temporalio_protos::temporal::api::history::v1::WorkflowExecutionStartedEventAttributes;
use temporalio_protos::temporal::api::workflow::v1::{
    VersioningOverride, WorkflowExecutionOptions, versioning_override as message,
};
use temporalio_protos::temporal::api::workflowservice::v1 as service;
use tonic::{Code, Status as Reply};

use super::execution::{Execution, Extra, Kind, Override, Profile, Task};
use super::facts::Did;
use super::history::{CancelMark, Event, History, Message, OptionsMark, TerminateMark, What};
use super::proto;
use super::state::State;
use crate::survey::{Behavior, Status};

impl State {
    /// The execution that a request names; the current run where it names none.
    pub(super) fn find(&self, execution: Option<&WorkflowExecution>) -> Result<u32, Reply> {
        let (id, run) =
            execution.map_or(("", ""), |it| (it.workflow_id.as_str(), it.run_id.as_str()));
        if id.is_empty() {
            return Err(Reply::invalid_argument("WorkflowId is not set on request."));
        }
        if run.is_empty() {
            return self
                .by_id
                .get(id)
                .map(super::state::Lineage::current)
                .ok_or_else(|| Reply::not_found(format!("workflow not found for ID: {id}")));
        }
        let run_id =
            uuid::Uuid::try_parse(run).map_err(|_| Reply::invalid_argument("Invalid RunId."))?;
        self.by_run
            .get(&run_id.as_u128())
            .copied()
            .filter(|index| &*self.execution(*index).id == id)
            .ok_or_else(|| {
                Reply::not_found(format!(
                    "workflow execution not found for workflow ID \"{id}\" and run ID \"{run}\""
                ))
            })
    }

    fn find_open(
        &self,
        execution: Option<&WorkflowExecution>,
        first_run: &str,
    ) -> Result<u32, Reply> {
        let index = self.find(execution)?;
        if !self.execution(index).is_open() {
            return Err(Reply::not_found("workflow execution already completed"));
        }
        if !first_run.is_empty() && proto::run_text(self.execution(index).first_run) != first_run {
            return Err(Reply::not_found("workflow execution not found"));
        }
        Ok(index)
    }

    pub(super) fn terminate_execution(
        &mut self,
        request: &service::TerminateWorkflowExecutionRequest,
    ) -> Result<service::TerminateWorkflowExecutionResponse, Reply> {
        self.check_namespace(&request.namespace)?;
        let index = self.find_open(
            request.workflow_execution.as_ref(),
            &request.first_execution_run_id,
        )?;
        self.terminate(
            index,
            TerminateMark {
                reason: request.reason.clone(),
                details: request.details.clone(),
                identity: request.identity.clone(),
            },
        );
        self.tally(index).terminations += 1;
        self.note(index, Did::Terminated);
        self.tell_parent(index);
        Ok(service::TerminateWorkflowExecutionResponse {})
    }

    pub(super) fn signal_execution(
        &mut self,
        request: &service::SignalWorkflowExecutionRequest,
    ) -> Result<service::SignalWorkflowExecutionResponse, Reply> {
        self.check_namespace(&request.namespace)?;
        if request.signal_name.is_empty() {
            return Err(Reply::invalid_argument("SignalName is not set on request."));
        }
        // A second Signal with the same request id to the same run is answered OK and adds no event, also
        // when the run is closed by then. The new run of a reset knows no request ids, not even those of
        // the Signals that were applied again.
        let index = self.find(request.workflow_execution.as_ref())?;
        let seen = |run: &Execution| {
            let extra = run.extra.as_ref();
            extra.is_some_and(|extra| extra.signal_requests.contains(&request.request_id))
        };
        if seen(self.execution(index)) {
            return Ok(service::SignalWorkflowExecutionResponse::default());
        }
        if !self.execution(index).is_open() {
            return Err(Reply::not_found("workflow execution already completed"));
        }
        if !request.request_id.is_empty() {
            let extra = self.execution_mut(index).extra_mut();
            extra.signal_requests.push(request.request_id.clone());
        }
        self.tally(index).signals += 1;
        self.note(index, Did::Signalled(request.signal_name.clone()));
        self.signal(
            index,
            Message {
                name: request.signal_name.clone(),
                input: request.input.clone(),
                header: request.header.clone(),
                identity: request.identity.clone(),
                request_id: request.request_id.clone(),
                ..Message::default()
            },
        );
        Ok(service::SignalWorkflowExecutionResponse::default())
    }

    /// A closed Workflow answers OK, and so does a second request, whatever its request id; one event only.
    pub(super) fn request_cancel(
        &mut self,
        request: &service::RequestCancelWorkflowExecutionRequest,
    ) -> Result<service::RequestCancelWorkflowExecutionResponse, Reply> {
        self.check_namespace(&request.namespace)?;
        let index = self.find(request.workflow_execution.as_ref())?;
        let now = self.now;
        let first_run = &request.first_execution_run_id;
        let run = self.execution_mut(index);
        if run.is_open() && !first_run.is_empty() && proto::run_text(run.first_run) != *first_run {
            return Err(Reply::not_found("workflow execution not found"));
        }
        if run.is_open()
            && !run
                .extra
                .as_ref()
                .is_some_and(|extra| extra.cancel_requested)
        {
            let extra = run.extra_mut();
            extra.cancel_requested = true;
            extra.waits_until = None;
            let mark = CancelMark {
                reason: request.reason.clone(),
                identity: request.identity.clone(),
            };
            run.history.push(now, What::CancelRequested(Arc::new(mark)));
            self.tally(index).cancels += 1;
            self.note(index, Did::Cancelled);
            self.schedule_task(index);
        }
        Ok(service::RequestCancelWorkflowExecutionResponse {})
    }

    /// Reads an Override and refuses a Version that does not know the task queue.
    pub(super) fn read_override(
        &self,
        it: &VersioningOverride,
        task_queue: &str,
    ) -> Result<Override, Reply> {
        match &it.r#override {
            Some(message::Override::Pinned(pinned)) => {
                if pinned.behavior != message::PinnedOverrideBehavior::Pinned as i32 {
                    return Err(Reply::invalid_argument(
                        "must specify pinned override behavior if override is pinned.",
                    ));
                }
                let version = pinned.version.as_ref().ok_or_else(|| {
                    Reply::invalid_argument("must provide version if override is pinned.")
                })?;
                self.check_target(&version.deployment_name, &version.build_id, task_queue)
                    .map(Override::Pinned)
            }
            Some(message::Override::OneTime(once)) => {
                let version = once.target_deployment_version.as_ref().ok_or_else(|| {
                    Reply::invalid_argument(
                        "must provide target deployment version if override is one time.",
                    )
                })?;
                self.check_target(&version.deployment_name, &version.build_id, task_queue)
                    .map(Override::OneTime)
            }
            Some(message::Override::AutoUpgrade(true)) => Ok(Override::AutoUpgrade),
            Some(message::Override::AutoUpgrade(false)) | None => {
                Err(Reply::invalid_argument("override behavior is required"))
            }
        }
    }

    pub(super) fn update_options(
        &mut self,
        request: &service::UpdateWorkflowExecutionOptionsRequest,
    ) -> Result<service::UpdateWorkflowExecutionOptionsResponse, Reply> {
        self.check_namespace(&request.namespace)?;
        let mask = request
            .update_mask
            .as_ref()
            .map_or(&[][..], |mask| &mask.paths);
        if mask.is_empty() {
            return Err(Reply::invalid_argument("UpdateMask is required"));
        }
        if let Some(path) = mask
            .iter()
            .find(|path| !matches!(path.as_str(), "versioning_override" | "versioningOverride"))
        {
            return Err(Reply::invalid_argument(format!(
                "error applying mask: unsupported path {path}"
            )));
        }
        // This call has words of its own for it.
        let run = request.workflow_execution.as_ref().map(|it| &it.run_id);
        if run.is_some_and(|run| !run.is_empty() && uuid::Uuid::try_parse(run).is_err()) {
            return Err(Reply::invalid_argument("RunId is not valid UUID."));
        }
        let index = self.find_open(request.workflow_execution.as_ref(), "")?;
        let wanted = request
            .workflow_execution_options
            .as_ref()
            .and_then(|it| it.versioning_override.as_ref());
        let queue = self.execution(index).kind.task_queue.clone();
        let wanted = wanted
            .map(|it| self.read_override(it, &queue))
            .transpose()?;
        if self.override_options(index, wanted, &request.identity) {
            self.tally(index).moves += 1;
        }
        Ok(service::UpdateWorkflowExecutionOptionsResponse {
            workflow_execution_options: Some(WorkflowExecutionOptions {
                versioning_override: wanted.map(|it| it.message(self)),
                ..Default::default()
            }),
            ..Default::default()
        })
    }

    /// Sets or unsets the Override; false where it is so already: no event then.
    pub(super) fn override_options(
        &mut self,
        index: u32,
        wanted: Option<Override>,
        identity: &str,
    ) -> bool {
        let now = self.now;
        let run = self.execution_mut(index);
        if run.moved == wanted {
            return false;
        }
        run.moved = wanted;
        run.history.push(
            now,
            What::OptionsUpdated(Arc::new(OptionsMark {
                versioning_override: wanted,
                identity: identity.to_owned(),
            })),
        );
        self.publish(index);
        let target = wanted.and_then(Override::target);
        let name = target.map(|target| self.version_name(target).text.to_string());
        self.note(index, Did::Moved(name));
        if let Some(target) = target {
            self.pinned_to(target);
        }
        self.retarget(index);
        true
    }

    pub(super) fn start(
        &mut self,
        request: &service::StartWorkflowExecutionRequest,
    ) -> Result<service::StartWorkflowExecutionResponse, Reply> {
        self.check_namespace(&request.namespace)?;
        let (reuse, conflict) = check_start(request)?;
        self.check_attributes(request)?;
        let queue = request
            .task_queue
            .as_ref()
            .map(|queue| queue.name.as_str())
            .unwrap_or_default();
        let moved = request
            .versioning_override
            .as_ref()
            .map(|it| self.read_override(it, queue))
            .transpose()?;
        let current = self
            .by_id
            .get(request.workflow_id.as_str())
            .map(super::state::Lineage::current);
        if let Some(current) = current {
            if let Some(reply) = self.same_request(current, request) {
                return Ok(reply);
            }
            if self.execution(current).is_open() {
                if let Some(reply) = self.conflict(current, conflict)? {
                    return Ok(reply);
                }
            } else {
                self.reuse(current, reuse)?;
            }
        }
        Ok(self.start_new(request, moved, current).0)
    }

    fn check_attributes(
        &self,
        request: &service::StartWorkflowExecutionRequest,
    ) -> Result<(), Reply> {
        let named = request
            .search_attributes
            .iter()
            .flat_map(|it| it.indexed_fields.keys());
        let mut unknown: Vec<&String> = named
            .filter(|name| !self.world.attributes.contains_key(*name))
            .collect();
        unknown.sort();
        match unknown.first() {
            None => Ok(()),
            Some(name) => Err(Reply::invalid_argument(format!(
                "Namespace {} has no mapping defined for search attribute {name}",
                self.namespace
            ))),
        }
    }

    /// A repeated request id answers with the run that it started.
    fn same_request(
        &self,
        current: u32,
        request: &service::StartWorkflowExecutionRequest,
    ) -> Option<service::StartWorkflowExecutionResponse> {
        let run = self.execution(current);
        (!request.request_id.is_empty() && run.start_request() == request.request_id).then(|| {
            service::StartWorkflowExecutionResponse {
                run_id: proto::run_text(run.run),
                first_execution_run_id: proto::run_text(run.first_run),
                started: true,
                status: proto::status_number(run.status),
                ..Default::default()
            }
        })
    }

    fn conflict(
        &self,
        current: u32,
        conflict: Conflict,
    ) -> Result<Option<service::StartWorkflowExecutionResponse>, Reply> {
        let run = self.execution(current);
        match conflict {
            Conflict::TerminateExisting => Ok(None),
            Conflict::UseExisting => Ok(Some(service::StartWorkflowExecutionResponse {
                run_id: proto::run_text(run.run),
                first_execution_run_id: proto::run_text(run.first_run),
                status: proto::status_number(run.status),
                ..Default::default()
            })),
            Conflict::Fail | Conflict::Unspecified => Err(already_started(
                run,
                "Workflow execution is already running.",
                "",
            )),
        }
    }

    fn reuse(&self, current: u32, reuse: Reuse) -> Result<(), Reply> {
        let run = self.execution(current);
        match reuse {
            Reuse::RejectDuplicate => Err(already_started(
                run,
                "Workflow execution already finished.",
                " Workflow Id reuse policy: reject duplicate workflow Id.",
            )),
            Reuse::AllowDuplicateFailedOnly if run.status == Status::Completed => {
                Err(already_started(
                    run,
                    "Workflow execution already finished successfully.",
                    " Workflow Id reuse policy: allow duplicate workflow Id if last run failed.",
                ))
            }
            _ => Ok(()),
        }
    }

    /// The answer, and the new execution.
    pub(super) fn start_new(
        &mut self,
        request: &service::StartWorkflowExecutionRequest,
        moved: Option<Override>,
        current: Option<u32>,
    ) -> (service::StartWorkflowExecutionResponse, u32) {
        let run = self.random.run_id();
        let replaced = current.filter(|current| self.execution(*current).is_open());
        if let Some(replaced) = replaced {
            self.terminate(
                replaced,
                TerminateMark {
                    reason: "TerminateIfRunning WorkflowIdReusePolicy".to_owned(),
                    details: proto::json_payloads(
                        &format!("terminated by new runID: {}", proto::run_text(run)).into(),
                    ),
                    identity: "history-service".to_owned(),
                },
            );
        }
        let execution = self.new_execution(request, run, moved);
        let index = self.insert(execution, false);
        let tally = self.tally(index);
        tally.starts += 1;
        tally.restarts += u32::from(current.is_some());
        let ended = replaced.map(|replaced| proto::run_text(self.execution(replaced).run));
        self.note(index, Did::Started { ended });
        if let Some(target) = moved.and_then(Override::target) {
            self.pinned_to(target);
        }
        self.schedule_task(index);
        let response = service::StartWorkflowExecutionResponse {
            run_id: proto::run_text(run),
            first_execution_run_id: proto::run_text(run),
            started: true,
            status: proto::status_number(Status::Running),
            ..Default::default()
        };
        (response, index)
    }

    fn new_execution(
        &mut self,
        request: &service::StartWorkflowExecutionRequest,
        run: u128,
        moved: Option<Override>,
    ) -> Execution {
        let name = request
            .workflow_type
            .as_ref()
            .map(|it| it.name.as_str())
            .unwrap_or_default();
        let id: Arc<str> = match self.by_id.get_key_value(request.workflow_id.as_str()) {
            Some((id, _)) => id.clone(),
            None => request.workflow_id.as_str().into(),
        };
        let profile = self
            .profiles
            .get(name)
            .cloned()
            .unwrap_or_else(|| Arc::new(Profile::default()));
        let queue = request
            .task_queue
            .as_ref()
            .map(|queue| queue.name.as_str())
            .unwrap_or_default();
        let kind = Kind {
            workflow_type: name.into(),
            task_queue: queue.into(),
            deployment: self.deployment_of(queue, moved),
            profile,
            run_timeout: proto::unspan(request.workflow_run_timeout.as_ref()),
            execution_timeout: proto::unspan(request.workflow_execution_timeout.as_ref()),
            attributes: super::visibility::decode_attributes(request.search_attributes.as_ref()),
            input: None,
            cron: None,
        };
        let now = self.now;
        Execution {
            id,
            run,
            kind: Arc::new(kind),
            number: 0,
            status: Status::Running,
            started: now,
            closed: None,
            behavior: Behavior::Unspecified,
            ran_on: None,
            used: Arc::from([]),
            inherited: None,
            moved,
            task: Task::None,
            working: false,
            generation: 0,
            problems: false,
            history: History::new(
                Arc::from([Event {
                    at: 0,
                    what: What::Started,
                }]),
                now,
            ),
            reset_run: None,
            last_reset: None,
            first_run: run,
            original_run: run,
            request_id: Some(request.request_id.as_str().into()),
            visible: None,
            extra: Some(Box::new(Extra {
                start: Some(
                    start_attributes(request, moved, self)
                        .encode_to_vec()
                        .into(),
                ),
                metadata: request.user_metadata.clone().map(Arc::new),
                ..Default::default()
            })),
        }
    }

    /// The deployment whose Versions poll a task queue.
    fn deployment_of(&self, queue: &str, moved: Option<Override>) -> Arc<str> {
        if let Some(target) = moved.and_then(Override::target) {
            return self.version_name(target).deployment.clone();
        }
        self.deployments
            .values()
            .find(|deployment| {
                deployment
                    .versions
                    .values()
                    .any(|version| version.task_queues.contains(queue))
            })
            .map_or_else(|| "".into(), |deployment| deployment.name.clone())
    }
}

fn check_start(
    request: &service::StartWorkflowExecutionRequest,
) -> Result<(Reuse, Conflict), Reply> {
    if request.workflow_id.is_empty() {
        return Err(Reply::invalid_argument("WorkflowId is not set on request."));
    }
    if request
        .workflow_type
        .as_ref()
        .is_none_or(|it| it.name.is_empty())
    {
        return Err(Reply::invalid_argument(
            "WorkflowType is not set on request.",
        ));
    }
    if request
        .task_queue
        .as_ref()
        .is_none_or(|it| it.name.is_empty())
    {
        return Err(Reply::invalid_argument("taskQueue is not set"));
    }
    let reuse = Reuse::try_from(request.workflow_id_reuse_policy).unwrap_or_default();
    let conflict = Conflict::try_from(request.workflow_id_conflict_policy).unwrap_or_default();
    let terminates = reuse == Reuse::TerminateIfRunning;
    if conflict != Conflict::Unspecified && terminates {
        return Err(Reply::invalid_argument(format!(
            "Invalid WorkflowIDReusePolicy: {} cannot be used together with a WorkflowIDConflictPolicy",
            reuse.as_str_name()
        )));
    }
    if conflict == Conflict::TerminateExisting && reuse == Reuse::RejectDuplicate {
        return Err(Reply::invalid_argument(format!(
            "Invalid WorkflowIDReusePolicy: {} cannot be used together with WorkflowIdConflictPolicy {}",
            reuse.as_str_name(),
            conflict.as_str_name()
        )));
    }
    Ok((
        reuse,
        if terminates {
            Conflict::TerminateExisting
        } else {
            conflict
        },
    ))
}

/// What the service fills in.
fn with_defaults(policy: RetryPolicy) -> RetryPolicy {
    let seconds = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
    RetryPolicy {
        initial_interval: policy.initial_interval.or_else(|| seconds(1)),
        maximum_interval: policy.maximum_interval.or_else(|| seconds(100)),
        backoff_coefficient: match policy.backoff_coefficient {
            0.0 => 2.0,
            other => other,
        },
        ..policy
    }
}

fn already_started(run: &Execution, what: &str, why: &str) -> Reply {
    Reply::new(
        Code::AlreadyExists,
        format!(
            "{what} WorkflowId: {}, RunId: {}.{why}",
            run.id,
            proto::run_text(run.run)
        ),
    )
}

fn start_attributes(
    request: &service::StartWorkflowExecutionRequest,
    moved: Option<Override>,
    state: &State,
) -> WorkflowExecutionStartedEventAttributes {
    WorkflowExecutionStartedEventAttributes {
        workflow_type: request.workflow_type.clone(),
        task_queue: request.task_queue.clone(),
        input: request.input.clone(),
        workflow_execution_timeout: request.workflow_execution_timeout,
        workflow_run_timeout: request.workflow_run_timeout,
        workflow_task_timeout: request
            .workflow_task_timeout
            .or(Some(prost_types::Duration {
                seconds: 10,
                nanos: 0,
            })),
        identity: request.identity.clone(),
        retry_policy: request.retry_policy.clone().map(with_defaults),
        attempt: 1,
        first_workflow_task_backoff: Some(prost_types::Duration::default()),
        cron_schedule: request.cron_schedule.clone(),
        memo: request.memo.clone(),
        search_attributes: request.search_attributes.clone(),
        header: request.header.clone(),
        versioning_override: moved.map(|it| it.message(state)),
        priority: request.priority.clone(),
        ..Default::default()
    }
}

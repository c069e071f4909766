//! What an independent observer knows of the simulated service: what was done to each Workflow, by
//! whatever call, and where it is now. For tests and a rehearsal's `expect`; no client can read it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use temporalio_protos::temporal::api::enums::v1::BatchOperationState;
use temporalio_protos::temporal::api::workflowservice::v1 as service;

use super::execution::Execution;
use super::history::What;
use super::proto;
use super::state::{Lineage, State};
use crate::lease;
use crate::payload;
use crate::survey::Status;

/// What was done to the runs of one Workflow ID since the beginning, by anybody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Resets.
    pub resets: u32,
    /// Starts over an earlier run of the same Workflow ID.
    pub restarts: u32,
    /// Starts, restarts included.
    pub starts: u32,
    /// Changes of the Versioning Override that were more than a repetition.
    pub moves: u32,
    /// Signals by a call.
    pub signals: u32,
    /// Terminations by a call.
    pub terminations: u32,
    /// Cancellation requests.
    pub cancels: u32,
}

impl Tally {
    /// Everything that recovers a Workflow: more than one is a Workflow that was recovered twice.
    pub fn recoveries(&self) -> u32 {
        self.resets + self.restarts + self.moves
    }
}

/// One Workflow ID.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkflowFacts {
    /// Workflow Type of the current run.
    pub workflow_type: String,
    /// What was done to it.
    pub done: Tally,
    /// How many runs it has.
    pub runs: usize,
    /// The current run.
    pub run_id: String,
    /// Its status.
    pub status: Status,
    /// Where it goes next: Override, else the Version that it ran on.
    pub version: Option<String>,
    /// The Version that completed its last Workflow Task.
    pub ran_on: Option<String>,
    /// Its Override's Version.
    pub versioning_override: Option<String>,
    /// Attempt of the pending Workflow Task; 0 for none.
    pub attempt: u32,
    /// Its argument, as text.
    pub input: String,
    /// Signals in its history.
    pub signals: usize,
    /// Updates in its history.
    pub updates: usize,
    /// Workflow Tasks that were completed in its history.
    pub tasks: usize,
    /// Whether Workers gave it wrong data: its last Version corrupts.
    pub corrupt: bool,
    /// Signals in its history, by name.
    pub signals_by_name: BTreeMap<String, usize>,
    /// What its Queries answer, by name.
    pub queries: BTreeMap<String, serde_json::Value>,
    /// The identity that terminated it, or asked for the cancellation that closed it.
    pub closed_by: Option<String>,
    /// The reason of its termination.
    pub reason: Option<String>,
}

/// The routing of a Worker Deployment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoutingFacts {
    /// Build ID of the Current Version.
    pub current: Option<String>,
    /// Build ID of the Ramping Version; `__unversioned__` for unversioned Workers.
    pub ramping: Option<String>,
    /// The ramp, in percent.
    pub ramp_percentage: f32,
}

/// A batch job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BatchFacts {
    /// `running`, `completed` or `failed`; a stopped one has failed.
    pub state: String,
    /// What it did, whatever its last heartbeat said.
    pub counts: super::batch::BatchCounts,
    /// Operations that it tried, repetitions after an interruption included.
    pub tried: u64,
}

/// A lock.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LockFacts {
    /// The run that has it; none where it is free.
    pub held_by: Option<String>,
    /// How often it was taken.
    pub taken: u32,
    /// Signs of life in the history of the latest lease.
    pub signs: usize,
}

/// Everything.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// The simulated time.
    pub now: Timestamp,
    /// By Workflow ID.
    pub workflows: BTreeMap<String, WorkflowFacts>,
    /// By name.
    pub deployments: BTreeMap<String, RoutingFacts>,
    /// Versions that exist, `DEPLOYMENT:BUILD`, and their status in lower case.
    pub versions: BTreeMap<String, String>,
    /// Batch jobs by id.
    pub batches: BTreeMap<String, BatchFacts>,
    /// Locks that were ever taken, by name. Their leases are not among the Workflows.
    pub locks: BTreeMap<String, LockFacts>,
    /// Calls that arrived, by RPC.
    pub calls: BTreeMap<String, u64>,
}

/// One write that arrived, in order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Write {
    /// When.
    pub at: Timestamp,
    /// The RPC.
    pub rpc: String,
    /// Workflow ID, the Worker Deployment (`NAME` or `NAME:BUILD`), or the batch job.
    pub subject: String,
    /// Run ID that it named.
    pub run_id: String,
    /// Request id.
    pub request_id: String,
    /// Reason.
    pub reason: String,
    /// The caller's identity.
    pub identity: String,
    /// What the service did: `Ok`, or the code of its refusal.
    pub result: String,
}

/// One thing that was done to a Workflow, by whatever call, job or person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Deed {
    /// When.
    pub at: Timestamp,
    /// Who: the caller's identity, `batch JOB`, or `operator`.
    pub by: String,
    /// Number of the call in the list of writes, where a call did it.
    pub write: Option<usize>,
    /// What.
    pub did: Did,
    /// Workflow ID.
    pub workflow_id: String,
    /// Run.
    pub run_id: String,
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Did {
    /// The run was reset; the new run, and the run that was terminated for it.
    Reset {
        /// The new run.
        new: String,
        /// The run that the Workflow ID had, where it ran.
        ended: Option<String>,
    },
    /// The run was started, in the place of another where one ran.
    Started {
        /// The run that was terminated for it.
        ended: Option<String>,
    },
    /// Its Override was changed, to that Version where it names one.
    Moved(Option<String>),
    /// It was terminated by a call.
    Terminated,
    /// It was sent a Signal.
    Signalled(String),
    /// Its cancellation was requested.
    Cancelled,
}

/// Who acts on the state now.
#[derive(Clone, Debug)]
pub(super) struct Actor {
    pub(super) by: String,
    pub(super) write: Option<usize>,
}

impl Default for Actor {
    fn default() -> Self {
        Self {
            by: "operator".to_owned(),
            write: None,
        }
    }
}

impl State {
    /// Writes down what was done to an execution.
    pub(super) fn note(&mut self, index: u32, did: Did) {
        let run = self.execution(index);
        let deed = Deed {
            at: self.now,
            by: self.actor.by.clone(),
            write: self.actor.write,
            did,
            workflow_id: run.id.to_string(),
            run_id: proto::run_text(run.run),
        };
        self.deeds.push(deed);
    }

    /// What was done to the Workflow ID of an execution.
    pub(super) fn tally(&mut self, index: u32) -> &mut Tally {
        let id = self.execution(index).id.clone();
        &mut self.by_id.entry(id).or_default().tally
    }

    pub(super) fn facts(&self) -> Facts {
        Facts {
            now: self.now,
            workflows: self
                .by_id
                .iter()
                .filter(|(id, _)| !lease::is_workflow_id(id))
                .map(|(id, lineage)| (id.to_string(), self.workflow_facts(lineage)))
                .collect(),
            deployments: self
                .deployments
                .keys()
                .map(|name| (name.to_string(), self.routing_facts(name)))
                .collect(),
            versions: self.version_statuses(),
            batches: self.jobs.iter().map(batch_facts).collect(),
            locks: self
                .by_id
                .iter()
                .filter(|(id, _)| lease::is_workflow_id(id))
                .map(|(id, lineage)| (lease::name_of(id).to_owned(), self.lock_facts(lineage)))
                .collect(),
            calls: self.calls.clone(),
        }
    }

    fn lock_facts(&self, lineage: &Lineage) -> LockFacts {
        let index = lineage.current();
        let run = self.execution(index);
        let memo = self.started_attributes(index).memo.unwrap_or_default();
        let holder = memo.fields.get("run").map(payload::decode);
        let holder = holder.and_then(|run| Some(run.value()?.as_str()?.to_owned()));
        LockFacts {
            held_by: holder.filter(|_| run.is_open()),
            taken: u32::try_from(lineage.runs.len()).unwrap_or(u32::MAX),
            signs: Counted::of(run).signals.values().sum(),
        }
    }

    fn routing_facts(&self, name: &str) -> RoutingFacts {
        let deployment = &self.deployments[name];
        let build = |version| self.version_name(version).build.to_string();
        RoutingFacts {
            current: deployment.current.map(build),
            ramping: deployment.ramp.map(|ramp| {
                ramp.target
                    .map_or_else(|| "__unversioned__".to_owned(), build)
            }),
            ramp_percentage: deployment.ramp.map_or(0.0, |ramp| ramp.percentage),
        }
    }

    fn workflow_facts(&self, lineage: &Lineage) -> WorkflowFacts {
        let index = lineage.current();
        let run = self.execution(index);
        let text = |version| self.version_name(version).text.to_string();
        let behaviour = run.ran_on.map(|version| {
            let workers = &self.workers[usize::from(version.0)];
            run.kind
                .profile
                .on
                .get(&version)
                .copied()
                .unwrap_or(workers.behaves)
        });
        let counted = Counted::of(run);
        let (closed_by, reason) = closed_by(run);
        WorkflowFacts {
            workflow_type: run.kind.workflow_type.to_string(),
            done: lineage.tally,
            runs: lineage.runs.len(),
            run_id: proto::run_text(run.run),
            status: run.status,
            version: run.effective_version().map(text),
            ran_on: run.ran_on.map(text),
            versioning_override: run
                .moved
                .and_then(super::execution::Override::target)
                .map(text),
            attempt: run
                .pending_attempt(self.now)
                .map_or(0, |(attempt, _)| attempt),
            input: proto::payload_text(self.started_attributes(index).input.as_ref()),
            signals: counted.signals.values().sum(),
            updates: counted.updates,
            tasks: counted.tasks,
            signals_by_name: counted.signals,
            queries: Self::answers(run),
            closed_by,
            reason,
            corrupt: behaviour == Some(super::world::Behaviour::Corrupt),
        }
    }
}

/// What is counted in a history.
#[derive(Default)]
struct Counted {
    signals: BTreeMap<String, usize>,
    updates: usize,
    tasks: usize,
}

impl Counted {
    fn of(run: &Execution) -> Self {
        let mut counted = Self::default();
        for event in run.history.iter() {
            match &event.what {
                What::Signaled(message) => match counted.signals.get_mut(&message.name) {
                    Some(count) => *count += 1,
                    None => {
                        counted.signals.insert(message.name.clone(), 1);
                    }
                },
                What::UpdateAccepted(_) => counted.updates += 1,
                What::TaskCompleted(..) => counted.tasks += 1,
                _ => {}
            }
        }
        let admitted = run.extra.as_ref().map_or(0, |extra| extra.admitted.len());
        counted.updates += admitted;
        counted
    }
}

/// Who closed a run and why, as far as its history says.
fn closed_by(run: &Execution) -> (Option<String>, Option<String>) {
    match run.history.get(run.history.len()) {
        Some(What::Terminated(mark)) => (Some(mark.identity.clone()), Some(mark.reason.clone())),
        Some(What::Canceled) => {
            let asked = run
                .history
                .iter()
                .rev()
                .find_map(|event| match &event.what {
                    What::CancelRequested(mark) => Some(mark.identity.clone()),
                    _ => None,
                });
            (asked, None)
        }
        _ => (None, None),
    }
}

fn batch_facts((id, job): (&String, &super::batch::Job)) -> (String, BatchFacts) {
    let facts = BatchFacts {
        state: match job.state() {
            BatchOperationState::Completed => "completed",
            BatchOperationState::Failed => "failed",
            BatchOperationState::Running | BatchOperationState::Unspecified => "running",
        }
        .to_owned(),
        counts: job.counts,
        tried: job.tried,
    };
    (id.clone(), facts)
}

/// What a writing request says for the list of writes; none where it is a read.
pub(super) trait Details {
    /// Subject, Run ID, request id, reason, identity.
    fn details(&self) -> Option<[String; 5]> {
        None
    }
}

macro_rules! reads {
    ($($request:ident)*) => { $(impl Details for service::$request {})* };
}

reads! {
    GetSystemInfoRequest GetClusterInfoRequest DescribeNamespaceRequest DescribeWorkflowExecutionRequest
    GetWorkflowExecutionHistoryRequest GetWorkflowExecutionHistoryReverseRequest ListWorkflowExecutionsRequest
    CountWorkflowExecutionsRequest DescribeWorkerDeploymentRequest DescribeWorkerDeploymentVersionRequest
    ListWorkerDeploymentsRequest DescribeTaskQueueRequest DescribeBatchOperationRequest ListBatchOperationsRequest
    QueryWorkflowRequest ListNamespacesRequest
}

impl Details
    for temporalio_protos::temporal::api::operatorservice::v1::ListSearchAttributesRequest
{
}

macro_rules! execution_writes {
    ($($request:ident: $request_id:expr, $reason:expr;)*) => {
        $(impl Details for service::$request {
            fn details(&self) -> Option<[String; 5]> {
                let execution = self.workflow_execution.clone().unwrap_or_default();
                let (request_id, reason): (fn(&Self) -> &str, fn(&Self) -> &str) = ($request_id, $reason);
                Some([
                    execution.workflow_id,
                    execution.run_id,
                    request_id(self).to_owned(),
                    reason(self).to_owned(),
                    self.identity.clone(),
                ])
            }
        })*
    };
}

execution_writes! {
    TerminateWorkflowExecutionRequest: |_| "", |it| &it.reason;
    SignalWorkflowExecutionRequest: |it| &it.request_id, |_| "";
    RequestCancelWorkflowExecutionRequest: |it| &it.request_id, |it| &it.reason;
    ResetWorkflowExecutionRequest: |it| &it.request_id, |it| &it.reason;
    UpdateWorkflowExecutionOptionsRequest: |_| "", |_| "";
}

impl Details for service::StartWorkflowExecutionRequest {
    fn details(&self) -> Option<[String; 5]> {
        Some([
            self.workflow_id.clone(),
            String::new(),
            self.request_id.clone(),
            String::new(),
            self.identity.clone(),
        ])
    }
}

impl Details for service::StartBatchOperationRequest {
    fn details(&self) -> Option<[String; 5]> {
        Some([
            self.job_id.clone(),
            String::new(),
            String::new(),
            self.reason.clone(),
            super::batch::identity_of(self),
        ])
    }
}

impl Details for service::StopBatchOperationRequest {
    fn details(&self) -> Option<[String; 5]> {
        Some([
            self.job_id.clone(),
            String::new(),
            String::new(),
            self.reason.clone(),
            self.identity.clone(),
        ])
    }
}

impl Details for service::DeleteWorkerDeploymentVersionRequest {
    fn details(&self) -> Option<[String; 5]> {
        let subject = match &self.deployment_version {
            Some(version) => format!("{}:{}", version.deployment_name, version.build_id),
            None => self.version.clone(),
        };
        Some([
            subject,
            String::new(),
            String::new(),
            String::new(),
            self.identity.clone(),
        ])
    }
}

impl Details for service::UpdateWorkerDeploymentVersionMetadataRequest {
    fn details(&self) -> Option<[String; 5]> {
        let subject = match &self.deployment_version {
            Some(version) => format!("{}:{}", version.deployment_name, version.build_id),
            None => self.version.clone(),
        };
        Some([
            subject,
            String::new(),
            String::new(),
            String::new(),
            self.identity.clone(),
        ])
    }
}

macro_rules! deployment_writes {
    ($($request:ident: $build:expr;)*) => {
        $(impl Details for service::$request {
            fn details(&self) -> Option<[String; 5]> {
                let build: fn(&Self) -> &str = $build;
                let subject = format!("{}:{}", self.deployment_name, build(self));
                Some([subject, String::new(), String::new(), String::new(), self.identity.clone()])
            }
        })*
    };
}

deployment_writes! {
    SetWorkerDeploymentCurrentVersionRequest: |it| &it.build_id;
    SetWorkerDeploymentRampingVersionRequest: |it| &it.build_id;
    SetWorkerDeploymentManagerRequest: |_| "";
    DeleteWorkerDeploymentRequest: |_| "";
}

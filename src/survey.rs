//! What was read from the live service, as data: looks at single Workflows, the routing of a Worker
//! Deployment, counts of rows, and the preflight.
//!
//! Pure: `temporal` fills these in, `plan` and `ledger` decide on them. Nothing here knows how they
//! were read. Times are UTC; identifiers are Temporal's own spelling.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use crate::history::ResetPoint;
use crate::history::{Miss, ResetTo};

/// Workflow ID and Run ID: one Workflow Execution.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WorkflowKey {
    /// Workflow ID.
    pub workflow_id: String,
    /// Run ID (Temporal's, not this tool's).
    pub run_id: String,
}

/// `DEPLOYMENT:BUILD`, a Worker Deployment Version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// Worker Deployment name; holds no `:`... the first colon ends it.
    pub deployment: String,
    /// Build ID.
    pub build_id: String,
}

impl Version {
    /// Splits `DEPLOYMENT:BUILD` at the first colon; both parts must be there.
    pub fn parse(text: &str) -> Option<Self> {
        let (deployment, build_id) = text.split_once(':')?;
        (!deployment.is_empty() && !build_id.is_empty()).then(|| Self {
            deployment: deployment.to_owned(),
            build_id: build_id.to_owned(),
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.deployment, self.build_id)
    }
}

impl Serialize for Version {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            serde::de::Error::custom(format!(
                "`{text}` is not a Version: expected DEPLOYMENT:BUILD"
            ))
        })
    }
}

/// The status of a Workflow Execution, spelled as a List Filter spells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Status {
    Running,
    Completed,
    Failed,
    Canceled,
    Terminated,
    ContinuedAsNew,
    TimedOut,
    Paused,
}

impl Status {
    /// All of them, in the order of Temporal's enum.
    pub const ALL: [Self; 8] = [
        Self::Running,
        Self::Completed,
        Self::Failed,
        Self::Canceled,
        Self::Terminated,
        Self::ContinuedAsNew,
        Self::TimedOut,
        Self::Paused,
    ];

    /// Whether the execution is still open.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Running | Self::Paused)
    }

    /// The List Filter spelling, e.g. `TimedOut`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "Running",
            Self::Completed => "Completed",
            Self::Failed => "Failed",
            Self::Canceled => "Canceled",
            Self::Terminated => "Terminated",
            Self::ContinuedAsNew => "ContinuedAsNew",
            Self::TimedOut => "TimedOut",
            Self::Paused => "Paused",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The value of a Search Attribute, decoded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "value", rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum AttributeValue {
    Keyword(String),
    Text(String),
    KeywordList(Vec<String>),
    Int(i64),
    Double(f64),
    Bool(bool),
    Datetime(Timestamp),
}

/// One line of a listing (Visibility's word, which may be late), or the same attributes made from a look.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Listed {
    /// Which execution.
    pub key: WorkflowKey,
    /// Workflow Type.
    pub workflow_type: String,
    /// Status as listed.
    pub status: Status,
    /// Task queue.
    pub task_queue: String,
    /// When this run started.
    pub start_time: Option<Timestamp>,
    /// When it closed.
    pub close_time: Option<Timestamp>,
    /// The parent, if it is a child.
    pub parent: Option<WorkflowKey>,
    /// Search Attributes, system ones (`TemporalWorkerDeploymentVersion` …) included.
    pub attributes: BTreeMap<String, AttributeValue>,
}

/// A Versioning Override as Describe shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Override {
    /// Pinned to a Version until it is unset.
    Pinned {
        /// The Version.
        version: Version,
    },
    /// Runs its next Workflow Task on the Version, then stays there by its own pin (server 1.32).
    OneTime {
        /// The Version.
        version: Version,
    },
    /// Follows the Current Version.
    AutoUpgrade,
}

/// Temporal's VersioningBehavior.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Behavior {
    Unspecified,
    Pinned,
    AutoUpgrade,
}

/// The pending Workflow Task, as Describe shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingTask {
    /// Started (a Worker holds it) or only scheduled.
    pub started: bool,
    /// 1 for the first attempt; above 1 the task is failing.
    pub attempt: u32,
    /// When the first attempt was scheduled.
    pub original_scheduled: Option<Timestamp>,
    /// When this attempt was scheduled.
    pub scheduled: Option<Timestamp>,
    /// When this attempt was started.
    pub started_at: Option<Timestamp>,
}

/// A running child, as the parent's Describe shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingChild {
    /// The child.
    pub key: WorkflowKey,
    /// Its Workflow Type.
    pub workflow_type: String,
    /// Event id of StartChildWorkflowExecutionInitiated in the parent's history.
    pub initiated_event: i64,
}

/// The run that a Workflow ID has now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CurrentRun {
    /// Its Run ID.
    pub run_id: String,
    /// Its status.
    pub status: Status,
    /// Its chain's first run.
    pub first_run_id: String,
}

/// What Describe says about one Workflow now: the authoritative source. What needs the history is in
/// [`HistoryLook`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Look {
    /// The execution's attributes as Describe has them, in the shape of a listing.
    pub listed: Listed,
    /// When it was asked for: what it says was true then or later.
    pub at: Timestamp,
    /// First run of the chain (resets and continue-as-new keep it).
    pub first_run_id: String,
    /// Events in the history.
    pub history_length: i64,
    /// The newest reset of this run, by anyone, if there was one.
    pub reset_run_id: Option<String>,
    /// The run that the Workflow ID has now: this one, or the one that superseded it.
    pub current: CurrentRun,
    /// Versioning behavior (of the last completed Workflow Task, unless overridden).
    pub behavior: Behavior,
    /// Versioning Override in force.
    pub versioning_override: Option<Override>,
    /// The Version that completed the last Workflow Task; none before the first.
    pub deployment_version: Option<Version>,
    /// The pending Workflow Task.
    pub pending_task: Option<PendingTask>,
    /// Children that run.
    pub pending_children: Vec<PendingChild>,
    /// Whether the parent runs; none where there is no parent.
    pub parent_running: Option<bool>,
    /// Run timeout and execution timeout, seconds; 0 is none.
    pub run_timeout_seconds: u64,
    /// Execution timeout, seconds; 0 is none.
    pub execution_timeout_seconds: u64,
    /// Whether somebody asked it to cancel.
    #[serde(default)]
    pub cancel_requested: bool,
    /// Time of the last reset that made this run, if one did (`extended_info.last_reset_time`).
    pub last_reset: Option<Timestamp>,
}

impl Look {
    /// Where the Workflow's next task goes: Override, else the Version of the last completed task,
    /// else the Search Attribute. None is "not known", not "moved".
    pub fn effective_version(&self) -> Option<Version> {
        match &self.versioning_override {
            Some(Override::Pinned { version } | Override::OneTime { version }) => {
                Some(version.clone())
            }
            Some(Override::AutoUpgrade) => None,
            None => self.deployment_version.clone().or_else(|| {
                match self
                    .listed
                    .attributes
                    .get("TemporalWorkerDeploymentVersion")
                {
                    Some(AttributeValue::Keyword(text)) => Version::parse(text),
                    _ => None,
                }
            }),
        }
    }
}

/// A batch job of the service, as Describe shows it; a listing leaves counts, query and reason empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchJob {
    /// Job id.
    pub id: String,
    /// What it does.
    pub kind: BatchKind,
    /// Where it stands.
    pub state: BatchState,
    /// When it started.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub closed: Option<Timestamp>,
    /// Workflows that it is about; 0 until the service has counted them.
    pub total: u64,
    /// Operations that were done. The service counts by pages: of the page at work, more may be done.
    pub complete: u64,
    /// Operations that failed; of which Workflows, the service does not say.
    pub failed: u64,
    /// Who started it.
    pub identity: String,
    /// Why.
    pub reason: String,
    /// Its List Filter; empty where it is about named Workflows.
    pub query: String,
    /// Workflows that were named; 0 where it has a query.
    pub executions: u64,
}

/// What a batch job does to each Workflow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum BatchKind {
    Reset,
    UpdateOptions,
    Signal,
    Cancel,
    Terminate,
    Delete,
    /// Something about Activities, or newer than this tool.
    #[default]
    Other,
}

/// Where a batch job stands. One that was stopped is failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum BatchState {
    Running,
    Completed,
    Failed,
    /// None that this tool knows.
    #[default]
    Unknown,
}

impl BatchKind {
    /// In one word or two.
    pub fn word(self) -> &'static str {
        match self {
            Self::Reset => "reset",
            Self::UpdateOptions => "update options",
            Self::Signal => "signal",
            Self::Cancel => "cancel",
            Self::Terminate => "terminate",
            Self::Delete => "delete",
            Self::Other => "other",
        }
    }
}

impl BatchState {
    /// In one word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

/// What a strategy needs from the history.
#[derive(Clone, Debug, PartialEq)]
pub enum HistoryNeed {
    /// Nothing.
    Nothing,
    /// Where a reset to this would go, and what lies after it.
    Point(ResetTo),
    /// The start event: what a restart copies.
    Start,
}

/// What the history says, for the strategy that asked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HistoryLook {
    /// The event that a reset would name.
    pub reset_point: Option<ResetPoint>,
    /// Why there is none, where a point was asked for.
    pub miss: Option<Miss>,
    /// Whether any Workflow Task of this run was ever started (false: never dispatched).
    pub dispatched: bool,
    /// If a reset made this run: its reason and base run (the WorkflowTaskFailed event with cause ResetWorkflow).
    pub made_by_reset: Option<ResetOrigin>,
    /// The run before in a chain, where the point is in that one.
    pub base: Option<BaseRun>,
    /// The start event as protobuf bytes (`WorkflowExecutionStartedEventAttributes`), base64, with user metadata and links, for a restart.
    pub start: Option<String>,
    /// True where the history was longer than the bound that was read.
    pub truncated: bool,
}

/// The run to which a reset is applied, where that is not the one that was claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseRun {
    /// Its Run ID.
    pub run_id: String,
    /// Its newest reset, by anyone.
    pub reset_run_id: Option<String>,
}

/// Why the last Workflow Task of a run failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskFailure {
    /// It did not: it completed, or there was none.
    None,
    /// The code does not fit the history.
    NonDeterministic,
    /// Something else: the cause.
    Other(String),
    /// What was read of the history does not say.
    NotRead,
}

/// Which reset made a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResetOrigin {
    /// The run that was reset.
    pub base_run_id: String,
    /// The reason that was given.
    pub reason: String,
}

/// The status of a Worker Deployment Version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum VersionStatus {
    Unspecified,
    Inactive,
    Current,
    Ramping,
    Draining,
    Drained,
    Created,
}

/// One Version of a Worker Deployment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VersionInfo {
    /// Which.
    pub version: Version,
    /// Its status.
    pub status: VersionStatus,
    /// When drainage was last checked.
    pub drainage_checked: Option<Timestamp>,
    /// When drainage last changed.
    pub drainage_changed: Option<Timestamp>,
    /// Task queues that it knows, `(name, "workflow" | "activity" | "nexus")`; only where the Version itself was described.
    pub task_queues: Vec<(String, String)>,
}

/// A Worker Deployment's routing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Routing {
    /// Its name.
    pub deployment: String,
    /// Current Version; none is unversioned.
    pub current: Option<Version>,
    /// Ramping Version; none where nothing ramps.
    pub ramping: Option<Version>,
    /// Ramp in percent.
    pub ramp_percentage: f32,
    /// Whether unversioned Workers are what ramps.
    pub ramping_unversioned: bool,
    /// Conflict token, base64.
    pub conflict_token: String,
    /// Manager identity; empty for none.
    pub manager_identity: String,
    /// Its Versions.
    pub versions: Vec<VersionInfo>,
}

/// What the service is and can do, read before anything else.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Preflight {
    /// Address that was called.
    pub address: String,
    /// Namespace.
    pub namespace: String,
    /// Namespace id.
    pub namespace_id: String,
    /// The identity that the client gives.
    pub identity: String,
    /// Base URL of the Web UI, where it is known; no slash at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ui: Option<String>,
    /// Server version.
    pub server_version: String,
    /// Search Attributes of the namespace, name and type; empty where they could not be read.
    pub attributes: BTreeMap<String, String>,
    /// What could not be found out, and why.
    pub unknown: Vec<String>,
}

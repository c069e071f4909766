//! The `world:` of a rehearsal: what the simulated service holds when it begins, and what will happen
//! to it by itself. Data only: serde for the file, schemars for editors. Knows nothing of the state that
//! is made of it.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::commands::CommandWorld;
use super::query::QueryWorld;

/// A length of time as the file writes it: `500ms`, `90s`, `15m`, `2h`, `1d`, `1h30m`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

impl Span {
    /// Milliseconds.
    pub const fn millis(value: u64) -> Self {
        Self(Duration::from_millis(value))
    }

    /// Seconds.
    pub const fn seconds(value: u64) -> Self {
        Self(Duration::from_secs(value))
    }

    /// Reads numbers with the units `ms`, `s`, `m`, `h`, `d`, in any order, with or without spaces.
    pub fn parse(text: &str) -> Option<Self> {
        let mut rest = text.trim();
        let mut total = Duration::ZERO;
        if rest.is_empty() {
            return None;
        }
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit())?;
            let number: u64 = rest[..digits].parse().ok()?;
            rest = &rest[digits..];
            let letters = rest
                .find(|c: char| !c.is_ascii_alphabetic())
                .unwrap_or(rest.len());
            let unit = match &rest[..letters] {
                "ms" => 1,
                "s" => 1_000,
                "m" => 60_000,
                "h" => 3_600_000,
                "d" => 86_400_000,
                _ => return None,
            };
            total = total.checked_add(Duration::from_millis(number.checked_mul(unit)?))?;
            rest = rest[letters..].trim_start();
        }
        Some(Self(total))
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}ms", self.0.as_millis()))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            serde::de::Error::custom(format!(
                "`{text}` is not a duration: expected 500ms, 90s, 15m, 2h or 1h30m"
            ))
        })
    }
}

impl JsonSchema for Span {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A length of time: 500ms, 90s, 15m, 2h, 1d, 1h30m",
            "pattern": "^([0-9]+(ms|s|m|h|d) *)+$"
        })
    }
}

/// What the simulated service holds when the rehearsal begins.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct World {
    /// The only namespace.
    #[serde(default = "default_namespace")]
    pub namespace: String,
    /// Custom Search Attributes of the namespace.
    #[serde(default)]
    pub attributes: BTreeMap<String, AttributeType>,
    /// Worker Deployments by name.
    #[serde(default)]
    pub deployments: BTreeMap<String, DeploymentWorld>,
    /// Workflow Executions, in groups.
    #[serde(default)]
    pub workflows: Vec<Group>,
    /// What the service allows.
    #[serde(default)]
    pub limits: Limits,
    /// When drainage is looked at.
    #[serde(default)]
    pub drainage: DrainageWorld,
    /// How long a Worker's last poll keeps its Version from being deleted.
    #[serde(default = "default_poller_history")]
    pub poller_history_ttl: Span,
    /// How long each call takes.
    #[serde(default = "default_latency")]
    pub latency: Span,
    /// Automation that ramps a Version again and again.
    #[serde(default)]
    pub controllers: Vec<Controller>,
    /// What people do meanwhile.
    #[serde(default)]
    pub operators: Vec<OperatorAct>,
    /// Locks that other runs have.
    #[serde(default)]
    pub locks: Vec<LockWorld>,
    /// How the service runs batch jobs.
    #[serde(default)]
    pub batches: BatchWorld,
    /// Answers to programs that a runbook runs; the first that matches counts. A program without one
    /// fails the rehearsal.
    #[serde(default)]
    pub commands: Vec<CommandWorld>,
}

impl Default for World {
    fn default() -> Self {
        Self {
            namespace: default_namespace(),
            attributes: BTreeMap::new(),
            deployments: BTreeMap::new(),
            workflows: Vec::new(),
            limits: Limits::default(),
            drainage: DrainageWorld::default(),
            poller_history_ttl: default_poller_history(),
            latency: default_latency(),
            controllers: Vec::new(),
            operators: Vec::new(),
            locks: Vec::new(),
            batches: BatchWorld::default(),
            commands: Vec::new(),
        }
    }
}

/// The type of a custom Search Attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum AttributeType {
    Keyword,
    Text,
    KeywordList,
    Int,
    Double,
    Bool,
    Datetime,
}

/// A Worker Deployment.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeploymentWorld {
    /// Build ID of the Current Version; none means that unversioned Workers are current.
    #[serde(default)]
    pub current: Option<String>,
    /// Build ID of the Ramping Version.
    #[serde(default)]
    pub ramping: Option<String>,
    /// The ramp, in percent.
    #[serde(default)]
    pub ramp_percentage: f32,
    /// Only this identity may change the routing.
    #[serde(default)]
    pub manager_identity: Option<String>,
    /// Its Versions by Build ID.
    #[serde(default)]
    pub versions: BTreeMap<String, VersionWorld>,
}

/// A Worker Deployment Version and its Workers.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VersionWorld {
    /// Task queues that its Workers have polled.
    #[serde(default)]
    pub task_queues: Vec<String>,
    /// Whether Workers poll now.
    #[serde(default = "yes")]
    pub workers: bool,
    /// How long ago it was first seen.
    #[serde(default = "one_day")]
    pub created: Span,
    /// What its Workers do with a Workflow, unless the Workflow's group says otherwise.
    #[serde(default)]
    pub behaves: Behaviour,
    /// Its status where it is neither Current nor Ramping; by default `draining` or `drained` where a
    /// group ran on it, else `inactive`.
    #[serde(default)]
    pub status: Option<IdleStatus>,
    /// Its Workers stop polling this long after the beginning.
    #[serde(default)]
    pub stops: Option<Span>,
    /// Its Workers stop polling when this has happened.
    #[serde(default)]
    pub stops_when: Option<StopsWhen>,
    /// A fix is deployed under the same Build ID.
    #[serde(default)]
    pub fixed: Option<Fixed>,
}

impl Default for VersionWorld {
    fn default() -> Self {
        Self {
            task_queues: Vec::new(),
            workers: true,
            created: one_day(),
            behaves: Behaviour::default(),
            status: None,
            stops: None,
            stops_when: None,
            fixed: None,
        }
    }
}

/// What Workers do from some time on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fixed {
    /// When, after the beginning.
    pub after: Span,
    /// What they do then, whatever a Workflow's group says.
    #[serde(default)]
    pub behaves: Behaviour,
}

/// The status of a Version that gets no new Workflows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum IdleStatus {
    Inactive,
    Draining,
    Drained,
}

/// When the Workers of a Version stop polling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StopsWhen {
    /// As soon as the Version is drained.
    Drained,
}

/// What the Workers of a Version do with a Workflow Task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Behaviour {
    /// Go on, and complete the Workflow after `takes`.
    Complete,
    /// Fail the Workflow Task, as a replay that does not match: at once twice, then by timeouts that grow.
    FailTasks,
    /// Fail the Workflow Task in the same way, but as an error in the Workflow's code.
    RaiseErrors,
    /// Fail the Workflow.
    FailWorkflow,
    /// Go on, then wait for a Signal.
    #[default]
    Idle,
    /// Go on, with wrong data: looks like `idle` from outside.
    Corrupt,
    /// Nobody polls.
    NoWorkers,
}

/// The status of the Workflows of a group at the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum GroupStatus {
    #[default]
    Running,
    Completed,
    Failed,
    Canceled,
    Terminated,
    ContinuedAsNew,
    TimedOut,
}

/// How the Workflows of a group are versioned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum GroupBehavior {
    #[default]
    Pinned,
    AutoUpgrade,
}

/// The pending Workflow Task of the Workflows of a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GroupTask {
    /// None: waiting for something else.
    #[default]
    None,
    /// It fails again and again: the replay does not match the history.
    Failing,
    /// It fails again and again: the Workflow's code raises an error.
    Erring,
    /// A Worker holds its first attempt, and will answer in some seconds.
    Progressing,
    /// Scheduled, and nobody takes it.
    Unpolled,
}

/// A group of Workflow Executions that differ in their number only.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Workflow Type.
    #[serde(rename = "type")]
    pub workflow_type: String,
    /// How many.
    #[serde(default = "one")]
    pub count: u32,
    /// Workflow ID; `{n}` becomes the number, from 0, and is added where it is missing and the count is
    /// above 1. By default the type in lower case.
    #[serde(default)]
    pub id: Option<String>,
    /// Status.
    #[serde(default)]
    pub status: GroupStatus,
    /// Versioning behavior.
    #[serde(default)]
    pub behavior: GroupBehavior,
    /// Worker Deployment; may be left out where the world has one.
    #[serde(default)]
    pub deployment: Option<String>,
    /// Build ID of the Version that completed its last Workflow Task; by default the Current one.
    #[serde(default)]
    pub version: Option<String>,
    /// Build ID of a pinned Versioning Override that it already has.
    #[serde(default)]
    pub versioning_override: Option<String>,
    /// Task queue; by default the first one of its Version.
    #[serde(default)]
    pub task_queue: Option<String>,
    /// How long ago the first of them started; the others follow one millisecond apart.
    #[serde(default = "one_hour")]
    pub started: Span,
    /// How long ago they closed, where they are closed.
    #[serde(default = "half_hour")]
    pub closed: Span,
    /// Pending Workflow Task.
    #[serde(default)]
    pub task: GroupTask,
    /// How long the task has been failing.
    #[serde(default = "ten_minutes")]
    pub failing_for: Span,
    /// Workflow Tasks that were completed, each followed by an Activity.
    #[serde(default = "one")]
    pub tasks: u32,
    /// Signals that each has received after its first Workflow Task.
    #[serde(default)]
    pub signals: u32,
    /// Updates that each has received after its first Workflow Task.
    #[serde(default)]
    pub updates: u32,
    /// Workflow Run timeout.
    #[serde(default)]
    pub timeout: Option<Span>,
    /// What the Workers of a Version (by Build ID) do with this group.
    #[serde(default, rename = "behaves")]
    pub on: BTreeMap<String, Behaviour>,
    /// How long a Workflow takes to complete where Workers complete it.
    #[serde(default = "one_minute")]
    pub takes: Span,
    /// Running children of each.
    #[serde(default)]
    pub children: Option<Children>,
    /// A person has reset each of them a minute ago; what runs is the new run.
    #[serde(default)]
    pub reset_by_hand: bool,
    /// Another, unrelated run has each Workflow ID now.
    #[serde(default)]
    pub superseded_by: Option<Superseding>,
    /// Earlier runs of each that continued as new.
    #[serde(default)]
    pub chain: u32,
    /// Custom Search Attributes.
    #[serde(default)]
    pub attributes: BTreeMap<String, serde_json::Value>,
    /// Argument of each; `{n}` in strings becomes the number. By default `{"n": 7}`.
    #[serde(default)]
    pub input: Option<serde_json::Value>,
    /// They arrive only this long after the beginning: an incident that grows.
    #[serde(default)]
    pub arrives: Option<Span>,
    /// They close by themselves this long after the beginning, where they still run.
    #[serde(default)]
    pub closes: Option<Span>,
    /// How they close by themselves.
    #[serde(default = "completed")]
    pub closes_as: GroupStatus,
    /// What happened to each after its first Workflow Task, in order, before its other tasks.
    #[serde(default)]
    pub history: Vec<Happening>,
    /// Activities are added to the history until it has so many events.
    #[serde(default)]
    pub events: Option<u32>,
    /// Cron schedule; with `waits` it is between two runs.
    #[serde(default)]
    pub cron: Option<String>,
    /// Nothing but the start has happened: the first Workflow Task is scheduled only this long after the
    /// beginning (a cron schedule, a start delay).
    #[serde(default)]
    pub waits: Option<Span>,
    /// What becomes of it when its cancellation is requested and a Worker takes note.
    #[serde(default)]
    pub on_cancel: OnCancel,
    /// How long it cleans up before that.
    #[serde(default)]
    pub cancel_takes: Option<Span>,
    /// Signals that close it, by name, and how; others only lead to a Workflow Task.
    #[serde(default)]
    pub on_signal: BTreeMap<String, ClosesAs>,
    /// Queries that its Workers answer, by name.
    #[serde(default)]
    pub queries: BTreeMap<String, QueryWorld>,
}

/// What becomes of a Workflow whose cancellation is requested.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnCancel {
    /// It closes as Canceled.
    #[default]
    Canceled,
    /// It closes as Completed.
    Completed,
    /// It closes as Failed.
    Failed,
    /// It goes on.
    Ignored,
}

/// How a Workflow closes when it receives a Signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum ClosesAs {
    Completed,
    Failed,
    Canceled,
}

/// One thing that happened to each Workflow of a group: exactly one of `signal`, `update`, `activity`,
/// `timer`, `child` and `failure`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Happening {
    /// A Signal of this name arrived.
    pub signal: Option<String>,
    /// An Update of this name was accepted and completed.
    pub update: Option<String>,
    /// An Activity of this type was scheduled and completed.
    pub activity: Option<String>,
    /// A timer of this length was started and fired.
    pub timer: Option<Span>,
    /// A child of this type was started and completed.
    pub child: Option<String>,
    /// A Workflow Task failed, and was tried again with success.
    pub failure: Option<TaskFailure>,
    /// Argument of the Signal or Update.
    pub input: Option<serde_json::Value>,
    /// Who sent it.
    pub identity: Option<String>,
    /// How long ago it was; by default at once after what came before it.
    pub ago: Option<Span>,
    /// So often.
    pub times: Option<u32>,
    /// Whether a Workflow Task takes note of it, by default yes; else the next one does.
    pub task: Option<bool>,
    /// Build ID of the Version that completes the Workflow Task, and those after it.
    pub version: Option<String>,
}

/// Why a Workflow Task failed.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum TaskFailure {
    /// The replay does not match the history.
    NonDeterministic,
    /// The Workflow's code raised something that fails the task only.
    Error,
}

/// The children of each Workflow of a group.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Children {
    /// Workflow Type.
    #[serde(rename = "type")]
    pub workflow_type: String,
    /// How many each parent has.
    #[serde(default = "one")]
    pub count: u32,
    /// Their pending Workflow Task.
    #[serde(default)]
    pub task: GroupTask,
    /// Build ID of their Version; by default that of the parent.
    #[serde(default)]
    pub version: Option<String>,
}

/// The run that has the Workflow ID now.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Superseding {
    /// Workflow Type; by default the same.
    #[serde(default, rename = "type")]
    pub workflow_type: Option<String>,
    /// Its status.
    #[serde(default)]
    pub status: GroupStatus,
    /// Build ID of its Version; by default the Current one.
    #[serde(default)]
    pub version: Option<String>,
}

/// What the service allows.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Calls a second in the namespace; beyond it RESOURCE_EXHAUSTED.
    #[serde(default)]
    pub rate_limit: Option<u32>,
    /// Visibility calls (list, count) a second in the namespace.
    #[serde(default = "ten")]
    pub visibility_rate_limit: u32,
    /// How late Visibility is.
    #[serde(default = "default_lag")]
    pub visibility_lag: Span,
    /// How much later it may be, at most: changes of different Workflows overtake each other.
    #[serde(default)]
    pub visibility_jitter: Span,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            rate_limit: None,
            visibility_rate_limit: ten(),
            visibility_lag: default_lag(),
            visibility_jitter: Span::default(),
        }
    }
}

/// How the service runs batch jobs, and what goes wrong in each.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BatchWorld {
    /// Operations a second of a job; the default is the service's (`worker.BatcherRPS`).
    #[serde(default = "fifty")]
    pub rate: f64,
    /// Jobs at a time.
    #[serde(default = "one")]
    pub concurrent: u32,
    /// Every so many-th operation of a job fails: nothing happens to that Workflow, and the job only counts it.
    #[serde(default)]
    pub fails_every: Option<u64>,
    /// Operations on Workflow IDs that begin so fail.
    #[serde(default)]
    pub fails: Vec<String>,
    /// The Worker that runs a job dies after so many operations; 10 s later another one does the page of
    /// 1,000 Workflows again, from its beginning.
    #[serde(default)]
    pub interrupted_after: Option<u64>,
    /// Jobs of others that run when the rehearsal begins.
    #[serde(default)]
    pub jobs: Vec<BatchJobWorld>,
}

impl Default for BatchWorld {
    fn default() -> Self {
        Self {
            rate: fifty(),
            concurrent: one(),
            fails_every: None,
            fails: Vec::new(),
            interrupted_after: None,
            jobs: Vec::new(),
        }
    }
}

/// A batch job of somebody else.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BatchJobWorld {
    /// Job id.
    pub id: String,
    /// It ends this long after the beginning.
    #[serde(default = "ten_minutes")]
    pub ends: Span,
}

/// When drainage is looked at; the defaults are the server's.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DrainageWorld {
    /// From the beginning of draining to the first look.
    #[serde(default = "three_minutes")]
    pub grace: Span,
    /// From look to look.
    #[serde(default = "three_minutes")]
    pub refresh: Span,
}

impl Default for DrainageWorld {
    fn default() -> Self {
        Self {
            grace: three_minutes(),
            refresh: three_minutes(),
        }
    }
}

/// A rollout controller that does not know of the incident.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Controller {
    /// Worker Deployment; may be left out where the world has one.
    #[serde(default)]
    pub deployment: Option<String>,
    /// Build ID of the Version that it ramps.
    pub ramps: String,
    /// The ramp, in percent.
    #[serde(default = "ten_percent")]
    pub percentage: f32,
    /// When it does so, after the beginning.
    #[serde(default)]
    pub at: Vec<Span>,
    /// And again so often.
    #[serde(default)]
    pub every: Option<Span>,
    /// It gives up after this time.
    #[serde(default)]
    pub until: Option<Span>,
    /// It makes that Version Current instead of ramping it.
    #[serde(default)]
    pub current: bool,
}

/// What a person does to some Workflows meanwhile.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OperatorAct {
    /// When, after the beginning.
    pub at: Span,
    /// What.
    pub does: OperatorDoes,
    /// Workflow Type of what it is done to.
    #[serde(rename = "type")]
    pub workflow_type: String,
    /// To how many: the first ones, by Workflow ID, that run then.
    #[serde(default = "one")]
    pub count: u32,
    /// Build ID of the target Version of `reset` and `move`.
    #[serde(default)]
    pub to: Option<String>,
}

/// A lock that another run has: the `lock:` of its runbook.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LockWorld {
    /// Its name.
    pub name: String,
    /// The run that has it.
    #[serde(default = "another_run")]
    pub run: String,
    /// The name of that run's runbook.
    #[serde(default = "another_runbook")]
    pub runbook: String,
    /// Who took it.
    #[serde(default = "colleague")]
    pub user: String,
    /// On which host.
    #[serde(default = "another_host")]
    pub host: String,
    /// How long ago.
    #[serde(default = "ten_minutes")]
    pub taken: Span,
    /// How long ago its holder gave the last sign of life; there is none later.
    #[serde(default = "half_minute")]
    pub seen: Span,
    /// It is given back, or broken, this long after the beginning.
    #[serde(default)]
    pub ends: Option<Span>,
}

/// The acts of a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum OperatorDoes {
    Reset,
    Move,
    Terminate,
    Signal,
    Cancel,
    /// A new start in the place of what runs.
    Restart,
    /// No person's act: the Workflow continues as new.
    ContinueAsNew,
    /// No person's act: the Workflow starts a child.
    StartChild,
}

fn default_namespace() -> String {
    "default".to_owned()
}
fn default_poller_history() -> Span {
    Span::seconds(300)
}
fn default_latency() -> Span {
    Span::millis(5)
}
fn default_lag() -> Span {
    Span::millis(500)
}
fn half_minute() -> Span {
    Span::seconds(30)
}
fn another_run() -> String {
    "rb-another".to_owned()
}
fn another_runbook() -> String {
    "recover-pinned-workflows".to_owned()
}
fn another_host() -> String {
    "elsewhere".to_owned()
}
fn colleague() -> String {
    "colleague".to_owned()
}
fn one_day() -> Span {
    Span::seconds(86_400)
}
fn one_hour() -> Span {
    Span::seconds(3_600)
}
fn half_hour() -> Span {
    Span::seconds(1_800)
}
fn ten_minutes() -> Span {
    Span::seconds(600)
}
fn three_minutes() -> Span {
    Span::seconds(180)
}
fn one_minute() -> Span {
    Span::seconds(60)
}
fn yes() -> bool {
    true
}
fn one() -> u32 {
    1
}
fn ten() -> u32 {
    10
}
fn fifty() -> f64 {
    50.0
}
fn ten_percent() -> f32 {
    10.0
}
fn completed() -> GroupStatus {
    GroupStatus::Completed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans() {
        assert_eq!(Span::parse("1h30m"), Some(Span::seconds(5_400)));
        assert_eq!(Span::parse("500ms"), Some(Span::millis(500)));
        assert_eq!(Span::parse("1h 1s"), Some(Span::seconds(3_601)));
        for bad in [
            "",
            "5",
            "m",
            "5 m",
            "-1s",
            "1w",
            "99999999999999999999s",
            "18446744073709551615d",
        ] {
            assert_eq!(Span::parse(bad), None, "{bad}");
        }
    }
}

//! What each action takes: deserialized from rendered values; the doc comments are the schema's
//! descriptions.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::survey::Version;

/// `deployment.describe`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DescribeDeployment {
    /// Name of the Worker Deployment.
    pub deployment: String,
}

/// Whether Current may be set to a Version that does not know every task queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MissingTaskQueues {
    /// Refuse.
    #[default]
    Refuse,
    /// Accept: Workflows on these queues become unversioned.
    Accept,
}

/// `deployment.stop_rollout`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StopRollout {
    /// The bad Version.
    #[schemars(with = "String", extend("format" = "version"))]
    pub version: Version,
    /// The Version that becomes Current where the bad one is.
    #[schemars(with = "String", extend("format" = "version"))]
    pub revert_to: Version,
    /// What to do where `revert_to` does not know a task queue.
    #[serde(default)]
    pub missing_task_queues: MissingTaskQueues,
}

/// `deployment.set_current`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetCurrent {
    /// The Version to make Current.
    #[schemars(with = "String", extend("format" = "version"))]
    pub version: Version,
    /// What to do where it does not know a task queue.
    #[serde(default)]
    pub missing_task_queues: MissingTaskQueues,
}

/// `deployment.set_ramping`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetRamping {
    /// The Version to ramp.
    #[schemars(with = "String", extend("format" = "version"))]
    pub version: Version,
    /// Percent of new Workflows, above 0 and up to 100; `unset: true` instead ends the ramp.
    #[serde(default)]
    pub percentage: Option<f32>,
    /// End the ramp of this Version (0 % would leave it ramping).
    #[serde(default)]
    pub unset: bool,
}

/// `deployment.drainage`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Drainage {
    /// The Version.
    #[schemars(with = "String", extend("format" = "version"))]
    pub version: Version,
}

/// `deployment.delete_version`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeleteVersion {
    /// The Version.
    #[schemars(with = "String", extend("format" = "version"))]
    pub version: Version,
    /// How long to wait until the service has forgotten the Version's Workers (about 5 minutes after they stopped); default 15m.
    #[serde(default)]
    #[schemars(extend("format" = "interval"))]
    pub wait_for_pollers: Option<String>,
}

/// `decision.evaluate`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Evaluate {
    /// The decisions to count.
    pub decisions: Vec<String>,
}

/// `decision.apply`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Apply {
    /// The decision to apply.
    pub decision: String,
    /// Steps whose moved Workflows are taken too where they closed before a task ran on the target.
    #[serde(default)]
    pub also_lost_by: Vec<String>,
}

/// `workflows.count`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Count {
    /// List Filter.
    #[schemars(extend("format" = "list-filter"))]
    pub query: String,
}

/// `workflows.list`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct List {
    /// List Filter.
    #[schemars(extend("format" = "list-filter"))]
    pub query: String,
    /// Most Workflows to list; default 100.
    #[serde(default)]
    pub limit: Option<u32>,
}

/// Which Workflows a step is about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Select {
    /// List Filter.
    #[schemars(extend("format" = "list-filter"))]
    pub query: String,
}

/// Where a reset goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ResetTo {
    /// The first Workflow Task of the current run: it starts over.
    FirstWorkflowTask,
    /// The last Workflow Task that completed; Activities that finished after it run again.
    LastWorkflowTask,
}

/// What is re-applied after a reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reapply {
    /// Signals and Updates after the reset point.
    All,
    /// Updates only.
    WithoutSignals,
    /// Signals only.
    WithoutUpdates,
    /// Nothing.
    None,
}

/// `workflows.reset`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reset {
    /// Which Workflows (of a step; a strategy has none).
    #[serde(default)]
    pub select: Option<Select>,
    /// Where to.
    pub to: ResetTo,
    /// What is re-applied afterwards.
    pub reapply: Reapply,
    /// Version to pin the new run to, in the same call.
    #[serde(default)]
    #[schemars(with = "Option<String>", extend("format" = "version"))]
    pub version: Option<Version>,
    /// Why; goes into the history, with the run's id.
    pub reason: String,
    /// What to do with a closed Workflow that was reset before: `skip`, or `again`.
    #[serde(default)]
    pub if_reset: IfReset,
}

/// What to do with a closed Workflow that was reset before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum IfReset {
    /// Leave it alone.
    #[default]
    Skip,
    /// Reset it again: the run that the earlier reset made is terminated.
    Again,
}

/// The kind of a Versioning Override.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OverrideKind {
    /// Pinned to `version` until it is unset.
    #[default]
    Pinned,
    /// Moves to `version` once, then stays there by its own pin (server 1.32).
    OneTime,
    /// Follows the Current Version.
    AutoUpgrade,
    /// Unsets the override.
    Unset,
}

/// `workflows.update_options`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateOptions {
    /// Which Workflows (of a step; a strategy has none).
    #[serde(default)]
    pub select: Option<Select>,
    /// Target of `pinned` and `one_time`.
    #[serde(default)]
    #[schemars(with = "Option<String>", extend("format" = "version"))]
    pub version: Option<Version>,
    /// The kind of override.
    #[serde(default, rename = "override")]
    pub kind: OverrideKind,
}

/// `workflows.restart`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Restart {
    /// Which Workflows (of a step; a strategy has none).
    #[serde(default)]
    pub select: Option<Select>,
    /// Version to pin the new run to.
    #[schemars(with = "String", extend("format" = "version"))]
    pub version: Version,
    /// Why; recorded in the journal (the service keeps its own reason for the terminated run).
    pub reason: String,
}

/// `workflows.terminate`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Terminate {
    /// Which Workflows (of a step; a strategy has none).
    #[serde(default)]
    pub select: Option<Select>,
    /// Why; goes into the history, with the run's id.
    pub reason: String,
}

/// `workflows.verify`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Verify {
    /// Steps whose recovered Workflows are looked at.
    pub ledger: Vec<String>,
    /// How long to wait until none is waiting; without it, one look.
    #[serde(default)]
    #[schemars(extend("format" = "interval"))]
    pub wait: Option<String>,
}

/// `manual.task`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ManualTask {
    /// What the person has to do.
    pub instructions: String,
}

/// `assert`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Assert {
    /// Condition: an expression.
    pub that: bool,
    /// What to say where it does not hold.
    #[serde(default)]
    pub message: Option<String>,
}

/// `wait`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Wait {
    /// For how long.
    #[serde(rename = "for")]
    #[schemars(extend("format" = "interval"))]
    pub duration: String,
}

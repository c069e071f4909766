//! What each action takes: deserialized from rendered values; the doc comments are the schema's
//! descriptions.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use schemars::{JsonSchema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Effect, Select};
pub use crate::history::{Reapply, ResetTo};
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
    /// List Filter; or `select`.
    #[serde(default)]
    #[schemars(extend("format" = "list-filter"))]
    pub query: Option<String>,
    /// Which Workflows; or `query`.
    #[serde(default)]
    pub select: Option<Select>,
}

/// `workflows.list`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct List {
    /// List Filter; or `select`.
    #[serde(default)]
    #[schemars(extend("format" = "list-filter"))]
    pub query: Option<String>,
    /// Which Workflows; or `query`.
    #[serde(default)]
    pub select: Option<Select>,
    /// Most Workflows to list; default 100.
    #[serde(default)]
    pub limit: Option<u32>,
}

/// Who carries out the writes of a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// This tool, one Workflow at a time: each is looked at first, and each outcome is known.
    #[default]
    Client,
    /// A batch job of the service: for scopes that a laptop should not walk. What it did to each Workflow is found out afterwards.
    Batch,
}

/// What is accepted of a batch job that resets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Accept {
    /// That a closed Workflow is reset again, and what runs under its Workflow ID is terminated.
    Repeats,
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
    /// What to do with a closed run whose Workflow ID has another run now: `skip`, or `terminate` that run.
    #[serde(default)]
    pub if_superseded: IfSuperseded,
    /// Who carries it out: this tool, or a batch job of the service (of a step; a strategy has none).
    #[serde(default)]
    pub via: Via,
    /// With `via: batch`: what is accepted of a job whose Workflows may be closed.
    #[serde(default)]
    pub accept: Option<Accept>,
}

/// What to do with a closed run whose Workflow ID has another run now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum IfSuperseded {
    /// Leave both alone.
    #[default]
    Skip,
    /// Reset it: the run that the Workflow ID has now is terminated.
    Terminate,
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
    /// Why. A batch job of the service keeps it; for a single call the service keeps none, and the journal does.
    #[serde(default)]
    pub reason: Option<String>,
    /// Who carries it out: this tool, or a batch job of the service (of a step; a strategy has none).
    #[serde(default)]
    pub via: Via,
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
    /// Who carries it out: this tool, or a batch job of the service (of a step; a strategy has none).
    #[serde(default)]
    pub via: Via,
}

/// `workflows.cancel`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cancel {
    /// Which Workflows (of a step; a strategy has none).
    #[serde(default)]
    pub select: Option<Select>,
    /// Why; goes into the history, with the run's id.
    pub reason: String,
    /// Who carries it out: this tool, or a batch job of the service (of a step; a strategy has none).
    #[serde(default)]
    pub via: Via,
}

/// `workflows.signal`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Signal {
    /// Which Workflows (of a step; a strategy has none).
    #[serde(default)]
    pub select: Option<Select>,
    /// The Signal's name.
    pub name: String,
    /// Its argument: any JSON value. A handler without arguments takes none: leave it out.
    #[serde(
        default,
        deserialize_with = "given",
        skip_serializing_if = "Option::is_none"
    )]
    pub input: Option<Value>,
    /// Its arguments in order, where the handler takes several.
    #[serde(default)]
    pub arguments: Vec<Value>,
    /// Headers, each a JSON value (tracing, authorization of an interceptor).
    #[serde(default)]
    pub headers: BTreeMap<String, Value>,
    /// Why. A batch job of the service keeps it; for a single call the service keeps none, and the journal does.
    #[serde(default)]
    pub reason: Option<String>,
    /// Who carries it out: this tool, or a batch job of the service (of a step; a strategy has none).
    #[serde(default)]
    pub via: Via,
}

impl Signal {
    /// What the handler is called with.
    pub fn values(&self) -> Vec<Value> {
        given_values(self.input.as_ref(), &self.arguments)
    }
}

/// When a Query is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reject {
    /// Not by a closed Workflow.
    NotOpen,
    /// Not by a Workflow that closed other than completed.
    NotCompletedCleanly,
}

/// `workflows.query`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Query {
    /// Which Workflows.
    pub select: Select,
    /// The Query's name.
    pub name: String,
    /// Its argument: any JSON value.
    #[serde(
        default,
        deserialize_with = "given",
        skip_serializing_if = "Option::is_none"
    )]
    pub input: Option<Value>,
    /// Its arguments in order, where the handler takes several.
    #[serde(default)]
    pub arguments: Vec<Value>,
    /// Headers, each a JSON value.
    #[serde(default)]
    pub headers: BTreeMap<String, Value>,
    /// Which Workflows do not answer.
    #[serde(default)]
    pub reject: Option<Reject>,
    /// Most Workflows to ask; default 100, at most 1000.
    #[serde(default)]
    #[schemars(range(min = 1, max = 1000))]
    pub limit: Option<u32>,
    /// How long to wait for one answer; default 10s. A Workflow without a Worker does not answer.
    #[serde(default)]
    #[schemars(extend("format" = "interval"))]
    pub timeout: Option<String>,
}

impl Query {
    /// What the handler is called with.
    pub fn values(&self) -> Vec<Value> {
        given_values(self.input.as_ref(), &self.arguments)
    }
}

/// `null` is an argument, too.
fn given<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

fn given_values(input: Option<&Value>, arguments: &[Value]) -> Vec<Value> {
    match input {
        Some(input) => vec![input.clone()],
        None => arguments.to_vec(),
    }
}

/// `workflows.wait_closed`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WaitClosed {
    /// Steps whose Workflows are waited for: what they wrote to, and what they skipped.
    pub ledger: Vec<String>,
    /// How long to wait until all are closed; without it, one look.
    #[serde(default)]
    #[schemars(extend("format" = "interval"))]
    pub wait: Option<String>,
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

/// `batch.describe`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DescribeBatch {
    /// The job's id.
    pub job_id: String,
}

/// `batch.list`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListBatches {
    /// Most jobs to list; default 100.
    #[serde(default)]
    pub limit: Option<u32>,
}

/// `batch.wait`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WaitBatch {
    /// The job's id.
    pub job_id: String,
    /// How long to wait until it has ended; default 1h.
    #[serde(default)]
    #[schemars(extend("format" = "interval"))]
    pub timeout: Option<String>,
}

/// `batch.terminate`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TerminateBatch {
    /// The job's id.
    pub job_id: String,
    /// Why; the service keeps it with the job.
    pub reason: String,
}

/// `manual.task`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ManualTask {
    /// What the person has to do.
    pub instructions: String,
    /// What the person has to enter, by name; `steps.ID.form.NAME` afterwards.
    #[serde(default)]
    #[schemars(extend("propertyNames" = { "pattern": crate::catalog::NAME }))]
    pub form: IndexMap<String, FormField>,
}

/// The type of a form's field; `version` is a Worker Deployment Version, `DEPLOYMENT:BUILD`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum FieldType {
    String,
    Integer,
    Number,
    Boolean,
    Duration,
    List,
    Map,
    Version,
}

/// One field of a form: declared as a parameter is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FormField {
    /// Its type; `version` is a Worker Deployment Version, `DEPLOYMENT:BUILD`.
    #[serde(rename = "type")]
    pub kind: FieldType,
    /// What it is for: shown when it is asked for.
    #[serde(default)]
    pub description: String,
    /// Type of a list's items or a map's values; default `string`.
    #[serde(default)]
    pub items: Option<FieldType>,
    /// Permitted values (of the items of a list, of the values of a map).
    #[serde(default, rename = "enum")]
    #[schemars(extend("minItems" = 1, "uniqueItems" = true))]
    pub choices: Option<Vec<Value>>,
    /// Regular expression that each text must match.
    #[serde(default)]
    pub pattern: Option<String>,
    /// Smallest number.
    #[serde(default)]
    pub minimum: Option<f64>,
    /// Largest number.
    #[serde(default)]
    pub maximum: Option<f64>,
    /// Taken where nothing is entered.
    #[serde(default)]
    pub default: Option<Value>,
    /// Whether something must be entered (where there is no default); default `true`. Without a value
    /// the field is `none`.
    #[serde(default = "yes")]
    pub required: bool,
}

fn yes() -> bool {
    true
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

/// How many Workflows there may be for a wait to end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HowMany {
    /// So many or fewer.
    #[serde(default)]
    pub at_most: Option<u64>,
    /// So many or more.
    #[serde(default)]
    pub at_least: Option<u64>,
}

/// Workflows whose count is waited for. Visibility counts them, and it lags behind by seconds: the
/// count must hold twice in a row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WaitForWorkflows {
    /// List Filter.
    #[schemars(extend("format" = "list-filter"))]
    pub query: String,
    /// How many there may be.
    pub count: HowMany,
    /// Pause between two counts; default 10s.
    #[serde(default)]
    #[schemars(extend("format" = "interval"))]
    pub every: Option<String>,
}

/// `wait`: exactly one of `for`, `until` and `for_workflows`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Wait {
    /// For how long, by the clock: the time in which nobody was attached counts.
    #[serde(default, rename = "for")]
    #[schemars(extend("format" = "interval"))]
    pub duration: Option<String>,
    /// Until when: a time such as `2026-01-05T06:00:00Z`.
    #[serde(default)]
    #[schemars(extend("format" = "timestamp"))]
    pub until: Option<String>,
    /// Until there are so many Workflows (the step needs a `timeout`). What other steps put out does not
    /// change while a step waits: for a condition on that, put `wait` into a `repeat`.
    #[serde(default)]
    pub for_workflows: Option<WaitForWorkflows>,
}

/// A text, or a number as text: what a program can be given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Word(pub String);

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(text) => Ok(Self(text)),
            value @ (Value::Number(_) | Value::Bool(_)) => Ok(Self(value.to_string())),
            _ => Err(serde::de::Error::custom("a text or a number belongs here")),
        }
    }
}

impl JsonSchema for Word {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Word".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": ["string", "number"] })
    }
}

/// How a program's output is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CommandOutput {
    /// As it is: `stdout`.
    #[default]
    Text,
    /// One JSON value: `json`.
    Json,
    /// Line by line, without line ends: `lines`.
    Lines,
}

/// `command.run`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunCommand {
    /// The program and its arguments, each a text of its own: no shell reads them.
    #[schemars(length(min = 1))]
    pub argv: Vec<Word>,
    /// What it may do. Only one that reads runs in a dry run; only one that reads or is idempotent is
    /// ever run again by itself.
    pub effect: Effect,
    /// Environment variables that it gets. Secrets may stand here.
    #[serde(default)]
    #[schemars(extend("propertyNames" = { "pattern": "^[A-Za-z_][A-Za-z0-9_]*$" }))]
    pub env: IndexMap<String, Word>,
    /// Names of further environment variables that it gets from `runbook`, where they are set. It always
    /// gets PATH, HOME, USER, LOGNAME, LANG, LC_ALL, LC_CTYPE, TZ and TMPDIR, and no other.
    #[serde(default)]
    pub inherit: Vec<String>,
    /// The directory that it runs in, an absolute path; else the one that `runbook` runs in.
    #[serde(default)]
    pub directory: Option<String>,
    /// How long it may run; then it is ended, with all that it started in its process group. Default 1m.
    #[serde(default)]
    #[schemars(extend("format" = "interval"))]
    pub timeout: Option<String>,
    /// What it reads from its standard input; else nothing. Secrets may stand here.
    #[serde(default)]
    pub stdin: Option<String>,
    /// How its output is read.
    #[serde(default)]
    pub output: CommandOutput,
    /// Most bytes of output, up to 8 MiB; more is an error. Default 1048576 (1 MiB).
    #[serde(default)]
    #[schemars(range(min = 1, max = 8_388_608))]
    pub max_output: Option<u64>,
    /// JSON Schema of the output, with `output: json`: `steps.ID.json.…` is checked by it, and the output is.
    #[serde(default)]
    #[schemars(extend("type" = "object"))]
    pub schema: Option<Value>,
    /// Exit codes that mean success. Default `[0]`.
    #[serde(default = "zero")]
    #[schemars(extend("minItems" = 1))]
    pub success: Vec<i32>,
}

fn zero() -> Vec<i32> {
    vec![0]
}

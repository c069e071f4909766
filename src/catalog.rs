//! What each action takes, gives and may do to the world: the contract between the language, which
//! checks it offline, and `action`, which carries it out.
//!
//! Pure data. Argument types are deserialized from rendered values; their doc comments are the
//! schema's descriptions. A new action starts here.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use crate::survey::Version;

/// What an action may do to the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Reads.
    Read,
    /// Writes; doing it again changes nothing more.
    Idempotent,
    /// Writes; doing it again does it twice.
    NonIdempotent,
}

impl Effect {
    /// Whether it writes.
    pub fn writes(self) -> bool {
        self != Self::Read
    }
}

/// What an action is done to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The service as a whole: one call of the action a step.
    Service,
    /// One Workflow at a time: a strategy, or a step with `select`.
    Workflow,
    /// The Workflows of a decision's scope.
    Decision,
    /// The Workflows in the ledger of earlier steps.
    Ledger,
    /// A person.
    Person,
    /// Nothing outside this run.
    Run,
}

/// How an output field behaves in a loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A number that is cumulative over a loop's iterations.
    Count,
    /// The latest number.
    Number,
    /// The latest text.
    Text,
    /// The latest truth value.
    Boolean,
    /// The latest list.
    List,
    /// The latest object.
    Object,
}

/// One field of an action's output.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its name in expressions.
    pub name: &'static str,
    /// Its kind.
    pub kind: Kind,
    /// What it says.
    pub description: &'static str,
}

/// One action.
#[derive(Clone, Copy)]
pub struct Action {
    /// `noun.verb`.
    pub name: &'static str,
    /// What it does, imperative.
    pub summary: &'static str,
    /// Effect; `decision.apply` has that of its rows, the strongest of which stands here.
    pub effect: Effect,
    /// What it is done to.
    pub subject: Subject,
    /// JSON Schema of `with:` (of a step; `select` is a field of the step's arguments only).
    pub arguments: fn(&mut SchemaGenerator) -> Schema,
    /// Output fields.
    pub output: &'static [Field],
    /// Names under which it can refuse a Workflow; what a strategy's `fallback` may name.
    pub refusals: &'static [&'static str],
}

impl std::fmt::Debug for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Action")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

const fn field(name: &'static str, kind: Kind, description: &'static str) -> Field {
    Field {
        name,
        kind,
        description,
    }
}

const APPLIED: &[Field] = &[
    field(
        "listed",
        Kind::Count,
        "Workflows that were claimed from the listing",
    ),
    field(
        "recovered",
        Kind::Count,
        "Workflows that were written to, by any strategy",
    ),
    field(
        "moved",
        Kind::Count,
        "of these, by a Versioning Override alone",
    ),
    field(
        "started_over",
        Kind::Count,
        "of these, reset to the first Workflow Task or started anew: Activities ran or will run again",
    ),
    field("undone", Kind::Count, "of these, reset to a later point"),
    field("terminated", Kind::Count, "of these, terminated"),
    field(
        "skipped",
        Kind::Count,
        "Workflows that needed nothing, with a reason",
    ),
    field(
        "refused",
        Kind::Count,
        "Workflows to which no strategy could be applied, with a reason",
    ),
    field(
        "failed",
        Kind::Count,
        "Workflows whose write failed, or whose outcome is not known",
    ),
    field(
        "unproven",
        Kind::Count,
        "recovered Workflows whose health nothing has proved yet",
    ),
    field(
        "unmatched",
        Kind::Number,
        "listed Workflows that no row takes",
    ),
    field("rows", Kind::Object, "the same numbers by row"),
];

const NO_REFUSALS: &[&str] = &[];

/// Every action.
pub const ACTIONS: &[Action] = &[
    Action {
        name: "deployment.describe",
        summary: "Read a Worker Deployment's routing, Versions and manager",
        effect: Effect::Read,
        subject: Subject::Service,
        arguments: |g| DescribeDeployment::json_schema(g),
        output: &[
            field("current", Kind::Text, "Current Version, or empty"),
            field("ramping", Kind::Text, "Ramping Version, or empty"),
            field("ramp_percentage", Kind::Number, "ramp in percent"),
            field("manager", Kind::Text, "manager identity, or empty"),
            field("versions", Kind::Object, "status by Build ID"),
        ],
        refusals: NO_REFUSALS,
    },
    Action {
        name: "deployment.stop_rollout",
        summary: "Unset the ramp of a Version, and revert Current if it is Current",
        effect: Effect::Idempotent,
        subject: Subject::Service,
        arguments: |g| StopRollout::json_schema(g),
        output: &[
            field("unset_ramp", Kind::Count, "times that a ramp was unset"),
            field("reverted", Kind::Count, "times that Current was reverted"),
            field("current", Kind::Text, "Current Version now, or empty"),
            field("ramping", Kind::Text, "Ramping Version now, or empty"),
        ],
        refusals: NO_REFUSALS,
    },
    Action {
        name: "deployment.set_current",
        summary: "Make a Version the Current one",
        effect: Effect::Idempotent,
        subject: Subject::Service,
        arguments: |g| SetCurrent::json_schema(g),
        output: &[
            field("current", Kind::Text, "Current Version now"),
            field("previous", Kind::Text, "Current Version before, or empty"),
        ],
        refusals: NO_REFUSALS,
    },
    Action {
        name: "deployment.set_ramping",
        summary: "Ramp a Version to a percentage, or unset the ramp",
        effect: Effect::Idempotent,
        subject: Subject::Service,
        arguments: |g| SetRamping::json_schema(g),
        output: &[
            field("ramping", Kind::Text, "Ramping Version now, or empty"),
            field("ramp_percentage", Kind::Number, "ramp in percent"),
        ],
        refusals: NO_REFUSALS,
    },
    Action {
        name: "deployment.drainage",
        summary: "Read whether a Version still has Workflows",
        effect: Effect::Read,
        subject: Subject::Service,
        arguments: |g| Drainage::json_schema(g),
        output: &[
            field(
                "status",
                Kind::Text,
                "`current`, `ramping`, `draining`, `drained`, `inactive` (no drainage, now or ever) or `absent`",
            ),
            field(
                "running",
                Kind::Number,
                "Pinned Workflows that run there, by Visibility",
            ),
            field(
                "auto_upgrade",
                Kind::Number,
                "AutoUpgrade Workflows whose last task ran there; they move by themselves",
            ),
            field(
                "checked",
                Kind::Text,
                "when the service last checked, or empty",
            ),
        ],
        refusals: NO_REFUSALS,
    },
    Action {
        name: "deployment.delete_version",
        summary: "Delete a Version that has drained",
        effect: Effect::Idempotent,
        subject: Subject::Service,
        arguments: |g| DeleteVersion::json_schema(g),
        output: &[field("deleted", Kind::Boolean, "whether it is gone")],
        refusals: NO_REFUSALS,
    },
    Action {
        name: "decision.evaluate",
        summary: "Count the Workflows in each row of decision tables",
        effect: Effect::Read,
        subject: Subject::Service,
        arguments: |g| Evaluate::json_schema(g),
        output: &[
            field("total", Kind::Number, "Workflows in the scopes"),
            field(
                "unmatched",
                Kind::Number,
                "of these, those that no row takes",
            ),
            field(
                "rows",
                Kind::Object,
                "Workflows by row; rows that depend on the Workflow Task are counted together",
            ),
        ],
        refusals: NO_REFUSALS,
    },
    Action {
        name: "decision.apply",
        summary: "Apply each row's strategy to the Workflows that it takes",
        effect: Effect::NonIdempotent,
        subject: Subject::Decision,
        arguments: |g| Apply::json_schema(g),
        output: APPLIED,
        refusals: NO_REFUSALS,
    },
    Action {
        name: "workflows.count",
        summary: "Count Workflows by List Filter",
        effect: Effect::Read,
        subject: Subject::Service,
        arguments: |g| Count::json_schema(g),
        output: &[field(
            "count",
            Kind::Number,
            "Workflows that match, by Visibility",
        )],
        refusals: NO_REFUSALS,
    },
    Action {
        name: "workflows.list",
        summary: "List Workflows by List Filter",
        effect: Effect::Read,
        subject: Subject::Service,
        arguments: |g| List::json_schema(g),
        output: &[
            field(
                "workflows",
                Kind::List,
                "objects with id, run_id, type, status",
            ),
            field("count", Kind::Number, "how many of them"),
            field(
                "more",
                Kind::Boolean,
                "whether there were more than `limit`",
            ),
        ],
        refusals: NO_REFUSALS,
    },
    Action {
        name: "workflows.reset",
        summary: "Reset a Workflow to an earlier Workflow Task, on a Version if one is given",
        effect: Effect::NonIdempotent,
        subject: Subject::Workflow,
        arguments: |g| Reset::json_schema(g),
        output: APPLIED,
        refusals: &[
            "running_child",
            "no_completed_task",
            "never_dispatched",
            "reset_before",
            "not_resettable",
        ],
    },
    Action {
        name: "workflows.update_options",
        summary: "Set or unset a Workflow's Versioning Override",
        effect: Effect::Idempotent,
        subject: Subject::Workflow,
        arguments: |g| UpdateOptions::json_schema(g),
        output: APPLIED,
        refusals: NO_REFUSALS,
    },
    Action {
        name: "workflows.restart",
        summary: "Start a Workflow anew with its original arguments and options, terminating what runs",
        effect: Effect::NonIdempotent,
        subject: Subject::Workflow,
        arguments: |g| Restart::json_schema(g),
        output: APPLIED,
        refusals: &["child_of_running_parent"],
    },
    Action {
        name: "workflows.terminate",
        summary: "Terminate a Workflow",
        effect: Effect::Idempotent,
        subject: Subject::Workflow,
        arguments: |g| Terminate::json_schema(g),
        output: APPLIED,
        refusals: NO_REFUSALS,
    },
    Action {
        name: "workflows.verify",
        summary: "Look at each Workflow of earlier steps and say whether it is healthy",
        effect: Effect::Read,
        subject: Subject::Ledger,
        arguments: |g| Verify::json_schema(g),
        output: &[
            field(
                "healthy",
                Kind::Number,
                "completed a Workflow Task on the target since",
            ),
            field(
                "waiting",
                Kind::Number,
                "an old task has still to time out, or the new one to be taken",
            ),
            field(
                "unproven",
                Kind::Number,
                "idle: nothing has shown that it works",
            ),
            field(
                "unhealthy",
                Kind::Number,
                "failing, unpolled, lost, or failed since",
            ),
            field(
                "failing",
                Kind::Number,
                "of these, those whose Workflow Task fails on the target",
            ),
            field(
                "unpolled",
                Kind::Number,
                "of these, those whose Workflow Task nobody takes",
            ),
            field(
                "lost",
                Kind::Number,
                "of these, those that timed out or failed before a task ran on the target",
            ),
        ],
        refusals: NO_REFUSALS,
    },
    Action {
        name: "manual.task",
        summary: "Have a person do something, and record who did it",
        effect: Effect::NonIdempotent,
        subject: Subject::Person,
        arguments: |g| ManualTask::json_schema(g),
        output: &[
            field("done_by", Kind::Text, "who said so"),
            field("note", Kind::Text, "what they entered"),
        ],
        refusals: NO_REFUSALS,
    },
    Action {
        name: "assert",
        summary: "Halt unless a condition holds",
        effect: Effect::Read,
        subject: Subject::Run,
        arguments: |g| Assert::json_schema(g),
        output: &[],
        refusals: NO_REFUSALS,
    },
    Action {
        name: "wait",
        summary: "Wait for a time, or until a condition holds",
        effect: Effect::Read,
        subject: Subject::Run,
        arguments: |g| Wait::json_schema(g),
        output: &[],
        refusals: NO_REFUSALS,
    },
];

/// The action of that name.
pub fn find(name: &str) -> Option<&'static Action> {
    ACTIONS.iter().find(|action| action.name == name)
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_spelled_noun_verb() {
        let mut names: Vec<_> = ACTIONS.iter().map(|action| action.name).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(names.iter().all(|name| {
            name.chars()
                .all(|c| c.is_ascii_lowercase() || c == '.' || c == '_')
        }));
    }
}

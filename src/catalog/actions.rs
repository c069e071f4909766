//! The table of actions: name, effect, subject, output, refusals. A new action starts here; what it
//! takes is in [`super::arguments`].

use schemars::JsonSchema as _;

use super::*;

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

//! Whether a world names only what it defines: all problems at once.

use std::collections::BTreeSet;
use std::fmt;

use super::faults::Fault;
use super::populate::workflow_id;
use super::world::{Group, GroupStatus, Happening, World};

/// What is wrong with a world, all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorldError {
    /// One sentence each, without a period.
    pub problems: Vec<String>,
}

impl fmt::Display for WorldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problems.join("; "))
    }
}

impl std::error::Error for WorldError {}

pub(super) fn check(world: &World, faults: &[Fault]) -> Vec<String> {
    let mut problems = Vec::new();
    for (name, deployment) in &world.deployments {
        for build in deployment.current.iter().chain(&deployment.ramping) {
            if !deployment.versions.contains_key(build) {
                problems.push(format!(
                    "deployment `{name}` routes to `{build}`, which is not among its versions"
                ));
            }
        }
    }
    for group in &world.workflows {
        check_group(world, group, &mut problems);
    }
    for fault in faults {
        if let Some(rpc) = &fault.rpc
            && !super::rpc::NAMES.contains(&rpc.as_str())
        {
            problems.push(format!(
                "a fault names the RPC `{rpc}`, which the simulator does not serve"
            ));
        }
        if fault
            .probability
            .is_some_and(|chance| !(0.0..=1.0).contains(&chance))
        {
            problems.push("a fault's probability is from 0 to 1".to_owned());
        }
    }
    check_ids(world, &mut problems);
    check_commands(world, &mut problems);
    if !(world.batches.rate > 0.0 && world.batches.rate.is_finite()) {
        problems.push("the `rate` of batch jobs is above 0".to_owned());
    }
    problems
}

fn check_group(world: &World, group: &Group, problems: &mut Vec<String>) {
    let of = format!("the group of `{}`", group.workflow_type);
    let name = group.deployment.clone().or_else(|| only(world));
    let Some((name, deployment)) =
        name.and_then(|name| Some((name.clone(), world.deployments.get(&name)?)))
    else {
        problems.push(format!("{of} needs a `deployment` that the world has"));
        return;
    };
    if group.version.is_none() && deployment.current.is_none() {
        problems.push(format!(
            "{of} needs a `version`: deployment `{name}` has no current one"
        ));
    }
    let named = group
        .version
        .iter()
        .chain(&group.versioning_override)
        .chain(group.on.keys());
    let children = group
        .children
        .iter()
        .filter_map(|children| children.version.as_ref());
    let superseding = group
        .superseded_by
        .iter()
        .filter_map(|it| it.version.as_ref());
    for build in named.chain(children).chain(superseding) {
        if !deployment.versions.contains_key(build) {
            problems.push(format!(
                "{of} names the version `{build}`, which deployment `{name}` does not have"
            ));
        }
    }
    for happening in &group.history {
        check_happening(&of, happening, problems);
        if let Some(build) = happening
            .version
            .as_ref()
            .filter(|it| !deployment.versions.contains_key(*it))
        {
            problems.push(format!(
                "the `history` of {of} names the version `{build}`, which deployment `{name}` does not have"
            ));
        }
    }
    if group.waits.is_some() && group.status != GroupStatus::Running {
        problems.push(format!(
            "{of} waits for its first task, so it must be running"
        ));
    }
    if !group.history.is_empty() && (group.tasks == 0 || group.waits.is_some()) {
        problems.push(format!(
            "{of} has a `history`, so its first Workflow Task must have been completed"
        ));
    }
    for attribute in group.attributes.keys() {
        if !world.attributes.contains_key(attribute) {
            problems.push(format!(
                "{of} sets `{attribute}`, which is not among the world's `attributes`"
            ));
        }
    }
    if group.superseded_by.is_some() && group.status == GroupStatus::Running {
        problems.push(format!("{of} is superseded, so it cannot be running"));
    }
}

fn check_happening(of: &str, it: &Happening, problems: &mut Vec<String>) {
    let kinds = [
        it.signal.is_some(),
        it.update.is_some(),
        it.activity.is_some(),
        it.timer.is_some(),
        it.child.is_some(),
        it.failure.is_some(),
    ];
    if kinds.iter().filter(|is| **is).count() != 1 {
        problems.push(format!(
            "each entry in the `history` of {of} is one of `signal`, `update`, `activity`, `timer`, `child` and `failure`"
        ));
    }
}

fn check_commands(world: &World, problems: &mut Vec<String>) {
    if world.commands.iter().any(|it| it.argv.is_empty()) {
        problems.push("a command of the world has an empty `argv`".to_owned());
    }
}

fn check_ids(world: &World, problems: &mut Vec<String>) {
    let mut seen = BTreeSet::new();
    for group in &world.workflows {
        if !seen.insert(workflow_id(group, 0)) {
            problems.push(format!(
                "two groups begin with the Workflow ID `{}`: give one an `id`",
                workflow_id(group, 0)
            ));
        }
    }
}

/// The name of the deployment, where the world has one only.
pub(super) fn only(world: &World) -> Option<String> {
    (world.deployments.len() == 1)
        .then(|| world.deployments.keys().next().cloned())
        .flatten()
}

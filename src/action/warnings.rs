//! What will go wrong in a run, or may: sentences for whoever reads a plan. Changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::World;
use super::survey::Subject;
use crate::decision::Table;
use crate::list_filter::{Expr, Filter, Operator};
use crate::plan::{Survey, TableSurvey};
use crate::survey::{Listed, Routing, Version, VersionStatus};

const VERSION: &str = "TemporalWorkerDeploymentVersion";
const BEHAVIOR: &str = "TemporalWorkflowVersioningBehavior";

/// Workflows that may be moved to a Version, by it and their task queue.
pub(super) type Queues = BTreeMap<(Version, String), u64>;

/// Counts the task queues of those that a table's rows move.
pub(super) fn note_queues(table: &Table, listed: &[Listed], queues: &mut Queues) {
    for one in listed {
        let targets: BTreeSet<&Version> = table
            .candidates(one)
            .into_iter()
            .filter_map(|row| table.strategies[&table.rows[row].strategy].call.target())
            .collect();
        for target in targets {
            let of = (target.clone(), one.task_queue.clone());
            *queues.entry(of).or_default() += 1;
        }
    }
}

/// Adds everything to the survey.
pub(super) async fn add(world: &World, subject: &Subject, queues: &Queues, survey: &mut Survey) {
    let mut warnings = Vec::new();
    for (name, version) in &subject.versions {
        match survey.deployments.get(&version.deployment) {
            Some(Some(routing)) => {
                of_routing(name, version, subject, routing, survey, &mut warnings)
            }
            _ => warnings.push(format!(
                "`{name}`: there is no Worker Deployment `{}` in this namespace",
                version.deployment
            )),
        }
    }
    for target in targets(subject) {
        of_target(world, &target, queues, survey, &mut warnings).await;
    }
    of_auto_upgrade(world, subject, &mut warnings).await;
    of_batches(subject, &mut warnings);
    of_attributes(subject, survey, &mut warnings);
    for (name, found) in &survey.tables {
        of_table(name, found, &mut warnings);
    }
    let mut seen = BTreeSet::new();
    warnings.retain(|warning| seen.insert(warning.clone()));
    survey.warnings.extend(warnings);
}

/// What the service does not say about a batch job.
fn of_batches(subject: &Subject, warnings: &mut Vec<String>) {
    for (name, table) in &subject.tables {
        let mut calls = table.strategies.values().map(|strategy| &strategy.call);
        if let Some(call) = calls.find(|call| call.is_batch()) {
            let notes = call.batch_notes(None);
            warnings.extend(notes.into_iter().map(|note| format!("`{name}`: {note}")));
        }
    }
}

fn targets(subject: &Subject) -> BTreeSet<Version> {
    subject
        .tables
        .values()
        .flat_map(|table| table.targets())
        .collect()
}

fn of_routing(
    name: &str,
    version: &Version,
    subject: &Subject,
    routing: &Routing,
    survey: &Survey,
    warnings: &mut Vec<String>,
) {
    let receives =
        routing.current.as_ref() == Some(version) || routing.ramping.as_ref() == Some(version);
    if receives && !targets(subject).contains(version) {
        warnings.push(format!(
            "`{name}`: {version} still receives new Workflows; the counts will grow until its rollout is stopped"
        ));
    }
    let (manager, own) = (&routing.manager_identity, &survey.preflight.identity);
    if !manager.is_empty() && manager != own {
        warnings.push(format!(
            "{manager} manages the Worker Deployment `{}`; this identity ({own}) may not change its routing",
            version.deployment
        ));
    }
}

async fn of_target(
    world: &World,
    target: &Version,
    queues: &Queues,
    survey: &mut Survey,
    warnings: &mut Vec<String>,
) {
    let info = match world.temporal.describe_version(target).await {
        Err(error) => {
            warnings.push(format!("{target} could not be described: {error}"));
            return;
        }
        Ok(None) => {
            warnings.push(format!(
                "there is no Version {target}: every Workflow that is to move there will be refused"
            ));
            return;
        }
        Ok(Some(info)) => info,
    };
    let drains = match info.status {
        VersionStatus::Draining => Some("draining"),
        VersionStatus::Drained => Some("drained"),
        _ => None,
    };
    warnings.extend(drains.map(|status| {
        format!("{target} is {status}: it was rolled back itself, and its Workers may be gone")
    }));
    if info.task_queues.is_empty() {
        warnings.push(format!(
            "{target} knows no task queue: no Worker of it ever polled"
        ));
    }
    let knows = |queue: &str| info.task_queues.iter().any(|(known, _)| known == queue);
    for ((version, queue), count) in queues {
        if version == target && !info.task_queues.is_empty() && !knows(queue) {
            warnings.push(format!(
                "{target} does not know the task queue `{queue}`: {} there would be refused",
                workflows(*count)
            ));
        }
    }
    if !matches!(info.status, VersionStatus::Current | VersionStatus::Ramping) {
        // Pollers of a Version that gets no new Workflows are not listed by the service.
        survey.preflight.unknown.push(format!(
            "whether Workers of {target} poll now: the service does not tell, a canary will"
        ));
    }
}

/// AutoUpgrade Workflows that a scope leaves out only for their behaviour.
async fn of_auto_upgrade(world: &World, subject: &Subject, warnings: &mut Vec<String>) {
    let mut versions = BTreeSet::new();
    for table in subject.tables.values() {
        let pinned = table
            .scope
            .required_values(BEHAVIOR)
            .is_some_and(|wanted| !wanted.contains("AutoUpgrade"));
        if pinned {
            versions.extend(table.scope.required_values(VERSION).unwrap_or_default());
        }
    }
    for version in versions {
        let query = Filter::all([
            Filter::new(Expr::compare(VERSION, Operator::Eq, version.as_str())),
            Filter::new(Expr::compare(BEHAVIOR, Operator::Eq, "AutoUpgrade")),
            Filter::new(Expr::compare("ExecutionStatus", Operator::Eq, "Running")),
        ]);
        match world.temporal.count(&query.render()).await {
            Ok(0) => {}
            Ok(count) => warnings.push(format!(
                "{} ran last on {version} and are out of scope: they follow the Current Version by themselves",
                auto_upgrade(count)
            )),
            Err(error) => warnings.push(format!(
                "AutoUpgrade Workflows on {version} could not be counted: {error}"
            )),
        }
    }
}

/// Attributes that a query names and the namespace does not have.
fn of_attributes(subject: &Subject, survey: &Survey, warnings: &mut Vec<String>) {
    let known = &survey.preflight.attributes;
    if known.is_empty() {
        return;
    }
    for (name, table) in &subject.tables {
        let filters = std::iter::once(&table.scope)
            .chain(table.rows.iter().filter_map(|row| row.filter.as_ref()));
        let named: BTreeSet<String> = filters
            .flat_map(Filter::attributes)
            .map(|attribute| attribute.name.clone())
            .chain(table.attribute.clone())
            .collect();
        for attribute in named {
            if !known.contains_key(&attribute) {
                warnings.push(format!(
                    "{name}: the namespace has no Search Attribute `{attribute}`"
                ));
            }
        }
    }
}

fn of_table(name: &str, found: &TableSurvey, warnings: &mut Vec<String>) {
    let refused = |refusal: &str| -> u64 {
        found
            .rows
            .iter()
            .filter_map(|row| row.looked.refused.get(refusal))
            .sum()
    };
    let parents = refused("running_child");
    if parents > 0 {
        warnings.push(format!(
            "{name}: {} with running children, of those looked at, would be refused",
            workflows(parents)
        ));
    }
    if found.unmatched_total() > 0 {
        let types: Vec<String> = found
            .unmatched
            .iter()
            .map(|(name, left)| format!("{} {name}", left.count))
            .collect();
        warnings.push(format!(
            "{name}: {} in no row: {}",
            is_or_are(found.unmatched_total()),
            types.join(", ")
        ));
    }
    warnings.extend(found.gaps.iter().map(|gap| format!("{name}: {gap}")));
}

fn workflows(count: u64) -> String {
    let noun = if count == 1 { "Workflow" } else { "Workflows" };
    format!("{count} {noun}")
}

fn auto_upgrade(count: u64) -> String {
    let noun = if count == 1 { "Workflow" } else { "Workflows" };
    format!("{count} AutoUpgrade {noun}")
}

fn is_or_are(count: u64) -> String {
    let verb = if count == 1 { "is" } else { "are" };
    format!("{} {verb}", workflows(count))
}

//! What moved on the service between two surveys of the same plan, and whether the runbook tolerates it.
//!
//! Pure. Routing never may move. Counts may, as far as `tolerance:` says; without one by a tenth, because
//! Visibility is late and Workflows come and go.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;

use super::{Plan, Survey, TableSurvey};
use crate::runbook::{Bound, Runbook, StepBody, Tolerance};
use crate::survey::{Routing, Version, VersionStatus};

/// Where the runbook says nothing: a tenth, as far as a yes reaches too.
const USUAL: Bound = Bound::Percent(10.0);
/// The name of what no row takes.
const NO_ROW: &str = "(no row)";

/// One thing that is not as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Moved {
    /// What: `orders: Current`, or `running, others`.
    pub what: String,
    /// In the plan.
    pub from: String,
    /// Now.
    pub to: String,
    /// How far it may move.
    pub tolerance: String,
    /// Whether it moved further.
    pub beyond: bool,
}

impl Plan {
    /// What moved since this plan was made.
    pub fn moved(&self, runbook: &Runbook, now: &Survey) -> Vec<Moved> {
        let mut moved = Vec::new();
        let named = self.named_versions();
        for (name, to) in &now.deployments {
            let from = self.survey.deployments.get(name).and_then(Option::as_ref);
            let seen = (from, to.as_ref());
            deployment(name, seen, &named, runbook.tolerance.drainage, &mut moved);
        }
        let names: BTreeSet<&String> = self.survey.tables.keys().chain(now.tables.keys()).collect();
        let nothing = TableSurvey::default();
        for name in names {
            let of = |survey: &'_ Survey| survey.tables.get(name).cloned();
            let (from, to) = (of(&self.survey), of(now));
            let from = from.as_ref().unwrap_or(&nothing);
            table(
                runbook,
                name,
                from,
                to.as_ref().unwrap_or(&nothing),
                &mut moved,
            );
        }
        moved
    }

    /// The Versions that the parameters name, wherever in them.
    fn named_versions(&self) -> BTreeSet<String> {
        let mut named = BTreeSet::new();
        self.parameters
            .values()
            .for_each(|(_, value)| texts(value, &mut named));
        named
    }
}

fn texts(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => drop(found.insert(text.clone())),
        Value::Array(items) => items.iter().for_each(|item| texts(item, found)),
        Value::Object(entries) => entries.values().for_each(|value| texts(value, found)),
        _ => {}
    }
}

/// What may not move at all.
fn fixed(what: String, from: &str, to: &str) -> Option<Moved> {
    (from != to).then(|| Moved {
        what,
        from: from.to_owned(),
        to: to.to_owned(),
        tolerance: "none".to_owned(),
        beyond: true,
    })
}

fn deployment(
    name: &str,
    (from, to): (Option<&Routing>, Option<&Routing>),
    named: &BTreeSet<String>,
    drainage: bool,
    moved: &mut Vec<Moved>,
) {
    let (from, to) = match (from, to) {
        (Some(from), Some(to)) => (from, to),
        (None, None) => return,
        (from, _) => {
            let (is, was) = ("there", "not there");
            let seen = if from.is_some() { (is, was) } else { (was, is) };
            moved.extend(fixed(format!("{name}: the deployment"), seen.0, seen.1));
            return;
        }
    };
    let before = moved.len();
    for (what, of) in [
        ("Current", current as fn(&Routing) -> String),
        ("Ramping", ramping),
        ("Manager", manager),
    ] {
        moved.extend(fixed(format!("{name}: {what}"), &of(from), &of(to)));
    }
    if moved.len() == before && from.conflict_token != to.conflict_token {
        moved.push(Moved {
            what: format!("{name}: routing"),
            from: "as now".to_owned(),
            to: "changed meanwhile, and back".to_owned(),
            tolerance: "as it is now".to_owned(),
            beyond: false,
        });
    }
    let all: BTreeSet<&Version> = [from, to]
        .into_iter()
        .flat_map(|routing| routing.versions.iter().map(|info| &info.version))
        .collect();
    for version in all {
        let seen = (status(from, version), status(to, version));
        moved.extend(version_moved(version, seen, named, drainage));
    }
}

fn current(routing: &Routing) -> String {
    let none = || "none (unversioned Workers)".to_owned();
    routing
        .current
        .as_ref()
        .map_or_else(none, ToString::to_string)
}

fn ramping(routing: &Routing) -> String {
    match (&routing.ramping, routing.ramping_unversioned) {
        (Some(version), _) => format!("{version}, {} %", routing.ramp_percentage),
        (None, true) => format!("unversioned Workers, {} %", routing.ramp_percentage),
        (None, false) => "none".to_owned(),
    }
}

fn manager(routing: &Routing) -> String {
    match routing.manager_identity.as_str() {
        "" => "none".to_owned(),
        identity => identity.to_owned(),
    }
}

fn status(routing: &Routing, version: &Version) -> Option<VersionStatus> {
    let mut versions = routing.versions.iter();
    Some(versions.find(|info| info.version == *version)?.status)
}

/// Current and Ramping follow from the routing, which is told by itself.
fn version_moved(
    version: &Version,
    (from, to): (Option<VersionStatus>, Option<VersionStatus>),
    named: &BTreeSet<String>,
    drainage: bool,
) -> Option<Moved> {
    let word = |status: Option<VersionStatus>| {
        status.map_or_else(
            || "not there".to_owned(),
            |it| format!("{it:?}").to_lowercase(),
        )
    };
    let drains = |status: Option<VersionStatus>| {
        matches!(
            status,
            Some(VersionStatus::Draining | VersionStatus::Drained)
        )
    };
    let mut moved = fixed(version.to_string(), &word(from), &word(to))?;
    if !named.contains(&version.to_string()) {
        moved.tolerance = "any: no parameter names it".to_owned();
        moved.beyond = false;
    } else if drainage && drains(from) && drains(to) {
        moved.tolerance = "drainage".to_owned();
        moved.beyond = false;
    }
    Some(moved)
}

fn table(
    runbook: &Runbook,
    name: &str,
    from: &TableSurvey,
    to: &TableSurvey,
    moved: &mut Vec<Moved>,
) {
    let rows: Vec<&str> = {
        let mut seen = BTreeSet::new();
        let all = from.rows.iter().chain(&to.rows);
        let ids = all.map(|row| row.row.as_str());
        ids.filter(|id| seen.insert(*id)).collect()
    };
    let count = |survey: &TableSurvey, row: &str| survey.row(row).map_or(0, |row| row.count);
    for row in rows {
        let of_row = if row == name {
            name.to_owned()
        } else {
            format!("{name}, {row}")
        };
        let bound = bound(runbook, name, Some(row));
        moved.extend(counted(of_row, count(from, row), count(to, row), bound));
    }
    let left = (from.unmatched_total(), to.unmatched_total());
    let what = format!("{name}, {NO_ROW}");
    moved.extend(counted(what, left.0, left.1, bound(runbook, name, None)));
}

fn counted(what: String, from: u64, to: u64, bound: Option<Bound>) -> Option<Moved> {
    if from == to {
        return None;
    }
    let most = allowed(bound.unwrap_or(USUAL), from, to);
    let tolerance = match bound {
        Some(Bound::Count(_)) => most.to_string(),
        Some(Bound::Percent(percent)) => format!("{most} ({percent} %)"),
        None => format!("{most} (10 %, where nothing is declared)"),
    };
    Some(Moved {
        what,
        from: from.to_string(),
        to: to.to_string(),
        tolerance,
        beyond: from.abs_diff(to) > most,
    })
}

/// How many more or fewer there may be. A share is at least one Workflow, but never lets a row appear that was
/// empty, or vanish that was not: another set of rows is another plan.
fn allowed(bound: Bound, from: u64, to: u64) -> u64 {
    match bound {
        Bound::Count(most) => most,
        Bound::Percent(percent) if from == 0 || to == 0 => {
            if percent >= 100.0 {
                from
            } else {
                0
            }
        }
        share @ Bound::Percent(_) => share.of(from),
    }
}

/// What is declared for a row, or for what no row takes; the narrowest where several steps use the table.
fn bound(runbook: &Runbook, table: &str, row: Option<&str>) -> Option<Bound> {
    let Tolerance {
        workflows, steps, ..
    } = &runbook.tolerance;
    let uses = |step: &&crate::runbook::Step| match &step.body {
        StepBody::Action { with, .. } => {
            step.id == table || with.get("decision").and_then(Value::as_str) == Some(table)
        }
        StepBody::Repeat { .. } => false,
    };
    let declared = runbook
        .all_steps()
        .into_iter()
        .filter(uses)
        .filter_map(|step| {
            let of_step = steps.get(&step.id)?;
            let of_row = row.and_then(|row| of_step.rows.get(row)).copied();
            of_row.or(of_step.workflows)
        });
    // By what each lets through of a thousand: an order of numbers and shares that does not depend on the table.
    declared.min_by_key(|bound| bound.of(1_000)).or(*workflows)
}

#[cfg(test)]
mod tests;

//! Residents become groups: those that differ in nothing that a rehearsal knows are one.

use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;
use serde_json::{Map, Value, json};

use super::{STAND_IN, Sitting, ago, is_open};
use crate::action::population::{Resident, version_of};
use crate::survey::{AttributeValue, Behavior, Listed, Look, Override, Status, Version};

/// What is the same for all of a group.
type Traits = Map<String, Value>;

/// A group that grows.
#[derive(Default)]
struct Growing {
    count: u64,
    /// Ages in seconds, the greatest; of what closed, the smallest.
    started: Option<u64>,
    closed: Option<u64>,
    failing: Option<u64>,
    id: Option<String>,
}

/// What a look adds to a listing.
#[derive(Clone, Default)]
struct Seen {
    task: Option<&'static str>,
    failing: Option<u64>,
    moved: Option<Version>,
    ran_on: Option<Version>,
    follows: bool,
    superseded: Option<Status>,
}

/// The groups, as a rehearsal file has them.
pub(super) fn groups(
    sitting: &Sitting<'_>,
    attributes: &BTreeMap<String, String>,
    cautions: &mut Vec<String>,
) -> Vec<Value> {
    let residents = &sitting.population.residents;
    let children = children(residents);
    let absorbed: BTreeSet<usize> = children.values().flatten().copied().collect();
    let unseen = unseen(residents);
    let mut growing: IndexMap<String, (Traits, Growing)> = IndexMap::new();
    for (index, one) in residents.iter().enumerate() {
        if absorbed.contains(&index) {
            continue;
        }
        let seen = unseen[index].map_or_else(Seen::default, |like| seen(sitting, &residents[like]));
        let mut traits = traits(sitting, one, &seen, attributes, cautions);
        if let Some(of) = children.get(&index) {
            let child = &residents[of[0]];
            let looked = unseen[of[0]]
                .map_or_else(Seen::default, |like| self::seen(sitting, &residents[like]));
            let mut trait_of = json!({ "type": child.listed.workflow_type, "count": of.len() });
            if let Some(task) = looked.task {
                trait_of["task"] = json!(task);
            }
            traits.insert("children".to_owned(), trait_of);
        }
        let mut key = Value::Object(traits.clone()).to_string();
        if sitting.ids {
            key.push_str(&one.listed.key.run_id);
        }
        let (_, group) = growing
            .entry(key)
            .or_insert_with(|| (traits, Growing::default()));
        group.add(sitting, one, &seen);
    }
    named(growing, sitting.ids)
}

impl Growing {
    fn add(&mut self, sitting: &Sitting<'_>, one: &Resident, seen: &Seen) {
        let now = sitting.plan.created;
        self.count += one.stands_for;
        self.started = self.started.max(ago(one.listed.start_time, now));
        let closed = ago(one.listed.close_time, now);
        self.closed = [self.closed, closed].into_iter().flatten().min();
        self.failing = self.failing.max(seen.failing);
        self.id = sitting.ids.then(|| one.listed.key.workflow_id.clone());
    }
}

/// Ids that no two groups share: made up, unless they were asked for.
fn named(growing: IndexMap<String, (Traits, Growing)>, keep: bool) -> Vec<Value> {
    let mut taken: BTreeSet<String> = BTreeSet::new();
    let mut groups = Vec::new();
    for (index, (traits, group)) in growing.into_values().enumerate() {
        let kind = traits["type"].as_str().unwrap_or_default();
        let kind: String = kind
            .chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() {
                    c.to_ascii_lowercase()
                } else {
                    '-'
                }
            })
            .collect();
        let made_up = format!("{kind}-{}", index + 1);
        // A Workflow ID may have several runs; one of them keeps it.
        let own = group
            .id
            .filter(|id| keep && !id.contains("{n}") && !taken.contains(id));
        let id = own.unwrap_or(made_up);
        taken.insert(id.clone());
        let mut all = Map::new();
        for (key, value) in traits {
            let is_type = key == "type";
            all.insert(key, value);
            if is_type {
                all.insert("id".to_owned(), json!(id));
                all.insert("count".to_owned(), json!(group.count));
            }
        }
        let ages = [
            ("started", group.started),
            ("closed", group.closed),
            ("failing_for", group.failing),
        ];
        for (key, seconds) in ages {
            all.extend(seconds.map(|seconds| (key.to_owned(), json!(format!("{seconds}s")))));
        }
        groups.push(Value::Object(all));
    }
    groups
}

/// For each resident the one whose look speaks for it: its own, else those of residents that are listed alike, in
/// turn, so that their shares stay.
fn unseen(residents: &[Resident]) -> Vec<Option<usize>> {
    let alike = |listed: &Listed| {
        let version = version_of(listed).map(|version| version.to_string());
        (
            listed.workflow_type.clone(),
            listed.status,
            version,
            listed.task_queue.clone(),
        )
    };
    let mut looked: BTreeMap<_, Vec<usize>> = BTreeMap::new();
    for (index, one) in residents.iter().enumerate() {
        if one.look.is_some() {
            looked.entry(alike(&one.listed)).or_default().push(index);
        }
    }
    let mut turns: BTreeMap<_, usize> = BTreeMap::new();
    let speaks_for = |(index, one): (usize, &Resident)| {
        if one.look.is_some() {
            return Some(index);
        }
        let key = alike(&one.listed);
        let those = looked.get(&key)?;
        let turn = turns.entry(key).or_default();
        *turn += 1;
        Some(those[(*turn - 1) % those.len()])
    };
    residents.iter().enumerate().map(speaks_for).collect()
}

/// Running children by their running parent, where the parent is here, all its children here are of one type on its
/// own Version, and none has children itself: a rehearsal's group says no more of them.
fn children(residents: &[Resident]) -> BTreeMap<usize, Vec<usize>> {
    let by_run: BTreeMap<&str, usize> = residents
        .iter()
        .enumerate()
        .filter(|(_, one)| is_open(one) && one.stands_for == 1)
        .map(|(index, one)| (one.listed.key.run_id.as_str(), index))
        .collect();
    let mut families: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (index, one) in residents.iter().enumerate() {
        let parent = one.listed.parent.as_ref();
        if let Some(parent) = parent.and_then(|key| by_run.get(key.run_id.as_str()))
            && by_run.contains_key(one.listed.key.run_id.as_str())
        {
            families.entry(*parent).or_default().push(index);
        }
    }
    let parents: BTreeSet<usize> = families.keys().copied().collect();
    families.retain(|parent, children| {
        let listed = |index: usize| &residents[index].listed;
        let first = listed(children[0]);
        let alike = |child: &usize| {
            let child_of = listed(*child);
            child_of.workflow_type == first.workflow_type
                && child_of.task_queue == listed(*parent).task_queue
                && version_of(child_of) == version_of(listed(*parent))
                && !parents.contains(child)
        };
        children.iter().all(alike) && listed(*parent).parent.is_none()
    });
    families
}

fn seen(sitting: &Sitting<'_>, one: &Resident) -> Seen {
    let Some(look) = &one.look else {
        return Seen::default();
    };
    let now = sitting.plan.created;
    let task = look.pending_task.as_ref().filter(|_| is_open(one));
    let moved = match &look.versioning_override {
        Some(Override::Pinned { version } | Override::OneTime { version }) => Some(version.clone()),
        _ => None,
    };
    Seen {
        task: task.map(|task| match (task.attempt > 1, task.started) {
            (true, _) => "failing",
            (false, true) => "progressing",
            (false, false) => "unpolled",
        }),
        failing: task
            .filter(|task| task.attempt > 1)
            .and_then(|task| ago(task.original_scheduled, now)),
        moved,
        ran_on: look.deployment_version.clone(),
        follows: look.behavior == Behavior::AutoUpgrade,
        superseded: superseded(one, look),
    }
}

fn superseded(one: &Resident, look: &Look) -> Option<Status> {
    let other = look.current.run_id != one.listed.key.run_id && !is_open(one);
    other.then_some(look.current.status)
}

fn traits(
    sitting: &Sitting<'_>,
    one: &Resident,
    seen: &Seen,
    attributes: &BTreeMap<String, String>,
    cautions: &mut Vec<String>,
) -> Traits {
    let listed = &one.listed;
    let mut caution = |text: String| {
        if !cautions.contains(&text) {
            cautions.push(text);
        }
    };
    let mut traits = Traits::new();
    let mut put = |key: &str, value: Value| drop(traits.insert(key.to_owned(), value));
    put("type", json!(listed.workflow_type));
    match (version_of(listed), &seen.moved) {
        (Some(version), moved) => {
            let here = |other: &&Version| other.deployment == version.deployment;
            let ran_on = seen
                .ran_on
                .as_ref()
                .filter(here)
                .filter(|_| moved.is_some());
            put("deployment", json!(version.deployment));
            put("version", json!(ran_on.unwrap_or(&version).build_id));
            if let Some(moved) = moved.as_ref().filter(here) {
                put("versioning_override", json!(moved.build_id));
            }
        }
        (None, _) => {
            caution(
                "Workflows without a Version are put on one that stands in for their Workers"
                    .to_owned(),
            );
            put("deployment", json!(STAND_IN.0));
            put("version", json!(STAND_IN.1));
        }
    }
    if seen.follows || version_of(listed).is_none() || follows(listed) {
        put("behavior", json!("auto_upgrade"));
    }
    match listed.status {
        Status::Running => {}
        Status::Paused => caution("paused Workflows run here".to_owned()),
        status => put("status", json!(super::snake(status.name()))),
    }
    put("task_queue", json!(listed.task_queue));
    if let Some(task) = seen.task {
        put("task", json!(task));
    }
    if let Some(status) = seen.superseded {
        match elsewhere(sitting, listed) {
            Some(version) => {
                let status = if status.is_open() {
                    "running".to_owned()
                } else {
                    super::snake(status.name())
                };
                put(
                    "superseded_by",
                    json!({ "status": status, "version": version }),
                );
            }
            None => caution(
                "some closed Workflows were superseded by another run, and are not here".to_owned(),
            ),
        }
    }
    let values = attributes
        .keys()
        .filter_map(|name| Some((name.clone(), plain(listed.attributes.get(name)?))));
    let values: Map<String, Value> = values.collect();
    if !values.is_empty() {
        put("attributes", Value::Object(values));
    }
    traits
}

fn follows(listed: &Listed) -> bool {
    let behavior = listed.attributes.get("TemporalWorkflowVersioningBehavior");
    matches!(behavior, Some(AttributeValue::Keyword(text)) if text == "AutoUpgrade")
}

/// A Version beside the Workflow's own: what supersedes it is not to be found where it was, because what is there is
/// in the listing itself.
fn elsewhere(sitting: &Sitting<'_>, listed: &Listed) -> Option<String> {
    let own = version_of(listed)?;
    let routing = sitting
        .population
        .deployments
        .get(&own.deployment)?
        .as_ref()?;
    let current = routing.current.iter();
    let others = current.chain(routing.versions.iter().map(|info| &info.version));
    let mut others =
        others.filter(|version| **version != own && version.deployment == own.deployment);
    others.next().map(|version| version.build_id.clone())
}

fn plain(value: &AttributeValue) -> Value {
    match value {
        AttributeValue::Keyword(text) | AttributeValue::Text(text) => json!(text),
        AttributeValue::KeywordList(items) => json!(items),
        AttributeValue::Int(number) => json!(number),
        AttributeValue::Double(number) => json!(number),
        AttributeValue::Bool(truth) => json!(truth),
        AttributeValue::Datetime(at) => json!(at.to_string()),
    }
}

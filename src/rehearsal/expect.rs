//! What must be true when a scenario has ended, and what of it is not: read from the journal and from
//! what the simulated service knows.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::record::{Body, Record, StepStatus};
use crate::runbook::Event;
use crate::simulator::{BatchFacts, Facts, WorkflowFacts};
use crate::survey::Status;

/// What must be true at the end.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Expect {
    /// Exit codes of `exec` and of each `resume`, in order; a kill is 137. Without it: the last one is 0.
    pub exits: Option<Vec<u8>>,
    /// Steps.
    pub steps: BTreeMap<String, ExpectStep>,
    /// Groups of Workflows.
    pub workflows: Vec<ExpectWorkflows>,
    /// Versions, as `DEPLOYMENT:BUILD`: a status in lower case, or `absent`.
    pub versions: BTreeMap<String, String>,
    /// Build ID of the Current Version, by deployment.
    pub current: BTreeMap<String, String>,
    /// Batch jobs.
    pub batches: Vec<ExpectBatches>,
    /// Locks by name: the run that has each at the end, or `free`.
    pub locks: BTreeMap<String, String>,
    /// What `notify` tells, in order: parked, failed, finished.
    #[schemars(with = "Option<Vec<String>>", extend("items" = { "type": "string", "enum": ["parked", "failed", "finished"] }))]
    pub notified: Option<Vec<Event>>,
    /// How many questions were asked.
    pub questions: Option<u32>,
    /// How many writes reached the service, those of locks left out.
    pub writes: Option<u64>,
}

/// What must be true of a step.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ExpectStep {
    /// How it ended: succeeded, skipped, failed, halted, accepted.
    pub status: Option<String>,
    /// Fields of its output.
    pub output: BTreeMap<String, Value>,
    /// What its message holds.
    pub message: Option<String>,
}

/// What must be true of each Workflow of a type, or with an id that begins so.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ExpectWorkflows {
    /// Workflow Type.
    #[serde(rename = "type")]
    pub workflow_type: Option<String>,
    /// How their Workflow IDs begin.
    pub id: Option<String>,
    /// How many there are.
    pub count: Option<usize>,
    /// Status of the current run, as a List Filter spells it.
    pub status: Option<String>,
    /// Where it goes, as `DEPLOYMENT:BUILD`.
    pub version: Option<String>,
    /// The Version that completed its last Workflow Task.
    pub ran_on: Option<String>,
    /// Resets, by anybody.
    pub resets: Option<u32>,
    /// Starts over an earlier run.
    pub restarts: Option<u32>,
    /// Changes of the Versioning Override.
    pub moves: Option<u32>,
    /// Runs that it has.
    pub runs: Option<usize>,
    /// Signals in the history of the current run, by name; one that is not named here may be there.
    pub signals: BTreeMap<String, usize>,
    /// What its Queries answer, by name.
    pub query: BTreeMap<String, Value>,
    /// Cancellation requests, by anybody.
    pub cancels: Option<u32>,
    /// Terminations by a call.
    pub terminations: Option<u32>,
    /// Who closed it: the identity that terminated it, or asked for its cancellation.
    pub closed_by: Option<String>,
    /// The reason of its termination.
    pub reason: Option<String>,
}

/// What must be true of the batch jobs whose ids begin so.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ExpectBatches {
    /// How their ids begin; by default every job.
    pub id: String,
    /// How many there are; by default at least one.
    pub count: Option<usize>,
    /// `running`, `completed` or `failed`, each.
    pub state: Option<String>,
    /// Workflows that each found.
    pub total: Option<i64>,
    /// Operations that each took for done.
    pub complete: Option<i64>,
    /// Operations of each that failed.
    pub failed: Option<i64>,
}

/// Expectations that do not hold.
pub(super) fn check(
    expect: &Expect,
    records: &[Record],
    facts: &Facts,
    exits: &[u8],
    writes: usize,
) -> Vec<String> {
    let mut failures = Vec::new();
    match &expect.exits {
        Some(wanted) if wanted != exits => {
            failures.push(format!("exit codes are {exits:?}, expected {wanted:?}"))
        }
        None => failures.extend(
            exits
                .last()
                .filter(|code| **code != 0)
                .map(|code| format!("it ends with exit code {code}, expected 0")),
        ),
        _ => {}
    }
    check_steps(expect, records, &mut failures);
    for group in &expect.workflows {
        check_workflows(group, facts, &mut failures);
    }
    for jobs in &expect.batches {
        check_batches(jobs, facts, &mut failures);
    }
    for (version, wanted) in &expect.versions {
        let is = facts.versions.get(version).map_or("absent", String::as_str);
        if is != wanted {
            failures.push(format!("Version {version} is {is}, expected {wanted}"));
        }
    }
    for (deployment, wanted) in &expect.current {
        let is = facts
            .deployments
            .get(deployment)
            .and_then(|routing| routing.current.as_deref())
            .unwrap_or("none");
        if is != wanted {
            failures.push(format!(
                "the Current Version of {deployment} is {is}, expected {wanted}"
            ));
        }
    }
    for (name, wanted) in &expect.locks {
        let lock = facts.locks.get(name);
        let is = lock
            .and_then(|lock| lock.held_by.as_deref())
            .unwrap_or("free");
        if is != wanted {
            failures.push(format!("the lock `{name}` is {is}, expected {wanted}"));
        }
    }
    let questions = u32::try_from(
        records
            .iter()
            .filter(|record| matches!(record.body, Body::Asked { .. }))
            .count(),
    )
    .unwrap_or(u32::MAX);
    if let Some(wanted) = expect.questions.filter(|wanted| *wanted != questions) {
        failures.push(format!(
            "{questions} questions were asked, expected {wanted}"
        ));
    }
    if let Some(wanted) = expect.writes.filter(|wanted| *wanted != writes as u64) {
        failures.push(format!(
            "{writes} writes reached the service, expected {wanted}"
        ));
    }
    failures
}

fn check_steps(expect: &Expect, records: &[Record], failures: &mut Vec<String>) {
    for (id, wanted) in &expect.steps {
        let last = records.iter().rev().find_map(|record| match &record.body {
            Body::StepEnded {
                place,
                status,
                output,
                message,
            } if place.step == *id => Some((*status, output, message)),
            _ => None,
        });
        let Some((status, output, message)) = last else {
            if wanted.status.as_deref() != Some("not reached") {
                failures.push(format!("step `{id}` was not reached"));
            }
            continue;
        };
        let name = status_name(status);
        if wanted.status.as_ref().is_some_and(|wanted| wanted != name) {
            failures.push(format!(
                "step `{id}` {name} ({message}), expected {}",
                wanted.status.as_deref().unwrap_or_default()
            ));
        }
        for (field, value) in &wanted.output {
            let is = output.get(field).unwrap_or(&Value::Null);
            if is != value {
                failures.push(format!(
                    "`{field}` of step `{id}` is {is}, expected {value}"
                ));
            }
        }
        if let Some(part) = wanted
            .message
            .as_ref()
            .filter(|part| !message.contains(*part))
        {
            failures.push(format!(
                "step `{id}` says \"{message}\", expected \"{part}\""
            ));
        }
    }
}

fn status_name(status: StepStatus) -> &'static str {
    match status {
        StepStatus::Succeeded => "succeeded",
        StepStatus::Skipped => "skipped",
        StepStatus::Failed => "failed",
        StepStatus::Halted => "halted",
        StepStatus::Accepted => "accepted",
        StepStatus::Rehearsed => "rehearsed",
    }
}

fn check_workflows(wanted: &ExpectWorkflows, facts: &Facts, failures: &mut Vec<String>) {
    let name = wanted
        .workflow_type
        .clone()
        .or(wanted.id.clone())
        .unwrap_or_default();
    let found = facts.workflows.iter().filter(|(id, workflow)| {
        wanted
            .workflow_type
            .as_ref()
            .is_none_or(|name| workflow.workflow_type == *name)
            && wanted
                .id
                .as_ref()
                .is_none_or(|start| id.starts_with(start.as_str()))
    });
    let mut count = 0;
    let mut shown = 0;
    for (id, is) in found {
        count += 1;
        let wrong = differences(wanted, is);
        if !wrong.is_empty() {
            shown += 1;
            if shown <= 3 {
                failures.push(format!("Workflow {id}: {}", wrong.join(", ")));
            }
        }
    }
    if shown > 3 {
        failures.push(format!(
            "{} more Workflows of {name} are not as expected",
            shown - 3
        ));
    }
    if let Some(wanted) = wanted.count.filter(|wanted| *wanted != count) {
        failures.push(format!(
            "there are {count} Workflows of {name}, expected {wanted}"
        ));
    }
}

/// How a Workflow differs from what is expected of it.
fn differences(wanted: &ExpectWorkflows, is: &WorkflowFacts) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut compare = |what: &str, is: String, wanted: Option<String>| {
        if let Some(wanted) = wanted.filter(|wanted| *wanted != is) {
            wrong.push(format!("{what} is {is}, expected {wanted}"));
        }
    };
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".to_owned());
    let number = |value: Option<u32>| value.map(|n| n.to_string());
    compare(
        "status",
        Status::name(is.status).to_owned(),
        wanted.status.clone(),
    );
    compare("Version", text(&is.version), wanted.version.clone());
    compare(
        "last Version that ran it",
        text(&is.ran_on),
        wanted.ran_on.clone(),
    );
    for (what, is, wanted) in [
        ("number of resets", is.done.resets, wanted.resets),
        ("number of restarts", is.done.restarts, wanted.restarts),
        ("number of moves", is.done.moves, wanted.moves),
        (
            "number of cancellation requests",
            is.done.cancels,
            wanted.cancels,
        ),
        (
            "number of terminations",
            is.done.terminations,
            wanted.terminations,
        ),
    ] {
        compare(what, is.to_string(), number(wanted));
    }
    compare(
        "number of runs",
        is.runs.to_string(),
        wanted.runs.map(|n| n.to_string()),
    );
    compare(
        "who closed it",
        text(&is.closed_by),
        wanted.closed_by.clone(),
    );
    compare("reason", text(&is.reason), wanted.reason.clone());
    for (name, wanted) in &wanted.signals {
        let is = is.signals_by_name.get(name).copied().unwrap_or_default();
        compare(
            &format!("number of Signals `{name}`"),
            is.to_string(),
            Some(wanted.to_string()),
        );
    }
    for (name, wanted) in &wanted.query {
        let is = is
            .queries
            .get(name)
            .map_or_else(|| "unknown".to_owned(), Value::to_string);
        compare(&format!("Query `{name}`"), is, Some(wanted.to_string()));
    }
    wrong
}

fn check_batches(wanted: &ExpectBatches, facts: &Facts, failures: &mut Vec<String>) {
    let found: Vec<_> = facts
        .batches
        .iter()
        .filter(|(id, _)| id.starts_with(wanted.id.as_str()))
        .collect();
    let name = &wanted.id;
    match wanted.count {
        Some(count) if count != found.len() => failures.push(format!(
            "there are {} batch jobs `{name}…`, expected {count}",
            found.len()
        )),
        None if found.is_empty() => failures.push(format!("there is no batch job `{name}…`")),
        _ => {}
    }
    for (id, is) in found {
        for (what, is, wanted) in batch_fields(wanted, is) {
            if wanted.as_ref().is_some_and(|wanted| *wanted != is) {
                let wanted = wanted.unwrap_or_default();
                failures.push(format!(
                    "{what} of batch job {id} is {is}, expected {wanted}"
                ));
            }
        }
    }
}

/// What is compared of a job: name, what it is, what it should be.
fn batch_fields(
    wanted: &ExpectBatches,
    is: &BatchFacts,
) -> [(&'static str, String, Option<String>); 4] {
    let number = |n: Option<i64>| n.map(|n| n.to_string());
    [
        ("state", is.state.clone(), wanted.state.clone()),
        ("total", is.counts.total.to_string(), number(wanted.total)),
        (
            "complete",
            is.counts.complete.to_string(),
            number(wanted.complete),
        ),
        (
            "failed",
            is.counts.failed.to_string(),
            number(wanted.failed),
        ),
    ]
}

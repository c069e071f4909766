//! The steps of a run as its plan has them, also those that have not begun: what a display of the whole run
//! is drawn along.
//!
//! Knows the runbook and what was counted; knows nothing of what became of either.

use serde_json::Value;

use crate::runbook::{Runbook, Step, StepBody};

/// A step of the plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlannedStep {
    /// Step id.
    pub step: String,
    /// Title; empty where it has none.
    pub title: String,
    /// The loop around it.
    pub parent: Option<String>,
    /// Loops around it.
    pub depth: usize,
    /// What its Workflows are divided into, in the order of the table; under the step's id where it has no table.
    pub rows: Vec<PlannedRow>,
}

/// A row, with what the plan counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlannedRow {
    /// Row id.
    pub row: String,
    /// Workflows; none where the plan did not count them.
    pub count: Option<u64>,
}

/// All steps in order. `tables` is the plan's survey of them, as data.
pub(super) fn outline(runbook: &Runbook, tables: &Value) -> Vec<PlannedStep> {
    let mut planned = Vec::new();
    add(&runbook.steps, None, 0, runbook, tables, &mut planned);
    planned
}

fn add(
    steps: &[Step],
    parent: Option<&str>,
    depth: usize,
    runbook: &Runbook,
    tables: &Value,
    planned: &mut Vec<PlannedStep>,
) {
    for step in steps {
        planned.push(PlannedStep {
            step: step.id.clone(),
            title: step.title.clone().unwrap_or_default(),
            parent: parent.map(str::to_owned),
            depth,
            rows: rows(step, runbook, tables),
        });
        if let StepBody::Repeat { steps, .. } = &step.body {
            add(steps, Some(&step.id), depth + 1, runbook, tables, planned);
        }
    }
}

fn rows(step: &Step, runbook: &Runbook, tables: &Value) -> Vec<PlannedRow> {
    let StepBody::Action { with, .. } = &step.body else {
        return Vec::new();
    };
    let decision = with.get("decision").and_then(Value::as_str);
    let Some((name, decision)) = decision.and_then(|name| runbook.decisions.get_key_value(name))
    else {
        let total = &tables[&step.id]["total"];
        return match total.as_u64() {
            Some(count) => vec![PlannedRow {
                row: step.id.clone(),
                count: Some(count),
            }],
            None => Vec::new(),
        };
    };
    let counted = tables[name]["rows"].as_array();
    let count = |row: &str| {
        let found = counted?.iter().find(|known| known["row"] == row)?;
        found["count"].as_u64()
    };
    let rows = decision.rows.iter();
    rows.map(|row| PlannedRow {
        row: row.id.clone(),
        count: count(&row.id),
    })
    .collect()
}

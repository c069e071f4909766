//! How a run comes to be: runbook and parameters, surveyed, become a plan; a plan, or the journal of an
//! earlier attachment, becomes a machine.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::action::World;
use crate::action::survey::{Subject, survey};
use crate::catalog::{self, Subject as Of};
use crate::decision::Table;
use crate::diagnostic::Diagnostic;
use crate::plan::Plan;
use crate::record::{Body, Record, RunId};
use crate::runbook::{EvalError, ParameterType, Parameters, Runbook, Scope, Step, StepBody};
use crate::steps::{Machine, Problem};
use crate::survey::Version;

/// Why there is no plan.
#[derive(Clone, Debug)]
pub enum Unplanned {
    /// An expression of the runbook cannot be evaluated with these parameters.
    Expression(String),
    /// A check does not hold: what it says.
    Check(Vec<String>),
    /// The service cannot be read.
    Service(Problem),
    /// The runbook's guards do not allow what was counted.
    Guards(Vec<Diagnostic>),
}

impl From<EvalError> for Unplanned {
    fn from(error: EvalError) -> Self {
        Self::Expression(error.to_string())
    }
}

/// Checks, then surveys the service with at most `looks` looks a row.
///
/// # Errors
/// See [`Unplanned`]. Nothing was read where a check does not hold.
pub async fn plan(
    world: &World,
    runbook: &Runbook,
    parameters: Parameters,
    looks: usize,
) -> Result<Plan, Unplanned> {
    let scope = runbook.scope(&parameters, &BTreeMap::new(), &run_value(&world.run));
    let failed = runbook.failed_checks(&scope)?;
    if !failed.is_empty() {
        return Err(Unplanned::Check(
            failed
                .into_iter()
                .map(|check| check.otherwise.clone())
                .collect(),
        ));
    }
    let subject = subject(runbook, &parameters, &scope, looks)?;
    let survey = survey(world, &subject).await.map_err(Unplanned::Service)?;
    let beyond = survey.beyond_guards(runbook, &[], |_| 0);
    if !beyond.is_empty() {
        return Err(Unplanned::Guards(beyond));
    }
    Ok(Plan::new(runbook, parameters, survey, world.clock.now()))
}

fn run_value(run: &RunId) -> Value {
    // What only the run will know is read in no query, row or strategy.
    serde_json::json!({ "id": run.0, "started_at": "", "user": "", "host": "" })
}

/// What a plan of this runbook has to look at.
///
/// # Errors
/// Where an expression cannot be evaluated. A query that only a later step makes known is left out.
pub fn subject(
    runbook: &Runbook,
    parameters: &Parameters,
    scope: &Scope,
    looks: usize,
) -> Result<Subject, EvalError> {
    let mut tables = BTreeMap::new();
    for step in runbook.all_steps() {
        for (name, table) in tables_of(runbook, step, scope) {
            match table {
                Ok(table) => {
                    tables.insert(name, Arc::new(table));
                }
                Err(EvalError::UnknownUntil { .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }
    let versions = runbook
        .params
        .iter()
        .filter(|(_, parameter)| parameter.kind == ParameterType::Version)
        .filter_map(|(name, _)| {
            Some((
                name.clone(),
                Version::parse(parameters.get(name)?.as_str()?)?,
            ))
        })
        .collect();
    Ok(Subject {
        versions,
        tables,
        looks,
    })
}

/// The tables that a step applies or counts, under the names that a plan keeps them by.
fn tables_of(
    runbook: &Runbook,
    step: &Step,
    scope: &Scope,
) -> Vec<(String, Result<Table, EvalError>)> {
    let StepBody::Action { action, with } = &step.body else {
        return Vec::new();
    };
    let prepare = |name: &str| (name.to_owned(), Table::prepare(runbook, name, scope));
    match catalog::find(action).map(|action| action.subject) {
        Some(Of::Decision) => with
            .get("decision")
            .and_then(Value::as_str)
            .map(prepare)
            .into_iter()
            .collect(),
        Some(Of::Workflow) => vec![(
            step.id.clone(),
            Table::known_before(runbook, &step.id, scope),
        )],
        _ if action == "decision.evaluate" => {
            let names = with
                .get("decisions")
                .and_then(Value::as_array)
                .into_iter()
                .flatten();
            names.filter_map(Value::as_str).map(prepare).collect()
        }
        _ => Vec::new(),
    }
}

/// The machine of a run whose journal begins with `opened`, before anything else is folded.
///
/// # Errors
/// Where the record holds no plan of this version, or an edited one.
pub fn machine_of(
    opened: &Record,
    secrets: impl FnOnce(&Runbook, Parameters) -> Result<Parameters, String>,
) -> Result<Machine, String> {
    let Body::Opened { plan, run, dry, .. } = &opened.body else {
        return Err("the journal does not begin with a plan".to_owned());
    };
    let plan: Plan = serde_json::from_value((**plan).clone())
        .map_err(|error| format!("its plan cannot be read: {error}"))?;
    if !plan.is_intact() {
        return Err("its plan was edited: the digest does not fit".to_owned());
    }
    let runbook = Runbook::parse(&plan.file, plan.source.as_bytes()).map_err(|_| {
        "the runbook in its plan is not valid for this version of the tool".to_owned()
    })?;
    let parameters = secrets(&runbook, plan.parameters.clone())?;
    let mut machine = Machine::new(Arc::new(runbook), plan, parameters, run.clone(), *dry);
    machine.fold(opened)?;
    Ok(machine)
}

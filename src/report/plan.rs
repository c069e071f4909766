//! A plan as data for programs and as text for people: what was found, what would be done, what is asked.
//!
//! Pure: from the runbook and the plan alone. `plan --output json` prints [`PlanReport`]; fields are only
//! ever added.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};

use super::lock::LockPlan;
use crate::catalog::{self, Effect};
use crate::decision::Table;
use crate::plan::{Looked, Plan, TableSurvey};
use crate::record::{Certainty, Equivalent, Leftover};
use crate::runbook::{
    Agreement, Bound, EvalError, HitPolicy, OnFailure, Runbook, Scope, Step, StepBody,
    TaskCondition, Unmatched,
};
use crate::selection::Found;
use crate::survey::{Preflight, Routing, Version};

/// Everything that a plan knows.
#[derive(Clone, Debug, Serialize)]
pub struct PlanReport {
    /// `plan/v1`
    pub schema: &'static str,
    /// `name:` of the runbook.
    pub name: String,
    /// `title:` of the runbook.
    pub title: String,
    /// The file it came from.
    pub file: String,
    /// When the service was read.
    pub created: Timestamp,
    /// SHA-256 over runbook, parameters and survey.
    pub digest: String,
    /// What will go wrong, or may.
    pub warnings: Vec<String>,
    /// The service.
    pub preflight: Preflight,
    /// Parameters in the order of their declaration.
    pub parameters: Vec<ParameterLine>,
    /// Worker Deployments that the parameters name; null where there is no such deployment.
    pub deployments: BTreeMap<String, Option<Routing>>,
    /// Decision tables, and steps that take Workflows by `select`, in the order of their steps.
    pub tables: Vec<TablePlan>,
    /// The steps in order.
    pub steps: Vec<StepPlan>,
    /// The lock that a run takes, and who has it; null where the runbook declares none.
    pub lock: Option<LockPlan>,
    /// Steps that may change something, or ask a person to; a step whose rows are empty, or whose Workflows would
    /// all be skipped, does not.
    pub to_do: Vec<String>,
}

/// A parameter's value.
#[derive(Clone, Debug, Serialize)]
pub struct ParameterLine {
    /// Its name.
    pub name: String,
    /// Its value; `(secret)` for a secret.
    pub value: Value,
    /// Whether it is the declared default.
    pub default: bool,
}

/// A decision table with its counts.
#[derive(Clone, Debug, Serialize)]
pub struct TablePlan {
    /// The decision; for a step with `select` the step.
    pub name: String,
    /// Steps that apply it.
    pub applied_by: Vec<String>,
    /// The step whose output it reads, where it is not known before.
    pub unknown_until: Option<String>,
    /// List Filter of the Workflows that it is about, as sent.
    pub scope: String,
    /// Which of several matching rows takes a Workflow.
    pub hit_policy: HitPolicy,
    /// What happens to Workflows that no row takes.
    pub on_unmatched: Unmatched,
    /// Workflows in the scope.
    pub total: u64,
    /// Whether every one was listed (else counted by Visibility).
    pub listed: bool,
    /// Rows in order.
    pub rows: Vec<RowPlan>,
    /// Workflows that no row takes, by Workflow Type.
    pub unmatched: BTreeMap<String, Leftover>,
    /// What Visibility could not deliver.
    pub gaps: Vec<String>,
    /// Counts before and after exclusion, where more than a query selects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selection: Option<Found>,
}

/// A row with its counts.
#[derive(Clone, Debug, Serialize)]
pub struct RowPlan {
    /// Its id.
    pub row: String,
    /// Why it can never match with these parameters, if so.
    pub off: Option<String>,
    /// Classes that it takes; empty takes any.
    pub classes: Vec<String>,
    /// Condition on the Workflow Task, which only a look can tell.
    pub task: Option<TaskCondition>,
    /// Classes and conditions in words.
    pub condition: String,
    /// List Filter that counts it, as sent (without the task condition).
    pub query: String,
    /// The strategy's name.
    pub strategy: String,
    /// What the strategy does, in words.
    pub does: String,
    /// Version that it moves to.
    pub target: Option<Version>,
    /// The command that would do it by hand.
    #[serde(skip_serializing_if = "Equivalent::is_empty")]
    pub equivalent: Equivalent,
    /// Pages of the samples in the Web UI, where its address is known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<String>,
    /// Refusal → what is done instead, in words.
    pub fallback: BTreeMap<String, String>,
    /// Workflows.
    pub count: u64,
    /// How sure that is; null where nothing was counted.
    pub certainty: Option<Certainty>,
    /// Some Workflow IDs.
    pub samples: Vec<String>,
    /// What looks at some of them said would be done.
    pub looked: Looked,
    /// Workflows of the row that were not looked at (at most).
    pub not_looked_at: u64,
}

/// A step as it will be carried out.
#[derive(Clone, Debug, Serialize)]
pub struct StepPlan {
    /// Its id.
    pub step: String,
    /// What people call it.
    pub title: Option<String>,
    /// Its action; null for a loop.
    pub action: Option<String>,
    /// What the action does.
    pub does: String,
    /// What it may do to the world: the strongest of a loop's steps.
    pub effect: Effect,
    /// Its condition.
    pub when: Option<String>,
    /// Whether the condition holds now; null where that is not known yet.
    pub when_holds: Option<bool>,
    /// What it asks before it writes; null where it asks nothing.
    pub asks: Option<String>,
    /// The word that must be typed.
    pub word: Option<String>,
    /// Who must agree, where that is more than anybody.
    #[serde(skip_serializing_if = "Agreement::is_plain")]
    pub agreement: Agreement,
    /// The table that it applies.
    pub table: Option<String>,
    /// Limits, canary, timeouts: a sentence each.
    pub bounds: Vec<String>,
    /// What is not known yet: `ARGUMENT: unknown until step STEP`.
    pub unknown: Vec<String>,
    /// Nested steps of a loop.
    pub steps: Vec<StepPlan>,
}

impl PlanReport {
    /// From a plan and the runbook that it was made of.
    pub fn new(runbook: &Runbook, plan: &Plan, scope: &Scope) -> Self {
        let report = Self {
            schema: "plan/v1",
            name: plan.name.clone(),
            title: plan.title.clone(),
            file: plan.file.clone(),
            created: plan.created,
            digest: plan.digest.clone(),
            warnings: plan.survey.warnings.clone(),
            preflight: plan.survey.preflight.clone(),
            parameters: parameters(runbook, plan),
            deployments: plan.survey.deployments.clone(),
            tables: tables(runbook, plan, scope),
            steps: runbook
                .steps
                .iter()
                .map(|step| StepPlan::new(step, scope))
                .collect(),
            lock: None,
            to_do: Vec::new(),
        };
        Self {
            to_do: report.find_to_do(),
            ..report
        }
    }

    /// What is not known before the run counts as something to do.
    fn find_to_do(&self) -> Vec<String> {
        let mut open: Vec<&StepPlan> = self.steps.iter().rev().collect();
        let mut found = Vec::new();
        while let Some(step) = open.pop() {
            if step.when_holds == Some(false) {
                continue;
            }
            open.extend(step.steps.iter().rev());
            let table = step.table.as_ref();
            let table = table.and_then(|name| self.tables.iter().find(|table| table.name == *name));
            let writes = step.steps.is_empty() && step.effect.writes();
            if writes && table.is_none_or(TablePlan::has_something) {
                found.push(step.step.clone());
            }
        }
        found
    }

    /// With the lock that a run takes.
    #[must_use]
    pub fn with_lock(mut self, lock: Option<LockPlan>) -> Self {
        self.lock = lock;
        self
    }
}

fn parameters(runbook: &Runbook, plan: &Plan) -> Vec<ParameterLine> {
    let line = |(name, parameter): (&String, &crate::runbook::Parameter)| {
        let value = match parameter.secret {
            true => Value::from("(secret)"),
            false => plan.parameters.get(name).cloned().unwrap_or(Value::Null),
        };
        ParameterLine {
            name: name.clone(),
            default: !parameter.secret && parameter.default.as_ref() == Some(&value),
            value,
        }
    };
    runbook.params.iter().map(line).collect()
}

fn takes_workflows(action: &str) -> bool {
    catalog::find(action).is_some_and(|action| action.subject == catalog::Subject::Workflow)
}

/// The table names that a step uses: those that it applies, then those that it only counts.
pub(super) fn names_of(step: &Step) -> (Option<String>, Vec<String>) {
    let StepBody::Action { action, with } = &step.body else {
        return (None, Vec::new());
    };
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let applied = with
        .get("decision")
        .and_then(text)
        .or_else(|| takes_workflows(action).then(|| step.id.clone()));
    let counted = with.get("decisions").and_then(Value::as_array);
    (
        applied,
        counted.into_iter().flatten().filter_map(text).collect(),
    )
}

fn tables(runbook: &Runbook, plan: &Plan, scope: &Scope) -> Vec<TablePlan> {
    let mut names: Vec<String> = Vec::new();
    let mut applied_by: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for step in runbook.all_steps() {
        let (applied, counted) = names_of(step);
        if let Some(name) = &applied {
            applied_by
                .entry(name.clone())
                .or_default()
                .push(step.id.clone());
        }
        for name in counted.into_iter().chain(applied) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    let plan_of = |name: String| {
        let table = match runbook.decisions.contains_key(&name) {
            true => Table::prepare(runbook, &name, scope),
            false => Table::known_before(runbook, &name, scope),
        };
        let by = applied_by.remove(&name).unwrap_or_default();
        let survey = plan.survey.tables.get(&name);
        TablePlan::new(name.clone(), by, &table, survey, &plan.survey.preflight)
    };
    names.into_iter().map(plan_of).collect()
}

impl TablePlan {
    /// Whether a step that applies it would write, halt, or does not know yet.
    fn has_something(&self) -> bool {
        let idle =
            |row: &RowPlan| row.count == 0 || row.not_looked_at == 0 && row.looked.would.is_empty();
        let stops = self.on_unmatched != Unmatched::Leave && !self.unmatched.is_empty();
        self.unknown_until.is_some() || stops || !self.rows.iter().all(idle)
    }

    fn new(
        name: String,
        applied_by: Vec<String>,
        table: &Result<Table, EvalError>,
        survey: Option<&TableSurvey>,
        preflight: &Preflight,
    ) -> Self {
        let survey = survey.cloned().unwrap_or_default();
        let known = table.as_ref().ok();
        Self {
            name,
            applied_by,
            unknown_until: match table {
                Err(EvalError::UnknownUntil { step }) => Some(step.clone()),
                _ => None,
            },
            scope: known.map(|table| table.scope.render()).unwrap_or_default(),
            hit_policy: known.map_or(HitPolicy::First, |table| table.hit_policy),
            on_unmatched: known.map_or(Unmatched::Leave, |table| table.unmatched),
            total: survey.total,
            listed: survey.listed,
            rows: known
                .map(|table| rows(table, &survey, preflight))
                .unwrap_or_default(),
            unmatched: survey.unmatched,
            gaps: survey.gaps,
            selection: survey.found,
        }
    }
}

fn rows(table: &Table, survey: &TableSurvey, preflight: &Preflight) -> Vec<RowPlan> {
    let row = |(index, row): (usize, &crate::decision::TableRow)| {
        let found = survey.row(&row.id).cloned().unwrap_or_default();
        let strategy = &table.strategies[&row.strategy];
        let instead = |(refusal, other): (&String, &String)| {
            (refusal.clone(), table.strategies[other].call.does())
        };
        let query = table.row_query(index).render();
        RowPlan {
            row: row.id.clone(),
            equivalent: crate::equivalent::of_row(table, index, &query, None, preflight.into()),
            links: crate::equivalent::links(preflight, &found.samples),
            classes: row.classes.clone(),
            task: row.task,
            condition: table.condition(index),
            query,
            strategy: row.strategy.clone(),
            does: strategy.call.does(),
            target: strategy.call.target().cloned(),
            fallback: strategy.fallback.iter().map(instead).collect(),
            count: found.count,
            certainty: found.certainty,
            not_looked_at: found.count.saturating_sub(found.looked.count),
            samples: found.samples,
            looked: found.looked,
            off: found.off,
        }
    };
    table.rows.iter().enumerate().map(row).collect()
}

impl StepPlan {
    fn new(step: &Step, scope: &Scope) -> Self {
        let mut unknown = Vec::new();
        let mut note = |what: &str, error: &EvalError| {
            if let EvalError::UnknownUntil { .. } = error {
                unknown.push(format!("{what}: {error}"));
            }
        };
        let when_holds = step.when.as_ref().and_then(|when| {
            scope
                .holds(when)
                .inspect_err(|error| note("when", error))
                .ok()
        });
        let word = step.confirm.as_ref().map(|confirm| {
            match scope.render(&Value::from(confirm.as_str())) {
                Ok(word) => word
                    .as_str()
                    .map_or_else(|| word.to_string(), str::to_owned),
                Err(error) => {
                    note("confirm", &error);
                    confirm.clone()
                }
            }
        });
        let mut plan = Self {
            step: step.id.clone(),
            title: step.title.clone(),
            action: None,
            does: String::new(),
            effect: Effect::Read,
            when: step.when.clone(),
            when_holds,
            asks: None,
            word,
            agreement: step.agreement,
            table: names_of(step).0,
            bounds: bounds(step),
            unknown: Vec::new(),
            steps: Vec::new(),
        };
        match &step.body {
            StepBody::Action { action, with } => {
                for (name, value) in with {
                    let only = Map::from_iter([(name.clone(), value.clone())]);
                    if let Err(error) = scope.render_arguments(&only) {
                        note(name, &error);
                    }
                }
                plan.act(action);
                if action == "command.run" {
                    plan.program(with, scope);
                }
            }
            StepBody::Repeat {
                until,
                every,
                timeout,
                steps,
            } => {
                plan.steps = steps.iter().map(|step| Self::new(step, scope)).collect();
                plan.does = format!(
                    "every {}, up to {}, until {}",
                    span(*every),
                    span(*timeout),
                    until.split_whitespace().collect::<Vec<_>>().join(" ")
                );
                let strongest = |a: Effect, b: Effect| match (a, b) {
                    (Effect::NonIdempotent, _) | (_, Effect::NonIdempotent) => {
                        Effect::NonIdempotent
                    }
                    (Effect::Idempotent, _) | (_, Effect::Idempotent) => Effect::Idempotent,
                    (Effect::Read, Effect::Read) => Effect::Read,
                };
                let effects = plan.steps.iter().map(|step| step.effect);
                plan.effect = effects.fold(Effect::Read, strongest);
            }
        }
        plan.unknown = unknown;
        plan
    }

    /// What a program would be, as far as that is known. Nothing is run for a plan.
    fn program(&mut self, with: &Map<String, Value>, scope: &Scope) {
        let effect = with.get("effect").cloned().unwrap_or_default();
        self.effect = serde_json::from_value(effect).unwrap_or(Effect::NonIdempotent);
        if !self.effect.writes() {
            self.asks = None;
        }
        let rendered = scope.render_arguments(with).ok();
        let command = rendered.and_then(|with| serde_json::from_value(Value::Object(with)).ok());
        let argv = with.get("argv").and_then(Value::as_array);
        let program = argv.and_then(|argv| argv.first()).and_then(Value::as_str);
        let line = match command {
            Some(command) => crate::steps::command::line(&command),
            None => format!("{} …", program.unwrap_or_default()),
        };
        self.does = format!("run ({}): {line}", self.effect.words());
    }

    fn act(&mut self, name: &str) {
        self.action = Some(name.to_owned());
        let Some(action) = catalog::find(name) else {
            return;
        };
        self.does = action.summary.to_owned();
        self.effect = action.effect;
        let asks = match action.subject {
            catalog::Subject::Decision | catalog::Subject::Workflow if action.effect.writes() => {
                Some("before its first write, with a line per row")
            }
            catalog::Subject::Service if action.effect.writes() => {
                Some("before it changes something")
            }
            catalog::Subject::Person => Some("whether it is done"),
            catalog::Subject::Program if self.effect.writes() => Some("before it runs the program"),
            _ => None,
        };
        self.asks = asks.map(str::to_owned);
    }
}

/// `90s` as `1m 30s`.
fn span(duration: std::time::Duration) -> String {
    super::duration(jiff::SignedDuration::try_from(duration).unwrap_or(jiff::SignedDuration::MAX))
}

fn bounds(step: &Step) -> Vec<String> {
    let mut bounds = Vec::new();
    let shown = |bound: Bound| match bound {
        Bound::Count(count) => count.to_string(),
        Bound::Percent(percent) => format!("{percent} % of those granted"),
    };
    let limits = [
        ("writes to at most", step.limits.max_workflows, "Workflows"),
        ("halts when more than", step.limits.max_failures, "failed"),
        (
            "halts when more than",
            step.limits.max_unhealthy,
            "are unhealthy",
        ),
    ];
    for (does, bound, what) in limits {
        bounds.extend(bound.map(|bound| format!("{does} {} {what}", shown(bound))));
    }
    bounds.extend(step.canary.map(|canary| {
        format!(
            "canary: the first {} of each row, verified for up to {}",
            canary.count,
            span(canary.wait)
        )
    }));
    bounds.extend(
        step.timeout
            .map(|timeout| format!("gives up after {}", span(timeout))),
    );
    if step.on_failure == OnFailure::Continue {
        bounds.push("a failure does not end the run".to_owned());
    }
    bounds
}

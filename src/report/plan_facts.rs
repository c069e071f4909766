//! What a report needs from the plan in a journal's first record.
//!
//! The plan is read leniently, as data: a journal of an older or newer minor format still has a report,
//! with less in it.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde_json::Value;

use super::outline::{PlannedStep, outline};
use crate::runbook::{Parameters, Runbook, Step, StepBody};

/// Of one step.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct StepFacts {
    pub(super) title: String,
    pub(super) parent: Option<String>,
    pub(super) word: Option<String>,
}

/// Of the plan.
#[derive(Clone, Debug, Default)]
pub(super) struct PlanFacts {
    pub(super) name: String,
    pub(super) title: String,
    pub(super) address: String,
    pub(super) namespace: String,
    pub(super) digest: String,
    pub(super) params: Value,
    /// What was counted, by decision, or by step.
    tables: Value,
    file: String,
    source: String,
    parameters: Parameters,
    inside: OnceLock<Inside>,
}

/// What the runbook's text says: read when it is first needed, because a list of runs does not need it.
#[derive(Clone, Debug, Default)]
struct Inside {
    classes: Option<String>,
    steps: BTreeMap<String, StepFacts>,
    outline: Vec<PlannedStep>,
}

impl PlanFacts {
    pub(super) fn read(plan: &Value) -> Self {
        let parameters = plan.pointer("/parameters").cloned();
        Self {
            name: first(plan, "/name"),
            title: first(plan, "/title"),
            address: first(plan, "/survey/preflight/address"),
            namespace: first(plan, "/survey/preflight/namespace"),
            digest: first(plan, "/digest"),
            params: plan
                .pointer("/parameters/values")
                .cloned()
                .unwrap_or(Value::Null),
            tables: plan
                .pointer("/survey/tables")
                .cloned()
                .unwrap_or(Value::Null),
            file: first(plan, "/file"),
            source: first(plan, "/source"),
            parameters: parameters
                .and_then(|value| serde_json::from_value(value).ok())
                .unwrap_or_default(),
            inside: OnceLock::new(),
        }
    }

    fn inside(&self) -> &Inside {
        self.inside.get_or_init(|| {
            let runbook = Runbook::parse(&self.file, self.source.as_bytes());
            runbook.map_or_else(
                |_| Inside::default(),
                |book| Inside::of(&book, &self.parameters, &self.tables),
            )
        })
    }

    pub(super) fn step(&self, id: &str) -> StepFacts {
        self.inside().steps.get(id).cloned().unwrap_or_default()
    }

    /// All steps, in order.
    pub(super) fn outline(&self) -> &[PlannedStep] {
        &self.inside().outline
    }

    /// The parameter that holds the classes.
    pub(super) fn classes(&self) -> &str {
        self.inside().classes.as_deref().unwrap_or("classes")
    }

    /// The outermost step around `step`, itself where there is none.
    pub(super) fn root<'a>(&'a self, mut step: &'a str) -> &'a str {
        let steps = &self.inside().steps;
        while let Some(parent) = steps.get(step).and_then(|s| s.parent.as_deref()) {
            step = parent;
        }
        step
    }
}

impl Inside {
    fn of(runbook: &Runbook, parameters: &Parameters, tables: &Value) -> Self {
        let mut classified = runbook
            .decisions
            .values()
            .filter_map(|d| d.classify.as_ref());
        let mut inside = Self {
            classes: classified.find_map(|classify| parameter(classify.types.as_ref()?.as_str()?)),
            steps: BTreeMap::new(),
            outline: outline(runbook, tables),
        };
        let scope = runbook.scope(parameters, &BTreeMap::new(), &Value::Null);
        let word = |step: &Step| {
            let confirm = Value::String(step.confirm.clone()?);
            // A word that only an earlier step's output tells is left to the reader.
            let word = runbook.render(&confirm, &scope).ok();
            let text = word.map(|word| {
                word.as_str()
                    .map_or_else(|| word.to_string(), str::to_owned)
            });
            Some(text.unwrap_or_else(|| "WORD".to_owned()))
        };
        inside.add(&runbook.steps, None, &word);
        inside
    }

    fn add(
        &mut self,
        steps: &[Step],
        parent: Option<&str>,
        word: &dyn Fn(&Step) -> Option<String>,
    ) {
        for step in steps {
            let facts = StepFacts {
                title: step.title.clone().unwrap_or_default(),
                parent: parent.map(str::to_owned),
                word: word(step),
            };
            self.steps.insert(step.id.clone(), facts);
            if let StepBody::Repeat { steps, .. } = &step.body {
                self.add(steps, Some(&step.id), word);
            }
        }
    }
}

fn first(value: &Value, path: &str) -> String {
    let text = value.pointer(path).and_then(Value::as_str);
    text.unwrap_or_default().to_owned()
}

/// The parameter that an expression reads.
fn parameter(expression: &str) -> Option<String> {
    let (_, after) = expression.split_once("params.")?;
    let name: String = after
        .chars()
        .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
        .collect();
    (!name.is_empty()).then_some(name)
}

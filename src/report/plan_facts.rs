//! What a report needs from the plan in a journal's first record.
//!
//! The plan is read leniently, as data: a journal of an older or newer minor format still has a report,
//! with less in it.

use std::collections::BTreeMap;

use serde_json::Value;

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
    /// The parameter that holds the classes.
    pub(super) classes: String,
    pub(super) steps: BTreeMap<String, StepFacts>,
}

impl PlanFacts {
    pub(super) fn read(plan: &Value) -> Self {
        let mut facts = Self {
            name: first(plan, &["/runbook/name", "/name"]),
            title: first(plan, &["/runbook/title", "/title"]),
            address: first(
                plan,
                &[
                    "/address",
                    "/preflight/address",
                    "/survey/preflight/address",
                ],
            ),
            namespace: first(
                plan,
                &[
                    "/namespace",
                    "/preflight/namespace",
                    "/survey/preflight/namespace",
                ],
            ),
            digest: first(plan, &["/digest", "/runbook/digest"]),
            params: ["/params", "/parameters"]
                .iter()
                .find_map(|path| plan.pointer(path))
                .cloned()
                .unwrap_or(Value::Null),
            classes: classify(plan).unwrap_or_else(|| "classes".to_owned()),
            steps: BTreeMap::new(),
        };
        if let Some(steps) = plan
            .pointer("/steps")
            .or_else(|| plan.pointer("/runbook/steps"))
        {
            facts.read_steps(steps, None);
        }
        facts
    }

    fn read_steps(&mut self, steps: &Value, parent: Option<&str>) {
        for step in steps.as_array().into_iter().flatten() {
            let id = first(step, &["/id", "/step"]);
            if id.is_empty() {
                continue;
            }
            let facts = StepFacts {
                title: first(step, &["/title"]),
                parent: parent.map(str::to_owned),
                word: Some(first(
                    step,
                    &["/word", "/confirm/type", "/confirm/word", "/confirm"],
                ))
                .filter(|word| !word.is_empty()),
            };
            for nested in ["/repeat/steps", "/steps", "/repeats/steps"] {
                if let Some(nested) = step.pointer(nested) {
                    self.read_steps(nested, Some(&id));
                }
            }
            self.steps.insert(id, facts);
        }
    }

    /// The outermost step around `step`, itself where there is none.
    pub(super) fn root<'a>(&'a self, mut step: &'a str) -> &'a str {
        while let Some(parent) = self.steps.get(step).and_then(|s| s.parent.as_deref()) {
            step = parent;
        }
        step
    }
}

fn first(value: &Value, paths: &[&str]) -> String {
    paths
        .iter()
        .find_map(|path| value.pointer(path).and_then(Value::as_str))
        .unwrap_or_default()
        .to_owned()
}

/// The parameter that some `classify` reads.
fn classify(value: &Value) -> Option<String> {
    match value {
        Value::Object(fields) => fields.iter().find_map(|(name, value)| match value {
            Value::String(text) if name == "classify" => parameter(text),
            value => classify(value),
        }),
        Value::Array(items) => items.iter().find_map(classify),
        _ => None,
    }
}

fn parameter(expression: &str) -> Option<String> {
    let (_, after) = expression.split_once("params.")?;
    let name: String = after
        .chars()
        .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
        .collect();
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn steps_titles_words_and_classes_are_found() {
        let facts = PlanFacts::read(&json!({
            "runbook": { "name": "n" }, "namespace": "prod",
            "decisions": { "running": { "classify": "${{ params.kinds }}" } },
            "steps": [
                { "id": "drain", "repeat": { "steps": [{ "id": "recover", "title": "Recover" }] } },
                { "id": "clean", "confirm": { "type": "bad" } },
            ],
        }));
        assert_eq!(facts.name, "n");
        assert_eq!(facts.classes, "kinds");
        assert_eq!(facts.root("recover"), "drain");
        assert_eq!(facts.steps["recover"].title, "Recover");
        assert_eq!(facts.steps["clean"].word.as_deref(), Some("bad"));
    }
}

//! Steps that a person does, and the form that is filled in with it.
//!
//! Pure. A form is filled by whoever answers, or by `--answer STEP.FIELD=VALUE`; `--yes` alone invents
//! no value that must be entered.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use serde_json::{Map, Value, json};

use super::service::terms_of;
use super::{Effect, Machine};
use crate::catalog::{FormField, ManualTask};
use crate::record::{Place, Question, StepStatus};
use crate::runbook::outputs;

impl Machine {
    pub(super) fn work_manual(&mut self, place: &Place) -> Vec<Effect> {
        let with = match self.arguments(&place.step) {
            Ok(with) => with,
            Err(error) => {
                self.end_unknown(place, &error);
                return Vec::new();
            }
        };
        if self.dry {
            self.end(
                place,
                StepStatus::Rehearsed,
                Value::Null,
                "would change 1: a person has something to do",
            );
            return Vec::new();
        }
        let word = match self.word(&place.step) {
            Ok(word) => word,
            Err(error) => {
                self.end_unknown(place, &error);
                return Vec::new();
            }
        };
        let terms = terms_of("manual.task", &with, word.as_deref());
        let state = self.state.step(&place.step);
        // What was done was these instructions; how long ago does not matter.
        if let Some((by, note)) = state.note.clone()
            && state.grant.knows(&place.step, &terms)
        {
            let output = json!({ "done_by": by, "note": note, "form": state.form });
            self.end(place, StepStatus::Succeeded, output, "");
            return Vec::new();
        }
        if self.memory.declined.contains(&place.step) {
            let output = self.blank_output(&place.step);
            self.end(place, StepStatus::Halted, output, "It was not done.");
            return Vec::new();
        }
        match self.to_be_asked(place, with) {
            Ok(question) => {
                let terms = BTreeMap::from([(place.step.clone(), terms)]);
                self.ask(place, question, terms, word, true)
            }
            Err(message) => {
                let output = self.blank_output(&place.step);
                self.end(place, StepStatus::Failed, output, &message);
                Vec::new()
            }
        }
    }

    fn to_be_asked(&self, place: &Place, with: Value) -> Result<Question, String> {
        let task: ManualTask = serde_json::from_value(with)
            .map_err(|error| format!("arguments of `manual.task`: {error}"))?;
        let answers = self.state.flags.answers.get(&place.step);
        let mut given = Map::new();
        for (name, text) in answers.into_iter().flatten() {
            let field = task
                .form
                .get(name)
                .ok_or_else(|| format!("--answer: the form has no field `{name}`"))?;
            let value = outputs::typed(field, text)
                .map_err(|why| format!("--answer {}.{name}: {why}", place.step))?;
            given.insert(name.clone(), value);
        }
        Ok(Question::Manual {
            instructions: task.instructions,
            form: task.form,
            given,
        })
    }
}

/// The values of a question's form where nobody enters more than `entered`; nothing for other questions.
///
/// # Errors
/// What is missing or wrong, in words.
pub(super) fn form_of(
    question: &Question,
    entered: &Map<String, Value>,
) -> Result<Map<String, Value>, String> {
    let Question::Manual { form, given, .. } = question else {
        return Ok(Map::new());
    };
    let mut all = given.clone();
    all.extend(entered.clone());
    outputs::filled(form, &all).map_err(|problems| problems.join("; "))
}

/// The same, where `before` was entered by those who agreed before: it stands.
///
/// # Errors
/// Also where `entered` says something else than they did.
pub(crate) fn form_with(
    question: &Question,
    before: &Map<String, Value>,
    entered: &Map<String, Value>,
) -> Result<Map<String, Value>, String> {
    let other =
        |(name, value): &(&String, &Value)| before.get(*name).is_some_and(|it| it != *value);
    if let Some((name, _)) = entered.iter().find(other) {
        let stands = &before[name];
        return Err(format!(
            "`{name}` was entered as {stands} by whoever agreed before"
        ));
    }
    let mut all = before.clone();
    all.extend(entered.clone());
    form_of(question, &all)
}

/// The fields that somebody must still enter.
pub fn to_enter<'q>(
    form: &'q IndexMap<String, FormField>,
    given: &Map<String, Value>,
) -> Vec<&'q str> {
    let missing = |(name, field): &(&String, &FormField)| {
        outputs::must_be_entered(field) && !given.contains_key(*name)
    };
    let fields = form.iter().filter(missing);
    fields.map(|(name, _)| name.as_str()).collect()
}

//! The flags that steer a run, checked against its runbook.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;

use crate::diagnostic::{Diagnostic, Kind};
use crate::record::Flags;
use crate::runbook::{Runbook, StepBody, outputs};

/// What steers a run; recorded with each attachment.
#[derive(Clone, Debug, Default, Args)]
pub struct Steering {
    /// Answer yes to ordinary questions, and to extensions up to twice the plan's count
    #[arg(long)]
    pub yes: bool,
    /// The word that a step wants typed; repeatable
    #[arg(long, value_name = "STEP=WORD")]
    pub confirm: Vec<String>,
    /// Fill in a field of a manual task's form; repeatable
    #[arg(long, value_name = "STEP.FIELD=VALUE")]
    pub answer: Vec<String>,
    /// Park after this step
    #[arg(long, value_name = "STEP")]
    pub until: Option<String>,
    /// Leave the Workflows of this row alone; repeatable
    #[arg(long, value_name = "ROW")]
    pub skip_row: Vec<String>,
    /// Write to at most so many Workflows, then park
    #[arg(long, value_name = "N")]
    pub limit: Option<u64>,
    /// Writes a second, at most; wins over the runbook's `pace`
    #[arg(long, value_name = "N", value_parser = rate)]
    pub rate: Option<f64>,
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate.is_finite() && rate > 0.0 => Ok(rate),
        _ => Err("expected a number above 0".to_owned()),
    }
}

impl Steering {
    /// As the journal keeps it.
    ///
    /// # Errors
    /// Every step and row that the runbook does not have.
    pub fn flags(&self, runbook: &Runbook) -> Result<Flags, Vec<Diagnostic>> {
        let names = Names::of(runbook);
        let mut problems = Vec::new();
        let mut confirm = BTreeMap::new();
        for given in &self.confirm {
            let Some((step, word)) = given.split_once('=') else {
                let message = format!("`--confirm {given}` names no word");
                problems.push(
                    Diagnostic::plain(Kind::Usage, message).expected("`--confirm STEP=WORD`"),
                );
                continue;
            };
            problems.extend(names.step("--confirm", step));
            confirm.insert(step.to_owned(), word.to_owned());
        }
        problems.extend(
            self.until
                .iter()
                .filter_map(|step| names.step("--until", step)),
        );
        problems.extend(
            self.skip_row
                .iter()
                .filter_map(|row| names.row("--skip-row", row)),
        );
        let mut answers: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        for given in &self.answer {
            match answer(runbook, &names, given) {
                Ok((step, field, value)) => {
                    let fields = answers.entry(step.to_owned()).or_default();
                    fields.insert(field.to_owned(), value.to_owned());
                }
                Err(problem) => problems.push(problem),
            }
        }
        let flags = Flags {
            yes: self.yes,
            confirm,
            answers,
            until: self.until.clone(),
            skip_rows: self.skip_row.clone(),
            limit: self.limit,
            rate: self.rate,
            ..Flags::default()
        };
        if problems.is_empty() {
            Ok(flags)
        } else {
            Err(problems)
        }
    }
}

/// A field of a form, as `--answer` gives it. That it fits is found out here, unless the field's
/// declaration depends on what only the run knows.
fn answer<'a>(
    runbook: &Runbook,
    names: &Names<'_>,
    given: &'a str,
) -> Result<(&'a str, &'a str, &'a str), Diagnostic> {
    let problem = |message: String| Diagnostic::plain(Kind::Usage, message);
    let parts = given
        .split_once('=')
        .and_then(|(target, value)| Some((target.split_once('.')?, value)));
    let Some(((step, field), value)) = parts else {
        let message = format!("`--answer {given}` names no field and value");
        return Err(problem(message).expected("`--answer STEP.FIELD=VALUE`"));
    };
    if let Some(unknown) = names.step("--answer", step) {
        return Err(unknown);
    }
    let form = runbook.step(step).and_then(|step| match &step.body {
        StepBody::Action { with, .. } => with.get("form")?.as_object(),
        StepBody::Repeat { .. } => None,
    });
    let Some(form) = form else {
        return Err(problem(format!("`--answer`: step `{step}` has no form")));
    };
    let known = || form.keys().map(String::as_str);
    let Some(declared) = form.get(field) else {
        let message = format!("`--answer`: the form of `{step}` has no field `{field}`");
        let names: Vec<&str> = known().collect();
        let expected = format!("one of {}", names.join(", "));
        return Err(problem(message).expected(expected).near(field, known()));
    };
    if !declared.to_string().contains("${{")
        && let Ok(declared) = serde_json::from_value(declared.clone())
        && let Err(why) = outputs::typed(&declared, value)
    {
        return Err(problem(format!("`--answer {step}.{field}`: {why}")));
    }
    Ok((step, field, value))
}

/// The names that flags may use.
pub struct Names<'a> {
    steps: BTreeSet<&'a str>,
    rows: BTreeSet<&'a str>,
}

impl<'a> Names<'a> {
    /// Those of a runbook.
    pub fn of(runbook: &'a Runbook) -> Self {
        let rows = runbook
            .decisions
            .values()
            .flat_map(|decision| &decision.rows);
        Self {
            steps: runbook
                .all_steps()
                .iter()
                .map(|step| step.id.as_str())
                .collect(),
            rows: rows.map(|row| row.id.as_str()).collect(),
        }
    }

    /// What is wrong with a step that a flag names.
    pub fn step(&self, flag: &str, name: &str) -> Option<Diagnostic> {
        unknown(&self.steps, flag, "step", name)
    }

    /// What is wrong with a row that a flag names.
    pub fn row(&self, flag: &str, name: &str) -> Option<Diagnostic> {
        unknown(&self.rows, flag, "row", name)
    }
}

fn unknown(known: &BTreeSet<&str>, flag: &str, noun: &str, name: &str) -> Option<Diagnostic> {
    (!known.contains(name)).then(|| {
        let message = format!("`{flag}`: the runbook has no {noun} `{name}`");
        let names: Vec<&str> = known.iter().copied().collect();
        Diagnostic::plain(Kind::Usage, message)
            .expected(format!("one of {}", names.join(", ")))
            .near(name, known.iter().copied())
    })
}

//! The steps of a page: a table of all of them, then what each does, and every gate before it.

use serde_json::{Map, Value};

use super::docs::{HERE, Page, argument, type_name};
use super::escape::{code, fence, inline};
use super::words::{self, Does, Words};
use crate::catalog;
use crate::equivalent;
use crate::record::Equivalent;
use crate::runbook::{OnFailure, Pace, Retry, Runbook, Step, StepBody};

/// All steps.
pub(super) fn section(page: &mut Page, runbook: &Runbook) {
    page.heading(2, "Steps");
    let mut rows = Vec::new();
    overview(runbook, &runbook.steps, "", &mut rows);
    page.table(&["", "step", "does", "effect", "gates"], &rows);
    details(page, runbook, &runbook.steps, "");
}

fn overview(runbook: &Runbook, steps: &[Step], prefix: &str, rows: &mut Vec<Vec<String>>) {
    for (index, step) in steps.iter().enumerate() {
        let number = format!("{prefix}{}", index + 1);
        let does = Does::of(runbook, step);
        let gates: Vec<String> = gates(step, &does).iter().map(Words::markdown).collect();
        rows.push(vec![
            number.clone(),
            code(&step.id),
            step.title
                .as_deref()
                .map_or_else(|| what(step).markdown(), inline),
            does.words().markdown(),
            gates.join("<br>"),
        ]);
        if let StepBody::Repeat { steps, .. } = &step.body {
            overview(runbook, steps, &format!("{number}."), rows);
        }
    }
}

/// What a step does.
pub(super) fn what(step: &Step) -> Words {
    match &step.body {
        StepBody::Action { action, with } => {
            let words = words::does(action, with);
            match with.get("select") {
                Some(select) => words.say(": ").and(words::selection(select)),
                None => words,
            }
        }
        StepBody::Repeat { until, .. } => Words::new("repeat until ").code(until),
    }
}

/// What has to hold before a step goes on, in short.
fn gates(step: &Step, does: &Does) -> Vec<Words> {
    let mut gates = Vec::new();
    if let Some(when) = &step.when {
        gates.push(Words::new("only when ").code(when));
    }
    if does.writes() {
        gates.push(Words::new("asks before it writes"));
    }
    if !step.agreement.is_plain() {
        gates.push(Words::new(&step.agreement.clause()));
    }
    if let Some(word) = &step.confirm {
        gates.push(Words::new("somebody types ").code(word));
    }
    if let Some(canary) = &step.canary {
        let wait = words::interval(canary.wait);
        gates.push(Words::new(&format!(
            "first {} of each row, then proof within {wait}",
            canary.count
        )));
    }
    gates.extend(limits(step));
    if let StepBody::Repeat { every, timeout, .. } = &step.body {
        let (every, timeout) = (words::interval(*every), words::interval(*timeout));
        gates.push(Words::new(&format!("every {every}, at most {timeout}")));
    }
    gates
}

fn limits(step: &Step) -> Vec<Words> {
    let limits = [
        ("halts above {} failures", step.limits.max_failures),
        ("halts above {} unhealthy ones", step.limits.max_unhealthy),
        ("at most {} Workflows", step.limits.max_workflows),
    ];
    let limits = limits
        .into_iter()
        .filter_map(|(text, bound)| Some((text, bound?)));
    limits
        .map(|(text, bound)| Words::new(&text.replace("{}", &words::bound(bound))))
        .collect()
}

fn details(page: &mut Page, runbook: &Runbook, steps: &[Step], prefix: &str) {
    for (index, step) in steps.iter().enumerate() {
        let number = format!("{prefix}{}", index + 1);
        detail(page, runbook, step, &number);
        if let StepBody::Repeat { steps, .. } = &step.body {
            details(page, runbook, steps, &format!("{number}."));
        }
    }
}

fn detail(page: &mut Page, runbook: &Runbook, step: &Step, number: &str) {
    let title = step
        .title
        .as_deref()
        .map(|title| format!(": {}", inline(title)));
    page.heading(
        3,
        &format!("{number} {}{}", code(&step.id), title.unwrap_or_default()),
    );
    let does = Does::of(runbook, step);
    let mut items = vec![match &step.body {
        StepBody::Action { action, .. } => {
            format!(
                "Does: {} ({}; {}).",
                what(step).markdown(),
                code(action),
                does.words().markdown()
            )
        }
        StepBody::Repeat {
            until,
            every,
            timeout,
            ..
        } => format!(
            "Repeats the steps below every {} until {}; at most {} in all.",
            words::interval(*every),
            code(until),
            words::interval(*timeout)
        ),
    }];
    items.extend(holds(step, &does));
    if let StepBody::Action { with, .. } = &step.body {
        items.extend(arguments(with, SAID));
    }
    page.list(&items);
    if let StepBody::Action { action, with } = &step.body {
        person(page, with);
        page.by_hand(&by_hand(action, with));
    }
}

/// Arguments that are said in other words, or in a block of their own.
const SAID: &[&str] = &[
    "select",
    "to",
    "reapply",
    "decision",
    "instructions",
    "form",
    "effect",
];

/// The arguments but these, for a list.
pub(super) fn arguments(with: &Map<String, Value>, but: &[&str]) -> Vec<String> {
    let rest = with
        .iter()
        .filter(|(name, _)| !but.contains(&name.as_str()));
    rest.map(|(name, value)| argument(name, value)).collect()
}

fn holds(step: &Step, does: &Does) -> Vec<String> {
    let mut items = Vec::new();
    if let Some(when) = &step.when {
        items.push(format!("Skipped unless {}.", code(when)));
    }
    if does.writes() {
        items.push("Asks before it writes, with what it would do and to how many.".to_owned());
    }
    if !step.agreement.is_plain() {
        items.push(format!("{}.", step.agreement.clause()));
    }
    if let Some(word) = &step.confirm {
        items.push(format!(
            "Goes on only when somebody has typed {}.",
            code(word)
        ));
    }
    if let Some(canary) = &step.canary {
        items.push(format!(
            "Canary: the first {} of each row are written to alone, and must prove healthy within {}; an unhealthy one halts the step.",
            canary.count,
            words::interval(canary.wait)
        ));
    }
    let sentence = |words: Words| format!("{}.", words::lower_first(&words.markdown()));
    items.extend(
        limits(step)
            .into_iter()
            .map(sentence)
            .map(|text| format!("Limit: {text}")),
    );
    if step.pace != Pace::default() {
        items.push(format!(
            "Pace: at most {} writes a second, {} calls in flight.",
            step.pace.rate, step.pace.concurrency
        ));
    }
    if step.retry != Retry::default() && matches!(does, Does::Acts(_)) && step.retry.attempts > 1 {
        items.push(format!(
            "Tried up to {} times, after {} and up to {}.",
            step.retry.attempts,
            words::interval(step.retry.backoff),
            words::interval(step.retry.max_backoff)
        ));
    }
    if let Some(timeout) = step.timeout {
        items.push(format!("Takes at most {}.", words::interval(timeout)));
    }
    if step.on_failure == OnFailure::Continue {
        items.push("The run goes on where it fails.".to_owned());
    }
    items
}

/// What a person is told and has to enter.
fn person(page: &mut Page, with: &Map<String, Value>) {
    if let Some(instructions) = with.get("instructions") {
        page.paragraph("The person is told:");
        page.raw(&fence("text", &words::value(instructions)));
    }
    let Some(Value::Object(form)) = with.get("form") else {
        return;
    };
    let rows: Vec<Vec<String>> = form
        .iter()
        .map(
            |(name, field)| match serde_json::from_value::<catalog::FormField>(field.clone()) {
                Ok(field) => {
                    let must = field.required && field.default.is_none();
                    let kind = serde_json::to_value(field.kind).map(|kind| words::value(&kind));
                    vec![
                        code(name),
                        kind.unwrap_or_default(),
                        if must { "must be entered" } else { "" }.to_owned(),
                        inline(&field.description),
                    ]
                }
                Err(_) => vec![
                    code(name),
                    type_name(crate::runbook::ParameterType::String).to_owned(),
                    String::new(),
                    code(&field.to_string()),
                ],
            },
        )
        .collect();
    page.paragraph("They enter:");
    page.table(&["field", "type", "", "what it is"], &rows);
}

/// The commands that would do a step by hand, as far as they can be said before there are values.
fn by_hand(action: &str, with: &Map<String, Value>) -> Vec<Equivalent> {
    let version = |name: &str| with.get(name).and_then(words::version);
    let accepts = with.get("missing_task_queues").and_then(Value::as_str) == Some("accept");
    match action {
        "deployment.stop_rollout" => match (version("version"), version("revert_to")) {
            (Some(bad), Some(good)) => vec![
                equivalent::unset_ramp(&bad.deployment, HERE),
                equivalent::set_current(&good, accepts, HERE),
            ],
            _ => Vec::new(),
        },
        "deployment.set_current" => version("version")
            .map(|version| equivalent::set_current(&version, accepts, HERE))
            .into_iter()
            .collect(),
        "deployment.delete_version" => version("version")
            .map(|version| equivalent::delete_version(&version, HERE))
            .into_iter()
            .collect(),
        _ => of_workflows(action, with).into_iter().collect(),
    }
}

fn of_workflows(action: &str, with: &Map<String, Value>) -> Option<Equivalent> {
    let select = with.get("select")?.as_object()?;
    let query = select.get("query")?.as_str()?;
    let call = words::call(action, with)?;
    let found = equivalent::of_query(&call, query, None, HERE);
    // What the command cannot do is said, so that nobody takes it for the same.
    let more = ["exclude", "only", "limit", "sample"]
        .iter()
        .any(|name| select.contains_key(*name));
    Some(match more {
        true => found.with("It takes all that the query finds, without the other conditions."),
        false => found,
    })
}

//! The constructor: bytes → document → schema, checks and tables together → model.

use std::time::Duration;

use serde_json::Value;

use super::guards::{Ceiling, Guards, Names, Place};
use super::model::{
    Agreement, Bound, Canary, Check, Classify, Decision, Event, HitPolicy, Limits, Notify, Pace,
    Parameter, ParameterType, Retry, Row, Runbook, Step, StepBody, StepTolerance, Strategy,
    Tolerance,
};
use super::{checks, shape, tables};
use crate::diagnostic::{self, Diagnostic, Kind};
use crate::document::{Document, Node};
use crate::{schema, template};

/// Keys by which a file without `schema` is taken for a try at a runbook.
const OF_RUNBOOKS: [&str; 9] = [
    "name",
    "steps",
    "params",
    "vars",
    "queries",
    "strategies",
    "decisions",
    "guards",
    "checks",
];

impl Runbook {
    /// Reads a runbook. `file` is its name, for messages.
    ///
    /// # Errors
    /// Every problem of the file, in the order of the text, none twice.
    pub fn parse(file: &str, bytes: &[u8]) -> Result<Self, Vec<Diagnostic>> {
        let (document, mut problems) = Document::parse(file, bytes);
        let Some(document) = document else {
            diagnostic::sort(&mut problems);
            return Err(problems);
        };
        if let Some(problem) = schema::another(&document, shape::SCHEMA, &OF_RUNBOOKS) {
            return Err(vec![problem]);
        }
        let names = checks::Names::collect(&document);
        add(&mut problems, checks::check(&names));
        add(&mut problems, tables::check(&names));
        add(&mut problems, shape::schema().check(&document));
        if problems.is_empty() {
            return build(&document).map_err(|problem| vec![problem]);
        }
        diagnostic::sort(&mut problems);
        Err(problems)
    }
}

/// Adds what a later stage found, except at places of which an earlier stage has said what is wrong.
fn add(problems: &mut Vec<Diagnostic>, later: Vec<Diagnostic>) {
    let place = |diagnostic: &Diagnostic| {
        diagnostic
            .position
            .as_ref()
            .map(|at| (at.offset, at.length))
    };
    let known: std::collections::BTreeSet<_> = problems.iter().filter_map(place).collect();
    problems.extend(
        later
            .into_iter()
            .filter(|diagnostic| place(diagnostic).is_none_or(|place| !known.contains(&place))),
    );
}

fn build(document: &Document) -> Result<Runbook, Diagnostic> {
    let file: shape::File = serde_json::from_value(document.root.to_json()).map_err(|error| {
        Diagnostic::of_file(
            document.source.name(),
            Kind::Schema,
            format!("the file has the wrong shape: {error}"),
        )
    })?;
    Ok(Runbook {
        file: document.source.name().to_owned(),
        source: document.source.text().to_owned(),
        title: file.title.unwrap_or_else(|| file.name.clone()),
        name: file.name,
        description: file.description,
        params: file
            .params
            .into_iter()
            .map(|(name, shape)| (name, parameter(shape)))
            .collect(),
        vars: file.vars,
        guards: guards(document),
        tolerance: file.tolerance.map(tolerance).unwrap_or_default(),
        checks: file
            .checks
            .into_iter()
            .map(|check| Check {
                that: condition(&Value::String(check.that)),
                otherwise: check.otherwise,
            })
            .collect(),
        lock: file.lock,
        notify: file.notify.map(notify),
        queries: file.queries,
        strategies: file
            .strategies
            .into_iter()
            .map(|(name, shape)| {
                (
                    name,
                    Strategy {
                        action: shape.action,
                        with: shape.with,
                        fallback: shape.fallback,
                    },
                )
            })
            .collect(),
        decisions: file
            .decisions
            .into_iter()
            .map(|(name, shape)| (name, decision(shape)))
            .collect(),
        steps: file.steps.into_iter().map(step).collect(),
    })
}

/// Read from the document, which knows where each rule stands. That they are well-formed the schema has said.
fn guards(document: &Document) -> Guards {
    let Some(node) = document.root.get("guards") else {
        return Guards::default();
    };
    let place = |rule: &Node| Place {
        file: document.source.name().to_owned(),
        position: diagnostic::position(&document.source, rule.range.clone()),
    };
    let names = |rule: &str| {
        let node = node.get(rule)?;
        let patterns = node.items().iter().filter_map(Node::text);
        Some(Names {
            patterns: patterns.map(str::to_owned).collect(),
            place: place(node),
        })
    };
    let most = node.get("max_workflows");
    let forbid = node.get("forbid").map(Node::items).unwrap_or_default();
    Guards {
        forbid: forbid
            .iter()
            .filter_map(Node::text)
            .map(str::to_owned)
            .collect(),
        namespaces: names("namespaces"),
        addresses: names("addresses"),
        max_workflows: most.and_then(|node| {
            Some(Ceiling {
                most: node.to_json().as_u64()?,
                place: place(node),
            })
        }),
    }
}

fn tolerance(shape: shape::Tolerance) -> Tolerance {
    let step = |(id, shape): (String, shape::StepTolerance)| {
        let rows = shape.rows.iter();
        let tolerance = StepTolerance {
            workflows: shape.workflows.as_ref().and_then(bound),
            rows: rows
                .filter_map(|(row, value)| Some((row.clone(), bound(value)?)))
                .collect(),
        };
        (id, tolerance)
    };
    Tolerance {
        workflows: shape.workflows.as_ref().and_then(bound),
        drainage: shape.drainage,
        steps: shape.steps.into_iter().map(step).collect(),
    }
}

fn notify(shape: shape::Notify) -> Notify {
    let env = shape.env.into_iter();
    Notify {
        argv: shape.argv.into_iter().map(|word| word.0).collect(),
        on: shape.on.unwrap_or_else(|| Event::ALL.to_vec()),
        env: env.map(|(name, word)| (name, word.0)).collect(),
        inherit: shape.inherit,
        timeout: shape.timeout.unwrap_or_else(|| "10s".to_owned()),
    }
}

fn parameter(shape: shape::Parameter) -> Parameter {
    Parameter {
        kind: shape.kind,
        description: shape.description,
        items: shape.items.unwrap_or(ParameterType::String),
        choices: shape.choices.unwrap_or_default(),
        pattern: shape.pattern,
        minimum: shape.minimum,
        maximum: shape.maximum,
        default: shape.default,
        secret: shape.secret,
    }
}

fn decision(shape: shape::Decision) -> Decision {
    Decision {
        scope: shape.scope,
        classify: shape.classify.map(classify),
        hit_policy: shape.hit_policy.unwrap_or(HitPolicy::First),
        unmatched: shape.unmatched,
        rows: shape.rows.into_iter().map(row).collect(),
    }
}

/// `types` and `attribute`, or the map itself.
fn classify(value: Value) -> Classify {
    let structured = value.as_object().is_some_and(super::tables::is_structured);
    if structured && let Ok(shape) = serde_json::from_value::<shape::Classify>(value.clone()) {
        return Classify {
            types: shape.types,
            attribute: shape.attribute,
        };
    }
    Classify {
        types: Some(value),
        attribute: None,
    }
}

fn row(shape: shape::Row) -> Row {
    let class = match shape.class {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(several)) => several
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
        _ => Vec::new(),
    };
    Row {
        id: shape.id,
        class,
        filter: shape.filter,
        task: shape.task,
        apply: shape.apply,
    }
}

fn step(shape: shape::Step) -> Step {
    let body = match (shape.repeat, shape.action) {
        (Some(repeat), _) => StepBody::Repeat {
            until: condition(&Value::String(repeat.until)),
            every: interval(&repeat.every),
            timeout: interval(&repeat.timeout),
            steps: repeat.steps.into_iter().map(step).collect(),
        },
        (None, action) => StepBody::Action {
            action: action.unwrap_or_default(),
            with: shape.with,
        },
    };
    Step {
        id: shape.id,
        title: shape.title,
        when: shape.when.as_ref().map(condition),
        agreement: shape.confirm.as_ref().map(agreement).unwrap_or_default(),
        confirm: shape.confirm.and_then(|confirm| confirm.word),
        timeout: shape.timeout.as_deref().map(interval),
        retry: match (shape.retry, &body) {
            (Some(declared), _) => retry(declared),
            // A program that failed is run again only where the step says so.
            (None, StepBody::Action { action, .. }) if action == "command.run" => Retry {
                attempts: 1,
                ..Retry::default()
            },
            (None, _) => Retry::default(),
        },
        on_failure: shape.on_failure.unwrap_or_default(),
        limits: shape.limits.map(limits).unwrap_or_default(),
        pace: shape.pace.map(pace).unwrap_or_default(),
        canary: shape.canary.map(|canary| Canary {
            count: canary.count,
            wait: interval(&canary.wait),
        }),
        body,
    }
}

fn agreement(confirm: &shape::Confirm) -> Agreement {
    Agreement {
        by: confirm.by.unwrap_or(1),
        not_starter: confirm.not.is_some(),
    }
}

/// The expression between the braces; a literal truth value is one too.
fn condition(value: &Value) -> String {
    match value {
        Value::String(text) => {
            template::sole(text).map_or_else(|| text.clone(), |inner| text[inner].to_owned())
        }
        other => other.to_string(),
    }
}

/// The schema has said that it is one.
fn interval(text: &str) -> Duration {
    schema::interval(text).unwrap_or_default()
}

fn retry(shape: shape::Retry) -> Retry {
    let default = Retry::default();
    Retry {
        attempts: shape.attempts.unwrap_or(default.attempts),
        backoff: shape.backoff.as_deref().map_or(default.backoff, interval),
        max_backoff: shape
            .max_backoff
            .as_deref()
            .map_or(default.max_backoff, interval),
    }
}

fn limits(shape: shape::Limits) -> Limits {
    Limits {
        max_workflows: shape.max_workflows.as_ref().and_then(bound),
        max_failures: shape.max_failures.as_ref().and_then(bound),
        max_unhealthy: shape.max_unhealthy.as_ref().and_then(bound),
    }
}

fn bound(value: &Value) -> Option<Bound> {
    match value {
        Value::String(text) => schema::percentage(text).map(Bound::Percent),
        other => other.as_u64().map(Bound::Count),
    }
}

fn pace(shape: shape::Pace) -> Pace {
    let default = Pace::default();
    Pace {
        rate: shape.rate.unwrap_or(default.rate),
        concurrency: shape.concurrency.unwrap_or(default.concurrency),
    }
}

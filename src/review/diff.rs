//! What an edit of a runbook changes for those who carry it out, the most dangerous first.
//!
//! Compares built models, not YAML: formatting, comments and the order of keys are no difference. What makes
//! a runbook more dangerous is told from what makes it stricter; where that cannot be known it counts as
//! dangerous. The structures are taken apart field by field, so that a new field cannot be forgotten here.

use std::collections::BTreeSet;
use std::fmt::Display;

use indexmap::IndexMap;
use serde::Serialize;
use serde_json::Value;

use super::docs::{rules, type_name};
use super::words::{self, Words};
use super::{diff_decisions, diff_gates, diff_notify, diff_queries, diff_steps};
use crate::runbook::{Bound, Check, Guards, Parameter, Runbook, Tolerance, guards};

/// What a change means for operators; the order is that of danger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Workflows are terminated, cancelled or started anew that were not.
    Ends,
    /// A confirmation, guard, limit, check or lock is gone, weaker, or another.
    Safeguard,
    /// More Workflows are affected.
    Wider,
    /// Other Workflows are affected.
    Affected,
    /// Something else is done.
    Done,
    /// A step that writes is new.
    Added,
    /// Steps are removed, moved or changed otherwise.
    Step,
    /// Parameters are new, gone or changed.
    Parameter,
    /// A confirmation, guard, limit, check or lock is new or stricter.
    Stricter,
    /// Nothing that an operator would notice in what is done.
    Harmless,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What it means.
    pub kind: Kind,
    /// Where: a step, a query, …
    pub place: Words,
    /// What is different.
    pub what: Words,
    /// As it was, where that helps.
    pub old: Option<String>,
    /// As it is now.
    pub new: Option<String>,
}

/// Two versions of a runbook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The differences: by kind, then in the order of the file.
    pub changes: Vec<Change>,
}

impl Difference {
    /// Whether an operator would notice any of it.
    pub fn matters(&self) -> bool {
        self.changes
            .iter()
            .any(|change| change.kind != Kind::Harmless)
    }

    /// Whether Workflows are ended, a safeguard is gone or weaker, or more Workflows are affected.
    pub fn is_dangerous(&self) -> bool {
        self.changes.iter().any(|change| change.kind <= Kind::Wider)
    }
}

/// Collects differences.
#[derive(Debug, Default)]
pub(super) struct Changes(Vec<Change>);

impl Changes {
    pub(super) fn add(&mut self, kind: Kind, place: &Words, what: Words) {
        self.0.push(Change {
            kind,
            place: place.clone(),
            what,
            old: None,
            new: None,
        });
    }

    /// With how it was and how it is.
    pub(super) fn swap(
        &mut self,
        kind: Kind,
        place: &Words,
        what: Words,
        old: impl Display,
        new: impl Display,
    ) {
        self.0.push(Change {
            kind,
            place: place.clone(),
            what,
            old: Some(old.to_string()),
            new: Some(new.to_string()),
        });
    }

    /// Something that is only read by people.
    pub(super) fn texts(
        &mut self,
        place: &Words,
        noun: &str,
        old: Option<&str>,
        new: Option<&str>,
    ) {
        match (old, new) {
            (old, new) if old == new => {}
            (Some(old), Some(new)) => {
                let what = Words::new(&format!("the {noun} changed"));
                self.swap(Kind::Harmless, place, what, old, new);
            }
            (None, _) => self.add(
                Kind::Harmless,
                place,
                Words::new(&format!("has a {noun} now")),
            ),
            (_, None) => self.add(
                Kind::Harmless,
                place,
                Words::new(&format!("has no {noun} any more")),
            ),
        }
    }

    /// A number of which more is more dangerous; none is no bound at all.
    pub(super) fn ceiling<T: PartialOrd + Copy>(
        &mut self,
        place: &Words,
        noun: &str,
        (old, new): (Option<T>, Option<T>),
        say: impl Fn(T) -> String,
    ) {
        match (old, new) {
            (old, new) if old == new => {}
            (Some(old), None) => {
                let what = Words::new(&format!("has no {noun} any more"));
                self.swap(Kind::Safeguard, place, what, say(old), "none");
            }
            (None, Some(new)) => {
                let what = Words::new(&format!("has a {noun} now"));
                self.swap(Kind::Stricter, place, what, "none", say(new));
            }
            (Some(old), Some(new)) => {
                let (kind, word) = match new.partial_cmp(&old) {
                    Some(std::cmp::Ordering::Less) => (Kind::Stricter, "lower"),
                    _ => (Kind::Safeguard, "higher"),
                };
                self.swap(
                    kind,
                    place,
                    Words::new(&format!("the {noun} is {word}")),
                    say(old),
                    say(new),
                );
            }
            (None, None) => {}
        }
    }
}

/// What is different in `new`.
pub fn compare(old: &Runbook, new: &Runbook) -> Difference {
    let mut changes = Changes::default();
    let Runbook {
        file: _,
        source: _,
        name,
        title,
        description,
        params,
        vars,
        guards,
        tolerance,
        checks: held,
        lock,
        notify,
        queries: _,
        strategies: _,
        decisions: _,
        steps: _,
    } = old;
    let whole = Words::new("runbook");
    if *name != new.name {
        changes.swap(
            Kind::Step,
            &whole,
            Words::new("has another name"),
            name,
            &new.name,
        );
    }
    changes.texts(&whole, "title", Some(title), Some(&new.title));
    changes.texts(
        &whole,
        "description",
        description.as_deref(),
        new.description.as_deref(),
    );
    compare_guards(&mut changes, guards, &new.guards);
    compare_tolerance(&mut changes, tolerance, &new.tolerance);
    checks(&mut changes, held, &new.checks);
    compare_lock(&mut changes, lock.as_deref(), new.lock.as_deref());
    diff_notify::compare(&mut changes, notify.as_ref(), new.notify.as_ref());
    parameters(&mut changes, params, &new.params);
    variables(&mut changes, vars, &new.vars);
    diff_queries::compare(&mut changes, old, new);
    diff_decisions::compare(&mut changes, old, new);
    diff_steps::compare(&mut changes, old, new);
    changes.0.sort_by_key(|change| change.kind);
    Difference { changes: changes.0 }
}

/// Whether two expressions differ in more than blanks outside of quotes.
pub(super) fn same_expression(old: &str, new: &str) -> bool {
    squeezed(old) == squeezed(new)
}

fn squeezed(text: &str) -> String {
    let mut squeezed = String::with_capacity(text.len());
    let mut quote = None;
    let mut rest = text.trim().chars();
    while let Some(c) = rest.next() {
        match (quote, c) {
            (None, c) if c.is_whitespace() => {
                if !squeezed.ends_with(' ') {
                    squeezed.push(' ');
                }
                continue;
            }
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            (Some(_), '\\') => {
                squeezed.push(c);
                squeezed.extend(rest.next());
                continue;
            }
            _ => {}
        }
        squeezed.push(c);
    }
    squeezed
}

fn compare_guards(changes: &mut Changes, old: &Guards, new: &Guards) {
    let Guards {
        namespaces,
        addresses,
        max_workflows,
        forbid,
    } = old;
    allowed(
        changes,
        "namespaces",
        namespaces.as_ref(),
        new.namespaces.as_ref(),
    );
    allowed(
        changes,
        "addresses",
        addresses.as_ref(),
        new.addresses.as_ref(),
    );
    let most = |ceiling: &Option<guards::Ceiling>| ceiling.as_ref().map(|ceiling| ceiling.most);
    changes.ceiling(
        &Words::new("guards"),
        "ceiling of Workflows a step",
        (most(max_workflows), most(&new.max_workflows)),
        |most| most.to_string(),
    );
    let place = Words::new("guards");
    for name in forbid.iter().filter(|name| !new.forbid.contains(name)) {
        changes.add(
            Kind::Safeguard,
            &place,
            Words::default()
                .code(name)
                .say(" is not forbidden any more"),
        );
    }
    for name in new.forbid.iter().filter(|name| !forbid.contains(name)) {
        changes.add(
            Kind::Stricter,
            &place,
            Words::default().code(name).say(" is forbidden now"),
        );
    }
}

fn allowed(
    changes: &mut Changes,
    noun: &str,
    old: Option<&guards::Names>,
    new: Option<&guards::Names>,
) {
    let place = Words::new("guards");
    let all = |names: &guards::Names| names.patterns.join(", ");
    match (old, new) {
        (None, None) => {}
        (Some(old), None) => {
            let what = Words::new(&format!("all {noun} are allowed now"));
            changes.swap(Kind::Safeguard, &place, what, all(old), "any");
        }
        (None, Some(new)) => {
            let what = Words::new(&format!("only some {noun} are allowed now"));
            changes.swap(Kind::Stricter, &place, what, "any", all(new));
        }
        (Some(old), Some(new)) => {
            for name in new
                .patterns
                .iter()
                .filter(|name| !old.patterns.contains(name))
            {
                let what = Words::new(&format!("of the {noun}, "))
                    .code(name)
                    .say(" is allowed besides");
                changes.add(Kind::Safeguard, &place, what);
            }
            for name in old
                .patterns
                .iter()
                .filter(|name| !new.patterns.contains(name))
            {
                let what = Words::new(&format!("of the {noun}, "))
                    .code(name)
                    .say(" is not allowed any more");
                changes.add(Kind::Stricter, &place, what);
            }
        }
    }
}

/// Without one, the counts of a saved plan may have moved by a tenth.
const TOLERATED: Bound = Bound::Percent(10.0);

fn compare_tolerance(changes: &mut Changes, old: &Tolerance, new: &Tolerance) {
    let Tolerance {
        workflows: _,
        drainage,
        steps: _,
    } = old;
    let place = Words::new("tolerance");
    match (drainage, new.drainage) {
        (false, true) => {
            let what = Words::new("a Version's drainage may have changed since a plan was saved");
            changes.add(Kind::Safeguard, &place, what);
        }
        (true, false) => {
            let what =
                Words::new("a Version's drainage may not have changed since a plan was saved");
            changes.add(Kind::Stricter, &place, what);
        }
        _ => {}
    }
    let mut names: Vec<(&str, &str)> = vec![("", "")];
    for tolerance in [old, new] {
        for (step, of) in &tolerance.steps {
            names.push((step, ""));
            names.extend(of.rows.keys().map(|row| (step.as_str(), row.as_str())));
        }
    }
    let mut seen = BTreeSet::new();
    for (step, row) in names.into_iter().filter(|name| seen.insert(*name)) {
        let mut place = place.clone();
        if !step.is_empty() {
            place = place.say(", step ").code(step);
        }
        if !row.is_empty() {
            place = place.say(", row ").code(row);
        }
        let (old, new) = (tolerated(old, step, row), tolerated(new, step, row));
        diff_gates::bounds(
            changes,
            &place,
            "tolerated change of a count",
            Some(old),
            Some(new),
        );
    }
}

/// A row's, else its step's, else the runbook's.
fn tolerated(tolerance: &Tolerance, step: &str, row: &str) -> Bound {
    let of = tolerance.steps.get(step);
    let row = of.and_then(|of| of.rows.get(row).copied());
    let step = of.and_then(|of| of.workflows);
    row.or(step).or(tolerance.workflows).unwrap_or(TOLERATED)
}

fn checks(changes: &mut Changes, old: &[Check], new: &[Check]) {
    let place = Words::new("checks");
    let same = |check: &Check, others: &[Check]| {
        others
            .iter()
            .find(|other| same_expression(&other.that, &check.that))
            .cloned()
    };
    for check in old {
        match same(check, new) {
            Some(other) if other.otherwise == check.otherwise => {}
            Some(other) => changes.texts(
                &place,
                "message",
                Some(&check.otherwise),
                Some(&other.otherwise),
            ),
            None => changes.add(
                Kind::Safeguard,
                &place,
                Words::new("nothing checks any more that ").code(&check.that),
            ),
        }
    }
    for check in new.iter().filter(|check| same(check, old).is_none()) {
        changes.add(
            Kind::Stricter,
            &place,
            Words::new("must hold now: ").code(&check.that),
        );
    }
}

fn compare_lock(changes: &mut Changes, old: Option<&str>, new: Option<&str>) {
    let place = Words::new("lock");
    match (old, new) {
        (None, None) => {}
        (Some(old), None) => {
            let what = Words::new("two runs at the same time do not exclude each other any more");
            changes.swap(Kind::Safeguard, &place, what, old, "none");
        }
        (None, Some(new)) => {
            let what = Words::new("runs exclude each other now");
            changes.swap(Kind::Stricter, &place, what, "none", new);
        }
        (Some(old), Some(new)) if same_expression(old, new) => {}
        (Some(old), Some(new)) => {
            let what = Words::new(
                "another name: runs of the old and of the new runbook do not exclude each other",
            );
            changes.swap(Kind::Safeguard, &place, what, old, new);
        }
    }
}

fn variables(changes: &mut Changes, old: &IndexMap<String, Value>, new: &IndexMap<String, Value>) {
    for (name, value) in old {
        let place = Words::new("variable ").code(name);
        match new.get(name) {
            None => changes.add(Kind::Step, &place, Words::new("is gone")),
            Some(other) if other == value => {}
            Some(other) => changes.swap(
                Kind::Done,
                &place,
                Words::new("has another value"),
                words::value(value),
                words::value(other),
            ),
        }
    }
    for name in new.keys().filter(|name| !old.contains_key(*name)) {
        changes.add(
            Kind::Step,
            &Words::new("variable ").code(name),
            Words::new("is new"),
        );
    }
}

fn parameters(
    changes: &mut Changes,
    old: &IndexMap<String, Parameter>,
    new: &IndexMap<String, Parameter>,
) {
    for (name, parameter) in old {
        let place = Words::new("parameter ").code(name);
        match new.get(name) {
            None => changes.add(
                Kind::Parameter,
                &place,
                Words::new("is gone: giving it is an error now"),
            ),
            Some(other) => compare_parameter(changes, &place, parameter, other),
        }
    }
    for (name, parameter) in new.iter().filter(|(name, _)| !old.contains_key(*name)) {
        let what = match &parameter.default {
            None => Words::new("is new and must be given"),
            Some(default) => Words::new("is new; without it ").code(words::value(default)),
        };
        changes.add(Kind::Parameter, &Words::new("parameter ").code(name), what);
    }
}

fn compare_parameter(changes: &mut Changes, place: &Words, old: &Parameter, new: &Parameter) {
    let Parameter {
        kind,
        description,
        items,
        choices: _,
        pattern: _,
        minimum: _,
        maximum: _,
        default,
        secret,
    } = old;
    if (kind, items) != (&new.kind, &new.items) {
        let say = |parameter: &Parameter| {
            format!(
                "{} ({})",
                type_name(parameter.kind),
                type_name(parameter.items)
            )
        };
        changes.swap(
            Kind::Parameter,
            place,
            Words::new("has another type"),
            say(old),
            say(new),
        );
    }
    changes.texts(
        place,
        "description",
        Some(description),
        Some(&new.description),
    );
    let said = |parameter: &Parameter| {
        let rules: Vec<String> = rules(parameter).iter().map(Words::bare).collect();
        if rules.is_empty() {
            "anything".to_owned()
        } else {
            rules.join(" ")
        }
    };
    if said(old) != said(new) {
        changes.swap(
            Kind::Parameter,
            place,
            Words::new("permits other values"),
            said(old),
            said(new),
        );
    }
    if *default != new.default && !*secret && !new.secret {
        let say = |default: &Option<Value>| {
            default
                .as_ref()
                .map_or("must be given".to_owned(), words::value)
        };
        let what = Words::new("has another default");
        changes.swap(
            Kind::Parameter,
            place,
            what,
            say(default),
            say(&new.default),
        );
    } else if *default != new.default {
        changes.add(Kind::Parameter, place, Words::new("has another default"));
    }
    match (secret, new.secret) {
        (true, false) => changes.add(
            Kind::Safeguard,
            place,
            Words::new("is not secret any more: it is shown and kept"),
        ),
        (false, true) => changes.add(Kind::Stricter, place, Words::new("is secret now")),
        _ => {}
    }
}

//! Which Workflows two List Filters find: the same, more, fewer or others. What cannot be told counts as
//! others. Also the named queries.

use std::collections::BTreeSet;

use super::diff::{Changes, Kind};
use super::words::Words;
use crate::list_filter::{self, Expr, List};
use crate::runbook::{Runbook, StepBody};
use crate::template::{self, Piece};

/// What a new filter finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finds {
    /// The same.
    Same,
    /// The same and more.
    More,
    /// Only some of it.
    Fewer,
    /// Others, or nobody can say.
    Others,
}

impl Finds {
    pub(super) fn kind(self) -> Kind {
        match self {
            Self::More => Kind::Wider,
            Self::Same | Self::Fewer | Self::Others => Kind::Affected,
        }
    }

    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Same => "finds the same",
            Self::More => "finds more Workflows",
            Self::Fewer => "finds fewer Workflows",
            Self::Others => "finds other Workflows",
        }
    }
}

/// Says where a filter finds others; `noun` is what it is called.
pub(super) fn filter(changes: &mut Changes, place: &Words, noun: &str, old: &str, new: &str) {
    let finds = finds(old, new);
    if finds != Finds::Same {
        let what = Words::new(&format!("{noun}{}", finds.words()));
        changes.swap(finds.kind(), place, what, one_line(old), one_line(new));
    }
}

fn one_line(text: &str) -> String {
    super::escape::one_line(text)
}

/// What `new` finds, seen from `old`.
pub(super) fn finds(old: &str, new: &str) -> Finds {
    match (
        list_filter::parse_template(old),
        list_filter::parse_template(new),
    ) {
        (Ok(old), Ok(new)) => expressions(old.expr(), new.expr()),
        _ if old.trim() == new.trim() => Finds::Same,
        _ => Finds::Others,
    }
}

fn expressions(old: &Expr, new: &Expr) -> Finds {
    let (gone, came) = rest(&all_of(old), &all_of(new));
    match (gone.as_slice(), came.as_slice()) {
        ([], []) => Finds::Same,
        (_, []) => Finds::More,
        ([], _) => Finds::Fewer,
        ([old], [new]) => alternatives(old, new),
        _ => Finds::Others,
    }
}

fn alternatives(old: &Expr, new: &Expr) -> Finds {
    if let (Some(old), Some(new)) = (listed(old), listed(new))
        && old.0 == new.0
    {
        let grown = by_rest(&rest(&old.1, &new.1));
        return match (grown, old.2) {
            (Finds::More, true) => Finds::Fewer,
            (Finds::Fewer, true) => Finds::More,
            (grown, _) => grown,
        };
    }
    let alternatives = rest(&any_of(old), &any_of(new));
    match (alternatives.0.as_slice(), alternatives.1.as_slice()) {
        // One of several is another: more or fewer by as much as that one.
        ([one], [other]) if one != old || other != new => expressions(one, other),
        _ => by_rest(&alternatives),
    }
}

/// By what of a list of alternatives is gone and what came.
fn by_rest<T>((gone, came): &(Vec<T>, Vec<T>)) -> Finds {
    match (gone.is_empty(), came.is_empty()) {
        (true, true) => Finds::Same,
        (true, false) => Finds::More,
        (false, true) => Finds::Fewer,
        (false, false) => Finds::Others,
    }
}

/// What only one of two lists has.
fn rest<T: PartialEq + Clone>(old: &[T], new: &[T]) -> (Vec<T>, Vec<T>) {
    let only = |these: &[T], those: &[T]| -> Vec<T> {
        these
            .iter()
            .filter(|one| !those.contains(one))
            .cloned()
            .collect()
    };
    (only(old, new), only(new, old))
}

fn all_of(expr: &Expr) -> Vec<Expr> {
    match expr {
        Expr::And(parts) => parts.iter().flat_map(all_of).collect(),
        other => vec![other.clone()],
    }
}

fn any_of(expr: &Expr) -> Vec<Expr> {
    match expr {
        Expr::Or(parts) => parts.iter().flat_map(any_of).collect(),
        other => vec![other.clone()],
    }
}

/// Attribute, values and whether it is `NOT IN`; `=` and `!=` are lists of one.
fn listed(expr: &Expr) -> Option<(String, Vec<list_filter::Operand>, bool)> {
    match expr {
        Expr::In {
            attribute,
            negated,
            list: List::Items { items, .. },
            ..
        } => Some((
            format!("{} {negated}", attribute.name),
            items.clone(),
            *negated,
        )),
        Expr::Compare {
            attribute,
            operator: operator @ (list_filter::Operator::Eq | list_filter::Operator::NotEq),
            value,
            ..
        } => {
            let negated = *operator == list_filter::Operator::NotEq;
            Some((
                format!("{} {negated}", attribute.name),
                vec![value.clone()],
                negated,
            ))
        }
        _ => None,
    }
}

/// The named queries.
pub(super) fn compare(changes: &mut Changes, old: &Runbook, new: &Runbook) {
    for (name, query) in &old.queries {
        let place = Words::new("query ").code(name);
        let Some(other) = new.queries.get(name) else {
            changes.add(Kind::Step, &place, Words::new("is gone"));
            continue;
        };
        let finds = finds(query, other);
        if finds == Finds::Same {
            continue;
        }
        let users = users(new, name);
        let mut what = Words::new(finds.words());
        if !users.is_empty() {
            what = what
                .say("; used by ")
                .names(users.iter().map(String::as_str), " and ");
        }
        changes.swap(finds.kind(), &place, what, one_line(query), one_line(other));
    }
    for name in new
        .queries
        .keys()
        .filter(|name| !old.queries.contains_key(*name))
    {
        changes.add(
            Kind::Step,
            &Words::new("query ").code(name),
            Words::new("is new"),
        );
    }
}

/// Decisions, rows and steps whose filters insert a query, also through other queries.
fn users(runbook: &Runbook, query: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::from([query.to_owned()]);
    loop {
        let more: Vec<String> = runbook
            .queries
            .iter()
            .filter(|(name, text)| !names.contains(*name) && reads(text, &names))
            .map(|(name, _)| name.clone())
            .collect();
        if more.is_empty() {
            break;
        }
        names.extend(more);
    }
    let mut users = BTreeSet::new();
    for (name, decision) in &runbook.decisions {
        let filters = decision.rows.iter().filter_map(|row| row.filter.as_deref());
        if filters
            .chain([decision.scope.as_str()])
            .any(|text| reads(text, &names))
        {
            users.insert(name.clone());
        }
    }
    for step in runbook.all_steps() {
        if let StepBody::Action { with, .. } = &step.body
            && with.values().any(|value| mentions(value, &names))
        {
            users.insert(step.id.clone());
        }
    }
    users
}

fn mentions(value: &serde_json::Value, names: &BTreeSet<String>) -> bool {
    match value {
        serde_json::Value::String(text) => reads(text, names),
        serde_json::Value::Array(items) => items.iter().any(|item| mentions(item, names)),
        serde_json::Value::Object(entries) => entries.values().any(|item| mentions(item, names)),
        _ => false,
    }
}

fn reads(text: &str, names: &BTreeSet<String>) -> bool {
    let holes = template::split(text).unwrap_or_default().into_iter();
    let inner = holes.filter_map(|piece| match piece {
        Piece::Hole { inner, .. } => template::parse(&text[inner], 0).ok(),
        Piece::Text(_) => None,
    });
    inner.flat_map(|expression| expression.reads).any(|read| {
        read.name(0) == Some("queries") && read.name(1).is_some_and(|name| names.contains(name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_fewer_and_others_are_told_apart() {
        let base = "WorkflowType = 'x' AND ExecutionStatus = 'Running'";
        let either = "WorkflowType = 'x' OR WorkflowId = 'y'";
        for (old, new, expected) in [
            (
                base,
                "ExecutionStatus='Running' and WorkflowType = 'x'",
                Finds::Same,
            ),
            (base, "WorkflowType = 'x'", Finds::More),
            ("WorkflowType = 'x'", base, Finds::Fewer),
            (
                base,
                "WorkflowType = 'y' AND ExecutionStatus = 'Running'",
                Finds::Others,
            ),
            (
                base,
                "WorkflowType IN ('x', 'y') AND ExecutionStatus = 'Running'",
                Finds::More,
            ),
            (
                "WorkflowType NOT IN ('x', 'y')",
                "WorkflowType NOT IN ('x')",
                Finds::More,
            ),
            (
                "WorkflowType NOT IN ('x')",
                "WorkflowType NOT IN ('x', 'y')",
                Finds::Fewer,
            ),
            (
                either,
                "WorkflowType = 'x' OR WorkflowId = 'y' OR TaskQueue = 'z'",
                Finds::More,
            ),
            (either, "WorkflowId = 'y'", Finds::Fewer),
            (
                either,
                "WorkflowType IN ('x', 'z') OR WorkflowId = 'y'",
                Finds::More,
            ),
            (
                "WorkflowType = ${{ params.x }}",
                "WorkflowType = ${{ params.y }}",
                Finds::Others,
            ),
            ("WorkflowType = 'x'", "WorkflowType != 'x'", Finds::Others),
        ] {
            assert_eq!(finds(old, new), expected, "{old} -> {new}");
        }
    }
}

//! What is different in steps: new, gone, moved, renamed, and what they do.

use indexmap::IndexMap;
use serde_json::{Map, Value};

use super::diff::{Changes, Kind, same_expression};
use super::diff_decisions::{ending, instead};
use super::diff_gates::{self, compare_timeout};
use super::diff_queries::filter;
use super::docs_steps::what;
use super::words::{self, Does, Words};
use crate::runbook::{Runbook, Step, StepBody};

/// A step, and the loop that it is in.
#[derive(Clone, Copy)]
struct Placed<'a> {
    step: &'a Step,
    within: Option<&'a str>,
}

type Steps<'a> = IndexMap<&'a str, Placed<'a>>;

fn flat<'a>(steps: &'a [Step], within: Option<&'a str>, all: &mut Steps<'a>) {
    for step in steps {
        all.insert(&step.id, Placed { step, within });
        if let StepBody::Repeat { steps, .. } = &step.body {
            flat(steps, Some(&step.id), all);
        }
    }
}

/// All steps.
pub(super) fn compare(changes: &mut Changes, old_book: &Runbook, new_book: &Runbook) {
    let (mut old, mut new) = (Steps::new(), Steps::new());
    flat(&old_book.steps, None, &mut old);
    flat(&new_book.steps, None, &mut new);
    let renamed = renamed(&old, &new);
    for (id, placed) in &old {
        let at = Words::new("step ").code(*id);
        if let Some(other) = new.get(id) {
            compare_step(
                changes,
                &at,
                (placed.step, other.step),
                (old_book, new_book),
            );
            compare_loop(changes, &at, *placed, *other, new_book);
        } else if let Some(name) = renamed.get(id) {
            let what = Words::new("is now called ").code(*name);
            changes.add(Kind::Step, &at, what);
        } else {
            let kind = if holds_back(placed.step) {
                Kind::Safeguard
            } else {
                Kind::Step
            };
            let what = Words::new("is gone; it did: ").and(what(placed.step));
            changes.add(kind, &at, what);
        }
    }
    for (id, placed) in new.iter().filter(|(id, _)| !old.contains_key(**id)) {
        if !renamed.values().any(|name| name == id) {
            added(changes, id, placed.step, new_book);
        }
    }
    moved(changes, &old, &new);
}

/// Whether a step is there to stop a run, to ask or to look, and does nothing itself.
fn holds_back(step: &Step) -> bool {
    let StepBody::Action { action, .. } = &step.body else {
        return false;
    };
    matches!(
        action.as_str(),
        "assert" | "manual.task" | "wait" | "workflows.verify" | "workflows.wait_closed"
    )
}

/// What a step performs; nothing where it repeats others.
fn action_of(step: &Step) -> &str {
    match &step.body {
        StepBody::Action { action, .. } => action,
        StepBody::Repeat { .. } => "",
    }
}

fn added(changes: &mut Changes, id: &str, step: &Step, book: &Runbook) {
    let does = Does::of(book, step);
    let kind = match () {
        () if ending(action_of(step)) > 0 => Kind::Ends,
        () if does.writes() => Kind::Added,
        () if holds_back(step) => Kind::Stricter,
        () => Kind::Step,
    };
    let what = Words::new("is new: ")
        .and(what(step))
        .say(" (")
        .and(does.words())
        .say(")");
    changes.add(kind, &Words::new("step ").code(id), what);
}

/// Steps that are there under another name and are otherwise the same.
fn renamed<'a>(old: &Steps<'a>, new: &Steps<'a>) -> IndexMap<&'a str, &'a str> {
    let mut found: IndexMap<&str, &str> = IndexMap::new();
    for (id, placed) in old.iter().filter(|(id, _)| !new.contains_key(**id)) {
        let same = |other: &&Step| {
            let named = Step {
                id: placed.step.id.clone(),
                title: placed.step.title.clone(),
                ..(*other).clone()
            };
            named == *placed.step
        };
        let free = new.values().map(|other| other.step).filter(|other| {
            !old.contains_key(other.id.as_str()) && !found.values().any(|name| *name == other.id)
        });
        if let Some(other) = free.into_iter().find(same) {
            found.insert(id, &other.id);
        }
    }
    found
}

fn compare_loop(
    changes: &mut Changes,
    at: &Words,
    old: Placed<'_>,
    new: Placed<'_>,
    book: &Runbook,
) {
    if old.within == new.within {
        return;
    }
    let writes = Does::of(book, new.step).writes();
    match new.within {
        Some(within) => {
            let kind = if writes { Kind::Done } else { Kind::Step };
            changes.add(kind, at, Words::new("is repeated now, by ").code(within));
        }
        None => changes.add(Kind::Step, at, Words::new("is not repeated any more")),
    }
}

/// Steps that are at another place among those that both have: as few as possible are said to have moved.
fn moved(changes: &mut Changes, old: &Steps<'_>, new: &Steps<'_>) {
    let now: Vec<&str> = new
        .keys()
        .copied()
        .filter(|id| old.contains_key(id))
        .collect();
    let places: Vec<usize> = now.iter().filter_map(|id| old.get_index_of(id)).collect();
    let kept = longest_rise(&places);
    for (index, id) in now
        .iter()
        .enumerate()
        .filter(|(index, _)| !kept.contains(index))
    {
        let what = match index.checked_sub(1).and_then(|before| now.get(before)) {
            Some(before) => Words::new("comes at another place: after ").code(*before),
            None => Words::new("comes at another place: first"),
        };
        changes.add(Kind::Step, &Words::new("step ").code(*id), what);
    }
}

/// Indices of the longest rising subsequence.
fn longest_rise(numbers: &[usize]) -> Vec<usize> {
    let mut best: Vec<(usize, Option<usize>)> = Vec::with_capacity(numbers.len());
    for (index, number) in numbers.iter().enumerate() {
        let before = (0..index)
            .filter(|at| numbers[*at] < *number)
            .max_by_key(|at| (best[*at].0, std::cmp::Reverse(*at)));
        best.push((before.map_or(1, |at| best[at].0 + 1), before));
    }
    let mut at = (0..best.len()).max_by_key(|at| (best[*at].0, std::cmp::Reverse(*at)));
    let mut kept = Vec::new();
    while let Some(index) = at {
        kept.push(index);
        at = best[index].1;
    }
    kept
}

fn compare_step(
    changes: &mut Changes,
    at: &Words,
    (old, new): (&Step, &Step),
    books: (&Runbook, &Runbook),
) {
    diff_gates::compare(changes, at, old, new, holds_back(new));
    compare_body(changes, at, (&old.body, &new.body), (old, new), books);
}

fn compare_body(
    changes: &mut Changes,
    at: &Words,
    (old, new): (&StepBody, &StepBody),
    (old_step, new_step): (&Step, &Step),
    (old_book, new_book): (&Runbook, &Runbook),
) {
    match (old, new) {
        (
            StepBody::Repeat {
                until,
                every,
                timeout,
                steps: _,
            },
            StepBody::Repeat {
                until: new_until,
                every: new_every,
                timeout: new_timeout,
                steps: _,
            },
        ) => {
            if !same_expression(until, new_until) {
                changes.swap(
                    Kind::Step,
                    at,
                    Words::new("ends on another condition"),
                    until,
                    new_until,
                );
            }
            if every != new_every {
                let say = |every: &std::time::Duration| words::interval(*every);
                changes.swap(
                    Kind::Step,
                    at,
                    Words::new("pauses for another time between rounds"),
                    say(every),
                    say(new_every),
                );
            }
            compare_timeout(changes, at, Some(*timeout), Some(*new_timeout));
        }
        (
            StepBody::Action { action, with },
            StepBody::Action {
                action: other,
                with: new_with,
            },
        ) if action == other => {
            arguments(changes, at, action, (with, new_with), |_| false);
            compare_effect(
                changes,
                at,
                Does::of(old_book, old_step),
                Does::of(new_book, new_step),
            );
        }
        _ => {
            let say = |book: &Runbook, step: &Step| {
                let does = Does::of(book, step).words().bare();
                format!("{} ({does})", what(step).bare())
            };
            let held = holds_back(old_step) && !holds_back(new_step);
            let kind = match instead(action_of(old_step), action_of(new_step)) {
                Kind::Done if held => Kind::Safeguard,
                kind => kind,
            };
            let what = Words::new("does something else");
            changes.swap(
                kind,
                at,
                what,
                say(old_book, old_step),
                say(new_book, new_step),
            );
        }
    }
}

/// The same action may do more to the world than it did.
fn compare_effect(changes: &mut Changes, at: &Words, old: Does, new: Does) {
    if old != new {
        let what = Words::new("has another effect on the world");
        changes.swap(Kind::Done, at, what, old.words().bare(), new.words().bare());
    }
}

/// The arguments of one action; `said` are those of which a change was said already.
pub(super) fn arguments(
    changes: &mut Changes,
    at: &Words,
    action: &str,
    (old, new): (&Map<String, Value>, &Map<String, Value>),
    said: impl Fn(&str) -> bool,
) {
    let names = old
        .keys()
        .chain(new.keys().filter(|name| !old.contains_key(*name)));
    for name in names {
        let (before, now) = (old.get(name), new.get(name));
        if before == now || said(name) {
            continue;
        }
        argument(changes, at, action, name, (before, now));
    }
}

fn argument(
    changes: &mut Changes,
    at: &Words,
    action: &str,
    name: &str,
    (old, new): (Option<&Value>, Option<&Value>),
) {
    if let (Some(Value::String(old)), Some(Value::String(new))) = (old, new) {
        match name {
            "query" => return filter(changes, at, "the query ", old, new),
            _ if same_expression(old, new) && old.contains("${{") => return,
            _ => {}
        }
    }
    if name == "select" {
        return selection(
            changes,
            at,
            old.unwrap_or(&Value::Null),
            new.unwrap_or(&Value::Null),
        );
    }
    let say = |value: Option<&Value>| value.map_or_else(|| "none".to_owned(), words::value);
    let writes = crate::catalog::find(action).is_none_or(|action| action.effect.writes());
    let kind = match (action, name) {
        ("assert", "message") => Kind::Harmless,
        ("assert", _)
        | (
            _,
            "missing_task_queues" | "if_reset" | "if_superseded" | "accept" | "effect" | "success",
        ) => Kind::Safeguard,
        (_, "ledger" | "also_lost_by" | "decision" | "decisions") => Kind::Affected,
        ("manual.task", _) | (_, "reason" | "timeout" | "wait" | "wait_for_pollers" | "limit") => {
            Kind::Step
        }
        _ if writes => Kind::Done,
        _ => Kind::Step,
    };
    let what = Words::default().code(name).say(" is another");
    changes.swap(kind, at, what, say(old), say(new));
}

fn selection(changes: &mut Changes, at: &Words, old: &Value, new: &Value) {
    let query = |select: &Value| {
        select
            .get("query")
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    let without = |select: &Value| {
        let mut select = select.clone();
        if let Some(entries) = select.as_object_mut() {
            entries.remove("query");
        }
        select
    };
    if let (Some(before), Some(now)) = (query(old), query(new))
        && without(old) == without(new)
    {
        return filter(changes, at, "", &before, &now);
    }
    // An exclusion, a limit or a condition that is gone lets more in; all else is another selection.
    let narrows = ["exclude", "only", "limit", "sample"];
    let lost = narrows
        .iter()
        .any(|name| old.get(*name).is_some() && new.get(*name).is_none());
    let raised = ["limit", "sample"].iter().any(|name| {
        let number = |select: &Value| select.get(*name).and_then(Value::as_u64);
        matches!((number(old), number(new)), (Some(old), Some(new)) if new > old)
    });
    let kind = if lost || raised {
        Kind::Wider
    } else {
        Kind::Affected
    };
    let what = Words::new(if lost || raised {
        "takes more Workflows"
    } else {
        "takes other Workflows"
    });
    let say = |select: &Value| words::selection(select).bare();
    changes.swap(kind, at, what, say(old), say(new));
}

#[cfg(test)]
mod tests {
    use super::longest_rise;

    #[test]
    fn as_few_as_possible_have_moved() {
        for (order, kept) in [
            (vec![0, 1, 2, 3], 4),
            (vec![3, 0, 1, 2], 3),
            (vec![1, 2, 3, 0], 3),
            (vec![2, 1, 0], 1),
            (vec![], 0),
        ] {
            let rise = longest_rise(&order);
            assert_eq!(rise.len(), kept, "{order:?}");
            let mut numbers: Vec<usize> = rise.iter().map(|at| order[*at]).collect();
            numbers.reverse();
            assert!(numbers.is_sorted());
        }
    }
}

//! What is different in what holds a step back: its condition, who must agree, limits, pace, canary, time.

use std::time::Duration;

use super::diff::{Changes, Kind, same_expression};
use super::words::{self, Words};
use crate::runbook::{Agreement, Bound, Canary, Limits, OnFailure, Pace, Step};

/// All of a step but what it does. `holds_back` says that the step itself is there to stop or to ask.
pub(super) fn compare(changes: &mut Changes, at: &Words, old: &Step, new: &Step, holds_back: bool) {
    let Step {
        id: _,
        title,
        when,
        confirm,
        agreement,
        timeout,
        retry,
        on_failure,
        limits,
        pace,
        canary,
        body: _,
    } = old;
    changes.texts(at, "title", title.as_deref(), new.title.as_deref());
    compare_when(
        changes,
        at,
        (when.as_deref(), new.when.as_deref()),
        holds_back,
    );
    compare_confirm(changes, at, confirm.as_deref(), new.confirm.as_deref());
    compare_agreement(changes, at, *agreement, new.agreement);
    compare_timeout(changes, at, *timeout, new.timeout);
    if *retry != new.retry {
        let say = |step: &Step| {
            let (first, most) = (
                words::interval(step.retry.backoff),
                words::interval(step.retry.max_backoff),
            );
            format!("{} attempts, {first} to {most} apart", step.retry.attempts)
        };
        changes.swap(
            Kind::Step,
            at,
            Words::new("is retried differently"),
            say(old),
            say(new),
        );
    }
    match (on_failure, new.on_failure) {
        (OnFailure::Halt, OnFailure::Continue) => changes.add(
            Kind::Safeguard,
            at,
            Words::new("does not stop the run any more where it fails"),
        ),
        (OnFailure::Continue, OnFailure::Halt) => {
            changes.add(
                Kind::Stricter,
                at,
                Words::new("stops the run now where it fails"),
            );
        }
        _ => {}
    }
    compare_limits(changes, at, *limits, new.limits);
    compare_pace(changes, at, *pace, new.pace);
    compare_canary(changes, at, *canary, new.canary);
}

/// A condition lets a step be skipped: of what writes that is stricter, of what holds back weaker.
fn compare_when(
    changes: &mut Changes,
    at: &Words,
    (old, new): (Option<&str>, Option<&str>),
    holds_back: bool,
) {
    let kinds = |more: bool| {
        if more == holds_back {
            Kind::Safeguard
        } else {
            Kind::Stricter
        }
    };
    match (old, new) {
        (None, None) => {}
        (None, Some(new)) => {
            changes.add(
                kinds(true),
                at,
                Words::new("is skipped now unless ").code(new),
            );
        }
        (Some(old), None) => {
            let what = Words::new("is not skipped any more where this does not hold: ").code(old);
            changes.add(kinds(false), at, what);
        }
        (Some(old), Some(new)) if same_expression(old, new) => {}
        (Some(old), Some(new)) => {
            changes.swap(
                Kind::Safeguard,
                at,
                Words::new("has another condition"),
                old,
                new,
            );
        }
    }
}

fn compare_confirm(changes: &mut Changes, at: &Words, old: Option<&str>, new: Option<&str>) {
    match (old, new) {
        (None, None) => {}
        (Some(old), None) => {
            let what = Words::new("nobody has to type a word any more");
            changes.swap(Kind::Safeguard, at, what, old, "none");
        }
        (None, Some(new)) => {
            changes.add(
                Kind::Stricter,
                at,
                Words::new("somebody has to type a word now: ").code(new),
            );
        }
        (Some(old), Some(new)) if old == new => {}
        (Some(old), Some(new)) => {
            let fixed = old.contains("${{") && !new.contains("${{");
            let what = match fixed {
                true => "the word to type is always the same now",
                false => "another word has to be typed",
            };
            changes.swap(Kind::Safeguard, at, Words::new(what), old, new);
        }
    }
}

pub(super) fn compare_timeout(
    changes: &mut Changes,
    at: &Words,
    old: Option<Duration>,
    new: Option<Duration>,
) {
    let say =
        |timeout: Option<Duration>| timeout.map_or_else(|| "none".to_owned(), words::interval);
    if old != new {
        changes.swap(
            Kind::Step,
            at,
            Words::new("has another timeout"),
            say(old),
            say(new),
        );
    }
}

fn compare_limits(changes: &mut Changes, at: &Words, old: Limits, new: Limits) {
    let Limits {
        max_workflows,
        max_failures,
        max_unhealthy,
    } = old;
    let limits = [
        ("limit of Workflows", max_workflows, new.max_workflows),
        ("limit of failures", max_failures, new.max_failures),
        (
            "limit of unhealthy Workflows",
            max_unhealthy,
            new.max_unhealthy,
        ),
    ];
    for (noun, old, new) in limits {
        bounds(changes, at, noun, old, new);
    }
}

/// Two limits.
pub(super) fn bounds(
    changes: &mut Changes,
    at: &Words,
    noun: &str,
    old: Option<Bound>,
    new: Option<Bound>,
) {
    let is_share = |bound: Bound| matches!(bound, Bound::Percent(_));
    if let (Some(old), Some(new)) = (old, new)
        && is_share(old) != is_share(new)
    {
        // A number and a share cannot be compared: neither is surely lower.
        let what = Words::new(&format!("the {noun} changed"));
        changes.swap(
            Kind::Safeguard,
            at,
            what,
            words::bound(old),
            words::bound(new),
        );
        return;
    }
    #[allow(clippy::cast_precision_loss)]
    let number = |bound: Bound| match bound {
        Bound::Count(count) => count as f64,
        Bound::Percent(percent) => percent,
    };
    let sign = if old.or(new).is_some_and(is_share) {
        "%"
    } else {
        ""
    };
    let numbers = (old.map(number), new.map(number));
    changes.ceiling(at, noun, numbers, |number| format!("{number}{sign}"));
}

/// More people, or others than whoever began the run, are stricter.
fn compare_agreement(changes: &mut Changes, at: &Words, old: Agreement, new: Agreement) {
    let Agreement { by, not_starter } = old;
    if old == new {
        return;
    }
    let weaker = new.by < by || not_starter && !new.not_starter;
    let kind = if weaker {
        Kind::Safeguard
    } else {
        Kind::Stricter
    };
    let what = Words::new("others must agree before it writes");
    changes.swap(kind, at, what, old.words(), new.words());
}

fn compare_pace(changes: &mut Changes, at: &Words, old: Pace, new: Pace) {
    let Pace { rate, concurrency } = old;
    changes.ceiling(
        at,
        "rate of writes a second",
        (Some(rate), Some(new.rate)),
        |n| n.to_string(),
    );
    changes.ceiling(
        at,
        "number of calls in flight",
        (Some(concurrency), Some(new.concurrency)),
        |n| n.to_string(),
    );
}

fn compare_canary(changes: &mut Changes, at: &Words, old: Option<Canary>, new: Option<Canary>) {
    let say = |canary: Canary| {
        format!(
            "first {} of each row, then proof within {}",
            canary.count,
            words::interval(canary.wait)
        )
    };
    match (old, new) {
        (None, None) => {}
        (Some(old), None) => {
            let what = Words::new("writes to all at once: no canary any more");
            changes.swap(Kind::Safeguard, at, what, say(old), "none");
        }
        (None, Some(new)) => changes.swap(
            Kind::Stricter,
            at,
            Words::new("has a canary now"),
            "none",
            say(new),
        ),
        (Some(old), Some(new)) if old == new => {}
        // More are at risk, or fewer prove anything: both weaken it.
        (Some(old), Some(new)) => {
            let kind = if old.count == new.count {
                Kind::Step
            } else {
                Kind::Safeguard
            };
            changes.swap(
                kind,
                at,
                Words::new("has another canary"),
                say(old),
                say(new),
            );
        }
    }
}

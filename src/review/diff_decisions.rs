//! What is different in strategies and decision tables.

use indexmap::IndexMap;

use super::diff::{Changes, Kind};
use super::diff_queries::filter;
use super::words::{self, Words};
use crate::runbook::{Decision, HitPolicy, Row, Runbook, Strategy, Unmatched};

/// Both.
pub(super) fn compare(changes: &mut Changes, old: &Runbook, new: &Runbook) {
    for (name, strategy) in &old.strategies {
        let place = Words::new("strategy ").code(name);
        match new.strategies.get(name) {
            None => changes.add(Kind::Done, &place, Words::new("is gone")),
            Some(other) => compare_strategy(changes, &place, strategy, other),
        }
    }
    for (name, strategy) in new
        .strategies
        .iter()
        .filter(|(name, _)| !old.strategies.contains_key(*name))
    {
        let what = Words::new("is new: ").and(words::strategy(strategy));
        changes.add(Kind::Done, &Words::new("strategy ").code(name), what);
    }
    for (name, decision) in &old.decisions {
        match new.decisions.get(name) {
            None => {
                let place = Words::new("decision ").code(name);
                changes.add(Kind::Affected, &place, Words::new("is gone"));
            }
            Some(other) => compare_decision(changes, name, (decision, other), (old, new)),
        }
    }
    for name in new
        .decisions
        .keys()
        .filter(|name| !old.decisions.contains_key(*name))
    {
        changes.add(
            Kind::Wider,
            &Words::new("decision ").code(name),
            Words::new("is new"),
        );
    }
}

/// How far an action ends a Workflow: not at all, by its own code, then without it.
pub(super) fn ending(action: &str) -> u8 {
    match action {
        "workflows.cancel" => 1,
        "workflows.restart" => 2,
        "workflows.terminate" => 3,
        _ => 0,
    }
}

/// What it means that another action takes an action's place.
pub(super) fn instead(old: &str, new: &str) -> Kind {
    match ending(new) > ending(old) {
        true => Kind::Ends,
        false => Kind::Done,
    }
}

fn compare_strategy(changes: &mut Changes, place: &Words, old: &Strategy, new: &Strategy) {
    let Strategy {
        action,
        with,
        fallback,
    } = old;
    let (before, now) = (words::strategy(old).bare(), words::strategy(new).bare());
    if before != now || *action != new.action {
        let say = |does: &str, strategy: &Strategy| format!("{does} ({})", strategy.action);
        let what = Words::new("does something else");
        let kind = instead(action, &new.action);
        changes.swap(kind, place, what, say(&before, old), say(&now, new));
    }
    if *action == new.action {
        // What the words above hold already is not said twice.
        let said = |name: &str| {
            before != now && ["version", "to", "reapply", "override", "name"].contains(&name)
        };
        super::diff_steps::arguments(changes, place, action, (with, &new.with), said);
    }
    let say = |fallback: &IndexMap<String, String>| {
        let pairs: Vec<String> = fallback
            .iter()
            .map(|(refusal, name)| format!("{refusal}: {name}"))
            .collect();
        if pairs.is_empty() {
            "none".to_owned()
        } else {
            pairs.join(", ")
        }
    };
    if *fallback != new.fallback {
        let what = Words::new("does something else where it is refused");
        changes.swap(Kind::Done, place, what, say(fallback), say(&new.fallback));
    }
}

fn compare_decision(
    changes: &mut Changes,
    name: &str,
    (old, new): (&Decision, &Decision),
    books: (&Runbook, &Runbook),
) {
    let place = Words::new("decision ").code(name);
    let Decision {
        scope,
        classify,
        hit_policy,
        unmatched,
        rows,
    } = old;
    filter(changes, &place, "the scope ", scope, &new.scope);
    if *classify != new.classify {
        let say = |decision: &Decision| {
            let classes = decision
                .classify
                .as_ref()
                .map(|classify| words::classes(classify).bare());
            classes.unwrap_or_else(|| "none".to_owned())
        };
        let what = Words::new("classes come from elsewhere");
        changes.swap(Kind::Affected, &place, what, say(old), say(new));
    }
    if *hit_policy != new.hit_policy {
        let kind = match new.hit_policy {
            HitPolicy::First => Kind::Safeguard,
            HitPolicy::Unique => Kind::Stricter,
        };
        let what = Words::new(words::hit_policy(new.hit_policy));
        changes.swap(
            kind,
            &place,
            what,
            words::hit_policy(*hit_policy),
            words::hit_policy(new.hit_policy),
        );
    }
    if *unmatched != new.unmatched {
        let strict = |unmatched: Unmatched| match unmatched {
            Unmatched::Leave => 0,
            Unmatched::Halt => 1,
            Unmatched::Refuse => 2,
        };
        let kind = if strict(new.unmatched) < strict(*unmatched) {
            Kind::Safeguard
        } else {
            Kind::Stricter
        };
        let what = Words::new("does something else with what no row takes");
        changes.swap(
            kind,
            &place,
            what,
            words::unmatched(*unmatched),
            words::unmatched(new.unmatched),
        );
    }
    compare_rows(changes, &place, (rows, &new.rows), books);
}

fn compare_rows(
    changes: &mut Changes,
    place: &Words,
    (old, new): (&[Row], &[Row]),
    (old_book, new_book): (&Runbook, &Runbook),
) {
    let at = |row: &Row| place.clone().say(", row ").code(&row.id);
    let does = |book: &Runbook, row: &Row| {
        let does = book
            .strategies
            .get(&row.apply)
            .map(words::strategy)
            .unwrap_or_default();
        Words::default().code(&row.apply).say(": ").and(does)
    };
    for row in old {
        let Some(other) = new.iter().find(|other| other.id == row.id) else {
            changes.add(Kind::Affected, &at(row), Words::new("is gone"));
            continue;
        };
        let Row {
            id: _,
            class: _,
            filter: _,
            task: _,
            apply,
        } = row;
        let takes = |row: &Row| words::condition(row, true).bare();
        if takes(row) != takes(other) {
            let fewer_conditions = is_wider(row, other);
            let kind = if fewer_conditions {
                Kind::Wider
            } else {
                Kind::Affected
            };
            let what = Words::new(if fewer_conditions {
                "takes more Workflows"
            } else {
                "takes other Workflows"
            });
            changes.swap(kind, &at(row), what, takes(row), takes(other));
        }
        if *apply != other.apply {
            let what = Words::new("applies another strategy");
            let action = |book: &Runbook, row: &Row| {
                let strategy = book.strategies.get(&row.apply);
                strategy.map_or_else(String::new, |strategy| strategy.action.clone())
            };
            changes.swap(
                instead(&action(old_book, row), &action(new_book, other)),
                &at(row),
                what,
                does(old_book, row).bare(),
                does(new_book, other).bare(),
            );
        }
    }
    for row in new
        .iter()
        .filter(|row| !old.iter().any(|other| other.id == row.id))
    {
        let what = Words::new("is new: takes ")
            .and(words::condition(row, false))
            .say("; applies ");
        changes.add(Kind::Wider, &at(row), what.and(does(new_book, row)));
    }
    let order = |rows: &[Row], others: &[Row]| -> Vec<String> {
        let common = rows
            .iter()
            .filter(|row| others.iter().any(|other| other.id == row.id));
        common.map(|row| row.id.clone()).collect()
    };
    let (before, now) = (order(old, new), order(new, old));
    if before != now {
        let what = Words::new("the rows come in another order");
        changes.swap(
            Kind::Affected,
            place,
            what,
            before.join(", "),
            now.join(", "),
        );
    }
}

/// Whether a row lost conditions and nothing else, or has more classes.
fn is_wider(old: &Row, new: &Row) -> bool {
    let classes = new.class.is_empty()
        || old.class.iter().all(|class| new.class.contains(class)) && !old.class.is_empty();
    let filters = new.filter.is_none() || new.filter == old.filter;
    let tasks = new.task.is_none() || new.task == old.task;
    classes && filters && tasks
}

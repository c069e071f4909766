//! What is different in who is told how a run stands: another program is run, with other values, or at other times.

use super::diff::{Changes, Kind};
use super::words::{self, Words};
use crate::runbook::{Event, Notify};

pub(super) fn compare(changes: &mut Changes, old: Option<&Notify>, new: Option<&Notify>) {
    let place = Words::new("notify");
    match (old, new) {
        (None, None) => {}
        (Some(old), None) => {
            let what = Words::new("nobody is told any more how a run stands");
            changes.swap(Kind::Step, &place, what, said(old), "none");
        }
        (None, Some(new)) => {
            let what = Words::new("a program is run, unasked, when a run stops");
            changes.swap(Kind::Done, &place, what, "none", said(new));
        }
        (Some(old), Some(new)) => both(changes, &place, old, new),
    }
}

fn both(changes: &mut Changes, place: &Words, old: &Notify, new: &Notify) {
    let Notify {
        argv,
        on,
        env,
        inherit,
        timeout,
    } = old;
    if (argv, env, inherit) != (&new.argv, &new.env, &new.inherit) {
        let what = Words::new("another program is run, unasked, or it is given something else");
        let (old, new) = (words::told(old), words::told(new));
        changes.swap(Kind::Done, place, what, old, new);
    }
    let is_new = |event: &Event| !on.contains(event);
    let is_gone = |event: &Event| !new.on.contains(event);
    if on.iter().any(is_gone) {
        let what = Words::new("it is told less often");
        changes.swap(Kind::Step, place, what, events(on), events(&new.on));
    } else if new.on.iter().any(is_new) {
        let what = Words::new("it is run more often");
        changes.swap(Kind::Done, place, what, events(on), events(&new.on));
    }
    if *timeout != new.timeout {
        let what = Words::new("it has another time to end");
        changes.swap(Kind::Step, place, what, timeout, &new.timeout);
    }
}

fn events(on: &[Event]) -> String {
    let names: Vec<&str> = on.iter().map(|event| event.name()).collect();
    names.join(", ")
}

/// The program with what it is given, when, and for how long.
fn said(notify: &Notify) -> String {
    let (told, events) = (words::told(notify), events(&notify.on));
    format!("{told} ({events}; {})", notify.timeout)
}

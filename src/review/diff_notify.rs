//! What is different in who is told how a run stands: another program is run, or at other times.

use super::diff::{Changes, Kind};
use super::words::Words;
use crate::runbook::Notify;

pub(super) fn compare(changes: &mut Changes, old: Option<&Notify>, new: Option<&Notify>) {
    let place = Words::new("notify");
    match (old, new) {
        (old, new) if old == new => {}
        (Some(old), None) => {
            let what = Words::new("nobody is told any more how a run stands");
            changes.swap(Kind::Step, &place, what, said(old), "none");
        }
        (old, Some(new)) => {
            let what = Words::new("another program is run, unasked, or at other times");
            let old = old.map_or_else(|| "none".to_owned(), said);
            changes.swap(Kind::Done, &place, what, old, said(new));
        }
        (None, None) => {}
    }
}

/// The program, when, and the names of what it is given besides.
fn said(notify: &Notify) -> String {
    let events: Vec<&str> = notify.on.iter().map(|event| event.name()).collect();
    let env = notify
        .env
        .iter()
        .map(|(name, word)| format!(" {name}={word}"));
    let inherited = notify.inherit.iter().map(|name| format!(" ${name}"));
    let more: String = env.chain(inherited).collect();
    let (argv, events) = (notify.argv.join(" "), events.join(", "));
    format!("{argv}{more} ({events}; {})", notify.timeout)
}

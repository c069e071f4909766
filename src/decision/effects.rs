//! What an action does to one Workflow beside what it is for: what is lost, runs again or is re-applied, a
//! sentence each.

use crate::catalog;
use crate::history::{ResetPoint, ResetTo, Sort};

use super::Call;

/// Names that are listed one by one.
const NAMES: usize = 5;

impl Call {
    /// The sentences. `more` says that not everything after the point was read.
    pub fn effects(&self, point: Option<&ResetPoint>, more: bool) -> Vec<String> {
        match (self, point) {
            (Self::Reset(reset), Some(point)) => of_reset(reset, point, more),
            (Self::Reset(_), None) => Vec::new(),
            (Self::Options(_), _) => vec![
                "keeps its history, state and Activities; its next Workflow Task goes to the target".to_owned(),
            ],
            (Self::Restart(_), _) => vec![
                "loses its history: Activities run again, Signals and Updates that it got are not re-applied".to_owned(),
            ],
            (Self::Terminate(_), _) => vec!["ends without a result".to_owned()],
            (Self::Cancel(_), _) => vec![
                "keeps its history; its code decides what a cancellation means, and when it closes".to_owned(),
            ],
            (Self::Signal(_), _) => vec![
                "keeps its history; the Signal is the next event, and cannot be taken back".to_owned(),
            ],
        }
    }
}

fn of_reset(reset: &catalog::Reset, point: &ResetPoint, more: bool) -> Vec<String> {
    let least = if more { "at least " } else { "" };
    let when = point
        .time
        .map(|at| format!(" ({})", at.strftime("%Y-%m-%d %H:%M:%SZ")))
        .unwrap_or_default();
    let run = match reset.to {
        ResetTo::LastContinuedAsNew => " of the run before, and the current run is terminated",
        _ => "",
    };
    let mut effects = vec![format!(
        "goes back to event {}{when}{run}: {least}{} after it dropped",
        point.event_id,
        plural(point.events_after, "event", "events"),
    )];
    if point.activities_after > 0 {
        let word = if reset.to == ResetTo::FirstWorkflowTask {
            "every Activity runs again; "
        } else {
            ""
        };
        let done = if point.activities_after == 1 {
            "that completed after it runs again"
        } else {
            "that completed after it run again"
        };
        effects.push(format!(
            "{word}{least}{} {done}{}",
            plural(point.activities_after.into(), "Activity", "Activities"),
            names(point, Sort::ActivityCompleted)
        ));
    }
    let kinds = [
        (
            Sort::Signal,
            point.signals_after,
            "Signal",
            "Signals",
            reset.reapply.signals,
        ),
        (
            Sort::Update,
            point.updates_after,
            "Update",
            "Updates",
            reset.reapply.updates,
        ),
        (
            Sort::NexusClosed,
            point.after.count(Sort::NexusClosed),
            "result of a Nexus operation",
            "results of Nexus operations",
            reset.reapply.nexus,
        ),
    ];
    for (sort, many, one, several, kept) in kinds {
        if many > 0 {
            let fate = if kept { "re-applied" } else { "lost" };
            effects.push(format!(
                "{least}{} after it {fate}{}",
                plural(many.into(), one, several),
                names(point, sort)
            ));
        }
    }
    let begun = [
        (Sort::TimerStarted, "Timer", "Timers"),
        (Sort::ChildStarted, "child Workflow", "child Workflows"),
    ];
    for (sort, one, several) in begun {
        let many = point.after.count(sort);
        if many > 0 {
            effects.push(format!(
                "{least}{} after it started again{}",
                plural(many.into(), one, several),
                names(point, sort)
            ));
        }
    }
    effects
}

/// ` (spend at event 7, earn at event 9, …)`; empty where nothing has a name.
fn names(point: &ResetPoint, sort: Sort) -> String {
    let of_sort = || {
        point
            .after
            .happenings
            .iter()
            .filter(|it| it.what == sort && !it.name.is_empty())
    };
    let mut list: Vec<String> = of_sort()
        .take(NAMES)
        .map(|it| format!("{} at event {}", it.name, it.event_id))
        .collect();
    if list.is_empty() {
        return String::new();
    }
    if of_sort().nth(NAMES).is_some() {
        list.push("…".to_owned());
    }
    format!(": {}", list.join(", "))
}

fn plural(many: u64, one: &str, several: &str) -> String {
    let noun = if many == 1 { one } else { several };
    format!("{many} {noun}")
}

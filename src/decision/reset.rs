//! `workflows.reset` on one Workflow: the point, or by which name it is refused.

use super::judge::{Applied, Case, refuse};
use crate::catalog::{self, IfReset, IfSuperseded, ResetTo};
use crate::history::{Miss, ResetPoint};
use crate::record::Write;
use crate::survey::{HistoryLook, HistoryNeed, Look};

/// The code by which callers of other tools know an invalid event id.
pub const INVALID_EVENT: &str = "WF_1001";

/// The refusal's name.
pub const INVALID_REFUSAL: &str = "invalid_event";

/// Why a closed Workflow is left alone, if it is.
pub(super) fn closed_skip(look: &Look, again: bool, terminate: bool) -> Option<String> {
    if look.listed.status.is_open() {
        return None;
    }
    if let (Some(run), false) = (&look.reset_run_id, again) {
        return Some(format!("already reset (run {run})"));
    }
    let ours = again && look.reset_run_id.as_ref() == Some(&look.current.run_id);
    if look.current.run_id != look.listed.key.run_id && !ours && !terminate {
        return Some(format!(
            "superseded by run {} ({})",
            look.current.run_id, look.current.status
        ));
    }
    look.listed
        .parent
        .as_ref()
        .map(|parent| format!("child of {}, which has its result", parent.workflow_id))
}

pub(super) fn apply(case: &Case<'_>, reset: &catalog::Reset) -> Applied {
    let look = case.look;
    let again = reset.if_reset == IfReset::Again;
    let terminate = reset.if_superseded == IfSuperseded::Terminate;
    if let Some(reason) = closed_skip(look, again, terminate) {
        return Applied::Skip(reason);
    }
    let need = HistoryNeed::Point(reset.to.clone());
    let history = match case.history {
        Some((read, history)) if *read == need => history,
        _ => return Applied::Read(need),
    };
    let origin = history.made_by_reset.as_ref();
    // A query may find the run that this step's own reset made; even `if_reset: again` means once a step.
    if origin.is_some_and(|origin| origin.reason.ends_with(&case.naming.mark())) {
        return Applied::Skip("this step's own reset made this run".to_owned());
    }
    if let (Some(origin), false, true) = (origin, again, look.listed.status.is_open()) {
        return refuse(
            "reset_before",
            format!(
                "a reset made this run ({}); it is not undone a second time",
                origin.reason
            ),
        );
    }
    match &history.reset_point {
        Some(point) => to_point(case, reset, history, point),
        None => missed(look, reset, history),
    }
}

fn to_point(
    case: &Case<'_>,
    reset: &catalog::Reset,
    history: &HistoryLook,
    point: &ResetPoint,
) -> Applied {
    let look = case.look;
    // The children of a run that continued another one were all started after the point.
    let since = if history.base.is_some() {
        0
    } else {
        point.event_id
    };
    if let Some(child) = look
        .pending_children
        .iter()
        .find(|child| child.initiated_event > since)
    {
        let message = format!(
            "its child {} runs and was started after the reset point",
            child.key.workflow_id
        );
        return refuse("running_child", message);
    }
    let base = history.base.as_ref();
    let was_reset = base.map_or(look.reset_run_id.is_some(), |base| {
        base.reset_run_id.is_some()
    });
    let nth = look.history_length + i64::from(was_reset);
    Applied::Write(Write::Reset {
        event_id: point.event_id,
        signals: reset.reapply.signals,
        updates: reset.reapply.updates,
        nexus: reset.reapply.nexus,
        base: base.map(|base| base.run_id.clone()),
        target: reset.version.clone(),
        reason: case.naming.reason(&reset.reason),
        request_id: case.naming.request_id(&look.listed.key, "reset", nth),
    })
}

/// There is no point: nothing to undo, or a refusal by its name.
fn missed(look: &Look, reset: &catalog::Reset, history: &HistoryLook) -> Applied {
    if !history.dispatched {
        return refuse("never_dispatched", never_dispatched(look));
    }
    let words = match &reset.to {
        ResetTo::Before(before) => before.words(),
        _ => String::new(),
    };
    match history.miss.as_ref().unwrap_or(&Miss::NoTask) {
        Miss::NoTask => refuse("no_completed_task", no_completed_task(&reset.to)),
        Miss::NoEvent => Applied::Skip(match &reset.to {
            ResetTo::Build(build) | ResetTo::BadBinaryChecksum(build) => {
                format!("build {build} completed none of its Workflow Tasks")
            }
            _ => format!("its history has no {words}"),
        }),
        Miss::TooEarly(event) => refuse(
            "no_point_before",
            format!(
                "the {words} (event {event}) came before any Workflow Task completed: no reset undoes it"
            ),
        ),
        Miss::Several(events) => {
            let list: Vec<String> = events.iter().map(ToString::to_string).collect();
            let message = format!(
                "several match {words} (events {}): say `which: first` or `which: last`",
                list.join(", ")
            );
            refuse("ambiguous_event", message)
        }
        Miss::Unreadable(event) => refuse(
            "unreadable_input",
            format!(
                "the input of event {event} cannot be read, so nobody can say whether it matches"
            ),
        ),
        Miss::Invalid(points) => invalid(look, &reset.to, points),
        Miss::NoFailedTask if look.pending_task.as_ref().is_some_and(|it| it.attempt > 1) => {
            refuse(
                "failed_task_not_durable",
                "its Workflow Task fails, but no event of that is in the history yet: only `last_workflow_task` can be reset to",
            )
        }
        Miss::NoFailedTask => refuse(
            "no_failed_task",
            "no Workflow Task failed since the last one that completed",
        ),
        Miss::NotContinued => refuse(
            "not_continued",
            "it did not continue another run, or that run is gone",
        ),
        Miss::TooLong => refuse(
            "history_too_long",
            "its history is longer than what is read; choose an event by `runbook reset-points`",
        ),
    }
}

fn never_dispatched(look: &Look) -> &'static str {
    if look.pending_task.is_none() && look.listed.status.is_open() {
        "it has not begun: a cron schedule, a start delay or a retry's backoff holds its first Workflow Task back"
    } else {
        "no Workflow Task of this run was ever started"
    }
}

fn no_completed_task(to: &ResetTo) -> String {
    match to {
        ResetTo::Before(before) => format!("no Workflow Task completed before {}", before.words()),
        _ => "no Workflow Task of this run ever completed".to_owned(),
    }
}

/// The answer that callers of other tools know: the code, and the valid events, nearest first.
fn invalid(look: &Look, to: &ResetTo, points: &[ResetPoint]) -> Applied {
    let ResetTo::Event(event) = to else {
        return refuse(INVALID_REFUSAL, "the event is none to reset to");
    };
    let what = if *event > look.history_length || *event < 1 {
        format!(
            "there is no event {event}: the last one is {}",
            look.history_length
        )
    } else {
        format!("event {event} is not the start or end of a Workflow Task")
    };
    let valid: Vec<String> = points
        .iter()
        .map(|point| point.event_id.to_string())
        .collect();
    let valid = if valid.is_empty() {
        "there is no valid one".to_owned()
    } else {
        format!("valid ones, nearest first: {}", valid.join(", "))
    };
    Applied::Refuse(
        INVALID_REFUSAL.to_owned(),
        format!("{INVALID_EVENT}: {what}; {valid}"),
        points.iter().map(brief).collect(),
    )
}

/// What goes into the journal: counts, and what follows directly.
fn brief(point: &ResetPoint) -> ResetPoint {
    let mut point = point.clone();
    point.after.happenings.clear();
    point.follows.happenings.truncate(10);
    point
}

//! The verdict on one Workflow: what follows from a look.

use uuid::Uuid;

use super::reset::{self, closed_skip};
use super::{Call, Pick, Strategy, Table};
use crate::catalog::{self, Only};
use crate::record::{Seen, Treatment, Write};
use crate::sabotage::{Bug, is_planted};
use crate::selection::ANOTHER_RUN;
use crate::survey::{
    AttributeValue, Behavior, HistoryLook, HistoryNeed, Listed, Look, Override, ResetPoint, Status,
    TaskFailure, Version, WorkflowKey,
};

const VERSION_ATTRIBUTE: &str = "TemporalWorkerDeploymentVersion";
/// How the service reports, in `TemporalReportedProblems`, that the code does not fit the history.
const NON_DETERMINISM: &str = "cause=WorkflowTaskFailedCauseNonDeterministicError";
const BEHAVIOR_ATTRIBUTE: &str = "TemporalWorkflowVersioningBehavior";

/// Names that go into what is written: whose write it is.
#[derive(Clone, Debug)]
pub struct Naming<'a> {
    /// Run id.
    pub run: &'a str,
    /// Step id.
    pub step: &'a str,
}

impl Naming<'_> {
    /// The mark in every reason: run and step.
    pub fn mark(&self) -> String {
        format!("[runbook {} {}]", self.run, self.step)
    }

    pub(super) fn reason(&self, reason: &str) -> String {
        format!("{reason} {}", self.mark())
    }

    pub(super) fn request_id(&self, key: &WorkflowKey, call: &str, nth: i64) -> String {
        let name = [
            self.run,
            self.step,
            &key.workflow_id,
            &key.run_id,
            call,
            &nth.to_string(),
        ]
        .join("\u{0}");
        Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()).to_string()
    }
}

/// One Workflow before a table: everything that a verdict rests on.
#[derive(Clone, Debug)]
pub struct Case<'a> {
    /// The table.
    pub table: &'a Table,
    /// What Describe says.
    pub look: &'a Look,
    /// What the history says, where it was asked for, and for what.
    pub history: Option<(&'a HistoryNeed, &'a HistoryLook)>,
    /// Why the last Workflow Task failed, where that was read.
    pub failure: Option<&'a TaskFailure>,
    /// Claimed because an earlier step moved it and it may have closed before a task ran on the target.
    pub lost: bool,
    /// Named without a run: whatever run its Workflow ID has now is meant.
    pub latest: bool,
    /// A strategy that the service refused, and the refusal.
    pub barred: Option<(&'a str, &'a str)>,
    /// Whose write it would be.
    pub naming: Naming<'a>,
}

/// What follows from a look.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Not this step's business (any more): why.
    Release(String),
    /// Nothing to do: why.
    Skip {
        /// Row that took it, if one did.
        row: Option<usize>,
        /// Why.
        reason: String,
    },
    /// No strategy can be applied.
    Refuse {
        /// Row that took it, if one did.
        row: Option<usize>,
        /// Its name.
        refusal: String,
        /// In words.
        message: String,
        /// Events that a reset could go to instead, nearest first.
        points: Vec<ResetPoint>,
    },
    /// No row takes it.
    Unmatched,
    /// The history is needed first.
    Read(HistoryNeed),
    /// Why the last Workflow Task failed is needed first.
    ReadFailure,
    /// Write.
    Write {
        /// Row that takes it.
        row: usize,
        /// Strategy in force.
        strategy: String,
        /// What it does.
        treatment: Treatment,
        /// The call.
        write: Box<Write>,
        /// What it was decided on.
        seen: Box<Seen>,
        /// Where a reset goes, and what lies after that.
        point: Option<Box<ResetPoint>>,
    },
}

/// Decides on one Workflow.
pub fn judge(case: &Case<'_>) -> Verdict {
    let listed = match in_scope(case) {
        Ok(listed) => listed,
        Err(verdict) => return *verdict,
    };
    if let Some(verdict) = left_out(case, &listed) {
        return verdict;
    }
    let before = is_planted(Bug::RowBeforeLook).then(|| case.table.candidates(&listed));
    let pick = match before.and_then(|rows| rows.first().copied()) {
        Some(row) => Pick::Row(row),
        None => case.table.pick(&listed, case.look),
    };
    let row = match pick {
        Pick::Row(row) => row,
        Pick::Unmatched => return Verdict::Unmatched,
        Pick::Conflict(one, two) => {
            let (one, two) = (&case.table.rows[one].id, &case.table.rows[two].id);
            return Verdict::Refuse {
                row: None,
                refusal: "conflict".to_owned(),
                message: format!(
                    "rows `{one}` and `{two}` both take it, and the hit policy is `unique`"
                ),
                points: Vec::new(),
            };
        }
    };
    let mut name = case.table.rows[row].strategy.as_str();
    // Fallbacks have no cycles: that was checked offline.
    loop {
        let strategy = &case.table.strategies[name];
        match apply(case, strategy) {
            Applied::Write(write) => {
                let (seen, point) = seen(case, &write);
                return Verdict::Write {
                    row,
                    strategy: name.to_owned(),
                    treatment: strategy.call.treatment(),
                    write: Box::new(write),
                    seen: Box::new(seen),
                    point,
                };
            }
            Applied::Skip(reason) => {
                return Verdict::Skip {
                    row: Some(row),
                    reason,
                };
            }
            Applied::Read(need) => return Verdict::Read(need),
            Applied::Refuse(refusal, message, points) => match strategy.fallback.get(&refusal) {
                Some(other) => name = other,
                None => {
                    return Verdict::Refuse {
                        row: Some(row),
                        refusal,
                        message,
                        points,
                    };
                }
            },
        }
    }
}

/// What the selection says of it besides its scope.
fn left_out(case: &Case<'_>, listed: &Listed) -> Option<Verdict> {
    let (selection, look) = (&case.table.selection, case.look);
    if case.latest && look.current.run_id != look.listed.key.run_id {
        return Some(Verdict::Release(ANOTHER_RUN.to_owned()));
    }
    if let Some(reason) = selection.exclude.by_attributes(listed) {
        return Some(Verdict::Release(reason));
    }
    match selection.only {
        None => None,
        Some(Only::NonDeterministic) => not_non_deterministic(case),
    }
}

/// Why it is not one whose last Workflow Task failed because the code does not fit the history: by the history,
/// or by what the service reports (late, and of a task that still fails).
fn not_non_deterministic(case: &Case<'_>) -> Option<Verdict> {
    let look = case.look;
    let open = look.listed.status.is_open();
    let task = look.pending_task.as_ref();
    let release = |reason: &str| Some(Verdict::Release(reason.to_owned()));
    if open && task.is_none_or(|task| task.attempt <= 1) {
        return release("its Workflow Task does not fail");
    }
    if open && reports_non_determinism(look) {
        return None;
    }
    match case.failure {
        None => Some(Verdict::ReadFailure),
        Some(TaskFailure::NonDeterministic) => None,
        Some(TaskFailure::Other(cause)) => release(&format!(
            "its last Workflow Task failed otherwise ({cause})"
        )),
        Some(TaskFailure::None) => release("its last Workflow Task did not fail"),
        Some(TaskFailure::NotRead) => Some(Verdict::Refuse {
            row: None,
            refusal: "cause_not_found".to_owned(),
            points: Vec::new(),
            message: "the last events of its history do not say why its Workflow Task failed"
                .to_owned(),
        }),
    }
}

fn reports_non_determinism(look: &Look) -> bool {
    match look.listed.attributes.get("TemporalReportedProblems") {
        Some(AttributeValue::KeywordList(problems)) => {
            problems.iter().any(|problem| problem == NON_DETERMINISM)
        }
        _ => false,
    }
}

/// The Workflow's attributes as the look has them, or why it is out of scope.
fn in_scope(case: &Case<'_>) -> Result<Listed, Box<Verdict>> {
    let look = case.look;
    if case.lost {
        return lost_in_scope(case);
    }
    let listed = as_listed(look, look.effective_version());
    if case.table.scope.matches(&listed) {
        return Ok(listed);
    }
    if let (Some(wanted), Some(version)) = (
        case.table.scope.required_values(VERSION_ATTRIBUTE),
        look.effective_version(),
    ) && look.listed.status.is_open()
        && !wanted.contains(&version.to_string())
    {
        return Err(Box::new(Verdict::Skip {
            row: None,
            reason: format!("already moved to {version}"),
        }));
    }
    let reason = match look.listed.status {
        Status::ContinuedAsNew => "continued as new".to_owned(),
        status if !status.is_open() => format!("closed meanwhile ({status})"),
        _ => "not in the decision's scope now".to_owned(),
    };
    Err(Box::new(Verdict::Release(reason)))
}

/// Of those that an earlier step moved: only one that closed before a task ran on its target counts.
fn lost_in_scope(case: &Case<'_>) -> Result<Listed, Box<Verdict>> {
    let look = case.look;
    if look.listed.status.is_open() {
        return Err(Box::new(Verdict::Release("still runs".to_owned())));
    }
    if look.deployment_version == look.effective_version() {
        return Err(Box::new(Verdict::Release(
            "a task ran on its target".to_owned(),
        )));
    }
    // One that never ran anywhere was claimed and moved all the same: it came from the scope's Version.
    let wanted = case.table.scope.required_values(VERSION_ATTRIBUTE);
    let only = wanted.filter(|wanted| wanted.len() == 1);
    let before = look
        .deployment_version
        .clone()
        .or_else(|| Version::parse(only?.first()?));
    let listed = as_listed(look, before);
    if case.table.scope.matches(&listed) {
        Ok(listed)
    } else {
        Err(Box::new(Verdict::Release(format!(
            "closed ({}), which the decision leaves alone",
            look.listed.status
        ))))
    }
}

/// A look in the shape of a listing, with the Version that counts.
pub fn as_listed(look: &Look, version: Option<Version>) -> Listed {
    let mut listed = look.listed.clone();
    if let Some(version) = version {
        listed.attributes.insert(
            VERSION_ATTRIBUTE.to_owned(),
            AttributeValue::Keyword(version.to_string()),
        );
    }
    let behavior = match (&look.versioning_override, look.behavior) {
        (Some(Override::Pinned { .. } | Override::OneTime { .. }), _)
        | (None, Behavior::Pinned) => Some("Pinned"),
        (Some(Override::AutoUpgrade), _) | (None, Behavior::AutoUpgrade) => Some("AutoUpgrade"),
        (None, Behavior::Unspecified) => None,
    };
    if let Some(behavior) = behavior {
        listed.attributes.insert(
            BEHAVIOR_ATTRIBUTE.to_owned(),
            AttributeValue::Keyword(behavior.to_owned()),
        );
    }
    listed
}

/// What an intent rests on, and where a reset goes. A reset of the run before rests on that run's newest reset.
fn seen(case: &Case<'_>, write: &Write) -> (Seen, Option<Box<ResetPoint>>) {
    let look = case.look;
    let reset = matches!(write, Write::Reset { .. });
    let history = case.history.map(|(_, history)| history).filter(|_| reset);
    let base = history.and_then(|history| history.base.as_ref());
    let seen = Seen {
        status: look.listed.status,
        current_run: look.current.run_id.clone(),
        version: look.effective_version(),
        reset_run_id: base
            .map_or(look.reset_run_id.as_ref(), |base| {
                base.reset_run_id.as_ref()
            })
            .cloned(),
        history_length: look.history_length,
        attempt: look.pending_task.as_ref().map_or(0, |task| task.attempt),
    };
    let point = history.and_then(|history| history.reset_point.clone());
    (seen, point.map(Box::new))
}

pub(super) enum Applied {
    Write(Write),
    Skip(String),
    Read(HistoryNeed),
    Refuse(String, String, Vec<ResetPoint>),
}

pub(super) fn refuse(refusal: &str, message: impl Into<String>) -> Applied {
    Applied::Refuse(refusal.to_owned(), message.into(), Vec::new())
}

fn apply(case: &Case<'_>, strategy: &Strategy) -> Applied {
    if let Some((barred, refusal)) = case.barred
        && barred == strategy.name
    {
        return refuse(refusal, format!("the service refused `{barred}`"));
    }
    match &strategy.call {
        Call::Reset(reset) => reset::apply(case, reset),
        Call::Options(_) => apply_options(case, &strategy.call),
        Call::Restart(restart) => apply_restart(case, restart),
        Call::Terminate(terminate) => {
            if case.look.listed.status.is_open() {
                Applied::Write(Write::Terminate {
                    reason: case.naming.reason(&terminate.reason),
                })
            } else {
                already_closed(case.look)
            }
        }
        Call::Cancel(cancel) => apply_cancel(case, cancel),
        Call::Signal(signal) => apply_signal(case, signal),
    }
}

fn already_closed(look: &Look) -> Applied {
    Applied::Skip(format!("already closed ({})", look.listed.status))
}

/// The service says OK to a cancel of what is closed: the look says what the answer does not.
fn apply_cancel(case: &Case<'_>, cancel: &catalog::Cancel) -> Applied {
    if !case.look.listed.status.is_open() {
        return already_closed(case.look);
    }
    if case.look.cancel_requested {
        return Applied::Skip("cancel already requested".to_owned());
    }
    Applied::Write(Write::Cancel {
        reason: case.naming.reason(&cancel.reason),
        request_id: case.naming.request_id(&case.look.listed.key, "cancel", 0),
    })
}

fn apply_signal(case: &Case<'_>, signal: &catalog::Signal) -> Applied {
    if !case.look.listed.status.is_open() {
        return already_closed(case.look);
    }
    Applied::Write(Write::Signal {
        name: signal.name.clone(),
        arguments: signal.values().len(),
        input: signal.values(),
        headers: signal.headers.clone(),
        // The same in each attempt: a run takes it once.
        request_id: case.naming.request_id(&case.look.listed.key, "signal", 0),
    })
}

fn apply_options(case: &Case<'_>, call: &Call) -> Applied {
    let look = case.look;
    if !look.listed.status.is_open() {
        return refuse(
            "closed",
            format!(
                "a closed Workflow ({}) has no Versioning Override to change",
                look.listed.status
            ),
        );
    }
    let target = call.over();
    if look.versioning_override == target {
        return Applied::Skip("has this Versioning Override already".to_owned());
    }
    Applied::Write(Write::Options { target })
}

fn apply_restart(case: &Case<'_>, restart: &catalog::Restart) -> Applied {
    let look = case.look;
    if let Some(reason) = closed_skip(look, false, false) {
        return Applied::Skip(reason);
    }
    if let (Some(parent), Some(true)) = (&look.listed.parent, look.parent_running) {
        let message = format!(
            "its parent {} runs and would take the termination for its result",
            parent.workflow_id
        );
        return refuse("child_of_running_parent", message);
    }
    Applied::Write(Write::Restart {
        target: restart.version.clone(),
        request_id: case.naming.request_id(&look.listed.key, "restart", 0),
        terminate: look.listed.status.is_open(),
    })
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;

//! The verdict on one Workflow: what follows from a look.

use uuid::Uuid;

use super::{Call, Pick, Strategy, Table};
use crate::catalog::{self, IfReset, Reapply, ResetTo};
use crate::record::{Seen, Treatment, Write};
use crate::survey::{
    AttributeValue, Behavior, HistoryLook, HistoryNeed, Listed, Look, Override, Status, Version,
    WorkflowKey,
};

const VERSION_ATTRIBUTE: &str = "TemporalWorkerDeploymentVersion";
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

    fn reason(&self, reason: &str) -> String {
        format!("{reason} {}", self.mark())
    }

    fn request_id(&self, key: &WorkflowKey, call: &str, nth: i64) -> String {
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
    pub history: Option<(HistoryNeed, &'a HistoryLook)>,
    /// Claimed because an earlier step moved it and it may have closed before a task ran on the target.
    pub lost: bool,
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
    },
    /// No row takes it.
    Unmatched,
    /// The history is needed first.
    Read(HistoryNeed),
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
    },
}

/// Decides on one Workflow.
pub fn judge(case: &Case<'_>) -> Verdict {
    let listed = match in_scope(case) {
        Ok(listed) => listed,
        Err(verdict) => return *verdict,
    };
    let row = match case.table.pick(&listed, case.look) {
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
            };
        }
    };
    let mut name = case.table.rows[row].strategy.as_str();
    // Fallbacks have no cycles: that was checked offline.
    loop {
        let strategy = &case.table.strategies[name];
        match apply(case, strategy) {
            Applied::Write(write) => {
                return Verdict::Write {
                    row,
                    strategy: name.to_owned(),
                    treatment: strategy.call.treatment(),
                    write: Box::new(write),
                    seen: Box::new(seen(case.look)),
                };
            }
            Applied::Skip(reason) => {
                return Verdict::Skip {
                    row: Some(row),
                    reason,
                };
            }
            Applied::Read(need) => return Verdict::Read(need),
            Applied::Refuse(refusal, message) => match strategy.fallback.get(&refusal) {
                Some(other) => name = other,
                None => {
                    return Verdict::Refuse {
                        row: Some(row),
                        refusal,
                        message,
                    };
                }
            },
        }
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
        _ => "no longer in the decision's scope".to_owned(),
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

fn seen(look: &Look) -> Seen {
    Seen {
        status: look.listed.status,
        current_run: look.current.run_id.clone(),
        version: look.effective_version(),
        reset_run_id: look.reset_run_id.clone(),
        history_length: look.history_length,
        attempt: look.pending_task.as_ref().map_or(0, |task| task.attempt),
    }
}

enum Applied {
    Write(Write),
    Skip(String),
    Read(HistoryNeed),
    Refuse(String, String),
}

fn refuse(refusal: &str, message: impl Into<String>) -> Applied {
    Applied::Refuse(refusal.to_owned(), message.into())
}

fn apply(case: &Case<'_>, strategy: &Strategy) -> Applied {
    if let Some((barred, refusal)) = case.barred
        && barred == strategy.name
    {
        return refuse(refusal, format!("the service refused `{barred}`"));
    }
    match &strategy.call {
        Call::Reset(reset) => apply_reset(case, reset),
        Call::Options(_) => apply_options(case, &strategy.call),
        Call::Restart(restart) => apply_restart(case, restart),
        Call::Terminate(terminate) => {
            if case.look.listed.status.is_open() {
                Applied::Write(Write::Terminate {
                    reason: case.naming.reason(&terminate.reason),
                })
            } else {
                Applied::Skip(format!("already closed ({})", case.look.listed.status))
            }
        }
    }
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

/// Why a closed Workflow is left alone, if it is.
fn closed_skip(look: &Look, again: bool) -> Option<String> {
    if look.listed.status.is_open() {
        return None;
    }
    if let (Some(run), false) = (&look.reset_run_id, again) {
        return Some(format!("already reset (run {run})"));
    }
    if look.current.run_id != look.listed.key.run_id
        && !(again && look.reset_run_id.as_ref() == Some(&look.current.run_id))
    {
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

fn apply_reset(case: &Case<'_>, reset: &catalog::Reset) -> Applied {
    let look = case.look;
    let again = reset.if_reset == IfReset::Again;
    if let Some(reason) = closed_skip(look, again) {
        return Applied::Skip(reason);
    }
    let need = match reset.to {
        ResetTo::FirstWorkflowTask => HistoryNeed::FirstWorkflowTask,
        ResetTo::LastWorkflowTask => HistoryNeed::LastWorkflowTask,
    };
    let history = match case.history {
        Some((read, history)) if read == need => history,
        _ => return Applied::Read(need),
    };
    if let (Some(origin), false, true) =
        (&history.made_by_reset, again, look.listed.status.is_open())
    {
        return refuse(
            "reset_before",
            format!(
                "a reset made this run ({}); it is not undone a second time",
                origin.reason
            ),
        );
    }
    let Some(point) = &history.reset_point else {
        return if history.dispatched {
            refuse(
                "no_completed_task",
                "no Workflow Task of this run ever completed",
            )
        } else {
            refuse(
                "never_dispatched",
                "no Workflow Task of this run was ever started",
            )
        };
    };
    if let Some(child) = look
        .pending_children
        .iter()
        .find(|child| child.initiated_event > point.event_id)
    {
        let message = format!(
            "its child {} runs and was started after the reset point",
            child.key.workflow_id
        );
        return refuse("running_child", message);
    }
    let nth = look.history_length + i64::from(look.reset_run_id.is_some());
    Applied::Write(Write::Reset {
        event_id: point.event_id,
        signals: matches!(reset.reapply, Reapply::All | Reapply::WithoutUpdates),
        updates: matches!(reset.reapply, Reapply::All | Reapply::WithoutSignals),
        target: reset.version.clone(),
        reason: case.naming.reason(&reset.reason),
        request_id: case.naming.request_id(&look.listed.key, "reset", nth),
    })
}

fn apply_restart(case: &Case<'_>, restart: &catalog::Restart) -> Applied {
    let look = case.look;
    if let Some(reason) = closed_skip(look, false) {
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

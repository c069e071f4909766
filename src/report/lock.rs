//! A run's lock in words: who has it, since when, and what can be done about it.

use jiff::Timestamp;
use serde::Serialize;

use super::fold::Report;
use super::format::{Text, Tone, duration, moment, shell_word};
use super::model::Ending;
use super::next::Next;
use crate::lease::{Holder, workflow_id};
use crate::record::Body;

/// A run's lock, as far as its records say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LockReport {
    /// Its name.
    pub name: String,
    /// Whether the run has it, or may have it.
    pub held: bool,
    /// Why that is not certain, or why it has it no more; empty where nothing is to be said.
    pub note: String,
}

/// Who has a lock, as `plan` and `unlock` show it.
#[derive(Clone, Debug, Serialize)]
pub struct LockPlan {
    /// Its name.
    pub name: String,
    /// The Workflow that is its lease.
    pub workflow_id: String,
    /// Who has it; null where nobody has.
    pub holder: Option<Holder>,
    /// Whether no sign of life has come from them for a while.
    pub quiet: bool,
}

impl LockPlan {
    /// As it was found at `now`.
    pub fn new(name: &str, holder: Option<Holder>, now: Timestamp) -> Self {
        Self {
            name: name.to_owned(),
            workflow_id: workflow_id(name),
            quiet: holder.as_ref().is_some_and(|holder| holder.is_quiet(now)),
            holder,
        }
    }

    pub(super) fn text(&self, now: Timestamp, text: &mut Text) {
        text.gap();
        text.line(Tone::Strong, "Lock");
        match &self.holder {
            None => text.line(Tone::Plain, &format!("  `{}` is free", self.name)),
            Some(holder) => {
                let head = format!("  `{}` is held, so that `exec` is refused:", self.name);
                text.line(Tone::Warn, &head);
                for line in holder_lines(holder, now) {
                    text.line(Tone::Warn, &format!("  {line}"));
                }
            }
        }
    }
}

/// Who, where, since when, and the last sign of life: a sentence or so each.
pub fn holder_lines(holder: &Holder, now: Timestamp) -> Vec<String> {
    let ago = |at: Timestamp| duration(now.duration_since(at));
    let seen = match holder.is_quiet(now) {
        false => format!("its last sign of life is {} old", ago(holder.seen)),
        true => format!(
            "no sign of life for {}: its process has ended, or nobody is attached; nothing breaks the lock by itself",
            ago(holder.seen)
        ),
    };
    vec![
        format!("by {holder}"),
        format!("since {}, {} ago", moment(holder.since), ago(holder.since)),
        seen,
        format!(
            "to look at it: Workflow `{}`, run {}",
            workflow_id(&holder.lock),
            holder.lease
        ),
    ]
}

/// The command that breaks a lock.
pub fn unlock_line(name: &str, address: &str, namespace: &str) -> String {
    let mut line = format!("runbook unlock {}", shell_word(name));
    for (flag, value) in [("--address", address), ("--namespace", namespace)] {
        if !value.is_empty() {
            line.push_str(&format!(" {flag} {}", shell_word(value)));
        }
    }
    line
}

impl Report {
    /// The lock's name; empty where there is none.
    pub fn lock_name(&self) -> &str {
        self.lock.as_ref().map_or("", |lock| &lock.name)
    }

    pub(super) fn locked(&mut self, body: &Body, at: Timestamp) {
        let lock = self.lock.get_or_insert_default();
        lock.note.clear();
        match body {
            Body::Locking { name, .. } => {
                lock.name.clone_from(name);
                lock.held = true;
                lock.note = "it was asked for, and no answer is known".to_owned();
            }
            Body::Locked { .. } => lock.held = true,
            Body::LockRefused { holder, message } => {
                lock.held = false;
                self.ending = Ending::Refused {
                    holder: holder.clone(),
                    message: message.clone(),
                    at,
                };
            }
            Body::LockLost { evidence } => {
                lock.held = false;
                lock.note = format!("it was broken: {evidence}");
            }
            Body::Unlocking {} => {
                lock.note = "it is being given back, and no answer is known".to_owned();
            }
            Body::Unlocked { error } => {
                lock.held = !error.is_empty();
                lock.note.clone_from(error);
            }
            _ => {}
        }
    }

    /// Whether the run stopped with its lock in hand.
    fn keeps_lock(&self) -> bool {
        self.lock.as_ref().is_some_and(|lock| lock.held)
    }

    /// Giving up the lock of a run that stopped, or breaking somebody else's.
    pub(super) fn about_lock(&self) -> Option<Next> {
        let why = match &self.ending {
            Ending::Refused {
                holder: Some(_), ..
            } => "Break the lock, where nobody carries that run out any more",
            Ending::Refused { .. } => return None,
            _ if self.keeps_lock() => "Give the lock up, so that another run can have it",
            _ => return None,
        };
        Some(Next {
            why: why.to_owned(),
            command: unlock_line(self.lock_name(), &self.run.address, &self.run.namespace),
        })
    }

    /// What is to be known about the lock at the end of a run.
    pub(super) fn lock_lines(&self, text: &mut Text) {
        if let Ending::Refused {
            holder: Some(holder),
            at,
            ..
        } = &self.ending
        {
            for line in holder_lines(holder, *at) {
                text.line(Tone::Plain, &format!("  {line}"));
            }
        }
        let Some(lock) = &self.lock else { return };
        let stopped = !matches!(self.ending, Ending::Open);
        if lock.held && stopped {
            let name = &lock.name;
            let line = match lock.note.as_str() {
                "" => format!("It keeps the lock `{name}`: nobody else can begin in between."),
                note => format!("It may still have the lock `{name}`: {note}."),
            };
            text.line(Tone::Plain, &line);
        }
    }
}

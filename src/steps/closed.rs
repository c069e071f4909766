//! `workflows.wait_closed`: until the Workflows of earlier steps are closed, or the wait is over.
//!
//! Pure. A cancel only asks: whether a Workflow heeds it shows when it closes. What is found closed is a
//! fact of the journal and is not looked at again; who is still open is for the next step to judge.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use serde_json::{Map, Value, json};

use super::verify::{ROUND, Round};
use super::{Effect, Machine, Problem, Room};
use crate::catalog::WaitClosed;
use crate::ledger::{Closed, Entry, Life};
use crate::record::{Body, Ordinal, Place, StepStatus};
use crate::survey::Status;

/// Looks in a row that failed for a passing reason, before the step fails.
const TROUBLES: u32 = 50;

impl Machine {
    pub(super) fn work_closed(&mut self, place: &Place, room: &mut Room<'_>) -> Vec<Effect> {
        let with = match self.arguments_once::<WaitClosed>(place) {
            Ok(with) => with,
            Err(error) => {
                self.end_unknown(place, &error);
                return Vec::new();
            }
        };
        if self.dry {
            let known = with.ledger.iter().all(|id| !self.state.step(id).unknown);
            let (output, message) = if known {
                (self.closed_output(&with.ledger), "no change".to_owned())
            } else {
                let steps = with.ledger.join(", ");
                (Value::Null, format!("unknown until {steps}"))
            };
            self.end(place, StepStatus::Rehearsed, output, &message);
            return Vec::new();
        }
        if self.memory.round.is_none() {
            let todo = self.still_open(&with.ledger);
            self.memory.round = Some(Round {
                todo,
                ..Round::default()
            });
        }
        let effects = self.closed_looks(place, room);
        if !effects.is_empty() || !self.is_idle() || room.starved {
            return effects;
        }
        self.end_closed_round(place, &with)
    }

    /// Workflows of these steps that nobody has found closed.
    fn still_open(&self, ledger: &[String]) -> BTreeSet<Ordinal> {
        let open = self
            .waited_for(ledger)
            .filter(|(_, entry)| entry.closed.is_none());
        open.map(|(ordinal, _)| ordinal).collect()
    }

    /// What the steps wrote to, what needed nothing (it may have been asked to cancel before), and what
    /// nobody knows about.
    fn waited_for<'a>(
        &'a self,
        ledger: &'a [String],
    ) -> impl Iterator<Item = (Ordinal, &'a Entry)> {
        self.state.ledger.entries().filter(|(_, entry)| {
            matches!(entry.life, Life::Done | Life::Skipped | Life::Unknown)
                && ledger.iter().any(|step| **step == *entry.step)
        })
    }

    fn closed_looks(&mut self, place: &Place, room: &mut Room<'_>) -> Vec<Effect> {
        let Some(round) = &mut self.memory.round else {
            return Vec::new();
        };
        if round.next.is_some_and(|next| next > self.now) {
            return Vec::new();
        }
        let mut effects = Vec::new();
        while room.slots > 0 && !round.todo.is_empty() {
            if !(room.token)() {
                room.starved = true;
                break;
            }
            let Some(ordinal) = round.todo.pop_first() else {
                break;
            };
            room.slots -= 1;
            self.memory.busy.insert(ordinal);
            effects.push(Effect::Status {
                place: place.clone(),
                ordinal,
                key: self.state.ledger.entry(ordinal).current(),
            });
        }
        effects
    }

    /// `result`: its status, or none where it is gone.
    pub(super) fn status_read(
        &mut self,
        place: &Place,
        ordinal: Ordinal,
        result: Result<Option<Status>, Problem>,
    ) {
        self.memory.busy.remove(&ordinal);
        if self.state.step(&place.step).ended.is_some() {
            return;
        }
        match result {
            Ok(Some(status)) if status.is_open() => {}
            Ok(status) => self.emit(Body::FoundClosed {
                place: place.clone(),
                ordinal,
                status,
            }),
            Err(problem) => {
                let round = self.memory.round.get_or_insert_default();
                round.troubles += 1;
                if problem.transient && round.troubles < TROUBLES {
                    round.todo.insert(ordinal);
                    round.next = Some(self.now + ROUND);
                } else {
                    // It counts as open: nobody has seen it closed.
                    let status = format!("cannot look: {}", problem.message);
                    self.poll_once(place, &status);
                }
            }
        }
    }

    fn poll_once(&mut self, place: &Place, status: &str) {
        if self.state.step(&place.step).polled != status {
            self.emit(Body::Polled {
                place: place.clone(),
                status: status.to_owned(),
            });
        }
    }

    fn end_closed_round(&mut self, place: &Place, with: &WaitClosed) -> Vec<Effect> {
        let due = self.memory.round.as_ref().and_then(|round| round.next);
        if let Some(until) = due.filter(|next| *next > self.now) {
            let reason = self.state.step(&place.step).polled.clone();
            return vec![Effect::Wait { until, reason }];
        }
        let open = self.still_open(&with.ledger);
        let limit = with.wait.as_deref().and_then(crate::schema::interval);
        let patient = limit.is_some_and(|limit| {
            self.state.elapsed(&place.step, self.now)
                < SignedDuration::try_from(limit).unwrap_or(SignedDuration::MAX)
        });
        if !open.is_empty() && patient {
            let reason = match open.len() {
                1 => "1 Workflow to close".to_owned(),
                n => format!("{n} Workflows to close"),
            };
            self.poll_once(place, &reason);
            let until = self.now + ROUND;
            self.memory.round = Some(Round {
                todo: open,
                next: Some(until),
                troubles: 0,
            });
            return vec![Effect::Wait { until, reason }];
        }
        let output = self.closed_output(&with.ledger);
        let message = match open.len() {
            0 => String::new(),
            1 => "1 Workflow is still open.".to_owned(),
            n => format!("{n} Workflows are still open."),
        };
        self.end(place, StepStatus::Succeeded, output, &message);
        Vec::new()
    }

    fn closed_output(&self, ledger: &[String]) -> Value {
        let mut statuses: BTreeMap<&str, u64> = BTreeMap::new();
        for (_, entry) in self.waited_for(ledger) {
            let name = match entry.closed {
                None => "open",
                Some(Closed::Gone) => "gone",
                Some(Closed::As(status)) => status.name(),
            };
            *statuses.entry(name).or_default() += 1;
        }
        let of = |name: &str| statuses.get(name).copied().unwrap_or(0);
        let all: u64 = statuses.values().sum();
        let open = of("open");
        json!({
            "closed": all - open,
            "open": open,
            "continued": of(Status::ContinuedAsNew.name()),
            "statuses": statuses.iter().map(|(name, n)| ((*name).to_owned(), Value::from(*n))).collect::<Map<_, _>>(),
        })
    }
}

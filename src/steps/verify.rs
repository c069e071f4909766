//! Health of what earlier steps recovered: a gate.
//!
//! Pure. Each Workflow of the named steps is looked at; only waiting and unhealthy ones are looked at
//! again, until none waits or the step's `wait` is over.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use serde_json::{Map, Value};

use super::{Effect, Machine, Problem, Room};
use crate::catalog::Verify;
use crate::ledger::Life;
use crate::record::{Body, Health, Ordinal, Place, StepStatus};

/// Pause between two rounds.
pub(super) const ROUND: SignedDuration = SignedDuration::from_secs(5);

/// A round of looks.
#[derive(Clone, Debug, Default)]
pub struct Round {
    /// Still to be looked at.
    pub todo: BTreeSet<Ordinal>,
    /// When the next round begins, once this one is through.
    pub next: Option<jiff::Timestamp>,
    /// Tries that failed for a passing reason.
    pub troubles: u32,
}

impl Machine {
    pub(super) fn work_verify(&mut self, place: &Place, room: &mut Room<'_>) -> Vec<Effect> {
        let with = match self.arguments_once::<Verify>(place) {
            Ok(with) => with,
            Err(error) => {
                self.end_unknown(place, &error);
                return Vec::new();
            }
        };
        if self.dry {
            // Nothing was recovered: what is left to prove is known only after a run.
            let known = with.ledger.iter().all(|id| !self.state.step(id).unknown);
            let (output, message) = if known {
                (self.health_output(&with.ledger), "no change".to_owned())
            } else {
                (
                    Value::Null,
                    format!("unknown until {}", with.ledger.join(", ")),
                )
            };
            self.end(place, StepStatus::Rehearsed, output, &message);
            return Vec::new();
        }
        if self.memory.round.is_none() {
            let todo = self.to_verify(&with.ledger, true);
            self.memory.round = Some(Round {
                todo,
                ..Round::default()
            });
        }
        let effects = self.verify_looks(place, room);
        // Lacking only a token of the pace is not the end of a round.
        if !effects.is_empty() || !self.is_idle() || room.starved {
            return effects;
        }
        self.end_round(place, &with)
    }

    /// Workflows to look at: those never seen, waiting or unhealthy.
    fn to_verify(&self, ledger: &[String], first: bool) -> BTreeSet<Ordinal> {
        let mut todo = BTreeSet::new();
        for id in ledger {
            for &ordinal in self
                .state
                .ledger
                .part(id)
                .iter()
                .flat_map(|part| &part.done)
            {
                let again = match self.state.ledger.entry(ordinal).health {
                    None => true,
                    Some(Health::Healthy | Health::Unproven) => false,
                    Some(Health::Lost | Health::Failed) => first,
                    Some(Health::Waiting | Health::Failing | Health::Unpolled) => true,
                };
                if again {
                    todo.insert(ordinal);
                }
            }
        }
        todo
    }

    fn verify_looks(&mut self, place: &Place, room: &mut Room<'_>) -> Vec<Effect> {
        let Some(round) = &mut self.memory.round else {
            return Vec::new();
        };
        if round.next.is_some_and(|next| next > self.now) {
            return Vec::new();
        }
        let mut effects = Vec::new();
        while room.slots > 0 {
            if round.todo.is_empty() {
                break;
            }
            if !(room.token)() {
                room.starved = true;
                break;
            }
            let Some(ordinal) = round.todo.pop_first() else {
                break;
            };
            room.slots -= 1;
            let entry = self.state.ledger.entry(ordinal);
            self.memory.busy.insert(ordinal);
            effects.push(Effect::Verify {
                place: place.clone(),
                ordinal,
                key: entry.current(),
                target: entry.target.clone(),
                attempt: entry.attempt,
                moved: entry.ended,
                woken: entry.is_woken(),
            });
        }
        effects
    }

    pub(super) fn verified(
        &mut self,
        place: &Place,
        ordinal: Ordinal,
        result: Result<(Health, String), Problem>,
    ) {
        self.memory.busy.remove(&ordinal);
        match result {
            Ok((health, note)) => {
                if self.state.ledger.entry(ordinal).health != Some(health) {
                    self.emit(Body::Verified {
                        place: place.clone(),
                        ordinal,
                        health,
                        note,
                    });
                }
            }
            Err(problem) => {
                let round = self.memory.round.get_or_insert_default();
                round.troubles += 1;
                if problem.transient && round.troubles < 50 {
                    round.todo.insert(ordinal);
                    round.next = Some(self.now + ROUND);
                } else if self.state.ledger.entry(ordinal).life == Life::Done {
                    let note = format!("could not be looked at: {}", problem.message);
                    if self.state.ledger.entry(ordinal).health != Some(Health::Waiting) {
                        self.emit(Body::Verified {
                            place: place.clone(),
                            ordinal,
                            health: Health::Waiting,
                            note,
                        });
                    }
                }
            }
        }
    }

    fn end_round(&mut self, place: &Place, with: &Verify) -> Vec<Effect> {
        if let Some(next) = self
            .memory
            .round
            .as_ref()
            .and_then(|round| round.next)
            .filter(|next| *next > self.now)
        {
            return vec![Effect::Wait {
                until: next,
                reason: self.state.step(&place.step).polled.clone(),
            }];
        }
        let counts = self.health_counts(&with.ledger);
        let waiting = counts.get(&Health::Waiting).copied().unwrap_or(0)
            + counts.get(&Health::Unpolled).copied().unwrap_or(0);
        let limit = with.wait.as_deref().and_then(crate::schema::interval);
        let patient = limit.is_some_and(|limit| {
            self.state.elapsed(&place.step, self.now)
                < SignedDuration::try_from(limit).unwrap_or(SignedDuration::MAX)
        });
        if waiting > 0 && patient {
            let status = format!("{waiting} Workflows to take a task on their target");
            if self.state.step(&place.step).polled != status {
                self.emit(Body::Polled {
                    place: place.clone(),
                    status: status.clone(),
                });
            }
            let next = self.now + ROUND;
            self.memory.round = Some(Round {
                todo: self.to_verify(&with.ledger, false),
                next: Some(next),
                troubles: 0,
            });
            return vec![Effect::Wait {
                until: next,
                reason: status,
            }];
        }
        self.finish_verify(place, with, &counts);
        Vec::new()
    }

    fn finish_verify(&mut self, place: &Place, with: &Verify, counts: &BTreeMap<Health, u64>) {
        let output = self.health_output(&with.ledger);
        let unhealthy: u64 = counts
            .iter()
            .filter(|(health, _)| health.is_unhealthy())
            .map(|(_, count)| count)
            .sum();
        let total: u64 = counts.values().sum();
        if let Some(bound) = self
            .step_model(&place.step)
            .limits
            .max_unhealthy
            .map(|bound| bound.of(total))
            && unhealthy > bound
        {
            self.emit(Body::LimitHit {
                place: place.clone(),
                limit: "max_unhealthy".to_owned(),
                value: unhealthy,
                bound,
            });
            let message = format!(
                "{unhealthy} of {total} recovered Workflows are not healthy, and {bound} are allowed."
            );
            self.end(place, StepStatus::Halted, output, &message);
            return;
        }
        self.end(place, StepStatus::Succeeded, output, "");
    }

    fn health_counts(&self, ledger: &[String]) -> BTreeMap<Health, u64> {
        let mut counts = BTreeMap::new();
        for id in ledger {
            for &ordinal in self
                .state
                .ledger
                .part(id)
                .iter()
                .flat_map(|part| &part.done)
            {
                let health = self
                    .state
                    .ledger
                    .entry(ordinal)
                    .health
                    .unwrap_or(Health::Waiting);
                *counts.entry(health).or_default() += 1;
            }
        }
        counts
    }

    fn health_output(&self, ledger: &[String]) -> Value {
        let counts = self.health_counts(ledger);
        let of = |health: Health| counts.get(&health).copied().unwrap_or(0);
        let unhealthy: u64 = counts
            .iter()
            .filter(|(health, _)| health.is_unhealthy())
            .map(|(_, count)| count)
            .sum();
        Value::Object(Map::from_iter(
            [
                ("healthy", of(Health::Healthy)),
                ("waiting", of(Health::Waiting)),
                ("unproven", of(Health::Unproven)),
                ("unhealthy", unhealthy),
                ("failing", of(Health::Failing)),
                ("unpolled", of(Health::Unpolled)),
                ("lost", of(Health::Lost) + of(Health::Failed)),
            ]
            .map(|(name, count)| (name.to_owned(), Value::from(count))),
        ))
    }
}

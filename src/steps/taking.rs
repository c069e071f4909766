//! Takes in what became of looks, writes and settlements: outcomes, intents, limits.
//!
//! Pure. Here a verdict becomes an intent, if the grant, the limits, the canary and the flags allow it;
//! and here a call's end becomes an outcome, or doubt.

use jiff::{SignedDuration, Timestamp};

use super::apply::{Held, WRITE_DEADLINE, Why};
use super::{Judged, Machine, Problem, Written};
use crate::approval::{Permit, Short};
use crate::decision::{INVALID_REFUSAL, Verdict};
use crate::ledger::Life;
use crate::plan::add_leftover;
use crate::record::{Body, Deed, Ordinal, Outcome, Settlement, Treatment, Write};

/// Tries of a look that fails for a passing reason.
pub(super) const LOOK_TRIES: u32 = 5;
/// Writes to one Workflow that came to nothing, in one attachment, before it counts as failed.
const FRUITLESS_WRITES: u32 = 12;
/// Times that a write in doubt is asked about while the service answers that it cannot be known yet: with the
/// pauses between them about 20 minutes, longer than a Workflow Task is given.
const NOT_YET_TRIES: u32 = 40;

impl Machine {
    pub(super) fn judged(
        &mut self,
        ordinal: Ordinal,
        at: Timestamp,
        result: Result<Judged, Problem>,
    ) {
        self.memory.busy.remove(&ordinal);
        let judged = match result {
            Ok(judged) => judged,
            Err(problem) => {
                self.look_again(ordinal, &problem);
                return;
            }
        };
        let id = self.state.ledger.entry(ordinal).step.to_string();
        if self.state.step(&id).ended.is_some() {
            // Its step is over: whoever resumes looks again.
            return;
        }
        if !matches!(&judged, Judged::Verdict(verdict, _) if matches!(**verdict, Verdict::Write { .. }))
        {
            self.memory.again.remove(&ordinal);
        }
        let (verdict, listed) = match judged {
            Judged::Gone if self.is_named(&id) => {
                self.not_found(ordinal);
                return;
            }
            Judged::Gone => {
                self.emit(Body::Outcome {
                    ordinal,
                    row: String::new(),
                    outcome: Outcome::Skipped {
                        reason: "not found".to_owned(),
                    },
                });
                return;
            }
            Judged::Verdict(verdict, listed) => (*verdict, listed),
        };
        let row_id = |machine: &Self, row: usize| {
            machine
                .memory
                .tables
                .get(&id)
                .and_then(|table| table.rows.get(row))
                .map(|row| row.id.clone())
                .unwrap_or_default()
        };
        match verdict {
            Verdict::Release(reason) => self.emit(Body::Released { ordinal, reason }),
            Verdict::Skip { row, reason } => {
                let row = row.map(|row| row_id(self, row)).unwrap_or_default();
                self.emit(Body::Outcome {
                    ordinal,
                    row,
                    outcome: Outcome::Skipped { reason },
                });
            }
            Verdict::Refuse {
                row,
                refusal,
                message,
                points,
            } => {
                let row = row.map(|row| row_id(self, row)).unwrap_or_default();
                // One Workflow and one event that is none to reset to: somebody has to choose another.
                let alone = self
                    .state
                    .ledger
                    .part(&id)
                    .is_some_and(|part| part.listed == 1);
                if refusal == INVALID_REFUSAL && alone {
                    self.memory.halt.get_or_insert_with(|| message.clone());
                }
                self.emit(Body::Outcome {
                    ordinal,
                    row,
                    outcome: Outcome::Refused {
                        refusal,
                        message,
                        points,
                    },
                });
            }
            Verdict::Unmatched => {
                if let Some(listing) = &mut self.memory.listing {
                    add_leftover(&mut listing.unmatched, &listed);
                }
                self.emit(Body::Released {
                    ordinal,
                    reason: "no row takes it".to_owned(),
                });
            }
            // The look reads on until it needs nothing more.
            Verdict::Read(_) | Verdict::ReadFailure => self.emit(Body::Released {
                ordinal,
                reason: "its history could not be read".to_owned(),
            }),
            Verdict::Write {
                row,
                strategy,
                treatment,
                write,
                seen,
                point,
            } => {
                let index = row;
                let row = row_id(self, row);
                let again = match treatment {
                    Treatment::Signalled => self.has_its_signal(ordinal, &row),
                    Treatment::StartedOver | Treatment::Undone => self.is_its_own(ordinal, &row),
                    Treatment::Moved | Treatment::Terminated | Treatment::Cancelled => false,
                };
                if again {
                    return;
                }
                let deed = Deed {
                    treatment,
                    target: write.target().cloned(),
                };
                let sealed = (*write).clone();
                if let Some(permit) = self.may_write(&id, ordinal, index, &deed, sealed) {
                    self.memory.permits.insert(ordinal, (at, permit));
                    self.memory.writes += 1;
                    let deadline = self.now + WRITE_DEADLINE;
                    self.emit(Body::Intent {
                        ordinal,
                        row,
                        strategy,
                        treatment,
                        write,
                        seen,
                        deadline,
                    });
                } else if self.dry {
                    let does = self
                        .memory
                        .tables
                        .get(&id)
                        .and_then(|table| table.strategies.get(&strategy));
                    let what = does
                        .map(|strategy| strategy.call.does())
                        .unwrap_or_default();
                    let effects = does
                        .filter(|_| point.is_some())
                        .map(|strategy| strategy.call.effects(point.as_deref(), false))
                        .unwrap_or_default();
                    self.emit(Body::Outcome {
                        ordinal,
                        row,
                        outcome: Outcome::Would {
                            what,
                            point,
                            effects,
                        },
                    });
                }
            }
        }
    }

    /// A Workflow gets a step's Signal once, whichever of its runs took it. True where this run gets none:
    /// then that is decided here, or it waits for what becomes of another run.
    pub(super) fn has_its_signal(&mut self, ordinal: Ordinal, row: &str) -> bool {
        let entry = self.state.ledger.entry(ordinal);
        let (step, key) = (entry.step.clone(), entry.key.clone());
        let others = self.state.ledger.runs(&step, &key.workflow_id);
        let mut waits = false;
        for other in others.into_iter().filter(|other| *other != ordinal) {
            let entry = self.state.ledger.entry(other);
            let run = &entry.key.run_id;
            let reason = match entry.life {
                Life::Done => format!("already signalled (run {run})"),
                Life::Unknown => format!("nobody knows whether run {run} got the Signal"),
                Life::Intended | Life::InDoubt | Life::Handed => {
                    waits = true;
                    continue;
                }
                Life::Claimed
                | Life::Skipped
                | Life::Refused
                | Life::Failed
                | Life::Released
                | Life::Would => continue,
            };
            self.emit(Body::Outcome {
                ordinal,
                row: row.to_owned(),
                outcome: Outcome::Skipped { reason },
            });
            return true;
        }
        if waits {
            let due = self.now + SignedDuration::from_secs(1);
            self.memory.again.insert(ordinal, (0, due));
        }
        waits
    }

    /// A run that the step's own reset or new start made may be moved, and is never started over again. True
    /// where that is so, or may turn out to be so: then it waits for what becomes of the other run.
    fn is_its_own(&mut self, ordinal: Ordinal, row: &str) -> bool {
        let entry = self.state.ledger.entry(ordinal);
        let (step, key) = (entry.step.clone(), entry.key.clone());
        if self.state.ledger.made(&step, &key) {
            let outcome = Outcome::Skipped {
                reason: "this step's own write made this run".to_owned(),
            };
            self.emit(Body::Outcome {
                ordinal,
                row: row.to_owned(),
                outcome,
            });
            return true;
        }
        let waits = self.state.ledger.is_written(&step, &key);
        if waits {
            let due = self.now + SignedDuration::from_secs(1);
            self.memory.again.insert(ordinal, (0, due));
        }
        waits
    }

    /// Leave for a write to a row's Workflow now; without it, holds the claim back or decides it.
    fn may_write(
        &mut self,
        id: &str,
        ordinal: Ordinal,
        index: usize,
        deed: &Deed,
        write: Write,
    ) -> Option<Permit<Write>> {
        let table = self.memory.tables.get(id)?.clone();
        let row = table.rows.get(index)?.id.as_str();
        if self.dry {
            *self
                .memory
                .dry_looks
                .entry(format!("{id}/{row}"))
                .or_default() += 1;
            return None;
        }
        if self
            .state
            .flags
            .skip_rows
            .iter()
            .any(|skipped| skipped == row)
        {
            let outcome = Outcome::Skipped {
                reason: format!("row `{row}` is skipped (--skip-row)"),
            };
            self.emit(Body::Outcome {
                ordinal,
                row: row.to_owned(),
                outcome,
            });
            return None;
        }
        // Looks in flight were begun before the last write that `--limit` allows.
        let limit_reached = self.memory.writes >= self.state.flags.limit.unwrap_or(u64::MAX);
        if self.memory.halt.is_some() || limit_reached {
            return None;
        }
        let step = self.step_model(id);
        let state = self.state.step(id);
        let used = state.grant.total_used();
        let bound = step
            .limits
            .max_workflows
            .map(|bound| bound.of(state.grant.total()));
        if let Some(bound) = bound.filter(|bound| used >= *bound) {
            self.hit_limit(id, "max_workflows", used + 1, bound);
            return None;
        }
        let terms = table.terms(index);
        if let Err(short) = state.grant.allows(row, terms, 1, self.now) {
            self.hold(id, ordinal, row, short);
            return None;
        }
        if step
            .canary
            .is_some_and(|canary| !self.canary_has_room(id, row, canary.count))
        {
            self.memory.held.insert(
                ordinal,
                Held {
                    row: row.to_owned(),
                    why: Why::Canary,
                },
            );
            return None;
        }
        let grant = self.state.grant_mut(id)?;
        match grant.spend(row, terms, deed, 1, write, self.now) {
            Ok(permit) => Some(permit),
            Err(short) => {
                self.hold(id, ordinal, row, short);
                None
            }
        }
    }

    /// Holds a claim back until its write is granted.
    fn hold(&mut self, id: &str, ordinal: Ordinal, row: &str, short: Short) {
        if short == Short::Capped {
            self.hit_guard(id, 1);
            return;
        }
        if short == Short::Foreign {
            let outcome = Outcome::Failed {
                code: String::new(),
                message: "nothing was sent: the write is not what was asked about".to_owned(),
            };
            self.emit(Body::Outcome {
                ordinal,
                row: row.to_owned(),
                outcome,
            });
            self.check_failures(ordinal);
            return;
        }
        let held = Held {
            row: row.to_owned(),
            why: Why::Grant,
        };
        self.memory.held.insert(ordinal, held);
    }

    /// Whether the runbook's guards forbid the step to write to `found` more Workflows; it halts then.
    pub(super) fn hit_guard(&mut self, id: &str, found: u64) -> bool {
        let used = self.state.step(id).grant.total_used();
        let guards = &self.runbook.guards;
        let refused = guards.refuse_count(id, found, used);
        let (Some(refused), Some(ceiling)) = (refused, guards.max_workflows.clone()) else {
            return false;
        };
        if self.memory.halt.is_none() {
            let place = self.state.place_of(id);
            self.emit(Body::LimitHit {
                place,
                limit: "guards.max_workflows".to_owned(),
                value: used + found,
                bound: ceiling.most,
            });
            let line = ceiling.place.line();
            self.memory.halt = Some(format!("{} ({line}).", refused.message));
        }
        true
    }

    pub(super) fn hit_limit(&mut self, id: &str, limit: &str, value: u64, bound: u64) {
        if self.memory.halt.is_none() {
            let place = self.state.place_of(id);
            self.emit(Body::LimitHit {
                place,
                limit: limit.to_owned(),
                value,
                bound,
            });
            self.memory.halt = Some(format!(
                "`{limit}` was reached: {value}, and {bound} are allowed."
            ));
        }
    }

    fn look_again(&mut self, ordinal: Ordinal, problem: &Problem) {
        let tries = self
            .memory
            .again
            .get(&ordinal)
            .map_or(0, |(tries, _)| *tries)
            + 1;
        // That the service cannot be reached says nothing about a write in doubt: it stays so. An answer
        // that does not tell is waited for, but not for ever.
        let in_doubt = self.state.ledger.entry(ordinal).life == Life::InDoubt;
        let most = match (in_doubt, problem.not_yet) {
            (true, false) => u32::MAX,
            (true, true) => NOT_YET_TRIES,
            (false, _) => LOOK_TRIES,
        };
        if problem.transient && tries < most {
            let due = self.now + SignedDuration::from_secs(1 << tries.min(5));
            self.memory.again.insert(ordinal, (tries, due));
            return;
        }
        self.memory.again.remove(&ordinal);
        if self.state.ledger.entry(ordinal).life == Life::Claimed {
            let outcome = Outcome::Failed {
                code: String::new(),
                message: format!("could not be looked at: {}", problem.message),
            };
            self.emit(Body::Outcome {
                ordinal,
                row: String::new(),
                outcome,
            });
            self.check_failures(ordinal);
        } else {
            let evidence = match problem.not_yet {
                true => format!("it cannot be told: {}", problem.message),
                false => format!("the service cannot be asked: {}", problem.message),
            };
            self.emit(Body::Settled {
                ordinal,
                settlement: Settlement::Unknown,
                evidence,
            });
            self.check_failures(ordinal);
        }
    }

    pub(super) fn written(&mut self, ordinal: Ordinal, written: Written) {
        self.memory.busy.remove(&ordinal);
        match written {
            Written::Stale | Written::Lapsed => {
                self.memory.writes = self.memory.writes.saturating_sub(1);
                let evidence = match written {
                    Written::Lapsed => crate::approval::Lapsed.to_string(),
                    _ => "the look was too old; nothing was sent".to_owned(),
                };
                self.emit(Body::Settled {
                    ordinal,
                    settlement: Settlement::NotDone,
                    evidence: evidence.clone(),
                });
                self.unhold_canary(ordinal);
                let problem = Problem {
                    message: evidence,
                    transient: true,
                    not_yet: false,
                };
                self.look_again(ordinal, &problem);
            }
            Written::TargetRefused(message) => {
                let outcome = Outcome::Failed {
                    code: "FailedPrecondition".to_owned(),
                    message: message.clone(),
                };
                self.emit(Body::Outcome {
                    ordinal,
                    row: String::new(),
                    outcome,
                });
                self.memory
                    .halt
                    .get_or_insert(format!("The target Version is refused: {message}"));
            }
            Written::Ended(Outcome::Refused {
                refusal, message, ..
            }) => {
                self.refused(ordinal, refusal, message);
                self.unhold_canary(ordinal);
            }
            Written::Ended(outcome) => {
                self.memory.again.remove(&ordinal);
                let done = matches!(outcome, Outcome::Done { .. });
                self.emit(Body::Outcome {
                    ordinal,
                    row: String::new(),
                    outcome,
                });
                if !done {
                    self.unhold_canary(ordinal);
                }
                self.check_failures(ordinal);
            }
        }
    }

    /// A write that was not done leaves its place among the canaries to the next one.
    fn unhold_canary(&mut self, ordinal: Ordinal) {
        let row = self.state.ledger.entry(ordinal).row.clone();
        self.memory
            .held
            .retain(|_, held| held.why != Why::Canary || Some(held.row.as_str()) != row.as_deref());
    }

    fn refused(&mut self, ordinal: Ordinal, refusal: String, message: String) {
        let entry = self.state.ledger.entry(ordinal);
        let strategy = entry
            .intent
            .as_ref()
            .map(|intent| intent.strategy.clone())
            .unwrap_or_default();
        let table = self.memory.tables.get(&*entry.step);
        let falls_back = table
            .and_then(|table| table.strategies.get(&strategy))
            .is_some_and(|strategy| strategy.fallback.contains_key(&refusal));
        if falls_back {
            self.emit(Body::Barred {
                ordinal,
                strategy,
                refusal,
                message,
            });
        } else {
            self.emit(Body::Outcome {
                ordinal,
                row: String::new(),
                outcome: Outcome::Refused {
                    refusal,
                    message,
                    points: Vec::new(),
                },
            });
        }
    }

    fn check_failures(&mut self, ordinal: Ordinal) {
        let id = self.state.ledger.entry(ordinal).step.to_string();
        let Some(bound) = self.step_model(&id).limits.max_failures else {
            return;
        };
        let failed = self.failed(&id);
        let bound = bound.of(self.state.step(&id).grant.total());
        if failed > bound {
            self.hit_limit(&id, "max_failures", failed, bound);
        }
    }

    pub(super) fn failed(&self, id: &str) -> u64 {
        self.state
            .ledger
            .part(id)
            .map_or(0, |part| part.counts.failed + part.counts.unknown)
    }

    /// A write was found not to have happened: the next try waits, longer each time, so that its own reads do
    /// not use up what the service allows in a second; and not for ever.
    fn came_to_nothing(&mut self, ordinal: Ordinal) {
        if self.state.ledger.entry(ordinal).life != Life::Claimed {
            return;
        }
        let times = self.memory.fruitless.entry(ordinal).or_default();
        *times += 1;
        if *times < FRUITLESS_WRITES {
            let due = self.now + SignedDuration::from_secs(1 << (*times).min(5));
            self.memory.again.insert(ordinal, (0, due));
            return;
        }
        let message = format!("written to {times} times, and each time it did not happen");
        self.memory.fruitless.remove(&ordinal);
        let outcome = Outcome::Failed {
            code: String::new(),
            message,
        };
        self.emit(Body::Outcome {
            ordinal,
            row: String::new(),
            outcome,
        });
    }

    pub(super) fn settled(
        &mut self,
        ordinal: Ordinal,
        result: Result<(Settlement, String), Problem>,
    ) {
        self.memory.busy.remove(&ordinal);
        match result {
            Ok((settlement, evidence)) => {
                self.memory.again.remove(&ordinal);
                let done = matches!(settlement, Settlement::Done { .. });
                self.emit(Body::Settled {
                    ordinal,
                    settlement,
                    evidence,
                });
                if !done {
                    self.unhold_canary(ordinal);
                    self.came_to_nothing(ordinal);
                }
                self.check_failures(ordinal);
            }
            Err(problem) => self.look_again(ordinal, &problem),
        }
    }
}

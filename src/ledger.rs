//! One Workflow's life in a run, and the fold that holds one entry for each step and Workflow.
//!
//! Pure. The jewel is [`next`]: claimed → intended → done, skipped, refused, failed or in doubt → settled;
//! an event that a state does not allow is an error. "Intended" is never read as "do it again": an
//! intent of an earlier attachment is in doubt until the service was asked.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;

use crate::record::{Body, Health, Ordinal, Outcome, Seen, Settlement, Treatment, Write};
use crate::survey::{Override, Version, WorkflowKey};

/// Where a Workflow's life in a step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Life {
    /// The step takes it; nothing was decided.
    Claimed,
    /// A write is in flight in this attachment.
    Intended,
    /// A write may have happened.
    InDoubt,
    /// It was written to.
    Done,
    /// Nothing was needed.
    Skipped,
    /// No strategy can be applied.
    Refused,
    /// The call failed; nothing happened.
    Failed,
    /// It cannot be found out what happened.
    Unknown,
    /// Given back.
    Released,
    /// Dry run: it would be written to.
    Would,
}

/// What can happen to an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// An intent was written.
    Intend,
    /// The call ended so.
    End(Life),
    /// The process that held the intent is gone.
    Orphan,
    /// A look found that the write happened.
    SettleDone,
    /// A look found that it did not.
    SettleNotDone,
    /// Nothing can be found out.
    SettleUnknown,
    /// The service refused the strategy; there is a fallback.
    Bar,
    /// The claim is given back.
    Release,
    /// Taken up again.
    Retry,
}

/// An event that a state does not allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Illegal {
    /// The state.
    pub life: String,
    /// The event.
    pub event: String,
}

impl fmt::Display for Illegal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cannot follow {}", self.event, self.life)
    }
}

impl std::error::Error for Illegal {}

/// The transition table.
pub fn next(life: Life, event: Event) -> Result<Life, Illegal> {
    use Event as E;
    use Life as L;
    match (life, event) {
        (L::Claimed, E::Intend) => Ok(L::Intended),
        (
            L::Claimed,
            E::End(end @ (L::Skipped | L::Refused | L::Failed | L::Unknown | L::Would)),
        ) => Ok(end),
        (L::Claimed, E::Release) => Ok(L::Released),
        (
            L::Intended,
            E::End(end @ (L::Done | L::Skipped | L::Refused | L::Failed | L::InDoubt)),
        ) => Ok(end),
        // Nothing was sent: the process that held the intent says so itself.
        (L::Intended, E::Bar | E::SettleNotDone) => Ok(L::Claimed),
        (L::Intended, E::Orphan) => Ok(L::InDoubt),
        (L::InDoubt, E::SettleDone) => Ok(L::Done),
        (L::InDoubt, E::SettleNotDone) => Ok(L::Claimed),
        (L::InDoubt, E::SettleUnknown) => Ok(L::Unknown),
        (L::Refused | L::Failed | L::Unknown, E::Retry) => Ok(L::Claimed),
        _ => Err(Illegal {
            life: format!("{life:?}"),
            event: format!("{event:?}"),
        }),
    }
}

/// An intent that has no outcome yet.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenIntent {
    /// Strategy in force.
    pub strategy: String,
    /// The call.
    pub write: Write,
    /// What was seen.
    pub seen: Seen,
    /// When the call gives up.
    pub deadline: Timestamp,
}

/// One entry.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The Workflow.
    pub key: Arc<WorkflowKey>,
    /// Its type.
    pub workflow_type: Arc<str>,
    /// The step that claimed it.
    pub step: Arc<str>,
    /// Where it stands.
    pub life: Life,
    /// The row that took it.
    pub row: Option<Arc<str>>,
    /// What the write does.
    pub treatment: Option<Treatment>,
    /// Where the write moves it.
    pub target: Option<Version>,
    /// Attempt of the Workflow Task that was pending at the write, if the write went to the same run.
    pub attempt: u32,
    /// The run that the write made.
    pub new_run: Option<Box<str>>,
    /// When its last write ended (or was settled).
    pub ended: Option<Timestamp>,
    /// Intent without an outcome.
    pub intent: Option<Box<OpenIntent>>,
    /// A strategy that the service refused, and the refusal's name.
    pub barred: Option<Box<(String, String)>>,
    /// Its health, once looked at.
    pub health: Option<Health>,
    /// Reason of a skip, a refusal or a failure.
    pub note: Option<Box<str>>,
}

impl Entry {
    /// The run to look at now: the one that the write made, else the claimed one.
    pub fn current(&self) -> WorkflowKey {
        WorkflowKey {
            workflow_id: self.key.workflow_id.clone(),
            run_id: self
                .new_run
                .as_deref()
                .unwrap_or(&self.key.run_id)
                .to_owned(),
        }
    }
}

/// Counts of a step or of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Counts {
    pub moved: u64,
    pub started_over: u64,
    pub undone: u64,
    pub terminated: u64,
    pub skipped: u64,
    pub refused: u64,
    pub failed: u64,
    pub unknown: u64,
    pub would: u64,
}

impl Counts {
    /// Written to, by any strategy.
    pub fn recovered(&self) -> u64 {
        self.moved + self.started_over + self.undone + self.terminated
    }

    fn slot(&mut self, life: Life, treatment: Option<Treatment>) -> Option<&mut u64> {
        Some(match life {
            Life::Done => match treatment.unwrap_or(Treatment::Moved) {
                Treatment::Moved => &mut self.moved,
                Treatment::StartedOver => &mut self.started_over,
                Treatment::Undone => &mut self.undone,
                Treatment::Terminated => &mut self.terminated,
            },
            Life::Skipped => &mut self.skipped,
            Life::Refused => &mut self.refused,
            Life::Failed => &mut self.failed,
            Life::Unknown => &mut self.unknown,
            Life::Would => &mut self.would,
            Life::Claimed | Life::Intended | Life::InDoubt | Life::Released => return None,
        })
    }
}

/// What one step has in the ledger.
#[derive(Clone, Debug, Default)]
pub struct Part {
    /// Claimed, to be looked at.
    pub queue: BTreeSet<Ordinal>,
    /// In flight.
    pub intended: BTreeSet<Ordinal>,
    /// To be settled.
    pub in_doubt: BTreeSet<Ordinal>,
    /// Written to.
    pub done: BTreeSet<Ordinal>,
    /// Refused, failed or unknown.
    pub left: BTreeSet<Ordinal>,
    /// Counts in all.
    pub counts: Counts,
    /// Counts by row.
    pub rows: BTreeMap<Arc<str>, Counts>,
    /// Claims ever made.
    pub listed: u64,
}

/// The fold.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    entries: Vec<Entry>,
    parts: BTreeMap<Arc<str>, Part>,
    taken: BTreeMap<(Arc<str>, Arc<WorkflowKey>), Ordinal>,
    names: BTreeSet<Arc<str>>,
}

impl Ledger {
    /// The entry.
    pub fn entry(&self, ordinal: Ordinal) -> &Entry {
        &self.entries[ordinal as usize]
    }

    /// All entries in the order of their claims.
    pub fn entries(&self) -> impl Iterator<Item = (Ordinal, &Entry)> {
        (0..).zip(&self.entries)
    }

    /// The number that the next claim gets.
    pub fn next_ordinal(&self) -> Ordinal {
        Ordinal::try_from(self.entries.len()).unwrap_or(Ordinal::MAX)
    }

    /// What a step has.
    pub fn part(&self, step: &str) -> Option<&Part> {
        self.parts.get(step)
    }

    /// Whether `step` holds (or held to the end) this Workflow.
    pub fn holds(&self, step: &str, key: &WorkflowKey) -> bool {
        self.taken
            .contains_key(&(Arc::from(step), Arc::new(key.clone())))
    }

    /// The step's entry of this Workflow.
    pub fn number(&self, step: &str, key: &WorkflowKey) -> Option<Ordinal> {
        self.taken
            .get(&(Arc::from(step), Arc::new(key.clone())))
            .copied()
    }

    /// Folds one record at `at`. Records about other things are ignored.
    pub fn apply(&mut self, body: &Body, at: Timestamp) -> Result<(), Illegal> {
        match body {
            Body::Attached { .. } => self.orphan_all(),
            Body::Page { place, claims, .. } => {
                let step = self.name(&place.step);
                for claim in claims {
                    self.claim(&step, claim.ordinal, claim.key(), &claim.workflow_type)?;
                }
                Ok(())
            }
            Body::Released { ordinal, reason } => {
                self.entry_mut(*ordinal)?.note = Some(reason.as_str().into());
                self.step(*ordinal, Event::Release)
            }
            Body::Retried { ordinals } => ordinals.iter().try_for_each(|ordinal| {
                self.step(*ordinal, Event::Retry)?;
                self.entry_mut(*ordinal)?.barred = None;
                Ok(())
            }),
            Body::Intent {
                ordinal,
                row,
                strategy,
                treatment,
                write,
                seen,
                deadline,
            } => {
                let row = self.name(row);
                let entry = self.entry_mut(*ordinal)?;
                entry.row = Some(row);
                entry.treatment = Some(*treatment);
                entry.target = target(write);
                entry.attempt = if matches!(**write, Write::Options { .. }) {
                    seen.attempt
                } else {
                    0
                };
                entry.intent = Some(Box::new(OpenIntent {
                    strategy: strategy.clone(),
                    write: (**write).clone(),
                    seen: (**seen).clone(),
                    deadline: *deadline,
                }));
                self.step(*ordinal, Event::Intend)
            }
            Body::Outcome {
                ordinal,
                row,
                outcome,
            } => self.ended(*ordinal, row, outcome, at),
            Body::Barred {
                ordinal,
                strategy,
                refusal,
                ..
            } => {
                self.entry_mut(*ordinal)?.barred =
                    Some(Box::new((strategy.clone(), refusal.clone())));
                self.step(*ordinal, Event::Bar)
            }
            Body::Settled {
                ordinal,
                settlement,
                evidence,
            } => self.settled(*ordinal, settlement, evidence, at),
            Body::Verified {
                ordinal, health, ..
            } => {
                self.entry_mut(*ordinal)?.health = Some(*health);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn ended(
        &mut self,
        ordinal: Ordinal,
        row: &str,
        outcome: &Outcome,
        at: Timestamp,
    ) -> Result<(), Illegal> {
        let row = (!row.is_empty()).then(|| self.name(row));
        let entry = self.entry_mut(ordinal)?;
        if row.is_some() {
            entry.row = row;
        }
        entry.ended = Some(at);
        let life = match outcome {
            Outcome::Done { new_run } => {
                entry.new_run = new_run.as_deref().map(Into::into);
                Life::Done
            }
            Outcome::Skipped { reason } => {
                entry.note = Some(reason.as_str().into());
                Life::Skipped
            }
            Outcome::Refused { message, .. } => {
                entry.note = Some(message.as_str().into());
                Life::Refused
            }
            Outcome::Failed { message, .. } => {
                entry.note = Some(message.as_str().into());
                Life::Failed
            }
            Outcome::Unknown { message, .. } => {
                entry.note = Some(message.as_str().into());
                if entry.life == Life::Claimed {
                    Life::Unknown
                } else {
                    Life::InDoubt
                }
            }
            Outcome::Would { what } => {
                entry.note = Some(what.as_str().into());
                Life::Would
            }
        };
        self.step(ordinal, Event::End(life))
    }

    fn settled(
        &mut self,
        ordinal: Ordinal,
        settlement: &Settlement,
        evidence: &str,
        at: Timestamp,
    ) -> Result<(), Illegal> {
        let entry = self.entry_mut(ordinal)?;
        let event = match settlement {
            Settlement::Done { new_run, .. } => {
                entry.new_run = new_run.as_deref().map(Into::into);
                entry.ended = Some(at);
                Event::SettleDone
            }
            Settlement::NotDone => Event::SettleNotDone,
            Settlement::Unknown => {
                entry.note = Some(evidence.into());
                Event::SettleUnknown
            }
        };
        self.step(ordinal, event)
    }

    fn claim(
        &mut self,
        step: &Arc<str>,
        ordinal: Ordinal,
        key: WorkflowKey,
        workflow_type: &str,
    ) -> Result<(), Illegal> {
        if ordinal != self.next_ordinal() {
            return Err(Illegal {
                life: format!("{} claims", self.entries.len()),
                event: format!("claim {ordinal}"),
            });
        }
        let key = Arc::new(key);
        if self
            .taken
            .insert((step.clone(), key.clone()), ordinal)
            .is_some()
        {
            return Err(Illegal {
                life: "a claim".to_owned(),
                event: "a second claim of the same Workflow".to_owned(),
            });
        }
        let workflow_type = self.name(workflow_type);
        self.entries.push(Entry {
            key,
            workflow_type,
            step: step.clone(),
            life: Life::Claimed,
            row: None,
            treatment: None,
            target: None,
            attempt: 0,
            new_run: None,
            ended: None,
            intent: None,
            barred: None,
            health: None,
            note: None,
        });
        let part = self.parts.entry(step.clone()).or_default();
        part.queue.insert(ordinal);
        part.listed += 1;
        Ok(())
    }

    /// Moves one entry, and its place in the sets and counts.
    fn step(&mut self, ordinal: Ordinal, event: Event) -> Result<(), Illegal> {
        let entry = &mut self.entries[ordinal as usize];
        let (before, after) = (entry.life, next(entry.life, event)?);
        entry.life = after;
        if !matches!(after, Life::Intended | Life::InDoubt) {
            entry.intent = None;
        }
        let part = self.parts.entry(entry.step.clone()).or_default();
        let row = entry.row.clone().unwrap_or_else(|| Arc::from(""));
        for (life, add) in [(before, false), (after, true)] {
            if let Some(set) = part.set(life) {
                if add {
                    set.insert(ordinal)
                } else {
                    set.remove(&ordinal)
                };
            }
            for counts in [&mut part.counts, part.rows.entry(row.clone()).or_default()] {
                if let Some(count) = counts.slot(life, entry.treatment) {
                    *count = if add {
                        *count + 1
                    } else {
                        count.saturating_sub(1)
                    };
                }
            }
        }
        if after == Life::Released {
            self.taken.remove(&(entry.step.clone(), entry.key.clone()));
        }
        Ok(())
    }

    fn orphan_all(&mut self) -> Result<(), Illegal> {
        let open: Vec<Ordinal> = self
            .parts
            .values()
            .flat_map(|part| part.intended.iter().copied())
            .collect();
        open.into_iter()
            .try_for_each(|ordinal| self.step(ordinal, Event::Orphan))
    }

    fn entry_mut(&mut self, ordinal: Ordinal) -> Result<&mut Entry, Illegal> {
        let count = self.entries.len();
        self.entries
            .get_mut(ordinal as usize)
            .ok_or_else(|| Illegal {
                life: format!("{count} claims"),
                event: format!("a record about number {ordinal}"),
            })
    }

    fn name(&mut self, text: &str) -> Arc<str> {
        if let Some(name) = self.names.get(text) {
            return name.clone();
        }
        let name: Arc<str> = Arc::from(text);
        self.names.insert(name.clone());
        name
    }
}

impl Part {
    fn set(&mut self, life: Life) -> Option<&mut BTreeSet<Ordinal>> {
        match life {
            Life::Claimed => Some(&mut self.queue),
            Life::Intended => Some(&mut self.intended),
            Life::InDoubt => Some(&mut self.in_doubt),
            Life::Done => Some(&mut self.done),
            Life::Refused | Life::Failed | Life::Unknown => Some(&mut self.left),
            Life::Skipped | Life::Released | Life::Would => None,
        }
    }

    /// Whether every claim is decided.
    pub fn is_settled(&self) -> bool {
        self.queue.is_empty() && self.intended.is_empty() && self.in_doubt.is_empty()
    }
}

fn target(write: &Write) -> Option<Version> {
    match write {
        Write::Reset { target, .. } => target.clone(),
        Write::Options {
            target: Some(Override::Pinned { version } | Override::OneTime { version }),
        } => Some(version.clone()),
        Write::Options { .. } | Write::Terminate { .. } => None,
        Write::Restart { target, .. } => Some(target.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIVES: [Life; 10] = [
        Life::Claimed,
        Life::Intended,
        Life::InDoubt,
        Life::Done,
        Life::Skipped,
        Life::Refused,
        Life::Failed,
        Life::Unknown,
        Life::Released,
        Life::Would,
    ];

    fn events() -> Vec<Event> {
        use Event as E;
        let mut events = vec![
            E::Intend,
            E::Orphan,
            E::SettleDone,
            E::SettleNotDone,
            E::SettleUnknown,
            E::Bar,
            E::Release,
            E::Retry,
        ];
        events.extend(LIVES.map(E::End));
        events
    }

    #[test]
    fn what_was_done_stays_done() {
        for event in events() {
            for life in [Life::Done, Life::Skipped, Life::Released, Life::Would] {
                assert!(next(life, event).is_err(), "{life:?} {event:?}");
            }
        }
    }

    #[test]
    fn a_write_follows_only_a_claim_and_doubt_is_never_written_again() {
        for life in LIVES {
            assert_eq!(
                next(life, Event::Intend).is_ok(),
                life == Life::Claimed,
                "{life:?}"
            );
        }
        for event in events() {
            let legal = matches!(
                event,
                Event::SettleDone | Event::SettleNotDone | Event::SettleUnknown
            );
            assert_eq!(next(Life::InDoubt, event).is_ok(), legal, "{event:?}");
        }
    }
}

//! One Workflow's life in a run, and the fold that holds one entry for each step and Workflow.
//!
//! Pure. The jewel is [`next`]: claimed → intended → done, skipped, refused, failed or in doubt → settled;
//! an event that a state does not allow is an error. "Intended" is never read as "do it again": an
//! intent of an earlier attachment is in doubt until the service was asked.

mod entry;
mod life;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use crate::catalog::{Named, OfLedger};
use crate::record::{Body, Claim, Job, JobEnd, Ordinal, Outcome, Settlement, Write};
use crate::sabotage::{Bug, is_planted};
use crate::selection::ANOTHER_RUN;
use crate::survey::WorkflowKey;
pub use entry::{Closed, Counts, Entry, OpenIntent};
pub use life::{Event, Illegal, Life, next};

/// What one step has in the ledger.
#[derive(Clone, Debug, Default)]
pub struct Part {
    /// Claimed, to be looked at.
    pub queue: BTreeSet<Ordinal>,
    /// In flight.
    pub intended: BTreeSet<Ordinal>,
    /// To be settled.
    pub in_doubt: BTreeSet<Ordinal>,
    /// With a batch job, or to be looked at after it.
    pub handed: BTreeSet<Ordinal>,
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
    /// In flight, to be settled or written to, by row: what a row's canary is measured by.
    written: BTreeMap<Arc<str>, BTreeSet<Ordinal>>,
    taken: BTreeMap<Arc<WorkflowKey>, Ordinal>,
    /// Runs that the step's own writes made.
    made: BTreeSet<Box<str>>,
}

/// The fold.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    entries: Vec<Entry>,
    parts: BTreeMap<Arc<str>, Part>,
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
        self.number(step, key).is_some()
    }

    /// Whether `step` itself made this run, by a reset or a new start.
    pub fn made(&self, step: &str, key: &WorkflowKey) -> bool {
        let part = self.parts.get(step);
        part.is_some_and(|part| part.made.contains(key.run_id.as_str()))
    }

    /// Whether a write of `step` to a run of this Workflow ID has left and its end is not known: a run that
    /// shows up meanwhile may be what it made.
    pub fn is_written(&self, step: &str, key: &WorkflowKey) -> bool {
        let Some(part) = self.parts.get(step) else {
            return false;
        };
        let mut open = part.intended.iter().chain(&part.in_doubt);
        open.any(|ordinal| self.entry(*ordinal).key.workflow_id == key.workflow_id)
    }

    fn note_made(&mut self, ordinal: Ordinal, new_run: Option<&str>) {
        if let (Some(run), Some(entry)) = (new_run, self.entries.get(ordinal as usize)) {
            let part = self.parts.entry(entry.step.clone()).or_default();
            part.made.insert(run.into());
        }
    }

    /// The step's entry of this Workflow.
    pub fn number(&self, step: &str, key: &WorkflowKey) -> Option<Ordinal> {
        self.parts.get(step)?.taken.get(key).copied()
    }

    /// The step's entries of all runs of a Workflow ID.
    pub fn runs(&self, step: &str, workflow_id: &str) -> Vec<Ordinal> {
        let part = self.parts.get(step);
        part.map_or_else(Vec::new, |part| part.runs(workflow_id).collect())
    }

    /// Whether `step` holds (or held to the end) a Workflow of this name: this run, or any where none is named.
    pub fn holds_name(&self, step: &str, name: &Named) -> bool {
        let Some(part) = self.parts.get(step) else {
            return false;
        };
        match &name.run {
            Some(run) => part.taken.contains_key(&WorkflowKey {
                workflow_id: name.id.clone(),
                run_id: run.to_owned(),
            }),
            None => part.runs(&name.id).next().is_some(),
        }
    }

    /// What steps had in some states, by name: the run that a write made where it made one.
    pub fn names(&self, wanted: &OfLedger) -> Vec<Named> {
        let mut found = Vec::new();
        for (_, entry) in self.entries() {
            let of = wanted.steps.iter().any(|step| **step == *entry.step);
            if of && wanted.states.iter().any(|state| entry.is(*state)) {
                let key = entry.current();
                found.push(Named {
                    id: key.workflow_id,
                    run: Some(key.run_id).filter(|run| !run.is_empty()),
                });
            }
        }
        found
    }

    /// Names that a step claimed by their Workflow ID, and gave back because the ID has another run by now.
    pub fn superseded(&self, step: &str) -> Vec<Named> {
        let mut found = BTreeSet::new();
        for (_, entry) in self.entries() {
            let gone = entry.latest
                && entry.life == Life::Released
                && entry.note.as_deref() == Some(ANOTHER_RUN);
            if gone && *entry.step == *step {
                let name = Named::new(entry.key.workflow_id.clone());
                if !self.holds_name(step, &name) {
                    found.insert(name);
                }
            }
        }
        found.into_iter().collect()
    }

    /// Folds one record at `at`. Records about other things are ignored.
    pub fn apply(&mut self, body: &Body, at: Timestamp) -> Result<(), Illegal> {
        match body {
            Body::Attached { .. } => {
                if is_planted(Bug::PageReplay) {
                    for part in self.parts.values_mut() {
                        part.taken.clear();
                        part.made.clear();
                    }
                }
                self.orphan_all()
            }
            Body::Page { place, claims, .. } => {
                let step = self.name(&place.step);
                for claim in claims {
                    self.claim(&step, claim)?;
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
                entry.target = write.target().cloned();
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
            Body::FoundClosed {
                ordinal, status, ..
            } => {
                self.entry_mut(*ordinal)?.closed = Some(status.map_or(Closed::Gone, Closed::As));
                Ok(())
            }
            Body::Job { job, .. } => self.handed(job),
            Body::JobEnded {
                place,
                end: JobEnd::NotStarted { .. },
                ..
            } => {
                let part = self.parts.get(&*place.step);
                let handed: Vec<_> = part
                    .iter()
                    .flat_map(|part| part.handed.iter().copied())
                    .collect();
                handed
                    .into_iter()
                    .try_for_each(|ordinal| self.step(ordinal, Event::TakeBack))
            }
            Body::Verified {
                ordinal, health, ..
            } => {
                self.entry_mut(*ordinal)?.health = Some(*health);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn handed(&mut self, job: &Job) -> Result<(), Illegal> {
        let row = self.name(&job.row);
        job.ordinals().try_for_each(|ordinal| {
            let entry = self.entry_mut(ordinal)?;
            entry.row = Some(row.clone());
            entry.treatment = Some(job.treatment);
            entry.target.clone_from(&job.target);
            entry.attempt = 0;
            self.step(ordinal, Event::Hand)
        })
    }

    fn ended(
        &mut self,
        ordinal: Ordinal,
        row: &str,
        outcome: &Outcome,
        at: Timestamp,
    ) -> Result<(), Illegal> {
        let row = (!row.is_empty()).then(|| self.name(row));
        if let Outcome::Done { new_run } = outcome {
            self.note_made(ordinal, new_run.as_deref());
        }
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
                if matches!(entry.life, Life::Claimed | Life::Handed) {
                    Life::Unknown
                } else {
                    Life::InDoubt
                }
            }
            Outcome::Would { what, .. } => {
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
        if let Settlement::Done { new_run, .. } = settlement {
            self.note_made(ordinal, new_run.as_deref());
        }
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

    fn claim(&mut self, step: &Arc<str>, claim: &Claim) -> Result<(), Illegal> {
        let ordinal = claim.ordinal;
        if ordinal != self.next_ordinal() {
            return Err(Illegal {
                life: format!("{} claims", self.entries.len()),
                event: format!("claim {ordinal}"),
            });
        }
        let key = Arc::new(claim.key());
        let part = self.parts.entry(step.clone()).or_default();
        if part.taken.insert(key.clone(), ordinal).is_some() {
            return Err(Illegal {
                life: "a claim".to_owned(),
                event: "a second claim of the same Workflow".to_owned(),
            });
        }
        part.queue.insert(ordinal);
        part.listed += 1;
        let workflow_type = self.name(&claim.workflow_type);
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
            latest: claim.latest,
            closed: None,
            note: None,
        });
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
        let row = entry.row.clone().unwrap_or_default();
        let is_written = |life| matches!(life, Life::Intended | Life::InDoubt | Life::Done);
        match (is_written(before), is_written(after)) {
            (false, true) => {
                let row = part.written.entry(row.clone()).or_default();
                row.insert(ordinal);
            }
            (true, false) => {
                if let Some(row) = part.written.get_mut(&row) {
                    row.remove(&ordinal);
                }
            }
            _ => {}
        }
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
        if after == Life::Released && !is_planted(Bug::ClaimKept) {
            part.taken.remove(&entry.key);
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
    /// The entries of all runs of a Workflow ID.
    fn runs(&self, workflow_id: &str) -> impl Iterator<Item = Ordinal> {
        let first = WorkflowKey {
            workflow_id: workflow_id.to_owned(),
            run_id: String::new(),
        };
        let found = self.taken.range(first..);
        found
            .take_while(move |(key, _)| key.workflow_id == workflow_id)
            .map(|(_, ordinal)| *ordinal)
    }

    fn set(&mut self, life: Life) -> Option<&mut BTreeSet<Ordinal>> {
        match life {
            Life::Claimed => Some(&mut self.queue),
            Life::Intended => Some(&mut self.intended),
            Life::InDoubt => Some(&mut self.in_doubt),
            Life::Done => Some(&mut self.done),
            Life::Refused | Life::Failed | Life::Unknown => Some(&mut self.left),
            Life::Handed => Some(&mut self.handed),
            Life::Skipped | Life::Released | Life::Would => None,
        }
    }

    /// Workflows of a row with a write that is in flight, to be settled or done.
    pub fn written(&self, row: &str) -> impl ExactSizeIterator<Item = Ordinal> {
        static NONE: BTreeSet<Ordinal> = BTreeSet::new();
        self.written.get(row).unwrap_or(&NONE).iter().copied()
    }

    /// Workflows that were claimed and not given back.
    pub fn held(&self) -> u64 {
        let open = self.queue.len() + self.intended.len() + self.in_doubt.len() + self.handed.len();
        open as u64 + self.counts.all()
    }

    /// Whether every claim is decided.
    pub fn is_settled(&self) -> bool {
        self.queue.is_empty()
            && self.intended.is_empty()
            && self.in_doubt.is_empty()
            && self.handed.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Seen, Treatment};
    use crate::survey::Status;

    #[test]
    fn a_row_has_what_was_written_to_and_nothing_that_came_back() {
        let place = crate::record::Place {
            step: "move".to_owned(),
            iteration: 0,
        };
        let claim = |ordinal| Claim {
            ordinal,
            id: format!("w-{ordinal}"),
            run: "r".to_owned(),
            workflow_type: "Order".to_owned(),
            latest: false,
        };
        let intent = |ordinal, row: &str| Body::Intent {
            ordinal,
            row: row.to_owned(),
            strategy: "move".to_owned(),
            treatment: Treatment::Moved,
            write: Box::new(Write::Options { target: None }),
            seen: Box::new(Seen {
                status: Status::Running,
                current_run: "r".to_owned(),
                version: None,
                reset_run_id: None,
                history_length: 3,
                attempt: 0,
            }),
            deadline: Timestamp::UNIX_EPOCH,
        };
        let done = |ordinal| Body::Outcome {
            ordinal,
            row: String::new(),
            outcome: Outcome::Done { new_run: None },
        };
        let barred = |ordinal| Body::Barred {
            ordinal,
            strategy: "move".to_owned(),
            refusal: "no".to_owned(),
            message: String::new(),
        };
        let page = Body::Page {
            place,
            pass: 1,
            claims: (0..4).map(claim).collect(),
            cursor: None,
        };
        let mut ledger = Ledger::default();
        let all = [
            page,
            intent(0, "a"),
            intent(1, "a"),
            intent(2, "b"),
            done(1),
            barred(0),
            intent(0, "b"),
        ];
        for body in &all {
            let applied = ledger.apply(body, Timestamp::UNIX_EPOCH);
            applied.expect("each event is legal");
        }
        let written = |row| -> Vec<Ordinal> {
            let part = ledger.part("move").expect("it claimed");
            part.written(row).collect()
        };
        assert_eq!(
            (written("a"), written("b"), written("c")),
            (vec![1], vec![0, 2], vec![])
        );
    }
}

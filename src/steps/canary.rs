//! Canaries: the first few of each row, then proof, then the others.
//!
//! Pure. Once a row: while its canary is out, its other Workflows are held back. Only looks of this
//! attachment count; an unhealthy one halts the step, whoever says yes to what.

use jiff::SignedDuration;

use super::{Effect, Machine, Room};
use crate::ledger::Life;
use crate::record::{Body, Health, Ordinal, Place};

use super::apply::Why;

/// Pause between two looks at a canary.
const CANARY_POLL: SignedDuration = SignedDuration::from_secs(5);

impl Machine {
    pub(super) fn canary_members(&self, id: &str, row: &str) -> Vec<Ordinal> {
        let part = self.state.ledger.part(id);
        part.map_or_else(Vec::new, |part| part.written(row).collect())
    }

    pub(super) fn canary_has_room(&self, id: &str, row: &str, count: u32) -> bool {
        match self.state.step(id).canaries.get(row) {
            Some(passed) => *passed,
            None => {
                let part = self.state.ledger.part(id);
                part.map_or(0, |part| part.written(row).len()) < count as usize
            }
        }
    }

    /// Rows with writes whose canary is not decided.
    pub(super) fn open_canaries(&self, id: &str) -> Vec<String> {
        if self.dry || self.step_model(id).canary.is_none() {
            return Vec::new();
        }
        let state = self.state.step(id);
        state
            .canary_since
            .keys()
            .filter(|row| !state.canaries.contains_key(*row))
            .cloned()
            .collect()
    }

    pub(super) fn canary_looks(
        &mut self,
        place: &Place,
        room: &mut Room<'_>,
        effects: &mut Vec<Effect>,
    ) {
        let Some(canary) = self.step_model(&place.step).canary else {
            return;
        };
        for row in self.open_canaries(&place.step) {
            let members = self.canary_members(&place.step, &row);
            let full = members.len() >= canary.count as usize;
            if !full && !self.row_is_over(place) {
                continue;
            }
            if self.decide_canary(place, &row, &members, canary.wait) {
                continue;
            }
            for ordinal in members {
                let entry = self.state.ledger.entry(ordinal);
                let due = self
                    .memory
                    .canary_due
                    .get(&ordinal)
                    .is_none_or(|due| *due <= self.now);
                let settled = matches!(entry.health, Some(Health::Healthy | Health::Unproven));
                if room.slots == 0
                    || !due
                    || settled
                    || entry.life != Life::Done
                    || self.memory.busy.contains(&ordinal)
                {
                    continue;
                }
                room.slots -= 1;
                let effect = Effect::Verify {
                    place: place.clone(),
                    ordinal,
                    key: entry.current(),
                    target: entry.target.clone(),
                    attempt: entry.attempt,
                    moved: entry.ended,
                    woken: entry.is_woken(),
                };
                self.memory.busy.insert(ordinal);
                self.memory
                    .canary_due
                    .insert(ordinal, self.now + CANARY_POLL);
                effects.push(effect);
            }
        }
    }

    /// Whether no further Workflow can come to a row in this pass.
    fn row_is_over(&self, place: &Place) -> bool {
        let part = self.state.ledger.part(&place.step);
        let quiet = part.is_none_or(|part| {
            part.queue
                .iter()
                .all(|ordinal| self.memory.held.contains_key(ordinal))
        });
        quiet
            && self
                .memory
                .listing
                .as_ref()
                .is_none_or(|listing| listing.exhausted)
    }

    /// Decides a canary where it can be: true where there is nothing more to look at.
    fn decide_canary(
        &mut self,
        place: &Place,
        row: &str,
        members: &[Ordinal],
        wait: std::time::Duration,
    ) -> bool {
        if members.is_empty() {
            return true;
        }
        let entries: Vec<_> = members
            .iter()
            .map(|ordinal| self.state.ledger.entry(*ordinal))
            .collect();
        if entries.iter().any(|entry| entry.life != Life::Done) {
            return false;
        }
        // Only what this attachment has looked at counts: a run may be resumed hours after its writes.
        let unseen = |ordinal: &Ordinal| {
            let health = self.state.ledger.entry(*ordinal).health;
            self.memory.busy.contains(ordinal)
                || (!matches!(health, Some(Health::Healthy | Health::Unproven))
                    && !self.memory.canary_due.contains_key(ordinal))
        };
        if members.iter().any(unseen) {
            return false;
        }
        let health: Vec<Option<Health>> = entries.iter().map(|entry| entry.health).collect();
        if let Some(bad) = health
            .iter()
            .position(|health| health.is_some_and(Health::is_unhealthy))
        {
            let id = entries[bad].key.workflow_id.clone();
            let word = format!("{:?}", health[bad].unwrap_or(Health::Failing)).to_lowercase();
            self.pass_canary(place, row.to_owned(), false, &format!("{id} is {word}"));
            self.memory.halt = Some(format!(
                "The canary of row `{row}` is not healthy: {id} is {word}."
            ));
            return true;
        }
        let since = self
            .state
            .step(&place.step)
            .canary_since
            .get(row)
            .copied()
            .unwrap_or(self.now);
        let over =
            self.now >= since + SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX);
        if health
            .iter()
            .any(|health| !matches!(health, Some(Health::Healthy | Health::Unproven)))
            && !over
        {
            return false;
        }
        let healthy = health
            .iter()
            .filter(|health| **health == Some(Health::Healthy))
            .count();
        let held = self.memory.held.values().any(|held| held.row == row);
        // Where nothing is held it stays undecided: what comes later is measured by these few, too.
        if healthy > 0 {
            let all = members.len();
            let reason = match all - healthy {
                0 => format!("{healthy} of {all} healthy"),
                unproven => format!("{healthy} of {all} healthy, {unproven} unproven"),
            };
            self.pass_canary(place, row.to_owned(), true, &reason);
        } else if held
            && self.memory.asking.is_none()
            && !self.memory.declined.contains(&place.step)
        {
            self.memory.canary_question = Some((
                row.to_owned(),
                u32::try_from(members.len()).unwrap_or(u32::MAX),
            ));
        }
        true
    }

    pub(super) fn pass_canary(&mut self, place: &Place, row: String, passed: bool, reason: &str) {
        self.emit(Body::Canary {
            place: place.clone(),
            row: row.clone(),
            passed,
            reason: reason.to_owned(),
        });
        self.memory
            .held
            .retain(|_, held| held.row != row || held.why != Why::Canary);
    }
}

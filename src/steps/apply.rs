//! Steps over Workflows: survey, question, claims, looks, writes, canaries.
//!
//! Pure. A page of the listing is claimed; each claim is looked at when a slot and a token of the pace
//! are free; the look decides everything, the row included; an intent is written down before the call
//! leaves. A row whose canary is out, or whose grant is used up, holds its Workflows back.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize as _;
use serde_json::{Map, Value};

use super::listing::PASSES;
use super::{Effect, Machine, Problem, Room};
use crate::approval::{flag_ceiling, with_margin};
use crate::catalog::Apply;
use crate::decision::{Naming, Table};
use crate::ledger::{Counts, Part};
use crate::plan::{LOOK_LIMIT, SAMPLES, TableSurvey};
use crate::record::{
    Body, Certainty, Equivalent, Health, Leftover, Ordinal, Place, Question, RowAsk, StepStatus,
    Terms, Through,
};
use crate::runbook::{Bound, EvalError, Unmatched};

/// A look may be so old when the call leaves.
const FRESH: SignedDuration = SignedDuration::from_secs(2);
/// How long a write may take.
pub const WRITE_DEADLINE: SignedDuration = SignedDuration::from_secs(10);
/// An intent in doubt is looked into so long after its deadline: a late request has arrived by then.
pub(super) const SETTLE_AFTER: SignedDuration = SignedDuration::from_secs(10);

/// Why a claim is held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Its row's canary is out.
    Canary,
    /// Its row's grant does not cover it.
    Grant,
}

/// A claim that is held back.
#[derive(Clone, Debug)]
pub struct Held {
    /// Its row.
    pub row: String,
    /// Why.
    pub why: Why,
}

impl Machine {
    /// The step's table, filled in once an attachment.
    pub(super) fn table(&mut self, id: &str) -> Result<Arc<Table>, EvalError> {
        if let Some(table) = self.memory.tables.get(id) {
            return Ok(table.clone());
        }
        let mut table = Table::of_step(&self.runbook, id, &self.scope())?;
        table
            .selection
            .know(|ledger| self.state.ledger.names(ledger));
        let table = Arc::new(table);
        self.memory.tables.insert(id.to_owned(), table.clone());
        Ok(table)
    }

    pub(super) fn also_lost_by(&self, id: &str) -> Vec<String> {
        let with = self.action_of(id).map(|(_, with)| with);
        with.and_then(|with| Apply::deserialize(with).ok())
            .map(|apply| apply.also_lost_by)
            .unwrap_or_default()
    }

    pub(super) fn work_apply(&mut self, place: &Place, room: &mut Room<'_>) -> Vec<Effect> {
        let table = match self.table(&place.step) {
            Ok(table) => table,
            Err(error) => {
                self.end_unknown(place, &error);
                return Vec::new();
            }
        };
        let mut effects = self.settlements(place, room);
        effects.extend(self.writes(place, room));
        if self.memory.declined.contains(&place.step) {
            self.memory
                .halt
                .get_or_insert_with(|| "It was declined.".to_owned());
        }
        if self.memory.halt.is_some() {
            return self.halt_when_idle(place, effects);
        }
        let survey = self.memory.surveys.get(&place.step);
        let passed_over = survey.is_some_and(|survey| survey.passed_over > 0);
        let naming = (table.selection.is_named() || passed_over) && self.memory.listing.is_some();
        let granted = self.is_granted(&place.step, &table);
        if !self.dry && !granted && !naming && !self.has_claims(place) {
            effects.extend(self.first_question(place, &table));
            return effects;
        }
        self.advance_listing(place, &table, &mut effects);
        self.looks(place, &table, room, &mut effects);
        self.canary_looks(place, room, &mut effects);
        // Lacking only a token of the pace is not quiet.
        if effects.is_empty() && self.is_idle() && !room.starved {
            return self.when_quiet(place, &table);
        }
        effects
    }

    /// Whether anything was granted for what the step's table says now.
    pub(super) fn is_granted(&self, id: &str, table: &Table) -> bool {
        let grant = &self.state.step(id).grant;
        let mut rows = table.rows.iter().enumerate();
        rows.any(|(index, row)| {
            let terms = table.terms(index);
            grant.knows(&row.id, terms) && grant.granted(&row.id, terms) > 0
        })
    }

    pub(super) fn has_claims(&self, place: &Place) -> bool {
        self.state
            .ledger
            .part(&place.step)
            .is_some_and(|part| !part.is_settled())
    }

    pub(super) fn halt_when_idle(&mut self, place: &Place, effects: Vec<Effect>) -> Vec<Effect> {
        let doubt = self
            .state
            .ledger
            .part(&place.step)
            .is_some_and(|part| !part.in_doubt.is_empty());
        if effects.is_empty() && self.is_idle() && !doubt {
            let message = self.memory.halt.take().unwrap_or_default();
            let output = self.applied_output(&place.step);
            self.end(place, StepStatus::Halted, output, &message);
            return Vec::new();
        }
        let due = self.memory.again.values().map(|(_, due)| *due);
        if let (true, true, Some(until)) = (
            effects.is_empty(),
            self.is_idle(),
            due.filter(|due| *due > self.now).min(),
        ) {
            let reason = "the next try to settle what is in doubt".to_owned();
            return vec![Effect::Wait { until, reason }];
        }
        effects
    }

    /// Intents in doubt are looked into before anything else.
    fn settlements(&mut self, place: &Place, room: &mut Room<'_>) -> Vec<Effect> {
        let Some(part) = self.state.ledger.part(&place.step) else {
            return Vec::new();
        };
        let mut found = Vec::new();
        for &ordinal in &part.in_doubt {
            if room.slots == 0 {
                break;
            }
            if self.memory.busy.contains(&ordinal) || self.is_backing_off(ordinal) {
                continue;
            }
            let entry = self.state.ledger.entry(ordinal);
            let Some(intent) = entry.intent.as_deref() else {
                continue;
            };
            room.slots -= 1;
            found.push(Effect::Settle {
                place: place.clone(),
                ordinal,
                key: (*entry.key).clone(),
                intent: intent.clone(),
                after: intent.deadline + SETTLE_AFTER,
            });
        }
        for effect in &found {
            if let Effect::Settle { ordinal, .. } = effect {
                self.memory.busy.insert(*ordinal);
            }
        }
        found
    }

    /// Intents of this attachment whose call has not left yet.
    fn writes(&mut self, place: &Place, room: &mut Room<'_>) -> Vec<Effect> {
        let Some(part) = self.state.ledger.part(&place.step) else {
            return Vec::new();
        };
        let mut found = Vec::new();
        for &ordinal in part
            .intended
            .iter()
            .filter(|ordinal| !self.memory.busy.contains(ordinal))
        {
            let entry = self.state.ledger.entry(ordinal);
            let (Some(intent), Some((looked, write))) = (
                entry.intent.as_deref(),
                self.memory.permits.remove(&ordinal),
            ) else {
                continue;
            };
            room.slots = room.slots.saturating_sub(1);
            found.push(Effect::Write {
                place: place.clone(),
                ordinal,
                key: (*entry.key).clone(),
                write,
                deadline: intent.deadline,
                looked,
                fresh_for: self.fresh_for(ordinal),
            });
        }
        for effect in &found {
            if let Effect::Write { ordinal, .. } = effect {
                self.memory.busy.insert(*ordinal);
            }
        }
        found
    }

    /// How old a look may be when the call leaves, counted from when it was asked for. Where the service takes
    /// longer than that to answer, the next look may be twice as old, up to what an answer may take at all.
    fn fresh_for(&self, ordinal: Ordinal) -> SignedDuration {
        let tries = self.memory.again.get(&ordinal);
        let tries = tries.map_or(0, |(tries, _)| *tries);
        FRESH.saturating_mul(1 << tries.min(4)).min(WRITE_DEADLINE)
    }

    /// Survey, then the question with the table.
    pub(super) fn first_question(&mut self, place: &Place, table: &Arc<Table>) -> Vec<Effect> {
        let id = &place.step;
        if self.memory.calling.contains(id) || self.memory.asking.is_some() {
            return Vec::new();
        }
        if let Some((_, due)) = self
            .memory
            .tries
            .get(place)
            .filter(|(_, due)| *due > self.now)
        {
            return vec![Effect::Wait {
                until: *due,
                reason: "the next try".to_owned(),
            }];
        }
        let Some(survey) = self.memory.surveys.get(id).cloned() else {
            self.memory.calling.insert(id.clone());
            return vec![Effect::Survey {
                place: place.clone(),
                table: table.clone(),
                frozen: self.frozen(id),
            }];
        };
        let unmatched = survey.unmatched_total();
        if table.unmatched == Unmatched::Refuse && unmatched > 0 {
            let message = format!(
                "{unmatched} Workflows are in no row ({}).",
                name_types(&survey.unmatched)
            );
            self.end(place, StepStatus::Halted, self.applied_output(id), &message);
            return Vec::new();
        }
        if let (Some(found), None) = (&survey.found, &self.state.step(id).selected) {
            self.emit(Body::Selected {
                place: place.clone(),
                found: Box::new(found.clone()),
            });
        }
        if self.hit_guard(id, survey.taken(&self.state.flags.skip_rows)) {
            return self.halt_when_idle(place, Vec::new());
        }
        let rows = self.rows_to_ask(id, table, &survey, &BTreeMap::new());
        if rows.iter().all(|row| row.count == 0) {
            return self.nothing_shown(place, table, survey);
        }
        self.put_rows(place, rows, false)
    }

    /// The survey found nothing to write to: no question, unless Workflows that an earlier step moved may be lost.
    fn nothing_shown(
        &mut self,
        place: &Place,
        table: &Arc<Table>,
        survey: TableSurvey,
    ) -> Vec<Effect> {
        let first = self.state.step(&place.step).passes == 0 && self.memory.listing.is_none();
        let named = survey
            .found
            .as_ref()
            .is_some_and(|found| found.selected > 0);
        let passed_over = survey.passed_over > 0 && !self.is_batch(&place.step);
        if first && (named && table.selection.is_named() || passed_over) {
            // What is not there, and why the others are left alone, belongs into the ledger.
            self.begin_listing(place, table);
            return Vec::new();
        }
        if first && !self.lost_candidates(&place.step).is_empty() {
            // The look will tell; what it finds is asked about then.
            self.begin_listing(place, table);
            if let Some(listing) = &mut self.memory.listing {
                listing.exhausted = true;
                listing.unmatched = survey.unmatched;
            }
            return Vec::new();
        }
        self.emit(Body::PassEnded {
            place: place.clone(),
            pass: 1,
            claimed: 0,
            unmatched: survey.unmatched,
        });
        self.finish_apply(place, table);
        Vec::new()
    }

    /// The question's table: what is to be granted in all, row by row.
    pub(super) fn rows_to_ask(
        &self,
        id: &str,
        table: &Table,
        survey: &TableSurvey,
        waiting: &BTreeMap<String, Vec<String>>,
    ) -> Vec<RowAsk> {
        let grant = &self.state.step(id).grant;
        let planned = self.plan.survey.tables.get(&table.name);
        let mut rows = Vec::new();
        for (index, row) in table.rows.iter().enumerate() {
            let found = survey.row(&row.id);
            let held = waiting.get(&row.id);
            let count = held.map_or_else(
                || found.map_or(0, |row| row.count),
                |held| held.len() as u64,
            );
            if self.state.flags.skip_rows.contains(&row.id)
                || (!waiting.is_empty() && held.is_none())
            {
                continue;
            }
            let strategy = &table.strategies[&row.strategy];
            let query = table.row_query(index).render();
            rows.push(RowAsk {
                row: row.id.clone(),
                equivalent: self.equivalent(id, table, index, &query),
                links: Vec::new(),
                query,
                selection: survey.found.clone(),
                condition: table.condition(index),
                count: grant.used(&row.id) + count,
                certainty: match held {
                    // Looked at, each of them.
                    Some(_) => Certainty::Exact,
                    None => found
                        .and_then(|row| row.certainty)
                        .unwrap_or(Certainty::AtMost),
                },
                planned: planned
                    .and_then(|survey| survey.row(&row.id))
                    .map(|row| row.count),
                granted: grant.granted(&row.id, table.terms(index)),
                samples: held.map_or_else(
                    || found.map(|row| row.samples.clone()).unwrap_or_default(),
                    |held| held.iter().take(SAMPLES).cloned().collect(),
                ),
                strategy: row.strategy.clone(),
                does: strategy.call.does(),
                target: strategy.call.target().cloned(),
            });
        }
        for row in &mut rows {
            row.links = crate::equivalent::links(&self.plan.survey.preflight, &row.samples);
        }
        rows
    }

    /// The command that would do a row's work by hand.
    fn equivalent(&self, step: &str, table: &Table, row: usize, query: &str) -> Equivalent {
        let run = self.run.0.as_str();
        let mark = Naming { run, step }.mark();
        let at = (&self.plan.survey.preflight).into();
        crate::equivalent::of_row(table, row, query, Some(&mark), at)
    }

    pub(super) fn put_rows(
        &mut self,
        place: &Place,
        rows: Vec<RowAsk>,
        extension: bool,
    ) -> Vec<Effect> {
        let step = self.step_model(&place.step);
        let word = match self.word(&place.step) {
            Ok(word) => word,
            Err(error) => {
                self.end_unknown(place, &error);
                return Vec::new();
            }
        };
        let rate = self.state.flags.rate.unwrap_or(step.pace.rate);
        let table = self.memory.tables.get(&place.step).cloned();
        let notes = table.map_or_else(Vec::new, |table| self.batch_notes(&table));
        // Unattended, a row grows to twice what the plan showed and not further.
        let within = rows.iter().all(|row| match row.planned {
            Some(planned) => row.count <= flag_ceiling(planned),
            None => !extension,
        });
        let terms = self.terms_to_ask(&place.step, &rows);
        let what = Question::Rows {
            rows,
            extension,
            rate,
            concurrency: step.pace.concurrency,
            notes,
        };
        self.ask(place, what, terms, word, within)
    }

    /// What a yes to these rows is given for.
    fn terms_to_ask(&self, id: &str, rows: &[RowAsk]) -> BTreeMap<String, Terms> {
        let Some(table) = self.memory.tables.get(id) else {
            return BTreeMap::new();
        };
        let terms = table.rows.iter().enumerate();
        let asked = terms.filter(|(_, row)| rows.iter().any(|asked| asked.row == row.id));
        asked
            .map(|(index, row)| (row.id.clone(), table.terms(index).clone()))
            .collect()
    }

    /// What an answer grants.
    pub(super) fn grants_for(&self, what: &Question, through: Through) -> BTreeMap<String, u64> {
        let Question::Rows {
            rows, extension, ..
        } = what
        else {
            return BTreeMap::new();
        };
        // A flag grants no more than it may be asked about again, margin included.
        let unattended = through == Through::Flag || (*extension && self.state.flags.yes);
        rows.iter()
            .map(|row| {
                let ceiling = match row.planned {
                    Some(planned) if unattended => flag_ceiling(planned).max(row.count),
                    None if unattended && *extension => row.count,
                    _ => u64::MAX,
                };
                (
                    row.row.clone(),
                    with_margin(row.count).min(ceiling).max(row.granted),
                )
            })
            .collect()
    }

    /// A yes to something that is not rows.
    pub(super) fn granted(&mut self, place: &Place, what: &Question) {
        if let Question::Canary { row, .. } = what {
            self.pass_canary(
                place,
                row.clone(),
                true,
                "unproven, and somebody said to go on",
            );
        }
    }

    pub(super) fn surveyed(&mut self, place: &Place, result: Result<TableSurvey, Problem>) {
        self.memory.calling.remove(&place.step);
        match result {
            Ok(survey) => {
                self.memory.surveys.insert(place.step.clone(), survey);
            }
            Err(problem) => self.try_again(place, &problem),
        }
    }

    pub(super) fn is_backing_off(&self, ordinal: Ordinal) -> bool {
        self.memory
            .again
            .get(&ordinal)
            .is_some_and(|(_, due)| *due > self.now)
    }

    fn looks(
        &mut self,
        place: &Place,
        table: &Arc<Table>,
        room: &mut Room<'_>,
        effects: &mut Vec<Effect>,
    ) {
        let Some(part) = self.state.ledger.part(&place.step) else {
            return;
        };
        let limit = self.state.flags.limit.unwrap_or(u64::MAX);
        let (mut chosen, mut missing) = (Vec::new(), Vec::new());
        for &ordinal in &part.queue {
            if self.memory.busy.contains(&ordinal)
                || self.memory.held.contains_key(&ordinal)
                || self.is_backing_off(ordinal)
            {
                continue;
            }
            if self.state.ledger.entry(ordinal).key.run_id.is_empty() {
                missing.push(ordinal);
                continue;
            }
            if self.memory.writes >= limit || (self.dry && self.dry_limit_reached(&place.step)) {
                break;
            }
            if room.slots == 0 || !(room.token)() {
                room.starved = true;
                break;
            }
            room.slots -= 1;
            chosen.push(ordinal);
        }
        for ordinal in missing {
            self.not_found(ordinal);
        }
        let also_lost_by = self.also_lost_by(&place.step);
        for ordinal in chosen {
            self.memory.busy.insert(ordinal);
            let entry = self.state.ledger.entry(ordinal);
            effects.push(Effect::Look {
                place: place.clone(),
                ordinal,
                key: (*entry.key).clone(),
                table: table.clone(),
                lost: self.is_lost_candidate(&also_lost_by, &entry.key),
                latest: entry.latest,
                barred: entry.barred.as_deref().cloned(),
            });
        }
    }

    /// Nothing is in flight and nothing can start: what does the step wait for?
    fn when_quiet(&mut self, place: &Place, table: &Arc<Table>) -> Vec<Effect> {
        if self.memory.asking.is_some() {
            return Vec::new();
        }
        if let Some((row, count)) = self.memory.canary_question.take() {
            let question = Question::Canary { row, count };
            return self.ask(place, question, BTreeMap::new(), None, true);
        }
        if let Some(until) = self.next_due(place) {
            let reason = if self.open_canaries(&place.step).is_empty() {
                "the next try"
            } else {
                "the canaries to prove healthy"
            };
            return vec![Effect::Wait {
                until,
                reason: reason.to_owned(),
            }];
        }
        let mut waiting: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (ordinal, held) in self
            .memory
            .held
            .iter()
            .filter(|(_, held)| held.why == Why::Grant)
        {
            let id = self.state.ledger.entry(*ordinal).key.workflow_id.clone();
            waiting.entry(held.row.clone()).or_default().push(id);
        }
        if !waiting.is_empty() {
            let found = waiting.values().map(|names| names.len() as u64).sum();
            if self.hit_guard(&place.step, found) {
                return self.halt_when_idle(place, Vec::new());
            }
            let survey = self
                .memory
                .surveys
                .get(&place.step)
                .cloned()
                .unwrap_or_default();
            let rows = self.rows_to_ask(&place.step, table, &survey, &waiting);
            return self.put_rows(place, rows, true);
        }
        if self.memory.writes >= self.state.flags.limit.unwrap_or(u64::MAX) {
            self.memory.parking = Some(format!("--limit {} is reached", self.memory.writes));
            return Vec::new();
        }
        self.end_pass(place, table);
        Vec::new()
    }

    /// When something that is waited for is due.
    pub(super) fn next_due(&self, place: &Place) -> Option<Timestamp> {
        let rows = self.open_canaries(&place.step);
        let members = rows
            .iter()
            .flat_map(|row| self.canary_members(&place.step, row));
        let canaries = members.filter_map(|ordinal| self.memory.canary_due.get(&ordinal).copied());
        let again = self.memory.again.values().map(|(_, due)| *due);
        let tries = self.memory.tries.get(place).map(|(_, due)| *due);
        canaries
            .chain(again)
            .chain(tries)
            .filter(|due| *due > self.now)
            .min()
    }

    fn end_pass(&mut self, place: &Place, table: &Arc<Table>) {
        let Some(listing) = self.memory.listing.take() else {
            self.finish_apply(place, table);
            return;
        };
        let claimed = self.state.step(&place.step).pass_claimed;
        self.emit(Body::PassEnded {
            place: place.clone(),
            pass: listing.pass,
            claimed,
            unmatched: listing.unmatched,
        });
        if claimed == 0 || self.dry || self.state.step(&place.step).passes >= PASSES {
            self.finish_apply(place, table);
        }
    }

    fn finish_apply(&mut self, place: &Place, table: &Arc<Table>) {
        let id = &place.step;
        let output = self.applied_output(id);
        let settled = self.state.ledger.part(id).is_none_or(Part::is_settled);
        if !settled && !self.dry {
            self.end(
                place,
                StepStatus::Halted,
                output,
                "Some Workflows are undecided.",
            );
            return;
        }
        let unmatched = self.state.step(id).unmatched.clone();
        let unmatched_total: u64 = unmatched.values().map(|leftover| leftover.count).sum();
        let bound = self
            .step_model(id)
            .limits
            .max_failures
            .unwrap_or(Bound::Count(0));
        let failed = self.failed(id);
        let (status, message) = if unmatched_total > 0 && table.unmatched != Unmatched::Leave {
            (
                StepStatus::Halted,
                format!(
                    "{unmatched_total} Workflows are in no row ({}).",
                    name_types(&unmatched)
                ),
            )
        } else if failed > bound.of(self.state.step(id).grant.total()) {
            (StepStatus::Halted, format!("{failed} Workflows failed."))
        } else if self.dry {
            let would = self
                .state
                .ledger
                .part(id)
                .map_or(0, |part| part.counts.would);
            let message = if would == 0 {
                "no change".to_owned()
            } else {
                self.would_change(id, would)
            };
            let output = if would == 0 { output } else { Value::Null };
            self.end(place, StepStatus::Rehearsed, output, &message);
            return;
        } else {
            (StepStatus::Succeeded, String::new())
        };
        self.end(place, status, output, &message);
    }

    fn would_change(&self, id: &str, would: u64) -> String {
        let waiting = self
            .state
            .ledger
            .part(id)
            .map_or(0, |part| part.queue.len());
        if waiting == 0 {
            format!("would change {would}")
        } else {
            format!("would change {would}; {waiting} more were not looked at")
        }
    }

    /// The output as the ledger has it.
    pub(super) fn applied_output(&self, id: &str) -> Value {
        let state = self.state.step(id);
        let part = self.state.ledger.part(id);
        let counts = part.map(|part| part.counts).unwrap_or_default();
        let unproven = part.map_or(0, |part| {
            let is_proven = |ordinal: &&Ordinal| {
                self.state.ledger.entry(**ordinal).health != Some(Health::Healthy)
            };
            part.done.iter().filter(is_proven).count()
        });
        let mut rows = Map::new();
        for (row, counts) in part
            .iter()
            .flat_map(|part| &part.rows)
            .filter(|(row, _)| !row.is_empty())
        {
            rows.insert(row.to_string(), Value::Object(counts_json(*counts)));
        }
        let mut output = counts_json(counts);
        output.insert(
            "listed".to_owned(),
            Value::from(part.map_or(0, |part| part.listed)),
        );
        output.insert("unproven".to_owned(), Value::from(unproven));
        let unmatched: u64 = state
            .unmatched
            .values()
            .map(|leftover| leftover.count)
            .sum();
        output.insert("unmatched".to_owned(), Value::from(unmatched));
        output.insert("rows".to_owned(), Value::Object(rows));
        output.insert("job".to_owned(), Value::Object(Map::new()));
        Value::Object(output)
    }

    /// Looks that a dry run still takes.
    pub(super) fn dry_limit_reached(&self, id: &str) -> bool {
        let rows = self
            .memory
            .tables
            .get(id)
            .map_or(1, |table| table.rows.len());
        let looked: usize = self
            .memory
            .dry_looks
            .iter()
            .filter(|(key, _)| key.starts_with(&format!("{id}/")))
            .map(|(_, count)| *count)
            .sum();
        looked >= LOOK_LIMIT * rows
    }
}

fn counts_json(counts: Counts) -> Map<String, Value> {
    Map::from_iter(
        [
            ("recovered", counts.recovered()),
            ("moved", counts.moved),
            ("started_over", counts.started_over),
            ("undone", counts.undone),
            ("terminated", counts.terminated),
            ("cancelled", counts.cancelled),
            ("signalled", counts.signalled),
            ("skipped", counts.skipped),
            ("refused", counts.refused),
            ("failed", counts.failed + counts.unknown),
        ]
        .map(|(name, count)| (name.to_owned(), Value::from(count))),
    )
}

fn name_types(unmatched: &BTreeMap<String, Leftover>) -> String {
    unmatched
        .iter()
        .map(|(name, leftover)| format!("{} {name}", leftover.count))
        .collect::<Vec<_>>()
        .join(", ")
}

//! Steps over Workflows that a batch job of the service carries out (`via: batch`).
//!
//! Pure. The scope is listed to its end and claimed, so that there is something to compare with; the
//! claims are handed to a job ([`Body::Job`] is durable before the call leaves), whose id is derived
//! from run, step, iteration and attempt: whoever resumes finds it by that id. A start is repeated only
//! where the service was asked and has no such job, and then under the same id, of which it makes one
//! job. When the job has ended, each Workflow is looked at, and its state decides, not the job's counts.
//!
//! A job gets the frozen query where it is the step's first and nothing else is in the step's ledger;
//! what is taken up again later is handed over by name, so that nothing is done to the others twice.

use std::sync::Arc;

use serde_json::{Value, json};

use super::state::JobState;
use super::{Effect, Machine, Room};
use crate::decision::{Call, Table};
use crate::ledger::Life;
use crate::plan::SAMPLES;
use crate::record::{Body, Certainty, Job, JobEnd, Ordinal, Place, RowAsk, StepStatus};
use crate::runbook::Bound;
use crate::sabotage::{Bug, is_planted};
use crate::survey::BatchState;

/// Named Workflows of one job: the service's limit (it is not enforced on server 1.32.0).
const NAMED: usize = 1_000;

impl Machine {
    /// Whether a batch job carries out this step.
    pub(super) fn is_batch(&self, id: &str) -> bool {
        let via = self.action_of(id).and_then(|(_, with)| with.get("via"));
        via.and_then(Value::as_str) == Some("batch")
    }

    pub(super) fn work_batch(&mut self, place: &Place, room: &mut Room<'_>) -> Vec<Effect> {
        let id = &place.step;
        let table = match self.table(id) {
            Ok(table) => table,
            Err(error) => {
                self.end_unknown(place, &error);
                return Vec::new();
            }
        };
        if let Some(state) = self.open_job(id) {
            return self.follow_job(place, &table, &state);
        }
        if self.has_handed(id) {
            return self.compare(place, &table, room);
        }
        if self.memory.declined.contains(id) {
            let said = || "It was declined.".to_owned();
            self.memory.halt.get_or_insert_with(said);
        }
        if self.memory.halt.is_some() {
            return self.halt_when_idle(place, Vec::new());
        }
        if self.state.flags.skip_rows.contains(id) {
            let output = self.batch_output(id);
            self.end(
                place,
                StepStatus::Skipped,
                output,
                "It is skipped (--skip-row).",
            );
            return Vec::new();
        }
        if self.dry {
            return self.batch_in_dry_run(place, &table);
        }
        if !self.is_granted(id, &table) && !self.has_claims(place) {
            return self.first_question(place, &table);
        }
        if self.state.step(id).passes == 0 && !self.is_frozen(place) {
            return self.freeze(place, &table);
        }
        self.hand_or_finish(place, &table)
    }

    /// The job that was decided on and has not ended.
    pub(super) fn open_job(&self, id: &str) -> Option<JobState> {
        let job = self.state.step(id).job.as_ref()?;
        job.end.is_none().then(|| job.clone())
    }

    fn has_handed(&self, id: &str) -> bool {
        let part = self.state.ledger.part(id);
        part.is_some_and(|part| !part.handed.is_empty())
    }

    /// What to say when the run stops while a job goes on.
    pub(super) fn job_note(&self, id: &str) -> Option<String> {
        let job = self.open_job(id)?;
        Some(format!(
            "The batch job {0} goes on in the service; resume finds it again. To stop it: temporal batch terminate --job-id {0} --reason WHY",
            job.job.id
        ))
    }

    fn batch_in_dry_run(&mut self, place: &Place, table: &Arc<Table>) -> Vec<Effect> {
        let id = &place.step;
        let Some(survey) = self.memory.surveys.get(id).cloned() else {
            // It ends before it asks: a dry run has no questions.
            return self.first_question(place, table);
        };
        if survey.total == 0 {
            let output = self.batch_output(id);
            self.end(place, StepStatus::Rehearsed, output, "no change");
            return Vec::new();
        }
        let call = &table.strategies[&table.rows[0].strategy].call;
        let what = format!(
            "would change {}: {} by one batch job",
            survey.total,
            call.does()
        );
        self.end(place, StepStatus::Rehearsed, Value::Null, &what);
        Vec::new()
    }

    fn is_frozen(&self, place: &Place) -> bool {
        let listing = self.memory.listing.as_ref();
        listing.is_some_and(|listing| listing.place == *place && listing.exhausted)
    }

    /// Lists the scope to its end and claims all of it.
    fn freeze(&mut self, place: &Place, table: &Arc<Table>) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.advance_listing(place, table, &mut effects);
        if self.is_frozen(place) {
            return self.hand_or_finish(place, table);
        }
        if effects.is_empty()
            && let Some((_, until)) = self.memory.tries.get(place)
            && *until > self.now
        {
            let reason = "the next try".to_owned();
            effects.push(Effect::Wait {
                until: *until,
                reason,
            });
        }
        effects
    }

    fn hand_or_finish(&mut self, place: &Place, table: &Arc<Table>) -> Vec<Effect> {
        let id = &place.step;
        let queue = self.claims_to_hand(place, table);
        if queue.is_empty() {
            self.end_freeze(place);
            self.finish_batch(place);
            return Vec::new();
        }
        if let Some(effects) = self.may_not_hand(place, table, &queue) {
            return effects;
        }
        let listed = self.state.ledger.part(id).map_or(0, |part| part.listed);
        let frozen = self
            .frozen_query(table)
            .filter(|_| listed == queue.len() as u64);
        let takes = match frozen {
            Some(_) => &queue[..],
            None => &queue[..queue.len().min(NAMED)],
        };
        let state = self.state.step(id);
        let attempt = state.jobs + 1;
        let call = table.strategies[&table.rows[0].strategy].call.clone();
        let job = Job {
            id: if is_planted(Bug::RepeatedJobId) {
                format!("{}-{id}-{attempt}", self.run)
            } else {
                format!("{}-{id}-{}-{attempt}", self.run, place.iteration)
            },
            attempt,
            query: frozen,
            takes: ranges(takes),
            row: table.rows[0].id.clone(),
            treatment: call.treatment(),
            target: call.target().cloned(),
            rate: self
                .state
                .flags
                .rate
                .unwrap_or(self.step_model(id).pace.rate),
        };
        // The job is started later, with a permit of its own: here its Workflows are counted.
        let row = table.rows[0].id.clone();
        let count = takes.len() as u64;
        let (terms, deed, now) = (table.terms(0), call.deed(), self.now);
        let grant = self.state.grant_mut(id);
        let spent = grant.map(|grant| grant.spend(&row, terms, &deed, count, (), now));
        if !matches!(spent, Some(Ok(_))) {
            let said = || "The batch job is not what was asked about.".to_owned();
            self.memory.halt.get_or_insert_with(said);
            return self.halt_when_idle(place, Vec::new());
        }
        self.memory.writes += count;
        self.end_freeze(place);
        self.emit(Body::Job {
            place: place.clone(),
            job: Box::new(job),
        });
        Vec::new()
    }

    /// The claims, less the successors of Workflows that have the step's Signal already.
    fn claims_to_hand(&mut self, place: &Place, table: &Table) -> Vec<Ordinal> {
        let part = self.state.ledger.part(&place.step);
        let mut queue: Vec<Ordinal> = part
            .iter()
            .flat_map(|part| part.queue.iter().copied())
            .collect();
        let row = &table.rows[0];
        if matches!(table.strategies[&row.strategy].call, Call::Signal(_)) {
            queue.retain(|ordinal| !self.has_its_signal(*ordinal, &row.id));
        }
        queue
    }

    /// Limits and grants, which a job keeps as a whole or not at all; none where it may go.
    fn may_not_hand(
        &mut self,
        place: &Place,
        table: &Arc<Table>,
        queue: &[Ordinal],
    ) -> Option<Vec<Effect>> {
        let id = &place.step;
        let many = queue.len() as u64;
        let grant = &self.state.step(id).grant;
        let (used, total) = (grant.total_used(), grant.total());
        let row = &table.rows[0].id;
        let allowed = grant.allows(row, table.terms(0), many, self.now);
        let limit = self.state.flags.limit.unwrap_or(u64::MAX);
        if self.memory.writes + many > limit {
            let reason = format!(
                "--limit {limit}: a batch job takes all {many} Workflows or none; narrow the query, or resume without --limit"
            );
            self.memory.parking = Some(reason);
            return Some(Vec::new());
        }
        let bound = self.step_model(id).limits.max_workflows;
        if let Some(bound) = bound
            .map(|bound| bound.of(total))
            .filter(|bound| used + many > *bound)
        {
            self.hit_limit(id, "max_workflows", used + many, bound);
            return Some(Vec::new());
        }
        if allowed.is_ok() {
            return None;
        }
        if self.hit_guard(&place.step, many) {
            return Some(Vec::new());
        }
        let samples = queue.iter().take(SAMPLES);
        let names =
            samples.map(|ordinal| self.state.ledger.entry(*ordinal).key.workflow_id.clone());
        let waiting = std::collections::BTreeMap::from([(row.clone(), names.collect())]);
        let survey = self.memory.surveys.get(id).cloned().unwrap_or_default();
        let mut rows = self.rows_to_ask(id, table, &survey, &waiting);
        let exact = |row: &mut RowAsk| (row.count, row.certainty) = (used + many, Certainty::Exact);
        rows.iter_mut().for_each(exact);
        Some(self.put_rows(place, rows, total > 0))
    }

    /// The approved query, closed to what starts from now on: by the service's own times, as listed.
    fn frozen_query(&self, table: &Table) -> Option<String> {
        if !table.selection.is_plain() {
            return None;
        }
        let query = table.scope.clone().fold().render();
        let latest = self.memory.listing.as_ref()?.latest?;
        Some(format!("({query}) AND StartTime <= '{latest}'"))
    }

    fn end_freeze(&mut self, place: &Place) {
        if let Some(listing) = self.memory.listing.take() {
            self.emit(Body::PassEnded {
                place: place.clone(),
                pass: listing.pass,
                claimed: self.state.step(&place.step).pass_claimed,
                unmatched: listing.unmatched,
            });
        }
    }

    fn finish_batch(&mut self, place: &Place) {
        let id = &place.step;
        let output = self.batch_output(id);
        let step = self.step_model(id);
        let bound = step.limits.max_failures.unwrap_or(Bound::Count(0));
        let failed = self.failed(id);
        let said = self.difference(id);
        let join = |text: String| [text, said.clone()].join(" ").trim().to_owned();
        let job = self.state.step(id).job.as_ref();
        let broken = job.filter(|job| {
            let failed = BatchState::Failed;
            matches!(job.end, Some(JobEnd::Ended { state, .. }) if state == failed)
        });
        let (status, message) = if let Some(job) = broken {
            let text = format!(
                "The batch job {} failed or was stopped: the service does not say why.",
                job.job.id
            );
            (StepStatus::Failed, join(text))
        } else if failed > bound.of(self.state.step(id).grant.total()) {
            (
                StepStatus::Halted,
                join(format!("{failed} Workflows failed.")),
            )
        } else {
            (StepStatus::Succeeded, said)
        };
        self.end(place, status, output, &message);
    }

    /// What the job counted, where the Workflows' own states say something else.
    fn difference(&self, id: &str) -> String {
        let step = self.state.step(id);
        let Some((job, end)) = step
            .job
            .as_ref()
            .and_then(|job| Some((job, job.end.as_ref()?)))
        else {
            return String::new();
        };
        let JobEnd::Ended {
            state,
            total,
            complete,
            failed,
        } = end
        else {
            return String::new();
        };
        if *state == BatchState::Unknown {
            return format!("The service has forgotten the batch job {}.", job.job.id);
        }
        let (mut done, mut not) = (0, 0);
        for ordinal in job.job.ordinals() {
            match self.state.ledger.entry(ordinal).life {
                // The service counts what was closed or gone as complete.
                Life::Done | Life::Skipped => done += 1,
                _ => not += 1,
            }
        }
        if (*complete, *failed) == (done, not) {
            return String::new();
        }
        format!(
            "The job counted {complete} done and {failed} failed of {total}; by the state of the {} Workflows that it was given, {done} are done or needed nothing, {not} are not.",
            job.job.len()
        )
    }

    /// The output as ledger and job have it.
    pub(super) fn batch_output(&self, id: &str) -> Value {
        let mut output = self.applied_output(id);
        if let (Some(fields), Some(state)) = (output.as_object_mut(), &self.state.step(id).job) {
            let job = match &state.end {
                Some(JobEnd::Ended {
                    state: end,
                    total,
                    complete,
                    failed,
                }) => json!({
                    "id": state.job.id, "state": end.word(), "total": total, "complete": complete, "failed": failed,
                }),
                Some(JobEnd::NotStarted { .. }) => {
                    json!({ "id": state.job.id, "state": "not started" })
                }
                None => json!({ "id": state.job.id, "state": "running" }),
            };
            fields.insert("job".to_owned(), job);
        }
        output
    }

    /// The notes of a question about Workflows that a batch job gets.
    pub(super) fn batch_notes(&self, table: &Table) -> Vec<String> {
        let call = &table.strategies[&table.rows[0].strategy].call;
        if !call.is_batch() {
            return Vec::new();
        }
        let step = self.step_model(&table.name);
        call.batch_notes(Some(self.state.flags.rate.unwrap_or(step.pace.rate)))
    }
}

/// First and last of each unbroken range.
fn ranges(ordinals: &[Ordinal]) -> Vec<(Ordinal, Ordinal)> {
    let mut ranges: Vec<(Ordinal, Ordinal)> = Vec::new();
    for &ordinal in ordinals {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == ordinal => *last = ordinal,
            _ => ranges.push((ordinal, ordinal)),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinals_become_ranges_and_come_back() {
        assert_eq!(ranges(&[]), []);
        assert_eq!(ranges(&[4]), [(4, 4)]);
        let all = [0, 1, 2, 5, 7, 8];
        let takes = ranges(&all);
        assert_eq!(takes, [(0, 2), (5, 5), (7, 8)]);
        let job = Job {
            id: "j".to_owned(),
            attempt: 1,
            query: None,
            takes,
            row: "r".to_owned(),
            treatment: crate::record::Treatment::Moved,
            target: None,
            rate: 1.0,
        };
        assert_eq!(job.ordinals().collect::<Vec<_>>(), all);
        assert_eq!(job.len(), 6);
    }
}

//! Following a batch job of the service: started once, found again by its id, polled to its end, and
//! then compared with what became of each Workflow that it was given.
//!
//! Pure. That a start may have left is durable before it leaves; it is sent again only where the service
//! was asked and has no such job, after the latest moment at which the request can still arrive.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::apply::{SETTLE_AFTER, WRITE_DEADLINE};
use super::state::JobState;
use super::taking::LOOK_TRIES;
use super::{Effect, Machine, Problem, Room};
use crate::approval::{Lapsed, Permit, Short};
use crate::decision::{Call, Naming, Table};
use crate::plan::SAMPLES;
use crate::record::{Body, Certainty, Deed, JobEnd, Ordinal, Outcome, Place, RowAsk, StepStatus};
use crate::survey::{BatchJob, BatchState, WorkflowKey};

/// Longest pause between two polls of a running job.
const POLL: SignedDuration = SignedDuration::from_secs(5);
/// Times in a row that the service may fail to say how far a job is.
const TROUBLES: u32 = 10;
/// A job that was stopped goes on until its Worker hears of it (7 s, measured on server 1.32.0).
const STOPPED: SignedDuration = SignedDuration::from_secs(15);
/// Longest pause while somebody else's job runs.
const BUSY: SignedDuration = SignedDuration::from_secs(60);

/// A batch job, complete: what its call carries, and what tells it from somebody else's.
#[derive(Clone, Debug, PartialEq)]
pub struct JobRequest {
    /// Its id.
    pub id: String,
    /// What it does to each Workflow.
    pub call: Call,
    /// The frozen List Filter; none where it is about named Workflows.
    pub query: Option<String>,
    /// The named Workflows.
    pub executions: Vec<WorkflowKey>,
    /// Operations a second, at most.
    pub rate: f64,
    /// The step: its mark is in the reason.
    pub step: String,
    /// Nothing of it happened before.
    pub since: Timestamp,
}

impl JobRequest {
    /// The reason of the job.
    pub fn reason(&self, run: &str) -> String {
        let step = &self.step;
        self.call.batch_reason(&Naming { run, step })
    }
}

/// What was found out about a job.
#[derive(Clone, Debug, PartialEq)]
pub enum JobSeen {
    /// The service has it.
    Found(BatchJob),
    /// The service has no job of that id.
    Absent,
    /// It was not started: as many jobs run as may. Theirs, in words.
    Busy(Vec<String>),
    /// There is a job of that id, and it is another one.
    Foreign(String),
    /// It was not started, and another try would not help.
    Refused(String),
    /// Nobody knows whether it was started.
    InDoubt(String),
    /// What was granted had run out by the time the call would have left: it was not started.
    Lapsed,
}

impl Machine {
    fn request(&self, place: &Place, table: &Table, state: &JobState) -> Arc<JobRequest> {
        let job = &state.job;
        let named = job.ordinals().filter(|_| job.query.is_none());
        Arc::new(JobRequest {
            id: job.id.clone(),
            call: table.strategies[&table.rows[0].strategy].call.clone(),
            query: job.query.clone(),
            executions: named
                .map(|ordinal| (*self.state.ledger.entry(ordinal).key).clone())
                .collect(),
            rate: job.rate,
            step: place.step.clone(),
            since: state.since,
        })
    }

    /// Starts the job, or finds out how far it is.
    pub(super) fn follow_job(
        &mut self,
        place: &Place,
        table: &Table,
        state: &JobState,
    ) -> Vec<Effect> {
        let id = &place.step;
        if self.memory.calling.contains(id) {
            return Vec::new();
        }
        if let Some((_, until)) = self
            .memory
            .tries
            .get(place)
            .filter(|(_, due)| *due > self.now)
        {
            let reason = self.memory.job_status.clone();
            return vec![Effect::Wait {
                until: *until,
                reason,
            }];
        }
        // A start that may have left is never repeated before the service was asked.
        let request = self.request(place, table, state);
        let mut start = None;
        if !state.found && !self.state.step(id).acting {
            match self.permit_to_start(id, table, state, &request) {
                Ok(permit) => start = Some(permit),
                Err(short) => return self.ask_again(place, table, state, short),
            }
            let what = format!(
                "start the batch job {} of {} Workflows",
                state.job.id,
                state.job.len()
            );
            self.emit(Body::Acting {
                place: place.clone(),
                changes: vec![what],
                counts: Default::default(),
            });
        }
        self.memory.calling.insert(id.clone());
        vec![Effect::Job {
            place: place.clone(),
            request,
            start,
        }]
    }

    fn permit_to_start(
        &self,
        id: &str,
        table: &Table,
        state: &JobState,
        request: &Arc<JobRequest>,
    ) -> Result<Permit<Arc<JobRequest>>, Short> {
        let job = &state.job;
        let grant = &self.state.step(id).grant;
        let deed = Deed {
            treatment: job.treatment,
            target: job.target.clone(),
        };
        let (terms, sealed) = (table.terms(0), request.clone());
        grant.renew(&job.row, terms, &deed, job.len(), sealed, self.now)
    }

    /// A job that was decided on and not started, and may not be started any more: of what ran out is asked
    /// again; what was granted as something else is decided anew.
    fn ask_again(
        &mut self,
        place: &Place,
        table: &Table,
        state: &JobState,
        short: Short,
    ) -> Vec<Effect> {
        if short != Short::Expired {
            let message = "it was granted as something else".to_owned();
            self.emit(Body::JobEnded {
                place: place.clone(),
                id: state.job.id.clone(),
                end: JobEnd::NotStarted { message },
            });
            return Vec::new();
        }
        if self.memory.declined.contains(&place.step) {
            let message = "It was declined.".to_owned();
            self.emit(Body::JobEnded {
                place: place.clone(),
                id: state.job.id.clone(),
                end: JobEnd::NotStarted { message },
            });
            return Vec::new();
        }
        if self.memory.asking.is_some() {
            return Vec::new();
        }
        let samples = state.job.ordinals().take(SAMPLES);
        let names = samples.map(|ordinal| self.state.ledger.entry(ordinal).key.workflow_id.clone());
        let waiting = BTreeMap::from([(state.job.row.clone(), names.collect())]);
        let survey = self.memory.surveys.get(&place.step).cloned();
        let mut rows = self.rows_to_ask(&place.step, table, &survey.unwrap_or_default(), &waiting);
        let used = self.state.step(&place.step).grant.used(&state.job.row);
        let exact = |row: &mut RowAsk| (row.count, row.certainty) = (used, Certainty::Exact);
        rows.iter_mut().for_each(exact);
        self.put_rows(place, rows, true)
    }

    pub(super) fn job_seen(&mut self, place: &Place, result: Result<JobSeen, Problem>) {
        self.memory.calling.remove(&place.step);
        let Some(state) = self.open_job(&place.step) else {
            return;
        };
        let troubles = if result.is_err() {
            self.memory.job_troubles + 1
        } else {
            0
        };
        self.memory.job_troubles = troubles;
        match result {
            Err(problem) if problem.transient && troubles < TROUBLES => {
                self.wait_for_job(place, problem.message, BUSY);
            }
            Err(problem) => {
                let note = self.job_note(&place.step).unwrap_or_default();
                let output = self.batch_output(&place.step);
                let message = format!("{} {note}", problem.message);
                self.end(place, StepStatus::Failed, output, &message);
            }
            Ok(JobSeen::Found(job)) => self.job_found(place, &state, &job),
            Ok(JobSeen::Absent) => self.job_absent(place, &state),
            Ok(JobSeen::InDoubt(message)) => {
                let status = format!("whether the batch job was started: {message}");
                self.wait_for_job(place, status, SignedDuration::from_secs(1));
            }
            Ok(JobSeen::Busy(others)) => {
                let status = format!(
                    "{}: a namespace runs one batch job at a time",
                    others.join(", ")
                );
                self.not_started(place, &status, true);
                self.wait_for_job(place, status, BUSY);
            }
            Ok(JobSeen::Lapsed) => self.not_started(place, &Lapsed.to_string(), true),
            Ok(JobSeen::Foreign(message) | JobSeen::Refused(message)) => {
                self.not_started(place, &message, false);
                self.emit(Body::JobEnded {
                    place: place.clone(),
                    id: state.job.id,
                    end: JobEnd::NotStarted {
                        message: message.clone(),
                    },
                });
                let output = self.batch_output(&place.step);
                self.end(place, StepStatus::Failed, output, &message);
            }
        }
    }

    fn not_started(&mut self, place: &Place, error: &str, again: bool) {
        if self.state.step(&place.step).acting {
            self.emit(Body::Acted {
                place: place.clone(),
                error: error.to_owned(),
                again,
            });
        }
    }

    fn job_found(&mut self, place: &Place, state: &JobState, job: &BatchJob) {
        if self.state.step(&place.step).acting {
            self.emit(Body::Acted {
                place: place.clone(),
                error: String::new(),
                again: false,
            });
        }
        if matches!(job.state, BatchState::Completed | BatchState::Failed) {
            self.memory.tries.remove(place);
            self.emit(Body::JobEnded {
                place: place.clone(),
                id: state.job.id.clone(),
                end: JobEnd::Ended {
                    state: job.state,
                    total: job.total,
                    complete: job.complete,
                    failed: job.failed,
                },
            });
            return;
        }
        self.wait_for_job(place, progress(job), POLL);
    }

    /// The service has no such job: it was never started, or it is forgotten.
    fn job_absent(&mut self, place: &Place, state: &JobState) {
        let step = self.state.step(&place.step);
        if state.found {
            self.emit(Body::JobEnded {
                place: place.clone(),
                id: state.job.id.clone(),
                end: JobEnd::Ended {
                    state: BatchState::Unknown,
                    total: 0,
                    complete: 0,
                    failed: 0,
                },
            });
            return;
        }
        // A late request may still arrive: until then it is in doubt.
        let certain = step.acting_since.unwrap_or(state.since) + WRITE_DEADLINE + SETTLE_AFTER;
        if self.now < certain {
            self.memory.job_status = "whether the batch job was started".to_owned();
            self.memory.tries.insert(place.clone(), (0, certain));
            return;
        }
        self.not_started(place, "the batch job was not started", true);
        self.memory.tries.remove(place);
    }

    /// Looks again later; says how far the job is where that changed by a percent.
    fn wait_for_job(&mut self, place: &Place, status: String, longest: SignedDuration) {
        let polls = self.memory.tries.get(place).map_or(0, |(polls, _)| *polls);
        let pause = SignedDuration::from_secs(1 << polls.min(6)).min(longest);
        if self.state.step(&place.step).polled != status {
            self.emit(Body::Polled {
                place: place.clone(),
                status: status.clone(),
            });
        }
        self.memory.job_status = status;
        let next = (polls + 1, self.now + pause);
        self.memory.tries.insert(place.clone(), next);
    }

    /// Looks at each Workflow that the job had.
    pub(super) fn compare(
        &mut self,
        place: &Place,
        table: &Table,
        room: &mut Room<'_>,
    ) -> Vec<Effect> {
        let id = &place.step;
        let step = self.state.step(id);
        let (Some(state), Some(part)) = (step.job.clone(), self.state.ledger.part(id)) else {
            return Vec::new();
        };
        let quiet = state
            .ended
            .filter(|_| !is_completed(&state))
            .map(|ended| ended + STOPPED);
        if let Some(until) = quiet.filter(|until| *until > self.now) {
            let reason = "the service to end what the batch job had begun".to_owned();
            return vec![Effect::Wait { until, reason }];
        }
        let mut chosen = Vec::new();
        for &ordinal in &part.handed {
            if self.memory.busy.contains(&ordinal) || self.is_backing_off(ordinal) {
                continue;
            }
            if room.slots == 0 || !(room.token)() {
                room.starved = true;
                break;
            }
            room.slots -= 1;
            chosen.push(ordinal);
        }
        if chosen.is_empty() && self.is_idle() && !room.starved {
            return self.next_due(place).map_or_else(Vec::new, |until| {
                let reason = "the next look at what the batch job did".to_owned();
                vec![Effect::Wait { until, reason }]
            });
        }
        let request = Arc::new(JobRequest {
            executions: Vec::new(),
            ..(*self.request(place, table, &state)).clone()
        });
        let compare = |ordinal: Ordinal| Effect::Compare {
            place: place.clone(),
            ordinal,
            key: (*self.state.ledger.entry(ordinal).key).clone(),
            request: request.clone(),
        };
        let effects = chosen.iter().copied().map(compare).collect();
        self.memory.busy.extend(chosen);
        effects
    }

    pub(super) fn compared(&mut self, ordinal: Ordinal, result: Result<Outcome, Problem>) {
        self.memory.busy.remove(&ordinal);
        let tries = self
            .memory
            .again
            .get(&ordinal)
            .map_or(0, |(tries, _)| *tries)
            + 1;
        let outcome = match result {
            Err(problem) if problem.transient && tries < LOOK_TRIES => {
                let due = self.now + SignedDuration::from_secs(1 << tries.min(5));
                self.memory.again.insert(ordinal, (tries, due));
                return;
            }
            Err(problem) => Outcome::Unknown {
                code: String::new(),
                message: format!(
                    "could not be looked at after the batch job: {}",
                    problem.message
                ),
            },
            Ok(outcome) => outcome,
        };
        self.memory.again.remove(&ordinal);
        self.emit(Body::Outcome {
            ordinal,
            row: String::new(),
            outcome,
        });
    }
}

fn is_completed(state: &JobState) -> bool {
    let completed = BatchState::Completed;
    matches!(state.end, Some(JobEnd::Ended { state, .. }) if state == completed)
}

/// How far a running job is, to a percent.
fn progress(job: &BatchJob) -> String {
    let id = &job.id;
    let done = job.complete + job.failed;
    let Some(percent) = (done * 100).checked_div(job.total) else {
        return format!("batch job {id}: the service is listing its Workflows");
    };
    let failed = match job.failed {
        0 => String::new(),
        failed => format!(", {failed} failed"),
    };
    format!(
        "batch job {id}: {percent} % of {} counted{failed}",
        job.total
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_reads_in_percent_and_says_what_failed() {
        let mut job = BatchJob {
            id: "j".to_owned(),
            ..BatchJob::default()
        };
        assert_eq!(
            progress(&job),
            "batch job j: the service is listing its Workflows"
        );
        (job.total, job.complete, job.failed) = (3_000, 990, 10);
        assert_eq!(
            progress(&job),
            "batch job j: 33 % of 3000 counted, 10 failed"
        );
    }
}

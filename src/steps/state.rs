//! The durable fold of a run: every step's state, grants, questions and the ledger.
//!
//! Pure. A record folds to the same state whatever process wrote it; nothing here is lost with one.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

use crate::approval::{Ballot, Grant, Vote};
use crate::ledger::Ledger;
use crate::record::{
    Account, Answer, Body, Flags, Job, JobEnd, Leftover, Ordinal, Place, Question, Record,
    RunStatus, StepStatus, Terms, Through, Witness,
};
use crate::runbook::{Agreement, Parameters, Runbook, Step, StepBody};
use crate::selection::Found;
use crate::selection::reader::Cursor;

/// One step.
#[derive(Clone, Debug, Default)]
pub struct StepState {
    /// Iteration of the enclosing loop that this is about; for a loop, its own current iteration.
    pub iteration: u32,
    /// It began (in this iteration).
    pub started: bool,
    /// When.
    pub started_at: Option<Timestamp>,
    /// Attached time when it began (the first time, for a loop).
    pub started_attached: SignedDuration,
    /// It ended (in this iteration).
    pub ended: Option<StepStatus>,
    /// Latest output.
    pub output: Value,
    /// Why it ended so.
    pub message: String,
    /// What was granted, cumulative.
    pub grant: Grant,
    /// Who agreed to what is not answered yet, and to which question; in order.
    pub votes: Vec<(u32, Vote)>,
    /// Answers to questions that are not about rows: the note, of the latest yes in this iteration.
    pub note: Option<(String, String)>,
    /// What was entered into the form, with that yes.
    pub form: Map<String, Value>,
    /// Passes of the listing that ended in this iteration.
    pub passes: u32,
    /// Claims in this iteration.
    pub claimed: u64,
    /// Claims in the pass in progress.
    pub pass_claimed: u64,
    /// What no row takes, as of the latest pass.
    pub unmatched: BTreeMap<String, Leftover>,
    /// Rows whose canary was decided.
    pub canaries: BTreeMap<String, bool>,
    /// When a row's canary began.
    pub canary_since: BTreeMap<String, Timestamp>,
    /// An action on the service is in flight, or was when its process died.
    pub acting: bool,
    /// A start that has not ended well: why, empty where that is not known. None where nothing was
    /// started since the step began, all went well, or it may be done again.
    pub ran: Option<String>,
    /// What the action in flight adds to cumulative output fields.
    pub pending_counts: BTreeMap<String, u64>,
    /// Cumulative output fields of an action on the service, over a loop's iterations.
    pub counts: BTreeMap<String, u64>,
    /// When the last iteration of a loop ended.
    pub iterated: Option<Timestamp>,
    /// Last status that was polled.
    pub polled: String,
    /// What its selection came to when somebody was about to be asked. Holds for the whole run.
    pub selected: Option<Found>,
    /// How far a file of names was taken in, in this pass.
    pub cursor: Option<Cursor>,
    /// Dry run: it would change something, so its output is not known.
    pub unknown: bool,
    /// When the action in flight, or the latest one, began.
    pub acting_since: Option<Timestamp>,
    /// The batch job of the service that has Workflows of this step.
    pub job: Option<JobState>,
    /// Batch jobs in this iteration.
    pub jobs: u32,
}

/// A batch job of the service, as far as the journal knows it.
#[derive(Clone, Debug)]
pub struct JobState {
    /// It.
    pub job: Job,
    /// When it was decided on: nothing of it happened before.
    pub since: Timestamp,
    /// The service has it.
    pub found: bool,
    /// How it ended.
    pub end: Option<JobEnd>,
    /// When that was found.
    pub ended: Option<Timestamp>,
}

/// What was asked.
#[derive(Clone, Debug)]
pub struct Asked {
    /// By which step.
    pub place: Place,
    /// What.
    pub what: Question,
    /// What a yes is given for.
    pub terms: BTreeMap<String, Terms>,
    /// Who must agree.
    pub agreement: Agreement,
}

impl Asked {
    /// Whether a vote for `before` is one for this too: the same is asked, and no more Workflows than it granted.
    fn takes(&self, before: &Self, vote: &Vote) -> bool {
        let same = match self.what {
            Question::Canary { .. } => self.what == before.what,
            _ => !self.terms.is_empty() && self.terms == before.terms,
        };
        let granted = |row: &str| vote.grants.get(row).copied().unwrap_or(0);
        let enough = match &self.what {
            Question::Rows { rows, .. } => rows.iter().all(|row| row.count <= granted(&row.row)),
            _ => true,
        };
        same && enough
    }
}

/// The whole fold.
#[derive(Clone, Debug)]
pub struct State {
    /// Number of the last record.
    pub seq: u64,
    /// Attachments so far.
    pub attachment: u32,
    /// Flags of the current one.
    pub flags: Flags,
    /// User of the current one.
    pub user: String,
    /// User id of the current one, where it is known.
    pub uid: Option<u32>,
    /// Host of the latest attachment.
    pub host: String,
    /// Who began the run, and whoever resumed it.
    pub starters: Vec<Witness>,
    /// When the run was opened.
    pub opened: Option<Timestamp>,
    /// Time that somebody was attached.
    pub attached: SignedDuration,
    last: Option<Timestamp>,
    /// Parameters, with the entries that `resume` added.
    pub parameters: Parameters,
    /// Outputs of steps that ended, as expressions see them.
    pub outputs: BTreeMap<String, Value>,
    /// Questions so far.
    pub questions: u32,
    /// What was asked.
    pub asked: BTreeMap<u32, Asked>,
    /// The question that nobody has answered yet.
    pub open: Option<u32>,
    /// Whether the latest attachment ended and wrote that down: the run is parked, interrupted or over.
    pub detached: bool,
    /// The ledger.
    pub ledger: Ledger,
    /// How the run ended, if it did.
    pub ended: Option<RunStatus>,
    /// Why it was last parked or ended, in words.
    pub why: String,
    /// The step that did not pass, the latest, and its message.
    pub blamed: Option<(String, String)>,
    steps: BTreeMap<String, StepState>,
    parents: BTreeMap<String, String>,
    /// Deadline of the latest intent: what a take-over waits out.
    pub latest_deadline: Option<Timestamp>,
    /// The lock.
    pub lock: Lock,
}

/// How a run stands with its lock.
#[derive(Clone, Debug, Default)]
pub struct Lock {
    /// Its name, once it was tried.
    pub name: Option<String>,
    /// How often it was tried.
    pub takings: u32,
    /// How it stands.
    pub is: LockIs,
}

/// How a run stands with its lock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LockIs {
    /// It does not have it.
    #[default]
    Free,
    /// It may have it: the call left, and nothing more is known.
    Taking,
    /// It has it, unless somebody broke it.
    Held {
        /// Run ID of the lease.
        lease: String,
    },
    /// It may have given it back.
    Releasing {
        /// Run ID of the lease.
        lease: String,
    },
}

impl Lock {
    fn fold(&mut self, body: &Body) -> Result<(), String> {
        let is = std::mem::take(&mut self.is);
        self.is = match (body, is) {
            (Body::Locking { name, taking }, LockIs::Free | LockIs::Taking) => {
                self.name = Some(name.clone());
                self.takings = *taking;
                LockIs::Taking
            }
            (
                Body::Locked { lease },
                LockIs::Taking | LockIs::Held { .. } | LockIs::Releasing { .. },
            ) => LockIs::Held {
                lease: lease.clone(),
            },
            (Body::Unlocking {}, LockIs::Held { lease }) => LockIs::Releasing { lease },
            (Body::Unlocked { .. }, LockIs::Releasing { .. })
            | (Body::LockRefused { .. }, LockIs::Free | LockIs::Taking)
            | (Body::LockLost { .. }, LockIs::Held { .. }) => LockIs::Free,
            (Body::LockRefused { .. }, is) => is,
            (_, is) => return Err(format!("the lock is {is:?}, which does not go with this")),
        };
        Ok(())
    }
}

impl State {
    /// Nothing happened yet.
    pub fn new(runbook: &Runbook, parameters: Parameters) -> Self {
        let mut steps = BTreeMap::new();
        let mut parents = BTreeMap::new();
        index(&runbook.steps, None, &mut steps, &mut parents);
        let cap = runbook.guards.max_workflows.as_ref();
        for step in steps.values_mut() {
            step.grant = Grant::capped(cap.map(|ceiling| ceiling.most));
        }
        Self {
            seq: 0,
            attachment: 0,
            flags: Flags::default(),
            user: String::new(),
            uid: None,
            host: String::new(),
            starters: Vec::new(),
            opened: None,
            attached: SignedDuration::ZERO,
            last: None,
            parameters,
            outputs: BTreeMap::new(),
            questions: 0,
            asked: BTreeMap::new(),
            open: None,
            detached: false,
            ledger: Ledger::default(),
            ended: None,
            why: String::new(),
            blamed: None,
            steps,
            parents,
            latest_deadline: None,
            lock: Lock::default(),
        }
    }

    /// A step's state.
    pub fn step(&self, id: &str) -> &StepState {
        &self.steps[id]
    }

    /// The loop around a step.
    pub fn parent(&self, id: &str) -> Option<&str> {
        self.parents.get(id).map(String::as_str)
    }

    /// Where a step stands now.
    pub fn place_of(&self, id: &str) -> Place {
        let iteration = self
            .parent(id)
            .map_or(0, |parent| self.steps[parent].iteration.max(1));
        Place {
            step: id.to_owned(),
            iteration,
        }
    }

    /// Time that somebody was attached, as of `now`.
    pub fn attached_at(&self, now: Timestamp) -> SignedDuration {
        self.attached
            + self.last.map_or(SignedDuration::ZERO, |last| {
                now.duration_since(last).max(SignedDuration::ZERO)
            })
    }

    /// Attached time since a step began.
    pub fn elapsed(&self, id: &str, now: Timestamp) -> SignedDuration {
        self.attached_at(now) - self.steps[id].started_attached
    }

    /// Refused, failed and unknown Workflows of steps that are not over, or whose loop is not.
    pub fn left_in_open_steps(&self) -> Vec<Ordinal> {
        let is_open = |id: &str| {
            self.steps
                .get(id)
                .is_some_and(|step| step.started && step.ended.is_none())
        };
        let open = self
            .steps
            .iter()
            .filter(|(id, _)| is_open(id) || self.parent(id).is_some_and(is_open));
        open.filter_map(|(id, _)| self.ledger.part(id))
            .flat_map(|part| part.left.iter().copied())
            .collect()
    }

    /// Folds one record.
    pub fn fold(&mut self, record: &Record) -> Result<(), String> {
        if record.seq != self.seq + 1 {
            return Err(format!("expected number {}", self.seq + 1));
        }
        self.seq = record.seq;
        let attaches = matches!(record.body, Body::Attached { .. });
        // What is written to a parked run finds nobody attached.
        if !attaches && !self.detached {
            self.attached = self.attached_at(record.at);
        }
        self.detached = match record.body {
            Body::Parked { .. } | Body::Interrupted { .. } | Body::Ended { .. } => true,
            Body::Attached { .. } => false,
            _ => self.detached,
        };
        self.last = Some(record.at);
        self.ledger
            .apply(&record.body, record.at)
            .map_err(|error| error.to_string())?;
        self.fold_body(&record.body, record.at)
    }

    fn fold_body(&mut self, body: &Body, at: Timestamp) -> Result<(), String> {
        match body {
            Body::Opened { .. } => self.opened = Some(at),
            Body::Attached {
                attachment,
                flags,
                user,
                uid,
                host,
                ..
            } => {
                self.attachment = *attachment;
                self.flags = (**flags).clone();
                self.user.clone_from(user);
                self.uid = *uid;
                self.host.clone_from(host);
                self.ended = None;
                self.open = None;
                let starter = self.starter(Through::Terminal);
                if !self.starters.contains(&starter) {
                    self.starters.push(starter);
                }
                self.reopen(at);
            }
            Body::StepStarted { place } => self.started(place, at)?,
            Body::Asked {
                question,
                place,
                what,
                terms,
                agreement,
            } => {
                self.questions = *question;
                self.open = Some(*question);
                let asked = Asked {
                    place: place.clone(),
                    what: (**what).clone(),
                    terms: terms.clone(),
                    agreement: *agreement,
                };
                self.asked.insert(*question, asked);
            }
            Body::Approved {
                question,
                by,
                grants,
                expires,
                note,
                form,
            } => {
                let vote = Vote {
                    witness: by.clone(),
                    grants: grants.clone(),
                    until: *expires,
                    note: note.clone(),
                    form: form.clone(),
                };
                let place = self.asked.get(question).map(|asked| asked.place.clone());
                let place = place.ok_or_else(|| format!("question {question} was not asked"))?;
                self.step_mut(&place.step)?.votes.push((*question, vote));
            }
            Body::Answered {
                question,
                answer,
                grants,
                expires,
                by,
                note,
                form,
                ..
            } => {
                self.answered(*question, *answer, grants, *expires, by, note);
                let asked = self.asked.get(question).map(|asked| asked.place.clone());
                self.open = self.open.filter(|open| open != question);
                if let Some(place) = asked {
                    let step = self.step_mut(&place.step)?;
                    // A yes has used them, and a no has outweighed them.
                    step.votes.clear();
                    if *answer == Answer::Yes {
                        step.form.clone_from(form);
                    }
                }
            }
            Body::Page {
                place,
                claims,
                cursor,
                ..
            } => {
                let step = self.step_mut(&place.step)?;
                step.cursor = cursor.or(step.cursor);
                step.claimed += claims.len() as u64;
                step.pass_claimed += claims.len() as u64;
            }
            Body::PassEnded {
                place, unmatched, ..
            } => {
                let step = self.step_mut(&place.step)?;
                step.passes += 1;
                step.pass_claimed = 0;
                step.cursor = None;
                step.unmatched.clone_from(unmatched);
            }
            Body::Intent {
                ordinal,
                row,
                deadline,
                ..
            } => {
                let step = self.ledger.entry(*ordinal).step.to_string();
                self.step_mut(&step)?.grant.take(row);
                self.step_mut(&step)?
                    .canary_since
                    .entry(row.clone())
                    .or_insert(at);
                self.latest_deadline = self.latest_deadline.max(Some(*deadline));
            }
            Body::Barred { ordinal, .. } => self.give_back(*ordinal)?,
            Body::Settled {
                ordinal,
                settlement: crate::record::Settlement::NotDone,
                ..
            } => self.give_back(*ordinal)?,
            Body::Canary {
                place, row, passed, ..
            } => {
                self.step_mut(&place.step)?
                    .canaries
                    .insert(row.clone(), *passed);
            }
            Body::Acting { place, counts, .. } => {
                let step = self.step_mut(&place.step)?;
                step.acting = true;
                step.ran = Some(String::new());
                step.acting_since = Some(at);
                step.pending_counts.clone_from(counts);
            }
            Body::Acted {
                place,
                error,
                again,
            } => {
                let step = self.step_mut(&place.step)?;
                step.acting = false;
                step.ran = Some(error.clone()).filter(|error| !again && !error.is_empty());
                if error.is_empty() {
                    step.job.iter_mut().for_each(|job| job.found = true);
                    for (field, count) in std::mem::take(&mut step.pending_counts) {
                        *step.counts.entry(field).or_default() += count;
                    }
                }
            }
            Body::Job { place, job } => {
                let step = self.step_mut(&place.step)?;
                step.jobs = job.attempt;
                job.ordinals().for_each(|_| step.grant.take(&job.row));
                step.job = Some(JobState {
                    job: (**job).clone(),
                    since: at,
                    found: false,
                    end: None,
                    ended: None,
                });
            }
            Body::JobEnded { place, end, .. } => {
                let step = self.step_mut(&place.step)?;
                step.acting = false;
                let Some(job) = &mut step.job else {
                    return Err(format!("step `{}` has no batch job", place.step));
                };
                if matches!(end, JobEnd::NotStarted { .. }) {
                    job.job
                        .ordinals()
                        .for_each(|_| step.grant.give_back(&job.job.row));
                }
                job.end = Some(end.clone());
                job.ended = Some(at);
            }
            Body::Polled { place, status } => self.step_mut(&place.step)?.polled.clone_from(status),
            Body::Iterated { step, .. } => self.step_mut(step)?.iterated = Some(at),
            Body::StepEnded {
                place,
                status,
                output,
                message,
            } => self.step_ended(place, *status, output, message)?,
            Body::Ended { status, message } => {
                self.ended = Some(*status);
                self.why.clone_from(message);
            }
            Body::Parked { reason } => self.why.clone_from(reason),
            Body::Released { ordinal, .. } => {
                let step = self.ledger.entry(*ordinal).step.to_string();
                let step = self.step_mut(&step)?;
                step.claimed = step.claimed.saturating_sub(1);
            }
            Body::Selected { place, found } => {
                self.step_mut(&place.step)?.selected = Some((**found).clone());
            }
            Body::Locking { .. }
            | Body::Locked { .. }
            | Body::LockRefused { .. }
            | Body::LockLost { .. }
            | Body::Unlocking {}
            | Body::Unlocked { .. } => self.lock.fold(body)?,
            Body::Retried { .. }
            | Body::Outcome { .. }
            | Body::Settled { .. }
            | Body::Verified { .. }
            | Body::FoundClosed { .. }
            | Body::LimitHit { .. }
            | Body::Interrupted { .. } => {}
        }
        Ok(())
    }

    /// What a step was granted, to spend of it.
    pub(super) fn grant_mut(&mut self, id: &str) -> Option<&mut Grant> {
        self.steps.get_mut(id).map(|step| &mut step.grant)
    }

    fn give_back(&mut self, ordinal: Ordinal) -> Result<(), String> {
        let entry = self.ledger.entry(ordinal);
        let (step, row) = (entry.step.to_string(), entry.row.clone());
        if let Some(row) = row {
            self.step_mut(&step)?.grant.give_back(&row);
        }
        Ok(())
    }

    fn started(&mut self, place: &Place, at: Timestamp) -> Result<(), String> {
        let attached = self.attached;
        self.enter_iteration(place)?;
        let step = self.step_mut(&place.step)?;
        step.started = true;
        step.started_at = Some(at);
        step.started_attached = attached;
        step.ended = None;
        step.passes = 0;
        step.claimed = 0;
        step.pass_claimed = 0;
        step.cursor = None;
        step.acting = false;
        step.ran = None;
        step.note = None;
        step.polled.clear();
        // One that still runs is followed, whatever iteration began it.
        step.job = step.job.take().filter(|job| job.end.is_none());
        step.jobs = 0;
        Ok(())
    }

    /// A nested step's record opens its loop's iteration.
    fn enter_iteration(&mut self, place: &Place) -> Result<(), String> {
        if let Some(parent) = self.parents.get(&place.step).cloned() {
            let parent = self.step_mut(&parent)?;
            parent.iteration = place.iteration;
            parent.iterated = None;
            self.step_mut(&place.step)?.iteration = place.iteration;
        }
        Ok(())
    }

    fn answered(
        &mut self,
        question: u32,
        answer: Answer,
        grants: &BTreeMap<String, u64>,
        expires: Timestamp,
        by: &str,
        note: &str,
    ) {
        let Some(asked) = self.asked.get(&question) else {
            return;
        };
        if let (Answer::Yes, Some(step)) = (answer, self.steps.get_mut(&asked.place.step)) {
            // Going on with an unproven canary grants nothing, and makes no old grant young.
            if !matches!(asked.what, Question::Canary { .. }) {
                step.grant.answered(grants, &asked.terms, expires);
            }
            step.note = Some((by.to_owned(), note.to_owned()));
        }
    }

    fn step_ended(
        &mut self,
        place: &Place,
        status: StepStatus,
        output: &Value,
        message: &str,
    ) -> Result<(), String> {
        self.enter_iteration(place)?;
        if !status.passes() {
            self.blamed = Some((place.step.clone(), message.to_owned()));
        }
        let step = self.step_mut(&place.step)?;
        step.ended = Some(status);
        step.output = output.clone();
        step.message = message.to_owned();
        step.unknown = status == StepStatus::Rehearsed && output.is_null();
        if status.passes() {
            step.acting = false;
            step.ran = None;
        }
        if step.unknown {
            self.outputs.remove(&place.step);
        } else {
            self.outputs.insert(place.step.clone(), output.clone());
        }
        Ok(())
    }

    /// What halted or failed is taken up again by whoever attaches.
    fn reopen(&mut self, at: Timestamp) {
        let attached = self.attached;
        for (id, step) in &mut self.steps {
            if step.ended.is_some_and(|status| !status.passes()) {
                step.ended = None;
                // Its time begins anew, and so does the proof of a canary that failed.
                step.started_attached = attached;
                step.canaries.retain(|_, passed| *passed);
                step.canary_since.values_mut().for_each(|since| *since = at);
                step.passes = 0;
                step.pass_claimed = 0;
                // A job that failed was reported; one that still runs is followed.
                let compared = self
                    .ledger
                    .part(id)
                    .is_none_or(|part| part.handed.is_empty());
                if compared {
                    step.job = step.job.take().filter(|job| job.end.is_none());
                }
            }
        }
    }

    /// Whoever runs it now, as one who answers.
    pub fn starter(&self, through: Through) -> Witness {
        let account = Account {
            name: self.user.clone(),
            uid: self.uid,
        };
        Witness::local(&account, &self.host, through)
    }

    /// How a question stands at `now`; also votes for an earlier question that asked the same count.
    pub fn ballot(&self, question: u32, now: Timestamp) -> Ballot {
        let Some(asked) = self.asked.get(&question) else {
            return Ballot::default();
        };
        let cast = self.steps[&asked.place.step].votes.iter();
        let cast = cast.filter(|(before, vote)| {
            let before = self.asked.get(before);
            before.is_some_and(|before| asked.takes(before, vote))
        });
        let cast = cast.map(|(_, vote)| vote.clone());
        Ballot::new(asked.agreement, &self.starters, cast, now)
    }

    fn step_mut(&mut self, id: &str) -> Result<&mut StepState, String> {
        self.steps
            .get_mut(id)
            .ok_or_else(|| format!("the plan has no step `{id}`"))
    }

    /// The step at work: the innermost that began and is not over.
    pub fn current(&self) -> Option<Place> {
        let open = self
            .steps
            .iter()
            .filter(|(_, step)| step.started && step.ended.is_none());
        // A loop is open while a step in it is: the step with a parent wins.
        let (id, _) = open.max_by_key(|(id, _)| self.parents.contains_key(*id))?;
        Some(self.place_of(id))
    }
}

fn index(
    steps: &[Step],
    parent: Option<&str>,
    into: &mut BTreeMap<String, StepState>,
    parents: &mut BTreeMap<String, String>,
) {
    for step in steps {
        into.insert(
            step.id.clone(),
            StepState {
                output: Value::Object(Map::new()),
                ..StepState::default()
            },
        );
        if let Some(parent) = parent {
            parents.insert(step.id.clone(), parent.to_owned());
        }
        if let StepBody::Repeat { steps, .. } = &step.body {
            index(steps, Some(&step.id), into, parents);
        }
    }
}

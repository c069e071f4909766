//! The run as a whole: a fold of records into what `show` prints and `--output json` holds.
//!
//! Counts are kept as records arrive, so that a display can read them at any time; memory is a few
//! bytes a Workflow. Times are those of the records.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};

use super::entry::{Change, State, change, without_run_ids};
use super::lock::LockReport;
use super::model::{
    AnswerReport, ApprovalReport, Attachment, Canary, Ending, Header, Hit, QuestionReport,
    StepReport, Waiting,
};
use super::outline::PlannedStep;
use super::plan_facts::PlanFacts;
use super::question::question_in_short;
use crate::decision::{INVALID_EVENT, INVALID_REFUSAL};
use crate::history::Outlook;
use crate::record::{
    Body, Flags, Health, Ordinal, Outcome, Place, Question, Record, RunId, Treatment,
};
use crate::survey::WorkflowKey;

/// Distinct reasons that are kept apart; further ones count as [`OTHER`].
const REASONS: usize = 1000;
/// So many Workflows are told one by one.
const OUTLOOKS: usize = 1000;
const OTHER: &str = "other reasons";

/// The run as a whole.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// What run it is.
    pub run: Header,
    /// Who ran it, in order.
    pub attachments: Vec<Attachment>,
    /// Steps in the order in which they began.
    pub steps: Vec<StepReport>,
    /// Questions in order.
    pub questions: Vec<QuestionReport>,
    /// How it ended, as far as the records go.
    pub ending: Ending,
    /// Its lock; none where it did not ask for one.
    pub lock: Option<LockReport>,
    /// Time of the last record.
    pub last: Option<Timestamp>,
    pub(super) facts: PlanFacts,
    names: Names,
    entries: Vec<Entry>,
    /// The first Workflows, by name.
    keys: HashMap<Ordinal, WorkflowKey>,
}

/// What is kept of a Workflow: indices, 16 bytes.
#[derive(Clone, Copy, Debug)]
struct Entry {
    step: u16,
    row: u16,
    reason: u32,
    state: State,
    treatment: Option<Treatment>,
    health: Option<Health>,
}

pub(super) const NO_ROW: u16 = u16::MAX;
const NO_REASON: u32 = u32::MAX;

/// Reasons, each once.
#[derive(Clone, Debug, Default)]
struct Names {
    reasons: Vec<String>,
    numbers: HashMap<String, u32>,
}

impl Names {
    fn number(&mut self, reason: &str) -> u32 {
        if reason.is_empty() {
            return NO_REASON;
        }
        let reason = without_run_ids(reason);
        let known = |names: &Self, reason: &str| names.numbers.get(reason).copied();
        if let Some(number) = known(self, &reason) {
            return number;
        }
        let reason = if self.reasons.len() < REASONS {
            &*reason
        } else {
            OTHER
        };
        if let Some(number) = known(self, reason) {
            return number;
        }
        let number = u32::try_from(self.reasons.len()).unwrap_or(NO_REASON);
        self.reasons.push(reason.to_owned());
        self.numbers.insert(reason.to_owned(), number);
        number
    }
}

impl Report {
    /// Of no records.
    pub fn new() -> Self {
        Self::default()
    }

    /// Of these records.
    pub fn of<'a>(records: impl IntoIterator<Item = &'a Record>) -> Self {
        let mut report = Self::new();
        for record in records {
            report.apply(record);
        }
        report
    }

    /// The step with this id.
    pub fn step(&self, id: &str) -> Option<&StepReport> {
        self.steps.iter().find(|step| step.step == id)
    }

    /// All steps of the plan in order, with those that have not begun. Empty where the journal holds no
    /// runbook that can be read.
    pub fn outline(&self) -> &[PlannedStep] {
        self.facts.outline()
    }

    /// The word that a step wants, where the plan says it.
    pub fn word(&self, step: &str) -> Option<String> {
        self.facts.step(step).word
    }

    /// Time between the first record and the last.
    pub fn elapsed(&self) -> SignedDuration {
        match (self.run.opened, self.last) {
            (Some(opened), Some(last)) => last.duration_since(opened),
            _ => SignedDuration::ZERO,
        }
    }

    /// Folds one more record in. Records that refer to something unknown change nothing: the journal
    /// has refused damage before.
    pub fn apply(&mut self, record: &Record) {
        // What is written to a parked run finds nobody attached.
        let attached = matches!(self.ending, Ending::Open);
        if let Some(change) = change(&record.body) {
            self.change(&change);
            self.outlook(&record.body);
        } else {
            self.apply_body(record);
        }
        self.last = Some(record.at);
        if let Some(attachment) = self.attachments.last_mut().filter(|_| attached) {
            attachment.until = record.at;
        }
    }

    fn apply_body(&mut self, record: &Record) {
        let at = record.at;
        match &record.body {
            Body::Opened { .. } => self.opened(record),
            Body::Attached { .. } => self.attached(record),
            Body::StepStarted { place } => self.step_started(place, at),
            Body::Asked { .. } | Body::Approved { .. } | Body::Answered { .. } => {
                self.questioned(record);
            }
            Body::Page { place, claims, .. } => {
                let room = OUTLOOKS.saturating_sub(self.keys.len());
                self.keys.extend(
                    claims
                        .iter()
                        .take(room)
                        .map(|claim| (claim.ordinal, claim.key())),
                );
                let ordinals = claims.iter().map(|claim| claim.ordinal);
                self.claimed(place, ordinals);
            }
            Body::PassEnded {
                place, unmatched, ..
            } => self.at(place).unmatched.clone_from(unmatched),
            Body::Job { job, .. } => {
                for ordinal in job.ordinals() {
                    let (row, treatment) = (Some(job.row.as_str()), Some(job.treatment));
                    self.transition(ordinal, State::Claimed, row, treatment, NO_REASON);
                }
            }
            Body::Retried { ordinals } => {
                for ordinal in ordinals {
                    self.transition(*ordinal, State::Claimed, None, None, NO_REASON);
                }
            }
            Body::Verified {
                ordinal, health, ..
            } => self.verified(*ordinal, *health),
            Body::Ended { status, message } => {
                self.ending = Ending::Ended {
                    status: *status,
                    message: message.clone(),
                };
            }
            Body::Parked { reason } => {
                self.ending = Ending::Parked {
                    reason: reason.clone(),
                };
            }
            Body::Interrupted { signal, .. } => {
                self.ending = Ending::Interrupted {
                    signal: signal.clone(),
                };
            }
            Body::Locking { .. }
            | Body::Locked { .. }
            | Body::LockRefused { .. }
            | Body::LockLost { .. }
            | Body::Unlocking {}
            | Body::Unlocked { .. } => self.locked(&record.body, at),
            body => self.stepped(body, at),
        }
    }

    fn stepped(&mut self, body: &Body, at: Timestamp) {
        match body {
            Body::Canary {
                place,
                row,
                passed,
                reason,
            } => self.at(place).canaries.push(Canary {
                row: row.clone(),
                passed: *passed,
                reason: reason.clone(),
            }),
            Body::Acting { place, changes, .. } => {
                let step = self.at(place);
                for change in changes {
                    if !step.changes.contains(change) {
                        step.changes.push(change.clone());
                    }
                }
            }
            Body::Acted { place, error, .. } => self.at(place).message.clone_from(error),
            Body::Polled { place, status } => {
                self.at(place).waiting = Some(Waiting {
                    status: status.clone(),
                    at,
                });
            }
            Body::Iterated {
                step,
                iteration,
                note,
                ..
            } => {
                let index = self.index(step);
                let step = &mut self.steps[index];
                step.iteration = *iteration;
                step.waiting = (!note.is_empty()).then(|| Waiting {
                    status: note.clone(),
                    at,
                });
            }
            Body::LimitHit {
                place,
                limit,
                value,
                bound,
            } => self.at(place).limits.push(Hit {
                limit: limit.clone(),
                value: *value,
                bound: *bound,
            }),
            Body::StepEnded {
                place,
                status,
                output,
                message,
            } => {
                let step = self.at(place);
                step.status = Some(*status);
                step.message.clone_from(message);
                step.output.clone_from(output);
                step.ended = Some(at);
                step.waiting = None;
                step.stop(at);
            }
            _ => {}
        }
    }

    fn opened(&mut self, record: &Record) {
        let Body::Opened {
            run,
            plan,
            tool,
            dry,
            rehearsal,
            saved,
            ..
        } = &record.body
        else {
            return;
        };
        let facts = PlanFacts::read(plan);
        let RunId(id) = run;
        self.run = Header {
            id: id.clone(),
            runbook: facts.name.clone(),
            title: facts.title.clone(),
            digest: facts.digest.clone(),
            params: facts.params.clone(),
            opened: Some(record.at),
            address: facts.address.clone(),
            namespace: facts.namespace.clone(),
            tool: tool.clone(),
            saved: saved.clone(),
            dry: *dry,
            rehearsal: *rehearsal,
        };
        self.facts = facts;
    }

    fn attached(&mut self, record: &Record) {
        let Body::Attached {
            attachment,
            host,
            pid,
            user,
            flags,
            notes,
            ..
        } = &record.body
        else {
            return;
        };
        if let Some(last) = self.last {
            for step in &mut self.steps {
                if step.began.is_some() {
                    step.stop(last);
                    step.began = Some(record.at);
                }
            }
        }
        self.ending = Ending::Open;
        self.attachments.push(Attachment {
            attachment: *attachment,
            at: record.at,
            until: record.at,
            host: host.clone(),
            pid: *pid,
            user: user.clone(),
            flags: flag_words(flags),
            notes: notes.clone(),
        });
    }

    fn step_started(&mut self, place: &Place, at: Timestamp) {
        let step = self.at(place);
        step.iteration = place.iteration;
        step.started.get_or_insert(at);
        step.status = None;
        step.began = Some(at);
        step.message.clear();
    }

    fn questioned(&mut self, record: &Record) {
        match &record.body {
            Body::Asked {
                question,
                place,
                what,
                agreement,
                ..
            } => {
                self.expect(place, what);
                self.questions.push(QuestionReport {
                    question: *question,
                    place: place.clone(),
                    asked: record.at,
                    short: question_in_short(what),
                    what: (**what).clone(),
                    agreement: *agreement,
                    approvals: Vec::new(),
                    answer: None,
                });
            }
            Body::Approved {
                question,
                by,
                expires,
                note,
                ..
            } => {
                let mut asked = self.questions.iter_mut().rev();
                if let Some(asked) = asked.find(|q| q.question == *question) {
                    asked.approvals.push(ApprovalReport {
                        by: by.clone(),
                        at: record.at,
                        expires: *expires,
                        note: note.clone(),
                    });
                }
            }
            Body::Answered {
                question,
                answer,
                by,
                from,
                means,
                grants,
                expires,
                note,
                form,
            } => {
                let asked = self.questions.iter_mut().rev();
                if let Some(asked) = asked.into_iter().find(|q| q.question == *question) {
                    asked.answer = Some(AnswerReport {
                        answer: *answer,
                        by: by.clone(),
                        means: *means,
                        from: from.clone(),
                        at: record.at,
                        grants: grants.clone(),
                        expires: *expires,
                        note: note.clone(),
                        form: form.clone(),
                    });
                }
            }
            _ => {}
        }
    }

    /// A question says how many Workflows there are now; those already decided come on top.
    fn expect(&mut self, place: &Place, what: &Question) {
        if let Question::Rows { rows, .. } = what {
            let step = self.at(place);
            let now: u64 = rows.iter().map(|row| row.count).sum();
            step.expected = Some(step.counts.decided() + now);
            for asked in rows {
                let known = step.rows.iter().find(|row| row.row == asked.row);
                let decided = known.map_or(0, |row| row.counts.decided());
                let expected = decided + asked.count;
                step.expected_rows.insert(asked.row.clone(), expected);
            }
        }
    }

    fn claimed(&mut self, place: &Place, ordinals: impl Iterator<Item = Ordinal>) {
        let index = self.index(&place.step);
        let entry = Entry {
            step: u16::try_from(index).unwrap_or(u16::MAX),
            row: NO_ROW,
            reason: NO_REASON,
            state: State::Claimed,
            treatment: None,
            health: None,
        };
        for ordinal in ordinals {
            // Ordinals have no gaps; a journal with one would not have been read.
            if ordinal as usize == self.entries.len() {
                self.entries.push(entry);
                self.steps[index].claimed += 1;
            }
        }
    }

    /// What a reset would do, or where it could go instead: told one by one for the first Workflows.
    fn outlook(&mut self, body: &Body) {
        let Body::Outcome {
            ordinal, outcome, ..
        } = body
        else {
            return;
        };
        let (Some(key), Some(entry)) = (
            self.keys.get(ordinal),
            self.entries.get(*ordinal as usize).copied(),
        ) else {
            return;
        };
        let outlook = Outlook {
            workflow_id: key.workflow_id.clone(),
            run_id: key.run_id.clone(),
            ..Outlook::default()
        };
        let outlook = match outcome {
            Outcome::Would {
                point: Some(point),
                effects,
                ..
            } => Outlook {
                point: Some((**point).clone()),
                effects: effects.clone(),
                ..outlook
            },
            Outcome::Refused {
                refusal,
                message,
                points,
            } if refusal == INVALID_REFUSAL => Outlook {
                code: INVALID_EVENT.to_owned(),
                message: message.clone(),
                valid_reset_events: points.clone(),
                ..outlook
            },
            _ => return,
        };
        if let Some(step) = self.steps.get_mut(usize::from(entry.step)) {
            step.resets.push(outlook);
        }
    }

    fn change(&mut self, change: &Change<'_>) {
        let reason = match change.state {
            State::Claimed | State::InDoubt | State::Released => NO_REASON,
            _ => self.names.number(&change.reason()),
        };
        let row = (!change.row.is_empty()).then_some(change.row);
        self.transition(change.ordinal, change.state, row, change.treatment, reason);
    }

    fn transition(
        &mut self,
        ordinal: Ordinal,
        state: State,
        row: Option<&str>,
        treatment: Option<Treatment>,
        reason: u32,
    ) {
        let Some(old) = self.entries.get(ordinal as usize).copied() else {
            return;
        };
        self.tally(old, -1);
        let mut new = Entry {
            state,
            reason,
            treatment: treatment.or(old.treatment),
            ..old
        };
        if let (Some(row), Some(step)) = (row, self.steps.get_mut(usize::from(old.step))) {
            new.row = step.row_index(row);
        } else if state.is_decided() && state != State::Released && old.row == NO_ROW {
            new.row = self.steps[usize::from(old.step)].row_index("");
        }
        self.tally(new, 1);
        self.entries[ordinal as usize] = new;
    }

    /// Adds a Workflow to its counts, or takes it out.
    fn tally(&mut self, entry: Entry, by: i64) {
        let Some(step) = self.steps.get_mut(usize::from(entry.step)) else {
            return;
        };
        step.counts.change(entry.state, entry.treatment, by);
        if entry.state == State::Released {
            step.released = step.released.saturating_add_signed(by);
            step.claimed = step.claimed.saturating_add_signed(-by);
        }
        let Some(row) = step.rows.get_mut(usize::from(entry.row)) else {
            return;
        };
        row.counts.change(entry.state, entry.treatment, by);
        let Some(reason) = self.names.reasons.get(entry.reason as usize) else {
            return;
        };
        let key = (entry.state, reason.clone());
        let count = row.reasons.entry(key.clone()).or_default();
        *count = count.saturating_add_signed(by);
        if *count == 0 {
            row.reasons.remove(&key);
        }
    }

    fn verified(&mut self, ordinal: Ordinal, health: Health) {
        let Some(entry) = self.entries.get_mut(ordinal as usize) else {
            return;
        };
        let before = entry.health.replace(health);
        let Some(step) = self.steps.get_mut(usize::from(entry.step)) else {
            return;
        };
        if let Some(count) = before.and_then(|before| step.health.get_mut(&before)) {
            *count = count.saturating_sub(1);
        }
        *step.health.entry(health).or_default() += 1;
        step.health.retain(|_, count| *count > 0);
    }

    fn at(&mut self, place: &Place) -> &mut StepReport {
        let index = self.index(&place.step);
        &mut self.steps[index]
    }

    fn index(&mut self, id: &str) -> usize {
        if let Some(index) = self.steps.iter().position(|step| step.step == id) {
            return index;
        }
        let facts = self.facts.step(id);
        self.steps
            .push(StepReport::new(id, facts.title, facts.parent));
        self.steps.len() - 1
    }
}

/// The flags as they would be typed; a confirmation's word included.
fn flag_words(flags: &Flags) -> Vec<String> {
    let mut words = Vec::new();
    words.extend(flags.yes.then(|| "--yes".to_owned()));
    let confirm = flags.confirm.iter();
    words.extend(confirm.map(|(step, word)| format!("--confirm {step}={word}")));
    words.extend(flags.until.iter().map(|step| format!("--until {step}")));
    words.extend(
        flags
            .skip_rows
            .iter()
            .map(|row| format!("--skip-row {row}")),
    );
    words.extend(flags.limit.iter().map(|n| format!("--limit {n}")));
    words.extend(flags.retry_failed.then(|| "--retry-failed".to_owned()));
    words.extend(flags.accept.iter().map(|step| format!("--accept {step}")));
    words.extend(flags.rate.iter().map(|rate| format!("--rate {rate}")));
    for (name, entries) in &flags.entries {
        for (key, value) in entries {
            words.push(format!("-p {name}.{key}={value}"));
        }
    }
    words
}

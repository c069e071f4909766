//! Which step is at work: conditions, loops, timeouts, endings.
//!
//! Pure. Steps run one after another; only a step's own calls run at the same time.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

use super::{Completion, Effect, Finish, Machine, Room, count};
use crate::catalog::Subject;
use crate::record::{Body, Ordinal, Place, RunStatus, Settlement, StepStatus};
use crate::runbook::{EvalError, OnFailure, Step, StepBody};

/// What a walk through the steps finds.
enum Todo {
    Begin(Place),
    Work(Place),
    LoopEnd(String),
    LoopWait(String, Timestamp),
    Over(RunStatus),
    Until(String),
}

impl Machine {
    /// The effects that fit into `room` at `now`. Facts that need no effect are written down on the way.
    pub fn next(&mut self, now: Timestamp, room: &mut Room<'_>) -> Vec<Effect> {
        self.now = now;
        loop {
            let before = self.progress();
            let effects = self.turn(room);
            if !effects.is_empty() || self.progress() == before {
                return self.with_sign_of_life(effects);
            }
        }
    }

    /// A decision to park, and a listing that begins, are steps forward, too, though no facts yet.
    fn progress(&self) -> (u64, bool, bool) {
        let (parking, listing) = (&self.memory.parking, &self.memory.listing);
        (self.state.seq, parking.is_some(), listing.is_some())
    }

    fn turn(&mut self, room: &mut Room<'_>) -> Vec<Effect> {
        if let Some(signal) = self.memory.stopping.clone() {
            let current = self.state.current();
            let notes = current.and_then(|place| self.job_note(&place.step));
            let notes = notes.into_iter().collect();
            return self.stop_when_idle(Finish::Interrupted, Body::Interrupted { signal, notes });
        }
        if let Some(message) = self.memory.lock.lost.clone() {
            let status = RunStatus::Halted;
            return self.stop_when_idle(Finish::Halted, Body::Ended { status, message });
        }
        if let Some(reason) = self.memory.parking.clone() {
            return self.stop_when_idle(Finish::Parked, Body::Parked { reason });
        }
        if let Some(effect) = self.put_again() {
            return vec![effect];
        }
        let todo = self.todo();
        let over = matches!(todo, Todo::Over(_));
        let succeeded = matches!(todo, Todo::Over(RunStatus::Succeeded));
        if let Some(effects) = self.lock_first(over, succeeded) {
            return effects;
        }
        match todo {
            Todo::Begin(place) => {
                self.begin(&place);
                Vec::new()
            }
            Todo::Work(place) => self.work(&place, room),
            Todo::LoopEnd(step) => {
                self.end_iteration(&step);
                Vec::new()
            }
            Todo::LoopWait(step, until) => {
                vec![Effect::Wait {
                    until,
                    reason: format!("the next round of `{step}`"),
                }]
            }
            Todo::Until(step) => {
                let reason = format!("--until {step}");
                self.stop_when_idle(Finish::Parked, Body::Parked { reason })
            }
            Todo::Over(status) => self.finish(status),
        }
    }

    /// A read that was given up because the run stops: whoever resumes reads it again.
    pub(super) fn let_go(&mut self, completion: &Completion) {
        match completion {
            Completion::Observed { place, .. }
            | Completion::Surveyed { place, .. }
            | Completion::Listed { place, .. } => {
                self.memory.calling.remove(&place.step);
            }
            Completion::Judged { ordinal, .. }
            | Completion::Settled { ordinal, .. }
            | Completion::Verified { ordinal, .. }
            | Completion::StatusRead { ordinal, .. }
            | Completion::Compared { ordinal, .. } => {
                self.memory.busy.remove(ordinal);
            }
            Completion::Acted { .. }
            | Completion::Written { .. }
            | Completion::Answered { .. }
            | Completion::Ran { .. }
            | Completion::Job { .. }
            | Completion::Leased { .. } => {}
        }
    }

    fn stop_when_idle(&mut self, finish: Finish, body: Body) -> Vec<Effect> {
        if !self.is_idle() || self.memory.lock.is_unsettled() {
            return Vec::new();
        }
        self.take_back();
        self.emit(body);
        vec![Effect::Finish(finish)]
    }

    /// Intents of this attachment whose call never left: that is known, so nothing is in doubt.
    fn take_back(&mut self) {
        let steps = self.runbook.all_steps();
        let unsent: Vec<Ordinal> = steps
            .iter()
            .filter_map(|step| self.state.ledger.part(&step.id))
            .flat_map(|part| part.intended.iter().copied())
            .collect();
        for ordinal in unsent {
            self.emit(Body::Settled {
                ordinal,
                settlement: Settlement::NotDone,
                evidence: "the run stopped before it was sent".to_owned(),
            });
        }
    }

    fn finish(&mut self, status: RunStatus) -> Vec<Effect> {
        if self.state.ended.is_none() {
            let message = match status {
                RunStatus::Succeeded => String::new(),
                RunStatus::Halted => "A step did not pass.".to_owned(),
            };
            self.emit(Body::Ended { status, message });
        }
        vec![Effect::Finish(match status {
            RunStatus::Succeeded => Finish::Succeeded,
            RunStatus::Halted => Finish::Halted,
        })]
    }

    fn todo(&self) -> Todo {
        let mut halted = false;
        for step in &self.runbook.steps {
            match self.step_todo(step, 0, &mut halted) {
                Some(todo) => return todo,
                None => {
                    if self.state.flags.until.as_deref() == Some(step.id.as_str()) {
                        return Todo::Until(step.id.clone());
                    }
                }
            }
        }
        Todo::Over(if halted {
            RunStatus::Halted
        } else {
            RunStatus::Succeeded
        })
    }

    /// What is to be done about a step, or none where the run goes on after it.
    fn step_todo(&self, step: &Step, iteration: u32, halted: &mut bool) -> Option<Todo> {
        let state = self.state.step(&step.id);
        let place = Place {
            step: step.id.clone(),
            iteration,
        };
        let is_loop = matches!(step.body, StepBody::Repeat { .. });
        let fresh = !is_loop && state.iteration != iteration;
        if let (Some(status), false) = (state.ended, fresh) {
            if status.passes() {
                return None;
            }
            *halted = true;
            let goes_on = self.dry || step.on_failure == OnFailure::Continue;
            return if goes_on {
                None
            } else {
                Some(Todo::Over(RunStatus::Halted))
            };
        }
        if !state.started || fresh {
            return Some(Todo::Begin(place));
        }
        match &step.body {
            StepBody::Action { .. } => Some(Todo::Work(place)),
            StepBody::Repeat { every, steps, .. } => {
                Some(self.loop_todo(step, steps, *every, halted))
            }
        }
    }

    fn loop_todo(
        &self,
        step: &Step,
        children: &[Step],
        every: std::time::Duration,
        halted: &mut bool,
    ) -> Todo {
        let state = self.state.step(&step.id);
        let mut iteration = state.iteration.max(1);
        if let Some(iterated) = state.iterated {
            let next = iterated + SignedDuration::try_from(every).unwrap_or(SignedDuration::MAX);
            if self.now < next {
                return Todo::LoopWait(step.id.clone(), next);
            }
            iteration += 1;
        }
        for child in children {
            if let Some(todo) = self.step_todo(child, iteration, halted) {
                return todo;
            }
            if self.state.flags.until.as_deref() == Some(child.id.as_str()) {
                return Todo::Until(child.id.clone());
            }
        }
        Todo::LoopEnd(step.id.clone())
    }

    fn begin(&mut self, place: &Place) {
        let step = self.step_model(&place.step);
        let holds = step
            .when
            .as_ref()
            .map_or(Ok(true), |when| self.runbook.holds(when, &self.scope()));
        match holds {
            Ok(true) => self.emit(Body::StepStarted {
                place: place.clone(),
            }),
            Ok(false) => {
                let output = if self
                    .state
                    .step(&place.step)
                    .output
                    .as_object()
                    .is_some_and(|output| !output.is_empty())
                {
                    self.state.step(&place.step).output.clone()
                } else {
                    self.blank_output(&place.step)
                };
                self.end(
                    place,
                    StepStatus::Skipped,
                    output,
                    "Its condition does not hold.",
                );
            }
            Err(error) => self.end_unknown(place, &error),
        }
    }

    /// An expression that a dry run cannot know, or that is wrong.
    pub(crate) fn end_unknown(&mut self, place: &Place, error: &EvalError) {
        match error {
            EvalError::UnknownUntil { step } if self.dry => {
                self.end(
                    place,
                    StepStatus::Rehearsed,
                    Value::Null,
                    &format!("unknown until {step}"),
                );
            }
            EvalError::UnknownUntil { step } => {
                self.end(
                    place,
                    StepStatus::Failed,
                    Value::Object(Map::new()),
                    &format!("`{step}` has no output yet"),
                );
            }
            EvalError::Failed { message } => self.end(
                place,
                StepStatus::Failed,
                Value::Object(Map::new()),
                message,
            ),
        }
    }

    fn work(&mut self, place: &Place, room: &mut Room<'_>) -> Vec<Effect> {
        if !self.is_idle() && self.timed_out(place) {
            // Nothing new begins; what is in flight ends first.
            self.memory
                .halt
                .get_or_insert_with(|| "It took longer than its timeout.".to_owned());
        }
        if self.is_idle() && self.timed_out(place) {
            let elapsed = self.state.elapsed(&place.step, self.now);
            let output = self.current_output(&place.step);
            let note = self.job_note(&place.step).unwrap_or_default();
            let message = format!("It took longer than its timeout ({elapsed:#}). {note}");
            self.end(place, StepStatus::Halted, output, message.trim());
            return Vec::new();
        }
        match self.subject_of(&place.step) {
            Some(Subject::Service) => self.work_service(place),
            Some(Subject::Person) => self.work_manual(place),
            Some(Subject::Run) => self.work_run(place),
            Some(Subject::Program) => self.work_command(place),
            Some(Subject::Ledger) => match self.action_of(&place.step) {
                Some(("workflows.wait_closed", _)) => self.work_closed(place, room),
                _ => self.work_verify(place, room),
            },
            Some(Subject::Workflow) if self.is_batch(&place.step) => self.work_batch(place, room),
            Some(Subject::Decision | Subject::Workflow) => self.work_apply(place, room),
            None => Vec::new(),
        }
    }

    fn timed_out(&self, place: &Place) -> bool {
        let over = |id: &str, limit: std::time::Duration| {
            self.state.elapsed(id, self.now)
                >= SignedDuration::try_from(limit).unwrap_or(SignedDuration::MAX)
        };
        self.step_model(&place.step)
            .timeout
            .is_some_and(|limit| over(&place.step, limit))
    }

    fn end_iteration(&mut self, id: &str) {
        let step = self.step_model(id).clone();
        let StepBody::Repeat {
            until,
            timeout,
            steps,
            ..
        } = &step.body
        else {
            return;
        };
        let state = self.state.step(id);
        let iteration = state.iteration.max(1);
        let place = Place {
            step: id.to_owned(),
            iteration: 0,
        };
        let output = Value::Object(Map::from_iter([(
            "iterations".to_owned(),
            Value::from(iteration),
        )]));
        if self.dry {
            self.end(
                &place,
                StepStatus::Rehearsed,
                output,
                "its body once; a run repeats it",
            );
            return;
        }
        let (done, note) = match self.runbook.holds(until, &self.scope()) {
            Ok(done) => (done, String::new()),
            Err(EvalError::UnknownUntil { step }) => (false, format!("`{step}` has no output yet")),
            Err(EvalError::Failed { message }) => {
                self.end(&place, StepStatus::Failed, output, &message);
                return;
            }
        };
        let ids: Vec<String> = steps.iter().map(|step| step.id.clone()).collect();
        // What `--retry-failed` took up behind its step is for another round, whatever the condition says.
        let taken_up = !self.all_decided(&ids);
        let (done, note) = match (done, taken_up) {
            (true, true) => (false, "some Workflows are taken up again".to_owned()),
            _ => (done, note),
        };
        self.emit(Body::Iterated {
            step: id.to_owned(),
            iteration,
            done,
            note,
        });
        if done {
            self.end(&place, StepStatus::Succeeded, output, "");
        } else if let Some(message) = self.stuck(&ids).filter(|_| !taken_up) {
            self.end(&place, StepStatus::Halted, output, &message);
        } else if self.state.elapsed(id, self.now)
            >= SignedDuration::try_from(*timeout).unwrap_or(SignedDuration::MAX)
        {
            self.end(
                &place,
                StepStatus::Halted,
                output,
                &format!("`{until}` did not hold within its timeout."),
            );
        }
    }

    fn all_decided(&self, ids: &[String]) -> bool {
        let mut parts = ids.iter().filter_map(|id| self.state.ledger.part(id));
        parts.all(crate::ledger::Part::is_settled)
    }

    /// Whether only Workflows are left that another round would not recover.
    fn stuck(&self, ids: &[String]) -> Option<String> {
        let mut left = 0;
        let mut unmatched = 0;
        for id in ids {
            let state = self.state.step(id);
            if state.claimed > 0 || count(&state.output, "waiting") > 0 {
                return None;
            }
            // Nothing runs there any more: what is left over holds nothing up.
            if state.output.get("running").is_some() && count(&state.output, "running") == 0 {
                return None;
            }
            let part = self.state.ledger.part(id);
            left += part.map_or(0, |part| part.left.len() as u64);
            unmatched += state
                .unmatched
                .values()
                .map(|leftover| leftover.count)
                .sum::<u64>();
            if part.is_some_and(|part| !part.is_settled()) {
                return None;
            }
        }
        // Skipped rows hold a loop up as refused Workflows do.
        if left + unmatched == 0 && self.state.flags.skip_rows.is_empty() {
            return None;
        }
        Some(format!(
            "Only Workflows are left that another round would not recover: {left} refused or failed, {unmatched} in no row."
        ))
    }

    /// Output as it stands, for a step that ends early.
    pub(crate) fn current_output(&self, id: &str) -> Value {
        match self.subject_of(id) {
            Some(Subject::Decision | Subject::Workflow) => self.batch_output(id),
            _ => self.blank_output(id),
        }
    }
}

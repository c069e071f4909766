//! Steps that are one call of an action on the service.
//!
//! Pure. A service action is observed first; it writes only where the observation says that something
//! is to be changed, and is observed again afterwards: that is its settling, too, since all of them are
//! idempotent. So a second run asks nothing where nothing is to be done.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::{Act, Effect, Machine, Observation, Problem};
use crate::approval::Permit;
use crate::decision::Table;
use crate::record::{Body, Place, Question, StepStatus, Terms};

/// Pause before a pending state is looked at again.
const POLL: SignedDuration = SignedDuration::from_secs(5);
/// How long a Version's deletion waits for its pollers where the step does not say.
const POLLERS: Duration = Duration::from_secs(15 * 60);
/// How long a batch job is waited for where the step does not say.
const BATCH: Duration = Duration::from_secs(60 * 60);

/// What a yes to a step's action is given for. A step that wants a word gives its yes for that word.
pub(super) fn terms_of(action: &str, with: &Value, word: Option<&str>) -> Terms {
    let what = json!({ "action": action, "with": with, "word": word });
    Terms::of(&what, BTreeSet::new())
}

impl Machine {
    pub(super) fn work_service(&mut self, place: &Place) -> Vec<Effect> {
        if self.memory.calling.contains(&place.step) || self.memory.asking.is_some() {
            return Vec::new();
        }
        let with = match self.arguments(&place.step) {
            Ok(with) => with,
            Err(error) => {
                self.end_unknown(place, &error);
                return Vec::new();
            }
        };
        let action = self.action_name(&place.step);
        if let Some((_, due)) = self
            .memory
            .tries
            .get(place)
            .filter(|(_, due)| *due > self.now)
        {
            let reason = self.state.step(&place.step).polled.clone();
            return vec![Effect::Wait {
                until: *due,
                reason,
            }];
        }
        let Some(observation) = self.memory.observed.get(place).cloned() else {
            if action == "decision.evaluate" {
                return self.evaluate(place, &with);
            }
            self.memory.calling.insert(place.step.clone());
            return vec![Effect::Observe {
                place: place.clone(),
                action,
                with,
            }];
        };
        self.after_observation(place, action, with, observation)
    }

    fn after_observation(
        &mut self,
        place: &Place,
        action: String,
        with: Value,
        observation: Observation,
    ) -> Vec<Effect> {
        if observation.changes.is_empty() && self.state.step(&place.step).acting {
            // Its process died before the answer came; looking again has settled it.
            self.emit(Body::Acted {
                place: place.clone(),
                error: String::new(),
                again: false,
            });
        }
        if observation.changes.is_empty() && observation.pending.is_none() {
            let output = self.accumulate(&place.step, observation.output);
            let status = if self.dry {
                StepStatus::Rehearsed
            } else {
                StepStatus::Succeeded
            };
            let message = if self.dry { "no change" } else { "" };
            self.end(place, status, output, message);
            return Vec::new();
        }
        if self.dry {
            let what = if observation.changes.is_empty() {
                format!("would wait: {}", observation.pending.unwrap_or_default())
            } else {
                format!(
                    "would change {}: {}",
                    observation.changes.len(),
                    observation.changes.join("; ")
                )
            };
            self.end(place, StepStatus::Rehearsed, Value::Null, &what);
            return Vec::new();
        }
        if let Some(reason) = observation.pending {
            self.poll(place, &reason, &with);
            // What it waits for may be the same as before, and then nothing was written down.
            return self.next_poll(place);
        }
        if self.memory.declined.contains(&place.step) {
            let output = self.blank_output(&place.step);
            self.end(place, StepStatus::Halted, output, "It was declined.");
            return Vec::new();
        }
        let word = match self.word(&place.step) {
            Ok(word) => word,
            Err(error) => {
                self.end_unknown(place, &error);
                return Vec::new();
            }
        };
        let terms = terms_of(&action, &with, word.as_deref());
        let Some(act) = self.permit_to_act(place, &terms, Act { action, with }) else {
            let question = Question::Changes {
                changes: observation.changes,
                equivalents: observation.equivalents,
            };
            let terms = BTreeMap::from([(place.step.clone(), terms)]);
            return self.ask(place, question, terms, word, true);
        };
        self.memory.observed.remove(place);
        self.memory.calling.insert(place.step.clone());
        self.emit(Body::Acting {
            place: place.clone(),
            changes: observation.changes,
            counts: observation.counts,
        });
        vec![Effect::Act {
            place: place.clone(),
            act,
        }]
    }

    fn evaluate(&mut self, place: &Place, with: &Value) -> Vec<Effect> {
        let names: Vec<String> = with
            .get("decisions")
            .and_then(Value::as_array)
            .map(|names| {
                names
                    .iter()
                    .filter_map(Value::as_str)
                    .map(ToOwned::to_owned)
                    .collect()
            })
            .unwrap_or_default();
        let scope = self.scope();
        let tables: Result<Vec<_>, _> = names
            .iter()
            .map(|name| Table::prepare(&self.runbook, name, &scope).map(Arc::new))
            .collect();
        match tables {
            Ok(tables) => {
                self.memory.calling.insert(place.step.clone());
                vec![Effect::Evaluate {
                    place: place.clone(),
                    tables,
                }]
            }
            Err(error) => {
                self.end_unknown(place, &error);
                Vec::new()
            }
        }
    }

    /// Granted itself, or covered by what another step was granted: the same action with the same arguments. What
    /// wants its own word is covered by nothing else.
    fn permit_to_act(&self, place: &Place, terms: &Terms, act: Act) -> Option<Permit<Act>> {
        let own = &self.state.step(&place.step).grant;
        let step = self.step_model(&place.step);
        let confirmed = step.confirm.is_some() || !step.agreement.is_plain();
        if confirmed || own.covers(terms, self.now).is_ok() {
            return own.whole(terms, act, self.now).ok();
        }
        let others = self.runbook.all_steps().into_iter();
        let mut others = others.map(|step| &self.state.step(&step.id).grant);
        let grant = others.find(|grant| grant.covers(terms, self.now).is_ok())?;
        grant.whole(terms, act, self.now).ok()
    }

    /// The word that must be typed for a step, rendered.
    pub(super) fn word(&self, id: &str) -> Result<Option<String>, crate::runbook::EvalError> {
        let Some(confirm) = &self.step_model(id).confirm else {
            return Ok(None);
        };
        let confirm = Value::String(confirm.clone());
        let word = self.runbook.render(&confirm, &self.scope())?;
        Ok(Some(
            word.as_str()
                .map_or_else(|| word.to_string(), ToOwned::to_owned),
        ))
    }

    /// Not yet: waits, or gives up.
    fn poll(&mut self, place: &Place, reason: &str, with: &Value) {
        let given = |name: &str| crate::schema::interval(with.get(name)?.as_str()?);
        let limit = match self.action_of(&place.step) {
            Some(("batch.wait", _)) => given("timeout").unwrap_or(BATCH),
            _ => given("wait_for_pollers").unwrap_or(POLLERS),
        };
        let elapsed = self.state.elapsed(&place.step, self.now);
        if elapsed >= SignedDuration::try_from(limit).unwrap_or(SignedDuration::MAX) {
            let output = self.blank_output(&place.step);
            self.end(
                place,
                StepStatus::Failed,
                output,
                &format!("Gave up after {}s: {reason}", elapsed.as_secs()),
            );
            return;
        }
        if self.state.step(&place.step).polled != reason {
            self.emit(Body::Polled {
                place: place.clone(),
                status: reason.to_owned(),
            });
        }
        self.memory.observed.remove(place);
        let tries = self.memory.tries.get(place).map_or(0, |(tries, _)| *tries);
        self.memory
            .tries
            .insert(place.clone(), (tries, self.now + POLL));
    }

    fn next_poll(&self, place: &Place) -> Vec<Effect> {
        let due = self.memory.tries.get(place).map(|(_, due)| *due);
        let until = due.filter(|due| *due > self.now);
        let reason = &self.state.step(&place.step).polled;
        let wait = |until| Effect::Wait {
            until,
            reason: reason.clone(),
        };
        until.map(wait).into_iter().collect()
    }

    pub(super) fn observed(&mut self, place: &Place, result: Result<Observation, Problem>) {
        self.memory.calling.remove(&place.step);
        match result {
            Ok(observation) => {
                self.memory.observed.insert(place.clone(), observation);
            }
            Err(problem) => self.try_again(place, &problem),
        }
    }

    pub(super) fn acted(&mut self, place: &Place, result: Result<(), Problem>) {
        self.memory.calling.remove(&place.step);
        match result {
            Ok(()) => self.emit(Body::Acted {
                place: place.clone(),
                error: String::new(),
                again: false,
            }),
            Err(problem) => {
                let again = problem.transient || problem.not_yet;
                self.emit(Body::Acted {
                    place: place.clone(),
                    error: problem.message.clone(),
                    again,
                });
                if problem.not_yet {
                    let with = self.arguments(&place.step).unwrap_or_default();
                    self.poll(place, &problem.message, &with);
                } else {
                    self.try_again(place, &problem);
                }
            }
        }
    }

    /// The step whose change a dry run did not make, where that may be what a write is refused for.
    fn unknown_in_dry_run(&self, place: &Place, problem: &Problem) -> Option<String> {
        let (action, _) = self.action_of(&place.step)?;
        let writes = crate::catalog::find(action)?.effect.writes();
        if !self.dry || !writes || problem.transient {
            return None;
        }
        let steps = self.runbook.all_steps();
        let changed = steps
            .iter()
            .find(|step| step.id != place.step && self.state.step(&step.id).unknown);
        changed.map(|step| step.id.clone())
    }

    /// A transient failure is tried again as `retry` says; another one ends the step.
    /// Whether one more failure ends the step.
    pub(super) fn gives_up(&self, place: &Place, problem: &Problem) -> bool {
        let tries = self.memory.tries.get(place).map_or(0, |(tries, _)| *tries) + 1;
        !problem.transient || tries >= self.step_model(&place.step).retry.attempts
    }

    pub(super) fn try_again(&mut self, place: &Place, problem: &Problem) {
        let retry = self.step_model(&place.step).retry;
        let tries = self.memory.tries.get(place).map_or(0, |(tries, _)| *tries) + 1;
        if let Some(step) = self.unknown_in_dry_run(place, problem) {
            let message = format!("unknown until {step}; now: {}", problem.message);
            self.end(place, StepStatus::Rehearsed, Value::Null, &message);
            return;
        }
        if !problem.transient || tries >= retry.attempts {
            let output = self.current_output(&place.step);
            self.end(place, StepStatus::Failed, output, &problem.message);
            return;
        }
        let backoff = retry
            .backoff
            .saturating_mul(2u32.saturating_pow(tries - 1))
            .min(retry.max_backoff);
        let due = self.now + SignedDuration::try_from(backoff).unwrap_or(POLL);
        self.emit(Body::Polled {
            place: place.clone(),
            status: format!("try {tries} failed: {}", problem.message),
        });
        self.memory.tries.insert(place.clone(), (tries, due));
    }
}

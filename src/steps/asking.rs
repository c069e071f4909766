//! Questions: put, answered by a flag or by people, and what follows from it.
//!
//! Pure. A question that one yes answers has one record for it. Where more must agree, each yes is a record of its own
//! ([`Body::Approved`]), and the last one answers; what was cast for an earlier question counts while the same is
//! asked ([`super::state::State::ballot`]). One no answers no.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{Effect, Machine, apply, manual, state};
use crate::approval::{Ballot, LIFETIME, Reply};
use crate::record::{Answer, Body, Place, Question, Terms, Through, Witness};
use crate::runbook::Agreement;

impl Machine {
    /// Puts a question, or answers it where a flag, or what people said before, does.
    pub(crate) fn ask(
        &mut self,
        place: &Place,
        what: Question,
        terms: BTreeMap<String, Terms>,
        word: Option<String>,
        planned_ok: bool,
    ) -> Vec<Effect> {
        if self.memory.asking.is_some() || self.memory.declined.contains(&place.step) {
            return Vec::new();
        }
        let question = self.state.questions + 1;
        let agreement = match what {
            // It grants nothing.
            Question::Canary { .. } => Agreement::default(),
            _ => self.step_model(&place.step).agreement,
        };
        self.emit(Body::Asked {
            question,
            place: place.clone(),
            what: Box::new(what.clone()),
            terms,
            agreement,
        });
        self.memory.asking = Some(question);
        self.memory.word.clone_from(&word);
        if self.conclude(question) {
            return Vec::new();
        }
        let given = self.state.flags.confirm.get(&place.step);
        let agreed = match &word {
            Some(word) => given == Some(word),
            None => {
                (self.state.flags.yes && planned_ok) || given.is_some_and(|given| given == "yes")
            }
        };
        // No flag enters what only a person knows.
        let filled = manual::form_of(&what, &Map::new()).is_ok();
        let by = self.state.starter(Through::Flag);
        if agreed && filled && self.ballot(question).admits(&by).is_ok() {
            let (note, form) = (String::new(), Map::new());
            self.answered(question, Reply::Yes { by, note, form });
        }
        self.put().into_iter().collect()
    }

    /// The open question, to be put to whoever may answer it; none where it is answered.
    fn put(&mut self) -> Option<Effect> {
        self.memory.put_again = false;
        let question = self.memory.asking?;
        let asked = self.state.asked.get(&question)?;
        Some(Effect::Ask {
            question,
            place: asked.place.clone(),
            what: asked.what.clone(),
            word: self.memory.word.clone(),
        })
    }

    /// The question that somebody agreed to, for those who still have to.
    pub(super) fn put_again(&mut self) -> Option<Effect> {
        self.memory.put_again.then(|| self.put()).flatten()
    }

    /// How a question stands now.
    pub fn ballot(&self, question: u32) -> Ballot {
        self.state.ballot(question, self.now)
    }

    /// What is waited for where a question is open: whose answer.
    pub fn waits_for_answer(&self) -> Option<String> {
        let question = self.memory.asking?;
        let place = &self.state.asked.get(&question)?.place;
        let ballot = self.ballot(question);
        let how = match ballot.is_plain() {
            true => String::new(),
            false => format!(": {}", ballot.words()),
        };
        Some(format!(
            "an answer to question {question} (step `{}`){how}",
            place.step
        ))
    }

    pub(super) fn answered(&mut self, question: u32, reply: Reply) {
        if self.memory.asking != Some(question) {
            return;
        }
        let Some(asked) = self.state.asked.get(&question).cloned() else {
            return;
        };
        match reply {
            Reply::Yes { by, note, form } => self.agreed(question, &asked, by, note, form),
            Reply::No { by } => {
                self.memory.asking = None;
                self.memory.declined.insert(asked.place.step.clone());
                self.memory.halt = Some("it was declined".to_owned());
                self.declined(question, by);
            }
            Reply::Nobody => {
                let why = match self.ballot(question) {
                    ballot if ballot.is_plain() => "nobody is there to answer".to_owned(),
                    ballot => format!("it has {}", ballot.words()),
                };
                self.park_at(&asked, &why);
            }
            Reply::Interrupted => self.stop("Ctrl-C"),
        }
    }

    /// The run parks, and its question stays open.
    fn park_at(&mut self, asked: &state::Asked, why: &str) {
        self.memory.asking = None;
        let reason = format!("step `{}` asks, and {why}", asked.place.step);
        self.memory.parking.get_or_insert(reason);
    }

    /// One person's yes.
    fn agreed(
        &mut self,
        question: u32,
        asked: &state::Asked,
        by: Witness,
        note: String,
        form: Map<String, Value>,
    ) {
        if let Err(barred) = self.ballot(question).admits(&by) {
            self.park_at(asked, &barred.to_string());
            return;
        }
        let form = match self.entered(question, asked, &form) {
            Ok(form) => form,
            Err(problem) => {
                self.memory.asking = None;
                let step = &asked.place.step;
                let reason = format!("step `{step}` has a form to fill in: {problem}");
                self.memory.parking.get_or_insert(reason);
                return;
            }
        };
        if !asked.agreement.is_plain() {
            self.approve(question, asked, by, note, form);
            self.memory.put_again = !self.conclude(question);
            return;
        }
        let (grants, until) = (
            self.grants_for(&asked.what, by.through),
            self.now + LIFETIME,
        );
        self.concluded(question, asked, by, grants, until, note, form);
    }

    /// What the form holds, with what those entered who agreed before.
    ///
    /// # Errors
    /// What is missing, wrong, or other than before, in words.
    pub(crate) fn entered(
        &self,
        question: u32,
        asked: &state::Asked,
        form: &Map<String, Value>,
    ) -> Result<Map<String, Value>, String> {
        manual::form_with(&asked.what, &self.ballot(question).form(), form)
    }

    /// Writes one person's yes down, which does not answer the question by itself.
    pub(crate) fn approve(
        &mut self,
        question: u32,
        asked: &state::Asked,
        by: Witness,
        note: String,
        form: Map<String, Value>,
    ) {
        let grants = self.grants_for(&asked.what, by.through);
        self.emit(Body::Approved {
            question,
            by,
            grants,
            expires: self.now + LIFETIME,
            note,
            form,
        });
    }

    /// Answers the question where enough people agreed.
    fn conclude(&mut self, question: u32) -> bool {
        let ballot = self.ballot(question);
        let Some(asked) = self.state.asked.get(&question).cloned() else {
            return false;
        };
        let (Some(last), Some(until), 0) = (ballot.votes.last(), ballot.until(), ballot.missing())
        else {
            return false;
        };
        let Ok(form) = self.entered(question, &asked, &Map::new()) else {
            return false;
        };
        let (by, grants, note) = (last.witness.clone(), ballot.grants(), ballot.note());
        self.concluded(question, &asked, by, grants, until, note, form);
        true
    }

    #[allow(clippy::too_many_arguments)] // a record's fields
    fn concluded(
        &mut self,
        question: u32,
        asked: &state::Asked,
        by: Witness,
        grants: BTreeMap<String, u64>,
        expires: Timestamp,
        note: String,
        form: Map<String, Value>,
    ) {
        self.memory.asking = None;
        self.emit(Body::Answered {
            question,
            answer: Answer::Yes,
            by: by.name,
            from: by.from,
            means: by.through,
            grants,
            expires,
            note,
            form,
        });
        self.memory
            .held
            .retain(|_, held| held.why != apply::Why::Grant);
        self.granted(&asked.place, &asked.what);
    }

    /// Writes one person's no down.
    pub(crate) fn declined(&mut self, question: u32, by: Witness) {
        self.emit(Body::Answered {
            question,
            answer: Answer::No,
            by: by.name,
            from: by.from,
            means: by.through,
            grants: BTreeMap::new(),
            expires: self.now,
            note: String::new(),
            form: Map::new(),
        });
    }

    /// The word that a question wants, as it is now.
    ///
    /// # Errors
    /// Where the expression cannot be evaluated.
    pub fn word_of(&self, question: u32) -> Result<Option<String>, String> {
        match self.state.asked.get(&question) {
            Some(asked) if !matches!(asked.what, Question::Canary { .. }) => {
                let word = self.word(&asked.place.step);
                word.map_err(|error| error.to_string())
            }
            _ => Ok(None),
        }
    }

    /// An answer to a run that is parked for `reason`, or was stopped, and stays so. That it counts was found out before.
    pub fn vote(&mut self, question: u32, reply: &Reply, reason: &str, now: Timestamp) {
        self.now = now;
        let Some(asked) = self.state.asked.get(&question).cloned() else {
            return;
        };
        let reason = match reply.clone() {
            Reply::Yes { by, note, form } => {
                let form = self.entered(question, &asked, &form).unwrap_or(form);
                self.approve(question, &asked, by, note, form);
                let words = self.ballot(question).words();
                format!("step `{}` asks, and it has {words}", asked.place.step)
            }
            Reply::No { by } => {
                let reason = format!("{by} said no at step `{}`", asked.place.step);
                self.declined(question, by);
                reason
            }
            Reply::Nobody | Reply::Interrupted => reason.to_owned(),
        };
        self.emit(Body::Parked { reason });
    }
}

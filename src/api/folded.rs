//! A run as GetRun tells it: the fold of its journal, kept between calls so that each record is read once.
//!
//! What is open, and who agreed to it, is told from the records alone; where the run is this process's own, its desk
//! knows better ([`super::service`]).

use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;

use super::{v1, view};
use crate::journal;
use crate::record::{Body, Place, Question, Record, Terms, Witness};
use crate::report::{Report, question_in_short};
use crate::runbook::Agreement;

/// The runs that were asked for last.
pub(super) type Folds = journal::Folds<Folded>;

/// One run.
#[derive(Default)]
pub(super) struct Folded {
    report: Report,
    first: Option<Record>,
    last_seq: u64,
    asked: BTreeMap<u32, Asked>,
    votes: Vec<Vote>,
    answers: Vec<v1::Answered>,
}

struct Asked {
    place: Place,
    at: Timestamp,
    what: Question,
    terms: BTreeMap<String, Terms>,
    agreement: Agreement,
}

#[derive(Clone)]
struct Vote {
    question: u32,
    by: Witness,
    at: Timestamp,
    expires: Timestamp,
}

impl journal::Fold for Folded {
    fn take_in(&mut self, record: Record) {
        self.report.apply(&record);
        self.last_seq = record.seq;
        let at = record.at;
        match &record.body {
            Body::Asked {
                question,
                place,
                what,
                terms,
                agreement,
            } => {
                let asked = Asked {
                    place: place.clone(),
                    at,
                    what: (**what).clone(),
                    terms: terms.clone(),
                    agreement: *agreement,
                };
                self.asked.insert(*question, asked);
            }
            Body::Approved {
                question,
                by,
                expires,
                ..
            } => self.votes.push(Vote {
                question: *question,
                by: by.clone(),
                at,
                expires: *expires,
            }),
            Body::Answered {
                question,
                answer,
                by,
                from,
                means,
                ..
            } => {
                let witness = Witness {
                    name: by.clone(),
                    from: from.clone(),
                    through: *means,
                };
                let votes = self.votes.iter().filter(|vote| vote.question == *question);
                self.answers.push(v1::Answered {
                    question: *question,
                    answer: view::answer(*answer).into(),
                    witness: Some(view::witness(&witness)),
                    at: Some(view::time(at)),
                    votes: votes.map(Vote::view).collect(),
                });
                self.asked.remove(question);
            }
            _ => {}
        }
        if self.first.is_none() {
            self.first = Some(record);
        }
    }
}

impl Folded {
    /// The whole answer to GetRun.
    pub(super) fn view(&self, path: &Path, now: Timestamp) -> v1::GetRunResponse {
        let running = journal::running(path);
        let holder = running.clone().flatten().map(|holder| holder.to_string());
        let run = self.first.as_ref().map(|first| v1::Run {
            holder: holder.unwrap_or_default(),
            ..view::run(&self.report, path, running.is_some(), first, self.last_seq)
        });
        let open = run.as_ref().is_some_and(|run| waits(run.state()));
        v1::GetRunResponse {
            run,
            steps: self.report.steps.iter().map(view::step).collect(),
            question: self.question(now).filter(|_| open),
            answers: self.answers.clone(),
        }
    }

    /// The answer to a question, if there is one.
    pub(super) fn answered(&self, question: u32) -> Option<v1::Answered> {
        let mut answers = self.answers.iter();
        answers.find(|answer| answer.question == question).cloned()
    }

    /// Who agreed to a question so far.
    pub(super) fn votes(&self, question: u32, now: Timestamp) -> Vec<v1::Vote> {
        let votes = self.votes.iter();
        let counts = |vote: &&Vote| vote.question == question && vote.expires > now;
        votes.filter(counts).map(Vote::view).collect()
    }

    /// How many people must agree to a question.
    pub(super) fn wanted(&self, question: u32) -> u32 {
        self.asked
            .get(&question)
            .map_or(1, |asked| asked.agreement.by)
    }

    /// The latest question that has no answer, of a step that has not ended since.
    fn question(&self, now: Timestamp) -> Option<v1::Question> {
        let (number, asked) = self.asked.last_key_value()?;
        let step = self.report.step(&asked.place.step)?;
        if step.status.is_some() {
            return None;
        }
        let word = self.report.word(&asked.place.step);
        Some(v1::Question {
            number: *number,
            step: asked.place.step.clone(),
            iteration: asked.place.iteration,
            title: step.title.clone(),
            asked: Some(view::time(asked.at)),
            terms: terms(&asked.terms),
            word: word.unwrap_or_default(),
            votes: self.votes(*number, now),
            wanted: asked.agreement.by,
            not_starter: asked.agreement.not_starter,
            ..question_of(&asked.what)
        })
    }
}

impl Vote {
    fn view(&self) -> v1::Vote {
        v1::Vote {
            question: self.question,
            witness: Some(view::witness(&self.by)),
            at: Some(view::time(self.at)),
        }
    }
}

fn waits(state: v1::RunState) -> bool {
    use v1::RunState as S;
    matches!(state, S::Running | S::Parked | S::Interrupted | S::Stopped)
}

/// What is asked, without who asks it.
pub(super) fn question_of(what: &Question) -> v1::Question {
    v1::Question {
        summary: question_in_short(what),
        rows: view::rows(what),
        form: view::form(what),
        json: serde_json::to_string(what).unwrap_or_default(),
        ..v1::Question::default()
    }
}

/// What a yes is given for.
pub(super) fn terms(terms: &BTreeMap<String, Terms>) -> std::collections::HashMap<String, String> {
    let terms = terms.iter();
    terms
        .map(|(name, terms)| (name.clone(), terms.digest.clone()))
        .collect()
}

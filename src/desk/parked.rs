//! An answer to a run that nobody carries out: it is written to the run's journal, and counts when it is resumed.
//!
//! The journal is locked meanwhile, so nobody else writes to it. What the answer is for is found out from the journal
//! alone, as a run that is resumed finds it out.

use std::path::Path;

use jiff::Timestamp;

use super::{Refusal, Standing, Submission, check};
use crate::journal::{ErrorKind, Journal, JournalError, Opened};
use crate::record::{Answer, Body, Record, RunStatus};
use crate::run::Asking;
use crate::run::begin::machine_of;
use crate::steps::Machine;

/// Writes an answer to the run at `path`, which is parked or was stopped at a question, and runs nowhere.
///
/// # Errors
/// As [`Parked::recall`] and [`Parked::vote`].
pub fn vote_while_parked(
    path: &Path,
    submission: Submission,
    now: Timestamp,
) -> Result<Standing, Refusal> {
    Parked::recall(|each| Journal::open(path, each))?.vote(submission, now)
}

/// A run that is parked or was stopped, and that nobody carries out: its journal is locked for as long as this is here.
pub struct Parked {
    machine: Machine,
    journal: Journal,
    /// Why it is parked.
    reason: String,
}

impl Parked {
    /// Folds the journal that `open` opens; each of its records goes to what `open` is given.
    ///
    /// # Errors
    /// Somebody carries the run out, or it is not parked.
    pub fn recall(
        open: impl FnOnce(&mut dyn FnMut(Record)) -> Result<Opened, JournalError>,
    ) -> Result<Self, Refusal> {
        let mut machine: Option<Result<Machine, String>> = None;
        let mut last = None;
        let opened = open(&mut |record| {
            match &mut machine {
                None => machine = Some(machine_of(&record, |_, kept| Ok(kept))),
                Some(Ok(folded)) => {
                    if let Err(error) = folded.fold(&record) {
                        machine = Some(Err(error));
                    }
                }
                Some(Err(_)) => {}
            }
            last = Some(record.body);
        });
        let opened = opened.map_err(|error| match &error.kind {
            ErrorKind::Locked { holder } => {
                let holder = holder.as_ref().map(ToString::to_string);
                Refusal::Held(holder.unwrap_or_else(|| "another process".to_owned()))
            }
            _ => Refusal::Journal(error.to_string()),
        })?;
        let machine = match machine {
            Some(machine) => machine.map_err(Refusal::Journal)?,
            None => return Err(Refusal::Journal("the journal is empty".to_owned())),
        };
        let reason = match last {
            Some(Body::Parked { reason }) => reason,
            Some(Body::Interrupted { signal, .. }) => format!("it was stopped by {signal}"),
            _ if machine.state().ended == Some(RunStatus::Succeeded) => {
                return Err(Refusal::Over("the run has ended".to_owned()));
            }
            _ => {
                let why = "the run is not parked at a question: resume it";
                return Err(Refusal::Over(why.to_owned()));
            }
        };
        Ok(Self {
            machine,
            journal: opened.journal,
            reason,
        })
    }

    /// The question that it asks.
    pub fn question(&self) -> Option<u32> {
        self.machine.state().open
    }

    /// Writes an answer.
    ///
    /// A yes counts when the run is resumed, if the same is asked then and it has not expired. A no takes back what
    /// others agreed to: whoever resumes is asked anew.
    ///
    /// # Errors
    /// Why it is not taken: the run asks nothing or something else, or the answer does not count.
    pub fn vote(mut self, submission: Submission, now: Timestamp) -> Result<Standing, Refusal> {
        let question = submission.question;
        let asking = asked(&self.machine, question)?;
        let ballot = asking.ballot.clone().at(now);
        let asking = Asking { ballot, ..asking };
        if let Some(vote) = asking.ballot.vote_of(&submission.witness)
            && submission.answer == Answer::Yes
        {
            return super::again(&asking, vote, &submission, false);
        }
        if asking.ballot.missing() == 0 && submission.answer == Answer::Yes {
            let votes = asking.ballot.votes.into_iter();
            return Err(Refusal::Late {
                answer: Answer::Yes,
                by: votes.map(|vote| vote.witness).collect(),
            });
        }
        check(&asking, &submission)?;
        let reply = submission.reply();
        self.machine.vote(question, &reply, &self.reason, now);
        let cannot = |error: JournalError| Refusal::Journal(error.to_string());
        let written = self.journal.append(&self.machine.take_outbox());
        written.map_err(cannot)?;
        let ballot = self.machine.ballot(question);
        Ok(Standing {
            question,
            answer: (submission.answer == Answer::No).then_some(Answer::No),
            by: match submission.answer {
                Answer::Yes => ballot.votes.into_iter().map(|vote| vote.witness).collect(),
                Answer::No => vec![submission.witness],
            },
            wanted: asking.ballot.agreement.by,
            again: false,
        })
    }
}

fn asked(machine: &Machine, question: u32) -> Result<Asking, Refusal> {
    let open = machine.state().open;
    if open != Some(question) {
        return Err(Refusal::Unknown { question, open });
    }
    let service = &machine.plan().survey.preflight;
    let word = machine.word_of(question).map_err(Refusal::Journal)?;
    let (address, namespace) = (&service.address, &service.namespace);
    let asking = Asking::of(machine, question, word, address, namespace);
    asking.ok_or(Refusal::Unknown { question, open })
}

//! An answer to a run that nobody carries out: it is written to the run's journal, and counts when it is resumed.
//!
//! The journal is locked meanwhile, so nobody else writes to it. What the answer is for is found out from the journal
//! alone, as a run that is resumed finds it out.

use std::path::Path;

use jiff::Timestamp;

use super::{Refusal, Standing, Submission, check};
use crate::journal::{ErrorKind, Journal, JournalError};
use crate::record::{Answer, Body, RunStatus};
use crate::run::Asking;
use crate::run::begin::machine_of;
use crate::steps::Machine;

/// Writes an answer to the run at `path`, which is parked or was stopped at a question, and runs nowhere.
///
/// A yes counts when the run is resumed, if the same is asked then and it has not expired. A no takes back what others
/// agreed to: whoever resumes is asked anew.
///
/// # Errors
/// Why it is not taken: somebody carries the run out, it asks nothing or something else, or the answer does not count.
pub fn vote_while_parked(
    path: &Path,
    submission: Submission,
    now: Timestamp,
) -> Result<Standing, Refusal> {
    let (mut machine, mut journal, reason) = recall(path)?;
    let question = submission.question;
    let asking = asked(&machine, question)?;
    let ballot = asking.ballot.clone().at(now);
    if let Some(vote) = ballot.vote_of(&submission.witness)
        && submission.answer == Answer::Yes
    {
        let asking = Asking {
            ballot: ballot.clone(),
            ..asking
        };
        return super::again(&asking, vote, &submission, false);
    }
    let asking = Asking { ballot, ..asking };
    check(&asking, &submission)?;
    machine.vote(question, &submission.reply(), &reason, now);
    let cannot = |error: JournalError| Refusal::Journal(error.to_string());
    journal.append(&machine.take_outbox()).map_err(cannot)?;
    let ballot = machine.ballot(question);
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

/// Locks the journal and folds it; with why the run is parked.
fn recall(path: &Path) -> Result<(Machine, Journal, String), Refusal> {
    let mut machine: Option<Result<Machine, String>> = None;
    let mut last = None;
    let opened = Journal::open(path, |record| {
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
    match last {
        Some(Body::Parked { reason }) => Ok((machine, opened.journal, reason)),
        Some(Body::Interrupted { signal, .. }) => {
            let reason = format!("it was stopped by {signal}");
            Ok((machine, opened.journal, reason))
        }
        _ if machine.state().ended == Some(RunStatus::Succeeded) => {
            Err(Refusal::Over("the run has ended".to_owned()))
        }
        _ => Err(Refusal::Over(
            "the run is not parked at a question: resume it".to_owned(),
        )),
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

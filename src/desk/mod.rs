//! Where a run and whoever answers it from elsewhere meet: the question that is open, and who may answer it.
//!
//! A [`Desk`] is an [`Operator`] for the run, and a place to leave an answer for everybody else: a socket, a page. What
//! was left is taken once it is durable, and refused with a reason else; the desk learns of that from the run's records
//! ([`Desk::observe`]). Knows nothing of networks, nor how a [`Witness`]' name was proved.
//!
//! The first answer stands. The same answer by the same person again is accepted, any other is refused. While more
//! people must agree, whoever agreed may still say no: that stops something, and nothing is lost by it.

mod parked;
mod refusal;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Map, Value};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::{oneshot, watch};

pub use parked::{Parked, vote_while_parked};
pub use refusal::Refusal;

use crate::approval::Vote;
use crate::clock::Clock;
use crate::record::{Answer, Body, Record, Witness};
use crate::run::{Asking, Interrupts, Operator, Reply, Stop};
use crate::steps::manual;

/// An answer from elsewhere.
#[derive(Clone, Debug, PartialEq)]
pub struct Submission {
    /// The question's number.
    pub question: u32,
    /// Yes or no.
    pub answer: Answer,
    /// The word that was typed, where the question wants one.
    pub word: Option<String>,
    /// What is noted with it.
    pub note: String,
    /// Values of the form, where there is one.
    pub form: Map<String, Value>,
    /// Who.
    pub witness: Witness,
}

/// How a question stands after somebody's answer was taken.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// The question.
    pub question: u32,
    /// Its answer; none while more people must agree.
    pub answer: Option<Answer>,
    /// Who agreed, or the one who said no.
    pub by: Vec<Witness>,
    /// How many people must agree.
    pub wanted: u32,
    /// Whether the same person had given the same answer before.
    pub again: bool,
}

/// The question that waits for an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenQuestion {
    /// It: number, step, word, terms, and who agreed so far.
    pub asking: Asking,
    /// Whether an answer can be left now; else one was, and is being written down.
    pub takes: bool,
}

/// The meeting place. Clones are the same one.
#[derive(Clone)]
pub struct Desk {
    shared: Arc<Shared>,
}

struct Shared {
    clock: Clock,
    state: Mutex<State>,
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    open: Option<Asking>,
    /// Takes the answer to the open question, once.
    taker: Option<oneshot::Sender<Reply>>,
    /// What the records say of each question.
    known: BTreeMap<u32, Known>,
    /// Why nothing is taken any more.
    over: Option<String>,
    /// Where a wish to stop goes.
    stop: Option<UnboundedSender<Stop>>,
    /// Who asked for the run to stop.
    stopped: Option<Witness>,
}

/// What the records say of a question.
#[derive(Clone, Debug, Default)]
struct Known {
    wanted: u32,
    /// Who agreed, where more than one must.
    votes: Vec<Witness>,
    answer: Option<(Answer, Witness, Map<String, Value>)>,
}

/// What comes of looking at a submission once.
enum Turn {
    Over(Box<Result<Standing, Refusal>>),
    Wait,
}

impl Desk {
    /// With nothing on it. Votes expire by `clock`, which is the run's.
    pub fn new(clock: Clock) -> Self {
        Self {
            shared: Arc::new(Shared {
                clock,
                state: Mutex::default(),
                changes: watch::Sender::new(0),
            }),
        }
    }

    /// The question that waits for an answer, if there is one.
    pub fn open(&self) -> Option<OpenQuestion> {
        let state = self.state();
        let mut asking = state.open.clone()?;
        asking.ballot = asking.ballot.at(self.shared.clock.now());
        Some(OpenQuestion {
            asking,
            takes: state.taker.as_ref().is_some_and(|taker| !taker.is_closed()),
        })
    }

    /// Says when what [`Desk::open`] gives has changed. A receiver that nobody looks at holds nobody up.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }

    /// Leaves an answer, and waits until it is durable or refused. Dropping the future does not take it back.
    ///
    /// # Errors
    /// Why it is not taken; nothing came of it then.
    pub async fn answer(&self, submission: Submission) -> Result<Standing, Refusal> {
        let mut changes = self.changes();
        let mut left = false;
        loop {
            changes.borrow_and_update();
            if let Turn::Over(result) = self.consider(&submission, &mut left) {
                return *result;
            }
            if changes.changed().await.is_err() {
                return Err(Refusal::Over("the run has ended".to_owned()));
            }
        }
    }

    fn consider(&self, submission: &Submission, left: &mut bool) -> Turn {
        let over = |result| Turn::Over(Box::new(result));
        let mut state = self.state();
        let question = submission.question;
        if let Some(known) = state.known.get(&question)
            && let Some(result) = known.judge(submission, *left)
        {
            return over(result);
        }
        if let Some(why) = &state.over {
            let agreed = state.known.get(&question).filter(|_| *left);
            let agreed = agreed.and_then(|known| known.agreed(submission));
            return over(agreed.ok_or_else(|| Refusal::Over(why.clone())));
        }
        let Some(asking) = state.open.as_ref().filter(|it| it.question == question) else {
            return match *left {
                true => over(Err(Refusal::Over("the run asks it no longer".to_owned()))),
                false => {
                    let open = state.open.as_ref().map(|asking| asking.question);
                    over(Err(Refusal::Unknown { question, open }))
                }
            };
        };
        let mut now = asking.clone();
        now.ballot = now.ballot.at(self.shared.clock.now());
        if let Some(vote) = now.ballot.vote_of(&submission.witness)
            && submission.answer == Answer::Yes
        {
            return over(again(&now, vote, submission, *left));
        }
        if state.taker.as_ref().is_none_or(|taker| taker.is_closed()) {
            return Turn::Wait;
        }
        if let Err(refusal) = check(&now, submission) {
            return over(Err(refusal));
        }
        if *left {
            return over(Err(Refusal::Over("the run did not take it".to_owned())));
        }
        let taken = state
            .taker
            .take()
            .map(|taker| taker.send(submission.reply()));
        *left = matches!(taken, Some(Ok(())));
        self.bump();
        Turn::Wait
    }

    /// Stops the run as Ctrl-C does: nothing new is started, calls in flight end, and the run can be resumed. Once it
    /// stops, further wishes change nothing.
    ///
    /// # Errors
    /// [`Refusal::Over`] where it has ended.
    pub fn stop(&self, witness: &Witness) -> Result<(), Refusal> {
        let mut state = self.state();
        if state.stopped.is_some() {
            return Ok(());
        }
        if let Some(why) = &state.over {
            return Err(Refusal::Over(why.clone()));
        }
        let sent = state
            .stop
            .as_ref()
            .map(|stop| stop.send(Stop::Asked(witness.clone())));
        match sent {
            Some(Ok(())) => {
                state.stopped = Some(witness.clone());
                Ok(())
            }
            _ => Err(Refusal::Over("the run does not take it".to_owned())),
        }
    }

    /// What interrupts the run: the signals, and whoever stops it from elsewhere.
    pub fn joined(&self, mut signals: Interrupts) -> Interrupts {
        let (sender, interrupts) = unbounded_channel();
        self.state().stop = Some(sender.clone());
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    signal = signals.recv() => {
                        let sent = signal.map(|signal| sender.send(signal));
                        if !matches!(sent, Some(Ok(()))) {
                            return;
                        }
                    }
                    () = sender.closed() => return,
                }
            }
        });
        interrupts
    }

    /// Takes in a durable record; also those of before, when a run is resumed.
    pub fn observe(&self, record: &Record) {
        let mut state = self.state();
        match &record.body {
            Body::Attached { .. } => state.over = None,
            Body::Asked {
                question,
                agreement,
                ..
            } => state.known.entry(*question).or_default().wanted = agreement.by,
            Body::Approved { question, by, .. } => {
                let known = state.known.entry(*question).or_default();
                known.votes.push(by.clone());
            }
            Body::Answered {
                question,
                answer,
                by,
                from,
                means,
                form,
                ..
            } => {
                let by = Witness {
                    name: by.clone(),
                    from: from.clone(),
                    through: *means,
                };
                let known = state.known.entry(*question).or_default();
                known.answer = Some((*answer, by, form.clone()));
                state.close(|asking| asking.question == *question);
            }
            Body::StepEnded { place, .. } => state.close(|asking| asking.place.step == place.step),
            Body::Parked { .. } => state.end("the run is parked: resume it"),
            Body::Interrupted { .. } => state.end("the run was stopped: resume it"),
            Body::Ended { .. } => state.end("the run has ended"),
            _ => return,
        }
        self.bump();
    }

    /// Nothing is taken from now on: the process ends.
    pub fn close(&self) {
        self.state().end("the run's process has ended: resume it");
        self.bump();
    }

    fn put(&self, asking: &Asking) -> oneshot::Receiver<Reply> {
        let (taker, reply) = oneshot::channel();
        let mut state = self.state();
        // Also who agreed to an earlier question that asked the same.
        let known = state.known.entry(asking.question).or_default();
        let votes = asking.ballot.votes.iter();
        known.votes = votes.map(|vote| vote.witness.clone()).collect();
        known.wanted = asking.ballot.agreement.by;
        state.open = Some(asking.clone());
        state.taker = Some(taker);
        drop(state);
        self.bump();
        reply
    }

    fn bump(&self) {
        self.shared.changes.send_modify(|changes| *changes += 1);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        let state = self.shared.state.lock();
        state.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Operator for Desk {
    fn ask<'a>(&'a self, asking: &'a Asking) -> BoxFuture<'a, Reply> {
        let reply = self.put(asking);
        async move {
            // Given up here, the question is taken away only by a record: whoever answers meanwhile waits for it.
            let _bump = Bump(self);
            reply.await.unwrap_or(Reply::Nobody)
        }
        .boxed()
    }
}

/// Says, when it is dropped, that something has changed.
struct Bump<'a>(&'a Desk);

impl Drop for Bump<'_> {
    fn drop(&mut self) {
        self.0.bump();
    }
}

impl State {
    fn close(&mut self, is_it: impl Fn(&Asking) -> bool) {
        if self.open.as_ref().is_some_and(is_it) {
            self.open = None;
            self.taker = None;
        }
    }

    fn end(&mut self, why: &str) {
        self.open = None;
        self.taker = None;
        self.over.get_or_insert_with(|| why.to_owned());
    }
}

impl Submission {
    fn reply(&self) -> Reply {
        let by = self.witness.clone();
        match self.answer {
            Answer::Yes => Reply::Yes {
                by,
                note: self.note.clone(),
                form: self.form.clone(),
            },
            Answer::No => Reply::No { by },
        }
    }
}

impl Known {
    /// How it stands with a yes that was written down, where the run stopped before it was asked about again.
    fn agreed(&self, submission: &Submission) -> Option<Standing> {
        let theirs = |it: &Witness| it.is_same_person(&submission.witness);
        let stands = submission.answer == Answer::Yes && self.votes.iter().any(theirs);
        stands.then(|| Standing {
            question: submission.question,
            answer: None,
            by: self.votes.clone(),
            wanted: self.wanted.max(1),
            again: false,
        })
    }

    /// What a submission comes to where the question is answered; none where it is not.
    fn judge(&self, submission: &Submission, left: bool) -> Option<Result<Standing, Refusal>> {
        let (answer, by, form) = self.answer.as_ref()?;
        let mut agreed = self.votes.clone();
        if *answer == Answer::No || agreed.is_empty() {
            agreed = vec![by.clone()];
        }
        let theirs = agreed
            .iter()
            .any(|it| it.is_same_person(&submission.witness));
        if *answer != submission.answer || !theirs {
            return Some(Err(Refusal::Late {
                answer: *answer,
                by: agreed,
            }));
        }
        if differs(&submission.form, form) {
            return Some(Err(Refusal::Conflicting));
        }
        Some(Ok(Standing {
            question: submission.question,
            answer: Some(*answer),
            by: agreed,
            wanted: self.wanted.max(1),
            again: !left,
        }))
    }
}

/// Whether something was entered otherwise than it stands.
fn differs(entered: &Map<String, Value>, stands: &Map<String, Value>) -> bool {
    let mut entered = entered.iter();
    entered.any(|(name, value)| stands.get(name) != Some(value))
}

/// The same person's second yes to a question that others must still agree to.
fn again(
    asking: &Asking,
    vote: &Vote,
    submission: &Submission,
    left: bool,
) -> Result<Standing, Refusal> {
    if differs(&submission.form, &vote.form) {
        return Err(Refusal::Conflicting);
    }
    Ok(Standing {
        question: asking.question,
        answer: None,
        by: asking
            .ballot
            .votes
            .iter()
            .map(|it| it.witness.clone())
            .collect(),
        wanted: asking.ballot.agreement.by,
        again: !left,
    })
}

/// Whether an answer would count: the run finds the same.
///
/// # Errors
/// Why not.
pub fn check(asking: &Asking, submission: &Submission) -> Result<(), Refusal> {
    let who = &submission.witness;
    if who.is_nobody() {
        return Err(Refusal::NotAllowed(crate::approval::Barred::Nameless));
    }
    if submission.answer == Answer::No {
        return Ok(());
    }
    let admitted = asking.ballot.admits(who);
    admitted.map_err(Refusal::NotAllowed)?;
    if let Some(word) = &asking.word
        && submission.word.as_deref().map(str::trim) != Some(word)
    {
        return Err(Refusal::Word { word: word.clone() });
    }
    let before = asking.ballot.form();
    let form = manual::form_with(&asking.what, &before, &submission.form);
    form.map(drop).map_err(Refusal::Form)
}

/// The terminal and the desk at once: the first answer wins, and the other prompt is taken away. Where nobody is at
/// the terminal, the run waits for the desk.
pub struct Together<'a> {
    /// The terminal.
    pub terminal: &'a dyn Operator,
    /// The desk.
    pub desk: &'a Desk,
}

impl Operator for Together<'_> {
    fn ask<'a>(&'a self, asking: &'a Asking) -> BoxFuture<'a, Reply> {
        async move {
            let mut elsewhere = self.desk.ask(asking);
            tokio::select! {
                biased;
                reply = &mut elsewhere => reply,
                reply = self.terminal.ask(asking) => match reply {
                    Reply::Nobody => elsewhere.await,
                    reply => reply,
                },
            }
        }
        .boxed()
    }
}

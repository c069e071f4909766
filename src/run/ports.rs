//! The ports of a run: what it asks, and whom it tells.
//!
//! The loop asks through [`Operator`] and tells through [`Display`]; a terminal, a rehearsal or a test
//! stands behind either, and the loop does not know which.

use std::collections::BTreeMap;
use std::fmt;

use futures::future::BoxFuture;
use jiff::Timestamp;

use crate::approval::Ballot;
use crate::record::{Place, Question, Record, Terms, Witness};
use crate::steps::Machine;

/// A question as it is put to somebody.
#[derive(Clone, Debug, PartialEq)]
pub struct Asking {
    /// Its number in the run, from 1.
    pub question: u32,
    /// The step that asks.
    pub place: Place,
    /// What is asked.
    pub what: Question,
    /// The step's title.
    pub title: String,
    /// The word that must be typed; none where yes is enough.
    pub word: Option<String>,
    /// The service's address.
    pub address: String,
    /// The namespace.
    pub namespace: String,
    /// What a yes is given for.
    pub terms: BTreeMap<String, Terms>,
    /// Who must agree, and who has.
    pub ballot: Ballot,
}

impl Asking {
    /// A question of `machine`; none where it was not asked.
    pub fn of(
        machine: &Machine,
        question: u32,
        word: Option<String>,
        address: &str,
        namespace: &str,
    ) -> Option<Self> {
        let asked = machine.state().asked.get(&question)?;
        let id = &asked.place.step;
        let title = machine.runbook().step(id).and_then(|it| it.title.clone());
        Some(Self {
            question,
            place: asked.place.clone(),
            what: asked.what.clone(),
            title: title.unwrap_or_else(|| id.clone()),
            word,
            address: address.to_owned(),
            namespace: namespace.to_owned(),
            terms: asked.terms.clone(),
            ballot: machine.ballot(question),
        })
    }
}

/// Why a run stops before its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Ctrl-C or another signal, by name. The second one ends the process at once.
    Signal(&'static str),
    /// Somebody asked for it from elsewhere. It never ends the process at once.
    Asked(Witness),
}

impl From<&'static str> for Stop {
    fn from(signal: &'static str) -> Self {
        Self::Signal(signal)
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signal(name) => f.write_str(name),
            Self::Asked(by) => by.fmt(f),
        }
    }
}

pub use crate::approval::Reply;

/// Whoever answers questions.
pub trait Operator: Send + Sync {
    /// Puts one question and waits for its answer.
    fn ask<'a>(&'a self, asking: &'a Asking) -> BoxFuture<'a, Reply>;
}

/// How far things are between two records; may be dropped.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// The step that works.
    pub step: Option<Place>,
    /// Calls in flight.
    pub in_flight: usize,
    /// Writes a second.
    pub rate: f64,
    /// What is waited for, in words.
    pub waiting_for: Option<String>,
    /// Until when, where that is known: the next look, or the next try.
    pub until: Option<Timestamp>,
    /// Now, by the run's clock.
    pub now: Timestamp,
    /// Whether that clock is simulated.
    pub simulated: bool,
}

/// Whoever watches.
pub trait Display: Send {
    /// A record became durable.
    fn record(&mut self, record: &Record);
    /// Time went by.
    fn progress(&mut self, progress: &Progress);
}

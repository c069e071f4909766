//! The ports of a run: what it asks, and whom it tells.
//!
//! The loop asks through [`Operator`] and tells through [`Display`]; a terminal, a rehearsal or a test
//! stands behind either, and the loop does not know which.

use futures::future::BoxFuture;
use jiff::Timestamp;

use crate::record::{Place, Question, Record};

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

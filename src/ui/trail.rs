//! What a display remembers beside the report: the names of Workflows at work, what happened last, and how fast
//! it goes.
//!
//! Pure: a fold of records and of the run's clock. Each record costs the same, however many there were; memory
//! is bounded by what is claimed and not decided yet.

use std::collections::{HashMap, VecDeque};

use jiff::{SignedDuration, Timestamp};

use crate::record::{Body, Ordinal, Outcome, Record, Settlement, Treatment};
use crate::report::{StepReport, Tone};

/// Names that are kept at the most; further Workflows are not told one by one.
const NAMES: usize = 20_000;
/// What happened last: so much of it.
const EVENTS: usize = 6;
/// The rate is that of the last so many seconds.
const WINDOW: SignedDuration = SignedDuration::from_secs(20);
/// Samples are this far apart.
const SAMPLE: SignedDuration = SignedDuration::from_secs(1);
/// Before so much has been seen, nothing is said about the rate.
const LEAST: SignedDuration = SignedDuration::from_secs(3);

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// What it says about how things are.
    pub tone: Tone,
    /// What.
    pub text: String,
}

/// A Workflow at work.
#[derive(Clone, Debug, Default)]
struct AtWork {
    id: String,
    row: String,
    treatment: Option<Treatment>,
}

/// How far a step was at some time.
#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Timestamp,
    decided: u64,
    written: u64,
}

/// How fast a step goes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Speed {
    /// Writes a second.
    pub writes: f64,
    /// Workflows a second that the step is through with.
    pub decided: f64,
}

/// What is remembered.
#[derive(Clone, Debug, Default)]
pub struct Trail {
    at_work: HashMap<Ordinal, AtWork>,
    events: VecDeque<Event>,
    step: String,
    samples: VecDeque<Sample>,
}

impl Trail {
    /// What happened last, the latest at the end.
    pub fn events(&self) -> impl DoubleEndedIterator<Item = &Event> + ExactSizeIterator {
        self.events.iter()
    }

    /// Folds a record in.
    pub fn apply(&mut self, record: &Record) {
        match &record.body {
            Body::Page { claims, .. } => {
                for claim in claims {
                    if self.at_work.len() < NAMES {
                        let id = claim.id.clone();
                        let work = AtWork {
                            id,
                            ..AtWork::default()
                        };
                        self.at_work.insert(claim.ordinal, work);
                    }
                }
            }
            Body::Intent {
                ordinal,
                row,
                treatment,
                ..
            } => {
                if let Some(work) = self.at_work.get_mut(ordinal) {
                    work.row.clone_from(row);
                    work.treatment = Some(*treatment);
                }
            }
            Body::Outcome {
                ordinal,
                row,
                outcome,
            } => self.ended(record.at, *ordinal, row, outcome),
            Body::Settled {
                ordinal,
                settlement,
                evidence,
            } => self.settled(record.at, *ordinal, settlement, evidence),
            Body::Released { ordinal, .. } => {
                self.at_work.remove(ordinal);
            }
            Body::Attached { .. } => self.samples.clear(),
            _ => {}
        }
    }

    fn ended(&mut self, at: Timestamp, ordinal: Ordinal, row: &str, outcome: &Outcome) {
        let Some(work) = self.at_work.remove(&ordinal) else {
            return;
        };
        let row = if row.is_empty() { &work.row } else { row };
        let (tone, what) = match outcome {
            Outcome::Done { .. } => (Tone::Good, done(work.treatment).to_owned()),
            Outcome::Skipped { reason } => (Tone::Plain, format!("skipped: {reason}")),
            Outcome::Refused { message, .. } => (Tone::Warn, format!("refused: {message}")),
            Outcome::Failed { code, message } => (Tone::Bad, format!("failed: {code}: {message}")),
            Outcome::Unknown { code, message } => {
                (Tone::Bad, format!("unknown: {code}: {message}"))
            }
            Outcome::Would { what, .. } => (Tone::Plain, format!("would: {what}")),
        };
        self.happened(at, tone, &work.id, row, &what);
    }

    fn settled(
        &mut self,
        at: Timestamp,
        ordinal: Ordinal,
        settlement: &Settlement,
        evidence: &str,
    ) {
        if *settlement == Settlement::NotDone {
            return;
        }
        let Some(work) = self.at_work.remove(&ordinal) else {
            return;
        };
        match settlement {
            Settlement::Unknown => {
                self.happened(
                    at,
                    Tone::Bad,
                    &work.id,
                    &work.row,
                    &format!("unknown: {evidence}"),
                );
            }
            _ => self.happened(at, Tone::Good, &work.id, &work.row, done(work.treatment)),
        }
    }

    /// What went wrong stays longer than what went well.
    fn happened(&mut self, at: Timestamp, tone: Tone, id: &str, row: &str, what: &str) {
        let row = if row.is_empty() {
            String::new()
        } else {
            format!(" ({row})")
        };
        if self.events.len() == EVENTS {
            let good = |event: &Event| matches!(event.tone, Tone::Good | Tone::Plain);
            let first = self.events.iter().position(good).unwrap_or(0);
            self.events.remove(first);
        }
        let text = format!("{id}{row}: {what}");
        self.events.push_back(Event { at, tone, text });
    }

    /// Takes a sample of how far a step is.
    pub fn sample(&mut self, step: &StepReport, now: Timestamp) {
        if self.step != step.step {
            self.step.clone_from(&step.step);
            self.samples.clear();
        }
        let due = |last: &Sample| now.duration_since(last.at) >= SAMPLE;
        if !self.samples.back().is_none_or(due) {
            return;
        }
        let counts = &step.counts;
        self.samples.push_back(Sample {
            at: now,
            decided: counts.decided() + step.released,
            written: counts.written(),
        });
        // One sample before the window stays: the window is never shorter than it says.
        while self
            .samples
            .get(1)
            .is_some_and(|second| now.duration_since(second.at) >= WINDOW)
        {
            self.samples.pop_front();
        }
    }

    /// How fast the sampled step goes; none before that can be told.
    pub fn speed(&self) -> Option<Speed> {
        let (first, last) = (self.samples.front()?, self.samples.back()?);
        let time = last.at.duration_since(first.at);
        if time < LEAST {
            return None;
        }
        #[allow(clippy::cast_precision_loss)] // a guess
        let of = |after: u64, before: u64| after.saturating_sub(before) as f64 / time.as_secs_f64();
        Some(Speed {
            writes: of(last.written, first.written),
            decided: of(last.decided, first.decided),
        })
    }
}

fn done(treatment: Option<Treatment>) -> &'static str {
    match treatment {
        Some(Treatment::Moved) => "moved",
        Some(Treatment::StartedOver) => "started over",
        Some(Treatment::Undone) => "undone",
        Some(Treatment::Terminated) => "terminated",
        Some(Treatment::Cancelled) => "asked to cancel",
        Some(Treatment::Signalled) => "signalled",
        None => "done",
    }
}

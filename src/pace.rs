//! How fast to write: a budget that is shared with production is felt for, not configured.
//!
//! Additive care, multiplicative retreat: start at [`START_RATE`] and double while the rate is really
//! used, until the service refuses a call or its latency reaches twice the first; from then on retreat to
//! 0.85 of what was accepted (at most once a second) and grow by 3 % a second while all is well.
//! Pure: time is handed in; nothing here sleeps or counts slots. Knows nothing of what is called.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// Writes a second to begin with; also what latency alone never pushes the rate below.
pub const START_RATE: f64 = 20.0;
/// However often the service refuses, one call a second goes on asking.
const LEAST_RATE: f64 = 1.0;
/// How long a rate is used before it is doubled.
const DOUBLE_EVERY: SignedDuration = SignedDuration::from_millis(1_500);
/// How long a rate is used before it grows.
const GROW_EVERY: SignedDuration = SignedDuration::from_secs(1);
/// Growth a second.
const GROWTH: f64 = 1.03;
/// What is left after a retreat.
const RETREAT: f64 = 0.85;
/// At most one retreat in this time, which is also what rates are measured over.
const WINDOW: SignedDuration = SignedDuration::from_secs(1);
/// A rate is used when so much of it was sent in the last window.
const USED: f64 = 0.8;
/// Calls may leave early by so much, so that a late timer costs nothing.
const BURST: SignedDuration = SignedDuration::from_millis(20);
/// Calls' worth of time that a refused write costs beyond its own: between two retreats, the
/// further the rate is above what the service takes, the less is sent.
const PENALTY: i32 = 4;
/// How far ahead penalties may push the next call.
const LONGEST_WAIT: SignedDuration = SignedDuration::from_secs(1);
/// Calls that latency is judged by, at least: those of [`START_RATE`] before it doubles. Fewer scatter
/// by too much to tell load from noise.
const JUDGED_CALLS: usize = 30;
/// Latency that stayed high for so long at the least rate is not this tool's doing.
const RESIGNED: SignedDuration = SignedDuration::from_secs(30);

/// What the service made of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was carried out, or answered in any way but "too many".
    Accepted,
    /// RESOURCE_EXHAUSTED.
    Refused,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Doubling; nothing has gone wrong so far.
    Doubling,
    /// Around what the service can take.
    Feeling,
}

/// Says when the next write may leave.
#[derive(Debug)]
pub struct Pacer {
    most: f64,
    concurrency: u32,
    rate: f64,
    phase: Phase,
    /// When the next call is due at the present rate.
    due: Option<Timestamp>,
    /// Tokens: calls sent, and penalties.
    spent: Window,
    accepted: Window,
    /// Last change of the rate, or last reason not to grow.
    steady_since: Option<Timestamp>,
    retreated: Option<Timestamp>,
    latency: Latency,
}

impl Pacer {
    /// At most `rate` writes a second. `concurrency` is only kept here, for whoever gives out slots.
    pub fn new(rate: f64, concurrency: u32) -> Self {
        let most = rate.max(LEAST_RATE);
        Self {
            most,
            concurrency,
            rate: START_RATE.min(most),
            phase: Phase::Doubling,
            due: None,
            spent: Window::default(),
            accepted: Window::default(),
            steady_since: None,
            retreated: None,
            latency: Latency::default(),
        }
    }

    /// Writes a second at present.
    pub fn rate(&self) -> f64 {
        self.rate
    }

    /// Calls in flight, at most.
    pub fn concurrency(&self) -> u32 {
        self.concurrency
    }

    /// Another step's number of slots.
    pub fn set_concurrency(&mut self, concurrency: u32) {
        self.concurrency = concurrency;
    }

    /// Writes a second that were accepted in the last second.
    pub fn accepted(&mut self, now: Timestamp) -> f64 {
        self.accepted.rate(now)
    }

    /// Another upper limit (`--rate`).
    pub fn set_max(&mut self, rate: f64) {
        self.most = rate.max(LEAST_RATE);
        self.rate = self.rate.min(self.most);
    }

    /// Takes the token for one write that leaves now, or says how long to wait before asking again.
    pub fn take(&mut self, now: Timestamp) -> Result<(), Duration> {
        let due = self.due.unwrap_or(now).max(now);
        let early = due.duration_since(now);
        // Further away than any rate puts it: the clock was set back.
        let clock_set_back = early > BURST + LONGEST_WAIT + LONGEST_WAIT;
        if early > BURST && !clock_set_back {
            return Err(Duration::try_from(early - BURST).unwrap_or_default());
        }
        self.due = Some(if clock_set_back { now } else { due } + self.interval());
        self.spent.add(now);
        Ok(())
    }

    /// A write ended, after `latency`.
    pub fn done(&mut self, now: Timestamp, latency: Duration, verdict: Verdict) {
        match verdict {
            Verdict::Refused => {
                self.retreat(now, LEAST_RATE);
                self.punish(now);
            }
            Verdict::Accepted => {
                self.accepted.add(now);
                self.latency.add(now, latency);
                self.consider(now);
            }
        }
    }

    /// Any call was refused; reads come from the same budget.
    pub fn refused(&mut self, now: Timestamp) {
        self.retreat(now, LEAST_RATE);
    }

    fn punish(&mut self, now: Timestamp) {
        for _ in 0..PENALTY {
            self.spent.add(now);
        }
        let due = self.due.unwrap_or(now).max(now) + self.interval() * PENALTY;
        self.due = Some(due.min(now + LONGEST_WAIT));
    }

    fn interval(&self) -> SignedDuration {
        SignedDuration::from_secs_f64(1.0 / self.rate)
    }

    /// All is well, or latency is not: changes the rate where it is time to.
    fn consider(&mut self, now: Timestamp) {
        if self.latency.is_doubled(now, self.rate <= START_RATE) {
            self.retreat(now, START_RATE);
            return;
        }
        let since = *self.steady_since.get_or_insert(now);
        let steady = now.duration_since(since);
        if steady.is_negative() {
            self.steady_since = Some(now);
        }
        let (wait, factor) = match self.phase {
            Phase::Doubling => (DOUBLE_EVERY, 2.0),
            Phase::Feeling => (GROW_EVERY, GROWTH),
        };
        if steady >= wait {
            self.steady_since = Some(now);
            if self.is_used(now) {
                self.rate = (self.rate * factor).min(self.most);
            }
        }
    }

    fn is_used(&mut self, now: Timestamp) -> bool {
        self.spent.rate(now) >= self.rate * USED
    }

    /// Goes down from what was accepted, where the rate was used so that this says something. Where
    /// nothing at all was accepted, that is an outage and says nothing about a rate.
    fn retreat(&mut self, now: Timestamp, least: f64) {
        self.phase = Phase::Feeling;
        self.steady_since = Some(now);
        if is_recent(self.retreated, now) {
            return;
        }
        self.retreated = Some(now);
        let accepted = self.accepted.rate(now);
        let base = if accepted > 0.0 && self.is_used(now) {
            accepted.clamp(self.rate / 4.0, self.rate)
        } else {
            self.rate
        };
        self.rate = (base * RETREAT).max(least).min(self.rate.max(LEAST_RATE));
    }
}

/// Within the window before `now`; a moment in the future is not (the clock was set back).
fn is_recent(moment: Option<Timestamp>, now: Timestamp) -> bool {
    moment.is_some_and(|then| {
        let ago = now.duration_since(then);
        ago < WINDOW && !ago.is_negative()
    })
}

/// Moments of the last second.
#[derive(Debug, Default)]
struct Window(VecDeque<Timestamp>);

impl Window {
    fn add(&mut self, now: Timestamp) {
        self.forget(now);
        self.0.push_back(now);
    }

    fn rate(&mut self, now: Timestamp) -> f64 {
        self.forget(now);
        self.0.len() as f64 / WINDOW.as_secs_f64()
    }

    fn forget(&mut self, now: Timestamp) {
        while let Some(first) = self.0.front()
            && !is_recent(Some(*first), now)
        {
            self.0.pop_front();
        }
    }
}

/// The latency of the first calls, and whether that of the latest is twice as long. Both are judged in
/// the same way, by as many calls: a single call says nothing, and an average of another kind would
/// differ from the first by itself.
#[derive(Debug, Default)]
struct Latency {
    /// Seconds, of the calls that are not judged yet.
    calls: Vec<f64>,
    judged: Option<Timestamp>,
    first: Option<f64>,
    latest: f64,
    high_since: Option<Timestamp>,
}

impl Latency {
    fn add(&mut self, now: Timestamp, latency: Duration) {
        self.calls.push(latency.as_secs_f64());
        if self.calls.len() >= JUDGED_CALLS && !is_recent(self.judged, now) {
            self.latest = without_slowest(&mut self.calls);
            self.first.get_or_insert(self.latest);
            self.judged = Some(now);
            self.calls.clear();
        }
    }

    /// Whether it is twice the first. Where it stays so although the rate is at the bottom, that is how
    /// the service is now, and becomes the first.
    fn is_doubled(&mut self, now: Timestamp, at_bottom: bool) -> bool {
        if self.first.is_none_or(|first| self.latest < 2.0 * first) {
            self.high_since = None;
            return false;
        }
        let since = *self.high_since.get_or_insert(now);
        if !at_bottom {
            self.high_since = Some(now);
        } else if now.duration_since(since) >= RESIGNED {
            self.first = Some(self.latest);
        }
        true
    }
}

/// The mean without the slowest quarter: the very first calls also open connections.
fn without_slowest(latencies: &mut [f64]) -> f64 {
    latencies.sort_by(f64::total_cmp);
    let kept = &latencies[..latencies.len() - latencies.len() / 4];
    kept.iter().sum::<f64>() / kept.len() as f64
}

#[cfg(test)]
mod tests;

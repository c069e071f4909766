//! Now and sleep, real or simulated.
//!
//! A simulated clock is tokio's own, paused: it jumps to the next timer when nothing else can run, so
//! that hours pass in moments, and every timer in the process shares it. A scaled clock makes a
//! simulator's hour pass in a minute for other processes. Sleeping needs a tokio runtime.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// Where time comes from. Cheap to clone; clones agree.
#[derive(Clone, Debug)]
pub struct Clock {
    start: Instant,
    base: Timestamp,
    kind: Kind,
    /// How far somebody has set it, in microseconds; a simulated one only.
    set: Arc<AtomicI64>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Real,
    Simulated,
    Scaled(f64),
}

impl Clock {
    /// The wall clock.
    pub fn real() -> Self {
        Self::of(Timestamp::now(), Kind::Real)
    }

    fn of(base: Timestamp, kind: Kind) -> Self {
        Self {
            start: Instant::now(),
            base,
            kind,
            set: Arc::default(),
        }
    }

    /// A clock that begins at `base` and follows tokio's clock, which the caller has paused
    /// (`tokio::time::pause`, current-thread runtime).
    pub fn simulated(base: Timestamp) -> Self {
        Self::of(base, Kind::Simulated)
    }

    /// A clock that runs `speed` times as fast as the wall clock.
    pub fn scaled(base: Timestamp, speed: f64) -> Self {
        Self::of(base, Kind::Scaled(speed))
    }

    /// Now.
    pub fn now(&self) -> Timestamp {
        let elapsed = self.start.elapsed();
        match self.kind {
            Kind::Real => Timestamp::now(),
            Kind::Simulated => {
                let set = SignedDuration::from_micros(self.set.load(Ordering::Relaxed));
                self.base + signed(elapsed) + set
            }
            Kind::Scaled(speed) => self.base + signed(elapsed.mul_f64(speed)),
        }
    }

    /// Somebody sets a simulated clock forward or back; what sleeps by its length is not woken by that.
    /// Clones agree; another clock with the same beginning does not notice.
    pub fn set_by(&self, by: SignedDuration) {
        let micros = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
        self.set.fetch_add(micros, Ordering::Relaxed);
    }

    /// Sleeps for `duration` of this clock's time.
    pub async fn sleep(&self, duration: Duration) {
        let real = match self.kind {
            Kind::Scaled(speed) => duration.div_f64(speed),
            Kind::Real | Kind::Simulated => duration,
        };
        tokio::time::sleep(real).await;
    }

    /// Sleeps until `instant`; returns at once where it has passed.
    pub async fn sleep_until(&self, instant: Timestamp) {
        let left = instant.duration_since(self.now());
        if let Ok(left) = Duration::try_from(left) {
            self.sleep(left).await;
        }
    }

    /// Whether time is simulated (the display says so).
    pub fn is_simulated(&self) -> bool {
        self.kind != Kind::Real
    }
}

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

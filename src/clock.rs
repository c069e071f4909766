//! Now and sleep, real or simulated.
//!
//! A simulated clock is tokio's own, paused: it jumps to the next timer when nothing else can run, so
//! that hours pass in moments, and every timer in the process shares it. A scaled clock makes a
//! simulator's hour pass in a minute for other processes. Sleeping needs a tokio runtime.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// Where time comes from. Cheap to clone; clones agree.
#[derive(Clone, Debug)]
pub struct Clock {
    start: Instant,
    base: Timestamp,
    kind: Kind,
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
        Self {
            start: Instant::now(),
            base: Timestamp::now(),
            kind: Kind::Real,
        }
    }

    /// A clock that begins at `base` and follows tokio's clock, which the caller has paused
    /// (`tokio::time::pause`, current-thread runtime).
    pub fn simulated(base: Timestamp) -> Self {
        Self {
            start: Instant::now(),
            base,
            kind: Kind::Simulated,
        }
    }

    /// A clock that runs `speed` times as fast as the wall clock.
    pub fn scaled(base: Timestamp, speed: f64) -> Self {
        Self {
            start: Instant::now(),
            base,
            kind: Kind::Scaled(speed),
        }
    }

    /// Now.
    pub fn now(&self) -> Timestamp {
        let elapsed = self.start.elapsed();
        match self.kind {
            Kind::Real => Timestamp::now(),
            Kind::Simulated => self.base + signed(elapsed),
            Kind::Scaled(speed) => self.base + signed(elapsed.mul_f64(speed)),
        }
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

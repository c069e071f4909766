//! How often reads go out: backoff between tries, and the budget of Visibility calls.
//!
//! Both follow tokio's clock, so that a rehearsal's waiting costs nothing.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

/// Half of a namespace's ten Visibility calls a second (`frontend.namespaceRPS.visibility`); the other
/// half belongs to everybody else.
const VISIBILITY_CALLS: usize = 5;
const WINDOW: Duration = Duration::from_secs(1);

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Lets at most [`VISIBILITY_CALLS`] through in any second.
#[derive(Debug, Default)]
pub(super) struct VisibilityBudget {
    recent: Mutex<VecDeque<Instant>>,
}

impl VisibilityBudget {
    /// Waits for a turn; turns come in the order of asking.
    pub(super) async fn admit(&self) {
        let mut recent = self.recent.lock().await;
        if recent.len() == VISIBILITY_CALLS
            && let Some(oldest) = recent.pop_front()
        {
            tokio::time::sleep_until(oldest + WINDOW).await;
        }
        recent.push_back(Instant::now());
    }
}

/// Pauses that double up to a bound, and an end in time.
#[derive(Debug)]
pub(super) struct Backoff {
    deadline: Instant,
    pause: Duration,
    attempts: u32,
}

impl Backoff {
    pub(super) fn new(patience: Duration) -> Self {
        Self {
            deadline: Instant::now() + patience,
            pause: FIRST_PAUSE,
            attempts: 1,
        }
    }

    /// The pause before the next try; none when patience would end before it.
    pub(super) fn next(&mut self) -> Option<Duration> {
        let pause = self.pause;
        if Instant::now() + pause > self.deadline {
            return None;
        }
        self.pause = (pause * 2).min(LONGEST_PAUSE);
        self.attempts += 1;
        Some(pause)
    }

    /// How often it was tried.
    pub(super) fn attempts(&self) -> u32 {
        self.attempts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn any_second_holds_at_most_five_visibility_calls() {
        let budget = VisibilityBudget::default();
        let mut times = Vec::new();
        for _ in 0..23 {
            budget.admit().await;
            times.push(Instant::now());
        }
        for pair in times.windows(VISIBILITY_CALLS + 1) {
            assert!(
                pair[VISIBILITY_CALLS] - pair[0] >= WINDOW,
                "six calls within a second"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_budget_that_rested_lets_five_through_at_once() {
        let budget = VisibilityBudget::default();
        let start = Instant::now();
        for _ in 0..VISIBILITY_CALLS {
            budget.admit().await;
        }
        assert_eq!(Instant::now(), start);
    }

    #[tokio::test(start_paused = true)]
    async fn patience_ends() {
        let mut backoff = Backoff::new(Duration::from_secs(60));
        let start = Instant::now();
        while let Some(pause) = backoff.next() {
            tokio::time::sleep(pause).await;
        }
        assert!(Instant::now() - start <= Duration::from_secs(60));
        assert!(backoff.attempts() > 10, "{} tries", backoff.attempts());
    }
}

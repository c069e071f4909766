//! How often reads go out: backoff between tries, and the budget of Visibility calls.
//!
//! Both follow tokio's clock, so that a rehearsal's waiting costs nothing.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
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

    /// The pause before the next try: between a half and the whole of one that doubles, so that many
    /// calls that failed together do not come back together. None when patience would end before it.
    pub(super) fn next(&mut self, spread: &Spread) -> Option<Duration> {
        let pause = self.pause.mul_f64(0.5 + 0.5 * spread.next());
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

/// Where the spread of pauses comes from: another one in each process, and the same one in each
/// rehearsal.
#[derive(Debug)]
pub(super) struct Spread(AtomicU64);

impl Spread {
    /// Differs from that of every other process.
    pub(super) fn random() -> Self {
        Self(AtomicU64::new(uuid::Uuid::new_v4().as_u64_pair().0))
    }

    /// The same numbers in the same order, each time.
    pub(super) fn fixed() -> Self {
        Self(AtomicU64::new(0))
    }

    /// The next number in [0, 1): SplitMix64, of which the upper 32 bits are used.
    fn next(&self) -> f64 {
        const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
        let state = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let upper = u32::try_from((mixed ^ (mixed >> 31)) >> 32).unwrap_or_default();
        f64::from(upper) / 4_294_967_296.0
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
    async fn pauses_differ_and_stay_within_their_bounds() {
        let pauses = |spread: Spread| -> Vec<Duration> {
            let pause = |_| Backoff::new(Duration::from_secs(60)).next(&spread);
            (0..100).filter_map(pause).collect()
        };
        let random = pauses(Spread::random());
        assert_eq!(random.len(), 100);
        let bounds = FIRST_PAUSE / 2..=FIRST_PAUSE;
        assert!(
            random.iter().all(|pause| bounds.contains(pause)),
            "{random:?}"
        );
        let (low, high) = (random.iter().min(), random.iter().max());
        assert!(high > low, "{random:?}");
        assert_eq!(pauses(Spread::fixed()), pauses(Spread::fixed()));
        assert_ne!(random, pauses(Spread::fixed()));
    }

    #[tokio::test(start_paused = true)]
    async fn patience_ends() {
        let (mut backoff, spread) = (Backoff::new(Duration::from_secs(60)), Spread::random());
        let start = Instant::now();
        while let Some(pause) = backoff.next(&spread) {
            tokio::time::sleep(pause).await;
        }
        assert!(Instant::now() - start <= Duration::from_secs(60));
        assert!(backoff.attempts() > 10, "{} tries", backoff.attempts());
    }
}

//! Random numbers that are the same everywhere: splitmix64.

use std::time::Duration;

use runbook::simulator::world::Span;

/// Draws from a seed.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        let mut dice = Self(seed.wrapping_mul(0xD134_2543_DE82_EF95) ^ 0x5EED);
        dice.next();
        dice
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// From `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low + 1)
    }

    /// So many.
    pub(crate) fn count(&mut self, low: u32, high: u32) -> u32 {
        u32::try_from(self.between(u64::from(low), u64::from(high))).unwrap_or(high)
    }

    /// True in so many of a hundred.
    pub(crate) fn percent(&mut self, chance: u64) -> bool {
        self.next() % 100 < chance
    }

    /// One of them.
    pub(crate) fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        let index = self.next() % of.len() as u64;
        of[usize::try_from(index).unwrap_or(0)].clone()
    }

    /// Some of them, in their order; at least one.
    pub(crate) fn some<T: Clone>(&mut self, of: &[T]) -> Vec<T> {
        let found: Vec<T> = of.iter().filter(|_| self.percent(50)).cloned().collect();
        if found.is_empty() {
            vec![self.pick(of)]
        } else {
            found
        }
    }

    pub(crate) fn millis(&mut self, low: u64, high: u64) -> Duration {
        Duration::from_millis(self.between(low, high))
    }

    pub(crate) fn span(&mut self, low: u64, high: u64) -> Span {
        Span(self.millis(low, high))
    }
}

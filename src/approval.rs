//! What was asked, what was granted, what is left of it.
//!
//! Pure. A grant is a count of Workflows a row, cumulative over a loop's iterations, until a time. A
//! write takes one unit of its row's grant when its intent is written; a released claim gives it back.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use serde_json::{Map, Value};

use crate::record::Means;

/// What came back for a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Go on.
    Yes {
        /// Who said so.
        by: String,
        /// What they entered.
        note: String,
        /// Values of the form, as far as they were entered.
        form: Map<String, Value>,
        /// How.
        means: Means,
    },
    /// Do not.
    No {
        /// Who said so.
        by: String,
        /// How.
        means: Means,
    },
    /// There is no terminal, or it closed: the run parks.
    Nobody,
    /// Ctrl-C at the prompt.
    Interrupted,
}

/// How long an answer holds.
pub const LIFETIME: SignedDuration = SignedDuration::from_hours(4);

/// What one step was granted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Grant {
    rows: BTreeMap<String, Share>,
    expires: Option<Timestamp>,
    /// Whether anything was answered with yes at all.
    answered: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Share {
    granted: u64,
    used: u64,
}

/// Why a write may not happen now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Short {
    /// Nobody was asked yet, or not about this row.
    Unasked,
    /// All that was granted is used.
    Used,
    /// The answer is too old.
    Expired,
}

impl Grant {
    /// Takes in an answer: counts by row are totals, not additions.
    pub fn answered(&mut self, grants: &BTreeMap<String, u64>, expires: Timestamp) {
        for (row, granted) in grants {
            let share = self.rows.entry(row.clone()).or_default();
            share.granted = share.granted.max(*granted);
        }
        self.expires = Some(expires);
        self.answered = true;
    }

    /// Whether one more Workflow of `row` may be written to at `now`.
    pub fn allows(&self, row: &str, now: Timestamp) -> Result<(), Short> {
        let share = self.rows.get(row).ok_or(Short::Unasked)?;
        if self.expires.is_none_or(|expires| expires <= now) {
            return Err(Short::Expired);
        }
        if share.used >= share.granted {
            Err(Short::Used)
        } else {
            Ok(())
        }
    }

    /// Whether a step without rows was granted and still is at `now`.
    pub fn holds(&self, now: Timestamp) -> bool {
        self.answered && self.expires.is_some_and(|expires| expires > now)
    }

    /// One write of `row` begins.
    pub fn take(&mut self, row: &str) {
        self.rows.entry(row.to_owned()).or_default().used += 1;
    }

    /// A write of `row` turned out not to have happened, and will be decided anew.
    pub fn give_back(&mut self, row: &str) {
        if let Some(share) = self.rows.get_mut(row) {
            share.used = share.used.saturating_sub(1);
        }
    }

    /// Granted for `row` in all.
    pub fn granted(&self, row: &str) -> u64 {
        self.rows.get(row).map_or(0, |share| share.granted)
    }

    /// Used of `row`.
    pub fn used(&self, row: &str) -> u64 {
        self.rows.get(row).map_or(0, |share| share.used)
    }

    /// Granted over all rows.
    pub fn total(&self) -> u64 {
        self.rows.values().map(|share| share.granted).sum()
    }

    /// Used over all rows.
    pub fn total_used(&self) -> u64 {
        self.rows.values().map(|share| share.used).sum()
    }
}

/// What is granted where `count` Workflows were shown: a tenth more, for those that come meanwhile.
pub fn with_margin(count: u64) -> u64 {
    count + count.div_ceil(10)
}

/// What `--yes` may extend a row to without a person: twice the plan's count, or ten more where that is
/// more (a row of two may become a row of twelve unattended).
pub fn flag_ceiling(planned: u64) -> u64 {
    (planned * 2).max(planned + 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).expect("a timestamp")
    }

    #[test]
    fn a_grant_is_used_up_and_expires() {
        let mut grant = Grant::default();
        assert_eq!(grant.allows("a", at(0)), Err(Short::Unasked));
        grant.answered(&BTreeMap::from([("a".to_owned(), 2)]), at(10));
        assert_eq!(grant.allows("a", at(0)), Ok(()));
        grant.take("a");
        grant.take("a");
        assert_eq!(grant.allows("a", at(0)), Err(Short::Used));
        grant.give_back("a");
        assert_eq!(grant.allows("a", at(0)), Ok(()));
        assert_eq!(grant.allows("a", at(10)), Err(Short::Expired));
        assert_eq!(grant.allows("b", at(0)), Err(Short::Unasked));
    }

    #[test]
    fn a_second_answer_extends_and_never_shrinks() {
        let mut grant = Grant::default();
        grant.answered(&BTreeMap::from([("a".to_owned(), 5)]), at(10));
        grant.take("a");
        grant.answered(&BTreeMap::from([("a".to_owned(), 3)]), at(20));
        assert_eq!((grant.granted("a"), grant.used("a")), (5, 1));
    }

    #[test]
    fn the_margin_is_a_tenth_rounded_up() {
        assert_eq!([0, 1, 10, 11, 100].map(with_margin), [0, 2, 11, 13, 110]);
    }
}

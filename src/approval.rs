//! What was asked, what was granted, what is left of it; and the permits that follow from it.
//!
//! Pure. A [`Grant`] is a count of Workflows a row, cumulative over a loop's iterations, for the terms that were
//! asked about, until a time. No effect that writes can be built without a [`Permit`], only a grant makes one, and
//! what may be done is sealed in it: so nothing is written that was not granted, or was granted as something else.
//! A write takes one unit of its row; a released claim gives it back.

mod ballot;

use std::collections::BTreeMap;
use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

pub use ballot::{Ballot, Barred, Vote};

use crate::record::{Deed, Terms, Witness};

/// What came back for a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Go on.
    Yes {
        /// Who said so.
        by: Witness,
        /// What they entered.
        note: String,
        /// Values of the form, as far as they were entered.
        form: Map<String, Value>,
    },
    /// Do not.
    No {
        /// Who said so.
        by: Witness,
    },
    /// There is no terminal, or it closed: the run parks.
    Nobody,
    /// Ctrl-C at the prompt.
    Interrupted,
}

/// How long an answer holds.
pub const LIFETIME: SignedDuration = SignedDuration::from_hours(4);

/// What one step was granted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Grant {
    shares: BTreeMap<String, Share>,
    /// Workflows that the step may write to, whatever is answered (`guards.max_workflows`).
    cap: Option<u64>,
}

/// What was granted for a row, or for a step that is not about single Workflows.
#[derive(Clone, Debug, Default, PartialEq)]
struct Share {
    /// For what; none where an older version of this tool did not write it down.
    terms: Option<Terms>,
    granted: u64,
    used: u64,
    /// Permits whose intent is not folded yet.
    promised: u64,
    expires: Option<Timestamp>,
}

/// Why a write may not happen now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Short {
    /// Nobody was asked yet, or not about this row.
    Unasked,
    /// It was granted as something else: another query, selection, action, argument or Version.
    Changed,
    /// The answer is too old.
    Expired,
    /// All that was granted is used.
    Used,
    /// All that the runbook's guards let be granted is used.
    Capped,
    /// It does something to a Workflow that the terms do not know: no answer mends that.
    Foreign,
}

/// Leave to do one thing, which it holds. Only a [`Grant`] makes one (or [`Permit::to_read`], for what writes
/// nothing), it cannot be copied, and it opens once.
#[derive(Debug, PartialEq)]
#[must_use]
pub struct Permit<W> {
    what: W,
    expires: Option<Timestamp>,
}

/// The grant ran out before the call left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lapsed;

impl fmt::Display for Lapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("what was granted had run out; nothing was sent")
    }
}

impl std::error::Error for Lapsed {}

/// Something that may turn out to write nothing.
pub trait Reads {
    /// Whether it only reads.
    fn only_reads(&self) -> bool;
}

impl<W> Permit<W> {
    /// What it is for, to prepare it.
    pub fn what(&self) -> &W {
        &self.what
    }

    /// Opens it, right before the call leaves.
    ///
    /// # Errors
    /// [`Lapsed`]: nothing may be sent.
    pub fn redeem(self, now: Timestamp) -> Result<W, Lapsed> {
        match self.expires {
            Some(expires) if expires <= now => Err(Lapsed),
            _ => Ok(self.what),
        }
    }
}

impl<W: Reads> Permit<W> {
    /// For what only reads; none for anything else.
    pub fn to_read(what: W) -> Option<Self> {
        what.only_reads().then_some(Self {
            what,
            expires: None,
        })
    }
}

impl Share {
    fn holds(&self, terms: &Terms, now: Timestamp) -> Result<Timestamp, Short> {
        if self.terms.as_ref() != Some(terms) {
            return Err(Short::Changed);
        }
        self.expires
            .filter(|expires| *expires > now)
            .ok_or(Short::Expired)
    }
}

impl Grant {
    /// Nothing is granted yet, and never more than `cap` writes will be.
    pub fn capped(cap: Option<u64>) -> Self {
        Self {
            shares: BTreeMap::new(),
            cap,
        }
    }

    /// Takes in an answer. Counts by row are totals, not additions: they include what was used before, under
    /// whatever terms. What an answer does not name stays as it was, and as old as it was.
    pub fn answered(
        &mut self,
        grants: &BTreeMap<String, u64>,
        terms: &BTreeMap<String, Terms>,
        expires: Timestamp,
    ) {
        for (row, granted) in grants {
            let share = self.shares.entry(row.clone()).or_default();
            let known = terms.get(row);
            share.granted = if share.terms.as_ref() == known {
                share.granted.max(*granted)
            } else {
                *granted
            };
            share.terms = known.cloned();
            share.expires = Some(expires);
        }
        // What is not about single Workflows is granted as a whole.
        for (name, terms) in terms.iter().filter(|(name, _)| !grants.contains_key(*name)) {
            let share = self.shares.entry(name.clone()).or_default();
            share.terms = Some(terms.clone());
            share.expires = Some(expires);
        }
    }

    fn room(
        &self,
        row: &str,
        terms: &Terms,
        count: u64,
        now: Timestamp,
    ) -> Result<Timestamp, Short> {
        let share = self.shares.get(row).ok_or(Short::Unasked)?;
        let expires = share.holds(terms, now)?;
        if share.used + share.promised + count > share.granted {
            return Err(Short::Used);
        }
        let begun = self
            .shares
            .values()
            .map(|share| share.used + share.promised);
        if self.cap.is_some_and(|cap| begun.sum::<u64>() + count > cap) {
            return Err(Short::Capped);
        }
        Ok(expires)
    }

    /// Whether `count` more Workflows of `row` may be written to at `now`.
    ///
    /// # Errors
    /// Why not.
    pub fn allows(
        &self,
        row: &str,
        terms: &Terms,
        count: u64,
        now: Timestamp,
    ) -> Result<(), Short> {
        self.room(row, terms, count, now).map(drop)
    }

    /// Takes `count` units of `row` for `what`, which does `deed` to each of so many Workflows. They are counted
    /// when their intent is folded, and kept for it until then.
    ///
    /// # Errors
    /// Why not.
    pub fn spend<W>(
        &mut self,
        row: &str,
        terms: &Terms,
        deed: &Deed,
        count: u64,
        what: W,
        now: Timestamp,
    ) -> Result<Permit<W>, Short> {
        let expires = self.room(row, terms, count, now)?;
        if !terms.deeds.contains(deed) {
            return Err(Short::Foreign);
        }
        if let Some(share) = self.shares.get_mut(row) {
            share.promised += count;
        }
        Ok(Permit {
            what,
            expires: Some(expires),
        })
    }

    /// Leave for what `count` units of `row` were taken for already, in this process or in one before it.
    ///
    /// # Errors
    /// Why not.
    pub fn renew<W>(
        &self,
        row: &str,
        terms: &Terms,
        deed: &Deed,
        count: u64,
        what: W,
        now: Timestamp,
    ) -> Result<Permit<W>, Short> {
        let share = self.shares.get(row).ok_or(Short::Unasked)?;
        let expires = share.holds(terms, now)?;
        if !terms.deeds.contains(deed) {
            return Err(Short::Foreign);
        }
        if share.used < count || share.used > share.granted {
            return Err(Short::Used);
        }
        Ok(Permit {
            what,
            expires: Some(expires),
        })
    }

    /// Leave for what is not about single Workflows: as often as it is needed, until the grant runs out.
    ///
    /// # Errors
    /// Why not.
    pub fn whole<W>(&self, terms: &Terms, what: W, now: Timestamp) -> Result<Permit<W>, Short> {
        let expires = self.covers(terms, now)?;
        Ok(Permit {
            what,
            expires: Some(expires),
        })
    }

    /// Whether anything was granted on these terms and still is at `now`: until when.
    ///
    /// # Errors
    /// Why not.
    pub fn covers(&self, terms: &Terms, now: Timestamp) -> Result<Timestamp, Short> {
        let mut short = Short::Unasked;
        for share in self.shares.values() {
            match share.holds(terms, now) {
                Ok(expires) => return Ok(expires),
                Err(why) => short = why,
            }
        }
        Err(short)
    }

    /// Whether somebody said yes to these terms for `row`, however long ago.
    pub fn knows(&self, row: &str, terms: &Terms) -> bool {
        let share = self.shares.get(row);
        share.is_some_and(|share| share.terms.as_ref() == Some(terms))
    }

    /// The intent of one write of `row` is written down.
    pub fn take(&mut self, row: &str) {
        let share = self.shares.entry(row.to_owned()).or_default();
        share.used += 1;
        share.promised = share.promised.saturating_sub(1);
    }

    /// A write of `row` turned out not to have happened, and will be decided anew.
    pub fn give_back(&mut self, row: &str) {
        if let Some(share) = self.shares.get_mut(row) {
            share.used = share.used.saturating_sub(1);
        }
    }

    /// Granted for `row` on these terms in all; on others, what was used then is all that is left of it.
    pub fn granted(&self, row: &str, terms: &Terms) -> u64 {
        let share = self.shares.get(row);
        share.map_or(0, |share| match &share.terms {
            Some(known) if known == terms => share.granted,
            _ => share.used,
        })
    }

    /// Used of `row`.
    pub fn used(&self, row: &str) -> u64 {
        self.shares.get(row).map_or(0, |share| share.used)
    }

    /// Granted over all rows.
    pub fn total(&self) -> u64 {
        self.shares.values().map(|share| share.granted).sum()
    }

    /// Used over all rows.
    pub fn total_used(&self) -> u64 {
        self.shares.values().map(|share| share.used).sum()
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
mod tests;

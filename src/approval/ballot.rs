//! Who must agree to a question, and who has: the rules for more than one person.
//!
//! Pure. A vote is one person's yes to what was asked. It counts for the same terms and no more Workflows than it was
//! given for, until it expires, and once a person ([`Witness::is_same_person`]).

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::record::Witness;
use crate::runbook::Agreement;
use crate::sabotage::{Bug, is_planted};

/// One person's yes.
#[derive(Clone, Debug, PartialEq)]
pub struct Vote {
    /// Whose.
    pub witness: Witness,
    /// Workflows granted in all, by row, as far as it is up to them.
    pub grants: BTreeMap<String, u64>,
    /// It counts before then.
    pub until: Timestamp,
    /// What they entered.
    pub note: String,
    /// Values of the form.
    pub form: Map<String, Value>,
}

/// Why somebody's yes does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Barred {
    /// It comes from nobody: there is no name.
    Nameless,
    /// They began the run, or resumed it: their name then.
    Starter(String),
    /// They agreed already.
    Again(Witness),
}

impl fmt::Display for Barred {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nameless => f.write_str("it does not say who agrees"),
            Self::Starter(name) => write!(
                f,
                "{name} began or resumed the run, and somebody else must agree"
            ),
            Self::Again(vote) => write!(f, "{vote} agreed already, and another person must"),
        }
    }
}

/// A question as it stands with those who answer it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ballot {
    /// Who must agree.
    pub agreement: Agreement,
    /// Who began the run, and whoever resumed it.
    pub starters: Vec<Witness>,
    /// Who agreed, in order, each person once.
    pub votes: Vec<Vote>,
}

impl Ballot {
    /// Of the votes that were cast, those that count at `now`.
    pub fn new(
        agreement: Agreement,
        starters: &[Witness],
        cast: impl IntoIterator<Item = Vote>,
        now: Timestamp,
    ) -> Self {
        let mut ballot = Self {
            agreement,
            starters: starters.to_vec(),
            votes: Vec::new(),
        };
        for vote in cast {
            if vote.until > now && ballot.admits(&vote.witness).is_ok() {
                ballot.votes.push(vote);
            }
        }
        ballot
    }

    /// The same at a later time.
    #[must_use]
    pub fn at(mut self, now: Timestamp) -> Self {
        self.votes.retain(|vote| vote.until > now);
        self
    }

    /// Whether a yes of `witness` would count.
    ///
    /// # Errors
    /// Why not.
    pub fn admits(&self, witness: &Witness) -> Result<(), Barred> {
        if witness.is_nobody() {
            return Err(Barred::Nameless);
        }
        let same = |known: &&Witness| known.is_same_person(witness);
        let barred = self.agreement.not_starter && !is_planted(Bug::StarterCounted);
        if let Some(starter) = self.starters.iter().find(same).filter(|_| barred) {
            return Err(Barred::Starter(starter.name.clone()));
        }
        match self.vote_of(witness) {
            Some(vote) if !is_planted(Bug::CountedTwice) => {
                Err(Barred::Again(vote.witness.clone()))
            }
            _ => Ok(()),
        }
    }

    /// That person's vote.
    pub fn vote_of(&self, witness: &Witness) -> Option<&Vote> {
        let mut votes = self.votes.iter();
        votes.find(|vote| vote.witness.is_same_person(witness))
    }

    /// How many more people must agree.
    pub fn missing(&self) -> usize {
        (self.agreement.by as usize).saturating_sub(self.votes.len())
    }

    /// What was entered so far: who agrees later agrees to that too.
    pub fn form(&self) -> Map<String, Value> {
        let mut form = Map::new();
        for vote in &self.votes {
            form.extend(vote.form.clone());
        }
        form
    }

    /// Workflows that all of them granted, by row.
    pub fn grants(&self) -> BTreeMap<String, u64> {
        let mut votes = self.votes.iter();
        let mut grants = votes
            .next()
            .map_or_else(BTreeMap::new, |vote| vote.grants.clone());
        for vote in votes {
            grants.retain(|row, _| vote.grants.contains_key(row));
            for (row, granted) in &mut grants {
                *granted = (*granted).min(vote.grants[row]);
            }
        }
        grants
    }

    /// When the first of the votes expires.
    pub fn until(&self) -> Option<Timestamp> {
        self.votes.iter().map(|vote| vote.until).min()
    }

    /// What they noted.
    pub fn note(&self) -> String {
        let notes = self.votes.iter().map(|vote| vote.note.as_str());
        let notes: Vec<&str> = notes.filter(|note| !note.is_empty()).collect();
        notes.join("; ")
    }

    /// Whether there is anything to say beside the question.
    pub fn is_plain(&self) -> bool {
        self.agreement.is_plain() && self.votes.is_empty()
    }

    /// How it stands: `1 of 2 approvals: alice; another person must agree`.
    pub fn words(&self) -> String {
        let (have, wanted) = (self.votes.len(), self.agreement.by);
        let names: Vec<&str> = self
            .votes
            .iter()
            .map(|it| it.witness.name.as_str())
            .collect();
        let mut words = match wanted {
            1 => format!("{have} of 1 approval"),
            wanted => format!("{have} of {wanted} approvals"),
        };
        if !names.is_empty() {
            words += &format!(": {}", names.join(", "));
        }
        let people = match (self.missing(), have) {
            (0, _) => return words,
            (1, 0) => "1 person".to_owned(),
            (1, _) => "another person".to_owned(),
            (missing, 0) => format!("{missing} people"),
            (missing, _) => format!("{missing} more people"),
        };
        words += &format!("; {people} must agree");
        if self.agreement.not_starter {
            let mut starters: Vec<&str> = self.starters.iter().map(|it| it.name.as_str()).collect();
            starters.dedup();
            let not = starters.join(" or ");
            words += &format!(", not {not} (who began or resumed the run)");
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).expect("a time")
    }

    fn vote(name: &str, until: i64, granted: u64) -> Vote {
        Vote {
            witness: Witness::rehearsed(name),
            grants: BTreeMap::from([("a".to_owned(), granted)]),
            until: at(until),
            note: String::new(),
            form: Map::new(),
        }
    }

    fn two(not_starter: bool) -> Agreement {
        Agreement { by: 2, not_starter }
    }

    #[test]
    fn only_votes_that_still_count_are_counted_each_person_once() {
        let starters = [Witness::rehearsed("alice")];
        let cast = || [vote("alice", 9, 5), vote("Alice", 9, 5), vote("bob", 3, 7)];
        let ballot = Ballot::new(two(false), &starters, cast(), at(0));
        assert_eq!((ballot.votes.len(), ballot.missing()), (2, 0));
        assert_eq!(ballot.grants()["a"], 5);
        assert_eq!(ballot.until(), Some(at(3)));
        // It counts before the time, not at it.
        assert_eq!(ballot.at(at(3)).missing(), 1);
        let ballot = Ballot::new(two(true), &starters, cast(), at(0));
        assert_eq!((ballot.votes.len(), ballot.missing()), (1, 1));
        let barred = ballot.admits(&Witness::rehearsed("alice@example.com"));
        assert_eq!(barred, Err(Barred::Starter("alice".to_owned())));
        let again = ballot.admits(&Witness::rehearsed("bob"));
        assert!(matches!(again, Err(Barred::Again(_))));
        assert_eq!(ballot.admits(&Witness::rehearsed("carol")), Ok(()));
        assert_eq!(
            ballot.admits(&Witness::rehearsed("")),
            Err(Barred::Nameless)
        );
    }

    #[test]
    fn it_says_who_agreed_and_who_is_needed() {
        let starters = [Witness::rehearsed("alice")];
        let nobody = Ballot::new(two(false), &starters, [], at(0));
        assert_eq!(nobody.words(), "0 of 2 approvals; 2 people must agree");
        let alice = Ballot::new(two(false), &starters, [vote("alice", 9, 1)], at(0));
        let words = "1 of 2 approvals: alice; another person must agree";
        assert_eq!(alice.words(), words);
        let others = Ballot::new(two(true), &starters, [vote("bob", 9, 1)], at(0));
        let words = "1 of 2 approvals: bob; another person must agree, not alice (who began or resumed the run)";
        assert_eq!(others.words(), words);
    }
}

//! What a schema cannot say: names and their order, expressions and their types, List Filters, cycles,
//! parameters, steps. Walks the document, so that it works on files that have other mistakes too; what
//! has the wrong shape is skipped here, because the schema says it.

mod arguments;
mod batch;
mod cycles;
mod decisions;
mod expressions;
mod general;
mod guards;
mod lock;
mod names;
mod notify;
mod parameters;
mod queries;
mod select;
mod secrets;
mod steps;
mod tolerance;
mod types;

use std::collections::BTreeMap;

pub(super) use names::{Names, decisions_of};

use crate::diagnostic::{Diagnostic, Kind};

/// What `run` holds.
pub const RUN_FIELDS: &[&str] = &["id", "started_at", "user", "host"];

/// Problems that are looked for: placing each one walks its text.
const MOST: usize = 300;
/// Longest chain of variables and queries that use each other.
const LONGEST_CHAIN: usize = 50;

/// From where an expression reads: which steps have an output by then.
#[derive(Clone, Copy, PartialEq)]
enum At {
    /// No step has.
    BeforeRun,
    /// Those before this one have.
    Step(usize),
    /// Those before this loop and inside it have.
    Until(usize),
    /// Not said here: a variable's place is where it is used.
    Anywhere,
}

struct Checker<'a> {
    names: &'a Names<'a>,
    problems: Vec<Diagnostic>,
    /// What the expressions that are being checked stand in.
    holder: secrets::Holder,
    /// What each variable and query reads: other variables and queries, and steps.
    uses: BTreeMap<Item<'a>, Uses>,
}

/// A variable or a query.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Item<'a> {
    Variable(&'a str),
    Query(&'a str),
}

#[derive(Clone, Default)]
struct Uses {
    reads: Vec<Vec<String>>,
}

/// All problems.
pub(super) fn check(names: &Names<'_>) -> Vec<Diagnostic> {
    let mut checker = Checker {
        names,
        problems: Vec::new(),
        holder: secrets::Holder::default(),
        uses: BTreeMap::new(),
    };
    checker.parameters();
    checker.items();
    checker.cycles();
    checker.conditions();
    checker.lock();
    checker.notify();
    checker.strategies();
    checker.decisions();
    checker.steps();
    checker.guards();
    checker.tolerance();
    if checker.is_full() {
        let message = format!("more than {MOST} problems: the rest is not looked for");
        let file = names.document.source.name();
        checker
            .problems
            .push(Diagnostic::of_file(file, Kind::File, message));
    }
    checker.problems
}

impl Checker<'_> {
    /// Whether so many problems are known that looking for more only costs time.
    fn is_full(&self) -> bool {
        self.problems.len() >= MOST
    }
}

//! What each action takes, gives and may do to the world: the contract between the language, which
//! checks it offline, and `action`, which carries it out.
//!
//! Pure data. Argument types are deserialized from rendered values; their doc comments are the
//! schema's descriptions. A new action starts here.
//!
//! - [`actions`]: the table of actions.
//! - [`arguments`]: what each takes.
//! - [`select`]: which Workflows.

mod actions;
mod arguments;
mod select;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

pub use actions::ACTIONS;
pub use arguments::*;
pub use select::{Exclude, LedgerState, Named, OfLedger, Only, Select};

/// The pattern of ids and names.
pub const NAME: &str = "^[a-z][a-z0-9_]*$";

/// What an action may do to the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Reads.
    Read,
    /// Writes; doing it again changes nothing more.
    Idempotent,
    /// Writes; doing it again does it twice.
    NonIdempotent,
}

impl Effect {
    /// Whether it writes.
    pub fn writes(self) -> bool {
        self != Self::Read
    }

    /// As people say it.
    pub fn words(self) -> &'static str {
        match self {
            Self::Read => "reads",
            Self::Idempotent => "writes, idempotent",
            Self::NonIdempotent => "writes, not idempotent",
        }
    }
}

/// What an action is done to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The service as a whole: one call of the action a step.
    Service,
    /// One Workflow at a time: a strategy, or a step with `select`.
    Workflow,
    /// The Workflows of a decision's scope.
    Decision,
    /// The Workflows in the ledger of earlier steps.
    Ledger,
    /// A person.
    Person,
    /// Nothing outside this run.
    Run,
    /// A program on this machine.
    Program,
}

/// How an output field behaves in a loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A number that is cumulative over a loop's iterations.
    Count,
    /// The latest number.
    Number,
    /// The latest text.
    Text,
    /// The latest truth value.
    Boolean,
    /// The latest list.
    List,
    /// The latest object.
    Object,
    /// The latest value, of whatever type.
    Any,
}

/// One field of an action's output.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its name in expressions.
    pub name: &'static str,
    /// Its kind.
    pub kind: Kind,
    /// What it says.
    pub description: &'static str,
}

/// One action.
#[derive(Clone, Copy)]
pub struct Action {
    /// `noun.verb`.
    pub name: &'static str,
    /// What it does, imperative.
    pub summary: &'static str,
    /// Effect; `decision.apply` has that of its rows, the strongest of which stands here.
    pub effect: Effect,
    /// What it is done to.
    pub subject: Subject,
    /// JSON Schema of `with:` (of a step; `select` is a field of the step's arguments only).
    pub arguments: fn(&mut SchemaGenerator) -> Schema,
    /// Output fields.
    pub output: &'static [Field],
    /// Names under which it can refuse a Workflow; what a strategy's `fallback` may name.
    pub refusals: &'static [&'static str],
}

impl std::fmt::Debug for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Action")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// The action of that name.
pub fn find(name: &str) -> Option<&'static Action> {
    ACTIONS.iter().find(|action| action.name == name)
}
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_spelled_noun_verb() {
        let mut names: Vec<_> = ACTIONS.iter().map(|action| action.name).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(names.iter().all(|name| {
            name.chars()
                .all(|c| c.is_ascii_lowercase() || c == '.' || c == '_')
        }));
    }
}

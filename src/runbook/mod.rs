//! The validated model of a runbook, its parameters, and the evaluation of its expressions and queries.
//!
//! Pure, with one constructor, [`Runbook::parse`]: bytes → all problems at once, or the model. The
//! parts: `shape` (the file as Rust types, and its JSON Schema), `checks` and `tables` (what a schema
//! cannot say), `build` (the model), [`parameters`] and [`evaluate`].

mod build;
mod checks;
pub mod evaluate;
mod model;
pub mod parameters;
mod shape;
mod tables;

pub use evaluate::{EvalError, Scope};
pub use model::*;
pub use parameters::{ParameterInput, Parameters};
pub use shape::schema;

#[cfg(test)]
mod tests;

//! The validated model of a runbook, its parameters, and the evaluation of its expressions and queries.
//!
//! Pure, with one constructor, [`Runbook::parse`]: bytes → all problems at once, or the model. The
//! parts: `shape` (the file as Rust types, and its JSON Schema), `checks` and `tables` (what a schema
//! cannot say), `build` (the model), [`parameters`] and [`evaluate`]; [`outputs`] (what a command's JSON
//! and a form hold) and [`mask`] (secrets taken out of what comes back); [`guards`] (what a runbook forbids itself).

mod build;
mod checks;
pub mod evaluate;
pub mod guards;
pub mod mask;
mod model;
pub mod outputs;
pub mod parameters;
mod shape;
mod tables;

pub use evaluate::{EvalError, Scope};
pub use guards::Guards;
pub use mask::Mask;
pub use model::*;
pub use parameters::{ParameterInput, Parameters};
pub use shape::schema;

#[cfg(test)]
mod tests;

//! Temporal's List Filter: one parser and one AST for validation, rendering, named fragments,
//! evaluation on a row, and for the simulator.
//!
//! A filter that was written in a runbook is a *template*: it has holes, `${{ EXPRESSION }}`. The text
//! of an expression is opaque here. [`Filter::fill`] puts literals, lists of literals or whole filters
//! into the holes of the AST, never into its text, so no value can change what a filter means.
//!
//! Semantics follow the unified query converter of server 1.32 (`visibility/store/query`) and were
//! compared with that server on SQLite. Pure: uses `survey`'s data only; knows nothing of parameters,
//! the expression language, or the service. No regular expressions.

mod analysis;
mod ast;
mod attributes;
mod check;
mod fill;
mod fold;
mod matches;
mod parse;
mod render;
mod token;
mod values;

pub use analysis::Contradiction;
pub use ast::{
    Attribute, Expr, Filter, Hole, List, Literal, Operand, Operator, Origin, Part, Problem, Span,
};
pub use attributes::{AttributeType, system_attribute, system_attributes};
pub use fill::{FillError, Filled, HolePosition};
pub use parse::{CountFilter, MAX_DEPTH, parse, parse_count, parse_template};
pub use values::quote;

#[cfg(test)]
mod tests;

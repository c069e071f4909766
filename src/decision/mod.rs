//! Decision tables, filled in: which row takes a Workflow, and what its strategy does to it.
//!
//! Pure. [`Table::candidates`] works on a listing (Visibility's word), [`Table::pick`] and [`judge`]
//! on a look, which alone decides. Nothing here reads or writes; a verdict says what to read next or
//! what to write.
//!
//! - [`strategy`]: an action on one Workflow, with its arguments filled in.
//! - [`table`]: a decision table filled in; which row takes a Workflow.
//! - [`batch`]: a step that a batch job of the service carries out.
//! - [`effects`]: what an action loses, runs again or re-applies.
//! - [`judge`](mod@judge): the verdict on one Workflow.
//! - [`reset`]: the part of it that is about resets.

mod batch;
mod effects;
mod judge;
mod reset;
mod strategy;
mod table;

pub use judge::{Case, Naming, Verdict, as_listed, judge};
pub use reset::{INVALID_EVENT, INVALID_REFUSAL};
pub use strategy::{Call, Strategy};
pub use table::{Pick, RowVerdict, Table, TableRow, task_state};

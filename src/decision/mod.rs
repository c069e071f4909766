//! Decision tables, filled in: which row takes a Workflow, and what its strategy does to it.
//!
//! Pure. [`Table::candidates`] works on a listing (Visibility's word), [`Table::pick`] and [`judge`]
//! on a look, which alone decides. Nothing here reads or writes; a verdict says what to read next or
//! what to write.
//!
//! - [`strategy`]: an action on one Workflow, with its arguments filled in.
//! - [`table`]: a decision table filled in; which row takes a Workflow.
//! - [`judge`](mod@judge): the verdict on one Workflow.

mod judge;
mod strategy;
mod table;

pub use judge::{Case, Naming, Verdict, as_listed, judge};
pub use strategy::{Call, Strategy};
pub use table::{Pick, RowVerdict, Table, TableRow, task_state};

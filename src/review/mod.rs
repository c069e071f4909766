//! What a reviewer of a pull request reads: a runbook as a page, and what an edit of it changes.
//!
//! Pure: from [`crate::runbook::Runbook`] to text and data; nothing here reads a file or a service. The parts:
//! [`escape`] (somebody's text inside Markdown, Mermaid and workflow commands), [`words`] (what a runbook's
//! parts do, in words), `docs` and `flow` (the page and its picture), `diff` and its parts (two versions of
//! a runbook), `annotations` (problems as GitHub shows them beside the lines).

mod annotations;
mod diff;
mod diff_decisions;
mod diff_gates;
mod diff_notify;
mod diff_queries;
mod diff_steps;
mod diff_text;
mod docs;
mod docs_steps;
pub mod escape;
mod flow;
pub mod words;

pub use annotations::annotation;
pub use diff::{Change, Difference, Kind, compare};
pub use docs::page;

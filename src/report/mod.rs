//! What a run looks like, as data and as text: a fold of records and its renderings.
//!
//! [`Report`] is the run as a whole, [`Workflows`] each Workflow that it touched; [`Style`], [`Table`]
//! and [`Text`] lay text out. Pure: input is [`crate::record`] only, and nothing here calls anything.

mod entry;
mod explain;
mod fold;
mod format;
mod lock;
mod model;
mod moved;
mod next;
mod outline;
mod plan;
mod plan_facts;
mod plan_text;
mod points;
mod question;
mod summary;
mod workflows;
mod page;

pub use entry::State;
pub use explain::{Confirms, Consequence, Explained, Explanation};
pub use fold::Report;
pub use format::{
    Align, Style, Table, Text, Tone, about, columns, count, duration, fit, harmless, is_harmful,
    minute, moment, number, shell_word, shield, time_of_day, wrap,
};
pub use lock::{LockPlan, LockReport, holder_lines, unlock_line};
pub use model::{
    AnswerReport, Attachment, Canary, Counts, Ending, Header, Hit, QuestionReport, Reason,
    RowReport, StepReport, Waiting,
};
pub use moved::PlanDiff;
pub use next::Next;
pub use outline::{PlannedRow, PlannedStep};
pub use page::{Dossier, Page, Shell, policy, runs_fragment, shell};
pub use plan::{ParameterLine, PlanReport, RowPlan, StepPlan, TablePlan};
pub use points::PointsReport;
pub use question::{certainty_words, question_in_short, question_text};
pub use summary::{Located, status_word};
pub use workflows::{Layout, WorkflowRow, Workflows, write_json};

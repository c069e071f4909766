//! The points to which a run can be reset, as data and as text: what a person chooses from.
//!
//! `reset-points --output json` prints [`PointsReport`]; fields are only ever added.

use jiff::Timestamp;
use serde::Serialize;

use super::format::{Style, Text, Tone, count, moment};
use crate::history::{Outlook, ResetPoint};
use crate::survey::{Look, Status};

/// Names that are listed for each kind of happening.
const NAMES: usize = 3;
/// Valid points that are listed on a terminal.
const LISTED: usize = 10;

/// The points of one run.
#[derive(Clone, Debug, Serialize)]
pub struct PointsReport {
    /// `reset-points/v1`
    pub schema: &'static str,
    /// Workflow ID.
    pub workflow_id: String,
    /// Run ID that was read.
    pub run_id: String,
    /// Run ID that the Workflow ID has now.
    pub current_run_id: String,
    /// Workflow Type.
    pub workflow_type: String,
    /// Status of the run that was read.
    pub status: Status,
    /// Events in its history.
    pub history_length: i64,
    /// When Describe was asked.
    pub looked: Timestamp,
    /// What stands in the way of a reset, a sentence each.
    pub warnings: Vec<String>,
    /// The points, newest first.
    pub valid_reset_events: Vec<ResetPoint>,
    /// Whether there are older ones.
    pub more: bool,
}

impl PointsReport {
    /// Of a run that was looked at.
    pub fn new(look: &Look, points: Vec<ResetPoint>, more: bool) -> Self {
        let listed = &look.listed;
        Self {
            schema: "reset-points/v1",
            workflow_id: listed.key.workflow_id.clone(),
            run_id: listed.key.run_id.clone(),
            current_run_id: look.current.run_id.clone(),
            workflow_type: listed.workflow_type.clone(),
            status: listed.status,
            history_length: look.history_length,
            looked: look.at,
            warnings: warnings(look),
            valid_reset_events: points,
            more,
        }
    }

    /// For people.
    pub fn text(&self, style: Style) -> String {
        let mut text = Text::new(style);
        text.line(Tone::Strong, &format!("Workflow {}", self.workflow_id));
        let events = count(u64::try_from(self.history_length).unwrap_or(0), "event");
        text.line(
            Tone::Plain,
            &format!(
                "  {}, {}, run {}, {events}",
                self.workflow_type, self.status, self.run_id
            ),
        );
        for warning in &self.warnings {
            text.line(Tone::Warn, &format!("  {warning}"));
        }
        text.gap();
        if self.valid_reset_events.is_empty() {
            text.line(
                Tone::Warn,
                "There is no point to which this run can be reset: no Workflow Task of it has ended.",
            );
            return text.into_string();
        }
        text.line(
            Tone::Strong,
            "Points to which it can be reset, newest first, and what follows each:",
        );
        for point in &self.valid_reset_events {
            one(point, "  ", &mut text);
            if point.follows.events < point.after.events {
                text.line(
                    Tone::Faint,
                    &format!("      after it in all: {}", point.after.words(NAMES)),
                );
            }
        }
        text.gap();
        if self.more {
            text.line(Tone::Plain, "There are older points: --all shows them.");
        }
        text.line(
            Tone::Plain,
            "A reset drops what comes after its point. Signals and Updates after it are re-applied unless `reapply` says otherwise; Activities run again.",
        );
        text.into_string()
    }
}

/// What stands in the way of a reset of this run.
fn warnings(look: &Look) -> Vec<String> {
    let mut warnings = Vec::new();
    if look.current.run_id != look.listed.key.run_id {
        warnings.push(format!(
            "The Workflow ID has another run now, {} ({}): a reset of this one terminates it.",
            look.current.run_id, look.current.status
        ));
    }
    if let Some(run) = &look.reset_run_id {
        warnings.push(format!("It was reset before, to run {run}."));
    }
    for child in &look.pending_children {
        warnings.push(format!(
            "Its child {} runs; it was started at event {}: a reset to before that orphans it.",
            child.key.workflow_id, child.initiated_event
        ));
    }
    let failing = look.pending_task.as_ref().filter(|task| task.attempt > 1);
    if let Some(task) = failing {
        warnings.push(format!(
            "Its Workflow Task fails (attempt {}); attempts that are not in the history yet are no points.",
            task.attempt
        ));
    }
    warnings
}

fn one(point: &ResetPoint, indent: &str, text: &mut Text) {
    let time = point.time.map(moment).unwrap_or_default();
    text.line(
        Tone::Plain,
        &format!(
            "{indent}event {:<6} {:<21} {time}",
            point.event_id, point.event_type
        ),
    );
    text.line(
        Tone::Plain,
        &format!("{indent}    then: {}", point.follows.words(NAMES)),
    );
}

/// Valid points instead of an invalid one.
pub(super) fn lines(points: &[ResetPoint], indent: &str, text: &mut Text) {
    if points.is_empty() {
        return;
    }
    text.line(
        Tone::Plain,
        &format!("{indent}Valid reset points, nearest first:"),
    );
    for point in points.iter().take(LISTED) {
        one(point, &format!("{indent}  "), text);
    }
}

/// What resets would do, for `most` Workflows one by one; the rest is in JSON.
pub(super) fn outlooks(outlooks: &[Outlook], most: usize, indent: &str, text: &mut Text) {
    for outlook in outlooks.iter().take(most) {
        let tone = if outlook.point.is_some() {
            Tone::Plain
        } else {
            Tone::Warn
        };
        text.line(
            tone,
            &format!("{indent}{} (run {})", outlook.workflow_id, outlook.run_id),
        );
        for effect in &outlook.effects {
            text.line(Tone::Plain, &format!("{indent}    {effect}"));
        }
        if !outlook.message.is_empty() {
            text.line(Tone::Warn, &format!("{indent}    {}", outlook.message));
        }
        lines(&outlook.valid_reset_events, &format!("{indent}    "), text);
    }
    if outlooks.len() > most {
        let more = outlooks.len() - most;
        text.line(
            Tone::Faint,
            &format!("{indent}and {more} more: --output json lists them"),
        );
    }
}

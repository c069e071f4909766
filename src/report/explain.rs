//! Why a decision treats one Workflow as it does: attributes, look, each row's verdict, what would be done
//! and what that would lose or re-apply. As data and as text.
//!
//! Pure: from tables and judgements. `explain --output json` prints [`Explanation`]; fields are only ever
//! added.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::format::{Style, Text, Tone, count, moment};
use super::plan::names_of;
use super::points;
use crate::decision::{Call, RowVerdict, Table, Verdict, as_listed, task_state};
use crate::record::Treatment;
use crate::runbook::{Agreement, Runbook, Scope, TaskCondition};
use crate::survey::{
    AttributeValue, Behavior, HistoryLook, Look, Override, ResetPoint, Status, Version,
};

/// One Workflow before the runbook's decisions.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// `explain/v1`
    pub schema: &'static str,
    /// Workflow ID.
    pub workflow_id: String,
    /// Run ID that was looked at.
    pub run_id: String,
    /// Run ID that the Workflow ID has now, and its status.
    pub current: (String, Status),
    /// Workflow Type.
    pub workflow_type: String,
    /// Status.
    pub status: Status,
    /// Task queue.
    pub task_queue: String,
    /// When the run started.
    pub start_time: Option<Timestamp>,
    /// When it closed.
    pub close_time: Option<Timestamp>,
    /// Workflow ID of its parent.
    pub parent: Option<String>,
    /// Workflow IDs of its running children.
    pub children: Vec<String>,
    /// Where its next task goes.
    pub effective_version: Option<Version>,
    /// The Version that completed its last Workflow Task.
    pub deployment_version: Option<Version>,
    /// Its Versioning Override.
    pub versioning_override: Option<Override>,
    /// Its Versioning Behavior.
    pub behavior: Behavior,
    /// State of its pending Workflow Task.
    pub task: TaskCondition,
    /// Attempt of the pending Workflow Task; 0 where none is pending.
    pub attempt: u32,
    /// Events in its history.
    pub history_length: i64,
    /// The newest reset of this run, by anyone.
    pub reset_run_id: Option<String>,
    /// When Describe was asked.
    pub looked: Timestamp,
    /// Search Attributes.
    pub attributes: BTreeMap<String, AttributeValue>,
    /// The decisions, in order.
    pub decisions: Vec<Explained>,
}

/// One decision's word on it.
#[derive(Clone, Debug, Serialize)]
pub struct Explained {
    /// The decision; of a step with `select` the step.
    pub decision: String,
    /// Its scope.
    pub scope: String,
    /// Whether the Workflow is in it.
    pub in_scope: bool,
    /// Its class.
    pub class: Option<String>,
    /// Each row's verdict.
    pub rows: Vec<RowVerdict>,
    /// What follows.
    pub verdict: Consequence,
    /// Steps that apply it and want more than anybody's yes before they write.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub confirms: Vec<Confirms>,
}

/// What a step wants before it writes.
#[derive(Clone, Debug, Serialize)]
pub struct Confirms {
    /// The step.
    pub step: String,
    /// The word that must be typed; as it is written where only the run knows it.
    pub word: Option<String>,
    /// How many people must agree, and who is not one of them.
    pub agreement: Agreement,
}

impl Confirms {
    /// Of the steps that apply a table.
    pub fn of(runbook: &Runbook, scope: &Scope, table: &str) -> Vec<Self> {
        let mut found = Vec::new();
        for step in runbook.all_steps() {
            let plain = step.confirm.is_none() && step.agreement.is_plain();
            if plain || names_of(step).0.as_deref() != Some(table) {
                continue;
            }
            let word = step.confirm.as_ref().map(|word| {
                let known = scope.render(&Value::from(word.as_str())).ok();
                let known = known.and_then(|known| known.as_str().map(str::to_owned));
                known.unwrap_or_else(|| word.clone())
            });
            found.push(Self {
                step: step.id.clone(),
                word,
                agreement: step.agreement,
            });
        }
        found
    }

    fn text(&self, text: &mut Text) {
        let mut wants = Vec::new();
        if !self.agreement.is_plain() {
            wants.push(self.agreement.clause());
        }
        if let Some(word) = &self.word {
            wants.push(format!("the word `{word}` must be typed"));
        }
        let line = format!("  Step {} asks first: {}.", self.step, wants.join("; "));
        text.line(Tone::Warn, &line);
    }
}

/// What follows for the Workflow.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Consequence {
    /// It would be written to.
    Would {
        /// Row that takes it.
        row: String,
        /// Strategy in force (the row's, or a fallback).
        strategy: String,
        /// The row's own strategy, where a refusal led to a fallback.
        instead_of: Option<String>,
        /// What it does, in words.
        does: String,
        /// Of which kind that is.
        treatment: Treatment,
        /// Where it moves.
        target: Option<Version>,
        /// The event that a reset goes back to.
        reset_point: Option<Box<ResetPoint>>,
        /// What it loses, runs again or re-applies: a sentence each.
        effects: Vec<String>,
    },
    /// Nothing would be done.
    Skip {
        /// Row that takes it, if one does.
        row: Option<String>,
        /// Why.
        reason: String,
    },
    /// No strategy can be applied.
    Refuse {
        /// Row that takes it, if one does.
        row: Option<String>,
        /// The refusal's name.
        refusal: String,
        /// Why.
        message: String,
        /// Events that a reset could go to instead, nearest first.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        valid_reset_events: Vec<ResetPoint>,
    },
    /// It is not this decision's business.
    OutOfScope {
        /// Why.
        reason: String,
    },
    /// No row takes it.
    Unmatched,
}

impl Explanation {
    /// Of a look, before any decision.
    pub fn new(look: &Look) -> Self {
        let listed = &look.listed;
        Self {
            schema: "explain/v1",
            workflow_id: listed.key.workflow_id.clone(),
            run_id: listed.key.run_id.clone(),
            current: (look.current.run_id.clone(), look.current.status),
            workflow_type: listed.workflow_type.clone(),
            status: listed.status,
            task_queue: listed.task_queue.clone(),
            start_time: listed.start_time,
            close_time: listed.close_time,
            parent: listed
                .parent
                .as_ref()
                .map(|parent| parent.workflow_id.clone()),
            children: look
                .pending_children
                .iter()
                .map(|child| child.key.workflow_id.clone())
                .collect(),
            effective_version: look.effective_version(),
            deployment_version: look.deployment_version.clone(),
            versioning_override: look.versioning_override.clone(),
            behavior: look.behavior,
            task: task_state(look),
            attempt: look.pending_task.as_ref().map_or(0, |task| task.attempt),
            history_length: look.history_length,
            reset_run_id: look.reset_run_id.clone(),
            looked: look.at,
            attributes: listed.attributes.clone(),
            decisions: Vec::new(),
        }
    }

    /// Adds a decision's word.
    pub fn add(
        &mut self,
        table: &Table,
        look: &Look,
        history: Option<&HistoryLook>,
        verdict: &Verdict,
        confirms: Vec<Confirms>,
    ) {
        let listed = as_listed(look, look.effective_version());
        self.decisions.push(Explained {
            decision: table.name.clone(),
            scope: table.scope.render(),
            in_scope: table.scope.matches(&listed),
            class: table.class_of(&listed).map(str::to_owned),
            rows: table.verdicts(&listed, look),
            verdict: Consequence::of(table, history, verdict),
            confirms,
        });
    }

    /// For people.
    pub fn text(&self, style: Style) -> String {
        let mut text = Text::new(style);
        text.line(Tone::Strong, &format!("Workflow {}", self.workflow_id));
        self.facts(&mut text);
        for decision in &self.decisions {
            text.gap();
            decision.text(&mut text);
        }
        text.into_string()
    }

    fn facts(&self, text: &mut Text) {
        let mut say = |name: &str, value: &str| {
            if !value.is_empty() {
                text.line(Tone::Plain, &format!("  {name:<15}{value}"));
            }
        };
        say("Run", &self.run_id);
        if self.current.0 != self.run_id {
            say(
                "Current run",
                &format!("{} ({})", self.current.0, self.current.1),
            );
        }
        say("Type", &self.workflow_type);
        let closed = self
            .close_time
            .map(|at| format!(" at {}", moment(at)))
            .unwrap_or_default();
        say("Status", &format!("{}{closed}", self.status));
        say("Task queue", &self.task_queue);
        say("Started", &self.start_time.map(moment).unwrap_or_default());
        say("Parent", self.parent.as_deref().unwrap_or_default());
        say("Children", &self.children.join(", "));
        let next = match &self.effective_version {
            Some(version) => format!("on {version}"),
            None => "on no known Version".to_owned(),
        };
        say("Next task", &next);
        let last = match &self.deployment_version {
            Some(version) => format!("completed on {version}"),
            None => "none completed on a known Version".to_owned(),
        };
        say("Last task", &last);
        say("Behavior", &format!("{:?}", self.behavior));
        say(
            "Override",
            &self
                .versioning_override
                .as_ref()
                .map(words)
                .unwrap_or_default(),
        );
        say(
            "Workflow Task",
            &match (self.task, self.attempt) {
                (TaskCondition::None, _) => "none pending".to_owned(),
                (TaskCondition::Failing, attempt) => format!("failing, attempt {attempt}"),
                (TaskCondition::Progressing, _) => "pending, first attempt".to_owned(),
            },
        );
        say(
            "History",
            &count(u64::try_from(self.history_length).unwrap_or(0), "event"),
        );
        say(
            "Reset to run",
            self.reset_run_id.as_deref().unwrap_or_default(),
        );
        for (name, value) in &self.attributes {
            say("Attribute", &format!("{name} = {}", attribute(value)));
        }
    }
}

fn words(over: &Override) -> String {
    match over {
        Override::Pinned { version } => format!("pinned to {version}"),
        Override::OneTime { version } => format!("moves to {version} once"),
        Override::AutoUpgrade => "follows the Current Version".to_owned(),
    }
}

fn attribute(value: &AttributeValue) -> String {
    match value {
        AttributeValue::Keyword(text) | AttributeValue::Text(text) => text.clone(),
        AttributeValue::KeywordList(items) => items.join(", "),
        AttributeValue::Int(number) => number.to_string(),
        AttributeValue::Double(number) => number.to_string(),
        AttributeValue::Bool(truth) => truth.to_string(),
        AttributeValue::Datetime(at) => moment(*at),
    }
}

impl Consequence {
    fn of(table: &Table, history: Option<&HistoryLook>, verdict: &Verdict) -> Self {
        let name = |row: usize| table.rows[row].id.clone();
        match verdict {
            Verdict::Write {
                row,
                strategy,
                treatment,
                ..
            } => {
                let own = &table.rows[*row].strategy;
                let point = history.and_then(|history| history.reset_point.clone());
                let strategy = &table.strategies[strategy];
                Self::Would {
                    row: name(*row),
                    strategy: strategy.name.clone(),
                    instead_of: (*own != strategy.name).then(|| own.clone()),
                    does: strategy.call.does(),
                    treatment: *treatment,
                    target: strategy.call.target().cloned(),
                    effects: strategy
                        .call
                        .effects(point.as_ref(), history.is_some_and(|it| it.truncated)),
                    reset_point: point
                        .filter(|_| matches!(strategy.call, Call::Reset(_)))
                        .map(Box::new),
                }
            }
            Verdict::Skip { row, reason } => Self::Skip {
                row: row.map(name),
                reason: reason.clone(),
            },
            Verdict::Refuse {
                row,
                refusal,
                message,
                points,
            } => Self::Refuse {
                row: row.map(name),
                refusal: refusal.clone(),
                message: message.clone(),
                valid_reset_events: points.clone(),
            },
            Verdict::Release(reason) => Self::OutOfScope {
                reason: reason.clone(),
            },
            Verdict::Unmatched => Self::Unmatched,
            Verdict::Read(_) | Verdict::ReadFailure => Self::OutOfScope {
                reason: "its history could not be read".to_owned(),
            },
        }
    }
}

impl Explained {
    fn text(&self, text: &mut Text) {
        text.line(Tone::Strong, &format!("Decision {}", self.decision));
        text.line(Tone::Faint, &format!("  {}", self.scope));
        let inside = if self.in_scope {
            "in its scope"
        } else {
            "not in its scope"
        };
        let class = self
            .class
            .as_ref()
            .map_or("no class".to_owned(), |class| format!("class {class}"));
        text.line(
            Tone::Plain,
            &format!("  The Workflow is {inside}, {class}."),
        );
        if self.in_scope {
            let mut taken_by: Option<&str> = None;
            for row in &self.rows {
                match (row.matches, taken_by) {
                    (true, Some(first)) => {
                        text.line(
                            Tone::Faint,
                            &format!("  - {}: would match too, after {first}", row.row),
                        );
                    }
                    (true, None) => {
                        taken_by = Some(&row.row);
                        text.line(Tone::Good, &format!("  + {} takes it", row.row));
                    }
                    (false, _) => {
                        text.line(Tone::Faint, &format!("  - {}: {}", row.row, row.because))
                    }
                }
            }
        }
        self.verdict.text(text);
        if matches!(self.verdict, Consequence::Would { .. }) {
            self.confirms.iter().for_each(|step| step.text(text));
        }
    }
}

impl Consequence {
    fn text(&self, text: &mut Text) {
        let at = |row: &Option<String>| {
            row.as_ref()
                .map(|row| format!(" (row {row})"))
                .unwrap_or_default()
        };
        match self {
            Self::Would {
                row,
                strategy,
                instead_of,
                does,
                effects,
                ..
            } => {
                let instead = instead_of
                    .as_ref()
                    .map(|own| format!(", because `{own}` is refused"))
                    .unwrap_or_default();
                text.line(
                    Tone::Strong,
                    &format!("  Would {does} (row {row}, strategy {strategy}{instead})."),
                );
                effects
                    .iter()
                    .for_each(|effect| text.line(Tone::Plain, &format!("    {effect}")));
            }
            Self::Skip { row, reason } => text.line(
                Tone::Strong,
                &format!("  Would be skipped{}: {reason}.", at(row)),
            ),
            Self::Refuse {
                row,
                refusal,
                message,
                valid_reset_events,
            } => {
                text.line(
                    Tone::Warn,
                    &format!("  Would be refused{}: {message} ({refusal}).", at(row)),
                );
                points::lines(valid_reset_events, "    ", text);
            }
            Self::OutOfScope { reason } => {
                text.line(Tone::Plain, &format!("  Nothing would be done: {reason}."))
            }
            Self::Unmatched => text.line(Tone::Warn, "  No row takes it."),
        }
    }
}

//! Where a reset is to go and what it re-applies, as a runbook says it.

use std::collections::BTreeSet;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Event, Kind, Sort};

/// Where a reset goes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResetTo {
    /// The first Workflow Task of the current run: it starts over.
    FirstWorkflowTask,
    /// The last Workflow Task that completed; Activities that finished after it run again.
    LastWorkflowTask,
    /// The last Workflow Task of the run before: the one that continued as new runs again. The current run is terminated.
    LastContinuedAsNew,
    /// The last Workflow Task that failed or timed out: results of Activities that finished before it are kept.
    FailedTask,
    /// The event with this id: the end (or start) of a Workflow Task.
    Event(
        /// Event id; `runbook reset-points` lists the valid ones.
        i64,
    ),
    /// The last Workflow Task that completed before something happened.
    Before(Before),
    /// The first Workflow Task that this Build ID completed: nothing that the build did is kept.
    Build(
        /// Build ID of the Worker.
        String,
    ),
    /// Old spelling of `build`, for Workers that reported a binary checksum.
    BadBinaryChecksum(
        /// Binary checksum.
        String,
    ),
}

impl JsonSchema for ResetTo {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ResetTo".into()
    }

    // By `if`, not by `oneOf`: what is wrong in one form is then said of that form.
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let points = [
            "first_workflow_task",
            "last_workflow_task",
            "last_continued_as_new",
            "failed_task",
        ];
        schemars::json_schema!({
            "description": "Where the reset goes: `first_workflow_task` (the current run starts over), `last_workflow_task` (the last one that completed; Activities that finished after it run again), `failed_task` (the last one that failed: results of Activities before it are kept), `last_continued_as_new` (the last task of the run before; the current run is terminated), an event id, before something happened, or before the first task of a build.",
            "if": { "type": "object" },
            "then": {
                "properties": {
                    "event": {
                        "description": "Event id; `runbook reset-points` lists the valid ones.",
                        "type": "integer",
                    },
                    "before": generator.subschema_for::<Before>(),
                    "build": {
                        "description": "Before the first Workflow Task that this Build ID completed.",
                        "type": "string",
                    },
                    "bad_binary_checksum": {
                        "description": "Old spelling of `build`, for Workers that reported a binary checksum.",
                        "type": "string",
                    },
                },
                "additionalProperties": false,
                "minProperties": 1,
                "maxProperties": 1,
            },
            "else": { "type": "string", "enum": points },
        })
    }
}

/// What a reset goes back before: an event, or a time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend(
    "if" = { "required": ["time"] },
    "then" = { "properties": { "event": false, "name": false, "which": false, "input": false } },
    "else" = { "required": ["event"] },
))]
pub struct Before {
    /// What kind of event.
    #[serde(default)]
    pub event: Option<EventKind>,
    /// Its name: of the Signal or Update, the Activity's or child's type, the Timer's id, the cause of a failed task. Any, if left out.
    #[serde(default)]
    pub name: Option<String>,
    /// Which, where several match.
    #[serde(default)]
    pub which: Which,
    /// Its input, as JSON: only events with exactly this input match.
    #[serde(default)]
    pub input: Option<Value>,
    /// A time, `2026-11-21T10:00:00Z`; instead of an event.
    #[serde(default)]
    pub time: Option<String>,
}

/// Kinds of events that a reset can go back before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// A Signal came.
    Signal,
    /// An Update was accepted.
    Update,
    /// An Activity was scheduled.
    Activity,
    /// A Timer was started.
    Timer,
    /// A child Workflow was started.
    Child,
    /// A Nexus operation was scheduled.
    Nexus,
    /// A cancellation was requested.
    CancelRequest,
    /// A Workflow Task failed.
    WorkflowTaskFailed,
    /// A Workflow Task timed out.
    WorkflowTaskTimedOut,
}

impl EventKind {
    pub(super) fn noun(self) -> &'static str {
        match self {
            Self::Signal => "Signal",
            Self::Update => "Update",
            Self::Activity => "Activity",
            Self::Timer => "Timer",
            Self::Child => "child Workflow",
            Self::Nexus => "Nexus operation",
            Self::CancelRequest => "cancel request",
            Self::WorkflowTaskFailed => "failed Workflow Task",
            Self::WorkflowTaskTimedOut => "timed-out Workflow Task",
        }
    }

    fn is(self, kind: &Kind) -> bool {
        match self {
            Self::Signal => *kind == Kind::Of(Sort::Signal),
            Self::Update => *kind == Kind::Of(Sort::Update),
            Self::Activity => *kind == Kind::Of(Sort::ActivityScheduled),
            Self::Timer => *kind == Kind::Of(Sort::TimerStarted),
            Self::Child => *kind == Kind::Of(Sort::ChildStarted),
            Self::Nexus => *kind == Kind::Of(Sort::NexusScheduled),
            Self::CancelRequest => *kind == Kind::Of(Sort::CancelRequest),
            Self::WorkflowTaskFailed => *kind == Kind::TaskFailed(false),
            Self::WorkflowTaskTimedOut => *kind == Kind::TaskTimedOut,
        }
    }
}

/// Which of several matching events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Which {
    /// There must be one alone: where several match, the Workflow is refused.
    #[default]
    Only,
    /// The first: everything from then on goes.
    First,
    /// The last.
    Last,
}

/// [`Before`], checked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Moment<'a> {
    /// Before an event of this kind.
    Event(EventKind, &'a Before),
    /// Before a time.
    Time(Timestamp),
}

impl Before {
    /// What it means.
    ///
    /// # Errors
    /// Why it means nothing, in words.
    pub fn moment(&self) -> Result<Moment<'_>, String> {
        let time = |text: &str| {
            text.parse()
                .map_err(|_| format!("`{text}` is no time: expected `2026-11-21T10:00:00Z`"))
        };
        match (self.event, &self.time) {
            (Some(kind), None) => Ok(Moment::Event(kind, self)),
            (None, Some(_))
                if self.name.is_some() || self.input.is_some() || self.which != Which::Only =>
            {
                Err("`before: { time }` takes no `name`, `which` or `input`".to_owned())
            }
            (None, Some(text)) => time(text).map(Moment::Time),
            (Some(_), Some(_)) => Err("`before` takes an `event` or a `time`, not both".to_owned()),
            (None, None) => Err("`before` wants an `event` or a `time`".to_owned()),
        }
    }

    /// Whether an event matches, its input aside.
    pub(super) fn matches(&self, event: &Event) -> bool {
        self.event.is_some_and(|kind| kind.is(&event.kind))
            && self.name.as_ref().is_none_or(|name| *name == event.name)
    }

    /// What is looked for, in words: ``Signal `spend` ``.
    pub fn words(&self) -> String {
        let Some(kind) = self.event else {
            return self.time.clone().unwrap_or_default();
        };
        let name = self
            .name
            .as_ref()
            .map(|name| format!(" `{name}`"))
            .unwrap_or_default();
        let input = self
            .input
            .as_ref()
            .map(|input| format!(" with input {input}"))
            .unwrap_or_default();
        format!("{}{name}{input}", kind.noun())
    }
}

impl ResetTo {
    /// Whether the inputs of events have to be decoded.
    pub fn wants_input(&self) -> bool {
        matches!(self, Self::Before(before) if before.input.is_some())
    }

    /// Where it goes, in words.
    pub fn words(&self) -> String {
        match self {
            Self::FirstWorkflowTask => "start over from the first Workflow Task".to_owned(),
            Self::LastWorkflowTask => "reset to the last completed Workflow Task".to_owned(),
            Self::LastContinuedAsNew => {
                "reset the run before to its last Workflow Task, which continued as new".to_owned()
            }
            Self::FailedTask => {
                "reset to the last failed Workflow Task, keeping Activities' results".to_owned()
            }
            Self::Event(id) => format!("reset to event {id}"),
            Self::Before(before) => {
                let which = match (before.event, before.which) {
                    (None, _) => "",
                    (_, Which::Only) => "the ",
                    (_, Which::First) => "the first ",
                    (_, Which::Last) => "the last ",
                };
                format!("reset to just before {which}{}", before.words())
            }
            Self::Build(build) => {
                format!("reset to before the first Workflow Task that build {build} completed")
            }
            Self::BadBinaryChecksum(build) => {
                format!("reset to before the first Workflow Task that binary {build} completed")
            }
        }
    }
}

/// What is re-applied after a reset: everything, nothing, or everything without some.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reapply {
    /// Signals.
    pub signals: bool,
    /// Updates.
    pub updates: bool,
    /// Results of Nexus operations.
    pub nexus: bool,
}

/// The spellings.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
enum Without {
    /// Everything but Signals.
    #[serde(rename = "without_signals")]
    Signals,
    /// Everything but Updates.
    #[serde(rename = "without_updates")]
    Updates,
    /// Everything but results of Nexus operations.
    #[serde(rename = "without_nexus")]
    Nexus,
}

impl Reapply {
    /// Signals, Updates and results of Nexus operations after the reset point.
    pub const ALL: Self = Self {
        signals: true,
        updates: true,
        nexus: true,
    };
    /// Nothing.
    pub const NONE: Self = Self {
        signals: false,
        updates: false,
        nexus: false,
    };

    fn without(names: &BTreeSet<Without>) -> Self {
        Self {
            signals: !names.contains(&Without::Signals),
            updates: !names.contains(&Without::Updates),
            nexus: !names.contains(&Without::Nexus),
        }
    }

    fn names(&self) -> Vec<Without> {
        [
            (self.signals, Without::Signals),
            (self.updates, Without::Updates),
            (self.nexus, Without::Nexus),
        ]
        .into_iter()
        .filter_map(|(kept, name)| (!kept).then_some(name))
        .collect()
    }

    /// In words, imperative.
    pub fn words(&self) -> &'static str {
        match (self.signals, self.updates, self.nexus) {
            (true, true, true) => "re-apply Signals and Updates",
            (false, true, true) => "re-apply Updates, not Signals",
            (true, false, true) => "re-apply Signals, not Updates",
            (true, true, false) => "re-apply Signals and Updates, not Nexus results",
            (true, false, false) => "re-apply Signals alone",
            (false, true, false) => "re-apply Updates alone",
            (false, false, true) => "re-apply Nexus results alone",
            (false, false, false) => "re-apply nothing",
        }
    }
}

impl Serialize for Reapply {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.names().as_slice() {
            [] => serializer.serialize_str("all"),
            [one] => one.serialize(serializer),
            [_, _, _] => serializer.serialize_str("none"),
            several => several.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Reapply {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let value = Value::deserialize(deserializer)?;
        match &value {
            Value::String(text) if text == "all" => Ok(Self::ALL),
            Value::String(text) if text == "none" => Ok(Self::NONE),
            Value::String(_) => {
                let one: Without = serde_json::from_value(value).map_err(D::Error::custom)?;
                Ok(Self::without(&BTreeSet::from([one])))
            }
            _ => {
                let names: BTreeSet<Without> =
                    serde_json::from_value(value).map_err(D::Error::custom)?;
                Ok(Self::without(&names))
            }
        }
    }
}

impl JsonSchema for Reapply {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Reapply".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let without = ["without_signals", "without_updates", "without_nexus"];
        let names = [
            "all",
            "without_signals",
            "without_updates",
            "without_nexus",
            "none",
        ];
        schemars::json_schema!({
            "description": "What is re-applied after a reset: `all`, `none`, all but one kind, or a list of kinds to leave out.",
            "if": { "type": "array" },
            "then": { "items": { "type": "string", "enum": without }, "minItems": 1, "uniqueItems": true },
            "else": { "type": "string", "enum": names },
        })
    }
}

//! One run's history in short: events, the points to which it can be reset, and what lies after them.
//!
//! Pure: `temporal` feeds events in, page by page and from whichever end is nearer, so that a history of
//! 50,000 events is never held whole. Nothing here knows protobuf, the service or a decision.
//!
//! - [`target`]: where a reset is to go, as a runbook says it.
//! - [`seek`]: events → the point that is meant, or why there is none.
//! - [`points`]: events → every point, newest first, with what lies between.

mod points;
mod seek;
mod target;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use points::Points;
pub use seek::{Direction, Miss, Seek};
pub use target::{Before, EventKind, Moment, Reapply, ResetTo, Which};

/// How many happenings are named one by one; beyond that they are counted.
pub const NAMED: usize = 50;

/// What a person cares about in a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Sort {
    Signal,
    Update,
    CancelRequest,
    ActivityScheduled,
    ActivityCompleted,
    ActivityFailed,
    TimerStarted,
    TimerFired,
    ChildStarted,
    ChildClosed,
    NexusScheduled,
    NexusClosed,
    TaskFailed,
    TaskTimedOut,
}

impl Sort {
    /// What one and several of them are called.
    fn nouns(self) -> (&'static str, &'static str) {
        match self {
            Self::Signal => ("Signal", "Signals"),
            Self::Update => ("Update", "Updates"),
            Self::CancelRequest => ("cancel request", "cancel requests"),
            Self::ActivityScheduled => ("Activity scheduled", "Activities scheduled"),
            Self::ActivityCompleted => ("Activity completed", "Activities completed"),
            Self::ActivityFailed => ("Activity failed", "Activities failed"),
            Self::TimerStarted => ("Timer started", "Timers started"),
            Self::TimerFired => ("Timer fired", "Timers fired"),
            Self::ChildStarted => ("child Workflow started", "child Workflows started"),
            Self::ChildClosed => ("child Workflow closed", "child Workflows closed"),
            Self::NexusScheduled => ("Nexus operation scheduled", "Nexus operations scheduled"),
            Self::NexusClosed => ("Nexus operation ended", "Nexus operations ended"),
            Self::TaskFailed => ("Workflow Task failed", "Workflow Tasks failed"),
            Self::TaskTimedOut => ("Workflow Task timed out", "Workflow Tasks timed out"),
        }
    }
}

/// An event, as far as a reset is concerned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// WorkflowTaskScheduled.
    TaskScheduled,
    /// WorkflowTaskStarted.
    TaskStarted,
    /// WorkflowTaskCompleted, and the Build ID (or, before there were any, the binary checksum) that did it.
    TaskCompleted(String),
    /// WorkflowTaskFailed; true where a reset wrote it. The cause is the event's name.
    TaskFailed(bool),
    /// WorkflowTaskTimedOut.
    TaskTimedOut,
    /// Something that a person cares about.
    Of(Sort),
    /// Anything else.
    Other,
}

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Event id, from 1.
    pub id: i64,
    /// When.
    pub time: Option<Timestamp>,
    /// What.
    pub kind: Kind,
    /// Name of the Signal, Update, Activity Type, child's Workflow Type, Timer id or cause; empty for none.
    pub name: String,
    /// The event that it ends (an Activity's scheduled event, a child's initiated event); 0 for none.
    pub of: i64,
    /// Its input, where it was asked for: none where it could not be decoded.
    pub input: Option<Value>,
}

impl Event {
    /// Whether the service accepts a reset to this event, given that it is durable.
    pub fn is_point(&self) -> bool {
        self.ends_task() || self.kind == Kind::TaskStarted
    }

    /// Whether it ends a Workflow Task: what is offered to a person.
    pub fn ends_task(&self) -> bool {
        matches!(
            self.kind,
            Kind::TaskCompleted(_) | Kind::TaskFailed(_) | Kind::TaskTimedOut
        )
    }

    fn sort(&self) -> Option<Sort> {
        match &self.kind {
            Kind::Of(sort) => Some(*sort),
            // A reset's own mark is not something that happened to the Workflow.
            Kind::TaskFailed(false) => Some(Sort::TaskFailed),
            Kind::TaskTimedOut => Some(Sort::TaskTimedOut),
            _ => None,
        }
    }

    fn type_name(&self) -> &'static str {
        match self.kind {
            Kind::TaskScheduled => "WorkflowTaskScheduled",
            Kind::TaskStarted => "WorkflowTaskStarted",
            Kind::TaskCompleted(_) => "WorkflowTaskCompleted",
            Kind::TaskFailed(_) => "WorkflowTaskFailed",
            Kind::TaskTimedOut => "WorkflowTaskTimedOut",
            Kind::Of(_) | Kind::Other => "",
        }
    }
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Happening {
    /// Event id.
    pub event_id: i64,
    /// What.
    pub what: Sort,
    /// Its name; empty for none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
}

/// What lies in a stretch of a history: counts, and the first happenings by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stretch {
    /// Events in all.
    pub events: u64,
    /// Happenings by sort.
    pub counts: BTreeMap<Sort, u32>,
    /// Up to [`NAMED`] of them, by event id.
    pub happenings: Vec<Happening>,
}

impl Stretch {
    /// Of one sort.
    pub fn count(&self, sort: Sort) -> u32 {
        self.counts.get(&sort).copied().unwrap_or(0)
    }

    /// Whether something happened in it.
    pub fn is_quiet(&self) -> bool {
        self.counts.is_empty()
    }

    /// Takes one more event in; from either side.
    fn add(&mut self, event: &Event, names: &Names) {
        self.events += 1;
        let Some(sort) = event.sort() else { return };
        *self.counts.entry(sort).or_default() += 1;
        let happening = Happening {
            event_id: event.id,
            what: sort,
            name: names.of(event),
        };
        let at = self
            .happenings
            .partition_point(|other| other.event_id < event.id);
        self.happenings.insert(at, happening);
        // What happened first after a point tells most about it.
        self.happenings.truncate(NAMED);
    }

    /// A name that was met only later, reading backwards: an Activity's type stands in the event that scheduled it.
    fn rename(&mut self, names: &BTreeMap<i64, String>) {
        for happening in &mut self.happenings {
            if happening.name.is_empty()
                && let Some(name) = names.get(&happening.event_id)
            {
                happening.name.clone_from(name);
            }
        }
    }

    /// In words, at most `most` names a sort: `Signal spend (event 7), 3 Activities completed`.
    pub fn words(&self, most: usize) -> String {
        let mut parts = Vec::new();
        for (sort, count) in &self.counts {
            let (one, several) = sort.nouns();
            let mut names: Vec<&str> = Vec::new();
            for happening in self.happenings.iter().filter(|it| it.what == *sort) {
                if !happening.name.is_empty() && !names.contains(&happening.name.as_str()) {
                    names.push(&happening.name);
                }
            }
            let more = names.len() > most;
            names.truncate(most);
            let list = match (names.is_empty(), more) {
                (true, _) => String::new(),
                (false, false) => format!(" ({})", names.join(", ")),
                (false, true) => format!(" ({}, …)", names.join(", ")),
            };
            parts.push(match count {
                1 => format!("1 {one}{list}"),
                n => format!("{n} {several}{list}"),
            });
        }
        if parts.is_empty() {
            "nothing that a person would miss".to_owned()
        } else {
            parts.join(", ")
        }
    }
}

/// Names of what later events end, bounded: an Activity's completion does not repeat its type.
#[derive(Clone, Debug, Default)]
struct Names {
    /// By the event that began it.
    known: BTreeMap<i64, String>,
}

impl Names {
    /// So many are open at once at most (the service's own bound is 2,000 a kind).
    const MOST: usize = 10_000;

    fn learn(&mut self, event: &Event) {
        let begins = matches!(
            event.kind,
            Kind::Of(
                Sort::ActivityScheduled
                    | Sort::ChildStarted
                    | Sort::NexusScheduled
                    | Sort::TimerStarted
            )
        );
        if begins && self.known.len() < Self::MOST {
            self.known.insert(event.id, event.name.clone());
        }
    }

    fn of(&self, event: &Event) -> String {
        if event.name.is_empty() {
            self.known.get(&event.of).cloned().unwrap_or_default()
        } else {
            event.name.clone()
        }
    }

    fn forget(&mut self, event: &Event) {
        if event.of > 0 {
            self.known.remove(&event.of);
        }
    }
}

/// A point to which a run can be reset.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResetPoint {
    /// Event id for `workflow_task_finish_event_id`.
    pub event_id: i64,
    /// What kind of event it is (`WorkflowTaskCompleted`).
    pub event_type: String,
    /// When that event happened.
    pub time: Option<Timestamp>,
    /// Signals after it.
    pub signals_after: u32,
    /// Updates after it.
    pub updates_after: u32,
    /// Activities that completed after it and would run again.
    pub activities_after: u32,
    /// Events after it in all (a lower bound where the history was truncated).
    pub events_after: u64,
    /// What happened after it.
    #[serde(default)]
    pub after: Stretch,
    /// What lies between it and the next newer point, where points are listed.
    #[serde(default)]
    pub follows: Stretch,
}

impl ResetPoint {
    fn new(event: &Event, after: Stretch, follows: Stretch) -> Self {
        Self {
            follows,
            event_id: event.id,
            event_type: event.type_name().to_owned(),
            time: event.time,
            signals_after: after.count(Sort::Signal),
            updates_after: after.count(Sort::Update),
            activities_after: after.count(Sort::ActivityCompleted),
            events_after: after.events,
            after,
        }
    }
}

/// What a reset would do to one Workflow; or, where its event is none to reset to, where it could go instead.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outlook {
    /// Workflow ID.
    pub workflow_id: String,
    /// The run that would be reset.
    pub run_id: String,
    /// Where it would go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub point: Option<ResetPoint>,
    /// What that loses, runs again or re-applies, a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub effects: Vec<String>,
    /// `WF_1001` where the event is none to reset to.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub code: String,
    /// Why not, in words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Events that it could go to instead, nearest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub valid_reset_events: Vec<ResetPoint>,
}

/// Names that are learnt too late, reading backwards: an Activity's type stands in the event that scheduled it.
#[derive(Clone, Debug, Default)]
struct LateNames {
    /// What began them → those that ended it.
    waiting: BTreeMap<i64, Vec<i64>>,
    /// Event → name.
    learnt: BTreeMap<i64, String>,
}

impl LateNames {
    fn learn(&mut self, event: &Event) {
        if event.name.is_empty() && event.of > 0 && event.sort().is_some() {
            self.waiting.entry(event.of).or_default().push(event.id);
        }
        for id in self.waiting.remove(&event.id).unwrap_or_default() {
            if self.learnt.len() < Names::MOST {
                self.learnt.insert(id, event.name.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests;

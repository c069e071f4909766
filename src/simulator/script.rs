//! The histories that seeded Workflows begin with, as offsets from their start.

use std::sync::Arc;

use jiff::Timestamp;

use super::history::{ChildMark, Event, History, Message, What};
use super::proto;
use super::state::{VersionId, closing_event};
use super::workers::push_failures;
use super::world::{GroupTask, Happening, TaskFailure};
use crate::survey::{Behavior, Status};

/// The history of a group's Workflows, as offsets from the start in microseconds.
struct Script {
    events: Vec<Event>,
    at: i64,
    step: i64,
    version: VersionId,
    behavior: Behavior,
    /// Whether a Workflow Task is scheduled.
    scheduled: bool,
}

/// Between two events.
const STEP: i64 = 50_000;
/// Events of an Activity and the Workflow Task that takes note of it.
const CYCLE: usize = 6;

impl Script {
    fn push(&mut self, what: What) {
        self.events.push(Event { at: self.at, what });
        self.at += self.step;
    }

    fn schedule(&mut self) {
        if !self.scheduled {
            self.push(What::TaskScheduled);
            self.scheduled = true;
        }
    }

    /// Completes the scheduled task.
    fn task(&mut self) {
        self.push(What::TaskStarted(self.version));
        self.push(What::TaskCompleted(self.version, self.behavior));
        self.scheduled = false;
    }

    /// Before what only a completed task can ask for.
    fn settle(&mut self) {
        if self.scheduled {
            self.task();
        }
    }

    fn activity(&mut self, name: Option<&Arc<str>>) {
        self.settle();
        self.push(What::ActivityScheduled(name.cloned()));
        self.push(What::ActivityStarted);
        self.push(What::ActivityCompleted);
        self.schedule();
    }
}

/// What a script is made of.
pub(super) struct Plot<'a> {
    pub(super) version: VersionId,
    pub(super) behavior: Behavior,
    pub(super) tasks: u32,
    pub(super) signals: u32,
    pub(super) updates: u32,
    /// With the Version that completes the task after each, where it says one.
    pub(super) happenings: &'a [(Happening, Option<VersionId>)],
    /// Activities are added until there are so many events.
    pub(super) events: usize,
    /// Nothing but the start has happened.
    pub(super) waits: bool,
    pub(super) children: &'a [Arc<ChildMark>],
    pub(super) task: GroupTask,
    pub(super) status: Status,
    /// From the start to now.
    pub(super) now: i64,
    /// From the start to the failing task.
    pub(super) failing: i64,
    /// From the start to the close.
    pub(super) closed: i64,
}

/// The events of one Workflow.
pub(super) fn script(plot: &Plot<'_>) -> Vec<Event> {
    let most = i64::try_from(plot.events.max(100)).unwrap_or(i64::MAX);
    let mut script = Script {
        events: Vec::with_capacity(plot.events),
        at: 0,
        step: STEP.min(plot.now / most.saturating_mul(2)).max(1),
        version: plot.version,
        behavior: plot.behavior,
        scheduled: false,
    };
    script.push(What::Started);
    if plot.waits {
        return script.events;
    }
    script.schedule();
    for number in 0..plot.tasks {
        script.task();
        if number == 0 {
            received(&mut script, plot);
            for (happening, version) in plot.happenings {
                happened(&mut script, plot, happening, *version);
            }
            script.settle();
            pad(&mut script, plot);
        }
        let more =
            number + 1 < plot.tasks || plot.task != GroupTask::None || closes_by_task(plot.status);
        if more {
            script.activity(None);
        }
    }
    ending(&mut script, plot);
    script.events
}

fn closes_by_task(status: Status) -> bool {
    matches!(
        status,
        Status::Completed | Status::Failed | Status::Canceled | Status::ContinuedAsNew
    )
}

/// Children, Signals and Updates, and the task that took note of them.
fn received(script: &mut Script, plot: &Plot<'_>) {
    for child in plot.children {
        script.push(What::ChildInitiated(child.clone()));
        script.push(What::ChildStarted(child.clone()));
    }
    for number in 0..plot.signals {
        script.push(What::Signaled(message("add", number)));
    }
    for number in 0..plot.updates {
        script.push(What::UpdateAccepted(message("adjust", number)));
        script.push(What::UpdateCompleted(message("adjust", number)));
    }
    if !plot.children.is_empty() || plot.signals + plot.updates > 0 {
        script.schedule();
        script.task();
    }
}

/// One entry of a group's `history`.
fn happened(script: &mut Script, plot: &Plot<'_>, it: &Happening, version: Option<VersionId>) {
    if let Some(ago) = it.ago {
        let ago = i64::try_from(ago.0.as_micros()).unwrap_or(i64::MAX);
        script.at = script.at.max(plot.now.saturating_sub(ago));
    }
    script.version = version.unwrap_or(script.version);
    for _ in 0..it.times.unwrap_or(1) {
        once(script, it);
    }
}

fn once(script: &mut Script, it: &Happening) {
    if let Some(name) = &it.signal {
        let message = received_message(script, name, it);
        script.push(What::Signaled(message));
        script.schedule();
    } else if let Some(name) = &it.update {
        let message = received_message(script, name, it);
        if !script.scheduled {
            script.push(What::SpeculativeScheduled);
            script.push(What::SpeculativeStarted(script.version));
            script.push(What::TaskCompleted(script.version, script.behavior));
        }
        script.settle();
        script.push(What::UpdateAccepted(message.clone()));
        script.push(What::UpdateCompleted(message));
        return;
    } else if let Some(name) = &it.activity {
        script.activity(Some(&name.as_str().into()));
    } else if let Some(length) = it.timer {
        script.settle();
        script.push(What::TimerStarted(length.0));
        script.at += i64::try_from(length.0.as_micros()).unwrap_or(0);
        script.push(What::TimerFired);
        script.schedule();
    } else if let Some(name) = &it.child {
        past_child(script, name);
    } else if let Some(cause) = it.failure {
        script.schedule();
        script.push(What::TaskStarted(script.version));
        script.push(What::TaskFailed(cause));
        script.push(What::TaskScheduled);
    }
    if it.task.unwrap_or(true) {
        script.settle();
    }
}

/// A child that was started and has completed; only this history knows of it.
fn past_child(script: &mut Script, name: &str) {
    script.settle();
    let number = script.events.len();
    let id: Arc<str> = format!("{}-{number}", name.to_lowercase()).into();
    let mark = Arc::new(ChildMark {
        run: uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_URL, id.as_bytes()).as_u128(),
        id,
        workflow_type: name.into(),
        task_queue: "default".into(),
    });
    script.push(What::ChildInitiated(mark.clone()));
    script.push(What::ChildStarted(mark.clone()));
    script.schedule();
    script.task();
    script.push(What::ChildCompleted(mark));
    script.schedule();
}

fn received_message(script: &Script, name: &str, it: &Happening) -> Arc<Message> {
    Arc::new(Message {
        name: name.to_owned(),
        input: it.input.as_ref().and_then(proto::json_payloads),
        identity: it.identity.clone().unwrap_or_else(|| "customer".to_owned()),
        request_id: format!("{name}-{}", script.events.len()),
        ..Message::default()
    })
}

fn pad(script: &mut Script, plot: &Plot<'_>) {
    while script.events.len() + CYCLE <= plot.events {
        script.activity(None);
        script.settle();
    }
}

fn message(name: &str, number: u32) -> Arc<Message> {
    Arc::new(Message {
        name: name.to_owned(),
        input: proto::json_payloads(&number.into()),
        identity: "customer".to_owned(),
        request_id: format!("{name}-{number}"),
        ..Message::default()
    })
}

fn ending(script: &mut Script, plot: &Plot<'_>) {
    if plot.status.is_open() {
        let cause = match plot.task {
            GroupTask::None | GroupTask::Unpolled => return,
            GroupTask::Progressing => return script.push(What::TaskStarted(script.version)),
            GroupTask::Failing => TaskFailure::NonDeterministic,
            GroupTask::Erring => TaskFailure::Error,
        };
        script.at = script.at.max(plot.failing);
        if let Some(scheduled) = script.events.last_mut() {
            scheduled.at = script.at;
        }
        script.push(What::TaskStarted(script.version));
        let mut tail = History::new(Arc::from([]), Timestamp::UNIX_EPOCH);
        push_failures(
            &mut tail,
            proto::from_micros(script.at),
            script.version,
            cause,
        );
        script.events.extend(tail.iter().cloned());
        return;
    }
    script.at = script.at.max(plot.closed);
    if closes_by_task(plot.status) {
        script.schedule();
        script.task();
    }
    script.push(closing_event(plot.status));
}

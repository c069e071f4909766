//! The histories that seeded Workflows begin with, as offsets from their start.

use std::sync::Arc;

use jiff::Timestamp;

use super::history::{ChildMark, Event, History, Message, What};
use super::state::{VersionId, closing_event};
use super::workers::push_failures;
use super::world::GroupTask;
use crate::survey::{Behavior, Status};

/// The history of a group's Workflows, as offsets from the start in microseconds.
struct Script {
    events: Vec<Event>,
    at: i64,
}

/// Between two events.
const STEP: i64 = 50_000;

impl Script {
    fn push(&mut self, what: What) {
        self.events.push(Event { at: self.at, what });
        self.at += STEP;
    }

    fn task(&mut self, version: VersionId, behavior: Behavior) {
        self.push(What::TaskStarted(version));
        self.push(What::TaskCompleted(version, behavior));
    }
}

/// What a script is made of.
pub(super) struct Plot<'a> {
    pub(super) version: VersionId,
    pub(super) behavior: Behavior,
    pub(super) tasks: u32,
    pub(super) signals: u32,
    pub(super) updates: u32,
    pub(super) children: &'a [Arc<ChildMark>],
    pub(super) task: GroupTask,
    pub(super) status: Status,
    /// From the start to the failing task.
    pub(super) failing: i64,
    /// From the start to the close.
    pub(super) closed: i64,
}

/// The events of one Workflow.
pub(super) fn script(plot: &Plot<'_>) -> Vec<Event> {
    let mut script = Script {
        events: Vec::new(),
        at: 0,
    };
    script.push(What::Started);
    script.push(What::TaskScheduled);
    for number in 0..plot.tasks {
        script.task(plot.version, plot.behavior);
        if number == 0 {
            received(&mut script, plot);
        }
        let more =
            number + 1 < plot.tasks || plot.task != GroupTask::None || closes_by_task(plot.status);
        if more {
            script.push(What::ActivityScheduled);
            script.push(What::ActivityStarted);
            script.push(What::ActivityCompleted);
            script.push(What::TaskScheduled);
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
        script.push(What::TaskScheduled);
        script.task(plot.version, plot.behavior);
    }
}

fn message(name: &str, number: u32) -> Arc<Message> {
    Arc::new(Message {
        name: name.to_owned(),
        input: super::proto::json_payloads(&number.into()),
        identity: "customer".to_owned(),
        request_id: format!("{name}-{number}"),
    })
}

fn ending(script: &mut Script, plot: &Plot<'_>) {
    if plot.status.is_open() {
        match plot.task {
            GroupTask::None | GroupTask::Unpolled => {}
            GroupTask::Progressing => script.push(What::TaskStarted(plot.version)),
            GroupTask::Failing => {
                script.at = script.at.max(plot.failing);
                if let Some(scheduled) = script.events.last_mut() {
                    scheduled.at = script.at;
                }
                script.push(What::TaskStarted(plot.version));
                let mut tail = History::new(Arc::from([]), Timestamp::UNIX_EPOCH);
                push_failures(
                    &mut tail,
                    super::proto::from_micros(script.at),
                    plot.version,
                );
                script.events.extend(tail.iter().cloned());
            }
        }
        return;
    }
    script.at = script.at.max(plot.closed);
    if closes_by_task(plot.status) {
        script.task(plot.version, plot.behavior);
    }
    script.push(closing_event(plot.status));
}

//! What Workers do by themselves: tasks are routed, taken, completed, failed and
//! timed out; Workers stop.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::SignedDuration;

use super::execution::{Attempt, Execution, Override, Task, attempt_at};
use super::history::{Message, What};
use super::state::{Due, State, VersionId, closing_event};
use super::world::{Behaviour, ClosesAs, GroupBehavior, OnCancel, TaskFailure};
use crate::survey::{Behavior, Status};

/// From a scheduled task to the Worker that takes it.
const PICKUP: std::time::Duration = std::time::Duration::from_millis(110);

impl State {
    /// The Version that the next Workflow Task goes to.
    pub(super) fn route(&self, index: u32) -> Option<VersionId> {
        self.route_of(self.execution(index))
    }

    pub(super) fn route_of(&self, run: &Execution) -> Option<VersionId> {
        if let Some(target) = run.moved.and_then(Override::target) {
            return Some(target);
        }
        let current = self
            .deployments
            .get(&run.kind.deployment)
            .and_then(|deployment| deployment.current);
        match run.effective_behavior() {
            Behavior::Pinned => run.ran_on.or(run.inherited).or(current),
            Behavior::AutoUpgrade => current.or(run.ran_on),
            Behavior::Unspecified => run.inherited.or(current),
        }
    }

    /// Schedules a Workflow Task, where none is pending.
    pub(super) fn schedule_task(&mut self, index: u32) {
        let run = self.execution(index);
        if !run.is_open() || run.task != Task::None || run.waits() {
            return;
        }
        let (now, version) = (self.now, self.route(index));
        let run = self.execution_mut(index);
        run.history.push(now, What::TaskScheduled);
        self.set_task(
            index,
            Task::Scheduled {
                version,
                since: now,
                original: now,
                attempt: 1,
            },
        );
        self.offer(index);
    }

    pub(super) fn set_task(&mut self, index: u32, task: Task) {
        let run = self.execution_mut(index);
        run.task = task;
        run.generation += 1;
    }

    fn offer(&mut self, index: u32) {
        let run = self.execution(index);
        let Task::Scheduled {
            version: Some(version),
            ..
        } = run.task
        else {
            return;
        };
        let generation = run.generation;
        if self.behaviour(run, version) != Behaviour::NoWorkers {
            self.due_after(PICKUP, Due::Dispatch { index, generation });
        }
    }

    pub(super) fn dispatch(&mut self, index: u32, generation: u32) {
        let run = self.execution(index);
        if run.generation != generation || !run.is_open() {
            return;
        }
        let (version, original, attempt, taken) = match run.task {
            Task::Scheduled {
                version: Some(version),
                original,
                attempt,
                ..
            } => (version, original, attempt, false),
            Task::Taken {
                version, original, ..
            } => (version, original, 1, true),
            _ => return,
        };
        match self.behaviour(run, version) {
            Behaviour::NoWorkers => {}
            Behaviour::FailTasks | Behaviour::RaiseErrors => {
                self.fail_tasks(index, version, original, attempt, taken)
            }
            Behaviour::FailWorkflow => {
                self.complete_task(index, version, attempt, taken);
                if self.execution(index).is_open() {
                    self.close(index, Status::Failed, What::Failed("the Workflow failed"));
                    self.tell_parent(index);
                }
            }
            Behaviour::Idle | Behaviour::Corrupt => {
                self.complete_task(index, version, attempt, taken)
            }
            Behaviour::Complete => {
                self.complete_task(index, version, attempt, taken);
                self.begin_work(index);
            }
        }
    }

    fn fail_tasks(
        &mut self,
        index: u32,
        version: VersionId,
        original: jiff::Timestamp,
        attempt: u32,
        taken: bool,
    ) {
        let now = self.now;
        let cause = match self.behaviour(self.execution(index), version) {
            Behaviour::RaiseErrors => TaskFailure::Error,
            _ => TaskFailure::NonDeterministic,
        };
        let run = self.execution_mut(index);
        if attempt == 1 {
            if !taken {
                run.history.push(now, What::TaskStarted(version));
            }
            push_failures(&mut run.history, now, version, cause);
        }
        self.set_task(
            index,
            Task::Retrying {
                version,
                since: now,
                original,
                first: attempt,
            },
        );
    }

    fn complete_task(&mut self, index: u32, version: VersionId, attempt: u32, taken: bool) {
        let now = self.now;
        let run = self.execution_mut(index);
        if attempt > 1 {
            run.history.push(now, What::TaskScheduled);
        }
        if !taken {
            run.history.push(now, What::TaskStarted(version));
        }
        if run.behavior == Behavior::Unspecified {
            run.behavior = match run.kind.profile.behavior {
                GroupBehavior::Pinned => Behavior::Pinned,
                GroupBehavior::AutoUpgrade => Behavior::AutoUpgrade,
            };
        }
        run.history
            .push(now, What::TaskCompleted(version, run.behavior));
        accept_updates(run, now);
        run.ran_on = Some(version);
        if !run.used.contains(&version) {
            run.used = run.used.iter().copied().chain([version]).collect();
        }
        if run.moved == Some(Override::OneTime(version)) {
            run.moved = None;
        }
        run.problems = false;
        self.set_task(index, Task::None);
        self.publish(index);
        self.start_children(index, version);
        self.heed(index);
    }

    /// What a Workflow does about a cancellation request or a Signal that its Worker took note of.
    fn heed(&mut self, index: u32) {
        let run = self.execution(index);
        if !run.is_open() {
            return;
        }
        let profile = run.kind.profile.clone();
        let closing = (!profile.on_signal.is_empty())
            .then(|| closing_signal(run, &profile.on_signal))
            .flatten();
        if let Some(status) = closing {
            return self.finishes(index, status);
        }
        let asked = run
            .extra
            .as_ref()
            .is_some_and(|extra| extra.cancel_requested && !extra.cancel_heeded);
        if !asked {
            return;
        }
        self.execution_mut(index).extra_mut().cancel_heeded = true;
        let status = match profile.on_cancel {
            OnCancel::Canceled => Status::Canceled,
            OnCancel::Completed => Status::Completed,
            OnCancel::Failed => Status::Failed,
            OnCancel::Ignored => return,
        };
        if profile.cancel_takes.is_zero() {
            self.finishes(index, status);
        } else {
            self.due_after(profile.cancel_takes, Due::Finishes { index, status });
        }
    }

    /// Closes a Workflow with a completed Workflow Task, the last one or one more.
    pub(super) fn finishes(&mut self, index: u32, status: Status) {
        let (now, version) = (self.now, self.route(index));
        let run = self.execution_mut(index);
        if !run.is_open() {
            return;
        }
        let just_completed = matches!(
            run.history.get(run.history.len()),
            Some(What::TaskCompleted(..))
        );
        if let (false, Some(version), Task::None) = (just_completed, version, run.task) {
            let behavior = run.behavior;
            run.history.push(now, What::TaskScheduled);
            run.history.push(now, What::TaskStarted(version));
            run.history
                .push(now, What::TaskCompleted(version, behavior));
        }
        self.close(index, status, closing_event(status));
        self.tell_parent(index);
    }

    pub(super) fn first_task_due(&mut self, index: u32) {
        if self.execution(index).waits() {
            self.execution_mut(index).extra_mut().waits_until = None;
            self.schedule_task(index);
        }
    }

    /// New Workers under the same Build ID: what fails now is tried again when its attempt ends.
    pub(super) fn fix_workers(&mut self, version: VersionId, behaves: Behaviour) {
        let workers = &mut self.workers[usize::from(version.0)];
        workers.behaves = behaves;
        workers.fixed = true;
        workers.polling = behaves != Behaviour::NoWorkers;
        let stuck: Vec<u32> = (0u32..)
            .zip(&self.executions)
            .filter(
                |(_, run)| matches!(run.task, Task::Retrying { version: on, .. } if on == version),
            )
            .map(|(index, _)| index)
            .collect();
        for index in stuck {
            self.hold(index);
        }
        let waiting: Vec<u32> = (0u32..)
            .zip(&self.executions)
            .filter(|(_, run)| matches!(run.task, Task::Scheduled { version: on, .. } if on == Some(version)))
            .map(|(index, _)| index)
            .collect();
        for index in waiting {
            self.offer(index);
        }
    }

    /// A reset to before its children makes a parent start them again: it fails where one still runs.
    fn start_children(&mut self, index: u32, version: VersionId) {
        let waiting: Vec<_> = self
            .execution(index)
            .children()
            .iter()
            .filter(|child| child.initiated == 0)
            .map(|one| one.mark.clone())
            .collect();
        for mark in waiting {
            let now = self.now;
            let running = self
                .by_id
                .get(&mark.id)
                .is_some_and(|lineage| self.execution(lineage.current()).is_open());
            let run = self.execution_mut(index);
            run.history.push(now, What::ChildInitiated(mark.clone()));
            let initiated = i64::try_from(run.history.len()).unwrap_or(i64::MAX);
            for child in &mut run.extra_mut().children {
                if child.mark.id == mark.id {
                    child.initiated = initiated;
                    child.done = true;
                }
            }
            if running {
                run.history.push(now, What::ChildStartFailed(mark));
                run.history.push(now, What::TaskScheduled);
                run.history.push(now, What::TaskStarted(version));
                run.history
                    .push(now, What::TaskCompleted(version, run.behavior));
                self.close(
                    index,
                    Status::Failed,
                    What::Failed("Child Workflow execution failed"),
                );
                return;
            }
            run.history.push(now, What::ChildStarted(mark.clone()));
            run.history.push(now, What::ChildCompleted(mark));
        }
    }

    fn begin_work(&mut self, index: u32) {
        let (now, takes) = (self.now, self.execution(index).kind.profile.takes);
        let run = self.execution_mut(index);
        if !run.is_open() || run.working || run.children().iter().any(|child| !child.done) {
            return;
        }
        run.working = true;
        run.history.push(now, What::ActivityScheduled(None));
        self.due_after(takes, Due::WorkDone { index });
    }

    pub(super) fn work_done(&mut self, index: u32) {
        let (now, version) = (self.now, self.route(index));
        let run = self.execution_mut(index);
        if !run.is_open() || !run.working {
            return;
        }
        run.working = false;
        run.history.push(now, What::ActivityStarted);
        run.history.push(now, What::ActivityCompleted);
        let completes = version
            .filter(|version| {
                self.behaviour(self.execution(index), *version) == Behaviour::Complete
            })
            .filter(|_| self.execution(index).task == Task::None);
        let Some(version) = completes else {
            return self.schedule_task(index);
        };
        self.execution_mut(index)
            .history
            .push(now, What::TaskScheduled);
        self.complete_task(index, version, 1, false);
        if self.execution(index).is_open() {
            self.close(index, Status::Completed, What::Completed);
            self.tell_parent(index);
        }
    }

    pub(super) fn task_times_out(&mut self, index: u32, generation: u32) {
        let run = self.execution(index);
        if run.generation != generation || !run.is_open() {
            return;
        }
        let Task::Held {
            original, attempt, ..
        } = run.task
        else {
            return;
        };
        let (now, version) = (self.now, self.route(index));
        if attempt == 1 {
            self.execution_mut(index)
                .history
                .push(now, What::TaskTimedOut);
        }
        self.set_task(
            index,
            Task::Scheduled {
                version,
                since: now,
                original,
                attempt: attempt + 1,
            },
        );
        self.offer(index);
    }

    /// After a change of the Override: a scheduled task moves at once, a started one must first time out.
    pub(super) fn retarget(&mut self, index: u32) {
        let route = self.route(index);
        match self.execution(index).task {
            Task::None | Task::Taken { .. } | Task::Held { .. } => {}
            Task::Scheduled {
                since,
                original,
                attempt,
                ..
            } => {
                self.set_task(
                    index,
                    Task::Scheduled {
                        version: route,
                        since,
                        original,
                        attempt,
                    },
                );
                self.offer(index);
            }
            Task::Retrying { version, .. } if route == Some(version) => {}
            Task::Retrying { .. } => self.hold(index),
        }
    }

    /// The attempt that runs is the last one on its Version.
    fn hold(&mut self, index: u32) {
        let now = self.now;
        let run = self.execution_mut(index);
        run.problems = run.reports_problems(now);
        let (attempt, original) = match run.task {
            Task::Retrying {
                since,
                original,
                first,
                ..
            } => {
                // Both failures that come at once are in the history already.
                let settled = since + SignedDuration::from_millis(if first == 1 { 300 } else { 0 });
                (attempt_at(since, first, now.max(settled)), original)
            }
            Task::Taken {
                started, original, ..
            } => {
                let ends = started.max(now) + SignedDuration::from_secs(10);
                (
                    Attempt {
                        number: 1,
                        started,
                        ends,
                    },
                    original,
                )
            }
            _ => return,
        };
        self.set_task(
            index,
            Task::Held {
                started: attempt.started,
                original,
                attempt: attempt.number,
                until: attempt.ends,
            },
        );
        let generation = self.execution(index).generation;
        self.due_at(attempt.ends, Due::TaskTimeout { index, generation });
    }

    /// A closed child's parent gets its result.
    pub(super) fn tell_parent(&mut self, index: u32) {
        let run = self.execution(index);
        let (id, now) = (run.id.clone(), self.now);
        let Some(parent) = run.parent() else { return };
        let Some(lineage) = self.by_id.get(&self.execution(parent).id) else {
            return;
        };
        let parent = lineage.current();
        let run = self.execution_mut(parent);
        if !run.is_open() {
            return;
        }
        let Some(extra) = run.extra.as_mut() else {
            return;
        };
        let Some(child) = extra
            .children
            .iter_mut()
            .find(|child| child.mark.id == id && !child.done)
        else {
            return;
        };
        child.done = true;
        let mark = child.mark.clone();
        run.history.push(now, What::ChildCompleted(mark));
        self.schedule_task(parent);
    }

    pub(super) fn stop_workers(&mut self, version: VersionId) {
        let now = self.now;
        let workers = &mut self.workers[usize::from(version.0)];
        if !workers.polling {
            return;
        }
        workers.polling = false;
        workers.stopped = Some(now);
        let stuck: Vec<u32> = (0u32..)
            .zip(&self.executions)
            .filter(|(_, run)| {
                matches!(run.task, Task::Retrying { version: on, .. } | Task::Taken { version: on, .. } if on == version)
            })
            .map(|(index, _)| index)
            .collect();
        for index in stuck {
            self.hold(index);
        }
    }

    /// After a change of the Current Version, AutoUpgrade Workflows go there with their next attempt.
    pub(super) fn follow_current(&mut self, deployment: &str) {
        let followers: Vec<u32> = (0u32..)
            .zip(&self.executions)
            .filter(|(_, run)| {
                run.is_open() && run.task != Task::None && &*run.kind.deployment == deployment
            })
            .filter(|(_, run)| run.effective_behavior() != Behavior::Pinned)
            .map(|(index, _)| index)
            .collect();
        for index in followers {
            self.retarget(index);
        }
    }

    pub(super) fn signal(&mut self, index: u32, message: Message) {
        let now = self.now;
        self.execution_mut(index)
            .history
            .push(now, What::Signaled(Arc::new(message)));
        self.schedule_task(index);
    }

    /// The name of the deployment, where there is one only.
    pub(super) fn only_deployment(&self) -> Option<String> {
        match self.deployments.len() {
            1 => self.deployments.keys().next().map(ToString::to_string),
            _ => None,
        }
    }
}

/// What two attempts that fail at once leave in a history, after the first one's start.
pub(super) fn push_failures(
    history: &mut super::history::History,
    at: jiff::Timestamp,
    version: VersionId,
    cause: TaskFailure,
) {
    let again = at + SignedDuration::from_millis(300);
    history.push(at, What::TaskFailed(cause));
    history.push(again, What::TaskScheduled);
    history.push(again, What::TaskStarted(version));
    history.push(again, What::TaskFailed(cause));
}

/// A completed task accepts the Updates that a reset applies again.
fn accept_updates(run: &mut Execution, now: jiff::Timestamp) {
    let Some(extra) = run.extra.as_mut() else {
        return;
    };
    for message in std::mem::take(&mut extra.admitted) {
        let message = Arc::new(Message {
            admitted: true,
            ..(*message).clone()
        });
        run.history.push(now, What::UpdateAccepted(message.clone()));
        run.history.push(now, What::UpdateCompleted(message));
    }
}

/// How the last Signal that closes a Workflow closes it.
fn closing_signal(run: &Execution, closes: &BTreeMap<String, ClosesAs>) -> Option<Status> {
    let how = run
        .history
        .iter()
        .rev()
        .find_map(|event| match &event.what {
            What::Signaled(message) => closes.get(&message.name),
            _ => None,
        })?;
    Some(match how {
        ClosesAs::Completed => Status::Completed,
        ClosesAs::Failed => Status::Failed,
        ClosesAs::Canceled => Status::Canceled,
    })
}

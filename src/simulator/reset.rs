//! ResetWorkflowExecution. A request id does not protect it: each call makes a run, and the current run
//! of the Workflow ID is terminated whatever it is.

use std::sync::Arc;

use temporalio_protos::temporal::api::enums::v1::{
    ResetReapplyExcludeType as Exclude, ResetReapplyType as Reapply,
};
use temporalio_protos::temporal::api::workflow::v1::{
    PostResetOperation, post_reset_operation::Variant,
};
use temporalio_protos::temporal::api::workflowservice::v1 as service;
use tonic::Status as Reply;

use super::execution::{Child, Execution, Extra, Override, Task};
use super::facts::Did;
use super::history::{History, Message, OptionsMark, ResetMark, TerminateMark, What};
use super::proto;
use super::state::{State, VersionId};
use crate::survey::{Behavior, Status};

/// What is kept of the events after the reset point, in the later runs of a chain too. Cancellation
/// requests were never applied again, excluded or not.
#[derive(Clone, Copy)]
struct Kept {
    signals: bool,
    updates: bool,
}

/// How a reset changes the Override of the new run.
#[derive(Clone, Copy)]
enum Change {
    Keep,
    Set(Option<Override>),
}

impl State {
    pub(super) fn reset(
        &mut self,
        request: &service::ResetWorkflowExecutionRequest,
    ) -> Result<service::ResetWorkflowExecutionResponse, Reply> {
        self.check_namespace(&request.namespace)?;
        if request.request_id.is_empty() {
            return Err(Reply::invalid_argument("RequestId is not set on request."));
        }
        if request.workflow_execution.is_none() {
            return Err(Reply::invalid_argument("Execution is not set on request."));
        }
        let base = self.find(request.workflow_execution.as_ref())?;
        let queue = self.execution(base).kind.task_queue.clone();
        let change = self.post_reset(&request.post_reset_operations, &queue)?;
        let length = self.execution(base).history.len();
        let point = usize::try_from(request.workflow_task_finish_event_id).unwrap_or(0);
        if point <= 1 || point > length {
            return Err(Reply::invalid_argument(
                "Workflow task finish ID must be > 1 && <= workflow last event ID.",
            ));
        }
        let current = self.current_of(base);
        if self.execution(current).start_request() == request.request_id {
            return Ok(service::ResetWorkflowExecutionResponse {
                run_id: proto::run_text(self.execution(current).run),
            });
        }
        check_point(self.execution(base), point)?;
        let kept = kept(request);
        let new = self.reset_to(
            base,
            point,
            &request.reason,
            kept,
            change,
            &request.identity,
        );
        Ok(service::ResetWorkflowExecutionResponse {
            run_id: proto::run_text(self.execution(new).run),
        })
    }

    fn current_of(&self, index: u32) -> u32 {
        self.by_id
            .get(&self.execution(index).id)
            .map_or(index, super::state::Lineage::current)
    }

    fn post_reset(&self, operations: &[PostResetOperation], queue: &str) -> Result<Change, Reply> {
        let mut change = Change::Keep;
        for operation in operations {
            match &operation.variant {
                Some(Variant::UpdateWorkflowOptions(update)) => {
                    if update
                        .update_mask
                        .as_ref()
                        .is_none_or(|mask| mask.paths.is_empty())
                    {
                        return Err(Reply::invalid_argument("UpdateMask is required"));
                    }
                    let wanted = update
                        .workflow_execution_options
                        .as_ref()
                        .and_then(|it| it.versioning_override.as_ref());
                    change =
                        Change::Set(wanted.map(|it| self.read_override(it, queue)).transpose()?);
                }
                Some(Variant::SignalWorkflow(_)) => {
                    return Err(Reply::invalid_argument(
                        "unsupported post reset operation: *workflow.PostResetOperation_SignalWorkflow_",
                    ));
                }
                None => {
                    return Err(Reply::invalid_argument(
                        "unsupported post reset operation: <nil>",
                    ));
                }
            }
        }
        Ok(change)
    }

    fn reset_to(
        &mut self,
        base: u32,
        point: usize,
        reason: &str,
        kept: Kept,
        change: Change,
        identity: &str,
    ) -> u32 {
        let current = self.current_of(base);
        let open = self.execution(current).is_open();
        let ended = open.then(|| proto::run_text(self.execution(current).run));
        if open {
            self.terminate(
                current,
                TerminateMark {
                    reason: reason.to_owned(),
                    details: None,
                    identity: "history-resetter".to_owned(),
                },
            );
        }
        let run = self.new_run(base, point, reason, kept, change, identity);
        let (run_id, target) = (run.run, run.moved.and_then(Override::target));
        let new = self.insert(run, false);
        self.execution_mut(base).reset_run = Some(run_id);
        self.tally(new).resets += 1;
        let new_run = proto::run_text(run_id);
        self.note(
            base,
            Did::Reset {
                new: new_run,
                ended,
            },
        );
        if let Some(target) = target {
            self.pinned_to(target);
        }
        self.schedule_task(new);
        new
    }

    fn new_run(
        &mut self,
        base_index: u32,
        point: usize,
        reason: &str,
        kept: Kept,
        change: Change,
        identity: &str,
    ) -> Execution {
        let (now, run) = (self.now, self.random.run_id());
        let base = self.execution(base_index);
        let mut history = base.history.prefix(point - 1);
        let pending = pending_task(&history, history.len());
        if pending == Pending::Failed {
            history.push(now, What::TaskScheduled);
        }
        if pending != Pending::Started {
            history.push(now, What::TaskStarted(base.ran_on.unwrap_or(VersionId(0))));
        }
        let mark = ResetMark {
            reason: reason.to_owned(),
            base: base.run,
            new: run,
        };
        history.push(now, What::ResetFailed(Arc::new(mark)));
        let completed = history.last_completed();
        let mut moved = base.moved;
        let push = |history: &mut super::history::History, versioning_override| {
            let mark = OptionsMark {
                versioning_override,
                identity: identity.to_owned(),
            };
            history.push(now, What::OptionsUpdated(Arc::new(mark)));
        };
        if moved.is_some() {
            push(&mut history, moved);
        }
        let mut admitted: Vec<Arc<Message>> = Vec::new();
        for what in self.later(base, point) {
            match what {
                What::Signaled(_) if kept.signals => history.push(now, what.clone()),
                What::UpdateAccepted(message) | What::UpdateAdmitted(message)
                    if kept.updates
                        && !admitted
                            .iter()
                            .any(|known| known.request_id == message.request_id) =>
                {
                    history.push(now, What::UpdateAdmitted(message.clone()));
                    admitted.push(message.clone());
                }
                _ => {}
            }
        }
        if let Change::Set(wanted) = change {
            moved = wanted;
            push(&mut history, wanted);
        }
        let mut extra = carried(base, point);
        if !admitted.is_empty() {
            extra.get_or_insert_default().admitted = admitted;
        }
        Execution {
            run,
            status: Status::Running,
            started: now,
            closed: None,
            behavior: completed.map_or(Behavior::Unspecified, |(_, behavior)| behavior),
            ran_on: completed.map(|(version, _)| version),
            used: history.used().into(),
            moved,
            task: Task::None,
            working: false,
            generation: 0,
            problems: false,
            reset_run: None,
            last_reset: Some(now),
            visible: None,
            extra,
            history,
            ..base.clone()
        }
    }

    /// What came after an event, in this run and in those that continue it as new.
    fn later<'a>(&'a self, base: &'a Execution, point: usize) -> Vec<&'a What> {
        let mut later: Vec<&What> = base
            .history
            .iter()
            .skip(point)
            .map(|event| &event.what)
            .collect();
        let mut last = base;
        while let Some(What::ContinuedAsNew(next)) = last.history.get(last.history.len())
            && let Some(next) = self.by_run.get(next)
        {
            last = self.execution(*next);
            later.extend(last.history.iter().map(|event| &event.what));
        }
        later
    }

    /// What a person does in the web UI: back to the last event that leaves a completed Workflow Task, so
    /// that the new run stays on its Version; everything reapplied.
    pub(super) fn reset_by_hand(&mut self, base: u32, target: Option<VersionId>) {
        let history = &self.execution(base).history;
        let first = (1..=history.len())
            .find(|id| matches!(history.get(*id), Some(What::TaskCompleted(..))));
        let last = (1..=history.len()).rev().find(|id| {
            matches!(
                history.get(*id),
                Some(What::TaskCompleted(..) | What::TaskFailed(_) | What::TaskTimedOut)
            )
        });
        let (Some(_), Some(point)) = (first, last) else {
            return;
        };
        let change = target.map_or(Change::Keep, |target| {
            Change::Set(Some(Override::Pinned(target)))
        });
        let kept = Kept {
            signals: true,
            updates: true,
        };
        self.reset_to(base, point, "by hand", kept, change, "operator");
    }
}

/// What a new run takes over from its base: parent, start, and the children that it had by then; later
/// ones are to be started again.
fn carried(base: &Execution, point: usize) -> Option<Box<Extra>> {
    let extra = base.extra.as_ref()?;
    let point = i64::try_from(point).unwrap_or(i64::MAX);
    let children = extra
        .children
        .iter()
        .map(|child| {
            if child.initiated < point {
                child.clone()
            } else {
                Child {
                    mark: child.mark.clone(),
                    initiated: 0,
                    done: false,
                }
            }
        })
        .collect();
    Some(Box::new(Extra {
        children,
        signal_requests: Vec::new(),
        cancel_requested: false,
        cancel_heeded: false,
        admitted: Vec::new(),
        waits_until: None,
        ..(**extra).clone()
    }))
}

fn kept(request: &service::ResetWorkflowExecutionRequest) -> Kept {
    let excluded = |what: Exclude| request.reset_reapply_exclude_types.contains(&(what as i32));
    let (none, signals_only) = (
        request.reset_reapply_type == Reapply::None as i32,
        request.reset_reapply_type == Reapply::Signal as i32,
    );
    Kept {
        signals: !none && !excluded(Exclude::Signal),
        updates: !none && !signals_only && !excluded(Exclude::Update),
    }
}

/// The Workflow Task that a history ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pending {
    None,
    Scheduled,
    Started,
    /// Failed or timed out: it is tried again without an event.
    Failed,
}

/// The Workflow Task that is pending after the first `count` events.
fn pending_task(history: &History, count: usize) -> Pending {
    (1..=count)
        .rev()
        .find_map(|id| match history.get(id)? {
            What::TaskScheduled | What::SpeculativeScheduled => Some(Pending::Scheduled),
            What::TaskStarted(_) | What::SpeculativeStarted(_) => Some(Pending::Started),
            What::TaskFailed(_) | What::TaskTimedOut | What::ResetFailed(_) => {
                Some(Pending::Failed)
            }
            What::TaskCompleted(..) => Some(Pending::None),
            _ => None,
        })
        .unwrap_or(Pending::None)
}

/// Whether an event begins a batch: the service writes the events of one transaction together, and can
/// rebuild a state only between batches. What a completed task asks for is in its batch, a scheduled task
/// in that of the event that needs it.
pub(super) fn begins_batch(what: &What) -> bool {
    match what {
        What::Started
        | What::TaskStarted(_)
        | What::TaskCompleted(..)
        | What::TaskFailed(_)
        | What::TaskTimedOut
        | What::ResetFailed(_)
        | What::SpeculativeScheduled
        | What::ActivityStarted
        | What::TimerFired
        | What::Signaled(_)
        | What::UpdateAdmitted(_)
        | What::OptionsUpdated(_)
        | What::ChildStarted(_)
        | What::ChildCompleted(_)
        | What::ChildStartFailed(_)
        | What::CancelRequested(_)
        | What::TimedOut
        | What::Terminated(_) => true,
        What::TaskScheduled
        | What::SpeculativeStarted(_)
        | What::ActivityScheduled(_)
        | What::ActivityCompleted
        | What::TimerStarted(_)
        | What::UpdateAccepted(_)
        | What::UpdateCompleted(_)
        | What::ChildInitiated(_)
        | What::Canceled
        | What::Completed
        | What::Failed(_)
        | What::ContinuedAsNew(_) => false,
    }
}

/// Which events a reset accepts, in the service's several wordings: those that begin a batch while a
/// Workflow Task is pending, so also a Signal before the first task of a run, or after a failed one.
fn check_point(base: &Execution, point: usize) -> Result<(), Reply> {
    if !base.history.get(point).is_some_and(begins_batch) {
        return Err(Reply::invalid_argument(format!(
            "StateRebuilder unable to Rebuild mutable state to event ID: {}, version: 0, this event must be at the \
             boundary",
            point - 1
        )));
    }
    if pending_task(&base.history, point - 1) == Pending::None {
        return Err(Reply::invalid_argument(format!(
            "Can only reset workflow to event ID in range [WorkflowTaskScheduled +1, WorkflowTaskStarted + 1]: {point}"
        )));
    }
    Ok(())
}

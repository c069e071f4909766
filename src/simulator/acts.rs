//! What people and automation do meanwhile: operators act on Workflows, rollout controllers on routing,
//! and Workflows do at some time what their code does: continue as new, start a child.

use std::sync::Arc;

use jiff::SignedDuration;
use temporalio_protos::temporal::api::enums::v1::WorkflowIdConflictPolicy;
use temporalio_protos::temporal::api::workflowservice::v1::{
    RequestCancelWorkflowExecutionRequest as CancelRequest,
    StartWorkflowExecutionRequest as StartRequest,
};

use super::execution::{Child, Execution, Extra, Override, Task};
use super::facts::Did;
use super::history::{ChildMark, History, Message, TerminateMark, What};
use super::proto;
use super::state::{Due, State, VersionId};
use super::world::OperatorDoes;
use crate::survey::{Behavior, Status};

impl State {
    pub(super) fn operate(&mut self, act: usize) {
        let act = self.world.operators[act].clone();
        let chosen: Vec<u32> = self
            .by_id
            .values()
            .map(super::state::Lineage::current)
            .filter(|index| {
                let run = self.execution(*index);
                run.is_open() && *run.kind.workflow_type == *act.workflow_type
            })
            .take(act.count as usize)
            .collect();
        for index in chosen {
            self.operate_on(index, act.does, act.to.as_deref());
        }
    }

    fn operate_on(&mut self, index: u32, does: OperatorDoes, to: Option<&str>) {
        let deployment = self.execution(index).kind.deployment.clone();
        let target = to.and_then(|build| self.find_version(&deployment, build));
        match does {
            OperatorDoes::Reset => self.reset_by_hand(index, target),
            OperatorDoes::Move => {
                if let Some(target) = target {
                    self.override_options(index, Some(Override::Pinned(target)), "operator");
                }
            }
            OperatorDoes::Terminate => {
                self.terminate(
                    index,
                    TerminateMark {
                        reason: "by hand".to_owned(),
                        details: None,
                        identity: "operator".to_owned(),
                    },
                );
                self.tell_parent(index);
            }
            OperatorDoes::Signal => self.signal(
                index,
                Message {
                    name: "nudge".to_owned(),
                    identity: "operator".to_owned(),
                    ..Message::default()
                },
            ),
            OperatorDoes::Cancel => {
                let run = self.execution(index);
                let request = CancelRequest {
                    namespace: self.namespace.clone(),
                    workflow_execution: Some(proto::execution(&run.id, run.run)),
                    identity: "operator".to_owned(),
                    reason: "by hand".to_owned(),
                    ..Default::default()
                };
                // It runs: that was looked at.
                let _closed = self.request_cancel(&request);
            }
            OperatorDoes::Restart => self.restart_by_hand(index, target),
            OperatorDoes::ContinueAsNew => {
                self.closes(index, Status::ContinuedAsNew);
                return;
            }
            OperatorDoes::StartChild => {
                self.start_child(index);
                return;
            }
        }
        let what = match does {
            OperatorDoes::Terminate => Did::Terminated,
            OperatorDoes::Signal => Did::Signalled("nudge".to_owned()),
            _ => return,
        };
        self.note(index, what);
    }

    /// A new start with the same arguments, in the place of what runs.
    fn restart_by_hand(&mut self, index: u32, target: Option<VersionId>) {
        let attributes = self.started_attributes(index);
        let request = StartRequest {
            namespace: self.namespace.clone(),
            workflow_id: self.execution(index).id.to_string(),
            workflow_type: attributes.workflow_type,
            task_queue: attributes.task_queue,
            input: attributes.input,
            identity: "operator".to_owned(),
            request_id: format!("by-hand-{}", self.random.next()),
            workflow_id_conflict_policy: WorkflowIdConflictPolicy::TerminateExisting as i32,
            versioning_override: target.map(|target| Override::Pinned(target).message(self)),
            ..Default::default()
        };
        // A person who is refused looks for another way; this one does not.
        let _refused = self.start(&request);
    }

    /// Its next task starts a child, of the same type and on the same Version.
    fn start_child(&mut self, parent: u32) {
        let (now, run_id) = (self.now, self.random.run_id());
        let run = self.execution(parent);
        let (Some(version), Task::None) = (run.ran_on, run.task) else {
            return;
        };
        let mark = Arc::new(ChildMark {
            id: format!("{}/late-{}", run.id, run.children().len()).into(),
            run: run_id,
            workflow_type: run.kind.workflow_type.clone(),
            task_queue: run.kind.task_queue.clone(),
        });
        let mut history = History::new(Arc::from([]), now);
        history.push(now, What::Started);
        let child = Execution {
            id: mark.id.clone(),
            run: run_id,
            first_run: run_id,
            original_run: run_id,
            started: now,
            inherited: Some(version).filter(|_| run.behavior == Behavior::Pinned),
            ran_on: None,
            used: Arc::from([]),
            request_id: None,
            reset_run: None,
            last_reset: None,
            problems: false,
            visible: None,
            extra: Some(Box::new(Extra {
                parent: Some(parent),
                ..Extra::default()
            })),
            history,
            ..run.clone()
        };
        let behavior = run.behavior;
        let run = self.execution_mut(parent);
        run.history.push(now, What::TaskScheduled);
        run.history.push(now, What::TaskStarted(version));
        run.history
            .push(now, What::TaskCompleted(version, behavior));
        run.history.push(now, What::ChildInitiated(mark.clone()));
        let initiated = i64::try_from(run.history.len()).unwrap_or(i64::MAX);
        run.history.push(now, What::ChildStarted(mark.clone()));
        run.extra_mut().children.push(Child {
            mark,
            initiated,
            done: false,
        });
        let child = self.insert(child, false);
        self.schedule_task(child);
    }

    pub(super) fn control(&mut self, controller: usize) {
        let it = self.world.controllers[controller].clone();
        let deployment = it.deployment.clone().or_else(|| self.only_deployment());
        if let Some(deployment) = deployment {
            // A controller that is refused tries again later: that is all it can do.
            let _refused = if it.current {
                self.make_current_by_name(&deployment, &it.ramps)
            } else {
                self.ramp(&deployment, Some(&it.ramps), it.percentage)
            };
        }
        let Some(every) = it.every else { return };
        let elapsed = self.now.duration_since(self.begin)
            + SignedDuration::try_from(every.0).unwrap_or_default();
        let last = it.at.iter().max().copied().unwrap_or_default();
        if self.now.duration_since(self.begin)
            < SignedDuration::try_from(last.0).unwrap_or_default()
        {
            return;
        }
        let over = it
            .until
            .is_some_and(|until| elapsed > SignedDuration::try_from(until.0).unwrap_or_default());
        if !over && !every.0.is_zero() {
            self.due_after(every.0, Due::Control { controller });
        }
    }
}

//! Locks that other runs have when a world begins: leases, started as a call would start them.

use jiff::Timestamp;
use temporalio_protos::temporal::api::common::v1::Memo;
use temporalio_protos::temporal::api::workflowservice::v1::StartWorkflowExecutionRequest;

use super::history::{Message, TerminateMark};
use super::proto;
use super::state::{Due, State};
use super::world::{LockWorld, Span};
use crate::lease::{self, Lease};
use crate::payload;

impl State {
    /// Those of the world; the time is the beginning again afterwards.
    pub(super) fn add_locks(&mut self) {
        for lock in self.world.locks.clone() {
            self.add_lock(&lock);
        }
    }

    fn add_lock(&mut self, lock: &LockWorld) {
        let begin = self.begin;
        self.now = before(begin, lock.taken);
        let lease = Lease {
            name: lock.name.clone(),
            run: lock.run.clone(),
            runbook: lock.runbook.clone(),
            user: lock.user.clone(),
            host: lock.host.clone(),
        };
        let memo = lease.memo(self.now);
        let identity = format!("{}@{}", lock.user, lock.host);
        let request = StartWorkflowExecutionRequest {
            workflow_id: lease::workflow_id(&lock.name),
            workflow_type: proto::workflow_type(lease::WORKFLOW_TYPE),
            task_queue: proto::task_queue(lease::TASK_QUEUE),
            identity: identity.clone(),
            request_id: format!("{}-lock-1", lock.run),
            memo: Some(Memo {
                fields: memo
                    .iter()
                    .map(|(name, text)| (name.clone(), payload::encode(&text.as_str().into())))
                    .collect(),
            }),
            ..Default::default()
        };
        let index = self.start_new(&request, None, None).1;
        self.now = before(begin, lock.seen.min(lock.taken));
        let sign = Message {
            name: lease::SIGNAL.to_owned(),
            identity,
            request_id: format!("{}-alive-1-1", lock.run),
            ..Message::default()
        };
        self.signal(index, sign);
        self.now = begin;
        if let Some(ends) = lock.ends {
            self.due_after(ends.0, Due::LockEnds { index });
        }
    }

    /// Somebody gives it back, or breaks it.
    pub(super) fn end_lock(&mut self, index: u32) {
        if self.execution(index).is_open() {
            let mark = TerminateMark {
                reason: "by hand".to_owned(),
                details: None,
                identity: "operator".to_owned(),
            };
            self.terminate(index, mark);
        }
    }
}

fn before(begin: Timestamp, span: Span) -> Timestamp {
    begin.checked_sub(span.0).unwrap_or(begin)
}

//! What it means to hand a step's Workflows to a batch job of the service: when not to, and what the
//! service does not say about it.
//!
//! Pure. The facts were measured on server 1.32.0.

use super::{Call, Naming};
use crate::catalog::{Accept, Via};
use crate::history::ResetTo;
use crate::list_filter::Filter;
use crate::survey::BatchKind;

impl Call {
    /// Whether a batch job of the service carries it out.
    pub fn is_batch(&self) -> bool {
        self.via() == Via::Batch
    }

    /// What the job does to each Workflow.
    pub fn batch_kind(&self) -> BatchKind {
        match self {
            Self::Reset(_) => BatchKind::Reset,
            Self::Options(_) => BatchKind::UpdateOptions,
            Self::Terminate(_) => BatchKind::Terminate,
            Self::Cancel(_) => BatchKind::Cancel,
            Self::Signal(_) => BatchKind::Signal,
            Self::Restart(_) => BatchKind::Other,
        }
    }

    /// The job's reason, with whose it is. The service wants one, whatever the operation.
    pub fn batch_reason(&self, naming: &Naming<'_>) -> String {
        let reason = match self {
            Self::Reset(reset) => reset.reason.clone(),
            Self::Terminate(terminate) => terminate.reason.clone(),
            Self::Cancel(cancel) => cancel.reason.clone(),
            Self::Restart(restart) => restart.reason.clone(),
            Self::Options(options) => {
                let own = || "set the Versioning Override".to_owned();
                options.reason.clone().unwrap_or_else(own)
            }
            Self::Signal(signal) => {
                let own = || format!("send Signal `{}`", signal.name);
                signal.reason.clone().unwrap_or_else(own)
            }
        };
        format!("{reason} {}", naming.mark())
    }

    /// Why a batch job must not get the Workflows of `scope`; none where it may.
    pub fn batch_objection(&self, scope: &Filter) -> Option<String> {
        let Self::Reset(reset) = self else {
            return None;
        };
        match &reset.to {
            ResetTo::FirstWorkflowTask | ResetTo::LastWorkflowTask | ResetTo::Build(_) => {}
            ResetTo::LastContinuedAsNew
            | ResetTo::FailedTask
            | ResetTo::Event(_)
            | ResetTo::Before(_)
            | ResetTo::BadBinaryChecksum(_) => {
                return Some(
                    "`via: batch` resets to `first_workflow_task`, to `last_workflow_task` or to before a `build`: \
                     the service finds no other point by itself. Leave out `via: batch`, and this tool finds it in \
                     each history."
                        .to_owned(),
                );
            }
        }
        let statuses = scope.required_statuses();
        let open = statuses.is_some_and(|statuses| statuses.iter().all(|status| status.is_open()));
        if open || reset.accept == Some(Accept::Repeats) {
            return None;
        }
        Some(
            "`via: batch` with a query that can match closed Workflows: the service adds no condition on the \
             status to a reset job. It would reset every closed run of a Workflow ID, also those that were reset \
             before, and terminate what runs there now. Add `AND ExecutionStatus = 'Running'` to the query, or \
             leave out `via: batch`, or say `accept: repeats`."
                .to_owned(),
        )
    }

    /// What somebody who says yes to a batch job has to know, a sentence each.
    pub fn batch_notes(&self, rate: Option<f64>) -> Vec<String> {
        let asked = rate.map_or_else(String::new, |rate| {
            format!(" It is asked for at most {rate}, and server 1.32.0 does not keep to that.")
        });
        let mut notes = vec![
            "One batch job of the service does it, not this tool: no look before each write, no canary.".to_owned(),
            format!(
                "Its rate is the service's own: 50 operations a second by default.{asked} A namespace runs one job at a time."
            ),
            "The service counts what failed and does not name it: when the job has ended, each Workflow is looked at, and the ledger says what became of it.".to_owned(),
            "Ctrl-C leaves the job running; resume finds it again and never starts it twice.".to_owned(),
        ];
        if let Self::Reset(reset) = self {
            notes.push(
                "A reset job that the service interrupts and takes up again may reset a Workflow twice."
                    .to_owned(),
            );
            if reset.accept == Some(Accept::Repeats) {
                notes.push("`accept: repeats`: closed runs are reset whatever was done to them before, and what runs under their Workflow IDs is terminated.".to_owned());
            }
        }
        notes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::list_filter;

    fn reset(more: &str) -> Call {
        let text = format!(
            r#"{{ "to": "first_workflow_task", "reapply": "none", "reason": "r", "via": "batch"{more} }}"#
        );
        let with = serde_json::from_str(&text).expect("json");
        Call::new("workflows.reset", with).expect("a reset")
    }

    fn objection(call: &Call, query: &str) -> Option<String> {
        call.batch_objection(&list_filter::parse(query).expect("a query"))
    }

    #[test]
    fn a_reset_job_gets_closed_workflows_only_where_repeats_are_accepted() {
        let can_be_closed = [
            "WorkflowType = 'Order'",
            "ExecutionStatus = 'Failed'",
            "ExecutionStatus IN ('Running', 'Failed')",
            "ExecutionStatus = 'Running' OR WorkflowType = 'Order'",
            "ExecutionStatus != 'Completed'",
        ];
        for query in can_be_closed {
            assert!(objection(&reset(""), query).is_some(), "{query}");
            let accepts = reset(r#", "accept": "repeats""#);
            assert_eq!(objection(&accepts, query), None, "{query}");
        }
        let running = "WorkflowType = 'Order' AND ExecutionStatus = 'Running'";
        assert_eq!(objection(&reset(""), running), None);
    }

    #[test]
    fn a_reset_job_goes_only_where_the_service_finds_the_point() {
        let to = |to: &str| {
            let text =
                format!(r#"{{ "to": {to}, "reapply": "none", "reason": "r", "via": "batch" }}"#);
            let with = serde_json::from_str(&text).expect("json");
            let call = Call::new("workflows.reset", with).expect("a reset");
            objection(&call, "ExecutionStatus = 'Running'").is_none()
        };
        assert!(to(r#""last_workflow_task""#) && to(r#"{ "build": "b1" }"#));
        assert!(!to(r#""failed_task""#) && !to(r#"{ "event": 7 }"#));
    }

    #[test]
    fn the_notes_say_what_the_service_does_not() {
        let notes = reset(r#", "accept": "repeats""#)
            .batch_notes(Some(200.0))
            .join("\n");
        for word in [
            "rate",
            "one job at a time",
            "twice",
            "does not name",
            "accept: repeats",
        ] {
            assert!(notes.contains(word), "{word}: {notes}");
        }
    }
}

//! Why a run's last Workflow Task failed, by the end of its history.
//!
//! A Workflow Task that fails again and again is written down for its first failures only (measured: two with
//! the Python SDK); what comes behind them, Signals above all, does not hide them unless it is very much.

use temporalio_protos::temporal::api::enums::v1::{EventType, WorkflowTaskFailedCause};
use temporalio_protos::temporal::api::failure::v1::failure::FailureInfo;
use temporalio_protos::temporal::api::history::v1::HistoryEvent;
use temporalio_protos::temporal::api::history::v1::history_event::Attributes;

use super::pages::Ended;
use super::{CallError, Temporal};
use crate::survey::{Look, TaskFailure};

/// Pages that are read at most; the server's pages hold 256 events by default.
const MOST_PAGES: usize = 4;

impl Temporal {
    /// Why the last Workflow Task of a run failed, or the run itself where its code does not fit its history.
    ///
    /// # Errors
    /// The history cannot be read.
    pub async fn task_failure(&self, look: &Look) -> Result<TaskFailure, CallError> {
        let mut told = None;
        let mut take = |event: HistoryEvent| {
            told = told_by(&event);
            told.is_none()
        };
        let ended = self
            .newest_first(&look.listed.key, MOST_PAGES, &mut take)
            .await?;
        Ok(match (told, ended) {
            (Some(failure), _) => failure,
            (None, Ended::TooLong) => TaskFailure::NotRead,
            (None, _) => TaskFailure::None,
        })
    }
}

/// What an event says about it; none where it is about something else.
fn told_by(event: &HistoryEvent) -> Option<TaskFailure> {
    match event.event_type() {
        EventType::WorkflowTaskCompleted => return Some(TaskFailure::None),
        EventType::WorkflowTaskTimedOut => {
            return Some(TaskFailure::Other("it timed out".to_owned()));
        }
        _ => {}
    }
    match event.attributes.as_ref()? {
        Attributes::WorkflowTaskFailedEventAttributes(failed) => match failed.cause() {
            WorkflowTaskFailedCause::NonDeterministicError => Some(TaskFailure::NonDeterministic),
            // Written by a reset, not by a Worker.
            WorkflowTaskFailedCause::ResetWorkflow => None,
            cause => Some(TaskFailure::Other(
                cause
                    .as_str_name()
                    .trim_start_matches("WORKFLOW_TASK_FAILED_CAUSE_")
                    .to_owned(),
            )),
        },
        // A Worker may be told to fail the Workflow instead of its task: the SDKs name the failure so.
        Attributes::WorkflowExecutionFailedEventAttributes(failed) => {
            let failure = failed.failure.as_ref()?;
            let Some(FailureInfo::ApplicationFailureInfo(info)) = &failure.failure_info else {
                return None;
            };
            is_non_determinism(&info.r#type).then_some(TaskFailure::NonDeterministic)
        }
        _ => None,
    }
}

/// `NondeterminismError` (Python), `NonDeterministicError` (Java), `NonDeterministicWorkflowPolicy…` (Go).
fn is_non_determinism(name: &str) -> bool {
    name.to_ascii_lowercase().contains("nondetermin")
}

#[cfg(test)]
mod tests {
    use super::*;
    use temporalio_protos::temporal::api::failure::v1::{ApplicationFailureInfo, Failure};
    use temporalio_protos::temporal::api::history::v1::{
        WorkflowExecutionFailedEventAttributes, WorkflowTaskFailedEventAttributes,
    };

    fn plain(kind: EventType) -> HistoryEvent {
        HistoryEvent {
            event_type: kind.into(),
            ..Default::default()
        }
    }

    fn failed(cause: WorkflowTaskFailedCause) -> HistoryEvent {
        let attributes = WorkflowTaskFailedEventAttributes {
            cause: cause.into(),
            ..Default::default()
        };
        HistoryEvent {
            attributes: Some(Attributes::WorkflowTaskFailedEventAttributes(attributes)),
            ..plain(EventType::WorkflowTaskFailed)
        }
    }

    fn ended(kind: &str) -> HistoryEvent {
        let info = ApplicationFailureInfo {
            r#type: kind.to_owned(),
            ..Default::default()
        };
        let attributes = WorkflowExecutionFailedEventAttributes {
            failure: Some(Failure {
                failure_info: Some(FailureInfo::ApplicationFailureInfo(info)),
                ..Default::default()
            }),
            ..Default::default()
        };
        HistoryEvent {
            attributes: Some(Attributes::WorkflowExecutionFailedEventAttributes(
                attributes,
            )),
            ..plain(EventType::WorkflowExecutionFailed)
        }
    }

    /// The newest event first, as they are read.
    fn judged(events: &[HistoryEvent]) -> Option<TaskFailure> {
        events.iter().find_map(told_by)
    }

    #[test]
    fn the_newest_end_of_a_task_tells_and_what_came_behind_it_does_not() {
        use WorkflowTaskFailedCause as Cause;
        let signal = plain(EventType::WorkflowExecutionSignaled);
        let scheduled = plain(EventType::WorkflowTaskScheduled);
        let completed = plain(EventType::WorkflowTaskCompleted);
        let broken = failed(Cause::NonDeterministicError);
        let events = [
            signal.clone(),
            scheduled.clone(),
            broken.clone(),
            completed.clone(),
        ];
        assert_eq!(judged(&events), Some(TaskFailure::NonDeterministic));
        let mended = [signal.clone(), completed.clone(), broken.clone()];
        assert_eq!(judged(&mended), Some(TaskFailure::None));
        let other = failed(Cause::WorkflowWorkerUnhandledFailure);
        let cause = "WORKFLOW_WORKER_UNHANDLED_FAILURE".to_owned();
        assert_eq!(
            judged(&[other, broken.clone()]),
            Some(TaskFailure::Other(cause))
        );
        // The end of a task that a reset wrote down is the base's, not this run's.
        let reset = [failed(Cause::ResetWorkflow), completed];
        assert_eq!(judged(&reset), Some(TaskFailure::None));
        assert_eq!(judged(&[signal, scheduled]), None);
    }

    #[test]
    fn a_run_that_was_failed_instead_of_its_task_counts() {
        let completed = plain(EventType::WorkflowTaskCompleted);
        for (kind, expected) in [
            ("NondeterminismError", TaskFailure::NonDeterministic),
            ("NonDeterministicError", TaskFailure::NonDeterministic),
            ("CardDeclined", TaskFailure::None),
        ] {
            assert_eq!(
                judged(&[ended(kind), completed.clone()]),
                Some(expected),
                "{kind}"
            );
        }
    }
}

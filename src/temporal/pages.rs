//! A run's history, page by page, from either end; each page forgotten when the next is asked for.
//!
//! A history whose events are not in the order of their ids is not taken for one: what would be read from
//! it (where a run can be reset to, whether a Signal came) would be wrong.

use temporalio_protos::temporal::api::history::v1::HistoryEvent;
use temporalio_protos::temporal::api::workflowservice::v1::{
    GetWorkflowExecutionHistoryRequest, GetWorkflowExecutionHistoryResponse,
    GetWorkflowExecutionHistoryReverseRequest,
};

use super::{CallError, Rpc, Temporal, convert};
use crate::survey::WorkflowKey;

/// Events that are asked for at once; the server gives 256 by default.
pub(super) const PAGE_SIZE: i32 = 1000;

/// How a reading ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// Whoever reads has what they want.
    Enough,
    /// There is no further event.
    AllRead,
    /// The bound on pages was reached.
    TooLong,
}

impl Temporal {
    /// One page from the beginning on, or what another request of that kind asks for.
    pub(super) async fn history_page(
        &self,
        message: GetWorkflowExecutionHistoryRequest,
    ) -> Result<GetWorkflowExecutionHistoryResponse, CallError> {
        let rpc = Rpc::GetWorkflowExecutionHistory;
        let response = self
            .read(rpc, message, |mut service, request| async move {
                service.get_workflow_execution_history(request).await
            })
            .await?;
        let events = response.history.iter().flat_map(|it| &it.events);
        if events
            .map(|event| event.event_id)
            .is_sorted_by(|a, b| a < b)
        {
            Ok(response)
        } else {
            Err(disordered(rpc))
        }
    }

    /// Gives `take` the events of a run from the newest to the oldest, while it wants more and for at most
    /// `pages` pages.
    pub(super) async fn newest_first(
        &self,
        key: &WorkflowKey,
        pages: usize,
        take: &mut (dyn FnMut(HistoryEvent) -> bool + Send),
    ) -> Result<Ended, CallError> {
        let rpc = Rpc::GetWorkflowExecutionHistoryReverse;
        let mut message = GetWorkflowExecutionHistoryReverseRequest {
            namespace: self.namespace(),
            execution: Some(convert::execution(key)),
            maximum_page_size: PAGE_SIZE,
            ..Default::default()
        };
        let mut before = i64::MAX;
        for _ in 0..pages {
            let response = self
                .read(rpc, message.clone(), |mut service, request| async move {
                    service
                        .get_workflow_execution_history_reverse(request)
                        .await
                })
                .await?;
            for event in response.history.unwrap_or_default().events {
                if event.event_id >= before {
                    return Err(disordered(rpc));
                }
                before = event.event_id;
                if !take(event) {
                    return Ok(Ended::Enough);
                }
            }
            message.next_page_token = response.next_page_token;
            if message.next_page_token.is_empty() {
                return Ok(Ended::AllRead);
            }
        }
        Ok(Ended::TooLong)
    }
}

fn disordered(rpc: Rpc) -> CallError {
    CallError::unusable(rpc, "a history whose events are not in order")
}

//! The choke point: gate, deadline, backend. Every RPC of the process passes here, once.
//!
//! The client's own retries sit above the handle that this tool uses, and its deadlines are not
//! enforced on an overridden service; both are therefore decided here and nowhere else.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use http::HeaderMap;
use prost::bytes::Bytes;
use temporalio_client::callback_based::{GrpcRequest, GrpcSuccessResponse};
use tonic::{Code, Status};

use super::remote::Remote;
use crate::runbook::Mask;

/// A service in this process: RPC name, headers and request bytes → response bytes.
pub type InMemory = Arc<
    dyn Fn(String, HeaderMap, Bytes) -> BoxFuture<'static, Result<Vec<u8>, Status>> + Send + Sync,
>;

/// What a connection may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Only the RPCs in [`READS`]; a dry run, a plan.
    ReadOnly,
    /// Everything.
    ReadWrite,
}

const WORKFLOW_SERVICE: &str = "temporal.api.workflowservice.v1.WorkflowService";
const OPERATOR_SERVICE: &str = "temporal.api.operatorservice.v1.OperatorService";
const HEALTH_SERVICE: &str = "grpc.health.v1.Health";

/// The RPCs that a read-only connection lets through, by exact name: service, RPC. What is not here,
/// an RPC of the future included, is refused.
///
/// `QueryWorkflow` reads, but a Worker runs Workflow code to answer it; Query handlers must not have
/// effects, so a dry run asks them too.
pub const READS: [(&str, &str); 17] = [
    (WORKFLOW_SERVICE, "CountWorkflowExecutions"),
    (WORKFLOW_SERVICE, "DescribeBatchOperation"),
    (WORKFLOW_SERVICE, "DescribeNamespace"),
    (WORKFLOW_SERVICE, "DescribeTaskQueue"),
    (WORKFLOW_SERVICE, "DescribeWorkerDeployment"),
    (WORKFLOW_SERVICE, "DescribeWorkerDeploymentVersion"),
    (WORKFLOW_SERVICE, "DescribeWorkflowExecution"),
    (WORKFLOW_SERVICE, "GetClusterInfo"),
    (WORKFLOW_SERVICE, "GetSystemInfo"),
    (WORKFLOW_SERVICE, "GetWorkflowExecutionHistory"),
    (WORKFLOW_SERVICE, "GetWorkflowExecutionHistoryReverse"),
    (WORKFLOW_SERVICE, "ListBatchOperations"),
    (WORKFLOW_SERVICE, "ListWorkerDeployments"),
    (WORKFLOW_SERVICE, "ListWorkflowExecutions"),
    (WORKFLOW_SERVICE, "QueryWorkflow"),
    (OPERATOR_SERVICE, "ListSearchAttributes"),
    (HEALTH_SERVICE, "Check"),
];

/// How the gate's refusal begins.
pub const REFUSED_BY_GATE: &str = "a dry run cannot write";

/// How the message begins where a call did not answer in time.
pub const DEADLINE_WORDING: &str = "no answer within";

/// Where calls go in the end.
#[derive(Clone)]
pub(super) enum Backend {
    Remote(Remote),
    InMemory(InMemory),
}

impl Backend {
    async fn call(&self, request: GrpcRequest) -> Result<Vec<u8>, Status> {
        match self {
            Self::Remote(remote) => remote.call(request).await,
            Self::InMemory(service) => service(request.rpc, request.headers, request.proto).await,
        }
    }
}

/// What calls came to: how many the service refused for their rate, how many it answered, and how long
/// the answers took.
#[derive(Debug, Default)]
pub(super) struct Meter {
    pub(super) refused: AtomicU64,
    pub(super) answered: AtomicU64,
    pub(super) microseconds: AtomicU64,
}

impl Meter {
    fn answered(&self, latency: Duration) {
        let microseconds = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.microseconds.fetch_add(microseconds, Ordering::Relaxed);
        self.answered.fetch_add(1, Ordering::Relaxed);
    }
}

/// Gate, deadline, backend.
#[derive(Clone)]
pub(super) struct Transport {
    access: Access,
    call_timeout: Duration,
    backend: Backend,
    meter: Arc<Meter>,
    mask: Arc<Mask>,
}

impl Transport {
    pub(super) fn new(access: Access, call_timeout: Duration, backend: Backend) -> Self {
        Self {
            access,
            call_timeout,
            backend,
            meter: Arc::default(),
            mask: Arc::default(),
        }
    }

    /// Takes these secrets out of what the service says about a call that it does not answer.
    pub(super) fn masked(mut self, mask: Mask) -> Self {
        self.mask = Arc::new(mask);
        self
    }

    /// What calls came to, as they come.
    pub(super) fn meter(&self) -> Arc<Meter> {
        self.meter.clone()
    }

    #[allow(clippy::type_complexity)] // the client's own signature
    pub(super) fn into_callback(
        self,
    ) -> Arc<
        dyn Fn(GrpcRequest) -> BoxFuture<'static, Result<GrpcSuccessResponse, Status>>
            + Send
            + Sync,
    > {
        Arc::new(move |request| {
            let transport = self.clone();
            Box::pin(async move { transport.call(request).await })
        })
    }

    /// One call, at most once, and a line in the log.
    async fn call(&self, request: GrpcRequest) -> Result<GrpcSuccessResponse, Status> {
        let rpc = request.rpc.clone();
        let started = tokio::time::Instant::now();
        let result = self.passed(request).await;
        let result = result.map_err(|status| self.without_secrets(status));
        let milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        match &result {
            Ok(_) => tracing::debug!(rpc, milliseconds, "answered"),
            Err(status) => {
                let (code, message) = (status.code(), status.message());
                tracing::debug!(rpc, milliseconds, ?code, message, "not answered");
            }
        }
        result
    }

    fn without_secrets(&self, status: Status) -> Status {
        let message = self.mask.text(status.message());
        if message == status.message() {
            return status;
        }
        // Its details say the same again, in bytes that nobody searches.
        Status::new(status.code(), message)
    }

    /// Response headers are dropped: nothing reads them, and those of the encoding no longer hold.
    async fn passed(&self, request: GrpcRequest) -> Result<GrpcSuccessResponse, Status> {
        gate(self.access, &request)?;
        let limit = requested_timeout(&request.headers)
            .unwrap_or(self.call_timeout)
            .min(self.call_timeout);
        let started = tokio::time::Instant::now();
        let result = match tokio::time::timeout(limit, self.backend.call(request)).await {
            Ok(result) => result,
            Err(_elapsed) => Err(deadline(limit)),
        };
        match result {
            Ok(proto) => {
                self.meter.answered(started.elapsed());
                Ok(GrpcSuccessResponse {
                    headers: HeaderMap::new(),
                    proto,
                })
            }
            // The channel's own timer may win the race, and says Cancelled.
            Err(status) if status.code() == Code::Cancelled && started.elapsed() >= limit => {
                Err(deadline(limit))
            }
            Err(status) => {
                if status.code() == Code::ResourceExhausted {
                    self.meter.refused.fetch_add(1, Ordering::Relaxed);
                }
                Err(status)
            }
        }
    }
}

fn deadline(limit: Duration) -> Status {
    Status::deadline_exceeded(format!("{DEADLINE_WORDING} {} ms", limit.as_millis()))
}

fn gate(access: Access, request: &GrpcRequest) -> Result<(), Status> {
    let listed = READS.contains(&(request.service.as_str(), request.rpc.as_str()));
    match access {
        Access::ReadWrite => Ok(()),
        Access::ReadOnly if listed => Ok(()),
        Access::ReadOnly => Err(Status::permission_denied(format!(
            "{REFUSED_BY_GATE}: {}",
            request.rpc
        ))),
    }
}

/// The `grpc-timeout` header: up to eight digits and a unit (gRPC over HTTP/2, "Timeout").
fn requested_timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let value: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(value * 3600)),
        "M" => Some(Duration::from_secs(value * 60)),
        "S" => Some(Duration::from_secs(value)),
        "m" => Some(Duration::from_millis(value)),
        "u" => Some(Duration::from_micros(value)),
        "n" => Some(Duration::from_nanos(value)),
        _ => None,
    }
}

#[cfg(test)]
#[path = "transport_tests.rs"]
mod tests;

//! What came of a call: each gRPC code × kind of call, mapped by a table without a wildcard, and the
//! service's wordings that say more than their code.
//!
//! The wordings are those of server 1.32. One that is not recognised costs detail, never safety: the
//! verdict rests on the code alone.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tonic::{Code, Status};

use crate::connection::REFUSED_BY_GATE;

/// The RPCs that this tool calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Rpc {
    GetSystemInfo,
    DescribeNamespace,
    ListSearchAttributes,
    CountWorkflowExecutions,
    ListWorkflowExecutions,
    DescribeWorkflowExecution,
    GetWorkflowExecutionHistory,
    GetWorkflowExecutionHistoryReverse,
    DescribeWorkerDeployment,
    DescribeWorkerDeploymentVersion,
    UpdateWorkflowExecutionOptions,
    SetWorkerDeploymentCurrentVersion,
    SetWorkerDeploymentRampingVersion,
    DeleteWorkerDeploymentVersion,
    TerminateWorkflowExecution,
    ResetWorkflowExecution,
    StartWorkflowExecution,
    StartBatchOperation,
    StopBatchOperation,
    DescribeBatchOperation,
    ListBatchOperations,
    RequestCancelWorkflowExecution,
    SignalWorkflowExecution,
    QueryWorkflow,
}

/// What a call may do to the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallKind {
    /// Nothing: it may be sent again.
    Read,
    /// A write whose repetition changes nothing more.
    Idempotent,
    /// A write that must not be repeated.
    NonIdempotent,
}

impl Rpc {
    /// What it may do.
    pub fn kind(self) -> CallKind {
        match self {
            Self::GetSystemInfo
            | Self::DescribeNamespace
            | Self::ListSearchAttributes
            | Self::CountWorkflowExecutions
            | Self::ListWorkflowExecutions
            | Self::DescribeWorkflowExecution
            | Self::GetWorkflowExecutionHistory
            | Self::GetWorkflowExecutionHistoryReverse
            | Self::DescribeWorkerDeployment
            | Self::DescribeWorkerDeploymentVersion
            | Self::DescribeBatchOperation
            | Self::ListBatchOperations
            | Self::QueryWorkflow => CallKind::Read,
            Self::UpdateWorkflowExecutionOptions
            | Self::SetWorkerDeploymentCurrentVersion
            | Self::SetWorkerDeploymentRampingVersion
            | Self::DeleteWorkerDeploymentVersion
            | Self::TerminateWorkflowExecution
            | Self::RequestCancelWorkflowExecution
            // The job id: a second job of the same id is refused.
            | Self::StartBatchOperation
            | Self::StopBatchOperation => CallKind::Idempotent,
            Self::ResetWorkflowExecution
            | Self::StartWorkflowExecution
            | Self::SignalWorkflowExecution => CallKind::NonIdempotent,
        }
    }

    /// Whether it draws on the namespace's Visibility budget.
    pub(super) fn is_visibility(self) -> bool {
        matches!(
            self,
            Self::CountWorkflowExecutions
                | Self::ListWorkflowExecutions
                | Self::ListBatchOperations
        )
    }
}

impl fmt::Display for Rpc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// What follows for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// What was wanted is so.
    Done,
    /// Nothing happened, and nothing is left to do here: what it was about is gone.
    Skip,
    /// Nothing happened; the service's state does not allow it.
    Refuse,
    /// A read that may answer when asked again.
    Retry,
    /// Nothing happened, and asking again would not help.
    Fail,
    /// It may have happened: look before anything else.
    InDoubt,
}

/// What the service's wording says, where it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The call could not be put together, and was not sent.
    Unsent,
    /// The Workflow Execution is closed.
    AlreadyClosed,
    /// There is no such Workflow or run.
    WorkflowNotFound,
    /// The target Version is not known on the task queue: no Workflow of the row can go there.
    TargetUnknown,
    /// A Worker polled for the Version within the server's memory of pollers: wait.
    ActivePollers,
    /// The Version is draining: wait.
    Draining,
    /// The Version is Current or Ramping.
    CurrentOrRamping,
    /// Somebody changed the deployment's routing since it was read.
    ConflictToken,
    /// Task queues of the Current Version are missing in the proposed one.
    MissingTaskQueues,
    /// Somebody else manages the deployment.
    ManagerIdentity,
    /// There is no such Worker Deployment.
    DeploymentNotFound,
    /// There is no such Worker Deployment Version.
    VersionNotFound,
    /// There is no such namespace.
    NamespaceNotFound,
    /// The event cannot be reset to.
    ResetPoint,
    /// A Workflow with that id runs already.
    AlreadyRunning,
    /// The query is not one that the service takes.
    Query,
    /// As many batch operations run as the namespace allows.
    TooManyBatches,
    /// The namespace's budget is used up.
    RateLimited,
    /// The credential is missing, wrong or expired.
    Unauthenticated,
    /// The credential may not do this.
    PermissionDenied,
    /// This connection does not let writes through.
    DryRun,
    /// The service does not have the RPC, or has it switched off.
    Unsupported,
    /// The service could not be reached, or did not answer in time.
    NoAnswer,
    /// There is no such batch job (any more).
    BatchNotFound,
    /// There is a batch job of that id already.
    BatchExists,
    /// Only the code and the message are known.
    Other,
}

/// Verdict and cause together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meaning {
    /// What follows for the caller.
    pub verdict: Verdict,
    /// What the service said.
    pub cause: Cause,
}

/// A call that did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallError {
    /// Which call.
    pub rpc: Rpc,
    /// The gRPC code.
    pub code: Code,
    /// The service's own words.
    pub message: String,
    /// What they mean.
    pub meaning: Meaning,
    /// How often a read was tried, where patience ended.
    pub tried: Option<(u32, Duration)>,
}

impl CallError {
    pub(super) fn of(rpc: Rpc, status: &Status) -> Self {
        let cause = cause(rpc, status.code(), status.message());
        let verdict = verdict(status.code(), rpc.kind(), gone(cause));
        let meaning = Meaning { verdict, cause };
        Self {
            rpc,
            code: status.code(),
            message: status.message().to_owned(),
            meaning,
            tried: None,
        }
    }

    /// An answer that lacks what it must hold, or an argument that cannot be sent.
    pub(super) fn unusable(rpc: Rpc, message: impl Into<String>) -> Self {
        let verdict = match rpc.kind() {
            CallKind::Read => Verdict::Fail,
            CallKind::Idempotent | CallKind::NonIdempotent => Verdict::InDoubt,
        };
        let meaning = Meaning {
            verdict,
            cause: Cause::Other,
        };
        Self {
            rpc,
            code: Code::Internal,
            message: message.into(),
            meaning,
            tried: None,
        }
    }

    /// An argument that was refused before anything was sent.
    pub(super) fn unsendable(rpc: Rpc, message: impl Into<String>) -> Self {
        let meaning = Meaning {
            verdict: Verdict::Fail,
            cause: Cause::Unsent,
        };
        Self {
            rpc,
            code: Code::InvalidArgument,
            message: message.into(),
            meaning,
            tried: None,
        }
    }

    pub(super) fn after(mut self, attempts: u32, patience: Duration) -> Self {
        self.tried = Some((attempts, patience));
        self
    }

    /// Whether it is certain that the call changed nothing.
    pub fn nothing_happened(&self) -> bool {
        self.rpc.kind() == CallKind::Read || proves_nothing_happened(self.code)
    }

    /// The code as gRPC spells it, e.g. `FAILED_PRECONDITION`.
    pub fn code_name(&self) -> &'static str {
        code_name(self.code)
    }

    /// What happened, for somebody who is on call; without the code and the service's words.
    pub fn explain(&self) -> &'static str {
        explain(self.meaning)
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {}: {}: {}",
            self.rpc,
            self.explain(),
            self.code_name(),
            self.message
        )?;
        match self.tried {
            Some((attempts, patience)) => {
                write!(f, " (tried {attempts} times in {} s)", patience.as_secs())
            }
            None => Ok(()),
        }
    }
}

impl std::error::Error for CallError {}

/// Only validation, permission, precondition and not-found errors prove that a write did nothing.
fn proves_nothing_happened(code: Code) -> bool {
    match code {
        Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::Unimplemented
        | Code::Unauthenticated => true,
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::ResourceExhausted
        | Code::Aborted
        | Code::OutOfRange
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss => false,
    }
}

/// Whether the Workflow that a call was about is closed or gone; a missing Version, deployment or
/// namespace is a mistake in the runbook instead.
fn gone(cause: Cause) -> bool {
    matches!(cause, Cause::AlreadyClosed | Cause::WorkflowNotFound)
}

/// The table. A code that gRPC adds one day does not compile until it stands here. `gone` splits
/// NOT_FOUND.
fn verdict(code: Code, kind: CallKind, gone: bool) -> Verdict {
    use CallKind::{Idempotent, NonIdempotent, Read};
    match (code, kind) {
        (Code::Ok, Read | Idempotent | NonIdempotent) => Verdict::Done,

        (Code::InvalidArgument, Read | Idempotent | NonIdempotent) => Verdict::Fail,
        (Code::PermissionDenied, Read | Idempotent | NonIdempotent) => Verdict::Fail,
        (Code::Unauthenticated, Read | Idempotent | NonIdempotent) => Verdict::Fail,
        (Code::Unimplemented, Read | Idempotent | NonIdempotent) => Verdict::Fail,

        (Code::NotFound, Read) => Verdict::Fail,
        (Code::NotFound, Idempotent | NonIdempotent) if gone => Verdict::Skip,
        (Code::NotFound, Idempotent | NonIdempotent) => Verdict::Fail,
        (Code::AlreadyExists, Read) => Verdict::Fail,
        (Code::AlreadyExists, Idempotent | NonIdempotent) => Verdict::Refuse,
        (Code::FailedPrecondition, Read) => Verdict::Fail,
        (Code::FailedPrecondition, Idempotent | NonIdempotent) => Verdict::Refuse,

        (Code::OutOfRange, Read) => Verdict::Fail,
        (Code::OutOfRange, Idempotent | NonIdempotent) => Verdict::InDoubt,
        (Code::Cancelled, Read) => Verdict::Retry,
        (Code::Cancelled, Idempotent | NonIdempotent) => Verdict::InDoubt,
        (Code::Unknown, Read) => Verdict::Retry,
        (Code::Unknown, Idempotent | NonIdempotent) => Verdict::InDoubt,
        (Code::DeadlineExceeded, Read) => Verdict::Retry,
        (Code::DeadlineExceeded, Idempotent | NonIdempotent) => Verdict::InDoubt,
        (Code::ResourceExhausted, Read) => Verdict::Retry,
        (Code::ResourceExhausted, Idempotent | NonIdempotent) => Verdict::InDoubt,
        (Code::Aborted, Read) => Verdict::Retry,
        (Code::Aborted, Idempotent | NonIdempotent) => Verdict::InDoubt,
        (Code::Internal, Read) => Verdict::Retry,
        (Code::Internal, Idempotent | NonIdempotent) => Verdict::InDoubt,
        (Code::Unavailable, Read) => Verdict::Retry,
        (Code::Unavailable, Idempotent | NonIdempotent) => Verdict::InDoubt,
        (Code::DataLoss, Read) => Verdict::Retry,
        (Code::DataLoss, Idempotent | NonIdempotent) => Verdict::InDoubt,
    }
}

fn cause(rpc: Rpc, code: Code, message: &str) -> Cause {
    match code {
        Code::NotFound => not_found(rpc, message),
        Code::FailedPrecondition => precondition(message),
        Code::InvalidArgument => argument(rpc, message),
        Code::AlreadyExists if rpc == Rpc::StartBatchOperation => Cause::BatchExists,
        Code::AlreadyExists => Cause::AlreadyRunning,
        Code::ResourceExhausted if message.contains("Max concurrent batch") => {
            Cause::TooManyBatches
        }
        Code::ResourceExhausted => Cause::RateLimited,
        Code::Unauthenticated => Cause::Unauthenticated,
        Code::PermissionDenied if message.starts_with(REFUSED_BY_GATE) => Cause::DryRun,
        Code::PermissionDenied
            if message.contains("manager identity") || message.contains("ManagerIdentity") =>
        {
            Cause::ManagerIdentity
        }
        Code::PermissionDenied => Cause::PermissionDenied,
        Code::Unimplemented => Cause::Unsupported,
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => Cause::NoAnswer,
        Code::Ok
        | Code::Unknown
        | Code::Aborted
        | Code::OutOfRange
        | Code::Internal
        | Code::DataLoss => Cause::Other,
    }
}

fn not_found(rpc: Rpc, message: &str) -> Cause {
    let says = |wording: &str| message.contains(wording);
    if says("already completed") {
        Cause::AlreadyClosed
    } else if message.starts_with("Namespace ") {
        Cause::NamespaceNotFound
    } else if says("no Worker Deployment found") || says("temporal-sys-worker-deployment:") {
        Cause::DeploymentNotFound
    } else if says("Worker Deployment Version not found") || says("build ID '") {
        Cause::VersionNotFound
    } else {
        match rpc {
            Rpc::DescribeWorkerDeployment => Cause::DeploymentNotFound,
            Rpc::DescribeWorkerDeploymentVersion => Cause::VersionNotFound,
            Rpc::DescribeNamespace => Cause::NamespaceNotFound,
            Rpc::DescribeWorkflowExecution
            | Rpc::GetWorkflowExecutionHistory
            | Rpc::GetWorkflowExecutionHistoryReverse
            | Rpc::UpdateWorkflowExecutionOptions
            | Rpc::TerminateWorkflowExecution
            | Rpc::ResetWorkflowExecution
            | Rpc::RequestCancelWorkflowExecution
            | Rpc::SignalWorkflowExecution
            | Rpc::QueryWorkflow => Cause::WorkflowNotFound,
            Rpc::DescribeBatchOperation | Rpc::StopBatchOperation => Cause::BatchNotFound,
            Rpc::StartBatchOperation
            | Rpc::ListBatchOperations
            | Rpc::GetSystemInfo
            | Rpc::ListSearchAttributes
            | Rpc::CountWorkflowExecutions
            | Rpc::ListWorkflowExecutions
            | Rpc::SetWorkerDeploymentCurrentVersion
            | Rpc::SetWorkerDeploymentRampingVersion
            | Rpc::DeleteWorkerDeploymentVersion
            | Rpc::StartWorkflowExecution => Cause::Other,
        }
    }
}

/// FAILED_PRECONDITION, in the order in which the wordings exclude each other.
const PRECONDITIONS: [(&str, Cause); 8] = [
    ("is not present in task queue", Cause::TargetUnknown),
    ("has active pollers", Cause::ActivePollers),
    ("is draining", Cause::Draining),
    ("current or ramping", Cause::CurrentOrRamping),
    ("is already current", Cause::CurrentOrRamping),
    ("conflict token mismatch", Cause::ConflictToken),
    ("missing active task queues", Cause::MissingTaskQueues),
    ("ManagerIdentity '", Cause::ManagerIdentity),
];

fn precondition(message: &str) -> Cause {
    let known = PRECONDITIONS
        .iter()
        .find(|(wording, _)| message.contains(wording));
    known.map_or(Cause::Other, |(_, cause)| *cause)
}

fn argument(rpc: Rpc, message: &str) -> Cause {
    match rpc {
        Rpc::CountWorkflowExecutions | Rpc::ListWorkflowExecutions => Cause::Query,
        Rpc::ResetWorkflowExecution
            if message.contains("finish ID") || message.contains("reset workflow to event ID") =>
        {
            Cause::ResetPoint
        }
        Rpc::ResetWorkflowExecution if message.contains("StateRebuilder") => Cause::ResetPoint,
        Rpc::StartBatchOperation if message.contains("query") => Cause::Query,
        _ => Cause::Other,
    }
}

fn explain(meaning: Meaning) -> &'static str {
    match meaning.cause {
        Cause::AlreadyClosed => "the Workflow closed before the call arrived",
        Cause::WorkflowNotFound => "there is no such Workflow (any more)",
        Cause::TargetUnknown => {
            "no Worker of the target Version has polled this task queue: deploy it there, or name another Version"
        }
        Cause::ActivePollers => {
            "Workers of the Version still poll, or did within the server's memory: stop them and wait"
        }
        Cause::Draining => "the Version is still draining",
        Cause::CurrentOrRamping => "the Version is Current or Ramping: stop the rollout first",
        Cause::ConflictToken => {
            "somebody changed the deployment's routing in the meantime: look again"
        }
        Cause::MissingTaskQueues => {
            "the Version does not serve all task queues that the Current Version serves"
        }
        Cause::ManagerIdentity => {
            "somebody else manages this Worker Deployment: use their identity, or take it over"
        }
        Cause::DeploymentNotFound => "there is no such Worker Deployment",
        Cause::VersionNotFound => "there is no such Worker Deployment Version",
        Cause::NamespaceNotFound => {
            "there is no such namespace: check --namespace (TEMPORAL_NAMESPACE)"
        }
        Cause::ResetPoint => "the run cannot be reset to that event",
        Cause::AlreadyRunning => "a Workflow with that id exists already",
        Cause::Query => "the service does not take the query",
        Cause::BatchNotFound => "there is no such batch job (any more)",
        Cause::BatchExists => "there is a batch job of that id already",
        Cause::TooManyBatches => "as many batch operations run as the namespace allows",
        Cause::RateLimited => "the namespace's rate limit is used up",
        Cause::Unauthenticated => {
            "the credential is missing, wrong or expired: check the API key or certificate"
        }
        Cause::PermissionDenied => {
            "the credential may not do this: ask for access, or use another one"
        }
        Cause::DryRun => "a dry run does not write",
        Cause::Unsent => "the call cannot be made",
        Cause::Unsupported => "this service does not offer the call",
        Cause::NoAnswer => match meaning.verdict {
            Verdict::InDoubt => "no answer came, so it may have happened",
            Verdict::Done | Verdict::Skip | Verdict::Refuse | Verdict::Retry | Verdict::Fail => {
                "the service did not answer"
            }
        },
        Cause::Other => match meaning.verdict {
            Verdict::Done => "done",
            Verdict::Skip => "nothing to do",
            Verdict::Refuse => "the service's state does not allow it",
            Verdict::Retry => "the service had a passing problem",
            Verdict::Fail => "the service refused the call",
            Verdict::InDoubt => "the service failed in the middle, so it may have happened",
        },
    }
}

/// A code as gRPC spells it.
pub fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
#[path = "outcome_tests.rs"]
mod tests;

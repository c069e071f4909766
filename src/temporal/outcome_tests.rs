//! The table, the wordings, and how errors read.

use super::*;

fn error(rpc: Rpc, code: Code, message: &str) -> CallError {
    CallError::of(rpc, &Status::new(code, message))
}

#[test]
fn exactly_seven_codes_prove_that_a_write_did_nothing() {
    let proving: Vec<_> = (0..=16)
        .map(Code::from)
        .filter(|code| proves_nothing_happened(*code))
        .map(code_name)
        .collect();
    let expected = [
        "INVALID_ARGUMENT",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "FAILED_PRECONDITION",
        "UNIMPLEMENTED",
        "UNAUTHENTICATED",
    ];
    assert_eq!(proving, expected);
}

#[test]
fn a_write_is_in_doubt_exactly_where_the_code_proves_nothing() {
    for code in (1..=16).map(Code::from) {
        for kind in [CallKind::Idempotent, CallKind::NonIdempotent] {
            let in_doubt = verdict(code, kind, false) == Verdict::InDoubt;
            assert_eq!(
                in_doubt,
                !proves_nothing_happened(code),
                "{}",
                code_name(code)
            );
            assert_ne!(
                verdict(code, kind, false),
                Verdict::Retry,
                "{}",
                code_name(code)
            );
        }
    }
}

#[test]
fn the_table_of_reads() {
    let of = |wanted| -> Vec<_> {
        let codes = (0..=16).map(Code::from);
        codes
            .filter(|code| verdict(*code, CallKind::Read, false) == wanted)
            .map(code_name)
            .collect()
    };
    assert_eq!(
        of(Verdict::Retry),
        [
            "CANCELLED",
            "UNKNOWN",
            "DEADLINE_EXCEEDED",
            "RESOURCE_EXHAUSTED",
            "ABORTED",
            "INTERNAL",
            "UNAVAILABLE",
            "DATA_LOSS"
        ]
    );
    assert_eq!(of(Verdict::InDoubt), [] as [&str; 0]);
}

#[test]
fn the_services_wordings_are_recognised() {
    use Code::{
        FailedPrecondition, InvalidArgument, NotFound, PermissionDenied, ResourceExhausted,
    };
    let delete = Rpc::DeleteWorkerDeploymentVersion;
    let reset = Rpc::ResetWorkflowExecution;
    let cases = [
        (
            Rpc::TerminateWorkflowExecution,
            NotFound,
            "workflow execution already completed",
            Cause::AlreadyClosed,
        ),
        (
            Rpc::TerminateWorkflowExecution,
            NotFound,
            "workflow not found for ID: nowf",
            Cause::WorkflowNotFound,
        ),
        (
            reset,
            FailedPrecondition,
            "Pinned version 'orders:v9' is not present in task queue 'orders-tq' of type 'Workflow'",
            Cause::TargetUnknown,
        ),
        (
            delete,
            FailedPrecondition,
            "version 'orders:v2' cannot be deleted since it has active pollers",
            Cause::ActivePollers,
        ),
        (
            delete,
            FailedPrecondition,
            "version 'orders:v2' cannot be deleted since it is draining",
            Cause::Draining,
        ),
        (
            delete,
            FailedPrecondition,
            "version 'orders:v2' cannot be deleted since it is current or ramping",
            Cause::CurrentOrRamping,
        ),
        (
            delete,
            NotFound,
            "workflow not found for ID: temporal-sys-worker-deployment:nodep",
            Cause::DeploymentNotFound,
        ),
        (
            Rpc::SetWorkerDeploymentRampingVersion,
            NotFound,
            "build ID 'nope' not found in Worker Deployment 'orders'",
            Cause::VersionNotFound,
        ),
        (
            Rpc::SetWorkerDeploymentCurrentVersion,
            FailedPrecondition,
            "proposed current version 'orders:v6' is missing active task queues from the current version; these \
             would become unversioned if it is set as the current version",
            Cause::MissingTaskQueues,
        ),
        (
            Rpc::SetWorkerDeploymentCurrentVersion,
            FailedPrecondition,
            "conflict token mismatch",
            Cause::ConflictToken,
        ),
        (
            reset,
            InvalidArgument,
            "Workflow task finish ID must be > 1 && <= workflow last event ID.",
            Cause::ResetPoint,
        ),
        (
            reset,
            InvalidArgument,
            "StateRebuilder unable to Rebuild mutable state to event ID: 4, version: 0, this event must be at the boundary",
            Cause::ResetPoint,
        ),
        (
            Rpc::ListWorkflowExecutions,
            InvalidArgument,
            "invalid query: unable to parse datetime",
            Cause::Query,
        ),
        (
            Rpc::CountWorkflowExecutions,
            ResourceExhausted,
            "namespace rate limit exceeded",
            Cause::RateLimited,
        ),
        (
            Rpc::DescribeNamespace,
            NotFound,
            "Namespace nope is not found.",
            Cause::NamespaceNotFound,
        ),
        (
            reset,
            PermissionDenied,
            "a dry run cannot write: ResetWorkflowExecution",
            Cause::DryRun,
        ),
        (
            reset,
            PermissionDenied,
            "Request unauthorized.",
            Cause::PermissionDenied,
        ),
        (
            Rpc::StartBatchOperation,
            ResourceExhausted,
            "Max concurrent batch operations is reached",
            Cause::TooManyBatches,
        ),
        (
            Rpc::StartBatchOperation,
            Code::AlreadyExists,
            "Workflow execution already finished. WorkflowId: j1, RunId: r. Workflow Id reuse policy: reject duplicate workflow Id.",
            Cause::BatchExists,
        ),
        (
            Rpc::StartBatchOperation,
            InvalidArgument,
            "invalid visibility query: syntax error at position 40",
            Cause::Query,
        ),
        (
            Rpc::DescribeBatchOperation,
            NotFound,
            "workflow not found for ID: nojob",
            Cause::BatchNotFound,
        ),
        (
            Rpc::StopBatchOperation,
            NotFound,
            "workflow not found for ID: nojob",
            Cause::BatchNotFound,
        ),
        (
            Rpc::StopBatchOperation,
            NotFound,
            "workflow execution already completed",
            Cause::AlreadyClosed,
        ),
    ];
    for (rpc, code, message, expected) in cases {
        assert_eq!(
            error(rpc, code, message).meaning.cause,
            expected,
            "{message}"
        );
    }
}

#[test]
fn not_found_skips_a_workflow_and_fails_on_a_missing_version() {
    let closed = error(
        Rpc::ResetWorkflowExecution,
        Code::NotFound,
        "workflow execution already completed",
    );
    assert_eq!(closed.meaning.verdict, Verdict::Skip);
    let version = error(
        Rpc::SetWorkerDeploymentCurrentVersion,
        Code::NotFound,
        "build ID 'nope' not found in Worker Deployment 'orders'",
    );
    assert_eq!(version.meaning.verdict, Verdict::Fail);
}

#[test]
fn errors_read_well() {
    let mut errors = vec![
        error(
            Rpc::ResetWorkflowExecution,
            Code::FailedPrecondition,
            "Pinned version 'orders:v9' is not present in task queue 'orders-tq' of type 'Workflow'",
        ),
        error(
            Rpc::ResetWorkflowExecution,
            Code::DeadlineExceeded,
            "no answer within 10000 ms",
        ),
        error(
            Rpc::DescribeNamespace,
            Code::NotFound,
            "Namespace nope is not found.",
        ),
        error(
            Rpc::ListWorkflowExecutions,
            Code::ResourceExhausted,
            "namespace rate limit exceeded",
        ),
    ];
    if let Some(last) = errors.pop() {
        errors.push(last.after(16, Duration::from_secs(60)));
    }
    let lines: Vec<_> = errors.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(lines.join("\n"), @r"
    ResetWorkflowExecution: no Worker of the target Version has polled this task queue: deploy it there, or name another Version: FAILED_PRECONDITION: Pinned version 'orders:v9' is not present in task queue 'orders-tq' of type 'Workflow'
    ResetWorkflowExecution: no answer came, so it may have happened: DEADLINE_EXCEEDED: no answer within 10000 ms
    DescribeNamespace: there is no such namespace: check --namespace (TEMPORAL_NAMESPACE): NOT_FOUND: Namespace nope is not found.
    ListWorkflowExecutions: the namespace's rate limit is used up: RESOURCE_EXHAUSTED: namespace rate limit exceeded (tried 16 times in 60 s)
    ");
}

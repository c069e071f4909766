//! Temporal's own batch jobs: `batch.*`, and the jobs of steps with `via: batch`.
//!
//! A job is found by its id, and told from somebody else's by reason, operation and scope. What it did
//! to a Workflow is read from the Workflow; the job's counts are its own word, and come by pages.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::{World, arguments, fatal, problem};
use crate::approval::{Lapsed, Permit};
use crate::catalog::{DescribeBatch, ListBatches, TerminateBatch, WaitBatch};
use crate::decision::{Call, Naming};
use crate::history::ResetTo;
use crate::record::Outcome;
use crate::steps::job::{JobRequest, JobSeen};
use crate::steps::{Observation, Problem};
use crate::survey::{BatchJob, BatchState, Look, Status, WorkflowKey};
use crate::temporal::{
    BatchCall, BatchOperation, BatchResetPoint, BatchScope, CallError, Cause, Found, Reapply,
    Verdict,
};

/// Jobs that are listed where nobody says how many.
const LISTED: u32 = 100;

/// Reads what a `batch.*` action needs to know, and says what it would change.
pub(super) async fn observe(
    world: &World,
    action: &str,
    with: Value,
) -> Result<Observation, Problem> {
    match action {
        "batch.describe" => {
            let with: DescribeBatch = arguments(action, with)?;
            Ok(of_output(job_output(&job(world, &with.job_id).await?)))
        }
        "batch.list" => list(world, &arguments(action, with)?).await,
        "batch.wait" => wait(world, &arguments(action, with)?).await,
        "batch.terminate" => observe_terminate(world, &arguments(action, with)?).await,
        other => Err(fatal(format!("`{other}` cannot be observed"))),
    }
}

/// Changes what [`observe`] said.
pub(super) async fn act(world: &World, action: &str, with: Value) -> Result<(), Problem> {
    match action {
        "batch.terminate" => terminate(world, &arguments(action, with)?).await,
        other => Err(fatal(format!("`{other}` does not write"))),
    }
}

fn of_output(output: Value) -> Observation {
    let output = match output {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    Observation {
        output,
        ..Observation::default()
    }
}

async fn job(world: &World, job_id: &str) -> Result<BatchJob, Problem> {
    let found = world.temporal.batch(job_id).await;
    found.map_err(|error| problem(&error))?.ok_or_else(|| {
        fatal(format!(
            "There is no batch job `{job_id}` in this namespace: mistyped, or it ended longer ago than the namespace keeps closed Workflows. `temporal batch list`, or the action `batch.list`, shows those there are."
        ))
    })
}

fn time(at: Option<jiff::Timestamp>) -> String {
    at.map(|at| at.to_string()).unwrap_or_default()
}

fn job_output(job: &BatchJob) -> Value {
    json!({
        "job_id": job.id,
        "state": job.state,
        "operation": job.kind,
        "total": job.total,
        "complete": job.complete,
        "failed": job.failed,
        "query": job.query,
        "reason": job.reason,
        "identity": job.identity,
        "started": time(job.started),
        "closed": time(job.closed),
    })
}

async fn list(world: &World, with: &ListBatches) -> Result<Observation, Problem> {
    let limit = with.limit.unwrap_or(LISTED);
    let (jobs, more) = world
        .temporal
        .batches(limit)
        .await
        .map_err(|error| problem(&error))?;
    let running = jobs.iter().filter(|job| job.state == BatchState::Running);
    let running: Vec<&str> = running.map(|job| job.id.as_str()).collect();
    let shown = jobs.iter().map(|job| {
        json!({
            "job_id": job.id,
            "operation": job.kind,
            "state": job.state,
            "started": time(job.started),
            "closed": time(job.closed),
        })
    });
    let shown: Vec<Value> = shown.collect();
    Ok(of_output(json!({
        "count": shown.len(), "jobs": shown, "running": running, "more": more,
    })))
}

async fn wait(world: &World, with: &WaitBatch) -> Result<Observation, Problem> {
    let job = job(world, &with.job_id).await?;
    let mut observation = of_output(job_output(&job));
    match job.state {
        BatchState::Completed => {}
        BatchState::Failed => {
            return Err(fatal(format!(
                "The batch job `{}` failed or was stopped; the service does not say why. {}",
                job.id,
                so_far(&job)
            )));
        }
        BatchState::Running | BatchState::Unknown => {
            observation.pending = Some(format!("batch job {} runs: {}", job.id, so_far(&job)));
        }
    }
    Ok(observation)
}

/// What the service has counted, with what that leaves open.
fn so_far(job: &BatchJob) -> String {
    if job.total == 0 {
        return "it has not counted its Workflows yet; some may be done".to_owned();
    }
    format!(
        "{} of {} counted as done, {} as failed; it counts by pages, so more may be done",
        job.complete, job.total, job.failed
    )
}

async fn observe_terminate(world: &World, with: &TerminateBatch) -> Result<Observation, Problem> {
    let job = job(world, &with.job_id).await?;
    let mut observation = of_output(json!({
        "stopped": 0, "state": job.state, "done": 0, "failed": 0, "left": 0,
    }));
    if matches!(job.state, BatchState::Running | BatchState::Unknown) {
        observation.changes.push(format!(
            "stop the batch job {} ({}{}), started by {}: {}. What was done stays done, and it may go on for some seconds",
            job.id,
            job.kind.word(),
            if job.query.is_empty() {
                String::new()
            } else {
                format!(": {}", job.query)
            },
            if job.identity.is_empty() {
                "somebody"
            } else {
                &job.identity
            },
            so_far(&job)
        ));
        let left = job.total.saturating_sub(job.complete + job.failed);
        observation.counts = BTreeMap::from([
            ("stopped".to_owned(), 1),
            ("done".to_owned(), job.complete),
            ("failed".to_owned(), job.failed),
            ("left".to_owned(), left),
        ]);
    }
    Ok(observation)
}

async fn terminate(world: &World, with: &TerminateBatch) -> Result<(), Problem> {
    let reason = format!("{} [runbook {}]", with.reason, world.run);
    match world.temporal.stop_batch(&with.job_id, &reason).await {
        Ok(()) => Ok(()),
        // It ended by itself: what was wanted is so.
        Err(error) if error.meaning.cause == Cause::AlreadyClosed => Ok(()),
        Err(error) => Err(problem(&error)),
    }
}

/// Looks for the job of a step.
pub(crate) async fn follow(world: &World, request: &JobRequest) -> Result<JobSeen, Problem> {
    look_for(world, request).await
}

/// Starts the job of a step, then looks for it.
pub(crate) async fn start(
    world: &World,
    permit: Permit<Arc<JobRequest>>,
) -> Result<JobSeen, Problem> {
    let request = match permit.redeem(world.now()) {
        Ok(request) => request,
        Err(Lapsed) => return Ok(JobSeen::Lapsed),
    };
    let request = &*request;
    let Some(call) = call_of(world, request) else {
        return Ok(JobSeen::Refused(
            "the service has no batch job for this action".to_owned(),
        ));
    };
    match world.temporal.start_batch(&call).await {
        Ok(()) => look_for(world, request).await,
        Err(error) => not_started(world, request, &error).await,
    }
}

/// The start was not acknowledged: is there such a job all the same?
async fn not_started(
    world: &World,
    request: &JobRequest,
    error: &CallError,
) -> Result<JobSeen, Problem> {
    let seen = look_for(world, request).await?;
    if seen != JobSeen::Absent {
        return Ok(seen);
    }
    Ok(match (error.meaning.cause, error.meaning.verdict) {
        (Cause::TooManyBatches, _) => JobSeen::Busy(running(world).await?),
        (_, Verdict::InDoubt | Verdict::Retry) => JobSeen::InDoubt(error.to_string()),
        _ => JobSeen::Refused(error.to_string()),
    })
}

/// The jobs that run now, in words.
async fn running(world: &World) -> Result<Vec<String>, Problem> {
    let listed = world.temporal.batches(LISTED).await;
    let (jobs, _) = listed.map_err(|error| problem(&error))?;
    let running = jobs.iter().filter(|job| job.state == BatchState::Running);
    let words: Vec<String> = running
        .map(|job| {
            let since = time(job.started);
            format!(
                "batch job {} ({}) runs since {since}",
                job.id,
                job.kind.word()
            )
        })
        .collect();
    Ok(match words.is_empty() {
        true => vec!["another batch job ran a moment ago".to_owned()],
        false => words,
    })
}

async fn look_for(world: &World, request: &JobRequest) -> Result<JobSeen, Problem> {
    let found = world.temporal.batch(&request.id).await;
    let Some(job) = found.map_err(|error| problem(&error))? else {
        return Ok(JobSeen::Absent);
    };
    Ok(match foreign(world, request, &job) {
        Some(what) => JobSeen::Foreign(format!(
            "There is a batch job `{}` already, and it is not this run's: {what}. Nothing was started.",
            job.id
        )),
        None => JobSeen::Found(job),
    })
}

/// What tells a job of our id from ours.
fn foreign(world: &World, request: &JobRequest, job: &BatchJob) -> Option<String> {
    if job.kind != request.call.batch_kind() {
        return Some(format!("its operation is {}", job.kind.word()));
    }
    let query = request.query.as_deref().unwrap_or_default();
    if job.query != query {
        return Some(format!("its query is `{}`", job.query));
    }
    if job.executions != request.executions.len() as u64 {
        return Some(format!("it is about {} named Workflows", job.executions));
    }
    let reason = request.reason(&world.run.0);
    (job.reason != reason).then(|| format!("its reason is `{}`", job.reason))
}

/// Whose Signals are the job's: its id is in the identity that each of them carries.
fn identity(world: &World, request: &JobRequest) -> String {
    let own = world.temporal.connection().identity();
    format!("{own} {}", request.id)
}

#[allow(clippy::cast_possible_truncation)] // a rate
fn call_of(world: &World, request: &JobRequest) -> Option<BatchCall> {
    let scope = match &request.query {
        Some(query) => BatchScope::Query(query.clone()),
        None => BatchScope::Executions(request.executions.clone()),
    };
    Some(BatchCall {
        job_id: request.id.clone(),
        reason: request.reason(&world.run.0),
        identity: identity(world, request),
        scope,
        rate: request.rate as f32,
        operation: operation(&request.call)?,
    })
}

fn operation(call: &Call) -> Option<BatchOperation> {
    Some(match call {
        Call::Reset(reset) => {
            let to = match &reset.to {
                ResetTo::FirstWorkflowTask => BatchResetPoint::First,
                ResetTo::LastWorkflowTask => BatchResetPoint::Last,
                ResetTo::Build(build) => BatchResetPoint::Build(build.clone()),
                ResetTo::LastContinuedAsNew
                | ResetTo::FailedTask
                | ResetTo::Event(_)
                | ResetTo::Before(_)
                | ResetTo::BadBinaryChecksum(_) => return None,
            };
            let again = &reset.reapply;
            let excluded = [
                (Reapply::Signal, again.signals),
                (Reapply::Update, again.updates),
                (Reapply::Nexus, again.nexus),
            ];
            let excluded = excluded.into_iter().filter(|(_, applied)| !applied);
            let exclude = excluded.map(|(kind, _)| kind).collect();
            let version = reset.version.clone();
            BatchOperation::Reset {
                to,
                exclude,
                target: version.map(|version| crate::survey::Override::Pinned { version }),
            }
        }
        Call::Options(_) => BatchOperation::Options {
            target: call.over(),
        },
        Call::Terminate(_) => BatchOperation::Terminate,
        Call::Cancel(_) => BatchOperation::Cancel,
        Call::Signal(signal) => BatchOperation::Signal {
            name: signal.name.clone(),
            input: signal.values(),
            headers: signal.headers.clone(),
        },
        Call::Restart(_) => return None,
    })
}

/// What the job came to for one Workflow, by the Workflow's own state.
pub(crate) async fn compare(
    world: &World,
    request: &JobRequest,
    key: &WorkflowKey,
) -> Result<Outcome, Problem> {
    let look = world.temporal.look(key).await;
    let Some(look) = look.map_err(|error| problem(&error))? else {
        return Ok(skipped("does not exist any more"));
    };
    match &request.call {
        Call::Reset(_) => compare_reset(world, request, &look).await,
        Call::Options(_) => Ok(match look.versioning_override == request.call.over() {
            true => done(None),
            false => not_done(&look, "did not set its Versioning Override"),
        }),
        Call::Terminate(_) => compare_terminate(world, request, &look).await,
        Call::Cancel(_) => Ok(
            match look.cancel_requested || look.listed.status == Status::Canceled {
                true => done(None),
                false => not_done(&look, "did not ask it to cancel"),
            },
        ),
        Call::Signal(_) => compare_signal(world, request, &look).await,
        Call::Restart(_) => Ok(not_done(&look, "has no such operation")),
    }
}

fn done(new_run: Option<String>) -> Outcome {
    Outcome::Done { new_run }
}

fn skipped(reason: impl Into<String>) -> Outcome {
    Outcome::Skipped {
        reason: reason.into(),
    }
}

/// Closed before the job came to it, or failed: of the second, the service says no more.
fn not_done(look: &Look, what: &str) -> Outcome {
    let status = look.listed.status;
    if !status.is_open() {
        return skipped(format!("closed meanwhile ({status})"));
    }
    Outcome::Failed {
        code: String::new(),
        message: format!("the batch job {what} (the service does not say why)"),
    }
}

fn mark(world: &World, request: &JobRequest) -> String {
    let (run, step) = (world.run.0.as_str(), request.step.as_str());
    Naming { run, step }.mark()
}

/// The newest reset of the base, by its reason; a base that closed long before is no excuse.
async fn compare_reset(
    world: &World,
    request: &JobRequest,
    look: &Look,
) -> Result<Outcome, Problem> {
    let Some(run_id) = look.reset_run_id.clone() else {
        let before = look.listed.close_time.is_some_and(|at| at < request.since);
        return Ok(match before {
            true => Outcome::Failed {
                code: String::new(),
                message: "the batch job did not reset it (the service does not say why)".to_owned(),
            },
            false => not_done(look, "did not reset it"),
        });
    };
    let new_run = WorkflowKey {
        workflow_id: look.listed.key.workflow_id.clone(),
        run_id: run_id.clone(),
    };
    let origin = world.temporal.reset_origin(&new_run).await;
    let origin = origin.map_err(|error| problem(&error))?;
    Ok(match origin {
        Some(origin) if origin.reason.contains(&mark(world, request)) => done(Some(run_id)),
        Some(origin) => skipped(format!(
            "reset by somebody else (run {run_id}: {})",
            origin.reason
        )),
        None => done(Some(run_id)),
    })
}

/// The job's id is in the identity of each of its Signals. One that waits behind a Workflow Task in flight
/// does not show: until that ends nobody knows.
async fn compare_signal(
    world: &World,
    request: &JobRequest,
    look: &Look,
) -> Result<Outcome, Problem> {
    let key = &look.listed.key;
    let identity = identity(world, request);
    let found = world.temporal.signalled_by(key, &identity);
    let in_flight = look.pending_task.as_ref().is_some_and(|task| task.started);
    match found.await.map_err(|error| problem(&error))? {
        Found::Yes(()) => Ok(done(None)),
        Found::TooLong => Ok(Outcome::Unknown {
            code: String::new(),
            message: "its history is too long to find the job's Signal in it".to_owned(),
        }),
        Found::No if look.listed.status.is_open() && in_flight => Err(Problem {
            message: "a Workflow Task is in flight, and the Signal may wait behind it; to take it up again may signal it twice".to_owned(),
            transient: true,
            not_yet: false,
        }),
        Found::No => Ok(not_done(look, "did not signal it")),
    }
}

async fn compare_terminate(
    world: &World,
    request: &JobRequest,
    look: &Look,
) -> Result<Outcome, Problem> {
    if look.listed.status != Status::Terminated {
        return Ok(not_done(look, "did not terminate it"));
    }
    let end = world.temporal.termination(&look.listed.key).await;
    let reason = end
        .map_err(|error| problem(&error))?
        .map(|end| end.reason)
        .unwrap_or_default();
    Ok(match reason.contains(&mark(world, request)) {
        true => done(None),
        false => skipped(format!("terminated by somebody else ({reason})")),
    })
}

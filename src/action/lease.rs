//! The lease of a run's lock: taken, looked at, kept alive and given back.
//!
//! A start is sent once, under a request id that was never used. What became of one without an answer is found out by
//! looking: a lease bears the name of its run.

use super::World;
use crate::lease::{Answer, Call, Holder, Lease, SIGNAL, workflow_id};
use crate::survey::WorkflowKey;
use crate::temporal::{CallError, LeaseSeen, LeaseStart, SignalCall, Verdict};

/// Does one call about a lease.
pub(super) async fn perform(world: &World, lease: &Lease, call: &Call) -> Answer {
    let answer = match call {
        Call::Take { request_id } => take(world, lease, request_id).await,
        Call::Look => look(world, lease).await,
        Call::Beat {
            lease: run,
            request_id,
        } => beat(world, lease, run, request_id).await,
        Call::Release { lease: run } => release(world, lease, run).await,
    };
    answer.unwrap_or_else(|error| failed(&error))
}

/// What a call that came to nothing means.
fn failed(error: &CallError) -> Answer {
    match error.meaning.verdict {
        Verdict::InDoubt | Verdict::Retry => Answer::Doubt(error.to_string()),
        Verdict::Done | Verdict::Skip | Verdict::Refuse | Verdict::Fail => {
            Answer::Refused(error.to_string())
        }
    }
}

async fn take(world: &World, lease: &Lease, request_id: &str) -> Result<Answer, CallError> {
    let start = LeaseStart {
        workflow_id: workflow_id(&lease.name),
        memo: lease.memo(world.now()),
        request_id: request_id.to_owned(),
    };
    match world.temporal.start_lease(&start).await {
        Ok(lease) => Ok(Answer::Ours { lease }),
        Err(error) if error.meaning.verdict == Verdict::Refuse => look(world, lease).await,
        Err(error) => Err(error),
    }
}

/// Who has a lock; none where nobody has.
///
/// # Errors
/// The service cannot be read.
pub async fn holder(world: &World, name: &str) -> Result<Option<Seen>, CallError> {
    let id = workflow_id(name);
    let Some(seen) = world.temporal.lease(&id).await? else {
        return Ok(None);
    };
    if !seen.open {
        return Ok(None);
    }
    let read = Holder::read(&seen.workflow_type, &seen.memo, &seen.run_id, seen.since);
    let Some(mut holder) = read else {
        return Ok(Some(Seen::Foreign(seen.workflow_type)));
    };
    let key = key(name, &seen.run_id);
    if let Some((at, by)) = world.temporal.last_event(&key).await? {
        holder.seen = at;
        holder.seen_by = by;
    }
    Ok(Some(Seen::Held(Box::new(holder))))
}

/// What has the Workflow ID of a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// A lease.
    Held(Box<Holder>),
    /// A running Workflow that is none, of this type.
    Foreign(String),
}

fn key(name: &str, run: &str) -> WorkflowKey {
    WorkflowKey {
        workflow_id: workflow_id(name),
        run_id: run.to_owned(),
    }
}

async fn look(world: &World, lease: &Lease) -> Result<Answer, CallError> {
    Ok(match holder(world, &lease.name).await? {
        Some(Seen::Held(holder)) if holder.run == lease.run => Answer::Ours {
            lease: holder.lease,
        },
        Some(Seen::Held(holder)) => Answer::Theirs(holder),
        Some(Seen::Foreign(workflow_type)) => Answer::Refused(format!(
            "a Workflow of type {workflow_type} has the Workflow ID `{}`, and it is no lock",
            workflow_id(&lease.name)
        )),
        None => Answer::Free {
            evidence: end_of(world, &lease.name).await?,
        },
    })
}

/// How the latest lease ended.
async fn end_of(world: &World, name: &str) -> Result<String, CallError> {
    let Some(LeaseSeen { run_id, .. }) = world.temporal.lease(&workflow_id(name)).await? else {
        return Ok("it is not there".to_owned());
    };
    let end = world.temporal.termination(&key(name, &run_id)).await?;
    Ok(match end {
        Some(end) => format!("{} terminated it: {}", end.identity, end.reason),
        None => "it is closed".to_owned(),
    })
}

async fn beat(
    world: &World,
    lease: &Lease,
    run: &str,
    request_id: &str,
) -> Result<Answer, CallError> {
    let call = SignalCall {
        key: key(&lease.name, run),
        name: SIGNAL.to_owned(),
        input: Vec::new(),
        headers: Default::default(),
        request_id: request_id.to_owned(),
    };
    match world.temporal.signal(&call).await {
        Ok(()) => Ok(Answer::Ours {
            lease: run.to_owned(),
        }),
        // Gone, or the service takes no more Signals for it: the look says which.
        Err(error) if error.nothing_happened() => look(world, lease).await,
        Err(error) => Err(error),
    }
}

async fn release(world: &World, lease: &Lease, run: &str) -> Result<Answer, CallError> {
    let reason = format!("run {} is over", lease.run);
    match world
        .temporal
        .terminate(&key(&lease.name, run), &reason, None)
        .await
    {
        Ok(()) => Ok(Answer::Released),
        // It was broken before.
        Err(error) if error.meaning.verdict == Verdict::Skip => Ok(Answer::Released),
        Err(error) => Err(error),
    }
}

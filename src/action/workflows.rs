//! `workflows.*` on one Workflow at a time: look and judge, write, settle, verify.
//!
//! The look is Describe, and the history only where the verdict asks for it. A write is sent once, by
//! nobody a second time; what became of one in doubt is found out by looking.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::selection::{MOST_NAMED, resolve};
use super::{World, arguments, fatal, problem};
use crate::approval::Permit;
use crate::catalog::{Count, List, Named, Select};
use crate::decision::{Case, Naming, Table, Verdict, as_listed, judge as decide};
use crate::health::health;
use crate::ledger::OpenIntent;
use crate::record::{Health, Outcome, Settlement, Write};
use crate::sabotage::{Bug, is_planted};
use crate::steps::{Judged, Observation, Problem, Written};
use crate::survey::{
    HistoryLook, HistoryNeed, Look, Override, Status, TaskFailure, Version, WorkflowKey,
};
use crate::temporal::{
    CallError, Cause, Found, Reapply, ResetCall, RestartCall, SignalCall, Verdict as Meaning,
};

/// `workflows.count` and `workflows.list`.
pub(super) async fn observe(
    world: &World,
    action: &str,
    with: Value,
) -> Result<Observation, Problem> {
    let output = match action {
        "workflows.count" => count(world, &arguments(action, with)?).await?,
        "workflows.list" => list(world, &arguments(action, with)?).await?,
        other => return Err(fatal(format!("`{other}` cannot be observed"))),
    };
    let Value::Object(output) = output else {
        return Ok(Observation::default());
    };
    Ok(Observation {
        output,
        ..Observation::default()
    })
}

/// Which Workflows a reading action is about.
fn selected(query: Option<&String>, select: Option<&Select>) -> Result<Select, Problem> {
    match (query, select) {
        (Some(query), None) => Ok(Select::by_query(query)),
        (None, Some(select)) => Ok(select.clone()),
        _ => Err(fatal("it wants `query` or `select`, one of them")),
    }
}

async fn count(world: &World, with: &Count) -> Result<Value, Problem> {
    let select = selected(with.query.as_ref(), with.select.as_ref())?;
    if let (Some(query), true) = (&select.query, select == Select::by_query(query_of(&select))) {
        let count = world.temporal.count(query).await;
        let count = count.map_err(|error| problem(&error))?;
        return Ok(json!({ "count": count, "not_found": [] }));
    }
    let most = if select.query.is_some() {
        usize::MAX
    } else {
        MOST_NAMED
    };
    let resolved = resolve(world, &select, most).await?;
    if resolved.more {
        return Err(fatal(format!(
            "there are more than {MOST_NAMED} names: too many to look up for a count"
        )));
    }
    Ok(json!({ "count": resolved.rows.len(), "not_found": names(&resolved.missing) }))
}

fn query_of(select: &Select) -> &str {
    select.query.as_deref().unwrap_or_default()
}

fn names(missing: &[Named]) -> Vec<String> {
    missing.iter().map(ToString::to_string).collect()
}

async fn list(world: &World, with: &List) -> Result<Value, Problem> {
    let select = selected(with.query.as_ref(), with.select.as_ref())?;
    let resolved = resolve(world, &select, with.limit.unwrap_or(100) as usize).await?;
    let workflows: Vec<Value> = resolved
        .rows
        .iter()
        .map(|row| {
            json!({
                "id": row.key.workflow_id,
                "run_id": row.key.run_id,
                "type": row.workflow_type,
                "status": row.status,
            })
        })
        .collect();
    Ok(json!({
        "count": workflows.len(),
        "workflows": workflows,
        "more": resolved.more,
        "not_found": names(&resolved.missing),
    }))
}

/// What a look is for.
pub(crate) struct Looking<'a> {
    /// The table.
    pub table: &'a Table,
    /// See [`Case::lost`].
    pub lost: bool,
    /// See [`Case::latest`].
    pub latest: bool,
    /// See [`Case::barred`].
    pub barred: Option<&'a (String, String)>,
    /// The step.
    pub step: &'a str,
}

/// Looks at one Workflow, reads as much of its history as the verdict needs, and decides. Also says when
/// Describe was asked.
pub(crate) async fn judge(
    world: &World,
    key: &WorkflowKey,
    looking: &Looking<'_>,
) -> Result<(Timestamp, Judged), Problem> {
    let Some(seen) = look_and_judge(world, key, looking).await? else {
        return Ok((world.now(), Judged::Gone));
    };
    let listed = as_listed(&seen.look, seen.look.effective_version());
    let judged = Judged::Verdict(Box::new(seen.verdict), Box::new(listed));
    Ok((seen.look.at, judged))
}

/// Everything that a verdict rests on, for `explain`.
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// What Describe said.
    pub look: Look,
    /// What the history said, where it was read.
    pub history: Option<(HistoryNeed, HistoryLook)>,
}

/// As [`judge`], with what it rests on.
pub(crate) async fn look_and_judge(
    world: &World,
    key: &WorkflowKey,
    looking: &Looking<'_>,
) -> Result<Option<Judgement>, Problem> {
    let look = if is_planted(Bug::NoLook) {
        world.temporal.look_at_visibility(key).await
    } else {
        world.temporal.look(key).await
    };
    let Some(look) = look.map_err(|error| problem(&error))? else {
        return Ok(None);
    };
    let mut history: Option<(HistoryNeed, HistoryLook)> = None;
    let mut failure: Option<TaskFailure> = None;
    // Each strategy of a row's fallbacks may want another part of the history.
    for _ in 0..5 {
        let verdict = decide(&Case {
            table: looking.table,
            look: &look,
            history: history.as_ref().map(|(need, history)| (need, history)),
            failure: failure.as_ref(),
            lost: looking.lost,
            latest: looking.latest,
            barred: looking
                .barred
                .map(|(strategy, refusal)| (strategy.as_str(), refusal.as_str())),
            naming: Naming {
                run: &world.run.0,
                step: looking.step,
            },
        });
        if verdict == Verdict::ReadFailure {
            let read = world.temporal.task_failure(&look).await;
            failure = Some(read.map_err(|error| problem(&error))?);
            continue;
        }
        let Verdict::Read(need) = verdict else {
            return Ok(Some(Judgement {
                verdict,
                look,
                history,
            }));
        };
        let read = world
            .temporal
            .history(&look.listed.key, &need, &look)
            .await
            .map_err(|error| problem(&error))?;
        history = Some((need, read));
    }
    Err(fatal(
        "The history was read four times, and the verdict still wants more of it.",
    ))
}

/// Sends one write, once.
pub(crate) async fn write(
    world: &World,
    key: &WorkflowKey,
    permit: Permit<Write>,
    deadline: Timestamp,
    (looked, fresh_for): (Timestamp, SignedDuration),
) -> Written {
    let restart = match prepare(world, key, permit.what()).await {
        Ok(restart) => restart,
        Err(error) => {
            let message = format!("nothing was sent: {error}");
            return Written::Ended(Outcome::Failed {
                code: error.code_name().to_owned(),
                message,
            });
        }
    };
    let now = world.now();
    // A laptop may have slept between the look and now; a clock that went back is as good as one that jumped.
    if now.duration_since(looked).abs() > fresh_for && !is_planted(Bug::StaleLook) {
        return Written::Stale;
    }
    let Ok(write) = permit.redeem(now) else {
        return Written::Lapsed;
    };
    let left = Duration::try_from(deadline.duration_since(now)).unwrap_or(Duration::ZERO);
    let mut sent = tokio::time::timeout(left, send(world, key, &write, restart.clone())).await;
    let unknown = |error: &CallError| error.meaning.verdict != Meaning::Refuse;
    if is_planted(Bug::BlindRetry)
        && sent
            .as_ref()
            .map_or(true, |it| it.as_ref().is_err_and(unknown))
    {
        sent = tokio::time::timeout(left, send(world, key, &write, restart)).await;
    }
    match sent {
        Ok(Ok(new_run)) => Written::Ended(Outcome::Done { new_run }),
        Ok(Err(error)) => failed(&error),
        Err(_elapsed) => Written::Ended(Outcome::Unknown {
            code: "DEADLINE_EXCEEDED".to_owned(),
            message: "no answer within the deadline".to_owned(),
        }),
    }
}

/// What has to be read before the call: a restart's start event.
async fn prepare(
    world: &World,
    key: &WorkflowKey,
    write: &Write,
) -> Result<Option<RestartCall>, CallError> {
    let Write::Restart {
        target,
        request_id,
        terminate,
    } = write
    else {
        return Ok(None);
    };
    Ok(Some(RestartCall {
        workflow_id: key.workflow_id.clone(),
        start: world.temporal.start_event(key).await?,
        request_id: request_id.clone(),
        terminate_existing: *terminate,
        target: Some(Override::Pinned {
            version: target.clone(),
        }),
    }))
}

async fn send(
    world: &World,
    key: &WorkflowKey,
    write: &Write,
    restart: Option<RestartCall>,
) -> Result<Option<String>, CallError> {
    match (write, restart) {
        (
            Write::Reset {
                event_id,
                signals,
                updates,
                nexus,
                base,
                target,
                reason,
                request_id,
            },
            _,
        ) => {
            let mut exclude = std::collections::BTreeSet::new();
            exclude.extend((!signals).then_some(Reapply::Signal));
            exclude.extend((!updates).then_some(Reapply::Update));
            exclude.extend((!nexus).then_some(Reapply::Nexus));
            let call = ResetCall {
                key: base_of(key, base.as_ref()),
                event_id: *event_id,
                exclude,
                reason: reason.clone(),
                request_id: request_id.clone(),
                target: target.clone().map(|version| Override::Pinned { version }),
            };
            world.temporal.reset(&call).await.map(Some)
        }
        (Write::Options { target }, _) => world
            .temporal
            .update_options(key, target.as_ref())
            .await
            .map(|()| None),
        (Write::Restart { .. }, Some(call)) => world.temporal.restart(&call).await.map(Some),
        (Write::Restart { .. }, None) => Ok(None),
        (Write::Terminate { reason }, _) => world
            .temporal
            .terminate(key, reason, None)
            .await
            .map(|()| None),
        (Write::Cancel { reason, request_id }, _) => world
            .temporal
            .cancel(key, reason, request_id)
            .await
            .map(|()| None),
        (
            Write::Signal {
                name,
                input,
                headers,
                request_id,
                ..
            },
            _,
        ) => {
            let call = SignalCall {
                key: key.clone(),
                name: name.clone(),
                input: input.clone(),
                headers: headers.clone(),
                request_id: request_id.clone(),
            };
            world.temporal.signal(&call).await.map(|()| None)
        }
    }
}

/// The run that a reset is applied to: the claimed one, or the one before it in its chain.
fn base_of(key: &WorkflowKey, base: Option<&String>) -> WorkflowKey {
    WorkflowKey {
        workflow_id: key.workflow_id.clone(),
        run_id: base.unwrap_or(&key.run_id).clone(),
    }
}

/// What a failed write means.
fn failed(error: &CallError) -> Written {
    let (code, message) = (error.code_name().to_owned(), error.to_string());
    let refusal = |name: &str| Outcome::Refused {
        refusal: name.to_owned(),
        message: message.clone(),
        points: Vec::new(),
    };
    Written::Ended(match (error.meaning.verdict, error.meaning.cause) {
        (Meaning::Done, _) => Outcome::Done { new_run: None },
        (_, Cause::TargetUnknown) => return Written::TargetRefused(message),
        (Meaning::InDoubt | Meaning::Retry, _) => Outcome::Unknown { code, message },
        (_, Cause::AlreadyClosed) => Outcome::Skipped {
            reason: "closed meanwhile".to_owned(),
        },
        (_, Cause::WorkflowNotFound) => Outcome::Skipped {
            reason: "does not exist any more".to_owned(),
        },
        (_, Cause::AlreadyRunning) => Outcome::Skipped {
            reason: "superseded by a run that was started meanwhile".to_owned(),
        },
        (_, Cause::ResetPoint) => refusal("not_resettable"),
        (Meaning::Skip, _) => Outcome::Skipped { reason: message },
        (Meaning::Refuse, _) => refusal("refused_by_service"),
        (Meaning::Fail, _) => Outcome::Failed { code, message },
    })
}

/// Finds out what became of an intent.
pub(crate) async fn settle(
    world: &World,
    step: &str,
    key: &WorkflowKey,
    intent: &OpenIntent,
) -> Result<(Settlement, String), Problem> {
    let key = match &intent.write {
        Write::Reset { base, .. } => base_of(key, base.as_ref()),
        _ => key.clone(),
    };
    let look = world
        .temporal
        .look(&key)
        .await
        .map_err(|error| problem(&error))?;
    let Some(look) = look else {
        return Ok((
            Settlement::Unknown,
            "the base run does not exist any more".to_owned(),
        ));
    };
    match &intent.write {
        Write::Reset { .. } => settle_reset(world, step, &look, intent).await,
        Write::Options { target } => Ok(settle_options(&look, target.as_ref())),
        Write::Restart { request_id, .. } => settle_restart(world, &look, intent, request_id).await,
        Write::Terminate { .. } => settle_terminate(world, step, &look).await,
        Write::Cancel { .. } => settle_cancel(world, step, &look, intent).await,
        Write::Signal { request_id, .. } => settle_signal(world, &look, intent, request_id).await,
    }
}

fn done(
    new_run: Option<String>,
    ours: Option<bool>,
    evidence: impl Into<String>,
) -> (Settlement, String) {
    (Settlement::Done { new_run, ours }, evidence.into())
}

fn not_done(evidence: impl Into<String>) -> (Settlement, String) {
    (Settlement::NotDone, evidence.into())
}

/// `reset_run_id` is the newest reset of the base, by anyone: changed since the intent, the base was
/// reset. The reason in the new run's history tells by whom, while that run is the newest.
async fn settle_reset(
    world: &World,
    step: &str,
    look: &Look,
    intent: &OpenIntent,
) -> Result<(Settlement, String), Problem> {
    if look.reset_run_id == intent.seen.reset_run_id {
        return Ok(not_done("the base run was not reset since"));
    }
    let Some(run_id) = look.reset_run_id.clone() else {
        return Ok((
            Settlement::Unknown,
            "the base run's reset was there before and is gone".to_owned(),
        ));
    };
    let new_run = WorkflowKey {
        workflow_id: look.listed.key.workflow_id.clone(),
        run_id: run_id.clone(),
    };
    let mark = Naming {
        run: &world.run.0,
        step,
    }
    .mark();
    // Cheap evidence only; that the base was reset is what counts.
    let origin = world.temporal.reset_origin(&new_run).await.ok().flatten();
    let ours = origin.as_ref().map(|origin| origin.reason.contains(&mark));
    let evidence = match (&origin, ours) {
        (Some(_), Some(true)) => format!("the base run was reset by this run (to {run_id})"),
        (Some(origin), _) => format!(
            "the base run was reset by somebody else (to {run_id}: {})",
            origin.reason
        ),
        (None, _) => format!("the base run was reset (to {run_id})"),
    };
    Ok(done(Some(run_id), ours, evidence))
}

/// What it came to is the status; whose doing it was is in the reason.
async fn settle_terminate(
    world: &World,
    step: &str,
    look: &Look,
) -> Result<(Settlement, String), Problem> {
    match look.listed.status {
        status if status.is_open() => Ok(not_done("it still runs")),
        Status::Terminated => {
            let end = world.temporal.termination(&look.listed.key).await;
            let reason = end.ok().flatten().map(|end| end.reason);
            Ok(whose(world, step, "it was terminated", reason.as_deref()))
        }
        status => Ok(not_done(format!("it closed otherwise ({status})"))),
    }
}

/// Describe says at once whether a cancellation was asked for, before any event shows it.
async fn settle_cancel(
    world: &World,
    step: &str,
    look: &Look,
    intent: &OpenIntent,
) -> Result<(Settlement, String), Problem> {
    let event = world
        .temporal
        .cancel_reason(&look.listed.key, intent.seen.history_length);
    let reason = match event.await.map_err(|error| problem(&error))? {
        Found::Yes(reason) => Some(reason),
        Found::No | Found::TooLong => None,
    };
    if reason.is_none() && !look.cancel_requested && look.listed.status != Status::Canceled {
        return Ok(not_done("no cancellation was requested"));
    }
    let what = "a cancellation is requested";
    Ok(whose(world, step, what, reason.as_deref()))
}

/// Done, and by whom, where the reason is known.
fn whose(world: &World, step: &str, what: &str, reason: Option<&str>) -> (Settlement, String) {
    let run = &world.run.0;
    let mark = Naming { run, step }.mark();
    let ours = reason.map(|reason| reason.contains(&mark));
    let evidence = match (reason, ours) {
        (Some(reason), Some(false)) => format!("{what} by somebody else ({reason})"),
        (_, Some(true)) => format!("{what} by this run"),
        _ => what.to_owned(),
    };
    done(None, ours, evidence)
}

/// The history names the request id. A Signal that arrives while a Workflow Task is in flight shows only
/// when that ends: until then nobody knows. The look comes first, so that what the history lacks after
/// it was never there.
async fn settle_signal(
    world: &World,
    look: &Look,
    intent: &OpenIntent,
    request_id: &str,
) -> Result<(Settlement, String), Problem> {
    let after = intent.seen.history_length;
    let search = world
        .temporal
        .signalled(&look.listed.key, request_id, after);
    let found = search.await.map_err(|error| problem(&error))?;
    let in_flight = look.pending_task.as_ref().is_some_and(|task| task.started);
    match found {
        Found::Yes(()) => Ok(done(None, Some(true), "its history has the Signal")),
        Found::TooLong => Ok((
            Settlement::Unknown,
            "its history is too long to find the Signal in it".to_owned(),
        )),
        Found::No if look.listed.status.is_open() && in_flight => Err(Problem {
            message: "a Workflow Task is in flight, and the Signal may wait behind it".to_owned(),
            transient: true,
            not_yet: true,
        }),
        Found::No => Ok(not_done("its history does not have the Signal")),
    }
}

fn settle_options(look: &Look, target: Option<&Override>) -> (Settlement, String) {
    if look.versioning_override.as_ref() == target {
        done(None, None, "the Versioning Override is what was wanted")
    } else {
        not_done("the Versioning Override is not what was wanted")
    }
}

async fn settle_restart(
    world: &World,
    look: &Look,
    intent: &OpenIntent,
    request_id: &str,
) -> Result<(Settlement, String), Problem> {
    if look.current.run_id == intent.seen.current_run {
        return Ok(not_done("no new run was started since"));
    }
    if is_planted(Bug::ResentRestart) {
        return send_again(world, look, intent).await;
    }
    let first = WorkflowKey {
        workflow_id: look.listed.key.workflow_id.clone(),
        run_id: look.current.first_run_id.clone(),
    };
    let ids = world
        .temporal
        .request_ids(&first)
        .await
        .map_err(|error| problem(&error))?;
    if ids.iter().any(|id| id == request_id) {
        return Ok(done(
            Some(first.run_id),
            Some(true),
            "the current chain was started by this run's request",
        ));
    }
    let termination = if intent.seen.status.is_open() {
        world
            .temporal
            .termination(&look.listed.key)
            .await
            .map_err(|error| problem(&error))?
    } else {
        None
    };
    let details = termination.and_then(|end| end.details).unwrap_or_default();
    if details.contains("terminated by new runID") {
        let evidence = format!("the base run was terminated by a new run ({details})");
        return Ok(done(
            Some(look.current.run_id.clone()),
            Some(false),
            evidence,
        ));
    }
    Ok((
        Settlement::Unknown,
        format!("another run ({}) took its place", look.current.run_id),
    ))
}

/// What a planted bug does about a restart in doubt.
async fn send_again(
    world: &World,
    look: &Look,
    intent: &OpenIntent,
) -> Result<(Settlement, String), Problem> {
    let key = &look.listed.key;
    let call = prepare(world, key, &intent.write).await;
    let Some(call) = call.map_err(|error| problem(&error))? else {
        return Ok(not_done("it is no restart"));
    };
    let call = RestartCall {
        request_id: format!("{}-again", call.request_id),
        terminate_existing: true,
        ..call
    };
    let new_run = world.temporal.restart(&call).await;
    let new_run = new_run.map_err(|error| problem(&error))?;
    Ok(done(Some(new_run), Some(true), "it was sent again"))
}

/// How healthy a recovered Workflow is now.
pub(crate) async fn verify(
    world: &World,
    key: &WorkflowKey,
    target: Option<&Version>,
    attempt: u32,
    moved: Option<Timestamp>,
) -> Result<(Health, String), Problem> {
    let look = world
        .temporal
        .look(key)
        .await
        .map_err(|error| problem(&error))?;
    Ok(match look {
        None => (Health::Unproven, "it does not exist any more".to_owned()),
        Some(look) => health(&look, target, attempt, moved, world.now()),
    })
}

/// How a Workflow is that a Signal or a cancellation woke.
pub(crate) async fn woken(
    world: &World,
    key: &WorkflowKey,
    moved: Option<Timestamp>,
) -> Result<(Health, String), Problem> {
    let look = world
        .temporal
        .look(key)
        .await
        .map_err(|error| problem(&error))?;
    Ok(match look {
        None => (Health::Unproven, "it does not exist any more".to_owned()),
        Some(look) => crate::health::woken(&look, moved, world.now()),
    })
}

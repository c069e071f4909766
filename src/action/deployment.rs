//! `deployment.*`: routing, drainage and deletion of Worker Deployment Versions.
//!
//! All of them are idempotent and settled by looking again. A ramp of 0 % is never set: it would leave
//! the Version ramping for ever (measured on server 1.32.0); a ramp is unset.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{World, arguments, fatal, problem};
use crate::catalog::{
    DeleteVersion, DescribeDeployment, Drainage, MissingTaskQueues, SetCurrent, SetRamping,
    StopRollout,
};
use crate::equivalent;
use crate::list_filter::{Expr, Filter, Literal, Operator};
use crate::steps::{Observation, Problem};
use crate::survey::{Routing, Version, VersionStatus};
use crate::temporal::Cause;

/// Reads what an action needs to know, and says what it would change.
pub(super) async fn observe(
    world: &World,
    action: &str,
    with: Value,
) -> Result<Observation, Problem> {
    match action {
        "deployment.describe" => describe(world, &arguments(action, with)?).await,
        "deployment.stop_rollout" => observe_stop(world, &arguments(action, with)?).await,
        "deployment.set_current" => observe_current(world, &arguments(action, with)?).await,
        "deployment.set_ramping" => observe_ramping(world, &arguments(action, with)?).await,
        "deployment.drainage" => drainage(world, &arguments(action, with)?).await,
        "deployment.delete_version" => observe_delete(world, &arguments(action, with)?).await,
        other => Err(fatal(format!("`{other}` cannot be observed"))),
    }
}

/// Changes what [`observe`] said.
pub(super) async fn act(world: &World, action: &str, with: Value) -> Result<(), Problem> {
    match action {
        "deployment.stop_rollout" => stop(world, &arguments(action, with)?).await,
        "deployment.set_current" => set_current(world, &arguments(action, with)?).await,
        "deployment.set_ramping" => set_ramping(world, &arguments(action, with)?).await,
        "deployment.delete_version" => delete(world, &arguments(action, with)?).await,
        other => Err(fatal(format!("`{other}` does not write"))),
    }
}

async fn routing(world: &World, deployment: &str) -> Result<Routing, Problem> {
    let found = world
        .temporal
        .describe_deployment(deployment)
        .await
        .map_err(|error| problem(&error))?;
    found.ok_or_else(|| {
        fatal(format!("There is no Worker Deployment `{deployment}` in this namespace: mistyped, or none of its Workers ever polled."))
    })
}

fn name(version: Option<&Version>) -> String {
    version.map(ToString::to_string).unwrap_or_default()
}

fn object(fields: Value) -> Map<String, Value> {
    match fields {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

async fn describe(world: &World, with: &DescribeDeployment) -> Result<Observation, Problem> {
    let routing = routing(world, &with.deployment).await?;
    let versions: Map<String, Value> = routing
        .versions
        .iter()
        .map(|info| (info.version.build_id.clone(), json!(info.status)))
        .collect();
    let output = object(json!({
        "current": name(routing.current.as_ref()),
        "ramping": name(routing.ramping.as_ref()),
        "ramp_percentage": routing.ramp_percentage,
        "manager": routing.manager_identity,
        "versions": versions,
    }));
    Ok(Observation {
        output,
        ..Observation::default()
    })
}

async fn observe_stop(world: &World, with: &StopRollout) -> Result<Observation, Problem> {
    let routing = routing(world, &with.version.deployment).await?;
    let mut changes = Vec::new();
    let mut equivalents = Vec::new();
    let mut counts = BTreeMap::new();
    if routing.current.as_ref() == Some(&with.version) {
        counts.insert("reverted".to_owned(), 1);
        changes.push(format!(
            "set the Current Version back from {} to {}",
            with.version, with.revert_to
        ));
        let accept = with.missing_task_queues == MissingTaskQueues::Accept;
        equivalents.push(equivalent::set_current(&with.revert_to, accept, world.at()));
    }
    if routing.ramping.as_ref() == Some(&with.version) {
        counts.insert("unset_ramp".to_owned(), 1);
        changes.push(format!(
            "unset the ramp of {} ({} %)",
            with.version, routing.ramp_percentage
        ));
        equivalents.push(equivalent::unset_ramp(&routing.deployment, world.at()));
    }
    let output = object(json!({
        "unset_ramp": 0,
        "reverted": 0,
        "current": name(routing.current.as_ref()),
        "ramping": name(routing.ramping.as_ref()),
    }));
    Ok(Observation {
        output,
        changes,
        equivalents,
        counts,
        ..Observation::default()
    })
}

async fn stop(world: &World, with: &StopRollout) -> Result<(), Problem> {
    let mut routing = routing(world, &with.version.deployment).await?;
    if routing.current.as_ref() == Some(&with.version) {
        let accept = with.missing_task_queues == MissingTaskQueues::Accept;
        make_current(world, &routing, &with.revert_to, accept).await?;
        routing = self::routing(world, &with.version.deployment).await?;
    }
    // Setting Current does not clear another Version's ramp: describe again, then unset.
    if routing.ramping.as_ref() == Some(&with.version) {
        unset(world, &routing).await?;
    }
    Ok(())
}

async fn make_current(
    world: &World,
    routing: &Routing,
    version: &Version,
    accept_missing: bool,
) -> Result<(), Problem> {
    let build = Some(version.build_id.as_str());
    let result = world
        .temporal
        .set_current(
            &version.deployment,
            build,
            &routing.conflict_token,
            accept_missing,
        )
        .await;
    result.map(drop).map_err(|error| routing_problem(&error))
}

async fn unset(world: &World, routing: &Routing) -> Result<(), Problem> {
    let result = world
        .temporal
        .unset_ramping(&routing.deployment, &routing.conflict_token)
        .await;
    result.map(drop).map_err(|error| routing_problem(&error))
}

/// Somebody else was faster: look again, then decide anew.
fn routing_problem(error: &crate::temporal::CallError) -> Problem {
    let mut problem = problem(error);
    problem.transient |= error.meaning.cause == Cause::ConflictToken;
    problem
}

async fn observe_current(world: &World, with: &SetCurrent) -> Result<Observation, Problem> {
    let routing = routing(world, &with.version.deployment).await?;
    let current = name(routing.current.as_ref());
    let (mut changes, mut equivalents) = (Vec::new(), Vec::new());
    if routing.current.as_ref() != Some(&with.version) {
        let before = if current.is_empty() {
            "unversioned Workers"
        } else {
            &current
        };
        changes.push(format!(
            "set the Current Version from {before} to {}",
            with.version
        ));
        let accept = with.missing_task_queues == MissingTaskQueues::Accept;
        equivalents.push(equivalent::set_current(&with.version, accept, world.at()));
    }
    let output = object(json!({ "current": current, "previous": current }));
    Ok(Observation {
        output,
        changes,
        equivalents,
        ..Observation::default()
    })
}

async fn set_current(world: &World, with: &SetCurrent) -> Result<(), Problem> {
    let routing = routing(world, &with.version.deployment).await?;
    make_current(
        world,
        &routing,
        &with.version,
        with.missing_task_queues == MissingTaskQueues::Accept,
    )
    .await
}

async fn observe_ramping(world: &World, with: &SetRamping) -> Result<Observation, Problem> {
    let routing = routing(world, &with.version.deployment).await?;
    let ramps = routing.ramping.as_ref() == Some(&with.version);
    let (mut changes, mut equivalents) = (Vec::new(), Vec::new());
    match (with.unset, with.percentage) {
        (true, None) if ramps => {
            changes.push(format!("unset the ramp of {}", with.version));
            equivalents.push(equivalent::unset_ramp(&routing.deployment, world.at()));
        }
        (true, None) => {}
        (false, Some(percentage)) if percentage > 0.0 && percentage <= 100.0 => {
            if !ramps || (routing.ramp_percentage - percentage).abs() > f32::EPSILON {
                changes.push(format!("ramp {} to {percentage} %", with.version));
                let ramp = equivalent::set_ramping(&with.version, percentage, world.at());
                equivalents.push(ramp);
            }
        }
        (false, Some(percentage)) => {
            return Err(fatal(format!(
                "A ramp of {percentage} % is not one: above 0 and up to 100, or `unset: true`."
            )));
        }
        _ => return Err(fatal("Either `percentage` or `unset: true`.")),
    }
    let output = object(json!({
        "ramping": name(routing.ramping.as_ref()),
        "ramp_percentage": routing.ramp_percentage,
    }));
    Ok(Observation {
        output,
        changes,
        equivalents,
        ..Observation::default()
    })
}

async fn set_ramping(world: &World, with: &SetRamping) -> Result<(), Problem> {
    let routing = routing(world, &with.version.deployment).await?;
    match with.percentage {
        None => unset(world, &routing).await,
        Some(percentage) => {
            let result = world
                .temporal
                .set_ramping(&with.version, percentage, &routing.conflict_token, false)
                .await;
            result.map(drop).map_err(|error| routing_problem(&error))
        }
    }
}

fn equals(attribute: &str, value: impl Into<Literal>) -> Filter {
    Filter::new(Expr::compare(attribute, Operator::Eq, value))
}

/// Workflows whose last task ran on a Version, or that are pinned there.
fn on_version(version: &Version) -> Filter {
    equals("TemporalWorkerDeploymentVersion", Literal::version(version))
}

async fn count(world: &World, filters: impl IntoIterator<Item = Filter>) -> Result<u64, Problem> {
    world
        .temporal
        .count(&Filter::all(filters).render())
        .await
        .map_err(|error| problem(&error))
}

async fn drainage(world: &World, with: &Drainage) -> Result<Observation, Problem> {
    let version = &with.version;
    let info = world
        .temporal
        .describe_version(version)
        .await
        .map_err(|error| problem(&error))?;
    let running = |behavior: &'static str| {
        [
            on_version(version),
            equals(
                "TemporalWorkflowVersioningBehavior",
                Literal::text(behavior),
            ),
            equals("ExecutionStatus", Literal::text("Running")),
        ]
    };
    let pinned = count(world, running("Pinned")).await?;
    let auto_upgrade = count(world, running("AutoUpgrade")).await?;
    let status = match info.as_ref().map(|info| info.status) {
        None => {
            ever_used(world, version).await?;
            "absent"
        }
        Some(VersionStatus::Current) => "current",
        Some(VersionStatus::Ramping) => "ramping",
        Some(VersionStatus::Draining) => "draining",
        Some(VersionStatus::Drained) => "drained",
        Some(VersionStatus::Inactive | VersionStatus::Created | VersionStatus::Unspecified) => {
            "inactive"
        }
    };
    let checked = info
        .and_then(|info| info.drainage_checked)
        .map(|at| at.to_string())
        .unwrap_or_default();
    let output = object(json!({
        "status": status,
        "running": pinned,
        "auto_upgrade": auto_upgrade,
        "checked": checked,
    }));
    Ok(Observation {
        output,
        ..Observation::default()
    })
}

/// A Version that does not exist and that no Workflow ever ran on is a typo, not a success.
async fn ever_used(world: &World, version: &Version) -> Result<(), Problem> {
    let used = Filter::new(Expr::one_of(
        "TemporalUsedWorkerDeploymentVersions",
        [Literal::version(version)],
    ));
    if count(world, [Filter::any([on_version(version), used])]).await? == 0 {
        return Err(fatal(format!(
            "There is no Version {version}, and no Workflow ever ran on it: probably mistyped."
        )));
    }
    Ok(())
}

async fn observe_delete(world: &World, with: &DeleteVersion) -> Result<Observation, Problem> {
    let version = &with.version;
    let info = world
        .temporal
        .describe_version(version)
        .await
        .map_err(|error| problem(&error))?;
    let output = object(json!({ "deleted": info.is_none() }));
    let (mut changes, mut equivalents, mut pending) = (Vec::new(), Vec::new(), None);
    match info.map(|info| info.status) {
        None => {}
        Some(VersionStatus::Current) => {
            return Err(fatal(format!(
                "{version} is the Current Version; it cannot be deleted."
            )));
        }
        Some(VersionStatus::Ramping) => {
            return Err(fatal(format!(
                "{version} is ramping; unset its ramp first."
            )));
        }
        Some(VersionStatus::Draining) => pending = Some(format!("{version} is still draining")),
        Some(
            VersionStatus::Drained
            | VersionStatus::Inactive
            | VersionStatus::Created
            | VersionStatus::Unspecified,
        ) => {
            changes.push(format!("delete the Version {version}"));
            equivalents.push(equivalent::delete_version(version, world.at()));
        }
    }
    Ok(Observation {
        output,
        changes,
        equivalents,
        pending,
        ..Observation::default()
    })
}

async fn delete(world: &World, with: &DeleteVersion) -> Result<(), Problem> {
    let error = match world.temporal.delete_version(&with.version).await {
        Ok(()) => return Ok(()),
        Err(error) => error,
    };
    let mut problem = problem(&error);
    match error.meaning.cause {
        Cause::ActivePollers => {
            problem.not_yet = true;
            problem.message = format!(
                "the service still remembers Workers of {}: stop them; it forgets them about 5 minutes after",
                with.version
            );
        }
        Cause::Draining => {
            problem.not_yet = true;
            problem.message = format!("{} is draining again", with.version);
        }
        _ => {}
    }
    Err(problem)
}

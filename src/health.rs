//! Is a recovered Workflow healthy? A verdict on one look.
//!
//! Pure. An Override flips Visibility at once and wakes nobody, so neither the listing nor the drainage
//! says whether a Workflow works again: only a Workflow Task that *completed* on the target does. An
//! idle Workflow is never healthy, it is unproven.

use jiff::{SignedDuration, Timestamp};

use crate::record::Health;
use crate::survey::{Look, Status, Version};

/// A task that was scheduled so long ago and that nobody took: no Worker polls.
pub const UNPOLLED_AFTER: SignedDuration = SignedDuration::from_secs(30);

/// The health of a Workflow that was moved to `target`, and why. `attempt` is that of the Workflow Task
/// which was pending when the write was decided on (0 for a new run): what goes beyond the next one is
/// the target's own failing. `moved` is when the write ended: before that nobody could have taken it.
pub fn health(
    look: &Look,
    target: Option<&Version>,
    attempt: u32,
    moved: Option<Timestamp>,
    now: Timestamp,
) -> (Health, String) {
    let arrived = match target {
        Some(target) => look.deployment_version.as_ref() == Some(target),
        None => look.deployment_version.is_some(),
    };
    let on = target.map_or_else(|| "its Version".to_owned(), ToString::to_string);
    match look.listed.status {
        status if status.is_open() => {
            // An Override moves a task that was scheduled long ago: its new Worker has it from now on.
            let waits = look
                .pending_task
                .as_ref()
                .and_then(|task| task.scheduled)
                .map(|scheduled| {
                    now.duration_since(moved.map_or(scheduled, |at| scheduled.max(at)))
                });
            open(look, arrived, attempt, &on, waits)
        }
        Status::Completed | Status::ContinuedAsNew if arrived => {
            (Health::Healthy, format!("{} on {on}", look.listed.status))
        }
        Status::Failed | Status::TimedOut if arrived => {
            (Health::Failed, format!("{} on {on}", look.listed.status))
        }
        Status::Failed | Status::TimedOut => (
            Health::Lost,
            format!("{} before a task ran on {on}", look.listed.status),
        ),
        status if arrived => (Health::Healthy, format!("{status} on {on}")),
        status => (
            Health::Unproven,
            format!("{status} before a task ran on {on}"),
        ),
    }
}

fn open(
    look: &Look,
    arrived: bool,
    attempt: u32,
    on: &str,
    waits: Option<SignedDuration>,
) -> (Health, String) {
    let Some(task) = &look.pending_task else {
        return if arrived {
            (
                Health::Healthy,
                format!("a Workflow Task completed on {on}"),
            )
        } else {
            (Health::Unproven, "idle: moves at its next event".to_owned())
        };
    };
    let unpolled = || waits.is_some_and(|waits| waits > UNPOLLED_AFTER);
    if arrived {
        return match task.attempt {
            0 | 1 if !task.started && unpolled() => (
                Health::Unpolled,
                format!("nobody takes its Workflow Task on {on}"),
            ),
            0 | 1 => (
                Health::Healthy,
                format!("a Workflow Task completed on {on}"),
            ),
            n => (
                Health::Failing,
                format!("its Workflow Task fails on {on} (attempt {n})"),
            ),
        };
    }
    if task.attempt > attempt + 1 {
        return (
            Health::Failing,
            format!("its Workflow Task fails on {on} (attempt {})", task.attempt),
        );
    }
    if !task.started && unpolled() {
        return (
            Health::Unpolled,
            format!("nobody takes its Workflow Task on {on}"),
        );
    }
    if task.started && task.attempt == attempt && attempt > 0 {
        return (
            Health::Waiting,
            format!("its old Worker holds attempt {attempt} until it times out"),
        );
    }
    (
        Health::Waiting,
        format!("its Workflow Task is on its way to {on}"),
    )
}

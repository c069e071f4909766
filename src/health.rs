//! Is a recovered Workflow healthy? A verdict on one look.
//!
//! Pure. An Override flips Visibility at once and wakes nobody, so neither the listing nor the drainage
//! says whether a Workflow works again: only a Workflow Task that *completed* on the target does. An
//! idle Workflow is never healthy, it is unproven.

use jiff::{SignedDuration, Timestamp};

use crate::record::Health;
use crate::sabotage::{Bug, is_planted};
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
    let drained = look.effective_version().as_ref() == target;
    let arrived = match target {
        Some(_) if drained && is_planted(Bug::DrainedIsRecovered) => true,
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

/// The health of a Workflow that a Signal or a cancellation woke: it is healthy once no Workflow Task is
/// left to do. Its Version does not matter.
pub fn woken(look: &Look, moved: Option<Timestamp>, now: Timestamp) -> (Health, String) {
    let Some(task) = &look.pending_task else {
        return match look.listed.status {
            status @ (Status::Failed | Status::TimedOut) => (Health::Failed, status.to_string()),
            status @ Status::Terminated => (Health::Unproven, status.to_string()),
            status if status.is_open() => (Health::Healthy, "it took it".to_owned()),
            status => (Health::Healthy, status.to_string()),
        };
    };
    let waits = task
        .scheduled
        .map(|scheduled| now.duration_since(moved.map_or(scheduled, |at| scheduled.max(at))));
    if task.attempt > 1 {
        let message = format!("its Workflow Task fails (attempt {})", task.attempt);
        (Health::Failing, message)
    } else if !task.started && waits.is_some_and(|waits| waits > UNPOLLED_AFTER) {
        let message = "nobody takes its Workflow Task".to_owned();
        (Health::Unpolled, message)
    } else {
        (
            Health::Waiting,
            "its Workflow Task is on its way".to_owned(),
        )
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

#[cfg(test)]
mod woken_tests {
    use super::*;
    use crate::survey::PendingTask;

    fn look(status: Status, task: Option<(bool, u32, i64)>) -> Look {
        let key = serde_json::json!({ "workflow_id": "w", "run_id": "r" });
        let look = serde_json::json!({
            "listed": {
                "key": key, "workflow_type": "T", "status": status, "task_queue": "q",
                "start_time": null, "close_time": null, "parent": null, "attributes": {},
            },
            "at": Timestamp::UNIX_EPOCH, "first_run_id": "r", "history_length": 5,
            "reset_run_id": null,
            "current": { "run_id": "r", "status": status, "first_run_id": "r" },
            "behavior": "Unspecified", "versioning_override": null, "deployment_version": null,
            "pending_task": null, "pending_children": [], "parent_running": null,
            "run_timeout_seconds": 0, "execution_timeout_seconds": 0, "last_reset": null,
        });
        let mut look: Look = serde_json::from_value(look).expect("a look");
        look.pending_task = task.map(|(started, attempt, scheduled)| PendingTask {
            started,
            attempt,
            original_scheduled: None,
            scheduled: Timestamp::from_second(scheduled).ok(),
            started_at: None,
        });
        look
    }

    #[test]
    fn who_has_no_task_left_took_it_whatever_its_version() {
        let at = |second| Timestamp::from_second(second).expect("a time");
        let health = |status, task, now| woken(&look(status, task), Some(at(100)), at(now)).0;
        let running = Status::Running;
        assert_eq!(health(running, None, 101), Health::Healthy);
        assert_eq!(health(running, Some((true, 1, 100)), 101), Health::Waiting);
        assert_eq!(health(running, Some((false, 1, 100)), 120), Health::Waiting);
        assert_eq!(
            health(running, Some((false, 1, 100)), 140),
            Health::Unpolled
        );
        // Scheduled long before: its Worker has had no time since.
        assert_eq!(health(running, Some((false, 1, 0)), 110), Health::Waiting);
        assert_eq!(health(running, Some((true, 2, 100)), 101), Health::Failing);
        assert_eq!(health(Status::Canceled, None, 101), Health::Healthy);
        assert_eq!(health(Status::Completed, None, 101), Health::Healthy);
        assert_eq!(health(Status::Failed, None, 101), Health::Failed);
        assert_eq!(health(Status::Terminated, None, 101), Health::Unproven);
    }
}

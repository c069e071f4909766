//! Makes a failing case small: takes away faults, deaths, Workflows and steps while it still fails.

use std::time::{Duration, Instant};

use super::case::{Case, Life, Stage};

/// Tries of a smaller case, at most, and how long they may take.
const TRIES: usize = 400;
const PATIENCE: Duration = Duration::from_secs(20);

/// The smallest case found that still fails, and how it fails.
pub(crate) fn shrink(case: &Case, fails: impl Fn(&Case) -> Option<String>) -> (Case, String) {
    let mut best = case.clone();
    let mut how = fails(&best).unwrap_or_default();
    let (mut tries, began) = (0, Instant::now());
    loop {
        let mut smaller = None;
        for candidate in candidates(&best) {
            tries += 1;
            if tries > TRIES || began.elapsed() > PATIENCE {
                return (best, how);
            }
            if is_valid(&candidate)
                && let Some(failure) = fails(&candidate)
            {
                smaller = Some((candidate, failure));
                break;
            }
        }
        match smaller {
            Some((candidate, failure)) => (best, how) = (candidate, failure),
            None => return (best, how),
        }
    }
}

/// A step that was taken away may be named by another.
fn is_valid(case: &Case) -> bool {
    let text = case.book.render();
    runbook::runbook::Runbook::parse("simulated.yaml", text.as_bytes()).is_ok()
}

/// Everything that is one step smaller, the largest cuts first.
fn candidates(case: &Case) -> Vec<Case> {
    let mut found = Vec::new();
    let mut with = |change: &dyn Fn(&mut Case)| {
        let mut smaller = case.clone();
        change(&mut smaller);
        found.push(smaller);
    };
    if case.dry_first {
        with(&|it| it.dry_first = false);
    }
    for index in (0..case.book.stages.len()).rev() {
        if case.book.stages.len() > 1 {
            with(&|it| drop(it.book.stages.remove(index)));
        }
        if let Stage::Loop { steps, .. } = &case.book.stages[index] {
            for step in 0..steps.len() {
                if steps.len() > 1 {
                    with(&|it| {
                        if let Stage::Loop { steps, .. } = &mut it.book.stages[index] {
                            steps.remove(step);
                        }
                    });
                }
            }
            if steps.len() == 1 {
                let alone = steps[0].clone();
                with(&|it| it.book.stages[index] = Stage::Step(alone.clone()));
            }
        }
    }
    if case
        .book
        .steps()
        .iter()
        .any(|step| step.agreement.is_some())
    {
        with(&|it| it.book.each_step(|step| step.agreement = None));
    }
    for index in 0..case.world.workflows.len() {
        with(&|it| drop(it.world.workflows.remove(index)));
        if case.world.workflows[index].count > 1 {
            with(&|it| it.world.workflows[index].count -= 1);
        }
    }
    for index in 0..case.lives.len() {
        with(&|it| _ = it.lives.remove(index));
        let life = &case.lives[index];
        for voice in 0..life.voices.len() {
            with(&|it| _ = it.lives[index].voices.remove(voice));
        }
        for mishap in 0..life.mishaps.len() {
            with(&|it| _ = it.lives[index].mishaps.remove(mishap));
        }
        let plain = Life {
            death: life.death.clone(),
            mishaps: life.mishaps.clone(),
            pause: life.pause,
            voices: life.voices.clone(),
            ..Life::default()
        };
        if plain != *life {
            with(&|it| it.lives[index] = plain.clone());
        }
    }
    for index in 0..case.faults.len() {
        with(&|it| _ = it.faults.remove(index));
    }
    for index in 0..case.doubles.len() {
        with(&|it| _ = it.doubles.remove(index));
    }
    for index in 0..case.world.operators.len() {
        with(&|it| _ = it.world.operators.remove(index));
    }
    if !case.world.controllers.is_empty() {
        with(&|it| it.world.controllers.clear());
    }
    let calm = runbook::simulator::world::Limits::default();
    if case.world.limits.visibility_jitter != calm.visibility_jitter
        || case.world.limits.visibility_lag != calm.visibility_lag
        || case.world.limits.rate_limit.is_some()
    {
        with(&|it| it.world.limits = runbook::simulator::world::Limits::default());
    }
    found
}

//! Deterministic simulation: a seed draws a world, a runbook and everything that goes wrong; the real
//! engine runs against the simulated service, dies, is resumed; an independent observer then says whether
//! the promises were kept.
//!
//! `cargo test` runs some seeds; `tests/simulate` runs as many as one likes, and one of them again:
//! `tests/simulate --first SEED --seeds 1`. What fails is made small and printed.

#![allow(clippy::print_stdout)] // what it found is told to whoever runs it

mod case;
mod check;
mod dice;
mod draw;
mod drive;
mod journal;
mod look;
mod people;
mod planted;
mod shrink;
mod wire;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use runbook::sabotage::{self, Bug};

use case::Case;
use drive::{Exit, Ran};

/// Seeds that `cargo test` runs, where nothing else is asked for.
const SEEDS: u64 = 2_000;
/// Failing seeds that are made small and printed.
const SHOWN: usize = 5;

fn asked(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// How it fails, if it does, with a bug planted or none; and how it ended.
fn judge(case: &Case, bug: Option<Bug>) -> (Vec<String>, Option<Ran>) {
    sabotage::plant(bug);
    let ran = catch_unwind(AssertUnwindSafe(|| {
        let ran = drive::drive(case);
        (check::check(case, &ran), ran)
    }));
    sabotage::plant(None);
    match ran {
        Ok((problems, ran)) => (problems, Some(ran)),
        Err(panic) => {
            let text = panic
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
            (vec![format!("panic: {}", text.unwrap_or_default())], None)
        }
    }
}

/// Runs seeds on every processor; what failed, by seed, and ends by kind.
fn sweep(first: u64, count: u64) -> (BTreeMap<u64, Vec<String>>, BTreeMap<String, u64>) {
    let next = AtomicU64::new(first);
    let failed = Mutex::new(BTreeMap::new());
    let ends = Mutex::new(BTreeMap::new());
    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count {
                        break;
                    }
                    let (problems, ran) = judge(&draw::case(seed), None);
                    let end = ran.as_ref().and_then(|ran| ran.exits.last().copied());
                    let end = end.map_or_else(|| "panic".to_owned(), |end| format!("{end:?}"));
                    *ends.lock().expect("unharmed").entry(end).or_insert(0) += 1;
                    if !problems.is_empty() {
                        failed.lock().expect("unharmed").insert(seed, problems);
                    }
                }
            });
        }
    });
    (
        failed.into_inner().expect("unharmed"),
        ends.into_inner().expect("unharmed"),
    )
}

/// A failing seed, made small, and how to see it again.
fn tell(seed: u64, problems: &[String]) {
    println!("seed {seed} fails: tests/simulate --first {seed} --seeds 1");
    for problem in problems {
        println!("  {problem}");
    }
    let (small, how) = shrink::shrink(&draw::case(seed), |case| {
        judge(case, None).0.into_iter().next()
    });
    println!("made small, it says: {how}");
    let world = serde_json::to_value(&small.world).unwrap_or_default();
    println!(
        "{}world: deployments {}\n  workflows:",
        small.book.render(),
        world["deployments"]
    );
    for group in world["workflows"].as_array().into_iter().flatten() {
        println!("    {group}");
    }
    println!(
        "  limits {} operators {} controllers {} batches {}",
        world["limits"], world["operators"], world["controllers"], world["batches"]
    );
    println!(
        "faults: {:?}\ndoubles: {:?}\nlives: {:#?}",
        small.faults, small.doubles, small.lives
    );
    if let (_, Some(ran)) = judge(&small, None)
        && std::env::var_os("RUNBOOK_SIMULATION_TOLD").is_some()
    {
        println!("exits: {:?}", ran.exits);
        for line in String::from_utf8_lossy(&ran.journal).lines().skip(1) {
            println!("{}", line.chars().take(700).collect::<String>());
        }
        for deed in &ran.deeds {
            println!("{deed:?}");
        }
        for sent in &ran.log {
            let answered = sent.answered.as_ref();
            let answered = answered.map(|(at, reply)| (at, reply.is_some()));
            println!("{} {} {} {answered:?}", sent.life, sent.at, sent.rpc);
        }
    }
}

#[test]
fn the_promises_are_kept() {
    let first = asked("RUNBOOK_SIMULATION_FIRST").unwrap_or(0);
    let count = asked("RUNBOOK_SIMULATION_SEEDS").unwrap_or(SEEDS);
    let began = Instant::now();
    let (failed, ends) = sweep(first, count);
    println!(
        "{count} seeds in {:.1?}, {} failed; the runs ended {ends:?}",
        began.elapsed(),
        failed.len()
    );
    for (seed, problems) in failed.iter().take(SHOWN) {
        tell(*seed, problems);
    }
    let seeds: Vec<&u64> = failed.keys().collect();
    assert!(failed.is_empty(), "these seeds failed: {seeds:?}");
}

#[test]
fn a_seed_replays_byte_for_byte() {
    for seed in [1, 7, 12, 33, 58, 91] {
        let case = draw::case(seed);
        let (one, other) = (drive::drive(&case), drive::drive(&case));
        assert_eq!(one.journal, other.journal, "seed {seed}");
        assert_eq!(one.deeds, other.deeds, "seed {seed}");
        assert_eq!(one.facts, other.facts, "seed {seed}");
        assert_eq!(one.exits, other.exits, "seed {seed}");
    }
}

#[test]
fn the_simulation_is_worth_its_time() {
    let mut rpcs: BTreeMap<String, usize> = BTreeMap::new();
    let mut ends: BTreeMap<String, usize> = BTreeMap::new();
    let mut counted_later = 0;
    for seed in 0..80 {
        let ran = drive::drive(&draw::case(seed));
        for sent in &ran.log {
            *rpcs.entry(sent.rpc.clone()).or_default() += 1;
        }
        for exit in &ran.exits {
            *ends.entry(format!("{exit:?}")).or_default() += 1;
        }
        counted_later += people::counted_later(&journal::Told::read(&ran.journal));
    }
    assert!(
        counted_later > 0,
        "no answer to a parked run counts when it is resumed"
    );
    for rpc in [
        "ResetWorkflowExecution",
        "UpdateWorkflowExecutionOptions",
        "StartWorkflowExecution",
        "TerminateWorkflowExecution",
        "RequestCancelWorkflowExecution",
        "SignalWorkflowExecution",
        "StartBatchOperation",
        "SetWorkerDeploymentCurrentVersion",
    ] {
        assert!(rpcs.contains_key(rpc), "no seed calls {rpc}: {rpcs:?}");
    }
    for exit in [
        Exit::Succeeded,
        Exit::Halted,
        Exit::Parked,
        Exit::Killed,
        Exit::Interrupted,
    ] {
        let exit = format!("{exit:?}");
        assert!(ends.contains_key(&exit), "no run ends {exit}: {ends:?}");
    }
}

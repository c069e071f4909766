//! Speed and memory: `cargo bench`. No time is asserted; README.md holds the figures as measured.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use runbook::action::World as Service;
use runbook::clock::Clock;
use runbook::connection::{Access, Connection, Settings};
use runbook::journal::Journal;
use runbook::plan::{Plan, Survey};
use runbook::record::{Flags, RunId};
use runbook::rehearsal::{Rehearsal, Rehearsing, Unwatched, rehearse};
use runbook::run::kill::KillSwitch;
use runbook::run::{Asking, Loop, Operator, Reply};
use runbook::runbook::{ParameterInput, Runbook};
use runbook::simulator::{Simulator, World};
use runbook::steps::{Finish, Machine};

fn main() {
    divan::main();
    if let Some(peak) = peak_memory() {
        note(&format!("peak memory of this process: {} MB", peak / 1024));
    }
}

/// A line beside the figures.
fn note(text: &str) {
    let _closed =
        std::io::Write::write_all(&mut std::io::stderr(), format!("\n{text}\n").as_bytes());
}

/// Kilobytes, where the system says so.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("runbooks")
        .join(name)
}

/// A whole process: start, read, check, end. Compare with `process_that_does_nothing` beside it.
#[divan::bench(sample_count = 50)]
fn validate_the_flagship() {
    let status = Command::new(env!("CARGO_BIN_EXE_runbook"))
        .arg("validate")
        .arg(shipped("recover-pinned-workflows.yaml"))
        .output()
        .expect("the binary runs")
        .status;
    assert!(status.success());
}

/// What starting a process costs here.
#[divan::bench(sample_count = 50)]
fn process_that_does_nothing() {
    assert!(
        Command::new("true")
            .output()
            .expect("`true` runs")
            .status
            .success()
    );
}

struct Nobody;

impl Operator for Nobody {
    fn ask<'a>(&'a self, _: &'a Asking) -> futures::future::BoxFuture<'a, Reply> {
        Box::pin(async { Reply::Nobody })
    }
}

/// 1,000 steps, each of whose records is forced to the disk before the next one begins.
#[divan::bench(sample_count = 5)]
fn a_thousand_assert_steps() {
    let mut text = "schema: runbook/v1\nname: asserts\nparams:\n  n: { type: integer, default: 1, description: A number }\nsteps:\n".to_owned();
    for number in 0..1000 {
        text.push_str(&format!("  - {{ id: s{number}, action: assert, with: {{ that: \"${{{{ params.n == 1 }}}}\" }} }}\n"));
    }
    let runbook = Runbook::parse("asserts.yaml", text.as_bytes()).expect("a valid runbook");
    let folder = tempfile::tempdir().expect("a folder");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let clock = Clock::real();
        let simulator = Simulator::new(&World::default(), &[], 0, clock.clone()).expect("a world");
        let settings = Settings {
            address: "simulator:7233".to_owned(),
            ..Settings::default()
        };
        let connection = Connection::in_memory(&settings, simulator.channel(), Access::ReadWrite)
            .await
            .expect("a connection");
        let parameters = runbook
            .resolve_parameters(&ParameterInput::default())
            .expect("parameters");
        let run = RunId("rb-bench".to_owned());
        let plan = Plan::new(&runbook, parameters.clone(), Survey::default(), clock.now());
        let mut machine = Machine::new(Arc::new(runbook), plan, parameters, run.clone(), false);
        machine.open("bench", false, clock.now());
        machine.attach(
            "bench",
            1,
            "bench",
            Flags::default(),
            Vec::new(),
            clock.now(),
        );
        let (_keep, interrupts) = tokio::sync::mpsc::unbounded_channel();
        let mut display = Unwatched;
        let mut running = Loop {
            machine,
            journal: Journal::create(&folder.path().join("rb-bench.jsonl")).expect("a journal"),
            world: Service::new(connection, clock, run),
            operator: &Nobody,
            display: &mut display,
            interrupts,
            kill: KillSwitch::default(),
        };
        assert_eq!(running.run().await.expect("it runs"), Finish::Succeeded);
    });
}

/// The flagship over 100,000 Workflows, in simulated time.
#[divan::bench(sample_count = 1, sample_size = 1)]
fn rehearse_100_000_workflows() {
    let read = |name: &str| std::fs::read(shipped(name)).expect("a shipped file");
    let runbook =
        Runbook::parse("recover.yaml", &read("recover-pinned-workflows.yaml")).expect("valid");
    let text = r#"
schema: rehearsal/v1
params:
  bad: orders:bad
  previous: orders:good
  safe: orders:safe
  classes: { Order: restartable, Shipment: move_only }
  incident: OPS-42
world:
  limits: { visibility_rate_limit: 1000 }
  deployments:
    orders:
      current: bad
      versions:
        good: { task_queues: [orders], behaves: complete }
        bad: { task_queues: [orders], behaves: fail_tasks, stops_when: drained }
        safe: { task_queues: [orders], behaves: complete }
  workflows:
    - { type: Order, id: order, count: 30000, version: bad, task: failing }
    - { type: Shipment, id: shipment, count: 70000, version: bad, task: failing }
scenarios:
  large: {}
"#;
    let rehearsal = Rehearsal::parse("large.rehearsal.yaml", text.as_bytes()).expect("valid");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime");
    let rehearsed = runtime.block_on(rehearse(Rehearsing {
        runbook: &runbook,
        rehearsal: &rehearsal,
        name: "large",
        seed: None,
        operator: None,
        display: &mut Unwatched,
        kill: None,
    }));
    let rehearsed = rehearsed.expect("it takes place");
    assert!(rehearsed.failures.is_empty(), "{:?}", rehearsed.failures);
    let bytes: usize = rehearsed
        .records
        .iter()
        .map(|record| serde_json::to_vec(record).map_or(0, |line| line.len()))
        .sum();
    note(&format!("journal: {} bytes a Workflow", bytes / 100_000));
}

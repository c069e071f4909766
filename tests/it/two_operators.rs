//! Two engines at once on one simulated service, in one process and in simulated time: how often a Workflow is reset
//! by both, without a lock and with one.
//!
//! Without a lock, what remains is the time between a look and the write that rests on it: Temporal has no
//! compare-and-set for a reset. `RUNBOOK_TWO_OPERATORS=SEEDS:FILE` measures more seeds, and writes what it counted.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use runbook::action::World as Service;
use runbook::clock::Clock;
use runbook::connection::{Access, Connection, Settings};
use runbook::journal::{Journal, Memory};
use runbook::record::{Flags, RunId};
use runbook::rehearsal::Unwatched;
use runbook::run::kill::KillSwitch;
use runbook::run::{Asking, Loop, Operator, Reply, begin};
use runbook::runbook::{ParameterInput, Runbook};
use runbook::simulator::{Simulator, World};
use runbook::steps::{Finish, Machine};
use serde_json::json;

const RUNBOOK: &str = r#"
schema: runbook/v1
name: reset-orders
LOCK
steps:
  - id: reset
    action: workflows.reset
    with:
      select: { query: "WorkflowType = 'Order' AND TemporalWorkerDeploymentVersion = 'orders:bad' AND ExecutionStatus = 'Running'" }
      to: first_workflow_task
      reapply: none
      version: orders:good
      reason: OPS-1
"#;

const ORDERS: usize = 60;
/// Milliseconds that a call takes, at most.
const SLOWEST: u64 = 40;

/// Nobody: everything is answered by `--yes`.
struct Away;

impl Operator for Away {
    fn ask<'a>(&'a self, _: &'a Asking) -> futures::future::BoxFuture<'a, Reply> {
        Box::pin(async { Reply::Nobody })
    }
}

fn numbers(seed: u64) -> impl FnMut(u64) -> u64 {
    // SplitMix64.
    let mut state = seed;
    move |below| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    }
}

/// What came of two engines.
#[derive(Debug, Default)]
struct Counted {
    /// Workflows that were reset.
    reset: usize,
    /// Workflows that both reset.
    twice: usize,
    /// The longest time between the two resets of one Workflow.
    apart: SignedDuration,
    /// Engines that were refused.
    refused: usize,
}

/// One engine, from plan to end.
async fn operate(simulator: Simulator, clock: Clock, runbook: Arc<Runbook>, name: &str) -> Finish {
    let settings = Settings {
        address: "simulator:7233".to_owned(),
        namespace: "default".to_owned(),
        identity: format!("{name}@host"),
        ..Settings::default()
    };
    let run = RunId(format!("rb-{name}"));
    let open = async |access| {
        let channel = simulator.channel();
        let connection = Connection::in_memory(&settings, channel, access).await;
        Service::new(
            connection.expect("a connection"),
            clock.clone(),
            run.clone(),
        )
    };
    let parameters = runbook.resolve_parameters(&ParameterInput::default());
    let parameters = parameters.expect("none are needed");
    let reading = open(Access::ReadOnly).await;
    let plan = begin::plan(&reading, &runbook, parameters.clone(), 0).await;
    let plan = plan.expect("a plan");
    let mut machine = Machine::new(runbook, plan, parameters, run.clone(), false);
    machine.open("test", true, clock.now());
    let flags = Flags {
        yes: true,
        ..Flags::default()
    };
    machine.attach("host", 1, name, flags, Vec::new(), clock.now());
    let (_keep, interrupts) = tokio::sync::mpsc::unbounded_channel();
    let mut display = Unwatched;
    let mut engine = Loop {
        machine,
        journal: Journal::in_memory(&Memory::default()),
        world: open(Access::ReadWrite).await,
        operator: &Away,
        display: &mut display,
        interrupts,
        kill: KillSwitch::default(),
    };
    engine.run().await.expect("the run comes to an end")
}

/// The second begins `late` after the first.
fn two(seed: u64, late: Duration, lock: &str) -> Counted {
    let mut number = numbers(seed);
    let text = RUNBOOK.replace("LOCK", lock);
    let runbook = Runbook::parse("orders.yaml", text.as_bytes()).expect("a valid runbook");
    let runbook = Arc::new(runbook);
    let world = json!({
        "latency": format!("{}ms", 1 + number(SLOWEST)),
        "deployments": { "orders": { "current": "bad", "versions": {
            "good": { "task_queues": ["orders"], "behaves": "idle" },
            "bad": { "task_queues": ["orders"], "behaves": "fail_tasks" },
        } } },
        "workflows": [ { "type": "Order", "id": "order", "count": ORDERS, "version": "bad", "task": "failing" } ],
    });
    let world: World = serde_json::from_value(world).expect("a world");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let beginning: Timestamp = "2026-01-05T03:00:00Z".parse().expect("a time");
        let clock = Clock::simulated(beginning);
        let simulator = Simulator::new(&world, &[], seed, clock.clone()).expect("a world");
        let first = operate(simulator.clone(), clock.clone(), runbook.clone(), "ana");
        let second = async {
            clock.sleep(late).await;
            operate(simulator.clone(), clock.clone(), runbook.clone(), "ben").await
        };
        let (first, second) = tokio::join!(first, second);
        let refused = [&first, &second];
        let refused = refused.iter().filter(|end| ***end == Finish::Refused);
        let mut counted = Counted {
            refused: refused.count(),
            ..Counted::default()
        };
        let writes = simulator.writes();
        for (id, workflow) in &simulator.facts().workflows {
            counted.reset += usize::from(workflow.done.resets > 0);
            if workflow.done.resets > 1 {
                counted.twice += 1;
                let of_it = writes.iter().filter(|write| write.subject == *id);
                let times: Vec<Timestamp> = of_it.map(|write| write.at).collect();
                let apart = times[times.len() - 1].duration_since(times[0]);
                counted.apart = counted.apart.max(apart);
            }
        }
        counted
    })
}

fn over(seeds: u64, late: Duration, lock: &str) -> Counted {
    let mut all = Counted::default();
    for seed in 0..seeds {
        let one = two(seed, late, lock);
        assert_eq!(one.reset, ORDERS, "seed {seed}: each is reset: {one:?}");
        all.reset += one.reset;
        all.twice += one.twice;
        all.apart = all.apart.max(one.apart);
        all.refused += one.refused;
    }
    all
}

#[test]
fn with_a_lock_one_of_two_is_refused_and_nothing_is_reset_twice() {
    let seeds = 12;
    let counted = over(seeds, Duration::from_millis(20), "lock: reset orders");
    assert_eq!(counted.twice, 0, "{counted:?}");
    assert!(
        counted.refused > 0 && counted.refused as u64 <= seeds,
        "{counted:?}"
    );
}

/// Of two that begin 20 ms apart both reset a Workflow where both have looked and neither reset has arrived: within
/// the few calls between the one and the other. The one that comes three seconds later resets nothing again.
#[test]
fn without_a_lock_both_reset_a_workflow_only_between_a_look_and_its_write() {
    let counted = over(8, Duration::from_millis(20), "");
    let calls = SignedDuration::from_millis(4 * SLOWEST.cast_signed());
    assert!(counted.twice > 0 && counted.apart <= calls, "{counted:?}");
    assert_eq!(counted.refused, 0);
    let counted = over(4, Duration::from_secs(3), "");
    assert_eq!(counted.twice, 0, "{counted:?}");
    let Some((seeds, file)) = std::env::var("RUNBOOK_TWO_OPERATORS")
        .ok()
        .and_then(|given| {
            let (seeds, file) = given.split_once(':')?;
            Some((seeds.parse::<u64>().ok()?, file.to_owned()))
        })
    else {
        return;
    };
    let mut text = String::new();
    for late in [0, 10, 20, 50, 100, 300, 1_000, 3_000] {
        for lock in ["", "lock: reset orders"] {
            let counted = over(seeds, Duration::from_millis(late), lock);
            text += &format!("{seeds} seeds, the second {late} ms later, {lock:?}: {counted:?}\n");
            std::fs::write(&file, &text).expect("the file can be written");
        }
    }
}

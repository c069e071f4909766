//! The shipped runbooks, rehearsed: every scenario holds.

use runbook::rehearsal::{Recorded, Rehearsal, Rehearsed, Rehearsing, rehearse};
use runbook::run::kill::Point;
use runbook::runbook::Runbook;

pub(crate) fn flagship() -> (Runbook, Rehearsal) {
    let read = |name: &str| {
        let path = format!("{}/runbooks/{name}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read(path).expect("a shipped file")
    };
    let runbook = Runbook::parse("recover.yaml", &read("recover-pinned-workflows.yaml"));
    let rehearsal = Rehearsal::parse(
        "recover.rehearsal.yaml",
        &read("recover-pinned-workflows.rehearsal.yaml"),
    );
    (
        runbook.expect("the flagship is valid"),
        rehearsal.expect("its rehearsal is valid"),
    )
}

/// Runs a scenario on a paused clock.
pub(crate) fn run(
    runbook: &Runbook,
    rehearsal: &Rehearsal,
    name: &str,
    kill: Option<Point>,
) -> Rehearsed {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime");
    let mut display = Recorded::default();
    runtime
        .block_on(rehearse(Rehearsing {
            runbook,
            rehearsal,
            name,
            seed: None,
            operator: None,
            display: &mut display,
            kill,
        }))
        .expect("the rehearsal takes place")
}

#[test]
fn every_scenario_of_the_flagship_holds() {
    let (runbook, rehearsal) = flagship();
    let failures: Vec<(&String, Vec<String>)> = rehearsal
        .scenarios
        .keys()
        .map(|name| (name, run(&runbook, &rehearsal, name, None).failures))
        .filter(|(_, failures)| !failures.is_empty())
        .collect();
    assert!(failures.is_empty(), "{failures:#?}");
}

/// The flagship on a world that is small enough to be killed at every record: one or two Workflows a
/// row, nothing left out.
const SMALL: &str = r#"
schema: rehearsal/v1
params:
  bad: orders:bad
  previous: orders:good
  safe: orders:safe
  classes: { Order: restartable, Shipment: move_only, Loyalty: corrupted, Report: replaceable }
  wrong: [Report]
  incident: OPS-42
world:
  deployments:
    orders:
      current: bad
      versions:
        good: { task_queues: [orders], behaves: complete }
        bad: { task_queues: [orders], behaves: fail_tasks, stops_when: drained }
        safe: { task_queues: [orders], behaves: complete }
  workflows:
    - { type: Order, id: order, count: 2, version: bad, task: failing }
    - { type: Shipment, id: shipment, count: 2, version: bad, task: failing }
    - { type: Loyalty, id: loyalty, count: 2, version: bad, task: failing, tasks: 3 }
    - { type: Report, id: report-open, count: 2, version: bad, task: failing }
    - { type: Report, id: report-wrong, count: 2, version: bad, status: completed }
    - { type: Order, id: closed, count: 2, version: bad, status: failed }
scenarios:
  small:
    expect:
      exits: [137, 0]
      steps: { clean_up: { status: succeeded } }
      workflows:
        - { id: order, count: 2, resets: 1, restarts: 0, moves: 0, runs: 2 }
        - { id: shipment, count: 2, resets: 0, restarts: 0, moves: 1, runs: 1 }
        - { id: loyalty, count: 2, resets: 1, restarts: 0, moves: 0, runs: 2 }
        - { id: report-open, count: 2, resets: 0, restarts: 1, moves: 0, runs: 2 }
        - { id: report-wrong, count: 2, resets: 0, restarts: 1, moves: 0, runs: 2 }
        - { id: closed, count: 2, resets: 1, restarts: 0, moves: 0, runs: 2 }
      versions: { "orders:bad": absent }
      current: { orders: good }
      locks: { "recover orders:bad": free }
"#;

fn small() -> (Runbook, Rehearsal) {
    let (runbook, _) = flagship();
    let rehearsal = Rehearsal::parse("small.rehearsal.yaml", SMALL.as_bytes());
    (runbook, rehearsal.expect("a valid rehearsal"))
}

fn killed_at(point: Point) -> Rehearsed {
    let (runbook, rehearsal) = small();
    let rehearsed = run(&runbook, &rehearsal, "small", Some(point));
    assert!(
        rehearsed.failures.is_empty(),
        "killed at {point:?}: {:#?}",
        rehearsed.failures
    );
    rehearsed
}

/// How often a point of that kind is met in an undisturbed run.
fn undisturbed() -> Rehearsed {
    let (runbook, mut rehearsal) = small();
    rehearsal.scenarios[0].expect.exits = None;
    let rehearsed = run(&runbook, &rehearsal, "small", None);
    assert!(rehearsed.failures.is_empty(), "{:#?}", rehearsed.failures);
    rehearsed
}

/// Two halves, so that the test runner runs them side by side.
fn killed_after_every_other_record(first: u64) {
    let records = undisturbed().records;
    // The last record ends the run: nothing is left to resume.
    for number in (first..records.len() as u64).step_by(2) {
        killed_at(Point::Record(number));
    }
}

#[test]
fn killed_after_every_odd_record_each_resume_reaches_the_same_end() {
    killed_after_every_other_record(1);
}

#[test]
fn killed_after_every_even_record_each_resume_reaches_the_same_end() {
    killed_after_every_other_record(2);
}

#[test]
fn killed_before_and_after_every_effect_nothing_is_done_twice_or_lost() {
    let records = undisturbed().records;
    let count = |kinds: &[&str]| {
        let kind = |body: &runbook::record::Body| {
            serde_json::to_value(body).expect("json")["kind"]
                .as_str()
                .map(str::to_owned)
        };
        let is = |record: &&runbook::record::Record| {
            kind(&record.body).is_some_and(|kind| kinds.contains(&kind.as_str()))
        };
        records.iter().filter(is).count() as u64
    };
    for number in 1..=count(&["intent"]) {
        killed_at(Point::BeforeIntent(number));
    }
    for number in 1..=count(&["intent", "acting"]) {
        killed_at(Point::AfterIntent(number));
        killed_at(Point::AfterEffect(number));
    }
}

/// With the lease taken or given back and nothing written down of it, and with a sign of life sent.
#[test]
fn killed_after_every_call_about_its_lock_it_has_one_lease_and_gives_it_back() {
    let (runbook, mut rehearsal) = small();
    rehearsal.scenarios[0].expect.exits = None;
    let mut number = 0;
    loop {
        number += 1;
        let point = Point::AfterLock(number);
        let rehearsed = run(&runbook, &rehearsal, "small", Some(point));
        assert!(
            rehearsed.failures.is_empty(),
            "{point:?}: {:#?}",
            rehearsed.failures
        );
        let lock = &rehearsed.facts.locks["recover orders:bad"];
        assert_eq!(lock.taken, 1, "{point:?}");
        if rehearsed.exits == [0] {
            break;
        }
    }
    assert!(number > 3, "taken, a sign of life, given back: {number}");
}

/// A service that allows `limit` calls a second, and 1,500 Workflows to move.
fn limited(limit: u32) -> Rehearsed {
    let text = format!(
        r#"
schema: rehearsal/v1
params:
  bad: orders:bad
  previous: orders:good
  safe: orders:safe
  classes: {{ Shipment: move_only }}
  incident: OPS-42
world:
  limits: {{ rate_limit: {limit} }}
  deployments:
    orders:
      current: bad
      versions:
        good: {{ task_queues: [orders], behaves: complete }}
        bad: {{ task_queues: [orders], behaves: fail_tasks, stops_when: drained }}
        safe: {{ task_queues: [orders], behaves: complete }}
  workflows:
    - {{ type: Shipment, id: shipment, count: 1500, version: bad, task: unpolled }}
scenarios:
  limited:
    expect:
      workflows: [{{ id: shipment, count: 1500, moves: 1, resets: 0, runs: 1 }}]
"#
    );
    let (runbook, _) = flagship();
    let rehearsal = Rehearsal::parse("limited.rehearsal.yaml", text.as_bytes());
    let rehearsed = run(&runbook, &rehearsal.expect("valid"), "limited", None);
    assert!(rehearsed.failures.is_empty(), "{:#?}", rehearsed.failures);
    rehearsed
}

/// Simulated time between the first write behind the canary and the 1,400th after it. What a refused
/// write leaves in doubt is settled 20 s later and is not part of the pace.
fn writing_seconds(rehearsed: &Rehearsed) -> f64 {
    use runbook::record::Body;
    let mut intents = rehearsed
        .records
        .iter()
        .filter(|record| matches!(record.body, Body::Intent { .. }))
        .map(|record| record.at);
    let first = intents.nth(5).expect("intents");
    let last = intents.nth(1399).expect("intents");
    last.duration_since(first).as_secs_f64()
}

#[test]
fn the_pace_finds_what_the_service_allows() {
    for limit in [60, 120, 250] {
        let rehearsed = limited(limit);
        // Each Workflow is a Describe and an UpdateWorkflowExecutionOptions.
        let calls = 2.0 * 1400.0;
        let used = calls / writing_seconds(&rehearsed) / f64::from(limit);
        #[allow(clippy::cast_precision_loss)]
        let refused = rehearsed.refused as f64 / rehearsed.facts.calls.values().sum::<u64>() as f64;
        assert!(
            used >= 0.85,
            "{limit} a second: {used:.2} of it used, {refused:.3} refused"
        );
        assert!(
            refused < 0.03,
            "{limit} a second: {used:.2} of it used, {refused:.3} refused"
        );
    }
}

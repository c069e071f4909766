//! The shipped runbooks that interrupt and signal, rehearsed; and a Signal campaign killed everywhere.

use runbook::rehearsal::{Rehearsal, Rehearsed};
use runbook::run::kill::Point;
use runbook::runbook::Runbook;

use crate::rehearsal::run;

fn shipped(name: &str) -> (Runbook, Rehearsal) {
    let read = |name: &str| {
        let path = format!("{}/runbooks/{name}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read(path).expect("a shipped file")
    };
    let runbook = format!("{name}.yaml");
    let rehearsal = format!("{name}.rehearsal.yaml");
    (
        Runbook::parse(&runbook, &read(&runbook)).expect("it is valid"),
        Rehearsal::parse(&rehearsal, &read(&rehearsal)).expect("its rehearsal is valid"),
    )
}

fn every_scenario_holds(name: &str) {
    let (runbook, rehearsal) = shipped(name);
    let failures: Vec<(&String, Vec<String>)> = rehearsal
        .scenarios
        .keys()
        .map(|name| (name, run(&runbook, &rehearsal, name, None).failures))
        .filter(|(_, failures)| !failures.is_empty())
        .collect();
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn every_scenario_of_interrupting_holds() {
    every_scenario_holds("interrupt");
}

#[test]
fn every_scenario_of_the_campaign_holds() {
    every_scenario_holds("signal-campaign");
}

/// Three customers, so that the campaign can be killed everywhere.
const SMALL: &str = r#"
schema: rehearsal/v1
params: { type: Loyalty, points: 100, note: Thanks }
world:
  deployments:
    loyalty:
      current: v1
      versions:
        v1: { task_queues: [loyalty], behaves: idle }
  workflows:
    - type: Loyalty
      id: customer
      count: 3
      task: none
      queries: { points: { adds: { add_points: points } } }
scenarios:
  small:
    expect:
      steps: { send: { output: { signalled: 3, failed: 0 } } }
      workflows:
        - { id: customer, count: 3, signals: { add_points: 1 }, query: { points: 100 } }
"#;

fn small(kill: Option<Point>) -> Rehearsed {
    let (runbook, _) = shipped("signal-campaign");
    let rehearsal = Rehearsal::parse("small.rehearsal.yaml", SMALL.as_bytes());
    let rehearsal = rehearsal.expect("a valid rehearsal");
    let rehearsed = run(&runbook, &rehearsal, "small", kill);
    assert!(
        rehearsed.failures.is_empty(),
        "killed at {kill:?}: {:#?}",
        rehearsed.failures
    );
    rehearsed
}

#[test]
fn wherever_a_campaign_is_killed_each_gets_one_signal() {
    let records = small(None).records.len() as u64;
    for number in 1..records {
        small(Some(Point::Record(number)));
    }
    for number in 1..=3 {
        small(Some(Point::BeforeIntent(number)));
        small(Some(Point::AfterIntent(number)));
        small(Some(Point::AfterEffect(number)));
    }
}

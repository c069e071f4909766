//! Steps that the flagship does not have, and ends that it does not come to: each in rehearsal.

use runbook::record::{Body, Outcome};
use runbook::rehearsal::{Rehearsal, Rehearsed};
use runbook::runbook::Runbook;

use crate::rehearsal::{flagship, run};

const WORLD: &str = r#"
schema: rehearsal/v1
world:
  deployments:
    orders:
      current: bad
      versions:
        good: { task_queues: [orders], behaves: complete }
        bad: { task_queues: [orders], behaves: fail_tasks }
        safe: { task_queues: [orders], behaves: idle }
  workflows:
    - { type: Order, id: order, count: 4, version: bad, task: failing }
    - { type: Shipment, id: shipment, count: 3, version: bad, task: none }
scenarios:
  it:
    expect:
"#;

/// Rehearses `steps` in a small world; `expect` is the scenario's.
fn rehearse(steps: &str, expect: &str) -> Rehearsed {
    rehearse_in(WORLD, steps, expect)
}

fn rehearse_in(world: &str, steps: &str, expect: &str) -> Rehearsed {
    let text = format!("schema: runbook/v1\nname: engine\nsteps:\n{steps}");
    let runbook = Runbook::parse("engine.yaml", text.as_bytes());
    let runbook = runbook.unwrap_or_else(|problems| panic!("{problems:#?}"));
    let text = format!("{world}{expect}");
    let rehearsal = Rehearsal::parse("engine.rehearsal.yaml", text.as_bytes());
    let rehearsal = rehearsal.unwrap_or_else(|problems| panic!("{problems:#?}"));
    let rehearsed = run(&runbook, &rehearsal, "it", None);
    assert!(rehearsed.failures.is_empty(), "{:#?}", rehearsed.failures);
    rehearsed
}

#[test]
fn steps_take_their_workflows_by_a_query() {
    rehearse(
        r#"
  - id: reset
    action: workflows.reset
    with:
      select: { query: "WorkflowType = 'Order' AND ExecutionStatus = 'Running'" }
      to: first_workflow_task
      reapply: none
      version: orders:good
      reason: OPS-1
  - id: move
    action: workflows.update_options
    with: { select: { query: "WorkflowId = 'shipment-0'" }, version: orders:safe }
  - id: restart
    action: workflows.restart
    with: { select: { query: "WorkflowId = 'shipment-1'" }, version: orders:safe, reason: OPS-1 }
  - id: terminate
    action: workflows.terminate
    with: { select: { query: "WorkflowId = 'shipment-2'" }, reason: OPS-1 }
"#,
        r#"
      steps:
        reset: { status: succeeded, output: { recovered: 4, started_over: 4 } }
        move: { status: succeeded, output: { moved: 1 } }
        restart: { status: succeeded, output: { started_over: 1 } }
        terminate: { status: succeeded, output: { terminated: 1 } }
      workflows:
        - { id: order, count: 4, resets: 1, runs: 2, ran_on: "orders:good" }
        - { id: shipment-0, moves: 1, version: "orders:safe", runs: 1 }
        - { id: shipment-1, restarts: 1, version: "orders:safe", runs: 2 }
        - { id: shipment-2, status: Terminated, runs: 1 }
"#,
    );
}

#[test]
fn a_query_that_finds_the_runs_of_its_own_resets_resets_each_once() {
    // Visibility shows the new runs at once, so that the next pass lists them.
    let world = WORLD.replacen("world:\n", "world:\n  limits: { visibility_lag: 0s }\n", 1);
    for again in ["skip", "again"] {
        let steps = format!(
            r#"
  - id: reset
    action: workflows.reset
    with:
      select: {{ query: "WorkflowType = 'Order' AND ExecutionStatus = 'Running'" }}
      to: first_workflow_task
      reapply: none
      if_reset: {again}
      reason: OPS-1
"#
        );
        rehearse_in(
            &world,
            &steps,
            r#"
      steps:
        reset: { status: succeeded, output: { recovered: 4, started_over: 4, refused: 0, skipped: 0 } }
      workflows:
        - { id: order, count: 4, resets: 1, runs: 2 }
"#,
        );
    }
}

/// A look counts as old as its question. Where each takes longer than a look may be old, the tool must not
/// look for ever, nor give the Workflows up.
#[test]
fn a_service_that_is_slow_to_answer_looks_is_worked_with_all_the_same() {
    for seconds in [3, 9] {
        let fault = format!(
            "faults: [{{ rpc: DescribeWorkflowExecution, every: 1, kind: latency, duration: {seconds}s }}]"
        );
        let world = WORLD.replacen("  it:\n", &format!("  it:\n    {fault}\n"), 1);
        rehearse_in(
            &world,
            r#"
  - id: reset
    action: workflows.reset
    with:
      select: { query: "WorkflowType = 'Order' AND ExecutionStatus = 'Running'" }
      to: first_workflow_task
      reapply: none
      reason: OPS-1
"#,
            r#"
      steps:
        reset: { status: succeeded, output: { recovered: 4, started_over: 4, refused: 0, skipped: 0 } }
      workflows:
        - { id: order, count: 4, resets: 1, runs: 2 }
"#,
        );
    }
}

#[test]
fn routing_is_read_and_changed_and_nothing_is_asked_where_nothing_is_to_do() {
    rehearse(
        r#"
  - { id: before, action: deployment.describe, with: { deployment: orders } }
  - { id: ramp, action: deployment.set_ramping, with: { version: "orders:safe", percentage: 10 } }
  - { id: unset, action: deployment.set_ramping, with: { version: "orders:safe", unset: true } }
  - { id: current, action: deployment.set_current, with: { version: "orders:good" } }
  - { id: again, action: deployment.set_current, with: { version: "orders:good" } }
  - { id: count, action: workflows.count, with: { query: "WorkflowType = 'Order'" } }
  - { id: list, action: workflows.list, with: { query: "WorkflowType = 'Order'", limit: 2 } }
  - { id: pause, action: wait, with: { for: 1h } }
  - id: checked
    action: assert
    with: { that: "${{ steps.before.current == 'orders:bad' and steps.count.count == 4 and steps.list.more }}" }
  - { id: skipped, when: "${{ steps.count.count > 4 }}", action: wait, with: { for: 1h } }
"#,
        r#"
      steps:
        ramp: { status: succeeded, output: { ramping: "orders:safe", ramp_percentage: 10.0 } }
        unset: { status: succeeded, output: { ramping: "" } }
        current: { status: succeeded, output: { current: "orders:good" } }
        list: { output: { count: 2, more: true } }
        checked: { status: succeeded }
        skipped: { status: skipped }
      current: { orders: good }
      questions: 3
      writes: 3
"#,
    );
}

#[test]
fn an_assertion_that_fails_ends_the_run_unless_the_step_may_fail() {
    let steps = |on_failure: &str| {
        format!(
            r#"
  - id: gate
    on_failure: {on_failure}
    action: assert
    with: {{ that: "${{{{ 1 > 2 }}}}", message: Not today. }}
  - {{ id: after, action: wait, with: {{ for: 1s }} }}
"#
        )
    };
    rehearse(
        &steps("halt"),
        "
      exits: [1]
      steps: { gate: { status: failed, message: Not today }, after: { status: not reached } }
",
    );
    rehearse(
        &steps("continue"),
        "
      exits: [1]
      steps: { gate: { status: failed }, after: { status: succeeded } }
",
    );
}

#[test]
fn a_target_that_the_task_queue_does_not_know_halts_and_changes_nothing() {
    rehearse(
        r#"
  - id: move
    action: workflows.update_options
    with: { select: { query: "WorkflowType = 'Order'" }, version: "orders:nowhere" }
"#,
        r#"
      exits: [1]
      steps: { move: { status: halted, message: target } }
      workflows: [{ id: order, count: 4, moves: 0, runs: 1, version: "orders:bad" }]
"#,
    );
}

#[test]
fn a_mistyped_version_ends_with_an_error_and_writes_nothing() {
    let (runbook, mut rehearsal) = flagship();
    rehearsal
        .params
        .insert("bad".to_owned(), "orders:bda".into());
    let rehearsed = run(&runbook, &rehearsal, "all_goes_well", None);
    assert_eq!((rehearsed.exits, rehearsed.writes), (vec![1], 0));
    let message = rehearsed
        .records
        .iter()
        .find_map(|record| match &record.body {
            Body::StepEnded { place, message, .. } if place.step == "drainage" => {
                Some(message.clone())
            }
            _ => None,
        });
    assert!(message.expect("drainage ended").contains("mistyped"));
}

#[test]
fn a_run_that_is_killed_before_it_claims_names_that_are_nobodys_goes_on() {
    let steps = r#"
  - id: move
    action: workflows.update_options
    with: { select: { ids: [nobody] }, version: "orders:safe" }
"#;
    let expect = "
      exits: [137, 0]
      steps: { move: { status: succeeded, output: { skipped: 1 } } }
";
    for record in 3..6 {
        let kill = format!("    kills: [{{ at_record: {record} }}]\n");
        let world = WORLD.replacen("    expect:", &format!("{kill}    expect:"), 1);
        rehearse_in(&world, steps, expect);
    }
}

#[test]
fn closed_ones_that_are_all_left_alone_are_in_the_ledger_with_the_reason() {
    let world = WORLD.replacen(
        "scenarios:",
        "    - { type: Report, id: report, count: 2, version: bad, status: failed, superseded_by: {} }\nscenarios:",
        1,
    );
    let steps = r#"
  - id: reopen
    action: workflows.reset
    with:
      select: { query: "WorkflowType = 'Report' AND ExecutionStatus = 'Failed'" }
      to: first_workflow_task
      reapply: none
      reason: OPS-1
"#;
    let rehearsed = rehearse_in(
        &world,
        steps,
        "
      questions: 0
      writes: 0
      steps: { reopen: { status: succeeded, output: { skipped: 2 } } }
",
    );
    let reasons = rehearsed.records.iter().filter(|record| {
        matches!(&record.body, Body::Outcome { outcome: Outcome::Skipped { reason }, .. } if reason.contains("superseded"))
    });
    assert_eq!(reasons.count(), 2);
}

/// A decision that restarts what runs, and says nothing of the Version, in a loop.
const RESTARTS: &str = r#"
  - id: rounds
    on_failure: continue
    repeat:
      until: ${{ steps.left.count == 0 }}
      every: 30s
      timeout: 3m
      steps:
        - { id: restart, action: decision.apply, with: { decision: all } }
        - { id: left, action: workflows.count, with: { query: "WorkflowType = 'Order' AND ExecutionStatus = 'Running'" } }
strategies:
  restart: { action: workflows.restart, with: { version: "orders:safe", reason: OPS-1 } }
decisions:
  all:
    scope: WorkflowType = 'Order' AND ExecutionStatus = 'Running'
    hit_policy: first
    unmatched: leave
    rows: [{ id: all, apply: restart }]
"#;

#[test]
fn a_decision_restarts_no_run_that_its_own_restart_made() {
    let at_once = WORLD.replacen("world:\n", "world:\n  limits: { visibility_lag: 0s }\n", 1);
    let lost =
        "    faults: [{ rpc: StartWorkflowExecution, nth: 1, kind: lost_reply }]\n    expect:";
    for world in [at_once.clone(), at_once.replacen("    expect:", lost, 1)] {
        rehearse_in(
            &world,
            RESTARTS,
            "
      exits: [1]
      workflows: [{ id: order, count: 4, restarts: 1, runs: 2 }]
",
        );
    }
}

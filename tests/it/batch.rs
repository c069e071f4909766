//! Batch jobs of the service: those that a step starts (`via: batch`), and those of others.
//!
//! Each job is started once, whatever is lost or killed; its failures get their names back.

use std::collections::BTreeMap;

use runbook::record::{Body, JobEnd, Outcome, Record};
use runbook::rehearsal::{Rehearsal, Rehearsed};
use runbook::report::{Style, question_text};
use runbook::run::kill::Point;
use runbook::runbook::Runbook;
use runbook::survey::BatchState;

use crate::rehearsal::run;

/// One job moves three Workflows, another terminates two.
const STEPS: &str = r#"
  - id: move
    action: workflows.update_options
    with:
      select: { query: "WorkflowType = 'Shipment' AND ExecutionStatus = 'Running'" }
      version: orders:safe
      via: batch
  - id: end
    action: workflows.terminate
    with:
      select: { query: "WorkflowType = 'Order' AND ExecutionStatus = 'Running'" }
      reason: OPS-1
      via: batch
"#;

const WORLD: &str = r#"
schema: rehearsal/v1
world:
  deployments:
    orders:
      current: good
      versions:
        good: { task_queues: [orders], behaves: idle }
        safe: { task_queues: [orders], behaves: idle }
  workflows:
    - { type: Order, id: order, count: 2, version: good, task: none }
    - { type: Shipment, id: shipment, count: 3, version: good, task: none }
    - { type: Shipment, id: closed, count: 1, version: good, status: completed }
"#;

const DONE: &str = r#"
      workflows:
        - { id: shipment, count: 3, moves: 1, version: "orders:safe", runs: 1 }
        - { id: closed, count: 1, moves: 0, runs: 1 }
        - { id: order, count: 2, status: Terminated, runs: 1 }
"#;

fn parse(steps: &str) -> Runbook {
    let text = format!("schema: runbook/v1\nname: batches\nsteps:\n{steps}");
    let runbook = Runbook::parse("batches.yaml", text.as_bytes());
    runbook.unwrap_or_else(|problems| panic!("{problems:#?}"))
}

/// Rehearses `steps` in the small world. `batches` is the world's, `scenario` everything else.
fn rehearse(steps: &str, batches: &str, scenario: &str, kill: Option<Point>) -> Rehearsed {
    let text = format!("{WORLD}  batches: {{ {batches} }}\nscenarios:\n  it:\n{scenario}");
    let rehearsal = Rehearsal::parse("batches.rehearsal.yaml", text.as_bytes());
    let rehearsal = rehearsal.unwrap_or_else(|problems| panic!("{problems:#?}"));
    let rehearsed = run(&parse(steps), &rehearsal, "it", kill);
    let failures = &rehearsed.failures;
    assert!(failures.is_empty(), "{kill:?}: {failures:#?}");
    rehearsed
}

#[test]
fn every_scenario_of_the_shipped_runbook_holds() {
    let read = |name: &str| {
        let path = format!("{}/runbooks/{name}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read(path).expect("a shipped file")
    };
    let runbook = Runbook::parse("batch-jobs.yaml", &read("batch-jobs.yaml"));
    let runbook = runbook.unwrap_or_else(|problems| panic!("{problems:#?}"));
    let name = "batch-jobs.rehearsal.yaml";
    let rehearsal = Rehearsal::parse(name, &read(name));
    let rehearsal = rehearsal.unwrap_or_else(|problems| panic!("{problems:#?}"));
    for name in rehearsal.scenarios.keys() {
        let failures = run(&runbook, &rehearsal, name, None).failures;
        assert!(failures.is_empty(), "{name}: {failures:#?}");
    }
}

fn undisturbed() -> Rehearsed {
    rehearse(STEPS, "", &format!("    expect:{DONE}"), None)
}

/// Jobs and how many operations each tried; the run's id is left out of theirs.
fn jobs(rehearsed: &Rehearsed) -> BTreeMap<String, u64> {
    let short = |id: &String| id.splitn(4, '-').nth(3).unwrap_or(id).to_owned();
    let jobs = rehearsed.facts.batches.iter();
    jobs.map(|(id, job)| (short(id), job.tried)).collect()
}

fn polled(records: &[Record]) -> Vec<&str> {
    records.iter().filter_map(status).collect()
}

fn status(record: &Record) -> Option<&str> {
    match &record.body {
        Body::Polled { status, .. } => Some(status),
        _ => None,
    }
}

fn tried(move_: u64, end: u64) -> BTreeMap<String, u64> {
    BTreeMap::from([("move-0-1".to_owned(), move_), ("end-0-1".to_owned(), end)])
}

#[test]
fn a_job_does_it_and_each_workflow_is_in_the_ledger() {
    let rehearsed = undisturbed();
    assert_eq!(jobs(&rehearsed), tried(3, 2));
    let outcomes = rehearsed.records.iter().filter(|record| {
        let done = Outcome::Done { new_run: None };
        matches!(&record.body, Body::Outcome { outcome, .. } if *outcome == done)
    });
    assert_eq!(outcomes.count(), 5);
    let frozen = rehearsed
        .records
        .iter()
        .find_map(|record| match &record.body {
            Body::Job { job, .. } => job.query.clone(),
            _ => None,
        });
    let frozen = frozen.expect("a query");
    assert!(
        frozen.starts_with(
            "(WorkflowType = 'Shipment' AND ExecutionStatus = 'Running') AND StartTime <= '"
        ),
        "{frozen}"
    );
}

#[test]
fn the_question_says_what_the_service_does_not() {
    let rehearsed = undisturbed();
    let asked = rehearsed
        .records
        .iter()
        .find_map(|record| match &record.body {
            Body::Asked { what, .. } => Some(what),
            _ => None,
        });
    let text = question_text(
        asked.expect("a question"),
        "move",
        "",
        "here",
        "orders",
        Style::PLAIN,
    );
    for words in [
        "no look before each write",
        "50 operations a second by default",
        "A namespace runs one job at a time.",
        "does not name it",
        "Ctrl-C leaves the job running",
    ] {
        assert!(text.contains(words), "{words}:\n{text}");
    }
    assert!(
        !text.contains("Pace:"),
        "the job has a pace of its own:\n{text}"
    );
}

#[test]
fn killed_after_every_record_each_job_runs_once() {
    let records = undisturbed().records.len() as u64;
    for number in 1..records {
        let scenario = format!("    expect:\n      exits: [137, 0]{DONE}");
        let rehearsed = rehearse(STEPS, "", &scenario, Some(Point::Record(number)));
        assert_eq!(jobs(&rehearsed), tried(3, 2), "record {number}");
    }
}

#[test]
fn killed_before_and_after_each_start_each_job_runs_once() {
    for number in 1..=2 {
        for point in [Point::AfterIntent(number), Point::AfterEffect(number)] {
            let scenario = format!("    expect:\n      exits: [137, 0]{DONE}");
            let rehearsed = rehearse(STEPS, "", &scenario, Some(point));
            assert_eq!(jobs(&rehearsed), tried(3, 2), "{point:?}");
        }
    }
}

#[test]
fn a_start_whose_fate_is_not_known_is_looked_for_and_not_repeated_blindly() {
    for kind in [
        "lost_reply",
        "lost_request",
        "unavailable",
        "resource_exhausted",
        "deadline_exceeded",
        "internal",
    ] {
        for effect in ["before", "after"] {
            let effect = match kind {
                "lost_reply" | "lost_request" => String::new(),
                _ => format!(", effect: {effect}"),
            };
            let fault = format!("{{ rpc: StartBatchOperation, nth: 1, kind: {kind}{effect} }}");
            let scenario = format!("    faults: [{fault}]\n    expect:{DONE}");
            let rehearsed = rehearse(STEPS, "", &scenario, None);
            assert_eq!(jobs(&rehearsed), tried(3, 2), "{fault}");
        }
    }
}

#[test]
fn a_permission_that_is_missing_is_no_job_and_leaves_the_workflows_free() {
    let fault = "{ rpc: StartBatchOperation, nth: 1, kind: permission_denied }";
    let scenario = format!(
        "    faults: [{fault}]
    then: [{{ after: 1m }}]
    expect:
      exits: [1, 0]{DONE}"
    );
    let rehearsed = rehearse(STEPS, "", &scenario, None);
    let jobs = jobs(&rehearsed);
    assert_eq!(
        jobs["move-0-2"], 3,
        "the second try has an id of its own: {jobs:?}"
    );
    assert_eq!(jobs.len(), 2);
}

#[test]
fn the_job_of_somebody_else_is_waited_for_and_named() {
    let batches = "jobs: [{ id: nightly, ends: 3m }]";
    let rehearsed = rehearse(STEPS, batches, &format!("    expect:{DONE}"), None);
    let polled = polled(&rehearsed.records);
    let waits = polled
        .iter()
        .filter(|status| status.contains("batch job nightly (cancel) runs since"));
    assert_eq!(waits.count(), 1, "{polled:#?}");
    assert_eq!(rehearsed.facts.batches.len(), 3);
}

#[test]
fn what_a_job_only_counts_is_named_and_taken_up_again_by_name() {
    let scenario = r#"
    then: [{ after: 1m, retry_failed: true }]
    expect:
      exits: [1, 1]
      steps:
        move: { status: halted, message: "1 Workflows failed" , output: { moved: 2, failed: 1 } }
"#;
    let rehearsed = rehearse(STEPS, "fails: [shipment-1]", scenario, None);
    let failed = rehearsed
        .records
        .iter()
        .filter_map(|record| match &record.body {
            Body::Outcome {
                ordinal,
                outcome: Outcome::Failed { message, .. },
                ..
            } => Some((*ordinal, message.as_str())),
            _ => None,
        });
    let failed: Vec<_> = failed.collect();
    let (ordinal, message) = failed[0];
    assert!(
        message.contains("did not set its Versioning Override"),
        "{message}"
    );
    let claimed = rehearsed
        .records
        .iter()
        .find_map(|record| match &record.body {
            Body::Page { claims, .. } => claims.iter().find(|claim| claim.ordinal == ordinal),
            _ => None,
        });
    assert_eq!(claimed.map(|claim| claim.id.as_str()), Some("shipment-1"));
    let jobs = jobs(&rehearsed);
    assert!(jobs["move-0-1"] >= 3 && jobs["move-0-2"] >= 1, "{jobs:?}");
    let second = rehearsed
        .records
        .iter()
        .filter_map(|record| match &record.body {
            Body::Job { job, .. } if job.attempt == 2 => Some((job.query.clone(), job.len())),
            _ => None,
        });
    assert_eq!(
        second.collect::<Vec<_>>(),
        [(None, 1)],
        "by name, and only that one"
    );
}

#[test]
fn somebody_elses_job_is_stopped_after_the_typed_word_and_once() {
    let steps = r#"
  - { id: jobs, action: batch.list, with: {} }
  - { id: nightly, action: batch.describe, with: { job_id: nightly } }
  - id: stop
    action: batch.terminate
    with: { job_id: nightly, reason: OPS-1 }
    confirm: { type: nightly }
  - id: again
    action: batch.terminate
    with: { job_id: nightly, reason: OPS-1 }
  - { id: wait, action: batch.wait, with: { job_id: nightly, timeout: 5m } }
"#;
    let scenario = r#"
    expect:
      exits: [1]
      questions: 1
      writes: 1
      steps:
        jobs: { status: succeeded, output: { count: 1, running: [nightly], more: false } }
        nightly: { status: succeeded, output: { state: running, operation: cancel } }
        stop: { status: succeeded, output: { stopped: 1, state: failed } }
        again: { status: succeeded, output: { stopped: 0, state: failed } }
        wait: { status: failed, message: "failed or was stopped" }
"#;
    let rehearsed = rehearse(steps, "jobs: [{ id: nightly, ends: 3h }]", scenario, None);
    let asked = rehearsed
        .records
        .iter()
        .find_map(|record| match &record.body {
            Body::Asked { what, .. } => Some(serde_json::to_string(what).expect("json")),
            _ => None,
        });
    let asked = asked.expect("a question");
    assert!(asked.contains("What was done stays done"), "{asked}");
}

#[test]
fn a_job_is_waited_for_and_one_that_is_not_there_is_an_error() {
    let steps = r#"
  - { id: wait, action: batch.wait, with: { job_id: nightly, timeout: 30m } }
  - { id: nowhere, action: batch.describe, with: { job_id: nigthly } }
"#;
    let scenario = r#"
    expect:
      exits: [1]
      steps:
        wait: { status: succeeded, output: { state: completed } }
        nowhere: { status: failed, message: "There is no batch job `nigthly`" }
"#;
    rehearse(steps, "jobs: [{ id: nightly, ends: 4m }]", scenario, None);
}

#[test]
fn a_loop_has_a_job_an_iteration_and_touches_nothing_twice() {
    let steps = r#"
  - id: twice
    repeat:
      until: ${{ steps.count.count == 0 }}
      every: 1m
      timeout: 1h
      steps:
        - id: move
          action: workflows.update_options
          with:
            select: { query: "WorkflowType = 'Shipment' AND ExecutionStatus = 'Running'" }
            version: orders:safe
            via: batch
          on_failure: continue
          limits: { max_failures: 50% }
        - id: count
          action: workflows.count
          with: { query: "WorkflowType = 'Order' AND ExecutionStatus = 'Running'" }
        - id: end
          action: workflows.terminate
          with:
            select: { query: "WorkflowType = 'Order' AND ExecutionStatus = 'Running'" }
            reason: OPS-1
            via: batch
"#;
    let rehearsed = rehearse(steps, "", &format!("    expect:{DONE}"), None);
    let jobs = jobs(&rehearsed);
    assert_eq!(
        jobs,
        BTreeMap::from([("move-1-1".to_owned(), 3), ("end-1-1".to_owned(), 2)]),
        "the second iteration finds nothing new"
    );
}

#[test]
fn limits_hold_before_the_job() {
    let steps = STEPS.replacen(
        "      via: batch\n",
        "      via: batch\n    limits: { max_workflows: 2 }\n",
        1,
    );
    let scenario = r#"
    expect:
      exits: [1]
      writes: 0
      steps: { move: { status: halted, message: "`max_workflows` was reached" } }
"#;
    let rehearsed = rehearse(&steps, "", scenario, None);
    assert_eq!(rehearsed.facts.batches.len(), 0);
}

#[test]
fn nobody_is_asked_and_nothing_is_started_where_nothing_matches() {
    let steps = STEPS
        .replace("'Shipment'", "'Nothing'")
        .replace("'Order'", "'Nothing'");
    let scenario = "    expect: { questions: 0, writes: 0 }";
    let rehearsed = rehearse(&steps, "", scenario, None);
    assert_eq!(rehearsed.facts.batches.len(), 0);
}

#[test]
fn a_declined_job_is_not_started() {
    let scenario = r#"
    answers: { move: decline }
    expect: { exits: [1], writes: 0, steps: { move: { status: halted } } }
"#;
    let rehearsed = rehearse(STEPS, "", scenario, None);
    assert_eq!(rehearsed.facts.batches.len(), 0);
}

#[test]
fn a_job_that_the_service_interrupts_is_followed_to_its_end() {
    let rehearsed = rehearse(
        STEPS,
        "interrupted_after: 1",
        &format!("    expect:{DONE}"),
        None,
    );
    let ended = rehearsed.records.iter().filter(|record| {
        let completed = BatchState::Completed;
        matches!(&record.body, Body::JobEnded { end: JobEnd::Ended { state, .. }, .. } if *state == completed)
    });
    assert_eq!(ended.count(), 2);
}

/// What a file says that a batch job cannot do, offline.
fn problems(file: &str) -> String {
    let problems = Runbook::parse("batches.yaml", file.as_bytes()).expect_err("it is wrong");
    let texts = problems.iter().map(|problem| {
        let expected = problem.expected.clone().unwrap_or_default();
        format!("{}; expected {expected}", problem.message)
    });
    texts.collect::<Vec<_>>().join("\n")
}

#[test]
fn what_no_job_can_do_is_refused_offline() {
    let file = r#"
schema: runbook/v1
name: wrong
params: { how: { type: string } }
strategies:
  move: { action: workflows.update_options, with: { version: "orders:safe", via: batch } }
decisions:
  all:
    scope: ExecutionStatus = 'Running'
    hit_policy: first
    unmatched: leave
    rows: [{ id: all, apply: move }]
steps:
  - { id: apply, action: decision.apply, with: { decision: all } }
  - id: canary
    action: workflows.update_options
    with: { select: { query: "ExecutionStatus = 'Running'" }, version: "orders:safe", via: batch }
    canary: { count: 1, wait: 1m }
  - id: unknown
    action: workflows.update_options
    with: { select: { query: "ExecutionStatus = 'Running'" }, version: "orders:safe", via: "${{ params.how }}" }
  - id: accepts
    action: workflows.reset
    with:
      { select: { query: "ExecutionStatus = 'Running'" }, to: first_workflow_task, reapply: all, reason: r, accept: repeats }
"#;
    insta::assert_snapshot!(problems(file), @"
    a strategy is not carried out by a batch job: each Workflow of a decision is looked at first; expected no `via` here; `via: batch` in a step of its own, with `select`
    `canary` has no meaning with `via: batch`: the service does not wait for the first few; expected no `canary`, or `via: client`
    `via` is not an expression: it decides what can be checked before the run; expected `client` or `batch`
    `accept` has a meaning with `via: batch` only; expected `via: batch`, or no `accept` (`if_reset: again` resets again, one by one)
    ");
}

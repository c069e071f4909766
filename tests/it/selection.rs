//! Steps that take Workflows by name, by file, from a ledger, by sample, and less some others: in rehearsal, killed
//! and resumed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use futures::future::BoxFuture;
use runbook::approval::Reply;
use runbook::record::{Body, Outcome, Question, Witness};
use runbook::rehearsal::{Recorded, Rehearsal, Rehearsed, Rehearsing, rehearse};
use runbook::run::kill::Point;
use runbook::run::{Asking, Operator};
use runbook::runbook::Runbook;
use runbook::survey::Status;
use tempfile::TempDir;

use crate::rehearsal::run;

const WORLD: &str = r#"
schema: rehearsal/v1
world:
  deployments:
    orders:
      current: bad
      versions:
        good: { task_queues: [orders], behaves: complete }
        bad: { task_queues: [orders], behaves: fail_tasks }
  workflows:
    - { type: Order, id: order, count: 4, version: bad, task: failing }
    - { type: Shipment, id: shipment, count: 3, version: bad, task: none }
    - { type: Bulk, id: bulk, count: 450, version: bad, task: none }
    - { type: Order, id: past, count: 2, version: bad, status: completed }
scenarios:
  it:
    expect:
"#;

fn parsed(steps: &str, expect: &str) -> (Runbook, Rehearsal) {
    let text = format!("schema: runbook/v1\nname: selection\nsteps:\n{steps}");
    // A runbook names files beside it.
    let folder = text
        .split_once("file: '/")
        .and_then(|(_, rest)| rest.split_once("/names'"));
    let folder = folder
        .map(|(folder, _)| format!("/{folder}/"))
        .unwrap_or_default();
    let text = text.replace(&format!("'{folder}names'"), "names");
    let runbook = Runbook::parse(&format!("{folder}selection.yaml"), text.as_bytes());
    let text = format!("{WORLD}{expect}");
    let rehearsal = Rehearsal::parse("selection.rehearsal.yaml", text.as_bytes());
    (
        runbook.unwrap_or_else(|problems| panic!("{problems:#?}")),
        rehearsal.unwrap_or_else(|problems| panic!("{problems:#?}")),
    )
}

fn rehearsed(steps: &str, expect: &str) -> Rehearsed {
    killed(steps, expect, None)
}

fn killed(steps: &str, expect: &str, kill: Option<Point>) -> Rehearsed {
    let (runbook, rehearsal) = parsed(steps, expect);
    let rehearsed = run(&runbook, &rehearsal, "it", kill);
    assert!(
        rehearsed.failures.is_empty(),
        "{kill:?} {:#?}",
        rehearsed.failures
    );
    rehearsed
}

/// A folder with one file in it.
fn file(text: &str) -> (TempDir, PathBuf) {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("names");
    fs::write(&path, text).expect("the folder can be written");
    (folder, path)
}

fn terminate(select: &str) -> String {
    format!(
        "
  - id: stop
    action: workflows.terminate
    with:
      reason: OPS-1
      select: {select}
"
    )
}

/// `ID REASON` of all that were skipped.
fn skipped(rehearsed: &Rehearsed) -> Vec<String> {
    let claims: Vec<_> = rehearsed
        .records
        .iter()
        .filter_map(|record| match &record.body {
            Body::Page { claims, .. } => Some(claims),
            _ => None,
        })
        .flatten()
        .collect();
    let reason = |ordinal: &u32, outcome: &Outcome| match outcome {
        Outcome::Skipped { reason } => {
            let claim = claims.iter().find(|claim| claim.ordinal == *ordinal);
            Some(format!("{} {reason}", claim.expect("a claim").id))
        }
        _ => None,
    };
    rehearsed
        .records
        .iter()
        .filter_map(|record| match &record.body {
            Body::Outcome {
                ordinal, outcome, ..
            } => reason(ordinal, outcome),
            _ => None,
        })
        .collect()
}

fn terminated(rehearsed: &Rehearsed) -> BTreeSet<String> {
    let ended = rehearsed.facts.workflows.iter();
    ended
        .filter(|(_, facts)| facts.status == Status::Terminated)
        .map(|(id, _)| id.clone())
        .collect()
}

fn asked(rehearsed: &Rehearsed) -> Vec<String> {
    let rows = rehearsed
        .records
        .iter()
        .filter_map(|record| match &record.body {
            Body::Asked { what, .. } => match &**what {
                Question::Rows { rows, .. } => Some(rows.clone()),
                _ => None,
            },
            _ => None,
        });
    rows.flatten()
        .map(|row| {
            let words = row.selection.map(|found| found.words());
            format!(
                "{} {:?}: {}",
                row.count,
                row.certainty,
                words.unwrap_or_default()
            )
        })
        .collect()
}

#[test]
fn names_are_taken_once_and_what_is_not_there_is_said() {
    let ended = rehearsed(
        &terminate(
            "{ ids: [order-0, { id: shipment-1 }, nobody, order-0, order-1, past-0], exclude: { ids: [order-1] } }",
        ),
        "
      steps: { stop: { status: succeeded, output: { recovered: 2, skipped: 2, listed: 4 } } }
",
    );
    assert_eq!(
        terminated(&ended),
        BTreeSet::from(["order-0", "shipment-1"].map(str::to_owned))
    );
    let mut skipped = skipped(&ended);
    skipped.sort();
    assert_eq!(
        skipped,
        ["nobody not found", "past-0 already closed (Completed)"]
    );
    assert_eq!(
        asked(&ended),
        ["3 Exact: 6 selected, 1 repeated, 1 excluded, 1 not found: 3 left (not found: nobody)"]
    );
}

#[test]
fn nothing_is_asked_where_no_name_is_there_and_each_is_listed_all_the_same() {
    let ended = rehearsed(
        &terminate("{ ids: [nobody, none] }"),
        "
      questions: 0
      steps: { stop: { status: succeeded, output: { recovered: 0, skipped: 2 } } }
",
    );
    assert_eq!(skipped(&ended), ["nobody not found", "none not found"]);
}

#[test]
fn a_query_leaves_out_what_matches_and_what_a_file_names() {
    let (_folder, path) = file("# spared\r\norder-1\r\n\r\norder-2");
    let ended = rehearsed(
        &terminate(&format!(
            "{{ query: \"WorkflowType IN ('Order', 'Shipment') AND ExecutionStatus = 'Running'\", exclude: {{ query: \"WorkflowType = 'Shipment'\", file: '{}' }} }}",
            path.display()
        )),
        "
      steps: { stop: { status: succeeded, output: { recovered: 2 } } }
",
    );
    assert_eq!(
        terminated(&ended),
        BTreeSet::from(["order-0", "order-3"].map(str::to_owned))
    );
    assert_eq!(asked(&ended), ["2 Exact: 7 selected, 5 excluded: 2 left"]);
}

fn bulk() -> String {
    let ids = (0..450).map(|n| format!("bulk-{n}\n"));
    ids.collect()
}

#[test]
fn a_file_is_taken_in_once_wherever_the_process_dies() {
    let (_folder, path) = file(&format!("{}bulk-7\nnobody\n", bulk()));
    let steps = terminate(&format!("{{ file: '{}' }}", path.display()));
    let expect = "
      steps: { stop: { status: succeeded, output: { recovered: 450, skipped: 1, listed: 451 } } }
";
    let whole = rehearsed(&steps, expect);
    assert_eq!((whole.writes, terminated(&whole).len()), (450, 450));
    assert_eq!(
        asked(&whole),
        ["450 Exact: 452 selected, 1 repeated, 1 not found: 450 left (not found: nobody)"]
    );
    let pages: Vec<u64> = whole
        .records
        .iter()
        .filter(|record| matches!(record.body, Body::Page { .. }))
        .map(|record| record.seq)
        .collect();
    assert!(pages.len() >= 3, "{pages:?}");
    let points = pages.into_iter().map(Point::Record).chain([
        Point::BeforeIntent(100),
        Point::AfterIntent(250),
        Point::AfterEffect(400),
    ]);
    for point in points {
        let ended = killed(
            &steps,
            &format!("{expect}      exits: [137, 0]\n"),
            Some(point),
        );
        assert_eq!(
            (ended.writes, terminated(&ended).len()),
            (450, 450),
            "{point:?}"
        );
    }
}

/// Changes a file when it is asked.
struct Meddler(PathBuf);

impl Operator for Meddler {
    fn ask<'a>(&'a self, _: &'a Asking) -> BoxFuture<'a, Reply> {
        fs::write(&self.0, "shipment-0\norder-0\n").expect("the file can be written");
        Box::pin(async {
            Reply::Yes {
                by: Witness::rehearsed("somebody"),
                form: Default::default(),
                note: String::new(),
            }
        })
    }
}

#[test]
fn a_file_that_changed_since_the_question_is_refused_before_anything_of_it_is_taken() {
    let (_folder, path) = file("order-0\n");
    let steps = terminate(&format!("{{ file: '{}' }}", path.display()));
    let (runbook, rehearsal) = parsed(&steps, "\n      exits: [1]\n");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime");
    let mut display = Recorded::default();
    let ended = runtime
        .block_on(rehearse(Rehearsing {
            runbook: &runbook,
            rehearsal: &rehearsal,
            name: "it",
            seed: None,
            operator: Some(&Meddler(path)),
            display: &mut display,
            kill: None,
        }))
        .expect("the rehearsal takes place");
    assert_eq!((ended.exits.as_slice(), ended.writes), ([1].as_slice(), 0));
    let message = ended.records.iter().find_map(|record| match &record.body {
        Body::StepEnded { message, .. } => Some(message.clone()),
        _ => None,
    });
    assert!(
        message
            .expect("the step ended")
            .contains("has changed since")
    );
}

#[test]
fn wrong_lines_stop_the_step_before_anything_is_asked() {
    let (_folder, path) = file("order-0\na,b,c\n\"open\n");
    let steps = terminate(&format!("{{ file: '{}' }}", path.display()));
    let (runbook, rehearsal) = parsed(&steps, "\n      exits: [1]\n");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime");
    let mut display = Recorded::default();
    let refused = runtime.block_on(rehearse(Rehearsing {
        runbook: &runbook,
        rehearsal: &rehearsal,
        name: "it",
        seed: None,
        operator: None,
        display: &mut display,
        kill: None,
    }));
    let message = format!("{:?}", refused.expect_err("there is no plan"));
    for wanted in ["2 lines are wrong", "line 2: 3 fields", "line 3: its quote"] {
        assert!(message.contains(wanted), "{message}");
    }
}

#[test]
fn what_an_earlier_step_had_is_taken_by_its_state() {
    let ended = rehearsed(
        r#"
  - id: move
    action: workflows.update_options
    limits: { max_failures: 5 }
    with:
      select: { ids: [order-0, order-1, past-0, past-1, nobody] }
      version: orders:good
  - id: again
    action: workflows.reset
    with:
      select: { ledger: { steps: [move], states: [refused] } }
      to: first_workflow_task
      reapply: none
      version: orders:good
      reason: OPS-1
  - id: count
    action: workflows.count
    with: { select: { ledger: [move, again], exclude: { ids: [order-1] } } }
  - id: rest
    action: workflows.terminate
    with:
      select: { query: "WorkflowType = 'Order' AND ExecutionStatus = 'Running'", exclude: { ledger: { steps: [move], states: [recovered, refused] } } }
      reason: OPS-1
"#,
        "
      steps:
        move: { output: { moved: 2, refused: 2, skipped: 1 } }
        again: { status: succeeded, output: { started_over: 2, listed: 2 } }
        count: { output: { count: 3 } }
        rest: { status: succeeded, output: { terminated: 2 } }
",
    );
    assert_eq!(
        terminated(&ended),
        BTreeSet::from(["order-2", "order-3"].map(str::to_owned))
    );
}

#[test]
fn a_sample_is_the_same_after_every_death() {
    for select in [
        "{ query: \"WorkflowType = 'Bulk'\", sample: 5 }".to_owned(),
        {
            let ids: Vec<String> = (0..450).map(|n| format!("bulk-{n}")).collect();
            format!("{{ ids: [{}], sample: 5 }}", ids.join(", "))
        },
    ] {
        let steps = terminate(&select);
        let expect = "
      steps: { stop: { status: succeeded, output: { recovered: 5, listed: 5 } } }
";
        let whole = rehearsed(&steps, expect);
        let drawn = terminated(&whole);
        assert_eq!(drawn.len(), 5);
        for record in (4..whole.records.len() as u64).step_by(4) {
            let ended = killed(
                &steps,
                &format!("{expect}      exits: [137, 0]\n"),
                Some(Point::Record(record)),
            );
            assert_eq!(terminated(&ended), drawn, "killed at {record}");
        }
    }
}

#[test]
fn a_limit_takes_the_first_of_a_file_and_no_more_in_a_second_pass() {
    let (_folder, path) = file("nobody\nshipment-2\npast-0\norder-3\norder-2\n");
    let ended = rehearsed(
        &terminate(&format!("{{ file: '{}', limit: 4 }}", path.display())),
        "
      steps: { stop: { status: succeeded, output: { recovered: 2, skipped: 2, listed: 4 } } }
",
    );
    assert_eq!(
        terminated(&ended),
        BTreeSet::from(["order-3", "shipment-2"].map(str::to_owned))
    );
}

#[test]
fn only_those_that_fail_by_non_determinism() {
    let ended = rehearsed(
        &terminate("{ query: \"WorkflowType IN ('Order', 'Shipment')\", only: non_deterministic }"),
        "
      steps: { stop: { status: succeeded, output: { recovered: 4 } } }
",
    );
    let orders: BTreeSet<String> = (0..4).map(|n| format!("order-{n}")).collect();
    assert_eq!(terminated(&ended), orders);
    assert_eq!(
        asked(&ended),
        ["4 Exact: 9 selected, 5 not as `only` wants: 4 left"]
    );
}

#[test]
fn a_dry_run_and_a_missing_file_change_nothing() {
    let (runbook, rehearsal) = parsed(&terminate("{ file: nowhere.txt }"), "\n      exits: [1]\n");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime");
    let mut display = Recorded::default();
    let refused = runtime.block_on(rehearse(Rehearsing {
        runbook: &runbook,
        rehearsal: &rehearsal,
        name: "it",
        seed: None,
        operator: None,
        display: &mut display,
        kill: None,
    }));
    let message = format!("{:?}", refused.expect_err("there is no plan"));
    assert!(message.contains("nowhere.txt cannot be read"), "{message}");
    assert!(!Path::new("nowhere.txt").exists());
}

#[test]
fn a_file_that_the_runbook_names_stays_in_its_folder() {
    for path in [
        "/etc/hosts",
        "../names",
        "lists/../../names",
        "${{ '..' }}/../names",
        "..",
    ] {
        let text = format!(
            "schema: runbook/v1\nname: selection\nsteps:\n{}",
            terminate(&format!("{{ file: \"{path}\" }}"))
        );
        let problems = Runbook::parse("selection.yaml", text.as_bytes()).expect_err(path);
        assert!(
            problems[0].message.contains("runbook's folder"),
            "{problems:#?}"
        );
    }
    let (outside, elsewhere) = file("order-0\n");
    let folder = TempDir::new().expect("a folder");
    std::os::unix::fs::symlink(&elsewhere, folder.path().join("names")).expect("a link");
    let name = folder.path().join("selection.yaml").display().to_string();
    let of = |select: &str| {
        let text = format!(
            "schema: runbook/v1\nname: selection\nparams:\n  list: {{ type: string, default: \"{}\" }}\n  up: {{ type: string, default: .. }}\nsteps:\n{}",
            elsewhere.display(),
            terminate(select)
        );
        let runbook = Runbook::parse(&name, text.as_bytes());
        runbook.unwrap_or_else(|problems| panic!("{problems:#?}"))
    };
    let refused = |select: &str| {
        let (_, rehearsal) = parsed(&terminate("{ ids: [order-0] }"), "\n      exits: [0]\n");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .expect("a runtime");
        let refused = runtime.block_on(rehearse(Rehearsing {
            runbook: &of(select),
            rehearsal: &rehearsal,
            name: "it",
            seed: None,
            operator: None,
            display: &mut Recorded::default(),
            kill: None,
        }));
        format!("{:?}", refused.map(|_| ()).expect_err("there is no plan"))
    };
    // By a link; by a text that only a parameter makes lead out.
    for select in ["{ file: names }", "{ file: \"${{ params.up }}/names\" }"] {
        let message = refused(select);
        assert!(message.contains("runbook's folder"), "{message}");
    }
    // What the operator names may be anywhere.
    let (_, rehearsal) = parsed(&terminate("{ ids: [order-0] }"), "\n      exits: [0]\n");
    let ended = run(
        &of("{ file: \"${{ params.list }}\" }"),
        &rehearsal,
        "it",
        None,
    );
    assert_eq!(terminated(&ended), BTreeSet::from(["order-0".to_owned()]));
    drop(outside);
}

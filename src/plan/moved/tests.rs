use jiff::Timestamp;

use super::*;
use crate::plan::RowSurvey;
use crate::runbook::ParameterInput;
use crate::survey::VersionInfo;

const RUNBOOK: &str = r#"
schema: runbook/v1
name: move
params:
  bad: { type: version }
  safe: { type: version, default: "orders:safe" }
TOLERANCE
strategies:
  move: { action: workflows.update_options, with: { version: "${{ params.safe }}" } }
decisions:
  running:
    scope: TemporalWorkerDeploymentVersion = ${{ params.bad }}
    unmatched: halt
    rows:
      - { id: some, where: "WorkflowType = 'A'", apply: move }
      - { id: others, apply: move }
steps:
  - { id: recover, action: decision.apply, with: { decision: running } }
"#;

fn runbook(tolerance: &str) -> Runbook {
    let text = RUNBOOK.replace("TOLERANCE\n", tolerance);
    Runbook::parse("move.yaml", text.as_bytes()).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

fn version(name: &str, status: VersionStatus) -> VersionInfo {
    VersionInfo {
        version: Version::parse(name).expect("a Version"),
        status,
        drainage_checked: None,
        drainage_changed: None,
        task_queues: Vec::new(),
    }
}

fn survey(some: u64, others: u64) -> Survey {
    let row = |row: &str, count| RowSurvey {
        row: row.to_owned(),
        count,
        ..RowSurvey::default()
    };
    let table = TableSurvey {
        rows: vec![row("some", some), row("others", others)],
        ..TableSurvey::default()
    };
    let routing = Routing {
        deployment: "orders".to_owned(),
        current: Version::parse("orders:good"),
        ramping: None,
        ramp_percentage: 0.0,
        ramping_unversioned: false,
        conflict_token: "AA".to_owned(),
        manager_identity: String::new(),
        versions: vec![
            version("orders:good", VersionStatus::Current),
            version("orders:bad", VersionStatus::Draining),
            version("orders:old", VersionStatus::Draining),
        ],
    };
    Survey {
        tables: [("running".to_owned(), table)].into(),
        deployments: [("orders".to_owned(), Some(routing))].into(),
        ..Survey::default()
    }
}

fn plan(runbook: &Runbook, survey: Survey) -> Plan {
    let mut input = ParameterInput::default();
    input.value("bad", Value::from("orders:bad"));
    let parameters = runbook.resolve_parameters(&input).expect("they fit");
    Plan::new(runbook, parameters, survey, Timestamp::UNIX_EPOCH)
}

fn moved(tolerance: &str, from: (u64, u64), to: (u64, u64)) -> Vec<String> {
    let runbook = runbook(tolerance);
    let plan = plan(&runbook, survey(from.0, from.1));
    let moved = plan.moved(&runbook, &survey(to.0, to.1));
    moved.iter().map(shown).collect()
}

fn shown(moved: &Moved) -> String {
    let Moved {
        what,
        from,
        to,
        tolerance,
        beyond,
    } = moved;
    let verdict = if *beyond { "beyond" } else { "within" };
    format!("{what}: {from} -> {to}, {verdict} {tolerance}")
}

#[test]
fn without_a_tolerance_a_tenth_is_granted_and_the_set_of_rows_stands() {
    assert_eq!(moved("", (10, 100), (10, 100)), [""; 0]);
    assert_eq!(
        moved("", (10, 100), (11, 111)),
        [
            "running, some: 10 -> 11, within 1 (10 %, where nothing is declared)",
            "running, others: 100 -> 111, beyond 10 (10 %, where nothing is declared)",
        ]
    );
    assert_eq!(
        moved("", (0, 1), (1, 0)),
        [
            "running, some: 0 -> 1, beyond 0 (10 %, where nothing is declared)",
            "running, others: 1 -> 0, beyond 0 (10 %, where nothing is declared)",
        ]
    );
}

#[test]
fn the_narrowest_place_that_says_something_counts() {
    let everywhere = "tolerance: { workflows: 5% }\n";
    assert_eq!(
        moved(everywhere, (0, 100), (0, 106)),
        ["running, others: 100 -> 106, beyond 5 (5 %)"]
    );
    let step = "tolerance: { workflows: 5%, steps: { recover: { workflows: 20 } } }\n";
    assert_eq!(
        moved(step, (0, 100), (20, 79)),
        [
            "running, some: 0 -> 20, within 20",
            "running, others: 100 -> 79, beyond 20"
        ]
    );
    let row = "tolerance: { steps: { recover: { workflows: 20, rows: { others: 100% } } } }\n";
    assert_eq!(
        moved(row, (21, 100), (0, 0)),
        [
            "running, some: 21 -> 0, beyond 20",
            "running, others: 100 -> 0, within 100 (100 %)"
        ]
    );
    assert_eq!(
        moved("tolerance: { workflows: 0 }\n", (1, 9), (1, 8)),
        ["running, others: 9 -> 8, beyond 0"]
    );
}

/// What changing the routing of `orders` comes to.
fn rerouted(tolerance: &str, change: impl Fn(&mut Routing)) -> Vec<String> {
    let runbook = runbook(tolerance);
    let plan = plan(&runbook, survey(1, 1));
    let mut now = survey(1, 1);
    now.deployments.values_mut().flatten().for_each(change);
    plan.moved(&runbook, &now).iter().map(shown).collect()
}

#[test]
fn routing_never_may_move() {
    let loose = "tolerance: { workflows: 100%, drainage: true }\n";
    assert_eq!(
        rerouted(loose, |routing| {
            routing.current = None;
            routing.ramping = Version::parse("orders:bad");
            routing.ramp_percentage = 5.0;
            routing.manager_identity = "argo".to_owned();
            routing.conflict_token = "BB".to_owned();
        }),
        [
            "orders: Current: orders:good -> none (unversioned Workers), beyond none",
            "orders: Ramping: none -> orders:bad, 5 %, beyond none",
            "orders: Manager: none -> argo, beyond none",
        ]
    );
    assert_eq!(
        rerouted("", |routing| routing.conflict_token = "BB".to_owned()),
        ["orders: routing: as now -> changed meanwhile, and back, within as it is now"]
    );
    let runbook = runbook("");
    let plan = plan(&runbook, survey(1, 1));
    let mut gone = survey(1, 1);
    gone.deployments.insert("orders".to_owned(), None);
    let moved: Vec<String> = plan.moved(&runbook, &gone).iter().map(shown).collect();
    assert_eq!(
        moved,
        ["orders: the deployment: there -> not there, beyond none"]
    );
}

#[test]
fn a_version_that_a_parameter_names_keeps_its_status_unless_drainage_is_tolerated() {
    let drain = |routing: &mut Routing| {
        routing.versions[1].status = VersionStatus::Drained;
        routing.versions[2].status = VersionStatus::Drained;
    };
    assert_eq!(
        rerouted("", drain),
        [
            "orders:bad: draining -> drained, beyond none",
            "orders:old: draining -> drained, within any: no parameter names it",
        ]
    );
    let tolerated = rerouted("tolerance: { drainage: true }\n", drain);
    assert_eq!(
        tolerated[0],
        "orders:bad: draining -> drained, within drainage"
    );
    let deleted = rerouted("tolerance: { drainage: true }\n", |routing| {
        drop(routing.versions.remove(1))
    });
    assert_eq!(deleted, ["orders:bad: draining -> not there, beyond none"]);
    let new = |routing: &mut Routing| {
        routing
            .versions
            .push(version("orders:safe", VersionStatus::Inactive))
    };
    assert_eq!(
        rerouted("", new),
        ["orders:safe: not there -> inactive, beyond none"]
    );
}

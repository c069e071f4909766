//! Where resets go, on a world in memory: what is listed, planned, explained and refused.

use insta::assert_snapshot;
use runbook::action;
use runbook::cli::{self, Output};
use runbook::clock::Clock;
use runbook::connection::{Access, Connection, Settings};
use runbook::record::RunId;
use runbook::report::{Consequence, PointsReport};
use runbook::runbook::{ParameterInput, Parameters, Runbook};
use runbook::simulator::{Simulator, World};
use runbook::survey::WorkflowKey;
use runbook::ui::{Style, Ui};
use serde_json::{Value, json};

fn style(width: usize) -> Style {
    Style {
        width: Some(width),
        unicode: true,
        colour: false,
    }
}

fn world() -> Value {
    json!({
        "deployments": { "orders": { "current": "good", "versions": {
            "good": { "task_queues": ["orders"] },
            "bad": { "task_queues": ["orders"], "behaves": "fail_tasks" },
        } } },
        "workflows": [
            { "type": "Order", "id": "well", "version": "good", "tasks": 4, "signals": 2, "updates": 1 },
            { "type": "Order", "id": "stuck", "version": "bad", "task": "failing", "tasks": 2, "signals": 1 },
            { "type": "Order", "id": "mixed", "version": "bad", "tasks": 3 },
            { "type": "Order", "id": "never", "version": "good", "task": "unpolled", "tasks": 0 },
            { "type": "Order", "id": "chained", "version": "good", "chain": 2, "tasks": 2 },
            { "type": "Fulfilment", "id": "parent", "version": "good", "tasks": 2, "children": { "type": "Shipment" } },
            { "type": "Invoice", "id": "replaced", "version": "good", "status": "failed", "tasks": 2, "superseded_by": {} },
        ],
    })
}

fn runbook(id: &str, with: &str) -> (Runbook, Parameters) {
    let text = format!(
        "schema: runbook/v1\nname: undo\ntitle: Undo\nsteps:\n  - id: undo\n    action: workflows.reset\n    with:\n      \
         select: {{ query: \"WorkflowId = '{id}'\" }}\n      reason: OPS-1\n{with}"
    );
    let runbook = Runbook::parse("undo.yaml", text.as_bytes()).expect("it is valid");
    let parameters = runbook
        .resolve_parameters(&ParameterInput::default())
        .expect("there are none");
    (runbook, parameters)
}

fn to(point: &str, reapply: &str) -> String {
    format!("      to: {point}\n      reapply: {reapply}\n")
}

fn simulated<T>(work: impl AsyncFnOnce(action::World, Ui) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let clock = Clock::simulated("2026-03-01T03:00:00Z".parse().expect("a time"));
        let world: World = serde_json::from_value(world()).expect("a world");
        let simulator = Simulator::new(&world, &[], 1, clock.clone()).expect("a world");
        let settings = Settings::default();
        let connection = Connection::in_memory(&settings, simulator.channel(), Access::ReadOnly);
        let connection = connection.await.expect("it opens");
        let world = action::World::new(connection, clock, RunId("rb-1".to_owned()));
        work(world, Ui::captured(Style::PLAIN).0).await
    })
}

fn points(workflow_id: &str, most: usize) -> PointsReport {
    simulated(async |world, _| {
        let key = WorkflowKey {
            workflow_id: workflow_id.to_owned(),
            run_id: String::new(),
        };
        let look = world
            .temporal
            .look(&key)
            .await
            .expect("an answer")
            .expect("a Workflow");
        let (points, more) = world
            .temporal
            .reset_points(&look.listed.key, &look, most)
            .await
            .expect("its points");
        PointsReport::new(&look, points, more)
    })
}

/// What follows for the current run, or for the run that a listing finds first.
fn verdict(id: &str, with: &str) -> Consequence {
    let (runbook, parameters) = runbook(id, with);
    simulated(async |world, ui| {
        world.temporal.preflight().await.expect("a preflight");
        let query = format!("WorkflowId = '{id}'");
        let listed = world
            .temporal
            .list(&query, 10, None)
            .await
            .expect("a page")
            .rows;
        // Closed ones are what a reset of them is about, where there is one.
        let closed = listed
            .iter()
            .find(|row| id == "replaced" && !row.status.is_open());
        let key = closed.unwrap_or(&listed[0]).key.clone();
        cli::explain::explanation(&world, &runbook, &parameters, &key, &ui)
            .await
            .expect("an explanation")
            .decisions
            .remove(0)
            .verdict
    })
}

fn refusal(id: &str, with: &str) -> String {
    match verdict(id, with) {
        Consequence::Refuse {
            refusal, message, ..
        } => format!("{refusal}: {message}"),
        Consequence::Skip { reason, .. } => format!("skipped: {reason}"),
        other => panic!("{other:?}"),
    }
}

fn event(id: &str, point: &str) -> i64 {
    match verdict(id, &to(point, "all")) {
        Consequence::Would {
            reset_point: Some(point),
            ..
        } => point.event_id,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_points_of_a_workflow_at_80_and_200_columns() {
    assert_snapshot!("points_at_80_columns", points("well", 20).text(style(80)));
    assert_snapshot!(
        "points_at_200_columns",
        points("stuck", 20).text(style(200))
    );
    assert_snapshot!("points_bounded", points("well", 2).text(style(80)));
    assert_snapshot!("no_points", points("never", 20).text(style(80)));
    let json = serde_json::to_string_pretty(&points("stuck", 1)).expect("JSON");
    assert_snapshot!("points_as_json", json);
}

#[test]
fn an_invalid_event_is_answered_with_the_valid_ones() {
    let with = to("{ event: 5 }", "all");
    let Consequence::Refuse {
        refusal,
        message,
        valid_reset_events,
        ..
    } = verdict("well", &with)
    else {
        panic!("it is refused")
    };
    assert_eq!(refusal, "invalid_event");
    assert!(message.starts_with("WF_1001: "), "{message}");
    let ids: Vec<i64> = valid_reset_events
        .iter()
        .map(|point| point.event_id)
        .collect();
    let mut nearest = ids.clone();
    nearest.sort_by_key(|id| (id.abs_diff(5), *id));
    assert!(!ids.is_empty() && ids == nearest, "{ids:?}");

    let (runbook, parameters) = runbook("well", &with);
    let report = simulated(async |world, ui| {
        cli::plan::report(&world, &runbook, parameters, &ui, Output::Text)
            .await
            .expect("a plan")
            .0
    });
    let json = serde_json::to_value(&report).expect("JSON");
    let reset = &json["tables"][0]["rows"][0]["looked"]["resets"][0];
    assert_eq!(reset["code"], "WF_1001");
    assert_eq!(reset["valid_reset_events"][0]["event_id"], ids[0]);
    let text = report.text(style(80));
    let from = text.find("      well (run").expect("the Workflow is named");
    let until = text[from..]
        .find("not looked")
        .or(text[from..].find("Steps"))
        .map_or(text.len(), |at| from + at);
    assert!(
        text[from..until].contains("Valid reset points, nearest first:"),
        "{text}"
    );
}

#[test]
fn each_spelling_finds_its_event() {
    assert_eq!(event("well", "first_workflow_task"), 4);
    assert_eq!(event("well", "{ event: 4 }"), 4);
    assert_eq!(
        event("well", "{ event: 3 }"),
        3,
        "the start of a task is accepted too"
    );
    assert_eq!(
        event(
            "well",
            "{ before: { event: signal, name: add, which: first } }"
        ),
        4
    );
    assert_eq!(
        event(
            "well",
            "{ before: { event: signal, name: add, which: last } }"
        ),
        4
    );
    assert_eq!(
        event("well", "{ before: { event: update, name: adjust } }"),
        4
    );
    assert_eq!(event("stuck", "{ build: bad }"), 4);
    assert_eq!(event("stuck", "{ bad_binary_checksum: bad }"), 4);
    let last = event("well", "last_workflow_task");
    assert!(last > event("well", "{ before: { event: activity, which: last } }"));
    let failed = event("stuck", "failed_task");
    assert!(failed > event("stuck", "last_workflow_task"));
    assert_eq!(
        event(
            "stuck",
            "{ before: { event: workflow_task_failed, name: non_deterministic_error, which: last } }"
        ),
        event("stuck", "last_workflow_task")
    );
}

#[test]
fn what_cannot_be_reset_says_why() {
    let named = |id: &str, point: &str| refusal(id, &to(point, "all"));
    let cases = [
        ("never", "first_workflow_task"),
        ("never", "last_workflow_task"),
        ("well", "failed_task"),
        ("well", "last_continued_as_new"),
        ("well", "{ event: 4000 }"),
        ("well", "{ before: { event: signal, name: add } }"),
        ("well", "{ before: { event: signal, name: spend } }"),
        ("well", "{ before: { time: '2020-01-01T00:00:00Z' } }"),
        ("well", "{ build: bad }"),
        ("parent", "first_workflow_task"),
        ("replaced", "first_workflow_task"),
    ];
    let mut told = String::new();
    for (id, point) in cases {
        told.push_str(&format!("{id}, to {point}\n    {}\n", named(id, point)));
    }
    let run = uuid_free(&told);
    assert_snapshot!("what_cannot_be_reset", run);
    assert!(matches!(
        verdict(
            "replaced",
            &(to("first_workflow_task", "all") + "      if_superseded: terminate\n")
        ),
        Consequence::Would { .. }
    ));
}

/// Run IDs as `RUN`.
fn uuid_free(text: &str) -> String {
    let word = |word: &str| match word.trim_matches(|c: char| !c.is_ascii_hexdigit()).len() {
        36 => "RUN".to_owned(),
        _ => word.to_owned(),
    };
    let line = |line: &str| line.split(' ').map(word).collect::<Vec<_>>().join(" ");
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_run_before_is_the_base() {
    let Consequence::Would { effects, .. } =
        verdict("chained", &to("last_continued_as_new", "all"))
    else {
        panic!("it can be reset")
    };
    assert!(effects[0].contains("the run before"), "{effects:?}");
}

#[test]
fn mistakes_in_where_to_are_found_offline() {
    let parse = |point: &str| {
        let text = format!(
            "schema: runbook/v1\nname: undo\ntitle: Undo\nsteps:\n  - id: undo\n    action: workflows.reset\n    with:\n      \
             select: {{ query: \"WorkflowId = 'x'\" }}\n      reason: OPS-1\n{}",
            to(point, "all")
        );
        match Runbook::parse("undo.yaml", text.as_bytes()) {
            Ok(_) => panic!("{point} is accepted"),
            Err(problems) => problems
                .iter()
                .map(|it| format!("{}\n", it.message))
                .collect::<String>(),
        }
    };
    let mut told = String::new();
    for point in [
        "first_task",
        "{ evnt: 4 }",
        "{ event: four }",
        "{ event: 4, build: x }",
        "{ before: { event: signal, time: '2026-01-01T00:00:00Z' } }",
        "{ before: { name: add } }",
        "{ before: { event: signl } }",
        "{}",
    ] {
        told.push_str(&format!("to: {point}\n    {}", parse(point)));
    }
    assert_snapshot!("mistakes_in_where_to", told);
}

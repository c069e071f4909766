//! What `plan` and `explain` say about a world in memory, in simulated time.

use insta::assert_snapshot;
use runbook::action;
use runbook::cli::{self, Output};
use runbook::clock::Clock;
use runbook::connection::{Access, Connection, Settings};
use runbook::record::RunId;
use runbook::report::{Explanation, PlanReport};
use runbook::runbook::{ParameterInput, Parameters, Runbook};
use runbook::simulator::{Simulator, World};
use runbook::survey::WorkflowKey;
use runbook::temporal::Temporal;
use runbook::ui::{Style, Ui};
use serde_json::{Value, json};

const WIDTH: Style = Style {
    width: Some(80),
    unicode: true,
    colour: false,
};

fn world() -> Value {
    json!({
        "deployments": { "orders": { "current": "good", "ramping": "bad", "ramp_percentage": 20.0, "versions": {
            "good": { "task_queues": ["orders"] },
            "bad": { "task_queues": ["orders"] },
            "safe": { "task_queues": ["other"] },
        } } },
        "workflows": [
            { "type": "Order", "id": "order-stuck", "count": 7, "version": "bad", "task": "failing", "tasks": 2, "signals": 1 },
            { "type": "Order", "id": "order-idle", "count": 3, "version": "bad" },
            { "type": "Loyalty", "id": "loyalty", "count": 2, "version": "bad", "task": "failing", "tasks": 3, "signals": 2 },
            { "type": "Fulfilment", "id": "fulfilment", "count": 2, "version": "bad", "task": "failing", "children": { "type": "Shipment" } },
            { "type": "Refund", "id": "refund", "count": 2, "version": "bad" },
            { "type": "Invoice", "id": "invoice", "count": 4, "version": "bad", "status": "failed" },
            { "type": "Invoice", "id": "invoice-replaced", "version": "bad", "status": "failed", "superseded_by": {} },
            { "type": "Ticker", "id": "ticker", "count": 3, "version": "bad", "behavior": "auto_upgrade" },
        ],
    })
}

fn flagship() -> (Runbook, Parameters) {
    flagship_with("", "")
}

/// With more beside what a line of it says.
fn flagship_with(line: &str, more: &str) -> (Runbook, Parameters) {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/runbooks/recover-pinned-workflows.yaml"
    );
    let bytes = std::fs::read(path).expect("the flagship");
    let text = String::from_utf8(bytes).expect("text");
    let text = text.replacen(line, &format!("{line}{more}"), 1);
    let runbook = Runbook::parse("recover-pinned-workflows.yaml", text.as_bytes());
    let runbook = runbook.expect("it is valid");
    let mut input = ParameterInput::default();
    let values = [
        ("bad", json!("orders:bad")),
        ("previous", json!("orders:good")),
        ("safe", json!("orders:safe")),
        (
            "classes",
            json!({ "Order": "restartable", "Loyalty": "corrupted", "Fulfilment": "restartable", "Invoice": "restartable", "Shipment": "move_only" }),
        ),
        ("incident", json!("OPS-42")),
    ];
    for (name, value) in values {
        input.value(name, value);
    }
    let parameters = runbook.resolve_parameters(&input).expect("they fit");
    (runbook, parameters)
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
        let settings = Settings {
            identity: "runbook:alice@laptop".to_owned(),
            ..Settings::default()
        };
        let connection = Connection::in_memory(&settings, simulator.channel(), Access::ReadOnly);
        let world = action::World::of(
            Temporal::new(connection.await.expect("it opens")).with_clock(clock.clone()),
            clock,
            RunId("rb-1".to_owned()),
        );
        work(world, Ui::captured(Style::PLAIN).0).await
    })
}

fn plan() -> PlanReport {
    let (runbook, parameters) = flagship();
    let mut report = simulated(async |world, ui| {
        cli::plan::report(&world, &runbook, parameters, &ui, Output::Text)
            .await
            .expect("a plan")
            .0
    });
    // Over the runbook's text, which is edited more often than this.
    "DIGEST".clone_into(&mut report.digest);
    report
}

fn explain(workflow_id: &str) -> Explanation {
    explain_with(workflow_id, flagship())
}

fn explain_with(workflow_id: &str, (runbook, parameters): (Runbook, Parameters)) -> Explanation {
    simulated(async |world, ui| {
        world.temporal.preflight().await.expect("a preflight");
        let current = world
            .temporal
            .current_run(workflow_id)
            .await
            .expect("an answer")
            .expect("a Workflow");
        let key = WorkflowKey {
            workflow_id: workflow_id.to_owned(),
            run_id: current.run_id,
        };
        cli::explain::explanation(&world, &runbook, &parameters, &key, &ui)
            .await
            .expect("an explanation")
    })
}

#[test]
fn a_plan_says_what_a_run_would_do() {
    let report = plan();
    assert_snapshot!("plan_at_80_columns", report.text(WIDTH));
    let json = serde_json::to_string_pretty(&report).expect("JSON");
    assert_snapshot!("plan_as_json", json);
}

#[test]
fn lines_of_a_plan_fit_80_columns_but_for_names_and_commands() {
    let text = plan().text(WIDTH);
    let long: Vec<&str> = text
        .lines()
        .filter(|line| line.chars().count() > 80 && line.trim().contains(' '))
        // Whole, so that it can be copied.
        .filter(|line| !line.trim().starts_with("temporal "))
        .collect();
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn why_a_row_takes_a_workflow_and_what_it_would_lose() {
    assert_snapshot!("explain_a_stuck_one", explain("order-stuck-0").text(WIDTH));
    assert_snapshot!("explain_a_corrupted_one", explain("loyalty-0").text(WIDTH));
    assert_snapshot!("explain_a_closed_one", explain("invoice-0").text(WIDTH));
    assert_snapshot!(
        "explain_one_that_no_row_takes",
        explain("refund-0").text(WIDTH)
    );
    assert_snapshot!("explain_one_out_of_scope", explain("ticker-0").text(WIDTH));
    let json = serde_json::to_string_pretty(&explain("order-stuck-0")).expect("JSON");
    assert_snapshot!("explain_as_json", json);
}

#[test]
fn who_must_agree_before_it_is_written_to() {
    let line = "          with: { decision: running }\n";
    let more = "          confirm: { type: \"${{ params.bad.build_id }}\", by: 2, not: starter }\n";
    let explained = |workflow: &str| explain_with(workflow, flagship_with(line, more));
    let text = explained("loyalty-0").text(WIDTH);
    let text = text.replace("\n    ", " ");
    let asks = "  Step recover asks first: 2 people must agree, none of whom began or resumed the run; \
                the word `bad` must be typed.\n";
    assert_eq!(text.matches(asks).count(), 1, "{text}");
    let untouched = explained("ticker-0");
    assert!(!untouched.text(WIDTH).contains("asks first"));
    let json = serde_json::to_value(&untouched).expect("JSON");
    let confirms = json!([{ "step": "recover", "word": "bad", "agreement": { "by": 2, "not_starter": true } }]);
    assert_eq!(json["decisions"][0]["confirms"], confirms);
    assert!(json["decisions"][1].get("confirms").is_none());
}

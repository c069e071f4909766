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
    for name in rehearsal.scenarios.keys() {
        let rehearsed = run(&runbook, &rehearsal, name, None);
        if std::env::var_os("RUNBOOK_TEST_SHOW").is_some() {
            for record in &rehearsed.records {
                eprintln!(
                    "{}",
                    serde_json::to_string(record)
                        .expect("json")
                        .chars()
                        .take(600)
                        .collect::<String>()
                );
            }
        }
        assert!(
            rehearsed.failures.is_empty(),
            "{name}: {:#?}",
            rehearsed.failures
        );
    }
}

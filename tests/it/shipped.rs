//! Every shipped runbook beside the flagship is valid, and every scenario of its rehearsal holds.

use std::path::{Path, PathBuf};

use runbook::rehearsal::Rehearsal;
use runbook::runbook::Runbook;

use crate::rehearsal::run;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("runbooks")
}

/// Names of the runbooks that have a rehearsal.
fn rehearsed() -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder())
        .expect("the shipped runbooks")
        .filter_map(|entry| entry.expect("an entry").file_name().into_string().ok())
        .filter_map(|name| name.strip_suffix(".rehearsal.yaml").map(str::to_owned))
        .collect();
    names.sort();
    names
}

/// What does not hold, of every scenario.
fn failures(name: &str) -> Vec<String> {
    let read = |ending: &str| {
        std::fs::read(folder().join(format!("{name}{ending}"))).expect("a shipped file")
    };
    let runbook = match Runbook::parse(name, &read(".yaml")) {
        Ok(runbook) => runbook,
        Err(problems) => return vec![format!("{problems:?}")],
    };
    let rehearsal = match Rehearsal::parse(name, &read(".rehearsal.yaml")) {
        Ok(rehearsal) => rehearsal,
        Err(problems) => return vec![format!("{problems:?}")],
    };
    let scenarios = rehearsal.scenarios.keys();
    scenarios
        .flat_map(|scenario| {
            let failed = run(&runbook, &rehearsal, scenario, None).failures;
            failed
                .into_iter()
                .map(move |it| format!("{scenario}: {it}"))
        })
        .collect()
}

#[test]
fn every_scenario_holds() {
    let names = rehearsed();
    assert!(names.len() > 1, "{names:?}");
    let failed: Vec<(String, Vec<String>)> = names
        .into_iter()
        // It has a test of its own.
        .filter(|name| name != "recover-pinned-workflows")
        .map(|name| (name.clone(), failures(&name)))
        .filter(|(_, failures)| !failures.is_empty())
        .collect();
    assert!(failed.is_empty(), "{failed:#?}");
}

//! Replays every kept input of the fuzz targets: what was found once stays found.

use std::fs;
use std::panic;
use std::path::{Path, PathBuf};

#[path = "../fuzz/bodies.rs"]
mod bodies;

/// The inputs of a target, oldest name first.
fn inputs(target: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fuzz/corpus")
        .join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.sort();
    paths
}

#[track_caller]
fn replay(target: &str, body: fn(&[u8])) {
    let inputs = inputs(target);
    assert!(!inputs.is_empty(), "the corpus of {target} is there");
    for path in inputs {
        let data = fs::read(&path).expect("a kept input");
        if panic::catch_unwind(|| body(&data)).is_err() {
            panic!(
                "`cargo fuzz run --fuzz-dir tests/fuzz {target} {}` fails",
                path.display()
            );
        }
    }
}

#[test]
fn yaml() {
    replay("yaml", bodies::yaml);
}

#[test]
fn expressions() {
    replay("expression", bodies::expression);
}

#[test]
fn list_filters() {
    replay("list_filter", bodies::list_filter);
}

#[test]
fn journals() {
    replay("journal", bodies::journal);
}

#[test]
fn histories() {
    replay("history", bodies::history);
}

#[test]
fn payloads() {
    replay("payload", bodies::payload);
}

/// The bodies can fail: a journal that holds what they forbid is noticed.
#[test]
fn a_body_notices() {
    let shown = panic::catch_unwind(|| bodies::harmless("a\u{1b}[2Jb"));
    assert!(shown.is_err());
}

//! `exec --output json`: whoever reads the records, and how, is nothing that a run depends on. By the built binary on a
//! simulator behind a loopback port.

use std::io::Read as _;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::notify::Home;

/// The longest that anything may take; it takes a fraction of it.
const PATIENCE: Duration = Duration::from_secs(150);

/// Its first record alone, which has the whole text, is more than a pipe takes.
fn runbook() -> String {
    let padding = "# what nobody reads for a while\n".repeat(8_000);
    format!(
        "schema: runbook/v1\nname: look\n{padding}steps:\n  \
         - id: one\n    action: command.run\n    with: {{ argv: ['true'], effect: idempotent }}\n  \
         - id: two\n    action: command.run\n    with: {{ argv: ['true'], effect: idempotent }}\n"
    )
}

fn command(home: &Home, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_runbook"));
    command
        .args(arguments)
        .current_dir(home.path())
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", home.path())
        .env("NO_COLOR", "1")
        .stdin(Stdio::null());
    command
}

/// Its output is a pipe that nobody reads so far.
fn exec(home: &Home) -> Child {
    std::fs::write(home.path().join("look.yaml"), runbook()).expect("written");
    let said = std::fs::File::create(home.path().join("said")).expect("a file");
    command(
        home,
        &[
            "exec",
            "look.yaml",
            "--yes",
            "--output",
            "json",
            "--state",
            "run.jsonl",
            "--address",
            &home.address,
        ],
    )
    .stdout(Stdio::piped())
    .stderr(said)
    .spawn()
    .expect("the binary runs")
}

fn said(home: &Home) -> String {
    std::fs::read_to_string(home.path().join("said")).expect("text")
}

fn journal(home: &Home) -> Vec<Value> {
    let text = std::fs::read_to_string(home.path().join("run.jsonl")).unwrap_or_default();
    text.lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .flat_map(|line| line["records"].as_array().cloned().unwrap_or_default())
        .collect()
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "{what}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn is_over(home: &Home) -> bool {
    journal(home)
        .last()
        .is_some_and(|record| record["body"]["kind"] == "ended")
}

fn records(text: &str) -> Vec<Value> {
    let record = |line: &str| serde_json::from_str(line).expect(line);
    text.lines().map(record).collect()
}

#[test]
fn a_run_goes_on_while_nobody_reads_and_who_reads_late_gets_every_record() {
    let home = Home::new();
    let mut child = exec(&home);
    wait_until("the run does not end", || is_over(&home));
    let mut text = String::new();
    let mut out = child.stdout.take().expect("a pipe");
    out.read_to_string(&mut text).expect("text");
    let status = child.wait().expect("an end");
    assert_eq!(status.code(), Some(0), "{}", said(&home));
    assert!(text.len() > 200_000, "more than a pipe takes");
    assert_eq!(records(&text), journal(&home));
    assert!(!said(&home).contains("warning"), "{}", said(&home));
}

#[test]
fn what_nobody_reads_holds_up_the_end_for_a_bounded_time_and_is_named() {
    let home = Home::new();
    let mut child = exec(&home);
    wait_until("the process does not end", || {
        child.try_wait().expect("a child").is_some()
    });
    assert_eq!(child.wait().expect("an end").code(), Some(0));
    let (said, all) = (said(&home), journal(&home));
    let named = format!("records 1 to {} were not read", all.len());
    assert!(said.contains(&named), "{said}");
    let line = "runbook watch run.jsonl --from 1 --output json";
    assert!(said.contains(line), "{said}");
    let rest: Vec<&str> = line.split(' ').skip(1).collect();
    let rest = command(&home, &rest).output().expect("the binary runs");
    assert_eq!(records(&String::from_utf8_lossy(&rest.stdout)), all);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let home = Home::new();
    let mut child = exec(&home);
    drop(child.stdout.take());
    assert_eq!(child.wait().expect("an end").code(), Some(0));
    let said = said(&home);
    assert!(
        !said.contains("error") && !said.contains("not read"),
        "{said}"
    );
}

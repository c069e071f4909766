//! `rehearse` and `simulator` as a newcomer calls them: what they print, and their exit codes.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// In a folder that holds the flagship, changed by `change`, and its rehearsal; hermetic.
fn runbook(folder: &TempDir, change: impl Fn(&str) -> String) -> Command {
    let runbooks = Path::new(env!("CARGO_MANIFEST_DIR")).join("runbooks");
    let read = |name: &str| fs::read_to_string(runbooks.join(name)).expect("a shipped file");
    let place = |name: &str, text: &str| {
        fs::write(folder.path().join(name), text).expect("the folder can be written");
    };
    place("recover.yaml", &read("recover-pinned-workflows.yaml"));
    let rehearsal = change(&read("recover-pinned-workflows.rehearsal.yaml"));
    place("recover.rehearsal.yaml", &rehearsal);
    let mut command = Command::new(env!("CARGO_BIN_EXE_runbook"));
    command
        .env_clear()
        .env("HOME", folder.path())
        .current_dir(folder.path())
        .stdin(Stdio::null());
    command
}

fn rehearse(arguments: &[&str], change: impl Fn(&str) -> String) -> (Option<i32>, Output) {
    let folder = TempDir::new().expect("a folder");
    let mut command = runbook(&folder, change);
    let output = command
        .args(["rehearse", "recover.yaml"])
        .args(arguments)
        .output()
        .expect("runbook runs");
    (output.status.code(), output)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn as_shipped(text: &str) -> String {
    text.to_owned()
}

#[test]
fn a_scenario_is_told_step_by_step() {
    let (code, output) = rehearse(&["--scenario", "safe_cannot_replay"], as_shipped);
    assert_eq!(code, Some(0), "{}", text(&output.stderr));
    insta::with_settings!({ filters => vec![(r"time in \d+ m?s", "time in [TIME]")] }, {
        insta::assert_snapshot!(text(&output.stdout));
    });
}

#[test]
fn what_a_loop_repeats_is_one_line() {
    let (code, output) = rehearse(&["--scenario", "all_goes_well"], as_shipped);
    assert_eq!(code, Some(0), "{}", text(&output.stderr));
    let told = text(&output.stdout);
    assert!(told.contains(" more times: "), "{told}");
    assert!(told.lines().count() < 60, "{told}");
}

#[test]
fn an_expectation_that_does_not_hold_fails() {
    let wrong = |text: &str| text.replace("current: { orders: good }", "current: { orders: safe }");
    let (code, output) = rehearse(&["--scenario", "safe_cannot_replay"], wrong);
    assert_eq!(code, Some(1));
    let told = text(&output.stdout);
    let failure = "- the Current Version of orders is good, expected safe";
    assert!(told.contains(failure), "{told}");
    assert!(
        told.contains("1 scenario: 1 FAILED (safe_cannot_replay)"),
        "{told}"
    );
}

#[test]
fn json_says_the_same() {
    let arguments = ["--scenario", "safe_cannot_replay", "--output", "json"];
    let (code, output) = rehearse(&arguments, as_shipped);
    assert_eq!(code, Some(0), "{}", text(&output.stderr));
    let told: Value = serde_json::from_slice(&output.stdout).expect("JSON and nothing else");
    assert_eq!(told["ok"], true);
    let scenario = &told["scenarios"][0];
    assert_eq!(scenario["scenario"], "safe_cannot_replay");
    assert_eq!(scenario["exits"], serde_json::json!([1]));
    assert!(
        scenario["steps"]
            .as_array()
            .is_some_and(|steps| !steps.is_empty())
    );
}

#[test]
fn files_and_names_that_are_wrong_are_said_at_once() {
    let (code, output) = rehearse(&["--scenario", "all_goes_wel"], as_shipped);
    assert_eq!(code, Some(2));
    assert!(text(&output.stderr).contains("all_goes_well"));
    let wrong = |text: &str| {
        text.replace("incident: OPS-42", "incident: ops")
            .replace("scenarios:", "scenario:")
    };
    let (code, output) = rehearse(&[], wrong);
    assert_eq!(code, Some(2));
    assert!(
        text(&output.stderr).contains("did you mean `scenarios`"),
        "{}",
        text(&output.stderr)
    );
    let wrong = |text: &str| text.replace("incident: OPS-42", "incident: ops");
    let (code, output) = rehearse(&[], wrong);
    assert_eq!(code, Some(2));
    assert_eq!(
        text(&output.stderr).matches("incident").count(),
        1,
        "{}",
        text(&output.stderr)
    );
    let (code, output) = rehearse(&["--rehearsal", "nowhere.yaml"], as_shipped);
    assert_eq!(code, Some(2));
    assert!(text(&output.stderr).contains("nowhere.yaml"));
}

#[test]
fn the_simulator_answers_until_it_is_told_to_end() {
    let folder = TempDir::new().expect("a folder");
    let mut child = runbook(&folder, as_shipped)
        .args(["simulator", "recover.yaml", "--scenario", "all_goes_well"])
        .args(["--listen", "127.0.0.1:0", "--facts", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the simulator starts");
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    let mut line = || lines.next().expect("an address").expect("a line of text");
    let (address, facts) = (line(), line());
    TcpStream::connect(&address).expect("it listens");
    let mut stream = TcpStream::connect(&facts).expect("it listens");
    stream
        .write_all(b"GET / HTTP/1.1\r\n\r\n")
        .expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    assert!(answer.contains("\"order-stuck-0\""));
    let pid = child.id().to_string();
    let told = Command::new("kill").args(["-TERM", &pid]).status();
    assert!(told.expect("kill runs").success());
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
}

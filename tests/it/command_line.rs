//! The verbs from the command line: the built binary on usage errors, on an address where nobody is, and
//! on a simulator behind a loopback port; and what `plan` and `explain` say about a world in memory.
//!
//! Hermetic: a home of its own, no variables but `PATH`, no colour. Run ids, times, ports and folders are
//! replaced before anything is compared.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use insta::assert_snapshot;
use regex::Regex;
use runbook::clock::Clock;
use runbook::simulator::{Simulator, World};
use serde_json::{Value, json};
use tempfile::TempDir;

mod guards;
mod hostile;
mod locks;
mod planning;
mod saved;
mod secrets;
mod elsewhere;

/// One decision, a condition and a task for a person: quick on a real clock.
const RUNBOOK: &str = r#"schema: runbook/v1
name: move-orders
title: Move orders off a Version
params:
  bad: { type: version, description: Where they are }
  safe: { type: version, description: Where they go }
  classes: { type: map, enum: [movable], default: { Order: movable } }
  token: { type: string, secret: true }
checks:
  - that: ${{ params.bad != params.safe }}
    else: A Version cannot be its own cure.
strategies:
  move:
    action: workflows.update_options
    with: { version: "${{ params.safe }}" }
decisions:
  pinned:
    scope: >-
      TemporalWorkerDeploymentVersion = ${{ params.bad }}
      AND TemporalWorkflowVersioningBehavior = 'Pinned' AND ExecutionStatus = 'Running'
    classify: ${{ params.classes }}
    unmatched: halt
    rows:
      - { id: movable, class: movable, apply: move }
steps:
  - id: count
    action: decision.evaluate
    with: { decisions: [pinned] }
  - id: move
    action: decision.apply
    with: { decision: pinned }
  - id: tell
    action: manual.task
    with: { instructions: "Tell ${{ steps.move.moved }} owners." }
    confirm: { type: told }
"#;

/// A home for one user, and how the binary is run in it.
struct Home {
    folder: TempDir,
}

impl Home {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("move.yaml"), RUNBOOK).expect("written");
        Self { folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_runbook"));
        command
            .args(arguments)
            .current_dir(self.path())
            .env_clear()
            .env("HOME", self.path())
            .env("XDG_STATE_HOME", self.path().join("state"))
            .env("NO_COLOR", "1")
            .env("RUNBOOK_PARAM_TOKEN", "hunter2")
            .stdin(Stdio::null());
        command
    }

    fn output(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("the binary runs")
    }

    /// Exit code, stdout and stderr, with what differs from run to run replaced.
    fn run(&self, arguments: &[&str]) -> String {
        self.shown(&self.output(arguments))
    }

    fn shown(&self, output: &Output) -> String {
        let text = format!(
            "exit {}\n--- stdout\n{}--- stderr\n{}",
            output.status.code().unwrap_or(-1),
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        self.settled(&text)
    }

    fn settled(&self, text: &str) -> String {
        let folder = self.path().display().to_string();
        let replacements = [
            (regex::escape(&folder), "HOME"),
            (r"rb-\d{8}-\d{6}-\w{4}".to_owned(), "RUN"),
            (r"127\.0\.0\.1:\d{2,}".to_owned(), "127.0.0.1:PORT"),
            (
                r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z".to_owned(),
                "TIME",
            ),
            (r"\d\d:\d\d:\d\dZ?".to_owned(), "TIME"),
            // A busy machine takes longer than a moment.
            (
                r"( succeeded| halted| failed) after [0-9]+ (ms|s)\b".to_owned(),
                "$1",
            ),
            (r"\b[0-9a-f]{64}\b".to_owned(), "DIGEST"),
            (r"process \d+".to_owned(), "process PID"),
            (
                r"(uid \d+|[\w.-]+) through the socket \(uid \d+ on [^)]+\)".to_owned(),
                "USER through the socket",
            ),
            (r"\bby \S+( \d+)? on \S+".to_owned(), "by USER on HOST"),
            (
                r"\bbroken: \S+( \d+)? on \S+,".to_owned(),
                "broken: USER on HOST,",
            ),
            (
                r"(Yes, )?by (uid \d+|root|\w+) by a flag".to_owned(),
                "by USER by a flag",
            ),
            (
                r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}".to_owned(),
                "UUID",
            ),
            (
                r" (in|after|for|took) [0-9]+ (ms|s)\b".to_owned(),
                " $1 A WHILE",
            ),
        ];
        replacements
            .iter()
            .fold(text.to_owned(), |text, (pattern, by)| {
                let pattern = Regex::new(pattern).expect("a pattern");
                pattern.replace_all(&text, *by).into_owned()
            })
    }

    /// The one that was written to last: names tell runs apart that began in the same second, and not their order.
    fn journal(&self) -> PathBuf {
        let mut journals: Vec<PathBuf> = std::fs::read_dir(self.path().join("state/runbook"))
            .expect("a state folder")
            .map(|entry| entry.expect("an entry").path())
            .filter(|path| {
                path.extension()
                    .is_some_and(|extension| extension == "jsonl")
            })
            .collect();
        let written = |path: &PathBuf| path.metadata().and_then(|facts| facts.modified());
        journals.sort_by_key(|path| written(path).expect("a time"));
        journals.pop().expect("a journal")
    }

    fn run_id(&self) -> String {
        let journal = self.journal();
        journal
            .file_stem()
            .expect("a name")
            .to_string_lossy()
            .into_owned()
    }
}

fn world(orders: u32) -> Value {
    json!({
        "deployments": { "orders": { "current": "good", "versions": {
            "good": { "task_queues": ["orders"] },
            "bad": { "task_queues": ["orders"] },
            "safe": { "task_queues": ["orders"] },
        } } },
        "workflows": [ { "type": "Order", "count": orders, "version": "bad" } ],
    })
}

/// A simulator behind a loopback port of its own, until the process ends.
struct Served {
    simulator: Simulator,
    address: String,
}

fn serve(world: Value) -> Served {
    serve_seeded(world, 1)
}

/// Ids, that of the namespace included, follow from the seed.
fn serve_seeded(world: Value, seed: u64) -> Served {
    let mut world: World = serde_json::from_value(world).expect("a world");
    // What a resumed run finds must not depend on how busy this machine is.
    world.limits.visibility_lag = runbook::simulator::world::Span::default();
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async move {
            let simulator = Simulator::new(&world, &[], seed, Clock::real()).expect("a world");
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
                .await
                .expect("a port");
            let address = listener.local_addr().expect("an address").to_string();
            let served = Served {
                simulator: simulator.clone(),
                address,
            };
            sender.send(served).expect("somebody waits");
            simulator.serve(listener).await.expect("served");
        });
    });
    receiver.recv().expect("a simulator")
}

const PARAMETERS: [&str; 4] = ["-p", "bad=orders:bad", "-p", "safe=orders:safe"];

fn exec<'a>(address: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec!["exec", "move.yaml", "--address", address];
    arguments.extend(PARAMETERS);
    arguments.extend(more);
    arguments
}

#[test]
fn how_it_is_called_wrongly() {
    let home = Home::new();
    assert_snapshot!(
        "no_parameters",
        home.run(&["exec", "move.yaml", "-p", "bda=x"])
    );
    assert_snapshot!(
        "a_secret_on_the_command_line",
        home.run(&exec("127.0.0.1:1", &["-p", "token=hunter2"]))
    );
    assert_snapshot!(
        "unknown_names",
        home.run(&exec(
            "127.0.0.1:1",
            &[
                "--confirm",
                "tel=told",
                "--confirm",
                "tell",
                "--until",
                "mov",
                "--skip-row",
                "moveable"
            ]
        ))
    );
    assert_snapshot!(
        "a_check_that_does_not_hold",
        home.run(&[
            "plan",
            "move.yaml",
            "-p",
            "bad=orders:bad",
            "-p",
            "safe=orders:bad"
        ])
    );
    assert_snapshot!("no_such_file", home.run(&["exec", "moved.yaml"]));
    assert_snapshot!(
        "a_rate_that_is_none",
        home.run(&exec("127.0.0.1:1", &["--rate", "0"]))
    );
    assert_snapshot!("no_such_run", home.run(&["resume", "rb-nothing"]));
    assert_snapshot!("an_address_that_is_none", home.run(&exec("orders", &[])));
    assert!(
        !home.path().join("state").exists(),
        "nothing of it left a journal"
    );
}

#[test]
fn where_nobody_answers_it_says_so_and_leaves_nothing() {
    let home = Home::new();
    assert_snapshot!("nobody_there", home.run(&exec("127.0.0.1:1", &[])));
    assert!(!home.path().join("state").exists());
}

#[test]
fn a_run_parks_goes_on_and_ends() {
    let (home, served) = (Home::new(), serve(world(12)));
    assert_snapshot!(
        "parks_before_the_first_write",
        home.run(&exec(&served.address, &[]))
    );
    assert_eq!(served.simulator.write_count(), 0);
    let run = home.run_id();
    assert_snapshot!(
        "goes_on_and_parks_at_the_word",
        home.run(&["resume", &run, "--yes"])
    );
    assert_eq!(served.simulator.write_count(), 12);
    assert_snapshot!(
        "the_wrong_word_is_no_word",
        home.run(&["resume", &run, "--confirm", "tell=tld"])
    );
    assert_snapshot!(
        "ends_well",
        home.run(&["resume", &run, "--confirm", "tell=told"])
    );
    assert_snapshot!("has_ended_well", home.run(&["resume", &run, "--yes"]));
    assert_eq!(served.simulator.write_count(), 12, "each was moved once");
}

#[test]
fn a_dry_run_writes_nothing_and_is_not_resumed() {
    let (home, served) = (Home::new(), serve(world(3)));
    assert_snapshot!("dry_run", home.run(&exec(&served.address, &["--dry-run"])));
    assert_snapshot!(
        "a_dry_run_is_not_resumed",
        home.run(&["resume", &home.run_id()])
    );
    assert_eq!(served.simulator.write_count(), 0);
}

#[test]
fn until_and_limit_park_and_json_streams_the_records() {
    let (home, served) = (Home::new(), serve(world(4)));
    let state = home.path().join("a run.jsonl").display().to_string();
    let until = home.run(&exec(
        &served.address,
        &["--yes", "--until", "count", "--state", &state],
    ));
    assert_snapshot!("parks_after_a_step", until);
    let output = home.output(&[
        "resume",
        &state,
        "--yes",
        "--confirm",
        "tell=told",
        "--output",
        "json",
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", home.shown(&output));
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let kinds: Vec<String> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("a record"))
        .map(|record| record["body"]["kind"].as_str().expect("a kind").to_owned())
        .collect();
    assert_eq!(kinds.first().map(String::as_str), Some("attached"));
    assert_eq!(kinds.last().map(String::as_str), Some("ended"));
    assert_eq!(kinds.iter().filter(|kind| *kind == "intent").count(), 4);
}

#[test]
fn what_no_row_takes_halts_and_is_given_a_class() {
    let mut world = world(2);
    world["workflows"]
        .as_array_mut()
        .expect("groups")
        .push(json!({ "type": "Refund", "count": 2, "version": "bad" }));
    let (home, served) = (Home::new(), serve(world));
    assert_snapshot!(
        "halts_with_what_no_row_takes",
        home.run(&exec(&served.address, &["--yes", "--confirm", "tell=told"]))
    );
    let run = home.run_id();
    assert_snapshot!(
        "a_class_that_does_not_exist",
        home.run(&["resume", &run, "-p", "classes.Refund=moveable"])
    );
    assert_snapshot!(
        "is_given_a_class",
        home.run(&[
            "resume",
            &run,
            "--yes",
            "--confirm",
            "tell=told",
            "-p",
            "classes.Refund=movable"
        ])
    );
    assert_eq!(served.simulator.write_count(), 4);
}

#[test]
fn one_runner_at_a_time_and_no_other_service() {
    let (home, served) = (Home::new(), serve(world(1)));
    home.run(&exec(&served.address, &[]));
    let journal = home.journal();
    let held = runbook::journal::Journal::open(&journal, |_| {}).expect("a journal");
    assert_snapshot!("somebody_runs_it", home.run(&["resume", &home.run_id()]));
    drop(held);
    let mut elsewhere = world(1);
    elsewhere["namespace"] = json!("other");
    let other = serve_seeded(elsewhere, 2);
    assert_snapshot!(
        "another_namespace",
        home.run(&[
            "resume",
            &home.run_id(),
            "--address",
            &other.address,
            "--namespace",
            "other"
        ])
    );
    assert_snapshot!("a_foreign_file", home.run(&["resume", "./move.yaml"]));
}

#[test]
fn a_run_of_another_host_is_taken_over_only_when_told() {
    let (home, served) = (Home::new(), serve(world(1)));
    home.run(&exec(&served.address, &[]));
    let mut records = Vec::new();
    for record in runbook::journal::read(&home.journal()).expect("a journal") {
        let mut record = record.expect("a record");
        if let runbook::record::Body::Attached { host, .. } = &mut record.body {
            "elsewhere".clone_into(host);
        }
        records.push(record);
    }
    let path = home.path().join("elsewhere.jsonl");
    let mut journal = runbook::journal::Journal::create(&path).expect("a journal");
    journal.append(&records).expect("written");
    drop(journal);
    let path = path.display().to_string();
    let here = home.run(&["resume", &path]);
    assert!(
        here.starts_with("exit 4\n") && here.contains("add --take-over"),
        "{here}"
    );
    let over = home.run(&[
        "resume",
        &path,
        "--take-over",
        "--yes",
        "--confirm",
        "tell=told",
    ]);
    assert!(over.starts_with("exit 0\n"), "{over}");
}

#[test]
fn a_signal_ends_it_resumable_and_a_closed_pipe_is_no_error() {
    let (home, served) = (Home::new(), serve(world(1)));
    let waits = RUNBOOK.replace(
        "  - id: tell",
        "  - id: pause\n    action: wait\n    with: { for: 1h }\n  - id: tell",
    );
    std::fs::write(home.path().join("move.yaml"), waits).expect("written");
    let mut child = home
        .command(&exec(&served.address, &["--yes"]))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    drop(child.stdout.take());
    let patience = Instant::now() + Duration::from_secs(30);
    while served.simulator.write_count() == 0 && Instant::now() < patience {
        std::thread::sleep(Duration::from_millis(50));
    }
    std::thread::sleep(Duration::from_millis(300));
    let told = Command::new("kill")
        .args(["-TERM", &child.id().to_string()])
        .status();
    assert!(told.expect("kill runs").success());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(130), "{}", home.shown(&output));
    let shown = home.run(&["show", &home.run_id()]);
    assert!(shown.contains("runbook resume RUN"), "{shown}");
}

#[test]
fn a_second_complete_run_asks_nothing_also_about_what_was_reopened() {
    let reopen = RUNBOOK
        .replace("action: workflows.update_options\n    with: { version: \"${{ params.safe }}\" }",
            "action: workflows.reset\n    with: { to: first_workflow_task, reapply: none, version: \"${{ params.safe }}\", reason: again }")
        .replace("ExecutionStatus = 'Running'", "ExecutionStatus = 'Failed'");
    let mut world = world(5);
    world["workflows"][0]["status"] = json!("failed");
    let (home, served) = (Home::new(), serve(world));
    std::fs::write(home.path().join("move.yaml"), reopen).expect("written");
    let arguments = exec(&served.address, &["--yes", "--confirm", "tell=told"]);
    let first = home.run(&arguments);
    assert!(first.starts_with("exit 0\n"), "{first}");
    assert_eq!(served.simulator.write_count(), 5);
    let second = home.run(&exec(&served.address, &["--confirm", "tell=told"]));
    assert!(second.starts_with("exit 0\n"), "{second}");
    assert_eq!(served.simulator.write_count(), 5, "{second}");
}

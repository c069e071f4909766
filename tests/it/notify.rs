//! `notify:`: the program is told, in time, with the facts and the secret, and nothing that goes wrong with it reaches
//! the run. By the built binary on a simulator behind a loopback port.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use runbook::clock::Clock;
use runbook::rehearsal::Rehearsal;
use runbook::runbook::Runbook;
use runbook::simulator::{Simulator, World};
use tempfile::TempDir;

const SECRET: &str = "canary-hunter2-canary";

/// Asks somebody, so that a run is parked where nobody is there.
fn runbook(notify: &str) -> String {
    format!(
        "schema: runbook/v1\nname: look\ntitle: Look around\nparams:\n  token: {{ type: string, secret: true }}\n\
         notify: {notify}\n\
         steps:\n  - id: asked\n    action: manual.task\n    with: {{ instructions: Look. }}\n"
    )
}

pub(crate) struct Home {
    folder: TempDir,
    pub(crate) address: String,
    _runtime: tokio::runtime::Runtime,
}

impl Home {
    pub(crate) fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let address = runtime.block_on(async {
            let clock = Clock::real();
            let world = World::default();
            let simulator = Simulator::new(&world, &[], 1, clock).expect("a simulator");
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
                .await
                .expect("a port");
            let address = listener.local_addr().expect("an address").to_string();
            tokio::spawn(async move { simulator.serve(listener).await });
            address
        });
        let folder = tempfile::tempdir().expect("a folder");
        Self {
            folder,
            address,
            _runtime: runtime,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    fn exec(&self, notify: &str, more: &[&str]) -> Output {
        self.execute(&runbook(notify), &[env!("CARGO_BIN_EXE_runbook")], more)
    }

    /// With the program and what stands before it.
    fn execute(&self, text: &str, program: &[&str], more: &[&str]) -> Output {
        std::fs::write(self.path().join("look.yaml"), text).expect("written");
        let state = self.path().join("run.jsonl");
        let _ = std::fs::remove_file(&state);
        Command::new(program[0])
            .args(&program[1..])
            .args([
                "exec",
                "look.yaml",
                "--state",
                "run.jsonl",
                "--address",
                &self.address,
            ])
            .args(more)
            .current_dir(self.path())
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", self.path())
            .env("NO_COLOR", "1")
            .env("RUNBOOK_PARAM_TOKEN", SECRET)
            .stdin(Stdio::null())
            .output()
            .expect("the binary runs")
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path().join(name)).unwrap_or_default()
    }
}

fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[test]
fn a_parked_run_tells_where_it_stands_and_keeps_its_secret() {
    let home = Home::new();
    let notify = "{ argv: [sh, -c, 'cat > told.json; env > told.env; echo $TOKEN >&2; exit 3'], env: { TOKEN: '${{ params.token }}' } }";
    let output = home.exec(notify, &[]);
    let shown = said(&output);
    assert_eq!(output.status.code(), Some(3), "{shown}");
    let told: serde_json::Value = serde_json::from_str(&home.read("told.json")).expect(&shown);
    assert_eq!(told["event"], "parked");
    assert_eq!(told["step"], "asked");
    assert_eq!(told["status"], "parked");
    assert_eq!(told["address"], home.address.as_str());
    let resume = told["resume"].as_str().expect("a line");
    assert!(resume.starts_with("runbook resume "), "{resume}");
    let variables = home.read("told.env");
    for expected in [
        "RUNBOOK_EVENT=parked",
        "RUNBOOK_NAME=look",
        &format!("TOKEN={SECRET}"),
    ] {
        assert!(variables.contains(expected), "{variables}");
    }
    assert!(!variables.contains("RUNBOOK_PARAM_TOKEN"), "{variables}");
    assert!(
        shown.contains("warning: `notify`: `sh` ended with exit code 3: (secret token)"),
        "{shown}"
    );
    assert!(!shown.contains(SECRET), "{shown}");
    for file in ["told.json", "run.jsonl"] {
        assert!(!home.read(file).contains(SECRET), "{file}");
    }
}

#[test]
fn what_goes_wrong_with_it_is_a_warning_in_bounded_time() {
    let home = Home::new();
    let output = home.exec("{ argv: [there-is-no-such-program] }", &[]);
    assert_eq!(output.status.code(), Some(3));
    assert!(said(&output).contains("there is no program `there-is-no-such-program`"));

    let began = Instant::now();
    let output = home.exec("{ argv: [sleep, '600'], timeout: 1s }", &[]);
    assert_eq!(output.status.code(), Some(3));
    assert!(
        said(&output).contains("longer than its timeout"),
        "{}",
        said(&output)
    );
    assert!(began.elapsed() < Duration::from_secs(300));
}

#[test]
fn it_is_told_only_what_it_is_for_and_nothing_of_a_dry_run() {
    let home = Home::new();
    let output = home.exec("{ argv: [touch, told], on: [failed] }", &[]);
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert!(!home.path().join("told").exists());
    home.exec("{ argv: [touch, told] }", &["--dry-run"]);
    assert!(!home.path().join("told").exists());
}

/// A step that takes the run's own state file away.
fn breaks(notify: &str) -> String {
    let asked = "steps:\n";
    let mover = "steps:\n  - id: breaks\n    action: command.run\n    \
                 with: { argv: [mv, run.jsonl, elsewhere.jsonl], effect: idempotent }\n";
    runbook(notify).replace(asked, mover)
}

const TELLS: &str = "{ argv: [sh, -c, 'cat > told.json; echo $TOKEN >&2; exit 3'], env: { TOKEN: '${{ params.token }}' }, on: [failed] }";

#[test]
fn a_state_file_that_is_taken_away_is_told_though_no_record_says_it() {
    let home = Home::new();
    let program = [env!("CARGO_BIN_EXE_runbook")];
    let output = home.execute(&breaks(TELLS), &program, &["--yes"]);
    let shown = said(&output);
    assert_eq!(output.status.code(), Some(1), "{shown}");
    let told: serde_json::Value = serde_json::from_str(&home.read("told.json")).expect(&shown);
    assert_eq!(
        (&told["event"], &told["status"]),
        (&"failed".into(), &"broken".into())
    );
    let reason = told["reason"].as_str().expect("a reason");
    assert!(reason.contains("the file was moved to "), "{reason}");
    assert!(reason.contains("then: runbook resume "), "{reason}");
    assert!(shown.contains("exit code 3: (secret token)"), "{shown}");
    for text in [
        &shown,
        &home.read("told.json"),
        &home.read("elsewhere.jsonl"),
    ] {
        assert!(!text.contains(SECRET), "{text}");
    }

    std::fs::remove_file(home.path().join("elsewhere.jsonl")).expect("removed");
    let slow = breaks("{ argv: [sleep, '600'], timeout: 1s }");
    let began = Instant::now();
    let output = home.execute(&slow, &program, &["--yes"]);
    let shown = said(&output);
    assert_eq!(output.status.code(), Some(1), "{shown}");
    assert!(shown.contains("longer than its timeout"), "{shown}");
    assert!(began.elapsed() < Duration::from_secs(300));
}

#[test]
fn a_full_disk_is_told() {
    let home = Home::new();
    // Of 512 bytes each: less than the first record takes. An ignored SIGXFSZ makes the write fail instead of
    // killing the process.
    let limited = [
        "sh",
        "-c",
        "trap '' XFSZ; ulimit -f 8; exec \"$0\" \"$@\"",
        env!("CARGO_BIN_EXE_runbook"),
    ];
    let text = format!("{}# {}\n", runbook(TELLS), "long ".repeat(2000));
    let output = home.execute(&text, &limited, &[]);
    let shown = said(&output);
    assert_eq!(output.status.code(), Some(1), "{shown}");
    let told: serde_json::Value = serde_json::from_str(&home.read("told.json")).expect(&shown);
    assert_eq!(told["status"], "broken");
    let reason = told["reason"].as_str().expect("a reason");
    assert!(
        reason.starts_with("cannot write to the journal "),
        "{reason}"
    );
    assert!(reason.contains("make room"), "{reason}");
}

fn parse(notify: &str) -> Runbook {
    Runbook::parse("look.yaml", runbook(notify).as_bytes()).expect("a runbook")
}

#[test]
fn a_reviewer_reads_who_is_told_and_what_it_is_given() {
    let page = runbook::review::page(&parse(
        "{ argv: [page, 'two words', '`<b>|@team'], on: [failed, parked], env: { TOKEN: '${{ params.token }}' }, inherit: [PAGER] }",
    ));
    let line = page.lines().find(|line| line.contains("is told when"));
    insta::assert_snapshot!(line.expect("a line"));
    let without = runbook("{ argv: [page] }").replace("notify: { argv: [page] }\n", "");
    let without = Runbook::parse("look.yaml", without.as_bytes()).expect("a runbook");
    assert!(!runbook::review::page(&without).contains("program is told"));
}

#[test]
fn a_reviewer_sees_each_edit_of_who_is_told() {
    let bare = runbook("{ argv: [page] }").replace("notify: { argv: [page] }\n", "");
    let none = Runbook::parse("look.yaml", bare.as_bytes()).expect("a runbook");
    let page = parse("{ argv: [page, a b] }");
    let cases = [
        (&none, &page),
        (&page, &none),
        (&page, &parse("{ argv: [page, a, b] }")),
        (
            &page,
            &parse("{ argv: [page, a b], env: { T: '${{ params.token }}' } }"),
        ),
        (&page, &parse("{ argv: [page, a b], inherit: [T] }")),
        (&page, &parse("{ argv: [page, a b], on: [parked] }")),
        (&parse("{ argv: [page, a b], on: [parked] }"), &page),
        (&page, &parse("{ argv: [page, a b], timeout: 1m }")),
        (&page, &parse("{ argv: [page, '`</td>|@team\\e[2J'] }")),
    ];
    let mut lines = String::new();
    for (old, new) in cases {
        let difference = runbook::review::compare(old, new);
        assert!(difference.matters());
        for change in &difference.changes {
            let (was, is) = (change.old.as_deref(), change.new.as_deref());
            lines += &format!(
                "{:?} {}: {}\n  - {}\n  + {}\n",
                change.kind,
                change.place.plain(),
                change.what.plain(),
                was.unwrap_or_default(),
                is.unwrap_or_default()
            );
        }
    }
    insta::assert_snapshot!(lines);
    let turned = parse("{ argv: [page, a b], on: [finished, failed, parked] }");
    assert_eq!(runbook::review::compare(&page, &turned).changes, []);
}

#[test]
fn a_hostile_text_of_it_stays_text_in_each_format() {
    let home = Home::new();
    let write = |name: &str, text: &str| {
        std::fs::write(home.path().join(name), text).expect("written");
    };
    write("old.yaml", &runbook("{ argv: [page] }"));
    write(
        "new.yaml",
        &runbook(
            "{ argv: [\"::error::\\e[2J`<script>|@team\\n\"], env: { TOKEN: '${{ params.token }}' } }",
        ),
    );
    for format in ["text", "markdown"] {
        let output = Command::new(env!("CARGO_BIN_EXE_runbook"))
            .args(["diff", "old.yaml", "new.yaml", "--output", format])
            .current_dir(home.path())
            .env_clear()
            .env("HOME", home.path())
            .env("NO_COLOR", "1")
            .env("RUNBOOK_PARAM_TOKEN", SECRET)
            .stdin(Stdio::null())
            .output()
            .expect("the binary runs");
        let shown = said(&output);
        assert!(shown.contains("another program is run"), "{shown}");
        assert!(
            shown.contains("${{ params.token }}") || shown.contains("params.token"),
            "{shown}"
        );
        assert!(
            !shown.contains('\u{1b}') && !shown.contains(SECRET),
            "{shown}"
        );
        assert!(!shown.lines().any(|line| line.starts_with("::")), "{shown}");
        if format == "markdown" {
            assert!(
                !shown.contains("<script>") && !shown.contains("@team"),
                "{shown}"
            );
        }
    }
}

#[test]
fn a_rehearsal_writes_it_down_and_runs_nothing() {
    let notify = "{ argv: [page, '${{ run.id }}'] }";
    let text = runbook(notify)
        .replace("  token: { type: string, secret: true }\n", "")
        .replace("params:\n", "");
    let book = Runbook::parse("look.yaml", text.as_bytes()).expect("a runbook");
    let rehearsal = "schema: rehearsal/v1\nscenarios:\n  nobody:\n    answers: { asked: nobody }\n    expect: { exits: [3], notified: [parked] }\n";
    let rehearsal = Rehearsal::parse("look.rehearsal.yaml", rehearsal.as_bytes());
    let rehearsal = rehearsal.unwrap_or_else(|problems| panic!("{problems:?}"));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime");
    let mut display = Nobody;
    let done = runtime.block_on(runbook::rehearsal::rehearse(
        runbook::rehearsal::Rehearsing {
            runbook: &book,
            rehearsal: &rehearsal,
            name: "nobody",
            seed: None,
            operator: None,
            display: &mut display,
            kill: None,
        },
    ));
    let done = done.expect("a rehearsal");
    assert_eq!(done.failures, [""; 0]);
    assert_eq!(done.told, ["parked: page rb-rehearsal-nobody"]);
}

struct Nobody;

impl runbook::run::Display for Nobody {
    fn record(&mut self, _: &runbook::record::Record) {}
    fn progress(&mut self, _: &runbook::run::Progress) {}
}

#[test]
fn mistakes_in_it_are_found_before_anything_is_run() {
    for (notify, expected) in [
        (
            "{ argv: [page, '${{ params.token }}'] }",
            "everybody on the machine sees",
        ),
        ("{ argv: [page, '${{ params.nothing }}'] }", "`nothing`"),
        ("{ argv: [page, '${{ steps.asked.note }}'] }", "`asked`"),
        (
            "{ argv: [page], env: { RUNBOOK_RUN: x } }",
            "would hide what the tool says",
        ),
        ("{ argv: [page], on: [done] }", "`done`"),
        ("{ argv: [] }", "argv"),
        (
            "{ argv: [page] }\nguards: { forbid: [command.run] }",
            "and this runs one",
        ),
    ] {
        let problems = Runbook::parse("look.yaml", runbook(notify).as_bytes());
        let problems = problems
            .err()
            .unwrap_or_else(|| panic!("{notify} is taken"));
        let text = runbook::diagnostic::render(&problems, false, 200);
        assert!(text.contains(expected), "{notify}\n{text}");
    }
}

//! A run that is watched and answered from elsewhere: `exec --listen`, `watch`, `approve` and `serve`, through the built
//! binary on a simulated service.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, ChildStdout};

use super::*;

/// A process whose lines of stderr are read until one holds a text.
struct Begun {
    child: Child,
    stderr: BufReader<std::process::ChildStderr>,
}

impl Begun {
    fn new(command: Command, until: &str) -> Self {
        Self::said(command, until).0
    }

    /// As [`Begun::new`], with what it said until then.
    fn said(mut command: Command, until: &str) -> (Self, String) {
        let spawned = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = spawned.expect("the binary runs");
        let mut stderr = BufReader::new(child.stderr.take().expect("its stderr"));
        let mut said = String::new();
        while !said.contains(until) {
            let read = stderr.read_line(&mut said).expect("text");
            assert!(read > 0, "it ended before it said `{until}`:\n{said}");
        }
        (Self { child, stderr }, said)
    }

    /// Exit code and stdout.
    fn ended(mut self) -> (Option<i32>, String) {
        let mut rest = String::new();
        self.stderr.read_to_string(&mut rest).expect("text");
        let output = self.child.wait_with_output().expect("it ends");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code(), text + &rest)
    }

    /// Asked to end by SIGTERM, as a service manager does.
    fn told_to_end(self) -> (Option<i32>, String) {
        let pid = self.child.id().to_string();
        let told = Command::new("kill").args(["-TERM", &pid]).status();
        told.expect("told");
        self.ended()
    }
}

/// The records that a watcher prints, as JSON.
struct Watcher {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
    seen: Vec<u64>,
}

impl Watcher {
    fn new(home: &Home, run: &str) -> Self {
        Self::through(home, run, &[])
    }

    fn through(home: &Home, run: &str, more: &[&str]) -> Self {
        let mut command = home.command(&["watch", run, "--output", "json"]);
        command.args(more);
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("the binary runs");
        let stdout = child.stdout.take().expect("its stdout");
        Self {
            child,
            lines: BufReader::new(stdout).lines(),
            seen: Vec::new(),
        }
    }

    /// Reads until a record of this kind.
    fn until(&mut self, kind: &str) -> Value {
        loop {
            let line = self.lines.next().expect("a record").expect("text");
            let record: Value = serde_json::from_str(&line).expect("JSON");
            self.seen.push(record["seq"].as_u64().expect("a number"));
            if record["body"]["kind"] == kind {
                return record;
            }
        }
    }

    fn ended(mut self) -> (Option<i32>, Vec<u64>) {
        for line in self.lines.by_ref() {
            let record: Value = serde_json::from_str(&line.expect("text")).expect("JSON");
            self.seen.push(record["seq"].as_u64().expect("a number"));
        }
        let status = self.child.wait().expect("it ends");
        (status.code(), self.seen)
    }
}

#[track_caller]
fn exits(shown: &str, code: i32) {
    assert!(shown.starts_with(&format!("exit {code}\n")), "{shown}");
}

#[test]
fn a_run_without_a_terminal_is_answered_from_elsewhere() {
    let (home, served) = (Home::new(), serve(world(6)));
    let listening = home.command(&exec(&served.address, &["--listen"]));
    let run = Begun::new(listening, "Others may watch and answer on unix:");
    let id = home.run_id();
    let mut watcher = Watcher::new(&home, &id);

    let asked = watcher.until("asked");
    assert_eq!(asked["body"]["place"]["step"], "move");
    let other = home.run(&["approve", &id, "tell", "--confirm", "told"]);
    exits(&other, 4);
    assert!(
        other.contains("does not ask about `tell` now, but about `move`"),
        "{other}"
    );
    exits(&home.run(&["approve", &id, "move"]), 3);
    assert_eq!(served.simulator.write_count(), 0, "nobody agreed yet");
    let yes = home.run(&["approve", &id, "move", "--yes"]);
    exits(&yes, 0);
    assert!(
        yes.contains("write") && yes.contains("Answered: yes, by "),
        "{yes}"
    );
    let answered = watcher.until("answered");
    assert_eq!(answered["body"]["means"], "socket");
    let from = answered["body"]["from"].as_str().expect("from where");
    assert!(from.starts_with("uid "), "{from}");

    watcher.until("asked");
    let wrong = home.run(&["approve", &id, "tell", "--confirm", "tld"]);
    exits(&wrong, 2);
    assert!(wrong.contains("the word `told` must be typed"), "{wrong}");
    let seen = home.run(&["runs"]);
    assert!(seen.contains("running"), "{seen}");
    exits(
        &home.run(&[
            "approve",
            &id,
            "tell",
            "--confirm",
            "told",
            "--note",
            "by phone",
        ]),
        0,
    );

    let (code, numbers) = watcher.ended();
    assert_eq!(code, Some(0), "as the run");
    let wanted: Vec<u64> = (1..).take(numbers.len()).collect();
    assert_eq!(numbers, wanted, "each record once, in order");
    let (code, text) = run.ended();
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(served.simulator.write_count(), 6);
    let late = home.run(&["approve", &id, "tell", "--confirm", "told"]);
    exits(&late, 4);
    assert!(
        late.contains("asks nothing now") && late.contains("the last answer: yes"),
        "{late}"
    );
    let again = home.run(&["watch", &id]);
    exits(&again, 0);
    assert!(again.contains("tell: yes, by "), "{again}");
    let sockets = home.path().join("state/runbook/sockets");
    let left = std::fs::read_dir(sockets).expect("a folder").count();
    assert_eq!(left, 0, "no socket is left");
}

#[test]
fn a_parked_run_is_answered_in_its_state_file_also_through_serve() {
    let (home, served) = (Home::new(), serve(world(3)));
    exits(&home.run(&exec(&served.address, &[])), 3);
    let id = home.run_id();
    let parked = home.run(&["watch", &id]);
    exits(&parked, 3);
    let noted = home.run(&["approve", &id, "move", "--yes"]);
    exits(&noted, 0);
    assert!(
        noted.contains("it counts when the run is resumed"),
        "{noted}"
    );
    assert_eq!(served.simulator.write_count(), 0);
    exits(&home.run(&["resume", &id]), 3);
    assert_eq!(served.simulator.write_count(), 3, "the answer counted");

    let server = Begun::new(
        home.command(&["serve"]),
        "can be watched and answered there",
    );
    let socket = home.path().join("state/runbook/sockets/serve.sock");
    let at = format!("unix:{}", socket.display());
    let no = home.run(&["approve", &id, "tell", "--no", "--connect", &at]);
    exits(&no, 0);
    assert!(no.contains("Answered: no, by "), "{no}");
    let elsewhere = home.run(&["watch", "rb-none", "--connect", &at]);
    exits(&elsewhere, 2);
    assert!(
        elsewhere.contains("there is no run `rb-none`"),
        "{elsewhere}"
    );
    let (code, text) = server.told_to_end();
    assert_eq!(code, Some(0), "{text}");
    assert!(text.starts_with(&format!("{at}\n")), "{text}");
    assert!(!socket.exists());
}

#[test]
fn where_it_cannot_listen_it_says_so_before_anything_is_done() {
    let home = Home::new();
    let tcp = home.run(&exec("127.0.0.1:1", &["--listen=127.0.0.1:0"]));
    exits(&tcp, 2);
    assert!(tcp.contains("with mutual TLS and not otherwise"), "{tcp}");
    let long = format!("--listen=unix:{}/a.sock", "x".repeat(120));
    let long = home.run(&exec("127.0.0.1:1", &[&long]));
    exits(&long, 2);
    assert!(long.contains("too long"), "{long}");
    let nowhere = home.run(&exec("127.0.0.1:1", &["--listen=here"]));
    exits(&nowhere, 2);
    assert!(
        nowhere.contains("expected unix:PATH or HOST:PORT"),
        "{nowhere}"
    );
    assert!(
        !home.path().join("state/runbook").exists(),
        "nothing of it left a journal"
    );
}

/// Two people who did not start the run, each with a certificate of their own.
#[test]
fn two_people_agree_over_mutual_tls_and_whoever_started_it_is_none_of_them() {
    let (home, served) = (Home::new(), serve(world(2)));
    let two = RUNBOOK.replace(
        "with: { decision: pinned }",
        "with: { decision: pinned }\n    confirm: { by: 2, not: starter }",
    );
    std::fs::write(home.path().join("move.yaml"), two).expect("written");
    let authority = crate::api::Authority::new();
    authority.write(home.path(), &["server", "bob", "carol"]);
    let listening = home.command(&exec(
        &served.address,
        &[
            "--listen=127.0.0.1:0",
            "--listen-tls-cert=server.crt",
            "--listen-tls-key=server.key",
            "--listen-tls-client-ca=ca.crt",
            "--confirm=tell=told",
        ],
    ));
    let (run, said) = Begun::said(listening, "Others may watch and answer on 127.0.0.1:");
    let port = said.trim_end().rsplit(':').next().expect("a port");
    let at = format!("--connect=localhost:{port}");
    let id = home.run_id();
    let mut watcher = Watcher::new(&home, &id);
    watcher.until("asked");

    let by = |name: &str, more: &[&str]| {
        let certificate = format!("--connect-tls-cert={name}.crt");
        let key = format!("--connect-tls-key={name}.key");
        let mut arguments = vec!["approve", &id, "move", &at, &certificate, &key];
        arguments.extend(["--connect-tls-ca=ca.crt"]);
        arguments.extend(more);
        home.run(&arguments)
    };
    let elsewhere = home.run(&["approve", &id, "move", "--yes"]);
    exits(&elsewhere, 4);
    assert!(elsewhere.contains("answer there"), "{elsewhere}");
    let bob = by("bob", &["--yes"]);
    exits(&bob, 0);
    assert!(
        bob.contains("Noted: 1 of 2 people agreed: bob; more must"),
        "{bob}"
    );
    let again = by("bob", &["--yes"]);
    exits(&again, 0);
    assert!(again.contains("1 of 2 people agreed: bob"), "{again}");
    assert_eq!(served.simulator.write_count(), 0, "one is not enough");
    let approved = watcher.until("approved");
    assert_eq!(approved["body"]["by"]["name"], "bob");
    assert_eq!(approved["body"]["by"]["through"], "tls");
    let carol = by("carol", &["--yes"]);
    exits(&carol, 0);
    assert!(carol.contains("Answered: yes, by carol"), "{carol}");

    assert_eq!(watcher.ended().0, Some(0));
    let (code, text) = run.ended();
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(served.simulator.write_count(), 2);

    // Those of the first world were all moved.
    let other = serve(world(2));
    let listening = home.command(&exec(&other.address, &["--listen"]));
    let mut run = Begun::new(listening, "Others may watch and answer on unix:");
    let id = home.run_id();
    Watcher::new(&home, &id).until("asked");
    let starter = home.run(&["approve", &id, "move", "--yes"]);
    exits(&starter, 4);
    assert!(starter.contains("somebody else must agree"), "{starter}");
    run.child.kill().expect("killed");
    run.child.wait().expect("gone");
}

/// Through `serve` a run of another process is what its own terminal shows, until that process is gone.
#[test]
fn a_run_that_is_killed_is_watched_to_its_last_record_without_a_gap() {
    let (home, served) = (Home::new(), serve(world(2)));
    let server = Begun::new(
        home.command(&["serve"]),
        "can be watched and answered there",
    );
    let socket = home.path().join("state/runbook/sockets/serve.sock");
    let at = format!("--connect=unix:{}", socket.display());
    let listening = home.command(&exec(&served.address, &["--listen"]));
    let mut run = Begun::new(listening, "Others may watch and answer on unix:");
    let id = home.run_id();
    let (mut here, mut there) = (
        Watcher::new(&home, &id),
        Watcher::through(&home, &id, &[&at]),
    );
    here.until("asked");
    there.until("asked");
    // Said once there is progress after the question: the process is asked for it, here and through the server.
    let hint = "to answer: runbook approve";
    let shown_here = Begun::new(home.command(&["watch", &id]), hint);
    let shown_there = Begun::new(home.command(&["watch", &id, &at]), hint);
    run.child.kill().expect("killed");
    run.child.wait().expect("gone");

    let written = std::fs::read_to_string(home.journal()).expect("a journal");
    for watcher in [here, there] {
        let (code, numbers) = watcher.ended();
        assert_eq!(code, Some(1), "as a run that can be resumed");
        let wanted: Vec<u64> = (1..).take(numbers.len()).collect();
        assert_eq!(numbers, wanted, "each record once, in order");
        assert!(written.contains(&format!("\"seq\":{}", numbers.len())));
        assert!(!written.contains(&format!("\"seq\":{}", numbers.len() + 1)));
    }
    for shown in [shown_here, shown_there] {
        let (code, text) = shown.ended();
        assert_eq!(code, Some(1), "{text}");
        assert!(!text.contains("error"), "{text}");
    }
    let over = home.run(&["stop", &id]);
    exits(&over, 4);
    assert!(
        over.contains("its process ended without a word: there is nothing to stop"),
        "{over}"
    );
    server.told_to_end();
}

#[test]
fn a_run_is_stopped_from_elsewhere_and_goes_on_when_it_is_resumed() {
    let (home, served) = (Home::new(), serve(world(2)));
    let listening = home.command(&exec(&served.address, &["--listen"]));
    let run = Begun::new(listening, "Others may watch and answer on unix:");
    let id = home.run_id();
    Watcher::new(&home, &id).until("asked");
    let stopped = home.run(&["stop", &id]);
    assert_snapshot!("stopped", stopped);
    let (code, text) = run.ended();
    assert_eq!(code, Some(130), "{text}");
    assert_eq!(served.simulator.write_count(), 0);
    let shown = home.run(&["show", &id]);
    assert!(shown.contains("through the socket"), "{shown}");
    assert_snapshot!("stopped_already", home.run(&["stop", &id]));
    exits(
        &home.run(&["resume", &id, "--yes", "--confirm=tell=told"]),
        0,
    );
    assert_eq!(served.simulator.write_count(), 2);
    assert_snapshot!(
        "nothing_to_stop",
        home.run(&["stop", &id, "--output", "json"])
    );

    // Through a server, for a program, without waiting for calls that never end.
    let other = serve(world(2));
    let listening = home.command(&exec(&other.address, &["--listen"]));
    let run = Begun::new(listening, "Others may watch and answer on unix:");
    let id = home.run_id();
    Watcher::new(&home, &id).until("asked");
    let server = Begun::new(
        home.command(&["serve"]),
        "can be watched and answered there",
    );
    let socket = home.path().join("state/runbook/sockets/serve.sock");
    let at = format!("--connect=unix:{}", socket.display());
    let wrong = home.run(&["stop", &id, &at, "--timeout", "soon"]);
    exits(&wrong, 2);
    let stopped = home.run(&["stop", &id, &at, "--output", "json"]);
    assert_snapshot!("stopped_through_a_server", stopped);
    assert_eq!(run.ended().0, Some(130));
    server.told_to_end();
}

/// Nobody can be told where nobody listens: it says who carries the run out, and how else it is stopped.
#[test]
fn a_run_that_does_not_listen_is_stopped_where_it_is() {
    let home = Home::new();
    let path = home
        .path()
        .join("state/runbook/rb-20260101-000000-aaaa.jsonl");
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    let mut journal = runbook::journal::Journal::create(&path).expect("a journal");
    let opened = crate::api::opened("rb-20260101-000000-aaaa");
    journal.append(&[opened]).expect("written");
    let note = serde_json::json!({
        "host": "ops-7", "pid": 4711, "user": "alice", "since": "2026-01-01T00:00:00Z",
    });
    std::fs::write(path.with_extension("jsonl.lock"), note.to_string()).expect("written");
    assert_snapshot!(
        "stop_one_that_does_not_listen",
        home.run(&["stop", "rb-2026"])
    );
    std::fs::write(
        path.with_extension("jsonl.listen"),
        "ops-7.example.com:7300\n4711\n",
    )
    .expect("written");
    assert_snapshot!(
        "stop_one_that_listens_elsewhere",
        home.run(&["stop", "rb-2026"])
    );
}

//! Crashes with real processes: the built binary is killed, refused, starved and interrupted, and
//! resumed; a `runbook simulator` in a process of its own survives, and says what really happened.
//!
//! Each Workflow is recovered exactly once, and the journal agrees with the service.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use runbook::simulator::Facts;
use serde_json::Value;
use tempfile::TempDir;

mod formats;

/// The longest that a process may take; its tests end in a fraction of it.
const PATIENCE: Duration = Duration::from_secs(150);
/// A second is ten minutes for the simulated service.
const SPEED: &str = "600";
const SIGINT: i32 = 2;
const SIGKILL: i32 = 9;
const SIGTERM: i32 = 15;

/// A child that does not survive its test.
struct Guarded(Child);

impl Drop for Guarded {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Guarded {
    fn signal(&self, signal: i32) {
        let status = Command::new("kill")
            .args([format!("-{signal}"), self.0.id().to_string()])
            .status();
        assert!(status.expect("kill runs").success(), "the process is there");
    }

    fn wait(&mut self, what: &str) -> ExitStatus {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.0.try_wait().expect("a child can be waited for") {
                return status;
            }
            assert!(Instant::now() < end, "{what} does not end");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// How a command ended, and what it said.
struct Ended {
    status: ExitStatus,
    out: String,
    err: String,
}

impl Ended {
    #[track_caller]
    fn code(self, wanted: i32) -> Self {
        assert_eq!(
            self.status.code(),
            Some(wanted),
            "{}\n{}",
            self.out,
            self.err
        );
        self
    }

    #[track_caller]
    fn killed(self) -> Self {
        let signal = self.status.signal();
        assert_eq!(signal, Some(SIGKILL), "{:?}\n{}", self.status, self.err);
        self
    }
}

/// A simulated service in a process of its own, the flagship in a hurry, and a place for its journal.
struct Stage {
    folder: TempDir,
    address: String,
    facts: String,
    _simulator: Guarded,
}

impl Stage {
    fn new() -> Self {
        let folder = TempDir::new().expect("a folder");
        let runbooks = Path::new(env!("CARGO_MANIFEST_DIR")).join("runbooks");
        let read = |name: &str| fs::read_to_string(runbooks.join(name)).expect("a shipped file");
        let runbook = read("recover-pinned-workflows.yaml");
        assert!(runbook.contains("every: 30s"));
        let place = |name: &str, text: &str| {
            fs::write(folder.path().join(name), text).expect("the folder can be written");
        };
        place("recover.yaml", &runbook.replace("every: 30s", "every: 1s"));
        place(
            "recover.rehearsal.yaml",
            &read("recover-pinned-workflows.rehearsal.yaml"),
        );
        place("params.yaml", PARAMETERS);
        let mut simulator = Self::command(folder.path())
            .args(["simulator", "recover.yaml", "--scenario", "all_goes_well"])
            .args(["--listen", "127.0.0.1:0", "--facts", "127.0.0.1:0"])
            .args(["--speed", SPEED])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the simulator starts");
        let mut lines = BufReader::new(simulator.stdout.take().expect("its output")).lines();
        let simulator = Guarded(simulator);
        let mut line = || lines.next().expect("an address").expect("a line of text");
        Self {
            address: line(),
            facts: line(),
            folder,
            _simulator: simulator,
        }
    }

    /// Hermetic: nothing of whoever runs the tests.
    fn command(folder: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_runbook"));
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", folder)
            .current_dir(folder)
            .stdin(Stdio::null());
        command
    }

    fn exec(&self) -> Command {
        let mut command = Self::command(self.folder.path());
        command.args(["exec", "recover.yaml", "--params-file", "params.yaml"]);
        command.args(["--address", &self.address]);
        Self::agreeing(command)
    }

    fn resume(&self) -> Command {
        let mut command = Self::command(self.folder.path());
        command.args(["resume", "journal.jsonl"]);
        Self::agreeing(command)
    }

    fn agreeing(mut command: Command) -> Command {
        command.args(["--yes", "--confirm", "clean_up=bad"]);
        if command.get_args().next().is_some_and(|verb| verb == "exec") {
            command.args(["--state", "journal.jsonl"]);
        }
        command
    }

    fn spawn(&self, mut command: Command) -> (Guarded, PathBuf, PathBuf) {
        let unique = format!("{:?}", Instant::now()).replace(|c: char| !c.is_alphanumeric(), "");
        let file = |name: &str| self.folder.path().join(format!("{unique}.{name}"));
        let (out, err) = (file("out"), file("err"));
        let create = |path: &Path| Stdio::from(fs::File::create(path).expect("a file"));
        let child = command.stdout(create(&out)).stderr(create(&err)).spawn();
        (Guarded(child.expect("runbook starts")), out, err)
    }

    fn run(&self, command: Command) -> Ended {
        let what = format!("{command:?}");
        let (mut child, out, err) = self.spawn(command);
        let status = child.wait(&what);
        let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
        Ended {
            status,
            out: read(&out),
            err: read(&err),
        }
    }

    fn journal(&self) -> PathBuf {
        self.folder.path().join("journal.jsonl")
    }

    /// Every record on the disk; a torn last line is none.
    fn records(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.journal()).unwrap_or_default();
        text.lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .flat_map(|line| line["records"].as_array().cloned().unwrap_or_default())
            .collect()
    }

    fn wait_for_intents(&self, least: usize) {
        let end = Instant::now() + PATIENCE;
        while count(&self.records(), "intent") < least {
            assert!(Instant::now() < end, "the run does not get so far");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// What the simulated service knows, and the writes that reached it.
    fn facts(&self) -> (Facts, Vec<Value>) {
        let mut stream = TcpStream::connect(&self.facts).expect("the simulator lives");
        stream
            .write_all(b"GET / HTTP/1.1\r\n\r\n")
            .expect("it reads");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("it answers");
        let (_, body) = text.split_once("\r\n\r\n").expect("an answer");
        let mut all: Value = serde_json::from_str(body).expect("JSON");
        let writes = all["writes"].as_array().cloned().unwrap_or_default();
        let facts = serde_json::from_value(all["facts"].take()).expect("facts");
        (facts, writes)
    }

    /// Writes to Workflows that reached the service.
    fn calls(&self) -> usize {
        let (_, writes) = self.facts();
        let text = |write: &Value, field: &str| write[field].as_str().unwrap_or("").to_owned();
        let of_others = |write: &&Value| {
            text(write, "rpc").contains("Deployment")
                || text(write, "subject").starts_with("runbook-lock:")
        };
        writes.iter().filter(|write| !of_others(write)).count()
    }

    /// The end: everything recovered exactly once, and the journal says the same.
    fn check(&self) {
        let (facts, _) = self.facts();
        let mut seen = BTreeMap::new();
        for (id, workflow) in &facts.workflows {
            let (group, _) = id.rsplit_once('-').expect("a number");
            let done = workflow.done;
            let tally = (done.resets, done.restarts, done.moves, workflow.runs);
            *seen.entry((group, tally)).or_insert(0) += 1;
        }
        let wanted = BTreeMap::from(EXPECTED);
        assert_eq!(
            seen, wanted,
            "resets, restarts, moves and runs of the groups"
        );
        assert!(!facts.versions.contains_key("orders:bad"), "it is deleted");
        assert_eq!(facts.deployments["orders"].current.as_deref(), Some("good"));
        let lock = &facts.locks["recover orders:bad"];
        assert_eq!(
            (&lock.held_by, lock.taken),
            (&None, 1),
            "one lease, given back"
        );
        self.check_journal(&facts);
    }

    fn check_journal(&self, facts: &Facts) {
        let mut show = Self::command(self.folder.path());
        show.args(["show", "journal.jsonl", "--workflows", "--output", "json"]);
        let shown = self.run(show).code(0);
        let rows: Vec<Value> = serde_json::from_str(&shown.out).expect("JSON");
        let mut done: BTreeMap<&str, u32> = BTreeMap::new();
        for row in &rows {
            let id = row["workflow_id"].as_str().expect("an id");
            match row["state"].as_str().expect("a state") {
                "done" => *done.entry(id).or_default() += 1,
                "released" | "skipped" => continue,
                other => panic!("{id} is {other}: {row}"),
            }
            if row["treatment"] != "moved" {
                assert_eq!(row["new_run_id"], facts.workflows[id].run_id, "{row}");
            }
        }
        for (id, workflow) in &facts.workflows {
            let written = done.get(id.as_str()).copied().unwrap_or(0);
            assert_eq!(written, workflow.done.recoveries(), "the journal on {id}");
        }
    }
}

fn count(records: &[Value], kind: &str) -> usize {
    records
        .iter()
        .filter(|record| record["body"]["kind"] == kind)
        .count()
}

const PARAMETERS: &str = "
bad: orders:bad
previous: orders:good
safe: orders:safe
classes: { Order: restartable, Shipment: move_only, Loyalty: corrupted, Report: replaceable, Invoice: restartable }
wrong: [Report]
incident: OPS-42
";

/// A group of Workflows, and resets, restarts, moves and runs of each.
type Recovered = (&'static str, (u32, u32, u32, usize));

/// What must become of how many.
const EXPECTED: [(Recovered, u32); 10] = [
    (("order-stuck", (1, 0, 0, 2)), 40),
    (("order-idle", (0, 0, 1, 1)), 20),
    (("shipment", (0, 0, 1, 1)), 30),
    (("loyalty", (1, 0, 0, 2)), 15),
    (("report-open", (0, 1, 0, 2)), 10),
    (("report-wrong", (0, 1, 0, 2)), 6),
    (("invoice-failed", (1, 0, 0, 2)), 8),
    (("invoice-timed-out", (1, 0, 0, 2)), 4),
    (("invoice-replaced", (0, 0, 1, 2)), 2),
    (("ticker", (0, 0, 0, 1)), 3),
];

/// Kills `exec` at the first point and each `resume` at the next, then resumes to the end.
fn killed_at(points: &[&str]) {
    let stage = Stage::new();
    let mut command = stage.exec();
    for point in points {
        command.env("RUNBOOK_TEST_KILL", point);
        stage.run(command).killed();
        command = stage.resume();
    }
    stage.run(command).code(0);
    stage.check();
}

/// Parks twice on request; deletes the Version in an attachment of its own, and is killed with the
/// reply in hand.
fn killed_at_the_deletion() {
    let stage = Stage::new();
    let mut exec = stage.exec();
    exec.args(["--limit", "10"]);
    stage.run(exec).code(3);
    assert_eq!(stage.calls(), 10);
    let mut resume = stage.resume();
    resume.args(["--until", "compensate"]);
    stage.run(resume).code(3);
    let mut resume = stage.resume();
    resume.env("RUNBOOK_TEST_KILL", "after_effect:1");
    stage.run(resume).killed();
    stage.run(stage.resume()).code(0);
    stage.check();
}

/// The last line of the journal is half there, and nobody reads stdout.
fn torn_and_unheard() {
    let stage = Stage::new();
    let mut exec = stage.exec();
    exec.env("RUNBOOK_TEST_KILL", "before_intent:50");
    stage.run(exec).killed();
    let mut journal = fs::OpenOptions::new()
        .append(true)
        .open(stage.journal())
        .expect("the journal");
    journal
        .write_all(b"{\"crc\":\"01234567\",\"records\":[{\"seq\":")
        .expect("the journal can be written");
    let mut resume = stage.resume();
    resume.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = Guarded(resume.spawn().expect("runbook starts"));
    drop(child.0.stdout.take());
    let mut err = String::new();
    let mut stderr = child.0.stderr.take().expect("its messages");
    stderr.read_to_string(&mut err).expect("text");
    let status = child.wait("resume with stdout closed");
    assert_eq!(status.code(), Some(0), "{err}");
    assert!(err.contains("was not whole"), "{err}");
    stage.check();
}

/// The disk is full in the middle: nothing reaches the service that was not written down first.
fn disk_full() {
    let stage = Stage::new();
    let exec = stage.exec();
    let mut limited = Command::new("sh");
    // Of 512 bytes each. An ignored SIGXFSZ makes the write fail instead of killing the process.
    limited
        .args(["-c", "trap '' XFSZ; ulimit -f \"$0\"; exec \"$@\"", "160"])
        .arg(exec.get_program())
        .args(exec.get_args());
    limited.env_clear().current_dir(stage.folder.path());
    limited.envs(
        exec.get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    let ended = stage.run(limited).code(1);
    assert!(ended.err.contains("journal.jsonl"), "{}", ended.err);
    let records = stage.records();
    let (written, sent) = (count(&records, "intent"), stage.calls());
    assert!(
        sent > 0 && sent <= written,
        "{sent} calls, {written} intents"
    );
    stage.run(stage.resume()).code(0);
    stage.check();
}

/// SIGTERM and Ctrl-C end a run that goes on later; a second `resume` meanwhile is refused.
fn interrupted() {
    let stage = Stage::new();
    let stop = |command: Command, intents: usize, signal: i32| {
        let (mut child, _, err) = stage.spawn(command);
        stage.wait_for_intents(intents);
        if signal == SIGINT {
            let refused = stage.run(stage.resume()).code(4);
            let holder = format!("process {}", child.0.id());
            assert!(refused.err.contains(&holder), "{}", refused.err);
        }
        child.signal(signal);
        let status = child.wait("an interrupted run");
        let said = fs::read_to_string(err).unwrap_or_default();
        assert_eq!(status.code(), Some(130), "{said}");
    };
    stop(stage.exec(), 20, SIGTERM);
    stop(stage.resume(), 60, SIGINT);
    let records = stage.records();
    assert_eq!(count(&records, "interrupted"), 2, "both are on record");
    let open = count(&records, "intent") - decided(&records);
    assert_eq!(open, 0, "what was in flight was waited for");
    stage.run(stage.resume()).code(0);
    stage.check();
}

/// Intents that have an outcome or were settled.
fn decided(records: &[Value]) -> usize {
    let mut open = std::collections::BTreeSet::new();
    let mut decided = 0;
    for record in records {
        let body = &record["body"];
        match body["kind"].as_str() {
            Some("intent") => drop(open.insert(body["ordinal"].as_u64())),
            Some("outcome" | "settled") if open.remove(&body["ordinal"].as_u64()) => decided += 1,
            _ => {}
        }
    }
    decided
}

/// A test with its name.
type Case = (&'static str, Box<dyn FnOnce() + Send>);

/// Runs these at the same time: each waits most of the time.
fn together(cases: Vec<Case>) {
    let running: Vec<_> = cases
        .into_iter()
        .map(|(name, case)| (name, thread::spawn(case)))
        .collect();
    let failed: Vec<&str> = running
        .into_iter()
        .filter_map(|(name, case)| case.join().is_err().then_some(name))
        .collect();
    assert!(failed.is_empty(), "{failed:?} failed; see above");
}

#[test]
fn a_killed_run_is_resumed_and_recovers_everything_once() {
    together(vec![
        ("first intent", Box::new(|| killed_at(&["after_intent:2"]))),
        (
            "a reply in hand",
            Box::new(|| killed_at(&["after_effect:20"])),
        ),
        (
            "twice",
            Box::new(|| killed_at(&["after_effect:60", "after_intent:3"])),
        ),
        ("between", Box::new(|| killed_at(&["record:90"]))),
        ("closed ones", Box::new(|| killed_at(&["after_effect:125"]))),
        ("rollout", Box::new(|| killed_at(&["after_effect:1"]))),
        ("deletion", Box::new(killed_at_the_deletion)),
    ]);
}

#[test]
fn a_run_that_is_starved_or_interrupted_goes_on() {
    together(vec![
        ("torn and unheard", Box::new(torn_and_unheard)),
        ("disk full", Box::new(disk_full)),
        ("interrupted", Box::new(interrupted)),
    ]);
}

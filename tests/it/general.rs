//! `command.run`, `manual.task` with a form and `wait`, with the built binary and real programs: what
//! runs, what does not run twice, what is left behind, and that no secret is.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// The longest that anything here may take.
const PATIENCE: Duration = Duration::from_secs(60);
const WORLD: &str = "schema: rehearsal/v1\nscenarios:\n  only:\n    title: A namespace\n";

/// A process that does not survive its test.
struct Guarded(Child);

impl Drop for Guarded {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Stage {
    folder: TempDir,
    address: String,
    _simulator: Guarded,
}

impl Stage {
    fn new(steps: &str) -> Self {
        Self::with("", steps)
    }

    fn with(head: &str, steps: &str) -> Self {
        let folder = TempDir::new().expect("a folder");
        let place = |name: &str, text: &str| {
            fs::write(folder.path().join(name), text).expect("the folder can be written");
        };
        let here = folder.path().display().to_string();
        let text = format!("schema: runbook/v1\nname: general\n{head}\nsteps:\n{steps}");
        place("general.yaml", &text.replace("HERE", &here));
        place(
            "world.yaml",
            "schema: runbook/v1\nname: w\nsteps:\n  - { id: a, action: wait, with: { for: 1s } }\n",
        );
        place("world.rehearsal.yaml", WORLD);
        let mut simulator = Self::command(folder.path())
            .args(["simulator", "world.yaml", "--scenario", "only"])
            .args(["--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the simulator starts");
        let mut lines = BufReader::new(simulator.stdout.take().expect("its output")).lines();
        let simulator = Guarded(simulator);
        Self {
            address: lines.next().expect("an address").expect("text"),
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

    fn exec(&self, flags: &[&str]) -> Command {
        let mut command = Self::command(self.folder.path());
        command.args(["exec", "general.yaml", "--state", "journal.jsonl"]);
        command.args(["--address", &self.address]).args(flags);
        command
    }

    fn resume(&self, flags: &[&str]) -> Command {
        let mut command = Self::command(self.folder.path());
        command.args(["resume", "journal.jsonl"]).args(flags);
        command
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// The end of a step, as the journal has it.
    fn ended(&self, step: &str) -> Value {
        let text = self.read("journal.jsonl");
        let records = text
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .flat_map(|line| line["records"].as_array().cloned().unwrap_or_default());
        let mut ends = records.rev().filter(|record| {
            record["body"]["kind"] == "step_ended" && record["body"]["place"]["step"] == step
        });
        ends.next()
            .map(|end| end["body"].clone())
            .unwrap_or_default()
    }

    fn wait_for(&self, name: &str) {
        let end = Instant::now() + PATIENCE;
        while !self.path(name).exists() {
            assert!(Instant::now() < end, "{name} does not come");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

#[track_caller]
fn run(mut command: Command, code: i32) -> String {
    let output: Output = command.output().expect("runbook runs");
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(output.status.code(), Some(code), "{said}");
    said
}

/// Whether a process lives (a zombie does not).
fn lives(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    let state = stat.rsplit(')').next().unwrap_or_default().trim_start();
    !stat.is_empty() && !state.starts_with('Z')
}

#[track_caller]
fn dies(pid: &str) {
    let end = Instant::now() + PATIENCE;
    while lives(pid) {
        assert!(Instant::now() < end, "process {pid} lives on");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn output_is_read_and_used_by_later_steps() {
    let stage = Stage::new(
        "  - id: facts
    action: command.run
    with:
      argv: [printf, '{\"hosts\": [\"a\", \"b\"], \"count\": 2}']
      effect: read
      output: json
      schema: { type: object, required: [count], properties: { hosts: { type: array }, count: { type: integer } } }
  - id: each
    action: command.run
    with: { argv: [printf, '%s\\n', \"${{ steps.facts.json.hosts | join(' ') }}\", 7], effect: read, output: lines }
  - id: write
    action: command.run
    with:
      argv: [sh, -c, 'cat > \"$0\"; pwd; echo \"$GIVEN\" \"${UNGIVEN-none}\"', out]
      effect: idempotent
      directory: HERE
      stdin: \"${{ steps.each.lines | join(',') }}\"
      env: { GIVEN: 5 }
  - id: same
    action: assert
    with: { that: \"${{ steps.write.stdout == 'HERE\\n5 none\\n' and steps.facts.json.count == 2 }}\" }
",
    );
    let mut exec = stage.exec(&["--yes"]);
    exec.env("UNGIVEN", "a leak");
    run(exec, 0);
    assert_eq!(stage.read("out"), "a b,7");
    assert_eq!(stage.ended("write")["output"]["exit_code"], 0);
}

#[test]
fn what_goes_wrong_is_said() {
    let cases: &[(&str, &str)] = &[
        (
            "argv: [no-such-program]",
            "there is no program `no-such-program`",
        ),
        ("argv: [/etc/passwd]", "is not executable"),
        (
            "argv: [pwd], directory: /no/such/place",
            "there is no directory `/no/such/place`",
        ),
        (
            "argv: [sh, -c, 'echo why >&2; exit 3']",
            "ended with exit code 3: why",
        ),
        ("argv: [sh, -c, 'kill -9 $$']", "was ended by signal 9"),
        (
            "argv: [sleep, 100], timeout: 200ms",
            "took longer than its timeout",
        ),
        ("argv: [echo, '{'], output: json", "is no JSON"),
        (
            "argv: [echo, '{\"a\": 1}'], output: json, schema: { properties: { a: { type: string } } }",
            "does not fit its `schema`: /a",
        ),
        (
            "argv: [head, -c, 2000, /dev/zero], max_output: 1000",
            "more than 1000 bytes",
        ),
        ("argv: [\"yes\"]", "more than 1048576 bytes"),
    ];
    let steps: String = cases
        .iter()
        .enumerate()
        .map(|(index, (with, _))| {
            format!("  - {{ id: s{index}, on_failure: continue, action: command.run, with: {{ {with}, effect: read }} }}\n")
        })
        .collect();
    let stage = Stage::new(&steps);
    run(stage.exec(&[]), 1);
    for (index, (with, wanted)) in cases.iter().enumerate() {
        let end = stage.ended(&format!("s{index}"));
        let message = end["message"].as_str().unwrap_or_default();
        assert_eq!(end["status"], "failed", "{with}: {end}");
        assert!(message.contains(wanted), "{with}: {message}");
    }
    assert_eq!(stage.ended("s3")["output"]["exit_code"], 3);
    assert_eq!(stage.ended("s3")["output"]["stderr"], "why\n");
}

#[test]
fn a_dry_run_runs_only_what_reads_and_without_a_terminal_a_write_is_asked_about() {
    let stage = Stage::new(
        "  - { id: look, action: command.run, with: { argv: [touch, looked], effect: read } }
  - { id: write, action: command.run, with: { argv: [touch, 'writ ten'], effect: idempotent } }
",
    );
    let said = run(stage.exec(&["--dry-run"]), 0);
    assert!(
        said.contains("would run (writes, idempotent): touch 'writ ten'"),
        "{said}"
    );
    assert!(stage.path("looked").exists());
    fs::remove_file(stage.path("journal.jsonl")).expect("the dry run's journal");
    let said = run(stage.exec(&[]), 3);
    assert!(!stage.path("writ ten").exists(), "{said}");
    run(stage.resume(&["--yes"]), 0);
    assert!(stage.path("writ ten").exists());
}

#[test]
fn what_is_not_idempotent_runs_once_however_often_it_is_resumed() {
    let stage = Stage::new(
        "  - id: pay
    action: command.run
    with: { argv: [sh, -c, 'echo paid >> times; test -e ok'], effect: non_idempotent }
  - { id: after, action: command.run, with: { argv: [touch, after], effect: idempotent } }
",
    );
    run(stage.exec(&["--yes"]), 1);
    let said = run(stage.resume(&["--yes"]), 1);
    assert!(said.contains("is not run again by itself"), "{said}");
    assert_eq!(stage.read("times"), "paid\n");
    run(stage.resume(&["--yes", "--retry-failed"]), 1);
    assert_eq!(stage.read("times"), "paid\npaid\n");
    run(stage.resume(&["--yes", "--accept", "pay"]), 0);
    assert_eq!(stage.read("times"), "paid\npaid\n");
    assert!(stage.path("after").exists());
}

#[test]
fn after_a_crash_only_what_is_idempotent_runs_again() {
    for (effect, times) in [("idempotent", "ran\nran\n"), ("non_idempotent", "ran\n")] {
        let stage = Stage::new(&format!(
            "  - {{ id: it, action: command.run, with: {{ argv: [sh, -c, 'echo ran >> times'], effect: {effect} }} }}\n"
        ));
        let mut exec = stage.exec(&["--yes"]);
        exec.env("RUNBOOK_TEST_KILL", "after_effect:1");
        assert_eq!(exec.output().expect("it runs").status.code(), None);
        let code = i32::from(effect == "non_idempotent");
        let said = run(stage.resume(&["--yes"]), code);
        assert_eq!(stage.read("times"), times, "{said}");
        if code == 1 {
            assert!(said.contains("how it ended is not known"), "{said}");
            run(stage.resume(&["--yes", "--retry-failed"]), 0);
            assert_eq!(stage.read("times"), "ran\nran\n");
        }
    }
}

/// Puts a program at work in the background of a program, and gives both their process ids.
const FAMILY: &str = "  - id: family
    action: command.run
    with:
      argv: [sh, -c, 'sleep 300 & echo $! > child; echo $$ > parent; ls -l /proc/self/fd > open; touch ready; wait']
      effect: idempotent
      timeout: TIMEOUT
";

#[test]
fn a_timeout_ends_the_whole_group() {
    let stage = Stage::new(&FAMILY.replace("TIMEOUT", "1s"));
    run(stage.exec(&["--yes"]), 1);
    dies(&stage.read("child"));
    dies(&stage.read("parent"));
    let open = stage.read("open");
    assert!(!open.is_empty() && !open.contains("journal"), "{open}");
}

#[test]
fn ctrl_c_gives_a_grace_and_a_second_one_none_and_nothing_is_left() {
    for twice in [false, true] {
        let stage = Stage::new(&FAMILY.replace("TIMEOUT", "5m"));
        let mut exec = stage.exec(&["--yes"]);
        let spawned = exec.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let mut child = Guarded(spawned.expect("it starts"));
        stage.wait_for("ready");
        let pid = child.0.id().to_string();
        let interrupt = || {
            let told = Command::new("kill").args(["-INT", &pid]).status();
            assert!(told.expect("kill runs").success());
        };
        interrupt();
        if twice {
            thread::sleep(Duration::from_millis(300));
            interrupt();
        }
        let status = child.0.wait().expect("it ends");
        assert_eq!(status.code(), Some(130));
        dies(&stage.read("child"));
        dies(&stage.read("parent"));
        // The journal is good: the step goes on.
        let mut show = Stage::command(stage.folder.path());
        show.args(["show", "journal.jsonl"]);
        let said = run(show, 0);
        assert!(said.contains("family"), "{said}");
    }
}

#[test]
fn no_secret_is_left_anywhere() {
    let canary = "c4n\"ary-\\s3cret-9f8e7d6c";
    let stage = Stage::with(
        "params:\n  token: { type: string, secret: true }\nvars:\n  auth: \"Bearer ${{ params.token }}\"\n",
        "  - id: tell
    action: command.run
    with:
      argv: [sh, -c, 'printf %s \"$TOKEN\" > got; cat > got2; echo \"$TOKEN\"; echo \"$AUTH\" >&2; printf %s \"$TOKEN\" | base64']
      effect: idempotent
      env: { TOKEN: \"${{ params.token }}\", AUTH: \"${{ vars.auth }}\" }
      stdin: \"<${{ params.token }}>\"
  - id: json
    action: command.run
    with:
      argv: [sh, -c, 'printf %s \"$JSON\"']
      effect: read
      output: json
      env: { JSON: '{\"k\": 1, \"v\": \"x\"}', T: \"${{ params.token }}\" }
  - id: bad
    on_failure: continue
    action: command.run
    with: { argv: [sh, -c, 'echo \"$T\"; echo \"no: $T\" >&2; exit 4'], effect: read, env: { T: \"${{ params.token }}\" } }
  - id: late
    on_failure: continue
    action: command.run
    with: { argv: [sh, -c, 'printf %s \"$T\" >&2; exec sleep 60'], effect: read, timeout: 500ms, env: { T: \"${{ params.token }}\" } }
  - id: unread
    on_failure: continue
    action: command.run
    with: { argv: [sh, -c, 'printf %s \"$T\"'], effect: read, output: json, env: { T: \"${{ params.token }}\" } }
",
    );
    let mut all = String::new();
    let secret = |mut command: Command| {
        command.env("RUNBOOK_PARAM_TOKEN", canary);
        command
    };
    let mut plan = Stage::command(stage.folder.path());
    plan.args(["plan", "general.yaml", "--address", &stage.address]);
    all += &run(secret(plan), 0);
    all += &run(secret(stage.exec(&["--yes", "--output", "json"])), 1);
    for flags in [&["--workflows"][..], &["--output", "json"], &[]] {
        let mut show = Stage::command(stage.folder.path());
        show.args(["show", "journal.jsonl"]).args(flags);
        let output = show.output().expect("show runs");
        assert!(output.status.success(), "{output:?}");
        all += &String::from_utf8_lossy(&output.stdout);
        all += &String::from_utf8_lossy(&output.stderr);
    }
    all += &stage.read("journal.jsonl");
    assert_eq!(stage.read("got"), canary, "the program got it");
    assert_eq!(stage.read("got2"), format!("<{canary}>"));
    assert!(all.contains("(secret token)"), "{all}");
    for part in ["s3cret", "9f8e7d6c", "YzRu"] {
        assert!(!all.contains(part), "`{part}` is in\n{all}");
    }
}

#[test]
fn a_form_is_filled_in_by_flags_and_never_invented() {
    let stage = Stage::new(
        "  - id: look
    action: manual.task
    with:
      instructions: Look at the graphs
      form:
        ticket: { type: string, pattern: '^[A-Z]+-[0-9]+$', description: The incident }
        hosts: { type: list, default: [] }
        good: { type: boolean }
  - id: good
    action: assert
    with: { that: \"${{ steps.look.form.good and steps.look.form.ticket == 'OPS-7' and steps.look.form.hosts | length == 2 }}\" }
",
    );
    let said = run(stage.exec(&["--yes"]), 3);
    assert!(said.contains("--answer look.ticket=VALUE"), "{said}");
    let said = run(stage.resume(&["--yes", "--answer", "look.ticket=ops"]), 2);
    assert!(said.contains("does not match"), "{said}");
    let said = run(stage.resume(&["--yes", "--answer", "look.tickt=OPS-7"]), 2);
    assert!(said.contains("did you mean `ticket`"), "{said}");
    run(stage.resume(&["--yes", "--answer", "look.ticket=OPS-7"]), 3);
    let flags = [
        "--yes",
        "--answer",
        "look.ticket=OPS-7",
        "--answer",
        "look.good=true",
        "--answer",
        "look.hosts=a,b",
    ];
    run(stage.resume(&flags), 0);
    assert_eq!(stage.ended("look")["output"]["form"]["good"], true);
}

#[test]
fn a_wait_ends_with_its_time_or_its_count() {
    let stage = Stage::new(
        "  - { id: past, action: wait, with: { until: '2020-01-01T00:00:00Z' } }
  - { id: short, action: wait, with: { for: 1s } }
  - id: gone
    action: wait
    timeout: 1m
    with: { for_workflows: { query: \"ExecutionStatus = 'Running'\", count: { at_most: 0 }, every: 1s } }
  - id: never
    action: wait
    timeout: 2s
    with: { for_workflows: { query: \"ExecutionStatus = 'Running'\", count: { at_least: 5 }, every: 1s } }
",
    );
    run(stage.exec(&[]), 1);
    assert_eq!(stage.ended("past")["status"], "succeeded");
    assert_eq!(stage.ended("gone")["output"]["count"], 0);
    let never = stage.ended("never");
    assert!(
        never["message"]
            .as_str()
            .is_some_and(|it| it.contains("timeout")),
        "{never}"
    );
}

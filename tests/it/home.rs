//! What surrounds the tool: the `temporal` CLI that starts it as an extension, shells that complete its words, its
//! manual and its version. The built binaries, called as those call them; nothing of the user's is read.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

const FLAGSHIP: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/runbooks/recover-pinned-workflows.yaml"
);
const RUNBOOK: &str = env!("CARGO_BIN_EXE_runbook");
const EXTENSION: &str = env!("CARGO_BIN_EXE_temporal-runbook");

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn command(program: &str, home: &Path) -> Command {
    let beside = Path::new(program).parent().expect("a folder");
    let mut command = Command::new(program);
    command
        .current_dir(home)
        .env_clear()
        .env("HOME", home)
        .env("PATH", format!("{}:/usr/bin:/bin", beside.display()))
        .env("NO_COLOR", "1")
        .stdin(Stdio::null());
    command
}

fn run(program: &str, home: &Path, arguments: &[&str]) -> Output {
    let mut command = command(program, home);
    command.args(arguments).output().expect("the binary runs")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// As Temporal's CLI v1.9.1 calls it for `temporal runbook connection --offline --profile x -o json`.
#[test]
fn the_temporal_cli_hands_its_flags_through() {
    let home = folder();
    let file = home.path().join("temporal.toml");
    std::fs::write(&file, "[profile.x]\naddress = \"there.example:7233\"\n").expect("written");
    let file = file.to_str().expect("a path");
    let arguments = [
        "--config-file",
        file,
        "--profile",
        "x",
        "-o",
        "json",
        "connection",
        "--offline",
    ];
    let output = run(EXTENSION, home.path(), &arguments);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("there.example:7233"));

    let output = run(
        EXTENSION,
        home.path(),
        &["--profile", "x", "validate", "none.yaml"],
    );
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("--profile means nothing to `runbook validate`"));

    let output = run(EXTENSION, home.path(), &["help", "exec"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(stdout(&output).contains("Usage: temporal runbook exec"));
}

/// The CLI kills its extension when somebody presses Ctrl-C; what works behind it ends by itself.
#[test]
fn a_killed_extension_still_ends_in_its_own_way() {
    let home = folder();
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = silent.local_addr().expect("an address").to_string();
    std::fs::write(
        home.path().join("wait.yaml"),
        "schema: runbook/v1\nname: look\nsteps:\n  - id: wait\n    action: wait\n    with: { for: 1s }\n  - id: count\n    action: workflows.count\n    with: { query: \"ExecutionStatus = 'Running'\" }\n",
    )
    .expect("written");
    let mut command = command(EXTENSION, home.path());
    command
        .args([
            "exec",
            "wait.yaml",
            "--address",
            &address,
            "--client-connect-timeout",
            "60s",
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut front = command.spawn().expect("the binary runs");
    // Once it calls the service it works, and watches for signals.
    let (_call, _) = silent.accept().expect("a call");
    front.kill().expect("killed");
    front.wait().expect("an end");
    let mut said = String::new();
    let mut pipe = front.stderr.take().expect("a pipe");
    pipe.read_to_string(&mut said).expect("text");
    assert!(said.contains("nothing was changed"), "{said}");
}

#[test]
fn the_version_names_what_is_read_and_written() {
    let home = folder();
    let short = stdout(&run(RUNBOOK, home.path(), &["-V"]));
    assert_eq!(short, concat!("runbook ", env!("CARGO_PKG_VERSION"), "\n"));
    let long = stdout(&run(RUNBOOK, home.path(), &["--version"]));
    assert!(long.starts_with(short.trim_end()), "{long}");
    for line in [
        "commit: ",
        "runbooks: runbook/v1",
        "plans: runbook-plan/v1",
        "journals: 1.",
    ] {
        assert!(long.contains(line), "{long}");
    }
}

/// What the program answers to bash for these words, the last of them being written.
fn completed(home: &Path, words: &[&str]) -> Vec<String> {
    let mut command = command(RUNBOOK, home);
    command
        .env("RUNBOOK_COMPLETE", "bash")
        .env("_CLAP_IFS", "\n")
        .env("_CLAP_COMPLETE_INDEX", (words.len()).to_string())
        .args(["--", "runbook"])
        .args(words);
    let output = command.output().expect("the binary runs");
    assert_eq!(stderr(&output), "", "{words:?}");
    stdout(&output).lines().map(str::to_owned).collect()
}

#[test]
fn completion_knows_the_names_in_the_file() {
    let home = folder();
    let ask = |words: &[&str]| completed(home.path(), words);
    assert!(ask(&["ex"]).contains(&"exec".to_owned()));
    let steps = ask(&["exec", FLAGSHIP, "--until", ""]);
    assert!(steps.contains(&"recover".to_owned()), "{steps:?}");
    assert_eq!(
        ask(&["exec", FLAGSHIP, "--until", "stop_r"]),
        ["stop_rollout"]
    );
    let params = ask(&["plan", "--profile", "x", FLAGSHIP, "-p", "ba"]);
    assert_eq!(params, ["bad="]);
    assert_eq!(ask(&["exec", FLAGSHIP, "--param", "class"]), ["classes."]);
    assert!(!ask(&["exec", FLAGSHIP, "--skip-row", ""]).is_empty());
    assert!(!ask(&["rehearse", FLAGSHIP, "--scenario", ""]).is_empty());
    assert_eq!(
        ask(&["exec", "/there/is/none.yaml", "--until", ""]),
        [""; 0]
    );
}

#[test]
fn completion_knows_the_runs() {
    let home = folder();
    let runbook = home.path().join("wait.yaml");
    std::fs::write(
        &runbook,
        "schema: runbook/v1\nname: look\nsteps:\n  - id: asked\n    action: manual.task\n    with: { instructions: Look. }\n",
    )
    .expect("written");
    let state = home.path().join(".local/state/runbook");
    std::fs::create_dir_all(&state).expect("a folder");
    let opened = r#"{"seq":1,"at":"2026-01-05T03:00:00Z","body":{"kind":"opened"}}"#;
    std::fs::write(state.join("rb-broken.jsonl"), opened).expect("written");
    assert_eq!(completed(home.path(), &["resume", "rb-"]), [""; 0]);
}

/// Temporal's CLI asks its extensions as cobra asks: candidates, then what the shell is to do.
#[test]
fn the_temporal_cli_completes_the_extension() {
    let home = folder();
    let ask = |words: &[&str]| stdout(&run(EXTENSION, home.path(), words));
    let verbs = ask(&["__complete", "--profile", "x", "ex"]);
    assert!(verbs.contains("exec\tCarry out a runbook"), "{verbs}");
    assert!(verbs.ends_with(":4\n"), "{verbs}");
    let step = ask(&[
        "__complete",
        "--profile",
        "x",
        "exec",
        FLAGSHIP,
        "--until",
        "stop_r",
    ]);
    assert!(
        step.starts_with("stop_rollout\t") && step.ends_with(":4\n"),
        "{step}"
    );
    let name = ask(&["__complete", "exec", FLAGSHIP, "-p", "ba"]);
    assert!(
        name.starts_with("bad=\t") && name.ends_with(":6\n"),
        "{name}"
    );
}

/// What bash has for a line, as the printed script answers it. `words` is the line as bash splits it (at `=`, `:` and
/// `@`, too), `written` what of the last word it hands over.
fn in_bash(home: &Path, line: &str, words: &[&str], written: &str) -> Vec<String> {
    let script = "source <(runbook completions bash)\n\
                  COMP_LINE=$1 written=$2; shift 2; COMP_WORDS=(\"$@\") COMP_CWORD=$(($# - 1)) COMP_TYPE=9\n\
                  _runbook_complete runbook \"$written\" before\n\
                  printf '%s\\n' \"${COMPREPLY[@]}\"\n";
    let output = command("/bin/bash", home)
        .env(
            "PATH",
            format!(
                "{}:/usr/bin:/bin",
                Path::new(RUNBOOK).parent().expect("a folder").display()
            ),
        )
        .args(["--norc", "-c", script, "bash", line, written])
        .args(words)
        .output()
        .expect("bash");
    assert_eq!(stderr(&output), "", "{line}");
    let found = stdout(&output);
    let found = found.lines().filter(|line| !line.is_empty());
    found.map(str::to_owned).collect()
}

#[test]
fn bash_itself_completes_also_behind_an_equals_sign() {
    let home = folder();
    std::fs::copy(FLAGSHIP, home.path().join("f.yaml")).expect("copied");
    let state = home.path().join(".local/state/runbook");
    std::fs::create_dir_all(&state).expect("a folder");
    let fixture = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/journal-1.2.jsonl"
    );
    let run = "rb-20261122-020744-g5k7";
    std::fs::copy(fixture, state.join(format!("{run}.jsonl"))).expect("copied");
    // Words as bash 5.2 splits them with its usual COMP_WORDBREAKS, seen at an interactive one.
    type Case<'a> = (&'a str, &'a [&'a str], &'a str, &'a [&'a str]);
    let cases: [Case; 16] = [
        ("exe", &["exe"], "exe", &["exec"]),
        (
            "exec f.yaml --until stop_r",
            &["exec", "f.yaml", "--until", "stop_r"],
            "stop_r",
            &["stop_rollout"],
        ),
        (
            "exec f.yaml --until=stop_r",
            &["exec", "f.yaml", "--until", "=", "stop_r"],
            "stop_r",
            &["stop_rollout"],
        ),
        (
            "exec   f.yaml  --output=",
            &["exec", "f.yaml", "--output", "="],
            "",
            &["text", "json", "jsonl", "csv", "markdown", "github"],
        ),
        (
            "exec f.yaml --output=te",
            &["exec", "f.yaml", "--output", "=", "te"],
            "te",
            &["text"],
        ),
        (
            "exec f.yaml --output te",
            &["exec", "f.yaml", "--output", "te"],
            "te",
            &["text"],
        ),
        (
            "exec f.yaml --param=class",
            &["exec", "f.yaml", "--param", "=", "class"],
            "class",
            &["classes."],
        ),
        (
            "exec f.yaml --param=classes.X=mo",
            &["exec", "f.yaml", "--param", "=", "classes.X", "=", "mo"],
            "mo",
            &["move_only"],
        ),
        (
            "exec f.yaml --param classes.X=mo",
            &["exec", "f.yaml", "--param", "classes.X", "=", "mo"],
            "mo",
            &["move_only"],
        ),
        (
            "exec f.yaml -p classes.X=",
            &["exec", "f.yaml", "-p", "classes.X", "="],
            "",
            &["restartable", "move_only", "corrupted", "replaceable"],
        ),
        (
            "exec f.yaml -p bad=d:b -p wrong=@x --until=stop_r",
            &[
                "exec", "f.yaml", "-p", "bad", "=", "d", ":", "b", "-p", "wrong", "=@", "x",
                "--until", "=", "stop_r",
            ],
            "stop_r",
            &["stop_rollout"],
        ),
        (
            "exec f.yaml --confirm=cl",
            &["exec", "f.yaml", "--confirm", "=", "cl"],
            "cl",
            &["clean_up="],
        ),
        (
            "exec \"f.yaml\" --until=stop_r",
            &["exec", "\"f.yaml\"", "--until", "=", "stop_r"],
            "stop_r",
            &["stop_rollout"],
        ),
        (
            "exec ~/f.yaml --until=stop_r",
            &["exec", "~/f.yaml", "--until", "=", "stop_r"],
            "stop_r",
            &["stop_rollout"],
        ),
        ("resume rb-", &["resume", "rb-"], "rb-", &[run]),
        // Where somebody took the signs out of COMP_WORDBREAKS, a word is a whole one.
        (
            "exec f.yaml --until=stop_r",
            &["exec", "f.yaml", "--until=stop_r"],
            "--until=stop_r",
            &["--until=stop_rollout"],
        ),
    ];
    for (line, words, written, expected) in cases {
        let line = format!("runbook {line}");
        let words: Vec<&str> = std::iter::once("runbook")
            .chain(words.iter().copied())
            .collect();
        assert_eq!(
            in_bash(home.path(), &line, &words, written),
            expected,
            "{line}"
        );
    }
}

/// What `cargo package` would take: everything that the program is built from, its papers and examples, and nothing of
/// a checkout besides.
#[test]
fn a_package_holds_what_it_is_built_from_and_no_more() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["package", "--list", "--allow-dirty", "--offline"])
        .current_dir(root)
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", stderr(&output));
    let listed = stdout(&output);
    let listed: BTreeSet<&Path> = listed.lines().map(Path::new).collect();
    let missing = |path: &Path| !listed.contains(path.strip_prefix(root).unwrap_or(path));
    for file in [
        "README.md",
        "LICENSE-APACHE",
        "LICENSE-MIT",
        "Cargo.lock",
        "build.rs",
        "docs/by-hand.md",
    ] {
        assert!(!missing(Path::new(file)), "{file} is not in the package");
    }
    for folder in ["proto", "schemas", "runbooks", "examples", "src", "benches"] {
        let files = files_in(&root.join(folder));
        assert!(!files.is_empty(), "{folder}");
        let left_out: Vec<_> = files.iter().filter(|file| missing(file)).collect();
        assert!(left_out.is_empty(), "{left_out:?} are not in the package");
    }
    for file in &listed {
        let out = ["tests/live", ".ci", "target", ".git", ".github"];
        let is_out = out.iter().any(|folder| file.starts_with(folder));
        let is_state = file
            .extension()
            .is_some_and(|it| it == "jsonl" || it == "lock")
            && !file.starts_with("tests/fixtures")
            && *file != Path::new("Cargo.lock");
        let is_left_over = file.to_string_lossy().ends_with(".snap.new");
        assert!(
            !is_out && !is_state && !is_left_over,
            "{} is in the package",
            file.display()
        );
    }
    let read = regex::Regex::new(
        r#"include_(?:str|bytes)!\(\s*(?:concat!\(\s*env!\("CARGO_MANIFEST_DIR"\),\s*"/([^"]+)"|"([^"]+)")"#,
    );
    let read = read.expect("a pattern");
    let mut included = 0;
    let sources = ["src", "tests/it", "benches"].map(|folder| files_in(&root.join(folder)));
    for source in sources
        .iter()
        .flatten()
        .filter(|file| file.extension().is_some_and(|it| it == "rs"))
    {
        let text = std::fs::read_to_string(source).expect("text");
        for found in read.captures_iter(&text) {
            let path = match (found.get(1), found.get(2)) {
                (Some(of_root), _) => root.join(of_root.as_str()),
                (_, Some(beside)) => source.parent().expect("a folder").join(beside.as_str()),
                _ => continue,
            };
            let path = path.canonicalize().unwrap_or(path);
            let root = root.canonicalize().expect("the root");
            let path = path.strip_prefix(&root).expect("inside");
            assert!(
                !missing(path),
                "{} reads {}",
                source.display(),
                path.display()
            );
            included += 1;
        }
    }
    assert!(included >= 8, "only {included} were found");
}

/// Every file below a folder that git would keep.
fn files_in(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true => open.push(path),
                false => found.push(path),
            }
        }
    }
    found.retain(|file| !file.to_string_lossy().ends_with(".snap.new"));
    found
}

#[test]
fn the_manual_is_one_page_a_verb() {
    let home = folder();
    // Who has no pages yet has no folder for them.
    let output = run(RUNBOOK, home.path(), &["man", "--out", "share/man1"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let pages = home.path().join("share/man1");
    let page = std::fs::read_to_string(pages.join("runbook-exec.1")).expect("a page");
    assert!(page.contains(".TH RUNBOOK-EXEC 1"), "{page}");
    assert!(pages.join("runbook.1").is_file());
    let output = run(RUNBOOK, home.path(), &["man", "exce"]);
    assert_eq!(output.status.code(), Some(2));
}

//! A secret that nobody can mistake goes in by every way that there is, and is looked for in everything that comes
//! out: what is printed, logged and kept, and the environment of programs. And what is kept is its owner's alone.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::json;

use super::{Home, exec, serve, world};

/// Awkward in JSON, in URLs and in YAML.
const CANARY: &str = "cAn4ry+/\"\\%-7f3e9a1b2c5d8e6f";

/// How the canary may be spelt, as a whole or in part.
fn spellings() -> BTreeSet<String> {
    let mut found = BTreeSet::from(["cAn4ry".to_owned(), "7f3e9a1b2c".to_owned()]);
    // Wherever it begins within what is coded.
    for cut in 0..3 {
        let whole = CANARY.len() - cut - (CANARY.len() - cut) % 3;
        let part = &CANARY.as_bytes()[cut..cut + whole];
        found.insert(STANDARD_NO_PAD.encode(part));
        found.insert(URL_SAFE_NO_PAD.encode(part));
    }
    found
}

#[track_caller]
fn is_clean(what: &str, text: &str) {
    let found: Vec<String> = spellings()
        .into_iter()
        .filter(|spelling| text.contains(spelling))
        .collect();
    assert!(found.is_empty(), "{what} has {found:?}:\n{text}");
}

/// Everything that the tool keeps.
fn kept(folder: &Path) -> Vec<(String, u32, bool, String)> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(path) = open.pop() {
        let facts = fs::metadata(&path).expect("it is there");
        let text = if facts.is_dir() {
            open.extend(
                fs::read_dir(&path)
                    .expect("a folder")
                    .map(|entry| entry.expect("one").path()),
            );
            String::new()
        } else {
            String::from_utf8_lossy(&fs::read(&path).expect("a file")).into_owned()
        };
        let mode = facts.permissions().mode() & 0o7777;
        found.push((path.display().to_string(), mode, facts.is_dir(), text));
    }
    found
}

impl Home {
    /// Runs it as usual with the canary for the parameter, and gives back all that was said.
    #[track_caller]
    fn said(&self, arguments: &[&str], variables: &[(&str, &str)], wanted: i32) -> String {
        let mut command = self.command(arguments);
        command.env("RUNBOOK_PARAM_TOKEN", CANARY);
        command.envs(variables.iter().copied());
        let output = command.output().expect("the binary runs");
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        assert_eq!(output.status.code(), Some(wanted), "{arguments:?}: {said}");
        is_clean(&format!("{arguments:?}"), &said);
        said
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path().join(name), text).expect("written");
    }
}

#[test]
fn a_secret_parameter_is_in_nothing_that_is_said_or_kept() {
    let (home, served) = (Home::new(), serve(world(2)));
    home.write("token", CANARY);
    let inline = format!("token: {}\n", json!(CANARY));
    home.write("inline.yaml", &inline);
    home.write("typo.yaml", &inline.replace("token", "tokn"));
    home.write("broken.yaml", &format!("token: {}'\nbad: [", json!(CANARY)));
    home.write("twice.yaml", &format!("{inline}{inline}"));
    let call = |more: &[&str], wanted: i32| {
        let arguments = [exec(&served.address, &[]), more.to_vec()].concat();
        home.said(&arguments, &[], wanted)
    };
    // Where it is wrong, or wrongly given: said by its name and its line, without the line.
    let given = format!("token={CANARY}");
    assert!(call(&["-p", &given], 2).contains("is secret"));
    assert!(call(&["--params-file", "typo.yaml"], 2).contains("did you mean `token`"));
    assert!(call(&["--params-file", "broken.yaml"], 2).contains("broken.yaml:1"));
    assert!(call(&["--params-file", "twice.yaml"], 2).contains("twice.yaml:2"));
    call(
        &[
            "--log-level",
            "debug",
            "--params-file",
            "inline.yaml",
            "--dry-run",
        ],
        0,
    );
    call(
        &[
            "--log-level",
            "debug",
            "--log-format",
            "json",
            "-p",
            "token=@token",
        ],
        3,
    );
    let run = home.run_id();
    home.said(&["runs", "--output", "json"], &[], 0);
    home.said(&["resume", &run, "-p", &given], &[], 4);
    for format in ["text", "json", "jsonl", "csv"] {
        home.said(&["show", &run, "--workflows", "--output", format], &[], 0);
    }
    let more = ["--yes", "--confirm", "tell=told", "--output", "json"];
    home.said(&[&["resume", &run], &more[..]].concat(), &[], 0);
    // Refused by its declaration, too.
    let text = fs::read_to_string(home.path().join("move.yaml")).expect("the runbook");
    home.write(
        "move.yaml",
        &text.replace("secret: true", "secret: true, pattern: '^[a-z]+$'"),
    );
    assert!(call(&[], 2).contains("does not fit"));
    assert!(call(&["--params-file", "inline.yaml"], 2).contains("does not fit"));
    for (path, _, _, text) in kept(&home.path().join("state")) {
        is_clean(&path, &text);
    }
}

/// Answers each request with what it got, as an error.
fn echo() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut request = vec![0; 8192];
            let length = stream.read(&mut request).expect("a request");
            let text = String::from_utf8_lossy(&request[..length]);
            let secret = text
                .lines()
                .find_map(|line| line.split_once("authorization: "));
            let secret = secret.map_or("nothing", |(_, secret)| secret.trim());
            let coded = STANDARD_NO_PAD.encode(secret);
            let body = format!("no: {secret} {coded} {}", json!({ "you": secret }));
            let head = format!(
                "HTTP/1.1 403 Forbidden\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            // Whoever asked may be gone.
            let _ = stream.write_all([head.as_bytes(), body.as_bytes()].concat().as_slice());
        }
    });
    address
}

#[test]
fn credentials_of_the_connection_are_in_nothing_that_is_said() {
    let (home, served, codec) = (Home::new(), serve(world(1)), echo());
    home.write(
        "key.pem",
        &format!("-----BEGIN PRIVATE KEY-----\n{CANARY}\n"),
    );
    home.write(
        "cert.pem",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    );
    let toml = format!("[profile.default]\napi_key = {}\n", json!(CANARY));
    home.write("good.toml", &toml);
    home.write(
        "broken.toml",
        &format!("{toml}api_key = {}\ntls = \n", json!(CANARY)),
    );
    home.write(
        "open.toml",
        &format!("[profile.default]\napi_key = \"{CANARY}\n"),
    );
    home.write(
        "typed.toml",
        &format!("[profile.default]\ntls = {}\n", json!(CANARY)),
    );
    home.write(
        "env.yaml",
        &format!(
            "env: {{ default: {{ api-key: {}, tls: maybe }} }}\n",
            json!(CANARY)
        ),
    );
    home.write(
        "open.yaml",
        &format!("env: {{ default: {{ api-key: {}\n", json!(CANARY)),
    );
    let bearer = format!("Bearer {CANARY}");
    let meta = format!("authorization={bearer}");
    let header = format!("x-api-key={CANARY}");
    let endpoint = format!("http://{codec}");
    let shown = |more: &[&str], variables: &[(&str, &str)], wanted: i32| {
        let arguments = [&["connection", "--log-level", "debug"], more].concat();
        let mut said = home.said(&arguments, variables, wanted);
        let json = [&arguments[..], &["--output", "json"]].concat();
        said += &home.said(&json, variables, wanted);
        said
    };
    let key = [("TEMPORAL_API_KEY", CANARY)];
    assert!(shown(&["--no-test"], &key, 0).contains("api-key"));
    assert!(shown(&["--no-test", "--tls=false"], &key, 2).contains("in clear"));
    shown(&["--address", &served.address], &key, 1);
    shown(
        &["--address", "http://127.0.0.1:9", "--api-key", CANARY],
        &[],
        2,
    );
    for file in ["good.toml", "broken.toml", "open.toml", "typed.toml"] {
        let wanted = if file == "good.toml" { 0 } else { 2 };
        shown(&["--no-test", "--config-file", file], &[], wanted);
    }
    for file in ["env.yaml", "open.yaml"] {
        shown(&["--no-test", "--env-file", file], &[], 2);
    }
    let tls = ["--tls-cert-path", "cert.pem", "--tls-key-path", "key.pem"];
    shown(
        &[&["--address", &served.address], &tls[..]].concat(),
        &[],
        1,
    );
    let data = ["--tls-cert-path", "cert.pem", "--tls-key-data", CANARY];
    shown(
        &[&["--address", &served.address], &data[..]].concat(),
        &[],
        1,
    );
    let meta = ["--grpc-meta", &meta];
    shown(
        &[&["--address", &served.address], &meta[..]].concat(),
        &[],
        0,
    );
    let auth = ["--codec-endpoint", &endpoint, "--codec-auth", &bearer];
    let said = shown(
        &[&["--address", &served.address], &auth[..]].concat(),
        &[],
        1,
    );
    assert!(said.contains("answered 403"), "{said}");
    let header = ["--codec-endpoint", &endpoint, "--codec-header", &header];
    shown(
        &[&["--address", &served.address], &header[..]].concat(),
        &[],
        1,
    );
    let clear = [
        "--codec-endpoint",
        "http://codec.example.com",
        "--codec-auth",
        CANARY,
    ];
    shown(&[&["--no-test"], &clear[..]].concat(), &[], 2);
    // The same where a run meets them.
    let arguments = [
        exec(&served.address, &["--log-level", "debug"]),
        auth.to_vec(),
        meta.to_vec(),
    ]
    .concat();
    home.said(&arguments, &[], 3);
    for (path, _, _, text) in kept(&home.path().join("state")) {
        is_clean(&path, &text);
    }
}

const CHILD: &str = r#"schema: runbook/v1
name: child
params:
  token: { type: string, secret: true }
  shown: { type: string, default: plain }
steps:
  - id: look
    action: command.run
    with: { argv: [sh, -c, 'env > environment; cat /proc/self/cmdline > line'], effect: read, inherit: [KEPT], env: { GIVEN: "${{ params.shown }}" } }
"#;

#[test]
fn a_program_gets_the_variables_that_are_declared_and_no_others() {
    let (home, served) = (Home::new(), serve(world(1)));
    home.write("child.yaml", CHILD);
    let variables = [
        ("PATH", "/usr/bin:/bin"),
        ("KEPT", "kept"),
        ("TEMPORAL_CODEC_AUTH", CANARY),
        ("TEMPORAL_GRPC_META_AUTHORIZATION", CANARY),
        ("AWS_SECRET_ACCESS_KEY", CANARY),
        ("LD_LIBRARY_PATH", "/nowhere"),
    ];
    let arguments = ["exec", "child.yaml", "--address", &served.address, "--yes"];
    home.said(&arguments, &variables, 0);
    let environment = fs::read_to_string(home.path().join("environment")).expect("it was run");
    is_clean("the environment", &environment);
    let names: BTreeSet<&str> = environment
        .lines()
        .filter_map(|line| Some(line.split_once('=')?.0))
        // The shell's own.
        .filter(|name| !["PWD", "SHLVL", "_", "OLDPWD"].contains(name))
        .collect();
    assert_eq!(names, BTreeSet::from(["GIVEN", "HOME", "KEPT", "PATH"]));
}

#[test]
fn what_is_kept_is_its_owners_alone_whatever_the_umask() {
    let (home, served) = (Home::new(), serve(world(1)));
    let open = |arguments: &[&str], wanted: i32| {
        let mut command = Command::new("/bin/sh");
        let usual = home.command(&[]);
        let variables = usual
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?)));
        command
            .args(["-c", "umask 000; exec \"$0\" \"$@\""])
            .arg(env!("CARGO_BIN_EXE_runbook"))
            .args(arguments)
            .current_dir(home.path())
            .env_clear()
            .envs(variables);
        let output = command.output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(wanted), "{arguments:?}: {said}");
    };
    open(&exec(&served.address, &["--dry-run"]), 0);
    open(&exec(&served.address, &[]), 3);
    open(
        &exec(&served.address, &["--state", "state/deep/er/own.jsonl"]),
        3,
    );
    let run = home.run_id();
    open(&["resume", &run, "--yes", "--confirm", "tell=told"], 0);
    open(&["resume", "state/deep/er/own.jsonl"], 3);
    open(&["show", &run], 0);
    open(&["runs"], 0);
    let kept = kept(&home.path().join("state"));
    assert!(
        kept.iter().filter(|(_, _, folder, _)| !folder).count() >= 3,
        "{kept:?}"
    );
    for (path, mode, folder, _) in kept {
        let wanted = if folder { 0o700 } else { 0o600 };
        assert_eq!(mode, wanted, "{path} is {mode:o}");
    }
}

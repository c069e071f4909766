//! Journals of other formats, whole: one of the former minor format, interrupted midway, is carried to its end; a
//! newer one is read as far as that can be done without guessing.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::{Stage, count};

/// Everything that format 1.2 knew in a record, by its kind. What a run of today writes besides must be taken out by
/// [`as_1_2`], or it would be no journal of 1.2.
const KNOWN_IN_1_2: &[(&str, &[&str])] = &[
    (
        "opened",
        &["format", "run", "plan", "tool", "dry", "rehearsal"],
    ),
    (
        "attached",
        &["attachment", "host", "pid", "user", "flags", "notes"],
    ),
    ("step_started", &["place"]),
    ("asked", &["question", "place", "what", "terms"]),
    (
        "answered",
        &[
            "question", "answer", "by", "means", "grants", "expires", "note", "form",
        ],
    ),
    ("page", &["place", "pass", "claims", "cursor"]),
    ("pass_ended", &["place", "pass", "claimed", "unmatched"]),
    ("released", &["ordinal", "reason"]),
    (
        "intent",
        &[
            "ordinal",
            "row",
            "strategy",
            "treatment",
            "write",
            "seen",
            "deadline",
        ],
    ),
    ("outcome", &["ordinal", "row", "outcome"]),
    ("barred", &["ordinal", "strategy", "refusal", "message"]),
    ("settled", &["ordinal", "settlement", "evidence"]),
    ("canary", &["place", "row", "passed", "reason"]),
    ("verified", &["place", "ordinal", "health", "note"]),
    ("acting", &["place", "changes", "counts"]),
    ("acted", &["place", "error", "again"]),
    ("polled", &["place", "status"]),
    ("iterated", &["step", "iteration", "done", "note"]),
    ("step_ended", &["place", "status", "output", "message"]),
    ("limit_hit", &["place", "limit", "value", "bound"]),
    ("parked", &["reason"]),
    ("interrupted", &["signal", "notes"]),
    ("ended", &["status", "message"]),
    ("locking", &["name", "taking"]),
    ("locked", &["lease"]),
    ("lock_lost", &["evidence"]),
    ("unlocking", &["error"]),
    ("unlocked", &[]),
];

/// What of the plan and of an attachment's flags was there.
const PLAN_IN_1_2: &[&str] = &[
    "format",
    "name",
    "title",
    "file",
    "source",
    "parameters",
    "survey",
    "created",
    "digest",
];
const FLAGS_IN_1_2: &[&str] = &[
    "yes",
    "confirm",
    "until",
    "skip_rows",
    "limit",
    "retry_failed",
    "accept",
    "rate",
    "entries",
    "answers",
];

/// The journal with each record changed, and the checksums that fit.
fn changed(journal: &str, change: impl Fn(&mut Value)) -> String {
    let line = |line: &str| {
        let mut line: Value = serde_json::from_str(line).expect("a line of a journal");
        let records = line["records"].as_array_mut().expect("records");
        records.iter_mut().for_each(&change);
        framed(records)
    };
    journal.lines().map(line).collect()
}

fn framed(records: &[Value]) -> String {
    let records = serde_json::to_string(records).expect("JSON");
    let crc = crc32fast::hash(records.as_bytes());
    format!("{{\"crc\":\"{crc:08x}\",\"records\":{records}}}\n")
}

/// As format 1.2 wrote it: without the user id of who attached, and without from where an answer came.
fn as_1_2(record: &mut Value) {
    let body = record["body"].as_object_mut().expect("a body");
    let kind = body["kind"].as_str().expect("a kind").to_owned();
    match kind.as_str() {
        "opened" => body["format"]["minor"] = json!(2),
        "attached" => drop(body.remove("uid")),
        "answered" => drop(body.remove("from")),
        _ => {}
    }
    let known = KNOWN_IN_1_2.iter().find(|(known, _)| *known == kind);
    let (_, fields) = known.unwrap_or_else(|| panic!("1.2 knew no record `{kind}`"));
    only(body, |name| name == "kind" || fields.contains(&name));
    for (part, fields) in [("plan", PLAN_IN_1_2), ("flags", FLAGS_IN_1_2)] {
        if let Some(part) = body.get(part).and_then(Value::as_object) {
            only(part, |name| fields.contains(&name));
        }
    }
}

fn only(object: &serde_json::Map<String, Value>, knew: impl Fn(&str) -> bool) {
    let more: Vec<&String> = object.keys().filter(|name| !knew(name)).collect();
    assert_eq!(more, [""; 0], "1.2 did not know these: take them out");
}

/// What `show`, `report` and `watch` say of the state file, each with its exit code.
fn read(stage: &Stage) -> Vec<(i32, String)> {
    let verbs: [&[&str]; 4] = [
        &["show", "journal.jsonl", "--workflows"],
        &["report", "journal.jsonl", "--format", "markdown"],
        &["report", "journal.jsonl", "--format", "csv"],
        &["watch", "journal.jsonl"],
    ];
    let say = |verb: &&[&str]| {
        let mut command = Stage::command(stage.folder.path());
        command.args(*verb);
        let ended = stage.run(command);
        let code = ended.status.code().expect("an exit code");
        (code, format!("{}{}", ended.out, ended.err))
    };
    verbs.iter().map(say).collect()
}

/// Killed with a write's reply in hand: one Workflow is in doubt.
fn interrupted() -> (Stage, String) {
    let stage = Stage::new();
    let mut exec = stage.exec();
    exec.env("RUNBOOK_TEST_KILL", "after_effect:60");
    stage.run(exec).killed();
    let journal = fs::read_to_string(stage.journal()).expect("the journal");
    (stage, journal)
}

#[test]
fn a_journal_of_the_former_format_is_read_and_carried_to_its_end() {
    let (stage, journal) = interrupted();
    let now = read(&stage);
    let former = changed(&journal, as_1_2);
    assert_ne!(former, journal);
    fs::write(stage.journal(), &former).expect("written");
    let (done, calls) = (count(&stage.records(), "intent"), stage.calls());
    assert!(done >= 50 && calls >= 50, "{done} intents, {calls} calls");
    for ((code, text), (code_now, text_now)) in read(&stage).into_iter().zip(now) {
        assert_eq!(code, code_now, "{text}");
        assert!(!text.contains("error:"), "{text}");
        // Only who is named in full is named by less.
        assert_eq!(text.lines().count(), text_now.lines().count(), "{text}");
    }
    stage.run(stage.resume()).code(0);
    stage.check();
    let text = fs::read_to_string(stage.journal()).expect("the journal");
    assert!(text.starts_with(&former), "what it held is left alone");
}

#[test]
fn a_journal_of_a_newer_format_is_read_where_nothing_must_be_guessed() {
    let (stage, journal) = interrupted();
    let calls = stage.calls();
    let minor = |record: &mut Value| {
        let body = &mut record["body"];
        match body["kind"].as_str() {
            Some("opened") => body["format"]["minor"] = json!(4),
            Some("attached") => body["mood"] = json!("calm"),
            _ => {}
        }
    };
    let known = changed(&journal, minor);
    fs::write(stage.journal(), &known).expect("written");
    for (code, text) in read(&stage) {
        assert_ne!(code, 4, "{text}");
        assert!(!text.contains("error:"), "{text}");
    }

    let last = stage.records().len() as u64;
    let at = stage.records()[0]["at"].clone();
    let record =
        json!({ "seq": last + 1, "at": at, "body": { "kind": "foretold", "what": "rain" } });
    let unknown = format!("{known}{}", framed(&[record]));
    let major = changed(&journal, |record| {
        if record["body"]["kind"] == "opened" {
            record["body"]["format"] = json!({ "major": 2, "minor": 0 });
        }
    });
    for (text, says, hint) in [
        (
            unknown,
            "holds what this version of runbook does not know",
            "use the newest version of runbook that wrote to it",
        ),
        (
            major,
            "has journal format 2.0; this version reads 1.x",
            "use the newest version of runbook that wrote to it",
        ),
    ] {
        fs::write(stage.journal(), &text).expect("written");
        let refused = stage.run(stage.resume()).code(4);
        let mut said: Vec<String> = vec![refused.err];
        for (code, text) in read(&stage) {
            assert_eq!(code, 4, "{text}");
            said.push(text);
        }
        for said in said {
            assert!(said.contains(says) && said.contains(hint), "{said}");
        }
        let left = fs::read_to_string(stage.journal()).expect("the journal");
        assert_eq!(left, text, "nothing is written to it");
    }
    assert_eq!(stage.calls(), calls, "nothing was done");
}

#[test]
fn a_parked_run_of_the_former_format_is_listed_and_shown() {
    let home = tempfile::tempdir().expect("a folder");
    let state = home.path().join(".local/state/runbook");
    fs::create_dir_all(&state).expect("a folder");
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/journal-1.2.jsonl");
    fs::copy(fixture, state.join("rb-20261122-020744-g5k7.jsonl")).expect("copied");
    for (verb, code, says) in [
        (&["runs"][..], 0, "parked"),
        (&["show", "rb-2026"], 0, "Look at what alice counted"),
        (&["report", "rb-2026", "--format", "html"], 0, "Look around"),
        (&["watch", "rb-2026"], 3, "asked asks"),
    ] {
        let output = Stage::command(home.path()).args(verb).output();
        let output = output.expect("the binary runs");
        let said =
            String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{verb:?}: {said}");
        assert!(said.contains(says), "{verb:?}: {said}");
    }
}

//! What a body saw, line by line, with what differs from run to run (Run IDs, times, the names of the
//! stage) made alike, and the comparison with what the real server said.
//!
//! A line is `label: text`. Only the real server writes the files (`RUNBOOK_CONFORMANCE_RECORD=1`).

use std::fmt::{Debug, Display};
use std::path::PathBuf;
use std::{env, fs};

use runbook::temporal::CallError;
use temporalio_protos::temporal::api::deployment::v1::WorkerDeploymentVersion;
use temporalio_protos::temporal::api::history::v1::HistoryEvent;
use tonic::Status;

use super::backend::{Plot, Stage, is_real, on_stage};
use super::differences::{DIFFERENCES, Difference};

/// A stage, and the notes of one test.
pub struct Notes {
    pub stage: Stage,
    name: &'static str,
    lines: Vec<(String, String)>,
    runs: Vec<String>,
}

/// Runs a body on a stage of its own, and compares what it noted with the record of that name.
pub fn check(name: &'static str, plot: Plot, body: impl AsyncFnOnce(&mut Notes)) {
    on_stage(plot, async move |stage| {
        let mut notes = Notes {
            stage,
            name,
            lines: Vec::new(),
            runs: Vec::new(),
        };
        body(&mut notes).await;
        notes.compare();
    });
}

impl std::ops::Deref for Notes {
    type Target = Stage;

    fn deref(&self) -> &Stage {
        &self.stage
    }
}

impl Notes {
    /// Name of the record.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What the server said under a label.
    pub fn recorded(&self, label: &str) -> Option<String> {
        let text = fs::read_to_string(path_of(self.name)).ok()?;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(label)?.strip_prefix(": "));
        line.map(str::to_owned)
    }

    /// Notes a fact under a label that the test uses once.
    pub fn note(&mut self, label: &str, fact: impl Display) {
        let text = self.alike(&fact.to_string());
        assert!(
            !self.lines.iter().any(|(known, _)| known == label),
            "{label:?} is noted twice"
        );
        self.lines.push((label.to_owned(), text));
    }

    /// Notes a value as Rust shows it, without the fields that hold nothing.
    pub fn shows(&mut self, label: &str, fact: impl Debug) {
        self.note(label, without_defaults(&format!("{fact:?}")));
    }

    /// Notes what came of a call: `OK`, or code and message.
    pub fn outcome<T>(&mut self, label: &str, result: Result<T, Status>) -> Option<T> {
        match result {
            Ok(reply) => {
                self.note(label, "OK");
                Some(reply)
            }
            Err(status) => {
                self.note(label, format!("{:?}: {}", status.code(), status.message()));
                None
            }
        }
    }

    /// Notes what came of a call whose refusal is worded freely: code and the first words, to the colon.
    pub fn refusal<T>(&mut self, label: &str, result: Result<T, Status>) -> Option<T> {
        let result = result.map_err(|status| {
            let first = status
                .message()
                .split([':', '('])
                .next()
                .unwrap_or_default();
            Status::new(status.code(), first.trim())
        });
        self.outcome(label, result)
    }

    /// Notes what the tool makes of a call: `OK`, or verdict, cause, code and message.
    pub fn told<T>(&mut self, label: &str, result: Result<T, CallError>) -> Option<T> {
        match result {
            Ok(value) => {
                self.note(label, "OK");
                Some(value)
            }
            Err(error) => {
                let meaning = error.meaning;
                let text = format!(
                    "{:?}, {:?}: {:?}: {}",
                    meaning.verdict, meaning.cause, error.code, error.message
                );
                self.note(label, text);
                None
            }
        }
    }

    /// Notes the events of a run: ids and types.
    pub fn events(&mut self, label: &str, events: &[HistoryEvent]) {
        let text: Vec<String> = events
            .iter()
            .map(|it| format!("{} {:?}", it.event_id, it.event_type()))
            .collect();
        self.note(label, text.join(", "));
    }

    /// Notes the Search Attributes of a run, as Describe shows them.
    pub async fn attributes(&mut self, label: &str, id: &str, run: &str) {
        let reply = self.stage.describe(id, run).await.expect("it is there");
        let fields = reply
            .workflow_execution_info
            .and_then(|it| it.search_attributes);
        let mut all: Vec<String> = fields
            .unwrap_or_default()
            .indexed_fields
            .iter()
            .map(|(name, payload)| format!("{name} = {}", String::from_utf8_lossy(&payload.data)))
            .collect();
        all.sort();
        self.note(label, all.join("; "));
    }

    /// Notes status, versioning, pending task and reset of a run, as Describe shows them.
    pub async fn look(&mut self, label: &str, id: &str, run: &str) {
        let reply = self.stage.describe(id, run).await.expect("it is there");
        let info = reply.workflow_execution_info.clone().expect("its info");
        let extended = reply.workflow_extended_info.unwrap_or_default();
        let versioning = info.versioning_info.clone().unwrap_or_default();
        let build = |version: Option<WorkerDeploymentVersion>| {
            version.map(|it| it.build_id).unwrap_or_default()
        };
        let text = format!(
            "{:?}, run {}, {:?}, ran on `{}`, override {}, length {}, task {}, reset run `{}`, cancel requested {}",
            info.status(),
            info.execution.map(|it| it.run_id).unwrap_or_default(),
            versioning.behavior(),
            build(versioning.deployment_version.clone()),
            without_defaults(&format!(
                "{:?}",
                versioning.versioning_override.and_then(|it| it.r#override)
            )),
            info.history_length,
            reply
                .pending_workflow_task
                .map_or("none".to_owned(), |it| format!(
                    "{:?} attempt {}",
                    it.state(),
                    it.attempt
                )),
            extended.reset_run_id,
            extended.cancel_requested,
        );
        self.note(label, text);
    }

    fn alike(&mut self, text: &str) -> String {
        let text = self.stage.plain(text);
        let mut out = String::new();
        let mut rest = text.as_str();
        while let Some(at) = (0..rest.len()).find(|at| is_uuid(&rest.as_bytes()[*at..])) {
            let run = &rest[at..at + 36];
            let number = match self.runs.iter().position(|known| known == run) {
                Some(number) => number,
                None => {
                    self.runs.push(run.to_owned());
                    self.runs.len() - 1
                }
            };
            out.push_str(&rest[..at]);
            out.push_str(&format!("run{}", number + 1));
            rest = &rest[at + 36..];
        }
        out + rest
    }

    fn compare(self) {
        let path = path_of(self.name);
        let said: String = self
            .lines
            .iter()
            .map(|(label, text)| line(label, text))
            .collect();
        if is_real() && env::var_os("RUNBOOK_CONFORMANCE_RECORD").is_some() {
            fs::write(&path, said).expect("the record can be written");
            return;
        }
        let recorded = fs::read_to_string(&path).unwrap_or_else(|error| {
            panic!(
                "{}: {error}; the live suite writes it with RUNBOOK_CONFORMANCE_RECORD=1:\n{said}",
                path.display()
            )
        });
        let known: Vec<&Difference> = DIFFERENCES
            .iter()
            .filter(|it| it.test == self.name)
            .collect();
        let problems = differing(&recorded, &self.lines, &known, is_real());
        assert!(
            problems.is_empty(),
            "{} against {}:\n{}",
            self.name,
            path.display(),
            problems.join("\n")
        );
    }
}

fn path_of(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it/conformance/recorded")
        .join(format!("{name}.txt"))
}

fn line(label: &str, text: &str) -> String {
    format!("{label}: {}\n", text.replace('\n', "\\n"))
}

/// What differs from the record, in sentences.
fn differing(
    recorded: &str,
    lines: &[(String, String)],
    known: &[&Difference],
    real: bool,
) -> Vec<String> {
    let mut problems = Vec::new();
    let record: Vec<&str> = recorded.lines().collect();
    for (number, (label, text)) in lines.iter().enumerate() {
        let said = line(label, text);
        let said = said.trim_end_matches('\n');
        let server = record.get(number).copied().unwrap_or("(nothing)");
        let entry = known.iter().find(|it| it.label == label);
        match entry {
            Some(entry) if !real => {
                let expected = line(label, entry.simulator);
                if said == server {
                    problems.push(format!(
                        "{label}: no longer differs; remove the entry from differences.rs"
                    ));
                } else if said != expected.trim_end_matches('\n') {
                    problems.push(format!(
                        "{label}: differs otherwise than differences.rs says\n  {said}"
                    ));
                }
            }
            _ if said != server => {
                problems.push(format!("  recorded  {server}\n  here      {said}"));
            }
            _ => {}
        }
    }
    if record.len() > lines.len() {
        problems.push(format!("  not seen here: {:?}", &record[lines.len()..]));
    }
    for entry in known {
        if !lines.iter().any(|(label, _)| label == entry.label) {
            problems.push(format!(
                "{}: differences.rs names a label that the test does not have",
                entry.label
            ));
        }
    }
    problems
}

/// What Rust shows of messages, without fields that hold their default: a new one does not change a record.
fn without_defaults(text: &str) -> String {
    let holds_nothing =
        r#"\b(r#)?[a-z_0-9]+: (""|None|\[\]|\{\}|false|0|0\.0|Unspecified)(, | \})"#;
    let holds_nothing = regex::Regex::new(holds_nothing).expect("a pattern");
    let mut text = text.to_owned();
    while let Some(found) = holds_nothing.captures(&text) {
        let whole = found.get(0).expect("a match").range();
        let close = &found[3] == " }";
        text.replace_range(whole.clone(), if close { "}" } else { "" });
        if close && text[..whole.start].ends_with(", ") {
            text.replace_range(whole.start - 2..whole.start, " ");
        }
    }
    text.replace("{ }", "{}")
}

fn is_uuid(bytes: &[u8]) -> bool {
    bytes.len() >= 36
        && bytes[..36].iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit() && !byte.is_ascii_uppercase(),
        })
}

#[test]
fn what_holds_nothing_is_left_out() {
    let shown =
        without_defaults(r#"Some(A { a: "", b: 1, r#c: None, d: B { e: [], f: 0 }, g: {} })"#);
    assert_eq!(shown, "Some(A { b: 1, d: B {} })");
    assert_eq!(
        without_defaults("A { x: 10, y: 0.5, z: Unspecified }"),
        "A { x: 10, y: 0.5 }"
    );
}

#[test]
fn a_difference_must_be_known_and_differ() {
    let lines = [
        ("a".to_owned(), "1".to_owned()),
        ("b".to_owned(), "2".to_owned()),
    ];
    let entry = |simulator| Difference {
        test: "t",
        label: "b",
        simulator,
        why: "",
    };
    let found =
        |record: &str, entry: &Difference, real| differing(record, &lines, &[entry], real).len();
    assert_eq!(found("a: 1\nb: 9\n", &entry("2"), false), 0, "known");
    assert_eq!(found("a: 1\nb: 9\n", &entry("3"), false), 1, "not as told");
    assert_eq!(
        found("a: 1\nb: 2\n", &entry("2"), false),
        1,
        "no longer differs"
    );
    assert_eq!(
        found("a: 1\nb: 9\n", &entry("2"), true),
        1,
        "the server must say what is recorded"
    );
    assert_eq!(
        found("a: 1\nb: 9\nc: 3\n", &entry("2"), false),
        1,
        "missing"
    );
    assert_eq!(differing("a: 1\nb: 9\n", &lines, &[], false).len(), 1);
    assert!(differing("a: 1\nb: 2\n", &lines, &[], false).is_empty());
}

//! What a reviewer of a pull request gets: `docs`, `diff`, `validate --output github`, `rehearse DIR`, `new`.
//!
//! The built binary in a folder of its own, hermetic; and the library where a table of cases is quicker.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use insta::assert_snapshot;
use regex::Regex;
use runbook::review::{Difference, Kind, compare, page};
use runbook::runbook::Runbook;
use serde_json::Value;
use tempfile::TempDir;

mod pull_request;

/// A folder, and the binary in it.
pub(crate) struct Desk {
    folder: TempDir,
}

impl Desk {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn put(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("created");
        std::fs::write(path, text).expect("written");
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path().join(name)).expect("a file")
    }

    pub(crate) fn output(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_runbook"))
            .args(arguments)
            .current_dir(self.path())
            .env_clear()
            .env("HOME", self.path())
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .output()
            .expect("the binary runs")
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        let text = format!(
            "exit {}\n--- stdout\n{}--- stderr\n{}",
            output.status.code().unwrap_or(-1),
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        // How long something took differs from run to run: the last column of the table.
        let took = [
            (
                r"(?m)^(.* (?:ok|FAILED) .*\S) +[0-9]+ (?:ms|s|min)(?: [0-9]+ s)?$",
                "$1  TOOK",
            ),
            (r"WRITES +TOOK", "WRITES  TOOK"),
        ];
        took.iter().fold(text, |text, (pattern, by)| {
            let pattern = Regex::new(pattern).expect("a pattern");
            pattern.replace_all(&text, *by).into_owned()
        })
    }
}

fn shipped() -> Vec<(PathBuf, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("runbooks");
    let mut found: Vec<(PathBuf, String)> = std::fs::read_dir(folder)
        .expect("the shipped runbooks")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| !path.to_string_lossy().ends_with(".rehearsal.yaml"))
        .map(|path| (path.clone(), std::fs::read_to_string(path).expect("text")))
        .collect();
    found.sort();
    found
}

fn flagship() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("runbooks/recover-pinned-workflows.yaml");
    std::fs::read_to_string(path).expect("the flagship")
}

fn parse(text: &str) -> Runbook {
    Runbook::parse("it.yaml", text.as_bytes()).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

const HOSTILE: &str = r##"schema: runbook/v1
name: hostile
title: "end | `tick` <script>alert(1)</script> \"quoted\" %%{init: {}}%% ]]) --> n1\n# heading @team $x$ ```"
description: "<img src=x onerror=alert(1)>\n\n- list\n\n```\nfence\n```\n\n| a | b |\n|---|---|"
params:
  x: { type: string, default: "a|b`c", description: "x | y\n| z | </td> [l](javascript:alert(1)) **b**" }
  token: { type: string, secret: true }
queries:
  q: "WorkflowType = 'a|`b```c' AND ExecutionStatus = 'Running'"
steps:
  - id: end
    title: "\"] --> x[\"evil\"]; click n1 href \"javascript:alert(1)\" \n end"
    action: workflows.count
    when: ${{ params.x != '"]; end | `' }}
    with: { query: "${{ queries.q }}" }
  - id: subgraph
    title: "<b>bold</b>; style n1 fill:#f00 %% comment &lt; &amp;"
    action: manual.task
    with: { instructions: "````\nout of the fence\n````\n<script>" }
    confirm: { type: "${{ params.x }} \" #35; {}" }
  - id: click
    title: "`markdown **string**`"
    repeat:
      until: ${{ steps.graph.count == 0 }}
      every: 1s
      timeout: 1m
      steps:
        - { id: graph, action: workflows.count, title: "class n1 x; linkStyle default", with: { query: "${{ queries.q }}" } }
"##;

#[test]
fn a_page_of_the_flagship() {
    assert_snapshot!(page(&parse(&flagship())));
}

#[test]
fn a_page_of_a_file_that_means_harm() {
    assert_snapshot!(page(&parse(HOSTILE)));
}

#[test]
fn a_page_says_in_each_place_who_must_agree() {
    let line = "          with: { decision: running }\n";
    let text =
        |confirm: &str| flagship().replacen(line, &format!("{line}          {confirm}\n"), 1);
    let two = page(&parse(&text("confirm: { by: 2, not: starter }")));
    let who = "2 people must agree, none of whom began or resumed the run";
    assert!(two.contains(&format!("{{{{\"{who}\"}}}}:::asks")), "{two}");
    assert_eq!(two.matches(who).count(), 3, "{two}");
    let one = page(&parse(&text("confirm: { by: 1, not: starter }")));
    let who = "1 person must agree, and not who began or resumed the run";
    assert_eq!(one.matches(who).count(), 3, "{one}");
    let word = page(&parse(&text("confirm: { type: go, by: 2 }")));
    assert!(
        word.contains("2 people must agree<br/>somebody types<br/>go"),
        "{word}"
    );
}

#[test]
fn every_shipped_runbook_has_a_page_and_each_step_is_in_it() {
    for (path, text) in shipped() {
        let runbook =
            Runbook::parse("a.yaml", text.as_bytes()).expect("a shipped runbook is valid");
        let again = Runbook::parse("other/name.yaml", text.as_bytes()).expect("still");
        let page = page(&runbook);
        assert_eq!(
            page,
            runbook::review::page(&again),
            "the file's name is not in it"
        );
        for step in runbook.all_steps() {
            assert!(
                page.contains(&format!(" `{}`", step.id)),
                "{}: {}",
                path.display(),
                step.id
            );
        }
        for parameter in runbook.params.keys() {
            assert!(
                page.contains(&format!("| `{parameter}` |")),
                "{}",
                path.display()
            );
        }
        for strategy in runbook.strategies.keys() {
            assert!(
                page.contains(&format!("### Strategy `{strategy}`")),
                "{}",
                path.display()
            );
        }
    }
}

#[test]
fn a_page_that_is_kept_is_compared() {
    let desk = Desk::new();
    desk.put("a.yaml", &flagship());
    assert_snapshot!(
        "no_page_yet",
        desk.run(&["docs", "a.yaml", "--check", "a.md"])
    );
    let written = desk.output(&["docs", "a.yaml", "--out", "a.md"]);
    assert_eq!(written.status.code(), Some(0));
    let printed = desk.output(&["docs", "a.yaml"]);
    assert_eq!(desk.read("a.md"), String::from_utf8_lossy(&printed.stdout));
    desk.put("a.md", &desk.read("a.md").replace('\n', "\r\n"));
    let same = desk.output(&["docs", "a.yaml", "--check", "a.md"]);
    assert_eq!(same.status.code(), Some(0), "line ends are no difference");
    desk.put(
        "a.yaml",
        &flagship().replace("max_failures: 1%", "max_failures: 2%"),
    );
    assert_snapshot!(
        "an_old_page",
        desk.run(&["docs", "a.yaml", "--check", "a.md"])
    );
}

/// The flagship with one text put in place of another.
fn edited(from: &str, to: &str) -> Difference {
    let old = flagship();
    assert!(old.contains(from), "{from}");
    compare(&parse(&old), &parse(&old.replacen(from, to, 1)))
}

#[test]
fn each_edit_is_of_the_kind_that_it_is() {
    use Kind::{
        Added, Affected, Done, Ends, Harmless, Parameter, Safeguard, Step, Stricter, Wider,
    };
    let clean_up = "    confirm: { type: \"${{ params.bad.build_id }}\" }\n";
    let check = "  - that: ${{ params.bad != params.safe and params.bad != params.previous }}\n    else: The bad Version cannot be its own cure.\n";
    let cases: &[(&str, &str, Kind, &str)] = &[
        (
            clean_up,
            "",
            Safeguard,
            "nobody has to type a word any more",
        ),
        (
            clean_up,
            "    confirm: { type: yes-delete }\n",
            Safeguard,
            "always the same",
        ),
        (
            clean_up,
            "    confirm: { type: \"${{ params.bad.build_id }}\", by: 2, not: starter }\n",
            Stricter,
            "others must agree",
        ),
        (check, "", Safeguard, "nothing checks any more"),
        (
            "lock: recover ${{ params.bad }}\n",
            "",
            Safeguard,
            "do not exclude each other any more",
        ),
        (
            "workflows.signal, batch.terminate]",
            "workflows.signal]",
            Safeguard,
            "not forbidden any more",
        ),
        (
            "  forbid: [",
            "  max_workflows: 5\n  forbid: [",
            Stricter,
            "has a ceiling",
        ),
        (
            "count: 5, wait",
            "count: 500, wait",
            Safeguard,
            "another canary",
        ),
        (
            "          canary: { count: 5, wait: 15m }\n",
            "",
            Safeguard,
            "no canary any more",
        ),
        (
            "max_failures: 1%",
            "max_failures: 10%",
            Safeguard,
            "limit of failures is higher",
        ),
        (
            "max_failures: 1%",
            "max_failures: 10",
            Safeguard,
            "limit of failures changed",
        ),
        (
            "max_failures: 1%",
            "max_failures: 0.5%",
            Stricter,
            "limit of failures is lower",
        ),
        (
            "unmatched: halt ",
            "unmatched: leave ",
            Safeguard,
            "what no row takes",
        ),
        (
            "unmatched: leave",
            "unmatched: refuse",
            Stricter,
            "what no row takes",
        ),
        (
            "    AND TemporalWorkflowVersioningBehavior = 'Pinned'\n",
            "",
            Wider,
            "finds more Workflows; used by `closed` and `running`",
        ),
        (
            "'Failed', 'TimedOut'",
            "'Failed', 'TimedOut', 'Canceled'",
            Wider,
            "finds more Workflows",
        ),
        (
            "'Failed', 'TimedOut'",
            "'Failed'",
            Affected,
            "finds fewer Workflows",
        ),
        (
            "class: [move_only, restartable]",
            "class: [move_only, restartable, corrupted]",
            Wider,
            "takes more Workflows",
        ),
        (", task: failing", "", Wider, "takes more Workflows"),
        (
            "class: corrupted, apply: undo_last",
            "class: corrupted, apply: start_over",
            Done,
            "applies another strategy",
        ),
        (
            "class: corrupted, apply: undo_last",
            "class: corrupted, apply: replace",
            Ends,
            "applies another strategy",
        ),
        (
            "to: last_workflow_task",
            "to: first_workflow_task",
            Done,
            "does something else",
        ),
        (
            "running_child: move, never_dispatched: move, reset_before: move }\n\n  undo",
            "running_child: move }\n\n  undo",
            Done,
            "where it is refused",
        ),
        (
            "  - id: affected",
            "  - id: again\n    action: deployment.set_current\n    with: { version: \"${{ params.safe }}\" }\n\n  - id: affected",
            Added,
            "is new",
        ),
        (
            "    when: ${{ steps.drainage.status != 'absent' }}\n",
            "",
            Safeguard,
            "is not skipped any more",
        ),
        ("every: 30s", "every: 10s", Step, "pauses for another time"),
        (
            "id: closed_health",
            "id: closed_healthy",
            Step,
            "is now called `closed_healthy`",
        ),
        (
            "pattern: '^[A-Z]+-[0-9]+$'",
            "pattern: '^.*$'",
            Parameter,
            "permits other values",
        ),
        ("    default: []\n", "", Parameter, "must be given"),
        (
            "title: Count what is affected",
            "title: Count them",
            Harmless,
            "title",
        ),
        (
            "description: The last good",
            "description: The latest good",
            Harmless,
            "description",
        ),
    ];
    for (from, to, kind, words) in cases {
        let difference = edited(from, to);
        let said: Vec<String> = difference
            .changes
            .iter()
            .map(|change| {
                format!(
                    "{:?} {}: {} {:?} {:?}",
                    change.kind,
                    change.place.plain(),
                    change.what.plain(),
                    change.old,
                    change.new
                )
            })
            .collect();
        assert_eq!(
            difference.changes.first().map(|change| change.kind),
            Some(*kind),
            "{from} -> {to}: {said:#?}"
        );
        assert!(said[0].contains(words), "{from} -> {to}: {said:#?}");
        assert_eq!(difference.matters(), *kind != Harmless);
        assert!(said.len() <= 3, "{from} -> {to}: {said:#?}");
    }
}

#[test]
fn what_ends_workflows_comes_before_all_else() {
    let forbid =
        "forbid: [workflows.terminate, workflows.cancel, workflows.signal, batch.terminate]";
    let old = flagship().replacen(forbid, "max_workflows: 500", 1);
    let edits = [
        (
            "action: workflows.update_options\n    with: { version: \"${{ params.safe }}\" }",
            "action: workflows.cancel\n    with: { reason: over }",
        ),
        (
            "  - id: affected",
            "  - id: end\n    action: workflows.terminate\n    with: { select: { ids: [a] }, reason: over }\n\n  - id: affected",
        ),
    ];
    for (from, to) in edits {
        let new = old
            .replacen(from, to, 1)
            .replacen("max_workflows: 500", "max_workflows: 900", 1);
        let difference = compare(&parse(&old), &parse(&new));
        let kinds: Vec<Kind> = difference.changes.iter().map(|it| it.kind).collect();
        assert_eq!(kinds, [Kind::Ends, Kind::Safeguard], "{to}");
        assert!(difference.is_dangerous());
    }
}

#[test]
fn nothing_is_different_where_only_the_text_is() {
    for (path, text) in shipped() {
        let (old, again) = (parse(&text), parse(&text));
        assert_eq!(compare(&old, &again).changes, [], "{}", path.display());
        let plain: String = text
            .lines()
            .filter(|line| !line.trim_start().starts_with('#') && !line.trim().is_empty())
            .map(|line| format!("{line}\n"))
            .collect();
        assert_eq!(
            compare(&old, &parse(&plain)).changes,
            [],
            "{}",
            path.display()
        );
    }
    let spaced = edited(
        "${{ params.bad != params.safe and params.bad != params.previous }}",
        "${{  params.bad != params.safe  and params.bad != params.previous  }}",
    );
    assert_eq!(spaced.changes, []);
}

#[test]
fn a_step_that_asks_or_looks_is_a_safeguard_and_one_that_moved_is_named() {
    let old = parse(&flagship());
    let without = |id: &str| {
        let mut new = old.clone();
        new.steps.retain(|step| step.id != id);
        compare(&old, &new).changes
    };
    for (id, kind) in [
        ("compensate", Kind::Safeguard),
        ("closed_health", Kind::Safeguard),
        ("affected", Kind::Step),
    ] {
        let changes = without(id);
        assert_eq!((changes.len(), changes[0].kind), (1, kind), "{id}");
    }
    let mut moved = old.clone();
    moved.steps.swap(0, 1);
    let changes = compare(&old, &moved).changes;
    assert_eq!(changes.len(), 1, "{changes:#?}");
    assert_eq!(changes[0].kind, Kind::Step);
}

#[test]
fn a_difference_is_told_in_each_format() {
    let desk = Desk::new();
    let old = flagship();
    let new = old
        .replace("max_failures: 1%", "max_failures: 5%")
        .replace(
            "    confirm: { type: \"${{ params.bad.build_id }}\" }\n",
            "",
        )
        .replace(" AND ExecutionStatus = 'Running'", "")
        .replace("title: Count what is affected", "title: \"| `<b>` @team\"");
    desk.put("old.yaml", &old);
    desk.put("new.yaml", &new);
    assert_snapshot!("diff_text", desk.run(&["diff", "old.yaml", "new.yaml"]));
    assert_snapshot!(
        "diff_markdown",
        desk.run(&[
            "diff",
            "old.yaml",
            "new.yaml",
            "--output",
            "markdown",
            "--exit-code"
        ])
    );
    let json = desk.output(&["diff", "old.yaml", "new.yaml", "--output", "json"]);
    let json: Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!(json["schema"], "diff/v1");
    assert_eq!(
        (&json["matters"], &json["dangerous"]),
        (&Value::Bool(true), &Value::Bool(true))
    );
    assert_eq!(json["changes"][0]["kind"], "safeguard");
    assert_snapshot!(
        "diff_of_nothing",
        desk.run(&["diff", "old.yaml", "old.yaml", "--exit-code"])
    );
    desk.put("bad.yaml", "schema: runbook/v1\nname: x\n");
    assert_snapshot!(
        "diff_of_an_invalid_one",
        desk.run(&["diff", "old.yaml", "bad.yaml"])
    );
    assert_snapshot!("diff_of_stdin_twice", desk.run(&["diff", "-", "-"]));
}

#[test]
fn problems_stand_beside_the_lines_of_a_pull_request() {
    let desk = Desk::new();
    desk.put("run,books/a:b.yaml", "schema: runbook/v1\nname: a\nsteps:\n  - id: x\n    action: \"no|such\\n::set-env name=PATH::/evil\"\n");
    desk.put("good.yaml", HOSTILE);
    assert_snapshot!(
        "annotations",
        desk.run(&[
            "validate",
            "--output",
            "github",
            "run,books/a:b.yaml",
            "good.yaml",
            "none.yaml"
        ])
    );
    assert_snapshot!(
        "no_annotations",
        desk.run(&["validate", "--output", "github", "good.yaml"])
    );
    assert_snapshot!(
        "annotations_are_of_validate",
        desk.run(&["docs", "--output", "github", "good.yaml"])
    );
}

#[test]
fn what_is_no_runbook_is_said_once() {
    let desk = Desk::new();
    assert!(desk.output(&["new", "x"]).status.success());
    desk.put("later.yaml", "schema: runbook/v2\nname: x\nphases: []\n");
    desk.put("values.yaml", "bad: orders:bad\nsafe: orders:safe\n");
    desk.put(
        "plan.json",
        r#"{ "schema": "runbook-plan/v1", "plan": {} }"#,
    );
    let all = [
        desk.run(&["plan", "x.rehearsal.yaml"]),
        desk.run(&["rehearse", "x.yaml", "--rehearsal", "x.yaml"]),
        desk.run(&["validate", "later.yaml", "values.yaml", "plan.json"]),
        desk.run(&["rehearse", "nothing.yaml"]),
    ];
    assert_snapshot!("no_runbook", all.concat());
    // Whoever has begun to write one is told all.
    desk.put("begun.yaml", "name: X\nsteps: 3\n");
    let begun = desk.run(&["validate", "begun.yaml"]);
    assert!(begun.contains("3 problems"), "{begun}");
}

#[test]
fn what_new_writes_is_valid_rehearses_and_is_never_overwritten() {
    let desk = Desk::new();
    assert_snapshot!("new", desk.run(&["new", "drain-queue"]));
    let text = desk.read("drain-queue.yaml");
    assert!(
        text.contains("\nname: drain-queue\n")
            && !text.contains("NAME")
            && !text.contains("SCHEMA")
    );
    assert!(text.starts_with("# yaml-language-server: $schema=./runbook.v1.json\n"));
    let valid = desk.output(&["validate", "drain-queue.yaml", "drain-queue.rehearsal.yaml"]);
    assert_eq!(valid.status.code(), Some(0), "{valid:?}");
    let rehearsed = desk.output(&["rehearse", "drain-queue.yaml"]);
    assert_eq!(rehearsed.status.code(), Some(0), "{rehearsed:?}");
    assert_snapshot!("new_again", desk.run(&["new", "drain-queue.yaml"]));
    assert_eq!(desk.read("drain-queue.yaml"), text);
    desk.put("other.rehearsal.yaml", "mine");
    assert_eq!(desk.output(&["new", "other"]).status.code(), Some(2));
    assert!(
        !desk.path().join("other.yaml").exists(),
        "no half of a pair"
    );
    assert_eq!(desk.read("other.rehearsal.yaml"), "mine");
    assert_snapshot!("new_without_a_name", desk.run(&["new", "Drain_Queue"]));
    assert_snapshot!("new_nowhere", desk.run(&["new", "no/such/folder/a"]));
    desk.put("schemas/runbook.v1.json", "{}");
    assert_eq!(desk.output(&["new", "runbooks/a"]).status.code(), Some(0));
    assert!(
        desk.read("runbooks/a.yaml")
            .starts_with("# yaml-language-server: $schema=../schemas/runbook.v1.json\n")
    );
}

#[test]
fn a_folder_is_rehearsed_and_what_fails_is_told_after_the_table() {
    let desk = Desk::new();
    for name in ["books/good", "books/deep/failing"] {
        assert!(desk.output(&["new", "x"]).status.success());
        let (book, rehearsal) = (desk.read("x.yaml"), desk.read("x.rehearsal.yaml"));
        desk.put(&format!("{name}.yaml"), &book);
        let expected = if name.ends_with("good") {
            "count: 12, resets: 1"
        } else {
            "count: 12, resets: 2"
        };
        desk.put(
            &format!("{name}.rehearsal.yaml"),
            &rehearsal.replace("count: 12, resets: 1", expected),
        );
        for file in ["x.yaml", "x.rehearsal.yaml"] {
            std::fs::remove_file(desk.path().join(file)).expect("removed");
        }
    }
    desk.put("books/alone.yaml", &desk.read("books/good.yaml"));
    desk.put("books/values.yaml", "type: Order\n");
    desk.put("books/.hidden/broken.yaml", "schema: runbook/v1\n");
    assert_snapshot!("folder", desk.run(&["rehearse", "books", "--jobs", "2"]));
    let json = desk.output(&["rehearse", "books", "--output", "json", "--jobs", "1"]);
    assert_eq!(json.status.code(), Some(1));
    let json: Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!(json["schema"], "rehearsals/v1");
    assert_eq!(
        json["without_rehearsal"],
        serde_json::json!(["books/alone.yaml"])
    );
    let of = |file: &str| {
        let books = json["runbooks"].as_array().expect("runbooks");
        let book = books
            .iter()
            .find(|book| book["file"] == file)
            .expect("a runbook");
        book["scenarios"]
            .as_array()
            .expect("scenarios")
            .iter()
            .filter(|scenario| scenario["ok"] == true)
            .count()
    };
    assert_eq!(
        (of("books/good.yaml"), of("books/deep/failing.yaml")),
        (4, 2)
    );
    desk.put("books/broken.yaml", "schema: runbook/v1\nname: broken\n");
    desk.put(
        "books/broken.rehearsal.yaml",
        "schema: rehearsal/v1\nscenarios: {}\n",
    );
    assert_snapshot!(
        "files",
        desk.run(&[
            "rehearse",
            "books/broken.rehearsal.yaml",
            "books/good.yaml",
            "books/good.rehearsal.yaml"
        ])
    );
    desk.put("empty/values.yaml", "type: Order\n");
    assert_snapshot!("empty_folder", desk.run(&["rehearse", "empty"]));
    assert_snapshot!(
        "flags_of_one",
        desk.run(&["rehearse", "books", "--scenario", "killed_and_resumed"])
    );
}

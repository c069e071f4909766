//! `runbook validate`: each mistake that the language knows, as a person sees it; laws on arbitrary
//! bytes; hostile files; the shipped files and schemas.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use runbook::cli::schema::{Of, text};
use runbook::diagnostic::{Diagnostic, render};
use runbook::runbook::Runbook;

const FLAGSHIP: &str = include_str!("../../runbooks/recover-pinned-workflows.yaml");
const CASES: &str = include_str!("../fixtures/mistakes.txt");

fn problems(bytes: &[u8]) -> Vec<Diagnostic> {
    Runbook::parse("mistake.yaml", bytes)
        .err()
        .unwrap_or_default()
}

/// The cases of the fixture file: `### name`, then the runbook; a header is added unless it has one,
/// and a step unless it has `steps:`.
fn cases() -> Vec<(&'static str, String)> {
    let split = CASES.split("\n### ").skip(1);
    split
        .map(|case| {
            let (name, body) = case.split_once('\n').unwrap();
            let mut text = String::new();
            if !body.contains("schema:") && !name.starts_with("raw_") {
                text.push_str("schema: runbook/v1\nname: mistake\n");
            }
            text.push_str(body.trim_end_matches('\n'));
            text.push('\n');
            if !body.contains("steps:") && !name.starts_with("raw_") {
                text.push_str("steps:\n  - id: pause\n    action: wait\n    with: { for: 1s }\n");
            }
            (name, text)
        })
        .collect()
}

#[test]
fn every_mistake_is_diagnosed() {
    for (name, text) in cases() {
        let found = problems(text.as_bytes());
        assert!(!found.is_empty(), "{name}: nothing found in\n{text}");
        let places: Vec<_> = found
            .iter()
            .map(|problem| problem.position.as_ref().map(|at| (at.offset, at.length)))
            .collect();
        assert!(
            places
                .windows(2)
                .all(|pair| pair[0].map(|at| at.0) <= pair[1].map(|at| at.0)),
            "{name}: in the order of the text"
        );
        let messages = found.iter().map(|problem| &problem.message);
        let distinct: std::collections::BTreeSet<_> = places.iter().zip(messages).collect();
        assert_eq!(distinct.len(), found.len(), "{name}: none twice");
        let shown = render(&found, false, 100);
        insta::with_settings!({ omit_expression => true, description => text, snapshot_path => "snapshots/mistakes", prepend_module_to_snapshot => false }, {
            insta::assert_snapshot!(name, shown);
        });
    }
}

#[test]
fn every_problem_of_a_file_is_found_in_one_pass() {
    let wrong = FLAGSHIP
        .replace("params.incident", "params.incidnet")
        .replace("decision: closed", "decision: close")
        .replace("every: 30s", "every: 30")
        .replace("title: Count", "titel: Count");
    let found = problems(wrong.as_bytes());
    let messages: Vec<_> = found
        .iter()
        .map(|problem| problem.message.as_str())
        .collect();
    assert_eq!(
        messages
            .iter()
            .filter(|message| **message == "unknown parameter `incidnet`")
            .count(),
        4,
        "{messages:?}"
    );
    assert!(
        messages.contains(&"unknown decision `close`"),
        "{messages:?}"
    );
    assert!(
        messages.contains(&"a number does not belong here"),
        "{messages:?}"
    );
    assert!(messages.contains(&"unknown key `titel`"), "{messages:?}");
}

#[test]
fn bytes_that_are_no_text_are_diagnosed() {
    let mut latin = FLAGSHIP.as_bytes().to_vec();
    latin[300] = 0xfc;
    let bom = [&[0xef, 0xbb, 0xbf], FLAGSHIP.as_bytes()].concat();
    let utf16: Vec<u8> = FLAGSHIP.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let utf16 = [&[0xff, 0xfe], utf16.as_slice()].concat();
    let mut shown = String::new();
    for bytes in [
        latin,
        bom,
        utf16,
        Vec::new(),
        b" \n# nothing\n".to_vec(),
        b"\0\0\0".to_vec(),
    ] {
        shown.push_str(&render(&problems(&bytes), false, 100));
    }
    insta::assert_snapshot!(shown);
}

#[test]
fn hostile_files_are_refused_quickly() {
    let bomb: String = (1..10).fold(
        "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned(),
        |text, level| {
            let below = format!("*a{}, ", level - 1).repeat(9);
            format!(
                "{text}a{level}: &a{level} [{}]\n",
                below.trim_end_matches(", ")
            )
        },
    );
    let deep_flow = "[".repeat(10_000);
    let deep_block: String = (0..1_000)
        .map(|depth| format!("{}a:\n", " ".repeat(depth)))
        .collect();
    let deep_list = "- ".repeat(10_000);
    let deep_expression = format!("vars: {{ a: \"${{{{ {} }}}}\" }}", "(".repeat(1_900));
    let deep_query = format!("queries: {{ a: \"{}A = 1\" }}", "(".repeat(10_000));
    let long_not = format!("queries: {{ a: \"{}A = 1\" }}", "NOT ".repeat(50_000));
    let many = format!("vars: [{}]", "1, ".repeat(100_000));
    let keys: String = (0..40_000).map(|n| format!("k{n}: 1\n")).collect();
    let chain: String = std::iter::once("vars:\n  v0: 1\n".to_owned())
        .chain((1..2_000).map(|n| format!("  v{n}: ${{{{ vars.v{} }}}}\n", n - 1)))
        .collect();
    let huge = "a".repeat(100 * 1024 * 1024);
    let long_line = format!("a: \"{}\n", "x".repeat(900_000));
    let holes = format!("vars: {{ a: \"{}\" }}", "${{".repeat(100_000));
    let open_flow = format!("a: {{ {}", "b: ${{ x }}, ".repeat(20_000));
    let many_holes = format!("vars: {{ a: \"{}\" }}", "${{ x }} ".repeat(100_000));
    let many_reads = format!("vars: {{ a: \"{}\" }}", "${{ x + y + z }} ".repeat(50_000));
    let conditions = "A_ = 1 AND ExecutionStatus = 'x' AND ".repeat(20_000);
    let many_conditions = format!("queries: {{ a: \"{conditions} A = 1\" }}");
    let many_steps = format!("steps:\n{}", "  - { id: a, action: b }\n".repeat(12_000));
    let files = [
        many_holes,
        many_reads,
        many_conditions,
        many_steps,
        bomb,
        deep_flow,
        deep_block,
        deep_list,
        deep_expression,
        deep_query,
        long_not,
        many,
        keys,
        chain,
        huge,
        long_line,
        holes,
        open_flow,
    ];
    let mut shown = String::new();
    for text in files {
        let found = problems(text.as_bytes());
        assert!(!found.is_empty(), "{}", &text[..100]);
        let told: Vec<_> = found
            .into_iter()
            .filter(|problem| !problem.message.starts_with("missing key"))
            .take(1)
            .collect();
        shown.push_str(&render(&told, false, 100));
    }
    insta::assert_snapshot!(shown);
}

#[test]
fn shipped_schemas_are_those_of_the_types() {
    for (name, of) in [
        ("runbook.v1.json", Of::Runbook),
        ("rehearsal.v1.json", Of::Rehearsal),
    ] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("schemas")
            .join(name);
        if std::env::var_os("UPDATE_SCHEMAS").is_some() {
            fs::write(&path, text(of)).unwrap();
        }
        let shipped = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            shipped == text(of),
            "schemas/{name} is stale: run this test with UPDATE_SCHEMAS=1"
        );
    }
}

#[test]
fn every_field_of_the_schema_is_described() {
    fn walk(path: &str, schema: &serde_json::Value, missing: &mut Vec<String>) {
        if let Some(properties) = schema
            .get("properties")
            .and_then(serde_json::Value::as_object)
        {
            for (name, property) in properties {
                let below = format!("{path}.{name}");
                if property.is_object()
                    && property.get("const").is_none()
                    && property.get("description").is_none()
                    && property.get("$ref").is_none()
                {
                    missing.push(below.clone());
                }
                walk(&below, property, missing);
            }
        }
        for key in ["items", "additionalProperties", "else", "then"] {
            if let Some(below) = schema.get(key) {
                walk(path, below, missing);
            }
        }
    }
    let schema: serde_json::Value = serde_json::from_str(&text(Of::Runbook)).unwrap();
    let mut missing = Vec::new();
    walk("", &schema, &mut missing);
    walk("step", &schema["$defs"]["step"], &mut missing);
    for condition in schema["$defs"]["step"]["allOf"].as_array().unwrap() {
        walk("step", &condition["then"], &mut missing);
    }
    assert_eq!(missing, Vec::<String>::new());
}

/// The flagship with a few pieces cut out, doubled, or replaced by something disturbing.
fn mutated() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("${{".to_owned()),
        Just("}}".to_owned()),
        Just("'".to_owned()),
        Just("\"".to_owned()),
        Just("\n".to_owned()),
        Just("\t".to_owned()),
        Just("&a ".to_owned()),
        Just("*a ".to_owned()),
        Just("<<: ".to_owned()),
        Just("- ".to_owned()),
        Just("{".to_owned()),
        Just("]".to_owned()),
        Just(": ".to_owned()),
        Just("|\n".to_owned()),
        Just("ü\u{200d}🦀".to_owned()),
        "\\PC{0,12}",
    ];
    proptest::collection::vec((0..FLAGSHIP.len(), 0..40_usize, piece), 1..6).prop_map(|edits| {
        let mut text = FLAGSHIP.to_owned();
        for (at, length, piece) in edits {
            let start = text.floor_char_boundary(at.min(text.len()));
            let end = text.floor_char_boundary((start + length).min(text.len()));
            text.replace_range(start..end, &piece);
        }
        text
    })
}

/// What must hold of every answer: it can be shown, and each caret lies in the file.
fn well_formed(bytes: &[u8]) {
    let found = problems(bytes);
    let text = render(&found, false, 100);
    assert_eq!(text.is_empty(), found.is_empty());
    for problem in &found {
        let Some(at) = &problem.position else {
            continue;
        };
        assert!(at.line >= 1 && at.column >= 1 && at.length >= 1);
        assert!(at.text.get(at.underline.clone()).is_some(), "{problem:?}");
    }
}

fn validate(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_runbook"))
        .arg("validate")
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_clear()
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn what_ships_is_valid() {
    let files = [
        "runbooks/recover-pinned-workflows.yaml",
        "runbooks/recover-pinned-workflows.rehearsal.yaml",
    ];
    let (code, out, err) = validate(&files);
    assert_eq!((code, out.as_str()), (Some(0), ""), "{err}");
    let (code, out, _) = validate(&[files[0], "--output", "json"]);
    let data: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (code, data),
        (
            Some(0),
            serde_json::json!({ "valid": true, "diagnostics": [] })
        )
    );
}

#[test]
fn the_command_reports_all_files_and_exits_with_2() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wrong.yaml");
    fs::write(
        &path,
        "schema: runbook/v1\nname: x\nsteps:\n  - { id: a, action: wiat }\n",
    )
    .unwrap();
    let wrong = path.to_str().unwrap();
    let missing = folder.path().join("missing.yaml");
    let (code, out, err) = validate(&[wrong, missing.to_str().unwrap(), "runbooks"]);
    let shown = err.replace(folder.path().to_str().unwrap(), "FOLDER");
    assert_eq!((code, out.as_str()), (Some(2), ""));
    insta::assert_snapshot!(shown);
    let (code, out, err) = validate(&[wrong, "--output", "json"]);
    assert_eq!((code, err.as_str()), (Some(2), ""));
    insta::assert_snapshot!(out.replace(folder.path().to_str().unwrap(), "FOLDER"));
}

#[test]
fn an_endless_input_is_refused() {
    let (code, _, err) = validate(&["/dev/zero"]);
    assert_eq!(code, Some(2));
    assert!(err.contains("larger than 1 MiB"), "{err}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        well_formed(&bytes);
    }

    #[test]
    fn arbitrary_text_never_panics(text in "\\PC{0,200}") {
        well_formed(text.as_bytes());
    }

    #[test]
    fn a_mutated_runbook_never_panics(text in mutated()) {
        well_formed(text.as_bytes());
    }
}

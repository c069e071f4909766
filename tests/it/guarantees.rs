//! The page of guarantees: each names tests that exist, and the README names the same guarantees.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const PAGE: &str = include_str!("../../src/guarantees.rs");

struct Part {
    name: String,
    statement: String,
    rests_on: String,
    shown_by: String,
    limits: String,
}

/// The parts of the page, by heading; in each the paragraphs, one line each.
fn parts() -> Vec<Part> {
    let text: String = PAGE
        .lines()
        .map(|line| {
            line.strip_prefix("//!")
                .expect("only documentation")
                .trim()
                .to_owned()
                + "\n"
        })
        .collect();
    let part = |text: &str| {
        let (name, body) = text.split_once('\n').expect("a heading");
        let paragraphs: Vec<String> = body
            .split("\n\n")
            .map(|paragraph| paragraph.trim().replace('\n', " "))
            .filter(|paragraph| !paragraph.is_empty())
            .collect();
        let titled = |title: &str| {
            let mut found = paragraphs.iter().filter_map(|it| it.strip_prefix(title));
            let one = found
                .next()
                .unwrap_or_else(|| panic!("{name}: no `{title}`"));
            assert!(found.next().is_none(), "{name}: `{title}` twice");
            one.trim().to_owned()
        };
        assert_eq!(
            paragraphs.len(),
            4,
            "{name}: a statement and three paragraphs"
        );
        Part {
            name: name.trim().to_owned(),
            statement: paragraphs[0].clone(),
            rests_on: titled("Rests on:"),
            shown_by: titled("Shown by:"),
            limits: titled("Does not cover:"),
        }
    };
    text.split("\n# ").skip(1).map(part).collect()
}

/// What stands between backticks and names a test.
fn tests_named(text: &str) -> Vec<&str> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted
        .filter(|name| {
            ["it::", "lib::", "live::"]
                .iter()
                .any(|kind| name.starts_with(kind))
        })
        .collect()
}

/// The files in which a test of that module may stand.
fn homes(root: &Path, modules: &[&str]) -> Vec<PathBuf> {
    let (kind, inner) = modules.split_first().expect("a kind");
    let base = match *kind {
        "it" => root.join("tests/it"),
        "live" => {
            return vec![
                root.join("tests/live")
                    .join(format!("{}.py", inner.join("/"))),
            ];
        }
        _ => root.join("src"),
    };
    if inner.is_empty() {
        return vec![base.with_extension("rs"), base.join("mod.rs")];
    }
    let path = inner.join("/");
    let beside = path
        .strip_suffix("/tests")
        .map(|path| format!("{path}_tests.rs"));
    let mut homes = vec![
        base.join(format!("{path}.rs")),
        base.join(&path).join("mod.rs"),
    ];
    homes.extend(beside.map(|name| base.join(name)));
    homes
}

fn exists(root: &Path, test: &str) -> bool {
    let mut modules: Vec<&str> = test.split("::").collect();
    let name = modules.pop().expect("a name");
    let keywords = [
        format!("fn {name}("),
        format!("def {name}("),
        format!("        {name}:"),
        format!("    {name}: "),
    ];
    homes(root, &modules).iter().any(|home| {
        let text = fs::read_to_string(home).unwrap_or_default();
        keywords.iter().any(|keyword| text.contains(keyword))
    })
}

#[test]
fn every_part_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut missing = Vec::new();
    for part in parts() {
        assert!(!part.statement.is_empty() && !part.rests_on.is_empty() && !part.limits.is_empty());
        let named = tests_named(&part.shown_by);
        assert!(!named.is_empty(), "{}: shown by nothing", part.name);
        for test in named.iter().chain(&tests_named(&part.limits)) {
            if !exists(root, test) {
                missing.push(format!("{}: {test}", part.name));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
    assert!(!exists(root, "it::service::there_is_no_such_test"));
}

#[test]
fn the_readme_names_the_same_guarantees() {
    let readme = include_str!("../../README.md");
    let section = readme
        .split("\n## Guarantees")
        .nth(1)
        .expect("a section of that name");
    let section = section.split("\n## ").next().expect("its text");
    let told: BTreeSet<&str> = section
        .split("- **")
        .skip(1)
        .filter_map(|item| item.split("**").next())
        .map(|name| name.trim_end_matches('.'))
        .collect();
    let parts = parts();
    let named: BTreeSet<&str> = parts.iter().map(|part| part.name.as_str()).collect();
    assert_eq!(told, named);
}

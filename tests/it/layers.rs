//! The layering: a module uses only modules that `lib.rs` declares above it, and the pure ones touch
//! neither clock, environment, files nor randomness.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The modules of `lib.rs`, in order.
fn order() -> Vec<String> {
    let text = fs::read_to_string(source().join("lib.rs")).unwrap();
    let modules = text
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    modules.map(str::to_owned).collect()
}

/// Every Rust file below `src`, with its module (the first part of its path).
fn files() -> Vec<(String, PathBuf, String)> {
    let mut found = Vec::new();
    let mut open = vec![source()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let relative = path.strip_prefix(source()).unwrap();
                let first = relative
                    .components()
                    .next()
                    .unwrap()
                    .as_os_str()
                    .to_str()
                    .unwrap();
                let module = first.trim_end_matches(".rs").to_owned();
                let is_test = relative
                    .components()
                    .any(|part| part.as_os_str() == "tests")
                    || path.file_stem().is_some_and(|stem| stem == "tests");
                if !is_test {
                    let text = code(&fs::read_to_string(&path).unwrap());
                    found.push((module, relative.to_owned(), text));
                }
            }
        }
    }
    found.sort();
    found
}

/// Code only: comments, texts and what is compiled for tests are blanked, lines are kept.
fn code(text: &str) -> String {
    without_tests(&without_comments(text))
}

fn without_comments(text: &str) -> String {
    let bytes: Vec<char> = text.chars().collect();
    let mut kept = String::new();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let starts = |pattern: &str| {
            pattern
                .chars()
                .enumerate()
                .all(|(offset, c)| rest.get(offset) == Some(&c))
        };
        let end = if starts("//") {
            at + rest.iter().position(|c| *c == '\n').unwrap_or(rest.len())
        } else if starts("/*") {
            at + find(rest, "*/").map_or(rest.len(), |end| end + 2)
        } else if starts("r\"")
            || starts("r#")
                && rest
                    .iter()
                    .skip_while(|c| **c != 'r')
                    .skip(1)
                    .find(|c| **c != '#')
                    == Some(&'"')
        {
            let hashes = rest[1..].iter().take_while(|c| **c == '#').count();
            let close = format!("\"{}", "#".repeat(hashes));
            let body = 2 + hashes;
            at + find(&rest[body..], &close).map_or(rest.len(), |end| body + end + close.len())
        } else if starts("\"") {
            at + quoted(rest)
        } else if starts("'") && (rest.get(1) == Some(&'\\') || rest.get(2) == Some(&'\'')) {
            at + 2
                + rest[2..]
                    .iter()
                    .position(|c| *c == '\'')
                    .map_or(0, |end| end + 1)
        } else {
            kept.push(bytes[at]);
            at += 1;
            continue;
        };
        let end = end.max(at + 1).min(bytes.len());
        kept.extend(bytes[at..end].iter().filter(|c| **c == '\n'));
        kept.push(' ');
        at = end;
    }
    kept
}

fn find(text: &[char], pattern: &str) -> Option<usize> {
    let pattern: Vec<char> = pattern.chars().collect();
    text.windows(pattern.len())
        .position(|window| window == pattern)
}

/// The length of a text in double quotes.
fn quoted(text: &[char]) -> usize {
    let mut at = 1;
    while at < text.len() && text[at] != '"' {
        at += if text[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

/// Blanks each item after `#[cfg(test)]`.
fn without_tests(text: &str) -> String {
    let mut kept = String::new();
    let mut rest = text;
    while let Some(found) = rest.find("#[cfg(test)]") {
        kept.push_str(&rest[..found]);
        let item = &rest[found..];
        let end = match (item.find('{'), item.find(';')) {
            (Some(open), Some(semicolon)) if semicolon < open => semicolon + 1,
            (Some(open), _) => open + block(&item[open..]),
            (None, Some(semicolon)) => semicolon + 1,
            (None, None) => item.len(),
        };
        kept.extend(item[..end].matches('\n').map(|_| '\n'));
        rest = &item[end..];
    }
    kept + rest
}

/// The length of a block in braces.
fn block(text: &str) -> usize {
    let mut depth = 0;
    for (at, character) in text.char_indices() {
        depth += i32::from(character == '{') - i32::from(character == '}');
        if depth == 0 {
            return at + 1;
        }
    }
    text.len()
}

/// The modules of this crate that code names: `crate::x`, `crate::{x, y::z}`.
fn used(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let line = text[..at].matches('\n').count() + 1;
        let rest = &text[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut name = String::new();
            let mut first = true;
            for character in group.chars() {
                match character {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => first = true,
                    c if depth == 0 && first && (c.is_alphanumeric() || c == '_') => {
                        name.push(c);
                        continue;
                    }
                    _ => {}
                }
                if !name.is_empty() {
                    found.push((line, std::mem::take(&mut name)));
                    first = character == ',';
                }
            }
            if !name.is_empty() {
                found.push((line, name));
            }
        } else {
            found.push((
                line,
                rest.chars()
                    .take_while(|c| c.is_alphanumeric() || *c == '_')
                    .collect(),
            ));
        }
    }
    found
}

#[test]
fn a_module_uses_only_modules_above_it() {
    let order = order();
    assert!(order.len() > 20);
    let rank: BTreeMap<_, _> = order
        .iter()
        .enumerate()
        .map(|(rank, name)| (name.as_str(), rank))
        .collect();
    let mut wrong = Vec::new();
    for (module, path, text) in files() {
        let Some(own) = rank.get(module.as_str()) else {
            continue;
        };
        for (line, name) in used(&text) {
            if rank.get(name.as_str()).is_some_and(|other| other > own) {
                wrong.push(format!(
                    "src/{}:{line}: `{module}` uses `{name}`, which is declared below it",
                    path.display()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_module_is_declared_and_every_declared_module_exists() {
    let order = order();
    let mut present: Vec<_> = files()
        .into_iter()
        .map(|(module, ..)| module)
        .filter(|module| !["lib", "main", "bin"].contains(&module.as_str()))
        .collect();
    present.dedup();
    let mut declared = order;
    declared.sort();
    assert_eq!(present, declared);
}

/// What no pure module may name. `std::time::Duration` is a number and allowed.
const IMPURE: &[&str] = &[
    "tokio",
    "std::fs",
    "std::env",
    "std::net",
    "std::process",
    "std::thread",
    "Instant",
    "SystemTime",
    "Timestamp::now",
    "Zoned::now",
    "reqwest",
    "tonic",
    "new_v4",
    "rand::",
    "async fn",
    ".await",
];

/// Whether code names this, as a whole word.
fn names(code: &str, name: &str) -> bool {
    code.match_indices(name)
        .any(|(at, _)| !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
}

#[test]
fn modules_above_the_clock_are_pure() {
    let order = order();
    let clock = order.iter().position(|name| name == "clock").unwrap();
    let pure = &order[..clock];
    let mut wrong = Vec::new();
    for (module, path, text) in files()
        .into_iter()
        .filter(|(module, ..)| pure.contains(module))
    {
        for (line, code) in text.lines().enumerate() {
            for name in IMPURE.iter().filter(|name| names(code, name)) {
                wrong.push(format!(
                    "src/{}:{}: `{module}` is pure, but names `{name}`",
                    path.display(),
                    line + 1
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Only lookups: the order of a `HashMap` differs from run to run.
#[test]
fn pure_modules_do_not_depend_on_hash_order() {
    let order = order();
    let clock = order.iter().position(|name| name == "clock").unwrap();
    let looked_up_only = ["document/build.rs"];
    let mut wrong = Vec::new();
    for (module, path, text) in files() {
        let allowed = looked_up_only
            .iter()
            .any(|allowed| path == Path::new(allowed));
        if order[..clock].contains(&module) && !allowed {
            let lines = text
                .lines()
                .enumerate()
                .filter(|(_, code)| code.contains("HashMap") || code.contains("HashSet"));
            wrong.extend(lines.map(|(line, _)| {
                format!(
                    "src/{}:{}: a hash map in a pure module",
                    path.display(),
                    line + 1
                )
            }));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Asking whether a stream is a terminal writes nothing to it.
#[test]
fn only_ui_writes_to_the_terminal() {
    let writers = [
        "println!",
        "eprintln!",
        "print!",
        "eprint!",
        "io::stdout()",
        "io::stderr()",
    ];
    let mut wrong = Vec::new();
    // `bin` is a program of its own, which links no module: it says one line where it cannot start the other.
    let others = files()
        .into_iter()
        .filter(|(module, ..)| !["ui", "bin"].contains(&module.as_str()));
    for (_, path, text) in others {
        for (line, code) in text.lines().enumerate() {
            let code = code
                .replace("io::stdout().is_terminal()", "")
                .replace("io::stderr().is_terminal()", "");
            let found = writers.iter().filter(|name| code.contains(**name));
            wrong.extend(
                found.map(|name| {
                    format!("src/{}:{}: `{name}` outside `ui`", path.display(), line + 1)
                }),
            );
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_file_says_what_it_is_for() {
    let mut wrong = Vec::new();
    for (_, path, _) in files() {
        let text = fs::read_to_string(source().join(&path)).unwrap();
        if !text.starts_with("//!") {
            wrong.push(format!("src/{}: no header", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_scanner_itself_sees_what_it_should() {
    let text = code(
        "use crate::{a, b::{c, d}, e};\n// crate::f\nlet x = \"crate::g\"; crate::h::i();\n#[cfg(test)]\nmod tests { use crate::j; }\nlet y = '\"'; crate::k();",
    );
    let names: Vec<_> = used(&text)
        .into_iter()
        .map(|(line, name)| format!("{line} {name}"))
        .collect();
    assert_eq!(names, ["1 a", "1 b", "1 e", "3 h", "6 k"]);
}

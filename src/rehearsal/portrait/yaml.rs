//! JSON values as YAML that people like to edit: what fits a line is on one, the rest in blocks.

use std::fmt::Write as _;

use serde_json::Value;

/// The longest flow mapping or list.
const LINE: usize = 110;

/// A mapping as a file's text.
pub(super) fn text(file: &Value) -> String {
    let mut text = String::new();
    entries(file, 0, &mut text);
    text
}

fn entries(value: &Value, indent: usize, text: &mut String) {
    for (key, value) in value.as_object().into_iter().flatten() {
        let _ = write!(text, "{:indent$}{}:", "", scalar(key));
        after_key(value, indent, text);
    }
}

/// What stands after a key: on its line, or below it. The top of the file is never on one line.
fn after_key(value: &Value, indent: usize, text: &mut String) {
    let line = flow(value);
    let fits = indent + line.len() <= LINE && indent > 0;
    match value {
        Value::Object(map) if !fits && !map.is_empty() => {
            text.push('\n');
            entries(value, indent + 2, text);
        }
        Value::Array(items)
            if !items.is_empty() && (!fits || items.iter().any(Value::is_object)) =>
        {
            text.push('\n');
            for item in items {
                let _ = writeln!(text, "{:1$}- {2}", "", indent + 2, flow(item));
            }
        }
        _ => {
            let _ = writeln!(text, " {line}");
        }
    }
}

fn flow(value: &Value) -> String {
    match value {
        Value::Object(map) if map.is_empty() => "{}".to_owned(),
        Value::Object(map) => {
            let entries = map
                .iter()
                .map(|(key, value)| format!("{}: {}", scalar(key), flow(value)));
            format!("{{ {} }}", entries.collect::<Vec<_>>().join(", "))
        }
        Value::Array(items) => {
            let items = items.iter().map(flow);
            format!("[{}]", items.collect::<Vec<_>>().join(", "))
        }
        Value::String(text) => scalar(text),
        other => other.to_string(),
    }
}

/// A text plain where no reader could take it for anything else, else quoted as JSON quotes it, which YAML reads.
fn scalar(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
    let words = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic());
    if begins && text.chars().all(plain) && !words.contains(&text.to_ascii_lowercase().as_str()) {
        return text.to_owned();
    }
    let quoted = Value::from(text).to_string();
    // What JSON leaves as it is and YAML does not print.
    let hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}')
    };
    quoted.chars().fold(String::new(), |mut text, c| {
        if hidden(c) {
            let _ = write!(text, "\\u{:04x}", c as u32);
        } else {
            text.push(c);
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::document::Document;

    fn read(text: &str) -> Value {
        let (document, problems) = Document::parse("world.yaml", text.as_bytes());
        assert!(problems.is_empty(), "{problems:#?} in\n{text}");
        document.expect("a document").root.to_json()
    }

    #[test]
    fn short_things_are_on_a_line() {
        let file = json!({ "a": { "b": [1, 2], "yes": "no", "c": [{ "type": "A", "size": 1.5 }] }, "e": {}, "t": "3h" });
        assert_eq!(
            text(&file),
            "a:\n  b: [1, 2]\n  \"yes\": \"no\"\n  c:\n    - { type: A, size: 1.5 }\ne: {}\nt: \"3h\"\n"
        );
        assert_eq!(read(&text(&file)), file);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(key in "\\PC{0,8}", long in "\\PC{0,200}", list in prop::collection::vec("\\PC{0,12}", 0..20)) {
            let file = json!({ "top": { key: { "list": list, "long": long } } });
            prop_assert_eq!(read(&text(&file)), file);
        }
    }
}

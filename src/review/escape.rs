//! Somebody's text inside Markdown (as GitHub renders it), Mermaid labels and GitHub's workflow commands.
//!
//! Each function gives one piece that shows the text and is nothing else: no heading, link, HTML, table
//! border, mention or command can begin in it. Knows nothing of runbooks.

use std::fmt::Write as _;

use crate::diagnostic::harmless;

/// Blanks and line ends become one blank; what a reader would not see is written out.
pub fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    harmless(&words.join(" ")).into_owned()
}

/// Prose: a heading, a paragraph, a list item or a table's cell. One line.
pub fn inline(text: &str) -> String {
    let text = one_line(text);
    let mut begin = String::new();
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    // What begins a block at the beginning of a line: headings, lists, rules, numbers with a dot.
    let block = match text[digits..].chars().next() {
        Some(c) if digits == 0 => "#+-=:".contains(c),
        Some(c) => matches!(c, '.' | ')'),
        None => false,
    };
    if block {
        begin.push_str(&text[..digits]);
        begin.push('\\');
        return begin + &within(&text[digits..]);
    }
    within(&text)
}

/// The same, where something stands before it in its line. Blanks at its ends are kept.
pub fn within(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 8);
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        push_inline(&mut escaped, c, rest.peek().copied());
    }
    escaped
}

fn push_inline(escaped: &mut String, c: char, next: Option<char>) {
    match c {
        '\\' | '*' | '_' | '[' | ']' | '~' => {
            escaped.push('\\');
            escaped.push(c);
        }
        '&' => escaped.push_str("&amp;"),
        '<' => escaped.push_str("&lt;"),
        '>' => escaped.push_str("&gt;"),
        // Entities, because a backslash does not hide these from every table and formula parser.
        '`' | '|' | '$' => {
            let _ = write!(escaped, "&#{};", u32::from(c));
        }
        // A mention would call somebody: the entity is a blank without width.
        '@' if next.is_some_and(char::is_alphanumeric) => escaped.push_str("@&#8203;"),
        c => escaped.push(c),
    }
}

/// Code within a line, also in a table's cell. Empty text is said to be empty.
pub fn code(text: &str) -> String {
    let text = one_line(text);
    if text.is_empty() {
        return "*(empty)*".to_owned();
    }
    if !text.contains(['`', '|']) {
        return format!("`{text}`");
    }
    format!("<code>{}</code>", within(&text))
}

/// A block of code: lines stay lines.
pub fn fence(language: &str, text: &str) -> String {
    let longest = text
        .split(|c| c != '`')
        .map(str::len)
        .max()
        .unwrap_or_default();
    let fence = "`".repeat(longest.max(2) + 1);
    let mut block = format!("{fence}{language}\n");
    for line in text.trim_end().lines() {
        block.push_str(harmless(line).trim_end());
        block.push('\n');
    }
    block.push_str(&fence);
    block.push('\n');
    block
}

/// Text between the quotes of a Mermaid label. Mermaid writes characters by number as `#60;`. No colon is left: of
/// `style x:#60;` Mermaid 11 takes the semicolon away.
pub fn label(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 8);
    for c in one_line(text).chars() {
        if c.is_alphanumeric() || " .,'/=_-".contains(c) {
            escaped.push(c);
        } else {
            let _ = write!(escaped, "#{};", u32::from(c));
        }
    }
    escaped
}

/// The message of a workflow command: lines stay lines, in one line of output.
pub fn command_message(text: &str) -> String {
    let lines: Vec<String> = text
        .split('\n')
        .map(|line| harmless(line).replace('%', "%25"))
        .collect();
    lines.join("%0A")
}

/// A property of a workflow command.
pub fn command_property(text: &str) -> String {
    harmless(text)
        .replace('%', "%25")
        .replace(':', "%3A")
        .replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Reads escaped prose as a renderer does; none where something in it would not be text.
    fn read_inline(markdown: &str) -> Option<String> {
        let mut text = String::new();
        let mut rest = markdown;
        while let Some(c) = rest.chars().next() {
            let mut length = c.len_utf8();
            match c {
                '\\' => {
                    let next = rest[1..].chars().next()?;
                    if !next.is_ascii_punctuation() {
                        return None;
                    }
                    text.push(next);
                    length += 1;
                }
                '&' => {
                    let end = rest.find(';')?;
                    let entity = &rest[1..end];
                    match entity {
                        "amp" => text.push('&'),
                        "lt" => text.push('<'),
                        "gt" => text.push('>'),
                        "#8203" => {}
                        number => {
                            let number: u32 = number.strip_prefix('#')?.parse().ok()?;
                            text.push(char::from_u32(number)?);
                        }
                    }
                    length = end + 1;
                }
                '*' | '_' | '[' | ']' | '~' | '<' | '>' | '`' | '|' | '$' | '\n' | '\r' => {
                    return None;
                }
                '@' if rest[1..].starts_with(char::is_alphanumeric) => return None,
                c => text.push(c),
            }
            rest = &rest[length..];
        }
        let first = markdown.chars().next().unwrap_or(' ');
        (!"#+-=:>".contains(first)).then_some(text)
    }

    fn nasty() -> impl Strategy<Value = String> {
        let pieces = prop::sample::select(vec![
            "|",
            "`",
            "``",
            "```",
            "\n",
            "\r\n",
            "<script>",
            "</code>",
            "-->",
            "<!--",
            "&lt;",
            "\"",
            "#quot;",
            "]",
            "[x](y)",
            "**",
            "_",
            "\\",
            "$x$",
            "@team",
            "# ",
            "- ",
            "1. ",
            "===",
            "---",
            "%",
            "%0A",
            "::",
            "::error::",
            ",",
            ";",
            "end",
            "%%{init",
            "\u{202e}",
            "\u{0}",
            "é",
            "a",
            " ",
            "ﬂ°°60¶ß",
        ]);
        prop::collection::vec(pieces, 0..8).prop_map(|pieces| pieces.concat())
    }

    fn texts() -> impl Strategy<Value = String> {
        prop_oneof![nasty(), any::<String>()]
    }

    proptest! {
        #[test]
        fn prose_is_read_back_as_it_was(text in texts()) {
            let markdown = inline(&text);
            let read = read_inline(&markdown);
            prop_assert_eq!(read, Some(one_line(&text)), "{}", markdown);
        }

        #[test]
        fn code_does_not_end_before_its_end(text in texts()) {
            let markdown = code(&text);
            prop_assert!(!markdown.contains(['|', '\n', '\r']));
            if let Some(inside) = markdown.strip_prefix("<code>").and_then(|rest| rest.strip_suffix("</code>")) {
                let read = read_inline(&format!("x{inside}")).map(|read| read[1..].to_owned());
                prop_assert_eq!(read, Some(one_line(&text)));
            } else if let Some(inside) = markdown.strip_prefix('`').and_then(|rest| rest.strip_suffix('`')) {
                prop_assert_eq!(inside, one_line(&text));
                prop_assert!(!inside.contains('`'));
            } else {
                prop_assert_eq!(one_line(&text), "");
            }
        }

        #[test]
        fn a_block_ends_where_it_ends(text in texts()) {
            let block = fence("text", &text);
            let lines: Vec<&str> = block.lines().collect();
            let fence = lines[lines.len() - 1];
            prop_assert!(fence.len() >= 3 && fence.chars().all(|c| c == '`'));
            prop_assert!(lines[1..lines.len() - 1].iter().all(|line| !line.contains(fence)));
        }

        #[test]
        fn a_label_holds_no_mark(text in texts()) {
            let label = label(&text);
            let mut rest = label.as_str();
            let mut read = String::new();
            while let Some(at) = rest.find('#') {
                read.push_str(&rest[..at]);
                let end = at + rest[at..].find(';').expect("an end");
                read.push(char::from_u32(rest[at + 1..end].parse().expect("a number")).expect("a character"));
                rest = &rest[end + 1..];
            }
            read.push_str(rest);
            prop_assert_eq!(read, one_line(&text));
            let mark = |c: char| c.is_ascii() && !(c.is_alphanumeric() || " .,'/=_-#;".contains(c));
            prop_assert!(!label.contains(mark), "{}", label);
        }

        #[test]
        fn a_command_is_one_line_and_its_properties_end_where_they_end(text in texts()) {
            let message = command_message(&text);
            prop_assert!(!message.contains(['\n', '\r']));
            let property = command_property(&text);
            prop_assert!(!property.contains(['\n', '\r', ':', ',']));
            let read = property.replace("%3A", ":").replace("%2C", ",").replace("%25", "%");
            prop_assert_eq!(read, harmless(&text));
        }
    }
}

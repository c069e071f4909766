//! Events of the YAML parser → tree, within budgets; what YAML allows and this language does not is
//! diagnosed on the way.

use std::collections::HashMap;
use std::ops::Range;

use serde_json::Number;
use serde_saphyr::granit_parser::{self, ErrorKind, Event, Parser, ScalarStyle, ScanError};

use super::{Content, DEEPEST, Key, MOST_ALIASED_NODES, MOST_NODES, Node, Style};
use crate::diagnostic::{Diagnostic, Kind, Source};

/// More unquoted expressions than this are not repaired.
const MOST_REPAIRS: usize = 50;

/// The tree, if there is one, and the problems.
pub(super) fn build(source: &Source) -> (Option<Node>, Vec<Diagnostic>) {
    let mut text = source.text().to_owned();
    let mut repaired: Vec<Range<usize>> = Vec::new();
    loop {
        let mut builder = Builder::new(source, &repaired);
        match builder.run(&text) {
            Ok(root) => {
                let mut diagnostics = unquoted(source, &repaired);
                diagnostics.append(&mut builder.diagnostics);
                return (root, diagnostics);
            }
            Err(stop) => {
                if let Some(range) = stop
                    .at
                    .and_then(|at| unquoted_expression(&text, at))
                    .filter(|_| repaired.len() < MOST_REPAIRS)
                {
                    text.replace_range(range.start..=range.start, "\"");
                    text.replace_range(range.end - 1..range.end, "\"");
                    repaired.push(range);
                    continue;
                }
                let mut diagnostics = unquoted(source, &repaired);
                diagnostics.append(&mut builder.diagnostics);
                diagnostics.push(stop.diagnostic);
                return (None, diagnostics);
            }
        }
    }
}

fn unquoted(source: &Source, repaired: &[Range<usize>]) -> Vec<Diagnostic> {
    repaired
        .iter()
        .map(|range| {
            let expression = &source.text()[range.clone()];
            Diagnostic::at(
                source,
                range.clone(),
                Kind::Yaml,
                "an expression inside `{ }` or `[ ]` needs quotes",
            )
            .expected(format!("\"{expression}\""))
            .note("without them YAML reads the braces as a mapping")
        })
        .collect()
}

/// The unquoted expression at which the parser stopped: on the same line, shortly before or at `at`.
fn unquoted_expression(text: &str, at: usize) -> Option<Range<usize>> {
    let at = text.floor_char_boundary(at);
    let line = text[..at].rfind('\n').map_or(0, |found| found + 1);
    let line_end = text[at..].find('\n').map_or(text.len(), |found| at + found);
    let search_end = text.floor_char_boundary((at + 3).min(line_end));
    let start = line + text[line..search_end].rfind("${{")?;
    let end = start + text[start..line_end].find("}}")? + 2;
    let before = text[..start].trim_end();
    let inner = &text[start + 3..end - 2];
    (before.ends_with(['{', '[', ',', ':']) && !inner.contains(['"', '\\'])).then_some(start..end)
}

/// Why building stopped.
struct Stop {
    diagnostic: Diagnostic,
    /// Where the parser gave up; none where this program did.
    at: Option<usize>,
}

impl From<Diagnostic> for Stop {
    fn from(diagnostic: Diagnostic) -> Self {
        Self {
            diagnostic,
            at: None,
        }
    }
}

struct Builder<'a> {
    source: &'a Source,
    repaired: &'a [Range<usize>],
    diagnostics: Vec<Diagnostic>,
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
    aliased: usize,
}

/// A collection that is not closed yet.
struct Open {
    anchor: usize,
    range: Range<usize>,
    nodes_before: usize,
    items: Vec<Node>,
    entries: Vec<(Key, Node)>,
    /// Where each key was first given (looked up only, never iterated).
    seen: HashMap<String, usize>,
    /// A mapping's key that waits for its value; the name is none where the key is no scalar.
    key: Option<Key>,
    mapping: bool,
}

impl<'a> Builder<'a> {
    fn new(source: &'a Source, repaired: &'a [Range<usize>]) -> Self {
        Self {
            source,
            repaired,
            diagnostics: Vec::new(),
            anchors: HashMap::new(),
            nodes: 0,
            aliased: 0,
        }
    }

    fn run(&mut self, text: &str) -> Result<Option<Node>, Stop> {
        let mut options =
            granit_parser::options! { flow_nesting_limit: DEEPEST, block_nesting_limit: DEEPEST };
        options.set_emit_comments(false);
        let mut open: Vec<Open> = Vec::new();
        let mut root = None;
        let mut documents = 0;
        for next in Parser::new_from_str_with_options(text, options) {
            let (event, span) = next.map_err(|error| self.scan_error(&error))?;
            let range = span.byte_range().unwrap_or(0..0);
            let node = match event {
                Event::DocumentStart(..) => {
                    documents += 1;
                    if documents > 1 {
                        let end = range.end.max(range.start + 3);
                        return Err(self
                            .at(range.start..end, "a second document in one file")
                            .expected("one document a file")
                            .into());
                    }
                    continue;
                }
                Event::Scalar(value, style, anchor, tag) => {
                    self.refuse_tag(tag.is_some(), &span);
                    let node = self.scalar(&value, style, range);
                    self.remember(anchor, &node, 1);
                    Some(node)
                }
                Event::SequenceStart(_, anchor, tag) | Event::MappingStart(_, anchor, tag)
                    if open.len() >= DEEPEST =>
                {
                    let _ = (anchor, tag);
                    return Err(self.too_deep(range.start).into());
                }
                Event::SequenceStart(_, anchor, tag) => {
                    self.refuse_tag(tag.is_some(), &span);
                    open.push(Open::new(anchor, range, self.nodes, false));
                    None
                }
                Event::MappingStart(_, anchor, tag) => {
                    self.refuse_tag(tag.is_some(), &span);
                    open.push(Open::new(anchor, range, self.nodes, true));
                    None
                }
                Event::SequenceEnd | Event::MappingEnd => open
                    .pop()
                    .map(|collection| self.close(collection, range.end)),
                Event::Alias(id) => Some(self.alias(id, range)?),
                _ => continue,
            };
            self.nodes += 1;
            if self.nodes > MOST_NODES {
                return Err(Diagnostic::of_file(
                    self.source.name(),
                    Kind::Yaml,
                    "the file has more than 50,000 values",
                )
                .into());
            }
            if let Some(node) = node {
                match open.last_mut() {
                    Some(parent) => self.put(parent, node),
                    None => root = Some(node),
                }
            }
        }
        if root
            .as_ref()
            .is_none_or(|node| matches!(node.content, Content::Null) && node.range.is_empty())
        {
            return Err(
                Diagnostic::of_file(self.source.name(), Kind::File, "the file is empty").into(),
            );
        }
        Ok(root)
    }

    fn at(&self, range: Range<usize>, message: impl Into<String>) -> Diagnostic {
        Diagnostic::at(self.source, range, Kind::Yaml, message)
    }

    fn too_deep(&self, at: usize) -> Diagnostic {
        self.at(at..at + 1, format!("nested deeper than {DEEPEST} levels"))
    }

    fn refuse_tag(&mut self, tagged: bool, span: &granit_parser::Span) {
        if tagged {
            let range = span
                .tag_span()
                .unwrap_or(*span)
                .byte_range()
                .unwrap_or(0..0);
            let diagnostic = self.at(range, "YAML tags have no meaning here");
            self.diagnostics
                .push(diagnostic.expected("the value without `!…`"));
        }
    }

    fn remember(&mut self, anchor: usize, node: &Node, nodes: usize) {
        if anchor != 0 {
            self.anchors.insert(anchor, (node.clone(), nodes));
        }
    }

    fn alias(&mut self, id: usize, range: Range<usize>) -> Result<Node, Stop> {
        let Some((node, nodes)) = self.anchors.get(&id) else {
            return Err(self.at(range, "an alias inside its own anchor").into());
        };
        self.aliased += nodes;
        self.nodes += nodes;
        if self.aliased > MOST_ALIASED_NODES {
            let message = format!("aliases add more than {MOST_ALIASED_NODES} values");
            return Err(self
                .at(range, message)
                .note("write them out, or use `vars`")
                .into());
        }
        let node = node.clone();
        if depth(&node) > DEEPEST {
            return Err(self.too_deep(range.start).into());
        }
        Ok(node)
    }

    fn close(&mut self, open: Open, end: usize) -> Node {
        let content = if open.mapping {
            Content::Map(open.entries)
        } else {
            Content::List(open.items)
        };
        let text = self.source.text();
        let end = text.floor_char_boundary(end.max(open.range.start));
        let end = open.range.start
            + text[text.floor_char_boundary(open.range.start)..end]
                .trim_end()
                .len();
        let node = Node {
            range: open.range.start..end,
            content,
        };
        let nodes = self.nodes - open.nodes_before + 1;
        self.remember(open.anchor, &node, nodes);
        node
    }

    /// A value that YAML 1.1 reads as a boolean and YAML 1.2 as text.
    fn refuse_untyped_boolean(&mut self, node: &Node) {
        let Content::Text(value, Style::Plain) = &node.content else {
            return;
        };
        if ["yes", "no", "on", "off", "y", "n"].contains(&value.to_lowercase().as_str()) {
            let diagnostic = self.at(
                node.range.clone(),
                format!("`{value}` is a boolean in some YAML and text in other"),
            );
            self.diagnostics.push(
                diagnostic.expected(format!("`true` or `false`, or `\"{value}\"` with quotes")),
            );
        }
    }

    fn put(&mut self, parent: &mut Open, node: Node) {
        if !parent.mapping || parent.key.is_some() {
            self.refuse_untyped_boolean(&node);
        }
        if !parent.mapping {
            parent.items.push(node);
            return;
        }
        let Some(key) = parent.key.take() else {
            parent.key = Some(self.key(node));
            return;
        };
        if key.name == "<<" {
            let diagnostic = self.at(key.range.clone(), "merge keys are not supported");
            self.diagnostics
                .push(diagnostic.expected("the keys themselves"));
        } else if let Some(first) = parent.seen.get(&key.name) {
            let line = self.source.line_column(*first).0;
            let message = format!("duplicate key `{}`", key.name);
            let diagnostic = self
                .at(key.range.clone(), message)
                .note(format!("it is first given on line {line}"));
            self.diagnostics.push(diagnostic);
        } else {
            parent.seen.insert(key.name.clone(), key.range.start);
            parent.entries.push((key, node));
        }
    }

    fn key(&mut self, node: Node) -> Key {
        let name = match &node.content {
            Content::Text(text, _) => text.clone(),
            Content::Number(_) | Content::Boolean(_) => {
                self.source.text()[node.range.clone()].trim().to_owned()
            }
            Content::Null | Content::List(_) | Content::Map(_) => {
                let diagnostic =
                    self.at(node.range.clone(), format!("a key is {}", node.type_name()));
                self.diagnostics.push(diagnostic.expected("text"));
                String::new()
            }
        };
        Key {
            name,
            range: node.range,
        }
    }

    fn scalar(&mut self, value: &str, style: ScalarStyle, range: Range<usize>) -> Node {
        let style = match style {
            ScalarStyle::Plain => Style::Plain,
            ScalarStyle::SingleQuoted => Style::Single,
            ScalarStyle::DoubleQuoted => Style::Double,
            ScalarStyle::Literal | ScalarStyle::Folded => Style::Block,
        };
        if self.repaired.contains(&range) {
            let text = self.source.text()[range.clone()].to_owned();
            return Node {
                range,
                content: Content::Text(text, Style::Plain),
            };
        }
        let content = match style {
            Style::Plain => self.plain(value, &range),
            _ => Content::Text(value.to_owned(), style),
        };
        let end = self.source.text().floor_char_boundary(range.end);
        let end = if style == Style::Block {
            range.start + self.source.text()[range.start..end].trim_end().len()
        } else {
            end
        };
        Node {
            range: range.start..end,
            content,
        }
    }

    /// The type of a scalar without quotes: YAML 1.2's core schema, with its traps refused.
    fn plain(&mut self, value: &str, range: &Range<usize>) -> Content {
        match value {
            "" | "~" | "null" | "Null" | "NULL" => return Content::Null,
            "true" | "True" | "TRUE" => return Content::Boolean(true),
            "false" | "False" | "FALSE" => return Content::Boolean(false),
            _ => {}
        }
        if [".inf", "-.inf", "+.inf", ".nan"].contains(&value.to_lowercase().as_str()) {
            let diagnostic = self.at(
                range.clone(),
                format!("`{value}` is no number that can be used here"),
            );
            self.diagnostics
                .push(diagnostic.expected("a finite number, or quotes"));
        }
        number(value).map_or_else(
            || Content::Text(value.to_owned(), Style::Plain),
            Content::Number,
        )
    }

    fn scan_error(&self, error: &ScanError) -> Stop {
        let at = error.marker().byte_offset().unwrap_or_default();
        let text = self.source.text();
        let at = text.floor_char_boundary(at);
        let at = if at >= text.len() {
            text.trim_end().len().saturating_sub(1)
        } else {
            at
        };
        let at = text.floor_char_boundary(at);
        let diagnostic = match error.kind() {
            ErrorKind::RecursionLimitExceeded => self.too_deep(at),
            ErrorKind::UnknownAnchor => self.at(
                at..at + token(text, at),
                "an alias of an anchor that does not exist",
            ),
            ErrorKind::TabNotAllowed
            | ErrorKind::TabInBlockIndentation
            | ErrorKind::TabInIndentation
            | ErrorKind::TabAtBlockScalarStart => self.tab(at),
            _ if text[line_start(text, at)..at]
                .trim_start_matches(' ')
                .starts_with('\t')
                || text[at..].starts_with('\t') =>
            {
                self.tab(at)
            }
            ErrorKind::UnclosedQuotedScalar | ErrorKind::InvalidQuotedScalarIndent => {
                let message = "not valid YAML: a text in quotes goes on to here";
                self.at(at..at + 1, message).note(
                    "a quote before this is not closed, or the text's next line is not indented",
                )
            }
            _ => self
                .at(at..at + 1, format!("not valid YAML: {}", error.info()))
                .note(hint(text, at)),
        };
        Stop {
            diagnostic: without_empty_notes(diagnostic),
            at: Some(at),
        }
    }

    fn tab(&self, at: usize) -> Diagnostic {
        let text = self.source.text();
        let start = line_start(text, at);
        let at = text[start..].find('\t').map_or(at, |found| start + found);
        self.at(at..at + 1, "a tab in the indentation")
            .expected("spaces")
    }
}

impl Open {
    fn new(anchor: usize, range: Range<usize>, nodes_before: usize, mapping: bool) -> Self {
        Self {
            anchor,
            range,
            nodes_before,
            items: Vec::new(),
            entries: Vec::new(),
            seen: HashMap::new(),
            key: None,
            mapping,
        }
    }
}

fn without_empty_notes(mut diagnostic: Diagnostic) -> Diagnostic {
    diagnostic.notes.retain(|note| !note.is_empty());
    diagnostic
}

/// What people usually meant where YAML stops.
fn hint(text: &str, at: usize) -> &'static str {
    let start = line_start(text, at);
    let line = text[start..].lines().next().unwrap_or_default();
    if line.contains("${{") {
        "an expression that holds `: `, ` #` or quotes, or stands inside `{ }` or `[ ]`, needs quotes around it"
    } else if line.matches(": ").count() > 1 {
        "text that holds `: ` needs quotes"
    } else {
        ""
    }
}

fn line_start(text: &str, at: usize) -> usize {
    text[..at].rfind('\n').map_or(0, |found| found + 1)
}

fn token(text: &str, at: usize) -> usize {
    text[at..]
        .find([' ', '\n', ',', ']', '}'])
        .unwrap_or(1)
        .max(1)
}

fn depth(node: &Node) -> usize {
    let below = node
        .items()
        .iter()
        .chain(node.entries().map(|(_, node)| node))
        .map(depth)
        .max();
    1 + below.unwrap_or(0)
}

/// A number of YAML's core schema; with a leading zero it is text, as in JSON.
fn number(value: &str) -> Option<Number> {
    let digits = value.strip_prefix(['-', '+']).unwrap_or(value);
    if let Some(hexadecimal) = digits.strip_prefix("0x") {
        return u64::from_str_radix(hexadecimal, 16).ok().map(Number::from);
    }
    if digits.is_empty() || !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    if digits.len() > 1 && digits.starts_with('0') && digits.as_bytes()[1].is_ascii_digit() {
        return None;
    }
    let plain = value.strip_prefix('+').unwrap_or(value);
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return plain
            .parse::<i64>()
            .ok()
            .map(Number::from)
            .or_else(|| plain.parse::<u64>().ok().map(Number::from));
    }
    let shaped = digits
        .bytes()
        .all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'-' | b'+'));
    plain
        .parse::<f64>()
        .ok()
        .filter(|_| shaped)
        .and_then(Number::from_f64)
}

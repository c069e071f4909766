//! Text → a YAML tree with a position for every node.
//!
//! Uses the event parser beneath serde-saphyr, so that notation (quotes, folding, flow style) is known:
//! [`Node::locate`] finds the source bytes of any part of a scalar. Strict: duplicate keys, merge keys,
//! untyped `yes`/`no`, tags, several documents and anything beyond the budgets are diagnosed here.
//! Knows nothing of runbooks.

mod build;
mod locate;

use std::ops::Range;

use serde_json::{Map, Number, Value};

use crate::diagnostic::{Diagnostic, Kind, Source};

/// Larger files are refused unread.
pub const LARGEST_FILE: usize = 1 << 20;
/// Most nodes of a document, aliases expanded.
const MOST_NODES: usize = 50_000;
/// Most nodes that aliases may add.
const MOST_ALIASED_NODES: usize = 2_000;
/// Deepest nesting.
const DEEPEST: usize = 60;

/// A parsed file.
#[derive(Clone, Debug)]
pub struct Document {
    /// The text.
    pub source: Source,
    /// The tree.
    pub root: Node,
}

/// How a scalar is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Without quotes.
    Plain,
    /// `'…'`
    Single,
    /// `"…"`
    Double,
    /// `|` or `>`
    Block,
}

/// A node and where it is written.
#[derive(Clone, Debug)]
pub struct Node {
    /// Bytes of the source.
    pub range: Range<usize>,
    /// What it holds.
    pub content: Content,
}

/// What a node holds.
#[derive(Clone, Debug)]
pub enum Content {
    /// `null`, `~` or nothing.
    Null,
    /// `true` or `false`.
    Boolean(bool),
    /// A number.
    Number(Number),
    /// Text.
    Text(String, Style),
    /// `[…]` or `- …`
    List(Vec<Node>),
    /// Keys and values in order.
    Map(Vec<(Key, Node)>),
}

/// A mapping's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its text.
    pub name: String,
    /// Bytes of the source.
    pub range: Range<usize>,
}

impl Document {
    /// Reads bytes strictly. All problems that leave a tree are returned beside it; without a tree, only they are.
    pub fn parse(name: &str, bytes: &[u8]) -> (Option<Self>, Vec<Diagnostic>) {
        let text = match decode(name, bytes) {
            Ok(text) => text,
            Err(diagnostic) => return (None, vec![diagnostic]),
        };
        let source = Source::new(name, text);
        let (root, diagnostics) = build::build(&source);
        (root.map(|root| Self { source, root }), diagnostics)
    }

    /// A problem at a node.
    pub fn at(&self, node: &Node, kind: Kind, message: impl Into<String>) -> Diagnostic {
        Diagnostic::at(&self.source, node.range.clone(), kind, message)
    }

    /// A problem at a key.
    pub fn at_key(&self, key: &Key, kind: Kind, message: impl Into<String>) -> Diagnostic {
        Diagnostic::at(&self.source, key.range.clone(), kind, message)
    }

    /// A problem at a part of a text.
    pub fn within(
        &self,
        node: &Node,
        part: Range<usize>,
        kind: Kind,
        message: impl Into<String>,
    ) -> Diagnostic {
        Diagnostic::at(
            &self.source,
            node.locate(self.source.text(), part),
            kind,
            message,
        )
    }
}

fn decode(name: &str, bytes: &[u8]) -> Result<String, Diagnostic> {
    let of_file = |message: &str| Diagnostic::of_file(name, Kind::File, message);
    if bytes.len() > LARGEST_FILE {
        return Err(of_file("the file is larger than 1 MiB")
            .note("a runbook is a page or two; is this the right file?"));
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(of_file("the file is UTF-16")
            .expected("UTF-8")
            .note("`iconv -f UTF-16 -t UTF-8` makes it that"));
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let valid = String::from_utf8_lossy(bytes);
            let source = Source::new(name, valid.as_ref());
            let at = error.valid_up_to();
            return Err(
                Diagnostic::at(&source, at..at + 1, Kind::File, "the file is not UTF-8")
                    .expected("UTF-8 text")
                    .note(format!("byte 0x{:02x} at offset {at}", bytes[at])),
            );
        }
    };
    if text.starts_with('\u{feff}') {
        let source = Source::new(name, text);
        return Err(Diagnostic::at(
            &source,
            0..3,
            Kind::File,
            "the file starts with a byte-order mark",
        )
        .expected("UTF-8 without a byte-order mark"));
    }
    Ok(text.to_owned())
}

impl Node {
    /// The value of a key.
    pub fn get(&self, name: &str) -> Option<&Self> {
        self.entry(name).map(|(_, node)| node)
    }

    /// A key and its value.
    pub fn entry(&self, name: &str) -> Option<(&Key, &Self)> {
        self.entries().find(|(key, _)| key.name == name)
    }

    /// Keys and values; none where it is no mapping.
    pub fn entries(&self) -> impl Iterator<Item = (&Key, &Self)> {
        let entries: &[(Key, Self)] = if let Content::Map(entries) = &self.content {
            entries
        } else {
            &[]
        };
        entries.iter().map(|(key, node)| (key, node))
    }

    /// Items; none where it is no list.
    pub fn items(&self) -> &[Self] {
        if let Content::List(items) = &self.content {
            items
        } else {
            &[]
        }
    }

    /// The text, if it is text.
    pub fn text(&self) -> Option<&str> {
        if let Content::Text(text, _) = &self.content {
            Some(text)
        } else {
            None
        }
    }

    /// The text of a key's value.
    pub fn text_of(&self, name: &str) -> Option<&str> {
        self.get(name)?.text()
    }

    /// What people call its type.
    pub fn type_name(&self) -> &'static str {
        match self.content {
            Content::Null => "nothing",
            Content::Boolean(_) => "a boolean",
            Content::Number(_) => "a number",
            Content::Text(..) => "text",
            Content::List(_) => "a list",
            Content::Map(_) => "a mapping",
        }
    }

    /// The same as JSON.
    pub fn to_json(&self) -> Value {
        match &self.content {
            Content::Null => Value::Null,
            Content::Boolean(value) => Value::Bool(*value),
            Content::Number(number) => Value::Number(number.clone()),
            Content::Text(text, _) => Value::String(text.clone()),
            Content::List(items) => items.iter().map(Self::to_json).collect(),
            Content::Map(entries) => {
                let object: Map<_, _> = entries
                    .iter()
                    .map(|(key, node)| (key.name.clone(), node.to_json()))
                    .collect();
                Value::Object(object)
            }
        }
    }

    /// Source bytes of a part of its text, or of all of it where it is not text.
    pub fn locate(&self, source: &str, part: Range<usize>) -> Range<usize> {
        match &self.content {
            Content::Text(text, style) => locate::locate(source, &self.range, text, *style, part),
            _ => self.range.clone(),
        }
    }

    /// Calls `visit` on it and on all below it.
    pub fn walk<'a>(&'a self, visit: &mut impl FnMut(&'a Self)) {
        visit(self);
        self.items().iter().for_each(|item| item.walk(visit));
        self.entries().for_each(|(_, node)| node.walk(visit));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(text: &str) -> (Document, Vec<Diagnostic>) {
        let (document, diagnostics) = Document::parse("f", text.as_bytes());
        (document.unwrap(), diagnostics)
    }

    fn clean(text: &str) -> Document {
        let (document, diagnostics) = root(text);
        assert!(diagnostics.is_empty(), "{diagnostics:?}");
        document
    }

    #[test]
    fn every_style_of_scalar_is_located() {
        for text in [
            "a: one two three\n",
            "a: 'one two three'\n",
            "a: \"one two three\"\n",
            "a: >-\n  one\n  two\n\n  three\n",
            "a: |\n  one\n  two three\n",
            "a: one\n  two\n  three\n",
            "{a: 'one\n   two three'}\n",
            "a: \"\\x41ne\\ttwo \\u00fc three\"\n",
            "a: 'it''s two three'\n",
        ] {
            let document = clean(text);
            let node = document.root.get("a").unwrap();
            let value = node.text().unwrap();
            for word in ["two", "three"] {
                let at = value.find(word).unwrap();
                let range = node.locate(text, at..at + word.len());
                assert_eq!(&text[range], word, "{text}");
            }
        }
    }

    #[test]
    fn scalars_have_the_types_of_the_core_schema() {
        let document = clean("[1, -2, 1.5, 1e3, 0x1f, true, null, ~, 007, 1_000, v1, '1', .5]");
        let json = document.root.to_json();
        assert_eq!(
            json,
            serde_json::json!([
                1, -2, 1.5, 1000.0, 31, true, null, null, "007", "1_000", "v1", "1", 0.5
            ])
        );
    }

    #[test]
    fn all_unquoted_expressions_in_flow_style_are_found() {
        let (document, diagnostics) = root("a: { b: ${{ x }}, c: [${{ y }}] }\n");
        assert_eq!(diagnostics.len(), 2);
        assert_eq!(document.root.to_json()["a"]["b"], "${{ x }}");
        assert_eq!(document.root.to_json()["a"]["c"][0], "${{ y }}");
    }
}

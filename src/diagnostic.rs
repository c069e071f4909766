//! What is wrong with what was written, where, and what was expected: [`Source`], [`Diagnostic`], and
//! their rendering as text and JSON.
//!
//! Pure; knows nothing of YAML, runbooks or terminals (colour is the caller's choice). Positions are
//! bytes inside; lines and columns (characters, from 1) outside.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::ops::Range;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use serde::{Deserialize, Serialize};

/// More diagnostics than this are not shown: nobody reads them, and a hostile file could ask for millions.
const MOST_SHOWN: usize = 500;
/// Longer source lines are cut around the caret.
const LONGEST_LINE: usize = 180;

/// A file's name and text, with the start of each line.
#[derive(Clone)]
pub struct Source {
    inner: Arc<SourceInner>,
}

struct SourceInner {
    name: String,
    text: String,
    lines: Vec<usize>,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Source").field(&self.inner.name).finish()
    }
}

impl Source {
    /// Takes a file's name (for messages) and its text.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        let text = text.into();
        let lines = std::iter::once(0)
            .chain(text.match_indices('\n').map(|(at, _)| at + 1))
            .collect();
        Self {
            inner: Arc::new(SourceInner {
                name: name.into(),
                text,
                lines,
            }),
        }
    }

    /// The file's name.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.inner.text
    }

    /// Line and column, from 1; columns are characters.
    pub fn line_column(&self, offset: usize) -> (usize, usize) {
        let offset = self.floor(offset);
        let line = self
            .inner
            .lines
            .partition_point(|start| *start <= offset)
            .max(1);
        let start = self.inner.lines[line - 1];
        (line, self.inner.text[start..offset].chars().count() + 1)
    }

    /// The bytes of a line (from 1) without its line break.
    fn line_range(&self, line: usize) -> Range<usize> {
        let start = self.inner.lines[line - 1];
        let end = self
            .inner
            .lines
            .get(line)
            .map_or(self.inner.text.len(), |next| next - 1);
        start..start + self.inner.text[start..end].trim_end_matches('\r').len()
    }

    fn floor(&self, offset: usize) -> usize {
        self.inner
            .text
            .floor_char_boundary(offset.min(self.inner.text.len()))
    }
}

/// Where a problem is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Characters that the caret underlines, at least 1.
    pub length: usize,
    /// Byte offset in the file.
    pub offset: usize,
    /// The source line; a long one is cut around the caret.
    pub text: String,
    /// Bytes of `text` that the caret underlines.
    pub underline: Range<usize>,
}

/// What kind of mistake it is: stable names, for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The file cannot be read as text: encoding, size, emptiness.
    File,
    /// Not the YAML that is accepted here.
    Yaml,
    /// A key, type or value that the schema does not have.
    Schema,
    /// A name that does not exist, or not yet.
    Name,
    /// An expression that does not parse, or has the wrong type.
    Expression,
    /// A List Filter that does not parse.
    Query,
    /// A decision table that cannot work.
    Decision,
    /// A step that cannot work.
    Step,
    /// A parameter's value.
    Parameter,
    /// A flag of the command line.
    Usage,
    /// What the runbook's guards do not allow.
    Guard,
}

/// One problem.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Diagnostic {
    /// What kind of mistake.
    pub kind: Kind,
    /// What is wrong; no period at the end.
    pub message: String,
    /// The file, or none for a value from the command line.
    pub file: Option<String>,
    /// Where in it.
    pub position: Option<Position>,
    /// What was expected there.
    pub expected: Option<String>,
    /// The name that was probably meant.
    pub suggestion: Option<String>,
    /// What else helps.
    pub notes: Vec<String>,
}

impl Diagnostic {
    /// A problem at bytes of a file.
    pub fn at(
        source: &Source,
        range: Range<usize>,
        kind: Kind,
        message: impl Into<String>,
    ) -> Self {
        let position = position(source, range);
        Self {
            file: Some(source.name().to_owned()),
            position: Some(position),
            ..Self::plain(kind, message)
        }
    }

    /// A problem of a file as a whole.
    pub fn of_file(file: &str, kind: Kind, message: impl Into<String>) -> Self {
        Self {
            file: Some(file.to_owned()),
            ..Self::plain(kind, message)
        }
    }

    /// A problem without a place.
    pub fn plain(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            file: None,
            position: None,
            expected: None,
            suggestion: None,
            notes: Vec::new(),
        }
    }

    /// Says what was expected.
    #[must_use]
    pub fn expected(mut self, expected: impl Into<String>) -> Self {
        self.expected = Some(expected.into());
        self
    }

    /// Names what was probably meant, if anything near `wrong` is among `known`.
    #[must_use]
    pub fn near<'a>(mut self, wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        self.suggestion = nearest(wrong, known);
        self
    }

    /// Leaves out the line: it may hold a secret. Where it is stays said.
    #[must_use]
    pub fn without_line(mut self) -> Self {
        if let Some(position) = &mut self.position {
            position.text.clear();
            position.underline = 0..0;
        }
        self
    }

    /// Adds a note.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    fn offset(&self) -> usize {
        self.position.as_ref().map_or(0, |position| position.offset)
    }
}

/// Where some bytes of a file are, with their line.
pub fn position(source: &Source, range: Range<usize>) -> Position {
    let start = source.floor(range.start);
    let (line, column) = source.line_column(start);
    let whole = source.line_range(line);
    let start = start.min(whole.end);
    let end = source.floor(range.end.max(start)).clamp(start, whole.end);
    let cut = cut(source.text(), &whole, start, end);
    let end = end.min(cut.end);
    Position {
        line,
        column,
        length: source.text()[start..end].chars().count().max(1),
        offset: start,
        text: source.text()[cut.clone()].to_owned(),
        underline: start - cut.start..end - cut.start,
    }
}

/// The part of a line that is shown: all of it, or a window that begins shortly before the caret.
fn cut(text: &str, whole: &Range<usize>, start: usize, end: usize) -> Range<usize> {
    if whole.len() <= LONGEST_LINE {
        return whole.clone();
    }
    let from = text.floor_char_boundary(start.saturating_sub(LONGEST_LINE / 3).max(whole.start));
    let to = text.floor_char_boundary((from + LONGEST_LINE).min(whole.end));
    from..to
        .max(text.floor_char_boundary(end.min(from + LONGEST_LINE)))
        .max(start)
}

/// The one among `known` that is near `wrong`: a slip of the finger, another case, or a part of it.
pub fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    if wrong.is_empty() || wrong.len() > 100 {
        return None;
    }
    let folded = wrong.to_lowercase().replace('-', "_");
    known
        .into_iter()
        .map(|name| (strsim::osa_distance(&folded, &name.to_lowercase()), name))
        .filter(|(distance, name)| {
            *distance <= (name.len().max(wrong.len()) / 3).max(usize::from(name.len() > 2))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name.to_owned())
}

/// Whether a character could do something to a terminal or to the reader: controls, and the format
/// characters that hide, join or turn the text around them (Unicode's Cf, line and paragraph separators).
pub fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Printable ASCII only: most names, and quick to find out.
pub(crate) fn is_plain(text: &str) -> bool {
    text.bytes().all(|b| matches!(b, b' '..=b'~'))
}

/// Shows what is harmful as an escape (`\n`, `\u{1b}`), and everything else as it is.
pub fn harmless(text: &str) -> Cow<'_, str> {
    if is_plain(text) || !text.chars().any(is_harmful) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            c if is_harmful(c) => {
                let _ = write!(shown, "\\u{{{:x}}}", u32::from(c));
            }
            c => shown.push(c),
        }
    }
    Cow::Owned(shown)
}

/// Orders by file and position, and drops what says the same of the same place twice.
pub fn sort(diagnostics: &mut Vec<Diagnostic>) {
    diagnostics.sort_by_key(Diagnostic::offset);
    let mut seen = std::collections::BTreeSet::new();
    diagnostics.retain(|diagnostic| {
        seen.insert((
            diagnostic.file.clone(),
            diagnostic.offset(),
            diagnostic.message.clone(),
        ))
    });
}

/// Renders diagnostics as text, in the order given; `colour` only for a terminal.
pub fn render(diagnostics: &[Diagnostic], colour: bool, width: usize) -> String {
    let renderer = if colour {
        Renderer::styled()
    } else {
        Renderer::plain()
    }
    .term_width(width.max(40));
    let mut text = String::new();
    for diagnostic in diagnostics.iter().take(MOST_SHOWN) {
        text.push_str(&render_one(&renderer, diagnostic));
        text.push_str("\n\n");
    }
    if let Some(more) = diagnostics
        .len()
        .checked_sub(MOST_SHOWN)
        .filter(|more| *more > 0)
    {
        text.push_str(&format!("… and {more} more\n"));
    }
    text
}

fn render_one(renderer: &Renderer, diagnostic: &Diagnostic) -> String {
    let mut group = Group::with_title(Level::ERROR.primary_title(lines(&diagnostic.message)));
    match (&diagnostic.file, &diagnostic.position) {
        (Some(file), Some(position)) if position.text.is_empty() => {
            let origin = Origin::path(file.as_str())
                .line(position.line)
                .char_column(position.column);
            group = group.element(origin);
        }
        (Some(file), Some(position)) => {
            let snippet = Snippet::source(stand_in(&position.text))
                .line_start(position.line)
                .fold(false)
                .annotation(AnnotationKind::Primary.span(position.underline.clone()));
            let shown_whole =
                position.text[..position.underline.start].chars().count() + 1 == position.column;
            group = if shown_whole {
                group.element(snippet.path(harmless(file)))
            } else {
                let origin = Origin::path(harmless(file))
                    .line(position.line)
                    .char_column(position.column);
                group.element(origin).element(snippet)
            };
        }
        (Some(file), None) => group = group.element(Origin::path(harmless(file))),
        (None, _) => {}
    }
    if let Some(expected) = &diagnostic.expected {
        group = group.element(Level::NOTE.message(lines(&format!("expected {expected}"))));
    }
    for note in &diagnostic.notes {
        group = group.element(Level::NOTE.message(lines(note)));
    }
    if let Some(suggestion) = &diagnostic.suggestion {
        group = group.element(Level::HELP.message(lines(&format!("did you mean `{suggestion}`?"))));
    }
    renderer.render(&[group])
}

/// A source line without what would do something to a terminal: each such character gives way to one that is
/// as long, so that the underline stays where it is. ASCII controls are the renderer's.
fn stand_in(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c.len_utf8() {
            2.. if !is_harmful(c) => shown.push(c),
            1 => shown.push(c),
            2 => shown.push('·'),
            3 => shown.push('\u{fffd}'),
            _ => shown.push_str("\u{fffd}?"),
        }
    }
    shown
}

/// As [`harmless`]; lines stay lines.
fn lines(text: &str) -> String {
    text.split('\n')
        .map(harmless)
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters() {
        let source = Source::new("f", "a\nüö: x\r\n");
        assert_eq!(source.line_column(7), (2, 4));
        let diagnostic = Diagnostic::at(&source, 8..9, Kind::Yaml, "m");
        let position = diagnostic.position.unwrap();
        assert_eq!(
            (position.line, position.column, position.text.as_str()),
            (2, 5, "üö: x")
        );
        assert_eq!(&position.text[position.underline], "x");
    }

    #[test]
    fn long_lines_are_cut_around_the_caret() {
        let source = Source::new(
            "f",
            format!("{}wrong{}", "x".repeat(1000), "y".repeat(1000)),
        );
        let position = position(&source, 1000..1005);
        assert!(position.text.len() <= LONGEST_LINE);
        assert_eq!(&position.text[position.underline], "wrong");
        assert_eq!(position.column, 1001);
    }

    #[test]
    fn offsets_outside_the_text_do_not_panic() {
        let source = Source::new("f", "ü");
        for start in 0..5 {
            for end in 0..5 {
                let diagnostic = Diagnostic::at(&source, start..end, Kind::Yaml, "m");
                assert!(render(&[diagnostic], false, 80).contains("error: m"));
            }
        }
    }

    #[test]
    fn near_names_are_found() {
        assert_eq!(
            nearest("incidnet", ["incident", "safe"]).as_deref(),
            Some("incident")
        );
        assert_eq!(
            nearest("workflow.reset", ["workflows.reset"]).as_deref(),
            Some("workflows.reset")
        );
        assert_eq!(nearest("zzz", ["incident", "safe"]), None);
    }
}

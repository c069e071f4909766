//! From a part of a scalar's text to the source bytes that spell it, for every notation.
//!
//! Walks text and source side by side: escapes are decoded, a folded line break is matched with the
//! whitespace that it came from. Exact for every character that is not whitespace.

use std::ops::Range;

use super::Style;

/// Source bytes of `part` (bytes of `text`, which is written at `range` of `source` in `style`).
pub(super) fn locate(
    source: &str,
    range: &Range<usize>,
    text: &str,
    style: Style,
    part: Range<usize>,
) -> Range<usize> {
    let part = text.floor_char_boundary(part.start)..text.floor_char_boundary(part.end);
    let mut walk = Walk {
        source,
        at: range.start,
        end: range.end.min(source.len()),
        style,
    };
    walk.skip_opening();
    let (mut start, mut end) = (None, walk.at);
    for (offset, character) in text.char_indices() {
        if offset >= part.end && start.is_some() {
            break;
        }
        let spelled = walk.next(character);
        if offset >= part.start {
            start.get_or_insert(spelled.start);
            if offset < part.end {
                end = spelled.end;
            }
        }
    }
    let start = start.unwrap_or(walk.at);
    start..end.max(start)
}

struct Walk<'a> {
    source: &'a str,
    at: usize,
    end: usize,
    style: Style,
}

impl Walk<'_> {
    fn rest(&self) -> &str {
        self.source.get(self.at..self.end).unwrap_or_default()
    }

    fn skip_opening(&mut self) {
        let rest = self.rest();
        self.at += match self.style {
            Style::Plain => 0,
            Style::Single | Style::Double => usize::from(rest.starts_with(['\'', '"'])),
            Style::Block if rest.starts_with(['|', '>']) => rest.find('\n').map_or(0, |at| at + 1),
            Style::Block => 0,
        };
    }

    /// The source bytes that spell the next character of the text.
    fn next(&mut self, character: char) -> Range<usize> {
        if let Some(range) = self.escape(character) {
            return range;
        }
        if !character.is_whitespace() || character == '\u{a0}' {
            let rest = self.rest();
            let after = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '\\');
            if after.starts_with(character) {
                self.at += rest.len() - after.len();
            }
        }
        let start = self.at;
        match self.rest().chars().next() {
            Some(found) if found == character || found.is_whitespace() => {
                self.at += found.len_utf8()
            }
            _ => {}
        }
        start..self.at
    }

    /// A `''` or a backslash escape that stands for `character`.
    fn escape(&mut self, character: char) -> Option<Range<usize>> {
        let skipped = self.rest().len() - self.rest().trim_start().len();
        let from = if character.is_whitespace() {
            self.at
        } else {
            self.at + skipped
        };
        let rest = self.source.get(from..self.end)?;
        let length = match self.style {
            Style::Single if character == '\'' && rest.starts_with("''") => 2,
            Style::Double if rest.starts_with('\\') => escape_length(rest, character)?,
            _ => return None,
        };
        self.at = (from + length).min(self.end);
        Some(from..self.at)
    }
}

fn escape_length(rest: &str, character: char) -> Option<usize> {
    let kind = rest[1..].chars().next()?;
    match kind {
        'x' => Some(4),
        'u' => Some(if u32::from(character) > 0xffff { 12 } else { 6 }),
        'U' => Some(10),
        '\n' | '\r' => None,
        other => Some(1 + other.len_utf8()),
    }
}

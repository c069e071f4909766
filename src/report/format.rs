//! How numbers, times and names are written, and tables: what every text of this tool shares.
//!
//! Pure. Names come from a service that other people fill in: [`harmless`] makes them safe to show,
//! and everything that builds lines here passes through it.

use std::borrow::Cow;
use std::fmt::Write as _;

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ContentArrangement};
use jiff::{SignedDuration, Timestamp};
use unicode_width::UnicodeWidthStr;

use crate::diagnostic::is_plain;
pub use crate::diagnostic::{harmless, is_harmful};

/// How text is laid out. Fixed in tests, found out by `ui` otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Columns of the terminal; none where lines are not to be broken (a file, a pipe).
    pub width: Option<usize>,
    /// Whether more than ASCII may be drawn.
    pub unicode: bool,
    /// Whether colours may be used.
    pub colour: bool,
}

impl Style {
    /// For files and pipes: no colour, no line breaks, ASCII marks.
    pub const PLAIN: Self = Self {
        width: None,
        unicode: false,
        colour: false,
    };

    /// The same, with this width.
    pub fn of_width(self, width: usize) -> Self {
        Self {
            width: Some(width),
            ..self
        }
    }

    /// Puts a tone's colour around `text`, where colours may be used.
    pub fn paint(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            _ if !self.colour => return text.to_owned(),
            Tone::Plain => return text.to_owned(),
            Tone::Good => "32",
            Tone::Warn => "33",
            Tone::Bad => "31",
            Tone::Faint => "2",
            Tone::Strong => "1",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }

    /// The mark that stands before a line of this tone.
    pub fn mark(self, tone: Tone) -> &'static str {
        match (tone, self.unicode) {
            (Tone::Good, true) => "✓",
            (Tone::Good, false) => "+",
            (Tone::Bad, true) => "✗",
            (Tone::Bad, false) => "x",
            (Tone::Warn, _) => "!",
            (Tone::Strong, true) => "›",
            (Tone::Strong, false) => ">",
            (Tone::Plain | Tone::Faint, _) => " ",
        }
    }
}

/// What a piece of text says about how things are; the words say it too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Nothing in particular.
    Plain,
    /// As it should be.
    Good,
    /// Worth a look.
    Warn,
    /// Not as it should be.
    Bad,
    /// Less important.
    Faint,
    /// A heading, a beginning.
    Strong,
}

/// `1234567` as `1,234,567`.
pub fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count with its noun: `1 Workflow`, `1,234 Workflows`.
pub fn count(n: u64, noun: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", number(n))
}

/// A duration in its two largest units: `300 ms`, `5 s`, `2 min 5 s`, `3 h 20 min`, `2 d 4 h`.
pub fn duration(duration: SignedDuration) -> String {
    let seconds = duration.as_secs().max(0);
    let two = |large: i64, name: &str, small: i64, of: &str| match small {
        0 => format!("{large} {name}"),
        _ => format!("{large} {name} {small} {of}"),
    };
    match seconds {
        0 => format!("{} ms", duration.as_millis().max(0)),
        1..60 => format!("{seconds} s"),
        60..3600 => two(seconds / 60, "min", seconds % 60, "s"),
        3600..86400 => two(seconds / 3600, "h", seconds % 3600 / 60, "min"),
        _ => two(seconds / 86400, "d", seconds % 86400 / 3600, "h"),
    }
}

/// A guess in one unit: `in about 40 s`, `in about 3 min`, `in about 2 h`.
pub fn about(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return "at an unknown time".to_owned();
    }
    match seconds {
        s if s < 10.0 => "in a few seconds".to_owned(),
        s if s < 90.0 => format!("in about {:.0} s", (s / 10.0).ceil() * 10.0),
        s if s < 5400.0 => format!("in about {:.0} min", (s / 60.0).round()),
        s if s < 129_600.0 => format!("in about {:.0} h", (s / 3600.0).round()),
        s => format!("in about {:.0} d", (s / 86400.0).round()),
    }
}

/// Date and time in UTC, to the second: `2026-01-01 12:00:00Z`.
pub fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// Month, day and time in UTC, to the minute: `01-31 12:00Z`.
pub fn minute(at: Timestamp) -> String {
    at.strftime("%m-%d %H:%MZ").to_string()
}

/// The time of day in UTC, to the second: `12:00:00Z`.
pub fn time_of_day(at: Timestamp) -> String {
    at.strftime("%H:%M:%SZ").to_string()
}

/// One argument of a command line as a POSIX shell takes it.
pub fn shell_word(word: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        Cow::Borrowed(word)
    } else if word.chars().any(is_harmful) {
        // `$'…'` takes escapes, so that a control character need not be in the line itself.
        let mut quoted = String::from("$'");
        for c in word.chars() {
            match c {
                '\'' | '\\' => quoted.extend(['\\', c]),
                c if is_harmful(c) => {
                    let _ = write!(quoted, "\\U{:08x}", u32::from(c));
                }
                c => quoted.push(c),
            }
        }
        quoted.push('\'');
        Cow::Owned(quoted)
    } else {
        Cow::Owned(format!("'{}'", word.replace('\'', r"'\''")))
    }
}

/// The most that one line, and one cell of a table, shows of somebody's text; JSON has it whole.
const LONGEST_LINE: usize = 4_000;
pub(super) const LONGEST_CELL: usize = 1_000;
/// A line that holds more than this is cut whatever it is: no shell would take it as a command.
const LONGEST: usize = 120_000;

/// The beginning of a very long text, and how much was cut.
pub(super) fn clip(text: &str, most: usize) -> Cow<'_, str> {
    // Bytes are never fewer than characters.
    if text.len() <= most || text.chars().count() <= most {
        return Cow::Borrowed(text);
    }
    let beginning: String = text.chars().take(most).collect();
    let cut = text.chars().count() - most;
    Cow::Owned(format!(
        "{beginning}… [{} more characters]",
        number(cut as u64)
    ))
}

/// What may reach a terminal: the last door, which all text goes through. Line ends and, where `colour`, this
/// tool's own styling pass; everything else that could do something is shown as by [`harmless`]; a line
/// that nobody could read or paste is cut. What was made harmless before is not changed.
pub fn shield(text: &str, colour: bool) -> Cow<'_, str> {
    let open = |c: char| c != '\n' && is_harmful(c);
    if text.len() <= LONGEST && !text.chars().any(open) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for (index, line) in text.split('\n').enumerate() {
        if index > 0 {
            shown.push('\n');
        }
        let mut rest = line;
        let mut safe = String::with_capacity(line.len());
        while let Some(at) = rest.find(is_harmful) {
            safe.push_str(&rest[..at]);
            rest = &rest[at..];
            let length = match styling(rest) {
                Some(length) if colour => length,
                _ => 0,
            };
            if length > 0 {
                safe.push_str(&rest[..length]);
            } else {
                let c = rest.chars().next().unwrap_or_default();
                safe.push_str(&harmless(c.encode_utf8(&mut [0; 4])));
            }
            rest = &rest[length.max(rest.chars().next().map_or(1, char::len_utf8))..];
        }
        safe.push_str(rest);
        shown.push_str(&clip(&safe, LONGEST));
    }
    Cow::Owned(shown)
}

/// The length of an SGR sequence (colours, bold) that a text begins with.
fn styling(text: &str) -> Option<usize> {
    let inside = text.strip_prefix("\u{1b}[")?;
    let digits = inside.len()
        - inside
            .trim_start_matches(|c: char| c.is_ascii_digit() || c == ';')
            .len();
    (digits <= 16 && inside[digits..].starts_with('m')).then_some(2 + digits + 1)
}

/// Columns that a text takes on a terminal.
pub fn columns(text: &str) -> usize {
    if is_plain(text) {
        return text.len();
    }
    UnicodeWidthStr::width(text)
}

/// The beginning of `text` that fits into `width` columns; a cut is marked.
pub fn fit(text: &str, width: usize, unicode: bool) -> String {
    if columns(text) <= width {
        return text.to_owned();
    }
    let mark = if unicode { "…" } else { "..." };
    let room = width.saturating_sub(columns(mark));
    let mut fitted = String::new();
    let mut taken = 0;
    for c in text.chars() {
        taken += unicode_width::UnicodeWidthChar::width(c).unwrap_or(0);
        if taken > room {
            break;
        }
        fitted.push(c);
    }
    fitted.push_str(mark);
    fitted
}

/// Breaks harmless text at spaces so that no line is longer than the style's width; further lines
/// are indented. A word that is too long stays whole: names must be copyable.
pub fn wrap(text: &str, indent: usize, style: Style) -> Vec<String> {
    let width = style.width.unwrap_or(usize::MAX);
    let first = text.len() - text.trim_start_matches(' ').len();
    let mut lines = vec![" ".repeat(first)];
    let mut taken = first;
    let mut empty = true;
    for word in text[first..].split(' ') {
        let needed = columns(word) + usize::from(!empty);
        if !empty && taken + needed > width {
            lines.push(" ".repeat(indent));
            taken = indent;
            empty = true;
        }
        let line = lines.last_mut().expect("it begins with one line");
        if !empty {
            line.push(' ');
            taken += 1;
        }
        line.push_str(word);
        taken += columns(word);
        empty = false;
    }
    lines
}

/// How a column's cells are set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// A table without borders. Cells are made harmless. Where the terminal is too narrow for columns, each
/// row becomes a block of `name: value` lines.
#[derive(Clone, Debug)]
pub struct Table {
    heads: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns.
    pub fn new(heads: &[(&str, Align)]) -> Self {
        Self {
            heads: heads.iter().map(|(h, a)| ((*h).to_owned(), *a)).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row; cells that are missing are empty.
    pub fn row<S: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = S>) {
        let cells = cells
            .into_iter()
            .map(|cell| clip(&harmless(cell.as_ref()), LONGEST_CELL).into_owned());
        self.rows.push(cells.collect());
    }

    /// Whether it has no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table as lines, each ended, indented by two columns.
    pub fn render(&self, style: Style) -> String {
        let kept = self.kept();
        match style.width {
            Some(width) if self.least_width(&kept) + 2 > width => self.blocks(&kept, style),
            _ => self.grid(&kept, style),
        }
    }

    /// Columns in which some row says something: an empty one is left out.
    fn kept(&self) -> Vec<usize> {
        let says = |i: &usize| self.rows.iter().any(|row| !cell(row, *i).is_empty());
        (0..self.heads.len()).filter(says).collect()
    }

    /// Below this, columns would break words apart: heads and numbers whole, words at 12 or less.
    fn least_width(&self, kept: &[usize]) -> usize {
        let of_column = |i: &usize| {
            let (head, align) = &self.heads[*i];
            let widest = self.rows.iter().map(|row| columns(cell(row, *i))).max();
            let needed = match align {
                Align::Right => widest.unwrap_or(0),
                Align::Left => widest.unwrap_or(0).min(12),
            };
            needed.max(columns(head)) + 2
        };
        kept.iter().map(of_column).sum()
    }

    fn grid(&self, kept: &[usize], style: Style) -> String {
        let mut table = comfy_table::Table::new();
        table.load_style(NOTHING);
        match style.width.and_then(|w| u16::try_from(w - 2).ok()) {
            Some(width) => {
                table.set_content_arrangement(ContentArrangement::Dynamic);
                table.set_width(width);
            }
            None => {
                table.set_content_arrangement(ContentArrangement::Disabled);
            }
        }
        table.set_header(kept.iter().map(|i| self.heads[*i].0.as_str()));
        for row in &self.rows {
            table.add_row(kept.iter().map(|i| cell(row, *i)));
        }
        for (column, i) in table.column_iter_mut().zip(kept) {
            column.set_padding((0, 2));
            if self.heads[*i].1 == Align::Right {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        let lines = table.lines();
        lines.fold(String::new(), |mut text, line| {
            let _ = writeln!(text, "{}", format!("  {line}").trim_end());
            text
        })
    }

    fn blocks(&self, kept: &[usize], style: Style) -> String {
        let mut text = String::new();
        for row in &self.rows {
            let mut indent = 2;
            for i in kept.iter().filter(|i| !cell(row, **i).is_empty()) {
                let line = format!(
                    "{}{}: {}",
                    " ".repeat(indent),
                    self.heads[*i].0,
                    cell(row, *i)
                );
                for line in wrap(&line, 6, style) {
                    let _ = writeln!(text, "{line}");
                }
                indent = 4;
            }
        }
        text
    }
}

fn cell(row: &[String], i: usize) -> &str {
    row.get(i).map_or("", String::as_str)
}

/// Text that grows by lines: each made harmless and wrapped, then painted.
#[derive(Clone, Debug)]
pub struct Text {
    style: Style,
    text: String,
}

impl Text {
    /// Empty.
    pub fn new(style: Style) -> Self {
        Self {
            style,
            text: String::new(),
        }
    }

    /// A line; what does not fit goes on below, indented by two more columns.
    pub fn line(&mut self, tone: Tone, line: &str) {
        let line = harmless(line);
        let line = clip(&line, LONGEST_LINE);
        let indent = line.len() - line.trim_start_matches(' ').len() + 2;
        for line in wrap(&line, indent, self.style) {
            let _ = writeln!(self.text, "{}", self.style.paint(tone, line.trim_end()));
        }
    }

    /// A command to be copied: never wrapped.
    pub fn command(&mut self, command: &str) {
        let line = format!("    {}", harmless(command));
        let _ = writeln!(self.text, "{}", self.style.paint(Tone::Strong, &line));
    }

    /// A command that is shown for reference: never wrapped, in the background.
    pub fn faint_command(&mut self, line: &str) {
        let _ = writeln!(
            self.text,
            "{}",
            self.style.paint(Tone::Faint, &harmless(line))
        );
    }

    /// Lines of somebody's text, each as it stands, indented.
    pub fn quote(&mut self, text: &str) {
        for line in text.lines() {
            self.line(Tone::Plain, &format!("    {}", line.trim_end()));
        }
    }

    /// An empty line.
    pub fn gap(&mut self) {
        self.text.push('\n');
    }

    /// A table.
    pub fn table(&mut self, table: &Table) {
        self.text.push_str(&table.render(self.style));
    }

    /// What was built.
    pub fn into_string(self) -> String {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_and_durations_read_like_words() {
        assert_eq!(number(0), "0");
        assert_eq!(number(999), "999");
        assert_eq!(number(1234), "1,234");
        assert_eq!(number(1_000_000), "1,000,000");
        let of = |seconds| duration(SignedDuration::from_secs(seconds));
        assert_eq!(duration(SignedDuration::from_millis(40)), "40 ms");
        assert_eq!(of(5), "5 s");
        assert_eq!(of(125), "2 min 5 s");
        assert_eq!(of(7200), "2 h");
        assert_eq!(of(100_000), "1 d 3 h");
        assert_eq!(about(170.0), "in about 3 min");
        assert_eq!(about(f64::NAN), "at an unknown time");
    }

    #[test]
    fn a_shell_word_needs_quotes_only_where_a_shell_would_read_it() {
        assert_eq!(
            shell_word("classes.Refund=move_only"),
            "classes.Refund=move_only"
        );
        assert_eq!(shell_word("it's"), r"'it'\''s'");
        assert_eq!(shell_word("a\u{1b}b"), r"$'a\U0000001bb'");
        assert_eq!(shell_word(""), "''");
    }

    #[test]
    fn escapes_and_marks_are_shown() {
        assert_eq!(
            harmless("a\u{1b}[31m\u{202e}b\n"),
            r"a\u{1b}[31m\u{202e}b\n"
        );
    }

    proptest! {
        #[test]
        fn nothing_harmful_is_left(text in any::<String>()) {
            prop_assert!(!harmless(&text).chars().any(is_harmful));
            prop_assert!(!shell_word(&text).chars().any(is_harmful));
        }

        #[test]
        fn a_table_holds_nothing_harmful_and_every_cell(cells in prop::collection::vec("[a-z\u{1b}\u{202e}]{1,9}", 1..4), width in 20..120usize) {
            let heads = [("one", Align::Left), ("two", Align::Right), ("three", Align::Left)];
            let mut table = Table::new(&heads);
            table.row(&cells);
            let text = table.render(Style::PLAIN.of_width(width));
            prop_assert!(!text.chars().any(|c| c != '\n' && is_harmful(c)));
            let unbroken: String = Table::render(&table, Style::PLAIN);
            for cell in &cells {
                prop_assert!(unbroken.contains(&*harmless(cell)));
            }
        }

        #[test]
        fn a_fitted_text_fits(text in "\\PC{0,60}", width in 3..40usize) {
            prop_assert!(columns(&fit(&text, width, false)) <= width);
        }
    }
}

//! A terminal, as far as this tool uses one: text, line breaks, and the few sequences that draw over lines. It keeps
//! what scrolled away, and breaks lines anew when its size changes, or does not, as terminals differ in that.

use unicode_width::UnicodeWidthChar;

/// A row, and whether its text goes on in the next one.
#[derive(Clone, Debug, Default)]
struct Row {
    cells: Vec<char>,
    goes_on: bool,
}

/// A terminal.
pub(crate) struct Vt {
    width: usize,
    height: usize,
    rigid: bool,
    rows: Vec<Row>,
    /// From the first row that ever was.
    row: usize,
    column: usize,
    wraps: bool,
}

impl Vt {
    pub(crate) fn new(width: usize, height: usize, rigid: bool) -> Self {
        Self {
            width,
            height,
            rigid,
            rows: vec![Row::default()],
            row: 0,
            column: 0,
            wraps: true,
        }
    }

    /// All that it shows and showed: broken lines as one, without blanks at their ends.
    pub(crate) fn transcript(&self) -> Vec<String> {
        let mut lines = vec![String::new()];
        for row in &self.rows {
            lines.last_mut().expect("one line").extend(&row.cells);
            if !row.goes_on {
                lines.push(String::new());
            }
        }
        let mut lines: Vec<String> = lines
            .iter()
            .map(|line| line.trim_end().to_owned())
            .collect();
        while lines.last().is_some_and(String::is_empty) {
            lines.pop();
        }
        lines
    }

    pub(crate) fn write(&mut self, text: &str) {
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            rest = match c {
                '\u{1b}' => self.sequence(rest),
                _ => {
                    self.character(c);
                    &rest[c.len_utf8()..]
                }
            };
        }
    }

    fn sequence<'a>(&mut self, text: &'a str) -> &'a str {
        let inside = text.strip_prefix("\u{1b}[").expect("only such sequences");
        let end = inside
            .find(|c: char| c.is_ascii_alphabetic())
            .expect("an end");
        let (argument, kind) = (&inside[..end], &inside[end..=end]);
        match (argument, kind) {
            (_, "m") => {}
            ("?7", "l") => self.wraps = false,
            ("?7", "h") => self.wraps = true,
            (up, "A") => {
                let up: usize = up.parse().expect("a number");
                let top = self.rows.len().saturating_sub(self.height);
                self.row = self.row.saturating_sub(up).max(top);
            }
            ("", "K") => self.rows[self.row].cells.truncate(self.column),
            ("", "J") => {
                self.rows[self.row].cells.truncate(self.column);
                self.rows.truncate(self.row + 1);
                self.rows[self.row].goes_on = false;
            }
            other => panic!("{other:?}"),
        }
        &inside[end + 1..]
    }

    fn character(&mut self, c: char) {
        match c {
            '\r' => self.column = 0,
            // As terminals are set: a line feed begins a line.
            '\n' => self.next_row(false),
            c => {
                let columns = c.width().unwrap_or(0);
                if self.column + columns > self.width {
                    match self.wraps {
                        true => self.next_row(true),
                        false => self.column = self.width - columns,
                    }
                }
                let cells = &mut self.rows[self.row].cells;
                while cells.len() < self.column {
                    cells.push(' ');
                }
                cells.truncate(self.column);
                cells.push(c);
                // The second half of a wide character.
                cells.extend((1..columns).map(|_| '\u{200b}'));
                self.column += columns;
            }
        }
    }

    fn next_row(&mut self, goes_on: bool) {
        self.rows[self.row].goes_on = goes_on;
        self.row += 1;
        self.column = 0;
        if self.row == self.rows.len() {
            self.rows.push(Row::default());
        }
    }

    /// Another size. What goes on stays one line, where the terminal breaks lines anew.
    pub(crate) fn resize(&mut self, width: usize, height: usize) {
        self.height = height;
        let before = std::mem::replace(&mut self.width, width);
        if self.rigid {
            if width < before {
                self.rows
                    .iter_mut()
                    .for_each(|row| row.cells.truncate(width));
                self.column = self.column.min(width);
            }
            return;
        }
        let rows = std::mem::take(&mut self.rows);
        let (mut line, mut position) = (Vec::new(), None);
        for (index, row) in rows.into_iter().enumerate() {
            if index == self.row {
                position = Some(line.len() + self.column);
            }
            line.extend(row.cells);
            if !row.goes_on {
                self.break_anew(&std::mem::take(&mut line), position.take());
            }
        }
        if !line.is_empty() {
            self.break_anew(&line, position);
        }
    }

    fn break_anew(&mut self, line: &[char], cursor: Option<usize>) {
        let first = self.rows.len();
        let pieces = line.chunks(self.width);
        let mut rows: Vec<Row> = pieces
            .map(|piece| Row {
                cells: piece.to_vec(),
                goes_on: true,
            })
            .collect();
        if rows.is_empty() {
            rows.push(Row::default());
        }
        rows.last_mut().expect("one row").goes_on = false;
        if let Some(at) = cursor {
            self.row = first + (at / self.width).min(rows.len() - 1);
            self.column = at - (self.row - first) * self.width;
        }
        self.rows.append(&mut rows);
    }
}

//! The lines at the foot of the terminal that are drawn over: which bytes draw them, and which take them away.
//!
//! Knows how terminals move their cursor and how they break lines when they become narrower; knows neither what
//! the lines say nor where the bytes go. The cursor stays behind the last line, so that a terminal that is taken
//! away in the middle shows nothing odd. Lines are cut by the terminal, too, while they are drawn: a character
//! that it shows wider than expected breaks nothing.

use std::fmt::Write as _;

use crate::report::columns;

/// While lines are drawn, the terminal cuts what is too long.
const NO_WRAP: &str = "\u{1b}[?7l";
const WRAP: &str = "\u{1b}[?7h";
const CLEAR_LINE: &str = "\u{1b}[K";
const CLEAR_BELOW: &str = "\u{1b}[J";

/// What is drawn now.
#[derive(Debug, Default)]
pub(super) struct Region {
    lines: Vec<String>,
    /// Columns of the terminal when they were drawn.
    width: usize,
    /// Whether the terminal breaks lines anew when it becomes narrower.
    rigid: bool,
}

impl Region {
    /// On a terminal that breaks lines anew when it becomes narrower, unless it is `rigid`.
    pub(super) fn new(rigid: bool) -> Self {
        Self {
            rigid,
            ..Self::default()
        }
    }

    pub(super) fn is_drawn(&self) -> bool {
        !self.lines.is_empty()
    }

    /// Draws `lines` over what is drawn, on a terminal that has `width` columns now.
    pub(super) fn draw(&mut self, lines: Vec<String>, width: usize) -> String {
        let mut bytes = self.home(width);
        self.lines = lines;
        self.width = width;
        self.place(&mut bytes);
        bytes
    }

    /// `text`, which ends with a line break, above the lines.
    pub(super) fn above(&mut self, text: &str, width: usize) -> String {
        let mut bytes = self.home(width);
        if self.is_drawn() {
            bytes.push_str(CLEAR_BELOW);
        }
        bytes.push_str(text);
        self.width = width;
        self.place(&mut bytes);
        bytes
    }

    /// Takes the lines away.
    pub(super) fn erase(&mut self, width: usize) -> String {
        let mut bytes = self.home(width);
        if self.is_drawn() {
            bytes.push_str(CLEAR_BELOW);
        }
        self.lines.clear();
        bytes
    }

    /// Somebody else wrote to the terminal: where the lines are now, nobody knows. They stay where they are.
    pub(super) fn abandon(&mut self) -> &'static str {
        let left = self.is_drawn();
        self.lines.clear();
        if left { "\r\n" } else { "" }
    }

    /// To the first column of the first line.
    fn home(&self, width: usize) -> String {
        if !self.is_drawn() {
            return String::new();
        }
        let rows: usize = self.lines.iter().map(|line| self.rows(line, width)).sum();
        match rows - 1 {
            0 => "\r".to_owned(),
            up => format!("\r\u{1b}[{up}A"),
        }
    }

    /// Rows that a line takes by now.
    fn rows(&self, line: &str, width: usize) -> usize {
        if self.rigid || width >= self.width {
            return 1;
        }
        let shown = columns(&without_styling(line)).min(self.width);
        shown.div_ceil(width.max(1)).max(1)
    }

    fn place(&self, bytes: &mut String) {
        if !self.is_drawn() {
            return;
        }
        bytes.push_str(NO_WRAP);
        for (index, line) in self.lines.iter().enumerate() {
            if index > 0 {
                bytes.push_str("\r\n");
            }
            let _ = write!(bytes, "{line}{CLEAR_LINE}");
        }
        bytes.push_str(CLEAR_BELOW);
        bytes.push_str(WRAP);
    }
}

/// Without this tool's own colours: the lines hold no other escape sequences.
fn without_styling(line: &str) -> String {
    let mut bare = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('\u{1b}') {
        bare.push_str(before);
        rest = after.split_once('m').map_or("", |(_, rest)| rest);
    }
    bare + rest
}

/// Whether the terminal that these variables describe leaves lines as they are when it becomes narrower: xterm
/// (which names itself), the Linux console, GNU screen outside of tmux. All others that are in use break them anew.
pub(super) fn is_rigid(variable: impl Fn(&str) -> Option<String>) -> bool {
    let term = variable("TERM").unwrap_or_default();
    let multiplexed = variable("TMUX").is_some_and(|value| !value.is_empty());
    let xterm = variable("XTERM_VERSION").is_some_and(|value| !value.is_empty());
    !multiplexed && (xterm || term == "linux" || term.starts_with("screen"))
}

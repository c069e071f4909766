//! A run on the terminal while it goes on.
//!
//! On a live terminal lines scroll above a few that are drawn over; without one there are only lines,
//! and never an escape sequence.

use std::time::{Duration, Instant};

use super::{Line, Narrator, Ui, status_lines};
use crate::record::Record;
use crate::report::{Report, Tone};
use crate::run::{Display, Progress};

/// Live lines are made at most this often: a rehearsal's hours pass in moments.
const DRAW: Duration = Duration::from_millis(100);
/// Without live lines, one line at least this often while a step works or waits.
const SPEAK: Duration = Duration::from_secs(10);

/// Draws a run.
pub struct LiveDisplay {
    ui: Ui,
    narrator: Narrator,
    drawn: Option<Instant>,
    spoken: Instant,
    said: Vec<String>,
}

impl LiveDisplay {
    /// On this terminal.
    pub fn new(ui: Ui) -> Self {
        let narrator = match ui.is_live() {
            true => Narrator::beside_live(),
            false => Narrator::whole(),
        };
        Self {
            ui,
            narrator,
            drawn: None,
            spoken: Instant::now(),
            said: Vec::new(),
        }
    }

    /// The fold of what was shown: the summary is made from it.
    pub fn report(&self) -> &Report {
        self.narrator.report()
    }

    fn draw(&mut self, progress: &Progress) {
        if self.drawn.is_some_and(|drawn| drawn.elapsed() < DRAW) {
            return;
        }
        self.drawn = Some(Instant::now());
        let lines = status_lines(self.report(), progress, self.ui.err_style());
        self.ui.draw(&lines);
    }

    /// What live lines would show, as plain lines, where nothing else was said for a while.
    fn speak(&mut self, progress: &Progress) {
        if self.spoken.elapsed() < SPEAK {
            return;
        }
        self.spoken = Instant::now();
        let mut plain = self.ui.err_style();
        plain.width = None;
        let lines = status_lines(self.report(), progress, plain);
        if lines == self.said {
            return;
        }
        for line in &lines {
            self.ui.line(Tone::Plain, line);
        }
        self.said = lines;
    }
}

impl Display for LiveDisplay {
    fn record(&mut self, record: &Record) {
        let lines = self.narrator.tell(record);
        if lines.is_empty() {
            return;
        }
        self.spoken = Instant::now();
        let style = self.ui.err_style();
        let text: String = lines.iter().map(|line: &Line| line.render(style)).collect();
        self.ui.say(&text);
    }

    fn progress(&mut self, progress: &Progress) {
        match self.ui.is_live() {
            true => self.draw(progress),
            false => self.speak(progress),
        }
    }
}

impl Drop for LiveDisplay {
    fn drop(&mut self) {
        self.ui.clear();
    }
}

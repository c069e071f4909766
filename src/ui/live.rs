//! A run on the terminal while it goes on.
//!
//! On a live terminal lines scroll above a few that are drawn over; without one there are only lines,
//! and never an escape sequence.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::{Line, Narrator, Ui, status_lines};
use crate::record::{Place, Record};
use crate::report::{Report, Style, Tone};
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
    waits: Waits,
}

/// What is waited for, over several pieces of progress: not each repeats it.
#[derive(Default)]
struct Waits {
    step: Option<Place>,
    what: Option<String>,
    calling: bool,
    /// When the last call ended: what is waited for was asked about then.
    checked: Option<Timestamp>,
}

impl Waits {
    fn follow(&mut self, progress: &Progress) {
        if self.step != progress.step || progress.in_flight > 0 {
            self.what = None;
        }
        if self.step != progress.step {
            self.step.clone_from(&progress.step);
            self.checked = None;
        }
        if self.calling && progress.in_flight == 0 {
            self.checked = Some(progress.now);
        }
        self.calling = progress.in_flight > 0;
        if progress.waiting_for.is_some() {
            self.what.clone_from(&progress.waiting_for);
        }
    }
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
            waits: Waits::default(),
        }
    }

    /// Folds in what an earlier process wrote down, without a line: the summary is of the whole run.
    pub fn recall(&mut self, record: &Record) {
        self.narrator.tell(record);
    }

    /// The fold of what was shown: the summary is made from it.
    pub fn report(&self) -> &Report {
        self.narrator.report()
    }

    fn lines(&self, progress: &Progress, style: Style) -> Vec<String> {
        let progress = Progress {
            waiting_for: self.waits.what.clone(),
            ..progress.clone()
        };
        status_lines(self.report(), &progress, self.waits.checked, style)
    }

    fn draw(&mut self, progress: &Progress) {
        if self.drawn.is_some_and(|drawn| drawn.elapsed() < DRAW) {
            return;
        }
        self.drawn = Some(Instant::now());
        let lines = self.lines(progress, self.ui.err_style());
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
        let lines = self.lines(progress, plain);
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
        self.waits.follow(progress);
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

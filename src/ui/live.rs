//! A run on the terminal while it goes on.
//!
//! On a live terminal lines scroll above those that show the whole run and are drawn over; without one there are
//! only lines, and never an escape sequence. Nothing is silent for long either way.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::screen::current;
use super::{Line, Narrator, Screen, Trail, Ui, layout, paint, status_lines};
use crate::record::{Body, Place, Record};
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
    trail: Trail,
    drawn: Option<Instant>,
    frame: usize,
    spoken: Instant,
    said: Vec<String>,
    waits: Waits,
    /// The latest.
    progress: Option<Progress>,
}

/// What is waited for, over several pieces of progress: not each repeats it.
#[derive(Default)]
struct Waits {
    step: Option<Place>,
    what: Option<String>,
    until: Option<Timestamp>,
    calling: bool,
    /// When the last call ended: what is waited for was asked about then.
    checked: Option<Timestamp>,
}

impl Waits {
    /// A step that is over waits for nothing.
    fn apply(&mut self, record: &Record) {
        if let Body::StepEnded { place, .. } = &record.body
            && self.step.as_ref() == Some(place)
        {
            *self = Self {
                step: self.step.take(),
                calling: self.calling,
                ..Self::default()
            };
        }
    }

    fn follow(&mut self, progress: &Progress) {
        if self.step != progress.step || progress.in_flight > 0 {
            self.what = None;
            self.until = None;
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
            self.until = progress.until;
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
            trail: Trail::default(),
            drawn: None,
            frame: 0,
            spoken: Instant::now(),
            said: Vec::new(),
            waits: Waits::default(),
            progress: None,
        }
    }

    /// Folds in what an earlier process wrote down, without a line: the summary is of the whole run.
    pub fn recall(&mut self, record: &Record) {
        self.narrator.tell(record);
        self.trail.apply(record);
    }

    /// The fold of what was shown: the summary is made from it.
    pub fn report(&self) -> &Report {
        self.narrator.report()
    }

    /// Progress, with what is still waited for.
    fn whole(&self, progress: &Progress) -> Progress {
        Progress {
            waiting_for: self.waits.what.clone(),
            until: self.waits.until,
            ..progress.clone()
        }
    }

    fn is_due(&self) -> bool {
        self.drawn.is_none_or(|drawn| drawn.elapsed() >= DRAW)
    }

    fn draw(&mut self, progress: &Progress) {
        if !self.is_due() {
            return;
        }
        self.drawn = Some(Instant::now());
        self.frame += 1;
        let progress = self.whole(progress);
        let checked = self.waits.checked;
        let screen = Screen::of(self.report(), &self.trail, &progress, checked);
        let style = self.ui.err_style();
        let (width, height) = self.ui.size();
        let lines = layout(&screen, width, height, self.frame, style);
        let lines: Vec<String> = lines.iter().map(|line| paint(line, style)).collect();
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
        let (progress, checked) = (self.whole(progress), self.waits.checked);
        let speed = self.trail.speed();
        let lines = status_lines(self.report(), &progress, checked, speed, plain);
        if lines == self.said {
            return;
        }
        for line in &lines {
            self.ui.line(Tone::Plain, line);
        }
        self.said = lines;
    }

    /// Draws, where something can be drawn over; else speaks.
    fn show(&mut self, progress: &Progress) {
        match self.ui.is_live() && self.ui.is_foreground() {
            true => self.draw(progress),
            false => {
                // In the background of a shell nothing is drawn; what was is the shell's by now.
                self.ui.draw(&[]);
                self.speak(progress);
            }
        }
    }
}

impl Display for LiveDisplay {
    fn record(&mut self, record: &Record) {
        let lines = self.narrator.tell(record);
        self.trail.apply(record);
        self.waits.apply(record);
        if !lines.is_empty() {
            self.spoken = Instant::now();
            let style = self.ui.err_style();
            let text: String = lines.iter().map(|line: &Line| line.render(style)).collect();
            self.ui.say(&text);
        }
        // Records come in crowds: what is drawn keeps up between two pieces of progress, too.
        if self.ui.is_live()
            && self.is_due()
            && let Some(progress) = self.progress.clone()
        {
            let now = progress.now.max(record.at);
            self.show(&Progress { now, ..progress });
        }
    }

    fn progress(&mut self, progress: &Progress) {
        self.waits.follow(progress);
        if let Some(step) = current(self.narrator.report(), progress) {
            self.trail.sample(step, progress.now);
        }
        self.show(progress);
        self.progress = Some(progress.clone());
    }
}

impl Drop for LiveDisplay {
    fn drop(&mut self) {
        self.ui.clear();
    }
}

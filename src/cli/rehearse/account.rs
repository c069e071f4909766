//! The account of one scenario: a line for what matters, when it happens, with simulated time.
//!
//! What a loop repeats becomes one line with a number. Layout; it consumes records and calls nothing.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use super::Told;
use crate::record::{Answer, Body, Record, StepStatus};
use crate::report::{Report, StepReport};
use crate::run::{Display, Progress};
use crate::ui::{
    Align, Line, Narrator, Style, Table, Text, Tone, Ui, count, duration, fit, number, status_lines,
};

/// Live lines are made at most this often.
const DRAW: Duration = Duration::from_millis(100);
/// Columns of a question, at most.
const QUESTION: usize = 120;

/// Tells a scenario while it takes place.
pub struct Account {
    ui: Ui,
    narrator: Narrator,
    /// Not where the data is JSON.
    tells: bool,
    /// Stdout cannot be written.
    closed: bool,
    asked: Option<String>,
    /// Who agreed to it, where several must.
    agreed: Vec<String>,
    /// Whether the last attachment ended in a way that is on record.
    ended: bool,
    repeats: Repeats,
    drawn: Option<Instant>,
}

/// Lines that say again what was said, kept back until something else happens.
#[derive(Default)]
struct Repeats {
    /// By step: how often it ended since, and its latest line.
    endings: BTreeMap<String, (u32, Option<Line>)>,
    /// By step: the error that is tried again, how often since it was said, and when last.
    errors: BTreeMap<String, (String, u32, Timestamp)>,
}

impl Repeats {
    /// Whether a line of this record is kept back.
    fn keep(&mut self, record: &Record, line: &Line) -> bool {
        match &record.body {
            Body::StepEnded { place, status, .. } => {
                if place.iteration < 2 || *status != StepStatus::Succeeded {
                    return false;
                }
                if let Some((_, kept)) = self.endings.get_mut(&place.step) {
                    *kept = Some(line.clone());
                }
                true
            }
            Body::Acted { place, .. } => match self.errors.get_mut(&place.step) {
                Some((text, times, at)) if *text == line.text => {
                    *times += 1;
                    *at = record.at;
                    true
                }
                _ => false,
            },
            Body::Acting { place, .. } => self.errors.contains_key(&place.step),
            _ => false,
        }
    }

    /// Remembers a line that was said.
    fn said(&mut self, record: &Record, line: &Line) {
        if let Body::Acted { place, .. } = &record.body {
            let error = (line.text.clone(), 0, record.at);
            self.errors.insert(place.step.clone(), error);
        }
    }

    /// Counts what a record repeats, whether it is worth a line or not.
    fn count(&mut self, record: &Record) {
        if let Body::StepEnded { place, .. } = &record.body
            && place.iteration > 1
        {
            let (times, kept) = self.endings.entry(place.step.clone()).or_default();
            *times += 1;
            if let Some(line) = kept {
                line.at = record.at;
            }
        }
    }

    /// What was kept back, in the order of time.
    fn release(&mut self) -> Vec<Line> {
        let endings = std::mem::take(&mut self.endings).into_values();
        let mut lines: Vec<Line> = endings
            .filter_map(|(times, line)| again(times, line?))
            .collect();
        for (text, times, at) in std::mem::take(&mut self.errors).into_values() {
            if times > 0 {
                lines.push(Line {
                    at,
                    tone: Tone::Warn,
                    text: format!("{text}, {} more", count(u64::from(times), "time")),
                });
            }
        }
        lines.sort_by_key(|line| line.at);
        lines
    }
}

/// A step's latest ending, with how often it ended; none where it only ended again. Step ids hold no
/// colon and no blank.
fn again(times: u32, line: Line) -> Option<Line> {
    let (head, tail) = line.text.split_once(':')?;
    let head = match times {
        0 | 1 => head.to_owned(),
        times => head.replacen(" again", &format!(" {times} more times"), 1),
    };
    Some(Line {
        text: format!("{head}:{tail}"),
        ..line
    })
}

impl Account {
    pub fn new(ui: Ui, tells: bool) -> Self {
        Self {
            ui,
            narrator: Narrator::beside_live(),
            tells,
            closed: false,
            asked: None,
            agreed: Vec::new(),
            ended: true,
            repeats: Repeats::default(),
            drawn: None,
        }
    }

    /// The fold of what was told.
    pub fn report(&self) -> &Report {
        self.narrator.report()
    }

    /// Whether stdout cannot be written; it was said.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Takes live lines away.
    pub fn clear(&self) {
        self.ui.clear();
    }

    fn style(&self) -> Style {
        self.ui.out_style()
    }

    fn print(&mut self, text: &str) {
        if !self.tells || self.closed || text.is_empty() {
            return;
        }
        self.ui.clear();
        if let Err(error) = self.ui.data(text) {
            self.closed = true;
            let message = format!("cannot write to stdout: {error}");
            self.ui.error(&message, None);
        }
    }

    /// What scenario it is.
    pub fn heading(&mut self, name: &str, title: Option<&str>) {
        let mut text = Text::new(self.style());
        let line = match title {
            Some(title) => format!("{name}: {title}"),
            None => name.to_owned(),
        };
        text.line(Tone::Strong, &line);
        self.print(&text.into_string());
    }

    fn release(&mut self) {
        for line in self.repeats.release() {
            self.line(&line);
        }
    }

    /// Time since the beginning, mark, text.
    fn line(&mut self, line: &Line) {
        let style = self.style();
        let opened = self.report().run.opened;
        let since = opened.map_or(SignedDuration::ZERO, |begin| line.at.duration_since(begin));
        let mut text = Text::new(style);
        let mark = style.mark(line.tone);
        text.line(
            line.tone,
            &format!("  {} {mark} {}", stopwatch(since), line.text),
        );
        self.print(&text.into_string());
    }

    /// The lines of a record; what is asked waits for its answer.
    fn lines(&mut self, record: &Record) -> Vec<Line> {
        let lines = self.narrator.tell(record);
        let asked = |asked: Option<String>, tone, answer: &str| Line {
            at: record.at,
            tone,
            text: format!("{}? {answer}", asked.unwrap_or_default()),
        };
        match &record.body {
            Body::Opened { .. } => Vec::new(),
            Body::Asked { .. } => {
                let style = self.style();
                self.asked = lines.first().map(|line| in_short(&line.text, style));
                Vec::new()
            }
            Body::Approved { by, .. } => {
                self.agreed.push(by.name.clone());
                Vec::new()
            }
            Body::Answered { answer, by, .. } => {
                let agreed = std::mem::take(&mut self.agreed);
                let said = match (answer, agreed.as_slice()) {
                    (Answer::Yes, [_, _, ..]) => format!("Yes, say {}", agreed.join(" and ")),
                    (Answer::Yes, _) => format!("Yes, says {by}"),
                    (Answer::No, _) => format!("No, says {by}"),
                };
                let tone = match answer {
                    Answer::Yes => Tone::Plain,
                    Answer::No => Tone::Warn,
                };
                vec![asked(self.asked.take(), tone, &said)]
            }
            Body::Parked { .. } if self.asked.is_some() => {
                let agreed = std::mem::take(&mut self.agreed);
                let said = match agreed.as_slice() {
                    [] => "Nobody answers".to_owned(),
                    some => format!("Yes, but only by {}", some.join(" and ")),
                };
                let mut all = vec![asked(self.asked.take(), Tone::Warn, &said)];
                all.extend(lines);
                all
            }
            _ => lines,
        }
    }

    /// A run that is resumed without having ended was killed: that leaves no record.
    fn notice_kills(&mut self, record: &Record) {
        match &record.body {
            Body::Attached { attachment, .. } => {
                let killed = *attachment > 1 && !self.ended;
                self.ended = false;
                if let Some(at) = self.report().last.filter(|_| killed) {
                    self.asked = None;
                    self.release();
                    self.line(&Line {
                        at,
                        tone: Tone::Warn,
                        text: "The process is killed".to_owned(),
                    });
                }
            }
            Body::Ended { .. } | Body::Parked { .. } | Body::Interrupted { .. } => {
                self.ended = true;
            }
            _ => {}
        }
    }

    /// What became of the Workflows, what does not hold, and the verdict.
    pub fn ending(&mut self, told: &Told, took: Duration) {
        self.release();
        let style = self.style();
        let mut text = Text::new(style);
        let table = rows(&told.steps);
        if !table.is_empty() {
            for line in table.render(style).lines() {
                text.line(Tone::Plain, &format!("  {line}"));
            }
        }
        for line in &told.notified {
            text.line(Tone::Plain, &format!("  notify {line}"));
        }
        for failure in &told.failures {
            text.line(Tone::Bad, &format!("  - {failure}"));
        }
        let simulated = SignedDuration::try_from_secs_f64(told.simulated_seconds)
            .map_or_else(|_| String::new(), duration);
        let took = SignedDuration::try_from(took).map_or_else(|_| String::new(), duration);
        let facts = format!(
            "{}, {} of simulated time in {took}",
            count(told.writes as u64, "write"),
            simulated
        );
        let (tone, verdict) = match told.ok {
            true => (Tone::Good, "ok"),
            false => (Tone::Bad, "FAILED"),
        };
        text.line(tone, &format!("{verdict}: {} ({facts})", told.scenario));
        text.gap();
        self.print(&text.into_string());
    }
}

/// The first sentence of a question, without its period.
fn in_short(question: &str, style: Style) -> String {
    let sentence = question.split(". ").next().unwrap_or(question);
    let text = fit(sentence, QUESTION, style.unicode);
    text.trim_end_matches('.').to_owned()
}

/// Hours, minutes and seconds since the beginning.
fn stopwatch(since: SignedDuration) -> String {
    let seconds = since.as_secs().max(0);
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    format!("{hours:>2}:{minutes:02}:{:02}", seconds % 60)
}

/// The steps' rows, with what became of their Workflows.
fn rows(steps: &[StepReport]) -> Table {
    let mut table = Table::new(&[
        ("STEP", Align::Left),
        ("ROW", Align::Left),
        ("MOVED", Align::Right),
        ("STARTED OVER", Align::Right),
        ("UNDONE", Align::Right),
        ("SKIPPED", Align::Right),
        ("REFUSED", Align::Right),
        ("FAILED", Align::Right),
    ]);
    let some = |n: u64| if n > 0 { number(n) } else { String::new() };
    for (step, row) in steps
        .iter()
        .flat_map(|step| step.rows.iter().map(move |row| (step, row)))
    {
        let counts = &row.counts;
        table.row([
            step.step.clone(),
            row.row.clone(),
            some(counts.moved),
            some(counts.started_over),
            some(counts.undone),
            some(counts.skipped),
            some(counts.refused),
            some(counts.failed + counts.unknown + counts.in_doubt),
        ]);
    }
    table
}

impl Display for Account {
    fn record(&mut self, record: &Record) {
        self.notice_kills(record);
        let lines = self.lines(record);
        self.repeats.count(record);
        for line in lines {
            if !self.repeats.keep(record, &line) {
                self.release();
                self.line(&line);
                self.repeats.said(record, &line);
            }
        }
    }

    fn progress(&mut self, progress: &Progress) {
        if !self.ui.is_live() || self.drawn.is_some_and(|drawn| drawn.elapsed() < DRAW) {
            return;
        }
        self.drawn = Some(Instant::now());
        let (report, style) = (self.narrator.report(), self.ui.err_style());
        let lines = status_lines(report, progress, None, None, style);
        self.ui.draw(&lines);
    }
}

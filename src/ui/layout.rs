//! The live part of the terminal, laid out: which lines, for how many columns and rows.
//!
//! Pure. What matters most at three in the morning stays the longest: how far the step at work is, what it waits
//! for, where in the run that is; then the table, then what happened last. A window that is too small for that has
//! one line.

use std::borrow::Cow;

use super::screen::{Screen, Stage, StepView, TableView, Wait, Work};
use crate::report::{Style, Tone, columns, duration, fit, harmless, number, time_of_day, wrap};

/// Below so many columns or rows there is one line.
const LEAST: (usize, usize) = (36, 8);
/// Rows above it that stay for the lines that a run leaves behind.
const ABOVE: usize = 4;
/// Columns of the rule at the top, at most.
const RULE: usize = 79;
/// Columns of a name, at most.
const NAME: usize = 28;

/// A line: pieces of text, each with its tone. It fits, and nothing in it does anything to a terminal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drawn(pub Vec<(Tone, String)>);

/// The lines for a terminal of `width` columns and `height` rows. `frame` counts up: what is at work moves.
pub fn layout(
    screen: &Screen,
    width: usize,
    height: usize,
    frame: usize,
    style: Style,
) -> Vec<Drawn> {
    let paper = Paper {
        width: width.saturating_sub(1),
        unicode: style.unicode,
        frame,
    };
    if width < LEAST.0 || height < LEAST.1 {
        return vec![paper.one_line(screen)];
    }
    let rows = (height * 2 / 3).min(height - ABOVE);
    paper.lines(screen, rows)
}

/// As it is written to the terminal.
pub fn paint(line: &Drawn, style: Style) -> String {
    line.0
        .iter()
        .map(|(tone, text)| style.paint(*tone, text))
        .collect()
}

/// What there is room for.
struct Rooms {
    head: usize,
    steps: usize,
    table: usize,
    waits: usize,
    events: usize,
}

impl Rooms {
    /// Rows go to what matters most first, each time as many as it needs at that point.
    fn of(screen: &Screen, waits: usize, rows: usize) -> Self {
        let all_waits = waits;
        let mut left = rows - usize::from(screen.work.is_some()).min(rows);
        let mut take = |wanted: usize| {
            let taken = wanted.min(left);
            left -= taken;
            taken
        };
        let all = screen.steps.len();
        let table = screen
            .table
            .as_ref()
            .map_or(0, |table| table.rows.len() + 1);
        let waits = take(waits.min(1));
        let steps = take(all.min(3));
        let head = take(1);
        // A heading alone, or with an ellipsis below it, says nothing.
        let few = if table > 2 { 3 } else { table };
        let some = take(few);
        let some = if some < few.min(3) { 0 } else { some };
        let steps = steps + take(all.min(5) - steps);
        let table = some + if some > 0 { take(table - some) } else { 0 };
        let events = take(screen.events.len().min(2));
        let steps = steps + take(all - steps);
        let waits = waits + take(all_waits - waits);
        let events = events + take(screen.events.len() - events);
        Self {
            head,
            steps,
            table,
            waits,
            events,
        }
    }
}

/// What is written on.
struct Paper {
    width: usize,
    unicode: bool,
    frame: usize,
}

impl Paper {
    fn lines(&self, screen: &Screen, rows: usize) -> Vec<Drawn> {
        let waits = screen.waits.iter().map(|wait| self.wrapped(wait).len());
        let rooms = Rooms::of(screen, waits.sum(), rows);
        let mut lines = Vec::new();
        if rooms.head > 0 {
            lines.push(self.head(screen));
        }
        lines.extend(self.steps(screen, rooms.steps));
        if let Some(table) = screen.table.as_ref().filter(|_| rooms.table > 0) {
            lines.extend(self.table(table, rooms.table));
        }
        lines.extend(screen.work.as_ref().map(|work| self.work(work)));
        for event in screen.events.iter().rev().take(rooms.events).rev() {
            let text = format!("  {} {}", time_of_day(event.at), event.text);
            lines.push(self.line(&[(event.tone, text)]));
        }
        lines.extend(self.waits(screen, rooms.waits));
        lines
    }

    /// Whole where there is room; else it is what is waited for that is cut, not when it is looked at again.
    fn waits(&self, screen: &Screen, rows: usize) -> Vec<Drawn> {
        let mut lines = Vec::new();
        for wait in &screen.waits {
            let whole = self.wrapped(wait);
            if lines.len() + whole.len() <= rows {
                lines.extend(whole);
            } else if lines.len() < rows {
                lines.push(self.cut(wait));
            }
        }
        lines
    }

    fn wrapped(&self, wait: &Wait) -> Vec<Drawn> {
        let text = self.safe(&wait.whole()).into_owned();
        let style = Style::PLAIN.of_width(self.width);
        let lines = wrap(&format!("{} {text}", self.spinner()), 2, style);
        lines
            .into_iter()
            .map(|line| self.line(&[(Tone::Warn, line)]))
            .collect()
    }

    fn cut(&self, wait: &Wait) -> Drawn {
        let times = match self.safe(&wait.times) {
            times if times.is_empty() => String::new(),
            times => format!(" ({times})"),
        };
        let room = self.width.saturating_sub(2 + columns(&times));
        let text = match room {
            0..20 => wait.whole(),
            room => fit(&self.safe(&wait.text), room, self.unicode) + &times,
        };
        self.line(&[(Tone::Warn, format!("{} {text}", self.spinner()))])
    }

    /// All that fits into one line: where it is, how far, what for.
    fn one_line(&self, screen: &Screen) -> Drawn {
        let mut parts = Vec::new();
        if let Some(step) = screen.steps.get(screen.focus) {
            parts.push(step.name.clone());
        }
        match (&screen.work, screen.waits.first()) {
            (Some(work), _) => {
                parts.push(format!("{}/{}", number(work.decided), number(work.total)));
                parts.extend([work.rate(true), work.left()]);
            }
            (None, Some(wait)) => parts.push(wait.whole()),
            (None, None) => {
                let step = screen.steps.get(screen.focus);
                parts.extend(step.and_then(|step| step.facts.first().cloned()));
            }
        }
        parts.retain(|part| !part.is_empty());
        let text = format!("{} {}", self.spinner(), parts.join(" "));
        self.line(&[(Tone::Strong, text)])
    }

    fn head(&self, screen: &Screen) -> Drawn {
        let rule = if self.unicode { "─" } else { "-" };
        let time = match (time_of_day(screen.now), screen.since) {
            (now, since) if since.as_secs() > 0 => format!("{now}, for {}", duration(since)),
            (now, _) => now,
        };
        let kind = screen.kind;
        let whole = [screen.runbook.as_str(), kind, &screen.run, &time];
        let candidates = [
            whole.to_vec(),
            vec![&screen.runbook, kind, &time],
            vec![&screen.run, kind, &time],
            vec![&time],
        ];
        let joined = |parts: &Vec<&str>| {
            let parts: Vec<&str> = parts
                .iter()
                .copied()
                .filter(|part| !part.is_empty())
                .collect();
            let text = parts.join(&format!(" {rule}{rule} "));
            self.safe(&format!("{rule}{rule} {text} ")).into_owned()
        };
        let mut texts = candidates.iter().map(joined);
        let text = texts.find(|text| columns(text) <= self.width);
        let text = text.unwrap_or_else(|| joined(&candidates[3]));
        // A long rule would become many lines in a window that becomes narrow.
        let rest = rule.repeat(self.width.min(RULE).saturating_sub(columns(&text)));
        self.line(&[(Tone::Faint, text + &rest)])
    }

    fn steps(&self, screen: &Screen, rows: usize) -> Vec<Drawn> {
        let steps = &screen.steps;
        let widest = steps
            .iter()
            .map(|step| columns(&self.safe(&step.name)) + 2 * step.depth);
        let name = widest.max().unwrap_or(0).min(NAME).min(self.width / 2);
        let mut lines = Vec::new();
        let mut after = 0;
        for index in folded(steps, screen.focus, rows) {
            lines.extend(self.gap(&steps[after..index]));
            lines.push(self.step(&steps[index], name));
            after = index + 1;
        }
        if rows > 0 {
            lines.extend(self.gap(&steps[after..]));
        }
        lines
    }

    fn step(&self, step: &StepView, name: usize) -> Drawn {
        let mark = match (step.stage, self.unicode) {
            (Stage::Running, true) => self.spinner(),
            (Stage::Running, false) => ">",
            (Stage::Passed, true) => "✓",
            (Stage::Passed, false) => "+",
            (Stage::Stopped, true) => "✗",
            (Stage::Stopped, false) => "x",
            (Stage::Accepted, _) => "!",
            (Stage::Skipped, _) => "-",
            (Stage::ToCome, true) => "·",
            (Stage::ToCome, false) => ".",
        };
        let tone = step.stage.tone();
        let indent = "  ".repeat(step.depth);
        let shown = fit(
            &self.safe(&step.name),
            name.saturating_sub(indent.len()),
            self.unicode,
        );
        let pad = " ".repeat((name + 2).saturating_sub(columns(&shown) + indent.len()));
        let label = match step.stage {
            Stage::Running => Tone::Strong,
            Stage::ToCome | Stage::Skipped => Tone::Faint,
            _ => Tone::Plain,
        };
        let facts = match step.stage {
            Stage::Running | Stage::Stopped => Tone::Plain,
            _ => Tone::Faint,
        };
        let text = step.facts.join(if self.unicode { " · " } else { ", " });
        self.line(&[
            (tone, format!("{indent}{mark} ")),
            (label, shown),
            (facts, if text.is_empty() { text } else { pad + &text }),
        ])
    }

    /// Steps that are not shown.
    fn gap(&self, steps: &[StepView]) -> Option<Drawn> {
        if steps.is_empty() {
            return None;
        }
        let all = |stage| steps.iter().all(|step| step.stage == stage);
        let over = |step: &StepView| matches!(step.stage, Stage::Passed | Stage::Skipped);
        let what = match () {
            () if all(Stage::ToCome) => " to come",
            () if steps.iter().all(over) => " done",
            () => "",
        };
        let dots = if self.unicode { "…" } else { "..." };
        let plural = if steps.len() == 1 { "" } else { "s" };
        let text = format!("{dots} {} step{plural}{what}", steps.len());
        Some(self.line(&[(Tone::Faint, text)]))
    }

    fn table(&self, table: &TableView, rows: usize) -> Vec<Drawn> {
        let grid = Grid::of(table, self);
        let mut lines = vec![self.line(&[(Tone::Faint, grid.heads(table))])];
        let room = rows.saturating_sub(1);
        let shown = if table.rows.len() > room {
            room - 1
        } else {
            room
        };
        let left = table.rows.iter().skip(shown);
        lines.extend(table.rows.iter().take(shown).map(|row| {
            let tone = match row.counts.bad() {
                0 => Tone::Plain,
                _ => Tone::Warn,
            };
            self.line(&[(tone, grid.row(row))])
        }));
        if left.len() > 0 {
            let dots = if self.unicode { "…" } else { "..." };
            let (rows, decided) = (left.len(), left.map(|row| row.counts.decided()).sum());
            let plural = if rows == 1 { "" } else { "s" };
            let text = format!(
                "  {dots} {rows} more row{plural}: {} decided",
                number(decided)
            );
            lines.push(self.line(&[(Tone::Faint, text)]));
        }
        lines
    }

    fn work(&self, work: &Work) -> Drawn {
        let separator = if self.unicode { " · " } else { ", " };
        let done = work.done();
        let short = format!("{} of {}", number(work.decided), number(work.total));
        let (rate, brief, left) = (work.rate(false), work.rate(true), work.left());
        let candidates: [(usize, Vec<&str>); 6] = [
            (30, vec![&done, &rate, &left]),
            (20, vec![&done, &rate, &left]),
            (12, vec![&done, &brief, &left]),
            (0, vec![&done, &brief, &left]),
            (0, vec![&short, &brief, &left]),
            (0, vec![&short, &left]),
        ];
        let text = |(bar, parts): &(usize, Vec<&str>)| {
            let parts: Vec<&str> = parts
                .iter()
                .copied()
                .filter(|part| !part.is_empty())
                .collect();
            let bar = match bar {
                0 => String::new(),
                bar => self.bar(work.decided, work.total, *bar) + " ",
            };
            format!("  {bar}{}", parts.join(separator))
        };
        let mut texts = candidates.iter().map(text);
        let found = texts.find(|text| columns(text) <= self.width);
        let found = found.unwrap_or_else(|| text(&candidates[5]));
        let tone = if work.bad > 0 {
            Tone::Warn
        } else {
            Tone::Strong
        };
        self.line(&[(tone, found)])
    }

    fn bar(&self, decided: u64, total: u64, width: usize) -> String {
        let width = width as u64;
        let full = (decided.min(total) * width / total.max(1)) as usize;
        let (done, left) = if self.unicode {
            ("█", "░")
        } else {
            ("#", "-")
        };
        let bar = done.repeat(full) + &left.repeat(width as usize - full);
        if self.unicode {
            bar
        } else {
            format!("[{bar}]")
        }
    }

    fn spinner(&self) -> &'static str {
        const ROUND: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
        const PLAIN: [&str; 4] = ["|", "/", "-", "\\"];
        match self.unicode {
            true => ROUND[self.frame % ROUND.len()],
            false => PLAIN[self.frame % PLAIN.len()],
        }
    }

    /// Nothing in it does anything, and no terminal shows it wider than it is: without Unicode, a letter that is
    /// not ASCII could be several columns wide.
    fn safe<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let text = harmless(text);
        if self.unicode || text.is_ascii() {
            return text;
        }
        let ascii = |c: char| if c.is_ascii() { c } else { '?' };
        Cow::Owned(text.chars().map(ascii).collect())
    }

    /// Cuts what does not fit.
    fn line(&self, pieces: &[(Tone, String)]) -> Drawn {
        let mut left = self.width;
        let mut line = Vec::new();
        for (tone, text) in pieces {
            let text = self.safe(text);
            if text.is_empty() || left == 0 {
                continue;
            }
            let shown = fit(&text, left, self.unicode);
            let shown = if columns(&shown) > left {
                String::new()
            } else {
                shown
            };
            left = left.saturating_sub(columns(&shown).max(1));
            if columns(&text) > columns(&shown) {
                left = 0;
            }
            line.push((*tone, shown));
        }
        Drawn(line)
    }
}

/// The steps that are shown, in order, so that with a line for each gap there are at most `rows` lines: around
/// the one at work, with the loops around it.
fn folded(steps: &[StepView], focus: usize, rows: usize) -> Vec<usize> {
    let far = |index: usize| {
        let step = &steps[index];
        let running = matches!(step.stage, Stage::Running | Stage::Stopped);
        // What is to come matters a little more than what is over.
        let distance = match index < focus {
            true => 2 * (focus - index) + 1,
            false => 2 * (index - focus),
        };
        (!running && index != focus, distance)
    };
    let mut order: Vec<usize> = (0..steps.len()).collect();
    order.sort_by_key(|index| far(*index));
    let lines = |chosen: &[usize]| {
        let gaps = chosen
            .windows(2)
            .filter(|pair| pair[1] > pair[0] + 1)
            .count();
        let ends = [
            chosen.first() != Some(&0),
            chosen.last() != Some(&(steps.len() - 1)),
        ];
        chosen.len() + gaps + ends.into_iter().filter(|gap| *gap).count()
    };
    let chosen = (1..=steps.len().min(rows)).rev().map(|n| {
        let mut chosen = order[..n].to_vec();
        chosen.sort_unstable();
        chosen
    });
    let mut fitting = chosen.filter(|chosen| lines(chosen) <= rows);
    fitting.next().unwrap_or_default()
}

/// The columns of a table.
struct Grid<'a> {
    paper: &'a Paper,
    name: usize,
    bar: usize,
    number: usize,
    /// Each reason for which a Workflow is not done in a column of its own.
    wide: bool,
    would: bool,
}

impl<'a> Grid<'a> {
    fn of(table: &TableView, paper: &'a Paper) -> Self {
        let names = table.rows.iter().map(|row| columns(&paper.safe(&row.name)));
        let widest = names
            .max()
            .unwrap_or(0)
            .max(columns(&paper.safe(&table.step)));
        let would = table.rows.iter().any(|row| row.counts.would > 0);
        let wide = paper.width >= 76;
        let number = if wide { 9 } else { 8 };
        let numbers = number * if wide { 5 } else { 3 };
        let room = paper.width.saturating_sub(numbers + 2);
        let name = widest.min(NAME).min(room);
        let bar = match room - name {
            0..10 => 0,
            left => (left - 2).min(20),
        };
        Self {
            paper,
            name,
            bar,
            number,
            wide,
            would,
        }
    }

    fn heads(&self, table: &TableView) -> String {
        let done = if self.would { "would" } else { "done" };
        let heads: &[&str] = match self.wide {
            true => &[done, "skipped", "refused", "failed", "of"],
            false => &[done, "trouble", "of"],
        };
        let cells: Vec<String> = heads.iter().map(|head| (*head).to_owned()).collect();
        self.set(&self.paper.safe(&table.step), "", &cells)
    }

    fn row(&self, row: &super::screen::RowView) -> String {
        let counts = &row.counts;
        let some = |n: u64| if n > 0 { number(n) } else { String::new() };
        let done = number(counts.written() + counts.would);
        let of = row.of.map_or_else(String::new, number);
        let cells = match self.wide {
            true => vec![
                done,
                some(counts.skipped),
                some(counts.refused),
                some(counts.failed + counts.unknown),
                of,
            ],
            false => vec![done, some(counts.bad()), of],
        };
        let bar = match row.of {
            Some(of) if of > 0 && self.bar > 2 => {
                let width = if self.paper.unicode {
                    self.bar
                } else {
                    self.bar - 2
                };
                self.paper.bar(counts.decided(), of, width)
            }
            _ => String::new(),
        };
        self.set(&self.paper.safe(&row.name), &bar, &cells)
    }

    fn set(&self, name: &str, bar: &str, cells: &[String]) -> String {
        let name = fit(name, self.name, self.paper.unicode);
        let pad = " ".repeat(self.name.saturating_sub(columns(&name)));
        let mut text = format!("  {name}{pad}");
        if self.bar > 0 {
            let pad = " ".repeat(self.bar.saturating_sub(columns(bar)));
            text += &format!("  {bar}{pad}");
        }
        for cell in cells {
            text += &format!("{cell:>width$}", width = self.number);
        }
        text
    }
}

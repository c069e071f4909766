//! The live lines: what a run does now.
//!
//! Pure: from a report, progress and a style. Parts are left out, the least important first, until a
//! line fits.

use jiff::Timestamp;

use super::screen::{Work, current, waits_for};
use super::trail::Speed;
use crate::report::{
    Report, StepReport, Style, columns, duration, fit, harmless, number, time_of_day,
};
use crate::run::Progress;

/// One line for the step's Workflows, one for what is waited for.
/// `checked` is when what is waited for was last asked about, `speed` how fast the step goes.
pub fn status_lines(
    report: &Report,
    progress: &Progress,
    checked: Option<Timestamp>,
    speed: Option<Speed>,
    style: Style,
) -> Vec<String> {
    let width = style.width.unwrap_or(120).saturating_sub(1);
    let step = current(report, progress);
    let mut lines = Vec::new();
    if let Some(step) = step {
        lines.push(step_line(step, progress, speed, style, width));
    }
    lines.extend(waiting_line(step, progress, checked, style, width));
    if lines.is_empty() {
        lines.push(now(progress));
    }
    lines
}

fn now(progress: &Progress) -> String {
    let simulated = if progress.simulated { " simulated" } else { "" };
    format!("{}{simulated}", time_of_day(progress.now))
}

fn step_line(
    step: &StepReport,
    progress: &Progress,
    speed: Option<Speed>,
    style: Style,
    width: usize,
) -> String {
    let name = match step.iteration {
        0 | 1 => step.step.clone(),
        n => format!("{} (iteration {})", step.step, number(u64::from(n))),
    };
    let head = format!("{} {}", now(progress), harmless(&name));
    let total = step.total();
    if total == 0 {
        let since = step
            .started
            .map(|at| duration(progress.now.duration_since(at)));
        let since = since
            .map(|since| format!(", for {since}"))
            .unwrap_or_default();
        return fit(&format!("{head}{since}"), width, style.unicode);
    }
    let decided = step.counts.decided();
    let work = Work {
        step: step.step.clone(),
        decided,
        total,
        speed,
        pace: progress.rate,
        bad: step.counts.bad(),
    };
    let done = work.done();
    let bar = |columns| bar(decided, total, columns, style.unicode);
    let trouble = trouble(step);
    let pace = [work.rate(true), work.left()];
    let pace = pace.join(if pace.contains(&String::new()) {
        ""
    } else {
        ", "
    });
    let separator = if style.unicode { " · " } else { ", " };
    let with = |parts: &[&str]| {
        let parts: Vec<&str> = parts.iter().copied().filter(|p| !p.is_empty()).collect();
        parts.join(separator)
    };
    let candidates = [
        format!("{head} {} {}", bar(20), with(&[&done, &trouble, &pace])),
        format!("{head} {} {}", bar(10), with(&[&done, &trouble, &pace])),
        format!("{head} {}", with(&[&done, &trouble, &pace])),
        format!("{head} {}", with(&[&done, &trouble])),
        with(&[&done, &trouble]),
    ];
    let fits = candidates.iter().find(|line| columns(line) <= width);
    fits.cloned()
        .unwrap_or_else(|| fit(&candidates[4], width, style.unicode))
}

fn trouble(step: &StepReport) -> String {
    let counts = &step.counts;
    let parts = [
        (counts.failed, "failed"),
        (counts.unknown, "unknown"),
        (counts.refused, "refused"),
        (counts.skipped, "skipped"),
    ];
    let words = parts
        .into_iter()
        .filter(|(n, _)| *n > 0)
        .map(|(n, word)| format!("{} {word}", number(n)));
    words.collect::<Vec<_>>().join(", ")
}

fn bar(decided: u64, total: u64, columns: u64, unicode: bool) -> String {
    let full = (decided.min(total) * columns / total.max(1)) as usize;
    let (done, left) = if unicode { ("█", "░") } else { ("#", "-") };
    let bar = done.repeat(full) + &left.repeat(columns as usize - full);
    if unicode { bar } else { format!("[{bar}]") }
}

fn waiting_line(
    step: Option<&StepReport>,
    progress: &Progress,
    checked: Option<Timestamp>,
    style: Style,
    width: usize,
) -> Option<String> {
    let whole = format!("  {}", waits_for(step, progress, checked)?.whole());
    if columns(&harmless(&whole)) <= width {
        return Some(harmless(&whole).into_owned());
    }
    // Its last status says more than what it waits for.
    let brief = Progress {
        waiting_for: None,
        ..progress.clone()
    };
    let brief = waits_for(step, &brief, checked).map(|wait| format!("  {}", wait.whole()));
    Some(fit(
        &harmless(&brief.unwrap_or(whole)),
        width,
        style.unicode,
    ))
}

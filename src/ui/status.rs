//! The live lines: what a run does now.
//!
//! Pure: from a report, progress and a style. Parts are left out, the least important first, until a
//! line fits.

use jiff::Timestamp;

use crate::report::{
    Report, StepReport, Style, about, columns, count, duration, fit, harmless, number, time_of_day,
};
use crate::run::Progress;

/// One line for the step's Workflows, one for what is waited for.
/// `checked` is when what is waited for was last asked about.
pub fn status_lines(
    report: &Report,
    progress: &Progress,
    checked: Option<Timestamp>,
    style: Style,
) -> Vec<String> {
    let width = style.width.unwrap_or(120).saturating_sub(1);
    let step = current(report, progress);
    let mut lines = Vec::new();
    if let Some(step) = step {
        lines.push(step_line(step, progress, style, width));
    }
    lines.extend(waiting_line(step, progress, checked, style, width));
    if lines.is_empty() {
        lines.push(now(progress));
    }
    lines
}

/// The step that works: the one that progress names, else the innermost that has not ended.
fn current<'a>(report: &'a Report, progress: &Progress) -> Option<&'a StepReport> {
    let named = progress
        .step
        .as_ref()
        .and_then(|place| report.step(&place.step));
    let open = |step: &&StepReport| step.status.is_none();
    named.or_else(|| report.steps.iter().rev().find(open))
}

fn now(progress: &Progress) -> String {
    let simulated = if progress.simulated { " simulated" } else { "" };
    format!("{}{simulated}", time_of_day(progress.now))
}

fn step_line(step: &StepReport, progress: &Progress, style: Style, width: usize) -> String {
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
    let done = format!("{} of {}", number(decided), count(total, "Workflow"));
    let bar = |columns| bar(decided, total, columns, style.unicode);
    let trouble = trouble(step);
    let pace = pace(decided, total, progress);
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

fn pace(decided: u64, total: u64, progress: &Progress) -> String {
    if progress.rate <= 0.0 {
        return String::new();
    }
    let rate = match progress.rate {
        rate if rate < 10.0 => format!("{rate:.1}/s"),
        rate => format!("{}/s", number(rate.round() as u64)),
    };
    #[allow(clippy::cast_precision_loss)] // a guess
    let left = total.saturating_sub(decided) as f64 / progress.rate;
    match decided < total {
        true => format!("{rate}, done {}", about(left)),
        false => rate,
    }
}

fn bar(decided: u64, total: u64, columns: u64, unicode: bool) -> String {
    let full = (decided.min(total) * columns / total.max(1)) as usize;
    let (done, left) = if unicode { ("█", "░") } else { ("#", "-") };
    let bar = done.repeat(full) + &left.repeat(columns as usize - full);
    if unicode { bar } else { format!("[{bar}]") }
}

/// What is waited for, the last status, and when it was checked.
fn waiting_line(
    step: Option<&StepReport>,
    progress: &Progress,
    checked: Option<Timestamp>,
    style: Style,
    width: usize,
) -> Option<String> {
    let last = step.and_then(|step| step.waiting.as_ref());
    let at = checked.max(last.map(|waiting| waiting.at));
    let ago = at.map(|at| {
        let ago = duration(progress.now.duration_since(at));
        format!(" (checked {ago} ago)")
    });
    let ago = ago.unwrap_or_default();
    let what = progress.waiting_for.as_deref();
    let status = last.map(|waiting| waiting.status.as_str());
    let text = match (what, status) {
        (Some(what), Some(status)) if what != status => {
            let whole = format!("  waits for {what}: {status}{ago}");
            if columns(&harmless(&whole)) <= width {
                whole
            } else {
                format!("  waits: {status}{ago}")
            }
        }
        (Some(what), _) => format!("  waits for {what}{ago}"),
        (None, Some(status)) => format!("  waits: {status}{ago}"),
        (None, None) => return None,
    };
    Some(fit(&harmless(&text), width, style.unicode))
}

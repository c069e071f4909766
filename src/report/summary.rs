//! A report as text and as JSON.
//!
//! The summary is what a run's last lines are: a table row per decision row, why Workflows were left,
//! where the state file is, what to do next. `show` puts who, when, steps and questions before it.

use std::io::{self, Write};

use jiff::SignedDuration;
use serde::Serialize;

use super::fold::Report;
use super::format::{Align, Style, Table, Text, Tone, count, duration, minute, moment, number};
use super::lock::LockReport;
use super::model::{Attachment, Ending, Header, QuestionReport, RowReport, StepReport};
use super::next::Next;
use super::points;
use super::question::{equivalent_text, equivalents};
use super::workflows::write_json;
use crate::record::{Answer, Health, RunStatus, StepStatus};

/// So many Workflows of a step are told one by one where they are reset.
const OUTLOOKS: usize = 10;

/// What `--output json` holds. Fields are only ever added.
#[derive(Serialize)]
struct Document<'a> {
    /// `report/v1`
    schema: &'static str,
    run: &'a Header,
    /// Where the journal is.
    state_file: &'a str,
    /// Who runs it now, where that is known.
    holder: Option<&'a str>,
    ending: &'a Ending,
    /// Time of the last record.
    last: Option<jiff::Timestamp>,
    attachments: &'a [Attachment],
    steps: &'a [StepReport],
    questions: &'a [QuestionReport],
    /// Its lock; null where it did not ask for one.
    lock: Option<&'a LockReport>,
    /// What can be done now, the likeliest first.
    next: Vec<Next>,
}

/// Where a run's journal is, and what to call it on a command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Located {
    /// The file.
    pub path: String,
    /// What `resume` takes: the run's id, or the path where it is not in its usual place.
    pub target: String,
    /// Who runs it now, where that is known: nothing is to be done then.
    pub holder: Option<String>,
}

impl Report {
    /// The report as a JSON document.
    pub fn write_json(&self, located: &Located, out: &mut dyn Write) -> io::Result<()> {
        let document = Document {
            schema: "report/v1",
            run: &self.run,
            state_file: &located.path,
            ending: &self.ending,
            last: self.last,
            attachments: &self.attachments,
            steps: &self.steps,
            questions: &self.questions,
            lock: self.lock.as_ref(),
            holder: located.holder.as_deref(),
            next: self.next_unless_held(located),
        };
        write_json(&document, true, out)?;
        out.write_all(b"\n")
    }

    fn next_unless_held(&self, located: &Located) -> Vec<Next> {
        match located.holder {
            Some(_) => Vec::new(),
            None => self.next(&located.target),
        }
    }

    /// A run's last lines.
    pub fn summary(&self, located: &Located, style: Style) -> String {
        let mut text = Text::new(style);
        self.rows(&mut text);
        self.left_over(&mut text);
        match &located.holder {
            Some(holder) => {
                let line = format!("Run {} is running, by {holder}.", self.run.id);
                text.line(Tone::Good, &line);
            }
            None => {
                let (tone, verdict) = self.verdict();
                text.line(tone, &verdict);
                self.lock_lines(&mut text);
            }
        }
        if !located.path.is_empty() {
            text.line(Tone::Plain, &format!("State file: {}", located.path));
        }
        let next = self.next_unless_held(located);
        if !next.is_empty() {
            text.line(Tone::Plain, "What to do next:");
        }
        for next in next {
            text.line(Tone::Plain, &format!("  {}:", next.why));
            text.command(&next.command);
        }
        text.into_string()
    }

    /// Everything but single Workflows.
    pub fn text(&self, located: &Located, style: Style) -> String {
        let mut text = Text::new(style);
        self.header(&mut text);
        self.people(&mut text);
        self.step_table(&mut text);
        self.question_lines(&mut text);
        text.gap();
        text.into_string() + &self.summary(located, style)
    }

    fn header(&self, text: &mut Text) {
        let run = &self.run;
        let kind = match (run.dry, run.rehearsal) {
            (true, true) => " (dry run, rehearsal)",
            (true, false) => " (dry run)",
            (false, true) => " (rehearsal)",
            (false, false) => "",
        };
        text.line(Tone::Strong, &format!("Run {}{kind}", run.id));
        let title = match run.title.as_str() {
            title if title == run.runbook => String::new(),
            "" => String::new(),
            title => format!(": {title}"),
        };
        text.line(Tone::Plain, &format!("  Runbook {}{title}", run.runbook));
        let service = format!("  Address {}, namespace {}", run.address, run.namespace);
        text.line(Tone::Plain, &service);
        if let Some(opened) = run.opened {
            let took = duration(self.elapsed());
            let line = format!("  Opened {}, last record {took} later", moment(opened));
            text.line(Tone::Plain, &line);
        }
        if let Some(saved) = &run.saved {
            let made = moment(saved.made);
            let line = format!(
                "  Saved plan of {made}, by {} on {}",
                saved.user, saved.host
            );
            text.line(Tone::Plain, &line);
        }
        for (name, value) in run.params.as_object().into_iter().flatten() {
            let value = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            text.line(Tone::Plain, &format!("  Parameter {name} = {value}"));
        }
    }

    fn people(&self, text: &mut Text) {
        for who in &self.attachments {
            let flags = match who.flags.as_slice() {
                [] => String::new(),
                flags => format!(" with {}", flags.join(" ")),
            };
            let took = duration(who.until.duration_since(who.at));
            let line = format!(
                "  {} by {} on {}, pid {}, for {took}{flags}",
                moment(who.at),
                who.user,
                who.host,
                who.pid
            );
            text.line(Tone::Plain, &line);
            for note in &who.notes {
                text.line(Tone::Plain, &format!("    {note}"));
            }
        }
    }

    fn step_table(&self, text: &mut Text) {
        if self.steps.is_empty() {
            return;
        }
        text.gap();
        text.line(Tone::Strong, "Steps");
        let mut table = Table::new(&[
            ("STEP", Align::Left),
            ("STATUS", Align::Left),
            ("BEGAN", Align::Left),
            ("TOOK", Align::Right),
            ("TIMES", Align::Right),
            ("WORKFLOWS", Align::Right),
        ]);
        for step in &self.steps {
            let times = match step.iteration {
                0 => String::new(),
                n => number(u64::from(n)),
            };
            let workflows = match step.claimed {
                0 => String::new(),
                n => number(n),
            };
            table.row([
                format!(
                    "{}{}",
                    if step.parent.is_some() { "- " } else { "" },
                    step.step
                ),
                step.status.map_or("not ended", status_word).to_owned(),
                step.started.map(minute).unwrap_or_default(),
                seconds(step.seconds),
                times,
                workflows,
            ]);
        }
        text.table(&table);
        for step in &self.steps {
            self.step_lines(step, text);
        }
    }

    fn step_lines(&self, step: &StepReport, text: &mut Text) {
        let name = &step.step;
        if !step.message.is_empty() {
            let status = step.status.map_or("not ended", status_word);
            let line = format!("  {name} {status}: {}", step.message);
            text.line(Tone::Plain, &line);
        }
        for change in &step.changes {
            text.line(Tone::Plain, &format!("  {name} changed: {change}"));
        }
        for canary in &step.canaries {
            let (tone, how) = match canary.passed {
                true => (Tone::Plain, "passed"),
                false => (Tone::Bad, "stopped it"),
            };
            let line = format!(
                "  {name}: the canary of row {} {how}: {}",
                canary.row, canary.reason
            );
            text.line(tone, &line);
        }
        if let (None, Some(waiting)) = (step.status, &step.waiting) {
            let line = format!(
                "  {name} waited: {} ({})",
                waiting.status,
                moment(waiting.at)
            );
            text.line(Tone::Plain, &line);
        }
    }

    fn question_lines(&self, text: &mut Text) {
        if self.questions.is_empty() {
            return;
        }
        text.gap();
        text.line(Tone::Strong, "Questions");
        for q in &self.questions {
            let times = match q.place.iteration {
                0 => String::new(),
                n => format!(", iteration {n}"),
            };
            let asked = moment(q.asked);
            let line = format!(
                "  {}. {asked} {}{times}: {}",
                q.question, q.place.step, q.short
            );
            text.line(Tone::Plain, &line);
            for (row, equivalent) in equivalents(&q.what) {
                equivalent_text(row, equivalent, 5, text);
            }
            for approval in &q.approvals {
                let (at, until) = (moment(approval.at), moment(approval.expires));
                let line = format!(
                    "     Approved by {}, {at}, counts until {until}",
                    approval.by
                );
                text.line(Tone::Plain, &line);
                if !approval.note.is_empty() {
                    text.line(Tone::Plain, &format!("       Note: {}", approval.note));
                }
            }
            let Some(answer) = &q.answer else {
                let line = match q.agreement.is_plain() {
                    true => "     Not answered.".to_owned(),
                    false => format!("     Not answered: wants {}.", q.agreement.words()),
                };
                text.line(Tone::Warn, &line);
                continue;
            };
            let word = match answer.answer {
                Answer::Yes => "Yes",
                Answer::No => "No",
            };
            let how = answer.means.words();
            let at = moment(answer.at);
            let from = match answer.from.as_str() {
                "" => String::new(),
                from => format!(" ({from})"),
            };
            let mut line = format!("     {word}, by {} {how}{from}, {at}", answer.by);
            if answer.answer == Answer::Yes {
                line += &format!(", good until {}", moment(answer.expires));
            }
            let grants: Vec<String> = answer
                .grants
                .iter()
                .map(|(row, n)| format!("{row} {}", number(*n)))
                .collect();
            if !grants.is_empty() {
                line += &format!("; granted in all: {}", grants.join(", "));
            }
            text.line(Tone::Plain, &line);
            if !answer.note.is_empty() {
                text.line(Tone::Plain, &format!("     Note: {}", answer.note));
            }
            for (name, value) in &answer.form {
                text.line(Tone::Plain, &format!("     {name}: {value}"));
            }
        }
    }

    /// A table row per decision row, and below it why some were left.
    fn rows(&self, text: &mut Text) {
        let mut table = Table::new(&[
            ("STEP", Align::Left),
            ("ROW", Align::Left),
            ("RECOVERED", Align::Right),
            ("TERMINATED", Align::Right),
            ("CANCELLED", Align::Right),
            ("SIGNALLED", Align::Right),
            ("WOULD CHANGE", Align::Right),
            ("SKIPPED", Align::Right),
            ("REFUSED", Align::Right),
            ("FAILED", Align::Right),
            ("UNKNOWN", Align::Right),
            ("IN DOUBT", Align::Right),
        ]);
        let rows = || {
            let steps = self.steps.iter();
            steps.flat_map(|step| step.rows.iter().map(move |row| (step, row)))
        };
        let total = |of: fn(&RowReport) -> u64| rows().map(|(_, row)| of(row)).sum::<u64>();
        let shown = |n: u64, all: u64| if all > 0 { number(n) } else { String::new() };
        let always = |n: u64| number(n);
        let terminated = total(|row| row.counts.terminated);
        let cancelled = total(|row| row.counts.cancelled);
        let signalled = total(|row| row.counts.signalled);
        let would = total(|row| row.counts.would);
        let unknown = total(|row| row.counts.unknown);
        let in_doubt = total(|row| row.counts.in_doubt);
        for (step, row) in rows() {
            let counts = &row.counts;
            let recovered = if self.run.dry {
                String::new()
            } else {
                always(counts.recovered)
            };
            table.row([
                step.step.clone(),
                row_name(row).to_owned(),
                recovered,
                shown(counts.terminated, terminated),
                shown(counts.cancelled, cancelled),
                shown(counts.signalled, signalled),
                shown(counts.would, would),
                always(counts.skipped),
                always(counts.refused),
                always(counts.failed),
                shown(counts.unknown, unknown),
                shown(counts.in_doubt, in_doubt),
            ]);
        }
        if table.is_empty() {
            return;
        }
        text.line(Tone::Strong, "Workflows");
        text.table(&table);
        for (step, row) in rows() {
            reasons(step, row, text);
        }
        for step in &self.steps {
            health(step, text);
        }
    }

    fn left_over(&self, text: &mut Text) {
        for step in &self.steps {
            if !step.resets.is_empty() {
                let what = match self.run.dry {
                    true => "what its resets would do",
                    false => "events to reset to, instead of invalid ones",
                };
                text.line(Tone::Plain, &format!("  {}: {what}", step.step));
                points::outlooks(&step.resets, OUTLOOKS, "    ", text);
            }
            for (name, left) in &step.unmatched {
                let samples = match left.samples.as_slice() {
                    [] => String::new(),
                    samples => format!(", for example {}", samples.join(", ")),
                };
                let what = count(left.count, "Workflow");
                let line = format!(
                    "  {}: no row takes {what} of type {name}{samples}",
                    step.step
                );
                text.line(Tone::Warn, &line);
            }
            for limit in &step.limits {
                let line = format!(
                    "  {}: {} reached {}, {} are allowed",
                    step.step,
                    limit.limit,
                    number(limit.value),
                    number(limit.bound)
                );
                text.line(Tone::Bad, &line);
            }
        }
    }

    /// How it ended, in a sentence.
    pub fn verdict(&self) -> (Tone, String) {
        let run = &self.run.id;
        let because = |why: &str| match why {
            "" => ".".to_owned(),
            why => format!(": {why}"),
        };
        match &self.ending {
            Ending::Open => (
                Tone::Warn,
                format!("Run {run} has not ended: it is running, or was killed."),
            ),
            Ending::Parked { reason } => (
                Tone::Warn,
                format!("Run {run} is parked{}", because(reason)),
            ),
            Ending::Refused {
                holder, message, ..
            } => {
                let lock = self.lock_name();
                let why = match holder {
                    Some(_) => format!("the lock `{lock}` is held"),
                    None => format!("it cannot have the lock `{lock}`: {message}"),
                };
                (
                    Tone::Bad,
                    format!("Run {run} was refused, and started nothing: {why}"),
                )
            }
            Ending::Interrupted { signal } => (
                Tone::Warn,
                format!("Run {run} was interrupted by {signal}."),
            ),
            Ending::Ended { status, message } => match (status, self.run.dry) {
                (RunStatus::Succeeded, true) => (
                    Tone::Good,
                    format!(
                        "Dry run {run} ended; nothing was changed{}",
                        because(message)
                    ),
                ),
                (RunStatus::Succeeded, false) => (
                    Tone::Good,
                    format!("Run {run} succeeded{}", because(message)),
                ),
                (RunStatus::Halted, true) => (
                    Tone::Bad,
                    format!("Dry run {run}: the real run would halt{}", because(message)),
                ),
                (RunStatus::Halted, false) => {
                    (Tone::Bad, format!("Run {run} halted{}", because(message)))
                }
            },
        }
    }
}

fn row_name(row: &RowReport) -> &str {
    if row.row.is_empty() { "-" } else { &row.row }
}

fn reasons(step: &StepReport, row: &RowReport, text: &mut Text) {
    const SHOWN: usize = 5;
    let reasons = row.reasons();
    for reason in reasons.iter().take(SHOWN) {
        let line = format!(
            "  {}, row {}: {} {}: {}",
            step.step,
            row_name(row),
            number(reason.count),
            reason.state.words(),
            reason.reason
        );
        text.line(Tone::Plain, &line);
    }
    if let Some(more) = reasons.get(SHOWN..).filter(|more| !more.is_empty()) {
        let n = more.iter().map(|reason| reason.count).sum();
        let line = format!(
            "  {}, row {}: {} for other reasons (show --workflows lists them)",
            step.step,
            row_name(row),
            number(n)
        );
        text.line(Tone::Faint, &line);
    }
}

fn health(step: &StepReport, text: &mut Text) {
    if step.health.is_empty() {
        return;
    }
    let words: Vec<String> = step
        .health
        .iter()
        .map(|(health, n)| format!("{} {}", number(*n), health_word(*health)))
        .collect();
    let tone = match step.health.keys().any(|health| health.is_unhealthy()) {
        true => Tone::Bad,
        false => Tone::Plain,
    };
    text.line(tone, &format!("  {}: {}", step.step, words.join(", ")));
}

pub(super) fn health_word(health: Health) -> &'static str {
    match health {
        Health::Healthy => "healthy",
        Health::Waiting => "waiting",
        Health::Unproven => "unproven",
        Health::Failing => "failing",
        Health::Unpolled => "unpolled",
        Health::Lost => "lost",
        Health::Failed => "failed since",
    }
}

/// How a step ended, in a word or two.
pub fn status_word(status: StepStatus) -> &'static str {
    match status {
        StepStatus::Succeeded => "succeeded",
        StepStatus::Skipped => "skipped",
        StepStatus::Failed => "failed",
        StepStatus::Halted => "halted",
        StepStatus::Accepted => "accepted",
        StepStatus::Rehearsed => "looked at",
    }
}

fn seconds(seconds: f64) -> String {
    SignedDuration::try_from_secs_f64(seconds).map_or_else(|_| String::new(), duration)
}

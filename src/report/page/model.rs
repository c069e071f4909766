//! What a page shows, as plain data: `page/v1` of `report --format json`. Fields are only ever added.

use jiff::Timestamp;
use serde::Serialize;

use super::chronicle::{Bar, ByJobs, Chronicle, Interval, Series, Wait};
use crate::record::{Question, RowAsk, RunStatus};
use crate::report::fold::Report;
use crate::report::format::{Tone, count, number};
use crate::report::lock::LockReport;
use crate::report::model::{
    Attachment, Counts, Ending, Header, QuestionReport, Reason, StepReport,
};
use crate::report::next::Next;
use crate::report::question::equivalents;
use crate::report::summary::Located;

/// A run as a document.
#[derive(Debug, Serialize)]
pub struct Page<'a> {
    /// `page/v1`
    pub schema: &'static str,
    /// What run it is.
    pub run: &'a Header,
    /// Where its journal is.
    pub state_file: &'a str,
    /// Who runs it now, where that is known.
    pub holder: Option<&'a str>,
    /// How it ended, or how far it is.
    pub verdict: Verdict,
    /// How it ended, as data.
    pub ending: &'a Ending,
    /// The exit code that goes with that; none while it has not ended.
    pub exit_code: Option<u8>,
    /// Time of the last record.
    pub last: Option<Timestamp>,
    /// Seconds from the first record to the last.
    pub seconds: f64,
    /// Who ran it, in order.
    pub attachments: &'a [Attachment],
    /// What was asked, and what was answered.
    pub questions: &'a [QuestionReport],
    /// Steps in the order in which they began.
    pub steps: &'a [StepReport],
    /// Each time that a step ran.
    pub bars: &'a [Bar],
    /// Decision rows with what became of their Workflows.
    pub rows: Vec<RowLine<'a>>,
    /// Numbers over time.
    pub series: Vec<&'a Series>,
    /// What was waited for.
    pub waits: &'a [Wait],
    /// Writes over time.
    pub pace: Pace,
    /// What does the same by hand.
    pub commands: Vec<CommandLine<'a>>,
    /// Its lock; null where it did not ask for one.
    pub lock: Option<&'a LockReport>,
    /// What can be done now, the likeliest first; nothing while somebody runs it.
    pub next: Vec<Next>,
    /// Entries of the ledger; a Workflow that a step gave back, and took again, has several.
    pub workflows: usize,
}

impl Page<'_> {
    /// Workflows that its steps claimed and did not give back.
    pub fn claimed(&self) -> u64 {
        self.steps.iter().map(|step| step.claimed).sum()
    }
}

/// How it ended, or how far it is.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    /// `good`, `warn` or `bad`.
    pub tone: &'static str,
    /// In a word or two: `succeeded`.
    pub word: &'static str,
    /// In a sentence.
    pub text: String,
}

/// A row of a decision table, or a step without one.
#[derive(Clone, Debug, Serialize)]
pub struct RowLine<'a> {
    /// Step.
    pub step: &'a str,
    /// Row id; empty where no row was named.
    pub row: &'a str,
    /// Strategy; empty where nobody was asked.
    pub strategy: &'a str,
    /// What it does, in words.
    pub does: &'a str,
    /// Where to.
    pub target: Option<String>,
    /// The List Filter as rendered.
    pub query: &'a str,
    /// Classes, task condition.
    pub condition: &'a str,
    /// Workflows granted in all.
    pub granted: Option<u64>,
    /// Workflows by what became of them.
    pub counts: Counts,
    /// Why, most frequent first.
    pub reasons: Vec<Reason>,
}

/// Writes over time.
#[derive(Clone, Debug, Serialize)]
pub struct Pace {
    /// Seconds an interval.
    pub seconds: i64,
    /// Intervals in which something was sent; the others had none.
    pub intervals: Vec<Interval>,
    /// The most writes a second, over an interval.
    pub highest: f64,
    /// Writes that left.
    pub sent: u64,
    /// Those of them that failed, were refused, or of which nobody knows.
    pub bad: u64,
    /// What batch jobs of the service did besides; in no interval.
    pub jobs: ByJobs,
}

impl Pace {
    /// What the numbers and the intervals leave out; none where that is nothing.
    pub fn left_out(&self) -> Option<String> {
        let ByJobs {
            jobs,
            open,
            done,
            failed,
        } = self.jobs;
        if jobs == 0 {
            return None;
        }
        let mut text = format!("{} of the service wrote besides", count(jobs, "batch job"));
        if jobs > open {
            let (done, failed) = (count(done, "operation"), number(failed));
            text += &format!(": {done} done, {failed} failed");
        }
        if open > 0 {
            text += &format!("; of {} the records do not say how many", number(open));
        }
        text += ". When each of these writes was made is not in the records: they are not in these rates.";
        Some(text)
    }
}

/// A command that does by hand what was asked about.
#[derive(Clone, Debug, Serialize)]
pub struct CommandLine<'a> {
    /// The question that showed it.
    pub question: u32,
    /// Step.
    pub step: &'a str,
    /// Row; empty where it is not about one.
    pub row: &'a str,
    /// Quoted for a POSIX shell; empty where the CLI has nothing of the kind.
    pub command: &'a str,
    /// What it does not do.
    pub caution: &'a str,
}

impl<'a> Page<'a> {
    pub(super) fn of(
        report: &'a Report,
        chronicle: &'a Chronicle,
        workflows: usize,
        located: &'a Located,
    ) -> Self {
        let running = located.holder.is_some();
        Self {
            schema: "page/v1",
            run: &report.run,
            state_file: &located.path,
            holder: located.holder.as_deref(),
            verdict: verdict(report, running),
            ending: &report.ending,
            exit_code: exit_code(&report.ending),
            last: report.last,
            seconds: report.elapsed().as_secs_f64(),
            attachments: &report.attachments,
            questions: &report.questions,
            steps: &report.steps,
            bars: chronicle.bars(),
            rows: rows(report),
            series: chronicle.series().collect(),
            waits: chronicle.waits(),
            pace: pace(chronicle),
            commands: commands(report),
            lock: report.lock.as_ref(),
            next: match running {
                true => Vec::new(),
                false => report.next(&located.target),
            },
            workflows,
        }
    }
}

fn verdict(report: &Report, running: bool) -> Verdict {
    let word = match &report.ending {
        Ending::Open if running => "running",
        Ending::Open => "not ended",
        Ending::Parked { .. } => "parked",
        Ending::Interrupted { .. } => "interrupted",
        Ending::Refused { .. } => "refused",
        Ending::Ended { status, .. } => match status {
            RunStatus::Succeeded => "succeeded",
            RunStatus::Halted => "halted",
        },
    };
    let (tone, text) = match (&report.ending, running) {
        (Ending::Open, true) => (Tone::Plain, format!("Run {} is running.", report.run.id)),
        _ => report.verdict(),
    };
    let tone = match tone {
        Tone::Good => "good",
        Tone::Bad => "bad",
        Tone::Warn => "warn",
        Tone::Plain | Tone::Faint | Tone::Strong => "plain",
    };
    Verdict { tone, word, text }
}

/// As the process that ended it had it; a run that was killed, or goes on, has none.
fn exit_code(ending: &Ending) -> Option<u8> {
    match ending {
        Ending::Open => None,
        Ending::Parked { .. } => Some(3),
        Ending::Interrupted { .. } => Some(130),
        Ending::Refused { .. } => Some(4),
        Ending::Ended { status, .. } => Some(match status {
            RunStatus::Succeeded => 0,
            RunStatus::Halted => 1,
        }),
    }
}

/// Rows in the order of steps; those that somebody was asked about are there also where nothing was done.
fn rows(report: &Report) -> Vec<RowLine<'_>> {
    let mut lines = Vec::new();
    for step in &report.steps {
        let asked = asked(report, &step.step);
        let unnamed = |row: &&RowAsk| !step.rows.iter().any(|known| known.row == row.row);
        let known = step.rows.iter().map(|row| {
            let ask = asked.iter().find(|ask| ask.row == row.row).copied();
            line(report, step, &row.row, ask, row.counts, row.reasons())
        });
        lines.extend(known);
        let untouched = asked.iter().copied().filter(unnamed).map(|ask| {
            let counts = Counts::default();
            line(report, step, &ask.row, Some(ask), counts, Vec::new())
        });
        lines.extend(untouched);
    }
    lines
}

/// What was last asked about each row of a step.
fn asked<'a>(report: &'a Report, step: &str) -> Vec<&'a RowAsk> {
    let mut asked: Vec<&RowAsk> = Vec::new();
    for question in report.questions.iter().filter(|q| q.place.step == step) {
        let Question::Rows { rows, .. } = &question.what else {
            continue;
        };
        for row in rows {
            match asked.iter_mut().find(|known| known.row == row.row) {
                Some(known) => *known = row,
                None => asked.push(row),
            }
        }
    }
    asked
}

fn line<'a>(
    report: &'a Report,
    step: &'a StepReport,
    row: &'a str,
    ask: Option<&'a RowAsk>,
    counts: Counts,
    reasons: Vec<Reason>,
) -> RowLine<'a> {
    let answers = report
        .questions
        .iter()
        .filter(|q| q.place.step == step.step);
    let mut grants = answers.filter_map(|q| q.answer.as_ref()?.grants.get(row));
    RowLine {
        step: &step.step,
        row,
        strategy: ask.map_or("", |ask| &ask.strategy),
        does: ask.map_or("", |ask| &ask.does),
        target: ask.and_then(|ask| Some(ask.target.as_ref()?.to_string())),
        query: ask.map_or("", |ask| &ask.query),
        condition: ask.map_or("", |ask| &ask.condition),
        granted: grants.next_back().copied(),
        counts,
        reasons,
    }
}

fn pace(chronicle: &Chronicle) -> Pace {
    let (seconds, intervals) = (chronicle.width(), chronicle.intervals());
    let most = intervals.iter().map(|one| one.sent).max().unwrap_or(0);
    #[allow(clippy::cast_precision_loss)] // a rate
    let highest = most as f64 / seconds as f64;
    Pace {
        seconds,
        highest,
        sent: intervals.iter().map(|one| one.sent).sum(),
        bad: intervals.iter().map(|one| one.bad).sum(),
        jobs: chronicle.jobs(),
        intervals,
    }
}

/// Each once, in the order in which they were shown.
fn commands(report: &Report) -> Vec<CommandLine<'_>> {
    let mut lines: Vec<CommandLine<'_>> = Vec::new();
    for question in &report.questions {
        for (row, equivalent) in equivalents(&question.what) {
            let line = CommandLine {
                question: question.question,
                step: &question.place.step,
                row,
                command: &equivalent.command,
                caution: &equivalent.caution,
            };
            let same = |known: &CommandLine<'_>| {
                (known.step, known.row, known.command) == (line.step, line.row, line.command)
            };
            if !equivalent.is_empty() && !lines.iter().any(same) {
                lines.push(line);
            }
        }
    }
    lines
}

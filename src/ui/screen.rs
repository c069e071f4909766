//! What the live part of the terminal says, before it is laid out: the whole run as of now.
//!
//! Pure: from the report, what the trail remembers, and progress. It costs as much as there are steps and rows,
//! however many Workflows there are.

use jiff::{SignedDuration, Timestamp};

use super::trail::{Event, Speed, Trail};
use crate::record::StepStatus;
use crate::report::{
    Counts, PlannedStep, QuestionReport, Report, StepReport, Tone, about, count, duration, number,
    question_in_short,
};
use crate::run::Progress;

/// How far a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Not begun; in a loop: not in this round.
    ToCome,
    /// At work.
    Running,
    /// It passed.
    Passed,
    /// Left out, or only rehearsed.
    Skipped,
    /// It failed or halted, and somebody accepted that.
    Accepted,
    /// It failed or halted.
    Stopped,
}

/// A step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepView {
    /// Step id.
    pub name: String,
    /// Loops around it.
    pub depth: usize,
    /// How far it is.
    pub stage: Stage,
    /// What there is to say about it, the most important first.
    pub facts: Vec<String>,
}

/// A row of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowView {
    /// Row id.
    pub name: String,
    /// Counts.
    pub counts: Counts,
    /// Workflows that it is expected to take; none where nobody counted them.
    pub of: Option<u64>,
}

/// A step's table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableView {
    /// The step.
    pub step: String,
    /// Its rows.
    pub rows: Vec<RowView>,
}

/// The Workflows of the step at work.
#[derive(Clone, Debug, PartialEq)]
pub struct Work {
    /// The step.
    pub step: String,
    /// Workflows that it is through with.
    pub decided: u64,
    /// Workflows in all.
    pub total: u64,
    /// How fast it goes; none before that can be told.
    pub speed: Option<Speed>,
    /// The most writes a second that it may do now.
    pub pace: f64,
    /// Refused, failed, unknown.
    pub bad: u64,
}

/// Something that is waited for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wait {
    /// What for, and how it looked last.
    pub text: String,
    /// When it was checked, and when it will be; empty where nobody knows.
    pub times: String,
}

/// The whole run as of now.
#[derive(Clone, Debug, PartialEq)]
pub struct Screen {
    /// The runbook's name.
    pub runbook: String,
    /// The run's id.
    pub run: String,
    /// What kind of run it is, where that matters.
    pub kind: &'static str,
    /// Now.
    pub now: Timestamp,
    /// Since when it runs, in this attachment.
    pub since: SignedDuration,
    /// All steps.
    pub steps: Vec<StepView>,
    /// The innermost step at work; else the next one.
    pub focus: usize,
    /// Calls in flight.
    pub in_flight: usize,
    /// The step's Workflows.
    pub work: Option<Work>,
    /// The table of the step at work, or of the one that had one last.
    pub table: Option<TableView>,
    /// What is waited for, the most important first.
    pub waits: Vec<Wait>,
    /// What happened last.
    pub events: Vec<Event>,
}

impl Screen {
    /// Of a run. `checked` is when what is waited for was last asked about.
    pub fn of(
        report: &Report,
        trail: &Trail,
        progress: &Progress,
        checked: Option<Timestamp>,
    ) -> Self {
        let run = &report.run;
        let steps = steps(report, progress.now);
        let current = current(report, progress);
        let began = report.attachments.last().map(|attachment| attachment.at);
        Self {
            runbook: run.runbook.clone(),
            run: run.id.clone(),
            kind: match (run.dry, run.rehearsal || progress.simulated) {
                (true, _) => "dry run",
                (false, true) => "rehearsal",
                (false, false) => "",
            },
            now: progress.now,
            since: began.map_or(SignedDuration::ZERO, |at| progress.now.duration_since(at)),
            focus: focus(&steps, current),
            steps,
            in_flight: progress.in_flight,
            work: current.and_then(|step| work(step, trail, progress)),
            table: table(report, current),
            waits: waits(report, current, progress, checked),
            events: trail.events().cloned().collect(),
        }
    }
}

/// The step that works: the one that progress names, else the innermost that has not ended.
pub(super) fn current<'a>(report: &'a Report, progress: &Progress) -> Option<&'a StepReport> {
    let named = progress
        .step
        .as_ref()
        .and_then(|place| report.step(&place.step));
    let open = |step: &&StepReport| step.status.is_none();
    named.or_else(|| report.steps.iter().rev().find(open))
}

/// Those of the plan; where it cannot be read, those that have begun.
fn steps(report: &Report, now: Timestamp) -> Vec<StepView> {
    let outline = report.outline();
    if outline.is_empty() {
        let begun = report.steps.iter();
        return begun.map(|step| begun_step(step, 0, 0, 0, now)).collect();
    }
    let of_plan = |planned: &PlannedStep| {
        let round = planned
            .parent
            .as_deref()
            .map_or(0, |parent| round(report, parent));
        match report.step(&planned.step) {
            Some(step) => {
                let inside = self::round(report, &step.step);
                begun_step(step, planned.depth, round, inside, now)
            }
            None => StepView {
                name: planned.step.clone(),
                depth: planned.depth,
                stage: Stage::ToCome,
                facts: (!planned.title.is_empty())
                    .then(|| planned.title.clone())
                    .into_iter()
                    .collect(),
            },
        }
    };
    outline.iter().map(of_plan).collect()
}

/// A loop's round: the latest that one of its steps began in; 0 for what is no loop.
fn round(report: &Report, parent: &str) -> u32 {
    let inside = report
        .steps
        .iter()
        .filter(|step| step.parent.as_deref() == Some(parent));
    inside.map(|step| step.iteration).max().unwrap_or(0)
}

fn begun_step(
    step: &StepReport,
    depth: usize,
    round: u32,
    inside: u32,
    now: Timestamp,
) -> StepView {
    let stage = match step.status {
        _ if step.iteration < round => Stage::ToCome,
        None => Stage::Running,
        Some(StepStatus::Succeeded) => Stage::Passed,
        Some(StepStatus::Skipped | StepStatus::Rehearsed) => Stage::Skipped,
        Some(StepStatus::Accepted) => Stage::Accepted,
        Some(StepStatus::Failed | StepStatus::Halted) => Stage::Stopped,
    };
    StepView {
        name: step.step.clone(),
        depth,
        stage,
        facts: facts(step, stage, inside, now),
    }
}

fn facts(step: &StepReport, stage: Stage, round: u32, now: Timestamp) -> Vec<String> {
    let mut facts = Vec::new();
    let (spent, runs) = (step.spent(now), step.runs_for(now));
    if let Some(runs) = runs.filter(|runs| stage == Stage::Running && runs.as_secs() > 0) {
        facts.push(format!("for {}", duration(runs)));
    } else if matches!(stage, Stage::Passed | Stage::Stopped) && spent.as_secs() > 0 {
        facts.push(duration(spent));
    }
    if round > 0 && stage == Stage::Running {
        facts.push(format!("round {}", number(u64::from(round))));
    }
    let counts = super::lines::counts_in_words(&step.counts);
    if !counts.is_empty() {
        facts.push(counts);
    }
    if !step.message.is_empty() && stage != Stage::ToCome {
        facts.push(step.message.clone());
    }
    if facts.is_empty() && !step.title.is_empty() {
        facts.push(step.title.clone());
    }
    facts
}

fn focus(steps: &[StepView], current: Option<&StepReport>) -> usize {
    let named = current.and_then(|current| steps.iter().position(|step| step.name == current.step));
    let running = || steps.iter().rposition(|step| step.stage == Stage::Running);
    let next = || steps.iter().position(|step| step.stage == Stage::ToCome);
    named.or_else(running).or_else(next).unwrap_or(0)
}

fn work(step: &StepReport, trail: &Trail, progress: &Progress) -> Option<Work> {
    let total = match is_counted_out(step) {
        true => step.claimed,
        false => step.total(),
    };
    if total == 0 || step.status.is_some() {
        return None;
    }
    Some(Work {
        step: step.step.clone(),
        decided: step.counts.decided(),
        total,
        speed: trail.speed(),
        pace: progress.rate,
        bad: step.counts.bad(),
    })
}

/// Of the step at work; else of the one that worked on Workflows last.
fn table(report: &Report, current: Option<&StepReport>) -> Option<TableView> {
    let has_rows = |step: &&StepReport| step.claimed + step.released > 0 || !step.rows.is_empty();
    let last = || {
        let begun = report.steps.iter().filter(has_rows);
        begun.max_by_key(|step| step.ended.unwrap_or(Timestamp::MAX))
    };
    let step = current.filter(has_rows).or_else(last)?;
    let planned = report.outline().iter().find(|it| it.step == step.step);
    let planned = planned.map_or(&[][..], |it| &it.rows);
    let mut rows: Vec<RowView> = planned
        .iter()
        .map(|row| row_view(step, &row.row, row.count))
        .collect();
    for row in &step.rows {
        if !planned.iter().any(|known| known.row == row.row) {
            rows.push(row_view(step, &row.row, None));
        }
    }
    Some(TableView {
        step: step.step.clone(),
        rows,
    })
}

/// Whether a listing of it came to its end: rows whose Workflows only the look tells apart were counted at most
/// before, and what was claimed is all that there was.
fn is_counted_out(step: &StepReport) -> bool {
    step.status.is_some() || step.iteration > 1
}

fn row_view(step: &StepReport, row: &str, planned: Option<u64>) -> RowView {
    let known = step.rows.iter().find(|known| known.row == row);
    let counts = known.map(|known| known.counts).unwrap_or_default();
    let counted = step.expected_rows.get(row).copied().or(planned);
    let of = match is_counted_out(step) {
        true => counted.map(|_| counts.decided()),
        false => counted,
    };
    RowView {
        name: if row.is_empty() { "no row" } else { row }.to_owned(),
        counts,
        of: of.map(|of| of.max(counts.decided())),
    }
}

fn waits(
    report: &Report,
    step: Option<&StepReport>,
    progress: &Progress,
    checked: Option<Timestamp>,
) -> Vec<Wait> {
    let since = report.attachments.last().map(|attachment| attachment.at);
    let open = report.questions.iter().rev().filter(|question| {
        question.answer.is_none() && since.is_none_or(|since| question.asked >= since)
    });
    let mut waits: Vec<Wait> = open
        .map(|question| answer(question, progress.now))
        .collect();
    if !waits.is_empty() && progress.until.is_none() {
        // What the run says about it is in there.
        return waits;
    }
    waits.extend(waits_for(step, progress, checked));
    waits
}

/// An answer that is waited for; how many have agreed, where it takes several.
fn answer(question: &QuestionReport, now: Timestamp) -> Wait {
    let (step, asked) = (&question.place.step, question_in_short(&question.what));
    let since = duration(now.duration_since(question.asked));
    let wanted = question.agreement.by;
    let agreed = match question.agreement.is_plain() {
        true => String::new(),
        false => format!("{} of {wanted} agreed, ", question.approvals.len()),
    };
    Wait {
        text: format!("waits for an answer: {step} asks: {asked}"),
        times: format!("{agreed}for {since}"),
    }
}

/// What a step waits for, the last status, when that was checked and when it will be.
pub(super) fn waits_for(
    step: Option<&StepReport>,
    progress: &Progress,
    checked: Option<Timestamp>,
) -> Option<Wait> {
    let last = step.and_then(|step| step.waiting.as_ref());
    let what = progress.waiting_for.as_deref();
    let status = last.map(|waiting| waiting.status.as_str());
    let text = match (what, status) {
        (Some(what), Some(status)) if what != status => format!("waits for {what}: {status}"),
        (Some(what), _) => format!("waits for {what}"),
        (None, Some(status)) => format!("waits: {status}"),
        (None, None) => return None,
    };
    let mut times = Vec::new();
    if let Some(at) = checked.max(last.map(|waiting| waiting.at)) {
        let ago = duration(progress.now.duration_since(at));
        times.push(format!("checked {ago} ago"));
    }
    if let Some(until) = progress.until.filter(|until| *until > progress.now) {
        let left = until.duration_since(progress.now).as_secs() + 1;
        times.push(format!(
            "again in {}",
            duration(SignedDuration::from_secs(left))
        ));
    }
    Some(Wait {
        text,
        times: times.join(", "),
    })
}

impl Wait {
    /// In one piece.
    pub(super) fn whole(&self) -> String {
        match self.times.as_str() {
            "" => self.text.clone(),
            times => format!("{} ({times})", self.text),
        }
    }
}

impl Work {
    /// `140 of 260 Workflows`.
    pub(super) fn done(&self) -> String {
        format!(
            "{} of {}",
            number(self.decided),
            count(self.total, "Workflow")
        )
    }

    /// `12 writes/s (at most 200/s)`; empty where nobody knows.
    pub(super) fn rate(&self, short: bool) -> String {
        let Some(speed) = self.speed.filter(|speed| speed.writes > 0.0) else {
            return String::new();
        };
        match short || self.pace <= 0.0 {
            true => format!("{}/s", rate(speed.writes)),
            false => format!(
                "{} writes/s (at most {})",
                rate(speed.writes),
                rate(self.pace)
            ),
        }
    }

    /// `done in about 3 min`; empty where nobody knows.
    pub(super) fn left(&self) -> String {
        let left = self.total.saturating_sub(self.decided);
        let Some(speed) = self.speed.filter(|speed| speed.decided > 0.0 && left > 0) else {
            return String::new();
        };
        #[allow(clippy::cast_precision_loss)] // a guess
        let seconds = left as f64 / speed.decided;
        format!("done {}", about(seconds))
    }
}

fn rate(rate: f64) -> String {
    match rate {
        rate if rate < 10.0 => format!("{rate:.1}"),
        rate => number(rate.round() as u64),
    }
}

impl Stage {
    /// What its mark says.
    pub(super) fn tone(self) -> Tone {
        match self {
            Self::ToCome | Self::Skipped => Tone::Faint,
            Self::Running => Tone::Strong,
            Self::Passed => Tone::Good,
            Self::Accepted => Tone::Warn,
            Self::Stopped => Tone::Bad,
        }
    }
}

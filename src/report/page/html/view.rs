//! The page's data in the words and places that the template puts down.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::super::chronicle::Bar;
use super::super::model::{Page, RowLine, Verdict};
use super::chart::{self, Scale};
use crate::record::{Answer, Question, StepStatus};
use crate::report::entry::State;
use crate::report::format::{duration, minute, moment, number, time_of_day};
use crate::report::model::{AnswerReport, Counts, QuestionReport};
use crate::report::next::Next;
use crate::report::question::certainty_words;
use crate::report::summary::{health_word, status_word};

/// Bars of one step that are drawn; where there are more, neighbours become one.
const BARS: usize = 400;
/// Lines of what was waited for, the last ones.
const WAITS: usize = 100;
/// Charts of numbers over time.
const CHARTS: usize = 16;

#[derive(Debug, Serialize)]
pub(super) struct View {
    pub(super) live: bool,
    run: String,
    title: String,
    kind: &'static str,
    verdict: Verdict,
    facts: Vec<Fact>,
    parameters: Vec<Fact>,
    tiles: Vec<Tile>,
    next: Vec<Next>,
    people: Vec<Person>,
    timeline: Timeline,
    questions: Vec<Asked>,
    /// Questions that can be answered on this page: at most one.
    pub(super) open: Vec<u32>,
    tables: Vec<Table>,
    leftovers: Vec<String>,
    charts: Vec<Chart>,
    waits: Vec<[String; 3]>,
    earlier_waits: usize,
    pace: Option<Pace>,
    reasons: Vec<ReasonLine>,
    commands: Vec<Command>,
    total: String,
    pub(super) ledger: Vec<[String; 7]>,
}

#[derive(Debug, Serialize)]
struct Fact {
    name: String,
    value: String,
}

#[derive(Debug, Serialize)]
struct Tile {
    name: &'static str,
    value: String,
    tone: &'static str,
}

#[derive(Debug, Serialize)]
struct Person {
    when: String,
    who: String,
    took: String,
    flags: String,
    notes: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Timeline {
    from: String,
    to: String,
    ticks: Vec<(String, String)>,
    lanes: Vec<Lane>,
}

#[derive(Debug, Default, Serialize)]
struct Lane {
    step: String,
    title: String,
    inner: bool,
    status: String,
    tone: &'static str,
    began: String,
    took: String,
    times: String,
    workflows: String,
    said: Vec<String>,
    marks: Vec<Mark>,
}

#[derive(Debug, Serialize)]
struct Mark {
    x: String,
    width: String,
    tone: &'static str,
    title: String,
}

#[derive(Debug, Serialize)]
struct Asked {
    number: u32,
    when: String,
    step: String,
    iteration: u32,
    short: String,
    what: Vec<String>,
    rows: Vec<AskedRow>,
    approvals: Vec<String>,
    wants: String,
    answered: Option<Answered>,
    /// Names of the fields that are to be entered, with what they are for.
    fields: Vec<Fact>,
}

#[derive(Debug, Serialize)]
struct AskedRow {
    row: String,
    count: String,
    planned: String,
    strategy: String,
    does: String,
    target: String,
    query: String,
    condition: String,
    samples: String,
}

#[derive(Debug, Serialize)]
struct Answered {
    yes: bool,
    who: String,
    how: &'static str,
    when: String,
    until: String,
    granted: Vec<Fact>,
    note: String,
    form: Vec<Fact>,
}

#[derive(Debug, Serialize)]
struct Table {
    step: String,
    title: String,
    heads: Vec<&'static str>,
    rows: Vec<TableRow>,
    health: Vec<Fact>,
    canaries: Vec<String>,
    limits: Vec<String>,
}

#[derive(Debug, Serialize)]
struct TableRow {
    row: String,
    strategy: String,
    does: String,
    target: String,
    query: String,
    condition: String,
    granted: String,
    cells: Vec<String>,
    shares: Vec<Mark>,
    summary: String,
}

#[derive(Debug, Serialize)]
struct Chart {
    step: String,
    field: String,
    path: String,
    most: String,
    last: String,
    summary: String,
}

#[derive(Debug, Serialize)]
struct Pace {
    path: String,
    bad_path: String,
    highest: String,
    seconds: String,
    sent: String,
    bad: String,
    /// What they do not count; empty where that is nothing.
    left_out: String,
}

#[derive(Debug, Serialize)]
struct ReasonLine {
    step: String,
    row: String,
    outcome: &'static str,
    tone: &'static str,
    count: String,
    reason: String,
}

#[derive(Debug, Serialize)]
struct Command {
    about: String,
    command: String,
    caution: String,
}

impl View {
    pub(super) fn of(page: &Page<'_>) -> Self {
        let from = page.run.opened.unwrap_or(Timestamp::UNIX_EPOCH);
        let scale = Scale::new(from, page.last.unwrap_or(from));
        let skipped = page.waits.len().saturating_sub(WAITS);
        Self {
            live: false,
            run: page.run.id.clone(),
            title: match page.run.title.as_str() {
                "" => page.run.runbook.clone(),
                title => title.to_owned(),
            },
            kind: match (page.run.dry, page.run.rehearsal) {
                (true, true) => "dry run, rehearsal",
                (true, false) => "dry run",
                (false, true) => "rehearsal",
                (false, false) => "",
            },
            verdict: page.verdict.clone(),
            facts: facts(page),
            parameters: parameters(page),
            tiles: tiles(page),
            next: page.next.clone(),
            people: people(page),
            timeline: timeline(page, scale),
            questions: page.questions.iter().map(asked).collect(),
            open: Vec::new(),
            tables: tables(page),
            leftovers: leftovers(page),
            charts: charts(page, scale),
            waits: page.waits[skipped..]
                .iter()
                .map(|wait| {
                    [
                        moment(wait.at),
                        place_words(&wait.place.step, wait.place.iteration),
                        wait.status.clone(),
                    ]
                })
                .collect(),
            earlier_waits: skipped,
            pace: pace(page, scale),
            reasons: reasons(page),
            commands: commands(page),
            total: number(page.workflows as u64),
            ledger: Vec::new(),
        }
    }
}

fn fact(name: &str, value: impl Into<String>) -> Fact {
    Fact {
        name: name.to_owned(),
        value: value.into(),
    }
}

fn span(seconds: f64) -> String {
    SignedDuration::try_from_secs_f64(seconds).map_or_else(|_| String::new(), duration)
}

fn place_words(step: &str, iteration: u32) -> String {
    match iteration {
        0 => step.to_owned(),
        n => format!("{step}, iteration {n}"),
    }
}

fn facts(page: &Page<'_>) -> Vec<Fact> {
    let run = page.run;
    let mut who: Vec<String> = Vec::new();
    for one in page.attachments {
        let name = format!("{} on {}", one.user, one.host);
        if !who.contains(&name) {
            who.push(name);
        }
    }
    let mut facts = vec![
        fact("Run", &run.id),
        fact("Runbook", &run.runbook),
        fact("Run by", who.join(", ")),
        fact("Address", &run.address),
        fact("Namespace", &run.namespace),
        fact("Opened", run.opened.map(moment).unwrap_or_default()),
        fact("Last record", page.last.map(moment).unwrap_or_default()),
        fact("Took", span(page.seconds)),
        fact(
            "Exit code",
            page.exit_code
                .map_or_else(|| "none yet".to_owned(), |code| code.to_string()),
        ),
        fact("Plan digest", &run.digest),
        fact("Tool", format!("runbook {}", run.tool)),
        fact("State file", page.state_file),
    ];
    if let Some(saved) = &run.saved {
        let made = moment(saved.made);
        let text = format!("of {made}, by {} on {}", saved.user, saved.host);
        facts.push(fact("Saved plan", text));
    }
    if let Some(holder) = page.holder {
        facts.push(fact("Held by", holder));
    }
    if let Some(lock) = page.lock {
        facts.push(fact("Lock", &lock.name));
    }
    facts.retain(|fact| !fact.value.is_empty());
    facts
}

fn parameters(page: &Page<'_>) -> Vec<Fact> {
    let all = page.run.params.as_object().into_iter().flatten();
    all.map(|(name, value)| {
        let text = value.as_str().map(str::to_owned);
        fact(name, text.unwrap_or_else(|| value.to_string()))
    })
    .collect()
}

fn tiles(page: &Page<'_>) -> Vec<Tile> {
    let sum = |of: fn(&Counts) -> u64| page.steps.iter().map(|step| of(&step.counts)).sum::<u64>();
    let tile = |name, n: u64, tone| Tile {
        name,
        value: number(n),
        tone: if n == 0 { "plain" } else { tone },
    };
    let mut tiles = vec![Tile {
        name: "Workflows",
        value: number(page.claimed()),
        tone: "plain",
    }];
    let optional = [
        ("recovered", sum(|c| c.recovered), "good"),
        ("terminated", sum(|c| c.terminated), "plain"),
        ("cancelled", sum(|c| c.cancelled), "plain"),
        ("signalled", sum(|c| c.signalled), "plain"),
        ("would change", sum(|c| c.would), "plain"),
        ("skipped", sum(|c| c.skipped), "plain"),
        ("refused", sum(|c| c.refused), "bad"),
        ("failed", sum(|c| c.failed), "bad"),
        ("unknown", sum(|c| c.unknown), "bad"),
        ("in doubt", sum(|c| c.in_doubt), "warn"),
    ];
    let said = optional.into_iter().filter(|(_, n, _)| *n > 0);
    tiles.extend(said.map(|(name, n, tone)| tile(name, n, tone)));
    let unhealthy: u64 = page
        .steps
        .iter()
        .flat_map(|step| &step.health)
        .filter(|(health, _)| health.is_unhealthy())
        .map(|(_, n)| n)
        .sum();
    if unhealthy > 0 {
        tiles.push(tile("unhealthy since", unhealthy, "bad"));
    }
    tiles
}

fn people(page: &Page<'_>) -> Vec<Person> {
    let all = page.attachments.iter();
    all.map(|one| Person {
        when: moment(one.at),
        who: format!("{} on {}, process {}", one.user, one.host, one.pid),
        took: duration(one.until.duration_since(one.at)),
        flags: one.flags.join(" "),
        notes: one.notes.clone(),
    })
    .collect()
}

fn timeline(page: &Page<'_>, scale: Scale) -> Timeline {
    let mut by_step: BTreeMap<&str, Vec<&Bar>> = BTreeMap::new();
    for bar in page.bars {
        by_step.entry(&bar.place.step).or_default().push(bar);
    }
    let attached = page.attachments.iter().map(|one| Mark {
        x: Scale::percent(scale.share(one.at)),
        width: Scale::percent(scale.share(one.until) - scale.share(one.at)),
        tone: "attached",
        title: format!("{} on {}, from {}", one.user, one.host, moment(one.at)),
    });
    let mut lanes = vec![Lane {
        step: "attached".to_owned(),
        title: "somebody ran it".to_owned(),
        tone: "plain",
        marks: attached.collect(),
        ..Lane::default()
    }];
    for step in page.steps {
        let bars = by_step.remove(step.step.as_str()).unwrap_or_default();
        let mut marks = marks(&bars, scale);
        marks.extend(asks(page.questions, &step.step, scale));
        lanes.push(Lane {
            step: step.step.clone(),
            title: step.title.clone(),
            inner: step.parent.is_some(),
            status: step.status.map_or("not ended", status_word).to_owned(),
            tone: tone(step.status),
            began: step.started.map(minute).unwrap_or_default(),
            took: span(step.seconds + going(step.began, scale.to)),
            times: match step.iteration {
                0 => String::new(),
                n => number(u64::from(n)),
            },
            workflows: match step.claimed {
                0 => String::new(),
                n => number(n),
            },
            said: said(step),
            marks,
        });
    }
    Timeline {
        from: moment(scale.from),
        to: moment(scale.to),
        ticks: scale.ticks(),
        lanes,
    }
}

/// Seconds that a step has run since it last began.
fn going(began: Option<Timestamp>, now: Timestamp) -> f64 {
    began.map_or(0.0, |began| {
        now.duration_since(began).as_secs_f64().max(0.0)
    })
}

fn said(step: &crate::report::model::StepReport) -> Vec<String> {
    let mut said = Vec::new();
    if !step.message.is_empty() {
        said.push(step.message.clone());
    }
    said.extend(
        step.changes
            .iter()
            .map(|change| format!("Changed: {change}")),
    );
    if let (None, Some(waiting)) = (step.status, &step.waiting) {
        said.push(format!(
            "Waits: {} ({})",
            waiting.status,
            moment(waiting.at)
        ));
    }
    said
}

fn tone(status: Option<StepStatus>) -> &'static str {
    match status {
        None => "open",
        Some(StepStatus::Succeeded) => "good",
        Some(StepStatus::Skipped | StepStatus::Rehearsed) => "plain",
        Some(StepStatus::Accepted) => "warn",
        Some(StepStatus::Failed | StepStatus::Halted) => "bad",
    }
}

fn marks(bars: &[&Bar], scale: Scale) -> Vec<Mark> {
    let group = bars.len().div_ceil(BARS).max(1);
    bars.chunks(group)
        .map(|some| {
            let (first, last) = (some[0], some[some.len() - 1]);
            let to = last.to.unwrap_or(scale.to);
            // The worst of those that are drawn as one.
            let worst = some.iter().map(|bar| tone(bar.status));
            let worst = worst.max_by_key(|tone| match *tone {
                "bad" => 3,
                "open" => 2,
                "warn" => 1,
                _ => 0,
            });
            let how = last.status.map_or("not ended", status_word);
            let took = duration(to.duration_since(first.from));
            let times: u32 = some.iter().map(|bar| bar.times).sum();
            let name = match times {
                1 => place_words(&last.place.step, last.place.iteration),
                n => format!(
                    "{}, {n} iterations to {}",
                    last.place.step, last.place.iteration
                ),
            };
            Mark {
                x: Scale::percent(scale.share(first.from)),
                width: Scale::percent(scale.share(to) - scale.share(first.from)),
                tone: worst.unwrap_or("plain"),
                title: format!("{name}: {how}, {}, {took}", time_of_day(first.from)),
            }
        })
        .collect()
}

/// The time that a question was open, on the lane of its step.
fn asks<'a>(
    questions: &'a [QuestionReport],
    step: &'a str,
    scale: Scale,
) -> impl Iterator<Item = Mark> + 'a {
    let of_step = questions.iter().filter(move |q| q.place.step == step);
    of_step.map(move |q| {
        let to = q.answer.as_ref().map_or(scale.to, |answer| answer.at);
        let open = duration(to.duration_since(q.asked));
        Mark {
            x: Scale::percent(scale.share(q.asked)),
            width: Scale::percent(scale.share(to) - scale.share(q.asked)),
            tone: "asked",
            title: format!("question {} was open for {open}", q.question),
        }
    })
}

fn asked(q: &QuestionReport) -> Asked {
    let mut view = Asked {
        number: q.question,
        when: moment(q.asked),
        step: q.place.step.clone(),
        iteration: q.place.iteration,
        short: q.short.clone(),
        what: Vec::new(),
        rows: Vec::new(),
        approvals: approvals(q),
        wants: match q.agreement.is_plain() {
            true => String::new(),
            false => q.agreement.words(),
        },
        answered: answered(q),
        fields: Vec::new(),
    };
    match &q.what {
        Question::Rows {
            rows,
            rate,
            concurrency,
            notes,
            ..
        } => {
            let pace = format!("Up to {rate} writes a second, {concurrency} at a time.");
            view.what = match notes.is_empty() {
                true => vec![pace],
                false => notes.clone(),
            };
            view.rows = rows
                .iter()
                .map(|row| AskedRow {
                    row: row.row.clone(),
                    count: format!("{} {}", certainty_words(row.certainty), number(row.count)),
                    planned: row.planned.map_or_else(|| "unknown".to_owned(), number),
                    strategy: row.strategy.clone(),
                    does: row.does.clone(),
                    target: row
                        .target
                        .as_ref()
                        .map(ToString::to_string)
                        .unwrap_or_default(),
                    query: row.query.clone(),
                    condition: row.condition.clone(),
                    samples: row.samples.join(", "),
                })
                .collect();
        }
        // One alone is the heading already.
        Question::Changes { changes, .. } if changes.len() < 2 => {}
        Question::Changes { changes, .. } => view.what.clone_from(changes),
        Question::Canary { .. } => {}
        Question::Manual {
            instructions, form, ..
        } => {
            if instructions.lines().count() > 1 {
                view.what = instructions.lines().map(str::to_owned).collect();
            }
            let fields = form.iter();
            view.fields = fields
                .map(|(name, field)| fact(name, &field.description))
                .collect();
        }
        Question::Command {
            line,
            directory,
            effect,
            ..
        } => {
            view.what = vec![line.clone(), format!("Effect: {}", effect.words())];
            view.what
                .extend(directory.iter().map(|folder| format!("In {folder}")));
        }
    }
    view
}

/// Who agreed, where that alone was not the answer.
pub(in crate::report::page) fn approvals(q: &QuestionReport) -> Vec<String> {
    let all = q.approvals.iter();
    all.map(|one| {
        let note = match one.note.as_str() {
            "" => String::new(),
            note => format!(": {note}"),
        };
        let (at, until) = (moment(one.at), moment(one.expires));
        format!("Approved by {}, {at}, counts until {until}{note}", one.by)
    })
    .collect()
}

fn answered(q: &QuestionReport) -> Option<Answered> {
    let answer = q.answer.as_ref()?;
    let yes = answer.answer == Answer::Yes;
    Some(Answered {
        yes,
        who: who(answer),
        how: answer.means.words(),
        when: moment(answer.at),
        until: match yes {
            true => moment(answer.expires),
            false => String::new(),
        },
        granted: answer
            .grants
            .iter()
            .map(|(row, n)| fact(row, number(*n)))
            .collect(),
        note: answer.note.clone(),
        form: answer
            .form
            .iter()
            .map(|(name, value)| {
                let text = value.as_str().map(str::to_owned);
                fact(name, text.unwrap_or_else(|| value.to_string()))
            })
            .collect(),
    })
}

/// Who answered, and from where that is known.
pub(in crate::report::page) fn who(answer: &AnswerReport) -> String {
    match answer.from.as_str() {
        "" => answer.by.clone(),
        from => format!("{} ({from})", answer.by),
    }
}

/// Outcomes, in the order of a table's columns.
type Outcome = (&'static str, &'static str, fn(&Counts) -> u64);
pub(in crate::report::page) const OUTCOMES: [Outcome; 12] = [
    ("moved", "good", |c| c.moved),
    ("started over", "good", |c| c.started_over),
    ("undone", "good", |c| c.undone),
    ("terminated", "other", |c| c.terminated),
    ("cancelled", "other", |c| c.cancelled),
    ("signalled", "other", |c| c.signalled),
    ("would change", "other", |c| c.would),
    ("skipped", "skipped", |c| c.skipped),
    ("refused", "bad", |c| c.refused),
    ("failed", "bad", |c| c.failed),
    ("unknown", "bad", |c| c.unknown),
    ("in doubt", "open", |c| c.in_doubt),
];

fn tables(page: &Page<'_>) -> Vec<Table> {
    let mut tables = Vec::new();
    for step in page.steps {
        let lines: Vec<&RowLine<'_>> = page
            .rows
            .iter()
            .filter(|row| row.step == step.step)
            .collect();
        if lines.is_empty() {
            continue;
        }
        let outcomes: Vec<Outcome> = OUTCOMES
            .into_iter()
            .filter(|(.., of)| lines.iter().any(|line| of(&line.counts) > 0))
            .collect();
        tables.push(Table {
            step: step.step.clone(),
            title: step.title.clone(),
            heads: outcomes.iter().map(|(name, ..)| *name).collect(),
            rows: lines
                .iter()
                .map(|line| table_row(line, &outcomes))
                .collect(),
            health: step
                .health
                .iter()
                .map(|(health, n)| fact(health_word(*health), number(*n)))
                .collect(),
            canaries: step
                .canaries
                .iter()
                .map(|canary| {
                    let how = if canary.passed {
                        "passed"
                    } else {
                        "stopped it"
                    };
                    format!("Canary of row {} {how}: {}", canary.row, canary.reason)
                })
                .collect(),
            limits: step
                .limits
                .iter()
                .map(|hit| {
                    let (value, bound) = (number(hit.value), number(hit.bound));
                    format!("{} reached {value}, {bound} are allowed", hit.limit)
                })
                .collect(),
        });
    }
    tables
}

fn table_row(line: &RowLine<'_>, outcomes: &[Outcome]) -> TableRow {
    let all: u64 = outcomes.iter().map(|(.., of)| of(&line.counts)).sum();
    let mut before = 0.0;
    let mut shares = Vec::new();
    let mut words = Vec::new();
    for (name, tone, of) in outcomes {
        let n = of(&line.counts);
        if n == 0 {
            continue;
        }
        #[allow(clippy::cast_precision_loss)] // a picture
        let share = n as f64 / all.max(1) as f64;
        words.push(format!("{} {name}", number(n)));
        shares.push(Mark {
            x: Scale::percent(before),
            width: Scale::percent(share),
            tone,
            title: format!("{} {name}", number(n)),
        });
        before += share;
    }
    TableRow {
        row: match line.row {
            "" => "-".to_owned(),
            row => row.to_owned(),
        },
        strategy: line.strategy.to_owned(),
        does: line.does.to_owned(),
        target: line.target.clone().unwrap_or_default(),
        query: line.query.to_owned(),
        condition: line.condition.to_owned(),
        granted: line.granted.map_or_else(String::new, number),
        cells: outcomes
            .iter()
            .map(|(.., of)| number(of(&line.counts)))
            .collect(),
        shares,
        summary: words.join(", "),
    }
}

fn leftovers(page: &Page<'_>) -> Vec<String> {
    let steps = page.steps.iter();
    steps
        .flat_map(|step| {
            step.unmatched.iter().map(move |(name, left)| {
                let n = crate::report::format::count(left.count, "Workflow");
                let samples = left.samples.join(", ");
                format!(
                    "{}: no row takes {n} of type {name}, for example {samples}",
                    step.step
                )
            })
        })
        .collect()
}

/// Drainage first, then whatever else changed.
fn charts(page: &Page<'_>, scale: Scale) -> Vec<Chart> {
    let mut lines: Vec<_> = page.series.iter().collect();
    lines.sort_by_key(|line| match line.field.as_str() {
        "running" | "left" | "waiting" => 0,
        _ => 1,
    });
    lines
        .into_iter()
        .take(CHARTS)
        .map(|line| {
            let values = line.points.iter().map(|point| point.value);
            let most = values.fold(0.0, f64::max);
            let value = |point: Option<&super::super::Point>| {
                chart::value(point.map_or(0.0, |point| point.value))
            };
            let (first, last) = (value(line.points.first()), value(line.points.last()));
            Chart {
                step: line.step.clone(),
                field: line.field.clone(),
                path: chart::line(&line.points, most, scale),
                summary: format!(
                    "{} {}: from {first} to {last}, at most {}",
                    line.step,
                    line.field,
                    chart::value(most)
                ),
                most: chart::value(most),
                last,
            }
        })
        .collect()
}

fn pace(page: &Page<'_>, scale: Scale) -> Option<Pace> {
    let pace = &page.pace;
    let left_out = pace.left_out();
    if pace.intervals.is_empty() && left_out.is_none() {
        return None;
    }
    let most = pace.intervals.iter().map(|one| one.sent.max(one.bad)).max();
    let path = |of| chart::columns(&pace.intervals, pace.seconds, most.unwrap_or(0), of, scale);
    Some(Pace {
        path: path(|one| one.sent),
        bad_path: path(|one| one.bad),
        highest: chart::value((pace.highest * 10.0).round() / 10.0),
        seconds: match pace.seconds {
            1 => "a second".to_owned(),
            n => duration(SignedDuration::from_secs(n)),
        },
        sent: number(pace.sent),
        bad: number(pace.bad),
        left_out: left_out.unwrap_or_default(),
    })
}

fn reasons(page: &Page<'_>) -> Vec<ReasonLine> {
    let mut lines: Vec<(u64, ReasonLine)> = Vec::new();
    for row in &page.rows {
        for reason in &row.reasons {
            let tone = match reason.state {
                State::Refused | State::Failed | State::Unknown => "bad",
                _ => "plain",
            };
            let line = ReasonLine {
                step: row.step.to_owned(),
                row: row.row.to_owned(),
                outcome: reason.state.words(),
                tone,
                count: number(reason.count),
                reason: reason.reason.clone(),
            };
            lines.push((reason.count, line));
        }
    }
    // What went wrong first, then by how often.
    lines.sort_by_key(|(count, line)| (line.tone != "bad", std::cmp::Reverse(*count)));
    lines.into_iter().map(|(_, line)| line).collect()
}

fn commands(page: &Page<'_>) -> Vec<Command> {
    let all = page.commands.iter();
    all.map(|one| Command {
        about: match one.row {
            "" => one.step.to_owned(),
            row => format!("{}, row {row}", one.step),
        },
        command: one.command.to_owned(),
        caution: one.caution.to_owned(),
    })
    .collect()
}

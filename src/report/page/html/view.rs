//! The page's data in the words and places that the template puts down.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::super::model::{Page, RowLine, Verdict};
use super::asked::{Asked, asked};
use super::chart::{self, Scale};
use super::timeline::{Mark, Timeline, timeline};
use crate::report::entry::State;
use crate::report::format::{duration, moment, number};
use crate::report::model::Counts;
use crate::report::next::Next;
use crate::report::summary::health_word;

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
    /// Who answers on it.
    pub(super) answers_as: String,
    /// What a command line calls the run.
    pub(super) target: String,
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
pub(super) struct Fact {
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
            answers_as: String::new(),
            target: String::new(),
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

pub(super) fn fact(name: &str, value: impl Into<String>) -> Fact {
    Fact {
        name: name.to_owned(),
        value: value.into(),
    }
}

pub(super) fn span(seconds: f64) -> String {
    SignedDuration::try_from_secs_f64(seconds).map_or_else(|_| String::new(), duration)
}

pub(super) fn place_words(step: &str, iteration: u32) -> String {
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

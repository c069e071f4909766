//! The timeline of a page: a lane a step, with when it ran and when it asked.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::super::chronicle::Bar;
use super::super::model::Page;
use super::chart::Scale;
use super::view::{place_words, span};
use crate::record::StepStatus;
use crate::report::format::{duration, minute, moment, number, time_of_day};
use crate::report::model::QuestionReport;
use crate::report::summary::status_word;

/// Bars of one step that are drawn; where there are more, neighbours become one.
const BARS: usize = 400;

#[derive(Debug, Serialize)]
pub(super) struct Timeline {
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
pub(super) struct Mark {
    pub(super) x: String,
    pub(super) width: String,
    pub(super) tone: &'static str,
    pub(super) title: String,
}

pub(super) fn timeline(page: &Page<'_>, scale: Scale) -> Timeline {
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

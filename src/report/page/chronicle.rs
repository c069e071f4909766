//! What a page shows over time: a fold of records into bars, lines and rates, of bounded size.
//!
//! [`Report`](crate::report::Report) tells how things are; this tells how they came to be. Times are those of
//! the records. Knows nothing of how it is drawn.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::record::{Body, JobEnd, Outcome, Place, Record, Settlement, StepStatus};
use crate::survey::BatchState;

/// Bars that are kept apart; further iterations of a step lengthen its last bar.
const SPANS: usize = 4_000;
/// Lines of what was waited for; further ones of a step replace its last.
const WAITS: usize = 1_000;
/// Lines of a chart.
const SERIES: usize = 200;
/// Points of a line: where there are more, every second one goes.
const POINTS: usize = 1_000;
/// Intervals in which writes are counted: where there are more, two become one.
const INTERVALS: usize = 600;

/// One time that a step ran.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Bar {
    /// Which step and iteration; of several that were put together, the last.
    pub place: Place,
    /// When it began.
    pub from: Timestamp,
    /// When it ended; none while it runs.
    pub to: Option<Timestamp>,
    /// How it ended.
    pub status: Option<StepStatus>,
    /// Times that the step ran in it: 1, unless several were put together.
    pub times: u32,
}

/// What a step waited for, from then on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Wait {
    /// Which step.
    pub place: Place,
    /// Since when.
    pub at: Timestamp,
    /// In words.
    pub status: String,
}

/// A number of a step's output, or of what it waited for, over time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Series {
    /// Step.
    pub step: String,
    /// Field of its output; `left` is the number that what it waited for began with.
    pub field: String,
    /// When, and what; a point stands where the value changed, and at the end.
    pub points: Vec<Point>,
}

/// One point of a line.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Point {
    /// When.
    pub at: Timestamp,
    /// How many.
    pub value: f64,
}

/// Writes to Workflows in an interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Interval {
    /// Its beginning, seconds since 1970.
    pub second: i64,
    /// Writes that left. Those that a batch job of the service makes are not among them.
    pub sent: u64,
    /// Writes that failed, were refused, or of which nobody knows.
    pub bad: u64,
}

/// What batch jobs of the service did. The records have sums of it, and no times of single writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ByJobs {
    /// Jobs that were started.
    pub jobs: u64,
    /// Those that still work, or of which the service forgot what they did.
    pub open: u64,
    /// Operations that the others did.
    pub done: u64,
    /// Operations of theirs that failed.
    pub failed: u64,
}

/// The fold.
#[derive(Clone, Debug)]
pub struct Chronicle {
    bars: Vec<Bar>,
    waits: Vec<Wait>,
    series: Vec<Series>,
    intervals: BTreeMap<i64, (u64, u64)>,
    /// Seconds an interval; a power of two.
    width: i64,
    jobs: ByJobs,
}

impl Default for Chronicle {
    fn default() -> Self {
        Self {
            bars: Vec::new(),
            waits: Vec::new(),
            series: Vec::new(),
            intervals: BTreeMap::new(),
            width: 1,
            jobs: ByJobs::default(),
        }
    }
}

impl Chronicle {
    /// Bars, in the order in which they began.
    pub fn bars(&self) -> &[Bar] {
        &self.bars
    }

    /// What was waited for, in order.
    pub fn waits(&self) -> &[Wait] {
        &self.waits
    }

    /// Lines whose value changed, or that are about drainage.
    pub fn series(&self) -> impl Iterator<Item = &Series> {
        let moved = |line: &&Series| {
            let first = line.points.first().map(|point| point.value);
            line.points.iter().any(|point| Some(point.value) != first)
        };
        self.series.iter().filter(moved)
    }

    /// Seconds an interval.
    pub fn width(&self) -> i64 {
        self.width
    }

    /// Intervals in which something was sent, in order.
    pub fn intervals(&self) -> Vec<Interval> {
        let all = self.intervals.iter();
        all.map(|(number, (sent, bad))| Interval {
            second: number * self.width,
            sent: *sent,
            bad: *bad,
        })
        .collect()
    }

    /// What batch jobs did, which no interval has.
    pub fn jobs(&self) -> ByJobs {
        self.jobs
    }

    /// Folds one more record in.
    pub fn apply(&mut self, record: &Record) {
        let at = record.at;
        match &record.body {
            Body::StepStarted { place } => self.begin(place, at),
            Body::StepEnded {
                place,
                status,
                output,
                ..
            } => {
                self.end(place, *status, at);
                self.measure(place, output, at);
            }
            Body::Polled { place, status } => self.wait(place, status, at),
            Body::Intent { .. } => self.count(at, 1, 0),
            Body::Outcome {
                outcome: Outcome::Failed { .. } | Outcome::Refused { .. } | Outcome::Unknown { .. },
                ..
            }
            | Body::Settled {
                settlement: Settlement::Unknown,
                ..
            }
            | Body::Barred { .. } => self.count(at, 0, 1),
            Body::Job { .. } => {
                self.jobs.jobs += 1;
                self.jobs.open += 1;
            }
            Body::JobEnded { end, .. } => self.job_ended(end),
            _ => {}
        }
    }

    fn job_ended(&mut self, end: &JobEnd) {
        let jobs = &mut self.jobs;
        match end {
            JobEnd::Ended {
                state: BatchState::Unknown,
                ..
            } => {}
            JobEnd::Ended {
                complete, failed, ..
            } => {
                jobs.open = jobs.open.saturating_sub(1);
                jobs.done += complete;
                jobs.failed += failed;
            }
            JobEnd::NotStarted { .. } => {
                jobs.jobs = jobs.jobs.saturating_sub(1);
                jobs.open = jobs.open.saturating_sub(1);
            }
        }
    }

    fn begin(&mut self, place: &Place, at: Timestamp) {
        if self.bars.len() >= SPANS
            && let Some(last) = self.last_bar(&place.step)
        {
            last.place.clone_from(place);
            last.times += 1;
            last.to = None;
            last.status = None;
            return;
        }
        // A run that was resumed begins its step again: the bar goes on.
        if let Some(last) = self.last_bar(&place.step)
            && last.to.is_none()
            && last.place == *place
        {
            return;
        }
        self.bars.push(Bar {
            place: place.clone(),
            from: at,
            to: None,
            status: None,
            times: 1,
        });
    }

    fn end(&mut self, place: &Place, status: StepStatus, at: Timestamp) {
        match self.last_bar(&place.step) {
            Some(bar) if bar.place == *place => {
                bar.to = Some(at);
                bar.status = Some(status);
            }
            // A step that never began, such as one that was skipped.
            _ => {
                self.begin(place, at);
                if let Some(bar) = self.last_bar(&place.step) {
                    bar.to = Some(at);
                    bar.status = Some(status);
                }
            }
        }
    }

    fn last_bar(&mut self, step: &str) -> Option<&mut Bar> {
        self.bars
            .iter_mut()
            .rev()
            .find(|bar| bar.place.step == step)
    }

    fn wait(&mut self, place: &Place, status: &str, at: Timestamp) {
        if let Some(value) = leading_number(status) {
            self.point(&place.step, "left", value, at);
        }
        let wait = Wait {
            place: place.clone(),
            at,
            status: status.to_owned(),
        };
        let last = |waits: &mut [Wait]| {
            waits
                .iter()
                .rposition(|known| known.place.step == place.step)
        };
        match last(&mut self.waits) {
            Some(index) if self.waits.len() >= WAITS => self.waits[index] = wait,
            _ => self.waits.push(wait),
        }
    }

    /// The numbers of an output, of a step that runs more than once.
    fn measure(&mut self, place: &Place, output: &Value, at: Timestamp) {
        if place.iteration == 0 {
            return;
        }
        for (field, value) in output.as_object().into_iter().flatten() {
            if let Some(value) = value.as_f64() {
                self.point(&place.step, field, value, at);
            }
        }
    }

    fn point(&mut self, step: &str, field: &str, value: f64, at: Timestamp) {
        let known = self
            .series
            .iter_mut()
            .position(|line| line.step == step && line.field == field);
        let index = match known {
            Some(index) => index,
            None if self.series.len() < SERIES => {
                self.series.push(Series {
                    step: step.to_owned(),
                    field: field.to_owned(),
                    points: Vec::new(),
                });
                self.series.len() - 1
            }
            None => return,
        };
        let points = &mut self.series[index].points;
        let point = Point { at, value };
        // Of a value that stays, its first point and its last.
        match points.as_mut_slice() {
            #[allow(clippy::float_cmp)] // the same number
            [.., before, last] if before.value == value && last.value == value => *last = point,
            _ => points.push(point),
        }
        if points.len() > POINTS {
            let mut number = 0;
            let last = points.len();
            points.retain(|_| {
                number += 1;
                number % 2 == 1 || number == last
            });
        }
    }

    fn count(&mut self, at: Timestamp, sent: u64, bad: u64) {
        let number = at.as_second().div_euclid(self.width);
        let entry = self.intervals.entry(number).or_default();
        entry.0 += sent;
        entry.1 += bad;
        while self.spread() > INTERVALS {
            self.width *= 2;
            let mut wider: BTreeMap<i64, (u64, u64)> = BTreeMap::new();
            for (number, (sent, bad)) in std::mem::take(&mut self.intervals) {
                let entry = wider.entry(number.div_euclid(2)).or_default();
                entry.0 += sent;
                entry.1 += bad;
            }
            self.intervals = wider;
        }
    }

    /// Intervals from the first to the last.
    fn spread(&self) -> usize {
        let first = self.intervals.keys().next();
        let last = self.intervals.keys().next_back();
        match (first, last) {
            (Some(first), Some(last)) => usize::try_from(last - first + 1).unwrap_or(usize::MAX),
            _ => 0,
        }
    }
}

/// A status that begins with a number says how many are left: `12 Workflows to close`.
fn leading_number(status: &str) -> Option<f64> {
    let digits: String = status.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_767_225_600 + second).expect("a time")
    }

    fn place(iteration: u32) -> Place {
        Place {
            step: "drainage".to_owned(),
            iteration,
        }
    }

    proptest! {
        #[test]
        fn no_write_is_lost_however_long_it_takes(times in prop::collection::vec((0..10_000_000i64, 0..3u64, 0..3u64), 1..200)) {
            let mut chronicle = Chronicle::default();
            for (second, sent, bad) in &times {
                chronicle.count(at(*second), *sent, *bad);
            }
            let intervals = chronicle.intervals();
            let sum = |of: fn(&Interval) -> u64| intervals.iter().map(of).sum::<u64>();
            prop_assert_eq!(sum(|one| one.sent), times.iter().map(|(_, sent, _)| sent).sum::<u64>());
            prop_assert_eq!(sum(|one| one.bad), times.iter().map(|(.., bad)| bad).sum::<u64>());
            prop_assert!(chronicle.spread() <= INTERVALS);
        }

        #[test]
        fn a_line_keeps_its_ends_and_its_size(values in prop::collection::vec(0..4u8, 1..5_000)) {
            let mut chronicle = Chronicle::default();
            for (second, value) in values.iter().enumerate() {
                chronicle.point("drainage", "running", f64::from(*value), at(second as i64));
            }
            let points = &chronicle.series[0].points;
            prop_assert!(points.len() <= POINTS);
            prop_assert_eq!(points[0].value, f64::from(values[0]));
            prop_assert_eq!(points[points.len() - 1].value, f64::from(values[values.len() - 1]));
            prop_assert!(points.is_sorted_by_key(|point| point.at));
        }
    }

    #[test]
    fn what_runs_on_for_weeks_stays_bounded() {
        let mut chronicle = Chronicle::default();
        for iteration in 1..=10_000 {
            let second = i64::from(iteration) * 30;
            chronicle.begin(&place(iteration), at(second));
            chronicle.wait(
                &place(iteration),
                &format!("{iteration} Workflows"),
                at(second),
            );
            chronicle.end(&place(iteration), StepStatus::Succeeded, at(second + 1));
        }
        assert_eq!(chronicle.bars.len(), SPANS);
        assert_eq!(chronicle.waits.len(), WAITS);
        let last = &chronicle.bars[SPANS - 1];
        assert_eq!((last.place.iteration, last.times), (10_000, 6_001));
        assert_eq!(last.to, Some(at(300_001)));
    }
}

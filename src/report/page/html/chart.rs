//! Where things stand on a chart: times as a share of the run's length, values as a share of the largest.

use std::fmt::Write as _;

use jiff::{SignedDuration, Timestamp};

use super::super::chronicle::{Interval, Point};
use crate::report::format::{number, time_of_day};

/// Width and height of a chart's own units; it is stretched to its box.
pub(super) const WIDE: f64 = 1000.0;
pub(super) const HIGH: f64 = 100.0;

/// From when to when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
}

impl Scale {
    /// Never empty: a run of a moment is a second long.
    pub(super) fn new(from: Timestamp, to: Timestamp) -> Self {
        let least = from + SignedDuration::from_secs(1);
        Self {
            from,
            to: to.max(least),
        }
    }

    fn seconds(&self) -> f64 {
        self.to.duration_since(self.from).as_secs_f64()
    }

    /// 0 at the beginning, 1 at the end.
    pub(super) fn share(&self, at: Timestamp) -> f64 {
        let passed = at.duration_since(self.from).as_secs_f64();
        (passed / self.seconds()).clamp(0.0, 1.0)
    }

    /// As SVG takes it: `12.34%`.
    pub(super) fn percent(share: f64) -> String {
        format!("{:.3}%", share * 100.0)
    }

    /// Times at round distances, at most about six; none so near the end that its label would not fit.
    pub(super) fn ticks(&self) -> Vec<(String, String)> {
        const STEPS: [i64; 20] = [
            1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200,
            86_400, 172_800, 604_800,
        ];
        let seconds = self.seconds();
        #[allow(clippy::cast_precision_loss)] // at most a week
        let step = STEPS.into_iter().find(|step| seconds / *step as f64 <= 6.0);
        let step = step.unwrap_or(2_592_000);
        let first = self.from.as_second().div_euclid(step) * step;
        let mut ticks = Vec::new();
        let mut at = first;
        while at <= self.to.as_second() && ticks.len() < 100 {
            if let Ok(time) = Timestamp::from_second(at)
                && time >= self.from
                && self.share(time) < 0.97
            {
                let label = match step {
                    ..86_400 => time_of_day(time),
                    _ => time.strftime("%m-%d").to_string(),
                };
                let label = match step {
                    60..86_400 => label.replacen(":00Z", "Z", 1),
                    _ => label,
                };
                ticks.push((Self::percent(self.share(time)), label));
            }
            at += step;
        }
        ticks
    }
}

/// A line that keeps each value until the next, in the chart's own units.
pub(super) fn line(points: &[Point], most: f64, scale: Scale) -> String {
    let mut path = String::new();
    let high = |value: f64| HIGH - value.max(0.0) / most.max(1.0) * HIGH;
    for (index, point) in points.iter().enumerate() {
        let (x, y) = (scale.share(point.at) * WIDE, high(point.value));
        let _ = match index {
            0 => write!(path, "M{x:.1} {y:.1}"),
            _ => write!(path, "H{x:.1}V{y:.1}"),
        };
    }
    path
}

/// Columns, one an interval, as one path.
pub(super) fn columns(
    intervals: &[Interval],
    seconds: i64,
    most: u64,
    of: fn(&Interval) -> u64,
    scale: Scale,
) -> String {
    let mut path = String::new();
    #[allow(clippy::cast_precision_loss)] // a picture
    for one in intervals.iter().filter(|one| of(one) > 0) {
        let at = |second| Timestamp::from_second(second).unwrap_or(scale.from);
        let from = scale.share(at(one.second)) * WIDE;
        let to = scale.share(at(one.second + seconds)) * WIDE;
        let high = of(one) as f64 / most.max(1) as f64 * HIGH;
        let wide = (to - from).max(1.0);
        let _ = write!(path, "M{from:.1} {HIGH}v-{high:.1}h{wide:.1}v{high:.1}z");
    }
    path
}

/// A value beside a chart: whole where it is whole.
pub(super) fn value(value: f64) -> String {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // checked
    if value.fract() == 0.0 && (0.0..1e15).contains(&value) {
        return number(value as u64);
    }
    format!("{value:.1}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_767_225_600 + second).expect("a time")
    }

    #[test]
    fn ticks_are_few_and_round() {
        for seconds in [
            1, 7, 59, 60, 761, 3_600, 7_300, 90_000, 1_000_000, 40_000_000,
        ] {
            let ticks = Scale::new(at(3), at(3 + seconds)).ticks();
            assert!(
                (1..=17).contains(&ticks.len()) || seconds < 2,
                "{seconds}: {ticks:?}"
            );
        }
        let labels = |seconds| {
            let ticks = Scale::new(at(0), at(seconds)).ticks().into_iter();
            ticks.map(|(_, label)| label).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(labels(20), "00:00:00Z 00:00:05Z 00:00:10Z 00:00:15Z");
        assert_eq!(labels(761), "00:00Z 00:05Z 00:10Z");
        assert_eq!(labels(300_000), "01-01 01-02 01-03 01-04");
    }

    #[test]
    fn a_value_stays_until_the_next() {
        let point = |second, value| Point {
            at: at(second),
            value,
        };
        let points = [point(0, 10.0), point(5, 5.0), point(10, 0.0)];
        let path = line(&points, 10.0, Scale::new(at(0), at(10)));
        assert_eq!(path, "M0.0 0.0H500.0V50.0H1000.0V100.0");
    }
}

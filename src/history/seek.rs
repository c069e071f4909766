//! Events, one at a time and in order from either end → the point that a reset means, or why there is none.
//!
//! What is kept while reading does not grow with the history.

use std::collections::VecDeque;

use super::{Before, Event, Kind, LateNames, Moment, Names, ResetPoint, ResetTo, Stretch, Which};

/// Valid points that are offered instead of an invalid one.
pub const OFFERED: usize = 10;
/// Matching events that are named where several match.
const SEVERAL: usize = 10;

/// From which end events are to be fed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From event 1.
    Forward,
    /// From the newest.
    Reverse,
}

/// Why there is no point.
#[derive(Clone, Debug, PartialEq)]
pub enum Miss {
    /// No Workflow Task of this run completed (before, where that was asked).
    NoTask,
    /// What is to be undone is not in the history.
    NoEvent,
    /// What is to be undone came before any Workflow Task completed: its event id.
    TooEarly(i64),
    /// Several match: their event ids.
    Several(Vec<i64>),
    /// An input could not be decoded, so nobody can say whether it matches: its event id.
    Unreadable(i64),
    /// The event is none that a run can be reset to: valid ones, nearest first.
    Invalid(Vec<ResetPoint>),
    /// No Workflow Task failed since the last one that completed.
    NoFailedTask,
    /// This run is not one that another continued as, or that other is gone.
    NotContinued,
    /// The history is longer than what is read.
    TooLong,
}

/// A point that was passed, and what came after it.
#[derive(Clone, Debug)]
struct Passed {
    event: Event,
    after: Stretch,
    follows: Stretch,
}

impl Passed {
    fn new(event: &Event, after: Stretch) -> Self {
        Self {
            event: event.clone(),
            after,
            follows: Stretch::default(),
        }
    }

    fn point(self) -> ResetPoint {
        ResetPoint::new(&self.event, self.after, self.follows)
    }
}

/// The search for one point. Feed it events with [`Seek::push`] until [`Seek::done`], then ask.
#[derive(Clone, Debug)]
pub struct Seek {
    to: ResetTo,
    /// Last durable event id: what a retrying task shows beyond it cannot be reset to.
    durable: i64,
    names: Names,
    late: LateNames,
    /// Everything that was read so far, in reverse; what came after the candidate, forward.
    after: Stretch,
    /// Forward: the last completed task so far.
    candidate: Option<Event>,
    /// Forward: a task that failed or timed out, should none ever complete.
    ended: Option<Event>,
    ended_after: Stretch,
    found: Option<Passed>,
    matched: Vec<i64>,
    unreadable: Option<i64>,
    missed: Option<Miss>,
    /// Valid points around an event id, in the order of reading.
    near: VecDeque<Passed>,
    below: usize,
    /// What lies after the last point that was passed.
    between: Stretch,
}

impl Seek {
    /// A search for `to` in a history whose last durable event is `durable`.
    pub fn new(to: ResetTo, durable: i64) -> Self {
        Self {
            to,
            durable,
            names: Names::default(),
            late: LateNames::default(),
            after: Stretch::default(),
            candidate: None,
            ended: None,
            ended_after: Stretch::default(),
            found: None,
            matched: Vec::new(),
            unreadable: None,
            missed: None,
            near: VecDeque::new(),
            below: 0,
            between: Stretch::default(),
        }
    }

    /// From which end it wants the events.
    pub fn direction(&self) -> Direction {
        match &self.to {
            ResetTo::FirstWorkflowTask | ResetTo::Build(_) | ResetTo::BadBinaryChecksum(_) => {
                Direction::Forward
            }
            ResetTo::Before(before) if before.event.is_some() && before.which != Which::Last => {
                Direction::Forward
            }
            _ => Direction::Reverse,
        }
    }

    /// Whether the point is decided. Forward, what follows it is still to be counted.
    pub fn decided(&self) -> bool {
        let only = matches!(&self.to, ResetTo::Before(before) if before.event.is_some() && before.which == Which::Only);
        self.missed.is_some() || self.found.is_some() && !only
    }

    /// Whether nothing more need be read.
    pub fn done(&self) -> bool {
        match self.direction() {
            Direction::Forward => self.missed.is_some(),
            Direction::Reverse => self.decided(),
        }
    }

    /// Takes the next event in.
    pub fn push(&mut self, event: &Event) {
        if event.id > self.durable || self.done() {
            return;
        }
        match self.direction() {
            Direction::Forward => self.forward(event),
            Direction::Reverse => self.reverse(event),
        }
    }

    fn forward(&mut self, event: &Event) {
        self.names.learn(event);
        if let Some(found) = &mut self.found {
            found.after.add(event, &self.names);
        }
        self.after.add(event, &self.names);
        self.ended_after.add(event, &self.names);
        match self.to.clone() {
            ResetTo::Build(build) | ResetTo::BadBinaryChecksum(build) => {
                if matches!(&event.kind, Kind::TaskCompleted(by) if *by == build) {
                    self.found
                        .get_or_insert_with(|| Passed::new(event, Stretch::default()));
                }
            }
            ResetTo::Before(before) => self.forward_before(&before, event),
            _ => self.forward_first(event),
        }
        self.names.forget(event);
    }

    fn forward_first(&mut self, event: &Event) {
        if self.found.is_none() && matches!(event.kind, Kind::TaskCompleted(_)) {
            self.found = Some(Passed::new(event, Stretch::default()));
        } else if self.ended.is_none() && event.ends_task() {
            self.ended = Some(event.clone());
            self.ended_after = Stretch::default();
        }
    }

    fn forward_before(&mut self, before: &Before, event: &Event) {
        if matches!(event.kind, Kind::TaskCompleted(_)) {
            self.candidate = Some(event.clone());
            self.after = Stretch::default();
            return;
        }
        let settled = before.which == Which::First && !self.matched.is_empty();
        if settled || !before.matches(event) || !self.input_matches(before, event) {
            return;
        }
        if self.matched.len() < SEVERAL {
            self.matched.push(event.id);
        }
        if self.matched.len() > 1 {
            return;
        }
        match self.candidate.clone() {
            Some(candidate) => {
                self.found = Some(Passed::new(&candidate, self.after.clone()));
            }
            // Reading on would tell no more for `first`; `only` may still find several.
            None if before.which == Which::First => self.missed = Some(Miss::TooEarly(event.id)),
            None => {}
        }
    }

    fn input_matches(&mut self, before: &Before, event: &Event) -> bool {
        match (&before.input, &event.input) {
            (None, _) => true,
            (Some(wanted), Some(input)) => wanted == input,
            (Some(_), None) => {
                self.unreadable.get_or_insert(event.id);
                false
            }
        }
    }

    fn reverse(&mut self, event: &Event) {
        self.late.learn(event);
        let completed = matches!(event.kind, Kind::TaskCompleted(_));
        let found = match self.to.clone() {
            ResetTo::Event(id) => return self.reverse_event(id, event),
            ResetTo::FailedTask => {
                if completed || matches!(event.kind, Kind::TaskFailed(true)) {
                    self.missed = Some(Miss::NoFailedTask);
                }
                event.ends_task() && self.missed.is_none()
            }
            ResetTo::Before(before) => match before.moment() {
                Ok(Moment::Time(time)) => completed && event.time.is_some_and(|at| at < time),
                _ if completed => !self.matched.is_empty(),
                _ => {
                    if self.matched.is_empty()
                        && before.matches(event)
                        && self.input_matches(&before, event)
                    {
                        self.matched.push(event.id);
                    }
                    false
                }
            },
            _ => completed,
        };
        if found {
            self.found = Some(Passed::new(event, self.after_so_far()));
        }
        self.after.add(event, &self.names);
    }

    /// An event id: it, if it is valid; else the valid ones around it.
    fn reverse_event(&mut self, id: i64, event: &Event) {
        if event.id == id && event.is_point() {
            self.found = Some(Passed::new(event, self.after_so_far()));
            return;
        }
        if event.ends_task() {
            self.near.push_back(Passed {
                follows: std::mem::take(&mut self.between),
                ..Passed::new(event, self.after.clone())
            });
            if event.id < id {
                self.below += 1;
                if self.below >= OFFERED {
                    self.missed = Some(Miss::Invalid(self.nearest(id)));
                }
            } else if self.near.len() > OFFERED {
                self.near.pop_front();
            }
        } else {
            self.between.add(event, &self.names);
        }
        self.after.add(event, &self.names);
    }

    fn nearest(&self, id: i64) -> Vec<ResetPoint> {
        let mut points: Vec<ResetPoint> = self
            .near
            .iter()
            .map(|passed| passed.clone().point())
            .collect();
        for point in &mut points {
            point.after.rename(&self.late.learnt);
            point.follows.rename(&self.late.learnt);
        }
        // The nearest first; of two as near, the earlier one, which loses more but keeps nothing wrong.
        points.sort_by_key(|point| (point.event_id.abs_diff(id), point.event_id));
        points.truncate(OFFERED);
        points
    }

    fn after_so_far(&self) -> Stretch {
        let mut after = self.after.clone();
        after.rename(&self.late.learnt);
        after
    }

    /// The point, or why there is none. `complete` is false where reading stopped before the end of the history.
    pub fn finish(mut self, complete: bool) -> Result<ResetPoint, Miss> {
        if let Some(missed) = self.missed {
            return Err(missed);
        }
        if self.matched.len() > 1
            && matches!(&self.to, ResetTo::Before(before) if before.which == Which::Only)
        {
            return Err(Miss::Several(self.matched));
        }
        let must_see_all = matches!(self.direction(), Direction::Forward) && !self.decided();
        if let Some(event) = self.unreadable {
            return Err(Miss::Unreadable(event));
        }
        if let Some(found) = self.found.take().filter(|_| complete || !must_see_all) {
            return Ok(found.point());
        }
        if !complete {
            return Err(Miss::TooLong);
        }
        if let (ResetTo::FirstWorkflowTask, Some(event)) = (&self.to, self.ended.take()) {
            let after = std::mem::take(&mut self.ended_after);
            return Ok(Passed::new(&event, after).point());
        }
        Err(match &self.to {
            ResetTo::Event(id) => Miss::Invalid(self.nearest(*id)),
            ResetTo::FailedTask => Miss::NoFailedTask,
            ResetTo::Build(_) | ResetTo::BadBinaryChecksum(_) => Miss::NoEvent,
            ResetTo::Before(before) => match self.matched.first() {
                Some(event) => Miss::TooEarly(*event),
                None if before.event.is_some() => Miss::NoEvent,
                None => Miss::NoTask,
            },
            _ => Miss::NoTask,
        })
    }
}

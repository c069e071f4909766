//! Events, newest first → the points to which the run can be reset, with what lies between each and the
//! next newer one.

use super::{Event, Kind, LateNames, Names, ResetPoint, Stretch};

/// The list of points. Feed it events, newest first, with [`Points::push`] until [`Points::done`].
#[derive(Clone, Debug)]
pub struct Points {
    durable: i64,
    most: usize,
    names: Names,
    late: LateNames,
    after: Stretch,
    between: Stretch,
    points: Vec<ResetPoint>,
}

impl Points {
    /// Up to `most` points of a history whose last durable event is `durable`.
    pub fn new(durable: i64, most: usize) -> Self {
        Self {
            durable,
            most,
            names: Names::default(),
            late: LateNames::default(),
            after: Stretch::default(),
            between: Stretch::default(),
            points: Vec::new(),
        }
    }

    /// Whether one more than was asked for is known.
    pub fn done(&self) -> bool {
        self.points.len() > self.most
    }

    /// Takes the next older event in.
    pub fn push(&mut self, event: &Event) {
        if event.id > self.durable || self.done() {
            return;
        }
        self.late.learn(event);
        // A task that is being worked on has no end yet; its start will do.
        let open_start = event.kind == Kind::TaskStarted && self.points.is_empty();
        if event.ends_task() || open_start {
            let follows = std::mem::take(&mut self.between);
            self.points
                .push(ResetPoint::new(event, self.after.clone(), follows));
        } else {
            self.between.add(event, &self.names);
        }
        self.after.add(event, &self.names);
    }

    /// The points, newest first, and whether there are older ones.
    pub fn finish(mut self) -> (Vec<ResetPoint>, bool) {
        let more = self.done();
        self.points.truncate(self.most);
        for point in &mut self.points {
            point.after.rename(&self.late.learnt);
            point.follows.rename(&self.late.learnt);
        }
        (self.points, more)
    }
}

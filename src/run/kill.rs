//! Points at which a test kills the run: the process by SIGKILL, or the loop within a rehearsal.
//!
//! Set by `RUNBOOK_TEST_KILL=record:N | before_intent:N | after_intent:N | after_effect:N | after_lock:N`, or
//! by a rehearsal's faults. Nothing else looks at it.

use super::Broken;
use crate::record::{Body, Record};
use crate::steps::{Completion, Effect};

/// Where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// After the record of that number is durable.
    Record(u64),
    /// Before the nth intent is durable.
    BeforeIntent(u64),
    /// After the nth intent is durable, before its call leaves.
    AfterIntent(u64),
    /// After the nth write came back, before its outcome is durable.
    AfterEffect(u64),
    /// After the nth call about the lock came back, before what it came to is durable.
    AfterLock(u64),
}

impl Point {
    /// Parses `record:7`, `before_intent:1`, `after_intent:1`, `after_effect:1`.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, number) = text.split_once(':')?;
        let number = number.parse().ok()?;
        Some(match name {
            "record" => Self::Record(number),
            "before_intent" => Self::BeforeIntent(number),
            "after_intent" => Self::AfterIntent(number),
            "after_effect" => Self::AfterEffect(number),
            "after_lock" => Self::AfterLock(number),
            _ => return None,
        })
    }
}

/// A kill switch; harmless by default.
#[derive(Debug, Default)]
pub struct KillSwitch {
    point: Option<Point>,
    /// SIGKILL to this process, or an error out of the loop.
    process: bool,
    intents: u64,
    effects: u64,
    locks: u64,
}

impl KillSwitch {
    /// Kills this process at `point`.
    pub fn process(point: Point) -> Self {
        Self {
            point: Some(point),
            process: true,
            ..Self::default()
        }
    }

    /// Ends the loop at `point`.
    pub fn in_loop(point: Point) -> Self {
        Self {
            point: Some(point),
            ..Self::default()
        }
    }

    /// From the environment variable's text.
    pub fn from_text(text: Option<&str>) -> Self {
        text.and_then(Point::parse)
            .map(Self::process)
            .unwrap_or_default()
    }

    fn strike(&self) -> Result<(), Broken> {
        if self.process {
            let pid = std::process::id().to_string();
            // `kill -KILL` is what a test means: no handler, no flush.
            let _ = std::process::Command::new("kill")
                .args(["-KILL", &pid])
                .status();
            std::thread::sleep(std::time::Duration::from_secs(60));
        }
        Err(Broken::Killed)
    }

    pub(super) fn before_commit(&mut self, records: &[Record]) -> Result<(), Broken> {
        let Some(Point::BeforeIntent(nth)) = self.point else {
            return Ok(());
        };
        let coming = records
            .iter()
            .filter(|record| matches!(record.body, Body::Intent { .. }))
            .count() as u64;
        self.intents += coming;
        if coming > 0 && self.intents >= nth {
            self.strike()
        } else {
            Ok(())
        }
    }

    /// How many of a group become durable before the process dies.
    pub(super) fn survivors(&self, records: &[Record]) -> usize {
        match self.point {
            Some(Point::Record(number)) => records
                .iter()
                .take_while(|record| record.seq <= number)
                .count(),
            _ => records.len(),
        }
    }

    pub(super) fn after_commit(&mut self, records: &[Record]) -> Result<(), Broken> {
        match self.point {
            Some(Point::Record(number))
                if records.last().is_some_and(|record| record.seq >= number) =>
            {
                self.strike()
            }
            _ => Ok(()),
        }
    }

    pub(super) fn before(&mut self, effect: &Effect) -> Result<(), Broken> {
        let Some(Point::AfterIntent(nth)) = self.point else {
            return Ok(());
        };
        if matches!(
            effect,
            Effect::Write { .. }
                | Effect::Act { .. }
                | Effect::Run { .. }
                | Effect::Job { start: Some(_), .. }
        ) {
            self.intents += 1;
            if self.intents >= nth {
                return self.strike();
            }
        }
        Ok(())
    }

    pub(super) fn after(&mut self, completion: &Completion) -> Result<(), Broken> {
        if let (Some(Point::AfterLock(nth)), Completion::Leased { .. }) = (self.point, completion) {
            self.locks += 1;
            if self.locks >= nth {
                return self.strike();
            }
        }
        let Some(Point::AfterEffect(nth)) = self.point else {
            return Ok(());
        };
        if matches!(
            completion,
            Completion::Written { .. }
                | Completion::Acted { .. }
                | Completion::Ran { .. }
                | Completion::Job { start: true, .. }
        ) {
            self.effects += 1;
            if self.effects >= nth {
                return self.strike();
            }
        }
        Ok(())
    }
}

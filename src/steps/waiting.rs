//! Steps about nothing but the run: conditions, and waits for a time or a number of Workflows.
//!
//! Pure. A wait counts from the step's beginning by the clock, so a killed run waits only for what is
//! left. The number of Workflows is Visibility's, which lags behind: it must hold twice in a row.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Effect, Machine, count};
use crate::catalog::{Assert, HowMany, Wait, WaitForWorkflows};
use crate::record::{Body, Place, StepStatus};

/// Pause between two counts where the step does not say.
const EVERY: Duration = Duration::from_secs(10);

impl Machine {
    pub(super) fn work_run(&mut self, place: &Place) -> Vec<Effect> {
        let action = self.action_name(&place.step);
        let with = match self.arguments(&place.step) {
            Ok(with) => with,
            Err(error) => {
                self.end_unknown(place, &error);
                return Vec::new();
            }
        };
        let worked = match action.as_str() {
            "assert" => self.work_assert(place, with),
            _ => self.work_wait(place, with),
        };
        worked.unwrap_or_else(|message| {
            let output = self.blank_output(&place.step);
            self.end(place, StepStatus::Failed, output, &message);
            Vec::new()
        })
    }

    fn passed(&mut self, place: &Place, output: Value, message: &str) {
        let (status, message) = match (self.dry, message) {
            (true, "") => (StepStatus::Rehearsed, "no change"),
            (true, message) => (StepStatus::Rehearsed, message),
            (false, message) => (StepStatus::Succeeded, message),
        };
        self.end(place, status, output, message);
    }

    fn work_assert(&mut self, place: &Place, with: Value) -> Result<Vec<Effect>, String> {
        let assert: Assert = serde_json::from_value(with)
            .map_err(|error| format!("arguments of `assert`: {error}"))?;
        if !assert.that {
            let message = assert.message;
            return Err(message.unwrap_or_else(|| "The condition does not hold.".to_owned()));
        }
        self.passed(place, json!({}), "");
        Ok(Vec::new())
    }

    fn work_wait(&mut self, place: &Place, with: Value) -> Result<Vec<Effect>, String> {
        let wait: Wait = serde_json::from_value(with)
            .map_err(|error| format!("arguments of `wait`: {error}"))?;
        let since = self.state.step(&place.step).started_at;
        let until = match (wait.duration, wait.until, wait.for_workflows) {
            (Some(text), None, None) => {
                let duration = crate::schema::interval(&text)
                    .ok_or_else(|| format!("`{text}` is not a duration"))?;
                let duration = SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX);
                since
                    .unwrap_or(self.now)
                    .checked_add(duration)
                    .map_err(|_| format!("`{text}` is too long"))?
            }
            (None, Some(text), None) => text.parse::<Timestamp>().map_err(|_| {
                format!("`{text}` is no time: it needs an offset, as in `2026-01-05T06:00:00Z`")
            })?,
            (None, None, Some(wait)) => return self.wait_for_workflows(place, &wait),
            _ => {
                return Err(
                    "exactly one of `for`, `until` and `for_workflows` belongs here".to_owned(),
                );
            }
        };
        if self.dry {
            self.passed(place, self.blank_output(&place.step), "");
            return Ok(Vec::new());
        }
        if self.now < until {
            let reason = format!("the time to wait: until {until:.0}");
            return Ok(vec![Effect::Wait { until, reason }]);
        }
        self.passed(place, self.waited(place, 0), "");
        Ok(Vec::new())
    }

    fn waited(&self, place: &Place, count: u64) -> Value {
        let since = self.state.step(&place.step).started_at.unwrap_or(self.now);
        let waited = self.now.duration_since(since).as_secs().max(0);
        json!({ "waited": waited, "count": count })
    }

    fn wait_for_workflows(
        &mut self,
        place: &Place,
        wait: &WaitForWorkflows,
    ) -> Result<Vec<Effect>, String> {
        if self.memory.calling.contains(&place.step) {
            return Ok(Vec::new());
        }
        let polled = self.state.step(&place.step).polled.clone();
        if let Some((_, due)) = self.memory.tries.get(place).filter(|it| it.1 > self.now) {
            return Ok(vec![Effect::Wait {
                until: *due,
                reason: polled,
            }]);
        }
        let Some(seen) = self.memory.observed.remove(place) else {
            self.memory.calling.insert(place.step.clone());
            return Ok(vec![Effect::Observe {
                place: place.clone(),
                action: "workflows.count".to_owned(),
                with: json!({ "query": wait.query }),
            }]);
        };
        let found = count(&Value::Object(seen.output), "count");
        let wanted = wanted(wait.count)?;
        let holds = holds(wait.count, found);
        if self.dry {
            let message = match holds {
                true => String::new(),
                false => format!("would wait for {wanted} Workflows: there are {found}"),
            };
            self.passed(place, json!({ "waited": 0, "count": found }), &message);
            return Ok(Vec::new());
        }
        if holds && self.memory.held_once {
            self.passed(place, self.waited(place, found), "");
            return Ok(Vec::new());
        }
        self.memory.held_once = holds;
        let status = match holds {
            true => format!("{found} Workflows: to be counted once more, Visibility is late"),
            false => format!("{found} Workflows, waiting for {wanted}"),
        };
        if status != polled {
            self.emit(Body::Polled {
                place: place.clone(),
                status: status.clone(),
            });
        }
        let every = match &wait.every {
            Some(text) => crate::schema::interval(text)
                .ok_or_else(|| format!("`{text}` is not a duration"))?,
            None => EVERY,
        };
        let pause = SignedDuration::try_from(every.max(Duration::from_secs(1)));
        let until = self.now + pause.unwrap_or(SignedDuration::from_hours(1));
        self.memory.tries.insert(place.clone(), (0, until));
        Ok(vec![Effect::Wait {
            until,
            reason: status,
        }])
    }
}

fn holds(wanted: HowMany, found: u64) -> bool {
    wanted.at_most.is_none_or(|most| found <= most)
        && wanted.at_least.is_none_or(|least| found >= least)
}

fn wanted(count: HowMany) -> Result<String, String> {
    match (count.at_least, count.at_most) {
        (None, Some(most)) => Ok(format!("at most {most}")),
        (Some(least), None) => Ok(format!("at least {least}")),
        (Some(least), Some(most)) if least <= most => Ok(format!("{least} to {most}")),
        _ => Err("`count` needs `at_most` or `at_least`".to_owned()),
    }
}

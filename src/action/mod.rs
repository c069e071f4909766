//! The only effects on the world: one file a noun, each action a look, an act and a way to settle.
//!
//! Uses `temporal` and the clock. Actions return what they found, they do not record: the journal is
//! not known here, nor who asked for an effect and why.

pub mod command;
pub mod batch;
pub mod deployment;
pub mod lease;
pub mod population;
mod query;
pub mod selection;
pub mod survey;
mod warnings;
pub mod workflows;

use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::watch;

use crate::approval::Permit;
use crate::clock::Clock;
use crate::connection::Connection;
use crate::equivalent::At;
use crate::record::RunId;
use crate::steps::{Act, Completion, Effect, Observation, Problem};
use crate::temporal::{CallError, Temporal, Verdict};

/// Rows of a page.
pub(crate) const PAGE: u32 = 1_000;

/// What effects are performed with.
#[derive(Clone)]
pub struct World {
    /// The service.
    pub temporal: Temporal,
    /// The time.
    pub clock: Clock,
    /// The run: its id goes into reasons and request ids.
    pub run: RunId,
    /// Files of names that were read.
    pub files: selection::Files,
    /// Whoever runs programs.
    pub commands: command::Commands,
}

impl World {
    /// Effects on the service behind `connection`, dated by `clock`.
    pub fn new(connection: Connection, clock: Clock, run: RunId) -> Self {
        let temporal = Temporal::new(connection).with_clock(clock.clone());
        Self::of(temporal, clock, run)
    }

    /// Effects through `temporal`, and on this machine.
    pub fn of(temporal: Temporal, clock: Clock, run: RunId) -> Self {
        Self {
            temporal,
            clock,
            run,
            files: selection::Files::default(),
            commands: command::Commands::here(),
        }
    }

    /// The same, with programs run by another.
    #[must_use]
    pub fn with_commands(mut self, commands: command::Commands) -> Self {
        self.commands = commands;
        self
    }

    /// Performs one effect. Questions, pauses and endings are not effects on the world: none comes back.
    pub async fn perform(&self, effect: Effect) -> Option<Completion> {
        Some(match effect {
            Effect::Observe {
                place,
                action,
                with,
            } => {
                let result = self.observe(&action, with).await;
                Completion::Observed { place, result }
            }
            Effect::Evaluate { place, tables } => {
                let result = survey::evaluate(self, &tables).await;
                Completion::Observed { place, result }
            }
            Effect::Act { place, act } => Completion::Acted {
                place,
                result: self.act(act).await,
            },
            Effect::Survey {
                place,
                table,
                frozen,
            } => {
                let result = survey::to_ask(self, &place.step, &table, &frozen).await;
                Completion::Surveyed { place, result }
            }
            Effect::List {
                place,
                table,
                next,
                frozen,
            } => {
                let result = selection::list(self, &table, next, &frozen).await;
                Completion::Listed { place, result }
            }
            Effect::Look {
                place,
                ordinal,
                key,
                table,
                lost,
                latest,
                barred,
            } => {
                let look = workflows::Looking {
                    table: &table,
                    lost,
                    latest,
                    barred: barred.as_ref(),
                    step: &place.step,
                };
                let result = workflows::judge(self, &key, &look).await;
                // The age of what Describe said is what counts, not when its history was read.
                let (at, result) = match result {
                    Ok((at, judged)) => (at, Ok(judged)),
                    Err(problem) => (self.clock.now(), Err(problem)),
                };
                Completion::Judged {
                    ordinal,
                    at,
                    result,
                }
            }
            Effect::Write {
                ordinal,
                key,
                write,
                deadline,
                looked,
                fresh_for,
                ..
            } => {
                let look = (looked, fresh_for);
                let written = workflows::write(self, &key, write, deadline, look).await;
                Completion::Written { ordinal, written }
            }
            Effect::Settle {
                place,
                ordinal,
                key,
                intent,
                after,
            } => {
                let result = tokio::select! {
                    () = self.clock.sleep_until(after) => {
                        workflows::settle(self, &place.step, &key, &intent).await
                    }
                    () = self.temporal.left() => Err(left()),
                };
                Completion::Settled { ordinal, result }
            }
            Effect::Verify {
                place,
                ordinal,
                key,
                target,
                attempt,
                moved,
                woken,
            } => {
                let result = if woken {
                    workflows::woken(self, &key, moved).await
                } else {
                    workflows::verify(self, &key, target.as_ref(), attempt, moved).await
                };
                Completion::Verified {
                    place,
                    ordinal,
                    result,
                }
            }
            Effect::Run { place, command } => Completion::Ran {
                ran: match command.redeem(self.now()) {
                    Ok(command) => command::run(self, &command).await,
                    Err(lapsed) => command::unstarted(&lapsed.to_string()),
                },
                place,
            },
            Effect::Status {
                place,
                ordinal,
                key,
            } => {
                let found = self.temporal.find(&key).await;
                Completion::StatusRead {
                    place,
                    ordinal,
                    result: found
                        .map(|found| found.map(|listed| listed.status))
                        .map_err(|error| problem(&error)),
                }
            }
            Effect::Job {
                place,
                request,
                start,
            } => Completion::Job {
                place,
                start: start.is_some(),
                result: match start {
                    Some(permit) => batch::start(self, permit).await,
                    None => batch::follow(self, &request).await,
                },
            },
            Effect::Compare {
                ordinal,
                key,
                request,
                ..
            } => {
                let result = batch::compare(self, &request, &key).await;
                Completion::Compared { ordinal, result }
            }
            Effect::Lease { call, lease } => {
                let answer = lease::perform(self, &lease, &call).await;
                Completion::Leased { call, answer }
            }
            Effect::Ask { .. } | Effect::Wait { .. } | Effect::Finish(_) => return None,
        })
    }

    /// Opens what was granted, and does it.
    async fn act(&self, permit: Permit<Act>) -> Result<(), Problem> {
        let Act { action, with } = permit.redeem(self.now()).map_err(|lapsed| Problem {
            message: lapsed.to_string(),
            transient: true,
            not_yet: false,
        })?;
        match action.split_once('.') {
            Some(("batch", _)) => batch::act(self, &action, with).await,
            _ => deployment::act(self, &action, with).await,
        }
    }

    async fn observe(&self, action: &str, with: Value) -> Result<Observation, Problem> {
        match action.split_once('.') {
            Some(("workflows", "query")) => query::observe(self, &arguments(action, with)?).await,
            Some(("workflows", _)) => workflows::observe(self, action, with).await,
            Some(("batch", _)) => batch::observe(self, action, with).await,
            _ => deployment::observe(self, action, with).await,
        }
    }

    /// The same, whose reads are given up when `leaving` says true.
    #[must_use]
    pub fn until(mut self, leaving: watch::Receiver<bool>) -> Self {
        self.temporal = self.temporal.until(leaving);
        self
    }

    /// Where an equivalent command goes.
    fn at(&self) -> At<'_> {
        At {
            address: self.temporal.connection().address(),
            namespace: self.temporal.connection().namespace(),
        }
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

/// What a failed call means for a step.
pub(crate) fn problem(error: &CallError) -> Problem {
    Problem {
        message: error.to_string(),
        transient: matches!(error.meaning.verdict, Verdict::Retry | Verdict::InDoubt),
        not_yet: false,
    }
}

/// The run is interrupted: whoever resumes finds it out.
fn left() -> Problem {
    Problem {
        message: "the run was interrupted".to_owned(),
        transient: true,
        not_yet: false,
    }
}

/// Something that no other try mends.
pub(crate) fn fatal(message: impl Into<String>) -> Problem {
    Problem {
        message: message.into(),
        transient: false,
        not_yet: false,
    }
}

/// Typed arguments of an action.
pub(crate) fn arguments<T: serde::de::DeserializeOwned>(
    action: &str,
    with: Value,
) -> Result<T, Problem> {
    serde_json::from_value(with).map_err(|error| fatal(format!("arguments of `{action}`: {error}")))
}

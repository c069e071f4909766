//! Steps that run a program on this machine.
//!
//! Pure. A program that reads or is idempotent may be run again; one that is not is run again only where
//! somebody says so (`resume --retry-failed`), or provably nothing was started. Secrets are put in last,
//! into [`Sealed`], which shows none of them.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};

use super::service::terms_of;
use super::{Effect, Machine, Problem};
use crate::approval::{Permit, Reads};
use crate::catalog::{Effect as Does, RunCommand};
use crate::record::{Body, Place, Question, StepStatus, Terms};
use crate::runbook::{EvalError, Mask};

/// A command as it is run: with secrets in its environment and input.
#[derive(Clone)]
pub struct Sealed {
    /// The command. Its `argv` and `directory` hold no secret.
    pub command: RunCommand,
    /// Takes the secrets out of what it puts out.
    pub mask: Mask,
}

impl Reads for Box<Sealed> {
    fn only_reads(&self) -> bool {
        !self.command.effect.writes()
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sealed").field(&line(&self.command)).finish()
    }
}

/// What became of a command. Nothing in it holds a secret.
#[derive(Clone, Debug, Default)]
pub struct Ran {
    /// Output fields, as far as there are any.
    pub output: Map<String, Value>,
    /// Why it did not go well.
    pub problem: Option<Problem>,
    /// Whether certainly no process was started.
    pub unstarted: bool,
    /// Whether it was ended because the run is.
    pub interrupted: bool,
}

/// A command as a shell would take it.
pub fn line(command: &RunCommand) -> String {
    let words = command.argv.iter().map(|word| quoted(&word.0));
    words.collect::<Vec<_>>().join(" ")
}

/// A word, in single quotes where a shell would read something into it; control characters are spelt out.
fn quoted(word: &str) -> String {
    if word.chars().any(char::is_control) {
        let escaped = word.escape_debug().to_string().replace('\'', "\\'");
        return format!("$'{escaped}'");
    }
    let plain = |c: char| c.is_alphanumeric() || "-_./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

impl Machine {
    pub(super) fn work_command(&mut self, place: &Place) -> Vec<Effect> {
        if self.memory.calling.contains(&place.step) || self.memory.asking.is_some() {
            return Vec::new();
        }
        let command = match self.command(&place.step) {
            Ok(command) => command,
            Err(error) => {
                self.end_unknown(place, &error);
                return Vec::new();
            }
        };
        if let Some((_, due)) = self.memory.tries.get(place).filter(|it| it.1 > self.now) {
            let (until, reason) = (*due, self.state.step(&place.step).polled.clone());
            return vec![Effect::Wait { until, reason }];
        }
        if self.dry && command.effect.writes() {
            let message = format!("would run ({}): {}", command.effect.words(), line(&command));
            self.end(place, StepStatus::Rehearsed, Value::Null, &message);
            return Vec::new();
        }
        if self.memory.declined.contains(&place.step) {
            let output = self.blank_output(&place.step);
            self.end(place, StepStatus::Halted, output, "It was declined.");
            return Vec::new();
        }
        if self.in_doubt(place, &command) {
            return Vec::new();
        }
        match self.permit_to_run(place) {
            Ok(Ok(permit)) => self.run_it(place, &command, permit),
            Ok(Err((terms, word))) => {
                let terms = BTreeMap::from([(place.step.clone(), terms)]);
                self.ask(place, asked(&command), terms, word, true)
            }
            Err(error) => {
                self.end_unknown(place, &error);
                Vec::new()
            }
        }
    }

    /// Leave to run it, or what is to be asked for. Another step's agreement does not count: two runs are not one.
    #[allow(clippy::type_complexity)] // an answer, or what to ask
    fn permit_to_run(
        &self,
        place: &Place,
    ) -> Result<Result<Permit<Box<Sealed>>, (Terms, Option<String>)>, EvalError> {
        let id = &place.step;
        let sealed = Box::new(self.sealed(id)?);
        if !sealed.command.effect.writes() {
            return Permit::to_read(sealed)
                .map(Ok)
                .ok_or_else(|| EvalError::Failed {
                    message: "a command that writes is not read".to_owned(),
                });
        }
        let word = self.word(id)?;
        let terms = terms_of("command.run", &self.arguments(id)?, word.as_deref());
        let grant = &self.state.step(id).grant;
        Ok(grant
            .whole(&terms, sealed, self.now)
            .map_err(|_| (terms, word)))
    }

    fn run_it(
        &mut self,
        place: &Place,
        command: &RunCommand,
        permit: Permit<Box<Sealed>>,
    ) -> Vec<Effect> {
        self.memory.calling.insert(place.step.clone());
        self.memory.repeated.insert(place.step.clone());
        self.emit(Body::Acting {
            place: place.clone(),
            // What only reads changes nothing, and is not shown as if it did.
            changes: match command.effect.writes() {
                true => vec![format!("run {}", line(command))],
                false => Vec::new(),
            },
            counts: std::collections::BTreeMap::new(),
        });
        vec![Effect::Run {
            place: place.clone(),
            command: permit,
        }]
    }

    /// An earlier start whose end is not known, or was not good. Whether the step ended for that.
    fn in_doubt(&mut self, place: &Place, command: &RunCommand) -> bool {
        let Some(why) = self.state.step(&place.step).ran.clone() else {
            return false;
        };
        let unknown = self.state.step(&place.step).acting;
        if unknown {
            self.emit(Body::Acted {
                place: place.clone(),
                error: "the process that ran it ended first".to_owned(),
                again: command.effect != Does::NonIdempotent,
            });
        }
        let told = self.state.flags.retry_failed && !self.memory.repeated.contains(&place.step);
        if command.effect != Does::NonIdempotent || told {
            return false;
        }
        let how = if unknown {
            "was started, and how it ended is not known".to_owned()
        } else {
            format!("was run and did not end well: {why}")
        };
        let message = format!(
            "`{}` {how}. It is not idempotent, so it is not run again by itself. Find out what it did; then `resume --accept {}` goes on as it stands, `resume --retry-failed` runs it again.",
            line(command),
            place.step
        );
        let output = self.blank_output(&place.step);
        self.end(place, StepStatus::Halted, output, &message);
        true
    }

    /// The command as it may be shown.
    fn command(&self, id: &str) -> Result<RunCommand, EvalError> {
        parsed(self.arguments(id)?)
    }

    /// The command with its secrets.
    fn sealed(&self, id: &str) -> Result<Sealed, EvalError> {
        let mut with = self.arguments(id)?;
        let raw = self.action_of(id).map(|(_, raw)| raw);
        let scope = self.scope_with_secrets();
        for name in ["env", "stdin"] {
            if let Some(value) = raw.and_then(|raw| raw.get(name)) {
                with[name] = scope.render(value)?;
            }
        }
        Ok(Sealed {
            command: parsed(with)?,
            mask: Mask::of(self.state.parameters.secrets()),
        })
    }

    pub(super) fn ran(&mut self, place: &Place, ran: Ran) {
        self.memory.calling.remove(&place.step);
        let Some(problem) = ran.problem else {
            let status = if self.dry {
                StepStatus::Rehearsed
            } else {
                StepStatus::Succeeded
            };
            self.end(place, status, Value::Object(ran.output), "");
            return;
        };
        let repeatable = self
            .command(&place.step)
            .is_ok_and(|command| command.effect != Does::NonIdempotent);
        let problem = Problem {
            transient: problem.transient && repeatable,
            ..problem
        };
        let gives_up = self.gives_up(place, &problem);
        self.emit(Body::Acted {
            place: place.clone(),
            // What was not started leaves nothing in doubt.
            error: match ran.unstarted {
                true => String::new(),
                false => problem.message.clone(),
            },
            again: repeatable && (ran.interrupted || !gives_up),
        });
        if ran.interrupted {
            // The step stays open: whoever resumes takes it up.
            return;
        }
        if gives_up {
            let Value::Object(mut output) = self.blank_output(&place.step) else {
                return;
            };
            output.extend(ran.output);
            self.end(
                place,
                StepStatus::Failed,
                Value::Object(output),
                &problem.message,
            );
        } else {
            self.try_again(place, &problem);
        }
    }
}

fn parsed(with: Value) -> Result<RunCommand, EvalError> {
    serde_json::from_value(with).map_err(|error| EvalError::Failed {
        message: format!("arguments of `command.run`: {error}"),
    })
}

fn asked(command: &RunCommand) -> Question {
    Question::Command {
        line: line(command),
        directory: command.directory.clone(),
        variables: command.env.keys().cloned().collect(),
        inherits: command.inherit.clone(),
        effect: command.effect,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_as_a_shell_reads_them() {
        let quote = |word: &str| quoted(word);
        assert_eq!(quote("--replicas=3"), "--replicas=3");
        assert_eq!(quote("two words"), "'two words'");
        assert_eq!(quote("it's"), "'it'\\''s'");
        assert_eq!(quote(""), "''");
        assert_eq!(quote("$HOME"), "'$HOME'");
        assert_eq!(quote("a\nb"), "$'a\\nb'");
        assert_eq!(quote("\u{1b}[2J"), "$'\\u{1b}[2J'");
    }
}

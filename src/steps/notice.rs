//! What a runbook's `notify` is told when a run stops: the command, with facts in its environment and its input.
//!
//! Pure. The facts hold no secret: they are what records say. Whether the program could be run is nothing that a run
//! depends on, and no record says it.

use indexmap::IndexMap;
use serde_json::Value;

use super::command::{Sealed, line};
use super::{Finish, Machine};
use crate::catalog::{CommandOutput, Effect as Does, RunCommand, Word};
use crate::runbook::{EvalError, Event, Mask, Notify, Scope};

/// Most bytes of one fact in the environment; the input has it whole.
const FACT: usize = 4 * 1024;

/// Where the run is to be found, which the machine does not know.
#[derive(Clone, Debug)]
pub struct Whereabouts {
    /// The state file.
    pub state: String,
    /// The command line that goes on with it.
    pub resume: String,
    /// The service.
    pub address: String,
    /// The namespace.
    pub namespace: String,
}

/// A program that is to be told.
#[derive(Clone, Debug)]
pub struct Notice {
    /// What of.
    pub event: Event,
    /// The program.
    pub sealed: Sealed,
}

impl Notice {
    /// What is told, and the program as a shell would take it.
    pub fn line(&self) -> String {
        format!("{}: {}", self.event.name(), line(&self.sealed.command))
    }
}

impl Machine {
    /// Whom to tell that the run stopped in this way; nobody in a dry run.
    ///
    /// # Errors
    /// Where a text of `notify` cannot be evaluated.
    pub fn notice(&self, finish: &Finish, at: &Whereabouts) -> Result<Option<Notice>, EvalError> {
        let (event, status) = match finish {
            Finish::Succeeded => (Event::Finished, "succeeded"),
            Finish::Halted => (Event::Failed, "halted"),
            Finish::Parked => (Event::Parked, "parked"),
            Finish::Interrupted | Finish::Refused => return Ok(None),
        };
        let (step, message) = self.blame(event);
        let reason = match message.is_empty() {
            true => self.state.why.clone(),
            false => message,
        };
        self.notice_of(event, (status, &step, &reason), at)
    }

    /// Whom to tell that nothing can be written down any more, so that nothing further was done. No record says
    /// this; somebody is to hear of it all the same.
    ///
    /// # Errors
    /// Where a text of `notify` cannot be evaluated.
    pub fn notice_broken(&self, why: &str, at: &Whereabouts) -> Result<Option<Notice>, EvalError> {
        let step = self.current_place().map(|place| place.step);
        let step = step.unwrap_or_default();
        self.notice_of(Event::Failed, ("broken", &step, why), at)
    }

    /// The step that a run stands at, with what is wrong with it.
    fn blame(&self, event: Event) -> (String, String) {
        if event == Event::Finished {
            return (String::new(), String::new());
        }
        // Without its lock a run halts for that, whatever a step said before.
        let by_step = event == Event::Failed && self.memory.lock.lost.is_none();
        let blamed = self.state.blamed.clone().filter(|_| by_step);
        let place = self.current_place().map(|place| place.step);
        blamed.unwrap_or_else(|| (place.unwrap_or_default(), String::new()))
    }

    fn notice_of(
        &self,
        event: Event,
        (status, step, reason): (&str, &str, &str),
        at: &Whereabouts,
    ) -> Result<Option<Notice>, EvalError> {
        let notify = self.runbook.notify.as_ref();
        let Some(notify) = notify.filter(|it| it.on.contains(&event) && !self.dry) else {
            return Ok(None);
        };
        let texts = [
            ("event", event.name()),
            ("run", &self.run.0),
            ("name", &self.runbook.name),
            ("title", &self.runbook.title),
            ("status", status),
            ("step", step),
            ("reason", reason),
            ("state", &at.state),
            ("resume", &at.resume),
            ("address", &at.address),
            ("namespace", &at.namespace),
        ];
        let facts = texts.map(|(name, text)| (name, text.to_owned()));
        let command = self.told(notify, &facts.into_iter().collect())?;
        let mask = Mask::of(self.state.parameters.secrets());
        let sealed = Sealed { command, mask };
        Ok(Some(Notice { event, sealed }))
    }

    fn told(
        &self,
        notify: &Notify,
        facts: &IndexMap<&'static str, String>,
    ) -> Result<RunCommand, EvalError> {
        let (shown, sealed) = (self.scope(), self.scope_with_secrets());
        let argv = notify.argv.iter().map(|word| text(&shown, word));
        let given = notify.env.iter();
        let given = given.map(|(name, word)| Ok((name.clone(), text(&sealed, word)?)));
        let mut env = given.collect::<Result<IndexMap<_, _>, EvalError>>()?;
        for (name, fact) in facts {
            let end = fact.floor_char_boundary(FACT);
            // A variable cannot hold a zero byte.
            let fact = fact[..end].replace('\0', "");
            env.insert(format!("RUNBOOK_{}", name.to_uppercase()), Word(fact));
        }
        Ok(RunCommand {
            argv: argv.collect::<Result<_, _>>()?,
            effect: Does::NonIdempotent,
            env,
            inherit: notify.inherit.clone(),
            directory: None,
            timeout: Some(notify.timeout.clone()),
            stdin: Some(format!("{}\n", serde_json::json!(facts))),
            output: CommandOutput::Text,
            max_output: None,
            schema: None,
            success: vec![0],
        })
    }
}

fn text(scope: &Scope, template: &str) -> Result<Word, EvalError> {
    Ok(Word(match scope.render(&Value::from(template))? {
        Value::String(text) => text,
        other => other.to_string(),
    }))
}

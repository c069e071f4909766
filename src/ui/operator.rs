//! Prompts: the person at the terminal answers the run's questions.
//!
//! Only where stdin and stderr are terminals; else nobody answers, and the run parks. Esc declines,
//! Ctrl-C interrupts, a terminal that closed is nobody. Dropping the future gives the prompt up. Live lines are taken away and further lines kept
//! back while a prompt is open.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::future::{BoxFuture, FutureExt};
use inquire::error::{InquireError, InquireResult};
use inquire::{Confirm, Text};
use serde_json::{Map, Value};

use super::Ui;
use super::watched::watched_after_another;
use crate::catalog::{FieldType, FormField};
use crate::record::{Question, Witness};
use crate::report::{harmless, question_text};
use crate::run::{Asking, Operator, Reply};
use crate::runbook::outputs;

/// A word that was mistyped this often declines.
const TRIES: u32 = 3;

/// Asks at the terminal.
pub struct TerminalOperator {
    ui: Ui,
    user: Witness,
}

impl TerminalOperator {
    /// Asks through `ui`; answers are `user`'s.
    pub fn new(ui: Ui, user: Witness) -> Self {
        Self { ui, user }
    }
}

impl Operator for TerminalOperator {
    fn ask<'a>(&'a self, asking: &'a Asking) -> BoxFuture<'a, Reply> {
        if !self.ui.is_interactive() {
            return futures::future::ready(Reply::Nobody).boxed();
        }
        if let Err(barred) = asking.ballot.admits(&self.user) {
            self.ui.say(&shown(&self.ui, asking));
            self.ui.hint(&barred.to_string());
            return futures::future::ready(Reply::Nobody).boxed();
        }
        let ui = self.ui.clone();
        let user = self.user.clone();
        let asking = asking.clone();
        async move {
            let given_up = GivenUp::default();
            let flag = Arc::clone(&given_up.0);
            // A blocking task: a simulated clock stands still while one runs.
            let asked = tokio::task::spawn_blocking(move || {
                ui.await_foreground(&asking.place.step, &flag);
                ui.hold();
                let shown = ui.clone();
                let mut terminal = Terminal {
                    given_up: Arc::clone(&flag),
                };
                let prompting = move || prompt(&shown, &asking, &user, &mut terminal);
                let reply = watched_after_another(&ui, &flag, prompting);
                ui.release();
                reply.unwrap_or(Reply::Nobody)
            });
            asked.await.unwrap_or(Reply::Nobody)
        }
        .boxed()
    }
}

/// Set when nobody waits for the reply any more: the run was interrupted.
#[derive(Default)]
struct GivenUp(Arc<AtomicBool>);

impl Drop for GivenUp {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn prompt(ui: &Ui, asking: &Asking, user: &Witness, terminal: &mut Terminal) -> Reply {
    if terminal.is_given_up() {
        return Reply::Nobody;
    }
    ui.prompt_text(&shown(ui, asking));
    let before = asking.ballot.form();
    let (note, form) = match answer(&asking.what, &before, asking.word.as_deref(), terminal) {
        Ok(Some(entered)) => entered,
        Ok(None) | Err(InquireError::OperationCanceled) => {
            let by = user.clone();
            return Reply::No { by };
        }
        Err(InquireError::OperationInterrupted) => return Reply::Interrupted,
        Err(_) => return Reply::Nobody,
    };
    let by = user.clone();
    Reply::Yes { by, note, form }
}

/// The question, and who agreed so far where that is more than one person's to answer.
fn shown(ui: &Ui, asking: &Asking) -> String {
    let mut text = question_text(
        &asking.what,
        &asking.place.step,
        &asking.title,
        &asking.address,
        &asking.namespace,
        ui.err_style(),
    );
    if !asking.ballot.is_plain() {
        let words = harmless(&asking.ballot.words()).into_owned();
        text.push_str(&format!("  {words}\n"));
    }
    text
}

/// What is asked of the terminal: a port, so that the order of prompts can be tested without one.
trait Prompts {
    fn confirm(&mut self, message: &str) -> InquireResult<bool>;
    fn text(&mut self, message: &str, help: &str) -> InquireResult<String>;
}

struct Terminal {
    given_up: Arc<AtomicBool>,
}

impl Terminal {
    fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::Relaxed)
    }
}

impl Prompts for Terminal {
    fn confirm(&mut self, message: &str) -> InquireResult<bool> {
        Confirm::new(message).with_default(false).prompt()
    }

    fn text(&mut self, message: &str, help: &str) -> InquireResult<String> {
        if self.is_given_up() {
            return Err(InquireError::OperationCanceled);
        }
        let prompt = Text::new(message);
        match help {
            "" => prompt.prompt(),
            help => prompt.with_help_message(help).prompt(),
        }
    }
}

/// The note and the form where the answer is yes, none where it is no.
fn answer(
    what: &Question,
    before: &Map<String, Value>,
    word: Option<&str>,
    prompts: &mut dyn Prompts,
) -> InquireResult<Option<(String, Map<String, Value>)>> {
    let agreed = match word {
        Some(word) => typed(word, prompts)?,
        None => prompts.confirm(match what {
            Question::Manual { .. } => "Is it done?",
            _ => "Go on?",
        })?,
    };
    match (agreed, what) {
        (false, _) => Ok(None),
        (true, Question::Manual { form, given, .. }) => {
            let mut entered = Map::new();
            let known = |name: &str| given.contains_key(name) || before.contains_key(name);
            for (name, field) in form.iter().filter(|(name, _)| !known(name)) {
                if let Some(value) = enter(name, field, prompts)? {
                    entered.insert(name.clone(), value);
                }
            }
            let note = prompts.text("Note:", "Goes into the journal; may be empty")?;
            Ok(Some((note, entered)))
        }
        (true, _) => Ok(Some((String::new(), Map::new()))),
    }
}

/// Asks for a field until it fits; nothing is entered where the field has a default or may be empty.
fn enter(name: &str, field: &FormField, prompts: &mut dyn Prompts) -> InquireResult<Option<Value>> {
    let label = format!("{}:", harmless(name));
    let help = help(field);
    let mut shown = help.clone();
    loop {
        let text = prompts.text(&label, &harmless(&shown))?;
        if text.trim().is_empty() {
            if !outputs::must_be_entered(field) {
                return Ok(None);
            }
            shown = format!("a value is needed; {help}");
            continue;
        }
        match outputs::typed(field, &text) {
            Ok(value) => return Ok(Some(value)),
            Err(why) => shown = format!("{why}; {help}"),
        }
    }
}

fn help(field: &FormField) -> String {
    let shown = |value: &Value| match value.as_str() {
        Some(text) => text.to_owned(),
        None => value.to_string(),
    };
    let mut parts = vec![field.description.clone()];
    parts.push(match field.kind {
        FieldType::List => "several with commas between them".to_owned(),
        FieldType::Map => "KEY=VALUE with commas between them".to_owned(),
        FieldType::Boolean => "true or false".to_owned(),
        FieldType::Duration => "a duration such as 30s or 1h30m".to_owned(),
        FieldType::Version => "DEPLOYMENT:BUILD".to_owned(),
        FieldType::Integer => "a whole number".to_owned(),
        FieldType::String | FieldType::Number => String::new(),
    });
    if let Some(choices) = &field.choices {
        let choices: Vec<String> = choices.iter().map(shown).collect();
        parts.push(format!("one of {}", choices.join(", ")));
    }
    if let Some(default) = &field.default {
        parts.push(format!("empty takes {}", shown(default)));
    } else if !field.required {
        parts.push("may be empty".to_owned());
    }
    parts.retain(|part| !part.is_empty());
    parts.join("; ")
}

fn typed(word: &str, prompts: &mut dyn Prompts) -> InquireResult<bool> {
    let message = format!("Type {} to go on:", harmless(word));
    for _ in 0..TRIES {
        if prompts.text(&message, "Esc declines")?.trim() == word {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Place;
    use crate::report::Style;

    struct Script(Vec<InquireResult<&'static str>>);

    impl Prompts for Script {
        fn confirm(&mut self, message: &str) -> InquireResult<bool> {
            self.text(message, "").map(|text| text == "y")
        }

        fn text(&mut self, _: &str, _: &str) -> InquireResult<String> {
            self.0.remove(0).map(str::to_owned)
        }
    }

    fn manual() -> Question {
        Question::Manual {
            instructions: "Stop the Workers".to_owned(),
            form: Default::default(),
            given: Map::new(),
        }
    }

    fn changes() -> Question {
        Question::Changes {
            changes: vec![],
            equivalents: vec![],
        }
    }

    #[test]
    fn a_word_may_be_mistyped_twice() {
        let mut right = Script(vec![Ok("gud"), Ok(""), Ok("good ")]);
        let yes = answer(&changes(), &Map::new(), Some("good"), &mut right).expect("no error");
        assert_eq!(yes, Some((String::new(), Map::new())));
        let mut wrong = Script(vec![Ok("a"), Ok("y"), Ok("yes"), Ok("good")]);
        let no = answer(&changes(), &Map::new(), Some("good"), &mut wrong).expect("no error");
        assert_eq!(no, None);
    }

    #[test]
    fn a_manual_task_asks_for_a_note_only_when_it_is_done() {
        let mut done = Script(vec![Ok("y"), Ok("by Bob")]);
        let yes = answer(&manual(), &Map::new(), None, &mut done).expect("no error");
        assert_eq!(yes, Some(("by Bob".to_owned(), Map::new())));
        let mut not_done = Script(vec![Ok("n")]);
        assert_eq!(
            answer(&manual(), &Map::new(), None, &mut not_done).expect("no error"),
            None
        );
    }

    #[test]
    fn a_form_is_asked_field_by_field_until_each_fits() {
        let form = serde_json::json!({
            "ticket": { "type": "string", "pattern": "^[A-Z]+-[0-9]+$" },
            "count": { "type": "integer", "default": 3 },
            "hosts": { "type": "list", "required": false },
            "region": { "type": "string" },
        });
        let task = Question::Manual {
            instructions: "Look".to_owned(),
            form: serde_json::from_value(form).expect("a form"),
            given: Map::from_iter([("region".to_owned(), "eu".into())]),
        };
        let typed = [
            Ok("y"),
            Ok(""),
            Ok("ops"),
            Ok("OPS-7"),
            Ok(""),
            Ok("a, b"),
            Ok("done"),
        ];
        let answered =
            answer(&task, &Map::new(), None, &mut Script(typed.into())).expect("no error");
        let (note, form) = answered.expect("a yes");
        assert_eq!(note, "done");
        let wanted = serde_json::json!({ "ticket": "OPS-7", "hosts": ["a", "b"] });
        assert_eq!(Value::Object(form), wanted);
    }

    #[tokio::test]
    async fn without_a_terminal_nobody_answers() {
        let (ui, captured) = Ui::captured(Style::PLAIN);
        let operator = TerminalOperator::new(ui, Witness::rehearsed("alice"));
        let asking = Asking {
            question: 1,
            place: Place {
                step: "s".to_owned(),
                iteration: 0,
            },
            what: manual(),
            title: String::new(),
            word: None,
            address: String::new(),
            namespace: String::new(),
            terms: Default::default(),
            ballot: Default::default(),
        };
        assert_eq!(operator.ask(&asking).await, Reply::Nobody);
        assert_eq!(captured.err(), "");
    }
}

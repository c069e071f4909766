//! Prompts for values before a run: missing parameters.

use std::sync::atomic::AtomicBool;

use inquire::error::{InquireError, InquireResult};
use inquire::validator::Validation;
use inquire::{Password, PasswordDisplayMode, Text};

use super::Ui;
use super::watched::watched;
use crate::report::harmless;

/// What came of asking for a value.
#[derive(Clone, PartialEq, Eq)]
pub enum Asked {
    /// Typed, and it fits.
    Text(String),
    /// Ctrl-C.
    Interrupted,
    /// Esc, or the terminal is gone.
    Nobody,
}

impl Ui {
    /// Asks for a value until it fits; `secret` is not shown while it is typed.
    pub fn ask(
        &self,
        name: &str,
        help: &str,
        secret: bool,
        fits: &mut dyn FnMut(&str) -> Result<(), String>,
    ) -> Asked {
        self.await_foreground(name, &AtomicBool::new(false));
        self.hold();
        let asked = ask(&harmless(name), &harmless(help), secret, fits);
        self.release();
        asked
    }
}

fn ask(
    name: &str,
    help: &str,
    secret: bool,
    fits: &mut dyn FnMut(&str) -> Result<(), String>,
) -> Asked {
    let label = format!("{name}:");
    let mut problem = String::new();
    loop {
        let hint = [problem.as_str(), help]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join("; ");
        let hint = if hint.is_empty() {
            "Esc leaves it"
        } else {
            &hint
        };
        let (label, hint) = (label.clone(), hint.to_owned());
        // A terminal that hung up is read without a pause and without an end by whoever waits for its keys.
        let typed = watched(&AtomicBool::new(false), move || {
            typed(&label, &hint, secret)
        });
        match typed {
            Some(Ok(text)) => match fits(&text) {
                Ok(()) => return Asked::Text(text),
                Err(why) => problem = harmless(&why).into_owned(),
            },
            Some(Err(InquireError::OperationInterrupted)) => return Asked::Interrupted,
            Some(Err(_)) | None => return Asked::Nobody,
        }
    }
}

fn typed(label: &str, hint: &str, secret: bool) -> InquireResult<String> {
    if secret {
        return Password::new(label)
            .with_display_mode(PasswordDisplayMode::Hidden)
            .without_confirmation()
            .with_help_message(hint)
            .prompt();
    }
    Text::new(label)
        .with_validator(|text: &str| {
            Ok(if text.trim().is_empty() {
                Validation::Invalid("a value is needed".into())
            } else {
                Validation::Valid
            })
        })
        .with_help_message(hint)
        .prompt()
}

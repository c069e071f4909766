//! Prompts for values before a run: missing parameters.

use inquire::error::InquireError;
use inquire::validator::Validation;
use inquire::{Password, PasswordDisplayMode, Text};

use super::Ui;
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
        let typed = if secret {
            Password::new(&label)
                .with_display_mode(PasswordDisplayMode::Hidden)
                .without_confirmation()
                .with_help_message(hint)
                .prompt()
        } else {
            Text::new(&label)
                .with_validator(|text: &str| {
                    Ok(if text.trim().is_empty() {
                        Validation::Invalid("a value is needed".into())
                    } else {
                        Validation::Valid
                    })
                })
                .with_help_message(hint)
                .prompt()
        };
        match typed {
            Ok(text) => match fits(&text) {
                Ok(()) => return Asked::Text(text),
                Err(why) => problem = harmless(&why).into_owned(),
            },
            Err(InquireError::OperationInterrupted) => return Asked::Interrupted,
            Err(_) => return Asked::Nobody,
        }
    }
}

//! `-p NAME=VALUE` and `--params-file`: the flags that every verb with parameters has.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::diagnostic::Diagnostic;
use crate::report::shell_word;
use crate::runbook::{ParameterInput, Parameters, Runbook};

/// Values for the runbook's parameters.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ParameterFlags {
    /// A parameter's value; repeat it for lists (`-p wrong=A -p wrong=B`) and maps (`-p classes.Invoice=move_only`).
    /// JSON is taken too, and `@FILE` reads a file.
    #[arg(short = 'p', long = "param", value_name = "NAME=VALUE")]
    pub params: Vec<String>,
    /// A YAML or JSON file of parameters; `-p` wins over it.
    #[arg(long, value_name = "FILE")]
    pub params_file: Vec<PathBuf>,
}

impl ParameterFlags {
    /// Whether none was given.
    pub fn is_empty(&self) -> bool {
        self.params.is_empty() && self.params_file.is_empty()
    }

    /// Everything that was given: files, flags, and the environment for secrets.
    ///
    /// # Errors
    /// What cannot be read or is no assignment, all of it.
    pub fn input(&self, runbook: &Runbook) -> Result<ParameterInput, Vec<Diagnostic>> {
        let mut input = ParameterInput::default();
        let mut problems = Vec::new();
        for path in &self.params_file {
            let taken = super::read(path).map_err(|problem| vec![problem]);
            if let Err(found) =
                taken.and_then(|bytes| input.file(&path.display().to_string(), &bytes))
            {
                // A line of it may hold a secret.
                let secrets = runbook.has_secrets();
                let shown = found.into_iter().map(|problem| match secrets {
                    true => problem.without_line(),
                    false => problem,
                });
                problems.extend(shown);
            }
        }
        for assignment in &self.params {
            if let Err(problem) = input.assign(assignment, &mut read_text) {
                problems.push(problem);
            }
        }
        input.environment(runbook, &|name| std::env::var(name).ok());
        if problems.is_empty() {
            Ok(input)
        } else {
            Err(problems)
        }
    }
}

/// The flags that give these values, as a shell takes them.
pub fn as_flags(parameters: &Parameters) -> String {
    let mut line = String::new();
    for (name, value) in parameters.values() {
        let text = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        line += &format!(" -p {}", shell_word(&format!("{name}={text}")));
    }
    line
}

fn read_text(path: &str) -> Result<String, String> {
    let bytes = super::read(Path::new(path)).map_err(|problem| problem.message)?;
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_give_the_same_parameters_again() {
        let runbook = b"schema: runbook/v1\nname: x\nparams:\n  bad: { type: version }\n  why: { type: string }\n  \
            classes: { type: map, enum: [move_only] }\n  wrong: { type: list }\n  n: { type: integer }\nsteps:\n  \
            - { id: pause, action: wait, with: { for: 1s } }\n";
        let runbook = Runbook::parse("x.yaml", runbook).expect("a runbook");
        let given = [
            "bad=orders:b 1",
            "why=it's $HOME",
            "classes.Order=move_only",
            "wrong=A",
            "wrong=B",
            "n=3",
        ];
        let resolved = |given: &[&str]| {
            let mut input = ParameterInput::default();
            for one in given {
                input.assign(one, &mut read_text).expect("an assignment");
            }
            runbook.resolve_parameters(&input).expect("all are given")
        };
        let first = resolved(&given);
        let line = as_flags(&first);
        assert_eq!(
            line,
            r#" -p 'bad=orders:b 1' -p 'why=it'\''s $HOME' -p 'classes={"Order":"move_only"}' -p 'wrong=["A","B"]' -p n=3"#
        );
        let words = line.split(" -p ").skip(1).map(|word| {
            let word = word.replace(r"'\''", "\0").replace('\'', "");
            word.replace('\0', "'")
        });
        let words: Vec<String> = words.collect();
        let again = resolved(&words.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(first.values().eq(again.values()));
    }
}

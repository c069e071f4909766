//! `-p NAME=VALUE` and `--params-file`: the flags that every verb with parameters has.

use std::path::{Path, PathBuf};

use crate::diagnostic::Diagnostic;
use crate::runbook::{ParameterInput, Runbook};

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

fn read_text(path: &str) -> Result<String, String> {
    let bytes = super::read(Path::new(path)).map_err(|problem| problem.message)?;
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())
}

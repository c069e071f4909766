//! `runbook completions SHELL`: a completion script for a shell. Wiring.

use clap::{Args, Command};
use clap_complete::{Shell, generate};

use super::Exit;
use super::runs::written;
use crate::ui::Ui;

/// Print a completion script for a shell
#[derive(Debug, Args)]
pub struct Arguments {
    /// The shell
    #[arg(value_enum)]
    pub shell: Shell,
}

/// Runs the verb for this command line; the exit code.
pub fn run(args: &Arguments, mut command: Command, ui: &Ui) -> Exit {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    generate(args.shell, &mut command, name, &mut script);
    written(ui.write_data(|out| out.write_all(&script)), ui)
}

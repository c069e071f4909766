//! `runbook completions SHELL`: the script that lets a shell ask this program. Wiring; what it answers is
//! [`super::completing`].

use clap::{Args, Command};
use clap_complete::Shell;
use clap_complete::env::Shells;

use super::Exit;
use super::completing::VARIABLE;
use super::runs::written;
use super::session::failed;
use crate::ui::Ui;

/// Print a completion script for a shell
#[derive(Debug, Args)]
pub struct Arguments {
    /// The shell
    #[arg(value_enum)]
    pub shell: Shell,
}

/// Runs the verb for this command line; the exit code.
pub fn run(args: &Arguments, command: &Command, ui: &Ui) -> Exit {
    let (name, shell) = (command.get_name(), args.shell.to_string());
    let mut script = Vec::new();
    let shells = Shells::builtins();
    let completer = shells.completer(&shell);
    let made = completer.map(|it| it.write_registration(VARIABLE, name, name, name, &mut script));
    match made {
        Some(Ok(())) => written(ui.write_data(|out| out.write_all(&script)), ui),
        _ => failed(&format!("there is no completion script for {shell}"), ui),
    }
}

//! `runbook completions SHELL`: the script that lets a shell ask this program. Wiring; what it answers is
//! [`super::completing`].

use std::io;

use clap::{Args, Command};
use clap_complete::Shell;
use clap_complete::env::Shells;

use super::Exit;
use super::completing::VARIABLE;
use super::runs::written;
use super::session::failed;
use crate::ui::Ui;

/// The script for bash. That of `clap_complete` (4.6) takes the words as bash splits them, so that nothing behind a `=`
/// or `:` is ever completed.
const BASH: &str = include_str!("completions.bash");

/// Print a completion script for a shell
#[derive(Debug, Args)]
pub struct Arguments {
    /// The shell
    #[arg(value_enum)]
    pub shell: Shell,
}

/// Runs the verb for this command line; the exit code.
pub fn run(args: &Arguments, command: &Command, ui: &Ui) -> Exit {
    let mut script = Vec::new();
    match write(args.shell, command.get_name(), &mut script) {
        Some(Ok(())) => written(ui.write_data(|out| out.write_all(&script)), ui),
        _ => failed(
            &format!("there is no completion script for {}", args.shell),
            ui,
        ),
    }
}

fn write(shell: Shell, name: &str, script: &mut Vec<u8>) -> Option<io::Result<()>> {
    if shell == Shell::Bash {
        script.extend_from_slice(BASH.as_bytes());
        return Some(Ok(()));
    }
    let shells = Shells::builtins();
    let completer = shells.completer(&shell.to_string())?;
    Some(completer.write_registration(VARIABLE, name, name, name, script))
}

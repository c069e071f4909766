//! `temporal runbook …`: what the `temporal` CLI starts for it. Becomes the `runbook` that lies beside it, under its
//! own name; knows nothing else. A link of this name to `runbook` does the same.

use std::env;
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let own = env::current_exe().ok();
    let beside = own.and_then(|path| Some(path.parent()?.join("runbook")));
    let program = beside
        .filter(|path| path.is_file())
        .unwrap_or_else(|| "runbook".into());
    // It comes back only where it could not be started.
    let error = Command::new(&program)
        .arg0("temporal-runbook")
        .args(env::args_os().skip(1))
        .exec();
    let shown = program.display();
    let _ = writeln!(
        io::stderr(),
        "Error: `{shown}` cannot be started: {error}\nHint: install `runbook` beside `temporal-runbook`, or in PATH"
    );
    ExitCode::from(2)
}

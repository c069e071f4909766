//! `temporal runbook …`: this tool as an extension of Temporal's CLI (measured on its v1.9.1).
//!
//! The CLI starts `temporal-runbook` from PATH. The flags that it knows itself it moves to the front, wherever they
//! stood (`--profile x exec FILE`); they are put where this tool has them. It also ends its extension by SIGKILL as soon
//! as somebody presses Ctrl-C, which would leave writes in doubt: so the process that it starts only stands before the
//! one that works, and that one ends in its own way.

use std::env;
use std::ffi::{OsStr, OsString};
use std::future::Future;
use std::io;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _, parent_id};
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use clap::Command as CommandLine;
use tokio::process::Command as Process;
use tokio::signal::unix::{SignalKind, signal};

/// Under this name it is called by the CLI.
const NAME: &str = "temporal-runbook";
/// How the CLI's users call it.
pub const SHOWN: &str = "temporal runbook";
/// In the environment of the process that works: the id of the one that stands before it.
const BEFORE: &str = "RUNBOOK_STANDS_BEFORE";
/// How often the process that works looks whether somebody still stands before it.
const LOOK: Duration = Duration::from_millis(250);
/// Signals that come together are one event: a terminal's Ctrl-C reaches every process of a command.
pub const TOGETHER: Duration = Duration::from_secs(1);

/// A flag that the CLI knows, and moves to the front.
struct Flag {
    long: &'static str,
    short: Option<&'static str>,
    takes: bool,
}

const fn takes(long: &'static str) -> Flag {
    Flag {
        long,
        short: None,
        takes: true,
    }
}

const fn switch(long: &'static str) -> Flag {
    Flag {
        takes: false,
        ..takes(long)
    }
}

/// The CLI's options for all of its commands.
const MOVED: [Flag; 14] = [
    takes("env"),
    takes("env-file"),
    takes("config-file"),
    takes("profile"),
    switch("disable-config-file"),
    switch("disable-config-env"),
    takes("log-level"),
    takes("log-format"),
    Flag {
        short: Some("o"),
        ..takes("output")
    },
    takes("time-format"),
    takes("color"),
    switch("no-json-shorthand-payloads"),
    takes("command-timeout"),
    takes("client-connect-timeout"),
];

/// Whether this process was started as the CLI's extension.
pub fn is_called(arguments: &[OsString]) -> bool {
    let name = arguments.first().map(Path::new).and_then(Path::file_name);
    name == Some(OsStr::new(NAME))
}

/// Whether another process stands before this one, and takes the CLI's SIGKILL.
pub fn stands_behind() -> bool {
    env::var(BEFORE).is_ok_and(|id| id == parent_id().to_string())
}

/// The command line as this tool has it: what the CLI moved to the front goes behind the verb that takes it. With what
/// there is to say about flags that the verb does not have.
pub fn respell(arguments: Vec<OsString>, command: &CommandLine) -> (Vec<OsString>, Vec<String>) {
    let mut words = arguments.into_iter().peekable();
    let mut respelled: Vec<OsString> = words.next().into_iter().collect();
    let mut moved = Vec::new();
    let help = words.peek().is_some_and(|word| word == "help");
    if help {
        respelled.extend(words.next());
    }
    while let Some((flag, value)) = words.peek().and_then(|word| known(word)) {
        words.next();
        let value = match value {
            None if flag.takes => words.next(),
            value => value,
        };
        moved.push((flag, value));
    }
    let verb = words.peek().and_then(|word| word.to_str());
    let verb = verb.and_then(|verb| command.find_subcommand(verb)).cloned();
    let mut behind = Vec::new();
    let mut hints = Vec::new();
    for (flag, value) in moved.into_iter().filter(|_| !help) {
        if has(command, flag.long) {
            respelled.extend(written(flag, value));
        } else if verb.as_ref().is_some_and(|verb| has(verb, flag.long)) {
            behind.extend(written(flag, value));
        } else if let Some(verb) = &verb {
            let (long, verb) = (flag.long, verb.get_name());
            hints.push(format!("--{long} means nothing to `runbook {verb}`"));
        }
    }
    respelled.extend(words.next());
    respelled.extend(behind);
    respelled.extend(words);
    (respelled, hints)
}

/// A flag of the CLI's, with the value that is written in the same word.
fn known(word: &OsString) -> Option<(&'static Flag, Option<OsString>)> {
    let text = word.to_str()?;
    let name = text.strip_prefix('-')?.trim_start_matches('-');
    let (name, value) = match name.split_once('=') {
        Some((name, value)) => (name, Some(value.into())),
        None => (name, None),
    };
    let flag = MOVED
        .iter()
        .find(|flag| flag.long == name || flag.short == Some(name))?;
    Some((flag, value))
}

fn has(command: &CommandLine, long: &str) -> bool {
    command
        .get_arguments()
        .any(|argument| argument.get_long() == Some(long))
}

/// A switch of the CLI's takes `=false`, too.
fn written(flag: &Flag, value: Option<OsString>) -> Vec<OsString> {
    let name = OsString::from(format!("--{}", flag.long));
    match value {
        Some(value) if flag.takes => vec![name, value],
        Some(value) if value == "false" => Vec::new(),
        _ => vec![name],
    }
}

/// Starts this program again to do the work, and waits for it.
///
/// # Errors
/// Where it cannot be started or waited for.
pub fn stand_before(arguments: &[OsString]) -> io::Result<u8> {
    let mut command = Command::new(env::current_exe()?);
    command
        .arg0(NAME)
        .args(&arguments[1..])
        .env(BEFORE, std::process::id().to_string());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(wait(Process::from(command))).map(code)
}

/// What a terminal sends reaches the process that works by itself; what was sent to this one alone is passed on.
async fn wait(mut command: Process) -> io::Result<ExitStatus> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut child = command.spawn()?;
    loop {
        tokio::select! {
            status = child.wait() => return status,
            _ = interrupt.recv() => {}
            _ = hangup.recv() => {}
            _ = terminate.recv() => {
                let id = child.id().and_then(|id| i32::try_from(id).ok());
                if let Some(process) = id.and_then(rustix::process::Pid::from_raw) {
                    // It may have ended by itself.
                    let _ = rustix::process::kill_process(process, rustix::process::Signal::TERM);
                }
            }
        }
    }
}

/// As a shell says it: 128 and the signal's number.
fn code(status: ExitStatus) -> u8 {
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

/// Until nobody stands before this process any more; for ever where nobody did.
pub fn left_alone() -> impl Future<Output = ()> {
    let before = stands_behind().then(parent_id);
    async move {
        let Some(before) = before else {
            return std::future::pending().await;
        };
        while parent_id() == before {
            tokio::time::sleep(LOOK).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::command;

    fn respelled(words: &str) -> (String, Vec<String>) {
        let words = words.split(' ').map(OsString::from).collect();
        let (words, hints) = respell(words, &command());
        let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
        (words.join(" "), hints)
    }

    #[test]
    fn flags_go_to_where_this_tool_has_them() {
        let cases = [
            (
                "t --profile x --output json exec f -p a=b",
                "t --output json exec --profile x f -p a=b",
            ),
            (
                "t -o json --color=never runs",
                "t --output json --color never runs",
            ),
            (
                "t --disable-config-file exec f --yes",
                "t exec --disable-config-file f --yes",
            ),
            ("t --disable-config-env=false exec f", "t exec f"),
            ("t help exec", "t help exec"),
            ("t help --profile x exec", "t help exec"),
            ("t --log-level debug", "t --log-level debug"),
            ("t exec f --profile x", "t exec f --profile x"),
            ("t", "t"),
        ];
        for (given, expected) in cases {
            let (words, hints) = respelled(given);
            assert_eq!(words, expected);
            assert!(hints.is_empty(), "{hints:?}");
        }
    }

    #[test]
    fn a_flag_that_a_verb_has_not_is_left_out_and_said() {
        let (words, hints) = respelled("t --profile x --time-format iso rehearse f");
        assert_eq!(words, "t rehearse f");
        let said = [
            "--profile means nothing to `runbook rehearse`",
            "--time-format means nothing to `runbook rehearse`",
        ];
        assert_eq!(hints, said);
    }

    #[test]
    fn the_end_of_a_process_is_told_as_a_shell_tells_it() {
        assert_eq!(code(ExitStatus::from_raw(3 << 8)), 3);
        assert_eq!(code(ExitStatus::from_raw(9)), 137);
    }
}

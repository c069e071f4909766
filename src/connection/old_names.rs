//! Flags as they were once spelled, `--tls_ca_path`: taken, with a hint.

use std::ffi::OsString;

use clap::{Args, Command};

use super::ConnectionArgs;

/// Respells the connection's flags that are written with underscores, and says so.
pub fn respell(arguments: impl IntoIterator<Item = OsString>) -> (Vec<OsString>, Vec<String>) {
    let known: Vec<String> = ConnectionArgs::augment_args(Command::new(""))
        .get_arguments()
        .filter_map(|argument| argument.get_long().map(str::to_owned))
        .chain(["log-level", "log-format"].map(str::to_owned))
        .collect();
    let mut hints = Vec::new();
    let mut flags = true;
    let respelled = arguments.into_iter().map(|argument| {
        let text = argument.to_str().unwrap_or_default();
        flags &= text != "--";
        let Some((name, value)) = text.strip_prefix("--").map(split).filter(|_| flags) else {
            return argument;
        };
        let now = name.replace('_', "-");
        if now == name || !known.contains(&now) {
            return argument;
        }
        let hint = format!("--{name} is now called --{now}");
        if !hints.contains(&hint) {
            hints.push(hint);
        }
        format!("--{now}{value}").into()
    });
    let respelled = respelled.collect();
    (respelled, hints)
}

/// A flag's name, and `=VALUE` where it has one.
fn split(flag: &str) -> (&str, &str) {
    flag.find('=').map_or((flag, ""), |at| flag.split_at(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(arguments: &[&str]) -> (Vec<String>, Vec<String>) {
        let (arguments, hints) = respell(arguments.iter().map(OsString::from));
        let texts = arguments.into_iter().map(|it| it.into_string().unwrap());
        (texts.collect(), hints)
    }

    #[test]
    fn underscores_become_dashes_and_are_said_once() {
        let (arguments, hints) = after(&[
            "runbook",
            "plan",
            "--tls_ca_path",
            "/a_b/ca.pem",
            "--tls_server_name=a_b=c",
            "--tls_ca_path",
            "x",
        ]);
        assert_eq!(
            arguments,
            [
                "runbook",
                "plan",
                "--tls-ca-path",
                "/a_b/ca.pem",
                "--tls-server-name=a_b=c",
                "--tls-ca-path",
                "x"
            ]
        );
        assert_eq!(
            hints,
            [
                "--tls_ca_path is now called --tls-ca-path",
                "--tls_server_name is now called --tls-server-name"
            ]
        );
    }

    #[test]
    fn everything_else_stays() {
        let given = [
            "runbook",
            "--tls-ca-path",
            "a",
            "-p",
            "tls_ca_path=x",
            "--no_such_flag",
            "tls_ca_path",
            "--",
            "--tls_ca_path",
        ];
        let (arguments, hints) = after(&given);
        assert_eq!(arguments, given);
        assert!(hints.is_empty(), "{hints:?}");
    }
}

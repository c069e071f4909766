//! The `temporal` command line that would do by hand what this tool does: for a reviewer to check and an
//! operator to fall back on.
//!
//! Pure. Flag names are those of the `temporal` CLI 1.5. Where the CLI has no such operation, or does
//! something else in a way that matters, that is said beside the command. Credentials are never in it:
//! the CLI takes them from the same environment and profiles as this tool.

use std::fmt::Write as _;

use serde_json::Value;

use crate::catalog::{self, OverrideKind, ResetTo};
use crate::decision::{Call, Table};
use crate::record::{Equivalent, Write};
use crate::selection::{Exclusion, Selection};
use crate::survey::{Override, Preflight, Version, WorkflowKey};

/// Pages that a table names for each row.
const LINKS: usize = 3;

/// Where a command goes.
#[derive(Clone, Copy, Debug)]
pub struct At<'a> {
    /// Address of the service.
    pub address: &'a str,
    /// Namespace.
    pub namespace: &'a str,
}

/// Quotes a word for a POSIX shell. What a terminal would not show as it is stands as `$'…'` escapes (bash, zsh, POSIX
/// 2024), so that a command stays one line and shows what it holds.
pub fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    // Also what hides or turns the text around it: marks and separators outside ASCII.
    let unseen = |c: char| c.is_control() || !(c.is_ascii() || c.is_alphanumeric());
    if !word.chars().any(unseen) {
        // A List Filter is full of single quotes: readable in double ones, where nothing else means anything.
        let double = word.contains('\'') && !word.contains(['"', '$', '`', '\\', '!']);
        if double {
            return format!("\"{word}\"");
        }
        return format!("'{}'", word.replace('\'', r"'\''"));
    }
    let mut quoted = String::from("$'");
    for c in word.chars() {
        match c {
            '\\' => quoted.push_str(r"\\"),
            '\'' => quoted.push_str(r"\'"),
            '\n' => quoted.push_str(r"\n"),
            '\r' => quoted.push_str(r"\r"),
            '\t' => quoted.push_str(r"\t"),
            c if unseen(c) => {
                let mut bytes = [0; 4];
                for byte in c.encode_utf8(&mut bytes).bytes() {
                    let _ = write!(quoted, "\\{byte:03o}");
                }
            }
            c => quoted.push(c),
        }
    }
    quoted.push('\'');
    quoted
}

/// A command being put together: words as the shell splits them, quoted at the end.
struct Line {
    words: Vec<String>,
}

impl Line {
    fn new(at: At<'_>, words: &[&str]) -> Self {
        let mut line = Self {
            words: vec!["temporal".to_owned()],
        };
        line.words.extend(words.iter().map(|&word| word.to_owned()));
        line.flag("--address", at.address)
            .flag("--namespace", at.namespace)
    }

    fn flag(mut self, name: &str, value: impl Into<String>) -> Self {
        self.words.push(name.to_owned());
        self.words.push(value.into());
        self
    }

    fn switch(mut self, name: &str) -> Self {
        self.words.push(name.to_owned());
        self
    }

    fn done(self) -> Equivalent {
        let quoted: Vec<String> = self.words.iter().map(|word| quote(word)).collect();
        Equivalent {
            command: quoted.join(" "),
            caution: String::new(),
        }
    }
}

/// What a command is applied to.
#[derive(Clone, Copy, Debug)]
pub enum On<'a> {
    /// One execution.
    One(&'a WorkflowKey),
    /// All that a List Filter finds, as a batch job of the service.
    Query(&'a str),
}

impl<'a> From<&'a Preflight> for At<'a> {
    fn from(preflight: &'a Preflight) -> Self {
        Self {
            address: &preflight.address,
            namespace: &preflight.namespace,
        }
    }
}

impl On<'_> {
    fn add(self, line: Line) -> Line {
        match self {
            On::One(key) => {
                let line = line.flag("--workflow-id", &key.workflow_id);
                if key.run_id.is_empty() {
                    line
                } else {
                    line.flag("--run-id", &key.run_id)
                }
            }
            On::Query(query) => line.flag("--query", query),
        }
    }
}

/// What a row's strategy does, as one batch command over the row's List Filter. `mark` is the run's own
/// mark in every reason; none before there is a run.
pub fn of_row(
    table: &Table,
    index: usize,
    query: &str,
    mark: Option<&str>,
    at: At<'_>,
) -> Equivalent {
    let row = &table.rows[index];
    let strategy = &table.strategies[&row.strategy];
    let Some(query) = by_hand(table, query) else {
        return Equivalent::default().with(
            "The CLI has no command for this selection: `runbook show --workflows` has one for each Workflow.",
        );
    };
    let found = of_query(&strategy.call, &query, mark, at);
    if found.command.is_empty() {
        return found;
    }
    let above = &table.rows[..index];
    let found = match row.task {
        Some(_) => {
            found.with("It cannot tell Workflow Tasks apart: it takes all that the query finds.")
        }
        None => found,
    };
    // Classes and filters of one table are usually disjoint; Workflow Tasks are what a query cannot say.
    if above.iter().any(|row| row.task.is_some()) {
        found.with("It takes also what a row above it would take.")
    } else {
        found
    }
}

/// The List Filter that finds what a table's selection takes, where one does: neither more nor less.
fn by_hand(table: &Table, query: &str) -> Option<String> {
    let selection = &table.selection;
    if selection.is_plain() {
        return Some(query.to_owned());
    }
    let sent = selection.exclude.sent();
    let rest = Selection {
        exclude: Exclusion {
            filter: None,
            ..selection.exclude.clone()
        },
        ..selection.clone()
    };
    let without = sent.filter(|_| rest.is_plain())?;
    Some(table.scope.clone().and(without).fold().render())
}

/// What a call does, as one batch command over a List Filter.
pub fn of_query(call: &Call, query: &str, mark: Option<&str>, at: At<'_>) -> Equivalent {
    let reason = |reason: &str| match mark {
        Some(mark) => format!("{reason} {mark}"),
        None => reason.to_owned(),
    };
    let on = On::Query(query);
    match call {
        Call::Reset(reset) => reset_query(reset, query, &reason(&reset.reason), at),
        Call::Options(options) => {
            let over = match (options.kind, &options.version) {
                (OverrideKind::Pinned, Some(version)) => Some(Override::Pinned {
                    version: version.clone(),
                }),
                (OverrideKind::OneTime, Some(version)) => Some(Override::OneTime {
                    version: version.clone(),
                }),
                (OverrideKind::AutoUpgrade, _) => Some(Override::AutoUpgrade),
                _ => None,
            };
            update_options(on, over.as_ref(), at)
        }
        Call::Restart(_) => restart(),
        Call::Terminate(terminate) => terminate_command(on, &reason(&terminate.reason), at),
        Call::Cancel(cancel) => cancel_command(on, &reason(&cancel.reason), at),
        Call::Signal(signal) => signal_command(on, &signal.name, &signal.values(), at)
            .with("Not safe to run twice: each run of it sends the Signal again."),
    }
}

/// A write to one Workflow. `reason` stands in where the write does not hold its own.
pub fn of_write(write: &Write, key: &WorkflowKey, reason: &str, at: At<'_>) -> Equivalent {
    let on = On::One(key);
    match write {
        Write::Reset {
            event_id,
            signals,
            updates,
            nexus,
            base,
            target,
            ..
        } => {
            // The run before in a chain is what is reset there.
            let key = WorkflowKey {
                workflow_id: key.workflow_id.clone(),
                run_id: base.as_ref().unwrap_or(&key.run_id).clone(),
            };
            let line = On::One(&key)
                .add(reset_line(target.as_ref(), at))
                .flag("--event-id", event_id.to_string());
            let line = exclude(line, *signals, *updates);
            let found = pinned(line.flag("--reason", reason), target.as_ref()).done();
            nexus_caution(found, *signals || *updates, *nexus)
        }
        Write::Options { target } => update_options(on, target.as_ref(), at),
        Write::Restart { .. } => restart(),
        Write::Terminate { reason: own } => {
            let reason = if own.is_empty() { reason } else { own };
            terminate_command(on, reason, at)
        }
        Write::Cancel { reason: own, .. } => {
            let reason = if own.is_empty() { reason } else { own };
            cancel_command(on, reason, at)
        }
        Write::Signal {
            name,
            arguments,
            input,
            ..
        } => {
            if input.len() == *arguments {
                signal_command(on, name, input, at)
            } else {
                Equivalent::none(
                    "The Signal's input is too large for the journal: take it from the runbook.",
                )
            }
        }
    }
}

fn reset_line(target: Option<&Version>, at: At<'_>) -> Line {
    match target {
        Some(_) => Line::new(at, &["workflow", "reset", "with-workflow-update-options"]),
        None => Line::new(at, &["workflow", "reset"]),
    }
}

/// `--reapply-exclude`; Nexus operations have no word of their own there.
fn exclude(line: Line, signals: bool, updates: bool) -> Line {
    match (signals, updates) {
        (true, true) => line,
        (false, true) => line.flag("--reapply-exclude", "Signal"),
        (true, false) => line.flag("--reapply-exclude", "Update"),
        (false, false) => line.flag("--reapply-exclude", "All"),
    }
}

/// Without `All`, the CLI re-applies results of Nexus operations.
fn nexus_caution(found: Equivalent, others: bool, nexus: bool) -> Equivalent {
    match (others, nexus) {
        (true, false) => found.with("The CLI re-applies results of Nexus operations."),
        (false, true) => found.with("The CLI does not re-apply results of Nexus operations."),
        _ => found,
    }
}

fn pinned(line: Line, target: Option<&Version>) -> Line {
    match target {
        None => line,
        Some(version) => line
            .flag("--versioning-override-behavior", "pinned")
            .flag("--versioning-override-deployment-name", &version.deployment)
            .flag("--versioning-override-build-id", &version.build_id),
    }
}

fn reset_query(reset: &catalog::Reset, query: &str, reason: &str, at: At<'_>) -> Equivalent {
    let line = On::Query(query).add(reset_line(reset.version.as_ref(), at));
    let line = match &reset.to {
        ResetTo::FirstWorkflowTask => line.flag("--type", "FirstWorkflowTask"),
        ResetTo::LastWorkflowTask => line.flag("--type", "LastWorkflowTask"),
        ResetTo::Build(build) | ResetTo::BadBinaryChecksum(build) => {
            line.flag("--type", "BuildId").flag("--build-id", build)
        }
        ResetTo::LastContinuedAsNew
        | ResetTo::FailedTask
        | ResetTo::Event(_)
        | ResetTo::Before(_) => {
            return Equivalent::none(
                "The CLI does not find this point for many: `runbook show RUN --workflows` has the command for each Workflow.",
            );
        }
    };
    let reapply = &reset.reapply;
    let line = exclude(line, reapply.signals, reapply.updates);
    let found = pinned(line.flag("--reason", reason), reset.version.as_ref()).done();
    nexus_caution(found, reapply.signals || reapply.updates, reapply.nexus)
        .with("Not safe to run twice: each run resets again, also what an earlier reset or a newer run took over.")
}

fn update_options(on: On<'_>, target: Option<&Override>, at: At<'_>) -> Equivalent {
    let line = on.add(Line::new(at, &["workflow", "update-options"]));
    match target {
        Some(Override::Pinned { version }) => pinned(line, Some(version)).done(),
        Some(Override::OneTime { version }) => pinned(line, Some(version))
            .done()
            .with("The CLI cannot move once: this pins until the Override is unset."),
        Some(Override::AutoUpgrade) => line
            .flag("--versioning-override-behavior", "auto_upgrade")
            .done(),
        None => line
            .flag("--versioning-override-behavior", "unspecified")
            .done(),
    }
}

fn restart() -> Equivalent {
    Equivalent::none(
        "The CLI has no such command: `temporal workflow start --id-conflict-policy TerminateExisting` wants the original input typed in, and sets no Versioning Override.",
    )
}

fn terminate_command(on: On<'_>, reason: &str, at: At<'_>) -> Equivalent {
    on.add(Line::new(at, &["workflow", "terminate"]))
        .flag("--reason", reason)
        .done()
}

/// The CLI takes a cancellation's reason only with a query.
fn cancel_command(on: On<'_>, reason: &str, at: At<'_>) -> Equivalent {
    let line = on.add(Line::new(at, &["workflow", "cancel"]));
    match on {
        On::Query(_) => line.flag("--reason", reason).done(),
        On::One(_) => line.done(),
    }
}

/// The CLI sends no headers, and no request id: a second call is a second Signal.
fn signal_command(on: On<'_>, name: &str, input: &[Value], at: At<'_>) -> Equivalent {
    let line = on
        .add(Line::new(at, &["workflow", "signal"]))
        .flag("--name", name);
    input
        .iter()
        .fold(line, |line, value| line.flag("--input", value.to_string()))
        .done()
}

/// Ends a ramp. A Build ID beside `--delete` would leave the Version ramping at 0 % (CLI 1.5.1).
pub fn unset_ramp(deployment: &str, at: At<'_>) -> Equivalent {
    Line::new(at, &["worker", "deployment", "set-ramping-version"])
        .flag("--deployment-name", deployment)
        .switch("--delete")
        .done()
}

/// Ramps a Version.
pub fn set_ramping(version: &Version, percentage: f32, at: At<'_>) -> Equivalent {
    of_version(
        Line::new(at, &["worker", "deployment", "set-ramping-version"]),
        version,
    )
    .flag("--percentage", percentage.to_string())
    .done()
}

/// Makes a Version the Current one.
pub fn set_current(version: &Version, accept_missing: bool, at: At<'_>) -> Equivalent {
    let line = of_version(
        Line::new(at, &["worker", "deployment", "set-current-version"]),
        version,
    );
    match accept_missing {
        true => line.switch("--ignore-missing-task-queues").done(),
        false => line.done(),
    }
}

/// Deletes a Version.
pub fn delete_version(version: &Version, at: At<'_>) -> Equivalent {
    of_version(
        Line::new(at, &["worker", "deployment", "delete-version"]),
        version,
    )
    .done()
}

fn of_version(line: Line, version: &Version) -> Line {
    line.flag("--deployment-name", &version.deployment)
        .flag("--build-id", &version.build_id)
}

/// The page of a Workflow in the Web UI, where its address is known.
pub fn link(ui: &str, namespace: &str, key: &WorkflowKey) -> String {
    let base = ui.trim_end_matches('/');
    let (namespace, id) = (percent(namespace), percent(&key.workflow_id));
    match key.run_id.as_str() {
        "" => format!("{base}/namespaces/{namespace}/workflows/{id}"),
        run => format!(
            "{base}/namespaces/{namespace}/workflows/{id}/{}/history",
            percent(run)
        ),
    }
}

/// Pages of some Workflow IDs, their current runs; none where the Web UI's address is not known.
pub fn links(preflight: &Preflight, ids: &[String]) -> Vec<String> {
    let Some(ui) = preflight.ui.as_deref() else {
        return Vec::new();
    };
    let page = |id: &String| {
        let key = WorkflowKey {
            workflow_id: id.clone(),
            run_id: String::new(),
        };
        link(ui, &preflight.namespace, &key)
    };
    ids.iter().take(LINKS).map(page).collect()
}

/// Percent-encodes all but the unreserved characters of RFC 3986.
fn percent(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    const AT: At<'_> = At {
        address: "127.0.0.1:7233",
        namespace: "default",
    };

    fn key() -> WorkflowKey {
        WorkflowKey {
            workflow_id: "it's 1".to_owned(),
            run_id: "r-1".to_owned(),
        }
    }

    #[test]
    fn a_reset_of_one_workflow_names_run_event_and_version() {
        let write = Write::Reset {
            event_id: 4,
            signals: false,
            updates: true,
            nexus: true,
            base: None,
            target: Version::parse("orders:v1"),
            reason: String::new(),
            request_id: String::new(),
        };
        assert_eq!(
            of_write(&write, &key(), "INC-1 [runbook rb-1 s]", AT).command,
            "temporal workflow reset with-workflow-update-options --address 127.0.0.1:7233 \
             --namespace default --workflow-id \"it's 1\" --run-id r-1 --event-id 4 \
             --reapply-exclude Signal --reason 'INC-1 [runbook rb-1 s]' \
             --versioning-override-behavior pinned --versioning-override-deployment-name orders \
             --versioning-override-build-id v1"
        );
    }

    #[test]
    fn a_ramp_is_unset_without_a_build_id() {
        let command = unset_ramp("orders", AT).command;
        assert!(command.ends_with("--deployment-name orders --delete"));
    }

    #[test]
    fn what_the_cli_cannot_do_is_said() {
        let write = Write::Options {
            target: Some(Override::OneTime {
                version: Version::parse("orders:v1").expect("a Version"),
            }),
        };
        assert!(
            of_write(&write, &key(), "", AT)
                .caution
                .contains("cannot move once")
        );
        let write = Write::Restart {
            target: Version::parse("orders:v1").expect("a Version"),
            request_id: String::new(),
            terminate: true,
        };
        let none = of_write(&write, &key(), "", AT);
        assert!(none.command.is_empty() && !none.caution.is_empty());
    }

    #[test]
    fn a_link_survives_any_name() {
        let key = WorkflowKey {
            workflow_id: "a/b ü?".to_owned(),
            run_id: "r".to_owned(),
        };
        assert_eq!(
            link("https://ui.example/", "pay.x", &key),
            "https://ui.example/namespaces/pay.x/workflows/a%2Fb%20%C3%BC%3F/r/history"
        );
    }

    #[test]
    fn no_page_is_guessed() {
        let mut preflight = Preflight {
            namespace: "shop".to_owned(),
            ..Preflight::default()
        };
        let ids = ["a", "b", "c", "d"].map(str::to_owned);
        assert!(links(&preflight, &ids).is_empty());
        preflight.ui = Some("https://ui.example".to_owned());
        let pages = links(&preflight, &ids);
        assert_eq!(pages.len(), LINKS);
        assert_eq!(pages[0], "https://ui.example/namespaces/shop/workflows/a");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// The shell hands back what was quoted, and the command stays one line.
        #[test]
        fn a_shell_reads_what_was_quoted(words in prop::collection::vec("[^\u{0}]{0,12}", 1..4)) {
            let quoted: Vec<String> = words.iter().map(|word| quote(word)).collect();
            let line = quoted.join(" ");
            prop_assert!(!line.contains('\n'));
            let shell = Command::new("bash")
                .env("LC_ALL", "C.UTF-8")
                .arg("-c")
                .arg(format!("printf '%s\\0' {line}"))
                .output()
                .expect("bash runs");
            let read = String::from_utf8(shell.stdout).expect("text");
            let read: Vec<&str> = read.split_terminator('\0').collect();
            prop_assert_eq!(read, words);
        }
    }
}

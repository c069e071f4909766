//! `docs/by-hand.md` is complete and names only what exists.

use std::collections::BTreeSet;
use std::path::Path;

use clap::{Command, CommandFactory};
use runbook::catalog;
use runbook::cli::Cli;
use schemars::generate::SchemaSettings;
use serde_json::Value;

const TABLE: &str = include_str!("../../docs/by-hand.md");

/// Every command of the procedures, each with the flags (and, after a flag, the values) that they use with it.
const PROCEDURES: &[(&str, &[&str])] = &[
    (
        "temporal workflow list",
        &["--query", "--limit", "--status", "--open", "--output"],
    ),
    ("temporal workflow count", &["--query"]),
    ("temporal workflow query", &[]),
    (
        "temporal workflow reset",
        &[
            "--workflow-id",
            "--run-id",
            "--event-id",
            "--type",
            "--reason",
            "--query",
        ],
    ),
    (
        "temporal workflow reset with-workflow-update-options",
        &[
            "--query",
            "--reason",
            "--type",
            "--reapply-exclude",
            "--versioning-override-behavior",
            "--versioning-override-deployment-name",
            "--versioning-override-build-id",
            "--output",
            "--yes",
        ],
    ),
    (
        "temporal workflow reset-batch",
        &[
            "--query",
            "--reason",
            "--type",
            "--dry-run",
            "--input_file",
            "--exclude_file",
            "--only_non_deterministic",
            "--reset_bad_binary_checksum",
            "--help",
            "FirstWorkflowTask",
            "LastWorkflowTask",
            "LastContinuedAsNew",
            "WorkflowExecutionSignaled",
            "BadBinary",
        ],
    ),
    (
        "temporal workflow signal",
        &["--query", "--name", "--input", "--reason", "--namespace"],
    ),
    (
        "temporal workflow update-options",
        &[
            "--query",
            "--versioning-override-behavior",
            "--versioning-override-deployment-name",
            "--versioning-override-build-id",
            "--output",
            "--yes",
        ],
    ),
    (
        "temporal worker deployment set-ramping-version",
        &["--deployment-name", "--build-id", "--percentage"],
    ),
    (
        "temporal worker deployment set-current-version",
        &["--deployment-name", "--build-id"],
    ),
    (
        "temporal worker deployment describe-version",
        &["--deployment-name", "--build-id", "--output"],
    ),
    (
        "temporal worker deployment delete-version",
        &["--deployment-name", "--build-id", "--skip-drainage"],
    ),
    ("temporal batch describe", &["--job-id", "--namespace"]),
    ("temporal batch list", &["--limit", "--namespace"]),
    ("temporal batch terminate", &["--job-id", "--reason"]),
    ("tctl batch start", &["--batch_type"]),
    ("temporal server start-dev", &["--db-filename", "--ui-port"]),
    ("handle.cancel()", &[]),
    ("handle.terminate()", &[]),
    ("reset_workflow(event_id=…)", &[]),
    ("reset_workflow(exclude_signals=True)", &[]),
    ("reset_workflow(exclude_updates=True)", &[]),
    ("WF_1001", &["valid_reset_events"]),
];

/// Options of every command, old spellings included, and their environment variables.
const GLOBAL: &[&str] = &[
    "--address",
    "--namespace",
    "-n",
    "--api-key",
    "--tls_ca_path",
    "--tls_cert_path",
    "--tls-cert-path",
    "--tls_key_path",
    "--tls-key-path",
    "--tls_server_name",
    "--tls_disable_host_verification",
    "--grpc-meta",
    "--codec-endpoint",
    "--codec-auth",
    "--codec-header",
    "--command-timeout",
    "--env",
    "--env-file",
    "--log-level",
    "--log-format",
    "--color",
    "--no-json-shorthand-payloads",
    "TEMPORAL_CLI_ADDRESS",
    "TEMPORAL_CLI_NAMESPACE",
    "TEMPORAL_CLI_TLS_CA",
    "TEMPORAL_CLI_TLS_CERT",
    "TEMPORAL_CLI_TLS_KEY",
    "TEMPORAL_CLI_TLS_DISABLE_HOST_VERIFICATION",
];

/// The words in backticks of each cell of each row.
fn rows() -> Vec<(Vec<&'static str>, Vec<&'static str>)> {
    TABLE
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"))
        .filter_map(|line| line.split_once(" | "))
        .map(|(left, right)| (spans(left), spans(right)))
        .filter(|(left, _)| !left.is_empty())
        .collect()
}

fn spans(cell: &'static str) -> Vec<&'static str> {
    cell.split('`').skip(1).step_by(2).collect()
}

#[test]
fn every_command_and_flag_of_the_procedures_is_in_the_table() {
    let rows = rows();
    let has = |words: &[&str]| {
        rows.iter()
            .any(|(left, _)| words.iter().all(|word| left.contains(word)))
    };
    let mut missing = Vec::new();
    for (command, flags) in PROCEDURES {
        if !has(&[command]) {
            missing.push((*command).to_owned());
        }
        missing.extend(
            flags
                .iter()
                .filter(|flag| !has(&[command, flag]))
                .map(|flag| format!("{command} {flag}")),
        );
    }
    missing.extend(
        GLOBAL
            .iter()
            .filter(|flag| !has(&[flag]))
            .map(|flag| (*flag).to_owned()),
    );
    assert!(missing.is_empty(), "not in docs/by-hand.md: {missing:#?}");
}

#[test]
fn what_the_table_names_exists() {
    let flags = flags(&Cli::command());
    let mut wrong = Vec::new();
    for (left, right) in rows() {
        let actions: Vec<_> = right
            .iter()
            .filter_map(|word| catalog::find(word))
            .collect();
        for word in &right {
            let known = if let Some(path) = word.strip_prefix("with.") {
                !actions.is_empty() && actions.iter().all(|action| takes(action, path))
            } else if let Some(verb) = word.strip_prefix("runbook ") {
                Cli::command().find_subcommand(verb).is_some()
            } else if let Some(flag) = word.strip_prefix("--") {
                flags.contains(flag)
            } else if word.ends_with(".yaml") {
                Path::new(env!("CARGO_MANIFEST_DIR"))
                    .join("runbooks")
                    .join(word)
                    .is_file()
            } else if ["workflows.", "deployment.", "batch."]
                .iter()
                .any(|noun| word.starts_with(noun))
            {
                catalog::find(word).is_some()
            } else {
                true
            };
            if !known {
                wrong.push(format!("{} -> {word}", left.join(" ")));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "docs/by-hand.md names what is not there: {wrong:#?}"
    );
}

fn flags(command: &Command) -> BTreeSet<String> {
    let own = command.get_arguments().flat_map(|argument| {
        let long = argument.get_long().map(str::to_owned);
        let aliases = argument.get_all_aliases().unwrap_or_default();
        long.into_iter()
            .chain(aliases.into_iter().map(str::to_owned))
            .collect::<Vec<_>>()
    });
    own.chain(command.get_subcommands().flat_map(flags))
        .collect()
}

/// Whether an action's arguments have that path of properties.
fn takes(action: &catalog::Action, path: &str) -> bool {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let schema = (action.arguments)(&mut generator).to_value();
    let definitions = Value::Object(generator.take_definitions(true));
    let path: Vec<&str> = path.split('.').collect();
    holds(&schema, &definitions, &path)
}

fn holds(schema: &Value, definitions: &Value, path: &[&str]) -> bool {
    let Some((first, rest)) = path.split_first() else {
        return true;
    };
    let here = schema
        .get("properties")
        .and_then(|properties| properties.get(first))
        .is_some_and(|property| holds(property, definitions, rest));
    let named = schema.get("$ref").and_then(Value::as_str).and_then(|name| {
        let name = name.rsplit('/').next()?;
        definitions.get(name)
    });
    let inside = ["anyOf", "oneOf", "allOf"]
        .into_iter()
        .filter_map(|key| schema.get(key)?.as_array())
        .flatten();
    here || named
        .into_iter()
        .chain(inside)
        .any(|other| holds(other, definitions, path))
}

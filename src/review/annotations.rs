//! A problem as a workflow command of GitHub Actions, which shows it beside the line of a pull request.
//!
//! Source: "Workflow commands for GitHub Actions" in GitHub's documentation; escaping as in the `@actions/core`
//! package. A command begins a line of output, so nothing else of a file may be printed beside it.

use super::escape::{command_message, command_property};
use crate::diagnostic::{Diagnostic, Kind};

/// `::error file=…,line=…,col=…,endColumn=…,title=…::message`, without a line end.
pub fn annotation(problem: &Diagnostic) -> String {
    let mut properties = Vec::new();
    if let Some(file) = problem.file.as_deref().filter(|file| *file != "-") {
        properties.push(format!("file={}", command_property(file)));
    }
    if let Some(at) = &problem.position {
        properties.push(format!(
            "line={},col={},endColumn={}",
            at.line,
            at.column,
            at.column + at.length
        ));
    }
    properties.push(format!("title={}", command_property(title(problem.kind))));
    format!(
        "::error {}::{}",
        properties.join(","),
        command_message(&message(problem))
    )
}

/// What is wrong, and below it what the other outputs say besides.
fn message(problem: &Diagnostic) -> String {
    let expected = problem
        .expected
        .iter()
        .map(|expected| format!("expected {expected}"));
    let notes = problem.notes.iter().cloned();
    let meant = problem
        .suggestion
        .iter()
        .map(|name| format!("did you mean `{name}`?"));
    let mut lines = vec![problem.message.clone()];
    lines.extend(expected.chain(notes).chain(meant));
    lines.join("\n")
}

fn title(kind: Kind) -> &'static str {
    match kind {
        Kind::File => "Runbook: file",
        Kind::Yaml => "Runbook: YAML",
        Kind::Schema => "Runbook: schema",
        Kind::Name => "Runbook: name",
        Kind::Expression => "Runbook: expression",
        Kind::Query => "Runbook: query",
        Kind::Decision => "Runbook: decision",
        Kind::Step => "Runbook: step",
        Kind::Parameter => "Runbook: parameter",
        Kind::Usage => "Runbook: usage",
        Kind::Guard => "Runbook: guard",
    }
}

//! A runbook as a page of Markdown, for those who do not read YAML: what it is for, what it asks for, what it
//! does in which order and what holds it back.
//!
//! The same runbook gives the same page, so that a committed page can be compared. All text of the file goes
//! through [`super::escape`]; a secret's default is not shown.

use std::fmt::Write as _;

use serde_json::Value;

use super::docs_steps;
use super::escape::{code, fence, inline};
use super::flow;
use super::words::{self, Words};
use crate::equivalent::{self, At};
use crate::runbook::{Decision, Event, Notify, Parameter, ParameterType, Runbook};

/// Where a command by hand goes: filled in by whoever runs it.
pub(super) const HERE: At<'static> = At {
    address: "ADDRESS",
    namespace: "NAMESPACE",
};

/// The page.
pub fn page(runbook: &Runbook) -> String {
    let mut page = Page(String::new());
    page.raw("<!-- Written by `runbook docs`. To change it, change the runbook. -->\n");
    page.heading(1, &inline(&runbook.title));
    for paragraph in paragraphs(runbook.description.as_deref().unwrap_or_default()) {
        page.paragraph(&inline(&paragraph));
    }
    page.paragraph(&format!("Runbook {}.", code(&runbook.name)));
    parameters(&mut page, runbook);
    safeguards(&mut page, runbook);
    page.heading(2, "Flow");
    page.raw(&fence("mermaid", &flow::chart(runbook)));
    docs_steps::section(&mut page, runbook);
    decisions(&mut page, runbook);
    strategies(&mut page, runbook);
    queries(&mut page, runbook);
    ending(&mut page, runbook);
    page.0
}

fn paragraphs(text: &str) -> Vec<String> {
    let blank = |line: &str| line.trim().is_empty();
    let lines: Vec<&str> = text.lines().collect();
    lines
        .split(|line| blank(line))
        .filter(|lines| !lines.is_empty())
        .map(|lines| lines.join(" "))
        .collect()
}

/// Markdown that grows by blocks, an empty line between them.
pub(super) struct Page(String);

impl Page {
    fn gap(&mut self) {
        if !self.0.is_empty() && !self.0.ends_with("\n\n") {
            self.0.push('\n');
        }
    }

    /// Markdown as it is; ends with a line end.
    pub(super) fn raw(&mut self, markdown: &str) {
        self.gap();
        self.0.push_str(markdown);
    }

    pub(super) fn heading(&mut self, level: usize, markdown: &str) {
        self.gap();
        let _ = writeln!(self.0, "{} {markdown}", "#".repeat(level));
    }

    pub(super) fn paragraph(&mut self, markdown: &str) {
        self.gap();
        let _ = writeln!(self.0, "{markdown}");
    }

    pub(super) fn list(&mut self, items: &[String]) {
        if !items.is_empty() {
            self.gap();
        }
        for item in items {
            let _ = writeln!(self.0, "- {item}");
        }
    }

    /// A table; nothing where it has no rows.
    pub(super) fn table(&mut self, heads: &[&str], rows: &[Vec<String>]) {
        if rows.is_empty() {
            return;
        }
        self.gap();
        let _ = writeln!(self.0, "| {} |", heads.join(" | "));
        let _ = writeln!(self.0, "|{}", " --- |".repeat(heads.len()));
        for row in rows {
            let _ = writeln!(self.0, "| {} |", row.join(" | "));
        }
    }

    /// Commands to be pasted, with what they do not do.
    pub(super) fn by_hand(&mut self, commands: &[crate::record::Equivalent]) {
        let lines: Vec<&str> = commands
            .iter()
            .map(|one| one.command.as_str())
            .filter(|command| !command.is_empty())
            .collect();
        if !lines.is_empty() {
            self.paragraph("By hand, with the values filled in:");
            self.raw(&fence("sh", &lines.join("\n")));
        }
        let mut cautions: Vec<String> = commands.iter().map(|one| inline(&one.caution)).collect();
        cautions.retain(|caution| !caution.is_empty());
        cautions.dedup();
        self.list(&cautions);
    }
}

fn parameters(page: &mut Page, runbook: &Runbook) {
    if runbook.params.is_empty() {
        return;
    }
    page.heading(2, "Parameters");
    let rows: Vec<Vec<String>> = runbook
        .params
        .iter()
        .map(|(name, parameter)| {
            let mut what = inline(&parameter.description);
            for rule in rules(parameter) {
                if !what.is_empty() {
                    what.push_str("<br>");
                }
                what.push_str(&rule.markdown());
            }
            vec![code(name), type_words(parameter), given(parameter), what]
        })
        .collect();
    page.table(&["parameter", "type", "without it", "what it is"], &rows);
}

pub(super) fn type_name(kind: ParameterType) -> &'static str {
    match kind {
        ParameterType::String => "string",
        ParameterType::Integer => "integer",
        ParameterType::Number => "number",
        ParameterType::Boolean => "boolean",
        ParameterType::Duration => "duration",
        ParameterType::List => "list",
        ParameterType::Map => "map",
        ParameterType::Version => "version",
    }
}

fn type_words(parameter: &Parameter) -> String {
    match parameter.kind {
        ParameterType::List | ParameterType::Map => {
            format!(
                "{} of {}",
                type_name(parameter.kind),
                type_name(parameter.items)
            )
        }
        kind => type_name(kind).to_owned(),
    }
}

fn given(parameter: &Parameter) -> String {
    match &parameter.default {
        _ if parameter.secret => "secret: from the environment or a file".to_owned(),
        None => "**must be given**".to_owned(),
        Some(default) => code(&default.to_string()),
    }
}

pub(super) fn rules(parameter: &Parameter) -> Vec<Words> {
    let mut rules = Vec::new();
    if !parameter.choices.is_empty() {
        let names: Vec<String> = parameter.choices.iter().map(words::value).collect();
        rules.push(
            Words::new("One of ")
                .names(names.iter().map(String::as_str), " or ")
                .say("."),
        );
    }
    if let Some(pattern) = &parameter.pattern {
        rules.push(Words::new("Matches ").code(pattern).say("."));
    }
    let range = match (parameter.minimum, parameter.maximum) {
        (None, None) => None,
        (Some(least), None) => Some(format!("At least {least}.")),
        (None, Some(most)) => Some(format!("At most {most}.")),
        (Some(least), Some(most)) => Some(format!("From {least} to {most}.")),
    };
    rules.extend(range.map(|range| Words::new(&range)));
    rules
}

fn safeguards(page: &mut Page, runbook: &Runbook) {
    let guards = &runbook.guards;
    let mut items = Vec::new();
    for (noun, names) in [
        ("namespaces", &guards.namespaces),
        ("addresses", &guards.addresses),
    ] {
        if let Some(names) = names {
            let patterns = names.patterns.iter().map(String::as_str);
            let words = Words::new(&format!("Runs only in the {noun} "))
                .names(patterns, " and ")
                .say(".");
            items.push(words.markdown());
        }
    }
    if let Some(ceiling) = &guards.max_workflows {
        items.push(format!(
            "No step writes to more than {} Workflows.",
            ceiling.most
        ));
    }
    if !guards.forbid.is_empty() {
        let names = guards.forbid.iter().map(String::as_str);
        items.push(
            Words::new("Never does ")
                .names(names, " or ")
                .say(".")
                .markdown(),
        );
    }
    for check in &runbook.checks {
        items.push(format!(
            "Refuses to begin unless {}: {}",
            code(&check.that),
            inline(&check.otherwise)
        ));
    }
    let tolerance = &runbook.tolerance;
    if let Some(bound) = tolerance.workflows {
        items.push(format!(
            "A saved plan is refused where the count of a row has moved by more than {}.",
            words::bound(bound)
        ));
    }
    for (step, of) in &tolerance.steps {
        let rows = of
            .rows
            .iter()
            .map(|(row, bound)| (format!("{step}, row {row}"), *bound));
        let whole = of.workflows.map(|bound| (step.clone(), bound));
        for (place, bound) in whole.into_iter().chain(rows) {
            items.push(format!(
                "In a saved plan the counts of {} may move by {}.",
                code(&place),
                words::bound(bound)
            ));
        }
    }
    if let Some(lock) = &runbook.lock {
        items.push(format!(
            "One run at a time in a namespace holds the lock {}: until it succeeds, also while it is parked or halted.",
            code(lock)
        ));
    }
    if !items.is_empty() {
        page.heading(2, "What holds it back");
        page.list(&items);
    }
}

fn decisions(page: &mut Page, runbook: &Runbook) {
    if runbook.decisions.is_empty() {
        return;
    }
    page.heading(2, "Decisions");
    for (name, decision) in &runbook.decisions {
        page.heading(3, &format!("Decision {}", code(name)));
        page.paragraph("About the Workflows that this finds:");
        page.raw(&fence("sql", &decision.scope));
        let mut items = vec![
            format!("Rows in order: {}.", words::hit_policy(decision.hit_policy)),
            format!("No row: {}.", words::unmatched(decision.unmatched)),
        ];
        if let Some(classify) = &decision.classify {
            items.insert(
                0,
                format!("Classes: {}.", words::classes(classify).markdown()),
            );
        }
        page.list(&items);
        page.table(
            &["row", "takes", "strategy", "what it does"],
            &rows(runbook, decision),
        );
    }
}

fn rows(runbook: &Runbook, decision: &Decision) -> Vec<Vec<String>> {
    let row = |(index, row): (usize, &crate::runbook::Row)| {
        let strategy = runbook.strategies.get(&row.apply);
        let does = strategy.map(words::strategy).unwrap_or_default();
        vec![
            code(&row.id),
            words::condition(row, index == 0).markdown(),
            code(&row.apply),
            does.markdown(),
        ]
    };
    decision.rows.iter().enumerate().map(row).collect()
}

fn strategies(page: &mut Page, runbook: &Runbook) {
    if runbook.strategies.is_empty() {
        return;
    }
    page.heading(2, "Strategies");
    for (name, strategy) in &runbook.strategies {
        page.heading(3, &format!("Strategy {}", code(name)));
        let mut items = vec![format!(
            "Does: {} ({}).",
            words::strategy(strategy).markdown(),
            code(&strategy.action)
        )];
        for (refusal, instead) in &strategy.fallback {
            items.push(format!(
                "Where it is refused as {}: {} instead.",
                code(refusal),
                code(instead)
            ));
        }
        items.extend(docs_steps::arguments(
            &strategy.with,
            &["version", "to", "reapply"],
        ));
        page.list(&items);
        if let Some(call) = words::call(&strategy.action, &strategy.with) {
            page.by_hand(&[equivalent::of_query(
                &call,
                "THE ROW'S LIST FILTER",
                None,
                HERE,
            )]);
        }
    }
}

fn queries(page: &mut Page, runbook: &Runbook) {
    let row = |(name, text): (&String, &str)| vec![code(name), code(text)];
    let queries: Vec<Vec<String>> = runbook
        .queries
        .iter()
        .map(|(name, query)| row((name, query)))
        .collect();
    if !queries.is_empty() {
        page.heading(2, "Queries");
        page.table(&["query", "List Filter"], &queries);
    }
    let values: Vec<Vec<String>> = runbook
        .vars
        .iter()
        .map(|(name, value)| row((name, &words::value(value))))
        .collect();
    if !values.is_empty() {
        page.heading(2, "Variables");
        page.table(&["variable", "value"], &values);
    }
}

/// How a run ends, and what is left then.
fn ending(page: &mut Page, runbook: &Runbook) {
    page.heading(2, "How it ends");
    let ends = [
        (
            "0",
            "Every step succeeded, or was skipped by its condition.",
        ),
        ("1", "A step failed or halted; `runbook resume` goes on."),
        ("3", "It waits for an answer; `runbook resume` goes on."),
        (
            "4",
            "A check, a guard or a lock does not allow it, or the plan is stale.",
        ),
    ];
    let mut rows: Vec<Vec<String>> = ends
        .iter()
        .map(|(exit, when)| vec![(*exit).to_owned(), (*when).to_owned()])
        .collect();
    if runbook
        .all_steps()
        .iter()
        .any(|step| step.on_failure == crate::runbook::OnFailure::Continue)
    {
        rows[1][1].push_str(" Steps that may fail do not hold up the others.");
    }
    page.table(&["exit", "when"], &rows);
    let mut left = Vec::new();
    for (name, decision) in &runbook.decisions {
        left.push(format!(
            "Decision {}: {}.",
            code(name),
            words::unmatched(decision.unmatched)
        ));
    }
    if let Some(notify) = &runbook.notify {
        left.push(told(notify));
    }
    if runbook.lock.is_some() {
        left.push("The lock is kept until a run succeeds; `runbook unlock` breaks it.".to_owned());
    }
    left.push("`runbook show RUN --workflows` lists each Workflow that was touched, skipped or refused, with the reason.".to_owned());
    page.paragraph("What is left then:");
    page.list(&left);
}

fn told(notify: &Notify) -> String {
    let when: Vec<&str> = notify.on.iter().map(|event| stops(*event)).collect();
    format!(
        "A program is told when a run {}: {}. It is run unasked, for at most {}.",
        when.join(", "),
        code(&words::told(notify)),
        notify.timeout
    )
}

fn stops(event: Event) -> &'static str {
    match event {
        Event::Parked => "is parked",
        Event::Failed => "has failed",
        Event::Finished => "has finished",
    }
}

/// What an argument holds, for a list.
pub(super) fn argument(name: &str, value: &Value) -> String {
    format!("{}: {}", code(name), code(&words::value(value)))
}

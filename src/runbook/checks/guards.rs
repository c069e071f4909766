//! `guards:`: rules that mean something, and the static part of them: what the file forbids itself and does
//! all the same.

use super::Checker;
use crate::catalog;
use crate::diagnostic::Kind;
use crate::document::Node;

impl Checker<'_> {
    pub(super) fn guards(&mut self) {
        let Some(guards) = self.names.document.root.get("guards") else {
            return;
        };
        for rule in ["namespaces", "addresses"] {
            let names = guards.get(rule).map(Node::items).unwrap_or_default();
            names.iter().for_each(|name| self.literal(name));
        }
        for rule in guards.get("forbid").map(Node::items).unwrap_or_default() {
            self.literal(rule);
            self.forbid(rule);
        }
    }

    /// A rule that a parameter could move would guard nothing.
    fn literal(&mut self, rule: &Node) {
        if rule.text().is_some_and(|text| text.contains("${{")) {
            let message = "a guard is written out: what a parameter can change guards nothing";
            let diagnostic = self.names.document.at(rule, Kind::Guard, message);
            self.problems
                .push(diagnostic.expected("text without `${{ }}`"));
        }
    }

    fn forbid(&mut self, rule: &Node) {
        let document = self.names.document;
        let Some(text) = rule.text().filter(|text| !text.contains("${{")) else {
            return;
        };
        if !catalog::ACTIONS
            .iter()
            .any(|action| is_meant(text, action.name))
        {
            let known = || catalog::ACTIONS.iter().map(|action| action.name);
            let diagnostic = document.at(rule, Kind::Guard, format!("no action is `{text}`"));
            self.problems.push(
                diagnostic
                    .expected("an action, or `NOUN.*` for all of a noun")
                    .near(text, known()),
            );
            return;
        }
        let line = document.source.line_column(rule.range.start).0;
        let strategies = self.names.strategies.values().map(|(_, node)| *node);
        let steps = self.names.steps.iter().map(|step| step.node);
        let used = strategies.chain(steps).filter_map(|node| {
            let action = node.get("action")?;
            action.text().filter(|name| is_meant(text, name))?;
            Some(action)
        });
        let problems: Vec<_> = used
            .map(|action| {
                let name = action.text().unwrap_or_default();
                let message = format!("`guards.forbid` forbids `{name}`");
                document
                    .at(action, Kind::Guard, message)
                    .note(format!("the rule is `{text}`, on line {line}"))
            })
            .collect();
        self.problems.extend(problems);
    }
}

/// Whether a rule is about an action: by its name, or by all of its noun (`batch.*`).
fn is_meant(rule: &str, action: &str) -> bool {
    match rule.strip_suffix(".*") {
        Some(noun) => action.split_once('.').is_some_and(|(of, _)| of == noun),
        None => rule == action,
    }
}

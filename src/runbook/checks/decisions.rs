//! Strategies and the expressions of decision tables; the tables themselves are in `tables`.

use std::collections::{BTreeMap, BTreeSet};

use super::{At, Checker};
use crate::catalog::{self, Action, Subject};
use crate::diagnostic::Kind;
use crate::document::Node;
use crate::schema::list;

impl<'a> Checker<'a> {
    pub(super) fn strategies(&mut self) {
        for (_, node) in self.names.strategies.values() {
            let mut unused = Vec::new();
            if let Some((action_node, action)) = node
                .get("action")
                .and_then(|action| Some((action, catalog::find(action.text()?)?)))
            {
                if action.subject != Subject::Workflow {
                    let message = format!(
                        "`{}` takes no single Workflow: it cannot be a strategy",
                        action.name
                    );
                    self.problems.push(self.names.document.at(
                        action_node,
                        Kind::Decision,
                        message,
                    ));
                }
                self.fallback(node, action);
                if let Some(with) = node.get("with") {
                    self.arguments_fit(with, action);
                }
            }
            if let Some(with) = node.get("with") {
                self.strategy_via(with);
                self.value(with, At::BeforeRun, &mut unused);
            }
        }
        self.fallback_cycles();
    }

    pub(super) fn fallback(&mut self, strategy: &Node, action: &Action) {
        let document = self.names.document;
        for (refusal, target) in strategy.get("fallback").into_iter().flat_map(Node::entries) {
            if !action.refusals.contains(&refusal.name.as_str()) {
                let known = action.refusals.iter().copied();
                let message = format!("`{}` has no refusal `{}`", action.name, refusal.name);
                let diagnostic = document.at_key(refusal, Kind::Decision, message);
                self.problems.push(
                    diagnostic
                        .expected(list(known.clone()))
                        .near(&refusal.name, known),
                );
            }
            self.strategy_name(target);
        }
    }

    /// A text that names a strategy.
    pub(super) fn strategy_name(&mut self, node: &Node) {
        let Some(name) = node.text() else { return };
        if !self.names.strategies.contains_key(name) {
            let known = || self.names.strategies.keys().copied();
            let diagnostic =
                self.names
                    .document
                    .at(node, Kind::Name, format!("unknown strategy `{name}`"));
            self.problems
                .push(diagnostic.expected(list(known())).near(name, known()));
        }
    }

    /// A strategy whose fallbacks come back to it would be tried for ever.
    pub(super) fn fallback_cycles(&mut self) {
        let next: BTreeMap<&str, Vec<&str>> = self
            .names
            .strategies
            .iter()
            .map(|(name, (_, node))| {
                (
                    *name,
                    node.get("fallback")
                        .into_iter()
                        .flat_map(Node::entries)
                        .filter_map(|(_, target)| target.text())
                        .collect(),
                )
            })
            .collect();
        let mut rest: BTreeSet<&str> = next.keys().copied().collect();
        // What leads nowhere that is left goes, until only cycles and what leads to them are left.
        while let Some(done) = rest
            .iter()
            .copied()
            .find(|name| next[name].iter().all(|target| !rest.contains(target)))
        {
            rest.remove(done);
        }
        while let Some(start) = self
            .names
            .strategies
            .keys()
            .copied()
            .find(|name| rest.contains(name))
        {
            let mut path = vec![start];
            let at = loop {
                let here = path[path.len() - 1];
                let Some(target) = next[here]
                    .iter()
                    .copied()
                    .find(|target| rest.contains(target))
                else {
                    break None;
                };
                if let Some(at) = path.iter().position(|name| *name == target) {
                    break Some(at);
                }
                path.push(target);
            };
            if let Some(at) = at {
                let ring: Vec<_> = path[at..].iter().chain(&path[at..=at]).copied().collect();
                let (key, node) = self.names.strategies[path[at]];
                let key = node.entry("fallback").map_or(key, |(fallback, _)| fallback);
                let diagnostic = self.names.document.at_key(
                    key,
                    Kind::Decision,
                    "the fallbacks come back to this strategy",
                );
                self.problems.push(diagnostic.note(ring.join(" → ")));
            }
            path.iter().for_each(|name| _ = rest.remove(name));
        }
    }

    pub(super) fn decisions(&mut self) {
        for (_, node) in self.names.decisions.values() {
            let mut reads = Vec::new();
            if let Some(scope) = node.get("scope") {
                self.query(scope, At::BeforeRun, &mut reads);
            }
            if let Some(classify) = node.get("classify") {
                self.value(classify, At::BeforeRun, &mut reads);
            }
            for row in node.get("rows").map(Node::items).unwrap_or_default() {
                if let Some(filter) = row.get("where") {
                    self.query(filter, At::BeforeRun, &mut reads);
                }
                if let Some(apply) = row.get("apply") {
                    self.strategy_name(apply);
                }
            }
        }
    }
}

//! Checks and steps: ids, conditions, loops, fields that only some actions have, and references.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::names::{StepName, decisions_of};
use super::secrets::Holder;
use super::{At, Checker};
use crate::catalog::{Action, Effect, Subject};
use crate::diagnostic::Kind;
use crate::document::Node;
use crate::schema::list;

impl<'a> Checker<'a> {
    pub(super) fn conditions(&mut self) {
        for check in self
            .names
            .document
            .root
            .get("checks")
            .map(Node::items)
            .unwrap_or_default()
        {
            if let Some(that) = check.get("that") {
                let reads = self.condition(that, "that", At::BeforeRun);
                if reads.as_ref().is_some_and(Vec::is_empty) {
                    let message = "a check that reads nothing is always the same";
                    self.problems.push(
                        self.names
                            .document
                            .at(that, Kind::Expression, message)
                            .expected("a condition on `params`"),
                    );
                }
            }
        }
    }

    pub(super) fn steps(&mut self) {
        let mut first: BTreeMap<&str, Range<usize>> = BTreeMap::new();
        for index in 0..self.names.steps.len() {
            let step = &self.names.steps[index];
            if let Some(id) = step.node.get("id").filter(|_| !step.id.is_empty()) {
                match first.get(step.id) {
                    Some(range) => {
                        let line = self.names.document.source.line_column(range.start).0;
                        let message = format!("duplicate step id `{}`", step.id);
                        self.problems.push(
                            self.names
                                .document
                                .at(id, Kind::Step, message)
                                .note(format!("it is first given on line {line}")),
                        );
                    }
                    None => drop(first.insert(step.id, id.range.clone())),
                }
            }
            self.step(index);
        }
    }

    pub(super) fn step(&mut self, index: usize) {
        let node = self.names.steps[index].node;
        let mut reads = Vec::new();
        if let Some(when) = node.get("when") {
            self.condition(when, "when", At::Step(index));
        }
        if let Some(word) = node.get("confirm").and_then(|confirm| confirm.get("type")) {
            self.value(word, At::Step(index), &mut reads);
        }
        if let Some(confirm) = node.get("confirm") {
            self.agreement(confirm);
        }
        if let Some(repeat) = node.get("repeat") {
            self.repeat(index, repeat);
        }
        if let Some(action) = self.names.steps[index].action {
            self.action(index, action);
        } else if let Some(with) = node.get("with") {
            self.value(with, At::Step(index), &mut reads);
        }
    }

    /// One person is what every question wants: to ask for that alone says that something else was meant.
    fn agreement(&mut self, confirm: &Node) {
        let others = ["type", "not"].iter().any(|key| confirm.get(key).is_some());
        if let Some(by) = confirm.get("by").filter(|_| !others)
            && by.to_json().as_u64() == Some(1)
        {
            let message = "`by: 1` asks for nothing: one person must agree to every write";
            let problem = self.names.document.at(by, Kind::Step, message);
            let expected = "`by: 2` or more, or `not: starter` beside it";
            self.problems.push(problem.expected(expected));
        }
    }

    pub(super) fn repeat(&mut self, index: usize, repeat: &Node) {
        let Some(until) = repeat.get("until") else {
            return;
        };
        let Some(reads) = self.condition(until, "until", At::Until(index)) else {
            return;
        };
        let mut steps = BTreeSet::new();
        for path in &reads {
            if let [root, step, ..] = path.as_slice()
                && root == "steps"
            {
                steps.insert(step.clone());
            }
            if let Some(item) = self.item(path) {
                steps.extend(self.reached(item));
            }
        }
        let end = self.names.steps[index].end;
        let inside = |id: &String| {
            self.names
                .step(id)
                .is_some_and(|step| step > index && step < end)
        };
        if !steps.iter().any(inside) {
            let message = "`until` reads nothing that the loop produces: it would never change";
            let inside: Vec<_> = self.names.steps[index + 1..end]
                .iter()
                .map(|step| step.id)
                .collect();
            self.problems.push(
                self.names
                    .document
                    .at(until, Kind::Step, message)
                    .expected(format!("an output of {}", list(inside.into_iter()))),
            );
        }
    }

    /// The arguments of a step's action, and the fields that only some actions have.
    pub(super) fn action(&mut self, index: usize, action: &'static Action) {
        let step = &self.names.steps[index];
        let node = step.node;
        let on_workflows = matches!(action.subject, Subject::Workflow | Subject::Decision);
        for (field, fits, with) in [
            (
                "canary",
                on_workflows && action.effect.writes(),
                "actions that write to Workflows",
            ),
            ("pace", on_workflows, "actions on Workflows"),
            (
                "limits",
                on_workflows || action.subject == Subject::Ledger,
                "actions on Workflows",
            ),
            (
                "confirm",
                action.effect != Effect::Read,
                "actions that write",
            ),
        ] {
            if let Some((key, _)) = node.entry(field).filter(|_| !fits) {
                let message = format!("`{field}` has no meaning for `{}`", action.name);
                self.problems.push(
                    self.names
                        .document
                        .at_key(key, Kind::Step, message)
                        .expected(format!("`{field}` only with {with}")),
                );
            }
        }
        let mut reads = Vec::new();
        for (key, argument) in node.get("with").into_iter().flat_map(Node::entries) {
            self.holder = Holder::of(action, &key.name);
            match key.name.as_str() {
                "query" => self.query(argument, At::Step(index), &mut reads),
                "select" => self.select(index, argument),
                "for_workflows" => {
                    for (key, inner) in argument.entries() {
                        if key.name == "query" {
                            self.query(inner, At::Step(index), &mut reads);
                        } else {
                            self.value(inner, At::Step(index), &mut reads);
                        }
                    }
                }
                "that" => drop(self.condition(argument, "that", At::Step(index))),
                _ => self.value(argument, At::Step(index), &mut reads),
            }
            self.holder = Holder::Shown;
        }
        if matches!(action.name, "workflows.count" | "workflows.list")
            && let Some(with) = node.get("with")
        {
            self.query_or_select(with);
        }
        if let Some(with) = node.get("with") {
            self.arguments_fit(with, action);
        }
        self.general(index);
        self.step_via(index);
        self.references(index);
    }

    /// Names of decisions and steps among the arguments.
    pub(super) fn references(&mut self, index: usize) {
        let names = self.names;
        for name in decisions_of(&names.steps[index]) {
            let Some(text) = name
                .text()
                .filter(|text| !names.decisions.contains_key(text))
            else {
                continue;
            };
            let known = || names.decisions.keys().copied();
            let diagnostic =
                names
                    .document
                    .at(name, Kind::Name, format!("unknown decision `{text}`"));
            self.problems
                .push(diagnostic.expected(list(known())).near(text, known()));
        }
        for argument in ["ledger", "also_lost_by"] {
            let Some(list) = names.steps[index].argument(argument) else {
                continue;
            };
            list.items()
                .iter()
                .for_each(|item| self.ledger_step(index, item));
        }
    }

    /// A step whose Workflows another one takes: it must come earlier and write to Workflows.
    pub(super) fn ledger_step(&mut self, index: usize, node: &Node) {
        let names = self.names;
        let Some(id) = node.text().filter(|id| !id.contains("${{")) else {
            return;
        };
        let writes = |step: &StepName<'_>| {
            step.action.is_some_and(|action| {
                matches!(action.subject, Subject::Workflow | Subject::Decision)
                    && action.effect.writes()
            })
        };
        let known: Vec<_> = (0..index)
            .map(|earlier| &names.steps[earlier])
            .filter(|step| writes(step))
            .map(|step| step.id)
            .collect();
        let earlier = if known.is_empty() {
            "; there is none".to_owned()
        } else {
            format!(": {}", list(known.iter().copied()))
        };
        let fail = |message: String| {
            names
                .document
                .at(node, Kind::Name, message)
                .expected(format!("an earlier step that writes to Workflows{earlier}"))
        };
        let problem = match names.step(id) {
            None => fail(format!("unknown step `{id}`")).near(id, known.iter().copied()),
            Some(other) if self.unseen(other, At::Step(index)).is_some() => {
                fail(format!("step `{id}` runs later"))
            }
            Some(other) if !writes(&names.steps[other]) => {
                fail(format!("step `{id}` writes to no Workflow"))
            }
            Some(_) => return,
        };
        self.problems.push(problem);
    }
}

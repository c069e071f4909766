//! What only `command.run`, `manual.task` and `wait` have: arguments that exclude each other, JSON
//! Schemas, forms, and the outputs that follow from them.

use std::ops::Range;

use serde_json::Value;

use super::super::model::ParameterType;
use super::super::outputs::{self, Below};
use super::Checker;
use super::names::{StepName, parameter};
use crate::diagnostic::{Diagnostic, Kind};
use crate::document::{Content, Node};
use crate::schema::list;
use crate::template::{Read, Type};

impl<'a> Checker<'a> {
    /// What is particular to a step's action.
    pub(super) fn general(&mut self, index: usize) {
        let names = self.names;
        let step = &names.steps[index];
        let Some(with) = step.node.get("with") else {
            return;
        };
        match step.action.map(|action| action.name) {
            Some("command.run") => self.program(step, with),
            Some("manual.task") => {
                for (_, field) in with.get("form").into_iter().flat_map(Node::entries) {
                    self.declared(field, true);
                }
            }
            Some("wait") => self.wait(step, with),
            _ => {}
        }
    }

    fn step_problem(&mut self, node: &Node, message: &str, expected: &str) {
        let diagnostic = self.names.document.at(node, Kind::Step, message);
        self.problems.push(if expected.is_empty() {
            diagnostic
        } else {
            diagnostic.expected(expected)
        });
    }

    fn program(&mut self, step: &StepName<'a>, with: &Node) {
        for name in ["effect", "output", "success", "max_output", "schema"] {
            if let Some(node) = with.get(name).filter(|node| holds_expression(node)) {
                let message = format!("`{name}` decides what can be checked offline");
                self.step_problem(node, &message, "it written out, without `${{ }}`");
            }
        }
        let first = step.argument("argv").and_then(|argv| argv.items().first());
        if let Some(first) = first.filter(|first| first.text() == Some("")) {
            self.step_problem(first, "the program's name is empty", "a program");
        }
        let directory = with.get("directory");
        let relative = |text: &str| !text.starts_with('/') && !text.starts_with("${{");
        if let Some(node) = directory.filter(|node| node.text().is_some_and(relative)) {
            let message = "a relative directory depends on where somebody resumes";
            self.step_problem(node, message, "an absolute path");
        }
        for item in with.get("inherit").map(Node::items).unwrap_or_default() {
            if item
                .text()
                .is_some_and(|name| name.starts_with("RUNBOOK_PARAM_"))
            {
                let message = "a secret parameter is not passed on by its variable";
                self.step_problem(item, message, "`env: { NAME: ${{ params.… }} }`");
            }
        }
        if let Some(schema) = with.get("schema") {
            if with.text_of("output") != Some("json") {
                self.step_problem(
                    schema,
                    "`schema` describes JSON",
                    "`output: json` beside it",
                );
            } else if let Some(why) = outputs::broken(&schema.to_json()) {
                let message = format!("this is no JSON Schema: {why}");
                self.step_problem(schema, &message, "");
            }
        }
        let excluded = match with.text_of("effect") {
            Some("read") => ("confirm", "a program that writes: this one reads"),
            Some("non_idempotent") => ("retry", "a program that reads or is idempotent"),
            _ => return,
        };
        if let Some((key, _)) = step.node.entry(excluded.0) {
            let message = format!("`{}` has no meaning here", excluded.0);
            let diagnostic = self.names.document.at_key(key, Kind::Step, message);
            self.problems.push(diagnostic.expected(excluded.1));
        }
    }

    fn wait(&mut self, step: &StepName<'a>, with: &Node) {
        let kinds = ["for", "until", "for_workflows"];
        let given: Vec<_> = kinds.iter().filter_map(|kind| with.entry(kind)).collect();
        match given.as_slice() {
            [] => self.step_problem(with, "a wait for nothing", &list(kinds.into_iter())),
            [_] => {}
            [_, (key, _), ..] => {
                let message = format!("`{}` does not go with the other one", key.name);
                let diagnostic = self.names.document.at_key(key, Kind::Step, message);
                let expected = format!("only one of {}", list(kinds.into_iter()));
                self.problems.push(diagnostic.expected(expected));
            }
        }
        let Some((key, wait)) = with.entry("for_workflows") else {
            return;
        };
        if step.node.get("timeout").is_none() {
            let message = "this could wait for ever";
            let diagnostic = self.names.document.at_key(key, Kind::Step, message);
            self.problems
                .push(diagnostic.expected("`timeout:` beside the step's `action:`"));
        }
        let Some(count) = wait.get("count") else {
            return;
        };
        let bound = |name: &str| count.get(name).and_then(|node| node.to_json().as_u64());
        if count.get("at_most").is_none() && count.get("at_least").is_none() {
            self.step_problem(count, "any number would do", "`at_most` or `at_least`");
        } else if let (Some(least), Some(most)) = (bound("at_least"), bound("at_most"))
            && least > most
        {
            let message = "no number is at least the one and at most the other";
            self.step_problem(count, message, "`at_least` that is not above `at_most`");
        }
    }

    /// What a step's output field holds, where the runbook says so.
    pub(super) fn output_schema(&self, step: &StepName<'a>, field: &str) -> Option<Value> {
        match (step.action?.name, field) {
            ("command.run", "json") => Some(step.argument("schema")?.to_json()),
            ("manual.task", "form") => {
                let entries = step.argument("form").into_iter().flat_map(Node::entries);
                let fields = entries.filter_map(|(key, node)| {
                    let optional = node
                        .get("required")
                        .is_some_and(|node| matches!(node.content, Content::Boolean(false)));
                    let declared = parameter(node)?;
                    let certain = !optional || declared.default.is_some();
                    Some((key.name.as_str(), declared.kind, certain))
                });
                let fields: Vec<(&str, ParameterType, bool)> = fields.collect();
                Some(outputs::form_schema(fields.into_iter()))
            }
            _ => None,
        }
    }

    /// Why a step's output has no such field though its action has, if so.
    pub(super) fn other_output(&self, step: &StepName<'a>, field: &str) -> Option<&'static str> {
        if step.action?.name != "command.run" {
            return None;
        }
        let given = step
            .argument("output")
            .and_then(Node::text)
            .unwrap_or("text");
        match (field, given) {
            ("stdout", "json" | "lines") => Some("`output: text`"),
            ("json", "text" | "lines") => Some("`output: json`"),
            ("lines", "text" | "json") => Some("`output: lines`"),
            _ => None,
        }
    }

    /// Follows the names below a field; what is wrong with the first wrong one.
    pub(super) fn descend(
        &self,
        schema: &Value,
        read: &Read,
        fail: &dyn Fn(&Range<usize>, String) -> Diagnostic,
    ) -> Option<Diagnostic> {
        let mut here = schema;
        let mut above = &read.path.get(2)?.0;
        for (name, range) in read.path.get(3..)? {
            match outputs::below(here, name) {
                Below::Known(next) => here = next,
                Below::Open => return None,
                Below::Scalar => return Some(fail(range, format!("`{above}` has no fields"))),
                Below::Missing(known) => {
                    let message = format!("`{above}` has no field `{name}`");
                    return Some(
                        fail(range, message)
                            .expected(list(known.iter().copied()))
                            .near(name, known),
                    );
                }
            }
            above = name;
        }
        None
    }

    /// The type of what a read finds in a field that a schema describes.
    pub(super) fn type_below(&self, schema: &Value, read: &Read) -> Type {
        let mut here = schema;
        for (name, _) in read.path.get(3..).unwrap_or_default() {
            match outputs::below(here, name) {
                Below::Known(next) => here = next,
                _ => return Type::Unknown,
            }
        }
        outputs::type_of(here)
    }
}

fn holds_expression(node: &Node) -> bool {
    node.text().is_some_and(|text| text.contains("${{"))
        || node.items().iter().any(holds_expression)
        || node.entries().any(|(_, value)| holds_expression(value))
}

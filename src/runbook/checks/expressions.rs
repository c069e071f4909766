//! Expressions: that they parse, and that every name in them exists where it is read.

use std::ops::Range;

use super::super::model::ParameterType;
use super::names::{StepName, decisions_of};
use super::{At, Checker, Item, RUN_FIELDS};
use crate::catalog::Kind as FieldKind;
use crate::diagnostic::{Diagnostic, Kind};
use crate::document::Node;
use crate::schema::list;
use crate::template::{self, Expression, Piece, Read};

impl<'a> Checker<'a> {
    /// Checks every text below a node; adds what its expressions read.
    pub(super) fn value(&mut self, node: &Node, at: At, reads: &mut Vec<Vec<String>>) {
        if node.text().is_some() {
            self.template(node, at, reads);
        }
        node.items()
            .iter()
            .for_each(|item| self.value(item, at, reads));
        node.entries()
            .for_each(|(_, item)| self.value(item, at, reads));
    }

    pub(super) fn template(&mut self, node: &Node, at: At, reads: &mut Vec<Vec<String>>) {
        let text = node.text().unwrap_or_default();
        match template::split(text) {
            Err(problem) => self.problem(node, &problem.range, Kind::Expression, problem.message),
            Ok(pieces) => {
                for piece in pieces {
                    if let Piece::Hole { inner, .. } = piece {
                        self.expression(node, inner, at, reads);
                    }
                }
            }
        }
    }

    pub(super) fn problem(
        &mut self,
        node: &Node,
        range: &Range<usize>,
        kind: Kind,
        message: String,
    ) {
        self.problems.push(
            self.names
                .document
                .within(node, range.clone(), kind, message),
        );
    }

    /// Parses an expression inside a node's text and resolves its names.
    pub(super) fn expression(
        &mut self,
        node: &Node,
        inner: Range<usize>,
        at: At,
        reads: &mut Vec<Vec<String>>,
    ) -> Option<Expression> {
        if self.is_full() {
            return None;
        }
        let text = node.text().unwrap_or_default().get(inner.clone())?;
        let expression = match template::parse(text, inner.start) {
            Ok(expression) => expression,
            Err(problem) => {
                let range = if problem.range.is_empty() {
                    inner
                } else {
                    problem.range
                };
                self.problem(node, &range, Kind::Expression, problem.message);
                return None;
            }
        };
        for (problem, name, known) in &expression.unknown {
            let diagnostic = self.names.document.within(
                node,
                problem.range.clone(),
                Kind::Expression,
                problem.message.clone(),
            );
            let diagnostic = if known.is_empty() {
                diagnostic
            } else {
                diagnostic.expected(list(known.iter().copied()))
            };
            self.problems
                .push(diagnostic.near(name, known.iter().copied()));
        }
        self.secrets_kept(node, &inner, &expression);
        for read in &expression.reads {
            self.resolve(node, read, at);
            reads.push(read.path.iter().map(|(name, _)| name.clone()).collect());
        }
        Some(expression)
    }

    /// Says what is wrong with a name, if anything is.
    pub(super) fn resolve(&mut self, node: &Node, read: &Read, at: At) {
        if let Some(problem) = self.unresolved(node, read, at) {
            self.problems.push(problem);
        }
    }

    pub(super) fn unresolved(&self, node: &Node, read: &Read, at: At) -> Option<Diagnostic> {
        let names = self.names;
        let (root, root_range) = read.path.first()?;
        let fail = |range: &Range<usize>, message: String| {
            names
                .document
                .within(node, range.clone(), Kind::Name, message)
        };
        let known: Vec<&str> = match root.as_str() {
            "params" => names
                .document
                .root
                .get("params")
                .into_iter()
                .flat_map(Node::entries)
                .map(|(key, _)| key.name.as_str())
                .collect(),
            "vars" => names.vars.keys().copied().collect(),
            "queries" => names.queries.keys().copied().collect(),
            "steps" => names.steps.iter().map(|step| step.id).collect(),
            "run" => RUN_FIELDS.to_vec(),
            _ => {
                let roots = ["params", "vars", "queries", "steps", "run"];
                return Some(
                    fail(root_range, format!("unknown name `{root}`"))
                        .expected(list(roots.into_iter()))
                        .near(root, roots),
                );
            }
        };
        let Some((name, range)) = read.path.get(1) else {
            return Some(
                fail(root_range, format!("`{root}` alone is no value"))
                    .expected(format!("`{root}.NAME`")),
            );
        };
        if !known.contains(&name.as_str()) {
            let what = match root.as_str() {
                "params" => "parameter",
                "vars" => "variable",
                "queries" => "query",
                "steps" => "step",
                _ => "field of `run`",
            };
            return Some(
                fail(range, format!("unknown {what} `{name}`"))
                    .expected(list(known.iter().copied()))
                    .near(name, known),
            );
        }
        match root.as_str() {
            "params" => self.parameter_field(read, &fail),
            "steps" => self.step_field(read, at, &fail),
            "vars" => self.variable_steps(name, at).map(|step| {
                fail(
                    &read.range(),
                    format!(
                        "variable `{name}` reads step `{step}`, whose output is not known here"
                    ),
                )
            }),
            _ => None,
        }
    }

    pub(super) fn parameter_field(
        &self,
        read: &Read,
        fail: &dyn Fn(&Range<usize>, String) -> Diagnostic,
    ) -> Option<Diagnostic> {
        let (name, _) = &read.path[1];
        let kind = self.names.params.get(name.as_str())?.kind;
        let (field, range) = read.path.get(2)?;
        match kind {
            ParameterType::Map => None,
            ParameterType::Version => {
                let fields = ["deployment", "build_id"];
                (!fields.contains(&field.as_str())).then(|| {
                    fail(range, format!("a Version has no field `{field}`"))
                        .expected(list(fields.into_iter()))
                        .near(field, fields)
                })
            }
            _ => Some(fail(range, format!("parameter `{name}` has no fields"))),
        }
    }

    pub(super) fn step_field(
        &self,
        read: &Read,
        at: At,
        fail: &dyn Fn(&Range<usize>, String) -> Diagnostic,
    ) -> Option<Diagnostic> {
        let (id, range) = &read.path[1];
        let index = self.names.step(id)?;
        let step = &self.names.steps[index];
        if let Some(why) = self.unseen(index, at) {
            return Some(fail(range, why));
        }
        if step.node.get("repeat").is_some() {
            return Some(
                fail(
                    range,
                    format!("step `{id}` repeats others and has no output of its own"),
                )
                .expected("one of the steps inside it"),
            );
        }
        let action = step.action?;
        let fields: Vec<_> = action.output.iter().map(|field| field.name).collect();
        let Some((field, field_range)) = read.path.get(2) else {
            let what = if fields.is_empty() {
                "has no output".to_owned()
            } else {
                format!("has {}", list(fields.iter().copied()))
            };
            return (!read.open).then(|| {
                fail(range, format!("`steps.{id}` alone is no value"))
                    .expected(format!("a field of its output: `{}` {what}", action.name))
            });
        };
        let Some(declared) = action.output.iter().find(|declared| declared.name == field) else {
            let message = format!("`{}` has no output field `{field}`", action.name);
            return Some(
                fail(field_range, message)
                    .expected(list(fields.iter().copied()))
                    .near(field, fields),
            );
        };
        if let Some(output) = self.other_output(step, field) {
            let message = format!("step `{id}` puts out no `{field}`");
            let expected = format!("{output} among its arguments");
            return Some(fail(field_range, message).expected(expected));
        }
        if let Some(schema) = self.output_schema(step, field) {
            return self.descend(&schema, read, fail);
        }
        let (below, below_range) = read.path.get(3)?;
        if !matches!(declared.kind, FieldKind::Object | FieldKind::Any) {
            return Some(fail(below_range, format!("`{field}` has no fields")));
        }
        if declared.name == "rows" {
            let rows = self.rows_of(step);
            if !rows.is_empty() && !rows.contains(&below.as_str()) {
                return Some(
                    fail(below_range, format!("unknown row `{below}`"))
                        .expected(list(rows.iter().copied()))
                        .near(below, rows),
                );
            }
        }
        None
    }

    /// The rows of the decisions that a step evaluates or applies.
    pub(super) fn rows_of(&self, step: &StepName<'a>) -> Vec<&'a str> {
        let decisions = decisions_of(step);
        let nodes = decisions
            .iter()
            .filter_map(|name| self.names.decisions.get(name.text()?));
        let rows =
            nodes.flat_map(|(_, node)| node.get("rows").map(Node::items).unwrap_or_default());
        rows.filter_map(|row| row.text_of("id")).collect()
    }

    /// Why a step's output is not known at a place, if it is not.
    pub(super) fn unseen(&self, index: usize, at: At) -> Option<String> {
        let id = self.names.steps[index].id;
        match at {
            At::Anywhere => None,
            At::BeforeRun => Some(format!("step `{id}` has not run yet when this is read")),
            At::Step(here) if index == here => Some(format!("step `{id}` reads its own output")),
            At::Step(here) if index < here => self.names.steps[here]
                .loops
                .contains(&index)
                .then(|| format!("step `{id}` repeats others and has no output of its own")),
            At::Step(_) => Some(format!("step `{id}` runs later")),
            At::Until(here) if index < self.names.steps[here].end && index != here => None,
            At::Until(here) if index == here => Some(format!(
                "step `{id}` repeats others and has no output of its own"
            )),
            At::Until(_) => Some(format!("step `{id}` runs later")),
        }
    }

    /// A step that a variable reads, through others too, and that is not known at a place.
    pub(super) fn variable_steps(&self, name: &str, at: At) -> Option<String> {
        let item = self
            .names
            .vars
            .get_key_value(name)
            .map(|(name, _)| Item::Variable(name))?;
        self.reached(item).into_iter().find(|id| {
            self.names
                .step(id)
                .is_some_and(|index| self.unseen(index, at).is_some())
        })
    }
}

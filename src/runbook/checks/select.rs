//! `select:`: exactly one source, exclusions that can be judged, ledgers of earlier steps, and no two ways to say how many.

use std::path::Path;

use super::super::evaluate;
use super::{At, Checker};
use crate::diagnostic::Kind;
use crate::document::{Content, Node};
use crate::list_filter;
use crate::schema::list;
use crate::selection::NOT_IN_A_LOOK;

/// Where Workflows can come from.
const SOURCES: [&str; 4] = ["query", "ids", "file", "ledger"];

impl Checker<'_> {
    /// The `select` of a step.
    pub(super) fn select(&mut self, index: usize, select: &Node) {
        if !matches!(select.content, Content::Map(_)) {
            return;
        }
        self.names_workflows(index, select);
        self.one_source(select);
        if let Some(exclude) = select.get("exclude") {
            self.names_workflows(index, exclude);
            self.judgeable(exclude);
        }
        for (key, node) in select.entries() {
            if !SOURCES.contains(&key.name.as_str()) && key.name != "exclude" {
                self.value(node, At::Step(index), &mut Vec::new());
            }
        }
        self.one_number(select);
    }

    /// Queries, expressions and steps in a selection, or in what it leaves out.
    fn names_workflows(&mut self, index: usize, node: &Node) {
        let mut reads = Vec::new();
        for (key, inner) in node.entries() {
            match key.name.as_str() {
                "query" => self.query(inner, At::Step(index), &mut reads),
                "ids" => self.value(inner, At::Step(index), &mut reads),
                "file" => {
                    self.value(inner, At::Step(index), &mut reads);
                    self.stays(inner);
                }
                "ledger" => {
                    let steps = inner.get("steps").unwrap_or(inner);
                    let items = steps.items().iter();
                    items.for_each(|item| self.ledger_step(index, item));
                }
                _ => {}
            }
        }
    }

    /// A path that is written in the runbook stays in the runbook's folder.
    fn stays(&mut self, file: &Node) {
        let Some(text) = file.text().filter(|text| !evaluate::is_the_operators(text)) else {
            return;
        };
        if evaluate::leaves(Path::new(text)) {
            let message = format!("`{text}` is not within the runbook's folder");
            let diagnostic = self.names.document.at(file, Kind::Step, message);
            let expected = "a file beside the runbook or below it";
            self.problems
                .push(diagnostic.expected(expected).note(evaluate::ELSEWHERE));
        }
    }

    fn one_source(&mut self, select: &Node) {
        let given: Vec<_> = SOURCES
            .iter()
            .filter_map(|name| select.entry(name))
            .collect();
        let document = self.names.document;
        let wanted = format!("exactly one of {}", list(SOURCES.into_iter()));
        match given.as_slice() {
            [_] => {}
            [] => self.problems.push(
                document
                    .at(select, Kind::Step, "`select` says no source of Workflows")
                    .expected(wanted),
            ),
            [(first, _), more @ ..] => {
                for (key, _) in more {
                    let message = format!("`{}` beside `{}`", key.name, first.name);
                    self.problems.push(
                        document
                            .at_key(key, Kind::Step, message)
                            .expected(wanted.clone())
                            .note("a selection has one source; what another one names can only be left out, with `exclude`"),
                    );
                }
            }
        }
    }

    /// A condition that a look cannot judge would leave nothing out.
    fn judgeable(&mut self, exclude: &Node) {
        let Some(query) = exclude.get("query") else {
            return;
        };
        let Some(Ok(filter)) = query.text().map(list_filter::parse_template) else {
            return;
        };
        for name in filter.attribute_names() {
            if NOT_IN_A_LOOK.contains(&name) {
                let message = format!("`exclude` cannot be judged by `{name}`");
                self.problems.push(
                    self.names
                        .document
                        .at(query, Kind::Query, message)
                        .note("each Workflow is judged again when it is looked at, and a look does not have it; put `NOT (…)` into the query instead"),
                );
            }
        }
    }

    fn one_number(&mut self, select: &Node) {
        let document = self.names.document;
        if let (Some(_), Some((key, _))) = (select.get("limit"), select.entry("sample")) {
            self.problems.push(
                document
                    .at_key(key, Kind::Step, "`sample` beside `limit`")
                    .expected("one of them: the first so many, or so many at random"),
            );
        }
        if let (Some(_), Some((key, _))) = (select.get("only"), select.entry("sample")) {
            self.problems.push(
                document
                    .at_key(key, Kind::Step, "`sample` beside `only`")
                    .note("a sample is drawn before Workflows are looked at, and `only` is known after; use `limit`"),
            );
        }
    }

    /// `query`, or `select`: actions that read take one of them.
    pub(super) fn query_or_select(&mut self, with: &Node) {
        let document = self.names.document;
        match (with.get("query"), with.entry("select")) {
            (None, None) => self.problems.push(
                document
                    .at(with, Kind::Step, "nothing says which Workflows")
                    .expected("`query` or `select`"),
            ),
            (Some(_), Some((key, _))) => self.problems.push(
                document
                    .at_key(key, Kind::Step, "`select` beside `query`")
                    .expected("one of them"),
            ),
            _ => {}
        }
    }
}

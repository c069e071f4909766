//! Decision tables, offline: classes, rows that can never match, tables that no step applies.
//!
//! Conservative: what is not certain is not said. Where a row turns out to be off because a parameter is
//! empty, the plan says so.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::checks::{Names, decisions_of};
use super::model::ParameterType;
use crate::diagnostic::{Diagnostic, Kind, nearest};
use crate::document::{Content, Key, Node};
use crate::list_filter::{self, Expr, Filter, Operator};
use crate::schema::list;
use crate::template;

/// Deepest nesting of queries that is looked through.
const DEEPEST: usize = 50;

/// Whether `classify` is given as `types` and `attribute`, not as the map itself.
pub(super) fn is_structured(classify: &Map<String, Value>) -> bool {
    !classify.is_empty()
        && classify
            .keys()
            .all(|key| key == "types" || key == "attribute")
}

/// All problems.
pub(super) fn check(names: &Names<'_>) -> Vec<Diagnostic> {
    let mut tables = Tables {
        names,
        problems: Vec::new(),
    };
    let mut ids = BTreeMap::new();
    for (key, node) in names.decisions.values() {
        tables.applied(key);
        tables.row_ids(node, &mut ids);
        tables.decision(node);
    }
    tables.problems
}

struct Tables<'a> {
    names: &'a Names<'a>,
    problems: Vec<Diagnostic>,
}

/// The classes that a table can give, as far as they are known.
struct Classes {
    /// Whether there is a `classify` at all.
    any: bool,
    known: Option<Vec<String>>,
}

impl<'a> Tables<'a> {
    fn applied(&mut self, key: &Key) {
        let applies = self.names.steps.iter().filter(|step| {
            step.action
                .is_some_and(|action| action.name == "decision.apply")
        });
        let known = || self.names.decisions.keys().copied();
        let meant = |text: &str| {
            text == key.name
                || !self.names.decisions.contains_key(text)
                    && nearest(text, known()).as_deref() == Some(&key.name)
        };
        let named = applies
            .flat_map(|step| decisions_of(step))
            .any(|node| node.text().is_some_and(meant));
        if !named {
            let message = format!("no step applies the rows of decision `{}`", key.name);
            let diagnostic = self.names.document.at_key(key, Kind::Decision, message);
            self.problems.push(diagnostic.expected(format!(
                "a step with `action: decision.apply` and `decision: {}`",
                key.name
            )));
        }
    }

    fn row_ids(&mut self, decision: &'a Node, ids: &mut BTreeMap<&'a str, usize>) {
        for id in rows(decision).iter().filter_map(|row| row.get("id")) {
            let Some(text) = id.text() else { continue };
            let line = self.names.document.source.line_column(id.range.start).0;
            if let Some(first) = ids.get(text) {
                let diagnostic = self.names.document.at(
                    id,
                    Kind::Decision,
                    format!("duplicate row id `{text}`"),
                );
                self.problems.push(diagnostic.note(format!(
                    "it is first given on line {first}; row ids are unique in a runbook"
                )));
            } else {
                ids.insert(text, line);
            }
        }
    }

    fn decision(&mut self, node: &'a Node) {
        let classes = self.classes(node);
        let scope = node.text_of("scope").and_then(|text| self.expanded(text));
        if let Some(scope) = &scope
            && let Some(contradiction) = scope.contradiction()
            && let Some(place) = node.get("scope")
        {
            self.problems.push(
                self.names
                    .document
                    .at(place, Kind::Decision, "the scope can never match")
                    .note(contradiction.to_string()),
            );
            return;
        }
        let unique = node.text_of("hit_policy") == Some("unique");
        let mut taken: BTreeSet<&str> = BTreeSet::new();
        let mut all_taken_by = None;
        for row in rows(node) {
            let class_nodes = class_nodes(row);
            self.row_classes(&class_nodes, &classes);
            let row_classes: Vec<_> = class_nodes
                .iter()
                .filter_map(|class| class.text())
                .collect();
            let conditional = row.get("where").is_some() || row.get("task").is_some();
            if let Some(by) = all_taken_by {
                self.never(
                    row,
                    format!("row `{by}` before it takes every Workflow"),
                    unique,
                );
            } else if !row_classes.is_empty()
                && row_classes.iter().all(|class| taken.contains(class))
            {
                self.never(
                    row,
                    format!(
                        "earlier rows take {} whole",
                        list(row_classes.iter().copied())
                    ),
                    unique,
                );
            } else {
                self.conditions(row, scope.as_ref());
            }
            if !conditional {
                taken.extend(&row_classes);
                if row_classes.is_empty() {
                    all_taken_by = all_taken_by.or(row.text_of("id"));
                }
            }
        }
    }

    fn never(&mut self, row: &Node, why: String, unique: bool) {
        let place = row.get("id").unwrap_or(row);
        let id = row.text_of("id").unwrap_or_default();
        let message = if unique {
            format!("row `{id}` can only be a second match, which is refused")
        } else {
            format!("row `{id}` can never match")
        };
        self.problems.push(
            self.names
                .document
                .at(place, Kind::Decision, message)
                .note(why),
        );
    }

    /// Contradictions between the scope, `where` and `task`.
    fn conditions(&mut self, row: &Node, scope: Option<&Filter>) {
        let everything = Filter::everything();
        let scope = scope.unwrap_or(&everything);
        let filter = row.text_of("where").and_then(|text| self.expanded(text));
        let both = filter
            .as_ref()
            .map(|filter| scope.clone().and(filter.clone()));
        if let Some(contradiction) = both.as_ref().and_then(Filter::contradiction) {
            self.never(row, contradiction.to_string(), false);
            return;
        }
        let pending = matches!(row.text_of("task"), Some("failing" | "progressing"));
        let running = Filter::new(Expr::compare("ExecutionStatus", Operator::Eq, "Running"));
        if pending
            && both
                .unwrap_or_else(|| scope.clone())
                .contradicts(&running)
                .is_some()
        {
            self.never(
                row,
                "only a running Workflow has a pending Workflow Task".to_owned(),
                false,
            );
        }
    }

    fn row_classes(&mut self, nodes: &[&Node], classes: &Classes) {
        for node in nodes {
            let Some(class) = node.text() else { continue };
            if !classes.any {
                let diagnostic =
                    self.names
                        .document
                        .at(node, Kind::Decision, "a class without `classify`");
                self.problems.push(
                    diagnostic.expected(
                        "`classify:` in the decision, which says where classes come from",
                    ),
                );
            } else if let Some(known) = classes
                .known
                .as_ref()
                .filter(|known| !known.iter().any(|name| name == class))
            {
                let names = || known.iter().map(String::as_str);
                let diagnostic = self.names.document.at(
                    node,
                    Kind::Decision,
                    format!("unknown class `{class}`"),
                );
                self.problems
                    .push(diagnostic.expected(list(names())).near(class, names()));
            }
        }
    }

    /// Where classes come from, and which there are.
    fn classes(&mut self, decision: &Node) -> Classes {
        let Some(classify) = decision.get("classify") else {
            return Classes {
                any: false,
                known: None,
            };
        };
        let structured = classify.to_json().as_object().is_some_and(is_structured);
        if structured {
            for field in ["types", "attribute"] {
                if let Some(wrong) = classify.get(field).filter(|node| {
                    matches!(
                        node.content,
                        Content::Null | Content::List(_) | Content::Boolean(_) | Content::Number(_)
                    )
                }) {
                    self.problems.push(self.names.document.at(
                        wrong,
                        Kind::Decision,
                        format!("`{field}` is {}", wrong.type_name()),
                    ));
                }
            }
        }
        let from_attribute = structured && classify.get("attribute").is_some();
        let types = if structured {
            classify.get("types")
        } else {
            Some(classify)
        };
        let known = types.and_then(|node| self.classes_of(node));
        Classes {
            any: true,
            known: known.filter(|_| !from_attribute),
        }
    }

    /// The classes of a literal map, or those that the parameter that is read permits.
    fn classes_of(&mut self, node: &Node) -> Option<Vec<String>> {
        let Content::Text(text, _) = &node.content else {
            return Some(
                node.entries()
                    .filter_map(|(_, class)| class.text())
                    .map(str::to_owned)
                    .collect(),
            );
        };
        let expression =
            template::sole(text).and_then(|inner| template::parse(&text[inner], 0).ok());
        let Some(expression) = expression else {
            if template::split(text).is_ok() && !text.contains("${{") {
                let diagnostic = self.names.document.at(
                    node,
                    Kind::Decision,
                    "`classify` is text where a map of Workflow Types to classes belongs",
                );
                self.problems
                    .push(diagnostic.expected("`${{ params.NAME }}`, or the map itself"));
            }
            return None;
        };
        let [read] = expression.reads.as_slice() else {
            return None;
        };
        let parameter = self
            .names
            .params
            .get(read.name(1).filter(|_| read.name(0) == Some("params"))?)?;
        if parameter.kind != ParameterType::Map {
            let diagnostic = self.names.document.at(
                node,
                Kind::Decision,
                "`classify` reads a parameter that is no map",
            );
            self.problems
                .push(diagnostic.expected("a parameter with `type: map`"));
            return None;
        }
        let choices: Vec<_> = parameter
            .choices
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect();
        (!choices.is_empty()).then_some(choices)
    }

    /// A query with the named queries put in; values stay holes.
    fn expanded(&self, text: &str) -> Option<Filter> {
        let filter = list_filter::parse_template(text).ok()?;
        self.expand(filter.expr(), 0).map(Filter::new)
    }

    fn expand(&self, expr: &Expr, depth: usize) -> Option<Expr> {
        if depth > DEEPEST {
            return None;
        }
        Some(match expr {
            Expr::And(parts) => Expr::And(self.expand_all(parts, depth)?),
            Expr::Or(parts) => Expr::Or(self.expand_all(parts, depth)?),
            Expr::Not(inner) => Expr::Not(Box::new(self.expand(inner, depth)?)),
            Expr::Fragment(hole) => {
                let parsed = template::parse(&hole.source, 0).ok()?;
                let name = parsed
                    .reads
                    .first()
                    .filter(|read| read.name(0) == Some("queries"))?
                    .name(1)?;
                let (_, node) = self.names.queries.get(name)?;
                let filter = list_filter::parse_template(node.text()?).ok()?;
                self.expand(filter.expr(), depth + 1)?
            }
            other => other.clone(),
        })
    }

    fn expand_all(&self, parts: &[Expr], depth: usize) -> Option<Vec<Expr>> {
        parts.iter().map(|part| self.expand(part, depth)).collect()
    }
}

fn rows(decision: &Node) -> &[Node] {
    decision.get("rows").map(Node::items).unwrap_or_default()
}

/// The classes that a row names.
fn class_nodes(row: &Node) -> Vec<&Node> {
    match row.get("class") {
        Some(node) if node.text().is_some() => vec![node],
        Some(node) => node.items().iter().collect(),
        None => Vec::new(),
    }
}

//! Arguments of actions: expressions whose type is certain, against the type that the argument takes.

use serde_json::Value;

use super::super::model::ParameterType;
use super::Checker;
use super::types::{parameter_type, type_name};
use crate::catalog::Action;
use crate::diagnostic::Kind;
use crate::document::{Content, Node};
use crate::schema;
use crate::template::{self, Expression, Read, Type};

impl Checker<'_> {
    /// Every argument below `with` that an expression fills.
    pub(super) fn arguments_fit(&mut self, with: &Node, action: &Action) {
        let mut wanted = (action.arguments)(&mut schema::generator()).to_value();
        schema::tidy(&mut wanted);
        self.fits(with, &wanted);
    }

    fn fits(&mut self, node: &Node, wanted: &Value) {
        if self.is_full() {
            return;
        }
        match &node.content {
            Content::Text(text, _) if text.contains("${{") => self.text_fits(node, text, wanted),
            Content::List(items) => {
                if let Some(wanted) = wanted.get("items") {
                    items.iter().for_each(|item| self.fits(item, wanted));
                }
            }
            Content::Map(_) => {
                for (key, value) in node.entries() {
                    let property = wanted
                        .get("properties")
                        .and_then(|properties| properties.get(&key.name))
                        .or_else(|| wanted.get("additionalProperties"));
                    if let Some(property) = property {
                        self.fits(value, property);
                    }
                }
            }
            _ => {}
        }
    }

    fn text_fits(&mut self, node: &Node, text: &str, wanted: &Value) {
        let kinds = kinds(wanted);
        if kinds.is_empty() {
            return;
        }
        let Some(inner) = template::sole(text) else {
            if !kinds.contains(&Type::Text) {
                let message = format!("text where {} belongs", words(&kinds, wanted));
                let diagnostic = self.names.document.at(node, Kind::Expression, message);
                let expected = "one expression and nothing around it";
                self.problems.push(diagnostic.expected(expected));
            }
            return;
        };
        let Ok(expression) = template::parse(&text[inner.clone()], inner.start) else {
            return;
        };
        let Some(found) = self.misfit(&expression, &kinds, wanted) else {
            return;
        };
        let message = format!("{found} where {} belongs", words(&kinds, wanted));
        let document = self.names.document;
        let diagnostic = document.within(node, inner, Kind::Expression, message);
        let makes_text =
            kinds == [Type::Text] && !wanted.get("format").is_some_and(Value::is_string);
        self.problems.push(if makes_text {
            diagnostic.expected("text: `… | string` makes it one")
        } else {
            diagnostic
        });
    }

    /// What an expression certainly gives, if that does not fit.
    fn misfit(
        &self,
        expression: &Expression,
        kinds: &[Type],
        wanted: &Value,
    ) -> Option<&'static str> {
        let given = self.certain(&expression.kind, &expression.reads)?;
        let fits = |kind: &Type| *kind == Type::Nothing || kinds.contains(kind);
        if !given.iter().any(fits) {
            return given.first().map(type_name);
        }
        let Type::Read(index) = expression.kind else {
            return None;
        };
        self.parameter_misfit(&expression.reads[index], wanted)
    }

    /// The types that an expression can have; none where one of them is not known.
    fn certain(&self, kind: &Type, reads: &[Read]) -> Option<Vec<Type>> {
        match kind {
            Type::Either(left, right) => {
                let mut both = self.certain(left, reads)?;
                both.extend(self.certain(right, reads)?);
                Some(both)
            }
            other => match self.type_of(other, reads, 0) {
                Type::Unknown | Type::Read(_) | Type::Either(..) => None,
                known => Some(vec![known]),
            },
        }
    }

    /// A parameter says more of its values than whether they are texts or numbers.
    fn parameter_misfit(&self, read: &Read, wanted: &Value) -> Option<&'static str> {
        if read.open || read.path.len() != 2 || read.name(0) != Some("params") {
            return None;
        }
        let parameter = self.names.params.get(read.name(1)?)?;
        let named = |name: &str| wanted.get("format").and_then(Value::as_str) == Some(name);
        match parameter.kind {
            ParameterType::Duration if named("version") || named("timestamp") => Some("a duration"),
            ParameterType::Version if named("interval") || named("timestamp") => Some("a Version"),
            ParameterType::Number if wanted.get("type") == Some(&Value::from("integer")) => {
                Some("a number")
            }
            ParameterType::List => {
                let items = kinds(wanted.get("items")?);
                let item = parameter_type(parameter.items);
                let fits = items.is_empty() || items.contains(&item);
                (!fits).then_some(match item {
                    Type::Number => "a list of numbers",
                    Type::Boolean => "a list of truth values",
                    _ => "a list of texts",
                })
            }
            _ => None,
        }
    }
}

/// The types that a schema takes; none where it takes any.
fn kinds(schema: &Value) -> Vec<Type> {
    let names: Vec<&str> = match schema.get("type") {
        Some(Value::String(name)) => vec![name],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ => return Vec::new(),
    };
    let mut kinds: Vec<Type> = names
        .iter()
        .filter_map(|name| match *name {
            "string" => Some(Type::Text),
            "number" | "integer" => Some(Type::Number),
            "boolean" => Some(Type::Boolean),
            "array" => Some(Type::List),
            "object" => Some(Type::Map),
            _ => None,
        })
        .collect();
    if kinds.contains(&Type::Text) && kinds.contains(&Type::Number) {
        // What takes a number as text takes a truth value so, too.
        kinds.push(Type::Boolean);
    }
    kinds
}

fn words(kinds: &[Type], schema: &Value) -> &'static str {
    match schema.get("format").and_then(Value::as_str) {
        Some("interval") => return "a duration",
        Some("version") => return "a Version",
        Some("timestamp") => return "a time",
        _ => {}
    }
    let items = schema.get("items").map(self::kinds).unwrap_or_default();
    match kinds {
        [Type::List] if items == [Type::Text] => "a list of texts",
        [Type::Number] if schema.get("type") == Some(&Value::from("integer")) => "a whole number",
        [Type::Text, Type::Number, ..] => "text or a number",
        [first, ..] => type_name(first),
        [] => "something else",
    }
}

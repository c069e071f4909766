//! The types of expressions, as far as they are certain: conditions that are none, values that cannot
//! stand in a List Filter.

use super::super::model::ParameterType;
use super::{At, Checker, LONGEST_CHAIN};
use crate::catalog::Kind as FieldKind;
use crate::diagnostic::Kind;
use crate::document::{Content, Node};
use crate::list_filter::HolePosition;
use crate::template::{self, Expression, Read, Type};

impl<'a> Checker<'a> {
    /// A node that must be one boolean expression; what it reads, if it is one.
    pub(super) fn condition(&mut self, node: &Node, key: &str, at: At) -> Option<Vec<Vec<String>>> {
        let mut reads = Vec::new();
        if matches!(node.content, Content::Boolean(_)) {
            return Some(reads);
        }
        let text = node.text()?;
        let Some(inner) = template::sole(text) else {
            let before = self.problems.len();
            self.template(node, at, &mut reads);
            if self.problems.len() == before {
                let message = format!("`{key}` is text where one expression belongs");
                self.problems.push(
                    self.names
                        .document
                        .at(node, Kind::Expression, message)
                        .expected("`${{ … }}` and nothing around it"),
                );
            }
            return None;
        };
        let expression = self.expression(node, inner.clone(), at, &mut reads)?;
        if let Some(found) = self.not_boolean(&expression) {
            let message = format!("`{key}` is {found} where a condition belongs");
            let diagnostic = self
                .names
                .document
                .within(node, inner, Kind::Expression, message);
            self.problems
                .push(diagnostic.expected("true or false: a comparison, for example"));
        }
        Some(reads)
    }

    /// What an expression gives, if that is certainly no truth value.
    pub(super) fn not_boolean(&self, expression: &Expression) -> Option<&'static str> {
        match self.type_of(&expression.kind, &expression.reads, 0) {
            Type::Boolean | Type::Unknown | Type::Read(_) | Type::Either(..) => None,
            other => Some(type_name(&other)),
        }
    }

    /// The type with reads resolved; `Unknown` where it depends.
    pub(super) fn type_of(&self, kind: &Type, reads: &[Read], depth: usize) -> Type {
        match kind {
            Type::Read(index) => self.type_of_read(&reads[*index], depth),
            Type::Either(left, right) => {
                let (left, right) = (
                    self.type_of(left, reads, depth),
                    self.type_of(right, reads, depth),
                );
                if left == Type::Boolean && right != Type::Boolean {
                    right
                } else {
                    left
                }
            }
            other => other.clone(),
        }
    }

    pub(super) fn type_of_read(&self, read: &Read, depth: usize) -> Type {
        if read.open || depth > LONGEST_CHAIN {
            return Type::Unknown;
        }
        match (read.name(0), read.name(1), read.name(2)) {
            (Some("params"), Some(name), None) => self
                .names
                .params
                .get(name)
                .map_or(Type::Unknown, |parameter| parameter_type(parameter.kind)),
            (Some("params"), Some(name), Some(_)) => match self
                .names
                .params
                .get(name)
                .map(|parameter| (parameter.kind, parameter.items))
            {
                Some((ParameterType::Version, _)) => Type::Text,
                Some((ParameterType::Map, items)) => parameter_type(items),
                _ => Type::Unknown,
            },
            (Some("queries"), ..) | (Some("run"), ..) => Type::Text,
            (Some("vars"), Some(name), None) => self
                .names
                .vars
                .get(name)
                .map_or(Type::Unknown, |(_, node)| self.type_of_node(node, depth)),
            (Some("steps"), Some(id), Some(field)) => self.type_of_output(id, field, read),
            _ => Type::Unknown,
        }
    }

    fn type_of_output(&self, id: &str, field: &str, read: &Read) -> Type {
        let Some(step) = self.names.step(id).map(|index| &self.names.steps[index]) else {
            return Type::Unknown;
        };
        if let Some(schema) = self.output_schema(step, field) {
            return self.type_below(&schema, read);
        }
        let declared = step
            .action
            .and_then(|action| action.output.iter().find(|output| output.name == field));
        match declared {
            Some(output) if read.path.len() == 3 => field_type(output.kind),
            _ => Type::Unknown,
        }
    }

    pub(super) fn type_of_node(&self, node: &Node, depth: usize) -> Type {
        match &node.content {
            Content::Null => Type::Nothing,
            Content::Boolean(_) => Type::Boolean,
            Content::Number(_) => Type::Number,
            Content::List(_) => Type::List,
            Content::Map(_) => Type::Map,
            Content::Text(text, _) => match template::sole(text) {
                None => Type::Text,
                Some(inner) => template::parse(&text[inner], 0)
                    .map_or(Type::Unknown, |expression| {
                        self.type_of(&expression.kind, &expression.reads, depth + 1)
                    }),
            },
        }
    }

    /// What an expression gives, if that certainly cannot stand in a List Filter there.
    pub(super) fn unfit(
        &self,
        expression: &Expression,
        position: HolePosition,
    ) -> Option<&'static str> {
        let kind = self.type_of(&expression.kind, &expression.reads, 0);
        let fits = match position {
            HolePosition::Condition => true,
            HolePosition::WholeList => !matches!(
                kind,
                Type::Boolean | Type::Number | Type::Text | Type::Map | Type::Nothing
            ),
            HolePosition::ListItem => !matches!(kind, Type::Map | Type::Nothing),
            HolePosition::Value | HolePosition::InsideText => {
                !matches!(kind, Type::List | Type::Map | Type::Nothing)
            }
        };
        (!fits).then(|| type_name(&kind))
    }
}

pub(super) fn parameter_type(kind: ParameterType) -> Type {
    match kind {
        ParameterType::String | ParameterType::Duration | ParameterType::Version => Type::Text,
        ParameterType::Integer | ParameterType::Number => Type::Number,
        ParameterType::Boolean => Type::Boolean,
        ParameterType::List => Type::List,
        ParameterType::Map => Type::Map,
    }
}

pub(super) fn field_type(kind: FieldKind) -> Type {
    match kind {
        FieldKind::Count | FieldKind::Number => Type::Number,
        FieldKind::Text => Type::Text,
        FieldKind::Boolean => Type::Boolean,
        FieldKind::List => Type::List,
        FieldKind::Object => Type::Map,
        FieldKind::Any => Type::Unknown,
    }
}

pub(super) fn type_name(kind: &Type) -> &'static str {
    match kind {
        Type::Boolean => "a truth value",
        Type::Number => "a number",
        Type::Text => "text",
        Type::List => "a list",
        Type::Map => "a mapping",
        Type::Nothing => "nothing",
        Type::Unknown | Type::Read(_) | Type::Either(..) => "something else",
    }
}

//! Parameters as declared: fields that fit their type, patterns, permitted values, defaults.

use regex::Regex;

use super::super::model::{Parameter, ParameterType};
use super::super::parameters;
use super::Checker;
use super::names::parameter;
use crate::diagnostic::Kind;
use crate::document::{Content, Node};

impl Checker<'_> {
    pub(super) fn parameters(&mut self) {
        let declared = self.names.document.root.get("params");
        for (_, node) in declared.into_iter().flat_map(Node::entries) {
            self.declared(node, false);
        }
    }

    /// One declaration: a parameter's, or that of a form's field, in which expressions may stand.
    pub(super) fn declared(&mut self, node: &Node, expressions: bool) {
        let Some(parameter) = parameter(node) else {
            return;
        };
        self.fields(node, &parameter);
        if self.pattern(node) {
            self.choices(node, &parameter, expressions);
            self.default(node, &parameter, expressions);
        }
    }

    /// Fields that have no meaning for the type.
    fn fields(&mut self, node: &Node, parameter: &Parameter) {
        let scalar = scalar(parameter);
        let collection = scalar.is_some();
        let kind = scalar.unwrap_or(parameter.kind);
        let numeric = matches!(kind, ParameterType::Integer | ParameterType::Number);
        let textual = matches!(kind, ParameterType::String | ParameterType::Version);
        let open = parameter.kind == ParameterType::String || !parameter.secret;
        for (field, fits, with) in [
            ("items", collection, "`list` and `map`"),
            ("pattern", textual, "`string` and `version`"),
            ("minimum", numeric, "`integer` and `number`"),
            ("maximum", numeric, "`integer` and `number`"),
            ("secret", open, "`string`"),
            (
                "default",
                !parameter.secret,
                "parameters that are not secret",
            ),
        ] {
            if let Some((key, _)) = node.entry(field).filter(|_| !fits) {
                let message = format!("`{field}` has no meaning here");
                let diagnostic = self.names.document.at_key(key, Kind::Parameter, message);
                let expected = format!("`{field}` only with {with}");
                self.problems.push(diagnostic.expected(expected));
            }
        }
    }

    /// Whether the pattern, if there is one, can be used.
    fn pattern(&mut self, node: &Node) -> bool {
        let Some(pattern) = node.get("pattern") else {
            return true;
        };
        let Some(Err(error)) = pattern.text().map(Regex::new) else {
            return true;
        };
        let error = error.to_string();
        let why = error.lines().last().unwrap_or_default();
        let message = "the pattern is no regular expression";
        let diagnostic = self.names.document.at(pattern, Kind::Parameter, message);
        self.problems
            .push(diagnostic.note(why.trim_start_matches("error: ")));
        false
    }

    /// Whether a value is known before the run.
    fn is_known(node: &Node) -> bool {
        !node.text().is_some_and(|text| text.contains("${{"))
    }

    fn choices(&mut self, node: &Node, parameter: &Parameter, expressions: bool) {
        let item = Parameter {
            kind: scalar(parameter).unwrap_or(parameter.kind),
            choices: Vec::new(),
            pattern: None,
            minimum: None,
            maximum: None,
            ..parameter.clone()
        };
        let choices = node.get("enum").map(Node::items).unwrap_or_default();
        for choice in choices
            .iter()
            .filter(|choice| !expressions || Self::is_known(choice))
        {
            if let Err(why) = parameters::check(&item, &choice.to_json()) {
                let diagnostic = self.names.document.at(choice, Kind::Parameter, why);
                self.problems.push(diagnostic);
            }
        }
    }

    /// The default, item by item where it has items.
    fn default(&mut self, node: &Node, parameter: &Parameter, expressions: bool) {
        let Some(default) = node.get("default") else {
            return;
        };
        let kind = match (parameter.kind, &default.content) {
            (ParameterType::List, Content::List(_)) | (ParameterType::Map, Content::Map(_)) => {
                parameter.items
            }
            (kind, _) => kind,
        };
        let each: Vec<&Node> = if kind == parameter.kind {
            vec![default]
        } else {
            let entries = default.entries().map(|(_, value)| value);
            default.items().iter().chain(entries).collect()
        };
        let declared = Parameter {
            kind,
            ..parameter.clone()
        };
        for value in each
            .into_iter()
            .filter(|value| !expressions || Self::is_known(value))
        {
            if let Err(why) = parameters::check(&declared, &value.to_json()) {
                let message = format!("the default does not fit: {why}");
                let diagnostic = self.names.document.at(value, Kind::Parameter, message);
                self.problems.push(diagnostic);
            }
        }
    }
}

/// The type of a collection's items.
fn scalar(parameter: &Parameter) -> Option<ParameterType> {
    matches!(parameter.kind, ParameterType::List | ParameterType::Map).then_some(parameter.items)
}

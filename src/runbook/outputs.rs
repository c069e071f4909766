//! What a step's output holds beyond the catalogue's table, where the runbook itself says it: the JSON
//! of a command with a `schema`, the fields of a form. Both as JSON Schema.
//!
//! Pure. Only what a schema certainly says is used: where it is open, nothing is known.

use indexmap::IndexMap;
use serde_json::{Map, Value, json};

use super::model::{Parameter, ParameterType};
use super::parameters;
use crate::catalog::{FieldType, FormField};
use crate::template::Type;

/// What is wrong with a JSON Schema, if anything is.
pub(super) fn broken(schema: &Value) -> Option<String> {
    jsonschema::options()
        .build(schema)
        .err()
        .map(|error| error.to_string())
}

/// How a value does not fit a JSON Schema: at most three of its places, in words.
pub fn violations(schema: &Value, value: &Value) -> Vec<String> {
    let validator = match jsonschema::options().build(schema) {
        Ok(validator) => validator,
        Err(error) => return vec![format!("the schema cannot be used: {error}")],
    };
    let place = |error: &jsonschema::ValidationError<'_>| {
        let place = error.instance_path().to_string();
        if place.is_empty() {
            "at its top".to_owned()
        } else {
            place
        }
    };
    validator
        .iter_errors(value)
        .take(3)
        .map(|error| format!("{}: {error}", place(&error)))
        .collect()
}

/// What is below a name in a schema.
pub(super) enum Below<'s> {
    /// This.
    Known(&'s Value),
    /// It is not said.
    Open,
    /// Nothing: these are the names that there are.
    Missing(Vec<&'s str>),
    /// It has no names at all.
    Scalar,
}

/// Follows one name down a schema.
pub(super) fn below<'s>(schema: &'s Value, name: &str) -> Below<'s> {
    let types = types(schema);
    if !types.is_empty() && !types.contains(&"object") {
        return Below::Scalar;
    }
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
        return Below::Open;
    };
    if let Some(property) = properties.get(name) {
        return Below::Known(property);
    }
    let more = schema.get("additionalProperties");
    let says_more = ["patternProperties", "$ref", "allOf", "anyOf", "oneOf", "if"]
        .iter()
        .any(|keyword| schema.get(keyword).is_some());
    // A schema that lists names and says nothing of others means those names.
    if says_more || more.is_some_and(|more| more != &Value::Bool(false)) {
        return Below::Open;
    }
    Below::Missing(properties.keys().map(String::as_str).collect())
}

fn types(schema: &Value) -> Vec<&str> {
    match schema.get("type") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// The type of an expression that reads what a schema describes.
pub(super) fn type_of(schema: &Value) -> Type {
    match types(schema).as_slice() {
        ["string"] => Type::Text,
        ["number" | "integer"] => Type::Number,
        ["boolean"] => Type::Boolean,
        ["array"] => Type::List,
        ["object"] => Type::Map,
        _ => Type::Unknown,
    }
}

fn parameter_type(kind: FieldType) -> ParameterType {
    match kind {
        FieldType::String => ParameterType::String,
        FieldType::Integer => ParameterType::Integer,
        FieldType::Number => ParameterType::Number,
        FieldType::Boolean => ParameterType::Boolean,
        FieldType::Duration => ParameterType::Duration,
        FieldType::List => ParameterType::List,
        FieldType::Map => ParameterType::Map,
        FieldType::Version => ParameterType::Version,
    }
}

/// The JSON Schema of a form's values, from its fields' types and whether each is certainly there.
pub(super) fn form_schema<'a>(
    fields: impl Iterator<Item = (&'a str, ParameterType, bool)>,
) -> Value {
    let mut properties = Map::new();
    for (name, kind, certain) in fields {
        let kind = match kind {
            ParameterType::String | ParameterType::Duration | ParameterType::Version => "string",
            ParameterType::Integer => "integer",
            ParameterType::Number => "number",
            ParameterType::Boolean => "boolean",
            ParameterType::List => "array",
            ParameterType::Map => "object",
        };
        let types = if certain {
            json!(kind)
        } else {
            json!([kind, "null"])
        };
        properties.insert(name.to_owned(), json!({ "type": types }));
    }
    json!({ "type": "object", "properties": properties, "additionalProperties": false })
}

/// A form's field as a parameter.
pub fn parameter(field: &FormField) -> Parameter {
    Parameter {
        kind: parameter_type(field.kind),
        description: field.description.clone(),
        items: field.items.map_or(ParameterType::String, parameter_type),
        choices: field.choices.clone().unwrap_or_default(),
        pattern: field.pattern.clone(),
        minimum: field.minimum,
        maximum: field.maximum,
        default: field.default.clone(),
        secret: false,
    }
}

/// The value of a field from text, as it is typed: lists with commas, maps as `KEY=VALUE` with commas, or JSON.
///
/// # Errors
/// Why it does not fit.
pub fn typed(field: &FormField, text: &str) -> Result<Value, String> {
    let parameter = parameter(field);
    let value = parameters::typed(&parameter, text)?;
    parameters::check(&parameter, &value)?;
    Ok(value)
}

/// Whether a value must be entered.
pub fn must_be_entered(field: &FormField) -> bool {
    field.required && field.default.is_none()
}

/// The whole form from what was entered: defaults filled in, what may be missing `null`.
///
/// # Errors
/// Every field that is missing, unknown or wrong, in words.
pub fn filled(
    form: &IndexMap<String, FormField>,
    entered: &Map<String, Value>,
) -> Result<Map<String, Value>, Vec<String>> {
    let mut values = Map::new();
    let mut problems: Vec<String> = entered
        .keys()
        .filter(|name| !form.contains_key(*name))
        .map(|name| format!("the form has no field `{name}`"))
        .collect();
    for (name, field) in form {
        let value = entered.get(name).or(field.default.as_ref());
        match value {
            Some(value) => match parameters::check(&parameter(field), value) {
                Ok(()) => drop(values.insert(name.clone(), value.clone())),
                Err(why) => problems.push(format!("`{name}`: {why}")),
            },
            None if field.required => problems.push(format!("`{name}` is missing")),
            None => drop(values.insert(name.clone(), Value::Null)),
        }
    }
    if problems.is_empty() {
        Ok(values)
    } else {
        Err(problems)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(text: &str) -> IndexMap<String, FormField> {
        serde_json::from_str(text).expect("a form")
    }

    #[test]
    fn a_form_takes_defaults_and_says_everything_that_is_wrong() {
        let form = form(
            r#"{"ticket":{"type":"string","pattern":"^[A-Z]+-[0-9]+$"},"count":{"type":"integer","default":3},"note":{"type":"string","required":false}}"#,
        );
        let entered = json!({ "ticket": "OPS-1" });
        assert_eq!(
            filled(&form, entered.as_object().expect("a map")),
            Ok(json!({ "ticket": "OPS-1", "count": 3, "note": null })
                .as_object()
                .expect("a map")
                .clone())
        );
        let wrong = json!({ "count": "x", "tickt": 1 });
        let problems = filled(&form, wrong.as_object().expect("a map")).expect_err("all wrong");
        assert_eq!(problems.len(), 3, "{problems:?}");
        assert!(typed(&form["count"], "x").is_err());
        assert_eq!(typed(&form["count"], "7"), Ok(json!(7)));
    }

    #[test]
    fn only_a_closed_schema_says_that_a_name_is_missing() {
        let closed = json!({ "type": "object", "properties": { "a": { "type": "integer" } } });
        assert!(matches!(below(&closed, "b"), Below::Missing(known) if known == ["a"]));
        assert!(matches!(below(&closed, "a"), Below::Known(a) if type_of(a) == Type::Number));
        let open = json!({ "properties": {}, "additionalProperties": true });
        assert!(matches!(below(&open, "b"), Below::Open));
        assert!(matches!(
            below(&json!({ "type": "string" }), "b"),
            Below::Scalar
        ));
    }

    #[test]
    fn violations_name_their_place() {
        let schema = json!({ "properties": { "a": { "type": "integer" } } });
        let found = violations(&schema, &json!({ "a": "x" }));
        assert!(found[0].starts_with("/a: "), "{found:?}");
        assert!(broken(&json!({ "type": 3 })).is_some());
    }
}

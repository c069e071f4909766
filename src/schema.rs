//! Document × JSON Schema → all violations at once, each at its place in the file; and the tidying of
//! schemas that schemars generates, so that editors and people can read them.
//!
//! Pure; of particular schemas it knows no more than their names. Formats that this language adds: `interval` (`1h30m`), `bound`
//! (`5` or `1%`), `version` (`DEPLOYMENT:BUILD`). A text that holds `${{` passes every format: what it
//! gives is checked when it is rendered.

use std::ops::Range;
use std::time::Duration;

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::paths::{Location, LocationSegment};
use jsonschema::{ValidationError, Validator};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::diagnostic::{Diagnostic, Kind, nearest};
use crate::document::{Content, Document, Key, Node};
use crate::survey::Version;

/// More violations than this are not collected.
const MOST: usize = 500;

/// A compiled JSON Schema.
pub struct Schema {
    json: Value,
    validator: Validator,
}

/// What files are that begin so.
const FILES: [(&str, &str); 3] = [
    ("runbook/", "a runbook"),
    ("rehearsal/", "a rehearsal"),
    ("runbook-plan/", "a saved plan"),
];

/// That a file is of another schema than `wanted`, or of none at all: then nothing else need be said of it. `keys` are
/// those of the wanted one: a file without `schema` that has any of them is taken for a try at one.
pub fn another(document: &Document, wanted: &str, keys: &[&str]) -> Option<Diagnostic> {
    let Content::Map(entries) = &document.root.content else {
        return None;
    };
    let a = |schema: &str| FILES.iter().find(|(name, _)| schema.starts_with(name));
    let line = format!("`schema: {wanted}`");
    let Some(found) = document.root.get("schema") else {
        let first = entries
            .first()
            .filter(|_| !keys.iter().any(|key| document.root.get(key).is_some()));
        let what = a(wanted).map_or("file of this schema", |(_, what)| what);
        let message = format!("this is not {what}: it has no line {line}");
        return first.map(|(key, _)| document.at_key(key, Kind::Schema, message));
    };
    let schema = found.text().filter(|schema| *schema != wanted)?;
    let kind = |schema: &str| a(schema).map(|(_, what)| *what);
    let message = match kind(schema) {
        Some(what) if kind(wanted) != Some(what) => format!("this is {what}, `{schema}`"),
        _ => format!("unknown schema `{schema}`"),
    };
    Some(document.at(found, Kind::Schema, message).expected(line))
}

/// A generator whose schemas are tidied by [`tidy`].
pub fn generator() -> SchemaGenerator {
    SchemaSettings::draft2020_12()
        .for_deserialize()
        .with(|settings| settings.inline_subschemas = true)
        .into_generator()
}

/// The tidied schema of a type.
pub fn of<T: JsonSchema>() -> Value {
    let mut json = generator().into_root_schema_for::<T>().to_value();
    tidy(&mut json);
    json
}

/// The text of a schema file.
pub fn text(json: &Value) -> String {
    let mut text = serde_json::to_string_pretty(json).unwrap_or_default();
    text.push('\n');
    text
}

/// Makes a generated schema say what this language means: `null` is no value, an enumeration is one
/// `enum`, machine formats of numbers go.
pub fn tidy(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(tidy),
        Value::Object(object) => {
            without_null(object);
            one_enumeration(object);
            if object
                .get("format")
                .and_then(Value::as_str)
                .is_some_and(|format| {
                    format.starts_with("uint")
                        || format.starts_with("int") && format != "interval"
                        || matches!(format, "float" | "double")
                })
            {
                object.remove("format");
            }
            object.values_mut().for_each(tidy);
        }
        _ => {}
    }
}

fn without_null(object: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            object.insert("type".to_owned(), only);
        }
    }
    if object.get("default") == Some(&Value::Null) {
        object.remove("default");
    }
    let Some(Value::Array(choices)) = object.get_mut("anyOf") else {
        return;
    };
    choices.retain(|choice| choice != &json!({ "type": "null" }));
    if let [only] = choices.as_slice() {
        let only = only.as_object().cloned().unwrap_or_default();
        object.remove("anyOf");
        for (key, value) in only {
            object.entry(key).or_insert(value);
        }
    }
}

/// `oneOf` of constants → `enum`, their descriptions gathered.
fn one_enumeration(object: &mut Map<String, Value>) {
    let Some(Value::Array(choices)) = object.get("oneOf") else {
        return;
    };
    let mut values = Vec::new();
    let mut lines = Vec::new();
    for choice in choices {
        if let Some(value) = choice.get("const") {
            let description = choice
                .get("description")
                .and_then(Value::as_str)
                .unwrap_or_default();
            lines.push(format!(
                "`{}`: {description}",
                value.as_str().unwrap_or_default()
            ));
            values.push(value.clone());
        } else if let Some(Value::Array(several)) = choice.get("enum") {
            values.extend(several.iter().cloned());
        } else {
            return;
        }
    }
    let head = object
        .get("description")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    let text = if lines.is_empty() {
        head
    } else {
        format!("{head}\n\n{}", lines.join("\n"))
    };
    object.remove("oneOf");
    object.insert("type".to_owned(), json!("string"));
    object.insert("enum".to_owned(), Value::Array(values));
    object.insert("description".to_owned(), json!(text.trim()));
}

/// The schema of an action's arguments: a text that holds `${{` is accepted wherever another type is wanted.
pub fn accept_expressions(arguments: &mut Value) {
    let Some(Value::Object(properties)) = arguments.get_mut("properties") else {
        return;
    };
    for (_, property) in properties.iter_mut() {
        if let Some(items) = property.get_mut("items") {
            wrap(items);
        }
        if property.get("properties").is_some() {
            accept_expressions(property);
            continue;
        }
        // One of two forms: what the form with keys holds may be expressions too.
        if let Some(then) = property.get_mut("then") {
            accept_expressions(then);
        }
        wrap(property);
    }
}

fn wrap(schema: &mut Value) {
    let plain_text = schema.get("type") == Some(&json!("string")) && schema.get("enum").is_none();
    let Some(object) = schema.as_object().filter(|_| !plain_text) else {
        return;
    };
    let mut wrapped = Map::new();
    for key in ["description", "default"] {
        if let Some(value) = object.get(key) {
            wrapped.insert(key.to_owned(), value.clone());
        }
    }
    wrapped.insert(
        "if".to_owned(),
        json!({ "type": "string", "pattern": "\\$\\{\\{" }),
    );
    wrapped.insert("else".to_owned(), schema.clone());
    *schema = Value::Object(wrapped);
}

/// `1h30m`, `45s`, `500ms`: numbers with a unit (`ms`, `s`, `m`, `h`, `d`), added up.
pub fn interval(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit())
            .filter(|at| *at > 0)?;
        let number: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit_end = rest
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(rest.len());
        let milliseconds = match &rest[..unit_end] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        total = total.checked_add(Duration::from_millis(number.checked_mul(milliseconds)?))?;
        rest = &rest[unit_end..];
    }
    (!text.is_empty()).then_some(total)
}

/// `1%`: above 0 and up to 100.
pub fn percentage(text: &str) -> Option<f64> {
    let number = text.strip_suffix('%')?;
    let shaped = !number.is_empty()
        && number
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.');
    number
        .parse::<f64>()
        .ok()
        .filter(|percent| shaped && *percent > 0.0 && *percent <= 100.0)
}

fn template(text: &str) -> bool {
    text.contains("${{")
}

impl Schema {
    /// Compiles a schema that this program made.
    ///
    /// # Panics
    /// Where it is no JSON Schema: a bug, held by a test.
    pub fn new(json: Value) -> Self {
        let validator = jsonschema::options()
            .should_validate_formats(true)
            .with_format("interval", |text: &str| {
                template(text) || interval(text).is_some()
            })
            .with_format("bound", |text: &str| percentage(text).is_some())
            .with_format("version", |text: &str| {
                template(text) || Version::parse(text).is_some()
            })
            .with_format("timestamp", |text: &str| {
                template(text) || text.parse::<jiff::Timestamp>().is_ok()
            })
            .with_format("list-filter", |_: &str| true)
            .build(&json)
            .expect("a generated schema is valid");
        Self { json, validator }
    }

    /// The schema itself.
    pub fn json(&self) -> &Value {
        &self.json
    }

    /// All violations.
    pub fn check(&self, document: &Document) -> Vec<Diagnostic> {
        let instance = document.root.to_json();
        let errors: Vec<_> = self.validator.iter_errors(&instance).take(MOST).collect();
        let mut found = Vec::new();
        for error in &errors {
            if !self.misspelt(document, error, &errors) {
                self.explain(document, error, &mut found);
            }
        }
        found
    }

    /// Whether what is missing is there under a name that is nearly right: that is said once, there.
    fn misspelt(
        &self,
        document: &Document,
        error: &ValidationError<'_>,
        all: &[ValidationError<'_>],
    ) -> bool {
        let ValidationErrorKind::Required { property } = error.kind() else {
            return false;
        };
        let missing = property.as_str().unwrap_or_default();
        let node = Place::find(document, error.instance_path()).node;
        all.iter()
            .filter(|other| other.instance_path() == error.instance_path())
            .any(|other| {
                let ValidationErrorKind::AdditionalProperties { unexpected } = other.kind() else {
                    return false;
                };
                let known = self.properties(other.evaluation_path());
                let free = || {
                    known
                        .iter()
                        .map(String::as_str)
                        .filter(|name| node.get(name).is_none())
                };
                unexpected
                    .iter()
                    .any(|name| nearest(name, free()).as_deref() == Some(missing))
            })
    }

    fn explain(
        &self,
        document: &Document,
        error: &ValidationError<'_>,
        found: &mut Vec<Diagnostic>,
    ) {
        let place = Place::find(document, error.instance_path());
        let at = |message: String| place.at(document, message);
        match error.kind() {
            ValidationErrorKind::AdditionalProperties { unexpected } => {
                let known = self.properties(error.evaluation_path());
                for name in unexpected {
                    let Some((key, _)) = place.node.entry(name) else {
                        continue;
                    };
                    let diagnostic =
                        document.at_key(key, Kind::Schema, format!("unknown key `{name}`"));
                    let known = known.iter().map(String::as_str);
                    found.push(diagnostic.expected(list(known.clone())).near(name, known));
                }
            }
            ValidationErrorKind::Required { property } => {
                let name = property.as_str().unwrap_or_default();
                let diagnostic = place.at_start(document, format!("missing key `{name}`"));
                found.push(self.describe(diagnostic, error.evaluation_path(), name));
            }
            ValidationErrorKind::Type { kind } => {
                let format = self
                    .owner(error.evaluation_path())
                    .and_then(|owner| owner.get("format")?.as_str());
                let wanted = format
                    .and_then(format_expected)
                    .map_or_else(|| type_names(kind), str::to_owned);
                let found_here = match &place.node.content {
                    Content::Null => "no value here".to_owned(),
                    _ => format!("{} does not belong here", place.node.type_name()),
                };
                found.push(at(found_here).expected(wanted));
            }
            ValidationErrorKind::Enum { options } => found.push(not_among(at, &place, options)),
            ValidationErrorKind::Constant { expected_value } => {
                let key = place.key.map_or("value", |key| key.name.as_str());
                let text = plain(&place.node.to_json());
                found.push(
                    at(format!("unknown {key} `{text}`"))
                        .expected(format!("`{}`", plain(expected_value))),
                );
            }
            ValidationErrorKind::Pattern { pattern } => {
                found.push(at(pattern_message(&place, pattern)).expected(pattern_expected(pattern)))
            }
            ValidationErrorKind::PropertyNames { error: inner } => {
                let name = inner.instance().as_str().unwrap_or_default().to_owned();
                let ValidationErrorKind::Pattern { pattern } = inner.kind() else {
                    return;
                };
                if let Some((key, _)) = place.node.entry(&name) {
                    let diagnostic =
                        document.at_key(key, Kind::Schema, format!("`{name}` is no name"));
                    found.push(diagnostic.expected(pattern_expected(pattern)));
                }
            }
            ValidationErrorKind::Format { format } => {
                found.push(format_message(at, &place, format))
            }
            ValidationErrorKind::MinItems { .. } | ValidationErrorKind::MinProperties { .. } => {
                found.push(at("nothing in it".to_owned()).expected("at least one"))
            }
            ValidationErrorKind::MaxProperties { limit } => {
                found.push(at("too many keys".to_owned()).expected(format!("at most {limit}")))
            }
            ValidationErrorKind::MinLength { .. } => {
                found.push(at("empty text".to_owned()).expected("some text"))
            }
            ValidationErrorKind::Minimum { limit } => {
                found.push(at("too small".to_owned()).expected(format!("at least {limit}")))
            }
            ValidationErrorKind::ExclusiveMinimum { limit } => {
                found.push(at("too small".to_owned()).expected(format!("more than {limit}")))
            }
            ValidationErrorKind::Maximum { limit } => {
                found.push(at("too large".to_owned()).expected(format!("at most {limit}")))
            }
            ValidationErrorKind::UniqueItems => found.push(at("the same item twice".to_owned())),
            ValidationErrorKind::FalseSchema => {
                let key = place.key.map_or("this", |key| key.name.as_str());
                let beside = self
                    .excluded_by(error.evaluation_path())
                    .unwrap_or_default();
                found.push(place.at_key(document, format!("`{key}` does not go with `{beside}`")));
            }
            _ => found.push(at(error.to_string())),
        }
    }

    /// The key whose presence forbids another: `if: { required: [KEY] }, then: { properties: { other: false } }`.
    fn excluded_by(&self, path: &Location) -> Option<&str> {
        let mut segments: Vec<_> = path.iter().map(|segment| segment.to_string()).collect();
        while segments.pop()? != "then" {}
        self.walk(&segments)?
            .get("if")?
            .get("required")?
            .get(0)?
            .as_str()
    }

    /// The names that the object at a keyword's place may have.
    fn properties(&self, path: &Location) -> Vec<String> {
        let properties = self
            .owner(path)
            .and_then(|owner| owner.get("properties")?.as_object());
        properties
            .map(|properties| properties.keys().cloned().collect())
            .unwrap_or_default()
    }

    fn describe(&self, diagnostic: Diagnostic, path: &Location, name: &str) -> Diagnostic {
        let description = self.owner(path).and_then(|owner| {
            owner
                .get("properties")?
                .get(name)?
                .get("description")?
                .as_str()
        });
        let first = description.and_then(|text| text.lines().next());
        first.map_or(diagnostic.clone(), |text| {
            diagnostic.note(format!("`{name}`: {text}"))
        })
    }

    /// The schema object that holds the keyword at the end of an evaluation path.
    fn owner(&self, path: &Location) -> Option<&Value> {
        let segments: Vec<_> = path.iter().map(|segment| segment.to_string()).collect();
        self.walk(&segments[..segments.len().saturating_sub(1)])
    }

    fn walk(&self, segments: &[String]) -> Option<&Value> {
        let mut here = &self.json;
        for segment in segments {
            if let Some(reference) = here
                .get("$ref")
                .and_then(Value::as_str)
                .filter(|_| segment == "$ref")
            {
                here = self.json.pointer(reference.trim_start_matches('#'))?;
                continue;
            }
            here = match here {
                Value::Array(items) => items.get(segment.parse::<usize>().ok()?)?,
                other => other.get(segment)?,
            };
        }
        Some(here)
    }
}

/// A node, the key it belongs to, and where it is.
struct Place<'a> {
    node: &'a Node,
    key: Option<&'a Key>,
}

impl<'a> Place<'a> {
    fn find(document: &'a Document, path: &Location) -> Self {
        let mut place = Self {
            node: &document.root,
            key: None,
        };
        for segment in path.iter() {
            let next = match (&segment, &place.node.content) {
                (LocationSegment::Index(index), Content::List(items)) => {
                    items.get(*index).map(|node| (None, node))
                }
                (segment, _) => {
                    let name = segment.to_string();
                    place.node.entry(&name).map(|(key, node)| (Some(key), node))
                }
            };
            let Some((key, node)) = next else { break };
            place = Self { node, key };
        }
        place
    }

    /// At the value; at its key where the value is empty.
    fn at(&self, document: &Document, message: String) -> Diagnostic {
        match (&self.node.content, self.key) {
            (Content::Null, Some(key)) => document.at_key(key, Kind::Schema, message),
            (Content::List(_) | Content::Map(_), Some(key))
                if !same_line(document, key, self.node) =>
            {
                document.at_key(key, Kind::Schema, message)
            }
            _ => document.at(self.node, Kind::Schema, message),
        }
    }

    fn at_key(&self, document: &Document, message: String) -> Diagnostic {
        match self.key {
            Some(key) => document.at_key(key, Kind::Schema, message),
            None => document.at(self.node, Kind::Schema, message),
        }
    }

    /// At what names a mapping: its key, else its first key.
    fn at_start(&self, document: &Document, message: String) -> Diagnostic {
        let first: Option<Range<usize>> =
            self.node.entries().next().map(|(key, _)| key.range.clone());
        match (self.key, first) {
            (Some(key), _) => document.at_key(key, Kind::Schema, message),
            (None, Some(range)) => Diagnostic::at(&document.source, range, Kind::Schema, message),
            (None, None) => document.at(self.node, Kind::Schema, message),
        }
    }
}

fn same_line(document: &Document, key: &Key, node: &Node) -> bool {
    let line = |at: usize| document.source.line_column(at).0;
    line(key.range.start) == line(node.range.start)
}

fn not_among(at: impl Fn(String) -> Diagnostic, place: &Place<'_>, options: &Value) -> Diagnostic {
    let names: Vec<_> = options
        .as_array()
        .into_iter()
        .flatten()
        .map(plain)
        .collect();
    let names = || names.iter().map(String::as_str);
    let Some(text) = place.node.text() else {
        return at(format!("{} where a name belongs", place.node.type_name()))
            .expected(list(names()));
    };
    let what = match place.key {
        Some(key) => format!("unknown {} `{text}`", key.name),
        None => format!("unknown value `{text}`"),
    };
    at(what).expected(list(names())).near(text, names())
}

fn format_message(
    at: impl Fn(String) -> Diagnostic,
    place: &Place<'_>,
    format: &str,
) -> Diagnostic {
    let text = place.node.text().unwrap_or_default();
    let what = match format {
        "interval" => "duration",
        "bound" => "limit",
        "version" => "Version",
        "timestamp" => "time",
        other => other,
    };
    at(format!("`{text}` is no {what}"))
        .expected(format_expected(format).unwrap_or("something else"))
}

fn format_expected(format: &str) -> Option<&'static str> {
    match format {
        "interval" => Some("a duration: numbers with units, such as `30s`, `15m` or `1h30m`"),
        "bound" => Some("a number, or a percentage above 0 and up to 100 such as `1%`"),
        "version" => Some("`DEPLOYMENT:BUILD`"),
        "timestamp" => Some("a time with its offset, such as `2026-01-05T06:00:00Z`"),
        "list-filter" => Some("a List Filter, such as `ExecutionStatus = 'Running'`"),
        _ => None,
    }
}

fn pattern_message(place: &Place<'_>, pattern: &str) -> String {
    let text = place.node.text().unwrap_or_default();
    if pattern == ID {
        format!("`{text}` is no id")
    } else {
        format!("`{text}` has the wrong form")
    }
}

/// The pattern of ids and names.
pub const ID: &str = crate::catalog::NAME;

fn pattern_expected(pattern: &str) -> String {
    match pattern {
        ID => "a lower-case letter, then lower-case letters, digits and `_`".to_owned(),
        other => format!("text that matches `{other}`"),
    }
}

fn type_names(kind: &TypeKind) -> String {
    let name = |name: &str| match name {
        "string" => "text",
        "array" => "a list",
        "object" => "a mapping",
        "boolean" => "`true` or `false`",
        "integer" => "a whole number",
        "number" => "a number",
        _ => "nothing",
    };
    match kind {
        TypeKind::Single(only) => name(only.as_str()).to_owned(),
        TypeKind::Multiple(several) => several
            .iter()
            .map(|one| name(one.as_str()))
            .collect::<Vec<_>>()
            .join(" or "),
    }
}

fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// `a`, `b` or `c`.
pub fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.map(|name| format!("`{name}`")).collect();
    match names.as_slice() {
        [] => "nothing".to_owned(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals() {
        assert_eq!(interval("1h30m"), Some(Duration::from_secs(5400)));
        assert_eq!(interval("500ms"), Some(Duration::from_millis(500)));
        for wrong in [
            "",
            "30",
            "s",
            "1x",
            "-1s",
            "1.5h",
            "1h ",
            "99999999999999999999s",
            "99999999999999999d",
        ] {
            assert_eq!(interval(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn percentages() {
        assert_eq!(percentage("1%"), Some(1.0));
        assert_eq!(percentage("0.5%"), Some(0.5));
        for wrong in ["%", "0%", "101%", "-1%", "1", "1e1%", "NaN%"] {
            assert_eq!(percentage(wrong), None, "{wrong}");
        }
    }
}

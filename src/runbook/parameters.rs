//! Values of parameters: what was given (command line, file, environment, prompt) × what is declared →
//! [`Parameters`], or everything that is missing or wrong, at once.
//!
//! Pure: the caller reads files and the environment. Secrets are held apart: neither `Debug` nor
//! `Serialize` shows them.

use std::collections::BTreeMap;
use std::fmt;

use indexmap::IndexMap;
use regex::Regex;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::model::{Parameter, ParameterType, Runbook};
use crate::diagnostic::{Diagnostic, Kind};
use crate::document::Document;
use crate::schema::{interval, list};
use crate::survey::Version;

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text itself: for the call that needs it, and nothing else.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// Resolved values. Serialized without the secrets.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Parameters {
    values: IndexMap<String, Value>,
    #[serde(skip)]
    secrets: BTreeMap<String, Secret>,
}

impl Parameters {
    /// The value of a parameter that is not secret. A Version is the text `DEPLOYMENT:BUILD`.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.values.get(name)
    }

    /// All that are not secret, in the order of their declaration.
    pub fn values(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.values
            .iter()
            .map(|(name, value)| (name.as_str(), value))
    }

    /// A secret.
    pub fn secret(&self, name: &str) -> Option<&Secret> {
        self.secrets.get(name)
    }

    /// All secrets, by name.
    pub fn secrets(&self) -> impl Iterator<Item = (&str, &str)> {
        let secrets = self.secrets.iter();
        secrets.map(|(name, secret)| (name.as_str(), secret.reveal()))
    }

    /// Takes the secrets of another: a resumed run fetches them again.
    #[must_use]
    pub fn with_secrets_of(mut self, other: Self) -> Self {
        self.secrets = other.secrets;
        self
    }

    /// Sets one entry of a map parameter: `resume -p classes.Refund=move_only`.
    ///
    /// # Errors
    /// Where there is no such map parameter, or the value does not fit it.
    pub fn set_entry(
        &mut self,
        runbook: &Runbook,
        name: &str,
        key: &str,
        text: &str,
    ) -> Result<(), Diagnostic> {
        let Some(parameter) = runbook.params.get(name) else {
            return Err(unknown(runbook, name));
        };
        let fail = |why: String| {
            Diagnostic::plain(
                Kind::Parameter,
                format!("parameter `{name}`, entry `{key}`: {why}"),
            )
        };
        if parameter.kind != ParameterType::Map {
            return Err(fail("only maps have entries".to_owned()));
        }
        let value = scalar(&item(parameter), text).map_err(fail)?;
        if let Some(Value::Object(entries)) = self.values.get_mut(name) {
            entries.insert(key.to_owned(), value);
        }
        Ok(())
    }
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq)]
enum Origin {
    CommandLine,
    File(String),
    Environment(String),
    Prompt,
}

#[derive(Clone)]
enum Raw {
    Text(String),
    Json(Value),
}

#[derive(Clone)]
struct Given {
    name: String,
    key: Option<String>,
    raw: Raw,
    origin: Origin,
    /// Where in a file, for what is wrong with it.
    place: Option<Diagnostic>,
}

/// What was given for parameters, from all sources; later ones win over files.
#[derive(Clone, Default)]
pub struct ParameterInput {
    given: Vec<Given>,
}

impl fmt::Debug for ParameterInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.given.iter().map(|given| &given.name))
            .finish()
    }
}

impl ParameterInput {
    /// Takes one `NAME=VALUE`, `NAME.KEY=VALUE` or `NAME=@FILE` of the command line; `read` reads a file.
    ///
    /// # Errors
    /// Where it is no assignment, or the file cannot be read.
    pub fn assign(
        &mut self,
        assignment: &str,
        read: &mut dyn FnMut(&str) -> Result<String, String>,
    ) -> Result<(), Diagnostic> {
        let Some((target, text)) = assignment.split_once('=') else {
            let message = format!("`-p {assignment}` is no assignment");
            return Err(Diagnostic::plain(Kind::Parameter, message).expected("`-p NAME=VALUE`"));
        };
        let (name, key) = match target.split_once('.') {
            Some((name, key)) => (name, Some(key.to_owned())),
            None => (target, None),
        };
        let (raw, origin) = match text.strip_prefix('@') {
            Some(path) => {
                let content = read(path).map_err(|why| {
                    Diagnostic::plain(
                        Kind::Parameter,
                        format!("parameter `{name}`: cannot read `{path}`: {why}"),
                    )
                })?;
                (
                    content.trim_end_matches(['\r', '\n']).to_owned(),
                    Origin::File(path.to_owned()),
                )
            }
            None => (text.to_owned(), Origin::CommandLine),
        };
        self.given.push(Given {
            name: name.to_owned(),
            key,
            raw: Raw::Text(raw),
            origin,
            place: None,
        });
        Ok(())
    }

    /// Takes a parameter file: a YAML or JSON mapping of names to values.
    ///
    /// # Errors
    /// Where it is no such file.
    pub fn file(&mut self, name: &str, bytes: &[u8]) -> Result<(), Vec<Diagnostic>> {
        let (document, problems) = Document::parse(name, bytes);
        let Some(document) = document.filter(|_| problems.is_empty()) else {
            return Err(problems);
        };
        if !matches!(document.root.content, crate::document::Content::Map(_)) {
            return Err(vec![document.at(
                &document.root,
                Kind::Parameter,
                "not a mapping of parameters to values",
            )]);
        }
        for (key, node) in document.root.entries() {
            self.given.push(Given {
                name: key.name.clone(),
                key: None,
                raw: Raw::Json(node.to_json()),
                origin: Origin::File(name.to_owned()),
                place: Some(document.at_key(key, Kind::Parameter, "")),
            });
        }
        Ok(())
    }

    /// The names for which something was given, in order, each once.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for given in &self.given {
            if !names.contains(&given.name.as_str()) {
                names.push(&given.name);
            }
        }
        names
    }

    /// Takes everything of another, which wins over what is here.
    pub fn extend(&mut self, other: Self) {
        self.given.extend(other.given);
    }

    /// Takes a value as data: a scenario's.
    pub fn value(&mut self, name: &str, value: Value) {
        self.given.push(Given {
            name: name.to_owned(),
            key: None,
            raw: Raw::Json(value),
            origin: Origin::File(String::new()),
            place: None,
        });
    }

    /// Takes the secrets of a runbook from the environment, which `lookup` reads.
    pub fn environment(&mut self, runbook: &Runbook, lookup: &dyn Fn(&str) -> Option<String>) {
        for (name, _) in runbook
            .params
            .iter()
            .filter(|(_, parameter)| parameter.secret)
        {
            let variable = environment_variable(name);
            if let Some(text) = lookup(&variable) {
                self.given.push(Given {
                    name: name.clone(),
                    key: None,
                    raw: Raw::Text(text),
                    origin: Origin::Environment(variable),
                    place: None,
                });
            }
        }
    }

    /// Takes what was typed when `name` was asked for: one value; for a list, values separated by
    /// commas; for a map, `KEY=VALUE` separated by commas; or JSON.
    ///
    /// # Errors
    /// Why it does not fit, so that the question can be asked again.
    pub fn prompted(&mut self, runbook: &Runbook, name: &str, text: &str) -> Result<(), String> {
        let parameter = runbook
            .params
            .get(name)
            .ok_or_else(|| format!("unknown parameter `{name}`"))?;
        let value = typed(parameter, text)?;
        check(parameter, &value)?;
        let raw = if parameter.secret {
            Raw::Text(text.to_owned())
        } else {
            Raw::Json(value)
        };
        self.given.push(Given {
            name: name.to_owned(),
            key: None,
            raw,
            origin: Origin::Prompt,
            place: None,
        });
        Ok(())
    }

    fn of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Given> {
        self.given.iter().filter(move |given| given.name == name)
    }
}

/// The environment variable that a secret parameter comes from.
pub fn environment_variable(name: &str) -> String {
    format!("RUNBOOK_PARAM_{}", name.to_uppercase())
}

impl Runbook {
    /// The parameters that must still be given, in order.
    pub fn missing_parameters(&self, input: &ParameterInput) -> Vec<&str> {
        let missing = |(name, parameter): &(&String, &Parameter)| {
            parameter.default.is_none() && input.of(name).next().is_none()
        };
        self.params
            .iter()
            .filter(missing)
            .map(|(name, _)| name.as_str())
            .collect()
    }

    /// Whether a parameter is secret.
    pub fn has_secrets(&self) -> bool {
        self.params.values().any(|parameter| parameter.secret)
    }

    /// Puts together what was given and what is declared.
    ///
    /// # Errors
    /// Every parameter that is missing, unknown or wrong.
    pub fn resolve_parameters(
        &self,
        input: &ParameterInput,
    ) -> Result<Parameters, Vec<Diagnostic>> {
        let mut problems = Vec::new();
        let mut named = std::collections::BTreeSet::new();
        // The line of a file may hold a secret, also under a name that is mistyped.
        let shown = |problem: Diagnostic| match self.has_secrets() {
            true => problem.without_line(),
            false => problem,
        };
        for given in &input.given {
            if !self.params.contains_key(&given.name) && named.insert(&given.name) {
                problems.push(shown(place(given, unknown(self, &given.name))));
            }
        }
        let mut parameters = Parameters::default();
        for (name, parameter) in &self.params {
            let given: Vec<_> = input.of(name).collect();
            match resolve(name, parameter, &given) {
                Ok(Resolved::Value(value)) => drop(parameters.values.insert(name.clone(), value)),
                Ok(Resolved::Secret(secret)) => {
                    drop(parameters.secrets.insert(name.clone(), secret))
                }
                Err(diagnostic) => problems.push(shown(diagnostic)),
            }
        }
        if problems.is_empty() {
            Ok(parameters)
        } else {
            Err(problems)
        }
    }
}

fn unknown(runbook: &Runbook, name: &str) -> Diagnostic {
    let known = || runbook.params.keys().map(String::as_str);
    Diagnostic::plain(Kind::Parameter, format!("unknown parameter `{name}`"))
        .expected(list(known()))
        .near(name, known())
}

/// Puts a problem where its value stands.
fn place(given: &Given, mut diagnostic: Diagnostic) -> Diagnostic {
    if let Some(place) = &given.place {
        diagnostic.file.clone_from(&place.file);
        diagnostic.position.clone_from(&place.position);
    }
    diagnostic
}

enum Resolved {
    Value(Value),
    Secret(Secret),
}

fn resolve(name: &str, parameter: &Parameter, given: &[&Given]) -> Result<Resolved, Diagnostic> {
    let Some(last) = given.last() else {
        return parameter
            .default
            .clone()
            .map(Resolved::Value)
            .ok_or_else(|| missing(name, parameter));
    };
    let fail = |given: &Given, why: String| {
        place(
            given,
            Diagnostic::plain(Kind::Parameter, format!("parameter `{name}`: {why}")),
        )
    };
    if parameter.secret {
        // One that anybody can see is refused, even where another one wins over it.
        let seen = given.iter().find(|one| one.origin == Origin::CommandLine);
        return secret(name, parameter, seen.unwrap_or(last)).map(Resolved::Secret);
    }
    let mut value = None;
    for one in given {
        value = Some(combine(parameter, value, one).map_err(|why| fail(one, why))?);
    }
    let value = value.unwrap_or(Value::Null);
    check(parameter, &value).map_err(|why| fail(last, why))?;
    Ok(Resolved::Value(value))
}

fn missing(name: &str, parameter: &Parameter) -> Diagnostic {
    let diagnostic = Diagnostic::plain(Kind::Parameter, format!("parameter `{name}` is missing"));
    let diagnostic = if parameter.description.is_empty() {
        diagnostic
    } else {
        diagnostic.note(parameter.description.clone())
    };
    if parameter.secret {
        return diagnostic.expected(format!(
            "the environment variable {}, or `-p {name}=@FILE`",
            environment_variable(name)
        ));
    }
    diagnostic.expected(match parameter.kind {
        ParameterType::Map => format!("`-p {name}.KEY=VALUE`, once an entry"),
        ParameterType::List => format!("`-p {name}=VALUE`, once an item"),
        ParameterType::Version => format!("`-p {name}=DEPLOYMENT:BUILD`"),
        _ => format!("`-p {name}=VALUE`"),
    })
}

/// A secret is taken from where it leaves no trace; its value is never part of a message.
fn secret(name: &str, parameter: &Parameter, given: &Given) -> Result<Secret, Diagnostic> {
    let fail = |why: &str| {
        let where_from = format!(
            "the environment variable {}, or `-p {name}=@FILE`",
            environment_variable(name)
        );
        place(
            given,
            Diagnostic::plain(
                Kind::Parameter,
                format!("parameter `{name}` is secret: {why}"),
            )
            .expected(where_from),
        )
    };
    match (&given.origin, &given.raw) {
        (Origin::CommandLine, _) => Err(fail("the command line is seen by other processes")),
        (_, Raw::Text(text)) | (_, Raw::Json(Value::String(text))) => {
            match check(parameter, &Value::String(text.clone())) {
                Ok(()) => Ok(Secret(text.clone())),
                Err(_) => Err(fail("the value does not fit its declaration")),
            }
        }
        _ => Err(fail("the value is no text")),
    }
}

/// Adds one given value to those before it: lists grow, maps gain entries, anything else is replaced.
fn combine(parameter: &Parameter, before: Option<Value>, given: &Given) -> Result<Value, String> {
    match (&given.key, &given.raw) {
        (Some(_), _) if parameter.kind != ParameterType::Map => {
            Err("only maps have entries".to_owned())
        }
        (Some(key), Raw::Text(text)) => {
            let mut entries = match before {
                Some(Value::Object(entries)) => entries,
                _ => Map::new(),
            };
            entries.insert(key.clone(), scalar(&item(parameter), text)?);
            Ok(Value::Object(entries))
        }
        (_, Raw::Json(value)) => Ok(value.clone()),
        (None, Raw::Text(text)) => {
            let from_file = matches!(given.origin, Origin::File(_));
            match (parameter.kind, before) {
                (ParameterType::List, before)
                    if !from_file && !text.trim_start().starts_with('[') =>
                {
                    let mut items = match before {
                        Some(Value::Array(items)) => items,
                        _ => Vec::new(),
                    };
                    items.push(scalar(&item(parameter), text)?);
                    Ok(Value::Array(items))
                }
                (ParameterType::List | ParameterType::Map, _) => structured(parameter, text),
                _ => scalar(parameter, text),
            }
        }
    }
}

/// What was typed at a prompt.
pub(super) fn typed(parameter: &Parameter, text: &str) -> Result<Value, String> {
    let text = text.trim();
    match parameter.kind {
        ParameterType::List | ParameterType::Map if text.starts_with(['[', '{']) => {
            structured(parameter, text)
        }
        ParameterType::List => parts(text)
            .map(|part| scalar(&item(parameter), part))
            .collect::<Result<Vec<_>, _>>()
            .map(Value::Array),
        ParameterType::Map => {
            let mut entries = Map::new();
            for part in parts(text) {
                let (key, value) = part
                    .split_once('=')
                    .ok_or_else(|| format!("`{part}` is no KEY=VALUE"))?;
                entries.insert(
                    key.trim().to_owned(),
                    scalar(&item(parameter), value.trim())?,
                );
            }
            Ok(Value::Object(entries))
        }
        _ => scalar(parameter, text),
    }
}

fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
}

/// JSON or YAML.
fn structured(parameter: &Parameter, text: &str) -> Result<Value, String> {
    let wanted = if parameter.kind == ParameterType::Map {
        "a mapping"
    } else {
        "a list"
    };
    let (document, problems) = Document::parse("value", text.as_bytes());
    let value = document
        .filter(|_| problems.is_empty())
        .map(|document| document.root.to_json());
    let fits = |value: &Value| {
        if parameter.kind == ParameterType::Map {
            value.is_object()
        } else {
            value.is_array()
        }
    };
    value.filter(fits).ok_or_else(|| {
        format!(
            "not {wanted}: expected `{}=…` once each, JSON, or @FILE",
            if parameter.kind == ParameterType::Map {
                "NAME.KEY"
            } else {
                "NAME"
            }
        )
    })
}

/// The declaration of a collection's items.
fn item(parameter: &Parameter) -> Parameter {
    Parameter {
        kind: parameter.items,
        default: None,
        ..parameter.clone()
    }
}

/// One value from text.
fn scalar(parameter: &Parameter, text: &str) -> Result<Value, String> {
    let value = match parameter.kind {
        ParameterType::Integer => text.parse::<i64>().ok().map(Value::from),
        ParameterType::Number => text
            .parse::<f64>()
            .ok()
            .and_then(serde_json::Number::from_f64)
            .map(Value::Number),
        ParameterType::Boolean => text.parse::<bool>().ok().map(Value::from),
        _ => Some(Value::from(text)),
    };
    let value = value.ok_or_else(|| format!("`{text}` is not {}", kind_name(parameter.kind)))?;
    check(parameter, &value)?;
    Ok(value)
}

fn kind_name(kind: ParameterType) -> &'static str {
    match kind {
        ParameterType::String => "text",
        ParameterType::Integer => "a whole number",
        ParameterType::Number => "a number",
        ParameterType::Boolean => "`true` or `false`",
        ParameterType::Duration => "a duration such as `30s` or `1h30m`",
        ParameterType::List => "a list",
        ParameterType::Map => "a mapping",
        ParameterType::Version => "a Version, `DEPLOYMENT:BUILD`",
    }
}

/// Whether a value fits a declaration.
///
/// # Errors
/// Why not.
pub(super) fn check(parameter: &Parameter, value: &Value) -> Result<(), String> {
    match (parameter.kind, value) {
        (ParameterType::List, Value::Array(items)) => items
            .iter()
            .try_for_each(|one| check(&item(parameter), one)),
        (ParameterType::Map, Value::Object(entries)) => {
            entries.iter().try_for_each(|(key, one)| {
                check(&item(parameter), one).map_err(|why| format!("entry `{key}`: {why}"))
            })
        }
        (ParameterType::List | ParameterType::Map, other) => {
            Err(format!("{other} is not {}", kind_name(parameter.kind)))
        }
        (kind, value) => fits(kind, value)
            .then_some(())
            .ok_or_else(|| format!("{} is not {}", shown(value), kind_name(kind)))
            .and_then(|()| restrictions(parameter, value)),
    }
}

fn fits(kind: ParameterType, value: &Value) -> bool {
    match kind {
        ParameterType::String => value.is_string(),
        ParameterType::Integer => value.is_i64() || value.is_u64(),
        ParameterType::Number => value.is_number(),
        ParameterType::Boolean => value.is_boolean(),
        ParameterType::Duration => value.as_str().is_some_and(|text| interval(text).is_some()),
        ParameterType::Version => value
            .as_str()
            .is_some_and(|text| Version::parse(text).is_some()),
        ParameterType::List => value.is_array(),
        ParameterType::Map => value.is_object(),
    }
}

fn restrictions(parameter: &Parameter, value: &Value) -> Result<(), String> {
    if !parameter.choices.is_empty() && !parameter.choices.contains(value) {
        let choices: Vec<_> = parameter
            .choices
            .iter()
            .map(|choice| {
                choice
                    .as_str()
                    .map_or_else(|| choice.to_string(), str::to_owned)
            })
            .collect();
        let near = value
            .as_str()
            .and_then(|text| crate::diagnostic::nearest(text, choices.iter().map(String::as_str)));
        let near = near
            .map(|near| format!("; did you mean `{near}`?"))
            .unwrap_or_default();
        return Err(format!(
            "{} is not one of {}{near}",
            shown(value),
            list(choices.iter().map(String::as_str))
        ));
    }
    if let (Some(pattern), Some(text)) = (&parameter.pattern, value.as_str())
        && Regex::new(pattern).is_ok_and(|regex| !regex.is_match(text))
    {
        return Err(format!("{} does not match `{pattern}`", shown(value)));
    }
    let Some(number) = value.as_f64() else {
        return Ok(());
    };
    match (parameter.minimum, parameter.maximum) {
        (Some(minimum), _) if number < minimum => Err(format!("{number} is less than {minimum}")),
        (_, Some(maximum)) if number > maximum => Err(format!("{number} is more than {maximum}")),
        _ => Ok(()),
    }
}

fn shown(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), |text| format!("`{text}`"))
}

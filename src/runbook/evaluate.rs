//! Expressions and queries with values put in: [`Scope`] holds what is known, and what is not known
//! before a step has run is said to be so, never guessed.
//!
//! No type of the expression language leaves this module. Values put into a query become literals in
//! its syntax tree: no value can change what a query means.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, LazyLock};

use indexmap::IndexMap;
use minijinja::value::{Enumerator, Object, Serde};
use minijinja::{Environment, Value as Dynamic};
use serde_json::{Map, Value};

use super::model::{Check, Runbook, Step, StepBody, StepId};
use super::parameters::Parameters;
use crate::lease;
use crate::list_filter::{self, Filled, Filter, Hole, HolePosition, Literal};
use crate::survey::Version;
use crate::template::{self, Piece, Read};

/// Why an expression has no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EvalError {
    /// It reads the output of a step that has not run yet.
    UnknownUntil {
        /// That step.
        step: StepId,
    },
    /// It cannot be evaluated: two things that cannot be added, a value that does not fit a query.
    Failed {
        /// Why; without the values of parameters.
        message: String,
    },
}

impl EvalError {
    fn failed(message: impl Into<String>) -> Self {
        Self::Failed {
            message: message.into(),
        }
    }
}

impl fmt::Display for EvalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownUntil { step } => write!(f, "unknown until step `{step}`"),
            Self::Failed { message } => f.write_str(message),
        }
    }
}

impl std::error::Error for EvalError {}

/// What expressions can read at a place: cheap to clone.
#[derive(Clone, Debug)]
pub struct Scope {
    known: Arc<Known>,
}

struct Known {
    params: IndexMap<String, Value>,
    vars: IndexMap<String, Value>,
    queries: IndexMap<String, String>,
    outputs: BTreeMap<StepId, Value>,
    steps: Vec<StepId>,
    run: Value,
    folder: PathBuf,
}

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Known")
            .field("outputs", &self.outputs.keys())
            .finish_non_exhaustive()
    }
}

thread_local! {
    /// The first thing that was not known, or went wrong, below the evaluation that this thread is in.
    static INSIDE: RefCell<Option<EvalError>> = const { RefCell::new(None) };
}

fn note(error: EvalError) {
    INSIDE.with_borrow_mut(|inside| _ = inside.get_or_insert(error));
}

fn dynamic(value: &Value) -> Dynamic {
    Dynamic::from(Serde(value))
}

/// What a root name gives access to.
struct Root {
    known: Arc<Known>,
    kind: RootKind,
}

#[derive(Clone, Copy)]
enum RootKind {
    Params,
    Vars,
    Queries,
    Steps,
}

impl fmt::Debug for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("names")
    }
}

impl Object for Root {
    fn get_value(self: &Arc<Self>, key: &Dynamic) -> Option<Dynamic> {
        let name = key.as_str()?;
        let scope = Scope {
            known: Arc::clone(&self.known),
        };
        match self.kind {
            RootKind::Params => scope.parameter(name).map(|value| dynamic(&value)),
            RootKind::Vars => nested(scope.render(self.known.vars.get(name)?)),
            RootKind::Queries => nested(
                scope
                    .query(name)
                    .map(|filter| Value::String(filter.render())),
            ),
            RootKind::Steps => match self.known.outputs.get(name) {
                Some(output) => Some(dynamic(output)),
                None => {
                    if self.known.steps.iter().any(|step| step == name) {
                        note(EvalError::UnknownUntil {
                            step: name.to_owned(),
                        });
                    }
                    None
                }
            },
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::NonEnumerable
    }
}

/// The value of something that is evaluated inside another evaluation.
fn nested(result: Result<Value, EvalError>) -> Option<Dynamic> {
    match result {
        Ok(value) => Some(dynamic(&value)),
        Err(error) => {
            note(error);
            None
        }
    }
}

/// How a file elsewhere is given.
pub const ELSEWHERE: &str =
    "one elsewhere is the operator's to name: `file: ${{ params.… }}`, and `-p` gives the path";

/// Whether a path is wholly made of parameters: whoever calls the tool named it.
pub fn is_the_operators(written: &str) -> bool {
    let expression = template::sole(written)
        .and_then(|inner| template::parse(&written[inner.clone()], inner.start).ok());
    expression.is_some_and(|expression| {
        let mut reads = expression.reads.iter();
        !expression.reads.is_empty() && reads.all(|read| read.name(0) == Some("params"))
    })
}

/// Whether a path, as it is written, leads out of the folder that it is relative to.
pub fn leaves(path: &Path) -> bool {
    let mut parts = path.components();
    parts.any(|part| !matches!(part, Component::Normal(_) | Component::CurDir))
}

impl Scope {
    /// A parameter, or a field of a Version: `bad.deployment`.
    fn parameter(&self, name: &str) -> Option<Value> {
        if let Some(value) = self.known.params.get(name) {
            return Some(value.clone());
        }
        let (name, field) = name.rsplit_once('.')?;
        let version = Version::parse(self.known.params.get(name)?.as_str()?)?;
        match field {
            "deployment" => Some(Value::String(version.deployment)),
            "build_id" => Some(Value::String(version.build_id)),
            _ => None,
        }
    }

    fn context(&self) -> Dynamic {
        let root = |kind| {
            Dynamic::from_object(Root {
                known: Arc::clone(&self.known),
                kind,
            })
        };
        minijinja::context! {
            params => root(RootKind::Params),
            vars => root(RootKind::Vars),
            queries => root(RootKind::Queries),
            steps => root(RootKind::Steps),
            run => dynamic(&self.known.run),
        }
    }

    /// The value of an expression (without `${{ }}`).
    ///
    /// # Errors
    /// See [`EvalError`].
    pub fn evaluate(&self, expression: &str) -> Result<Value, EvalError> {
        static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(template::environment);
        let expression = self.with_version_fields(expression)?;
        let outer = INSIDE.take();
        let result = ENVIRONMENT
            .compile_expression(&expression)
            .and_then(|compiled| compiled.eval(self.context()));
        let inside = INSIDE.replace(outer);
        let value = result.map_err(|error| inside.clone().unwrap_or_else(|| failure(&error)))?;
        if let Some(error) = inside.filter(|_| value.is_undefined()) {
            return Err(error);
        }
        if value.is_undefined() {
            return Err(EvalError::failed("the expression gives nothing"));
        }
        serde_json::to_value(&value)
            .map_err(|_| EvalError::failed("the expression gives no plain value"))
    }

    /// Versions are texts; their fields are reached by a name of their own.
    fn with_version_fields(&self, expression: &str) -> Result<String, EvalError> {
        let parsed =
            template::parse(expression, 0).map_err(|problem| EvalError::failed(problem.message))?;
        let mut text = expression.to_owned();
        let mut reads: Vec<&Read> = parsed
            .reads
            .iter()
            .filter(|read| read.path.len() == 3 && read.name(0) == Some("params"))
            .collect();
        reads.sort_by_key(|read| std::cmp::Reverse(read.end));
        for read in reads {
            let (Some(name), Some(field)) = (read.name(1), read.name(2)) else {
                continue;
            };
            let version = matches!(field, "deployment" | "build_id")
                && self.known.params.get(name).is_some_and(Value::is_string);
            if version {
                text.replace_range(
                    read.path[0].1.start..read.end,
                    &format!("params[\"{name}.{field}\"]"),
                );
            }
        }
        Ok(text)
    }

    /// Whether a condition holds.
    ///
    /// # Errors
    /// See [`EvalError`]; also where it is not true or false.
    pub fn holds(&self, expression: &str) -> Result<bool, EvalError> {
        match self.evaluate(expression)? {
            Value::Bool(holds) => Ok(holds),
            other => Err(EvalError::failed(format!(
                "`{expression}` is {} where true or false belongs",
                type_name(&other)
            ))),
        }
    }

    /// A value with all expressions in it evaluated. A text that is exactly one expression keeps its type.
    ///
    /// # Errors
    /// See [`EvalError`].
    pub fn render(&self, value: &Value) -> Result<Value, EvalError> {
        match value {
            Value::String(text) => self.render_text(text),
            Value::Array(items) => items
                .iter()
                .map(|item| self.render(item))
                .collect::<Result<Vec<_>, _>>()
                .map(Value::Array),
            Value::Object(entries) => {
                let rendered = entries
                    .iter()
                    .map(|(key, item)| Ok((key.clone(), self.render(item)?)));
                rendered
                    .collect::<Result<Map<_, _>, _>>()
                    .map(Value::Object)
            }
            other => Ok(other.clone()),
        }
    }

    fn render_text(&self, text: &str) -> Result<Value, EvalError> {
        if let Some(inner) = template::sole(text) {
            return self.evaluate(&text[inner]);
        }
        let mut rendered = String::new();
        for piece in template::split(text).map_err(|problem| EvalError::failed(problem.message))? {
            match piece {
                Piece::Text(range) => rendered.push_str(&text[range]),
                Piece::Hole { inner, .. } => match self.evaluate(&text[inner])? {
                    Value::String(part) => rendered.push_str(&part),
                    Value::Null => {}
                    other => rendered.push_str(&other.to_string()),
                },
            }
        }
        Ok(Value::String(rendered))
    }

    /// The arguments of an action, rendered; those that are List Filters as filters are, folded.
    ///
    /// # Errors
    /// See [`EvalError`].
    pub fn render_arguments(
        &self,
        with: &Map<String, Value>,
    ) -> Result<Map<String, Value>, EvalError> {
        let mut rendered = Map::new();
        for (name, value) in with {
            let value = match (name.as_str(), value) {
                ("query", Value::String(text)) => Value::String(self.render_query(text)?.render()),
                ("select" | "exclude", Value::Object(select)) => {
                    Value::Object(self.render_select(select)?)
                }
                ("for_workflows", Value::Object(wait)) => {
                    Value::Object(self.render_arguments(wait)?)
                }
                (_, other) => self.render(other)?,
            };
            rendered.insert(name.clone(), value);
        }
        Ok(rendered)
    }

    /// The same, of a selection: a path that is written in the runbook is relative to its folder.
    fn render_select(&self, select: &Map<String, Value>) -> Result<Map<String, Value>, EvalError> {
        let mut rendered = self.render_arguments(select)?;
        let written = select.get("file").and_then(Value::as_str);
        if let (Some(written), Some(Value::String(path))) = (written, rendered.get_mut("file"))
            && !is_the_operators(written)
        {
            if leaves(Path::new(path)) {
                return Err(EvalError::failed(format!(
                    "the file `{path}` is not within the runbook's folder; {ELSEWHERE}"
                )));
            }
            let folder = self.known.folder.display().to_string();
            *path = self.known.folder.join(&*path).display().to_string();
            rendered.insert("within".to_owned(), Value::from(folder));
        }
        Ok(rendered)
    }

    /// A List Filter with literals, lists of literals and named queries put in, folded.
    ///
    /// # Errors
    /// See [`EvalError`]; also where a value does not fit its attribute.
    pub fn render_query(&self, text: &str) -> Result<Filter, EvalError> {
        let filter = self.fill(text)?.fold();
        match filter.check().into_iter().next() {
            Some(problem) => Err(EvalError::failed(problem.message)),
            None => Ok(filter),
        }
    }

    fn query(&self, name: &str) -> Result<Filter, EvalError> {
        let text = self
            .known
            .queries
            .get(name)
            .ok_or_else(|| EvalError::failed(format!("unknown query `{name}`")))?;
        self.render_query(text)
    }

    fn fill(&self, text: &str) -> Result<Filter, EvalError> {
        let template = list_filter::parse_template(text).map_err(|problems| {
            EvalError::failed(
                problems
                    .into_iter()
                    .next()
                    .map_or_else(String::new, |problem| problem.message),
            )
        })?;
        let mut resolve = |hole: &Hole, position: HolePosition| self.filled(&hole.source, position);
        template.fill(&mut resolve).map_err(|error| match error {
            list_filter::FillError::Resolve(inner) => inner,
            other => EvalError::failed(other.to_string()),
        })
    }

    fn filled(&self, source: &str, position: HolePosition) -> Result<Filled, EvalError> {
        if position == HolePosition::Condition {
            let parsed =
                template::parse(source, 0).map_err(|problem| EvalError::failed(problem.message))?;
            let name = parsed
                .reads
                .first()
                .filter(|read| read.name(0) == Some("queries"))
                .and_then(|read| read.name(1));
            let name = name.ok_or_else(|| EvalError::failed(format!("`{source}` is no query")))?;
            return self.query(name).map(Filled::Fragment);
        }
        let value = self.evaluate(source)?;
        let literal = |value: &Value| {
            literal(value).ok_or_else(|| {
                EvalError::failed(format!(
                    "`{source}` is {} where a value belongs",
                    type_name(value)
                ))
            })
        };
        match &value {
            Value::Array(items) => items
                .iter()
                .map(literal)
                .collect::<Result<_, _>>()
                .map(Filled::List),
            other => literal(other).map(Filled::Literal),
        }
    }
}

fn literal(value: &Value) -> Option<Literal> {
    match value {
        Value::String(text) => Some(Literal::text(text.as_str())),
        Value::Bool(truth) => Some(Literal::Bool(*truth)),
        Value::Number(number) => number
            .as_i64()
            .map(Literal::Int)
            .or_else(|| number.as_f64().map(Literal::Float)),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}

/// The kind and detail of an error; its other forms print variables.
fn failure(error: &minijinja::Error) -> EvalError {
    let detail = error
        .detail()
        .map(|detail| format!(": {detail}"))
        .unwrap_or_default();
    EvalError::failed(format!("{}{detail}", error.kind()))
}

impl Runbook {
    /// What expressions can read, given the outputs that steps have by now. A secret parameter reads as
    /// `(secret NAME)`: what is rendered with this scope may be shown.
    pub fn scope(
        &self,
        parameters: &Parameters,
        outputs: &BTreeMap<StepId, Value>,
        run: &Value,
    ) -> Scope {
        let mut params: IndexMap<String, Value> = parameters
            .values()
            .map(|(name, value)| (name.to_owned(), value.clone()))
            .collect();
        for (name, _) in self.params.iter().filter(|(_, parameter)| parameter.secret) {
            params.insert(name.clone(), Value::String(format!("(secret {name})")));
        }
        self.scope_of(params, outputs, run)
    }

    /// As [`Runbook::scope`], with secrets: only for the call that needs them.
    pub fn scope_with_secrets(
        &self,
        parameters: &Parameters,
        outputs: &BTreeMap<StepId, Value>,
        run: &Value,
    ) -> Scope {
        let mut params: IndexMap<String, Value> = parameters
            .values()
            .map(|(name, value)| (name.to_owned(), value.clone()))
            .collect();
        for (name, _) in self.params.iter().filter(|(_, parameter)| parameter.secret) {
            if let Some(secret) = parameters.secret(name) {
                params.insert(name.clone(), Value::String(secret.reveal().to_owned()));
            }
        }
        self.scope_of(params, outputs, run)
    }

    fn scope_of(
        &self,
        params: IndexMap<String, Value>,
        outputs: &BTreeMap<StepId, Value>,
        run: &Value,
    ) -> Scope {
        Scope {
            known: Arc::new(Known {
                params,
                vars: self.vars.clone(),
                queries: self.queries.clone(),
                outputs: outputs.clone(),
                steps: self
                    .all_steps()
                    .iter()
                    .map(|step| step.id.clone())
                    .collect(),
                run: run.clone(),
                folder: Path::new(&self.file)
                    .parent()
                    .map(Path::to_owned)
                    .unwrap_or_default(),
            }),
        }
    }

    /// See [`Scope::evaluate`].
    ///
    /// # Errors
    /// See [`EvalError`].
    pub fn evaluate(&self, expression: &str, scope: &Scope) -> Result<Value, EvalError> {
        scope.evaluate(expression)
    }

    /// See [`Scope::holds`].
    ///
    /// # Errors
    /// See [`EvalError`].
    pub fn holds(&self, expression: &str, scope: &Scope) -> Result<bool, EvalError> {
        scope.holds(expression)
    }

    /// See [`Scope::render`].
    ///
    /// # Errors
    /// See [`EvalError`].
    pub fn render(&self, value: &Value, scope: &Scope) -> Result<Value, EvalError> {
        scope.render(value)
    }

    /// See [`Scope::render_query`].
    ///
    /// # Errors
    /// See [`EvalError`].
    pub fn render_query(&self, text: &str, scope: &Scope) -> Result<Filter, EvalError> {
        scope.render_query(text)
    }

    /// The checks that do not hold.
    ///
    /// # Errors
    /// The first that cannot be evaluated.
    pub fn failed_checks(&self, scope: &Scope) -> Result<Vec<&Check>, EvalError> {
        let mut failed = Vec::new();
        for check in &self.checks {
            if !scope.holds(&check.that)? {
                failed.push(check);
            }
        }
        Ok(failed)
    }

    /// The name of the lock that a run takes; none where the runbook declares none.
    ///
    /// # Errors
    /// Where it cannot be evaluated, or is no name.
    pub fn lock_name(&self, scope: &Scope) -> Result<Option<String>, EvalError> {
        let Some(template) = &self.lock else {
            return Ok(None);
        };
        let name = match scope.render_text(template)? {
            Value::String(name) => name,
            other => other.to_string(),
        };
        lease::named(&name).map(Some).map_err(EvalError::failed)
    }

    /// The names that an expression reads, as paths: `["steps", "drainage", "status"]`.
    pub fn reads(&self, expression: &str) -> Vec<Vec<String>> {
        let reads = template::parse(expression, 0)
            .map(|parsed| parsed.reads)
            .unwrap_or_default();
        reads
            .into_iter()
            .map(|read| read.path.into_iter().map(|(name, _)| name).collect())
            .collect()
    }

    /// Every step in the order of the file, nested ones after their loop.
    pub fn all_steps(&self) -> Vec<&Step> {
        let mut all = Vec::new();
        let mut open: Vec<&Step> = self.steps.iter().rev().collect();
        while let Some(step) = open.pop() {
            all.push(step);
            if let StepBody::Repeat { steps, .. } = &step.body {
                open.extend(steps.iter().rev());
            }
        }
        all
    }

    /// The step of that id, nested ones included.
    pub fn step(&self, id: &str) -> Option<&Step> {
        find(&self.steps, id)
    }
}

fn find<'a>(steps: &'a [Step], id: &str) -> Option<&'a Step> {
    steps.iter().find_map(|step| match &step.body {
        _ if step.id == id => Some(step),
        StepBody::Repeat { steps, .. } => find(steps, id),
        StepBody::Action { .. } => None,
    })
}

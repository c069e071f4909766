//! What a schema cannot say: names and their order, expressions and their types, List Filters, cycles,
//! parameters, steps. Walks the document, so that it works on files that have other mistakes too; what
//! has the wrong shape is skipped here, because the schema says it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use indexmap::IndexMap;
use regex::Regex;

use super::model::{Parameter, ParameterType};
use super::parameters;
use crate::catalog::{self, Action, Effect, Kind as FieldKind, Subject};
use crate::diagnostic::{Diagnostic, Kind};
use crate::document::{Content, Document, Key, Node};
use crate::list_filter::{self, HolePosition};
use crate::schema::list;
use crate::template::{self, Expression, Piece, Read, Type};

/// What `run` holds.
pub const RUN_FIELDS: &[&str] = &["id", "started_at", "user", "host"];
/// Longest chain of variables and queries that use each other.
const LONGEST_CHAIN: usize = 50;

/// Every name that the file declares.
pub(super) struct Names<'a> {
    pub(super) document: &'a Document,
    pub(super) params: IndexMap<&'a str, Parameter>,
    pub(super) vars: IndexMap<&'a str, (&'a Key, &'a Node)>,
    pub(super) queries: IndexMap<&'a str, (&'a Key, &'a Node)>,
    pub(super) strategies: IndexMap<&'a str, (&'a Key, &'a Node)>,
    pub(super) decisions: IndexMap<&'a str, (&'a Key, &'a Node)>,
    /// In the order of the text, nested ones after their loop.
    pub(super) steps: Vec<StepName<'a>>,
}

/// A step and where it stands.
pub(super) struct StepName<'a> {
    pub(super) id: &'a str,
    pub(super) node: &'a Node,
    pub(super) action: Option<&'static Action>,
    /// Indices of the loops around it, outermost first.
    pub(super) loops: Vec<usize>,
    /// One past the last step inside it.
    pub(super) end: usize,
}

impl StepName<'_> {
    /// An argument of its action.
    pub(super) fn argument(&self, name: &str) -> Option<&Node> {
        self.node.get("with")?.get(name)
    }
}

impl<'a> Names<'a> {
    /// Reads them from a document, whatever else is wrong with it.
    pub(super) fn collect(document: &'a Document) -> Self {
        let section = |name: &str| {
            let entries = document.root.get(name).into_iter().flat_map(Node::entries);
            entries
                .map(|(key, node)| (key.name.as_str(), (key, node)))
                .collect::<IndexMap<_, _>>()
        };
        let params = document
            .root
            .get("params")
            .into_iter()
            .flat_map(Node::entries);
        let mut steps = Vec::new();
        if let Some(list) = document.root.get("steps") {
            collect_steps(list, &mut Vec::new(), &mut steps);
        }
        Self {
            document,
            params: params
                .filter_map(|(key, node)| Some((key.name.as_str(), parameter(node)?)))
                .collect(),
            vars: section("vars"),
            queries: section("queries"),
            strategies: section("strategies"),
            decisions: section("decisions"),
            steps,
        }
    }

    pub(super) fn step(&self, id: &str) -> Option<usize> {
        self.steps.iter().position(|step| step.id == id)
    }
}

fn collect_steps<'a>(list: &'a Node, loops: &mut Vec<usize>, steps: &mut Vec<StepName<'a>>) {
    for node in list.items() {
        let index = steps.len();
        let action = node.text_of("action").and_then(catalog::find);
        steps.push(StepName {
            id: node.text_of("id").unwrap_or_default(),
            node,
            action,
            loops: loops.clone(),
            end: index + 1,
        });
        if let Some(nested) = node.get("repeat").and_then(|repeat| repeat.get("steps")) {
            loops.push(index);
            collect_steps(nested, loops, steps);
            loops.pop();
            steps[index].end = steps.len();
        }
    }
}

/// As much of a declared parameter as can be read; none without a known type.
fn parameter(node: &Node) -> Option<Parameter> {
    let kind = |name: &str| serde_json::from_value(node.get(name)?.to_json()).ok();
    let number = |name: &str| node.get(name).and_then(|node| node.to_json().as_f64());
    Some(Parameter {
        kind: kind("type")?,
        description: String::new(),
        items: kind("items").unwrap_or(ParameterType::String),
        choices: node
            .get("enum")
            .map(|list| list.items().iter().map(Node::to_json).collect())
            .unwrap_or_default(),
        pattern: node.text_of("pattern").map(str::to_owned),
        minimum: number("minimum"),
        maximum: number("maximum"),
        default: node.get("default").map(Node::to_json),
        secret: node
            .get("secret")
            .is_some_and(|secret| matches!(secret.content, Content::Boolean(true))),
    })
}

/// From where an expression reads: which steps have an output by then.
#[derive(Clone, Copy, PartialEq)]
enum At {
    /// No step has.
    BeforeRun,
    /// Those before this one have.
    Step(usize),
    /// Those before this loop and inside it have.
    Until(usize),
    /// Not said here: a variable's place is where it is used.
    Anywhere,
}

struct Checker<'a> {
    names: &'a Names<'a>,
    problems: Vec<Diagnostic>,
    /// What each variable and query reads: other variables and queries, and steps.
    uses: BTreeMap<Item<'a>, Uses>,
}

/// A variable or a query.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Item<'a> {
    Variable(&'a str),
    Query(&'a str),
}

#[derive(Clone, Default)]
struct Uses {
    reads: Vec<Vec<String>>,
}

/// All problems.
pub(super) fn check(names: &Names<'_>) -> Vec<Diagnostic> {
    let mut checker = Checker {
        names,
        problems: Vec::new(),
        uses: BTreeMap::new(),
    };
    checker.parameters();
    checker.items();
    checker.cycles();
    checker.conditions();
    checker.strategies();
    checker.decisions();
    checker.steps();
    checker.problems
}

impl<'a> Checker<'a> {
    fn parameters(&mut self) {
        let document = self.names.document;
        for (_, node) in document
            .root
            .get("params")
            .into_iter()
            .flat_map(Node::entries)
        {
            if let Some(parameter) = parameter(node) {
                self.parameter(document, node, &parameter);
            }
        }
    }

    fn parameter(&mut self, document: &Document, node: &Node, parameter: &Parameter) {
        let collection = matches!(parameter.kind, ParameterType::List | ParameterType::Map);
        let scalar = if collection {
            parameter.items
        } else {
            parameter.kind
        };
        let numeric = matches!(scalar, ParameterType::Integer | ParameterType::Number);
        let textual = matches!(scalar, ParameterType::String | ParameterType::Version);
        let mut misplaced = |field: &str, fits: bool, with: &str| {
            if let Some((key, _)) = node.entry(field).filter(|_| !fits) {
                let diagnostic = document.at_key(
                    key,
                    Kind::Parameter,
                    format!("`{field}` has no meaning here"),
                );
                self.problems
                    .push(diagnostic.expected(format!("`{field}` only with {with}")));
            }
        };
        misplaced("items", collection, "`list` and `map`");
        misplaced("pattern", textual, "`string` and `version`");
        misplaced("minimum", numeric, "`integer` and `number`");
        misplaced("maximum", numeric, "`integer` and `number`");
        misplaced(
            "secret",
            parameter.kind == ParameterType::String || !parameter.secret,
            "`string`",
        );
        misplaced(
            "default",
            !parameter.secret,
            "parameters that are not secret",
        );
        if let Some(pattern) = node.get("pattern")
            && let Some(text) = pattern.text()
            && let Err(error) = Regex::new(text)
        {
            let why = error.to_string();
            let why = why
                .lines()
                .last()
                .unwrap_or_default()
                .trim_start_matches("error: ")
                .to_owned();
            self.problems.push(
                document
                    .at(
                        pattern,
                        Kind::Parameter,
                        "the pattern is no regular expression",
                    )
                    .note(why),
            );
            return;
        }
        let item = Parameter {
            kind: scalar,
            choices: Vec::new(),
            pattern: None,
            minimum: None,
            maximum: None,
            ..parameter.clone()
        };
        for choice in node.get("enum").map(Node::items).unwrap_or_default() {
            if let Err(why) = parameters::check(&item, &choice.to_json()) {
                self.problems
                    .push(document.at(choice, Kind::Parameter, why));
            }
        }
        let Some(default) = node.get("default") else {
            return;
        };
        let shaped = match parameter.kind {
            ParameterType::List => matches!(default.content, Content::List(_)),
            ParameterType::Map => matches!(default.content, Content::Map(_)),
            _ => false,
        };
        let each: Vec<&Node> = if shaped {
            default
                .items()
                .iter()
                .chain(default.entries().map(|(_, value)| value))
                .collect()
        } else {
            vec![default]
        };
        let declared = if shaped {
            Parameter {
                kind: scalar,
                ..parameter.clone()
            }
        } else {
            parameter.clone()
        };
        for value in each {
            if let Err(why) = parameters::check(&declared, &value.to_json()) {
                self.problems.push(document.at(
                    value,
                    Kind::Parameter,
                    format!("the default does not fit: {why}"),
                ));
            }
        }
    }

    /// Variables and queries: what they hold, and what they use.
    fn items(&mut self) {
        for (name, (_, node)) in &self.names.vars {
            let mut reads = Vec::new();
            self.value(node, At::Anywhere, &mut reads);
            self.uses.insert(Item::Variable(name), Uses { reads });
        }
        for (name, (_, node)) in &self.names.queries {
            let mut reads = Vec::new();
            self.query(node, At::BeforeRun, &mut reads);
            self.uses.insert(Item::Query(name), Uses { reads });
        }
    }

    /// Checks every text below a node; adds what its expressions read.
    fn value(&mut self, node: &Node, at: At, reads: &mut Vec<Vec<String>>) {
        if node.text().is_some() {
            self.template(node, at, reads);
        }
        node.items()
            .iter()
            .for_each(|item| self.value(item, at, reads));
        node.entries()
            .for_each(|(_, item)| self.value(item, at, reads));
    }

    fn template(&mut self, node: &Node, at: At, reads: &mut Vec<Vec<String>>) {
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

    fn problem(&mut self, node: &Node, range: &Range<usize>, kind: Kind, message: String) {
        self.problems.push(
            self.names
                .document
                .within(node, range.clone(), kind, message),
        );
    }

    /// Parses an expression inside a node's text and resolves its names.
    fn expression(
        &mut self,
        node: &Node,
        inner: Range<usize>,
        at: At,
        reads: &mut Vec<Vec<String>>,
    ) -> Option<Expression> {
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
        for read in &expression.reads {
            self.resolve(node, read, at);
            reads.push(read.path.iter().map(|(name, _)| name.clone()).collect());
        }
        Some(expression)
    }

    /// Says what is wrong with a name, if anything is.
    fn resolve(&mut self, node: &Node, read: &Read, at: At) {
        if let Some(problem) = self.unresolved(node, read, at) {
            self.problems.push(problem);
        }
    }

    fn unresolved(&self, node: &Node, read: &Read, at: At) -> Option<Diagnostic> {
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

    fn parameter_field(
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

    fn step_field(
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
        let (below, below_range) = read.path.get(3)?;
        if declared.kind != FieldKind::Object {
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
    fn rows_of(&self, step: &StepName<'a>) -> Vec<&'a str> {
        let decisions = decisions_of(step);
        let nodes = decisions
            .iter()
            .filter_map(|name| self.names.decisions.get(name.text()?));
        let rows =
            nodes.flat_map(|(_, node)| node.get("rows").map(Node::items).unwrap_or_default());
        rows.filter_map(|row| row.text_of("id")).collect()
    }

    /// Why a step's output is not known at a place, if it is not.
    fn unseen(&self, index: usize, at: At) -> Option<String> {
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
    fn variable_steps(&self, name: &str, at: At) -> Option<String> {
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

    /// Steps that a variable or query reads, through others too.
    fn reached(&self, item: Item<'a>) -> BTreeSet<String> {
        let mut steps = BTreeSet::new();
        let mut seen = BTreeSet::from([item]);
        let mut open = vec![item];
        while let Some(item) = open.pop() {
            for path in self
                .uses
                .get(&item)
                .map(|uses| uses.reads.as_slice())
                .unwrap_or_default()
            {
                if let [root, step, ..] = path.as_slice()
                    && root == "steps"
                {
                    steps.insert(step.clone());
                }
                open.extend(self.item(path).filter(|next| seen.insert(*next)));
            }
        }
        steps
    }

    fn item(&self, path: &[String]) -> Option<Item<'a>> {
        let [root, name, ..] = path else { return None };
        match root.as_str() {
            "vars" => self
                .names
                .vars
                .get_key_value(name.as_str())
                .map(|(name, _)| Item::Variable(name)),
            "queries" => self
                .names
                .queries
                .get_key_value(name.as_str())
                .map(|(name, _)| Item::Query(name)),
            _ => None,
        }
    }

    fn cycles(&mut self) {
        let next: BTreeMap<Item<'a>, BTreeSet<Item<'a>>> = self
            .uses
            .iter()
            .map(|(item, uses)| {
                (
                    *item,
                    uses.reads
                        .iter()
                        .filter_map(|path| self.item(path))
                        .collect(),
                )
            })
            .collect();
        let mut depth: BTreeMap<Item<'a>, usize> = BTreeMap::new();
        let mut rest: BTreeSet<Item<'a>> = next.keys().copied().collect();
        loop {
            let ready: Vec<_> = rest
                .iter()
                .copied()
                .filter(|item| next[item].iter().all(|used| depth.contains_key(used)))
                .collect();
            if ready.is_empty() {
                break;
            }
            for item in ready {
                let below = next[&item]
                    .iter()
                    .map(|used| depth[used])
                    .max()
                    .unwrap_or(0);
                depth.insert(item, below + 1);
                rest.remove(&item);
                if below == LONGEST_CHAIN {
                    let message =
                        format!("a chain of more than {LONGEST_CHAIN} variables and queries");
                    let key = self.key(item);
                    self.problems
                        .push(self.names.document.at_key(key, Kind::Name, message));
                }
            }
        }
        while let Some(start) = rest
            .iter()
            .copied()
            .min_by_key(|item| self.key(*item).range.start)
        {
            self.cycle(start, &next, &mut rest);
        }
    }

    /// Reports the cycle that is met from `start`, and forgets all that leads there.
    fn cycle(
        &mut self,
        start: Item<'a>,
        next: &BTreeMap<Item<'a>, BTreeSet<Item<'a>>>,
        rest: &mut BTreeSet<Item<'a>>,
    ) {
        let mut path = vec![start];
        let mut here = start;
        let repeated = loop {
            let Some(used) = next[&here].iter().copied().find(|used| rest.contains(used)) else {
                break None;
            };
            if let Some(at) = path.iter().position(|item| *item == used) {
                break Some(at);
            }
            path.push(used);
            here = used;
        };
        if let Some(at) = repeated {
            let ring = &path[at..];
            let names: Vec<_> = ring
                .iter()
                .chain(&ring[..1])
                .map(|item| item_name(*item))
                .collect();
            let key = self.key(ring[0]);
            let diagnostic = self.names.document.at_key(
                key,
                Kind::Name,
                format!("`{}` uses itself", item_name(ring[0])),
            );
            self.problems.push(diagnostic.note(names.join(" → ")));
        }
        path.iter().for_each(|item| _ = rest.remove(item));
    }

    fn key(&self, item: Item<'a>) -> &'a Key {
        match item {
            Item::Variable(name) => self.names.vars[name].0,
            Item::Query(name) => self.names.queries[name].0,
        }
    }

    fn conditions(&mut self) {
        for check in self
            .names
            .document
            .root
            .get("checks")
            .map(Node::items)
            .unwrap_or_default()
        {
            if let Some(that) = check.get("that") {
                let reads = self.condition(that, "that", At::BeforeRun);
                if reads.as_ref().is_some_and(Vec::is_empty) {
                    let message = "a check that reads nothing is always the same";
                    self.problems.push(
                        self.names
                            .document
                            .at(that, Kind::Expression, message)
                            .expected("a condition on `params`"),
                    );
                }
            }
        }
    }

    /// A node that must be one boolean expression; what it reads, if it is one.
    fn condition(&mut self, node: &Node, key: &str, at: At) -> Option<Vec<Vec<String>>> {
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
    fn not_boolean(&self, expression: &Expression) -> Option<&'static str> {
        match self.type_of(&expression.kind, &expression.reads, 0) {
            Type::Boolean | Type::Unknown | Type::Read(_) | Type::Either(..) => None,
            other => Some(type_name(&other)),
        }
    }

    /// The type with reads resolved; `Unknown` where it depends.
    fn type_of(&self, kind: &Type, reads: &[Read], depth: usize) -> Type {
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

    fn type_of_read(&self, read: &Read, depth: usize) -> Type {
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
            (Some("steps"), Some(id), Some(field)) if read.path.len() == 3 => self
                .names
                .step(id)
                .and_then(|index| self.names.steps[index].action)
                .and_then(|action| action.output.iter().find(|output| output.name == field))
                .map_or(Type::Unknown, |output| field_type(output.kind)),
            _ => Type::Unknown,
        }
    }

    fn type_of_node(&self, node: &Node, depth: usize) -> Type {
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

    /// A List Filter with holes.
    fn query(&mut self, node: &Node, at: At, reads: &mut Vec<Vec<String>>) {
        let Some(text) = node.text() else { return };
        let filter = match list_filter::parse_template(text) {
            Ok(filter) => filter,
            Err(problems) => {
                for problem in problems {
                    let mut diagnostic = self.names.document.within(
                        node,
                        problem.span,
                        Kind::Query,
                        problem.message,
                    );
                    diagnostic.expected = problem.expected;
                    diagnostic.suggestion = problem.suggestion;
                    self.problems.push(diagnostic);
                }
                return;
            }
        };
        for (hole, position) in filter.placed_holes() {
            let inner = hole.source_span.range();
            let Some(expression) = self.expression(node, inner.clone(), at, reads) else {
                continue;
            };
            let fragment = expression.reads.len() == 1
                && expression.kind == Type::Read(0)
                && expression.reads[0].name(0) == Some("queries");
            let uses_query = expression
                .reads
                .iter()
                .any(|read| read.name(0) == Some("queries"));
            if position == HolePosition::Condition && !fragment {
                let message = "a value where a condition belongs".to_owned();
                let diagnostic = self
                    .names
                    .document
                    .within(node, inner, Kind::Query, message);
                self.problems.push(diagnostic.expected(
                    "`${{ queries.NAME }}`, or a comparison such as `WorkflowType = ${{ … }}`",
                ));
            } else if position != HolePosition::Condition && uses_query {
                let diagnostic = self.names.document.within(
                    node,
                    inner,
                    Kind::Query,
                    "a query where a value belongs",
                );
                self.problems.push(diagnostic.expected(position.expected()));
            } else if let Some(found) = self.unfit(&expression, position) {
                let diagnostic = self.names.document.within(
                    node,
                    inner,
                    Kind::Query,
                    format!("{found} where {} belongs", position.expected()),
                );
                self.problems.push(diagnostic.expected(position.expected()));
            }
        }
    }

    /// What an expression gives, if that certainly cannot stand in a List Filter there.
    fn unfit(&self, expression: &Expression, position: HolePosition) -> Option<&'static str> {
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

    fn strategies(&mut self) {
        for (_, node) in self.names.strategies.values() {
            let mut unused = Vec::new();
            if let Some((action_node, action)) = node
                .get("action")
                .and_then(|action| Some((action, catalog::find(action.text()?)?)))
            {
                if action.subject != Subject::Workflow {
                    let message = format!(
                        "`{}` takes no single Workflow: it cannot be a strategy",
                        action.name
                    );
                    self.problems.push(self.names.document.at(
                        action_node,
                        Kind::Decision,
                        message,
                    ));
                }
                self.fallback(node, action);
            }
            if let Some(with) = node.get("with") {
                self.value(with, At::BeforeRun, &mut unused);
            }
        }
        self.fallback_cycles();
    }

    fn fallback(&mut self, strategy: &Node, action: &Action) {
        let document = self.names.document;
        for (refusal, target) in strategy.get("fallback").into_iter().flat_map(Node::entries) {
            if !action.refusals.contains(&refusal.name.as_str()) {
                let known = action.refusals.iter().copied();
                let message = format!("`{}` has no refusal `{}`", action.name, refusal.name);
                let diagnostic = document.at_key(refusal, Kind::Decision, message);
                self.problems.push(
                    diagnostic
                        .expected(list(known.clone()))
                        .near(&refusal.name, known),
                );
            }
            self.strategy_name(target);
        }
    }

    /// A text that names a strategy.
    fn strategy_name(&mut self, node: &Node) {
        let Some(name) = node.text() else { return };
        if !self.names.strategies.contains_key(name) {
            let known = || self.names.strategies.keys().copied();
            let diagnostic =
                self.names
                    .document
                    .at(node, Kind::Name, format!("unknown strategy `{name}`"));
            self.problems
                .push(diagnostic.expected(list(known())).near(name, known()));
        }
    }

    /// A strategy whose fallbacks come back to it would be tried for ever.
    fn fallback_cycles(&mut self) {
        let next: BTreeMap<&str, Vec<&str>> = self
            .names
            .strategies
            .iter()
            .map(|(name, (_, node))| {
                (
                    *name,
                    node.get("fallback")
                        .into_iter()
                        .flat_map(Node::entries)
                        .filter_map(|(_, target)| target.text())
                        .collect(),
                )
            })
            .collect();
        let mut rest: BTreeSet<&str> = next.keys().copied().collect();
        // What leads nowhere that is left goes, until only cycles and what leads to them are left.
        while let Some(done) = rest
            .iter()
            .copied()
            .find(|name| next[name].iter().all(|target| !rest.contains(target)))
        {
            rest.remove(done);
        }
        while let Some(start) = self
            .names
            .strategies
            .keys()
            .copied()
            .find(|name| rest.contains(name))
        {
            let mut path = vec![start];
            let at = loop {
                let here = path[path.len() - 1];
                let Some(target) = next[here]
                    .iter()
                    .copied()
                    .find(|target| rest.contains(target))
                else {
                    break None;
                };
                if let Some(at) = path.iter().position(|name| *name == target) {
                    break Some(at);
                }
                path.push(target);
            };
            if let Some(at) = at {
                let ring: Vec<_> = path[at..].iter().chain(&path[at..=at]).copied().collect();
                let (key, node) = self.names.strategies[path[at]];
                let key = node.entry("fallback").map_or(key, |(fallback, _)| fallback);
                let diagnostic = self.names.document.at_key(
                    key,
                    Kind::Decision,
                    "the fallbacks come back to this strategy",
                );
                self.problems.push(diagnostic.note(ring.join(" → ")));
            }
            path.iter().for_each(|name| _ = rest.remove(name));
        }
    }

    fn decisions(&mut self) {
        for (_, node) in self.names.decisions.values() {
            let mut reads = Vec::new();
            if let Some(scope) = node.get("scope") {
                self.query(scope, At::BeforeRun, &mut reads);
            }
            if let Some(classify) = node.get("classify") {
                self.value(classify, At::BeforeRun, &mut reads);
            }
            for row in node.get("rows").map(Node::items).unwrap_or_default() {
                if let Some(filter) = row.get("where") {
                    self.query(filter, At::BeforeRun, &mut reads);
                }
                if let Some(apply) = row.get("apply") {
                    self.strategy_name(apply);
                }
            }
        }
    }

    fn steps(&mut self) {
        let mut first: BTreeMap<&str, Range<usize>> = BTreeMap::new();
        for index in 0..self.names.steps.len() {
            let step = &self.names.steps[index];
            if let Some(id) = step.node.get("id").filter(|_| !step.id.is_empty()) {
                match first.get(step.id) {
                    Some(range) => {
                        let line = self.names.document.source.line_column(range.start).0;
                        let message = format!("duplicate step id `{}`", step.id);
                        self.problems.push(
                            self.names
                                .document
                                .at(id, Kind::Step, message)
                                .note(format!("it is first given on line {line}")),
                        );
                    }
                    None => drop(first.insert(step.id, id.range.clone())),
                }
            }
            self.step(index);
        }
    }

    fn step(&mut self, index: usize) {
        let node = self.names.steps[index].node;
        let mut reads = Vec::new();
        if let Some(when) = node.get("when") {
            self.condition(when, "when", At::Step(index));
        }
        if let Some(word) = node.get("confirm").and_then(|confirm| confirm.get("type")) {
            self.value(word, At::Step(index), &mut reads);
        }
        if let Some(repeat) = node.get("repeat") {
            self.repeat(index, repeat);
        }
        if let Some(action) = self.names.steps[index].action {
            self.action(index, action);
        } else if let Some(with) = node.get("with") {
            self.value(with, At::Step(index), &mut reads);
        }
    }

    fn repeat(&mut self, index: usize, repeat: &Node) {
        let Some(until) = repeat.get("until") else {
            return;
        };
        let Some(reads) = self.condition(until, "until", At::Until(index)) else {
            return;
        };
        let mut steps = BTreeSet::new();
        for path in &reads {
            if let [root, step, ..] = path.as_slice()
                && root == "steps"
            {
                steps.insert(step.clone());
            }
            if let Some(item) = self.item(path) {
                steps.extend(self.reached(item));
            }
        }
        let end = self.names.steps[index].end;
        let inside = |id: &String| {
            self.names
                .step(id)
                .is_some_and(|step| step > index && step < end)
        };
        if !steps.iter().any(inside) {
            let message = "`until` reads nothing that the loop produces: it would never change";
            let inside: Vec<_> = self.names.steps[index + 1..end]
                .iter()
                .map(|step| step.id)
                .collect();
            self.problems.push(
                self.names
                    .document
                    .at(until, Kind::Step, message)
                    .expected(format!("an output of {}", list(inside.into_iter()))),
            );
        }
    }

    /// The arguments of a step's action, and the fields that only some actions have.
    fn action(&mut self, index: usize, action: &'static Action) {
        let step = &self.names.steps[index];
        let node = step.node;
        let on_workflows = matches!(action.subject, Subject::Workflow | Subject::Decision);
        for (field, fits, with) in [
            (
                "canary",
                on_workflows && action.effect.writes(),
                "actions that write to Workflows",
            ),
            ("pace", on_workflows, "actions on Workflows"),
            (
                "limits",
                on_workflows || action.subject == Subject::Ledger,
                "actions on Workflows",
            ),
            (
                "confirm",
                action.effect != Effect::Read,
                "actions that write",
            ),
        ] {
            if let Some((key, _)) = node.entry(field).filter(|_| !fits) {
                let message = format!("`{field}` has no meaning for `{}`", action.name);
                self.problems.push(
                    self.names
                        .document
                        .at_key(key, Kind::Step, message)
                        .expected(format!("`{field}` only with {with}")),
                );
            }
        }
        let mut reads = Vec::new();
        for (key, argument) in node.get("with").into_iter().flat_map(Node::entries) {
            match key.name.as_str() {
                "query" => self.query(argument, At::Step(index), &mut reads),
                "select" => {
                    for (key, inner) in argument.entries() {
                        if key.name == "query" {
                            self.query(inner, At::Step(index), &mut reads);
                        } else {
                            self.value(inner, At::Step(index), &mut reads);
                        }
                    }
                }
                "that" => drop(self.condition(argument, "that", At::Step(index))),
                _ => self.value(argument, At::Step(index), &mut reads),
            }
        }
        self.references(index);
    }

    /// Names of decisions and steps among the arguments.
    fn references(&mut self, index: usize) {
        let names = self.names;
        for name in decisions_of(&names.steps[index]) {
            let Some(text) = name
                .text()
                .filter(|text| !names.decisions.contains_key(text))
            else {
                continue;
            };
            let known = || names.decisions.keys().copied();
            let diagnostic =
                names
                    .document
                    .at(name, Kind::Name, format!("unknown decision `{text}`"));
            self.problems
                .push(diagnostic.expected(list(known())).near(text, known()));
        }
        for argument in ["ledger", "also_lost_by"] {
            let Some(list) = names.steps[index].argument(argument) else {
                continue;
            };
            list.items()
                .iter()
                .for_each(|item| self.ledger_step(index, item));
        }
    }

    /// A step whose Workflows another one takes: it must come earlier and write to Workflows.
    fn ledger_step(&mut self, index: usize, node: &Node) {
        let names = self.names;
        let Some(id) = node.text().filter(|id| !id.contains("${{")) else {
            return;
        };
        let writes = |step: &StepName<'_>| {
            step.action.is_some_and(|action| {
                matches!(action.subject, Subject::Workflow | Subject::Decision)
                    && action.effect.writes()
            })
        };
        let known: Vec<_> = (0..index)
            .map(|earlier| &names.steps[earlier])
            .filter(|step| writes(step))
            .map(|step| step.id)
            .collect();
        let earlier = if known.is_empty() {
            "; there is none".to_owned()
        } else {
            format!(": {}", list(known.iter().copied()))
        };
        let fail = |message: String| {
            names
                .document
                .at(node, Kind::Name, message)
                .expected(format!("an earlier step that writes to Workflows{earlier}"))
        };
        let problem = match names.step(id) {
            None => fail(format!("unknown step `{id}`")).near(id, known.iter().copied()),
            Some(other) if self.unseen(other, At::Step(index)).is_some() => {
                fail(format!("step `{id}` runs later"))
            }
            Some(other) if !writes(&names.steps[other]) => {
                fail(format!("step `{id}` writes to no Workflow"))
            }
            Some(_) => return,
        };
        self.problems.push(problem);
    }
}

/// The nodes that name decisions, among a step's arguments.
pub(super) fn decisions_of<'a>(step: &StepName<'a>) -> Vec<&'a Node> {
    let with = step.node.get("with");
    match step.action.map(|action| action.name) {
        Some("decision.evaluate") => with
            .and_then(|with| with.get("decisions"))
            .map(|list| list.items().iter().collect())
            .unwrap_or_default(),
        Some("decision.apply") => with
            .and_then(|with| with.get("decision"))
            .into_iter()
            .collect(),
        _ => Vec::new(),
    }
}

fn item_name(item: Item<'_>) -> String {
    match item {
        Item::Variable(name) => format!("vars.{name}"),
        Item::Query(name) => format!("queries.{name}"),
    }
}

fn parameter_type(kind: ParameterType) -> Type {
    match kind {
        ParameterType::String | ParameterType::Duration | ParameterType::Version => Type::Text,
        ParameterType::Integer | ParameterType::Number => Type::Number,
        ParameterType::Boolean => Type::Boolean,
        ParameterType::List => Type::List,
        ParameterType::Map => Type::Map,
    }
}

fn field_type(kind: FieldKind) -> Type {
    match kind {
        FieldKind::Count | FieldKind::Number => Type::Number,
        FieldKind::Text => Type::Text,
        FieldKind::Boolean => Type::Boolean,
        FieldKind::List => Type::List,
        FieldKind::Object => Type::Map,
    }
}

fn type_name(kind: &Type) -> &'static str {
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

//! What the parts of a runbook do, in operators' words, before any parameter has a value: `${{ }}` stays as
//! it is written.
//!
//! [`Words`] keep a file's text apart from this tool's, so that each rendering can show it as code.

use std::time::Duration;

use jiff::SignedDuration;
use serde_json::{Map, Value};

use super::escape::{code, one_line, within};
use crate::catalog::{self, Effect, Subject};
use crate::decision::Call;
use crate::report::{duration, shell_word};
use crate::runbook::{
    Bound, Classify, Decision, HitPolicy, Notify, Row, Runbook, Step, StepBody, Strategy,
    TaskCondition, Unmatched,
};
use crate::template;

/// Words of this tool and pieces of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Said(String),
    Code(String),
}

impl Words {
    /// Begins with words of this tool.
    pub fn new(said: &str) -> Self {
        Self(vec![Piece::Said(said.to_owned())])
    }

    /// Goes on with words of this tool.
    #[must_use]
    pub fn say(mut self, said: &str) -> Self {
        self.0.push(Piece::Said(said.to_owned()));
        self
    }

    /// Goes on with a piece of a file.
    #[must_use]
    pub fn code(mut self, text: impl Into<String>) -> Self {
        self.0.push(Piece::Code(text.into()));
        self
    }

    /// Goes on with these.
    #[must_use]
    pub fn and(mut self, more: Self) -> Self {
        self.0.extend(more.0);
        self
    }

    /// Names, each as code: `a`, `b` or `c`.
    #[must_use]
    pub fn names<'a>(mut self, names: impl IntoIterator<Item = &'a str>, last: &str) -> Self {
        let names: Vec<&str> = names.into_iter().collect();
        for (index, name) in names.iter().enumerate() {
            let between = match index {
                0 => "",
                _ if index + 1 == names.len() => last,
                _ => ", ",
            };
            self = self.say(between).code(*name);
        }
        self
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// For a terminal, JSON and logs: code in backticks.
    pub fn plain(&self) -> String {
        let piece = |piece: &Piece| match piece {
            Piece::Said(said) => said.clone(),
            Piece::Code(text) => format!("`{}`", one_line(text)),
        };
        self.0.iter().map(piece).collect()
    }

    /// Without marks around code: for what is shown as code itself.
    pub fn bare(&self) -> String {
        let piece = |piece: &Piece| match piece {
            Piece::Said(said) => said.clone(),
            Piece::Code(text) => one_line(text),
        };
        self.0.iter().map(piece).collect()
    }

    /// For Markdown, in a line or a table's cell.
    pub fn markdown(&self) -> String {
        let mut text = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Said(said) => text.push_str(&within(said)),
                Piece::Code(piece) => text.push_str(&code(piece)),
            }
        }
        text
    }
}

/// A duration of the model.
pub fn interval(interval: Duration) -> String {
    SignedDuration::try_from(interval).map_or_else(|_| format!("{interval:?}"), duration)
}

/// A value as a runbook has it: text as it is, all else as JSON.
pub fn value(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The program that is told how a run stands, as a shell would take it, with the variables that it is given.
pub fn told(notify: &Notify) -> String {
    let env = notify.env.iter();
    let env = env.map(|(name, word)| format!("{name}={}", shell_word(word)));
    let inherited = notify
        .inherit
        .iter()
        .map(|name| format!("{name}=\"${name}\""));
    let argv = notify.argv.iter().map(|word| shell_word(word).into_owned());
    let words: Vec<String> = env.chain(inherited).chain(argv).collect();
    words.join(" ")
}

/// A limit.
pub fn bound(bound: Bound) -> String {
    match bound {
        Bound::Count(count) => count.to_string(),
        Bound::Percent(percent) => format!("{percent}%"),
    }
}

/// A Version's argument with its two parts as expressions of their own, so that it reads as a Version.
fn version_parts(argument: &Value) -> Option<(String, String)> {
    let text = argument.as_str()?;
    let inner = &text[template::sole(text)?];
    let path = inner
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "._".contains(c));
    let part = |part: &str| format!("${{{{ {inner}.{part} }}}}");
    path.then(|| (part("deployment"), part("build_id")))
}

/// `${{ x }}` of a Version as `${{ x.deployment }}:${{ x.build_id }}`.
pub fn version(argument: &Value) -> Option<crate::survey::Version> {
    let Some((deployment, build_id)) = version_parts(argument) else {
        return crate::survey::Version::parse(argument.as_str()?);
    };
    Some(crate::survey::Version {
        deployment,
        build_id,
    })
}

/// An action's call with its arguments as they are written; none where an argument that decides what is
/// done is an expression, or where it is no action on single Workflows.
pub fn call(action: &str, with: &Map<String, Value>) -> Option<Call> {
    let mut with = with.clone();
    with.remove("select");
    if let Some(argument) = with.get_mut("version")
        && let Some((deployment, build)) = version_parts(argument)
    {
        *argument = Value::String(format!("{deployment}:{build}"));
    }
    Call::new(action, Value::Object(with)).ok()
}

/// What an action with these arguments does.
pub fn does(action: &str, with: &Map<String, Value>) -> Words {
    let target = with.get("version").map(value).unwrap_or_default();
    if let Some(call) = call(action, with) {
        let Some(version) = call.target().map(ToString::to_string) else {
            return split_names(&call.does());
        };
        let does = call.does();
        let Some((before, after)) = does.split_once(&version) else {
            return split_names(&does);
        };
        return split_names(before)
            .code(shorter(&target))
            .and(split_names(after));
    }
    let summary = catalog::find(action).map_or(action, |action| action.summary);
    let words = Words::new(&lower_first(summary));
    match with
        .get("decision")
        .or_else(|| with.get("deployment"))
        .or_else(|| with.get("version"))
    {
        Some(of) => words.say(": ").code(shorter(&value(of))),
        None => words,
    }
}

/// This tool's words with names in backticks: the names are a file's.
fn split_names(text: &str) -> Words {
    let parts: Vec<&str> = text.split('`').collect();
    if parts.len().is_multiple_of(2) {
        return Words::default().code(text);
    }
    let pieces = parts
        .iter()
        .enumerate()
        .filter(|(_, part)| !part.is_empty());
    pieces.fold(Words::default(), |words, (index, part)| match index % 2 {
        0 => words.say(part),
        _ => words.code(*part),
    })
}

/// `${{ params.x }}` as `params.x`: a sentence reads better without the braces.
pub fn shorter(text: &str) -> String {
    template::sole(text).map_or_else(|| text.to_owned(), |inner| text[inner].to_owned())
}

/// With a small first letter, where it is a word and no name.
pub fn lower_first(text: &str) -> String {
    let mut rest = text.chars();
    rest.next().map_or_else(String::new, |first| {
        format!("{}{}", first.to_lowercase(), rest.as_str())
    })
}

/// What a strategy does.
pub fn strategy(strategy: &Strategy) -> Words {
    does(&strategy.action, &strategy.with)
}

/// Which Workflows a row takes.
pub fn condition(row: &Row, first: bool) -> Words {
    let mut parts: Vec<Words> = Vec::new();
    if !row.class.is_empty() {
        let noun = if row.class.len() == 1 {
            "class "
        } else {
            "classes "
        };
        parts.push(Words::new(noun).names(row.class.iter().map(String::as_str), " or "));
    }
    if let Some(filter) = &row.filter {
        parts.push(Words::default().code(filter));
    }
    if let Some(task) = row.task {
        parts.push(Words::new(task_words(task)));
    }
    let Some(one) = parts.pop() else {
        return Words::new(if first {
            "every one"
        } else {
            "every other one"
        });
    };
    if parts.is_empty() {
        return one;
    }
    let all = parts
        .into_iter()
        .reduce(|all, part| all.say(", ").and(part));
    all.unwrap_or_default().say(", and ").and(one)
}

/// A row's condition on the Workflow Task.
pub fn task_words(task: TaskCondition) -> &'static str {
    match task {
        TaskCondition::Failing => "its Workflow Task fails (attempt above 1)",
        TaskCondition::Progressing => "its Workflow Task is pending, first attempt",
        TaskCondition::None => "no Workflow Task of it is pending",
    }
}

/// What becomes of a Workflow that no row takes.
pub fn unmatched(unmatched: Unmatched) -> &'static str {
    match unmatched {
        Unmatched::Refuse => "one that no row takes stops the step before its first write",
        Unmatched::Halt => {
            "one that no row takes is left alone; the others are written to, then the step halts"
        }
        Unmatched::Leave => "one that no row takes is left alone and listed at the end",
    }
}

/// What happens where several rows match.
pub fn hit_policy(policy: HitPolicy) -> &'static str {
    match policy {
        HitPolicy::First => "the first row that matches takes it",
        HitPolicy::Unique => "a Workflow that two rows match is refused",
    }
}

/// Where classes come from.
pub fn classes(classify: &Classify) -> Words {
    let types = classify
        .types
        .as_ref()
        .map(|types| Words::new("by Workflow Type, from ").code(value(types)));
    let attribute = classify.attribute.as_ref().map(|attribute| {
        Words::new("by the Search Attribute ")
            .code(attribute)
            .say(" where it is set")
    });
    match (types, attribute) {
        (Some(types), Some(attribute)) => attribute.say("; else ").and(types),
        (types, attribute) => types.or(attribute).unwrap_or_default(),
    }
}

/// What a step may do to the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Does {
    /// As its action says.
    Acts(Effect),
    /// Asks a person to do something.
    Asks,
    /// Decides or waits, and touches nothing.
    Decides,
    /// Repeats steps.
    Repeats,
    /// What an expression says.
    Unknown(String),
}

impl Does {
    /// Of a step. A decision's is the strongest of what its rows and their fallbacks do.
    pub fn of(runbook: &Runbook, step: &Step) -> Self {
        let StepBody::Action { action, with } = &step.body else {
            return Self::Repeats;
        };
        let Some(known) = catalog::find(action) else {
            return Self::Unknown(action.clone());
        };
        match known.subject {
            Subject::Person => Self::Asks,
            Subject::Run => Self::Decides,
            Subject::Program => match with.get("effect").cloned().map(serde_json::from_value) {
                Some(Ok(effect)) => Self::Acts(effect),
                _ => Self::Unknown(with.get("effect").map(value).unwrap_or_default()),
            },
            Subject::Decision => {
                let decision = with.get("decision").and_then(Value::as_str);
                let decision = decision.and_then(|name| runbook.decisions.get(name));
                Self::Acts(decision.map_or(known.effect, |decision| strongest(runbook, decision)))
            }
            Subject::Service | Subject::Workflow | Subject::Ledger => Self::Acts(known.effect),
        }
    }

    /// Whether it may change something outside this run.
    pub fn writes(&self) -> bool {
        match self {
            Self::Acts(effect) => effect.writes(),
            Self::Unknown(_) => true,
            Self::Asks | Self::Decides | Self::Repeats => false,
        }
    }

    /// In words.
    pub fn words(&self) -> Words {
        match self {
            Self::Acts(effect) => Words::new(effect.words()),
            Self::Asks => Words::new("asks a person"),
            Self::Decides => Words::new("touches nothing"),
            Self::Repeats => Words::new("repeats steps"),
            Self::Unknown(text) => Words::new("as ").code(text).say(" says"),
        }
    }
}

/// The strategies that a decision may apply, fallbacks among them, by name.
pub fn strategies_of<'a>(runbook: &'a Runbook, decision: &'a Decision) -> Vec<&'a str> {
    let mut found: Vec<&str> = Vec::new();
    let mut open: Vec<&str> = decision
        .rows
        .iter()
        .rev()
        .map(|row| row.apply.as_str())
        .collect();
    while let Some(name) = open.pop() {
        if found.contains(&name) {
            continue;
        }
        found.push(name);
        if let Some(strategy) = runbook.strategies.get(name) {
            open.extend(strategy.fallback.values().rev().map(String::as_str));
        }
    }
    found
}

fn strongest(runbook: &Runbook, decision: &Decision) -> Effect {
    let effects = strategies_of(runbook, decision)
        .into_iter()
        .filter_map(|name| {
            let strategy = runbook.strategies.get(name)?;
            Some(catalog::find(&strategy.action)?.effect)
        });
    let rank = |effect: &Effect| match effect {
        Effect::Read => 0,
        Effect::Idempotent => 1,
        Effect::NonIdempotent => 2,
    };
    effects.max_by_key(rank).unwrap_or(Effect::NonIdempotent)
}

/// Which Workflows a `select` means.
pub fn selection(select: &Value) -> Words {
    let Value::Object(select) = select else {
        return Words::new("the Workflows that ")
            .code(value(select))
            .say(" names");
    };
    let mut words = source(select);
    if let Some(only) = select.get("only") {
        words = words.say(", only those that are ").code(value(only));
    }
    if let Some(Value::Object(exclude)) = select.get("exclude") {
        let sources: Vec<Words> = exclude
            .iter()
            .map(|(name, of)| source(&Map::from_iter([(name.clone(), of.clone())])))
            .collect();
        let all = sources
            .into_iter()
            .reduce(|all, one| all.say(" and ").and(one));
        words = words.say(", without ").and(all.unwrap_or_default());
    }
    if let Some(limit) = select.get("limit") {
        words = words.say(", at most ").code(value(limit));
    }
    if let Some(sample) = select.get("sample") {
        words = words
            .say(", ")
            .code(value(sample))
            .say(" of them drawn at random");
    }
    words
}

fn source(select: &Map<String, Value>) -> Words {
    if let Some(query) = select.get("query") {
        return Words::new("what ").code(value(query)).say(" finds");
    }
    if let Some(ids) = select.get("ids") {
        return Words::new("the Workflows ").code(value(ids));
    }
    if let Some(file) = select.get("file") {
        return Words::new("the Workflows in the file ").code(value(file));
    }
    match select.get("ledger") {
        Some(Value::Object(of)) => {
            let steps = of.get("steps").map(value).unwrap_or_default();
            let states = of
                .get("states")
                .map_or_else(|| "recovered".to_owned(), value);
            Words::new("the Workflows of the steps ")
                .code(steps)
                .say(" that are ")
                .code(states)
        }
        Some(steps) => Words::new("the Workflows that the steps ")
            .code(value(steps))
            .say(" wrote to"),
        None => Words::new("Workflows"),
    }
}

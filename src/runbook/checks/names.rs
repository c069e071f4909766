//! Every name that a file declares, read from the document whatever else is wrong with it.

use indexmap::IndexMap;

use super::super::model::{Parameter, ParameterType};
use crate::catalog::{self, Action};
use crate::document::{Content, Document, Key, Node};

/// Every name that the file declares.
pub(in crate::runbook) struct Names<'a> {
    pub(in crate::runbook) document: &'a Document,
    pub(in crate::runbook) params: IndexMap<&'a str, Parameter>,
    pub(in crate::runbook) vars: IndexMap<&'a str, (&'a Key, &'a Node)>,
    pub(in crate::runbook) queries: IndexMap<&'a str, (&'a Key, &'a Node)>,
    pub(in crate::runbook) strategies: IndexMap<&'a str, (&'a Key, &'a Node)>,
    pub(in crate::runbook) decisions: IndexMap<&'a str, (&'a Key, &'a Node)>,
    /// In the order of the text, nested ones after their loop.
    pub(in crate::runbook) steps: Vec<StepName<'a>>,
}

/// A step and where it stands.
pub(in crate::runbook) struct StepName<'a> {
    pub(in crate::runbook) id: &'a str,
    pub(in crate::runbook) node: &'a Node,
    pub(in crate::runbook) action: Option<&'static Action>,
    /// Indices of the loops around it, outermost first.
    pub(in crate::runbook) loops: Vec<usize>,
    /// One past the last step inside it.
    pub(in crate::runbook) end: usize,
}

impl StepName<'_> {
    /// An argument of its action.
    pub(in crate::runbook) fn argument(&self, name: &str) -> Option<&Node> {
        self.node.get("with")?.get(name)
    }
}

impl<'a> Names<'a> {
    /// Reads them from a document, whatever else is wrong with it.
    pub(in crate::runbook) fn collect(document: &'a Document) -> Self {
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

    pub(in crate::runbook) fn step(&self, id: &str) -> Option<usize> {
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
pub(super) fn parameter(node: &Node) -> Option<Parameter> {
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

/// The nodes that name decisions, among a step's arguments.
pub(in crate::runbook) fn decisions_of<'a>(step: &StepName<'a>) -> Vec<&'a Node> {
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

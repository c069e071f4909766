//! `notify:`: what its texts read, variables that are this tool's own, and a runbook that forbids itself programs.

use super::secrets::Holder;
use super::{At, Checker};
use crate::diagnostic::Kind;
use crate::document::Node;

/// Variables with this beginning say how the run stands.
const OWN: &str = "RUNBOOK_";

impl Checker<'_> {
    pub(super) fn notify(&mut self) {
        let names = self.names;
        let Some((key, node)) = names.document.root.entry("notify") else {
            return;
        };
        let mut reads = Vec::new();
        for (name, holder) in [("argv", Holder::Argv), ("env", Holder::Sealed)] {
            if let Some(value) = node.get(name) {
                self.holder = holder;
                self.value(value, At::BeforeRun, &mut reads);
            }
        }
        self.holder = Holder::Shown;
        let variables = node.get("env").into_iter().flat_map(Node::entries);
        for (variable, _) in variables.filter(|(key, _)| key.name.starts_with(OWN)) {
            let message = format!("`{}` would hide what the tool says", variable.name);
            let problem = names.document.at_key(variable, Kind::Name, message);
            let expected = format!("a name that does not begin with `{OWN}`");
            self.problems.push(problem.expected(expected));
        }
        let guards = names.document.root.get("guards");
        let forbidden = guards.and_then(|guards| guards.get("forbid"));
        let forbidden = forbidden.map(Node::items).unwrap_or_default();
        for rule in forbidden.iter().filter_map(Node::text) {
            if matches!(rule, "command.run" | "command.*") {
                let message =
                    format!("`guards.forbid` forbids programs (`{rule}`), and this runs one");
                self.problems
                    .push(names.document.at_key(key, Kind::Guard, message));
            }
        }
    }
}

//! What stands against a batch job of the service (`via: batch`) already in the text.

use super::Checker;
use crate::diagnostic::Kind;
use crate::document::Node;

impl Checker<'_> {
    /// A strategy is applied to one Workflow after a look at it: no job of the service does that.
    pub(super) fn strategy_via(&mut self, with: &Node) {
        let Some(via) = with.get("via").filter(|via| via.text() != Some("client")) else {
            return;
        };
        let message = "a strategy is not carried out by a batch job: each Workflow of a decision is looked at first";
        let diagnostic = self.names.document.at(via, Kind::Decision, message);
        self.problems.push(
            diagnostic.expected("no `via` here; `via: batch` in a step of its own, with `select`"),
        );
    }

    /// `via` of a step, and the fields that a job takes no notice of.
    pub(super) fn step_via(&mut self, index: usize) {
        let step = &self.names.steps[index];
        let document = self.names.document;
        let via = step.argument("via");
        if let Some(via) = via.filter(|via| via.text().is_some_and(|text| text.contains("${{"))) {
            let message =
                "`via` is not an expression: it decides what can be checked before the run";
            let diagnostic = document.at(via, Kind::Step, message);
            self.problems
                .push(diagnostic.expected("`client` or `batch`"));
            return;
        }
        if via.and_then(Node::text) == Some("batch") {
            if let Some((key, _)) = step.node.entry("canary") {
                let message = "`canary` has no meaning with `via: batch`: the service does not wait for the first few";
                let diagnostic = document.at_key(key, Kind::Step, message);
                self.problems
                    .push(diagnostic.expected("no `canary`, or `via: client`"));
            }
        } else if let Some(accept) = step.argument("accept") {
            let message = "`accept` has a meaning with `via: batch` only";
            let diagnostic = document.at(accept, Kind::Step, message);
            self.problems.push(diagnostic.expected(
                "`via: batch`, or no `accept` (`if_reset: again` resets again, one by one)",
            ));
        }
    }
}

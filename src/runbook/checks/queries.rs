//! List Filters with holes.

use super::{At, Checker, MOST};
use crate::diagnostic::Kind;
use crate::document::Node;
use crate::list_filter::{self, HolePosition};
use crate::template::Type;

impl<'a> Checker<'a> {
    /// A List Filter with holes.
    pub(super) fn query(&mut self, node: &Node, at: At, reads: &mut Vec<Vec<String>>) {
        let Some(text) = node.text().filter(|_| !self.is_full()) else {
            return;
        };
        let filter = match list_filter::parse_template(text) {
            Ok(filter) => filter,
            Err(problems) => {
                for problem in problems.into_iter().take(MOST) {
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
}

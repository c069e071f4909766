//! `tolerance:`: steps and rows that exist, and bounds that are written out.

use super::Checker;
use super::names::StepName;
use crate::catalog::Subject;
use crate::diagnostic::Kind;
use crate::document::{Key, Node};
use crate::schema::list;

impl Checker<'_> {
    pub(super) fn tolerance(&mut self) {
        let Some(tolerance) = self.names.document.root.get("tolerance") else {
            return;
        };
        self.written_out(tolerance.get("workflows"));
        let steps = tolerance.get("steps").into_iter().flat_map(Node::entries);
        for (key, node) in steps {
            self.written_out(node.get("workflows"));
            let rows: Vec<_> = node
                .get("rows")
                .into_iter()
                .flat_map(Node::entries)
                .collect();
            rows.iter().for_each(|(_, row)| self.written_out(Some(row)));
            self.of_step(key, &rows);
        }
    }

    /// What a parameter could move would tolerate anything.
    fn written_out(&mut self, bound: Option<&Node>) {
        let Some(bound) = bound.filter(|it| it.text().is_some_and(|text| text.contains("${{")))
        else {
            return;
        };
        let message = "a tolerance is written out: it is known before the parameters are";
        let diagnostic = self.names.document.at(bound, Kind::Step, message);
        self.problems
            .push(diagnostic.expected("a number, or a percentage such as `5%`"));
    }

    fn of_step(&mut self, key: &Key, rows: &[(&Key, &Node)]) {
        let names = self.names;
        let takes = |step: &&StepName<'_>| {
            let subject = step.action.map(|action| action.subject);
            matches!(subject, Some(Subject::Decision | Subject::Workflow))
        };
        let known = || names.steps.iter().filter(takes).map(|step| step.id);
        let Some(step) = names
            .steps
            .iter()
            .filter(takes)
            .find(|step| step.id == key.name)
        else {
            let message = format!("no step `{}` takes Workflows", key.name);
            let diagnostic = names.document.at_key(key, Kind::Name, message);
            self.problems
                .push(diagnostic.expected(list(known())).near(&key.name, known()));
            return;
        };
        let decision = step.argument("decision").and_then(Node::text);
        let decision = decision.and_then(|name| names.decisions.get(name));
        let of_decision = decision.and_then(|(_, node)| node.get("rows"));
        let ids: Vec<&str> = of_decision
            .map(Node::items)
            .unwrap_or_default()
            .iter()
            .filter_map(|row| row.text_of("id"))
            .collect();
        for (row, _) in rows
            .iter()
            .filter(|(row, _)| !ids.contains(&row.name.as_str()))
        {
            let message = format!("step `{}` has no row `{}`", key.name, row.name);
            let diagnostic = names.document.at_key(row, Kind::Name, message);
            let known = || ids.iter().copied();
            self.problems
                .push(diagnostic.expected(list(known())).near(&row.name, known()));
        }
    }
}

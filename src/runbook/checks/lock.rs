//! The name of a runbook's lock: known before the run, and the same for every run that it is to exclude.

use super::{At, Checker};
use crate::diagnostic::Kind;
use crate::lease;

impl Checker<'_> {
    pub(super) fn lock(&mut self) {
        let Some(node) = self.names.document.root.get("lock") else {
            return;
        };
        let Some(text) = node.text() else {
            return;
        };
        let mut reads = Vec::new();
        self.template(node, At::BeforeRun, &mut reads);
        let mut problem = |message: &str, expected: &str| {
            let diagnostic = self.names.document.at(node, Kind::Expression, message);
            self.problems.push(diagnostic.expected(expected));
        };
        let of_run = |read: &Vec<String>| read.first().is_some_and(|root| root == "run");
        if reads.iter().any(of_run) {
            problem(
                "a lock that differs from run to run excludes nobody",
                "what two runs have in common: `params`",
            );
        }
        if !text.contains("${{")
            && let Err(why) = lease::named(text)
        {
            problem(&why, "a name: `recover ${{ params.bad }}`, for example");
        }
    }
}

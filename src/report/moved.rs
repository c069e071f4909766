//! A saved plan against the service as it is now, for programs and for people.

use jiff::Timestamp;
use serde::Serialize;

use super::format::{Align, Style, Table, Text, Tone, moment};
use crate::plan::Plan;
use crate::plan::moved::Moved;

/// What moved since a plan was made.
#[derive(Clone, Debug, Serialize)]
pub struct PlanDiff {
    /// `plan-diff/v1`
    pub schema: &'static str,
    /// The plan's digest.
    pub digest: String,
    /// When the service was read for the plan.
    pub made: Timestamp,
    /// When it was read again.
    pub at: Timestamp,
    /// Whether the runbook tolerates everything that moved.
    pub within: bool,
    /// What moved.
    pub moved: Vec<Moved>,
}

impl PlanDiff {
    /// Of what moved.
    pub fn new(plan: &Plan, moved: Vec<Moved>, at: Timestamp) -> Self {
        Self {
            schema: "plan-diff/v1",
            digest: plan.digest.clone(),
            made: plan.created,
            at,
            within: !moved.iter().any(|it| it.beyond),
            moved,
        }
    }

    /// A sentence for each thing that moved, for whoever reads the run later.
    pub fn notes(&self) -> Vec<String> {
        let note = |it: &Moved| format!("{}: {}; in the plan it was {}", it.what, it.to, it.from);
        self.moved.iter().map(note).collect()
    }

    /// For people.
    pub fn text(&self, style: Style) -> String {
        let mut text = Text::new(style);
        let (made, at) = (moment(self.made), moment(self.at));
        let beyond = self.moved.iter().filter(|it| it.beyond).count();
        let (tone, said) = match (self.moved.len(), beyond) {
            (0, _) => (Tone::Good, "nothing moved".to_owned()),
            (_, 0) => (Tone::Plain, "what moved is tolerated".to_owned()),
            (_, _) => (Tone::Bad, "more moved than is tolerated".to_owned()),
        };
        text.line(tone, &format!("Planned {made}, read again {at}: {said}"));
        if self.moved.is_empty() {
            return text.into_string();
        }
        let mut table = Table::new(&[
            ("WHAT", Align::Left),
            ("IN THE PLAN", Align::Left),
            ("NOW", Align::Left),
            ("TOLERANCE", Align::Left),
            ("", Align::Left),
        ]);
        for Moved {
            what,
            from,
            to,
            tolerance,
            beyond,
        } in &self.moved
        {
            let verdict = if *beyond { "beyond" } else { "within" };
            table.row([what, from, to, tolerance, verdict]);
        }
        text.table(&table);
        text.into_string()
    }
}

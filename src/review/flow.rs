//! The flow of a runbook as a Mermaid flowchart. Ids of nodes are numbers, so that no step's id can be a word
//! of Mermaid's; labels go through [`super::escape::label`].

use std::fmt::Write as _;

use super::docs_steps::what;
use super::escape::label;
use super::words::{self, Does};
use crate::report::fit;
use crate::runbook::{Runbook, Step, StepBody};

/// Characters of one line of a label.
const LINE: usize = 60;

/// The chart, without its fence.
pub(super) fn chart(runbook: &Runbook) -> String {
    let mut chart = Chart {
        runbook,
        text: "flowchart TD\n".to_owned(),
        nodes: 0,
    };
    let begin = chart.node("([", "begin", "])", "");
    let ends = chart.steps(&runbook.steps, vec![(begin, String::new())]);
    let end = chart.node("([", "done", "])", "");
    chart.edges(&ends, &end);
    chart.text.push_str(
        "  classDef writes fill:#ffd7b5,stroke:#b35900,color:#000\n  \
         classDef reads fill:#d6e6ff,stroke:#2f5ea8,color:#000\n  \
         classDef asks fill:#fff3b0,stroke:#8a6d00,color:#000\n",
    );
    chart.text
}

/// Where the next step is entered from: a node, and what stands on the way.
type Ends = Vec<(String, String)>;

struct Chart<'a> {
    runbook: &'a Runbook,
    text: String,
    nodes: usize,
}

impl Chart<'_> {
    /// Adds a node; `open` and `close` are its shape, `text` is escaped already. Gives its id.
    fn node(&mut self, open: &str, text: &str, close: &str, class: &str) -> String {
        self.nodes += 1;
        let id = format!("n{}", self.nodes);
        let class = if class.is_empty() {
            String::new()
        } else {
            format!(":::{class}")
        };
        let _ = writeln!(self.text, "  {id}{open}\"{text}\"{close}{class}");
        id
    }

    fn edges(&mut self, from: &Ends, to: &str) {
        for (id, on) in from {
            let _ = match on.as_str() {
                "" => writeln!(self.text, "  {id} --> {to}"),
                on => writeln!(self.text, "  {id} -- {on} --> {to}"),
            };
        }
    }

    fn steps(&mut self, steps: &[Step], mut ends: Ends) -> Ends {
        for step in steps {
            let mut skipped = Ends::new();
            if let Some(when) = &step.when {
                let asks = self.node("{", &line(when), "}", "");
                self.edges(&ends, &asks);
                skipped.push((asks.clone(), "no".to_owned()));
                ends = vec![(asks, "yes".to_owned())];
            }
            ends = match &step.body {
                StepBody::Action { .. } => self.action(step, ends),
                StepBody::Repeat { until, steps, .. } => self.repeat(step, until, steps, ends),
            };
            ends.extend(skipped);
        }
        ends
    }

    fn action(&mut self, step: &Step, mut ends: Ends) -> Ends {
        let does = Does::of(self.runbook, step);
        let mut gate = Vec::new();
        if !step.agreement.is_plain() {
            gate.push(line(&step.agreement.clause()));
        }
        if let Some(word) = &step.confirm {
            gate.push(format!("somebody types<br/>{}", line(word)));
        }
        if !gate.is_empty() {
            let gate = self.node("{{", &gate.join("<br/>"), "}}", "asks");
            self.edges(&ends, &gate);
            ends = vec![(gate, String::new())];
        }
        let class = match does {
            Does::Asks => "asks",
            ref does if does.writes() => "writes",
            _ => "reads",
        };
        let title = step.title.clone().unwrap_or_else(|| what(step).plain());
        let text = format!("{}<br/>{}", line(&step.id), line(&title));
        let (open, close) = if class == "asks" {
            ("[/", "/]")
        } else {
            ("[", "]")
        };
        let id = self.node(open, &text, close, class);
        self.edges(&ends, &id);
        vec![(id, String::new())]
    }

    fn repeat(&mut self, step: &Step, until: &str, steps: &[Step], ends: Ends) -> Ends {
        self.nodes += 1;
        let group = format!("n{}", self.nodes);
        let title = step
            .title
            .as_deref()
            .map(|title| format!(": {}", line(title)));
        let _ = writeln!(
            self.text,
            "  subgraph {group}[\"{}{}\"]",
            line(&step.id),
            title.unwrap_or_default()
        );
        // An entry of its own, so that the way back has one end whatever the first step is.
        let entry = self.node("((", " ", "))", "");
        let inside = self.steps(steps, vec![(entry.clone(), String::new())]);
        let asks = self.node("{", &line(until), "}", "");
        self.edges(&inside, &asks);
        let every = match &step.body {
            StepBody::Repeat { every, .. } => label(&words::interval(*every)),
            StepBody::Action { .. } => String::new(),
        };
        let _ = writeln!(
            self.text,
            "  {asks} -- \"no: again after {every}\" --> {entry}"
        );
        self.text.push_str("  end\n");
        self.edges(&ends, &entry);
        vec![(asks, "yes".to_owned())]
    }
}

fn line(text: &str) -> String {
    label(&fit(&super::escape::one_line(text), LINE, true))
}

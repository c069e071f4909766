//! What to do next: the lines that go on with a run.
//!
//! Only from the report; commands are ready to be copied into a POSIX shell.

use serde::Serialize;

use super::fold::Report;
use super::format::{count, shell_word};
use super::model::{Ending, QuestionReport, StepReport};
use crate::record::{Answer, Question, RunStatus, StepStatus};

/// A command and what it is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Next {
    /// What it does, imperative.
    pub why: String,
    /// The command line.
    pub command: String,
}

impl Report {
    /// What can be done now, the likeliest first; nothing after a good end or a dry run. `target` is the
    /// run's id, or the journal's path where that is not in its usual place.
    pub fn next(&self, target: &str) -> Vec<Next> {
        if self.run.dry {
            return Vec::new();
        }
        let line = Line {
            target,
            resume: format!("runbook resume {}", shell_word(target)),
        };
        let mut next = self.likeliest(&line);
        next.extend(self.about_lock());
        next
    }

    fn likeliest(&self, line: &Line<'_>) -> Vec<Next> {
        match &self.ending {
            Ending::Ended {
                status: RunStatus::Succeeded,
                ..
            } => Vec::new(),
            Ending::Refused {
                holder: Some(_), ..
            } => vec![line.with("", "Wait until it is given back, then go on")],
            Ending::Refused { .. } => vec![line.with("", "Try again")],
            Ending::Ended { .. } => self.after_halt(line),
            Ending::Parked { .. } => self.after_parking(line),
            Ending::Interrupted { .. } | Ending::Open => {
                vec![line.with("", "Go on where it stopped")]
            }
        }
    }

    fn after_parking(&self, line: &Line<'_>) -> Vec<Next> {
        let open = self.questions.iter().rev().find(|q| q.answer.is_none());
        let Some(open) = open else {
            return vec![line.with("", "Go on")];
        };
        let mut next = match open.agreement.is_plain() {
            true => vec![line.with("", "Answer at a terminal")],
            false => {
                let step = shell_word(&open.place.step);
                let who = open.agreement.words();
                let approve = Next {
                    why: format!("Agree, each as themselves: {who} must"),
                    command: format!("runbook approve {} {step}", shell_word(line.target)),
                };
                vec![approve, line.with("", "Then go on")]
            }
        };
        // Flags are those of whoever resumes.
        if !open.agreement.not_starter {
            next.push(self.answer_by_flag(open, line));
        }
        next
    }

    fn answer_by_flag(&self, open: &QuestionReport, line: &Line<'_>) -> Next {
        let step = &open.place.step;
        match (self.word(step), &open.what) {
            (Some(word), _) => {
                let flag = format!("--confirm {}", shell_word(&format!("{step}={word}")));
                line.with(&flag, "Confirm without a terminal")
            }
            (None, Question::Manual { form, given, .. })
                if !crate::steps::manual::to_enter(form, given).is_empty() =>
            {
                let mut flags = vec!["--yes".to_owned()];
                for name in crate::steps::manual::to_enter(form, given) {
                    flags.push(format!("--answer {step}.{name}=VALUE"));
                }
                line.with(
                    &flags.join(" "),
                    "Say without a terminal that it was done, with",
                )
            }
            (None, Question::Manual { .. }) => {
                line.with("--yes", "Say without a terminal that it was done")
            }
            (None, _) => line.with("--yes", "Agree without a terminal"),
        }
    }

    fn after_halt(&self, line: &Line<'_>) -> Vec<Next> {
        let stopped = |step: &&StepReport| {
            matches!(step.status, Some(StepStatus::Halted | StepStatus::Failed))
        };
        let Some(last) = self.steps.iter().rev().find(stopped) else {
            return vec![line.with("", "Go on where it stopped")];
        };
        let root = self.facts.root(&last.step);
        let within: Vec<&StepReport> = self
            .steps
            .iter()
            .filter(|step| self.facts.root(&step.step) == root)
            .collect();
        let mut next = Vec::new();
        next.extend(self.give_classes(&within, line));
        let bad: u64 = within.iter().map(|step| step.counts.bad()).sum();
        if bad > 0 {
            let why = format!(
                "Take up {} again",
                count(bad, "refused, failed or unknown Workflow")
            );
            next.push(line.with("--retry-failed", &why));
        }
        let why = match self.declined(root) {
            true => "Ask again",
            false => "Try the step again",
        };
        if next.is_empty() {
            next.push(line.with("", why));
        }
        let accept = format!("--accept {}", shell_word(root));
        next.push(line.with(
            &accept,
            "Accept how it stands, and go on with the next step",
        ));
        next
    }

    fn give_classes(&self, within: &[&StepReport], line: &Line<'_>) -> Option<Next> {
        let types = within.iter().flat_map(|step| step.unmatched.keys());
        let flags: Vec<String> = types
            .map(|name| shell_word(&format!("{}.{name}=CLASS", self.facts.classes())).into_owned())
            .map(|entry| format!("-p {entry}"))
            .collect();
        let why = "Give the types that no row takes a class";
        (!flags.is_empty()).then(|| line.with(&flags.join(" "), why))
    }

    fn declined(&self, root: &str) -> bool {
        let of_root = |q: &&QuestionReport| self.facts.root(&q.place.step) == root;
        let last = self.questions.iter().rev().find(of_root);
        last.and_then(|q| q.answer.as_ref())
            .is_some_and(|answer| answer.answer == Answer::No)
    }
}

struct Line<'a> {
    target: &'a str,
    resume: String,
}

impl Line<'_> {
    fn with(&self, flags: &str, why: &str) -> Next {
        let command = match flags {
            "" => self.resume.clone(),
            flags => format!("{} {flags}", self.resume),
        };
        Next {
            why: why.to_owned(),
            command,
        }
    }
}

//! The lines that a run leaves behind, one record at a time.
//!
//! Pure: a function of the records alone, so that a replayed journal draws the same lines. Loops say
//! only what changed since their last iteration.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};

use crate::record::{Answer, Body, Flags, Place, Record, StepStatus, Through};
use crate::report::{
    Counts, Report, State, StepReport, Style, Text, Tone, count, duration, number,
    question_in_short, status_word, time_of_day,
};

/// A status that does not change is said again after this long.
const AGAIN: SignedDuration = SignedDuration::from_mins(10);

/// Tenths are not said more often than this.
const PAUSE: SignedDuration = SignedDuration::from_secs(2);

/// A line, before it is laid out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Time of the record.
    pub at: Timestamp,
    /// What it says about how things are.
    pub tone: Tone,
    /// The text.
    pub text: String,
}

impl Line {
    /// With its time and mark; ends with a line break.
    pub fn render(&self, style: Style) -> String {
        let mut text = Text::new(style);
        let time = time_of_day(self.at);
        let mark = style.mark(self.tone);
        text.line(self.tone, &format!("{time} {mark} {}", self.text));
        text.into_string()
    }
}

/// Folds records, and says what is worth a line.
#[derive(Clone, Debug, Default)]
pub struct Narrator {
    report: Report,
    /// Without live lines, beginnings and progress are lines too.
    whole: bool,
    /// By step: what was last said about its end.
    endings: HashMap<String, String>,
    /// By step: what was last said about its waiting, and when.
    waits: HashMap<String, (String, Timestamp)>,
    /// By step: tenths of its Workflows that were said to be done, and when.
    tenths: HashMap<String, (u64, Timestamp)>,
    /// By step: what was last said about types that no row takes.
    left: HashMap<String, String>,
    /// The step that claimed last: whose Workflows are worked on.
    working: Option<String>,
}

impl Narrator {
    /// Beside a live display, which shows beginnings and progress.
    pub fn beside_live() -> Self {
        Self::default()
    }

    /// On its own: beginnings and progress are lines too.
    pub fn whole() -> Self {
        Self {
            whole: true,
            ..Self::default()
        }
    }

    /// The fold so far.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Folds a record in and gives the lines that it is worth.
    pub fn tell(&mut self, record: &Record) -> Vec<Line> {
        self.report.apply(record);
        let mut lines = Vec::new();
        self.say(record, &mut |tone, text| {
            lines.push(Line {
                at: record.at,
                tone,
                text,
            });
        });
        lines
    }

    fn say(&mut self, record: &Record, say: &mut dyn FnMut(Tone, String)) {
        match &record.body {
            Body::Opened { .. } => self.opened(say),
            Body::Attached {
                attachment,
                host,
                user,
                flags,
                notes,
                ..
            } => {
                self.attached(*attachment, user, host, flags, say);
                notes.iter().for_each(|note| say(Tone::Plain, note.clone()));
            }
            Body::StepStarted { place } => self.step_started(place, say),
            Body::Asked { place, what, .. } => {
                let text = format!("{} asks: {}", place.step, question_in_short(what));
                say(Tone::Strong, text);
            }
            Body::Answered {
                question,
                answer,
                by,
                means,
                ..
            } => self.answered(*question, *answer, by, *means, say),
            Body::Approved { question, by, .. } => {
                let mut asked = self.report.questions.iter();
                let asked = asked.find(|q| q.question == *question);
                let step = asked.map_or("", |q| &*q.place.step);
                let wanted = asked.map(|q| q.agreement.words()).unwrap_or_default();
                let text = format!("{step}: approved by {by}; {wanted} must agree");
                say(Tone::Plain, text);
            }
            Body::Page { place, .. } => self.working = Some(place.step.clone()),
            Body::Outcome { .. } | Body::Settled { .. } | Body::Released { .. } => {
                self.tenth(record.at, say);
            }
            Body::PassEnded { place, .. } => self.pass_ended(place, say),
            Body::Retried { ordinals } => {
                let what = count(ordinals.len() as u64, "Workflow");
                say(Tone::Plain, format!("{what} taken up again"));
            }
            Body::StepEnded {
                place,
                status,
                message,
                ..
            } => self.step_ended(place, *status, message, say),
            Body::Polled { place, status } => {
                self.wait(&place.step, "waits", status, record.at, say);
            }
            Body::Iterated {
                step,
                iteration,
                done,
                note,
            } => {
                if *done {
                    let times = count(u64::from(*iteration), "iteration");
                    say(Tone::Plain, format!("{step}: done after {times}"));
                } else if !note.is_empty() {
                    self.wait(step, "goes round again", note, record.at, say);
                }
            }
            body => {
                self.about_lock(body, say);
                of_step(body, say);
            }
        }
    }

    fn about_lock(&self, body: &Body, say: &mut dyn FnMut(Tone, String)) {
        let lock = self.report.lock_name();
        match body {
            Body::Locked { .. } => say(Tone::Plain, format!("Has the lock `{lock}`")),
            Body::LockRefused { holder, .. } => match holder {
                Some(holder) => say(Tone::Bad, format!("The lock `{lock}` is held by {holder}")),
                None => say(Tone::Bad, format!("The lock `{lock}` cannot be taken")),
            },
            Body::LockLost { evidence } => {
                say(
                    Tone::Bad,
                    format!("The lock `{lock}` was broken: {evidence}"),
                );
            }
            Body::Unlocked { error } if error.is_empty() => {
                say(Tone::Plain, format!("Gave the lock `{lock}` back"));
            }
            Body::Unlocked { error } => {
                say(
                    Tone::Warn,
                    format!("The lock `{lock}` may still be held: {error}"),
                );
            }
            _ => {}
        }
    }

    fn opened(&self, say: &mut dyn FnMut(Tone, String)) {
        let run = &self.report.run;
        let kind = match (run.dry, run.rehearsal) {
            (true, true) => ", a dry run in rehearsal",
            (true, false) => ", a dry run: nothing is changed",
            (false, true) => ", a rehearsal in simulated time",
            (false, false) => "",
        };
        say(
            Tone::Strong,
            format!("Run {} of {}{kind}", run.id, run.runbook),
        );
        if !run.address.is_empty() {
            let text = format!("Address {}, namespace {}", run.address, run.namespace);
            say(Tone::Plain, text);
        }
    }

    fn attached(
        &self,
        attachment: u32,
        user: &str,
        host: &str,
        flags: &Flags,
        say: &mut dyn FnMut(Tone, String),
    ) {
        if attachment <= 1 && *flags == Flags::default() {
            return;
        }
        let verb = if attachment <= 1 {
            "Started"
        } else {
            "Resumed"
        };
        let words = self
            .report
            .attachments
            .last()
            .map(|who| who.flags.join(" "));
        let with = match words.as_deref() {
            None | Some("") => String::new(),
            Some(words) => format!(" with {words}"),
        };
        say(Tone::Strong, format!("{verb} by {user} on {host}{with}"));
    }

    fn step_started(&self, place: &Place, say: &mut dyn FnMut(Tone, String)) {
        if !self.whole || place.iteration > 1 {
            return;
        }
        let title = self.report.step(&place.step).map(|step| &*step.title);
        let text = match title {
            None | Some("") => format!("{} begins", place.step),
            Some(title) => format!("{} begins: {title}", place.step),
        };
        say(Tone::Plain, text);
    }

    fn answered(
        &self,
        question: u32,
        answer: Answer,
        by: &str,
        means: Through,
        say: &mut dyn FnMut(Tone, String),
    ) {
        let mut asked = self.report.questions.iter();
        let step = asked
            .find(|q| q.question == question)
            .map_or("", |q| &*q.place.step);
        let how = means.words();
        let (tone, word) = match answer {
            Answer::Yes => (Tone::Plain, "yes"),
            Answer::No => (Tone::Warn, "no"),
        };
        say(tone, format!("{step}: {word}, by {by} {how}"));
    }

    /// Every tenth of a step's Workflows, where no live line shows them.
    fn tenth(&mut self, at: Timestamp, say: &mut dyn FnMut(Tone, String)) {
        let Some(step) = self.working.as_deref().filter(|_| self.whole) else {
            return;
        };
        let Some(step) = self.report.step(step) else {
            return;
        };
        let (decided, total) = (step.counts.decided(), step.total());
        let Some(tenth) = (decided * 10).checked_div(total) else {
            return;
        };
        let said = self.tenths.get(&step.step);
        let news =
            said.is_none_or(|(said, when)| tenth > *said && at.duration_since(*when) >= PAUSE);
        if total < 100 || !(1..10).contains(&tenth) || !news {
            return;
        }
        self.tenths.insert(step.step.clone(), (tenth, at));
        let text = format!(
            "{}: {} of {}{}",
            step.step,
            number(decided),
            count(total, "Workflow"),
            after_comma(&counts_in_words(&step.counts))
        );
        say(Tone::Plain, text);
    }

    fn pass_ended(&mut self, place: &Place, say: &mut dyn FnMut(Tone, String)) {
        let Some(step) = self.report.step(&place.step) else {
            return;
        };
        let types: Vec<String> = step
            .unmatched
            .iter()
            .map(|(name, left)| format!("{} of type {name}", count(left.count, "Workflow")))
            .collect();
        let text = types.join(", ");
        let said = self.left.insert(place.step.clone(), text.clone());
        if !text.is_empty() && said.as_deref() != Some(&text) {
            say(Tone::Warn, format!("{}: no row takes {text}", place.step));
        }
    }

    fn wait(
        &mut self,
        step: &str,
        verb: &str,
        status: &str,
        at: Timestamp,
        say: &mut dyn FnMut(Tone, String),
    ) {
        if !self.whole {
            return;
        }
        let said = self.waits.get(step);
        let again =
            said.is_none_or(|(text, when)| text != status || at.duration_since(*when) >= AGAIN);
        if again {
            say(Tone::Plain, format!("{step} {verb}: {status}"));
            self.waits.insert(step.to_owned(), (status.to_owned(), at));
        }
    }

    fn step_ended(
        &mut self,
        place: &Place,
        status: StepStatus,
        message: &str,
        say: &mut dyn FnMut(Tone, String),
    ) {
        let Some(step) = self.report.step(&place.step) else {
            return;
        };
        let text = ending(step, place.iteration, status, message);
        let said = self.endings.insert(place.step.clone(), text.clone());
        if place.iteration > 1 && said.as_deref() == Some(&text) {
            return;
        }
        let tone = match status {
            StepStatus::Succeeded => Tone::Good,
            StepStatus::Failed | StepStatus::Halted => Tone::Bad,
            StepStatus::Accepted => Tone::Warn,
            StepStatus::Skipped | StepStatus::Rehearsed => Tone::Plain,
        };
        let took = SignedDuration::try_from_secs_f64(step.seconds)
            .ok()
            .filter(|took| took.as_secs() > 0 && place.iteration <= 1)
            .map_or_else(String::new, |took| format!(" after {}", duration(took)));
        let (head, tail) = text.split_once(':').unwrap_or((&text, ""));
        let tail = if tail.is_empty() {
            String::new()
        } else {
            format!(":{tail}")
        };
        say(tone, format!("{head}{took}{tail}"));
    }
}

/// How a step ended, without times: what is compared between iterations. Step ids hold no colon.
fn ending(step: &StepReport, iteration: u32, status: StepStatus, message: &str) -> String {
    let counts = counts_in_words(&step.counts);
    let parts: Vec<&str> = [message, &counts]
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect();
    let name = &step.step;
    let head = match iteration {
        0 | 1 => format!("{name} {}", status_word(status)),
        _ => format!("{name} {} again", status_word(status)),
    };
    match parts.as_slice() {
        [] => head,
        [only] => format!("{head}: {only}"),
        // A sentence that goes on.
        [message, counts, ..] => format!("{head}: {}; {counts}", message.trim_end_matches('.')),
    }
}

fn after_comma(text: &str) -> String {
    if text.is_empty() {
        String::new()
    } else {
        format!(", {text}")
    }
}

/// `940 moved, 60 started over, 3 skipped`; empty where there are none.
pub(super) fn counts_in_words(counts: &Counts) -> String {
    let parts = [
        (counts.moved, "moved"),
        (counts.started_over, "started over"),
        (counts.undone, "undone"),
        (counts.terminated, "terminated"),
        (counts.cancelled, "asked to cancel"),
        (counts.signalled, "signalled"),
        (counts.would, State::Would.words()),
        (counts.skipped, "skipped"),
        (counts.refused, "refused"),
        (counts.failed, "failed"),
        (counts.unknown, "unknown"),
        (counts.in_doubt, "in doubt"),
    ];
    let words: Vec<String> = parts
        .into_iter()
        .filter(|(n, _)| *n > 0)
        .map(|(n, word)| format!("{} {word}", number(n)))
        .collect();
    words.join(", ")
}

fn of_step(body: &Body, say: &mut dyn FnMut(Tone, String)) {
    match body {
        Body::Canary {
            place,
            row,
            passed,
            reason,
        } => match passed {
            true => say(
                Tone::Good,
                format!("{}: the canary of row {row} passed: {reason}", place.step),
            ),
            false => say(
                Tone::Bad,
                format!("{}: the canary of row {row} stops it: {reason}", place.step),
            ),
        },
        Body::Acting { place, changes, .. } => {
            for change in changes {
                say(Tone::Plain, format!("{} changes: {change}", place.step));
            }
        }
        Body::Acted {
            place,
            error,
            again,
        } if !error.is_empty() => {
            let further = if *again { " (it is tried again)" } else { "" };
            say(Tone::Warn, format!("{}: {error}{further}", place.step));
        }
        Body::LimitHit {
            place,
            limit,
            value,
            bound,
        } => {
            let (value, bound) = (number(*value), number(*bound));
            let text = format!(
                "{}: {limit} reached {value}, {bound} are allowed",
                place.step
            );
            say(Tone::Bad, text);
        }
        Body::Interrupted { signal, notes } => {
            say(
                Tone::Warn,
                format!("Interrupted by {signal}: nothing new is started"),
            );
            notes.iter().for_each(|note| say(Tone::Warn, note.clone()));
        }
        _ => {}
    }
}

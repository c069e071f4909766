//! Whether enough people agreed, as the raw journal has it: each once, none who was left out, each to what was done.
//! And those who are asked, in the simulation: some say yes twice, under another name, or should not say anything.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use futures::future::BoxFuture;
use jiff::Timestamp;
use runbook::desk::{Parked, Submission};
use runbook::journal::{Journal, Memory};
use runbook::record::{Answer, Witness};
use runbook::run::{Asking, Operator, Reply};
use serde_json::Value;

use super::case::{Book, Case, Does, Life, Voice};
use super::dice::Dice;
use super::journal::{Fact, Told, text};

/// Whoever might answer, welcome or not.
const ANYBODY: [&str; 7] = [
    "operator",
    "Operator",
    "bob",
    "BOB@example.com",
    "carol",
    "operator@example.com",
    "dave",
];
/// Whoever does answer in the end.
const WELCOME: [&str; 4] = ["carol", "dave", "erin", "frank"];

/// Who carries a run's nth process out.
pub(crate) fn attached(number: usize) -> &'static str {
    match number % 3 {
        1 => "bob",
        _ => "operator",
    }
}

/// Which steps several people must agree to. From dice of its own: what else is drawn stays as it was.
pub(crate) fn draw(seed: u64, book: &mut Book) {
    let mut dice = Dice::new(seed ^ 0x0A61_EED5);
    book.each_step(|step| {
        let asks = matches!(
            step.does,
            Does::Decide(_) | Does::Take { .. } | Does::StopRollout | Does::SetCurrent(_)
        );
        if dice.percent(15) && asks {
            step.agreement = Some(dice.pick(&[(1, true), (2, false), (2, true), (3, false)]));
        }
    });
}

/// Which processes nobody answers, so that they park, and who answers then. From dice of its own, too.
pub(crate) fn draw_voices(seed: u64, book: &Book, lives: &mut [Life]) {
    let mut dice = Dice::new(seed ^ 0x0070_7E55);
    let several = book.steps().iter().any(|step| step.agreement.is_some());
    for life in lives {
        life.unattended |= dice.percent(if several { 40 } else { 4 });
        for _ in 0..dice.pick(&[0, 1, 2, 3, 5]) {
            life.voices.push(Voice {
                who: dice.pick(&ANYBODY),
                yes: !dice.percent(8),
            });
        }
    }
}

/// Answers while nobody carries the run out: what is taken is in the journal and on the disk, whatever else is said
/// leaves it as it was.
pub(crate) fn answer_parked(
    memory: &Memory,
    voices: &[Voice],
    now: Timestamp,
) -> Result<(), String> {
    for voice in voices {
        let Ok(parked) = Parked::recall(|each| Journal::open_memory(memory, each)) else {
            return Ok(());
        };
        let Some(question) = parked.question() else {
            return Ok(());
        };
        let before = memory.bytes();
        let submission = Submission {
            question,
            answer: if voice.yes { Answer::Yes } else { Answer::No },
            word: None,
            note: String::new(),
            form: serde_json::Map::new(),
            witness: Witness::rehearsed(voice.who),
        };
        let taken = parked.vote(submission, now);
        let after = memory.bytes();
        let said = after.strip_prefix(before.as_slice());
        let said = said.ok_or("an answer changed what was written before")?;
        let wanted: &[&str] = match &taken {
            Ok(standing) if standing.again => &[],
            Ok(_) if voice.yes => &["approved", "parked"],
            Ok(_) => &["answered", "parked"],
            Err(_) => &[],
        };
        let told = Told::read(said);
        let kinds: Vec<&str> = told.facts.iter().map(Fact::kind).collect();
        let (length, durable) = memory.lengths();
        if kinds != wanted || length != durable {
            return Err(format!(
                "{voice:?} while it is parked came to {taken:?}, and to {kinds:?}, {durable} of {length} bytes durable"
            ));
        }
    }
    Ok(())
}

/// Questions that were answered after a resume by some who had said so while the run was parked.
pub(crate) fn counted_later(told: &Told) -> usize {
    let (mut attached, mut waiting, mut counted) = (false, BTreeSet::new(), 0);
    let mut steps: BTreeMap<u64, String> = BTreeMap::new();
    for fact in &told.facts {
        let question = fact.body["question"].as_u64().unwrap_or_default();
        let step = steps.get(&question).cloned().unwrap_or_default();
        match fact.kind() {
            "attached" => attached = true,
            "parked" | "interrupted" => attached = false,
            "asked" => _ = steps.insert(question, fact.step().to_owned()),
            "approved" if !attached => _ = waiting.insert(step),
            "answered" => {
                let waited = waiting.remove(&step);
                counted += usize::from(attached && waited && text(&fact.body, "answer") == "yes");
            }
            _ => {}
        }
    }
    counted
}

/// Somebody says yes, or nobody is there.
pub(crate) struct Answering {
    attended: bool,
    /// Whether only those answer whose yes counts.
    orderly: bool,
    dice: Mutex<Dice>,
}

impl Answering {
    pub(crate) fn new(seed: u64, attended: bool, orderly: bool) -> Self {
        Self {
            attended,
            orderly,
            dice: Mutex::new(Dice::new(seed ^ 0x00B0_A2D5)),
        }
    }

    fn who(&self, asking: &Asking) -> &'static str {
        if asking.ballot.agreement.is_plain() {
            return "operator";
        }
        let mut dice = self.dice.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.orderly && dice.percent(60) {
            return dice.pick(&ANYBODY);
        }
        let agreed = |name: &&&str| {
            let mut votes = asking.ballot.votes.iter();
            votes.any(|vote| person(&vote.witness.name) == **name)
        };
        WELCOME
            .iter()
            .find(|name| !agreed(name))
            .unwrap_or(&"grace")
    }
}

impl Operator for Answering {
    fn ask<'a>(&'a self, asking: &'a Asking) -> BoxFuture<'a, Reply> {
        let reply = match self.attended {
            true => Reply::Yes {
                by: Witness::rehearsed(self.who(asking)),
                note: String::new(),
                form: serde_json::Map::new(),
            },
            false => Reply::Nobody,
        };
        Box::pin(async move { reply })
    }
}

/// Who it is, whatever else the name says.
fn person(name: &str) -> String {
    let name = name.split('@').next().unwrap_or_default();
    name.to_lowercase()
}

/// One yes.
struct Yes {
    who: String,
    terms: Value,
    until: Timestamp,
    grants: Value,
}

/// What the journal has said so far.
#[derive(Default)]
struct Agreed {
    starters: BTreeSet<String>,
    /// Step, and what a yes is given for, by question.
    asked: BTreeMap<u64, (String, Value)>,
    yes: BTreeMap<String, Vec<Yes>>,
    /// Steps that somebody answered yes to.
    answered: BTreeSet<String>,
}

/// What was done without those who had to agree.
pub(crate) fn check(case: &Case, told: &Told) -> Vec<String> {
    let mut agreed = Agreed::default();
    let mut problems = Vec::new();
    let agreement = |step: &str| case.book.step(step).and_then(|step| step.agreement);
    for fact in &told.facts {
        let body = &fact.body;
        let question = body["question"].as_u64().unwrap_or_default();
        match fact.kind() {
            "attached" => _ = agreed.starters.insert(person(text(body, "user"))),
            "asked" => {
                let what = match text(&body["what"], "kind") {
                    "canary" => Value::Null,
                    _ => body["terms"].clone(),
                };
                let asked = (fact.step().to_owned(), what);
                agreed.asked.insert(question, asked);
            }
            "approved" => {
                let (step, terms) = agreed.asked.get(&question).cloned().unwrap_or_default();
                agreed.yes.entry(step).or_default().push(Yes {
                    who: person(text(&body["by"], "name")),
                    terms,
                    until: text(body, "expires").parse().unwrap_or_default(),
                    grants: body["grants"].clone(),
                });
            }
            "answered" => {
                let (step, terms) = agreed.asked.get(&question).cloned().unwrap_or_default();
                let said = agreed.yes.remove(&step).unwrap_or_default();
                if text(body, "answer") != "yes" || terms.is_null() {
                    continue;
                }
                agreed.answered.insert(step.clone());
                let now: Timestamp = fact.at.parse().unwrap_or_default();
                if let Some((by, not_starter)) = agreement(&step) {
                    let counts = |yes: &&Yes| {
                        let left_out = not_starter && agreed.starters.contains(&yes.who);
                        yes.terms == terms && yes.until > now && !left_out
                    };
                    let said: Vec<&Yes> = said.iter().filter(counts).collect();
                    let people: BTreeSet<&str> = said.iter().map(|yes| yes.who.as_str()).collect();
                    if people.len() < by as usize {
                        problems.push(format!(
                            "step {step} wants {by} people, and was answered by {people:?}"
                        ));
                    }
                    problems.extend(beyond(&step, by, &body["grants"], &said));
                }
            }
            kind @ ("acting" | "intent" | "job") => {
                let ordinal = fact.ordinal().and_then(|ordinal| told.claims.get(&ordinal));
                let step = ordinal.map_or_else(|| fact.step().to_owned(), |it| it.step.clone());
                if agreement(&step).is_some() && !agreed.answered.contains(&step) {
                    problems.push(format!("step {step} has {kind}, and nobody agreed"));
                }
            }
            _ => {}
        }
    }
    problems
}

/// Rows of which more was granted than so many of them said.
fn beyond(step: &str, by: u32, grants: &Value, said: &[&Yes]) -> Vec<String> {
    let rows = grants.as_object().into_iter().flatten();
    let wrong = rows.filter(|(row, granted)| {
        // Of more votes than are wanted, those that grant too little may be left out.
        let enough = said
            .iter()
            .filter(|yes| yes.grants[row].as_u64() >= granted.as_u64());
        let enough: BTreeSet<&str> = enough.map(|yes| yes.who.as_str()).collect();
        enough.len() < by as usize
    });
    wrong
        .map(|(row, granted)| {
            format!("step {step}: {granted} of {row} were granted by fewer than {by}")
        })
        .collect()
}

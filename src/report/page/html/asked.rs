//! What was asked on a page, and who answered it.

use serde::Serialize;

use super::view::{Fact, fact};
use crate::record::{Answer, Question};
use crate::report::format::{moment, number};
use crate::report::model::{AnswerReport, QuestionReport};
use crate::report::question::certainty_words;

#[derive(Debug, Serialize)]
pub(super) struct Asked {
    number: u32,
    when: String,
    step: String,
    iteration: u32,
    short: String,
    what: Vec<String>,
    rows: Vec<AskedRow>,
    approvals: Vec<String>,
    wants: String,
    answered: Option<Answered>,
    /// Names of the fields that are to be entered, with what they are for.
    fields: Vec<Fact>,
}

#[derive(Debug, Serialize)]
struct AskedRow {
    row: String,
    count: String,
    planned: String,
    strategy: String,
    does: String,
    target: String,
    query: String,
    condition: String,
    samples: String,
}

#[derive(Debug, Serialize)]
struct Answered {
    yes: bool,
    who: String,
    how: &'static str,
    when: String,
    until: String,
    granted: Vec<Fact>,
    note: String,
    form: Vec<Fact>,
}

pub(super) fn asked(q: &QuestionReport) -> Asked {
    let mut view = Asked {
        number: q.question,
        when: moment(q.asked),
        step: q.place.step.clone(),
        iteration: q.place.iteration,
        short: q.short.clone(),
        what: Vec::new(),
        rows: Vec::new(),
        approvals: approvals(q),
        wants: match q.agreement.is_plain() {
            true => String::new(),
            false => q.agreement.words(),
        },
        answered: answered(q),
        fields: Vec::new(),
    };
    match &q.what {
        Question::Rows {
            rows,
            rate,
            concurrency,
            notes,
            ..
        } => {
            let pace = format!("Up to {rate} writes a second, {concurrency} at a time.");
            view.what = match notes.is_empty() {
                true => vec![pace],
                false => notes.clone(),
            };
            view.rows = rows
                .iter()
                .map(|row| AskedRow {
                    row: row.row.clone(),
                    count: format!("{} {}", certainty_words(row.certainty), number(row.count)),
                    planned: row.planned.map_or_else(|| "unknown".to_owned(), number),
                    strategy: row.strategy.clone(),
                    does: row.does.clone(),
                    target: row
                        .target
                        .as_ref()
                        .map(ToString::to_string)
                        .unwrap_or_default(),
                    query: row.query.clone(),
                    condition: row.condition.clone(),
                    samples: row.samples.join(", "),
                })
                .collect();
        }
        // One alone is the heading already.
        Question::Changes { changes, .. } if changes.len() < 2 => {}
        Question::Changes { changes, .. } => view.what.clone_from(changes),
        Question::Canary { .. } => {}
        Question::Manual {
            instructions, form, ..
        } => {
            if instructions.lines().count() > 1 {
                view.what = instructions.lines().map(str::to_owned).collect();
            }
            let fields = form.iter();
            view.fields = fields
                .map(|(name, field)| fact(name, &field.description))
                .collect();
        }
        Question::Command {
            line,
            directory,
            effect,
            ..
        } => {
            view.what = vec![line.clone(), format!("Effect: {}", effect.words())];
            view.what
                .extend(directory.iter().map(|folder| format!("In {folder}")));
        }
    }
    view
}

/// Who agreed, where that alone was not the answer.
pub(in crate::report::page) fn approvals(q: &QuestionReport) -> Vec<String> {
    let all = q.approvals.iter();
    all.map(|one| {
        let note = match one.note.as_str() {
            "" => String::new(),
            note => format!(": {note}"),
        };
        let (at, until) = (moment(one.at), moment(one.expires));
        format!("Approved by {}, {at}, counts until {until}{note}", one.by)
    })
    .collect()
}

fn answered(q: &QuestionReport) -> Option<Answered> {
    let answer = q.answer.as_ref()?;
    let yes = answer.answer == Answer::Yes;
    Some(Answered {
        yes,
        who: who(answer),
        how: answer.means.words(),
        when: moment(answer.at),
        until: match yes {
            true => moment(answer.expires),
            false => String::new(),
        },
        granted: answer
            .grants
            .iter()
            .map(|(row, n)| fact(row, number(*n)))
            .collect(),
        note: answer.note.clone(),
        form: answer
            .form
            .iter()
            .map(|(name, value)| {
                let text = value.as_str().map(str::to_owned);
                fact(name, text.unwrap_or_else(|| value.to_string()))
            })
            .collect(),
    })
}

/// Who answered, and from where that is known.
pub(in crate::report::page) fn who(answer: &AnswerReport) -> String {
    match answer.from.as_str() {
        "" => answer.by.clone(),
        from => format!("{} ({from})", answer.by),
    }
}

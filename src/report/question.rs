//! A question in words: in one line for lists, and whole, as it is shown before somebody answers.

use super::format::{Align, Style, Table, Text, Tone, count, number};
use crate::record::{Certainty, Equivalent, Question, RowAsk};
use crate::selection::Found;

/// In one line, without what was granted.
pub fn question_in_short(question: &Question) -> String {
    match question {
        Question::Rows {
            rows, extension, ..
        } => {
            let all: u64 = rows.iter().map(|row| row.count).sum();
            let what = format!("write to {}{}", sureness(rows), count(all, "Workflow"));
            let rows = count(rows.len() as u64, "row");
            match extension {
                true => format!("{what} in {rows}, more than was granted"),
                false => format!("{what} in {rows}"),
            }
        }
        Question::Changes { changes, .. } => match changes.as_slice() {
            [] => "change nothing".to_owned(),
            [one] => one.clone(),
            [first, more @ ..] => format!("{first} (and {} more)", more.len()),
        },
        Question::Canary { row, count: n } => {
            format!("go on with row {row} though {} unproven", are(*n))
        }
        Question::Manual { instructions, .. } => {
            let first = instructions.lines().next().unwrap_or("");
            format!("do by hand: {}", first.trim_end_matches('.'))
        }
        Question::Command { line, .. } => format!("run {line}"),
    }
}

/// Before the sum of the rows' counts. Rows that only the look tells apart may count the same Workflows; what was counted
/// and not listed does not say whether they do.
fn sureness(rows: &[RowAsk]) -> &'static str {
    let any = |certainty| rows.iter().any(|row| row.certainty == certainty);
    match rows.len() {
        _ if any(Certainty::AtMost) => "at most ",
        2.. if any(Certainty::Estimate) => "at most about ",
        _ if any(Certainty::Estimate) => "about ",
        _ => "",
    }
}

fn are(canaries: u32) -> String {
    match canaries {
        1 => "its canary is".to_owned(),
        n => format!("all {n} canaries are"),
    }
}

/// The whole question: where, what, how many, how.
pub fn question_text(
    question: &Question,
    step: &str,
    title: &str,
    address: &str,
    namespace: &str,
    style: Style,
) -> String {
    let mut text = Text::new(style);
    let heading = match title {
        "" => format!("Step {step}"),
        title => format!("Step {step}: {title}"),
    };
    text.line(Tone::Strong, &heading);
    text.line(
        Tone::Plain,
        &format!("  Address {address}, namespace {namespace}"),
    );
    match question {
        Question::Rows {
            rows,
            extension,
            rate,
            concurrency,
            notes,
        } => {
            if *extension {
                text.line(Tone::Warn, "  There are more than were granted before.");
            }
            rows_text(rows, &mut text);
            if notes.is_empty() {
                let pace = format!("  Pace: up to {rate} writes a second, {concurrency} at a time");
                text.line(Tone::Plain, &pace);
            }
            for note in notes {
                text.line(Tone::Warn, &format!("  {note}"));
            }
            // By now the table may have left the window.
            let all = format!("  In all: {}", question_in_short(question));
            text.line(Tone::Strong, &all);
        }
        Question::Changes {
            changes,
            equivalents,
        } => {
            text.line(Tone::Plain, "  This will change:");
            for change in changes {
                text.line(Tone::Plain, &format!("    {change}"));
            }
            for equivalent in equivalents {
                equivalent_text("", equivalent, 4, &mut text);
            }
        }
        Question::Canary { row, count } => {
            let line = format!(
                "  Row {row}: {} unproven: idle, so nothing shows that the target Version works for them.",
                are(*count)
            );
            text.line(Tone::Warn, &line);
        }
        Question::Manual {
            instructions,
            form,
            given,
        } => {
            text.line(Tone::Plain, "  To be done by hand:");
            text.quote(instructions);
            if !form.is_empty() {
                text.line(Tone::Plain, "  To be entered:");
            }
            for (name, field) in form {
                let given = given.get(name).map(|value| format!(" = {value}"));
                let given = given.unwrap_or_default();
                let what = match field.description.as_str() {
                    "" => format!("    {name}{given}"),
                    description => format!("    {name}{given}: {description}"),
                };
                text.line(Tone::Plain, &what);
            }
        }
        Question::Command {
            line,
            directory,
            variables,
            inherits,
            effect,
        } => {
            let here = "  This program will be run on this machine, without a shell:";
            text.line(Tone::Plain, here);
            text.line(Tone::Strong, &format!("    {line}"));
            let mut say = |name: &str, value: &str| {
                if !value.is_empty() {
                    text.line(Tone::Plain, &format!("    {name}: {value}"));
                }
            };
            say("in", directory.as_deref().unwrap_or_default());
            say("with the variables", &variables.join(", "));
            say("inherits", &inherits.join(", "));
            say("effect", effect.words());
        }
    }
    text.into_string()
}

fn rows_text(rows: &[RowAsk], text: &mut Text) {
    let mut table = Table::new(&[
        ("ROW", Align::Left),
        ("NOW", Align::Right),
        ("PLAN", Align::Right),
        ("GRANTED", Align::Right),
        ("STRATEGY", Align::Left),
        ("TARGET", Align::Left),
    ]);
    let any_granted = rows.iter().any(|row| row.granted > 0);
    for row in rows {
        let granted = if any_granted {
            number(row.granted)
        } else {
            String::new()
        };
        let target = row.target.as_ref().map(ToString::to_string);
        table.row([
            row.row.clone(),
            format!("{} {}", certainty_words(row.certainty), number(row.count)),
            row.planned.map_or_else(|| "unknown".to_owned(), number),
            granted,
            row.strategy.clone(),
            target.unwrap_or_default(),
        ]);
    }
    text.table(&table);
    for row in rows {
        text.line(Tone::Strong, &format!("  {}", row.row));
        let mut say = |name: &str, value: &str| {
            if !value.is_empty() {
                text.line(Tone::Plain, &format!("    {name}: {value}"));
            }
        };
        say("does", &row.does);
        say("query", &row.query);
        if let Some(found) = &row.selection {
            found_lines(found)
                .iter()
                .for_each(|(name, value)| say(name, value));
        }
        say("only", &row.condition);
        say("for example", &row.samples.join(", "));
        link_lines(&row.links, 4, text);
        equivalent_text("", &row.equivalent, 4, text);
    }
}

/// The commands that would do by hand what a question is about.
pub(super) fn equivalents(question: &Question) -> Vec<(&str, &Equivalent)> {
    match question {
        Question::Rows { rows, .. } => rows
            .iter()
            .map(|row| (row.row.as_str(), &row.equivalent))
            .collect(),
        Question::Changes { equivalents, .. } => equivalents.iter().map(|one| ("", one)).collect(),
        Question::Canary { .. } | Question::Manual { .. } | Question::Command { .. } => Vec::new(),
    }
}

/// Pages in the Web UI, each whole on a line.
pub(super) fn link_lines(links: &[String], indent: usize, text: &mut Text) {
    for link in links {
        text.faint_command(&format!("{}{link}", " ".repeat(indent)));
    }
}

/// The command that does it by hand, whole on one line so that it can be copied, and what it lacks.
pub(super) fn equivalent_text(row: &str, equivalent: &Equivalent, indent: usize, text: &mut Text) {
    let pad = " ".repeat(indent);
    let of = match row {
        "" => String::new(),
        row => format!(" ({row})"),
    };
    if !equivalent.is_empty() {
        text.line(Tone::Faint, &format!("{pad}by hand{of}:"));
    }
    if !equivalent.command.is_empty() {
        text.faint_command(&format!("{pad}  {}", equivalent.command));
    }
    if !equivalent.caution.is_empty() {
        text.line(Tone::Faint, &format!("{pad}  # {}", equivalent.caution));
    }
}

/// What a selection came to: a name and a line each.
pub(super) fn found_lines(found: &Found) -> Vec<(&'static str, String)> {
    let files = found.files.iter().map(|file| {
        let digest = file.sha256.get(..12).unwrap_or(&file.sha256);
        let names = count(file.names, "name");
        ("file", format!("{} ({names}, SHA-256 {digest})", file.path))
    });
    let lines = [
        ("from", found.from.clone()),
        ("without", found.without.clone()),
        ("selected", found.words()),
    ];
    let lines = lines.into_iter().filter(|(_, value)| !value.is_empty());
    lines.chain(files).collect()
}

/// How sure a count is, to stand before it: `exactly`, `at most`, `about`.
pub fn certainty_words(certainty: Certainty) -> &'static str {
    match certainty {
        Certainty::Exact => "exactly",
        Certainty::AtMost => "at most",
        Certainty::Estimate => "about",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_says_no_more_than_its_rows() {
        let row = |certainty| RowAsk {
            row: "r".to_owned(),
            query: String::new(),
            condition: String::new(),
            count: 500,
            certainty,
            planned: None,
            granted: 0,
            samples: Vec::new(),
            strategy: "move".to_owned(),
            does: String::new(),
            target: None,
            selection: None,
            equivalent: Equivalent::default(),
            links: Vec::new(),
        };
        let asked = |certainties: &[Certainty]| {
            question_in_short(&Question::Rows {
                rows: certainties.iter().copied().map(row).collect(),
                extension: false,
                rate: 5.0,
                concurrency: 1,
                notes: Vec::new(),
            })
        };
        use Certainty::{AtMost, Estimate, Exact};
        let wanted = [
            (&[Exact, Exact][..], "write to 1,000 Workflows in 2 rows"),
            (
                &[Exact, AtMost],
                "write to at most 1,000 Workflows in 2 rows",
            ),
            (&[Estimate], "write to about 500 Workflows in 1 row"),
            (
                &[Estimate, Estimate],
                "write to at most about 1,000 Workflows in 2 rows",
            ),
        ];
        for (certainties, words) in wanted {
            assert_eq!(asked(certainties), words);
        }
    }
}

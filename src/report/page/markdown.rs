//! The page as Markdown, as GitHub shows it: the beginning of an incident review.
//!
//! Everything that somebody else named is escaped, and stands on one line. The ledger is too long for a document: what
//! went wrong is listed, and where to find the rest.

use super::html::OUTCOMES;
use super::ledger;
use super::model::Page;
use crate::record::{Answer, Question};
use crate::report::entry::State;
use crate::report::format::{clip, count, duration, harmless, moment, number};
use crate::report::summary::{health_word, status_word};
use crate::report::workflows::Workflows;

/// So many Workflows that went wrong are listed by name.
const LISTED: usize = 50;
/// A cell that is longer is cut.
const LONGEST: usize = 1_000;

pub(super) fn render(page: &Page<'_>, workflows: &Workflows) -> String {
    let mut text = String::new();
    head(page, &mut text);
    questions(page, &mut text);
    steps(page, &mut text);
    rows(page, &mut text);
    drainage(page, &mut text);
    reasons(page, &mut text);
    troubled(page, workflows, &mut text);
    commands(page, &mut text);
    next(page, &mut text);
    text
}

/// Text that means nothing to Markdown or HTML, on one line.
fn plain(text: &str) -> String {
    let shown = harmless(text);
    let shown = clip(&shown, LONGEST);
    let mut escaped = String::with_capacity(shown.len());
    for c in shown.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            // A mention or an issue would reach somebody.
            '@' => escaped.push_str("&#64;"),
            '#' => escaped.push_str("&#35;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '!' | '$' | '(' | ')' => {
                escaped.extend(['\\', c]);
            }
            c => escaped.push(c),
        }
    }
    // A bare address would become a link.
    escaped.replace("://", ":/&#47;")
}

/// As code on one line, inside a fence that its own backticks cannot end.
fn fenced(text: &str) -> String {
    let text = harmless(text);
    let mut longest = 0;
    let mut run = 0;
    for c in text.chars() {
        run = if c == '`' { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    let fence = "`".repeat((longest + 1).max(3));
    format!("{fence}sh\n{text}\n{fence}\n")
}

fn line(text: &mut String, line: &str) {
    text.push_str(line.trim_end_matches(' '));
    text.push('\n');
}

fn table(text: &mut String, heads: &[(&str, bool)], rows: &[Vec<String>]) {
    let names: Vec<&str> = heads.iter().map(|(name, _)| *name).collect();
    let rules: Vec<&str> = heads
        .iter()
        .map(|(_, right)| if *right { "---:" } else { "---" })
        .collect();
    line(text, &format!("| {} |", names.join(" | ")));
    line(text, &format!("| {} |", rules.join(" | ")));
    for row in rows {
        line(text, &format!("| {} |", row.join(" | ")));
    }
    text.push('\n');
}

fn head(page: &Page<'_>, text: &mut String) {
    let run = page.run;
    let title = match run.title.as_str() {
        "" => &run.runbook,
        title => title,
    };
    line(text, &format!("# {}", plain(title)));
    text.push('\n');
    line(
        text,
        &format!("**{}.** {}", page.verdict.word, plain(&page.verdict.text)),
    );
    text.push('\n');
    let mut rows = vec![
        vec!["Run".to_owned(), plain(&run.id)],
        vec!["Runbook".to_owned(), plain(&run.runbook)],
        vec![
            "Service".to_owned(),
            plain(&format!("{}, namespace {}", run.address, run.namespace)),
        ],
    ];
    if let Some(opened) = run.opened {
        let last = page.last.unwrap_or(opened);
        let took = duration(last.duration_since(opened));
        rows.push(vec![
            "When".to_owned(),
            format!("{} to {}, {took}", moment(opened), moment(last)),
        ]);
    }
    for one in page.attachments {
        let flags = match one.flags.as_slice() {
            [] => String::new(),
            flags => format!(", with {}", flags.join(" ")),
        };
        let who = format!("{} on {}, {}{flags}", one.user, one.host, moment(one.at));
        rows.push(vec!["Run by".to_owned(), plain(&who)]);
    }
    let exit = page
        .exit_code
        .map_or_else(|| "none yet".to_owned(), |code| code.to_string());
    rows.push(vec!["Exit code".to_owned(), exit]);
    rows.push(vec!["Plan".to_owned(), plain(&run.digest)]);
    rows.push(vec![
        "Tool".to_owned(),
        plain(&format!("runbook {}", run.tool)),
    ]);
    rows.push(vec!["State file".to_owned(), plain(page.state_file)]);
    for (name, value) in run.params.as_object().into_iter().flatten() {
        let value = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        rows.push(vec![format!("Parameter {}", plain(name)), plain(&value)]);
    }
    table(text, &[("", false), ("", false)], &rows);
}

fn questions(page: &Page<'_>, text: &mut String) {
    if page.questions.is_empty() {
        return;
    }
    line(text, "## What was asked, and answered\n");
    for q in page.questions {
        let times = match q.place.iteration {
            0 => String::new(),
            n => format!(", iteration {n}"),
        };
        let asked = moment(q.asked);
        line(
            text,
            &format!(
                "{}. **{}{times}**, {asked}: {}?",
                q.question,
                plain(&q.place.step),
                plain(&q.short)
            ),
        );
        for approval in super::html::approvals(q) {
            line(text, &format!("   {}.", plain(&approval)));
        }
        let Some(answer) = &q.answer else {
            line(text, "   Not answered.");
            continue;
        };
        let word = match answer.answer {
            Answer::Yes => "Yes",
            Answer::No => "No",
        };
        let how = answer.means.words();
        let who = plain(&super::html::who(answer));
        line(
            text,
            &format!("   **{word}**, by {who} {how}, {}.", moment(answer.at)),
        );
        let grants: Vec<String> = answer
            .grants
            .iter()
            .map(|(row, n)| format!("{} {}", plain(row), number(*n)))
            .collect();
        if !grants.is_empty() {
            line(text, &format!("   Granted in all: {}.", grants.join(", ")));
        }
        if !answer.note.is_empty() {
            line(text, &format!("   Note: {}", plain(&answer.note)));
        }
        for (name, value) in &answer.form {
            line(
                text,
                &format!("   {}: {}", plain(name), plain(&value.to_string())),
            );
        }
        if let Question::Manual { instructions, .. } = &q.what {
            for instruction in instructions.lines() {
                line(text, &format!("   > {}", plain(instruction)));
            }
        }
    }
    text.push('\n');
}

fn steps(page: &Page<'_>, text: &mut String) {
    line(text, "## Steps\n");
    let rows: Vec<Vec<String>> = page
        .steps
        .iter()
        .map(|step| {
            let times = match step.iteration {
                0 => String::new(),
                n => number(u64::from(n)),
            };
            let seconds = jiff::SignedDuration::try_from_secs_f64(step.seconds);
            vec![
                plain(&step.step),
                step.status.map_or("not ended", status_word).to_owned(),
                step.started.map(moment).unwrap_or_default(),
                seconds.map(duration).unwrap_or_default(),
                times,
                match step.claimed {
                    0 => String::new(),
                    n => number(n),
                },
                plain(&step.message),
            ]
        })
        .collect();
    let heads = [
        ("Step", false),
        ("Status", false),
        ("Began", false),
        ("Took", true),
        ("Times", true),
        ("Workflows", true),
        ("", false),
    ];
    table(text, &heads, &rows);
    let mut any = false;
    for step in page.steps {
        for change in &step.changes {
            line(
                text,
                &format!("- {} changed: {}", plain(&step.step), plain(change)),
            );
            any = true;
        }
    }
    if any {
        text.push('\n');
    }
}

fn rows(page: &Page<'_>, text: &mut String) {
    if page.rows.is_empty() {
        return;
    }
    line(text, "## Decisions\n");
    let outcomes: Vec<_> = OUTCOMES
        .into_iter()
        .filter(|(.., of)| page.rows.iter().any(|row| of(&row.counts) > 0))
        .collect();
    let mut heads = vec![
        ("Step", false),
        ("Row", false),
        ("Strategy", false),
        ("Target", false),
        ("Granted", true),
    ];
    heads.extend(outcomes.iter().map(|(name, ..)| (*name, true)));
    let rows: Vec<Vec<String>> = page
        .rows
        .iter()
        .map(|row| {
            let mut cells = vec![
                plain(row.step),
                plain(row.row),
                plain(row.strategy),
                plain(row.target.as_deref().unwrap_or_default()),
                row.granted.map(number).unwrap_or_default(),
            ];
            cells.extend(outcomes.iter().map(|(.., of)| number(of(&row.counts))));
            cells
        })
        .collect();
    table(text, &heads, &rows);
    for step in page.steps {
        if !step.health.is_empty() {
            let words: Vec<String> = step
                .health
                .iter()
                .map(|(health, n)| format!("{} {}", number(*n), health_word(*health)))
                .collect();
            line(
                text,
                &format!("- {} afterwards: {}", plain(&step.step), words.join(", ")),
            );
        }
        for canary in &step.canaries {
            let how = if canary.passed {
                "passed"
            } else {
                "stopped it"
            };
            let (step, row, why) = (plain(&step.step), plain(&canary.row), plain(&canary.reason));
            line(
                text,
                &format!("- {step}: the canary of row {row} {how}: {why}"),
            );
        }
        for hit in &step.limits {
            let (value, bound) = (number(hit.value), number(hit.bound));
            let (step, limit) = (plain(&step.step), plain(&hit.limit));
            line(
                text,
                &format!("- {step}: {limit} reached {value}, {bound} are allowed"),
            );
        }
        for (name, left) in &step.unmatched {
            let n = count(left.count, "Workflow");
            line(
                text,
                &format!(
                    "- {}: no row takes {n} of type {}",
                    plain(&step.step),
                    plain(name)
                ),
            );
        }
    }
    text.push('\n');
}

fn drainage(page: &Page<'_>, text: &mut String) {
    /// Points of a line that a document has room for.
    const POINTS: usize = 12;
    if !page.series.is_empty() {
        line(text, "## Over time\n");
        let rows: Vec<Vec<String>> = page
            .series
            .iter()
            .map(|series| {
                let every = series.points.len().div_ceil(POINTS).max(1);
                let last = series.points.len() - 1;
                let points = series.points.iter().enumerate();
                let kept = points.filter(|(index, _)| index % every == 0 || *index == last);
                let words: Vec<String> = kept
                    .map(|(_, point)| {
                        format!(
                            "{} at {}",
                            point.value,
                            crate::report::format::time_of_day(point.at)
                        )
                    })
                    .collect();
                vec![plain(&series.step), plain(&series.field), words.join(", ")]
            })
            .collect();
        table(
            text,
            &[("Step", false), ("What", false), ("How many", false)],
            &rows,
        );
    }
    let pace = &page.pace;
    if pace.sent > 0 {
        let sent = count(pace.sent, "write");
        line(
            text,
            &format!(
                "{sent} to Workflows, at most {:.1} a second; {} went wrong.\n",
                pace.highest,
                number(pace.bad)
            ),
        );
    }
    if let Some(left_out) = pace.left_out() {
        line(text, &format!("{left_out}\n"));
    }
}

fn reasons(page: &Page<'_>, text: &mut String) {
    let mut rows: Vec<(u64, Vec<String>)> = Vec::new();
    for row in &page.rows {
        for reason in &row.reasons {
            let cells = vec![
                number(reason.count),
                reason.state.words().to_owned(),
                plain(row.step),
                plain(row.row),
                plain(&reason.reason),
            ];
            rows.push((reason.count, cells));
        }
    }
    if rows.is_empty() {
        return;
    }
    rows.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
    let rows: Vec<Vec<String>> = rows.into_iter().map(|(_, cells)| cells).collect();
    line(text, "## Errors and reasons\n");
    let heads = [
        ("Workflows", true),
        ("Outcome", false),
        ("Step", false),
        ("Row", false),
        ("Reason", false),
    ];
    table(text, &heads, &rows);
}

/// Those that went wrong, by name.
fn troubled(page: &Page<'_>, workflows: &Workflows, text: &mut String) {
    let wrong = |state| {
        matches!(
            state,
            State::Refused | State::Failed | State::Unknown | State::InDoubt
        )
    };
    let mut more = 0;
    let mut rows = Vec::new();
    for row in workflows.rows() {
        let ill = row.health.is_some_and(crate::record::Health::is_unhealthy);
        if !wrong(row.state) && !ill {
            continue;
        }
        if rows.len() == LISTED {
            more += 1;
            continue;
        }
        rows.push(vec![
            plain(row.workflow_id),
            plain(row.step),
            plain(row.row),
            ledger::outcome(&row).to_owned(),
            row.health.map_or("", health_word).to_owned(),
            plain(&ledger::why(&row)),
        ]);
    }
    if page.workflows == 0 {
        return;
    }
    line(text, "## Ledger\n");
    if rows.is_empty() {
        line(text, "None went wrong.\n");
    } else {
        line(text, "What went wrong:\n");
        let heads = [
            ("Workflow", false),
            ("Step", false),
            ("Row", false),
            ("Outcome", false),
            ("Health", false),
            ("Why", false),
        ];
        table(text, &heads, &rows);
    }
    if more > 0 {
        line(text, &format!("And {}.\n", count(more, "more Workflow")));
    }
    let all = count(page.claimed(), "Workflow");
    line(text, &format!("{all} in all; each of them:\n"));
    text.push_str(&fenced(&format!(
        "runbook show {} --workflows --output csv",
        page.run.id
    )));
    text.push('\n');
}

fn commands(page: &Page<'_>, text: &mut String) {
    if page.commands.is_empty() {
        return;
    }
    line(text, "## The same by hand\n");
    for one in &page.commands {
        let about = match one.row {
            "" => plain(one.step),
            row => format!("{}, row {}", plain(one.step), plain(row)),
        };
        line(text, &format!("{about}:\n"));
        if !one.command.is_empty() {
            text.push_str(&fenced(one.command));
            text.push('\n');
        }
        if !one.caution.is_empty() {
            line(text, &format!("{}\n", plain(one.caution)));
        }
    }
}

fn next(page: &Page<'_>, text: &mut String) {
    if page.next.is_empty() {
        return;
    }
    line(text, "## What can be done now\n");
    for next in &page.next {
        line(text, &format!("{}:\n", plain(&next.why)));
        text.push_str(&fenced(&next.command));
        text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_name_is_neither_markup_nor_a_mention() {
        assert_eq!(
            plain("</td><img src=x> @alice #7 [a](http://b) | `x`\n*b*"),
            r"&lt;/td&gt;&lt;img src=x&gt; &#64;alice &#35;7 \[a\]\(http:/&#47;b\) \| \`x\`\\n\*b\*"
        );
    }

    proptest! {
        #[test]
        fn nothing_leaves_its_cell(text in any::<String>()) {
            let cell = plain(&text);
            prop_assert!(!cell.contains(['<', '>', '\n', '@']));
            let bars = cell.match_indices('|').all(|(at, _)| cell[..at].ends_with('\\'));
            prop_assert!(bars);
        }

        #[test]
        fn a_fence_is_longer_than_what_is_inside(text in "[`a \n]{0,20}") {
            let shown = fenced(&text);
            let fence: String = shown.chars().take_while(|c| *c == '`').collect();
            let inside = &shown[fence.len()..shown.len() - fence.len() - 1];
            prop_assert!(!inside.contains(&fence));
        }
    }
}

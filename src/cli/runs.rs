//! `runbook runs`: the runs of this user on this machine, from their journals.
//!
//! Reads the ends of each journal only; nothing is checked in between. Wiring and layout.

use serde::Serialize;

use super::{Exit, Output};
use crate::journal::{self, Holder, JournalError, Listed};
use crate::record::RunStatus;
use crate::report::{Ending, Header, Report, write_json};
use crate::ui::{Align, Style, Table, Ui, minute, moment};

/// One run as JSON. Fields are only ever added.
#[derive(Debug, Serialize)]
pub struct Run {
    /// What run it is; none where the journal cannot be read.
    pub run: Option<Header>,
    /// `running`, `succeeded`, `halted`, `parked`, `interrupted`, `stopped` or `unreadable`.
    pub state: &'static str,
    /// Time of its last record.
    pub last: Option<jiff::Timestamp>,
    /// Who runs it now, where that is known.
    pub holder: Option<Holder>,
    /// The journal.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// Why it cannot be read.
    pub error: Option<String>,
}

/// Runs the verb.
pub fn run(ui: &Ui, output: Output) -> Exit {
    match journal::list() {
        Ok(listed) => print(listed, output, ui),
        Err(error) => refused(&error, ui),
    }
}

/// Prints an error about a journal.
pub fn refused(error: &JournalError, ui: &Ui) -> Exit {
    ui.error(&error.to_string(), Some(&error.hint()));
    match error.exit_code() {
        2 => Exit::Invalid,
        4 => Exit::Refused,
        70 => Exit::Bug,
        _ => Exit::Failed,
    }
}

fn print(listed: Vec<Listed>, output: Output, ui: &Ui) -> Exit {
    let runs: Vec<Run> = listed.into_iter().map(Run::of).collect();
    let printed = match output {
        Output::Json => ui.write_data(|out| {
            write_json(&runs, true, out)?;
            out.write_all(b"\n")
        }),
        Output::Text if runs.is_empty() => {
            ui.hint("there are no runs yet; `runbook exec FILE` begins one");
            Ok(())
        }
        Output::Text => ui.data(&table(&runs, ui.out_style())),
    };
    written(printed, ui)
}

/// How the command ends after data was written.
pub fn written(result: std::io::Result<()>, ui: &Ui) -> Exit {
    match result {
        Ok(()) => Exit::Done,
        Err(error) => {
            ui.error(&format!("cannot write to stdout: {error}"), None);
            Exit::Failed
        }
    }
}

impl Run {
    /// From a journal's ends.
    pub fn of(listed: Listed) -> Self {
        let running = listed.running.is_some();
        let path = listed.path.display().to_string();
        match listed.ends {
            Ok(ends) => {
                let report = Report::of([&ends.first, &ends.last]);
                Self {
                    state: state(&report.ending, running),
                    last: report.last,
                    run: Some(report.run),
                    holder: listed.running.flatten(),
                    path,
                    bytes: listed.bytes,
                    error: None,
                }
            }
            Err(error) => Self {
                run: None,
                state: "unreadable",
                last: None,
                holder: listed.running.flatten(),
                path,
                bytes: listed.bytes,
                error: Some(error.to_string()),
            },
        }
    }
}

fn state(ending: &Ending, running: bool) -> &'static str {
    match ending {
        _ if running => "running",
        Ending::Open => "stopped",
        Ending::Parked { .. } => "parked",
        Ending::Interrupted { .. } => "interrupted",
        Ending::Refused { .. } => "refused",
        Ending::Ended {
            status: RunStatus::Succeeded,
            ..
        } => "succeeded",
        Ending::Ended { .. } => "halted",
    }
}

/// Columns of the whole table with names of a usual length.
const WHOLE: usize = 132;

/// The runs as a table: in a narrow window only what tells them apart, so that each stays one line.
pub fn table(runs: &[Run], style: Style) -> String {
    match style.width {
        Some(width) if width < WHOLE => short_table(runs, style),
        _ => whole_table(runs, style),
    }
}

fn short_table(runs: &[Run], style: Style) -> String {
    let mut table = Table::new(&[
        ("RUN", Align::Left),
        ("STATE", Align::Left),
        ("RUNBOOK", Align::Left),
        ("LAST", Align::Left),
        ("WHY", Align::Left),
    ]);
    for run in runs {
        let last = run.last.map(minute).unwrap_or_default();
        let why = run.error.clone().unwrap_or_default();
        let (id, runbook) = match &run.run {
            Some(header) => (&*header.id, &*header.runbook),
            None => (&*run.path, ""),
        };
        let kind = match &run.run {
            Some(header) if header.dry => "dry run",
            Some(header) if header.rehearsal => "rehearsal",
            _ => "",
        };
        let state = match (kind, run.state) {
            ("", state) => state.to_owned(),
            (kind, "succeeded") => kind.to_owned(),
            (kind, state) => format!("{kind}, {state}"),
        };
        table.row([id, &state, runbook, &last, &why]);
    }
    table.render(style)
}

fn whole_table(runs: &[Run], style: Style) -> String {
    let mut table = Table::new(&[
        ("RUN", Align::Left),
        ("STATE", Align::Left),
        ("RUNBOOK", Align::Left),
        ("NAMESPACE", Align::Left),
        ("OPENED", Align::Left),
        ("LAST RECORD", Align::Left),
        ("WHY", Align::Left),
    ]);
    for run in runs {
        let why = run.error.clone().unwrap_or_default();
        let last = run.last.map(moment).unwrap_or_default();
        let Some(header) = &run.run else {
            let path = run.path.as_str();
            table.row([path, run.state, "", "", "", &last, &why]);
            continue;
        };
        let kind = match (header.dry, header.rehearsal) {
            (true, _) => " (dry run)",
            (false, true) => " (rehearsal)",
            (false, false) => "",
        };
        table.row([
            &*header.id,
            &format!("{}{kind}", run.state),
            &header.runbook,
            &header.namespace,
            &header.opened.map(moment).unwrap_or_default(),
            &last,
            &why,
        ]);
    }
    table.render(style)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_a_line_in_a_window_of_80_columns() {
        let run = |state, dry| Run {
            run: Some(Header {
                id: "rb-20261122-015326-bnrd".to_owned(),
                runbook: "recover-pinned-workflows".to_owned(),
                namespace: "default".to_owned(),
                dry,
                ..Header::default()
            }),
            state,
            last: Some(jiff::Timestamp::UNIX_EPOCH),
            holder: None,
            path: String::new(),
            bytes: 0,
            error: None,
        };
        let runs = [run("interrupted", false), run("succeeded", true)];
        let shown = table(&runs, Style::PLAIN.of_width(80));
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines.len(), 3, "{shown}");
        assert!(lines[1].ends_with("01-01 00:00Z"), "{shown}");
        assert!(lines[2].contains(" dry run "), "{shown}");
        assert!(table(&runs, Style::PLAIN).contains("NAMESPACE"));
    }
}

//! What this tool knows, as the messages of the API say it.
//!
//! Nothing here reads or calls anything but a journal's ends.

use std::path::Path;

use jiff::Timestamp;
use serde_json::Value;
use tonic::{Code, Status};

use super::v1;
use crate::journal::{self, Ends, ErrorKind, JournalError, Listed};
use crate::record::{self, Body, Record, RunStatus, StepStatus};
use crate::report::{self, Ending, Report, StepReport, certainty_words};
use crate::run::Progress;

/// A moment.
pub(super) fn time(at: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: at.as_second(),
        nanos: at.subsec_nanosecond(),
    }
}

/// A record; its body is the journal's own JSON.
pub(super) fn record(record: &Record) -> v1::Record {
    let value = serde_json::to_value(record).unwrap_or(Value::Null);
    let kind = value.pointer("/body/kind").and_then(Value::as_str);
    v1::Record {
        seq: record.seq,
        at: Some(time(record.at)),
        kind: kind.unwrap_or_default().to_owned(),
        json: value.to_string(),
    }
}

/// Progress.
pub(super) fn progress(progress: &Progress) -> v1::Progress {
    let place = progress.step.as_ref();
    v1::Progress {
        step: place.map(|place| place.step.clone()).unwrap_or_default(),
        iteration: place.map_or(0, |place| place.iteration),
        in_flight: u32::try_from(progress.in_flight).unwrap_or(u32::MAX),
        rate: progress.rate,
        waiting_for: progress.waiting_for.clone().unwrap_or_default(),
        now: Some(time(progress.now)),
        simulated: progress.simulated,
        until: progress.until.map(time),
    }
}

/// How a run stands.
pub(super) fn state(ending: &Ending, running: bool) -> v1::RunState {
    match ending {
        _ if running => v1::RunState::Running,
        Ending::Open => v1::RunState::Stopped,
        Ending::Parked { .. } => v1::RunState::Parked,
        Ending::Interrupted { .. } => v1::RunState::Interrupted,
        Ending::Refused { .. } => v1::RunState::Refused,
        Ending::Ended {
            status: RunStatus::Succeeded,
            ..
        } => v1::RunState::Succeeded,
        Ending::Ended { .. } => v1::RunState::Halted,
    }
}

/// The exit code that `exec` has for it.
fn exit_code(state: v1::RunState, dry: bool) -> i32 {
    match state {
        v1::RunState::Succeeded => 0,
        v1::RunState::Parked if dry => 0,
        v1::RunState::Parked => 3,
        v1::RunState::Refused => 4,
        v1::RunState::Interrupted => 130,
        _ => 1,
    }
}

fn reason(ending: &Ending) -> String {
    match ending {
        Ending::Open => String::new(),
        Ending::Parked { reason } => reason.clone(),
        Ending::Interrupted { signal } => signal.clone(),
        Ending::Refused { message, .. } | Ending::Ended { message, .. } => message.clone(),
    }
}

/// The line that goes on with a run that nobody carries out.
fn resume(path: &Path, run: &str, state: v1::RunState, dry: bool) -> String {
    match state {
        v1::RunState::Running | v1::RunState::Succeeded | v1::RunState::Unreadable => String::new(),
        _ if dry => String::new(),
        _ => journal::resume_line(path, &record::RunId(run.to_owned())),
    }
}

/// Why a stream ends that nobody adds to any more.
pub(super) fn end(path: &Path) -> Result<v1::End, JournalError> {
    let ends = journal::ends(path)?;
    let report = Report::of([&ends.first, &ends.last]);
    let state = state(&report.ending, false);
    Ok(v1::End {
        state: state.into(),
        exit_code: exit_code(state, report.run.dry),
        reason: reason(&report.ending),
        resume: resume(path, &report.run.id, state, report.run.dry),
    })
}

/// A run of a list, from its journal's ends.
pub(super) fn listed(listed: Listed) -> v1::Run {
    let running = listed.running.is_some();
    let holder = listed.running.flatten().map(|holder| holder.to_string());
    match listed.ends {
        Ok(Ends { first, last }) => {
            let report = Report::of([&first, &last]);
            v1::Run {
                holder: holder.unwrap_or_default(),
                ..run(&report, &listed.path, running, &first, last.seq)
            }
        }
        Err(error) => {
            let name = listed.path.file_stem().unwrap_or_default();
            v1::Run {
                run_id: name.to_string_lossy().into_owned(),
                state: v1::RunState::Unreadable.into(),
                last: Some(time(listed.modified)),
                holder: holder.unwrap_or_default(),
                error: error.to_string(),
                ..v1::Run::default()
            }
        }
    }
}

/// A run, from its report and its first record.
pub(super) fn run(
    report: &Report,
    path: &Path,
    running: bool,
    first: &Record,
    last_seq: u64,
) -> v1::Run {
    let header = &report.run;
    let state = state(&report.ending, running);
    let format = match &first.body {
        Body::Opened { format, .. } => format!("{}.{}", format.major, format.minor),
        _ => String::new(),
    };
    v1::Run {
        run_id: header.id.clone(),
        state: state.into(),
        runbook: header.runbook.clone(),
        title: header.title.clone(),
        plan_digest: header.digest.clone(),
        address: header.address.clone(),
        namespace: header.namespace.clone(),
        opened: header.opened.map(time),
        last: report.last.map(time),
        last_seq,
        dry_run: header.dry,
        rehearsal: header.rehearsal,
        holder: String::new(),
        reason: reason(&report.ending),
        error: String::new(),
        format,
        resume: resume(path, &header.id, state, header.dry),
    }
}

/// A step.
pub(super) fn step(step: &StepReport) -> v1::Step {
    let state = match step.status {
        None => v1::StepState::Running,
        Some(StepStatus::Succeeded) => v1::StepState::Succeeded,
        Some(StepStatus::Skipped) => v1::StepState::Skipped,
        Some(StepStatus::Failed) => v1::StepState::Failed,
        Some(StepStatus::Halted) => v1::StepState::Halted,
        Some(StepStatus::Accepted) => v1::StepState::Accepted,
        Some(StepStatus::Rehearsed) => v1::StepState::Rehearsed,
    };
    let waiting = step.waiting.as_ref().filter(|_| step.status.is_none());
    v1::Step {
        step: step.step.clone(),
        title: step.title.clone(),
        parent: step.parent.clone().unwrap_or_default(),
        iteration: step.iteration,
        state: state.into(),
        message: step.message.clone(),
        total: step.total(),
        counts: Some(counts(&step.counts)),
        waiting_for: waiting
            .map(|waiting| waiting.status.clone())
            .unwrap_or_default(),
    }
}

fn counts(counts: &report::Counts) -> v1::Counts {
    v1::Counts {
        moved: counts.moved,
        started_over: counts.started_over,
        undone: counts.undone,
        terminated: counts.terminated,
        cancelled: counts.cancelled,
        signalled: counts.signalled,
        skipped: counts.skipped,
        refused: counts.refused,
        failed: counts.failed,
        unknown: counts.unknown,
        in_doubt: counts.in_doubt,
        would: counts.would,
    }
}

/// Somebody who did something.
pub(super) fn witness(witness: &record::Witness) -> v1::Witness {
    let through = match witness.through {
        record::Through::Terminal => v1::Through::Terminal,
        record::Through::Flag => v1::Through::Flag,
        record::Through::Socket => v1::Through::Socket,
        record::Through::Tls => v1::Through::Tls,
        record::Through::Page => v1::Through::Page,
        record::Through::Rehearsal => v1::Through::Rehearsal,
    };
    v1::Witness {
        name: witness.name.clone(),
        from: witness.from.clone(),
        through: through.into(),
    }
}

/// Yes or no.
pub(super) fn answer(answer: record::Answer) -> v1::Answer {
    match answer {
        record::Answer::Yes => v1::Answer::Yes,
        record::Answer::No => v1::Answer::No,
    }
}

/// What a question asks for, row by row; none for one that is not about Workflows.
pub(super) fn rows(what: &record::Question) -> Vec<v1::QuestionRow> {
    let record::Question::Rows { rows, .. } = what else {
        return Vec::new();
    };
    rows.iter()
        .map(|row| v1::QuestionRow {
            row: row.row.clone(),
            query: row.query.clone(),
            count: row.count,
            certainty: text_of(&row.certainty, certainty_words(row.certainty)),
            granted: row.granted,
            strategy: row.strategy.clone(),
            does: row.does.clone(),
            target: row
                .target
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
            samples: row.samples.clone(),
        })
        .collect()
}

/// What a question wants filled in.
pub(super) fn form(what: &record::Question) -> Vec<v1::FormField> {
    let record::Question::Manual { form, given, .. } = what else {
        return Vec::new();
    };
    form.iter()
        .filter(|(name, _)| !given.contains_key(*name))
        .map(|(name, field)| v1::FormField {
            name: name.clone(),
            description: field.description.clone(),
            r#type: text_of(&field.kind, ""),
            required: crate::runbook::outputs::must_be_entered(field),
        })
        .collect()
}

/// The name that JSON has for a value.
fn text_of(value: &impl serde::Serialize, otherwise: &str) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(text)) => text,
        _ => otherwise.to_owned(),
    }
}

/// A journal that cannot be read, as a status.
pub(super) fn unreadable(error: &JournalError) -> Status {
    let code = match error.kind {
        ErrorKind::NoSuchRun { .. } | ErrorKind::Ambiguous { .. } | ErrorKind::NoHome => {
            Code::NotFound
        }
        ErrorKind::Locked { .. } | ErrorKind::NoRecords => Code::FailedPrecondition,
        ErrorKind::Taken { .. } => Code::Aborted,
        ErrorKind::Foreign
        | ErrorKind::OtherFormat { .. }
        | ErrorKind::Unknown { .. }
        | ErrorKind::Damaged { .. } => Code::DataLoss,
        _ => Code::Internal,
    };
    Status::new(code, format!("{error}; {}", error.hint()))
}

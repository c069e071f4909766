//! What every input must bear, one function a fuzz target: nothing panics, nothing runs without end,
//! what is shown is harmless, and the laws that are named at each.
//!
//! Shared by the fuzz targets beside this file and by `tests/it/corpus.rs`, which replays the kept inputs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use jiff::Timestamp;
use prost::Message;
use runbook::connection::{Access, Connection, InMemory, Settings};
use runbook::diagnostic::{self, Diagnostic};
use runbook::history::{Before, ResetTo};
use runbook::journal::{Journal, Memory};
use runbook::list_filter::{self, Filter};
use runbook::payload;
use runbook::record::Record;
use runbook::rehearsal::Rehearsal;
use runbook::report::{Layout, Located, Report, Style, Workflows, is_harmful};
use runbook::run::begin::machine_of;
use runbook::runbook::{Runbook, Scope};
use runbook::survey::{
    AttributeValue, Behavior, CurrentRun, HistoryNeed, Listed, Look, Status, WorkflowKey,
};
use runbook::template;
use runbook::temporal::Temporal;
use serde_json::{Map, Value, json};
use temporalio_protos::temporal::api::common::v1::{Payload, Payloads};
use temporalio_protos::temporal::api::workflowservice::v1::{
    DescribeNamespaceResponse, GetSystemInfoResponse,
};

/// A terminal would act on no character of it.
#[track_caller]
pub fn harmless(text: &str) {
    let found = text.chars().find(|c| is_harmful(*c) && *c != '\n');
    assert_eq!(found, None, "{text:?}");
}

/// A runbook or a rehearsal, of arbitrary bytes: every problem can be shown.
pub fn yaml(data: &[u8]) {
    let show = |problems: Vec<Diagnostic>| {
        assert!(!problems.is_empty(), "refused without a reason");
        harmless(&diagnostic::render(&problems, false, 80));
        serde_json::to_string(&problems).expect("diagnostics are JSON");
    };
    if let Err(problems) = Runbook::parse("fuzz.yaml", data) {
        show(problems);
    }
    if let Err(problems) = Rehearsal::parse("fuzz.rehearsal.yaml", data) {
        show(problems);
    }
}

const SUBJECT: &str = r#"
schema: runbook/v1
name: fuzz
params:
  text: { type: string, default: "a 'b' \"c\" \\ d" }
  number: { type: integer, default: 42 }
  yes: { type: boolean, default: true }
  version: { type: version, default: "orders:v1" }
  list: { type: list, items: string, default: [a, "b'", ""] }
  classes: { type: map, default: { Order: x } }
  length: { type: duration, default: 90s }
queries:
  named: WorkflowType = ${{ params.text }}
steps:
  - id: first
    action: workflows.count
    with: { select: { query: "${{ queries.named }}" } }
"#;

static FIXED: LazyLock<(Runbook, Scope)> = LazyLock::new(|| {
    let text = SUBJECT.replace("yes:", "agreed:");
    let runbook = Runbook::parse("fuzz.yaml", text.as_bytes())
        .unwrap_or_else(|problems| panic!("{}", diagnostic::render(&problems, false, 100)));
    let parameters = runbook
        .resolve_parameters(&Default::default())
        .expect("each has a default");
    let outputs = BTreeMap::from([("first".to_owned(), json!({ "count": 7 }))]);
    let scope = runbook.scope(&parameters, &outputs, &json!({ "id": "rb-1" }));
    (runbook, scope)
});

/// An expression, a text with holes and a query with holes: parsed, named, evaluated. A value that comes
/// into a query never changes the query's shape.
pub fn expression(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (runbook, scope) = &*FIXED;
    if let Ok(pieces) = template::split(text) {
        drop(pieces);
        if let Some(range) = template::sole(text) {
            assert!(text.get(range).is_some(), "a range inside the text");
        }
    }
    let _ = template::parse(text, 0);
    runbook.reads(text);
    if let Ok(value) = runbook.evaluate(text, scope) {
        serde_json::to_string(&value).expect("a value is JSON");
    }
    let _ = runbook.render(&Value::String(text.to_owned()), scope);
    if let Ok(filter) = runbook.render_query(text, scope) {
        same_after_rendering(&filter);
    }
    let filter = list_filter::parse(&format!("WorkflowId = {}", list_filter::quote(text)));
    let values = filter
        .expect("a quoted text is one literal")
        .required_values("WorkflowId");
    assert_eq!(values, Some(BTreeSet::from([text.to_owned()])));
}

/// A List Filter: what is rendered reads back as the same; folding does not change what matches; no
/// row makes it panic.
pub fn list_filter(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let _ = list_filter::parse_count(text);
    let _ = list_filter::parse_template(text);
    match list_filter::parse(text) {
        Ok(filter) => {
            same_after_rendering(&filter);
            filter.check();
            filter.attributes();
            filter.required_statuses();
            filter.contradiction();
            filter.never_because();
            let folded = filter.fold();
            for row in rows() {
                assert_eq!(
                    filter.matches(&row),
                    folded.matches(&row),
                    "{}\n{}",
                    filter.render(),
                    folded.render()
                );
            }
        }
        Err(problems) => {
            assert!(!problems.is_empty(), "refused without a reason");
            for problem in problems {
                assert!(text.get(problem.span.clone()).is_some(), "{problem:?}");
            }
        }
    }
}

#[track_caller]
fn same_after_rendering(filter: &Filter) {
    let text = filter.render();
    match list_filter::parse(&text) {
        Ok(again) => assert_eq!(again.render(), text),
        Err(problems) => panic!("{text}\n{problems:?}"),
    }
}

fn rows() -> Vec<Listed> {
    let row = |id: &str, kind: &str, status, attributes| Listed {
        key: WorkflowKey {
            workflow_id: id.to_owned(),
            run_id: "r".to_owned(),
        },
        workflow_type: kind.to_owned(),
        status,
        task_queue: "orders".to_owned(),
        start_time: Some(Timestamp::UNIX_EPOCH),
        close_time: None,
        parent: None,
        attributes,
    };
    let attributes = BTreeMap::from([
        ("A".to_owned(), AttributeValue::Text("a".to_owned())),
        ("B".to_owned(), AttributeValue::Int(3)),
    ]);
    vec![
        row("a", "Order", Status::Running, BTreeMap::new()),
        row("b'\\\"", "", Status::Failed, attributes),
    ]
}

/// The records of a run that ended, as the tool writes them.
const BEGINNING: &str = include_str!("beginning.jsonl");

static BEGUN: LazyLock<Vec<Value>> = LazyLock::new(|| {
    let lines = BEGINNING.lines();
    lines
        .map(|line| serde_json::from_str(line).expect("a record"))
        .collect()
});

/// A journal: `data` as it is; and as further records, each line made whole, numbered and folded. A
/// journal is read, or refused, and what was read can be folded, or is refused, and shown.
pub fn journal(data: &[u8]) {
    let _ = Journal::open_memory(&Memory::of(data.to_vec()), drop);
    let mut records = BEGUN.clone();
    for line in data.split(|byte| *byte == b'\n') {
        let Ok(mut record) = serde_json::from_slice::<Map<String, Value>>(line) else {
            continue;
        };
        record.insert("seq".to_owned(), json!(records.len() + 1));
        records.push(Value::Object(record));
    }
    let bytes: Vec<u8> = records
        .iter()
        .flat_map(|record| whole(&json!([record])))
        .collect();
    let mut read: Vec<Record> = Vec::new();
    let _ = Journal::open_memory(&Memory::of(bytes), |record| read.push(record));
    fold(&read);
    show(&read);
}

/// One line, as the journal frames it.
pub fn whole(records: &Value) -> Vec<u8> {
    let records = records.to_string();
    let crc = crc32fast::hash(records.as_bytes());
    format!("{{\"crc\":\"{crc:08x}\",\"records\":{records}}}\n").into_bytes()
}

fn fold(records: &[Record]) {
    let Some((opened, rest)) = records.split_first() else {
        return;
    };
    let Ok(mut machine) = machine_of(opened, |_, kept| Ok(kept)) else {
        return;
    };
    for record in rest {
        if machine.fold(record).is_err() {
            return;
        }
    }
}

fn show(records: &[Record]) {
    let located = Located {
        path: "journal.jsonl".to_owned(),
        target: "rb-1".to_owned(),
        holder: None,
    };
    let report = Report::of(records);
    let style = Style::PLAIN.of_width(80);
    harmless(&report.text(&located, style));
    harmless(&report.summary(&located, style));
    report
        .write_json(&located, &mut Vec::new())
        .expect("memory takes it");
    let mut workflows = Workflows::new();
    records.iter().for_each(|record| workflows.apply(record));
    for layout in [Layout::Text, Layout::Json, Layout::JsonLines, Layout::Csv] {
        workflows
            .write(layout, &mut Vec::new())
            .expect("memory takes it");
    }
}

/// Ends one answer in an input and begins the next.
const BETWEEN: &[u8] = b"\xff\n\xff\n";
/// More calls than any reading of a few answers needs.
const MOST_CALLS: usize = 3_000;

/// A service that answers with the parts of `data`, over and over.
fn lying(data: &[u8]) -> InMemory {
    let mut answers: Vec<Vec<u8>> = Vec::new();
    let mut rest = data;
    while let Some(at) = rest.windows(BETWEEN.len()).position(|part| part == BETWEEN) {
        answers.push(rest[..at].to_vec());
        rest = &rest[at + BETWEEN.len()..];
    }
    answers.push(rest.to_vec());
    let calls = Arc::new(AtomicUsize::new(0));
    Arc::new(move |rpc, _, _| {
        let answer = match rpc.rsplit('/').next() {
            Some("GetSystemInfo") => GetSystemInfoResponse::default().encode_to_vec(),
            Some("DescribeNamespace") => DescribeNamespaceResponse::default().encode_to_vec(),
            _ => {
                let call = calls.fetch_add(1, Ordering::Relaxed);
                assert!(call < MOST_CALLS, "asked without end");
                answers[call % answers.len()].clone()
            }
        };
        Box::pin(async move { Ok(answer) })
    })
}

/// Histories and descriptions as a service answers them: every reading ends, with a result or an error.
pub fn history(data: &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let connection =
            Connection::in_memory(&Settings::default(), lying(data), Access::ReadOnly).await;
        let temporal = Temporal::new(connection.expect("a connection in memory"))
            .with_patience(Duration::ZERO);
        readings(&temporal).await;
    });
}

async fn readings(temporal: &Temporal) {
    let key = WorkflowKey {
        workflow_id: "w".to_owned(),
        run_id: "r".to_owned(),
    };
    let _ = temporal.look(&key).await;
    let look = temporal
        .look(&key)
        .await
        .ok()
        .flatten()
        .unwrap_or_else(fallback);
    let _ = temporal.list("", 10, None).await;
    let _ = temporal.current_run("w").await;
    let _ = temporal.start_event(&key).await;
    let _ = temporal.reset_origin(&key).await;
    let _ = temporal.termination(&key).await;
    let _ = temporal.task_failure(&look).await;
    for to in targets() {
        let _ = temporal.history(&key, &HistoryNeed::Point(to), &look).await;
    }
    if let Ok((points, _)) = temporal.reset_points(&key, &look, 50).await {
        let ids: Vec<i64> = points.iter().map(|point| point.event_id).collect();
        assert!(
            ids.is_sorted_by(|a, b| a > b),
            "newest first, each once: {ids:?}"
        );
    }
}

fn fallback() -> Look {
    Look {
        listed: rows().remove(0),
        at: Timestamp::UNIX_EPOCH,
        first_run_id: String::new(),
        history_length: 40,
        reset_run_id: None,
        current: CurrentRun {
            run_id: "r".to_owned(),
            status: Status::Running,
            first_run_id: "r".to_owned(),
        },
        behavior: Behavior::Pinned,
        versioning_override: None,
        deployment_version: None,
        pending_task: None,
        pending_children: Vec::new(),
        parent_running: None,
        run_timeout_seconds: 0,
        execution_timeout_seconds: 0,
        cancel_requested: false,
        last_reset: None,
    }
}

fn targets() -> Vec<ResetTo> {
    vec![
        ResetTo::FirstWorkflowTask,
        ResetTo::LastWorkflowTask,
        ResetTo::LastContinuedAsNew,
        ResetTo::FailedTask,
        ResetTo::Event(4),
        ResetTo::Before(before()),
        ResetTo::Build("bad".to_owned()),
        ResetTo::BadBinaryChecksum("bad".to_owned()),
    ]
}

fn before() -> Before {
    serde_json::from_value(json!({ "event": "signal", "name": "add_points" }))
        .expect("a form of before")
}

/// Payloads: decoded, shown, and taken back as they were where JSON says all of them.
pub fn payload(data: &[u8]) {
    if let Ok(payloads) = Payloads::decode(data) {
        for payload in &payloads.payloads {
            let decoded = payload::decode(payload);
            serde_json::to_string(&decoded.to_json()).expect("what is shown is JSON");
        }
    }
    let Ok(value) = serde_json::from_slice::<Value>(data) else {
        return;
    };
    let payload: Payload = payload::encode(&value);
    assert_eq!(payload::decode(&payload).value(), Some(&value));
}

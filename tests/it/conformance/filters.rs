//! List Filters: the same rows or the same refusal from the simulator, from the real server, and from the
//! tool's own evaluation of a row, for the whole corpus of `filter_corpus`.
//!
//! The Workflows wait on a queue that nobody polls; a few are terminated. `r…` have something of every
//! type of attribute, `v…` one awkward value each, in all attributes that hold text.

use std::collections::BTreeMap;

use runbook::list_filter::{self, AttributeType};
use runbook::survey::Listed;
use serde_json::{Value, json};
use temporalio_protos::temporal::api::common::v1::{Payload, SearchAttributes, WorkflowType};
use temporalio_protos::temporal::api::workflowservice::v1::*;
use tonic::{Code, Status};

use super::backend::{Plot, Stage, attributes};
use super::filter_corpus::{about, filters, values};
use super::filter_differences::is_known;
use super::transcript::{Notes, check};

/// A namespace of its own, whose Worker polls another queue.
fn alone() -> Plot {
    Plot {
        versions: json!({ "v1": { "behaves": "idle", "task_queue": "other" } }),
        current: None,
        alone: true,
        ..Plot::default()
    }
}

#[test]
fn filters_of_every_form_find_the_same_rows() {
    check("filters", alone(), async |notes| {
        let mut started = Vec::new();
        for (id, kind, given) in plain_rows() {
            started.extend(start(notes, &id, kind, &given).await);
        }
        // Two that are closed; `v` rows show that filters leave others out.
        for id in ["r04", "r11"] {
            notes.stage.terminate(id, "closed").await;
        }
        for (number, value) in ["gold", "b", "quick"].iter().enumerate() {
            started.extend(start_value(notes, number, value).await);
        }
        let mut rows = Rows::read(&notes.stage, &started).await;
        for (number, filter) in filters().iter().enumerate() {
            rows.ask(notes, &format!("{number:04}"), filter).await;
        }
        for filter in GROUPED {
            let groups = grouped(&notes.stage, filter).await;
            notes.note(&format!("count {filter:?}"), groups);
        }
        rows.assert_alike();
    });
}

#[test]
fn awkward_values_are_found_by_themselves() {
    check("filter_values", alone(), async |notes| {
        let mut started = Vec::new();
        for (id, kind, given) in plain_rows().into_iter().take(4) {
            started.extend(start(notes, &id, kind, &given).await);
        }
        for (number, value) in values().iter().enumerate() {
            started.extend(start_value(notes, number, value).await);
        }
        let mut rows = Rows::read(&notes.stage, &started).await;
        for (number, value) in values().iter().enumerate() {
            for (which, filter) in about(value, number).iter().enumerate() {
                rows.ask(notes, &format!("v{number:03}.{which}"), filter)
                    .await;
            }
        }
        rows.assert_alike();
    });
}

const GROUPED: &[&str] = &[
    "GROUP BY ExecutionStatus",
    "Tier = 'gold' GROUP BY ExecutionStatus",
    "Tier = 'gold' OR Amount = 5 group by ExecutionStatus",
    "Tier = 'nobody' GROUP BY ExecutionStatus",
    "Tier = 'gold' GROUP BY executionstatus",
    "Tier = 'gold' GROUP BY `ExecutionStatus`",
    "Tier = 'gold' GROUP BY WorkflowType",
    "Tier = 'gold' GROUP BY Tier",
    "Tier = 'gold' GROUP BY Nobody",
    "Tier = 'gold' GROUP BY ExecutionStatus, Tier",
    "Tier = 'gold' GROUP BY",
    "Tier = 'gold' GROUP ExecutionStatus",
    "(Tier = 'gold' GROUP BY ExecutionStatus)",
    "GROUP BY ExecutionStatus GROUP BY ExecutionStatus",
    "Tier = 'gold' GROUP BY ExecutionStatus ORDER BY StartTime",
    "Tier = 'gold' GROUP BY ExecutionStatus LIMIT 1",
    "Nobody = 'x' GROUP BY ExecutionStatus",
];

fn plain_rows() -> Vec<(String, &'static str, Value)> {
    let rows = [
        ("Order", json!({})),
        (
            "Order",
            json!({ "Tier": "gold", "Amount": 5, "Price": 1.5, "Vip": true, "Due": "2026-01-02T03:04:05.123Z",
                          "Labels": ["a", "B c"], "Note": "The quick Brown-fox" }),
        ),
        (
            "Order",
            json!({ "Tier": "Silver_1", "Amount": -7, "Price": 2.0, "Vip": false, "Due": "2027-01-02T03:04:05Z",
                          "Labels": ["b"], "Note": "lazy dog" }),
        ),
        ("Refund", json!({ "Tier": "", "Labels": ["it's"] })),
        ("Refund", json!({ "Tier": "'q'", "Amount": 5 })),
        (
            "Order",
            json!({ "Tier": "null", "Amount": 0, "Price": 0.0, "Vip": false, "Labels": ["null", "true"], "Note": "NULL" }),
        ),
        (
            "Order",
            json!({ "Tier": "true", "Amount": i64::MAX, "Price": 1e308 }),
        ),
        (
            "Order",
            json!({ "Tier": "5", "Amount": i64::MIN, "Price": -0.5, "Note": "5 five" }),
        ),
        (
            "Order-Item",
            json!({ "Tier": "2026-01-02T03:04:05Z", "Due": "1970-01-01T00:00:00Z" }),
        ),
        (
            "order",
            json!({ "Tier": "iron", "Labels": ["C"], "Note": "fox, brown; quick." }),
        ),
        (
            "it's \"odd\"",
            json!({ "Tier": "gold ", "Note": "café Émile" }),
        ),
        (
            "Order",
            json!({ "Tier": "日本", "Labels": ["日本", "🙂"], "Note": "日本 語 text 🙂" }),
        ),
    ];
    let odd = ["r 12", "IN ('r01')", "x = 'y'", "AND", "日本-🙂"];
    let mut all: Vec<_> = rows
        .into_iter()
        .enumerate()
        .map(|(number, (kind, given))| (format!("r{number:02}"), kind, given))
        .collect();
    all.extend(odd.map(|id| (id.to_owned(), "Order", json!({ "Amount": 100 }))));
    all
}

/// A Workflow with the value in all that holds text, and its type.
async fn start_value(notes: &mut Notes, number: usize, value: &str) -> Option<String> {
    let given =
        json!({ "Tier": value, "Labels": [value, "each"], "Note": value, "Amount": 1000 + number });
    let kind = if value.is_empty() { "Order" } else { value };
    start(notes, &format!("v{number:03}"), kind, &given).await
}

/// Starts; notes a refusal. The ids that exist then.
async fn start(notes: &mut Notes, id: &str, kind: &str, given: &Value) -> Option<String> {
    let fields = given.as_object().expect("attributes");
    let indexed_fields = fields
        .iter()
        .map(|(name, value)| (name.clone(), payload(name, value)));
    let request = StartWorkflowExecutionRequest {
        workflow_type: Some(WorkflowType {
            name: kind.to_owned(),
        }),
        search_attributes: Some(SearchAttributes {
            indexed_fields: indexed_fields.collect(),
        }),
        ..notes.stage.start_of("", id)
    };
    match notes.stage.start_request(request).await {
        Ok(_) => Some(id.to_owned()),
        Err(status) => {
            notes.note(&format!("start {id}"), format!("{:?}", status.code()));
            None
        }
    }
}

fn payload(name: &str, value: &Value) -> Payload {
    let kind = kind_of(name).expect("an attribute of the namespace");
    let metadata = [("encoding", "json/plain"), ("type", kind.name())];
    Payload {
        metadata: metadata
            .map(|(key, text)| (key.to_owned(), text.into()))
            .into(),
        data: value.to_string().into_bytes(),
        ..Default::default()
    }
}

fn kind_of(name: &str) -> Option<AttributeType> {
    AttributeType::parse(attributes()[name].as_str()?)
}

/// The Workflows as the tool's own List reads them.
struct Rows {
    rows: Vec<Listed>,
    custom: BTreeMap<String, String>,
    /// Where the tool's own evaluation gives something else than the service.
    unlike: Vec<String>,
}

impl Rows {
    /// Waits until Visibility has them all, and the closed ones as closed.
    async fn read(stage: &Stage, started: &[String]) -> Self {
        let temporal = stage.temporal().await;
        let rows = stage
            .until("all to be visible", async || {
                let page = temporal.list("", 1000, None).await.ok()?;
                let closed = started
                    .iter()
                    .filter(|id| ["r04", "r11"].contains(&id.as_str()))
                    .count();
                let settled = page
                    .rows
                    .iter()
                    .filter(|row| row.close_time.is_some())
                    .count()
                    == closed.min(2)
                    || started.len() < 15;
                (page.rows.len() == started.len() && settled).then_some(page.rows)
            })
            .await;
        let custom = attributes();
        let custom = custom.as_object().expect("attributes").keys().map(|name| {
            let kind = kind_of(name).expect("a type").name();
            (name.clone(), kind.to_owned())
        });
        Self {
            rows,
            custom: custom.collect(),
            unlike: Vec::new(),
        }
    }

    fn assert_alike(&self) {
        assert!(
            self.unlike.is_empty(),
            "the tool's own evaluation is unlike the service's:\n{}",
            self.unlike.join("\n")
        );
    }

    /// Notes what the service answers, and holds it against Count and against the tool's own evaluation.
    async fn ask(&mut self, notes: &mut Notes, label: &str, filter: &str) {
        let listed = self.listed(&notes.stage, filter).await;
        let said = match &listed {
            Ok(ids) => summary(ids),
            Err(status) => reason(status),
        };
        let here = self.evaluated(filter);
        let line = format!("{} -> {said}", shown(filter));
        if !is_known(notes.name(), label) {
            if said != here {
                self.unlike.push(format!("{label}: {line}; here {here}"));
            }
            notes.note(label, line);
            return;
        }
        // The server's answer is the record; the simulator gives that of the tool's own evaluation.
        let server = match notes.stage.is_simulated() {
            true => notes.recorded(label).unwrap_or_default(),
            false => notes.plain(&line),
        };
        if server.ends_with(&format!(" -> {here}")) {
            self.unlike.push(format!(
                "{label}: no longer differs; take it from filter_differences.rs"
            ));
        }
        notes.note(label, server);
    }

    /// The ids that the service lists; Count must agree.
    async fn listed(&self, stage: &Stage, filter: &str) -> Result<Vec<String>, Status> {
        let listed = stage.list(filter).await;
        let request = CountWorkflowExecutionsRequest {
            namespace: stage.namespace.clone(),
            query: filter.to_owned(),
        };
        let counted: Result<CountWorkflowExecutionsResponse, Status> =
            stage.call("CountWorkflowExecutions", request).await;
        match (listed, counted) {
            (Ok(listed), Ok(counted)) => {
                let ids: Vec<String> = listed
                    .executions
                    .into_iter()
                    .map(|it| it.execution.unwrap_or_default().workflow_id)
                    .collect();
                assert_eq!(
                    usize::try_from(counted.count),
                    Ok(ids.len()),
                    "{filter:?}: counted"
                );
                Ok(ids)
            }
            (Err(status), Err(_)) => Err(status),
            // Only a count groups.
            (Err(status), Ok(_)) if filter.to_uppercase().contains("GROUP BY") => Err(status),
            (listed, counted) => {
                panic!("{filter:?}: List and Count disagree: {listed:?} {counted:?}")
            }
        }
    }

    /// What the tool itself makes of the filter.
    fn evaluated(&self, filter: &str) -> String {
        let Ok(parsed) = list_filter::parse(filter) else {
            return reason(&Status::invalid_argument("invalid query"));
        };
        if !parsed.check_with(&self.custom).is_empty() {
            return reason(&Status::invalid_argument("invalid query"));
        }
        let matching = |row: &&Listed| parsed.matches_with(row, &|name| kind_of(name));
        let ids: Vec<String> = self
            .rows
            .iter()
            .filter(matching)
            .map(|row| row.key.workflow_id.clone())
            .collect();
        summary(&ids)
    }
}

/// A refusal as far as the tool relies on it: the code, and whether the query is what is wrong.
fn reason(status: &Status) -> String {
    match status.code() {
        Code::InvalidArgument if status.message().contains("query") => {
            "InvalidArgument: query".to_owned()
        }
        code => format!("{code:?}"),
    }
}

/// Ids in order, runs of them as FIRST-LAST.
fn summary(ids: &[String]) -> String {
    let mut ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    ids.sort_unstable();
    let number = |id: &str| {
        let (group, rest) = id.split_at_checked(1)?;
        Some((group.to_owned(), rest.parse::<u32>().ok()?))
    };
    let follows = |one: &str, other: &str| match (number(one), number(other)) {
        (Some((group, one)), Some((same, other))) => group == same && one + 1 == other,
        _ => false,
    };
    let mut spans: Vec<(&str, &str)> = Vec::new();
    for id in ids {
        match spans.last_mut() {
            Some((_, last)) if follows(last, id) => *last = id,
            _ => spans.push((id, id)),
        }
    }
    let texts = spans.iter().map(|(first, last)| {
        if first == last {
            (*first).to_owned()
        } else {
            format!("{first}-{last}")
        }
    });
    let texts: Vec<String> = texts.collect();
    if texts.is_empty() {
        "none".to_owned()
    } else {
        texts.join(" ")
    }
}

/// A filter on one line; of a long one, the beginning.
fn shown(filter: &str) -> String {
    let beginning: String = filter.chars().take(120).collect();
    let more = if beginning.len() < filter.len() {
        "…"
    } else {
        ""
    };
    format!("{beginning:?}{more}")
}

async fn grouped(stage: &Stage, filter: &str) -> String {
    let request = CountWorkflowExecutionsRequest {
        namespace: stage.namespace.clone(),
        query: filter.to_owned(),
    };
    let reply: Result<CountWorkflowExecutionsResponse, Status> =
        stage.call("CountWorkflowExecutions", request).await;
    match reply {
        Ok(reply) => {
            let mut groups: Vec<String> = reply
                .groups
                .iter()
                .map(|group| {
                    let name = group
                        .group_values
                        .first()
                        .map(|it| String::from_utf8_lossy(&it.data).into_owned());
                    format!("{} {}", name.unwrap_or_default(), group.count)
                })
                .collect();
            groups.sort();
            format!("{} ({})", reply.count, groups.join(", "))
        }
        Err(status) => reason(&status),
    }
}

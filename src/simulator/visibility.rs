//! Visibility: list and count by List Filter, over what is visible, which is late.
//!
//! The order is that of the service: open first, then the latest closed, then the latest started; page
//! tokens are keys in that order, so rows that leave while somebody pages are not skipped, and new rows
//! that sort to the front are missed.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::time::Duration;

use jiff::Timestamp;
use prost::Message as _;
use serde::{Deserialize, Serialize};
use temporalio_protos::temporal::api::common::v1::{Memo, SearchAttributes};
use temporalio_protos::temporal::api::history::v1::WorkflowExecutionStartedEventAttributes;
use temporalio_protos::temporal::api::workflow::v1::WorkflowExecutionInfo;
use temporalio_protos::temporal::api::workflowservice::v1 as service;
use tonic::Status as Reply;

use super::execution::{Execution, Snapshot};
use super::proto;
use super::state::{State, VersionId};
use super::world::{AttributeType, TaskFailure};
use crate::list_filter::{self, Filter, Problem};
use crate::survey::{AttributeValue, Listed, Status, WorkflowKey};

/// Where an execution stands in a listing.
pub(super) type OrderKey = (Reverse<Timestamp>, Reverse<Timestamp>, u128);

/// Held from the close on.
const HISTORY_LENGTH: &str = "HistoryLength";

/// The largest page, and what any other size means.
const PAGE: usize = 1000;

#[derive(Serialize, Deserialize)]
struct Token {
    close: i128,
    start: i128,
    run: String,
}

/// What executions with the same attributes share: their rows differ in ids and times only.
#[derive(PartialEq, Eq, Hash)]
struct Class {
    kind: usize,
    status: Status,
    version: Option<VersionId>,
    behavior: u8,
    used: std::sync::Arc<[VersionId]>,
    problems: Option<TaskFailure>,
    parent: Option<u32>,
}

/// Rows for a filter to look at, made once a class and then only renamed.
struct Rows<'a> {
    state: &'a State,
    classes: HashMap<Class, Listed>,
}

impl<'a> Rows<'a> {
    fn new(state: &'a State) -> Self {
        Self {
            state,
            classes: HashMap::new(),
        }
    }

    fn row(&mut self, index: u32) -> Option<&Listed> {
        let state = self.state;
        let run = state.execution(index);
        let snapshot = run.visible?;
        let class = Class {
            kind: std::sync::Arc::as_ptr(&run.kind) as usize,
            status: snapshot.status,
            version: snapshot.version,
            behavior: snapshot.behavior,
            used: run.used.clone(),
            problems: run.reported_cause(state.now),
            parent: run.parent(),
        };
        let row = self
            .classes
            .entry(class)
            .or_insert_with(|| state.listed(run, snapshot));
        run.id.as_ref().clone_into(&mut row.key.workflow_id);
        row.key.run_id.clear();
        row.key.run_id.push_str(
            uuid::Uuid::from_u128(run.run)
                .hyphenated()
                .encode_lower(&mut [0; 36]),
        );
        row.start_time = Some(run.started);
        row.close_time = snapshot.closed;
        if snapshot.closed.is_some() {
            let length = AttributeValue::Int(run.history_length());
            match row.attributes.get_mut(HISTORY_LENGTH) {
                Some(held) => *held = length,
                None => drop(row.attributes.insert(HISTORY_LENGTH.to_owned(), length)),
            }
        }
        Some(row)
    }

    fn matches(&mut self, index: u32, filter: &Filter) -> bool {
        let state = self.state;
        let types = |name: &str| {
            state
                .world
                .attributes
                .get(name)
                .map(|kind| filter_type(*kind))
        };
        self.row(index)
            .is_some_and(|row| filter.matches_with(row, &types))
    }
}

impl State {
    pub(super) fn list(
        &mut self,
        request: &service::ListWorkflowExecutionsRequest,
    ) -> Result<service::ListWorkflowExecutionsResponse, Reply> {
        self.check_namespace(&request.namespace)?;
        let filter = self.known(list_filter::parse(&request.query).map_err(refusal)?)?;
        let size = usize::try_from(request.page_size)
            .ok()
            .filter(|size| (1..=PAGE).contains(size))
            .unwrap_or(PAGE);
        let after = match request.next_page_token.as_slice() {
            [] => Bound::Unbounded,
            token => Bound::Excluded(read_token(token)?),
        };
        let mut rows = Rows::new(self);
        let mut executions = Vec::new();
        let mut last = None;
        for (key, index) in self.order.range((after, Bound::Unbounded)) {
            if !rows.matches(*index, &filter) {
                continue;
            }
            executions.push(self.info(*index, self.execution(*index).visible));
            if executions.len() == size {
                last = Some(*key);
                break;
            }
        }
        Ok(service::ListWorkflowExecutionsResponse {
            executions,
            next_page_token: last.map(write_token).unwrap_or_default(),
        })
    }

    pub(super) fn count(
        &mut self,
        request: &service::CountWorkflowExecutionsRequest,
    ) -> Result<service::CountWorkflowExecutionsResponse, Reply> {
        self.check_namespace(&request.namespace)?;
        let counted = list_filter::parse_count(&request.query).map_err(|problems| {
            ungrouped(&problems, &request.query).unwrap_or_else(|| refusal(problems))
        })?;
        let filter = self.known(counted.filter)?;
        let mut rows = Rows::new(self);
        let mut groups: BTreeMap<Status, i64> = BTreeMap::new();
        for index in self.order.values() {
            if rows.matches(*index, &filter)
                && let Some(visible) = self.execution(*index).visible
            {
                *groups.entry(visible.status).or_default() += 1;
            }
        }
        let count = groups.values().sum();
        let groups = groups.into_iter().filter(|_| counted.by_status);
        Ok(service::CountWorkflowExecutionsResponse {
            count,
            groups: groups
                .map(|(status, count)| {
                    service::count_workflow_executions_response::AggregationGroup {
                        group_values: vec![proto::attribute_payload(&AttributeValue::Keyword(
                            status.name().to_owned(),
                        ))],
                        count,
                    }
                })
                .collect(),
        })
    }

    /// Refuses attributes that the namespace does not have.
    fn known(&self, filter: Filter) -> Result<Filter, Reply> {
        let custom: BTreeMap<String, String> = self
            .world
            .attributes
            .iter()
            .map(|(name, kind)| (name.clone(), filter_type(*kind).name().to_owned()))
            .collect();
        let problems = filter.check_with(&custom);
        if problems.is_empty() {
            Ok(filter)
        } else {
            Err(refusal(problems))
        }
    }

    /// An execution as a row, with the Search Attributes that it has.
    pub(super) fn listed(&self, run: &Execution, snapshot: Snapshot) -> Listed {
        Listed {
            key: WorkflowKey {
                workflow_id: run.id.to_string(),
                run_id: proto::run_text(run.run),
            },
            workflow_type: run.kind.workflow_type.to_string(),
            status: snapshot.status,
            task_queue: run.kind.task_queue.to_string(),
            start_time: Some(run.started),
            close_time: snapshot.closed,
            parent: run.parent().map(|parent| {
                let parent = self.execution(parent);
                WorkflowKey {
                    workflow_id: parent.id.to_string(),
                    run_id: proto::run_text(parent.run),
                }
            }),
            attributes: self.attributes(run, snapshot),
        }
    }

    fn attributes(&self, run: &Execution, snapshot: Snapshot) -> BTreeMap<String, AttributeValue> {
        let mut all: BTreeMap<String, AttributeValue> =
            run.kind.attributes.iter().cloned().collect();
        let mut put = |name: &str, value| all.insert(name.to_owned(), value);
        let pinned = snapshot.behavior == 1;
        let mut builds: Vec<String> = Vec::new();
        if let Some(version) = snapshot.version {
            let name = self.version_name(version);
            put(
                "TemporalWorkerDeploymentVersion",
                AttributeValue::Keyword(name.text.to_string()),
            );
            put(
                "TemporalWorkerDeployment",
                AttributeValue::Keyword(name.deployment.to_string()),
            );
            if pinned {
                builds.push(format!("pinned:{}", name.text));
            }
        }
        match snapshot.behavior {
            1 => {
                put(
                    "TemporalWorkflowVersioningBehavior",
                    AttributeValue::Keyword("Pinned".to_owned()),
                );
            }
            2 => {
                put(
                    "TemporalWorkflowVersioningBehavior",
                    AttributeValue::Keyword("AutoUpgrade".to_owned()),
                );
            }
            _ => {}
        }
        if !run.used.is_empty() {
            let texts = run
                .used
                .iter()
                .map(|version| self.version_name(*version).text.to_string())
                .collect();
            put(
                "TemporalUsedWorkerDeploymentVersions",
                AttributeValue::KeywordList(texts),
            );
            builds.extend(
                run.used
                    .iter()
                    .map(|version| format!("unversioned:{}", self.version_name(*version).build)),
            );
        }
        if !builds.is_empty() {
            put("BuildIds", AttributeValue::KeywordList(builds));
        }
        if let Some(cause) = run.reported_cause(self.now) {
            let problems = [
                "category=WorkflowTaskFailed",
                match cause {
                    TaskFailure::NonDeterministic => {
                        "cause=WorkflowTaskFailedCauseNonDeterministicError"
                    }
                    TaskFailure::Error => {
                        "cause=WorkflowTaskFailedCauseWorkflowWorkerUnhandledFailure"
                    }
                },
            ];
            put(
                "TemporalReportedProblems",
                AttributeValue::KeywordList(problems.map(str::to_owned).to_vec()),
            );
        }
        all
    }

    /// An execution as a listing shows it; Describe adds to that.
    pub(super) fn info(&self, index: u32, snapshot: Option<Snapshot>) -> WorkflowExecutionInfo {
        let run = self.execution(index);
        let snapshot = snapshot.unwrap_or_else(|| run.snapshot());
        let indexed_fields = self
            .attributes(run, snapshot)
            .into_iter()
            .map(|(name, value)| (name, proto::attribute_payload(&value)))
            .collect();
        let parent = run.parent().map(|parent| self.execution(parent));
        WorkflowExecutionInfo {
            execution: Some(proto::execution(&run.id, run.run)),
            r#type: proto::workflow_type(&run.kind.workflow_type),
            start_time: Some(proto::stamp(run.started)),
            execution_time: Some(proto::stamp(
                run.extra
                    .as_ref()
                    .and_then(|extra| extra.waits_until)
                    .unwrap_or(run.started),
            )),
            close_time: snapshot.closed.map(proto::stamp),
            status: proto::status_number(snapshot.status),
            // Visibility holds a length from the close on only.
            history_length: match snapshot.closed {
                Some(_) => run.history_length(),
                None => 0,
            },
            execution_duration: snapshot
                .closed
                .and_then(|closed| Duration::try_from(closed.duration_since(run.started)).ok())
                .map(proto::span),
            memo: Some(self.memo(run)),
            parent_namespace_id: parent
                .map(|_| self.namespace_id.clone())
                .unwrap_or_default(),
            parent_execution: parent.map(|parent| proto::execution(&parent.id, parent.run)),
            search_attributes: Some(SearchAttributes { indexed_fields }),
            task_queue: run.kind.task_queue.to_string(),
            root_execution: Some(proto::execution(
                parent.map_or(&run.id, |it| &it.id),
                parent.map_or(run.run, |it| it.run),
            )),
            ..Default::default()
        }
    }

    /// What the caller noted at the start.
    fn memo(&self, run: &Execution) -> Memo {
        run.extra
            .as_ref()
            .and_then(|extra| extra.start.as_ref())
            .and_then(|bytes| WorkflowExecutionStartedEventAttributes::decode(&bytes[..]).ok())
            .and_then(|start| start.memo)
            .unwrap_or_default()
    }
}

/// The service's word for a filter that it does not take.
fn refusal(problems: Vec<Problem>) -> Reply {
    let text = problems
        .first()
        .map(|problem| problem.message.replace('`', "'"))
        .unwrap_or_default();
    let text = match text.strip_prefix("there is no Search Attribute ") {
        Some(name) => format!("invalid search attribute: {}", name.trim_matches('\'')),
        None => text,
    };
    Reply::invalid_argument(format!("invalid query: {text}"))
}

/// The service's words for a grouping by something else.
fn ungrouped(problems: &[Problem], query: &str) -> Option<Reply> {
    let problem = problems.first()?;
    let by = query.get(problem.span.clone())?;
    (problem.suggestion.as_deref() == Some("ExecutionStatus")
        && problem.message.contains("groups only by"))
    .then(|| {
        Reply::invalid_argument(format!(
            "invalid query: operation is not supported: 'GROUP BY' clause is not supported for search attribute {by}"
        ))
    })
}

fn filter_type(kind: AttributeType) -> list_filter::AttributeType {
    match kind {
        AttributeType::Keyword => list_filter::AttributeType::Keyword,
        AttributeType::Text => list_filter::AttributeType::Text,
        AttributeType::KeywordList => list_filter::AttributeType::KeywordList,
        AttributeType::Int => list_filter::AttributeType::Int,
        AttributeType::Double => list_filter::AttributeType::Double,
        AttributeType::Bool => list_filter::AttributeType::Bool,
        AttributeType::Datetime => list_filter::AttributeType::Datetime,
    }
}

fn write_token(key: OrderKey) -> Vec<u8> {
    let token = Token {
        close: key.0.0.as_nanosecond(),
        start: key.1.0.as_nanosecond(),
        run: proto::run_text(key.2),
    };
    serde_json::to_vec(&token).unwrap_or_default()
}

fn read_token(bytes: &[u8]) -> Result<OrderKey, Reply> {
    let bad = || Reply::unknown("something went wrong, please retry (invalid page token)");
    let token: Token = serde_json::from_slice(bytes).map_err(|_| bad())?;
    let time = |nanos| Timestamp::from_nanosecond(nanos).map_err(|_| bad());
    let run = uuid::Uuid::try_parse(&token.run).map_err(|_| bad())?;
    Ok((
        Reverse(time(token.close)?),
        Reverse(time(token.start)?),
        run.as_u128(),
    ))
}

/// The value of a custom Search Attribute, as JSON has it.
pub(super) fn attribute_value(
    kind: Option<AttributeType>,
    value: &serde_json::Value,
) -> Option<AttributeValue> {
    let text = || value.as_str().map(str::to_owned);
    Some(match (kind, value) {
        (Some(AttributeType::Text), _) => AttributeValue::Text(text()?),
        (Some(AttributeType::Double), _) => AttributeValue::Double(value.as_f64()?),
        (Some(AttributeType::Datetime), _) => {
            AttributeValue::Datetime(value.as_str()?.parse().ok()?)
        }
        (Some(AttributeType::Int), _) | (None, serde_json::Value::Number(_)) => {
            AttributeValue::Int(value.as_i64()?)
        }
        (Some(AttributeType::Bool), _) | (None, serde_json::Value::Bool(_)) => {
            AttributeValue::Bool(value.as_bool()?)
        }
        (Some(AttributeType::KeywordList), _) | (None, serde_json::Value::Array(_)) => {
            AttributeValue::KeywordList(
                value
                    .as_array()?
                    .iter()
                    .map(|one| one.as_str().map(str::to_owned))
                    .collect::<Option<_>>()?,
            )
        }
        (Some(AttributeType::Keyword) | None, _) => AttributeValue::Keyword(text()?),
    })
}

/// The custom Search Attributes of a start; what cannot be read is left out.
pub(super) fn decode_attributes(
    attributes: Option<&SearchAttributes>,
) -> Vec<(String, AttributeValue)> {
    let mut all: Vec<_> = attributes
        .map(|it| it.indexed_fields.iter())
        .into_iter()
        .flatten()
        .filter_map(|(name, payload)| {
            let value: serde_json::Value = serde_json::from_slice(&payload.data).ok()?;
            let kind = match payload.metadata.get("type").map(Vec::as_slice) {
                Some(b"Text") => Some(AttributeType::Text),
                Some(b"Double") => Some(AttributeType::Double),
                Some(b"Datetime") => Some(AttributeType::Datetime),
                Some(b"KeywordList") => Some(AttributeType::KeywordList),
                _ => None,
            };
            Some((name.clone(), attribute_value(kind, &value)?))
        })
        .collect();
    all.sort_by(|one, other| one.0.cmp(&other.0));
    all
}

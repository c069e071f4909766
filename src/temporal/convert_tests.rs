//! What the service sends, in the shapes of the survey; payloads as server 1.32 writes them.

use proptest::prelude::*;
use temporalio_protos::temporal::api::common::v1::WorkflowType;
use temporalio_protos::temporal::api::deployment::v1::RoutingConfig;
use temporalio_protos::temporal::api::workflow::v1::{
    WorkflowExecutionExtendedInfo, WorkflowExecutionVersioningInfo,
};

use super::*;

fn payload(kind: &str, data: &str) -> Payload {
    let metadata = [("encoding", "json/plain"), ("type", kind)];
    Payload {
        metadata: metadata
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value.into()))
            .collect(),
        data: data.into(),
        ..Payload::default()
    }
}

#[test]
fn search_attributes_of_each_type() {
    let keyword = |text: &str| Some(AttributeValue::Keyword(text.to_owned()));
    let list = |items: &[&str]| {
        Some(AttributeValue::KeywordList(
            items.iter().map(|item| (*item).to_owned()).collect(),
        ))
    };
    let cases = [
        (payload("Keyword", r#""orders:v2""#), keyword("orders:v2")),
        (
            payload("INDEXED_VALUE_TYPE_KEYWORD", r#""x""#),
            keyword("x"),
        ),
        (payload("Keyword", r#"["x"]"#), keyword("x")),
        (
            payload("Text", r#""some words""#),
            Some(AttributeValue::Text("some words".to_owned())),
        ),
        (payload("KeywordList", r#"["a","b"]"#), list(&["a", "b"])),
        (payload("KeywordList", r#""a""#), list(&["a"])),
        (payload("KeywordList", "[]"), list(&[])),
        (payload("Int", "-3"), Some(AttributeValue::Int(-3))),
        (payload("Double", "1.5"), Some(AttributeValue::Double(1.5))),
        (payload("Double", "2"), Some(AttributeValue::Double(2.0))),
        (payload("Bool", "true"), Some(AttributeValue::Bool(true))),
        (
            payload("Datetime", r#""2026-11-21T00:00:00Z""#),
            "2026-11-21T00:00:00Z"
                .parse()
                .ok()
                .map(AttributeValue::Datetime),
        ),
        (payload("", r#""guessed""#), keyword("guessed")),
        (
            payload("TypeOfTheFuture", "7"),
            Some(AttributeValue::Int(7)),
        ),
        (payload("Keyword", "null"), None),
        (payload("Keyword", r#"["a","b"]"#), None),
        (payload("Int", r#""3""#), None),
        (payload("Datetime", r#""yesterday""#), None),
        (payload("Keyword", "not json"), None),
    ];
    for (payload, expected) in cases {
        assert_eq!(attribute(&payload), expected, "{payload:?}");
    }
}

#[test]
fn every_status_there_and_back() {
    let numbers: Vec<_> = (0..20).filter_map(status).collect();
    assert_eq!(numbers, Status::ALL);
    for known in Status::ALL {
        assert_eq!(status_named(known.name()), Some(known));
    }
    assert_eq!(status_named("running"), None);
}

#[test]
fn overrides_there_and_back() {
    let version = Version {
        deployment: "orders".to_owned(),
        build_id: "v3".to_owned(),
    };
    let all = [
        Override::Pinned {
            version: version.clone(),
        },
        Override::OneTime { version },
        Override::AutoUpgrade,
    ];
    for one in all {
        assert_eq!(from_override(to_override(&one)), Some(one));
    }
    assert_eq!(from_override(VersioningOverride::default()), None);
}

#[test]
fn a_description_becomes_a_look() {
    let version = WorkerDeploymentVersion {
        deployment_name: "orders".to_owned(),
        build_id: "v2".to_owned(),
    };
    let info = WorkflowExecutionInfo {
        execution: Some(WorkflowExecution {
            workflow_id: "w".to_owned(),
            run_id: "r".to_owned(),
        }),
        r#type: Some(WorkflowType {
            name: "Order".to_owned(),
        }),
        status: WorkflowExecutionStatus::Running.into(),
        parent_execution: Some(WorkflowExecution::default()),
        history_length: 13,
        first_run_id: "r0".to_owned(),
        versioning_info: Some(WorkflowExecutionVersioningInfo {
            behavior: VersioningBehavior::Pinned.into(),
            deployment_version: Some(version),
            ..Default::default()
        }),
        ..Default::default()
    };
    let pending = PendingWorkflowTaskInfo {
        state: PendingWorkflowTaskState::Started.into(),
        attempt: 8,
        ..Default::default()
    };
    let response = DescribeWorkflowExecutionResponse {
        workflow_execution_info: Some(info),
        pending_workflow_task: Some(pending),
        workflow_extended_info: Some(WorkflowExecutionExtendedInfo {
            reset_run_id: "r2".to_owned(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let look = look(response, Timestamp::UNIX_EPOCH).expect("a look");
    assert_eq!(look.listed.parent, None, "an empty parent is none");
    assert_eq!(look.reset_run_id.as_deref(), Some("r2"));
    assert_eq!(
        look.effective_version()
            .map(|version| version.to_string())
            .as_deref(),
        Some("orders:v2")
    );
    assert_eq!(
        look.pending_task.map(|task| (task.started, task.attempt)),
        Some((true, 8))
    );
    assert_eq!(
        (look.current.run_id.as_str(), look.first_run_id.as_str()),
        ("r", "r0")
    );
    assert_eq!(look.behavior, Behavior::Pinned);
}

#[test]
fn an_unknown_status_is_not_guessed() {
    let info = WorkflowExecutionInfo {
        execution: Some(WorkflowExecution::default()),
        status: 99,
        ..Default::default()
    };
    assert_eq!(listed(info), None);
}

#[allow(deprecated)]
fn routing_with(ramping: &str, percentage: f32) -> Routing {
    let response = DescribeWorkerDeploymentResponse {
        conflict_token: vec![1, 2, 255],
        worker_deployment_info: Some(WorkerDeploymentInfo {
            name: "orders".to_owned(),
            routing_config: Some(RoutingConfig {
                ramping_version: ramping.to_owned(),
                ramping_version_percentage: percentage,
                ..Default::default()
            }),
            ..Default::default()
        }),
    };
    routing(response).expect("a routing")
}

#[test]
fn unversioned_workers_that_ramp_are_seen() {
    assert!(routing_with(UNVERSIONED, 5.0).ramping_unversioned);
    assert!(!routing_with(UNVERSIONED, 0.0).ramping_unversioned);
    assert!(!routing_with("", 0.0).ramping_unversioned);
    assert_eq!(
        token(&routing_with("", 0.0).conflict_token),
        Some(vec![1, 2, 255])
    );
}

#[test]
fn every_version_status() {
    let names: Vec<_> = (0..8)
        .map(|number| format!("{:?}", version_status(number)))
        .collect();
    assert_eq!(
        names.join(" "),
        "Unspecified Inactive Current Ramping Draining Drained Created Unspecified"
    );
}

proptest! {
    #[test]
    fn any_keyword_survives(text: String) {
        let data = serde_json::to_string(&text).expect("json");
        prop_assert_eq!(attribute(&payload("Keyword", &data)), Some(AttributeValue::Keyword(text)));
    }

    #[test]
    fn no_payload_panics(kind in "[A-Z]?[a-zA-Z]{0,11}", data: Vec<u8>) {
        let mut any = payload(&kind, "");
        any.data = data;
        let _ = attribute(&any);
    }

    #[test]
    fn any_token_survives(bytes: Vec<u8>) {
        prop_assert_eq!(token(&token_text(&bytes)), Some(bytes));
    }
}

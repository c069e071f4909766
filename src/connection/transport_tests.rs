//! The gate, by each RPC that the service has, and what a timeout header means.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::connection::{Secret, Settings};

/// The generated server side names every RPC of the service by its path.
const GENERATED: &str = include_str!(concat!(
    env!("OUT_DIR"),
    "/temporal.api.workflowservice.v1.rs"
));

fn service_rpcs() -> Vec<&'static str> {
    let prefix = "\"/temporal.api.workflowservice.v1.WorkflowService/";
    GENERATED
        .split(prefix)
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect()
}

fn request(service: &str, rpc: &str) -> GrpcRequest {
    GrpcRequest {
        service: service.to_owned(),
        rpc: rpc.to_owned(),
        headers: HeaderMap::new(),
        proto: Bytes::new(),
    }
}

fn counting() -> (Backend, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = calls.clone();
    let service: InMemory = Arc::new(move |_, _, _| {
        counter.fetch_add(1, Ordering::SeqCst);
        Box::pin(async { Ok(Vec::new()) })
    });
    (Backend::InMemory(service), calls)
}

#[tokio::test]
async fn a_read_only_connection_refuses_every_rpc_that_is_not_listed() {
    let (backend, calls) = counting();
    let transport = Transport::new(Access::ReadOnly, Duration::from_secs(1), backend);
    let all = service_rpcs();
    assert!(
        all.len() > 80 && all.contains(&"ResetWorkflowExecution"),
        "{} RPCs",
        all.len()
    );
    let mut passed = Vec::new();
    for rpc in all {
        match transport.call(request(WORKFLOW_SERVICE, rpc)).await {
            Ok(_) => passed.push(rpc),
            Err(status) => {
                assert_eq!(status.code(), Code::PermissionDenied);
                assert_eq!(status.message(), format!("a dry run cannot write: {rpc}"));
            }
        }
    }
    passed.sort_unstable();
    let listed: Vec<_> = READS
        .iter()
        .filter(|read| read.0 == WORKFLOW_SERVICE)
        .map(|read| read.1)
        .collect();
    assert_eq!(
        passed, listed,
        "each listed RPC exists, and nothing else passes"
    );
    assert_eq!(
        calls.load(Ordering::SeqCst),
        listed.len(),
        "a refused RPC never reaches the backend"
    );
}

#[test]
fn every_listed_rpc_reads_by_its_name() {
    for (_, rpc) in READS {
        let reads = ["Count", "Describe", "Get", "List", "Check", "Query"]
            .iter()
            .any(|verb| rpc.starts_with(verb));
        assert!(reads, "{rpc}");
    }
}

#[tokio::test]
async fn the_same_name_in_another_service_and_future_rpcs_are_refused() {
    let (backend, calls) = counting();
    let transport = Transport::new(Access::ReadOnly, Duration::from_secs(1), backend);
    let strangers = [
        (OPERATOR_SERVICE, "DeleteNamespace"),
        (OPERATOR_SERVICE, "DescribeWorkflowExecution"),
        (
            "temporal.api.cloud.cloudservice.v1.CloudService",
            "ListSearchAttributes",
        ),
        (WORKFLOW_SERVICE, "DescribeAndThenDelete"),
        (WORKFLOW_SERVICE, "describeworkflowexecution"),
        (WORKFLOW_SERVICE, ""),
    ];
    for (service, rpc) in strangers {
        let refused = transport.call(request(service, rpc)).await;
        assert_eq!(
            refused.err().map(|status| status.code()),
            Some(Code::PermissionDenied),
            "{service} {rpc}"
        );
    }
    assert_eq!(calls.load(Ordering::SeqCst), 0);
}

#[test]
fn timeout_headers() {
    let parsed = |text: &str| {
        let mut headers = HeaderMap::new();
        headers.insert("grpc-timeout", text.parse().expect("a header"));
        requested_timeout(&headers)
    };
    assert_eq!(parsed("10S"), Some(Duration::from_secs(10)));
    assert_eq!(parsed("1500m"), Some(Duration::from_millis(1500)));
    assert_eq!(parsed("99999999u"), Some(Duration::from_micros(99_999_999)));
    assert_eq!(parsed("2H"), Some(Duration::from_secs(7200)));
    for nonsense in ["", "S", "-1S", "10", "10 S", "1x"] {
        assert_eq!(parsed(nonsense), None, "{nonsense:?}");
    }
}

#[tokio::test]
async fn what_a_service_quotes_of_a_credential_is_not_passed_on() {
    let settings = Settings {
        api_key: Some(Secret::new("k3y/of+the\\service")),
        metadata: BTreeMap::from([
            ("x-auth".to_owned(), "Bearer t0ken-of-the-proxy".to_owned()),
            ("team".to_owned(), "payments".to_owned()),
        ]),
        ..Settings::default()
    };
    let message = "payments: k3y/of+the\\service is unknown (k3y%2Fof%2Bthe%5Cservice); t0ken-of-the-proxy, too; QmVhcmVyIHQwa2VuLW9mLXRoZS1wcm94eQ";
    let service: InMemory = Arc::new(move |_, _, _| {
        Box::pin(async move {
            let details = message.as_bytes().to_vec().into();
            Err(Status::with_details(
                Code::Unauthenticated,
                message,
                details,
            ))
        })
    });
    let backend = Backend::InMemory(service);
    let transport = Transport::new(Access::ReadOnly, Duration::from_secs(1), backend);
    let transport = transport.masked(settings.mask());
    let answer = transport.call(request(WORKFLOW_SERVICE, "GetSystemInfo"));
    let status = answer.await.expect_err("refused");
    assert_eq!(status.code(), Code::Unauthenticated);
    assert_eq!(
        status.message(),
        "payments: (secret api-key) is unknown ((secret api-key)); (secret grpc-meta), too; (secret grpc-meta)"
    );
    assert!(status.details().is_empty());
}

//! Over TCP and TLS: answers that come late, certificates that do not fit, credentials.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use runbook::connection::{Access, ConnectProblem, Connection, Secret, Settings, Tls};
use runbook::simulator::service::workflow_service_server::{
    WorkflowService, WorkflowServiceServer,
};
use runbook::temporal::{Temporal, Verdict};
use temporalio_protos::temporal::api::workflowservice::v1::{
    GetSystemInfoRequest, GetSystemInfoResponse, ResetWorkflowExecutionRequest,
    ResetWorkflowExecutionResponse,
};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::codec::CompressionEncoding;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
use tonic::{Code, Request, Response, Status};

use super::reset_call;

const AUTHORITY: &str = include_str!("../certificates/authority.pem");
const FRONTEND: (&str, &str) = (
    include_str!("../certificates/frontend.pem"),
    include_str!("../certificates/frontend.key.pem"),
);
const EXPIRED: (&str, &str) = (
    include_str!("../certificates/expired.pem"),
    include_str!("../certificates/expired.key.pem"),
);
const CLIENT: (&str, &str) = (
    include_str!("../certificates/client.pem"),
    include_str!("../certificates/client.key.pem"),
);

/// A service over TCP; what it does with a reset is decided by `late` and `code`.
#[derive(Clone, Default)]
struct OverTcp {
    resets: Arc<AtomicUsize>,
    finished: Arc<AtomicUsize>,
    /// The answer comes after this long.
    late: Duration,
    /// The status of every reset; OK where it is none.
    code: Option<Code>,
    /// The status of the first call of a connection; OK where it is none.
    greeting: Option<Code>,
    /// What a call must carry.
    authorization: Option<&'static str>,
}

#[tonic::async_trait]
impl WorkflowService for OverTcp {
    async fn get_system_info(
        &self,
        request: Request<GetSystemInfoRequest>,
    ) -> Result<Response<GetSystemInfoResponse>, Status> {
        let sent = request
            .metadata()
            .get("authorization")
            .and_then(|value| value.to_str().ok());
        if sent != self.authorization {
            return Err(Status::unauthenticated("Request unauthorized."));
        }
        match self.greeting {
            Some(code) => Err(Status::new(code, "Request unauthorized.")),
            None => Ok(Response::new(GetSystemInfoResponse::default())),
        }
    }

    async fn reset_workflow_execution(
        &self,
        request: Request<ResetWorkflowExecutionRequest>,
    ) -> Result<Response<ResetWorkflowExecutionResponse>, Status> {
        self.resets.fetch_add(1, Ordering::SeqCst);
        let (finished, late, code) = (self.finished.clone(), self.late, self.code);
        let reason = request.into_inner().reason;
        // On a task of its own: the effect happens although the caller has gone.
        let effect = tokio::spawn(async move {
            tokio::time::sleep(late).await;
            finished.fetch_add(1, Ordering::SeqCst);
        });
        effect
            .await
            .map_err(|error| Status::internal(error.to_string()))?;
        match code {
            Some(code) => Err(Status::new(code, "injected")),
            None => Ok(Response::new(ResetWorkflowExecutionResponse {
                run_id: format!("run of {reason}"),
            })),
        }
    }
}

/// Serves on the loopback; gives the port.
async fn serve(service: OverTcp, tls: Option<ServerTlsConfig>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let service = WorkflowServiceServer::new(service).send_compressed(CompressionEncoding::Gzip);
    let mut server = Server::builder();
    if let Some(tls) = tls {
        server = server.tls_config(tls).expect("the server's certificate");
    }
    let router = server.add_service(service);
    tokio::spawn(router.serve_with_incoming(TcpListenerStream::new(listener)));
    port
}

fn settings(port: u16, tls: Option<Tls>) -> Settings {
    Settings {
        address: format!("127.0.0.1:{port}"),
        tls,
        ..Settings::default()
    }
}

async fn over_tcp(service: OverTcp, call_timeout: Duration) -> Temporal {
    let port = serve(service, None).await;
    let settings = Settings {
        call_timeout,
        ..settings(port, None)
    };
    let connection = Connection::open(&settings, Access::ReadWrite)
        .await
        .expect("the port is open");
    Temporal::new(connection)
}

#[tokio::test]
async fn over_tcp_an_answer_is_read() {
    let service = OverTcp::default();
    let temporal = over_tcp(service, Duration::from_secs(10)).await;
    assert_eq!(
        temporal.reset(&reset_call()).await.expect("a run"),
        "run of INC-1"
    );
}

#[tokio::test]
async fn over_tcp_no_layer_retries_a_write() {
    for code in [
        Code::Unavailable,
        Code::ResourceExhausted,
        Code::Internal,
        Code::Unknown,
        Code::Aborted,
    ] {
        let service = OverTcp {
            code: Some(code),
            ..OverTcp::default()
        };
        let temporal = over_tcp(service.clone(), Duration::from_secs(10)).await;
        let error = temporal.reset(&reset_call()).await.expect_err("injected");
        assert_eq!(
            (error.code, error.meaning.verdict),
            (code, Verdict::InDoubt)
        );
        assert_eq!(service.resets.load(Ordering::SeqCst), 1, "{code:?}");
    }
}

#[tokio::test]
async fn over_tcp_an_answer_after_the_deadline_is_one_call_in_doubt_that_happened() {
    let service = OverTcp {
        late: Duration::from_millis(600),
        ..OverTcp::default()
    };
    let temporal = over_tcp(service.clone(), Duration::from_millis(200)).await;
    let error = temporal.reset(&reset_call()).await.expect_err("too late");
    assert_eq!(
        (error.code, error.meaning.verdict),
        (Code::DeadlineExceeded, Verdict::InDoubt)
    );
    assert!(!error.nothing_happened());
    while service.finished.load(Ordering::SeqCst) == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(
        service.resets.load(Ordering::SeqCst),
        1,
        "nothing sent it again"
    );
    assert_eq!(service.finished.load(Ordering::SeqCst), 1);
}

fn server_tls((certificate, key): (&str, &str)) -> ServerTlsConfig {
    ServerTlsConfig::new().identity(Identity::from_pem(certificate, key))
}

fn client_tls(server_name: &str) -> Tls {
    Tls {
        server_ca: Some(AUTHORITY.as_bytes().to_vec()),
        server_name: Some(server_name.to_owned()),
        ..Tls::default()
    }
}

async fn open(settings: &Settings) -> Result<Connection, ConnectProblem> {
    let result = Connection::open(settings, Access::ReadOnly).await;
    result.map_err(|error| {
        assert!(
            error.to_string().contains("127.0.0.1"),
            "names the address: {error}"
        );
        assert!(!error.hint().is_empty());
        error.problem()
    })
}

#[tokio::test]
async fn what_is_wrong_with_a_certificate_is_named() {
    let port = serve(OverTcp::default(), Some(server_tls(FRONTEND))).await;
    let trusted = settings(port, Some(client_tls("frontend.test")));
    assert!(open(&trusted).await.is_ok(), "the right name and authority");

    let other_name = settings(port, Some(client_tls("elsewhere.test")));
    assert_eq!(
        open(&other_name).await.err(),
        Some(ConnectProblem::CertificateName)
    );

    let other_authority = Tls {
        server_ca: Some(CLIENT.0.as_bytes().to_vec()),
        ..client_tls("frontend.test")
    };
    let other_authority = settings(port, Some(other_authority));
    assert_eq!(
        open(&other_authority).await.err(),
        Some(ConnectProblem::CertificateIssuer)
    );

    let unverified = Tls {
        disable_host_verification: true,
        ..Tls::default()
    };
    assert!(
        open(&settings(port, Some(unverified))).await.is_ok(),
        "host verification is off"
    );

    let port = serve(OverTcp::default(), Some(server_tls(EXPIRED))).await;
    let expired = settings(port, Some(client_tls("expired.test")));
    assert_eq!(
        open(&expired).await.err(),
        Some(ConnectProblem::CertificateExpired)
    );
}

#[tokio::test]
async fn mutual_tls() {
    let tls = server_tls(FRONTEND).client_ca_root(Certificate::from_pem(AUTHORITY));
    let port = serve(OverTcp::default(), Some(tls)).await;
    let without = settings(port, Some(client_tls("frontend.test")));
    assert_eq!(
        open(&without).await.err(),
        Some(ConnectProblem::ClientCertificate)
    );

    let client = (CLIENT.0.as_bytes().to_vec(), Secret::new(CLIENT.1));
    let with = Tls {
        client: Some(client),
        ..client_tls("frontend.test")
    };
    assert!(open(&settings(port, Some(with.clone()))).await.is_ok());

    // TLS 1.3 tells the client only after the handshake, and sometimes only by hanging up.
    let others = server_tls(FRONTEND).client_ca_root(Certificate::from_pem(FRONTEND.0));
    let port = serve(OverTcp::default(), Some(others)).await;
    assert_eq!(
        open(&settings(port, Some(with))).await.err(),
        Some(ConnectProblem::ClientCertificate)
    );
}

#[tokio::test]
async fn tls_against_plaintext_and_the_reverse() {
    let plaintext = serve(OverTcp::default(), None).await;
    let speaking_tls = settings(plaintext, Some(client_tls("frontend.test")));
    assert_eq!(
        open(&speaking_tls).await.err(),
        Some(ConnectProblem::ServerIsPlaintext)
    );

    let tls = serve(OverTcp::default(), Some(server_tls(FRONTEND))).await;
    assert_eq!(
        open(&settings(tls, None)).await.err(),
        Some(ConnectProblem::ServerWantsTls)
    );
}

#[tokio::test]
async fn nobody_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    drop(listener);
    assert_eq!(
        open(&settings(port, None)).await.err(),
        Some(ConnectProblem::Unreachable)
    );
}

#[tokio::test]
async fn credentials() {
    let service = OverTcp {
        authorization: Some("Bearer good"),
        ..OverTcp::default()
    };
    let port = serve(service, Some(server_tls(FRONTEND))).await;
    let with_key = |key: &str| Settings {
        api_key: Some(Secret::new(key)),
        ..settings(port, Some(client_tls("frontend.test")))
    };
    assert!(open(&with_key("good")).await.is_ok());
    assert_eq!(
        open(&with_key("expired")).await.err(),
        Some(ConnectProblem::Unauthenticated)
    );

    let service = OverTcp {
        greeting: Some(Code::PermissionDenied),
        ..OverTcp::default()
    };
    let port = serve(service, None).await;
    assert_eq!(
        open(&settings(port, None)).await.err(),
        Some(ConnectProblem::PermissionDenied)
    );
}

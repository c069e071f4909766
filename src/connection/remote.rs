//! A real service: one HTTP/2 channel, TLS, keepalive, and unary calls of raw bytes.
//!
//! Requests are sent uncompressed (they are small, and not every proxy unpacks them); compressed
//! responses are accepted, because histories and listings are large.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prost::bytes::{Buf, BufMut, Bytes};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use temporalio_client::callback_based::GrpcRequest;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::MetadataMap;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Request, Status};

use super::error::transport_problem;
use super::{ConnectError, Settings, Tls};

/// Histories exceed tonic's 4 MB; the official client's bound.
const LARGEST_RESPONSE: usize = 128 * 1024 * 1024;
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(15);

/// A channel to a real service. Cheap to clone.
#[derive(Clone)]
pub(super) struct Remote {
    channel: Channel,
    /// What the transport said last, for the sentence that explains a failed first call.
    trouble: Arc<Mutex<Option<ConnectError>>>,
    settings: Arc<Settings>,
}

impl Remote {
    /// Connects, so that what is wrong is known now and not at the first call.
    pub(super) async fn connect(settings: &Settings) -> Result<Self, ConnectError> {
        let endpoint = endpoint(settings)?;
        let connecting = tokio::time::timeout(settings.connect_timeout, endpoint.connect());
        let channel = match connecting.await {
            Ok(Ok(channel)) => channel,
            Ok(Err(error)) => return Err(transport_problem(settings, &error)),
            Err(_elapsed) => return Err(ConnectError::connect_timeout(settings)),
        };
        Ok(Self {
            channel,
            trouble: Arc::default(),
            settings: Arc::new(settings.clone()),
        })
    }

    /// One unary call. Headers are those that the client set; the deadline is the caller's.
    pub(super) async fn call(&self, request: GrpcRequest) -> Result<Vec<u8>, Status> {
        let path = format!("/{}/{}", request.service, request.rpc);
        let path = path
            .parse()
            .map_err(|_| Status::internal("an RPC name that is not a path"))?;
        let mut headers = request.headers;
        for own in [
            "te",
            "content-type",
            "user-agent",
            "grpc-encoding",
            "grpc-accept-encoding",
        ] {
            headers.remove(own);
        }
        let request = Request::from_parts(
            MetadataMap::from_headers(headers),
            tonic::Extensions::new(),
            request.proto,
        );
        let mut client = tonic::client::Grpc::new(self.channel.clone())
            .accept_compressed(CompressionEncoding::Gzip)
            .max_decoding_message_size(LARGEST_RESPONSE);
        client
            .ready()
            .await
            .map_err(|error| self.failed(Status::from_error(Box::new(error))))?;
        match client.unary(request, path, RawCodec).await {
            Ok(response) => Ok(response.into_inner()),
            Err(status) => Err(self.failed(status)),
        }
    }

    /// Keeps the transport's reason, which the status loses on its way through the client.
    fn failed(&self, status: Status) -> Status {
        let Some(source) = std::error::Error::source(&status) else {
            return status;
        };
        let problem = transport_problem(&self.settings, source);
        let named = Status::with_metadata(
            status.code(),
            problem.to_string(),
            status.metadata().clone(),
        );
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(problem);
        named
    }

    /// The transport's reason for a failed first call, where it had one.
    pub(super) fn explain(&self, settings: &Settings, error: ConnectError) -> ConnectError {
        let trouble = self
            .trouble
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        match trouble {
            Some(problem) => problem.of_first_call(settings),
            None => error,
        }
    }
}

fn endpoint(settings: &Settings) -> Result<Endpoint, ConnectError> {
    let invalid = |error: &dyn std::fmt::Display| {
        ConnectError::configuration(format!(
            "the connection to {} cannot be set up: {error}",
            settings.address
        ))
    };
    let scheme = if settings.tls.is_some() {
        "https"
    } else {
        "http"
    };
    let mut endpoint = Endpoint::from_shared(settings.url())
        .map_err(|error| invalid(&error))?
        .user_agent(concat!("runbook/", env!("CARGO_PKG_VERSION")))
        .map_err(|error| invalid(&error))?
        .connect_timeout(settings.connect_timeout)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .keep_alive_while_idle(true);
    let server_name = settings
        .tls
        .as_ref()
        .and_then(|tls| tls.server_name.as_deref());
    if let Some(authority) = settings.authority.as_deref().or(server_name) {
        let origin = format!("{scheme}://{authority}")
            .parse::<http::Uri>()
            .map_err(|error| invalid(&error))?;
        endpoint = endpoint.origin(origin);
    }
    match &settings.tls {
        None => Ok(endpoint),
        Some(tls) => with_tls(endpoint, tls).map_err(|error| {
            let reason = super::error::chain(&error);
            ConnectError::configuration(format!("the TLS options do not work: {reason}"))
        }),
    }
}

fn with_tls(endpoint: Endpoint, tls: &Tls) -> Result<Endpoint, tonic::transport::Error> {
    let mut config = ClientTlsConfig::new();
    if let Some(name) = &tls.server_name {
        config = config.domain_name(name);
    }
    if let Some((certificate, key)) = &tls.client {
        config = config.identity(Identity::from_pem(certificate, key.expose()));
    }
    if tls.disable_host_verification {
        return endpoint.tls_config_with_verifier(config, Arc::new(AnyCertificate::new()));
    }
    endpoint.tls_config(match &tls.server_ca {
        Some(authorities) => config.ca_certificate(Certificate::from_pem(authorities)),
        None => config.with_native_roots(),
    })
}

/// Accepts any server certificate, as the SDKs' `disable_host_verification` does; the handshake's
/// signatures are still checked.
#[derive(Debug)]
struct AnyCertificate(rustls::crypto::WebPkiSupportedAlgorithms);

impl AnyCertificate {
    fn new() -> Self {
        Self(rustls::crypto::ring::default_provider().signature_verification_algorithms)
    }
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

/// Bytes in, bytes out: the messages are encoded already.
struct RawCodec;

impl Codec for RawCodec {
    type Encode = Bytes;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for RawCodec {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let mut bytes = vec![0; buffer.remaining()];
        buffer.copy_to_slice(&mut bytes);
        Ok(Some(bytes))
    }
}

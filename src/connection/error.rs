//! Why a connection could not be opened, in a sentence and with what to do.

use std::error::Error;
use std::fmt;
use std::io;

use rustls::{CertificateError, Error as TlsError};
use tonic::{Code, Status};

use super::Settings;

/// What kind of trouble it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectProblem {
    /// Flags, environment or config file contradict each other or cannot be read.
    Configuration,
    /// An API key would travel in clear.
    KeyInClear,
    /// Nothing answers there.
    Unreachable,
    /// The server's certificate is for another name.
    CertificateName,
    /// The server's certificate was signed by an unknown authority.
    CertificateIssuer,
    /// The server's certificate is not valid now.
    CertificateExpired,
    /// The server's certificate is not usable for another reason.
    CertificateInvalid,
    /// The server wants a client certificate, or does not accept the one it got.
    ClientCertificate,
    /// This side speaks TLS, the other one plaintext.
    ServerIsPlaintext,
    /// This side speaks plaintext, the other one probably TLS.
    ServerWantsTls,
    /// The credential is missing, wrong or expired.
    Unauthenticated,
    /// The credential is good and may not do this.
    PermissionDenied,
    /// The service answered with something else.
    Service,
}

/// Why a connection could not be opened. `Display` is the sentence; [`Self::hint`] says what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectError {
    problem: ConnectProblem,
    message: String,
    hint: &'static str,
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for ConnectError {}

impl ConnectError {
    /// What kind of trouble it is.
    pub fn problem(&self) -> ConnectProblem {
        self.problem
    }

    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        self.hint
    }

    pub(super) fn configuration(message: impl Into<String>) -> Self {
        Self::new(ConnectProblem::Configuration, message)
    }

    pub(super) fn key_in_clear(address: &str) -> Self {
        Self::new(
            ConnectProblem::KeyInClear,
            format!("an API key would be sent to {address} in clear, because TLS is off"),
        )
    }

    pub(super) fn codec_in_clear(endpoint: &str) -> Self {
        Self {
            problem: ConnectProblem::KeyInClear,
            message: format!("the codec's credential would be sent to {endpoint} in clear"),
            hint: "use https://, or drop --codec-auth and --codec-header",
        }
    }

    pub(super) fn connect_timeout(settings: &Settings) -> Self {
        let seconds = settings.connect_timeout.as_secs_f32();
        Self::new(
            ConnectProblem::Unreachable,
            format!("{} did not answer within {seconds} s", settings.address),
        )
    }

    /// From the answer to the first call.
    pub(super) fn from_status(settings: &Settings, status: &Status) -> Self {
        let address = &settings.address;
        let message = status.message();
        match status.code() {
            Code::Unauthenticated => Self::new(
                ConnectProblem::Unauthenticated,
                format!("{address} does not accept the credential: {message}"),
            ),
            Code::PermissionDenied => Self::new(
                ConnectProblem::PermissionDenied,
                format!("{address} knows the credential and does not let it in: {message}"),
            ),
            Code::DeadlineExceeded => Self::new(
                ConnectProblem::Unreachable,
                format!("{address} accepts connections and does not answer calls: {message}"),
            ),
            Code::Unavailable => Self::new(
                ConnectProblem::Unreachable,
                format!("{address} is not available: {message}"),
            ),
            Code::Ok
            | Code::Cancelled
            | Code::Unknown
            | Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::ResourceExhausted
            | Code::FailedPrecondition
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::Internal
            | Code::DataLoss => Self::new(
                ConnectProblem::Service,
                format!(
                    "{address} refused the first call: {:?}: {message}",
                    status.code()
                ),
            ),
        }
    }

    /// A connection that drops at its first call: the other side wants TLS, or a certificate of ours
    /// (TLS 1.3 says so only after the handshake).
    pub(super) fn of_first_call(self, settings: &Settings) -> Self {
        let address = &settings.address;
        match (self.problem, &settings.tls) {
            (ConnectProblem::Unreachable, None) => Self::new(
                ConnectProblem::ServerWantsTls,
                format!(
                    "{address} accepts connections and drops plaintext gRPC: it probably expects TLS ({})",
                    self.message
                ),
            ),
            (ConnectProblem::Unreachable, Some(tls)) => {
                let wants = if tls.client.is_some() {
                    "another client certificate"
                } else {
                    "a client certificate"
                };
                Self::new(
                    ConnectProblem::ClientCertificate,
                    format!(
                        "{address} ends the connection after the TLS handshake: it probably wants {wants} ({})",
                        self.message
                    ),
                )
            }
            _ => self,
        }
    }

    fn new(problem: ConnectProblem, message: impl Into<String>) -> Self {
        Self {
            problem,
            message: message.into(),
            hint: hint(problem),
        }
    }
}

fn hint(problem: ConnectProblem) -> &'static str {
    match problem {
        ConnectProblem::Configuration => "see the connection flags in --help",
        ConnectProblem::KeyInClear => "drop `http://` and --tls=false, or the API key",
        ConnectProblem::Unreachable => {
            "check --address (TEMPORAL_ADDRESS), the network and that the service runs"
        }
        ConnectProblem::CertificateName => {
            "set --tls-server-name to the name in the certificate if this is the right server"
        }
        ConnectProblem::CertificateIssuer => "give the authority that signed it with --tls-ca-path",
        ConnectProblem::CertificateExpired => {
            "the server's certificate must be renewed; check this machine's clock too"
        }
        ConnectProblem::CertificateInvalid => "have the server's certificate checked",
        ConnectProblem::ClientCertificate => {
            "give a certificate and key that the service trusts: --tls-cert-path, --tls-key-path"
        }
        ConnectProblem::ServerIsPlaintext => {
            "drop the TLS options and the API key, or use the TLS port"
        }
        ConnectProblem::ServerWantsTls => {
            "add --tls, and --tls-ca-path where its authority is private"
        }
        ConnectProblem::Unauthenticated => {
            "check that the API key or certificate is the right one and has not expired"
        }
        ConnectProblem::PermissionDenied => {
            "ask for access to the namespace, or use another credential"
        }
        ConnectProblem::Service => "check that the address is a Temporal frontend",
    }
}

/// Names what a transport error means; the reason is deep in its chain.
pub(super) fn transport_problem(
    settings: &Settings,
    error: &(dyn Error + 'static),
) -> ConnectError {
    let address = &settings.address;
    if let Some(tls) = find_tls(error) {
        let (problem, sentence) = tls_problem(tls);
        return ConnectError::new(problem, format!("{address} {sentence} ({tls})"));
    }
    let reason = find_io(error).map_or_else(|| chain(error), ToString::to_string);
    ConnectError::new(
        ConnectProblem::Unreachable,
        format!("cannot reach {address}: {reason}"),
    )
}

fn tls_problem(error: &TlsError) -> (ConnectProblem, &'static str) {
    use ConnectProblem as P;
    match error {
        TlsError::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => (P::CertificateName, "has a certificate for another name"),
        TlsError::InvalidCertificate(CertificateError::UnknownIssuer) => (
            P::CertificateIssuer,
            "has a certificate from an authority that this machine does not know",
        ),
        TlsError::InvalidCertificate(
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. },
        ) => (
            P::CertificateExpired,
            "has a certificate that is not valid now",
        ),
        TlsError::InvalidCertificate(_) => (
            P::CertificateInvalid,
            "has a certificate that cannot be used",
        ),
        TlsError::AlertReceived(_) => (
            P::ClientCertificate,
            "ended the TLS handshake; it wants another client certificate",
        ),
        TlsError::InvalidMessage(_) | TlsError::InappropriateMessage { .. } => {
            (P::ServerIsPlaintext, "does not speak TLS")
        }
        _ => (P::Unreachable, "could not agree on TLS"),
    }
}

/// The TLS error in the chain. An `io::Error` hides what it wraps from `source`, so look inside.
fn find_tls<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a TlsError> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(tls) = error.downcast_ref::<TlsError>() {
            return Some(tls);
        }
        if let Some(inner) = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
            && let Some(tls) = find_tls(inner)
        {
            return Some(tls);
        }
        next = error.source();
    }
    None
}

fn find_io<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a io::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<io::Error>() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// The whole chain in one line, repetitions left out.
pub(super) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        if !parts.iter().any(|part| part.contains(&text)) {
            parts.push(text);
        }
        next = error.source();
    }
    parts.join(": ")
}

//! Everything that a connection needs to know, resolved: no flags, no environment, no files left.

use std::collections::BTreeMap;
use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::str::FromStr;
use std::time::Duration;

use super::{ConnectError, codec};
use crate::runbook::Mask;

/// Where a Temporal service listens when nothing else is said.
pub const DEFAULT_ADDRESS: &str = "127.0.0.1:7233";
/// A shorter credential is not looked for in what others say: too much else would be taken for it.
const SHORTEST: usize = 6;
const DEFAULT_NAMESPACE: &str = "default";
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// A credential: no output, error, debug format or journal shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a credential.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The credential itself, for the transport only.
    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

impl FromStr for Secret {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self::new(text))
    }
}

/// TLS and mTLS; files are read already.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// PEM of the certificate authorities that sign the server; none means those of this machine.
    pub server_ca: Option<Vec<u8>>,
    /// PEM of the client's certificate chain and its private key (mTLS).
    pub client: Option<(Vec<u8>, Secret)>,
    /// The name that the server's certificate must have, where it is not the address's host.
    pub server_name: Option<String>,
    /// Accepts any certificate. The Temporal SDKs mean the whole verification by it, not only the name.
    pub disable_host_verification: bool,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("server_ca", &self.server_ca.is_some())
            .field("client", &self.client.is_some())
            .field("server_name", &self.server_name)
            .field("disable_host_verification", &self.disable_host_verification)
            .finish()
    }
}

/// A remote codec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodecSettings {
    /// URL to which `/encode` and `/decode` are added; no slash at the end.
    pub endpoint: String,
    /// The `Authorization` header; only ever sent over TLS, or to this machine.
    pub auth: Option<Secret>,
    /// Further headers, in lower case; often credentials too.
    pub headers: BTreeMap<String, Secret>,
}

impl CodecSettings {
    /// Checks the endpoint and fills in its `{namespace}`.
    pub(super) fn new(
        endpoint: &str,
        auth: Option<Secret>,
        headers: BTreeMap<String, Secret>,
        namespace: &str,
    ) -> Result<Self, ConnectError> {
        let has_credential = auth.is_some() || headers.keys().any(|name| names_a_credential(name));
        Ok(Self {
            endpoint: codec::endpoint(endpoint, namespace, has_credential)?,
            auth,
            headers,
        })
    }

    pub(super) fn is_loopback(&self) -> bool {
        self.endpoint
            .parse()
            .is_ok_and(|url| codec::is_loopback(&url))
    }
}

/// Whether a header of this name probably holds a credential.
pub(super) fn names_a_credential(header: &str) -> bool {
    ["auth", "cookie", "key", "password", "secret", "token"]
        .iter()
        .any(|part| header.contains(part))
}

/// A resolved connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `HOST:PORT`.
    pub address: String,
    /// Namespace.
    pub namespace: String,
    /// Identity of this client in histories and deployments.
    pub identity: String,
    /// API key; only ever sent over TLS.
    pub api_key: Option<Secret>,
    /// TLS; none is plaintext.
    pub tls: Option<Tls>,
    /// `:authority` where it is neither the address nor the server name.
    pub authority: Option<String>,
    /// gRPC metadata that every call carries.
    pub metadata: BTreeMap<String, String>,
    /// What payloads pass on their way to and from a person.
    pub codec: Option<CodecSettings>,
    /// Base URL of the Web UI, where it is known; no slash at the end.
    pub ui: Option<String>,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long one call may take.
    pub call_timeout: Duration,
    /// How long the whole command may take; none is no limit. `cli` applies it.
    pub command_timeout: Option<Duration>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            address: DEFAULT_ADDRESS.to_owned(),
            namespace: DEFAULT_NAMESPACE.to_owned(),
            identity: default_identity(),
            api_key: None,
            tls: None,
            authority: None,
            metadata: BTreeMap::new(),
            codec: None,
            ui: None,
            connect_timeout: DEFAULT_TIMEOUT,
            call_timeout: DEFAULT_TIMEOUT,
            command_timeout: None,
        }
    }
}

impl Settings {
    /// Takes this connection's credentials out of what others say: a service may quote what it refuses.
    pub(super) fn mask(&self) -> Mask {
        let mut known: Vec<(&str, &str)> = Vec::new();
        if let Some(key) = &self.api_key {
            known.push(("api-key", key.expose()));
        }
        if let Some((_, key)) = self.tls.as_ref().and_then(|tls| tls.client.as_ref()) {
            known.push(("tls-key", key.expose()));
        }
        let metadata = self.metadata.iter();
        known.extend(
            metadata
                .filter(|(name, _)| names_a_credential(name))
                .map(|(_, value)| ("grpc-meta", value.as_str())),
        );
        if let Some(codec) = &self.codec {
            known.extend(codec.auth.iter().map(|auth| ("codec-auth", auth.expose())));
            let headers = codec.headers.values();
            known.extend(headers.map(|value| ("codec-header", value.expose())));
        }
        // `Bearer TOKEN`: the token alone, too.
        let words = known.clone().into_iter().filter_map(|(name, text)| {
            let (_, word) = text.trim().rsplit_once(' ')?;
            Some((name, word))
        });
        known.extend(words.collect::<Vec<_>>());
        Mask::of(
            known
                .into_iter()
                .filter(|(_, secret)| secret.len() >= SHORTEST),
        )
    }

    /// The address with its scheme.
    pub(super) fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Sets the address, as `HOST:PORT` or with a scheme, which must then agree with `tls`; refuses to
    /// send an API key in clear.
    pub(super) fn with_address(mut self, text: &str) -> Result<Self, ConnectError> {
        let (scheme, address) = match text.split_once("://") {
            Some((scheme, rest)) => (Some(scheme), rest.trim_end_matches('/')),
            None => (None, text),
        };
        match (scheme, self.tls.is_some()) {
            (Some("http"), _) if self.api_key.is_some() => {
                return Err(ConnectError::key_in_clear(text));
            }
            (Some("http"), true) => {
                return Err(ConnectError::configuration(format!(
                    "the address {text} is plaintext, but TLS options are set; drop `http://` or the TLS options"
                )));
            }
            (Some("https"), false) => self.tls = Some(Tls::default()),
            (Some("http" | "https") | None, _) => {}
            (Some(_), _) => return Err(invalid_address(text)),
        }
        if self.api_key.is_some() && self.tls.is_none() {
            return Err(ConnectError::key_in_clear(text));
        }
        self.address = checked(address).ok_or_else(|| invalid_address(text))?;
        Ok(self)
    }
}

/// `HOST:PORT` with both parts, nothing else.
fn checked(address: &str) -> Option<String> {
    let authority: http::uri::Authority = address.parse().ok()?;
    let plain = !address.contains('@') && !authority.host().is_empty();
    (plain && authority.port_u16().is_some()).then(|| address.to_owned())
}

fn invalid_address(text: &str) -> ConnectError {
    ConnectError::configuration(format!(
        "`{text}` is not an address: expected HOST:PORT, for example {DEFAULT_ADDRESS}"
    ))
}

/// `runbook:USER@HOST`: the `temporal` CLI's form, and the same for each process of a user, so that a
/// resumed run passes the manager identity that it set.
fn default_identity() -> String {
    let user = user_name().unwrap_or_else(|| "unknown-user".to_owned());
    format!("runbook:{user}@{}", host_name())
}

/// The user of this process: by the password file, which a shell cannot mislead, else by the
/// environment.
fn user_name() -> Option<String> {
    let own = std::fs::metadata("/proc/self")
        .ok()
        .map(|process| process.uid().to_string());
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let by_id = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1) == own.as_deref() && own.is_some()).then(|| name.to_owned())
    });
    by_id.or_else(|| std::env::var("USER").ok().filter(|user| !user.is_empty()))
}

fn host_name() -> String {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    kernel
        .map(|name| name.trim().to_owned())
        .or_else(|| std::env::var("HOSTNAME").ok())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "unknown-host".to_owned())
}

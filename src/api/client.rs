//! The other end: calls the service, and keeps a watch going when the connection breaks.

use std::cmp::Ordering;
use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use futures::StreamExt as _;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Status};

use super::address::Address;
use super::v1::run_service_client::RunServiceClient;
use super::v1::{self, watch_run_response::Event};
use super::watch::Events;

/// The client.
pub type Client = RunServiceClient<Channel>;

/// A plan is one record, and may be large.
const LARGEST: usize = 256 << 20;
/// Time to connect.
const CONNECT: Duration = Duration::from_secs(10);
/// A server that is silent for so long is asked whether it is there, and has as long to say so.
const KEEPALIVE: Duration = Duration::from_secs(20);
/// Tries to go on with a watch, one after the other, without an event between them.
const TRIES: u32 = 6;
/// Before the first of them; doubled each time.
const PAUSE: Duration = Duration::from_millis(250);

/// Whom to call, and as whom.
#[derive(Clone, Debug)]
pub struct Target {
    /// Where.
    pub address: Address,
    /// For TCP.
    pub tls: Option<ClientFiles>,
}

/// PEM files of a client.
#[derive(Clone, Debug, Default)]
pub struct ClientFiles {
    /// Its certificate.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The authority of the server; none for those that this machine knows.
    pub server_ca: Option<PathBuf>,
    /// The name that the server's certificate must have, where that is not the host's.
    pub server_name: Option<String>,
}

/// Why nobody could be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreached {
    /// It was said wrongly whom to call, or as whom.
    Usage(String),
    /// Nobody answers, or the handshake failed.
    Refused(String),
}

impl fmt::Display for Unreached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(why) | Self::Refused(why) => f.write_str(why),
        }
    }
}

impl Target {
    /// Without TLS.
    pub fn plain(address: Address) -> Self {
        Self { address, tls: None }
    }
}

/// Connects.
///
/// # Errors
/// See [`Unreached`].
pub async fn connect(target: &Target) -> Result<Client, Unreached> {
    let endpoint = endpoint(target)?
        .connect_timeout(CONNECT)
        .http2_keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE);
    let channel = endpoint.connect().await.map_err(|error| {
        let reason = chain(&error);
        Unreached::Refused(format!("cannot reach {}: {reason}", target.address))
    })?;
    Ok(RunServiceClient::new(channel).max_decoding_message_size(LARGEST))
}

fn endpoint(target: &Target) -> Result<Endpoint, Unreached> {
    let usage = |why: String| Unreached::Usage(why);
    match (&target.address, &target.tls) {
        (address @ Address::Unix(_), _) => Endpoint::from_shared(address.to_string())
            .map_err(|error| usage(format!("{address}: {error}"))),
        (Address::Tcp(address), None) => Err(usage(format!(
            "{address} is served with mutual TLS: give --connect-tls-cert and --connect-tls-key"
        ))),
        (Address::Tcp(address), Some(files)) => {
            let read = |flag: &str, path: &PathBuf| {
                let cannot = |error| format!("{flag}: cannot read {}: {error}", path.display());
                fs::read(path).map_err(|error| usage(cannot(error)))
            };
            let certificate = read("--connect-tls-cert", &files.certificate)?;
            let key = read("--connect-tls-key", &files.key)?;
            let mut tls = ClientTlsConfig::new().identity(Identity::from_pem(certificate, key));
            tls = match &files.server_ca {
                Some(path) => {
                    let pem = read("--connect-tls-ca", path)?;
                    tls.ca_certificate(Certificate::from_pem(pem))
                }
                None => tls.with_enabled_roots(),
            };
            if let Some(name) = &files.server_name {
                tls = tls.domain_name(name);
            }
            Endpoint::from_shared(format!("https://{address}"))
                .and_then(|endpoint| endpoint.tls_config(tls))
                .map_err(|error| usage(format!("{address}: {}", chain(&error))))
        }
    }
}

/// What a status says, in words: of a connection that broke, why.
pub fn words(status: &Status) -> String {
    let reason = std::error::Error::source(status).map(chain);
    match reason {
        Some(reason) => format!("the connection broke: {reason}"),
        None => status.message().to_owned(),
    }
}

/// What lies behind an error, in one line.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        if text != "transport error" && !parts.iter().any(|part| part.contains(&text)) {
            parts.push(text);
        }
        next = error.source();
    }
    parts.join(": ")
}

/// A run that is watched over a connection. Each record comes once, in order, however often the connection breaks.
pub struct Watching {
    target: Target,
    request: v1::WatchRunRequest,
    stream: Option<tonic::Streaming<v1::WatchRunResponse>>,
    tries: u32,
}

impl Watching {
    /// Begins with the next event.
    pub fn new(target: Target, request: v1::WatchRunRequest) -> Self {
        let from_seq = request.from_seq.max(1);
        Self {
            target,
            request: v1::WatchRunRequest {
                from_seq,
                ..request
            },
            stream: None,
            tries: 0,
        }
    }

    /// The events, as they would come from the run's own machine.
    pub fn events(self) -> Events {
        Box::pin(futures::stream::unfold(Some(self), |watching| async {
            let mut watching = watching?;
            match watching.next().await {
                Ok(Some(event)) => Some((Ok(event), Some(watching))),
                Ok(None) => None,
                Err(status) => Some((Err(status), None)),
            }
        }))
    }

    async fn next(&mut self) -> Result<Option<v1::WatchRunResponse>, Status> {
        loop {
            let broken = match self.one().await {
                Ok(Some(event)) => {
                    self.tries = 0;
                    return Ok(Some(event));
                }
                // Only an `End` ends a watch, and whoever has it does not ask again.
                Ok(None) => Status::unavailable("the server ended the stream"),
                Err(status) => status,
            };
            self.stream = None;
            self.tries += 1;
            let again = matches!(
                broken.code(),
                Code::Unavailable | Code::Cancelled | Code::Unknown
            );
            if !again || self.tries >= TRIES {
                return Err(broken);
            }
            tokio::time::sleep(PAUSE * 2_u32.pow(self.tries - 1)).await;
        }
    }

    async fn one(&mut self) -> Result<Option<v1::WatchRunResponse>, Status> {
        if self.stream.is_none() {
            let connected = connect(&self.target).await;
            let mut client = connected.map_err(|why| match why {
                Unreached::Usage(why) => Status::invalid_argument(why),
                Unreached::Refused(why) => Status::unavailable(why),
            })?;
            let stream = client.watch_run(self.request.clone()).await?;
            self.stream = Some(stream.into_inner());
        }
        let Some(stream) = &mut self.stream else {
            return Ok(None);
        };
        let event = stream.next().await.transpose()?;
        let seq = event.as_ref().and_then(|event| event.event.as_ref());
        if let Some(seq) = seq.and_then(seq_of) {
            self.request.from_seq = after(seq, self.request.from_seq)?;
        }
        Ok(event)
    }
}

/// The number after `seq`, where that is the one that was to come: a server that goes back to what was seen, or leaves
/// something out, is not believed.
fn after(seq: u64, due: u64) -> Result<u64, Status> {
    match seq.cmp(&due) {
        Ordering::Equal => Ok(seq.saturating_add(1)),
        Ordering::Less => Err(Status::data_loss("the server sent a record twice")),
        Ordering::Greater => Err(Status::data_loss(format!(
            "the server left out what comes before record {seq}: {due} was next"
        ))),
    }
}

/// The sequence number of what comes numbered.
fn seq_of(event: &Event) -> Option<u64> {
    match event {
        Event::Record(record) => Some(record.seq),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_taken_one_after_the_other_and_not_otherwise() {
        let said = |seq, due| after(seq, due).map_err(|status| status.message().to_owned());
        assert_eq!(said(7, 7), Ok(8));
        assert_eq!(said(u64::MAX, u64::MAX), Ok(u64::MAX));
        let twice = Err("the server sent a record twice".to_owned());
        assert_eq!(said(6, 7), twice);
        let left_out = said(9, 7).expect_err("8 is missing");
        assert!(left_out.contains("record 9: 7 was next"), "{left_out}");
    }
}

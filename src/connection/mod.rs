//! How the Temporal service is reached: address, credentials, profiles, headers, and the one choke
//! point that every RPC passes.
//!
//! [`arguments`] has the flags, [`sources`] reads variables and files beside them, [`effective`] makes
//! [`Settings`] of all; [`Connection`] opens them. All RPCs, to a real service or to one in memory, go through [`transport`]: a gate that a dry
//! run cannot write through, a deadline, then the backend. No layer here retries. This module knows
//! nothing of Workflows; the typed calls are in `temporal`.

mod arguments;
mod codec;
mod effective;
mod error;
mod old_names;
mod remote;
mod settings;
mod sources;
mod transport;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use temporalio_client::callback_based::CallbackBasedGrpcService;
use temporalio_client::errors::ClientConnectError;
use temporalio_client::grpc::{OperatorService, WorkflowService};
use temporalio_client::{ConnectionOptions, Url};

pub use arguments::ConnectionArgs;
pub use codec::{Codec, CodecError};
pub use effective::{Effective, EffectiveValue};
pub use error::{ConnectError, ConnectProblem};
pub use old_names::respell;
pub use settings::{CodecSettings, Secret, Settings, Tls};
pub use sources::Origin;
pub use transport::{Access, DEADLINE_WORDING, InMemory, READS, REFUSED_BY_GATE};

use transport::{Backend, Meter, Transport};

/// An open connection. Cheap to clone; clones share it.
#[derive(Clone)]
pub struct Connection {
    client: temporalio_client::Connection,
    settings: Arc<Settings>,
    access: Access,
    meter: Arc<Meter>,
    codec: Option<Codec>,
}

impl Connection {
    /// Opens a connection to a real service.
    ///
    /// # Errors
    /// What an operator can do something about: the address cannot be reached, a certificate does not
    /// fit, one side speaks TLS and the other does not, a credential is refused.
    pub async fn open(settings: &Settings, access: Access) -> Result<Self, ConnectError> {
        let remote = remote::Remote::connect(settings).await?;
        let (address, tls) = (settings.address.as_str(), settings.tls.is_some());
        tracing::info!(address, tls, ?access, "connected");
        let result = Self::over(settings, Backend::Remote(remote.clone()), access).await;
        result.map_err(|error| remote.explain(settings, error))
    }

    /// Opens a connection to a service in this process; the same client, gate and deadlines.
    pub async fn in_memory(
        settings: &Settings,
        service: InMemory,
        access: Access,
    ) -> Result<Self, ConnectError> {
        Self::over(settings, Backend::InMemory(service), access).await
    }

    async fn over(
        settings: &Settings,
        backend: Backend,
        access: Access,
    ) -> Result<Self, ConnectError> {
        let codec = Codec::of(settings)?;
        let transport =
            Transport::new(access, settings.call_timeout, backend).masked(settings.mask());
        let meter = transport.meter();
        let target = Url::parse(&settings.url()).map_err(|error| {
            ConnectError::configuration(format!("the address is not valid: {error}"))
        })?;
        let options = ConnectionOptions::new(target)
            .identity(settings.identity.clone())
            .maybe_api_key(settings.api_key.as_ref().map(|key| key.expose().to_owned()))
            .headers(settings.metadata.clone().into_iter().collect())
            .dns_load_balancing(None)
            .keep_alive(None)
            .service_override(CallbackBasedGrpcService {
                callback: transport.into_callback(),
            })
            .build();
        let client = temporalio_client::Connection::connect(options)
            .await
            .map_err(|error| connect_error(settings, error))?;
        Ok(Self {
            client,
            settings: Arc::new(settings.clone()),
            access,
            meter,
            codec,
        })
    }

    /// The service's RPCs. This handle does not retry, and neither does anything below it.
    pub fn workflow_service(&self) -> Box<dyn WorkflowService> {
        self.client.workflow_service()
    }

    /// The operator's RPCs (Search Attributes).
    pub fn operator_service(&self) -> Box<dyn OperatorService> {
        self.client.operator_service()
    }

    /// `HOST:PORT`.
    pub fn address(&self) -> &str {
        &self.settings.address
    }

    /// The namespace that calls name.
    pub fn namespace(&self) -> &str {
        &self.settings.namespace
    }

    /// Base URL of the Web UI, where it is known; never guessed.
    pub fn ui(&self) -> Option<&str> {
        self.settings.ui.as_deref()
    }

    /// The identity that writes carry; a deployment's manager identity is compared with it.
    pub fn identity(&self) -> &str {
        &self.settings.identity
    }

    /// What payloads pass on their way to and from a person; none where they are stored as they are.
    pub fn codec(&self) -> Option<&Codec> {
        self.codec.as_ref()
    }

    /// How long one call may take.
    pub fn call_timeout(&self) -> Duration {
        self.settings.call_timeout
    }

    /// Calls so far that the service refused for their rate, reads that were tried again included.
    pub fn refused(&self) -> u64 {
        self.meter.refused.load(Ordering::Relaxed)
    }

    /// Calls so far that were answered, and how many microseconds they took together.
    pub fn answered(&self) -> (u64, u64) {
        let load = |number: &AtomicU64| number.load(Ordering::Relaxed);
        (load(&self.meter.answered), load(&self.meter.microseconds))
    }

    /// Whether writes are let through.
    pub fn access(&self) -> Access {
        self.access
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("settings", &self.settings)
            .field("access", &self.access)
            .finish_non_exhaustive()
    }
}

fn connect_error(settings: &Settings, error: ClientConnectError) -> ConnectError {
    match error {
        ClientConnectError::SystemInfoCallError(status) => {
            ConnectError::from_status(settings, &status)
        }
        other => ConnectError::configuration(other.to_string()),
    }
}

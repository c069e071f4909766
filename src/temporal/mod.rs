//! Typed calls to a Temporal service: what `plan` and the actions ask and do, without a proto message
//! in sight.
//!
//! Reads are retried here, with backoff and a bound ([`pace`]); writes are sent exactly once, and what
//! came of them is judged by an exhaustive table ([`outcome`]). Listing and counting share a budget.
//! This module does not decide anything: no strategy, no row, no journal.

mod batch;
mod convert;
mod failures;
mod history;
mod lease;
mod outcome;
mod pace;
mod pages;
mod payloads;
mod query;
mod reads;
mod writes;

use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jiff::Timestamp;
use temporalio_client::grpc::WorkflowService;
use tokio::sync::watch;
use tonic::{Request, Response, Status};

use crate::clock::Clock;
use crate::connection::Connection;
use crate::survey::Listed;

pub use batch::{BatchCall, BatchOperation, BatchResetPoint, BatchScope};
pub use history::{Found, Termination};
pub use lease::{LeaseSeen, LeaseStart};
pub use outcome::{CallError, CallKind, Cause, Meaning, Rpc, Verdict, code_name};
pub use payloads::Shown;
pub use query::{QueryCall, Reply};
pub use writes::{Reapply, ResetCall, RestartCall, SignalCall};

use pace::{Backoff, Spread, VisibilityBudget};

/// How long a read is tried again before its error is given up to the caller.
const READ_PATIENCE: Duration = Duration::from_secs(60);

/// Nothing is wrong with the service; nobody waits for its answer any more.
fn interrupted(rpc: Rpc) -> CallError {
    CallError::of(rpc, &Status::unavailable("the run was interrupted"))
}

/// The service, as this tool uses it. Cheap to clone; clones share the connection and the Visibility
/// budget.
#[derive(Clone)]
pub struct Temporal {
    connection: Connection,
    visibility: Arc<VisibilityBudget>,
    /// Filled by the preflight; tells whether a parent is in this namespace.
    namespace_id: Arc<OnceLock<String>>,
    patience: Duration,
    clock: Clock,
    spread: Arc<Spread>,
    /// True when whoever asked wants to leave; see [`Temporal::until`].
    leaving: Option<watch::Receiver<bool>>,
}

/// One page of a listing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// The lines, in the service's order.
    pub rows: Vec<Listed>,
    /// What to ask for the next page with; none after the last one.
    pub next: Option<Vec<u8>>,
}

impl Temporal {
    /// Typed calls over a connection.
    pub fn new(connection: Connection) -> Self {
        Self {
            connection,
            visibility: Arc::default(),
            namespace_id: Arc::default(),
            patience: READ_PATIENCE,
            clock: Clock::real(),
            spread: Arc::new(Spread::random()),
            leaving: None,
        }
    }

    /// Dates looks by this clock in place of the wall clock: a rehearsal has its own, and its pauses are
    /// the same each time.
    #[must_use]
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self.spread = Arc::new(Spread::fixed());
        self
    }

    /// Gives up a read after this long in place of a minute.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Gives up reads when `leaving` says true: an error that another try may mend.
    #[must_use]
    pub fn until(mut self, leaving: watch::Receiver<bool>) -> Self {
        self.leaving = Some(leaving);
        self
    }

    /// Returns when whoever asked wants to leave; never, where nobody may.
    pub async fn left(&self) {
        let Some(leaving) = &self.leaving else {
            return std::future::pending().await;
        };
        if leaving.clone().wait_for(|leaving| *leaving).await.is_err() {
            // Nobody is there any more who could want to.
            std::future::pending::<()>().await;
        }
    }

    /// The connection underneath.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// How long one call may take; a write without an answer by then is in doubt.
    pub fn call_timeout(&self) -> Duration {
        self.connection.call_timeout()
    }

    fn namespace(&self) -> String {
        self.connection.namespace().to_owned()
    }

    fn identity(&self) -> String {
        self.connection.identity().to_owned()
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(self.connection.call_timeout());
        request
    }

    /// A read: tried until it answers, is refused for good, or patience ends.
    async fn read<M, T, F, Fut>(&self, rpc: Rpc, message: M, call: F) -> Result<T, CallError>
    where
        M: Clone,
        F: Fn(Box<dyn WorkflowService>, Request<M>) -> Fut,
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        let (answer, _) = self.read_at(rpc, message, call).await?;
        Ok(answer)
    }

    /// As [`Temporal::read`], with when the call that was answered left: what it says is as old. The answer
    /// may have waited in the socket while this process was suspended.
    async fn read_at<M, T, F, Fut>(
        &self,
        rpc: Rpc,
        message: M,
        call: F,
    ) -> Result<(T, Timestamp), CallError>
    where
        M: Clone,
        F: Fn(Box<dyn WorkflowService>, Request<M>) -> Fut,
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        let mut backoff = Backoff::new(self.patience);
        loop {
            if rpc.is_visibility() {
                self.visibility.admit().await;
            }
            let request = self.request(message.clone());
            let asked = self.clock.now();
            let status = tokio::select! {
                biased;
                result = call(self.connection.workflow_service(), request) => match result {
                    Ok(response) => return Ok((response.into_inner(), asked)),
                    Err(status) => status,
                },
                () = self.left() => return Err(interrupted(rpc)),
            };
            let error = CallError::of(rpc, &status);
            if error.meaning.verdict != Verdict::Retry {
                return Err(error);
            }
            match backoff.next(&self.spread) {
                Some(pause) => {
                    tracing::warn!(%rpc, code = error.code_name(), ?pause, "a read is tried again");
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        () = self.left() => return Err(interrupted(rpc)),
                    }
                }
                None => return Err(error.after(backoff.attempts(), self.patience)),
            }
        }
    }

    /// A write: one call, whatever comes of it.
    async fn write<M, T, F, Fut>(&self, rpc: Rpc, message: M, call: F) -> Result<T, CallError>
    where
        F: FnOnce(Box<dyn WorkflowService>, Request<M>) -> Fut,
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        let request = self.request(message);
        match call(self.connection.workflow_service(), request).await {
            Ok(response) => Ok(response.into_inner()),
            Err(status) => Err(CallError::of(rpc, &status)),
        }
    }
}

impl std::fmt::Debug for Temporal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Temporal")
            .field("connection", &self.connection)
            .finish_non_exhaustive()
    }
}

//! Connections, so many at the same time and no more.
//!
//! Each takes an open file, and the run that shares the process needs some for itself: whoever connects a thousand times
//! must not keep it from starting a program. A share of what the process may open goes to connections, and one to
//! watchers, who have two more each: their run's state file.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustix::process::{Resource, getrlimit};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::transport::server::Connected;

/// Connections at the same time, where the process may open files without end.
const MOST: usize = 1024;

/// A quarter of the files that this process may open.
pub(super) fn share() -> usize {
    let files = getrlimit(Resource::Nofile).current;
    let share = files.and_then(|files| usize::try_from(files / 4).ok());
    share.unwrap_or(MOST).clamp(1, MOST)
}

/// Room for connections. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Slots(Arc<Semaphore>);

impl Slots {
    /// For so many.
    pub(super) fn of(most: usize) -> Self {
        Self(Arc::new(Semaphore::new(most)))
    }

    /// Takes a connection in; one too many is closed.
    pub(super) fn take<S>(&self, stream: S) -> Option<Counted<S>> {
        match Arc::clone(&self.0).try_acquire_owned() {
            Ok(slot) => Some(Counted {
                stream,
                _slot: slot,
            }),
            Err(_) => {
                tracing::warn!("a connection was turned away: there are too many");
                None
            }
        }
    }
}

/// A connection that is counted for as long as it lives.
#[derive(Debug)]
pub(super) struct Counted<S> {
    stream: S,
    _slot: OwnedSemaphorePermit,
}

impl<S: Connected> Connected for Counted<S> {
    type ConnectInfo = S::ConnectInfo;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.stream.connect_info()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

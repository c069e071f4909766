//! A run as a stream of events: its records from a number on, progress between them, and why it ends.
//!
//! Pulled, not pushed: where nobody takes the next event, nothing is read, and all that is kept is one line of the
//! journal and a few records. The run is not asked for anything but, where another process carries it out, its progress
//! (`upstream`).

use std::collections::VecDeque;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, sleep, sleep_until};
use tonic::Status;

use super::feed::Signals;
use super::upstream::Upstream;
use super::v1::watch_run_response::Event;
use super::v1::{End, Progress, WatchRunResponse};
use super::view;
use crate::journal::{self, Follower, JournalError};

/// Events of a run.
pub type Events = Pin<Box<dyn Stream<Item = Result<WatchRunResponse, Status>> + Send>>;

/// As the first record to send: none, whatever is written.
pub const PROGRESS_ONLY: u64 = u64::MAX;

/// Records that are read at a time.
const BATCH: usize = 64;
/// How often the file of a run that tells nothing is looked at.
const LOOK: Duration = Duration::from_millis(250);
/// How often progress is sent, at most.
const PROGRESS: Duration = Duration::from_millis(200);
/// How often the file of a run is looked at that has told nothing: somebody may have moved it.
const ANYWAY: Duration = Duration::from_secs(5);

/// What to watch.
pub(super) struct Subject {
    /// The journal.
    pub path: PathBuf,
    /// What there is beside it.
    pub tells: Tells,
    /// The first record to send.
    pub from: u64,
    /// No progress.
    pub records_only: bool,
    /// Given back when the stream is dropped.
    pub _permit: Option<OwnedSemaphorePermit>,
}

/// What is known of a run beside its journal.
pub(super) enum Tells {
    /// Nothing.
    Nothing,
    /// It is this process's own.
    Own(Signals),
    /// It is another process's, which may listen.
    Elsewhere {
        /// How far it said things are.
        latest: watch::Receiver<Option<Progress>>,
        /// It says so for as long as this is here.
        _upstream: Arc<Upstream>,
    },
}

impl Tells {
    /// Of a run of another process.
    pub(super) fn elsewhere(upstream: Arc<Upstream>) -> Self {
        Self::Elsewhere {
            latest: upstream.latest(),
            _upstream: upstream,
        }
    }
}

/// Begins.
///
/// # Errors
/// Where there is no journal that can be read.
pub(super) async fn events(mut subject: Subject) -> Result<Events, Status> {
    if let Tells::Own(signals) = &mut subject.tells {
        // The run's first record may still be on its way to the disk.
        let begun = signals.pulse.wait_for(|pulse| pulse.seq > 0 || pulse.over);
        let _ = begun.await;
    }
    let (path, from) = (subject.path.clone(), subject.from);
    let follower = match from {
        PROGRESS_ONLY => None,
        from => Some(blocking(move || Follower::open(&path, from)).await?),
    };
    let watcher = Watcher {
        follower,
        ready: VecDeque::new(),
        told: None,
        idle: false,
        done: false,
        progress_due: Instant::now(),
        subject,
    };
    Ok(Box::pin(futures::stream::unfold(
        watcher,
        |mut watcher| async { watcher.next().await.map(|event| (event, watcher)) },
    )))
}

struct Watcher {
    subject: Subject,
    /// Away while it reads; none where no records are wanted.
    follower: Option<Follower>,
    ready: VecDeque<Event>,
    /// Progress that is sent after the records that were written before it.
    told: Option<Progress>,
    /// The last look found nothing.
    idle: bool,
    done: bool,
    progress_due: Instant,
}

impl Watcher {
    async fn next(&mut self) -> Option<Result<WatchRunResponse, Status>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(Ok(WatchRunResponse { event: Some(event) }));
            }
            if self.done {
                return None;
            }
            if let Err(status) = self.step().await {
                self.done = true;
                return Some(Err(status));
            }
        }
    }

    async fn step(&mut self) -> Result<(), Status> {
        // Asked before the file is read: nothing is written after it.
        let over = self.idle && self.is_over().await?;
        let events = self.read().await?;
        if !events.is_empty() {
            self.ready.extend(events);
            self.idle = false;
        } else if let Some(progress) = self.told.take() {
            self.ready.push_back(Event::Progress(progress));
        } else if over {
            self.ready.push_back(Event::End(self.end().await?));
            self.done = true;
        } else if self.idle {
            self.wait().await;
        } else {
            self.idle = true;
        }
        Ok(())
    }

    async fn is_over(&self) -> Result<bool, Status> {
        if let Tells::Own(signals) = &self.subject.tells {
            return Ok(signals.pulse.borrow().over || signals.pulse.has_changed().is_err());
        }
        let path = self.subject.path.clone();
        blocking(move || Ok(journal::running(&path).is_none())).await
    }

    async fn read(&mut self) -> Result<Vec<Event>, Status> {
        let Some(mut follower) = self.follower.take() else {
            return Ok(Vec::new());
        };
        let (follower, events) = blocking(move || {
            let records = follower.more(BATCH)?;
            let events = records.iter().map(view::record).map(Event::Record);
            Ok((follower, events.collect()))
        })
        .await?;
        self.follower = Some(follower);
        Ok(events)
    }

    /// Waits for something to look for, no longer than until the next look anyway.
    async fn wait(&mut self) {
        let (due, wanted) = (self.progress_due, !self.subject.records_only);
        self.told = match &mut self.subject.tells {
            Tells::Nothing => {
                sleep(LOOK).await;
                None
            }
            Tells::Own(Signals { pulse, progress }) => tokio::select! {
                // An error says that the run is gone; `is_over` finds that out.
                _ = pulse.changed() => None,
                Ok(()) = changed(progress, due), if wanted => {
                    progress.borrow_and_update().as_ref().map(view::progress)
                }
                () = sleep(ANYWAY) => None,
            },
            Tells::Elsewhere { latest, .. } => tokio::select! {
                Ok(()) = changed(latest, due), if wanted => latest.borrow_and_update().clone(),
                () = sleep(LOOK) => None,
            },
        };
        if self.told.is_some() {
            self.progress_due = Instant::now() + PROGRESS;
        }
    }

    async fn end(&self) -> Result<End, Status> {
        let path = self.subject.path.clone();
        blocking(move || view::end(&path)).await
    }
}

/// Reads on a thread where waiting for a disk holds nobody up.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, JournalError> + Send + 'static,
) -> Result<T, Status> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(|error| view::unreadable(&error)),
        Err(_) => Err(Status::internal(
            "a bug in runbook: a reader of the state file ended",
        )),
    }
}

/// Not before `due`.
async fn changed<T>(
    progress: &mut watch::Receiver<T>,
    due: Instant,
) -> Result<(), watch::error::RecvError> {
    sleep_until(due).await;
    progress.changed().await
}

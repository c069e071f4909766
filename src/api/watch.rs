//! A run as a stream of events: its records from a number on, progress between them, and why it ends.
//!
//! Pulled, not pushed: where nobody takes the next event, nothing is read, and all that is kept is one line of the
//! journal and a few records. The run is not asked for anything.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use futures::Stream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep, sleep_until};
use tonic::Status;

use super::feed::Signals;
use super::v1::watch_run_response::Event;
use super::v1::{End, WatchRunResponse};
use super::view;
use crate::journal::{self, Follower, JournalError};

/// Events of a run.
pub type Events = Pin<Box<dyn Stream<Item = Result<WatchRunResponse, Status>> + Send>>;

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
    /// What the run tells, where it is this process's own.
    pub signals: Option<Signals>,
    /// The first record to send.
    pub from: u64,
    /// No progress.
    pub records_only: bool,
    /// Given back when the stream is dropped.
    pub _permit: Option<OwnedSemaphorePermit>,
}

/// Begins.
///
/// # Errors
/// Where there is no journal that can be read.
pub(super) async fn events(mut subject: Subject) -> Result<Events, Status> {
    if let Some(signals) = &mut subject.signals {
        // The run's first record may still be on its way to the disk.
        let begun = signals.pulse.wait_for(|pulse| pulse.seq > 0 || pulse.over);
        let _ = begun.await;
    }
    let (path, from) = (subject.path.clone(), subject.from);
    let follower = blocking(move || Follower::open(&path, from)).await?;
    let watcher = Watcher {
        follower: Some(follower),
        ready: VecDeque::new(),
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
    /// Away while it reads.
    follower: Option<Follower>,
    ready: VecDeque<Event>,
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
        if let Some(signals) = &self.subject.signals {
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

    async fn wait(&mut self) {
        let Some(signals) = &mut self.subject.signals else {
            return sleep(LOOK).await;
        };
        let (due, wanted) = (self.progress_due, !self.subject.records_only);
        let progress = &mut signals.progress;
        tokio::select! {
            // An error says that the run is gone; `is_over` finds that out.
            _ = signals.pulse.changed() => {}
            Ok(()) = async { sleep_until(due).await; progress.changed().await }, if wanted => {
                let latest = progress.borrow_and_update().as_ref().map(view::progress);
                self.ready.extend(latest.map(Event::Progress));
                self.progress_due = Instant::now() + PROGRESS;
            }
            () = sleep(ANYWAY) => {}
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

/// The events of a run that this process does not carry out, from its state file.
///
/// # Errors
/// Where there is no journal that can be read.
pub async fn from_file(path: &Path, from: u64) -> Result<Events, Status> {
    events(Subject {
        path: path.to_owned(),
        signals: None,
        from,
        records_only: false,
        _permit: None,
    })
    .await
}

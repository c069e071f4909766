//! The progress of a run that another process carries out, from that process's own socket.
//!
//! Records are read from the journal, here as there: the file is the one place where each stands once and in order. Only
//! progress is in no file. It is asked for once, however many look on here, and no longer than somebody does; where the
//! process cannot be reached there is none, and the records go on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use futures::StreamExt as _;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::sleep;
use tonic::Streaming;

use super::address::{Address, announced};
use super::client;
use super::v1::{Progress, WatchRunRequest, WatchRunResponse, watch_run_response::Event};
use super::watch::PROGRESS_ONLY;
use crate::journal;

/// Before a process is asked again that could not be reached, or ended the stream.
const AGAIN: Duration = Duration::from_secs(2);

/// The runs of other processes that somebody looks at.
#[derive(Default)]
pub(super) struct Upstreams {
    open: Mutex<BTreeMap<PathBuf, Weak<Upstream>>>,
}

/// One of them. Dropping the last of its handles ends the call.
pub(super) struct Upstream {
    latest: watch::Receiver<Option<Progress>>,
    task: AbortHandle,
}

impl Upstreams {
    /// Of the run with this journal. Waits for nothing.
    pub(super) fn of(&self, path: &Path) -> Arc<Upstream> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, upstream| upstream.strong_count() > 0);
        if let Some(upstream) = open.get(path).and_then(Weak::upgrade) {
            return upstream;
        }
        let (sender, latest) = watch::channel(None);
        let task = tokio::spawn(relay(path.to_owned(), sender)).abort_handle();
        let upstream = Arc::new(Upstream { latest, task });
        open.insert(path.to_owned(), Arc::downgrade(&upstream));
        upstream
    }
}

impl Upstream {
    /// Progress as it comes; first what came last.
    pub(super) fn latest(&self) -> watch::Receiver<Option<Progress>> {
        let mut latest = self.latest.clone();
        latest.mark_changed();
        latest
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Until it is aborted: whoever carries the run out next is asked too.
async fn relay(path: PathBuf, latest: watch::Sender<Option<Progress>>) {
    loop {
        if let Some(stream) = begin(&path).await {
            pass_on(stream, &latest).await;
            latest.send_replace(None);
        }
        sleep(AGAIN).await;
    }
}

/// None where the run's process does not listen on this machine, or does not answer.
async fn begin(path: &Path) -> Option<Streaming<WatchRunResponse>> {
    let path = path.to_owned();
    let found = tokio::task::spawn_blocking(move || {
        // The process knows its run by its id, and not by the file's name.
        let run = journal::read(&path).ok()?.run().0.clone();
        Some((announced(&path)?, run))
    });
    let Ok(Some((address @ Address::Unix(_), run_id))) = found.await else {
        return None;
    };
    let mut process = client::connect(&client::Target::plain(address))
        .await
        .ok()?;
    let request = WatchRunRequest {
        run_id,
        from_seq: PROGRESS_ONLY,
        records_only: false,
    };
    let stream = process.watch_run(request).await.ok()?;
    Some(stream.into_inner())
}

async fn pass_on(
    mut stream: Streaming<WatchRunResponse>,
    latest: &watch::Sender<Option<Progress>>,
) {
    while let Some(Ok(response)) = stream.next().await {
        match response.event {
            Some(Event::Progress(progress)) => latest.send_replace(Some(progress)),
            Some(Event::End(_)) => return,
            // Of a process that does not know what was asked for.
            Some(Event::Record(_)) | None => continue,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Bound, Feed, Listen, Own, Runs};
    use super::*;
    use crate::clock::Clock;
    use crate::desk::Desk;
    use crate::journal::Journal;
    use crate::record::{Body, FORMAT, Record, RunId};
    use crate::run::{self, Display as _};

    const RUN: &str = "rb-1";
    /// All is well long before.
    const PATIENCE: Duration = Duration::from_secs(60);

    fn opened() -> Record {
        Record {
            seq: 1,
            at: "2026-01-01T00:00:00Z".parse().expect("a timestamp"),
            body: Body::Opened {
                format: FORMAT,
                run: RunId(RUN.to_owned()),
                plan: Box::default(),
                tool: "test".to_owned(),
                dry: false,
                rehearsal: false,
                saved: None,
            },
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn one_call_is_for_all_who_look_on_and_ends_with_the_last_of_them() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("rb-1.jsonl");
        let mut journal = Journal::create(&path).expect("a journal");
        journal.append(&[opened()]).expect("written");
        let mut feed = Feed::default();
        feed.record(&opened());
        let own = Own {
            run: RunId(RUN.to_owned()),
            path: path.clone(),
            feed: feed.clone(),
            desk: Desk::new(Clock::real()),
        };
        let address = Address::Unix(folder.path().join("s.sock"));
        let bound = Bound::to(&Listen { address, tls: None }).expect("bound");
        let server = bound.serve(Runs::Own(own)).expect("served");

        let upstreams = Upstreams::default();
        let (one, two) = (upstreams.of(&path), upstreams.of(&path));
        feed.progress(&run::Progress {
            step: None,
            in_flight: 3,
            rate: 1.0,
            waiting_for: None,
            until: None,
            now: "2026-01-01T00:00:00Z".parse().expect("a timestamp"),
            simulated: false,
        });
        let seen = async {
            for upstream in [&one, &two] {
                let mut latest = upstream.latest();
                let calls = |latest: &Option<Progress>| latest.as_ref().map(|it| it.in_flight);
                let came = latest.wait_for(|latest| calls(latest) == Some(3)).await;
                drop(came.expect("the call goes on"));
            }
        };
        tokio::time::timeout(PATIENCE, seen)
            .await
            .expect("it comes");
        assert_eq!(feed.watchers(), 1, "one call for both");
        drop(one);
        assert_eq!(feed.watchers(), 1, "one looks on still");
        drop(two);
        let left = tokio::time::timeout(PATIENCE, feed.left_alone());
        left.await.expect("nobody looks on any more");
        feed.close();
        server.stop();
    }
}

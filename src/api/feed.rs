//! What a run tells those who look on: that there is a new record, and how far things are. Not what: the records
//! are in the journal, and each reads them there at its own pace.
//!
//! Telling takes two stores to memory and never waits, whoever looks on.

use tokio::sync::watch;

use crate::record::Record;
use crate::run::{Display, Progress};

/// The run's end of it. Cheap to clone; clones are one feed.
#[derive(Clone, Debug)]
pub struct Feed {
    pulse: watch::Sender<Pulse>,
    progress: watch::Sender<Option<Progress>>,
}

/// How far the journal is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pulse {
    /// The last record that is durable.
    pub seq: u64,
    /// No more will come.
    pub over: bool,
}

/// A watcher's end of it.
#[derive(Clone, Debug)]
pub(super) struct Signals {
    pub pulse: watch::Receiver<Pulse>,
    pub progress: watch::Receiver<Option<Progress>>,
}

impl Default for Feed {
    fn default() -> Self {
        Self {
            pulse: watch::Sender::new(Pulse::default()),
            progress: watch::Sender::new(None),
        }
    }
}

impl Feed {
    /// The run is over, or goes on elsewhere: whoever watches reads to the end, and is done.
    pub fn close(&self) {
        self.pulse.send_modify(|pulse| pulse.over = true);
    }

    /// Until nobody looks on.
    #[cfg(test)]
    pub(super) async fn left_alone(&self) {
        self.progress.closed().await;
    }

    /// How many look on.
    #[cfg(test)]
    pub(super) fn watchers(&self) -> usize {
        self.progress.receiver_count()
    }

    pub(super) fn signals(&self) -> Signals {
        let mut progress = self.progress.subscribe();
        // What came last is news to whoever has just come.
        progress.mark_changed();
        Signals {
            pulse: self.pulse.subscribe(),
            progress,
        }
    }
}

impl Display for Feed {
    fn record(&mut self, record: &Record) {
        self.pulse.send_modify(|pulse| pulse.seq = record.seq);
    }

    fn progress(&mut self, progress: &Progress) {
        self.progress.send_replace(Some(progress.clone()));
    }
}

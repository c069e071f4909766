//! `--output json`: the records on stdout, at the pace of whoever reads them, while the run goes at its own.
//!
//! A thread reads the run's journal after the run, as `watch` does, and writes to stdout. The journal is the buffer: the
//! run waits for nobody, nothing is lost or told twice, and one batch of records is in memory. A record is written as
//! soon as it is durable, never before. At its end the process waits as long as somebody reads.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::watch;

use super::Interrupts;
use crate::journal::{Follower, JournalError};
use crate::record::Record;
use crate::report::write_json;
use crate::ui::Ui;

/// Records in memory at a time.
const BATCH: u64 = 256;
/// How long an ended run waits for a reader that takes nothing.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// The same where somebody wants to leave at once.
pub(super) const HASTE: Duration = Duration::from_secs(1);
/// What the disk has can be read at once; where it cannot, not for ever.
const LOOKS: u32 = 200;
const BETWEEN_LOOKS: Duration = Duration::from_millis(10);

/// The stream of one attachment's records.
pub(super) struct Stream {
    shared: Arc<Shared>,
    written: watch::Receiver<Written>,
}

/// How far the thread is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Written {
    /// The last record that was taken by the other end.
    seq: u64,
    /// It writes no more: everything is written, or nothing more can be.
    over: bool,
}

#[derive(Default)]
struct Shared {
    reached: Mutex<Reached>,
    changed: Condvar,
}

#[derive(Default)]
struct Reached {
    /// The last durable record.
    seq: u64,
    /// There will be no more.
    ended: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Reached> {
        self.reached.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there is more than `written`; the last durable record, or none where there will be no more.
    fn beyond(&self, written: u64) -> Option<u64> {
        let mut reached = self.lock();
        while reached.seq <= written && !reached.ended {
            let woken = self.changed.wait(reached);
            reached = woken.unwrap_or_else(PoisonError::into_inner);
        }
        (reached.seq > written).then_some(reached.seq)
    }
}

impl Stream {
    /// Begins with record `from`, which need not be there yet.
    ///
    /// # Errors
    /// Where there is no stdout, or no thread.
    pub(super) fn begin(path: &Path, from: u64, ui: &Ui) -> io::Result<Self> {
        let written = from.saturating_sub(1);
        let shared = Arc::new(Shared {
            reached: Mutex::new(Reached {
                seq: written,
                ended: false,
            }),
            changed: Condvar::new(),
        });
        let start = Written {
            seq: written,
            over: false,
        };
        let (said, heard) = watch::channel(start);
        let writer = Writer {
            path: path.to_owned(),
            out: ui.beside()?,
            shared: Arc::clone(&shared),
            said,
        };
        let ui = ui.clone();
        thread::Builder::new()
            .name("stdout".to_owned())
            .spawn(move || writer.run(&ui))?;
        Ok(Self {
            shared,
            written: heard,
        })
    }

    /// Record `seq` is durable. Never waits for the reader.
    pub(super) fn reached(&self, seq: u64) {
        self.shared.lock().seq = seq;
        self.shared.changed.notify_one();
    }

    /// Waits while somebody reads. What is not read by then, or by the next signal, is named.
    pub(super) async fn end(
        mut self,
        patience: Duration,
        interrupts: &mut Interrupts,
        target: &str,
        ui: &Ui,
    ) {
        let last = {
            let mut reached = self.shared.lock();
            reached.ended = true;
            reached.seq
        };
        self.shared.changed.notify_one();
        loop {
            let written = *self.written.borrow_and_update();
            if written.over {
                return;
            }
            let why = tokio::select! {
                biased;
                changed = self.written.changed() => match changed {
                    Ok(()) => continue,
                    // The thread said why.
                    Err(_) => return,
                },
                Some(_) = interrupts.recv() => "interrupted".to_owned(),
                () = tokio::time::sleep(patience) => {
                    format!("nobody read from stdout for {} s", patience.as_secs())
                }
            };
            let from = written.seq + 1;
            ui.warning(&format!("{why}: records {from} to {last} were not read"));
            ui.hint(&format!(
                "they are in the state file: runbook watch {target} --from {from} --output json"
            ));
            return;
        }
    }
}

/// What the thread has.
struct Writer {
    path: PathBuf,
    out: Box<dyn Write + Send>,
    shared: Arc<Shared>,
    said: watch::Sender<Written>,
}

impl Writer {
    fn run(mut self, ui: &Ui) {
        if let Err(problem) = self.write() {
            ui.error(&problem, None);
        }
        self.said.send_modify(|written| written.over = true);
    }

    /// Until there are no more. A reader that went away ends it without an error.
    fn write(&mut self) -> Result<(), String> {
        let mut follower: Option<Follower> = None;
        let mut written = self.said.borrow().seq;
        while let Some(durable) = self.shared.beyond(written) {
            let follower = match &mut follower {
                Some(follower) => follower,
                // Not before: the first record makes it a journal.
                none => none.insert(Follower::open(&self.path, written + 1).map_err(unread)?),
            };
            // Not beyond: by the end somebody else may go on with the run.
            let most = (durable - written).min(BATCH);
            for record in Self::next(follower, most)? {
                match self.line(&record) {
                    Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
                    Err(error) => {
                        return Err(format!(
                            "cannot write to stdout: {error}; the records are in the state file"
                        ));
                    }
                    Ok(()) => written = record.seq,
                }
                self.said.send_modify(|said| said.seq = written);
            }
        }
        Ok(())
    }

    /// A line at a time, so that what a pipe takes is whole lines as far as it can be.
    fn line(&mut self, record: &Record) -> io::Result<()> {
        let mut line = Vec::new();
        write_json(record, false, &mut line)?;
        line.push(b'\n');
        let mut rest = line.as_slice();
        while !rest.is_empty() {
            match self.out.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(taken) => rest = &rest[taken..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Whoever started this process may have made the pipe so.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    thread::sleep(BETWEEN_LOOKS);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn next(follower: &mut Follower, most: u64) -> Result<Vec<Record>, String> {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        for _ in 0..LOOKS {
            let found = follower.more(most).map_err(unread)?;
            if !found.is_empty() {
                return Ok(found);
            }
            thread::sleep(BETWEEN_LOOKS);
        }
        Err("stdout gets no more records: the state file does not hold what was written".to_owned())
    }
}

fn unread(error: JournalError) -> String {
    format!("stdout gets no more records: {error}")
}

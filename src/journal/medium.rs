//! What a journal is written to: a file, or memory; and the faults that tests ask for.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::taken::{self, Taken};
use crate::record::Record;
use crate::sabotage::{Bug, is_planted};

/// The bytes of a journal in memory, as a disk has them. Clones share them, so that a test can look on.
#[derive(Clone, Debug, Default)]
pub struct Memory(Arc<Mutex<Disk>>);

/// What was written, and how much of it survives a power failure.
#[derive(Debug, Default)]
struct Disk {
    bytes: Vec<u8>,
    synced: usize,
}

impl Memory {
    /// A journal with this content, all of it durable.
    pub fn of(bytes: Vec<u8>) -> Self {
        let synced = bytes.len();
        Self(Arc::new(Mutex::new(Disk { bytes, synced })))
    }

    /// A copy of what was written so far.
    pub fn bytes(&self) -> Vec<u8> {
        self.lock().bytes.clone()
    }

    /// The part of what was written that is durable, from byte `from` on.
    pub fn synced_from(&self, from: usize) -> Vec<u8> {
        let disk = self.lock();
        disk.bytes[..disk.synced]
            .get(from..)
            .unwrap_or_default()
            .to_vec()
    }

    /// Length of what was written, and of the durable part.
    pub fn lengths(&self) -> (usize, usize) {
        let disk = self.lock();
        (disk.bytes.len(), disk.synced)
    }

    /// The power fails: of what was not durable, `kept` bytes happen to be on the disk.
    pub fn lose_power(&self, kept: usize) {
        let mut disk = self.lock();
        let length = disk.synced.saturating_add(kept);
        disk.bytes.truncate(length);
        disk.synced = disk.bytes.len();
    }

    pub(super) fn set(&self, bytes: Vec<u8>) {
        let synced = bytes.len();
        *self.lock() = Disk { bytes, synced };
    }

    pub(super) fn truncate(&self, length: usize) {
        let mut disk = self.lock();
        disk.bytes.truncate(length);
        disk.synced = disk.synced.min(length);
    }

    fn sync(&self) {
        if !is_planted(Bug::SkippedFsync) {
            let mut disk = self.lock();
            disk.synced = disk.bytes.len();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Something that goes wrong on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The disk is full after so many more bytes.
    DiskFull {
        /// What still fits; a line that does not is written in part.
        after_bytes: u64,
    },
    /// The process dies when this record is on disk: the rest of its commit is not, and every call from
    /// then on fails.
    KilledAfter {
        /// The last record.
        seq: u64,
    },
    /// The process dies when the file has so many bytes: in the middle of a line, or between the write and
    /// fdatasync where the line ends there.
    KilledAt {
        /// Length of the file.
        byte: u64,
    },
}

/// Where lines go.
#[derive(Debug)]
pub(super) struct Medium {
    to: To,
    good_bytes: u64,
    room: Option<u64>,
    kill_after: Option<u64>,
    kill_at: Option<u64>,
    /// Killed: nothing is put in order afterwards.
    dead: bool,
}

#[derive(Debug)]
enum To {
    File { file: File, synced: bool },
    Memory(Memory),
}

impl Medium {
    pub(super) fn file(file: File, good_bytes: u64, synced: bool) -> Self {
        Self::new(To::File { file, synced }, good_bytes)
    }

    pub(super) fn memory(memory: &Memory, good_bytes: u64) -> Self {
        Self::new(To::Memory(memory.clone()), good_bytes)
    }

    fn new(to: To, good_bytes: u64) -> Self {
        Self {
            to,
            good_bytes,
            room: None,
            kill_after: None,
            kill_at: None,
            dead: false,
        }
    }

    pub(super) fn inject(&mut self, fault: Fault) {
        match fault {
            Fault::DiskFull { after_bytes } => self.room = Some(after_bytes),
            Fault::KilledAfter { seq } => self.kill_after = Some(seq),
            Fault::KilledAt { byte } => self.kill_at = Some(byte),
        }
    }

    /// The records that reach the disk, and the number of the last one where the process dies then.
    pub(super) fn survivors<'r>(&self, records: &'r [Record]) -> (&'r [Record], Option<u64>) {
        let Some(seq) = self.kill_after else {
            return (records, None);
        };
        let count = records.partition_point(|record| record.seq <= seq);
        let killed = records.last().is_some_and(|record| record.seq >= seq);
        (&records[..count], killed.then_some(seq))
    }

    /// Whether the file at `path` is still this one, and as it was left.
    pub(super) fn check(&self, path: &Path) -> Result<(), Taken> {
        match &self.to {
            To::File { file, .. } => taken::check(path, file, self.good_bytes),
            To::Memory(_) => Ok(()),
        }
    }

    /// Writes a line at the end and makes it durable.
    pub(super) fn commit(&mut self, line: &[u8]) -> io::Result<()> {
        let length = line.len() as u64;
        if let Some(byte) = self
            .kill_at
            .filter(|byte| *byte <= self.good_bytes + length)
        {
            let part = usize::try_from(byte.saturating_sub(self.good_bytes)).unwrap_or(line.len());
            self.to.write(&line[..part])?;
            self.dead = true;
            return Err(io::Error::other("killed"));
        }
        let fits = self.room.map_or(length, |room| room.min(length));
        let part = &line[..usize::try_from(fits).unwrap_or(line.len())];
        self.to.write(part)?;
        if fits < length {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.to.sync()?;
        self.room = self.room.map(|room| room - length);
        self.good_bytes += length;
        Ok(())
    }

    /// Takes back what a failed commit may have written; whether that worked.
    pub(super) fn restore(&mut self) -> bool {
        if self.dead {
            return false;
        }
        match &self.to {
            To::File { file, .. } => file.set_len(self.good_bytes).is_ok(),
            To::Memory(memory) => {
                memory.truncate(usize::try_from(self.good_bytes).unwrap_or(usize::MAX));
                true
            }
        }
    }
}

impl To {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::File { file, .. } => file.write_all(bytes),
            Self::Memory(memory) => {
                memory.lock().bytes.extend_from_slice(bytes);
                Ok(())
            }
        }
    }

    fn sync(&self) -> io::Result<()> {
        match self {
            Self::File { file, synced: true } => file.sync_data(),
            Self::File { synced: false, .. } => Ok(()),
            Self::Memory(memory) => {
                memory.sync();
                Ok(())
            }
        }
    }
}

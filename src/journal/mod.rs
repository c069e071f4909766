//! The journal: an append-only file of records that survives what the process does not.
//!
//! One [`Journal::append`] is one commit: one line, one write, one fdatasync, however many records.
//! Nothing may act on a record before `append` has returned. One process at a time holds a journal
//! (the kernel's lock on the file); readers need no lock and stop before a line that is being written.
//! A torn last line is cut off on opening, all other damage is refused: the rules are at [`Records`].
//! Calls block, for milliseconds. Knows what a record's envelope is, and nothing of what it means.
//!
//! `--take-over` is the engine's: it compares the last `attached` record's host with
//! [`Holder::here`], because the kernel's lock may not reach across hosts.

mod error;
mod folds;
mod follow;
mod holder;
mod lines;
mod medium;
mod place;
mod private;
mod taken;
#[cfg(test)]
mod tests;

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufReader};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

pub use error::{ErrorKind, JournalError};
pub use folds::{Fold, Folds};
pub use follow::Follower;
pub use holder::{Holder, peer, running};
pub use lines::{Records, Torn};
pub use medium::{Fault, Memory};
pub use place::{
    Ends, Listed, ends, executed, files, find, home, list, list_in, listed, path_of, resume_line,
};
pub use private::write_private;
pub use taken::Taken;

use crate::record::{Body, Record};
use crate::sabotage::{Bug, is_planted};
use holder::Lock;
use medium::Medium;

/// How much is read at a time.
const CHUNK: usize = 1 << 20;

/// A journal that is read to show it; another process may be writing to it.
pub type Reading = Records<BufReader<File>>;

/// Reads a journal without locking it. The first line is read at once: an error here says that this
/// is no journal that can be read.
pub fn read(path: &Path) -> Result<Reading, JournalError> {
    let file = File::open(path).map_err(|source| JournalError::io(path, "open", source))?;
    Records::begin(path, BufReader::with_capacity(CHUNK, file))
}

/// A journal that this process holds. Dropping it releases the lock.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    // Before the medium: the note beside the file goes while the file is still locked.
    _lock: Option<Lock>,
    medium: Medium,
    line: Vec<u8>,
    next_seq: u64,
    poisoned: Option<String>,
    /// What a planted bug holds back.
    late: Vec<Record>,
}

/// A journal that was opened to go on with it.
#[derive(Debug)]
pub struct Opened {
    /// Ready for the next record.
    pub journal: Journal,
    /// What was cut off: the line of a commit that never ended.
    pub torn: Option<Torn>,
}

impl Journal {
    /// Begins a journal in a new file, mode 0600, whose folders are made (0700) where they are missing.
    /// On return the empty file is locked and durable; the first record must be `opened`.
    pub fn create(path: &Path) -> Result<Self, JournalError> {
        Self::begin(path, true)
    }

    /// As [`Journal::create`], for a rehearsal: nothing is forced to the disk.
    pub fn create_unsynced(path: &Path) -> Result<Self, JournalError> {
        Self::begin(path, false)
    }

    fn begin(path: &Path, synced: bool) -> Result<Self, JournalError> {
        make_folder(path)?;
        let file = new_file(path)?;
        let lock = Lock::take(path, &file)?;
        if synced {
            let cannot = |source| JournalError::io(path, "create", source);
            file.sync_all().map_err(cannot)?;
            sync_folder(path).map_err(cannot)?;
        }
        let medium = Medium::file(file, 0, synced);
        Ok(Self::new(path.to_owned(), Some(lock), medium, 1))
    }

    /// A journal in memory, for a rehearsal.
    pub fn memory() -> Self {
        Self::in_memory(&Memory::default())
    }

    /// Begins a journal in memory that can be read, cut and opened again through the handle.
    pub fn in_memory(memory: &Memory) -> Self {
        memory.set(Vec::new());
        Self::new(PathBuf::from("memory"), None, Medium::memory(memory, 0), 1)
    }

    /// Opens the journal of a run to go on with it: locks it, hands every record to `each` in order, and
    /// cuts off a torn last line.
    pub fn open(path: &Path, each: impl FnMut(Record)) -> Result<Opened, JournalError> {
        let cannot = |source| JournalError::io(path, "open", source);
        let file = OpenOptions::new().read(true).append(true).open(path);
        let file = file.map_err(cannot)?;
        let lock = Lock::take(path, &file)?;
        let reader = BufReader::with_capacity(CHUNK, &file);
        let scan = Scan::of(Records::begin(path, reader)?, each)?;
        if scan.torn.is_some() {
            let cannot = |source| JournalError::io(path, "cut the torn last line off", source);
            file.set_len(scan.good_bytes).map_err(cannot)?;
            file.sync_all().map_err(cannot)?;
        }
        let medium = Medium::file(file, scan.good_bytes, true);
        Ok(Opened {
            journal: Self::new(path.to_owned(), Some(lock), medium, scan.next_seq),
            torn: scan.torn,
        })
    }

    /// As [`Journal::open`], of a journal in memory.
    pub fn open_memory(memory: &Memory, each: impl FnMut(Record)) -> Result<Opened, JournalError> {
        let path = PathBuf::from("memory");
        let bytes = memory.bytes();
        let scan = Scan::of(Records::begin(&path, bytes.as_slice())?, each)?;
        let good = usize::try_from(scan.good_bytes).unwrap_or(usize::MAX);
        memory.truncate(good);
        let medium = Medium::memory(memory, scan.good_bytes);
        Ok(Opened {
            journal: Self::new(path, None, medium, scan.next_seq),
            torn: scan.torn,
        })
    }

    fn new(path: PathBuf, lock: Option<Lock>, medium: Medium, next_seq: u64) -> Self {
        Self {
            path,
            _lock: lock,
            medium,
            line: Vec::new(),
            next_seq,
            poisoned: None,
            late: Vec::new(),
        }
    }

    /// The file; `memory` for one in memory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The number that the next record must have.
    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// Makes something go wrong later, on purpose: for tests and rehearsals.
    pub fn inject(&mut self, fault: Fault) {
        self.medium.inject(fault);
    }

    /// Commits records: on `Ok` all of them are durable, on `Err` none of them may be acted on, and the
    /// journal takes no more. A failed fdatasync is never tried again: the kernel may have dropped the
    /// pages, and a second call would say that all is well.
    pub fn append(&mut self, records: &[Record]) -> Result<(), JournalError> {
        if is_planted(Bug::OutcomeBeforeIntent) {
            let intent = |record: &Record| matches!(record.body, Body::Intent { .. });
            self.late.extend_from_slice(records);
            if self.late.is_empty() || records.iter().any(intent) {
                return Ok(());
            }
            let records = std::mem::take(&mut self.late);
            return self.append_now(&records);
        }
        self.append_now(records)
    }

    fn append_now(&mut self, records: &[Record]) -> Result<(), JournalError> {
        if let Some(earlier) = &self.poisoned {
            let earlier = earlier.clone();
            return Err(self.error(ErrorKind::Poisoned { earlier }));
        }
        self.check(records)?;
        let (records, killed) = self.medium.survivors(records);
        if !records.is_empty() {
            self.commit(records)?;
        }
        match killed {
            Some(after) => Err(self.poison(ErrorKind::Killed { after })),
            None => Ok(()),
        }
    }

    /// Records are numbered without a gap, and `opened` is the first.
    fn check(&self, records: &[Record]) -> Result<(), JournalError> {
        for (expected, record) in (self.next_seq..).zip(records) {
            let opens = matches!(record.body, Body::Opened { .. });
            if record.seq != expected || opens != (expected == 1) {
                let found = record.seq;
                return Err(self.error(ErrorKind::OutOfOrder { expected, found }));
            }
        }
        Ok(())
    }

    fn commit(&mut self, records: &[Record]) -> Result<(), JournalError> {
        if let Err(taken) = self.medium.check(&self.path) {
            return Err(self.poison(ErrorKind::Taken { taken }));
        }
        let written =
            lines::encode(records, &mut self.line).and_then(|()| self.medium.commit(&self.line));
        match written {
            Ok(()) => {
                self.next_seq += records.len() as u64;
                Ok(())
            }
            Err(source) => {
                let restored = self.medium.restore();
                Err(self.poison(ErrorKind::Append { source, restored }))
            }
        }
    }

    fn poison(&mut self, kind: ErrorKind) -> JournalError {
        let error = self.error(kind);
        self.poisoned = Some(error.to_string());
        error
    }

    fn error(&self, kind: ErrorKind) -> JournalError {
        JournalError::new(&self.path, kind)
    }
}

/// What is known of a journal after all of it was read.
struct Scan {
    torn: Option<Torn>,
    good_bytes: u64,
    next_seq: u64,
}

impl Scan {
    fn of<R: io::BufRead>(
        mut records: Records<R>,
        mut each: impl FnMut(Record),
    ) -> Result<Self, JournalError> {
        for record in records.by_ref() {
            each(record?);
        }
        Ok(Self {
            torn: records.torn(),
            good_bytes: records.good_bytes(),
            next_seq: records.next_seq(),
        })
    }
}

/// Makes the folders of `path`, and makes them durable.
fn make_folder(path: &Path) -> Result<(), JournalError> {
    let folder = folder_of(path);
    if folder.is_dir() {
        return Ok(());
    }
    let missing = folder.ancestors().take_while(|one| !one.is_dir()).count();
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|source| JournalError::io(folder, "create", source))?;
    for one in folder.ancestors().take(missing) {
        sync_folder(one).map_err(|source| JournalError::io(one, "create", source))?;
    }
    Ok(())
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Makes the name of `path` durable.
fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder_of(path))?.sync_all()
}

fn new_file(path: &Path) -> Result<File, JournalError> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create_new(true);
    options.mode(0o600);
    options.open(path).map_err(|source| {
        if fs::symlink_metadata(path).is_err() {
            return JournalError::io(path, "create", source);
        }
        let run = read(path).ok().map(|records| records.run().clone());
        JournalError::new(path, ErrorKind::Exists { run })
    })
}

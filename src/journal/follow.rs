//! A journal that is read while it grows: the file is the buffer between a run and whoever watches it.
//!
//! A follower holds no lock, sends nothing to the run, and keeps in memory one line and no more: however slow it is,
//! the run does not know of it. A file that was moved, removed, replaced or cut meanwhile ends it with an error. Calls
//! block; it does not wait for anything by itself.

use std::fs::{self, File};
use std::io::BufReader;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::error::{ErrorKind, JournalError};
use super::taken::Taken;
use super::{CHUNK, Reading, Records};
use crate::record::{Record, RunId};

/// Reads a journal's records in order, each once, as far as they are written.
#[derive(Debug)]
pub struct Follower {
    path: PathBuf,
    /// The same open file as `records` reads: what its name means now is compared with it.
    file: File,
    records: Reading,
    from: u64,
    failed: bool,
}

impl Follower {
    /// Begins at record `from` (0 and 1 are the first).
    ///
    /// # Errors
    /// Where there is no journal that can be read here.
    pub fn open(path: &Path, from: u64) -> Result<Self, JournalError> {
        let cannot = |source| JournalError::io(path, "open", source);
        let file = File::open(path).map_err(cannot)?;
        let reader = BufReader::with_capacity(CHUNK, file.try_clone().map_err(cannot)?);
        Ok(Self {
            path: path.to_owned(),
            file,
            records: Records::begin(path, reader)?,
            from,
            failed: false,
        })
    }

    /// The run.
    pub fn run(&self) -> &RunId {
        self.records.run()
    }

    /// What is there by now, `most` records at most; nothing where all of it was handed out.
    ///
    /// # Errors
    /// Damage, a file that cannot be read, or one that is no longer where it was. After an error there is no more.
    pub fn more(&mut self, most: usize) -> Result<Vec<Record>, JournalError> {
        if self.failed {
            return Ok(Vec::new());
        }
        let taken = self.take(most);
        self.failed = taken.is_err();
        taken
    }

    fn take(&mut self, most: usize) -> Result<Vec<Record>, JournalError> {
        let mut found = Vec::new();
        while found.len() < most {
            match self.records.next() {
                Some(record) => {
                    let record = record?;
                    if record.seq >= self.from {
                        found.push(record);
                    }
                }
                None => {
                    self.still_there()?;
                    self.records.go_on()?;
                    break;
                }
            }
        }
        Ok(found)
    }

    /// Whether the path still names the file that is read, and all of what was read is still in it.
    fn still_there(&self) -> Result<(), JournalError> {
        let taken = |taken| Err(JournalError::new(&self.path, ErrorKind::Taken { taken }));
        let cannot = |source| JournalError::io(&self.path, "read", source);
        let open = self.file.metadata().map_err(cannot)?;
        if open.nlink() == 0 {
            return taken(Taken::Removed { saved: None });
        }
        match fs::metadata(&self.path) {
            Ok(named) if (named.dev(), named.ino()) == (open.dev(), open.ino()) => {}
            _ => return taken(Taken::Moved { to: None }),
        }
        let written = self.records.good_bytes();
        if open.len() < written {
            let left = open.len();
            return taken(Taken::Cut { left, written });
        }
        debug_assert!(!self.records.has_pending(), "the end was reached");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::io::Write as _;

    use super::super::Journal;
    use super::*;
    use crate::record::{Body, FORMAT};

    fn record(seq: u64) -> Record {
        let body = match seq {
            1 => Body::Opened {
                format: FORMAT,
                run: RunId("rb-1".to_owned()),
                plan: Box::default(),
                tool: "test".to_owned(),
                dry: false,
                rehearsal: false,
                saved: None,
            },
            _ => Body::Parked {
                reason: "x".repeat(usize::try_from(seq).unwrap_or(1)),
            },
        };
        Record {
            seq,
            at: "2026-01-01T00:00:00Z".parse().expect("a timestamp"),
            body,
        }
    }

    fn numbers(records: &[Record]) -> Vec<u64> {
        records.iter().map(|record| record.seq).collect()
    }

    #[test]
    fn what_is_written_later_comes_later_and_each_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.jsonl");
        let mut journal = Journal::create(&path).expect("a journal");
        journal.append(&[record(1), record(2)]).expect("written");
        let mut follower = Follower::open(&path, 2).expect("a journal");
        assert_eq!(numbers(&follower.more(10).expect("read")), [2]);
        assert_eq!(numbers(&follower.more(10).expect("read")), [0_u64; 0]);
        journal
            .append(&[record(3), record(4), record(5)])
            .expect("written");
        assert_eq!(numbers(&follower.more(2).expect("read")), [3, 4]);
        assert_eq!(numbers(&follower.more(2).expect("read")), [5]);
        drop(journal);
        let opened = Journal::open(&path, |_| {}).expect("opened again");
        let mut journal = opened.journal;
        journal.append(&[record(6)]).expect("written");
        assert_eq!(numbers(&follower.more(2).expect("read")), [6]);
    }

    #[test]
    fn half_a_line_is_waited_for_also_when_it_is_cut_off_and_written_anew() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.jsonl");
        let mut journal = Journal::create(&path).expect("a journal");
        journal.append(&[record(1)]).expect("written");
        drop(journal);
        let mut follower = Follower::open(&path, 0).expect("a journal");
        assert_eq!(numbers(&follower.more(9).expect("read")), [1]);
        let mut file = OpenOptions::new().append(true).open(&path).expect("a file");
        file.write_all(b"{\"crc\":\"0000").expect("written");
        assert!(follower.more(9).expect("no error").is_empty());
        assert!(follower.more(9).expect("no error").is_empty());
        let mut journal = Journal::open(&path, |_| {}).expect("cut off").journal;
        assert!(follower.more(9).expect("no error").is_empty());
        journal.append(&[record(2), record(3)]).expect("written");
        assert_eq!(numbers(&follower.more(9).expect("read")), [2, 3]);
    }

    #[test]
    fn a_file_that_is_moved_removed_or_replaced_ends_it() {
        let ends = |change: &dyn Fn(&Path)| {
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("a.jsonl");
            let mut journal = Journal::create(&path).expect("a journal");
            journal.append(&[record(1), record(2)]).expect("written");
            let mut follower = Follower::open(&path, 0).expect("a journal");
            assert_eq!(follower.more(9).expect("read").len(), 2);
            change(&path);
            let error = follower.more(9).expect_err("it is gone").to_string();
            assert!(follower.more(9).expect("over").is_empty());
            error.replace(&path.display().to_string(), "PATH")
        };
        let removed = ends(&|path| fs::remove_file(path).expect("removed"));
        assert_eq!(
            removed,
            "cannot go on with the journal PATH: the file was removed"
        );
        let moved = ends(&|path| fs::rename(path, path.with_extension("old")).expect("moved"));
        assert_eq!(
            moved,
            "cannot go on with the journal PATH: the file was moved away"
        );
        let replaced = ends(&|path| {
            let other = path.with_extension("new");
            fs::write(&other, "x").expect("written");
            fs::rename(&other, path).expect("moved");
        });
        assert!(replaced.ends_with("the file was removed"), "{replaced}");
        let cut = ends(&|path| {
            let file = OpenOptions::new().write(true).open(path).expect("a file");
            file.set_len(5).expect("cut");
        });
        assert!(cut.contains("5 of "), "{cut}");
    }
}

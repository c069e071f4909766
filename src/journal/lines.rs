//! The lines of a journal: how records become bytes, and how bytes become records or an error.
//!
//! A line is `{"crc":"<8 hex digits>","records":[…]}` and a newline; the checksum is the CRC-32 of the
//! bytes of the array, brackets included. The frame is compared byte by byte rather than parsed, so
//! that no change to any byte of a line goes unnoticed, and a line is parsed once.
//! Streams: memory does not grow with the file. Knows no locks and does not change a file.

use std::io::{self, BufRead, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::vec;

use serde::Deserialize;

use super::error::{ErrorKind, JournalError};
use crate::record::{Body, FORMAT, Format, Record, RunId};

const BEFORE_CRC: &[u8] = b"{\"crc\":\"";
const AFTER_CRC: &[u8] = b"\",\"records\":";
const CRC_DIGITS: usize = 8;
const END: &[u8] = b"}\n";
const HEAD: usize = BEFORE_CRC.len() + CRC_DIGITS + AFTER_CRC.len();

/// Writes `records` as one line into `line`, which is cleared first.
pub(super) fn encode(records: &[Record], line: &mut Vec<u8>) -> io::Result<()> {
    line.clear();
    line.extend_from_slice(BEFORE_CRC);
    line.extend_from_slice(&[b'0'; CRC_DIGITS]);
    line.extend_from_slice(AFTER_CRC);
    serde_json::to_writer(&mut *line, records)?;
    let crc = format!("{:08x}", crc32fast::hash(&line[HEAD..]));
    line[BEFORE_CRC.len()..BEFORE_CRC.len() + CRC_DIGITS].copy_from_slice(crc.as_bytes());
    line.extend_from_slice(END);
    Ok(())
}

/// The records' bytes inside a whole line, or why it is none.
fn unframe(line: &[u8]) -> Result<&[u8], &'static str> {
    const NO_FRAME: &str = "it is not framed as a line of a journal";
    let rest = line.strip_prefix(BEFORE_CRC).ok_or(NO_FRAME)?;
    let (crc, rest) = rest.split_at_checked(CRC_DIGITS).ok_or(NO_FRAME)?;
    let rest = rest.strip_prefix(AFTER_CRC).ok_or(NO_FRAME)?;
    let records = rest.strip_suffix(END).ok_or(NO_FRAME)?;
    let wanted = format!("{:08x}", crc32fast::hash(records));
    if crc != wanted.as_bytes() {
        return Err("its checksum does not match");
    }
    Ok(records)
}

/// The last record of a whole line; none where anything is wrong with it.
pub(super) fn last_record(line: &[u8]) -> Option<Record> {
    let records: Vec<Record> = serde_json::from_slice(unframe(line).ok()?).ok()?;
    records.into_iter().next_back()
}

/// What was cut off, or is to be: the last line of a write that never ended. Nothing acts on a line
/// before the disk has it, so nothing that happened is lost with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Torn {
    /// Line, from 1.
    pub line: u64,
    /// Where it begins, in bytes: the length of what is good.
    pub offset: u64,
    /// How much of it there was.
    pub bytes: u64,
}

/// Only so much of a first record as says whether the rest can be read.
#[derive(Deserialize)]
struct Peek {
    body: PeekBody,
}

#[derive(Deserialize)]
struct PeekBody {
    kind: String,
    format: Option<Format>,
}

/// The records of a journal, one after the other, checked. It ends at the end of the file, before a
/// torn last line (see [`Records::torn`]), or with the first error.
///
/// A last line is *torn* when it has no newline, or when its check fails and it holds a NUL byte: after
/// a power cut a file system may show blocks that were never written, as zeros, before later ones that
/// were; JSON never holds a NUL. A whole last line whose check fails otherwise was changed after it
/// was written, and may have been acted on: that is damage, and is refused like any other.
#[derive(Debug)]
pub struct Records<R> {
    from: R,
    path: PathBuf,
    line: Vec<u8>,
    pending: vec::IntoIter<Record>,
    run: Option<RunId>,
    number: u64,
    offset: u64,
    next_seq: u64,
    torn: Option<Torn>,
    over: bool,
}

impl<R: BufRead> Records<R> {
    /// Reads the first line: whether this is a journal, of which run, and one that can be read here.
    pub(super) fn begin(path: &Path, from: R) -> Result<Self, JournalError> {
        let mut records = Self {
            from,
            path: path.to_owned(),
            line: Vec::new(),
            pending: Vec::new().into_iter(),
            run: None,
            number: 0,
            offset: 0,
            next_seq: 1,
            torn: None,
            over: false,
        };
        records.advance()?;
        if records.run.is_none() {
            return Err(records.error(ErrorKind::NoRecords));
        }
        Ok(records)
    }

    /// The run, from the first record.
    pub fn run(&self) -> &RunId {
        self.run
            .as_ref()
            .unwrap_or_else(|| unreachable!("`begin` found it"))
    }

    /// A torn last line, once the end is reached.
    pub fn torn(&self) -> Option<Torn> {
        self.torn
    }

    /// Bytes of whole, good lines read so far.
    pub fn good_bytes(&self) -> u64 {
        self.offset
    }

    /// The number that the next record must have.
    pub(super) fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// Reads a line into `pending`; at the end sets `over`.
    fn advance(&mut self) -> Result<(), JournalError> {
        self.line.clear();
        let read = self.from.read_until(b'\n', &mut self.line);
        let bytes = read.map_err(|source| self.io(source))? as u64;
        if bytes == 0 {
            self.over = true;
            return Ok(());
        }
        self.number += 1;
        let line = std::mem::take(&mut self.line);
        let outcome = self.take(&line, bytes);
        self.line = line;
        outcome
    }

    fn take(&mut self, line: &[u8], bytes: u64) -> Result<(), JournalError> {
        if !line.ends_with(b"\n") {
            return self.tear(line, bytes);
        }
        let records = match unframe(line) {
            Ok(records) => records,
            Err(_) if line.contains(&0) && self.at_end()? => return self.tear(line, bytes),
            Err(_) if self.number == 1 && !line.starts_with(BEFORE_CRC) => {
                return Err(self.error(ErrorKind::Foreign));
            }
            Err(reason) => return Err(self.damaged(reason.to_owned())),
        };
        if self.number == 1 {
            self.check_format(records)?;
        }
        let records: Vec<Record> = serde_json::from_slice(records).map_err(|error| {
            self.error(ErrorKind::Unknown {
                line: self.number,
                offset: self.offset,
                reason: error.to_string(),
            })
        })?;
        self.check_sequence(&records)?;
        self.pending = records.into_iter();
        self.offset += bytes;
        Ok(())
    }

    /// The last line is torn; but a file that never was a journal is not one with a torn line.
    fn tear(&mut self, line: &[u8], bytes: u64) -> Result<(), JournalError> {
        let compared = line.len().min(BEFORE_CRC.len());
        let ours = line[..compared] == BEFORE_CRC[..compared] || line.iter().all(|b| *b == 0);
        if self.number == 1 && !ours {
            return Err(self.error(ErrorKind::Foreign));
        }
        self.torn = Some(Torn {
            line: self.number,
            offset: self.offset,
            bytes,
        });
        self.over = true;
        Ok(())
    }

    fn at_end(&mut self) -> Result<bool, JournalError> {
        match self.from.fill_buf() {
            Ok(rest) => Ok(rest.is_empty()),
            Err(source) => Err(self.io(source)),
        }
    }

    /// Before a first line is read as this version's records: does it say that they are?
    fn check_format(&self, records: &[u8]) -> Result<(), JournalError> {
        let peeks: Vec<Peek> = serde_json::from_slice(records).unwrap_or_default();
        let format = peeks
            .first()
            .filter(|peek| peek.body.kind == "opened")
            .and_then(|peek| peek.body.format);
        match format {
            Some(found) if found.major != FORMAT.major => {
                Err(self.error(ErrorKind::OtherFormat { found }))
            }
            Some(_) => Ok(()),
            None => Err(self.damaged("it does not begin with `opened`".to_owned())),
        }
    }

    fn check_sequence(&mut self, records: &[Record]) -> Result<(), JournalError> {
        for record in records {
            if record.seq != self.next_seq {
                return Err(self.damaged(format!(
                    "record {} stands where record {} belongs",
                    record.seq, self.next_seq
                )));
            }
            if let Body::Opened { run, .. } = &record.body
                && self.run.is_none()
            {
                self.run = Some(run.clone());
            }
            self.next_seq += 1;
        }
        Ok(())
    }

    fn damaged(&self, reason: String) -> JournalError {
        self.error(ErrorKind::Damaged {
            line: self.number,
            offset: self.offset,
            reason,
        })
    }

    fn io(&self, source: io::Error) -> JournalError {
        self.error(ErrorKind::Io {
            doing: "read",
            source,
        })
    }

    fn error(&self, kind: ErrorKind) -> JournalError {
        JournalError::new(&self.path, kind)
    }
}

impl<R: BufRead + Seek> Records<R> {
    /// Goes on after the end, with what was written since: a torn last line is read again from its beginning. After
    /// an error there is nothing to go on with.
    pub(super) fn go_on(&mut self) -> Result<(), JournalError> {
        if let Some(torn) = self.torn.take() {
            let back = self.from.seek(SeekFrom::Start(torn.offset));
            back.map_err(|source| self.io(source))?;
            self.number -= 1;
        }
        self.over = false;
        Ok(())
    }

    /// Whether the next record is already in memory.
    pub(super) fn has_pending(&self) -> bool {
        self.pending.len() > 0
    }
}

impl<R: BufRead> Iterator for Records<R> {
    type Item = Result<Record, JournalError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(record) = self.pending.next() {
                return Some(Ok(record));
            }
            if self.over {
                return None;
            }
            if let Err(error) = self.advance() {
                self.over = true;
                return Some(Err(error));
            }
        }
    }
}

//! What can be wrong with a journal: one type, with what to do about it and the exit code.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::holder::Holder;
use super::place;
use super::taken::Taken;
use crate::record::{FORMAT, Format, RunId};

/// An error about one journal. `Display` says what is wrong, [`JournalError::hint`] what to do.
#[derive(Debug)]
pub struct JournalError {
    /// The file (or, where a run was looked for, the folder).
    pub path: PathBuf,
    /// What is wrong.
    pub kind: ErrorKind,
}

/// What is wrong.
#[derive(Debug)]
pub enum ErrorKind {
    /// A new run was to be written where a file is.
    Exists {
        /// The run in it, where it is a journal.
        run: Option<RunId>,
    },
    /// Somebody runs it now.
    Locked {
        /// Who, where that could be read.
        holder: Option<Holder>,
    },
    /// No run has this id, prefix or path.
    NoSuchRun {
        /// What was asked for.
        wanted: String,
    },
    /// Several runs begin so.
    Ambiguous {
        /// What was asked for.
        wanted: String,
        /// Their ids.
        candidates: Vec<String>,
    },
    /// Neither `XDG_STATE_HOME` nor `HOME` says where journals are.
    NoHome,
    /// Empty, or nothing but a torn first line: the run never began.
    NoRecords,
    /// No journal.
    Foreign,
    /// Its major format is another.
    OtherFormat {
        /// What it says.
        found: Format,
    },
    /// The line is as it was written, but holds what this version does not know.
    Unknown {
        /// From 1.
        line: u64,
        /// Of the line, in bytes.
        offset: u64,
        /// What could not be read.
        reason: String,
    },
    /// It is not as it was written.
    Damaged {
        /// From 1.
        line: u64,
        /// Of the line, in bytes.
        offset: u64,
        /// What shows it.
        reason: String,
    },
    /// A system call failed while nothing was being appended.
    Io {
        /// A verb.
        doing: &'static str,
        /// Why.
        source: io::Error,
    },
    /// A commit failed; this journal takes no more.
    Append {
        /// Why.
        source: io::Error,
        /// Whether the beginning of the line could be taken back.
        restored: bool,
    },
    /// Somebody took it away or changed it; this journal takes no more.
    Taken {
        /// What was done.
        taken: Taken,
    },
    /// An earlier commit failed.
    Poisoned {
        /// What it said.
        earlier: String,
    },
    /// The engine numbered its records wrongly: a bug.
    OutOfOrder {
        /// What belonged here.
        expected: u64,
        /// What came.
        found: u64,
    },
    /// A fault that was asked for: the process is taken to have died after this record.
    Killed {
        /// The last record on disk.
        after: u64,
    },
}

impl JournalError {
    pub(super) fn new(path: &Path, kind: ErrorKind) -> Self {
        Self {
            path: path.to_owned(),
            kind,
        }
    }

    pub(super) fn io(path: &Path, doing: &'static str, source: io::Error) -> Self {
        Self::new(path, ErrorKind::Io { doing, source })
    }

    /// The process's exit code: 4 where something was refused, 2 where the request names nothing,
    /// 1 where a run can be resumed, 70 for a bug.
    pub fn exit_code(&self) -> u8 {
        match self.kind {
            ErrorKind::Exists { .. }
            | ErrorKind::Locked { .. }
            | ErrorKind::NoRecords
            | ErrorKind::Foreign
            | ErrorKind::OtherFormat { .. }
            | ErrorKind::Unknown { .. }
            | ErrorKind::Damaged { .. } => 4,
            ErrorKind::NoSuchRun { .. } | ErrorKind::Ambiguous { .. } | ErrorKind::NoHome => 2,
            ErrorKind::Io { .. }
            | ErrorKind::Append { .. }
            | ErrorKind::Taken { .. }
            | ErrorKind::Poisoned { .. }
            | ErrorKind::Killed { .. } => 1,
            ErrorKind::OutOfOrder { .. } => 70,
        }
    }

    /// What to do, a sentence or two.
    pub fn hint(&self) -> String {
        let path = self.path.display();
        match &self.kind {
            ErrorKind::Exists { run: Some(run) } => {
                format!("go on with it: {}", place::resume_line(&self.path, run))
            }
            ErrorKind::Exists { run: None } => "choose another --state FILE".to_owned(),
            ErrorKind::Locked { .. } => {
                "wait until it ends, or end that process; `runbook show` may look on".to_owned()
            }
            ErrorKind::NoSuchRun { .. } => "`runbook runs` lists the runs".to_owned(),
            ErrorKind::Ambiguous { candidates, .. } => {
                format!("give more of the id: {}", candidates.join(", "))
            }
            ErrorKind::NoHome => "set HOME or XDG_STATE_HOME, or give --state FILE".to_owned(),
            ErrorKind::NoRecords => {
                format!(
                    "nothing was done by that run: remove {path} and start anew with `runbook exec`"
                )
            }
            ErrorKind::Foreign => {
                "give a run's id (`runbook runs` lists them), or the path of its state file"
                    .to_owned()
            }
            ErrorKind::OtherFormat { found } if found.major < FORMAT.major => {
                "use the version of runbook that began the run".to_owned()
            }
            ErrorKind::OtherFormat { .. } | ErrorKind::Unknown { .. } => {
                "use the newest version of runbook that wrote to it".to_owned()
            }
            ErrorKind::Damaged { line, .. } => format!(
                "restore {path} from a copy; line {line} and what follows cannot be trusted, and a run \
                 that went on from before it could do again what was already done"
            ),
            ErrorKind::Io {
                doing: "create", ..
            } => "set XDG_STATE_HOME to a folder that you may write to, or give --state FILE"
                .to_owned(),
            ErrorKind::Io { .. } => "check that the path can be read and written by you".to_owned(),
            ErrorKind::Append { .. } | ErrorKind::Poisoned { .. } => {
                format!(
                    "make room or repair the disk, then: runbook resume {}",
                    place::quoted(&self.path)
                )
            }
            ErrorKind::Taken { taken } => {
                let resume = format!("runbook resume {}", place::quoted(&self.path));
                taken.hint(&self.path, &resume)
            }
            ErrorKind::OutOfOrder { .. } => "this is a bug in runbook; please report it".to_owned(),
            ErrorKind::Killed { .. } => format!("runbook resume {}", place::quoted(&self.path)),
        }
    }
}

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.kind {
            ErrorKind::Exists { run: Some(run) } => {
                write!(f, "{path} already holds the journal of run {run}")
            }
            ErrorKind::Exists { run: None } => {
                write!(f, "{path} exists and is not a journal that can be read")
            }
            ErrorKind::Locked { holder: Some(who) } => write!(f, "{path} is in use by {who}"),
            ErrorKind::Locked { holder: None } => write!(f, "{path} is in use by another process"),
            ErrorKind::NoSuchRun { wanted } => write!(f, "no run `{wanted}` in {path}"),
            ErrorKind::Ambiguous { wanted, candidates } => {
                write!(f, "{} runs begin with `{wanted}`", candidates.len())
            }
            ErrorKind::NoHome => write!(f, "there is no folder for state files"),
            ErrorKind::NoRecords => write!(f, "{path} holds no record: the run never began"),
            ErrorKind::Foreign => write!(f, "{path} is not the state file of a run"),
            ErrorKind::OtherFormat { found } => write!(
                f,
                "{path} has journal format {}.{}; this version reads {}.x",
                found.major, found.minor, FORMAT.major
            ),
            ErrorKind::Unknown {
                line,
                offset,
                reason,
            } => write!(
                f,
                "{path} holds what this version of runbook does not know: line {line}, byte {offset}: \
                 {reason}"
            ),
            ErrorKind::Damaged {
                line,
                offset,
                reason,
            } => write!(f, "{path} is damaged: line {line}, byte {offset}: {reason}"),
            ErrorKind::Io { doing, source } => write!(f, "cannot {doing} {path}: {source}"),
            ErrorKind::Append { source, restored } => {
                write!(f, "cannot write to the journal {path}: {source}")?;
                if *restored {
                    return Ok(());
                }
                f.write_str("; the line it was writing will be cut off by resume")
            }
            ErrorKind::Taken { taken } => {
                write!(f, "cannot go on with the journal {path}: {taken}")
            }
            ErrorKind::Poisoned { earlier } => write!(f, "the journal was given up: {earlier}"),
            ErrorKind::OutOfOrder { expected, found } => {
                write!(
                    f,
                    "record {found} was to be written where {expected} belongs"
                )
            }
            ErrorKind::Killed { after } => write!(f, "killed after record {after}"),
        }
    }
}

impl std::error::Error for JournalError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.kind {
            ErrorKind::Io { source, .. } | ErrorKind::Append { source, .. } => Some(source),
            _ => None,
        }
    }
}

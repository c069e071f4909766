//! Whether a journal is still where it was put, and as this process left it.
//!
//! What is written to a file that somebody moved, removed or changed is found by nobody: a run must not
//! go on with it. Looked at before each commit, so before each write to the service.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::{fmt, process};

use super::make_folder;

/// What was done to a journal while a process held it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// No name of it is left.
    Removed {
        /// Where a copy of all of it was put.
        saved: Option<PathBuf>,
    },
    /// It has another name now.
    Moved {
        /// Which, where the system says it.
        to: Option<PathBuf>,
    },
    /// Its path cannot be looked at any more.
    Unreachable {
        /// Why.
        reason: String,
    },
    /// It is shorter than what was written.
    Cut {
        /// Bytes that are left.
        left: u64,
        /// Bytes that were written.
        written: u64,
    },
    /// It is longer than what was written.
    Grown,
}

impl Taken {
    /// What to do.
    pub(super) fn hint(&self, path: &Path, resume: &str) -> String {
        let path = path.display();
        match self {
            Self::Removed { saved: Some(saved) } if *saved == *path.to_string() => {
                resume.to_owned()
            }
            Self::Removed { saved: Some(saved) } => {
                format!("mv {} {path}, then: {resume}", saved.display())
            }
            Self::Removed { saved: None } => format!(
                "restore {path} from a copy, or begin anew with `runbook exec`: each Workflow is looked at \
                 before anything is done to it"
            ),
            Self::Moved { to: Some(to) } => format!("mv {} {path}, then: {resume}", to.display()),
            Self::Moved { to: None } => format!("move it back to {path}, then: {resume}"),
            Self::Unreachable { .. } => format!("make {path} reachable again, then: {resume}"),
            Self::Cut { .. } | Self::Grown => format!(
                "restore {path} from a copy; a run that went on from what is left could do again what was \
                 already done"
            ),
        }
    }
}

impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Removed { saved: None } => f.write_str("the file was removed"),
            Self::Removed { saved: Some(saved) } => {
                write!(
                    f,
                    "the file was removed; all that it held was put into {}",
                    saved.display()
                )
            }
            Self::Moved { to: None } => f.write_str("the file was moved away"),
            Self::Moved { to: Some(to) } => write!(f, "the file was moved to {}", to.display()),
            Self::Unreachable { reason } => write!(f, "its path cannot be read any more: {reason}"),
            Self::Cut { left, written } => {
                write!(
                    f,
                    "somebody cut the file: {left} of {written} bytes are left"
                )
            }
            Self::Grown => f.write_str("somebody else wrote to the file"),
        }
    }
}

/// Looks at the open file and at what its path names now. A device or a pipe is left alone.
pub(super) fn check(path: &Path, file: &File, written: u64) -> Result<(), Taken> {
    let unreachable = |error: io::Error| Taken::Unreachable {
        reason: error.to_string(),
    };
    let open = file.metadata().map_err(unreachable)?;
    if !open.is_file() {
        return Ok(());
    }
    if open.nlink() == 0 {
        return Err(Taken::Removed {
            saved: save(path, file, written),
        });
    }
    match fs::metadata(path) {
        Ok(named) if (named.dev(), named.ino()) == (open.dev(), open.ino()) => {}
        Err(error)
            if !matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Err(unreachable(error));
        }
        Ok(_) | Err(_) => return Err(Taken::Moved { to: name_now(file) }),
    }
    match open.len() {
        left if left < written => {
            spoil(file);
            Err(Taken::Cut { left, written })
        }
        length if length > written => Err(Taken::Grown),
        _ => Ok(()),
    }
}

/// Linux tells the name of an open file.
fn name_now(file: &File) -> Option<PathBuf> {
    use std::os::fd::AsRawFd;
    let link = format!("/proc/{}/fd/{}", process::id(), file.as_raw_fd());
    fs::read_link(link).ok().filter(|name| name.is_absolute())
}

/// Puts a copy of a removed file back where it was; beside it, where something else is there by now.
fn save(path: &Path, file: &File, written: u64) -> Option<PathBuf> {
    // The folder may be gone, too.
    make_folder(path).ok()?;
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".saved-{}", process::id()));
    let places = [path.to_owned(), PathBuf::from(beside)];
    places
        .into_iter()
        .find(|to| copy(file, written, to).is_ok())
}

fn copy(mut from: &File, length: u64, to: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut copy = options.write(true).create_new(true).mode(0o600).open(to)?;
    let copied = from
        .seek(SeekFrom::Start(0))
        .and_then(|_| io::copy(&mut from.take(length), &mut copy))
        .and_then(|copied| copy.sync_all().map(|()| copied));
    match copied {
        Ok(copied) if copied == length => Ok(()),
        Ok(_) | Err(_) => {
            let _ = fs::remove_file(to);
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    }
}

/// What was cut between two lines looks whole: one that is no journal's makes `resume` refuse it.
fn spoil(mut file: &File) {
    let line = "\nthis journal was cut while a run was writing to it\n";
    // Where this fails, the error that is told says it all the same.
    let _ = file.write_all(line.as_bytes());
}

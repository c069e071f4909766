//! Who runs a journal. The lock itself is the kernel's, on the journal file, and ends with the
//! process; `<journal>.lock` beside it only says whose it is, so that a stale one harms nobody.
//! A lock on the journal itself also holds when the file is reached by another name.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;
use std::{env, fmt, process};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::error::{ErrorKind, JournalError};
use crate::record::{Account, Through, Witness};

/// A process that runs a journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Host name.
    pub host: String,
    /// Process id there.
    pub pid: u32,
    /// User name: `$USER`, else the name in `/etc/passwd`, else `uid N`.
    pub user: String,
    /// User id; none in the note of an older version of this tool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// When it took the lock.
    pub since: Timestamp,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            host,
            pid,
            user,
            since,
            ..
        } = self;
        write!(f, "{user} on {host} (process {pid}, since {since:.0})")
    }
}

impl Holder {
    /// This process.
    pub fn here() -> Self {
        Self {
            host: host(),
            pid: process::id(),
            user: user(),
            uid: Some(uid()),
            since: Timestamp::now(),
        }
    }

    /// The user of the process.
    pub fn account(&self) -> Account {
        Account {
            name: self.user.clone(),
            uid: self.uid,
        }
    }

    /// The user of the process, as one who answers through something.
    pub fn witness(&self, through: Through) -> Witness {
        Witness::local(&self.account(), &self.host, through)
    }
}

/// The user `uid` of this machine at the other end of a socket; the name is that of `/etc/passwd`, else `uid N`.
pub fn peer(uid: u32) -> Witness {
    let account = Account {
        name: account_name(uid),
        uid: Some(uid),
    };
    Witness::local(&account, &host(), Through::Socket)
}

fn user_name(passwd: &str, uid: u32) -> Option<String> {
    let wanted = uid.to_string();
    let mut users = passwd.lines().map(|line| line.split(':'));
    users.find_map(|mut fields| {
        let name = fields.next()?;
        (fields.nth(1)? == wanted && !name.is_empty()).then(|| name.to_owned())
    })
}

/// The name of this host, or `unknown`.
#[allow(
    unsafe_code,
    reason = "std has no host name; the buffer is ours and zeroed"
)]
fn host() -> String {
    let mut buffer = [0_u8; 256];
    // SAFETY: the call writes at most `len` bytes into a buffer that is one byte longer.
    let status = unsafe { libc::gethostname(buffer.as_mut_ptr().cast(), buffer.len() - 1) };
    let name = buffer.split(|byte| *byte == 0).next().unwrap_or_default();
    if status != 0 || name.is_empty() {
        return "unknown".to_owned();
    }
    String::from_utf8_lossy(name).into_owned()
}

#[allow(unsafe_code, reason = "std has no user id; the call cannot fail")]
fn uid() -> u32 {
    // SAFETY: takes nothing, touches nothing.
    unsafe { libc::geteuid() }
}

fn user() -> String {
    let named = |name| env::var(name).ok().filter(|value| !value.is_empty());
    named("USER")
        .or_else(|| named("LOGNAME"))
        .unwrap_or_else(|| account_name(uid()))
}

/// As `/etc/passwd` has it, else `uid N`.
fn account_name(uid: u32) -> String {
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    user_name(&passwd, uid).unwrap_or_else(|| format!("uid {uid}"))
}

/// The lock on a journal file, for as long as the value (or the process) lives.
#[derive(Debug)]
pub(super) struct Lock {
    note: PathBuf,
}

impl Lock {
    /// Locks `file`, which is open at `path`, and notes the holder.
    pub(super) fn take(path: &Path, file: &File) -> Result<Self, JournalError> {
        if !try_lock(file).map_err(|source| JournalError::io(path, "lock", source))? {
            let holder = noted(path);
            return Err(JournalError::new(path, ErrorKind::Locked { holder }));
        }
        let note = note_path(path);
        write_note(&note).map_err(|source| JournalError::io(&note, "write", source))?;
        Ok(Self { note })
    }
}

impl Drop for Lock {
    /// The note goes before the lock does (the file is closed after this), so it is still ours.
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.note);
    }
}

/// A few tries: [`running`] holds a shared lock for an instant.
fn try_lock(file: &File) -> io::Result<bool> {
    for _ in 0..5 {
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(10)),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Ok(false)
}

/// Who runs the journal at `path` now: none, somebody unknown, or a holder.
pub fn running(path: &Path) -> Option<Option<Holder>> {
    let file = File::open(path).ok()?;
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => Some(noted(path)),
        Ok(()) | Err(TryLockError::Error(_)) => None,
    }
}

fn noted(path: &Path) -> Option<Holder> {
    serde_json::from_slice(&fs::read(note_path(path)).ok()?).ok()
}

fn note_path(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".lock");
    PathBuf::from(name)
}

fn write_note(note: &Path) -> io::Result<()> {
    let mut text = serde_json::to_vec(&Holder::here())?;
    text.push(b'\n');
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(note)?;
    file.write_all(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_users_name_is_that_of_the_password_file() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\n# a comment\nalice:x:1000:100::/:/bin/sh\n";
        assert_eq!(user_name(passwd, 1000).as_deref(), Some("alice"));
        assert_eq!(user_name(passwd, 100), None);
        assert_eq!(user_name("broken", 0), None);
    }
}

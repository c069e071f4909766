//! Where a run is served: `unix:PATH`, or `HOST:PORT` with mutual TLS; and how others on this machine find it.
//!
//! A process that listens leaves its address beside the journal (`<journal>.listen`), for as long as it listens: `watch`,
//! `approve` and `serve` read it there, whatever their environment is. It is believed only while that process holds the
//! journal: what a killed one left says nothing about whoever goes on.

use std::ffi::OsString;
use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process;
use std::str::FromStr;

use crate::journal;

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A Unix socket.
    Unix(PathBuf),
    /// A host, or its IP address, and a port.
    Tcp(String),
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const EXPECTED: &str = "expected unix:PATH or HOST:PORT";
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return match path {
                "" => Err(format!("`{text}` names no path; {EXPECTED}")),
                path => Ok(Self::Unix(path.into())),
            };
        }
        let Some((host, port)) = text.rsplit_once(':') else {
            return Err(format!("`{text}` names no port; {EXPECTED}"));
        };
        let bare = host.starts_with('[') && host.ends_with(']') || !host.contains(':');
        let plain = host
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-._[]:%".contains(c));
        if host.is_empty() || !bare || !plain || port.parse::<u16>().is_err() {
            return Err(format!("`{text}` is no address; {EXPECTED}"));
        }
        Ok(Self::Tcp(text.to_owned()))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(address) => f.write_str(address),
        }
    }
}

/// The address beside a journal, for as long as the value lives.
#[derive(Debug)]
pub(super) struct Announced {
    note: PathBuf,
}

/// Leaves `address` beside `journal`, readable by this user alone.
///
/// # Errors
/// Where the file cannot be written.
pub(super) fn announce(journal: &Path, address: &Address) -> io::Result<Announced> {
    let note = note_path(journal);
    // What another process left when it was killed is replaced, not written through.
    let _ = fs::remove_file(&note);
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&note)?;
    let announced = Announced { note };
    // Last: an address may hold a line break.
    writeln!(file, "{address}\n{}", process::id())?;
    Ok(announced)
}

impl Drop for Announced {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.note);
    }
}

/// Where the process that holds a journal listens; none where nobody holds it, or whoever does listens nowhere.
pub fn announced(journal: &Path) -> Option<Address> {
    let text = fs::read_to_string(note_path(journal)).ok()?;
    let (address, process) = text.trim_end().rsplit_once('\n')?;
    let holder = journal::running(journal)??;
    let theirs = process.parse() == Ok(holder.pid);
    theirs.then(|| address.parse().ok())?
}

fn note_path(journal: &Path) -> PathBuf {
    let mut name = OsString::from(journal);
    name.push(".listen");
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Journal;

    #[test]
    fn an_address_is_a_socket_or_a_host_and_a_port() {
        let read = |text: &str| text.parse::<Address>().map(|address| address.to_string());
        for good in [
            "unix:/run/x.sock",
            "127.0.0.1:0",
            "[::1]:7300",
            "ops.example.com:443",
        ] {
            assert_eq!(read(good).as_deref(), Ok(good));
        }
        assert_eq!(
            read("unix:///run/x.sock").as_deref(),
            Ok("unix:/run/x.sock")
        );
        for bad in [
            "",
            "unix:",
            "/run/x.sock",
            "::1:80",
            ":80",
            "host:",
            "host:70000",
            "a/b:1",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_address_is_left_beside_a_journal_and_taken_away() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("rb-1.jsonl");
        let journal = Journal::create(&path).expect("a journal");
        let address = Address::Unix("/run/x y\nz.sock".into());
        let note = announce(&path, &address).expect("written");
        assert_eq!(announced(&path), Some(address.clone()));
        drop(note);
        assert_eq!(announced(&path), None);
        let _note = announce(&path, &address).expect("written");
        drop(journal);
        assert_eq!(announced(&path), None, "nobody holds it");
    }

    #[test]
    fn what_a_killed_process_left_is_not_the_address_of_whoever_goes_on() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("rb-1.jsonl");
        let _journal = Journal::create(&path).expect("a journal");
        let theirs = process::id() + 1;
        fs::write(note_path(&path), format!("unix:/run/x.sock\n{theirs}\n")).expect("written");
        assert_eq!(announced(&path), None);
    }
}

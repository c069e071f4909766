//! Where journals are: one file a run under `$XDG_STATE_HOME/runbook/`, or wherever `--state` says.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::error::{ErrorKind, JournalError};
use super::holder::{Holder, running};
use super::lines::last_record;
use super::read;
use crate::plan::Plan;
use crate::record::{Body, Record, RunId};

const SUFFIX: &str = ".jsonl";

/// The folder of this user's journals: `$XDG_STATE_HOME/runbook`, or `~/.local/state/runbook`.
pub fn home() -> Result<PathBuf, JournalError> {
    home_from(env::var_os("XDG_STATE_HOME"), env::var_os("HOME"))
}

/// By the XDG Base Directory Specification a relative path is to be ignored.
fn home_from(state: Option<OsString>, home: Option<OsString>) -> Result<PathBuf, JournalError> {
    let absolute = |value: Option<OsString>| value.map(PathBuf::from).filter(|p| p.is_absolute());
    absolute(state)
        .or_else(|| absolute(home).map(|home| home.join(".local/state")))
        .map(|state| state.join("runbook"))
        .ok_or_else(|| JournalError::new(Path::new(""), ErrorKind::NoHome))
}

/// Where a run's journal is unless `--state` says otherwise.
pub fn path_of(run: &RunId) -> Result<PathBuf, JournalError> {
    Ok(home()?.join(format!("{run}{SUFFIX}")))
}

/// The command that goes on with a run: by its id where that finds the file, else by the path.
pub fn resume_line(path: &Path, run: &RunId) -> String {
    match path_of(run) {
        Ok(standard) if standard == path => format!("runbook resume {run}"),
        _ => format!("runbook resume {}", quoted(path)),
    }
}

/// As a POSIX shell takes it.
pub(super) fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text;
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// The journal of a run that is named by its id, by a beginning of it that no other run has (`rb-` may
/// be left out), or by its file's path.
pub fn find(wanted: &str) -> Result<PathBuf, JournalError> {
    let path = Path::new(wanted);
    if wanted.contains('/') || wanted.ends_with(SUFFIX) || path.is_file() {
        return match path.try_exists() {
            Ok(true) => Ok(path.to_owned()),
            _ => Err(no_such(Path::new("."), wanted)),
        };
    }
    find_in(&home()?, wanted)
}

fn find_in(folder: &Path, wanted: &str) -> Result<PathBuf, JournalError> {
    let runs = files(folder)?;
    let id = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.trim_end_matches(SUFFIX).to_owned()
    };
    if let Some(exact) = runs.iter().find(|path| id(path) == wanted) {
        return Ok(exact.clone());
    }
    let begins = |path: &&PathBuf| {
        let id = id(path);
        let short = id.strip_prefix("rb-").unwrap_or(&id);
        !wanted.is_empty() && (id.starts_with(wanted) || short.starts_with(wanted))
    };
    let matching: Vec<&PathBuf> = runs.iter().filter(begins).collect();
    match matching.as_slice() {
        [] => Err(no_such(folder, wanted)),
        [one] => Ok((*one).clone()),
        several => Err(JournalError::new(
            folder,
            ErrorKind::Ambiguous {
                wanted: wanted.to_owned(),
                candidates: several.iter().map(|path| id(path)).collect(),
            },
        )),
    }
}

fn no_such(folder: &Path, wanted: &str) -> JournalError {
    let wanted = wanted.to_owned();
    JournalError::new(folder, ErrorKind::NoSuchRun { wanted })
}

/// The journals in a folder, by name; none where the folder is not there.
///
/// # Errors
/// Where the folder cannot be read.
pub fn files(folder: &Path) -> Result<Vec<PathBuf>, JournalError> {
    let cannot = |source| JournalError::io(folder, "read", source);
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(cannot(error)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(cannot)?.path();
        if path.to_string_lossy().ends_with(SUFFIX) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// The run of this user that carried out a plan, in earnest, and its journal: whether it is in the usual folder or
/// in that of `beside`. Journals that were kept elsewhere, or by other users and hosts, are not known here.
pub fn executed(
    plan: &Plan,
    beside: Option<&Path>,
) -> Result<Option<(RunId, PathBuf)>, JournalError> {
    let mut folders = vec![home()?];
    folders.extend(beside.map(|path| super::folder_of(path).to_owned()));
    for folder in folders {
        // Names are not enough: `--state` takes any.
        for path in files(&folder)? {
            let first = read(&path)
                .ok()
                .and_then(|mut records| records.next()?.ok());
            if let Some(Body::Opened {
                run,
                plan: of,
                dry: false,
                ..
            }) = first.map(|first| first.body)
                && plan.is_of(&of)
            {
                return Ok(Some((run, path)));
            }
        }
    }
    Ok(None)
}

/// One journal in a list of runs.
#[derive(Debug)]
pub struct Listed {
    /// The file.
    pub path: PathBuf,
    /// Its length in bytes.
    pub bytes: u64,
    /// When it was last written to.
    pub modified: Timestamp,
    /// First and last record, or why it cannot be read. What lies between is not checked.
    pub ends: Result<Ends, JournalError>,
    /// Who runs it now: none, somebody unknown, or a holder.
    pub running: Option<Option<Holder>>,
}

/// A journal's ends.
#[derive(Clone, Debug, PartialEq)]
pub struct Ends {
    /// `opened`
    pub first: Record,
    /// The last one that is whole.
    pub last: Record,
}

/// The journals of this user, the newest first. A file that cannot be read is listed with its error.
pub fn list() -> Result<Vec<Listed>, JournalError> {
    list_in(&home()?)
}

/// As [`list`], of another folder.
pub fn list_in(folder: &Path) -> Result<Vec<Listed>, JournalError> {
    let mut all: Vec<Listed> = files(folder)?.into_iter().map(listed).collect();
    all.sort_by_key(|one| std::cmp::Reverse(began(one)));
    Ok(all)
}

fn began(one: &Listed) -> Timestamp {
    match &one.ends {
        Ok(ends) => ends.first.at,
        Err(_) => one.modified,
    }
}

/// One journal, as a list of runs has it.
pub fn listed(path: PathBuf) -> Listed {
    let facts = fs::metadata(&path).ok();
    let modified = facts.as_ref().and_then(|facts| facts.modified().ok());
    Listed {
        bytes: facts.map_or(0, |facts| facts.len()),
        modified: modified
            .and_then(|time| Timestamp::try_from(time).ok())
            .unwrap_or(Timestamp::UNIX_EPOCH),
        ends: ends(&path),
        running: running(&path),
        path,
    }
}

/// First and last record, without reading what lies between unless the last line cannot be trusted.
pub fn ends(path: &Path) -> Result<Ends, JournalError> {
    let first = match read(path)?.next() {
        Some(first) => first?,
        None => return Err(JournalError::new(path, ErrorKind::NoRecords)),
    };
    let line = last_line(path).map_err(|source| JournalError::io(path, "read", source))?;
    let last = match line.and_then(|line| last_record(&line)) {
        Some(last) => last,
        None => last_of_all(path, &first)?,
    };
    Ok(Ends { first, last })
}

fn last_of_all(path: &Path, first: &Record) -> Result<Record, JournalError> {
    read(path)?.try_fold(first.clone(), |_, record| record)
}

/// The last whole line, from the end backwards; none where it is the first.
fn last_line(path: &Path) -> io::Result<Option<Vec<u8>>> {
    const CHUNK: u64 = 64 * 1024;
    let mut file = File::open(path)?;
    let mut start = file.metadata()?.len();
    let mut tail = Vec::new();
    while start > 0 {
        let size = start.min(CHUNK);
        start -= size;
        file.seek(SeekFrom::Start(start))?;
        let mut chunk = Vec::new();
        (&mut file).take(size).read_to_end(&mut chunk)?;
        chunk.append(&mut tail);
        tail = chunk;
        if let Some(line) = whole_line_at_end(&tail) {
            return Ok(Some(line.to_owned()));
        }
    }
    Ok(None)
}

fn whole_line_at_end(tail: &[u8]) -> Option<&[u8]> {
    let newline = |bytes: &[u8]| bytes.iter().rposition(|byte| *byte == b'\n');
    let end = newline(tail)?;
    let before = newline(&tail[..end])?;
    Some(&tail[before + 1..=end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_follows_the_xdg_specification() {
        let at = |state: &str, home: &str| {
            let given = |text: &str| (!text.is_empty()).then(|| OsString::from(text));
            home_from(given(state), given(home)).ok()
        };
        assert_eq!(at("/s", "/h"), Some("/s/runbook".into()));
        assert_eq!(at("", "/h"), Some("/h/.local/state/runbook".into()));
        assert_eq!(at("relative", "/h"), Some("/h/.local/state/runbook".into()));
        assert_eq!(at("", ""), None);
    }

    #[test]
    fn a_run_is_found_by_a_beginning_that_only_it_has() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in [
            "rb-ab12.jsonl",
            "rb-ab34.jsonl",
            "rb-ab1.jsonl",
            "rb-cd.jsonl.lock",
        ] {
            File::create(folder.path().join(name)).expect("created");
        }
        let found = |wanted: &str| match find_in(folder.path(), wanted) {
            Ok(path) => path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
            Err(error) => error
                .to_string()
                .replace(&folder.path().display().to_string(), "HOME"),
        };
        assert_eq!(found("rb-ab12"), "rb-ab12.jsonl");
        assert_eq!(found("rb-ab1"), "rb-ab1.jsonl");
        assert_eq!(found("ab3"), "rb-ab34.jsonl");
        assert_eq!(found("rb-ab"), "3 runs begin with `rb-ab`");
        assert_eq!(found("rb-cd"), "no run `rb-cd` in HOME");
        assert_eq!(found(""), "no run `` in HOME");
    }

    #[test]
    fn the_resume_line_can_be_pasted() {
        let run = RunId("rb-1".to_owned());
        assert_eq!(
            resume_line(Path::new("/x/a.jsonl"), &run),
            "runbook resume /x/a.jsonl"
        );
        assert_eq!(
            resume_line(Path::new("/x/it's"), &run),
            r"runbook resume '/x/it'\''s'"
        );
    }
}

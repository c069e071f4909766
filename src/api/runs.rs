//! Which runs are served, and where each is found: the one that this process carries out, or those of a folder.
//!
//! A run is named by its id. In a folder that is a file's name, so it is taken apart before anything is opened: nothing
//! but letters, digits, `-`, `_` and `.`, a regular file and no link, and the run that the file says it is.

use std::fs;
use std::path::{Path, PathBuf};

use tonic::Status;

use super::feed::Feed;
use super::v1;
use super::view;
use crate::desk::Desk;
use crate::journal::{self, JournalError};
use crate::record::RunId;

/// Runs on a page, where the client does not say.
const PAGE: usize = 50;
/// Runs on a page, at most.
const LARGEST_PAGE: usize = 500;
/// The longest id that is looked for.
const LONGEST: usize = 128;

/// The runs that are served.
#[derive(Clone)]
pub enum Runs {
    /// The one that this process carries out.
    Own(Own),
    /// All of a folder.
    Folder(PathBuf),
    /// The one of this state file, which another process may carry out.
    File(PathBuf),
}

/// A run that this process carries out.
#[derive(Clone)]
pub struct Own {
    /// Its id.
    pub run: RunId,
    /// Its journal.
    pub path: PathBuf,
    /// What it tells.
    pub feed: Feed,
    /// Where it is answered.
    pub desk: Desk,
}

/// A run that was found.
pub(super) struct Found {
    /// Its journal.
    pub path: PathBuf,
    /// Where it is this process's own.
    pub own: Option<Own>,
}

impl Runs {
    /// Finds a run by its id.
    ///
    /// # Errors
    /// INVALID_ARGUMENT for what is no id, NOT_FOUND where there is none. Blocks.
    pub(super) fn find(&self, id: &str) -> Result<Found, Status> {
        check(id)?;
        match self {
            Self::Own(own) if own.run.0 == id => Ok(Found {
                path: own.path.clone(),
                own: Some(own.clone()),
            }),
            Self::Own(own) => Err(Status::not_found(format!(
                "this process carries out run {}, and no `{id}`; `runbook serve` serves all runs of a folder",
                own.run
            ))),
            Self::File(path) => match journal::read(path) {
                Ok(records) if records.run().0 == id => Ok(Found {
                    path: path.clone(),
                    own: None,
                }),
                Ok(_) => Err(Status::not_found(format!(
                    "{} is no run `{id}`",
                    path.display()
                ))),
                Err(error) => Err(view::unreadable(&error)),
            },
            Self::Folder(folder) => {
                let path = in_folder(folder, id).ok_or_else(|| {
                    Status::not_found(format!("there is no run `{id}` in {}", folder.display()))
                })?;
                Ok(Found { path, own: None })
            }
        }
    }

    /// A page of runs, and the token of the next one. Blocks.
    pub(super) fn list(
        &self,
        size: i32,
        token: &str,
    ) -> Result<(Vec<v1::Run>, String), JournalError> {
        let folder = match self {
            Self::Folder(folder) => folder,
            Self::Own(Own { path, .. }) | Self::File(path) => {
                let listed = journal::listed(path.clone());
                return Ok((vec![view::listed(listed)], String::new()));
            }
        };
        let size = match usize::try_from(size) {
            Ok(0) | Err(_) => PAGE,
            Ok(size) => size.min(LARGEST_PAGE),
        };
        // Ids begin with the time, so that the newest is the last name; a page that was shown stays as it was.
        let mut names: Vec<PathBuf> = journal::files(folder)?;
        names.retain(|path| is_regular(path));
        names.reverse();
        let after = |path: &PathBuf| token.is_empty() || name_of(path).as_str() < token;
        let mut rest = names.into_iter().filter(after).peekable();
        let page: Vec<PathBuf> = rest.by_ref().take(size).collect();
        let next = match (rest.peek(), page.last()) {
            (Some(_), Some(last)) => name_of(last),
            _ => String::new(),
        };
        let runs = page
            .into_iter()
            .map(|path| view::listed(journal::listed(path)));
        Ok((runs.collect(), next))
    }
}

fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

fn check(id: &str) -> Result<(), Status> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if id.is_empty() {
        return Err(Status::invalid_argument("run_id: no run is named"));
    }
    if id.len() > LONGEST || !id.chars().all(plain) || id.starts_with('.') {
        return Err(Status::invalid_argument("run_id: that is no run id"));
    }
    Ok(())
}

/// A file that is itself there: what a link names may be anywhere.
fn is_regular(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|facts| facts.is_file())
}

/// The journal of a run: under its usual name, else under the one that says it is this run.
fn in_folder(folder: &Path, id: &str) -> Option<PathBuf> {
    let is_it = |path: &PathBuf| {
        is_regular(path) && journal::read(path).is_ok_and(|records| records.run().0 == id)
    };
    let usual = folder.join(format!("{id}.jsonl"));
    if is_regular(&usual) {
        return Some(usual);
    }
    journal::files(folder).ok()?.into_iter().find(is_it)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leads_out_of_the_folder() {
        let outer = tempfile::tempdir().expect("a folder");
        let folder = outer.path().join("runs");
        fs::create_dir(&folder).expect("made");
        fs::write(outer.path().join("secret.jsonl"), "x").expect("written");
        fs::write(folder.join("rb-1.jsonl"), "x").expect("written");
        std::os::unix::fs::symlink("../secret.jsonl", folder.join("rb-2.jsonl")).expect("linked");
        fs::create_dir(folder.join("rb-3.jsonl")).expect("made");
        let runs = Runs::Folder(folder);
        let code = |id: &str| runs.find(id).map(|_| ()).map_err(|status| status.code());
        assert_eq!(code("rb-1"), Ok(()));
        for id in [
            "",
            "../secret",
            "..",
            ".",
            "a/b",
            "rb-1\0",
            "rb-1\n",
            "/etc/passwd",
            "%2e%2e",
        ] {
            assert_eq!(code(id), Err(tonic::Code::InvalidArgument), "{id:?}");
        }
        assert_eq!(code(&"x".repeat(5000)), Err(tonic::Code::InvalidArgument));
        for id in ["rb-2", "rb-3", "rb-4", "secret"] {
            assert_eq!(code(id), Err(tonic::Code::NotFound), "{id}");
        }
        let (page, next) = runs.list(0, "").expect("a page");
        assert_eq!((page.len(), next.as_str()), (1, ""));
        assert_eq!(page[0].state(), v1::RunState::Unreadable);
    }

    #[test]
    fn pages_hold_each_run_once_the_newest_first() {
        let folder = tempfile::tempdir().expect("a folder");
        for number in 1..=7 {
            fs::write(folder.path().join(format!("rb-{number}.jsonl")), "x").expect("written");
        }
        let runs = Runs::Folder(folder.path().to_owned());
        let (mut token, mut seen) = (String::new(), Vec::new());
        loop {
            let (page, next) = runs.list(3, &token).expect("a page");
            seen.push(
                page.into_iter()
                    .map(|run| run.run_id)
                    .collect::<Vec<_>>()
                    .join(" "),
            );
            if next.is_empty() {
                break;
            }
            token = next;
        }
        assert_eq!(seen, ["rb-7 rb-6 rb-5", "rb-4 rb-3 rb-2", "rb-1"]);
    }
}

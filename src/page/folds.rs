//! What was read of each run: kept, so that a page that asks again reads only what is new.

use std::path::{Path, PathBuf};

use crate::journal;
use crate::record::{Record, RunId};
use crate::report::{Dossier, Located, Report};

/// Cheap to clone; clones are one. All calls block.
#[derive(Clone, Default)]
pub(super) struct Folds(journal::Folds<Dossier>);

impl journal::Fold for Dossier {
    fn take_in(&mut self, record: Record) {
        self.apply(&record);
    }
}

impl Folds {
    /// Does something with all that is known of a run by now.
    pub(super) fn with<T>(
        &self,
        path: &Path,
        show: impl FnOnce(&Dossier, &Located) -> T,
    ) -> Result<T, String> {
        let shown = self.0.with(path, |dossier| {
            show(dossier, &located(path, dossier.report()))
        });
        shown.map_err(|error| error.to_string())
    }
}

/// Where a run's journal is, what to call it on a command line, and who holds it.
pub fn located(path: &Path, report: &Report) -> Located {
    let id = RunId(report.run.id.clone());
    let shown = path.display().to_string();
    let usual = journal::path_of(&id).is_ok_and(|usual| usual == path);
    Located {
        target: if usual { id.0 } else { shown.clone() },
        path: shown,
        holder: journal::running(path).map(|holder| {
            let known = holder.map(|holder| holder.to_string());
            known.unwrap_or_else(|| "somebody".to_owned())
        }),
    }
}

/// The journal of a run that a request names. Only what a run id can hold, only a file that is itself in the folder.
pub(super) fn path_of(folder: &Path, id: &str) -> Option<PathBuf> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if id.is_empty() || id.len() > 128 || id.starts_with('.') || !id.chars().all(plain) {
        return None;
    }
    let path = folder.join(format!("{id}.jsonl"));
    let facts = std::fs::symlink_metadata(&path).ok()?;
    facts.is_file().then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leads_out_of_the_folder() {
        let outer = tempfile::tempdir().expect("a folder");
        let folder = outer.path().join("runs");
        std::fs::create_dir(&folder).expect("made");
        std::fs::write(outer.path().join("secret.jsonl"), "x").expect("written");
        std::fs::write(folder.join("rb-1.jsonl"), "x").expect("written");
        std::os::unix::fs::symlink("../secret.jsonl", folder.join("rb-2.jsonl")).expect("linked");
        assert!(path_of(&folder, "rb-1").is_some());
        for bad in [
            "",
            "..",
            "../secret",
            "a/b",
            "rb-1\0",
            "rb-2",
            "rb-3",
            "%2e%2e",
            ".rb-1",
        ] {
            assert_eq!(path_of(&folder, bad), None, "{bad:?}");
        }
        assert_eq!(path_of(&folder, &"x".repeat(5000)), None);
    }
}

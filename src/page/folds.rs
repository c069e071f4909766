//! What was read of each run: kept, so that a page that asks again reads only what is new.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::journal::{self, Follower};
use crate::record::RunId;
use crate::report::{Dossier, Located};

/// So many runs are kept; of more, the one that was asked for longest ago is read anew.
const KEPT: usize = 8;
/// Records that are read at a time.
const AT_ONCE: usize = 10_000;

/// Cheap to clone; clones are one. All calls block.
#[derive(Clone, Default)]
pub(super) struct Folds {
    /// The one that was asked for last at the end.
    kept: Arc<Mutex<Vec<Kept>>>,
}

/// A state file, and what was read of it.
type Kept = (PathBuf, Arc<Mutex<Fold>>);

struct Fold {
    follower: Follower,
    dossier: Dossier,
}

impl Folds {
    /// Does something with all that is known of a run by now.
    pub(super) fn with<T>(
        &self,
        path: &Path,
        show: impl FnOnce(&Dossier, &Located) -> T,
    ) -> Result<T, String> {
        let fold = self.fold(path)?;
        let mut fold = fold.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = fold.catch_up() {
            self.forget(path);
            return Err(error);
        }
        let located = located(path, &fold.dossier);
        Ok(show(&fold.dossier, &located))
    }

    fn fold(&self, path: &Path) -> Result<Arc<Mutex<Fold>>, String> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let known = kept.iter().position(|(known, _)| known == path);
        let one = match known {
            Some(index) => kept.remove(index),
            None => {
                let follower = Follower::open(path, 1).map_err(|error| error.to_string())?;
                let fold = Fold {
                    follower,
                    dossier: Dossier::new(),
                };
                (path.to_owned(), Arc::new(Mutex::new(fold)))
            }
        };
        let fold = Arc::clone(&one.1);
        if kept.len() >= KEPT {
            kept.remove(0);
        }
        kept.push(one);
        Ok(fold)
    }

    fn forget(&self, path: &Path) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(known, _)| known != path);
    }
}

impl Fold {
    fn catch_up(&mut self) -> Result<(), String> {
        loop {
            let records = self
                .follower
                .more(AT_ONCE)
                .map_err(|error| error.to_string())?;
            if records.is_empty() {
                return Ok(());
            }
            records.iter().for_each(|record| self.dossier.apply(record));
        }
    }
}

fn located(path: &Path, dossier: &Dossier) -> Located {
    let id = RunId(dossier.report().run.id.clone());
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

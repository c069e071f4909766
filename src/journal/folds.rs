//! What was folded of a few journals, kept so that each record is read once.
//!
//! Knows nothing of what is folded. The least recently asked for goes first.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Follower, JournalError};
use crate::record::Record;

/// Journals that are kept; of more, the one that was asked for longest ago is read anew.
const KEPT: usize = 8;
/// Records that are read at a time.
const AT_ONCE: usize = 1000;

/// What a journal's records come to.
pub trait Fold: Default {
    /// Takes in the next record.
    fn take_in(&mut self, record: Record);
}

/// Cheap to clone; clones are one. All calls block.
#[derive(Clone, Default)]
pub struct Folds<T> {
    /// The one that was asked for last at the end.
    kept: Arc<Mutex<Vec<Kept<T>>>>,
}

type Kept<T> = (PathBuf, Arc<Mutex<Folding<T>>>);

struct Folding<T> {
    follower: Follower,
    fold: T,
}

impl<T: Fold> Folds<T> {
    /// Does something with the fold of a journal, as it is now.
    ///
    /// # Errors
    /// Where the journal cannot be read.
    pub fn with<R>(&self, path: &Path, work: impl FnOnce(&T) -> R) -> Result<R, JournalError> {
        let folding = self.take(path)?;
        let mut folding = folding.lock().unwrap_or_else(PoisonError::into_inner);
        match folding.catch_up() {
            Ok(()) => Ok(work(&folding.fold)),
            Err(error) => {
                // A file that was moved and came back is read anew.
                self.kept().retain(|(kept, _)| kept != path);
                Err(error)
            }
        }
    }

    fn take(&self, path: &Path) -> Result<Arc<Mutex<Folding<T>>>, JournalError> {
        let mut kept = self.kept();
        let entry = match kept.iter().position(|(kept, _)| kept == path) {
            Some(at) => kept.remove(at),
            None => {
                let follower = Follower::open(path, 0)?;
                let fold = T::default();
                (
                    path.to_owned(),
                    Arc::new(Mutex::new(Folding { follower, fold })),
                )
            }
        };
        let folding = Arc::clone(&entry.1);
        kept.push(entry);
        if kept.len() > KEPT {
            kept.remove(0);
        }
        Ok(folding)
    }

    fn kept(&self) -> MutexGuard<'_, Vec<Kept<T>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Fold> Folding<T> {
    fn catch_up(&mut self) -> Result<(), JournalError> {
        loop {
            let records = self.follower.more(AT_ONCE)?;
            if records.is_empty() {
                return Ok(());
            }
            records
                .into_iter()
                .for_each(|record| self.fold.take_in(record));
        }
    }
}

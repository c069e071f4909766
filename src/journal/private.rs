//! Files that only their owner may read, beside the journals: saved plans, worlds for rehearsals.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process;

use super::{JournalError, folder_of, sync_folder};

/// Writes a file, mode 0600 whatever the umask, as a whole or not at all: what was there stays until the new one
/// is durable.
///
/// # Errors
/// Where it cannot be written; then nothing was changed.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<(), JournalError> {
    let part = part_of(path);
    let written = write_part(&part, bytes)
        .and_then(|()| fs::rename(&part, path))
        .and_then(|()| sync_folder(path));
    written.map_err(|source| {
        // It is ours: `write_part` made it, or failed because somebody else had.
        if source.kind() != io::ErrorKind::AlreadyExists {
            let _ = fs::remove_file(&part);
        }
        JournalError::io(path, "write", source)
    })
}

fn part_of(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    folder_of(path).join(format!(".{name}.{}", process::id()))
}

fn write_part(part: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file: File = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(part)?;
    file.write_all(bytes)?;
    file.sync_all()
}

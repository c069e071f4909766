//! A Unix socket that only this user can reach.
//!
//! There is no instant at which anybody else can: the socket is bound inside a folder that is this user's alone (0700),
//! and where it is to lie elsewhere, it is bound in such a folder first, made 0600, and only then given its name. A name
//! that a killed process left behind is taken over; one behind which somebody answers is refused.

use std::env;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{
    DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _,
};
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::process::geteuid;

use crate::journal;

/// A socket that is bound. Dropping it takes its name away.
#[derive(Debug)]
pub(super) struct Socket {
    path: PathBuf,
    /// Device and inode: what is removed in the end is this socket and no other.
    id: (u64, u64),
}

/// Where the socket of a run (or of `serve`) is unless `--listen` says otherwise: `$XDG_RUNTIME_DIR/runbook/NAME.sock`,
/// else `sockets/NAME.sock` in the folder of this user's state files.
///
/// # Errors
/// In words, where there is neither.
pub fn usual_path(name: &str) -> Result<PathBuf, String> {
    let runtime = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let folder = match runtime.filter(|folder| folder.is_absolute()) {
        Some(folder) => folder.join("runbook"),
        None => journal::home()
            .map_err(|error| error.to_string())?
            .join("sockets"),
    };
    Ok(folder.join(format!("{name}.sock")))
}

/// Binds.
///
/// # Errors
/// In words: what is in the way, and what to do.
pub(super) fn bind(path: &Path) -> Result<(UnixListener, Socket), String> {
    if SocketAddr::from_pathname(path).is_err() {
        let bytes = path.as_os_str().len();
        return Err(format!(
            "the path of the socket is too long: {} has {bytes} bytes, and 107 is the most; give a shorter one with \
             --listen=unix:PATH",
            path.display()
        ));
    }
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let cannot =
        |what: &str, error: io::Error| format!("cannot {what} {}: {error}", path.display());
    if !folder.exists() {
        let mut builder = DirBuilder::new();
        let made = builder.recursive(true).mode(0o700).create(folder);
        made.map_err(|error| cannot("make the folder of the socket", error))?;
    }
    make_room(path)?;
    let bound = match is_private(folder) {
        true => bind_private(path, path),
        false => bind_elsewhere(folder, path),
    };
    bound.map_err(|error| cannot("listen on", error))
}

/// Whether a folder is this user's, and nobody else's.
fn is_private(folder: &Path) -> bool {
    fs::symlink_metadata(folder).is_ok_and(|facts| {
        facts.is_dir() && facts.uid() == geteuid().as_raw() && facts.mode() & 0o077 == 0
    })
}

/// Takes away what a process left that listens no more.
fn make_room(path: &Path) -> Result<(), String> {
    let shown = path.display();
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(format!("cannot look at {shown}: {error}")),
        Ok(facts) if !facts.file_type().is_socket() => Err(format!(
            "{shown} exists and is no socket; remove it, or listen elsewhere"
        )),
        Ok(_) => match UnixStream::connect(path) {
            Ok(_) => Err(format!(
                "somebody listens on {shown} already; listen elsewhere, or end that process"
            )),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                fs::remove_file(path).map_err(|error| format!("cannot remove {shown}: {error}"))
            }
            Err(error) => Err(format!("cannot look behind {shown}: {error}")),
        },
    }
}

fn bind_private(at: &Path, name: &Path) -> io::Result<(UnixListener, Socket)> {
    let listener = UnixListener::bind(at)?;
    fs::set_permissions(at, Permissions::from_mode(0o600))?;
    listener.set_nonblocking(true)?;
    let facts = fs::symlink_metadata(at)?;
    let socket = Socket {
        path: name.to_owned(),
        id: (facts.dev(), facts.ino()),
    };
    Ok((listener, socket))
}

/// Through a private folder beside the name. A link never replaces what came there meanwhile.
fn bind_elsewhere(folder: &Path, path: &Path) -> io::Result<(UnixListener, Socket)> {
    let private = folder.join(format!(".rb{}", std::process::id()));
    DirBuilder::new().mode(0o700).create(&private)?;
    let inside = private.join("s");
    let bound = bind_private(&inside, path).and_then(|bound| {
        fs::hard_link(&inside, path)?;
        Ok(bound)
    });
    let _ = fs::remove_file(&inside);
    let _ = fs::remove_dir(&private);
    bound
}

impl Drop for Socket {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|facts| (facts.dev(), facts.ino()) == self.id);
        if ours {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).expect("it is there").mode() & 0o777
    }

    fn folder(mode: u32) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        fs::set_permissions(folder.path(), Permissions::from_mode(mode)).expect("set");
        folder
    }

    #[test]
    fn it_is_this_users_alone_wherever_it_lies_and_goes_with_its_process() {
        for open in [0o700, 0o755] {
            let folder = folder(open);
            let path = folder.path().join("a.sock");
            let (_listener, socket) = bind(&path).expect("bound");
            assert_eq!(mode(&path), 0o600);
            UnixStream::connect(&path).expect("it listens under its name");
            drop(socket);
            let left = fs::read_dir(folder.path()).expect("a folder").count();
            assert_eq!(left, 0, "nothing is left in a folder of mode {open:o}");
        }
        let outer = folder(0o755);
        let path = outer.path().join("made/a.sock");
        let _bound = bind(&path).expect("bound");
        assert_eq!(mode(path.parent().expect("a folder")), 0o700);
    }

    #[test]
    fn a_stale_one_is_taken_over_and_nothing_else_is() {
        let folder = folder(0o755);
        let path = folder.path().join("a.sock");
        drop(UnixListener::bind(&path).expect("bound, and left behind"));
        let (_listener, socket) = bind(&path).expect("taken over");
        let why = bind(&path).expect_err("somebody listens");
        assert!(why.contains("somebody listens on"), "{why}");
        fs::remove_file(&path).expect("removed");
        fs::write(&path, "x").expect("written");
        drop(socket);
        assert!(path.exists(), "what is not ours stays");
        let why = bind(&path).expect_err("a file is there");
        assert!(why.contains("is no socket"), "{why}");
    }

    #[test]
    fn a_path_that_is_too_long_is_said() {
        let path = PathBuf::from(format!("/tmp/{}/a.sock", "x".repeat(120)));
        let why = bind(&path).expect_err("too long");
        assert!(
            why.contains("too long") && why.contains("--listen"),
            "{why}"
        );
    }
}

//! Facts about the terminal that std does not offer: its size, whether it is gone, whether this process may
//! write to it now, and its modes.
//!
//! A prompt that is given up (the terminal closed, a signal came) leaves a thread behind that still waits
//! for keys, with the terminal in raw mode: [`Modes`] puts it back, and [`let_go`] gives the thread something that
//! it can wait for in peace.

use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex, PoisonError};

use libc::{STDERR_FILENO, STDIN_FILENO};

/// Whether the terminal hung up. Reading from it would not say so: the prompt's reader waits on.
#[allow(unsafe_code, reason = "std has no poll; the struct is ours")]
pub(super) fn is_gone() -> bool {
    let mut stdin = libc::pollfd {
        fd: STDIN_FILENO,
        events: 0,
        revents: 0,
    };
    // SAFETY: one struct, which lives until the call returns; it does not wait.
    let polled = unsafe { libc::poll(&raw mut stdin, 1, 0) };
    polled > 0 && stdin.revents & (libc::POLLHUP | libc::POLLERR | libc::POLLNVAL) != 0
}

/// Puts a pipe that nobody writes to in place of stdin, whose terminal is gone: a prompt's reader that was left
/// behind would try to read from that terminal without a pause (crossterm 0.29 takes its end for no key yet).
#[allow(
    unsafe_code,
    reason = "std cannot replace stdin; both descriptors are ours"
)]
pub(super) fn let_go() {
    let Ok((reader, writer)) = std::io::pipe() else {
        return;
    };
    // SAFETY: `dup2` closes stdin, which nothing here owns, and opens it again at once.
    unsafe {
        libc::dup2(reader.as_raw_fd(), STDIN_FILENO);
    }
    // Open as long as this process: the end of the pipe would be read without a pause, too.
    std::mem::forget(writer);
}

/// The window that stderr is shown in.
#[derive(Clone)]
pub(super) enum Window {
    /// The process's own.
    Own,
    /// One of a test, which may change its size: columns and rows.
    Fixed(Arc<Mutex<(usize, usize)>>),
}

impl Window {
    /// Columns and rows now; none where the terminal does not say.
    #[allow(unsafe_code, reason = "std has no window size; the struct is ours")]
    pub(super) fn size(&self) -> Option<(usize, usize)> {
        if let Self::Fixed(size) = self {
            return Some(*size.lock().unwrap_or_else(PoisonError::into_inner));
        }
        let mut size = MaybeUninit::<libc::winsize>::uninit();
        // SAFETY: the struct is what this call fills, and read only where it did.
        let size = unsafe {
            (libc::ioctl(STDERR_FILENO, libc::TIOCGWINSZ, size.as_mut_ptr()) == 0)
                .then(|| size.assume_init())
        }?;
        (size.ws_col > 0 && size.ws_row > 0).then(|| (size.ws_col.into(), size.ws_row.into()))
    }

    /// Whether the shell has given the terminal to this process. A terminal that has no shell (none that this
    /// process belongs to) was given to it.
    #[allow(unsafe_code, reason = "std has no process groups; plain numbers")]
    pub(super) fn is_ours(&self) -> bool {
        if matches!(self, Self::Fixed(_)) {
            return true;
        }
        // SAFETY: both only answer a number.
        let (group, own) = unsafe { (libc::tcgetpgrp(STDERR_FILENO), libc::getpgrp()) };
        group < 0 || group == own
    }

    /// Whether writing to it would stop this process: it is in the background, and `stty tostop` is on.
    pub(super) fn stops_writers(&self) -> bool {
        let stops =
            || Modes::of(STDERR_FILENO).is_some_and(|modes| modes.0.c_lflag & libc::TOSTOP != 0);
        matches!(self, Self::Own) && !self.is_ours() && stops()
    }
}

/// How a terminal treats keys.
#[derive(Clone, Copy)]
pub(super) struct Modes(libc::termios);

impl Modes {
    /// Those of stdin as they are now; none where it is no terminal.
    pub(super) fn now() -> Option<Self> {
        Self::of(STDIN_FILENO)
    }

    #[allow(unsafe_code, reason = "std has no terminal modes; the struct is ours")]
    fn of(descriptor: i32) -> Option<Self> {
        let mut modes = MaybeUninit::uninit();
        // SAFETY: the struct is large enough, and read only where the call filled it.
        unsafe {
            (libc::tcgetattr(descriptor, modes.as_mut_ptr()) == 0)
                .then(|| Self(modes.assume_init()))
        }
    }

    /// Puts them back. A terminal that is gone has none; one that belongs to another job is left alone.
    #[allow(unsafe_code, reason = "std has no terminal modes; the struct is ours")]
    pub(super) fn restore(&self) {
        if !Window::Own.is_ours() {
            return;
        }
        // SAFETY: the struct was filled by `tcgetattr`.
        unsafe {
            libc::tcsetattr(STDIN_FILENO, libc::TCSANOW, &raw const self.0);
        }
    }
}

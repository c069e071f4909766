//! Two facts about the terminal behind stdin that std does not offer: whether it is gone, and its modes.
//!
//! A prompt that is given up (the terminal closed, a signal came) leaves a thread behind that still waits
//! for keys, with the terminal in raw mode: [`Modes`] puts it back.

use std::mem::MaybeUninit;

/// Whether the terminal hung up. Reading from it would not say so: the prompt's reader waits on.
#[allow(unsafe_code, reason = "std has no poll; the struct is ours")]
pub(super) fn is_gone() -> bool {
    let mut stdin = libc::pollfd {
        fd: libc::STDIN_FILENO,
        events: 0,
        revents: 0,
    };
    // SAFETY: one struct, which lives until the call returns; it does not wait.
    let polled = unsafe { libc::poll(&raw mut stdin, 1, 0) };
    polled > 0 && stdin.revents & (libc::POLLHUP | libc::POLLERR | libc::POLLNVAL) != 0
}

/// How a terminal treats keys.
pub(super) struct Modes(libc::termios);

impl Modes {
    /// As they are now; none where stdin is no terminal.
    #[allow(unsafe_code, reason = "std has no terminal modes; the struct is ours")]
    pub(super) fn now() -> Option<Self> {
        let mut modes = MaybeUninit::uninit();
        // SAFETY: the struct is large enough, and read only where the call filled it.
        unsafe {
            (libc::tcgetattr(libc::STDIN_FILENO, modes.as_mut_ptr()) == 0)
                .then(|| Self(modes.assume_init()))
        }
    }

    /// Puts them back. A terminal that is gone has none.
    #[allow(unsafe_code, reason = "std has no terminal modes; the struct is ours")]
    pub(super) fn restore(&self) {
        // SAFETY: the struct was filled by `tcgetattr`.
        unsafe {
            libc::tcsetattr(libc::STDIN_FILENO, libc::TCSANOW, &raw const self.0);
        }
    }
}

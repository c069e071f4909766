//! The terminal's modes, as they were before any prompt: a run that a signal ends while a prompt waits
//! must not leave a terminal behind that echoes nothing.

use std::io::IsTerminal;

/// Modes of the terminal on stdin.
#[derive(Clone, Copy)]
pub(super) struct Modes(libc::termios);

impl Modes {
    /// Those of now; none where stdin is no terminal.
    #[allow(
        unsafe_code,
        reason = "std has no terminal modes; the structure is ours and filled in by the call"
    )]
    pub(super) fn now() -> Option<Self> {
        if !std::io::stdin().is_terminal() {
            return None;
        }
        // SAFETY: `termios` is plain data, and `tcgetattr` writes to it only.
        let (modes, result) = unsafe {
            let mut modes: libc::termios = std::mem::zeroed();
            let result = libc::tcgetattr(libc::STDIN_FILENO, &raw mut modes);
            (modes, result)
        };
        (result == 0).then_some(Self(modes))
    }

    /// Sets them again. Nobody can be told where that fails: the terminal is gone.
    #[allow(unsafe_code, reason = "as for `now`")]
    pub(super) fn restore(&self) {
        // SAFETY: `tcsetattr` reads the structure only.
        unsafe {
            libc::tcsetattr(libc::STDIN_FILENO, libc::TCSANOW, &raw const self.0);
        }
    }
}

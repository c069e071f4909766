//! A prompt in a thread of its own, which is left behind where the terminal is gone or nobody waits: it waits
//! for keys that may never come, and nothing can wake it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use super::Ui;
use super::tty::{self, Modes};
use crate::report::Tone;

/// How often an open prompt looks whether its terminal is still there.
const LOOK: Duration = Duration::from_millis(200);

/// What `prompt` answers; none where the terminal hung up meanwhile or the prompt was given up. The terminal's
/// modes are as before then.
pub(super) fn watched<T: Send + 'static>(
    given_up: &AtomicBool,
    prompt: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let modes = Modes::now();
    let (send, replies) = mpsc::channel();
    thread::spawn(move || {
        // Nobody may be there to take it any more.
        let _ = send.send(prompt());
    });
    loop {
        match replies.recv_timeout(LOOK) {
            Ok(reply) => return Some(reply),
            Err(RecvTimeoutError::Timeout)
                if !tty::is_gone() && !given_up.load(Ordering::Relaxed) => {}
            Err(_) => break,
        }
    }
    if tty::is_gone() {
        tty::let_go();
    } else if let Some(modes) = modes {
        modes.restore();
    }
    None
}

impl Ui {
    /// Waits until this process has the terminal, as after `bg`: a prompt would stop it. `what` says who waits.
    pub(super) fn await_foreground(&self, what: &str, given_up: &AtomicBool) {
        if self.is_foreground() {
            return;
        }
        let text = format!("{what} waits for an answer: bring this job to the foreground (fg)");
        self.line(Tone::Strong, &text);
        while !self.is_foreground() && !tty::is_gone() && !given_up.load(Ordering::Relaxed) {
            thread::sleep(LOOK);
        }
    }
}

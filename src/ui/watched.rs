//! A prompt in a thread of its own, which is left behind where the terminal is gone or nobody waits: it waits
//! for keys that may never come, and nothing can wake it. Only one prompt reads keys: one that comes after it waits
//! until it took one.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::Ui;
use super::tty::{self, Modes};
use crate::report::Tone;

/// How often an open prompt looks whether its terminal is still there.
const LOOK: Duration = Duration::from_millis(200);

/// Held by the prompt that reads keys.
static READING: Mutex<()> = Mutex::new(());
/// How a prompt that was given up treats keys, while it reads on.
static LEFT_BEHIND: Mutex<Option<Modes>> = Mutex::new(None);

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// As [`watched`], where an earlier prompt may have been left behind, or this one may be: says so.
pub(super) fn watched_after_another<T: Send + 'static>(
    ui: &Ui,
    given_up: &AtomicBool,
    prompt: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let modes = Modes::now();
    if let Some(left) = held(&LEFT_BEHIND).take() {
        // As it expects them, so that Enter ends it.
        left.restore();
        ui.prompt_text(
            "The prompt above was answered elsewhere. Press Enter to see what is asked now.\r\n",
        );
    }
    let answer = watched_from(modes, given_up, prompt);
    if answer.is_none() && !tty::is_gone() {
        ui.prompt_text("\n");
    }
    answer
}

/// What `prompt` answers; none where the terminal hung up meanwhile or the prompt was given up. The terminal's
/// modes are as before then.
pub(super) fn watched<T: Send + 'static>(
    given_up: &AtomicBool,
    prompt: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    watched_from(Modes::now(), given_up, prompt)
}

fn watched_from<T: Send + 'static>(
    modes: Option<Modes>,
    given_up: &AtomicBool,
    prompt: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (send, replies) = mpsc::channel();
    thread::spawn(move || {
        let _turn = held(&READING);
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
        *held(&LEFT_BEHIND) = Modes::now();
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

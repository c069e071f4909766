//! A sign of life while something is read that leaves no records: a line that is drawn over, or, where none can
//! be, a line now and then.

use std::time::{Duration, Instant};

use jiff::SignedDuration;

use super::{Ui, duration};
use crate::report::Tone;

/// What takes less than this needs no sign.
const PATIENCE: Duration = Duration::from_secs(1);
/// Without a live terminal, a line this often.
const SPEAK: Duration = Duration::from_secs(20);
/// How often it beats.
pub const BEAT: Duration = Duration::from_millis(200);

/// What is going on, and since when.
pub struct Pulse {
    ui: Ui,
    what: &'static str,
    began: Instant,
    spoken: Instant,
    drawn: bool,
    beats: usize,
}

impl Pulse {
    /// From now on. `what` begins a sentence: `Reads the service`.
    pub fn new(ui: &Ui, what: &'static str) -> Self {
        let now = Instant::now();
        Self {
            ui: ui.clone(),
            what,
            began: now,
            spoken: now,
            drawn: false,
            beats: 0,
        }
    }

    /// To be called every [`BEAT`].
    pub fn beat(&mut self) {
        self.beats += 1;
        let since = self.began.elapsed();
        if self.ui.is_held() {
            // Somebody is asked for something: that is no waiting, and what follows begins anew.
            self.began = Instant::now();
            self.spoken = self.began;
            return;
        }
        if since < PATIENCE {
            return;
        }
        let whole = SignedDuration::from_secs(i64::try_from(since.as_secs()).unwrap_or(i64::MAX));
        let text = format!("{}, for {}", self.what, duration(whole));
        if self.ui.is_live() && self.ui.is_foreground() {
            let dots = [".", "..", "..."][self.beats / 3 % 3];
            self.ui.draw(&[format!("{text} {dots}")]);
            self.drawn = true;
        } else if self.spoken.elapsed() >= SPEAK {
            self.spoken = Instant::now();
            self.ui.line(Tone::Plain, &text);
        }
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        if self.drawn {
            self.ui.clear();
        }
    }
}

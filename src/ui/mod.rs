//! The only terminal writer: lines, data, the live display and prompts.
//!
//! Data goes to stdout, everything else to stderr. A closed pipe is silent. Terminals, their width,
//! colours and Unicode are found out once, in [`Streams::from_environment`]; tests fix them. `ui` consumes
//! records and progress and calls nothing.

mod layout;
mod lines;
mod live;
mod log;
mod operator;
mod pulse;
mod questions;
mod region;
mod screen;
mod status;
mod trail;
mod tty;
mod watched;

use std::env;
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread;
use std::time::Duration;

pub use crate::report::{
    Align, Style, Table, Text, Tone, about, columns, count, duration, fit, harmless, minute,
    moment, number, shell_word, shield, time_of_day, wrap,
};
pub use layout::{Drawn, layout, paint};
pub use lines::{Line, Narrator};
pub use live::LiveDisplay;
pub use log::start as start_log;
pub use operator::TerminalOperator;
pub use pulse::{BEAT, Pulse};
pub use questions::Asked;
use region::{Region, is_rigid};
pub use screen::{Screen, Wait};
pub use status::status_lines;
pub use trail::{Speed, Trail};
use tty::{Modes, Window};

/// Lines are broken at this width at the narrowest.
const LEAST_WIDTH: usize = 20;

/// When colours are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Colours {
    /// On terminals that can, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Where text goes, and what can be shown there.
pub struct Streams {
    /// For data.
    pub out: Box<dyn Write + Send>,
    /// For everything else.
    pub err: Box<dyn Write + Send>,
    /// How data is laid out.
    pub out_style: Style,
    /// How everything else is laid out.
    pub err_style: Style,
    /// Whether a person can be asked: stdin and stderr are terminals.
    pub interactive: bool,
    /// Whether lines can be drawn over: stderr is a terminal, and not a dumb one.
    pub live: bool,
    /// Whether data goes to a terminal, too: most likely the one with the lines that are drawn over.
    pub out_terminal: bool,
}

impl Streams {
    /// The process's own.
    pub fn from_environment(colours: Colours) -> Self {
        let (out, err) = (io::stdout().is_terminal(), io::stderr().is_terminal());
        let dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
        let style = |terminal: bool| Style {
            width: width(terminal),
            unicode: speaks_unicode(),
            colour: match colours {
                Colours::Always => true,
                Colours::Never => false,
                Colours::Auto => terminal && !dumb && !is_set("NO_COLOR"),
            },
        };
        Self {
            out: Box::new(io::stdout()),
            err: Box::new(io::stderr()),
            out_style: style(out),
            err_style: style(err),
            interactive: err && io::stdin().is_terminal(),
            live: err && !dumb,
            out_terminal: out,
        }
    }
}

fn is_set(name: &str) -> bool {
    env::var_os(name).is_some_and(|value| !value.is_empty())
}

/// `COLUMNS`, else the terminal's own; none where lines are not to be broken.
fn width(terminal: bool) -> Option<usize> {
    if !terminal {
        return None;
    }
    let own = || {
        let mut table = comfy_table::Table::new();
        table.use_stderr();
        let width = table.width();
        width
            .or_else(|| comfy_table::Table::new().width())
            .map(usize::from)
    };
    let width = number_in("COLUMNS").or_else(own).unwrap_or(80);
    Some(width.max(LEAST_WIDTH))
}

fn number_in(variable: &str) -> Option<usize> {
    let number = env::var(variable).ok()?.parse().ok()?;
    (number > 0).then_some(number)
}

/// POSIX: `LC_ALL` wins over `LC_CTYPE` over `LANG`.
fn speaks_unicode() -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .into_iter()
        .find(|name| is_set(name))
        .and_then(|name| env::var(name).ok())
        .unwrap_or_default()
        .to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

/// The terminal. Cheap to clone; clones write to the same streams.
#[derive(Clone)]
pub struct Ui {
    inner: Arc<Mutex<Inner>>,
    out_style: Style,
    err_style: Style,
    interactive: bool,
    live: bool,
    out_terminal: bool,
    window: Window,
    modes: Option<Modes>,
}

struct Inner {
    out: Box<dyn Write + Send>,
    err: Box<dyn Write + Send>,
    out_closed: bool,
    region: Region,
    window: Window,
    /// While a prompt is open, lines wait here.
    held: Option<String>,
    /// Lines that would have stopped this process, which is in the background.
    put_off: String,
}

impl Ui {
    /// Writes to these streams.
    pub fn new(streams: Streams) -> Self {
        let rigid = is_rigid(|name| env::var(name).ok());
        Self::in_window(streams, Window::Own, rigid)
    }

    fn in_window(streams: Streams, window: Window, rigid: bool) -> Self {
        Self {
            inner: Arc::new(Mutex::new(Inner {
                out: streams.out,
                err: streams.err,
                out_closed: false,
                region: Region::new(rigid),
                window: window.clone(),
                held: None,
                put_off: String::new(),
            })),
            out_style: streams.out_style,
            err_style: streams.err_style,
            interactive: streams.interactive,
            live: streams.live,
            out_terminal: streams.out_terminal,
            window,
            modes: Modes::now().filter(|_| streams.interactive),
        }
    }

    /// Writes to the process's own streams.
    pub fn from_environment(colours: Colours) -> Self {
        Self::new(Streams::from_environment(colours))
    }

    /// Writes into memory: for tests. Nobody can be asked.
    pub fn captured(style: Style) -> (Self, Captured) {
        let captured = Captured::default();
        let streams = Streams {
            out: Box::new(captured.out.clone()),
            err: Box::new(captured.err.clone()),
            out_style: style,
            err_style: style,
            interactive: false,
            live: false,
            out_terminal: false,
        };
        (Self::new(streams), captured)
    }

    /// As [`Ui::captured`], on a terminal with so many columns and rows, both streams to it. The size may be
    /// changed in between; a `rigid` terminal does not break lines anew then.
    pub fn captured_live(
        style: Style,
        size: Arc<Mutex<(usize, usize)>>,
        rigid: bool,
    ) -> (Self, Captured) {
        let captured = Captured::default();
        let streams = Streams {
            out: Box::new(captured.err.clone()),
            err: Box::new(captured.err.clone()),
            out_style: style,
            err_style: style,
            interactive: false,
            live: true,
            out_terminal: true,
        };
        (
            Self::in_window(streams, Window::Fixed(size), rigid),
            captured,
        )
    }

    /// How data is to be laid out.
    pub fn out_style(&self) -> Style {
        self.out_style
    }

    /// How everything else is to be laid out: on a live terminal, for the width that it has now.
    pub fn err_style(&self) -> Style {
        if !self.live || number_in("COLUMNS").is_some() {
            return self.err_style;
        }
        match self.window.size() {
            Some((width, _)) => self.err_style.of_width(width.max(LEAST_WIDTH)),
            None => self.err_style,
        }
    }

    /// Columns and rows that lines can be drawn over on.
    pub fn size(&self) -> (usize, usize) {
        let own = self.window.size();
        let named = (number_in("COLUMNS"), number_in("LINES"));
        let width = match (own, named.0) {
            (Some((own, _)), Some(named)) => own.min(named),
            (Some((own, _)), None) => own,
            (None, named) => named.unwrap_or(80),
        };
        (width, own.map(|own| own.1).or(named.1).unwrap_or(24))
    }

    /// Whether a person can be asked.
    pub fn is_interactive(&self) -> bool {
        self.interactive
    }

    /// Whether lines can be drawn over.
    pub fn is_live(&self) -> bool {
        self.live
    }

    /// Whether this process has the terminal: in the background nothing is drawn over, a shell writes there.
    pub fn is_foreground(&self) -> bool {
        self.window.is_ours()
    }

    /// Whether a prompt is open.
    pub fn is_held(&self) -> bool {
        self.lock().held.is_some()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes text for people to stdout. A closed pipe is no error; a full disk is.
    pub fn data(&self, text: &str) -> io::Result<()> {
        let text = shield(text, self.out_style.colour);
        self.write_data(|out| out.write_all(text.as_bytes()))
    }

    /// Streams data for programs to stdout: JSON and CSV escape by their own rules. A closed pipe ends it
    /// without an error.
    pub fn write_data(
        &self,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut inner = self.lock();
        if inner.out_closed {
            return Ok(());
        }
        if self.out_terminal {
            inner.erase();
        }
        match write(&mut *inner.out).and_then(|()| inner.out.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                inner.out_closed = true;
                Ok(())
            }
            result => result,
        }
    }

    /// Whether data goes to a terminal.
    pub fn is_out_terminal(&self) -> bool {
        self.out_terminal
    }

    /// The process's stdout once more, for a thread that whoever reads it may hold up: nothing else of this waits for it.
    ///
    /// # Errors
    /// Where it is closed.
    pub fn beside(&self) -> io::Result<Box<dyn Write + Send>> {
        let own = io::stdout().as_fd().try_clone_to_owned()?;
        Ok(Box::new(File::from(own)))
    }

    /// Leaves the terminal as it was, also where a prompt still waits for a key.
    pub fn close(&self) {
        if let Some(modes) = &self.modes {
            modes.restore();
        }
        self.clear();
        self.release();
    }

    /// Writes text that was laid out for [`Ui::err_style`] to stderr, above the live lines.
    pub fn say(&self, text: &str) {
        let text = shield(text, self.err_style.colour);
        let mut inner = self.lock();
        if let Some(held) = &mut inner.held {
            held.push_str(&text);
            return;
        }
        inner.above(&text);
    }

    /// A line to stderr: made harmless, wrapped, painted.
    pub fn line(&self, tone: Tone, line: &str) {
        let mut text = Text::new(self.err_style);
        text.line(tone, line);
        self.say(&text.into_string());
    }

    /// An error, and what to do about it.
    pub fn error(&self, message: &str, hint: Option<&str>) {
        self.labelled(Tone::Bad, "error", message);
        if let Some(hint) = hint {
            self.hint(hint);
        }
    }

    /// A warning.
    pub fn warning(&self, message: &str) {
        self.labelled(Tone::Warn, "warning", message);
    }

    /// What to do.
    pub fn hint(&self, message: &str) {
        self.labelled(Tone::Strong, "hint", message);
    }

    /// Only the label is painted: a long message stays readable. Lines of the message stay lines.
    fn labelled(&self, tone: Tone, label: &str, message: &str) {
        let mut text = Text::new(Style {
            colour: false,
            ..self.err_style
        });
        let mut lines = message.lines();
        text.line(tone, &format!("{label}: {}", lines.next().unwrap_or("")));
        lines.for_each(|line| text.line(tone, &format!("  {line}")));
        let text = text.into_string();
        let painted = self.err_style.paint(tone, label);
        self.say(&format!("{painted}{}", &text[label.len()..]));
    }

    /// Draws these lines below everything else, over those of the last call. Without a live terminal, in the
    /// background and beside an open prompt nothing is drawn.
    pub fn draw(&self, lines: &[String]) {
        if !self.live {
            return;
        }
        let foreground = self.is_foreground();
        let mut inner = self.lock();
        if inner.held.is_some() {
            return;
        }
        inner.catch_up();
        if !foreground {
            // A shell has written since: what is drawn is its own by now.
            inner.region.abandon();
            return;
        }
        let lines = lines.iter();
        let lines = lines.map(|line| shield(line, self.err_style.colour).into_owned());
        let width = self.size().0;
        let frame = inner.region.draw(lines.collect(), width);
        inner.write(&frame);
    }

    /// Takes the drawn lines away.
    pub fn clear(&self) {
        self.lock().erase();
    }

    /// Takes the drawn lines away and keeps further lines back, until [`Ui::release`]: a prompt is open.
    pub fn hold(&self) {
        let mut inner = self.lock();
        inner.erase();
        inner.held.get_or_insert_default();
    }

    /// Writes what was kept back.
    pub fn release(&self) {
        let mut inner = self.lock();
        if let Some(held) = inner.held.take() {
            inner.above(&held);
        }
    }

    /// Leaves the terminal to whoever has it while `stop` stops this process, as Ctrl-Z does. An open prompt has
    /// its terminal's modes back afterwards.
    pub fn suspended(&self, stop: impl FnOnce()) {
        let mut inner = self.lock();
        inner.erase();
        let prompt = inner.held.as_ref().and_then(|_| Modes::now());
        if let Some(modes) = &self.modes {
            modes.restore();
        }
        stop();
        if let Some(prompt) = prompt {
            prompt.restore();
        }
    }

    /// This process was stopped without notice, and goes on: somebody may have written to the terminal since.
    pub fn continued(&self) {
        let mut inner = self.lock();
        let bytes = inner.region.abandon();
        inner.write(bytes);
    }

    /// An error in a panic: whoever panicked may be the one who writes to the terminal, and never comes back.
    pub fn last_words(&self, message: &str, hint: Option<&str>) {
        let is_free = || match self.inner.try_lock() {
            Err(TryLockError::WouldBlock) => {
                thread::sleep(Duration::from_millis(50));
                false
            }
            Ok(_) | Err(TryLockError::Poisoned(_)) => true,
        };
        if (0..20).any(|_| is_free()) {
            self.clear();
            self.error(message, hint);
        } else {
            let text = format!("\r\nerror: {message}\n");
            let _ = io::stderr().write_all(shield(&text, false).as_bytes());
        }
    }

    /// Writes text to stderr although lines are kept back: the prompt's own.
    fn prompt_text(&self, text: &str) {
        self.lock().above(&shield(text, self.err_style.colour));
    }
}

impl Inner {
    /// Columns, for what is drawn over.
    fn width(&self) -> usize {
        self.window.size().map_or(usize::MAX, |size| size.0)
    }

    fn erase(&mut self) {
        if self.region.is_drawn() {
            let width = self.width();
            let bytes = self.region.erase(width);
            self.write(&bytes);
        }
    }

    /// Text for the terminal, in whole lines; in the background of a shell that stops whoever writes there, later.
    fn above(&mut self, text: &str) {
        if self.window.stops_writers() {
            self.put_off.push_str(text);
            return;
        }
        self.catch_up();
        if self.region.is_drawn() {
            let width = self.width();
            let end = if text.ends_with('\n') { "" } else { "\n" };
            let bytes = self.region.above(&format!("{text}{end}"), width);
            self.write(&bytes);
        } else {
            self.write(text);
        }
    }

    fn catch_up(&mut self) {
        if !self.put_off.is_empty() && !self.window.stops_writers() {
            let text = std::mem::take(&mut self.put_off);
            self.above(&text);
        }
    }

    /// Nobody can be told that stderr is gone.
    fn write(&mut self, bytes: &str) {
        let _ = self.err.write_all(bytes.as_bytes());
        let _ = self.err.flush();
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.erase();
    }
}

/// What a [`Ui::captured`] wrote.
#[derive(Clone, Debug, Default)]
pub struct Captured {
    out: Buffer,
    err: Buffer,
}

impl Captured {
    /// Stdout so far.
    pub fn out(&self) -> String {
        self.out.text()
    }

    /// Stderr so far.
    pub fn err(&self) -> String {
        self.err.text()
    }
}

#[derive(Clone, Debug, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Buffer {
    fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut buffer = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        buffer.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Closed;

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Full;

    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn to(out: Box<dyn Write + Send>) -> Ui {
        Ui::new(Streams {
            out,
            err: Box::new(Closed),
            out_style: Style::PLAIN,
            err_style: Style::PLAIN,
            interactive: false,
            live: false,
            out_terminal: false,
        })
    }

    #[test]
    fn a_closed_pipe_is_silent_and_a_full_disk_is_not() {
        let ui = to(Box::new(Closed));
        assert!(ui.data("x").is_ok());
        assert!(ui.data("y").is_ok());
        ui.line(Tone::Bad, "nobody reads this");
        assert!(to(Box::new(Full)).data("x").is_err());
    }

    #[test]
    fn lines_wait_while_a_prompt_is_open() {
        let (ui, captured) = Ui::captured(Style::PLAIN);
        ui.hold();
        ui.line(Tone::Plain, "later");
        assert_eq!(captured.err(), "");
        ui.release();
        assert_eq!(captured.err(), "later\n");
    }

    #[test]
    fn nothing_but_text_and_own_styling_leaves() {
        let text = "a\u{1b}]0;x\u{7}b\u{9b}2J\u{202e}\u{1b}[1mc\u{1b}[0m\r\n";
        for colour in [false, true] {
            let style = Style {
                colour,
                ..Style::PLAIN
            };
            let (ui, captured) = Ui::captured(style);
            ui.data(text).expect("memory");
            ui.say(text);
            ui.prompt_text(text);
            let styled = if colour {
                "\u{1b}[1mc\u{1b}[0m"
            } else {
                "\\u{1b}[1mc\\u{1b}[0m"
            };
            let shown = format!("a\\u{{1b}}]0;x\\u{{7}}b\\u{{9b}}2J\\u{{202e}}{styled}\\r\n");
            assert_eq!(captured.out(), shown);
            assert_eq!(captured.err(), shown.repeat(2));
        }
    }

    #[test]
    fn an_error_says_what_to_do_and_hides_nothing() {
        let (ui, captured) = Ui::captured(Style::PLAIN);
        ui.error(
            "no run \u{1b}[2Jx\nsecond line",
            Some("runbook runs lists them"),
        );
        assert_eq!(
            captured.err(),
            "error: no run \\u{1b}[2Jx\n  second line\nhint: runbook runs lists them\n"
        );
    }
}

//! What `exec`, `resume`, `plan` and `explain` have in common: a run with its ending. Its flags are in [`steering`],
//! what is needed before it in [`opening`], the frame of signals and time in [`signals`].
//!
//! Wiring: each function says on the terminal what went wrong and gives back the [`Exit`] that follows.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Exit, Output};
use crate::action::World;
use crate::action::command;
use crate::api::{Bound, Feed, Own, Runs, Server};
use crate::desk::{Desk, Together};
use crate::journal::{self, Holder, Journal, JournalError};
use crate::record::{Record, RunId, Through};
use crate::report::{Located, shell_word, write_json};
use crate::run::kill::KillSwitch;
use crate::run::{Broken, Display, Interrupts, Loop, Operator, Progress};
use crate::runbook::{EvalError, Event};
use crate::steps::notice::{Notice, Whereabouts};
use crate::steps::{Finish, Machine};
use crate::temporal::Temporal;
use crate::ui::{LiveDisplay, TerminalOperator, Tone, Ui};

mod opening;
mod signals;
mod steering;
mod stream;

pub use opening::{
    complete, connect, effective, guarded, lock, lock_named, new_run, parameters, refused_by_lock,
    scope, settings, survey, within_guards,
};
pub use signals::{perform, unless_interrupted};
pub use steering::{Names, Steering};

use signals::with_limit;
use stream::{HASTE, PATIENCE, Stream};

/// Says what went wrong.
pub fn failed(message: &str, ui: &Ui) -> Exit {
    ui.error(message, None);
    Exit::Failed
}

/// What follows from printing data.
pub fn printed(result: std::io::Result<()>, ui: &Ui) -> Exit {
    match result {
        Ok(()) => Exit::Done,
        Err(error) => failed(&format!("cannot write to stdout: {error}"), ui),
    }
}

/// Says what is wrong with a journal.
pub fn refused(error: &JournalError, ui: &Ui) -> Exit {
    ui.error(&error.to_string(), Some(&error.hint()));
    match error.exit_code() {
        1 => Exit::Failed,
        2 => Exit::Invalid,
        4 => Exit::Refused,
        _ => Exit::Bug,
    }
}

/// A run that is ready to go on.
pub struct Session<'a> {
    /// Opened and attached.
    pub machine: Machine,
    /// Locked.
    pub journal: Journal,
    /// The service.
    pub temporal: Temporal,
    /// What was recalled of earlier attachments.
    pub display: LiveDisplay,
    /// The run.
    pub run: RunId,
    /// Where the journal is.
    pub path: PathBuf,
    /// Whether nothing is written.
    pub dry: bool,
    /// Terminal.
    pub ui: &'a Ui,
    /// How data is printed.
    pub output: Output,
    /// Time of the whole command.
    pub limit: Option<Duration>,
    /// Where it is answered from elsewhere.
    pub desk: Option<Desk>,
    /// Where others look on, and answer at the desk.
    pub bound: Option<Bound>,
}

impl Session<'_> {
    /// Runs it to an end of some kind, and says how it ended.
    pub async fn run(mut self, mut interrupts: Interrupts) -> Exit {
        let user = Holder::here().witness(Through::Terminal);
        let located = located(&self.path, &self.run);
        self.announce(&located);
        let whereabouts = self.whereabouts();
        if let Some(limit) = self.limit {
            interrupts = with_limit(interrupts, limit);
        }
        let (dry, output, ui) = (self.dry, self.output, self.ui);
        let feed = Feed::default();
        let server = match self.serve(&feed) {
            Ok(server) => server,
            Err(exit) => return exit,
        };
        let terminal = TerminalOperator::new(self.ui.clone(), user);
        let together;
        let operator: &dyn Operator = match &self.desk {
            Some(desk) => {
                interrupts = desk.joined(interrupts);
                together = Together {
                    terminal: &terminal,
                    desk,
                };
                &together
            }
            None => &terminal,
        };
        let told = match self.told() {
            Ok(told) => told,
            Err(exit) => return exit,
        };
        let mut display = Shown {
            live: self.display,
            told,
            desk: self.desk.clone(),
            feed: feed.clone(),
        };
        let mut run = Loop {
            machine: self.machine,
            journal: self.journal,
            world: World::of(
                self.temporal.clone(),
                crate::clock::Clock::real(),
                self.run.clone(),
            ),
            operator,
            display: &mut display,
            interrupts,
            kill: KillSwitch::from_text(std::env::var("RUNBOOK_TEST_KILL").ok().as_deref()),
        };
        let ended = run.run().await;
        let Loop {
            machine,
            journal,
            world,
            mut interrupts,
            ..
        } = run;
        // Whoever is told may go on with the run.
        drop(journal);
        self.desk.iter().for_each(Desk::close);
        feed.close();
        ui.close();
        let notice = notice(&machine, &ended, &whereabouts);
        let patience = match ended {
            Err(Broken::Abandoned) => HASTE,
            _ => PATIENCE,
        };
        let exit = conclude(ended, &display.live, &located, (dry, output), ui);
        tell(notice, &world, &mut interrupts, ui).await;
        if let Told::Beside(stream) = display.told {
            let target = shell_word(&located.target);
            stream.end(patience, &mut interrupts, &target, ui).await;
        }
        // Last: whoever watches may still be reading the end.
        server.into_iter().for_each(Server::stop);
        exit
    }

    /// Who is told each record on stdout. A terminal is written to in turn with what is drawn on it.
    fn told(&self) -> Result<Told, Exit> {
        if self.output != Output::Json {
            return Ok(Told::Nobody);
        }
        if self.ui.is_out_terminal() {
            return Ok(Told::Inline(self.ui.clone()));
        }
        let from = self.journal.next_seq();
        Stream::begin(&self.path, from, self.ui)
            .map(Told::Beside)
            .map_err(|error| failed(&format!("cannot write to stdout: {error}"), self.ui))
    }

    /// Lets others look on and answer, where that was asked for.
    fn serve(&mut self, feed: &Feed) -> Result<Option<Server>, Exit> {
        let (Some(bound), Some(desk)) = (self.bound.take(), &self.desk) else {
            return Ok(None);
        };
        let own = Own {
            run: self.run.clone(),
            path: self.path.clone(),
            feed: feed.clone(),
            desk: desk.clone(),
        };
        let server = bound
            .serve(Runs::Own(own))
            .map_err(|why| failed(&why, self.ui))?;
        let line = format!("Others may watch and answer on {}", server.address());
        self.ui.line(Tone::Plain, &line);
        let target = located(&self.path, &self.run).target;
        let target = shell_word(&target);
        let line = format!("  runbook watch {target}; runbook approve {target} STEP");
        self.ui.line(Tone::Plain, &line);
        Ok(Some(server))
    }

    fn whereabouts(&self) -> Whereabouts {
        let connection = self.temporal.connection();
        // Whoever is told may stand elsewhere.
        let path = std::path::absolute(&self.path).unwrap_or_else(|_| self.path.clone());
        Whereabouts {
            state: path.display().to_string(),
            resume: journal::resume_line(&path, &self.run),
            address: connection.address().to_owned(),
            namespace: connection.namespace().to_owned(),
        }
    }

    fn announce(&self, located: &Located) {
        let connection = self.temporal.connection();
        let kind = if self.dry { "Dry run" } else { "Run" };
        self.ui.line(
            Tone::Strong,
            &format!(
                "{kind} {} on {}, namespace {}",
                self.run,
                connection.address(),
                connection.namespace()
            ),
        );
        self.ui
            .line(Tone::Plain, &format!("State file: {}", located.path));
        if !self.dry {
            self.ui.line(
                Tone::Plain,
                &format!(
                    "If this process ends, go on with: {}",
                    journal::resume_line(&self.path, &self.run)
                ),
            );
            self.announce_notify();
        }
    }

    /// It is run without being asked for: so it is said beforehand.
    fn announce_notify(&self) {
        let Some(notify) = &self.machine.runbook().notify else {
            return;
        };
        let events: Vec<&str> = notify.on.iter().map(|event| event.name()).collect();
        let (program, events) = (notify.argv.join(" "), events.join(", "));
        self.ui
            .line(Tone::Plain, &format!("Notified when {events}: {program}"));
    }
}

/// Says how a run ended, and gives the exit code that follows.
fn conclude(
    ended: Result<Finish, Broken>,
    live: &LiveDisplay,
    located: &Located,
    (dry, output): (bool, Output),
    ui: &Ui,
) -> Exit {
    if let Err(Broken::Abandoned) = ended {
        ui.error(
            "interrupted twice: calls in flight were left alone",
            Some(&format!(
                "runbook resume {} finds out what became of them",
                located.target
            )),
        );
        return Exit::Interrupted;
    }
    summarize(live, located, ui, output);
    match ended {
        // A dry run has nothing to go on with.
        Ok(Finish::Parked) if dry => Exit::Done,
        Ok(finish) => exit_of(&finish),
        Err(Broken::Journal(error)) => refused(&error, ui),
        Err(Broken::Killed) => Exit::Failed,
        Err(Broken::Abandoned) => Exit::Interrupted,
    }
}

/// Whom to tell how a run ended: of its journal, too, where nothing can be written into that any more.
fn notice(
    machine: &Machine,
    ended: &Result<Finish, Broken>,
    whereabouts: &Whereabouts,
) -> Result<Option<Notice>, EvalError> {
    match ended {
        Ok(finish) => machine.notice(finish, whereabouts),
        Err(Broken::Journal(error)) => {
            machine.notice_broken(&format!("{error}; {}", error.hint()), whereabouts)
        }
        Err(Broken::Killed | Broken::Abandoned) => Ok(None),
    }
}

/// Tells the program that the runbook names. What goes wrong with that is a warning; a signal ends the program, too.
async fn tell(
    notice: Result<Option<Notice>, EvalError>,
    world: &World,
    interrupts: &mut Interrupts,
    ui: &Ui,
) {
    let notice = match notice {
        Ok(None) => return,
        Ok(Some(notice)) => notice,
        Err(error) => return ui.warning(&format!("`notify` was not run: {error}")),
    };
    let program = notice.sealed.command.argv[0].0.clone();
    ui.draw(&[format!(
        "Telling `{program}` that the run {}",
        said(notice.event)
    )]);
    let problem = tokio::select! {
        biased;
        Some(_) = interrupts.recv() => Some("interrupted; it was ended".to_owned()),
        problem = command::tell(world, &notice) => problem,
    };
    ui.clear();
    if let Some(problem) = problem {
        ui.warning(&format!("`notify`: {problem}"));
    }
}

fn said(event: Event) -> &'static str {
    match event {
        Event::Finished => "finished",
        Event::Parked => "is parked",
        Event::Failed => "failed",
    }
}

fn exit_of(finish: &Finish) -> Exit {
    match finish {
        Finish::Succeeded => Exit::Done,
        Finish::Halted => Exit::Failed,
        Finish::Parked => Exit::Parked,
        Finish::Interrupted => Exit::Interrupted,
        Finish::Refused => Exit::Refused,
    }
}

/// The last lines: data for people, beside the stream of records for programs.
pub fn summarize(display: &LiveDisplay, located: &Located, ui: &Ui, output: Output) {
    let report = display.report();
    match output {
        Output::Text => {
            if let Err(error) = ui.data(&report.summary(located, ui.out_style())) {
                ui.error(&format!("cannot write to stdout: {error}"), None);
            }
        }
        Output::Json => ui.say(&report.summary(located, ui.err_style())),
    }
}

/// Where a run's journal is, and what `resume` takes.
pub fn located(path: &Path, run: &RunId) -> Located {
    let shown = path.display().to_string();
    let usual = journal::path_of(run).is_ok_and(|usual| usual == path);
    Located {
        target: if usual { run.0.clone() } else { shown.clone() },
        path: shown,
        holder: None,
    }
}

/// Who gets the records as JSON Lines on stdout.
enum Told {
    Nobody,
    /// A terminal.
    Inline(Ui),
    /// A program, which may be slower than the run.
    Beside(Stream),
}

/// The terminal, and the records as JSON Lines on stdout where a program reads them.
struct Shown {
    live: LiveDisplay,
    told: Told,
    desk: Option<Desk>,
    feed: Feed,
}

impl Display for Shown {
    fn record(&mut self, record: &Record) {
        if let Told::Beside(stream) = &self.told {
            stream.reached(record.seq);
        }
        if let Told::Inline(ui) = &self.told {
            let written = ui.write_data(|out| {
                write_json(record, false, out)?;
                out.write_all(b"\n")
            });
            if let Err(error) = written {
                ui.error(
                    &format!("cannot write to stdout: {error}"),
                    Some("the run goes on; its records are in the state file"),
                );
                self.told = Told::Nobody;
            }
        }
        self.live.record(record);
        // Last: whoever answered from elsewhere is told when it is shown here, too.
        self.desk.iter().for_each(|desk| desk.observe(record));
        self.feed.record(record);
    }

    fn progress(&mut self, progress: &Progress) {
        self.live.progress(progress);
        self.feed.progress(progress);
    }
}

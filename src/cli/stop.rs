//! `runbook stop RUN`: stops a run as Ctrl-C at its own terminal does, from anywhere.
//!
//! Whoever carries the run out is told, lets calls in flight end, writes down who wanted it, and ends; the verb waits for
//! that, and says how the run stands. Interrupting the verb takes nothing back. Wiring.

use std::time::Duration;

use futures::StreamExt as _;
use jiff::SignedDuration;
use rustix::process::geteuid;
use serde_json::json;
use tonic::Status;

use super::listen::{ConnectFlags, printed, told};
use super::session;
use super::{Exit, Output};
use crate::api::client::{self, Target, Unreached, Watching};
use crate::api::v1::{self, RunState, watch_run_response::Event};
use crate::api::{Events, PROGRESS_ONLY, Runs, Service};
use crate::journal;
use crate::report::{duration, shell_word};
use crate::run::Interrupts;
use crate::ui::{BEAT, Pulse, Tone, Ui};

/// Stop a run as Ctrl-C at its own terminal does; it can be resumed
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Run id, a beginning of it that no other run has, or the state file's path
    #[arg(value_name = "RUN")]
    pub run: String,
    /// How long to wait until it has stopped; 0s is not at all
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = patience)]
    pub timeout: Duration,
    /// Where
    #[command(flatten)]
    pub connect: ConnectFlags,
}

fn patience(text: &str) -> Result<Duration, String> {
    let parsed: Result<SignedDuration, _> = text.parse();
    let whole = parsed.ok().and_then(|it| Duration::try_from(it).ok());
    whole.ok_or_else(|| "expected a duration, for example 30s or 5m".to_owned())
}

/// Runs the verb.
pub fn run(arguments: &Arguments, ui: &Ui, output: Output) -> Exit {
    session::perform(ui, |interrupts| async {
        stop(arguments, ui, output, interrupts)
            .await
            .unwrap_or_else(|exit| exit)
    })
}

/// Who passes it on.
enum Way {
    /// A server.
    Remote(Target),
    /// This process, to the one that carries the run out on this machine.
    Here(Service),
}

impl Way {
    async fn stop(&self, run_id: String, ui: &Ui) -> Result<(), Exit> {
        let stopped = match self {
            Self::Here(service) => {
                service
                    .stop(&run_id, journal::peer(geteuid().as_raw()))
                    .await
            }
            Self::Remote(target) => {
                let mut client = client::connect(target).await.map_err(|why| match why {
                    Unreached::Usage(why) => {
                        ui.error(&why, None);
                        Exit::Invalid
                    }
                    Unreached::Refused(why) => session::failed(&why, ui),
                })?;
                let request = v1::StopRunRequest { run_id };
                client.stop_run(request).await.map(drop)
            }
        };
        stopped.map_err(|status| told(&status, ui))
    }

    /// Comes to an end with the run.
    async fn watch(self, run_id: String) -> Result<Events, Status> {
        let request = v1::WatchRunRequest {
            run_id,
            from_seq: PROGRESS_ONLY,
            records_only: true,
        };
        match self {
            Self::Here(service) => service.watch(request).await,
            Self::Remote(target) => Ok(Watching::new(target, request).events()),
        }
    }
}

async fn stop(
    arguments: &Arguments,
    ui: &Ui,
    output: Output,
    mut interrupts: Interrupts,
) -> Result<Exit, Exit> {
    let (way, run) = way(arguments, ui)?;
    tokio::select! {
        biased;
        _ = interrupts.recv() => {
            let hint = format!("`runbook show {}` says how it stands", shell_word(&run));
            ui.error("interrupted: it is not known whether the run was asked", Some(&hint));
            return Err(Exit::Interrupted);
        }
        asked = way.stop(run.clone(), ui) => asked?,
    }
    if arguments.timeout.is_zero() {
        tell(&run, None, ui, output)?;
        return Ok(Exit::Done);
    }
    let line = format!("Run {run} was asked to stop; calls in flight end first");
    ui.line(Tone::Plain, &line);
    let mut pulse = Pulse::new(ui, "Waits until it has stopped");
    let mut beats = tokio::time::interval(BEAT);
    let over = tokio::time::sleep(arguments.timeout);
    let ended = ended(way, run.clone());
    tokio::pin!(over, ended);
    loop {
        tokio::select! {
            biased;
            _ = interrupts.recv() => {
                ui.close();
                ui.line(Tone::Plain, "The run was asked, and stops without this command.");
                return Err(Exit::Interrupted);
            }
            end = &mut ended => {
                ui.close();
                let end = end.map_err(|status| told(&status, ui))?;
                tell(&run, Some(&end), ui, output)?;
                return Ok(Exit::Done);
            }
            () = &mut over => {
                ui.close();
                return Err(late(arguments, ui));
            }
            _ = beats.tick() => pulse.beat(),
        }
    }
}

/// Who passes it on, and the run's id.
fn way(arguments: &Arguments, ui: &Ui) -> Result<(Way, String), Exit> {
    if let Some(target) = arguments.connect.target(ui)? {
        return Ok((Way::Remote(target), arguments.run.clone()));
    }
    let path = journal::find(&arguments.run).map_err(|error| session::refused(&error, ui))?;
    let run = match journal::read(&path) {
        Ok(records) => records.run().0.clone(),
        Err(error) => return Err(session::refused(&error, ui)),
    };
    Ok((Way::Here(Service::new(Runs::File(path))), run))
}

async fn ended(way: Way, run: String) -> Result<v1::End, Status> {
    let mut events = way.watch(run).await?;
    while let Some(event) = events.next().await {
        if let Some(Event::End(end)) = event?.event {
            return Ok(end);
        }
    }
    Err(Status::unavailable(
        "the server ended without saying how the run stands",
    ))
}

fn late(arguments: &Arguments, ui: &Ui) -> Exit {
    let patience = SignedDuration::try_from(arguments.timeout).unwrap_or(SignedDuration::MAX);
    let message = format!("the run still goes on after {}", duration(patience));
    let run = shell_word(&arguments.run);
    let hint = format!(
        "it was asked, and stops when its calls in flight have ended; `runbook watch {run}` shows what it waits for"
    );
    ui.error(&message, Some(&hint));
    Exit::Failed
}

/// How the run stands; without an `end` it goes on still.
fn tell(run: &str, end: Option<&v1::End>, ui: &Ui, output: Output) -> Result<(), Exit> {
    let state = end.map_or(RunState::Running, v1::End::state);
    if output == Output::Json {
        let value = json!({
            "run": run,
            "state": name(state),
            "reason": end.map(|end| &end.reason),
            "resume": end.map(|end| &end.resume).filter(|line| !line.is_empty()),
        });
        return printed(super::print_json(ui, &value), ui);
    }
    let Some(end) = end else {
        let line = format!("Run {run} was asked to stop");
        ui.line(Tone::Plain, &line);
        return Ok(());
    };
    let because = match end.reason.as_str() {
        "" => String::new(),
        reason => format!(": {reason}"),
    };
    let line = match state {
        RunState::Interrupted => format!("Run {run} has stopped, by {}", end.reason),
        RunState::Succeeded => format!("Run {run} had succeeded before it could stop"),
        RunState::Parked => format!("Run {run} had parked before it could stop{because}"),
        RunState::Stopped => format!("The process of run {run} ended without a word"),
        _ => format!("Run {run} had ended before it could stop{because}"),
    };
    ui.line(Tone::Good, &line);
    if !end.resume.is_empty() {
        ui.hint(&format!("to go on: {}", end.resume));
    }
    Ok(())
}

/// As `runbook runs` has it.
fn name(state: RunState) -> String {
    let name = state.as_str_name();
    let short = name.strip_prefix("RUN_STATE_").unwrap_or(name);
    short.to_ascii_lowercase()
}

//! `runbook watch RUN`: a run as its own terminal shows it, from anywhere.
//!
//! Over a server, else from its state file, with progress where the run's process listens. It looks on and nothing more:
//! the run does not know of it, and Ctrl-C ends the watching alone. Wiring.

use futures::StreamExt as _;
use jiff::Timestamp;

use super::listen::{ConnectFlags, printed, told};
use super::session;
use super::{Exit, Output};
use crate::api::client::Watching;
use crate::api::v1::{self, watch_run_response::Event};
use crate::api::{Events, Runs, Service};
use crate::journal;
use crate::record::{Body, Place, Record, RunId};
use crate::report::{Located, shell_word};
use crate::run::{Display as _, Interrupts, Progress};
use crate::ui::{LiveDisplay, Tone, Ui};

/// Look on while a run goes on, as its own terminal shows it; ends with the run, and as it does
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Run id, a beginning of it that no other run has, or the state file's path
    #[arg(value_name = "RUN")]
    pub run: String,
    /// Begin with this record; else with the first
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub from: u64,
    /// Where
    #[command(flatten)]
    pub connect: ConnectFlags,
}

/// Runs the verb.
pub fn run(arguments: &Arguments, ui: &Ui, output: Output) -> Exit {
    session::perform(ui, |interrupts| async {
        watch(arguments, ui, output, interrupts)
            .await
            .unwrap_or_else(|exit| exit)
    })
}

async fn watch(
    arguments: &Arguments,
    ui: &Ui,
    output: Output,
    mut interrupts: Interrupts,
) -> Result<Exit, Exit> {
    let (mut events, located) = events(arguments, ui).await?;
    let mut shown = Shown {
        live: LiveDisplay::new(ui.clone()),
        ui,
        output,
        unknown: false,
        asks: None,
    };
    loop {
        let event = tokio::select! {
            biased;
            _ = interrupts.recv() => {
                ui.close();
                ui.line(Tone::Plain, "The run goes on without this command.");
                return Ok(Exit::Interrupted);
            }
            event = events.next() => event,
        };
        match event.map(|event| event.map(|event| event.event)) {
            Some(Ok(Some(Event::Record(record)))) => shown.record(&record)?,
            Some(Ok(Some(Event::Progress(progress)))) => {
                shown.live.progress(&progress_of(&progress));
                shown.say_how_to_answer(&arguments.run);
            }
            Some(Ok(Some(Event::End(end)))) => {
                ui.close();
                session::summarize(&shown.live, &located, ui, output);
                return Ok(exit_of(&end));
            }
            Some(Ok(None)) => {}
            Some(Err(status)) => {
                ui.close();
                return Err(told(&status, ui));
            }
            None => {
                return Err(session::failed(
                    "the server ended without saying how the run stands",
                    ui,
                ));
            }
        }
    }
}

/// The run's events, and what to call it.
async fn events(arguments: &Arguments, ui: &Ui) -> Result<(Events, Located), Exit> {
    let request = |run_id: String| v1::WatchRunRequest {
        run_id,
        from_seq: arguments.from,
        records_only: false,
    };
    if let Some(target) = arguments.connect.target(ui)? {
        let located = Located {
            target: arguments.run.clone(),
            ..Located::default()
        };
        let watching = Watching::new(target, request(arguments.run.clone()));
        return Ok((watching.events(), located));
    }
    let path = journal::find(&arguments.run).map_err(|error| session::refused(&error, ui))?;
    let run: RunId = match journal::read(&path) {
        Ok(records) => records.run().clone(),
        Err(error) => return Err(session::refused(&error, ui)),
    };
    let located = session::located(&path, &run);
    let service = Service::new(Runs::File(path));
    let events = service.watch(request(run.0)).await;
    Ok((events.map_err(|status| told(&status, ui))?, located))
}

struct Shown<'a> {
    live: LiveDisplay,
    ui: &'a Ui,
    output: Output,
    /// Whether a record was met that this version does not know.
    unknown: bool,
    /// The step whose question was asked last, until it is answered or it was said how to.
    asks: Option<String>,
}

impl Shown<'_> {
    fn record(&mut self, record: &v1::Record) -> Result<(), Exit> {
        if self.output == Output::Json {
            // A line of JSON holds none of these; another server than this tool's may send anything.
            if record.json.contains(char::is_control) {
                let why = format!("what came as record {} is no line of JSON", record.seq);
                self.ui.close();
                return Err(session::failed(&why, self.ui));
            }
            let line = format!("{}\n", record.json);
            let written = self.ui.write_data(|out| out.write_all(line.as_bytes()));
            printed(written, self.ui)?;
        }
        match serde_json::from_str::<Record>(&record.json) {
            Ok(record) => {
                match &record.body {
                    Body::Asked { place, .. } => self.asks = Some(place.step.clone()),
                    Body::Answered { .. } => self.asks = None,
                    _ => {}
                }
                self.live.record(&record);
            }
            Err(_) if self.unknown => {}
            Err(_) => {
                self.unknown = true;
                let kind = &record.kind;
                self.ui.warning(&format!(
                    "record {} (`{kind}`) is not known to this version of runbook: what is shown leaves it out",
                    record.seq
                ));
            }
        }
        Ok(())
    }
}

impl Shown<'_> {
    /// Once for each question that is open now: there is progress after it.
    fn say_how_to_answer(&mut self, run: &str) {
        if let Some(step) = self.asks.take() {
            let run = shell_word(run);
            self.ui
                .hint(&format!("to answer: runbook approve {run} {step}"));
        }
    }
}

fn progress_of(progress: &v1::Progress) -> Progress {
    let place = || Place {
        step: progress.step.clone(),
        iteration: progress.iteration,
    };
    let time = |at: &prost_types::Timestamp| Timestamp::new(at.seconds, at.nanos).ok();
    let now = progress.now.as_ref().and_then(time);
    Progress {
        step: (!progress.step.is_empty()).then(place),
        in_flight: progress.in_flight as usize,
        rate: progress.rate,
        waiting_for: Some(progress.waiting_for.clone()).filter(|it| !it.is_empty()),
        until: progress.until.as_ref().and_then(time),
        now: now.unwrap_or_else(Timestamp::now),
        simulated: progress.simulated,
    }
}

fn exit_of(end: &v1::End) -> Exit {
    match end.exit_code {
        0 => Exit::Done,
        3 => Exit::Parked,
        4 => Exit::Refused,
        130 => Exit::Interrupted,
        _ => Exit::Failed,
    }
}

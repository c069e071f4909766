//! `runbook simulator FILE`: a scenario's world, served on a port, for other processes.
//!
//! Whoever speaks Temporal's protocol can look at it: the `temporal` CLI, and `runbook exec`. It answers
//! until it is told to end. Wiring.

use std::future::Future;
use std::io::{self, IsTerminal};
use std::net::SocketAddr;
use std::path::PathBuf;

use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

use super::parameters::as_flags;
use super::rehearse::{load, unknown_scenario};
use super::{Exit, Output};
use crate::clock::Clock;
use crate::diagnostic::{Diagnostic, Kind};
use crate::simulator::Simulator;
use crate::ui::{Text, Ui, shell_word};

/// Serve a scenario's world on a port, as a Temporal service
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The runbook.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Its rehearsal; without it, NAME.rehearsal.yaml beside the runbook.
    #[arg(long, value_name = "FILE")]
    pub rehearsal: Option<PathBuf>,
    /// Whose world.
    #[arg(long, value_name = "NAME")]
    pub scenario: String,
    /// Where it answers; port 0 is any free one.
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:7233")]
    pub listen: SocketAddr,
    /// How many times as fast as real time its time passes.
    #[arg(long, value_name = "N", default_value_t = 1.0, value_parser = speed)]
    pub speed: f64,
    /// Another seed than the scenario's own.
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Where it says over HTTP, as JSON, what really happened to each Workflow: for tests.
    #[arg(long, value_name = "ADDRESS")]
    pub facts: Option<SocketAddr>,
}

fn speed(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(speed) if speed.is_finite() && speed > 0.0 => Ok(speed),
        _ => Err("expected a number above 0".to_owned()),
    }
}

/// Runs until a signal; exit 0 then.
pub fn run(arguments: &Arguments, ui: &Ui, output: Output) -> Exit {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            ui.error(&format!("cannot start: {error}"), None);
            return Exit::Failed;
        }
    };
    // The clock begins with the runtime.
    let exit = runtime.block_on(async {
        let (simulator, flags) = match world(arguments) {
            Ok(world) => world,
            Err(problems) => return super::invalid(&problems, ui, output),
        };
        serve(arguments, &simulator, &flags, ui)
            .await
            .unwrap_or_else(|error| {
                ui.error(&error, None);
                Exit::Failed
            })
    });
    runtime.shutdown_background();
    exit
}

/// The scenario's world, from now on, and the flags that give a runbook its parameters.
fn world(arguments: &Arguments) -> Result<(Simulator, String), Vec<Diagnostic>> {
    let (runbook, rehearsal) = load(&arguments.file, arguments.rehearsal.as_deref())?;
    let Some(scenario) = rehearsal.scenarios.get(&arguments.scenario) else {
        return Err(vec![unknown_scenario(&rehearsal, &arguments.scenario)]);
    };
    let parameters = runbook.resolve_parameters(&rehearsal.parameters(scenario));
    let flags = parameters.map_or_else(|_| String::new(), |found| as_flags(&found));
    Simulator::new(
        &rehearsal.world(scenario),
        &scenario.faults,
        arguments.seed.unwrap_or(scenario.seed),
        Clock::scaled(Timestamp::now(), arguments.speed),
    )
    .map(|simulator| (simulator, flags))
    .map_err(|error| {
        let lines = error.to_string();
        lines
            .lines()
            .map(|line| Diagnostic::plain(Kind::Name, format!("the world: {line}")))
            .collect()
    })
}

/// Binds, says where, answers until a signal.
async fn serve(
    arguments: &Arguments,
    simulator: &Simulator,
    flags: &str,
    ui: &Ui,
) -> Result<Exit, String> {
    let end = signals().map_err(|error| format!("cannot watch for signals: {error}"))?;
    let listener = bind(arguments.listen).await?;
    let address = local(&listener)?;
    let facts = match arguments.facts {
        Some(wanted) => Some(bind(wanted).await?),
        None => None,
    };
    // The first line is the address and nothing else, so that a script can read it.
    let mut text = format!("{address}\n");
    if let Some(facts) = &facts {
        text += &format!("{}\n", local(facts)?);
    }
    ui.data(&text)
        .map_err(|error| format!("cannot write to stdout: {error}"))?;
    if io::stdout().is_terminal() {
        let file = shell_word(&arguments.file.display().to_string()).into_owned();
        ui.hint("Ctrl-C ends it; until then, in another terminal:");
        let mut commands = Text::new(ui.err_style());
        commands.command(&format!("runbook plan {file} --address {address}{flags}"));
        commands.command(&format!("temporal workflow list --address {address}"));
        ui.say(&commands.into_string());
    }
    let facts = async {
        match facts {
            Some(listener) => simulator.serve_facts(listener).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = end => Ok(Exit::Done),
        served = simulator.serve(listener) => served
            .map(|()| Exit::Done)
            .map_err(|error| format!("the simulator ended: {error}")),
        answered = facts => answered
            .map(|()| Exit::Done)
            .map_err(|error| format!("the facts cannot be served: {error}")),
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, String> {
    TcpListener::bind(address)
        .await
        .map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => {
                format!("cannot listen on {address}: it is taken; --listen 127.0.0.1:0 takes a free port")
            }
            _ => format!("cannot listen on {address}: {error}"),
        })
}

fn local(listener: &TcpListener) -> Result<SocketAddr, String> {
    listener
        .local_addr()
        .map_err(|error| format!("cannot tell the address: {error}"))
}

/// Ends with the first SIGINT or SIGTERM.
fn signals() -> io::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

//! `runbook exec FILE`: plan, then carry out the steps in order.
//!
//! Wiring; what it shares with `resume` is in [`super::session`].

use std::path::PathBuf;
use std::sync::Arc;

use super::parameters::ParameterFlags;
use super::session::{self, Session, Steering};
use super::{Exit, Output};
use crate::action::World;
use crate::clock::Clock;
use crate::connection::{Access, ConnectionArgs};
use crate::journal::{self, Holder, Journal};
use crate::plan::{LOOK_LIMIT, Plan};
use crate::report::holder_lines;
use crate::run::Interrupts;
use crate::steps::Machine;
use crate::ui::{LiveDisplay, Ui};

/// A run looks at each Workflow itself; its plan looks at so many of each row, for warnings.
const LOOKS: usize = 20;

/// Carry out a runbook: plan, then its steps in order, with a journal that can be resumed
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The runbook; `-` is stdin
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Parameters
    #[command(flatten)]
    pub parameters: ParameterFlags,
    /// Read everything, write nothing: the connection lets no write through
    #[arg(long)]
    pub dry_run: bool,
    /// Where the state file is; else $XDG_STATE_HOME/runbook/RUN.jsonl
    #[arg(long, value_name = "FILE")]
    pub state: Option<PathBuf>,
    /// How it goes
    #[command(flatten)]
    pub steering: Steering,
    /// The service
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// Runs the verb.
pub fn run(arguments: &Arguments, ui: &Ui, output: Output) -> Exit {
    session::perform(ui, |interrupts| async {
        exec(arguments, ui, output, interrupts)
            .await
            .unwrap_or_else(|exit| exit)
    })
}

async fn exec(
    arguments: &Arguments,
    ui: &Ui,
    output: Output,
    mut interrupts: Interrupts,
) -> Result<Exit, Exit> {
    let runbook = Arc::new(super::load(&arguments.file, ui, output)?);
    let flags = arguments
        .steering
        .flags(&runbook)
        .map_err(|problems| super::invalid(&problems, ui, output))?;
    let parameters = session::unless_interrupted(
        &mut interrupts,
        None,
        ui,
        session::parameters(&runbook, &arguments.parameters, ui, output),
    )
    .await?;
    let settings = session::guarded(&runbook, &arguments.connection, ui, output)?;
    let clock = Clock::real();
    let now = clock.now();
    let run = session::new_run(now);

    let planning = async {
        let temporal = session::connect(&settings, Access::ReadOnly, ui).await?;
        let world = World::of(temporal.clone(), clock.clone(), run.clone());
        let lock = session::lock(&world, &runbook, &parameters, ui, output).await?;
        if let Some((lock, holder)) = lock.as_ref().and_then(|it| Some((it, it.holder.as_ref()?))) {
            if !arguments.dry_run {
                return Err(session::refused_by_lock(lock, holder, &world, ui));
            }
            let lines = holder_lines(holder, clock.now()).join("; ");
            ui.warning(&format!("the lock `{}` is held, {lines}", lock.name));
        }
        let looks = if arguments.dry_run { LOOK_LIMIT } else { LOOKS };
        let survey = session::survey(&world, &runbook, &parameters, looks, ui, output).await?;
        session::within_guards(&survey, &runbook, &flags.skip_rows, |_| 0, ui, output)?;
        let temporal = if arguments.dry_run {
            temporal
        } else {
            session::connect(&settings, Access::ReadWrite, ui).await?
        };
        Ok((temporal, survey))
    };
    let limit = settings.command_timeout;
    let (temporal, survey) =
        session::unless_interrupted(&mut interrupts, limit, ui, planning).await?;
    survey
        .warnings
        .iter()
        .for_each(|warning| ui.warning(warning));

    let path = match &arguments.state {
        Some(path) => path.clone(),
        None => journal::path_of(&run).map_err(|error| session::refused(&error, ui))?,
    };
    let journal = Journal::create(&path).map_err(|error| session::refused(&error, ui))?;
    let plan = Plan::new(&runbook, parameters.clone(), survey, now);
    let mut machine = Machine::new(runbook, plan, parameters, run.clone(), arguments.dry_run);
    let here = Holder::here();
    machine.open(env!("CARGO_PKG_VERSION"), false, clock.now());
    machine.attach(
        &here.host,
        here.pid,
        &here.user,
        flags,
        Vec::new(),
        clock.now(),
    );
    let session = Session {
        machine,
        journal,
        temporal,
        display: LiveDisplay::new(ui.clone()),
        run,
        path,
        dry: arguments.dry_run,
        ui,
        output,
        limit,
    };
    Ok(session.run(interrupts).await)
}

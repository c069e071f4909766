//! `runbook exec FILE`: plan, then carry out the steps in order.
//!
//! Wiring; what it shares with `resume` is in [`super::session`].

use std::path::PathBuf;
use std::sync::Arc;

use super::listen::ListenFlags;
use super::parameters::ParameterFlags;
use super::saved::{self, Subject};
use super::session::{self, Session, Steering};
use super::{Exit, Output};
use crate::action::World;
use crate::clock::Clock;
use crate::connection::{Access, ConnectionArgs};
use crate::desk::Desk;
use crate::journal::{self, Holder, Journal};
use crate::plan::{LOOK_LIMIT, Plan};
use crate::report::holder_lines;
use crate::run::Interrupts;
use crate::steps::Machine;
use crate::ui::{LiveDisplay, Tone, Ui};

/// A run looks at each Workflow itself; its plan looks at so many of each row, for warnings.
const LOOKS: usize = 20;

/// Carry out a runbook: plan, then its steps in order, with a journal that can be resumed
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The runbook, `-` is stdin; or a plan that `runbook plan --out` saved: it is carried out as it was reviewed, once
    #[arg(value_name = "FILE|PLAN")]
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
    /// Who may look on
    #[command(flatten)]
    pub listen: ListenFlags,
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
    let Subject { runbook, saved } = saved::load(&arguments.file, ui, output)?;
    let (runbook, saved) = (Arc::new(runbook), saved.as_ref());
    let flags = arguments
        .steering
        .flags(&runbook)
        .map_err(|problems| super::invalid(&problems, ui, output))?;
    let parameters = async {
        let given = &arguments.parameters;
        match saved {
            Some(saved) => saved.parameters(&runbook, given, ui, output).await,
            None => session::parameters(&runbook, given, ui, output).await,
        }
    };
    let parameters = session::unless_interrupted(&mut interrupts, None, ui, parameters).await?;
    let settings = match saved {
        Some(saved) => saved.settings(&runbook, &arguments.connection, ui, output)?,
        None => session::guarded(&runbook, &arguments.connection, ui, output)?,
    };
    if let Some(saved) = saved {
        saved.hint_if_edited(ui);
        if !arguments.dry_run {
            saved.once(arguments.state.as_deref(), ui)?;
        }
    }
    let clock = Clock::real();
    let now = clock.now();
    let run = session::new_run(now);
    let bound = arguments.listen.bind(&run.0, ui)?;
    let desk = bound.as_ref().map(|_| Desk::new(clock.clone()));

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
        let mut notes = Vec::new();
        if let Some(saved) = saved {
            saved.same_namespace(&survey.preflight, ui)?;
            let diff = saved.diff(&runbook, &survey, clock.now());
            if !diff.within {
                return Err(saved::refuse_moved(&diff, ui, output));
            }
            ui.line(Tone::Plain, &saved.words());
            notes = diff.notes();
        }
        let temporal = if arguments.dry_run {
            temporal
        } else {
            session::connect(&settings, Access::ReadWrite, ui).await?
        };
        Ok((temporal, survey, notes))
    };
    let limit = settings.command_timeout;
    let (temporal, survey, notes) =
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
    // What was reviewed is what is granted from: a saved plan keeps its own counts.
    let plan = match saved {
        Some(saved) => saved.plan().clone(),
        None => Plan::new(&runbook, parameters.clone(), survey, now),
    };
    let mut machine = Machine::new(runbook, plan, parameters, run.clone(), arguments.dry_run)
        .of_saved(saved.map(|saved| saved.file.origin()));
    let here = Holder::here();
    machine.open(env!("CARGO_PKG_VERSION"), false, clock.now());
    machine.attach(
        &here.host,
        here.pid,
        here.account(),
        flags,
        notes,
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
        desk,
        bound,
    };
    Ok(session.run(interrupts).await)
}

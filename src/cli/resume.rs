//! `runbook resume RUN`: goes on with a run from its journal, wherever it stopped.
//!
//! The runbook, its parameters and its plan come from the journal's first record; the service is
//! surveyed again and secrets are fetched again.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::SignedDuration;

use super::listen::ListenFlags;
use super::parameters::ParameterFlags;
use super::session::{self, Names, Session, Steering};
use super::{Exit, Output};
use crate::action::World;
use crate::clock::Clock;
use crate::connection::{Access, ConnectionArgs};
use crate::desk::Desk;
use crate::diagnostic::{Diagnostic, Kind};
use crate::journal::{self, Holder, Journal};
use crate::record::{Body, Flags, RunId, RunStatus};
use crate::run::Interrupts;
use crate::run::begin::machine_of;
use crate::runbook::{ParameterInput, Parameters, Runbook};
use crate::steps::Machine;
use crate::ui::{LiveDisplay, Tone, Ui};

/// Calls of a process on another host may still be under way for so long after their deadline.
const GRACE: SignedDuration = SignedDuration::from_secs(10);

/// Go on with a run from its state file, wherever it stopped
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Run id, a beginning of it that no other run has, or the state file's path
    #[arg(value_name = "RUN")]
    pub run: String,
    /// Take up again what was refused, failed or is unknown
    #[arg(long)]
    pub retry_failed: bool,
    /// Accept how a halted step stands, and go on with the next one; repeatable
    #[arg(long, value_name = "STEP")]
    pub accept: Vec<String>,
    /// Add an entry to a map parameter (`-p classes.Refund=move_only`), or give a secret again
    /// (`-p token=@FILE`)
    #[arg(short = 'p', long = "param", value_name = "NAME.KEY=VALUE")]
    pub params: Vec<String>,
    /// The run was last carried out on another host, and that process has ended
    #[arg(long)]
    pub take_over: bool,
    /// How it goes
    #[command(flatten)]
    pub steering: Steering,
    /// Who may look on
    #[command(flatten)]
    pub listen: ListenFlags,
    /// The service; address and namespace are the run's unless they are given
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// Runs the verb.
pub fn run(arguments: &Arguments, ui: &Ui, output: Output) -> Exit {
    session::perform(ui, |interrupts| async {
        resume(arguments, ui, output, interrupts)
            .await
            .unwrap_or_else(|exit| exit)
    })
}

async fn resume(
    arguments: &Arguments,
    ui: &Ui,
    output: Output,
    mut interrupts: Interrupts,
) -> Result<Exit, Exit> {
    let path = journal::find(&arguments.run).map_err(|error| session::refused(&error, ui))?;
    let clock = Clock::real();
    let desk = Desk::new(clock.clone());
    let Recalled {
        mut machine,
        journal,
        display,
        run,
    } = recall(&path, arguments, &desk, ui)?;
    if machine.state().ended == Some(RunStatus::Succeeded) {
        ui.line(
            Tone::Good,
            &format!("Run {run} ended well already; there is nothing to go on with."),
        );
        return Ok(Exit::Done);
    }
    let flags =
        flags(arguments, &machine).map_err(|problems| super::invalid(&problems, ui, output))?;
    let bound = arguments.listen.bind(&run.0, ui)?;
    take_over(arguments, &machine, &clock, &mut interrupts, ui).await?;

    let preflight = machine.plan().survey.preflight.clone();
    let connection = of_run(&arguments.connection, &preflight);
    let settings = session::guarded(machine.runbook(), &connection, ui, output)?;
    let parameters = with_entries(&machine, &flags);
    let surveying = async {
        let world = World::of(
            session::connect(&settings, Access::ReadOnly, ui).await?,
            clock.clone(),
            run.clone(),
        );
        let survey = session::survey(&world, machine.runbook(), &parameters, 0, ui, output).await?;
        let written = |step: &str| machine.state().step(step).grant.total_used();
        let (runbook, skip) = (machine.runbook(), &flags.skip_rows);
        session::within_guards(&survey, runbook, skip, written, ui, output)?;
        let found = &survey.preflight.namespace_id;
        if *found != preflight.namespace_id {
            ui.error(
                &format!(
                    "the run belongs to another namespace: its id is {}, and that of {} on {} is {found}",
                    preflight.namespace_id, settings.namespace, settings.address
                ),
                Some("leave out --address and --namespace, or begin a run there with `runbook exec`"),
            );
            return Err(Exit::Refused);
        }
        let temporal = session::connect(&settings, Access::ReadWrite, ui).await?;
        Ok((temporal, survey))
    };
    let limit = settings.command_timeout;
    let (temporal, survey) =
        session::unless_interrupted(&mut interrupts, limit, ui, surveying).await?;

    let notes = survey.changes_since(&machine.plan().survey);
    let here = Holder::here();
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
        display,
        run,
        path,
        dry: false,
        ui,
        output,
        limit,
        desk: bound.is_some().then_some(desk),
        bound,
    };
    Ok(session.run(interrupts).await)
}

/// A run as its journal has it.
struct Recalled {
    machine: Machine,
    journal: Journal,
    display: LiveDisplay,
    run: RunId,
}

/// Locks the journal and folds it.
fn recall(path: &Path, arguments: &Arguments, desk: &Desk, ui: &Ui) -> Result<Recalled, Exit> {
    let mut folded: Option<Result<Machine, String>> = None;
    let mut display = LiveDisplay::new(ui.clone());
    let mut dry = false;
    let opened = Journal::open(path, |record| {
        display.recall(&record);
        desk.observe(&record);
        match &mut folded {
            None => {
                dry = matches!(record.body, Body::Opened { dry: true, .. });
                folded = Some(machine_of(&record, |runbook, kept| {
                    parameters(runbook, &kept, arguments)
                }));
            }
            Some(Ok(machine)) => {
                if let Err(error) = machine.fold(&record) {
                    folded = Some(Err(error));
                }
            }
            Some(Err(_)) => {}
        }
    })
    .map_err(|error| session::refused(&error, ui))?;
    if let Some(torn) = opened.torn {
        ui.warning(&format!(
            "the last line was not whole ({} bytes): its process ended while it wrote; it was cut off",
            torn.bytes
        ));
    }
    if dry {
        ui.error(
            "a dry run cannot be resumed: it did nothing",
            Some("begin a run with `runbook exec`"),
        );
        return Err(Exit::Refused);
    }
    match folded {
        Some(Ok(machine)) => Ok(Recalled {
            run: machine.run().clone(),
            machine,
            journal: opened.journal,
            display,
        }),
        Some(Err(message)) => {
            ui.error(
                &format!("{} cannot be gone on with: {message}", path.display()),
                None,
            );
            Err(Exit::Refused)
        }
        None => Err(Exit::Refused),
    }
}

/// The plan's values, and secrets from where they were fetched before.
fn parameters(
    runbook: &Runbook,
    kept: &Parameters,
    arguments: &Arguments,
) -> Result<Parameters, String> {
    let mut input = ParameterInput::default();
    for (name, value) in kept.values() {
        input.value(name, value.clone());
    }
    let flags = ParameterFlags {
        params: secrets(runbook, arguments),
        params_file: Vec::new(),
    };
    input.extend(flags.input(runbook).map_err(|problems| first(&problems))?);
    runbook
        .resolve_parameters(&input)
        .map_err(|problems| first(&problems))
}

fn first(problems: &[Diagnostic]) -> String {
    problems
        .first()
        .map(|problem| problem.message.clone())
        .unwrap_or_default()
}

/// The assignments of `-p` that give a secret.
fn secrets(runbook: &Runbook, arguments: &Arguments) -> Vec<String> {
    let is_secret = |given: &&String| {
        let name = given.split(['=', '.']).next().unwrap_or_default();
        runbook
            .params
            .get(name)
            .is_some_and(|parameter| parameter.secret)
    };
    arguments.params.iter().filter(is_secret).cloned().collect()
}

/// Why a step's end cannot be accepted: it has none, or writes of it are still in doubt.
fn not_acceptable(machine: &Machine, id: &str) -> Option<Diagnostic> {
    let state = machine.state();
    let within = |step: &&str| *step == id || state.parent(step) == Some(id);
    let steps = machine.runbook().all_steps();
    let ids: Vec<&str> = steps
        .iter()
        .map(|step| step.id.as_str())
        .filter(within)
        .collect();
    let problem = |message| Some(Diagnostic::plain(Kind::Usage, message));
    let stopped = |step: &&str| {
        state
            .step(step)
            .ended
            .is_some_and(|status| !status.passes())
    };
    if !ids.iter().any(stopped) {
        return problem(format!("--accept {id}: the step did not halt or fail"));
    }
    let parts = ids.iter().filter_map(|step| state.ledger.part(step));
    let doubt: usize = parts
        .map(|part| part.intended.len() + part.in_doubt.len())
        .sum();
    if doubt > 0 {
        return problem(format!(
            "--accept {id}: {doubt} writes of it are in doubt; resume once without --accept, which settles them"
        ));
    }
    None
}

/// The flags as the journal keeps them.
fn flags(arguments: &Arguments, machine: &Machine) -> Result<Flags, Vec<Diagnostic>> {
    let runbook = machine.runbook();
    let (mut flags, mut problems) = match arguments.steering.flags(runbook) {
        Ok(flags) => (flags, Vec::new()),
        Err(problems) => (Flags::default(), problems),
    };
    let names = Names::of(runbook);
    problems.extend(arguments.accept.iter().filter_map(|step| {
        names
            .step("--accept", step)
            .or_else(|| not_acceptable(machine, step))
    }));
    let secrets = secrets(runbook, arguments);
    let mut tried = machine.state().parameters.clone();
    for given in arguments
        .params
        .iter()
        .filter(|given| !secrets.contains(given))
    {
        match entry(given) {
            Ok((name, key, value)) => match tried.set_entry(runbook, name, key, value) {
                Ok(()) => {
                    let entries: &mut BTreeMap<_, _> =
                        flags.entries.entry(name.to_owned()).or_default();
                    entries.insert(key.to_owned(), value.to_owned());
                }
                Err(problem) => problems.push(problem),
            },
            Err(problem) => problems.push(problem),
        }
    }
    flags.retry_failed = arguments.retry_failed;
    flags.accept.clone_from(&arguments.accept);
    if problems.is_empty() {
        Ok(flags)
    } else {
        Err(problems)
    }
}

fn entry(given: &str) -> Result<(&str, &str, &str), Diagnostic> {
    let (target, value) = given.split_once('=').unwrap_or((given, ""));
    match target.split_once('.') {
        Some((name, key)) if given.contains('=') => Ok((name, key, value)),
        _ => Err(Diagnostic::plain(
            Kind::Parameter,
            format!("`-p {given}`: a run keeps its parameters; only entries can be added"),
        )
        .expected("`-p NAME.KEY=VALUE`")),
    }
}

/// The run's parameters with the entries that are about to be added: what the survey counts by.
fn with_entries(machine: &Machine, flags: &Flags) -> Parameters {
    let mut parameters = machine.state().parameters.clone();
    for (name, entries) in &flags.entries {
        for (key, value) in entries {
            // They were tried before.
            let _ = parameters.set_entry(machine.runbook(), name, key, value);
        }
    }
    parameters
}

/// The run's own service, unless flags name another.
fn of_run(given: &ConnectionArgs, preflight: &crate::survey::Preflight) -> ConnectionArgs {
    let mut connection = given.clone();
    connection
        .address
        .get_or_insert_with(|| preflight.address.clone());
    connection
        .namespace
        .get_or_insert_with(|| preflight.namespace.clone());
    connection
}

/// The kernel's lock does not reach across hosts: somebody has to say that the other process has ended,
/// and its calls are waited out.
async fn take_over(
    arguments: &Arguments,
    machine: &Machine,
    clock: &Clock,
    interrupts: &mut Interrupts,
    ui: &Ui,
) -> Result<(), Exit> {
    let (last, here) = (&machine.state().host, Holder::here().host);
    if *last == here || last.is_empty() {
        return Ok(());
    }
    if !arguments.take_over {
        ui.error(
            &format!("the run was last carried out on {last}, and this is {here}"),
            Some("make sure that its process there has ended, then add --take-over"),
        );
        return Err(Exit::Refused);
    }
    let Some(deadline) = machine.state().latest_deadline else {
        return Ok(());
    };
    let until = deadline + GRACE;
    if until <= clock.now() {
        return Ok(());
    }
    ui.line(
        Tone::Plain,
        &format!(
            "Waiting until {until:.0}: calls of the process on {last} may be under way until then"
        ),
    );
    let wait = async {
        clock.sleep_until(until).await;
        Ok(())
    };
    session::unless_interrupted(interrupts, None, ui, wait).await
}

//! `runbook plan FILE`: what a run would do, from the live service; changes nothing.
//!
//! Wiring; the plan's words are in [`crate::report`], what saved plans are refused for in [`super::saved`].

use std::path::{Path, PathBuf};

use super::parameters::ParameterFlags;
use super::saved::{self, Saved, Subject};
use super::session;
use super::{Exit, Output};
use crate::action::World;
use crate::action::population::population;
use crate::clock::Clock;
use crate::connection::{Access, ConnectionArgs};
use crate::diagnostic::Diagnostic;
use crate::journal;
use crate::plan::{LOOK_LIMIT, Plan};
use crate::rehearsal::portrait::{FIRST_LINE, Portrait, Sitting};
use crate::report::{PlanReport, shell_word, write_json};
use crate::run::{Interrupts, begin};
use crate::runbook::{Parameters, Runbook};
use crate::ui::{Tone, Ui};

/// Show what a run would do: reads the service, changes nothing
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The runbook; `-` is stdin. Of a saved plan, what it says: nothing is read
    #[arg(value_name = "FILE", required_unless_present = "diff")]
    pub file: Option<PathBuf>,
    /// Parameters
    #[command(flatten)]
    pub parameters: ParameterFlags,
    /// Save the plan, to be reviewed and carried out with `runbook exec PLAN`; an earlier plan there is replaced
    #[arg(long, value_name = "PLAN")]
    pub out: Option<PathBuf>,
    /// Compare a saved plan with the service as it is now: exit 0 where the runbook tolerates what moved, else 4
    #[arg(long, value_name = "PLAN", conflicts_with_all = ["file", "params", "params_file", "out", "detailed_exitcode"])]
    pub diff: Option<PathBuf>,
    /// Make a rehearsal's world of what the service holds: types, counts, statuses, routing; no payloads
    #[arg(long, value_name = "FILE", conflicts_with = "diff")]
    pub world: Option<PathBuf>,
    /// Keep Workflow IDs in the world; each Workflow is then told by itself
    #[arg(long, requires = "world")]
    pub world_ids: bool,
    /// Exit 0 where there is nothing to do, 2 where there is, 1 for every error (4 where a guard refuses)
    #[arg(long)]
    pub detailed_exitcode: bool,
    /// The service
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// Runs the verb.
pub fn run(arguments: &Arguments, ui: &Ui, output: Output) -> Exit {
    let exit = session::perform(ui, |interrupts| async {
        let done = match &arguments.diff {
            Some(path) => diff(arguments, path, ui, output, interrupts).await,
            None => plan(arguments, ui, output, interrupts).await,
        };
        done.unwrap_or_else(|exit| exit)
    });
    match exit {
        // 2 says that there is something to do.
        Exit::Invalid if arguments.detailed_exitcode => Exit::Failed,
        exit => exit,
    }
}

async fn plan(
    arguments: &Arguments,
    ui: &Ui,
    output: Output,
    mut interrupts: Interrupts,
) -> Result<Exit, Exit> {
    let file = arguments.file.as_deref().unwrap_or(Path::new("-"));
    let Subject { runbook, saved } = saved::load(file, ui, output)?;
    if let Some(saved) = saved {
        return Ok(show_saved(arguments, &saved, &runbook, ui, output));
    }
    if let Some(out) = &arguments.out {
        saved::may_write("--out", out, saved::is_plan, ui)?;
    }
    if let Some(world) = &arguments.world {
        saved::may_write("--world", world, is_world, ui)?;
    }
    let parameters = session::unless_interrupted(
        &mut interrupts,
        None,
        ui,
        session::parameters(&runbook, &arguments.parameters, ui, output),
    )
    .await?;
    let settings = session::guarded(&runbook, &arguments.connection, ui, output)?;
    let clock = Clock::real();
    let reading = async {
        let world = World::of(
            session::connect(&settings, Access::ReadOnly, ui).await?,
            clock.clone(),
            session::new_run(clock.now()),
        );
        let read = read(&world, &runbook, parameters, ui, output).await?;
        let portrait = match &arguments.world {
            Some(_) => Some(portrait(&world, &runbook, &read.0, arguments.world_ids, ui).await?),
            None => None,
        };
        Ok((read, portrait))
    };
    let limit = settings.command_timeout;
    let ((plan, report, refused), portrait) =
        session::unless_interrupted(&mut interrupts, limit, ui, reading).await?;
    print(&report, ui, output)?;
    if let (Some(path), Some(portrait)) = (&arguments.world, portrait) {
        save_world(file, path, &portrait, ui)?;
    }
    if !refused.is_empty() {
        // The plan is shown all the same: it says what was counted.
        return Err(super::forbidden(&refused, ui, Output::Text));
    }
    if let Some(out) = &arguments.out {
        saved::save(&plan, out, ui)?;
        let path = crate::report::shell_word(&out.display().to_string()).into_owned();
        ui.line(
            Tone::Plain,
            &format!("Saved; carry out just this with: runbook exec {path}"),
        );
    }
    Ok(exit_of(arguments, &report))
}

/// As a shell takes it.
fn word(path: &Path) -> String {
    shell_word(&path.display().to_string()).into_owned()
}

/// A world of what the service holds.
async fn portrait(
    world: &World,
    runbook: &Runbook,
    plan: &Plan,
    ids: bool,
    ui: &Ui,
) -> Result<Portrait, Exit> {
    let scope = session::scope(runbook, &plan.parameters, &world.run);
    let subject = begin::subject(runbook, &plan.parameters, &scope, LOOK_LIMIT)
        .map_err(|error| session::failed(&error.to_string(), ui))?;
    let population = population(world, &subject)
        .await
        .map_err(|problem| session::failed(&problem.message, ui))?;
    let sitting = Sitting {
        runbook,
        plan,
        subject: &subject,
        population: &population,
        ids,
    };
    Ok(sitting.portrait())
}

fn save_world(file: &Path, path: &Path, portrait: &Portrait, ui: &Ui) -> Result<(), Exit> {
    journal::write_private(path, portrait.text.as_bytes())
        .map_err(|error| session::refused(&error, ui))?;
    for caution in &portrait.cautions {
        ui.warning(&format!("the world is not all as it is: {caution}"));
    }
    let (file, path) = (word(file), word(path));
    let line =
        format!("Saved the world; rehearse with: runbook rehearse {file} --rehearsal {path}");
    ui.line(Tone::Plain, &line);
    Ok(())
}

/// Whether a file was made by `--world`.
fn is_world(path: &Path) -> bool {
    super::read(path).is_ok_and(|bytes| bytes.starts_with(FIRST_LINE.as_bytes()))
}

/// What `--detailed-exitcode` makes of it.
fn exit_of(arguments: &Arguments, report: &PlanReport) -> Exit {
    match arguments.detailed_exitcode && !report.to_do.is_empty() {
        true => Exit::Changes,
        false => Exit::Done,
    }
}

fn print(report: &PlanReport, ui: &Ui, output: Output) -> Result<(), Exit> {
    let printed = match output {
        Output::Text => ui.data(&report.text(ui.out_style())),
        Output::Json => ui.write_data(|out| {
            write_json(report, true, out)?;
            out.write_all(b"\n")
        }),
    };
    match session::printed(printed, ui) {
        Exit::Done => Ok(()),
        exit => Err(exit),
    }
}

/// What a saved plan says, for its reviewer.
fn show_saved(
    arguments: &Arguments,
    saved: &Saved,
    runbook: &Runbook,
    ui: &Ui,
    output: Output,
) -> Exit {
    let makes = arguments.out.is_some() || arguments.world.is_some();
    if makes || !arguments.parameters.is_empty() {
        ui.error(
            "a saved plan is shown as it is: `--out`, `--world`, `-p` and `--params-file` are for a runbook",
            Some("`runbook plan --diff PLAN` compares a saved plan with the service as it is now"),
        );
        return Exit::Invalid;
    }
    let scope = saved::scope(runbook, saved.plan());
    let report = PlanReport::new(runbook, saved.plan(), &scope);
    match print(&report, ui, output) {
        Ok(()) => exit_of(arguments, &report),
        Err(exit) => exit,
    }
}

/// A saved plan against the service as it is now.
async fn diff(
    arguments: &Arguments,
    path: &Path,
    ui: &Ui,
    output: Output,
    mut interrupts: Interrupts,
) -> Result<Exit, Exit> {
    let Subject { runbook, saved } = saved::load(path, ui, output)?;
    let Some(saved) = saved else {
        ui.error(
            &format!("{} is no saved plan", path.display()),
            Some("`runbook plan FILE --out PLAN` makes one"),
        );
        return Err(Exit::Invalid);
    };
    saved.hint_if_edited(ui);
    let settings = saved.settings(&runbook, &arguments.connection, ui, output)?;
    let clock = Clock::real();
    let reading = async {
        let world = World::of(
            session::connect(&settings, Access::ReadOnly, ui).await?,
            clock.clone(),
            session::new_run(clock.now()),
        );
        session::survey(&world, &runbook, &saved.plan().parameters, 0, ui, output).await
    };
    let limit = settings.command_timeout;
    let survey = session::unless_interrupted(&mut interrupts, limit, ui, reading).await?;
    saved.same_namespace(&survey.preflight, ui)?;
    let diff = saved.diff(&runbook, &survey, clock.now());
    match saved::print(&diff, ui, output, true) {
        Exit::Done if !diff.within => Ok(Exit::Refused),
        exit => Ok(exit),
    }
}

/// Reads the service and puts the plan together, and what of it the runbook's guards refuse.
///
/// # Errors
/// As [`session::survey`].
pub async fn report(
    world: &World,
    runbook: &Runbook,
    parameters: Parameters,
    ui: &Ui,
    output: Output,
) -> Result<(PlanReport, Vec<Diagnostic>), Exit> {
    let (_, report, refused) = read(world, runbook, parameters, ui, output).await?;
    Ok((report, refused))
}

/// As [`report`], with the plan itself.
async fn read(
    world: &World,
    runbook: &Runbook,
    parameters: Parameters,
    ui: &Ui,
    output: Output,
) -> Result<(Plan, PlanReport, Vec<Diagnostic>), Exit> {
    let lock = session::lock(world, runbook, &parameters, ui, output).await?;
    let survey = session::survey(world, runbook, &parameters, LOOK_LIMIT, ui, output).await?;
    let scope = session::scope(runbook, &parameters, &world.run);
    let refused = survey.beyond_guards(runbook, &[], |_| 0);
    let plan = Plan::new(runbook, parameters, survey, world.clock.now());
    let report = PlanReport::new(runbook, &plan, &scope).with_lock(lock);
    Ok((plan, report, refused))
}

//! `runbook plan FILE`: what a run would do, from the live service; changes nothing.
//!
//! Wiring; the plan's words are in [`crate::report`].

use std::path::PathBuf;

use super::parameters::ParameterFlags;
use super::session;
use super::{Exit, Output};
use crate::action::World;
use crate::clock::Clock;
use crate::connection::{Access, ConnectionArgs};
use crate::diagnostic::Diagnostic;
use crate::plan::{LOOK_LIMIT, Plan};
use crate::report::{PlanReport, write_json};
use crate::run::Interrupts;
use crate::runbook::{Parameters, Runbook};
use crate::ui::Ui;

/// Show what a run would do: reads the service, changes nothing
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The runbook; `-` is stdin
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Parameters
    #[command(flatten)]
    pub parameters: ParameterFlags,
    /// The service
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// Runs the verb.
pub fn run(arguments: &Arguments, ui: &Ui, output: Output) -> Exit {
    session::perform(ui, |interrupts| async {
        plan(arguments, ui, output, interrupts)
            .await
            .unwrap_or_else(|exit| exit)
    })
}

async fn plan(
    arguments: &Arguments,
    ui: &Ui,
    output: Output,
    mut interrupts: Interrupts,
) -> Result<Exit, Exit> {
    let runbook = super::load(&arguments.file, ui, output)?;
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
        report(&world, &runbook, parameters, ui, output).await
    };
    let limit = settings.command_timeout;
    let (report, refused) =
        session::unless_interrupted(&mut interrupts, limit, ui, reading).await?;
    let printed = match output {
        Output::Text => ui.data(&report.text(ui.out_style())),
        Output::Json => ui.write_data(|out| {
            write_json(&report, true, out)?;
            out.write_all(b"\n")
        }),
    };
    let exit = session::printed(printed, ui);
    if exit != Exit::Done || refused.is_empty() {
        return Ok(exit);
    }
    // The plan is shown all the same: it says what was counted.
    Ok(super::forbidden(&refused, ui, Output::Text))
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
    let lock = session::lock(world, runbook, &parameters, ui, output).await?;
    let survey = session::survey(world, runbook, &parameters, LOOK_LIMIT, ui, output).await?;
    let scope = session::scope(runbook, &parameters, &world.run);
    let refused = survey.beyond_guards(runbook, &[], |_| 0);
    let plan = Plan::new(runbook, parameters, survey, world.clock.now());
    let report = PlanReport::new(runbook, &plan, &scope).with_lock(lock);
    Ok((report, refused))
}

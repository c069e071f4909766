//! `runbook explain FILE --workflow ID`: which row takes a Workflow, why, and what would be done.
//!
//! Wiring; the words are in [`crate::report`].

use std::path::PathBuf;

use super::parameters::ParameterFlags;
use super::session;
use super::{Exit, Output};
use crate::action::World;
use crate::action::workflows::{Looking, look_and_judge};
use crate::clock::Clock;
use crate::connection::{Access, ConnectionArgs};
use crate::report::{Confirms, Explanation, write_json};
use crate::run::{Interrupts, begin};
use crate::runbook::{Parameters, Runbook};
use crate::survey::WorkflowKey;
use crate::ui::Ui;

/// Say which row takes a Workflow, why, and what would be done to it
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The runbook; `-` is stdin
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Workflow ID
    #[arg(long, short = 'w', visible_alias = "workflow-id", value_name = "ID")]
    pub workflow: String,
    /// Run ID; else the current run
    #[arg(long, short = 'r', value_name = "ID")]
    pub run_id: Option<String>,
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
        explain(arguments, ui, output, interrupts)
            .await
            .unwrap_or_else(|exit| exit)
    })
}

async fn explain(
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
        // The namespace's id, which tells whether a parent is in this namespace.
        world
            .temporal
            .preflight()
            .await
            .map_err(|error| session::failed(&error.to_string(), ui))?;
        let key = key(arguments, &world, ui).await?;
        explanation(&world, &runbook, &parameters, &key, ui).await
    };
    let limit = settings.command_timeout;
    let explained = session::unless_interrupted(&mut interrupts, limit, ui, reading).await?;
    let printed = match output {
        Output::Text => ui.data(&explained.text(ui.out_style())),
        Output::Json => ui.write_data(|out| {
            write_json(&explained, true, out)?;
            out.write_all(b"\n")
        }),
    };
    Ok(session::printed(printed, ui))
}

async fn key(arguments: &Arguments, world: &World, ui: &Ui) -> Result<WorkflowKey, Exit> {
    let workflow_id = arguments.workflow.clone();
    if let Some(run_id) = &arguments.run_id {
        return Ok(WorkflowKey {
            workflow_id,
            run_id: run_id.clone(),
        });
    }
    match world.temporal.current_run(&workflow_id).await {
        Ok(Some(current)) => Ok(WorkflowKey {
            workflow_id,
            run_id: current.run_id,
        }),
        Ok(None) => Err(absent(&workflow_id, ui)),
        Err(error) => Err(session::failed(&error.to_string(), ui)),
    }
}

fn absent(workflow_id: &str, ui: &Ui) -> Exit {
    session::failed(
        &format!("there is no Workflow `{workflow_id}` in this namespace"),
        ui,
    )
}

/// Looks at the Workflow once for each table, and says why each decides as it does.
///
/// # Errors
/// [`Exit::Failed`] where it cannot be looked at, with the reason said.
pub async fn explanation(
    world: &World,
    runbook: &Runbook,
    parameters: &Parameters,
    key: &WorkflowKey,
    ui: &Ui,
) -> Result<Explanation, Exit> {
    let scope = session::scope(runbook, parameters, &world.run);
    let subject = begin::subject(runbook, parameters, &scope, 0)
        .map_err(|error| session::failed(&error.to_string(), ui))?;
    let mut explained: Option<Explanation> = None;
    let in_order = runbook.decisions.keys();
    let steps = runbook.all_steps().into_iter().map(|step| &step.id);
    for name in in_order.chain(steps) {
        let Some(table) = subject.tables.get(name) else {
            continue;
        };
        let looking = Looking {
            table,
            lost: false,
            latest: false,
            barred: None,
            step: name,
        };
        let judged = look_and_judge(world, key, &looking)
            .await
            .map_err(|problem| session::failed(&problem.message, ui))?;
        let Some(judged) = judged else {
            return Err(absent(&key.workflow_id, ui));
        };
        let history = judged.history.as_ref().map(|(_, history)| history);
        let confirms = Confirms::of(runbook, &scope, name);
        explained
            .get_or_insert_with(|| Explanation::new(&judged.look))
            .add(table, &judged.look, history, &judged.verdict, confirms);
    }
    explained.ok_or_else(|| session::failed("the runbook has no decision to explain", ui))
}

//! `runbook reset-points WORKFLOW_ID`: the points to which a run can be reset, with what lies between.
//!
//! Wiring; the words are in [`crate::report`].

use super::session;
use super::{Exit, Output};
use crate::connection::{Access, ConnectionArgs};
use crate::report::{PointsReport, write_json};
use crate::run::Interrupts;
use crate::survey::WorkflowKey;
use crate::temporal::Temporal;
use crate::ui::Ui;

/// Points that are shown without `--all`.
const SHOWN: usize = 20;

/// List the points to which a Workflow can be reset, with what lies between them
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Workflow ID
    #[arg(value_name = "WORKFLOW_ID")]
    pub workflow: String,
    /// Run ID; else the current run
    #[arg(long, short = 'r', value_name = "ID")]
    pub run_id: Option<String>,
    /// Show so many points, the newest
    #[arg(long, value_name = "N", default_value_t = SHOWN)]
    pub limit: usize,
    /// Show all of them
    #[arg(long, conflicts_with = "limit")]
    pub all: bool,
    /// The service
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// Runs the verb.
pub fn run(arguments: &Arguments, ui: &Ui, output: Output) -> Exit {
    session::perform(ui, |interrupts| async {
        list(arguments, ui, output, interrupts)
            .await
            .unwrap_or_else(|exit| exit)
    })
}

async fn list(
    arguments: &Arguments,
    ui: &Ui,
    output: Output,
    mut interrupts: Interrupts,
) -> Result<Exit, Exit> {
    let settings = session::settings(&arguments.connection, ui)?;
    let reading = async {
        let temporal = session::connect(&settings, Access::ReadOnly, ui).await?;
        let most = match arguments.all {
            true => usize::MAX - 1,
            false => arguments.limit,
        };
        points(&temporal, arguments, most)
            .await
            .map_err(|message| session::failed(&message, ui))
    };
    let limit = settings.command_timeout;
    let report = session::unless_interrupted(&mut interrupts, limit, ui, reading).await?;
    let printed = match output {
        Output::Text => ui.data(&report.text(ui.out_style())),
        Output::Json => ui.write_data(|out| {
            write_json(&report, true, out)?;
            out.write_all(b"\n")
        }),
    };
    Ok(session::printed(printed, ui))
}

async fn points(
    temporal: &Temporal,
    arguments: &Arguments,
    most: usize,
) -> Result<PointsReport, String> {
    let key = WorkflowKey {
        workflow_id: arguments.workflow.clone(),
        run_id: arguments.run_id.clone().unwrap_or_default(),
    };
    let look = temporal
        .look(&key)
        .await
        .map_err(|error| error.to_string())?
        .ok_or_else(|| absent(&key))?;
    let (points, more) = temporal
        .reset_points(&look.listed.key, &look, most)
        .await
        .map_err(|error| error.to_string())?;
    Ok(PointsReport::new(&look, points, more))
}

fn absent(key: &WorkflowKey) -> String {
    let run = match key.run_id.as_str() {
        "" => String::new(),
        run => format!(" with run `{run}`"),
    };
    format!(
        "there is no Workflow `{}`{run} in this namespace",
        key.workflow_id
    )
}

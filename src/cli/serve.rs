//! `runbook serve`: all runs of a folder of state files, for others to look at and to answer.
//!
//! A run that another process carries out is answered through that process's own socket; one that is parked is answered
//! in its state file, and the answer counts when it is resumed. Wiring.

use std::path::PathBuf;

use super::listen::{ListenFlags, printed};
use super::{Exit, Output};
use super::{pages, session};
use crate::api::Runs;
use crate::journal;
use crate::run::Interrupts;
use crate::ui::Ui;

/// Let others look at the runs of a state folder, and answer what they ask
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Folder of the state files; else $XDG_STATE_HOME/runbook
    #[arg(long, value_name = "FOLDER")]
    pub state_dir: Option<PathBuf>,
    /// Show the runs as pages on a port of this machine, such as 127.0.0.1:0; the address that is printed lets one
    /// browser in
    #[arg(long, value_name = "ADDRESS")]
    pub http: Option<String>,
    /// Where
    #[command(flatten)]
    pub listen: ListenFlags,
}

/// Runs the verb until a signal; exit 0 then.
pub fn run(arguments: &Arguments, ui: &Ui, _output: Output) -> Exit {
    session::perform(ui, |interrupts| async {
        serve(arguments, ui, interrupts)
            .await
            .unwrap_or_else(|exit| exit)
    })
}

async fn serve(arguments: &Arguments, ui: &Ui, mut interrupts: Interrupts) -> Result<Exit, Exit> {
    let folder = match &arguments.state_dir {
        Some(folder) => folder.clone(),
        None => journal::home().map_err(|error| session::refused(&error, ui))?,
    };
    if arguments.state_dir.is_some() && !folder.is_dir() {
        let message = format!("--state-dir: {} is no folder", folder.display());
        ui.error(&message, None);
        return Err(Exit::Invalid);
    }
    let pages = match &arguments.http {
        Some(address) => Some(pages::bind(address, ui).await?),
        None => None,
    };
    // Pages alone need no socket; with `--listen` there are both.
    let bound = match &pages {
        Some(_) => arguments.listen.bind("serve", ui)?,
        None => Some(arguments.listen.bind_anyway("serve", ui)?),
    };
    let served = bound.map(|bound| bound.serve(Runs::Folder(folder.clone())));
    let server = served
        .transpose()
        .map_err(|why| session::failed(&why, ui))?;
    if let Some(server) = &server {
        // The first line is the address and nothing else, so that a script can read it.
        printed(ui.data(&format!("{}\n", server.address())), ui)?;
        ui.hint(&format!(
            "the runs in {} can be watched and answered there; Ctrl-C ends it",
            folder.display()
        ));
    }
    let ended = match pages {
        Some(pages) => pages::serve(pages, &folder, ui, &mut interrupts).await,
        None => {
            interrupts.recv().await;
            Ok(())
        }
    };
    if let Some(server) = server {
        server.stop();
    }
    ended?;
    Ok(Exit::Done)
}

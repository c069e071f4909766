//! `runbook unlock FILE|LOCK`: breaks a lock, after somebody has typed whose it is.
//!
//! Wiring. Nothing else breaks a lock: a run that is still going notices within a minute, starts nothing new, and
//! halts. What is no lease of this tool is not touched.

use std::path::Path;

use serde_json::json;

use super::parameters::ParameterFlags;
use super::session;
use super::{Exit, Output};
use crate::action::World;
use crate::clock::Clock;
use crate::connection::{Access, ConnectionArgs, Settings};
use crate::journal::Holder as Here;
use crate::lease::{self, Holder};
use crate::report::{LockPlan, holder_lines, shell_word, unlock_line};
use crate::run::Interrupts;
use crate::runbook::Runbook;
use crate::survey::WorkflowKey;
use crate::temporal::Verdict;
use crate::ui::{Asked, Tone, Ui};

/// Break the lock of a run that nobody carries out any more
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The lock's name, the Workflow ID of its lease, or a runbook that declares one
    #[arg(value_name = "FILE|LOCK")]
    pub what: String,
    /// Parameters, where a runbook is named
    #[command(flatten)]
    pub parameters: ParameterFlags,
    /// The run that has the lock, or the lock's name: the word that is asked for at a terminal
    #[arg(long, value_name = "WORD")]
    pub confirm: Option<String>,
    /// The service
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// Exit 0 where the lock is free now, 3 where nobody confirmed it, 4 where the word is wrong or it is no lock.
pub fn run(arguments: &Arguments, ui: &Ui, output: Output) -> Exit {
    session::perform(ui, |interrupts| async {
        unlock(arguments, ui, output, interrupts)
            .await
            .unwrap_or_else(|exit| exit)
    })
}

async fn unlock(
    arguments: &Arguments,
    ui: &Ui,
    output: Output,
    mut interrupts: Interrupts,
) -> Result<Exit, Exit> {
    let (name, runbook) = name(arguments, ui, output, &mut interrupts).await?;
    let settings = match &runbook {
        Some(runbook) => session::guarded(runbook, &arguments.connection, ui, output)?,
        None => session::settings(&arguments.connection, ui)?,
    };
    let limit = settings.command_timeout;
    let reading = async {
        let world = world(&settings, Access::ReadOnly, ui).await?;
        session::lock_named(&world, &name, ui).await
    };
    let found = session::unless_interrupted(&mut interrupts, limit, ui, reading).await?;
    let Some(holder) = &found.holder else {
        ui.line(
            Tone::Good,
            &format!("The lock `{name}` is free: nothing was changed."),
        );
        return Ok(told(&found, false, ui, output));
    };
    show(&found, holder, ui);
    confirmed(arguments, &found, holder, &settings, ui)?;
    let world = world(&settings, Access::ReadWrite, ui).await?;
    end(&world, &found, holder, ui).await?;
    Ok(told(&found, true, ui, output))
}

async fn world(settings: &Settings, access: Access, ui: &Ui) -> Result<World, Exit> {
    let clock = Clock::real();
    let temporal = session::connect(settings, access, ui).await?;
    let run = session::new_run(clock.now());
    Ok(World::of(temporal, clock, run))
}

/// The lock that is meant, and the runbook that says so.
async fn name(
    arguments: &Arguments,
    ui: &Ui,
    output: Output,
    interrupts: &mut Interrupts,
) -> Result<(String, Option<Runbook>), Exit> {
    let what = arguments.what.as_str();
    let path = Path::new(what);
    let is_file = path.is_file() || what.ends_with(".yaml") || what.ends_with(".yml");
    let invalid = |message: &str, hint: Option<&str>| {
        ui.error(message, hint);
        Exit::Invalid
    };
    if !is_file {
        let unused = !arguments.parameters.params.is_empty();
        if unused || !arguments.parameters.params_file.is_empty() {
            let hint = "parameters go with a runbook's file";
            return Err(invalid(&format!("`{what}` is no file"), Some(hint)));
        }
        let name = lease::named(lease::name_of(what)).map_err(|why| invalid(&why, None))?;
        return Ok((name, None));
    }
    let runbook = super::load(path, ui, output)?;
    if runbook.lock.is_none() {
        return Err(invalid(&format!("{what} declares no `lock:`"), None));
    }
    let values = session::parameters(&runbook, &arguments.parameters, ui, output);
    let values = session::unless_interrupted(interrupts, None, ui, values).await?;
    let run = session::new_run(Clock::real().now());
    let scope = session::scope(&runbook, &values, &run);
    match runbook.lock_name(&scope) {
        Ok(name) => Ok((name.unwrap_or_default(), Some(runbook))),
        Err(error) => Err(invalid(&format!("`lock`: {error}"), None)),
    }
}

fn show(found: &LockPlan, holder: &Holder, ui: &Ui) {
    let now = Clock::real().now();
    ui.line(Tone::Strong, &format!("The lock `{}` is held:", found.name));
    for line in holder_lines(holder, now) {
        ui.line(Tone::Plain, &format!("  {line}"));
    }
    if !found.quiet {
        ui.warning(
            "somebody is attached to that run, or was a moment ago; it halts within a minute of losing its lock",
        );
    }
}

/// The word: the holder's run, or the lock's name.
fn confirmed(
    arguments: &Arguments,
    found: &LockPlan,
    holder: &Holder,
    settings: &Settings,
    ui: &Ui,
) -> Result<(), Exit> {
    let fits = |word: &str| word == holder.run || word == found.name;
    if let Some(word) = &arguments.confirm {
        if fits(word) {
            return Ok(());
        }
        ui.error(
            &format!("`{word}` is neither the run that has the lock nor the lock's name; nothing was changed"),
            Some(&format!("the run is {}", holder.run)),
        );
        return Err(Exit::Refused);
    }
    if !ui.is_interactive() {
        let line = unlock_line(&found.name, &settings.address, &settings.namespace);
        ui.error(
            "nobody is there to type whose lock is to be broken; nothing was changed",
            Some(&format!("{line} --confirm {}", shell_word(&holder.run))),
        );
        return Err(Exit::Parked);
    }
    let help = format!("type {} to break its lock", holder.run);
    let mut check = |text: &str| match fits(text.trim()) {
        true => Ok(()),
        false => Err(format!("that is not {}", holder.run)),
    };
    match ui.ask("The run that has the lock", &help, false, &mut check) {
        Asked::Text(_) => Ok(()),
        Asked::Interrupted => {
            ui.error("Ctrl-C: nothing was changed", None);
            Err(Exit::Interrupted)
        }
        Asked::Nobody => {
            ui.line(Tone::Warn, "Nothing was changed.");
            Err(Exit::Parked)
        }
    }
}

/// Terminates the lease: that one, and not what may have come in its place since it was shown.
async fn end(world: &World, found: &LockPlan, holder: &Holder, ui: &Ui) -> Result<(), Exit> {
    let here = Here::here();
    let reason = format!(
        "runbook unlock by {} on {}: it was held by run {}",
        here.user, here.host, holder.run
    );
    let key = WorkflowKey {
        workflow_id: found.workflow_id.clone(),
        run_id: holder.lease.clone(),
    };
    let name = &found.name;
    let ended = world.temporal.terminate(&key, &reason, None).await;
    let error = match ended {
        Ok(()) => {
            ui.line(Tone::Good, &format!("The lock `{name}` is free."));
            return Ok(());
        }
        Err(error) => error,
    };
    if error.meaning.verdict != Verdict::Skip {
        // It may have happened: the service knows.
        let now = session::lock_named(world, name, ui).await?;
        if now.holder.is_some_and(|now| now.lease == holder.lease) {
            return Err(session::failed(
                &format!("the lock was not broken: {error}"),
                ui,
            ));
        }
    }
    ui.line(
        Tone::Good,
        &format!(
            "Run {} does not have the lock `{name}` any more.",
            holder.run
        ),
    );
    Ok(())
}

fn told(found: &LockPlan, unlocked: bool, ui: &Ui, output: Output) -> Exit {
    match output {
        Output::Text => Exit::Done,
        Output::Json => {
            let document = json!({ "schema": "unlock/v1", "lock": found, "unlocked": unlocked });
            session::printed(super::print_json(ui, &document), ui)
        }
    }
}

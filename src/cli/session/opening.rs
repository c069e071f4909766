//! What a verb needs before a run can begin: parameters, the connection, what the service holds, the lock.
//!
//! Wiring: each function says on the terminal what went wrong and gives back the [`Exit`] that follows.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::failed;
use crate::action::World;
use crate::action::lease;
use crate::action::survey::survey as survey_service;
use crate::cli::parameters::ParameterFlags;
use crate::cli::{self, Exit, Output};
use crate::connection::{Access, ConnectProblem, Connection, ConnectionArgs, Effective, Settings};
use crate::diagnostic::{Diagnostic, Kind};
use crate::plan::Survey;
use crate::record::RunId;
use crate::report::{LockPlan, holder_lines, unlock_line};
use crate::run::begin;
use crate::runbook::{ParameterInput, ParameterType, Parameters, Runbook, Scope};
use crate::temporal::Temporal;
use crate::ui::{Asked, Tone, Ui};

/// Resolves the connection's flags, environment and profile.
///
/// # Errors
/// [`Exit::Invalid`].
pub fn settings(arguments: &ConnectionArgs, ui: &Ui) -> Result<Settings, Exit> {
    effective(arguments, ui).map(|effective| effective.settings)
}

/// As [`settings`], where the runbook's guards allow the service and the namespace.
///
/// # Errors
/// [`Exit::Invalid`]; [`Exit::Refused`] by a guard, before anything is connected to.
pub fn guarded(
    runbook: &Runbook,
    arguments: &ConnectionArgs,
    ui: &Ui,
    output: Output,
) -> Result<Settings, Exit> {
    let settings = settings(arguments, ui)?;
    let guards = &runbook.guards;
    let refused = guards.refuse_service(&settings.address, &settings.namespace);
    if refused.is_empty() {
        return Ok(settings);
    }
    Err(cli::forbidden(&refused, ui, output))
}

/// Refuses what was counted where the runbook's guards do not allow it.
///
/// # Errors
/// [`Exit::Refused`].
pub fn within_guards(
    survey: &Survey,
    runbook: &Runbook,
    skip: &[String],
    written: impl Fn(&str) -> u64,
    ui: &Ui,
    output: Output,
) -> Result<(), Exit> {
    let refused = survey.beyond_guards(runbook, skip, written);
    if refused.is_empty() {
        return Ok(());
    }
    Err(cli::forbidden(&refused, ui, output))
}

/// As [`settings`], with where each value came from.
///
/// # Errors
/// [`Exit::Invalid`].
pub fn effective(arguments: &ConnectionArgs, ui: &Ui) -> Result<Effective, Exit> {
    let effective = arguments.effective().map_err(|error| {
        ui.error(
            &error.to_string(),
            Some(error.hint()).filter(|hint| !hint.is_empty()),
        );
        Exit::Invalid
    })?;
    effective.hints.iter().for_each(|hint| ui.hint(hint));
    Ok(effective)
}

/// Opens a connection.
///
/// # Errors
/// [`Exit::Failed`] where the service cannot be reached, [`Exit::Invalid`] where it was described wrongly.
pub async fn connect(settings: &Settings, access: Access, ui: &Ui) -> Result<Temporal, Exit> {
    match Connection::open(settings, access).await {
        Ok(connection) => Ok(Temporal::new(connection)),
        Err(error) => {
            ui.error(
                &error.to_string(),
                Some(error.hint()).filter(|hint| !hint.is_empty()),
            );
            Err(match error.problem() {
                ConnectProblem::Configuration | ConnectProblem::KeyInClear => Exit::Invalid,
                _ => Exit::Failed,
            })
        }
    }
}

/// Values for all parameters: what is missing is asked for where somebody is there. The runbook's checks
/// hold for them.
///
/// # Errors
/// [`Exit::Invalid`], with everything said; [`Exit::Interrupted`] by Ctrl-C at a prompt.
pub async fn parameters(
    runbook: &Runbook,
    flags: &ParameterFlags,
    ui: &Ui,
    output: Output,
) -> Result<Parameters, Exit> {
    let input = flags
        .input(runbook)
        .map_err(|problems| cli::invalid(&problems, ui, output))?;
    complete(runbook, input, ui, output).await
}

/// As [`parameters`], of what was given so far.
///
/// # Errors
/// As [`parameters`].
pub async fn complete(
    runbook: &Runbook,
    mut input: ParameterInput,
    ui: &Ui,
    output: Output,
) -> Result<Parameters, Exit> {
    let missing = runbook.missing_parameters(&input).len();
    // What was given wrongly is said before somebody types the rest.
    let wrong = runbook.resolve_parameters(&input);
    let wrong = wrong.is_err_and(|problems| problems.len() > missing);
    if ui.is_interactive() && missing > 0 && !wrong {
        // On a thread of its own: a signal must reach whoever waits for the prompt.
        let (book, terminal) = (runbook.clone(), ui.clone());
        let asked = tokio::task::spawn_blocking(move || {
            prompt(&book, &mut input, &terminal)?;
            Ok(input)
        });
        input = asked.await.unwrap_or(Err(Exit::Bug))?;
    }
    let parameters = runbook
        .resolve_parameters(&input)
        .map_err(|problems| cli::invalid(&problems, ui, output))?;
    check(runbook, &parameters, ui, output)?;
    Ok(parameters)
}

/// How a Version is written; what a description says is not said again.
const VERSION: &str = "DEPLOYMENT:BUILD";

fn prompt(runbook: &Runbook, input: &mut ParameterInput, ui: &Ui) -> Result<(), Exit> {
    let missing: Vec<String> = runbook
        .missing_parameters(input)
        .into_iter()
        .map(str::to_owned)
        .collect();
    for name in missing {
        let parameter = &runbook.params[&name];
        let form = match parameter.kind {
            ParameterType::List => "; several with commas between them",
            ParameterType::Map => "; KEY=VALUE with commas between them",
            ParameterType::Version if !parameter.description.contains(VERSION) => {
                "; DEPLOYMENT:BUILD"
            }
            _ => "",
        };
        let help = format!("{}{form}", parameter.description.trim_end_matches('.'));
        let mut fits = |text: &str| input.clone().prompted(runbook, &name, text);
        match ui.ask(
            &name,
            help.trim_start_matches("; "),
            parameter.secret,
            &mut fits,
        ) {
            Asked::Text(text) => {
                // It was checked before it was taken.
                let _ = input.prompted(runbook, &name, &text);
            }
            Asked::Interrupted => {
                ui.error("Ctrl-C: nothing was changed", None);
                return Err(Exit::Interrupted);
            }
            Asked::Nobody => return Ok(()),
        }
    }
    Ok(())
}

/// The runbook's checks.
fn check(runbook: &Runbook, parameters: &Parameters, ui: &Ui, output: Output) -> Result<(), Exit> {
    let scope = runbook.scope(parameters, &BTreeMap::new(), &Value::Null);
    let problems: Vec<Diagnostic> = match runbook.failed_checks(&scope) {
        Ok(failed) => failed
            .into_iter()
            .map(|check| {
                Diagnostic::plain(Kind::Parameter, check.otherwise.clone())
                    .note(format!("this does not hold: {}", check.that))
            })
            .collect(),
        Err(error) => vec![Diagnostic::plain(
            Kind::Expression,
            format!("a check cannot be evaluated: {error}"),
        )],
    };
    if problems.is_empty() {
        return Ok(());
    }
    Err(cli::invalid(&problems, ui, output))
}

/// A new run's id: when it began, in UTC, and four letters that tell it from others.
pub fn new_run(now: Timestamp) -> RunId {
    const LETTERS: &[u8] = b"abcdefghjkmnpqrstuvwxyz23456789";
    let random = Uuid::new_v4();
    let letters: String = random.as_bytes()[..4]
        .iter()
        .map(|byte| char::from(LETTERS[usize::from(*byte) % LETTERS.len()]))
        .collect();
    RunId(format!("rb-{}-{letters}", now.strftime("%Y%m%d-%H%M%S")))
}

/// Reads the service for a plan.
///
/// # Errors
/// [`Exit::Failed`] where it cannot be read, [`Exit::Invalid`] where a table cannot be filled in.
pub async fn survey(
    world: &World,
    runbook: &Runbook,
    parameters: &Parameters,
    looks: usize,
    ui: &Ui,
    output: Output,
) -> Result<Survey, Exit> {
    let scope = scope(runbook, parameters, &world.run);
    let subject = begin::subject(runbook, parameters, &scope, looks).map_err(|error| {
        let problem = Diagnostic::plain(Kind::Decision, error.to_string());
        cli::invalid(&[problem], ui, output)
    })?;
    survey_service(world, &subject).await.map_err(|problem| {
        ui.error(&problem.message, None);
        Exit::Failed
    })
}

/// The lock that a run takes, and who has it now; none where the runbook declares none.
///
/// # Errors
/// [`Exit::Failed`] where the service cannot be read, [`Exit::Invalid`] where the lock has no name,
/// [`Exit::Refused`] where something else has its Workflow ID.
pub async fn lock(
    world: &World,
    runbook: &Runbook,
    parameters: &Parameters,
    ui: &Ui,
    output: Output,
) -> Result<Option<LockPlan>, Exit> {
    let scope = scope(runbook, parameters, &world.run);
    let name = runbook.lock_name(&scope).map_err(|error| {
        let problem = Diagnostic::plain(Kind::Expression, format!("`lock`: {error}"));
        cli::invalid(&[problem], ui, output)
    })?;
    let Some(name) = name else {
        return Ok(None);
    };
    lock_named(world, &name, ui).await.map(Some)
}

/// Who has a lock now.
///
/// # Errors
/// As [`lock`].
pub async fn lock_named(world: &World, name: &str, ui: &Ui) -> Result<LockPlan, Exit> {
    let holder = match lease::holder(world, name).await {
        Ok(None) => None,
        Ok(Some(lease::Seen::Held(holder))) => Some(*holder),
        Ok(Some(lease::Seen::Foreign(workflow_type))) => {
            let id = crate::lease::workflow_id(name);
            ui.error(
                &format!("the Workflow `{id}` is of type {workflow_type}: it is no lock"),
                Some("give the lock another name, or find out who started that Workflow"),
            );
            return Err(Exit::Refused);
        }
        Err(error) => return Err(failed(&error.to_string(), ui)),
    };
    Ok(LockPlan::new(name, holder, world.clock.now()))
}

/// Says that somebody else has the lock, and the two ways on.
pub fn refused_by_lock(
    held: &LockPlan,
    holder: &crate::lease::Holder,
    world: &World,
    ui: &Ui,
) -> Exit {
    ui.error(
        &format!("the lock `{}` is held; nothing was changed", held.name),
        None,
    );
    for line in holder_lines(holder, world.clock.now()) {
        ui.line(Tone::Plain, &format!("  {line}"));
    }
    let connection = world.temporal.connection();
    let unlock = unlock_line(&held.name, connection.address(), connection.namespace());
    ui.hint("wait until it is given back, and try again");
    ui.hint(&format!(
        "where nobody carries that run out any more: {unlock}"
    ));
    Exit::Refused
}

/// The scope of expressions before any step has run.
pub fn scope(runbook: &Runbook, parameters: &Parameters, run: &RunId) -> Scope {
    runbook.scope(parameters, &BTreeMap::new(), &json!({ "id": run.0 }))
}

//! What `plan` and `exec` have in common about saved plans: reading one, and everything for which it is refused.
//!
//! Wiring, as in [`super::session`]; what moved is decided in [`crate::plan::moved`].

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use super::parameters::ParameterFlags;
use super::{Exit, Output, session};
use crate::connection::{ConnectionArgs, Origin, Settings};
use crate::diagnostic::{Diagnostic, Kind};
use crate::journal::{self, Holder};
use crate::plan::saved::{SavedPlan, claims_to_be_plan};
use crate::plan::{Plan, Survey};
use crate::report::{PlanDiff, shell_word};
use crate::runbook::{ParameterInput, Parameters, Runbook};
use crate::survey::Preflight;
use crate::ui::Ui;

/// More is no plan: one of 10,000 Workflows in a hundred rows has less than a tenth of it.
const LARGEST: u64 = 64 << 20;
/// So much of a file says what it is.
const BEGINNING: u64 = 256;

/// What a verb was given: a runbook, or a plan that holds one.
pub struct Subject {
    /// The runbook.
    pub runbook: Runbook,
    /// The plan that it came in.
    pub saved: Option<Saved>,
}

/// A saved plan.
pub struct Saved {
    /// What it says.
    pub file: SavedPlan,
    /// Where it is.
    path: PathBuf,
    /// Locked by `exec` while it lasts: two at once are one too many.
    handle: File,
}

/// Reads a runbook, or a saved plan, which is known by what it holds.
///
/// # Errors
/// [`Exit::Invalid`] for a runbook with problems, [`Exit::Refused`] for a plan that is not as it was written or of
/// another version.
pub fn load(path: &Path, ui: &Ui, output: Output) -> Result<Subject, Exit> {
    let Some(mut handle) = plan_at(path) else {
        let runbook = super::load(path, ui, output)?;
        return Ok(Subject {
            runbook,
            saved: None,
        });
    };
    let mut bytes = Vec::new();
    if let Err(error) = (&mut handle).take(LARGEST).read_to_end(&mut bytes) {
        return Err(session::failed(
            &format!("cannot read {}: {error}", path.display()),
            ui,
        ));
    }
    let refused = |why: &str, hint: &str| {
        ui.error(
            &format!("the plan in {} is refused: {why}", path.display()),
            Some(hint),
        );
        Exit::Refused
    };
    let file = SavedPlan::read(&bytes).map_err(|why| refused(&why.to_string(), why.hint()))?;
    let runbook = Runbook::parse(&file.plan.file, file.plan.source.as_bytes()).map_err(|_| {
        let why = format!(
            "its runbook is not valid for this version; runbook {} made it",
            file.tool
        );
        refused(
            &why,
            "`runbook validate` says of the runbook what is wrong; then make a new plan",
        )
    })?;
    Ok(Subject {
        runbook,
        saved: Some(Saved {
            file,
            path: path.to_owned(),
            handle,
        }),
    })
}

/// A file that says that it is a plan, from its beginning.
fn plan_at(path: &Path) -> Option<File> {
    if path.as_os_str() == "-" || !path.is_file() {
        return None;
    }
    let mut beginning = Vec::new();
    let read = File::open(path).and_then(|file| file.take(BEGINNING).read_to_end(&mut beginning));
    read.ok()?;
    if !claims_to_be_plan(&beginning) {
        return None;
    }
    File::open(path).ok()
}

/// Whether a file may be written over: nothing, or something of the kind that is written.
///
/// # Errors
/// [`Exit::Refused`]; [`Exit::Invalid`] for stdout, which would not be private.
pub fn may_write(
    flag: &str,
    path: &Path,
    is_ours: impl FnOnce(&Path) -> bool,
    ui: &Ui,
) -> Result<(), Exit> {
    if path.as_os_str() == "-" {
        ui.error(
            &format!("{flag} writes a file that only you may read, not to stdout"),
            Some(&format!("{flag} FILE")),
        );
        return Err(Exit::Invalid);
    }
    let Ok(found) = fs::symlink_metadata(path) else {
        // Before the service is read, which may take its time.
        return match super::missing_folder(path) {
            None => Ok(()),
            Some(folder) => {
                let (path, folder) = (path.display(), folder.display());
                ui.error(
                    &format!("cannot write {path}: there is no folder {folder}"),
                    Some(&format!("mkdir -p {}", shell_word(&folder.to_string()))),
                );
                Err(Exit::Failed)
            }
        };
    };
    if found.is_file() && is_ours(path) {
        return Ok(());
    }
    if found.is_dir() {
        let (path, hint) = (path.display(), format!("{flag} names a file"));
        ui.error(&format!("cannot write {path}: it is a folder"), Some(&hint));
        return Err(Exit::Invalid);
    }
    ui.error(
        &format!(
            "{} is there and was not written by `runbook plan {flag}`",
            path.display()
        ),
        Some("it stays as it is: give another name, or remove it first"),
    );
    Err(Exit::Refused)
}

/// Whether a file is a saved plan, whole or not.
pub fn is_plan(path: &Path) -> bool {
    plan_at(path).is_some()
}

/// Saves a plan.
///
/// # Errors
/// [`Exit::Failed`] where it cannot be written.
pub fn save(plan: &Plan, path: &Path, ui: &Ui) -> Result<(), Exit> {
    let here = Holder::here();
    let file = SavedPlan::new(
        plan.clone(),
        env!("CARGO_PKG_VERSION"),
        &here.user,
        &here.host,
    );
    journal::write_private(path, file.text().as_bytes())
        .map_err(|error| session::refused(&error, ui))
}

impl Saved {
    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.file.plan
    }

    /// Whose it is, for whoever carries it out.
    pub fn words(&self) -> String {
        let SavedPlan {
            user, host, plan, ..
        } = &self.file;
        let made = crate::report::moment(plan.created);
        format!("The plan of {made}, by {user} on {host}")
    }

    /// Its parameters; secrets, which it does not hold, are given again.
    ///
    /// # Errors
    /// [`Exit::Invalid`] where more than secrets is given, and as [`session::complete`].
    pub async fn parameters(
        &self,
        runbook: &Runbook,
        flags: &ParameterFlags,
        ui: &Ui,
        output: Output,
    ) -> Result<Parameters, Exit> {
        let given = flags
            .input(runbook)
            .map_err(|problems| super::invalid(&problems, ui, output))?;
        let problems = self.already_given(runbook, &given);
        if !problems.is_empty() {
            return Err(super::invalid(&problems, ui, output));
        }
        let mut input = ParameterInput::default();
        for (name, value) in self.plan().parameters.values() {
            input.value(name, value.clone());
        }
        input.extend(given);
        session::complete(runbook, input, ui, output).await
    }

    /// Parameters that the plan has already.
    fn already_given(&self, runbook: &Runbook, given: &ParameterInput) -> Vec<Diagnostic> {
        let secrets: Vec<&str> = runbook
            .params
            .iter()
            .filter(|(_, parameter)| parameter.secret)
            .map(|(name, _)| name.as_str())
            .collect();
        let expected = match secrets.as_slice() {
            [] => "no `-p` and no `--params-file`".to_owned(),
            secrets => format!("of its parameters only the secret {}", secrets.join(", ")),
        };
        let problem = |name: &str| {
            let message =
                format!("`{name}` cannot be given: the plan was reviewed with its parameters");
            Diagnostic::plain(Kind::Parameter, message)
                .expected(expected.clone())
                .note("other parameters are another plan: make it with `runbook plan FILE -p … --out PLAN`")
        };
        let names = given.names().into_iter();
        names
            .filter(|name| !secrets.contains(name))
            .map(problem)
            .collect()
    }

    /// The connection to the service that the plan is of. What says nothing about address and namespace goes there.
    ///
    /// # Errors
    /// [`Exit::Refused`] where flags, environment or profile name another one, and as [`session::guarded`].
    pub fn settings(
        &self,
        runbook: &Runbook,
        arguments: &ConnectionArgs,
        ui: &Ui,
        output: Output,
    ) -> Result<Settings, Exit> {
        let preflight = &self.plan().survey.preflight;
        let effective = session::effective(arguments, ui)?;
        let origin = |name: &str| {
            let value = effective.values.iter().find(|value| value.name == name);
            value.map_or(Origin::Default, |value| value.origin.clone())
        };
        let settings = &effective.settings;
        let mut connection = arguments.clone();
        for (noun, theirs, ours, slot) in [
            (
                "address",
                &settings.address,
                &preflight.address,
                &mut connection.address,
            ),
            (
                "namespace",
                &settings.namespace,
                &preflight.namespace,
                &mut connection.namespace,
            ),
        ] {
            let origin = origin(noun);
            if origin == Origin::Default {
                *slot = Some(ours.clone());
            } else if theirs != ours {
                return Err(elsewhere(preflight, noun, theirs, &origin, ui));
            }
        }
        session::guarded(runbook, &connection, ui, output)
    }

    /// Refuses the plan where a run of it is known, and keeps others from it while this process lasts.
    ///
    /// # Errors
    /// [`Exit::Refused`]; [`Exit::Failed`] where the journals cannot be read.
    pub fn once(&self, state: Option<&Path>, ui: &Ui) -> Result<(), Exit> {
        let path = self.path.display();
        if self.handle.try_lock().is_err() {
            ui.error(
                &format!("the plan in {path} is being carried out by another process"),
                Some("`runbook runs` lists the runs; a plan is carried out once"),
            );
            return Err(Exit::Refused);
        }
        let found =
            journal::executed(self.plan(), state).map_err(|error| session::refused(&error, ui))?;
        let Some((run, journal)) = found else {
            return Ok(());
        };
        ui.error(
            &format!("the plan in {path} was carried out already: run {run}"),
            Some(&format!(
                "`{}` goes on with that run, where it has not ended; to do it again, make a new plan",
                journal::resume_line(&journal, &run)
            )),
        );
        Err(Exit::Refused)
    }

    /// Whether the namespace is still the one that the plan is of.
    ///
    /// # Errors
    /// [`Exit::Refused`].
    pub fn same_namespace(&self, now: &Preflight, ui: &Ui) -> Result<(), Exit> {
        let planned = &self.plan().survey.preflight;
        if planned.namespace_id == now.namespace_id {
            return Ok(());
        }
        ui.error(
            &format!(
                "the plan belongs to another namespace: `{}` had the id {}, and that on {} has {}",
                planned.namespace, planned.namespace_id, now.address, now.namespace_id
            ),
            Some("make a new plan there with `runbook plan FILE --out`"),
        );
        Err(Exit::Refused)
    }

    /// What moved on the service since.
    pub fn diff(&self, runbook: &Runbook, now: &Survey, at: jiff::Timestamp) -> PlanDiff {
        PlanDiff::new(self.plan(), self.plan().moved(runbook, now), at)
    }

    /// Says where the runbook's file is another by now: the plan is what counts.
    pub fn hint_if_edited(&self, ui: &Ui) {
        let plan = self.plan();
        let named = Path::new(&plan.file);
        let beside = self
            .path
            .with_file_name(named.file_name().unwrap_or_default());
        let found = [named, &beside].into_iter().find_map(|path| {
            let bytes = super::read(path).ok().filter(|_| path.as_os_str() != "-")?;
            Some((path.to_owned(), bytes))
        });
        if let Some((path, bytes)) = found
            && bytes != plan.source.as_bytes()
        {
            ui.hint(&format!(
                "{} was edited since the plan was made; what is carried out is the plan's text",
                path.display()
            ));
        }
    }
}

fn elsewhere(planned: &Preflight, noun: &str, theirs: &str, origin: &Origin, ui: &Ui) -> Exit {
    ui.error(
        &format!(
            "the plan is of namespace `{}` on {}; {origin} names the {noun} `{theirs}`",
            planned.namespace, planned.address
        ),
        Some("leave that out to carry it out where it belongs, or make a plan of the other place"),
    );
    Exit::Refused
}

/// Says that more moved than the runbook tolerates.
pub fn refuse_moved(diff: &PlanDiff, ui: &Ui, output: Output) -> Exit {
    if print(diff, ui, output, false) != Exit::Done {
        return Exit::Failed;
    }
    ui.error(
        "the service is not as it was reviewed: refused, and nothing was changed",
        Some("make a new plan, and have it reviewed; or widen `tolerance:` in the runbook, where this is harmless"),
    );
    Exit::Refused
}

/// Prints what moved: as data for programs, for people to stderr unless it is what they asked for.
pub fn print(diff: &PlanDiff, ui: &Ui, output: Output, asked_for: bool) -> Exit {
    let printed = match output {
        Output::Json => ui.write_data(|out| {
            crate::report::write_json(diff, true, out)?;
            out.write_all(b"\n")
        }),
        Output::Text if asked_for => ui.data(&diff.text(ui.out_style())),
        Output::Text => {
            ui.say(&diff.text(ui.err_style()));
            Ok(())
        }
    };
    session::printed(printed, ui)
}

/// The scope of a plan's own expressions: nothing of it is secret.
pub fn scope(runbook: &Runbook, plan: &Plan) -> crate::runbook::Scope {
    runbook.scope(
        &plan.parameters,
        &BTreeMap::new(),
        &serde_json::json!({ "id": "" }),
    )
}

//! `runbook new NAME`: a commented runbook and its rehearsal to begin with. Writes two new files, and never over
//! one that is there.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::Exit;
use crate::ui::{Tone, Ui, shell_word};

const RUNBOOK: &str = include_str!("template.yaml");
const REHEARSAL: &str = include_str!("template.rehearsal.yaml");

/// Write a commented runbook and its rehearsal to begin with
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Its name, or the file to write; NAME.rehearsal.yaml is written beside it
    #[arg(value_name = "NAME|FILE", default_value = "my-runbook")]
    pub name: PathBuf,
}

/// Runs the verb.
pub fn run(arguments: &Arguments, ui: &Ui) -> Exit {
    let file = match arguments.name.extension() {
        Some(ending) if ending == "yaml" || ending == "yml" => arguments.name.clone(),
        _ => {
            let mut name = arguments.name.clone().into_os_string();
            name.push(".yaml");
            name.into()
        }
    };
    let stem = file
        .file_stem()
        .and_then(|stem| stem.to_str())
        .unwrap_or_default();
    if !is_name(stem) {
        let hint = "a runbook's name has lower-case letters, digits and `-`, and begins with a letter: drain-queue";
        ui.error(&format!("`{stem}` is no name for a runbook"), Some(hint));
        return Exit::Invalid;
    }
    let rehearsal = file.with_extension("rehearsal.yaml");
    // Both are looked for first, so that no half of a pair is left.
    for path in [&file, &rehearsal] {
        if path.symlink_metadata().is_ok() {
            let message = format!("{} is there already; nothing was written", path.display());
            ui.error(&message, Some("give another name: runbook new NAME"));
            return Exit::Invalid;
        }
    }
    for (path, template, schema) in [
        (&file, RUNBOOK, "runbook"),
        (&rehearsal, REHEARSAL, "rehearsal"),
    ] {
        let text = template
            .replace("SCHEMA", &schema_of(path, schema))
            .replace("NAME", stem);
        if let Err(error) = create(path, &text) {
            ui.error(&super::unwritable(path, &error), None);
            return Exit::Failed;
        }
        ui.line(Tone::Plain, &format!("{}: written", path.display()));
    }
    ui.hint(&format!(
        "runbook rehearse {}",
        shell_word(&file.display().to_string())
    ));
    Exit::Done
}

/// What the schema of the language says.
fn is_name(stem: &str) -> bool {
    let letter = |c: char| c.is_ascii_lowercase();
    stem.starts_with(letter)
        && stem
            .chars()
            .all(|c| letter(c) || c.is_ascii_digit() || c == '-')
}

/// The schema as an editor finds it from the file: in a folder `schemas` beside it or above it, else beside it, where
/// `runbook schema` can put it.
fn schema_of(file: &Path, schema: &str) -> String {
    let name = format!("{schema}.v1.json");
    let folder = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let above = folder.ancestors().skip(1).take(8).enumerate();
    let mut found = above
        .filter(|(_, folder)| folder.join("schemas").join(&name).is_file())
        .map(|(up, _)| format!("{}schemas/{name}", "../".repeat(up)));
    found.next().unwrap_or_else(|| format!("./{name}"))
}

/// Never over what is there, also where it appeared a moment ago.
fn create(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        match std::fs::create_dir(folder) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(text.as_bytes())
}

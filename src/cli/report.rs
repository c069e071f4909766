//! `runbook report RUN`: a run as a document, to keep and to read: HTML, Markdown, JSON or CSV.
//!
//! Reads the journal once, also while another process writes to it. Wiring; the renderings are `report`'s.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::Exit;
use super::runs::{refused, written};
use super::show::read;
use crate::journal;
use crate::page::located;
use crate::report::Dossier;
use crate::ui::{Tone, Ui};

/// Write a run down as a document: one HTML file, Markdown, JSON or CSV.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Run id, a beginning of it that no other run has, or the state file's path
    #[arg(value_name = "RUN")]
    pub run: String,
    /// As what: html is one file that needs no network, csv the ledger; without it, what --out ends with, else html
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub format: Option<DocumentFormat>,
    /// Write it into this file, which only this user can read; without it, to stdout
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Replace the file where it is there already
    #[arg(long, requires = "out")]
    pub force: bool,
}

/// What `--format` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DocumentFormat {
    /// A page for a browser
    Html,
    /// For an incident review, as GitHub shows it
    Markdown,
    /// Everything, `page/v1`
    Json,
    /// The ledger, as `show --workflows --output csv`
    Csv,
}

impl Arguments {
    fn format(&self) -> DocumentFormat {
        let ending = self.out.as_deref().and_then(Path::extension);
        let meant = match ending.and_then(|ending| ending.to_str()) {
            Some("md" | "markdown") => DocumentFormat::Markdown,
            Some("json") => DocumentFormat::Json,
            Some("csv") => DocumentFormat::Csv,
            _ => DocumentFormat::Html,
        };
        self.format.unwrap_or(meant)
    }
}

/// Runs the verb.
pub fn run(arguments: &Arguments, ui: &Ui) -> Exit {
    let path = match journal::find(&arguments.run) {
        Ok(path) => path,
        Err(error) => return refused(&error, ui),
    };
    let mut dossier = Dossier::new();
    if let Err(error) = read(&path, ui, |record| dossier.apply(record)) {
        return refused(&error, ui);
    }
    let located = located(&path, dossier.report());
    let render = |out: &mut dyn io::Write| match arguments.format() {
        DocumentFormat::Html => dossier.write_html(&located, out),
        DocumentFormat::Markdown => out.write_all(dossier.markdown(&located).as_bytes()),
        DocumentFormat::Json => dossier.write_json(&located, out),
        DocumentFormat::Csv => dossier.write_csv(out),
    };
    match &arguments.out {
        None => written(ui.write_data(render), ui),
        Some(file) => into_file(file, arguments.force, render, ui),
    }
}

fn into_file(
    path: &Path,
    force: bool,
    render: impl FnOnce(&mut dyn io::Write) -> io::Result<()>,
    ui: &Ui,
) -> Exit {
    let result = create(path, force).and_then(|(mut file, draft)| {
        let rendered = render(&mut file).and_then(|()| file.sync_all());
        let placed = match &draft {
            Some(draft) => rendered.and_then(|()| std::fs::rename(draft, path)),
            None => rendered,
        };
        if placed.is_err() {
            // Half a document would be taken for a whole one.
            let _ = std::fs::remove_file(draft.as_deref().unwrap_or(path));
        }
        placed
    });
    match result {
        Ok(()) => {
            ui.line(Tone::Plain, &format!("Written to {}", path.display()));
            Exit::Done
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let hint = "choose another name, or give --force to replace it";
            ui.error(&format!("{} is there already", path.display()), Some(hint));
            Exit::Invalid
        }
        Err(error) => {
            ui.error(&super::unwritable(path, &error), None);
            Exit::Failed
        }
    }
}

/// A new file that only this user can read (0600). One that is replaced stays as it is until the new one, the draft,
/// is whole.
fn create(path: &Path, force: bool) -> io::Result<(File, Option<PathBuf>)> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    match options.open(path) {
        Err(error) if force && error.kind() == io::ErrorKind::AlreadyExists => {
            let mut name = path.file_name().unwrap_or_default().to_owned();
            name.push(format!(".{}.part", std::process::id()));
            let draft = path.with_file_name(name);
            Ok((options.open(&draft)?, Some(draft)))
        }
        other => Ok((other?, None)),
    }
}

//! `runbook docs FILE`: a runbook as a page of Markdown. Wiring.

use std::path::{Path, PathBuf};

use super::{Exit, Output};
use crate::review;
use crate::ui::{Tone, Ui};

/// Write a runbook as a page of Markdown: purpose, parameters, decisions, steps, flow
///
/// The page is made for GitHub, with the flow as a Mermaid chart. The same runbook gives the same page, so that a page
/// that is kept beside the runbook can be compared with it: `runbook docs --check NAME.md NAME.yaml`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The runbook; `-` is stdin
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Write the page to this file, over what is there
    #[arg(long, value_name = "FILE", conflicts_with = "check")]
    pub out: Option<PathBuf>,
    /// Write nothing: exit 1 where this file is not the page
    #[arg(long, value_name = "FILE")]
    pub check: Option<PathBuf>,
}

/// Runs the verb.
pub fn run(arguments: &Arguments, ui: &Ui, output: Output) -> Exit {
    let runbook = match super::load(&arguments.file, ui, output) {
        Ok(runbook) => runbook,
        Err(exit) => return exit,
    };
    let page = review::page(&runbook);
    if let Some(kept) = &arguments.check {
        return compare(&page, kept, &arguments.file, ui);
    }
    if let Some(out) = &arguments.out {
        return write(&page, out, ui);
    }
    // Nothing of a file is left in the page that a terminal would act on.
    super::runs::written(ui.data(&page), ui)
}

fn write(page: &str, out: &Path, ui: &Ui) -> Exit {
    match std::fs::write(out, page) {
        Ok(()) => {
            ui.line(Tone::Plain, &format!("{}: written", out.display()));
            Exit::Done
        }
        Err(error) => {
            ui.error(&super::unwritable(out, &error), None);
            Exit::Failed
        }
    }
}

/// Line ends of another system are no difference.
fn compare(page: &str, kept: &Path, file: &Path, ui: &Ui) -> Exit {
    let bytes = match std::fs::read(kept) {
        Ok(bytes) => bytes,
        Err(error) => {
            ui.error(
                &format!("cannot read {}: {}", kept.display(), super::plain(&error)),
                Some(&hint(kept, file)),
            );
            return Exit::Failed;
        }
    };
    let text = String::from_utf8_lossy(&bytes).replace("\r\n", "\n");
    if text == page {
        ui.line(Tone::Plain, &format!("{}: up to date", kept.display()));
        return Exit::Done;
    }
    let line = text
        .lines()
        .zip(page.lines())
        .take_while(|(kept, page)| kept == page)
        .count()
        + 1;
    let message = format!(
        "{} is not the page of {}: line {line} is the first that differs",
        kept.display(),
        file.display()
    );
    ui.error(&message, Some(&hint(kept, file)));
    Exit::Failed
}

fn hint(kept: &Path, file: &Path) -> String {
    let word = |path: &Path| crate::ui::shell_word(&path.display().to_string()).into_owned();
    format!("runbook docs {} --out {}", word(file), word(kept))
}

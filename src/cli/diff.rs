//! `runbook diff OLD NEW`: what an edit changes for operators. Wiring; the words are in [`crate::review`].

use std::path::PathBuf;

use super::{Exit, Format, Output};
use crate::review;
use crate::ui::Ui;

/// Say in operators' words what an edit of a runbook changes, the most dangerous first
///
/// Compares what the two files mean: formatting, comments and the order of keys are no difference. Exit 0 where both
/// are valid, whatever differs; with --exit-code 1 where an operator would notice a difference.
///
/// `git show main:recover.yaml | runbook diff - recover.yaml` compares with another revision.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// The runbook as it was; `-` is stdin
    #[arg(value_name = "OLD")]
    pub old: PathBuf,
    /// The runbook as it is; `-` is stdin
    #[arg(value_name = "NEW")]
    pub new: PathBuf,
    /// Exit 1 where an operator would notice a difference
    #[arg(long)]
    pub exit_code: bool,
}

/// Runs the verb. `--output markdown` is for a comment of a pull request.
pub fn run(arguments: &Arguments, ui: &Ui, format: Format) -> Exit {
    let output = match format {
        Format::Json => Output::Json,
        Format::Text | Format::Markdown => Output::Text,
        other => return super::no_such_format(other, "text, json or markdown", ui),
    };
    if arguments.old == arguments.new && arguments.old.as_os_str() == "-" {
        ui.error("only one of the two runbooks can come from stdin", None);
        return Exit::Invalid;
    }
    let old = super::load(&arguments.old, ui, output);
    let new = super::load(&arguments.new, ui, output);
    let (old, new) = match (old, new) {
        (Ok(old), Ok(new)) => (old, new),
        (Err(exit), _) | (_, Err(exit)) => return exit,
    };
    let difference = review::compare(&old, &new);
    let printed = match format {
        Format::Json => match difference.json(&old.file, &new.file) {
            Ok(value) => super::print_json(ui, &value),
            Err(error) => Err(error.into()),
        },
        Format::Markdown => ui.data(&difference.markdown(&new.file)),
        _ => ui.data(&difference.text(&old.file, &new.file, ui.out_style())),
    };
    match super::runs::written(printed, ui) {
        Exit::Done if arguments.exit_code && difference.matters() => Exit::Failed,
        exit => exit,
    }
}

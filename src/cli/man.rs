//! `runbook man`: the manual, from the command line's own definition. Wiring.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, Command};
use clap_mangen::Man;

use super::Exit;
use super::runs::written;
use super::session::failed;
use crate::ui::Ui;

/// Print a manual page, or write all of them
#[derive(Debug, Args)]
pub struct Arguments {
    /// Of this verb; else of the whole
    #[arg(value_name = "VERB")]
    pub verb: Option<String>,
    /// Write a page for each verb into this folder, as runbook-VERB.1
    #[arg(long, value_name = "FOLDER", conflicts_with = "verb")]
    pub out: Option<PathBuf>,
}

/// Runs the verb; the exit code.
pub fn run(arguments: &Arguments, command: Command, ui: &Ui) -> Exit {
    let pages = pages(command);
    if let Some(folder) = &arguments.out {
        return write(folder, &pages, ui);
    }
    let name = match &arguments.verb {
        Some(verb) => format!("runbook-{verb}"),
        None => "runbook".to_owned(),
    };
    match pages.iter().find(|(page, _)| *page == name) {
        Some((_, text)) => written(ui.write_data(|out| out.write_all(text)), ui),
        None => {
            let verbs: Vec<&str> = pages
                .iter()
                .filter_map(|(page, _)| page.strip_prefix("runbook-"))
                .collect();
            ui.error(
                &format!("there is no page of this name: {name}"),
                Some(&format!("one of {}", verbs.join(", "))),
            );
            Exit::Invalid
        }
    }
}

/// Each page by its name, without the section.
pub fn pages(command: Command) -> Vec<(String, Vec<u8>)> {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let verbs = command.get_subcommands().filter(|verb| !verb.is_hide_set());
    let verbs: Vec<Command> = verbs
        .map(|verb| {
            let name = format!("runbook-{}", verb.get_name());
            verb.clone().display_name(name)
        })
        .collect();
    [command].into_iter().chain(verbs).map(page).collect()
}

fn page(command: Command) -> (String, Vec<u8>) {
    let name = command
        .get_display_name()
        .unwrap_or(command.get_name())
        .to_owned();
    let mut text = Vec::new();
    let man = Man::new(command)
        .title(name.to_uppercase())
        .source(concat!("runbook ", env!("CARGO_PKG_VERSION")));
    // A vector takes everything.
    let _ = man.render(&mut text);
    (name, text)
}

fn write(folder: &Path, pages: &[(String, Vec<u8>)], ui: &Ui) -> Exit {
    if let Err(error) = fs::create_dir_all(folder) {
        let message = format!("cannot make the folder {}: {error}", folder.display());
        return failed(&message, ui);
    }
    for (name, text) in pages {
        let path = folder.join(format!("{name}.1"));
        if let Err(error) = fs::write(&path, text) {
            return failed(&super::unwritable(&path, &error), ui);
        }
    }
    ui.hint(&format!(
        "{} pages are in {}",
        pages.len(),
        folder.display()
    ));
    Exit::Done
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::command;

    #[test]
    fn each_verb_has_a_page_with_its_flags_and_examples() {
        let pages = pages(command());
        for verb in command().get_subcommands() {
            let name = format!("runbook-{}", verb.get_name());
            let (_, text) = pages
                .iter()
                .find(|(page, _)| *page == name)
                .expect("a page");
            let text = String::from_utf8(text.clone()).expect("text");
            assert!(text.contains(".SH SYNOPSIS"), "{name}");
            assert!(text.contains("Examples:"), "{name}");
            for argument in verb.get_arguments().filter_map(clap::Arg::get_long) {
                let flag = argument.replace('-', "\\-");
                assert!(text.contains(&flag), "{name}: --{argument}");
            }
        }
        assert_eq!(pages[0].0, "runbook");
    }
}

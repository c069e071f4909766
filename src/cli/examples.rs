//! Examples for each verb's `--help` and manual page. A test parses each of them.

use clap::Command;

/// What it is for, and the line.
type Example = (&'static str, &'static str);

/// By verb. A line is at most 74 columns wide; one that is longer goes on behind ` \`.
#[rustfmt::skip] // a table
const EXAMPLES: &[(&str, &[Example])] = &[
    ("validate", &[
        ("All files of a folder, as a check before a merge", "runbook validate runbooks/*.yaml"),
        ("For a program", "runbook validate drain.yaml --output json"),
    ]),
    ("new", &[
        ("drain.yaml and drain.rehearsal.yaml, to begin with", "runbook new drain"),
    ]),
    ("docs", &[
        ("A page beside the runbook", "runbook docs drain.yaml --out drain.md"),
        ("Whether that page is up to date, as a check before a merge",
         "runbook docs drain.yaml --check drain.md"),
    ]),
    ("diff", &[
        ("What an edit changes", "git show main:drain.yaml | runbook diff - drain.yaml"),
    ]),
    ("plan", &[
        ("What would be done now", "runbook plan drain.yaml -p bad=orders:v12 -p good=orders:v11"),
        ("Save it for a review, then carry out just that",
         "runbook plan drain.yaml --params-file inc-1.yaml --out plan.json"),
        ("With the parameters of an incident, on another service",
         "runbook plan drain.yaml --params-file inc-1.yaml --profile prod"),
    ]),
    ("explain", &[
        ("Why this Workflow is taken, or not",
         "runbook explain drain.yaml -w order-17 --params-file inc-1.yaml"),
    ]),
    ("reset-points", &[
        ("The newest points, then all of them", "runbook reset-points order-17"),
        ("Of an earlier run", "runbook reset-points order-17 --all \\\n    -r 0198f2c1-6d0e-7b9a-8f5e-2f4b1c9d7e10"),
    ]),
    ("exec", &[
        ("Ask at each step", "runbook exec drain.yaml -p bad=orders:v12 -p good=orders:v11"),
        ("Read everything, write nothing", "runbook exec drain.yaml --params-file inc-1.yaml --dry-run"),
        ("A saved plan, as it was reviewed", "runbook exec plan.json"),
        ("Stop after a step, and write to few Workflows before somebody looks",
         "runbook exec drain.yaml --params-file inc-1.yaml --until canary \\\n    --limit 50 --rate 5"),
        ("With nobody at the terminal: what wants a typed word must be given it",
         "runbook exec drain.yaml --params-file inc-1.yaml --yes \\\n    --confirm delete=orders:v12"),
    ]),
    ("resume", &[
        ("Wherever it stopped; the beginning of a run's id is enough", "runbook resume rb-20260105-0312"),
        ("With a class that was missing", "runbook resume rb-20260105-0312 -p classes.Refund=move_only"),
        ("Try again what failed; accept how a step stands",
         "runbook resume rb-20260105-0312 --retry-failed --accept drain"),
    ]),
    ("rehearse", &[
        ("All scenarios beside the runbook", "runbook rehearse drain.yaml"),
        ("Every scenario of every runbook in a folder", "runbook rehearse runbooks"),
        ("One of them, and answer its questions", "runbook rehearse drain.yaml --scenario everything --interactive"),
    ]),
    ("simulator", &[
        ("Look at a scenario with Temporal's own CLI, at ten times the speed",
         "runbook simulator drain.yaml --scenario everything --speed 10"),
    ]),
    ("unlock", &[
        ("The lock that this runbook takes for these parameters",
         "runbook unlock drain.yaml -p bad=orders:v12"),
        ("By its name, without a terminal",
         "runbook unlock 'recover orders:v12' --confirm rb-20260105-031203-k7wq"),
    ]),
    ("connection", &[
        ("Where each value comes from; then call the service", "runbook connection --profile prod"),
        ("Call nothing", "runbook connection --profile prod --offline"),
    ]),
    ("runs", &[
        ("For a program", "runbook runs --output json"),
    ]),
    ("show", &[
        ("What happened", "runbook show rb-20260105-0312"),
        ("Each Workflow, as a table of a spreadsheet", "runbook show rb-20260105-0312 --output csv"),
    ]),
    ("schema", &[
        ("For an editor that checks YAML while it is written", "runbook schema runbook"),
    ]),
    ("completions", &[
        ("For this shell; a file that each shell reads keeps it", "runbook completions bash"),
    ]),
    ("report", &[
        ("For an incident review: one file that needs no network",
         "runbook report rb-20260105-0312 --out incident.html"),
        ("For a pull request or an issue", "runbook report rb-20260105-0312 --format markdown"),
    ]),
    ("serve", &[
        ("All runs of this user, on the usual socket", "runbook serve"),
        ("As pages of this machine, on any free port", "runbook serve --http 127.0.0.1:0"),
    ]),
    ("watch", &[
        ("As its own terminal shows it, from the first record", "runbook watch rb-20260105-0312"),
    ]),
    ("approve", &[
        ("Show what is asked, and ask here", "runbook approve rb-20260105-0312 recover"),
        ("With the word that the step wants typed",
         "runbook approve rb-20260105-0312 clean_up --confirm orders:v12"),
    ]),
    ("stop", &[
        ("Wait until it has stopped", "runbook stop rb-20260105-0312"),
        ("A run of another machine, by its address",
         "runbook stop rb-20260105-031203-k7wq --connect ops.example.com:7300 \\\n    --connect-tls-cert me.crt --connect-tls-key me.key"),
    ]),
    ("man", &[
        ("Read it", "runbook man exec"),
        ("One page for each verb, where `man` looks", "runbook man --out /usr/local/share/man/man1"),
    ]),
];

/// The command line with its examples.
pub fn shown(command: Command) -> Command {
    EXAMPLES.iter().fold(command, |command, (verb, examples)| {
        if command.find_subcommand(verb).is_none() {
            return command;
        }
        command.mut_subcommand(*verb, |verb| verb.after_help(text(examples)))
    })
}

fn text(examples: &[Example]) -> String {
    let lines = examples.iter().flat_map(|(what, line)| {
        let line = line.replace('\n', "\n  ");
        [format!("  # {what}"), format!("  {line}")]
    });
    format!("Examples:\n{}", lines.collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::*;
    use crate::cli::{Cli, command};

    /// As a POSIX shell splits these lines.
    fn words(line: &str) -> Vec<String> {
        let line = line.rsplit(" | ").next().unwrap_or_default();
        let joined = line.replace("\\\n", " ");
        let mut words = vec![String::new()];
        let mut quoted = false;
        for character in joined.chars() {
            match character {
                '\'' => quoted = !quoted,
                ' ' if !quoted => words.push(String::new()),
                other => words.last_mut().expect("a word").push(other),
            }
        }
        words.retain(|word| !word.is_empty());
        words
    }

    #[test]
    fn each_verb_has_examples_and_each_is_a_command_line() {
        for verb in Cli::command().get_subcommands() {
            let found = EXAMPLES.iter().find(|(name, _)| *name == verb.get_name());
            let name = verb.get_name();
            let (_, examples) = found.unwrap_or_else(|| panic!("`{name}` has no example"));
            for (_, line) in *examples {
                let words = words(line);
                assert_eq!(words[..2], ["runbook", name], "{line}");
                Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{line}\n{error}"));
            }
        }
        for (name, _) in EXAMPLES {
            assert!(
                Cli::command().find_subcommand(name).is_some(),
                "{name} is no verb"
            );
        }
    }

    #[test]
    fn help_fits_80_columns() {
        let mut all = command().term_width(80);
        all.build();
        for verb in all.get_subcommands_mut() {
            let help = verb.render_long_help().to_string();
            for line in help.lines() {
                assert!(line.chars().count() <= 80, "{}: {line}", verb.get_name());
            }
        }
    }
}

//! What a rehearsal's world answers to programs that a runbook runs: data and a pure look-up. Nothing is
//! run, and nothing here knows who asks.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::world::Span;

/// The answer to a program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CommandWorld {
    /// The program and its arguments, one pattern each: `*` stands for any text, also within one; a last
    /// `...` for any number of further arguments.
    pub argv: Vec<String>,
    /// Exit code.
    #[serde(default)]
    pub exit: i32,
    /// What it prints.
    #[serde(default)]
    pub stdout: String,
    /// What it complains.
    #[serde(default)]
    pub stderr: String,
    /// How long it takes.
    #[serde(default)]
    pub takes: Option<Span>,
    /// It answers so often; the next entry that matches answers after that.
    #[serde(default)]
    pub times: Option<u32>,
}

impl CommandWorld {
    fn matches(&self, argv: &[String]) -> bool {
        let (patterns, open) = match self.argv.split_last() {
            Some((last, rest)) if last == "..." => (rest, true),
            _ => (self.argv.as_slice(), false),
        };
        (argv.len() == patterns.len() || open && argv.len() > patterns.len())
            && patterns
                .iter()
                .zip(argv)
                .all(|(pattern, word)| wild(pattern.as_bytes(), word.as_bytes()))
    }
}

/// The entry that answers this run of a program: the first that matches and is not used up. `used` says
/// how often each has answered before; what is missing there is 0.
pub fn answering(commands: &[CommandWorld], used: &[u32], argv: &[String]) -> Option<usize> {
    commands.iter().enumerate().position(|(index, it)| {
        let before = used.get(index).copied().unwrap_or_default();
        it.times.is_none_or(|times| before < times) && it.matches(argv)
    })
}

/// Whether a text has the form of a pattern, in which `*` is any text.
fn wild(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut position) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while position < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, position));
                at += 1;
            }
            Some(byte) if *byte == text[position] => {
                at += 1;
                position += 1;
            }
            _ => {
                let Some((before, taken)) = star else {
                    return false;
                };
                star = Some((before, taken + 1));
                at = before + 1;
                position = taken + 1;
            }
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    fn entry(line: &str, times: Option<u32>) -> CommandWorld {
        CommandWorld {
            argv: words(line),
            exit: 0,
            stdout: String::new(),
            stderr: String::new(),
            takes: None,
            times,
        }
    }

    #[test]
    fn the_first_entry_that_matches_and_is_not_used_up_answers() {
        let commands = [
            entry("kubectl get pods", Some(1)),
            entry("kubectl get *", None),
            entry("kubectl ...", None),
        ];
        let found = |used: &[u32], line: &str| answering(&commands, used, &words(line));
        assert_eq!(found(&[], "kubectl get pods"), Some(0));
        assert_eq!(found(&[1], "kubectl get pods"), Some(1));
        assert_eq!(found(&[0], "kubectl get nodes"), Some(1));
        assert_eq!(found(&[0], "kubectl"), Some(2), "`...` may be none");
        assert_eq!(found(&[0], "kubectl scale --replicas 0 x"), Some(2));
        assert_eq!(found(&[0], "helm list"), None);
        assert_eq!(found(&[0], ""), None);
    }

    #[test]
    fn stars_stand_for_any_text() {
        for (pattern, text, is) in [
            ("*", "", true),
            ("--since=*", "--since=", true),
            ("--since=*", "--since", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-b-b", false),
            ("", "", true),
            ("", "x", false),
            ("é*", "été", true),
        ] {
            assert_eq!(
                wild(pattern.as_bytes(), text.as_bytes()),
                is,
                "{pattern} {text}"
            );
        }
    }
}

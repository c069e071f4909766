//! What a runbook forbids itself: where it may not go, how much it may not touch, what it may not do.
//!
//! Pure. Each rule keeps its place in the file, so that a refusal can name it, also years later from a
//! journal. Rules are literal: what an operator could move by a parameter would be no guard.

use crate::diagnostic::{Diagnostic, Kind, Position};

/// `guards:`
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Guards {
    /// Where it may run at all; none where anywhere.
    pub namespaces: Option<Names>,
    /// Services that it may call, as `HOST:PORT`; none where any.
    pub addresses: Option<Names>,
    /// Most Workflows that one step may write to.
    pub max_workflows: Option<Ceiling>,
    /// Actions that no step and no strategy has, by name or `NOUN.*`: held when the file is read.
    pub forbid: Vec<String>,
}

/// Names that are allowed, each exact or with `*` for any characters.
#[derive(Clone, Debug, PartialEq)]
pub struct Names {
    /// The patterns.
    pub patterns: Vec<String>,
    /// Where they stand.
    pub place: Place,
}

/// A number that is not to be exceeded.
#[derive(Clone, Debug, PartialEq)]
pub struct Ceiling {
    /// The number.
    pub most: u64,
    /// Where it stands.
    pub place: Place,
}

/// Where a rule stands in its file.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// The file as it was named.
    pub file: String,
    /// In it.
    pub position: Position,
}

impl Place {
    /// `FILE:LINE`
    pub fn line(&self) -> String {
        format!("{}:{}", self.file, self.position.line)
    }

    fn refusal(&self, message: String) -> Diagnostic {
        Diagnostic {
            file: Some(self.file.clone()),
            position: Some(self.position.clone()),
            ..Diagnostic::plain(Kind::Guard, message)
        }
    }
}

impl Guards {
    /// Why nothing may be read or written at this place, if so: known before the first call.
    pub fn refuse_service(&self, address: &str, namespace: &str) -> Vec<Diagnostic> {
        let rules = [
            ("addresses", "address", &self.addresses, address),
            ("namespaces", "namespace", &self.namespaces, namespace),
        ];
        let broken = rules.into_iter().filter_map(|(rule, noun, names, given)| {
            let names = names.as_ref()?;
            let allowed = names
                .patterns
                .iter()
                .any(|pattern| matches(pattern, given, rule == "addresses"));
            let message = format!("`guards.{rule}` does not allow the {noun} `{given}`");
            (!allowed).then(|| {
                names
                    .place
                    .refusal(message)
                    .note("nothing was read or written")
            })
        });
        broken.collect()
    }

    /// Why a step may not begin, if so: it would write to more Workflows than one step may. `written` were
    /// written to before.
    pub fn refuse_count(&self, step: &str, found: u64, written: u64) -> Option<Diagnostic> {
        let ceiling = self.max_workflows.as_ref()?;
        if found + written <= ceiling.most {
            return None;
        }
        let so_far = match written {
            0 => String::new(),
            _ => format!(", besides {written} that it has written to"),
        };
        let message = format!(
            "`guards.max_workflows` allows {} Workflows a step: step `{step}` would take {found}{so_far}",
            ceiling.most
        );
        let refusal = ceiling.place.refusal(message);
        Some(refusal.note("nothing was written; narrow what the step takes, or have the rule changed and reviewed"))
    }
}

/// Whether a name is meant by a pattern, in which `*` stands for any characters, none among them. Hosts have no
/// case.
pub fn matches(pattern: &str, name: &str, fold: bool) -> bool {
    if fold {
        return matches(&pattern.to_lowercase(), &name.to_lowercase(), false);
    }
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_any_characters_and_nothing_else_is_special() {
        for (pattern, name, is) in [
            ("prod", "prod", true),
            ("prod", "prod2", false),
            ("prod", "Prod", false),
            ("*", "", true),
            ("prod-*", "prod-eu", true),
            ("prod-*", "prod-", true),
            ("prod-*", "preprod-eu", false),
            ("*.tmprl.cloud:7233", "a.b.tmprl.cloud:7233", true),
            ("*.tmprl.cloud:7233", "tmprl.cloud:7233", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*bb*c", "abc", false),
            ("a*a", "a", false),
            ("?", "x", false),
            ("[p]rod", "prod", false),
        ] {
            assert_eq!(matches(pattern, name, false), is, "{pattern} {name}");
        }
        assert!(matches("Localhost:*", "LOCALHOST:7233", true));
    }
}

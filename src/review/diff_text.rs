//! How a difference reads: in a terminal, in a comment of a pull request, and as data.

use std::fmt::Write as _;

use serde::Serialize;

use super::diff::{Change, Difference, Kind};
use super::escape::code;
use crate::report::{Style, Text, Tone, count};

impl Kind {
    const ALL: [Self; 10] = [
        Self::Ends,
        Self::Safeguard,
        Self::Wider,
        Self::Affected,
        Self::Done,
        Self::Added,
        Self::Step,
        Self::Parameter,
        Self::Stricter,
        Self::Harmless,
    ];

    /// What stands above the changes of this kind.
    fn heading(self) -> &'static str {
        match self {
            Self::Ends => "Workflows are terminated, cancelled or started anew that were not",
            Self::Safeguard => "Safeguards that are gone, weaker or changed",
            Self::Wider => "More Workflows are affected",
            Self::Affected => "Other Workflows are affected",
            Self::Done => "Something else is done",
            Self::Added => "New steps that write",
            Self::Step => "Steps that are gone, moved or changed",
            Self::Parameter => "Parameters",
            Self::Stricter => "New or stricter safeguards",
            Self::Harmless => "Nothing that an operator would notice",
        }
    }

    fn tone(self) -> Tone {
        match self {
            Self::Ends | Self::Safeguard | Self::Wider => Tone::Bad,
            Self::Affected | Self::Done | Self::Added => Tone::Warn,
            Self::Stricter => Tone::Good,
            Self::Step | Self::Parameter => Tone::Plain,
            Self::Harmless => Tone::Faint,
        }
    }
}

/// What `diff --output json` holds. Fields are only ever added.
#[derive(Debug, Serialize)]
struct Document<'a> {
    /// `diff/v1`
    schema: &'static str,
    old: &'a str,
    new: &'a str,
    /// Whether an operator would notice any of it.
    matters: bool,
    /// Whether Workflows are ended, a safeguard is gone or weaker, or more Workflows are affected.
    dangerous: bool,
    changes: Vec<Entry>,
}

#[derive(Debug, Serialize)]
struct Entry {
    kind: Kind,
    place: String,
    what: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    old: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    new: Option<String>,
}

impl Difference {
    fn of(&self, kind: Kind) -> Vec<&Change> {
        self.changes
            .iter()
            .filter(|change| change.kind == kind)
            .collect()
    }

    /// How many, and whether that is dangerous.
    fn summary(&self) -> String {
        if self.changes.is_empty() {
            return "No difference.".to_owned();
        }
        if !self.matters() {
            return "Nothing that an operator would notice.".to_owned();
        }
        const TOLD: [(Kind, &str); 6] = [
            (Kind::Ends, "by which Workflows are ended"),
            (Kind::Safeguard, "to safeguards"),
            (Kind::Wider, "by which more Workflows are affected"),
            (Kind::Affected, "by which other Workflows are affected"),
            (Kind::Done, "to what is done"),
            (Kind::Added, "by which more steps write"),
        ];
        let many = |wanted: &dyn Fn(Kind) -> bool| {
            let found = self.changes.iter().filter(|change| wanted(change.kind));
            found.count()
        };
        let noticed = count(many(&|kind| kind != Kind::Harmless) as u64, "change");
        let told: Vec<String> = TOLD
            .iter()
            .map(|(of, words)| (many(&|kind| kind == *of), words))
            .filter(|(count, _)| *count > 0)
            .map(|(count, words)| format!("{count} {words}"))
            .collect();
        match told.split_last() {
            None => {
                format!("{noticed}; no safeguard is weaker, and no more Workflows are affected.")
            }
            Some((only, [])) => format!("{noticed}, among them {only}."),
            Some((last, others)) => {
                format!("{noticed}, among them {} and {last}.", others.join(", "))
            }
        }
    }

    /// For a terminal.
    pub fn text(&self, old: &str, new: &str, style: Style) -> String {
        let mut text = Text::new(style);
        text.line(Tone::Strong, &format!("{old} -> {new}"));
        text.line(Tone::Plain, &self.summary());
        for kind in Kind::ALL {
            let changes = self.of(kind);
            if changes.is_empty() {
                continue;
            }
            text.gap();
            text.line(kind.tone(), kind.heading());
            for change in changes {
                text.line(
                    Tone::Plain,
                    &format!("  {}: {}", change.place.plain(), change.what.plain()),
                );
                if let (Some(old), Some(new)) = (&change.old, &change.new) {
                    text.line(Tone::Faint, &format!("    was: {old}"));
                    text.line(Tone::Faint, &format!("    now: {new}"));
                }
            }
        }
        text.into_string()
    }

    /// For a comment of a pull request.
    pub fn markdown(&self, new: &str) -> String {
        let mut page = format!("### {}\n\n{}\n", code(new), self.summary());
        for kind in Kind::ALL {
            let changes = self.of(kind);
            if changes.is_empty() {
                continue;
            }
            let _ = match kind {
                Kind::Harmless => {
                    write!(page, "\n<details><summary>{}</summary>\n\n", kind.heading())
                }
                kind => write!(page, "\n**{}**\n\n", kind.heading()),
            };
            for change in changes {
                let _ = writeln!(
                    page,
                    "- {}: {}",
                    change.place.markdown(),
                    change.what.markdown()
                );
                if let (Some(old), Some(new)) = (&change.old, &change.new) {
                    let _ = writeln!(page, "  - was: {}", code(old));
                    let _ = writeln!(page, "  - now: {}", code(new));
                }
            }
            if kind == Kind::Harmless {
                page.push_str("\n</details>\n");
            }
        }
        page
    }

    /// For programs.
    pub fn json(&self, old: &str, new: &str) -> serde_json::Result<serde_json::Value> {
        let entry = |change: &Change| Entry {
            kind: change.kind,
            place: change.place.plain(),
            what: change.what.plain(),
            old: change.old.clone(),
            new: change.new.clone(),
        };
        serde_json::to_value(Document {
            schema: "diff/v1",
            old,
            new,
            matters: self.matters(),
            dangerous: self.is_dangerous(),
            changes: self.changes.iter().map(entry).collect(),
        })
    }
}

//! A plan as text, readable at 80 columns: warnings first, then what was found, then the steps.

use serde_json::Value;

use super::certainty_words;
use super::format::{Align, Style, Table, Text, Tone, count, moment, number};
use super::plan::{ParameterLine, PlanReport, RowPlan, StepPlan, TablePlan};
use super::points;
use super::question::found_lines;
use crate::catalog::Effect;
use crate::record::Certainty;
use crate::runbook::Unmatched;
use crate::survey::{Routing, VersionStatus};

/// So many Workflows of a row are told one by one where they are reset.
const OUTLOOKS: usize = 2;

impl PlanReport {
    /// For people.
    pub fn text(&self, style: Style) -> String {
        let mut text = Text::new(style);
        text.line(
            Tone::Strong,
            &format!("Plan of {}: {}", self.name, self.title),
        );
        text.line(
            Tone::Plain,
            &format!("  Read {}; nothing was changed", moment(self.created)),
        );
        self.warnings(&mut text);
        self.service(&mut text);
        if let Some(lock) = &self.lock {
            lock.text(self.created, &mut text);
        }
        self.parameters(&mut text);
        self.routing(&mut text);
        for table in &self.tables {
            table.text(&mut text);
        }
        text.gap();
        text.line(Tone::Strong, "Steps");
        for step in &self.steps {
            step.text(&mut text, 2);
        }
        text.into_string()
    }

    fn warnings(&self, text: &mut Text) {
        if self.warnings.is_empty() {
            return;
        }
        text.gap();
        text.line(Tone::Warn, &count(self.warnings.len() as u64, "warning"));
        for warning in &self.warnings {
            text.line(Tone::Warn, &format!("  ! {warning}"));
        }
    }

    fn service(&self, text: &mut Text) {
        let of = &self.preflight;
        text.gap();
        text.line(Tone::Strong, "Service");
        let mut say = |name: &str, value: &str| {
            text.line(Tone::Plain, &format!("  {name:<11}{value}"));
        };
        say("Address", &of.address);
        say(
            "Namespace",
            &format!("{} (id {})", of.namespace, of.namespace_id),
        );
        say("Server", &of.server_version);
        say("Identity", &of.identity);
        say(
            "Attributes",
            &match of.attributes.len() {
                0 => "could not be read".to_owned(),
                known => format!("{known} Search Attributes are known"),
            },
        );
        say("Rights", "to write are not known until the first write");
        for unknown in &of.unknown {
            say("Unknown", unknown);
        }
    }

    fn parameters(&self, text: &mut Text) {
        if self.parameters.is_empty() {
            return;
        }
        text.gap();
        text.line(Tone::Strong, "Parameters");
        let width = self
            .parameters
            .iter()
            .map(|one| one.name.len())
            .max()
            .unwrap_or(0);
        for ParameterLine {
            name,
            value,
            default,
        } in &self.parameters
        {
            let default = if *default { " (default)" } else { "" };
            text.line(
                Tone::Plain,
                &format!("  {name:<width$}  {}{default}", shown(value)),
            );
        }
    }

    fn routing(&self, text: &mut Text) {
        for (name, routing) in &self.deployments {
            text.gap();
            text.line(Tone::Strong, &format!("Worker Deployment {name}"));
            match routing {
                None => text.line(Tone::Warn, "  There is no such deployment."),
                Some(routing) => of_routing(routing, text),
            }
        }
    }
}

fn of_routing(routing: &Routing, text: &mut Text) {
    let or_none = |version: Option<&crate::survey::Version>| {
        version.map_or_else(
            || "none (unversioned Workers)".to_owned(),
            ToString::to_string,
        )
    };
    text.line(
        Tone::Plain,
        &format!("  Current  {}", or_none(routing.current.as_ref())),
    );
    let ramping = match (&routing.ramping, routing.ramping_unversioned) {
        (Some(version), _) => format!("{version}, {} %", routing.ramp_percentage),
        (None, true) => format!("unversioned Workers, {} %", routing.ramp_percentage),
        (None, false) => "none".to_owned(),
    };
    text.line(Tone::Plain, &format!("  Ramping  {ramping}"));
    if !routing.manager_identity.is_empty() {
        text.line(
            Tone::Plain,
            &format!("  Manager  {}", routing.manager_identity),
        );
    }
    let mut table = Table::new(&[
        ("VERSION", Align::Left),
        ("STATUS", Align::Left),
        ("DRAINAGE CHECKED", Align::Left),
    ]);
    for version in &routing.versions {
        let draining = matches!(
            version.status,
            VersionStatus::Draining | VersionStatus::Drained
        );
        let checked = version.drainage_checked.filter(|_| draining);
        table.row([
            version.version.to_string(),
            format!("{:?}", version.status).to_lowercase(),
            checked.map(moment).unwrap_or_default(),
        ]);
    }
    text.table(&table);
}

/// A value as it is typed.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(entries) => {
            let entries: Vec<String> = entries
                .iter()
                .map(|(key, value)| format!("{key}={}", shown(value)))
                .collect();
            entries.join(", ")
        }
        Value::Array(items) if items.is_empty() => "(empty list)".to_owned(),
        Value::Array(items) => items.iter().map(shown).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

impl TablePlan {
    fn text(&self, text: &mut Text) {
        text.gap();
        let by = match self.applied_by.as_slice() {
            [step] if *step == self.name => String::new(),
            [] => String::new(),
            steps => format!(", applied by {}", steps.join(", ")),
        };
        text.line(Tone::Strong, &format!("Decision {}{by}", self.name));
        if let Some(step) = &self.unknown_until {
            text.line(Tone::Warn, &format!("  unknown until step `{step}`"));
            return;
        }
        let named = self
            .selection
            .as_ref()
            .is_some_and(|found| !found.from.is_empty());
        let how = if named {
            "selected by name"
        } else if self.listed {
            "listed"
        } else {
            "counted by Visibility"
        };
        text.line(
            Tone::Plain,
            &format!("  {} in its scope, {how}", count(self.total, "Workflow")),
        );
        if !self.scope.is_empty() {
            text.line(Tone::Faint, &format!("  {}", self.scope));
        }
        for (name, line) in self.selection.iter().flat_map(found_lines) {
            text.line(Tone::Plain, &format!("  {name}: {line}"));
        }
        text.table(&self.overview());
        for row in &self.rows {
            row.text(text);
        }
        self.unmatched(text);
    }

    fn overview(&self) -> Table {
        let mut table = Table::new(&[
            ("ROW", Align::Left),
            ("WORKFLOWS", Align::Right),
            ("STRATEGY", Align::Left),
            ("TARGET", Align::Left),
        ]);
        for row in &self.rows {
            table.row([
                row.row.clone(),
                row.counted(),
                row.strategy.clone(),
                row.target
                    .as_ref()
                    .map(ToString::to_string)
                    .unwrap_or_default(),
            ]);
        }
        if !self.unmatched.is_empty() {
            let left = self.unmatched.values().map(|left| left.count).sum();
            table.row([
                "(no row)".to_owned(),
                number(left),
                String::new(),
                String::new(),
            ]);
        }
        table
    }

    fn unmatched(&self, text: &mut Text) {
        if self.unmatched.is_empty() {
            return;
        }
        let then = match self.on_unmatched {
            Unmatched::Refuse => "the step is refused before its first write",
            Unmatched::Halt => "the others are recovered, then the step halts",
            Unmatched::Leave => "they are left alone",
        };
        text.line(Tone::Warn, &format!("  (no row): {then}"));
        for (name, left) in &self.unmatched {
            text.line(
                Tone::Plain,
                &format!(
                    "    {} of {name}: {}",
                    number(left.count),
                    left.samples.join(", ")
                ),
            );
        }
    }
}

impl RowPlan {
    fn counted(&self) -> String {
        match (&self.off, self.certainty) {
            (Some(_), _) => "off".to_owned(),
            (None, None) => "not counted".to_owned(),
            (None, Some(certainty)) => {
                format!("{} {}", certainty_words(certainty), number(self.count))
            }
        }
    }

    fn text(&self, text: &mut Text) {
        text.line(Tone::Strong, &format!("  {}", self.row));
        if let Some(off) = &self.off {
            text.line(Tone::Plain, &format!("    off: {off}"));
            return;
        }
        text.line(
            Tone::Plain,
            &format!("    takes {}: {}", self.condition, self.counted()),
        );
        text.line(Tone::Plain, &format!("    does  {}", self.does));
        for (refusal, other) in &self.fallback {
            text.line(Tone::Plain, &format!("    if refused ({refusal}): {other}"));
        }
        if !self.query.is_empty() {
            text.line(Tone::Faint, &format!("    query {}", self.query));
        }
        if self.count == 0 {
            return;
        }
        text.line(
            Tone::Plain,
            &format!("    such as {}", self.samples.join(", ")),
        );
        self.looks(text);
        super::question::link_lines(&self.links, 4, text);
        super::question::equivalent_text("", &self.equivalent, 4, text);
    }

    fn looks(&self, text: &mut Text) {
        let looked = &self.looked;
        let piles = [
            ("would", Tone::Plain, &looked.would),
            ("would skip:", Tone::Plain, &looked.skipped),
            ("would refuse:", Tone::Warn, &looked.refused),
            ("not this row's:", Tone::Plain, &looked.released),
        ];
        for (word, tone, pile) in piles {
            for (what, how_many) in pile {
                text.line(
                    tone,
                    &format!("    looked: {} {word} {what}", number(*how_many)),
                );
            }
        }
        points::outlooks(&looked.resets, OUTLOOKS, "      ", text);
        if self.not_looked_at > 0 {
            let most = if self.certainty == Some(Certainty::Exact) {
                ""
            } else {
                "at most "
            };
            text.line(
                Tone::Plain,
                &format!("    not looked at: {most}{}", number(self.not_looked_at)),
            );
        }
    }
}

impl StepPlan {
    fn text(&self, text: &mut Text, indent: usize) {
        let pad = " ".repeat(indent);
        let effect = match self.effect {
            Effect::Read => "reads",
            Effect::Idempotent => "writes, safe to repeat",
            Effect::NonIdempotent => "writes, not safe to repeat",
        };
        let action = self.action.as_deref().unwrap_or("repeat");
        let title = self
            .title
            .as_ref()
            .map(|title| format!(": {title}"))
            .unwrap_or_default();
        text.line(Tone::Strong, &format!("{pad}{}{title}", self.step));
        let mut say = |tone: Tone, line: &str| text.line(tone, &format!("{pad}  {line}"));
        say(Tone::Plain, &format!("{action} ({effect}): {}", self.does));
        if let Some(when) = &self.when {
            let now = match self.when_holds {
                Some(true) => "holds",
                Some(false) => "does not hold: skipped",
                None => "not known yet",
            };
            say(Tone::Plain, &format!("when {when} ({now})"));
        }
        self.bounds.iter().for_each(|bound| say(Tone::Plain, bound));
        match (&self.asks, &self.word) {
            (asks, Some(word)) => {
                let asks = asks.as_deref().unwrap_or("before it goes on");
                say(
                    Tone::Warn,
                    &format!(
                        "asks {asks}: the word `{word}` must be typed, or --confirm {}={word}",
                        self.step
                    ),
                );
            }
            (Some(asks), None) => say(Tone::Plain, &format!("asks {asks}")),
            (None, None) => {}
        }
        if !self.agreement.is_plain() {
            say(Tone::Warn, &self.agreement.clause());
        }
        self.unknown
            .iter()
            .for_each(|unknown| say(Tone::Faint, unknown));
        for step in &self.steps {
            step.text(text, indent + 4);
        }
    }
}

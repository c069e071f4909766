//! Runbook + parameters + survey of the live service → [`Plan`]; its digest.
//!
//! Pure. A plan is plain data: it goes whole into the first record of the journal, so that resuming
//! never reads a file again that may have changed. It holds no secret. [`saved`] is a plan as a file, to be
//! reviewed and carried out later; [`moved`] says what is not as it was by then.

pub mod moved;
pub mod saved;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::catalog;
use crate::decision::Table;
use crate::diagnostic::Diagnostic;
use crate::history::Outlook;
use crate::record::{Certainty, Leftover};
use crate::runbook::{Parameters, Runbook, StepBody};
use crate::selection::Found;
use crate::survey::{Listed, Preflight, Routing};

/// How many sample Workflow IDs a row shows.
pub const SAMPLES: usize = 5;
/// A scope is listed to the end up to so many Workflows; beyond, it is counted.
pub const LIST_LIMIT: u64 = 10_000;
/// A plan and a dry run look at so many Workflows of a row at the most.
pub const LOOK_LIMIT: usize = 200;

/// What was found in one row.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RowSurvey {
    /// Row id.
    pub row: String,
    /// Workflows.
    pub count: u64,
    /// How sure that is.
    pub certainty: Option<Certainty>,
    /// Some Workflow IDs.
    pub samples: Vec<String>,
    /// Why the row can never match with these parameters, if so.
    pub off: Option<String>,
    /// What looks at some of them said.
    pub looked: Looked,
}

/// What looks at a row's sample said.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Looked {
    /// Looked at.
    pub count: u64,
    /// Would be written to, by what would be done.
    pub would: BTreeMap<String, u64>,
    /// Would be skipped, by reason.
    pub skipped: BTreeMap<String, u64>,
    /// Would be refused, by refusal and message.
    pub refused: BTreeMap<String, u64>,
    /// Would be given back, by reason.
    pub released: BTreeMap<String, u64>,
    /// What resets would do, Workflow by Workflow.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resets: Vec<Outlook>,
}

/// What was found in one decision's scope.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TableSurvey {
    /// The scope as rendered.
    pub scope: String,
    /// Workflows in it.
    pub total: u64,
    /// Whether every one of them was listed.
    pub listed: bool,
    /// By row, in order.
    pub rows: Vec<RowSurvey>,
    /// Those that no row takes, by type.
    pub unmatched: BTreeMap<String, Leftover>,
    /// Workflow Types seen, with counts (of those listed).
    pub types: BTreeMap<String, u64>,
    /// What Visibility could not deliver.
    pub gaps: Vec<String>,
    /// Counts before and after exclusion, where more than a query selects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<Found>,
    /// Listed, looked at, and left alone: each has a reason, which belongs into the ledger.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub passed_over: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl TableSurvey {
    /// Workflows that no row takes.
    pub fn unmatched_total(&self) -> u64 {
        self.unmatched.values().map(|leftover| leftover.count).sum()
    }

    /// Workflows that its rows would take, but those in `skip`. Where rows overlap, each is counted once.
    pub fn taken(&self, skip: &[String]) -> u64 {
        let rows = self.rows.iter().filter(|row| !skip.contains(&row.row));
        let rows: u64 = rows.map(|row| row.count).sum();
        rows.min(self.total.saturating_sub(self.unmatched_total()))
    }

    /// The row's survey.
    pub fn row(&self, id: &str) -> Option<&RowSurvey> {
        self.rows.iter().find(|row| row.row == id)
    }
}

/// Counts a listing into a table's rows.
#[derive(Debug)]
pub struct Tally<'a> {
    table: &'a Table,
    survey: TableSurvey,
}

impl<'a> Tally<'a> {
    /// An empty one.
    pub fn new(table: &'a Table) -> Self {
        let rows = table
            .rows
            .iter()
            .enumerate()
            .map(|(index, row)| RowSurvey {
                row: row.id.clone(),
                certainty: Some(Certainty::Exact),
                off: off(table, index),
                ..RowSurvey::default()
            })
            .collect();
        let survey = TableSurvey {
            scope: table.scope.render(),
            rows,
            listed: true,
            ..TableSurvey::default()
        };
        Self { table, survey }
    }

    /// Counts one listed Workflow.
    pub fn add(&mut self, listed: &Listed) {
        self.survey.total += 1;
        *self
            .survey
            .types
            .entry(listed.workflow_type.clone())
            .or_default() += 1;
        let candidates = self.table.candidates(listed);
        if candidates.is_empty() {
            add_leftover(&mut self.survey.unmatched, listed);
        }
        let unsure = candidates.len() > 1
            || candidates
                .iter()
                .any(|index| self.table.rows[*index].task.is_some());
        for index in candidates {
            let row = &mut self.survey.rows[index];
            row.count += 1;
            if unsure {
                row.certainty = Some(Certainty::AtMost);
            }
            if row.samples.len() < SAMPLES {
                row.samples.push(listed.key.workflow_id.clone());
            }
        }
    }

    /// What was counted.
    pub fn finish(self) -> TableSurvey {
        self.survey
    }
}

/// Counts one more Workflow that no row takes.
pub fn add_leftover(unmatched: &mut BTreeMap<String, Leftover>, listed: &Listed) {
    let leftover = unmatched.entry(listed.workflow_type.clone()).or_default();
    leftover.count += 1;
    if leftover.samples.len() < SAMPLES {
        leftover.samples.push(listed.key.workflow_id.clone());
    }
}

/// Why a row can never match with these parameters.
fn off(table: &Table, index: usize) -> Option<String> {
    let query = table.row_query(index).fold();
    if query.constant() != Some(false) {
        return None;
    }
    let row = &table.rows[index];
    let has_class = |class: &String| table.types.values().any(|known| known == class);
    if !row.classes.is_empty() && table.attribute.is_none() && !row.classes.iter().any(has_class) {
        return Some(format!(
            "no Workflow Type has the class {}",
            row.classes.join(" or ")
        ));
    }
    Some(match query.never_because() {
        Some(source) => format!("`{source}` is empty"),
        None => "its query can never match".to_owned(),
    })
}

/// Everything that was read before a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Survey {
    /// The service.
    pub preflight: Preflight,
    /// Worker Deployments that the parameters name; none where there is no such deployment.
    pub deployments: BTreeMap<String, Option<Routing>>,
    /// Decision tables by name, and steps with `select` by id.
    pub tables: BTreeMap<String, TableSurvey>,
    /// What will go wrong, or may.
    pub warnings: Vec<String>,
}

impl Survey {
    /// Why what was counted may not be done, as the runbook's guards have it. `written` says how many Workflows a
    /// step has written to already, `skip` names rows that are left alone.
    pub fn beyond_guards(
        &self,
        runbook: &Runbook,
        skip: &[String],
        written: impl Fn(&str) -> u64,
    ) -> Vec<Diagnostic> {
        let steps = runbook.all_steps().into_iter();
        let refused = steps.filter_map(|step| {
            let StepBody::Action { action, with } = &step.body else {
                return None;
            };
            catalog::find(action).filter(|action| action.effect.writes())?;
            let decision = with.get("decision").and_then(serde_json::Value::as_str);
            let table = self.tables.get(decision.unwrap_or(&step.id))?;
            let (found, before) = (table.taken(skip), written(&step.id));
            runbook.guards.refuse_count(&step.id, found, before)
        });
        refused.collect()
    }

    /// What is different from an earlier survey, a sentence each: whoever resumes should know.
    pub fn changes_since(&self, earlier: &Self) -> Vec<String> {
        let mut changes = Vec::new();
        for (name, now) in &self.deployments {
            let before = earlier.deployments.get(name).and_then(Option::as_ref);
            changes.extend(routing_changes(name, before, now.as_ref()));
        }
        for (name, now) in &self.tables {
            let Some(before) = earlier.tables.get(name) else {
                continue;
            };
            for row in &now.rows {
                let was = before.row(&row.row).map_or(0, |row| row.count);
                if row.count > was {
                    changes.push(format!(
                        "{name}, {}: {} Workflows; the plan counted {was}",
                        row.row, row.count
                    ));
                }
            }
            let (left, was) = (now.unmatched_total(), before.unmatched_total());
            if left > was {
                changes.push(format!(
                    "{name}: {left} Workflows are in no row; the plan counted {was}"
                ));
            }
        }
        changes
    }
}

fn routing_changes(name: &str, before: Option<&Routing>, now: Option<&Routing>) -> Vec<String> {
    let shown = |version: Option<&crate::survey::Version>| {
        version.map_or_else(|| "none".to_owned(), ToString::to_string)
    };
    let (before, now) = match (before, now) {
        (Some(before), Some(now)) => (before, now),
        (None, None) => return Vec::new(),
        (None, Some(_)) => return vec![format!("the Worker Deployment `{name}` is new")],
        (Some(_), None) => return vec![format!("the Worker Deployment `{name}` is gone")],
    };
    let mut changes = Vec::new();
    if now.current != before.current {
        changes.push(format!(
            "`{name}`: Current is {}; in the plan it was {}",
            shown(now.current.as_ref()),
            shown(before.current.as_ref())
        ));
    }
    if now.ramping != before.ramping {
        changes.push(format!(
            "`{name}`: Ramping is {}; in the plan it was {}",
            shown(now.ramping.as_ref()),
            shown(before.ramping.as_ref())
        ));
    }
    changes
}

/// A runbook, its parameters and what was found: one run's whole basis.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// Version of this format.
    pub format: u32,
    /// `name:` of the runbook.
    pub name: String,
    /// `title:` of the runbook.
    pub title: String,
    /// The file it came from.
    pub file: String,
    /// The runbook's text.
    pub source: String,
    /// Values of the parameters; of a secret only its name.
    pub parameters: Parameters,
    /// What was read.
    pub survey: Survey,
    /// When.
    pub created: Timestamp,
    /// SHA-256 over all of the above, hexadecimal.
    pub digest: String,
}

impl Plan {
    /// The one constructor.
    pub fn new(
        runbook: &Runbook,
        parameters: Parameters,
        survey: Survey,
        created: Timestamp,
    ) -> Self {
        let mut plan = Self {
            format: 1,
            name: runbook.name.clone(),
            title: runbook.title.clone(),
            file: runbook.file.clone(),
            source: runbook.source.clone(),
            parameters,
            survey,
            created,
            digest: String::new(),
        };
        plan.digest = plan.compute_digest();
        plan
    }

    fn compute_digest(&self) -> String {
        let bare = Self {
            digest: String::new(),
            ..self.clone()
        };
        let text = serde_json::to_vec(&bare).unwrap_or_default();
        Sha256::digest(text)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    /// As one record of a journal begins with: whether `plan` is this one.
    pub fn is_of(&self, plan: &serde_json::Value) -> bool {
        plan.get("digest").and_then(serde_json::Value::as_str) == Some(&self.digest)
    }

    /// Whether the digest is that of the content.
    pub fn is_intact(&self) -> bool {
        self.digest == self.compute_digest()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::survey::Version;

    fn survey(current: &str, count: u64) -> Survey {
        let routing = Routing {
            deployment: "orders".to_owned(),
            current: Version::parse(current),
            ramping: None,
            ramp_percentage: 0.0,
            ramping_unversioned: false,
            conflict_token: String::new(),
            manager_identity: String::new(),
            versions: Vec::new(),
        };
        let row = RowSurvey {
            row: "others".to_owned(),
            count,
            ..RowSurvey::default()
        };
        let table = TableSurvey {
            rows: vec![row],
            ..TableSurvey::default()
        };
        Survey {
            deployments: BTreeMap::from([("orders".to_owned(), Some(routing))]),
            tables: BTreeMap::from([("running".to_owned(), table)]),
            ..Survey::default()
        }
    }

    #[test]
    fn whoever_resumes_hears_of_routing_that_changed_and_counts_that_grew() {
        let plan = survey("orders:good", 3);
        assert_eq!(survey("orders:good", 2).changes_since(&plan), [""; 0]);
        assert_eq!(
            survey("orders:bad", 5).changes_since(&plan),
            [
                "`orders`: Current is orders:bad; in the plan it was orders:good",
                "running, others: 5 Workflows; the plan counted 3",
            ]
        );
        let mut gone = survey("orders:good", 3);
        gone.deployments.insert("orders".to_owned(), None);
        assert_eq!(
            gone.changes_since(&plan),
            ["the Worker Deployment `orders` is gone"]
        );
    }
}

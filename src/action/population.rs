//! Reads who lives in the scopes of a runbook's tables, so that a rehearsal can be made of them. Changes nothing.
//!
//! Lists each scope to its end or to 10,000, and looks at up to 1,000 of each row. Knows nothing of rehearsals: what
//! the listings and looks said is handed on as it is.

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt;

use super::survey::{Subject, list_or_count};
use super::{World, problem};
use crate::decision::Table;
use crate::plan::{LOOK_LIMIT, TableSurvey};
use crate::steps::Problem;
use crate::survey::{AttributeValue, Listed, Look, Routing, Version, WorkflowKey};

/// So many of each row are looked at, spread over its listing; the others are taken to be like them.
const LOOKS: usize = 1_000;
/// Versions of which the task queues are read; those that no Workflow and no parameter names are left out first.
const VERSIONS: usize = 50;

/// One Workflow, as far as it was seen.
#[derive(Clone, Debug)]
pub struct Resident {
    /// As it was listed.
    pub listed: Listed,
    /// What a look said, where there was one.
    pub look: Option<Look>,
    /// How many it stands for: more than itself where its scope was too large to be listed.
    pub stands_for: u64,
}

/// Everybody in the scopes, and where they live.
#[derive(Clone, Debug, Default)]
pub struct Population {
    /// Each once, in the order of the tables and of their listings.
    pub residents: Vec<Resident>,
    /// Worker Deployments that parameters or Workflows name; none where there is no such deployment.
    pub deployments: BTreeMap<String, Option<Routing>>,
    /// Task queues for Workflows that a Version's Workers have polled.
    pub queues: BTreeMap<Version, Vec<String>>,
    /// What could not be read, a sentence each.
    pub gaps: Vec<String>,
}

/// Reads them.
///
/// # Errors
/// Where a scope cannot be listed, or a deployment cannot be described.
pub async fn population(world: &World, subject: &Subject) -> Result<Population, Problem> {
    let mut population = Population::default();
    let mut known: BTreeSet<WorkflowKey> = BTreeSet::new();
    for table in subject.tables.values() {
        let (survey, listed) = list_or_count(world, table, &[], LOOK_LIMIT).await?;
        let listed = with_weights(table, &survey, listed, &mut population.gaps);
        let new: Vec<(Listed, u64)> = listed
            .into_iter()
            .filter(|(one, _)| known.insert(one.key.clone()))
            .collect();
        population.look_at(world, table, new).await;
    }
    population.read_deployments(world, subject).await?;
    Ok(population)
}

/// How many each listed Workflow stands for. Where a scope was counted and not listed to its end, those of a row
/// share what was counted of it.
fn with_weights(
    table: &Table,
    survey: &TableSurvey,
    listed: Vec<Listed>,
    gaps: &mut Vec<String>,
) -> Vec<(Listed, u64)> {
    if survey.listed || !table.selection.is_plain() {
        return listed.into_iter().map(|one| (one, 1)).collect();
    }
    let row_of = |one: &Listed| table.candidates(one).first().copied();
    // A Workflow is counted in every row that could take it, and stands in the first of them.
    let (mut first, mut any) = (BTreeMap::new(), BTreeMap::new());
    for one in &listed {
        *first.entry(row_of(one)).or_insert(0_u64) += 1;
        let rows = table.candidates(one);
        rows.into_iter()
            .for_each(|row| *any.entry(row).or_insert(0_u64) += 1);
    }
    for (index, row) in survey.rows.iter().enumerate() {
        if row.count > 0 && !any.contains_key(&index) {
            let gap = format!(
                "none of the {} Workflows of row `{}` was among those listed",
                row.count, row.row
            );
            gaps.push(gap);
        }
    }
    let all_of = |row: Option<usize>| {
        let of_first = first[&row];
        let estimate = row.map(|row| of_first * survey.rows[row].count / any[&row]);
        estimate
            .unwrap_or_else(|| survey.unmatched_total())
            .max(of_first)
    };
    let mut before: BTreeMap<Option<usize>, u64> = BTreeMap::new();
    let weighted = listed.into_iter().map(|one| {
        let row = row_of(&one);
        let number = before.entry(row).or_default();
        *number += 1;
        // Shares that add up: the difference of two rounded sums.
        let upto = |number: u64| all_of(row) * number / first[&row];
        (one, upto(*number) - upto(*number - 1))
    });
    weighted.collect()
}

impl Population {
    /// Looks at so many of each row, and of what no row takes.
    async fn look_at(&mut self, world: &World, table: &Table, listed: Vec<(Listed, u64)>) {
        let row_of = |listed: &Listed| table.candidates(listed).first().copied();
        let mut sizes: BTreeMap<Option<usize>, usize> = BTreeMap::new();
        for (listed, _) in &listed {
            *sizes.entry(row_of(listed)).or_default() += 1;
        }
        let mut taken: BTreeMap<Option<usize>, usize> = BTreeMap::new();
        let looks = listed.into_iter().map(|(listed, stands_for)| {
            let row = row_of(&listed);
            let index = taken.entry(row).or_default();
            let wanted = is_chosen(*index, sizes[&row], LOOKS);
            *index += 1;
            async move {
                let look = match wanted {
                    true => world.temporal.look(&listed.key).await,
                    false => Ok(None),
                };
                (listed, stands_for, look)
            }
        });
        let mut looks = futures::stream::iter(looks.collect::<Vec<_>>()).buffered(16);
        while let Some((listed, stands_for, look)) = looks.next().await {
            let look = look.unwrap_or_else(|error| {
                let gap = error.to_string();
                if !self.gaps.contains(&gap) {
                    self.gaps.push(gap);
                }
                None
            });
            self.residents.push(Resident {
                listed,
                look,
                stands_for,
            });
        }
    }

    async fn read_deployments(&mut self, world: &World, subject: &Subject) -> Result<(), Problem> {
        let mut versions: BTreeSet<Version> = subject.versions.values().cloned().collect();
        for table in subject.tables.values() {
            versions.extend(table.targets());
        }
        versions.extend(
            self.residents
                .iter()
                .filter_map(|one| version_of(&one.listed)),
        );
        let names: BTreeSet<String> = versions
            .iter()
            .map(|version| version.deployment.clone())
            .collect();
        for name in names {
            let routing = world.temporal.describe_deployment(&name).await;
            let routing = routing.map_err(|error| problem(&error))?;
            let routed = routing
                .iter()
                .flat_map(|it| it.current.iter().chain(&it.ramping));
            versions.extend(routed.cloned());
            self.deployments.insert(name, routing);
        }
        for version in versions.into_iter().take(VERSIONS) {
            let described = world.temporal.describe_version(&version).await;
            let Some(info) = described.map_err(|error| problem(&error))? else {
                continue;
            };
            let queues = info.task_queues.into_iter();
            let workflow = queues
                .filter(|(_, kind)| kind == "workflow")
                .map(|(name, _)| name);
            self.queues.insert(version, workflow.collect());
        }
        Ok(())
    }
}

/// Whether one of `size` is among the `most` that are spread evenly over them: listings are sorted by time, and their
/// beginnings are like each other.
fn is_chosen(index: usize, size: usize, most: usize) -> bool {
    size <= most || (index + 1) * most / size > index * most / size
}

/// The Version that a listing gives.
pub fn version_of(listed: &Listed) -> Option<Version> {
    match listed.attributes.get("TemporalWorkerDeploymentVersion")? {
        AttributeValue::Keyword(text) => Version::parse(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plan::{RowSurvey, add_leftover};
    use crate::runbook::{Parameters, Runbook};
    use crate::survey::Status;

    const RUNBOOK: &str = r#"
schema: runbook/v1
name: move
strategies:
  move: { action: workflows.update_options, with: { version: "orders:safe" } }
decisions:
  running:
    scope: ExecutionStatus = 'Running'
    classify: { A: one, B: two }
    unmatched: leave
    rows:
      - { id: stuck, class: one, task: failing, apply: move }
      - { id: others, class: [one, two], apply: move }
steps:
  - { id: move, action: decision.apply, with: { decision: running } }
"#;

    fn listed(workflow_type: &str, number: usize) -> Listed {
        Listed {
            key: WorkflowKey {
                workflow_id: format!("{workflow_type}-{number}"),
                run_id: String::new(),
            },
            workflow_type: workflow_type.to_owned(),
            status: Status::Running,
            task_queue: String::new(),
            start_time: None,
            close_time: None,
            parent: None,
            attributes: BTreeMap::new(),
        }
    }

    #[test]
    fn those_that_were_listed_stand_for_all_that_were_counted() {
        let runbook = Runbook::parse("move.yaml", RUNBOOK.as_bytes()).expect("a runbook");
        let scope = runbook.scope(&Parameters::default(), &BTreeMap::new(), &json!({}));
        let table = Table::prepare(&runbook, "running", &scope).expect("a table");
        let kinds = ["A", "B", "A", "C", "A", "B", "A"];
        let kinds = kinds.iter().enumerate();
        let listed: Vec<Listed> = kinds.map(|(number, kind)| listed(kind, number)).collect();
        let row = |row: &str, count| RowSurvey {
            row: row.to_owned(),
            count,
            ..RowSurvey::default()
        };
        let mut survey = TableSurvey {
            rows: vec![row("stuck", 41), row("others", 64)],
            ..TableSurvey::default()
        };
        add_leftover(&mut survey.unmatched, &listed[3]);
        let mut gaps = Vec::new();
        let weighted = with_weights(&table, &survey, listed.clone(), &mut gaps);
        let weight = |kind: &str| -> u64 {
            let those = weighted.iter().filter(|(one, _)| one.workflow_type == kind);
            those.map(|(_, weight)| weight).sum()
        };
        // Of 64 in both rows, 41 are in the first; the two of six listed ones stand for a third of them.
        assert_eq!((weight("A"), weight("B"), weight("C")), (41, 21, 1));
        assert_eq!(gaps, [""; 0]);
        survey.listed = true;
        let weighted = with_weights(&table, &survey, listed, &mut gaps);
        assert!(weighted.iter().all(|(_, weight)| *weight == 1));
    }

    #[test]
    fn looks_are_spread_over_a_listing() {
        for (size, most) in [
            (0, 3),
            (3, 3),
            (4, 3),
            (10, 3),
            (1_000, 999),
            (10_000, 1_000),
        ] {
            let chosen: Vec<usize> = (0..size)
                .filter(|index| is_chosen(*index, size, most))
                .collect();
            assert_eq!(chosen.len(), size.min(most), "{size}, {most}");
            let widest = chosen.windows(2).map(|pair| pair[1] - pair[0]).max();
            assert!(
                widest.is_none_or(|gap| gap <= size.div_ceil(most)),
                "{chosen:?}"
            );
        }
    }
}

//! Reading the live service before a run, and a decision's rows before a question: counts, samples,
//! looks at some, warnings. Changes nothing.
//!
//! A scope is listed to its end up to 10,000 Workflows, which gives exact rows; beyond that it is
//! counted, and says so.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::StreamExt;
use serde_json::{Map, Value, json};

use super::workflows::{Looking, look_and_judge};
use super::{PAGE, World, problem};
use crate::decision::{Table, Verdict};
use crate::list_filter::Filter;
use crate::plan::{LIST_LIMIT, LOOK_LIMIT, Looked, RowSurvey, Survey, TableSurvey, Tally};
use crate::record::{Certainty, Leftover};
use crate::steps::{Observation, Problem};
use crate::survey::{Listed, Version, VersionStatus};

/// Counts a table's rows.
pub(crate) async fn table(world: &World, table: &Table) -> Result<TableSurvey, Problem> {
    Ok(list_or_count(world, table).await?.0)
}

/// The same, with the rows that were listed.
async fn list_or_count(
    world: &World,
    table: &Table,
) -> Result<(TableSurvey, Vec<Listed>), Problem> {
    let mut tally = Tally::new(table);
    let scope = table.scope.fold();
    if scope.constant() == Some(false) {
        return Ok((tally.finish(), Vec::new()));
    }
    let query = scope.render();
    let (mut rows, mut token) = (Vec::new(), None);
    loop {
        let page = world
            .temporal
            .list(&query, PAGE, token)
            .await
            .map_err(|error| problem(&error))?;
        page.rows.iter().for_each(|listed| tally.add(listed));
        rows.extend(page.rows);
        token = page.next;
        if token.is_none() {
            return Ok((tally.finish(), rows));
        }
        if rows.len() as u64 >= LIST_LIMIT {
            let survey = count(world, table, tally.finish()).await?;
            return Ok((survey, rows));
        }
    }
}

/// Too many to list: one count a row, and one for what no row takes.
async fn count(world: &World, table: &Table, listed: TableSurvey) -> Result<TableSurvey, Problem> {
    let one = async |filter: Filter| {
        let filter = filter.fold();
        match filter.constant() {
            Some(false) => Ok(0),
            _ => world
                .temporal
                .count(&filter.render())
                .await
                .map_err(|error| problem(&error)),
        }
    };
    let mut survey = listed;
    survey.listed = false;
    survey.total = one(table.scope.clone()).await?;
    let queries: Vec<Filter> = (0..table.rows.len())
        .map(|index| table.row_query(index))
        .collect();
    for (row, query) in survey.rows.iter_mut().zip(&queries) {
        row.count = one(query.clone()).await?;
        row.certainty = Some(Certainty::Estimate);
    }
    let none = Filter::all([table.scope.clone(), Filter::any(queries).negate()]);
    let unmatched = one(none).await?;
    if unmatched > 0 && survey.unmatched.is_empty() {
        survey.unmatched.insert(
            "(types not listed)".to_owned(),
            Leftover {
                count: unmatched,
                samples: Vec::new(),
            },
        );
    }
    survey.gaps.push(format!(
        "more than {LIST_LIMIT} Workflows: counted by Visibility, not listed"
    ));
    Ok(survey)
}

/// `decision.evaluate`.
pub(crate) async fn evaluate(world: &World, tables: &[Arc<Table>]) -> Result<Observation, Problem> {
    let (mut total, mut unmatched, mut rows) = (0, 0, Map::new());
    for table in tables {
        let survey = self::table(world, table).await?;
        total += survey.total;
        unmatched += survey.unmatched_total();
        rows.extend(
            survey
                .rows
                .into_iter()
                .map(|row| (row.row, Value::from(row.count))),
        );
    }
    let output = json!({ "total": total, "unmatched": unmatched, "rows": rows });
    let Value::Object(output) = output else {
        return Ok(Observation::default());
    };
    Ok(Observation {
        output,
        ..Observation::default()
    })
}

/// What a whole survey is about.
pub struct Subject {
    /// Versions that the parameters name, by parameter.
    pub versions: BTreeMap<String, Version>,
    /// Tables, by the name under which the plan keeps them.
    pub tables: BTreeMap<String, Arc<Table>>,
    /// The most looks a row.
    pub looks: usize,
}

/// Surveys the live service for a plan.
///
/// # Errors
/// Where the service cannot be read at all; what could not be found out is said in the survey.
pub async fn survey(world: &World, subject: &Subject) -> Result<Survey, Problem> {
    let mut survey = Survey {
        preflight: world
            .temporal
            .preflight()
            .await
            .map_err(|error| problem(&error))?,
        ..Survey::default()
    };
    let names: BTreeSet<&str> = subject
        .versions
        .values()
        .map(|version| version.deployment.as_str())
        .collect();
    for name in names {
        let routing = world
            .temporal
            .describe_deployment(name)
            .await
            .map_err(|error| problem(&error))?;
        survey.deployments.insert(name.to_owned(), routing);
    }
    for (name, table) in &subject.tables {
        let (mut found, listed) = list_or_count(world, table).await?;
        look_at_samples(
            world,
            name,
            table,
            &listed,
            &mut found,
            subject.looks.min(LOOK_LIMIT),
        )
        .await;
        survey.tables.insert(name.clone(), found);
    }
    warn(world, subject, &mut survey).await;
    Ok(survey)
}

/// Looks at some of each row, many at once, and says what would be done.
async fn look_at_samples(
    world: &World,
    step: &str,
    table: &Arc<Table>,
    listed: &[Listed],
    found: &mut TableSurvey,
    limit: usize,
) {
    let mut quota: BTreeMap<usize, usize> = BTreeMap::new();
    let chosen: Vec<&Listed> = listed
        .iter()
        .filter(|listed| {
            let Some(first) = table.candidates(listed).first().copied() else {
                return false;
            };
            let taken = quota.entry(first).or_default();
            *taken += 1;
            *taken <= limit
        })
        .collect();
    let looks = futures::stream::iter(chosen).map(|listed| async move {
        let looking = Looking {
            table,
            lost: false,
            barred: None,
            step,
        };
        (
            table.candidates(listed).first().copied(),
            look_and_judge(world, &listed.key, &looking).await,
        )
    });
    let mut looks = looks.buffered(16);
    while let Some((first, result)) = looks.next().await {
        match result {
            Ok(Some(judgement)) => note(table, first, &judgement.verdict, &mut found.rows),
            Ok(None) => {}
            Err(problem) => {
                if !found.gaps.contains(&problem.message) {
                    found.gaps.push(problem.message);
                }
            }
        }
    }
}

fn note(table: &Table, first: Option<usize>, verdict: &Verdict, rows: &mut [RowSurvey]) {
    let at = |row: Option<usize>| row.or(first).unwrap_or(0);
    let bump = |map: &mut BTreeMap<String, u64>, key: String| *map.entry(key).or_default() += 1;
    let mut on = |row: Option<usize>, change: &dyn Fn(&mut Looked)| {
        if let Some(row) = rows.get_mut(at(row)) {
            row.looked.count += 1;
            change(&mut row.looked);
        }
    };
    match verdict {
        Verdict::Write { row, strategy, .. } => {
            let does = table.strategies[strategy].call.does();
            on(Some(*row), &|looked| bump(&mut looked.would, does.clone()));
        }
        Verdict::Skip { row, reason } => {
            on(*row, &|looked| bump(&mut looked.skipped, general(reason)))
        }
        Verdict::Refuse { row, refusal, .. } => {
            on(*row, &|looked| bump(&mut looked.refused, refusal.clone()))
        }
        Verdict::Release(reason) => on(None, &|looked| bump(&mut looked.released, reason.clone())),
        Verdict::Unmatched => on(None, &|looked| {
            bump(&mut looked.released, "no row takes it".to_owned())
        }),
        Verdict::Read(_) => {}
    }
}

/// A reason without the names in it, so that equal ones are counted together.
fn general(reason: &str) -> String {
    reason
        .split_once(" (run ")
        .or_else(|| reason.split_once(" by run "))
        .map_or(reason, |(head, _)| head)
        .to_owned()
}

/// What will go wrong, or may.
async fn warn(world: &World, subject: &Subject, survey: &mut Survey) {
    let mut warnings = Vec::new();
    let targets: BTreeSet<Version> = subject
        .tables
        .values()
        .flat_map(|table| table.targets())
        .collect();
    for target in &targets {
        warn_about_target(world, target, subject, survey, &mut warnings).await;
    }
    for (name, version) in &subject.versions {
        match survey.deployments.get(&version.deployment) {
            Some(None) | None => {
                warnings.push(format!(
                    "`{name}`: there is no Worker Deployment `{}` in this namespace",
                    version.deployment
                ));
            }
            Some(Some(routing)) => {
                if !targets.contains(version)
                    && (routing.current.as_ref() == Some(version)
                        || routing.ramping.as_ref() == Some(version))
                {
                    warnings.push(format!("`{name}`: {version} still receives new Workflows; the counts will grow until its rollout is stopped"));
                }
                if !routing.manager_identity.is_empty()
                    && routing.manager_identity != survey.preflight.identity
                {
                    let text = format!(
                        "{} manages the Worker Deployment `{}`; this identity ({}) may not change its routing",
                        routing.manager_identity, version.deployment, survey.preflight.identity
                    );
                    if !warnings.contains(&text) {
                        warnings.push(text);
                    }
                }
            }
        }
    }
    for (name, found) in &survey.tables {
        let refused: u64 = found
            .rows
            .iter()
            .filter_map(|row| row.looked.refused.get("running_child"))
            .sum();
        if refused > 0 {
            warnings.push(format!("{name}: {refused} parents with running children, of those looked at, would be refused"));
        }
        if found.unmatched_total() > 0 {
            let types: Vec<String> = found
                .unmatched
                .iter()
                .map(|(name, left)| format!("{} {name}", left.count))
                .collect();
            warnings.push(format!(
                "{name}: {} Workflows are in no row: {}",
                found.unmatched_total(),
                types.join(", ")
            ));
        }
        warnings.extend(found.gaps.iter().map(|gap| format!("{name}: {gap}")));
    }
    survey.warnings.extend(warnings);
}

async fn warn_about_target(
    world: &World,
    target: &Version,
    subject: &Subject,
    survey: &Survey,
    warnings: &mut Vec<String>,
) {
    match world.temporal.describe_version(target).await {
        Err(error) => warnings.push(format!("{target} could not be described: {error}")),
        Ok(None) => warnings.push(format!(
            "there is no Version {target}: every Workflow that is moved there will be refused"
        )),
        Ok(Some(info)) => {
            if matches!(
                info.status,
                VersionStatus::Draining | VersionStatus::Drained
            ) {
                warnings.push(
                    format!(
                        "{target} is {:?}: it was rolled back itself, and its Workers may be gone",
                        info.status
                    )
                    .to_lowercase(),
                );
            }
            let known: BTreeSet<&str> = info
                .task_queues
                .iter()
                .map(|(name, _)| name.as_str())
                .collect();
            if known.is_empty() {
                warnings.push(format!(
                    "{target} knows no task queue: no Worker of it ever polled"
                ));
            }
            let _ = (subject, survey);
        }
    }
}

//! Reading the live service before a run, and a decision's rows before a question: counts, samples,
//! looks at some, warnings. Changes nothing.
//!
//! A scope is listed to its end up to 10,000 Workflows, which gives exact rows; beyond that it is
//! counted, and says so.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::{FutureExt, StreamExt};
use serde_json::{Map, Value, json};

use super::selection::{Surveyed, sift, survey_names};
use super::warnings::{self, Queues};
use super::workflows::{Judgement, Looking, look_and_judge};
use super::{PAGE, World, problem};
use crate::decision::{INVALID_EVENT, INVALID_REFUSAL, Table, Verdict};
use crate::history::Outlook;
use crate::list_filter::Filter;
use crate::plan::{LIST_LIMIT, LOOK_LIMIT, Looked, RowSurvey, Survey, TableSurvey, Tally};
use crate::record::{Certainty, Leftover};
use crate::selection::{FileSeen, Found};
use crate::steps::{Observation, Problem};
use crate::survey::{Listed, Status, Version};

/// So many Workflows of a row are told one by one in a plan; a dry run's report has the others.
const OUTLOOKS: usize = 20;
/// Names that are looked up, or Workflows that are looked at, to count for a question.
const NAMES: usize = 1_000;

/// Counts a table's rows.
pub(crate) async fn table(world: &World, table: &Table) -> Result<TableSurvey, Problem> {
    Ok(list_or_count(world, table, &[], NAMES).await?.0)
}

/// Counts a table's rows for a question. Where all of its Workflows are closed, each is looked at: those
/// that were reset or superseded before stay in every listing, and nobody is to be asked about them.
pub(crate) async fn to_ask(
    world: &World,
    step: &str,
    table: &Table,
    frozen: &[FileSeen],
) -> Result<TableSurvey, Problem> {
    let (survey, listed) = list_or_count(world, table, frozen, NAMES).await?;
    let statuses = table.scope.required_values("ExecutionStatus");
    let closed = statuses.is_some_and(|statuses| {
        let open = Status::ALL.iter().filter(|status| status.is_open());
        open.into_iter()
            .all(|status| !statuses.contains(status.name()))
    });
    let picky = table.selection.only.is_some() && listed.len() <= NAMES;
    if !(closed || picky) || !survey.listed {
        return Ok(survey);
    }
    let seen = listed.len() as u64;
    let looks = listed.into_iter().map(|listed| {
        let looked = look_closed(world, step, table, listed);
        looked.boxed()
    });
    let mut looks = futures::stream::iter(looks.collect::<Vec<_>>()).buffered(16);
    let mut tally = Tally::new(table);
    while let Some((listed, something)) = looks.next().await {
        if something {
            tally.add(&listed);
        }
    }
    let counted = tally.finish();
    let found = survey.found.map(|found| Found {
        unfit: found.left.saturating_sub(counted.total),
        left: counted.total,
        ..found
    });
    Ok(TableSurvey {
        found,
        passed_over: seen.saturating_sub(counted.total),
        ..counted
    })
}

/// Whether there may be something to do.
async fn look_closed(world: &World, step: &str, table: &Table, listed: Listed) -> (Listed, bool) {
    let looking = Looking {
        table,
        lost: false,
        latest: false,
        barred: None,
        step,
    };
    let something = match look_and_judge(world, &listed.key, &looking).await {
        Ok(Some(judgement)) => !matches!(
            judgement.verdict,
            Verdict::Skip { .. } | Verdict::Release(_) | Verdict::Refuse { .. }
        ),
        Ok(None) => false,
        Err(_) => true,
    };
    (listed, something)
}

/// The same as [`table`], with the rows that were listed.
pub(super) async fn list_or_count(
    world: &World,
    table: &Table,
    frozen: &[FileSeen],
    names: usize,
) -> Result<(TableSurvey, Vec<Listed>), Problem> {
    if table.selection.is_named() {
        let found = survey_names(world, table, frozen, names).await?;
        return Ok(counted(table, found));
    }
    let (survey, rows) = list_scope(world, table).await?;
    if table.selection.is_plain() {
        return Ok((survey, rows));
    }
    if survey.listed {
        return Ok(counted(table, sift(world, table, rows, true)?));
    }
    let total = survey.total;
    let found = sift(world, table, rows, false)?;
    Ok(estimated(
        survey,
        found,
        total,
        table.selection.limit.or(table.selection.sample),
    ))
}

/// Counts what a selection left.
fn counted(table: &Table, surveyed: Surveyed) -> (TableSurvey, Vec<Listed>) {
    let Surveyed { rows, found, whole } = surveyed;
    let mut tally = Tally::new(table);
    rows.iter().for_each(|listed| tally.add(listed));
    let mut survey = tally.finish();
    survey.listed = whole;
    survey.total = found.left;
    if let Some(row) = survey.rows.first_mut() {
        // A step with a selection has one row, which takes all.
        row.count = found.left;
        if !whole || table.selection.only.is_some() {
            row.certainty = Some(Certainty::AtMost);
        }
    }
    survey.found = Some(found);
    (survey, rows)
}

/// More than could be listed: what is left out is known of those that were.
fn estimated(
    mut survey: TableSurvey,
    surveyed: Surveyed,
    total: u64,
    most: Option<u64>,
) -> (TableSurvey, Vec<Listed>) {
    let Surveyed {
        rows, mut found, ..
    } = surveyed;
    found.selected = total;
    found.left = most
        .unwrap_or(u64::MAX)
        .min(total - found.excluded.min(total));
    for row in &mut survey.rows {
        row.count = found.left;
        row.certainty = Some(Certainty::AtMost);
    }
    survey.gaps.push(format!(
        "what is excluded was taken off among the first {LIST_LIMIT} only"
    ));
    survey.found = Some(found);
    (survey, rows)
}

/// Lists a scope, or counts it, before anything is left out of it.
async fn list_scope(world: &World, table: &Table) -> Result<(TableSurvey, Vec<Listed>), Problem> {
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
    let mut queues = Queues::new();
    for (name, table) in &subject.tables {
        let listing = list_or_count(world, table, &[], subject.looks.min(LOOK_LIMIT)).await;
        let (mut found, listed) = match listing {
            // Who resumes may be long past the step that reads a file.
            Err(problem) if subject.looks == 0 && !table.selection.files().is_empty() => {
                let mut found = Tally::new(table).finish();
                found.listed = false;
                found.gaps.push(problem.message);
                (found, Vec::new())
            }
            other => other?,
        };
        warnings::note_queues(table, &listed, &mut queues);
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
    warnings::add(world, subject, &queues, &mut survey).await;
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
            latest: false,
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
            Ok(Some(judgement)) => {
                note(table, first, &judgement.verdict, &mut found.rows);
                note_reset(table, first, &judgement, &mut found.rows);
            }
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
        Verdict::Read(_) | Verdict::ReadFailure => {}
    }
}

/// What a reset would do, Workflow by Workflow: where it goes, what it loses; or where else it could go.
fn note_reset(table: &Table, first: Option<usize>, judged: &Judgement, rows: &mut [RowSurvey]) {
    let outlook = Outlook {
        workflow_id: judged.look.listed.key.workflow_id.clone(),
        run_id: judged.look.listed.key.run_id.clone(),
        ..Outlook::default()
    };
    let (row, outlook) = match &judged.verdict {
        Verdict::Write {
            row,
            strategy,
            point: Some(point),
            ..
        } => {
            let more = judged.history.as_ref().is_some_and(|(_, it)| it.truncated);
            let effects = table.strategies[strategy].call.effects(Some(point), more);
            let point = Some((**point).clone());
            (
                Some(*row),
                Outlook {
                    point,
                    effects,
                    ..outlook
                },
            )
        }
        Verdict::Refuse {
            row,
            refusal,
            message,
            points,
        } if refusal == INVALID_REFUSAL => {
            let outlook = Outlook {
                code: INVALID_EVENT.to_owned(),
                message: message.clone(),
                valid_reset_events: points.clone(),
                ..outlook
            };
            (*row, outlook)
        }
        _ => return,
    };
    let row = row.or(first).and_then(|row| rows.get_mut(row));
    if let Some(row) = row.filter(|row| row.looked.resets.len() < OUTLOOKS) {
        row.looked.resets.push(outlook);
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

//! Decision tables, filled in: which row takes a Workflow, and what its strategy does to it.
//!
//! Pure. [`Table::candidates`] works on a listing (Visibility's word), [`Table::pick`] and [`judge`]
//! on a look, which alone decides. Nothing here reads or writes; a verdict says what to read next or
//! what to write.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::catalog::{self, IfReset, OverrideKind, Reapply, ResetTo};
use crate::list_filter::{Attribute, Expr, Filter, Span};
use crate::record::{Seen, Treatment, Write};
use crate::runbook::{EvalError, HitPolicy, Runbook, Scope, StepBody, TaskCondition, Unmatched};
use crate::survey::{
    AttributeValue, Behavior, HistoryLook, HistoryNeed, Listed, Look, Override, Status, Version,
    WorkflowKey,
};

const VERSION_ATTRIBUTE: &str = "TemporalWorkerDeploymentVersion";
const BEHAVIOR_ATTRIBUTE: &str = "TemporalWorkflowVersioningBehavior";

/// A strategy with its arguments filled in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Strategy {
    /// Its name.
    pub name: String,
    /// What it does.
    pub call: Call,
    /// Refusal → strategy.
    pub fallback: BTreeMap<String, String>,
}

/// The action of a strategy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "action", content = "with", rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Call {
    Reset(catalog::Reset),
    Options(catalog::UpdateOptions),
    Restart(catalog::Restart),
    Terminate(catalog::Terminate),
}

impl Call {
    /// From an action's name and its rendered arguments.
    pub fn new(action: &str, with: Value) -> Result<Self, EvalError> {
        let call = match action {
            "workflows.reset" => serde_json::from_value(with).map(Self::Reset),
            "workflows.update_options" => serde_json::from_value(with).map(Self::Options),
            "workflows.restart" => serde_json::from_value(with).map(Self::Restart),
            "workflows.terminate" => serde_json::from_value(with).map(Self::Terminate),
            other => {
                return Err(EvalError::Failed {
                    message: format!("`{other}` is not applied to single Workflows"),
                });
            }
        };
        call.map_err(|error| EvalError::Failed {
            message: format!("arguments of `{action}`: {error}"),
        })
    }

    /// What it does to a Workflow.
    pub fn treatment(&self) -> Treatment {
        match self {
            Self::Reset(reset) if reset.to == ResetTo::FirstWorkflowTask => Treatment::StartedOver,
            Self::Reset(_) => Treatment::Undone,
            Self::Options(_) => Treatment::Moved,
            Self::Restart(_) => Treatment::StartedOver,
            Self::Terminate(_) => Treatment::Terminated,
        }
    }

    /// Where it moves a Workflow.
    pub fn target(&self) -> Option<&Version> {
        match self {
            Self::Reset(reset) => reset.version.as_ref(),
            Self::Options(options) => options.version.as_ref(),
            Self::Restart(restart) => Some(&restart.version),
            Self::Terminate(_) => None,
        }
    }

    /// In words, imperative.
    pub fn does(&self) -> String {
        let on = self
            .target()
            .map(|version| format!(" on {version}"))
            .unwrap_or_default();
        match self {
            Self::Reset(reset) => {
                let to = match reset.to {
                    ResetTo::FirstWorkflowTask => "start over from the first Workflow Task",
                    ResetTo::LastWorkflowTask => "reset to the last completed Workflow Task",
                };
                let reapply = match reset.reapply {
                    Reapply::All => "re-apply Signals and Updates",
                    Reapply::WithoutSignals => "re-apply Updates, not Signals",
                    Reapply::WithoutUpdates => "re-apply Signals, not Updates",
                    Reapply::None => "re-apply nothing",
                };
                format!("{to}{on}; {reapply}")
            }
            Self::Options(options) => match (options.kind, &options.version) {
                (OverrideKind::Pinned, Some(version)) => {
                    format!("pin to {version}; goes on from where it is")
                }
                (OverrideKind::OneTime, Some(version)) => {
                    format!("move to {version} once; goes on from where it is")
                }
                (OverrideKind::AutoUpgrade, _) => "let it follow the Current Version".to_owned(),
                _ => "unset its Versioning Override".to_owned(),
            },
            Self::Restart(_) => {
                format!("terminate what runs, start anew with the original arguments{on}")
            }
            Self::Terminate(_) => "terminate".to_owned(),
        }
    }

    fn over(&self) -> Option<Override> {
        match self {
            Self::Options(options) => match (options.kind, &options.version) {
                (OverrideKind::Pinned, Some(version)) => Some(Override::Pinned {
                    version: version.clone(),
                }),
                (OverrideKind::OneTime, Some(version)) => Some(Override::OneTime {
                    version: version.clone(),
                }),
                (OverrideKind::AutoUpgrade, _) => Some(Override::AutoUpgrade),
                _ => None,
            },
            _ => None,
        }
    }
}

/// A row with its filter filled in.
#[derive(Clone, Debug)]
pub struct TableRow {
    /// Its id.
    pub id: String,
    /// Classes that it takes; empty takes any.
    pub classes: Vec<String>,
    /// Condition on the attributes.
    pub filter: Option<Filter>,
    /// Condition on the Workflow Task.
    pub task: Option<TaskCondition>,
    /// Strategy.
    pub strategy: String,
}

/// A decision table with everything filled in.
#[derive(Clone, Debug)]
pub struct Table {
    /// The decision's name; of a step with `select`, the step's id.
    pub name: String,
    /// Which Workflows it is about.
    pub scope: Filter,
    /// Class by Workflow Type.
    pub types: BTreeMap<String, String>,
    /// Search Attribute that wins.
    pub attribute: Option<String>,
    /// See [`HitPolicy`].
    pub hit_policy: HitPolicy,
    /// See [`Unmatched`].
    pub unmatched: Unmatched,
    /// Rows in order.
    pub rows: Vec<TableRow>,
    /// Strategies by name, fallbacks included.
    pub strategies: BTreeMap<String, Strategy>,
}

/// Which row takes a Workflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pick {
    /// This one.
    Row(usize),
    /// None.
    Unmatched,
    /// Two, where the hit policy is `unique`.
    Conflict(usize, usize),
}

/// Why one row takes or does not take a Workflow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RowVerdict {
    /// The row.
    pub row: String,
    /// Whether it matches.
    pub matches: bool,
    /// Why not; empty where it matches.
    pub because: String,
}

impl Table {
    /// Fills in a decision of the runbook.
    pub fn prepare(runbook: &Runbook, name: &str, scope: &Scope) -> Result<Self, EvalError> {
        let decision = runbook
            .decisions
            .get(name)
            .ok_or_else(|| EvalError::Failed {
                message: format!("there is no decision `{name}`"),
            })?;
        let mut types = BTreeMap::new();
        if let Some(value) = decision
            .classify
            .as_ref()
            .and_then(|classify| classify.types.as_ref())
            && let Value::Object(map) = runbook.render(value, scope)?
        {
            types = map
                .into_iter()
                .filter_map(|(key, class)| Some((key, class.as_str()?.to_owned())))
                .collect();
        }
        let rows = decision
            .rows
            .iter()
            .map(|row| {
                Ok(TableRow {
                    id: row.id.clone(),
                    classes: row.class.clone(),
                    filter: row
                        .filter
                        .as_ref()
                        .map(|text| runbook.render_query(text, scope))
                        .transpose()?,
                    task: row.task,
                    strategy: row.apply.clone(),
                })
            })
            .collect::<Result<Vec<_>, EvalError>>()?;
        let mut strategies = BTreeMap::new();
        for row in &rows {
            Self::add_strategy(runbook, &row.strategy, scope, &mut strategies)?;
        }
        Ok(Self {
            name: name.to_owned(),
            scope: runbook.render_query(&decision.scope, scope)?,
            types,
            attribute: decision
                .classify
                .as_ref()
                .and_then(|classify| classify.attribute.clone()),
            hit_policy: decision.hit_policy,
            unmatched: decision.unmatched,
            rows,
            strategies,
        })
    }

    /// The table of a step that takes Workflows: of the decision that it applies, or of its own `select`.
    pub fn of_step(runbook: &Runbook, id: &str, scope: &Scope) -> Result<Self, EvalError> {
        let Some(StepBody::Action { action, with }) = runbook.step(id).map(|step| &step.body)
        else {
            return Err(EvalError::Failed {
                message: format!("step `{id}` takes no Workflows"),
            });
        };
        if let Some(decision) = with.get("decision").and_then(Value::as_str) {
            return Self::prepare(runbook, decision, scope);
        }
        // The query is parsed, not pasted: it is rendered by its own rules.
        let query = with
            .get("select")
            .and_then(|select| select.get("query"))
            .and_then(Value::as_str)
            .unwrap_or_default();
        let filter = runbook.render_query(query, scope)?;
        let arguments = Value::Object(scope.render_arguments(with)?);
        Ok(Self::single(id, filter, Call::new(action, arguments)?))
    }

    fn add_strategy(
        runbook: &Runbook,
        name: &str,
        scope: &Scope,
        into: &mut BTreeMap<String, Strategy>,
    ) -> Result<(), EvalError> {
        if into.contains_key(name) {
            return Ok(());
        }
        let strategy = runbook
            .strategies
            .get(name)
            .ok_or_else(|| EvalError::Failed {
                message: format!("there is no strategy `{name}`"),
            })?;
        let with = runbook.render(&Value::Object(strategy.with.clone()), scope)?;
        let fallback: BTreeMap<String, String> = strategy
            .fallback
            .iter()
            .map(|(refusal, other)| (refusal.clone(), other.clone()))
            .collect();
        into.insert(
            name.to_owned(),
            Strategy {
                name: name.to_owned(),
                call: Call::new(&strategy.action, with)?,
                fallback: fallback.clone(),
            },
        );
        fallback
            .values()
            .try_for_each(|other| Self::add_strategy(runbook, other, scope, into))
    }

    /// The table of a step that takes Workflows by a query: one row, which takes all.
    pub fn single(step: &str, scope: Filter, call: Call) -> Self {
        let strategy = Strategy {
            name: step.to_owned(),
            call,
            fallback: BTreeMap::new(),
        };
        Self {
            name: step.to_owned(),
            scope,
            types: BTreeMap::new(),
            attribute: None,
            hit_policy: HitPolicy::First,
            unmatched: Unmatched::Leave,
            rows: vec![TableRow {
                id: step.to_owned(),
                classes: Vec::new(),
                filter: None,
                task: None,
                strategy: step.to_owned(),
            }],
            strategies: BTreeMap::from([(step.to_owned(), strategy)]),
        }
    }

    /// A Workflow's class.
    pub fn class_of(&self, listed: &Listed) -> Option<&str> {
        let by_attribute =
            self.attribute
                .as_ref()
                .and_then(|name| match listed.attributes.get(name) {
                    Some(AttributeValue::Keyword(class) | AttributeValue::Text(class))
                        if !class.is_empty() =>
                    {
                        Some(class.clone())
                    }
                    _ => None,
                });
        match by_attribute {
            // Classes are a closed set: hand out the table's own spelling.
            Some(class) => self
                .rows
                .iter()
                .flat_map(|row| &row.classes)
                .find(|known| **known == class)
                .map(String::as_str),
            None => self.types.get(&listed.workflow_type).map(String::as_str),
        }
    }

    /// Rows that could take a listed Workflow, whatever its Workflow Task does.
    pub fn candidates(&self, listed: &Listed) -> Vec<usize> {
        let class = self.class_of(listed);
        let mut found = Vec::new();
        for (index, row) in self.rows.iter().enumerate() {
            if Self::row_miss(row, class, listed, None).is_none() {
                found.push(index);
                if row.task.is_none() && self.hit_policy == HitPolicy::First {
                    break;
                }
            }
        }
        found
    }

    /// The row that takes a Workflow, by its attributes `listed` and the look's Workflow Task.
    pub fn pick(&self, listed: &Listed, look: &Look) -> Pick {
        let class = self.class_of(listed);
        let task = task_state(look);
        let mut matching = self
            .rows
            .iter()
            .enumerate()
            .filter(|(_, row)| Self::row_miss(row, class, listed, Some(task)).is_none());
        match (matching.next(), self.hit_policy) {
            (None, _) => Pick::Unmatched,
            (Some((first, _)), HitPolicy::First) => Pick::Row(first),
            (Some((first, _)), HitPolicy::Unique) => match matching.next() {
                Some((second, _)) => Pick::Conflict(first, second),
                None => Pick::Row(first),
            },
        }
    }

    /// Each row's verdict on a Workflow, for `explain`.
    pub fn verdicts(&self, listed: &Listed, look: &Look) -> Vec<RowVerdict> {
        let class = self.class_of(listed);
        let task = task_state(look);
        self.rows
            .iter()
            .map(|row| {
                let miss = Self::row_miss(row, class, listed, Some(task));
                RowVerdict {
                    row: row.id.clone(),
                    matches: miss.is_none(),
                    because: miss.unwrap_or_default(),
                }
            })
            .collect()
    }

    /// Why a row does not take it; `task` is none where the Workflow Task is not known.
    fn row_miss(
        row: &TableRow,
        class: Option<&str>,
        listed: &Listed,
        task: Option<TaskCondition>,
    ) -> Option<String> {
        if !row.classes.is_empty()
            && !class.is_some_and(|class| row.classes.iter().any(|known| known == class))
        {
            let class = class.map_or_else(
                || format!("Workflow Type `{}` has no class", listed.workflow_type),
                |class| format!("its class is `{class}`"),
            );
            return Some(format!("{class}; the row takes {}", row.classes.join(", ")));
        }
        if let Some(filter) = row.filter.as_ref().filter(|filter| !filter.matches(listed)) {
            return Some(format!("`{}` does not hold", filter.render()));
        }
        match (row.task, task) {
            (Some(wanted), Some(is)) if wanted != is => Some(format!(
                "its Workflow Task is {}; the row wants {}",
                task_word(is),
                task_word(wanted)
            )),
            _ => None,
        }
    }

    /// The List Filter that counts a row (without its task condition).
    pub fn row_query(&self, index: usize) -> Filter {
        let row = &self.rows[index];
        let mut parts = vec![self.scope.clone()];
        if !row.classes.is_empty() {
            parts.push(self.class_filter(&row.classes));
        }
        parts.extend(row.filter.clone());
        Filter::all(parts)
    }

    fn class_filter(&self, classes: &[String]) -> Filter {
        let types = self
            .types
            .iter()
            .filter(|(_, class)| classes.contains(class))
            .map(|(name, _)| name.as_str());
        let by_type = Filter::new(Expr::one_of("WorkflowType", types));
        match &self.attribute {
            None => by_type,
            Some(attribute) => {
                let by_attribute =
                    Filter::new(Expr::one_of(attribute, classes.iter().map(String::as_str)));
                let unset = Filter::new(Expr::IsNull {
                    attribute: Attribute::new(attribute),
                    negated: false,
                    span: Span::default(),
                });
                Filter::any([by_attribute, unset.and(by_type)])
            }
        }
    }

    /// Versions that the strategies move to, in order, without repetition.
    pub fn targets(&self) -> BTreeSet<Version> {
        self.strategies
            .values()
            .filter_map(|strategy| strategy.call.target().cloned())
            .collect()
    }

    /// Class and task condition of a row, in words.
    pub fn condition(&self, index: usize) -> String {
        let row = &self.rows[index];
        let mut parts = Vec::new();
        if !row.classes.is_empty() {
            parts.push(row.classes.join(" or "));
        }
        if let Some(filter) = &row.filter {
            parts.push(filter.render());
        }
        if let Some(task) = row.task {
            parts.push(format!("Workflow Task {}", task_word(task)));
        }
        if parts.is_empty() {
            "all".to_owned()
        } else {
            parts.join(", ")
        }
    }
}

/// The state of the pending Workflow Task as a row's condition.
pub fn task_state(look: &Look) -> TaskCondition {
    match &look.pending_task {
        None => TaskCondition::None,
        Some(task) if task.attempt > 1 => TaskCondition::Failing,
        Some(_) => TaskCondition::Progressing,
    }
}

fn task_word(task: TaskCondition) -> &'static str {
    match task {
        TaskCondition::Failing => "failing",
        TaskCondition::Progressing => "progressing",
        TaskCondition::None => "not pending",
    }
}

/// Names that go into what is written: whose write it is.
#[derive(Clone, Debug)]
pub struct Naming<'a> {
    /// Run id.
    pub run: &'a str,
    /// Step id.
    pub step: &'a str,
}

impl Naming<'_> {
    /// The mark in every reason: run and step.
    pub fn mark(&self) -> String {
        format!("[runbook {} {}]", self.run, self.step)
    }

    fn reason(&self, reason: &str) -> String {
        format!("{reason} {}", self.mark())
    }

    fn request_id(&self, key: &WorkflowKey, call: &str, nth: i64) -> String {
        let name = [
            self.run,
            self.step,
            &key.workflow_id,
            &key.run_id,
            call,
            &nth.to_string(),
        ]
        .join("\u{0}");
        Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()).to_string()
    }
}

/// One Workflow before a table: everything that a verdict rests on.
#[derive(Clone, Debug)]
pub struct Case<'a> {
    /// The table.
    pub table: &'a Table,
    /// What Describe says.
    pub look: &'a Look,
    /// What the history says, where it was asked for, and for what.
    pub history: Option<(HistoryNeed, &'a HistoryLook)>,
    /// Claimed because an earlier step moved it and it may have closed before a task ran on the target.
    pub lost: bool,
    /// A strategy that the service refused, and the refusal.
    pub barred: Option<(&'a str, &'a str)>,
    /// Whose write it would be.
    pub naming: Naming<'a>,
}

/// What follows from a look.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Not this step's business (any more): why.
    Release(String),
    /// Nothing to do: why.
    Skip {
        /// Row that took it, if one did.
        row: Option<usize>,
        /// Why.
        reason: String,
    },
    /// No strategy can be applied.
    Refuse {
        /// Row that took it, if one did.
        row: Option<usize>,
        /// Its name.
        refusal: String,
        /// In words.
        message: String,
    },
    /// No row takes it.
    Unmatched,
    /// The history is needed first.
    Read(HistoryNeed),
    /// Write.
    Write {
        /// Row that takes it.
        row: usize,
        /// Strategy in force.
        strategy: String,
        /// What it does.
        treatment: Treatment,
        /// The call.
        write: Box<Write>,
        /// What it was decided on.
        seen: Box<Seen>,
    },
}

/// Decides on one Workflow.
pub fn judge(case: &Case<'_>) -> Verdict {
    let listed = match in_scope(case) {
        Ok(listed) => listed,
        Err(verdict) => return *verdict,
    };
    let row = match case.table.pick(&listed, case.look) {
        Pick::Row(row) => row,
        Pick::Unmatched => return Verdict::Unmatched,
        Pick::Conflict(one, two) => {
            let (one, two) = (&case.table.rows[one].id, &case.table.rows[two].id);
            return Verdict::Refuse {
                row: None,
                refusal: "conflict".to_owned(),
                message: format!(
                    "rows `{one}` and `{two}` both take it, and the hit policy is `unique`"
                ),
            };
        }
    };
    let mut name = case.table.rows[row].strategy.as_str();
    // Fallbacks have no cycles: that was checked offline.
    loop {
        let strategy = &case.table.strategies[name];
        match apply(case, strategy) {
            Applied::Write(write) => {
                return Verdict::Write {
                    row,
                    strategy: name.to_owned(),
                    treatment: strategy.call.treatment(),
                    write: Box::new(write),
                    seen: Box::new(seen(case.look)),
                };
            }
            Applied::Skip(reason) => {
                return Verdict::Skip {
                    row: Some(row),
                    reason,
                };
            }
            Applied::Read(need) => return Verdict::Read(need),
            Applied::Refuse(refusal, message) => match strategy.fallback.get(&refusal) {
                Some(other) => name = other,
                None => {
                    return Verdict::Refuse {
                        row: Some(row),
                        refusal,
                        message,
                    };
                }
            },
        }
    }
}

/// The Workflow's attributes as the look has them, or why it is out of scope.
fn in_scope(case: &Case<'_>) -> Result<Listed, Box<Verdict>> {
    let look = case.look;
    if case.lost {
        return lost_in_scope(case);
    }
    let listed = as_listed(look, look.effective_version());
    if case.table.scope.matches(&listed) {
        return Ok(listed);
    }
    if let (Some(wanted), Some(version)) = (
        case.table.scope.required_values(VERSION_ATTRIBUTE),
        look.effective_version(),
    ) && look.listed.status.is_open()
        && !wanted.contains(&version.to_string())
    {
        return Err(Box::new(Verdict::Skip {
            row: None,
            reason: format!("already moved to {version}"),
        }));
    }
    let reason = match look.listed.status {
        Status::ContinuedAsNew => "continued as new".to_owned(),
        status if !status.is_open() => format!("closed meanwhile ({status})"),
        _ => "no longer in the decision's scope".to_owned(),
    };
    Err(Box::new(Verdict::Release(reason)))
}

/// Of those that an earlier step moved: only one that closed before a task ran on its target counts.
fn lost_in_scope(case: &Case<'_>) -> Result<Listed, Box<Verdict>> {
    let look = case.look;
    if look.listed.status.is_open() {
        return Err(Box::new(Verdict::Release("still runs".to_owned())));
    }
    if look.deployment_version == look.effective_version() {
        return Err(Box::new(Verdict::Release(
            "a task ran on its target".to_owned(),
        )));
    }
    // One that never ran anywhere was claimed and moved all the same: it came from the scope's Version.
    let wanted = case.table.scope.required_values(VERSION_ATTRIBUTE);
    let only = wanted.filter(|wanted| wanted.len() == 1);
    let before = look
        .deployment_version
        .clone()
        .or_else(|| Version::parse(only?.first()?));
    let listed = as_listed(look, before);
    if case.table.scope.matches(&listed) {
        Ok(listed)
    } else {
        Err(Box::new(Verdict::Release(format!(
            "closed ({}), which the decision leaves alone",
            look.listed.status
        ))))
    }
}

/// A look in the shape of a listing, with the Version that counts.
pub fn as_listed(look: &Look, version: Option<Version>) -> Listed {
    let mut listed = look.listed.clone();
    if let Some(version) = version {
        listed.attributes.insert(
            VERSION_ATTRIBUTE.to_owned(),
            AttributeValue::Keyword(version.to_string()),
        );
    }
    let behavior = match (&look.versioning_override, look.behavior) {
        (Some(Override::Pinned { .. } | Override::OneTime { .. }), _)
        | (None, Behavior::Pinned) => Some("Pinned"),
        (Some(Override::AutoUpgrade), _) | (None, Behavior::AutoUpgrade) => Some("AutoUpgrade"),
        (None, Behavior::Unspecified) => None,
    };
    if let Some(behavior) = behavior {
        listed.attributes.insert(
            BEHAVIOR_ATTRIBUTE.to_owned(),
            AttributeValue::Keyword(behavior.to_owned()),
        );
    }
    listed
}

fn seen(look: &Look) -> Seen {
    Seen {
        status: look.listed.status,
        current_run: look.current.run_id.clone(),
        version: look.effective_version(),
        reset_run_id: look.reset_run_id.clone(),
        history_length: look.history_length,
        attempt: look.pending_task.as_ref().map_or(0, |task| task.attempt),
    }
}

enum Applied {
    Write(Write),
    Skip(String),
    Read(HistoryNeed),
    Refuse(String, String),
}

fn refuse(refusal: &str, message: impl Into<String>) -> Applied {
    Applied::Refuse(refusal.to_owned(), message.into())
}

fn apply(case: &Case<'_>, strategy: &Strategy) -> Applied {
    if let Some((barred, refusal)) = case.barred
        && barred == strategy.name
    {
        return refuse(refusal, format!("the service refused `{barred}`"));
    }
    match &strategy.call {
        Call::Reset(reset) => apply_reset(case, reset),
        Call::Options(_) => apply_options(case, &strategy.call),
        Call::Restart(restart) => apply_restart(case, restart),
        Call::Terminate(terminate) => {
            if case.look.listed.status.is_open() {
                Applied::Write(Write::Terminate {
                    reason: case.naming.reason(&terminate.reason),
                })
            } else {
                Applied::Skip(format!("already closed ({})", case.look.listed.status))
            }
        }
    }
}

fn apply_options(case: &Case<'_>, call: &Call) -> Applied {
    let look = case.look;
    if !look.listed.status.is_open() {
        return refuse(
            "closed",
            format!(
                "a closed Workflow ({}) has no Versioning Override to change",
                look.listed.status
            ),
        );
    }
    let target = call.over();
    if look.versioning_override == target {
        return Applied::Skip("has this Versioning Override already".to_owned());
    }
    Applied::Write(Write::Options { target })
}

/// Why a closed Workflow is left alone, if it is.
fn closed_skip(look: &Look, again: bool) -> Option<String> {
    if look.listed.status.is_open() {
        return None;
    }
    if let (Some(run), false) = (&look.reset_run_id, again) {
        return Some(format!("already reset (run {run})"));
    }
    if look.current.run_id != look.listed.key.run_id
        && !(again && look.reset_run_id.as_ref() == Some(&look.current.run_id))
    {
        return Some(format!(
            "superseded by run {} ({})",
            look.current.run_id, look.current.status
        ));
    }
    look.listed
        .parent
        .as_ref()
        .map(|parent| format!("child of {}, which has its result", parent.workflow_id))
}

fn apply_reset(case: &Case<'_>, reset: &catalog::Reset) -> Applied {
    let look = case.look;
    let again = reset.if_reset == IfReset::Again;
    if let Some(reason) = closed_skip(look, again) {
        return Applied::Skip(reason);
    }
    let need = match reset.to {
        ResetTo::FirstWorkflowTask => HistoryNeed::FirstWorkflowTask,
        ResetTo::LastWorkflowTask => HistoryNeed::LastWorkflowTask,
    };
    let history = match case.history {
        Some((read, history)) if read == need => history,
        _ => return Applied::Read(need),
    };
    if let (Some(origin), false, true) =
        (&history.made_by_reset, again, look.listed.status.is_open())
    {
        return refuse(
            "reset_before",
            format!(
                "a reset made this run ({}); it is not undone a second time",
                origin.reason
            ),
        );
    }
    let Some(point) = &history.reset_point else {
        return if history.dispatched {
            refuse(
                "no_completed_task",
                "no Workflow Task of this run ever completed",
            )
        } else {
            refuse(
                "never_dispatched",
                "no Workflow Task of this run was ever started",
            )
        };
    };
    if let Some(child) = look
        .pending_children
        .iter()
        .find(|child| child.initiated_event > point.event_id)
    {
        let message = format!(
            "its child {} runs and was started after the reset point",
            child.key.workflow_id
        );
        return refuse("running_child", message);
    }
    let nth = look.history_length + i64::from(look.reset_run_id.is_some());
    Applied::Write(Write::Reset {
        event_id: point.event_id,
        signals: matches!(reset.reapply, Reapply::All | Reapply::WithoutUpdates),
        updates: matches!(reset.reapply, Reapply::All | Reapply::WithoutSignals),
        target: reset.version.clone(),
        reason: case.naming.reason(&reset.reason),
        request_id: case.naming.request_id(&look.listed.key, "reset", nth),
    })
}

fn apply_restart(case: &Case<'_>, restart: &catalog::Restart) -> Applied {
    let look = case.look;
    if let Some(reason) = closed_skip(look, false) {
        return Applied::Skip(reason);
    }
    if let (Some(parent), Some(true)) = (&look.listed.parent, look.parent_running) {
        let message = format!(
            "its parent {} runs and would take the termination for its result",
            parent.workflow_id
        );
        return refuse("child_of_running_parent", message);
    }
    Applied::Write(Write::Restart {
        target: restart.version.clone(),
        request_id: case.naming.request_id(&look.listed.key, "restart", 0),
        terminate: look.listed.status.is_open(),
    })
}

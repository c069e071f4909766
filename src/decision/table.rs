//! Decision tables, filled in: which row takes a Workflow, by a listing or by a look.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Value, json};

use super::{Call, Strategy};
use crate::catalog::{Only, Select};
use crate::list_filter::{Attribute, Expr, Filter, Span};
use crate::record::Terms;
use crate::runbook::{EvalError, HitPolicy, Runbook, Scope, StepBody, TaskCondition, Unmatched};
use crate::selection::Selection;
use crate::survey::{AttributeValue, Listed, Look, Version};

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
    /// Which Workflows it is about; everything, where the selection names them.
    pub scope: Filter,
    /// Where they come from, and which are left out.
    pub selection: Selection,
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
    /// The step's own `select`, rendered; nothing for a decision.
    select: Value,
    /// What a yes is given for, by row.
    terms: Vec<Terms>,
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
            selection: Selection::default(),
            types,
            attribute: decision
                .classify
                .as_ref()
                .and_then(|classify| classify.attribute.clone()),
            hit_policy: decision.hit_policy,
            unmatched: decision.unmatched,
            rows,
            strategies,
            select: Value::Null,
            terms: Vec::new(),
        }
        .with_terms())
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
        let arguments = scope.render_arguments(with)?;
        let failed = |message: String| EvalError::Failed { message };
        let asked = arguments.get("select").cloned().unwrap_or_default();
        let select: Select = serde_json::from_value(asked.clone())
            .map_err(|error| failed(format!("`select` of step `{id}`: {error}")))?;
        // The query is parsed, not pasted: it is rendered by its own rules.
        let query = with.get("select").and_then(|select| select.get("query"));
        let query = query.and_then(Value::as_str);
        let query = query
            .map(|text| runbook.render_query(text, scope))
            .transpose()?;
        let (filter, selection) = Selection::new(&select, query)
            .map_err(|message| failed(format!("step `{id}`: {message}")))?;
        let call = Call::new(action, Value::Object(arguments))?;
        if call.is_batch() && !selection.is_plain() {
            return Err(failed(format!(
                "step `{id}`: `via: batch` takes its Workflows by a `query` and nothing besides: the service lists them \
                 itself. Put what is left out into the query, or leave out `via: batch`."
            )));
        }
        let objection = call.is_batch().then(|| call.batch_objection(&filter));
        if let Some(message) = objection.flatten() {
            return Err(failed(format!("step `{id}`: {message}")));
        }
        let table = Self::single(id, filter, selection, call);
        let select = asked;
        Ok(Self { select, ..table }.with_terms())
    }

    /// As [`Table::of_step`], before any step has run: what earlier steps will have had is not known.
    pub fn known_before(runbook: &Runbook, id: &str, scope: &Scope) -> Result<Self, EvalError> {
        let table = Self::of_step(runbook, id, scope)?;
        match table.selection.ledger_steps().first() {
            Some(step) => Err(EvalError::UnknownUntil {
                step: (*step).to_owned(),
            }),
            None => Ok(table),
        }
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

    /// The table of a step that takes Workflows by `select`: one row, which takes all.
    pub fn single(step: &str, scope: Filter, selection: Selection, call: Call) -> Self {
        let strategy = Strategy {
            name: step.to_owned(),
            call,
            fallback: BTreeMap::new(),
        };
        Self {
            name: step.to_owned(),
            scope,
            selection,
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
            select: Value::Null,
            terms: Vec::new(),
        }
        .with_terms()
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

    /// What a yes to a row is given for: which Workflows, and what its strategy or a fallback of it does to them.
    pub fn terms(&self, index: usize) -> &Terms {
        &self.terms[index]
    }

    fn with_terms(mut self) -> Self {
        self.terms = (0..self.rows.len())
            .map(|index| self.terms_of(index))
            .collect();
        self
    }

    fn terms_of(&self, index: usize) -> Terms {
        let row = &self.rows[index];
        let mut reached = vec![&row.strategy];
        let mut strategies: BTreeMap<&str, &Strategy> = BTreeMap::new();
        while let Some(name) = reached.pop() {
            if let Some(strategy) = self.strategies.get(name)
                && strategies.insert(name, strategy).is_none()
            {
                reached.extend(strategy.fallback.values());
            }
        }
        let deeds = strategies.values().map(|strategy| strategy.call.deed());
        let what = json!({
            "query": self.row_query(index).render(),
            "class": row.classes,
            "attribute": self.attribute,
            "task": row.task,
            "select": self.select,
            "strategies": strategies,
        });
        Terms::of(&what, deeds.collect())
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
        if self.selection.only == Some(Only::NonDeterministic) {
            parts.push("last Workflow Task failed by non-determinism".to_owned());
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

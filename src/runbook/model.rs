//! The validated model: what the rest of the program works with. Plain data.
//!
//! Scalars that may hold `${{ }}` are kept as text or JSON values and rendered by
//! [`super::evaluate`]; that they parse, and that every name in them exists, was proved by
//! [`Runbook::parse`], which is the only constructor.

use std::time::Duration;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::guards::Guards;

/// A step's id, unique in a runbook, nested ones included: `[a-z][a-z0-9_]*`.
pub type StepId = String;

/// A runbook that passed every offline check.
#[derive(Clone, Debug)]
pub struct Runbook {
    /// File name as given (for messages).
    pub file: String,
    /// The text that it was parsed from: what a plan and a journal keep.
    pub source: String,
    /// `name:`
    pub name: String,
    /// `title:`, else the name.
    pub title: String,
    /// `description:`
    pub description: Option<String>,
    /// `params:` in order.
    pub params: IndexMap<String, Parameter>,
    /// `vars:` in order of the file; values may hold expressions.
    pub vars: IndexMap<String, Value>,
    /// `guards:`
    pub guards: Guards,
    /// `tolerance:`
    pub tolerance: Tolerance,
    /// `checks:`
    pub checks: Vec<Check>,
    /// `lock:` — the template of a lock's name.
    pub lock: Option<String>,
    /// `notify:`
    pub notify: Option<Notify>,
    /// `queries:` — List Filter templates.
    pub queries: IndexMap<String, String>,
    /// `strategies:`
    pub strategies: IndexMap<String, Strategy>,
    /// `decisions:`
    pub decisions: IndexMap<String, Decision>,
    /// `steps:`
    pub steps: Vec<Step>,
}

/// The type of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum ParameterType {
    String,
    Integer,
    Number,
    Boolean,
    Duration,
    List,
    Map,
    Version,
}

/// A declared parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// Its type.
    pub kind: ParameterType,
    /// What it is for.
    pub description: String,
    /// Type of a list's items or a map's values.
    pub items: ParameterType,
    /// Permitted values (of the items, for a list or map).
    pub choices: Vec<Value>,
    /// Regular expression that the whole value must match (anchors as written).
    pub pattern: Option<String>,
    /// Smallest number.
    pub minimum: Option<f64>,
    /// Largest number.
    pub maximum: Option<f64>,
    /// Used where none is given; none means that it must be given.
    pub default: Option<Value>,
    /// Never shown; comes from the environment or a file.
    pub secret: bool,
}

/// A program that is told how a run stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Notify {
    /// It and its arguments: templates.
    pub argv: Vec<String>,
    /// When.
    pub on: Vec<Event>,
    /// Environment variables: templates, which may read secrets.
    pub env: IndexMap<String, String>,
    /// Names of variables that it gets from this process.
    pub inherit: Vec<String>,
    /// How long it may run.
    pub timeout: String,
}

/// What somebody is notified of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The run waits for somebody.
    Parked,
    /// A step failed or halted.
    Failed,
    /// Every step passed.
    Finished,
}

impl Event {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Parked, Self::Failed, Self::Finished];

    /// As the file spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Parked => "parked",
            Self::Failed => "failed",
            Self::Finished => "finished",
        }
    }
}

/// A condition that must hold before anything is read or written.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// Expression (without `${{ }}`).
    pub that: String,
    /// What to say where it does not hold.
    pub otherwise: String,
}

/// A named action with its arguments, applied to one Workflow.
#[derive(Clone, Debug, PartialEq)]
pub struct Strategy {
    /// `noun.verb`.
    pub action: String,
    /// Arguments, with expressions.
    pub with: Map<String, Value>,
    /// Refusal name → strategy that is tried instead.
    pub fallback: IndexMap<String, String>,
}

/// What happens to a listed Workflow that no row takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unmatched {
    /// Stops the step before its first write.
    Refuse,
    /// Recovers the others, then halts.
    Halt,
    /// Goes on and lists them.
    Leave,
}

/// Which of several matching rows takes a Workflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HitPolicy {
    /// The first.
    First,
    /// A second match is a refusal.
    Unique,
}

/// The state of a Workflow's pending Workflow Task, as a row's condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskCondition {
    /// Pending, attempt above 1.
    Failing,
    /// Pending, first attempt.
    Progressing,
    /// None pending.
    None,
}

/// A decision table.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// List Filter template: which Workflows it is about.
    pub scope: String,
    /// Where classes come from.
    pub classify: Option<Classify>,
    /// See [`HitPolicy`].
    pub hit_policy: HitPolicy,
    /// See [`Unmatched`].
    pub unmatched: Unmatched,
    /// Its rows in order.
    pub rows: Vec<Row>,
}

/// Where a Workflow's class comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct Classify {
    /// A map of Workflow Types to classes: an expression as one scalar (`${{ params.classes }}`) or a literal map.
    pub types: Option<Value>,
    /// A Search Attribute that wins where it is set.
    pub attribute: Option<String>,
}

/// One row of a decision table.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Its id, unique in the runbook's decisions.
    pub id: String,
    /// Classes that it takes; empty takes any.
    pub class: Vec<String>,
    /// List Filter template, evaluated here on the attributes.
    pub filter: Option<String>,
    /// Condition on the Workflow Task; needs the look.
    pub task: Option<TaskCondition>,
    /// Strategy that it assigns.
    pub apply: String,
}

/// One unit of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Its id.
    pub id: StepId,
    /// What people call it; else the id.
    pub title: Option<String>,
    /// Expression (without `${{ }}`); the step is skipped where it is false.
    pub when: Option<String>,
    /// The word that must be typed: text that may hold expressions.
    pub confirm: Option<String>,
    /// Who must agree before the step writes.
    pub agreement: Agreement,
    /// How long it may take, counting the time that somebody was attached.
    pub timeout: Option<Duration>,
    /// Tries for reads and idempotent writes.
    pub retry: Retry,
    /// What a failure does to the run.
    pub on_failure: OnFailure,
    /// When to halt.
    pub limits: Limits,
    /// How fast.
    pub pace: Pace,
    /// First few, then proof.
    pub canary: Option<Canary>,
    /// What it does.
    pub body: StepBody,
}

/// How many people must agree, and who is not one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agreement {
    /// So many, at least 1.
    pub by: u32,
    /// Whoever began or resumed the run does not count.
    pub not_starter: bool,
}

impl Default for Agreement {
    fn default() -> Self {
        Self {
            by: 1,
            not_starter: false,
        }
    }
}

impl Agreement {
    /// Whether any one person's yes is enough.
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }

    /// Who must agree, where that is more than anybody: `2 people`.
    pub fn words(&self) -> String {
        self.with("")
    }

    /// The same as a clause: `2 people must agree`.
    pub fn clause(&self) -> String {
        self.with(" must agree")
    }

    fn with(&self, must: &str) -> String {
        match (self.by, self.not_starter) {
            (1, false) => format!("1 person{must}"),
            (1, true) => format!("1 person{must}, and not who began or resumed the run"),
            (many, false) => format!("{many} people{must}"),
            (many, true) => {
                format!("{many} people{must}, none of whom began or resumed the run")
            }
        }
    }
}

/// What a step does.
#[derive(Clone, Debug, PartialEq)]
pub enum StepBody {
    /// One action.
    Action {
        /// `noun.verb`.
        action: String,
        /// Arguments, with expressions.
        with: Map<String, Value>,
    },
    /// Nested steps, repeated.
    Repeat {
        /// Expression (without `${{ }}`), evaluated after each iteration.
        until: String,
        /// Pause between iterations.
        every: Duration,
        /// How long it may take in all, attached time.
        timeout: Duration,
        /// What is repeated.
        steps: Vec<Step>,
    },
}

/// How a failing call is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Attempts in all, at least 1.
    pub attempts: u32,
    /// Pause before the second; doubles up to `max_backoff`.
    pub backoff: Duration,
    /// Longest pause.
    pub max_backoff: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 5,
            backoff: Duration::from_secs(1),
            max_backoff: Duration::from_secs(30),
        }
    }
}

/// What a failed step does to the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// The run ends there, resumable.
    #[default]
    Halt,
    /// The next step is taken.
    Continue,
}

/// A limit: a number, or a share of what was granted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// So many.
    Count(u64),
    /// Percent of the count granted, at least 1.
    Percent(f64),
}

impl Bound {
    /// The number that it means where `granted` Workflows were granted: at least 1 for a share.
    pub fn of(self, granted: u64) -> u64 {
        match self {
            Self::Count(count) => count,
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                clippy::cast_precision_loss
            )]
            Self::Percent(percent) => ((granted as f64 * percent / 100.0).floor() as u64).max(1),
        }
    }
}

/// When a step halts; cumulative over a loop's iterations; refusals do not count.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Limits {
    /// Most Workflows that the step may write to.
    pub max_workflows: Option<Bound>,
    /// More failures than this halt it.
    pub max_failures: Option<Bound>,
    /// More unhealthy ones than this halt it.
    pub max_unhealthy: Option<Bound>,
}

/// How fast a step may write.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// Writes a second, at most.
    pub rate: f64,
    /// Calls in flight, at most.
    pub concurrency: u32,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            rate: 200.0,
            concurrency: 32,
        }
    }
}

/// The first few of each row, then proof that they are healthy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Canary {
    /// How many a row.
    pub count: u32,
    /// How long to wait for the proof.
    pub wait: Duration,
}

/// How far the service may have moved between a saved plan and its run. Routing never may.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tolerance {
    /// Of each row's count, where a step says nothing else.
    pub workflows: Option<Bound>,
    /// Whether a Version that the parameters name may go from Draining to Drained, and back.
    pub drainage: bool,
    /// By step.
    pub steps: IndexMap<StepId, StepTolerance>,
}

/// How far the counts of one step may have moved.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StepTolerance {
    /// Of each row's count.
    pub workflows: Option<Bound>,
    /// By row of its decision.
    pub rows: IndexMap<String, Bound>,
}

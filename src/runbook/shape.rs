//! The file's shape as Rust types: what the JSON Schema is generated from, and what a file without
//! problems is read into. Doc comments are what an editor shows.

use std::sync::LazyLock;

use indexmap::IndexMap;
use schemars::{JsonSchema, SchemaGenerator};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::model::{Event, HitPolicy, OnFailure, ParameterType, TaskCondition, Unmatched};
use crate::catalog::{self, Subject, Word};
use crate::schema::{self, ID, Schema};

/// The version of the language.
pub(super) const SCHEMA: &str = "runbook/v1";

/// A runbook: an operational procedure that is reviewed, rehearsed and carried out.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "runbook/v1")]
pub(super) struct File {
    /// The version of the language: `runbook/v1`.
    #[serde(rename = "schema")]
    #[schemars(extend("const" = "runbook/v1"))]
    pub(super) _schema: String,
    /// Its name: lower-case letters, digits and `-`.
    #[schemars(regex(pattern = "^[a-z][a-z0-9-]*$"))]
    pub(super) name: String,
    /// What people call it.
    #[schemars(length(min = 1))]
    pub(super) title: Option<String>,
    /// What it is for, when to use it and when not.
    pub(super) description: Option<String>,
    /// Inputs, by name.
    #[serde(default)]
    #[schemars(extend("propertyNames" = { "pattern": ID }))]
    pub(super) params: IndexMap<String, Parameter>,
    /// Values that are computed once a use, by name; they may hold expressions.
    #[serde(default)]
    #[schemars(extend("propertyNames" = { "pattern": ID }))]
    pub(super) vars: IndexMap<String, Value>,
    /// What this runbook must never do, whatever its parameters are. Refused before anything is read or written.
    #[serde(rename = "guards")]
    pub(super) _guards: Option<Guards>,
    /// How far the service may have moved between a plan that was saved (`plan --out`) and its run (`exec PLAN`);
    /// else it is refused, with what moved. The routing never may have moved. Without it each row's count may be a
    /// tenth more or less, and no row may have appeared or vanished.
    pub(super) tolerance: Option<Tolerance>,
    /// Conditions that must hold before anything is read or written.
    #[serde(default)]
    pub(super) checks: Vec<Check>,
    /// A lock that the service keeps while a run is not over, so that nobody else carries out the same thing at the
    /// same time: `recover ${{ params.bad }}`. Runbooks that give the same name, on any machine, exclude each other in
    /// a namespace. The name is taken before the first question (else: exit 4, and who has it), is kept while the run
    /// is parked or halted, and is given back when the run has succeeded; `runbook unlock` breaks it. It is the
    /// Workflow `runbook-lock:NAME`. It may read `params` and `vars`. Without it, only the look before each write
    /// protects a Workflow from another operator's run.
    #[schemars(length(min = 1))]
    pub(super) lock: Option<String>,
    /// A program that is told when a run is parked, has failed or has finished well. It is run without being asked for,
    /// after the last record, and never fails or holds up a run: what goes wrong with it is a warning. It is not run in
    /// a dry run or a rehearsal. It reads one JSON object from its standard input and the same from the environment:
    /// RUNBOOK_EVENT (`parked`, `failed`, `finished`), RUNBOOK_RUN, RUNBOOK_NAME, RUNBOOK_TITLE, RUNBOOK_STATUS,
    /// RUNBOOK_STEP, RUNBOOK_REASON, RUNBOOK_STATE (the state file), RUNBOOK_RESUME (a command line), RUNBOOK_ADDRESS
    /// and RUNBOOK_NAMESPACE. RUNBOOK_STATUS is `parked`, `halted`, `succeeded`, or `broken` where the state file could
    /// not be written any more (the disk is full, somebody took the file away); that is an event `failed`, too.
    pub(super) notify: Option<Notify>,
    /// List Filters by name, to be inserted into others as one condition.
    #[serde(default)]
    #[schemars(extend("propertyNames" = { "pattern": ID }))]
    pub(super) queries: IndexMap<String, String>,
    /// Named actions with their arguments, each applied to one Workflow.
    #[serde(default)]
    #[schemars(extend("propertyNames" = { "pattern": ID }))]
    pub(super) strategies: IndexMap<String, Strategy>,
    /// Decision tables: which strategy for which Workflow.
    #[serde(default)]
    #[schemars(extend("propertyNames" = { "pattern": ID }))]
    pub(super) decisions: IndexMap<String, Decision>,
    /// What is done, in order.
    #[schemars(length(min = 1))]
    pub(super) steps: Vec<Step>,
}

/// An input of the runbook.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameter {
    /// Its type; `version` is a Worker Deployment Version, `DEPLOYMENT:BUILD`.
    #[serde(rename = "type")]
    #[schemars(with = "String", extend("enum" = ["string", "integer", "number", "boolean", "duration", "list", "map", "version"]))]
    pub(super) kind: ParameterType,
    /// What it is for: shown when it is asked for.
    #[serde(default)]
    pub(super) description: String,
    /// Type of a list's items or a map's values; default `string`.
    #[schemars(with = "Option<String>", extend("enum" = ["string", "integer", "number", "boolean", "duration", "version"]))]
    pub(super) items: Option<ParameterType>,
    /// Permitted values (of the items of a list, of the values of a map).
    #[serde(default, rename = "enum")]
    #[schemars(extend("minItems" = 1, "uniqueItems" = true))]
    pub(super) choices: Option<Vec<Value>>,
    /// Regular expression that each text must match.
    pub(super) pattern: Option<String>,
    /// Smallest number.
    pub(super) minimum: Option<f64>,
    /// Largest number.
    pub(super) maximum: Option<f64>,
    /// Used where none is given; without one the parameter must be given.
    pub(super) default: Option<Value>,
    /// Never shown or kept; given by the environment (`RUNBOOK_PARAM_NAME`) or a file.
    #[serde(default)]
    pub(super) secret: bool,
}

/// What a runbook must never do. Written out, without expressions.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
pub(super) struct Guards {
    /// Namespaces that it may run in; `*` stands for any characters.
    #[serde(rename = "namespaces")]
    #[schemars(extend("minItems" = 1, "uniqueItems" = true))]
    pub(super) _namespaces: Option<Vec<String>>,
    /// Addresses of services that it may call, as the connection has them (`HOST:PORT`, whatever they resolve to); `*`
    /// stands for any characters.
    #[serde(rename = "addresses")]
    #[schemars(extend("minItems" = 1, "uniqueItems" = true))]
    pub(super) _addresses: Option<Vec<String>>,
    /// Most Workflows that one step may write to, over all its rows and iterations, whoever agrees to more.
    #[serde(rename = "max_workflows")]
    pub(super) _max_workflows: Option<u64>,
    /// Actions that no step and no strategy may have: by name, or all of a noun as `NOUN.*`.
    #[serde(rename = "forbid")]
    #[schemars(extend("minItems" = 1, "uniqueItems" = true))]
    pub(super) _forbid: Option<Vec<String>>,
}

/// How far the service may have moved between a saved plan and its run. Written out, without expressions.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
pub(super) struct Tolerance {
    /// How many more or fewer Workflows there may be in each row, and in none: a number, or a percentage of the
    /// plan's count (at least one; it lets no row appear or vanish, which a number does). 0 tolerates nothing.
    #[schemars(with = "Option<BoundShape>")]
    pub(super) workflows: Option<Value>,
    /// Whether a Version that a parameter names may have gone from Draining to Drained, or back; default false.
    /// Versions that no parameter names may always.
    #[serde(default)]
    pub(super) drainage: bool,
    /// By step: one that takes Workflows.
    #[serde(default)]
    #[schemars(extend("propertyNames" = { "pattern": ID }))]
    pub(super) steps: IndexMap<String, StepTolerance>,
}

/// How far the counts of one step may have moved.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
pub(super) struct StepTolerance {
    /// How many more or fewer Workflows there may be in each row: a number, or a percentage of the plan's count.
    #[schemars(with = "Option<BoundShape>")]
    pub(super) workflows: Option<Value>,
    /// The same by row of its decision.
    #[serde(default)]
    #[schemars(with = "IndexMap<String, BoundShape>", extend("propertyNames" = { "pattern": ID }))]
    pub(super) rows: IndexMap<String, Value>,
}

/// A program that is told how a run stands. Expressions read `params`, `vars` and `run`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Notify {
    /// The program and its arguments, each a text of its own: no shell reads them.
    #[schemars(length(min = 1))]
    pub(super) argv: Vec<Word>,
    /// When it is run; default each time.
    #[schemars(with = "Option<Vec<String>>", extend("items" = { "type": "string", "enum": ["parked", "failed", "finished"] }, "minItems" = 1, "uniqueItems" = true))]
    pub(super) on: Option<Vec<Event>>,
    /// Environment variables that it gets besides. Secrets may stand here.
    #[serde(default)]
    #[schemars(extend("propertyNames" = { "pattern": "^[A-Za-z_][A-Za-z0-9_]*$" }))]
    pub(super) env: IndexMap<String, Word>,
    /// Names of further environment variables that it gets from `runbook`, where they are set. It always gets PATH,
    /// HOME, USER, LOGNAME, LANG, LC_ALL, LC_CTYPE, TZ and TMPDIR.
    #[serde(default)]
    pub(super) inherit: Vec<String>,
    /// How long it may run; then it is ended, with all that it started in its process group. Default 10s.
    #[schemars(extend("format" = "interval"))]
    pub(super) timeout: Option<String>,
}

/// A condition that must hold before anything is read or written.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Check {
    /// The condition: one expression, `${{ … }}`.
    pub(super) that: String,
    /// What to say where it does not hold.
    #[serde(rename = "else")]
    #[schemars(length(min = 1))]
    pub(super) otherwise: String,
}

/// A named action with its arguments, applied to one Workflow.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Strategy {
    /// The action.
    pub(super) action: String,
    /// Its arguments.
    #[serde(default)]
    pub(super) with: Map<String, Value>,
    /// Strategy to use instead where this one refuses a Workflow, by the refusal's name.
    #[serde(default)]
    pub(super) fallback: IndexMap<String, String>,
}

/// A decision table: assigns one strategy to each Workflow in its scope.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Decision {
    /// Which Workflows it is about: a List Filter, listed once.
    pub(super) scope: String,
    /// Where classes come from: a map of Workflow Types to classes, or `types` and `attribute`.
    pub(super) classify: Option<Value>,
    /// Which of several matching rows takes a Workflow; default `first`.
    #[schemars(with = "Option<String>", extend("enum" = ["first", "unique"]))]
    pub(super) hit_policy: Option<HitPolicy>,
    /// What happens where no row takes a listed Workflow. `refuse`: nothing is written. `halt`: the
    /// others are recovered, then the step halts. `leave`: they are listed at the end.
    #[schemars(with = "String", extend("enum" = ["refuse", "halt", "leave"]))]
    pub(super) unmatched: Unmatched,
    /// Its rows, in order.
    #[schemars(length(min = 1))]
    pub(super) rows: Vec<Row>,
}

/// Where a Workflow's class comes from.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Classify {
    /// A map of Workflow Types to classes, or an expression that gives one.
    pub(super) types: Option<Value>,
    /// A Search Attribute whose value is the class; it wins where it is set.
    pub(super) attribute: Option<String>,
}

/// One row of a decision table.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Row {
    /// Its id.
    #[schemars(regex(pattern = ID))]
    pub(super) id: String,
    /// Class or classes that it takes; without it, any.
    #[schemars(with = "Option<Vec<String>>")]
    pub(super) class: Option<Value>,
    /// List Filter, evaluated on the listed attributes.
    #[serde(rename = "where")]
    pub(super) filter: Option<String>,
    /// State of the pending Workflow Task. `failing`: its attempt is above 1. `progressing`: it is the
    /// first attempt. `none`: none is pending.
    #[schemars(with = "Option<String>", extend("enum" = ["failing", "progressing", "none"]))]
    pub(super) task: Option<TaskCondition>,
    /// The strategy.
    pub(super) apply: String,
}

/// One unit of a run: an action, or steps that are repeated.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Step {
    /// Its id, unique in the runbook.
    #[schemars(regex(pattern = ID))]
    pub(super) id: String,
    /// What people call it.
    #[schemars(length(min = 1))]
    pub(super) title: Option<String>,
    /// The step is skipped where this expression is false.
    #[schemars(with = "Option<String>", extend("type" = ["string", "boolean"]))]
    pub(super) when: Option<Value>,
    /// What it takes to agree before the step writes: a word that must be typed, several people, or both.
    pub(super) confirm: Option<Confirm>,
    /// How long it may take, counting the time that somebody was attached.
    #[schemars(extend("format" = "interval"))]
    pub(super) timeout: Option<String>,
    /// How reads and idempotent writes are tried again.
    pub(super) retry: Option<Retry>,
    /// What a failure does to the run; default `halt`.
    #[schemars(with = "Option<String>", extend("enum" = ["halt", "continue"]))]
    pub(super) on_failure: Option<OnFailure>,
    /// When to halt.
    pub(super) limits: Option<Limits>,
    /// How fast.
    pub(super) pace: Option<Pace>,
    /// The first few Workflows of each row, then proof that they are healthy.
    pub(super) canary: Option<Canary>,
    /// What it does.
    pub(super) action: Option<String>,
    /// The action's arguments.
    #[serde(default)]
    pub(super) with: Map<String, Value>,
    /// Steps that are repeated until a condition holds.
    #[schemars(with = "Option<RepeatReference>")]
    pub(super) repeat: Option<Repeat>,
}

/// Steps that are repeated until a condition holds.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Repeat {
    /// The condition, evaluated after each iteration: one expression.
    pub(super) until: String,
    /// Pause between iterations.
    #[schemars(extend("format" = "interval"))]
    pub(super) every: String,
    /// How long it may take in all, counting the time that somebody was attached.
    #[schemars(extend("format" = "interval"))]
    pub(super) timeout: String,
    /// The steps, in order.
    #[schemars(with = "Vec<StepReference>", length(min = 1))]
    pub(super) steps: Vec<Step>,
}

struct RepeatReference;
struct StepReference;

impl JsonSchema for RepeatReference {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "RepeatReference".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "$ref": "#/$defs/repeat" })
    }
}

impl JsonSchema for StepReference {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "StepReference".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "$ref": "#/$defs/step" })
    }
}

/// What it takes to agree before the step writes: a word that must be typed, several people, or both.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
pub(super) struct Confirm {
    /// The word; it may hold expressions.
    #[serde(rename = "type")]
    #[schemars(length(min = 1))]
    pub(super) word: Option<String>,
    /// So many people must agree, each for themselves; default 1. The one who began the run is one of them, unless
    /// `not` says otherwise. Each yes counts for four hours, also after the run was resumed, while what is asked stays
    /// the same; one no is a no. `alice` and `alice@example.com` are one person.
    #[schemars(range(min = 1, max = 5))]
    pub(super) by: Option<u32>,
    /// Who does not count. `starter`: whoever began the run or resumed it, with the flags they gave.
    pub(super) not: Option<NotBy>,
}

/// Who does not count among those who agree.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(super) enum NotBy {
    /// Whoever began the run or resumed it.
    Starter,
}

/// How a failing call is tried again; writes that are not idempotent never are.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Retry {
    /// Attempts in all; default 5.
    #[schemars(range(min = 1, max = 100))]
    pub(super) attempts: Option<u32>,
    /// Pause before the second; it doubles; default 1s.
    #[schemars(extend("format" = "interval"))]
    pub(super) backoff: Option<String>,
    /// Longest pause; default 30s.
    #[schemars(extend("format" = "interval"))]
    pub(super) max_backoff: Option<String>,
}

/// When a step halts; cumulative over a loop's iterations; refusals do not count.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Limits {
    /// Most Workflows that it may write to: a number, or a percentage of the count granted.
    #[schemars(with = "Option<BoundShape>")]
    pub(super) max_workflows: Option<Value>,
    /// More failures than this halt it: a number, or a percentage of the count granted.
    #[schemars(with = "Option<BoundShape>")]
    pub(super) max_failures: Option<Value>,
    /// More unhealthy Workflows than this halt it: a number, or a percentage of the count granted.
    #[schemars(with = "Option<BoundShape>")]
    pub(super) max_unhealthy: Option<Value>,
}

struct BoundShape;

impl JsonSchema for BoundShape {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Bound".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": ["integer", "string"], "minimum": 0, "format": "bound" })
    }
}

/// How fast a step may write; the tool finds its own pace below.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Pace {
    /// Writes a second, at most; default 200.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub(super) rate: Option<f64>,
    /// Calls in flight, at most; default 32.
    #[schemars(range(min = 1, max = 1000))]
    pub(super) concurrency: Option<u32>,
}

/// The first few Workflows of each row, then proof that they are healthy.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Canary {
    /// How many a row.
    #[schemars(range(min = 1))]
    pub(super) count: u32,
    /// How long to wait for the proof.
    #[schemars(extend("format" = "interval"))]
    pub(super) wait: String,
}

/// The JSON Schema of `runbook/v1`.
pub fn schema() -> &'static Schema {
    static SCHEMA: LazyLock<Schema> = LazyLock::new(|| Schema::new(generate()));
    &SCHEMA
}

fn generate() -> Value {
    let mut file = schema::of::<File>();
    let mut step = schema::of::<Step>();
    let mut repeat = schema::of::<Repeat>();
    for part in [&mut step, &mut repeat] {
        if let Value::Object(object) = part {
            object.remove("$schema");
            object.remove("title");
        }
    }
    step["properties"]["action"] = action_name(|_| true, "What it does.");
    step["allOf"] = conditions(true);
    let one_or_many = json!({ "description": "Class or classes that it takes; without it, any.", "type": ["string", "array"], "items": { "type": "string" }, "minItems": 1, "uniqueItems": true });
    file["properties"]["steps"]["items"] = json!({ "$ref": "#/$defs/step" });
    let strategy = &mut file["properties"]["strategies"]["additionalProperties"];
    strategy["properties"]["action"] =
        action_name(|subject| subject == Subject::Workflow, "The action.");
    strategy["allOf"] = conditions(false);
    let decision = &mut file["properties"]["decisions"]["additionalProperties"];
    decision["properties"]["rows"]["items"]["properties"]["class"] = one_or_many;
    let classify = json!({
        "description": "Where classes come from: a map of Workflow Types to classes, or `types` and `attribute`.",
        "type": ["string", "object"],
    });
    decision["properties"]["classify"] = classify;
    let queries = &mut file["properties"]["queries"]["additionalProperties"];
    *queries = json!({ "type": "string", "format": "list-filter" });
    file["$defs"] = json!({ "step": step, "repeat": repeat });
    file
}

fn action_name(wanted: impl Fn(Subject) -> bool, description: &str) -> Value {
    let actions = || {
        catalog::ACTIONS
            .iter()
            .filter(|action| wanted(action.subject))
    };
    let lines: Vec<_> = actions()
        .map(|action| format!("`{}`: {}", action.name, action.summary))
        .collect();
    let names: Vec<_> = actions().map(|action| action.name).collect();
    json!({ "description": format!("{description}\n\n{}", lines.join("\n")), "type": "string", "enum": names })
}

/// For each action, what its `with` holds; for a step also that it has `action` or `repeat`, not both.
fn conditions(step: bool) -> Value {
    let mut conditions: Vec<Value> = Vec::new();
    if step {
        conditions.push(json!({
            "if": { "required": ["repeat"] },
            "then": { "properties": { "action": false, "with": false, "canary": false, "limits": false, "pace": false, "retry": false, "confirm": false } },
            "else": { "required": ["action"] },
        }));
    }
    for action in catalog::ACTIONS
        .iter()
        .filter(|action| step || action.subject == Subject::Workflow)
    {
        let mut generator = schema::generator();
        let mut with = (action.arguments)(&mut generator).to_value();
        schema::tidy(&mut with);
        schema::accept_expressions(&mut with);
        if let Value::Object(object) = &mut with {
            object.remove("title");
            object.remove("$schema");
            let given = object
                .get("required")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .filter_map(Value::as_str);
            let given = schema::list(given.collect::<Vec<_>>().into_iter());
            object.insert(
                "description".to_owned(),
                json!(format!(
                    "Arguments of `{}`; {given} must be given.",
                    action.name
                )),
            );
        }
        if action.subject == Subject::Workflow {
            select(&mut with, step);
        }
        let required = with
            .get("required")
            .and_then(Value::as_array)
            .is_some_and(|names| !names.is_empty());
        let mut then = json!({ "properties": { "with": with } });
        if required {
            then["required"] = json!(["with"]);
        }
        conditions.push(json!({
            "if": { "properties": { "action": { "const": action.name } }, "required": ["action"] },
            "then": then,
        }));
    }
    Value::Array(conditions)
}

/// A step says which Workflows; a strategy is given them.
fn select(with: &mut Value, step: bool) {
    if !step {
        if let Some(properties) = with.get_mut("properties").and_then(Value::as_object_mut) {
            properties.remove("select");
        }
        return;
    }
    match with.get_mut("required").and_then(Value::as_array_mut) {
        Some(required) => required.insert(0, json!("select")),
        None => with["required"] = json!(["select"]),
    }
}

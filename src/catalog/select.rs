//! `select:`: which Workflows an action takes. One source (a query, names, a file of names, or what earlier
//! steps had), less what is excluded, and then at most some of them.
//!
//! What is read here is the shape; that there is exactly one source, and that it makes sense, is checked with
//! the runbook.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::Value;

/// Which Workflows a step is about: exactly one of `query`, `ids`, `file` and `ledger`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Select {
    /// List Filter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "list-filter"))]
    pub query: Option<String>,
    /// Workflow IDs, each as text (its current run) or as `{ id, run }`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ids: Option<Vec<Named>>,
    /// A file of Workflow IDs: one a line, `ID,RUN`, tab-separated, or JSON as `temporal workflow list` prints it. A path that is
    /// written here is relative to the runbook's folder and stays in it; one that is wholly a parameter is the
    /// operator's, relative to the working directory, and may lead anywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The folder that the file must not leave; not part of the language.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(skip)]
    pub within: Option<String>,
    /// What earlier steps had, by state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger: Option<OfLedger>,
    /// Which of them are left out: everything that any of these names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exclude: Option<Exclude>,
    /// Only some of them, as the look finds them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<Only>,
    /// At most so many, in the order of the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub limit: Option<u64>,
    /// So many, drawn at random by the run's id: the same ones after a resume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub sample: Option<u64>,
}

/// Workflows that a selection leaves out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
pub struct Exclude {
    /// List Filter; judged again when each Workflow is looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "list-filter"))]
    pub query: Option<String>,
    /// Workflow IDs; one without a run stands for every run of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ids: Option<Vec<Named>>,
    /// A file of Workflow IDs; the path as in `select`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The folder that the file must not leave; not part of the language.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(skip)]
    pub within: Option<String>,
    /// What earlier steps had, by state: every run of these Workflow IDs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger: Option<OfLedger>,
}

/// What must be true of a Workflow besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Only {
    /// Its last Workflow Task failed because the code does not fit the history.
    NonDeterministic,
}

/// A Workflow by name: its ID, and the run where one is meant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Named {
    /// Workflow ID.
    pub id: String,
    /// Run ID; none for whatever run it has now (or, in an exclusion, for every run).
    pub run: Option<String>,
}

impl Named {
    /// By its ID alone.
    pub fn new(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            run: None,
        }
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.run {
            None => f.write_str(&self.id),
            Some(run) => write!(f, "{} (run {run})", self.id),
        }
    }
}

impl Serialize for Named {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.run {
            None => serializer.serialize_str(&self.id),
            Some(run) => serializer.collect_map([("id", &self.id), ("run", run)]),
        }
    }
}

impl<'de> Deserialize<'de> for Named {
    /// Text, or an object with `id`; other keys are left alone, so that a list that an earlier step gave
    /// (`workflows.list`, a command's JSON) can be used as it is.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let (id, run) = match &value {
            Value::String(id) => (Some(id.clone()), None),
            Value::Object(entries) => (
                entries.get("id").and_then(text),
                ["run", "run_id"]
                    .iter()
                    .find_map(|name| text(entries.get(*name)?))
                    .filter(|run| !run.is_empty()),
            ),
            _ => (None, None),
        };
        match id {
            Some(id) if !id.is_empty() => Ok(Self { id, run }),
            _ => Err(de::Error::custom(format!(
                "`{value}` names no Workflow: expected a Workflow ID, or `id` and `run`"
            ))),
        }
    }
}

impl JsonSchema for Named {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Named".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "object"],
            "minLength": 1,
            "properties": {
                "id": { "description": "Workflow ID.", "type": "string", "minLength": 1 },
                "run": { "description": "Run ID; without it, the current run.", "type": "string" },
            },
            "required": ["id"],
            "additionalProperties": false,
        })
    }
}

/// State of a Workflow in a step's ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LedgerState {
    /// Written to, by any strategy.
    Recovered,
    /// Written to: a Versioning Override alone.
    Moved,
    /// Written to: reset to the first Workflow Task, or started anew.
    StartedOver,
    /// Written to: reset to a later point.
    Undone,
    /// Written to: terminated.
    Terminated,
    /// Written to: asked to cancel.
    Cancelled,
    /// Written to: sent a Signal.
    Signalled,
    /// Needed nothing.
    Skipped,
    /// No strategy could be applied.
    Refused,
    /// The write failed, and nothing happened.
    Failed,
    /// Nobody knows what became of the write.
    Unknown,
    /// Recovered, and found healthy.
    Healthy,
    /// Recovered, and nothing has proved its health.
    Unproven,
    /// Recovered, and found failing, unpolled, lost or failed since.
    Unhealthy,
}

impl LedgerState {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Recovered,
        Self::Moved,
        Self::StartedOver,
        Self::Undone,
        Self::Terminated,
        Self::Cancelled,
        Self::Signalled,
        Self::Skipped,
        Self::Refused,
        Self::Failed,
        Self::Unknown,
        Self::Healthy,
        Self::Unproven,
        Self::Unhealthy,
    ];

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Recovered => "recovered",
            Self::Moved => "moved",
            Self::StartedOver => "started_over",
            Self::Undone => "undone",
            Self::Terminated => "terminated",
            Self::Cancelled => "cancelled",
            Self::Signalled => "signalled",
            Self::Skipped => "skipped",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
            Self::Healthy => "healthy",
            Self::Unproven => "unproven",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// Workflows of earlier steps: `[STEP, …]` for those that they wrote to, or `{ steps, states }`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OfLedger {
    /// The steps.
    pub steps: Vec<String>,
    /// In which of these states.
    pub states: Vec<LedgerState>,
}

impl<'de> Deserialize<'de> for OfLedger {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let (steps, states) = match value {
            Value::Object(mut entries) => (
                entries.remove("steps").unwrap_or_default(),
                entries.remove("states"),
            ),
            list => (list, None),
        };
        let custom = |error: serde_json::Error| de::Error::custom(format!("`ledger`: {error}"));
        Ok(Self {
            steps: serde_json::from_value(steps).map_err(custom)?,
            states: match states {
                None => vec![LedgerState::Recovered],
                Some(states) => serde_json::from_value(states).map_err(custom)?,
            },
        })
    }
}

impl JsonSchema for OfLedger {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "OfLedger".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let states = LedgerState::ALL.map(LedgerState::name);
        let steps = || json_schema!({ "description": "Ids of earlier steps.", "type": "array", "items": { "type": "string" }, "minItems": 1 });
        json_schema!({
            "type": ["array", "object"],
            "items": { "type": "string" },
            "minItems": 1,
            "properties": {
                "steps": steps(),
                "states": {
                    "description": "States that count; `recovered` where none is given.",
                    "type": "array",
                    "items": { "type": "string", "enum": states },
                    "minItems": 1,
                },
            },
            "required": ["steps"],
            "additionalProperties": false,
        })
    }
}

impl Select {
    /// By a List Filter alone.
    pub fn by_query(query: impl Into<String>) -> Self {
        Self {
            query: Some(query.into()),
            ..Self::default()
        }
    }

    /// Names of the sources that are given.
    pub fn sources(&self) -> Vec<&'static str> {
        [
            ("query", self.query.is_some()),
            ("ids", self.ids.is_some()),
            ("file", self.file.is_some()),
            ("ledger", self.ledger.is_some()),
        ]
        .into_iter()
        .filter_map(|(name, given)| given.then_some(name))
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_are_texts_or_objects_and_lists_of_earlier_steps_are_taken_as_they_are() {
        let named = |value| serde_json::from_value::<Named>(value).map_err(|_| ());
        assert_eq!(named(json!("a")), Ok(Named::new("a")));
        let with_run = Named {
            id: "a".to_owned(),
            run: Some("r".to_owned()),
        };
        assert_eq!(
            named(json!({ "id": "a", "run": "r" })),
            Ok(with_run.clone())
        );
        let listed = json!({ "id": "a", "run_id": "r", "type": "Order", "status": "Running" });
        assert_eq!(named(listed), Ok(with_run.clone()));
        for wrong in [json!(""), json!({ "run": "r" }), json!(7), json!(null)] {
            assert_eq!(named(wrong), Err(()));
        }
        let text = serde_json::to_value([Named::new("b"), with_run]).expect("json");
        assert_eq!(text, json!(["b", { "id": "a", "run": "r" }]));
    }

    #[test]
    fn a_ledger_without_states_means_what_was_recovered() {
        let ledger = |value| serde_json::from_value::<OfLedger>(value);
        let short = ledger(json!(["a"])).expect("the short form");
        assert_eq!(short.states, [LedgerState::Recovered]);
        let long = ledger(json!({ "steps": ["a"], "states": ["failed"] })).expect("the long form");
        assert_eq!(long.states, [LedgerState::Failed]);
        assert!(ledger(json!({ "steps": ["a"], "states": ["fialed"] })).is_err());
        for state in LedgerState::ALL {
            assert_eq!(
                serde_json::to_value(state).expect("json"),
                json!(state.name())
            );
        }
    }
}

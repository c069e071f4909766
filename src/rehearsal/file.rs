//! The shape of a rehearsal file: parameters, worlds, and scenarios with what goes wrong in each. Data
//! only; who carries it out is elsewhere.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::expect::Expect;
use crate::diagnostic::Diagnostic;
use crate::document::Document;
use crate::runbook::ParameterInput;
use crate::schema;
use crate::simulator::commands::CommandWorld;
use crate::simulator::world::{
    BatchWorld, Controller, Group, LockWorld, OperatorAct, Span, VersionWorld, World,
};
use crate::simulator::{Fault, Kill};

/// The version of the language.
const SCHEMA: &str = "rehearsal/v1";

/// A rehearsal file, `NAME.rehearsal.yaml` beside its runbook.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rehearsal {
    /// Always `rehearsal/v1`.
    pub schema: SchemaName,
    /// Parameters of every scenario, by name.
    #[serde(default)]
    pub params: BTreeMap<String, Value>,
    /// The world of every scenario that does not bring its own.
    #[serde(default)]
    pub world: World,
    /// The scenarios by name, in the order in which they are rehearsed.
    pub scenarios: IndexMap<String, Scenario>,
}

/// The version of the rehearsal language.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SchemaName {
    /// The first.
    #[serde(rename = "rehearsal/v1")]
    V1,
}

/// One scenario.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Scenario {
    /// What happens in it.
    pub title: Option<String>,
    /// Parameters that differ from the file's.
    pub params: BTreeMap<String, Value>,
    /// A world of its own, instead of the file's.
    pub world: Option<World>,
    /// What comes to the world.
    pub with: Additions,
    /// What goes wrong between the tool and the service.
    pub faults: Vec<Fault>,
    /// When the process is killed; each kill is followed by a resume.
    pub kills: Vec<Kill>,
    /// Seed of everything random.
    pub seed: u64,
    /// What is answered when a step asks, by step; a row's canary is `STEP/ROW`. Without an entry: yes, and the word that is
    /// wanted, from as many people as are.
    pub answers: BTreeMap<String, Reaction>,
    /// What somebody does after the run halted or parked: one `resume` each.
    pub then: Vec<Resume>,
    /// What must be true at the end.
    pub expect: Expect,
}

/// What a scenario adds to the file's world.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Additions {
    /// More Workflows.
    pub workflows: Vec<Group>,
    /// Automation that ramps a Version.
    pub controllers: Vec<Controller>,
    /// What people do meanwhile.
    pub operators: Vec<OperatorAct>,
    /// Locks that other runs have.
    pub locks: Vec<LockWorld>,
    /// Versions that are other than in the file's world, as `DEPLOYMENT:BUILD`.
    pub versions: BTreeMap<String, VersionWorld>,
    /// Answers to programs, which come before those of the file's world.
    pub commands: Vec<CommandWorld>,
    /// How the service runs batch jobs, instead of what the file's world says.
    pub batches: Option<BatchWorld>,
}

/// What is answered: `agree`, `decline`, `nobody`, or by whom and with what.
#[derive(Clone, Debug, PartialEq)]
pub enum Reaction {
    /// Yes, and the word that is wanted, from as many people as are.
    Agree,
    /// No.
    Decline,
    /// Nobody is there: the run parks.
    Nobody,
    /// Yes, with these values in the form.
    Form(serde_json::Map<String, Value>),
    /// These people, and nobody else.
    People(People),
}

/// Who answers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct People {
    /// They agree, one after the other.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub agree: Vec<String>,
    /// Then this one says no.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decline: Option<String>,
    /// What they enter.
    #[serde(skip_serializing_if = "serde_json::Map::is_empty")]
    pub form: serde_json::Map<String, Value>,
}

impl Serialize for Reaction {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Agree => "agree".serialize(serializer),
            Self::Decline => "decline".serialize(serializer),
            Self::Nobody => "nobody".serialize(serializer),
            Self::Form(form) => serde_json::json!({ "form": form }).serialize(serializer),
            Self::People(people) => people.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Reaction {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        match value.as_str() {
            Some("agree") => return Ok(Self::Agree),
            Some("decline") => return Ok(Self::Decline),
            Some("nobody") => return Ok(Self::Nobody),
            _ => {}
        }
        let people: People = serde_json::from_value(value).map_err(|_| {
            serde::de::Error::custom(
                "`agree`, `decline`, `nobody`, `form: { … }` or `agree: [NAME, …]` belongs here",
            )
        })?;
        match people.agree.is_empty() && people.decline.is_none() {
            true => Ok(Self::Form(people.form)),
            false => Ok(Self::People(people)),
        }
    }
}

impl JsonSchema for Reaction {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Reaction".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "What is answered.\n\n`agree`: Yes, and the word that is wanted, from as many people as are.\n`decline`: No.\n`nobody`: Nobody is there: the run parks.\n`form: { … }`: Yes, with these values in the form.\n`agree: [NAME, …]`: Yes from these people and nobody else; `operator` is whoever began the run.\n`decline: NAME`: No from this one, after them.",
            "type": ["string", "object"],
            "pattern": "^(agree|decline|nobody)$",
            "properties": {
                "form": { "type": "object", "description": "Values by field." },
                "agree": { "type": "array", "description": "Names of those who agree, in order.", "items": { "type": "string", "minLength": 1 } },
                "decline": { "type": "string", "description": "Name of the one who says no, after them.", "minLength": 1 },
            },
            "minProperties": 1,
            "additionalProperties": false,
        })
    }
}

/// One `resume`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Resume {
    /// How long after the run stopped.
    pub after: Option<Span>,
    /// Entries added to map parameters: `classes: { Refund: move_only }`.
    pub params: BTreeMap<String, BTreeMap<String, String>>,
    /// Take up refused and failed Workflows again.
    pub retry_failed: bool,
    /// Steps that are accepted as they are.
    pub accept: Vec<String>,
    /// Who resumes; else `operator`, who began the run.
    pub by: Option<String>,
    /// What is answered from then on, where it is other than before.
    pub answers: BTreeMap<String, Reaction>,
}

impl Rehearsal {
    /// Reads a rehearsal file.
    ///
    /// # Errors
    /// Every problem of the file, in the order of the text.
    pub fn parse(file: &str, bytes: &[u8]) -> Result<Self, Vec<Diagnostic>> {
        let (document, problems) = Document::parse(file, bytes);
        let Some(document) = document.filter(|_| problems.is_empty()) else {
            return Err(problems);
        };
        if let Some(problem) = schema::another(&document, SCHEMA, &["world", "scenarios"]) {
            return Err(vec![problem]);
        }
        let problems = schema().check(&document);
        if !problems.is_empty() {
            return Err(problems);
        }
        serde_json::from_value(document.root.to_json()).map_err(|error| {
            let message = format!("the file has the wrong shape: {error}");
            vec![Diagnostic::of_file(
                file,
                crate::diagnostic::Kind::Schema,
                message,
            )]
        })
    }

    /// A scenario's world.
    pub fn world(&self, scenario: &Scenario) -> World {
        let mut world = scenario.world.clone().unwrap_or_else(|| self.world.clone());
        world
            .workflows
            .extend(scenario.with.workflows.iter().cloned());
        world
            .controllers
            .extend(scenario.with.controllers.iter().cloned());
        world
            .operators
            .extend(scenario.with.operators.iter().cloned());
        world.locks.extend(scenario.with.locks.iter().cloned());
        world
            .commands
            .splice(0..0, scenario.with.commands.iter().cloned());
        if let Some(batches) = &scenario.with.batches {
            world.batches = batches.clone();
        }
        for (name, version) in &scenario.with.versions {
            if let Some((deployment, build)) = name.split_once(':')
                && let Some(deployment) = world.deployments.get_mut(deployment)
            {
                deployment
                    .versions
                    .insert(build.to_owned(), version.clone());
            }
        }
        world
    }

    /// A scenario's parameters.
    pub fn parameters(&self, scenario: &Scenario) -> ParameterInput {
        let mut input = ParameterInput::default();
        for (name, value) in self.params.iter().chain(&scenario.params) {
            input.value(name, value.clone());
        }
        input
    }
}

/// The JSON Schema of rehearsal files.
pub fn schema() -> &'static crate::schema::Schema {
    static SCHEMA: std::sync::OnceLock<crate::schema::Schema> = std::sync::OnceLock::new();
    SCHEMA.get_or_init(|| crate::schema::Schema::new(crate::schema::of::<Rehearsal>()))
}

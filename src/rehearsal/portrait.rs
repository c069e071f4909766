//! A world for rehearsals from what the live service holds, so that this incident can be rehearsed before it is
//! touched.
//!
//! Pure: what was read in, text out. It keeps types, counts, statuses, Versions, Overrides, task queues, pending
//! Workflow Tasks, routing and, of Search Attributes, those that the runbook's queries ask for. It keeps no payload
//! and no Workflow ID unless it is asked to. Workflows that differ in nothing of that become one group, so that
//! 10,000 of them make a small file. What the service does not tell, such as what Workers will do, is left to whoever
//! edits it.

mod group;
mod yaml;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::action::population::{Population, Resident, version_of};
use crate::action::survey::Subject;
use crate::decision::task_state;
use crate::list_filter::{AttributeType, Filter, system_attribute};
use crate::plan::Plan;
use crate::runbook::{Runbook, TaskCondition};
use crate::survey::{Routing, VersionStatus};

/// How every such file begins: by that it is known.
pub const FIRST_LINE: &str =
    "# A rehearsal's world, made from a live service by `runbook plan --world`.";
/// The scenario of such a file.
pub const SCENARIO: &str = "as_it_is";
/// Where Workflows without a Worker Deployment are put, because every Workflow of a rehearsal has one.
const STAND_IN: (&str, &str) = ("unversioned", "stand-in");
/// What a rehearsal's Workflows have as the live ones do, of Temporal's own attributes.
const KEPT: [&str; 6] = [
    "WorkflowType",
    "ExecutionStatus",
    "TaskQueue",
    "TemporalWorkerDeployment",
    "TemporalWorkerDeploymentVersion",
    "TemporalWorkflowVersioningBehavior",
];

/// A file, and what it does not have of the live service.
#[derive(Clone, Debug)]
pub struct Portrait {
    /// `rehearsal/v1`, as YAML.
    pub text: String,
    /// A sentence each; they are in the text too.
    pub cautions: Vec<String>,
}

/// What it is made of.
pub struct Sitting<'a> {
    /// The runbook.
    pub runbook: &'a Runbook,
    /// Its plan: parameters, and who was asked.
    pub plan: &'a Plan,
    /// Its tables.
    pub subject: &'a Subject,
    /// Who is there.
    pub population: &'a Population,
    /// Whether Workflow IDs are kept.
    pub ids: bool,
}

impl Sitting<'_> {
    /// Makes the file.
    pub fn portrait(&self) -> Portrait {
        let mut cautions = self.population.gaps.clone();
        let attributes = self.attributes(&mut cautions);
        let groups = group::groups(self, &attributes, &mut cautions);
        let mut world = Map::new();
        world.insert(
            "namespace".to_owned(),
            json!(self.plan.survey.preflight.namespace),
        );
        if !attributes.is_empty() {
            let types = attributes
                .iter()
                .map(|(name, kind)| (name.clone(), json!(kind)));
            world.insert("attributes".to_owned(), Value::Object(types.collect()));
        }
        world.insert(
            "deployments".to_owned(),
            self.deployments(&groups, &mut cautions),
        );
        world.insert("workflows".to_owned(), Value::Array(groups));
        // The service tells none of its limits; these are its usual ones.
        world.insert("limits".to_owned(), json!({ "visibility_rate_limit": 10 }));
        let title = format!("As the service was at {:.0}", self.plan.created);
        let file = json!({
            "schema": "rehearsal/v1",
            "params": self.parameters(&mut cautions),
            "world": world,
            "scenarios": { SCENARIO: { "title": title } },
        });
        Portrait {
            text: self.text(&file, &cautions),
            cautions,
        }
    }

    fn text(&self, file: &Value, cautions: &[String]) -> String {
        let preflight = &self.plan.survey.preflight;
        let one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let mut text = format!(
            "{FIRST_LINE}\n# Runbook {}, namespace {} on {}, read {:.0}.\n",
            self.runbook.name, preflight.namespace, preflight.address, self.plan.created
        );
        text.push_str(
            "# What the service does not tell is to be filled in: what each Version's Workers do (`behaves`) and when\n\
             # somebody stops them (`stops_when: drained`), how programs answer (`commands`), what is expected (`expect`).\n",
        );
        for caution in cautions {
            text.push_str(&format!("# Not as it is: {}.\n", one_line(caution)));
        }
        text.push_str(&yaml::text(file));
        text
    }

    /// A secret is not known here; something has to be there.
    fn parameters(&self, cautions: &mut Vec<String>) -> Value {
        let mut params: Map<String, Value> = self
            .plan
            .parameters
            .values()
            .map(|(name, value)| (name.to_owned(), value.clone()))
            .collect();
        for (name, _) in self
            .runbook
            .params
            .iter()
            .filter(|(_, parameter)| parameter.secret)
        {
            params.insert(name.clone(), json!("made-up"));
            cautions.push(format!("the secret parameter `{name}` is made up"));
        }
        Value::Object(params)
    }

    /// The Search Attributes that the tables ask for, with their types; and what is asked for and cannot be kept.
    fn attributes(&self, cautions: &mut Vec<String>) -> BTreeMap<String, String> {
        let mut asked: BTreeSet<String> = BTreeSet::new();
        let mut note = |filter: &Filter| {
            asked.extend(filter.attribute_names().into_iter().map(str::to_owned));
        };
        for table in self.subject.tables.values() {
            note(&table.scope);
            table
                .rows
                .iter()
                .filter_map(|row| row.filter.as_ref())
                .for_each(&mut note);
        }
        let classes = self
            .subject
            .tables
            .values()
            .filter_map(|table| table.attribute.clone());
        asked.extend(classes);
        let mut kept = BTreeMap::new();
        for name in asked.iter().filter(|name| !KEPT.contains(&name.as_str())) {
            let declared = self.plan.survey.preflight.attributes.get(name);
            let custom = system_attribute(name).is_none();
            match declared.and_then(|kind| AttributeType::parse(kind)) {
                Some(kind) if custom => {
                    kept.insert(name.clone(), snake(kind.name()));
                }
                _ if name == "WorkflowId" && self.ids => {}
                _ => cautions.push(format!(
                    "the queries ask for `{name}`, which is other here: counts may differ"
                )),
            }
        }
        kept
    }

    fn deployments(&self, groups: &[Value], cautions: &mut Vec<String>) -> Value {
        let mut deployments = Map::new();
        let failing: BTreeSet<String> = self
            .population
            .residents
            .iter()
            .filter(|one| {
                one.look
                    .as_ref()
                    .is_some_and(|look| task_state(look) == TaskCondition::Failing)
            })
            .filter_map(|one| Some(version_of(&one.listed)?.to_string()))
            .collect();
        for (name, routing) in &self.population.deployments {
            let of_name = |group: &&Value| group["deployment"] == **name;
            let used = groups.iter().filter(of_name).flat_map(|group| {
                let named = ["version", "versioning_override"];
                named.into_iter().filter_map(|key| group[key].as_str())
            });
            let used: BTreeSet<&str> = used.collect();
            if let Some(routing) = routing {
                if routing.ramping_unversioned {
                    cautions.push(format!(
                        "in `{name}` unversioned Workers ramp, and do not here"
                    ));
                }
                deployments.insert(name.clone(), self.deployment(routing, &used, &failing));
            } else if !used.is_empty() {
                // Its Workflows outlived it.
                let versions = used
                    .into_iter()
                    .map(|build| (build.to_owned(), json!({ "workers": false })));
                let versions: Map<String, Value> = versions.collect();
                deployments.insert(name.clone(), json!({ "versions": versions }));
            }
        }
        if groups.iter().any(|group| group["deployment"] == STAND_IN.0) || deployments.is_empty() {
            let queues: BTreeSet<&str> = self
                .population
                .residents
                .iter()
                .filter(|one| version_of(&one.listed).is_none())
                .map(|one| one.listed.task_queue.as_str())
                .collect();
            let version = json!({ STAND_IN.1: { "task_queues": queues } });
            deployments.insert(
                STAND_IN.0.to_owned(),
                json!({ "current": STAND_IN.1, "versions": version }),
            );
        }
        Value::Object(deployments)
    }

    fn deployment(
        &self,
        routing: &Routing,
        used: &BTreeSet<&str>,
        failing: &BTreeSet<String>,
    ) -> Value {
        let mut versions = Map::new();
        for info in &routing.versions {
            let mut version = Map::new();
            let queues = self
                .population
                .queues
                .get(&info.version)
                .cloned()
                .unwrap_or_default();
            if !queues.is_empty() {
                version.insert("task_queues".to_owned(), json!(queues));
            }
            if failing.contains(&info.version.to_string()) {
                version.insert("behaves".to_owned(), json!("fail_tasks"));
            }
            let status = match info.status {
                VersionStatus::Draining => Some("draining"),
                VersionStatus::Drained => Some("drained"),
                VersionStatus::Inactive | VersionStatus::Created => Some("inactive"),
                _ => None,
            };
            version.extend(status.map(|status| ("status".to_owned(), json!(status))));
            versions.insert(info.version.build_id.clone(), Value::Object(version));
        }
        for build in used
            .iter()
            .filter(|build| !versions.contains_key(**build))
            .collect::<Vec<_>>()
        {
            versions.insert((*build).to_owned(), json!({ "workers": false }));
        }
        let mut deployment = Map::new();
        let mut routed = |key: &str, version: &Option<crate::survey::Version>| {
            if let Some(version) = version {
                let known = json!({});
                versions.entry(version.build_id.clone()).or_insert(known);
                deployment.insert(key.to_owned(), json!(version.build_id));
            }
        };
        routed("current", &routing.current);
        routed("ramping", &routing.ramping);
        if routing.ramping.is_some() {
            deployment.insert("ramp_percentage".to_owned(), json!(routing.ramp_percentage));
        }
        if !routing.manager_identity.is_empty() {
            deployment.insert(
                "manager_identity".to_owned(),
                json!(routing.manager_identity),
            );
        }
        deployment.insert("versions".to_owned(), Value::Object(versions));
        Value::Object(deployment)
    }
}

/// `KeywordList` as `keyword_list`.
fn snake(name: &str) -> String {
    let mut snake = String::new();
    for (index, letter) in name.chars().enumerate() {
        if letter.is_ascii_uppercase() && index > 0 {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

/// When it started, before the portrait was made: in whole seconds.
fn ago(at: Option<Timestamp>, now: Timestamp) -> Option<u64> {
    let seconds = now.duration_since(at?).as_secs();
    u64::try_from(seconds).ok()
}

/// Whether the resident has a status that a rehearsal's group can have.
fn is_open(one: &Resident) -> bool {
    one.listed.status.is_open()
}

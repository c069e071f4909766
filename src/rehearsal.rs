//! World, faults, answers, expectations → a run against the simulator, in simulated time.
//!
//! The same engine, actions and client as in earnest; only the channel, the clock and the operator
//! are others. A rehearsal asks nobody, and fails when an expectation does not hold: it is also a
//! runbook's regression test.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::BoxFuture;
use indexmap::IndexMap;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::action::World as Service;
use crate::clock::Clock;
use crate::connection::{Access, Connection, Settings};
use crate::diagnostic::Diagnostic;
use crate::document::Document;
use crate::journal::{Journal, Memory};
use crate::plan::LOOK_LIMIT;
use crate::record::{Body, Flags, Means, Record, RunId, StepStatus};
use crate::run::begin::{self, Unplanned};
use crate::run::kill::{KillSwitch, Point};
use crate::run::{Asking, Broken, Display, Loop, Operator, Progress, Reply};
use crate::runbook::{ParameterInput, Runbook};
use crate::simulator::world::{Controller, Group, OperatorAct, Span, VersionWorld, World};
use crate::simulator::{Facts, Fault, Kill, Simulator, WorldError};
use crate::steps::{Finish, Machine};
use crate::survey::Status;

/// When every rehearsal begins: a Monday in winter, so that output does not change from day to day.
const BEGINNING: &str = "2026-01-05T03:00:00Z";

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
    /// What the operator says when a step asks, by step; a row's canary is `STEP/ROW`. Without an entry: yes, and the word that is wanted.
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
    /// Versions that are other than in the file's world, as `DEPLOYMENT:BUILD`.
    pub versions: BTreeMap<String, VersionWorld>,
}

/// What an operator answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reaction {
    /// Yes, and the word that is wanted.
    #[serde(rename = "agree")]
    Agree,
    /// No.
    #[serde(rename = "decline")]
    Decline,
    /// Nobody is there: the run parks.
    #[serde(rename = "nobody")]
    Nobody,
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
}

/// What must be true at the end.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Expect {
    /// Exit codes of `exec` and of each `resume`, in order; a kill is 137. Without it: the last one is 0.
    pub exits: Option<Vec<u8>>,
    /// Steps.
    pub steps: BTreeMap<String, ExpectStep>,
    /// Groups of Workflows.
    pub workflows: Vec<ExpectWorkflows>,
    /// Versions, as `DEPLOYMENT:BUILD`: a status in lower case, or `absent`.
    pub versions: BTreeMap<String, String>,
    /// Build ID of the Current Version, by deployment.
    pub current: BTreeMap<String, String>,
    /// How many questions were asked.
    pub questions: Option<u32>,
    /// How many writes reached the service.
    pub writes: Option<u64>,
}

/// What must be true of a step.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ExpectStep {
    /// How it ended: succeeded, skipped, failed, halted, accepted.
    pub status: Option<String>,
    /// Fields of its output.
    pub output: BTreeMap<String, Value>,
    /// What its message holds.
    pub message: Option<String>,
}

/// What must be true of each Workflow of a type, or with an id that begins so.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ExpectWorkflows {
    /// Workflow Type.
    #[serde(rename = "type")]
    pub workflow_type: Option<String>,
    /// How their Workflow IDs begin.
    pub id: Option<String>,
    /// How many there are.
    pub count: Option<usize>,
    /// Status of the current run, as a List Filter spells it.
    pub status: Option<String>,
    /// Where it goes, as `DEPLOYMENT:BUILD`.
    pub version: Option<String>,
    /// The Version that completed its last Workflow Task.
    pub ran_on: Option<String>,
    /// Resets, by anybody.
    pub resets: Option<u32>,
    /// Starts over an earlier run.
    pub restarts: Option<u32>,
    /// Changes of the Versioning Override.
    pub moves: Option<u32>,
    /// Runs that it has.
    pub runs: Option<usize>,
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

/// Why a rehearsal did not take place.
#[derive(Clone, Debug)]
pub enum Impossible {
    /// Parameters.
    Parameters(Vec<Diagnostic>),
    /// The world does not hold together.
    World(String),
    /// No plan.
    Unplanned(Unplanned),
    /// Something else.
    Other(String),
}

/// What came of a scenario.
#[derive(Debug)]
pub struct Rehearsed {
    /// The journal.
    pub records: Vec<Record>,
    /// What the simulated service knows.
    pub facts: Facts,
    /// Exit codes, attachment by attachment.
    pub exits: Vec<u8>,
    /// Expectations that do not hold, in words; none is success.
    pub failures: Vec<String>,
    /// Writes that reached the service.
    pub writes: usize,
    /// Calls that the service refused for their rate.
    pub refused: u64,
}

/// How a rehearsal is run.
pub struct Rehearsing<'a> {
    /// The runbook.
    pub runbook: &'a Runbook,
    /// The file.
    pub rehearsal: &'a Rehearsal,
    /// Name of the scenario.
    pub name: &'a str,
    /// Another seed than the scenario's.
    pub seed: Option<u64>,
    /// Somebody who is asked instead of the scenario's answers.
    pub operator: Option<&'a dyn Operator>,
    /// Whoever watches.
    pub display: &'a mut dyn Display,
    /// A kill switch for tests, for the first attachment.
    pub kill: Option<Point>,
}

/// Runs one scenario. The caller is on a current-thread runtime whose clock is paused.
///
/// # Errors
/// Where the scenario could not begin.
pub async fn rehearse(mut rehearsing: Rehearsing<'_>) -> Result<Rehearsed, Impossible> {
    let stage = Stage::set(&rehearsing).await?;
    let memory = Memory::default();
    let scenario = &rehearsing.rehearsal.scenarios[rehearsing.name];
    let kills: Vec<(Option<Point>, Option<Span>)> = scenario
        .kills
        .iter()
        .map(|kill| (point(kill), kill.resumed_after))
        .collect();
    let mut kills = rehearsing
        .kill
        .map(|kill| (Some(kill), None))
        .into_iter()
        .chain(kills);
    let mut then = scenario.then.iter();
    let mut exits = Vec::new();
    let mut machine = Some(stage.fresh(&rehearsing).await?);
    let mut flags = Flags::default();
    // A scenario ends by itself: each round uses up a kill or a resume.
    loop {
        let (kill, resumed_after) = kills.next().unwrap_or_default();
        let fresh = machine.take();
        let exit = stage
            .attach(
                &mut rehearsing,
                &memory,
                fresh,
                std::mem::take(&mut flags),
                kill,
            )
            .await?;
        exits.push(exit);
        if exit == KILLED {
            let pause = resumed_after.unwrap_or(Span::seconds(60));
            stage.clock.sleep(pause.0).await;
            continue;
        }
        let Some(resume) = then.next().filter(|_| exit != 0) else {
            break;
        };
        stage
            .clock
            .sleep(resume.after.unwrap_or(Span::seconds(60)).0)
            .await;
        flags = Flags {
            entries: resume.params.clone(),
            retry_failed: resume.retry_failed,
            accept: resume.accept.clone(),
            ..Flags::default()
        };
    }
    let records = read_back(&memory)?.0;
    let facts = stage.simulator.facts();
    let failures = check(
        &scenario.expect,
        &records,
        &facts,
        &exits,
        stage.simulator.write_count(),
    );
    Ok(Rehearsed {
        records,
        facts,
        exits,
        failures,
        writes: stage.simulator.write_count(),
        refused: stage.writing.refused(),
    })
}

/// Exit code of a killed process.
const KILLED: u8 = 137;

fn point(kill: &Kill) -> Option<Point> {
    kill.at_record
        .map(Point::Record)
        .or(kill.before_effect.map(Point::AfterIntent))
        .or(kill.after_effect.map(Point::AfterEffect))
}

/// The simulated service and the ways to it.
struct Stage {
    clock: Clock,
    simulator: Simulator,
    reading: Connection,
    writing: Connection,
    run: RunId,
}

impl Stage {
    async fn set(rehearsing: &Rehearsing<'_>) -> Result<Self, Impossible> {
        let scenario = rehearsing
            .rehearsal
            .scenarios
            .get(rehearsing.name)
            .ok_or_else(|| {
                Impossible::Other(format!("there is no scenario `{}`", rehearsing.name))
            })?;
        let beginning: Timestamp = BEGINNING
            .parse()
            .map_err(|_| Impossible::Other("the beginning is no time".to_owned()))?;
        let clock = Clock::simulated(beginning);
        let world = rehearsing.rehearsal.world(scenario);
        let seed = rehearsing.seed.unwrap_or(scenario.seed);
        let simulator =
            Simulator::new(&world, &scenario.faults, seed, clock.clone()).map_err(world_error)?;
        let settings = Settings {
            address: "simulator:7233".to_owned(),
            namespace: world.namespace.clone(),
            identity: "runbook@rehearsal".to_owned(),
            ..Settings::default()
        };
        let open = async |access| {
            Connection::in_memory(&settings, simulator.channel(), access)
                .await
                .map_err(|error| Impossible::Other(error.to_string()))
        };
        Ok(Self {
            reading: open(Access::ReadOnly).await?,
            writing: open(Access::ReadWrite).await?,
            run: RunId(format!("rb-rehearsal-{}", rehearsing.name)),
            clock,
            simulator: simulator.clone(),
        })
    }

    fn world(&self, connection: &Connection) -> Service {
        Service::new(connection.clone(), self.clock.clone(), self.run.clone())
    }

    /// The machine of a run that begins.
    async fn fresh(&self, rehearsing: &Rehearsing<'_>) -> Result<Machine, Impossible> {
        let scenario = &rehearsing.rehearsal.scenarios[rehearsing.name];
        let runbook = rehearsing.runbook;
        let input = rehearsing.rehearsal.parameters(scenario);
        let parameters = runbook
            .resolve_parameters(&input)
            .map_err(Impossible::Parameters)?;
        let plan = begin::plan(
            &self.world(&self.reading),
            runbook,
            parameters.clone(),
            LOOK_LIMIT,
        )
        .await
        .map_err(Impossible::Unplanned)?;
        let mut machine = Machine::new(
            Arc::new(runbook.clone()),
            plan,
            parameters,
            self.run.clone(),
            false,
        );
        machine.open(env!("CARGO_PKG_VERSION"), true, self.clock.now());
        Ok(machine)
    }

    /// One attachment: `exec` where there is a machine, else `resume` from the journal.
    async fn attach(
        &self,
        rehearsing: &mut Rehearsing<'_>,
        memory: &Memory,
        fresh: Option<Machine>,
        flags: Flags,
        kill: Option<Point>,
    ) -> Result<u8, Impossible> {
        let (mut machine, journal) = match fresh {
            Some(machine) => (machine, Journal::in_memory(memory)),
            None => from_journal(memory)?,
        };
        machine.attach(
            "rehearsal",
            1,
            "operator",
            flags,
            Vec::new(),
            self.clock.now(),
        );
        let scenario = &rehearsing.rehearsal.scenarios[rehearsing.name];
        let scripted = Scripted {
            answers: scenario.answers.clone(),
        };
        let (_keep, interrupts) = tokio::sync::mpsc::unbounded_channel();
        let mut running = Loop {
            machine,
            journal,
            world: self.world(&self.writing),
            operator: rehearsing.operator.unwrap_or(&scripted),
            display: rehearsing.display,
            interrupts,
            kill: kill.map(KillSwitch::in_loop).unwrap_or_default(),
        };
        match running.run().await {
            Ok(Finish::Succeeded) => Ok(0),
            Ok(Finish::Halted) => Ok(1),
            Ok(Finish::Parked) => Ok(3),
            Ok(Finish::Interrupted) | Err(Broken::Abandoned) => Ok(130),
            Err(Broken::Killed) => Ok(KILLED),
            Err(Broken::Journal(error)) => Err(Impossible::Other(error.to_string())),
        }
    }
}

fn world_error(error: WorldError) -> Impossible {
    Impossible::World(error.to_string())
}

/// What a run left behind: its records, and the journal to go on with.
fn read_back(memory: &Memory) -> Result<(Vec<Record>, Journal), Impossible> {
    let mut records = Vec::new();
    let opened = Journal::open_memory(memory, |record| records.push(record))
        .map_err(|error| Impossible::Other(error.to_string()))?;
    Ok((records, opened.journal))
}

/// A machine that goes on where a killed run was.
fn from_journal(memory: &Memory) -> Result<(Machine, Journal), Impossible> {
    let (records, journal) = read_back(memory)?;
    let (first, rest) = records
        .split_first()
        .ok_or_else(|| Impossible::Other("the journal is empty".to_owned()))?;
    let mut machine =
        begin::machine_of(first, |_, parameters| Ok(parameters)).map_err(Impossible::Other)?;
    for record in rest {
        machine.fold(record).map_err(Impossible::Other)?;
    }
    Ok((machine, journal))
}

/// Answers as the scenario says.
struct Scripted {
    answers: BTreeMap<String, Reaction>,
}

impl Operator for Scripted {
    fn ask<'a>(&'a self, asking: &'a Asking) -> BoxFuture<'a, Reply> {
        let reaction = match &asking.what {
            crate::record::Question::Canary { row, .. } => {
                self.answers.get(&format!("{}/{row}", asking.place.step))
            }
            _ => self.answers.get(&asking.place.step),
        };
        let by = "operator".to_owned();
        let reply = match reaction.copied().unwrap_or(Reaction::Agree) {
            Reaction::Agree => Reply::Yes {
                by,
                note: String::new(),
                means: Means::Rehearsal,
            },
            Reaction::Decline => Reply::No {
                by,
                means: Means::Rehearsal,
            },
            Reaction::Nobody => Reply::Nobody,
        };
        Box::pin(async move { reply })
    }
}

/// Nobody watches.
#[derive(Debug, Default)]
pub struct Unwatched;

impl Display for Unwatched {
    fn record(&mut self, _: &Record) {}
    fn progress(&mut self, _: &Progress) {}
}

/// Keeps records for whoever wants them afterwards; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Recorded(pub Arc<Mutex<Vec<Record>>>);

impl Display for Recorded {
    fn record(&mut self, record: &Record) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(record.clone());
    }
    fn progress(&mut self, _: &Progress) {}
}

/// Expectations that do not hold.
fn check(
    expect: &Expect,
    records: &[Record],
    facts: &Facts,
    exits: &[u8],
    writes: usize,
) -> Vec<String> {
    let mut failures = Vec::new();
    match &expect.exits {
        Some(wanted) if wanted != exits => {
            failures.push(format!("exit codes are {exits:?}, expected {wanted:?}"))
        }
        None if exits.last() != Some(&0) => failures.push(format!(
            "the last exit code is {:?}, expected 0",
            exits.last()
        )),
        _ => {}
    }
    check_steps(expect, records, &mut failures);
    for group in &expect.workflows {
        check_workflows(group, facts, &mut failures);
    }
    for (version, wanted) in &expect.versions {
        let is = facts.versions.get(version).map_or("absent", String::as_str);
        if is != wanted {
            failures.push(format!("Version {version} is {is}, expected {wanted}"));
        }
    }
    for (deployment, wanted) in &expect.current {
        let is = facts
            .deployments
            .get(deployment)
            .and_then(|routing| routing.current.as_deref())
            .unwrap_or("none");
        if is != wanted {
            failures.push(format!(
                "the Current Version of {deployment} is {is}, expected {wanted}"
            ));
        }
    }
    let questions = u32::try_from(
        records
            .iter()
            .filter(|record| matches!(record.body, Body::Asked { .. }))
            .count(),
    )
    .unwrap_or(u32::MAX);
    if let Some(wanted) = expect.questions.filter(|wanted| *wanted != questions) {
        failures.push(format!(
            "{questions} questions were asked, expected {wanted}"
        ));
    }
    if let Some(wanted) = expect.writes.filter(|wanted| *wanted != writes as u64) {
        failures.push(format!(
            "{writes} writes reached the service, expected {wanted}"
        ));
    }
    failures
}

fn check_steps(expect: &Expect, records: &[Record], failures: &mut Vec<String>) {
    for (id, wanted) in &expect.steps {
        let last = records.iter().rev().find_map(|record| match &record.body {
            Body::StepEnded {
                place,
                status,
                output,
                message,
            } if place.step == *id => Some((*status, output, message)),
            _ => None,
        });
        let Some((status, output, message)) = last else {
            if wanted.status.as_deref() != Some("not reached") {
                failures.push(format!("step `{id}` was not reached"));
            }
            continue;
        };
        let name = status_name(status);
        if wanted.status.as_ref().is_some_and(|wanted| wanted != name) {
            failures.push(format!(
                "step `{id}` {name} ({message}), expected {}",
                wanted.status.as_deref().unwrap_or_default()
            ));
        }
        for (field, value) in &wanted.output {
            let is = output.get(field).unwrap_or(&Value::Null);
            if is != value {
                failures.push(format!(
                    "`{field}` of step `{id}` is {is}, expected {value}"
                ));
            }
        }
        if let Some(part) = wanted
            .message
            .as_ref()
            .filter(|part| !message.contains(*part))
        {
            failures.push(format!(
                "step `{id}` says \"{message}\", expected \"{part}\""
            ));
        }
    }
}

fn status_name(status: StepStatus) -> &'static str {
    match status {
        StepStatus::Succeeded => "succeeded",
        StepStatus::Skipped => "skipped",
        StepStatus::Failed => "failed",
        StepStatus::Halted => "halted",
        StepStatus::Accepted => "accepted",
        StepStatus::Rehearsed => "rehearsed",
    }
}

fn check_workflows(wanted: &ExpectWorkflows, facts: &Facts, failures: &mut Vec<String>) {
    let name = wanted
        .workflow_type
        .clone()
        .or(wanted.id.clone())
        .unwrap_or_default();
    let found = facts.workflows.iter().filter(|(id, workflow)| {
        wanted
            .workflow_type
            .as_ref()
            .is_none_or(|name| workflow.workflow_type == *name)
            && wanted
                .id
                .as_ref()
                .is_none_or(|start| id.starts_with(start.as_str()))
    });
    let mut count = 0;
    let mut shown = 0;
    for (id, is) in found {
        count += 1;
        let mut wrong = Vec::new();
        let mut compare = |what: &str, is: String, wanted: Option<String>| {
            if let Some(wanted) = wanted.filter(|wanted| *wanted != is) {
                wrong.push(format!("{what} is {is}, expected {wanted}"));
            }
        };
        let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".to_owned());
        compare(
            "status",
            Status::name(is.status).to_owned(),
            wanted.status.clone(),
        );
        compare("Version", text(&is.version), wanted.version.clone());
        compare(
            "last Version that ran it",
            text(&is.ran_on),
            wanted.ran_on.clone(),
        );
        compare(
            "number of resets",
            is.done.resets.to_string(),
            wanted.resets.map(|n| n.to_string()),
        );
        compare(
            "number of restarts",
            is.done.restarts.to_string(),
            wanted.restarts.map(|n| n.to_string()),
        );
        compare(
            "number of moves",
            is.done.moves.to_string(),
            wanted.moves.map(|n| n.to_string()),
        );
        compare(
            "number of runs",
            is.runs.to_string(),
            wanted.runs.map(|n| n.to_string()),
        );
        if !wrong.is_empty() {
            shown += 1;
            if shown <= 3 {
                failures.push(format!("Workflow {id}: {}", wrong.join(", ")));
            }
        }
    }
    if shown > 3 {
        failures.push(format!(
            "{} more Workflows of {name} are not as expected",
            shown - 3
        ));
    }
    if let Some(wanted) = wanted.count.filter(|wanted| *wanted != count) {
        failures.push(format!(
            "there are {count} Workflows of {name}, expected {wanted}"
        ));
    }
}

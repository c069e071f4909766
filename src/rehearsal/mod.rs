//! World, faults, answers, expectations → a run against the simulator, in simulated time.
//!
//! The same engine, actions and client as in earnest; only the channel, the clock and the operator
//! are others. A rehearsal asks nobody, and fails when an expectation does not hold: it is also a
//! runbook's regression test.

mod expect;
mod file;
pub mod portrait;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::BoxFuture;
use jiff::Timestamp;

use crate::action::World as Service;
use crate::action::command::{Answer, Answers, Commands, tell};
use crate::clock::Clock;
use crate::connection::{Access, Connection, Settings};
use crate::diagnostic::Diagnostic;
use crate::journal::{Journal, Memory};
use crate::plan::LOOK_LIMIT;
use crate::record::{Flags, Record, RunId, Witness};
use crate::run::begin::{self, Unplanned};
use crate::run::kill::{KillSwitch, Point};
use crate::run::{Asking, Broken, Display, Loop, Operator, Progress, Reply};
use crate::runbook::Runbook;
use crate::simulator::commands::{CommandWorld, answering};
use crate::simulator::world::Span;
use crate::simulator::{Facts, Kill, Simulator, WorldError};
use crate::steps::notice::Whereabouts;
use crate::steps::{Finish, Machine};

pub use expect::{Expect, ExpectBatches, ExpectStep, ExpectWorkflows};
pub use file::{Additions, People, Reaction, Rehearsal, Resume, Scenario, SchemaName, schema};

/// When every rehearsal begins: a Monday in winter, so that output does not change from day to day.
const BEGINNING: &str = "2026-01-05T03:00:00Z";

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
    /// What `notify` would have been told: the event, and the program.
    pub told: Vec<String>,
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
    let mut people = Cast {
        user: OPERATOR.to_owned(),
        answers: scenario.answers.clone(),
    };
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
                &people,
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
        people.user = resume.by.clone().unwrap_or_else(|| OPERATOR.to_owned());
        people.answers.extend(resume.answers.clone());
        flags = Flags {
            entries: resume.params.clone(),
            retry_failed: resume.retry_failed,
            accept: resume.accept.clone(),
            ..Flags::default()
        };
    }
    let records = read_back(&memory)?.0;
    let facts = stage.simulator.facts();
    let mut failures = expect::check(
        &scenario.expect,
        &records,
        &facts,
        &exits,
        stage.simulator.write_count(),
    );
    let unanswered = stage.commands.unanswered();
    failures.extend(unanswered.iter().map(|line| {
        format!("the world has no answer for the command `{line}`: add one to `world.commands`")
    }));
    let told = stage.commands.told();
    if let Some(expected) = &scenario.expect.notified {
        let events = |text: &str| text.split(':').next().unwrap_or_default().to_owned();
        let found: Vec<String> = told.iter().map(|line| events(line)).collect();
        let wanted: Vec<&str> = expected.iter().map(|event| event.name()).collect();
        if found != wanted {
            let (found, wanted) = (found.join(", "), wanted.join(", "));
            failures.push(format!("`notify` was told [{found}], expected [{wanted}]"));
        }
    }
    Ok(Rehearsed {
        told,
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
/// Who begins a rehearsed run.
const OPERATOR: &str = "operator";

/// Who carries a rehearsed run out, and what is answered.
struct Cast {
    user: String,
    answers: BTreeMap<String, Reaction>,
}

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
    commands: Commands,
}

/// Programs are answered by the world, each entry as often as it says.
struct Answered {
    commands: Vec<CommandWorld>,
    used: Mutex<Vec<u32>>,
}

impl Answered {
    fn by(commands: &[CommandWorld]) -> Self {
        Self {
            commands: commands.to_vec(),
            used: Mutex::new(vec![0; commands.len()]),
        }
    }
}

impl Answers for Answered {
    fn answer(&self, argv: &[String]) -> Option<Answer> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let index = answering(&self.commands, &used, argv)?;
        used[index] += 1;
        let it = &self.commands[index];
        Some(Answer {
            exit_code: it.exit,
            stdout: it.stdout.clone(),
            stderr: it.stderr.clone(),
            takes: it.takes.unwrap_or_default().0,
        })
    }
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
            commands: Commands::rehearsed(Arc::new(Answered::by(&world.commands))),
        })
    }

    fn whereabouts(&self) -> Whereabouts {
        Whereabouts {
            state: format!("{}.jsonl", self.run),
            resume: format!("runbook resume {}", self.run),
            address: self.writing.address().to_owned(),
            namespace: self.writing.namespace().to_owned(),
        }
    }

    fn world(&self, connection: &Connection) -> Service {
        Service::new(connection.clone(), self.clock.clone(), self.run.clone())
            .with_commands(self.commands.clone())
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
        people: &Cast,
        kill: Option<Point>,
    ) -> Result<u8, Impossible> {
        let (mut machine, journal) = match fresh {
            Some(machine) => (machine, Journal::in_memory(memory)),
            None => from_journal(memory, rehearsing)?,
        };
        machine.attach(
            "rehearsal",
            1,
            &people.user,
            flags,
            Vec::new(),
            self.clock.now(),
        );
        let scripted = Scripted {
            answers: people.answers.clone(),
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
        let ended = running.run().await;
        if let Ok(finish) = &ended {
            let notice = running.machine.notice(finish, &self.whereabouts());
            let notice = notice.map_err(|error| Impossible::Other(format!("`notify`: {error}")))?;
            if let Some(notice) = notice {
                // Nothing is run, so nothing goes wrong.
                let _ = tell(&running.world, &notice).await;
            }
        }
        match ended {
            Ok(Finish::Succeeded) => Ok(0),
            Ok(Finish::Halted) => Ok(1),
            Ok(Finish::Parked) => Ok(3),
            Ok(Finish::Refused) => Ok(4),
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
fn from_journal(
    memory: &Memory,
    rehearsing: &Rehearsing<'_>,
) -> Result<(Machine, Journal), Impossible> {
    let (records, journal) = read_back(memory)?;
    let (first, rest) = records
        .split_first()
        .ok_or_else(|| Impossible::Other("the journal is empty".to_owned()))?;
    let scenario = &rehearsing.rehearsal.scenarios[rehearsing.name];
    let again = rehearsing
        .runbook
        .resolve_parameters(&rehearsing.rehearsal.parameters(scenario))
        .map_err(Impossible::Parameters)?;
    let mut machine = begin::machine_of(first, |_, kept| Ok(kept.with_secrets_of(again)))
        .map_err(Impossible::Other)?;
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
        let reaction = reaction.cloned().unwrap_or(Reaction::Agree);
        let reply = match reaction {
            Reaction::Agree => agree(somebody(asking), serde_json::Map::new()),
            Reaction::Form(form) => agree(somebody(asking), form),
            Reaction::Decline => Reply::No {
                by: Witness::rehearsed(OPERATOR),
            },
            Reaction::Nobody => Reply::Nobody,
            Reaction::People(people) => answer_of(people, asking),
        };
        Box::pin(async move { reply })
    }
}

/// The next person who may agree.
fn somebody(asking: &Asking) -> Option<Witness> {
    let names = ["operator", "somebody else"].map(str::to_owned).into_iter();
    let more = (3..).map(|number| format!("person {number}"));
    // Of so many, those who began or resumed the run and those who agreed are fewer.
    let most = asking.ballot.starters.len() + asking.ballot.votes.len() + 3;
    let mut people = names
        .chain(more)
        .take(most)
        .map(|name| Witness::rehearsed(&name));
    people.find(|person| asking.ballot.admits(person).is_ok())
}

/// The next of these who may agree; then the one who declines.
fn answer_of(people: People, asking: &Asking) -> Reply {
    let agreeing = people.agree.iter().map(|name| Witness::rehearsed(name));
    let admitted = |person: &Witness| asking.ballot.admits(person).is_ok();
    match (agreeing.into_iter().find(admitted), people.decline) {
        (None, Some(name)) => Reply::No {
            by: Witness::rehearsed(&name),
        },
        (next, _) => agree(next, people.form),
    }
}

fn agree(who: Option<Witness>, form: serde_json::Map<String, serde_json::Value>) -> Reply {
    let Some(by) = who else {
        return Reply::Nobody;
    };
    let note = String::new();
    Reply::Yes { by, note, form }
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

//! Carries a case out: a process after the other on one journal, against one simulated service, until
//! the run ends or nobody can help it any more.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use jiff::Timestamp;
use runbook::action::World as Service;
use runbook::clock::Clock;
use runbook::connection::{Access, Connection, Settings};
use runbook::journal::{Fault as JournalFault, Journal, Memory};
use runbook::plan::LOOK_LIMIT;
use runbook::record::{Flags, Record, RunId};
use runbook::run::{Broken, Display, Loop, Progress, begin};
use runbook::runbook::{ParameterInput, Runbook};
use runbook::simulator::{Deed, Facts, Simulator, Write};
use runbook::steps::{Finish, Machine};

use super::case::{Case, Death, Life};
use super::people::{Answering, answer_parked, attached};
use super::wire::{Sent, Wire};

const BEGINNING: &str = "2026-01-05T03:00:00Z";
/// Processes in all, at most.
const MOST_LIVES: usize = 12;
/// Calls in all: beyond it, something turns in circles.
const MOST_CALLS: usize = 6_000;
/// How long one process may take, in simulated time.
const PATIENCE: Duration = Duration::from_secs(24 * 3600);

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Succeeded,
    Halted,
    Parked,
    Interrupted,
    Killed,
    /// It could not begin: the service could not be read.
    Unplanned,
}

/// What an observer knows afterwards.
#[derive(Clone, Debug)]
pub(crate) struct Ran {
    pub(crate) identity: String,
    pub(crate) exits: Vec<Exit>,
    pub(crate) log: Vec<Sent>,
    pub(crate) deeds: Vec<Deed>,
    pub(crate) writes: Vec<Write>,
    pub(crate) facts: Facts,
    pub(crate) journal: Vec<u8>,
    /// Writes of the dry run.
    pub(crate) dry_writes: usize,
    /// It did not come to an end, or panicked: why.
    pub(crate) broken: Option<String>,
}

/// Carries it out on a paused clock of its own.
pub(crate) fn drive(case: &Case) -> Ran {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(play(case))
}

async fn play(case: &Case) -> Ran {
    let stage = Stage::set(case).await;
    let mut exits = Vec::new();
    let mut dry_writes = 0;
    let mut broken = None;
    if case.dry_first {
        let before = stage.simulator.write_count();
        broken = stage.dry_run().await.err();
        dry_writes = stage.simulator.write_count() - before;
    }
    let mut helped = 0;
    for number in 0..MOST_LIVES {
        let peaceful = Life {
            pause: Duration::from_secs(60),
            retry_failed: helped == 1,
            ..Life::default()
        };
        let planned = case.lives.get(number);
        let life = planned.unwrap_or(&peaceful);
        let exit = match stage.live(number, life).await {
            Ok(exit) => exit,
            Err(error) => {
                broken = Some(error);
                break;
            }
        };
        exits.push(exit);
        tokio::time::sleep(life.pause / 2).await;
        let now = stage.wire.host.now();
        if let Err(error) = answer_parked(&stage.memory, &life.voices, now) {
            broken = Some(error);
            break;
        }
        tokio::time::sleep(life.pause - life.pause / 2).await;
        match exit {
            Exit::Succeeded => break,
            Exit::Halted | Exit::Parked if planned.is_none() => {
                helped += 1;
                if helped > 1 {
                    break;
                }
            }
            _ => {}
        }
    }
    stage.ran(exits, dry_writes, broken)
}

struct Stage {
    wire: Wire,
    simulator: Simulator,
    memory: Memory,
    runbook: Arc<Runbook>,
    reading: Connection,
    writing: Connection,
    run: RunId,
    settings: Settings,
    seed: u64,
    /// Processes that something happens to.
    lives: usize,
}

impl Stage {
    async fn set(case: &Case) -> Self {
        let beginning: Timestamp = BEGINNING.parse().expect("a time");
        let (truth, host) = (Clock::simulated(beginning), Clock::simulated(beginning));
        let simulator = Simulator::new(&case.world, &case.faults, case.seed, truth.clone())
            .unwrap_or_else(|error| panic!("seed {}: {error}", case.seed));
        let memory = Memory::default();
        let wire = Wire::new(
            simulator.clone(),
            truth,
            host,
            memory.clone(),
            &case.doubles,
        );
        let text = case.book.render();
        let runbook = Runbook::parse("simulated.yaml", text.as_bytes())
            .unwrap_or_else(|problems| panic!("seed {}:\n{text}\n{problems:#?}", case.seed));
        let settings = Settings {
            address: "simulator:7233".to_owned(),
            namespace: case.world.namespace.clone(),
            identity: "runbook@simulation".to_owned(),
            ..Settings::default()
        };
        let open = async |access| {
            Connection::in_memory(&settings, wire.channel(), access)
                .await
                .expect("a service in this process is reached")
        };
        Self {
            reading: open(Access::ReadOnly).await,
            writing: open(Access::ReadWrite).await,
            wire: wire.clone(),
            simulator,
            memory,
            runbook: Arc::new(runbook),
            run: RunId("rb-simulated".to_owned()),
            settings,
            seed: case.seed,
            lives: case.lives.len(),
        }
    }

    fn service(&self, connection: &Connection) -> Service {
        Service::new(connection.clone(), self.wire.host.clone(), self.run.clone())
    }

    async fn fresh(&self, dry: bool) -> Option<Machine> {
        let parameters = self
            .runbook
            .resolve_parameters(&ParameterInput::default())
            .expect("there are no parameters");
        let plan = begin::plan(
            &self.service(&self.reading),
            &self.runbook,
            parameters.clone(),
            LOOK_LIMIT,
        )
        .await
        .ok()?;
        let mut machine = Machine::new(
            self.runbook.clone(),
            plan,
            parameters,
            self.run.clone(),
            dry,
        );
        machine.open("simulation", true, self.wire.host.now());
        Some(machine)
    }

    /// A dry run, as `exec --dry-run` does it.
    async fn dry_run(&self) -> Result<(), String> {
        self.wire.begin(usize::MAX, &Life::default());
        let Some(machine) = self.fresh(true).await else {
            return Ok(());
        };
        let (_keep, interrupts) = tokio::sync::mpsc::unbounded_channel();
        let mut display = Watching(self.wire.clone());
        let mut running = Loop {
            machine,
            journal: Journal::memory(),
            world: self.service(&self.reading),
            operator: &Answering::new(0, true, true),
            display: &mut display,
            interrupts,
            kill: runbook::run::kill::KillSwitch::default(),
        };
        let host = &self.wire.host;
        running.machine.attach(
            "simulation",
            1,
            "operator",
            Flags::default(),
            Vec::new(),
            host.now(),
        );
        match tokio::time::timeout(PATIENCE, running.run()).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(format!("the dry run broke: {error:?}")),
            Err(_) => Err("the dry run does not end".to_owned()),
        }
    }

    /// One process, from its beginning to whatever end.
    async fn live(&self, number: usize, life: &Life) -> Result<Exit, String> {
        self.wire.begin(number, life);
        let (sender, interrupts) = tokio::sync::mpsc::unbounded_channel();
        let process = pin!(self.process(number, life, interrupts));
        let mut process = process;
        let mut patience = pin!(tokio::time::sleep(PATIENCE));
        loop {
            enum Step {
                Over(Result<Exit, String>),
                Killed,
                Frozen(Duration),
                Impatient,
            }
            let step = futures::future::poll_fn(|context| {
                let polled = process.as_mut().poll(context);
                let (dead, frozen, interrupted) = self.wire.fate(|fate| {
                    (
                        fate.dead,
                        fate.frozen.take(),
                        std::mem::take(&mut fate.interrupted),
                    )
                });
                if dead {
                    return Poll::Ready(Step::Killed);
                }
                if let Poll::Ready(exit) = polled {
                    return Poll::Ready(Step::Over(exit));
                }
                if interrupted {
                    let _listened = sender.send("Ctrl-C".into());
                    context.waker().wake_by_ref();
                }
                if let Some(length) = frozen {
                    return Poll::Ready(Step::Frozen(length));
                }
                if patience.as_mut().poll(context).is_ready() || self.wire.calls() > MOST_CALLS {
                    return Poll::Ready(Step::Impatient);
                }
                Poll::Pending
            })
            .await;
            match step {
                Step::Over(exit) => return exit,
                Step::Killed => {
                    let kept = self.wire.fate(|fate| fate.kept);
                    self.memory
                        .lose_power(usize::try_from(kept).unwrap_or(usize::MAX));
                    return Ok(Exit::Killed);
                }
                Step::Frozen(length) => tokio::time::sleep(length).await,
                Step::Impatient => {
                    return Err(format!(
                        "process {number} does not end: {} calls so far",
                        self.wire.calls()
                    ));
                }
            }
        }
    }

    async fn process(
        &self,
        number: usize,
        life: &Life,
        interrupts: runbook::run::Interrupts,
    ) -> Result<Exit, String> {
        let Some((mut machine, mut journal)) = self.recall().await? else {
            return Ok(Exit::Unplanned);
        };
        let length = self.memory.lengths().0 as u64;
        if let Some(Death::AtByte { byte, .. }) = life.death {
            journal.inject(JournalFault::KilledAt {
                byte: length + byte,
            });
        }
        let flags = Flags {
            retry_failed: life.retry_failed && number > 0,
            limit: life.limit,
            ..Flags::default()
        };
        let now = self.wire.host.now();
        let pid = u32::try_from(number + 1).unwrap_or(u32::MAX);
        machine.attach("simulation", pid, attached(number), flags, Vec::new(), now);
        let mut display = Watching(self.wire.clone());
        let seed = self.seed.wrapping_add(number as u64);
        let operator = Answering::new(seed, !life.unattended, number >= self.lives);
        let mut running = Loop {
            machine,
            journal,
            world: self.service(&self.writing),
            operator: &operator,
            display: &mut display,
            interrupts,
            kill: runbook::run::kill::KillSwitch::default(),
        };
        match running.run().await {
            Ok(Finish::Succeeded) => Ok(Exit::Succeeded),
            Ok(Finish::Halted) => Ok(Exit::Halted),
            Ok(Finish::Parked) => Ok(Exit::Parked),
            Ok(Finish::Interrupted) => Ok(Exit::Interrupted),
            Ok(Finish::Refused) => Err("it was refused a lock that it did not ask for".to_owned()),
            Err(Broken::Journal(error)) => match &life.death {
                Some(Death::AtByte { kept, .. }) => {
                    self.wire.fate(|fate| {
                        fate.dead = true;
                        fate.kept = *kept;
                    });
                    std::future::pending().await
                }
                _ => Err(format!("the journal: {error}")),
            },
            Err(other) => Err(format!("the loop broke: {other:?}")),
        }
    }

    /// The machine of a run that begins, or goes on; none where nothing can be read and nothing was begun.
    async fn recall(&self) -> Result<Option<(Machine, Journal)>, String> {
        let mut records: Vec<Record> = Vec::new();
        let opened = if self.memory.lengths().0 == 0 {
            None
        } else {
            match Journal::open_memory(&self.memory, |record| records.push(record)) {
                Ok(opened) => Some(opened.journal),
                // Nothing but a part of the first line: nobody has acted on it.
                Err(_) if !self.memory.bytes().contains(&b'\n') => None,
                Err(error) => return Err(format!("the journal cannot be opened: {error}")),
            }
        };
        let Some((journal, (first, rest))) = opened.zip(records.split_first()) else {
            let machine = self.fresh(false).await;
            return Ok(machine.map(|machine| (machine, Journal::in_memory(&self.memory))));
        };
        let mut machine = begin::machine_of(first, |_, kept| Ok(kept))?;
        for record in rest {
            machine.fold(record)?;
        }
        Ok(Some((machine, journal)))
    }

    fn ran(&self, exits: Vec<Exit>, dry_writes: usize, broken: Option<String>) -> Ran {
        Ran {
            identity: self.settings.identity.clone(),
            exits,
            log: self.wire.log(),
            deeds: self.simulator.deeds(),
            writes: self.simulator.writes(),
            facts: self.simulator.facts(),
            journal: self.memory.bytes(),
            dry_writes,
            broken,
        }
    }
}

/// Tells the wire of commits.
struct Watching(Wire);

impl Display for Watching {
    fn record(&mut self, _: &Record) {
        self.0.committed();
    }
    fn progress(&mut self, _: &Progress) {}
}

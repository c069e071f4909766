//! The loop: asks the machine for effects, makes its facts durable, performs, takes in, publishes.
//!
//! Nothing is performed before the records that announce it are on the disk, and nothing is shown
//! before it is a record. The loop decides nothing: what comes next is `steps`, what is done is
//! `action`. It owns slots, pace and the ports to people ([`ports`]).

pub mod begin;
pub mod kill;
pub mod ports;

use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;

use crate::action::World;
use crate::journal::{Journal, JournalError};
use crate::pace::{Pacer, Verdict};
use crate::runbook::{Pace, StepBody};
use crate::steps::{Completion, Effect, Finish, Machine, Room};
use kill::KillSwitch;
pub use ports::{Asking, Display, Operator, Progress, Reply, Stop};

/// How often progress is shown.
const TICK: Duration = Duration::from_millis(250);
/// What an interrupted run waits for.
const LEAVING: &str = "the answers to writes in flight (once more leaves at once)";
/// Calls in flight beyond those of the pace: looks that only read.
const SMALLEST_STEP: SignedDuration = SignedDuration::from_millis(1);

/// Ctrl-C, another signal, or somebody's wish to stop.
pub type Interrupts = UnboundedReceiver<Stop>;

/// Why the loop stopped without an end of the run.
#[derive(Debug)]
pub enum Broken {
    /// The journal cannot be written: nothing further was done.
    Journal(JournalError),
    /// A test's kill switch.
    Killed,
    /// A second Ctrl-C.
    Abandoned,
}

impl From<JournalError> for Broken {
    fn from(error: JournalError) -> Self {
        Self::Journal(error)
    }
}

/// What the loop works with.
pub struct Loop<'a> {
    /// Decides.
    pub machine: Machine,
    /// Remembers.
    pub journal: Journal,
    /// Acts.
    pub world: World,
    /// Answers.
    pub operator: &'a dyn Operator,
    /// Shows.
    pub display: &'a mut dyn Display,
    /// Ctrl-C.
    pub interrupts: Interrupts,
    /// Tests' kill switch.
    pub kill: KillSwitch,
}

/// One thing in flight.
type InFlight<'a> = FuturesUnordered<BoxFuture<'a, Performed>>;

struct Performed {
    completion: Completion,
    /// How long the call took, by the run's clock; none where it says nothing about the service.
    latency: Option<SignedDuration>,
}

impl Loop<'_> {
    /// Runs until the run ends, parks or is interrupted.
    ///
    /// # Errors
    /// See [`Broken`]. The journal is good in each case.
    pub async fn run(&mut self) -> Result<Finish, Broken> {
        let mut flight = InFlight::new();
        let leaving = watch::Sender::new(false);
        let mut pace = Paced::new(&self.world);
        self.commit()?;
        loop {
            let now = self.world.clock.now();
            pace.follow(&self.machine, now);
            pace.note_refusals(&self.world, now);
            let (effects, starved) = self.next(&mut pace, &flight, now);
            self.commit()?;
            let mut wake: Option<(Timestamp, String)> = None;
            for effect in effects {
                match effect {
                    Effect::Finish(finish) => return Ok(finish),
                    Effect::Wait { until, reason } => wake = Some(sooner(wake, until, reason)),
                    effect => {
                        self.kill.before(&effect)?;
                        flight.push(self.start(effect, &leaving));
                    }
                }
            }
            if let Some(due) = starved {
                let due = now + due.max(SMALLEST_STEP);
                if wake.as_ref().is_none_or(|(until, _)| *until > due) {
                    wake = Some((due, String::new()));
                }
            }
            assert!(
                !flight.is_empty() || wake.is_some(),
                "the run has nothing to do and nothing to wait for"
            );
            self.show(&pace, flight.len(), wake.clone());
            if self.machine.is_stopping() {
                // Reads can be done without; writes are waited for.
                leaving.send_replace(true);
            }
            self.wait(&mut flight, &mut pace, wake.map(|(until, _)| until))
                .await?;
        }
    }

    fn next(
        &mut self,
        pace: &mut Paced,
        flight: &InFlight<'_>,
        now: Timestamp,
    ) -> (Vec<Effect>, Option<SignedDuration>) {
        let slots = (pace.pacer.concurrency() as usize).saturating_sub(flight.len());
        let mut due = None;
        let mut taken = false;
        let mut token = || match pace.pacer.take(now) {
            Ok(()) => {
                taken = true;
                true
            }
            Err(left) => {
                due = SignedDuration::try_from(left).ok();
                false
            }
        };
        let mut room = Room {
            slots,
            token: &mut token,
            starved: false,
        };
        let effects = self.machine.next(now, &mut room);
        if taken {
            pace.used = Some(now);
        }
        (effects, due)
    }

    /// Makes the machine's facts durable, then shows them.
    fn commit(&mut self) -> Result<(), Broken> {
        let records = self.machine.take_outbox();
        if records.is_empty() {
            return Ok(());
        }
        self.kill.before_commit(&records)?;
        self.journal
            .append(&records[..self.kill.survivors(&records)])?;
        for record in &records {
            self.display.record(record);
        }
        self.kill.after_commit(&records)
    }

    fn start<'b>(&self, effect: Effect, leaving: &watch::Sender<bool>) -> BoxFuture<'b, Performed>
    where
        Self: 'b,
    {
        if let Effect::Ask { question, word, .. } = effect {
            return self.ask(question, word);
        }
        let mut world = self.world.clone();
        if effect.only_reads() {
            world = world.until(leaving.subscribe());
        }
        let paced = matches!(
            effect,
            Effect::Look { .. } | Effect::Verify { .. } | Effect::Compare { .. }
        );
        async move {
            let started = world.clock.now();
            let completion = world
                .perform(effect)
                .await
                .expect("an effect on the world has a completion");
            let latency = paced.then(|| world.clock.now().duration_since(started));
            Performed {
                completion,
                latency,
            }
        }
        .boxed()
    }

    fn ask<'b>(&self, question: u32, word: Option<String>) -> BoxFuture<'b, Performed>
    where
        Self: 'b,
    {
        let connection = self.world.temporal.connection();
        let (address, namespace) = (connection.address(), connection.namespace());
        let asking = Asking::of(&self.machine, question, word, address, namespace);
        let asking = asking.expect("a question that is put was asked");
        let operator = self.operator;
        async move {
            let reply = operator.ask(&asking).await;
            Performed {
                completion: Completion::Answered { question, reply },
                latency: None,
            }
        }
        .boxed()
    }

    /// Waits for something to complete, a time to come, or a signal.
    async fn wait(
        &mut self,
        flight: &mut InFlight<'_>,
        pace: &mut Paced,
        wake: Option<Timestamp>,
    ) -> Result<(), Broken> {
        let clock = self.world.clock.clone();
        let sleep = async {
            match wake {
                Some(until) => clock.sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(sleep);
        let mut tick = tokio::time::interval_at(tokio::time::Instant::now() + TICK, TICK);
        let ticks = !self.world.clock.is_simulated();
        loop {
            tokio::select! {
                biased;
                Some(stop) = self.interrupts.recv() => {
                    if self.machine.is_stopping() {
                        match stop {
                            Stop::Signal(_) => return Err(Broken::Abandoned),
                            Stop::Asked(_) => continue,
                        }
                    }
                    self.machine.stop(&stop.to_string());
                    self.world.commands.interrupt();
                    return Ok(());
                }
                Some(performed) = flight.next(), if !flight.is_empty() => {
                    self.take_in(performed, pace)?;
                    // Whatever is ready by now goes into the same commit.
                    while let Some(Some(performed)) = flight.next().now_or_never() {
                        self.take_in(performed, pace)?;
                    }
                    return Ok(());
                }
                () = &mut sleep => return Ok(()),
                _ = tick.tick(), if ticks => self.show(pace, flight.len(), None),
            }
        }
    }

    fn take_in(&mut self, performed: Performed, pace: &mut Paced) -> Result<(), Broken> {
        let now = self.world.clock.now();
        self.kill.after(&performed.completion)?;
        if let Some(latency) = performed.latency {
            // One token, one report: a look, with the write that follows it, is one unit of the pace.
            // What was refused on the way is counted where calls arrive (`note_refusals`).
            let latency = Duration::try_from(latency).unwrap_or(Duration::ZERO);
            let latency = pace.latency(&self.world).unwrap_or(latency);
            pace.pacer.done(now, latency, Verdict::Accepted);
        }
        self.machine.complete(performed.completion, now);
        Ok(())
    }

    fn show(&mut self, pace: &Paced, in_flight: usize, waits: Option<(Timestamp, String)>) {
        let waits = waits.filter(|(_, reason)| !reason.is_empty());
        let (until, waiting_for) = waits.unzip();
        let progress = Progress {
            step: self.machine.current_place(),
            in_flight,
            rate: pace.pacer.rate(),
            waiting_for: waiting_for
                .or_else(|| self.machine.waits_for_answer())
                .or_else(|| self.machine.is_stopping().then(|| LEAVING.to_owned())),
            until,
            now: self.world.clock.now(),
            simulated: self.world.clock.is_simulated(),
        };
        self.display.progress(&progress);
    }
}

/// The sooner of two times to wake up at, with the first reason that is one.
fn sooner(
    wake: Option<(Timestamp, String)>,
    until: Timestamp,
    reason: String,
) -> (Timestamp, String) {
    match wake {
        None => (until, reason),
        Some((sooner, said)) => {
            let reason = if said.is_empty() { reason } else { said };
            (sooner.min(until), reason)
        }
    }
}

/// The pacer, with the step whose pace it keeps.
struct Paced {
    pacer: Pacer,
    step: Option<String>,
    refused: u64,
    answered: (u64, u64),
    /// When the latest token was taken.
    used: Option<Timestamp>,
}

impl Paced {
    fn new(world: &World) -> Self {
        let pace = Pace::default();
        Self {
            pacer: Pacer::new(pace.rate, pace.concurrency),
            step: None,
            refused: world.temporal.connection().refused(),
            answered: world.temporal.connection().answered(),
            used: None,
        }
    }

    /// Takes over the pace of the step at work; what was felt about the service stays.
    fn follow(&mut self, machine: &Machine, _now: Timestamp) {
        let place = machine.current_place();
        let id = place.map(|place| place.step);
        if id == self.step {
            return;
        }
        if let Some(step) = id.as_deref().and_then(|id| machine.runbook().step(id))
            && matches!(step.body, StepBody::Action { .. })
        {
            let rate = machine.state().flags.rate.unwrap_or(step.pace.rate);
            self.pacer.set_max(rate);
            self.pacer.set_concurrency(step.pace.concurrency);
        }
        self.step = id;
    }

    /// How long a call takes to be answered, since it was last asked about: without the pauses between
    /// tries, which say nothing about the service's load that a refusal does not say.
    fn latency(&mut self, world: &World) -> Option<Duration> {
        let (count, microseconds) = world.temporal.connection().answered();
        let (count_before, microseconds_before) =
            std::mem::replace(&mut self.answered, (count, microseconds));
        (microseconds - microseconds_before)
            .checked_div(count - count_before)
            .map(Duration::from_micros)
    }

    /// Reads that the service refused for their rate count, too.
    fn note_refusals(&mut self, world: &World, now: Timestamp) {
        let refused = world.temporal.connection().refused();
        // What a survey or a listing was refused says nothing about a pace that was not in use.
        let in_use = self
            .used
            .is_some_and(|used| now.duration_since(used) < SignedDuration::from_secs(2));
        for _ in (self.refused..refused).filter(|_| in_use) {
            self.pacer.done(now, Duration::ZERO, Verdict::Refused);
        }
        self.refused = refused;
    }
}

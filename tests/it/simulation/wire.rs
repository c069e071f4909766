//! The network between a process and the service, and the process' fate: each call is written down with
//! what was durable when it left; requests outlive the process that sent them; some arrive twice.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use runbook::clock::Clock;
use runbook::connection::InMemory;
use runbook::journal::Memory;
use runbook::simulator::Simulator;

use super::case::{Death, Double, Life, Mishap};

/// A call as it left.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    /// Which process, from 0.
    pub(crate) life: usize,
    pub(crate) rpc: String,
    /// True time.
    pub(crate) at: Timestamp,
    pub(crate) request: Vec<u8>,
    /// Bytes of the journal that were forced to the disk.
    pub(crate) durable: usize,
    /// Whether a second copy is delivered.
    pub(crate) doubled: bool,
    /// When the service's answer reached the process, and the answer where it was one.
    pub(crate) answered: Option<(Timestamp, Option<Vec<u8>>)>,
}

/// What the process must do next, or what becomes of it.
#[derive(Debug, Default)]
pub(crate) struct Fate {
    life: Life,
    calls: u64,
    commits: u64,
    pub(crate) dead: bool,
    pub(crate) kept: u64,
    pub(crate) frozen: Option<Duration>,
    pub(crate) interrupted: bool,
}

#[derive(Debug, Default)]
struct Shared {
    number: usize,
    fate: Fate,
    log: Vec<Sent>,
    counts: BTreeMap<String, u64>,
    doubles: Vec<Double>,
}

/// The network.
#[derive(Clone)]
pub(crate) struct Wire {
    simulator: Simulator,
    /// True time, and the host's clock.
    pub(crate) truth: Clock,
    pub(crate) host: Clock,
    memory: Memory,
    shared: Arc<Mutex<Shared>>,
}

impl Wire {
    pub(crate) fn new(
        simulator: Simulator,
        truth: Clock,
        host: Clock,
        memory: Memory,
        doubles: &[Double],
    ) -> Self {
        let shared = Shared {
            doubles: doubles.to_vec(),
            ..Shared::default()
        };
        Self {
            simulator,
            truth,
            host,
            memory,
            shared: Arc::new(Mutex::new(shared)),
        }
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new process begins.
    pub(crate) fn begin(&self, number: usize, life: &Life) {
        let mut shared = self.shared();
        shared.number = number;
        shared.fate = Fate {
            life: life.clone(),
            ..Fate::default()
        };
    }

    pub(crate) fn fate<T>(&self, look: impl FnOnce(&mut Fate) -> T) -> T {
        look(&mut self.shared().fate)
    }

    pub(crate) fn log(&self) -> Vec<Sent> {
        self.shared().log.clone()
    }

    pub(crate) fn calls(&self) -> usize {
        self.shared().log.len()
    }

    /// A commit is durable.
    pub(crate) fn committed(&self) {
        let stalled = {
            let mut shared = self.shared();
            shared.fate.commits += 1;
            let commits = shared.fate.commits;
            let stalls = shared.fate.life.mishaps.iter();
            stalls
                .filter_map(|mishap| match mishap {
                    Mishap::Stalled { nth, length } if *nth == commits => Some(*length),
                    _ => None,
                })
                .next()
        };
        if let Some(length) = stalled {
            // The first poll moves the clock; what is due then runs when this process next waits.
            let _moved = futures::FutureExt::now_or_never(tokio::time::advance(length));
        }
    }

    /// The way of a process to the service.
    pub(crate) fn channel(&self) -> InMemory {
        let wire = self.clone();
        Arc::new(move |rpc, headers, request| {
            let wire = wire.clone();
            Box::pin(async move {
                let name = rpc.rsplit('/').next().unwrap_or_default().to_owned();
                let Some((index, double)) = wire.leaves(&name, &request) else {
                    return std::future::pending().await;
                };
                let service = wire.simulator.channel();
                if let Some(after) = double {
                    let again = service(rpc.clone(), headers.clone(), request.clone());
                    tokio::spawn(async move {
                        tokio::time::sleep(after).await;
                        // Nobody hears the second answer.
                        let _unheard = again.await;
                    });
                }
                let delivered = tokio::spawn(service(rpc, headers, request)).await;
                let reply =
                    delivered.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
                let now = wire.truth.now();
                if wire.arrives(index, now, reply.as_ref().ok()) {
                    tokio::task::yield_now().await;
                }
                reply
            })
        })
    }

    /// Writes the call down; none where the process is dead by now.
    fn leaves(&self, rpc: &str, request: &[u8]) -> Option<(usize, Option<Duration>)> {
        let durable = self.memory.lengths().1;
        let mut shared = self.shared();
        if shared.fate.dead {
            return None;
        }
        shared.fate.calls += 1;
        let calls = shared.fate.calls;
        for mishap in shared.fate.life.mishaps.clone() {
            if let Mishap::ClockSet { nth, seconds } = mishap
                && nth == calls
            {
                self.host.set_by(SignedDuration::from_secs(seconds));
            }
        }
        match shared.fate.life.death {
            Some(Death::AtCall {
                nth,
                answered: false,
                kept,
            }) if nth == calls => {
                shared.fate.dead = true;
                shared.fate.kept = kept;
                return None;
            }
            Some(Death::Interrupted { nth }) if nth == calls => shared.fate.interrupted = true,
            _ => {}
        }
        let count = shared.counts.entry(rpc.to_owned()).or_default();
        *count += 1;
        let count = *count;
        let double = shared
            .doubles
            .iter()
            .find(|double| double.rpc == rpc && double.nth == count)
            .map(|double| double.after);
        let life = shared.number;
        shared.log.push(Sent {
            life,
            rpc: rpc.to_owned(),
            at: self.truth.now(),
            request: request.to_vec(),
            durable,
            doubled: double.is_some(),
            answered: None,
        });
        Some((shared.log.len() - 1, double))
    }

    /// The answer is there; whether the process must let go of the processor.
    fn arrives(&self, index: usize, now: Timestamp, reply: Option<&Vec<u8>>) -> bool {
        let mut shared = self.shared();
        let number = shared.number;
        let sent = &mut shared.log[index];
        if sent.life != number {
            return true;
        }
        sent.answered = Some((now, reply.cloned()));
        let calls = shared.log[..=index]
            .iter()
            .filter(|sent| sent.life == number)
            .count() as u64;
        if let Some(Death::AtCall {
            nth,
            answered: true,
            kept,
        }) = shared.fate.life.death
            && nth == calls
        {
            shared.fate.dead = true;
            shared.fate.kept = kept;
            return true;
        }
        let frozen = shared
            .fate
            .life
            .mishaps
            .iter()
            .find_map(|mishap| match mishap {
                Mishap::Frozen { nth, length } if *nth == calls => Some(*length),
                _ => None,
            });
        shared.fate.frozen = frozen;
        frozen.is_some()
    }
}

//! The lock that a run has while it is not over: taken before its first question, kept while it is parked, halted or
//! interrupted, given back when it has succeeded.
//!
//! Pure. A run whose runbook declares no lock passes here without a trace, and so does a dry run. Every attachment
//! looks once whether the lease is still its own, since somebody may have broken it meanwhile. While somebody is
//! attached, a sign of life is sent every [`BEAT`]; where it says that the lease is gone, nothing new is started, and
//! the run halts. Where no answer comes, it goes on: the look before each write protects the Workflows then.

use jiff::{SignedDuration, Timestamp};

use super::state::LockIs;
use super::{Effect, Finish, Machine};
use crate::lease::{self, Answer, BEAT, Call, Lease};
use crate::record::Body;

/// Tries in a row that came to nothing, before the run gives up.
const TRIES: u32 = 5;
/// Pause before the second try; it doubles.
const PAUSE: SignedDuration = SignedDuration::from_secs(1);
/// Without an answer for so long (a laptop may have slept), nothing new is started before the next sign of life was
/// tried.
const STALE: SignedDuration = SignedDuration::from_secs(150);

/// What only this attachment knows of the lock.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// A call is in flight.
    calling: bool,
    /// One of them may take the lease or give it back.
    settling: bool,
    /// When the service last said that the lease is ours; none before it did in this attachment.
    confirmed: Option<Timestamp>,
    /// When the next sign of life is due.
    beat_due: Option<Timestamp>,
    /// Signs of life so far.
    beats: u32,
    /// A start that is in doubt did not happen. Should it arrive after all, the next one is refused, and a look
    /// finds this run's name on the lease.
    free: bool,
    /// Tries in a row that came to nothing.
    tries: u32,
    /// When the next one is due.
    due: Option<Timestamp>,
    /// Somebody else has it.
    refused: bool,
    /// It is gone: what the run ends with.
    pub lost: Option<String>,
}

impl Memory {
    /// Whether a call is in flight that takes the lease or gives it back.
    pub fn is_unsettled(&self) -> bool {
        self.settling
    }
}

impl Machine {
    /// What comes before anything else: none where the run may go on.
    pub(super) fn lock_first(&mut self, over: bool, succeeded: bool) -> Option<Vec<Effect>> {
        if self.dry || self.runbook.lock.is_none() {
            return None;
        }
        if self.memory.lock.refused {
            return Some(vec![Effect::Finish(Finish::Refused)]);
        }
        if self.memory.lock.settling {
            return Some(Vec::new());
        }
        if let Some(due) = self.memory.lock.due.filter(|due| *due > self.now) {
            let reason = "the lock".to_owned();
            return Some(vec![Effect::Wait { until: due, reason }]);
        }
        match (self.state.lock.is.clone(), over) {
            (LockIs::Free, true) => None,
            (LockIs::Held { .. }, true) if !succeeded => None,
            (LockIs::Held { lease }, true) => {
                self.emit(Body::Unlocking {});
                Some(self.lease(Call::Release { lease }))
            }
            (LockIs::Releasing { lease }, true) => Some(self.lease(Call::Release { lease })),
            (LockIs::Taking, true) if self.memory.lock.free => None,
            (LockIs::Taking, false) if self.memory.lock.free => Some(self.take()),
            (LockIs::Free, false) => Some(self.take()),
            (LockIs::Held { .. }, false) if self.memory.lock.confirmed.is_some() => {
                self.has_slept().then(Vec::new)
            }
            (LockIs::Taking, _) | (LockIs::Held { .. } | LockIs::Releasing { .. }, false) => {
                Some(self.lease(Call::Look))
            }
        }
    }

    /// Whether the next sign of life has to be tried before anything new.
    fn has_slept(&self) -> bool {
        let memory = &self.memory.lock;
        let old = |at: Timestamp| self.now.duration_since(at).abs() > STALE;
        let due = memory.beat_due.is_none_or(|due| due <= self.now);
        memory.confirmed.is_some_and(old) && (due || memory.calling)
    }

    fn take(&mut self) -> Vec<Effect> {
        let name = match self.lock_name() {
            Ok(name) => name,
            Err(message) => {
                self.refuse(None, message);
                return Vec::new();
            }
        };
        self.memory.lock.free = false;
        let taking = self.state.lock.takings + 1;
        self.emit(Body::Locking { name, taking });
        let request_id = format!("{}-lock-{taking}", self.run);
        self.lease(Call::Take { request_id })
    }

    /// The name that was tried before, whatever parameters were added since.
    fn lock_name(&self) -> Result<String, String> {
        if let Some(name) = &self.state.lock.name {
            return Ok(name.clone());
        }
        let name = self.runbook.lock_name(&self.scope());
        let name = name.map_err(|error| error.to_string())?;
        Ok(name.unwrap_or_default())
    }

    fn lease(&mut self, call: Call) -> Vec<Effect> {
        self.memory.lock.calling = true;
        self.memory.lock.settling = !matches!(call, Call::Beat { .. });
        let lease = Lease {
            name: self.state.lock.name.clone().unwrap_or_default(),
            run: self.run.0.clone(),
            runbook: self.runbook.name.clone(),
            user: self.state.user.clone(),
            host: self.state.host.clone(),
        };
        let lease = Box::new(lease);
        vec![Effect::Lease { call, lease }]
    }

    /// Adds the sign of life that is due, or the time when the next one is.
    pub(super) fn with_sign_of_life(&mut self, mut effects: Vec<Effect>) -> Vec<Effect> {
        let LockIs::Held { lease } = self.state.lock.is.clone() else {
            return effects;
        };
        let ends = |effect: &Effect| matches!(effect, Effect::Finish(_));
        if self.memory.lock.calling || effects.iter().any(ends) {
            return effects;
        }
        let Some(due) = self.memory.lock.beat_due else {
            return effects;
        };
        if due > self.now {
            let reason = String::new();
            effects.push(Effect::Wait { until: due, reason });
            return effects;
        }
        self.memory.lock.beats += 1;
        let (attachment, beat) = (self.state.attachment, self.memory.lock.beats);
        let request_id = format!("{}-alive-{attachment}-{beat}", self.run);
        effects.extend(self.lease(Call::Beat { lease, request_id }));
        effects
    }

    /// Takes in what a call came to.
    pub(super) fn leased(&mut self, call: &Call, answer: Answer) {
        self.memory.lock.calling = false;
        self.memory.lock.settling = false;
        self.memory.lock.due = None;
        match call {
            Call::Beat { .. } => self.beaten(answer),
            Call::Release { .. } => self.released(answer),
            Call::Take { .. } | Call::Look => self.taken(answer),
        }
    }

    fn taken(&mut self, answer: Answer) {
        match answer {
            Answer::Ours { lease } => {
                self.memory.lock.tries = 0;
                self.memory.lock.confirmed = Some(self.now);
                self.memory.lock.beat_due = Some(self.now + BEAT);
                self.emit(Body::Locked { lease });
            }
            Answer::Theirs(holder) => {
                self.note_loss(format!("{holder} has it"));
                self.refuse(Some(holder), String::new());
            }
            Answer::Free { evidence } => {
                self.note_loss(evidence.clone());
                if self.state.lock.is == LockIs::Taking {
                    self.memory.lock.free = true;
                    self.again(&evidence);
                }
            }
            Answer::Released => {}
            Answer::Doubt(message) => self.again(&message),
            Answer::Refused(message) => self.refuse(None, message),
        }
    }

    /// The lease that the journal has is not there any more.
    fn note_loss(&mut self, evidence: String) {
        match self.state.lock.is {
            LockIs::Held { .. } => self.emit(Body::LockLost { evidence }),
            LockIs::Releasing { .. } => self.emit(Body::Unlocked {
                error: String::new(),
            }),
            LockIs::Free | LockIs::Taking => {}
        }
    }

    /// After a pause, or never.
    fn again(&mut self, message: &str) {
        let tries = self.memory.lock.tries + 1;
        self.memory.lock.tries = tries;
        if tries >= TRIES {
            self.refuse(None, format!("tried {tries} times: {message}"));
        } else {
            self.memory.lock.due = Some(self.now + PAUSE * 2_i32.pow(tries - 1));
        }
    }

    fn refuse(&mut self, holder: Option<Box<lease::Holder>>, message: String) {
        self.memory.lock.refused = true;
        self.emit(Body::LockRefused { holder, message });
    }

    fn beaten(&mut self, answer: Answer) {
        let gone = match answer {
            Answer::Ours { .. } => {
                self.memory.lock.confirmed = Some(self.now);
                None
            }
            // What protects the Workflows until the next one is the look before each write.
            Answer::Doubt(_) | Answer::Refused(_) => None,
            Answer::Theirs(holder) => Some(format!("{holder} has it")),
            Answer::Free { evidence } => Some(evidence),
            Answer::Released => Some("it was given back".to_owned()),
        };
        self.memory.lock.beat_due = Some(self.now + BEAT);
        let Some(evidence) = gone else { return };
        let name = self.state.lock.name.clone().unwrap_or_default();
        self.memory.lock.lost = Some(format!(
            "The lock `{name}` was broken: {evidence}. Nothing new was started since."
        ));
        self.emit(Body::LockLost { evidence });
    }

    fn released(&mut self, answer: Answer) {
        let error = match answer {
            Answer::Released | Answer::Free { .. } => String::new(),
            Answer::Theirs(holder) => format!("{holder} has it"),
            Answer::Doubt(message) if self.memory.lock.tries + 1 < TRIES => {
                return self.again(&message);
            }
            Answer::Ours { .. } => "it is still there".to_owned(),
            Answer::Doubt(message) | Answer::Refused(message) => message,
        };
        self.memory.lock.tries = 0;
        self.emit(Body::Unlocked { error });
    }
}

//! What goes wrong between a client and the simulated service, and the seeded random numbers behind it.
//!
//! Data and a small decision: which fault meets this call. The simulator acts on it; `kill` is for
//! whoever drives the run.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::world::Span;

/// One thing that goes wrong, as a rehearsal's file says it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// The RPC that it hits, e.g. `ResetWorkflowExecution`; by default every one.
    #[serde(default)]
    pub rpc: Option<String>,
    /// It hits this call of it, counted from 1.
    #[serde(default)]
    pub nth: Option<u64>,
    /// It hits every so many-th call.
    #[serde(default)]
    pub every: Option<u64>,
    /// It hits a call with this probability, from 0 to 1; the seed decides.
    #[serde(default)]
    pub probability: Option<f64>,
    /// What happens.
    pub kind: FaultKind,
    /// Whether the service acts first. By default it does not, except for `latency` (the reply is late);
    /// `lost_request` and `lost_reply` say it by themselves.
    #[serde(default)]
    pub effect: Option<Effect>,
    /// How much later the reply comes, for `latency`.
    #[serde(default)]
    pub duration: Option<Span>,
    /// It begins this long after the beginning.
    #[serde(default)]
    pub from: Option<Span>,
    /// It ends this long after the beginning.
    #[serde(default)]
    pub until: Option<Span>,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// UNAVAILABLE.
    Unavailable,
    /// The request never arrives; the caller waits until its deadline.
    LostRequest,
    /// The service acts, and the reply never arrives; the caller waits until its deadline.
    LostReply,
    /// The reply comes later.
    Latency,
    /// RESOURCE_EXHAUSTED.
    ResourceExhausted,
    /// DEADLINE_EXCEEDED from the service itself.
    DeadlineExceeded,
    /// INTERNAL.
    Internal,
    /// PERMISSION_DENIED.
    PermissionDenied,
}

/// Whether an error comes before or after the effect of the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Nothing has happened.
    Before,
    /// It has happened.
    After,
}

/// When the process that runs the runbook is killed: the driver of a rehearsal acts on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Kill {
    /// After this record of the journal, counted from 1.
    #[serde(default)]
    pub at_record: Option<u64>,
    /// Before this write to the service, counted from 1.
    #[serde(default)]
    pub before_effect: Option<u64>,
    /// After this write to the service, before its outcome is known.
    #[serde(default)]
    pub after_effect: Option<u64>,
    /// How long until somebody resumes it.
    #[serde(default)]
    pub resumed_after: Option<Span>,
}

/// Seeded random numbers: splitmix64, small and the same everywhere.
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// From 0 up to, not including, 1.
    pub(super) fn fraction(&mut self) -> f64 {
        #[allow(clippy::cast_precision_loss)] // 53 bits fit
        let bits = (self.next() >> 11) as f64;
        bits / 9_007_199_254_740_992.0
    }

    /// A run ID: the bits of a version 4 UUID.
    pub(super) fn run_id(&mut self) -> u128 {
        let bits = (u128::from(self.next()) << 64) | u128::from(self.next());
        uuid::Builder::from_random_bytes(bits.to_be_bytes())
            .into_uuid()
            .as_u128()
    }
}

/// What meets one call.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Verdict {
    /// Added before the service acts.
    pub(super) before: Duration,
    /// Added before the reply.
    pub(super) after: Duration,
    /// What goes wrong, and whether the effect comes first.
    pub(super) fault: Option<(FaultKind, Effect)>,
}

/// Decides, call by call.
#[derive(Clone, Debug)]
pub(super) struct Injector {
    faults: Vec<Fault>,
    calls: BTreeMap<(usize, String), u64>,
    random: Random,
    begin: Timestamp,
}

impl Injector {
    pub(super) fn new(faults: &[Fault], seed: u64, begin: Timestamp) -> Self {
        Self {
            faults: faults.to_vec(),
            calls: BTreeMap::new(),
            random: Random::new(seed ^ 0xFA17),
            begin,
        }
    }

    /// The faults that meet this call of `rpc`: delays add up, the first error wins.
    pub(super) fn meet(&mut self, rpc: &str, now: Timestamp) -> Verdict {
        let mut verdict = Verdict::default();
        let since = now.duration_since(self.begin);
        for (index, fault) in self.faults.iter().enumerate() {
            if fault.rpc.as_deref().is_some_and(|name| name != rpc) || !within(fault, since) {
                continue;
            }
            let count = self
                .calls
                .entry((index, fault.rpc.clone().unwrap_or_default()))
                .or_default();
            *count += 1;
            if !hits(fault, *count, &mut self.random) {
                continue;
            }
            match fault.kind {
                FaultKind::Latency => {
                    let delay = fault.duration.unwrap_or(Span::seconds(1)).0;
                    match fault.effect {
                        Some(Effect::Before) => verdict.before += delay,
                        Some(Effect::After) | None => verdict.after += delay,
                    }
                }
                kind if verdict.fault.is_none() => {
                    let effect = match kind {
                        FaultKind::LostRequest => Effect::Before,
                        FaultKind::LostReply => Effect::After,
                        _ => fault.effect.unwrap_or(Effect::Before),
                    };
                    verdict.fault = Some((kind, effect));
                }
                _ => {}
            }
        }
        verdict
    }
}

fn within(fault: &Fault, since: SignedDuration) -> bool {
    let since = Duration::try_from(since).unwrap_or_default();
    fault.from.is_none_or(|from| since >= from.0) && fault.until.is_none_or(|until| since < until.0)
}

fn hits(fault: &Fault, count: u64, random: &mut Random) -> bool {
    fault.nth.is_none_or(|nth| nth == count)
        && fault
            .every
            .is_none_or(|every| every > 0 && count.is_multiple_of(every))
        && fault
            .probability
            .is_none_or(|chance| random.fraction() < chance)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(kind: FaultKind) -> Fault {
        Fault {
            rpc: Some("ResetWorkflowExecution".to_owned()),
            nth: None,
            every: None,
            probability: None,
            kind,
            effect: None,
            duration: None,
            from: None,
            until: None,
        }
    }

    #[test]
    fn nth_call_only() {
        let faults = [Fault {
            nth: Some(2),
            ..fault(FaultKind::LostReply)
        }];
        let mut injector = Injector::new(&faults, 1, Timestamp::UNIX_EPOCH);
        let hit: Vec<bool> = (0..4)
            .map(|_| {
                injector
                    .meet("ResetWorkflowExecution", Timestamp::UNIX_EPOCH)
                    .fault
                    .is_some()
            })
            .collect();
        assert_eq!(hit, [false, true, false, false]);
        assert_eq!(
            injector.meet("ListWorkflowExecutions", Timestamp::UNIX_EPOCH),
            Verdict::default()
        );
    }

    #[test]
    fn the_seed_decides() {
        let faults = [Fault {
            probability: Some(0.5),
            ..fault(FaultKind::Unavailable)
        }];
        let draw = |seed| -> Vec<bool> {
            let mut injector = Injector::new(&faults, seed, Timestamp::UNIX_EPOCH);
            (0..64)
                .map(|_| {
                    injector
                        .meet("ResetWorkflowExecution", Timestamp::UNIX_EPOCH)
                        .fault
                        .is_some()
                })
                .collect()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        assert!(draw(7).contains(&true) && draw(7).contains(&false));
    }
}

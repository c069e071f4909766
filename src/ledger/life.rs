//! The transition table of one Workflow's life in a step.

use std::fmt;

/// Where a Workflow's life in a step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Life {
    /// The step takes it; nothing was decided.
    Claimed,
    /// A write is in flight in this attachment.
    Intended,
    /// A write may have happened.
    InDoubt,
    /// It was written to.
    Done,
    /// Nothing was needed.
    Skipped,
    /// No strategy can be applied.
    Refused,
    /// The call failed; nothing happened.
    Failed,
    /// It cannot be found out what happened.
    Unknown,
    /// Given back.
    Released,
    /// Dry run: it would be written to.
    Would,
    /// A batch job of the service has it; what became of it is looked at when the job has ended.
    Handed,
}

/// What can happen to an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// An intent was written.
    Intend,
    /// The call ended so.
    End(Life),
    /// The process that held the intent is gone.
    Orphan,
    /// A look found that the write happened.
    SettleDone,
    /// A look found that it did not.
    SettleNotDone,
    /// Nothing can be found out.
    SettleUnknown,
    /// The service refused the strategy; there is a fallback.
    Bar,
    /// The claim is given back.
    Release,
    /// Taken up again.
    Retry,
    /// A batch job of the service takes it.
    Hand,
    /// The job was never started.
    TakeBack,
}

/// An event that a state does not allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Illegal {
    /// The state.
    pub life: String,
    /// The event.
    pub event: String,
}

impl fmt::Display for Illegal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cannot follow {}", self.event, self.life)
    }
}

impl std::error::Error for Illegal {}

/// The transition table.
pub fn next(life: Life, event: Event) -> Result<Life, Illegal> {
    use Event as E;
    use Life as L;
    match (life, event) {
        (L::Claimed, E::Intend) => Ok(L::Intended),
        (
            L::Claimed,
            E::End(end @ (L::Skipped | L::Refused | L::Failed | L::Unknown | L::Would)),
        ) => Ok(end),
        (L::Claimed, E::Release) => Ok(L::Released),
        (
            L::Intended,
            E::End(end @ (L::Done | L::Skipped | L::Refused | L::Failed | L::InDoubt)),
        ) => Ok(end),
        // Nothing was sent: the process that held the intent says so itself.
        (L::Intended, E::Bar | E::SettleNotDone) => Ok(L::Claimed),
        (L::Intended, E::Orphan) => Ok(L::InDoubt),
        (L::InDoubt, E::SettleDone) => Ok(L::Done),
        (L::InDoubt, E::SettleNotDone) => Ok(L::Claimed),
        (L::InDoubt, E::SettleUnknown) => Ok(L::Unknown),
        (L::Refused | L::Failed | L::Unknown, E::Retry) => Ok(L::Claimed),
        (L::Claimed, E::Hand) => Ok(L::Handed),
        (L::Handed, E::TakeBack) => Ok(L::Claimed),
        // Nothing is sent to it by this tool: a look after the job has ended says what it came to.
        (L::Handed, E::End(end @ (L::Done | L::Skipped | L::Failed | L::Unknown))) => Ok(end),
        _ => Err(Illegal {
            life: format!("{life:?}"),
            event: format!("{event:?}"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIVES: [Life; 11] = [
        Life::Claimed,
        Life::Intended,
        Life::InDoubt,
        Life::Done,
        Life::Skipped,
        Life::Refused,
        Life::Failed,
        Life::Unknown,
        Life::Released,
        Life::Would,
        Life::Handed,
    ];

    fn events() -> Vec<Event> {
        use Event as E;
        let mut events = vec![
            E::Intend,
            E::Orphan,
            E::SettleDone,
            E::SettleNotDone,
            E::SettleUnknown,
            E::Bar,
            E::Release,
            E::Retry,
            E::Hand,
            E::TakeBack,
        ];
        events.extend(LIVES.map(E::End));
        events
    }

    #[test]
    fn what_was_done_stays_done() {
        for event in events() {
            for life in [Life::Done, Life::Skipped, Life::Released, Life::Would] {
                assert!(next(life, event).is_err(), "{life:?} {event:?}");
            }
        }
    }

    #[test]
    fn what_a_batch_job_has_is_written_to_by_nobody_else() {
        for event in events() {
            let legal = matches!(
                event,
                Event::TakeBack
                    | Event::End(Life::Done | Life::Skipped | Life::Failed | Life::Unknown)
            );
            assert_eq!(next(Life::Handed, event).is_ok(), legal, "{event:?}");
        }
        for life in LIVES {
            assert_eq!(
                next(life, Event::Hand).is_ok(),
                life == Life::Claimed,
                "{life:?}"
            );
        }
    }

    #[test]
    fn a_write_follows_only_a_claim_and_doubt_is_never_written_again() {
        for life in LIVES {
            assert_eq!(
                next(life, Event::Intend).is_ok(),
                life == Life::Claimed,
                "{life:?}"
            );
        }
        for event in events() {
            let legal = matches!(
                event,
                Event::SettleDone | Event::SettleNotDone | Event::SettleUnknown
            );
            assert_eq!(next(Life::InDoubt, event).is_ok(), legal, "{event:?}");
        }
    }
}

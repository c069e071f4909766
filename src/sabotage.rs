//! Bugs that tests plant in the real code, to show that the simulation finds them.
//!
//! A release build knows none of this: [`is_planted`] is false there, and what stands behind it is gone.
//! In a debug build nothing is planted unless a test calls [`plant`], for its own thread. Knows nothing of
//! what the bugs do: that is where they are asked about.

#[cfg(debug_assertions)]
use std::cell::Cell;

/// A bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// A write leaves before its intent is on the disk: both are written when its outcome is.
    OutcomeBeforeIntent,
    /// A write without an answer is sent again.
    BlindRetry,
    /// Commits are written, and not forced to the disk.
    SkippedFsync,
    /// A resumed run claims the pages of its listing anew, and forgets what it had of them.
    PageReplay,
    /// The job ids of a loop's iterations are the same.
    RepeatedJobId,
    /// What Visibility says of a Workflow stands for the look.
    NoLook,
    /// The age of a look is not asked for.
    StaleLook,
    /// The row is chosen by the listing, and the look only guards it.
    RowBeforeLook,
    /// A restart in doubt is sent again, under another request id.
    ResentRestart,
    /// What a look finds out of scope stays claimed, and is not named.
    ClaimKept,
    /// A Version that has drained counts as a proof of health.
    DrainedIsRecovered,
    /// One person's second yes counts as another person's.
    CountedTwice,
    /// Whoever began the run counts although the runbook says otherwise.
    StarterCounted,
}

#[cfg(debug_assertions)]
thread_local! {
    static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
}

/// Plants a bug for this thread, or none.
#[cfg(debug_assertions)]
pub fn plant(bug: Option<Bug>) {
    PLANTED.with(|planted| planted.set(bug));
}

/// Whether a test has planted it.
#[cfg(debug_assertions)]
pub fn is_planted(bug: Bug) -> bool {
    PLANTED.with(|planted| planted.get() == Some(bug))
}

/// Never.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub const fn is_planted(_bug: Bug) -> bool {
    false
}

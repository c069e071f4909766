//! Bugs planted in the real code: the simulation finds each of them, within a bounded number of seeds.

use runbook::sabotage::Bug;

use super::{draw, judge};

/// Seeds within which each is found.
const BOUND: u64 = 400;

/// The first seed that fails with the bug planted, and that holds without it.
fn found(bug: Bug) -> (u64, String) {
    for seed in 0..BOUND {
        let case = draw::case(seed);
        let Some(problem) = judge(&case, Some(bug)).0.into_iter().next() else {
            continue;
        };
        let innocent = judge(&case, None).0;
        assert!(innocent.is_empty(), "seed {seed}: {innocent:?}");
        return (seed, problem);
    }
    panic!("{bug:?} is not found in {BOUND} seeds");
}

macro_rules! finds {
    ($($name:ident: $bug:ident;)*) => {
        $(#[test]
        fn $name() {
            let (seed, problem) = found(Bug::$bug);
            println!("{:?} is found by seed {seed}: {problem}", Bug::$bug);
        })*
    };
}

finds! {
    an_outcome_before_its_intent_is_found: OutcomeBeforeIntent;
    a_blind_retry_is_found: BlindRetry;
    a_skipped_fsync_is_found: SkippedFsync;
    a_replayed_page_is_found: PageReplay;
    a_job_id_that_repeats_is_found: RepeatedJobId;
    trusting_visibility_is_found: NoLook;
    a_stale_look_is_found: StaleLook;
    a_row_chosen_before_the_look_is_found: RowBeforeLook;
    a_restart_that_is_sent_again_is_found: ResentRestart;
    a_claim_that_is_never_released_is_found: ClaimKept;
    drained_taken_for_recovered_is_found: DrainedIsRecovered;
}

//! Bugs planted in the real code: the simulation finds each of them, within a bounded number of seeds.

use std::time::Duration;

use runbook::sabotage::Bug;

use super::case::{Life, Mishap};
use super::{draw, judge};

/// Seeds within which each is found.
const BOUND: u64 = 400;

/// The first seed that fails with the bug planted, and that holds without it.
fn found(bug: Bug) -> (u64, String) {
    for seed in 0..BOUND {
        let mut case = draw::case(seed);
        if bug == Bug::StaleLook {
            // Every answer lies in the socket for a minute: only the age of a look tells.
            let frozen = |nth| Mishap::Frozen {
                nth,
                length: Duration::from_secs(60),
            };
            let life = Life {
                mishaps: (1..60).map(frozen).collect(),
                ..Life::default()
            };
            case.lives.insert(0, life);
        }
        let Some(problem) = judge(&case, Some(bug)).0.into_iter().next() else {
            continue;
        };
        // What fails without it, too, is no proof.
        if judge(&case, None).0.is_empty() {
            return (seed, problem);
        }
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
    a_vote_that_counts_twice_is_found: CountedTwice;
    a_starter_who_counts_is_found: StarterCounted;
}

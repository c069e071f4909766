//! Grants by hand, and a law about them: whatever happens in whatever order, no write is more than was granted.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::record::Treatment;
use crate::survey::Version;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).expect("a timestamp")
}

fn deed(build: &str) -> Deed {
    Deed {
        treatment: Treatment::Moved,
        target: Version::parse(&format!("orders:{build}")),
    }
}

/// Terms whose only deed is a move to `build`.
fn terms(build: &str) -> Terms {
    Terms::of(&json!({ "to": build }), BTreeSet::from([deed(build)]))
}

fn answer(grant: &mut Grant, row: &str, count: u64, terms: &Terms, expires: i64) {
    let grants = BTreeMap::from([(row.to_owned(), count)]);
    let terms = BTreeMap::from([(row.to_owned(), terms.clone())]);
    grant.answered(&grants, &terms, at(expires));
}

fn spend(grant: &mut Grant, row: &str, terms: &Terms, now: i64) -> Result<(), Short> {
    let deed = terms.deeds.first().expect("a deed").clone();
    grant
        .spend(row, terms, &deed, 1, (), at(now))
        .map(|permit| assert_eq!(permit.redeem(at(now)), Ok(())))
}

#[test]
fn a_grant_is_used_up_and_expires() {
    let (mut grant, good) = (Grant::default(), terms("good"));
    assert_eq!(spend(&mut grant, "a", &good, 0), Err(Short::Unasked));
    answer(&mut grant, "a", 2, &good, 10);
    assert_eq!(spend(&mut grant, "a", &good, 0), Ok(()));
    grant.take("a");
    // An intent that is not folded yet counts already.
    assert_eq!(spend(&mut grant, "a", &good, 0), Ok(()));
    assert_eq!(spend(&mut grant, "a", &good, 0), Err(Short::Used));
    grant.take("a");
    assert_eq!(spend(&mut grant, "a", &good, 0), Err(Short::Used));
    grant.give_back("a");
    assert_eq!(grant.allows("a", &good, 1, at(0)), Ok(()));
    assert_eq!(spend(&mut grant, "a", &good, 10), Err(Short::Expired));
    assert_eq!(spend(&mut grant, "b", &good, 0), Err(Short::Unasked));
}

#[test]
fn other_arguments_are_another_question_and_nothing_is_left_over_from_the_first() {
    let (mut grant, good, safe) = (Grant::default(), terms("good"), terms("safe"));
    answer(&mut grant, "a", 100, &good, 10);
    assert_eq!(spend(&mut grant, "a", &good, 0), Ok(()));
    grant.take("a");
    assert_eq!(spend(&mut grant, "a", &safe, 0), Err(Short::Changed));
    assert!(grant.knows("a", &good) && !grant.knows("a", &safe));
    assert_eq!(
        (grant.granted("a", &good), grant.granted("a", &safe)),
        (100, 1)
    );
    answer(&mut grant, "a", 2, &safe, 10);
    assert_eq!(spend(&mut grant, "a", &safe, 0), Ok(()));
    grant.take("a");
    assert_eq!(spend(&mut grant, "a", &safe, 0), Err(Short::Used));
    assert_eq!(spend(&mut grant, "a", &good, 0), Err(Short::Changed));
}

#[test]
fn what_the_terms_do_not_know_is_done_to_nobody() {
    let (mut grant, good) = (Grant::default(), terms("good"));
    answer(&mut grant, "a", 100, &good, 10);
    let spent = grant.spend("a", &good, &deed("safe"), 1, (), at(0));
    assert_eq!(spent, Err(Short::Foreign));
}

#[test]
fn a_permit_opens_until_the_grant_runs_out() {
    let (mut grant, good) = (Grant::default(), terms("good"));
    answer(&mut grant, "a", 1, &good, 10);
    let permit = grant.spend("a", &good, &deed("good"), 1, "a call", at(9));
    let permit = permit.expect("it is granted");
    assert_eq!(
        (*permit.what(), permit.redeem(at(10))),
        ("a call", Err(Lapsed))
    );
}

#[test]
fn an_answer_makes_no_other_row_younger() {
    let (mut grant, good) = (Grant::default(), terms("good"));
    answer(&mut grant, "a", 5, &good, 10);
    answer(&mut grant, "b", 5, &good, 20);
    assert_eq!(spend(&mut grant, "a", &good, 15), Err(Short::Expired));
    assert_eq!(spend(&mut grant, "b", &good, 15), Ok(()));
}

#[test]
fn a_second_answer_extends_and_never_shrinks() {
    let (mut grant, good) = (Grant::default(), terms("good"));
    answer(&mut grant, "a", 5, &good, 10);
    grant.take("a");
    answer(&mut grant, "a", 3, &good, 20);
    assert_eq!((grant.granted("a", &good), grant.used("a")), (5, 1));
}

#[test]
fn what_an_older_version_did_not_write_down_is_asked_for_again() {
    let (mut grant, good) = (Grant::default(), terms("good"));
    let grants = BTreeMap::from([("a".to_owned(), 5)]);
    grant.answered(&grants, &BTreeMap::new(), at(10));
    assert_eq!(spend(&mut grant, "a", &good, 0), Err(Short::Changed));
}

#[test]
fn a_whole_step_is_granted_for_its_arguments() {
    let (mut grant, one, other) = (Grant::default(), terms("good"), terms("safe"));
    assert_eq!(grant.whole(&one, (), at(0)), Err(Short::Unasked));
    let asked = BTreeMap::from([("stop".to_owned(), one.clone())]);
    grant.answered(&BTreeMap::new(), &asked, at(10));
    assert!(grant.whole(&one, (), at(0)).is_ok() && grant.whole(&one, (), at(5)).is_ok());
    assert_eq!(grant.whole(&other, (), at(0)), Err(Short::Changed));
    assert_eq!(grant.whole(&one, (), at(10)), Err(Short::Expired));
}

#[test]
fn a_job_is_started_for_what_was_taken_and_not_more() {
    let (mut grant, good) = (Grant::default(), terms("good"));
    answer(&mut grant, "a", 3, &good, 10);
    let spent = grant.spend("a", &good, &deed("good"), 3, (), at(0));
    assert!(spent.is_ok());
    (0..3).for_each(|_| grant.take("a"));
    let renew = |grant: &Grant, count, now| {
        grant
            .renew("a", &good, &deed("good"), count, (), at(now))
            .map(drop)
    };
    assert_eq!(renew(&grant, 3, 1), Ok(()));
    assert_eq!(renew(&grant, 4, 1), Err(Short::Used));
    assert_eq!(renew(&grant, 3, 10), Err(Short::Expired));
    grant.take("a");
    assert_eq!(renew(&grant, 3, 1), Err(Short::Used));
}

#[test]
fn the_margin_is_a_tenth_rounded_up() {
    assert_eq!([0, 1, 10, 11, 100].map(with_margin), [0, 2, 11, 13, 110]);
}

const ROWS: [&str; 3] = ["a", "b", "c"];
const BUILDS: [&str; 3] = ["good", "safe", "bad"];

/// What can happen to a grant.
#[derive(Clone, Debug)]
enum Happens {
    /// Somebody says yes.
    Yes {
        row: usize,
        build: usize,
        count: u64,
        lasts: i64,
    },
    /// A write is wanted; its intent may be lost before it is folded, and its call may leave late.
    Wanted {
        row: usize,
        build: usize,
        deed: usize,
        count: u64,
        folded: bool,
        late: i64,
    },
    /// A write is found not to have happened.
    NotDone { row: usize },
    /// Time goes by.
    Passes(i64),
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        (0..3usize, 0..3usize, 0..12u64, 0..40i64).prop_map(|(row, build, count, lasts)| {
            Happens::Yes {
                row,
                build,
                count,
                lasts,
            }
        }),
        (
            0..3usize,
            0..3usize,
            0..3usize,
            1..3u64,
            prop::bool::weighted(0.9),
            0..20i64
        )
            .prop_map(|(row, build, deed, count, folded, late)| Happens::Wanted {
                row,
                build,
                deed: if deed == 0 { (build + 1) % 3 } else { build },
                count,
                folded,
                late,
            }),
        (0..3usize).prop_map(|row| Happens::NotDone { row }),
        (0..15i64).prop_map(Happens::Passes),
    ]
}

/// What was said last about a row, kept by the test alone: for what, how many in all, until when.
#[derive(Clone, Default)]
struct Said {
    build: Option<usize>,
    count: u64,
    until: i64,
}

proptest! {
    /// Whatever happens in whatever order: no write leaves that the latest answer about its row does not cover,
    /// none to another target than the one asked about, none late, none beyond the cap.
    #[test]
    fn writes_never_exceed_what_was_granted(
        cap in prop::option::of(0..15u64),
        story in prop::collection::vec(happens(), 0..80),
    ) {
        let mut grant = Grant::capped(cap);
        let mut said: [Said; 3] = Default::default();
        let (mut begun, mut now) = ([0u64; 3], 0i64);
        for event in story {
            match event {
                Happens::Yes { row, build, count, lasts } => {
                    answer(&mut grant, ROWS[row], count, &terms(BUILDS[build]), now + lasts);
                    let before = &said[row];
                    let count = if before.build == Some(build) { count.max(before.count) } else { count };
                    said[row] = Said { build: Some(build), count, until: now + lasts };
                }
                Happens::Wanted { row, build, deed: does, count, folded, late } => {
                    let (known, wanted) = (terms(BUILDS[build]), deed(BUILDS[does]));
                    let permit = grant.spend(ROWS[row], &known, &wanted, count, does, at(now));
                    if permit.is_ok() {
                        begun[row] += count;
                    }
                    if let (Ok(_), true) = (&permit, folded) {
                        (0..count).for_each(|_| grant.take(ROWS[row]));
                    }
                    if let Ok(Ok(sent)) = permit.map(|permit| permit.redeem(at(now + late))) {
                        prop_assert_eq!(Some(sent), said[row].build);
                        prop_assert!(now + late < said[row].until);
                        prop_assert!(begun[row] <= said[row].count);
                        prop_assert!(cap.is_none_or(|cap| begun.iter().sum::<u64>() <= cap));
                    }
                }
                Happens::NotDone { row } => {
                    if grant.used(ROWS[row]) > 0 {
                        grant.give_back(ROWS[row]);
                        begun[row] -= 1;
                    }
                }
                Happens::Passes(seconds) => now += seconds,
            }
        }
    }
}

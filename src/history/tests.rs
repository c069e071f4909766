//! Laws over generated histories, and the shapes that server 1.32 wrote.

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// One letter an event: s task scheduled, t started, c completed, b completed by build `bad`, f failed,
/// R failed by a reset, o timed out, g Signal `good`, x Signal `bad`, u Update, a Activity scheduled, A completed
/// (of the last one scheduled), T timer, C child, . anything else. Event 1 is the first letter.
fn events(letters: &str) -> Vec<Event> {
    let mut activity = 0;
    let mut all = Vec::new();
    for (letter, id) in letters.chars().zip(1..) {
        if letter == 'a' {
            activity = id;
        }
        let (kind, name, of) = match letter {
            's' => (Kind::TaskScheduled, "", 0),
            't' => (Kind::TaskStarted, "", 0),
            'c' => (Kind::TaskCompleted("good".to_owned()), "", 0),
            'b' => (Kind::TaskCompleted("bad".to_owned()), "", 0),
            'f' => (Kind::TaskFailed(false), "non_deterministic_error", 0),
            'R' => (Kind::TaskFailed(true), "reset_workflow", 0),
            'o' => (Kind::TaskTimedOut, "", 0),
            'g' => (Kind::Of(Sort::Signal), "good", 0),
            'x' => (Kind::Of(Sort::Signal), "bad", 0),
            'u' => (Kind::Of(Sort::Update), "change", 0),
            'a' => (Kind::Of(Sort::ActivityScheduled), "Charge", 0),
            'A' => (Kind::Of(Sort::ActivityCompleted), "", activity),
            'T' => (Kind::Of(Sort::TimerStarted), "1", 0),
            'C' => (Kind::Of(Sort::ChildStarted), "Ship", 0),
            _ => (Kind::Other, "", 0),
        };
        let input = (letter == 'x').then(|| json!(id));
        let time = Timestamp::UNIX_EPOCH + SignedDuration::from_secs(id);
        all.push(Event {
            id,
            time: Some(time),
            kind,
            name: name.to_owned(),
            of,
            input,
        });
    }
    all
}

fn durable(letters: &str) -> i64 {
    i64::try_from(letters.len()).expect("short")
}

/// Feeds a history in as `temporal` does.
fn sought(letters: &str, durable: i64, to: &ResetTo) -> Result<ResetPoint, Miss> {
    let mut seek = Seek::new(to.clone(), durable);
    let mut all = events(letters);
    if seek.direction() == Direction::Reverse {
        all.reverse();
    }
    for event in &all {
        seek.push(event);
        if seek.done() {
            break;
        }
    }
    seek.finish(true)
}

fn at(letters: &str, to: &ResetTo) -> Result<i64, Miss> {
    sought(letters, durable(letters), to).map(|point| point.event_id)
}

fn before(kind: EventKind, name: Option<&str>, which: Which) -> ResetTo {
    ResetTo::Before(Before {
        event: Some(kind),
        name: name.map(str::to_owned),
        which,
        input: None,
        time: None,
    })
}

fn bad(which: Which) -> ResetTo {
    before(EventKind::Signal, Some("bad"), which)
}

const LETTERS: &str = "[stcbfRogxuaATC.]{0,60}";

fn history() -> impl Strategy<Value = String> {
    LETTERS.prop_map(|tail| format!(".{tail}"))
}

fn any_target() -> impl Strategy<Value = ResetTo> {
    let which = prop_oneof![Just(Which::Only), Just(Which::First), Just(Which::Last)];
    let kind = prop_oneof![
        Just(EventKind::Signal),
        Just(EventKind::Update),
        Just(EventKind::Activity),
        Just(EventKind::Timer),
        Just(EventKind::Child),
        Just(EventKind::WorkflowTaskFailed),
        Just(EventKind::WorkflowTaskTimedOut),
    ];
    prop_oneof![
        Just(ResetTo::FirstWorkflowTask),
        Just(ResetTo::LastWorkflowTask),
        Just(ResetTo::FailedTask),
        Just(ResetTo::Build("bad".to_owned())),
        (-3i64..70).prop_map(ResetTo::Event),
        (kind, which).prop_map(|(kind, which)| before(kind, None, which)),
        (0i64..70).prop_map(until),
    ]
}

fn until(second: i64) -> ResetTo {
    ResetTo::Before(Before {
        event: None,
        name: None,
        which: Which::Only,
        input: None,
        time: Some((Timestamp::UNIX_EPOCH + SignedDuration::from_secs(second)).to_string()),
    })
}

proptest! {
    /// Whatever is meant, what is found is durable, accepted by the service, and what comes after it is counted.
    #[test]
    fn every_point_is_valid(letters in history(), cut in 0usize..4, to in any_target()) {
        let durable = durable(&letters) - i64::try_from(cut.min(letters.len() - 1)).expect("short");
        if let Ok(point) = sought(&letters, durable, &to) {
            let all = events(&letters);
            let event = all.iter().find(|event| event.id == point.event_id).expect("in the history");
            prop_assert!(point.event_id > 1 && point.event_id <= durable);
            prop_assert!(event.is_point());
            prop_assert_eq!(point.events_after, u64::try_from(durable - point.event_id).expect("after"));
            let after = all.iter().filter(|it| it.id > point.event_id && it.id <= durable);
            let signals = after.filter(|it| it.kind == Kind::Of(Sort::Signal)).count();
            prop_assert_eq!(u64::from(point.signals_after), signals as u64);
            let exact = matches!(to, ResetTo::Event(_) | ResetTo::FailedTask | ResetTo::FirstWorkflowTask);
            prop_assert!(exact || matches!(event.kind, Kind::TaskCompleted(_)), "completed, which is always good");
        }
    }

    /// The point lies before what is undone, and no completed task lies between.
    #[test]
    fn before_keeps_nothing_of_what_is_undone(letters in history(), last: bool) {
        let to = bad(if last { Which::Last } else { Which::First });
        let all = events(&letters);
        let matching: Vec<i64> = all.iter().filter(|it| it.name == "bad").map(|it| it.id).collect();
        let target = if last { matching.last() } else { matching.first() }.copied();
        let completed = |id: i64| letters.as_bytes()[usize::try_from(id - 1).expect("small")];
        let best = target.and_then(|target| (1..target).rev().find(|id| b"cb".contains(&completed(*id))));
        match (target, best, at(&letters, &to)) {
            (None, _, found) => prop_assert_eq!(found, Err(Miss::NoEvent)),
            (Some(target), None, found) => prop_assert_eq!(found, Err(Miss::TooEarly(target))),
            (Some(_), Some(best), found) => prop_assert_eq!(found, Ok(best)),
        }
    }

    /// `only` is `first` where there is one, and names them where there are several.
    #[test]
    fn only_means_one(letters in history()) {
        let matching: Vec<i64> = letters.chars().zip(1..).filter(|(c, _)| *c == 'x').map(|(_, id)| id).collect();
        let only = at(&letters, &bad(Which::Only));
        if matching.len() > 1 {
            prop_assert_eq!(only, Err(Miss::Several(matching.into_iter().take(10).collect())));
        } else {
            prop_assert_eq!(only, at(&letters, &bad(Which::First)));
        }
    }

    #[test]
    fn a_time_keeps_nothing_from_then_on(letters in history(), second in 0i64..70) {
        let best = letters.chars().zip(1i64..).filter(|(c, id)| "cb".contains(*c) && *id < second).map(|(_, id)| id).last();
        prop_assert_eq!(at(&letters, &until(second)), best.ok_or(Miss::NoTask));
    }

    /// An invalid id is answered with the valid ends of tasks that are nearest to it, nearest first.
    #[test]
    fn invalid_events_are_answered_nearest_first(letters in history(), id in -3i64..70) {
        let valid = |c: char| "tcbfRo".contains(c);
        let is_valid = letters.chars().zip(1..).any(|(c, at)| at == id && valid(c));
        match at(&letters, &ResetTo::Event(id)) {
            Ok(found) => prop_assert!(is_valid && found == id),
            Err(Miss::Invalid(points)) => {
                prop_assert!(!is_valid);
                let mut ends: Vec<i64> = letters.chars().zip(1..).filter(|(c, _)| "cbfRo".contains(*c)).map(|(_, at)| at).collect();
                ends.sort_by_key(|at| (at.abs_diff(id), *at));
                ends.truncate(10);
                prop_assert_eq!(points.iter().map(|point| point.event_id).collect::<Vec<_>>(), ends);
            }
            Err(other) => prop_assert!(false, "{other:?}"),
        }
    }

    /// What was not read to the end decides nothing that the rest could change.
    #[test]
    fn half_a_history_proves_no_absence(letters in history(), to in any_target()) {
        let mut seek = Seek::new(to.clone(), durable(&letters) + 10);
        for event in &events(&letters) {
            if seek.direction() == Direction::Forward {
                seek.push(event);
            }
        }
        let whole = seek.clone().finish(true);
        match seek.finish(false) {
            Ok(point) => prop_assert_eq!(Ok(point), whole),
            Err(Miss::TooLong | Miss::Several(_) | Miss::TooEarly(_)) => {}
            Err(other) => prop_assert!(false, "{other:?} is said of an unread history"),
        }
    }

    /// The list is every end of a task, newest first, and the stretches between add up.
    #[test]
    fn the_list_is_whole(letters in history(), most in 1usize..8) {
        let mut list = Points::new(durable(&letters), most);
        for event in events(&letters).iter().rev() {
            list.push(event);
        }
        let (points, more) = list.finish();
        let ends: Vec<i64> = letters.chars().zip(1..).filter(|(c, _)| "cbfRo".contains(*c)).map(|(_, id)| id).collect();
        let open = letters.chars().zip(1i64..).filter(|(c, id)| *c == 't' && ends.last().is_none_or(|end| id > end)).map(|(_, id)| id).last();
        let all: Vec<i64> = open.into_iter().chain(ends.iter().rev().copied()).collect();
        prop_assert_eq!(more, all.len() > most);
        let shown: Vec<i64> = points.iter().map(|point| point.event_id).collect();
        prop_assert_eq!(&shown, &all[..all.len().min(most)]);
        let mut sum = 0;
        for (i, point) in points.iter().enumerate() {
            sum += point.follows.events + u64::from(i > 0);
            prop_assert_eq!(point.after.events, sum);
        }
    }

    #[test]
    fn reapply_reads_back(signals: bool, updates: bool, nexus: bool) {
        let reapply = Reapply { signals, updates, nexus };
        let json = serde_json::to_value(&reapply).expect("JSON");
        prop_assert_eq!(serde_json::from_value::<Reapply>(json).expect("its own"), reapply);
    }
}

#[test]
fn the_first_the_last_and_the_failed_task() {
    let running = ".stc..Astcg.stc..";
    assert_eq!(at(running, &ResetTo::FirstWorkflowTask), Ok(4));
    assert_eq!(at(running, &ResetTo::LastWorkflowTask), Ok(15));
    assert_eq!(at(running, &ResetTo::FailedTask), Err(Miss::NoFailedTask));
    let stuck = ".stcaAstfstf";
    assert_eq!(
        at(stuck, &ResetTo::LastWorkflowTask),
        Ok(4),
        "completed, not failed"
    );
    assert_eq!(at(stuck, &ResetTo::FailedTask), Ok(12));
    let point = sought(stuck, 12, &ResetTo::FailedTask).expect("a point");
    assert_eq!(point.activities_after, 0, "the Activity's result is kept");
    let point = sought(stuck, 12, &ResetTo::LastWorkflowTask).expect("a point");
    assert_eq!(point.activities_after, 1, "it runs again");
    assert_eq!(
        sought(stuck, 8, &ResetTo::FailedTask),
        Err(Miss::NoFailedTask),
        "what a retrying task shows beyond the durable events is no point"
    );
    assert_eq!(
        at(".stR.s", &ResetTo::FailedTask),
        Err(Miss::NoFailedTask),
        "that a reset failed the task is no failure"
    );
}

#[test]
fn without_a_completed_task_the_first_durable_failed_one_will_do_and_there_is_no_last() {
    assert_eq!(at(".stfsto", &ResetTo::FirstWorkflowTask), Ok(4));
    assert_eq!(at(".stfsto", &ResetTo::LastWorkflowTask), Err(Miss::NoTask));
    assert_eq!(at(".st", &ResetTo::FirstWorkflowTask), Err(Miss::NoTask));
    assert_eq!(at(".", &ResetTo::LastWorkflowTask), Err(Miss::NoTask));
}

#[test]
fn the_bad_signal_of_the_loyalty_points() {
    // Two good Signals, the bad one, and a good one after it.
    let letters = ".stcgstcgstcxstcgstc";
    let point = sought(letters, 20, &bad(Which::Only)).expect("a point");
    assert_eq!(point.event_id, 12);
    assert_eq!(
        point.signals_after, 2,
        "the bad one, and a good one that is lost"
    );
    let names: Vec<&str> = point
        .after
        .happenings
        .iter()
        .map(|it| it.name.as_str())
        .collect();
    assert_eq!(names, ["bad", "good"]);
}

#[test]
fn a_signal_that_started_the_workflow_cannot_be_undone() {
    assert_eq!(at(".xstc", &bad(Which::Only)), Err(Miss::TooEarly(2)));
}

#[test]
fn a_build_is_undone_from_its_first_task_on() {
    let build = ResetTo::Build("bad".to_owned());
    assert_eq!(at(".stcstbstc", &build), Ok(7));
    assert_eq!(at(".stcstc", &build), Err(Miss::NoEvent));
}

#[test]
fn an_input_tells_equal_names_apart() {
    let with = |input: Value, which| {
        ResetTo::Before(Before {
            event: Some(EventKind::Signal),
            name: Some("bad".to_owned()),
            which,
            input: Some(input),
            time: None,
        })
    };
    let letters = ".stcxstcxstc";
    assert_eq!(at(letters, &with(json!(9), Which::Only)), Ok(8));
    assert_eq!(
        at(letters, &with(json!(1), Which::Only)),
        Err(Miss::NoEvent)
    );
    let any = ResetTo::Before(Before {
        event: Some(EventKind::Signal),
        name: Some("good".to_owned()),
        which: Which::Only,
        input: Some(json!(5)),
        time: None,
    });
    assert_eq!(
        at(".stcg", &any),
        Err(Miss::Unreadable(5)),
        "an input that cannot be read may be the one"
    );
}

#[test]
fn an_activity_has_its_name_in_either_direction() {
    let letters = ".stcaAstcaAstc";
    for to in [ResetTo::FirstWorkflowTask, ResetTo::Event(4)] {
        let point = sought(letters, 14, &to).expect("a point");
        let done: Vec<&str> = point
            .after
            .happenings
            .iter()
            .filter(|it| it.what == Sort::ActivityCompleted)
            .map(|it| it.name.as_str())
            .collect();
        assert_eq!(done, ["Charge", "Charge"], "{to:?}");
    }
}

#[test]
fn what_is_kept_does_not_grow_with_the_history() {
    let mut letters = String::from(".stc");
    while letters.len() < 50_000 {
        letters.push_str("gaAstc");
    }
    for to in [
        ResetTo::FirstWorkflowTask,
        ResetTo::Event(4),
        ResetTo::Event(5),
    ] {
        let durable = durable(&letters);
        match sought(&letters, durable, &to) {
            Ok(point) => {
                assert!(point.signals_after > 8_000);
                assert_eq!(point.after.happenings.len(), NAMED);
            }
            Err(Miss::Invalid(points)) => assert_eq!(points.len(), 10),
            Err(other) => panic!("{other:?}"),
        }
    }
}

#[test]
fn spellings() {
    let read = |value: Value| serde_json::from_value::<ResetTo>(value);
    assert_eq!(
        read(json!("first_workflow_task")).expect("a point"),
        ResetTo::FirstWorkflowTask
    );
    assert_eq!(
        read(json!({ "event": 42 })).expect("a point"),
        ResetTo::Event(42)
    );
    assert!(read(json!({ "event": 1, "build": "x" })).is_err());
    assert!(read(json!({ "before": { "event": "signal", "nmae": "x" } })).is_err());
    let reapply = |value: Value| serde_json::from_value::<Reapply>(value);
    assert_eq!(reapply(json!("all")).expect("all"), Reapply::ALL);
    assert_eq!(reapply(json!("none")).expect("none"), Reapply::NONE);
    let two = reapply(json!(["without_signals", "without_nexus"])).expect("a list");
    assert!(!two.signals && two.updates && !two.nexus);
    assert!(reapply(json!("without_everything")).is_err());
}

#[test]
fn a_moment_is_an_event_or_a_time() {
    let read = |value: Value| {
        serde_json::from_value::<Before>(value)
            .expect("its shape")
            .moment()
            .map(|_| ())
    };
    assert_eq!(read(json!({ "event": "signal", "name": "x" })), Ok(()));
    assert_eq!(read(json!({ "time": "2026-11-21T10:00:00Z" })), Ok(()));
    for wrong in [
        json!({}),
        json!({ "event": "signal", "time": "2026-11-21T10:00:00Z" }),
        json!({ "time": "2026-11-21T10:00:00Z", "which": "last" }),
        json!({ "time": "yesterday" }),
    ] {
        assert!(read(wrong.clone()).is_err(), "{wrong}");
    }
}

#[test]
fn words() {
    let mut stretch = Stretch::default();
    let names = Names::default();
    for event in events("gxgaAuc") {
        stretch.add(&event, &names);
    }
    assert_eq!(
        stretch.words(1),
        "3 Signals (good, …), 1 Update (change), 1 Activity scheduled (Charge), 1 Activity completed"
    );
    assert_eq!(
        Stretch::default().words(3),
        "nothing that a person would miss"
    );
}

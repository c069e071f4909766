//! A real machine, whose only step asks a person, and people who answer it from elsewhere in any order.

use futures::executor::block_on;
use futures::future::FutureExt;
use jiff::SignedDuration;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::approval::Barred;
use crate::journal::Journal;
use crate::plan::{Plan, Survey};
use crate::record::{Flags, RunId, Through};
use crate::run::begin::machine_of;
use crate::runbook::{ParameterInput, Runbook};
use crate::steps::{Completion, Effect, Machine, Room};

const WORD: &str = "orders";
const START: &str = "2026-01-05T03:00:00Z";

fn start() -> jiff::Timestamp {
    START.parse().expect("a time")
}

fn runbook(confirm: &str, form: &str) -> Runbook {
    let text = format!(
        "schema: runbook/v1\nname: by-hand\nsteps:\n  - id: task\n    action: manual.task\n    with: {{ instructions: Look{form} }}\n    confirm: {confirm}\n"
    );
    Runbook::parse("t.yaml", text.as_bytes()).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

fn person(name: &str) -> Witness {
    Witness {
        name: name.to_owned(),
        from: format!("{name}'s laptop"),
        through: Through::Tls,
    }
}

fn submission(question: u32, name: &str, answer: Answer) -> Submission {
    Submission {
        question,
        answer,
        word: Some(WORD.to_owned()),
        note: String::new(),
        form: Map::new(),
        witness: person(name),
    }
}

/// A run without a loop: what the machine asks lies on the desk.
struct Play {
    machine: Machine,
    desk: Desk,
    records: Vec<Record>,
    reply: Option<(u32, oneshot::Receiver<Reply>)>,
    now: jiff::Timestamp,
}

impl Play {
    fn begin(runbook: Runbook, flags: Flags) -> Self {
        let parameters = runbook.resolve_parameters(&ParameterInput::default());
        let parameters = parameters.expect("there are none");
        let plan = Plan::new(&runbook, parameters.clone(), Survey::default(), start());
        let id = RunId("rb-test".to_owned());
        let mut machine = Machine::new(Arc::new(runbook), plan, parameters, id, false);
        machine.open("test", true, start());
        Self::with(machine, Vec::new(), "alice", flags, start())
    }

    fn with(
        mut machine: Machine,
        records: Vec<Record>,
        user: &str,
        flags: Flags,
        now: jiff::Timestamp,
    ) -> Self {
        machine.attach("host", 1, user, flags, Vec::new(), now);
        let desk = Desk::new(Clock::simulated(now));
        records.iter().for_each(|record| desk.observe(record));
        let mut play = Self {
            machine,
            desk,
            records,
            reply: None,
            now,
        };
        play.settle();
        play
    }

    /// Killed, and resumed `later` by `user`.
    fn resume(self, user: &str, later: SignedDuration) -> Self {
        let now = self.now + later;
        Self::with(
            folded(&self.records),
            self.records,
            user,
            Flags::default(),
            now,
        )
    }

    fn settle(&mut self) {
        let mut token = || true;
        let mut room = Room {
            slots: 8,
            token: &mut token,
            starved: false,
        };
        let effects = self.machine.next(self.now, &mut room);
        for record in self.machine.take_outbox() {
            self.desk.observe(&record);
            self.records.push(record);
        }
        match effects.into_iter().next() {
            Some(Effect::Ask { question, word, .. }) => {
                let asking = Asking::of(&self.machine, question, word, "a:7233", "prod");
                let reply = self.desk.put(&asking.expect("it was asked"));
                self.reply = Some((question, reply));
            }
            Some(Effect::Finish(_)) | None => {}
            Some(other) => panic!("{other:?}"),
        }
    }

    /// Leaves an answer, and lets the run take it.
    fn answer(&mut self, submission: Submission) -> Result<Standing, Refusal> {
        let desk = self.desk.clone();
        let mut answered = Box::pin(desk.answer(submission));
        loop {
            if let Some(result) = answered.as_mut().now_or_never() {
                return result;
            }
            let (question, mut reply) = self.reply.take().expect("it waits for the run");
            let reply = reply.try_recv().expect("the run has what it waits for");
            let completion = Completion::Answered { question, reply };
            self.machine.complete(completion, self.now);
            self.settle();
        }
    }

    fn question(&self) -> u32 {
        self.desk.open().expect("a question").asking.question
    }

    fn ended(&self) -> bool {
        self.records
            .iter()
            .any(|record| matches!(record.body, Body::Ended { .. }))
    }
}

fn folded(records: &[Record]) -> Machine {
    let (first, rest) = records.split_first().expect("records");
    let mut machine = machine_of(first, |_, kept| Ok(kept)).expect("a machine");
    for record in rest {
        machine.fold(record).expect("a record that fits");
    }
    machine
}

#[test]
fn two_people_agree_each_once_and_the_second_yes_answers() {
    let mut play = Play::begin(runbook("{ type: orders, by: 2 }", ""), Flags::default());
    let question = play.question();
    let yes = |name| submission(question, name, Answer::Yes);
    let first = play.answer(yes("bob")).expect("it counts");
    assert_eq!((first.answer, first.wanted, first.again), (None, 2, false));
    let open = play.desk.open().expect("it is open still").asking;
    assert_eq!(
        open.ballot.words(),
        "1 of 2 approvals: bob; another person must agree"
    );
    let again = play.answer(yes("Bob@example.com")).expect("the same again");
    assert_eq!((again.answer, again.again), (None, true));
    let second = play.answer(yes("carol")).expect("it counts");
    assert_eq!((second.answer, second.by.len()), (Some(Answer::Yes), 2));
    assert!(play.ended());
    // Late: the same stands, another is refused.
    assert_eq!(play.answer(yes("bob")).map(|it| it.again), Ok(true));
    let late = play.answer(submission(question, "bob", Answer::No));
    assert!(matches!(
        late,
        Err(Refusal::Late {
            answer: Answer::Yes,
            ..
        })
    ));
    let late = play.answer(yes("dave"));
    assert_eq!(
        late.expect_err("too late").to_string(),
        "it is answered already: yes, by bob through TLS (bob's laptop) and carol through TLS (carol's laptop)"
    );
}

#[test]
fn a_no_is_heard_while_others_must_agree() {
    let mut play = Play::begin(runbook("{ by: 2 }", ""), Flags::default());
    let question = play.question();
    play.answer(submission(question, "bob", Answer::Yes))
        .expect("it counts");
    let no = play
        .answer(submission(question, "bob", Answer::No))
        .expect("it counts");
    assert_eq!(no.answer, Some(Answer::No));
    let late = play.answer(submission(question, "carol", Answer::Yes));
    assert!(matches!(
        late,
        Err(Refusal::Late {
            answer: Answer::No,
            ..
        })
    ));
    // Whoever resumes is asked anew, and nothing of before counts.
    let resumed = play.resume("alice", SignedDuration::ZERO);
    assert_eq!(
        resumed.desk.open().expect("a question").asking.ballot.votes,
        []
    );
}

#[test]
fn what_does_not_count_is_refused_with_the_reason() {
    let form = ", form: { ticket: { type: string } }";
    let confirm = "{ type: orders, by: 2, not: starter }";
    let mut play = Play::begin(runbook(confirm, form), Flags::default());
    let question = play.question();
    let yes = |name| submission(question, name, Answer::Yes);
    let unknown = play.answer(submission(question + 1, "bob", Answer::Yes));
    let open = Some(question);
    let missed = question + 1;
    assert_eq!(
        unknown,
        Err(Refusal::Unknown {
            question: missed,
            open
        })
    );
    let starter = play.answer(yes("alice"));
    let barred = Barred::Starter("alice".to_owned());
    assert_eq!(starter, Err(Refusal::NotAllowed(barred)));
    let mistyped = Submission {
        word: Some("order".to_owned()),
        ..yes("bob")
    };
    assert!(matches!(play.answer(mistyped), Err(Refusal::Word { .. })));
    assert!(matches!(play.answer(yes("bob")), Err(Refusal::Form(_))));
    let filled = |name, ticket: &str| Submission {
        form: Map::from_iter([("ticket".to_owned(), json!(ticket))]),
        ..yes(name)
    };
    play.answer(filled("bob", "OPS-1")).expect("it counts");
    // Whoever agrees later agrees to what was entered, and cannot change it.
    assert!(matches!(
        play.answer(filled("carol", "OPS-2")),
        Err(Refusal::Form(_))
    ));
    assert_eq!(
        play.answer(filled("bob", "OPS-2")),
        Err(Refusal::Conflicting)
    );
    let done = play.answer(yes("carol")).expect("it counts");
    assert_eq!(done.answer, Some(Answer::Yes));
    let entered = play.records.iter().find_map(|record| match &record.body {
        Body::Answered { form, .. } => form.get("ticket").cloned(),
        _ => None,
    });
    assert_eq!(entered, Some(json!("OPS-1")));
    play.desk.close();
    let over = play.answer(submission(question + 1, "bob", Answer::Yes));
    assert!(matches!(over, Err(Refusal::Over(_))));
}

#[test]
fn votes_outlive_the_process_for_four_hours() {
    let agreed = |later: SignedDuration| {
        let mut play = Play::begin(runbook("{ by: 2 }", ""), Flags::default());
        let question = play.question();
        play.answer(submission(question, "bob", Answer::Yes))
            .expect("it counts");
        let play = play.resume("alice", later);
        play.desk
            .open()
            .expect("a question")
            .asking
            .ballot
            .votes
            .len()
    };
    assert_eq!(agreed(SignedDuration::from_mins(239)), 1);
    assert_eq!(agreed(SignedDuration::from_mins(240)), 0);
}

#[test]
fn a_yes_that_was_written_down_is_told_so_where_the_run_stops_right_after_it() {
    let mut play = Play::begin(runbook("{ by: 2 }", ""), Flags::default());
    let question = play.question();
    let desk = play.desk.clone();
    let mut answered = Box::pin(desk.answer(submission(question, "bob", Answer::Yes)));
    assert!(answered.as_mut().now_or_never().is_none());
    let (_, mut reply) = play.reply.take().expect("it is asked");
    let reply = reply.try_recv().expect("bob's");
    let completion = Completion::Answered { question, reply };
    play.machine.complete(completion, play.now);
    play.machine.stop("SIGTERM");
    play.settle();
    let kinds = play.records.iter().rev().map(|record| &record.body);
    let kinds: Vec<_> = kinds.take(2).collect();
    let [Body::Interrupted { .. }, Body::Approved { .. }] = kinds[..] else {
        panic!("{kinds:?}");
    };
    let told = answered.now_or_never().expect("it is decided");
    assert_eq!(told.map(|it| (it.answer, it.by.len())), Ok((None, 1)));
}

#[test]
fn a_flag_is_the_starters_one_vote() {
    let flags = Flags {
        yes: true,
        ..Flags::default()
    };
    let mut play = Play::begin(runbook("{ by: 2 }", ""), flags.clone());
    let question = play.question();
    let votes = play.desk.open().expect("open").asking.ballot.votes;
    assert_eq!(votes[0].witness.to_string(), "alice by a flag (host)");
    let again = play.answer(submission(question, "alice", Answer::Yes));
    assert_eq!(again.map(|it| (it.answer, it.again)), Ok((None, true)));
    let done = play.answer(submission(question, "bob", Answer::Yes));
    assert_eq!(done.map(|it| it.answer), Ok(Some(Answer::Yes)));
    let barred = Play::begin(runbook("{ by: 1, not: starter }", ""), flags);
    assert_eq!(barred.desk.open().expect("open").asking.ballot.votes, []);
}

#[test]
fn whoever_resumes_is_a_starter_too_and_their_vote_counts_no_more() {
    let confirm = "{ by: 2, not: starter }";
    let mut play = Play::begin(runbook(confirm, ""), Flags::default());
    let question = play.question();
    play.answer(submission(question, "bob", Answer::Yes))
        .expect("it counts");
    let play = play.resume("bob", SignedDuration::ZERO);
    let ballot = play.desk.open().expect("open").asking.ballot;
    assert_eq!(
        ballot.words(),
        "0 of 2 approvals; 2 people must agree, not alice or bob (who began or resumed the run)"
    );
}

#[test]
fn a_wish_to_stop_is_passed_on_once_and_signals_still_arrive() {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("a runtime").block_on(async {
        let (signals, receiver) = unbounded_channel();
        let desk = Desk::new(Clock::real());
        assert!(matches!(desk.stop(&person("bob")), Err(Refusal::Over(_))));
        let mut interrupts = desk.joined(receiver);
        assert_eq!(desk.stop(&person("bob")), Ok(()));
        assert_eq!(desk.stop(&person("carol")), Ok(()));
        signals.send("SIGTERM".into()).expect("somebody listens");
        let first = interrupts.recv().await.expect("a stop");
        assert_eq!(first.to_string(), "bob through TLS (bob's laptop)");
        assert_eq!(interrupts.recv().await, Some(Stop::Signal("SIGTERM")));
    });
}

/// Says no one thing, or waits for ever.
struct Terminal(Option<Reply>);

impl Operator for Terminal {
    fn ask<'a>(&'a self, _: &'a Asking) -> BoxFuture<'a, Reply> {
        match self.0.clone() {
            Some(reply) => futures::future::ready(reply).boxed(),
            None => futures::future::pending().boxed(),
        }
    }
}

#[test]
fn the_first_answer_of_terminal_and_desk_wins() {
    let play = Play::begin(runbook("{ by: 2 }", ""), Flags::default());
    let asking = play.desk.open().expect("open").asking;
    let bob = submission(asking.question, "bob", Answer::Yes);
    let by = person("alice");
    let no = Terminal(Some(Reply::No { by: by.clone() }));
    let desk = Desk::new(Clock::simulated(start()));
    let together = Together {
        terminal: &no,
        desk: &desk,
    };
    assert_eq!(block_on(together.ask(&asking)), Reply::No { by });
    // The run has an answer: whoever comes now waits until it is written down.
    let mut waiting = Box::pin(desk.answer(bob.clone()));
    assert!(waiting.as_mut().now_or_never().is_none());
    assert!(!desk.open().expect("open still").takes);
    for silent in [Terminal(None), Terminal(Some(Reply::Nobody))] {
        let desk = Desk::new(Clock::simulated(start()));
        let together = Together {
            terminal: &silent,
            desk: &desk,
        };
        let mut asked = together.ask(&asking);
        assert!(asked.as_mut().now_or_never().is_none());
        let mut left = Box::pin(desk.answer(bob.clone()));
        assert!(left.as_mut().now_or_never().is_none());
        assert_eq!(block_on(asked), bob.reply());
    }
}

#[test]
fn a_parked_run_takes_a_vote_and_its_journal_a_record() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("run.jsonl");
    let mut play = Play::begin(runbook("{ by: 2 }", ""), Flags::default());
    let question = play.question();
    let bob = submission(question, "bob", Answer::Yes);
    let vote = |later: SignedDuration, it: &Submission| {
        vote_while_parked(&path, it.clone(), start() + later)
    };
    let mut journal = Journal::create(&path).expect("a journal");
    journal.append(&play.records).expect("records");
    let written = play.records.len();
    assert!(matches!(
        vote(SignedDuration::ZERO, &bob),
        Err(Refusal::Held(_))
    ));
    drop(journal);
    // Killed, not parked: its time goes on until somebody resumes it.
    assert!(matches!(
        vote(SignedDuration::ZERO, &bob),
        Err(Refusal::Over(_))
    ));
    let reply = Reply::Nobody;
    play.machine
        .complete(Completion::Answered { question, reply }, start());
    play.settle();
    let mut journal = Journal::open(&path, drop).expect("a journal").journal;
    journal.append(&play.records[written..]).expect("records");
    drop(journal);
    let hour = SignedDuration::from_hours(1);
    let other = submission(question + 1, "bob", Answer::Yes);
    assert!(matches!(vote(hour, &other), Err(Refusal::Unknown { .. })));
    let taken = vote(hour, &bob).expect("it counts");
    assert_eq!(
        (taken.answer, taken.by.len(), taken.again),
        (None, 1, false)
    );
    assert_eq!(vote(hour, &bob).map(|it| it.again), Ok(true));
    // Enough is enough: a third yes is late, and the first two stand.
    let before = std::fs::read(&path).expect("a journal");
    let carol = submission(question, "carol", Answer::Yes);
    let dave = submission(question, "dave", Answer::Yes);
    assert_eq!(vote(hour, &carol).map(|it| it.by.len()), Ok(2));
    assert!(matches!(vote(hour, &dave), Err(Refusal::Late { by, .. }) if by.len() == 2));
    std::fs::write(&path, before).expect("as if carol had not agreed");
    let mut records = Vec::new();
    drop(Journal::open(&path, |record| records.push(record)).expect("a journal"));
    let last = &records.last().expect("records").body;
    let Body::Parked { reason } = last else {
        panic!("it is parked still: {last:?}");
    };
    assert_eq!(
        reason,
        "step `task` asks, and it has 1 of 2 approvals: bob; another person must agree"
    );
    // Nobody was attached for that hour, and bob's vote counts when alice resumes.
    let machine = folded(&records);
    assert!(machine.state().attached_at(start()).is_zero());
    let mut play = Play::with(
        machine,
        records,
        "alice",
        Flags::default(),
        start() + hour * 2,
    );
    let question = play.question();
    let done = play.answer(submission(question, "alice", Answer::Yes));
    assert_eq!(done.map(|it| it.answer), Ok(Some(Answer::Yes)));
}

const PEOPLE: [&str; 4] = ["alice", "bob", "carol", "Bob@example.com"];

#[derive(Clone, Debug)]
enum Act {
    Submit { who: usize, yes: bool, word: bool },
    Resume,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        8 => (0..PEOPLE.len(), prop::bool::weighted(0.8), prop::bool::weighted(0.9))
            .prop_map(|(who, yes, word)| Act::Submit { who, yes, word }),
        1 => Just(Act::Resume),
    ]
}

/// What should become of a sequence of answers, said in other words than the code has it.
#[derive(Default)]
struct Model {
    wanted: usize,
    not_starter: bool,
    agreed: Vec<usize>,
    answer: Option<(bool, Vec<usize>)>,
}

/// What an answer comes to.
#[derive(Debug, PartialEq)]
enum Verdict {
    Taken { again: bool },
    Late,
    Word,
    NotAllowed,
}

impl Model {
    fn submit(&mut self, who: usize, yes: bool, word: bool) -> Verdict {
        // The fourth is the second under another name.
        let who = if who == 3 { 1 } else { who };
        if let Some((answer, whose)) = &self.answer {
            return match *answer == yes && whose.contains(&who) {
                true => Verdict::Taken { again: true },
                false => Verdict::Late,
            };
        }
        if !yes {
            self.answer = Some((false, vec![who]));
            return Verdict::Taken { again: false };
        }
        if self.agreed.contains(&who) {
            return Verdict::Taken { again: true };
        }
        if self.not_starter && who == 0 {
            return Verdict::NotAllowed;
        }
        if !word {
            return Verdict::Word;
        }
        self.agreed.push(who);
        if self.agreed.len() == self.wanted {
            self.answer = Some((true, self.agreed.clone()));
        }
        Verdict::Taken { again: false }
    }
}

fn verdict(result: &Result<Standing, Refusal>) -> Verdict {
    match result {
        Ok(standing) => Verdict::Taken {
            again: standing.again,
        },
        Err(Refusal::Late { .. }) => Verdict::Late,
        Err(Refusal::Word { .. }) => Verdict::Word,
        Err(Refusal::NotAllowed(_)) => Verdict::NotAllowed,
        Err(other) => panic!("{other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_sequence_of_answers_comes_to_what_the_rules_say(
        wanted in 1..4_usize,
        not_starter in any::<bool>(),
        acts in prop::collection::vec(act(), 0..14),
    ) {
        let not = if not_starter { ", not: starter" } else { "" };
        let confirm = format!("{{ type: {WORD}, by: {wanted}{not} }}");
        let mut play = Play::begin(runbook(&confirm, ""), Flags::default());
        let mut model = Model { wanted, not_starter, ..Model::default() };
        let mut question = play.question();
        for act in acts {
            match act {
                Act::Resume if model.answer.is_none() => {
                    play = play.resume("alice", SignedDuration::ZERO);
                    question = play.question();
                }
                Act::Resume => {}
                Act::Submit { who, yes, word } => {
                    let answer = if yes { Answer::Yes } else { Answer::No };
                    let mut given = submission(question, PEOPLE[who], answer);
                    given.word = given.word.filter(|_| word);
                    let result = play.answer(given);
                    prop_assert_eq!(verdict(&result), model.submit(who, yes, word));
                }
            }
            let answered = play.records.iter().find_map(|record| match record.body {
                Body::Answered { answer, .. } => Some(answer == Answer::Yes),
                _ => None,
            });
            prop_assert_eq!(answered, model.answer.as_ref().map(|(answer, _)| *answer));
            prop_assert_eq!(play.ended(), model.answer.is_some());
        }
    }
}

//! Prompts and live lines through a pseudo-terminal. The terminal's program is this test binary itself,
//! running one of the ignored tests below.

use std::env;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use expectrl::{Eof, Expect, session::OsSession};
use runbook::clock::Clock;
use runbook::desk::{Desk, Submission, Together};
use runbook::record::{Answer, Body, FORMAT, Place, Question, Record, RunId, StepStatus, Witness};
use runbook::run::{Asking, Display, Operator, Progress};
use runbook::ui::{Colours, LiveDisplay, TerminalOperator, Ui};
use serde_json::Value;

const ANSWER: &str = "RUNBOOK_TEST_ANSWER";
const WORD: &str = "RUNBOOK_TEST_WORD";

fn place() -> Place {
    Place {
        step: "clean_up".to_owned(),
        iteration: 0,
    }
}

fn question(number: u32, word: Option<String>) -> Asking {
    Asking {
        question: number,
        place: place(),
        what: Question::Changes {
            equivalents: Vec::new(),
            changes: vec!["delete orders:bad".to_owned()],
        },
        title: "Delete the bad Version".to_owned(),
        word,
        address: "127.0.0.1:7233".to_owned(),
        namespace: "prod".to_owned(),
        terms: Default::default(),
        ballot: Default::default(),
    }
}

/// Asks one question at the terminal and writes the reply to a file: the terminal may be gone by then.
#[test]
#[ignore = "runs inside of a pseudo-terminal"]
fn asks_at_the_terminal() {
    let Some(answer) = env::var_os(ANSWER) else {
        return;
    };
    let asking = question(1, env::var(WORD).ok());
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let reply = runtime.block_on(async {
        // As the program does: a closed terminal must not end the process.
        let hangup = tokio::signal::unix::SignalKind::hangup();
        let _held = tokio::signal::unix::signal(hangup).expect("a handler");
        let ui = Ui::from_environment(Colours::Never);
        ui.line(runbook::ui::Tone::Plain, "before the question");
        TerminalOperator::new(ui, Witness::rehearsed("alice"))
            .ask(&asking)
            .await
    });
    std::fs::write(answer, format!("{reply:?}")).expect("a file");
}

/// Asks one question that is answered elsewhere while its prompt is open, then another one.
#[test]
#[ignore = "runs inside of a pseudo-terminal"]
fn asks_twice_at_the_terminal() {
    let Some(answer) = env::var_os(ANSWER) else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let replies = runtime.block_on(async {
        let ui = Ui::from_environment(Colours::Never);
        let terminal = TerminalOperator::new(ui.clone(), Witness::rehearsed("alice"));
        let desk = Desk::new(Clock::real());
        let together = Together {
            terminal: &terminal,
            desk: &desk,
        };
        let first = question(1, env::var(WORD).ok());
        let elsewhere = async {
            tokio::time::sleep(Duration::from_millis(1500)).await;
            let submission = Submission {
                question: 1,
                answer: Answer::No,
                word: None,
                note: String::new(),
                form: Default::default(),
                witness: Witness::rehearsed("bob"),
            };
            // Nothing writes it down here, so nothing says that it was.
            let left = tokio::time::timeout(Duration::from_millis(100), desk.answer(submission));
            assert!(left.await.is_err());
        };
        let (reply, ()) = tokio::join!(together.ask(&first), elsewhere);
        tokio::time::sleep(Duration::from_millis(500)).await;
        ui.line(runbook::ui::Tone::Plain, "between the questions");
        [reply, together.ask(&question(2, None)).await]
    });
    std::fs::write(answer, format!("{replies:?}")).expect("a file");
}

/// Draws a step at work and its end.
#[test]
#[ignore = "runs inside of a pseudo-terminal"]
fn draws_at_the_terminal() {
    if env::var_os(ANSWER).is_none() {
        return;
    }
    let at = jiff::Timestamp::UNIX_EPOCH;
    let record = |seq, body| Record { seq, at, body };
    let mut display = LiveDisplay::new(Ui::from_environment(Colours::Auto));
    display.record(&record(
        1,
        Body::Opened {
            format: FORMAT,
            run: RunId("rb-1".to_owned()),
            plan: Box::new(Value::Null),
            tool: String::new(),
            dry: false,
            rehearsal: false,
            saved: None,
        },
    ));
    display.record(&record(2, Body::StepStarted { place: place() }));
    for _ in 0..5 {
        display.progress(&Progress {
            step: Some(place()),
            in_flight: 0,
            rate: 0.0,
            waiting_for: Some("pollers to go away".to_owned()),
            until: None,
            now: at,
            simulated: false,
        });
        std::thread::sleep(Duration::from_millis(120));
    }
    display.record(&record(
        3,
        Body::StepEnded {
            place: place(),
            status: StepStatus::Succeeded,
            output: Value::Null,
            message: "deleted".to_owned(),
        },
    ));
    drop(display);
}

/// This binary, running one of the tests above in a session of its own: it must live on when the
/// terminal's process is killed and the terminal closes.
fn terminal(test: &str, variables: &[(&str, &str)]) -> OsSession {
    let mut command = Command::new("sh");
    command
        .args(["-c", r#"setsid --wait "$0" "$@""#])
        .arg(env::current_exe().expect("this binary"))
        .args(["--ignored", "--exact", "--nocapture"])
        .arg(format!("terminal::{test}"))
        .env_remove("NO_COLOR")
        .env("TERM", "xterm-256color")
        .env("COLUMNS", "80");
    command.envs(variables.iter().copied());
    let mut session = OsSession::spawn(command).expect("a pseudo-terminal");
    session.set_expect_timeout(Some(Duration::from_secs(60)));
    session
}

/// Asks, lets `person` answer, and gives the reply.
fn ask(word: Option<&str>, person: impl FnOnce(OsSession)) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("reply");
    let path = file.display().to_string();
    let mut variables = vec![(ANSWER, path.as_str())];
    variables.extend(word.map(|word| (WORD, word)));
    let mut session = terminal("asks_at_the_terminal", &variables);
    session
        .expect("before the question")
        .expect("the line before");
    session.expect("namespace prod").expect("the table first");
    session
        .expect("delete orders:bad")
        .expect("what is changed");
    person(session);
    read(&file)
}

fn read(file: &Path) -> String {
    for _ in 0..600 {
        match std::fs::read_to_string(file) {
            Ok(text) if !text.is_empty() => return text,
            _ => std::thread::sleep(Duration::from_millis(100)),
        }
    }
    panic!("there is no reply");
}

/// Sends what a person types once the prompt is there, and reads to the end.
fn types(prompt: &'static str, keys: &'static [&'static str]) -> impl FnOnce(OsSession) {
    move |mut session| {
        for key in keys {
            session.expect(prompt).expect("the prompt");
            session.send(key).expect("keys");
        }
        session.expect(Eof).expect("an end");
    }
}

#[test]
fn a_person_agrees_declines_or_interrupts() {
    let go_on = "Go on?";
    assert_eq!(
        ask(None, types(go_on, &["y\r"])),
        r#"Yes { by: Witness { name: "alice", from: "", through: Rehearsal }, note: "", form: {} }"#
    );
    let no = r#"No { by: Witness { name: "alice", from: "", through: Rehearsal } }"#;
    assert_eq!(ask(None, types(go_on, &["\r"])), no);
    assert_eq!(ask(None, types(go_on, &["\u{1b}"])), no);
    assert_eq!(ask(None, types(go_on, &["\u{3}"])), "Interrupted");
}

/// A prompt that waits for a key and is not asked any more must not take those of the next one.
#[test]
fn a_question_that_is_answered_elsewhere_gives_its_prompt_up() {
    for word in [None, Some("good")] {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("reply");
        let path = file.display().to_string();
        let mut variables = vec![(ANSWER, path.as_str())];
        variables.extend(word.map(|word| (WORD, word)));
        let mut session = terminal("asks_twice_at_the_terminal", &variables);
        let prompt = word.map_or("Go on?", |_| "Type good to go on:");
        session.expect(prompt).expect("the first prompt");
        session.expect("between the questions").expect("it goes on");
        session.expect("Press Enter").expect("what to do");
        session.send("\r").expect("keys");
        session
            .expect("delete orders:bad")
            .expect("the second question");
        session.expect("Go on?").expect("its prompt");
        session.send("y\r").expect("keys");
        session.expect(Eof).expect("an end");
        let replies = read(&file);
        assert!(
            replies.starts_with("[No { by: Witness { name: \"bob\""),
            "{replies}"
        );
        assert!(
            replies.contains("Yes { by: Witness { name: \"alice\""),
            "{replies}"
        );
    }
}

#[test]
fn a_word_is_typed() {
    let prompt = "Type bad to go on:";
    assert_eq!(
        ask(Some("bad"), types(prompt, &["y\r", "bad\r"])),
        r#"Yes { by: Witness { name: "alice", from: "", through: Rehearsal }, note: "", form: {} }"#
    );
    assert_eq!(
        ask(Some("bad"), types(prompt, &["y\r", "yes\r", "Bad\r"])),
        r#"No { by: Witness { name: "alice", from: "", through: Rehearsal } }"#
    );
}

#[test]
fn a_terminal_that_closes_is_nobody() {
    let reply = ask(None, |mut session| {
        session.expect("Go on?").expect("the prompt");
        drop(session);
    });
    assert_eq!(reply, "Nobody");
}

#[test]
fn live_lines_are_drawn_over_and_leave_plain_ones() {
    let mut session = terminal("draws_at_the_terminal", &[(ANSWER, "-")]);
    let all = session.expect(Eof).expect("an end");
    let text = String::from_utf8_lossy(all.as_bytes()).into_owned();
    assert!(text.contains("Run rb-1"), "{text}");
    assert!(text.contains("waits for pollers to go away"), "{text}");
    assert!(text.contains("clean_up succeeded: deleted"), "{text}");
    let (_, after) = text.rsplit_once("pollers to go away").expect("live lines");
    assert!(
        after.contains("\u{1b}[J"),
        "taken away at the end: {text:?}"
    );
}

#[test]
fn what_was_given_wrongly_is_said_before_the_rest_is_asked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = "schema: runbook/v1\nname: x\nparams:\n  bad: { type: version }\nsteps:\n  - { id: pause, action: wait, with: { for: 1s } }\n";
    std::fs::write(folder.path().join("x.yaml"), text).expect("written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_runbook"));
    command
        .args(["plan", "x.yaml", "-p", "bda=orders:bad"])
        .current_dir(folder.path())
        .env_clear()
        .env("HOME", folder.path())
        .env("TERM", "xterm");
    let mut terminal = OsSession::spawn(command).expect("a pseudo-terminal");
    terminal.set_expect_timeout(Some(Duration::from_secs(60)));
    for words in ["unknown parameter `bda`", "parameter `bad` is missing"] {
        terminal.expect(words).expect(words);
    }
    terminal.expect(Eof).expect("it ends by itself");
}

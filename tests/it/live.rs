//! The live part of the terminal: what it shows at several sizes, and that it leaves nothing behind but the lines
//! above it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use runbook::record::{Body, Flags, Outcome, Question, StepStatus, Treatment};
use runbook::report::{Report, Style, columns, is_harmful};
use runbook::run::{Display, Progress};
use runbook::runbook::Agreement;
use runbook::ui::{Captured, LiveDisplay, Narrator, Screen, Trail, Ui, layout, paint};
use serde_json::json;

use crate::display::{Journal, attached, beginning, halted, opened, place, polling, unicode};
use crate::vt::Vt;

const SIZES: [(usize, usize); 9] = [
    (40, 10),
    (40, 24),
    (40, 50),
    (80, 10),
    (80, 24),
    (80, 50),
    (200, 10),
    (200, 24),
    (200, 50),
];

fn progress(journal: &Journal, step: Option<(&str, u32)>, after: i64) -> Progress {
    let last = journal.records.last().expect("a record").at;
    Progress {
        step: step.map(|(step, iteration)| place(step, iteration)),
        in_flight: 3,
        rate: 200.0,
        waiting_for: None,
        until: None,
        now: last + SignedDuration::from_secs(after),
        simulated: false,
    }
}

/// What the display would have made of the records by now, with samples while they came.
fn screen(journal: &Journal, progress: &Progress) -> Screen {
    let mut report = Report::new();
    let mut trail = Trail::default();
    for record in &journal.records {
        report.apply(record);
        trail.apply(record);
        let step = progress.step.as_ref();
        if let Some(step) = step.and_then(|place| report.step(&place.step)) {
            trail.sample(step, record.at);
        }
    }
    Screen::of(&report, &trail, progress, None)
}

fn drawn(screen: &Screen, width: usize, height: usize, style: Style) -> String {
    let lines = layout(screen, width, height, 2, style);
    lines.iter().map(|line| paint(line, style) + "\n").collect()
}

fn at_sizes(screen: &Screen) -> String {
    let at = |(width, height): &(usize, usize)| {
        let text = drawn(screen, *width, *height, unicode(*width));
        format!("===== {width} x {height}\n{text}")
    };
    SIZES.iter().map(at).collect()
}

#[test]
fn the_whole_run_while_its_table_fills_up() {
    let mut journal = beginning();
    for ordinal in 200..207 {
        let reason = "already moved".to_owned();
        journal.outcome(ordinal, "others", Outcome::Skipped { reason });
    }
    journal.intent(207, "others", "move", Treatment::Moved);
    let failed = Outcome::Failed {
        code: "PERMISSION_DENIED".to_owned(),
        message: "no access \u{1b}[2J\u{202e}to it".to_owned(),
    };
    journal.outcome(207, "", failed);
    for ordinal in 208..212 {
        journal.recovered(ordinal, "others", Treatment::Moved);
    }
    let progress = progress(&journal, Some(("recover", 1)), 1);
    insta::assert_snapshot!(at_sizes(&screen(&journal, &progress)));
}

#[test]
fn what_is_waited_for_in_a_loop() {
    let mut journal = polling();
    journal.records.truncate(3 + 4 * 12 + 2);
    let progress = Progress {
        in_flight: 0,
        waiting_for: Some("the bad Version to drain".to_owned()),
        until: Some(progress(&journal, None, 19).now),
        ..progress(&journal, Some(("drainage", 13)), 8)
    };
    insta::assert_snapshot!(at_sizes(&screen(&journal, &progress)));
}

#[test]
fn a_question_that_is_open_is_what_is_waited_for() {
    let mut journal = Journal::default();
    let asked = Body::Asked {
        question: 1,
        place: place("clean_up", 0),
        what: Box::new(Question::Changes {
            changes: vec!["delete the Version orders:bad".to_owned()],
            equivalents: vec![],
        }),
        terms: Default::default(),
        agreement: Agreement {
            by: 2,
            not_starter: true,
        },
    };
    journal
        .after(0, opened())
        .after(0, attached(1, Flags::default(), &[]))
        .begin("stop_rollout", 0)
        .end("stop_rollout", 0, StepStatus::Skipped, "nothing to do")
        .begin("clean_up", 0)
        .after(1, asked);
    let progress = progress(&journal, Some(("clean_up", 0)), 90);
    let screen = screen(&journal, &progress);
    let text = drawn(&screen, 80, 24, unicode(80));
    let text = text + &drawn(&screen, 20, 5, unicode(20));
    insta::assert_snapshot!(text + &drawn(&screen, 80, 24, Style::PLAIN));
}

/// A run of thirty steps, at the given one.
fn long_run(at: usize) -> Screen {
    let steps: Vec<_> = (1..=30)
        .map(|n| {
            format!(
                "  - {{ id: step_{n}, action: deployment.describe, with: {{ deployment: d }} }}\n"
            )
        })
        .collect();
    let source = format!(
        "schema: runbook/v1\nname: long\ntitle: Long\nsteps:\n{}",
        steps.concat()
    );
    let Body::Opened {
        format,
        run,
        tool,
        dry,
        rehearsal,
        ..
    } = opened()
    else {
        unreachable!("it opens")
    };
    let plan = json!({ "name": "long", "file": "long.yaml", "source": source });
    let mut journal = Journal::default();
    journal.after(
        0,
        Body::Opened {
            format,
            run,
            plan: Box::new(plan),
            saved: None,
            tool,
            dry,
            rehearsal,
        },
    );
    for n in 1..at {
        journal.begin(&format!("step_{n}"), 0);
        journal.end(&format!("step_{n}"), 0, StepStatus::Succeeded, "");
    }
    let name = format!("step_{at}");
    journal.begin(&name, 0);
    let progress = progress(&journal, Some((&name, 0)), 3);
    screen(&journal, &progress)
}

#[test]
fn a_long_runbook_is_folded_around_the_step_at_work() {
    let mut text = String::new();
    for at in [1, 15, 30] {
        text += &format!("===== at {at}\n");
        text += &drawn(&long_run(at), 60, 20, unicode(60));
    }
    insta::assert_snapshot!(text);
    // Nothing is left out where there is room.
    let all = drawn(&long_run(15), 60, 60, unicode(60));
    assert_eq!(all.matches("step_").count(), 30, "{all}");
}

#[test]
fn each_line_fits_and_does_nothing_at_any_size() {
    let mut journal = halted();
    journal.records.truncate(journal.records.len() - 4);
    let progress = Progress {
        waiting_for: Some("漢字 \u{5e9}\u{5dc}\u{5d5}\u{5dd} \u{1b}[2J and a long name".to_owned()),
        ..progress(&journal, Some(("recover", 1)), 5)
    };
    let screen = screen(&journal, &progress);
    for width in (1..130).chain([200]) {
        for height in [1, 4, 5, 8, 10, 24, 50] {
            for style in [unicode(width), Style::PLAIN.of_width(width)] {
                let lines = layout(&screen, width, height, 0, style);
                assert!(lines.len() <= height.max(1), "{width} x {height}");
                assert!(!lines.is_empty());
                for line in &lines {
                    let text = paint(line, style);
                    assert!(columns(&text) < width.max(2), "{width} x {height}: {text}");
                    assert!(!text.chars().any(is_harmful), "{text:?}");
                    assert!(style.unicode || text.is_ascii(), "{text:?}");
                }
            }
        }
    }
}

/// A terminal in memory, and what this tool writes to it.
struct Window {
    ui: Ui,
    captured: Captured,
    size: Arc<Mutex<(usize, usize)>>,
    taken: usize,
    vt: Vt,
}

impl Window {
    fn new(width: usize, height: usize, rigid: bool) -> Self {
        let size = Arc::new(Mutex::new((width, height)));
        let style = Style {
            colour: true,
            ..unicode(width)
        };
        let (ui, captured) = Ui::captured_live(style, Arc::clone(&size), rigid);
        let vt = Vt::new(width, height, rigid);
        Self {
            ui,
            captured,
            size,
            taken: 0,
            vt,
        }
    }

    fn catch_up(&mut self) {
        let written = self.captured.err();
        self.vt.write(&written[self.taken..]);
        self.taken = written.len();
    }

    fn resize(&mut self, width: usize, height: usize) {
        self.catch_up();
        *self.size.lock().expect("a size") = (width, height);
        self.vt.resize(width, height);
    }

    fn transcript(&mut self) -> Vec<String> {
        self.catch_up();
        self.vt.transcript()
    }
}

/// What happens to a terminal.
#[derive(Clone, Debug)]
enum Happens {
    Said(String),
    Data(String),
    Drawn(Vec<usize>),
    Resized(usize),
    Cleared,
    Prompted(String),
}

fn happens() -> impl Strategy<Value = Happens> {
    let line = || "[a-z漢é]{1,12}( [a-z漢é]{1,40}){0,4}";
    prop_oneof![
        3 => line().prop_map(Happens::Said),
        1 => line().prop_map(Happens::Data),
        6 => prop::collection::vec(0..160usize, 1..5).prop_map(Happens::Drawn),
        3 => (40..160usize).prop_map(Happens::Resized),
        1 => Just(Happens::Cleared),
        1 => line().prop_map(Happens::Prompted),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever is drawn, and however the window changes: what is left is what was said, each line once.
    #[test]
    fn nothing_is_left_but_what_was_said(
        story in prop::collection::vec(happens(), 1..30), rigid in any::<bool>(),
    ) {
        let mut window = Window::new(80, 40, rigid);
        let mut said = Vec::new();
        let mut width = 80;
        for event in story {
            match event {
                Happens::Said(text) => {
                    window.ui.say(&format!("{text}\n"));
                    said.push(text);
                }
                Happens::Data(text) => {
                    window.ui.data(&format!("{text}\n")).expect("memory");
                    said.push(text);
                }
                Happens::Drawn(widths) => {
                    let line = |columns: &usize| "漢x".repeat(columns.min(&(width - 1)) / 3);
                    let lines: Vec<String> = widths.iter().map(line).collect();
                    window.ui.draw(&lines);
                }
                // A terminal that is not broken anew loses what is beyond its edge: it only grows here.
                Happens::Resized(to) => {
                    width = if rigid { width.max(to) } else { to };
                    window.resize(width, 40);
                }
                Happens::Cleared => window.ui.clear(),
                Happens::Prompted(text) => {
                    window.ui.hold();
                    window.ui.say(&format!("{text}\n"));
                    window.ui.draw(&["not beside a prompt".to_owned()]);
                    window.ui.release();
                    said.push(text);
                }
            }
        }
        window.ui.clear();
        let shown: Vec<String> = window.transcript().iter().map(|line| line.replace('\u{200b}', "")).collect();
        prop_assert_eq!(shown, said);
    }
}

#[test]
fn a_run_leaves_the_lines_of_a_transcript_whatever_became_of_the_window() {
    let journal = halted();
    let mut narrator = Narrator::beside_live();
    let told = journal
        .records
        .iter()
        .flat_map(|record| narrator.tell(record));
    let told: Vec<String> = told
        .map(|line| line.render(unicode(1000)).trim_end().to_owned())
        .collect();
    for (first, second) in [(200, 40), (40, 200), (80, 80), (120, 30)] {
        let mut window = Window::new(first, 60, false);
        let mut display = LiveDisplay::new(window.ui.clone());
        for (index, record) in journal.records.iter().enumerate() {
            if index % 100 == 0 {
                std::thread::sleep(Duration::from_millis(110));
                display.progress(&Progress {
                    step: Some(place("recover", 1)),
                    in_flight: 2,
                    rate: 20.0,
                    waiting_for: None,
                    until: None,
                    now: record.at,
                    simulated: false,
                });
            }
            if index == journal.records.len() / 2 {
                window.resize(second, 60);
            }
            display.record(record);
        }
        window.catch_up();
        let open = window.vt.transcript().join("\n");
        let at_work = if second < 36 { "recover" } else { "drain" };
        assert!(open.contains(at_work), "{open}");
        drop(display);
        let unbroken = |lines: &[String]| -> String {
            let words = lines.iter().flat_map(|line| line.split_whitespace());
            words.map(|word| format!("{word}\n")).collect()
        };
        assert_eq!(unbroken(&window.transcript()), unbroken(&told));
    }
}

#[test]
fn a_time_that_nobody_knows_is_not_told() {
    let journal = beginning();
    let now = progress(&journal, Some(("recover", 1)), 1);
    let known = screen(&journal, &now);
    let text = drawn(&known, 100, 30, unicode(100));
    assert!(
        text.contains("writes/s") && text.contains("done in"),
        "{text}"
    );
    // Nothing was sampled: a display that has just begun.
    let report = Report::of(&journal.records);
    let fresh = Screen::of(&report, &Trail::default(), &now, None);
    let text = drawn(&fresh, 100, 30, unicode(100));
    assert!(text.contains("200 of 260 Workflows"), "{text}");
    assert!(!text.contains("/s") && !text.contains("done in"), "{text}");
}

#[test]
fn the_rate_is_that_of_the_last_seconds() {
    let mut trail = Trail::default();
    let mut report = Report::of(&beginning().records);
    let step = |report: &Report| report.step("recover").expect("the step").clone();
    let start = Timestamp::from_second(1_767_225_700).expect("a time");
    let at = |seconds: i64| start + SignedDuration::from_secs(seconds);
    trail.sample(&step(&report), at(0));
    trail.sample(&step(&report), at(2));
    assert_eq!(trail.speed(), None, "too little was seen");
    let mut journal = beginning();
    let begun = journal.records.len();
    for ordinal in 200..240 {
        journal.recovered(ordinal, "others", Treatment::Moved);
    }
    journal.records[begun..]
        .iter()
        .for_each(|record| report.apply(record));
    trail.sample(&step(&report), at(4));
    assert_eq!(trail.speed().map(|speed| speed.writes), Some(10.0));
    for second in 5..60 {
        trail.sample(&step(&report), at(second));
    }
    assert_eq!(trail.speed().map(|speed| speed.writes), Some(0.0));
}

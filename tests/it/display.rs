//! What a run looks like: records in, text out, at several widths; and each Workflow in each layout.

use std::io::Write as _;
use std::process::{Command, Stdio};

use runbook::record::{
    Answer, Body, Certainty, Claim, Equivalent, FORMAT, Flags, Health, Leftover, Outcome, Place,
    Question, Record, RowAsk, RunId, RunStatus, Seen, Settlement, StepStatus, Through, Treatment,
    Write,
};
use runbook::report::{
    Ending, Layout, Located, Report, Style, Workflows, is_harmful, question_text,
};
use runbook::run::{Display, Progress};
use runbook::survey::{Status, Version};
use runbook::ui::{LiveDisplay, Narrator, Speed, Ui, status_lines};
use serde_json::{Value, json};

const WIDTHS: [usize; 3] = [40, 80, 200];

const SPEED: Speed = Speed {
    writes: 12.5,
    decided: 12.5,
};

pub(crate) fn unicode(width: usize) -> Style {
    Style {
        width: Some(width),
        unicode: true,
        colour: false,
    }
}

/// Records with numbers and times: each a few seconds after the one before it.
#[derive(Default)]
pub(crate) struct Journal {
    pub(crate) records: Vec<Record>,
    pub(crate) second: i64,
}

impl Journal {
    pub(crate) fn after(&mut self, seconds: i64, body: Body) -> &mut Self {
        self.second += seconds;
        let start = 1_767_225_600; // 2026-01-01T00:00:00Z
        self.records.push(Record {
            seq: self.records.len() as u64 + 1,
            at: jiff::Timestamp::from_second(start + self.second).expect("a time"),
            body,
        });
        self
    }

    pub(crate) fn begin(&mut self, step: &str, iteration: u32) -> &mut Self {
        let place = place(step, iteration);
        self.after(1, Body::StepStarted { place })
    }

    pub(crate) fn end(
        &mut self,
        step: &str,
        iteration: u32,
        status: StepStatus,
        message: &str,
    ) -> &mut Self {
        self.after(
            2,
            Body::StepEnded {
                place: place(step, iteration),
                status,
                output: Value::Null,
                message: message.to_owned(),
            },
        )
    }

    pub(crate) fn claim(
        &mut self,
        step: &str,
        iteration: u32,
        ordinals: std::ops::Range<u32>,
    ) -> &mut Self {
        let claims = ordinals.map(|ordinal| Claim {
            ordinal,
            id: format!("order-{ordinal}"),
            run: format!("019a0000-0000-7000-8000-{ordinal:012}"),
            workflow_type: "OrderProcessing".to_owned(),
            latest: false,
        });
        let claims = claims.collect();
        let place = place(step, iteration);
        self.after(
            1,
            Body::Page {
                place,
                pass: 1,
                claims,
                cursor: None,
            },
        )
    }

    pub(crate) fn intent(&mut self, ordinal: u32, row: &str, strategy: &str, treatment: Treatment) {
        let body = Body::Intent {
            ordinal,
            row: row.to_owned(),
            strategy: strategy.to_owned(),
            treatment,
            write: Box::new(Write::Options { target: None }),
            seen: Box::new(Seen {
                status: Status::Running,
                current_run: String::new(),
                version: None,
                reset_run_id: None,
                history_length: 4,
                attempt: 0,
            }),
            deadline: jiff::Timestamp::UNIX_EPOCH,
        };
        self.after(0, body);
    }

    pub(crate) fn outcome(&mut self, ordinal: u32, row: &str, outcome: Outcome) {
        let row = row.to_owned();
        self.after(
            0,
            Body::Outcome {
                ordinal,
                row,
                outcome,
            },
        );
    }

    pub(crate) fn recovered(&mut self, ordinal: u32, row: &str, treatment: Treatment) {
        let new_run = match treatment {
            Treatment::Moved => None,
            _ => Some(format!("019b0000-0000-7000-8000-{ordinal:012}")),
        };
        let strategy = match treatment {
            Treatment::Moved => "move",
            _ => "start_over",
        };
        self.intent(ordinal, row, strategy, treatment);
        self.outcome(ordinal, "", Outcome::Done { new_run });
    }
}

pub(crate) fn place(step: &str, iteration: u32) -> Place {
    Place {
        step: step.to_owned(),
        iteration,
    }
}

fn rows() -> Question {
    let row = |row: &str, count, certainty, planned, strategy: &str, does: &str| RowAsk {
        row: row.to_owned(),
        query: "TemporalWorkerDeploymentVersion = 'orders:bad' AND ExecutionStatus = 'Running'"
            .to_owned(),
        condition: "class restartable, task failing".to_owned(),
        count,
        certainty,
        planned,
        granted: 0,
        samples: vec!["order-1".to_owned(), "evil\u{1b}[2J\u{202e}".to_owned()],
        strategy: strategy.to_owned(),
        does: does.to_owned(),
        target: Version::parse("orders:safe"),
        selection: None,
        equivalent: Equivalent {
            command: format!(
                "temporal workflow reset --query \"ExecutionStatus = 'Running'\" --reason {row}"
            ),
            caution: "Not safe to run twice.".to_owned(),
        },
        links: vec!["https://ui.example/namespaces/shop/workflows/order-1".to_owned()],
    };
    Question::Rows {
        rows: vec![
            row(
                "stuck_restartable",
                200,
                Certainty::AtMost,
                Some(1180),
                "start_over",
                "reset to the first Workflow Task, re-apply nothing",
            ),
            row(
                "others",
                60,
                Certainty::Exact,
                None,
                "move",
                "set a Versioning Override",
            ),
        ],
        extension: false,
        rate: 200.0,
        concurrency: 32,
        notes: Vec::new(),
    }
}

/// A runbook with a loop, classes and a word.
const SOURCE: &str = r#"
schema: runbook/v1
name: recover-pinned-workflows
title: Recover pinned Workflows
params:
  bad: { type: version, description: The faulty Version }
  kinds: { type: map, enum: [move_only], description: What may be done }
strategies:
  move: { action: workflows.update_options, with: { version: "${{ params.bad }}" } }
decisions:
  running:
    scope: ExecutionStatus = 'Running'
    classify: ${{ params.kinds }}
    hit_policy: first
    unmatched: halt
    rows:
      - { id: others, class: move_only, apply: move }
steps:
  - id: stop_rollout
    title: Stop the rollout
    action: deployment.describe
    with: { deployment: "${{ params.bad.deployment }}" }
  - id: drain
    repeat:
      until: ${{ steps.drainage.running == 0 }}
      every: 30s
      timeout: 2h
      steps:
        - { id: recover, action: decision.apply, with: { decision: running } }
        - { id: drainage, action: deployment.drainage, with: { version: "${{ params.bad }}" } }
  - id: clean_up
    title: Delete the bad Version
    action: deployment.delete_version
    with: { version: "${{ params.bad }}" }
    confirm: { type: "${{ params.bad.build_id }}" }
"#;

#[test]
fn the_runbook_of_these_tests_is_one() {
    let parsed = runbook::runbook::Runbook::parse("r.yaml", SOURCE.as_bytes());
    let wrong = parsed.err().unwrap_or_default();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

pub(crate) fn opened() -> Body {
    Body::Opened {
        format: FORMAT,
        run: RunId("rb-7f3a".to_owned()),
        plan: Box::new(json!({
            "name": "recover-pinned-workflows", "title": "Recover pinned Workflows", "digest": "abc",
            "file": "recover-pinned-workflows.yaml", "source": SOURCE,
            "parameters": { "values": { "bad": "orders:bad", "kinds": { "Invoice": "move_only" } } },
            "survey": { "preflight": { "address": "127.0.0.1:7233", "namespace": "prod", "ui": "https://ui.example" } },
        })),
        tool: "0.1.0".to_owned(),
        dry: false,
        rehearsal: false,
        saved: None,
    }
}

pub(crate) fn attached(attachment: u32, flags: Flags, notes: &[&str]) -> Body {
    Body::Attached {
        attachment,
        host: "laptop".to_owned(),
        pid: 4711,
        user: "alice".to_owned(),
        uid: None,
        flags: Box::new(flags),
        notes: notes.iter().map(|note| (*note).to_owned()).collect(),
    }
}

/// A run with everything in it, up to the middle of its recovery.
pub(crate) fn beginning() -> Journal {
    let mut journal = Journal::default();
    let acting = Body::Acting {
        place: place("stop_rollout", 0),
        counts: std::collections::BTreeMap::new(),
        changes: vec!["Current of orders from bad to good".to_owned()],
    };
    journal
        .after(0, opened())
        .after(0, attached(1, Flags::default(), &[]))
        .begin("stop_rollout", 0)
        .after(1, acting)
        .end(
            "stop_rollout",
            0,
            StepStatus::Succeeded,
            "orders is on good",
        )
        .begin("drain", 0)
        .begin("recover", 1)
        .after(
            1,
            Body::Asked {
                question: 1,
                place: place("recover", 1),
                what: Box::new(rows()),
                terms: Default::default(),
                agreement: Default::default(),
            },
        )
        .after(
            20,
            Body::Answered {
                form: Default::default(),
                question: 1,
                answer: Answer::Yes,
                by: "alice".to_owned(),
                means: Through::Terminal,
                from: String::new(),
                grants: [
                    ("stuck_restartable".to_owned(), 220),
                    ("others".to_owned(), 66),
                ]
                .into(),
                expires: "2026-01-01T04:00:27Z".parse().expect("a time"),
                note: String::new(),
            },
        )
        .claim("recover", 1, 0..260);
    for ordinal in 0..150 {
        journal.recovered(ordinal, "stuck_restartable", Treatment::StartedOver);
    }
    journal.second += 30;
    for ordinal in 150..200 {
        journal.recovered(ordinal, "others", Treatment::Moved);
    }
    journal
}

/// The same to its end: it halts over types that no row takes, and over failures.
pub(crate) fn halted() -> Journal {
    let mut journal = beginning();
    for ordinal in 200..240 {
        let reason = format!("superseded by 019c0000-0000-7000-8000-{ordinal:012} (Running)");
        journal.outcome(ordinal, "others", Outcome::Skipped { reason });
    }
    journal.intent(240, "others", "move", Treatment::Moved);
    let unknown = Outcome::Unknown {
        code: "UNAVAILABLE".to_owned(),
        message: "connection reset".to_owned(),
    };
    journal.outcome(240, "", unknown);
    let evidence = "the Override is set".to_owned();
    journal.after(
        10,
        Body::Settled {
            ordinal: 240,
            settlement: Settlement::Done {
                new_run: None,
                ours: None,
            },
            evidence,
        },
    );
    for ordinal in 241..245 {
        journal.intent(ordinal, "others", "move", Treatment::Moved);
        let failed = Outcome::Failed {
            code: "PERMISSION_DENIED".to_owned(),
            message: "not \u{1b}]0;yours\u{7}".to_owned(),
        };
        journal.outcome(ordinal, "", failed);
    }
    for ordinal in 245..260 {
        let reason = "closed by now".to_owned();
        journal.after(0, Body::Released { ordinal, reason });
    }
    let verified = |ordinal, health| Body::Verified {
        place: place("recover", 1),
        ordinal,
        health,
        note: String::new(),
    };
    journal
        .after(0, verified(1, Health::Waiting))
        .after(5, verified(1, Health::Healthy))
        .after(0, verified(2, Health::Failing))
        .after(
            0,
            Body::PassEnded {
                place: place("recover", 1),
                pass: 1,
                claimed: 260,
                unmatched: [(
                    "Refund's".to_owned(),
                    Leftover {
                        count: 3,
                        samples: vec!["refund-1".to_owned()],
                    },
                )]
                .into(),
            },
        )
        .end("recover", 1, StepStatus::Halted, "types that no row takes")
        .end("drain", 0, StepStatus::Halted, "recover halted")
        .after(
            0,
            Body::Ended {
                status: RunStatus::Halted,
                message: "recover: types that no row takes".to_owned(),
            },
        );
    journal
}

/// A loop of many like iterations.
pub(crate) fn polling() -> Journal {
    let mut journal = Journal::default();
    journal
        .after(0, opened())
        .after(0, attached(1, Flags::default(), &[]))
        .begin("drain", 0);
    for iteration in 1..=60 {
        let running = 1 + iteration / 30;
        let polled = Body::Polled {
            place: place("drainage", iteration),
            status: format!("draining, {running} running"),
        };
        journal
            .begin("drainage", iteration)
            .after(0, polled)
            .end("drainage", iteration, StepStatus::Succeeded, "draining")
            .after(
                27,
                Body::Iterated {
                    step: "drain".to_owned(),
                    iteration,
                    done: iteration == 60,
                    note: "until does not hold".to_owned(),
                },
            );
    }
    journal.end("drain", 0, StepStatus::Succeeded, "");
    journal
}

pub(crate) fn located() -> Located {
    Located {
        path: "/home/alice/.local/state/runbook/rb-7f3a.jsonl".to_owned(),
        target: "rb-7f3a".to_owned(),
        holder: None,
    }
}

fn at_widths(mut render: impl FnMut(Style) -> String) -> String {
    let mut text = String::new();
    for width in WIDTHS {
        text.push_str(&format!("===== {width} columns\n"));
        text.push_str(&render(unicode(width)));
    }
    text
}

#[test]
fn the_summary_fits_every_width() {
    let report = Report::of(&halted().records);
    insta::assert_snapshot!(at_widths(|style| report.summary(&located(), style)));
}

#[test]
fn show_tells_who_when_and_what() {
    let report = Report::of(&halted().records);
    insta::assert_snapshot!(at_widths(|style| report.text(&located(), style)));
}

#[test]
fn lines_of_a_run_without_a_terminal() {
    let journal = halted();
    insta::assert_snapshot!(at_widths(|style| {
        let mut narrator = Narrator::whole();
        let lines = journal
            .records
            .iter()
            .flat_map(|record| narrator.tell(record));
        lines
            .collect::<Vec<_>>()
            .iter()
            .map(|line| line.render(style))
            .collect()
    }));
}

#[test]
fn a_loop_says_only_what_changes() {
    let mut narrator = Narrator::whole();
    let lines = polling()
        .records
        .iter()
        .flat_map(|record| narrator.tell(record))
        .collect::<Vec<_>>();
    let text: String = lines.iter().map(|line| line.render(Style::PLAIN)).collect();
    insta::assert_snapshot!(text);
}

#[test]
fn live_lines_show_how_far_it_is() {
    let report = Report::of(&beginning().records);
    let progress = Progress {
        step: Some(place("recover", 1)),
        in_flight: 32,
        rate: 12.5,
        waiting_for: None,
        until: None,
        now: report.last.expect("a record"),
        simulated: false,
    };
    insta::assert_snapshot!(at_widths(|style| status_lines(
        &report,
        &progress,
        None,
        Some(SPEED),
        style
    )
    .join("\n")
        + "\n"));
}

#[test]
fn live_lines_show_what_is_waited_for() {
    let mut journal = polling();
    journal.records.truncate(5);
    let report = Report::of(&journal.records);
    let last = report.last.expect("a record");
    let progress = Progress {
        step: None,
        in_flight: 0,
        rate: 0.0,
        waiting_for: Some("the bad Version to drain".to_owned()),
        until: None,
        now: last + jiff::SignedDuration::from_secs(75),
        simulated: true,
    };
    insta::assert_snapshot!(at_widths(|style| status_lines(
        &report,
        &progress,
        None,
        Some(SPEED),
        style
    )
    .join("\n")
        + "\n"));
}

#[test]
fn a_question_shows_its_table_first() {
    insta::assert_snapshot!(at_widths(|style| question_text(
        &rows(),
        "recover",
        "Recover what runs",
        "127.0.0.1:7233",
        "prod",
        style
    )));
}

#[test]
fn every_live_line_fits() {
    let report = Report::of(&beginning().records);
    for width in 20..140 {
        let progress = Progress {
            step: Some(place("recover", 1)),
            in_flight: 1,
            rate: 0.3,
            waiting_for: Some("something with a long name, and then some more of it".to_owned()),
            until: None,
            now: report.last.expect("a record"),
            simulated: true,
        };
        for line in status_lines(&report, &progress, None, Some(SPEED), unicode(width)) {
            assert!(runbook::report::columns(&line) < width, "{width}: {line}");
        }
    }
}

/// What everything prints, for one style.
fn everything(journal: &Journal, style: Style) -> String {
    let report = Report::of(&journal.records);
    let mut narrator = Narrator::whole();
    let lines = journal
        .records
        .iter()
        .flat_map(|record| narrator.tell(record));
    let mut text: String = lines
        .collect::<Vec<_>>()
        .iter()
        .map(|line| line.render(style))
        .collect();
    text += &report.text(&located(), style);
    text += &question_text(&rows(), "s", "", "a", "n", style);
    let mut out = Vec::new();
    report.write_json(&located(), &mut out).expect("memory");
    let mut workflows = Workflows::new();
    journal
        .records
        .iter()
        .for_each(|record| workflows.apply(record));
    for layout in [Layout::Text, Layout::Json, Layout::JsonLines, Layout::Csv] {
        workflows.write(layout, &mut out).expect("memory");
    }
    text + &String::from_utf8(out).expect("UTF-8")
}

#[test]
fn names_from_the_service_do_nothing_to_the_terminal() {
    let journal = halted();
    for style in [Style::PLAIN, unicode(40), unicode(80)] {
        let text = everything(&journal, style);
        let harmful = text
            .chars()
            .find(|c| is_harmful(*c) && !matches!(c, '\n' | '\r'));
        assert_eq!(harmful, None);
        assert!(text.contains("yours"), "the text itself is shown");
    }
}

#[test]
fn colour_only_adds_to_the_words() {
    let journal = halted();
    let plain = everything(&journal, unicode(80));
    let coloured = everything(
        &journal,
        Style {
            colour: true,
            ..unicode(80)
        },
    );
    assert!(coloured.contains("\u{1b}[31m"));
    let mut bare = String::new();
    let mut rest = coloured.as_str();
    while let Some((before, after)) = rest.split_once('\u{1b}') {
        bare.push_str(before);
        rest = after.split_once('m').expect("an SGR sequence").1;
    }
    assert_eq!(bare + rest, plain);
}

#[test]
fn a_display_without_a_terminal_draws_what_a_replay_draws() {
    let journal = halted();
    let draw = || {
        let (ui, captured) = Ui::captured(Style::PLAIN);
        let mut display = LiveDisplay::new(ui);
        journal
            .records
            .iter()
            .for_each(|record| display.record(record));
        assert_eq!(display.report().steps.len(), 3);
        captured.err()
    };
    let once = draw();
    assert!(once.contains("recover halted"));
    assert!(!once.contains('\u{1b}'));
    assert_eq!(once, draw());
}

#[test]
fn counts_follow_each_workflow_to_its_last_state() {
    let mut journal = halted();
    let report = Report::of(&journal.records);
    let counts = report.step("recover").expect("the step").counts;
    assert_eq!(counts.recovered, 201);
    assert_eq!((counts.started_over, counts.moved), (150, 51));
    assert_eq!((counts.skipped, counts.failed, counts.unknown), (40, 4, 0));
    assert_eq!(report.step("recover").expect("the step").claimed, 245);

    journal.after(
        60,
        attached(
            2,
            Flags {
                retry_failed: true,
                ..Flags::default()
            },
            &[],
        ),
    );
    journal.after(
        0,
        Body::Retried {
            ordinals: vec![241, 242, 243, 244],
        },
    );
    for ordinal in 241..245 {
        journal.recovered(ordinal, "others", Treatment::Moved);
    }
    let report = Report::of(&journal.records);
    assert_eq!(report.ending, Ending::Open);
    let step = report.step("recover").expect("the step");
    assert_eq!((step.counts.failed, step.counts.moved), (0, 55));
    let others = step
        .rows
        .iter()
        .find(|row| row.row == "others")
        .expect("the row");
    let reasons: Vec<_> = others
        .reasons()
        .into_iter()
        .map(|r| (r.count, r.reason))
        .collect();
    assert_eq!(reasons, [(40, "superseded by ... (Running)".to_owned())]);
}

fn commands(journal: &Journal) -> Vec<String> {
    let report = Report::of(&journal.records);
    report
        .next("rb-7f3a")
        .into_iter()
        .map(|next| next.command)
        .collect()
}

#[test]
fn what_to_do_next_after_each_ending() {
    assert_eq!(
        commands(&halted()),
        [
            r"runbook resume rb-7f3a -p 'kinds.Refund'\''s=CLASS'",
            "runbook resume rb-7f3a --retry-failed",
            "runbook resume rb-7f3a --accept drain",
        ]
    );
    assert_eq!(commands(&beginning()), ["runbook resume rb-7f3a"]);

    let mut parked = beginning();
    parked.begin("clean_up", 0).after(
        1,
        Body::Asked {
            question: 2,
            place: place("clean_up", 0),
            what: Box::new(Question::Changes {
                equivalents: Vec::new(),
                changes: vec!["delete orders:bad".to_owned()],
            }),
            terms: Default::default(),
            agreement: Default::default(),
        },
    );
    let reason = "clean_up asks, and there is no terminal".to_owned();
    parked.after(0, Body::Parked { reason });
    assert_eq!(
        commands(&parked),
        [
            "runbook resume rb-7f3a",
            "runbook resume rb-7f3a --confirm clean_up=bad",
        ]
    );

    let mut good = beginning();
    let status = RunStatus::Succeeded;
    let message = String::new();
    good.after(0, Body::Ended { status, message });
    assert!(commands(&good).is_empty());
}

#[test]
fn the_json_report_holds_what_the_text_shows() {
    let report = Report::of(&halted().records);
    let mut out = Vec::new();
    report.write_json(&located(), &mut out).expect("memory");
    let value: Value = serde_json::from_slice(&out).expect("JSON");
    assert_eq!(value["schema"], "report/v1");
    assert_eq!(value["run"]["namespace"], "prod");
    let recover = &value["steps"][2];
    assert_eq!(recover["step"], "recover");
    assert_eq!(recover["parent"], "drain");
    assert_eq!(recover["rows"][0]["counts"]["started_over"], 150);
    assert_eq!(recover["rows"][1]["reasons"][1]["count"], 4);
    assert_eq!(value["questions"][0]["answer"]["by"], "alice");
    assert_eq!(value["ending"]["status"], "halted");
    assert_eq!(
        value["next"][1]["command"],
        "runbook resume rb-7f3a --retry-failed"
    );
}

#[test]
fn each_workflow_in_each_layout() {
    let mut journal = halted();
    journal.after(
        0,
        Body::Page {
            place: place("recover", 2),
            pass: 1,
            claims: vec![Claim {
                ordinal: 260,
                id: "a \"quoted\", id\u{202e}".to_owned(),
                run: "not-a-uuid".to_owned(),
                workflow_type: "Odd".to_owned(),
                latest: false,
            }],
            cursor: None,
        },
    );
    let mut workflows = Workflows::new();
    journal
        .records
        .iter()
        .for_each(|record| workflows.apply(record));
    assert_eq!(workflows.len(), 261);
    let mut text = Vec::new();
    let kept = [0, 1, 2, 199, 200, 240, 241, 259, 260];
    for layout in [Layout::Text, Layout::JsonLines, Layout::Csv] {
        let mut all = Vec::new();
        workflows.write(layout, &mut all).expect("memory");
        let all = String::from_utf8(all).expect("UTF-8");
        writeln!(text, "===== {layout:?}").expect("memory");
        let head = usize::from(layout != Layout::JsonLines);
        for (i, line) in all.lines().enumerate() {
            if i < head || kept.contains(&(i - head)) {
                writeln!(text, "{line}").expect("memory");
            }
        }
    }
    insta::assert_snapshot!(String::from_utf8(text).expect("UTF-8"));
    let mut array = Vec::new();
    workflows.write(Layout::Json, &mut array).expect("memory");
    let array: Value = serde_json::from_slice(&array).expect("JSON");
    assert_eq!(array.as_array().map(Vec::len), Some(261));
    assert_eq!(array[260]["workflow_id"], "a \"quoted\", id\u{202e}");
    assert_eq!(array[240]["state"], "done");
}

/// A folder of journals with one run in it, and the built binary on it.
struct Home {
    folder: tempfile::TempDir,
}

impl Home {
    fn with(journal: &Journal) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("runbook").join("rb-7f3a.jsonl");
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        let mut file = runbook::journal::Journal::create(&path).expect("a journal");
        for records in journal.records.chunks(50) {
            file.append(records).expect("records");
        }
        Self { folder }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_runbook"));
        command
            .args(arguments)
            .env_clear()
            .env("XDG_STATE_HOME", self.folder.path());
        command
    }

    /// Exit code, stdout and stderr together, with the folder's name replaced.
    fn run(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().expect("the binary");
        let out = String::from_utf8(output.stdout).expect("UTF-8");
        let err = String::from_utf8(output.stderr).expect("UTF-8");
        let code = output.status.code();
        let all = format!(
            "$ runbook {}\n{out}--- stderr\n{err}--- exit {code:?}\n",
            arguments.join(" ")
        );
        all.replace(&self.folder.path().display().to_string(), "STATE")
    }
}

#[test]
fn runs_and_show_read_the_journals() {
    let home = Home::with(&halted());
    let all = [
        home.run(&["runs"]),
        home.run(&["show", "7f"]),
        home.run(&["show", "nothing"]),
        home.run(&["runs", "--output", "csv"]),
    ];
    insta::assert_snapshot!(all.concat());
    let json: Value =
        serde_json::from_str(&stdout(&home, &["runs", "--output", "json"])).expect("JSON");
    assert_eq!(json[0]["state"], "halted");
    assert_eq!(json[0]["run"]["id"], "rb-7f3a");
    let csv = stdout(&home, &["show", "rb-7f3a", "--output", "csv"]);
    assert_eq!(csv.lines().count(), 261);
    let jsonl = stdout(
        &home,
        &["show", "rb-7f3a", "--workflows", "--output", "jsonl"],
    );
    let last: Value = serde_json::from_str(jsonl.lines().last().expect("a line")).expect("JSON");
    assert_eq!(last["state"], "released");
}

fn stdout(home: &Home, arguments: &[&str]) -> String {
    let output = home.command(arguments).output().expect("the binary");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn a_reader_that_went_away_is_no_error() {
    let home = Home::with(&halted());
    let mut command = home.command(&["show", "rb-7f3a", "--output", "csv"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("an end");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn every_shell_gets_a_script_that_asks_this_program() {
    let home = Home::with(&beginning());
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = stdout(&home, &["completions", shell]);
        assert!(
            script.contains("RUNBOOK_COMPLETE") && script.contains("runbook"),
            "{shell}"
        );
    }
}

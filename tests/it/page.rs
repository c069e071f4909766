//! A run as a document: each format of the same records, what a page may load (nothing), and names that want to be
//! more than text.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use base64::Engine as _;
use proptest::prelude::*;
use regex::Regex;
use runbook::journal::Journal;
use runbook::record::{Body, JobEnd, Outcome, Record};
use runbook::report::{Dossier, Layout, Workflows, is_harmful};
use runbook::survey::BatchState;
use serde_json::{Value, json as value};
use sha2::Digest as _;

use crate::display::{halted, located, polling};

fn dossier(records: &[Record]) -> Dossier {
    let mut dossier = Dossier::new();
    records.iter().for_each(|record| dossier.apply(record));
    dossier
}

fn html(records: &[Record]) -> String {
    let mut out = Vec::new();
    let written = dossier(records).write_html(&located(), &mut out);
    written.expect("memory");
    String::from_utf8(out).expect("UTF-8")
}

fn json(records: &[Record]) -> Value {
    let mut out = Vec::new();
    let written = dossier(records).write_json(&located(), &mut out);
    written.expect("memory");
    serde_json::from_slice(&out).expect("JSON")
}

/// What stands between two texts, for the first time.
fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    let (_, rest) = text.split_once(from).expect(from);
    rest.split_once(to).expect(to).0
}

/// The data that the page's script reads.
fn ledger_of(page: &str) -> Value {
    let data = between(page, "id=\"ledger-data\">", "</script>");
    serde_json::from_str(data).expect("JSON")
}

#[test]
fn markdown_for_a_review() {
    insta::assert_snapshot!(dossier(&halted().records).markdown(&located()));
}

#[test]
fn the_page_as_data() {
    let mut all = json(&halted().records);
    assert_eq!(all["page"]["schema"], "page/v1");
    assert_eq!(all["page"]["exit_code"], 1);
    let ledger = all["ledger"].as_array_mut().expect("rows");
    assert_eq!(ledger.len(), 260);
    ledger.truncate(2);
    let text = serde_json::to_string_pretty(&all).expect("JSON");
    insta::assert_snapshot!(text);
}

/// A batch job of the service is no write of this process: its sums are told, and that the chart lacks them.
#[test]
fn what_batch_jobs_did_is_told_beside_the_rate() {
    let of_jobs = |ends: &[JobEnd]| {
        let mut records = halted().records;
        let place = runbook::record::Place {
            step: "recover".to_owned(),
            iteration: 1,
        };
        for (number, end) in ends.iter().enumerate() {
            let id = format!("job-{number}");
            let job = value!({ "id": id, "attempt": 1, "takes": [], "row": "stuck", "treatment": "moved", "rate": 10.0 });
            let job = serde_json::from_value(job).expect("a job");
            let bodies = [
                Body::Job {
                    place: place.clone(),
                    job,
                },
                Body::JobEnded {
                    place: place.clone(),
                    id,
                    end: end.clone(),
                },
            ];
            for body in bodies {
                let last = records.last().expect("records");
                let (seq, at) = (last.seq + 1, last.at);
                records.push(Record { seq, at, body });
            }
        }
        dossier(&records)
    };
    let ended = |state, complete, failed| JobEnd::Ended {
        state,
        total: complete + failed,
        complete,
        failed,
    };
    let not_started = JobEnd::NotStarted {
        message: "no slot".to_owned(),
    };
    let says = "wrote besides";
    assert!(!of_jobs(&[]).markdown(&located()).contains(says));
    let only = [not_started.clone()];
    assert!(!of_jobs(&only).markdown(&located()).contains(says));
    let jobs = of_jobs(&[
        ended(BatchState::Completed, 1_200, 3),
        ended(BatchState::Failed, 4, 0),
        ended(BatchState::Unknown, 0, 0),
        not_started,
    ]);
    let told = "3 batch jobs of the service wrote besides: 1,204 operations done, 3 failed; of 1 the records do not say how many. When each of these writes was made is not in the records: they are not in these rates.";
    let mut page = Vec::new();
    jobs.write_html(&located(), &mut page).expect("memory");
    let page = String::from_utf8(page).expect("UTF-8");
    let markdown = jobs.markdown(&located());
    assert!(markdown.contains(told), "{markdown}");
    let pace = between(&page, "id=\"pace\"", "</section>");
    assert!(pace.contains(told), "{pace}");
}

#[test]
fn the_ledger_is_the_one_of_show() {
    let records = halted().records;
    let mut out = Vec::new();
    dossier(&records).write_csv(&mut out).expect("memory");
    let mut workflows = Workflows::new();
    records.iter().for_each(|record| workflows.apply(record));
    let mut shown = Vec::new();
    workflows.write(Layout::Csv, &mut shown).expect("memory");
    assert!(out.starts_with(b"ordinal,step,"));
    assert_eq!(out, shown);
}

#[test]
fn the_page_as_html() {
    let page = html(&halted().records);
    let body = between(&page, "<main id=\"main\">", "</main>");
    // The printed rows say nothing that the Markdown has not.
    let (before, rest) = body.split_once("<div id=\"ledger-print\">").expect("rows");
    let (_, after) = rest.split_once("</table>").expect("the table's end");
    let body = format!("{before}[the first 200 rows]{after}");
    // A tag a line, so that a difference can be read.
    insta::assert_snapshot!(body.replace("><", ">\n<"));
}

#[test]
fn numbers_over_time_are_drawn() {
    let records = polling().records;
    let page = json(&records);
    let bars = page["page"]["bars"].as_array().expect("bars");
    assert_eq!(bars.len(), 61);
    assert_eq!(page["page"]["waits"].as_array().map(Vec::len), Some(60));
    let page = html(&records);
    let lanes = page.matches("role=\"rowheader\"").count();
    assert_eq!(lanes, 3, "who, drain and drainage");
    assert_eq!(page.matches("<title>drainage, iteration ").count(), 60);
}

#[test]
fn the_policy_lets_in_this_script_and_this_style_and_nothing_else() {
    let page = html(&halted().records);
    let policy = between(&page, "Content-Security-Policy\" content=\"", "\"");
    let digest = |text: &str| {
        let digest = sha2::Sha256::digest(text.as_bytes());
        base64::engine::general_purpose::STANDARD.encode(digest)
    };
    let policy = policy.replace("&#x27;", "'").replace("&#x2f;", "/");
    let style = digest(between(&page, "<style>", "</style>"));
    let script = digest(between(&page, "<script>", "</script>"));
    assert_eq!(
        policy,
        format!(
            "default-src 'none'; script-src 'sha256-{script}'; style-src 'sha256-{style}'; img-src data:; base-uri 'none'; form-action 'none'"
        )
    );
    // Neither a handler nor a style in an element: the policy would stop both.
    let markup = page.replace(between(&page, "<script>", "</script>"), "");
    let inline = Regex::new(r#"<[a-z]+[^>]*\s(style|on[a-z]+|src|srcset|action|background)="#)
        .expect("a pattern");
    assert_eq!(inline.find(&markup).map(|found| found.as_str()), None);
    for loads in [
        "@import",
        "url(",
        "<link rel=\"stylesheet\"",
        "<iframe",
        "<object",
        "<base",
    ] {
        assert!(!page.contains(loads), "{loads}");
    }
    let address = Regex::new(r#"href="[^#d/"][^"]*""#).expect("a pattern");
    assert_eq!(address.find(&page).map(|found| found.as_str()), None);
}

/// The halted run, in which one Workflow, its type, its error and a reason are called this.
fn called(name: &str) -> Vec<Record> {
    let mut records = halted().records;
    for record in &mut records {
        match &mut record.body {
            Body::Page { claims, .. } => {
                claims[0].id = name.to_owned();
                claims[241].id = name.to_owned();
                claims[241].workflow_type = name.to_owned();
            }
            Body::Outcome {
                ordinal: 241,
                outcome: Outcome::Failed { message, .. },
                ..
            } => *message = name.to_owned(),
            Body::Answered { by, note, .. } => {
                *by = name.to_owned();
                *note = name.to_owned();
            }
            Body::Ended { message, .. } => *message = name.to_owned(),
            _ => {}
        }
    }
    records
}

/// Tags, without what is in them.
fn tags(page: &str) -> Vec<&str> {
    let tag = Regex::new(r"</?[a-zA-Z!][a-zA-Z0-9]*").expect("a pattern");
    tag.find_iter(page).map(|found| found.as_str()).collect()
}

#[test]
fn a_hostile_name_stays_text() {
    let plain = html(&called("order-0"));
    let hostile = [
        "</script><img src=x onerror=alert(1)>",
        "--><!--ledger--><script>alert(1)</script>",
        "\u{202e}gnp.exe\u{2066}\n\r\u{0}\u{2028}",
        "'\"><svg onload=alert(1)>",
        "{{ 7*7 }}{% raw %}",
    ];
    for name in hostile {
        let page = html(&called(name));
        assert_eq!(tags(&page), tags(&plain), "{name:?}");
        let harmful = page.chars().find(|c| *c != '\n' && is_harmful(*c));
        assert_eq!(harmful, None, "{name:?}");
        let ids = &ledger_of(&page)["id"];
        assert_eq!(ids[0], runbook::report::harmless(name).as_ref());
        let markdown = dossier(&called(name)).markdown(&located());
        assert!(
            !markdown.contains("<img")
                && !markdown.contains("<script")
                && !markdown.contains("<svg")
        );
    }
}

#[test]
fn a_name_of_a_megabyte_is_cut_in_the_page_and_whole_in_json() {
    let name = "x".repeat(1_000_000);
    let page = html(&called(&name));
    assert!(page.len() < 600_000, "{}", page.len());
    assert!(page.contains("more characters]"));
    assert_eq!(
        json(&called(&name))["ledger"][0]["workflow_id"],
        name.as_str()
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    // Where there is no name, there is no paragraph for it either.
    #[test]
    fn no_name_adds_a_tag(name in "[<>&\"'/a-z!\\-{}%\\PC]{1,30}") {
        let page = html(&called(&name));
        prop_assert_eq!(tags(&page).len(), tags(&html(&called("x"))).len());
        ledger_of(&page);
    }
}

#[test]
fn only_rows_that_changed_are_sent_again() {
    let records = halted().records;
    let cut = records
        .iter()
        .position(|record| matches!(record.body, Body::Settled { .. }));
    let since = records[cut.expect("one was settled")].seq - 1;
    let rows = |since| {
        let mut out = Vec::new();
        let written = dossier(&records).write_ledger(since, &mut out);
        written.expect("memory");
        let news: Value = serde_json::from_slice(&out).expect("JSON");
        let rows = news["ordinal"].as_array().expect("rows").iter();
        rows.filter_map(Value::as_u64).collect::<Vec<_>>()
    };
    assert_eq!(rows(0).len(), 260);
    let mut expected: Vec<u64> = vec![1, 2];
    expected.extend(240..260);
    assert_eq!(rows(since), expected);
    assert_eq!(rows(records[records.len() - 1].seq), Vec::<u64>::new());
}

fn report(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_runbook"))
        .arg("report")
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("HOME", folder)
        .stdin(Stdio::null())
        .output()
        .expect("runbook runs")
}

#[test]
fn a_page_is_its_owners_and_replaces_nothing_unasked() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut journal = Journal::create(&folder.path().join("run.jsonl")).expect("a journal");
    journal.append(&halted().records).expect("appended");
    drop(journal);
    let page = folder.path().join("page.html");
    let write = |more: &[&str]| {
        let mut arguments = vec!["run.jsonl", "--out", "page.html"];
        arguments.extend(more);
        let output = report(folder.path(), &arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), said)
    };
    assert_eq!(write(&[]).0, Some(0));
    let mode = page.metadata().expect("written").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let first = std::fs::read_to_string(&page).expect("a page");
    assert!(first.ends_with("</html>"), "{}", &first[first.len() - 60..]);
    let (code, said) = write(&["--format", "markdown"]);
    assert_eq!(code, Some(2));
    assert!(said.contains("page.html is there already"), "{said}");
    assert_eq!(std::fs::read_to_string(&page).expect("a page"), first);
    assert_eq!(write(&["--format", "markdown", "--force"]).0, Some(0));
    assert!(
        std::fs::read_to_string(&page)
            .expect("a page")
            .starts_with("# ")
    );
    let left = std::fs::read_dir(folder.path()).expect("the folder");
    assert_eq!(left.count(), 2, "no draft is left");
    let named = report(folder.path(), &["run.jsonl", "--out", "review.md"]);
    assert_eq!(named.status.code(), Some(0));
    let review = std::fs::read_to_string(folder.path().join("review.md")).expect("a review");
    assert!(review.starts_with("# "), "its name says what it is");
    let output = report(folder.path(), &["run.jsonl", "--format", "csv"]);
    assert!(output.stdout.starts_with(b"ordinal,step,"));
    let output = report(folder.path(), &["rb-none"]);
    assert_eq!(
        output.status.code(),
        Some(2),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

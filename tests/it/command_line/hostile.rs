//! Names that would do something to a terminal, a spreadsheet or a shell: every verb shows them harmlessly,
//! and JSON keeps them.

use proptest::prelude::*;
use runbook::report::{Align, Style, Table, Text, Tone, shield};
use runbook::ui::Ui;
use serde_json::{Value, json};

use super::*;

/// Sets a window's title, writes the clipboard, turns the text around.
const TYPE: &str = "\u{1b}]0;owned\u{7}Order\u{202e}\u{1b}]52;c;cm0gLXJm\u{7}";

/// Workflow IDs, one a group.
const IDS: [&str; 7] = [
    "first\nerror: all is lost\r\u{1b}[2J",
    "\u{9b}31mred\u{9c}",
    "=cmd|' /C calc'!A0",
    "'; rm -rf ~ #$(id)`id`",
    "zero\u{200b}width\u{feff}and\u{2066}isolated\u{2069}",
    "nul\u{0}inside",
    "\"quoted\", and\ttabbed",
];

fn hostile_world() -> Value {
    let mut world = world(1);
    let groups = world["workflows"].as_array_mut().expect("groups");
    groups[0]["type"] = json!(TYPE);
    for id in IDS {
        groups.push(json!({ "type": TYPE, "id": id, "version": "bad" }));
    }
    groups.push(json!({ "type": TYPE, "id": "L".repeat(100_000), "version": "bad" }));
    world
}

/// Independent of the tool's own idea of harm: controls, marks that turn or hide text.
fn is_harmful(c: char) -> bool {
    c != '\n' && c.is_control()
        || "\u{200b}\u{200e}\u{200f}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}\u{feff}\u{2028}\u{2029}"
            .contains(c)
}

fn assert_harmless(what: &str, output: &Output) {
    for bytes in [&output.stdout, &output.stderr] {
        let text = String::from_utf8(bytes.clone()).expect("UTF-8");
        // The lines of CSV end so (RFC 4180).
        let text = text.replace("\r\n", "\n");
        let found: Vec<char> = text.chars().filter(|c| is_harmful(*c)).collect();
        assert!(found.is_empty(), "{what} writes {found:?}:\n{text:?}");
        assert!(
            !text.lines().any(|line| line == "error: all is lost"),
            "{what}: a name began a line"
        );
    }
}

/// Every line of a text output is one that somebody can read.
fn assert_short(what: &str, output: &Output) {
    let text = String::from_utf8_lossy(&output.stdout);
    let longest = text.lines().map(str::len).max().unwrap_or(0);
    assert!(longest < 20_000, "{what}: a line of {longest} bytes");
}

#[test]
fn hostile_names_are_shown_harmlessly_by_every_verb() {
    let (home, served) = (Home::new(), serve(hostile_world()));
    let address = served.address.as_str();
    let classes = format!("classes={}", json!({ TYPE: "movable" }));
    let more = ["-p", classes.as_str()];
    let plan: Vec<&str> = [&["plan"], &exec(address, &more)[1..]].concat();
    let run = exec(
        address,
        &[&more[..], &["--yes", "--confirm", "tell=told"]].concat(),
    );
    let planned = home.output(&plan);
    assert_harmless("plan", &planned);
    assert_short("plan", &planned);
    let dry = home.output(&exec(address, &[&more[..], &["--dry-run"]].concat()));
    assert_harmless("exec --dry-run", &dry);
    let ran = home.output(&run);
    assert_eq!(ran.status.code(), Some(0), "{}", home.shown(&ran));
    assert_harmless("exec", &ran);
    assert_short("exec", &ran);
    let id = home.run_id();
    insta::assert_snapshot!(home.run(&["show", &id, "--workflows"]));
    for arguments in [
        vec!["runs"],
        vec!["runs", "--output", "json"],
        vec!["show", &id],
        vec!["show", &id, "--output", "json"],
        vec!["show", &id, "--workflows"],
        vec!["show", &id, "--workflows", "--output", "json"],
        vec!["show", &id, "--output", "jsonl"],
        vec!["show", &id, "--output", "csv"],
    ] {
        let shown = home.output(&arguments);
        assert_eq!(shown.status.code(), Some(0), "{arguments:?}");
        assert_harmless(&arguments.join(" "), &shown);
        if !arguments.contains(&"--output") {
            assert_short(&arguments.join(" "), &shown);
        }
    }
    for workflow in IDS.iter().filter(|id| !id.contains('\0')) {
        let points = home.output(&["reset-points", workflow, "--address", address]);
        assert_harmless("reset-points", &points);
        let explain = [
            &["explain"],
            &exec(address, &more)[1..],
            &["--workflow", workflow],
        ]
        .concat();
        assert_harmless("explain", &home.output(&explain));
        assert_harmless(
            "explain --output json",
            &home.output(&[&explain[..], &["--output", "json"]].concat()),
        );
    }
}

#[test]
fn json_keeps_names_whole_and_a_spreadsheet_computes_nothing() {
    let (home, served) = (Home::new(), serve(hostile_world()));
    let classes = format!("classes={}", json!({ TYPE: "movable" }));
    let more = [
        "-p",
        classes.as_str(),
        "--yes",
        "--confirm",
        "tell=told",
        "--output",
        "json",
    ];
    let streamed = home.output(&exec(&served.address, &more));
    assert_harmless("exec --output json", &streamed);
    let records = String::from_utf8(streamed.stdout).expect("UTF-8");
    for line in records.lines() {
        serde_json::from_str::<Value>(line).expect("a record");
    }
    let id = home.run_id();
    let lines = home.output(&["show", &id, "--output", "jsonl"]).stdout;
    let rows = serde_json::Deserializer::from_slice(&lines).into_iter::<Value>();
    let mut shown: Vec<String> = rows
        .map(|row| {
            row.expect("JSON")["workflow_id"]
                .as_str()
                .expect("an id")
                .to_owned()
        })
        .collect();
    let mut wanted: Vec<String> = IDS.iter().map(|id| (*id).to_owned()).collect();
    wanted.extend(["L".repeat(100_000), "order-0".to_owned()]);
    shown.sort();
    wanted.sort();
    if !shown.contains(&"order-0".to_owned()) {
        wanted.retain(|id| id != "order-0");
        shown.retain(|id| wanted.contains(id));
    }
    assert_eq!(shown, wanted);
    let csv = home.output(&["show", &id, "--output", "csv"]).stdout;
    let csv = String::from_utf8(csv).expect("UTF-8");
    assert!(csv.contains("'=cmd|' /C calc'!A0"), "{csv}");
    assert!(!csv.contains(",=cmd") && !csv.contains(",\"=cmd"), "{csv}");
}

#[test]
fn what_a_person_or_the_service_says_wrongly_is_shown_harmlessly() {
    let (home, served) = (Home::new(), serve(world(1)));
    let namespace = "\u{1b}]0;owned\u{7}\u{202e}";
    let plan = exec(&served.address, &["--namespace", namespace]);
    let refused = home.output(&[&["plan"], &plan[1..]].concat());
    assert_ne!(refused.status.code(), Some(0));
    assert_harmless("plan in an unknown namespace", &refused);
    let value = "bad=\u{1b}[31morders\u{202e}:x";
    let plan = [
        "plan",
        "move.yaml",
        "--address",
        &served.address,
        "-p",
        value,
        "-p",
        "safe=orders:safe",
    ];
    assert_harmless("plan with an odd parameter", &home.output(&plan));
    for file in ["\u{1b}[2Jnowhere.yaml", "odd.yaml"] {
        let text =
            "schema: runbook/v1\nname: \"\u{202e}x\u{85}\"\n\u{202e}bad\u{200b}: \u{1b}[2J\n";
        std::fs::write(home.path().join("odd.yaml"), text).expect("written");
        let refused = home.output(&["validate", file]);
        assert_eq!(refused.status.code(), Some(2));
        assert_harmless("validate", &refused);
        assert_harmless(
            "validate --output json",
            &home.output(&["validate", file, "--output", "json"]),
        );
    }
}

#[test]
fn megabytes_are_cut_with_a_mark() {
    let long = "x".repeat(1_000_000);
    let mut text = Text::new(Style::PLAIN);
    text.line(Tone::Plain, &long);
    let text = text.into_string();
    assert!(text.len() < 5_000, "{} bytes", text.len());
    assert!(text.ends_with("… [996,000 more characters]\n"));
    let mut table = Table::new(&[("Id", Align::Left)]);
    table.row([&long]);
    assert!(
        table
            .render(Style::PLAIN)
            .contains("… [999,000 more characters]")
    );
    assert!(shield(&long, false).ends_with("… [880,000 more characters]"));
    assert_eq!(shield("short\n", true), "short\n");
}

fn any_piece() -> impl Strategy<Value = String> {
    let known = [
        "\u{1b}[31m",
        "\u{1b}]0;x\u{7}",
        "\u{1b}[2J",
        "\n",
        "\u{1b}[",
        "\u{9b}1m",
        "\r",
        "\u{1b}[1;31m",
        "m",
    ];
    prop_oneof![
        prop::sample::select(known.to_vec()).prop_map(str::to_owned),
        any::<String>()
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn only_line_ends_and_own_styling_pass_the_last_door(pieces in prop::collection::vec(any_piece(), 0..10), colour: bool) {
        let text = pieces.concat();
        let style = Style { colour, ..Style::PLAIN };
        let (ui, captured) = Ui::captured(style);
        ui.data(&text).expect("memory");
        ui.say(&text);
        let shown = captured.out();
        prop_assert_eq!(&captured.err(), &shown);
        let mut rest = shown.as_str();
        while let Some(at) = rest.find(is_harmful) {
            rest = &rest[at..];
            prop_assert!(colour, "{:?}", shown);
            let end = rest.find('m').expect("the end of a style");
            prop_assert!(rest.starts_with("\u{1b}["), "{:?}", shown);
            prop_assert!(rest[2..end].chars().all(|c| c.is_ascii_digit() || c == ';'), "{:?}", shown);
            rest = &rest[end + 1..];
        }
        let again = shield(&shown, colour).into_owned();
        prop_assert_eq!(&again, &shown, "what is safe stays");
        prop_assert_eq!(shown.matches('\n').count(), text.matches('\n').count());
        // What was made harmless before passes as it is.
        let (ui, captured) = Ui::captured(style);
        ui.line(Tone::Bad, &text);
        ui.error(&text, Some(&text));
        let plain = captured.err().replace("\u{1b}[31m", "").replace("\u{1b}[1m", "").replace("\u{1b}[0m", "");
        prop_assert!(!plain.contains(is_harmful), "{:?}", plain);
    }
}

//! Saved plans: `plan --out`, `exec PLAN`, `plan --diff`, through the built binary on a simulated service; each
//! reason for which one is refused.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;

use runbook::plan::saved::SavedPlan;
use runbook::plan::{Plan, Survey};
use runbook::runbook::Runbook;

use super::*;

impl Home {
    /// Makes a plan and says how that went.
    fn plan(&self, address: &str, more: &[&str]) -> Output {
        let place = ["plan", "move.yaml", "--address", address];
        self.output(&[&place, &PARAMETERS[..], &["--out", "plan.json"], more].concat())
    }

    #[track_caller]
    fn planned(&self, address: &str) {
        let output = self.plan(address, &[]);
        assert_eq!(output.status.code(), Some(0), "{}", self.shown(&output));
    }

    fn saved(&self) -> SavedPlan {
        let bytes = fs::read(self.path().join("plan.json")).expect("a plan");
        SavedPlan::read(&bytes).expect("as it was written")
    }

    /// The plan as it would be, had the service been otherwise.
    fn had_it_been(&self, change: impl FnOnce(&mut Survey)) {
        let saved = self.saved();
        let plan = saved.plan;
        let runbook = Runbook::parse(&plan.file, plan.source.as_bytes()).expect("a runbook");
        let mut survey = plan.survey;
        change(&mut survey);
        let plan = Plan::new(&runbook, plan.parameters, survey, plan.created);
        let text = SavedPlan::new(plan, &saved.tool, &saved.user, &saved.host).text();
        fs::write(self.path().join("plan.json"), text).expect("written");
    }

    fn edit(&self, file: &str, from: &str, to: &str) {
        let path = self.path().join(file);
        let text = fs::read_to_string(&path).expect("a file");
        assert!(text.contains(from), "{from} in {text}");
        fs::write(path, text.replacen(from, to, 1)).expect("written");
    }
}

const YES: [&str; 5] = ["exec", "plan.json", "--yes", "--confirm", "tell=told"];

#[track_caller]
fn exits(shown: &str, code: i32) {
    assert!(shown.starts_with(&format!("exit {code}\n")), "{shown}");
}

/// What follows the data: what `plan` says about the file.
fn stderr(shown: &str) -> &str {
    shown
        .split_once("--- stderr\n")
        .map_or("", |(_, said)| said)
}

#[test]
fn a_plan_is_saved_reviewed_and_carried_out_once_as_it_was_reviewed() {
    let (home, served) = (Home::new(), serve(world(12)));
    let output = home.plan(&served.address, &[]);
    assert_snapshot!("saved", stderr(&home.shown(&output)));
    let text = fs::read_to_string(home.path().join("plan.json")).expect("a plan");
    assert!(!text.contains("hunter2"), "a secret is in the plan");
    let shown = home.run(&["plan", "plan.json"]);
    exits(&shown, 0);
    let planned = home.shown(&output);
    let data = |text: &str| {
        text.split("--- stderr")
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    assert_eq!(data(&shown), data(&planned), "it is shown as it was");

    home.edit("move.yaml", "Tell ${{", "Do not tell ${{");
    exits(&home.run(&["exec", "plan.json", "--dry-run"]), 0);
    assert_eq!(served.simulator.write_count(), 0);
    assert_snapshot!("saved_carried_out", home.run(&YES));
    assert_eq!(served.simulator.write_count(), 12);
    let shown = home.run(&["show", &home.run_id()]);
    assert!(shown.contains("Saved plan of "), "{shown}");
    assert!(
        shown.contains("Tell 12 owners"),
        "the plan's text, not the file's: {shown}"
    );

    fs::copy(home.path().join("plan.json"), home.path().join("copy.json")).expect("copied");
    assert_snapshot!("saved_twice", home.run(&["exec", "copy.json", "--yes"]));
    assert_eq!(served.simulator.write_count(), 12);
}

#[test]
fn a_plan_is_private_whole_and_takes_nobodys_place() {
    let (home, served) = (Home::new(), serve(world(2)));
    let path = home.path().join("plan.json");
    fs::write(&path, "notes").expect("written");
    assert_snapshot!(
        "saved_over_something_else",
        stderr(&home.shown(&home.plan(&served.address, &[])))
    );
    assert_eq!(fs::read_to_string(&path).expect("still there"), "notes");
    fs::remove_file(&path).expect("removed");
    let command = home.command(&[]);
    let mut arguments = vec![
        "-c",
        "umask 000; exec \"$0\" \"$@\"",
        env!("CARGO_BIN_EXE_runbook"),
    ];
    arguments.extend(["plan", "move.yaml", "--address", &served.address]);
    arguments.extend(PARAMETERS);
    arguments.extend(["--out", "plan.json"]);
    let mut shell = Command::new("/bin/sh");
    shell
        .args(arguments)
        .current_dir(home.path())
        .env_clear()
        .stdin(Stdio::null());
    shell.envs(
        command
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    assert!(shell.output().expect("a shell").status.success());
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    // A plan takes the place of a plan, and nothing stays behind.
    let first = home.saved().plan.digest;
    home.planned(&served.address);
    assert_ne!(home.saved().plan.digest, first);
    let names = fs::read_dir(home.path()).expect("a folder");
    let names: Vec<_> = names
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    assert!(
        !names
            .iter()
            .any(|name| name.to_string_lossy().starts_with('.')),
        "{names:?}"
    );
    let stdout = home.output(&[&["plan", "move.yaml", "--out", "-"], &PARAMETERS[..]].concat());
    assert_eq!(stdout.status.code(), Some(2), "{}", home.shown(&stdout));
    let nowhere = home.output(
        &[
            &[
                "plan",
                "move.yaml",
                "--address",
                &served.address,
                "--out",
                "no/such/folder.json",
            ],
            &PARAMETERS[..],
        ]
        .concat(),
    );
    assert_eq!(nowhere.status.code(), Some(1), "{}", home.shown(&nowhere));
    // Said before the service is read.
    assert!(nowhere.stdout.is_empty(), "{}", home.shown(&nowhere));
    assert_snapshot!("saved_nowhere", stderr(&home.shown(&nowhere)));
}

#[test]
fn a_plan_has_its_parameters_but_not_its_secrets() {
    let (home, served) = (Home::new(), serve(world(1)));
    home.planned(&served.address);
    fs::write(home.path().join("more.yaml"), "safe: orders:good\n").expect("written");
    assert_snapshot!(
        "saved_with_parameters",
        home.run(&[
            "exec",
            "plan.json",
            "-p",
            "bad=orders:good",
            "--params-file",
            "more.yaml"
        ])
    );
    let without = |more: &[&str]| {
        let mut command = home.command(&[&YES, more].concat());
        command.env_remove("RUNBOOK_PARAM_TOKEN");
        home.shown(&command.output().expect("the binary runs"))
    };
    assert_snapshot!("saved_without_its_secret", without(&[]));
    assert!(!home.path().join("state").exists(), "nothing was begun");
    fs::write(home.path().join("token"), "hunter2\n").expect("written");
    exits(&without(&["-p", "token=@token"]), 0);
}

#[test]
fn an_edited_plan_and_one_of_another_version_are_refused() {
    let home = Home::new();
    let served = serve(world(1));
    home.planned(&served.address);
    let whole = fs::read(home.path().join("plan.json")).expect("a plan");
    home.edit("plan.json", "orders:safe", "orders:good");
    assert_snapshot!("saved_and_edited", home.run(&YES));
    fs::write(home.path().join("plan.json"), &whole[..whole.len() / 2]).expect("written");
    exits(&home.run(&YES), 4);
    fs::write(home.path().join("plan.json"), &whole).expect("written");
    home.edit("plan.json", "runbook-plan/v1", "runbook-plan/v2");
    assert_snapshot!("saved_in_another_version", home.run(&YES));
    exits(&home.run(&["plan", "--diff", "plan.json"]), 4);
    fs::write(home.path().join("plan.json"), whole).expect("written");
    home.had_it_been(|_| {});
    exits(&home.run(&YES), 0);
}

#[test]
fn a_plan_of_another_place_is_refused_before_anybody_is_called() {
    let (home, served) = (Home::new(), serve(world(1)));
    home.planned(&served.address);
    let elsewhere = ["exec", "plan.json", "--address", "127.0.0.1:1"];
    assert_snapshot!("saved_for_another_address", home.run(&elsewhere));
    let mut command = home.command(&["exec", "plan.json", "--dry-run"]);
    command.env("TEMPORAL_NAMESPACE", "prod");
    let output = command.output().expect("the binary runs");
    assert_snapshot!("saved_for_another_namespace", home.shown(&output));
    home.had_it_been(|survey| "another-id".clone_into(&mut survey.preflight.namespace_id));
    assert_snapshot!("saved_for_a_namespace_of_before", home.run(&YES));
    assert!(!home.path().join("state").exists(), "nothing was begun");
}

#[test]
fn what_moved_beyond_the_tolerance_is_refused_with_a_table() {
    let (home, served) = (Home::new(), serve(world(12)));
    home.planned(&served.address);
    home.had_it_been(|survey| {
        let routing = survey
            .deployments
            .get_mut("orders")
            .and_then(Option::as_mut);
        let routing = routing.expect("a deployment");
        routing.current = runbook::survey::Version::parse("orders:bad");
        routing
            .versions
            .retain(|info| info.version.build_id != "safe");
        survey.tables.get_mut("pinned").expect("a table").rows[0].count = 11;
    });
    assert_snapshot!("saved_and_moved", home.run(&YES));
    let dry = home.output(&["exec", "plan.json", "--dry-run", "--output", "json"]);
    assert_eq!(dry.status.code(), Some(4), "{}", home.shown(&dry));
    let data: Value = serde_json::from_slice(&dry.stdout).expect("JSON");
    assert_eq!(data["within"], json!(false));
    assert_eq!(served.simulator.write_count(), 0);
    assert!(!home.path().join("state").exists(), "nothing was begun");
}

#[test]
fn a_plan_is_compared_with_now_and_a_tolerance_widens_it() {
    let (home, served) = (Home::new(), serve(world(12)));
    home.edit(
        "move.yaml",
        "checks:",
        "tolerance: { steps: { move: { rows: { movable: 20% } } } }\nchecks:",
    );
    home.planned(&served.address);
    let diff = ["plan", "--diff", "plan.json"];
    assert_snapshot!("saved_and_nothing_moved", home.run(&diff));
    let count = |count| {
        move |survey: &mut Survey| {
            survey.tables.get_mut("pinned").expect("a table").rows[0].count = count
        }
    };
    home.had_it_been(count(10));
    assert_snapshot!("saved_and_moved_within", home.run(&diff));
    home.had_it_been(count(9));
    assert_snapshot!(
        "saved_and_moved_beyond",
        home.run(&[&diff[..], &["--output", "json"]].concat())
    );
    home.had_it_been(count(10));
    let carried_out = home.run(&YES);
    exits(&carried_out, 0);
    assert!(
        carried_out.contains("pinned, movable: 12; in the plan it was 10"),
        "{carried_out}"
    );
    // By now nothing is left of what was planned.
    exits(&home.run(&diff), 4);
}

#[test]
fn a_plan_that_somebody_carries_out_now_is_refused() {
    let (home, served) = (Home::new(), serve(world(1)));
    home.planned(&served.address);
    let held = File::open(home.path().join("plan.json")).expect("a plan");
    held.lock().expect("locked");
    assert_snapshot!("saved_and_being_carried_out", home.run(&YES));
    exits(&home.run(&["exec", "plan.json", "--dry-run"]), 0);
    drop(held);
    let parked = home.run(&["exec", "plan.json"]);
    exits(&parked, 3);
    let again = home.run(&YES);
    exits(&again, 4);
    assert!(again.contains("runbook resume RUN"), "{again}");
}

#[test]
fn the_detailed_exit_code_says_whether_there_is_something_to_do() {
    let (home, served) = (Home::new(), serve(world(2)));
    let text = RUNBOOK.split("  - id: tell").next().expect("its beginning");
    fs::write(home.path().join("move.yaml"), text).expect("written");
    let code = |more: &[&str]| {
        let place = [
            "plan",
            "move.yaml",
            "--detailed-exitcode",
            "--address",
            &served.address,
        ];
        home.output(&[&place, &PARAMETERS[..], more].concat())
            .status
            .code()
    };
    assert_eq!(code(&[]), Some(2));
    assert_eq!(
        code(&["-p", "classes.Nonsense=nonsense"]),
        Some(1),
        "an invalid parameter"
    );
    assert_eq!(code(&["--no-such-flag"]), Some(1));
    exits(&home.run(&exec(&served.address, &["--yes"])), 0);
    assert_eq!(code(&[]), Some(0));
}

/// Something of everything that a world tells of its Workflows.
fn busy() -> Value {
    json!({
        "attributes": { "Class": "keyword", "Customer": "keyword" },
        "deployments": {
            "orders": { "current": "bad", "ramping": "safe", "ramp_percentage": 5.0, "versions": {
                "good": { "task_queues": ["orders"], "status": "drained" },
                "bad": { "task_queues": ["orders"], "behaves": "fail_tasks" },
                "safe": { "task_queues": ["orders", "more"] },
            } },
            "other": { "current": "one", "versions": { "one": { "task_queues": ["other"] } } },
        },
        "workflows": [
            { "type": "Order", "id": "secret-order", "count": 130, "deployment": "orders", "version": "bad", "task": "failing" },
            { "type": "Order", "id": "idle-order", "count": 40, "deployment": "orders", "version": "bad", "input": { "card": "4711-0815" } },
            { "type": "Order", "id": "moved-order", "count": 3, "deployment": "orders", "version": "good", "versioning_override": "bad" },
            { "type": "Parcel", "id": "parcel", "count": 6, "deployment": "orders", "version": "bad", "children": { "type": "Label", "count": 2 } },
            { "type": "Refund", "id": "refund", "count": 5, "deployment": "orders", "version": "bad",
              "attributes": { "Class": "movable", "Customer": "ana@example.com" } },
            { "type": "Refund", "id": "odd", "count": 4, "deployment": "orders", "version": "bad", "attributes": { "Customer": "ben@example.com" } },
            { "type": "Invoice", "id": "invoice", "count": 7, "deployment": "orders", "version": "bad", "status": "timed_out" },
            { "type": "Invoice", "id": "replaced", "count": 2, "deployment": "orders", "version": "bad", "status": "failed",
              "superseded_by": { "version": "safe" } },
            { "type": "Order", "id": "elsewhere", "count": 9, "deployment": "orders", "version": "safe" },
        ],
    })
}

/// Two tables over it: classes by type and by attribute, the task, closed Workflows.
fn two_tables() -> String {
    let steps = RUNBOOK.split("steps:").nth(1).expect("its steps");
    let rows = RUNBOOK
        .split("strategies:")
        .next()
        .expect("its head")
        .replace(
            "default: { Order: movable }",
            "default: { Order: movable, Parcel: movable, Label: movable }",
        );
    let steps = steps
        .split("  - id: tell")
        .next()
        .expect("what is before the task");
    format!(
        r#"{rows}strategies:
  move: {{ action: workflows.update_options, with: {{ version: "${{{{ params.safe }}}}" }} }}
  reopen:
    action: workflows.reset
    with: {{ to: first_workflow_task, reapply: none, version: "${{{{ params.safe }}}}", reason: again }}
decisions:
  pinned:
    scope: TemporalWorkerDeploymentVersion = ${{{{ params.bad }}}} AND ExecutionStatus = 'Running'
    classify: {{ types: "${{{{ params.classes }}}}", attribute: Class }}
    unmatched: leave
    rows:
      - {{ id: stuck, class: movable, task: failing, apply: move }}
      - {{ id: movable, class: movable, apply: move }}
  closed:
    scope: TemporalWorkerDeploymentVersion = ${{{{ params.bad }}}} AND ExecutionStatus IN ('Failed', 'TimedOut')
    unmatched: leave
    rows:
      - {{ id: reopened, apply: reopen }}
steps:{steps}  - id: reopen
    action: decision.apply
    with: {{ decision: closed }}
"#
    )
}

/// What a plan in JSON counts, and what looks said would be done.
fn counts(output: &Output) -> Value {
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let plan: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let tables = plan["tables"].as_array().expect("tables").iter();
    let of_table = |table: &Value| {
        let rows = table["rows"].as_array().expect("rows").iter();
        let rows: Vec<Value> = rows
            .map(|row| {
                json!([
                    row["row"],
                    row["count"],
                    row["looked"]["would"],
                    row["looked"]["skipped"]
                ])
            })
            .collect();
        let left = table["unmatched"].as_object().expect("a mapping");
        let left: Vec<Value> = left
            .iter()
            .map(|(name, left)| json!([name, left["count"]]))
            .collect();
        json!([table["name"], table["total"], rows, left])
    };
    tables.map(of_table).collect()
}

#[test]
fn a_world_is_made_of_what_the_service_holds_and_counts_as_it_does() {
    let (home, served) = (Home::new(), serve(busy()));
    fs::write(home.path().join("move.yaml"), two_tables()).expect("written");
    let plan = |address: &str, more: &[&str]| {
        let place = [
            "plan",
            "move.yaml",
            "--output",
            "json",
            "--address",
            address,
        ];
        home.output(&[&place, &PARAMETERS[..], more].concat())
    };
    let made = plan(&served.address, &["--world", "world.yaml"]);
    let live = counts(&made);
    assert_snapshot!("world_made", stderr(&home.shown(&made)));
    let text = fs::read_to_string(home.path().join("world.yaml")).expect("a world");
    let ages = Regex::new(r#""\d+s""#).expect("a pattern");
    assert_snapshot!("world", ages.replace_all(&home.settled(&text), "AGO"));
    for private in ["hunter2", "4711-0815", "secret-order", "example.com"] {
        assert!(!text.contains(private), "{private} in {text}");
    }
    assert!(
        text.len() < 4_096,
        "some groups, not 200 Workflows: {} bytes",
        text.len()
    );

    let portrait = runbook::rehearsal::Rehearsal::parse("world.yaml", text.as_bytes());
    let portrait = portrait.unwrap_or_else(|problems| panic!("{problems:#?}"));
    let again = serve(serde_json::to_value(&portrait.world).expect("JSON"));
    assert_eq!(counts(&plan(&again.address, &[])), live);
    let rehearsed = home.run(&["rehearse", "move.yaml", "--rehearsal", "world.yaml"]);
    exits(&rehearsed, 0);
    assert!(rehearsed.contains("as_it_is"), "{rehearsed}");

    fs::write(home.path().join("mine.yaml"), "schema: rehearsal/v1\n").expect("written");
    let refused = plan(&served.address, &["--world", "mine.yaml"]);
    assert_eq!(refused.status.code(), Some(4), "{}", home.shown(&refused));
    let named = plan(&served.address, &["--world", "world.yaml", "--world-ids"]);
    assert_eq!(counts(&named), live);
    let text = fs::read_to_string(home.path().join("world.yaml")).expect("a world");
    assert!(text.contains("secret-order-7"), "{text}");
    exits(
        &home.run(&["rehearse", "move.yaml", "--rehearsal", "world.yaml"]),
        0,
    );
}

//! Two people at once: a runbook's `lock:`, through the built binary on one simulated service.

use super::*;

/// With a lock on the Version that the Workflows leave.
fn with_lock(home: &Home) {
    let locked = RUNBOOK.replace("checks:", "lock: move ${{ params.bad }}\nchecks:");
    std::fs::write(home.path().join("move.yaml"), locked).expect("written");
}

const LOCK: &str = "move orders:bad";

fn two_homes() -> (Home, Home) {
    let homes = (Home::new(), Home::new());
    with_lock(&homes.0);
    with_lock(&homes.1);
    homes
}

/// Ages and users, which differ from run to run, replaced.
fn ages(text: &str) -> String {
    let ages = Regex::new(r"\d+ (ms|s|min)( \d+ s)? (ago|old)").expect("a pattern");
    ages.replace_all(text, "A WHILE $3").into_owned()
}

fn held_by(served: &Served) -> Option<String> {
    served.simulator.facts().locks.get(LOCK)?.held_by.clone()
}

#[track_caller]
fn exits(shown: &str, code: i32) {
    assert!(shown.starts_with(&format!("exit {code}\n")), "{shown}");
}

#[test]
fn the_second_is_refused_until_the_first_has_ended() {
    let (ana, ben) = two_homes();
    let served = serve(world(6));
    let parked = ana.run(&exec(&served.address, &["--yes"]));
    exits(&parked, 3);
    assert!(
        parked.contains("It keeps the lock `move orders:bad`"),
        "{parked}"
    );
    assert_eq!(held_by(&served), Some(ana.run_id()));
    let moved = served.simulator.write_count();

    let arguments = exec(&served.address, &["--yes"]);
    assert_snapshot!("the_lock_is_held", ages(&ben.run(&arguments)));
    assert!(!ben.path().join("state").exists(), "it left no journal");
    let planned = ben.run(&[
        "plan",
        "move.yaml",
        "--address",
        &served.address,
        PARAMETERS[0],
        PARAMETERS[1],
        PARAMETERS[2],
        PARAMETERS[3],
    ]);
    exits(&planned, 0);
    assert!(planned.contains("`move orders:bad` is held"), "{planned}");
    let dry = ben.run(&exec(&served.address, &["--dry-run"]));
    exits(&dry, 0);
    assert!(dry.contains("the lock `move orders:bad` is held"), "{dry}");
    assert_eq!(served.simulator.write_count(), moved, "nothing of it wrote");

    let run = ana.run_id();
    exits(&ana.run(&["resume", &run, "--confirm", "tell=told"]), 0);
    assert_eq!(held_by(&served), None, "given back");
    exits(
        &ben.run(&exec(&served.address, &["--yes", "--confirm", "tell=told"])),
        0,
    );
    assert_eq!(served.simulator.facts().locks[LOCK].taken, 2);
}

#[test]
fn a_lock_is_broken_by_whoever_types_whose_it_is() {
    let (ana, ben) = two_homes();
    let served = serve(world(3));
    let unlock = |home: &Home, more: &[&str]| {
        let mut arguments = vec!["unlock", LOCK, "--address", &served.address];
        arguments.extend(more);
        home.run(&arguments)
    };
    assert_snapshot!("the_lock_is_free", unlock(&ben, &[]));
    exits(&ana.run(&exec(&served.address, &["--yes"])), 3);
    let run = ana.run_id();
    assert_snapshot!("nobody_confirms_the_unlock", ages(&unlock(&ben, &[])));
    assert_snapshot!(
        "the_wrong_run_is_named",
        ages(&unlock(&ben, &["--confirm", "rb-20260101-000000-aaaa"]))
    );
    assert_eq!(held_by(&served), Some(run.clone()), "nothing was changed");
    let mut by_file = vec![
        "unlock",
        "move.yaml",
        "--confirm",
        &run,
        "--address",
        &served.address,
    ];
    by_file.extend(PARAMETERS);
    assert_snapshot!("unlocked_by_the_runbook", ages(&ben.run(&by_file)));
    assert_eq!(held_by(&served), None);

    // Ben begins, and the run that lost its lock cannot go on until he has ended.
    exits(&ben.run(&exec(&served.address, &["--yes"])), 3);
    let refused = ana.run(&["resume", &run, "--yes", "--confirm", "tell=told"]);
    assert_snapshot!("its_lock_has_another_holder", ages(&refused));
    exits(
        &ben.run(&["resume", &ben.run_id(), "--confirm", "tell=told"]),
        0,
    );
    let again = ana.run(&["resume", &run, "--yes", "--confirm", "tell=told"]);
    exits(&again, 0);
    let shown = ana.run(&["show", &run]);
    exits(&shown, 0);
    assert_eq!(held_by(&served), None);
}

#[test]
fn what_is_no_lease_is_left_alone() {
    let mut world = world(1);
    world["workflows"][0]["id"] = json!("runbook-lock:move orders:bad");
    let (ana, _) = two_homes();
    let served = serve(world);
    let arguments = [
        "unlock",
        LOCK,
        "--confirm",
        LOCK,
        "--address",
        &served.address,
    ];
    let refused = ana.run(&arguments);
    exits(&refused, 4);
    assert!(
        refused.contains("is of type Order: it is no lock"),
        "{refused}"
    );
    exits(&ana.run(&exec(&served.address, &["--yes"])), 4);
    assert_eq!(served.simulator.writes().len(), 0);
    let plain = Home::new();
    let none = plain.run(&["unlock", "move.yaml", "--address", &served.address]);
    exits(&none, 2);
    assert!(none.contains("declares no `lock:`"), "{none}");
}

#[test]
fn the_same_run_takes_its_lock_over_on_another_host() {
    let (ana, ben) = two_homes();
    let served = serve(world(2));
    exits(&ana.run(&exec(&served.address, &["--yes"])), 3);
    let mut records = Vec::new();
    for record in runbook::journal::read(&ana.journal()).expect("a journal") {
        let mut record = record.expect("a record");
        if let runbook::record::Body::Attached { host, .. } = &mut record.body {
            "elsewhere".clone_into(host);
        }
        records.push(record);
    }
    let path = ben.path().join("taken.jsonl");
    let mut journal = runbook::journal::Journal::create(&path).expect("a journal");
    journal.append(&records).expect("written");
    drop(journal);
    let path = path.display().to_string();
    let over = ben.run(&["resume", &path, "--take-over", "--confirm", "tell=told"]);
    exits(&over, 0);
    let lock = &served.simulator.facts().locks[LOCK];
    assert_eq!(
        (lock.held_by.as_ref(), lock.taken),
        (None, 1),
        "one lease all along"
    );
}

/// Killed with the lease taken and its record not yet written, and in the middle of giving it back.
#[test]
fn killed_while_it_takes_or_gives_back_its_lock_it_goes_on() {
    let (ana, ben) = two_homes();
    let served = serve(world(2));
    let done = ["--yes", "--confirm", "tell=told"];
    for (point, verb) in [("after_lock:1", "exec"), ("after_lock:2", "resume")] {
        let run = if verb == "resume" {
            ana.run_id()
        } else {
            String::new()
        };
        let arguments = match verb {
            "exec" => exec(&served.address, &done),
            _ => ["resume", &run].into_iter().chain(done).collect(),
        };
        let killed = ana
            .command(&arguments)
            .env("RUNBOOK_TEST_KILL", point)
            .output();
        let killed = killed.expect("the binary runs");
        assert_eq!(killed.status.code(), None, "{}", ana.shown(&killed));
        if verb == "exec" {
            let refused = ben.run(&exec(&served.address, &done));
            exits(&refused, 4);
            assert!(refused.contains(&"RUN".to_owned()), "{refused}");
        }
    }
    exits(&ana.run(&["resume", &ana.run_id(), "--yes"]), 0);
    let lock = &served.simulator.facts().locks[LOCK];
    assert_eq!((lock.held_by.as_ref(), lock.taken), (None, 1));
    exits(&ben.run(&exec(&served.address, &done)), 0);
}

/// Without a lock, two processes with journals of their own on one service: what the first has reset, the second leaves
/// alone, because it looks. What remains is the time between a look and its write, and nothing else.
#[test]
fn without_a_lock_the_look_keeps_the_second_tool_away() {
    const RESETS: &str = "action: workflows.reset\n    with: { to: first_workflow_task, reapply: none, version: \"${{ params.safe }}\", reason: two }";
    let reset = RUNBOOK.replace(
        "action: workflows.update_options\n    with: { version: \"${{ params.safe }}\" }",
        RESETS,
    );
    let (ana, ben) = (Home::new(), Home::new());
    for home in [&ana, &ben] {
        std::fs::write(home.path().join("move.yaml"), &reset).expect("written");
    }
    let served = serve(world(40));
    let done = ["--yes", "--confirm", "tell=told"];
    let half: Vec<&str> = done.into_iter().chain(["--limit", "20"]).collect();
    exits(&ana.run(&exec(&served.address, &half)), 3);
    let before = resets(&served);
    assert_eq!(before.len(), 20);
    let second = ben.command(&exec(&served.address, &done));
    let run = ana.run_id();
    let resumed: Vec<&str> = ["resume", &run].into_iter().chain(done).collect();
    let first = ana.command(&resumed);
    let children = [first, second].map(|mut command| {
        let piped = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        piped.spawn().expect("the binary runs")
    });
    for child in children {
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(output.status.code(), Some(0), "{}", ana.shown(&output));
    }
    let resets = resets(&served);
    assert_eq!(resets.len(), 40, "each was reset");
    for (id, times) in &resets {
        // Of those that both took at the same moment, both resets may have arrived; nothing else may.
        let most = if before.contains_key(id) { 1 } else { 2 };
        assert!(*times <= most, "{id}: {times} resets");
    }
}

/// Resets that were done, by Workflow ID.
fn resets(served: &Served) -> std::collections::BTreeMap<String, u32> {
    let workflows = served.simulator.facts().workflows;
    let counted = workflows.into_iter().map(|(id, it)| (id, it.done.resets));
    counted.filter(|(_, times)| *times > 0).collect()
}

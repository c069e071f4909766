//! `guards:` of a runbook: refused offline, before the first call, and where the counts are too high; on every
//! verb that calls a service, and years later from a journal.

use std::net::TcpListener;

use insta::assert_snapshot;

use super::{Home, PARAMETERS, RUNBOOK, exec, serve, world};

/// The runbook with guards before its checks.
fn guarded(home: &Home, guards: &str) {
    let text = RUNBOOK.replace("checks:\n", &format!("guards:\n{guards}checks:\n"));
    std::fs::write(home.path().join("move.yaml"), text).expect("written");
}

/// A port where nobody may call.
struct Untouched {
    listener: TcpListener,
    address: String,
}

impl Untouched {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("it does not wait");
        let address = listener.local_addr().expect("an address").to_string();
        Self { listener, address }
    }

    #[track_caller]
    fn is_untouched(&self) {
        let called = self.listener.accept();
        assert!(called.is_err(), "somebody called: {called:?}");
    }
}

#[test]
fn what_the_file_forbids_itself_is_found_offline() {
    let home = Home::new();
    guarded(
        &home,
        "  namespaces: ['prod-${{ params.bad }}']\n  forbid: [workflows.update_options, deployment.*, manual.tsk]\n",
    );
    assert_snapshot!("guards_offline", home.run(&["validate", "move.yaml"]));
}

#[test]
fn another_namespace_or_address_is_refused_before_anybody_is_called() {
    let (home, nobody) = (Home::new(), Untouched::new());
    guarded(
        &home,
        "  namespaces: [staging, prod-*]\n  addresses:\n    - '*.example.com:7233'\n",
    );
    let place = ["--address", &nobody.address, "--namespace", "Prod-eu"];
    let verb = |verb: &[&str]| {
        let arguments = [verb, &["move.yaml"], &PARAMETERS, &place].concat();
        home.output(&arguments)
    };
    for arguments in [
        &["plan"][..],
        &["exec"],
        &["exec", "--dry-run"],
        &["exec", "--yes"],
        &["explain", "--workflow", "order-0"],
    ] {
        let output = verb(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(4), "{arguments:?}: {said}");
        assert!(said.contains("guards.namespaces") && said.contains("guards.addresses"));
    }
    assert_snapshot!("guards_refuse", home.shown(&verb(&["exec"])));
    assert_snapshot!(
        "guards_refuse_json",
        home.shown(&verb(&["exec", "--output", "json"]))
    );
    let path = home.path().join("move.yaml");
    let text = std::fs::read_to_string(&path).expect("the runbook");
    std::fs::write(&path, text.replace("guards:\n", "lock: orders\nguards:\n")).expect("written");
    let said = verb(&["unlock", "--confirm", "orders"]);
    assert_eq!(said.status.code(), Some(4), "{said:?}");
    nobody.is_untouched();
    assert!(!home.path().join("state").exists(), "no journal was begun");
}

#[test]
fn a_resume_elsewhere_is_refused_by_the_rules_that_the_run_began_with() {
    let (home, served, nobody) = (Home::new(), serve(world(1)), Untouched::new());
    guarded(
        &home,
        "  namespaces: [default]\n  addresses: ['127.0.0.1:*']\n",
    );
    let output = home.output(&exec(&served.address, &[]));
    assert_eq!(output.status.code(), Some(3));
    // The file may have changed or be gone: the plan holds the rules, and where they stood.
    std::fs::remove_file(home.path().join("move.yaml")).expect("removed");
    let run = home.run_id();
    let elsewhere = nobody.address.replace("127.0.0.1", "localhost");
    let arguments = ["resume", &run, "--address", &elsewhere];
    let elsewhere = home.run(&[&arguments[..], &["--namespace", "other"]].concat());
    assert_snapshot!(
        "guards_refuse_a_resume",
        elsewhere.replace(&nobody.address[10..], "PORT")
    );
    nobody.is_untouched();
}

#[test]
fn more_workflows_than_a_step_may_take_are_refused_when_they_are_counted() {
    let (home, served) = (Home::new(), serve(world(5)));
    guarded(&home, "  max_workflows: 4\n");
    assert_snapshot!(
        "guards_too_many",
        home.run(&exec(&served.address, &["--yes"]))
    );
    let plan = [
        &["plan", "move.yaml", "--address", &served.address],
        &PARAMETERS[..],
    ]
    .concat();
    let output = home.output(&plan);
    assert_eq!(output.status.code(), Some(4));
    assert!(String::from_utf8_lossy(&output.stdout).contains("movable"));
    let dry = home.output(&exec(&served.address, &["--dry-run"]));
    assert_eq!(dry.status.code(), Some(4));
    // A row that is left alone does not count.
    let output = home.output(&exec(
        &served.address,
        &["--skip-row", "movable", "--until", "move"],
    ));
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(served.simulator.write_count(), 0);
    guarded(&home, "  max_workflows: 5\n");
    let output = home.output(&exec(&served.address, &["--yes", "--until", "move"]));
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(served.simulator.write_count(), 5);
}

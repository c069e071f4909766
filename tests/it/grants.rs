//! What an answer grants, in rehearsal: exactly what was asked about, for as long as was said.

use runbook::record::{Body, Question, Record, Write};
use runbook::rehearsal::{Rehearsal, Rehearsed};
use runbook::runbook::Runbook;

use crate::rehearsal::run;

const WORLD: &str = r#"
schema: rehearsal/v1
world:
  deployments:
    orders:
      current: bad
      versions:
        good: { task_queues: [orders], behaves: idle }
        bad: { task_queues: [orders], behaves: fail_tasks }
        safe: { task_queues: [orders], behaves: idle }
  workflows:
    - { type: Shipment, id: first, count: 3, version: bad, task: failing }
    - { type: Shipment, id: later, count: 3, version: bad, task: failing, arrives: 5m }
"#;

/// Rehearses `steps` in the small world; `more` is added to it, `scenario` is the scenario's.
fn rehearse(steps: &str, more: &str, scenario: &str) -> Rehearsed {
    let text = format!("schema: runbook/v1\nname: grants\nsteps:\n{steps}");
    let runbook = Runbook::parse("grants.yaml", text.as_bytes());
    let runbook = runbook.unwrap_or_else(|problems| panic!("{problems:#?}"));
    let text = format!("{WORLD}{more}\nscenarios:\n  it:\n{scenario}");
    let rehearsal = Rehearsal::parse("grants.rehearsal.yaml", text.as_bytes());
    let rehearsal = rehearsal.unwrap_or_else(|problems| panic!("{problems:#?}"));
    let rehearsed = run(&runbook, &rehearsal, "it", None);
    assert!(rehearsed.failures.is_empty(), "{:#?}", rehearsed.failures);
    rehearsed
}

fn questions<'a>(records: &'a [Record], step: &str) -> Vec<&'a Question> {
    let asked = records.iter().filter_map(|record| match &record.body {
        Body::Asked { place, what, .. } if place.step == step => Some(&**what),
        _ => None,
    });
    asked.collect()
}

/// Targets of the writes, in order, and how many questions had been asked before each.
fn targets(records: &[Record]) -> Vec<(usize, String)> {
    let (mut asked, mut found) = (0, Vec::new());
    for record in records {
        match &record.body {
            Body::Asked { .. } => asked += 1,
            Body::Intent { write, .. } => {
                let target = Write::target(write).map(ToString::to_string);
                found.push((asked, target.unwrap_or_default()));
            }
            _ => {}
        }
    }
    found
}

const ON_BAD: &str =
    "TemporalWorkerDeploymentVersion = 'orders:bad' AND ExecutionStatus = 'Running'";

#[test]
fn another_target_in_a_later_round_is_asked_about_before_anything_goes_there() {
    let step = format!(
        r#"
  - id: rounds
    repeat:
      until: ${{{{ steps.came.count > 0 and steps.left.count == 0 }}}}
      every: 6m
      timeout: 2h
      steps:
        - {{ id: came, action: workflows.count, with: {{ query: "WorkflowId = 'later-0'" }} }}
        - id: move
          action: workflows.update_options
          with:
            select: {{ query: "{ON_BAD}" }}
            version: "${{{{ 'orders:good' if steps.came.count == 0 else 'orders:safe' }}}}"
        - {{ id: left, action: workflows.count, with: {{ query: "{ON_BAD}" }} }}
"#
    );
    let rehearsed = rehearse(
        &step,
        "",
        r#"
    expect:
      workflows:
        - { id: first, count: 3, moves: 1, version: "orders:good" }
        - { id: later, count: 3, moves: 1, version: "orders:safe" }
"#,
    );
    let asked = questions(&rehearsed.records, "move");
    let shown: Vec<_> = asked
        .iter()
        .flat_map(|what| match what {
            Question::Rows { rows, .. } => rows.clone(),
            other => panic!("{other:?}"),
        })
        .map(|row| (row.target.map(|target| target.to_string()), row.granted))
        .collect();
    let target = |name: &str| Some(name.to_owned());
    assert_eq!(
        shown,
        [(target("orders:good"), 0), (target("orders:safe"), 3)]
    );
    let (good, safe) = ((1, "orders:good".to_owned()), (2, "orders:safe".to_owned()));
    let wanted = [vec![good; 3], vec![safe; 3]].concat();
    assert_eq!(targets(&rehearsed.records), wanted);
}

#[test]
fn one_yes_covers_a_later_round_and_another_step_with_the_same_arguments_and_no_others() {
    let steps = r#"
  - { id: first, action: deployment.set_current, with: { version: "orders:good" } }
  - { id: away, action: deployment.set_current, with: { version: "orders:safe" } }
  - { id: same, action: deployment.set_current, with: { version: "orders:good" } }
  - id: worded
    action: deployment.set_current
    with: { version: "orders:safe" }
    confirm: { type: again }
"#;
    let rehearsed = rehearse(
        steps,
        "",
        "    expect: { questions: 3, current: { orders: safe } }\n",
    );
    let asked = |step: &str| questions(&rehearsed.records, step).len();
    assert_eq!(["first", "away", "same", "worded"].map(asked), [1, 1, 0, 1]);
}

#[test]
fn an_action_on_the_service_asks_again_where_its_arguments_change() {
    let step = |version: &str| {
        format!(
            r#"
  - id: rounds
    repeat:
      until: ${{{{ steps.came.count > 0 }}}}
      every: 6m
      timeout: 2h
      steps:
        - {{ id: came, action: workflows.count, with: {{ query: "WorkflowId = 'later-0'" }} }}
        - {{ id: back, action: deployment.set_current, with: {{ version: "orders:bad" }} }}
        - {{ id: route, action: deployment.set_current, with: {{ version: "{version}" }} }}
"#
        )
    };
    let count = |version: &str| {
        let rehearsed = rehearse(&step(version), "", "    expect: {}\n");
        ["back", "route"].map(|step| questions(&rehearsed.records, step).len())
    };
    let changing = "${{ 'orders:good' if steps.came.count == 0 else 'orders:safe' }}";
    assert_eq!(count("orders:good"), [1, 1]);
    assert_eq!(count(changing), [1, 2]);
}

#[test]
fn a_program_asks_again_where_what_it_is_given_changes_and_not_where_it_stays() {
    let step = |value: &str| {
        format!(
            r#"
  - id: rounds
    repeat:
      until: ${{{{ steps.came.count > 0 }}}}
      every: 6m
      timeout: 2h
      steps:
        - {{ id: came, action: workflows.count, with: {{ query: "WorkflowId = 'later-0'" }} }}
        - id: tell
          action: command.run
          with: {{ argv: [notify], effect: idempotent, env: {{ COUNT: "{value}" }} }}
"#
        )
    };
    let world = "  commands:\n    - { argv: [notify] }\n";
    let count = |value: &str| {
        let rehearsed = rehearse(&step(value), world, "    expect: {}\n");
        questions(&rehearsed.records, "tell").len()
    };
    assert_eq!(count("${{ steps.came.count }}"), 2);
    assert_eq!(count("7"), 1);
}

#[test]
fn an_old_answer_is_renewed_before_the_next_write() {
    let step = format!(
        r#"
  - id: rounds
    repeat:
      until: ${{{{ steps.came.count > 0 and steps.left.count == 0 }}}}
      every: 5h
      timeout: 20h
      steps:
        - {{ id: came, action: workflows.count, with: {{ query: "WorkflowId = 'later-0'" }} }}
        - id: move
          action: workflows.update_options
          with: {{ select: {{ query: "{ON_BAD}" }}, version: "orders:safe" }}
          limits: {{ max_workflows: 100 }}
        - {{ id: left, action: workflows.count, with: {{ query: "{ON_BAD}" }} }}
"#
    );
    let rehearsed = rehearse(
        &step,
        "",
        "    expect: { workflows: [{ id: later, count: 3, moves: 1 }] }\n",
    );
    let safe = |asked| (asked, "orders:safe".to_owned());
    let wanted = [vec![safe(1); 3], vec![safe(2); 3]].concat();
    assert_eq!(targets(&rehearsed.records), wanted);
}

#[test]
fn a_job_that_waited_longer_than_its_grant_is_asked_about_again_before_it_starts() {
    let steps = format!(
        r#"
  - id: move
    action: workflows.update_options
    with: {{ select: {{ query: "{ON_BAD}" }}, version: "orders:safe", via: batch }}
"#
    );
    let busy = "  batches: { jobs: [{ id: nightly, ends: 6h }] }\n";
    let rehearsed = rehearse(
        &steps,
        busy,
        "    expect: { steps: { move: { status: succeeded } }, workflows: [{ id: first, count: 3, moves: 1 }] }\n",
    );
    let records = &rehearsed.records;
    assert_eq!(questions(records, "move").len(), 2);
    let jobs = records
        .iter()
        .filter(|record| matches!(record.body, Body::Job { .. }));
    assert_eq!(jobs.count(), 1, "the same job is started, once");
}

#[test]
fn a_guard_holds_whoever_agrees_and_however_the_incident_grows() {
    let steps = format!(
        r#"
  - id: rounds
    repeat:
      until: ${{{{ steps.came.count > 0 and steps.left.count == 0 }}}}
      every: 6m
      timeout: 2h
      steps:
        - {{ id: came, action: workflows.count, with: {{ query: "WorkflowId = 'later-0'" }} }}
        - id: move
          action: workflows.update_options
          with: {{ select: {{ query: "{ON_BAD}" }}, version: "orders:safe" }}
        - {{ id: left, action: workflows.count, with: {{ query: "{ON_BAD}" }} }}
"#
    );
    let text = format!(
        "schema: runbook/v1\nname: grants\nguards: {{ max_workflows: 5 }}\nsteps:\n{steps}"
    );
    let runbook = Runbook::parse("grants.yaml", text.as_bytes()).expect("it is valid");
    let text = format!(
        "{WORLD}\nscenarios:\n  it:\n    expect:\n      exits: [1]\n      steps: {{ move: {{ status: halted, message: 'grants.yaml:3' }} }}\n      workflows: [{{ id: first, count: 3, moves: 1 }}]\n"
    );
    let rehearsal =
        Rehearsal::parse("grants.rehearsal.yaml", text.as_bytes()).expect("it is valid");
    let rehearsed = run(&runbook, &rehearsal, "it", None);
    assert!(rehearsed.failures.is_empty(), "{:#?}", rehearsed.failures);
    let hit = rehearsed
        .records
        .iter()
        .find_map(|record| match &record.body {
            Body::LimitHit { limit, bound, .. } => Some((limit.as_str(), *bound)),
            _ => None,
        });
    assert_eq!(hit, Some(("guards.max_workflows", 5)));
    assert!(targets(&rehearsed.records).len() <= 5);
}

const CAREFUL: &str = r#"
  - id: route
    action: deployment.set_current
    with: { version: "orders:good" }
    confirm: { type: good, by: 2NOT }
"#;

/// Who agreed to what is asked of `route`, in order, by the records.
fn agreed(records: &[Record]) -> Vec<String> {
    let agreed = records.iter().filter_map(|record| match &record.body {
        Body::Approved { by, .. } => Some(by.name.clone()),
        _ => None,
    });
    agreed.collect()
}

fn changed(records: &[Record]) -> bool {
    records
        .iter()
        .any(|record| matches!(record.body, Body::Acting { .. }))
}

#[test]
fn what_two_people_must_agree_to_waits_for_the_second() {
    let steps = CAREFUL.replace("NOT", "");
    let alone = "    answers: { route: { agree: [operator, Operator] } }\n    expect: { exits: [3], current: { orders: bad } }\n";
    let alone = rehearse(&steps, "", alone);
    assert_eq!(agreed(&alone.records), ["operator"]);
    assert!(!changed(&alone.records));
    let reason = alone.records.iter().find_map(|record| match &record.body {
        Body::Parked { reason } => Some(reason.as_str()),
        _ => None,
    });
    let words =
        "step `route` asks, and it has 1 of 2 approvals: operator; another person must agree";
    assert_eq!(reason, Some(words));
    // Somebody else resumes and adds theirs.
    let second = r#"
    answers: { route: { agree: [operator] } }
    then: [{ after: 3h, by: bob, answers: { route: { agree: [bob] } } }]
    expect: { exits: [3, 0], current: { orders: good } }
"#;
    let second = rehearse(&steps, "", second);
    assert_eq!(agreed(&second.records), ["operator", "bob"]);
    // Five hours later the first yes has expired.
    let late = r#"
    answers: { route: { agree: [operator] } }
    then: [{ after: 5h, by: bob, answers: { route: { agree: [bob] } } }]
    expect: { exits: [3, 3], current: { orders: bad } }
"#;
    rehearse(&steps, "", late);
    // Without a word on who, everybody who is needed agrees; and one no is a no.
    rehearse(&steps, "", "    expect: { current: { orders: good } }\n");
    let no = "    answers: { route: { agree: [operator], decline: bob } }\n    expect: { exits: [1], current: { orders: bad } }\n";
    assert!(!changed(&rehearse(&steps, "", no).records));
}

#[test]
fn whoever_began_or_resumed_does_not_count_where_the_runbook_says_so() {
    let steps = CAREFUL.replace("NOT", ", not: starter");
    let others = "    answers: { route: { agree: [operator, bob, carol] } }\n    expect: { current: { orders: good } }\n";
    assert_eq!(
        agreed(&rehearse(&steps, "", others).records),
        ["bob", "carol"]
    );
    let resumed = r#"
    answers: { route: { agree: [bob] } }
    then: [{ by: bob, answers: { route: { agree: [bob, carol] } } }]
    expect: { exits: [3, 3], current: { orders: bad } }
"#;
    let resumed = rehearse(&steps, "", resumed);
    assert_eq!(agreed(&resumed.records), ["bob", "carol"]);
    rehearse(&steps, "", "    expect: { current: { orders: good } }\n");
}

#[test]
fn a_yes_to_fewer_workflows_is_none_to_more() {
    // Three Workflows are shown; three more come before the run is resumed, and what is asked then is more.
    let steps = format!(
        r#"
  - id: move
    action: workflows.update_options
    with: {{ select: {{ query: "{ON_BAD}" }}, version: "orders:safe" }}
    confirm: {{ by: 2 }}
"#
    );
    let resumed = |after: &str| {
        format!(
            "    answers: {{ move: {{ agree: [operator] }} }}\n    then: [{{ after: {after}, by: bob, answers: {{ move: {{ agree: [bob] }} }} }}]\n"
        )
    };
    let soon = resumed("1m") + "    expect: { exits: [3, 0] }\n";
    assert_eq!(targets(&rehearse(&steps, "", &soon).records).len(), 3);
    let late = resumed("6m") + "    expect: { exits: [3, 3] }\n";
    assert_eq!(targets(&rehearse(&steps, "", &late).records).len(), 0);
}

#[test]
fn what_no_question_can_want_is_refused() {
    let refused = |confirm: &str| {
        let text = format!(
            "schema: runbook/v1\nname: grants\nsteps:\n  - {{ id: route, action: deployment.set_current, with: {{ version: \"o:g\" }}, confirm: {confirm} }}\n"
        );
        let problems = Runbook::parse("grants.yaml", text.as_bytes()).err();
        problems.map(|problems| problems[0].message.clone())
    };
    let wrong = [
        "{}",
        "{ by: 0 }",
        "{ by: 6 }",
        "{ not: bob }",
        "{ by: two }",
        "{ by: 1 }",
    ];
    for confirm in wrong {
        assert!(refused(confirm).is_some(), "{confirm}");
    }
    let message = "`by: 1` asks for nothing: one person must agree to every write";
    assert_eq!(refused("{ by: 1 }").as_deref(), Some(message));
    let right = [
        "{ by: 5 }",
        "{ not: starter }",
        "{ type: w, by: 1 }",
        "{ by: 1, not: starter }",
    ];
    for confirm in right {
        assert_eq!(refused(confirm), None, "{confirm}");
    }
}

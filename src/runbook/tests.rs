//! The flagship through the whole path, and what its values give.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;

const FLAGSHIP: &str = include_str!("../../runbooks/recover-pinned-workflows.yaml");

fn flagship() -> Runbook {
    Runbook::parse("recover-pinned-workflows.yaml", FLAGSHIP.as_bytes())
        .unwrap_or_else(|problems| panic!("{}", crate::diagnostic::render(&problems, false, 100)))
}

fn input(assignments: &[&str]) -> ParameterInput {
    let mut input = ParameterInput::default();
    for assignment in assignments {
        input
            .assign(assignment, &mut |path| Ok(format!("text of {path}\n")))
            .unwrap();
    }
    input
}

fn parameters(runbook: &Runbook, more: &[&str]) -> Parameters {
    let mut given = vec![
        "bad=shop:b2",
        "previous=shop:b1",
        "safe=shop:b3",
        "classes.Order=restartable",
        "classes.Invoice=move_only",
        "incident=OPS-1",
    ];
    given.extend(more);
    runbook.resolve_parameters(&input(&given)).unwrap()
}

fn scope(runbook: &Runbook, outputs: &[(&str, Value)]) -> Scope {
    let outputs: BTreeMap<_, _> = outputs
        .iter()
        .map(|(id, value)| ((*id).to_owned(), value.clone()))
        .collect();
    runbook.scope(
        &parameters(runbook, &["wrong=A", "wrong=B's"]),
        &outputs,
        &json!({ "id": "rb-1" }),
    )
}

#[test]
fn the_flagship_is_valid() {
    let runbook = flagship();
    assert_eq!(runbook.all_steps().len(), 11);
    assert_eq!(runbook.step("health").unwrap().id, "health");
    assert_eq!(runbook.decisions["running"].rows.len(), 4);
}

#[test]
fn versions_have_fields_and_are_text() {
    let runbook = flagship();
    let scope = scope(&runbook, &[]);
    assert_eq!(scope.evaluate("params.bad").unwrap(), json!("shop:b2"));
    assert_eq!(scope.evaluate("params.bad.build_id").unwrap(), json!("b2"));
    assert_eq!(
        scope.evaluate("params['bad']['deployment'] ~ '!'").unwrap(),
        json!("shop!")
    );
    assert_eq!(runbook.failed_checks(&scope).unwrap(), Vec::<&Check>::new());
    assert!(
        !scope
            .holds("params.bad.deployment == params.safe.deployment == 'other'")
            .unwrap()
    );
}

#[test]
fn what_a_later_step_knows_is_unknown_until_then() {
    let runbook = flagship();
    let compensate = runbook.step("compensate").unwrap().when.clone().unwrap();
    let unknown = scope(&runbook, &[("recover", json!({ "started_over": 1 }))]).holds(&compensate);
    assert_eq!(
        unknown,
        Err(EvalError::UnknownUntil {
            step: "recover_closed".to_owned()
        })
    );
    let known = scope(
        &runbook,
        &[
            ("recover", json!({ "started_over": 1 })),
            ("recover_closed", json!({ "started_over": 0 })),
        ],
    );
    assert_eq!(known.holds(&compensate), Ok(true));
    assert!(matches!(
        known.holds("steps.recover.started_over"),
        Err(EvalError::Failed { .. })
    ));
}

#[test]
fn the_loops_condition_is_evaluated() {
    let runbook = flagship();
    let StepBody::Repeat { until, .. } = &runbook.step("drain").unwrap().body else {
        panic!()
    };
    let outputs = |status: &str, waiting: u64| {
        [
            ("drainage", json!({ "status": status, "running": 0 })),
            ("health", json!({ "waiting": waiting })),
        ]
    };
    assert_eq!(
        scope(&runbook, &outputs("drained", 0)).holds(until),
        Ok(true)
    );
    assert_eq!(
        scope(&runbook, &outputs("drained", 1)).holds(until),
        Ok(false)
    );
    assert_eq!(
        scope(&runbook, &outputs("draining", 0)).holds(until),
        Ok(false)
    );
}

#[test]
fn values_are_rendered_with_their_type() {
    let runbook = flagship();
    let scope = scope(&runbook, &[]);
    let value =
        json!({ "a": "${{ params.wrong }}", "b": ["${{ params.safe }} on ${{ run.id }}"], "c": 1 });
    assert_eq!(
        scope.render(&value).unwrap(),
        json!({ "a": ["A", "B's"], "b": ["shop:b3 on rb-1"], "c": 1 })
    );
}

#[test]
fn queries_are_filled_with_literals_and_folded() {
    let runbook = flagship();
    let closed = &runbook.decisions["closed"].scope;
    let bad = "(TemporalWorkerDeploymentVersion = 'shop:b2' AND TemporalWorkflowVersioningBehavior = 'Pinned')";
    assert_eq!(
        scope(&runbook, &[]).render_query(closed).unwrap().render(),
        format!(
            "{bad} AND (ExecutionStatus IN ('Failed', 'TimedOut') OR (ExecutionStatus = 'Completed' AND WorkflowType IN ('A', 'B''s')))"
        )
    );
    let none = runbook.scope(&parameters(&runbook, &[]), &BTreeMap::new(), &json!({}));
    assert_eq!(
        none.render_query(closed).unwrap().render(),
        format!("{bad} AND ExecutionStatus IN ('Failed', 'TimedOut')")
    );
}

#[test]
fn everything_wrong_with_parameters_is_said_at_once() {
    let runbook = flagship();
    let given = input(&[
        "bad=shop",
        "clases.Order=restartable",
        "classes.Order=restartible",
        "incident=x",
    ]);
    let problems = runbook.resolve_parameters(&given).unwrap_err();
    insta::assert_snapshot!(crate::diagnostic::render(&problems, false, 100));
    assert_eq!(runbook.missing_parameters(&given), ["previous", "safe"]);
}

#[test]
fn collections_are_given_in_every_way() {
    let runbook = flagship();
    let list = |assignments: &[&str]| {
        parameters(&runbook, assignments)
            .get("wrong")
            .cloned()
            .unwrap()
    };
    assert_eq!(list(&[]), json!([]));
    assert_eq!(list(&["wrong=A", "wrong=B"]), json!(["A", "B"]));
    assert_eq!(list(&["wrong=[\"A\", \"B\"]"]), json!(["A", "B"]));
    let map = parameters(
        &runbook,
        &["classes={\"X\": \"corrupted\"}", "classes.Y=move_only"],
    );
    assert_eq!(
        map.get("classes").unwrap(),
        &json!({ "X": "corrupted", "Y": "move_only" })
    );
    let mut prompted = ParameterInput::default();
    prompted
        .prompted(&runbook, "classes", "X=corrupted, Y=move_only")
        .unwrap();
    assert!(prompted.prompted(&runbook, "classes", "X=nothing").is_err());
    prompted.prompted(&runbook, "wrong", "A, B").unwrap();
    assert_eq!(
        runbook.missing_parameters(&prompted),
        ["bad", "previous", "safe", "incident"]
    );
}

#[test]
fn a_secret_is_never_shown_and_never_taken_from_the_command_line() {
    let text = "schema: runbook/v1\nname: x\nparams:\n  token: { type: string, secret: true, pattern: '^s' }\nsteps:\n  - id: a\n    action: wait\n    with: { for: 1s }\n";
    let runbook = Runbook::parse("x", text.as_bytes()).unwrap();
    let refused = runbook
        .resolve_parameters(&input(&["token=s3cret"]))
        .unwrap_err();
    assert!(!format!("{refused:?}").contains("s3cret"));
    let mut environment = ParameterInput::default();
    environment.environment(&runbook, &|name| {
        (name == "RUNBOOK_PARAM_TOKEN").then(|| "s3cret".to_owned())
    });
    let parameters = runbook.resolve_parameters(&environment).unwrap();
    assert_eq!(parameters.secret("token").unwrap().reveal(), "s3cret");
    let shown = format!(
        "{environment:?} {parameters:?} {}",
        serde_json::to_string(&parameters).unwrap()
    );
    assert!(!shown.contains("s3cret"), "{shown}");
    let outputs = BTreeMap::new();
    assert_eq!(
        runbook
            .scope(&parameters, &outputs, &json!({}))
            .evaluate("params.token")
            .unwrap(),
        json!("(secret token)")
    );
    assert_eq!(
        runbook
            .scope_with_secrets(&parameters, &outputs, &json!({}))
            .evaluate("params.token")
            .unwrap(),
        json!("s3cret")
    );
    let mut wrong = ParameterInput::default();
    wrong.environment(&runbook, &|_| Some("hidden".to_owned()));
    let problems = runbook.resolve_parameters(&wrong).unwrap_err();
    assert!(!crate::diagnostic::render(&problems, false, 80).contains("hidden"));
}

#[test]
fn an_entry_is_added_later() {
    let runbook = flagship();
    let mut parameters = parameters(&runbook, &[]);
    parameters
        .set_entry(&runbook, "classes", "Refund", "move_only")
        .unwrap();
    assert_eq!(parameters.get("classes").unwrap()["Refund"], "move_only");
    assert!(
        parameters
            .set_entry(&runbook, "classes", "Refund", "nothing")
            .is_err()
    );
    assert!(
        parameters
            .set_entry(&runbook, "incident", "Refund", "x")
            .is_err()
    );
}

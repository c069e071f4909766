//! Each diagnosis, and the small rules of the AST.

use super::*;

/// The first problem, as `[offending text] message | expected | suggestion`.
fn problem(text: &str) -> String {
    let problems = parse_template(text).expect_err("a problem");
    let first = &problems[0];
    let offending = &text[first.span.clone()];
    let mut out = format!("[{offending}] {}", first.message);
    if let Some(expected) = &first.expected {
        out.push_str(&format!(" | {expected}"));
    }
    if let Some(suggestion) = &first.suggestion {
        out.push_str(&format!(" | did you mean {suggestion}"));
    }
    out
}

#[test]
fn grammar_problems_point_at_the_text() {
    let cases = [
        "WorkflowId = 'abc",
        "WorkflowId = 'tail\\'",
        "(WorkflowId = 'a' AND RunId = 'b'",
        "WorkflowId IN ('a', 'b'",
        "WorkflowId = 'a')",
        "WorkflowId == 'a'",
        "WorkflowId LIKE 'a%'",
        "WorkflowId NOT LIKE 'a%'",
        "WorkflowId =~ 'a'",
        "WorkflowId 'a'",
        "WorkflowId",
        "WorkflowId = ",
        "WorkflowId = abc",
        "WorkflowId = NULL",
        "WorkflowId IS TRUE",
        "WorkflowId IN ()",
        "WorkflowId IN ('a',)",
        "WorkflowId IN ('a' 'b')",
        "WorkflowId IN 'a'",
        "WorkflowId = ('a')",
        "'a' = WorkflowId",
        "WorkflowId = 'a' ORDER BY StartTime",
        "WorkflowId = 'a' LIMIT 10",
        "WorkflowId = 'a' GROUP BY ExecutionStatus",
        "ORDER BY StartTime",
        "WorkflowId = 'a' AND",
        "WorkflowId = 'a' WorkflowId = 'b'",
        "WorkflowId = 'it's'",
        "WorkflowId = 'a' -- all",
        "WorkflowId = 'a';",
        "WorkflowId = \u{2018}a\u{2019}",
        "WorkflowId = {{ params.x }}",
        "WorkflowId = ${{ params.x",
        "WorkflowId = ${{ }}",
        "${{ params.x }} = 'a'",
        "HistoryLength > 0x10",
        "HistoryLength BETWEEN 1",
        "!WorkflowId = 'a'",
        "",
    ];
    insta::assert_snapshot!(
        cases
            .map(|case| format!("{case}\n    {}", problem(case)))
            .join("\n")
    );
}

#[test]
fn sense_problems_say_what_was_meant() {
    let cases = [
        "workflowid = 'a'",
        "WorkflowID = 'a'",
        "ExecutionStatu = 'Running'",
        "TemporalWorkerDeploymentVersions = 'a:b'",
        "ExecutionStatus = 'running'",
        "ExecutionStatus IN ('Failed', 'Timedout')",
        "ExecutionStatus = 'Cancelled'",
        "ExecutionStatus = 'Nonsense'",
        "ExecutionStatus = 99",
        "ExecutionStatus STARTS_WITH 'Run'",
        "HistoryLength = 'a'",
        "HistoryLength = '5'",
        "WorkflowId = 5",
        "TemporalSchedulePaused = 'true'",
        "StartTime > '2026-06-01'",
        "StartTime > '2026-06-01 10:00'",
        "StartTime > '2026-06-01T10:00:00'",
        "StartTime > 'yesterday'",
        "ExecutionDuration > 'long'",
        "BuildIds STARTS_WITH 'a'",
        "BuildIds > 'a'",
        "BuildIds BETWEEN 'a' AND 'b'",
        "TemporalSchedulePaused BETWEEN true AND false",
        "HistoryLength STARTS_WITH '1'",
        "HistoryLength = 'v${{ x }}'",
    ];
    insta::assert_snapshot!(
        cases
            .map(|case| format!("{case}\n    {}", problem(case)))
            .join("\n")
    );
}

#[test]
fn all_sense_problems_are_found_at_once() {
    let problems = parse(
        "executionstatus = 'Running' AND ExecutionStatus = 'running' AND HistoryLength = 'x'",
    )
    .expect_err("three problems");
    assert_eq!(
        problems.iter().map(|p| p.span.start).collect::<Vec<_>>(),
        [0, 50, 80]
    );
}

#[test]
fn accepts_what_the_service_accepts() {
    for text in [
        "ExecutionStatus = 1",
        "ExecutionStatus = 'WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW'",
        "ExecutionStatus <> 'Running'",
        "ExecutionStatus = 'Running' && WorkflowId = 'a' || RunId = 'b'",
        "WorkflowId = \"a\" and not `RunId` = 'b'",
        "NOT NOT WorkflowId not in ('a')",
        "WorkflowId='a'OR RunId='b'",
        "HistoryLength > - 5 AND HistoryLength < +5.5e1",
        "StartTime > '2020-01-01T00:00:00.5+01:00' AND CloseTime < 1780000000000000000",
        "ExecutionDuration > '1h30m' OR ExecutionDuration < '2d' OR ExecutionDuration = '01:02:03'",
        "WorkerDeploymentVersion = 'a:b' AND TemporalWorkflowId = 'x' AND ScheduleId = 'y'",
        "Customer = 'x' AND `TaskQueues` = 'my own' AND `strange-name` IS NULL",
        "TemporalSchedulePaused = TRUE",
        "WorkflowId = 'it''s' AND RunId = 'it\\'s \\\\ fine'",
    ] {
        let filter = parse(text).unwrap_or_else(|problems| panic!("{text}: {problems:?}"));
        assert_eq!(parse(&filter.render()), Ok(filter), "{text}");
    }
}

#[test]
fn nesting_has_an_end() {
    let deep = |n: usize| format!("{}WorkflowId = 'a'{}", "(".repeat(n), ")".repeat(n));
    assert!(parse(&deep(MAX_DEPTH)).is_ok());
    for text in [
        deep(10_000),
        format!("{}WorkflowId = 'a'", "NOT ".repeat(10_000)),
    ] {
        let problems = parse(&text).expect_err("too deep");
        assert!(
            problems[0].message.contains("nested more than"),
            "{problems:?}"
        );
    }
    let long = vec!["WorkflowId = 'a'"; 10_000].join(" OR ");
    assert!(parse(&long).is_ok());
}

#[test]
fn and_binds_before_or() {
    let filter =
        parse("WorkflowId = 'a' OR WorkflowId = 'b' AND NOT RunId = 'c' AND TaskQueue = 'd'")
            .unwrap();
    insta::assert_snapshot!(
        filter.render(),
        @"WorkflowId = 'a' OR (WorkflowId = 'b' AND NOT RunId = 'c' AND TaskQueue = 'd')"
    );
}

#[test]
fn a_count_may_group_by_status() {
    let by_status = parse_count("WorkflowType = 'A' GROUP BY ExecutionStatus").unwrap();
    assert!(by_status.by_status);
    assert_eq!(by_status.filter, parse("WorkflowType = 'A'").unwrap());
    assert!(parse_count("group by ExecutionStatus").unwrap().by_status);
    assert!(!parse_count("WorkflowType = 'A'").unwrap().by_status);
    for (text, message) in [
        (
            "GROUP BY WorkflowType",
            "the service groups only by ExecutionStatus",
        ),
        (
            "GROUP BY ExecutionStatus, WorkflowType",
            "the service groups by one attribute only",
        ),
        ("GROUP ExecutionStatus", "`GROUP` is followed by `BY`"),
    ] {
        assert_eq!(parse_count(text).expect_err("refused")[0].message, message);
    }
}

#[test]
fn holes_have_source_span_and_position() {
    let text = "${{ queries.a }} AND WorkflowId = ${{ x['}}'] }} AND RunId IN ('a', ${{ {'k': {}}.k }}) \
                AND TaskQueue IN ${{ l }} AND WorkflowType = 'v ${{ y }} w' AND HistoryLength BETWEEN ${{lo}} AND ${{hi}}";
    let filter = parse_template(text).unwrap();
    let found: Vec<_> = filter
        .placed_holes()
        .into_iter()
        .map(|(hole, position)| {
            assert_eq!(&text[hole.source_span.range()], hole.source);
            assert!(
                text[hole.span.range()].starts_with("${{")
                    && text[hole.span.range()].ends_with("}}")
            );
            (hole.source.as_str(), position)
        })
        .collect();
    assert_eq!(
        found,
        [
            ("queries.a", HolePosition::Condition),
            ("x['}}']", HolePosition::Value),
            ("{'k': {}}.k", HolePosition::ListItem),
            ("l", HolePosition::WholeList),
            ("y", HolePosition::InsideText),
            ("lo", HolePosition::Value),
            ("hi", HolePosition::Value),
        ]
    );
    assert_eq!(parse_template(&filter.render()), Ok(filter));
    assert!(
        parse("WorkflowId = ${{ x }}").is_err(),
        "no holes in a plain filter"
    );
    let literal = parse("WorkflowId = 'a ${{ x }}'").unwrap();
    assert!(literal.holes().is_empty(), "in a plain filter it is text");
}

type Fill = Result<Filter, FillError<String>>;

fn fill(text: &str, value: &Filled) -> Fill {
    parse_template(text)
        .unwrap()
        .fill(&mut |_, _| Ok(value.clone()))
}

#[test]
fn fragments_keep_their_parentheses() {
    let fragment = Filled::Fragment(parse("WorkflowId = 'a' OR RunId = 'b'").unwrap());
    let both = Filled::Fragment(parse("WorkflowId = 'a' AND RunId = 'b'").unwrap());
    let one = Filled::Fragment(parse("WorkflowId = 'a'").unwrap());
    let rendered = |text: &str, value: &Filled| fill(text, value).unwrap().render();
    assert_eq!(
        rendered("${{q}} AND TaskQueue = 't'", &fragment),
        "(WorkflowId = 'a' OR RunId = 'b') AND TaskQueue = 't'"
    );
    assert_eq!(
        rendered("${{q}} AND TaskQueue = 't'", &both),
        "(WorkflowId = 'a' AND RunId = 'b') AND TaskQueue = 't'"
    );
    assert_eq!(
        rendered("NOT ${{q}}", &both),
        "NOT (WorkflowId = 'a' AND RunId = 'b')"
    );
    assert_eq!(
        rendered("${{q}} AND TaskQueue = 't'", &one),
        "WorkflowId = 'a' AND TaskQueue = 't'"
    );
}

#[test]
fn the_wrong_kind_names_the_hole() {
    let list = Filled::List(vec!["a".into()]);
    let literal = Filled::Literal("a".into());
    let query = Filled::Fragment(Filter::everything());
    for (text, value, message) in [
        (
            "WorkflowId = ${{ x }}",
            &list,
            "`x` is a list, but one value stands here",
        ),
        (
            "WorkflowId = 'a${{ x }}'",
            &list,
            "`x` is a list, but one value stands here",
        ),
        (
            "HistoryLength BETWEEN ${{ x }} AND 3",
            &query,
            "`x` is a query, but one value stands here",
        ),
        (
            "WorkflowId IN ${{ x }}",
            &literal,
            "`x` is one value, but a list of values stands here",
        ),
        (
            "${{ x }}",
            &literal,
            "`x` is one value, but a query stands here",
        ),
        (
            "WorkflowId IN (${{ x }})",
            &query,
            "`x` is a query, but a value or a list of values stands here",
        ),
    ] {
        let error = fill(text, value).expect_err("wrong kind");
        assert_eq!(error.to_string(), message);
        assert!(text[error.span().unwrap().range()].starts_with("${{ x }}"));
    }
    let infinite = Filled::Literal(Literal::Float(f64::INFINITY));
    assert!(matches!(
        fill("HistoryLength > ${{ x }}", &infinite),
        Err(FillError::NotFinite { .. })
    ));
    let failed: Fill = parse_template("${{ x }}")
        .unwrap()
        .fill(&mut |_, _| Err("no".to_owned()));
    assert_eq!(failed, Err(FillError::Resolve("no".to_owned())));
}

#[test]
fn filled_types_are_checked_again() {
    let filter = fill("HistoryLength > ${{ x }}", &Filled::Literal("many".into())).unwrap();
    assert_eq!(filter.check()[0].message, "`HistoryLength` is an Int");
    assert_eq!(filter.check()[0].span, 16..24);
}

#[test]
fn empty_lists_fold_away_and_say_whose() {
    let empty = Filled::List(Vec::new());
    for (text, rendered, constant, because) in [
        (
            "WorkflowType IN ${{ wrong }}",
            "ExecutionStatus IS NULL",
            Some(false),
            Some("wrong"),
        ),
        (
            "WorkflowType IN (${{ wrong }})",
            "ExecutionStatus IS NULL",
            Some(false),
            Some("wrong"),
        ),
        ("WorkflowType NOT IN ${{ wrong }}", "", Some(true), None),
        (
            "NOT WorkflowType NOT IN ${{ wrong }}",
            "ExecutionStatus IS NULL",
            Some(false),
            Some("wrong"),
        ),
        (
            "TaskQueue = 'a' AND WorkflowType IN ${{ wrong }}",
            "ExecutionStatus IS NULL",
            Some(false),
            Some("wrong"),
        ),
        (
            "TaskQueue = 'a' OR (RunId = 'b' AND WorkflowType IN ${{ wrong }})",
            "TaskQueue = 'a'",
            None,
            None,
        ),
        (
            "TaskQueue = 'a' AND WorkflowType NOT IN ${{ wrong }}",
            "TaskQueue = 'a'",
            None,
            None,
        ),
        (
            "WorkflowType IN ('x', ${{ wrong }})",
            "WorkflowType IN ('x')",
            None,
            None,
        ),
    ] {
        let filter = fill(text, &empty).unwrap();
        assert_eq!(filter.render(), rendered, "{text}");
        assert_eq!(filter.constant(), constant, "{text}");
        assert_eq!(filter.never_because().as_deref(), because, "{text}");
    }
}

#[test]
fn a_contradiction_is_only_what_is_certain() {
    let contradicts = |text: &str| parse_template(text).unwrap().contradiction().is_some();
    for text in [
        "ExecutionStatus = 'Running' AND ExecutionStatus = 'Failed'",
        "ExecutionStatus = 'Running' AND ExecutionStatus IN (2, 'WORKFLOW_EXECUTION_STATUS_FAILED')",
        "ExecutionStatus = 'Running' AND NOT ExecutionStatus = 1",
        "WorkflowType = ${{ x }} AND WorkflowType != ${{ x }}",
        "(WorkflowType = 'a' OR WorkflowType = 'b') AND WorkflowType = 'c'",
        "NOT (WorkflowType = 'a' OR WorkflowType != 'a')",
        "WorkflowType = 'a' AND WorkflowType IS NULL",
        "HistoryLength = 5 AND HistoryLength = 6.0",
        "(WorkflowType = 'a' AND WorkflowType = 'b') OR (RunId = 'a' AND RunId = 'b')",
        "TaskQueue = 'q' AND (WorkflowType = 'a' AND WorkflowType = 'b')",
        "WorkerDeploymentVersion = 'a:b' AND TemporalWorkerDeploymentVersion = 'a:c'",
    ] {
        assert!(contradicts(text), "{text}");
    }
    for text in [
        "ExecutionStatus = 'Running' AND ExecutionStatus = 1",
        "ExecutionStatus = 'Running' OR ExecutionStatus = 'Failed'",
        "WorkflowType = ${{ x }} AND WorkflowType = ${{ y }}",
        "WorkflowType = ${{ x }} AND WorkflowType != ${{ y }}",
        "WorkflowType = 'a' AND WorkflowType IN (${{ y }}, 'b')",
        "WorkflowType = 'a' AND WorkflowType = 'p${{ y }}'",
        "BuildIds = 'a' AND BuildIds = 'b'",
        "Custom = 'a' AND Custom = 'b'",
        "HistoryLength = 5 AND HistoryLength = 5.0",
        "(WorkflowType = 'a' AND WorkflowType = 'b') OR RunId = 'a'",
        "${{ q }} AND WorkflowType = 'a'",
    ] {
        assert!(!contradicts(text), "{text}");
    }
    let scope = parse("WorkflowType = 'x' AND ExecutionStatus = 'Running'").unwrap();
    let row = parse("ExecutionStatus IN ('Failed', 'TimedOut')").unwrap();
    insta::assert_snapshot!(
        scope.contradicts(&row).unwrap(),
        @"no Workflow can fulfil the conditions on `ExecutionStatus` (ExecutionStatus = 'Running', ExecutionStatus IN ('Failed', 'TimedOut'))"
    );
}

#[test]
fn required_values_bound_an_attribute() {
    let statuses = |text: &str| {
        let required = parse_template(text).unwrap().required_statuses()?;
        Some(
            required
                .into_iter()
                .map(|status| status.name())
                .collect::<Vec<_>>()
                .join(" "),
        )
    };
    assert_eq!(
        statuses("ExecutionStatus = 'Running' AND WorkflowType = 'a'").as_deref(),
        Some("Running")
    );
    assert_eq!(
        statuses("ExecutionStatus IN ('Failed', 7) OR (ExecutionStatus = 'Completed' AND WorkflowType IN ${{ w }})").as_deref(),
        Some("Completed Failed TimedOut")
    );
    assert_eq!(
        statuses("ExecutionStatus IN ('Failed', 'Running') AND ExecutionStatus != 'Running'")
            .as_deref(),
        Some("Failed")
    );
    assert_eq!(
        statuses("NOT ExecutionStatus != 'Failed'").as_deref(),
        Some("Failed")
    );
    assert_eq!(
        statuses("ExecutionStatus = 'Running' OR WorkflowType = 'a'"),
        None
    );
    assert_eq!(statuses("ExecutionStatus != 'Running'"), None);
    assert_eq!(statuses("ExecutionStatus = ${{ s }}"), None);
}

#[test]
fn names_and_mentions() {
    let filter = parse("Customer = 'a' AND WorkerDeploymentVersion = 'a:b' AND NOT (Customer = 'b' OR Tier IS NULL)").unwrap();
    let names: Vec<_> = filter.attribute_names().into_iter().collect();
    assert_eq!(names, ["Customer", "Tier", "WorkerDeploymentVersion"]);
    let custom: Vec<_> = filter
        .custom_attributes()
        .into_iter()
        .map(|a| (a.name.as_str(), a.span.start))
        .collect();
    assert_eq!(custom, [("Customer", 0), ("Customer", 60), ("Tier", 78)]);
    assert!(filter.mentions("TemporalWorkerDeploymentVersion") && !filter.mentions("WorkflowType"));
    let known = |pairs: &[(&str, &str)]| {
        pairs
            .iter()
            .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
            .collect()
    };
    assert_eq!(
        filter.check_with(&known(&[("Customer", "Keyword"), ("Tier", "Int")])),
        []
    );
    let missing = filter.check_with(&known(&[("Customer", "Int"), ("Tiers", "Int")]));
    let said: Vec<_> = missing
        .iter()
        .map(|p| (p.message.as_str(), p.suggestion.as_deref()))
        .collect();
    assert_eq!(
        said,
        [
            ("`Customer` is an Int", None),
            ("`Customer` is an Int", None),
            ("there is no Search Attribute `Tier`", Some("Tiers")),
        ]
    );
}

#[test]
fn conjunctions_are_flat() {
    let part = |text: &str| parse(text).unwrap();
    let joined =
        part("WorkflowId = 'a' AND RunId = 'b'").and(part("TaskQueue = 'c' OR TaskQueue = 'd'"));
    assert_eq!(
        joined.render(),
        "WorkflowId = 'a' AND RunId = 'b' AND (TaskQueue = 'c' OR TaskQueue = 'd')"
    );
    assert_eq!(Filter::all([]).constant(), Some(true));
    assert_eq!(Filter::any([]).constant(), Some(false));
    assert_eq!(
        Filter::everything().and(part("RunId = 'b'")).render(),
        "RunId = 'b'"
    );
    assert_eq!(part("RunId = 'b'").negate().render(), "NOT RunId = 'b'");
}

#[test]
fn a_filter_is_data_as_its_text() {
    let filter = parse("WorkflowId = 'a ${{ x }} b' AND `Status` IN ('it''s')").unwrap();
    let json = serde_json::to_string(&filter).unwrap();
    assert_eq!(serde_json::from_str::<Filter>(&json).unwrap(), filter);
    assert_eq!(
        serde_json::from_str::<Filter>("\"\"").unwrap(),
        Filter::everything()
    );
    assert!(serde_json::from_str::<Filter>("\"WorkflowId =\"").is_err());
}

#[test]
fn the_ends_of_the_numbers_are_kept() {
    for value in [
        Literal::Int(i64::MIN),
        Literal::Int(i64::MAX),
        Literal::Float(-9_223_372_036_854_775_808.0),
        Literal::Float(1e300),
    ] {
        let filter = Filter::new(Expr::compare("HistoryLength", Operator::Lt, value));
        assert_eq!(parse(&filter.render()), Ok(filter));
    }
}

#[test]
fn fragile_values_are_those_that_a_store_may_not_compare() {
    let text = r#"A = 'it''s' AND B IN ('''q', 'a\\b', 'plain') AND C BETWEEN 'x\n' AND 'y"'"#;
    let filter = parse(text).unwrap();
    assert_eq!(filter.fragile_values(), ["'q", "a\\b", "x\n", "y\""]);
}

//! The laws of List Filters on arbitrary values, and their semantics on rows.

use std::collections::BTreeMap;

use jiff::Timestamp;
use proptest::prelude::*;
use runbook::list_filter::{
    Attribute, AttributeType, Expr, Filled, Filter, List, Literal, Operand, Operator, Span, parse,
    parse_count, parse_template, quote,
};
use runbook::survey::{AttributeValue, Listed, Status, WorkflowKey};

/// Texts that have meant something else to somebody's parser, and arbitrary ones.
fn any_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        any::<char>().prop_map(String::from),
        "[a-z ]{1,4}",
        prop::sample::select(vec![
            "'", "''", "\"", "\\", "\\'", "\n", "\r", "\t", "\0", "\u{8}", "\u{1a}", "%", "_", "`",
            "${{", "}}", "$", "{", "--", "/*", ";", "' OR 1=1", "é", "日本", "🙂", "\u{202e}",
            "NULL", ")", "(",
        ])
        .prop_map(str::to_owned),
    ];
    // The service takes quotes off both ends of a text: no filter can ask for such a one.
    prop::collection::vec(piece, 0..8)
        .prop_map(|pieces| pieces.concat().trim_matches('\'').to_owned())
}

/// Values that fit an attribute of unknown type.
fn any_literal() -> impl Strategy<Value = Literal> {
    prop_oneof![
        4 => any_text().prop_map(Literal::Text),
        1 => any::<i64>().prop_map(Literal::Int),
        1 => any::<f64>().prop_filter("finite", |number| number.is_finite()).prop_map(Literal::Float),
        1 => any::<bool>().prop_map(Literal::Bool),
    ]
}

/// Names of custom attributes, some that need backticks.
fn any_attribute() -> impl Strategy<Value = Attribute> {
    let name = prop_oneof![
        "[A-Z][a-z]{2,5}Field".prop_map(String::from),
        "[a-z][a-z -]{0,6}x".prop_map(String::from),
        prop::sample::select(vec![
            "Status",
            "order",
            "taskqueue",
            "WorkflowID",
            "not",
            "Größe"
        ])
        .prop_map(str::to_owned),
    ];
    name.prop_map(Attribute::new)
}

fn any_operator() -> impl Strategy<Value = Operator> {
    use Operator::{Eq, Gt, GtEq, Lt, LtEq, NotEq, NotStartsWith, StartsWith};
    prop::sample::select(vec![
        Eq,
        NotEq,
        Lt,
        LtEq,
        Gt,
        GtEq,
        StartsWith,
        NotStartsWith,
    ])
}

fn any_condition() -> impl Strategy<Value = Expr> {
    let span = Span::default();
    let operand = || any_literal().prop_map(Operand::literal);
    prop_oneof![
        (any_attribute(), any_operator(), operand()).prop_map(
            move |(attribute, operator, value)| Expr::Compare {
                attribute,
                operator,
                value,
                span
            }
        ),
        (
            any_attribute(),
            any::<bool>(),
            prop::collection::vec(operand(), 1..4)
        )
            .prop_map(move |(attribute, negated, items)| Expr::In {
                attribute,
                negated,
                list: List::items(items),
                span
            }),
        (any_attribute(), any::<bool>(), operand(), operand()).prop_map(
            move |(attribute, negated, low, high)| Expr::Between {
                attribute,
                negated,
                low,
                high,
                span
            }
        ),
        (any_attribute(), any::<bool>()).prop_map(move |(attribute, negated)| Expr::IsNull {
            attribute,
            negated,
            span
        }),
    ]
}

fn any_expr() -> impl Strategy<Value = Expr> {
    any_condition().prop_recursive(5, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4).prop_map(Expr::And),
            prop::collection::vec(inner.clone(), 2..4).prop_map(Expr::Or),
            inner.prop_map(|expr| Expr::Not(Box::new(expr))),
        ]
    })
}

const TEMPLATES: [&str; 6] = [
    "CustomerField = ${{ x }} AND ExecutionStatus = 'Running'",
    "ExecutionStatus = 'Running' OR CustomerField IN ('a', ${{ x }}) AND NOT RunId = 'b'",
    "CustomerField IN (${{ x }})",
    "NOT (CustomerField != ${{ x }} OR WorkflowType = 'x')",
    "CustomerField BETWEEN 'a' AND ${{ x }}",
    "CustomerField STARTS_WITH ${{ x }} AND (ExecutionStatus = 'Failed' OR TaskQueue = 'q')",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_rendered_filter_is_read_back_as_itself(expr in any_expr()) {
        let filter = Filter::new(expr);
        let text = filter.render();
        prop_assert_eq!(parse(&text), Ok(filter.clone()), "{}", &text);
        prop_assert_eq!(parse_template(&text), Ok(filter), "as a template: {}", &text);
    }

    #[test]
    fn a_value_is_one_literal_whatever_it_holds(value in any_literal(), at in 0..TEMPLATES.len()) {
        let template = parse_template(TEMPLATES[at]).unwrap();
        let filled = fill(&template, &Filled::Literal(value.clone()));
        let read = parse(&filled.render()).unwrap();
        prop_assert_eq!(&read, &filled);
        // All but the value is as with a harmless value; the value is in its place, once.
        let harmless = fill(&template, &Filled::Literal("harmless".into()));
        prop_assert_eq!(shape(&read), shape(&harmless));
        let put = |literal: Literal| if literal == "harmless".into() { value.clone() } else { literal };
        let wanted: Vec<_> = literals(&harmless).into_iter().map(put).collect();
        prop_assert_eq!(literals(&read), wanted);
    }

    #[test]
    fn a_list_is_its_values(values in prop::collection::vec(any_literal(), 1..6), inside in any::<bool>()) {
        let text = if inside { "CustomerField NOT IN (${{ x }}) AND RunId = 'a'" } else { "CustomerField NOT IN ${{ x }} AND RunId = 'a'" };
        let filled = fill(&parse_template(text).unwrap(), &Filled::List(values.clone()));
        let read = parse(&filled.render()).unwrap();
        prop_assert_eq!(literals(&read), [values, vec!["a".into()]].concat());
    }

    #[test]
    fn a_hole_inside_a_text_joins_one_literal(value in any_text()) {
        let template = parse_template("CustomerField = 'it''s ${{ x }}, \\'${{ x }}\\'.' OR RunId = 'b'").unwrap();
        let filled = fill(&template, &Filled::Literal(Literal::text(&value)));
        let read = parse(&filled.render()).unwrap();
        prop_assert_eq!(literals(&read), [Literal::Text(format!("it's {value}, '{value}'.")), "b".into()]);
        prop_assert_eq!(read, filled);
    }

    #[test]
    fn a_fragment_stays_one_condition(expr in any_expr()) {
        let fragment = Filter::new(expr);
        let template = parse_template("${{ q }} AND RunId = 'b' OR NOT ${{ q }}").unwrap();
        let read = parse(&fill(&template, &Filled::Fragment(fragment.clone())).render()).unwrap();
        let run = Expr::compare("RunId", Operator::Eq, "b");
        let inner = fragment.expr().clone();
        let wanted = Expr::Or(vec![Expr::And(vec![inner.clone(), run]), Expr::Not(Box::new(inner))]);
        prop_assert_eq!(read, Filter::new(wanted));
    }

    #[test]
    fn no_text_makes_a_parser_panic(pieces in prop::collection::vec(prop_oneof![
        any_text(),
        prop::sample::select(vec!["ExecutionStatus", " = ", " IN ", "(", ")", "'Running'", " AND ", " NOT ", " BETWEEN ",
            " IS NULL", "${{", "x }}", "GROUP BY", " 1.5e", "-", "`"]).prop_map(str::to_owned),
    ], 0..12)) {
        let text = pieces.concat();
        for problems in [parse(&text).err(), parse_template(&text).err(), parse_count(&text).err()].into_iter().flatten() {
            prop_assert!(!problems.is_empty());
            for problem in problems {
                prop_assert!(text.get(problem.span.clone()).is_some(), "{:?} of {:?}", problem, text);
            }
        }
    }

    #[test]
    fn folding_does_not_change_what_matches(expr in any_row_expr(), row in any_row()) {
        let filter = Filter::new(expr);
        prop_assert_eq!(filter.fold().matches(&row), filter.matches(&row));
        prop_assert_eq!(parse(&filter.render()).unwrap().matches(&row), filter.matches(&row));
    }

    #[test]
    fn what_is_called_impossible_or_required_is(expr in any_row_expr(), row in any_row()) {
        let filter = Filter::new(expr);
        if filter.matches(&row) {
            prop_assert_eq!(filter.contradiction(), None);
            prop_assert_ne!(filter.constant(), Some(false));
            if let Some(statuses) = filter.required_statuses() {
                prop_assert!(statuses.contains(&row.status));
            }
            if let Some(types) = filter.required_values("WorkflowType") {
                prop_assert!(types.contains(&row.workflow_type));
            }
        }
    }
}

/// Conditions over few attributes and values, so that many of them meet.
fn any_row_expr() -> impl Strategy<Value = Expr> {
    let status = || prop::sample::select(vec!["Running", "Failed", "Completed"]);
    let kind = || prop::sample::select(vec!["A", "B"]);
    let equality = || prop::sample::select(vec![Operator::Eq, Operator::NotEq]);
    let leaf = prop_oneof![
        (equality(), status()).prop_map(|(operator, value)| Expr::compare(
            "ExecutionStatus",
            operator,
            value
        )),
        (equality(), kind()).prop_map(|(operator, value)| Expr::compare(
            "WorkflowType",
            operator,
            value
        )),
        (equality(), kind())
            .prop_map(|(operator, value)| Expr::compare("Customer", operator, value)),
        (equality(), kind())
            .prop_map(|(operator, value)| Expr::compare("BuildIds", operator, value)),
        prop::collection::vec(status(), 0..3)
            .prop_map(|values| Expr::one_of("ExecutionStatus", values)),
        prop::collection::vec(kind(), 0..3).prop_map(|values| Expr::one_of("WorkflowType", values)),
        any::<bool>().prop_map(|negated| Expr::IsNull {
            attribute: Attribute::new("Customer"),
            negated,
            span: Span::default(),
        }),
    ];
    leaf.prop_recursive(4, 16, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4).prop_map(Expr::And),
            prop::collection::vec(inner.clone(), 2..4).prop_map(Expr::Or),
            inner.prop_map(|expr| Expr::Not(Box::new(expr))),
        ]
    })
}

fn any_row() -> impl Strategy<Value = Listed> {
    let status = prop::sample::select(vec![Status::Running, Status::Failed, Status::Completed]);
    let kind = prop::sample::select(vec!["A", "B"]);
    let customer = prop::option::of(prop::sample::select(vec!["A", "B"]));
    let builds = prop::collection::vec(prop::sample::select(vec!["A", "B"]), 0..2);
    (status, kind, customer, builds).prop_map(|(status, kind, customer, builds)| {
        let mut row = row("w");
        row.status = status;
        row.workflow_type = kind.to_owned();
        if let Some(customer) = customer {
            row.attributes.insert(
                "Customer".to_owned(),
                AttributeValue::Keyword(customer.to_owned()),
            );
        }
        if !builds.is_empty() {
            let builds = builds.into_iter().map(str::to_owned).collect();
            row.attributes
                .insert("BuildIds".to_owned(), AttributeValue::KeywordList(builds));
        }
        row
    })
}

fn fill(template: &Filter, value: &Filled) -> Filter {
    template
        .fill::<std::convert::Infallible>(&mut |_, _| Ok(value.clone()))
        .unwrap()
}

/// All literals in order.
fn literals(filter: &Filter) -> Vec<Literal> {
    let mut found = Vec::new();
    let mut add = |operand: &Operand| found.extend(operand.value().cloned());
    filter.expr().walk(&mut |expr| match expr {
        Expr::Compare { value, .. } => add(value),
        Expr::Between { low, high, .. } => [low, high].into_iter().for_each(&mut add),
        Expr::In {
            list: List::Items { items, .. },
            ..
        } => items.iter().for_each(&mut add),
        _ => {}
    });
    found
}

/// All but the literals: conditions, attributes and operators, in order.
fn shape(filter: &Filter) -> Vec<String> {
    let mut shape = Vec::new();
    filter.expr().walk(&mut |expr| {
        let name = expr.attribute().map_or("", |attribute| &attribute.name);
        shape.push(match expr {
            Expr::And(parts) => format!("and {}", parts.len()),
            Expr::Or(parts) => format!("or {}", parts.len()),
            Expr::Not(_) => "not".to_owned(),
            Expr::Compare { operator, .. } => format!("{name} {}", operator.symbol()),
            Expr::In {
                negated,
                list: List::Items { items, .. },
                ..
            } => format!("{name} {negated} in {}", items.len()),
            Expr::Between { negated, .. } => format!("{name} {negated} between"),
            Expr::IsNull { negated, .. } => format!("{name} {negated} null"),
            other => format!("{other:?}"),
        });
    });
    shape
}

#[test]
fn a_text_in_quotes_of_its_own_cannot_be_asked_for() {
    let template = parse_template("CustomerField = ${{ x }}").unwrap();
    for text in ["'", "''", "'a'", "'a", "a'"] {
        let filled = template.fill::<String>(&mut |_, _| Ok(Filled::Literal(text.into())));
        let refused = filled.unwrap_err().to_string();
        assert!(
            refused.contains("begins or ends with a single quote"),
            "{refused}"
        );
    }
    let list = parse_template("CustomerField IN ${{ x }}").unwrap();
    let values = vec!["a".into(), "b'".into()];
    assert!(
        list.fill::<String>(&mut |_, _| Ok(Filled::List(values.clone())))
            .is_err()
    );
    let joined = parse_template("CustomerField = 'x ${{ x }}'").unwrap();
    let inner = |text: &str| joined.fill::<String>(&mut |_, _| Ok(Filled::Literal(text.into())));
    assert!(inner("'a'").is_err());
    assert!(inner("'a").is_ok(), "a quote inside is a quote");
}

#[test]
fn quoting_is_what_the_services_tokenizer_undoes() {
    assert_eq!(quote("it's"), "'it''s'");
    assert_eq!(quote("a\\b\n\0${{ x }}$"), "'a\\\\b\\n\\0\\${{ x }}$'");
}

fn row(id: &str) -> Listed {
    Listed {
        key: WorkflowKey {
            workflow_id: id.to_owned(),
            run_id: format!("run-{id}"),
        },
        workflow_type: "Order".to_owned(),
        status: Status::Running,
        task_queue: "tq".to_owned(),
        start_time: Some(time("2026-11-21T12:00:00Z")),
        close_time: None,
        parent: None,
        attributes: BTreeMap::new(),
    }
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The rows that were started on the server for the table below.
fn rows() -> Vec<Listed> {
    let keyword = |text: &str| AttributeValue::Keyword(text.to_owned());
    let list = |items: &[&str]| {
        AttributeValue::KeywordList(items.iter().map(|item| (*item).to_owned()).collect())
    };
    let with = |mut row: Listed, pairs: Vec<(&str, AttributeValue)>| {
        row.attributes = pairs
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        row
    };
    let first = with(
        row("w1"),
        vec![
            ("CK", keyword("alpha")),
            ("CI", AttributeValue::Int(5)),
            ("CD", AttributeValue::Double(1.5)),
            ("CB", AttributeValue::Bool(true)),
            (
                "CT",
                AttributeValue::Datetime(time("2026-01-02T03:04:05.123Z")),
            ),
            ("CL", list(&["a", "B c"])),
            ("CX", AttributeValue::Text("The quick Brown-fox".to_owned())),
        ],
    );
    let second = with(
        row("w2"),
        vec![
            ("CK", keyword("Beta_1")),
            ("CI", AttributeValue::Int(-7)),
            ("CD", AttributeValue::Double(2.0)),
            ("CB", AttributeValue::Bool(false)),
            ("CT", AttributeValue::Datetime(time("2027-01-02T03:04:05Z"))),
            ("CL", list(&["b"])),
            ("CX", AttributeValue::Text("lazy dog".to_owned())),
        ],
    );
    let mut third = with(
        row("w3"),
        vec![("CK", keyword("")), ("CL", list(&["it's"]))],
    );
    third.workflow_type = "Refund".to_owned();
    let mut fourth = with(
        row("w4"),
        vec![
            ("CK", keyword("'q'")),
            ("CI", AttributeValue::Int(5)),
            ("HistoryLength", AttributeValue::Int(3)),
        ],
    );
    fourth.workflow_type = "Refund".to_owned();
    fourth.status = Status::Terminated;
    fourth.close_time = Some(time("2026-11-21T12:00:01.5Z"));
    vec![row("w0"), first, second, third, fourth]
}

fn matching(text: &str) -> String {
    let filter = parse(text).unwrap_or_else(|problems| panic!("{text}: {problems:?}"));
    let kind = |name: &str| match name {
        "CL" => Some(AttributeType::KeywordList),
        "CX" => Some(AttributeType::Text),
        _ => None,
    };
    let rows = rows();
    let ids = rows
        .iter()
        .filter(|row| filter.matches_with(row, &kind))
        .map(|row| row.key.workflow_id.as_str());
    ids.collect::<Vec<_>>().join(" ")
}

/// Each line is what server 1.32 (SQLite) answered for the same Workflows.
#[test]
fn rows_match_as_on_the_server() {
    for (text, wanted) in [
        ("", "w0 w1 w2 w3 w4"),
        ("CK = 'alpha'", "w1"),
        ("CK != 'alpha'", "w2 w3 w4"),
        ("CK <> 'alpha'", "w2 w3 w4"),
        ("NOT CK = 'alpha'", "w2 w3 w4"),
        ("NOT (CK = 'alpha' OR CK = 'zzz')", "w2 w3 w4"),
        ("CK NOT IN ('alpha')", "w2 w3 w4"),
        ("CK IN ('alpha', 'Beta_1')", "w1 w2"),
        ("CK IS NULL", "w0"),
        ("CK IS NOT NULL", "w1 w2 w3 w4"),
        ("CK = ''", "w3"),
        ("CK STARTS_WITH 'Beta_'", "w2"),
        ("CK STARTS_WITH 'al'", "w1"),
        ("CK STARTS_WITH ''", "w1 w2 w3 w4"),
        ("CK STARTS_WITH '%'", ""),
        ("CK NOT STARTS_WITH 'al'", "w2 w3 w4"),
        ("CK > 'alpha'", ""),
        ("CK < 'alpha'", "w2 w3 w4"),
        ("CK BETWEEN 'A' AND 'b'", "w1 w2"),
        ("CL = 'a'", "w1"),
        ("CL != 'a'", "w0 w2 w3 w4"),
        ("CL NOT IN ('a')", "w0 w2 w3 w4"),
        ("NOT CL = 'a'", "w0 w2 w3 w4"),
        ("CL IN ('b', 'it''s')", "w2 w3"),
        ("CL = 'c'", ""),
        ("CL = ''", ""),
        ("CX = 'quick'", "w1"),
        ("CX = 'QUICK zebra'", "w1"),
        ("CX != 'quick'", "w0 w2 w3 w4"),
        ("CX = 'brown-fox'", "w1"),
        ("CX = 'fox-brown'", ""),
        ("CX = '-'", ""),
        ("CI != 5", "w2"),
        ("NOT CI = 5", "w2"),
        ("CI > 4.5", "w1 w4"),
        ("CI BETWEEN -10 AND 5", "w1 w2 w4"),
        ("CI NOT BETWEEN 0 AND 3", "w1 w2 w4"),
        ("CI IN (5, -7)", "w1 w2 w4"),
        ("CI = +5", "w1 w4"),
        ("CD = 2", "w2"),
        ("CD = 1.50e0", "w1"),
        ("CB = true", "w1"),
        ("CB != true", "w2"),
        ("CB > false", "w1"),
        ("CT > '2026-06-01T00:00:00Z'", "w2"),
        ("CT = '2026-01-02T03:04:05.123Z'", "w1"),
        ("CT > 1780000000000000000", "w2"),
        ("CloseTime > '2020-01-01T00:00:00Z'", "w4"),
        ("CloseTime IS NULL", "w0 w1 w2 w3"),
        ("CloseTime != '2020-01-01T00:00:00Z'", "w4"),
        ("NOT CloseTime < '2020-01-01T00:00:00Z'", "w4"),
        ("StartTime > '2020-01-01T00:00:00+01:00'", "w0 w1 w2 w3 w4"),
        ("ExecutionTime > '2020-01-01T00:00:00Z'", "w0 w1 w2 w3 w4"),
        ("ExecutionStatus = 1", "w0 w1 w2 w3"),
        (
            "ExecutionStatus = 'WORKFLOW_EXECUTION_STATUS_TERMINATED'",
            "w4",
        ),
        ("ExecutionStatus = 'Paused'", ""),
        ("ExecutionStatus = 0", ""),
        ("ExecutionStatus > 1", "w4"),
        (
            "ExecutionStatus BETWEEN 'Running' AND 'Completed'",
            "w0 w1 w2 w3",
        ),
        ("ExecutionStatus = 'Running' && CK IS NULL", "w0"),
        ("CK = 'alpha' || CK = 'Beta_1'", "w1 w2"),
        ("WorkerDeploymentVersion = 'x'", ""),
        ("TemporalWorkflowId = 'w1'", "w1"),
        ("ScheduleId = 'w1'", "w1"),
        ("NOT WorkflowId = 'w1' AND WorkflowId = 'w2'", "w2"),
        ("ParentWorkflowId IS NULL", "w0 w1 w2 w3 w4"),
        ("ParentWorkflowId != 'x'", ""),
        ("HistoryLength > 1", "w4"),
        ("HistoryLength IS NULL", "w0 w1 w2 w3"),
        ("ExecutionDuration > '1s'", "w4"),
        ("ExecutionDuration < '1d'", "w4"),
        ("ExecutionDuration < '24:00:00'", "w4"),
        ("ExecutionDuration = 1500000000", "w4"),
        ("ExecutionDuration IS NULL", "w0 w1 w2 w3"),
        ("RootWorkflowId = 'w1'", "w1"),
        ("TaskQueue STARTS_WITH 't'", "w0 w1 w2 w3 w4"),
        ("BuildIds != 'x'", "w0 w1 w2 w3 w4"),
        ("BuildIds IS NULL", "w0 w1 w2 w3 w4"),
        ("WorkflowId = '\\w1'", "w1"),
        ("WorkflowId = '''w1'''", "w1"),
        ("CK = '''q'''", ""),
        ("CI = 9223372036854775808", ""),
        ("CT < '9999-12-31T23:59:59Z'", "w1 w2"),
        (
            "WorkflowType = 'Refund' AND ExecutionStatus = 'Running'",
            "w3",
        ),
    ] {
        assert_eq!(matching(text), wanted, "{text}");
    }
}

#[test]
fn parents_are_attributes_of_their_children() {
    let mut child = row("c");
    child.parent = Some(WorkflowKey {
        workflow_id: "p".to_owned(),
        run_id: "pr".to_owned(),
    });
    let matches = |text: &str| parse(text).unwrap().matches(&child);
    assert!(matches("ParentWorkflowId = 'p' AND ParentRunId = 'pr'"));
    assert!(!matches("ParentWorkflowId IS NULL"));
    assert!(
        !matches("RootWorkflowId = 'c'"),
        "a child is not its own root"
    );
}

#[test]
fn a_hole_is_unknown() {
    let row = row("w");
    for text in [
        "WorkflowId = ${{ x }}",
        "NOT WorkflowId = ${{ x }}",
        "${{ q }}",
        "WorkflowId NOT IN ${{ x }}",
    ] {
        assert!(!parse_template(text).unwrap().matches(&row), "{text}");
    }
    assert!(
        parse_template("${{ q }} OR WorkflowId = 'w'")
            .unwrap()
            .matches(&row)
    );
}

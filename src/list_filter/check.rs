//! What is grammar but not sense: names that are almost one of Temporal's, operators and values that do
//! not fit an attribute's type, statuses, times. Holes fit everything: check again when they are filled.

use std::collections::BTreeMap;

use super::ast::{Attribute, Expr, Filter, Literal, Operand, Operator, Problem};
use super::attributes::{
    AttributeType, DURATION, STATUS, almost_system, nearest, system_attribute,
};
use super::values;

impl Filter {
    /// All problems of names, types and values, in the order of the text. [`super::parse`] has done this;
    /// do it again after [`Filter::fill`].
    pub fn check(&self) -> Vec<Problem> {
        self.problems(None)
    }

    /// As [`Filter::check`], and custom Search Attributes must be among those of the namespace
    /// (name → type, as the service spells types).
    pub fn check_with(&self, custom: &BTreeMap<String, String>) -> Vec<Problem> {
        self.problems(Some(custom))
    }

    fn problems(&self, custom: Option<&BTreeMap<String, String>>) -> Vec<Problem> {
        let mut problems = Vec::new();
        self.expr
            .walk(&mut |expr| check_condition(expr, custom, &mut problems));
        problems
    }
}

fn check_condition(
    expr: &Expr,
    custom: Option<&BTreeMap<String, String>>,
    problems: &mut Vec<Problem>,
) {
    let Some(attribute) = expr.attribute() else {
        return;
    };
    match kind_of(attribute, custom) {
        Ok(Some((name, kind))) => {
            if let Some(problem) = check_operator(expr, attribute, name, kind) {
                problems.push(problem);
                return;
            }
            let value_problem = |operand: &Operand| check_operand(operand, attribute, name, kind);
            problems.extend(expr.operands().into_iter().filter_map(value_problem));
        }
        Ok(None) => {}
        Err(problem) => problems.push(*problem),
    }
}

type Known<'a> = Option<(&'a str, AttributeType)>;

/// The attribute's own name and type, none where nothing is known of it.
fn kind_of<'a>(
    attribute: &'a Attribute,
    custom: Option<&BTreeMap<String, String>>,
) -> Result<Known<'a>, Box<Problem>> {
    if let Some(kind) = custom.and_then(|custom| custom.get(&attribute.name))
        && let Some(kind) = AttributeType::parse(kind)
    {
        return Ok(Some((&attribute.name, kind)));
    }
    if let Some((name, kind)) = system_attribute(&attribute.name) {
        return Ok(Some((name, kind)));
    }
    let unknown = |suggestion: Option<&str>| {
        let message = format!("there is no Search Attribute `{}`", attribute.name);
        Box::new(Problem::new(attribute.span, message).suggest(suggestion.map(str::to_owned)))
    };
    // In backticks a name is taken as it is; the span tells, it is wider than the name.
    let span = attribute.span.range();
    let quoted = span.len() != attribute.name.len();
    match (custom, almost_system(&attribute.name)) {
        (Some(custom), near) => {
            let near = near.or_else(|| nearest(&attribute.name, custom.keys().map(String::as_str)));
            Err(unknown(near))
        }
        (None, Some(near)) if !quoted => Err(unknown(Some(near))),
        (None, _) => Ok(None),
    }
}

fn check_operator(
    expr: &Expr,
    attribute: &Attribute,
    name: &str,
    kind: AttributeType,
) -> Option<Problem> {
    let (written, allowed) = match expr {
        Expr::Compare { operator, .. } => (operator.symbol(), operator_fits(*operator, name, kind)),
        Expr::In { negated, .. } => (
            if *negated { "NOT IN" } else { "IN" },
            kind != AttributeType::Text,
        ),
        Expr::Between { .. } => ("BETWEEN", range_fits(kind)),
        _ => return None,
    };
    if allowed {
        return None;
    }
    let message = format!(
        "`{written}` does not work on `{}`, a {}",
        attribute.name,
        kind.name()
    );
    let usable = match kind {
        AttributeType::KeywordList => "= != IN or NOT IN, which ask for a member",
        AttributeType::Text => "= or !=, which ask for a word",
        AttributeType::Keyword => "= != IN or NOT IN",
        AttributeType::Bool => "= or !=",
        AttributeType::Int | AttributeType::Double | AttributeType::Datetime => {
            "= != < <= > >= IN, NOT IN or BETWEEN"
        }
    };
    Some(Problem::new(expr.span(), message).expected(usable))
}

fn operator_fits(operator: Operator, name: &str, kind: AttributeType) -> bool {
    match operator {
        Operator::Eq | Operator::NotEq => true,
        Operator::StartsWith | Operator::NotStartsWith => {
            kind == AttributeType::Keyword && name != STATUS
        }
        _ => !matches!(kind, AttributeType::KeywordList | AttributeType::Text),
    }
}

fn range_fits(kind: AttributeType) -> bool {
    use AttributeType::{Datetime, Double, Int, Keyword};
    matches!(kind, Int | Double | Datetime | Keyword)
}

fn check_operand(
    operand: &Operand,
    attribute: &Attribute,
    name: &str,
    kind: AttributeType,
) -> Option<Problem> {
    let text = Literal::Text(String::new());
    let value = match operand {
        Operand::Literal { value, .. } => value,
        // What is known of it is that it will be a text.
        Operand::Joined { .. } if takes_no_text(kind) && name != DURATION => &text,
        Operand::Joined { .. } | Operand::Hole(_) => return None,
    };
    let problem = |message: String| Problem::new(operand.span(), message);
    if name == STATUS {
        return status_problem(value, problem);
    }
    if name == DURATION {
        let wrong = || problem(format!("`{}` is a duration", attribute.name));
        return values::duration(value)
            .is_none()
            .then(|| wrong().expected("nanoseconds, or a text such as '1h30m' or '2d'"));
    }
    type_problem(value, attribute, kind, problem)
}

fn takes_no_text(kind: AttributeType) -> bool {
    matches!(
        kind,
        AttributeType::Int | AttributeType::Double | AttributeType::Bool
    )
}

fn status_problem(value: &Literal, problem: impl Fn(String) -> Problem) -> Option<Problem> {
    if values::status_code(value).is_some() {
        return None;
    }
    let near = match value {
        Literal::Text(text) => values::near_status(text),
        _ => None,
    };
    let message = match value {
        Literal::Text(text) => format!("there is no status `{text}`"),
        _ => "this is not a status".to_owned(),
    };
    let all = crate::survey::Status::ALL
        .map(crate::survey::Status::name)
        .join(", ");
    Some(
        problem(message)
            .expected(format!("one of {all}"))
            .suggest(near.map(values::quote)),
    )
}

fn type_problem(
    value: &Literal,
    attribute: &Attribute,
    kind: AttributeType,
    problem: impl Fn(String) -> Problem,
) -> Option<Problem> {
    let name = &attribute.name;
    let wrong = |expected: &str| {
        Some(problem(format!("`{name}` is {}", kind.with_article())).expected(expected))
    };
    match (kind, value) {
        (AttributeType::Int | AttributeType::Double, Literal::Int(_) | Literal::Float(_))
        | (AttributeType::Bool, Literal::Bool(_))
        | (AttributeType::Keyword | AttributeType::KeywordList, Literal::Text(_)) => None,
        (AttributeType::Text, Literal::Text(text)) => {
            if text.trim().is_empty() {
                wrong("a text with a word in it")
            } else {
                None
            }
        }
        (AttributeType::Datetime, _) => datetime_problem(value, name, problem),
        (AttributeType::Int | AttributeType::Double, _) => wrong("a number, without quotes"),
        (AttributeType::Bool, _) => wrong("`true` or `false`, without quotes"),
        (AttributeType::Keyword | AttributeType::KeywordList | AttributeType::Text, _) => {
            wrong("a text in single quotes")
        }
    }
}

fn datetime_problem(
    value: &Literal,
    name: &str,
    problem: impl Fn(String) -> Problem,
) -> Option<Problem> {
    if values::time(value).is_some() {
        return None;
    }
    let near = match value {
        Literal::Text(text) => values::near_time(text).map(|near| values::quote(&near)),
        _ => None,
    };
    let shape =
        "a time with `T` and a zone, such as '2026-11-21T13:00:00Z', or nanoseconds since 1970";
    Some(
        problem(format!("`{name}` is a Datetime, and this is no such time"))
            .expected(shape)
            .suggest(near),
    )
}

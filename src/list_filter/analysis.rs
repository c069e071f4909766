//! What a filter says about an attribute without looking at rows: names, the values it restricts an
//! attribute to, and contradictions. Conservative: what is not certain is not said.

use std::collections::BTreeSet;
use std::fmt;

use super::ast::{Attribute, Expr, Filter, List, Literal, Operand, Operator, Span};
use super::attributes::{AttributeType, DURATION, STATUS, canonical, system_attribute};
use super::render::literal_text;
use super::values;
use crate::survey::Status;

/// Conditions that cannot hold together.
#[derive(Clone, Debug, PartialEq)]
pub struct Contradiction {
    /// The attribute that would have to be two things at once.
    pub attribute: String,
    /// From the first to the last of the conditions, where they were read from one text.
    pub span: Span,
    /// The conditions, as they would be written.
    pub conditions: Vec<String>,
}

impl fmt::Display for Contradiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "no Workflow can fulfil the conditions on `{}`",
            self.attribute
        )?;
        if !self.conditions.is_empty() {
            write!(f, " ({})", self.conditions.join(", "))?;
        }
        Ok(())
    }
}

impl Filter {
    /// The attributes that it asks for, by name.
    pub fn attribute_names(&self) -> BTreeSet<&str> {
        self.attributes()
            .into_iter()
            .map(|attribute| attribute.name.as_str())
            .collect()
    }

    /// Every mention of an attribute, in the order of the text.
    pub fn attributes(&self) -> Vec<&Attribute> {
        let mut found = Vec::new();
        self.expr.walk(&mut |expr| found.extend(expr.attribute()));
        found
    }

    /// The mentions that are not of Temporal's own attributes: the namespace must have them.
    pub fn custom_attributes(&self) -> Vec<&Attribute> {
        let custom = |attribute: &&Attribute| system_attribute(&attribute.name).is_none();
        self.attributes().into_iter().filter(custom).collect()
    }

    /// Whether it asks for an attribute, under whatever alias.
    pub fn mentions(&self, attribute: &str) -> bool {
        self.attribute_names()
            .into_iter()
            .any(|name| canonical(name) == canonical(attribute))
    }

    /// The values to which it restricts an attribute: a matching row holds one of these. None where it
    /// does not restrict it, or where a value is not filled in yet. Statuses are given by name; other
    /// values as their text or number. NULL is no value.
    pub fn required_values(&self, attribute: &str) -> Option<BTreeSet<String>> {
        let allowed = allowed(&self.expr, canonical(attribute), true)?;
        allowed.into_iter().map(Value::plain).collect()
    }

    /// The statuses that a matching row can have; none where any can.
    pub fn required_statuses(&self) -> Option<BTreeSet<Status>> {
        let names = self.required_values(STATUS)?;
        let named = |name: &String| Status::ALL.into_iter().find(|status| status.name() == name);
        Some(names.iter().filter_map(named).collect())
    }

    /// Texts that not every Visibility store compares as they are. Measured on server 1.32: it strips
    /// quotes at either end of any value; SQLite never matches one with `"`, `\` or a line break, and
    /// refuses one with NUL. Compare these on the client.
    pub fn fragile_values(&self) -> Vec<&str> {
        let mut found = Vec::new();
        self.expr.walk(&mut |expr| {
            found.extend(
                expr.operands()
                    .into_iter()
                    .filter_map(|operand| match operand.value() {
                        Some(Literal::Text(text)) if is_fragile(text) => Some(text.as_str()),
                        _ => None,
                    }),
            );
        });
        found
    }

    /// A contradiction that makes it match nothing: two values at once for an attribute that holds one.
    pub fn contradiction(&self) -> Option<Contradiction> {
        contradiction(&self.fold().expr, true)
    }

    /// A contradiction between this filter and another (or within either): a scope and a row.
    pub fn contradicts(&self, other: &Self) -> Option<Contradiction> {
        self.clone().and(other.clone()).contradiction()
    }
}

fn is_fragile(text: &str) -> bool {
    let ends = text.starts_with('\'') || text.ends_with('\'');
    ends || text.contains(['"', '\\', '\0', '\u{8}', '\n', '\r', '\t'])
}

/// A value that a condition names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Value {
    Null,
    /// In a canonical spelling for the attribute's type.
    Known(String),
    /// Two holes with the same source hold the same value.
    Hole(String),
}

impl Value {
    fn plain(self) -> Option<String> {
        match self {
            Self::Known(text) => Some(text),
            Self::Null | Self::Hole(_) => None,
        }
    }
}

type Values = BTreeSet<Value>;

/// A superset of what a matching row holds; none for "anything". `wanted` is false below a NOT.
fn allowed(expr: &Expr, name: &str, wanted: bool) -> Option<Values> {
    match expr {
        Expr::Not(inner) => allowed(inner, name, !wanted),
        Expr::And(parts) if wanted => all_of(parts, name, wanted),
        Expr::Or(parts) if !wanted => all_of(parts, name, wanted),
        Expr::And(parts) | Expr::Or(parts) => {
            let mut union = Values::new();
            for part in parts {
                union.extend(allowed(part, name, wanted)?);
            }
            Some(union)
        }
        Expr::Constant { value, .. } => (*value != wanted).then(Values::new),
        Expr::Fragment(_) => None,
        single => match named(single, name)? {
            (values, negated) if negated != wanted => Some(values),
            _ => None,
        },
    }
}

fn all_of(parts: &[Expr], name: &str, wanted: bool) -> Option<Values> {
    let sets: Vec<_> = parts
        .iter()
        .filter_map(|part| allowed(part, name, wanted))
        .collect();
    let mut result = sets.into_iter().reduce(intersect)?;
    for part in parts {
        for value in excluded(part, name, wanted) {
            result.remove(&value);
        }
    }
    Some(result)
}

/// A superset of the values in both. A hole could be any value, so it decides nothing.
fn intersect(one: Values, other: Values) -> Values {
    let open = |values: &Values| values.iter().any(|value| matches!(value, Value::Hole(_)));
    match (open(&one), open(&other)) {
        (false, false) => one.intersection(&other).cloned().collect(),
        (true, false) => other,
        (_, true) => one,
    }
}

/// The values that a matching row certainly does not hold, by one condition of a conjunction.
fn excluded(expr: &Expr, name: &str, wanted: bool) -> Values {
    match expr {
        Expr::Not(inner) => excluded(inner, name, !wanted),
        single => match named(single, name) {
            Some((values, negated)) if negated == wanted => values,
            _ => Values::new(),
        },
    }
}

/// The values that a single condition on `name` names, and whether it excludes them.
fn named(expr: &Expr, name: &str) -> Option<(Values, bool)> {
    if canonical(&expr.attribute()?.name) != name {
        return None;
    }
    match expr {
        Expr::IsNull { negated, .. } => Some((Values::from([Value::Null]), *negated)),
        Expr::Compare {
            operator: Operator::Eq,
            value,
            ..
        } => Some((Values::from([key(value, name)?]), false)),
        Expr::Compare {
            operator: Operator::NotEq,
            value,
            ..
        } => Some((Values::from([key(value, name)?]), true)),
        Expr::In {
            negated,
            list: List::Items { items, .. },
            ..
        } => {
            let values = items
                .iter()
                .map(|item| key(item, name))
                .collect::<Option<_>>()?;
            Some((values, *negated))
        }
        _ => None,
    }
}

fn key(operand: &Operand, name: &str) -> Option<Value> {
    match operand {
        Operand::Hole(hole) => Some(Value::Hole(hole.source.clone())),
        Operand::Joined { .. } => None,
        Operand::Literal { value, .. } => Some(Value::Known(spelling(value, name))),
    }
}

/// One spelling for all that are equal for the attribute.
fn spelling(value: &Literal, name: &str) -> String {
    let kind = system_attribute(name).map(|(_, kind)| kind);
    let known = match (name, kind) {
        (STATUS, _) => values::status_code(value)
            .and_then(values::status_of)
            .map(|s| s.name().to_owned()),
        (DURATION, _) => values::duration(value).map(|nanoseconds| nanoseconds.to_string()),
        (_, Some(AttributeType::Datetime)) => values::time(value).map(|at| at.to_string()),
        _ => None,
    };
    known.unwrap_or_else(|| match value {
        Literal::Text(text) => text.clone(),
        Literal::Float(number) if number.fract() == 0.0 && number.abs() < 9e15 => {
            format!("{number:.0}")
        }
        other => literal_text(other),
    })
}

/// Only an attribute with one value can contradict itself; of a custom one the type is not known.
fn holds_one(name: &str) -> bool {
    system_attribute(name)
        .is_some_and(|(_, kind)| !matches!(kind, AttributeType::KeywordList | AttributeType::Text))
}

fn contradiction(expr: &Expr, wanted: bool) -> Option<Contradiction> {
    match expr {
        Expr::Not(inner) => contradiction(inner, !wanted),
        Expr::And(parts) if wanted => contradictory_parts(expr, parts, wanted),
        Expr::Or(parts) if !wanted => contradictory_parts(expr, parts, wanted),
        Expr::And(parts) | Expr::Or(parts) => {
            let mut found = parts
                .iter()
                .map(|part| contradiction(part, wanted))
                .collect::<Option<Vec<_>>>()?;
            (!found.is_empty()).then(|| found.remove(0))
        }
        _ => None,
    }
}

fn contradictory_parts(whole: &Expr, parts: &[Expr], wanted: bool) -> Option<Contradiction> {
    if let Some(found) = parts.iter().find_map(|part| contradiction(part, wanted)) {
        return Some(found);
    }
    let mut names = BTreeSet::new();
    whole.walk(&mut |expr| {
        names.extend(expr.attribute().map(|attribute| canonical(&attribute.name)))
    });
    let empty = |name: &&str| {
        holds_one(name) && allowed(whole, name, wanted).is_some_and(|set| set.is_empty())
    };
    names
        .into_iter()
        .find(empty)
        .map(|name| explain(parts, name))
}

fn explain(parts: &[Expr], name: &str) -> Contradiction {
    let concerns = |part: &&Expr| {
        let mut mentioned = false;
        part.walk(&mut |expr| {
            mentioned |= expr
                .attribute()
                .is_some_and(|attribute| canonical(&attribute.name) == name);
        });
        mentioned
    };
    let concerned: Vec<_> = parts.iter().filter(concerns).collect();
    let span = match (concerned.first(), concerned.last()) {
        (Some(first), Some(last)) => first.span().to(last.span()),
        _ => Span::default(),
    };
    let conditions = concerned
        .iter()
        .map(|part| Filter::new((*part).clone()).render())
        .collect();
    Contradiction {
        attribute: name.to_owned(),
        span,
        conditions,
    }
}

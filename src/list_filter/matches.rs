//! Does a row match? Three-valued, as in SQL.

use std::cmp::Ordering;

use jiff::Timestamp;

use super::ast::{Attribute, Expr, Filter, List, Literal, Operand, Operator};
use super::attributes::{AttributeType, DURATION, STATUS, canonical, system_attribute};
use super::values;
use crate::survey::{AttributeValue, Listed};

impl Filter {
    /// Whether the service would list this row, as far as the row says.
    ///
    /// Compared with server 1.32 on SQLite (unified query converter), by the corpus of the conformance suite. A condition on an absent attribute is *unknown*, and so is
    /// its negation: `A != 'x'`, `NOT A = 'x'` and `A NOT IN ('x')` do not match a row without `A`. A
    /// KeywordList or a Text is different: there the absent one is as the empty one, so `!=` and `NOT IN`
    /// match. (Elasticsearch negates by absence also for the other types; a filter that means those rows
    /// says `OR A IS NULL`.) Texts are compared exactly, where SQLite folds case in STARTS_WITH and in
    /// members of a KeywordList. A hole that was not filled is unknown.
    pub fn matches(&self, row: &Listed) -> bool {
        self.matches_with(row, &|_| None)
    }

    /// As [`Filter::matches`], with the types of custom attributes: they matter where one is absent.
    pub fn matches_with(
        &self,
        row: &Listed,
        types: &dyn Fn(&str) -> Option<AttributeType>,
    ) -> bool {
        truth(&self.expr, &Row { row, types }) == Some(true)
    }
}

struct Row<'a> {
    row: &'a Listed,
    types: &'a dyn Fn(&str) -> Option<AttributeType>,
}

/// What a row holds under a name.
enum Held<'a> {
    Absent,
    Keyword(&'a str),
    Text(&'a str),
    Members(&'a [String]),
    Int(i64),
    Double(f64),
    Bool(bool),
    Time(Timestamp),
    Status(i64),
    Duration(i64),
}

fn truth(expr: &Expr, row: &Row<'_>) -> Option<bool> {
    match expr {
        Expr::And(parts) => conclude(parts, row, false),
        Expr::Or(parts) => conclude(parts, row, true),
        Expr::Not(inner) => truth(inner, row).map(|value| !value),
        Expr::Constant { value, .. } => Some(*value),
        Expr::Fragment(_) => None,
        Expr::IsNull {
            attribute, negated, ..
        } => {
            let absent = match row.held(attribute) {
                Held::Absent => true,
                Held::Members(members) => members.is_empty(),
                Held::Text(text) => text.is_empty(),
                _ => false,
            };
            Some(absent != *negated)
        }
        Expr::Compare {
            attribute,
            operator,
            value,
            ..
        } => compare(&row.held(attribute), *operator, value.value()?),
        Expr::In {
            attribute,
            negated,
            list,
            ..
        } => {
            let List::Items { items, .. } = list else {
                return None;
            };
            if items.is_empty() {
                return Some(*negated);
            }
            is_one_of(&row.held(attribute), items).map(|value| value != *negated)
        }
        Expr::Between {
            attribute,
            negated,
            low,
            high,
            ..
        } => {
            let held = row.held(attribute);
            let above = compare(&held, Operator::GtEq, low.value()?)?;
            let below = compare(&held, Operator::LtEq, high.value()?)?;
            Some((above && below) != *negated)
        }
    }
}

/// `deciding` wins over unknown, unknown over its opposite.
fn conclude(parts: &[Expr], row: &Row<'_>, deciding: bool) -> Option<bool> {
    let mut unknown = false;
    for part in parts {
        match truth(part, row) {
            Some(value) if value == deciding => return Some(deciding),
            Some(_) => {}
            None => unknown = true,
        }
    }
    (!unknown).then_some(!deciding)
}

fn is_one_of(held: &Held<'_>, items: &[Operand]) -> Option<bool> {
    let mut unknown = false;
    for item in items {
        match item
            .value()
            .and_then(|value| compare(held, Operator::Eq, value))
        {
            Some(true) => return Some(true),
            Some(false) => {}
            None => unknown = true,
        }
    }
    (!unknown).then_some(false)
}

fn compare(held: &Held<'_>, operator: Operator, value: &Literal) -> Option<bool> {
    let trimmed = match value {
        Literal::Text(text) if values::as_asked(text) != text => {
            Some(Literal::text(values::as_asked(text)))
        }
        _ => None,
    };
    let value = trimmed.as_ref().unwrap_or(value);
    match (operator, held, value) {
        (Operator::StartsWith, Held::Keyword(text), Literal::Text(prefix)) => {
            return Some(text.starts_with(prefix.as_str()));
        }
        (Operator::NotStartsWith, Held::Keyword(text), Literal::Text(prefix)) => {
            return Some(!text.starts_with(prefix.as_str()));
        }
        (Operator::Eq | Operator::NotEq, Held::Members(members), Literal::Text(text)) => {
            return Some(members.contains(text) == (operator == Operator::Eq));
        }
        (Operator::Eq | Operator::NotEq, Held::Text(held), Literal::Text(text)) => {
            return Some(has_word(held, text) == (operator == Operator::Eq));
        }
        _ => {}
    }
    let ordering = order(held, value)?;
    match operator {
        Operator::Eq => Some(ordering == Ordering::Equal),
        Operator::NotEq => Some(ordering != Ordering::Equal),
        Operator::Lt => Some(ordering == Ordering::Less),
        Operator::LtEq => Some(ordering != Ordering::Greater),
        Operator::Gt => Some(ordering == Ordering::Greater),
        Operator::GtEq => Some(ordering != Ordering::Less),
        Operator::StartsWith | Operator::NotStartsWith => None,
    }
}

/// How the held value stands to the literal; none where they cannot be compared.
fn order(held: &Held<'_>, value: &Literal) -> Option<Ordering> {
    match (held, value) {
        (Held::Keyword(held), Literal::Text(text)) => Some((*held).cmp(text.as_str())),
        (Held::Int(held), Literal::Int(value)) => Some(held.cmp(value)),
        (Held::Int(held), Literal::Float(value)) => whole_and_real(*held, *value),
        #[allow(clippy::cast_precision_loss)]
        (Held::Double(held), Literal::Int(value)) => held.partial_cmp(&(*value as f64)),
        (Held::Double(held), Literal::Float(value)) => held.partial_cmp(value),
        (Held::Bool(held), Literal::Bool(value)) => Some(held.cmp(value)),
        (Held::Time(held), value) => Some(
            held.as_microsecond()
                .cmp(&values::time(value)?.as_microsecond()),
        ),
        (Held::Status(held), value) => Some(held.cmp(&values::status_code(value)?)),
        (Held::Duration(held), value) => Some(held.cmp(&values::duration(value)?)),
        _ => None,
    }
}

/// Exactly, as the service's store does: an integer beyond 2^53 is not the nearest double.
fn whole_and_real(whole: i64, real: f64) -> Option<Ordering> {
    const BEYOND: f64 = 9_223_372_036_854_775_808.0;
    if real.is_nan() {
        return None;
    }
    if !(-BEYOND..BEYOND).contains(&real) {
        return Some(if real > 0.0 {
            Ordering::Less
        } else {
            Ordering::Greater
        });
    }
    #[allow(clippy::cast_possible_truncation)] // within an i64, as just seen
    let near = real.trunc() as i64;
    Some(
        whole
            .cmp(&near)
            .then_with(|| 0.0.partial_cmp(&real.fract()).unwrap_or(Ordering::Equal)),
    )
}

/// A Text matches when one of the value's words is among its own, whatever the case; what is joined by
/// punctuation must follow one another.
fn has_word(held: &str, wanted: &str) -> bool {
    let held = words(held);
    wanted
        .split(' ')
        .map(words)
        .filter(|phrase| !phrase.is_empty())
        .any(|phrase| {
            held.windows(phrase.len())
                .any(|window| window == phrase.as_slice())
        })
}

fn words(text: &str) -> Vec<String> {
    let split = text.split(|c: char| !c.is_alphanumeric());
    split
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}

impl<'a> Row<'a> {
    fn held(&self, attribute: &Attribute) -> Held<'a> {
        let row = self.row;
        if let Some(value) = row.attributes.get(&attribute.name) {
            return held_value(value, canonical(&attribute.name));
        }
        let name = canonical(&attribute.name);
        let keyword = |text: &'a str| Held::Keyword(text);
        let time = |at: Option<Timestamp>| at.map_or(Held::Absent, Held::Time);
        match name {
            "WorkflowId" => keyword(&row.key.workflow_id),
            "RunId" => keyword(&row.key.run_id),
            "WorkflowType" => keyword(&row.workflow_type),
            "TaskQueue" => keyword(&row.task_queue),
            STATUS => Held::Status(values::code_of(row.status)),
            "StartTime" => time(row.start_time),
            "CloseTime" => time(row.close_time),
            "ParentWorkflowId" => row
                .parent
                .as_ref()
                .map_or(Held::Absent, |key| keyword(&key.workflow_id)),
            "ParentRunId" => row
                .parent
                .as_ref()
                .map_or(Held::Absent, |key| keyword(&key.run_id)),
            _ => match (row.attributes.get(name), name) {
                (Some(value), _) => held_value(value, name),
                // What follows from the rest of the row: no delay, no parent.
                (None, "ExecutionTime") => time(row.start_time),
                (None, "RootWorkflowId") if row.parent.is_none() => keyword(&row.key.workflow_id),
                (None, "RootRunId") if row.parent.is_none() => keyword(&row.key.run_id),
                (None, DURATION) => self.duration(),
                (None, _) => self.absent(name),
            },
        }
    }

    fn duration(&self) -> Held<'a> {
        let (Some(start), Some(close)) = (self.row.start_time, self.row.close_time) else {
            return Held::Absent;
        };
        let nanoseconds = close.as_nanosecond() - start.as_nanosecond();
        i64::try_from(nanoseconds).map_or(Held::Absent, Held::Duration)
    }

    /// Lists and texts are searched by an index that knows no NULL: what is absent has no members.
    fn absent(&self, name: &str) -> Held<'a> {
        match system_attribute(name)
            .map(|(_, kind)| kind)
            .or_else(|| (self.types)(name))
        {
            Some(AttributeType::KeywordList) => Held::Members(&[]),
            Some(AttributeType::Text) => Held::Text(""),
            _ => Held::Absent,
        }
    }
}

fn held_value<'a>(value: &'a AttributeValue, name: &str) -> Held<'a> {
    match value {
        AttributeValue::Keyword(text) => Held::Keyword(text),
        AttributeValue::Text(text) => Held::Text(text),
        AttributeValue::KeywordList(members) => Held::Members(members),
        AttributeValue::Int(value) if name == DURATION => Held::Duration(*value),
        AttributeValue::Int(value) => Held::Int(*value),
        AttributeValue::Double(value) => Held::Double(*value),
        AttributeValue::Bool(value) => Held::Bool(*value),
        AttributeValue::Datetime(at) => Held::Time(*at),
    }
}

//! AST → text that the service, and this module, read back as the same AST; and as data, that text.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::ast::{Attribute, Expr, Filter, Hole, List, Literal, Operand, Part};
use super::attributes::needs_backticks;
use super::parse::parse_rendered;
use super::values::{escape, quote};

/// What no row fulfils: every row has a status.
const NEVER: &str = "ExecutionStatus IS NULL";

impl Filter {
    /// The canonical text. Constants are folded away first; a filter that is always true is the empty
    /// text, one that is never true asks for a missing status (look at [`Filter::constant`] first and
    /// save the call). AND, OR and fragments inside another AND or OR stand in parentheses.
    pub fn render(&self) -> String {
        let mut out = String::new();
        match self.fold().expr {
            Expr::Constant { value: true, .. } => {}
            expr => write_expr(&expr, &mut out),
        }
        out
    }
}

/// A filter as data is its text; it is read without checking names and types.
impl Serialize for Filter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.render())
    }
}

impl<'de> Deserialize<'de> for Filter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_rendered(&text).map_err(|problems| {
            let message = problems
                .first()
                .map_or("not a List Filter", |problem| &problem.message);
            de::Error::custom(format!("`{text}`: {message}"))
        })
    }
}

fn write_expr(expr: &Expr, out: &mut String) {
    match expr {
        Expr::And(parts) => write_parts(parts, " AND ", out),
        Expr::Or(parts) => write_parts(parts, " OR ", out),
        Expr::Not(inner) => {
            out.push_str("NOT ");
            write_part(inner, out);
        }
        Expr::Compare {
            attribute,
            operator,
            value,
            ..
        } => {
            write_attribute(attribute, out);
            out.push_str(&format!(" {} ", operator.symbol()));
            write_operand(value, out);
        }
        Expr::In {
            attribute,
            negated,
            list,
            ..
        } => {
            write_attribute(attribute, out);
            out.push_str(if *negated { " NOT IN " } else { " IN " });
            write_list(list, out);
        }
        Expr::Between {
            attribute,
            negated,
            low,
            high,
            ..
        } => {
            write_attribute(attribute, out);
            out.push_str(if *negated {
                " NOT BETWEEN "
            } else {
                " BETWEEN "
            });
            write_operand(low, out);
            out.push_str(" AND ");
            write_operand(high, out);
        }
        Expr::IsNull {
            attribute, negated, ..
        } => {
            write_attribute(attribute, out);
            out.push_str(if *negated { " IS NOT NULL" } else { " IS NULL" });
        }
        Expr::Fragment(hole) => write_hole(hole, out),
        Expr::Constant { value: true, .. } => out.push_str("ExecutionStatus IS NOT NULL"),
        Expr::Constant { value: false, .. } => out.push_str(NEVER),
    }
}

fn write_parts(parts: &[Expr], between: &str, out: &mut String) {
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            out.push_str(between);
        }
        write_part(part, out);
    }
}

fn write_part(part: &Expr, out: &mut String) {
    if matches!(part, Expr::And(_) | Expr::Or(_)) {
        out.push('(');
        write_expr(part, out);
        out.push(')');
    } else {
        write_expr(part, out);
    }
}

fn write_attribute(attribute: &Attribute, out: &mut String) {
    if needs_backticks(&attribute.name) {
        out.push_str(&format!("`{}`", attribute.name));
    } else {
        out.push_str(&attribute.name);
    }
}

fn write_list(list: &List, out: &mut String) {
    match list {
        List::Hole(hole) => write_hole(hole, out),
        List::Items { items, .. } => {
            out.push('(');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                write_operand(item, out);
            }
            out.push(')');
        }
    }
}

fn write_operand(operand: &Operand, out: &mut String) {
    match operand {
        Operand::Literal { value, .. } => out.push_str(&literal_text(value)),
        Operand::Hole(hole) => write_hole(hole, out),
        Operand::Joined { parts, .. } => {
            out.push('\'');
            for part in parts {
                match part {
                    Part::Text(text) => out.push_str(&escape(text)),
                    Part::Hole(hole) => write_hole(hole, out),
                }
            }
            out.push('\'');
        }
    }
}

fn write_hole(hole: &Hole, out: &mut String) {
    out.push_str(&format!("${{{{ {} }}}}", hole.source));
}

/// A literal as it is written.
pub(super) fn literal_text(value: &Literal) -> String {
    match value {
        Literal::Text(text) => quote(text),
        Literal::Int(value) => value.to_string(),
        // With a point or an exponent, so that it is read as a double again.
        Literal::Float(value) => format!("{value:?}"),
        Literal::Bool(value) => value.to_string(),
    }
}

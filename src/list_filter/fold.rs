//! Constants folded away: `IN` of an empty list is never true, `NOT IN` always, and the service refuses
//! to be asked. Remembers whose list was empty.

use super::ast::{Expr, Filter, List, Origin};

impl Filter {
    /// The same filter without constants inside; a constant alone, or none.
    #[must_use]
    pub fn fold(&self) -> Self {
        Self::new(fold(&self.expr))
    }

    /// Whether it is true, or false, for every row, whatever they hold.
    pub fn constant(&self) -> Option<bool> {
        match fold(&self.expr) {
            Expr::Constant { value, .. } => Some(value),
            _ => None,
        }
    }

    /// If no row can match because a list is empty: the expression that the list came from, for
    /// "off: `params.wrong` is empty".
    pub fn never_because(&self) -> Option<String> {
        match fold(&self.expr) {
            Expr::Constant {
                value: false,
                origin,
            } => origin.0,
            _ => None,
        }
    }
}

fn fold(expr: &Expr) -> Expr {
    match expr {
        Expr::And(parts) => fold_parts(parts, false, Expr::all),
        Expr::Or(parts) => fold_parts(parts, true, Expr::any),
        Expr::Not(inner) => match fold(inner) {
            Expr::Constant { value, origin } => Expr::Constant {
                value: !value,
                origin,
            },
            other => Expr::Not(Box::new(other)),
        },
        Expr::In {
            negated,
            list: List::Items { items, origin },
            ..
        } if items.is_empty() => Expr::Constant {
            value: *negated,
            origin: origin.clone(),
        },
        other => other.clone(),
    }
}

/// `absorbing` decides all; its opposite is dropped, unless nothing else is left.
fn fold_parts(parts: &[Expr], absorbing: bool, join: fn(Vec<Expr>) -> Expr) -> Expr {
    let mut kept = Vec::new();
    let mut neutral = None;
    for part in parts {
        match fold(part) {
            Expr::Constant { value, origin } if value == absorbing => {
                return Expr::Constant { value, origin };
            }
            Expr::Constant { origin, .. } => neutral = neutral.or(origin.0),
            other => kept.push(other),
        }
    }
    if kept.is_empty() {
        return Expr::Constant {
            value: !absorbing,
            origin: Origin(neutral),
        };
    }
    join(kept)
}

//! Holes, and what is put into them: literals, lists of literals, or whole filters, into the AST.

use std::fmt;

use super::ast::{Expr, Filter, Hole, List, Literal, Operand, Origin, Part, Span};
use super::values;

/// What a hole stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HolePosition {
    /// One value: `= ${{ x }}`, a bound of BETWEEN.
    Value,
    /// One element of a list, `IN ('a', ${{ x }})`; a list is spliced in.
    ListItem,
    /// The whole list, `IN ${{ x }}`.
    WholeList,
    /// A piece of a quoted text; numbers and truth values become text.
    InsideText,
    /// A condition.
    Condition,
}

impl HolePosition {
    /// What fits there, in words.
    pub fn expected(self) -> &'static str {
        match self {
            Self::Value | Self::InsideText => "one value",
            Self::ListItem => "a value or a list of values",
            Self::WholeList => "a list of values",
            Self::Condition => "a query",
        }
    }
}

/// What is put into a hole.
#[derive(Clone, Debug, PartialEq)]
pub enum Filled {
    /// One value.
    Literal(Literal),
    /// Several, or none.
    List(Vec<Literal>),
    /// A filter, which becomes one condition.
    Fragment(Filter),
}

impl Filled {
    fn kind(&self) -> &'static str {
        match self {
            Self::Literal(_) => "one value",
            Self::List(_) => "a list",
            Self::Fragment(_) => "a query",
        }
    }
}

/// Why a hole could not be filled.
#[derive(Clone, Debug, PartialEq)]
pub enum FillError<E> {
    /// The resolver's own error.
    Resolve(E),
    /// What came does not fit where the hole stands.
    WrongKind {
        /// The hole.
        hole: Hole,
        /// Where it stands.
        position: HolePosition,
        /// What came, in words.
        got: &'static str,
    },
    /// A number that cannot be written: infinite, or none.
    NotFinite {
        /// The hole.
        hole: Hole,
    },
    /// A text that begins or ends with `'`: the service takes those off and would look for another one.
    QuoteAtEnd {
        /// The hole.
        hole: Hole,
    },
}

impl<E> FillError<E> {
    /// The bytes of the hole, where this error knows them.
    pub fn span(&self) -> Option<Span> {
        match self {
            Self::Resolve(_) => None,
            Self::WrongKind { hole, .. } | Self::NotFinite { hole } | Self::QuoteAtEnd { hole } => {
                Some(hole.span)
            }
        }
    }
}

impl<E: fmt::Display> fmt::Display for FillError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resolve(error) => error.fmt(f),
            Self::WrongKind {
                hole,
                position,
                got,
            } => {
                write!(
                    f,
                    "`{}` is {got}, but {} stands here",
                    hole.source,
                    position.expected()
                )
            }
            Self::NotFinite { hole } => write!(f, "`{}` is not a finite number", hole.source),
            Self::QuoteAtEnd { hole } => write!(
                f,
                "`{}` begins or ends with a single quote: no List Filter can ask for such a text, since the \
                 service takes these quotes off",
                hole.source
            ),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> std::error::Error for FillError<E> {}

impl Filter {
    /// The holes in the order of the text.
    pub fn holes(&self) -> Vec<&Hole> {
        self.placed_holes()
            .into_iter()
            .map(|(hole, _)| hole)
            .collect()
    }

    /// The holes in the order of the text, and what each stands for.
    pub fn placed_holes(&self) -> Vec<(&Hole, HolePosition)> {
        let mut holes = Vec::new();
        self.expr.walk(&mut |expr| match expr {
            Expr::Fragment(hole) => holes.push((hole, HolePosition::Condition)),
            Expr::In {
                list: List::Hole(hole),
                ..
            } => holes.push((hole, HolePosition::WholeList)),
            Expr::In {
                list: List::Items { items, .. },
                ..
            } => {
                items
                    .iter()
                    .for_each(|item| operand_holes(item, HolePosition::ListItem, &mut holes));
            }
            other => {
                for operand in other.operands() {
                    operand_holes(operand, HolePosition::Value, &mut holes);
                }
            }
        });
        holes
    }

    /// Fills every hole with what `resolve` says, in the order of the text. A literal keeps its hole's
    /// span; a fragment keeps the spans of its own text. Names and types are not checked here: ask
    /// [`Filter::check`] of the result.
    ///
    /// # Errors
    /// The first hole that cannot be filled, and why.
    pub fn fill<E>(
        &self,
        resolve: &mut dyn FnMut(&Hole, HolePosition) -> Result<Filled, E>,
    ) -> Result<Self, FillError<E>> {
        Ok(Self::new(Filler { resolve }.expr(&self.expr)?))
    }
}

fn operand_holes<'a>(
    operand: &'a Operand,
    position: HolePosition,
    holes: &mut Vec<(&'a Hole, HolePosition)>,
) {
    match operand {
        Operand::Hole(hole) => holes.push((hole, position)),
        Operand::Joined { parts, .. } => holes.extend(parts.iter().filter_map(|part| match part {
            Part::Hole(hole) => Some((hole, HolePosition::InsideText)),
            Part::Text(_) => None,
        })),
        Operand::Literal { .. } => {}
    }
}

struct Filler<'a, E> {
    resolve: &'a mut dyn FnMut(&Hole, HolePosition) -> Result<Filled, E>,
}

impl<E> Filler<'_, E> {
    fn expr(&mut self, expr: &Expr) -> Result<Expr, FillError<E>> {
        Ok(match expr {
            Expr::And(parts) => Expr::And(self.exprs(parts)?),
            Expr::Or(parts) => Expr::Or(self.exprs(parts)?),
            Expr::Not(inner) => Expr::Not(Box::new(self.expr(inner)?)),
            Expr::Compare {
                attribute,
                operator,
                value,
                span,
            } => Expr::Compare {
                attribute: attribute.clone(),
                operator: *operator,
                value: self.operand(value)?,
                span: *span,
            },
            Expr::In {
                attribute,
                negated,
                list,
                span,
            } => Expr::In {
                attribute: attribute.clone(),
                negated: *negated,
                list: self.list(list)?,
                span: *span,
            },
            Expr::Between {
                attribute,
                negated,
                low,
                high,
                span,
            } => Expr::Between {
                attribute: attribute.clone(),
                negated: *negated,
                low: self.operand(low)?,
                high: self.operand(high)?,
                span: *span,
            },
            Expr::Fragment(hole) => match self.ask(hole, HolePosition::Condition)? {
                Filled::Fragment(filter) => filter.expr,
                other => return Err(wrong(hole, HolePosition::Condition, &other)),
            },
            Expr::IsNull { .. } | Expr::Constant { .. } => expr.clone(),
        })
    }

    fn exprs(&mut self, parts: &[Expr]) -> Result<Vec<Expr>, FillError<E>> {
        parts.iter().map(|part| self.expr(part)).collect()
    }

    fn operand(&mut self, operand: &Operand) -> Result<Operand, FillError<E>> {
        match operand {
            Operand::Literal { .. } => Ok(operand.clone()),
            Operand::Hole(hole) => {
                let value = self.value(hole, HolePosition::Value)?;
                Ok(Operand::Literal {
                    value: askable(value, hole)?,
                    span: hole.span,
                })
            }
            Operand::Joined { parts, span } => {
                let mut text = String::new();
                let mut last = None;
                for part in parts {
                    match part {
                        Part::Text(part) => text.push_str(part),
                        Part::Hole(hole) => {
                            text.push_str(&plain(self.value(hole, HolePosition::InsideText)?));
                            last = Some(hole);
                        }
                    }
                }
                let value = Literal::Text(text);
                Ok(Operand::Literal {
                    value: match last {
                        Some(hole) => askable(value, hole)?,
                        None => value,
                    },
                    span: *span,
                })
            }
        }
    }

    fn list(&mut self, list: &List) -> Result<List, FillError<E>> {
        let mut filled = Vec::new();
        let mut empty = None;
        match list {
            List::Hole(hole) => {
                self.splice(hole, HolePosition::WholeList, &mut filled)?;
                empty = Some(hole.source.clone());
            }
            List::Items { items, origin } => {
                for item in items {
                    if let Operand::Hole(hole) = item {
                        self.splice(hole, HolePosition::ListItem, &mut filled)?;
                        empty = empty.or_else(|| Some(hole.source.clone()));
                    } else {
                        filled.push(self.operand(item)?);
                    }
                }
                empty = origin.0.clone().or(empty);
            }
        }
        let origin = Origin(empty.filter(|_| filled.is_empty()));
        Ok(List::Items {
            items: filled,
            origin,
        })
    }

    fn splice(
        &mut self,
        hole: &Hole,
        position: HolePosition,
        into: &mut Vec<Operand>,
    ) -> Result<(), FillError<E>> {
        let values = match self.ask(hole, position)? {
            Filled::List(values) => values,
            Filled::Literal(value) if position == HolePosition::ListItem => vec![value],
            other => return Err(wrong(hole, position, &other)),
        };
        for value in values {
            let value = askable(finite(value, hole)?, hole)?;
            into.push(Operand::Literal {
                value,
                span: hole.span,
            });
        }
        Ok(())
    }

    fn value(&mut self, hole: &Hole, position: HolePosition) -> Result<Literal, FillError<E>> {
        match self.ask(hole, position)? {
            Filled::Literal(value) => finite(value, hole),
            other => Err(wrong(hole, position, &other)),
        }
    }

    fn ask(&mut self, hole: &Hole, position: HolePosition) -> Result<Filled, FillError<E>> {
        (self.resolve)(hole, position).map_err(FillError::Resolve)
    }
}

fn wrong<E>(hole: &Hole, position: HolePosition, got: &Filled) -> FillError<E> {
    FillError::WrongKind {
        hole: hole.clone(),
        position,
        got: got.kind(),
    }
}

fn finite<E>(value: Literal, hole: &Hole) -> Result<Literal, FillError<E>> {
    match value {
        Literal::Float(number) if !number.is_finite() => {
            Err(FillError::NotFinite { hole: hole.clone() })
        }
        other => Ok(other),
    }
}

/// Refuses a text that the service would change, see [`values::as_asked`].
fn askable<E>(value: Literal, hole: &Hole) -> Result<Literal, FillError<E>> {
    match &value {
        Literal::Text(text) if values::as_asked(text) != text => {
            Err(FillError::QuoteAtEnd { hole: hole.clone() })
        }
        _ => Ok(value),
    }
}

fn plain(value: Literal) -> String {
    match value {
        Literal::Text(text) => text,
        Literal::Int(value) => value.to_string(),
        Literal::Float(value) => value.to_string(),
        Literal::Bool(value) => value.to_string(),
    }
}

//! The AST of a List Filter, and what is said about its text. Knows neither how it is read nor written.

use std::fmt;
use std::ops::Range;

use jiff::Timestamp;

use crate::survey::Version;

/// Where something stands in the source text, in bytes.
///
/// Two spans are always equal: two filters are the same filter wherever they were written.
#[derive(Clone, Copy, Debug, Default)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl Span {
    /// From `start` up to `end`.
    pub fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    /// As a range, for slicing.
    pub fn range(self) -> Range<usize> {
        self.start..self.end
    }

    /// From the start of this one to the end of `other`.
    pub fn to(self, other: Self) -> Self {
        Self {
            start: self.start,
            end: other.end,
        }
    }
}

impl PartialEq for Span {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// The hole whose empty list decided something. Like a span it is no part of the meaning: all are equal.
#[derive(Clone, Debug, Default)]
pub struct Origin(pub Option<String>);

impl PartialEq for Origin {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// Something wrong with a filter's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The offending bytes; for what is not closed, the opening quote or parenthesis.
    pub span: Range<usize>,
    /// What is wrong, a sentence without a period.
    pub message: String,
    /// What could stand there.
    pub expected: Option<String>,
    /// What was probably meant, ready to be put in place of the span.
    pub suggestion: Option<String>,
}

impl Problem {
    pub(super) fn new(span: Span, message: impl Into<String>) -> Self {
        Self {
            span: span.range(),
            message: message.into(),
            expected: None,
            suggestion: None,
        }
    }

    pub(super) fn expected(mut self, what: impl Into<String>) -> Self {
        self.expected = Some(what.into());
        self
    }

    pub(super) fn suggest(mut self, what: Option<String>) -> Self {
        self.suggestion = what;
        self
    }
}

/// A place for an expression's value, `${{ SOURCE }}`.
#[derive(Clone, Debug, PartialEq)]
pub struct Hole {
    /// What stands between the braces, trimmed.
    pub source: String,
    /// All of it, braces included.
    pub span: Span,
    /// The trimmed expression.
    pub source_span: Span,
}

/// One value.
///
/// A time is text in RFC 3339: the attribute's type decides what a text means.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Literal {
    Text(String),
    Int(i64),
    Float(f64),
    Bool(bool),
}

impl Literal {
    /// A text.
    pub fn text(value: impl Into<String>) -> Self {
        Self::Text(value.into())
    }

    /// A time, as the RFC 3339 text that the service reads.
    pub fn datetime(at: Timestamp) -> Self {
        Self::Text(at.to_string())
    }

    /// A Worker Deployment Version, as the attribute `TemporalWorkerDeploymentVersion` holds it.
    pub fn version(version: &Version) -> Self {
        Self::Text(version.to_string())
    }
}

impl From<&str> for Literal {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

/// A part of a text that has holes.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Part {
    Text(String),
    Hole(Hole),
}

/// What stands where one value stands.
#[derive(Clone, Debug, PartialEq)]
pub enum Operand {
    /// A value.
    Literal {
        /// The value.
        value: Literal,
        /// Where.
        span: Span,
    },
    /// A value that is still to be filled in.
    Hole(Hole),
    /// A quoted text with holes in it: still one literal.
    Joined {
        /// In order; at least one is a hole.
        parts: Vec<Part>,
        /// Where, quotes included.
        span: Span,
    },
}

impl Operand {
    /// A value that was not read from a text.
    pub fn literal(value: impl Into<Literal>) -> Self {
        Self::Literal {
            value: value.into(),
            span: Span::default(),
        }
    }

    /// Where it stands.
    pub fn span(&self) -> Span {
        match self {
            Self::Literal { span, .. } | Self::Joined { span, .. } => *span,
            Self::Hole(hole) => hole.span,
        }
    }

    /// The value, if it is known.
    pub fn value(&self) -> Option<&Literal> {
        match self {
            Self::Literal { value, .. } => Some(value),
            Self::Hole(_) | Self::Joined { .. } => None,
        }
    }
}

/// What stands after `IN`.
#[derive(Clone, Debug, PartialEq)]
pub enum List {
    /// `IN ${{ x }}`: the whole list is still to be filled in.
    Hole(Hole),
    /// `IN (a, b)`.
    Items {
        /// The elements; empty only after a fill.
        items: Vec<Operand>,
        /// If empty: which hole's list was.
        origin: Origin,
    },
}

impl List {
    /// A list of elements.
    pub fn items(items: Vec<Operand>) -> Self {
        Self::Items {
            items,
            origin: Origin::default(),
        }
    }
}

/// The name of a Search Attribute, as it was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Attribute {
    /// Without backticks.
    pub name: String,
    /// Where.
    pub span: Span,
}

impl Attribute {
    /// An attribute that was not read from a text.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            span: Span::default(),
        }
    }
}

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Operator {
    Eq,
    NotEq,
    Lt,
    LtEq,
    Gt,
    GtEq,
    StartsWith,
    NotStartsWith,
}

impl Operator {
    /// As it is written.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Eq => "=",
            Self::NotEq => "!=",
            Self::Lt => "<",
            Self::LtEq => "<=",
            Self::Gt => ">",
            Self::GtEq => ">=",
            Self::StartsWith => "STARTS_WITH",
            Self::NotStartsWith => "NOT STARTS_WITH",
        }
    }
}

/// A condition.
#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    /// All of them, at least two.
    And(Vec<Expr>),
    /// One of them, at least two.
    Or(Vec<Expr>),
    /// Not this.
    Not(Box<Expr>),
    /// `Attribute = 'value'` and the like.
    Compare {
        /// What is compared.
        attribute: Attribute,
        /// How.
        operator: Operator,
        /// With what.
        value: Operand,
        /// The whole condition.
        span: Span,
    },
    /// `Attribute IN ('a', 'b')`.
    In {
        /// What is compared.
        attribute: Attribute,
        /// `NOT IN`.
        negated: bool,
        /// With what.
        list: List,
        /// The whole condition.
        span: Span,
    },
    /// `Attribute BETWEEN 1 AND 2`, both included.
    Between {
        /// What is compared.
        attribute: Attribute,
        /// `NOT BETWEEN`.
        negated: bool,
        /// From.
        low: Operand,
        /// To.
        high: Operand,
        /// The whole condition.
        span: Span,
    },
    /// `Attribute IS NULL`.
    IsNull {
        /// What is asked.
        attribute: Attribute,
        /// `IS NOT NULL`.
        negated: bool,
        /// The whole condition.
        span: Span,
    },
    /// A filter that is still to be filled in.
    Fragment(Hole),
    /// Always, or never.
    Constant {
        /// Which.
        value: bool,
        /// Whose empty list decided it.
        origin: Origin,
    },
}

impl Expr {
    /// `attribute OPERATOR value`, not read from a text.
    pub fn compare(attribute: &str, operator: Operator, value: impl Into<Literal>) -> Self {
        Self::Compare {
            attribute: Attribute::new(attribute),
            operator,
            value: Operand::literal(value),
            span: Span::default(),
        }
    }

    /// `attribute IN (values)`, not read from a text; none at all is never true.
    pub fn one_of<L: Into<Literal>>(attribute: &str, values: impl IntoIterator<Item = L>) -> Self {
        Self::In {
            attribute: Attribute::new(attribute),
            negated: false,
            list: List::items(values.into_iter().map(Operand::literal).collect()),
            span: Span::default(),
        }
    }

    /// True or false for every row.
    pub fn constant(value: bool) -> Self {
        Self::Constant {
            value,
            origin: Origin::default(),
        }
    }

    /// All of them.
    pub fn all(mut parts: Vec<Self>) -> Self {
        match parts.len() {
            0 => Self::constant(true),
            1 => parts.remove(0),
            _ => Self::And(parts),
        }
    }

    /// At least one of them.
    pub fn any(mut parts: Vec<Self>) -> Self {
        match parts.len() {
            0 => Self::constant(false),
            1 => parts.remove(0),
            _ => Self::Or(parts),
        }
    }

    /// Where it stands; for several conditions, from the first to the last.
    pub fn span(&self) -> Span {
        match self {
            Self::And(parts) | Self::Or(parts) => match (parts.first(), parts.last()) {
                (Some(first), Some(last)) => first.span().to(last.span()),
                _ => Span::default(),
            },
            Self::Not(inner) => inner.span(),
            Self::Compare { span, .. }
            | Self::In { span, .. }
            | Self::Between { span, .. }
            | Self::IsNull { span, .. } => *span,
            Self::Fragment(hole) => hole.span,
            Self::Constant { .. } => Span::default(),
        }
    }

    /// Calls `visit` on this condition and on all within, in the order of the text.
    pub fn walk<'a>(&'a self, visit: &mut dyn FnMut(&'a Self)) {
        visit(self);
        match self {
            Self::And(parts) | Self::Or(parts) => parts.iter().for_each(|part| part.walk(visit)),
            Self::Not(inner) => inner.walk(visit),
            _ => {}
        }
    }

    /// The attribute of a single condition.
    pub fn attribute(&self) -> Option<&Attribute> {
        match self {
            Self::Compare { attribute, .. }
            | Self::In { attribute, .. }
            | Self::Between { attribute, .. }
            | Self::IsNull { attribute, .. } => Some(attribute),
            _ => None,
        }
    }

    /// The values of a single condition, in order; none for a list that is a hole.
    pub(super) fn operands(&self) -> Vec<&Operand> {
        match self {
            Self::Compare { value, .. } => vec![value],
            Self::In {
                list: List::Items { items, .. },
                ..
            } => items.iter().collect(),
            Self::Between { low, high, .. } => vec![low, high],
            _ => Vec::new(),
        }
    }
}

/// A List Filter: the root of the AST.
#[derive(Clone, Debug, PartialEq)]
pub struct Filter {
    pub(super) expr: Expr,
}

impl Filter {
    /// A filter of one condition, however deep.
    pub fn new(expr: Expr) -> Self {
        Self { expr }
    }

    /// The condition.
    pub fn expr(&self) -> &Expr {
        &self.expr
    }

    /// Matches every row: what the service takes an empty text for.
    pub fn everything() -> Self {
        Self::new(Expr::constant(true))
    }

    /// Rows that both match: a scope and a row of a decision table.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self::all([self, other])
    }

    /// Rows that all match; every row where there is none.
    pub fn all(filters: impl IntoIterator<Item = Self>) -> Self {
        let mut parts = Vec::new();
        for filter in filters {
            match filter.expr {
                Expr::And(inner) => parts.extend(inner),
                Expr::Constant { value: true, .. } => {}
                other => parts.push(other),
            }
        }
        Self::new(Expr::all(parts))
    }

    /// Rows that at least one matches; no row where there is none.
    pub fn any(filters: impl IntoIterator<Item = Self>) -> Self {
        Self::new(Expr::any(
            filters.into_iter().map(|filter| filter.expr).collect(),
        ))
    }

    /// Rows that it does not match (nor those where it is unknown, see [`Filter::matches`]).
    #[must_use]
    pub fn negate(self) -> Self {
        Self::new(Expr::Not(Box::new(self.expr)))
    }
}

impl From<Expr> for Filter {
    fn from(expr: Expr) -> Self {
        Self::new(expr)
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render())
    }
}

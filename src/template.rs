//! `${{ }}`: where expressions stand in a text, what they read, and their type as far as it can be known
//! without running them.
//!
//! The language is minijinja's expressions, without statements; only the filters, tests and functions
//! listed here exist. No type of minijinja leaves this module except through [`environment`]. Knows
//! nothing of runbooks: names are resolved by the caller.

use std::ops::Range;

use minijinja::machinery::ast::{self, BinOpKind, CallArg, Expr, UnaryOpKind};
use minijinja::value::ValueKind;
use minijinja::{Environment, UndefinedBehavior};

/// Filters that an expression may use.
pub const FILTERS: &[&str] = &[
    "abs",
    "default",
    "first",
    "float",
    "from_json",
    "int",
    "items",
    "join",
    "last",
    "length",
    "list",
    "lower",
    "max",
    "min",
    "replace",
    "round",
    "sort",
    "split",
    "string",
    "sum",
    "trim",
    "unique",
    "upper",
];
/// Tests (`x is …`) that an expression may use.
pub const TESTS: &[&str] = &[
    "defined",
    "undefined",
    "none",
    "boolean",
    "number",
    "integer",
    "float",
    "string",
    "sequence",
    "mapping",
    "startingwith",
    "endingwith",
    "in",
    "true",
    "false",
];
/// Longest expression, in bytes.
const LONGEST: usize = 4_000;

/// A piece of a text that may hold expressions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Literal text.
    Text(Range<usize>),
    /// An expression.
    Hole {
        /// With `${{` and `}}`.
        outer: Range<usize>,
        /// Between them, trimmed.
        inner: Range<usize>,
    },
}

/// What is wrong with an expression, and where in the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Bytes of the text.
    pub range: Range<usize>,
    /// What.
    pub message: String,
}

/// Splits a text at its expressions.
pub fn split(text: &str) -> Result<Vec<Piece>, Problem> {
    let mut pieces = Vec::new();
    let mut at = 0;
    while let Some(found) = text[at..].find("${{") {
        let start = at + found;
        if start > at {
            pieces.push(Piece::Text(at..start));
        }
        let Some(end) = closing(text, start + 3) else {
            let range = start..start + 3;
            return Err(Problem {
                range,
                message: "`${{` without `}}`".to_owned(),
            });
        };
        pieces.push(Piece::Hole {
            outer: start..end + 2,
            inner: trimmed(text, start + 3..end),
        });
        at = end + 2;
    }
    if at < text.len() {
        pieces.push(Piece::Text(at..text.len()));
    }
    Ok(pieces)
}

/// The offset of the `}}` that closes an expression: strings are skipped, braces are counted.
fn closing(text: &str, from: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let (mut at, mut depth, mut quote) = (from, 0_usize, None);
    while at < bytes.len() {
        match (quote, bytes[at]) {
            (Some(_), b'\\') => at += 1,
            (Some(open), byte) if byte == open => quote = None,
            (Some(_), _) => {}
            (None, byte @ (b'\'' | b'"')) => quote = Some(byte),
            (None, b'{') => depth += 1,
            (None, b'}') if depth > 0 => depth -= 1,
            (None, b'}') if bytes.get(at + 1) == Some(&b'}') => return Some(at),
            (None, _) => {}
        }
        at += 1;
    }
    None
}

fn trimmed(text: &str, range: Range<usize>) -> Range<usize> {
    let inner = &text[range.clone()];
    let start = range.start + (inner.len() - inner.trim_start().len());
    start..start + inner.trim().len()
}

/// The expression, if the whole text is exactly one.
pub fn sole(text: &str) -> Option<Range<usize>> {
    let start = text.len() - text.trim_start().len();
    let end = start + text.trim().len();
    match split(text)
        .ok()?
        .iter()
        .find(|piece| matches!(piece, Piece::Hole { .. }))?
    {
        Piece::Hole { outer, inner } if *outer == (start..end) => Some(inner.clone()),
        _ => None,
    }
}

/// The type of an expression, as far as it is known.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Type {
    Boolean,
    Number,
    Text,
    List,
    Map,
    Nothing,
    Unknown,
    /// That of a read, by its index in [`Expression::reads`].
    Read(usize),
    /// One of two.
    Either(Box<Type>, Box<Type>),
}

/// A name that an expression reads: `steps.drainage.status`.
#[derive(Clone, Debug, PartialEq)]
pub struct Read {
    /// Names in order, each with its bytes in the text.
    pub path: Vec<(String, Range<usize>)>,
    /// Whether more follows that is only known when it runs (`x[y]`).
    pub open: bool,
    /// Where the last bracket or name ends.
    pub end: usize,
}

impl Read {
    /// The n-th name.
    pub fn name(&self, index: usize) -> Option<&str> {
        self.path.get(index).map(|(name, _)| name.as_str())
    }

    /// All of it.
    pub fn range(&self) -> Range<usize> {
        let start = self.path.first().map_or(0, |(_, range)| range.start);
        start..self.path.last().map_or(start, |(_, range)| range.end)
    }
}

/// What a parsed expression reads and gives.
#[derive(Clone, Debug, PartialEq)]
pub struct Expression {
    /// Names that it reads.
    pub reads: Vec<Read>,
    /// Its type.
    pub kind: Type,
    /// Unknown filters, tests and functions, with what exists.
    pub unknown: Vec<(Problem, String, &'static [&'static str])>,
}

/// Parses an expression; ranges are bytes of `text`, plus `offset`.
pub fn parse(text: &str, offset: usize) -> Result<Expression, Problem> {
    let whole = offset..offset + text.len();
    let problem = |message: &str| Problem {
        range: whole.clone(),
        message: message.to_owned(),
    };
    if text.trim().is_empty() {
        return Err(problem("an empty expression"));
    }
    if text.len() > LONGEST {
        return Err(problem("an expression of more than 4,000 characters"));
    }
    let parsed = minijinja::machinery::parse_expr(text).map_err(|error| {
        let range = error.range().unwrap_or(0..text.len());
        let start = range.start.min(text.len().saturating_sub(1));
        let end = range.end.clamp(start + 1, text.len().max(start + 1));
        let detail = error.detail().unwrap_or("syntax error");
        Problem {
            range: offset + start..offset + end,
            message: format!("the expression does not parse: {detail}"),
        }
    })?;
    let mut walk = Walk {
        text,
        offset,
        reads: Vec::new(),
        unknown: Vec::new(),
    };
    let kind = walk.expression(&parsed);
    Ok(Expression {
        reads: walk.reads,
        kind,
        unknown: walk.unknown,
    })
}

struct Walk<'t> {
    text: &'t str,
    offset: usize,
    reads: Vec<Read>,
    unknown: Vec<(Problem, String, &'static [&'static str])>,
}

impl Walk<'_> {
    fn range(&self, span: minijinja::machinery::Span) -> Range<usize> {
        self.offset + span.start_offset as usize..self.offset + span.end_offset as usize
    }

    fn expression(&mut self, expression: &Expr<'_>) -> Type {
        if let Some(read) = self.read(expression) {
            self.reads.push(read);
            return Type::Read(self.reads.len() - 1);
        }
        match expression {
            Expr::Const(constant) => constant_type(constant.value.kind()),
            Expr::Compare(compare) => {
                self.expression(&compare.expr);
                compare
                    .ops
                    .iter()
                    .for_each(|op| drop(self.expression(&op.expr)));
                Type::Boolean
            }
            Expr::UnaryOp(operation) => {
                self.expression(&operation.expr);
                if matches!(operation.op, UnaryOpKind::Not) {
                    Type::Boolean
                } else {
                    Type::Number
                }
            }
            Expr::BinOp(operation) => self.binary(operation),
            Expr::IfExpr(choice) => {
                self.expression(&choice.test_expr);
                let yes = self.expression(&choice.true_expr);
                let no = choice
                    .false_expr
                    .as_ref()
                    .map_or(Type::Nothing, |other| self.expression(other));
                Type::Either(Box::new(yes), Box::new(no))
            }
            Expr::Filter(filter) => self.filter(filter),
            Expr::Test(test) => {
                self.expression(&test.expr);
                self.arguments(&test.args);
                self.known(
                    test.name,
                    TESTS,
                    "test",
                    self.offset + test.expr.span().end_offset as usize,
                );
                Type::Boolean
            }
            Expr::List(list) => {
                list.items
                    .iter()
                    .for_each(|item| drop(self.expression(item)));
                Type::List
            }
            Expr::Tuple(tuple) => {
                tuple
                    .items
                    .iter()
                    .for_each(|item| drop(self.expression(item)));
                Type::List
            }
            Expr::Map(map) => {
                map.keys
                    .iter()
                    .chain(&map.values)
                    .for_each(|item| drop(self.expression(item)));
                Type::Map
            }
            Expr::Slice(slice) => {
                let kind = self.expression(&slice.expr);
                [&slice.start, &slice.stop, &slice.step]
                    .into_iter()
                    .flatten()
                    .for_each(|part| drop(self.expression(part)));
                kind
            }
            Expr::Call(call) => self.call(call),
            Expr::GetAttr(attribute) => {
                self.expression(&attribute.expr);
                Type::Unknown
            }
            Expr::GetItem(item) => {
                self.expression(&item.expr);
                self.expression(&item.subscript_expr);
                Type::Unknown
            }
            Expr::Var(_) => Type::Unknown,
        }
    }

    fn binary(&mut self, operation: &ast::BinOp<'_>) -> Type {
        let left = self.expression(&operation.left);
        let right = self.expression(&operation.right);
        match operation.op {
            BinOpKind::ScAnd | BinOpKind::ScOr => Type::Either(Box::new(left), Box::new(right)),
            BinOpKind::Concat => Type::Text,
            BinOpKind::Add if left == Type::Number || right == Type::Number => Type::Number,
            BinOpKind::Add => Type::Either(Box::new(left), Box::new(right)),
            BinOpKind::Mul if left != Type::Number => Type::Unknown,
            BinOpKind::Sub
            | BinOpKind::Mul
            | BinOpKind::Div
            | BinOpKind::FloorDiv
            | BinOpKind::Rem
            | BinOpKind::Pow => Type::Number,
            BinOpKind::Eq
            | BinOpKind::Ne
            | BinOpKind::Lt
            | BinOpKind::Lte
            | BinOpKind::Gt
            | BinOpKind::Gte
            | BinOpKind::In => Type::Boolean,
        }
    }

    fn filter(&mut self, filter: &ast::Filter<'_>) -> Type {
        let of = filter
            .expr
            .as_ref()
            .map_or(Type::Unknown, |inner| self.expression(inner));
        self.arguments(&filter.args);
        let after = filter
            .expr
            .as_ref()
            .map_or(0, |inner| inner.span().end_offset as usize);
        self.known(filter.name, FILTERS, "filter", self.offset + after);
        match filter.name {
            "length" | "int" | "float" | "abs" | "round" | "sum" => Type::Number,
            "lower" | "upper" | "trim" | "join" | "replace" | "string" => Type::Text,
            "list" | "sort" | "unique" | "items" | "split" => Type::List,
            "default" => {
                let other = filter.args.first().map_or(Type::Text, |_| Type::Unknown);
                Type::Either(Box::new(of), Box::new(other))
            }
            _ => Type::Unknown,
        }
    }

    fn call(&mut self, call: &ast::Call<'_>) -> Type {
        self.arguments(&call.args);
        let range = self.range(call.expr.span());
        let text = self
            .text
            .get(range.start - self.offset..range.end - self.offset)
            .unwrap_or_default();
        let message = format!(
            "no function `{text}`: expressions have filters (`x | length`) and tests (`x is defined`)"
        );
        self.unknown
            .push((Problem { range, message }, text.to_owned(), &[]));
        Type::Unknown
    }

    fn arguments(&mut self, arguments: &[CallArg<'_>]) {
        for argument in arguments {
            match argument {
                CallArg::Pos(inner)
                | CallArg::Kwarg(_, inner)
                | CallArg::PosSplat(inner)
                | CallArg::KwargSplat(inner) => {
                    self.expression(inner);
                }
            }
        }
    }

    /// Notes a filter or test that does not exist; its bytes are found in the text after `from`.
    fn known(&mut self, name: &str, known: &'static [&'static str], what: &str, from: usize) {
        if known.contains(&name) {
            return;
        }
        let from = from - self.offset;
        let start = self
            .text
            .get(from..)
            .and_then(|rest| rest.find(name))
            .map_or(0, |found| from + found);
        let range = self.offset + start..self.offset + start + name.len();
        self.unknown.push((
            Problem {
                range,
                message: format!("unknown {what} `{name}`"),
            },
            name.to_owned(),
            known,
        ));
    }

    /// `a.b["c"]` as one read; none where it does not start at a name.
    fn read(&mut self, expression: &Expr<'_>) -> Option<Read> {
        match expression {
            Expr::Var(variable) => {
                let range = self.range(variable.span());
                let end = range.end;
                Some(Read {
                    path: vec![(variable.id.to_owned(), range)],
                    open: false,
                    end,
                })
            }
            Expr::GetAttr(attribute) => {
                let mut read = self.read(&attribute.expr)?;
                if !read.open {
                    let end = self.range(attribute.span()).end;
                    read.end = end;
                    read.path.push((
                        attribute.name.to_owned(),
                        end.saturating_sub(attribute.name.len())..end,
                    ));
                }
                Some(read)
            }
            Expr::GetItem(item) => {
                let mut read = self.read(&item.expr)?;
                match &item.subscript_expr {
                    Expr::Const(constant) if !read.open && constant.value.as_str().is_some() => {
                        let name = constant.value.as_str().unwrap_or_default().to_owned();
                        read.path
                            .push((name, self.range(item.subscript_expr.span())));
                        read.end = self.range(item.span()).end;
                    }
                    subscript => {
                        self.expression(subscript);
                        read.open = true;
                    }
                }
                Some(read)
            }
            _ => None,
        }
    }
}

fn constant_type(kind: ValueKind) -> Type {
    match kind {
        ValueKind::Bool => Type::Boolean,
        ValueKind::Number => Type::Number,
        ValueKind::String => Type::Text,
        ValueKind::Seq => Type::List,
        ValueKind::Map => Type::Map,
        ValueKind::None => Type::Nothing,
        _ => Type::Unknown,
    }
}

/// The environment in which expressions run: the listed filters and tests, strict about undefined names.
pub(crate) fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_debug(false);
    for name in ["range", "dict", "debug", "namespace"] {
        environment.remove_global(name);
    }
    environment.add_filter("from_json", from_json);
    environment
}

/// The value that a text holds as JSON: `-p input=@FILE` becomes an argument this way. The error says where,
/// not what: the text may hold secrets.
fn from_json(text: &str) -> Result<minijinja::Value, minijinja::Error> {
    serde_json::from_str::<serde_json::Value>(text)
        .map(|value| minijinja::Value::from(minijinja::value::Serde(value)))
        .map_err(|error| {
            let detail = format!(
                "the text is not JSON (line {}, column {})",
                error.line(),
                error.column()
            );
            minijinja::Error::new(minijinja::ErrorKind::InvalidOperation, detail)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_may_hold_json() {
        let environment = environment();
        let read = |text: &str| {
            let compiled = environment.compile_expression("text | from_json");
            let value = compiled.unwrap().eval(minijinja::context! { text })?;
            Ok::<_, minijinja::Error>(serde_json::to_value(value).unwrap())
        };
        let value = serde_json::json!({ "points": 100, "to": ["a", null], "big": 9_007_199_254_740_993_i64 });
        assert_eq!(read(&value.to_string()).unwrap(), value);
        let error = read("{\n \"password\": hunter2}").unwrap_err();
        assert_eq!(
            error.detail(),
            Some("the text is not JSON (line 2, column 14)")
        );
    }

    #[test]
    fn splits_at_expressions() {
        let text = "a ${{ b }}c${{ {'x': '}}'}['x'] }}";
        let pieces = split(text).unwrap();
        let inner: Vec<_> = pieces
            .iter()
            .filter_map(|piece| match piece {
                Piece::Hole { inner, .. } => Some(&text[inner.clone()]),
                Piece::Text(_) => None,
            })
            .collect();
        assert_eq!(inner, ["b", "{'x': '}}'}['x']"]);
        assert_eq!(split("a ${{ b").unwrap_err().range, 2..5);
    }

    #[test]
    fn a_sole_expression_may_have_space_around_it() {
        assert_eq!(sole(" ${{ a }} "), Some(5..6));
        assert_eq!(sole("${{ a }}b"), None);
        assert_eq!(sole("${{ a }}${{ b }}"), None);
    }

    #[test]
    fn reads_have_exact_ranges() {
        let text = "steps.a.b + params[\"c\"] == vars.d[vars.e].f";
        let expression = parse(text, 0).unwrap();
        let reads: Vec<_> = expression
            .reads
            .iter()
            .map(|read| &text[read.range()])
            .collect();
        assert_eq!(reads, ["steps.a.b", "params[\"c\"", "vars.e", "vars.d"]);
        let names: Vec<_> = expression.reads[0]
            .path
            .iter()
            .map(|(_, range)| &text[range.clone()])
            .collect();
        assert_eq!(names, ["steps", "a", "b"]);
        assert_eq!(expression.kind, Type::Boolean);
    }

    #[test]
    fn unknown_filters_tests_and_functions_are_named() {
        let text = "a | lenght > 1 and b is defned and f(c)";
        let expression = parse(text, 0).unwrap();
        let found: Vec<_> = expression
            .unknown
            .iter()
            .map(|(problem, ..)| &text[problem.range.clone()])
            .collect();
        assert_eq!(found, ["lenght", "defned", "f"]);
    }

    #[test]
    fn what_does_not_parse_says_where() {
        let problem = parse("a ==", 10).unwrap_err();
        assert!(problem.message.contains("unexpected end"), "{problem:?}");
        assert!(problem.range.start >= 10);
    }

    #[test]
    fn every_listed_filter_and_test_exists() {
        let environment = environment();
        for name in FILTERS {
            assert!(
                environment
                    .compile_expression(&format!("x | {name}"))
                    .is_ok()
            );
            let error = environment
                .compile_expression(&format!("[1] | {name}"))
                .unwrap()
                .eval(())
                .err();
            assert_ne!(
                error.map(|e| e.kind()),
                Some(minijinja::ErrorKind::UnknownFilter),
                "{name}"
            );
        }
        for name in TESTS {
            let error = environment
                .compile_expression(&format!("[1] is {name}"))
                .unwrap()
                .eval(())
                .err();
            assert_ne!(
                error.map(|e| e.kind()),
                Some(minijinja::ErrorKind::UnknownTest),
                "{name}"
            );
        }
    }
}

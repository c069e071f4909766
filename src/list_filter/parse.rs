//! Tokens → AST, by recursive descent; the first thing that is not grammar is the problem.
//! What is grammar but not sense (names, types, statuses) is found by `check`, all of it at once.

use super::ast::{Attribute, Expr, Filter, List, Literal, Operand, Operator, Part, Problem, Span};
use super::token::{Holes, Kind, Token, tokenize};

/// How deep parentheses and `NOT` may be nested; at 200 the service refuses.
pub const MAX_DEPTH: usize = 199;

/// A filter for CountWorkflowExecutions.
#[derive(Clone, Debug, PartialEq)]
pub struct CountFilter {
    /// What is counted.
    pub filter: Filter,
    /// `GROUP BY ExecutionStatus`, the only grouping that the service knows.
    pub by_status: bool,
}

/// Reads a filter as the service does. An empty text matches everything.
///
/// # Errors
/// The first problem of grammar, or else all problems of names, types and values, in order.
pub fn parse(text: &str) -> Result<Filter, Vec<Problem>> {
    checked(Parser::new(text, Holes::Refused)?.filter()?)
}

/// Reads a filter that may have holes. An empty one is a problem: who means all Workflows says so.
///
/// # Errors
/// As [`parse`].
pub fn parse_template(text: &str) -> Result<Filter, Vec<Problem>> {
    if text.trim().is_empty() {
        let problem = Problem::new(
            Span::new(0, text.len()),
            "an empty List Filter matches every Workflow",
        );
        return Err(vec![
            problem.expected("a condition, such as `ExecutionStatus = 'Running'`"),
        ]);
    }
    checked(Parser::new(text, Holes::Allowed)?.filter()?)
}

/// Reads a filter for a count, which may end in `GROUP BY ExecutionStatus`.
///
/// # Errors
/// As [`parse`].
pub fn parse_count(text: &str) -> Result<CountFilter, Vec<Problem>> {
    let (filter, by_status) = Parser::new(text, Holes::Refused)?.count()?;
    Ok(CountFilter {
        filter: checked(filter)?,
        by_status,
    })
}

/// Reads what [`Filter::render`] wrote: only its grammar can be wrong.
pub(super) fn parse_rendered(text: &str) -> Result<Filter, Vec<Problem>> {
    Ok(Parser::new(text, Holes::Allowed)?.filter()?)
}

fn checked(filter: Filter) -> Result<Filter, Vec<Problem>> {
    let problems = filter.check();
    if problems.is_empty() {
        Ok(filter)
    } else {
        Err(problems)
    }
}

/// One problem of grammar as the list that the public functions return.
struct Syntax(Problem);

impl From<Syntax> for Vec<Problem> {
    fn from(syntax: Syntax) -> Self {
        vec![syntax.0]
    }
}

impl From<Problem> for Syntax {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

type Parsed<T> = Result<T, Syntax>;

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
}

impl Parser {
    fn new(text: &str, holes: Holes) -> Parsed<Self> {
        Ok(Self {
            tokens: tokenize(text, holes)?,
            at: 0,
            depth: 0,
        })
    }

    fn filter(mut self) -> Parsed<Filter> {
        if matches!(self.kind(), Kind::End) {
            return Ok(Filter::everything());
        }
        let expr = self.or()?;
        self.end()?;
        Ok(Filter::new(expr))
    }

    fn count(mut self) -> Parsed<(Filter, bool)> {
        let grouped = |parser: &Self| parser.word_is("GROUP");
        let expr = if matches!(self.kind(), Kind::End) || grouped(&self) {
            Expr::constant(true)
        } else {
            self.or()?
        };
        let by_status = grouped(&self);
        if by_status {
            self.group_by()?;
        }
        self.end()?;
        Ok((Filter::new(expr), by_status))
    }

    fn group_by(&mut self) -> Parsed<()> {
        self.advance();
        if !self.take_word("BY") {
            return self.fail("`GROUP` is followed by `BY`", "`BY ExecutionStatus`");
        }
        let token = self.advance();
        match &token.kind {
            Kind::Word(name) | Kind::Name(name) if name == super::attributes::STATUS => {}
            _ => {
                let problem =
                    Problem::new(token.span, "the service groups only by ExecutionStatus");
                return Err(problem.suggest(Some("ExecutionStatus".to_owned())).into());
            }
        }
        if matches!(self.kind(), Kind::Symbol(",")) {
            return self.fail(
                "the service groups by one attribute only",
                "the end of the filter",
            );
        }
        Ok(())
    }

    fn or(&mut self) -> Parsed<Expr> {
        let mut parts = vec![self.and()?];
        while self.take_word("OR") || self.take("||") {
            parts.push(self.and()?);
        }
        Ok(Expr::any(parts))
    }

    fn and(&mut self) -> Parsed<Expr> {
        let mut parts = vec![self.not()?];
        while self.take_word("AND") || self.take("&&") {
            parts.push(self.not()?);
        }
        Ok(Expr::all(parts))
    }

    fn not(&mut self) -> Parsed<Expr> {
        if self.word_is("NOT") {
            let span = self.advance().span;
            return self.nested(span, |parser| Ok(Expr::Not(Box::new(parser.not()?))));
        }
        self.primary()
    }

    fn nested(
        &mut self,
        span: Span,
        inner: impl FnOnce(&mut Self) -> Parsed<Expr>,
    ) -> Parsed<Expr> {
        if self.depth == MAX_DEPTH {
            let message =
                format!("this is nested more than {MAX_DEPTH} deep, which the service refuses");
            return Err(Problem::new(span, message).into());
        }
        self.depth += 1;
        let expr = inner(self)?;
        self.depth -= 1;
        Ok(expr)
    }

    fn primary(&mut self) -> Parsed<Expr> {
        let token = self.advance();
        match token.kind {
            Kind::Symbol("(") => self.nested(token.span, |parser| parser.parenthesised(token.span)),
            Kind::Hole(hole) => {
                if self.operator_follows() {
                    let problem = Problem::new(
                        hole.span,
                        "the name of an attribute cannot be an expression",
                    );
                    return Err(problem.expected("the name of a Search Attribute").into());
                }
                Ok(Expr::Fragment(hole))
            }
            Kind::Name(name) => self.condition(Attribute {
                name,
                span: token.span,
            }),
            Kind::Word(name) if !is_reserved(&name) => self.condition(Attribute {
                name,
                span: token.span,
            }),
            _ => Err(self.no_condition(&token).into()),
        }
    }

    fn parenthesised(&mut self, open: Span) -> Parsed<Expr> {
        let expr = self.or()?;
        if self.take(")") {
            return Ok(expr);
        }
        if matches!(self.kind(), Kind::End) {
            let problem = Problem::new(open, "this parenthesis is not closed");
            return Err(problem.expected("`)`").into());
        }
        Err(self.leftover().into())
    }

    /// Why a condition cannot begin with this token.
    fn no_condition(&self, token: &Token) -> Problem {
        let problem = |message: &str| {
            Problem::new(token.span, message)
                .expected("a condition, such as `ExecutionStatus = 'Running'`")
        };
        match &token.kind {
            Kind::End => problem("a condition is missing at the end"),
            Kind::Quoted(_) | Kind::Number(_) => {
                problem("the attribute stands on the left, the value on the right")
            }
            Kind::Symbol(")") => problem("a condition is missing before this parenthesis"),
            Kind::Symbol("!") => {
                problem("`!` is not a List Filter operator").suggest(Some("NOT ".to_owned()))
            }
            Kind::Word(word) if clause(word).is_some() => self.clause_problem(token),
            Kind::Word(word)
                if word.eq_ignore_ascii_case("true") || word.eq_ignore_ascii_case("false") =>
            {
                problem("a bare truth value is not a condition")
            }
            Kind::Word(word) => problem(&format!("`{word}` cannot begin a condition")),
            Kind::Symbol(symbol) => problem(&format!("`{symbol}` cannot begin a condition")),
            Kind::Name(_) | Kind::Hole(_) => problem("a condition cannot begin here"),
        }
    }

    fn condition(&mut self, attribute: Attribute) -> Parsed<Expr> {
        let start = attribute.span;
        if self.take_word("IS") {
            return self.is_null(attribute);
        }
        let negated = self.take_word("NOT");
        if self.take_word("IN") {
            let list = self.list()?;
            return Ok(Expr::In {
                attribute,
                negated,
                list,
                span: start.to(self.last()),
            });
        }
        if self.take_word("BETWEEN") {
            return self.between(attribute, negated);
        }
        let operator = match (self.take_word("STARTS_WITH"), negated) {
            (true, false) => Operator::StartsWith,
            (true, true) => Operator::NotStartsWith,
            (false, true) => return Err(self.no_operator(true).into()),
            (false, false) => self.operator()?,
        };
        let value = self.operand()?;
        Ok(Expr::Compare {
            attribute,
            operator,
            value,
            span: start.to(self.last()),
        })
    }

    fn is_null(&mut self, attribute: Attribute) -> Parsed<Expr> {
        let negated = self.take_word("NOT");
        if !self.take_word("NULL") {
            return self.fail("`IS` asks only for NULL", "`IS NULL` or `IS NOT NULL`");
        }
        let span = attribute.span.to(self.last());
        Ok(Expr::IsNull {
            attribute,
            negated,
            span,
        })
    }

    fn between(&mut self, attribute: Attribute, negated: bool) -> Parsed<Expr> {
        let low = self.operand()?;
        if !self.take_word("AND") {
            return self.fail("`BETWEEN` has two bounds", "`AND` and the upper bound");
        }
        let high = self.operand()?;
        let span = attribute.span.to(self.last());
        Ok(Expr::Between {
            attribute,
            negated,
            low,
            high,
            span,
        })
    }

    fn operator(&mut self) -> Parsed<Operator> {
        let operator = match self.kind() {
            Kind::Symbol("=") => Operator::Eq,
            Kind::Symbol("!=" | "<>") => Operator::NotEq,
            Kind::Symbol("<") => Operator::Lt,
            Kind::Symbol("<=") => Operator::LtEq,
            Kind::Symbol(">") => Operator::Gt,
            Kind::Symbol(">=") => Operator::GtEq,
            _ => return Err(self.no_operator(false).into()),
        };
        self.advance();
        Ok(operator)
    }

    /// Why this is no operator, and what to write instead.
    fn no_operator(&self, negated: bool) -> Problem {
        const ALL: &str =
            "one of = != < <= > >= IN, NOT IN, BETWEEN, STARTS_WITH, IS NULL, IS NOT NULL";
        let token = self.peek();
        let named = match &token.kind {
            Kind::Word(word) => word.clone(),
            Kind::Symbol(symbol) => (*symbol).to_owned(),
            Kind::End => {
                return Problem::new(token.span, "an operator is missing at the end").expected(ALL);
            }
            _ => return Problem::new(token.span, "an operator is missing here").expected(ALL),
        };
        let unknown = Problem::new(
            token.span,
            format!("`{named}` is not a List Filter operator"),
        );
        match named.to_ascii_uppercase().as_str() {
            "==" | "===" | "<=>" => unknown.expected("`=`").suggest(Some("=".to_owned())),
            "LIKE" | "ILIKE" | "STARTSWITH" | "STARTS" | "BEGINS_WITH" => unknown
                .expected("`STARTS_WITH 'prefix'`")
                .suggest(Some("STARTS_WITH".to_owned())),
            "=~" | "!~" | "~" | "REGEXP" | "RLIKE" | "MATCHES" => {
                unknown.expected("`STARTS_WITH 'prefix'`; there are no patterns")
            }
            "CONTAINS" | "HAS" | "INCLUDES" => {
                unknown.expected("`=`, which on a KeywordList asks for a member")
            }
            "EQUALS" | "EQ" => unknown.expected("`=`").suggest(Some("=".to_owned())),
            "!" if !negated => unknown
                .expected("`!=` or NOT IN")
                .suggest(Some("!=".to_owned())),
            _ => unknown.expected(ALL),
        }
    }

    fn list(&mut self) -> Parsed<List> {
        let token = self.advance();
        match token.kind {
            Kind::Hole(hole) => return Ok(List::Hole(hole)),
            Kind::Symbol("(") => {}
            _ => {
                let problem = Problem::new(token.span, "`IN` is followed by a list in parentheses");
                return Err(problem.expected("`('a', 'b')`").into());
            }
        }
        if self.take(")") {
            let problem = Problem::new(
                token.span.to(self.last()),
                "the service refuses an empty `IN ()`",
            );
            return Err(problem.expected("at least one value").into());
        }
        let mut items = vec![self.item(token.span)?];
        while !self.take(")") {
            if matches!(self.kind(), Kind::End) {
                let problem = Problem::new(token.span, "this parenthesis is not closed");
                return Err(problem.expected("`)`").into());
            }
            if !self.take(",") {
                return self.fail("the values of a list are separated by commas", "`,` or `)`");
            }
            items.push(self.item(token.span)?);
        }
        Ok(List::items(items))
    }

    fn item(&mut self, open: Span) -> Parsed<Operand> {
        match self.kind() {
            Kind::End => {
                let problem = Problem::new(open, "this parenthesis is not closed");
                Err(problem.expected("`)`").into())
            }
            Kind::Symbol(")") => self.fail("a value is missing after the comma", "a value"),
            _ => self.operand(),
        }
    }

    fn operand(&mut self) -> Parsed<Operand> {
        let token = self.advance();
        let span = token.span;
        match token.kind {
            Kind::Quoted(parts) => Ok(text_operand(parts, span)),
            Kind::Number(value) => Ok(Operand::Literal { value, span }),
            Kind::Hole(hole) => Ok(Operand::Hole(hole)),
            Kind::Symbol(sign @ ("-" | "+")) => self.signed(span, sign == "-"),
            Kind::Word(word) if word.eq_ignore_ascii_case("true") => Ok(Operand::Literal {
                value: Literal::Bool(true),
                span,
            }),
            Kind::Word(word) if word.eq_ignore_ascii_case("false") => Ok(Operand::Literal {
                value: Literal::Bool(false),
                span,
            }),
            kind => Err(no_value(&kind, span).into()),
        }
    }

    fn signed(&mut self, sign: Span, negative: bool) -> Parsed<Operand> {
        let token = self.advance();
        let span = sign.to(token.span);
        let Kind::Number(value) = token.kind else {
            return Err(Problem::new(span, "a sign is followed by a number")
                .expected("a number")
                .into());
        };
        Ok(Operand::Literal {
            value: if negative {
                negate(value, token.span.range().len())
            } else {
                value
            },
            span,
        })
    }

    /// Whether an operator comes next: then what came before was meant as a name.
    fn operator_follows(&self) -> bool {
        match self.kind() {
            Kind::Symbol("=" | "==" | "!=" | "<>" | "<" | "<=" | ">" | ">=") => true,
            Kind::Word(word) => ["IN", "NOT", "BETWEEN", "STARTS_WITH", "IS", "LIKE"]
                .iter()
                .any(|operator| word.eq_ignore_ascii_case(operator)),
            _ => false,
        }
    }

    fn end(&self) -> Parsed<()> {
        match self.kind() {
            Kind::End => Ok(()),
            _ => Err(self.leftover().into()),
        }
    }

    /// Why the text cannot go on like this after a complete condition.
    fn leftover(&self) -> Problem {
        let token = self.peek();
        match &token.kind {
            Kind::Symbol(")") => Problem::new(token.span, "this parenthesis was not opened"),
            Kind::Symbol(";") => {
                Problem::new(token.span, "a List Filter is one condition, without `;`")
            }
            Kind::Word(word) if clause(word).is_some() => self.clause_problem(token),
            Kind::Word(word) if word.eq_ignore_ascii_case("XOR") => {
                Problem::new(token.span, "`XOR` is not a List Filter operator")
                    .expected("AND or OR")
            }
            Kind::Quoted(_) => Problem::new(token.span, "there is a second text here")
                .expected("AND, OR, or the end; a quote inside a text is written twice"),
            _ => Problem::new(token.span, "the filter cannot go on like this")
                .expected("AND, OR, or the end of the filter"),
        }
    }

    fn clause_problem(&self, token: &Token) -> Problem {
        let Kind::Word(word) = &token.kind else {
            return self.leftover();
        };
        let next = self
            .tokens
            .iter()
            .find(|next| next.span.start >= token.span.end);
        let span = match next {
            Some(Token {
                kind: Kind::Word(by),
                span,
            }) if by.eq_ignore_ascii_case("BY") => token.span.to(*span),
            _ => token.span,
        };
        Problem::new(span, clause(word).unwrap_or_default())
    }

    fn fail<T>(&self, message: &str, expected: &str) -> Parsed<T> {
        Err(Problem::new(self.peek().span, message)
            .expected(expected)
            .into())
    }

    fn peek(&self) -> &Token {
        &self.tokens[self.at]
    }

    fn kind(&self) -> &Kind {
        &self.peek().kind
    }

    /// Takes a token; the last one, the end, stays.
    fn advance(&mut self) -> Token {
        let token = self.peek().clone();
        if self.at + 1 < self.tokens.len() {
            self.at += 1;
        }
        token
    }

    /// Where the token that was taken last stands.
    fn last(&self) -> Span {
        self.tokens[self.at.saturating_sub(1)].span
    }

    fn take(&mut self, symbol: &str) -> bool {
        let there = matches!(self.kind(), Kind::Symbol(found) if *found == symbol);
        if there {
            self.advance();
        }
        there
    }

    fn word_is(&self, keyword: &str) -> bool {
        matches!(self.kind(), Kind::Word(word) if word.eq_ignore_ascii_case(keyword))
    }

    fn take_word(&mut self, keyword: &str) -> bool {
        let there = self.word_is(keyword);
        if there {
            self.advance();
        }
        there
    }
}

/// What a clause of SQL that is no filter is refused with.
fn clause(word: &str) -> Option<&'static str> {
    Some(match word.to_ascii_uppercase().as_str() {
        "ORDER" => {
            "the service refuses ORDER BY: the order is fixed, running first, then by close time"
        }
        "LIMIT" | "OFFSET" => "the service refuses LIMIT: pages and limits are set by the call",
        "GROUP" => "GROUP BY stands only in a count, and only as `GROUP BY ExecutionStatus`",
        "HAVING" | "SELECT" | "WHERE" | "UNION" => {
            "a List Filter is only the condition, no SQL statement"
        }
        _ => return None,
    })
}

/// Words that cannot be the name of an attribute here.
fn is_reserved(word: &str) -> bool {
    clause(word).is_some()
        || [
            "AND",
            "OR",
            "NOT",
            "IN",
            "BETWEEN",
            "STARTS_WITH",
            "IS",
            "NULL",
            "TRUE",
            "FALSE",
            "BY",
            "LIKE",
            "XOR",
        ]
        .iter()
        .any(|reserved| word.eq_ignore_ascii_case(reserved))
}

fn text_operand(mut parts: Vec<Part>, span: Span) -> Operand {
    match parts.as_mut_slice() {
        [Part::Text(text)] => Operand::Literal {
            value: Literal::Text(std::mem::take(text)),
            span,
        },
        _ => Operand::Joined { parts, span },
    }
}

/// The smallest integer has no positive twin: its digits were read as a double.
const SMALLEST: f64 = 9_223_372_036_854_775_808.0;

fn negate(value: Literal, digits: usize) -> Literal {
    match value {
        Literal::Int(value) => Literal::Int(-value),
        Literal::Float(SMALLEST) if digits == 19 => Literal::Int(i64::MIN),
        Literal::Float(value) => Literal::Float(-value),
        other => other,
    }
}

fn no_value(kind: &Kind, span: Span) -> Problem {
    let problem = |message: &str| Problem::new(span, message);
    match kind {
        Kind::End => problem("a value is missing at the end")
            .expected("a text in single quotes, or a number"),
        Kind::Word(word) if word.eq_ignore_ascii_case("NULL") => {
            problem("NULL is not a value").expected("`IS NULL` or `IS NOT NULL`")
        }
        Kind::Word(word) if is_reserved(word) => {
            problem("a value is missing here").expected("a text in single quotes, or a number")
        }
        Kind::Word(word) | Kind::Name(word) => {
            problem(&format!("`{word}` is not a value: texts stand in quotes"))
                .suggest(Some(super::values::quote(word)))
        }
        Kind::Symbol("(") => {
            problem("one value stands without parentheses").expected("a value, or IN (…)")
        }
        _ => problem("a value is missing here").expected("a text in single quotes, or a number"),
    }
}

//! Text → tokens, as the service's SQL tokenizer cuts it, and holes. Knows no grammar.

use super::ast::{Hole, Literal, Part, Problem, Span};

/// One token.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub kind: Kind,
    pub span: Span,
}

/// What it is.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// A word: a keyword or a name.
    Word(String),
    /// A name in backticks: never a keyword.
    Name(String),
    /// A quoted text; without holes it has at most one part.
    Quoted(Vec<Part>),
    /// An unsigned number.
    Number(Literal),
    /// `${{ … }}`.
    Hole(Hole),
    /// Punctuation and operators.
    Symbol(&'static str),
    /// The end of the text.
    End,
}

/// What the service skips between tokens; other white space is a mistake.
const SPACES: [char; 4] = [' ', '\n', '\r', '\t'];

/// Longest first: the first that fits is taken.
const SYMBOLS: &[&str] = &[
    "<=>", "===", "==", "=~", "!~", "<=", ">=", "!=", "<>", "&&", "||", "=", "<", ">", "(", ")",
    ",", "+", "-", "!", ";", "*", "%", "/", ".", "~", "^", "&", "|",
];

/// Whether holes may stand in the text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Holes {
    Allowed,
    Refused,
}

/// Cuts all of the text, or says at the first place why not.
pub(super) fn tokenize(text: &str, holes: Holes) -> Result<Vec<Token>, Problem> {
    let mut tokens = Vec::new();
    let mut at = 0;
    loop {
        at += text[at..].len() - text[at..].trim_start_matches(SPACES).len();
        let token = next(text, at, holes)?;
        at = token.span.end;
        let end = matches!(token.kind, Kind::End);
        tokens.push(token);
        if end {
            return Ok(tokens);
        }
    }
}

fn next(text: &str, at: usize, holes: Holes) -> Result<Token, Problem> {
    let rest = &text[at..];
    let Some(first) = rest.chars().next() else {
        return Ok(Token {
            kind: Kind::End,
            span: Span::new(at, at),
        });
    };
    if rest.starts_with("${{") {
        return hole_token(text, at, holes);
    }
    match first {
        '\'' | '"' => quoted(text, at, first, holes),
        '`' => backticked(text, at),
        c if c.is_alphabetic() || c == '_' || c == '@' => Ok(word(text, at)),
        c if c.is_ascii_digit() => number(text, at),
        '.' if rest[1..].starts_with(|c: char| c.is_ascii_digit()) => number(text, at),
        _ => symbol(text, at, first),
    }
}

fn symbol(text: &str, at: usize, first: char) -> Result<Token, Problem> {
    let rest = &text[at..];
    if let Some(comment) = ["--", "#", "/*", "//"]
        .iter()
        .find(|start| rest.starts_with(**start))
    {
        let span = Span::new(at, at + comment.len());
        return Err(Problem::new(
            span,
            "a comment cannot stand in a List Filter",
        ));
    }
    if let Some(known) = SYMBOLS.iter().find(|known| rest.starts_with(**known)) {
        return Ok(Token {
            kind: Kind::Symbol(known),
            span: Span::new(at, at + known.len()),
        });
    }
    let span = Span::new(at, at + first.len_utf8());
    let problem = Problem::new(
        span,
        format!("`{}` cannot stand here", first.escape_debug()),
    );
    Err(match first {
        '{' | '}' | '$' => problem.expected("an expression is written `${{ … }}`"),
        '\u{2018}' | '\u{2019}' | '\u{201c}' | '\u{201d}' => problem
            .expected("a straight quote")
            .suggest(Some("'".to_owned())),
        _ => problem,
    })
}

fn word(text: &str, at: usize) -> Token {
    let length = text[at..]
        .find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '@'))
        .unwrap_or(text.len() - at);
    let span = Span::new(at, at + length);
    Token {
        kind: Kind::Word(text[span.range()].to_owned()),
        span,
    }
}

fn backticked(text: &str, at: usize) -> Result<Token, Problem> {
    let Some(length) = text[at + 1..].find('`') else {
        return Err(Problem::new(
            Span::new(at, at + 1),
            "this backtick is not closed",
        ));
    };
    let span = Span::new(at, at + length + 2);
    if length == 0 {
        return Err(Problem::new(span, "there is no name between the backticks"));
    }
    Ok(Token {
        kind: Kind::Name(text[at + 1..at + 1 + length].to_owned()),
        span,
    })
}

fn number(text: &str, at: usize) -> Result<Token, Problem> {
    let bytes = text.as_bytes();
    let digits = |mut i: usize| {
        while bytes.get(i).is_some_and(u8::is_ascii_digit) {
            i += 1;
        }
        i
    };
    let mut end = digits(at);
    if bytes.get(end) == Some(&b'.') {
        end = digits(end + 1);
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        end = digits(end + 1 + sign);
    }
    end += text[end..]
        .find(|c: char| !(c.is_alphanumeric() || c == '_'))
        .unwrap_or(text.len() - end);
    let span = Span::new(at, end);
    match parse_number(&text[span.range()]) {
        Some(value) => Ok(Token {
            kind: Kind::Number(value),
            span,
        }),
        None => Err(
            Problem::new(span, format!("`{}` is not a number", &text[span.range()]))
                .expected("a decimal number, or a text in single quotes")
                .suggest(Some(format!("'{}'", &text[span.range()]))),
        ),
    }
}

fn parse_number(text: &str) -> Option<Literal> {
    if text.bytes().all(|b| b.is_ascii_digit())
        && let Ok(value) = text.parse()
    {
        return Some(Literal::Int(value));
    }
    let value: f64 = text.parse().ok()?;
    value.is_finite().then_some(Literal::Float(value))
}

/// A text in quotes. `\` escapes as in MySQL, a doubled delimiter is one; outside a template `${{` is text.
fn quoted(text: &str, at: usize, delimiter: char, holes: Holes) -> Result<Token, Problem> {
    let mut parts = Vec::new();
    let mut current = String::new();
    let mut i = at + 1;
    loop {
        let rest = &text[i..];
        let Some(c) = rest.chars().next() else {
            return Err(
                Problem::new(Span::new(at, at + 1), "this quote is not closed")
                    .expected("a quote inside a text is written twice, a backslash too"),
            );
        };
        if holes == Holes::Allowed && rest.starts_with("${{") {
            let hole = hole(text, i)?;
            i = hole.span.end;
            if !current.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut current)));
            }
            parts.push(Part::Hole(hole));
            continue;
        }
        i += c.len_utf8();
        if c == '\\' {
            if let Some(escaped) = text[i..].chars().next() {
                current.push(unescape(escaped));
                i += escaped.len_utf8();
            }
        } else if c != delimiter {
            current.push(c);
        } else if text[i..].starts_with(delimiter) {
            current.push(c);
            i += 1;
        } else {
            break;
        }
    }
    if !current.is_empty() || parts.is_empty() {
        parts.push(Part::Text(current));
    }
    Ok(Token {
        kind: Kind::Quoted(parts),
        span: Span::new(at, i),
    })
}

fn unescape(c: char) -> char {
    match c {
        '0' => '\0',
        'b' => '\u{8}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'Z' => '\u{1a}',
        other => other,
    }
}

fn hole_token(text: &str, at: usize, holes: Holes) -> Result<Token, Problem> {
    let hole = hole(text, at)?;
    let span = hole.span;
    if holes == Holes::Refused {
        return Err(Problem::new(span, "an expression cannot stand here"));
    }
    Ok(Token {
        kind: Kind::Hole(hole),
        span,
    })
}

/// Finds the end of an expression: `}}` outside quotes and outside braces of its own.
fn hole(text: &str, at: usize) -> Result<Hole, Problem> {
    let bytes = text.as_bytes();
    let start = at + 3;
    let (mut i, mut depth, mut quote) = (start, 0_usize, None);
    while i < bytes.len() {
        match (quote, bytes[i]) {
            (Some(_), b'\\') => i += 1,
            (Some(open), b) if b == open => quote = None,
            (Some(_), _) => {}
            (None, b @ (b'\'' | b'"')) => quote = Some(b),
            (None, b'{') => depth += 1,
            (None, b'}') if depth > 0 => depth -= 1,
            (None, b'}') if bytes.get(i + 1) == Some(&b'}') => {
                return finish_hole(text, at, start, i);
            }
            (None, _) => {}
        }
        i += 1;
    }
    Err(Problem::new(Span::new(at, start), "this expression is not closed").expected("`}}`"))
}

fn finish_hole(text: &str, at: usize, start: usize, end: usize) -> Result<Hole, Problem> {
    let inside = &text[start..end];
    let source = inside.trim();
    let span = Span::new(at, end + 2);
    if source.is_empty() {
        return Err(Problem::new(
            span,
            "there is no expression between the braces",
        ));
    }
    let lead = inside.len() - inside.trim_start().len();
    let source_span = Span::new(start + lead, start + lead + source.len());
    Ok(Hole {
        source: source.to_owned(),
        span,
        source_span,
    })
}

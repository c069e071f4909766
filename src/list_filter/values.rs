//! What a literal means for an attribute: statuses, times, durations, and how a text is quoted.

use jiff::Timestamp;

use super::ast::Literal;
use crate::survey::Status;

const ENUM_PREFIX: &str = "WORKFLOW_EXECUTION_STATUS_";

/// The number that the service knows a status by; 0 is unspecified, which no row has.
pub(super) fn status_code(value: &Literal) -> Option<i64> {
    match value {
        Literal::Int(code) => (0..=8).contains(code).then_some(*code),
        Literal::Text(name) => status_name_code(name),
        Literal::Float(_) | Literal::Bool(_) => None,
    }
}

fn status_name_code(name: &str) -> Option<i64> {
    if name == "Unspecified" || name.strip_prefix(ENUM_PREFIX) == Some("UNSPECIFIED") {
        return Some(0);
    }
    Status::ALL
        .into_iter()
        .find(|status| {
            name == status.name()
                || name
                    .strip_prefix(ENUM_PREFIX)
                    .is_some_and(|rest| rest == screaming(status.name()))
        })
        .map(code_of)
}

/// The number of a status.
pub(super) fn code_of(status: Status) -> i64 {
    match status {
        Status::Running => 1,
        Status::Completed => 2,
        Status::Failed => 3,
        Status::Canceled => 4,
        Status::Terminated => 5,
        Status::ContinuedAsNew => 6,
        Status::TimedOut => 7,
        Status::Paused => 8,
    }
}

/// The status of a number.
pub(super) fn status_of(code: i64) -> Option<Status> {
    Status::ALL
        .into_iter()
        .find(|status| code_of(*status) == code)
}

fn screaming(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.push(c.to_ascii_uppercase());
    }
    out
}

/// The status that was probably meant.
pub(super) fn near_status(text: &str) -> Option<&'static str> {
    let plain = |s: &str| {
        s.trim_start_matches(ENUM_PREFIX)
            .replace(['_', '-', ' '], "")
            .to_lowercase()
    };
    let wanted = plain(text);
    let names = || Status::ALL.into_iter().map(Status::name);
    names()
        .find(|name| name.to_lowercase() == wanted)
        .or_else(|| {
            let slips = |name: &&str| strsim::damerau_levenshtein(&wanted, &name.to_lowercase());
            names().min_by_key(slips).filter(|name| slips(name) <= 2)
        })
}

/// A time as the service reads it: RFC 3339 with `T` and a zone, or nanoseconds since 1970.
pub(super) fn time(value: &Literal) -> Option<Timestamp> {
    match value {
        Literal::Int(nanoseconds) => Timestamp::from_nanosecond(i128::from(*nanoseconds)).ok(),
        Literal::Text(text) => rfc3339(text),
        Literal::Float(_) | Literal::Bool(_) => None,
    }
}

/// What the service asks its store for: it takes all single quotes off both ends of a text, whatever the
/// store (`common/sqlquery.ParseValue` of server 1.32): a text in quotes of its own asks for what is inside.
pub(super) fn as_asked(text: &str) -> &str {
    text.trim_matches('\'')
}

fn rfc3339(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    let digits = |range: std::ops::Range<usize>| {
        bytes
            .get(range)
            .is_some_and(|part| part.iter().all(u8::is_ascii_digit))
    };
    let zone = text.ends_with('Z')
        || bytes.len().checked_sub(6).is_some_and(|at| {
            at > 18
                && matches!(bytes[at], b'+' | b'-')
                && bytes[at + 3] == b':'
                && digits(at + 1..at + 3)
                && digits(at + 4..at + 6)
        });
    let shape = digits(0..4)
        && bytes.get(4) == Some(&b'-')
        && digits(5..7)
        && bytes.get(7) == Some(&b'-')
        && digits(8..10)
        && bytes.get(10) == Some(&b'T')
        && digits(11..13)
        && bytes.get(13) == Some(&b':')
        && digits(14..16)
        && bytes.get(16) == Some(&b':')
        && digits(17..19);
    let leap_second = bytes.get(17..19) == Some(b"60");
    if !(shape && zone) || leap_second {
        return None;
    }
    match text.strip_prefix("9999") {
        // Later than a timestamp here can be, and all the same after everything.
        Some(rest) => text
            .parse()
            .or_else(|_| {
                format!("9995{rest}")
                    .parse()
                    .map(|_: Timestamp| Timestamp::MAX)
            })
            .ok(),
        None => text.parse().ok(),
    }
}

/// The time that was probably meant: the same with `T` and `Z`.
pub(super) fn near_time(text: &str) -> Option<String> {
    let mut whole = text.trim().replacen([' ', 't'], "T", 1).replace('z', "Z");
    if !whole.contains('T') {
        whole.push_str("T00:00:00Z");
    }
    let zoned = whole.ends_with('Z')
        || whole
            .split_once('T')
            .is_some_and(|(_, clock)| clock.contains(['+', '-']));
    if !zoned {
        if whole.split(':').count() == 2 {
            whole.push_str(":00");
        }
        whole.push('Z');
    }
    rfc3339(&whole).map(|_| whole)
}

/// Nanoseconds of an `ExecutionDuration` value: a number of them, `1h30m`, `2d`, or `hh:mm:ss`.
pub(super) fn duration(value: &Literal) -> Option<i64> {
    match value {
        Literal::Int(nanoseconds) => Some(*nanoseconds),
        Literal::Text(text) => text
            .parse()
            .ok()
            .or_else(|| units(text))
            .or_else(|| hours_minutes_seconds(text)),
        Literal::Float(_) | Literal::Bool(_) => None,
    }
}

/// Go's duration text, and days.
fn units(text: &str) -> Option<i64> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut total = 0.0;
    let mut any = false;
    while !rest.is_empty() {
        let length = rest.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
        let number: f64 = rest[..length].parse().ok()?;
        rest = &rest[length..];
        let (unit, nanoseconds) = UNITS.iter().find(|(unit, _)| rest.starts_with(unit))?;
        total += number * nanoseconds;
        rest = &rest[unit.len()..];
        any = true;
    }
    // Beyond 292 years the service refuses; below, a double is exact to the microsecond or better.
    #[allow(clippy::cast_possible_truncation)]
    (any && total < 9.2e18).then_some((sign * total) as i64)
}

/// `ms` before `m`: the first that fits is taken.
const UNITS: &[(&str, f64)] = &[
    ("ns", 1.0),
    ("us", 1e3),
    ("µs", 1e3),
    ("μs", 1e3),
    ("ms", 1e6),
    ("s", 1e9),
    ("m", 6e10),
    ("h", 3.6e12),
    ("d", 8.64e13),
];

fn hours_minutes_seconds(text: &str) -> Option<i64> {
    let mut parts = text.splitn(3, ':').map(|part| part.parse::<u32>().ok());
    let (hours, minutes, seconds) = (parts.next()??, parts.next()??, parts.next()??);
    (minutes < 60 && seconds < 60).then(|| {
        (i64::from(hours) * 3600 + i64::from(minutes) * 60 + i64::from(seconds)) * 1_000_000_000
    })
}

/// A text as one literal of the service's grammar, quotes included.
///
/// `'` is doubled, `\` and control characters are escaped, and `${{` is broken by a backslash that the
/// grammar drops, so the result can be read as a template too.
pub fn quote(text: &str) -> String {
    format!("'{}'", escape(text))
}

/// The inside of [`quote`].
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    for (at, c) in text.char_indices() {
        match c {
            '\'' => out.push_str("''"),
            '\\' => out.push_str("\\\\"),
            '\0' => out.push_str("\\0"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{1a}' => out.push_str("\\Z"),
            '$' if text[at + 1..].starts_with("{{") => out.push_str("\\$"),
            other => out.push(other),
        }
    }
    out
}

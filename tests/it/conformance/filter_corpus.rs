//! The List Filters and the values that both back ends are asked about: written by hand where a rule is
//! known, drawn from a seed where it is not. Pure; knows nothing of back ends.

use runbook::list_filter::quote;

/// How many filters are drawn.
const DRAWN: usize = 420;
/// How many awkward values there are.
const VALUES: usize = 210;

/// xorshift64*: the same numbers everywhere.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap_or(0) % limit
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }
}

/// All filters, each once.
pub fn filters() -> Vec<String> {
    let mut all: Vec<String> = WRITTEN
        .lines()
        .map(str::trim)
        .filter(|it| !it.is_empty())
        .map(str::to_owned)
        .collect();
    all.push(String::new());
    all.push("   ".to_owned());
    all.push(format!("{}Tier = 'gold'{}", "(".repeat(60), ")".repeat(60)));
    all.push(format!("{}Tier = 'gold'", "NOT ".repeat(40)));
    all.push(format!("Tier IN ({})", vec!["'gold'"; 500].join(", ")));
    all.push(vec!["Tier = 'gold'"; 150].join(" OR "));
    all.push("Tier = 'gold'\tAND\nAmount\r\n=\u{c}5".to_owned());
    all.push("Tier = 'a\u{0}b'".to_owned());
    all.push("Tier\u{a0}= 'gold'".to_owned());
    all.push("Tier = 'gold'\u{feff}".to_owned());
    let mut draw = Draw(0x5EED_0FF1_17E5);
    while all.len() < DRAWN + WRITTEN.lines().count() {
        let depth = draw.below(4);
        let filter = condition(&mut draw, depth);
        if !all.contains(&filter) {
            all.push(filter);
        }
    }
    all.dedup();
    all
}

/// Filters about one value: that it is itself, wherever it stands.
pub fn about(value: &str, number: usize) -> Vec<String> {
    let quoted = quote(value);
    let beginning: String = value.chars().take(3).collect();
    let other = match number % 8 {
        0 => format!("Labels = {quoted}"),
        1 => format!("Tier STARTS_WITH {}", quote(&beginning)),
        2 => format!("Tier IN ('nobody', {quoted})"),
        3 => format!("Note = {quoted}"),
        4 => format!("Tier != {quoted} AND Amount >= 1000"),
        5 => format!("Labels IN ({quoted}, 'b')"),
        6 => format!("WorkflowType = {quoted}"),
        _ => format!("NOT Tier NOT STARTS_WITH {quoted} AND NOT Labels != {quoted}"),
    };
    vec![format!("Tier = {quoted}"), other]
}

/// Values that have meant something else to somebody.
pub fn values() -> Vec<String> {
    let mut all: Vec<String> = AWKWARD.iter().map(|it| (*it).to_owned()).collect();
    all.push("x".repeat(255));
    all.push("x".repeat(256));
    all.push("日".repeat(300));
    all.push("'".repeat(100));
    all.push("\\".repeat(7));
    let mut draw = Draw(0x000A_10E5);
    while all.len() < VALUES {
        let pieces = 1 + draw.below(6);
        let value: String = (0..pieces).map(|_| draw.one(PIECES)).collect();
        if !all.contains(&value) {
            all.push(value);
        }
    }
    all
}

const PIECES: &[&str] = &[
    "'", "''", "\"", "\\", "\\'", "\n", "\r", "\t", "\u{8}", "\u{1a}", "%", "_", "`", "${{", "}}",
    "$", "--", "/*", ";", " OR 1=1", "é", "日本", "🙂", "\u{202e}", "\u{200b}", "NULL", ")", "(",
    "a", "B", " ", "0", "-", ":", "=", "orders", "\u{0}",
];

const AWKWARD: &[&str] = &[
    "",
    " ",
    "  ",
    "a",
    "A",
    "gold ",
    " gold",
    "Gold",
    "GOLD",
    "null",
    "NULL",
    "true",
    "false",
    "TRUE",
    "0",
    "1",
    "-1",
    "5",
    "5.0",
    "007",
    "1e3",
    "0x10",
    "NaN",
    "inf",
    "+5",
    "2026-01-02T03:04:05Z",
    "2026-01-02",
    "2026-01-02T03:04:05.123456789Z",
    "2026-01-02 03:04:05",
    "1s",
    "1h30m",
    "24:00:00",
    "Running",
    "WORKFLOW_EXECUTION_STATUS_RUNNING",
    "Tier",
    "WorkflowId",
    "AND",
    "OR",
    "NOT",
    "IN",
    "IN ()",
    "IS NULL",
    "BETWEEN",
    "STARTS_WITH",
    "GROUP BY ExecutionStatus",
    "ORDER BY StartTime",
    "' OR '1'='1",
    "'; DROP TABLE executions; --",
    "it's",
    "''",
    "'",
    "'quoted'",
    "\"",
    "\"quoted\"",
    "\\",
    "\\\\",
    "\\'",
    "a\\b",
    "\\n",
    "\\0",
    "a\nb",
    "\r\n",
    "\t",
    "tab\tbed",
    "\u{0}",
    "nul\u{0}inside",
    "\u{8}",
    "\u{1a}",
    "\u{7f}",
    "\u{1b}[31m",
    "%",
    "%%",
    "_",
    "a%b",
    "a_b",
    "*",
    "?",
    "[a]",
    "^a",
    "$",
    "${{ params.x }}",
    "{{ x }}",
    "{}",
    "[]",
    "[\"a\"]",
    "{\"a\": 1}",
    "`",
    "`Tier`",
    "--",
    "-- comment",
    "/* comment */",
    "#",
    "//",
    ";",
    ",",
    "(",
    ")",
    "()",
    "a,b",
    "a b",
    "a:b",
    "orders:v1",
    "orders.v1",
    "é",
    "e\u{301}",
    "É",
    "ß",
    "SS",
    "ı",
    "İ",
    "日本",
    "日本語 テキスト",
    "🙂",
    "👩‍👩‍👧",
    "\u{202e}abc",
    "\u{200f}",
    "\u{2066}a\u{2069}",
    "\u{200b}",
    "a\u{200b}b",
    "\u{feff}",
    "\u{a0}",
    "‘curly’",
    "“curly”",
    "\u{2028}",
    "\u{fffd}",
    "\u{10ffff}",
    "מזהה",
    "العربية",
    "=cmd|' /C calc'!A0",
    "@SUM(1)",
    "+1+1",
    "-2+3",
    "../../etc/passwd",
    "C:\\temp\\x",
    "https://e.org/?a=b&c=d#e",
    "a@b.c",
    "<b>",
    "&amp;",
    "%27",
    "%00",
    "\\u0041",
    "\\x41",
    "\\Z",
    "__unversioned__",
    "temporal-sys-x",
    "00000000-0000-0000-0000-000000000000",
    "The quick brown fox",
    "quick",
    "brown-fox",
    "fox's",
    "UPPER lower",
    "a.b",
    "a-b",
    "a/b",
    "x AND Tier = 'gold'",
];

const ATTRIBUTES: &[&str] = &[
    "Tier",
    "Tier",
    "Note",
    "Labels",
    "Labels",
    "Amount",
    "Amount",
    "Price",
    "Vip",
    "Due",
    "Due",
    "WorkflowId",
    "WorkflowType",
    "ExecutionStatus",
    "ExecutionStatus",
    "StartTime",
    "CloseTime",
    "ExecutionTime",
    "TaskQueue",
    "HistoryLength",
    "ExecutionDuration",
    "StateTransitionCount",
    "HistorySizeBytes",
    "ParentWorkflowId",
    "ParentRunId",
    "RootWorkflowId",
    "BuildIds",
    "TemporalReportedProblems",
    "TemporalWorkerDeploymentVersion",
    "TemporalWorkflowVersioningBehavior",
    "TemporalUsedWorkerDeploymentVersions",
    "WorkerDeployment",
    "TemporalChangeVersion",
    "BatcherUser",
    "TemporalSchedulePaused",
    "ScheduleId",
    "`Tier`",
    "tier",
    "Nobody",
    "workflowid",
];

const VALUE_TEXTS: &[&str] = &[
    "'gold'",
    "'Silver_1'",
    "''",
    "'5'",
    "5",
    "-7",
    "5.0",
    "4.5",
    "1.5e0",
    "0",
    "true",
    "false",
    "TRUE",
    "'true'",
    "'Running'",
    "'Terminated'",
    "'running'",
    "1",
    "'2026-01-02T03:04:05.123Z'",
    "'2026-06-01T00:00:00Z'",
    "'2026-06-01T02:00:00+02:00'",
    "'2026-06-01'",
    "1780000000000000000",
    "'1s'",
    "'1h30m'",
    "'24:00:00'",
    "'a'",
    "'B c'",
    "'quick'",
    "'it''s'",
    "\"gold\"",
    "null",
    "NULL",
    "gold",
    "'r01'",
    "'Order'",
    "9223372036854775807",
    "9223372036854775808",
    "'日本'",
    "1 + 1",
    "('gold')",
];

const OPERATORS: &[&str] = &[
    "=",
    "=",
    "!=",
    "<>",
    "<",
    "<=",
    ">",
    ">=",
    "STARTS_WITH",
    "NOT STARTS_WITH",
    "starts_with",
    "LIKE",
];

fn condition(draw: &mut Draw, depth: usize) -> String {
    if depth > 0 {
        let left = condition(draw, depth - 1);
        return match draw.below(7) {
            0 => format!("NOT {left}"),
            1 => format!("NOT ({left})"),
            2 => format!("({left})"),
            3 => format!(
                "({left}) {} {}",
                draw.one(&["AND", "OR", "and", "or"]),
                condition(draw, 0)
            ),
            _ => format!(
                "{left} {} {}",
                draw.one(&["AND", "OR", "And", "oR", "&&", "||"]),
                condition(draw, depth - 1)
            ),
        };
    }
    // Half of the conditions fit, so that whole filters do.
    if draw.below(4) > 0 {
        return draw.one(FITTING).to_owned();
    }
    let attribute = draw.one(ATTRIBUTES);
    let value = draw.one(VALUE_TEXTS);
    match draw.below(8) {
        0 => format!(
            "{attribute} {} ({value}, {})",
            draw.one(&["IN", "NOT IN", "in", "not in"]),
            draw.one(VALUE_TEXTS)
        ),
        1 => format!(
            "{attribute} {} {value} AND {}",
            draw.one(&["BETWEEN", "NOT BETWEEN", "between"]),
            draw.one(VALUE_TEXTS)
        ),
        2 => format!(
            "{attribute} {}",
            draw.one(&["IS NULL", "IS NOT NULL", "is null", "Is Not Null"])
        ),
        _ => format!("{attribute} {} {value}", draw.one(OPERATORS)),
    }
}

const FITTING: &[&str] = &[
    "Tier = 'gold'",
    "Tier != 'gold'",
    "Tier IN ('gold', 'Silver_1')",
    "Tier NOT IN ('gold', '')",
    "Tier IS NULL",
    "Tier IS NOT NULL",
    "Tier STARTS_WITH 'g'",
    "Tier NOT STARTS_WITH 'S'",
    "Tier > 'a'",
    "Tier BETWEEN 'A' AND 'b'",
    "Amount = 5",
    "Amount != 5",
    "Amount > 4.5",
    "Amount IN (5, -7)",
    "Amount NOT IN (0)",
    "Amount BETWEEN -10 AND 5",
    "Amount NOT BETWEEN 0 AND 3",
    "Amount IS NULL",
    "Price >= 1.5",
    "Price < 0",
    "Price = 2",
    "Vip = true",
    "Vip != true",
    "Vip IS NULL",
    "Due > '2026-06-01T00:00:00Z'",
    "Due BETWEEN '2026-01-01T00:00:00Z' AND '2026-12-31T23:59:59Z'",
    "Due IS NOT NULL",
    "Labels = 'a'",
    "Labels != 'a'",
    "Labels IN ('b', 'it''s')",
    "Labels NOT IN ('a', 'b')",
    "Labels IS NULL",
    "Note = 'quick'",
    "Note != 'dog'",
    "Note = 'lazy fox'",
    "ExecutionStatus = 'Running'",
    "ExecutionStatus != 'Running'",
    "ExecutionStatus IN ('Terminated', 'Failed')",
    "ExecutionStatus = 5",
    "CloseTime IS NULL",
    "CloseTime > '2020-01-01T00:00:00Z'",
    "StartTime < '2100-01-01T00:00:00Z'",
    "WorkflowType = 'Refund'",
    "WorkflowType != 'Order'",
    "WorkflowId STARTS_WITH 'r0'",
    "WorkflowId IN ('r01', 'r02')",
    "BuildIds IS NULL",
    "ParentWorkflowId IS NULL",
    "ExecutionDuration IS NULL",
    "HistoryLength > 1",
];

/// One a line.
const WRITTEN: &str = include_str!("filters_written.txt");

#[test]
fn the_corpus_is_as_large_as_it_says_and_holds_nothing_twice() {
    let (filters, values) = (filters(), values());
    assert!(filters.len() >= 500, "{}", filters.len());
    assert!(values.len() >= 200, "{}", values.len());
    let distinct = |all: &[String]| all.iter().collect::<std::collections::BTreeSet<_>>().len();
    assert_eq!(distinct(&filters), filters.len());
    assert_eq!(distinct(&values), values.len());
}

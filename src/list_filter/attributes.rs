//! Temporal's own Search Attributes: names, types, aliases, and what is nearly one of them.
//! Facts of server 1.32 (`common/searchattribute/sadefs`, `visibility/store/query/resolve.go`).

/// The type of a Search Attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum AttributeType {
    Keyword,
    Text,
    KeywordList,
    Int,
    Double,
    Bool,
    Datetime,
}

impl AttributeType {
    /// By Temporal's name, `KeywordList` or `INDEXED_VALUE_TYPE_KEYWORD_LIST`.
    pub fn parse(name: &str) -> Option<Self> {
        let plain = name
            .trim_start_matches("INDEXED_VALUE_TYPE_")
            .replace('_', "");
        [
            Self::Keyword,
            Self::Text,
            Self::KeywordList,
            Self::Int,
            Self::Double,
            Self::Bool,
            Self::Datetime,
        ]
        .into_iter()
        .find(|kind| kind.name().eq_ignore_ascii_case(&plain))
    }

    /// In a sentence, `a Keyword`.
    pub(super) fn with_article(self) -> String {
        let article = if self == Self::Int { "an" } else { "a" };
        format!("{article} {}", self.name())
    }

    /// Temporal's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Keyword => "Keyword",
            Self::Text => "Text",
            Self::KeywordList => "KeywordList",
            Self::Int => "Int",
            Self::Double => "Double",
            Self::Bool => "Bool",
            Self::Datetime => "Datetime",
        }
    }
}

/// The status attribute, which has values of its own.
pub(super) const STATUS: &str = "ExecutionStatus";
/// The duration attribute, an Int of nanoseconds that also takes texts such as `1h30m`.
pub(super) const DURATION: &str = "ExecutionDuration";

const SYSTEM: &[(&str, AttributeType)] = &[
    ("WorkflowId", AttributeType::Keyword),
    ("RunId", AttributeType::Keyword),
    ("WorkflowType", AttributeType::Keyword),
    ("StartTime", AttributeType::Datetime),
    ("ExecutionTime", AttributeType::Datetime),
    ("CloseTime", AttributeType::Datetime),
    (STATUS, AttributeType::Keyword),
    ("TaskQueue", AttributeType::Keyword),
    ("HistoryLength", AttributeType::Int),
    (DURATION, AttributeType::Int),
    ("StateTransitionCount", AttributeType::Int),
    ("HistorySizeBytes", AttributeType::Int),
    ("ParentWorkflowId", AttributeType::Keyword),
    ("ParentRunId", AttributeType::Keyword),
    ("RootWorkflowId", AttributeType::Keyword),
    ("RootRunId", AttributeType::Keyword),
    ("TemporalChangeVersion", AttributeType::KeywordList),
    ("BinaryChecksums", AttributeType::KeywordList),
    ("BuildIds", AttributeType::KeywordList),
    ("BatcherNamespace", AttributeType::Keyword),
    ("BatcherUser", AttributeType::Keyword),
    ("TemporalScheduledStartTime", AttributeType::Datetime),
    ("TemporalScheduledById", AttributeType::Keyword),
    ("TemporalSchedulePaused", AttributeType::Bool),
    ("TemporalNamespaceDivision", AttributeType::Keyword),
    ("TemporalPauseInfo", AttributeType::KeywordList),
    ("TemporalReportedProblems", AttributeType::KeywordList),
    ("TemporalWorkerDeploymentVersion", AttributeType::Keyword),
    ("TemporalWorkflowVersioningBehavior", AttributeType::Keyword),
    ("TemporalWorkerDeployment", AttributeType::Keyword),
    (
        "TemporalUsedWorkerDeploymentVersions",
        AttributeType::KeywordList,
    ),
    ("TemporalExternalPayloadCount", AttributeType::Int),
    ("TemporalExternalPayloadSizeBytes", AttributeType::Int),
];

/// Temporal's own attributes with their types.
pub fn system_attributes() -> impl Iterator<Item = (&'static str, AttributeType)> {
    SYSTEM.iter().copied()
}

/// The system attribute that a name means, with its type. As the service does, it takes `ScheduleId` for
/// `WorkflowId` and forgives a missing or superfluous `Temporal` in front.
pub fn system_attribute(name: &str) -> Option<(&'static str, AttributeType)> {
    exact(name).or_else(|| match name.strip_prefix("Temporal") {
        Some("ScheduleId") => exact("WorkflowId"),
        Some(rest) => exact(rest),
        None if name == "ScheduleId" => exact("WorkflowId"),
        None => exact(&format!("Temporal{name}")),
    })
}

fn exact(name: &str) -> Option<(&'static str, AttributeType)> {
    SYSTEM.iter().copied().find(|(known, _)| *known == name)
}

/// The name under which two spellings of one attribute are the same.
pub(super) fn canonical(name: &str) -> &str {
    system_attribute(name).map_or(name, |(known, _)| known)
}

/// The system attribute that a name is almost: equal but for case, or two slips away.
pub(super) fn almost_system(name: &str) -> Option<&'static str> {
    if system_attribute(name).is_some() {
        return None;
    }
    let names = || SYSTEM.iter().map(|(known, _)| *known);
    names()
        .find(|known| known.eq_ignore_ascii_case(name))
        .or_else(|| nearest(name, names()))
}

/// The nearest of `names` within one slip, or two where the name is long enough.
pub(super) fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let bound = if name.len() < 6 { 1 } else { 2 };
    names
        .map(|known| (strsim::damerau_levenshtein(name, known), known))
        .filter(|(distance, _)| *distance <= bound)
        .min()
        .map(|(_, known)| known)
}

/// Words that the service's SQL grammar keeps for itself: as names they need backticks.
const KEYWORDS: &str = "accessible add against all alter analyze and as asc asensitive auto_increment \
    before begin between bigint binary _binary bit blob bool boolean both by call cascade case cast change \
    char character charset check collate column comment committed commit condition constraint continue \
    convert substr substring create cross current_date current_time current_timestamp current_user cursor \
    database databases date datetime day_hour day_microsecond day_minute day_second dec decimal declare \
    default delayed delete desc describe deterministic distinct distinctrow div double drop dual duplicate \
    each else elseif enclosed end enum escape escaped exists exit explain expansion extended false fetch \
    float for force foreign from full fulltext generated geometry geometrycollection get global grant group \
    group_concat having high_priority hour_microsecond hour_minute hour_second if ignore in index infile \
    inner inout insensitive insert int integer interval into io_after_gtids is isolation iterate join json \
    key key_block_size keys kill language last_insert_id leading leave left less level like limit linear \
    lines linestring load localtime localtimestamp lock long longblob longtext loop low_priority \
    master_bind match maxvalue mediumblob mediumint mediumtext middleint minute_microsecond minute_second \
    mod mode modifies multilinestring multipoint multipolygon names natural nchar next no \
    no_write_to_binlog not null numeric offset on only optimize optimizer_costs option optionally or order \
    out outer outfile partition point polygon precision primary procedure processlist query range read \
    read_write reads real references regexp release rename reorganize repair repeat repeatable replace \
    require resignal restrict return revoke right rlike rollback schema schemas second_microsecond select \
    sensitive separator serializable session set share show signal signed smallint spatial specific sql \
    sql_big_result sql_cache sql_calc_found_rows sql_no_cache sql_small_result sqlexception sqlstate \
    sqlwarning ssl start starting starts_with status stored straight_join stream table tables terminated \
    text than then time timestamp tinyblob tinyint tinytext to trailing transaction trigger true truncate \
    uncommitted undo union unique unlock unsigned update usage use using utc_date utc_time utc_timestamp \
    values varbinary varchar varcharacter variables varying view vindex vindexes virtual vitess_keyspaces \
    vitess_shards vitess_tablets vschema_tables when where while with write xor year year_month zerofill";

/// Whether a name can only be written in backticks, or would be taken for a slip without them.
pub(super) fn needs_backticks(name: &str) -> bool {
    let plain = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    !plain
        || KEYWORDS
            .split_whitespace()
            .any(|word| word.eq_ignore_ascii_case(name))
        || almost_system(name).is_some()
}

//! Filters of the corpus that the server answers otherwise than the simulator and the tool's own evaluation
//! of a row, by the label of their line in the record, and why that stays so. A label that no longer
//! differs fails.

/// Name of the record, labels.
type Known = (&'static str, &'static [&'static str]);

/// The service ignores comments, a semicolon at the end, and clauses that are no part of a condition, or
/// breaks on them; the tool refuses what is not said to have an effect.
const STRICTER: &[Known] = &[(
    "filters",
    &[
        "0055", "0057", "0058", "0059", "0060", "0066", "0117", "0118", "0124", "0127",
    ],
)];

/// The service names the attribute, but its SQLite table has no such column.
const COLUMN: &[Known] = &[("filters", &["0424"])];

/// SQLite compares times as texts, those of a row with three decimals: one of whole seconds is equal to none
/// and after itself.
const MILLIS: &[Known] = &[("filters", &["0231", "0232", "0238"])];

/// On SQLite the text goes out escaped as for MySQL: backslashes, double quotes and most control characters
/// are looked for with a backslash before them, and are found in no row; NUL and some quotes are errors of
/// SQL. The tool compares the text that was meant.
const ESCAPES: &[Known] = &[
    ("filters", &["0283", "0284", "0365", "0479"]),
    (
        "filter_values",
        &[
            "v052.0", "v052.1", "v053.0", "v053.1", "v054.0", "v054.1", "v055.0", "v055.1",
            "v056.0", "v056.1", "v057.0", "v057.1", "v058.0", "v058.1", "v059.0", "v059.1",
            "v060.0", "v060.1", "v061.0", "v061.1", "v062.0", "v062.1", "v063.0", "v063.1",
            "v064.0", "v064.1", "v065.0", "v066.0", "v066.1", "v084.0", "v084.1", "v085.0",
            "v085.1", "v133.0", "v133.1", "v140.0", "v140.1", "v141.0", "v141.1", "v142.0",
            "v142.1", "v159.0", "v159.1", "v161.0", "v161.1", "v162.0", "v162.1", "v163.0",
            "v163.1", "v164.0", "v164.1", "v168.1", "v170.0", "v170.1", "v171.0", "v171.1",
            "v173.0", "v173.1", "v175.0", "v175.1", "v176.0", "v176.1", "v178.0", "v178.1",
            "v181.0", "v181.1", "v184.0", "v184.1", "v189.0", "v189.1", "v190.0", "v190.1",
            "v192.0", "v192.1", "v193.0", "v193.1", "v197.0", "v197.1", "v198.0", "v198.1",
            "v199.0", "v199.1", "v201.0", "v201.1", "v204.0", "v204.1", "v207.0", "v207.1",
            "v208.0", "v208.1", "v209.0", "v209.1",
        ],
    ),
];

/// SQLite folds the case of ASCII letters in STARTS_WITH and in members of a KeywordList.
const FOLDS: &[Known] = &[
    ("filters", &["0099", "0246", "0367", "0244"]),
    (
        "filter_values",
        &["v007.1", "v008.1", "v009.1", "v013.1", "v033.1", "v065.1"],
    ),
];

/// SQLite's full-text index has no entry for an empty member of a KeywordList.
const EMPTY: &[Known] = &[("filter_values", &["v000.1"])];

/// SQLite's full-text index drops accents, and takes emoji and zero-width characters for letters.
const TOKENS: &[Known] = &[
    ("filters", &["0278", "0282"]),
    ("filter_values", &["v003.1", "v099.1", "v179.1"]),
];

/// Whether a label is known to differ.
pub fn is_known(record: &str, label: &str) -> bool {
    [STRICTER, COLUMN, MILLIS, ESCAPES, FOLDS, EMPTY, TOKENS]
        .iter()
        .flat_map(|known| known.iter())
        .any(|(of, labels)| *of == record && labels.contains(&label))
}

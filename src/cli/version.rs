//! `runbook --version`: the version, the commit that a release was built from, and the versions of what it reads and
//! writes. Plain text.

use std::sync::LazyLock;

use crate::plan::saved::SCHEMA as PLANS;
use crate::record::FORMAT;

/// What `--version` says behind the name; `-V` says its first line.
pub fn long() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        let commit = match env!("RUNBOOK_COMMIT") {
            "" => "not recorded",
            commit => commit,
        };
        format!(
            "{}\ncommit: {commit}\nrunbooks: runbook/v1\nrehearsals: rehearsal/v1\nplans: {PLANS}\njournals: {}.{}",
            env!("CARGO_PKG_VERSION"),
            FORMAT.major,
            FORMAT.minor,
        )
    });
    &TEXT
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{rehearsal, runbook};

    #[test]
    fn the_languages_are_those_that_are_read() {
        for schema in [runbook::schema(), rehearsal::schema()] {
            let named = &schema.json()["properties"]["schema"];
            let name = named.get("const").or_else(|| named["enum"].get(0));
            let name = name.and_then(|name| name.as_str()).expect("a name");
            assert!(long().contains(&format!(": {name}\n")), "{name}");
        }
    }
}

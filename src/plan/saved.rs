//! A plan as a file: what was reviewed, to be carried out later by `exec`.
//!
//! Pure: text in, text out. The file is JSON, and is taken only byte for byte as it was written: its digest
//! covers every byte. That finds edits and damage; it is no signature, because whoever can write the file can
//! compute a digest anew.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Plan;
use crate::record::SavedFrom;

/// `schema` of the files that this version writes and reads.
pub const SCHEMA: &str = "runbook-plan/v1";
/// What every version's `schema` begins with.
const FAMILY: &str = "runbook-plan/";
/// In the digest's place while the digest is computed.
const NO_DIGEST: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// A plan, and who made it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedPlan {
    /// [`SCHEMA`]
    schema: String,
    /// SHA-256, hexadecimal, over the file as it is written with zeros in this place.
    digest: String,
    /// Version of the tool that made it.
    pub tool: String,
    /// Who made it.
    pub user: String,
    /// On which host.
    pub host: String,
    /// The plan: its text, parameters without secrets, and what was read of the service, when.
    pub plan: Plan,
}

/// Why a file is no saved plan that can be carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// It is not as it was written.
    Edited,
    /// Written in another version of the format, which is named.
    OtherVersion(String),
    /// As it was written, but by a tool whose plans hold what this one does not know: its version.
    Unknown(String),
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Edited => {
                f.write_str("it is not as `runbook plan` wrote it: its digest does not fit")
            }
            Self::OtherVersion(found) => {
                write!(
                    f,
                    "its format is `{found}`; this version of runbook reads `{SCHEMA}`"
                )
            }
            Self::Unknown(tool) => {
                write!(
                    f,
                    "runbook {tool} made it, and this version cannot read all of it"
                )
            }
        }
    }
}

impl Unusable {
    /// What to do.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Edited => {
                "a plan is carried out as it was reviewed, or not at all: change the runbook or its parameters, and make a new one with `runbook plan FILE --out`"
            }
            Self::OtherVersion(_) | Self::Unknown(_) => {
                "use the version of runbook that made it, or make a new plan with this one"
            }
        }
    }
}

/// Whether a file says that it is a saved plan, of whatever version, whole or not.
pub fn claims_to_be_plan(beginning: &[u8]) -> bool {
    let text = String::from_utf8_lossy(&beginning[..beginning.len().min(256)]);
    let rest = text.trim_start().strip_prefix('{').map(str::trim_start);
    let rest = rest
        .and_then(|rest| rest.strip_prefix("\"schema\""))
        .map(str::trim_start);
    let rest = rest
        .and_then(|rest| rest.strip_prefix(':'))
        .map(str::trim_start);
    rest.and_then(|rest| rest.strip_prefix('"'))
        .is_some_and(|schema| schema.starts_with(FAMILY))
}

/// So much of a file as every version has.
#[derive(Deserialize)]
struct Head {
    schema: String,
    digest: String,
    #[serde(default)]
    tool: String,
}

impl SavedPlan {
    /// A plan, with who made it and its digest.
    pub fn new(plan: Plan, tool: &str, user: &str, host: &str) -> Self {
        let mut saved = Self {
            schema: SCHEMA.to_owned(),
            digest: NO_DIGEST.to_owned(),
            tool: tool.to_owned(),
            user: user.to_owned(),
            host: host.to_owned(),
            plan,
        };
        saved.digest = hexadecimal(saved.text().as_bytes());
        saved
    }

    /// The file's text.
    pub fn text(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// Reads a file of which [`claims_to_be_plan`] holds.
    ///
    /// # Errors
    /// See [`Unusable`].
    pub fn read(bytes: &[u8]) -> Result<Self, Unusable> {
        let head: Head = serde_json::from_slice(bytes).map_err(|_| Unusable::Edited)?;
        if head.schema != SCHEMA {
            return Err(Unusable::OtherVersion(head.schema));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| Unusable::Edited)?;
        // The first occurrence is the field's: nothing that is written before it is as long.
        let bare = text.replacen(&head.digest, NO_DIGEST, 1);
        if head.digest.len() != NO_DIGEST.len() || hexadecimal(bare.as_bytes()) != head.digest {
            return Err(Unusable::Edited);
        }
        let saved: Self =
            serde_json::from_str(text).map_err(|_| Unusable::Unknown(head.tool.clone()))?;
        if !saved.plan.is_intact() {
            return Err(Unusable::Unknown(head.tool));
        }
        Ok(saved)
    }

    /// What the journal of its run says of it.
    pub fn origin(&self) -> SavedFrom {
        SavedFrom {
            digest: self.digest.clone(),
            made: self.plan.created,
            user: self.user.clone(),
            host: self.host.clone(),
        }
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;
    use crate::plan::Survey;
    use crate::runbook::{Parameters, Runbook};

    const SOURCE: &str = "schema: runbook/v1\nname: wait\nsteps:\n  - id: pause\n    action: wait\n    with: { for: 1s }\n";

    fn text() -> String {
        let runbook = Runbook::parse("wait.yaml", SOURCE.as_bytes()).expect("a runbook");
        let plan = Plan::new(
            &runbook,
            Parameters::default(),
            Survey::default(),
            Timestamp::UNIX_EPOCH,
        );
        SavedPlan::new(plan, "0.1.0", "ana", "laptop").text()
    }

    #[test]
    fn what_is_written_is_read() {
        let text = text();
        assert!(claims_to_be_plan(text.as_bytes()));
        let read = SavedPlan::read(text.as_bytes()).expect("as it was written");
        assert_eq!(read.text(), text);
        assert_eq!(read.plan.source, SOURCE);
    }

    #[test]
    fn another_version_and_what_is_no_plan_are_told_apart() {
        let other = text().replace("runbook-plan/v1", "runbook-plan/v2");
        assert!(claims_to_be_plan(other.as_bytes()));
        assert_eq!(
            SavedPlan::read(other.as_bytes()).err(),
            Some(Unusable::OtherVersion("runbook-plan/v2".to_owned()))
        );
        for foreign in ["", "{}", SOURCE, "{\"schema\": \"plan/v1\"}", "[]"] {
            assert!(!claims_to_be_plan(foreign.as_bytes()), "{foreign}");
        }
    }

    #[test]
    fn a_plan_of_a_tool_that_knows_more_is_not_carried_out_in_part() {
        let more = text()
            .replacen("\"plan\": {", "\"plan\": {\n    \"pause\": true,", 1)
            .replacen(
                "\"tool\": \"0.1.0\"",
                "\"tool\": \"0.9.0\", \"signed\": true",
                1,
            );
        let head: Head = serde_json::from_str(&more).expect("JSON");
        let bare = more.replacen(&head.digest, NO_DIGEST, 1);
        let signed = more.replacen(&head.digest, &hexadecimal(bare.as_bytes()), 1);
        assert_eq!(
            SavedPlan::read(signed.as_bytes()).err(),
            Some(Unusable::Unknown("0.9.0".to_owned()))
        );
    }

    proptest! {
        /// An edit either leaves no plan at all, or one that is refused.
        #[test]
        fn no_byte_can_be_changed_added_or_taken_away(at in any::<prop::sample::Index>(), byte in any::<u8>(), how in 0..3) {
            let whole = text().into_bytes();
            let mut edited = whole.clone();
            let at = at.index(whole.len());
            match how {
                0 => edited[at] = byte,
                1 => edited.insert(at, byte),
                _ => drop(edited.remove(at)),
            }
            prop_assume!(edited != whole);
            prop_assert!(!claims_to_be_plan(&edited) || SavedPlan::read(&edited).is_err());
        }
    }
}

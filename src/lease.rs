//! A lock that the service itself keeps, so that two people on two machines do not carry out the same thing at
//! once: its name, its form, and who has it.
//!
//! A runbook's `lock:` gives a name; `runbook-lock:NAME` is the Workflow ID of the *lease*, a Workflow that is
//! started with conflict policy FAIL: the service lets one of that id run at a time, in a namespace. No Worker polls
//! its task queue, so it does nothing; it has no timeout, because one cannot be extended. Its memo says who has it,
//! and a Signal a minute says that the holder lives. It ends when it is terminated: by the run that has it, or by
//! `runbook unlock`.
//!
//! Pure data and words. Calls are `temporal`'s, the life of a lease in a run is `steps::lock`'s.

use std::collections::BTreeMap;
use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// The Workflow Type of a lease.
pub const WORKFLOW_TYPE: &str = "runbook.lock";
/// The task queue of a lease: no Worker may poll it.
pub const TASK_QUEUE: &str = "runbook-locks";
/// The Signal that says that the holder lives.
pub const SIGNAL: &str = "alive";
/// How often it is sent while somebody is attached. A server takes 10,000 Signals a run
/// (`history.maximumSignalsPerExecution`), so about a week of attached time; then it refuses more: the lease holds as
/// before, is looked at once a minute, and its last sign of life stays what it was.
pub const BEAT: SignedDuration = SignedDuration::from_secs(60);
/// A holder without a sign of life for so long is probably dead, or its run waits for somebody.
pub const QUIET: SignedDuration = SignedDuration::from_mins(5);
/// Bytes of the longest name; the service takes ids of 1,000 by default.
const LONGEST: usize = 200;
/// How the Workflow ID of a lease begins.
const PREFIX: &str = "runbook-lock:";

/// The Workflow ID of a lock's lease.
pub fn workflow_id(name: &str) -> String {
    format!("{PREFIX}{name}")
}

/// Whether a Workflow ID is one of a lease.
pub fn is_workflow_id(id: &str) -> bool {
    id.starts_with(PREFIX)
}

/// What `runbook unlock` was given: a lock's name, or the Workflow ID of its lease.
pub fn name_of(text: &str) -> &str {
    text.strip_prefix(PREFIX).unwrap_or(text)
}

/// A lock's name as it is used: without space around it.
///
/// # Errors
/// Why it is no name: empty, too long, or with characters that cannot be seen, by which two names would look alike.
pub fn named(text: &str) -> Result<String, String> {
    let name = text.trim();
    if name.is_empty() {
        return Err("the lock has no name: the text is empty".to_owned());
    }
    if name.len() > LONGEST {
        return Err(format!(
            "the lock's name is {} bytes long; {LONGEST} are allowed",
            name.len()
        ));
    }
    match name.chars().find(|c| is_invisible(*c)) {
        Some(c) => Err(format!(
            "the lock's name holds U+{:04X}, which cannot be seen",
            u32::from(c)
        )),
        None => Ok(name.to_owned()),
    }
}

/// Control characters, line and paragraph separators, marks of direction and of no width.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        )
}

/// What a run writes on its lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The lock's name.
    pub name: String,
    /// The run.
    pub run: String,
    /// The runbook's name.
    pub runbook: String,
    /// Who.
    pub user: String,
    /// Where.
    pub host: String,
}

impl Lease {
    /// The memo, for people who look at the Workflow in the Web UI too.
    pub fn memo(&self, since: Timestamp) -> BTreeMap<String, String> {
        let since = format!("{since:.0}");
        let pairs = [
            ("lock", &self.name),
            ("run", &self.run),
            ("runbook", &self.runbook),
            ("user", &self.user),
            ("host", &self.host),
            ("since", &since),
        ];
        pairs
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.clone()))
            .collect()
    }
}

/// Who has a lock.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The lock's name.
    pub lock: String,
    /// The run.
    pub run: String,
    /// The runbook's name.
    pub runbook: String,
    /// Who took it.
    pub user: String,
    /// On which host.
    pub host: String,
    /// When, by the service's clock.
    pub since: Timestamp,
    /// Latest sign of life, by the service's clock.
    pub seen: Timestamp,
    /// The identity that gave it: another one than the taker's where the run was resumed elsewhere.
    pub seen_by: String,
    /// Run ID of the lease, to look at.
    pub lease: String,
}

impl Holder {
    /// From what the service keeps of a lease; none where it is no lease of this tool.
    pub fn read(
        workflow_type: &str,
        memo: &BTreeMap<String, String>,
        lease: &str,
        since: Timestamp,
    ) -> Option<Self> {
        let of = |name: &str| memo.get(name).cloned().unwrap_or_default();
        (workflow_type == WORKFLOW_TYPE && memo.contains_key("run")).then(|| Self {
            lock: of("lock"),
            run: of("run"),
            runbook: of("runbook"),
            user: of("user"),
            host: of("host"),
            since,
            seen: since,
            seen_by: String::new(),
            lease: lease.to_owned(),
        })
    }

    /// Whether no sign of life has come for a while. A run that waits for somebody gives none either.
    pub fn is_quiet(&self, now: Timestamp) -> bool {
        now.duration_since(self.seen) >= QUIET
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            user,
            host,
            run,
            runbook,
            ..
        } = self;
        write!(f, "{user} on {host}, run {run} of {runbook}")
    }
}

/// What a run does about its lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// Start it. The request id was never sent before: a start in doubt is settled by [`Call::Look`].
    Take {
        /// From run and number of the taking.
        request_id: String,
    },
    /// See who has it.
    Look,
    /// Say that the holder lives.
    Beat {
        /// Run ID of the lease.
        lease: String,
        /// From run, attachment and number of the Signal.
        request_id: String,
    },
    /// Terminate it.
    Release {
        /// Run ID of the lease.
        lease: String,
    },
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// This run has it.
    Ours {
        /// Run ID of the lease.
        lease: String,
    },
    /// Somebody else has it.
    Theirs(Box<Holder>),
    /// Nobody has it.
    Free {
        /// What says so.
        evidence: String,
    },
    /// It was given back.
    Released,
    /// No answer, or none that says whether it happened.
    Doubt(String),
    /// It was refused, and would be again.
    Refused(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_what_can_be_seen_and_told_apart() {
        assert_eq!(
            named("  recover orders:bad "),
            Ok("recover orders:bad".to_owned())
        );
        let bell = named("recover\u{7}").unwrap_err();
        assert!(bell.contains("U+0007"), "{bell}");
        for wrong in ["", " \t", "a\u{202e}b", "a\u{200b}", "a\nb"] {
            assert!(named(wrong).is_err(), "{wrong:?}");
        }
        assert!(named(&"x".repeat(LONGEST)).is_ok());
        assert!(named(&"x".repeat(LONGEST + 1)).is_err());
        assert_eq!(name_of(&workflow_id("recover")), "recover");
        assert_eq!(name_of("recover"), "recover");
    }

    #[test]
    fn a_lease_says_who_has_it_and_nothing_else_is_one() {
        let lease = Lease {
            name: "recover orders:bad".to_owned(),
            run: "rb-1".to_owned(),
            runbook: "recover".to_owned(),
            user: "ana".to_owned(),
            host: "laptop".to_owned(),
        };
        let since: Timestamp = "2026-01-05T03:00:00Z".parse().expect("a time");
        let memo = lease.memo(since);
        let holder = Holder::read(WORKFLOW_TYPE, &memo, "r", since).expect("a lease");
        assert_eq!(holder.to_string(), "ana on laptop, run rb-1 of recover");
        assert_eq!(Holder::read("Order", &memo, "r", since), None);
        assert_eq!(
            Holder::read(WORKFLOW_TYPE, &BTreeMap::new(), "r", since),
            None
        );
        assert!(!holder.is_quiet(since + SignedDuration::from_secs(299)));
        assert!(holder.is_quiet(since + QUIET));
    }
}

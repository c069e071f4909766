//! Who said something: by which name, from where, through what.
//!
//! Pure data, and one rule: when two of them are the same person. How a name was proved is not known here;
//! what takes an answer in says it by [`Through`].

use std::fmt;

use serde::{Deserialize, Serialize};

/// Through what an answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Through {
    /// The terminal of the process that carries the run out.
    #[serde(rename = "prompt")]
    Terminal,
    /// `--yes` or `--confirm`.
    Flag,
    /// A Unix socket on the same machine: the kernel says who is at its other end.
    Socket,
    /// TCP with mutual TLS: the client's certificate says who it is.
    Tls,
    /// The page that `serve --http` shows.
    Page,
    /// A rehearsal's `answers`.
    Rehearsal,
}

impl Through {
    /// To stand after who it was: `alice at a terminal`.
    pub fn words(self) -> &'static str {
        match self {
            Self::Terminal => "at a terminal",
            Self::Flag => "by a flag",
            Self::Socket => "through the socket",
            Self::Tls => "through TLS",
            Self::Page => "on the page",
            Self::Rehearsal => "by the rehearsal",
        }
    }
}

/// A user of a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// The user's name.
    pub name: String,
    /// The number under which the kernel knows it; none where that is not known.
    pub uid: Option<u32>,
}

impl From<&str> for Account {
    fn from(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            uid: None,
        }
    }
}

impl From<&String> for Account {
    fn from(name: &String) -> Self {
        Self::from(name.as_str())
    }
}

/// Who answered, from where, through what.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Witness {
    /// The identity: a user's name, or what a certificate says.
    pub name: String,
    /// `uid N on HOST` for a user of a machine, else the other end's address; empty where it is not known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub from: String,
    /// Through what.
    pub through: Through,
}

impl Witness {
    /// A user of the machine `host`. Everything that runs there says it with the same words.
    pub fn local(account: &Account, host: &str, through: Through) -> Self {
        let from = match account.uid {
            Some(uid) => format!("uid {uid} on {host}"),
            None => host.to_owned(),
        };
        Self {
            name: account.name.clone(),
            from,
            through,
        }
    }

    /// Somebody whom only a rehearsal knows.
    pub fn rehearsed(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            from: String::new(),
            through: Through::Rehearsal,
        }
    }

    /// Whether both are one person, as far as that can be told. In doubt they are: `alice`, `Alice`,
    /// `alice@example.com` and `spiffe://example.com/alice` are one, and so are two names of one user id on one host.
    pub fn is_same_person(&self, other: &Self) -> bool {
        let same_user = self.from.starts_with("uid ") && self.from == other.from;
        same_user || self.person() == other.person()
    }

    /// Whether it names nobody.
    pub fn is_nobody(&self) -> bool {
        self.person().is_empty()
    }

    /// The name without what only says where it is known: `alice@example.com`, `alice+pager@example.com`, `EXAMPLE\alice`
    /// and `spiffe://example.com/team/alice` are `alice`.
    fn person(&self) -> String {
        let name = self.name.trim();
        // A URI has the name last.
        let name = match name.split_once("://") {
            Some((_, path)) => path.trim_end_matches('/').rsplit('/').next(),
            None => name.strip_prefix("mailto:").or(Some(name)),
        };
        let name = name.unwrap_or_default();
        let name = match name.split_once('@') {
            Some((mailbox, _)) => mailbox.split('+').next().unwrap_or_default(),
            None => name,
        };
        let name = name.rsplit('\\').next().unwrap_or_default();
        name.trim().to_lowercase()
    }
}

impl fmt::Display for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.through.words())?;
        match self.from.as_str() {
            "" => Ok(()),
            from => write!(f, " ({from})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str, from: &str) -> Witness {
        Witness {
            name: name.to_owned(),
            from: from.to_owned(),
            through: Through::Tls,
        }
    }

    #[test]
    fn a_name_that_may_be_the_same_persons_is() {
        let alice = named("alice", "uid 1000 on a");
        for same in [
            "alice",
            "Alice",
            " alice",
            "alice@example.com",
            "EXAMPLE\\alice",
            "alice+pager@example.com",
            "mailto:alice@example.com",
            "spiffe://example.com/ops/alice",
            "https://example.com/Alice/",
        ] {
            assert!(alice.is_same_person(&named(same, "10.0.0.1:999")), "{same}");
        }
        for other in [
            "bob",
            "alice2",
            "bob@alice",
            "al ice",
            "alice+bob",
            "spiffe://alice/bob",
        ] {
            assert!(
                !alice.is_same_person(&named(other, "10.0.0.1:999")),
                "{other}"
            );
        }
    }

    #[test]
    fn two_names_of_one_user_id_on_one_host_are_one_person() {
        let alice = named("alice", "uid 1000 on a");
        assert!(alice.is_same_person(&named("bob", "uid 1000 on a")));
        assert!(!alice.is_same_person(&named("bob", "uid 1000 on b")));
        // An address says nothing about who it is: two people may share one.
        assert!(!named("alice", "10.0.0.1:9").is_same_person(&named("bob", "10.0.0.1:9")));
    }

    #[test]
    fn nobody_has_no_name() {
        assert!(named(" @example.com", "").is_nobody());
        assert!(!named("uid 1000", "").is_nobody());
    }
}

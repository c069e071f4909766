//! One Workflow's state as the records tell it: what both folds share.
//!
//! Knows neither counts nor names; it reads one record and says what it changes.

use std::borrow::Cow;

use serde::Serialize;

use crate::record::{Body, Ordinal, Outcome, Settlement, Treatment};

/// How far a Workflow is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Claimed; nothing was sent.
    Claimed,
    /// A write was about to leave, and nothing says how it ended.
    InDoubt,
    /// Done.
    Done,
    /// Nothing was needed.
    Skipped,
    /// It cannot be done to this Workflow.
    Refused,
    /// The call failed, and nothing happened.
    Failed,
    /// Nobody knows.
    Unknown,
    /// A dry run: it would be done.
    Would,
    /// Given back.
    Released,
}

impl State {
    /// As in JSON and CSV.
    pub fn name(self) -> &'static str {
        match self {
            Self::Claimed => "claimed",
            Self::InDoubt => "in_doubt",
            Self::Done => "done",
            Self::Skipped => "skipped",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
            Self::Would => "would",
            Self::Released => "released",
        }
    }

    /// In a sentence: `3 in doubt`.
    pub fn words(self) -> &'static str {
        match self {
            Self::InDoubt => "in doubt",
            Self::Would => "would change",
            state => state.name(),
        }
    }

    /// Whether the step is through with it.
    pub fn is_decided(self) -> bool {
        !matches!(self, Self::Claimed | Self::InDoubt)
    }
}

/// What a treatment is called in JSON, CSV and tables.
pub(super) fn treatment_name(treatment: Treatment) -> &'static str {
    match treatment {
        Treatment::Moved => "moved",
        Treatment::StartedOver => "started_over",
        Treatment::Undone => "undone",
        Treatment::Terminated => "terminated",
        Treatment::Cancelled => "cancelled",
        Treatment::Signalled => "signalled",
    }
}

/// What one record changes about one Workflow. Absent names leave what was known before.
#[derive(Clone, Debug)]
pub(super) struct Change<'a> {
    pub(super) ordinal: Ordinal,
    pub(super) state: State,
    pub(super) row: &'a str,
    pub(super) strategy: &'a str,
    pub(super) treatment: Option<Treatment>,
    pub(super) new_run: Option<&'a str>,
    pub(super) code: &'a str,
    pub(super) message: Cow<'a, str>,
}

impl<'a> Change<'a> {
    fn to(ordinal: Ordinal, state: State) -> Self {
        Change {
            ordinal,
            state,
            row: "",
            strategy: "",
            treatment: None,
            new_run: None,
            code: "",
            message: Cow::Borrowed(""),
        }
    }

    fn saying(mut self, code: &'a str, message: impl Into<Cow<'a, str>>) -> Self {
        self.code = code;
        self.message = message.into();
        self
    }

    /// Code and message, as one reason.
    pub(super) fn reason(&self) -> Cow<'_, str> {
        match (self.code.is_empty(), self.message.is_empty()) {
            (true, _) => Cow::Borrowed(&*self.message),
            (false, true) => Cow::Borrowed(self.code),
            (false, false) => Cow::Owned(format!("{}: {}", self.code, self.message)),
        }
    }
}

/// What a record of one Workflow changes; none for other records.
pub(super) fn change(body: &Body) -> Option<Change<'_>> {
    match body {
        Body::Intent {
            ordinal,
            row,
            strategy,
            treatment,
            ..
        } => Some(Change {
            row,
            strategy,
            treatment: Some(*treatment),
            ..Change::to(*ordinal, State::InDoubt)
        }),
        Body::Outcome {
            ordinal,
            row,
            outcome,
        } => Some(Change {
            row,
            ..of_outcome(*ordinal, outcome)
        }),
        Body::Settled {
            ordinal,
            settlement,
            evidence,
        } => Some(of_settlement(*ordinal, settlement, evidence)),
        Body::Released { ordinal, reason } => {
            Some(Change::to(*ordinal, State::Released).saying("", reason))
        }
        _ => None,
    }
}

fn of_outcome(ordinal: Ordinal, outcome: &Outcome) -> Change<'_> {
    let to = |state| Change::to(ordinal, state);
    match outcome {
        Outcome::Done { new_run } => Change {
            new_run: new_run.as_deref(),
            ..to(State::Done)
        },
        Outcome::Skipped { reason } => to(State::Skipped).saying("", reason),
        Outcome::Refused {
            refusal, message, ..
        } => to(State::Refused).saying(refusal, message),
        Outcome::Failed { code, message } => to(State::Failed).saying(code, message),
        Outcome::Unknown { code, message } => to(State::Unknown).saying(code, message),
        Outcome::Would { what, .. } => to(State::Would).saying("", what),
    }
}

fn of_settlement<'a>(
    ordinal: Ordinal,
    settlement: &'a Settlement,
    evidence: &'a str,
) -> Change<'a> {
    match settlement {
        Settlement::Done { new_run, ours } => {
            let whose = match ours {
                Some(false) => Cow::Owned(format!("done by somebody else ({evidence})")),
                Some(true) | None => Cow::Borrowed(""),
            };
            Change {
                new_run: new_run.as_deref(),
                ..Change::to(ordinal, State::Done).saying("", whose)
            }
        }
        Settlement::NotDone => Change::to(ordinal, State::Claimed),
        Settlement::Unknown => Change::to(ordinal, State::Unknown).saying("", evidence),
    }
}

/// A reason without what tells single Workflows apart, so that equal reasons count together: Run IDs
/// (UUIDs) become `...`.
pub(super) fn without_run_ids(reason: &str) -> Cow<'_, str> {
    let bytes = reason.as_bytes();
    let mut shown = String::new();
    let mut copied = 0;
    let mut at = 0;
    while at + 36 <= bytes.len() {
        if is_uuid(&bytes[at..at + 36]) {
            shown.push_str(&reason[copied..at]);
            shown.push_str("...");
            at += 36;
            copied = at;
        } else {
            at += 1;
        }
    }
    if copied == 0 {
        return Cow::Borrowed(reason);
    }
    shown.push_str(&reason[copied..]);
    Cow::Owned(shown)
}

fn is_uuid(text: &[u8]) -> bool {
    text.iter().enumerate().all(|(i, b)| match i {
        8 | 13 | 18 | 23 => *b == b'-',
        _ => b.is_ascii_hexdigit(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_ids_do_not_tell_reasons_apart() {
        assert_eq!(
            without_run_ids("superseded by 019a0000-0000-7000-8000-00000000000f (Running)"),
            "superseded by ... (Running)"
        );
        assert_eq!(without_run_ids("ü already moved"), "ü already moved");
    }
}

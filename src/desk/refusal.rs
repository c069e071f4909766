//! Why an answer from elsewhere is not taken: what is wrong, and what to do.

use std::fmt;

use crate::approval::Barred;
use crate::record::{Answer, Witness};

/// Why an answer is not taken. Nothing came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The run does not ask that.
    Unknown {
        /// What was answered.
        question: u32,
        /// What it asks now.
        open: Option<u32>,
    },
    /// It is answered already, otherwise or by somebody else.
    Late {
        /// How.
        answer: Answer,
        /// By whom.
        by: Vec<Witness>,
    },
    /// The same person answered already, and entered something else.
    Conflicting,
    /// The question wants another word.
    Word {
        /// The word.
        word: String,
    },
    /// The form does not fit: why.
    Form(String),
    /// That person's yes does not count.
    NotAllowed(Barred),
    /// The run takes no answers any more: why.
    Over(String),
    /// Another process carries the run out: who.
    Held(String),
    /// It cannot be written down: why.
    Journal(String),
}

impl Refusal {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Unknown { .. } => "look at what the run asks now, and answer that",
            Self::Late { .. } | Self::Conflicting => {
                "the first answer stands; stop the run if it should not go on"
            }
            Self::Word { .. } => "type it as it is written",
            Self::Form(_) => "fill in what is missing, and answer again",
            Self::NotAllowed(_) => "ask somebody else to answer",
            Self::Over(_) => "look how the run stands",
            Self::Held(_) => "answer through that process, where it listens, or at its terminal",
            Self::Journal(_) => "nothing was written; see what is wrong with the state file",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { question, open } => {
                write!(f, "the run does not ask question {question} now")?;
                match open {
                    Some(open) => write!(f, ", but question {open}"),
                    None => Ok(()),
                }
            }
            Self::Late { answer, by } => {
                let word = match answer {
                    Answer::Yes => "yes",
                    Answer::No => "no",
                };
                let names: Vec<String> = by.iter().map(Witness::to_string).collect();
                write!(
                    f,
                    "it is answered already: {word}, by {}",
                    names.join(" and ")
                )
            }
            Self::Conflicting => f.write_str("you answered already, with other values in the form"),
            Self::Word { word } => write!(f, "the word `{word}` must be typed to agree"),
            Self::Form(why) => write!(f, "the form does not fit: {why}"),
            Self::NotAllowed(barred) => barred.fmt(f),
            Self::Over(why) => f.write_str(why),
            Self::Held(who) => write!(f, "the run is carried out by {who}"),
            Self::Journal(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Refusal {}

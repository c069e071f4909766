//! Strategies: an action on one Workflow, with its arguments filled in, and what it does in words.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::catalog::{self, OverrideKind, ResetTo, Via};
use crate::record::{Deed, Treatment};
use crate::runbook::EvalError;
use crate::survey::{Override, Version};

/// A strategy with its arguments filled in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Strategy {
    /// Its name.
    pub name: String,
    /// What it does.
    pub call: Call,
    /// Refusal → strategy.
    pub fallback: BTreeMap<String, String>,
}

/// The action of a strategy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "action", content = "with", rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Call {
    Reset(catalog::Reset),
    Options(catalog::UpdateOptions),
    Restart(catalog::Restart),
    Terminate(catalog::Terminate),
    Cancel(catalog::Cancel),
    Signal(catalog::Signal),
}

impl Call {
    /// From an action's name and its rendered arguments.
    pub fn new(action: &str, with: Value) -> Result<Self, EvalError> {
        let call = match action {
            "workflows.reset" => serde_json::from_value(with).map(Self::Reset),
            "workflows.update_options" => serde_json::from_value(with).map(Self::Options),
            "workflows.restart" => serde_json::from_value(with).map(Self::Restart),
            "workflows.terminate" => serde_json::from_value(with).map(Self::Terminate),
            "workflows.cancel" => serde_json::from_value(with).map(Self::Cancel),
            "workflows.signal" => serde_json::from_value(with).map(Self::Signal),
            other => {
                return Err(EvalError::Failed {
                    message: format!("`{other}` is not applied to single Workflows"),
                });
            }
        };
        let call = call.map_err(|error| EvalError::Failed {
            message: format!("arguments of `{action}`: {error}"),
        })?;
        if let Self::Reset(reset) = &call
            && let ResetTo::Before(before) = &reset.to
        {
            before.moment().map_err(|error| EvalError::Failed {
                message: format!("arguments of `{action}`: {error}"),
            })?;
        }
        Ok(call)
    }

    /// Who carries it out.
    pub fn via(&self) -> Via {
        match self {
            Self::Reset(reset) => reset.via,
            Self::Options(options) => options.via,
            Self::Terminate(terminate) => terminate.via,
            Self::Cancel(cancel) => cancel.via,
            Self::Signal(signal) => signal.via,
            Self::Restart(_) => Via::Client,
        }
    }

    /// What it does to a Workflow.
    pub fn treatment(&self) -> Treatment {
        match self {
            Self::Reset(reset) if reset.to == ResetTo::FirstWorkflowTask => Treatment::StartedOver,
            Self::Reset(_) => Treatment::Undone,
            Self::Options(_) => Treatment::Moved,
            Self::Restart(_) => Treatment::StartedOver,
            Self::Terminate(_) => Treatment::Terminated,
            Self::Cancel(_) => Treatment::Cancelled,
            Self::Signal(_) => Treatment::Signalled,
        }
    }

    /// Where it moves a Workflow.
    pub fn target(&self) -> Option<&Version> {
        match self {
            Self::Reset(reset) => reset.version.as_ref(),
            Self::Options(options) => options.version.as_ref(),
            Self::Restart(restart) => Some(&restart.version),
            Self::Terminate(_) | Self::Cancel(_) | Self::Signal(_) => None,
        }
    }

    /// What it does to a Workflow, and where it moves it by that.
    pub fn deed(&self) -> Deed {
        let target = match self {
            Self::Options(_) => match self.over() {
                Some(Override::Pinned { version } | Override::OneTime { version }) => Some(version),
                Some(Override::AutoUpgrade) | None => None,
            },
            _ => self.target().cloned(),
        };
        Deed {
            treatment: self.treatment(),
            target,
        }
    }

    /// In words, imperative.
    pub fn does(&self) -> String {
        let on = self
            .target()
            .map(|version| format!(" on {version}"))
            .unwrap_or_default();
        match self {
            Self::Reset(reset) => {
                format!("{}{on}; {}", reset.to.words(), reset.reapply.words())
            }
            Self::Options(options) => match (options.kind, &options.version) {
                (OverrideKind::Pinned, Some(version)) => {
                    format!("pin to {version}; goes on from where it is")
                }
                (OverrideKind::OneTime, Some(version)) => {
                    format!("move to {version} once; goes on from where it is")
                }
                (OverrideKind::AutoUpgrade, _) => "let it follow the Current Version".to_owned(),
                _ => "unset its Versioning Override".to_owned(),
            },
            Self::Restart(_) => {
                format!("terminate what runs, start anew with the original arguments{on}")
            }
            Self::Terminate(_) => "terminate".to_owned(),
            Self::Cancel(_) => "ask to cancel; it may clean up, or ignore it".to_owned(),
            Self::Signal(signal) => signal_does(signal),
        }
    }

    /// The Versioning Override that it sets, where it does nothing else.
    pub fn over(&self) -> Option<Override> {
        match self {
            Self::Options(options) => match (options.kind, &options.version) {
                (OverrideKind::Pinned, Some(version)) => Some(Override::Pinned {
                    version: version.clone(),
                }),
                (OverrideKind::OneTime, Some(version)) => Some(Override::OneTime {
                    version: version.clone(),
                }),
                (OverrideKind::AutoUpgrade, _) => Some(Override::AutoUpgrade),
                _ => None,
            },
            _ => None,
        }
    }
}

/// So much of a Signal's input is shown.
const LONGEST_INPUT: usize = 120;

fn signal_does(signal: &catalog::Signal) -> String {
    let name = &signal.name;
    let values: Vec<String> = signal.values().iter().map(ToString::to_string).collect();
    if values.is_empty() {
        return format!("send Signal `{name}`");
    }
    let mut shown = values.join(", ");
    if let Some((at, _)) = shown.char_indices().nth(LONGEST_INPUT) {
        shown.truncate(at);
        shown.push('…');
    }
    format!("send Signal `{name}` with {shown}")
}

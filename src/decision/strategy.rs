//! Strategies: an action on one Workflow, with its arguments filled in, and what it does in words.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::catalog::{self, OverrideKind, Reapply, ResetTo};
use crate::record::Treatment;
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
}

impl Call {
    /// From an action's name and its rendered arguments.
    pub fn new(action: &str, with: Value) -> Result<Self, EvalError> {
        let call = match action {
            "workflows.reset" => serde_json::from_value(with).map(Self::Reset),
            "workflows.update_options" => serde_json::from_value(with).map(Self::Options),
            "workflows.restart" => serde_json::from_value(with).map(Self::Restart),
            "workflows.terminate" => serde_json::from_value(with).map(Self::Terminate),
            other => {
                return Err(EvalError::Failed {
                    message: format!("`{other}` is not applied to single Workflows"),
                });
            }
        };
        call.map_err(|error| EvalError::Failed {
            message: format!("arguments of `{action}`: {error}"),
        })
    }

    /// What it does to a Workflow.
    pub fn treatment(&self) -> Treatment {
        match self {
            Self::Reset(reset) if reset.to == ResetTo::FirstWorkflowTask => Treatment::StartedOver,
            Self::Reset(_) => Treatment::Undone,
            Self::Options(_) => Treatment::Moved,
            Self::Restart(_) => Treatment::StartedOver,
            Self::Terminate(_) => Treatment::Terminated,
        }
    }

    /// Where it moves a Workflow.
    pub fn target(&self) -> Option<&Version> {
        match self {
            Self::Reset(reset) => reset.version.as_ref(),
            Self::Options(options) => options.version.as_ref(),
            Self::Restart(restart) => Some(&restart.version),
            Self::Terminate(_) => None,
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
                let to = match reset.to {
                    ResetTo::FirstWorkflowTask => "start over from the first Workflow Task",
                    ResetTo::LastWorkflowTask => "reset to the last completed Workflow Task",
                };
                let reapply = match reset.reapply {
                    Reapply::All => "re-apply Signals and Updates",
                    Reapply::WithoutSignals => "re-apply Updates, not Signals",
                    Reapply::WithoutUpdates => "re-apply Signals, not Updates",
                    Reapply::None => "re-apply nothing",
                };
                format!("{to}{on}; {reapply}")
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
        }
    }

    pub(super) fn over(&self) -> Option<Override> {
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

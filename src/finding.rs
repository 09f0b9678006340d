//! What became of a check: the words that a restore drill and its history share.

use serde::{Deserialize, Serialize};

/// How a check, or a whole drill, came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Outcome {
    Passed,
    /// It could not be done, so nothing is known.
    Inconclusive,
    Failed,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Check {
    pub(crate) name: String,
    pub(crate) outcome: Outcome,
    /// What was seen, in a sentence.
    pub(crate) detail: String,
    /// What could not be judged, although the check passed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) unjudged: Vec<String>,
}

impl Check {
    pub(crate) fn with_unjudged(self, unjudged: Vec<String>) -> Self {
        Self {
            detail: format!("{}: {}", self.detail, unjudged.join("; ")),
            unjudged,
            ..self
        }
    }

    pub(crate) fn passed(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(name, Outcome::Passed, detail)
    }

    pub(crate) fn failed(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(name, Outcome::Failed, detail)
    }

    pub(crate) fn inconclusive(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(name, Outcome::Inconclusive, detail)
    }

    fn new(name: impl Into<String>, outcome: Outcome, detail: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            outcome,
            detail: detail.into(),
            unjudged: Vec::new(),
        }
    }
}

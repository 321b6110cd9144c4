//! How a case came out.

use serde_json::json;

use super::case::Difference;
use super::known::Known;

/// How a case came out, with the words for it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum CaseOutcome {
    Passed,
    /// It is on the list of known differences.
    Known(String),
    /// It needs a node class or a family of models that is not there yet.
    NotThere(String),
    Failed(String),
}

pub(super) struct Verdict {
    /// The case's folder, as the user named its beginning.
    pub(super) name: String,
    pub(super) seconds: f64,
    pub(super) outcome: CaseOutcome,
    /// The first one beyond the tolerance.
    pub(super) difference: Option<Difference>,
    /// The largest difference over all compared tensors: over the largest expected value or 1, and as a share of the
    /// tolerance.
    pub(super) largest: f64,
    pub(super) closeness: f64,
}

impl CaseOutcome {
    /// What to say of it; nothing of a case that passed.
    pub(super) fn words(&self) -> Option<String> {
        match self {
            Self::Passed => None,
            Self::NotThere(what) => Some(format!("not there yet: {what}")),
            Self::Known(what) | Self::Failed(what) => Some(what.clone()),
        }
    }
}

impl Verdict {
    pub(super) fn passed(name: String) -> Self {
        Self { name, seconds: 0.0, outcome: CaseOutcome::Passed, difference: None, largest: 0.0, closeness: 0.0 }
    }

    /// Equal in every bit.
    pub(super) fn is_equal(&self) -> bool {
        self.outcome == CaseOutcome::Passed && self.largest == 0.0
    }

    /// Tells a difference that is known from a failure.
    pub(super) fn knowing(mut self, known: Option<&Known>) -> Self {
        let Some(known) = known else { return self };
        self.outcome = match (self.outcome, &self.difference) {
            (CaseOutcome::Failed(failure), Some(_)) if known.covers(self.largest) => {
                CaseOutcome::Known(format!("differs as known ({failure}): {}", known.reason))
            }
            (CaseOutcome::Failed(failure), Some(_)) => {
                CaseOutcome::Failed(format!("{failure}; more than is known of it ({})", known.reason))
            }
            (CaseOutcome::Passed, _) => CaseOutcome::Known(
                "is listed among the known differences and does not differ; take it off the list".into(),
            ),
            (other, _) => other,
        };
        self
    }

    pub(super) fn to_json(&self) -> serde_json::Value {
        let words = |of: fn(&CaseOutcome) -> bool| self.outcome.words().filter(|_| of(&self.outcome));
        json!({
            "case": self.name,
            "passed": self.outcome == CaseOutcome::Passed,
            "failure": words(|outcome| matches!(outcome, CaseOutcome::Failed(_))),
            "known": words(|outcome| matches!(outcome, CaseOutcome::Known(_))),
            "not_there": words(|outcome| matches!(outcome, CaseOutcome::NotThere(_))),
            "first_difference": self.difference.as_ref().map(Difference::to_json),
            "largest": self.largest,
            "closeness": self.closeness,
            "seconds": self.seconds,
        })
    }
}

//! How a case came out.

use serde_json::{Value as Json, json};

use super::known::Known;
use super::run::{Compared, largest_and_closeness};
use crate::compare::cause::Cause;
use crate::compare::changed::ChangeKind;

/// How a case came out, with the words for it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum CaseOutcome {
    Passed,
    /// It is on the list of known differences.
    Known(String),
    /// It needs a node class or a family of models that is not there yet.
    NotThere(String),
    /// It needs a model or a picture that is not here.
    Missing(String),
    /// It differed, and that is expected from now on.
    Accepted(String),
    Failed(String),
}

pub(super) struct Verdict {
    /// The case's folder, as the user named its beginning.
    pub(super) name: String,
    pub(super) seconds: f64,
    pub(super) outcome: CaseOutcome,
    /// The first one beyond the tolerance.
    pub(super) difference: Option<Json>,
    pub(super) cause: Option<Cause>,
    /// The largest difference over all compared tensors: over the largest expected value or 1, and as a share of the
    /// tolerance.
    pub(super) largest: f64,
    pub(super) closeness: f64,
    /// What is worth saying of a case that passed.
    pub(super) remarks: Vec<String>,
}

impl CaseOutcome {
    /// What to say of it; nothing of a case that passed.
    pub(super) fn words(&self) -> Option<String> {
        match self {
            Self::Passed => None,
            Self::NotThere(what) => Some(format!("not there yet: {what}")),
            Self::Missing(what) => Some(format!("missing: {what}")),
            Self::Accepted(what) => Some(format!("accepted: {what}")),
            Self::Known(what) | Self::Failed(what) => Some(what.clone()),
        }
    }
}

impl Verdict {
    pub(super) fn passed(name: String) -> Self {
        Self {
            name,
            seconds: 0.0,
            outcome: CaseOutcome::Passed,
            difference: None,
            cause: None,
            largest: 0.0,
            closeness: 0.0,
            remarks: Vec::new(),
        }
    }

    /// What the comparison says.
    pub(super) fn take(&mut self, compared: &Compared) {
        (self.largest, self.closeness) = largest_and_closeness(&compared.deviations);
        match compared.first() {
            Some(first) => {
                let cause = compared.evidence().cause(&first.place.node);
                self.outcome = CaseOutcome::Failed(format!("{first}; {cause}"));
                self.difference = Some(first.to_json());
                self.cause = Some(cause);
            }
            None => {
                let changes =
                    compared.changed.iter().flat_map(|(id, changes)| changes.iter().map(move |one| (id, one)));
                let files =
                    changes.filter(|(_, change)| matches!(change.kind, ChangeKind::Model | ChangeKind::Picture));
                self.remarks =
                    files.map(|(id, change)| format!("passed, though node {id}: {}", change.words)).collect();
            }
        }
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

    /// Lines for people; none of a case that passed without a remark.
    pub(super) fn lines(&self) -> Vec<String> {
        let words = self.outcome.words().into_iter().chain(self.remarks.iter().cloned());
        words.map(|words| format!("{}: {words}", self.name)).collect()
    }

    pub(super) fn to_json(&self) -> Json {
        let words = |of: fn(&CaseOutcome) -> bool| self.outcome.words().filter(|_| of(&self.outcome));
        json!({
            "case": self.name,
            "passed": self.outcome == CaseOutcome::Passed,
            "failure": words(|outcome| matches!(outcome, CaseOutcome::Failed(_))),
            "known": words(|outcome| matches!(outcome, CaseOutcome::Known(_))),
            "not_there": words(|outcome| matches!(outcome, CaseOutcome::NotThere(_))),
            "missing": words(|outcome| matches!(outcome, CaseOutcome::Missing(_))),
            "accepted": words(|outcome| matches!(outcome, CaseOutcome::Accepted(_))),
            "first_difference": self.difference,
            "cause": self.cause,
            "largest": self.largest,
            "closeness": self.closeness,
            "remarks": self.remarks,
            "seconds": self.seconds,
        })
    }
}

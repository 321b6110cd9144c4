//! The result: counts, and JUnit's XML, which CI servers read.

use std::fmt;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use indexmap::IndexMap;
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use redraft_engine::aside::Aside;
use serde_json::{Value as Json, json};

use super::verdict::{CaseOutcome, Verdict};
use crate::exit::Exit;

/// How many cases came out how.
#[derive(Default)]
pub(super) struct Counts {
    passed: usize,
    /// Those of the passed that are equal in every bit.
    equal: usize,
    known: usize,
    not_there: usize,
    /// Those that need a model or a picture that is not here.
    missing: usize,
    accepted: usize,
    failed: usize,
}

impl Counts {
    pub(super) fn of<'v>(verdicts: impl IntoIterator<Item = &'v Verdict>) -> Self {
        let mut counts = Self::default();
        for verdict in verdicts {
            counts.equal += usize::from(verdict.is_equal());
            *match verdict.outcome {
                CaseOutcome::Passed => &mut counts.passed,
                CaseOutcome::Known(_) => &mut counts.known,
                CaseOutcome::NotThere(_) => &mut counts.not_there,
                CaseOutcome::Missing(_) => &mut counts.missing,
                CaseOutcome::Accepted(_) => &mut counts.accepted,
                CaseOutcome::Failed(_) => &mut counts.failed,
            } += 1;
        }
        counts
    }

    pub(super) fn exit(&self) -> Exit {
        match (self.failed, self.not_there + self.missing) {
            (0, 0) => Exit::Done,
            (0, _) => Exit::Missing,
            _ => Exit::NodeFailed,
        }
    }
}

impl Counts {
    /// The last line of `--json`.
    pub(super) fn to_json(&self) -> Json {
        let Self { passed, equal, known, not_there, missing, accepted, failed } = self;
        json!({ "counts": {
            "passed": passed, "equal": equal, "known": known, "not_there": not_there, "missing": missing,
            "accepted": accepted, "failed": failed,
        }})
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed", self.passed)?;
        for (count, what) in [
            (self.equal, "of them equal in every bit"),
            (self.known, "differ as known"),
            (self.not_there, "not there yet"),
            (self.missing, "missing"),
            (self.accepted, "accepted"),
        ] {
            if count > 0 {
                write!(f, ", {count} {what}")?;
            }
        }
        write!(f, ", {} failed", self.failed)
    }
}

/// A line of counts for each folder of cases.
pub(super) fn by_folder(verdicts: &[Verdict]) -> Vec<String> {
    let mut folders: IndexMap<&Path, Vec<&Verdict>> = IndexMap::new();
    for verdict in verdicts {
        folders.entry(Path::new(&verdict.name).parent().unwrap_or(Path::new(""))).or_default().push(verdict);
    }
    folders.into_iter().map(|(folder, of)| format!("{}: {}", folder.display(), Counts::of(of))).collect()
}

pub(super) fn write_junit(path: &Path, verdicts: &[Verdict]) -> anyhow::Result<()> {
    let mut suite = TestSuite::new("redraft verify");
    for verdict in verdicts {
        let mut status = match verdict.outcome {
            CaseOutcome::Passed | CaseOutcome::Known(_) | CaseOutcome::Accepted(_) => TestCaseStatus::success(),
            CaseOutcome::NotThere(_) | CaseOutcome::Missing(_) => TestCaseStatus::skipped(),
            CaseOutcome::Failed(_) => TestCaseStatus::non_success(NonSuccessKind::Failure),
        };
        if let (Some(words), CaseOutcome::NotThere(_) | CaseOutcome::Missing(_) | CaseOutcome::Failed(_)) =
            (verdict.outcome.words(), &verdict.outcome)
        {
            status.set_message(words);
        }
        let mut case = TestCase::new(verdict.name.as_str(), status);
        case.set_time(Duration::from_secs_f64(verdict.seconds));
        suite.add_test_case(case);
    }
    let mut report = Report::new("redraft");
    report.add_test_suite(suite);
    let mut aside = Aside::of(path)?;
    aside.write_all(report.to_string()?.as_bytes())?;
    Ok(aside.stand_over()?)
}

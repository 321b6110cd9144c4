//! The result in JUnit's XML, which CI servers read.

use std::path::Path;
use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::Verdict;

pub(super) fn write_junit(path: &Path, verdicts: &[Verdict]) -> anyhow::Result<()> {
    let mut suite = TestSuite::new("redraft verify");
    for verdict in verdicts {
        let mut status = TestCaseStatus::success();
        if let Some(failure) = &verdict.failure {
            status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_message(failure.as_str());
        }
        let mut case = TestCase::new(verdict.name.as_str(), status);
        case.set_time(Duration::from_secs_f64(verdict.seconds));
        suite.add_test_case(case);
    }
    let mut report = Report::new("redraft");
    report.add_test_suite(suite);
    fs_err::write(path, report.to_string()?)?;
    Ok(())
}

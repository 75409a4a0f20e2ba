use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, SerializeError, TestCase, TestCaseStatus, TestSuite};

use super::Verdict;

/// The results as `JUnit` XML: one suite, named like the agent.
pub(super) fn report(agent: &str, verdicts: &[Verdict]) -> Result<String, SerializeError> {
    let mut suite = TestSuite::new(agent);
    suite.add_test_cases(verdicts.iter().map(|verdict| case(agent, verdict)));
    let mut report = Report::new("host test");
    report.add_test_suite(suite);
    report.to_string()
}

fn case(agent: &str, verdict: &Verdict) -> TestCase {
    let status = match &verdict.failure {
        None => TestCaseStatus::success(),
        Some(failure) => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_message("what came is not what is expected").set_description(failure.as_str());
            status
        }
    };
    let mut case = TestCase::new(verdict.name.as_str(), status);
    case.set_classname(agent).set_time(Duration::from_micros(verdict.wall_us));
    case
}

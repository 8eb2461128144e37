//! Runs suites and says how they went.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use serde_json::Value;

use crate::Outcome;
use crate::corpus::Suite;
use crate::suites::runner;

/// How a corpus went.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// One entry a suite.
    pub suites: Vec<SuiteReport>,
}

/// How a suite went.
#[derive(Clone, Debug, Default)]
pub struct SuiteReport {
    /// Its name.
    pub suite: String,
    /// Cases that went as expected.
    pub passed: usize,
    /// Cases that did not, and are not known to: `suite/id`, expected, got.
    pub failed: Vec<(String, String, String)>,
    /// Cases that did not and are known to: `suite/id` and the rule.
    pub known: Vec<(String, String)>,
    /// Cases that passed although they are known to fail.
    pub known_but_passed: Vec<String>,
    /// Cases that were not run, by reason.
    pub skipped: BTreeMap<String, usize>,
}

impl Report {
    /// Runs all cases. `known` names those that may fail, with the rule.
    pub fn run(suites: &[Suite], known: &BTreeMap<String, String>) -> Report {
        Report { suites: suites.iter().map(|suite| SuiteReport::run(suite, known)).collect() }
    }

    /// Whether nothing failed that is not known to, and nothing known to fail
    /// passed.
    pub fn is_good(&self) -> bool {
        self.suites.iter().all(|suite| suite.failed.is_empty() && suite.known_but_passed.is_empty())
    }
}

impl SuiteReport {
    fn run(suite: &Suite, known: &BTreeMap<String, String>) -> SuiteReport {
        let mut report = SuiteReport { suite: suite.suite.clone(), ..SuiteReport::default() };
        for case in &suite.cases {
            let id = format!("{}/{}", suite.suite, case.get("id").and_then(Value::as_str).unwrap_or("?"));
            let outcome = match runner(&suite.suite) {
                Some(run) => run(case),
                None => Outcome::Skipped(format!("there is no runner for the suite `{}`", suite.suite)),
            };
            match (outcome, known.get(&id)) {
                (Outcome::Passed, None) => report.passed += 1,
                (Outcome::Passed, Some(_)) => report.known_but_passed.push(id),
                (Outcome::Failed { .. }, Some(rule)) => report.known.push((id, rule.clone())),
                (Outcome::Failed { expected, got }, None) => report.failed.push((id, expected, got)),
                (Outcome::Skipped(reason), _) => *report.skipped.entry(reason).or_default() += 1,
            }
        }
        report
    }

    fn skipped_count(&self) -> usize {
        self.known.len() + self.skipped.values().sum::<usize>()
    }

    fn failed_count(&self) -> usize {
        self.failed.len() + self.known_but_passed.len()
    }
}

/// A line a suite, then each failure with expected and got, what is known to
/// fail with its rule, what was skipped and why, and last `N passed, N failed,
/// N skipped` alone on a line.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut details = String::new();
        let (mut passed, mut failed, mut skipped) = (0, 0, 0);
        for suite in &self.suites {
            let counts = (suite.passed, suite.failed_count(), suite.skipped_count());
            let all = counts.0 + counts.1 + counts.2;
            writeln!(
                f,
                "{:<17} {:>4} of {all} passed, {} failed, {} skipped",
                suite.suite, counts.0, counts.1, counts.2
            )?;
            (passed, failed, skipped) = (passed + counts.0, failed + counts.1, skipped + counts.2);
            for (id, expected, got) in &suite.failed {
                writeln!(details, "failed  {id}\n    expected {expected}\n    got      {got}")?;
            }
            for id in &suite.known_but_passed {
                writeln!(details, "failed  {id}\n    is listed as a known failure and passed")?;
            }
            for (id, rule) in &suite.known {
                writeln!(details, "known   {id}  # {rule}")?;
            }
            for (reason, count) in &suite.skipped {
                writeln!(details, "skipped {count}: {reason}")?;
            }
        }
        write!(f, "{details}{passed} passed, {failed} failed, {skipped} skipped")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_is_known_to_fail_as_skipped_and_names_a_suite_that_it_cannot_run() {
        let mut suite = SuiteReport { suite: "jsonpath".to_owned(), passed: 2, ..SuiteReport::default() };
        suite.known.push(("jsonpath/a".to_owned(), "rule".to_owned()));
        let unknown = Suite { suite: "nope".to_owned(), cases: vec![serde_json::json!({ "id": "x" })] };
        let report = Report { suites: vec![suite, SuiteReport::run(&unknown, &BTreeMap::new())] };
        assert!(report.is_good());
        let lines = [
            "jsonpath             2 of 3 passed, 0 failed, 1 skipped",
            "nope                 0 of 1 passed, 0 failed, 1 skipped",
            "known   jsonpath/a  # rule",
            "skipped 1: there is no runner for the suite `nope`",
            "2 passed, 0 failed, 2 skipped",
        ];
        assert_eq!(report.to_string(), lines.join("\n"));
    }

    #[test]
    fn is_bad_when_a_known_failure_passes() {
        let suite = SuiteReport { known_but_passed: vec!["a/b".to_owned()], ..SuiteReport::default() };
        assert!(!Report { suites: vec![suite] }.is_good());
    }
}

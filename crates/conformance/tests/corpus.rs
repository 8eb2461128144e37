//! The copied corpus passes but for what is known to fail, and no known
//! failure passes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use conformance::corpus::{read, read_known};
use conformance::report::Report;

#[track_caller]
fn check(cases: &str, known: &BTreeMap<String, String>, passed_min: usize) {
    let suites = read(&corpus().join(cases)).expect("the cases are part of the checkout");
    let report = Report::run(&suites, known);
    assert!(report.is_good(), "{report}");
    let passed: usize = report.suites.iter().map(|suite| suite.passed).sum();
    assert!(passed >= passed_min, "{report}");
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/conformance")
}

#[test]
fn nothing_fails_but_what_is_known_to() {
    let known = read_known(&corpus().join("known-failures.txt")).expect("the list is part of the checkout");
    check("cases", &known, 851);
}

/// Cases that we wrote ourselves from the behaviour references, without
/// looking at the code.
#[test]
fn our_own_cases_pass() {
    check("ours", &BTreeMap::new(), 1825);
}

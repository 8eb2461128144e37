//! The copied corpus passes but for what is known to fail, and no known
//! failure passes.

use std::path::Path;

use conformance::corpus::{read, read_known};
use conformance::report::Report;

#[test]
fn nothing_fails_but_what_is_known_to() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/conformance");
    let suites = read(&corpus.join("cases")).expect("the corpus is part of the checkout");
    let known = read_known(&corpus.join("known-failures.txt")).expect("the list is part of the checkout");
    let report = Report::run(&suites, &known);
    assert!(report.is_good(), "{report}");
    let passed: usize = report.suites.iter().map(|suite| suite.passed).sum();
    assert!(passed > 600, "{report}");
}

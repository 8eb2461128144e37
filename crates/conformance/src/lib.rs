//! Runs the language-neutral cases that fix the connector's behaviour.
//!
//! ```text
//! folder of suites --read--> cases --suite's runner--> outcomes --compare with known--> report
//! ```
//!
//! A runner builds a case's input, calls the same public functions as the two
//! binaries, and compares with `expect`. It knows no case by name. What a case
//! means is in the corpus' README (`tests/conformance/README.md`).

pub mod corpus;
pub mod report;
mod scripted_server;
pub mod suites;

use serde_json::Value;

/// How one case went.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// As expected.
    Passed,
    /// Otherwise: what was expected and what came, as short text.
    Failed {
        /// The expectation that was not met.
        expected: String,
        /// What came instead.
        got: String,
    },
    /// Not run, with the reason.
    Skipped(String),
}

impl Outcome {
    /// Passed when the two are equal, else failed with both as text.
    pub fn compare<T: PartialEq + std::fmt::Debug + ?Sized>(expected: &T, got: &T) -> Outcome {
        if expected == got {
            return Outcome::Passed;
        }
        Outcome::Failed { expected: format!("{expected:?}"), got: format!("{got:?}") }
    }

    /// A failure.
    pub fn failed(expected: impl Into<String>, got: impl Into<String>) -> Outcome {
        Outcome::Failed { expected: expected.into(), got: got.into() }
    }
}

/// Runs one case of a suite.
pub type Runner = fn(&Value) -> Outcome;

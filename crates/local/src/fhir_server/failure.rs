//! What the server refuses, as a status and an OperationOutcome.
//!
//! Texts name elements and rules, never a value or an id out of a request.

use serde_json::{Value, json};

/// A refused request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{diagnostics}")]
pub(super) struct Failure {
    /// HTTP status.
    pub(super) status: u16,
    /// Code of the value set `issue-type`.
    pub(super) code: &'static str,
    /// What was wrong, for the reader of the answer.
    pub(super) diagnostics: String,
}

impl Failure {
    pub(super) fn new(status: u16, code: &'static str, diagnostics: impl Into<String>) -> Self {
        Self { status, code, diagnostics: diagnostics.into() }
    }

    /// 400: the content does not have the form that FHIR gives it.
    pub(super) fn structure(diagnostics: impl Into<String>) -> Self {
        Self::new(400, "structure", diagnostics)
    }

    /// 400: the request itself is wrong.
    pub(super) fn invalid(diagnostics: impl Into<String>) -> Self {
        Self::new(400, "invalid", diagnostics)
    }

    pub(super) fn not_found() -> Self {
        Self::new(404, "not-found", "there is no such resource")
    }

    pub(super) fn deleted() -> Self {
        Self::new(410, "deleted", "the resource was deleted")
    }

    pub(super) fn several_matches() -> Self {
        Self::new(412, "multiple-matches", "the condition matches more than one resource")
    }

    pub(super) fn not_supported(what: &str) -> Self {
        Self::new(405, "not-supported", format!("{what} is not supported"))
    }

    /// The OperationOutcome of the answer.
    pub(super) fn outcome(&self) -> Value {
        let diagnostics = &self.diagnostics;
        json!({
            "resourceType": "OperationOutcome",
            "issue": [{ "severity": "error", "code": self.code, "diagnostics": diagnostics }],
        })
    }
}

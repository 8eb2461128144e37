//! What a function answers (functions-eventhubs-keda.md 1.12).

use serde::Serialize;
use serde_json::Value;

/// The body of a 200. Always an object: the host waits until its time-out for
/// an invocation that answers `null`.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Answer {
    /// Values for output bindings; we have none.
    pub outputs: serde_json::Map<String, Value>,
    /// Lines for the function's log, at level Information.
    pub logs: Vec<String>,
    /// No `$return` binding takes it, so the host passes it by; people and
    /// tests read the fates here.
    pub return_value: Value,
}

//! Who wants to know what functions answer, and what they are told.

use std::fmt;
use std::io::{ErrorKind, Write, stdout};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Who wants to know what functions answer.
pub trait Audience: fmt::Debug + Send + Sync {
    /// Takes note of an answer. The position behind its events is stored when this
    /// returns, so it is called by whoever works on the partition, and holds that up.
    fn hear(&self, answered: Answered);
}

/// What a function answered to a batch; a batch that comes again is answered
/// again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answered {
    /// The function.
    pub function: String,
    /// The partition; empty for a request.
    pub partition: String,
    /// The sequence numbers of the events, in order; none for a request, which
    /// is never repeated by the host.
    pub sequence_numbers: Vec<i64>,
    /// The `ReturnValue`, or the answer to a request.
    pub return_value: Value,
}

/// Prints each [`Answered`] on standard output, a JSON object a line.
#[derive(Clone, Copy, Debug)]
pub struct Printed;

impl Audience for Printed {
    fn hear(&self, answered: Answered) {
        let line = serde_json::to_string(&answered).map_err(std::io::Error::from);
        match line.and_then(|line| writeln!(stdout().lock(), "{line}")) {
            // Whoever read it has gone.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
            Err(error) => tracing::error!(%error, "An answer cannot be told"),
            Ok(()) => {}
        }
    }
}

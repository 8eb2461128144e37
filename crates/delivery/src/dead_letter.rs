//! What was rejected, kept whole so that it can be looked at and given again.

use std::future::Future;

use crate::away::Away;
use crate::batch::Position;
use crate::fate::Reason;

/// Where on the path something was rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// An event, by normalize.
    Normalize,
    /// A measurement, by group-convert.
    GroupConvert,
}

impl Stage {
    /// The name of the function.
    pub fn as_str(self) -> &'static str {
        match self {
            Stage::Normalize => "normalize",
            Stage::GroupConvert => "group-convert",
        }
    }
}

/// One rejected event or measurement with its original bytes: the only output
/// that holds payload.
#[derive(Clone, Debug, PartialEq)]
pub struct DeadLetter<'b> {
    /// Where it was rejected.
    pub stage: Stage,
    /// Why.
    pub reason: Reason,
    /// The version of the mapping in use, as [`crate::Load`] gave it.
    pub mapping_version: String,
    /// Where it came from.
    pub position: Position,
    /// Of an event with several measurements, which; 0 otherwise.
    pub measurement: usize,
    /// The event's bytes as received.
    pub body: &'b [u8],
    /// The application properties as JSON text, or empty.
    pub properties: String,
    /// The system properties as JSON text, or empty.
    pub system_properties: String,
}

/// A durable place for dead letters.
///
/// Writing the same letter again (same hub, partition, sequence number, index
/// and reason) makes no second one: a batch that is given again repeats its
/// rejections.
pub trait DeadLetters {
    /// Stores all letters, or fails as a whole; when it returns they are
    /// durable.
    fn record(&self, letters: &[DeadLetter<'_>]) -> impl Future<Output = Result<(), Away>> + Send;
}

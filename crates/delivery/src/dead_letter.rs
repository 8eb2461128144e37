//! What was rejected, kept whole so that it can be looked at and given again.

use std::fmt;
use std::future::Future;

use serde::{Deserialize, Serialize};

use crate::away::Away;
use crate::batch::Position;
use crate::fate::Reason;
use crate::text::KeptProperties;

/// Where on the path something was rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
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
#[derive(Clone, PartialEq)]
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
    /// The application properties.
    pub properties: KeptProperties,
    /// The system properties.
    pub system_properties: KeptProperties,
}

/// Without body and properties: they hold what is a patient's.
impl fmt::Debug for DeadLetter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadLetter")
            .field("stage", &self.stage)
            .field("reason", &self.reason)
            .field("mapping_version", &self.mapping_version)
            .field("position", &self.position)
            .field("measurement", &self.measurement)
            .field("body.len", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// Dead letters are recorded in slices of so many, each of which may hold a
/// copy of its event's properties.
pub(crate) const LETTERS_AT_ONCE: usize = 64;

/// A durable place for dead letters.
///
/// Writing a letter with the same [`DeadLetter::key`] again makes no second one:
/// a batch that is given again repeats its rejections.
pub trait DeadLetters {
    /// Stores all letters, or fails as a whole; when it returns they are
    /// durable.
    fn record(&self, letters: &[DeadLetter<'_>]) -> impl Future<Output = Result<(), Away>> + Send;
}

#[cfg(test)]
mod tests {
    use expressions::{Properties, UtcTime};

    use super::*;
    use crate::batch::{Batch, BatchEvent, Source};

    #[test]
    fn shows_nothing_of_the_event_to_a_debugger() {
        const MARK: &str = "mark4711";
        let text = format!("{{\"d\":\"{MARK}\"}}");
        let properties = Properties::Json { text: &text, dates: &[] };
        let event = BatchEvent {
            body: text.as_bytes(),
            properties,
            system_properties: properties,
            sequence_number: Some(3),
            enqueued_time: UtcTime::MIN,
        };
        let source = Source { hub: "devicedata".to_owned(), ..Source::default() };
        let batch = Batch { source: &source, events: vec![event] };
        let letter = DeadLetter {
            stage: Stage::Normalize,
            reason: Reason::new("InvalidDataFormat", "not JSON"),
            mapping_version: "v1".to_owned(),
            position: batch.position(0),
            measurement: 0,
            body: text.as_bytes(),
            properties: KeptProperties { text: text.clone(), dates: Vec::new() },
            system_properties: KeptProperties { text: text.clone(), dates: Vec::new() },
        };
        let shown = format!("{event:?} {batch:?} {letter:?}");
        let bytes = format!("{:?}", MARK.as_bytes());
        assert!(!shown.contains(MARK) && !shown.contains(bytes.trim_matches(['[', ']'])), "{shown}");
        assert!(shown.contains("devicedata") && shown.contains("InvalidDataFormat"), "{shown}");
    }
}

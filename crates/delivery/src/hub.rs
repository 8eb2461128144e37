//! A hub with partitions, as the delivery loop reads it.

use std::fmt;
use std::future::Future;

use expressions::time::DateTime;
use expressions::{PropertyValue, UtcTime};

use crate::away::Away;
use crate::batch::Source;
use crate::window::Queued;

/// A hub, seen through one consumer group.
pub trait Hub: Send + Sync + 'static {
    /// Reads one partition.
    type Reader: Reader;

    /// Where the events of a partition come from.
    fn source(&self, partition: &str) -> Source;

    /// The ids of the partitions.
    fn partitions(&self) -> impl Future<Output = Result<Vec<String>, Away>> + Send;

    /// What a partition holds.
    fn bounds(&self, partition: &str) -> impl Future<Output = Result<Bounds, Away>> + Send;

    /// Begins to read a partition. No more than `credit` events, which is at
    /// least 1, are on their way and not yet given to the caller.
    fn open(
        &self,
        partition: &str,
        from: Start,
        credit: usize,
    ) -> impl Future<Output = Result<Self::Reader, Away>> + Send;
}

/// Reads one partition in its order.
pub trait Reader: Send + 'static {
    /// The next event; waits until there is one. Loses none when it is dropped
    /// before it is done.
    fn next(&mut self) -> impl Future<Output = Result<HubEvent, ReadError>> + Send;
}

/// Where to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With the oldest event that is retained.
    Beginning,
    /// With the one that follows this sequence number.
    After(i64),
}

/// The sequence numbers that a partition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Of the oldest event that is retained. When none is, of the next one.
    pub first: i64,
    /// Of the newest event ever; -1 when there never was one.
    pub last: i64,
}

/// Why reading ended.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Another reader took the partition.
    #[error("another reader took the partition")]
    Displaced,
    /// The hub cannot be read for now.
    #[error(transparent)]
    Away(#[from] Away),
}

/// System properties that are dates, although some fronts have them as text
/// (functions-eventhubs-keda.md 9.1, and the enqueued time).
pub const SYSTEM_DATES: &[&str] =
    &["x-opt-enqueued-time", "iothub-enqueuedtime", "creation-time", "absolute-expiry-time"];
/// Application properties that are dates, although some fronts have them as
/// text.
pub const APPLICATION_DATES: &[&str] = &["iothub-creation-time-utc"];

/// One event as the hub gave it.
#[derive(Clone, PartialEq)]
pub struct HubEvent {
    /// The bytes.
    pub body: Vec<u8>,
    /// The application properties.
    pub properties: Vec<(String, Property)>,
    /// The message annotations and the AMQP properties that are present.
    pub system_properties: Vec<(String, Property)>,
    /// The place in the partition.
    pub sequence_number: i64,
    /// The same for the hub: opaque.
    pub offset: String,
    /// When the hub received it.
    pub enqueued_time: UtcTime,
}

/// Without body and properties: they hold what is a patient's.
impl fmt::Debug for HubEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubEvent")
            .field("sequence_number", &self.sequence_number)
            .field("body.len", &self.body.len())
            .finish_non_exhaustive()
    }
}

impl Queued for HubEvent {
    fn sequence_number(&self) -> i64 {
        self.sequence_number
    }

    fn enqueued_time(&self) -> UtcTime {
        self.enqueued_time
    }

    fn size(&self) -> usize {
        let text = |properties: &[(String, Property)]| -> usize {
            properties.iter().map(|(name, value)| size_of::<(String, Property)>() + name.len() + value.len()).sum()
        };
        size_of::<HubEvent>() + self.body.len() + text(&self.properties) + text(&self.system_properties)
    }
}

/// A [`PropertyValue`] that owns its text.
#[derive(Clone, PartialEq)]
pub enum Property {
    /// No value.
    Null,
    /// A boolean.
    Bool(bool),
    /// Any integer that fits.
    Integer(i64),
    /// An unsigned integer beyond `i64`.
    Unsigned(u64),
    /// Float, double or decimal.
    Float(f64),
    /// Text.
    String(String),
    /// A timestamp.
    Date(DateTime),
    /// Bytes, UUID, duration …: present, but nothing can be made of it.
    Opaque,
}

impl Property {
    /// The value, borrowed.
    pub fn value(&self) -> PropertyValue<'_> {
        match self {
            Property::Null => PropertyValue::Null,
            Property::Bool(value) => PropertyValue::Bool(*value),
            Property::Integer(value) => PropertyValue::Integer(*value),
            Property::Unsigned(value) => PropertyValue::Unsigned(*value),
            Property::Float(value) => PropertyValue::Float(*value),
            Property::String(value) => PropertyValue::String(value),
            Property::Date(value) => PropertyValue::Date(*value),
            Property::Opaque => PropertyValue::Opaque,
        }
    }

    /// Text that has the shape of a date becomes one; for the properties of
    /// [`SYSTEM_DATES`] and [`APPLICATION_DATES`], so that every front gives
    /// the same document.
    pub fn dated(self) -> Property {
        match &self {
            Property::String(text) => DateTime::parse_token(text).map_or(self, Property::Date),
            _ => self,
        }
    }

    fn len(&self) -> usize {
        match self {
            Property::String(text) => text.len(),
            _ => 0,
        }
    }
}

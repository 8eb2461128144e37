//! What a front hands on: a batch of events of one partition.

use std::fmt;

use expressions::{Properties, UtcTime};
use mapping::normalize::Event;

use crate::window::Queued;

/// Where the events of a batch come from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Source {
    /// The namespace's host name, or empty where there is no hub.
    pub namespace: String,
    /// The hub, or the name of the endpoint where there is no hub.
    pub hub: String,
    /// The consumer group that reads.
    pub consumer_group: String,
    /// The partition.
    pub partition: String,
}

/// Events of one partition, in their order.
#[derive(Clone)]
pub struct Batch<'b> {
    /// Where they come from.
    pub source: &'b Source,
    /// The events.
    pub events: Vec<BatchEvent<'b>>,
}

/// One event, borrowed from what the front received.
#[derive(Clone, Copy)]
pub struct BatchEvent<'b> {
    /// The bytes as received.
    pub body: &'b [u8],
    /// The application properties.
    pub properties: Properties<'b>,
    /// The message annotations and AMQP properties, under their AMQP names.
    pub system_properties: Properties<'b>,
    /// The place within the partition; none for events that came by HTTP.
    pub sequence_number: Option<i64>,
    /// When the hub received it; becomes `IngestionTimeUtc`.
    pub enqueued_time: UtcTime,
}

/// For a front that cuts what it is given.
impl Queued for BatchEvent<'_> {
    fn sequence_number(&self) -> i64 {
        self.sequence_number.unwrap_or_default()
    }

    fn enqueued_time(&self) -> UtcTime {
        self.enqueued_time
    }

    fn size(&self) -> usize {
        self.body.len()
    }
}

/// The place of one event, to find it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// Where it comes from.
    pub source: Source,
    /// The place within the partition; none for events that came by HTTP.
    pub sequence_number: Option<i64>,
    /// The place within the batch.
    pub index: usize,
    /// When the hub received it.
    pub enqueued_time: UtcTime,
}

/// Without the events: they hold what is a patient's.
impl fmt::Debug for Batch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Batch");
        shown.field("source", self.source).field("events.len", &self.events.len()).finish_non_exhaustive()
    }
}

/// Without body and properties: they hold what is a patient's.
impl fmt::Debug for BatchEvent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchEvent")
            .field("sequence_number", &self.sequence_number)
            .field("enqueued_time", &self.enqueued_time)
            .field("body.len", &self.body.len())
            .finish_non_exhaustive()
    }
}

impl<'b> BatchEvent<'b> {
    /// What a device mapping sees of it.
    pub fn for_mapping(&self) -> Event<'b> {
        let content = expressions::Event {
            body: self.body,
            properties: self.properties,
            system_properties: self.system_properties,
        };
        Event { content, enqueued_time: self.enqueued_time }
    }
}

impl Batch<'_> {
    /// The place of the event `index`.
    pub fn position(&self, index: usize) -> Position {
        let event = &self.events[index];
        Position {
            source: self.source.clone(),
            sequence_number: event.sequence_number,
            index,
            enqueued_time: event.enqueued_time,
        }
    }
}

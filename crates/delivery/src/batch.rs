//! What a front hands on: a batch of events of one partition.

use expressions::{Properties, UtcTime};

/// Where the events of a batch come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
#[derive(Clone, Debug)]
pub struct Batch<'b> {
    /// Where they come from.
    pub source: &'b Source,
    /// The events.
    pub events: Vec<BatchEvent<'b>>,
}

/// One event, borrowed from what the front received.
#[derive(Clone, Copy, Debug)]
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

//! Where events come from.
//!
//! The host needs little of Event Hubs: the partitions, and the events of one
//! of them in order. [`EventHubsSource`] asks the Event Hubs stand-in; tests
//! have a source in memory.

use std::error::Error;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use serde_json::Value;

use crate::event_hubs::StartPosition;
use crate::event_hubs::client::{Client, Event, EventReceiver};
use crate::functions_host::amqp_json;
use crate::functions_host::checkpoints::Checkpoint;
use crate::functions_host::connection::HubAddress;
use crate::functions_host::settings::InitialOffset;

/// An event as the host hands it to a handler.
#[derive(Clone, Debug, PartialEq)]
pub struct HostEvent {
    /// As the service gave it.
    pub sequence_number: i64,
    /// As the service gave it.
    pub offset: String,
    /// Milliseconds since 1970.
    pub enqueued_ms: i64,
    /// What the sender gave, when it gave one.
    pub partition_key: Option<String>,
    /// The payload.
    pub body: Vec<u8>,
    /// Application properties, in their order.
    pub properties: Vec<(String, Value)>,
    /// Message annotations and AMQP properties, without those that are fields.
    pub system_properties: Vec<(String, Value)>,
}

/// The source is away or says no. The host tries again.
pub type SourceError = Box<dyn Error + Send + Sync>;

/// Where a partition is read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum From {
    /// Behind what was worked through.
    After(Checkpoint),
    /// There is no checkpoint.
    Initial(InitialOffset),
}

/// A consumer group of a hub.
pub trait EventSource: Send + Sync + std::fmt::Debug + 'static {
    /// The ids of the hub's partitions.
    fn partitions(&self) -> BoxFuture<'_, Result<Vec<String>, SourceError>>;
    /// Starts to read a partition.
    fn open(&self, partition: &str, from: From) -> BoxFuture<'_, Result<Box<dyn PartitionReceiver>, SourceError>>;
}

/// The events of one partition.
pub trait PartitionReceiver: Send {
    /// Waits for an event, at most `wait`, and takes those right behind it, at
    /// most `events_max`. None in time is an empty list. Dropping the future
    /// while it waits loses nothing.
    fn receive(&mut self, events_max: usize, wait: Duration) -> BoxFuture<'_, Result<Vec<HostEvent>, SourceError>>;
}

/// A consumer group of a hub of the Event Hubs stand-in.
#[derive(Clone, Debug)]
pub(super) struct EventHubsSource {
    hub: HubAddress,
    consumer_group: String,
}

impl EventHubsSource {
    pub(super) fn new(hub: HubAddress, consumer_group: &str) -> Self {
        Self { hub, consumer_group: consumer_group.to_owned() }
    }
}

impl EventSource for EventHubsSource {
    fn partitions(&self) -> BoxFuture<'_, Result<Vec<String>, SourceError>> {
        let asking = async {
            let mut client = Client::connect(&self.hub.address, &self.hub.hub).await?;
            let partitions = client.hub_properties().await?.partition_ids;
            client.close().await?;
            Ok(partitions)
        };
        asking.boxed()
    }

    fn open(&self, partition: &str, from: From) -> BoxFuture<'_, Result<Box<dyn PartitionReceiver>, SourceError>> {
        let partition = partition.to_owned();
        let opening = async move {
            // A connection each: when one breaks, the other partitions go on.
            let mut client = Client::connect(&self.hub.address, &self.hub.hub).await?;
            // The extension owns partitions by epoch 0, as its processor does.
            let receiver = client.receiver(&self.consumer_group, &partition, &position(&from), Some(0)).await?;
            let receiver: Box<dyn PartitionReceiver> = Box::new(EventHubsReceiver { receiver, _client: client });
            Ok(receiver)
        };
        opening.boxed()
    }
}

fn position(from: &From) -> StartPosition {
    match from {
        // Offset is preferred, else the sequence number.
        From::After(checkpoint) => match checkpoint.offset.parse() {
            Ok(offset) => StartPosition::Offset { offset, inclusive: false },
            Err(_) => StartPosition::SequenceNumber { sequence_number: checkpoint.sequence_number, inclusive: false },
        },
        From::Initial(InitialOffset::Start) => StartPosition::Earliest,
        From::Initial(InitialOffset::End) => StartPosition::Latest,
        From::Initial(InitialOffset::EnqueuedTime(milliseconds)) => {
            StartPosition::EnqueuedTime { milliseconds: *milliseconds, inclusive: true }
        }
    }
}

struct EventHubsReceiver {
    receiver: EventReceiver,
    /// The receiver lives as long as its connection.
    _client: Client,
}

impl PartitionReceiver for EventHubsReceiver {
    fn receive(&mut self, events_max: usize, wait: Duration) -> BoxFuture<'_, Result<Vec<HostEvent>, SourceError>> {
        let receiving = async move {
            let events = self.receiver.receive(events_max, wait).await?;
            Ok(events.into_iter().map(host_event).collect())
        };
        receiving.boxed()
    }
}

fn host_event(event: Event) -> HostEvent {
    let mut system_properties = amqp_json::standard_properties(event.properties);
    system_properties.extend(event.annotations.into_iter().map(|(name, value)| (name, amqp_json::value(value))));
    let properties = event.application_properties.into_iter();
    HostEvent {
        sequence_number: event.sequence_number,
        offset: event.offset,
        enqueued_ms: event.enqueued_ms,
        partition_key: event.partition_key,
        body: event.body,
        properties: properties.map(|(name, value)| (name, amqp_json::value(value.into()))).collect(),
        system_properties,
    }
}

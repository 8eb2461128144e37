//! Reads a hub, on the Event Hubs SDK for Rust.
//!
//! The SDK 0.15 attaches without an epoch (functions-eventhubs-keda.md 6.1), so
//! a reader is not displaced by the next owner's: that a partition has one
//! writer rests on its ownership alone (design.md D13).
//!
//! Every step has a time limit, and each reader a connection of its own, so
//! that one which hangs is thrown away without the others.

use std::fmt;
use std::sync::Arc;

use azure_core::credentials::TokenCredential;
use azure_core_amqp::message::{AmqpMessageBody, AmqpMessageId, AmqpMessageProperties};
use azure_core_amqp::{AmqpMessage, AmqpSimpleValue, AmqpTimestamp, AmqpValue};
use azure_messaging_eventhubs::error::ErrorKind;
use azure_messaging_eventhubs::models::ReceivedEventData;
use azure_messaging_eventhubs::{
    ConsumerClient, EventHubsError, OpenReceiverOptions, RetryOptions, StartLocation, StartPosition,
};
use delivery::hub::{APPLICATION_DATES, SYSTEM_DATES};
use delivery::{Away, Bounds, Hub, HubEvent, Property, ReadError, Reader, Source, Start};
use expressions::{DateKind, DateTime, UtcTime};
use futures::StreamExt;
use tokio::sync::{Mutex, mpsc};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::credentials::CredentialSettings;
use crate::event_hubs::{APPLICATION_ID, HubConfig, InvalidHub};

const WHAT: &str = "the hub";

/// A hub that is read with tokens.
pub struct SdkHub {
    config: HubConfig,
    consumer_group: String,
    credential: Arc<dyn TokenCredential>,
    /// Asks for properties; made anew after an error.
    asking: Mutex<Option<ConsumerClient>>,
}

impl fmt::Debug for SdkHub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SdkHub")
            .field("config", &self.config)
            .field("consumer_group", &self.consumer_group)
            .finish_non_exhaustive()
    }
}

impl SdkHub {
    /// Checks the configuration; connects to nothing yet.
    pub fn new(
        config: HubConfig,
        consumer_group: impl Into<String>,
        credential: &CredentialSettings,
    ) -> Result<SdkHub, InvalidHub> {
        config.check(credential)?;
        let credential =
            credential.credential().map_err(|error| InvalidHub::Credential { reason: error.to_string() })?;
        let (consumer_group, asking) = (consumer_group.into(), Mutex::default());
        Ok(SdkHub { config, consumer_group, credential, asking })
    }

    async fn client(&self) -> Result<ConsumerClient, Away> {
        let mut builder = ConsumerClient::builder()
            .with_application_id(APPLICATION_ID.to_owned())
            .with_consumer_group(self.consumer_group.clone())
            // What fails is thrown away here, and opened anew by the delivery loop.
            .with_retry_options(RetryOptions { max_retries: 0, ..RetryOptions::default() });
        if let Some(endpoint) = &self.config.custom_endpoint {
            builder = builder.with_custom_endpoint(endpoint.to_string());
        }
        let opening = builder.open(&self.config.namespace, self.config.hub.clone(), self.credential.clone());
        self.in_time("connecting", opening).await
    }

    async fn in_time<T>(
        &self,
        doing: &'static str,
        step: impl Future<Output = Result<T, EventHubsError>>,
    ) -> Result<T, Away> {
        match timeout(self.config.connect_timeout, step).await {
            Ok(done) => done.map_err(|error| Away::new(WHAT, error)),
            Err(_) => Err(Away::new(WHAT, format!("{doing} took too long"))),
        }
    }
}

impl Hub for SdkHub {
    type Reader = SdkReader;

    fn source(&self, partition: &str) -> Source {
        Source {
            namespace: self.config.namespace.clone(),
            hub: self.config.hub.clone(),
            consumer_group: self.consumer_group.clone(),
            partition: partition.to_owned(),
        }
    }

    async fn partitions(&self) -> Result<Vec<String>, Away> {
        let mut asking = self.asking.lock().await;
        // Taken out, so that a client that failed is not used again.
        let client = match asking.take() {
            Some(client) => client,
            None => self.client().await?,
        };
        let properties = self.in_time("asking for the partitions", client.get_eventhub_properties()).await?;
        *asking = Some(client);
        Ok(properties.partition_ids)
    }

    async fn bounds(&self, partition: &str) -> Result<Bounds, Away> {
        let mut asking = self.asking.lock().await;
        let client = match asking.take() {
            Some(client) => client,
            None => self.client().await?,
        };
        let properties = client.get_partition_properties(partition);
        let properties = self.in_time("asking what a partition holds", properties).await?;
        *asking = Some(client);
        Ok(Bounds { first: properties.beginning_sequence_number, last: properties.last_enqueued_sequence_number })
    }

    async fn open(&self, partition: &str, from: Start, credit: usize) -> Result<SdkReader, Away> {
        let client = self.client().await?;
        let location = match from {
            Start::Beginning => StartLocation::Earliest,
            Start::After(number) => StartLocation::SequenceNumber(number),
        };
        // Half of it waits in the channel.
        let credit = (credit / 2).max(1);
        let options = OpenReceiverOptions {
            owner_level: Some(0),
            prefetch: u32::try_from(credit).ok(),
            start_position: Some(StartPosition { location, inclusive: false }),
            ..OpenReceiverOptions::default()
        };
        let opening = client.open_receiver_on_partition(partition.to_owned(), Some(options));
        let receiver = self.in_time("opening a partition", opening).await?;
        let (forward, events) = mpsc::channel(credit);
        let reading = tokio::spawn(async move {
            // For as long as the receiver needs it.
            let _client = client;
            let mut received = std::pin::pin!(receiver.stream_events());
            while let Some(event) = received.next().await {
                let event = event.map_err(read_error).and_then(|event| hub_event(&event));
                let is_over = event.is_err();
                if forward.send(event).await.is_err() || is_over {
                    return;
                }
            }
        });
        Ok(SdkReader { events, reading: reading.abort_handle() })
    }
}

/// Reads one partition.
#[derive(Debug)]
pub struct SdkReader {
    events: mpsc::Receiver<Result<HubEvent, ReadError>>,
    reading: AbortHandle,
}

impl Reader for SdkReader {
    async fn next(&mut self) -> Result<HubEvent, ReadError> {
        match self.events.recv().await {
            Some(event) => event,
            None => Err(Away::new(WHAT, "the connection ended").into()),
        }
    }
}

impl Drop for SdkReader {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

fn read_error(error: EventHubsError) -> ReadError {
    match error.kind {
        ErrorKind::ConsumerDisconnected(_) => ReadError::Displaced,
        _ => Away::new(WHAT, error).into(),
    }
}

/// An event without its place could be given no position and is no event of a
/// hub.
fn hub_event(event: &ReceivedEventData) -> Result<HubEvent, ReadError> {
    let place = event.sequence_number().zip(event.enqueued_time());
    let (sequence_number, enqueued_time) = place.ok_or_else(|| Away::new(WHAT, "an event has no place in it"))?;
    let message = event.raw_amqp_message();
    Ok(HubEvent {
        body: body(message),
        properties: application_properties(message),
        system_properties: system_properties(message),
        sequence_number,
        offset: event.offset().clone().unwrap_or_default(),
        enqueued_time: UtcTime::from(enqueued_time),
    })
}

/// The data of all sections; an event that has another kind of body has none
/// for us, and is rejected as not being JSON.
fn body(message: &AmqpMessage) -> Vec<u8> {
    match &message.body {
        AmqpMessageBody::Binary(sections) => sections.concat(),
        AmqpMessageBody::Value(AmqpValue::Binary(bytes)) => bytes.clone(),
        AmqpMessageBody::Value(AmqpValue::String(text)) => text.clone().into_bytes(),
        AmqpMessageBody::Value(_) | AmqpMessageBody::Sequence(_) | AmqpMessageBody::Empty => Vec::new(),
    }
}

fn application_properties(message: &AmqpMessage) -> Vec<(String, Property)> {
    let properties = message.application_properties.iter().flat_map(|properties| properties.0.iter());
    let typed = properties.map(|(name, value)| (name.clone(), named(name, APPLICATION_DATES, simple(value))));
    typed.collect()
}

/// The message annotations, and the AMQP properties that are present
/// (device-mapping.md 1.4).
fn system_properties(message: &AmqpMessage) -> Vec<(String, Property)> {
    let annotations = message.message_annotations.iter().flat_map(|annotations| annotations.0.iter());
    let mut all: Vec<(String, Property)> = annotations
        .filter_map(|(key, value)| {
            let name: &str = match key {
                azure_core_amqp::message::AmqpAnnotationKey::Symbol(name) => &name.0,
                azure_core_amqp::message::AmqpAnnotationKey::Ulong(_) => return None,
            };
            Some((name.to_owned(), named(name, SYSTEM_DATES, property(value))))
        })
        .collect();
    if let Some(properties) = &message.properties {
        all.extend(standard_properties(properties));
    }
    all
}

fn standard_properties(properties: &AmqpMessageProperties) -> impl Iterator<Item = (String, Property)> {
    let text = |text: &Option<String>| text.clone().map(Property::String);
    let symbol =
        |symbol: &Option<azure_core_amqp::AmqpSymbol>| symbol.as_ref().map(|symbol| Property::String(symbol.0.clone()));
    let all = [
        ("message-id", properties.message_id.as_ref().map(message_id)),
        ("user-id", properties.user_id.as_ref().map(|_| Property::Opaque)),
        ("to", text(&properties.to)),
        ("subject", text(&properties.subject)),
        ("reply-to", text(&properties.reply_to)),
        ("correlation-id", properties.correlation_id.as_ref().map(message_id)),
        ("content-type", symbol(&properties.content_type)),
        ("content-encoding", symbol(&properties.content_encoding)),
        ("absolute-expiry-time", properties.absolute_expiry_time.as_ref().map(timestamp)),
        ("creation-time", properties.creation_time.as_ref().map(timestamp)),
        ("group-id", text(&properties.group_id)),
        ("group-sequence", properties.group_sequence.map(|number| Property::Integer(number.into()))),
        ("reply-to-group-id", text(&properties.reply_to_group_id)),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)))
}

fn message_id(id: &AmqpMessageId) -> Property {
    match id {
        AmqpMessageId::String(text) => Property::String(text.clone()),
        AmqpMessageId::Ulong(number) => unsigned(*number),
        AmqpMessageId::Uuid(_) | AmqpMessageId::Binary(_) => Property::Opaque,
    }
}

fn named(name: &str, dates: &[&str], value: Property) -> Property {
    if dates.contains(&name) { value.dated() } else { value }
}

/// The SDK has two types of values whose kinds have the same names.
macro_rules! typed {
    ($value:expr, $kind:ident) => {
        match $value {
            $kind::Null => Property::Null,
            $kind::Boolean(value) => Property::Bool(*value),
            $kind::UByte(value) => Property::Integer((*value).into()),
            $kind::UShort(value) => Property::Integer((*value).into()),
            $kind::UInt(value) => Property::Integer((*value).into()),
            $kind::ULong(value) => unsigned(*value),
            $kind::Byte(value) => Property::Integer((*value).into()),
            $kind::Short(value) => Property::Integer((*value).into()),
            $kind::Int(value) => Property::Integer((*value).into()),
            $kind::Long(value) => Property::Integer(*value),
            $kind::Float(value) => Property::Float((*value).into()),
            $kind::Double(value) => Property::Float(*value),
            $kind::Char(value) => Property::String(value.to_string()),
            $kind::TimeStamp(value) => timestamp(value),
            $kind::String(value) => Property::String(value.clone()),
            $kind::Symbol(value) => Property::String(value.0.clone()),
            // Present, but nothing can be made of it.
            _ => Property::Opaque,
        }
    };
}

fn property(value: &AmqpValue) -> Property {
    typed!(value, AmqpValue)
}

fn simple(value: &AmqpSimpleValue) -> Property {
    typed!(value, AmqpSimpleValue)
}

fn unsigned(value: u64) -> Property {
    i64::try_from(value).map_or(Property::Unsigned(value), Property::Integer)
}

fn timestamp(value: &AmqpTimestamp) -> Property {
    match value.0 {
        Some(time) => Property::Date(DateTime { instant: UtcTime::from(time), kind: DateKind::Utc }),
        None => Property::Null,
    }
}

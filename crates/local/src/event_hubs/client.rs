//! A small client for the stand-in: what the Functions host stand-in receives
//! with, and what `iotc up` sends with and counts by.
//!
//! It speaks plain AMQP over TCP without tokens, so it is no client for Azure;
//! for that there is `crates/azure`.
//!
//! ```no_run
//! # use std::time::Duration;
//! # use local::event_hubs::{StartPosition, client::{Client, NewEvent}};
//! # async fn example() -> Result<(), local::event_hubs::client::ClientError> {
//! let mut client = Client::connect("127.0.0.1:5672", "devicedata").await?;
//! let mut sender = client.sender(None).await?;
//! sender.send(&[NewEvent::new(r#"{"heartRate":78}"#)], Some("device-1")).await?;
//!
//! let mut receiver = client.receiver("$Default", "0", &StartPosition::Earliest, None).await?;
//! for event in receiver.receive(100, Duration::from_secs(1)).await? {
//!     println!("{} {} bytes", event.sequence_number, event.body.len());
//! }
//! # Ok(())
//! # }
//! ```

mod event;
mod properties;

use std::collections::VecDeque;
use std::error::Error;
use std::time::Duration;

use fe2o3_amqp::connection::ConnectionHandle;
use fe2o3_amqp::link::receiver::CreditMode;
use fe2o3_amqp::link::{LinkStateError, ReceiverAttachError, RecvError, SendError, SenderAttachError};
use fe2o3_amqp::session::SessionHandle;
use fe2o3_amqp::types::definitions::{self, ErrorCondition};
use fe2o3_amqp::types::messaging::{Body, FilterSet, Outcome, Source};
use fe2o3_amqp::types::primitives::{OrderedMap, Symbol, Value};
use fe2o3_amqp::{Connection, Receiver, Sendable, Sender, Session};
use serde_amqp::described::Described;
use serde_amqp::descriptor::Descriptor;

use super::message::BATCH_FORMAT;
use super::position::StartPosition;

pub use event::{Event, NewEvent};
pub use fe2o3_amqp::types::messaging::{MessageId, Properties};
pub use fe2o3_amqp::types::primitives::{SimpleValue, Value as AnnotationValue};
pub use properties::{HubProperties, PartitionProperties};

/// How long the stand-in may take for anything but waiting for events. It is on
/// the same machine and takes milliseconds; but when it is killed while a
/// connection or link is opened, fe2o3-amqp now and then waits for ever.
const ANSWER_WAIT: Duration = Duration::from_secs(5);
/// Events that may be on their way to a receiver, as other clients ask for.
const CREDIT: u32 = 300;
/// After an event, how long to wait for the one behind it before a batch is
/// handed over: longer than events of one send are apart, short for a person.
const LINGER: Duration = Duration::from_millis(5);
/// What the filter is described by; the number that the Rust client uses.
const SELECTOR_FILTER: u64 = 0x0000_468C_0000_0004;

/// Why something could not be done.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The stand-in is not there, or the connection or link broke off. Connect
    /// anew and try again.
    #[error("the Event Hubs stand-in is away while {doing}")]
    Away {
        /// What was being done.
        doing: &'static str,
        /// What the AMQP library said.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The stand-in took too long.
    #[error("the Event Hubs stand-in did not answer in time while {doing}")]
    TimedOut {
        /// What was being done.
        doing: &'static str,
    },
    /// The stand-in said no: `amqp:not-found`, `amqp:link:stolen` and the like.
    #[error("the Event Hubs stand-in refused {doing}: `{condition}`, {description}")]
    Refused {
        /// What was being done.
        doing: &'static str,
        /// The AMQP error condition.
        condition: String,
        /// The reason in words.
        description: String,
    },
    /// An event is larger than a message may be.
    #[error("event {index} has {bytes} encoded bytes; a message may have {bytes_max}")]
    TooLarge {
        /// Position of the event in what was to be sent.
        index: usize,
        /// Its size as a batch of one.
        bytes: usize,
        /// What the stand-in announced.
        bytes_max: usize,
    },
    /// An answer or event does not have the form it must have.
    #[error("the Event Hubs stand-in sent something unreadable while {doing}")]
    Unreadable {
        /// What was being done.
        doing: &'static str,
    },
}

impl ClientError {
    /// Whether connecting anew may help.
    pub fn is_away(&self) -> bool {
        matches!(self, Self::Away { .. } | Self::TimedOut { .. })
    }

    /// Whether another receiver took the partition.
    pub fn is_stolen(&self) -> bool {
        matches!(self, Self::Refused { condition, .. } if condition == "amqp:link:stolen")
    }

    fn refused(doing: &'static str, error: &definitions::Error) -> Self {
        let condition = match &error.condition {
            ErrorCondition::AmqpError(condition) => Symbol::from(condition),
            ErrorCondition::ConnectionError(condition) => Symbol::from(condition),
            ErrorCondition::SessionError(condition) => Symbol::from(condition),
            ErrorCondition::LinkError(condition) => Symbol::from(condition),
            ErrorCondition::Custom(condition) => condition.clone(),
        };
        let condition = condition.0;
        Self::Refused { doing, condition, description: error.description.clone().unwrap_or_default() }
    }

    fn away(doing: &'static str, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Away { doing, source: source.into() }
    }
}

/// A connection for one hub. Receivers and senders live as long as it does.
#[derive(Debug)]
pub struct Client {
    hub: String,
    partition_ids: Vec<String>,
    connection: ConnectionHandle<()>,
    session: SessionHandle<()>,
    /// Link names must differ within a connection.
    links: u32,
}

impl Client {
    /// Connects to the stand-in at `address` (`host:port`). A hub that does not
    /// exist is refused with `amqp:not-found`.
    pub async fn connect(address: &str, hub: &str) -> Result<Self, ClientError> {
        let doing = "connecting";
        let url = format!("amqp://{address}");
        let connecting = async {
            let mut connection = Connection::builder()
                .container_id(uuid::Uuid::new_v4().to_string())
                .hostname("localhost")
                .sasl_profile(fe2o3_amqp::sasl_profile::SaslProfile::Anonymous)
                .open(url.as_str())
                .await
                .map_err(|error| ClientError::away(doing, error))?;
            let session = Session::begin(&mut connection).await.map_err(|error| ClientError::away(doing, error))?;
            let mut client = Self { hub: hub.to_owned(), partition_ids: Vec::new(), connection, session, links: 0 };
            // Asked for now, because fe2o3-amqp 0.18 loses the reason when the
            // stand-in refuses a sender.
            client.partition_ids = client.hub_properties().await?.partition_ids;
            Ok(client)
        };
        in_time(doing, connecting).await
    }

    /// The hub's partitions, in their order.
    pub fn partition_ids(&self) -> &[String] {
        &self.partition_ids
    }

    /// Receives from a partition, starting at `position`. With an `epoch` it is
    /// the only receiver of the partition in this consumer group. What is refused
    /// (an unknown group or partition, a lower epoch) is said by the first
    /// [`EventReceiver::receive`].
    pub async fn receiver(
        &mut self,
        consumer_group: &str,
        partition: &str,
        position: &StartPosition,
        epoch: Option<i64>,
    ) -> Result<EventReceiver, ClientError> {
        let doing = "opening a receiver";
        let address = format!("{}/ConsumerGroups/{consumer_group}/Partitions/{partition}", self.hub);
        let mut properties = OrderedMap::new();
        if let Some(epoch) = epoch {
            properties.insert(Symbol::from("com.microsoft:epoch"), Value::Long(epoch));
        }
        let attaching = Receiver::builder()
            .name(self.next_link_name())
            .source(Source::builder().address(address).filter(selector(position)).build())
            .target(format!("receiver-{}", self.links))
            .properties(properties)
            .credit_mode(CreditMode::Auto(CREDIT))
            .attach(&mut self.session);
        let link = in_time(doing, async { attaching.await.map_err(|error| attach_failed(doing, error)) }).await?;
        Ok(EventReceiver { link, failed: None })
    }

    /// Sends to a partition, or to the hub, which then chooses for each batch.
    pub async fn sender(&mut self, partition: Option<&str>) -> Result<EventSender, ClientError> {
        let doing = "opening a sender";
        if let Some(id) = partition.filter(|id| !self.partition_ids.iter().any(|known| known == id)) {
            let description = format!("hub `{}` has no partition `{id}`", self.hub);
            return Err(ClientError::Refused { doing, condition: "amqp:not-found".to_owned(), description });
        }
        let address = match partition {
            Some(partition) => format!("{}/Partitions/{partition}", self.hub),
            None => self.hub.clone(),
        };
        let name = self.next_link_name();
        let attaching = Sender::attach(&mut self.session, name, address);
        let link =
            in_time(doing, async { attaching.await.map_err(|error| sender_attach_failed(doing, error)) }).await?;
        Ok(EventSender { link })
    }

    /// Ends the connection in good order. Dropping the client ends it too.
    pub async fn close(mut self) -> Result<(), ClientError> {
        let doing = "closing the connection";
        let closing = async {
            self.session.end().await.map_err(|error| ClientError::away(doing, error))?;
            self.connection.close().await.map_err(|error| ClientError::away(doing, error))
        };
        in_time(doing, closing).await
    }

    fn next_link_name(&mut self) -> String {
        self.links += 1;
        format!("link-{}", self.links)
    }
}

fn selector(position: &StartPosition) -> FilterSet {
    let expression = Value::String(position.to_string());
    let described = Described { descriptor: Descriptor::Code(SELECTOR_FILTER), value: expression };
    let mut filters = FilterSet::new();
    filters.insert(Symbol::from("apache.org:selector-filter:string"), Value::Described(Box::new(described)));
    filters
}

/// Receives the events of one partition, in order.
#[derive(Debug)]
pub struct EventReceiver {
    link: Receiver,
    /// An error that came behind events which were handed over first.
    failed: Option<ClientError>,
}

impl EventReceiver {
    /// Waits up to `wait` for an event, then takes those right behind it, at
    /// most `events_max`. Nothing is lost when it is dropped while it waits for
    /// the first. An empty batch means that none came in time.
    pub async fn receive(&mut self, events_max: usize, wait: Duration) -> Result<Vec<Event>, ClientError> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let mut events = Vec::new();
        let mut patience = wait;
        while events.len() < events_max {
            match tokio::time::timeout(patience, self.next()).await {
                Ok(Ok(event)) => events.push(event),
                Ok(Err(error)) if events.is_empty() => return Err(error),
                Ok(Err(error)) => {
                    self.failed = Some(error);
                    break;
                }
                Err(_elapsed) => break,
            }
            patience = LINGER;
        }
        Ok(events)
    }

    async fn next(&mut self) -> Result<Event, ClientError> {
        let doing = "receiving";
        let delivery = self.link.recv::<Body<Value>>().await.map_err(|error| match error {
            RecvError::LinkStateError(error) => link_failed(doing, error),
            RecvError::MessageDecode(_) => ClientError::Unreadable { doing },
            error => ClientError::away(doing, error),
        })?;
        // Deliveries come settled; this asks for more of them.
        self.link.accept(&delivery).await.map_err(|error| ClientError::away(doing, error))?;
        Event::from_message(delivery.into_message()).ok_or(ClientError::Unreadable { doing })
    }

    /// Ends the link in good order, which gives the place up at once.
    pub async fn close(self) -> Result<(), ClientError> {
        let doing = "closing a receiver";
        in_time(doing, async { self.link.close().await.map_err(|error| ClientError::away(doing, error)) }).await
    }
}

/// Sends events to a hub or one of its partitions.
#[derive(Debug)]
pub struct EventSender {
    link: Sender,
}

impl EventSender {
    /// Sends events in order, in as few batches as they fit into; each batch
    /// stays together in one partition. Returns when all are on the stand-in's
    /// disk. After an error some of the batches may be there.
    pub async fn send(&mut self, events: &[NewEvent], partition_key: Option<&str>) -> Result<(), ClientError> {
        let bytes_max = self.link.max_message_size().and_then(|bytes| usize::try_from(bytes).ok());
        let batches: VecDeque<_> = event::batches(events, partition_key, bytes_max.unwrap_or(usize::MAX))?;
        for batch in batches {
            in_time("sending", self.send_batch(batch)).await?;
        }
        Ok(())
    }

    async fn send_batch(&mut self, batch: super::message::AmqpMessage) -> Result<(), ClientError> {
        let doing = "sending";
        let sendable = Sendable::builder().message(batch).message_format(BATCH_FORMAT).build();
        let failed = |error| match error {
            SendError::LinkStateError(error) => link_failed(doing, error),
            SendError::Detached(error) => link_failed(doing, error.into()),
            error => ClientError::away(doing, error),
        };
        let settled = self.link.send_batchable(sendable).await.map_err(failed)?;
        // The library leaves a delivery pending when its connection breaks off.
        let outcome = tokio::select! {
            outcome = settled => outcome.map_err(failed)?,
            error = self.link.on_detach() => return Err(link_failed(doing, error.into())),
        };
        match outcome {
            Outcome::Accepted(_) => Ok(()),
            Outcome::Rejected(rejected) => Err(match &rejected.error {
                Some(error) => ClientError::refused(doing, error),
                None => ClientError::Unreadable { doing },
            }),
            _ => Err(ClientError::away(doing, "the events were not taken")),
        }
    }
}

async fn in_time<T>(doing: &'static str, work: impl Future<Output = Result<T, ClientError>>) -> Result<T, ClientError> {
    tokio::time::timeout(ANSWER_WAIT, work).await.unwrap_or(Err(ClientError::TimedOut { doing }))
}

fn link_failed(doing: &'static str, error: LinkStateError) -> ClientError {
    match error {
        LinkStateError::RemoteClosedWithError(error) | LinkStateError::RemoteDetachedWithError(error) => {
            ClientError::refused(doing, &error)
        }
        error => ClientError::away(doing, error),
    }
}

fn attach_failed(doing: &'static str, error: ReceiverAttachError) -> ClientError {
    match error {
        ReceiverAttachError::RemoteClosedWithError(error) => ClientError::refused(doing, &error),
        error => ClientError::away(doing, error),
    }
}

fn sender_attach_failed(doing: &'static str, error: SenderAttachError) -> ClientError {
    match error {
        SenderAttachError::RemoteClosedWithError(error) => ClientError::refused(doing, &error),
        error => ClientError::away(doing, error),
    }
}

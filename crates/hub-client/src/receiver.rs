//! Receives from a partition.

use std::time::Duration;

use fe2o3_amqp::Receiver;
use fe2o3_amqp::link::RecvError;
use fe2o3_amqp::link::delivery::Delivery;
use fe2o3_amqp::link::receiver::CreditMode;
use fe2o3_amqp::types::messaging::{Body, FilterSet, Source};
use fe2o3_amqp::types::primitives::{OrderedMap, Symbol, Value};
use serde_amqp::described::Described;
use serde_amqp::descriptor::Descriptor;

use crate::client::Client;
use crate::error::{ClientError, attach_failed, in_time, link_failed};
use crate::event::Event;
use crate::position::StartPosition;

/// Events that may be on their way to a receiver, as other clients ask for.
const CREDIT: u32 = 300;
/// After an event, how long to wait for the one behind it before a batch is
/// handed over: longer than events of one send are apart, short for a person.
const LINGER: Duration = Duration::from_millis(5);
/// What the filter is described by; the number that the Rust client uses.
const SELECTOR_FILTER: u64 = 0x0000_468C_0000_0004;

/// How to receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiverOptions {
    /// With an epoch it is the only receiver of the partition in its consumer
    /// group, until one with the same or a higher epoch comes.
    pub epoch: Option<i64>,
    /// How many events may be on their way or received but not taken by
    /// [`EventReceiver::next`]; never more are.
    pub credit: u32,
}

impl Default for ReceiverOptions {
    fn default() -> Self {
        Self { epoch: None, credit: CREDIT }
    }
}

impl Client {
    /// Receives from a partition, starting at `position`, with an epoch or
    /// without; see [`Client::receiver_with`].
    pub async fn receiver(
        &mut self,
        consumer_group: &str,
        partition: &str,
        position: &StartPosition,
        epoch: Option<i64>,
    ) -> Result<EventReceiver, ClientError> {
        let options = ReceiverOptions { epoch, ..ReceiverOptions::default() };
        self.receiver_with(consumer_group, partition, position, options).await
    }

    /// Receives from a partition, starting at `position`. What is refused (an
    /// unknown group or partition, a lower epoch, a missing right) may be said
    /// by the first [`EventReceiver::next`] only.
    pub async fn receiver_with(
        &mut self,
        consumer_group: &str,
        partition: &str,
        position: &StartPosition,
        options: ReceiverOptions,
    ) -> Result<EventReceiver, ClientError> {
        let doing = "opening a receiver";
        let address = format!("{}/ConsumerGroups/{consumer_group}/Partitions/{partition}", self.hub);
        let mut properties = OrderedMap::new();
        if let Some(epoch) = options.epoch {
            properties.insert(Symbol::from("com.microsoft:epoch"), Value::Long(epoch));
        }
        let name = self.next_link_name();
        let attaching = Receiver::builder()
            .name(name.clone())
            .source(Source::builder().address(address).filter(selector(position)).build())
            .target(format!("receiver-{name}"))
            .properties(properties)
            .credit_mode(CreditMode::Auto(options.credit.max(1)))
            .attach(&mut self.session);
        let attaching = async { attaching.await.map_err(|error| attach_failed(doing, error)) };
        let link = in_time(self.wait, doing, attaching).await?;
        Ok(EventReceiver { link, wait: self.wait, received: None, failed: None })
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
    wait: Duration,
    /// Came, but was not handed over yet.
    received: Option<Delivery<Body<Value>>>,
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

    /// Waits for the next event. Loses none when it is dropped while it waits.
    pub async fn next(&mut self) -> Result<Event, ClientError> {
        let doing = "receiving";
        if self.received.is_none() {
            let received = self.link.recv::<Body<Value>>().await;
            self.received = Some(received.map_err(|error| match error {
                RecvError::LinkStateError(error) => link_failed(doing, error),
                RecvError::MessageDecode(_) => ClientError::Unreadable { doing },
                error => ClientError::away(doing, error),
            })?);
        }
        if let Some(delivery) = &self.received {
            // Settles what does not come settled, and asks for more.
            self.link.accept(delivery).await.map_err(|error| ClientError::away(doing, error))?;
        }
        let message = self.received.take().map(Delivery::into_message);
        message.and_then(Event::from_message).ok_or(ClientError::Unreadable { doing })
    }

    /// Ends the link in good order, which gives the place up at once.
    pub async fn close(self) -> Result<(), ClientError> {
        let doing = "closing a receiver";
        in_time(self.wait, doing, async { self.link.close().await.map_err(|error| ClientError::away(doing, error)) })
            .await
    }
}

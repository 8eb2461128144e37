//! Sends events to a hub, on the Event Hubs SDK for Rust.
//!
//! A batch has one partition key, so events are handed over by key. The client
//! sends one batch after the other; a [`HubProducer`] has several, each with a
//! connection of its own, and a key always goes through the same one, so that
//! its events stay in order.
//!
//! The SDK 0.15 sometimes never returns from a send whose events are stored
//! (functions-eventhubs-keda.md 7.9): every step has a time limit here, after
//! which the client is thrown away and the batch sent again with a new one.
//! Events can arrive twice that way, which changes nothing downstream.

use std::error::Error;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use azure_core::credentials::TokenCredential;
use azure_core::http::StatusCode;
use azure_core_amqp::error::AmqpErrorKind;
use azure_core_amqp::{AmqpError, AmqpErrorCondition};
use azure_messaging_eventhubs::error::ErrorKind;
use azure_messaging_eventhubs::{EventDataBatch, EventDataBatchOptions, EventHubsError, ProducerClient, RetryOptions};
use delivery::Fence;
use tokio::sync::Mutex;
use tokio::time::timeout;
use url::Url;

use crate::credentials::CredentialSettings;
use crate::outgoing_event::OutgoingEvent;

/// Shown in the namespace's connection log.
pub(crate) const APPLICATION_ID: &str = "iot-connector";

/// How long a hub may take to accept a batch, far above the tens of
/// milliseconds that it takes: the longest request of a producer.
pub const SEND_TIMEOUT: Duration = Duration::from_secs(10);

/// Where to send, and how long to try.
#[derive(Clone, Debug)]
pub struct HubConfig {
    /// Host name of the namespace, for instance `ns1.servicebus.windows.net`.
    pub namespace: String,
    /// Name of the hub.
    pub hub: String,
    /// Another address to dial, for instance `amqp://127.0.0.1:5672`. Without
    /// TLS (`amqp`) on loopback only.
    pub custom_endpoint: Option<Url>,
    /// Connections at the most; they are opened as they are needed. Keys that
    /// share one wait for each other.
    pub connections: usize,
    /// How long connecting, getting a token and opening the link may take.
    pub connect_timeout: Duration,
    /// How long the hub may take to accept a batch.
    pub send_timeout: Duration,
    /// How often a batch is tried before the hub counts as away.
    pub tries: u32,
}

impl HubConfig {
    /// The defaults: 8 connections; 30 s to connect, since a token may have to
    /// be fetched; 10 s to send, far above the tens of milliseconds that a hub
    /// takes; 4 tries. Whoever sends under many keys sets a time limit of its
    /// own, as [`crate::HubOutput`] does: keys that share a connection wait for
    /// each other.
    pub fn new(namespace: impl Into<String>, hub: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            hub: hub.into(),
            custom_endpoint: None,
            connections: 8,
            connect_timeout: Duration::from_secs(30),
            send_timeout: SEND_TIMEOUT,
            tries: 4,
        }
    }

    pub(crate) fn check(&self, credential: &CredentialSettings) -> Result<(), InvalidHub> {
        let loopback = self.custom_endpoint.as_ref().map(is_loopback);
        let plain = self.custom_endpoint.as_ref().is_some_and(|endpoint| endpoint.scheme() == "amqp");
        let scheme = self.custom_endpoint.as_ref().map_or("amqps", Url::scheme);
        if self.namespace.is_empty() || self.hub.is_empty() {
            Err(InvalidHub::NoName)
        } else if !matches!(scheme, "amqp" | "amqps") {
            Err(InvalidHub::Scheme { scheme: scheme.to_owned() })
        } else if plain && loopback != Some(true) {
            Err(InvalidHub::PlainText)
        } else if credential.is_development() && loopback != Some(true) {
            Err(InvalidHub::MadeUpToken)
        } else {
            Ok(())
        }
    }
}

fn is_loopback(endpoint: &Url) -> bool {
    endpoint.host_str().is_some_and(crate::connection_string::is_loopback)
}

/// A configuration that can't work or must not.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHub {
    /// Both are needed.
    #[error("the namespace or the hub has no name")]
    NoName,
    /// Not an AMQP address.
    #[error("the custom endpoint has the scheme `{scheme}`; expected `amqp` or `amqps`")]
    Scheme {
        /// The scheme given.
        scheme: String,
    },
    /// Events and tokens would cross a network in clear.
    #[error("a custom endpoint without TLS must be on loopback")]
    PlainText,
    /// The development credential proves nothing and is for stand-ins only.
    #[error("the development credential needs a custom endpoint on loopback")]
    MadeUpToken,
    /// The credential can't be made.
    #[error("the credential can't be used: {reason}")]
    Credential {
        /// What the SDK said; holds no secret.
        reason: String,
    },
}

/// Why events were not sent.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The hub can't be reached or takes nothing for now. Trying again later
    /// may help.
    #[error("hub `{hub}` is away")]
    Away {
        /// Name of the hub.
        hub: String,
        /// What the last try ended with.
        source: TryError,
    },
    /// The hub will not take events until someone changes something: it does
    /// not exist, or the identity may not send.
    #[error("hub `{hub}` refuses events")]
    Refused {
        /// Name of the hub.
        hub: String,
        /// What the hub said.
        source: TryError,
    },
}

impl SendError {
    /// Whether trying again may help without anybody changing anything.
    pub fn is_away(&self) -> bool {
        matches!(self, Self::Away { .. })
    }
}

/// How one try ended.
#[derive(Debug, thiserror::Error)]
pub enum TryError {
    /// No connection, token or link in time.
    #[error("connecting took too long")]
    ConnectTimedOut,
    /// No answer in time. The events may be stored.
    #[error("the hub did not accept in time")]
    SendTimedOut,
    /// The partition that the events come from may be another's.
    #[error("the ownership of the partition was not renewed in time, or is another's")]
    Fenced,
    /// The SDK or the hub said no.
    #[error(transparent)]
    Client(#[from] EventHubsError),
}

/// What became of the events of one call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Positions of the events that are too large for an empty batch, in order.
    /// They were not sent; all others are stored.
    pub too_large: Vec<usize>,
}

/// Sends events to one hub.
pub struct HubProducer {
    config: HubConfig,
    credential: Arc<dyn TokenCredential>,
    /// One client each, once it is needed.
    lanes: Vec<Mutex<Option<ProducerClient>>>,
}

impl fmt::Debug for HubProducer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubProducer").field("config", &self.config).finish_non_exhaustive()
    }
}

impl HubProducer {
    /// Checks the configuration. Connects to nothing yet: the hub is reached
    /// with the first events.
    pub fn new(config: HubConfig, credential: &CredentialSettings) -> Result<Self, InvalidHub> {
        config.check(credential)?;
        let credential =
            credential.credential().map_err(|error| InvalidHub::Credential { reason: error.to_string() })?;
        let lanes = (0..config.connections.max(1)).map(|_| Mutex::default()).collect();
        Ok(Self { config, credential, lanes })
    }

    /// Sends events with one partition key, in order, in as few batches as they
    /// fit into, and returns when the hub has stored them. Calls for different
    /// keys may run at the same time; those of one key have to wait for each
    /// other to keep their order.
    ///
    /// After an error some of the events may be stored; sending all again is
    /// right. The SDK counts the first event of a batch twice, so an event is
    /// too large from about half of the hub's limit (1 MiB) on.
    ///
    /// Nothing is sent any more once `fence` does not hold, which is asked
    /// before each batch, also before one that is tried again.
    pub async fn send<E: OutgoingEvent>(
        &self,
        partition_key: &str,
        events: &[E],
        fence: &dyn Fence,
    ) -> Result<Sent, SendError> {
        let mut lane = self.lane(partition_key).lock().await;
        let mut sent = Sent::default();
        let mut next = 0;
        while next < events.len() {
            let filled = self.send_batch(&mut lane, partition_key, &events[next..], fence).await?;
            sent.too_large.extend(filled.too_large.iter().map(|index| next + index));
            next += filled.events;
        }
        Ok(sent)
    }

    fn lane(&self, partition_key: &str) -> &Mutex<Option<ProducerClient>> {
        // The same hash as long as the process lives, which is all it takes.
        let mut hasher = DefaultHasher::new();
        partition_key.hash(&mut hasher);
        &self.lanes[hasher.finish() as usize % self.lanes.len()]
    }

    /// Sends the first of `events`, as many as fit into a batch, trying again
    /// with a new client when it has to.
    async fn send_batch<E: OutgoingEvent>(
        &self,
        lane: &mut Option<ProducerClient>,
        partition_key: &str,
        events: &[E],
        fence: &dyn Fence,
    ) -> Result<Filled, SendError> {
        let mut tries = 0;
        loop {
            let error = match self.try_batch(lane, partition_key, events, fence).await {
                Ok(filled) => return Ok(filled),
                Err(error) => error,
            };
            tries += 1;
            let hub = self.config.hub.clone();
            if is_refusal(&error) {
                return Err(SendError::Refused { hub, source: error });
            }
            if tries >= self.config.tries || matches!(error, TryError::Fenced) {
                return Err(SendError::Away { hub, source: error });
            }
            tracing::warn!(hub, tries, %error, "A batch was not accepted; trying again");
            tokio::time::sleep(pause(tries)).await;
        }
    }

    async fn try_batch<E: OutgoingEvent>(
        &self,
        lane: &mut Option<ProducerClient>,
        partition_key: &str,
        events: &[E],
        fence: &dyn Fence,
    ) -> Result<Filled, TryError> {
        // Taken out, so that a client that failed, or whose send was given up
        // half way, is not used again.
        let client = match lane.take() {
            Some(client) => client,
            None => {
                timeout(self.config.connect_timeout, self.client()).await.map_err(|_| TryError::ConnectTimedOut)??
            }
        };
        let options = EventDataBatchOptions { partition_key: Some(partition_key.to_owned()), ..Default::default() };
        let opening = client.create_batch(Some(options));
        let batch = timeout(self.config.connect_timeout, opening).await.map_err(|_| TryError::ConnectTimedOut)??;
        let filled = fill(&batch, events)?;
        if batch.is_empty() {
            drop(batch);
        } else {
            if !fence.holds() {
                return Err(TryError::Fenced);
            }
            let sending = client.send_batch(batch, None);
            timeout(self.config.send_timeout, sending).await.map_err(|_| TryError::SendTimedOut)??;
        }
        *lane = Some(client);
        Ok(filled)
    }

    async fn client(&self) -> Result<ProducerClient, EventHubsError> {
        let mut builder = ProducerClient::builder()
            .with_application_id(APPLICATION_ID.to_owned())
            // The tries are counted here, with a new client each time.
            .with_retry_options(RetryOptions { max_retries: 0, ..RetryOptions::default() });
        if let Some(endpoint) = &self.config.custom_endpoint {
            builder = builder.with_custom_endpoint(endpoint.to_string());
        }
        builder.open(&self.config.namespace, &self.config.hub, self.credential.clone()).await
    }
}

/// 200 ms, doubled with each try.
fn pause(tries: u32) -> Duration {
    Duration::from_millis(100) * 2_u32.saturating_pow(tries.min(6))
}

/// What went into a batch.
#[derive(Debug, PartialEq, Eq)]
struct Filled {
    /// How many events are dealt with, too large ones included.
    events: usize,
    too_large: Vec<usize>,
}

/// Puts events into an empty batch until it is full.
fn fill<E: OutgoingEvent>(batch: &EventDataBatch<'_>, events: &[E]) -> Result<Filled, EventHubsError> {
    let mut too_large = Vec::new();
    for (index, event) in events.iter().enumerate() {
        if batch.try_add_event_data(event.event_data(), None)? {
            continue;
        }
        if !batch.is_empty() {
            return Ok(Filled { events: index, too_large });
        }
        too_large.push(index);
    }
    Ok(Filled { events: events.len(), too_large })
}

/// Whether trying again can't help: the hub does not exist or the identity may
/// not send to it.
fn is_refusal(error: &TryError) -> bool {
    let TryError::Client(error) = error else { return false };
    if let ErrorKind::AmqpError(error) = &error.kind
        && refuses(error)
    {
        return true;
    }
    let mut cause = error.source();
    while let Some(error) = cause {
        if error.downcast_ref::<AmqpError>().is_some_and(refuses) {
            return true;
        }
        cause = error.source();
    }
    false
}

fn refuses(error: &AmqpError) -> bool {
    match error.kind() {
        AmqpErrorKind::AmqpDescribedError(described) => matches!(
            described.condition,
            AmqpErrorCondition::NotFound
                | AmqpErrorCondition::UnauthorizedAccess
                | AmqpErrorCondition::NotAllowed
                | AmqpErrorCondition::ArgumentError
                | AmqpErrorCondition::ArgumentOutOfRangeError
                | AmqpErrorCondition::ResourceDeleted
        ),
        AmqpErrorKind::ManagementStatusCode(status, _) => {
            matches!(status, StatusCode::Unauthorized | StatusCode::Forbidden | StatusCode::NotFound)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(endpoint: Option<&str>, credential: CredentialSettings) -> Result<(), InvalidHub> {
        let custom_endpoint = endpoint.map(|endpoint| Url::parse(endpoint).unwrap());
        let config = HubConfig { custom_endpoint, ..HubConfig::new("ns1.servicebus.windows.net", "hub1") };
        config.check(&credential)
    }

    #[test]
    fn a_made_up_token_and_plain_text_stay_on_loopback() {
        let identity = || CredentialSettings::ManagedIdentity { client_id: None };
        let development = || CredentialSettings::Development;
        assert_eq!(check(None, identity()), Ok(()));
        assert_eq!(check(Some("amqps://proxy.example:5671"), identity()), Ok(()));
        for loopback in
            ["amqp://127.0.0.1:5672", "amqp://localhost:5672", "amqp://[::1]:5672", "amqps://localhost:5671"]
        {
            assert_eq!(check(Some(loopback), development()), Ok(()), "{loopback}");
        }
        assert_eq!(check(None, development()), Err(InvalidHub::MadeUpToken));
        assert_eq!(check(Some("amqps://10.0.0.1:5671"), development()), Err(InvalidHub::MadeUpToken));
        assert_eq!(check(Some("amqp://10.0.0.1:5672"), identity()), Err(InvalidHub::PlainText));
        assert_eq!(check(Some("amqp://localhost.example:5672"), identity()), Err(InvalidHub::PlainText));
        assert_eq!(
            check(Some("https://127.0.0.1"), identity()),
            Err(InvalidHub::Scheme { scheme: "https".to_owned() })
        );
    }

    #[test]
    fn a_hub_needs_names() {
        let credential = CredentialSettings::ManagedIdentity { client_id: None };
        assert_eq!(HubConfig::new("", "hub1").check(&credential), Err(InvalidHub::NoName));
        assert_eq!(HubConfig::new("ns1", "").check(&credential), Err(InvalidHub::NoName));
    }

    #[test]
    fn pauses_grow_and_end() {
        let pauses: Vec<u128> = [1, 2, 3, 60].map(|tries| pause(tries).as_millis()).to_vec();
        assert_eq!(pauses, [200, 400, 800, 6_400]);
    }
}

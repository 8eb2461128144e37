//! A hub that is opened by a connection string, read over AMQP.
//!
//! For what the Event Hubs SDK 0.15 cannot open: it has no shared access
//! signatures, and IoT Hub's built-in endpoint knows nothing else (design.md
//! D11). TLS with the system's roots, plain text on loopback only.
//!
//! ```text
//! partitions, bounds --> one kept connection --> $management
//! open --> a connection for the partition: $cbs, receiver with epoch 0
//!              \--> a task that shows a new token before the old one ends
//! ```
//!
//! Nothing is tried again here: after an error the delivery loop opens the
//! partition anew. What is in flight is bounded by credit, so that the events
//! that wait in a reader never take more than its budget.

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use delivery::{Away, Bounds, Hub, HubEvent, ReadError, Reader, Source, Start};
use futures::future::BoxFuture;
use hub_client::{Client, ClientError, EventReceiver, ReceiverOptions, StartPosition};
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::net::TcpStream;
use tokio::sync::{Mutex, oneshot};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{self, ClientConfig};

use crate::amqp_event::hub_event;
use crate::connection_string::{ConnectionString, SasToken};

/// What a token is called in `put-token`.
const TOKEN_TYPE: &str = "servicebus.windows.net:sastoken";
/// Readers own partitions by epoch, as every processor does.
const EPOCH: i64 = 0;
/// Between two tries to renew a token.
const RENEW_PAUSE_MAX: Duration = Duration::from_secs(30);

/// What to read, and how.
#[derive(Clone, Debug)]
pub struct SasHubConfig {
    /// Where the hub is and what opens it.
    pub connection: ConnectionString,
    /// Name of the hub.
    pub hub: String,
    /// The consumer group that reads.
    pub consumer_group: String,
    /// What it is called when it is away: "the input hub".
    pub what: &'static str,
    /// How long each step may take but waiting for events.
    pub step_timeout: Duration,
    /// How long a token holds. It is renewed after four fifths of that.
    pub token_lifetime: Duration,
}

impl SasHubConfig {
    /// The defaults: 30 s a step, tokens of an hour. `hub` is
    /// for a connection string without `EntityPath`.
    pub fn new(connection: ConnectionString, hub: Option<&str>, consumer_group: &str) -> Result<Self, InvalidSasHub> {
        let hub = connection.hub().or(hub).unwrap_or_default().to_owned();
        if hub.is_empty() || consumer_group.is_empty() {
            return Err(InvalidSasHub::NoName);
        }
        Ok(Self {
            connection,
            hub,
            consumer_group: consumer_group.to_owned(),
            what: "the input hub",
            step_timeout: Duration::from_secs(30),
            token_lifetime: Duration::from_secs(3600),
        })
    }
}

/// A configuration that can't work.
#[derive(Debug, thiserror::Error)]
pub enum InvalidSasHub {
    /// Both are needed.
    #[error(
        "the hub or the consumer group has no name; the hub's is `EntityPath` of the connection string, or a setting"
    )]
    NoName,
    /// No TLS without them.
    #[error("the system's trusted certificates cannot be used")]
    Roots(#[source] rustls::Error),
}

/// Why a hub cannot be read for now.
#[derive(Debug, thiserror::Error)]
enum SasHubError {
    #[error("`{address}` cannot be reached")]
    Unreachable { address: String, source: io::Error },
    #[error("no TLS with `{address}`")]
    Tls { address: String, source: io::Error },
    #[error("`{address}` did not answer in time")]
    TimedOut { address: String },
    #[error("the shared access signature of the connection string has ended")]
    SignatureEnded,
    #[error("the key or signature of the connection string does not open the hub")]
    NotAuthorized(#[source] ClientError),
    #[error("an event has a time that cannot be")]
    NoTime,
    #[error(transparent)]
    Client(ClientError),
}

impl From<ClientError> for SasHubError {
    fn from(error: ClientError) -> Self {
        match &error {
            ClientError::Refused { condition, .. } if condition == "amqp:unauthorized-access" => {
                Self::NotAuthorized(error)
            }
            _ => Self::Client(error),
        }
    }
}

/// See the module.
pub struct SasHub {
    shared: Arc<Shared>,
    /// For `partitions` and `bounds`.
    kept: Mutex<Option<Connected>>,
}

impl std::fmt::Debug for SasHub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SasHub").field("config", &self.shared.config).finish_non_exhaustive()
    }
}

/// A connection whose token was taken.
struct Connected {
    client: Client,
    token: SasToken,
}

struct Shared {
    config: SasHubConfig,
    /// None for plain text.
    tls: Option<TlsConnector>,
}

impl SasHub {
    /// A hub as configured. Connects to nobody yet.
    pub fn new(config: SasHubConfig) -> Result<SasHub, InvalidSasHub> {
        let tls = match config.connection.is_emulator() {
            true => None,
            false => Some(tls().map_err(InvalidSasHub::Roots)?),
        };
        Ok(SasHub { shared: Arc::new(Shared { config, tls }), kept: Mutex::default() })
    }

    /// Asks over the kept connection, or over a new one when there is none or
    /// it has broken.
    async fn ask<T>(
        &self,
        question: impl for<'c> Fn(&'c mut Client) -> BoxFuture<'c, Result<T, ClientError>> + Send + Sync,
    ) -> Result<T, SasHubError> {
        let mut kept = self.kept.lock().await;
        // Taken out, so that one that was in the midst of something is not used again.
        if let Some(mut connected) = kept.take()
            && !self.shared.is_due(&connected.token)
        {
            match question(&mut connected.client).await {
                Err(error) if error.is_away() => tracing::debug!(%error, "A kept connection to a hub has ended"),
                answer => {
                    *kept = Some(connected);
                    return Ok(answer?);
                }
            }
        }
        let mut connected = self.shared.connect().await?;
        let answer = question(&mut connected.client).await?;
        *kept = Some(connected);
        Ok(answer)
    }

    fn away(&self, error: SasHubError) -> Away {
        Away::new(self.shared.config.what, error)
    }
}

fn tls() -> Result<TlsConnector, rustls::Error> {
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_platform_verifier()?
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

impl Hub for SasHub {
    type Reader = SasReader;

    fn source(&self, partition: &str) -> Source {
        let config = &self.shared.config;
        Source {
            namespace: config.connection.namespace().to_owned(),
            hub: config.hub.clone(),
            consumer_group: config.consumer_group.clone(),
            partition: partition.to_owned(),
        }
    }

    async fn partitions(&self) -> Result<Vec<String>, Away> {
        let properties = self.ask(|client| Box::pin(client.hub_properties())).await;
        Ok(properties.map_err(|error| self.away(error))?.partition_ids)
    }

    async fn bounds(&self, partition: &str) -> Result<Bounds, Away> {
        let partition = Arc::<str>::from(partition);
        let properties = self
            .ask(|client| {
                let partition = partition.clone();
                Box::pin(async move { client.partition_properties(&partition).await })
            })
            .await
            .map_err(|error| self.away(error))?;
        Ok(Bounds { first: properties.first_sequence_number, last: properties.last_sequence_number })
    }

    async fn open(&self, partition: &str, from: Start, credit: usize) -> Result<SasReader, Away> {
        let config = &self.shared.config;
        let opening = async {
            let mut connected = self.shared.connect().await?;
            let position = match from {
                // Before the first event there is none to be after.
                Start::Beginning | Start::After(..0) => StartPosition::Earliest,
                Start::After(sequence_number) => StartPosition::SequenceNumber { sequence_number, inclusive: false },
            };
            let options = ReceiverOptions { epoch: Some(EPOCH), credit: u32::try_from(credit).unwrap_or(u32::MAX) };
            let receiver =
                connected.client.receiver_with(&config.consumer_group, partition, &position, options).await?;
            let (dropped, ended) = oneshot::channel();
            tokio::spawn(self.shared.clone().renew(connected, ended));
            Ok(SasReader { receiver, what: config.what, _dropped: dropped })
        };
        opening.await.map_err(|error: SasHubError| self.away(error))
    }
}

impl Shared {
    /// Connects and shows a token, each step in its time.
    async fn connect(&self) -> Result<Connected, SasHubError> {
        let (host, port) = self.config.connection.address();
        let wait = self.config.step_timeout;
        let address = || format!("{host}:{port}");
        let timed_out = |_| SasHubError::TimedOut { address: address() };
        let stream = timeout(wait, TcpStream::connect((host, port))).await.map_err(timed_out)?;
        let stream = stream.map_err(|source| SasHubError::Unreachable { address: address(), source })?;
        // Credit and tokens are small frames that must not wait for each other.
        stream.set_nodelay(true).map_err(|source| SasHubError::Unreachable { address: address(), source })?;
        let namespace = self.config.connection.namespace();
        let hub = &self.config.hub;
        let mut client = match &self.tls {
            None => Client::over(stream, namespace, hub, wait).await?,
            Some(tls) => {
                let no_tls = |source| SasHubError::Tls { address: address(), source };
                let name = ServerName::try_from(host.to_owned()).map_err(|error| no_tls(io::Error::other(error)))?;
                let stream = timeout(wait, tls.connect(name, stream)).await.map_err(timed_out)?.map_err(no_tls)?;
                Client::over(stream, namespace, hub, wait).await?
            }
        };
        let token = self.show_token(&mut client).await?;
        Ok(Connected { client, token })
    }

    async fn show_token(&self, client: &mut Client) -> Result<SasToken, SasHubError> {
        let connection = &self.config.connection;
        let audience = connection.audience(&self.config.hub);
        let now = SystemTime::now();
        let token = connection.token(&audience, now, self.config.token_lifetime);
        if token.expires <= now {
            return Err(SasHubError::SignatureEnded);
        }
        let expires = token.expires.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        client.put_token(TOKEN_TYPE, &audience, &token.token, expires.as_millis() as i64).await?;
        Ok(token)
    }

    /// How long until a token is to be renewed: a fifth of its life before its end.
    fn renew_in(&self, token: &SasToken) -> Duration {
        let left = token.expires.duration_since(SystemTime::now()).unwrap_or_default();
        left.saturating_sub(self.config.token_lifetime / 5)
    }

    fn is_due(&self, token: &SasToken) -> bool {
        self.renew_in(token).is_zero()
    }

    /// Renews the token of a reader's connection until the reader is dropped,
    /// and then closes the connection. When no new token is taken, the service
    /// closes the link, which the reader then says.
    async fn renew(self: Arc<Self>, mut connected: Connected, mut ended: oneshot::Receiver<()>) {
        let is_renewable = self.config.connection.is_renewable();
        let mut wait = self.renew_in(&connected.token);
        loop {
            let due = async {
                match is_renewable {
                    true => tokio::time::sleep(wait).await,
                    false => std::future::pending().await,
                }
            };
            let renewing = async {
                due.await;
                self.show_token(&mut connected.client).await
            };
            let renewed = tokio::select! {
                _ = &mut ended => break,
                renewed = renewing => renewed,
            };
            match renewed {
                Ok(token) => {
                    wait = self.renew_in(&token);
                    tracing::debug!(hub = self.config.hub, "A hub took a new token");
                }
                Err(error) => {
                    wait = (self.config.token_lifetime / 20).min(RENEW_PAUSE_MAX);
                    tracing::warn!(
                        hub = self.config.hub,
                        error = delivery::away::error_chain(&error),
                        "A hub did not take a new token; trying again"
                    );
                }
            }
        }
        if let Err(error) = connected.client.close().await {
            tracing::debug!(%error, "A connection to a hub did not end in good order");
        }
    }
}

/// Reads one partition.
#[derive(Debug)]
pub struct SasReader {
    receiver: EventReceiver,
    what: &'static str,
    /// Dropping it ends the connection.
    _dropped: oneshot::Sender<()>,
}

impl Reader for SasReader {
    async fn next(&mut self) -> Result<HubEvent, ReadError> {
        let event = self.receiver.next().await.map_err(|error| match error.is_stolen() {
            true => ReadError::Displaced,
            false => ReadError::Away(Away::new(self.what, SasHubError::from(error))),
        })?;
        hub_event(event).ok_or_else(|| Away::new(self.what, SasHubError::NoTime).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hub_needs_a_name_and_the_connection_strings_wins() {
        let text = "Endpoint=sb://h;SharedAccessKeyName=n;SharedAccessKey=k";
        let hub = |text: &str, name| SasHubConfig::new(text.parse().unwrap(), name, "g").map(|config| config.hub).ok();
        assert_eq!(hub(text, Some("a")).as_deref(), Some("a"));
        assert_eq!(hub(&format!("{text};EntityPath=b"), Some("a")).as_deref(), Some("b"));
        assert_eq!(hub(text, None), None);
    }
}

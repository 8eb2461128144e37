//! A connection for one hub.

use std::time::Duration;

use fe2o3_amqp::connection::ConnectionHandle;
use fe2o3_amqp::sasl_profile::SaslProfile;
use fe2o3_amqp::session::SessionHandle;
use fe2o3_amqp::types::messaging::{AmqpValue, ApplicationProperties, Body};
use fe2o3_amqp::types::primitives::{SimpleValue, Timestamp, Value};
use fe2o3_amqp::{Connection, Session};
use secrecy::{ExposeSecret, SecretString};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::error::{ClientError, in_time};
use crate::message::AmqpMessage;
use crate::requests;

/// How long a stand-in may take for anything but waiting for events. It is on
/// the same machine and takes milliseconds.
const STAND_IN_WAIT: Duration = Duration::from_secs(5);
/// What every client asks for as its largest frame (functions-eventhubs-keda.md 7.1).
const FRAME_BYTES_MAX: u32 = 65_536;
/// A connection without a frame for so long is given up, as .NET announces it.
const IDLE_TIMEOUT_MS: u32 = 60_000;

/// A connection for one hub. Receivers and senders live as long as it does.
#[derive(Debug)]
pub struct Client {
    pub(crate) hub: String,
    pub(crate) partition_ids: Vec<String>,
    connection: ConnectionHandle<()>,
    pub(crate) session: SessionHandle<()>,
    /// Link names must differ within a connection.
    links: u32,
    /// How long anything may take but waiting for events.
    pub(crate) wait: Duration,
    /// What was put last; requests for properties carry it.
    pub(crate) token: Option<SecretString>,
}

impl Client {
    /// Connects to a stand-in at `address` (`host:port`), in plain text and
    /// without a token. A hub that does not exist is refused with
    /// `amqp:not-found`.
    pub async fn connect(address: &str, hub: &str) -> Result<Self, ClientError> {
        let doing = "connecting";
        let connecting = async {
            let stream =
                tokio::net::TcpStream::connect(address).await.map_err(|error| ClientError::away(doing, error))?;
            let mut client = Self::over(stream, "localhost", hub, STAND_IN_WAIT).await?;
            // Asked for now, because fe2o3-amqp 0.18 loses the reason when the
            // stand-in refuses a sender.
            client.hub_properties().await?;
            Ok(client)
        };
        in_time(STAND_IN_WAIT, doing, connecting).await
    }

    /// Opens a connection and a session over `stream` to the namespace `host`.
    /// `wait` is how long this, and each later step, may take. Whether the hub
    /// exists is seen later.
    pub async fn over<Io>(stream: Io, host: &str, hub: &str, wait: Duration) -> Result<Self, ClientError>
    where
        Io: AsyncRead + AsyncWrite + std::fmt::Debug + Send + Unpin + 'static,
    {
        let doing = "connecting";
        let connecting = async {
            let mut connection = Connection::builder()
                .container_id(uuid::Uuid::new_v4().to_string())
                .hostname(host)
                .scheme("amqp")
                .max_frame_size(FRAME_BYTES_MAX)
                .idle_time_out(IDLE_TIMEOUT_MS)
                .sasl_profile(SaslProfile::Anonymous)
                .open_with_stream(stream)
                .await
                .map_err(|error| ClientError::away(doing, error))?;
            let session = Session::begin(&mut connection).await.map_err(|error| ClientError::away(doing, error))?;
            let partition_ids = Vec::new();
            Ok(Self { hub: hub.to_owned(), partition_ids, connection, session, links: 0, wait, token: None })
        };
        in_time(wait, doing, connecting).await
    }

    /// The hub's partitions, in their order, as far as they were asked for: by
    /// [`Client::connect`] or [`Client::hub_properties`].
    pub fn partition_ids(&self) -> &[String] {
        &self.partition_ids
    }

    /// Shows who is connected: `token` of the type `kind`, such as
    /// `servicebus.windows.net:sastoken`, for `audience` and all below it
    /// (functions-eventhubs-keda.md 7.2). Done again with a newer token it
    /// lengthens what the links of the connection may do.
    pub async fn put_token(
        &mut self,
        kind: &str,
        audience: &str,
        token: &SecretString,
        expires_ms: i64,
    ) -> Result<(), ClientError> {
        let doing = "showing a token";
        let mut request = AmqpMessage::from(Body::Value(AmqpValue(Value::String(token.expose_secret().to_owned()))));
        let mut properties = ApplicationProperties::default();
        for (name, text) in [("operation", "put-token"), ("type", kind), ("name", audience)] {
            properties.0.insert(name.to_owned(), SimpleValue::String(text.to_owned()));
        }
        let expires = SimpleValue::Timestamp(Timestamp::from_milliseconds(expires_ms));
        properties.0.insert("expiration".to_owned(), expires);
        request.application_properties = Some(properties);
        let answer = self.ask("$cbs", doing, request).await?;
        requests::value(answer, doing)?;
        self.token = Some(token.clone());
        Ok(())
    }

    /// Ends the connection in good order. Dropping the client ends it too.
    pub async fn close(mut self) -> Result<(), ClientError> {
        let doing = "closing the connection";
        let closing = async {
            self.session.end().await.map_err(|error| ClientError::away(doing, error))?;
            self.connection.close().await.map_err(|error| ClientError::away(doing, error))
        };
        in_time(self.wait, doing, closing).await
    }

    pub(crate) fn next_link_name(&mut self) -> String {
        self.links += 1;
        format!("link-{}", self.links)
    }
}

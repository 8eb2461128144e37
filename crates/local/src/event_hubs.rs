//! A stand-in for Azure Event Hubs on one machine: AMQP 1.0 over plain TCP.
//!
//! The Event Hubs clients of Python, JavaScript, Java, Rust and Go (KEDA) work
//! against it with a connection string that holds `UseDevelopmentEmulator=true`,
//! or, for Rust, with a custom endpoint `amqp://127.0.0.1:PORT`.
//!
//! ```text
//! senders --AMQP--> partitions (append-only files, fsync before Accepted) --AMQP--> receivers
//! ```
//!
//! Hubs, partitions, consumer groups, start positions, epochs, batches and
//! partition keys behave as functions-eventhubs-keda.md 7 says. What was
//! accepted survives `kill -9`, once. It is for development: it listens on
//! loopback, takes any token unless it was given keys, and drops no event by age
//! (delete the state folder to start anew).
//!
//! Hubs are configured, or made and removed while it runs ([`Administration`]);
//! those that are made may have rules with keys, as the service's do.
//!
//! It runs best as a process of its own: some clients do not get along with a
//! listener on their own tokio runtime (functions-eventhubs-keda.md 6.3).

mod access;
mod address;
mod administration;
mod cbs;
mod connection;
mod faults;
mod frames;
mod log;
mod management;
mod message;
mod partition;
mod permit;
mod position;
mod receivers;
mod receiving;
mod requests;
mod sending;
mod store;
mod tokens;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinSet;

use connection::Broker;
use store::Store;

pub use access::{KeyType, Right};
pub use administration::{Administration, AdministrationError, RuleKeys, TOKEN_FILE};
pub use faults::{Fault, Faults, UnknownFault};
pub use hub_client as client;
pub use hub_client::StartPosition;
pub use log::LogError;
pub use store::{DEFAULT_GROUP, StoreError};
pub use tokens::SharedAccessKeys;

/// Clients that wait to be accepted.
const BACKLOG: u32 = 128;
/// The largest TCP segment that is announced. The Python client reads the
/// value of `TCP_MAXSEG` and sets it again; the one of loopback is above what
/// Linux lets it set (functions-eventhubs-keda.md 7.9).
const SEGMENT_BYTES_MAX: u32 = 16_384;
/// How long the listener rests after the system refused a connection, for
/// instance because too many files are open, before it tries again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What to start with.
#[derive(Clone, Debug)]
pub struct Config {
    /// A loopback address; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where events are kept; made when missing, used by one process at a time.
    pub state: PathBuf,
    /// The hubs there are, beside those that were made. Clients can't make others.
    pub hubs: Vec<HubConfig>,
    /// Partitions of hubs that do not say their own number.
    pub default_partitions: u16,
    /// How much later than it could the stand-in says everything it says, as if
    /// there were a network in between; frames do not wait for each other, so
    /// it costs no throughput. The Rust client 0.15 (fe2o3-amqp 0.14) fails when
    /// answers come at once. It notes a message as unsettled only after it has
    /// handed it to the socket, and waits for ever for a settlement that came
    /// before the note; and it ends a session with an error when a link's
    /// detach is answered before it has ended the session itself. Nothing that
    /// a listener sees tells when it may answer. See [`Config::LATENCY`].
    pub latency: Duration,
}

impl Config {
    /// The Rust client failed in one of four runs without latency, and in none
    /// of 230 with this (measured on two busy cores).
    pub const LATENCY: Duration = Duration::from_millis(5);
}

/// One hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubConfig {
    /// Letters, digits, `.`, `-` and `_`; compared without regard to case.
    pub name: String,
    /// How many partitions; more than before is allowed, fewer not.
    pub partitions: Option<u16>,
    /// Consumer groups besides `$Default`; compared without regard to case.
    pub consumer_groups: Vec<String>,
}

/// Why the stand-in can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Other machines could reach it, and it lets everyone in.
    #[error("`{address}` is not a loopback address")]
    NotLoopback {
        /// The address asked for.
        address: SocketAddr,
    },
    /// The state folder.
    #[error("the hubs can't be opened")]
    Store(#[from] StoreError),
    /// The port.
    #[error("can't listen on `{address}`")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// How many events a hub holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubStatistics {
    /// Name of the hub.
    pub hub: String,
    /// All events that were ever sent to it.
    pub events: u64,
}

/// A stand-in that is ready to serve.
#[derive(Debug)]
pub struct EventHubs {
    listener: TcpListener,
    address: SocketAddr,
    state: PathBuf,
    /// Where hubs are made by HTTP, and by whom.
    administered: Option<(TcpListener, String)>,
    broker: Arc<Broker>,
}

/// Counts events; stays valid while the stand-in runs.
#[derive(Clone, Debug)]
pub struct Statistics(Arc<Broker>);

impl Statistics {
    /// Each hub's count, by name.
    pub fn hubs(&self) -> Vec<HubStatistics> {
        let hubs = self.0.store.hubs();
        hubs.iter().map(|hub| HubStatistics { hub: hub.name.clone(), events: hub.event_count() }).collect()
    }
}

impl EventHubs {
    /// Opens the state folder and the port. Clients may connect from now on and
    /// are served as soon as [`EventHubs::run`] is called.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        Self::start_with_keys(config, SharedAccessKeys::default()).await
    }

    /// The same for a stand-in that wants tokens signed with one of `keys`.
    pub async fn start_with_keys(config: Config, keys: SharedAccessKeys) -> Result<Self, StartError> {
        let address = config.listen;
        if !address.ip().is_loopback() {
            return Err(StartError::NotLoopback { address });
        }
        let Config { state, hubs, default_partitions, latency, .. } = config;
        // Reads every partition through, which may take a while; the writers
        // need the runtime, so this can't simply be a blocking task.
        let store = tokio::task::spawn_blocking({
            let (runtime, state) = (tokio::runtime::Handle::current(), state.clone());
            move || {
                let _inside = runtime.enter();
                Store::open(&state, &hubs, default_partitions)
            }
        })
        .await
        .map_err(|error| StartError::Listen { address, source: io::Error::other(error) })??;
        let store = Arc::new(store);
        let listener = listen(address).map_err(|source| StartError::Listen { address, source })?;
        let address = listener.local_addr().map_err(|source| StartError::Listen { address, source })?;
        match keys.is_empty() {
            true => {
                tracing::info!(%address, "The Event Hubs stand-in listens. It is for development: it takes any token.")
            }
            false => tracing::info!(%address, ?keys, "The Event Hubs stand-in listens. It is for development."),
        }
        let faults = Faults::of(store.clone());
        let broker = Arc::new(Broker { store, receivers: Arc::default(), latency, keys, faults });
        Ok(Self { listener, address, state, administered: None, broker })
    }

    /// Lets hubs be made and removed by HTTP too, at an address of loopback, by
    /// whoever shows the token in the state folder ([`TOKEN_FILE`]). Gives where.
    pub async fn administer(&mut self, address: SocketAddr) -> Result<SocketAddr, StartError> {
        if !address.ip().is_loopback() {
            return Err(StartError::NotLoopback { address });
        }
        let failed = |source| StartError::Listen { address, source };
        let path = self.state.join(TOKEN_FILE);
        let token = administration::token(&self.state).map_err(|source| StoreError::Io { path, source })?;
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        tracing::info!(%address, "Hubs are made and removed by HTTP");
        self.administered = Some((listener, token));
        Ok(address)
    }

    /// Makes and removes hubs, also while it runs.
    pub fn administration(&self) -> Administration {
        Administration::of(self.broker.store.clone())
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Counts of events, also while it runs.
    pub fn statistics(&self) -> Statistics {
        Statistics(self.broker.clone())
    }

    /// Commands faults, also while it runs.
    pub fn faults(&self) -> Faults {
        self.broker.faults.clone()
    }

    /// Serves clients until `shutdown` is done; then connections are cut. What
    /// was accepted is on disk at any time.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) {
        let mut shutdown = std::pin::pin!(shutdown);
        let mut connections = JoinSet::new();
        if let Some((listener, token)) = self.administered.take() {
            let router = self.administration().router(token);
            connections.spawn(async move {
                if let Err(error) = axum::serve(listener, router).await {
                    tracing::error!(%error, "Hubs are no longer made by HTTP");
                }
            });
        }
        loop {
            let accepted = tokio::select! {
                () = &mut shutdown => return,
                accepted = self.listener.accept() => accepted,
                // Ended connections are taken out as they end.
                Some(_) = connections.join_next() => continue,
            };
            match accepted {
                Ok((socket, _)) => {
                    // Small frames must not wait for each other.
                    if let Err(error) = socket.set_nodelay(true) {
                        tracing::debug!(%error, "A connection is gone already");
                    }
                    connections.spawn(connection::serve(socket, self.broker.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "A connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => tokio::net::TcpSocket::new_v4()?,
        SocketAddr::V6(_) => tokio::net::TcpSocket::new_v6()?,
    };
    // A restart takes the same port while old connections linger.
    socket.set_reuseaddr(true)?;
    socket2::SockRef::from(&socket).set_tcp_mss(SEGMENT_BYTES_MAX)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

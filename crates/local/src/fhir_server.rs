//! A small FHIR R4 server for one machine: development and tests, nothing else.
//!
//! ```text
//! HTTP --http--> Interaction --service, write, bundle--> Store --journal--> file
//! ```
//!
//! It serves what this product asks of a FHIR server, under `/fhir`: create,
//! read, version read, update with the client's id, conditional create and
//! update, delete, history, search, batch and transaction; OAuth 2.0 client
//! credentials when wanted. It is strict where real servers are (`shape`), and a
//! [`Personality`] says which real server's habits it has where they differ.
//!
//! Every answer, reads included, waits until what it shows is synced to the
//! journal, so a `kill -9` loses nothing that was answered. The journal only
//! grows, and all versions are in memory: this is no place for real data.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

mod bundle;
mod date;
mod failure;
mod http;
mod in_process;
mod journal;
mod listing;
mod personality;
mod query;
mod request;
mod resource;
mod service;
mod shape;
mod store;
#[cfg(test)]
mod tests;
mod token;
mod write;

pub use in_process::InProcessFhirServer;
pub use personality::{Personality, UnknownPersonality};
pub use token::{BearerCheck, TokenClient};

use http::Front;
use service::Service;
use store::Store;
use token::Tokens;

/// How to start a [`FhirServer`].
#[derive(Clone, Debug)]
pub struct FhirServerConfig {
    /// Where to listen; loopback only. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Folder of the journal; `None` keeps everything in memory.
    pub state: Option<PathBuf>,
    /// Whose habits to have.
    pub personality: Personality,
    /// Asks for bearer tokens, which this client can get at `/oauth2/token`.
    pub token_client: Option<TokenClient>,
    /// Asks for bearer tokens that come from elsewhere.
    pub bearer: Option<BearerCheck>,
    /// With `hapi`: how long a write leaves room for others between its look at
    /// the state and its commit. Zero lets others in that are ready at once.
    pub commit_time: Duration,
    /// Most entries of one bundle; more are answered 413. Microsoft's server
    /// takes 500.
    pub bundle_entries_max: usize,
}

impl FhirServerConfig {
    /// In memory, without tokens, on a free port of 127.0.0.1.
    pub fn new(personality: Personality) -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            state: None,
            personality,
            token_client: None,
            bearer: None,
            commit_time: Duration::ZERO,
            bundle_entries_max: if personality == Personality::Azure { 500 } else { 5000 },
        }
    }
}

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum FhirServerError {
    /// The development server has no protection worth the name.
    #[error("the development FHIR server listens on loopback only, not on `{0}`")]
    NotLoopback(SocketAddr),
    /// The port is taken, or may not be used.
    #[error("cannot listen on `{address}`")]
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The folder cannot be used, or its journal cannot be read.
    #[error("cannot use the FHIR server's state in `{}`", folder.display())]
    State {
        /// The folder that was asked for.
        folder: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A running server. Dropping it stops it without waiting; see
/// [`FhirServer::stop`].
#[derive(Debug)]
pub struct FhirServer {
    address: SocketAddr,
    front: Arc<Front>,
    stop: Option<oneshot::Sender<()>>,
    task: Option<JoinHandle<io::Result<()>>>,
}

impl FhirServer {
    /// Reads the state, listens, and serves until stopped.
    pub async fn start(config: FhirServerConfig) -> Result<Self, FhirServerError> {
        if !config.listen.ip().is_loopback() {
            return Err(FhirServerError::NotLoopback(config.listen));
        }
        let opaque = config.personality.opaque_versions();
        let store = match &config.state {
            None => Store::in_memory(opaque),
            Some(folder) => Store::open(folder, opaque)
                .map_err(|source| FhirServerError::State { folder: folder.clone(), source })?,
        };
        let listen = |source| FhirServerError::Listen { address: config.listen, source };
        let listener = TcpListener::bind(config.listen).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let base = format!("http://{address}{}", http::BASE_PATH);
        tracing::warn!(
            fhir.url = base,
            fhir.personality = config.personality.name(),
            "Development FHIR server started; it is not for real data"
        );
        let service = Service::new(store, config.personality, base, config.commit_time, config.bundle_entries_max);
        let tokens = config.token_client.map(Tokens::new);
        let front = Arc::new(Front { service, tokens, bearer: config.bearer });
        let (stop, stopped) = oneshot::channel();
        let serve = axum::serve(listener, http::routes(front.clone())).with_graceful_shutdown(async {
            // A dropped handle stops the server too.
            let _ = stopped.await;
        });
        let task = tokio::spawn(serve.into_future());
        Ok(Self { address, front, stop: Some(stop), task: Some(task) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The FHIR base URL, without a slash at its end.
    pub fn url(&self) -> &str {
        &self.front.service.base
    }

    /// The URL of the token endpoint.
    pub fn token_url(&self) -> String {
        format!("http://{}/oauth2/token", self.address)
    }

    /// How many resources of each type there are, deleted ones left out.
    pub fn counts(&self) -> BTreeMap<String, usize> {
        self.front.service.counts()
    }

    /// Ends open connections after their current request, then returns.
    pub async fn stop(mut self) -> io::Result<()> {
        self.stop.take();
        match self.task.take() {
            Some(task) => task.await.unwrap_or_else(|error| Err(io::Error::other(error))),
            None => Ok(()),
        }
    }
}

impl Drop for FhirServer {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

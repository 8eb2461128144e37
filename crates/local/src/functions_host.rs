//! A stand-in for the Azure Functions host, for one machine: it runs an app
//! root with a custom handler as the real host does.
//!
//! ```text
//! EventSource --partition: batch--> invocation --invoker: POST--> handler process
//!                    |                                               ^
//!                Checkpoints                       handler: start, readiness, restart
//! ```
//!
//! In: host.json, one folder with a function.json for each function, and an
//! environment. The wire form, the retries, what moves a checkpoint and what
//! kills a handler follow functions-eventhubs-keda.md 1 to 4, each module names
//! its part. It does not do: other triggers than Event Hubs and HTTP, output
//! bindings other than `http`, keys of HTTP functions, real Azure; several hosts
//! share partitions when they are given a [`Sharing`].
//!
//! It is for development, and the counterpart in tests of the two functions.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

mod amqp_json;
mod answered;
mod checkpoints;
mod connection;
mod dates;
mod function;
mod handler;
mod http;
mod invocation;
mod invoker;
mod partition;
mod retry;
mod settings;
mod sharing;
mod source;
mod watchdog;

pub use answered::{Answered, Audience, Printed};
pub use checkpoints::{Checkpoint, Checkpoints, FolderCheckpoints, PartitionKey};
pub use connection::HubAddress;
pub use handler::HostStopped;
pub use settings::{InitialOffset, SettingError};
pub use sharing::Sharing;
pub use source::{EventSource, From, HostEvent, PartitionReceiver, SourceError};

use function::{EventHubTrigger, Function, Trigger};
use handler::{HandlerPlan, Supervisor};
use http::HttpFunctions;
use invoker::Invoker;
use partition::Shared;
use settings::{HostJson, Settings};
use source::EventHubsSource;

/// How long a stopping host waits for invocations in work.
const DRAIN: Duration = Duration::from_secs(10);
/// Rest before the hub is asked for its partitions again.
const SOURCE_PAUSE: Duration = Duration::from_secs(1);

/// Makes the source of a hub and consumer group.
type Sources = Box<dyn Fn(HubAddress, &str) -> Arc<dyn EventSource> + Send>;

/// How to start a [`FunctionsHost`].
#[derive(Clone, Debug)]
pub struct FunctionsHostConfig {
    /// Folder with host.json and the functions' folders.
    pub app_root: PathBuf,
    /// The host's environment: app settings, overrides of host.json, and all
    /// that the handler inherits. Usually the process's own.
    pub environment: BTreeMap<String, String>,
    /// Where checkpoints are.
    pub checkpoints: Arc<dyn Checkpoints>,
    /// Where HTTP functions are served, and `GET /` says that the host runs;
    /// loopback only, port 0 takes a free one.
    pub http_listen: SocketAddr,
    /// Whose the partitions are; `None`: all are this host's.
    pub sharing: Option<Arc<dyn Sharing>>,
    /// Who wants to know what functions answer: those with an Event Hubs
    /// trigger, and those that requests are sent on to, with their JSON.
    pub answered: Option<Arc<dyn Audience>>,
}

/// Why the host did not start.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// A file or setting of the app.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// It is no server for others.
    #[error("the Functions host stand-in listens on loopback only, not on `{0}`")]
    NotLoopback(SocketAddr),
    /// The port of HTTP functions.
    #[error("cannot listen on `{address}`")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The HTTP client to the handler.
    #[error("cannot set up the HTTP client to the handler")]
    Client(#[source] reqwest::Error),
}

/// A running host. Dropping it kills the handler at once; see
/// [`FunctionsHost::stop`] for the orderly way.
#[derive(Debug)]
pub struct FunctionsHost {
    http_address: SocketAddr,
    stopping: watch::Sender<bool>,
    /// Becomes true when the handler is to end.
    ending: watch::Sender<bool>,
    stopped: mpsc::UnboundedReceiver<HostStopped>,
    /// What works for the handler: partitions and HTTP.
    work: JoinSet<()>,
    supervisor: JoinHandle<()>,
}

impl FunctionsHost {
    /// Reads the app, starts the handler, and begins to work. Returns before
    /// the handler is ready; invocations wait for it.
    pub async fn start(config: FunctionsHostConfig) -> Result<Self, HostError> {
        let sources: Sources = Box::new(|hub, group| Arc::new(EventHubsSource::new(hub, group)));
        Self::start_with(config, sources).await
    }

    /// As [`FunctionsHost::start`], with events from `source` instead of the
    /// Event Hubs stand-in.
    pub async fn start_with_source(
        config: FunctionsHostConfig,
        source: Arc<dyn EventSource>,
    ) -> Result<Self, HostError> {
        Self::start_with(config, Box::new(move |_, _| source.clone())).await
    }

    async fn start_with(config: FunctionsHostConfig, sources: Sources) -> Result<Self, HostError> {
        let app = App::read(&config)?;
        tracing::warn!(functions = app.functions.len(), "Development stand-in of the Functions host started");
        let (stopping, is_stopping) = watch::channel(false);
        let (stop, stopped) = mpsc::unbounded_channel();
        let (supervisor, states, restarter) = Supervisor::new(app.plan(&config));
        let invoker = Invoker::new(states, restarter, stop.clone(), app.host.function_timeout);
        let invoker = invoker.map_err(HostError::Client)?;
        let mut work = JoinSet::new();
        for (function, trigger, hub) in app.event_hub_functions()? {
            let shared = Shared {
                function: function.name.clone(),
                trigger: trigger.clone(),
                retry: function.retry.or(app.host.retry),
                options: app.host.event_hubs.clone(),
                source: sources(hub.clone(), &trigger.consumer_group),
                checkpoints: config.checkpoints.clone(),
                invoker: invoker.clone(),
                stopping: is_stopping.clone(),
                sharing: config.sharing.clone(),
                answered: config.answered.clone(),
            };
            work.spawn(listen(Arc::new(shared), hub));
        }
        let http_address = app.serve_http(&config, invoker, is_stopping, &mut work).await?;
        let (ending, mut is_ending) = watch::channel(false);
        let supervisor = tokio::spawn(async move {
            // Without the host it is to end as well.
            let end = async { _ = is_ending.wait_for(|is_ending| *is_ending).await };
            if let Some(reason) = supervisor.run(end).await {
                // Nobody listens any more when the host itself is gone.
                let _ = stop.send(reason);
            }
        });
        Ok(Self { http_address, stopping, ending, stopped, work, supervisor })
    }

    /// Where HTTP functions are served.
    pub fn http_address(&self) -> SocketAddr {
        self.http_address
    }

    /// Waits until the host gives up by itself. The real host then ends its own
    /// process, for the container to be started again: do the same.
    pub async fn stopped(&mut self) -> HostStopped {
        match self.stopped.recv().await {
            Some(reason) => reason,
            None => std::future::pending().await,
        }
    }

    /// Takes no more events and requests, gives invocations in work ten
    /// seconds, stores no checkpoint for them, kills the handler and waits until
    /// that has ended.
    pub async fn stop(mut self) {
        self.stopping.send_replace(true);
        let drained = tokio::time::timeout(DRAIN, async { while self.work.join_next().await.is_some() {} }).await;
        if drained.is_err() {
            tracing::warn!("Invocations were still in work when the host stopped");
        }
        self.ending.send_replace(true);
        // A panic of it has been printed.
        let _ = (&mut self.supervisor).await;
    }
}

impl Drop for FunctionsHost {
    fn drop(&mut self) {
        self.supervisor.abort();
    }
}

/// What an app root says.
struct App {
    root: PathBuf,
    settings: Settings,
    host: HostJson,
    functions: Vec<Function>,
}

impl App {
    fn read(config: &FunctionsHostConfig) -> Result<Self, SettingError> {
        let read = |path: &Path, source| SettingError::Read { path: path.to_owned(), source };
        let root = fs::canonicalize(&config.app_root).map_err(|source| read(&config.app_root, source))?;
        let settings = Settings::new(&config.environment);
        let file = root.join("host.json");
        let text = fs::read_to_string(&file).map_err(|source| read(&file, source))?;
        let json = serde_json::from_str(&text).map_err(|source| SettingError::Json { path: file, source })?;
        let host = HostJson::read(&json, &settings)?;
        let functions = function::read_all(&root, &host.functions, &settings)?;
        Ok(Self { root, settings, host, functions })
    }

    fn plan(&self, config: &FunctionsHostConfig) -> HandlerPlan {
        let (handler, environment) = (self.host.handler.clone(), config.environment.clone());
        HandlerPlan { handler, app_root: self.root.clone(), environment }
    }

    fn event_hub_functions(&self) -> Result<Vec<(&Function, &EventHubTrigger, HubAddress)>, SettingError> {
        let custom_endpoint = self.host.event_hubs.custom_endpoint.as_deref();
        let mut found = Vec::new();
        for function in &self.functions {
            if let Trigger::EventHub(trigger) = &function.trigger {
                let hub = connection::resolve(&self.settings, &trigger.connection, &trigger.hub, custom_endpoint)?;
                found.push((function, trigger, hub));
            }
        }
        Ok(found)
    }

    async fn serve_http(
        &self,
        config: &FunctionsHostConfig,
        invoker: Invoker,
        mut stopping: watch::Receiver<bool>,
        work: &mut JoinSet<()>,
    ) -> Result<SocketAddr, HostError> {
        let http = self.functions.iter().filter_map(|function| match &function.trigger {
            Trigger::Http(trigger) => Some((function.name.clone(), trigger.clone())),
            Trigger::EventHub(_) => None,
        });
        let functions: Vec<_> = http.collect();
        let address = config.http_listen;
        if !address.ip().is_loopback() {
            return Err(HostError::NotLoopback(address));
        }
        let listen = |source| HostError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let (prefix, forwards) = (self.host.route_prefix.clone(), self.host.handler.forwards_http);
        let routes =
            http::routes(HttpFunctions { functions, prefix, forwards, invoker, answered: config.answered.clone() });
        let serve = axum::serve(listener, routes).with_graceful_shutdown(async move {
            // A closed channel means that the host is gone altogether.
            let _ = stopping.wait_for(|stopping| *stopping).await;
        });
        work.spawn(async move {
            if let Err(error) = serve.await {
                tracing::error!(error = %error, "HTTP functions are no longer served");
            }
        });
        Ok(address)
    }
}

/// Works through all partitions of a hub, each in a task of its own.
async fn listen(shared: Arc<Shared>, hub: HubAddress) {
    let Some(ids) = partitions(&shared).await else { return };
    tracing::info!(function = shared.function, partitions = ids.len(), "Listening to an event hub");
    let mut partitions = JoinSet::new();
    for id in ids {
        let key = PartitionKey::new(&hub, &shared.trigger.consumer_group, &id);
        partitions.spawn(partition::run(shared.clone(), key));
    }
    while let Some(ended) = partitions.join_next().await {
        if let Err(error) = ended {
            tracing::error!(error = %error, "The work on a partition has broken off");
        }
    }
}

/// The hub's partitions, as soon as it is there; `None` when the host stops.
async fn partitions(shared: &Shared) -> Option<Vec<String>> {
    let mut stopping = shared.stopping.clone();
    loop {
        let asking = async {
            let answer = shared.source.partitions().await;
            if answer.is_err() {
                tokio::time::sleep(SOURCE_PAUSE).await;
            }
            answer
        };
        tokio::select! {
            _ = stopping.wait_for(|stopping| *stopping) => return None,
            answer = asking => match answer {
                Ok(ids) => return Some(ids),
                Err(error) => tracing::warn!(error, "The event hub cannot be asked for its partitions; trying again"),
            },
        }
    }
}

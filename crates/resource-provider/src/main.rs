//! The resource provider: reads its settings, opens its store, answers requests
//! and carries out what they ask for, until it is told to stop.

use std::io::Write;
use std::net::SocketAddr;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use clap::Parser;
use https_server::{Authority, Clients, Kept, Limits};
use native::Stop;
use resource_provider::api::Api;
use resource_provider::front::audit::Audit;
use resource_provider::front::callers::Callers;
use resource_provider::front::health::Signs;
use resource_provider::front::throttle::Throttle;
use resource_provider::front::{Front, health, trusted};
use resource_provider::outside::Outside;
use resource_provider::platform_file::PlatformFile;
use resource_provider::settings::Settings;
use resource_provider::store::Store;
use resource_provider::worker::{Pulse, Worker};
use secrecy::ExposeSecret;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};

/// What goes on until the process is told to stop; whatever ends before takes it
/// along.
type Tasks = JoinSet<anyhow::Error>;
/// A part of the work; it ends when it was told to.
type Part = Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send>>;

/// Connections at once. Whoever opens one and says nothing holds it for seconds, so
/// there are many more than ARM needs; who may open any is the network's to say
/// (`api.from` of the chart).
const CONNECTIONS_MAX: usize = 4096;

#[tokio::main]
async fn main() -> ExitCode {
    let settings = Settings::parse();
    telemetry::start_log();
    match Box::pin(serve(settings)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "The resource provider stopped");
            ExitCode::FAILURE
        }
    }
}

async fn serve(settings: Settings) -> anyhow::Result<()> {
    let stop_sign = Stop::listen(settings.development.stop_on_stdin_end).context("signals cannot be listened for")?;
    let platform = PlatformFile::read(settings.platform.as_deref())?;
    if let Some(endpoint) = &settings.manifest {
        return writeln!(std::io::stdout(), "{:#}", platform.manifest(endpoint)).context("standard output");
    }
    settings.check()?;
    if let Some(warning) = platform.warning() {
        tracing::warn!("{warning}");
    }
    let store = Store::open(settings.store.expose_secret()).await.context("the store cannot be opened")?;
    let client = trusted::client().context("HTTPS cannot be used")?;
    let callers = Arc::new(if settings.role.answers() { settings.callers.callers(&client) } else { Callers::Anybody });
    let mut tasks = Tasks::new();
    let (stop, stopped) = watch::channel(false);
    let pulse = Pulse::default();
    let signs = Signs { pulse: settings.role.works().then(|| pulse.clone()), ..Signs::default() };

    serve_http(settings.health, health::probes(store.clone(), callers.clone(), signs.clone()), &mut tasks).await?;
    if let Some(address) = settings.metrics {
        serve_http(address, health::metrics(store.clone()), &mut tasks).await?;
    }
    let outside = Outside::open(&platform, &store, settings.role, settings.development.dry_run).await;
    let outside = outside.context("the platform's file cannot be used")?;
    let mut requests: Part = Box::pin(std::future::pending());
    if settings.role.answers() {
        let api = Api {
            store: store.clone(),
            settings: Arc::new(settings.api(&platform)),
            fhir_services: outside.fhir_services,
            identities: outside.identities,
            keys: outside.keys,
        };
        let front = Front {
            callers: callers.clone(),
            throttle: Arc::new(Throttle::new(platform.throttle)),
            audit: Arc::new(Audit::open(settings.audit.as_deref())?),
            retry_after_seconds: settings.retry_after_seconds,
        };
        let routes = front.before(api.router());
        requests = answer(&settings, routes, &mut tasks, stopped.clone()).await?;
        tasks.spawn(async move {
            match &*callers {
                Callers::Known { certificates: Some(certificates), .. } => certificates.keep(&client).await,
                _ => std::future::pending().await,
            }
            anyhow::anyhow!("the front door's certificates are not kept any more")
        });
    }
    let mut working: Part = Box::pin(std::future::pending());
    if let Some(outside) = outside.platform.filter(|_| settings.role.works()) {
        let worker = Worker {
            store: store.clone(),
            platform: outside,
            settings: platform.worker(),
            name: uuid::Uuid::new_v4().to_string().into(),
            pulse,
        };
        let worker = tokio::spawn(worker.run(stopped));
        working = Box::pin(async move {
            let ended = worker.await.map_err(|error| broke_off("the worker", &error))?;
            ended.map_err(|error| broke_off("the sweeper", &error))
        });
    }

    signs.has_begun.store(true, Ordering::SeqCst);
    let told = async {
        stop_sign.told().await;
        if settings.role.answers() {
            tokio::time::sleep(Duration::from_secs(settings.serve_on_seconds)).await;
        }
    };
    let ended = tokio::select! {
        ended = tasks.join_next() => Err(ended_task(ended)),
        ended = &mut requests => Err(ended_early(ended, "requests are not answered any more")),
        ended = &mut working => Err(ended_early(ended, "operations are not carried out any more")),
        () = told => Ok(()),
    };
    stop.send_replace(true);
    if ended.is_ok() {
        // Requests that are there are answered while the worker gives back what it has.
        let role = settings.role;
        let requests = async { if role.answers() { requests.await } else { Ok(()) } };
        let working = async { if role.works() { working.await } else { Ok(()) } };
        tokio::try_join!(requests, working)?;
    }
    store.close().await;
    ended
}

/// Answers plain HTTP for as long as the process goes on.
async fn serve_http(address: SocketAddr, routes: Router, tasks: &mut Tasks) -> anyhow::Result<()> {
    let listener = listen(address).await?;
    tasks.spawn(async move {
        https_server::serve_plain(listener, routes, Limits::default(), std::future::pending()).await;
        anyhow::anyhow!("{address} is not answered any more")
    });
    Ok(())
}

fn ended_early(ended: anyhow::Result<()>, what: &'static str) -> anyhow::Error {
    ended.err().unwrap_or_else(|| anyhow::Error::msg(what))
}

/// Answers requests, over TLS where there is a certificate, until `stopped`; those
/// that are there then to their end.
async fn answer(
    settings: &Settings,
    routes: Router,
    tasks: &mut Tasks,
    mut stopped: watch::Receiver<bool>,
) -> anyhow::Result<Part> {
    let listener = listen(settings.listen).await?;
    let stop = async move {
        // Whoever says it is gone only when the process is.
        let _ = stopped.wait_for(|stop| *stop).await;
    };
    let limits = Limits { connections: CONNECTIONS_MAX, ..Limits::default() };
    let Some(folder) = &settings.tls else {
        return Ok(Box::pin(async move {
            https_server::serve_plain(listener, routes, limits, stop).await;
            Ok(())
        }));
    };
    let files = https_server::read(folder)?;
    let clients = if settings.callers.has_certificates() { Clients::Asked } else { Clients::Anonymous };
    let (renewed, acceptor) = watch::channel(https_server::acceptor(&files.chain, &files.key, clients)?);
    tasks.spawn(Kept::new(folder, files, (clients, Authority::Untold), renewed).keep());
    Ok(Box::pin(async move {
        https_server::serve(listener, acceptor, routes, limits, stop).await;
        Ok(())
    }))
}

async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
    tracing::info!(address = %listener.local_addr().unwrap_or(address), "Listens");
    Ok(listener)
}

fn ended_task(ended: Option<Result<anyhow::Error, JoinError>>) -> anyhow::Error {
    match ended {
        Some(Ok(error)) => error,
        Some(Err(error)) => broke_off("a task", &error),
        None => anyhow::anyhow!("nothing is served any more"),
    }
}

fn broke_off(what: &str, error: &JoinError) -> anyhow::Error {
    anyhow::anyhow!("{what} broke off: {}", telemetry::broke_off(error))
}

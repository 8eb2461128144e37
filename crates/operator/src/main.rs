//! The operator: reads its settings, waits until it leads, and reconciles.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use clap::Parser;
use custom_resources::error_text::error_text;
use custom_resources::{Fhir, IotConnector};
use https_server::Authority::Told;
use https_server::{Clients, Kept, Limits};
use kube::Client;
use kube::runtime::events::{Recorder, Reporter};
use operator::chart::Charts;
use operator::cluster::is_forbidden;
use operator::controller::{Namespaces, run};
use operator::election::Election;
use operator::heartbeat::{Heartbeat, Heartbeats};
use operator::http::Readiness;
use operator::lag::authority::{Authority, Renewal};
use operator::lag::hosts::AllowedHosts;
use operator::lag::secret::Shared;
use operator::lag::server::LagServer;
use operator::lag::{LagOffer, TokenKey};
use operator::manifest::OPERATOR;
use operator::reconcile::Context;
use operator::retry::Retries;
use operator::settings::Settings;
use operator::{http, metrics, platform};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use url::Url;

/// The Lease of all replicas.
const LEASE: &str = "iot-connector-operator";
/// How long asking for what replicas share may take, and how soon it is tried again.
const OBTAIN_LIMIT: Duration = Duration::from_secs(10);
const OBTAIN_EVERY: Duration = Duration::from_secs(2);

#[tokio::main]
async fn main() -> ExitCode {
    let settings = Settings::parse();
    telemetry::start_log();
    match Box::pin(serve(settings)).await {
        Ok(code) => code,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "The operator stopped");
            ExitCode::FAILURE
        }
    }
}

async fn serve(settings: Settings) -> anyhow::Result<ExitCode> {
    let (mut term, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let connector_values = platform::read(settings.connector_values.as_deref())?;
    platform::refuse_secrets(&connector_values)?;
    let fhir_values = platform::read(settings.fhir_values.as_deref())?;
    // What goes on beside reconciling. Without one of them the process ends.
    let mut tasks = JoinSet::new();
    let (heartbeats, readiness) = (Heartbeats::default(), Readiness::new());
    // Before anything that takes time, or a probe would end it.
    http::serve(settings.listen, heartbeats.clone(), readiness.clone(), &mut tasks).await?;
    let charts = Charts { helm: settings.helm.clone(), folder: settings.charts.clone(), kube_version: None };
    let checks = async {
        tokio::try_join!(
            platform::check::<IotConnector>(&charts, &connector_values, "connectorValues"),
            platform::check::<Fhir>(&charts, &fhir_values, "fhirValues"),
        )
    };
    tokio::select! {
        checked = checks => { checked?; }
        _ = term.recv() => return Ok(ExitCode::SUCCESS),
        _ = interrupt.recv() => return Ok(ExitCode::SUCCESS),
    }
    let client = Client::try_default().await.context("there is no cluster to talk to")?;

    let identity = settings.identity.clone().unwrap_or_else(identity);
    let waiting = heartbeats.part("Secret of the lag");
    let lag = match (settings.lag_listen, &settings.lag_url) {
        (Some(address), Some(url)) => tokio::select! {
            shared = obtain(&client, &settings.namespace, &waiting, &readiness) => {
                Some(serve_lag(&settings, client.clone(), (address, url), &shared?, &mut tasks).await?)
            }
            _ = term.recv() => return Ok(ExitCode::SUCCESS),
            _ = interrupt.recv() => return Ok(ExitCode::SUCCESS),
        },
        _ => None,
    };
    drop(waiting);
    readiness.waits_for(None);
    let election = Election::new(client.clone(), &settings.namespace, (LEASE, &identity), heartbeats.part("Lease"));
    let since = tokio::select! {
        since = election.win() => since,
        ended = tasks.join_next() => return Err(ended_task(ended)),
        _ = term.recv() => return Ok(ExitCode::SUCCESS),
        _ = interrupt.recv() => return Ok(ExitCode::SUCCESS),
    };
    metrics::set_leader(true);

    let reconciling = async {
        // Charts may ask for a version. Without an answer Helm takes its own newest.
        let kube_version = client.apiserver_version().await.ok().map(|version| version.git_version);
        let context = |defaults: Value| {
            let charts = Charts { kube_version: kube_version.clone(), ..charts.clone() };
            let reporter = Reporter { controller: OPERATOR.to_owned(), instance: Some(identity.clone()) };
            let recorder = Recorder::new(client.clone(), reporter);
            Arc::new(Context {
                client: client.clone(),
                charts,
                defaults,
                lag: lag.clone(),
                recorder,
                retries: Retries::default(),
                heartbeats: heartbeats.clone(),
            })
        };
        let namespaces = Namespaces(settings.watch_namespaces.clone());
        let connectors = run::<IotConnector>(context(connector_values), namespaces.clone());
        let servers = run::<Fhir>(context(fhir_values), namespaces);
        tokio::select! { ended = connectors => ended, ended = servers => ended }
    };
    tokio::select! {
        () = election.keep(since) => {
            // Whatever is under way may write no more: ended, not wound up.
            std::process::exit(1);
        }
        ended = reconciling => return Err(ended),
        ended = tasks.join_next() => return Err(ended_task(ended)),
        _ = term.recv() => tracing::info!("Stops: SIGTERM"),
        _ = interrupt.recv() => tracing::info!("Stops: SIGINT"),
    }
    // The controllers are dropped by now, so nothing is written after this.
    election.give_back().await;
    Ok(ExitCode::SUCCESS)
}

fn ended_task(ended: Option<Result<anyhow::Error, JoinError>>) -> anyhow::Error {
    match ended {
        Some(Ok(error)) => error,
        Some(Err(error)) => anyhow::anyhow!("a task broke off: {}", telemetry::broke_off(&error)),
        None => anyhow::anyhow!("nothing is served any more"),
    }
}

/// Serves the lag from now on, whether or not this replica leads, and gives what
/// connectors are told of it.
async fn serve_lag(
    settings: &Settings,
    client: Client,
    (address, url): (SocketAddr, &Url),
    shared: &Shared,
    tasks: &mut JoinSet<anyhow::Error>,
) -> anyhow::Result<LagOffer> {
    let files = settings.lag_tls.as_deref().map(|folder| Ok::<_, anyhow::Error>((folder, https_server::read(folder)?)));
    let files = files.transpose()?;
    let name = url.host_str().context("the address of the lag has no host")?;
    let authority = Authority::of(&shared.ca_key).context("the authority of the lag server has no key")?;
    let issued = authority.issue(name, SystemTime::now()).context("cannot make a certificate for the lag server")?;
    let own = (issued.server.0.as_str(), issued.server.1.as_str());
    let (chain, key) = files.as_ref().map_or(own, |(_, read)| (read.chain.as_str(), read.key.as_str()));
    let acceptor = https_server::acceptor(chain, key, Clients::Anonymous);
    let (renewed, acceptor) = watch::channel(acceptor.context("the lag cannot be served")?);
    let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
    let key = TokenKey::new(&shared.token_key);
    let keep_for = Duration::from_secs(settings.lag_cache_seconds);
    let hosts = AllowedHosts::new(settings.lag_hosts.clone());
    let routes = LagServer::new(client, key.clone(), hosts.clone(), keep_for, settings.tenant.clone()).routes();
    tracing::info!(%address, "Serves the lag");
    tasks.spawn(async move {
        https_server::serve(listener, acceptor, routes, Limits::default(), std::future::pending()).await;
        anyhow::anyhow!("the lag is not served any more")
    });
    let (told, given) = watch::channel(issued.clone());
    let ca_bundle = files
        .as_ref()
        .map(|(folder, read)| read.authority.clone().with_context(|| format!("{} has no ca.crt", folder.display())));
    let ca_bundle = ca_bundle.transpose()?;
    let acceptor = files.is_none().then(|| renewed.clone());
    tasks.spawn(Renewal { authority, server: name.to_owned(), issued, acceptor, told }.keep());
    if let Some((folder, read)) = files {
        tasks.spawn(Kept::new(folder, read, (Clients::Anonymous, Told), renewed).keep());
    }
    Ok(LagOffer {
        url: url.as_str().trim_end_matches('/').to_owned(),
        ca_bundle,
        issued: given,
        key,
        hosts,
        tenant: settings.tenant.clone(),
    })
}

/// What all replicas share, as soon as the API server gives it: one that is away
/// is waited for, as it is when the Lease is taken, and so is a right. A Secret
/// that cannot be used gets no better by waiting.
async fn obtain(
    client: &Client,
    namespace: &str,
    heartbeat: &Heartbeat,
    readiness: &Readiness,
) -> anyhow::Result<Shared> {
    loop {
        heartbeat.beat();
        let why = match tokio::time::timeout(OBTAIN_LIMIT, Shared::obtain(client.clone(), namespace)).await {
            Ok(Ok(shared)) => return Ok(shared),
            Ok(Err(error)) => match error.downcast_ref::<kube::Error>() {
                None => return Err(error.context("the lag cannot be served")),
                Some(cause) if is_forbidden(cause) => {
                    let error = error_text(error.as_ref());
                    tracing::error!(error, "The lag cannot be served: a right is missing (helm/platform gives it)");
                    error
                }
                Some(_) => {
                    let error = error_text(error.as_ref());
                    tracing::warn!(error, "The lag cannot be served yet");
                    error
                }
            },
            Err(_) => {
                tracing::warn!("The lag cannot be served yet: no answer");
                "the API server gives no answer".to_owned()
            }
        };
        readiness.waits_for(Some(format!("the lag: {why}")));
        tokio::time::sleep(OBTAIN_EVERY).await;
    }
}

/// A name for people, and something that makes it different at each start.
fn identity() -> String {
    let host = std::env::var("HOSTNAME").unwrap_or_default();
    let started = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    format!("{host}-{}-{}", std::process::id(), started.as_millis()).trim_start_matches('-').to_owned()
}

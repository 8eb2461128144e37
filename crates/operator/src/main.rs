//! The operator: reads its settings, waits until it leads, and reconciles.

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use kube::Client;
use kube::runtime::events::{Recorder, Reporter};
use operator::chart::Charts;
use operator::controller::{Namespaces, run};
use operator::election::Election;
use operator::lag::secret::Shared;
use operator::lag::server::LagServer;
use operator::lag::tls::{self, Authority, TlsListener};
use operator::lag::{LagOffer, TokenKey};
use operator::manifest::OPERATOR;
use operator::reconcile::Context;
use operator::resources::{Fhir, IotConnector};
use operator::retry::Retries;
use operator::settings::Settings;
use operator::{http, metrics, values};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use url::Url;

/// The Lease of all replicas.
const LEASE: &str = "iot-connector-operator";

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
    let connector_values = platform_values(settings.connector_values.as_deref())?;
    let fhir_values = platform_values(settings.fhir_values.as_deref())?;
    let client = Client::try_default().await.context("there is no cluster to talk to")?;
    http::serve(settings.listen).await?;
    let lag = match (settings.lag_listen, &settings.lag_url) {
        (Some(address), Some(url)) => Some(serve_lag(&settings, client.clone(), address, url).await?),
        _ => None,
    };

    let identity = settings.identity.clone().unwrap_or_else(identity);
    let election = Election::new(client.clone(), &settings.namespace, LEASE, &identity);
    tokio::select! {
        () = election.win() => {}
        _ = term.recv() => return Ok(ExitCode::SUCCESS),
        _ = interrupt.recv() => return Ok(ExitCode::SUCCESS),
    }
    metrics::set_leader(true);
    // Charts may ask for a version. Without an answer Helm takes its own newest.
    let kube_version = client.apiserver_version().await.ok().map(|version| version.git_version);

    let context = |defaults: Value| {
        let (helm, folder, kube_version) = (settings.helm.clone(), settings.charts.clone(), kube_version.clone());
        let charts = Charts { helm, folder, kube_version };
        let reporter = Reporter { controller: OPERATOR.to_owned(), instance: Some(identity.clone()) };
        let recorder = Recorder::new(client.clone(), reporter);
        Arc::new(Context {
            client: client.clone(),
            charts,
            defaults,
            lag: lag.clone(),
            recorder,
            retries: Retries::default(),
        })
    };
    let namespaces = Namespaces(settings.watch_namespaces.clone());
    let connectors = run::<IotConnector>(context(connector_values), namespaces.clone());
    let servers = run::<Fhir>(context(fhir_values), namespaces);
    tokio::select! {
        () = election.keep() => {
            // Whatever is under way may write no more: ended, not wound up.
            std::process::exit(1);
        }
        _ = futures::future::join(connectors, servers) => anyhow::bail!("the controllers ended"),
        _ = term.recv() => tracing::info!("Stops: SIGTERM"),
        _ = interrupt.recv() => tracing::info!("Stops: SIGINT"),
    }
    // The controllers are dropped by now, so nothing is written after this.
    election.give_back().await;
    Ok(ExitCode::SUCCESS)
}

/// Serves the lag from now on, whether or not this replica leads, and gives what
/// connectors are told of it.
async fn serve_lag(settings: &Settings, client: Client, address: SocketAddr, url: &Url) -> anyhow::Result<LagOffer> {
    let shared = Shared::obtain(client.clone(), &settings.namespace).await?;
    let (chain, key, ca_bundle) = match &settings.lag_tls {
        Some(folder) => tls::read(folder)?,
        None => {
            let name = url.host_str().context("the address of the lag has no host")?;
            let authority = Authority::of(&shared.ca_key).context("the authority of the lag server has no key")?;
            let (chain, key) = authority.server(name).context("cannot make a certificate for the lag server")?;
            (chain, key, shared.ca_certificate.clone())
        }
    };
    let acceptor = tls::acceptor(&chain, &key)?;
    let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
    let listener = TlsListener::new(listener, acceptor)?;
    let key = TokenKey::new(&shared.token_key);
    let keep_for = Duration::from_secs(settings.lag_cache_seconds);
    let routes = LagServer::new(client, key.clone(), keep_for, settings.tenant.clone()).routes();
    tracing::info!(%address, "Serves the lag");
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, routes).await {
            tracing::error!(%error, "The lag server stopped");
        }
    });
    Ok(LagOffer {
        url: url.as_str().trim_end_matches('/').to_owned(),
        ca_bundle,
        client_certificate: shared.client_certificate,
        client_key: shared.client_key,
        key,
    })
}

/// A name for people, and something that makes it different at each start.
fn identity() -> String {
    let host = std::env::var("HOSTNAME").unwrap_or_default();
    let started = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    format!("{host}-{}-{}", std::process::id(), started.as_millis()).trim_start_matches('-').to_owned()
}

fn platform_values(file: Option<&Path>) -> anyhow::Result<Value> {
    let Some(file) = file else { return Ok(Value::Object(serde_json::Map::new())) };
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    values::read(&text).with_context(|| format!("{} holds no values", file.display()))
}

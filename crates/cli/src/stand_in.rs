//! The stand-ins as processes: what `iotc up` starts.
//!
//! Each runs until its standard input ends, which it does when whoever started
//! it ends, in whatever way (the FHIR server until a signal, where it is asked for
//! that: in a container). What is written there is passed over, but for the
//! faults of the hubs, a line each ([`local::event_hubs::Fault`]).

use std::io::BufRead;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use local::event_hubs::{self, EventHubs, HubConfig};
use local::fhir_server::{FhirServer, FhirServerConfig, Personality};
use local::functions_host::{FolderCheckpoints, FunctionsHost, FunctionsHostConfig, Printed};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

/// Which stand-in.
#[derive(Debug, clap::Subcommand)]
pub enum StandIn {
    /// Event Hubs over AMQP.
    EventHubs(EventHubsArguments),
    /// A FHIR R4 server.
    FhirServer(FhirServerArguments),
    /// The Functions host, with one app.
    FunctionsHost(FunctionsHostArguments),
}

/// How to start the Event Hubs stand-in.
#[derive(Debug, clap::Args)]
pub struct EventHubsArguments {
    /// Port on loopback.
    #[arg(long)]
    port: u16,
    /// Address of loopback: some clients take no port, so that several hubs need
    /// an address each.
    #[arg(long, default_value_t = Ipv4Addr::LOCALHOST)]
    address: Ipv4Addr,
    /// Where events are kept.
    #[arg(long)]
    state: PathBuf,
    /// A hub; may be given several times.
    #[arg(long)]
    hub: Vec<String>,
    /// A consumer group of each hub besides `$Default`; may be given several times.
    #[arg(long)]
    consumer_group: Vec<String>,
    /// Partitions of each hub.
    #[arg(long, default_value_t = 4)]
    partitions: u16,
    /// Port at the same address where hubs are made and removed by HTTP.
    #[arg(long)]
    administration_port: Option<u16>,
}

/// How to start the FHIR server.
#[derive(Debug, clap::Args)]
pub struct FhirServerArguments {
    /// Port on loopback.
    #[arg(long)]
    port: u16,
    /// Where resources are kept.
    #[arg(long)]
    state: PathBuf,
    /// How it behaves at the edges.
    #[arg(long, default_value = "hapi")]
    personality: String,
    /// Which address of loopback.
    #[arg(long, default_value_t = Ipv4Addr::LOCALHOST)]
    address: Ipv4Addr,
    /// Run until SIGTERM or SIGINT, and not until standard input ends: in a
    /// container there is none.
    #[arg(long)]
    until_signal: bool,
}

/// How to start the Functions host.
#[derive(Debug, clap::Args)]
pub struct FunctionsHostArguments {
    /// The folder with `host.json`.
    #[arg(long)]
    app_root: PathBuf,
    /// Where checkpoints are kept.
    #[arg(long)]
    state: PathBuf,
    /// Port for HTTP functions.
    #[arg(long)]
    http_port: Option<u16>,
}

/// Runs a stand-in until standard input ends.
pub async fn run(which: StandIn) -> anyhow::Result<ExitCode> {
    telemetry::start_log();
    match which {
        StandIn::EventHubs(arguments) => run_event_hubs(arguments).await?,
        StandIn::FhirServer(arguments) => run_fhir_server(arguments).await?,
        StandIn::FunctionsHost(arguments) => run_functions_host(arguments).await?,
    }
    Ok(ExitCode::SUCCESS)
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

async fn run_event_hubs(arguments: EventHubsArguments) -> anyhow::Result<()> {
    let hub = |name| HubConfig { name, partitions: None, consumer_groups: arguments.consumer_group.clone() };
    let hubs = EventHubs::start(event_hubs::Config {
        listen: SocketAddr::from((arguments.address, arguments.port)),
        state: arguments.state,
        hubs: arguments.hub.into_iter().map(hub).collect(),
        default_partitions: arguments.partitions,
        latency: event_hubs::Config::LATENCY,
    });
    let mut hubs = hubs.await?;
    if let Some(port) = arguments.administration_port {
        hubs.administer(SocketAddr::from((arguments.address, port))).await?;
    }
    let faults = hubs.faults();
    let inject = move |line: String| match line.parse() {
        Ok(fault) => faults.inject(fault),
        Err(error) => eprintln!("a line on standard input names no fault: {error}"),
    };
    hubs.run(parent_gone(inject)).await;
    Ok(())
}

async fn run_fhir_server(arguments: FhirServerArguments) -> anyhow::Result<()> {
    let personality: Personality = arguments.personality.parse()?;
    let config = FhirServerConfig {
        listen: (arguments.address, arguments.port).into(),
        state: Some(arguments.state),
        ..FhirServerConfig::new(personality)
    };
    let server = FhirServer::start(config).await?;
    if arguments.until_signal {
        told_to_stop().await?
    } else {
        parent_gone(drop).await
    }
    server.stop().await.context("the FHIR server did not stop in good order")
}

/// What the functions answer goes to standard output, a JSON object a line,
/// among the lines of the log.
async fn run_functions_host(arguments: FunctionsHostArguments) -> anyhow::Result<()> {
    let mut host = FunctionsHost::start(FunctionsHostConfig {
        app_root: arguments.app_root,
        environment: std::env::vars().collect(),
        checkpoints: Arc::new(FolderCheckpoints::new(&arguments.state)),
        http_listen: loopback(arguments.http_port.unwrap_or(0)),
        sharing: None,
        answered: Some(Arc::new(Printed)),
    })
    .await?;
    let stopped = tokio::select! {
        reason = host.stopped() => Err(reason.into()),
        () = parent_gone(drop) => Ok(()),
    };
    host.stop().await;
    stopped
}

/// Returns at SIGTERM or SIGINT.
async fn told_to_stop() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    }
}

/// Returns when standard input ends or cannot be read, and gives away the lines
/// that come before. A thread of its own reads it, since the runtime waits for
/// its own at the end of the process.
async fn parent_gone(mut line: impl FnMut(String) + Send + 'static) {
    let (ended, end) = oneshot::channel();
    std::thread::spawn(move || {
        let mut lines = std::io::stdin().lock().split(b'\n');
        let read = lines.try_for_each(|read| read.map(|read| line(String::from_utf8_lossy(&read).into_owned())));
        // Nobody waits any more when the process ends for another reason.
        let _ = ended.send(read.is_ok());
    });
    // The sender lives until standard input has ended.
    let _ = end.await;
}

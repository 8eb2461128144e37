//! Runs a function as a process of its own, without the Functions host
//! (design.md D1).
//!
//! ```text
//! Source --delivery::Consumer, on tokio--> Processor     until SIGTERM
//!      \--> GET /healthz, GET /readyz, and the function's own routes
//! ```
//!
//! On SIGTERM what was begun is finished, positions are stored and partitions
//! given back; then the process ends with 0. It ends with another code when
//! events wait and none arrives, for Kubernetes to start it again.

mod http;
mod runtime;
mod stop;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use delivery::{Consumer, ConsumerOptions, Fates, Observer, Processor};
use serde_json::json;
use settings::NativeOptions;
use tokio::sync::watch;

pub use runtime::TokioRuntime;
pub use stop::Stop;

/// Whether a process is ready: it has seen its hub and its positions.
#[derive(Clone, Debug)]
pub struct Readiness(watch::Receiver<bool>);

/// How to read: what only the function knows.
#[derive(Clone, Debug)]
pub struct Reading {
    /// Whether events are gathered into windows.
    pub windowed: bool,
    /// How long the slowest request of the function takes until it has ended
    /// one way or the other.
    pub longest_request: Duration,
    /// How long HTTP is served on after the sign to stop: a Service leads here
    /// until the cluster has seen that the pod ends.
    pub serves_on: Duration,
}

/// Runs a function until the process is told to stop. `routes` are served
/// beside those for Kubernetes, when the settings say where.
pub async fn run(
    Stop(stop): Stop,
    options: NativeOptions,
    processor: impl Processor,
    observer: Arc<dyn Observer>,
    reading: Reading,
    routes: Router,
) -> anyhow::Result<()> {
    let (ready, readiness) = watch::channel(false);
    let heartbeat = http::Heartbeat::new();
    let server = match options.process.listen {
        None => None,
        Some(address) => {
            let listener = tokio::net::TcpListener::bind(address);
            let listener = listener.await.with_context(|| format!("cannot listen on {address}"))?;
            tracing::info!(%address, "Listens for HTTP");
            let state = http::State { readiness: Readiness(readiness), heartbeat: heartbeat.clone() };
            // Whoever stops it by its standard input is the only one who sends to it.
            let serves_on = if options.process.stop_on_stdin_end { Duration::ZERO } else { reading.serves_on };
            let serving = http::serve(listener, state, routes, (stop.clone(), serves_on));
            Some(tokio::spawn(serving))
        }
    };
    let owner = options.process.name.unwrap_or_else(owner);
    tracing::info!(owner, "Reads natively");
    let consumer_options = ConsumerOptions {
        rules: options.rules,
        windowed: reading.windowed,
        longest_request: reading.longest_request,
        ..ConsumerOptions::new(owner)
    };
    let observer = Arc::new(http::Signs { ready, heartbeat, next: observer });
    let parts = (options.hub, options.positions, Arc::new(TokioRuntime::new()));
    Consumer::new(parts, processor, observer, consumer_options).run(stop).await?;
    if let Some(server) = server {
        // Not with the error, which has the message of a panic.
        server.await.map_err(|_| anyhow::anyhow!("the HTTP server broke off"))?;
    }
    tracing::info!("Stopped in good order");
    Ok(())
}

/// A name for people, and something that makes it different at each start: a
/// process that does not know its name must not take another for itself.
fn owner() -> String {
    let host = std::env::var("HOSTNAME").unwrap_or_default();
    format!("{host}-{}", uuid::Uuid::new_v4()).trim_start_matches('-').to_owned()
}

/// Writes the fates of a batch to standard output, as a line, for the local
/// stack to add up (app setting `Answer__Fates`).
pub fn print_fates(function: &str, batch: &delivery::Batch<'_>, fates: &Fates) -> serde_json::Result<()> {
    let numbers: Vec<i64> = batch.events.iter().filter_map(|event| event.sequence_number).collect();
    let line = json!({
        "function": function,
        "partition": batch.source.partition,
        "sequenceNumbers": numbers,
        "returnValue": { "fates": fates },
    });
    println!("{}", serde_json::to_string(&line)?);
    Ok(())
}

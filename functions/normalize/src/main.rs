//! The function that turns device events into measurements: reads its
//! settings, joins the parts, and serves the Functions host or reads the
//! customer's hub itself.

#[cfg(feature = "counting-output")]
mod counting;
mod function;
mod ingest;
mod settings;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use ::settings::Front;
use anyhow::Context;
use axum::Router;
use delivery::Stage;
use native::Reading;
use telemetry::Telemetry;
use telemetry::metrics::LoopMetrics;

use crate::function::{NAME, Normalize};
use crate::settings::Settings;

/// How long events are taken by HTTP after the sign to stop: longer than a
/// cluster takes to lead nobody here any more.
const INGEST_SERVES_ON: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> ExitCode {
    let mut telemetry = telemetry::start(NAME);
    #[cfg(feature = "counting-output")]
    counting::warn();
    let ended = match Box::pin(run(&mut telemetry)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "Normalize stopped");
            ExitCode::FAILURE
        }
    };
    telemetry.end().await;
    ended
}

async fn run(telemetry: &mut Telemetry) -> anyhow::Result<()> {
    ::settings::names::report(::settings::environment());
    let mut settings = Settings::read(::settings::environment()).context("the app settings are not usable")?;
    if let Some(warning) = settings.warning {
        tracing::warn!("{warning}");
    }
    telemetry.metrics(settings.function.telemetry.prometheus).await;
    match (settings.function.front, settings.native.take()) {
        (Front::Host { port }, _) => {
            // Never exit code 0: the host takes it for an orderly end and lets the function be.
            let Err(error) = serve_host(port, settings).await;
            Err(error)
        }
        (Front::Native, Some(options)) => {
            let serves_on = settings.ingest_token.as_ref().map_or(Duration::ZERO, |_| INGEST_SERVES_ON);
            let reading = Reading { windowed: false, longest_request: azure::event_hubs::SEND_TIMEOUT, serves_on };
            let stop =
                native::Stop::listen(options.process.stop_on_stdin_end).context("signals cannot be listened for")?;
            let (normalize, routes) = begin(settings);
            native::run(stop, options, normalize, Arc::new(LoopMetrics(Stage::Normalize)), reading, routes).await
        }
        (Front::Native, None) => anyhow::bail!("there is no hub to read"),
    }
}

/// Serves the Functions host, for as long as that lives.
async fn serve_host(port: u16, settings: Settings) -> anyhow::Result<std::convert::Infallible> {
    let listener = custom_handler::listen(port).await?;
    tracing::info!(port, "Normalize listens");
    let (normalize, routes) = begin(settings);
    let functions = custom_handler::function(NAME, normalize).merge(routes);
    Err(custom_handler::serve(listener, functions).await.into())
}

/// Makes the function and its HTTP routes, and begins to load the mapping.
fn begin(mut settings: Settings) -> (Arc<Normalize>, Router) {
    let ingest_token = settings.ingest_token.take();
    let normalize = Arc::new(Normalize::new(settings));
    let loading = normalize.clone();
    tokio::spawn(async move { loading.load_mapping().await });
    let routes = ingest::router(normalize.clone(), ingest_token);
    #[cfg(feature = "counting-output")]
    let routes = routes.merge(counting::router());
    (normalize, routes)
}

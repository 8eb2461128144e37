//! The function that turns device events into measurements: reads its
//! settings, joins the parts, and serves the Functions host.

#[cfg(feature = "counting-output")]
mod counting;
mod function;
mod ingest;
mod settings;

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;

use crate::function::Normalize;
use crate::settings::Settings;

#[tokio::main]
async fn main() -> ExitCode {
    telemetry::start();
    #[cfg(feature = "counting-output")]
    counting::warn();
    let Err(error) = run().await;
    // Never exit code 0: the host takes it for an orderly end and lets the function be.
    tracing::error!(error = format!("{error:#}"), "Normalize stopped");
    ExitCode::FAILURE
}

async fn run() -> anyhow::Result<std::convert::Infallible> {
    let settings = Settings::read(::settings::environment()).context("the app settings are not usable")?;
    if let Some(warning) = settings.warning {
        tracing::warn!("{warning}");
    }
    let port = settings.function.port;
    let listener = custom_handler::listen(port).await?;
    tracing::info!(port, "Normalize listens");
    let ingest_token = settings.ingest_token.clone();
    let normalize = Arc::new(Normalize::new(settings));
    let loading = normalize.clone();
    tokio::spawn(async move { loading.load_mapping().await });
    let functions = custom_handler::function("normalize", normalize.clone());
    let functions = functions.merge(ingest::router(normalize, ingest_token));
    #[cfg(feature = "counting-output")]
    let functions = functions.merge(counting::router());
    Err(custom_handler::serve(listener, functions).await.into())
}

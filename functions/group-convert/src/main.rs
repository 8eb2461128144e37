//! The function that turns measurements into Observations: reads its settings,
//! joins the parts, and serves the Functions host or reads the internal hub
//! itself.

mod function;
mod settings;
mod tokens;
mod windows;

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

use crate::function::{GroupConvert, NAME};
use crate::settings::Settings;

#[tokio::main]
async fn main() -> ExitCode {
    let mut telemetry = telemetry::start(NAME);
    let ended = match Box::pin(run(&mut telemetry)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "Group-convert stopped");
            ExitCode::FAILURE
        }
    };
    telemetry.end().await;
    ended
}

async fn run(telemetry: &mut Telemetry) -> anyhow::Result<()> {
    ::settings::names::report(::settings::environment());
    let mut settings = Settings::read(::settings::environment()).context("the app settings are not usable")?;
    telemetry.metrics(settings.function.telemetry.prometheus).await;
    match (settings.function.front, settings.native.take()) {
        (Front::Host { port }, _) => {
            // Never exit code 0: the host takes it for an orderly end and lets the function be.
            let Err(error) = serve_host(port, settings).await;
            Err(error)
        }
        (Front::Native, Some(options)) => {
            let reading =
                Reading { windowed: true, longest_request: settings.fhir.request_timeout, serves_on: Duration::ZERO };
            let stop =
                native::Stop::listen(options.process.stop_on_stdin_end).context("signals cannot be listened for")?;
            let convert = begin(settings)?;
            native::run(stop, options, convert, Arc::new(LoopMetrics(Stage::GroupConvert)), reading, Router::new())
                .await
        }
        (Front::Native, None) => anyhow::bail!("there is no hub to read"),
    }
}

/// Serves the Functions host, for as long as that lives.
async fn serve_host(port: u16, settings: Settings) -> anyhow::Result<std::convert::Infallible> {
    let listener = custom_handler::listen(port).await?;
    tracing::info!(port, "Group-convert listens");
    let functions = custom_handler::function(NAME, begin(settings)?);
    Err(custom_handler::serve(listener, functions).await.into())
}

/// Makes the function, and begins what it does beside its batches.
fn begin(settings: Settings) -> anyhow::Result<Arc<GroupConvert>> {
    let convert = Arc::new(GroupConvert::new(settings)?);
    let loading = convert.clone();
    tokio::spawn(async move { loading.load_mapping().await });
    let parking = convert.clone();
    tokio::spawn(async move { parking.look_again_for_parked().await });
    Ok(convert)
}

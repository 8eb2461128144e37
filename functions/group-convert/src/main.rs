//! The function that turns measurements into Observations: reads its settings,
//! joins the parts, and serves the Functions host.

mod function;
mod progress;
mod settings;

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use telemetry::Telemetry;

use crate::function::GroupConvert;
use crate::settings::Settings;

#[tokio::main]
async fn main() -> ExitCode {
    let mut telemetry = telemetry::start("group-convert");
    let Err(error) = run(&mut telemetry).await;
    // Never exit code 0: the host takes it for an orderly end and lets the function be.
    tracing::error!(error = format!("{error:#}"), "Group-convert stopped");
    telemetry.end().await;
    ExitCode::FAILURE
}

async fn run(telemetry: &mut Telemetry) -> anyhow::Result<std::convert::Infallible> {
    let settings = Settings::read(::settings::environment()).context("the app settings are not usable")?;
    let port = settings.function.port;
    telemetry.metrics(settings.function.prometheus).await;
    let listener = custom_handler::listen(port).await?;
    tracing::info!(port, "Group-convert listens");
    let convert = Arc::new(GroupConvert::new(settings)?);
    let loading = convert.clone();
    tokio::spawn(async move { loading.load_mapping().await });
    let parking = convert.clone();
    tokio::spawn(async move { parking.look_again_for_parked().await });
    let functions = custom_handler::function("group-convert", convert);
    Err(custom_handler::serve(listener, functions).await.into())
}

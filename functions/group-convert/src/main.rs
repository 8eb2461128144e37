//! The function that turns measurements into Observations: reads its settings,
//! joins the parts, and serves the Functions host.

mod function;
mod progress;
mod settings;
mod tokens;

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;

use crate::function::GroupConvert;
use crate::settings::Settings;

#[tokio::main]
async fn main() -> ExitCode {
    telemetry::start();
    let Err(error) = run().await;
    // Never exit code 0: the host takes it for an orderly end and lets the function be.
    tracing::error!(error = format!("{error:#}"), "Group-convert stopped");
    ExitCode::FAILURE
}

async fn run() -> anyhow::Result<std::convert::Infallible> {
    let settings = Settings::read(::settings::environment()).context("the app settings are not usable")?;
    let port = settings.function.port;
    let listener = custom_handler::listen(port).await?;
    tracing::info!(port, "Group-convert listens");
    let convert = Arc::new(GroupConvert::new(settings)?);
    let loading = convert.clone();
    tokio::spawn(async move { loading.load_mapping().await });
    let functions = custom_handler::function("group-convert", convert);
    Err(custom_handler::serve(listener, functions).await.into())
}

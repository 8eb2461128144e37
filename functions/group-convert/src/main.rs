//! The function that turns measurements into Observations: reads its settings,
//! joins the parts, and serves the Functions host.

mod function;
mod settings;

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use tokio::net::TcpListener;

use crate::function::GroupConvert;
use crate::settings::Settings;

#[tokio::main]
async fn main() -> ExitCode {
    telemetry::start();
    let error = match run().await {
        Ok(never) => match never {},
        Err(error) => error,
    };
    // Never exit code 0: the host takes it for an orderly end and lets the function be.
    tracing::error!(error = format!("{error:#}"), "Group-convert stopped");
    ExitCode::FAILURE
}

async fn run() -> anyhow::Result<std::convert::Infallible> {
    let settings = Settings::read(::settings::environment()).context("the app settings are not usable")?;
    // The port is open before anything slow is done: the host polls it.
    let listener = TcpListener::bind(("127.0.0.1", settings.port)).await;
    let listener = listener.with_context(|| format!("cannot listen on 127.0.0.1:{}", settings.port))?;
    tracing::info!(port = settings.port, "Group-convert listens");
    let convert = Arc::new(GroupConvert::new(settings)?);
    let functions = custom_handler::function("group-convert", convert);
    tokio::select! {
        error = custom_handler::serve(listener, functions) => Err(error.into()),
        () = custom_handler::orphaned() => anyhow::bail!("the Functions host is gone"),
    }
}

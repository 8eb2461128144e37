//! The Functions host stand-in as a process of its own:
//! `functions-host APP_ROOT CHECKPOINTS [HTTP_LISTEN]`.
//!
//! Its environment is the app's. Runs until Ctrl-C, then drains; ends with code
//! 1 when the handler fails too often, as the real host does. Products use
//! `iotc`, which has the same as a subcommand.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use local::functions_host::{FolderCheckpoints, FunctionsHost, FunctionsHostConfig};

const USAGE: &str = "usage: functions-host APP_ROOT CHECKPOINTS [HTTP_LISTEN]";

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> anyhow::Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [app_root, checkpoints, rest @ ..] = arguments.as_slice() else { anyhow::bail!(USAGE) };
    let config = FunctionsHostConfig {
        app_root: app_root.into(),
        environment: std::env::vars().collect(),
        checkpoints: Arc::new(FolderCheckpoints::new(Path::new(checkpoints))),
        http_listen: rest.first().map_or("127.0.0.1:0", String::as_str).parse()?,
        sharing: None,
        answered: None,
    };
    let mut host = FunctionsHost::start(config).await?;
    eprintln!("This Functions host stand-in is for development.");
    println!("http://{}", host.http_address());
    tokio::select! {
        reason = host.stopped() => {
            eprintln!("error: {reason}");
            host.stop().await;
            Ok(ExitCode::FAILURE)
        }
        signal = tokio::signal::ctrl_c() => {
            signal?;
            host.stop().await;
            Ok(ExitCode::SUCCESS)
        }
    }
}

//! Starts the log of a process.
//!
//! One record is one line on standard output: the Functions host takes every
//! line on standard error for an error (functions-eventhubs-keda.md 1.6).
//! `LOG_FORMAT=json` gives JSON lines; `RUST_LOG` chooses what is logged.

use tracing_subscriber::EnvFilter;

/// What is logged when `RUST_LOG` says nothing: our records, and from the AMQP
/// and HTTP libraries only what is wrong.
const DEFAULT_FILTER: &str = "info,fe2o3_amqp=warn,azure_core_amqp=warn,azure_messaging_eventhubs=warn";

/// Starts logging. Called once, first thing in `main`.
pub fn start() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_target(false).with_ansi(false);
    if std::env::var("LOG_FORMAT").is_ok_and(|format| format == "json") {
        log.json().flatten_event(true).init();
    } else {
        log.init();
    }
}

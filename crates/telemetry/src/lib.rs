//! Starts the log of a process.
//!
//! One record is one line on standard output: the Functions host takes every
//! line on standard error for an error (functions-eventhubs-keda.md 1.6).
//! `LOG_FORMAT=json` gives JSON lines; `RUST_LOG` chooses what is logged.

use tracing_subscriber::EnvFilter;

/// What is logged when `RUST_LOG` says nothing.
const DEFAULT_FILTER: &str = "info";

/// Libraries that print frames, bodies or addresses below this level; those
/// hold identifiers of patients. Said after `RUST_LOG`, so that `debug` or
/// `trace` for everything does not reach them.
const CAPPED: [&str; 9] = [
    "fe2o3_amqp=warn",
    "serde_amqp=warn",
    "azure_core=warn",
    "azure_core_amqp=warn",
    "azure_messaging_eventhubs=warn",
    "azure_storage_blob=warn",
    "hyper=warn",
    "hyper_util=warn",
    "reqwest=warn",
];

/// Starts logging. Called once, first thing in `main`.
pub fn start() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER));
    let capped = CAPPED.iter().filter_map(|directive| directive.parse().ok());
    let filter = capped.fold(filter, EnvFilter::add_directive);
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_target(false).with_ansi(false);
    if std::env::var("LOG_FORMAT").is_ok_and(|format| format == "json") {
        log.json().flatten_event(true).init();
    } else {
        log.init();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cap_is_a_directive() {
        for directive in CAPPED {
            assert!(directive.parse::<tracing_subscriber::filter::Directive>().is_ok(), "{directive}");
        }
    }
}

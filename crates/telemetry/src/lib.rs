//! Says what a process does: its log, its traces and its metrics.
//!
//! ```text
//! tracing events --> lines on standard output
//!               \--> collector (OTLP)
//! tracing spans  --> collector (OTLP)
//! metrics        --> collector (OTLP)
//!               \--> GET /metrics (Prometheus)
//! ```
//!
//! `main` calls [`start`] first thing, [`Telemetry::metrics`] when the settings
//! are read, and [`Telemetry::end`] last. What is counted, and how it is called,
//! is in [`metrics`]. No failure here holds up or ends the process.
//!
//! What leaves the process holds no value and no identifier of an event: logs
//! and spans only of our own packages, attributes only from mappings, settings
//! and lists of ours.

mod environment;
mod log;
pub mod metrics;
mod otlp;
mod panics;
mod prometheus;
pub mod rate;
pub mod shapes;
pub mod spans;

use std::net::SocketAddr;
use std::time::Duration;

use opentelemetry::trace::TracerProvider;
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{FilterExt, LevelFilter, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::log::{LogSettings, is_ours};
use crate::otlp::Otlp;
pub use crate::panics::broke_off;

/// How long the end of the process waits for what is not sent yet.
const FLUSH_LIMIT: Duration = Duration::from_secs(3);

/// What the reference connector and the seeds set for Application Insights.
const APPLICATION_INSIGHTS: [&str; 2] = ["APPLICATIONINSIGHTS_CONNECTION_STRING", "APPINSIGHTS_INSTRUMENTATIONKEY"];

/// What runs for the telemetry of the process; kept by `main`.
#[derive(Debug)]
pub struct Telemetry {
    service: &'static str,
    otlp: Option<Otlp>,
    traces: Option<SdkTracerProvider>,
    logs: Option<SdkLoggerProvider>,
    metrics: Option<SdkMeterProvider>,
}

/// Starts the log alone, for a process that is none of the functions.
pub fn start_log() {
    let log = LogSettings::read();
    tracing_subscriber::registry().with(log.layer()).init();
    panics::report();
    report(&log.problems);
}

/// Starts the log, and traces and logs by OTLP when the environment names a
/// collector. Called once, first thing in `main`, within the async runtime.
/// `service` is the name under which the process sends when nobody says
/// otherwise.
pub fn start(service: &'static str) -> Telemetry {
    let mut log = LogSettings::read();
    let problems = &mut log.problems;
    let otlp = Otlp::read(service, problems);
    let traces = otlp.as_ref().and_then(|otlp| otlp.traces(problems));
    let logs = otlp.as_ref().and_then(|otlp| otlp.logs(problems));
    let spans = traces.as_ref().map(|provider| {
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer(service));
        // Neither paths of source files nor threads: they say nothing here.
        let layer = layer.with_location(false).with_threads(false).with_tracked_inactivity(false);
        let ours = filter_fn(|metadata: &tracing::Metadata<'_>| is_ours(metadata));
        layer.with_filter(LevelFilter::INFO.and(ours))
    });
    let records = logs.as_ref().map(|provider| {
        let layer = OpenTelemetryTracingBridge::new(provider);
        let ours = filter_fn(|metadata: &tracing::Metadata<'_>| is_ours(metadata));
        layer.with_filter(log.filter().and(ours))
    });
    tracing_subscriber::registry().with(log.layer()).with(spans).with(records).init();
    panics::report();
    report(&log.problems);
    report_application_insights();
    Telemetry { service, otlp, traces, logs, metrics: None }
}

impl Telemetry {
    /// Starts to count, for whom there is: the collector, and `/metrics` at
    /// `prometheus`. For neither nothing is counted.
    pub async fn metrics(&mut self, prometheus: Option<SocketAddr>) {
        let mut problems = Vec::new();
        let exporter = self.otlp.as_ref().and_then(|otlp| otlp.metrics(&mut problems));
        let registry = ::prometheus::Registry::new();
        let reader = prometheus.map(|address| (address, prometheus::reader(&registry)));
        let reader = match reader {
            Some((address, Ok(reader))) => Some((address, reader)),
            Some((_, Err(error))) => {
                problems.push(format!("there is no Prometheus endpoint: {error}"));
                None
            }
            None => None,
        };
        report(&problems);
        if exporter.is_none() && reader.is_none() {
            return;
        }
        let mut provider = otlp::meter_provider(self.service);
        if let Some(exporter) = exporter {
            provider = provider.with_periodic_exporter(exporter);
        }
        let mut address = None;
        if let Some((at, reader)) = reader {
            provider = provider.with_reader(reader);
            address = Some(at);
        }
        let provider = provider.build();
        metrics::start(&provider, otlp::connector());
        self.metrics = Some(provider);
        if let Some(address) = address {
            prometheus::serve(address, registry).await;
        }
    }

    /// Sends what is left, for a few seconds at most. Called last in `main`.
    pub async fn end(self) {
        let Telemetry { traces, logs, metrics, .. } = self;
        if traces.is_none() && logs.is_none() && metrics.is_none() {
            return;
        }
        // The providers block until their threads are done. A thread of the
        // runtime would be waited for at the end of `main`, however long it took.
        let (done, flushed) = tokio::sync::oneshot::channel();
        let flush = std::thread::Builder::new().name("telemetry-end".to_owned()).spawn(move || {
            let traces = traces.map(|provider| provider.shutdown_with_timeout(FLUSH_LIMIT));
            let metrics = metrics.map(|provider| provider.shutdown_with_timeout(FLUSH_LIMIT));
            let logs = logs.map(|provider| provider.shutdown_with_timeout(FLUSH_LIMIT));
            let all = [traces, metrics, logs].into_iter().flatten().all(|ended| ended.is_ok());
            // Nobody listens any more when it took too long.
            let _ = done.send(all);
        });
        let is_sent = flush.is_ok() && matches!(tokio::time::timeout(FLUSH_LIMIT, flushed).await, Ok(Ok(true)));
        if !is_sent {
            tracing::warn!("The last telemetry could not be sent");
        }
    }
}

fn report(problems: &[String]) {
    for problem in problems {
        tracing::warn!(problem, "A setting of the log or the telemetry has no effect");
    }
}

/// Says which of the settings for Application Insights are there for nothing,
/// and what does what they are meant for. Their values are secrets.
fn report_application_insights() {
    let set: Vec<_> = APPLICATION_INSIGHTS.into_iter().filter(|name| environment::is_set(name)).collect();
    if !set.is_empty() {
        tracing::warn!(
            settings = set.join(", "),
            "This process does not send to Application Insights by itself; set `OTEL_EXPORTER_OTLP_ENDPOINT` to an \
             OpenTelemetry collector with the exporter `azuremonitor`, see docs/telemetry.md"
        );
    }
}

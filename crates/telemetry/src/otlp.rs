//! Traces, metrics and logs to a collector, by OTLP over HTTP.
//!
//! Switched on by the standard variables, which the SDK reads itself:
//! `OTEL_EXPORTER_OTLP_ENDPOINT` for all three signals, or
//! `OTEL_EXPORTER_OTLP_{TRACES,METRICS,LOGS}_ENDPOINT` for one. Without any,
//! nothing of this runs.
//!
//! Everything is sent from threads of its own and from bounded queues: when the
//! collector is away, what does not fit is dropped, and one line a minute says
//! so.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use opentelemetry::KeyValue;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{LogExporter, MetricExporter, SpanExporter, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::trace::SdkTracerProvider;

use crate::environment::variable;
use crate::rate::RateLimit;

/// How long one request may take. The standard says 10 s in all with retries
/// (`OTEL_EXPORTER_OTLP_TIMEOUT`), which goes for the exporter around this.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);

/// A kind of telemetry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    Traces,
    Metrics,
    Logs,
}

impl Signal {
    const ALL: [Signal; 3] = [Signal::Traces, Signal::Metrics, Signal::Logs];

    fn name(self) -> &'static str {
        match self {
            Signal::Traces => "TRACES",
            Signal::Metrics => "METRICS",
            Signal::Logs => "LOGS",
        }
    }
}

/// Which signals go to a collector, and the way there.
#[derive(Debug)]
pub(crate) struct Otlp {
    signals: Vec<Signal>,
    sender: Sender,
    resource: Resource,
}

impl Otlp {
    /// As the environment says; none when it names no endpoint. What of it has
    /// no effect is put into `problems`.
    pub(crate) fn read(service: &'static str, problems: &mut Vec<String>) -> Option<Otlp> {
        let signals = signals(variable, problems);
        if signals.is_empty() {
            return None;
        }
        Some(Otlp { signals, sender: Sender::default(), resource: resource(service) })
    }

    fn has(&self, signal: Signal) -> bool {
        self.signals.contains(&signal)
    }

    /// Takes spans, if traces are asked for. An exporter that cannot be made is
    /// a problem, and no reason not to start.
    pub(crate) fn traces(&self, problems: &mut Vec<String>) -> Option<SdkTracerProvider> {
        let build = || SpanExporter::builder().with_http().with_http_client(self.sender.clone()).build();
        let exporter = self.has(Signal::Traces).then(build)?;
        let exporter = exporter.map_err(|error| problems.push(unusable(Signal::Traces, &error))).ok()?;
        let provider = SdkTracerProvider::builder().with_resource(self.resource.clone());
        Some(provider.with_batch_exporter(exporter).build())
    }

    /// Takes log records, if logs are asked for.
    pub(crate) fn logs(&self, problems: &mut Vec<String>) -> Option<SdkLoggerProvider> {
        let build = || LogExporter::builder().with_http().with_http_client(self.sender.clone()).build();
        let exporter = self.has(Signal::Logs).then(build)?;
        let exporter = exporter.map_err(|error| problems.push(unusable(Signal::Logs, &error))).ok()?;
        let provider = SdkLoggerProvider::builder().with_resource(self.resource.clone());
        Some(provider.with_batch_exporter(exporter).build())
    }

    /// What sends metrics every `OTEL_METRIC_EXPORT_INTERVAL`, if they are asked
    /// for.
    pub(crate) fn metrics(&self, problems: &mut Vec<String>) -> Option<MetricExporter> {
        let build = || MetricExporter::builder().with_http().with_http_client(self.sender.clone()).build();
        let exporter = self.has(Signal::Metrics).then(build)?;
        exporter.map_err(|error| problems.push(unusable(Signal::Metrics, &error))).ok()
    }
}

/// A provider of meters needs the resource too, whoever reads the metrics.
pub(crate) fn meter_provider(service: &'static str) -> opentelemetry_sdk::metrics::MeterProviderBuilder {
    SdkMeterProvider::builder().with_resource(resource(service))
}

fn unusable(signal: Signal, error: &opentelemetry_otlp::ExporterBuildError) -> String {
    format!("no {} are sent by OTLP: {error}", signal.name().to_lowercase())
}

/// Which signals have an endpoint.
fn signals(variable: impl Fn(&str) -> Option<String>, problems: &mut Vec<String>) -> Vec<Signal> {
    if variable("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return Vec::new();
    }
    let for_all = variable("OTEL_EXPORTER_OTLP_ENDPOINT").is_some();
    let is_on = |signal: &Signal| {
        let name = signal.name();
        let has_endpoint = for_all || variable(&format!("OTEL_EXPORTER_OTLP_{name}_ENDPOINT")).is_some();
        let is_none = variable(&format!("OTEL_{name}_EXPORTER")).is_some_and(|exporter| exporter == "none");
        has_endpoint && !is_none
    };
    let signals: Vec<Signal> = Signal::ALL.into_iter().filter(is_on).collect();
    for signal in &signals {
        let own = format!("OTEL_EXPORTER_OTLP_{}_PROTOCOL", signal.name());
        let protocol = variable(&own).or_else(|| variable("OTEL_EXPORTER_OTLP_PROTOCOL"));
        if let Some(protocol) = protocol.filter(|protocol| protocol != "http/protobuf") {
            problems.push(format!(
                "{} are sent by `http/protobuf` and not by `{protocol}`, which this process does not speak",
                signal.name().to_lowercase()
            ));
        }
    }
    signals
}

/// Who sends: `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES`, else the name
/// of the function; its version; and the connector, if it has a name.
fn resource(service: &'static str) -> Resource {
    let named = variable("OTEL_SERVICE_NAME").is_some()
        || variable("OTEL_RESOURCE_ATTRIBUTES").is_some_and(|all| all.contains("service.name="));
    let mut attributes = vec![KeyValue::new("service.version", env!("CARGO_PKG_VERSION"))];
    attributes.extend(connector().map(|name| KeyValue::new("connector", name)));
    let builder = Resource::builder();
    let builder = if named { builder } else { builder.with_service_name(service) };
    builder.with_attributes(attributes).build()
}

/// `Connector__Name`: which connector this process belongs to.
pub(crate) fn connector() -> Option<String> {
    variable("Connector__Name")
}

/// Sends requests with a client that is made in the first thread that sends:
/// the blocking client must not be made within the async runtime, and reading
/// the system's certificates must not delay the start.
#[derive(Clone, Debug, Default)]
struct Sender {
    client: Arc<OnceLock<Result<reqwest::blocking::Client, String>>>,
    failures: Arc<Failures>,
}

#[derive(Debug)]
struct Failures {
    lines: RateLimit,
}

impl Default for Failures {
    fn default() -> Failures {
        Failures { lines: RateLimit::new(1) }
    }
}

impl Failures {
    fn report(&self, reason: &str) {
        if let Some(not_shown) = self.lines.take(Instant::now()) {
            tracing::warn!(
                reason,
                failures.not_shown = not_shown,
                "Telemetry cannot be sent to the collector; events are worked on all the same"
            );
        }
    }
}

#[async_trait]
impl HttpClient for Sender {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let build = || {
            let client = reqwest::blocking::Client::builder().timeout(REQUEST_LIMIT).build();
            client.map_err(|error| error.to_string())
        };
        let client = self.client.get_or_init(build).as_ref().map_err(|error| HttpError::from(error.clone()));
        let answer = match client {
            Ok(client) => client.send_bytes(request).await,
            Err(error) => Err(error),
        };
        match &answer {
            Ok(answer) if answer.status().is_success() => {}
            Ok(answer) => self.failures.report(&format!("it answers with status {}", answer.status().as_u16())),
            // Without the address: it may hold a key.
            Err(error) => self.failures.report(match error.downcast_ref::<reqwest::Error>() {
                Some(error) if error.is_connect() => "no connection",
                Some(error) if error.is_timeout() => "no answer in time",
                _ => "the request failed",
            }),
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(set: &[(&str, &str)]) -> (Vec<Signal>, usize) {
        let variable = |name: &str| set.iter().find(|(set, _)| *set == name).map(|(_, value)| (*value).to_owned());
        let mut problems = Vec::new();
        (signals(variable, &mut problems), problems.len())
    }

    #[test]
    fn a_signal_is_on_when_it_has_an_endpoint() {
        let all = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318");
        let cases: [(&[_], &[_], usize); 6] = [
            (&[], &[], 0),
            (&[all], &Signal::ALL, 0),
            (&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://c/v1/traces")], &[Signal::Traces], 0),
            (&[all, ("OTEL_LOGS_EXPORTER", "none")], &[Signal::Traces, Signal::Metrics], 0),
            (&[all, ("OTEL_SDK_DISABLED", "true")], &[], 0),
            (&[all, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")], &Signal::ALL, 3),
        ];
        for (set, signals, problems) in cases {
            assert_eq!(summary(set), (signals.to_vec(), problems), "{set:?}");
        }
    }
}

//! A collector of OpenTelemetry: takes OTLP over HTTP and keeps it.

// It is a test's: whatever it is sent that is not OTLP ends the test.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc)]

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as AnyValue;
use opentelemetry_proto::tonic::common::v1::{AnyValue as Any, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::{metric, number_data_point};
use prost::Message;

/// Attributes by name, values as text.
pub type Attributes = BTreeMap<String, String>;

/// A span.
#[derive(Clone, Debug)]
pub struct Span {
    /// The process that it is of.
    pub service: String,
    /// What was done.
    pub name: String,
    /// Its id.
    pub id: Vec<u8>,
    /// The id of the span above it; empty for the first.
    pub parent: Vec<u8>,
    /// What is said of it.
    pub attributes: Attributes,
}

/// What has arrived.
#[derive(Debug, Default)]
struct Arrived {
    /// The requests as they came.
    bytes: Vec<Vec<u8>>,
    spans: Vec<Span>,
    logs: Vec<(String, String)>,
    /// Sums as they were last told, by service, name and attributes.
    sums: BTreeMap<(String, String, Attributes), i64>,
    names: BTreeSet<String>,
    resources: BTreeSet<Attributes>,
}

/// A running collector; it ends with the test.
#[derive(Clone, Debug)]
pub struct Collector {
    address: SocketAddr,
    arrived: Arc<Mutex<Arrived>>,
}

impl Collector {
    /// Starts one on a port of its own.
    ///
    /// # Panics
    /// When it cannot listen.
    pub fn start() -> Collector {
        let arrived = Arc::new(Mutex::new(Arrived::default()));
        let router = Router::new().route("/v1/{signal}", post(take)).with_state(arrived.clone());
        let (tell, address) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
                tell.send(listener.local_addr().unwrap()).unwrap();
                axum::serve(listener, router).await.unwrap();
            });
        });
        Collector { address: address.recv().unwrap(), arrived }
    }

    /// For `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The spans of a service.
    pub fn spans(&self, service: &str) -> Vec<Span> {
        let arrived = self.arrived.lock().unwrap();
        arrived.spans.iter().filter(|span| span.service == service).cloned().collect()
    }

    /// The texts of a service's log.
    pub fn logs(&self, service: &str) -> Vec<String> {
        let arrived = self.arrived.lock().unwrap();
        arrived.logs.iter().filter(|(of, _)| of == service).map(|(_, text)| text.clone()).collect()
    }

    /// The last values of a counter, by attributes.
    pub fn counter(&self, service: &str, name: &str) -> BTreeMap<Attributes, i64> {
        let arrived = self.arrived.lock().unwrap();
        let of = arrived.sums.iter().filter(|((of, metric, _), _)| of == service && metric == name);
        of.map(|((_, _, attributes), value)| (attributes.clone(), *value)).collect()
    }

    /// The names of all metrics.
    pub fn metric_names(&self) -> BTreeSet<String> {
        self.arrived.lock().unwrap().names.clone()
    }

    /// Who has sent.
    pub fn resources(&self) -> BTreeSet<Attributes> {
        self.arrived.lock().unwrap().resources.clone()
    }

    /// What has arrived, a text for each request; what is no text in it is
    /// replaced.
    pub fn texts(&self) -> Vec<String> {
        let arrived = self.arrived.lock().unwrap();
        arrived.bytes.iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect()
    }

    /// Whether a text is anywhere in what has arrived.
    pub fn has(&self, text: &str) -> bool {
        let arrived = self.arrived.lock().unwrap();
        arrived.bytes.iter().any(|bytes| bytes.windows(text.len()).any(|window| window == text.as_bytes()))
    }
}

async fn take(State(arrived): State<Arc<Mutex<Arrived>>>, Path(signal): Path<String>, body: Bytes) -> StatusCode {
    let mut arrived = arrived.lock().unwrap();
    arrived.bytes.push(body.to_vec());
    match signal.as_str() {
        "traces" => arrived.take_traces(ExportTraceServiceRequest::decode(body).unwrap()),
        "logs" => arrived.take_logs(ExportLogsServiceRequest::decode(body).unwrap()),
        "metrics" => arrived.take_metrics(ExportMetricsServiceRequest::decode(body).unwrap()),
        _ => return StatusCode::NOT_FOUND,
    }
    StatusCode::OK
}

impl Arrived {
    fn take_traces(&mut self, request: ExportTraceServiceRequest) {
        for of_resource in request.resource_spans {
            let service = self.service(&of_resource.resource.unwrap().attributes);
            for span in of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                self.spans.push(Span {
                    service: service.clone(),
                    name: span.name,
                    id: span.span_id,
                    parent: span.parent_span_id,
                    attributes: attributes(&span.attributes),
                });
            }
        }
    }

    fn take_logs(&mut self, request: ExportLogsServiceRequest) {
        for of_resource in request.resource_logs {
            let service = self.service(&of_resource.resource.unwrap().attributes);
            for record in of_resource.scope_logs.into_iter().flat_map(|scope| scope.log_records) {
                let said = attributes(&record.attributes);
                self.logs.push((service.clone(), format!("{} {said:?}", text(record.body.as_ref()))));
            }
        }
    }

    fn take_metrics(&mut self, request: ExportMetricsServiceRequest) {
        for of_resource in request.resource_metrics {
            let service = self.service(&of_resource.resource.unwrap().attributes);
            for metric in of_resource.scope_metrics.into_iter().flat_map(|scope| scope.metrics) {
                self.names.insert(metric.name.clone());
                let Some(metric::Data::Sum(sum)) = metric.data else { continue };
                for point in sum.data_points {
                    let Some(number_data_point::Value::AsInt(value)) = point.value else { continue };
                    let key = (service.clone(), metric.name.clone(), attributes(&point.attributes));
                    self.sums.insert(key, value);
                }
            }
        }
    }

    fn service(&mut self, resource: &[KeyValue]) -> String {
        let resource = attributes(resource);
        let service = resource["service.name"].clone();
        self.resources.insert(resource);
        service
    }
}

fn attributes(attributes: &[KeyValue]) -> Attributes {
    attributes.iter().map(|attribute| (attribute.key.clone(), text(attribute.value.as_ref()))).collect()
}

fn text(value: Option<&Any>) -> String {
    match value.and_then(|value| value.value.as_ref()) {
        Some(AnyValue::StringValue(text)) => text.clone(),
        Some(AnyValue::IntValue(number)) => number.to_string(),
        Some(other) => format!("{other:?}"),
        None => String::new(),
    }
}

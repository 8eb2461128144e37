//! Requests to the FHIR server.

use std::time::Duration;

use delivery::reference_metrics::FhirServiceFailure;
use opentelemetry::KeyValue;

use super::instruments;
use super::table;

/// A request that was sent, and how it ended.
#[derive(Clone, Copy, Debug)]
pub struct FhirRequest {
    /// What sort of request: a name from a list.
    pub kind: &'static str,
    /// The status of the answer; none without one.
    pub status: Option<u16>,
    /// From sending it to the end of the answer.
    pub took: Duration,
    /// How many requests may be under way at once after it.
    pub concurrency: usize,
}

/// Counts a request.
pub fn fhir_request(request: FhirRequest) {
    let Some(metrics) = instruments() else { return };
    let FhirRequest { kind, status, took, concurrency } = request;
    let class = status.map_or("none", class_of);
    let attributes = vec![KeyValue::new("kind", kind), KeyValue::new("status", class)];
    metrics.record(&table::FHIR_DURATION, took.as_secs_f64(), attributes);
    metrics.set(&table::FHIR_CONCURRENCY, concurrency as f64, Vec::new());
    if let Some(status @ (429 | 503)) = status {
        metrics.count(&table::FHIR_THROTTLED, 1, vec![KeyValue::new("status", i64::from(status))]);
    }
    let failure = match status {
        // What says something about the data has a reason, which is counted with
        // the measurement.
        Some(status) if !matches!(status, 401 | 403 | 408 | 429) && status < 500 => return,
        Some(status) => FhirServiceFailure::Status(status),
        None => FhirServiceFailure::Transport(None),
    };
    let record = failure.record();
    let dimensions = record.metric.dimensions();
    let dimensions = dimensions.into_iter().map(|(name, value)| KeyValue::new(name, value.to_owned()));
    metrics.count_error(&record.metric.name, 1, dimensions.collect());
}

fn class_of(status: u16) -> &'static str {
    match status / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        5 => "5xx",
        _ => "none",
    }
}

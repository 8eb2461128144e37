//! Counts. Every metric is in [`table`], and `docs/metrics.md` is written from
//! it.
//!
//! ```text
//! Normalization, Conversion, Away --normalized, converted, away--> counters
//! the delivery loop               --LoopMetrics--> counters, gauges of partitions
//! a request to the FHIR server    --fhir_request--> histogram
//! ```
//!
//! The functions here may be called at any time from anywhere: until
//! [`crate::Telemetry::metrics`] has run, and when nobody wants metrics, they do
//! nothing. Each is called for a batch, a window or a request and never for an
//! event.
//!
//! Attributes have few values: names of templates (from the mapping), reason
//! codes, partitions, and lists of ours. What came in with an event never
//! becomes one.

mod batches;
mod fhir;
mod instruments;
mod partitions;
pub mod table;

use std::sync::OnceLock;

use opentelemetry::KeyValue;
use opentelemetry_sdk::metrics::SdkMeterProvider;

pub use batches::{NormalizedBatch, away, converted, mapping_in_use, normalized, unparked};
pub use fhir::{FhirRequest, fhir_request};
use instruments::Instruments;
pub use partitions::LoopMetrics;

static INSTRUMENTS: OnceLock<Instruments> = OnceLock::new();

/// Counts with `provider` from now on, everything for this connector if it has
/// a name. The first call counts.
pub(crate) fn start(provider: &SdkMeterProvider, connector: Option<String>) {
    INSTRUMENTS.get_or_init(|| Instruments::new(provider, connector));
}

fn instruments() -> Option<&'static Instruments> {
    INSTRUMENTS.get()
}

/// The dimensions of the reference connector for what is no error.
fn traffic(name: &'static str, category: &'static str, operation: &'static str, partition: &str) -> Vec<KeyValue> {
    let mut dimensions =
        vec![KeyValue::new("Name", name), KeyValue::new("Category", category), KeyValue::new("Operation", operation)];
    // Left out when blank, as with the reference connector.
    dimensions.extend(of_partition("Identifier", partition));
    dimensions
}

/// None for what came by HTTP.
fn of_partition(name: &'static str, partition: &str) -> Option<KeyValue> {
    (!partition.is_empty()).then(|| KeyValue::new(name, partition.to_owned()))
}

#[cfg(test)]
mod tests;

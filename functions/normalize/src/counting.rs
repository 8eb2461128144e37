//! In the place of the internal hub, for benchmarks: counts measurements and
//! their bytes, and loses them.
//!
//! Only with the feature `counting-output`, which nothing that is shipped has.

use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::routing::get;
use azure::HubOutput;
use delivery::{Away, Fence, MeasurementOutput, OutgoingMeasurements};

static MEASUREMENTS: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);

/// Counts what it is given.
#[derive(Debug)]
pub struct CountingOutput;

impl CountingOutput {
    /// Takes the place of the hub.
    pub fn instead_of(_: HubOutput) -> CountingOutput {
        CountingOutput
    }
}

impl MeasurementOutput for CountingOutput {
    async fn send(&self, measurements: &OutgoingMeasurements, _: &dyn Fence) -> Result<Vec<usize>, Away> {
        // By partition key, as what is sent is.
        for (_, indexes) in measurements.by_partition_key() {
            let bytes: usize = indexes.iter().map(|index| measurements.json(*index).len()).sum();
            MEASUREMENTS.fetch_add(indexes.len() as u64, Ordering::Relaxed);
            BYTES.fetch_add(bytes as u64, Ordering::Relaxed);
        }
        Ok(Vec::new())
    }
}

/// `GET /counted`: how many measurements, and bytes of them.
pub fn router() -> Router {
    let counted = || async {
        let (measurements, bytes) = (MEASUREMENTS.load(Ordering::Relaxed), BYTES.load(Ordering::Relaxed));
        axum::Json(serde_json::json!({ "measurements": measurements, "bytes": bytes }))
    };
    Router::new().route("/counted", get(counted))
}

/// Nobody is to take this build for the real one.
pub fn warn() {
    tracing::warn!("THIS BUILD IS FOR BENCHMARKS: it counts measurements, sends none and LOSES THEM ALL");
}

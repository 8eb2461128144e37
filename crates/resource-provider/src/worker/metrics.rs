//! What workers count, for Prometheus (resource-provider.md 6.6). Labels are
//! words of ours: no name of a customer's.

use std::sync::LazyLock;
use std::time::Instant;

use jiff::Timestamp;
use prometheus::{
    Encoder, Gauge, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
    exponential_buckets,
};

use super::outcome;
use super::plan::Step;
use super::sweeper::Swept;
use crate::documents::OperationDocument;
use crate::store::{Claimed, Store, StoreError};

static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::new);

struct Metrics {
    registry: Registry,
    steps: IntCounterVec,
    step_seconds: HistogramVec,
    claims: IntCounterVec,
    operations: IntCounterVec,
    operation_seconds: HistogramVec,
    swept: IntCounterVec,
    orphans: IntGauge,
    pending: IntGaugeVec,
    oldest_seconds: Gauge,
}

const VALID: &str = "names and labels are fixed, and valid";

impl Metrics {
    fn new() -> Metrics {
        let registry = Registry::new();
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let counter = IntCounterVec::new(Opts::new(name, help), labels).expect(VALID);
            registry.register(Box::new(counter.clone())).expect(VALID);
            counter
        };
        let histogram = |name: &str, help: &str, labels: &[&str]| {
            // From 10 ms to about three hours: an operation fails after 90 minutes.
            let buckets = exponential_buckets(0.01, 4.0, 11).expect(VALID);
            let histogram = HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets), labels).expect(VALID);
            registry.register(Box::new(histogram.clone())).expect(VALID);
            histogram
        };
        let pending = Opts::new(
            "iot_connector_provider_operations_pending",
            "Operations that have not ended, by status, when this was asked.",
        );
        let pending = IntGaugeVec::new(pending, &["status"]).expect(VALID);
        registry.register(Box::new(pending.clone())).expect(VALID);
        let orphans = IntGauge::new(
            "iot_connector_provider_orphaned_groups",
            "Resource groups of ours whose resource is gone, at the last pass of this worker's sweeper.",
        );
        let orphans = orphans.expect(VALID);
        registry.register(Box::new(orphans.clone())).expect(VALID);
        let oldest_seconds = Gauge::new(
            "iot_connector_provider_oldest_operation_seconds",
            "How long ago the oldest operation was asked for that has not ended.",
        );
        let oldest_seconds = oldest_seconds.expect(VALID);
        registry.register(Box::new(oldest_seconds.clone())).expect(VALID);
        Metrics {
            steps: counter(
                "iot_connector_provider_steps_total",
                "Tries of steps, by step, outcome (done, waiting, again, failed, store, lost) and which try it was.",
                &["step", "outcome", "attempt"],
            ),
            step_seconds: histogram(
                "iot_connector_provider_step_seconds",
                "How long a try of a step took, by step and outcome.",
                &["step", "outcome"],
            ),
            claims: counter(
                "iot_connector_provider_claims_total",
                "Operations that a worker took, by command, type and which time it was.",
                &["command", "type", "attempt"],
            ),
            operations: counter(
                "iot_connector_provider_operations_total",
                "Operations that ended, by command, type, outcome and code of the error.",
                &["command", "type", "outcome", "code"],
            ),
            operation_seconds: histogram(
                "iot_connector_provider_operation_seconds",
                "From the request to the end of an operation, by command, type and outcome.",
                &["command", "type", "outcome"],
            ),
            swept: counter(
                "iot_connector_provider_swept_total",
                "What the sweeper did: operations enqueued, resources settled, subscriptions followed, failed changes restored, \
                 renewals begun, \
                 operations forgotten.",
                &["what"],
            ),
            orphans,
            pending,
            oldest_seconds,
            registry,
        }
    }
}

/// Measures one try of a step.
#[derive(Debug)]
#[must_use]
pub(super) struct Timer {
    step: String,
    attempt: u32,
    since: Instant,
}

impl Timer {
    /// Begins to measure.
    pub(super) fn start(step: Step, attempt: u32) -> Timer {
        Timer { step: step.name(), attempt, since: Instant::now() }
    }

    /// Counts it.
    pub(super) fn stop(self, outcome: &str) {
        let attempt = self.attempt.to_string();
        METRICS.steps.with_label_values(&[self.step.as_str(), outcome, attempt.as_str()]).inc();
        let seconds = self.since.elapsed().as_secs_f64();
        METRICS.step_seconds.with_label_values(&[self.step.as_str(), outcome]).observe(seconds);
    }
}

/// What an operation does, and to what.
fn command(operation: &OperationDocument) -> (String, String) {
    (format!("{:?}", operation.provisioning_operation), operation.resource.kind.canonical_path())
}

/// Counts that a worker took an operation.
pub(super) fn count_claim(claimed: &Claimed) {
    let (command, kind) = command(&claimed.document);
    let attempt = claimed.attempts.to_string();
    METRICS.claims.with_label_values(&[command, kind, attempt]).inc();
}

/// Counts that an operation ended.
pub(super) fn count_end(operation: &OperationDocument) {
    let (command, kind) = command(operation);
    let outcome = format!("{:?}", operation.provisioning_status);
    let code = operation.error.as_ref().map_or("", |error| error.code.as_str());
    METRICS.operations.with_label_values(&[command.as_str(), &kind, &outcome, code]).inc();
    let seconds = outcome::age(operation).as_secs_f64();
    METRICS.operation_seconds.with_label_values(&[command, kind, outcome]).observe(seconds);
}

/// Counts what a pass of the sweeper did.
pub(super) fn count_sweep(swept: &Swept) {
    let did = [
        ("enqueued", swept.enqueued as u64),
        ("settled", swept.settled as u64),
        ("followed", swept.followed as u64),
        ("restored", swept.restored as u64),
        ("renewals", swept.renewals as u64),
        ("forgotten", swept.forgotten),
    ];
    for (what, count) in did {
        METRICS.swept.with_label_values(&[what]).inc_by(count);
    }
    METRICS.orphans.set(swept.orphans as i64);
}

/// What could not be told.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    /// What waits is not known.
    #[error("the operations that wait were not counted")]
    Store(#[from] StoreError),
    /// The text was not made.
    #[error("the metrics were not written")]
    Text(#[from] prometheus::Error),
}

/// All of it, in Prometheus' text format; what waits is counted now.
///
/// # Errors
///
/// [`MetricsError`].
pub async fn text(store: &Store) -> Result<Vec<u8>, MetricsError> {
    let pending = store.pending_count().await?;
    METRICS.pending.with_label_values(&["Requested"]).set(pending.requested);
    METRICS.pending.with_label_values(&["Running"]).set(pending.running);
    let age = pending.oldest.map_or(0.0, |oldest| Timestamp::now().duration_since(oldest).as_secs_f64());
    METRICS.oldest_seconds.set(age);
    let mut text = Vec::new();
    TextEncoder::new().encode(&METRICS.registry.gather(), &mut text)?;
    Ok(text)
}

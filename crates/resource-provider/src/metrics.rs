//! What API and workers count, for Prometheus (resource-provider.md 6.6). Labels are
//! words of ours: no name of a customer's.

use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::Method;
use delivery::away::error_chain;
use jiff::Timestamp;
use prometheus::core::Collector;
use prometheus::{
    Encoder, Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder, exponential_buckets,
};
use tokio::time::timeout;

use crate::documents::OperationDocument;
use crate::store::{Claimed, PendingCount, Store, StoreError};
use crate::worker::{Step, Swept};

static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::new);

struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    request_seconds: HistogramVec,
    last_sweep: Gauge,
    /// Of one number, which can be left out.
    certificates_due: IntGaugeVec,
    store_answers: IntGauge,
    steps: IntCounterVec,
    step_seconds: HistogramVec,
    claims: IntCounterVec,
    operations: IntCounterVec,
    operation_seconds: HistogramVec,
    swept: IntCounterVec,
    orphans: IntGauge,
    pending: IntGaugeVec,
    /// The same.
    oldest_seconds: GaugeVec,
    /// Held by whoever tells what is in the store.
    asked: Mutex<()>,
}

/// How long the store may take to count.
const STORE_LIMIT: Duration = Duration::from_secs(5);

/// Of what has no labels.
const NONE: [&str; 0] = [];

const VALID: &str = "names and labels are fixed, and valid";

impl Metrics {
    fn new() -> Metrics {
        let registry = Registry::new();
        let counter = |name: &str, help: &str, labels: &[&str]| {
            registered(&registry, IntCounterVec::new(Opts::new(name, help), labels))
        };
        let histogram = |name: &str, help: &str, labels: &[&str]| {
            // From 1 ms to about four hours: an operation fails after 90 minutes.
            let buckets = exponential_buckets(0.001, 4.0, 13).expect(VALID);
            registered(&registry, HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets), labels))
        };
        let numbers = |name: &str, help: &str, labels: &[&str]| {
            registered(&registry, IntGaugeVec::new(Opts::new(name, help), labels))
        };
        let number = |name: &str, help: &str| registered(&registry, IntGauge::new(name, help));
        Metrics {
            requests: counter(
                "iot_connector_provider_requests_total",
                "Requests that were answered, by method and status.",
                &["method", "status"],
            ),
            request_seconds: histogram(
                "iot_connector_provider_request_seconds",
                "How long requests took to be answered, by method.",
                &["method"],
            ),
            last_sweep: registered(
                &registry,
                Gauge::new(
                    "iot_connector_provider_last_sweep_timestamp_seconds",
                    "When this worker's sweeper last came to the end of a pass, in seconds since 1970; 0 before.",
                ),
            ),
            certificates_due: numbers(
                "iot_connector_provider_certificates_due",
                "Certificates that are to be renewed by now, when this was asked.",
                &[],
            ),
            store_answers: number(
                "iot_connector_provider_store_answers",
                "Whether the store answered when this was asked; without it what it would tell is left out.",
            ),
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
            orphans: number(
                "iot_connector_provider_orphaned_groups",
                "Resource groups of ours whose resource is gone, at the last pass of this worker's sweeper.",
            ),
            pending: numbers(
                "iot_connector_provider_operations_pending",
                "Operations that have not ended, by status, when this was asked.",
                &["status"],
            ),
            oldest_seconds: registered(
                &registry,
                GaugeVec::new(
                    Opts::new(
                        "iot_connector_provider_oldest_operation_seconds",
                        "How long ago the oldest operation was asked for that has not ended.",
                    ),
                    &[],
                ),
            ),
            asked: Mutex::new(()),
            registry,
        }
    }
}

fn registered<C: Collector + Clone + 'static>(registry: &Registry, collector: prometheus::Result<C>) -> C {
    let collector = collector.expect(VALID);
    registry.register(Box::new(collector.clone())).expect(VALID);
    collector
}

/// Counts a request that was answered. A method that is none of ours is `other`.
pub(crate) fn count_request(method: &Method, status: u16, took: Duration) {
    let known = [Method::GET, Method::HEAD, Method::PUT, Method::PATCH, Method::POST, Method::DELETE];
    let method = if known.contains(method) { method.as_str() } else { "other" };
    METRICS.requests.with_label_values(&[method, status.to_string().as_str()]).inc();
    METRICS.request_seconds.with_label_values(&[method]).observe(took.as_secs_f64());
}

/// Measures one try of a step.
#[derive(Debug)]
#[must_use]
pub(crate) struct Timer {
    step: String,
    attempt: u32,
    since: Instant,
}

impl Timer {
    /// Begins to measure.
    pub(crate) fn start(step: Step, attempt: u32) -> Timer {
        Timer { step: step.name(), attempt, since: Instant::now() }
    }

    /// Counts it.
    pub(crate) fn stop(self, outcome: &str) {
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
pub(crate) fn count_claim(claimed: &Claimed) {
    let (command, kind) = command(&claimed.document);
    let attempt = claimed.attempts.to_string();
    METRICS.claims.with_label_values(&[command, kind, attempt]).inc();
}

/// Counts that an operation ended.
pub(crate) fn count_end(operation: &OperationDocument) {
    let (command, kind) = command(operation);
    let outcome = format!("{:?}", operation.provisioning_status);
    let code = operation.error.as_ref().map_or("", |error| error.code.as_str());
    METRICS.operations.with_label_values(&[command.as_str(), &kind, &outcome, code]).inc();
    let seconds = operation.age().as_secs_f64();
    METRICS.operation_seconds.with_label_values(&[command, kind, outcome]).observe(seconds);
}

/// Counts what a pass of the sweeper did.
pub(crate) fn count_sweep(swept: &Swept) {
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
    METRICS.last_sweep.set(Timestamp::now().as_second() as f64);
}

/// Tells how many groups are nobody's.
pub(crate) fn set_orphans(orphans: usize) {
    METRICS.orphans.set(orphans as i64);
}

/// What the store tells.
struct Stored {
    pending: PendingCount,
    certificates_due: i64,
}

/// All of it, in Prometheus' text format; what is in the store is counted now, and left
/// out when that does not answer.
///
/// # Errors
///
/// [`prometheus::Error`].
pub async fn text(store: &Store) -> Result<Vec<u8>, prometheus::Error> {
    let counting = async {
        let (pending, now) = (store.pending_count().await?, Timestamp::now());
        Ok::<_, StoreError>(Stored { pending, certificates_due: store.certificates_due(now).await? })
    };
    let stored = timeout(STORE_LIMIT, counting).await;
    let stored = stored.unwrap_or_else(|_| Err(StoreError::late("count what waits")));
    let stored = stored.inspect_err(|error| tracing::warn!(error = error_chain(error), "What waits was not counted"));
    // Whoever asks at the same time sets the same.
    let _one = METRICS.asked.lock().unwrap_or_else(PoisonError::into_inner);
    METRICS.set(stored.ok());
    let mut text = Vec::new();
    TextEncoder::new().encode(&METRICS.registry.gather(), &mut text)?;
    Ok(text)
}

impl Metrics {
    fn set(&self, stored: Option<Stored>) {
        self.store_answers.set(i64::from(stored.is_some()));
        self.pending.reset();
        self.oldest_seconds.reset();
        self.certificates_due.reset();
        let Some(Stored { pending, certificates_due }) = stored else { return };
        self.pending.with_label_values(&["Requested"]).set(pending.requested);
        self.pending.with_label_values(&["Running"]).set(pending.running);
        let age = pending.oldest.map(|oldest| Timestamp::now().duration_since(oldest));
        self.oldest_seconds.with_label_values(&NONE).set(age.map_or(0.0, |age| age.as_secs_f64()));
        self.certificates_due.with_label_values(&NONE).set(certificates_due);
    }
}

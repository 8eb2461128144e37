//! What the operator counts, for Prometheus.

use std::sync::LazyLock;
use std::time::Instant;

use prometheus::{Encoder, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts, Registry, TextEncoder};

static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::new);

struct Metrics {
    registry: Registry,
    reconciliations: IntCounterVec,
    seconds: HistogramVec,
    leader: IntGauge,
    lag_readings: IntCounterVec,
}

impl Metrics {
    fn new() -> Metrics {
        const VALID: &str = "names and labels are fixed, and valid";
        let counter =
            |name: &str, help: &str, labels: &[&str]| IntCounterVec::new(Opts::new(name, help), labels).expect(VALID);
        let reconciliations = counter(
            "iot_connector_operator_reconciliations_total",
            "Reconciliations, by resource and result.",
            &["resource", "result"],
        );
        let lag_readings =
            counter("iot_connector_operator_lag_readings_total", "Readings of the lag, by result.", &["result"]);
        let options = HistogramOpts::new(
            "iot_connector_operator_reconcile_seconds",
            "How long a reconciliation took, by resource.",
        );
        let seconds = HistogramVec::new(options, &["resource"]).expect(VALID);
        let leader = IntGauge::new("iot_connector_operator_leader", "1 while this replica is the one that writes.")
            .expect(VALID);
        let registry = Registry::new();
        registry.register(Box::new(reconciliations.clone())).expect(VALID);
        registry.register(Box::new(seconds.clone())).expect(VALID);
        registry.register(Box::new(leader.clone())).expect(VALID);
        registry.register(Box::new(lag_readings.clone())).expect(VALID);
        Metrics { registry, reconciliations, seconds, leader, lag_readings }
    }
}

/// Measures one reconciliation.
#[must_use]
pub struct Timer {
    resource: String,
    since: Instant,
}

/// Begins to measure a reconciliation of a resource.
pub fn start(resource: &str) -> Timer {
    Timer { resource: resource.to_owned(), since: Instant::now() }
}

impl Timer {
    /// Counts it.
    pub fn stop(self, went_well: bool) {
        let result = if went_well { "success" } else { "error" };
        METRICS.reconciliations.with_label_values(&[self.resource.as_str(), result]).inc();
        METRICS.seconds.with_label_values(&[self.resource.as_str()]).observe(self.since.elapsed().as_secs_f64());
    }
}

/// Says whether this replica writes.
pub fn set_leader(is_leader: bool) {
    METRICS.leader.set(i64::from(is_leader));
}

/// Counts a reading of the lag.
pub fn count_lag_reading(went_well: bool) {
    METRICS.lag_readings.with_label_values(&[if went_well { "success" } else { "error" }]).inc();
}

/// All of it, in Prometheus' text format.
pub fn text() -> Result<Vec<u8>, prometheus::Error> {
    let mut text = Vec::new();
    TextEncoder::new().encode(&METRICS.registry.gather(), &mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_reconciliations() {
        start("Test").stop(true);
        start("Test").stop(false);
        set_leader(true);
        count_lag_reading(true);
        let text = String::from_utf8(text().unwrap()).unwrap();
        for line in [
            "iot_connector_operator_reconciliations_total{resource=\"Test\",result=\"error\"} 1",
            "iot_connector_operator_reconciliations_total{resource=\"Test\",result=\"success\"} 1",
            "iot_connector_operator_reconcile_seconds_count{resource=\"Test\"} 2",
            "iot_connector_operator_leader 1",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}

//! Partitions, their windows and their checkpoints: for the front that has
//! them.

use std::time::{Duration, Instant};

use delivery::Stage;
use opentelemetry::KeyValue;

use super::table::{self, Metric};
use super::{instruments, traffic};

fn operation(stage: Stage) -> &'static str {
    match stage {
        Stage::Normalize => "Normalization",
        Stage::GroupConvert => "FHIRConversion",
    }
}

/// This process reads the partition from now on.
pub fn partition_acquired(stage: Stage, partition: &str) {
    let Some(metrics) = instruments() else { return };
    let owned = {
        let mut partitions = metrics.partitions.lock();
        partitions.entry(partition.to_owned()).or_default().stage = stage.as_str();
        partitions.len()
    };
    metrics.set(&table::PARTITIONS_OWNED, owned as f64, vec![KeyValue::new("stage", stage.as_str())]);
    let metric = table::PARTITION_INITIALIZED;
    metrics.count(&metric, 1, traffic(metric.name, "Traffic", operation(stage), partition));
}

/// The partition is another's, or nobody's; its lag and its window are not told
/// any more.
pub fn partition_released(stage: Stage, partition: &str) {
    let Some(metrics) = instruments() else { return };
    let owned = {
        let mut partitions = metrics.partitions.lock();
        partitions.remove(partition);
        partitions.len()
    };
    metrics.set(&table::PARTITIONS_OWNED, owned as f64, vec![KeyValue::new("stage", stage.as_str())]);
}

/// How many events of an owned partition wait: the last sequence number of the
/// hub less that of the checkpoint.
pub fn partition_lag(partition: &str, events: u64) {
    let Some(metrics) = instruments() else { return };
    if let Some(partition) = metrics.partitions.lock().get_mut(partition) {
        partition.lag = Some(events);
    }
}

/// The first event of a window of an owned partition came in just now.
pub fn window_opened(partition: &str) {
    let Some(metrics) = instruments() else { return };
    if let Some(partition) = metrics.partitions.lock().get_mut(partition) {
        partition.window_opened = Some(Instant::now());
    }
}

/// A window was closed because of `reason` (a name from a list: `events`,
/// `time`, `bytes`, …), and all its events have their fates; `took` is the time
/// since it was closed.
pub fn window_flushed(stage: Stage, partition: &str, reason: &'static str, events: usize, took: Duration) {
    let Some(metrics) = instruments() else { return };
    if let Some(partition) = metrics.partitions.lock().get_mut(partition) {
        partition.window_opened = None;
    }
    let attributes = [("stage", stage.as_str().to_owned()), ("partition", partition.to_owned())];
    let mut attributes: Vec<_> = attributes.into_iter().map(|(name, value)| KeyValue::new(name, value)).collect();
    attributes.push(KeyValue::new("reason", reason));
    metrics.count(&table::WINDOWS, 1, attributes);
    let dimensions = |metric: &Metric| traffic(metric.name, "Traffic", operation(stage), partition);
    metrics.count(&table::EVENTS_FLUSHED, events, dimensions(&table::EVENTS_FLUSHED));
    let milliseconds = took.as_secs_f64() * 1000.0;
    metrics.record(&table::BATCH_FLUSH_DURATION, milliseconds, dimensions(&table::BATCH_FLUSH_DURATION));
}

/// A checkpoint was written, which took so long.
pub fn checkpoint_written(stage: Stage, partition: &str, took: Duration) {
    let Some(metrics) = instruments() else { return };
    let dimensions = |metric: &Metric, category| traffic(metric.name, category, operation(stage), partition);
    let (watermark, duration) = (table::EVENTS_WATERMARK, table::CHECKPOINT_DURATION);
    metrics.count(&watermark, 1, dimensions(&watermark, "Latency"));
    metrics.record(&duration, took.as_secs_f64() * 1000.0, dimensions(&duration, "Traffic"));
}

/// The last event that has its fate reached the hub so long ago.
pub fn event_processed(stage: Stage, partition: &str, freshness: Duration) {
    let Some(metrics) = instruments() else { return };
    let metric = table::EVENT_FRESHNESS;
    let dimensions = traffic(metric.name, "Latency", operation(stage), partition);
    metrics.set(&metric, freshness.as_secs_f64() * 1000.0, dimensions);
}

/// Events waited and none came, so that `scope`, `partition` or `process`, is
/// restarted.
pub fn watchdog_restarted(stage: Stage, scope: &'static str) {
    let Some(metrics) = instruments() else { return };
    let attributes = vec![KeyValue::new("stage", stage.as_str()), KeyValue::new("scope", scope)];
    metrics.count(&table::WATCHDOG_RESTARTS, 1, attributes);
}

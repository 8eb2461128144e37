//! Partitions, their windows and their checkpoints, as the delivery loop tells
//! of them.

use std::time::{Duration, Instant};

use delivery::{Flush, Observer, Source, Stage, WindowState};
use opentelemetry::KeyValue;

use super::instruments::Partition;
use super::table::{self, Metric};
use super::{instruments, traffic};

/// Counts what the delivery loop of a stage tells.
#[derive(Clone, Copy, Debug)]
pub struct LoopMetrics(pub Stage);

impl LoopMetrics {
    fn operation(self) -> &'static str {
        match self.0 {
            Stage::Normalize => "Normalization",
            Stage::GroupConvert => "FHIRConversion",
        }
    }

    fn dimensions(self, metric: &Metric, category: &'static str, source: &Source) -> Vec<KeyValue> {
        traffic(metric.name, category, self.operation(), &source.partition)
    }

    fn of_partition(self, source: &Source) -> Vec<KeyValue> {
        vec![KeyValue::new("stage", self.0.as_str()), KeyValue::new("partition", source.partition.clone())]
    }

    /// Changes what is known of a partition.
    fn know(self, source: &Source, change: impl FnOnce(&mut Partition)) {
        let Some(metrics) = instruments() else { return };
        let mut partitions = metrics.partitions.lock();
        let partition = partitions.entry(source.partition.clone()).or_insert_with(|| Partition::new(self.0.as_str()));
        partition.heard_of = Instant::now();
        change(partition);
    }
}

impl Observer for LoopMetrics {
    fn flushed(&self, source: &Source, flush: Flush) {
        let Some(metrics) = instruments() else { return };
        self.know(source, |partition| partition.window_opened = None);
        let mut attributes = self.of_partition(source);
        attributes.push(KeyValue::new("reason", flush.why.as_str()));
        metrics.count(&table::WINDOWS, 1, attributes);
        let (events, duration) = (table::EVENTS_FLUSHED, table::BATCH_FLUSH_DURATION);
        metrics.count(&events, flush.events, self.dimensions(&events, "Traffic", source));
        metrics.record(&duration, milliseconds(flush.duration), self.dimensions(&duration, "Traffic", source));
        if flush.checkpoint.is_some() {
            let (watermark, duration) = (table::EVENTS_WATERMARK, table::CHECKPOINT_DURATION);
            metrics.count(&watermark, 1, self.dimensions(&watermark, "Latency", source));
            let took = milliseconds(flush.checkpoint_duration);
            metrics.record(&duration, took, self.dimensions(&duration, "Traffic", source));
        }
    }

    fn window(&self, source: &Source, window: WindowState) {
        let opened = || Instant::now().checked_sub(window.age);
        self.know(source, |partition| partition.window_opened = if window.events > 0 { opened() } else { None });
    }

    fn waits(&self, source: &Source, dependency: &'static str) {
        // Counted where the batch is worked on ([`super::away`]), which knows how
        // long it took.
        let _ = (source, dependency);
    }

    fn lag(&self, source: &Source, events: u64) {
        self.know(source, |partition| partition.lag = Some((events, Instant::now())));
    }

    fn expired(&self, source: &Source, events: u64) {
        let Some(metrics) = instruments() else { return };
        let events = usize::try_from(events).unwrap_or(usize::MAX);
        metrics.count(&table::EVENTS_EXPIRED, events, self.of_partition(source));
    }

    fn restarted(&self, source: &Source) {
        let Some(metrics) = instruments() else { return };
        metrics.count(&table::WATCHDOG_RESTARTS, 1, self.of_partition(source));
    }

    fn owned(&self, partitions: usize) {
        let Some(metrics) = instruments() else { return };
        metrics.set(&table::PARTITIONS_OWNED, partitions as f64, vec![KeyValue::new("stage", self.0.as_str())]);
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

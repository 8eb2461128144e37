//! What became of batches, of windows and of what was in them.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::time::{Duration, Instant, SystemTime};

use delivery::reference_metrics;
use delivery::{Batch, Conversion, EventFate, Imbalance, Normalization, Notice, Stage, Tally, TemplateCount, Unparked};
use opentelemetry::KeyValue;

use super::instruments::Instruments;
use super::table::{self, Metric};
use super::{instruments, of_partition, traffic};
use crate::rate::RateLimit;

const NORMALIZATION: &str = "Normalization";
const FHIR_CONVERSION: &str = "FHIRConversion";

/// Where the mapping has no template, or more than one fits in no name.
const OTHER: &str = "other";

/// What an imbalance is logged at most: it repeats with each batch.
static IMBALANCES: RateLimit = RateLimit::new(1);

/// A batch that normalize is through with.
#[derive(Clone, Copy, Debug)]
pub struct NormalizedBatch<'b> {
    /// What came in.
    pub batch: &'b Batch<'b>,
    /// What became of it.
    pub done: &'b Normalization,
    /// How long it took, sending included.
    pub took: Duration,
}

/// Counts a batch of normalize, and checks that it adds up.
pub fn normalized(batch: NormalizedBatch<'_>) {
    let NormalizedBatch { batch, done, took } = batch;
    check(Stage::Normalize, done.check(batch.events.len()));
    let Some(metrics) = instruments() else { return };
    let partition = batch.source.partition.as_str();
    let stage = Stage::Normalize.as_str();
    let tally = Tally::of_events(&done.events);
    for (fate, events) in [("normalized", tally.normalized), ("unmatched", tally.unmatched)] {
        if events > 0 {
            count_events(metrics, (fate, None), events, partition);
        }
    }
    for (reason, events) in reasons(done.events.iter().filter_map(EventFate::reason).map(|reason| &*reason.code)) {
        count_events(metrics, ("rejected", Some(reason)), events, partition);
        count_reason(metrics, reason, events);
    }
    count_templates(metrics, stage, &done.templates);
    metrics.record(&table::BATCH_DURATION, took.as_secs_f64(), outcome(stage, "done"));

    let count = |metric: &Metric, by: usize| {
        metrics.count(metric, by, traffic(metric.name, "Traffic", NORMALIZATION, partition));
    };
    count(&table::DEVICE_EVENT, tally.events);
    count(&table::NORMALIZED_EVENT, tally.measurements);
    let without = |fate: &&EventFate| match fate {
        EventFate::Unmatched => true,
        EventFate::Normalized { measurements } | EventFate::Rejected { measurements, .. } => *measurements == 0,
    };
    count(&table::DROPPED_EVENT, done.events.iter().filter(without).count());
    let record = |metric: &Metric, category, value| {
        metrics.record(metric, value, traffic(metric.name, category, NORMALIZATION, partition));
    };
    record(&table::MEASUREMENT_BATCH_SIZE, "Traffic", tally.measurements as f64);
    record(&table::NORMALIZATION_TIME, "Traffic", milliseconds(took));
    let oldest = batch.events.iter().map(|event| event.enqueued_time.unix_milliseconds()).min();
    if let Some(latency) = oldest.and_then(since) {
        record(&table::DEVICE_EVENT_LATENCY, "Latency", latency.as_secs_f64());
        record(&table::DEVICE_EVENT_LATENCY_MS, "Latency", milliseconds(latency));
    }
}

/// Counts a batch or window of group-convert, and checks that it adds up.
pub fn converted(batch: &Batch<'_>, done: &Conversion, took: Duration) {
    check(Stage::GroupConvert, done.check());
    let Some(metrics) = instruments() else { return };
    let partition = batch.source.partition.as_str();
    let stage = Stage::GroupConvert.as_str();
    count_templates(metrics, stage, &done.templates);
    let rejected = done.templates.iter().filter_map(|count| Some((count.reason.as_deref()?, count.measurements)));
    for (reason, measurements) in rejected {
        count_reason(metrics, reason, measurements);
    }
    metrics.record(&table::BATCH_DURATION, took.as_secs_f64(), outcome(stage, "done"));
    let of_stage = || vec![KeyValue::new("stage", stage)];
    metrics.count(&table::OBSERVATIONS_WITHOUT_VALUE, done.without_value, of_stage());
    metrics.count(&table::PATIENTS_DIFFERING, done.patients_differing, of_stage());

    let count = |metric: &Metric, name, by: usize| {
        if by > 0 {
            metrics.count(metric, by, traffic(name, "Traffic", FHIR_CONVERSION, partition));
        }
    };
    count(&table::MEASUREMENT, table::MEASUREMENT.name, done.received);
    count(&table::MEASUREMENT_GROUP, table::MEASUREMENT_GROUP.name, done.groups);
    for (outcome, observations) in [
        (delivery::SaveOutcome::Created, done.saved.created),
        (delivery::SaveOutcome::Merged, done.saved.merged),
        (delivery::SaveOutcome::Unchanged, done.saved.unchanged),
    ] {
        if let Some(name) = reference_metrics::saved(&outcome) {
            count(&table::FHIR_RESOURCE_SAVED, name, observations);
        }
    }
    if let Some(latency) = done.oldest_ingestion.and_then(|time| since(time.unix_milliseconds())) {
        let record = |metric: &Metric, value| {
            metrics.record(metric, value, traffic(metric.name, "Latency", FHIR_CONVERSION, partition));
        };
        record(&table::INGESTION_LATENCY, latency.as_secs_f64());
        record(&table::INGESTION_LATENCY_MS, milliseconds(latency));
    }
}

/// Counts what was parked and has its end now.
pub fn unparked(unparked: &Unparked) {
    let Some(metrics) = instruments() else { return };
    let Unparked { ended, waiting, .. } = unparked;
    let by_fate = [
        ("created", ended.created),
        ("merged", ended.merged),
        ("unchanged", ended.unchanged),
        ("superseded", ended.superseded),
        ("rejected", ended.rejected),
    ];
    for (fate, measurements) in by_fate.into_iter().filter(|(_, measurements)| *measurements > 0) {
        metrics.count(&table::PARKED_ENDED, measurements, vec![KeyValue::new("fate", fate)]);
    }
    metrics.set(&table::PARKED_WAITING, *waiting as f64, Vec::new());
}

/// Counts a batch that is to be given again, because `dependency` was away.
pub fn away(stage: Stage, dependency: &'static str, took: Duration) {
    let Some(metrics) = instruments() else { return };
    metrics.record(&table::BATCH_DURATION, took.as_secs_f64(), outcome(stage.as_str(), "away"));
    let attributes = vec![KeyValue::new("stage", stage.as_str()), KeyValue::new("dependency", dependency)];
    metrics.count(&table::DEPENDENCY_AWAY, 1, attributes);
    let operation = if stage == Stage::Normalize { NORMALIZATION } else { FHIR_CONVERSION };
    let dimensions = vec![
        KeyValue::new("Name", "Away"),
        KeyValue::new("Category", "Errors"),
        KeyValue::new("ErrorType", "GeneralError"),
        KeyValue::new("ErrorSeverity", "Warning"),
        KeyValue::new("Operation", operation),
    ];
    metrics.count(&table::UNHANDLED, 1, dimensions);
}

/// Says which version of its mapping a stage works with, and counts a newer one
/// that cannot be used.
pub fn mapping_in_use(stage: Stage, version: &str, notice: &Notice) {
    let Some(metrics) = instruments() else { return };
    if matches!(notice, Notice::KeptLastGood { .. }) {
        metrics.count(&table::MAPPING_REFUSED, 1, vec![KeyValue::new("stage", stage.as_str())]);
    }
    let mut current = metrics.mapping.lock().unwrap_or_else(PoisonError::into_inner);
    if current.as_deref() == Some(version) {
        return;
    }
    let of = |version: &str| vec![KeyValue::new("stage", stage.as_str()), KeyValue::new("version", version.to_owned())];
    if let Some(before) = current.replace(version.to_owned()) {
        metrics.set(&table::MAPPING, 0.0, of(&before));
    }
    metrics.set(&table::MAPPING, 1.0, of(version));
}

/// design.md 2.2: what came in is the sum of the fates. When it is not, that is
/// said, in the log and by a metric of its own, and the batch goes on.
fn check(stage: Stage, checked: Result<(), Imbalance>) {
    let violated = usize::from(checked.is_err());
    if let Err(imbalance) = checked
        && let Some(not_shown) = IMBALANCES.take(Instant::now())
    {
        tracing::error!(
            stage = stage.as_str(),
            what = imbalance.what,
            received = imbalance.received,
            accounted = imbalance.accounted,
            batches.not_shown = not_shown,
            "The fates of a batch do not add up to what came in: a defect of the connector"
        );
    }
    if let Some(metrics) = instruments() {
        // 0 too: an alert needs a series to look at.
        metrics.count(&table::CONSERVATION_VIOLATIONS, violated, vec![KeyValue::new("stage", stage.as_str())]);
    }
}

fn count_events(metrics: &Instruments, fate: (&'static str, Option<&str>), events: usize, partition: &str) {
    let mut attributes = vec![KeyValue::new("stage", Stage::Normalize.as_str()), KeyValue::new("fate", fate.0)];
    attributes.extend(fate.1.map(|reason| KeyValue::new("reason", reason.to_owned())));
    attributes.extend(of_partition("partition", partition));
    metrics.count(&table::EVENTS, events, attributes);
}

fn count_templates(metrics: &Instruments, stage: &'static str, counts: &[TemplateCount]) {
    for TemplateCount { template, fate, reason, measurements } in counts {
        let template = template.clone().unwrap_or_else(|| OTHER.to_owned());
        let mut attributes =
            vec![KeyValue::new("stage", stage), KeyValue::new("template", template), KeyValue::new("fate", *fate)];
        attributes.extend(reason.as_deref().map(|reason| KeyValue::new("reason", reason.to_owned())));
        metrics.count(&table::MEASUREMENTS, *measurements, attributes);
    }
}

/// Counts a reason as the reference connector does, if it knows it.
fn count_reason(metrics: &Instruments, reason: &str, by: usize) {
    let Some(record) = reference_metrics::of_reason(reason) else { return };
    let dimensions = record.metric.dimensions();
    let dimensions = dimensions.into_iter().map(|(name, value)| KeyValue::new(name, value.to_owned()));
    metrics.count_error(&record.metric.name, by, dimensions.collect());
}

fn reasons<'r>(codes: impl Iterator<Item = &'r str>) -> BTreeMap<&'r str, usize> {
    codes.fold(BTreeMap::new(), |mut counts, code| {
        *counts.entry(code).or_default() += 1;
        counts
    })
}

fn outcome(stage: &'static str, outcome: &'static str) -> Vec<KeyValue> {
    vec![KeyValue::new("stage", stage), KeyValue::new("outcome", outcome)]
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// How long ago a time was; none for one that is yet to come, by the clock here.
fn since(unix_milliseconds: i64) -> Option<Duration> {
    let time = SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(unix_milliseconds).ok()?);
    SystemTime::now().duration_since(time).ok()
}

//! Every metric: its name, what it counts by, and what it is. `docs/metrics.md`
//! is written from this list (`UPDATE_EXPECT=1 cargo test -p telemetry`).

/// How a metric adds up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// What it is now.
    Gauge,
    /// How often which size.
    Histogram,
}

impl Kind {
    /// Its name, as in the documentation.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

/// A metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its name in OpenTelemetry.
    pub name: &'static str,
    /// How it adds up.
    pub kind: Kind,
    /// Its unit by UCUM; none for those of the reference connector, whose names
    /// say it.
    pub unit: &'static str,
    /// What it is counted by, beside `connector`.
    pub attributes: &'static [&'static str],
    /// What it is, in a sentence.
    pub about: &'static str,
}

const fn counter(
    name: &'static str,
    unit: &'static str,
    attributes: &'static [&'static str],
    about: &'static str,
) -> Metric {
    Metric { name, kind: Kind::Counter, unit, attributes, about }
}

const fn gauge(
    name: &'static str,
    unit: &'static str,
    attributes: &'static [&'static str],
    about: &'static str,
) -> Metric {
    Metric { name, kind: Kind::Gauge, unit, attributes, about }
}

const fn histogram(
    name: &'static str,
    unit: &'static str,
    attributes: &'static [&'static str],
    about: &'static str,
) -> Metric {
    Metric { name, kind: Kind::Histogram, unit, attributes, about }
}

pub(crate) const EVENTS: Metric = counter(
    "iotc.events",
    "{event}",
    &["stage", "fate", "reason", "partition"],
    "Events of the customer's hub by their fate: `normalized`, `unmatched` or `rejected`; `reason` for the rejected.",
);
pub(crate) const MEASUREMENTS: Metric = counter(
    "iotc.measurements",
    "{measurement}",
    &["stage", "template", "fate", "reason"],
    "Measurements by template and fate: `sent` in normalize; `created`, `merged`, `unchanged`, `superseded`, \
     `rejected` or `parked` in group-convert, there with `template` `other` for what the FHIR mapping has no template \
     for.",
);
pub(crate) const PARKED_ENDED: Metric = counter(
    "iotc.parked.ended",
    "{measurement}",
    &["fate"],
    "Measurements that were parked and have their end now: `created`, `merged`, `superseded`, or `rejected` when they \
     were unknown for too long.",
);
pub(crate) const PARKED_WAITING: Metric = gauge(
    "iotc.parked.waiting",
    "{measurement}",
    &[],
    "Measurements that were still parked when they were last looked for.",
);
pub(crate) const OBSERVATIONS_WITHOUT_VALUE: Metric = counter(
    "iotc.observations.without_value",
    "{observation}",
    &["stage"],
    "Observations that got no value, because the FHIR mapping names none of their properties.",
);
pub(crate) const PATIENTS_DIFFERING: Metric = counter(
    "iotc.groups.patient_differing",
    "{group}",
    &["stage"],
    "Groups whose messages name another patient than their device does.",
);
pub(crate) const CONSERVATION_VIOLATIONS: Metric = counter(
    "iotc.conservation_violations",
    "{batch}",
    &["stage"],
    "Batches whose fates do not add up to what came in: a defect of the connector. Alert when it is not 0.",
);
pub(crate) const BATCH_DURATION: Metric = histogram(
    "iotc.batch.duration",
    "s",
    &["stage", "outcome"],
    "How long a batch or window took; outcome `done`, or `away` when a dependency was and it is to be given again.",
);
pub(crate) const DEPENDENCY_AWAY: Metric = counter(
    "iotc.dependency.away",
    "{batch}",
    &["stage", "dependency"],
    "Batches that are to be given again, by what was away: a dependency, or `a usable mapping`.",
);
pub(crate) const MAPPING: Metric = gauge(
    "iotc.mapping",
    "{mapping}",
    &["stage", "version"],
    "1 for the version of the mapping in use, 0 for those that were before it.",
);
pub(crate) const MAPPING_REFUSED: Metric = counter(
    "iotc.mapping.refused",
    "{version}",
    &["stage"],
    "New versions of the mapping that have errors, while the last good one stays in use.",
);
pub(crate) const PARTITION_LAG: Metric = gauge(
    "iotc.partition.lag",
    "{event}",
    &["stage", "partition"],
    "Events of an owned partition that wait: behind the last one that has its fate and is checkpointed.",
);
pub(crate) const EVENTS_EXPIRED: Metric = counter(
    "iotc.events.expired",
    "{event}",
    &["stage", "partition"],
    "Events that were gone from the hub before they were read: lost. Alert when it grows.",
);
pub(crate) const WINDOW_AGE: Metric =
    gauge("iotc.window.age", "s", &["stage", "partition"], "How long ago the first event of an open window came in.");
pub(crate) const WINDOWS: Metric = counter(
    "iotc.windows",
    "{window}",
    &["stage", "partition", "reason"],
    "Windows that were closed, by what closed them.",
);
pub(crate) const PARTITIONS_OWNED: Metric =
    gauge("iotc.partitions.owned", "{partition}", &["stage"], "Partitions that this process reads.");
pub(crate) const WATCHDOG_RESTARTS: Metric = counter(
    "iotc.watchdog.restarts",
    "{restart}",
    &["stage", "partition"],
    "How often events waited in the hub and none came, so that a partition was opened anew.",
);
pub(crate) const FHIR_DURATION: Metric = histogram(
    "iotc.fhir.request.duration",
    "s",
    &["kind", "status"],
    "Requests to the FHIR server by kind (`read`, `search`, `history`, `write`, `batch`, `capabilities`) and class of \
     status (`2xx` to `5xx`, or `none` without an answer).",
);
pub(crate) const FHIR_THROTTLED: Metric = counter(
    "iotc.fhir.throttled",
    "{request}",
    &["status"],
    "Answers of the FHIR server that say it has too much to do (429, 503).",
);
pub(crate) const FHIR_CONCURRENCY: Metric = gauge(
    "iotc.fhir.concurrency",
    "{request}",
    &[],
    "How many requests to the FHIR server may be under way at once now; less than allowed after throttling.",
);

/// What the reference connector counts everything of its own by.
const TRAFFIC: &[&str] = &["Name", "Category", "Operation", "Identifier"];

pub(crate) const DEVICE_EVENT: Metric = counter("DeviceEvent", "", TRAFFIC, "Events received, once per attempt.");
pub(crate) const NORMALIZED_EVENT: Metric =
    counter("NormalizedEvent", "", TRAFFIC, "Measurements made and sent to the internal hub.");
pub(crate) const DROPPED_EVENT: Metric = counter("DroppedEvent", "", TRAFFIC, "Events that gave no measurement.");
pub(crate) const MEASUREMENT_BATCH_SIZE: Metric =
    histogram("MeasurementBatchSize", "", TRAFFIC, "Measurements of a batch, 0 included.");
pub(crate) const NORMALIZATION_TIME: Metric =
    histogram("NormalizationTimePerBatchMs", "", TRAFFIC, "Milliseconds for a batch, sending included.");
pub(crate) const DEVICE_EVENT_LATENCY: Metric = histogram(
    "DeviceEventProcessingLatency",
    "",
    TRAFFIC,
    "Seconds from the hub to here, of the oldest event of each batch (the reference connector: of each event).",
);
pub(crate) const DEVICE_EVENT_LATENCY_MS: Metric =
    histogram("DeviceEventProcessingLatencyMs", "", TRAFFIC, "The same in milliseconds (there in seconds: a defect).");
pub(crate) const MEASUREMENT: Metric = counter("Measurement", "", TRAFFIC, "Measurements received by group-convert.");
pub(crate) const MEASUREMENT_GROUP: Metric =
    counter("MeasurementGroup", "", TRAFFIC, "Groups of measurements of the same device, type and patient.");
pub(crate) const INGESTION_LATENCY: Metric = histogram(
    "MeasurementIngestionLatency",
    "",
    TRAFFIC,
    "Seconds from the customer's hub to the Observation, of the oldest measurement of each batch.",
);
pub(crate) const INGESTION_LATENCY_MS: Metric =
    histogram("MeasurementIngestionLatencyMs", "", TRAFFIC, "The same in milliseconds.");
pub(crate) const FHIR_RESOURCE_SAVED: Metric = counter(
    "FhirResourceSaved",
    "",
    TRAFFIC,
    "Observations saved; `Name` is `ObservationCreated`, `ObservationUpdated` or `ObservationNoOperation`.",
);
pub(crate) const EVENTS_FLUSHED: Metric = counter("EventsFlushed", "", TRAFFIC, "Events of the windows closed.");
pub(crate) const BATCH_FLUSH_DURATION: Metric =
    histogram("BatchFlushDurationMs", "", TRAFFIC, "Milliseconds for a window, from its close to its last fate.");
pub(crate) const CHECKPOINT_DURATION: Metric =
    histogram("CheckpointUpdateDurationMs", "", TRAFFIC, "Milliseconds to write a checkpoint.");
pub(crate) const EVENTS_WATERMARK: Metric = counter("EventsWatermarkUpdated", "", TRAFFIC, "Checkpoints written.");
pub(crate) const UNHANDLED: Metric = counter(
    "UnhandledException",
    "",
    &["Name", "Category", "ErrorType", "ErrorSeverity", "Operation"],
    "Batches that are to be given again.",
);

/// All metrics with a name of their own. Beside these, each reason with a
/// counterpart in the reference connector counts that one's error metric.
pub const ALL: [&Metric; 37] = [
    &EVENTS,
    &MEASUREMENTS,
    &PARKED_ENDED,
    &PARKED_WAITING,
    &OBSERVATIONS_WITHOUT_VALUE,
    &PATIENTS_DIFFERING,
    &CONSERVATION_VIOLATIONS,
    &BATCH_DURATION,
    &DEPENDENCY_AWAY,
    &MAPPING,
    &MAPPING_REFUSED,
    &PARTITION_LAG,
    &EVENTS_EXPIRED,
    &WINDOW_AGE,
    &WINDOWS,
    &PARTITIONS_OWNED,
    &WATCHDOG_RESTARTS,
    &FHIR_DURATION,
    &FHIR_THROTTLED,
    &FHIR_CONCURRENCY,
    &DEVICE_EVENT,
    &NORMALIZED_EVENT,
    &DROPPED_EVENT,
    &MEASUREMENT_BATCH_SIZE,
    &NORMALIZATION_TIME,
    &DEVICE_EVENT_LATENCY,
    &DEVICE_EVENT_LATENCY_MS,
    &MEASUREMENT,
    &MEASUREMENT_GROUP,
    &INGESTION_LATENCY,
    &INGESTION_LATENCY_MS,
    &FHIR_RESOURCE_SAVED,
    &EVENTS_FLUSHED,
    &BATCH_FLUSH_DURATION,
    &CHECKPOINT_DURATION,
    &EVENTS_WATERMARK,
    &UNHANDLED,
];

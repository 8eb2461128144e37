//! The instruments, each made from its row of the table.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge, Histogram, Meter, MeterProvider};
use opentelemetry_sdk::metrics::SdkMeterProvider;

use super::table::{self, Metric};

/// Seconds of a batch, a window or a request: from what a cache answers in to
/// the longest that one may take.
const SECONDS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 300.0];

/// Seconds from the device's hub to here: a window may be five minutes, a
/// backlog days.
const LATENCY_SECONDS: [f64; 11] = [0.1, 0.5, 1.0, 5.0, 30.0, 60.0, 300.0, 600.0, 3600.0, 21600.0, 86400.0];

const SIZES: [f64; 9] = [0.0, 1.0, 10.0, 100.0, 300.0, 1000.0, 3000.0, 10_000.0, 100_000.0];

/// How long a partition is told of after it was last heard of: several times
/// the period in which the delivery loop tells of the ones that it owns.
const HEARD_OF_LIMIT: Duration = Duration::from_secs(120);

/// What is known of a partition.
#[derive(Debug)]
pub(super) struct Partition {
    pub(super) stage: &'static str,
    /// When there was last anything to know.
    pub(super) heard_of: Instant,
    /// And when it was that.
    pub(super) lag: Option<(u64, Instant)>,
    pub(super) window_opened: Option<Instant>,
}

impl Partition {
    pub(super) fn new(stage: &'static str) -> Partition {
        Partition { stage, heard_of: Instant::now(), lag: None, window_opened: None }
    }
}

/// By partition. One that is another's now is told of for a while and then no
/// more.
#[derive(Clone, Debug, Default)]
pub(super) struct Partitions(Arc<Mutex<BTreeMap<String, Partition>>>);

impl Partitions {
    pub(super) fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Partition>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
pub(super) struct Instruments {
    meter: Meter,
    /// `connector`, if it has a name.
    base: Vec<KeyValue>,
    counters: HashMap<&'static str, Counter<u64>>,
    histograms: HashMap<&'static str, Histogram<f64>>,
    gauges: HashMap<&'static str, Gauge<f64>>,
    /// Error metrics of the reference connector, made when they are first met.
    errors: Mutex<HashMap<String, Counter<u64>>>,
    pub(super) partitions: Partitions,
    /// The version of the mapping in use, to say 0 for when another follows.
    pub(super) mapping: Mutex<Option<String>>,
}

impl Instruments {
    pub(super) fn new(provider: &SdkMeterProvider, connector: Option<String>) -> Instruments {
        let meter = provider.meter("iot-connector");
        let mut instruments = Instruments {
            base: connector.into_iter().map(|name| KeyValue::new("connector", name)).collect(),
            counters: HashMap::new(),
            histograms: HashMap::new(),
            gauges: HashMap::new(),
            errors: Mutex::default(),
            partitions: Partitions::default(),
            mapping: Mutex::default(),
            meter,
        };
        for metric in table::ALL {
            instruments.add(metric);
        }
        instruments
    }

    fn add(&mut self, metric: &'static Metric) {
        let Metric { name, unit, about, .. } = *metric;
        match metric.kind {
            table::Kind::Counter => {
                let counter = self.meter.u64_counter(name).with_unit(unit).with_description(about).build();
                self.counters.insert(name, counter);
            }
            table::Kind::Histogram => {
                let histogram = self.meter.f64_histogram(name).with_unit(unit).with_description(about);
                self.histograms.insert(name, histogram.with_boundaries(boundaries(metric)).build());
            }
            table::Kind::Gauge if is_observed(metric) => self.observe(metric),
            table::Kind::Gauge => {
                let gauge = self.meter.f64_gauge(name).with_unit(unit).with_description(about).build();
                self.gauges.insert(name, gauge);
            }
        }
    }

    /// Lag and age are read when somebody asks, for the partitions that were
    /// heard of lately: a gauge would go on telling what it was told last.
    fn observe(&self, metric: &'static Metric) {
        let (partitions, base) = (self.partitions.clone(), self.base.clone());
        let value = |partition: &Partition| {
            let fresh = |told: &Instant| told.elapsed() < HEARD_OF_LIMIT;
            let lag = || Some(partition.lag.filter(|(_, told)| fresh(told))?.0 as f64);
            let age = || Some(partition.window_opened?.elapsed().as_secs_f64());
            if metric.name == table::PARTITION_LAG.name { lag() } else { age() }
        };
        let gauge = self.meter.f64_observable_gauge(metric.name).with_unit(metric.unit).with_description(metric.about);
        let gauge = gauge.with_callback(move |observer| {
            let mut partitions = partitions.lock();
            partitions.retain(|_, partition| partition.heard_of.elapsed() < HEARD_OF_LIMIT);
            for (name, partition) in partitions.iter() {
                let Some(value) = value(partition) else { continue };
                let mut attributes = base.clone();
                attributes.push(KeyValue::new("stage", partition.stage));
                attributes.push(KeyValue::new("partition", name.clone()));
                observer.observe(value, &attributes);
            }
        });
        gauge.build();
    }

    pub(super) fn count(&self, metric: &Metric, by: usize, attributes: Vec<KeyValue>) {
        debug_assert_allowed(metric, &attributes);
        if let Some(counter) = self.counters.get(metric.name) {
            counter.add(by as u64, &self.with_base(attributes));
        }
    }

    pub(super) fn record(&self, metric: &Metric, value: f64, attributes: Vec<KeyValue>) {
        debug_assert_allowed(metric, &attributes);
        if let Some(histogram) = self.histograms.get(metric.name) {
            histogram.record(value, &self.with_base(attributes));
        }
    }

    pub(super) fn set(&self, metric: &Metric, value: f64, attributes: Vec<KeyValue>) {
        debug_assert_allowed(metric, &attributes);
        if let Some(gauge) = self.gauges.get(metric.name) {
            gauge.record(value, &self.with_base(attributes));
        }
    }

    /// Counts an error metric of the reference connector, whose names are as
    /// many as its errors.
    pub(super) fn count_error(&self, name: &str, by: usize, attributes: Vec<KeyValue>) {
        let mut errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || {
            let about = "An error under the reference connector's name, see docs/metrics.md.";
            self.meter.u64_counter(name.to_owned()).with_description(about).build()
        };
        errors.entry(name.to_owned()).or_insert_with(make).add(by as u64, &self.with_base(attributes));
    }

    fn with_base(&self, mut attributes: Vec<KeyValue>) -> Vec<KeyValue> {
        attributes.extend(self.base.iter().cloned());
        attributes
    }
}

fn is_observed(metric: &Metric) -> bool {
    [table::PARTITION_LAG.name, table::WINDOW_AGE.name].contains(&metric.name)
}

fn boundaries(metric: &Metric) -> Vec<f64> {
    let latencies = [table::DEVICE_EVENT_LATENCY, table::INGESTION_LATENCY];
    let latencies_ms = [table::DEVICE_EVENT_LATENCY_MS, table::INGESTION_LATENCY_MS];
    let is_one_of = |metrics: &[Metric]| metrics.iter().any(|other| other.name == metric.name);
    let milliseconds = |seconds: &[f64]| seconds.iter().map(|seconds| seconds * 1000.0).collect();
    if is_one_of(&latencies) {
        LATENCY_SECONDS.to_vec()
    } else if is_one_of(&latencies_ms) {
        milliseconds(&LATENCY_SECONDS)
    } else if metric.name.ends_with("Ms") {
        milliseconds(&SECONDS)
    } else if metric.unit == "s" {
        SECONDS.to_vec()
    } else {
        SIZES.to_vec()
    }
}

/// The table says by what a metric is counted, and the code keeps to it.
fn debug_assert_allowed(metric: &Metric, attributes: &[KeyValue]) {
    debug_assert!(
        attributes.iter().all(|attribute| metric.attributes.contains(&attribute.key.as_str())),
        "{}: {attributes:?}",
        metric.name
    );
}

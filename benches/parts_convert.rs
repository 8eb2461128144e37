//! The parts of conversion one by one, so that a regression shows where it is:
//! reading, grouping, cutting, making and merging, and the series of samples.
//! `cargo bench --package benches --bench parts_convert`.

use std::hint::black_box;

use benches::{Window, window};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use expressions::UtcTime;
use mapping::group::{self, ObservationGroup};
use mapping::sampled_data::{self, Grid, Sample, SamplePeriod};
use mapping::{Compatibility, FhirMapping, Measurement, MergePolicy, Observation, ResourceIds};

/// Why an `expect` below cannot fail.
const OURS: &str = "the windows and the mapping are ours";

fn mapping() -> FhirMapping {
    FhirMapping::load(window::FHIR_MAPPING.as_bytes(), &Compatibility::default()).expect(OURS)
}

fn read(bodies: &[Vec<u8>]) -> Vec<Measurement<'_>> {
    bodies.iter().map(|body| Measurement::read(body).expect(OURS)).collect()
}

fn ids() -> ResourceIds {
    ResourceIds { device: "device-1".to_owned(), patient: "patient-1".to_owned(), encounter: None }
}

/// Per measurement: reading it, grouping, cutting.
fn measurements(criterion: &mut Criterion) {
    let (mapping, compatibility) = (mapping(), Compatibility::default());
    for window in window::all() {
        let Window { name, bodies, .. } = &window;
        let mut parts = criterion.benchmark_group("measurements");
        parts.throughput(Throughput::Elements(bodies.len() as u64));
        parts.bench_function(BenchmarkId::new("read", name), |bench| bench.iter(|| black_box(read(bodies))));
        let measurements = read(bodies);
        parts.bench_function(BenchmarkId::new("group", name), |bench| {
            bench.iter(|| black_box(group::group(&measurements, &compatibility)));
        });
        let grouping = group::group(&measurements, &compatibility);
        parts.bench_function(BenchmarkId::new("cut", name), |bench| {
            bench.iter(|| {
                for group in &grouping.groups {
                    black_box(mapping.observation_groups(group).expect(OURS));
                }
            });
        });
        parts.finish();
    }
}

/// Runs `work` with the first observation group of a window.
fn with_group<T>(mapping: &FhirMapping, bodies: &[Vec<u8>], work: impl FnOnce(&ObservationGroup<'_>) -> T) -> T {
    let measurements = read(bodies);
    let grouping = group::group(&measurements, mapping.compatibility());
    let cut = mapping.observation_groups(&grouping.groups[0]).expect(OURS);
    work(&cut.groups[0])
}

/// Per Observation: making it, reading it, merging into it, writing it.
fn observations(criterion: &mut Criterion) {
    let (mapping, ids) = (mapping(), ids());
    for window in window::all() {
        let name = window.name;
        let mut parts = criterion.benchmark_group("observations");
        let stored =
            with_group(&mapping, &window.before, |group| mapping.create(group, &ids, UtcTime::MAX).expect(OURS));
        let json = stored.to_json();
        with_group(&mapping, &window.bodies, |group| {
            parts.bench_function(BenchmarkId::new("create", name), |bench| {
                bench.iter(|| black_box(mapping.create(group, &ids, UtcTime::MAX).expect(OURS)));
            });
            parts.bench_function(BenchmarkId::new("read", name), |bench| {
                bench.iter(|| black_box(Observation::read(&json).expect(OURS)));
            });
            parts.bench_function(BenchmarkId::new("merge", name), |bench| {
                bench.iter(|| black_box(mapping.merge(&stored, group, MergePolicy::NewWins).expect(OURS)));
            });
            parts.bench_function(BenchmarkId::new("write", name), |bench| bench.iter(|| black_box(stored.to_json())));
        });
        parts.finish();
    }
}

/// An hour of a step a second: building it of 60 samples, of 3600, and merging
/// as many into it.
fn series(criterion: &mut Criterion) {
    let period = SamplePeriod::from_milliseconds(1000.into()).expect(OURS);
    let grid = Grid { start: UtcTime::MIN, period };
    let end = UtcTime::MIN.saturating_add(36_000_000_000 - 1);
    let samples = |count: i64| -> Vec<Sample<'_>> {
        (0..count).map(|at| Sample { time: grid.time(at * 3600 / count), value: "65" }).collect()
    };
    let mut parts = criterion.benchmark_group("series");
    for count in [60, 3600] {
        let new = samples(count);
        parts.bench_function(BenchmarkId::new("build", count), |bench| {
            bench.iter(|| black_box(sampled_data::build(&new, &grid, end)));
        });
        let stored = sampled_data::build(&samples(120), &grid, end).expect(OURS);
        parts.bench_function(BenchmarkId::new("splice", count), |bench| {
            bench.iter(|| black_box(sampled_data::splice(&stored, &new, &grid, end, MergePolicy::NewWins)));
        });
    }
    parts.finish();
}

criterion_group!(parts, measurements, observations, series);
criterion_main!(parts);

//! The parts of normalizing one by one, so that a regression shows where it is:
//! reading an event, testing all type matches, extracting, writing.
//! `cargo bench --package benches --bench parts_normalize`.

use std::hint::black_box;
use std::ops::ControlFlow;

use benches::corpus;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use expressions::{
    CompileOptions, DateTime, Document, Expression, Language, Names, Properties, ReadOptions, Scratch, UtcTime,
};
use mapping::normalize::{self, Event};
use mapping::{Compatibility, DeviceMapping, MeasurementRef};

/// Why an `expect` below cannot fail.
const OURS: &str = "the corpora and expressions are ours";

/// The first 100 events of each corpus, the large ones 10.
fn corpora() -> Vec<corpus::Corpus> {
    let mut corpora = corpus::all().to_vec();
    corpora.iter_mut().for_each(|corpus| corpus.bodies.truncate(if corpus.name == "arrays" { 10 } else { 100 }));
    corpora
}

/// Per event: reading it into a document, and all of it.
fn events(criterion: &mut Criterion) {
    for corpus in corpora() {
        let mut parts = criterion.benchmark_group("events");
        parts.throughput(Throughput::Elements(corpus.bodies.len() as u64));
        let content =
            |body| expressions::Event { body, properties: Properties::NONE, system_properties: Properties::NONE };
        let mut scratch = Scratch::default();
        parts.bench_function(BenchmarkId::new("read", &corpus.name), |bench| {
            bench.iter(|| {
                for body in &corpus.bodies {
                    black_box(scratch.read_event(&content(body), ReadOptions::default()).expect(OURS));
                }
            });
        });
        let mapping = DeviceMapping::load(corpus.mapping.as_bytes(), &Compatibility::default()).expect(OURS);
        let (mut scratch, mut out) = (normalize::Scratch::new(), Vec::new());
        parts.bench_function(BenchmarkId::new("normalize", &corpus.name), |bench| {
            bench.iter(|| {
                for body in &corpus.bodies {
                    out.clear();
                    let event = Event { content: content(body), enqueued_time: UtcTime::MAX };
                    let sink = &mut |measurement: &MeasurementRef<'_>| measurement.write_json(&mut out);
                    // Without their properties the events of `iothub` are rejected.
                    black_box(mapping.normalize(&mut scratch, &event, sink).ok());
                }
            });
        });
        parts.finish();
    }
}

/// Single expressions over an event of `vitals`.
fn expressions(criterion: &mut Criterion) {
    let corpus = corpus::vitals();
    let mut parts = criterion.benchmark_group("expressions");
    for (language, text) in [
        (Language::JsonPath, "$..[?(@heartRate)]"),
        (Language::JsonPath, "$..[?(@quality.signal > -100 && @.device.model =~ /^Vital/)]"),
        (Language::JsonPath, "$.Body.endDate"),
        (Language::JsonPath, "$..battery"),
        (Language::JmesPath, "[Body][?deviceId]"),
        (Language::JmesPath, "Body.quality.flags[?@ > `0`] | [0]"),
        (Language::JmesPath, "multiply(Body.quality.confidence, `100`)"),
        (Language::JsonPathRfc9535, "$.Body.quality.flags[?@ > 0]"),
    ] {
        let mut names = Names::default();
        let expression = Expression::compile(text, language, CompileOptions::default(), &mut names).expect(OURS);
        let mut scratch = Scratch::new(&names);
        let event = expressions::Event {
            body: &corpus.bodies[0],
            properties: Properties::NONE,
            system_properties: Properties::NONE,
        };
        let document = scratch.read_event(&event, ReadOptions::default()).expect(OURS);
        parts.bench_function(BenchmarkId::new(format!("{language:?}"), text), |bench| {
            bench.iter(|| {
                let selected = expression.select(document, Document::ROOT, &mut |value| {
                    black_box(value);
                    ControlFlow::Continue(())
                });
                black_box(selected).expect(OURS);
            });
        });
    }
    parts.finish();
}

/// Times, which every event has several of.
fn times(criterion: &mut Criterion) {
    let mut parts = criterion.benchmark_group("times");
    parts.bench_function("parse", |bench| {
        bench.iter(|| DateTime::parse_token(black_box("2026-11-20T10:15:30.123Z")));
    });
    let time = DateTime::parse_token("2026-11-20T10:15:30.123Z").expect(OURS).instant;
    parts.bench_function("write", |bench| bench.iter(|| black_box(time).iso()));
    parts.finish();
}

criterion_group!(benches, events, expressions, times);
criterion_main!(benches);

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

use delivery::reference_metrics::{counterparts, of_reason};
use delivery::{Batch, BatchEvent, EventFate, Flush, Normalization, Observer, Reason, Source, Stage, WindowState};
use delivery::{TemplateCount, window::Why};
use expressions::{Properties, UtcTime};
use prometheus::{Encoder, Registry, TextEncoder};

use super::table::{ALL, Kind};
use super::*;

/// What `/metrics` shows. One meter serves all tests of the process, as the
/// instruments are the process', so each test looks at what is its own.
fn scraped() -> String {
    static REGISTRY: OnceLock<(Registry, SdkMeterProvider)> = OnceLock::new();
    let (registry, _) = REGISTRY.get_or_init(|| {
        let registry = Registry::new();
        let reader = crate::prometheus::reader(&registry).expect("a reader");
        let provider = SdkMeterProvider::builder().with_reader(reader).build();
        start(&provider, Some("c1".to_owned()));
        (registry, provider)
    });
    let mut text = Vec::new();
    TextEncoder::new().encode(&registry.gather(), &mut text).expect("text");
    String::from_utf8(text).expect("UTF-8")
}

fn source(partition: &str) -> Source {
    Source { partition: partition.to_owned(), ..Source::default() }
}

fn batch(source: &Source, events: usize) -> Batch<'_> {
    let event = BatchEvent {
        body: b"{}",
        properties: Properties::NONE,
        system_properties: Properties::NONE,
        sequence_number: Some(1),
        enqueued_time: UtcTime::MIN,
    };
    Batch { source, events: vec![event; events] }
}

fn count(name: &str, labels: &[&str]) -> f64 {
    let text = scraped();
    let lines = text.lines().filter(|line| line.split('{').next() == Some(name));
    let lines = lines.filter(|line| labels.iter().all(|label| line.contains(label)));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

#[test]
fn counts_events_by_fate_and_under_the_reference_connectors_names() {
    scraped();
    let source = source("11");
    let reason = Reason::new("IncompatibleData", "no timestamp");
    let events = vec![
        EventFate::Normalized { measurements: 2 },
        EventFate::Unmatched,
        EventFate::Rejected { reason, measurements: 1 },
    ];
    let template = |name: &str, measurements| TemplateCount {
        template: Some(name.to_owned()),
        fate: "sent",
        reason: None,
        measurements,
    };
    let done = Normalization { events, templates: vec![template("t11", 2), template("u11", 1)] };
    let took = std::time::Duration::from_millis(3);
    normalized(NormalizedBatch { batch: &batch(&source, 3), done: &done, took });
    let partition = "partition=\"11\"";
    assert_eq!(count("iotc_events_total", &[partition]), 3.0);
    assert_eq!(count("iotc_events_total", &[partition, "fate=\"rejected\"", "reason=\"IncompatibleData\""]), 1.0);
    assert_eq!(count("iotc_measurements_total", &["template=\"t11\"", "connector=\"c1\""]), 2.0);
    let identifier = "Identifier=\"11\"";
    assert_eq!(count("DeviceEvent_total", &[identifier]), 3.0);
    assert_eq!(count("NormalizedEvent_total", &[identifier]), 3.0);
    assert_eq!(count("DroppedEvent_total", &[identifier]), 1.0);
    assert_eq!(count("IncompatibleDataException_total", &["ErrorType=\"DeviceMessageError\""]), 1.0);
}

/// design.md 2.2, in the process itself: the batch goes on, and is counted.
#[test]
fn counts_a_batch_whose_fates_do_not_add_up() {
    scraped();
    let violations = || count("iotc_conservation_violations_total", &["stage=\"normalize\""]);
    let before = violations();
    let source = source("12");
    let done = Normalization { events: vec![EventFate::Unmatched], templates: Vec::new() };
    let took = std::time::Duration::ZERO;
    normalized(NormalizedBatch { batch: &batch(&source, 1), done: &done, took });
    assert_eq!(violations(), before);
    normalized(NormalizedBatch { batch: &batch(&source, 2), done: &done, took });
    assert_eq!(violations(), before + 1.0);
}

#[test]
fn tells_of_a_partition_what_the_loop_tells() {
    scraped();
    let (metrics, source) = (LoopMetrics(Stage::GroupConvert), source("13"));
    let partition = "partition=\"13\"";
    metrics.lag(&source, 17);
    metrics.window(&source, WindowState { end: None, events: 2, limit: 10, age: std::time::Duration::from_secs(5) });
    assert_eq!(count("iotc_partition_lag", &[partition]), 17.0);
    let age = count("iotc_window_age_seconds", &[partition]);
    assert!((5.0..60.0).contains(&age), "{age}");
    metrics.flushed(
        &source,
        Flush {
            why: Why::Count,
            events: 10,
            duration: std::time::Duration::from_millis(20),
            checkpoint_duration: std::time::Duration::from_millis(2),
            checkpoint: Some(40),
        },
    );
    assert_eq!(count("iotc_windows_total", &[partition, "ThresholdCountReached"]), 1.0);
    assert_eq!(count("EventsFlushed_total", &["Identifier=\"13\""]), 10.0);
    assert_eq!(count("EventsWatermarkUpdated_total", &["Identifier=\"13\""]), 1.0);
    assert!(!scraped().lines().any(|line| line.starts_with("iotc_window_age") && line.contains(partition)));
}

#[test]
fn counts_requests_that_are_throttled() {
    scraped();
    let sent = |status| {
        let took = std::time::Duration::from_millis(4);
        fhir_request(FhirRequest { kind: "history", status, took, concurrency: 4 });
    };
    for status in [Some(200), Some(429), Some(404), None] {
        sent(status);
    }
    assert_eq!(count("iotc_fhir_throttled_total", &["status=\"429\""]), 1.0);
    assert_eq!(count("iotc_fhir_request_duration_seconds_count", &["kind=\"history\"", "status=\"4xx\""]), 2.0);
    assert_eq!(count("iotc_fhir_request_duration_seconds_count", &["kind=\"history\"", "status=\"none\""]), 1.0);
    // A 404 is about the data: its measurement has a reason.
    assert_eq!(count("FHIRServiceErrorNotFound_total", &[]), 0.0);
}

#[test]
fn every_metric_has_one_row() {
    let names: BTreeSet<_> = ALL.iter().map(|metric| metric.name).collect();
    assert_eq!(names.len(), ALL.len());
}

/// The name at `/metrics`: dots become underscores, the unit and `_total` are
/// appended.
fn prometheus_name(metric: &table::Metric) -> String {
    let name = metric.name.replace('.', "_");
    let unit = if metric.unit == "s" { "_seconds" } else { "" };
    let total = if metric.kind == Kind::Counter { "_total" } else { "" };
    format!("{name}{unit}{total}")
}

/// The part of `docs/metrics.md` that is written from the table.
fn documented() -> String {
    let mut text = String::new();
    let (ours, theirs): (Vec<&table::Metric>, Vec<_>) = ALL.iter().partition(|metric| metric.name.starts_with("iotc."));
    for (title, metrics) in [("Ours", ours), ("Under the reference connector's names", theirs)] {
        let _ = write!(text, "## {title}\n\n| metric | at `/metrics` | kind | by | what |\n|---|---|---|---|---|\n");
        for metric in metrics {
            let by: Vec<_> = metric.attributes.iter().map(|attribute| format!("`{attribute}`")).collect();
            let (name, kind, about) = (metric.name, metric.kind.as_str(), metric.about);
            let _ =
                writeln!(text, "| `{name}` | `{}` | {kind} | {} | {about} |", prometheus_name(metric), by.join(", "));
        }
        text.push('\n');
    }
    text.push_str("## Errors under the reference connector's names\n\n| our reason | metric | type | severity |\n|---|---|---|---|\n");
    for reason in counterparts() {
        let Some(record) = of_reason(reason) else { continue };
        let (metric, kind) = (&record.metric.name, record.metric.error_type);
        let _ = writeln!(text, "| `{reason}` | `{metric}` | {kind} | {} |", record.metric.severity.as_str());
    }
    text
}

#[test]
fn the_documentation_has_every_metric() {
    const MARK: &str = "<!-- From here on written by `UPDATE_EXPECT=1 cargo test -p telemetry`. -->\n\n";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics.md");
    let text = std::fs::read_to_string(&path).expect("docs/metrics.md");
    let (head, written) = text.split_once(MARK).expect("the mark");
    let expected = documented();
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, format!("{head}{MARK}{expected}")).expect("docs/metrics.md");
        return;
    }
    assert!(written == expected, "docs/metrics.md differs: UPDATE_EXPECT=1 cargo test -p telemetry");
}

/// What [`prometheus_name`] says is so.
#[test]
fn names_at_the_endpoint_are_as_documented() {
    scraped();
    mapping_in_use(Stage::Normalize, "v1", &delivery::Notice::Unchanged);
    let metrics = LoopMetrics(Stage::Normalize);
    metrics.owned(2);
    let text = scraped();
    let shown = |name: &str| text.lines().any(|line| line.starts_with(&format!("# TYPE {name} ")));
    for metric in [table::PARTITIONS_OWNED, table::MAPPING] {
        assert!(shown(&prometheus_name(&metric)), "{}: {text}", prometheus_name(&metric));
    }
}

//! What the functions tell of themselves: to a collector, to Prometheus, and in
//! their log; and that nothing of an event is in any of it.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use end_to_end::collector::{Attributes, Collector};
use end_to_end::poll::until;
use end_to_end::process::{Running, free_port};
use reqwest::blocking::Client;
use serde_json::{Value, json};
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(30);
/// Stands in every value and every identifier of the events.
const MARK: &str = "mark4711x";
/// As a number.
const NUMBER: u32 = 471_147_114;

const DEVICE_MAPPING: &str = r#"{"templateType":"CollectionContent","template":[{"templateType":"JsonPathContent","template":{
    "typeName":"heartrate","typeMatchExpression":"$..[?(@hr)]","deviceIdExpression":"$.d","timestampExpression":"$.t",
    "patientIdExpression":"$.p","values":[{"required":"true","valueExpression":"$.hr","valueName":"hr"}]}}]}"#;
const FHIR_MAPPING: &str = r#"{"templateType":"CollectionFhir","template":[{"templateType":"CodeValueFhir","template":{
    "typeName":"heartrate","codes":[{"code":"8867-4","system":"http://loinc.org","display":"Heart rate"}],
    "value":{"valueType":"Quantity","valueName":"hr","unit":"/min"}}}]}"#;

/// The functions as the Functions host starts them, over an internal hub and a
/// FHIR server that stand in.
struct Functions {
    folder: TempDir,
    _stand_ins: [Running; 2],
    normalize: Function,
    convert: Function,
}

struct Function {
    name: &'static str,
    process: Running,
    address: String,
    metrics: String,
}

fn bin(name: &str) -> Command {
    Command::new(end_to_end::folder("IOTC_TEST_BIN", "stack").join(name))
}

fn client() -> Client {
    Client::builder().no_proxy().timeout(LIMIT).build().unwrap()
}

impl Functions {
    fn start(environment: &[(&str, String)]) -> Functions {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        std::fs::write(path("device.json"), DEVICE_MAPPING).unwrap();
        std::fs::write(path("fhir.json"), FHIR_MAPPING).unwrap();
        let (hub, fhir) = (free_port(), free_port());
        let mut event_hubs = bin("iotc");
        event_hubs.args(["stand-in", "event-hubs", "--hub", "normalizeddata", "--port", &hub.to_string()]);
        event_hubs.args(["--state", &path("hub")]);
        let mut fhir_server = bin("iotc");
        fhir_server.args(["stand-in", "fhir-server", "--port", &fhir.to_string(), "--state", &path("fhir")]);
        let stand_ins =
            [Running::start("event-hubs", &mut event_hubs), Running::start("fhir-server", &mut fhir_server)];
        let base = format!("http://127.0.0.1:{fhir}/fhir");
        until("the FHIR server answers", LIMIT, || client().get(format!("{base}/metadata")).send().ok());
        let normalize = [
            ("Template__DeviceContent", path("device.json")),
            ("NormalizationEventHub__EventHubNamespaceFQDN", "localhost".to_owned()),
            ("NormalizationEventHub__EventHubName", "normalizeddata".to_owned()),
            ("NormalizationEventHub__AuthenticationType", "Development".to_owned()),
            ("NormalizationEventHub__CustomEndpoint", format!("amqp://127.0.0.1:{hub}")),
            ("DeadLetters__Folder", path("dead-letters")),
        ];
        let convert = [
            ("Template__FhirMapping", path("fhir.json")),
            ("FhirService__Url", base),
            ("ResourceIdentity__ResourceIdentityServiceType", "Create".to_owned()),
            ("DeadLetters__Folder", path("dead-letters")),
        ];
        let normalize = Function::start("normalize", normalize.iter().chain(environment));
        let convert = Function::start("group-convert", convert.iter().chain(environment));
        Functions { folder, _stand_ins: stand_ins, normalize, convert }
    }

    fn printed(&self) -> String {
        self.normalize.process.printed() + &self.convert.process.printed()
    }
}

impl Function {
    fn start<'e>(name: &'static str, environment: impl Iterator<Item = &'e (&'e str, String)>) -> Function {
        let (port, metrics) = (free_port(), free_port());
        let mut command = bin(name);
        command.env_clear().envs(environment.map(|(name, value)| (name, value)));
        command.env("FUNCTIONS_CUSTOMHANDLER_PORT", port.to_string());
        command.env("Telemetry__PrometheusPort", metrics.to_string());
        let mut process = Running::start(name, &mut command);
        let address = format!("http://127.0.0.1:{port}");
        until(name, LIMIT, || {
            process.check_running();
            client().get(&address).send().ok()
        });
        Function { name, process, address, metrics: format!("http://127.0.0.1:{metrics}/metrics") }
    }

    /// Has a batch of these bodies worked on.
    fn invoke(&self, bodies: &[&str]) {
        let answer = client().post(format!("{}/{}", self.address, self.name)).body(invocation(bodies).to_string());
        let answer = answer.send().unwrap();
        let status = answer.status();
        assert_eq!(status, 200, "{}\n{}", answer.text().unwrap(), self.process.printed());
    }

    /// The samples of a counter at `/metrics`, by labels.
    fn scraped(&self, name: &str) -> BTreeMap<Attributes, i64> {
        let text = self.scrape();
        let samples = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('{')?.rsplit_once("} "));
        let label = |label: &str| {
            let (name, value) = label.split_once('=').unwrap();
            (name.to_owned(), value.trim_matches('"').to_owned())
        };
        samples.map(|(labels, value)| (labels.split(',').map(label).collect(), value.parse().unwrap())).collect()
    }

    fn scrape(&self) -> String {
        client().get(&self.metrics).send().unwrap().text().unwrap()
    }
}

/// An invocation of these events, as the host makes it.
fn invocation(bodies: &[&str]) -> Value {
    let context = json!({
        "IsCheckpointingAfterInvocation": true, "FullyQualifiedNamespace": "localhost", "EventHubName": "hub",
        "ConsumerGroup": "$default", "PartitionId": "3",
    });
    let all = |each: &dyn Fn(usize) -> Value| Value::from((0..bodies.len()).map(each).collect::<Vec<_>>()).to_string();
    json!({
        "Data": { "events": all(&|at| STANDARD.encode(bodies[at]).into()) },
        "Metadata": {
            "TriggerPartitionContext": context,
            "PartitionContext": context,
            "PartitionKeyArray": all(&|_| Value::Null),
            "OffsetArray": all(&|at| at.to_string().into()),
            "SequenceNumberArray": all(&|at| (at + 40).into()),
            "EnqueuedTimeUtcArray": all(&|_| "2026-11-20T12:00:00.123".into()),
            "PropertiesArray": all(&|_| json!({})),
            "SystemPropertiesArray": all(&|_| json!({})),
        },
    })
}

fn attributes(pairs: &[(&str, &str)]) -> Attributes {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// The collector at once, and not when it suits the standard.
fn sends_to(endpoint: String) -> Vec<(&'static str, String)> {
    vec![
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint),
        ("OTEL_METRIC_EXPORT_INTERVAL", "200".to_owned()),
        ("OTEL_BSP_SCHEDULE_DELAY", "100".to_owned()),
        ("OTEL_BLRP_SCHEDULE_DELAY", "100".to_owned()),
        ("Connector__Name", "icu-east".to_owned()),
        ("RUST_LOG", "trace".to_owned()),
    ]
}

/// Three good events, one that no template matches, one without a time, one
/// that is not JSON; then the measurements, and one of a type that the FHIR
/// mapping does not know.
fn work(functions: &Functions) {
    let good = |minute: u32| {
        let time = format!("2020-11-01T12:{minute:02}:00Z");
        json!({ "d": format!("dev-{MARK}"), "p": format!("pat-{MARK}"), "t": time, "hr": NUMBER }).to_string()
    };
    let unmatched = json!({ "note": MARK, "battery": NUMBER, MARK: { "level": 1 } }).to_string();
    let no_time = json!({ "d": MARK, "hr": NUMBER }).to_string();
    let not_json = format!("hello {MARK} {NUMBER}");
    functions.normalize.invoke(&[&good(1), &good(2), &good(3), &unmatched, &no_time, &not_json]);
    let measurement = |kind: &str, minute: u32| {
        json!({
            "Type": kind, "OccurrenceTimeUtc": format!("2020-11-01T12:{minute:02}:00Z"),
            "IngestionTimeUtc": "2020-11-01T12:09:00Z", "DeviceId": format!("dev-{MARK}"),
            "PatientId": format!("pat-{MARK}"), "Properties": [{ "Name": "hr", "Value": NUMBER.to_string() }],
        })
        .to_string()
    };
    functions.convert.invoke(&[&measurement("heartrate", 1), &measurement("heartrate", 2), &measurement(MARK, 3)]);
}

#[test]
fn what_a_collector_and_prometheus_are_told_is_what_happened_and_no_more() {
    let collector = Collector::start();
    let functions = Functions::start(&sends_to(collector.endpoint()));
    work(&functions);

    let base = [("connector", "icu-east"), ("stage", "normalize"), ("partition", "3")];
    let event = |more: &[(&str, &str)]| attributes(&[&base, more].concat());
    let events = BTreeMap::from([
        (event(&[("fate", "normalized")]), 3),
        (event(&[("fate", "unmatched")]), 1),
        (event(&[("fate", "rejected"), ("reason", "IncompatibleData")]), 1),
        (event(&[("fate", "rejected"), ("reason", "InvalidDataFormat")]), 1),
    ]);
    let base = [("connector", "icu-east"), ("stage", "group-convert")];
    let measurement = |more: &[(&str, &str)]| attributes(&[&base, more].concat());
    let measurements = BTreeMap::from([
        (measurement(&[("fate", "created"), ("template", "heartrate")]), 2),
        (measurement(&[("fate", "rejected"), ("template", "other"), ("reason", "TemplateNotFound")]), 1),
    ]);
    let told = || {
        let events_are = collector.counter("normalize", "iotc.events") == events;
        let measurements_are = collector.counter("group-convert", "iotc.measurements") == measurements;
        let has_span = |service, name| collector.spans(service).iter().any(|span| span.name == name);
        let spans_are = has_span("normalize", "normalize") && has_span("group-convert", "group-convert");
        (events_are && measurements_are && spans_are).then_some(())
    };
    until("the collector has everything", LIMIT, told);
    assert_eq!(functions.normalize.scraped("iotc_events_total"), events);
    assert_eq!(functions.convert.scraped("iotc_measurements_total"), measurements);
    let violations =
        |function: &Function| function.scraped("iotc_conservation_violations_total").into_values().sum::<i64>();
    assert_eq!(violations(&functions.normalize) + violations(&functions.convert), 0);
    // Under the reference connector's names as well.
    for name in ["DeviceEvent", "NormalizedEvent", "DroppedEvent", "IncompatibleDataException", "FhirResourceSaved"] {
        assert!(collector.metric_names().contains(name), "{name}: {:?}", collector.metric_names());
    }

    for (service, parts) in
        [("normalize", &["load mapping", "send", "record"][..]), ("group-convert", &["resolve", "save"])]
    {
        let spans = collector.spans(service);
        let batch = spans.iter().find(|span| span.name == service).unwrap();
        assert_eq!((&*batch.attributes["partition"], &*batch.attributes["sequence_number.first"]), ("3", "40"));
        assert!(!batch.attributes["mapping.version"].is_empty());
        let below: Vec<_> =
            spans.iter().filter(|span| span.parent == batch.id).map(|span| span.name.as_str()).collect();
        assert!(parts.iter().all(|part| below.contains(part)), "{service}: {below:?}");
        let resources = collector.resources();
        assert!(resources.iter().all(|resource| resource["connector"] == "icu-east"), "{resources:?}");
    }
    until("the log arrives", LIMIT, || {
        let normalized = collector.logs("normalize").iter().any(|line| line.starts_with("Normalized a batch"));
        let converted = collector.logs("group-convert").iter().any(|line| line.starts_with("Converted a window"));
        (normalized && converted).then_some(())
    });

    let shape = "Body: {battery: integer, (name): {level: integer}, note: text}";
    assert!(functions.printed().contains(shape), "{}", functions.printed());
    for mark in [MARK, &NUMBER.to_string()] {
        assert!(!collector.has(mark), "{mark} was sent to the collector");
        assert!(!functions.normalize.scrape().contains(mark) && !functions.convert.scrape().contains(mark), "{mark}");
        assert!(!functions.printed().contains(mark), "{mark} was logged:\n{}", functions.printed());
        // And there was something to be found.
        assert!(has_file_with(functions.folder.path(), mark), "{mark} never came through");
    }
}

/// The stand-ins keep what they were sent.
fn has_file_with(folder: &Path, mark: &str) -> bool {
    let letters = std::fs::read_dir(folder).unwrap().flatten().flat_map(|entry| {
        match entry.path() {
            path if path.is_dir() => has_file_with(&path, mark),
            path => {
                std::fs::read(path).is_ok_and(|bytes| bytes.windows(mark.len()).any(|window| window == mark.as_bytes()))
            }
        }
        .then_some(())
    });
    letters.count() > 0
}

/// A collector that hangs up on whoever comes, and counts them.
fn hanging_up() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    std::thread::spawn(move || {
        for _ in listener.incoming() {
            counted.fetch_add(1, Ordering::Relaxed);
        }
    });
    (endpoint, calls)
}

#[test]
fn a_collector_that_is_away_holds_up_nothing_and_is_told_of_once() {
    let (endpoint, calls) = hanging_up();
    let mut environment = sends_to(endpoint);
    // Each report fails for good within this, retries included.
    environment.push(("OTEL_EXPORTER_OTLP_TIMEOUT", "300".to_owned()));
    let functions = Functions::start(&environment);
    let start = Instant::now();
    work(&functions);
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}\n{}", start.elapsed(), functions.printed());
    until("both tried many times", LIMIT, || (calls.load(Ordering::Relaxed) > 60).then_some(()));
    for function in [&functions.normalize, &functions.convert] {
        // The SDK would say it again and again, in its own words.
        let is_odd = |text: &&String| text.contains(" WARN ") || text.contains(" ERROR ");
        let is_told = |text: &&String| text.contains("Telemetry cannot be sent to the collector");
        let printed = function.process.stdout();
        let odd: Vec<_> = printed.iter().filter(is_odd).filter(|text| !text.contains("of this shape")).collect();
        assert_eq!((odd.len(), odd.iter().copied().filter(is_told).count()), (1, 1), "{odd:#?}");
    }
}

/// One that takes what it is sent and never answers.
#[test]
fn a_collector_that_hangs_holds_up_nothing() {
    let silent = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let functions = Functions::start(&sends_to(format!("http://{}", silent.local_addr().unwrap())));
    let start = Instant::now();
    work(&functions);
    work(&functions);
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}\n{}", start.elapsed(), functions.printed());
}

#[test]
fn settings_that_have_no_effect_are_named_at_the_start() {
    let environment = [
        ("RUST_LOG", "loud".to_owned()),
        ("APPLICATIONINSIGHTS_CONNECTION_STRING", "InstrumentationKey=s3cret".to_owned()),
        ("APPINSIGHTS_INSTRUMENTATIONKEY", "s3cret".to_owned()),
    ];
    let functions = Functions::start(&environment);
    for function in [&functions.normalize, &functions.convert] {
        let printed = function.process.printed();
        for part in ["`RUST_LOG` has `loud`", "APPLICATIONINSIGHTS_CONNECTION_STRING", "APPINSIGHTS_INSTRUMENTATIONKEY"]
        {
            assert!(printed.contains(part), "{part}\n{printed}");
        }
        // What is logged by default still is.
        assert!(printed.contains("listens"), "{printed}");
        assert!(!printed.contains("s3cret"), "{printed}");
        assert!(function.process.stderr().is_empty(), "{printed}");
    }
}

//! Everything that the functions need is away in turn while marked events flow.

use std::time::Duration;

use end_to_end::azurite::Azurite;
use end_to_end::collector::Collector;
use end_to_end::hub::{EventHub, To};
use end_to_end::own_server::OwnServer;
use end_to_end::poll::until;
use end_to_end::process::{Running, free_port};
use end_to_end::site::{DEVICE_HUB, Site, positions_of, stop};
use reqwest::blocking::Client;

use crate::LOUD;
use crate::events::{bad, device_mapping, fhir_mapping, good, unknown};
use crate::evidence::{Evidence, check_that_marks_arrived};
use crate::quoting::{Quoting, Refuses};
use crate::refusals::{Handler, invocation};

const LIMIT: Duration = Duration::from_secs(120);

/// Waits until a process has said something once more than it had.
#[track_caller]
fn wait_for(process: &mut Running, what: &str, before: usize) {
    process.wait_for(what, LIMIT, |lines, _| (said(lines, what) > before).then_some(()));
}

fn said(lines: &[String], what: &str) -> usize {
    lines.iter().filter(|line| line.contains(what)).count()
}

/// What a page says, or that it cannot be had.
fn page(http: &Client, url: &str) -> String {
    match http.get(url).send() {
        Ok(answer) => format!("{} {}", answer.status(), answer.text().unwrap_or_default()),
        Err(error) => error.to_string(),
    }
}

fn list(azurite: &Azurite, container: &str) -> String {
    let url = format!("{}&restype=container&comp=list&include=metadata", azurite.container(container));
    Client::builder().no_proxy().build().unwrap().get(url).send().unwrap().text().unwrap()
}

#[test]
fn nothing_of_an_event_shows_while_what_the_functions_need_is_away() {
    let server = OwnServer::start("azure");
    let quoting = Quoting::start(&server.fhir.url);
    let collector = Collector::start();
    let mut site = Site::start(&server.fhir);
    site.reach.fhir = quoting.url.clone();
    let below = |name: &str| site.folder().join(name).display().to_string();
    std::fs::write(below("device.json"), device_mapping()).unwrap();
    std::fs::write(below("fhir.json"), fhir_mapping()).unwrap();
    let letters = site.azurite.make("letters").to_string();
    let (endpoint, http_port) = (collector.endpoint(), free_port());
    let (listen, metrics) = (format!("127.0.0.1:{http_port}"), [free_port(), free_port()].map(|port| port.to_string()));
    let (device, fhir, parked) = (below("device.json"), below("fhir.json"), below("parked"));
    let both = [
        ("RUST_LOG", LOUD),
        ("RUST_BACKTRACE", "full"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
        ("OTEL_METRIC_EXPORT_INTERVAL", "500"),
        // One of the functions has its letters in the storage that goes away.
        ("DeadLetters__Folder", ""),
        ("DeadLetters__BlobStorageContainerUri", &letters),
    ];
    let of_normalize = [
        ("Template__DeviceContent", device.as_str()),
        ("Http__Listen", &listen),
        ("Ingest__Token", "token"),
        ("Telemetry__PrometheusPort", &metrics[0]),
    ];
    let of_convert = [
        ("Template__FhirMapping", fhir.as_str()),
        ("ResourceIdentity__ResourceIdentityServiceType", "Lookup"),
        ("ResourceIdentity__NotFoundCacheSeconds", "0"),
        ("Parking__Folder", &parked),
        ("Parking__LookAgainSeconds", "1"),
        ("FhirService__TimeLimitSeconds", "2"),
        ("Telemetry__PrometheusPort", &metrics[1]),
    ];
    let mut normalize = site.function_with("normalize", "n", &[&both[..], &of_normalize].concat());
    let mut convert = site.function_with("group-convert", "c", &[&both[..], &of_convert].concat());
    let http = Client::builder().no_proxy().timeout(LIMIT).build().unwrap();
    let mut evidence = Evidence::default();
    let send = |site: &Site, events: &[String]| site.hub.send(DEVICE_HUB, To::Partition("1"), events);
    let ingest = |evidence: &mut Evidence, events: &[String]| {
        let url = format!("http://{listen}/api/ingest");
        for body in events {
            let answer = http.post(&url).bearer_auth("token").body(body.clone()).send();
            evidence.text("an answer of ingest", format!("{:?}", answer.map(|answer| answer.text())));
        }
    };

    // Nobody has registered the devices: everything is parked that can be.
    send(&site, &[good(10), bad(), vec![unknown(11)]].concat());
    wait_for(&mut convert, "parked", 0);
    until("all is worked through", LIMIT, || {
        (site.is_done("normalize") && site.is_done("group-convert")).then_some(())
    });

    quoting.refuse(Refuses::Everything(503), usize::MAX);
    let before = said(&convert.stdout(), " ERROR ");
    send(&site, &good(12));
    wait_for(&mut convert, " ERROR ", before);
    quoting.refuse(Refuses::Nothing, 0);

    site.hub.kill();
    ingest(&mut evidence, &good(13)[..1]);
    evidence.text("ready", page(&http, &format!("http://{listen}/readyz")));
    let before = said(&normalize.stdout(), " ERROR ");
    wait_for(&mut normalize, " ERROR ", before);
    site.hub.start_again();
    ingest(&mut evidence, &[good(14), bad()].concat());
    // The partition is read again: to open it, its position has to be read.
    send(&site, &good(15));
    until("all is worked through", LIMIT, || {
        (site.is_done("normalize") && site.is_done("group-convert")).then_some(())
    });

    // Neither positions nor dead letters can be written.
    site.azurite.kill();
    let before = said(&normalize.stdout(), " ERROR ");
    send(&site, &[good(16), bad()].concat());
    wait_for(&mut normalize, " ERROR ", before);
    evidence.text("ready", page(&http, &format!("http://{listen}/readyz")));
    site.azurite.start_again();
    // It may have lost the positions that it had when it was killed.
    send(&site, &[good(17), vec![unknown(18)]].concat());
    until("all is worked through", LIMIT, || {
        (site.is_done("normalize") && site.is_done("group-convert")).then_some(())
    });

    evidence.text("healthy", page(&http, &format!("http://{listen}/healthz")));
    for port in &metrics {
        let text = page(&http, &format!("http://127.0.0.1:{port}/metrics"));
        assert!(text.contains("iotc_"), "{text}");
        evidence.text("metrics", text);
    }
    stop(&mut normalize);
    stop(&mut convert);
    evidence.process("normalize", &normalize);
    evidence.process("group-convert", &convert);
    evidence.collector(&collector);
    for function in ["normalize", "group-convert"] {
        let positions = list(&site.azurite, positions_of(function));
        assert!(positions.contains("checkpoint/1") && positions.contains("ownership/1"), "{positions}");
        evidence.text("positions", positions);
    }
    evidence.text("names of dead letters", list(&site.azurite, "letters"));
    let listed = evidence.iotc(site.folder(), &["dead-letters", "list", "--container", &letters, "--json"]);
    assert!(listed.lines().count() > 20, "{listed}");
    let parked = evidence.iotc(site.folder(), &["dead-letters", "list", "--folder", "parked"]);
    assert!(parked.contains("DeviceNotFound"), "{parked}");
    evidence.folder(site.folder(), &["hub", "parked"]);
    evidence.check();
    check_that_marks_arrived(&site.folder().join("parked"), &["device id", "patient id", "measured value"]);
}

#[test]
fn nothing_of_an_event_shows_when_its_letter_cannot_be_written() {
    let collector = Collector::start();
    let folder = tempfile::tempdir().unwrap();
    let below = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(below("device.json"), device_mapping()).unwrap();
    std::fs::write(below("fhir.json"), fhir_mapping()).unwrap();
    // A file, where a folder would be needed.
    std::fs::write(below("file"), "").unwrap();
    let nowhere = free_port();
    let mut evidence = Evidence::default();
    let letters = ("DeadLetters__Folder", below("file/letters"));
    let normalize = Handler::start(
        "normalize",
        &collector,
        &[
            ("Template__DeviceContent", below("device.json")),
            ("NormalizationEventHub__EventHubNamespaceFQDN", "localhost".to_owned()),
            ("NormalizationEventHub__EventHubName", "normalizeddata".to_owned()),
            ("NormalizationEventHub__AuthenticationType", "Development".to_owned()),
            ("NormalizationEventHub__CustomEndpoint", format!("amqp://127.0.0.1:{nowhere}")),
            letters.clone(),
        ],
    );
    let convert = Handler::start(
        "group-convert",
        &collector,
        &[
            ("Template__FhirMapping", below("fhir.json")),
            ("FhirService__Url", format!("http://127.0.0.1:{nowhere}/fhir")),
            ("FhirService__TimeLimitSeconds", "1".to_owned()),
            ("ResourceIdentity__ResourceIdentityServiceType", "Create".to_owned()),
            letters,
        ],
    );
    // The letters, the hub, the server, then an invocation that cannot be read.
    assert_eq!(normalize.invoke(&mut evidence, "bad events", invocation(&bad())), 500);
    assert_eq!(normalize.invoke(&mut evidence, "good events", invocation(&good(10))), 500);
    assert_eq!(convert.invoke(&mut evidence, "no measurements", invocation(&bad())), 500);
    let measurement = r#"{"Type":"note","OccurrenceTimeUtc":"2026-11-01T10:00:00Z","DeviceId":"qzdevice7k","PatientId":"qzpatient7k","Properties":[{"Name":"value","Value":"qzfreetext7k"}]}"#;
    assert_eq!(convert.invoke(&mut evidence, "a measurement", invocation(&[measurement.to_owned()])), 500);
    for handler in [&normalize, &convert] {
        let whole = invocation(&good(11));
        let broken = whole.replace("\"SequenceNumberArray\":\"[", "\"SequenceNumberArray\":\"[\\\"qzpoison7k\\\",");
        assert_ne!(whole, broken);
        assert_eq!(handler.invoke(&mut evidence, "an invocation with one number too many", broken), 500);
        assert_eq!(handler.invoke(&mut evidence, "half an invocation", whole[..whole.len() / 2].to_owned()), 500);
        assert_eq!(handler.invoke(&mut evidence, "no invocation", format!("qzpoison7k {}", good(11)[0])), 500);
        handler.finish(&mut evidence);
    }
    until("the collector has the logs", LIMIT, || {
        let has = |service| !collector.logs(service).is_empty();
        (has("normalize") && has("group-convert")).then_some(())
    });
    evidence.collector(&collector);
    evidence.folder(folder.path(), &[]);
    evidence.check();
}

#[test]
fn nothing_of_an_event_shows_when_its_letter_lies_in_a_hub() {
    let collector = Collector::start();
    let folder = tempfile::tempdir().unwrap();
    let below = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(below("device.json"), device_mapping()).unwrap();
    let hub = EventHub::start(&folder.path().join("hub"), &["letters", "normalizeddata"], 1);
    let endpoint = format!("amqp://127.0.0.1:{}", hub.port());
    let normalize = Handler::start(
        "normalize",
        &collector,
        &[
            ("Template__DeviceContent", below("device.json")),
            ("NormalizationEventHub__EventHubNamespaceFQDN", "localhost".to_owned()),
            ("NormalizationEventHub__EventHubName", "normalizeddata".to_owned()),
            ("NormalizationEventHub__AuthenticationType", "Development".to_owned()),
            ("NormalizationEventHub__CustomEndpoint", endpoint.clone()),
            ("DeadLetters__EventHubNamespaceFQDN", "localhost".to_owned()),
            ("DeadLetters__EventHubName", "letters".to_owned()),
            ("DeadLetters__AuthenticationType", "Development".to_owned()),
            ("DeadLetters__CustomEndpoint", endpoint.clone()),
        ],
    );
    let mut evidence = Evidence::default();
    let too_large = format!("qzpoison7k {}", "y".repeat(900_000));
    let events = [bad(), vec![too_large]].concat();
    assert_eq!(normalize.invoke(&mut evidence, "bad events", invocation(&events)), 200);
    let place =
        ["--hub", "letters", "--namespace", "localhost", "--endpoint", &endpoint, "--authentication", "Development"];
    let listed = evidence.iotc(folder.path(), &[&["dead-letters", "list"], &place[..]].concat());
    assert!(listed.contains("without its event"), "{listed}");
    normalize.finish(&mut evidence);
    evidence.collector(&collector);
    evidence.folder(folder.path(), &["hub"]);
    evidence.check();
    evidence.check_that_it_says(&["were stored without their events"]);
    check_that_marks_arrived(&folder.path().join("hub"), &["device id", "poison body", "property"]);
}

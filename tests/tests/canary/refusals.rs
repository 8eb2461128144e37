//! Group-convert over a FHIR server that quotes whatever it refuses.

use std::process::Command;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use end_to_end::collector::Collector;
use end_to_end::fhir::Fhir;
use end_to_end::own_server::OwnServer;
use end_to_end::poll::until;
use end_to_end::process::{Running, free_port};
use reqwest::blocking::Client;
use serde_json::{Value, json};

use crate::LOUD;
use crate::events::{encounter, patient};
use crate::evidence::{Evidence, check_that_marks_arrived};
use crate::marks::{CORRELATION, DEVICE, ENCOUNTER, FRACTION, MEMBER, NUMBER, PATIENT, PROPERTY, TEXT};
use crate::quoting::{Quoting, Refuses};

const LIMIT: Duration = Duration::from_secs(60);

/// A mapping that has some use for each mark.
pub const FHIR_MAPPING: &str = r#"{"templateType":"CollectionFhir","template":[
{"templateType":"CodeValueFhir","template":{"typeName":"heartrate","periodInterval":60,"codes":[{"code":"8867-4"}],
 "value":{"valueType":"SampledData","valueName":"hr","defaultPeriod":60000,"unit":"/min"}}},
{"templateType":"CodeValueFhir","template":{"typeName":"note","periodInterval":0,"codes":[{"code":"34109-9"}],
 "value":{"valueType":"String","valueName":"note"}}},
{"templateType":"CodeValueFhir","template":{"typeName":"weight","periodInterval":0,"codes":[{"code":"29463-7"}],
 "value":{"valueType":"Quantity","valueName":"kg","unit":"kg"}}},
{"templateType":"CodeValueFhir","template":{"typeName":"session","periodInterval":-1,"codes":[{"code":"8716-3"}],
 "components":[{"codes":[{"code":"1"}],"value":{"valueType":"SampledData","valueName":"hr","defaultPeriod":60000,"unit":"/min"}}]}}]}"#;

/// A measurement with all that identifies.
fn measurement(device: &str, kind: &str, minute: usize, properties: Value) -> String {
    json!({
        "Type": kind, "OccurrenceTimeUtc": format!("2026-11-01T{:02}:{:02}:00Z", minute / 60 % 24, minute % 60),
        "IngestionTimeUtc": "2026-11-01T12:09:00Z", "DeviceId": device, "PatientId": PATIENT,
        "EncounterId": ENCOUNTER, "CorrelationId": CORRELATION, "Properties": properties,
    })
    .to_string()
}

/// Measurements of this device of every kind, good and bad, whose readings are
/// of this minute on: others than those of another minute.
fn measurements(device: &str, minute: usize) -> Vec<String> {
    let value = |name: &str, value: &str| json!([{ "Name": name, "Value": value }]);
    vec![
        measurement(device, "heartrate", minute, value("hr", NUMBER)),
        measurement(device, "note", minute, value("note", TEXT)),
        measurement(device, "weight", minute, value("kg", FRACTION)),
        measurement(device, "session", minute, value("hr", NUMBER)),
        // What cannot be an Observation.
        measurement(device, "weight", minute + 1, value("kg", TEXT)),
        measurement(device, "heartrate", minute + 1, value("hr", TEXT)),
        measurement(device, MEMBER, minute, value(MEMBER, TEXT)),
        measurement(
            device,
            "note",
            minute,
            json!([{ "Name": "note", "Value": TEXT }, { "Name": MEMBER, "Value": TEXT }]),
        ),
        json!({ "Type": "note", "DeviceId": DEVICE, "Properties": MEMBER }).to_string(),
        format!("{{\"Type\":\"note\",\"DeviceId\":\"qzpoison7k {MEMBER}"),
        format!("qzpoison7k {TEXT}"),
    ]
}

/// An invocation of these events, as the host makes it.
pub fn invocation(bodies: &[String]) -> String {
    let context = json!({
        "IsCheckpointingAfterInvocation": true, "FullyQualifiedNamespace": "localhost", "EventHubName": "hub",
        "ConsumerGroup": "$default", "PartitionId": "0",
    });
    let all = |each: &dyn Fn(usize) -> Value| Value::from((0..bodies.len()).map(each).collect::<Vec<_>>()).to_string();
    json!({
        "Data": { "events": all(&|at| BASE64_STANDARD.encode(&bodies[at]).into()) },
        "Metadata": {
            "TriggerPartitionContext": context,
            "PartitionContext": context,
            "PartitionKeyArray": all(&|_| DEVICE.into()),
            "OffsetArray": all(&|at| at.to_string().into()),
            "SequenceNumberArray": all(&|at| at.into()),
            "EnqueuedTimeUtcArray": all(&|_| "2026-11-20T12:00:00.123".into()),
            "PropertiesArray": all(&|_| json!({ "p": PROPERTY, MEMBER: PROPERTY })),
            "SystemPropertiesArray": all(&|_| json!({ "iothub-connection-device-id": DEVICE })),
        },
    })
    .to_string()
}

/// A handler that a test invokes in the host's place.
pub struct Handler {
    name: &'static str,
    process: Running,
    address: String,
    metrics: String,
    http: Client,
}

impl Handler {
    /// Starts a function with these settings, loud and with telemetry.
    pub fn start(name: &'static str, collector: &Collector, settings: &[(&str, String)]) -> Handler {
        let (port, metrics) = (free_port(), free_port());
        let mut command = Command::new(end_to_end::folder("IOTC_TEST_BIN", "native").join(name));
        command.env_clear().envs(settings.iter().map(|(name, value)| (name, value)));
        command.envs([
            ("FUNCTIONS_CUSTOMHANDLER_PORT", port.to_string()),
            ("Telemetry__PrometheusPort", metrics.to_string()),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint()),
            ("OTEL_METRIC_EXPORT_INTERVAL", "500".to_owned()),
            ("OTEL_BSP_SCHEDULE_DELAY", "100".to_owned()),
            ("OTEL_BLRP_SCHEDULE_DELAY", "100".to_owned()),
            ("Answer__Fates", "true".to_owned()),
            ("RUST_LOG", LOUD.to_owned()),
            ("RUST_BACKTRACE", "full".to_owned()),
        ]);
        let mut process = Running::start(name, &mut command);
        let http = Client::builder().no_proxy().timeout(LIMIT).build().unwrap();
        let address = format!("http://127.0.0.1:{port}");
        until(name, LIMIT, || {
            process.check_running();
            http.get(&address).send().ok()
        });
        Handler { name, process, address, metrics: format!("http://127.0.0.1:{metrics}/metrics"), http }
    }

    /// Has these events worked on; gives the status and keeps the answer.
    pub fn invoke(&self, evidence: &mut Evidence, what: &str, body: String) -> u16 {
        let answer = self.http.post(format!("{}/{}", self.address, self.name)).body(body).send().unwrap();
        let (status, headers) = (answer.status().as_u16(), format!("{:?}", answer.headers()));
        evidence.text(&format!("the answer to {what}"), format!("{status} {headers}\n{}", answer.text().unwrap()));
        status
    }

    /// What it has printed, and its page of metrics.
    pub fn finish(&self, evidence: &mut Evidence) {
        evidence.text("metrics", self.http.get(&self.metrics).send().unwrap().text().unwrap());
        evidence.process(self.name, &self.process);
    }
}

/// As a clinician might.
fn delete_observations(fhir: &Fhir) {
    let http = Client::builder().no_proxy().timeout(LIMIT).build().unwrap();
    for id in fhir.observations().into_keys() {
        let answer = http.delete(format!("{}/Observation/{id}", fhir.url)).send().unwrap();
        assert!(answer.status().is_success(), "{}", answer.status());
    }
}

/// Whether something goes well within three tries: with all that is logged here it
/// may take longer than a request may.
fn soon(goes_well: impl FnMut() -> bool) -> bool {
    std::iter::repeat_with(goes_well).take(3).any(|is_well| is_well)
}

#[test]
fn nothing_that_a_fhir_server_quotes_is_said_again() {
    let server = OwnServer::start("hapi");
    let quoting = Quoting::start(&server.fhir.url);
    let collector = Collector::start();
    let folder = tempfile::tempdir().unwrap();
    let below = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(below("fhir.json"), FHIR_MAPPING).unwrap();
    server.fhir.put_all(&[patient(), encounter()]);
    let mut evidence = Evidence::default();
    let mut minute = 0;
    for (identity, batch_entries) in [("Create", "100"), ("Lookup", "100"), ("LookupWithEncounter", "1")] {
        let convert = Handler::start(
            "group-convert",
            &collector,
            &[
                ("Template__FhirMapping", below("fhir.json")),
                ("FhirService__Url", quoting.url.clone()),
                ("FhirService__BatchEntries", batch_entries.to_owned()),
                ("FhirService__TimeLimitSeconds", "3".to_owned()),
                ("FhirService__ServerErrorPatienceSeconds", "1".to_owned()),
                ("ResourceIdentity__ResourceIdentityServiceType", identity.to_owned()),
                ("ResourceIdentity__NotFoundCacheSeconds", "0".to_owned()),
                ("ResourceIdentity__CacheSeconds", "1".to_owned()),
                ("CheckpointStorage__Folder", below("positions")),
                ("DeadLetters__Folder", below("dead-letters")),
            ],
        );
        let mut refuse = |refuses: Refuses, requests: usize, evidence: &mut Evidence| {
            minute += 2;
            quoting.refuse(refuses, requests);
            let what = format!("{identity} {refuses:?}");
            // Who is known already is not looked for again, so searches would never be refused.
            let device = match refuses {
                Refuses::Everything(_) | Refuses::Entries(_) | Refuses::Searches(_) => format!("{DEVICE}{minute}"),
                _ => DEVICE.to_owned(),
            };
            let status = convert.invoke(evidence, &what, invocation(&measurements(&device, minute)));
            assert!([200, 500].contains(&status), "{what}: {status}");
            quoting.refuse(Refuses::Nothing, 0);
            status
        };
        assert!(soon(|| refuse(Refuses::Nothing, 0, &mut evidence) == 200), "{}", convert.process.printed());
        for status in [400, 401, 403, 404, 405, 409, 410, 412, 413, 415, 422, 428] {
            refuse(Refuses::Everything(status), usize::MAX, &mut evidence);
            refuse(Refuses::Entries(status), usize::MAX, &mut evidence);
            refuse(Refuses::Writes(status), usize::MAX, &mut evidence);
            refuse(Refuses::Searches(status), usize::MAX, &mut evidence);
        }
        // These are away or busy: once they have been heard it goes on.
        for status in [408, 429, 500, 501, 502, 503, 504] {
            refuse(Refuses::Everything(status), 2, &mut evidence);
            refuse(Refuses::Entries(status), 2, &mut evidence);
            refuse(Refuses::Writes(status), 2, &mut evidence);
        }
        assert_eq!(refuse(Refuses::Everything(503), usize::MAX, &mut evidence), 500);
        refuse(Refuses::Writes(500), usize::MAX, &mut evidence);
        refuse(Refuses::HalfAnswers, 3, &mut evidence);
        refuse(Refuses::Pages, 3, &mut evidence);
        assert!(soon(|| refuse(Refuses::Nothing, 0, &mut evidence) == 200), "{}", convert.process.printed());
        delete_observations(&server.fhir);
        quoting.refuse(Refuses::Nothing, 0);
        let mut of_deleted = || {
            let deleted = invocation(&measurements(DEVICE, minute));
            convert.invoke(&mut evidence, "readings of what was deleted", deleted) == 200
        };
        assert!(soon(&mut of_deleted), "{}", convert.process.printed());
        convert.finish(&mut evidence);
    }
    until("the collector has the logs", LIMIT, || {
        collector.logs("group-convert").iter().any(|line| line.starts_with("Converted a window")).then_some(())
    });
    evidence.collector(&collector);
    evidence.folder(folder.path(), &["dead-letters"]);
    evidence.check();
    // It was refused what it says it was, and what was refused is where it belongs.
    evidence.check_that_it_says(&[
        "ObservationRefused",
        "IdentityRefused",
        "ObservationDeleted",
        "ReferenceNotFound",
        "ObservationTooLarge",
    ]);
    let marks = [
        "device id",
        "patient id",
        "encounter id",
        "correlation id",
        "free text",
        "member name",
        "poison body",
        "measured value",
    ];
    check_that_marks_arrived(&folder.path().join("dead-letters"), &marks);
    assert!(!quoting.is_refusing());
}

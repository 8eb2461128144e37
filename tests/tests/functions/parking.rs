//! The real group-convert parks measurements of a device that nobody has
//! registered, and saves them when somebody does (design.md D7).

use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use end_to_end::fhir::Fhir;
use end_to_end::poll::until;
use local::fhir_server::{FhirServer, FhirServerConfig, Personality};
use reqwest::blocking::Client;
use serde_json::{Value, json};

use crate::handler::ready_with;

const LIMIT: Duration = Duration::from_secs(30);

const MAPPING: &str = r#"{"templateType":"CollectionFhir","template":[{"templateType":"CodeValueFhir","template":{
    "typeName":"hr","periodInterval":60,"codes":[],
    "value":{"valueName":"hr","valueType":"SampledData","defaultPeriod":600000,"unit":"bpm"}}}]}"#;

/// The settings of a group-convert that keeps what is parked for so long.
fn settings(folder: &Path, fhir: &Fhir, keep_for: &str) -> Vec<(&'static str, String)> {
    let below = |name: &str| folder.join(name).display().to_string();
    std::fs::write(folder.join("mapping.json"), MAPPING).unwrap();
    vec![
        ("Template__FhirMapping", below("mapping.json")),
        ("FhirService__Url", fhir.url.clone()),
        ("DeadLetters__Folder", below("letters")),
        ("Parking__Folder", below("parked")),
        ("Parking__KeepForSeconds", keep_for.to_owned()),
        ("Parking__LookAgainSeconds", "1".to_owned()),
        ("ResourceIdentity__NotFoundCacheSeconds", "0".to_owned()),
    ]
}

/// One measurement of device `d1`, as the host gives it.
fn invocation() -> Value {
    let measurement = json!({
        "Type": "hr", "OccurrenceTimeUtc": "2023-10-09T19:00:07Z", "DeviceId": "d1",
        "Properties": [{ "Name": "hr", "Value": "60" }],
    });
    let events = json!([BASE64_STANDARD.encode(measurement.to_string())]).to_string();
    let context = json!({
        "IsCheckpointingAfterInvocation": true, "FullyQualifiedNamespace": "localhost",
        "EventHubName": "normalizeddata", "ConsumerGroup": "$Default", "PartitionId": "0",
    });
    json!({
        "Data": { "measurements": events },
        "Metadata": {
            "TriggerPartitionContext": context,
            "PartitionContext": context,
            "PartitionKeyArray": "[null]",
            "OffsetArray": "[\"0\"]",
            "SequenceNumberArray": "[0]",
            "EnqueuedTimeUtcArray": "[\"2026-11-20T12:00:00.123\"]",
            "PropertiesArray": "[{}]",
            "SystemPropertiesArray": "[{}]",
        },
    })
}

/// How many files lie below a folder.
fn files(folder: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    entries.map(|entry| entry.unwrap().path()).map(|path| if path.is_dir() { files(&path) } else { 1 }).sum()
}

/// Gives the measurement, finds it parked, and looks at what is there when the
/// device is registered, or is not.
fn end(keep_for: &str, register: bool) -> (usize, usize, usize) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = runtime.block_on(FhirServer::start(FhirServerConfig::new(Personality::Hapi))).unwrap();
    let fhir = Fhir::new(server.url());
    let folder = tempfile::tempdir().unwrap();
    let (handler, address, _) = ready_with("group-convert", settings(folder.path(), &fhir, keep_for));
    let client = Client::builder().no_proxy().timeout(LIMIT).build().unwrap();
    let answer = client.post(format!("{address}/group-convert")).body(invocation().to_string()).send().unwrap();
    let text = answer.text().unwrap();
    assert!(text.contains("1 parked") && text.contains("DeviceNotFound"), "{text}\n{}", handler.printed());
    if register {
        assert_eq!(files(&folder.path().join("parked")), 1);
        let patient = json!({ "resourceType": "Patient", "id": "p1" });
        let device = json!({
            "resourceType": "Device", "id": "d1", "identifier": [{ "value": "d1" }],
            "patient": { "reference": "Patient/p1" },
        });
        fhir.put_all(&[patient, device]);
    }
    until("nothing is parked any more", LIMIT, || (files(&folder.path().join("parked")) == 0).then_some(()));
    (fhir.observations().len(), files(&folder.path().join("letters")), files(&folder.path().join("parked")))
}

#[test]
fn what_is_parked_is_saved_when_its_device_is_registered() {
    assert_eq!(end("3600", true), (1, 0, 0));
}

#[test]
fn what_is_parked_is_a_dead_letter_when_its_time_is_over() {
    assert_eq!(end("1", false), (0, 1, 0));
}

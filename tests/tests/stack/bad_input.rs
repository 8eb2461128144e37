//! What cannot be used: each event and measurement that is rejected has its
//! record, the others go on, and nothing of a payload shows anywhere else.

use std::fs;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use end_to_end::poll::until;
use end_to_end::process::signal;
use end_to_end::stack::{ARRIVAL_LIMIT, Setup, Stack, files_hold};
use serde_json::Value;

use crate::example::{DEVICE_MAPPING, FHIR_MAPPING};

/// In all that the events hold, and in nothing else.
const MARK: &str = "canary-7f3a";
/// The same for numbers.
const MARK_NUMBER: &str = "70312";

/// `heartrate` needs two values; `steps` has no FHIR template; `temperature`
/// has to be a number in the end.
const MARKED_DEVICE_MAPPING: &str = r#"{
  "templateType": "CollectionContent",
  "template": [
    { "templateType": "JsonPathContent", "template": {
        "typeName": "heartrate", "typeMatchExpression": "$..[?(@heartrate)]",
        "deviceIdExpression": "$.device", "patientIdExpression": "$.patient", "timestampExpression": "$.at",
        "values": [
          { "required": true, "valueExpression": "$.heartrate", "valueName": "hr" },
          { "required": true, "valueExpression": "$.quality", "valueName": "quality" } ] } },
    { "templateType": "JsonPathContent", "template": {
        "typeName": "steps", "typeMatchExpression": "$..[?(@steps)]",
        "deviceIdExpression": "$.device", "patientIdExpression": "$.patient", "timestampExpression": "$.at",
        "values": [ { "required": true, "valueExpression": "$.steps", "valueName": "count" } ] } },
    { "templateType": "JsonPathContent", "template": {
        "typeName": "temperature", "typeMatchExpression": "$..[?(@temperature)]",
        "deviceIdExpression": "$.device", "patientIdExpression": "$.patient", "timestampExpression": "$.at",
        "values": [ { "required": true, "valueExpression": "$.temperature", "valueName": "t" } ] } }
  ]
}"#;

const MARKED_FHIR_MAPPING: &str = r#"{
  "templateType": "CollectionFhirTemplate",
  "template": [
    { "templateType": "CodeValueFhir", "template": {
        "typeName": "heartrate", "periodInterval": 60, "codes": [ { "code": "8867-4", "system": "http://loinc.org" } ],
        "value": { "valueType": "SampledData", "valueName": "hr", "defaultPeriod": 5000, "unit": "count/min" } } },
    { "templateType": "CodeValueFhir", "template": {
        "typeName": "temperature", "codes": [ { "code": "8310-5", "system": "http://loinc.org" } ],
        "value": { "valueType": "Quantity", "valueName": "t", "unit": "Cel" } } }
  ]
}"#;

fn event(at: &str, values: &str) -> String {
    format!(r#"{{"device":"{MARK}-device","patient":"{MARK}-patient","at":"{at}",{values}}}"#)
}

fn good(hour: usize) -> String {
    event(
        &format!("2020-11-01T{hour:02}:00:00Z"),
        &format!(r#""heartrate":{MARK_NUMBER}.{hour},"quality":"{MARK}-good""#),
    )
}

/// Events and the reason for which each is rejected, if it is, by normalize
/// and by group-convert.
fn events() -> Vec<(String, Option<(&'static str, &'static str)>)> {
    let noon = "2020-11-01T12:30:00Z";
    vec![
        (good(10), None),
        (format!("{MARK} is no JSON"), Some(("normalize", "InvalidDataFormat"))),
        (format!(r#"{{"device":"{MARK}-device","heartrate":"#), Some(("normalize", "InvalidDataFormat"))),
        (good(11), None),
        (event(noon, &format!(r#""heartrate":{MARK_NUMBER}"#)), Some(("normalize", "IncompatibleData"))),
        (
            event(&format!("{MARK} noon"), &format!(r#""heartrate":{MARK_NUMBER},"quality":1"#)),
            Some(("normalize", "IncompatibleData")),
        ),
        (event(noon, &format!(r#""steps":"{MARK}-steps""#)), Some(("group-convert", "TemplateNotFound"))),
        (event(noon, &format!(r#""temperature":"{MARK}-hot""#)), Some(("group-convert", "InvalidQuantity"))),
        (good(12), None),
    ]
}

#[test]
fn each_rejection_has_its_record_and_the_rest_goes_on() {
    let mut stack = Setup::with_mappings(MARKED_DEVICE_MAPPING, MARKED_FHIR_MAPPING).start();
    let events = events();
    // All of them lie in the hub before the first is read: one batch.
    let host = stack.part("normalize host");
    signal(host.pid, "STOP");
    let hub = stack.folder().join("state/event-hubs");
    stack.send(&events.iter().map(|(body, _)| body).collect::<Vec<_>>());
    until("the hub has the events", ARRIVAL_LIMIT, || files_hold(&hub, &good(12)).then_some(()));
    signal(host.pid, "CONT");

    let (of_events, of_measurements) = stack.wait_for_fates(events.len());
    let counts = |pairs: &[(&str, usize)]| pairs.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect::<Vec<_>>();
    assert_eq!(of_events, counts(&[("events", 9), ("normalized", 5), ("unmatched", 0), ("rejected", 4)]));
    let fates = [("created", 3), ("merged", 0), ("unchanged", 0), ("superseded", 0), ("rejected", 2)];
    assert_eq!(of_measurements, [counts(&[("measurements", 5)]), counts(&fates)].concat());
    assert_eq!(stack.fhir().observations().len(), 3);

    check_letters(&stack, &events);
    check_silence(&stack);
}

fn check_letters(stack: &Stack, events: &[(String, Option<(&str, &str)>)]) {
    let letters = stack.dead_letters();
    let of_stage = |stage: &str| letters.iter().filter(|letter| letter["stage"] == stage).collect::<Vec<&Value>>();
    let expected_of = |stage| {
        let numbered = events.iter().enumerate();
        numbered
            .filter_map(move |(number, (body, rejected))| Some((number, body, rejected.filter(|r| r.0 == stage)?.1)))
    };
    let body = |letter: &Value| BASE64_STANDARD.decode(letter["body"].as_str().unwrap()).unwrap();

    let by_normalize: Vec<_> = expected_of("normalize").collect();
    assert_eq!(of_stage("normalize").len(), by_normalize.len(), "{letters:#?}");
    for (letter, (number, event, reason)) in of_stage("normalize").into_iter().zip(by_normalize) {
        assert_eq!(letter["reason"], reason, "{letter:#}");
        assert_eq!(letter["hub"], "devicedata");
        assert_eq!(letter["partition"], "0");
        assert_eq!(letter["sequenceNumber"], number);
        assert_eq!(body(letter), event.as_bytes());
        assert!(letter["message"].as_str().is_some_and(|message| !message.is_empty()));
    }
    let mut reasons: Vec<_> =
        of_stage("group-convert").iter().map(|letter| letter["reason"].as_str().unwrap()).collect();
    let mut expected: Vec<_> = expected_of("group-convert").map(|(_, _, reason)| reason).collect();
    reasons.sort_unstable();
    expected.sort_unstable();
    assert_eq!(reasons, expected, "{letters:#?}");
    for letter in of_stage("group-convert") {
        assert_eq!(letter["hub"], "normalizeddata");
        let measurement: Value = serde_json::from_slice(&body(letter)).unwrap();
        assert_eq!(measurement["DeviceId"], format!("{MARK}-device"), "{measurement:#}");
    }
}

/// Nothing of a payload is in what was printed or logged, nor in any file but
/// the dead letters, the hub's and the FHIR server's.
fn check_silence(stack: &Stack) {
    let printed = stack.printed();
    assert!(printed.contains("Normalized a batch"), "the logs are elsewhere: {printed}");
    let leaks: Vec<&str> = printed.lines().filter(|line| line.contains(MARK) || line.contains(MARK_NUMBER)).collect();
    assert!(leaks.is_empty(), "{leaks:#?}");
    for entry in fs::read_dir(stack.folder().join("state")).unwrap() {
        let path = entry.unwrap().path();
        if !["dead-letters", "event-hubs", "fhir-server"].iter().any(|name| path.ends_with(name)) {
            assert!(!files_hold(&path, MARK) && !files_hold(&path, MARK_NUMBER), "{}", path.display());
        }
    }
}

/// The documented mapping five times over, each with another error.
fn mapping_with_five_errors() -> String {
    let template = |index: usize, from: &str, to: &str| {
        let line = DEVICE_MAPPING.lines().find(|line| line.contains("JsonPathContent")).unwrap();
        let (_, rest) = DEVICE_MAPPING.split_once(line).unwrap();
        let (rest, _) = rest.rsplit_once("        }\n    ]").unwrap();
        let renamed = rest.replace("\"heartrate\"", &format!("\"heartrate{index}\""));
        let broken = renamed.replacen(from, to, 1);
        assert_ne!(broken, renamed, "{from}");
        format!("        {{\n{line}{broken}        }}")
    };
    let templates = [
        template(0, "\"$..[?(@heartrate)]\"", "\"$..[?(@heartrate)\""),
        template(1, "\"deviceIdExpression\": \"$.deviceid\",", ""),
        template(2, "\"$.measurementdatetime\"", "\"$.measurement[\""),
        template(3, "\"true\"", "\"perhaps\""),
        template(4, "\"valueExpression\": \"$.heartrate\",", ""),
    ];
    format!(
        "{{\n    \"templateType\": \"CollectionContent\",\n    \"template\": [\n{}\n    ]\n}}",
        templates.join(",\n")
    )
}

/// Line and column from a text that follows `Line Number: `.
fn place(text: &str) -> (usize, usize) {
    let (line, rest) = text.split_once(", Position: ").unwrap();
    (line.parse().unwrap(), rest.split_once('.').unwrap().0.parse().unwrap())
}

#[test]
fn a_mapping_with_errors_is_refused_and_the_events_wait() {
    let wrong = mapping_with_five_errors();
    let mut stack = Setup::with_mappings(&wrong, FHIR_MAPPING).argument("--register-device", "d1").start();
    let event = |minute| {
        format!(r#"{{"deviceid":"d1","measurementdatetime":"2020-11-01T12:{minute:02}:00Z","heartrate":"78"}}"#)
    };
    stack.send(&[event(0), event(1)]);
    // One error in each template, in the order of the mapping.
    let places = until("five errors in the log", ARRIVAL_LIMIT, || {
        let places: Vec<(usize, usize)> = stack.logs().split("Line Number: ").skip(1).map(place).collect();
        (places.len() >= 5).then_some(places)
    });
    for (index, (line, column)) in places[..5].iter().enumerate() {
        let before: Vec<&str> = wrong.lines().take(*line).collect();
        let template = before.iter().filter(|line| line.contains("JsonPathContent")).count();
        assert_eq!(template, index + 1, "{places:?}");
        assert!((1..=before[line - 1].len()).contains(column), "{places:?}");
    }
    assert!(stack.fhir().observations().is_empty());
    assert!(stack.dead_letters().is_empty());

    fs::write(stack.folder().join("devicecontent.json"), DEVICE_MAPPING).unwrap();
    stack.wait_for_readings(&["78", "78"]);
}

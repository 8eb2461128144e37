//! What was rejected is found, and given again with better mappings; to give it
//! again twice changes nothing.

use std::fs;

use end_to_end::stack::{Setup, Stack};
use serde_json::Value;

/// In all that the events hold, and in nothing else.
const MARK: &str = "canary-51c8";

/// `heartrate` needs a quality, which some devices do not send.
const DEVICE_MAPPING: &str = r#"{
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
        "values": [ { "required": true, "valueExpression": "$.steps", "valueName": "count" } ] } }
  ]
}"#;

/// Nothing is said of `steps`.
const FHIR_MAPPING: &str = r#"{
  "templateType": "CollectionFhirTemplate",
  "template": [
    { "templateType": "CodeValueFhir", "template": {
        "typeName": "heartrate", "codes": [ { "code": "8867-4", "system": "http://loinc.org" } ],
        "value": { "valueType": "Quantity", "valueName": "hr", "unit": "count/min" } } }
  ]
}"#;

fn event(hour: usize, values: &str) -> String {
    format!(r#"{{"device":"{MARK}-device","patient":"{MARK}-patient","at":"2020-11-01T{hour:02}:00:00Z",{values}}}"#)
}

fn replay(stack: &Stack, more: &[&str]) -> (bool, String) {
    let endpoint = stack.event_hubs_address();
    let target = ["--internal-hub", "normalizeddata", "--internal-namespace", "localhost"];
    let access = ["--internal-authentication", "Development", "--internal-endpoint", &endpoint];
    let mapping = ["--device-mapping", "devicecontent.json"];
    let command = ["dead-letters", "replay", "--folder", "state/dead-letters"];
    stack.iotc(&[&command[..], &target[..], &access[..], &mapping[..], more].concat())
}

fn list(stack: &Stack, more: &[&str]) -> Vec<Value> {
    let command = ["dead-letters", "list", "--json", "--folder", "state/dead-letters"];
    let (done, printed) = stack.iotc(&[&command[..], more].concat());
    assert!(done && !printed.contains(MARK), "{printed}");
    printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn fate(stack: &Stack, stage: &str, sequence: &str) -> Value {
    let command = ["fate", "--json", "--state", "state", "--stage", stage, "--partition", "0", "--sequence", sequence];
    let (done, printed) = stack.iotc(&command);
    assert!(done && !printed.contains(MARK), "{printed}");
    serde_json::from_str(&printed).unwrap()
}

fn values(stack: &Stack) -> Vec<String> {
    let observations = stack.fhir().observations();
    let value = |observation: &String| {
        let observation: Value = serde_json::from_str(observation).unwrap();
        observation["valueQuantity"]["value"].to_string()
    };
    let mut values: Vec<String> = observations.values().map(value).collect();
    values.sort();
    values
}

fn count(counts: &[(String, usize)], name: &str) -> usize {
    counts.iter().find(|(known, _)| known == name).map(|(_, count)| *count).unwrap()
}

#[test]
fn a_rejected_event_is_found_and_gets_through_with_a_better_mapping() {
    check_replay("host");
}

#[test]
fn so_it_does_without_the_host() {
    check_replay("native");
}

fn check_replay(front: &str) {
    let mut stack = Setup::with_mappings(DEVICE_MAPPING, FHIR_MAPPING).argument("--front", front).start();
    let good = r#""heartrate":80,"quality":"good""#;
    stack.send(&[event(10, r#""heartrate":70"#), event(11, good), event(12, r#""steps":1200"#)]);
    stack.wait_for_fates(3);
    assert_eq!(values(&stack), ["80"]);

    // It is found, without a word of what it holds.
    let letters = list(&stack, &[]);
    let reasons: Vec<_> = letters.iter().map(|letter| letter["reason"].as_str().unwrap()).collect();
    assert_eq!(reasons, ["TemplateNotFound", "IncompatibleData"]);
    let of_normalize = list(&stack, &["--stage", "normalize", "--partition", "0", "--last", "0"]);
    assert_eq!(of_normalize, letters[1..]);
    assert!(list(&stack, &["--reason", "Other"]).is_empty() && list(&stack, &["--until", "2020-01-01"]).is_empty());
    let key = of_normalize[0]["key"].as_str().unwrap();
    let show = ["dead-letters", "show", key, "--folder", "state/dead-letters"];
    assert!(!stack.iotc(&show).1.contains(MARK));
    assert!(stack.iotc(&[&show[..], &["--body"]].concat()).1.contains(MARK), "asked for, it is shown");

    // So is what became of each event.
    assert_eq!(fate(&stack, "normalize", "0")["letters"][0]["reason"], "IncompatibleData");
    assert_eq!(fate(&stack, "normalize", "1")["fate"], "worked-through");
    assert_eq!(fate(&stack, "normalize", "3")["fate"], "not-yet");

    // With the mappings as they are it fails again, and stays.
    let (done, printed) = replay(&stack, &["--stage", "normalize"]);
    assert!(!done && printed.contains("IncompatibleData") && !printed.contains(MARK), "{printed}");
    assert_eq!(list(&stack, &[]).len(), 2);

    let better = DEVICE_MAPPING.replace(
        r#"{ "required": true, "valueExpression": "$.quality""#,
        r#"{ "required": false, "valueExpression": "$.quality""#,
    );
    fs::write(stack.folder().join("devicecontent.json"), better).unwrap();
    let steps = FHIR_MAPPING.replace("heartrate", "steps").replace(r#""hr""#, r#""count""#);
    let (_, steps) = steps.split_once(r#""template": ["#).unwrap();
    let (steps, _) = steps.rsplit_once(']').unwrap();
    let (head, tail) = FHIR_MAPPING.rsplit_once(']').unwrap();
    fs::write(stack.folder().join("fhirmapping.json"), format!("{head},{steps}]{tail}")).unwrap();

    // A dry run sends nothing.
    let (done, printed) = replay(&stack, &["--dry-run"]);
    assert!(done && printed.contains("events 2 = 2 would be replayed"), "{printed}");
    assert_eq!(list(&stack, &[]).len(), 2);

    // A newer reading of the same instant has come since: it stays.
    stack.send(&[event(10, r#""heartrate":71"#)]);
    stack.wait_for_measurements(3);
    assert_eq!(values(&stack), ["71", "80"]);
    let (done, printed) = replay(&stack, &[]);
    assert!(done && printed.contains("events 2 = 2 replayed"), "{printed}");
    let counts = stack.wait_for_measurements(5);
    assert_eq!((count(&counts, "created"), count(&counts, "superseded")), (3, 1));
    assert_eq!(values(&stack), ["1200", "71", "80"]);

    // None waits any more. To give them again changes nothing.
    assert!(list(&stack, &[]).is_empty());
    assert_eq!(list(&stack, &["--replayed"]).len(), 2);
    assert_eq!(fate(&stack, "normalize", "0")["letters"][0]["replayed"], true);
    let before = stack.fhir().observations();
    assert!(replay(&stack, &[]).1.contains("events 0 ="));
    let (done, printed) = replay(&stack, &["--replayed"]);
    assert!(done && printed.contains("events 2 = 2 replayed"), "{printed}");
    let counts = stack.wait_for_measurements(7);
    assert_eq!((count(&counts, "created"), count(&counts, "superseded")), (3, 3));
    assert_eq!(stack.fhir().observations(), before);
}

//! The mappings of the service's own documentation, as they are written there.

use end_to_end::stack::Setup;
use serde_json::json;

/// With `"required": "true"` as text.
pub const DEVICE_MAPPING: &str = r#"{
    "templateType": "CollectionContent",
    "template": [
        {
            "templateType": "JsonPathContent",
            "template": {
                "typeName": "heartrate",
                "typeMatchExpression": "$..[?(@heartrate)]",
                "deviceIdExpression": "$.deviceid",
                "timestampExpression": "$.measurementdatetime",
                "values": [
                    {
                        "required": "true",
                        "valueExpression": "$.heartrate",
                        "valueName": "hr"
                    }
                ]
            }
        }
    ]
}"#;

pub const FHIR_MAPPING: &str = r#"{
    "templateType": "CollectionFhirTemplate",
    "template": [
        {
            "templateType": "CodeValueFhir",
            "template": {
                "codes": [
                    {
                        "code": "8867-4",
                        "system": "http://loinc.org",
                        "display": "Heart rate"
                    }
                ],
                "periodInterval": 60,
                "typeName": "heartrate",
                "value": {
                    "defaultPeriod": 5000,
                    "unit": "count/min",
                    "valueName": "hr",
                    "valueType": "SampledData"
                }
            }
        }
    ]
}"#;

/// SHA-256 of `_patient-of-d1` and `_d1`: ids of resources without a system
/// (fhir-conversion.md 13.1).
const PATIENT: &str = "a659811f90397eb5ffe41452ae62fadc8a72122c6159ed99a1838b8eae3d8887";
const DEVICE: &str = "a9374be57fa21fe7dbb2966516a947c5823ffb3aa06918c76ad082325e0e2834";
/// SHA-256 of `<system>_<patient>.<device>.heartrate.20201101120000Z.20201101125959Z`.
const OBSERVATION: &str = "d659e52d2815f3b7c319ea4cbfb5157d25d2036fc3a976dd652ac0ec864b7758";
const SYSTEM: &str = "https://azure.microsoft.com/en-us/services/iomt-fhir-connector/";

#[test]
fn the_documented_mappings_make_the_documented_observation() {
    let mut stack = Setup::with_mappings(DEVICE_MAPPING, FHIR_MAPPING).argument("--register-device", "d1").start();
    stack.send(&[r#"{"deviceid":"d1","measurementdatetime":"2020-11-01T12:00:00Z","heartrate":"78"}"#]);
    let observations = stack.wait_for_an_observation();
    assert_eq!(observations.keys().collect::<Vec<_>>(), [OBSERVATION]);

    let mut observation = stack.fhir().read("Observation", OBSERVATION).unwrap();
    let issued = observation.as_object_mut().unwrap().remove("issued");
    assert!(issued.is_some_and(|issued| issued.as_str().is_some_and(|issued| issued.ends_with("+00:00"))));
    let data = observation["valueSampledData"]["data"].take();
    let slots: Vec<&str> = data.as_str().unwrap().split(' ').collect();
    assert_eq!((slots.len(), slots[0]), (720, "78"));
    assert!(slots[1..].iter().all(|slot| *slot == "E"));
    observation.as_object_mut().unwrap().remove("meta");
    let expected = json!({
        "resourceType": "Observation",
        "id": OBSERVATION,
        "identifier": [{
            "system": SYSTEM,
            "value": format!("{PATIENT}.{DEVICE}.heartrate.20201101120000Z.20201101125959Z"),
        }],
        "status": "final",
        "code": {
            "coding": [
                { "system": "http://loinc.org", "code": "8867-4", "display": "Heart rate" },
                { "system": SYSTEM, "code": "heartrate", "display": "heartrate" },
            ],
            "text": "heartrate",
        },
        "subject": { "reference": format!("Patient/{PATIENT}") },
        "device": { "reference": format!("Device/{DEVICE}") },
        "effectivePeriod": { "start": "2020-11-01T12:00:00.0000000Z", "end": "2020-11-01T12:59:59.9999999Z" },
        "valueSampledData": {
            "origin": { "value": 0, "unit": "count/min" },
            "period": 5000,
            "dimensions": 1,
            "data": null,
        },
    });
    assert_eq!(observation, expected);
}

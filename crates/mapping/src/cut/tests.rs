use expressions::UtcTime;

use super::*;
use crate::compatibility::Compatibility;
use crate::measurement::{Measurement, Property};

const MAPPING: &str = r#"{"templateType": "CollectionFhir", "template": [
    {"templateType": "CodeValueFhir", "template": {"typeName": "HeartRate", "periodInterval": 60, "codes": [],
        "value": {"valueType": "SampledData", "valueName": "hr", "defaultPeriod": 1000}}},
    {"templateType": "CodeValueFhir", "template": {"typeName": "ecg", "periodInterval": -1, "codes": []}}]}"#;

fn measurement<'v>(r#type: &'v str, second: i64, value: Option<&'v str>) -> Measurement<'v> {
    Measurement {
        r#type: r#type.into(),
        occurrence_time: UtcTime::from_ticks(second * 10_000_000).unwrap(),
        device_id: "d".into(),
        properties: vec![Property { name: "hr".into(), value: value.map(Into::into) }],
        ..Measurement::default()
    }
}

#[track_caller]
fn check(measurements: &[Measurement<'_>], expected: &str) {
    let compatibility = Compatibility::default();
    let mapping = FhirMapping::load(MAPPING.as_bytes(), &compatibility).unwrap();
    let mut actual = String::new();
    for group in &group::group(measurements, &compatibility).groups {
        match mapping.observation_groups(group) {
            Ok(cut) => {
                let groups: Vec<&Vec<usize>> = cut.groups.iter().map(|group| &group.measurements).collect();
                let rejected: Vec<String> = cut
                    .rejected
                    .iter()
                    .map(|rejected| format!("{} {}", rejected.measurement, rejected.error.code()))
                    .collect();
                actual.push_str(&format!("{groups:?} rejected {rejected:?} "));
            }
            Err(error) => actual.push_str(&format!("error {} ", error.code())),
        }
    }
    assert_eq!(actual.trim_end(), expected);
}

#[test]
fn finds_the_template_in_any_letter_case() {
    let measurements = [measurement("heartrate", 0, Some("1")), measurement("HEARTRATE", 1, Some("2"))];
    check(&measurements, r#"[[0]] rejected [] [[1]] rejected []"#);
}

#[test]
fn rejects_a_bad_sample_alone() {
    let measurements = [
        measurement("heartrate", 0, Some("65")),
        measurement("heartrate", 1, Some("1,000")),
        measurement("heartrate", 2, None),
        measurement("heartrate", 3, Some(" ")),
        measurement("heartrate", 4, Some("E")),
    ];
    check(&measurements, r#"[[0, 2, 3, 4]] rejected ["1 InvalidSample"]"#);
}

#[test]
fn refuses_a_group_that_has_no_template() {
    check(&[measurement("steps", 0, Some("1"))], "error TemplateNotFound");
    check(&[measurement(" ", 0, Some("1"))], "error TypeNotDefined");
}

#[test]
fn refuses_a_group_without_device_or_correlation_id() {
    let mut nameless = measurement("heartrate", 0, Some("1"));
    nameless.device_id = " ".into();
    check(&[nameless], "error DeviceIdNotDefined");
    check(&[measurement("ecg", 0, Some("1"))], "error CorrelationIdNotDefined");
}

//! The suite `normalize`: a device mapping and an event, or a ready document,
//! to measurements.

use expressions::{DateTime, Properties, UtcTime};
use mapping::normalize::{Event, NormalizeError, Scratch};
use mapping::{Compatibility, DeviceMapping, Finding, MeasurementRef};
use serde_json::{Value, json};

use super::case;
use crate::Outcome;

/// Runs a case.
pub fn run(case: &Value) -> Outcome {
    let Some(text) = case::mapping_text(case, "deviceMapping") else {
        return Outcome::Skipped("a case without a device mapping".to_owned());
    };
    let (mapping, findings) = DeviceMapping::load_partial(text.as_bytes(), &Compatibility::reference());
    let is_valid = !findings.iter().any(Finding::is_error);
    let expect = &case["expect"];
    if expect.get("mappingValid").is_some_and(|valid| *valid != Value::Bool(is_valid)) {
        return Outcome::failed(format!("mappingValid {}", expect["mappingValid"]), is_valid.to_string());
    }
    if !is_valid && case.get("evaluateEvenIfInvalid") != Some(&Value::Bool(true)) {
        return compare_findings(expect, &findings);
    }
    let Some(mapping) = mapping else { return compare_findings(expect, &findings) };
    let mut measurements = Vec::new();
    let result = normalize(&mapping, case, &mut measurements);
    compare(expect, &measurements, result.err())
}

fn normalize(mapping: &DeviceMapping, case: &Value, out: &mut Vec<Value>) -> Result<usize, NormalizeError> {
    let mut sink = |measurement: &MeasurementRef<'_>| out.push(measurement_facts(measurement));
    let mut scratch = Scratch::new();
    if let Some(document) = case::json(case, "document") {
        return mapping.normalize_document(&mut scratch, document.as_bytes(), &mut sink);
    }
    let event = case::members(&case::json(case, "event").unwrap_or_default());
    let body = match case["event"].get("bodyText") {
        Some(Value::String(text)) => text.as_str(),
        _ => event.get("body").map_or("", String::as_str),
    };
    let properties = |name: &str| event.get(name).map_or("{}", String::as_str);
    let content = expressions::Event {
        body: body.as_bytes(),
        properties: Properties::Json { text: properties("properties"), dates: &[] },
        system_properties: Properties::Json { text: properties("systemProperties"), dates: &[] },
    };
    mapping.normalize(&mut scratch, &Event { content, enqueued_time: UtcTime::MIN }, &mut sink)
}

/// A measurement as the corpus writes it down.
pub(crate) fn measurement_facts(measurement: &MeasurementRef<'_>) -> Value {
    let mut time = String::new();
    measurement.occurrence_time.write_iso(&mut time);
    let properties: Vec<Value> =
        measurement.properties.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
    json!({
        "type": measurement.r#type,
        "occurrenceTimeUtc": time,
        "deviceId": measurement.device_id,
        "patientId": measurement.patient_id,
        "encounterId": measurement.encounter_id,
        "correlationId": measurement.correlation_id,
        "properties": properties,
    })
}

fn compare(expect: &Value, measurements: &[Value], error: Option<NormalizeError>) -> Outcome {
    let got = json!({ "measurements": measurements, "error": error.as_ref().map(|error| error.to_string()) });
    let outcome = match (expect.get("error"), &error) {
        (None, Some(_)) | (Some(_), None) => false,
        (None, None) => same_measurements(&expect["measurements"], measurements),
        (Some(expected), Some(error)) => {
            let before = expect.get("measurementsBeforeError");
            error.kind.corpus_name() == case::text(expected, "kind")
                && case::contains(&error.to_string(), expected.get("contains"))
                && before.is_none_or(|before| same_measurements(before, measurements))
        }
    };
    if outcome {
        return Outcome::Passed;
    }
    let code = error.map_or("", |error| error.kind.corpus_name());
    Outcome::failed(expect.to_string(), format!("{code} {got}"))
}

fn compare_findings(expect: &Value, findings: &[Finding]) -> Outcome {
    let errors: Vec<String> = findings.iter().filter(|finding| finding.is_error()).map(Finding::to_string).collect();
    let expected = match expect.get("mappingErrors").and_then(Value::as_array) {
        Some(expected) => expected,
        None if expect.get("mappingValid") == Some(&Value::Bool(false)) => return Outcome::Passed,
        None => return Outcome::failed(expect.to_string(), format!("an invalid mapping: {errors:?}")),
    };
    let same = expected.len() == errors.len()
        && expected
            .iter()
            .zip(&errors)
            .all(|(expected, error)| case::contains(error, expected.get("contains").or(Some(expected))));
    if same { Outcome::Passed } else { Outcome::failed(expect.to_string(), format!("{errors:?}")) }
}

/// Whether measurements are as expected: a list of them, or how many.
pub(crate) fn same_measurements(expected: &Value, got: &[Value]) -> bool {
    match expected {
        Value::Array(expected) => {
            expected.len() == got.len()
                && expected.iter().zip(got).all(|(expected, got)| same_measurement(expected, got))
        }
        Value::Number(count) => count.as_u64() == Some(got.len() as u64),
        _ => false,
    }
}

fn same_measurement(expected: &Value, got: &Value) -> bool {
    let mut expected = expected.clone();
    let mut got = got.clone();
    if let (Some(expected), Some(got)) = (expected["occurrenceTimeUtc"].as_str(), got["occurrenceTimeUtc"].as_str())
        && instant(expected) != instant(got)
    {
        return false;
    }
    got["occurrenceTimeUtc"] = expected["occurrenceTimeUtc"].clone();
    if let (Some(expected), Some(got)) = (expected["properties"].as_array_mut(), got["properties"].as_array_mut()) {
        for (expected, got) in expected.iter_mut().zip(got) {
            accept_approximate(expected, got);
        }
    }
    case::difference(&expected, &got, "").is_none()
}

/// Takes a value for equal that is near enough to `approx`.
fn accept_approximate(expected: &mut Value, got: &mut Value) {
    let (Some(approx), Some(tolerance)) = (expected["approx"].as_f64(), expected["tolerance"].as_f64()) else {
        return;
    };
    let number = got["value"].as_str().and_then(|value| value.parse::<f64>().ok());
    if number.is_some_and(|number| (number - approx).abs() <= tolerance) {
        *expected = got.clone();
    }
}

fn instant(text: &str) -> Option<UtcTime> {
    DateTime::parse_token(text).map(|date| date.instant)
}

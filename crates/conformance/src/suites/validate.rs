//! The suite `validate`: what the validator says of mappings, and makes of
//! samples.

use expressions::UtcTime;
use mapping::validate::{self, Found, Request, Sample, SampleResult};
use mapping::{Compatibility, Validation};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::case;
use super::fhir::differing_fact;
use super::normalize::{measurement_facts, same_measurements};
use crate::Outcome;

/// Runs a case.
pub fn run(case: &Value) -> Outcome {
    let device = case::mapping_text(case, "deviceMapping");
    let fhir = case::mapping_text(case, "fhirMapping");
    let samples = case::json(case, "deviceSamples").unwrap_or_else(|| "[]".to_owned());
    let samples: Vec<Box<RawValue>> = match serde_json::from_str(&samples) {
        Ok(samples) => samples,
        Err(error) => return Outcome::Skipped(format!("the samples are not understood: {error}")),
    };
    let samples: Vec<Sample<'_>> = samples.iter().map(|sample| Sample::Document(sample.get().as_bytes())).collect();
    let validation = validate::validate(&Request {
        device_mapping: device.as_deref().map(str::as_bytes),
        fhir_mapping: fhir.as_deref().map(str::as_bytes),
        samples: &samples,
        aggregate: case["aggregate"].as_bool().unwrap_or_default(),
        compatibility: Compatibility::reference(),
        issued: UtcTime::MIN,
    });
    let expect = &case["expect"];
    match (validation, expect.get("error")) {
        (Err(_), Some(error)) => Outcome::compare(&error["kind"], &json!("argument")),
        (Ok(validation), None) => compare(expect, &validation),
        (validation, _) => Outcome::failed(expect.to_string(), format!("{validation:?}")),
    }
}

fn compare(expect: &Value, validation: &Validation) -> Outcome {
    let errors: Vec<&Found> = validation.mappings.iter().filter(|found| found.is_error()).collect();
    // Ours warns of more while a mapping loads, and those warnings have a place;
    // the reference connector's are about what does not fit between the two.
    let is_cross_check = |found: &&Found| !found.is_error() && found.finding.place.is_none();
    let warnings: Vec<&Found> = validation.mappings.iter().filter(is_cross_check).collect();
    let is_met = expect.get("valid").is_none_or(|valid| *valid == validation.is_valid())
        && same_entries(expect.get("templateErrors"), &errors)
        && same_entries(expect.get("templateWarnings"), &warnings)
        && expect.get("devices").and_then(Value::as_array).is_none_or(|devices| {
            devices.len() == validation.samples.len()
                && devices.iter().zip(&validation.samples).all(|(device, result)| same_device(device, result))
        });
    if is_met { Outcome::Passed } else { Outcome::failed(expect.to_string(), validation.to_string()) }
}

/// Whether findings are as a list of entries says; anything when there is none.
fn same_entries(expected: Option<&Value>, got: &[&Found]) -> bool {
    let Some(expected) = expected.and_then(Value::as_array) else { return true };
    expected.len() == got.len() && expected.iter().zip(got).all(|(expected, got)| same_entry(expected, got))
}

fn same_entry(expected: &Value, got: &Found) -> bool {
    let is = |name: &str, word: &str| expected.get(name).is_none_or(|expected| expected == word);
    let line = got.finding.place.map(|place| place.line);
    case::contains(&got.finding.message, expected.get("contains"))
        && is("category", got.category.as_str())
        && is("level", got.level())
        && expected.get("line").is_none_or(|expected| *expected == json!(line))
}

fn same_device(expected: &Value, got: &SampleResult) -> bool {
    let errors: Vec<&Found> = got.found.iter().filter(|found| found.is_error()).collect();
    let warnings: Vec<&Found> = got.found.iter().filter(|found| !found.is_error()).collect();
    let measurements: Vec<Value> =
        got.measurements.iter().map(|measurement| measurement_facts(&measurement.as_ref())).collect();
    expected.get("aggregatedCount").is_none_or(|count| *count == json!(got.aggregated_count))
        && same_entries(expected.get("errors"), &errors)
        && same_entries(expected.get("warnings"), &warnings)
        && expected.get("measurements").is_none_or(|expected| same_measurements(expected, &measurements))
        && expected
            .get("observations")
            .and_then(Value::as_array)
            .is_none_or(|expected| same_observations(expected, got))
}

fn same_observations(expected: &[Value], got: &SampleResult) -> bool {
    let same_facts = |facts: &Value, observation: &mapping::Observation| {
        let observation: Value = serde_json::from_slice(&observation.to_json()).unwrap_or_default();
        let mut facts = facts.as_object().into_iter().flatten();
        facts.all(|(pointer, expected)| differing_fact(&observation, pointer, expected).is_none())
    };
    expected.len() == got.observations.len()
        && expected.iter().zip(&got.observations).all(|(facts, observation)| same_facts(facts, observation))
}

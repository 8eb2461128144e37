//! The suite `fhir`: Observations made from a group of readings, or merged
//! with one.

use mapping::group::{ObservationGroup, PropertyValues};
use mapping::{Compatibility, ConvertError, FhirMapping, MergePolicy, Observation, ResourceIds};
use serde::Deserialize;
use serde_json::{Value, json};

use super::case;
use super::group::{Boundary, time, timed_values};
use super::ordered::Ordered;
use crate::Outcome;

#[derive(Deserialize)]
struct Group {
    name: String,
    boundary: Boundary,
    values: Ordered,
}

/// What came of a case.
struct Made {
    observation: Value,
    changed: bool,
}

/// Runs a case.
pub fn run(case: &Value) -> Outcome {
    let Some(group) = group(case) else { return Outcome::Skipped("the group is not understood".to_owned()) };
    let Some(text) = case::mapping_text(case, "fhirMapping") else {
        return Outcome::Skipped("no FHIR mapping".to_owned());
    };
    let stored = match case::json(case, "existing").filter(|existing| existing != "null") {
        None => None,
        Some(existing) => match Observation::read(existing.as_bytes()) {
            Ok(stored) => Some(stored),
            Err(error) => return Outcome::Skipped(format!("the existing Observation is not understood: {error}")),
        },
    };
    let made = match FhirMapping::load(text.as_bytes(), &Compatibility::reference()) {
        Ok(mapping) => make(&mapping, &group, stored.as_ref()).map_err(|error| (error.kind(), error.to_string())),
        Err(findings) => Err(("mapping-invalid", findings.to_string())),
    };
    let expect = &case["expect"];
    match (made, expect.get("error")) {
        (Err((kind, message)), Some(expected)) => {
            let is_met = expected["kind"] == json!(kind) && case::contains(&message, expected.get("contains"));
            if is_met { Outcome::Passed } else { Outcome::failed(expected.to_string(), format!("{kind}: {message}")) }
        }
        (Err((kind, message)), None) => Outcome::failed("an Observation", format!("{kind}: {message}")),
        (Ok(_), Some(expected)) => Outcome::failed(expected.to_string(), "an Observation"),
        (Ok(made), None) => check(expect, &made),
    }
}

fn group(case: &Value) -> Option<ObservationGroup<'static>> {
    let group: Group = serde_json::from_str(&case::json(case, "group")?).ok()?;
    let (start, end) = group.boundary.times()?;
    let values = group.values.0.iter();
    let values = values.map(|(name, list)| PropertyValues { name: name.clone().into(), values: timed_values(list) });
    Some(ObservationGroup {
        r#type: group.name.into(),
        start,
        end,
        id_segment: "segment".into(),
        values: values.collect(),
        measurements: Vec::new(),
        superseded: Vec::new(),
    })
}

fn make(
    mapping: &FhirMapping,
    group: &ObservationGroup<'_>,
    stored: Option<&Observation>,
) -> Result<Made, ConvertError> {
    let (observation, changed) = match stored {
        None => {
            let ids = ResourceIds { device: "device".to_owned(), patient: "patient".to_owned(), encounter: None };
            (mapping.create(group, &ids, time("2020-01-01T00:00:00Z").unwrap_or_default())?, true)
        }
        Some(stored) => {
            let merged = mapping.merge(stored, group, MergePolicy::NewWins)?;
            (merged.observation, merged.changed)
        }
    };
    let observation = serde_json::from_slice(&observation.to_json()).unwrap_or_default();
    Ok(Made { observation, changed })
}

fn check(expect: &Value, made: &Made) -> Outcome {
    if let Some(changed) = expect.get("changed").filter(|changed| **changed != json!(made.changed)) {
        return Outcome::failed(format!("changed {changed}"), format!("changed {}", made.changed));
    }
    for (pointer, expected) in expect["facts"].as_object().into_iter().flatten() {
        if let Some(got) = differing_fact(&made.observation, pointer, expected) {
            return Outcome::failed(format!("{pointer} {expected}"), got);
        }
    }
    let absent = expect["absent"].as_array().into_iter().flatten().filter_map(Value::as_str);
    for pointer in absent {
        if let Some(got) = made.observation.pointer(pointer) {
            return Outcome::failed(format!("no {pointer}"), got.to_string());
        }
    }
    Outcome::Passed
}

/// What stands at a pointer, when that is not what is expected. A pointer may
/// ask for the length of a list or a part of a text.
pub(crate) fn differing_fact(observation: &Value, pointer: &str, expected: &Value) -> Option<String> {
    let (path, question) = pointer.split_once('#').unwrap_or((pointer, ""));
    let got = observation.pointer(path);
    let is_met = match (question, got) {
        ("count", got) => {
            let count = got.and_then(Value::as_array).map_or(0, Vec::len);
            expected.as_u64() == u64::try_from(count).ok()
        }
        ("contains", got) => got.and_then(Value::as_str).is_some_and(|got| case::contains(got, Some(expected))),
        (_, Some(got)) => case::difference(expected, got, "").is_none(),
        (_, None) => expected.is_null(),
    };
    (!is_met).then(|| got.map_or("nothing".to_owned(), Value::to_string))
}

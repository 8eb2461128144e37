//! Compares what comes of a sample with what should.
//!
//! A measurement is compared as JSON in the form of `expected`, with every
//! member present, and two that are about its Observation: `effectivePeriod`,
//! null when it is one instant, and `observation`, null when it could be made
//! and else why not.

use expressions::{DateTime, UtcTime};
use mapping::fhir_mapping::{Code, FhirTemplate, ValueKind, ValueTemplate};
use mapping::group::{group, observation_groups};
use mapping::{Compatibility, ConvertError, FhirMapping, Measurement, ResourceIds};
use serde_json::{Map, Value, json};

use crate::sample::{Mappings, Sample};

const UCUM: &str = "http://unitsofmeasure.org";

/// The members of a measurement and what they are when nothing is said.
const MEMBERS: [&str; 8] = [
    "type",
    "deviceId",
    "patientId",
    "encounterId",
    "correlationId",
    "occurrenceTimeUtc",
    "effectivePeriod",
    "observation",
];

/// The Observation that measurements of one group become.
pub fn observation(measurements: &[Measurement], fhir: &FhirMapping) -> Result<Value, ConvertError> {
    let grouping = group(measurements, &Compatibility::default());
    let [whole] = grouping.groups.as_slice() else { panic!("{} groups instead of one", grouping.groups.len()) };
    let interval = fhir.template(whole.r#type).map(|template| template.interval).unwrap_or_default();
    let groups = observation_groups(whole, interval)?;
    let [group] = groups.as_slice() else { panic!("{} Observations instead of one", groups.len()) };
    let ids = ResourceIds { device: "device-1".to_owned(), patient: "patient-1".to_owned(), encounter: None };
    let observation = fhir.create(group, &ids, UtcTime::MIN)?;
    Ok(serde_json::from_slice(&observation.to_json()).unwrap())
}

/// A measurement, and what becomes of it, in the form of `expected`.
pub fn measurement_json(measurement: &Measurement, fhir: &FhirMapping) -> Value {
    let made = observation(std::slice::from_ref(measurement), fhir);
    if let Ok(observation) = &made {
        check_values(measurement, fhir, observation);
    }
    let period = made.as_ref().ok().map(|observation| &observation["effectivePeriod"]);
    let properties: Vec<Value> = measurement
        .properties
        .iter()
        .map(|property| json!({ "name": property.name, "value": property.value }))
        .collect();
    json!({
        "type": measurement.r#type,
        "deviceId": measurement.device_id,
        "patientId": measurement.patient_id,
        "encounterId": measurement.encounter_id,
        "correlationId": measurement.correlation_id,
        "occurrenceTimeUtc": time_text(measurement.occurrence_time),
        "properties": properties,
        "effectivePeriod": period.filter(|period| period["start"] != period["end"]),
        "observation": made.as_ref().err().map(ConvertError::code),
    })
}

/// Every property is in the Observation, with its value.
fn check_values(measurement: &Measurement, fhir: &FhirMapping, observation: &Value) {
    let template = fhir.template(&measurement.r#type).unwrap();
    for property in &measurement.properties {
        let (name, text) = (&property.name, property.value.as_deref().unwrap());
        let (at, value) = find_value(template, name);
        let holder = match at {
            Some(component) => &observation["component"][component],
            None => observation,
        };
        let written = &holder[format!("value{}", value.kind.type_name())];
        match &value.kind {
            ValueKind::Quantity { .. } => assert_eq!(written["value"].as_f64(), text.parse().ok(), "{name}"),
            ValueKind::SampledData { .. } => assert_eq!(written["data"], text, "{name}"),
            ValueKind::String => assert_eq!(written, text, "{name}"),
            ValueKind::CodeableConcept(_) => assert!(written.is_object(), "{name}"),
        }
    }
}

/// The template of a value, and in which component it is.
fn find_value<'t>(template: &'t FhirTemplate, name: &str) -> (Option<usize>, &'t ValueTemplate) {
    let components = template.components().iter().map(|component| &component.value).enumerate();
    let values =
        components.map(|(at, value)| (Some(at), value)).chain(template.value.iter().map(|value| (None, value)));
    let mut found = values.filter(|(_, value)| value.property() == Some(name));
    match (found.next(), found.next()) {
        (Some(one), None) => one,
        _ => panic!("`{name}` is not in the FHIR template of `{}` once", template.type_name),
    }
}

/// The measurements of `expected`, with the deviations that the sample tells.
pub fn expected_after_deviations(sample: &Sample) -> Vec<Value> {
    let mut places: Vec<Vec<Value>> = sample.expected().iter().map(|value| vec![complete(value)]).collect();
    for deviation in sample.deviations.iter().flat_map(|deviations| &deviations.deviations) {
        let place = &mut places[deviation.measurement];
        let before = place.clone();
        match &deviation.member {
            Some(member) => {
                assert!(place[0].get(member).is_some(), "{}: there is no member {member}", sample.name);
                place[0][member] = deviation.instead.clone();
            }
            None => *place = deviation.instead.as_array().unwrap().iter().map(complete).collect(),
        }
        assert_ne!(*place, before, "{}: a deviation that is none", sample.name);
    }
    places.concat()
}

/// The same with every member, and without what is for people.
fn complete(measurement: &Value) -> Value {
    let given = measurement.as_object().expect("a measurement is an object");
    let known = |name: &str| MEMBERS.contains(&name) || ["properties", "fhir", "note"].contains(&name);
    let unknown: Vec<&String> = given.keys().filter(|name| !known(name)).collect();
    assert!(unknown.is_empty(), "{unknown:?} of a measurement is not compared");
    let mut members: Map<String, Value> =
        MEMBERS.iter().map(|name| ((*name).to_owned(), given.get(*name).cloned().unwrap_or_default())).collect();
    members.insert("properties".to_owned(), given["properties"].clone());
    let time = members["occurrenceTimeUtc"].as_str().and_then(DateTime::parse_dotnet).expect("a time");
    members.insert("occurrenceTimeUtc".to_owned(), time_text(time.instant).into());
    Value::Object(members)
}

fn time_text(time: UtcTime) -> String {
    let mut text = String::new();
    time.write_iso(&mut text);
    text
}

/// The FHIR mapping has a template for each type of the device mapping and no
/// other, with the codes, units and value types that the sample names.
pub fn check_fhir_mapping(sample: &Sample, mappings: &Mappings) {
    let (name, fhir) = (&sample.name, &mappings.fhir);
    for template in mappings.device.templates() {
        let names = template.values.iter().map(|value| value.name.as_str());
        assert_eq!(fhir.check_device_template(&template.type_name, names), [], "{name}");
    }
    let is_used =
        |fhir: &&FhirTemplate| mappings.device.templates().iter().any(|template| template.type_name == fhir.type_name);
    assert_eq!(fhir.templates().iter().filter(is_used).count(), fhir.templates().len(), "{name}: unused templates");
    for measurement in sample.expected() {
        // What does not come at all has no template.
        let Some(template) = fhir.template(measurement["type"].as_str().unwrap()) else { continue };
        let codes = measurement["fhir"].as_array().map(Vec::as_slice).unwrap_or_default();
        for (property, expected) in measurement["properties"].as_array().unwrap().iter().zip(codes) {
            assert_eq!(fhir_json(template, property["name"].as_str().unwrap()), *expected, "{name}");
        }
    }
}

/// What becomes of a value, in the form of `expected[].fhir`.
fn fhir_json(template: &FhirTemplate, name: &str) -> Value {
    let (at, value) = find_value(template, name);
    let codes = at.map_or(&template.codes, |at| &template.components()[at].codes);
    let [Code { system, code, display }] = codes.as_slice() else { panic!("`{name}` has {} codes", codes.len()) };
    let unit = match &value.kind {
        ValueKind::Quantity { unit, system, code } => {
            assert_eq!((system.as_deref(), code), (Some(UCUM), unit));
            unit
        }
        ValueKind::SampledData { unit, .. } => unit,
        ValueKind::String | ValueKind::CodeableConcept(_) => &None,
    };
    json!({
        "system": system, "code": code, "display": display, "unit": unit, "valueType": value.kind.type_name(),
    })
}

/// `events.jsonl` has the sample's events.
pub fn check_events(sample: &Sample, mappings: &Mappings) {
    let body = &sample.payload["body"];
    let same = match body {
        Value::Array(events) if sample.events().len() > 1 => mappings.events == *events,
        _ => mappings.events == [body.clone()],
    };
    assert!(same, "{}: events.jsonl differs from `body`", sample.name);
}

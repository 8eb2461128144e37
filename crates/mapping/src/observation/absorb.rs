//! What a version of an Observation holds, put into another version of it.
//!
//! ```text
//! overwritten version --read back--> ObservationGroup --merge, stored wins--> current version
//! ```
//!
//! Two writers that create the same Observation at the same time can overwrite
//! each other, since servers bend the headers that forbid it (design.md D6).
//! The one whose version stays then fills in what the other's held.

use super::effective::Effective;
use super::members::Members;
use super::merge::{Components, stored_period, stored_samples, stored_value};
use super::{MergePolicy, Merged, Observation, create};
use crate::convert_error::ConvertError;
use crate::fhir_mapping::{FhirMapping, FhirTemplate, ValueKind, ValueTemplate};
use crate::group::{ObservationGroup, PropertyValues, TimedValue};
use crate::json;
use crate::sampled_data::Grid;

impl FhirMapping {
    /// `stored` with what `lost` holds and it lacks: samples, values and
    /// components that the template of `type_name` names. Where both have
    /// something, `stored` keeps its own.
    pub fn absorb(&self, stored: &Observation, lost: &Observation, type_name: &str) -> Result<Merged, ConvertError> {
        let group = read_back(lost, self.template_of(type_name)?, type_name)?;
        self.merge(stored, &group, MergePolicy::StoredWins)
    }
}

/// The readings that an Observation was made of, as far as it tells.
fn read_back<'t>(
    observation: &Observation,
    template: &'t FhirTemplate,
    type_name: &'t str,
) -> Result<ObservationGroup<'t>, ConvertError> {
    let effective = Effective::read(observation)?;
    let mut values: Vec<PropertyValues<'t>> = Vec::new();
    let mut add = |template: &'t ValueTemplate, holder: &Members| {
        let Some(name) = template.property() else { return };
        if values.iter().all(|property| property.name != name)
            && let Some(read) = values_of(template, holder, &effective)
        {
            values.push(PropertyValues { name: name.into(), values: read });
        }
    };
    if let Some(value) = &template.value {
        add(value, &observation.members);
    }
    let mut components = Components::read(&observation.members);
    for component in template.components() {
        if let Some(stored) = components.find(component.value.property().unwrap_or_default()) {
            add(&component.value, stored);
        }
    }
    Ok(ObservationGroup {
        r#type: type_name.into(),
        start: effective.start,
        end: effective.end,
        id_segment: "".into(),
        values,
        measurements: Vec::new(),
        superseded: Vec::new(),
    })
}

/// The values in an Observation or component; none when its value is of
/// another type than the template's.
fn values_of(template: &ValueTemplate, holder: &Members, effective: &Effective) -> Option<Vec<TimedValue<'static>>> {
    let (name, value) = stored_value(holder)?;
    if name != create::member_name(&template.kind) {
        return None;
    }
    let one = |text: String| vec![TimedValue { time: effective.start, value: Some(text.into()) }];
    Some(match &template.kind {
        ValueKind::SampledData { period, .. } => {
            let grid = Grid { start: effective.start, period: stored_period(holder).unwrap_or(*period) };
            let text = json::text(json::member(value, "data")?)?;
            let samples = stored_samples(&text, grid).into_iter();
            samples
                .map(|sample| TimedValue { time: sample.time, value: Some(sample.value.to_owned().into()) })
                .collect()
        }
        ValueKind::Quantity { .. } => one(json::number(json::member(value, "value")?)?.to_string()),
        ValueKind::String => one(json::text(value)?.into_owned()),
        ValueKind::CodeableConcept(_) => one(String::new()),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::Compatibility;

    const MAPPING: &str = r#"{"templateType":"CollectionFhirTemplate","template":[{"templateType":"CodeValueFhir","template":{
        "typeName":"hr","periodInterval":60,"codes":[],
        "value":{"valueName":"hr","valueType":"SampledData","defaultPeriod":600000,"unit":"bpm"},
        "components":[
            {"codes":[],"value":{"valueName":"sys","valueType":"Quantity","unit":"mmHg"}},
            {"codes":[],"value":{"valueName":"note","valueType":"String"}}
        ]}}]}"#;

    fn observation(data: &str, components: Value) -> Observation {
        let json = json!({
            "resourceType": "Observation", "id": "a", "status": "final", "code": { "text": "hr" },
            "effectivePeriod": { "start": "2023-10-09T19:00:00.0000000Z", "end": "2023-10-09T19:59:59.9999999Z" },
            "valueSampledData": { "origin": { "value": 0, "unit": "bpm" }, "period": 600000, "dimensions": 1, "data": data },
            "component": components,
        });
        Observation::read(json.to_string().as_bytes()).unwrap()
    }

    fn component(name: &str, kind: &str, value: Value) -> Value {
        let system = crate::identifier::SERVICE_SYSTEM;
        json!({ "code": { "coding": [{ "system": system, "code": name }] }, kind: value })
    }

    #[test]
    fn fills_in_what_was_lost_and_keeps_what_is_there() {
        let mapping = FhirMapping::load(MAPPING.as_bytes(), &Compatibility::default()).unwrap();
        let note = || component("note", "valueString", json!("rest"));
        let pressure = |value: i32| component("sys", "valueQuantity", json!({ "value": value, "unit": "mmHg" }));
        let current = observation("E 66 E E 71 E", json!([pressure(120)]));
        let lost = observation("1 2 E E E 3", json!([pressure(121), note()]));
        let merged = mapping.absorb(&current, &lost, "hr").unwrap();
        assert!(merged.changed);
        let merged: Value = serde_json::from_slice(&merged.observation.to_json()).unwrap();
        assert_eq!(merged["valueSampledData"]["data"], "1 66 E E 71 3");
        assert_eq!(merged["component"][0]["valueQuantity"]["value"], 120);
        assert_eq!(merged["component"][1]["valueString"], "rest");
        assert!(!mapping.absorb(&current, &current, "hr").unwrap().changed);
    }
}

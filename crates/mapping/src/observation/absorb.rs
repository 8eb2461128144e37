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

/// What we write ourselves, beside `value[x]` and `effective[x]`.
const OURS: [&str; 13] = [
    "resourceType",
    "id",
    "meta",
    "text",
    "identifier",
    "status",
    "category",
    "code",
    "subject",
    "device",
    "encounter",
    "component",
    "issued",
];

impl Observation {
    /// This Observation with what others wrote into `lost` and it lacks: members
    /// that we never write, and elements of those that both have. None when it
    /// lacks nothing.
    pub fn with_members_of_others(&self, lost: &Observation) -> Option<Observation> {
        let mut members = self.members.clone();
        let mut is_changed = false;
        let is_ours = |name: &str| OURS.contains(&name) || name.starts_with("value") || name.starts_with("effective");
        for (name, lost) in lost.members.iter().filter(|(name, _)| !is_ours(name)) {
            let merged = match members.get(name) {
                None => lost.to_owned(),
                Some(stored) => match with_elements(stored, lost) {
                    Some(merged) => merged,
                    None => continue,
                },
            };
            members.set(name, &merged);
            is_changed = true;
        }
        is_changed.then_some(Observation { members })
    }
}

/// A list with the elements of another that it lacks; none when it lacks none, or
/// one of them is no list.
fn with_elements(stored: &str, lost: &str) -> Option<String> {
    let (stored, lost): (Vec<&str>, Vec<&str>) = (json::elements(stored)?.collect(), json::elements(lost)?.collect());
    let missing = lost.iter().filter(|lost| !stored.iter().any(|stored| json::is_same(stored, lost)));
    let all: Vec<&str> = stored.iter().chain(missing).copied().collect();
    (all.len() > stored.len()).then(|| format!("[{}]", all.join(",")))
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
    fn takes_over_what_others_wrote() {
        let with = |members: Value| {
            let mut observation: Value =
                serde_json::from_slice(&observation("1 E E E E E", json!([])).to_json()).unwrap();
            observation.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
            Observation::read(observation.to_string().as_bytes()).unwrap()
        };
        let note = |text: &str| json!({ "text": text });
        let current = with(json!({ "note": [note("b")], "bodySite": { "text": "arm" } }));
        let lost = with(json!({
            "note": [note("a"), note("b")], "bodySite": { "text": "leg" }, "method": { "text": "m" }, "status": "amended",
        }));
        let merged: Value = serde_json::from_slice(&current.with_members_of_others(&lost).unwrap().to_json()).unwrap();
        assert_eq!(merged["note"], json!([note("b"), note("a")]));
        assert_eq!((&merged["bodySite"]["text"], &merged["method"]["text"]), (&json!("arm"), &json!("m")));
        assert_eq!(merged["status"], "final");
        assert!(current.with_members_of_others(&current).is_none());
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

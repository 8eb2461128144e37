//! A new Observation, and the elements that a merge makes anew
//! (fhir-conversion.md 5). What of them the mapping decides is JSON since the
//! mapping was loaded.

use expressions::UtcTime;

use super::Observation;
use super::members::Members;
use super::quantity;
use crate::convert_error::ConvertError;
use crate::fhir_mapping::{ComponentTemplate, FhirTemplate, ValueKind, ValueTemplate, given, push_code_end};
use crate::group::{ObservationGroup, TimedValue};
use crate::identifier::{ObservationIdentity, ResourceIds, SERVICE_SYSTEM};
use crate::json::{push_escaped, push_text};
use crate::sampled_data::{self, Grid, SAMPLES_MAX, Sample};

/// What an Observation has besides values and codes, in bytes.
const FRAME_BYTES: usize = 1024;

/// From the first to the last instant, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Period {
    pub(super) start: UtcTime,
    pub(super) end: UtcTime,
}

pub(super) fn create(
    template: &FhirTemplate,
    group: &ObservationGroup<'_>,
    ids: &ResourceIds,
    identity: &ObservationIdentity,
    issued: UtcTime,
) -> Result<Observation, ConvertError> {
    let period = Period { start: group.start, end: group.end };
    let mut value = String::new();
    let mut value_name = None;
    if let Some(value_template) = &template.value
        && let Some(values) = value_of(value_template, group)
        && push_value(value_template, values, period, &mut value)?
    {
        value_name = Some(member_name(&value_template.kind));
    }
    let mut components = String::new();
    for component in template.components() {
        if let Some(values) = value_of(&component.value, group) {
            components.push(if components.is_empty() { '[' } else { ',' });
            push_component(component, values, period, &mut components)?;
        }
    }

    let mut members = Members::with_capacity(FRAME_BYTES + value.len() + components.len());
    members.push("resourceType", |json| json.push_str("\"Observation\""));
    members.push("id", |json| push_text(&identity.id, json));
    members.push("identifier", |json| {
        json.push_str("[{\"system\":\"");
        json.push_str(SERVICE_SYSTEM);
        json.push_str("\",\"value\":");
        push_text(&identity.identifier, json);
        json.push_str("}]");
    });
    members.push("status", |json| json.push_str("\"final\""));
    if let Some(category) = &template.category_json {
        members.push("category", |json| json.push_str(category));
    }
    members.push("code", |json| {
        json.push_str(&template.code_start);
        push_code_end(&group.r#type, json);
    });
    members.push("subject", |json| push_reference("Patient/", &ids.patient, json));
    if let Some(encounter) = &ids.encounter {
        members.push("encounter", |json| push_reference("Encounter/", encounter, json));
    }
    members.push("effectivePeriod", |json| push_period(period, json));
    members.push("issued", |json| {
        json.push('"');
        issued.write_iso_without_zone(json);
        json.push_str("+00:00\"");
    });
    if let Some(name) = value_name {
        members.push(name, |json| json.push_str(&value));
    }
    members.push("device", |json| push_reference("Device/", &ids.device, json));
    if !components.is_empty() {
        members.push("component", |json| {
            json.push_str(&components);
            json.push(']');
        });
    }
    Ok(Observation { members })
}

/// The readings that a value is made of: none when it names no property, or
/// one that the group does not have.
pub(super) fn value_of<'g>(value: &ValueTemplate, group: &'g ObservationGroup<'_>) -> Option<&'g [TimedValue<'g>]> {
    group.values_of(value.property()?)
}

fn push_reference(kind: &str, id: &str, json: &mut String) {
    json.push_str("{\"reference\":\"");
    json.push_str(kind);
    push_escaped(id, json);
    json.push_str("\"}");
}

/// Always seven digits of a second (fhir-conversion.md 5.3).
pub(super) fn push_period(period: Period, json: &mut String) {
    json.push_str("{\"start\":\"");
    period.start.write_iso7(json);
    json.push_str("\",\"end\":\"");
    period.end.write_iso7(json);
    json.push_str("\"}");
}

/// Appends a component with its code and value.
pub(super) fn push_component(
    component: &ComponentTemplate,
    values: &[TimedValue<'_>],
    period: Period,
    json: &mut String,
) -> Result<(), ConvertError> {
    json.push_str("{\"code\":");
    json.push_str(&component.code_json);
    let before = json.len();
    json.push_str(",\"");
    json.push_str(member_name(&component.value.kind));
    json.push_str("\":");
    if !push_value(&component.value, values, period, json)? {
        json.truncate(before);
    }
    json.push('}');
    Ok(())
}

/// The name of the member that a value of this kind is.
pub(super) fn member_name(kind: &ValueKind) -> &'static str {
    match kind {
        ValueKind::SampledData { .. } => "valueSampledData",
        ValueKind::Quantity { .. } => "valueQuantity",
        ValueKind::String => "valueString",
        ValueKind::CodeableConcept(_) => "valueCodeableConcept",
    }
}

/// Appends `value[x]` of these readings. False, and nothing appended, when a
/// text is empty, which FHIR does not know.
pub(super) fn push_value(
    template: &ValueTemplate,
    values: &[TimedValue<'_>],
    period: Period,
    json: &mut String,
) -> Result<bool, ConvertError> {
    let value_name = || template.property().unwrap_or_default().to_owned();
    let count = values.len();
    let around = &template.json;
    match &template.kind {
        ValueKind::SampledData { period: step, .. } => {
            let samples = samples_of(template, values)?;
            let grid = Grid { start: period.start, period: *step };
            json.reserve(around.before.len() + around.after.len() + sampled_data::length(&samples, &grid, period.end));
            json.push_str(&around.before);
            // Samples are digits, points and signs: nothing to escape.
            sampled_data::write(&samples, &grid, period.end, json).map_err(|_| too_many(template))?;
        }
        ValueKind::Quantity { .. } => {
            json.push_str(&around.before);
            let [TimedValue { value: Some(text), .. }] = values else {
                return Err(ConvertError::InvalidQuantity { value_name: value_name(), count });
            };
            quantity::push(text, template.exponents, json)
                .ok_or_else(|| ConvertError::InvalidQuantity { value_name: value_name(), count })?;
        }
        ValueKind::String => {
            let [TimedValue { value, .. }] = values else {
                return Err(ConvertError::NotOneString { value_name: value_name(), count });
            };
            let Some(text) = given(value.as_deref()) else { return Ok(false) };
            push_text(text, json);
        }
        ValueKind::CodeableConcept(_) => json.push_str(&around.before),
    }
    json.push_str(&around.after);
    Ok(true)
}

/// The samples among the values, all of them checked.
pub(super) fn samples_of<'v>(
    template: &ValueTemplate,
    values: &'v [TimedValue<'_>],
) -> Result<Vec<Sample<'v>>, ConvertError> {
    let samples = sampled_data::samples(values);
    if samples.iter().all(|sample| sampled_data::is_sample(sample.value)) {
        return Ok(samples);
    }
    Err(ConvertError::InvalidSample { value_name: template.property().unwrap_or_default().to_owned() })
}

/// That a series would be too long.
pub(super) fn too_many(template: &ValueTemplate) -> ConvertError {
    let value_name = template.property().unwrap_or_default().to_owned();
    ConvertError::TooManySamples { value_name, max: SAMPLES_MAX }
}

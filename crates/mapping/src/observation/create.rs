//! A new Observation, and the elements that a merge makes anew
//! (fhir-conversion.md 5).

use rust_decimal::Decimal;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use expressions::UtcTime;

use super::Observation;
use super::members::{Members, raw};
use super::quantity;
use crate::convert_error::ConvertError;
use crate::fhir_mapping::{Code, CodeableConcept, FhirTemplate, ValueKind, ValueTemplate};
use crate::group::{ObservationGroup, TimedValue};
use crate::identifier::{ResourceIds, SERVICE_SYSTEM, observation_id, observation_identifier};
use crate::sampled_data::{self, Grid, SAMPLES_MAX, Sample, SamplePeriod};

/// From the first to the last instant, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Period {
    pub(super) start: UtcTime,
    pub(super) end: UtcTime,
}

#[derive(Serialize)]
pub(super) struct CodingElement<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    system: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    display: Option<&'a str>,
}

#[derive(Serialize)]
pub(super) struct ConceptElement<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    coding: Vec<CodingElement<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
}

#[derive(Serialize)]
struct IdentifierElement<'a> {
    system: &'a str,
    value: &'a str,
}

#[derive(Serialize)]
struct ReferenceElement {
    reference: String,
}

#[derive(Serialize)]
struct PeriodElement {
    start: String,
    end: String,
}

#[derive(Serialize)]
struct QuantityElement<'a> {
    #[serde(serialize_with = "write_decimal")]
    value: Decimal,
    #[serde(skip_serializing_if = "Option::is_none")]
    unit: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    system: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
}

#[derive(Serialize)]
struct SampledDataElement<'a> {
    origin: QuantityElement<'a>,
    #[serde(serialize_with = "write_decimal")]
    period: Decimal,
    dimensions: u32,
    data: String,
}

/// Writes the decimal's own digits, which an `f64` would not keep.
fn write_decimal<S: Serializer>(number: &Decimal, serializer: S) -> Result<S::Ok, S::Error> {
    decimal(*number).serialize(serializer)
}

/// A decimal as a JSON number.
pub(super) fn decimal(number: Decimal) -> Box<RawValue> {
    RawValue::from_string(number.to_string()).expect("a decimal prints as a JSON number")
}

pub(super) fn create(
    template: &FhirTemplate,
    group: &ObservationGroup,
    ids: &ResourceIds,
    issued: UtcTime,
) -> Result<Observation, ConvertError> {
    let period = Period { start: group.start, end: group.end };
    let value = match &template.value {
        Some(value) => value_of(value, group).map(|values| value_element(value, values, period)).transpose()?.flatten(),
        None => None,
    };
    let mut components = Vec::new();
    for component in template.components() {
        if let Some(values) = value_of(&component.value, group) {
            components.push(component_element(&component.codes, &component.value, values, period)?);
        }
    }

    let identifier = observation_identifier(ids, &group.r#type, &group.id_segment);
    let mut members = Members::default();
    members.set("resourceType", raw(&"Observation"));
    members.set("id", raw(&observation_id(&identifier)));
    members.set("identifier", raw(&[IdentifierElement { system: SERVICE_SYSTEM, value: &identifier }]));
    members.set("status", raw(&"final"));
    if let Some(category) = category_element(template) {
        members.set("category", category);
    }
    members.set("code", raw(&code_element(&template.codes, &group.r#type)));
    members.set("subject", reference("Patient", &ids.patient));
    if let Some(encounter) = &ids.encounter {
        members.set("encounter", reference("Encounter", encounter));
    }
    members.set("effectivePeriod", period_element(period));
    members.set("issued", raw(&issued_text(issued)));
    if let Some((name, value)) = value {
        members.set(name, value);
    }
    members.set("device", reference("Device", &ids.device));
    if !components.is_empty() {
        members.set("component", raw(&components));
    }
    Ok(Observation { members })
}

/// The readings that a value is made of: none when it names no property, or
/// one that the group does not have.
pub(super) fn value_of<'g>(value: &ValueTemplate, group: &'g ObservationGroup) -> Option<&'g [TimedValue]> {
    group.values_of(value.property()?)
}

/// `category`; none when the template has none.
pub(super) fn category_element(template: &FhirTemplate) -> Option<Box<RawValue>> {
    let concepts: Vec<ConceptElement<'_>> = template.category.iter().map(concept).collect();
    (!concepts.is_empty()).then(|| raw(&concepts))
}

/// The template's codes and then our own, by which a component is found again.
fn code_element<'a>(codes: &'a [Code], name: &'a str) -> ConceptElement<'a> {
    let own = CodingElement { system: Some(SERVICE_SYSTEM), code: Some(name), display: Some(name) };
    ConceptElement { coding: codes.iter().map(coding).chain([own]).collect(), text: Some(name) }
}

fn concept(concept: &CodeableConcept) -> ConceptElement<'_> {
    ConceptElement { coding: concept.codes.iter().map(coding).collect(), text: given(&concept.text) }
}

fn coding(code: &Code) -> CodingElement<'_> {
    CodingElement { system: given(&code.system), code: given(&code.code), display: given(&code.display) }
}

/// FHIR knows no empty texts, and none with blanks around.
fn given(text: &Option<String>) -> Option<&str> {
    text.as_deref().map(str::trim).filter(|text| !text.is_empty())
}

fn reference(resource: &str, id: &str) -> Box<RawValue> {
    raw(&ReferenceElement { reference: format!("{resource}/{id}") })
}

/// Always seven digits of a second (fhir-conversion.md 5.3).
pub(super) fn period_element(period: Period) -> Box<RawValue> {
    let text = |time: UtcTime| {
        let mut text = String::with_capacity(28);
        time.write_iso7(&mut text);
        text
    };
    raw(&PeriodElement { start: text(period.start), end: text(period.end) })
}

fn issued_text(issued: UtcTime) -> String {
    let mut text = String::with_capacity(33);
    issued.write_iso_without_zone(&mut text);
    text.push_str("+00:00");
    text
}

/// A component with its code and value.
pub(super) fn component_element(
    codes: &[Code],
    value: &ValueTemplate,
    values: &[TimedValue],
    period: Period,
) -> Result<Members, ConvertError> {
    let name = value.property().unwrap_or_default();
    let mut members = Members::default();
    members.set("code", raw(&code_element(codes, name)));
    if let Some((name, value)) = value_element(value, values, period)? {
        members.set(name, value);
    }
    Ok(members)
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

/// `value[x]` of these readings; none when a text is empty, which FHIR does
/// not know.
pub(super) fn value_element(
    template: &ValueTemplate,
    values: &[TimedValue],
    period: Period,
) -> Result<Option<(&'static str, Box<RawValue>)>, ConvertError> {
    let value_name = || template.property().unwrap_or_default().to_owned();
    let count = values.len();
    let element = match &template.kind {
        ValueKind::SampledData { period: step, unit } => {
            let samples = samples_of(template, values)?;
            let data = series(template, &samples, Grid { start: period.start, period: *step }, period.end)?;
            raw(&sampled_data_element(*step, given(unit), data))
        }
        ValueKind::Quantity { unit, system, code } => {
            let [TimedValue { value: Some(text), .. }] = values else {
                return Err(ConvertError::InvalidQuantity { value_name: value_name(), count });
            };
            let value = quantity::parse(text, template.exponents)
                .ok_or_else(|| ConvertError::InvalidQuantity { value_name: value_name(), count })?;
            raw(&QuantityElement { value, unit: given(unit), system: given(system), code: given(code) })
        }
        ValueKind::String => {
            let [TimedValue { value, .. }] = values else {
                return Err(ConvertError::NotOneString { value_name: value_name(), count });
            };
            match given(value) {
                Some(text) => raw(&text),
                None => return Ok(None),
            }
        }
        ValueKind::CodeableConcept(template) => raw(&concept(template)),
    };
    Ok(Some((member_name(&template.kind), element)))
}

/// The samples among the values, all of them checked.
pub(super) fn samples_of<'v>(
    template: &ValueTemplate,
    values: &'v [TimedValue],
) -> Result<Vec<Sample<'v>>, ConvertError> {
    let samples = sampled_data::samples(values);
    if samples.iter().all(|sample| sampled_data::is_sample(sample.value)) {
        return Ok(samples);
    }
    Err(ConvertError::InvalidSample { value_name: template.property().unwrap_or_default().to_owned() })
}

/// The text of a series.
pub(super) fn series(
    template: &ValueTemplate,
    samples: &[Sample<'_>],
    grid: Grid,
    end: UtcTime,
) -> Result<String, ConvertError> {
    sampled_data::build(samples, &grid, end).map_err(|_| ConvertError::TooManySamples {
        value_name: template.property().unwrap_or_default().to_owned(),
        max: SAMPLES_MAX,
    })
}

fn sampled_data_element(period: SamplePeriod, unit: Option<&str>, data: String) -> SampledDataElement<'_> {
    let origin = QuantityElement { value: Decimal::ZERO, unit, system: None, code: None };
    SampledDataElement { origin, period: period.milliseconds(), dimensions: 1, data }
}

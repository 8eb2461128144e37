//! The FHIR half of the suite `template`: what a FHIR mapping means after
//! reading.

use mapping::fhir_mapping::{Code, CodeableConcept, FhirTemplate, ValueKind, ValueTemplate};
use mapping::{Compatibility, FhirMapping, Finding};
use serde_json::{Value, json};

use super::case;
use crate::Outcome;

/// Runs a case. Of a template only the members are asked that the expectation
/// names.
pub(super) fn run(text: &str, expect: &Value) -> Outcome {
    let (mapping, findings) = FhirMapping::load_partial(text.as_bytes(), &Compatibility::reference());
    let is_valid = !findings.iter().any(Finding::is_error);
    let templates = mapping.as_ref().map(FhirMapping::templates).unwrap_or_default();
    let facts: Vec<Value> = templates.iter().map(template_facts).collect();
    for (name, expected) in expect.as_object().into_iter().flatten() {
        let difference = match name.as_str() {
            "valid" => case::difference(expected, &json!(is_valid), ""),
            "templateCount" => case::difference(expected, &json!(facts.len()), ""),
            "templates" => templates_difference(expected, &facts),
            other => return Outcome::Skipped(format!("the expectation `{other}`")),
        };
        if let Some(place) = difference {
            return Outcome::failed(expected.to_string(), format!("a difference at {place}: {facts:?}"));
        }
    }
    Outcome::Passed
}

fn templates_difference(expected: &Value, facts: &[Value]) -> Option<String> {
    let expected = expected.as_array().map(Vec::as_slice).unwrap_or_default();
    if expected.len() != facts.len() {
        return Some("/".to_owned());
    }
    let asked = |(expected, facts): (&Value, &Value)| {
        let members = expected.as_object().into_iter().flatten();
        let mut members = members.map(|(name, expected)| (name, expected, &facts[name]));
        members.find_map(|(name, expected, got)| case::difference(expected, got, &format!("/{name}")))
    };
    expected.iter().zip(facts).find_map(asked)
}

fn template_facts(template: &FhirTemplate) -> Value {
    let components = template.components.as_ref().map(|components| {
        let component = components.iter();
        component.map(|c| json!({ "codes": codes(&c.codes), "value": value(&c.value) })).collect::<Vec<_>>()
    });
    json!({
        "typeName": template.type_name,
        "periodInterval": template.interval.minutes(),
        "category": template.category.iter().map(concept).collect::<Vec<_>>(),
        "codes": codes(&template.codes),
        "value": template.value.as_ref().map(value),
        "components": components,
    })
}

fn value(template: &ValueTemplate) -> Value {
    let mut facts = json!({ "valueType": template.kind.type_name(), "valueName": template.name });
    match &template.kind {
        ValueKind::SampledData { period, unit } => {
            facts["defaultPeriod"] = json!(period.milliseconds().to_string().parse::<f64>().ok());
            facts["unit"] = json!(unit);
        }
        ValueKind::Quantity { unit, system, code } => {
            facts["unit"] = json!(unit);
            facts["system"] = json!(system);
            facts["code"] = json!(code);
        }
        ValueKind::String => {}
        ValueKind::CodeableConcept(template) => {
            facts["text"] = json!(template.text);
            facts["codes"] = codes(&template.codes);
        }
    }
    facts
}

fn concept(concept: &CodeableConcept) -> Value {
    json!({ "text": concept.text, "codes": codes(&concept.codes) })
}

fn codes(codes: &[Code]) -> Value {
    let code = |code: &Code| json!({ "code": code.code, "system": code.system, "display": code.display });
    codes.iter().map(code).collect()
}

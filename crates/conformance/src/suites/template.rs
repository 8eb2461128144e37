//! The suite `template`: what a mapping means after reading, and where
//! everything in it stands.

use expressions::Language;
use mapping::device_mapping::{Template, TemplateExpression, ValueTemplate};
use mapping::{Compatibility, DeviceMapping, Finding, Place};
use serde_json::{Value, json};

use super::{case, template_fhir};
use crate::Outcome;

/// Runs a case.
pub fn run(case: &Value) -> Outcome {
    if let Some(text) = case::mapping_text(case, "fhirMapping") {
        return template_fhir::run(&text, &case["expect"]);
    }
    match case::mapping_text(case, "deviceMapping") {
        Some(text) => run_device_mapping(&text, &case["expect"]),
        None => Outcome::Skipped("no mapping".to_owned()),
    }
}

fn run_device_mapping(text: &str, expect: &Value) -> Outcome {
    let (mapping, findings) = DeviceMapping::load_partial(text.as_bytes(), &Compatibility::reference());
    let is_valid = !findings.iter().any(Finding::is_error);
    let templates = mapping.as_ref().map(DeviceMapping::templates).unwrap_or_default();
    let mut got = json!({ "valid": is_valid, "templateCount": templates.len() });
    if let Some(lines) = expect.get("lines").and_then(Value::as_object) {
        got["lines"] = lines.keys().map(|pointer| (pointer.clone(), line(templates, pointer))).collect();
    }
    got["templates"] = templates.iter().map(template_facts).collect();
    let asked: Value =
        expect.as_object().into_iter().flatten().map(|(name, _)| (name.clone(), got[name].clone())).collect();
    match case::difference(expect, &asked, "") {
        None => Outcome::Passed,
        Some(place) => Outcome::failed(expect.to_string(), format!("a difference at {place}: {asked}")),
    }
}

fn template_facts(template: &Template) -> Value {
    let expression = |expression: Option<&TemplateExpression>| {
        expression.map(|expression| json!({ "value": expression.text, "language": language(expression.language) }))
    };
    let value = |value: &ValueTemplate| {
        json!({
            "valueName": value.name,
            "valueExpression": expression(value.expression.as_ref()),
            "required": value.required,
        })
    };
    json!({
        "typeName": template.type_name,
        "typeMatchExpression": expression(template.type_match.as_ref()),
        "deviceIdExpression": expression(template.device_id.first()),
        "timestampExpression": expression(template.timestamp.first()),
        "patientIdExpression": expression(template.patient_id.as_ref()),
        "encounterIdExpression": expression(template.encounter_id.as_ref()),
        "correlationIdExpression": expression(template.correlation_id.as_ref()),
        "values": template.values.iter().map(value).collect::<Vec<_>>(),
    })
}

fn language(language: Language) -> &'static str {
    match language {
        Language::JsonPath => "JsonPath",
        Language::JmesPath => "JmesPath",
        Language::JsonPathRfc9535 => "JsonPathRfc9535",
    }
}

/// The line of what a JSON pointer into the mapping means; null when it is not
/// known.
fn line(templates: &[Template], pointer: &str) -> Value {
    let path: Vec<&str> = pointer.split('/').skip(1).collect();
    let ["template", index, "template", rest @ ..] = path.as_slice() else { return Value::Null };
    let Some(template) = templates.iter().find(|template| template.index.to_string() == *index) else {
        return Value::Null;
    };
    json!(place(template, rest).map(|place| place.line))
}

fn place(template: &Template, path: &[&str]) -> Option<Place> {
    match path {
        [] => Some(template.place),
        ["typeName"] => Some(template.type_name_place),
        ["values", index, rest @ ..] => {
            let value = template.values.get(index.parse::<usize>().ok()?)?;
            match rest {
                [] => Some(value.place),
                ["valueName"] => Some(value.name_place),
                ["required"] => value.required_place,
                ["valueExpression", rest @ ..] => expression_place(value.expression.as_ref()?, rest),
                _ => None,
            }
        }
        [name, rest @ ..] => {
            let expression = match *name {
                "typeMatchExpression" => template.type_match.as_ref(),
                "deviceIdExpression" => template.device_id.first(),
                "timestampExpression" => template.timestamp.first(),
                "patientIdExpression" => template.patient_id.as_ref(),
                "encounterIdExpression" => template.encounter_id.as_ref(),
                "correlationIdExpression" => template.correlation_id.as_ref(),
                _ => None,
            };
            expression_place(expression?, rest)
        }
    }
}

fn expression_place(expression: &TemplateExpression, path: &[&str]) -> Option<Place> {
    match path {
        [] => expression.place,
        ["value"] => expression.text_place,
        ["language"] => expression.language_place,
        _ => None,
    }
}

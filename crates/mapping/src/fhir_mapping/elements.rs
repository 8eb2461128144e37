//! What of an Observation's JSON the mapping alone decides, written when the
//! mapping loads.

use super::{Code, CodeableConcept, ValueKind};
use crate::identifier::SERVICE_SYSTEM;
use crate::json::push_text;

/// The text before and after the one thing that is measured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Around {
    pub(crate) before: String,
    pub(crate) after: String,
}

/// `category`; none when the template has none.
pub(super) fn category(concepts: &[CodeableConcept]) -> Option<String> {
    if concepts.is_empty() {
        return None;
    }
    let mut json = String::from("[");
    for (at, concept) in concepts.iter().enumerate() {
        if at > 0 {
            json.push(',');
        }
        push_concept(concept, &mut json);
    }
    json.push(']');
    Some(json)
}

/// The beginning of `code`, up to our own coding.
pub(super) fn code_start(codes: &[Code]) -> String {
    let mut json = String::from("{\"coding\":[");
    for code in codes {
        push_coding(code, &mut json);
        json.push(',');
    }
    json
}

/// Appends the end of `code`: our own coding, by which a component is found
/// again, and the text.
pub(crate) fn push_code_end(name: &str, json: &mut String) {
    let mut text = String::with_capacity(name.len() + 2);
    push_text(name, &mut text);
    for part in ["{\"system\":\"", SERVICE_SYSTEM, "\",\"code\":", &text, ",\"display\":", &text, "}],\"text\":", &text]
    {
        json.push_str(part);
    }
    json.push('}');
}

/// `value[x]` around what is measured.
pub(super) fn value(kind: &ValueKind) -> Around {
    let mut around = Around::default();
    let Around { before, after } = &mut around;
    match kind {
        ValueKind::SampledData { period, unit } => {
            before.push_str("{\"origin\":{\"value\":0");
            push_member("unit", unit, before);
            before.push_str("},\"period\":");
            before.push_str(&period.milliseconds().to_string());
            before.push_str(",\"dimensions\":1,\"data\":\"");
            after.push_str("\"}");
        }
        ValueKind::Quantity { unit, system, code } => {
            before.push_str("{\"value\":");
            push_member("unit", unit, after);
            push_member("system", system, after);
            push_member("code", code, after);
            after.push('}');
        }
        ValueKind::String => {}
        ValueKind::CodeableConcept(concept) => push_concept(concept, before),
    }
    around
}

fn push_concept(concept: &CodeableConcept, json: &mut String) {
    json.push('{');
    if !concept.codes.is_empty() {
        json.push_str("\"coding\":[");
        for (at, code) in concept.codes.iter().enumerate() {
            if at > 0 {
                json.push(',');
            }
            push_coding(code, json);
        }
        json.push(']');
    }
    push_member("text", &concept.text, json);
    json.push('}');
}

fn push_coding(code: &Code, json: &mut String) {
    json.push('{');
    push_member("system", &code.system, json);
    push_member("code", &code.code, json);
    push_member("display", &code.display, json);
    json.push('}');
}

/// Appends a member, if there is something to it, to those of an object.
fn push_member(name: &str, text: &Option<String>, json: &mut String) {
    let Some(text) = given(text.as_deref()) else { return };
    if !json.ends_with('{') {
        json.push(',');
    }
    push_text(name, json);
    json.push(':');
    push_text(text, json);
}

/// FHIR knows no empty texts, and none with blanks around.
pub(crate) fn given(text: Option<&str>) -> Option<&str> {
    text.map(str::trim).filter(|text| !text.is_empty())
}

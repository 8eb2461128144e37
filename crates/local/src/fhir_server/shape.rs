//! Which elements a resource may have, and the form of each.
//!
//! The table covers the resources that this product writes and the data types
//! in them; other types of resource are stored as they come. Bindings are
//! checked where FHIR R4 requires them. Not checked: invariants, extensions'
//! insides, narrative, and types the table does not name.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde_json::{Map, Value};

use crate::fhir_server::date;
use crate::fhir_server::failure::Failure;

/// Types of resource whose elements are in the table.
const CHECKED: &[&str] = &["Observation", "Device", "Patient", "Encounter"];

/// Types of resource that are stored without a look at their elements.
const UNCHECKED: &[&str] = &[
    "DeviceDefinition",
    "DeviceMetric",
    "Group",
    "Location",
    "Organization",
    "Practitioner",
    "PractitionerRole",
    "RelatedPerson",
    "StructureDefinition",
];

/// Elements of every resource.
const RESOURCE: &str = "resourceType!:code id:id meta:Any implicitRules:uri language:code text:Any contained*:Any \
     extension*:Any modifierExtension*:Any";

/// Elements of every data type and backbone element.
const ELEMENT: &str = "id:string extension*:Any modifierExtension*:Any";

/// `name:type`, with `*` for a list and `!` for a required element. Lower-case
/// types are primitive; `Any` is not looked into.
const SHAPES: &[(&str, &str)] = &[
    (
        "Observation",
        "identifier*:Identifier basedOn*:Reference partOf*:Reference \
         status!:registered|preliminary|final|amended|corrected|cancelled|entered-in-error|unknown \
         category*:CodeableConcept code!:CodeableConcept subject:Reference focus*:Reference encounter:Reference \
         effectiveDateTime:dateTime effectivePeriod:Period effectiveTiming:Any effectiveInstant:instant issued:instant \
         performer*:Reference valueQuantity:Quantity valueCodeableConcept:CodeableConcept valueString:string \
         valueBoolean:boolean valueInteger:integer valueRange:Any valueRatio:Any valueSampledData:SampledData \
         valueTime:time valueDateTime:dateTime valuePeriod:Period dataAbsentReason:CodeableConcept \
         interpretation*:CodeableConcept note*:Any bodySite:CodeableConcept method:CodeableConcept \
         specimen:Reference device:Reference referenceRange*:Any hasMember*:Reference derivedFrom*:Reference \
         component*:ObservationComponent",
    ),
    (
        "ObservationComponent",
        "code!:CodeableConcept valueQuantity:Quantity valueCodeableConcept:CodeableConcept valueString:string \
         valueBoolean:boolean valueInteger:integer valueRange:Any valueRatio:Any valueSampledData:SampledData \
         valueTime:time valueDateTime:dateTime valuePeriod:Period dataAbsentReason:CodeableConcept \
         interpretation*:CodeableConcept referenceRange*:Any",
    ),
    (
        "Device",
        "identifier*:Identifier definition:Reference udiCarrier*:Any \
         status:active|inactive|entered-in-error|unknown statusReason*:CodeableConcept distinctIdentifier:string \
         manufacturer:string manufactureDate:dateTime expirationDate:dateTime lotNumber:string serialNumber:string \
         deviceName*:Any modelNumber:string partNumber:string type:CodeableConcept specialization*:Any version*:Any \
         property*:Any patient:Reference owner:Reference contact*:Any location:Reference url:uri note*:Any \
         safety*:CodeableConcept parent:Reference",
    ),
    (
        "Patient",
        "identifier*:Identifier active:boolean name*:Any telecom*:Any gender:male|female|other|unknown birthDate:date \
         deceasedBoolean:boolean deceasedDateTime:dateTime address*:Any maritalStatus:CodeableConcept \
         multipleBirthBoolean:boolean multipleBirthInteger:integer photo*:Any contact*:Any communication*:Any \
         generalPractitioner*:Reference managingOrganization:Reference link*:Any",
    ),
    (
        "Encounter",
        "identifier*:Identifier \
         status!:planned|arrived|triaged|in-progress|onleave|finished|cancelled|entered-in-error|unknown \
         statusHistory*:Any class!:Coding classHistory*:Any type*:CodeableConcept serviceType:CodeableConcept \
         priority:CodeableConcept subject:Reference episodeOfCare*:Reference basedOn*:Reference participant*:Any \
         appointment*:Reference period:Period length:Quantity reasonCode*:CodeableConcept reasonReference*:Reference \
         diagnosis*:Any account*:Reference hospitalization:Any location*:Any serviceProvider:Reference \
         partOf:Reference",
    ),
    (
        "Identifier",
        "use:usual|official|temp|secondary|old type:CodeableConcept system:uri value:string period:Period \
         assigner:Reference",
    ),
    ("CodeableConcept", "coding*:Coding text:string"),
    ("Coding", "system:uri version:string code:code display:string userSelected:boolean"),
    ("Quantity", "value:decimal comparator:<|<=|>=|> unit:string system:uri code:code"),
    ("Period", "start:dateTime end:dateTime"),
    ("Reference", "reference:string type:uri identifier:Identifier display:string"),
    (
        "SampledData",
        "origin!:Quantity period!:decimal factor:decimal lowerLimit:decimal upperLimit:decimal \
         dimensions!:positiveInt data:string",
    ),
];

/// Elements of which a resource may have one only: `value[x]` and the like.
const CHOICES: &[&str] = &["value", "effective", "deceased", "multipleBirth"];

struct Element {
    kind: &'static str,
    is_list: bool,
    is_required: bool,
}

type Shape = HashMap<&'static str, Element>;

static TABLE: LazyLock<HashMap<&'static str, Shape>> = LazyLock::new(|| {
    let shapes = SHAPES.iter().map(|(name, elements)| {
        let common = if CHECKED.contains(name) { RESOURCE } else { ELEMENT };
        (*name, common.split_whitespace().chain(elements.split_whitespace()).map(element).collect())
    });
    shapes.collect()
});

fn element(text: &'static str) -> (&'static str, Element) {
    let (name, kind) = text.split_once(':').unwrap_or((text, "Any"));
    let bare = name.trim_end_matches(['*', '!']);
    (bare, Element { kind, is_list: name.contains('*'), is_required: name.contains('!') })
}

/// Whether this server stores resources of the type.
pub(super) fn is_supported(kind: &str) -> bool {
    CHECKED.contains(&kind) || UNCHECKED.contains(&kind)
}

/// The types of resource that this server stores.
pub(super) fn supported() -> impl Iterator<Item = &'static str> {
    CHECKED.iter().chain(UNCHECKED).copied()
}

/// Whether the text is a resource id: 1 to 64 of `A-Za-z0-9-.`.
pub(super) fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-' || c == b'.')
}

/// Checks a resource: every element known, of its type, and not empty.
pub(super) fn check(kind: &str, resource: &Value, required: bool) -> Result<(), Failure> {
    check_not_empty(kind, resource)?;
    match TABLE.get(kind) {
        Some(_) => check_object(kind, kind, resource, required),
        None => Ok(()),
    }
}

/// FHIR has no null outside lists of primitives, and nothing that is empty.
fn check_not_empty(path: &str, value: &Value) -> Result<(), Failure> {
    match value {
        Value::Null => Err(Failure::structure(format!("{path}: null is not allowed"))),
        Value::String(text) if text.trim().is_empty() => Err(Failure::structure(format!("{path}: empty text"))),
        Value::Array(items) if items.is_empty() => Err(Failure::structure(format!("{path}: empty list"))),
        Value::Object(members) if members.is_empty() => Err(Failure::structure(format!("{path}: empty object"))),
        Value::Array(items) => items.iter().filter(|item| !item.is_null()).try_for_each(|i| check_not_empty(path, i)),
        Value::Object(members) => {
            members.iter().try_for_each(|(name, value)| check_not_empty(&format!("{path}.{name}"), value))
        }
        _ => Ok(()),
    }
}

fn check_object(kind: &str, path: &str, value: &Value, required: bool) -> Result<(), Failure> {
    let Some(shape) = TABLE.get(kind) else { return Ok(()) };
    let Value::Object(members) = value else {
        return Err(Failure::structure(format!("{path}: expected an object")));
    };
    for (name, value) in members {
        check_member(shape, path, name, value, required)?;
    }
    for choice in CHOICES {
        let chosen = members.keys().filter(|name| is_choice(shape, name, choice)).count();
        if chosen > 1 {
            return Err(Failure::structure(format!("{path}: more than one `{choice}[x]`")));
        }
    }
    if required { check_required(shape, path, members) } else { Ok(()) }
}

fn is_choice(shape: &Shape, name: &str, choice: &str) -> bool {
    let suffix = name.strip_prefix(choice).unwrap_or_default();
    suffix.starts_with(|c: char| c.is_ascii_uppercase()) && shape.contains_key(name)
}

fn check_required(shape: &Shape, path: &str, members: &Map<String, Value>) -> Result<(), Failure> {
    let mut missing: Vec<&str> = shape
        .iter()
        .filter(|(name, element)| element.is_required && !members.contains_key(**name))
        .map(|(name, _)| *name)
        .collect();
    missing.sort_unstable();
    match missing.first() {
        Some(name) => Err(Failure::new(400, "required", format!("{path}.{name}: required element is missing"))),
        None => Ok(()),
    }
}

fn check_member(shape: &Shape, path: &str, name: &str, value: &Value, required: bool) -> Result<(), Failure> {
    // `_x` carries the id and extensions of the primitive element `x`.
    if let Some(primitive) = name.strip_prefix('_') {
        let known = shape.get(primitive).is_some_and(|element| !starts_upper(element.kind));
        return if known { Ok(()) } else { Err(unknown(path, name)) };
    }
    let element = shape.get(name).ok_or_else(|| unknown(path, name))?;
    let path = format!("{path}.{name}");
    match (element.is_list, value) {
        (true, Value::Array(items)) => {
            items.iter().try_for_each(|item| check_value(element.kind, &path, item, required))
        }
        (true, _) => Err(Failure::structure(format!("{path}: expected a list"))),
        (false, Value::Array(_)) => Err(Failure::structure(format!("{path}: expected no list"))),
        (false, value) => check_value(element.kind, &path, value, required),
    }
}

fn unknown(path: &str, name: &str) -> Failure {
    // A name of letters is an element; anything else might be data.
    let shown = if name.bytes().all(|c| c.is_ascii_alphabetic() || c == b'_') { name } else { "?" };
    Failure::structure(format!("{path}: unknown element `{shown}`"))
}

fn starts_upper(kind: &str) -> bool {
    kind.starts_with(|c: char| c.is_ascii_uppercase())
}

fn check_value(kind: &str, path: &str, value: &Value, required: bool) -> Result<(), Failure> {
    if kind == "Any" {
        return Ok(());
    }
    if starts_upper(kind) {
        return check_object(kind, path, value, required);
    }
    if is_primitive(kind, value) {
        return Ok(());
    }
    let expected = if kind.contains('|') { "one of the codes that FHIR binds to it" } else { kind };
    Err(Failure::new(400, "value", format!("{path}: expected {expected}")))
}

fn is_primitive(kind: &str, value: &Value) -> bool {
    match (kind, value) {
        ("boolean", Value::Bool(_)) | ("decimal", Value::Number(_)) => true,
        ("integer", Value::Number(number)) => number.as_i64().is_some_and(|n| i32::try_from(n).is_ok()),
        ("positiveInt", Value::Number(number)) => {
            number.as_i64().is_some_and(|n| (1..=i64::from(i32::MAX)).contains(&n))
        }
        (kind, Value::String(text)) => is_text(kind, text),
        _ => false,
    }
}

fn is_text(kind: &str, text: &str) -> bool {
    match kind {
        "string" => true,
        "id" => is_id(text),
        "uri" => !text.contains(char::is_whitespace),
        "code" => text.trim() == text && !text.contains("  "),
        "dateTime" => date::span(text).is_some(),
        "date" => date::is_date(text),
        "instant" => date::is_instant(text),
        "time" => date::is_time(text),
        codes if codes.contains('|') => codes.split('|').any(|code| code == text),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn observation(more: Value) -> Value {
        let mut whole = json!({ "resourceType": "Observation", "status": "final", "code": { "text": "x" } });
        if let (Value::Object(whole), Value::Object(more)) = (&mut whole, more) {
            whole.extend(more);
            whole.retain(|_, value| *value != json!("remove"));
        }
        whole
    }

    #[track_caller]
    fn outcome(more: Value, expected: &str) {
        let outcome = check("Observation", &observation(more), true);
        assert_eq!(outcome.err().map(|failure| failure.diagnostics).unwrap_or_default(), expected);
    }

    #[test]
    fn takes_an_observation_of_ours() {
        outcome(
            json!({
                "identifier": [{ "system": "urn:s", "value": "v" }],
                "effectivePeriod": { "start": "2020-11-01T12:00:00Z", "end": "2020-11-01T13:00:00.000Z" },
                "valueSampledData": { "origin": { "value": 0 }, "period": 5000, "dimensions": 1, "data": "E 78" },
                "component": [{ "code": { "text": "c" }, "valueQuantity": { "value": 1.5, "unit": "bpm" } }],
                "subject": { "reference": "Patient/1" },
                "_status": { "id": "a" },
            }),
            "",
        );
    }

    #[test]
    fn names_what_is_wrong() {
        let cases = [
            (json!({ "bogus": 1 }), "Observation: unknown element `bogus`"),
            (json!({ "a b": 1 }), "Observation: unknown element `?`"),
            (json!({ "_subject": {} }), "Observation._subject: empty object"),
            (json!({ "_subject": { "id": "a" } }), "Observation: unknown element `_subject`"),
            (json!({ "code": "remove" }), "Observation.code: required element is missing"),
            (json!({ "status": "zzz" }), "Observation.status: expected one of the codes that FHIR binds to it"),
            (json!({ "issued": "2020-11-01" }), "Observation.issued: expected instant"),
            (json!({ "effectiveDateTime": "2020-11-01T12:00:00" }), "Observation.effectiveDateTime: expected dateTime"),
            (json!({ "identifier": { "value": "v" } }), "Observation.identifier: expected a list"),
            (json!({ "subject": [{ "reference": "a" }] }), "Observation.subject: expected no list"),
            (json!({ "subject": "Patient/1" }), "Observation.subject: expected an object"),
            (json!({ "valueQuantity": { "value": "1" } }), "Observation.valueQuantity.value: expected decimal"),
            (json!({ "valueQuantity": { "valeu": 1 } }), "Observation.valueQuantity: unknown element `valeu`"),
            (json!({ "valueString": "a", "valueInteger": 1 }), "Observation: more than one `value[x]`"),
            (json!({ "valueString": " " }), "Observation.valueString: empty text"),
            (json!({ "valueString": null }), "Observation.valueString: null is not allowed"),
            (json!({ "category": [] }), "Observation.category: empty list"),
            (
                json!({ "valueSampledData": { "origin": { "value": 0 }, "period": 1 } }),
                "Observation.valueSampledData.dimensions: required element is missing",
            ),
        ];
        for (more, expected) in cases {
            outcome(more, expected);
        }
    }

    #[test]
    fn lenient_servers_do_not_ask_for_required_elements() {
        assert_eq!(check("Observation", &json!({ "resourceType": "Observation" }), false), Ok(()));
    }

    #[test]
    fn data_types_are_no_resources() {
        assert!(is_supported("Observation") && is_supported("Organization"));
        assert!(!is_supported("Quantity") && !is_supported("Observaton"));
    }
}

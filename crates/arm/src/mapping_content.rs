//! The texts of mappings: checked by the code that loads them in the functions
//! (resource-provider.md 4.13).

use mapping::text::{Text, TextValue};
use mapping::{Compatibility, DeviceMapping, FhirMapping, Finding};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::body::{Body, no_object};
use crate::error::{ArmError, ErrorCode, ErrorDetail};

/// How long a mapping may be, in bytes (resource-provider.md 4.13, rule 9).
pub const BYTES_MAX: usize = 512 * 1024;
/// How many templates it may have (the same).
pub const TEMPLATES_MAX: usize = 1000;
/// How deep it may nest (the same).
pub const DEPTH_MAX: usize = 32;

/// How many of its findings an answer tells; a mapping of so few bytes may have hundreds
/// of thousands.
const DETAILS_MAX: usize = 100;
/// How much of a text is told, in bytes: messages and places hold names of the mapping.
const TEXT_BYTES_MAX: usize = 500;

/// Which of the two mappings a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum MappingKind {
    /// From events to measurements.
    Device,
    /// From measurements to Observations.
    Fhir,
}

/// The text of a mapping that can be used, as the customer wrote it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MappingContent(Box<RawValue>);

impl MappingContent {
    /// Checks the text of a mapping, which the body has at `target`
    /// (`properties.deviceMapping`).
    ///
    /// # Errors
    ///
    /// `InvalidMapping`, with a detail for each finding, but not more than a hundred: a
    /// JSON pointer below `content`, and what is wrong there.
    pub fn read(text: &str, kind: MappingKind, target: &str) -> Result<MappingContent, ArmError> {
        let mut details = findings(text, kind);
        if details.is_empty() {
            match RawValue::from_string(text.to_owned()) {
                Ok(raw) => return Ok(MappingContent(raw)),
                Err(_) => details.push(detail("InvalidJson", "The mapping is not JSON.", None)),
            }
        }
        Err(refused(target, details))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        self.0.get()
    }

    /// Which mapping the text says that it is, by its `templateType`.
    pub fn kind_of(text: &str) -> Option<MappingKind> {
        let text = Text::read(text.as_bytes()).ok()??;
        let TextValue::String(kind) = &text.member("templateType")?.value.value else { return None };
        let kind = kind.to_ascii_lowercase();
        match kind.strip_suffix("template").unwrap_or(&kind) {
            "collectioncontent" => Some(MappingKind::Device),
            "collectionfhir" => Some(MappingKind::Fhir),
            _ => None,
        }
    }

    /// `sha256:` and the digest of what the text means: blanks and the order of
    /// members do not count.
    pub fn hash(&self) -> String {
        let value: Value = serde_json::from_str(self.as_str()).unwrap_or_default();
        let digest = Sha256::digest(value.to_string());
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("sha256:{hex}")
    }
}

impl PartialEq for MappingContent {
    /// Whether both mean the same JSON.
    fn eq(&self, other: &MappingContent) -> bool {
        self.as_str() == other.as_str() || self.hash() == other.hash()
    }
}

impl Eq for MappingContent {}

/// The mapping that a body has in `properties.{member}.content`.
///
/// # Errors
///
/// `InvalidMapping` for none, or one that cannot be used; `InvalidPropertyValue`
/// for `reference`, which is kept for later.
pub(crate) fn read_inline(body: &Body, member: &str, kind: MappingKind) -> Result<MappingContent, ArmError> {
    let target = format!("properties.{member}");
    let mapping = body.property(member);
    if mapping.is_some_and(|mapping| !mapping.is_object()) {
        return Err(no_object(&target));
    }
    if mapping.is_some_and(|mapping| mapping.get("reference").is_some_and(|reference| !reference.is_null())) {
        let message = format!("`{member}.reference` is not supported: give the mapping as `content`.");
        return Err(ArmError::at(ErrorCode::InvalidPropertyValue, format!("{target}.reference"), message));
    }
    match mapping.and_then(|mapping| mapping.get("content")).and_then(Value::as_str) {
        Some(text) => MappingContent::read(text, kind, &target),
        None => {
            let message = format!("`{member}.content` is required.");
            Err(refused(&target, vec![detail("MissingField", message, None)]))
        }
    }
}

/// What keeps a text from being used; empty when nothing does.
fn findings(text: &str, kind: MappingKind) -> Vec<ErrorDetail> {
    let one =
        |code: &str, message: String, target: Option<&str>| vec![detail(code, message, target.map(str::to_owned))];
    if text.len() > BYTES_MAX {
        let message = format!("The mapping has {} bytes; at most {BYTES_MAX} are allowed.", text.len());
        return one("MappingTooLarge", message, None);
    }
    let tree = match Text::read(text.as_bytes()) {
        Ok(Some(tree)) if tree.is_object() => tree,
        Ok(Some(_)) => {
            return one("InvalidJson", "`content` has to be an object, not text or another value.".into(), None);
        }
        Ok(None) => return one("InvalidJson", "The mapping is empty.".into(), None),
        Err(finding) => return one("InvalidJson", finding.to_string(), None),
    };
    if tree.depth() > DEPTH_MAX {
        return one("MappingTooDeep", format!("The mapping nests deeper than {DEPTH_MAX}."), None);
    }
    if let Some(TextValue::Array(templates)) = tree.member("template").map(|member| &member.value.value)
        && templates.len() > TEMPLATES_MAX
    {
        let message = format!("The mapping has {} templates; at most {TEMPLATES_MAX} are allowed.", templates.len());
        return one("TooManyTemplates", message, Some("/template"));
    }
    let compatibility = Compatibility::default();
    let found = match kind {
        MappingKind::Device => DeviceMapping::load_partial(text.as_bytes(), &compatibility).1,
        MappingKind::Fhir => FhirMapping::load_partial(text.as_bytes(), &compatibility).1,
    };
    let errors: Vec<Finding> = found.into_iter().filter(Finding::is_error).collect();
    let mut details: Vec<ErrorDetail> =
        errors.iter().take(DETAILS_MAX).map(|finding| of_finding(finding, &tree)).collect();
    if errors.len() > DETAILS_MAX {
        details.push(detail("MoreFindings", format!("and {} more", errors.len() - DETAILS_MAX), None));
    }
    details
}

/// A finding as a client reads it. The loader points at the object that lacks a
/// member, or whose member cannot be used; a client gets the member.
fn of_finding(finding: &Finding, tree: &Text) -> ErrorDetail {
    let message = finding.message.trim();
    let pointer = finding.place.and_then(|place| tree.pointer(place));
    let missing = |member: &str, pointer: Option<String>| {
        let pointer = pointer.map(|pointer| match pointer.ends_with(&format!("/{member}")) {
            true => pointer,
            false => format!("{pointer}/{member}"),
        });
        detail("MissingField", format!("`{member}` is required."), pointer)
    };
    if let Some(rest) = message.strip_prefix("Required property '") {
        return missing(&camel_case(rest.split('\'').next().unwrap_or_default()), pointer);
    }
    let is_of_template = message.starts_with("Expected an ") && message.contains(" for the template property value ");
    match &pointer {
        // The loader points at what lacks it.
        Some(object) if is_of_template && !object.ends_with("/template") => return missing("template", pointer),
        Some(_) if message == "Property ValueType is missing." => return missing("valueType", pointer),
        _ => {}
    }
    if let Some(rest) = message.strip_prefix("No match found for template type ") {
        let beside = |pointer: String| {
            let template = pointer.strip_suffix("/template").unwrap_or(&pointer);
            format!("{template}/templateType")
        };
        let message = format!("Unknown templateType '{}'.", rest.trim_end_matches('.'));
        return detail("UnknownTemplateType", message, pointer.map(beside));
    }
    if message.starts_with("Expected TemplateType value ") && pointer.as_deref() == Some("") {
        return detail("MissingField", "`templateType` is required.", Some("/templateType".to_owned()));
    }
    detail("InvalidField", message, pointer)
}

/// A member's name as customers write it, where the loader has that of .NET.
fn camel_case(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

fn detail(code: &str, message: impl Into<String>, target: Option<String>) -> ErrorDetail {
    ErrorDetail { code: code.to_owned(), message: shortened(message.into()), target: target.map(shortened) }
}

fn shortened(mut text: String) -> String {
    if text.len() > TEXT_BYTES_MAX {
        let end = (0..=TEXT_BYTES_MAX).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
        text.truncate(end);
        text.push('…');
    }
    text
}

fn refused(target: &str, details: Vec<ErrorDetail>) -> ArmError {
    let name = target.rsplit('.').next().unwrap_or(target);
    let all: Vec<String> = details
        .iter()
        .map(|detail| match detail.target.as_deref().unwrap_or_default() {
            "" => detail.message.clone(),
            place => format!("{place}: {}", detail.message),
        })
        .collect();
    let message = format!("Invalid `{name}` mapping. Validation errors: {}", all.join("; "));
    ArmError { code: ErrorCode::InvalidMapping, message, target: Some(target.to_owned()), details }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `code target: message` of each detail; `ok` for none.
    fn summary(text: &str, kind: MappingKind) -> String {
        match MappingContent::read(text, kind, "properties.deviceMapping") {
            Ok(content) => {
                assert_eq!(content.as_str(), text);
                "ok".to_owned()
            }
            Err(error) => {
                assert_eq!(error.code, ErrorCode::InvalidMapping);
                assert!(error.message.starts_with("Invalid `deviceMapping` mapping. Validation errors: "));
                let details = error.details.iter().map(|detail| {
                    format!("{} {}: {}", detail.code, detail.target.as_deref().unwrap_or("-"), detail.message)
                });
                details.collect::<Vec<_>>().join("\n")
            }
        }
    }

    #[track_caller]
    fn check(text: &str, kind: MappingKind, expected: &str) {
        let found = summary(text, kind);
        assert!(found.lines().any(|line| line.starts_with(expected)), "{text}\n{found}");
    }

    fn device(template: &str) -> String {
        format!(r#"{{"templateType":"CollectionContent","template":[{template}]}}"#)
    }

    fn fhir(template: &str) -> String {
        format!(
            r#"{{"templateType":"CollectionFhirTemplate","template":[{{"templateType":"CodeValueFhir","template":{template}}}]}}"#
        )
    }

    #[test]
    fn a_member_that_is_missing_is_pointed_at() {
        check(r#"{"templateType":"CollectionContent"}"#, MappingKind::Device, "MissingField /template: `template`");
        let inner = r#"{"templateType":"JsonPathContent"}"#;
        check(&device(inner), MappingKind::Device, "MissingField /template/0/template: `template`");
        let value = r#"{"typeName":"a","codes":[],"value":{"unit":"x"}}"#;
        check(&fhir(value), MappingKind::Fhir, "MissingField /template/0/template/value/valueType: `valueType`");
        // What is there and is something else is no missing one.
        let other = r#"{"templateType":"CollectionContent","template":5}"#;
        check(other, MappingKind::Device, "InvalidField /template: ");
        let other = r#"{"templateType":"JsonPathContent","template":5}"#;
        check(&device(other), MappingKind::Device, "InvalidField /template/0/template: ");
    }

    #[test]
    fn what_the_seeds_and_the_public_clients_send_is_taken() {
        check(&device(""), MappingKind::Device, "ok");
        let seed = r#"{"templateType":"JsonPathContent","template":{"typeName":"heartrate",
            "typeMatchExpression":"$..[?(@heartrate)]","deviceIdExpression":"$.deviceid",
            "timestampExpression":"$.measurementdatetime",
            "values":[{"required":"true","valueExpression":"$.heartrate","valueName":"hr"}]}}"#;
        check(&device(seed), MappingKind::Device, "ok");
        check(&fhir(r#"{"typeName":"heartrate","codes":[],"periodInterval":60}"#), MappingKind::Fhir, "ok");
    }

    #[test]
    fn a_finding_has_its_place() {
        check(
            &device(
                r#"{"templateType":"JsonPathContent","template":{"typeName":"a"}},{"templateType":"XmlContent","template":{}}"#,
            ),
            MappingKind::Device,
            "MissingField /template/0/template/typeMatchExpression: `typeMatchExpression` is required.",
        );
        check(
            &device(
                r#"{"templateType":"JsonPathContent","template":{"typeName":"a"}},{"templateType":"XmlContent","template":{}}"#,
            ),
            MappingKind::Device,
            "UnknownTemplateType /template/1/templateType: Unknown templateType 'XmlContent'.",
        );
        check(
            &fhir(r#"{"typeName":"a","codes":[],"periodInterval":30}"#),
            MappingKind::Fhir,
            "InvalidField /template/0/template/periodInterval",
        );
    }

    #[test]
    fn what_is_no_mapping_is_refused() {
        check(r#""{}""#, MappingKind::Device, "InvalidJson -: `content` has to be an object");
        check("[]", MappingKind::Device, "InvalidJson");
        check(&fhir("{}"), MappingKind::Device, "InvalidField /templateType");
        check(r#"{"template":[]}"#, MappingKind::Device, "MissingField /templateType: `templateType` is required.");
        check(
            "{'templateType':'CollectionContent','template':[]}",
            MappingKind::Device,
            "InvalidJson -: The mapping is not JSON",
        );
    }

    #[test]
    fn limits_hold_at_their_edge() {
        let deep = |depth: usize| {
            let inner = depth - 3;
            device(&format!(r#"{{"x":{}{}}}"#, "[".repeat(inner), "]".repeat(inner)))
        };
        check(&deep(DEPTH_MAX + 1), MappingKind::Device, "MappingTooDeep");
        assert!(!summary(&deep(DEPTH_MAX), MappingKind::Device).contains("TooDeep"));
        let many = vec!["{}"; TEMPLATES_MAX + 1].join(",");
        check(&device(&many), MappingKind::Device, "TooManyTemplates /template");
        let blanks = " ".repeat(BYTES_MAX);
        check(&device(&blanks), MappingKind::Device, "MappingTooLarge");
    }

    #[test]
    fn two_texts_of_one_meaning_are_equal() {
        let read = |text: &str| MappingContent::read(text, MappingKind::Device, "x").unwrap();
        let (one, other) = (device(""), r#"{ "template": [ ], "templateType": "CollectionContent" }"#);
        assert_eq!(read(&one), read(other));
        assert_eq!(read(&one).hash(), read(other).hash());
        assert_ne!(read(&one), read(r#"{"templateType":"CollectionContent","template":[],"x":1}"#));
    }

    #[test]
    fn a_mapping_says_which_it_is() {
        assert_eq!(MappingContent::kind_of(&device("")), Some(MappingKind::Device));
        assert_eq!(MappingContent::kind_of(&fhir("{}")), Some(MappingKind::Fhir));
        assert_eq!(MappingContent::kind_of("{}"), None);
    }

    /// Whoever sends a bad mapping again and again gets answers that are not long.
    #[test]
    fn an_answer_holds_some_findings_only() {
        let templates = |count: usize| device(&vec![r#"{"templateType":"x"}"#; count].join(","));
        let long = device(&format!(r#"{{"templateType":"{}"}}"#, "é".repeat(100_000)));
        for (text, details, last) in [
            (templates(DETAILS_MAX), DETAILS_MAX, "Unknown templateType 'x'."),
            (templates(TEMPLATES_MAX), DETAILS_MAX + 1, "and 900 more"),
            (long, 1, "…"),
        ] {
            let error = MappingContent::read(&text, MappingKind::Device, "properties.deviceMapping").unwrap_err();
            assert_eq!(error.details.len(), details);
            let told = &error.details[details - 1].message;
            assert!(told.ends_with(last) && told.len() < 2 * TEXT_BYTES_MAX, "{told}");
            assert!(
                error.message.ends_with(last) && error.message.len() < 100 * DETAILS_MAX,
                "{}",
                error.message.len()
            );
        }
    }
}

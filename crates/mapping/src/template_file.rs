//! What both mapping files are made of: a collection of containers with a
//! template each, and members as the reference connector's JSON serializer
//! reads them (device-mapping.md 2).
//!
//! ```text
//! file's text --root--> Text --containers--> a Text each --Container--> kind and template
//! ```
//!
//! The messages are those of the reference connector, which mapping authors
//! know; places are added where it had none. What the templates of either file
//! hold is in its own loader.

use std::fmt::Display;

use crate::finding::{Finding, Findings, Place};
use crate::text::{Text, TextMember, TextValue};

/// Which of the two files is read. Their findings differ in small ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TemplateFile {
    Device,
    Fhir,
}

impl TemplateFile {
    /// The kind of the root.
    fn collection(self) -> &'static str {
        match self {
            TemplateFile::Device => "CollectionContentTemplate",
            TemplateFile::Fhir => "CollectionFhirTemplate",
        }
    }

    /// Where findings about a member of a container point.
    fn place(self, member: &TextMember) -> Place {
        match self {
            TemplateFile::Device => member.value.place,
            TemplateFile::Fhir => member.place,
        }
    }

    /// The containers of the templates of a collection.
    pub(crate) fn containers(self, root: &Text) -> Result<&[Text], Finding> {
        let collection = self.collection();
        let container = Container::read(self, root)?;
        if !container.is_named(collection) {
            return Err(container.wrong_type(collection, "Not Found"));
        }
        match container.template {
            Some(Text { value: TextValue::Array(containers), .. }) => Ok(containers),
            _ => {
                let message =
                    format!("Expected an array for the template property value for template type {collection}.");
                Err(Finding::error(message, Some(container.template_place)))
            }
        }
    }
}

/// The one value of a file.
pub(crate) fn root(text: &[u8]) -> Result<Text, Finding> {
    Text::read(text)?.ok_or_else(|| Finding::error("The mapping is empty.", None))
}

/// An object that names the kind of a template and holds the template; other
/// members are ignored.
pub(crate) struct Container<'t> {
    /// `templateType`, if it is there and a scalar.
    pub(crate) kind: Option<String>,
    /// Where `templateType` stands, or else the container.
    pub(crate) kind_place: Place,
    /// `template`.
    pub(crate) template: Option<&'t Text>,
    /// Where `template` stands, or else the container.
    pub(crate) template_place: Place,
}

impl<'t> Container<'t> {
    /// Reads a container; an error when it is no object.
    pub(crate) fn read(file: TemplateFile, text: &'t Text) -> Result<Container<'t>, Finding> {
        if !text.is_object() {
            let end = match file {
                TemplateFile::Device => "",
                TemplateFile::Fhir => " ",
            };
            return Err(Finding::error(not_an_object(text) + end, Some(text.place)));
        }
        let place = |member: Option<&TextMember>| member.map_or(text.place, |member| file.place(member));
        let (kind, template) = (text.member("templateType"), text.member("template"));
        Ok(Container {
            kind: kind.and_then(|member| scalar(&member.value)),
            kind_place: place(kind),
            template: template.map(|member| &member.value),
            template_place: place(template),
        })
    }

    /// Whether the container's kind is the one registered as such: in any
    /// letter case, with `Template` at the end or without it. The reference
    /// connector refuses the longer name of two kinds, which nobody can depend
    /// on (device-mapping.md quirk 27).
    pub(crate) fn is_named(&self, registered: &str) -> bool {
        let Some(written) = &self.kind else { return false };
        let short = registered.strip_suffix("Template").unwrap_or(registered);
        let Some(rest) = written.get(short.len()..) else { return false };
        written[..short.len()].eq_ignore_ascii_case(short) && (rest.is_empty() || rest.eq_ignore_ascii_case("Template"))
    }

    /// The template, when it is an object as it has to be.
    pub(crate) fn template_object(&self) -> Option<&'t Text> {
        self.template.filter(|template| template.is_object())
    }

    /// Says that the kind is another than `expected`; `absent` stands for none.
    pub(crate) fn wrong_type(&self, expected: &str, absent: &str) -> Finding {
        let actual = self.kind.as_deref().unwrap_or(absent);
        let message = format!("Expected TemplateType value {expected}, actual {actual}.");
        Finding::error(message, Some(self.kind_place))
    }
}

/// What is said of a template that is missing or no object.
pub(crate) fn expected_template_object(registered: &str) -> String {
    format!("Expected an object for the template property value for template type {registered}.")
}

/// What is said of anything but an object in an object's place.
pub(crate) fn not_an_object(text: &Text) -> String {
    let token = token_name(&text.value);
    format!("Error reading JObject from JsonReader. Current JsonReader item is not an object: {token}.")
}

/// Reports a member that its class does not know.
pub(crate) fn unknown_member(member: &TextMember, class: &str, findings: &mut Findings) {
    findings.error(format!("Could not find member '{}' on object of type '{class}'. ", member.name), member.place);
}

/// Reports a required member that is missing or null, at the place of its
/// object.
pub(crate) fn check_required(name: &str, member: Option<&TextMember>, place: Place, findings: &mut Findings) {
    match member.map(|member| &member.value.value) {
        None => findings.error(missing(name), place),
        Some(TextValue::Null) => null_member(name, place, findings),
        Some(_) => {}
    }
}

/// What is said of a required member that is missing.
pub(crate) fn missing(name: &str) -> String {
    format!("Required property '{name}' not found in JSON. ")
}

/// Reports a required member that is null.
pub(crate) fn null_member(name: &str, place: Place, findings: &mut Findings) {
    findings.error(format!("Required property '{name}' expects a value but got null. "), place);
}

/// The members of what has to be the object of a value.
pub(crate) fn value_members<'t>(text: &'t Text, findings: &mut Findings) -> Option<&'t [TextMember]> {
    if !text.is_object() {
        findings.error(format!("Expected an object for a value, not {}.", token_name(&text.value)), text.place);
        return None;
    }
    Some(text.members())
}

/// What is said of a value that is not of the type it has to be.
pub(crate) fn cannot_convert(written: impl Display, target: impl Display) -> String {
    format!("Error converting value {written} to type '{target}'. ")
}

/// Reads a text; numbers and booleans count as theirs, null as none.
pub(crate) fn string(text: &Text, findings: &mut Findings) -> Option<String> {
    if let TextValue::Object(_) | TextValue::Array(_) = text.value {
        let token = token_name(&text.value);
        findings.error(format!("Error reading string. Unexpected token: {token}. "), text.place);
    }
    scalar(text)
}

/// The text of a scalar, as the serializer turns it into a string; none for
/// null, objects and arrays.
pub(crate) fn scalar(text: &Text) -> Option<String> {
    match &text.value {
        TextValue::String(text) | TextValue::Integer(text) => Some(text.clone()),
        TextValue::Bool(true) => Some("True".to_owned()),
        TextValue::Bool(false) => Some("False".to_owned()),
        TextValue::Float(text) => Some(float(text)),
        TextValue::Date(text) => Some(date(text)),
        TextValue::Null | TextValue::Object(_) | TextValue::Array(_) => None,
    }
}

/// A number with a fraction or exponent, as .NET prints a double.
fn float(text: &str) -> String {
    let Ok(number) = text.parse() else { return text.to_owned() };
    let mut printed = String::new();
    expressions::number::write_double(number, &mut printed);
    printed
}

/// A text that the reader takes for a date, as .NET prints one.
fn date(text: &str) -> String {
    let Some(date) = expressions::DateTime::parse_token(text) else { return text.to_owned() };
    let mut printed = String::new();
    date.instant.write_us(&mut printed);
    printed
}

/// The serializer's word for a piece of JSON.
pub(crate) fn token_name(value: &TextValue) -> &'static str {
    match value {
        TextValue::Null => "Null",
        TextValue::Bool(_) => "Boolean",
        TextValue::Integer(_) => "Integer",
        TextValue::Float(_) => "Float",
        TextValue::String(_) => "String",
        TextValue::Date(_) => "Date",
        TextValue::Array(_) => "StartArray",
        TextValue::Object(_) => "StartObject",
    }
}

//! From a FHIR mapping's text to its templates.
//!
//! The messages are those of the reference connector where it has any, since
//! mapping authors know them; places are added where it had none.

use std::collections::HashSet;

use rust_decimal::Decimal;

use super::{Code, CodeableConcept, ComponentTemplate, FhirTemplate, ValueKind, ValueTemplate};
use crate::finding::{Finding, Place};
use crate::group::PeriodInterval;
use crate::sampled_data::{SAMPLES_MAX, SamplePeriod};
use crate::text::{Text, TextMember, TextValue};

const COLLECTION: &str = "CollectionFhirTemplate";
const TEMPLATE: &str = "CodeValueFhirTemplate";
/// What types are called in messages.
const NAMESPACE: &str = "Microsoft.Health.Fhir.Ingest.Template";

/// Reads a collection. None when the text as a whole is not one; otherwise the
/// templates that are free of errors, with everything found in `findings`.
pub(super) fn load(text: &[u8], findings: &mut Vec<Finding>) -> Option<Vec<FhirTemplate>> {
    let root = match Text::read(text).and_then(|root| root.ok_or(Finding::error("The mapping is empty.", None))) {
        Ok(root) => root,
        Err(finding) => {
            findings.push(finding);
            return None;
        }
    };
    match containers(&root) {
        Ok(containers) => Some(Loader { findings }.templates(containers)),
        Err(finding) => {
            findings.push(finding);
            None
        }
    }
}

/// The containers of the templates of a collection.
fn containers(root: &Text) -> Result<&[Text], Finding> {
    let inner = inner_template(root, COLLECTION, "Not Found")?;
    match inner.map(|member| &member.value.value) {
        Some(TextValue::Array(containers)) => Ok(containers),
        _ => {
            let message = format!("Expected an array for the template property value for template type {COLLECTION}.");
            Err(Finding::error(message, Some(inner.map_or(root.place, |member| member.place))))
        }
    }
}

/// The member `template` of a container whose `templateType` has to be
/// `expected`, in any letter case, with or without `Template` at its end.
fn inner_template<'t>(container: &'t Text, expected: &str, absent: &str) -> Result<Option<&'t TextMember>, Finding> {
    if !matches!(container.value, TextValue::Object(_)) {
        let token = token_name(&container.value);
        let message =
            format!("Error reading JObject from JsonReader. Current JsonReader item is not an object: {token}. ");
        return Err(Finding::error(message, Some(container.place)));
    }
    let member = container.member("templateType");
    let written = member.and_then(|member| scalar(&member.value).ok().flatten());
    let is_expected = written.as_ref().is_some_and(|written| {
        written.eq_ignore_ascii_case(expected) || format!("{written}Template").eq_ignore_ascii_case(expected)
    });
    if !is_expected {
        let actual = written.as_deref().unwrap_or(absent);
        let message = format!("Expected TemplateType value {expected}, actual {actual}.");
        return Err(Finding::error(message, Some(member.map_or(container.place, |member| member.place))));
    }
    Ok(container.member("template"))
}

struct Loader<'f> {
    findings: &'f mut Vec<Finding>,
}

impl Loader<'_> {
    fn templates(&mut self, containers: &[Text]) -> Vec<FhirTemplate> {
        let mut names = HashSet::new();
        let mut templates = Vec::new();
        for container in containers {
            let Some(text) = self.body(container) else { continue };
            let before = self.findings.len();
            // What the reference connector accepts and then fails on is told
            // only of templates that have nothing worse.
            let mut defects = Vec::new();
            let template = self.template(text, &mut defects);
            self.findings[before..].sort_by_key(|finding| finding.place);
            self.required(text, &["Codes", "TypeName"]);
            let (Some(template), true) = (template, self.findings.len() == before) else { continue };
            let place = text.member("typeName").map_or(text.place, |member| member.place);
            if template.type_name.trim().is_empty() {
                self.error(format!("Empty type name is not allowed: '{}'", template.type_name), place);
                continue;
            }
            if !names.insert(template.type_name.to_lowercase()) {
                let message = format!("Duplicate template defined for type name: '{}'", template.type_name);
                self.error(message, place);
                continue;
            }
            let is_sound = !defects.iter().any(Finding::is_error);
            self.findings.append(&mut defects);
            if is_sound {
                templates.push(template);
            }
        }
        templates
    }

    /// The text of the template in a container.
    fn body<'t>(&mut self, container: &'t Text) -> Option<&'t Text> {
        let inner = match inner_template(container, TEMPLATE, "") {
            Ok(inner) => inner,
            Err(finding) => {
                self.findings.push(finding);
                return None;
            }
        };
        match inner {
            Some(member) if matches!(member.value.value, TextValue::Object(_)) => Some(&member.value),
            _ => {
                let place = container.member("templateType").map_or(container.place, |member| member.place);
                let message =
                    format!("Expected an object for the template property value for template type {TEMPLATE}.");
                self.error(message, place);
                None
            }
        }
    }

    /// Reads a template; required members are checked by the caller.
    fn template(&mut self, text: &Text, defects: &mut Vec<Finding>) -> Option<FhirTemplate> {
        let known = ["category", "codes", "value", "components", "typeName", "periodInterval"];
        self.unknown_members(text, &known, TEMPLATE);
        let type_name = self.string(text, "typeName");
        let interval = self.interval(text, defects);
        let category = self.list(text, "category", "FhirCodeableConcept", Self::category);
        let codes = self.list(text, "codes", "FhirCode", Self::code);
        let value = text.member("value").and_then(|member| self.value(&member.value, interval, defects));
        let components = self.list(text, "components", "CodeValueMapping", |loader, component| {
            loader.component(component, interval, defects)
        });
        Some(FhirTemplate {
            type_name: type_name?,
            interval,
            category: category.unwrap_or_default(),
            codes: codes.unwrap_or_default(),
            value,
            components,
        })
    }

    fn interval(&mut self, text: &Text, defects: &mut Vec<Finding>) -> PeriodInterval {
        let Some(member) = text.member("periodInterval") else { return PeriodInterval::default() };
        let value = &member.value;
        let minutes = match &value.value {
            TextValue::Integer(digits) => digits.parse::<i32>().ok(),
            TextValue::String(name) => interval_by_name(name.trim()),
            _ => None,
        };
        let Some(minutes) = minutes else {
            let written = quoted(&value.value);
            let message = format!("Error converting value {written} to type '{NAMESPACE}.ObservationPeriodInterval'. ");
            self.error(message, value.place);
            return PeriodInterval::default();
        };
        PeriodInterval::from_minutes(i64::from(minutes)).unwrap_or_else(|_| {
            let message = format!(
                "The period interval {minutes} is not supported: \
                 -1 (CorrelationId), 0 (Single), 60 (Hourly) and 1440 (Daily) are."
            );
            defects.push(Finding::error(message, Some(value.place)));
            PeriodInterval::default()
        })
    }

    fn category(&mut self, text: &Text) -> Option<CodeableConcept> {
        self.object(text, "FhirCodeableConcept")?;
        self.unknown_members(text, &["text", "codes"], "FhirCodeableConcept");
        let codes = self.list(text, "codes", "FhirCode", Self::code).unwrap_or_default();
        Some(CodeableConcept { text: self.string(text, "text"), codes })
    }

    fn code(&mut self, text: &Text) -> Option<Code> {
        self.object(text, "FhirCode")?;
        self.unknown_members(text, &["code", "system", "display"], "FhirCode");
        Some(self.code_members(text))
    }

    /// Reads a code inside a value, where unknown members are ignored.
    fn code_of_value(&mut self, text: &Text) -> Option<Code> {
        self.object(text, "FhirCode")?;
        Some(self.code_members(text))
    }

    fn code_members(&mut self, text: &Text) -> Code {
        Code {
            system: self.string(text, "system"),
            code: self.string(text, "code"),
            display: self.string(text, "display"),
        }
    }

    fn component(
        &mut self,
        text: &Text,
        interval: PeriodInterval,
        defects: &mut Vec<Finding>,
    ) -> Option<ComponentTemplate> {
        self.object(text, "CodeValueMapping")?;
        self.unknown_members(text, &["codes", "value"], "CodeValueMapping");
        let codes = self.list(text, "codes", "FhirCode", Self::code).unwrap_or_default();
        let value = text.member("value").map(|member| self.value(&member.value, interval, defects));
        self.required(text, &["Codes"]);
        if value.is_none() {
            defects.push(Finding::error("Required property 'Value' not found in JSON. ", Some(text.place)));
        }
        Some(ComponentTemplate { codes, value: value?? })
    }

    /// Reads what a value becomes. Its members are not strict, and its kind is
    /// told by a member spelled in just two ways (fhir-conversion.md 4.3).
    fn value(&mut self, text: &Text, interval: PeriodInterval, defects: &mut Vec<Finding>) -> Option<ValueTemplate> {
        let TextValue::Object(members) = &text.value else {
            self.error(format!("Expected an object for a value, not {}.", token_name(&text.value)), text.place);
            return None;
        };
        let spelled = |name: &str| members.iter().rev().find(|member| member.name == name);
        let Some(kind) = spelled("ValueType").or_else(|| spelled("valueType")) else {
            self.error("Property ValueType is missing.", text.place);
            return None;
        };
        let written = scalar(&kind.value).ok().flatten().unwrap_or_default();
        let kind = match written.to_ascii_lowercase().as_str() {
            "sampleddata" => self.sampled_data(text, interval, defects),
            "quantity" => Some(ValueKind::Quantity {
                unit: self.string(text, "unit"),
                system: self.string(text, "system"),
                code: self.string(text, "code"),
            }),
            "string" => Some(ValueKind::String),
            "codeableconcept" => self.concept(text, defects),
            _ => {
                let message = format!(
                    "The value type '{written}' is not supported: \
                     SampledData, Quantity, String and CodeableConcept are."
                );
                self.error(message, kind.value.place);
                return None;
            }
        };
        let name = self.string(text, "valueName");
        // A defect has no value to show; the finding refuses the template.
        Some(ValueTemplate { name, kind: kind.unwrap_or(ValueKind::String) })
    }

    fn sampled_data(&mut self, text: &Text, interval: PeriodInterval, defects: &mut Vec<Finding>) -> Option<ValueKind> {
        let unit = self.string(text, "unit");
        let is_given = |value: &TextValue| match value {
            TextValue::Null => false,
            TextValue::String(text) => !text.is_empty(),
            _ => true,
        };
        let Some(member) = text.member("defaultPeriod").filter(|member| is_given(&member.value.value)) else {
            let message = "Required property 'DefaultPeriod' not found in JSON. ";
            defects.push(Finding::error(message, Some(text.place)));
            return None;
        };
        let place = member.value.place;
        let written = scalar(&member.value).ok().flatten().unwrap_or_default();
        let number = match &member.value.value {
            TextValue::Integer(_) | TextValue::Float(_) | TextValue::String(_) => decimal(&written),
            _ => None,
        };
        let Some(milliseconds) = number else {
            self.error(format!("Could not convert string to decimal: {written}. "), place);
            return None;
        };
        let Some(period) = SamplePeriod::from_milliseconds(milliseconds) else {
            let message = "The defaultPeriod has to be a positive number of milliseconds, at least 0.0001.";
            defects.push(Finding::error(message, Some(place)));
            return None;
        };
        if samples_in(interval, period).is_some_and(|samples| samples > SAMPLES_MAX) {
            let message = format!(
                "With this defaultPeriod an Observation has more than {SAMPLES_MAX} samples; \
                 measurements of this type will be rejected."
            );
            defects.push(Finding::warning(message, Some(place)));
        }
        Some(ValueKind::SampledData { period, unit })
    }

    fn concept(&mut self, text: &Text, defects: &mut Vec<Finding>) -> Option<ValueKind> {
        let concept_text = self.string(text, "text");
        let codes = self.list(text, "codes", "FhirCode", Self::code_of_value);
        if codes.is_none() {
            defects.push(Finding::error("Required property 'Codes' not found in JSON. ", Some(text.place)));
        }
        Some(ValueKind::CodeableConcept(CodeableConcept { text: concept_text, codes: codes? }))
    }

    /// The elements of the list `name`; those with errors are left out. None
    /// when there is no list, or null in its place.
    fn list<T>(
        &mut self,
        text: &Text,
        name: &str,
        class: &str,
        mut element: impl FnMut(&mut Self, &Text) -> Option<T>,
    ) -> Option<Vec<T>> {
        let value = &text.member(name)?.value;
        match &value.value {
            TextValue::Null => None,
            TextValue::Array(elements) => Some(elements.iter().filter_map(|text| element(self, text)).collect()),
            other => {
                let message = format!(
                    "Error converting value {} to type 'System.Collections.Generic.IList`1[{NAMESPACE}.{class}]'. ",
                    quoted(other)
                );
                self.error(message, value.place);
                None
            }
        }
    }

    /// Checks that `text` is an object.
    fn object(&mut self, text: &Text, class: &str) -> Option<()> {
        if matches!(text.value, TextValue::Object(_)) {
            return Some(());
        }
        let written = quoted(&text.value);
        self.error(format!("Error converting value {written} to type '{NAMESPACE}.{class}'. "), text.place);
        None
    }

    fn unknown_members(&mut self, text: &Text, known: &[&str], class: &str) {
        let TextValue::Object(members) = &text.value else { return };
        for member in members {
            if !known.iter().any(|name| member.name.eq_ignore_ascii_case(name)) {
                let message = format!("Could not find member '{}' on object of type '{class}'. ", member.name);
                self.error(message, member.place);
            }
        }
    }

    /// Reports those of the required members that are missing or null.
    fn required(&mut self, text: &Text, names: &[&str]) {
        for name in names {
            match text.member(name).map(|member| &member.value.value) {
                None => self.error(format!("Required property '{name}' not found in JSON. "), text.place),
                Some(TextValue::Null) => {
                    self.error(format!("Required property '{name}' expects a value but got null. "), text.place);
                }
                Some(_) => {}
            }
        }
    }

    /// The text of the member `name`; none when it is missing or null.
    fn string(&mut self, text: &Text, name: &str) -> Option<String> {
        let value = &text.member(name)?.value;
        scalar(value).unwrap_or_else(|token| {
            self.error(format!("Error reading string. Unexpected token: {token}. "), value.place);
            None
        })
    }

    fn error(&mut self, message: impl Into<String>, place: Place) {
        self.findings.push(Finding::error(message, Some(place)));
    }
}

/// How many samples a template's Observation has, where its interval says.
fn samples_in(interval: PeriodInterval, period: SamplePeriod) -> Option<usize> {
    let minutes = match interval {
        PeriodInterval::Hourly | PeriodInterval::Daily => interval.minutes(),
        PeriodInterval::Single | PeriodInterval::CorrelationId => return None,
    };
    let milliseconds = Decimal::from(minutes * 60_000);
    let samples = milliseconds.checked_div(period.milliseconds())?.ceil();
    Some(usize::try_from(samples.mantissa()).unwrap_or(usize::MAX))
}

fn interval_by_name(name: &str) -> Option<i32> {
    let known = [
        ("CorrelationId", PeriodInterval::CorrelationId),
        ("Single", PeriodInterval::Single),
        ("Hourly", PeriodInterval::Hourly),
        ("Daily", PeriodInterval::Daily),
    ];
    match known.iter().find(|known| known.0.eq_ignore_ascii_case(name)) {
        Some((_, interval)) => i32::try_from(interval.minutes()).ok(),
        None => name.parse().ok(),
    }
}

/// A decimal number as a mapping may write it, with or without exponent.
fn decimal(text: &str) -> Option<Decimal> {
    let text = text.trim();
    text.parse().ok().or_else(|| Decimal::from_scientific(text).ok())
}

/// A scalar as text, as the reference connector's serializer gives it; none
/// for null. Fails with the token's name for anything else.
fn scalar(value: &Text) -> Result<Option<String>, &'static str> {
    match &value.value {
        TextValue::Null => Ok(None),
        TextValue::Bool(true) => Ok(Some("True".to_owned())),
        TextValue::Bool(false) => Ok(Some("False".to_owned())),
        TextValue::Integer(text) | TextValue::String(text) => Ok(Some(text.clone())),
        TextValue::Float(text) => Ok(Some(double(text))),
        TextValue::Date(text) => Ok(Some(date(text))),
        other => Err(token_name(other)),
    }
}

/// A number with a fraction or exponent, as .NET prints a double.
fn double(text: &str) -> String {
    let mut printed = String::new();
    match text.parse() {
        Ok(number) => expressions::number::write_double(number, &mut printed),
        Err(_) => printed.push_str(text),
    }
    printed
}

/// A text that the reader takes for a date, as .NET prints one.
fn date(text: &str) -> String {
    let Some(date) = expressions::DateTime::parse_token(text) else { return text.to_owned() };
    let mut printed = String::new();
    date.instant.write_us(&mut printed);
    printed
}

/// A value as the serializer names it in "Error converting value".
fn quoted(value: &TextValue) -> String {
    match value {
        TextValue::Null => "{null}".to_owned(),
        TextValue::String(text) => format!("\"{text}\""),
        TextValue::Float(text) => double(text),
        TextValue::Integer(text) | TextValue::Date(text) => text.clone(),
        TextValue::Bool(true) => "True".to_owned(),
        TextValue::Bool(false) => "False".to_owned(),
        TextValue::Array(_) | TextValue::Object(_) => token_name(value).to_owned(),
    }
}

fn token_name(value: &TextValue) -> &'static str {
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

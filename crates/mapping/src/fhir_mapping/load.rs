//! From a FHIR mapping's text to its templates. How members are read is in
//! [`crate::template_file`].

use std::collections::HashSet;

use rust_decimal::Decimal;

use super::{Code, CodeableConcept, ComponentTemplate, FhirTemplate, ValueKind, ValueTemplate, elements};
use crate::finding::{Finding, Findings};
use crate::group::PeriodInterval;
use crate::sampled_data::{SAMPLES_MAX, SamplePeriod};
use crate::template_file::{
    self, Container, TemplateFile, cannot_convert, check_required, missing, scalar, string, token_name, unknown_member,
    value_members,
};
use crate::text::{Text, TextValue};

const FILE: TemplateFile = TemplateFile::Fhir;
const TEMPLATE: &str = "CodeValueFhirTemplate";
/// What types are called in messages.
const NAMESPACE: &str = "Microsoft.Health.Fhir.Ingest.Template";

/// Reads a collection. None when the text as a whole is not one; otherwise the
/// templates that are free of errors, with everything found in `findings`.
pub(super) fn load(text: &[u8], findings: &mut Findings) -> Option<Vec<FhirTemplate>> {
    let root = findings.keep(template_file::root(text))?;
    let containers = findings.keep(FILE.containers(&root))?;
    Some(Loader { findings }.templates(containers))
}

struct Loader<'f> {
    findings: &'f mut Findings,
}

impl Loader<'_> {
    fn templates(&mut self, containers: &[Text]) -> Vec<FhirTemplate> {
        let mut names = HashSet::new();
        let mut templates = Vec::new();
        for container in containers {
            let Some(text) = self.body(container) else { continue };
            let before = self.findings.0.len();
            // What the reference connector accepts and then fails on is told
            // only of templates that have nothing worse.
            let mut defects = Findings::default();
            let template = self.template(text, &mut defects);
            self.findings.0[before..].sort_by_key(|finding| finding.place);
            self.required(text, &["Codes", "TypeName"]);
            let (Some(template), true) = (template, self.findings.0.len() == before) else { continue };
            let place = text.member("typeName").map_or(text.place, |member| member.place);
            if template.type_name.trim().is_empty() {
                self.findings.error(format!("Empty type name is not allowed: '{}'", template.type_name), place);
                continue;
            }
            if !names.insert(template.type_name.to_lowercase()) {
                let message = format!("Duplicate template defined for type name: '{}'", template.type_name);
                self.findings.error(message, place);
                continue;
            }
            let is_sound = !defects.0.iter().any(Finding::is_error);
            self.findings.0.append(&mut defects.0);
            if is_sound {
                templates.push(template);
            }
        }
        templates
    }

    /// The text of the template in a container.
    fn body<'t>(&mut self, container: &'t Text) -> Option<&'t Text> {
        let container = self.findings.keep(Container::read(FILE, container))?;
        if !container.is_named(TEMPLATE) {
            self.findings.0.push(container.wrong_type(TEMPLATE, ""));
            return None;
        }
        let template = container.template_object();
        if template.is_none() {
            self.findings.error(template_file::expected_template_object(TEMPLATE), container.kind_place);
        }
        template
    }

    /// Reads a template; required members are checked by the caller.
    fn template(&mut self, text: &Text, defects: &mut Findings) -> Option<FhirTemplate> {
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
        let (category, codes) = (category.unwrap_or_default(), codes.unwrap_or_default());
        Some(FhirTemplate {
            type_name: type_name?,
            interval,
            category_json: elements::category(&category),
            category,
            code_start: elements::code_start(&codes),
            codes,
            value,
            components,
        })
    }

    fn interval(&mut self, text: &Text, defects: &mut Findings) -> PeriodInterval {
        let Some(member) = text.member("periodInterval") else { return PeriodInterval::default() };
        let value = &member.value;
        let minutes = match &value.value {
            TextValue::Integer(digits) => digits.parse::<i32>().ok(),
            TextValue::String(name) => interval_by_name(name.trim()),
            _ => None,
        };
        let Some(minutes) = minutes else {
            let target = format!("{NAMESPACE}.ObservationPeriodInterval");
            self.findings.error(cannot_convert(quoted(value), target), value.place);
            return PeriodInterval::default();
        };
        PeriodInterval::from_minutes(i64::from(minutes)).unwrap_or_else(|_| {
            let message = format!(
                "The period interval {minutes} is not supported: \
                 -1 (CorrelationId), 0 (Single), 60 (Hourly) and 1440 (Daily) are."
            );
            defects.error(message, value.place);
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
        defects: &mut Findings,
    ) -> Option<ComponentTemplate> {
        self.object(text, "CodeValueMapping")?;
        self.unknown_members(text, &["codes", "value"], "CodeValueMapping");
        let codes = self.list(text, "codes", "FhirCode", Self::code).unwrap_or_default();
        let value = text.member("value").map(|member| self.value(&member.value, interval, defects));
        self.required(text, &["Codes"]);
        if value.is_none() {
            defects.error(missing("Value"), text.place);
        }
        Some(ComponentTemplate::new(codes, value??))
    }

    /// Reads what a value becomes. Its members are not strict. The reference
    /// connector knows its kind by a member spelled in just two ways
    /// (fhir-conversion.md 4.3), which come first; here any letter case will do
    /// (quirk 10).
    fn value(&mut self, text: &Text, interval: PeriodInterval, defects: &mut Findings) -> Option<ValueTemplate> {
        let members = value_members(text, self.findings)?;
        let spelled = |name: &str| members.iter().rev().find(|member| member.name == name);
        let kind = spelled("ValueType").or_else(|| spelled("valueType"));
        let Some(kind) = kind.or_else(|| members.iter().rfind(|member| member.name.eq_ignore_ascii_case("valueType")))
        else {
            self.findings.error("Property ValueType is missing.", text.place);
            return None;
        };
        let written = scalar(&kind.value).unwrap_or_default();
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
                self.findings.error(message, kind.value.place);
                return None;
            }
        };
        let name = self.string(text, "valueName");
        // A defect has no value to show; the finding refuses the template.
        Some(ValueTemplate::new(name, kind.unwrap_or(ValueKind::String)))
    }

    fn sampled_data(&mut self, text: &Text, interval: PeriodInterval, defects: &mut Findings) -> Option<ValueKind> {
        let unit = self.string(text, "unit");
        let is_given = |value: &TextValue| match value {
            TextValue::Null => false,
            TextValue::String(text) => !text.is_empty(),
            _ => true,
        };
        let Some(member) = text.member("defaultPeriod").filter(|member| is_given(&member.value.value)) else {
            defects.error(missing("DefaultPeriod"), text.place);
            return None;
        };
        let place = member.value.place;
        let written = scalar(&member.value).unwrap_or_default();
        let number = match &member.value.value {
            TextValue::Integer(_) | TextValue::Float(_) | TextValue::String(_) => decimal(&written),
            _ => None,
        };
        let Some(milliseconds) = number else {
            self.findings.error(format!("Could not convert string to decimal: {written}. "), place);
            return None;
        };
        let Some(period) = SamplePeriod::from_milliseconds(milliseconds) else {
            let message = "The defaultPeriod has to be a positive number of milliseconds, at least 0.0001.";
            defects.error(message, place);
            return None;
        };
        if samples_in(interval, period).is_some_and(|samples| samples > SAMPLES_MAX) {
            let message = format!(
                "With this defaultPeriod an Observation has more than {SAMPLES_MAX} samples; \
                 measurements of this type will be rejected."
            );
            defects.warning(message, place);
        }
        Some(ValueKind::SampledData { period, unit })
    }

    fn concept(&mut self, text: &Text, defects: &mut Findings) -> Option<ValueKind> {
        let concept_text = self.string(text, "text");
        let codes = self.list(text, "codes", "FhirCode", Self::code_of_value);
        if codes.is_none() {
            defects.error(missing("Codes"), text.place);
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
            _ => {
                let target = format!("System.Collections.Generic.IList`1[{NAMESPACE}.{class}]");
                self.findings.error(cannot_convert(quoted(value), target), value.place);
                None
            }
        }
    }

    /// Checks that `text` is an object.
    fn object(&mut self, text: &Text, class: &str) -> Option<()> {
        if text.is_object() {
            return Some(());
        }
        self.findings.error(cannot_convert(quoted(text), format!("{NAMESPACE}.{class}")), text.place);
        None
    }

    fn unknown_members(&mut self, text: &Text, known: &[&str], class: &str) {
        for member in text.members() {
            if !known.iter().any(|name| member.name.eq_ignore_ascii_case(name)) {
                unknown_member(member, class, self.findings);
            }
        }
    }

    /// Reports those of the required members that are missing or null.
    fn required(&mut self, text: &Text, names: &[&str]) {
        for name in names {
            check_required(name, text.member(name), text.place, self.findings);
        }
    }

    /// The text of the member `name`; none when it is missing or null.
    fn string(&mut self, text: &Text, name: &str) -> Option<String> {
        string(&text.member(name)?.value, self.findings)
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

/// A value as the serializer names it in "Error converting value".
fn quoted(text: &Text) -> String {
    match &text.value {
        TextValue::Null => "{null}".to_owned(),
        TextValue::String(text) => format!("\"{text}\""),
        TextValue::Date(text) => text.clone(),
        other => scalar(text).unwrap_or_else(|| token_name(other).to_owned()),
    }
}

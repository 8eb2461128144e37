//! Reads the members of one template and compiles its expressions
//! (device-mapping.md 3). How members are read is in [`crate::template_file`].

use expressions::{CompileOptions, Expression, Language, Names, Pitfall};

use super::template::{Template, TemplateExpression, TemplateKind, ValueTemplate};
use crate::convert::is_blank;
use crate::finding::{Finding, Findings, Place};
use crate::measurement::json_text;
use crate::template_file::{
    cannot_convert, check_required, not_an_object, null_member, string, token_name, unknown_member, value_members,
};
use crate::text::{Text, TextMember, TextValue};

const LANGUAGE_TYPE: &str = "Microsoft.Health.Fhir.Ingest.Template.TemplateExpressionLanguage";

/// The places where IoT Hub puts device id and time (device-mapping.md 3.3).
const IOT_HUB_DEVICE_ID: &[&str] = &["$.SystemProperties.iothub-connection-device-id"];
const IOT_HUB_TIMESTAMP: &[&str] = &["$.Properties.iothub-creation-time-utc", "$.SystemProperties.iothub-enqueuedtime"];
/// The same for IoT Central (device-mapping.md 3.4).
const IOT_CENTRAL_DEVICE_ID: &[&str] = &["$.deviceId"];
const IOT_CENTRAL_TIMESTAMP: &[&str] = &["$.enqueuedTime"];

/// What loading carries along.
pub(super) struct Context<'c> {
    pub(super) names: &'c mut Names,
    pub(super) findings: &'c mut Findings,
    pub(super) options: CompileOptions,
}

/// The expressions of a template, in the order in which the reference
/// connector reports those that are missing.
const EXPRESSIONS: [&str; 6] = [
    "TypeMatchExpression",
    "DeviceIdExpression",
    "PatientIdExpression",
    "EncounterIdExpression",
    "TimestampExpression",
    "CorrelationIdExpression",
];
const TYPE_MATCH: usize = 0;
const DEVICE_ID: usize = 1;
const PATIENT_ID: usize = 2;
const ENCOUNTER_ID: usize = 3;
const TIMESTAMP: usize = 4;
const CORRELATION_ID: usize = 5;

/// Reads a template; none, with the findings in `context`, when it has errors.
pub(super) fn template(index: usize, kind: TemplateKind, text: &Text, context: &mut Context<'_>) -> Option<Template> {
    let before = context.findings.0.len();
    let members = Members::read(kind, text, context);
    let language = members.language(context);

    let mut expressions: [Option<TemplateExpression>; 6] = Default::default();
    for (at, name) in EXPRESSIONS.iter().enumerate() {
        let Some(member) = members.expressions[at] else { continue };
        if kind.has_fixed_device() && (at == DEVICE_ID || at == TIMESTAMP) {
            let message = format!("[{name}] is ignored: {} gives its own.", kind.registered_name());
            context.findings.warning(message, member.place);
            continue;
        }
        expressions[at] = expression(kind, name, is_required(kind, at), &member.value, &language, context);
    }
    let values = members.values.map(|member| values(kind, &member.value, &language, context)).unwrap_or_default();
    let type_name = members.type_name.and_then(|member| string(&member.value, context.findings));
    // The order in which the reference connector reports: as the text has
    // them, and then what is missing.
    context.findings.0[before..].sort_by_key(|finding| finding.place);
    members.check_required(kind, text, context);
    let (device_id, timestamp) = match kind {
        TemplateKind::IotHub => (fixed(IOT_HUB_DEVICE_ID, context), fixed(IOT_HUB_TIMESTAMP, context)),
        TemplateKind::IotCentral => (fixed(IOT_CENTRAL_DEVICE_ID, context), fixed(IOT_CENTRAL_TIMESTAMP, context)),
        _ => (expressions[DEVICE_ID].take().into_iter().collect(), expressions[TIMESTAMP].take().into_iter().collect()),
    };
    if context.findings.0[before..].iter().any(Finding::is_error) {
        return None;
    }
    let type_match = expressions[TYPE_MATCH].take();
    let type_match_names = type_match.as_ref().map_or(0, |expression| expression.program.needed_names());
    Some(Template {
        index,
        kind,
        place: text.place,
        type_name_json: json_text(type_name.as_deref().unwrap_or_default()),
        type_name: type_name?,
        type_name_place: members.type_name.map_or(text.place, |member| member.value.place),
        type_match_names,
        type_match,
        device_id,
        timestamp,
        patient_id: expressions[PATIENT_ID].take(),
        encounter_id: expressions[ENCOUNTER_ID].take(),
        correlation_id: expressions[CORRELATION_ID].take(),
        values,
    })
}

fn is_required(kind: TemplateKind, expression: usize) -> bool {
    match expression {
        TYPE_MATCH => true,
        DEVICE_ID | TIMESTAMP => !kind.has_fixed_device(),
        _ => false,
    }
}

/// The members of a template that are known, the last one of each name.
#[derive(Default)]
struct Members<'t> {
    type_name: Option<&'t TextMember>,
    expressions: [Option<&'t TextMember>; 6],
    values: Option<&'t TextMember>,
    language: Option<&'t TextMember>,
}

impl<'t> Members<'t> {
    /// Sorts the members; those that the kind does not know are findings.
    fn read(kind: TemplateKind, text: &'t Text, context: &mut Context<'_>) -> Members<'t> {
        let mut found = Members::default();
        for member in text.members() {
            let is = |name: &str| member.name.eq_ignore_ascii_case(name);
            if is("TypeName") {
                found.type_name = Some(member);
            } else if let Some(at) = EXPRESSIONS.iter().position(|name| is(name)) {
                found.expressions[at] = Some(member);
            } else if is("Values") {
                found.values = Some(member);
            } else if is("DefaultExpressionLanguage") && kind == TemplateKind::Calculated {
                found.language = Some(member);
            } else {
                unexpected_member(member, kind.class_name(), context.findings);
            }
        }
        found
    }

    fn check_required(&self, kind: TemplateKind, text: &Text, context: &mut Context<'_>) {
        for (at, name) in EXPRESSIONS.iter().enumerate() {
            if is_required(kind, at) {
                check_required_expression(kind, name, self.expressions[at], text.place, context.findings);
            }
        }
        check_required("TypeName", self.type_name, text.place, context.findings);
    }

    /// The language of expressions that name none.
    fn language(&self, context: &mut Context<'_>) -> ReadLanguage {
        let Some(member) = self.language else { return ReadLanguage::Known(Language::JsonPath) };
        match language(&member.value, false) {
            Ok(Some(language)) => language,
            Ok(None) => ReadLanguage::Known(Language::JsonPath),
            Err(message) => {
                context.findings.error(message, member.value.place);
                ReadLanguage::Known(Language::JsonPath)
            }
        }
    }
}

/// Reports a required expression that is missing or null; a blank one counts
/// as null in CalculatedContent.
fn check_required_expression(
    kind: TemplateKind,
    name: &str,
    member: Option<&TextMember>,
    place: Place,
    findings: &mut Findings,
) {
    match member.map(|member| &member.value.value) {
        Some(TextValue::String(text)) if kind == TemplateKind::Calculated && is_blank(text) => {
            null_member(name, place, findings);
        }
        _ => check_required(name, member, place, findings),
    }
}

fn unexpected_member(member: &TextMember, class: &str, findings: &mut Findings) {
    // The reference connector takes two names of its own book-keeping for
    // members by accident; no file is refused for them (quirk 31).
    if ["lineNumber", "linePosition"].iter().any(|name| member.name.eq_ignore_ascii_case(name)) {
        findings.warning(format!("The member '{}' is ignored.", member.name), member.place);
        return;
    }
    unknown_member(member, class, findings);
}

/// Reads `values`; entries with errors are left out.
fn values(kind: TemplateKind, text: &Text, language: &ReadLanguage, context: &mut Context<'_>) -> Vec<ValueTemplate> {
    match &text.value {
        // No values at all: a repair for CalculatedContent (quirk 28).
        TextValue::Null => Vec::new(),
        TextValue::Array(entries) => entries.iter().filter_map(|entry| value(kind, entry, language, context)).collect(),
        other => {
            let message = format!("Expected an array for the values, not {}.", token_name(other));
            context.findings.error(message, text.place);
            Vec::new()
        }
    }
}

fn value(kind: TemplateKind, text: &Text, language: &ReadLanguage, context: &mut Context<'_>) -> Option<ValueTemplate> {
    let (mut name, mut value_expression, mut required) = (None, None, None);
    for member in value_members(text, context.findings)? {
        let is = |name: &str| member.name.eq_ignore_ascii_case(name);
        if is("ValueName") {
            name = Some(member);
        } else if is("ValueExpression") {
            value_expression = Some(member);
        } else if is("Required") {
            required = Some(member);
        } else {
            unexpected_member(member, kind.value_class_name(), context.findings);
        }
    }
    check_required("ValueName", name, text.place, context.findings);
    check_required_expression(kind, "ValueExpression", value_expression, text.place, context.findings);
    let is_required = required.map_or(Some(false), |member| boolean(&member.value, context));
    let expression =
        value_expression.and_then(|member| expression(kind, "ValueExpression", true, &member.value, language, context));
    let name_text = string(&name?.value, context.findings)?;
    if is_blank(&name_text) {
        let message = "A value without a name fails every event that the template takes.";
        context.findings.warning(message, name?.value.place);
    }
    Some(ValueTemplate {
        place: text.place,
        name_json: json_text(&name_text),
        name: name_text,
        name_place: name?.value.place,
        expression,
        required: is_required?,
        required_place: required.map(|member| member.value.place),
    })
}

/// The expressions that a kind brings along.
fn fixed(texts: &[&str], context: &mut Context<'_>) -> Vec<TemplateExpression> {
    let mut compiled = Vec::with_capacity(texts.len());
    for text in texts {
        match Expression::compile(text, Language::JsonPath, context.options, context.names) {
            Ok(program) => compiled.push(TemplateExpression {
                text: (*text).to_owned(),
                language: Language::JsonPath,
                place: None,
                text_place: None,
                language_place: None,
                program,
            }),
            Err(error) => context.findings.0.push(Finding::error(error.to_string(), None)),
        }
    }
    compiled
}

/// Reads and compiles an expression. None when it is not set, or has errors.
fn expression(
    kind: TemplateKind,
    name: &str,
    is_required: bool,
    value: &Text,
    default_language: &ReadLanguage,
    context: &mut Context<'_>,
) -> Option<TemplateExpression> {
    let read = match kind {
        TemplateKind::Calculated => read_expression(value, context)?,
        _ => ReadExpression { text: string(value, context.findings)?, place: value.place, language: None },
    };
    if is_blank(&read.text) {
        if is_required && kind != TemplateKind::Calculated {
            let message = format!("An expression must be set for [{name}]; every event fails.");
            context.findings.warning(message, value.place);
        }
        return None;
    }
    let language_place = read.language.as_ref().map(|(_, place)| *place);
    let language = match read.language.map_or_else(|| default_language.clone(), |(language, _)| language) {
        ReadLanguage::Known(language) => language,
        ReadLanguage::Unsupported(number) => {
            context.findings.error(format!("Unsupported Expression Language: {number}"), value.place);
            return None;
        }
    };
    let compiled = compile(&read.text, language, context);
    if let Some(message) =
        compiled.as_ref().ok().and_then(Expression::pitfall).and_then(|pitfall| caution(pitfall, name))
    {
        context.findings.warning(message, read.place);
    }
    match compiled {
        Ok(program) => Some(TemplateExpression {
            text: read.text,
            language,
            place: Some(value.place),
            text_place: Some(read.place),
            language_place,
            program,
        }),
        Err(message) => {
            context.findings.error(message, read.place);
            None
        }
    }
}

fn compile(text: &str, language: Language, context: &mut Context<'_>) -> Result<Expression, String> {
    Expression::compile(text, language, context.options, context.names)
        .map_err(|error| format!("{} (character {})", error.text(text, language), error.position))
}

/// What is said of an expression for `name` that may not do what it seems to.
fn caution(pitfall: Pitfall, name: &str) -> Option<String> {
    match pitfall {
        Pitfall::AndBeforeOr => Some("`a && b || c` means `a && (b || c)` here.".to_owned()),
        // Each element is a match.
        Pitfall::List if name == EXPRESSIONS[TYPE_MATCH] => None,
        Pitfall::List => {
            Some(format!("The expression for [{name}] gives a list, also of one value; end it with `| [0]`."))
        }
    }
}

struct ReadExpression {
    text: String,
    place: Place,
    language: Option<(ReadLanguage, Place)>,
}

/// Reads an expression of CalculatedContent: a text, or an object with `value`
/// and `language` (device-mapping.md 3.5).
fn read_expression(value: &Text, context: &mut Context<'_>) -> Option<ReadExpression> {
    match &value.value {
        TextValue::String(text) => Some(ReadExpression { text: text.clone(), place: value.place, language: None }),
        TextValue::Null => None,
        TextValue::Object(_) => {
            let text = value.member("value");
            // An object whose text is blank is no expression, as a blank text
            // is none; one that is null is an error of its own.
            check_required("Value", text, value.place, context.findings);
            let member = value.member("language");
            let language = match member.map(|member| language(&member.value, true)) {
                None => Ok(None),
                Some(read) => read,
            };
            let language = match language {
                Ok(language) => language,
                Err(message) => {
                    context.findings.error(message, member.map_or(value.place, |member| member.value.place));
                    return None;
                }
            };
            let text = text?;
            Some(ReadExpression {
                text: string(&text.value, context.findings)?,
                place: text.value.place,
                language: language.zip(member.map(|member| member.value.place)),
            })
        }
        _ => {
            context.findings.error(not_an_object(value), value.place);
            None
        }
    }
}

/// A language as it was written.
#[derive(Clone)]
enum ReadLanguage {
    Known(Language),
    /// A number that names none; an error only where it is used.
    Unsupported(String),
}

/// Reads the name or number of a language; none when `is_optional` and null or
/// empty.
fn language(value: &Text, is_optional: bool) -> Result<Option<ReadLanguage>, String> {
    let target = if is_optional { format!("System.Nullable`1[{LANGUAGE_TYPE}]") } else { LANGUAGE_TYPE.to_owned() };
    match &value.value {
        TextValue::Null if is_optional => Ok(None),
        TextValue::String(name) if is_optional && name.is_empty() => Ok(None),
        TextValue::Null => Err(format!("Cannot convert null value to {LANGUAGE_TYPE}. ")),
        TextValue::Integer(number) => Ok(Some(numbered_language(number))),
        TextValue::String(name) => match name.trim() {
            known if known.eq_ignore_ascii_case("JsonPath") => Ok(Some(ReadLanguage::Known(Language::JsonPath))),
            known if known.eq_ignore_ascii_case("JmesPath") => Ok(Some(ReadLanguage::Known(Language::JmesPath))),
            known if known.eq_ignore_ascii_case("JsonPathRfc9535") => {
                Ok(Some(ReadLanguage::Known(Language::JsonPathRfc9535)))
            }
            number if number.parse::<i32>().is_ok() => Ok(Some(numbered_language(number))),
            _ => Err(cannot_convert(format!("\"{name}\""), target)),
        },
        other => {
            let token = token_name(other);
            Err(format!("Unexpected token {token} when parsing enum. "))
        }
    }
}

fn numbered_language(number: &str) -> ReadLanguage {
    match number.parse::<i64>() {
        Ok(0) => ReadLanguage::Known(Language::JsonPath),
        Ok(1) => ReadLanguage::Known(Language::JmesPath),
        _ => ReadLanguage::Unsupported(number.to_owned()),
    }
}

/// Reads `required` (device-mapping.md 3.6).
fn boolean(value: &Text, context: &mut Context<'_>) -> Option<bool> {
    let message = match &value.value {
        TextValue::Bool(value) => return Some(*value),
        TextValue::Integer(number) => return Some(number.bytes().any(|digit| matches!(digit, b'1'..=b'9'))),
        TextValue::Float(number) => return Some(number.parse::<f64>() != Ok(0.0)),
        TextValue::String(text) if text.trim().eq_ignore_ascii_case("true") => return Some(true),
        TextValue::String(text) if text.trim().eq_ignore_ascii_case("false") => return Some(false),
        TextValue::Null => cannot_convert("{null}", "System.Boolean"),
        TextValue::String(text) if text.is_empty() => cannot_convert("{null}", "System.Boolean"),
        TextValue::String(text) => format!("Could not convert string to boolean: {text}. "),
        other => format!("Error reading boolean. Unexpected token: {}. ", token_name(other)),
    };
    context.findings.error(message, value.place);
    None
}

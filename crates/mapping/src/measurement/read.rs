//! Reads measurements as other producers write them too (fhir-conversion.md
//! 1.4 and 1.5): member names in any letter case, scalars where text is
//! wanted, three forms of time.
//!
//! Not taken, unless asked for, are the looser forms of the reference
//! connector's reader: comments, single quotes, names without quotes. Text after
//! the value is never taken.

use std::borrow::Cow;

use expressions::document::write_json_string;
use expressions::lenient::{Token, Tokenizer};
use expressions::{DateTime, ReadError, UtcTime};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Measurement, Property, plain};
use crate::json::{self, Object};

/// Why a body is no measurement. Never quotes a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MeasurementReadError {
    /// The body is not JSON, or not of the shape that was expected.
    #[error("expected {expected} at line {line}, column {column}")]
    Json {
        /// What should have been there.
        expected: &'static str,
        /// Line, from 1.
        line: usize,
        /// Column, from 1; 0 when unknown.
        column: usize,
    },
    /// A member is missing or not usable.
    #[error("`{member}` {reason}")]
    Member {
        /// The member's path, as `Properties[1].Name`.
        member: String,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl<'b> Measurement<'b> {
    /// Reads one measurement, a JSON object in UTF-8.
    pub fn read(json: &'b [u8]) -> Result<Measurement<'b>, MeasurementReadError> {
        match std::str::from_utf8(json).ok().and_then(plain::read) {
            Some(measurement) => Ok(measurement),
            None => general(json),
        }
    }

    /// Reads one measurement in the looser forms too
    /// ([`Compatibility::lenient_measurements`](crate::Compatibility)). What is
    /// wrong is told with its place in the plain form of the text.
    pub fn read_lenient(json: &'b [u8]) -> Result<Measurement<'b>, MeasurementReadError> {
        let strict = Measurement::read(json);
        match (&strict, std::str::from_utf8(json)) {
            (Err(MeasurementReadError::Json { .. }), Ok(text)) => match plain_form(text) {
                Ok(plain) => Measurement::read(plain.as_bytes()).map(|read| read.as_ref().to_measurement()),
                Err(_) => strict,
            },
            _ => strict,
        }
    }

    /// Reads a list of measurements. Each that is not usable is an error of its
    /// own, so that the others are not lost with it.
    pub fn read_list(
        json: &'b [u8],
    ) -> Result<Vec<Result<Measurement<'b>, MeasurementReadError>>, MeasurementReadError> {
        let entries: Vec<&RawValue> = parse(json, "a list of measurements")?;
        Ok(entries.iter().map(|entry| Measurement::read(entry.get().as_bytes())).collect())
    }
}

/// Reads one in any form.
pub(super) fn general(json: &[u8]) -> Result<Measurement<'_>, MeasurementReadError> {
    measurement(parse(json, "a measurement object")?)
}

fn parse<'j, T: Deserialize<'j>>(json: &'j [u8], expected: &'static str) -> Result<T, MeasurementReadError> {
    // The text of serde's error is left out: it may quote a value.
    serde_json::from_slice(json).map_err(|error| MeasurementReadError::Json {
        expected,
        line: error.line(),
        column: error.column(),
    })
}

/// How deep the looser forms may nest, as everywhere.
const DEPTH_MAX: usize = 64;

/// The text as plain JSON, each number as it is written. What JSON cannot say
/// (`undefined`, `NaN`, a constructor) is null, which is no use where a text or
/// a time is wanted.
fn plain_form(text: &str) -> Result<String, ReadError> {
    let mut tokens = Tokenizer::new(text, DEPTH_MAX);
    let mut out = String::with_capacity(text.len());
    while let Some(token) = tokens.next_token()? {
        let is_end = matches!(token, Token::ObjectEnd | Token::ArrayEnd);
        if !is_end && !out.is_empty() && !out.ends_with(['{', '[', ':']) {
            out.push(',');
        }
        match token {
            Token::ObjectStart => out.push('{'),
            Token::ObjectEnd => out.push('}'),
            Token::ArrayStart => out.push('['),
            Token::ArrayEnd => out.push(']'),
            Token::Name(name) => {
                write_json_string(&name, &mut out);
                out.push(':');
            }
            Token::Bool(value) => out.push_str(if value { "true" } else { "false" }),
            Token::Integer(digits) => out.push_str(&digits),
            Token::BigInteger(digits) => out.push_str(&digits),
            Token::Float(number) if number.ends_with(|c: char| c.is_ascii_digit()) => out.push_str(&number),
            Token::String(text) => write_json_string(&text, &mut out),
            Token::Float(_) | Token::Null | Token::Undefined | Token::Constructor(_) => out.push_str("null"),
        }
    }
    tokens.finish()?;
    Ok(out)
}

fn measurement(object: Object<'_>) -> Result<Measurement<'_>, MeasurementReadError> {
    let mut measurement = Measurement::default();
    let (mut r#type, mut device_id) = (None, None);
    for (name, value) in object.members {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        if is("Type") {
            r#type = text(value, &|| "Type".to_owned())?;
        } else if is("OccurrenceTimeUtc") {
            measurement.occurrence_time = time(value, "OccurrenceTimeUtc")?;
        } else if is("IngestionTimeUtc") {
            let is_null = matches!(value.get(), "null" | "\"\"");
            measurement.ingestion_time = if is_null { None } else { Some(time(value, "IngestionTimeUtc")?) };
        } else if is("DeviceId") {
            device_id = text(value, &|| "DeviceId".to_owned())?;
        } else if is("PatientId") {
            measurement.patient_id = text(value, &|| "PatientId".to_owned())?;
        } else if is("EncounterId") {
            measurement.encounter_id = text(value, &|| "EncounterId".to_owned())?;
        } else if is("CorrelationId") {
            measurement.correlation_id = text(value, &|| "CorrelationId".to_owned())?;
        } else if is("Properties") {
            measurement.properties = properties(value)?;
        }
    }
    measurement.r#type = r#type.ok_or_else(|| unusable("Type", "is missing"))?;
    measurement.device_id = device_id.ok_or_else(|| unusable("DeviceId", "is missing"))?;
    Ok(measurement)
}

fn properties(value: &RawValue) -> Result<Vec<Property<'_>>, MeasurementReadError> {
    if !value.get().starts_with('[') {
        return Err(unusable("Properties", "is not a list"));
    }
    let entries: Vec<&RawValue> = parse(value.get().as_bytes(), "a list of properties")?;
    entries.iter().enumerate().map(|(at, entry)| property(at, entry)).collect()
}

fn property(at: usize, value: &RawValue) -> Result<Property<'_>, MeasurementReadError> {
    if !value.get().starts_with('{') {
        return Err(unusable(format!("Properties[{at}]"), "is not an object"));
    }
    let object: Object<'_> = parse(value.get().as_bytes(), "a property object")?;
    let (mut name, mut content) = (None, None);
    for (member, value) in object.members {
        if member.eq_ignore_ascii_case("Name") {
            name = text(value, &|| format!("Properties[{at}].Name"))?;
        } else if member.eq_ignore_ascii_case("Value") {
            content = text(value, &|| format!("Properties[{at}].Value"))?;
        }
    }
    match name {
        Some(name) => Ok(Property { name, value: content }),
        None => Err(unusable(format!("Properties[{at}].Name"), "is missing")),
    }
}

/// A scalar as text, numbers and booleans as they were written; none for null.
/// `member` tells the path, should it be needed.
fn text<'j>(value: &'j RawValue, member: &dyn Fn() -> String) -> Result<Option<Cow<'j, str>>, MeasurementReadError> {
    let raw = value.get();
    match raw.as_bytes().first() {
        Some(b'"') => Ok(Some(unquote(raw, member)?)),
        Some(b'{' | b'[') => Err(unusable(member(), "is an object or a list")),
        _ if raw == "null" => Ok(None),
        _ => Ok(Some(Cow::Borrowed(raw))),
    }
}

/// A time: with `Z` or an offset, or without a zone, which is taken as UTC;
/// date only and US order too, as the reference connector reads them.
fn time(value: &RawValue, member: &'static str) -> Result<UtcTime, MeasurementReadError> {
    let raw = value.get();
    if !raw.starts_with('"') {
        return Err(unusable(member, "is not a text"));
    }
    let text = unquote(raw, &|| member.to_owned())?;
    let time = DateTime::parse_token(&text).or_else(|| DateTime::parse_dotnet(&text));
    time.map(|time| time.instant).ok_or_else(|| unusable(member, "is not a time"))
}

fn unquote<'r>(raw: &'r str, member: &dyn Fn() -> String) -> Result<Cow<'r, str>, MeasurementReadError> {
    json::text(raw).ok_or_else(|| unusable(member(), "is not a text"))
}

fn unusable(member: impl Into<String>, reason: &'static str) -> MeasurementReadError {
    MeasurementReadError::Member { member: member.into(), reason }
}

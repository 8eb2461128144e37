//! Reads measurements as other producers write them too (fhir-conversion.md
//! 1.4 and 1.5): member names in any letter case, scalars where text is
//! wanted, three forms of time.
//!
//! Not taken are the looser forms of the reference connector's reader:
//! comments, single quotes, anything after the value.

use std::borrow::Cow;

use expressions::{DateTime, UtcTime};
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

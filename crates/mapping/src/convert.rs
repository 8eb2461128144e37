//! Turns what an expression gave into text or a time (device-mapping.md 5).
//!
//! Text is appended to the caller's buffer, so that nothing is allocated for a
//! value. Why something cannot be converted is told in the reference
//! connector's words, without the value.

use expressions::number::{write_double, write_integer};
use expressions::{DateTime, Document, Kind, Language, NodeId, UtcTime, Value};

use crate::compatibility::{Dates, Numbers};

/// Why a value cannot be converted; never quotes it.
pub(crate) type Reason = &'static str;

const OBJECT: Reason = "Cannot cast Newtonsoft.Json.Linq.JObject to Newtonsoft.Json.Linq.JToken.";
const ARRAY: Reason = "Cannot cast Newtonsoft.Json.Linq.JArray to Newtonsoft.Json.Linq.JToken.";
const OPAQUE: Reason = "Object must implement IConvertible.";
const NOT_A_TIME: Reason = "String was not recognized as a valid DateTime.";

/// How values become text.
#[derive(Clone, Copy)]
pub(crate) struct TextForm {
    pub(crate) language: Language,
    pub(crate) numbers: Numbers,
}

/// Appends a value as text, as ids and measured values have it. False, and
/// nothing appended, for null.
pub(crate) fn push_text(
    document: Document<'_>,
    value: &Value<'_>,
    form: TextForm,
    out: &mut String,
) -> Result<bool, Reason> {
    match value {
        Value::Node(node) => return push_node(document, *node, form, out),
        Value::Null => return Ok(false),
        Value::Bool(value) => out.push_str(if *value { "True" } else { "False" }),
        Value::Integer(number) => write_integer(*number, out),
        Value::Float(number) => write_double(*number, out),
        Value::String(text) => out.push_str(text),
        Value::Date(date) => date.instant.write_us(out),
        Value::Array(_) => return Err(ARRAY),
        Value::Object(_) => return Err(OBJECT),
    }
    Ok(true)
}

/// [`push_text`] for a node.
#[inline]
pub(crate) fn push_node(
    document: Document<'_>,
    node: NodeId,
    form: TextForm,
    out: &mut String,
) -> Result<bool, Reason> {
    if let Some(text) = document.plain_text(node) {
        out.push_str(text);
        return Ok(true);
    }
    match document.kind(node) {
        Kind::Null | Kind::Undefined => return Ok(false),
        Kind::False => out.push_str("False"),
        Kind::True => out.push_str("True"),
        // Beyond `i64` the reference connector fails; the digits are right (quirk 6).
        Kind::Integer | Kind::BigInteger => match document.raw(node) {
            "-0" => out.push('0'),
            digits => out.push_str(digits),
        },
        Kind::Float => push_float(document.raw(node), form.numbers, out),
        Kind::Date if form.language != Language::JsonPathRfc9535 => match document.date(node) {
            Some(date) => date.instant.write_us(out),
            None => out.push_str(&document.text(node)),
        },
        Kind::String | Kind::Date => out.push_str(&document.text(node)),
        Kind::Object => return Err(OBJECT),
        Kind::Array => return Err(ARRAY),
        Kind::Opaque => return Err(OPAQUE),
    }
    Ok(true)
}

fn push_float(raw: &str, numbers: Numbers, out: &mut String) {
    if numbers == Numbers::Exact || prints_as_written(raw) {
        out.push_str(raw);
        return;
    }
    // Rust reads every form that the reader lets through.
    write_double(raw.parse().unwrap_or(f64::NAN), out);
}

/// Whether .NET prints a number just as it is written here: plain digits
/// around one point, none superfluous, at least 1e-4, and so few (15) that no
/// shorter text can mean the same double.
fn prints_as_written(raw: &str) -> bool {
    let plain = raw.strip_prefix('-').unwrap_or(raw).as_bytes();
    let Some(point) = plain.iter().position(|byte| *byte == b'.') else { return false };
    let (whole, fraction) = (&plain[..point], &plain[point + 1..]);
    let is_digits = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
    plain.len() <= 16
        && is_digits(whole)
        && is_digits(fraction)
        && (whole == b"0" || whole[0] != b'0')
        && !fraction.ends_with(b"0")
        && (whole != b"0" || !fraction.starts_with(b"0000"))
}

/// Whether a text says nothing.
#[inline]
pub(crate) fn is_blank(text: &str) -> bool {
    match text.bytes().next() {
        // Nearly all texts begin with a letter or digit.
        Some(b'!'..=b'~') => false,
        _ => text.trim().is_empty(),
    }
}

/// A value as a time; none for null.
pub(crate) fn timestamp(document: Document<'_>, value: &Value<'_>, dates: Dates) -> Result<Option<UtcTime>, Reason> {
    match value {
        Value::Node(node) => node_timestamp(document, *node, dates),
        Value::Null => Ok(None),
        Value::Bool(_) => Err("Invalid cast from 'Boolean' to 'DateTime'."),
        Value::Integer(_) => Err("Invalid cast from 'Int64' to 'DateTime'."),
        Value::Float(_) => Err("Invalid cast from 'Double' to 'DateTime'."),
        Value::String(text) => parse_time(text, dates),
        Value::Date(date) => Ok(Some(date.instant)),
        Value::Array(_) => Err(ARRAY),
        Value::Object(_) => Err(OBJECT),
    }
}

/// [`timestamp`] for a node.
#[inline]
pub(crate) fn node_timestamp(document: Document<'_>, node: NodeId, dates: Dates) -> Result<Option<UtcTime>, Reason> {
    if let Some(date) = document.date(node) {
        return Ok(Some(date.instant));
    }
    match document.kind(node) {
        Kind::Null | Kind::Undefined => Ok(None),
        Kind::False | Kind::True => Err("Invalid cast from 'Boolean' to 'DateTime'."),
        Kind::Integer => Err("Invalid cast from 'Int64' to 'DateTime'."),
        Kind::Float => Err("Invalid cast from 'Double' to 'DateTime'."),
        Kind::String | Kind::Date => parse_time(&document.text(node), dates),
        Kind::Object => Err(OBJECT),
        Kind::Array => Err(ARRAY),
        Kind::BigInteger | Kind::Opaque => Err(OPAQUE),
    }
}

fn parse_time(text: &str, dates: Dates) -> Result<Option<UtcTime>, Reason> {
    // Text in the shape of a date is no less a time for being kept as text;
    // .NET does not read all of it (`24:00:00`, `/Date(0)/`).
    let shaped = || (dates == Dates::Exact).then(|| DateTime::parse_token(text)).flatten();
    match DateTime::parse_dotnet(text).or_else(shaped) {
        Some(time) => Ok(Some(time.instant)),
        None => Err(NOT_A_TIME),
    }
}

#[cfg(test)]
mod tests {
    use expressions::{ReadOptions, Scratch};
    use proptest::prelude::*;

    use super::*;

    /// The text that a JSON value becomes, or why it becomes none.
    #[track_caller]
    fn check_text(json: &str, expected: &str) {
        let mut scratch = Scratch::default();
        let document = scratch.read_value(json.as_bytes(), ReadOptions::default()).unwrap();
        let mut out = String::new();
        let form = TextForm { language: Language::JsonPath, numbers: Numbers::Reference };
        let actual = match push_text(document, &Value::Node(Document::ROOT), form, &mut out) {
            Ok(true) => out,
            Ok(false) => "null".to_owned(),
            Err(_) => "failure".to_owned(),
        };
        assert_eq!(actual, expected, "{json}");
    }

    #[test]
    fn prints_tokens_as_the_reference_connector_does() {
        for (json, expected) in [
            (r#"" a \u0041\"""#, " a A\""),
            ("12", "12"),
            ("-0", "0"),
            ("9223372036854775808", "9223372036854775808"),
            ("1.0", "1"),
            ("72.40", "72.4"),
            ("98.6", "98.6"),
            ("1e3", "1000"),
            ("-0.0", "-0"),
            ("1e16", "10000000000000000"),
            ("1e17", "1E+17"),
            ("123456789012345678.0", "1.2345678901234568E+17"),
            ("0.0001", "0.0001"),
            ("0.00001", "1E-05"),
            ("0.1234567890123456789", "0.12345678901234568"),
            ("NaN", "NaN"),
            ("-Infinity", "-Infinity"),
            ("true", "True"),
            ("false", "False"),
            (r#""2019-02-01T22:46:01.875+01:00""#, "02/01/2019 21:46:01"),
            (r#""2019-02-01""#, "2019-02-01"),
            ("null", "null"),
            ("undefined", "null"),
            ("{}", "failure"),
            ("[1]", "failure"),
            ("new Date(1)", "failure"),
        ] {
            check_text(json, expected);
        }
    }

    #[test]
    fn keeps_what_the_device_wrote_when_asked() {
        let mut out = String::new();
        push_float("98.60", Numbers::Exact, &mut out);
        assert_eq!(out, "98.60");
    }

    proptest! {
        #[test]
        fn copies_a_number_only_when_it_prints_so(text in "-?[0-9]{1,10}\\.[0-9]{1,10}") {
            let mut printed = String::new();
            write_double(text.parse().unwrap(), &mut printed);
            prop_assert!(!prints_as_written(&text) || printed == text);
        }
    }

    /// A JSON value as a time, or why it is none.
    #[track_caller]
    fn check_time(json: &str, expected: &str) {
        let mut scratch = Scratch::default();
        let document = scratch.read_value(json.as_bytes(), ReadOptions::default()).unwrap();
        let actual = match timestamp(document, &Value::Node(Document::ROOT), Dates::Reference) {
            Ok(Some(time)) => {
                let mut out = String::new();
                time.write_iso(&mut out);
                out
            }
            Ok(None) => "null".to_owned(),
            Err(reason) => reason.to_owned(),
        };
        assert_eq!(actual, expected, "{json}");
    }

    #[test]
    fn reads_times() {
        for (json, expected) in [
            (r#""2019-02-01T22:46:01.875Z""#, "2019-02-01T22:46:01.875Z"),
            (r#""2019-02-01T22:46:01+01:00""#, "2019-02-01T21:46:01Z"),
            (r#""2019-02-01 22:46:01""#, "2019-02-01T22:46:01Z"),
            (r#""Fri, 01 Feb 2019 22:46:01 GMT""#, "2019-02-01T22:46:01Z"),
            ("null", "null"),
            (r#""yesterday""#, NOT_A_TIME),
            (r#""""#, NOT_A_TIME),
            (r#""10:30""#, NOT_A_TIME),
            ("1549061161", "Invalid cast from 'Int64' to 'DateTime'."),
            ("1.5", "Invalid cast from 'Double' to 'DateTime'."),
            ("true", "Invalid cast from 'Boolean' to 'DateTime'."),
            ("{}", OBJECT),
        ] {
            check_time(json, expected);
        }
    }
}

//! Compares two scalars as Newtonsoft's `JValue` does (device-mapping.md 6.5).
//!
//! Equality never converts, but for integers with floats and dates with their
//! text. Ordering converts both sides to one type and fails when it cannot;
//! the messages are .NET's, without the values.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::Literal;
use crate::document::{Document, Kind, NodeId};
use crate::number::{parse_double_with_thousands, parse_integer};
use crate::time::DateTime;

/// The value of a token that is no object or array.
#[derive(Debug)]
pub(super) enum Scalar<'v> {
    Null,
    Undefined,
    Bool(bool),
    Integer(i64),
    /// The digits of an integer beyond `i64`.
    BigInteger(Cow<'v, str>),
    Float(f64),
    Text(Cow<'v, str>),
    Date(DateTime),
    Opaque,
}

impl<'v> Scalar<'v> {
    pub(super) fn of_node(document: Document<'v>, node: NodeId) -> Option<Scalar<'v>> {
        Some(match document.kind(node) {
            Kind::Object | Kind::Array => return None,
            Kind::Null => Scalar::Null,
            Kind::Undefined => Scalar::Undefined,
            Kind::False => Scalar::Bool(false),
            Kind::True => Scalar::Bool(true),
            Kind::Integer => Scalar::Integer(document.integer(node)?),
            Kind::BigInteger => Scalar::BigInteger(document.text(node)),
            Kind::Float => Scalar::Float(document.float(node)?),
            Kind::String => Scalar::Text(document.text(node)),
            Kind::Date => Scalar::Date(document.date(node)?),
            Kind::Opaque => Scalar::Opaque,
        })
    }

    pub(super) fn of_literal(literal: &'v Literal) -> Scalar<'v> {
        match literal {
            Literal::Null => Scalar::Null,
            Literal::Bool(value) => Scalar::Bool(*value),
            Literal::Integer(value) => Scalar::Integer(*value),
            Literal::Float(value) => Scalar::Float(*value),
            Literal::Text(text) => Scalar::Text(Cow::Borrowed(text)),
        }
    }

    fn is_number(&self) -> bool {
        matches!(self, Scalar::Integer(_) | Scalar::BigInteger(_) | Scalar::Float(_))
    }
}

/// `==`: as `===`, and a date on the left equals its canonical text.
/// Errors as [`strictly_equal`].
pub(super) fn equal(left: &Scalar<'_>, right: &Scalar<'_>) -> Result<bool, &'static str> {
    if let (Scalar::Date(date), Scalar::Text(text)) = (left, right) {
        let mut iso = String::new();
        date.write_iso(&mut iso);
        return Ok(iso == *text);
    }
    strictly_equal(left, right)
}

/// `===`: one type and one value; integers and floats are one type. An error
/// for an integer beyond 64 bits beside NaN or infinity, which it cannot be
/// compared with.
pub(super) fn strictly_equal(left: &Scalar<'_>, right: &Scalar<'_>) -> Result<bool, &'static str> {
    Ok(match (left, right) {
        (Scalar::Null, Scalar::Null) | (Scalar::Undefined, Scalar::Undefined) => true,
        (Scalar::Bool(left), Scalar::Bool(right)) => left == right,
        (Scalar::Text(left), Scalar::Text(right)) => left == right,
        (Scalar::Date(left), Scalar::Date(right)) => left.instant == right.instant,
        _ if left.is_number() && right.is_number() => order(left, right)?.is_eq(),
        _ => false,
    })
}

/// The order of two scalars, or why they have none.
pub(super) fn order(left: &Scalar<'_>, right: &Scalar<'_>) -> Result<Ordering, &'static str> {
    let is_nothing = |scalar: &Scalar<'_>| matches!(scalar, Scalar::Null | Scalar::Undefined);
    match (is_nothing(left), is_nothing(right)) {
        (false, false) => {}
        (left, right) => return Ok(right.cmp(&left)),
    }
    // The left type decides, but text gives way to any other.
    let decides = if matches!(left, Scalar::Text(_)) { right } else { left };
    match decides {
        Scalar::Integer(_) | Scalar::BigInteger(_) | Scalar::Float(_) => {
            let is_float = |scalar: &Scalar<'_>| matches!(scalar, Scalar::Float(_));
            let is_big = |scalar: &Scalar<'_>| matches!(scalar, Scalar::BigInteger(_));
            if is_big(left) || is_big(right) {
                Ok(BigInteger::of(left)?.cmp(&BigInteger::of(right)?))
            } else if is_float(left) || is_float(right) {
                Ok(order_doubles(double(left)?, double(right)?))
            } else {
                Ok(integer(left)?.cmp(&integer(right)?))
            }
        }
        Scalar::Bool(_) => Ok(boolean(left)?.cmp(&boolean(right)?)),
        Scalar::Date(_) => match left {
            Scalar::Date(date) => Ok(date.instant.ticks().cmp(&instant_ticks(right)?)),
            _ => Err("Unable to cast object of type 'System.String' to type 'System.DateTimeOffset'."),
        },
        Scalar::Text(_) => match (left, right) {
            (Scalar::Text(left), Scalar::Text(right)) => Ok(left.encode_utf16().cmp(right.encode_utf16())),
            _ => Err(INVALID_CAST),
        },
        Scalar::Opaque | Scalar::Null | Scalar::Undefined => Err(NOT_CONVERTIBLE),
    }
}

const FORMAT: &str = "The input string was not in a correct format.";
const TOO_LARGE: &str = "Value was either too large or too small for an Int64.";
const INVALID_CAST: &str = "Invalid cast between a date and another type.";
const NOT_CONVERTIBLE: &str = "Object must implement IConvertible.";
const NOT_A_DATE: &str = "String was not recognized as a valid DateTime.";

/// Doubles that differ by no more than rounding are equal; NaN is the least.
fn order_doubles(left: f64, right: f64) -> Ordering {
    let tolerance = (left.abs() + right.abs() + 10.0) * f64::EPSILON;
    let difference = left - right;
    if left == right || -tolerance < difference && difference < tolerance {
        return Ordering::Equal;
    }
    left.partial_cmp(&right).unwrap_or_else(|| right.is_nan().cmp(&left.is_nan()))
}

fn integer(scalar: &Scalar<'_>) -> Result<i64, &'static str> {
    match scalar {
        Scalar::Integer(value) => Ok(*value),
        Scalar::Bool(value) => Ok(i64::from(*value)),
        Scalar::Text(text) => parse_integer(text).ok_or(if is_integer_text(text.trim()) { TOO_LARGE } else { FORMAT }),
        Scalar::Date(_) => Err(INVALID_CAST),
        _ => Err(NOT_CONVERTIBLE),
    }
}

fn double(scalar: &Scalar<'_>) -> Result<f64, &'static str> {
    match scalar {
        Scalar::Integer(value) => Ok(*value as f64),
        Scalar::Float(value) => Ok(*value),
        Scalar::Bool(value) => Ok(f64::from(u8::from(*value))),
        Scalar::Text(text) => parse_double_with_thousands(text).ok_or(FORMAT),
        Scalar::Date(_) => Err(INVALID_CAST),
        _ => Err(NOT_CONVERTIBLE),
    }
}

fn boolean(scalar: &Scalar<'_>) -> Result<bool, &'static str> {
    match scalar {
        Scalar::Bool(value) => Ok(*value),
        Scalar::Integer(value) => Ok(*value != 0),
        Scalar::Float(value) => Ok(*value != 0.0),
        Scalar::Text(text) => match text.trim_matches(|c: char| c.is_whitespace() || c == '\0') {
            text if text.eq_ignore_ascii_case("true") => Ok(true),
            text if text.eq_ignore_ascii_case("false") => Ok(false),
            _ => Err("String was not recognized as a valid Boolean."),
        },
        Scalar::Date(_) => Err(INVALID_CAST),
        _ => Err(NOT_CONVERTIBLE),
    }
}

fn instant_ticks(scalar: &Scalar<'_>) -> Result<i64, &'static str> {
    match scalar {
        Scalar::Date(date) => Ok(date.instant.ticks()),
        Scalar::Text(text) => DateTime::parse_dotnet(text).map(|date| date.instant.ticks()).ok_or(NOT_A_DATE),
        Scalar::Opaque => Err(NOT_CONVERTIBLE),
        _ => Err(INVALID_CAST),
    }
}

fn is_integer_text(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|c| c.is_ascii_digit())
}

/// An integer of any size as sign and digits: enough to compare.
struct BigInteger {
    is_negative: bool,
    /// Without leading zeros.
    digits: String,
}

impl BigInteger {
    fn of(scalar: &Scalar<'_>) -> Result<BigInteger, &'static str> {
        match scalar {
            Scalar::BigInteger(text) | Scalar::Text(text) => Self::parse(text.trim()).ok_or(FORMAT),
            Scalar::Integer(value) => Self::parse(&value.to_string()).ok_or(FORMAT),
            // The fraction is cut off, which decides nothing: the other side
            // is beyond where doubles have one.
            Scalar::Float(value) if value.is_finite() => Self::parse(&format!("{:.0}", value.trunc())).ok_or(FORMAT),
            Scalar::Float(_) => Err("BigInteger cannot represent NaN or infinity."),
            _ => Err("Cannot convert the value to BigInteger."),
        }
    }

    fn parse(text: &str) -> Option<BigInteger> {
        let digits = is_integer_text(text).then(|| text.trim_start_matches(['-', '+', '0']).to_owned())?;
        Some(BigInteger { is_negative: text.starts_with('-') && !digits.is_empty(), digits })
    }

    fn cmp(&self, other: &BigInteger) -> Ordering {
        let sizes = (self.digits.len(), &self.digits).cmp(&(other.digits.len(), &other.digits));
        match (self.is_negative, other.is_negative) {
            (true, true) => sizes.reverse(),
            (false, false) => sizes,
            (left, right) => right.cmp(&left),
        }
    }
}

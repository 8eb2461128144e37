//! How a filter compares two tokens (device-mapping.md 6.5).

use std::cmp::Ordering;

use expressions::DateTime;
use expressions::number::{parse_double_with_thousands, parse_integer};
use regex::RegexBuilder;

use super::Failure;
use crate::tree::{Data, Tree, is_close};

const FAILED: Failure = Failure::JsonPath;

pub fn is_match(left: &Tree, operator: &str, right: &Tree, errors: bool) -> Result<bool, Failure> {
    if is_container(left) || is_container(right) {
        return Ok(operator == "!=" || operator == "<>");
    }
    let (left, right) = (&left.data, &right.data);
    let holds = match operator {
        "==" => is_equal(left, right),
        "!=" | "<>" => is_equal(left, right).map(|is_equal| !is_equal),
        "===" => is_strictly_equal(left, right),
        "!==" => is_strictly_equal(left, right).map(|is_equal| !is_equal),
        "=~" => return matches_pattern(left, right),
        "<" => order(left, right).map(Ordering::is_lt),
        "<=" => order(left, right).map(Ordering::is_le),
        ">" => order(left, right).map(Ordering::is_gt),
        _ => order(left, right).map(Ordering::is_ge),
    };
    if errors { holds } else { Ok(holds.unwrap_or(false)) }
}

fn is_container(tree: &Tree) -> bool {
    matches!(tree.data, Data::Object(_) | Data::Array(_))
}

/// The types of tokens; a big integer is an Integer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Type {
    Null,
    Undefined,
    Boolean,
    Integer,
    Float,
    String,
    Date,
}

fn type_of(data: &Data) -> Type {
    match data {
        Data::Null => Type::Null,
        Data::Undefined => Type::Undefined,
        Data::Bool(_) => Type::Boolean,
        Data::Integer(_) | Data::BigInteger(_) => Type::Integer,
        Data::Float(_) => Type::Float,
        Data::String(_) => Type::String,
        Data::Date(_) => Type::Date,
        Data::Object(_) | Data::Array(_) => unreachable!("only primitives compare"),
    }
}

fn is_equal(left: &Data, right: &Data) -> Result<bool, Failure> {
    if let (Data::Date(date), Data::String(text)) = (left, right) {
        let mut canonical = String::new();
        date.write_iso(&mut canonical);
        return Ok(canonical == *text);
    }
    is_strictly_equal(left, right)
}

fn is_strictly_equal(left: &Data, right: &Data) -> Result<bool, Failure> {
    let types = (type_of(left), type_of(right));
    if types.0 == types.1 || matches!(types, (Type::Integer, Type::Float) | (Type::Float, Type::Integer)) {
        return Ok(order_as(types.0, left, right)?.is_eq());
    }
    Ok(false)
}

/// The type of the left decides, but a String next to something else takes
/// that type.
fn order(left: &Data, right: &Data) -> Result<Ordering, Failure> {
    let (one, other) = (type_of(left), type_of(right));
    order_as(if one == Type::String { other } else { one }, left, right)
}

fn order_as(kind: Type, left: &Data, right: &Data) -> Result<Ordering, Failure> {
    let is_null = |data: &Data| matches!(data, Data::Null | Data::Undefined);
    match (is_null(left), is_null(right)) {
        (true, true) => return Ok(Ordering::Equal),
        (true, false) => return Ok(Ordering::Less),
        (false, true) => return Ok(Ordering::Greater),
        (false, false) => {}
    }
    match kind {
        Type::Integer | Type::Float => match (left, right) {
            (Data::BigInteger(big), other) => order_big(big, other),
            (other, Data::BigInteger(big)) => Ok(order_big(big, other)?.reverse()),
            (Data::Float(_), _) | (_, Data::Float(_)) => order_floats(left, right),
            _ if kind == Type::Float => order_floats(left, right),
            _ => Ok(integer(left)?.cmp(&integer(right)?)),
        },
        Type::String => match (left, right) {
            (Data::String(left), Data::String(right)) => Ok(left.encode_utf16().cmp(right.encode_utf16())),
            _ => unreachable!("the type String is taken only for two of them"),
        },
        Type::Boolean => Ok(boolean(left)?.cmp(&boolean(right)?)),
        Type::Date => match (left, right) {
            (Data::Date(left), Data::Date(right)) => Ok(left.instant.cmp(&right.instant)),
            (Data::Date(left), Data::String(right)) => {
                Ok(left.instant.cmp(&DateTime::parse_dotnet(right).ok_or(FAILED)?.instant))
            }
            _ => Err(FAILED),
        },
        Type::Null | Type::Undefined => unreachable!("nulls are done"),
    }
}

fn order_floats(left: &Data, right: &Data) -> Result<Ordering, Failure> {
    let (left, right) = (double(left)?, double(right)?);
    if is_close(left, right) {
        return Ok(Ordering::Equal);
    }
    // NaN comes first and equals itself.
    Ok(left.partial_cmp(&right).unwrap_or_else(|| right.is_nan().cmp(&left.is_nan())))
}

fn integer(data: &Data) -> Result<i64, Failure> {
    match data {
        Data::Integer(number) => Ok(*number),
        Data::Bool(is_true) => Ok(i64::from(*is_true)),
        Data::String(text) => parse_integer(text).ok_or(FAILED),
        _ => Err(FAILED),
    }
}

fn double(data: &Data) -> Result<f64, Failure> {
    match data {
        Data::Integer(number) => Ok(*number as f64),
        Data::Float(number) => Ok(*number),
        Data::Bool(is_true) => Ok(f64::from(u8::from(*is_true))),
        Data::String(text) => parse_double_with_thousands(text).ok_or(FAILED),
        _ => Err(FAILED),
    }
}

fn boolean(data: &Data) -> Result<bool, Failure> {
    match data {
        Data::Bool(is_true) => Ok(*is_true),
        Data::Integer(number) => Ok(*number != 0),
        Data::Float(number) => Ok(*number != 0.0),
        Data::String(text) => match text.trim().to_lowercase().as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(FAILED),
        },
        _ => Err(FAILED),
    }
}

/// A big integer against a number, exactly.
fn order_big(big: &str, other: &Data) -> Result<Ordering, Failure> {
    match other {
        Data::BigInteger(other) => Ok(order_digits(big, other)),
        Data::Integer(other) => Ok(order_digits(big, &other.to_string())),
        Data::Float(other) if other.is_finite() => {
            let whole = format!("{:.0}", other.trunc());
            // What is left of the other makes it the greater, even below zero.
            let order = order_digits(big, &whole);
            Ok(if order.is_eq() && other.fract() != 0.0 { Ordering::Less } else { order })
        }
        Data::String(text) => {
            let digits = text.trim();
            let plain = digits.strip_prefix(['-', '+']).unwrap_or(digits);
            if plain.is_empty() || !plain.bytes().all(|c| c.is_ascii_digit()) {
                return Err(FAILED);
            }
            Ok(order_digits(big, digits))
        }
        _ => Err(FAILED),
    }
}

/// The order of whole numbers by their decimal digits.
fn order_digits(one: &str, other: &str) -> Ordering {
    let split = |text: &str| {
        let digits = text.trim_start_matches(['-', '+']).trim_start_matches('0').to_owned();
        (text.starts_with('-') && !digits.is_empty(), digits)
    };
    let ((is_negative, one), (is_other_negative, other)) = (split(one), split(other));
    let size = one.len().cmp(&other.len()).then_with(|| one.cmp(&other));
    match (is_negative, is_other_negative) {
        (false, true) => Ordering::Greater,
        (true, false) => Ordering::Less,
        (false, false) => size,
        (true, true) => size.reverse(),
    }
}

/// Only text matches, against text `/pattern/flags`.
fn matches_pattern(left: &Data, right: &Data) -> Result<bool, Failure> {
    let (Data::String(text), Data::String(pattern)) = (left, right) else { return Ok(false) };
    let end = pattern.rfind('/').filter(|end| *end > 0).ok_or(FAILED)?;
    let flags = &pattern[end + 1..];
    // In .NET `$` also matches before a last line feed.
    let body = match flags.contains('m') {
        true => pattern[1..end].to_owned(),
        // One that is escaped is a dollar.
        false => pattern[1..end].replace('$', r"(?:\n?\z)").replace(r"\(?:\n?\z)", r"\$"),
    };
    let regex = RegexBuilder::new(&body.replace(r"\/", "/"))
        .case_insensitive(flags.contains('i'))
        .multi_line(flags.contains('m'))
        .dot_matches_new_line(flags.contains('s'))
        .build()
        .map_err(|_| FAILED)?;
    Ok(regex.is_match(text))
}

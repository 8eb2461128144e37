//! One view of values, whether they are nodes of the document or computed,
//! and what the reference connector's JSON library does with them: conversion
//! to text and numbers, equality, order.

use std::borrow::Cow;
use std::cmp::Ordering;

use crate::document::write::{write_json_double, write_json_string};
use crate::document::{Document, Kind};
use crate::expression::EvaluateError;
use crate::names::Symbol;
use crate::number::write_double;
use crate::time::DateTime;
use crate::value::Value;

/// What a value is, with what it takes to work with it.
#[derive(Debug)]
pub(super) enum View<'v> {
    Null,
    Undefined,
    Bool(bool),
    Integer(i64),
    /// Digits. It counts as Integer, and every conversion of it fails.
    BigInteger(&'v str),
    Float(f64),
    String(Cow<'v, str>),
    Date(DateTime),
    Array,
    Object,
    /// A type without conversions. The text tells two apart.
    Opaque(&'v str),
}

/// A member or element: its name (empty for elements) and value.
pub(super) type Part<'v, 'a> = (Cow<'v, str>, Cow<'v, Value<'a>>);

/// What `value` is.
pub(super) fn view<'v, 'a: 'v>(document: Document<'a>, value: &'v Value<'a>) -> View<'v> {
    let node = match value {
        Value::Node(node) => *node,
        Value::Null => return View::Null,
        Value::Bool(value) => return View::Bool(*value),
        Value::Integer(value) => return View::Integer(*value),
        Value::Float(value) => return View::Float(*value),
        Value::String(text) => return View::String(Cow::Borrowed(text)),
        Value::Date(date) => return View::Date(*date),
        Value::Array(_) => return View::Array,
        Value::Object(_) => return View::Object,
    };
    match document.kind(node) {
        Kind::Null => View::Null,
        Kind::Undefined => View::Undefined,
        Kind::False => View::Bool(false),
        Kind::True => View::Bool(true),
        Kind::Integer => document.integer(node).map_or(View::BigInteger(document.raw(node)), View::Integer),
        Kind::BigInteger => View::BigInteger(document.raw(node)),
        Kind::Float => View::Float(document.float(node).unwrap_or(f64::NAN)),
        Kind::String => View::String(document.text(node)),
        Kind::Date => document.date(node).map_or_else(|| View::String(document.text(node)), View::Date),
        Kind::Object => View::Object,
        Kind::Array => View::Array,
        Kind::Opaque => View::Opaque(document.raw(node)),
    }
}

/// The members of an object or the elements of an array, in order; nothing
/// for anything else.
pub(super) fn parts<'v, 'a: 'v>(
    document: Document<'a>,
    value: &'v Value<'a>,
) -> Box<dyn Iterator<Item = Part<'v, 'a>> + 'v> {
    match value {
        Value::Node(node) => Box::new(
            document
                .children(*node)
                .map(move |(name, child)| (Cow::Borrowed(document.name(name)), Cow::Owned(Value::Node(child)))),
        ),
        Value::Array(items) => Box::new(items.iter().map(|item| (Cow::Borrowed(""), Cow::Borrowed(item)))),
        Value::Object(members) => {
            Box::new(members.iter().map(|(name, value)| (Cow::Borrowed(&**name), Cow::Borrowed(value))))
        }
        _ => Box::new(std::iter::empty()),
    }
}

/// How many members or elements `value` has.
pub(super) fn part_count(document: Document<'_>, value: &Value<'_>) -> usize {
    match value {
        Value::Node(node) if document.kind(*node) == Kind::Array => document.element_count(*node),
        Value::Node(node) => document.children(*node).count(),
        Value::Array(items) => items.len(),
        Value::Object(members) => members.len(),
        _ => 0,
    }
}

/// The member `name` of an object.
pub(super) fn member<'v, 'a: 'v>(
    document: Document<'a>,
    value: &'v Value<'a>,
    name: &str,
) -> Option<Cow<'v, Value<'a>>> {
    match value {
        Value::Node(node) => {
            let symbol = document.find_name(name).filter(|symbol| *symbol != Symbol::NONE)?;
            document.member(*node, symbol).map(|child| Cow::Owned(Value::Node(child)))
        }
        Value::Object(members) => members.iter().find(|member| member.0 == name).map(|member| Cow::Borrowed(&member.1)),
        _ => None,
    }
}

/// Whether `value` is JSON null.
pub(super) fn is_null(document: Document<'_>, value: &Value<'_>) -> bool {
    match value {
        Value::Null => true,
        Value::Node(node) => document.kind(*node) == Kind::Null,
        _ => false,
    }
}

/// Whether `value` counts as false: null, false, and empty text, lists and
/// objects. 0 counts as true.
pub(super) fn is_false(document: Document<'_>, value: &Value<'_>) -> bool {
    match value {
        Value::Node(node) => match document.kind(*node) {
            Kind::Null | Kind::False => true,
            Kind::String => document.raw(*node).is_empty(),
            Kind::Array | Kind::Object => document.children(*node).next().is_none(),
            _ => false,
        },
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    }
}

impl<'v> View<'v> {
    /// The JMESPath type: dates and types without conversions are strings.
    pub(super) fn type_name(&self) -> Result<&'static str, EvaluateError> {
        Ok(match self {
            View::Null => "null",
            View::Bool(_) => "boolean",
            View::Integer(_) | View::BigInteger(_) | View::Float(_) => "number",
            View::String(_) | View::Date(_) | View::Opaque(_) => "string",
            View::Array => "array",
            View::Object => "object",
            View::Undefined => return Err(function_error("Specified method is not supported.")),
        })
    }

    /// Conversion to text: none for null. Dates lose zone and fraction
    /// (device-mapping.md 5.1).
    pub(super) fn into_text(self) -> Result<Option<Cow<'v, str>>, EvaluateError> {
        let mut text = String::new();
        match self {
            View::Null | View::Undefined => return Ok(None),
            View::String(text) => return Ok(Some(text)),
            View::Bool(value) => text.push_str(if value { "True" } else { "False" }),
            View::Integer(value) => text = value.to_string(),
            View::Float(value) => write_double(value, &mut text),
            View::Date(date) => date.instant.write_us(&mut text),
            View::BigInteger(_) | View::Opaque(_) => return Err(not_convertible()),
            View::Array | View::Object => return Err(not_castable(&self)),
        }
        Ok(Some(Cow::Owned(text)))
    }

    /// Conversion of a number to a double.
    pub(super) fn float(&self) -> Result<f64, EvaluateError> {
        match self {
            View::Integer(value) => Ok(*value as f64),
            View::Float(value) => Ok(*value),
            View::Array | View::Object => Err(not_castable(self)),
            _ => Err(not_convertible()),
        }
    }
}

/// A failure of a function.
pub(super) fn function_error(message: impl Into<String>) -> EvaluateError {
    EvaluateError::Function(message.into())
}

pub(super) fn not_convertible() -> EvaluateError {
    function_error("Object must implement IConvertible.")
}

fn not_castable(view: &View<'_>) -> EvaluateError {
    let kind = if matches!(view, View::Array) { "JArray" } else { "JObject" };
    function_error(format!("Cannot cast Newtonsoft.Json.Linq.{kind} to Newtonsoft.Json.Linq.JToken."))
}

/// Equality of scalars: of one type, dates by instant, doubles but for the
/// last digits (`0.1 + 0.2` is 0.3). Never of lists and objects.
pub(super) fn equal_scalars(left: &View<'_>, right: &View<'_>) -> bool {
    match (left, right) {
        (View::Null, View::Null) | (View::Undefined, View::Undefined) => true,
        (View::Bool(left), View::Bool(right)) => left == right,
        (View::Integer(left), View::Integer(right)) => left == right,
        (View::BigInteger(left), View::BigInteger(right)) | (View::Opaque(left), View::Opaque(right)) => left == right,
        (View::Float(left), View::Float(right)) => order_floats(*left, *right).is_eq(),
        (View::String(left), View::String(right)) => left == right,
        (View::Date(left), View::Date(right)) => left.instant == right.instant,
        _ => false,
    }
}

/// The order of doubles: those that differ by rounding only are equal, and
/// NaN is equal to itself and below all others.
pub(super) fn order_floats(left: f64, right: f64) -> Ordering {
    // 2^-52, taken from the sum of both sizes and 10.
    let tolerance = (left.abs() + right.abs() + 10.0) * f64::EPSILON;
    if (left - right).abs() < tolerance {
        return Ordering::Equal;
    }
    order_doubles(left, right)
}

/// The order of doubles as such; NaN is below all others.
pub(super) fn order_doubles(left: f64, right: f64) -> Ordering {
    left.partial_cmp(&right).unwrap_or_else(|| right.is_nan().cmp(&left.is_nan()))
}

/// The order of text: by UTF-16 units.
pub(super) fn order_text(left: &str, right: &str) -> Ordering {
    if left.is_ascii() || right.is_ascii() {
        return left.cmp(right);
    }
    left.encode_utf16().cmp(right.encode_utf16())
}

/// Appends `value` as compact JSON (see [`Document::write_json`]).
pub(super) fn write_json(document: Document<'_>, value: &Value<'_>, out: &mut String) {
    match value {
        Value::Node(node) => document.write_json(*node, out),
        Value::Null => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Integer(value) => out.push_str(&value.to_string()),
        Value::Float(value) => write_json_double(*value, out),
        Value::String(text) => write_json_string(text, out),
        Value::Date(date) => {
            out.push('"');
            date.write_iso(out);
            out.push('"');
        }
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write_json(document, item, out);
            }
            out.push(']');
        }
        Value::Object(members) => {
            out.push('{');
            for (at, (name, value)) in members.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write_json_string(name, out);
                out.push(':');
                write_json(document, value, out);
            }
            out.push('}');
        }
    }
}

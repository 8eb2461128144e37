//! Functions on text. Dates count as text, in the form of device-mapping.md
//! 5.1; lengths and places count UTF-16 units.

use std::borrow::Cow;

use crate::expression::EvaluateError;
use crate::jmespath::data::{View, function_error, not_convertible, part_count, parts, view, write_json};
use crate::jmespath::interpreter::Outcome;
use crate::number::{parse_double, parse_integer};
use crate::value::Value;

use super::Call;
use super::arithmetic::{float, integer, too_large};

type Result<T> = std::result::Result<T, EvaluateError>;

impl Call<'_, '_> {
    /// The text of the argument `at`; none for null.
    fn text(&self, at: usize) -> Result<Option<Cow<'_, str>>> {
        self.view(at)?.into_text()
    }
}

/// A date contains nothing.
pub(super) fn contains<'a>(mut call: Call<'_, 'a>) -> Result<Outcome<'a>> {
    match call.view(0)? {
        View::Array => {
            let (list, wanted) = (call.take(0)?, call.take(1)?);
            for (_, item) in parts(call.run.document, &list) {
                if call.run.equal(&item, &wanted)? {
                    return Ok(Outcome::bool(true));
                }
            }
            Ok(Outcome::bool(false))
        }
        View::String(text) => match call.text(1)? {
            Some(part) => Ok(Outcome::bool(text.contains(&*part))),
            None => Err(function_error("Value cannot be null. (Parameter 'value')")),
        },
        other if other.type_name()? == "string" => {
            // An expression in the place of a value is an error all the same.
            call.view(1)?;
            Ok(Outcome::bool(false))
        }
        _ => Err(call.error("expects either an array or a string")),
    }
}

pub(super) fn starts_with<'a>(call: Call<'_, 'a>) -> Result<Outcome<'a>> {
    let (text, part) = text_and_part(&call)?;
    Ok(Outcome::bool(text.starts_with(&*part)))
}

pub(super) fn ends_with<'a>(call: Call<'_, 'a>) -> Result<Outcome<'a>> {
    let (text, part) = text_and_part(&call)?;
    Ok(Outcome::bool(text.ends_with(&*part)))
}

fn text_and_part<'c>(call: &'c Call<'_, '_>) -> Result<(Cow<'c, str>, Cow<'c, str>)> {
    if call.type_name(0)? == "string"
        && call.type_name(1)? == "string"
        && let (Some(text), Some(part)) = (call.text(0)?, call.text(1)?)
    {
        return Ok((text, part));
    }
    let name = call.name;
    Err(function_error(format!("Error: invalid-type, both arguments to function {name} must be strings.")))
}

/// A date is no string here.
pub(super) fn insert_string<'a>(call: Call<'_, 'a>) -> Result<Outcome<'a>> {
    for at in 0..2 {
        if !matches!(call.view(at)?, View::String(_)) {
            return Err(call.expected(at, "String"));
        }
    }
    let place = match call.view(2)? {
        View::Integer(place) => i32::try_from(place).map_err(|_| too_large("Int32"))?,
        View::BigInteger(_) => return Err(not_convertible()),
        _ => return Err(call.expected(2, "Integer")),
    };
    let (Some(text), Some(part)) = (call.text(0)?, call.text(1)?) else { return Ok(Outcome::Missing) };
    let Some((before, after)) = usize::try_from(place).ok().and_then(|place| split_utf16(&text, place)) else {
        return Err(EvaluateError::OutOfRange(
            "Index was out of range. Must be non-negative and less than or equal to the size of the collection. (Parameter 'index')"
                .to_owned(),
        ));
    };
    let inserted = [&*before, &*part, &*after].concat();
    call.run.spend_text(inserted.len())?;
    Ok(string(inserted))
}

/// Both sides of the UTF-16 unit `place`. A character that it cuts in two is
/// U+FFFD on both sides.
fn split_utf16(text: &str, place: usize) -> Option<(Cow<'_, str>, Cow<'_, str>)> {
    let mut units = 0;
    for (at, c) in text.char_indices() {
        if units == place {
            return Some((Cow::Borrowed(&text[..at]), Cow::Borrowed(&text[at..])));
        }
        units += c.len_utf16();
        if units > place {
            let half = char::REPLACEMENT_CHARACTER.to_string();
            let (before, after) = (&text[..at], &text[at + c.len_utf8()..]);
            return Some((Cow::Owned(before.to_owned() + &half), Cow::Owned(half + after)));
        }
    }
    (units == place).then_some((Cow::Borrowed(text), Cow::Borrowed("")))
}

pub(super) fn join<'a>(mut call: Call<'_, 'a>) -> Result<Outcome<'a>> {
    if call.type_name(0)? != "string" || call.type_name(1)? != "array" {
        return Err(call.error("expects a string separator and an array of strings"));
    }
    let items = call.array(1)?;
    for item in &items {
        if view(call.run.document, item).type_name()? != "string" {
            return Err(call.error("expects an array of string"));
        }
    }
    let separator = call.text(0)?.unwrap_or_default().into_owned();
    let mut joined = String::new();
    for (at, item) in items.iter().enumerate() {
        let text = view(call.run.document, item).into_text()?.unwrap_or_default();
        call.run.spend_text(separator.len() + text.len())?;
        if at > 0 {
            joined.push_str(&separator);
        }
        joined.push_str(&text);
    }
    Ok(string(joined))
}

pub(super) fn length<'a>(call: Call<'_, 'a>) -> Result<Outcome<'a>> {
    let length = match call.view(0)? {
        View::Array | View::Object => part_count(call.run.document, call.argument(0)?),
        other if other.type_name()? == "string" => {
            other.into_text()?.map_or(0, |text| text.chars().map(char::len_utf16).sum())
        }
        _ => return Err(call.error("expects either an object, an array or a string")),
    };
    Ok(integer(length as i64))
}

/// Turns text around unit by unit, which breaks characters of two units.
pub(super) fn reverse<'a>(mut call: Call<'_, 'a>) -> Result<Outcome<'a>> {
    match call.type_name(0)? {
        "array" => {
            let mut items = call.array(0)?;
            items.reverse();
            Ok(Outcome::Value(Value::Array(items)))
        }
        "string" => {
            let text = call.text(0)?.unwrap_or_default();
            let units: Vec<u16> = text.encode_utf16().collect();
            let units: Vec<u16> = units.into_iter().rev().collect();
            let reversed = String::from_utf16_lossy(&units);
            call.run.spend_text(reversed.len())?;
            Ok(string(reversed))
        }
        _ => Err(call.error("accepts either an array or a string")),
    }
}

/// Integers first, then doubles; null for what is neither.
pub(super) fn to_number<'a>(mut call: Call<'_, 'a>) -> Result<Outcome<'a>> {
    let number = match call.view(0)? {
        View::Integer(_) | View::BigInteger(_) | View::Float(_) => None,
        View::Undefined => return Err(call.type_name(0).err().unwrap_or_else(|| call.error("only accepts numbers"))),
        View::String(text) => match (parse_integer(&text), parse_double(&text)) {
            (Some(number), _) => Some(integer(number)),
            (_, Some(number)) => Some(float(number)),
            _ => Some(Outcome::Missing),
        },
        _ => Some(Outcome::Missing),
    };
    match number {
        Some(number) => Ok(number),
        None => Ok(Outcome::Value(call.take(0)?)),
    }
}

/// Strings and dates stay what they are; anything else becomes JSON text.
pub(super) fn to_string<'a>(mut call: Call<'_, 'a>) -> Result<Outcome<'a>> {
    if call.type_name(0)? == "string" {
        return Ok(Outcome::Value(call.take(0)?));
    }
    let value = call.take(0)?;
    call.run.spend_json(&value)?;
    let mut text = String::new();
    write_json(call.run.document, &value, &mut text);
    Ok(string(text))
}

fn string<'a>(text: String) -> Outcome<'a> {
    Outcome::Value(Value::String(Cow::Owned(text)))
}

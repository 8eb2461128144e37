//! Functions on lists: order, extremes, mapping.

use std::borrow::Cow;
use std::cmp::Ordering;

use crate::expression::EvaluateError;
use crate::jmespath::data::{View, function_error, not_convertible, order_doubles, order_text, view};
use crate::jmespath::interpreter::Outcome;
use crate::jmespath::program::Expr;
use crate::number::parse_double_with_thousands;
use crate::value::Value;

use super::arithmetic::{float, integer, rounded_to_i32, too_large};
use super::{Call, Given};

type Result<T> = std::result::Result<T, EvaluateError>;

/// A key to sort by. All keys of one list are of one kind.
#[derive(Debug)]
enum Key {
    Integer(i64),
    Float(f64),
    /// Null is below all text.
    Text(Option<String>),
}

impl Key {
    fn order(&self, other: &Key) -> Ordering {
        match (self, other) {
            (Key::Integer(left), Key::Integer(right)) => left.cmp(right),
            (Key::Float(left), Key::Float(right)) => order_doubles(*left, *right),
            (Key::Text(Some(left)), Key::Text(Some(right))) => order_text(left, right),
            (Key::Text(left), Key::Text(right)) => left.is_some().cmp(&right.is_some()),
            _ => Ordering::Equal,
        }
    }
}

impl<'a> Call<'_, 'a> {
    /// The list and the expression of the functions with `_by`.
    fn list_and_expression(&mut self) -> Result<(Vec<Value<'a>>, &'a Expr)> {
        if !matches!(self.view(0)?, View::Array) {
            return Err(self.error("expects its first argument to be an array"));
        }
        match self.arguments[1] {
            Given::Expression(expr) => Ok((self.array(0)?, expr)),
            Given::Value(_) => Err(self.error("expects its second argument to be an expression type")),
        }
    }
}

pub(super) fn to_array<'a>(mut call: Call<'_, 'a>) -> Result<Outcome<'a>> {
    let is_array = matches!(call.view(0)?, View::Array);
    let value = call.take(0)?;
    Ok(Outcome::Value(if is_array { value } else { Value::Array(vec![value]) }))
}

/// Nulls stay in the list.
pub(super) fn map<'a>(mut call: Call<'_, 'a>) -> Result<Outcome<'a>> {
    let Given::Expression(expr) = call.arguments[0] else {
        return Err(call.error("expects its first argument to be an expression type"));
    };
    if !matches!(call.view(1)?, View::Array) {
        return Err(call.error("expects its second argument to be an array"));
    }
    let items = call.array(1)?;
    let items = items.iter().map(|item| Ok(call.run.evaluate(expr, item)?.into_value()));
    Ok(Outcome::Value(Value::Array(items.collect::<Result<_>>()?)))
}

/// The type of the first item decides: doubles, integers of 32 bits (doubles
/// among them are rounded), else text. Text is in ordinal order (quirk 58).
pub(super) fn sort<'a>(mut call: Call<'_, 'a>) -> Result<Outcome<'a>> {
    let items = call.array(0)?;
    call.common_type(&items)?;
    let document = call.run.document;
    let Some(first) = items.first() else { return Ok(Outcome::Value(Value::Array(items))) };
    let to_key: fn(View<'_>) -> Result<Key> = match view(document, first) {
        View::Float(_) => |item| item.float().map(Key::Float),
        View::Integer(_) | View::BigInteger(_) => |item| match item {
            View::Integer(value) => {
                i32::try_from(value).map(i64::from).map(Key::Integer).map_err(|_| too_large("Int32"))
            }
            item => Ok(Key::Integer(i64::from(rounded_to_i32(item.float()?)?))),
        },
        _ => |item| Ok(Key::Text(item.into_text()?.map(Cow::into_owned))),
    };
    let keys = items.iter().map(|item| to_key(view(document, item))).collect::<Result<Vec<_>>>()?;
    call.run.spend(items.len())?;
    Ok(sorted(keys, items))
}

/// The keys must all be of one token type: Integer, Float or String.
pub(super) fn sort_by<'a>(mut call: Call<'_, 'a>) -> Result<Outcome<'a>> {
    let (items, expr) = call.list_and_expression()?;
    let mut keys: Vec<Key> = Vec::with_capacity(items.len());
    for item in &items {
        let value = call.run.evaluate(expr, item)?.into_value();
        call.run.spend_look(&value)?;
        let key = match view(call.run.document, &value) {
            View::Integer(value) => Key::Integer(value),
            View::Float(value) => Key::Float(value),
            View::String(text) => Key::Text(Some(text.into_owned())),
            View::BigInteger(_) => return Err(not_convertible()),
            _ => return Err(function_error("invalid-type")),
        };
        if keys.first().is_some_and(|first| std::mem::discriminant(first) != std::mem::discriminant(&key)) {
            return Err(function_error("invalid-type"));
        }
        keys.push(key);
    }
    Ok(sorted(keys, items))
}

/// A stable sort of `items` by `keys`.
fn sorted<'a>(keys: Vec<Key>, items: Vec<Value<'a>>) -> Outcome<'a> {
    let mut pairs: Vec<(Key, Value<'a>)> = keys.into_iter().zip(items).collect();
    pairs.sort_by(|left, right| left.0.order(&right.0));
    Outcome::Value(Value::Array(pairs.into_iter().map(|pair| pair.1).collect()))
}

pub(super) fn max<'a>(call: Call<'_, 'a>) -> Result<Outcome<'a>> {
    extreme(call, Ordering::Greater)
}

pub(super) fn min<'a>(call: Call<'_, 'a>) -> Result<Outcome<'a>> {
    extreme(call, Ordering::Less)
}

/// The item that is `wanted` than all others. Integers give an Integer only
/// when all items are; dates give text.
fn extreme<'a>(mut call: Call<'_, 'a>, wanted: Ordering) -> Result<Outcome<'a>> {
    let items = call.array(0)?;
    let common = call.common_type(&items)?;
    let document = call.run.document;
    let all_integers = items.iter().all(|item| matches!(view(document, item), View::Integer(_) | View::BigInteger(_)));
    let to_key: fn(View<'_>) -> Result<Key> = match common {
        None => return Ok(Outcome::Missing),
        Some("number") if all_integers => |item| match item {
            View::Integer(value) => Ok(Key::Integer(value)),
            _ => Err(not_convertible()),
        },
        Some("number") => |item| item.float().map(Key::Float),
        Some("string") => |item| Ok(Key::Text(item.into_text()?.map(Cow::into_owned))),
        Some(_) => return Err(call.error("expects an array of number or string")),
    };
    let mut best: Option<Key> = None;
    for item in &items {
        let key = to_key(view(document, item))?;
        // A NaN is the smallest of all, as in .NET.
        if best.as_ref().is_none_or(|best| key.order(best) == wanted) {
            best = Some(key);
        }
    }
    Ok(match best {
        Some(Key::Integer(value)) => integer(value),
        Some(Key::Float(value)) => float(value),
        Some(Key::Text(Some(text))) => Outcome::Value(Value::String(Cow::Owned(text))),
        Some(Key::Text(None)) | None => Outcome::Missing,
    })
}

pub(super) fn max_by<'a>(call: Call<'_, 'a>) -> Result<Outcome<'a>> {
    extreme_by(call, Ordering::Greater)
}

pub(super) fn min_by<'a>(call: Call<'_, 'a>) -> Result<Outcome<'a>> {
    extreme_by(call, Ordering::Less)
}

/// The last item whose key no other is `wanted` than. A single item is not
/// even looked at.
fn extreme_by<'a>(mut call: Call<'_, 'a>, wanted: Ordering) -> Result<Outcome<'a>> {
    let (items, expr) = call.list_and_expression()?;
    let is_single = items.len() == 1;
    let mut best: Option<(f64, Value<'a>)> = None;
    for item in items {
        if is_single {
            return Ok(Outcome::Value(item));
        }
        let key = numeric_key(&mut call, expr, &item)?;
        // Only a key that is truly beyond the new one keeps its place.
        if best.as_ref().is_none_or(|best| best.0.partial_cmp(&key) != Some(wanted)) {
            best = Some((key, item));
        }
    }
    match best {
        Some((_, item)) => Ok(Outcome::Value(item)),
        None => Err(function_error("Sequence contains no elements")),
    }
}

/// A number, or text that is one.
fn numeric_key<'a>(call: &mut Call<'_, 'a>, expr: &'a Expr, item: &Value<'a>) -> Result<f64> {
    let key = call.run.evaluate(expr, item)?.into_value();
    call.run.spend_look(&key)?;
    let key = view(call.run.document, &key);
    match key.type_name()? {
        "number" => key.float(),
        "string" => {
            let text = key.into_text()?.unwrap_or_default();
            parse_double_with_thousands(&text).ok_or_else(|| {
                let name = call.name;
                function_error(format!(
                    "Error: invalid-type, when evaluating the expression argument of function {name}, some items could not be cast to a number."
                ))
            })
        }
        _ => {
            let name = call.name;
            Err(function_error(format!(
                "Error: invalid-type, the expression argument of function {name} should return a number or a string."
            )))
        }
    }
}

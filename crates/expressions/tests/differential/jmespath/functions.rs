//! The functions (device-mapping.md 7.2 and 7.3).

use std::cmp::Ordering;

use expressions::UtcTime;
use expressions::number::{parse_double, parse_double_with_thousands, parse_integer};
use expressions::{DateKind, DateTime};

use super::parse::Argument as Given;
use super::{
    Argument, Ast, Failure, Result, array, compare_text, evaluate, is_equal, is_null, is_number, number, text,
};
use crate::tree::{Data, Tree};

/// Evaluates the arguments, from the first to the last, and then calls.
pub fn call(name: &str, given: &[Given], current: &Tree) -> Result<Argument> {
    let mut values = Vec::new();
    let mut expression = None;
    let takes_expression = match name {
        "map" => Some(0),
        "sort_by" | "max_by" | "min_by" => Some(1),
        _ => None,
    };
    for (at, argument) in given.iter().enumerate() {
        match argument {
            Given::Expression(ast) => {
                if takes_expression != Some(at) {
                    values.push(None);
                }
                expression = Some(ast);
            }
            Given::Value(ast) => values.push(Some(evaluate(ast, current)?.into_tree())),
        }
    }
    let values: Vec<Tree> = values.into_iter().collect::<Option<Vec<_>>>().ok_or(Failure::Function)?;
    if let Some(at) = takes_expression {
        if !matches!(given[at], Given::Expression(_)) {
            return Err(Failure::Function);
        }
        let items = items(&values[0])?;
        let ast = expression.ok_or(Failure::Function)?;
        return match name {
            "map" => {
                let mapped = items.iter().map(|item| Ok(evaluate(ast, item)?.into_tree()));
                Ok(Argument::Token(array(mapped.collect::<Result<_>>()?)))
            }
            "sort_by" => sort_by(items, ast),
            _ => extreme_by(items, ast, name == "max_by"),
        };
    }
    plain(name, &values)
}

fn plain(name: &str, values: &[Tree]) -> Result<Argument> {
    let first = &values[0];
    let data = match name {
        "abs" => match &first.data {
            Data::Integer(number) => {
                let small = i32::try_from(*number).ok().and_then(i32::checked_abs).ok_or(Failure::Overflow)?;
                Data::Integer(i64::from(small))
            }
            Data::Float(number) => Data::Float(number.abs()),
            _ => return Err(Failure::Function),
        },
        "ceil" => whole(number_argument(first)?.ceil())?,
        "floor" => whole(number_argument(first)?.floor())?,
        "avg" => {
            let numbers = numbers(first)?;
            if numbers.is_empty() {
                return Ok(Argument::Missing);
            }
            Data::Float(numbers.iter().sum::<f64>() / numbers.len() as f64)
        }
        "sum" => {
            let sum = numbers(first)?.iter().sum::<f64>() + 0.0;
            if sum.is_finite() && sum.fract() == 0.0 { whole(sum)? } else { Data::Float(sum) }
        }
        "max" | "min" => return extreme(first, name == "max"),
        "contains" => Data::Bool(contains(first, &values[1])?),
        "starts_with" => Data::Bool(text_argument(first)?.starts_with(&text_argument(&values[1])?)),
        "ends_with" => Data::Bool(text_argument(first)?.ends_with(&text_argument(&values[1])?)),
        "join" => {
            let glue = text_argument(first)?;
            let parts = items(&values[1])?.iter().map(text_argument).collect::<Result<Vec<_>>>()?;
            Data::String(parts.join(&glue))
        }
        "keys" => Data::Array(members(first)?.iter().map(|(name, _)| Tree::text(name)).collect()),
        "values" => Data::Array(members(first)?.iter().map(|(_, value)| value.clone()).collect()),
        "length" => Data::Integer(length(first)? as i64),
        "merge" => {
            let mut merged = Vec::new();
            for value in values {
                merge(&mut merged, members(value)?);
            }
            Data::Object(merged)
        }
        "not_null" => {
            return Ok(values
                .iter()
                .find(|value| !is_null(value))
                .map_or(Argument::Missing, |value| Argument::Token(value.clone())));
        }
        "reverse" => match (&first.data, text(first)) {
            (Data::Array(items), _) => Data::Array(items.iter().rev().cloned().collect()),
            (_, Some(text)) => {
                let mut units: Vec<u16> = text.encode_utf16().collect();
                units.reverse();
                Data::String(String::from_utf16_lossy(&units))
            }
            _ => return Err(Failure::Function),
        },
        "sort" => return sort(items(first)?),
        "to_array" => match &first.data {
            Data::Array(items) => Data::Array(items.clone()),
            _ => Data::Array(vec![first.clone()]),
        },
        "to_number" => {
            type_name(first)?;
            return Ok(to_number(first));
        }
        "to_string" => match &first.data {
            Data::String(_) | Data::Date(_) => first.data.clone(),
            Data::Undefined => return Err(Failure::Function),
            _ => Data::String(json(first)),
        },
        "type" => Data::String(type_name(first)?.to_owned()),
        "add" | "subtract" | "multiply" | "divide" | "pow" => arithmetic(name, first, &values[1])?,
        "insertString" => insert_string(values)?,
        "fromUnixTimestamp" | "fromUnixTimestampMs" => {
            let Data::Integer(number) = first.data else { return Err(Failure::Function) };
            let factor = if name == "fromUnixTimestamp" { 1000 } else { 1 };
            let instant = number.checked_mul(factor).and_then(UtcTime::from_unix_milliseconds);
            Data::Date(DateTime { instant: instant.ok_or(Failure::OutOfRange)?, kind: DateKind::Utc })
        }
        other => unreachable!("the parser knows no {other}"),
    };
    Ok(Argument::Token(data.into()))
}

fn items(tree: &Tree) -> Result<&[Tree]> {
    tree.items().ok_or(Failure::Function)
}

fn members(tree: &Tree) -> Result<&[(String, Tree)]> {
    match &tree.data {
        Data::Object(members) => Ok(members),
        _ => Err(Failure::Function),
    }
}

fn text_argument(tree: &Tree) -> Result<String> {
    text(tree).ok_or(Failure::Function)
}

fn number_argument(tree: &Tree) -> Result<f64> {
    if is_number(tree) { number(tree) } else { Err(Failure::Function) }
}

fn numbers(tree: &Tree) -> Result<Vec<f64>> {
    let items = items(tree)?;
    if !items.iter().all(is_number) {
        return Err(Failure::Function);
    }
    items.iter().map(number).collect()
}

/// A double without fraction as an Integer.
fn whole(number: f64) -> Result<Data> {
    let is_in_range = (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&number);
    if is_in_range { Ok(Data::Integer(number as i64)) } else { Err(Failure::Overflow) }
}

fn length(tree: &Tree) -> Result<usize> {
    match &tree.data {
        Data::Array(items) => Ok(items.len()),
        Data::Object(members) => Ok(members.len()),
        _ => Ok(text_argument(tree)?.encode_utf16().count()),
    }
}

fn contains(subject: &Tree, search: &Tree) -> Result<bool> {
    if let Data::Array(items) = &subject.data {
        return Ok(items.iter().any(|item| is_equal(item, search)));
    }
    // Text in 7.3; but the case jmes-probe-date-text-contains says no.
    if matches!(subject.data, Data::Date(_)) {
        return Ok(false);
    }
    let subject = text_argument(subject)?;
    if is_null(search) {
        return Err(Failure::Function);
    }
    Ok(subject.contains(&converted_text(search)?))
}

/// A value as .NET converts it to text (device-mapping.md 5.1); null is none,
/// which is before all.
fn converted_text(tree: &Tree) -> Result<String> {
    Ok(match &tree.data {
        Data::Null | Data::Undefined => String::new(),
        Data::Bool(true) => "True".to_owned(),
        Data::Bool(false) => "False".to_owned(),
        Data::Integer(number) => number.to_string(),
        Data::Float(number) => {
            let mut text = String::new();
            expressions::number::write_double(*number, &mut text);
            text
        }
        _ => text_argument(tree)?,
    })
}

/// Objects are merged member by member, arrays put one after the other; a
/// null overwrites nothing.
fn merge(into: &mut Vec<(String, Tree)>, from: &[(String, Tree)]) {
    for (name, value) in from {
        let Some((_, old)) = into.iter_mut().find(|member| member.0 == *name) else {
            into.push((name.clone(), value.clone()));
            continue;
        };
        match (&mut old.data, &value.data) {
            (Data::Object(old), Data::Object(new)) => merge(old, new),
            (Data::Array(old), Data::Array(new)) => old.extend(new.iter().cloned()),
            (_, Data::Null) => {}
            _ => *old = value.clone(),
        }
    }
}

/// The greatest or least of numbers or of texts.
fn extreme(list: &Tree, is_max: bool) -> Result<Argument> {
    let items = items(list)?;
    let is_all_numbers = items.iter().all(is_number);
    if !is_all_numbers && !items.iter().all(|item| text(item).is_some()) {
        return Err(Failure::Function);
    }
    let mut best: Option<&Tree> = None;
    for item in items {
        if is_all_numbers {
            number(item)?;
        }
        let is_better = match best {
            None => true,
            Some(best) => {
                let order = if is_all_numbers {
                    order_doubles(number(item)?, number(best)?)
                } else {
                    compare_text(&text_argument(item)?, &text_argument(best)?)
                };
                order == if is_max { Ordering::Greater } else { Ordering::Less }
            }
        };
        if is_better {
            best = Some(item);
        }
    }
    // What was compared is given, not what it was made from.
    let is_all_integers = items.iter().all(|item| matches!(item.data, Data::Integer(_)));
    Ok(match best {
        None => Argument::Missing,
        Some(best) if is_all_integers => Argument::Token(best.clone()),
        Some(best) if is_all_numbers => Argument::Token(Data::Float(number(best)?).into()),
        Some(best) => Argument::Token(Tree::text(&text_argument(best)?)),
    })
}

/// Items of one type. That of the first decides how they are compared: as
/// doubles, as integers of 32 bits, else as text.
fn sort(items: &[Tree]) -> Result<Argument> {
    let Some(first) = items.first() else { return Ok(Argument::Token(array(Vec::new()))) };
    for item in items {
        if type_name(item)? != type_name(first)? {
            return Err(Failure::Function);
        }
    }
    let mut places: Vec<usize> = (0..items.len()).collect();
    match first.data {
        Data::Float(_) => {
            let keys = items.iter().map(number).collect::<Result<Vec<f64>>>()?;
            places.sort_by(|one, other| order_doubles(keys[*one], keys[*other]));
        }
        Data::Integer(_) | Data::BigInteger(_) => {
            let keys = items.iter().map(|item| small_integer(number(item)?)).collect::<Result<Vec<i32>>>()?;
            places.sort_by_key(|place| keys[*place]);
        }
        _ => {
            let keys = items.iter().map(converted_text).collect::<Result<Vec<String>>>()?;
            places.sort_by(|one, other| compare_text(&keys[*one], &keys[*other]));
        }
    }
    Ok(Argument::Token(array(places.into_iter().map(|place| items[place].clone()).collect())))
}

/// As .NET converts a number to 32 bits: rounded, half to even.
fn small_integer(number: f64) -> Result<i32> {
    let rounded = number.round_ties_even();
    let is_in_range = (f64::from(i32::MIN)..=f64::from(i32::MAX)).contains(&rounded);
    if is_in_range { Ok(rounded as i32) } else { Err(Failure::Overflow) }
}

/// The keys are all Integers, all Floats or all Strings; a date is none of
/// them. (The reference connector also orders integers beyond 64 bits, and
/// takes floats that are close for equal; here they fail and are not.)
fn sort_by(items: &[Tree], ast: &Ast) -> Result<Argument> {
    let keys = items.iter().map(|item| Ok(evaluate(ast, item)?.into_tree())).collect::<Result<Vec<Tree>>>()?;
    let is_all = |is_kind: fn(&Data) -> bool| keys.iter().all(|key| is_kind(&key.data));
    let order: fn(&Data, &Data) -> Ordering = if is_all(|data| matches!(data, Data::Integer(_))) {
        |one, other| match (one, other) {
            (Data::Integer(one), Data::Integer(other)) => one.cmp(other),
            _ => unreachable!("all keys are integers"),
        }
    } else if is_all(|data| matches!(data, Data::Float(_))) {
        |one, other| match (one, other) {
            (Data::Float(one), Data::Float(other)) => order_doubles(*one, *other),
            _ => unreachable!("all keys are floats"),
        }
    } else if is_all(|data| matches!(data, Data::String(_))) {
        |one, other| match (one, other) {
            (Data::String(one), Data::String(other)) => compare_text(one, other),
            _ => unreachable!("all keys are text"),
        }
    } else {
        return Err(Failure::Function);
    };
    let mut places: Vec<usize> = (0..items.len()).collect();
    places.sort_by(|one, other| order(&keys[*one].data, &keys[*other].data));
    Ok(Argument::Token(array(places.into_iter().map(|at| items[at].clone()).collect())))
}

/// NaN is below all others, as in .NET.
fn order_doubles(one: f64, other: f64) -> Ordering {
    one.partial_cmp(&other).unwrap_or_else(|| other.is_nan().cmp(&one.is_nan()))
}

/// Of equals the last one.
fn extreme_by(items: &[Tree], ast: &Ast, is_max: bool) -> Result<Argument> {
    let Some((first, rest)) = items.split_first() else { return Err(Failure::Function) };
    let key = |item: &Tree| -> Result<f64> {
        let key = evaluate(ast, item)?.into_tree();
        match &key.data {
            Data::String(text) => parse_double_with_thousands(text).ok_or(Failure::Function),
            _ => number_argument(&key),
        }
    };
    let mut best = first;
    for item in rest {
        let (left, right) = (key(best)?, key(item)?);
        let keeps = if is_max { left > right } else { left < right };
        if !keeps {
            best = item;
        }
    }
    Ok(Argument::Token(best.clone()))
}

fn to_number(tree: &Tree) -> Argument {
    match &tree.data {
        Data::Integer(_) | Data::BigInteger(_) | Data::Float(_) => Argument::Token(tree.clone()),
        Data::String(text) => match (parse_integer(text), parse_double(text)) {
            (Some(number), _) => Argument::Token(Data::Integer(number).into()),
            (None, Some(number)) => Argument::Token(Data::Float(number).into()),
            (None, None) => Argument::Missing,
        },
        _ => Argument::Missing,
    }
}

/// What is `undefined` has no type.
fn type_name(tree: &Tree) -> Result<&'static str> {
    Ok(match &tree.data {
        Data::Null => "null",
        Data::Undefined => return Err(Failure::Function),
        Data::Bool(_) => "boolean",
        Data::Integer(_) | Data::BigInteger(_) | Data::Float(_) => "number",
        Data::String(_) | Data::Date(_) => "string",
        Data::Object(_) => "object",
        Data::Array(_) => "array",
    })
}

/// Compact JSON, as Json.NET writes it.
fn json(tree: &Tree) -> String {
    match &tree.data {
        Data::Null => "null".to_owned(),
        Data::Undefined => "undefined".to_owned(),
        Data::Bool(is_true) => is_true.to_string(),
        Data::Integer(number) => number.to_string(),
        Data::BigInteger(digits) => digits.clone(),
        Data::Float(number) => {
            let mut text = String::new();
            expressions::document::write_json_double(*number, &mut text);
            text
        }
        Data::String(text) => quoted(text),
        Data::Date(date) => {
            let mut text = String::new();
            date.write_iso(&mut text);
            quoted(&text)
        }
        Data::Object(members) => {
            let members: Vec<String> =
                members.iter().map(|(name, value)| format!("{}:{}", quoted(name), json(value))).collect();
            format!("{{{}}}", members.join(","))
        }
        Data::Array(items) => format!("[{}]", items.iter().map(json).collect::<Vec<_>>().join(",")),
    }
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("text is JSON")
}

fn arithmetic(name: &str, left: &Tree, right: &Tree) -> Result<Data> {
    if let (Data::Integer(left), Data::Integer(right)) = (&left.data, &right.data) {
        let (left, right) = (*left, *right);
        return match name {
            "add" => Ok(Data::Integer(left.wrapping_add(right))),
            "subtract" => Ok(Data::Integer(left.wrapping_sub(right))),
            "multiply" => Ok(Data::Integer(left.wrapping_mul(right))),
            "divide" if right == 0 => Err(Failure::DivideByZero),
            "divide" => left.checked_div(right).map(Data::Integer).ok_or(Failure::Overflow),
            _ => whole((left as f64).powf(right as f64).round_ties_even()),
        };
    }
    if !is_number(left) || !is_number(right) {
        return Err(Failure::Function);
    }
    let (left, right) = (number(left)?, number(right)?);
    Ok(Data::Float(match name {
        "add" => left + right,
        "subtract" => left - right,
        "multiply" => left * right,
        "divide" => left / right,
        _ => left.powf(right),
    }))
}

fn insert_string(values: &[Tree]) -> Result<Data> {
    let (Data::String(original), Data::String(inserted)) = (&values[0].data, &values[1].data) else {
        return Err(Failure::Function);
    };
    let Data::Integer(at) = values[2].data else { return Err(Failure::Function) };
    let mut units: Vec<u16> = original.encode_utf16().collect();
    let at = usize::try_from(at).ok().filter(|at| *at <= units.len()).ok_or(Failure::OutOfRange)?;
    units.splice(at..at, inserted.encode_utf16());
    Ok(Data::String(String::from_utf16_lossy(&units)))
}

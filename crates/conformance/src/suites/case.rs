//! What the cases of several suites have in common.

use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::RawValue;

use crate::corpus::EXACT;

/// The JSON text of a member of a case, as it stands in the corpus.
pub(crate) fn json(case: &Value, name: &str) -> Option<String> {
    match case.get(EXACT).and_then(|exact| exact.get(name)) {
        Some(Value::String(text)) => Some(text.clone()),
        _ => case.get(name).map(Value::to_string),
    }
}

/// The members of a JSON object as they stand there; none for anything else.
pub(crate) fn members(json: &str) -> BTreeMap<String, String> {
    let members: BTreeMap<String, Box<RawValue>> = serde_json::from_str(json).unwrap_or_default();
    members.into_iter().map(|(name, text)| (name, text.get().to_owned())).collect()
}

/// The mapping of a case: the exact text when it has one
/// (`deviceMappingText`), else the JSON (`deviceMapping`).
pub(crate) fn mapping_text(case: &Value, name: &str) -> Option<String> {
    match case.get(format!("{name}Text")) {
        Some(Value::String(text)) => Some(text.clone()),
        _ => json(case, name).filter(|mapping| mapping != "null"),
    }
}

/// A text member.
pub(crate) fn text<'c>(case: &'c Value, name: &str) -> &'c str {
    case.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// Whether a message has what `contains` asks for: a part, or a list of them.
/// An empty or missing one asks for nothing.
pub(crate) fn contains(message: &str, contains: Option<&Value>) -> bool {
    match contains {
        Some(Value::String(part)) => message.contains(part),
        Some(Value::Array(parts)) => parts.iter().filter_map(Value::as_str).all(|part| message.contains(part)),
        _ => true,
    }
}

/// The first place where what came does not meet what is expected, as a JSON
/// pointer. A missing optional member of an expected object means null or
/// absent; lists are complete and ordered; numbers compare by value.
pub(crate) fn difference(expected: &Value, got: &Value, place: &str) -> Option<String> {
    match (expected, got) {
        (Value::Object(expected), Value::Object(got)) => {
            let missing = got.iter().find(|(name, value)| !value.is_null() && !expected.contains_key(*name));
            if let Some((name, _)) = missing {
                return Some(format!("{place}/{name}"));
            }
            expected.iter().find_map(|(name, value)| {
                difference(value, got.get(name).unwrap_or(&Value::Null), &format!("{place}/{name}"))
            })
        }
        (Value::Array(expected), Value::Array(got)) if expected.len() == got.len() => {
            let mut pairs = expected.iter().zip(got).enumerate();
            pairs.find_map(|(at, (expected, got))| difference(expected, got, &format!("{place}/{at}")))
        }
        (Value::Number(expected), Value::Number(got)) if expected.as_f64() == got.as_f64() => None,
        _ if expected == got => None,
        _ => Some(if place.is_empty() { "/".to_owned() } else { place.to_owned() }),
    }
}

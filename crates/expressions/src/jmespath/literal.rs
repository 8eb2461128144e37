//! Reads the value of a backtick literal (device-mapping.md 7.1).
//!
//! The text is strict JSON, and strings in a date shape are dates, as in an
//! event. Words without quotes are strings: the reference connector refuses
//! them, but documentation of the hosted service has them (quirk 59).

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::document::{Document, Kind, NodeId, Scratch};
use crate::reader::ReadOptions;
use crate::value::Value;

/// The value of `token`, backticks included; none when it is not JSON. `dates`
/// says whether text in a date shape is a date.
pub(super) fn literal(token: &str, dates: bool) -> Option<Value<'static>> {
    let text = token[1..token.len() - 1].replace("\\`", "`");
    let text = text.trim_matches([' ', '\t', '\r', '\n']);
    if serde_json::from_str::<&RawValue>(text).is_err() {
        return is_word(text).then(|| Value::String(Cow::Owned(text.to_owned())));
    }
    let mut scratch = Scratch::default();
    let document = scratch.read_value(text.as_bytes(), ReadOptions { dates, ..ReadOptions::default() }).ok()?;
    Some(value(document, Document::ROOT))
}

fn is_word(text: &str) -> bool {
    let is_inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && text.chars().all(is_inner)
}

fn value(document: Document<'_>, node: NodeId) -> Value<'static> {
    match document.kind(node) {
        Kind::Null | Kind::Undefined | Kind::Opaque => Value::Null,
        Kind::False => Value::Bool(false),
        Kind::True => Value::Bool(true),
        Kind::Integer => Value::Integer(document.integer(node).unwrap_or_default()),
        // A constant integer beyond `i64` has no use in the reference
        // connector: every conversion of it fails.
        Kind::BigInteger | Kind::Float => Value::Float(document.float(node).unwrap_or(f64::NAN)),
        Kind::String => Value::String(Cow::Owned(document.text(node).into_owned())),
        Kind::Date => match document.date(node) {
            Some(date) => Value::Date(date),
            None => Value::String(Cow::Owned(document.text(node).into_owned())),
        },
        Kind::Array => Value::Array(document.children(node).map(|(_, child)| value(document, child)).collect()),
        Kind::Object => Value::Object(
            document
                .children(node)
                .map(|(name, child)| (Cow::Owned(document.name(name).to_owned()), value(document, child)))
                .collect(),
        ),
    }
}

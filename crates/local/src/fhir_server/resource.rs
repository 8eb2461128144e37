//! A resource as a client sent it, and as it is stored.
//!
//! Members are kept as text, so that a decimal comes back with the digits it
//! was sent with and members in their order. The parsed value beside it is for
//! checks and searches.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::fhir_server::failure::Failure;
use crate::fhir_server::shape;

/// A resource out of a request.
#[derive(Clone, Debug)]
pub(super) struct Resource {
    /// `resourceType`, one that the server supports.
    pub(super) kind: String,
    /// `id`, when the client gave one.
    pub(super) id: Option<String>,
    members: Vec<(String, Box<RawValue>)>,
    value: Value,
}

impl Resource {
    /// Reads JSON text. Only the frame is checked here; [`Resource::check`]
    /// looks at the elements.
    pub(super) fn parse(text: &str) -> Result<Self, Failure> {
        let text = compact(text);
        let members: Members = serde_json::from_str(&text).map_err(|error| not_json(&error))?;
        let value: Value = serde_json::from_str(&text).map_err(|error| not_json(&error))?;
        if value.as_object().map(Map::len) != Some(members.0.len()) {
            return Err(Failure::structure("an element is given twice"));
        }
        let kind = value["resourceType"].as_str().ok_or_else(|| Failure::structure("`resourceType` is missing"))?;
        if !shape::is_supported(kind) {
            return Err(Failure::structure("`resourceType` is not one that this server supports"));
        }
        let id = match &value["id"] {
            Value::Null => None,
            Value::String(id) if shape::is_id(id) => Some(id.clone()),
            _ => return Err(Failure::structure(format!("{kind}.id: expected id"))),
        };
        Ok(Self { kind: kind.to_owned(), id, members: members.0, value })
    }

    /// Checks every element; `required` asks for the required ones too.
    pub(super) fn check(&self, required: bool) -> Result<(), Failure> {
        shape::check(&self.kind, &self.value, required)
    }

    /// Puts real references in the place of a transaction's `fullUrl`s.
    pub(super) fn with_references(&self, references: &HashMap<String, String>) -> Result<Self, Failure> {
        let mut text = self.text();
        for (from, to) in references {
            // Whole strings only. `serde_json` writes a `urn:uuid` as it is.
            text = text.replace(&format!("\"{from}\""), &format!("\"{to}\""));
        }
        Self::parse(&text)
    }

    fn text(&self) -> String {
        let members: Vec<String> = self.members.iter().map(|(name, value)| member(name, value.get())).collect();
        format!("{{{}}}", members.join(","))
    }

    /// The relative references in it, as `(type, id)`.
    pub(super) fn references(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        collect_references(&self.value, &mut found);
        found
    }

    /// The resource as it is stored: with its id and the server's `meta`.
    pub(super) fn stored(&self, id: &str, version_id: &str, last_updated: &str) -> Result<Stored, Failure> {
        let mut meta = self.value["meta"].as_object().cloned().unwrap_or_default();
        meta.insert("versionId".to_owned(), version_id.into());
        meta.insert("lastUpdated".to_owned(), last_updated.into());
        let mut parts = vec![
            member("resourceType", &Value::from(self.kind.as_str()).to_string()),
            member("id", &Value::from(id).to_string()),
            member("meta", &Value::from(meta).to_string()),
        ];
        let rest = self.members.iter().filter(|(name, _)| !["resourceType", "id", "meta"].contains(&name.as_str()));
        parts.extend(rest.map(|(name, value)| member(name, value.get())));
        let text = format!("{{{}}}", parts.join(","));
        RawValue::from_string(text).map(Stored::from).map_err(|error| not_json(&error))
    }

    /// Whether storing it would change nothing but the server's `meta`.
    ///
    /// Numbers are compared by value, so `1.0` and `1.00` are the same.
    pub(super) fn has_content_of(&self, stored: &Stored) -> bool {
        content(self.value.clone()) == content(stored.value())
    }
}

/// A stored version of a resource: its JSON text, shared and unchangeable.
#[derive(Clone, Debug)]
pub(super) struct Stored(Arc<RawValue>);

impl From<Box<RawValue>> for Stored {
    fn from(text: Box<RawValue>) -> Self {
        Self(text.into())
    }
}

impl Stored {
    /// Any JSON value as an answer's body.
    pub(super) fn of(value: &impl serde::Serialize) -> Result<Self, Failure> {
        let text = serde_json::value::to_raw_value(value);
        text.map(Self::from).map_err(|error| Failure::new(500, "exception", error.to_string()))
    }

    pub(super) fn text(&self) -> &str {
        self.0.get()
    }

    pub(super) fn raw(&self) -> &RawValue {
        &self.0
    }

    pub(super) fn value(&self) -> Value {
        serde_json::from_str(self.text()).unwrap_or_default()
    }
}

/// What is the client's: without id and without the server's part of `meta`.
fn content(mut value: Value) -> Value {
    if let Some(members) = value.as_object_mut() {
        members.remove("id");
        if let Some(meta) = members.get_mut("meta").and_then(Value::as_object_mut) {
            meta.remove("versionId");
            meta.remove("lastUpdated");
            if meta.is_empty() {
                members.remove("meta");
            }
        }
    }
    value
}

fn collect_references(value: &Value, found: &mut Vec<(String, String)>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect_references(item, found)),
        Value::Object(members) => {
            found.extend(members.get("reference").and_then(Value::as_str).and_then(relative_reference));
            members.values().for_each(|value| collect_references(value, found));
        }
        _ => {}
    }
}

/// `Type/id` or `Type/id/_history/version` in its parts.
fn relative_reference(text: &str) -> Option<(String, String)> {
    let mut parts = text.split('/');
    let (kind, id) = (parts.next()?, parts.next()?);
    let is_versioned = parts.next().is_none_or(|next| next == "_history");
    (kind.starts_with(|c: char| c.is_ascii_uppercase()) && shape::is_id(id) && is_versioned)
        .then(|| (kind.to_owned(), id.to_owned()))
}

fn member(name: &str, text: &str) -> String {
    format!("{}:{text}", Value::from(name))
}

fn not_json(error: &serde_json::Error) -> Failure {
    // The error's own text may quote the body.
    Failure::structure(format!("the body is not a JSON object (line {}, column {})", error.line(), error.column()))
}

/// The JSON text without blanks between tokens: one line, as the journal needs.
fn compact(text: &str) -> String {
    let mut compact = String::with_capacity(text.len());
    let (mut in_string, mut escaped) = (false, false);
    for c in text.chars() {
        if in_string || !matches!(c, ' ' | '\t' | '\r' | '\n') {
            compact.push(c);
        }
        if c == '"' && !escaped {
            in_string = !in_string;
        }
        escaped = in_string && c == '\\' && !escaped;
    }
    compact
}

/// An object's members in their order, their values as text.
struct Members(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
        let mut members = Vec::new();
        while let Some(entry) = map.next_entry()? {
            members.push(entry);
        }
        Ok(Members(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_digits_order_and_the_clients_meta() {
        let text = "{ \"status\": \"final\",\n \"resourceType\": \"Observation\", \"meta\": {\"tag\":[{\"code\":\"a b\"}], \
                    \"versionId\": \"9\"}, \"valueQuantity\": {\"value\": 1.10 }}";
        let stored = Resource::parse(text).unwrap().stored("o1", "2", "2020-01-01T00:00:00.000Z").unwrap();
        assert_eq!(
            stored.text(),
            "{\"resourceType\":\"Observation\",\"id\":\"o1\",\"meta\":{\"lastUpdated\":\"2020-01-01T00:00:00.000Z\",\
             \"tag\":[{\"code\":\"a b\"}],\"versionId\":\"2\"},\"status\":\"final\",\"valueQuantity\":{\"value\":1.10}}"
        );
    }

    #[test]
    fn content_is_compared_without_the_servers_meta() {
        let resource = Resource::parse(r#"{"resourceType":"Device","type":{"text":"a"}}"#).unwrap();
        let same = Resource::parse(r#"{"resourceType":"Device","id":"d","type":{"text":"a"}}"#).unwrap();
        let other = Resource::parse(r#"{"resourceType":"Device","type":{"text":"b"}}"#).unwrap();
        let stored = resource.stored("d", "1", "2020-01-01T00:00:00Z").unwrap();
        assert!(same.has_content_of(&stored));
        assert!(!other.has_content_of(&stored));
    }

    #[test]
    fn refuses_what_has_no_frame() {
        let cases = [
            ("", "the body is not a JSON object (line 1, column 0)"),
            ("[]", "the body is not a JSON object (line 1, column 0)"),
            ("{}", "`resourceType` is missing"),
            (r#"{"resourceType":"Foo"}"#, "`resourceType` is not one that this server supports"),
            (r#"{"resourceType":"Device","id":"a b"}"#, "Device.id: expected id"),
            (r#"{"resourceType":"Device","id":"a","id":"b"}"#, "an element is given twice"),
        ];
        for (text, expected) in cases {
            let failure = Resource::parse(text).expect_err(text);
            assert_eq!(failure.diagnostics, expected, "{text}");
        }
    }

    #[test]
    fn finds_and_replaces_references() {
        let text = r#"{"resourceType":"Observation","subject":{"reference":"urn:uuid:1"},"performer":[
            {"reference":"Patient/a/_history/1"},{"reference":"http://x/Patient/b"},{"reference":"Patient?identifier=x"}]}"#;
        let references = HashMap::from([("urn:uuid:1".to_owned(), "Patient/c".to_owned())]);
        let mut found = Resource::parse(text).unwrap().with_references(&references).unwrap().references();
        found.sort();
        let pair = |id: &str| ("Patient".to_owned(), id.to_owned());
        assert_eq!(found, [pair("a"), pair("c")]);
    }
}

//! What a request asks for: its body, and how PATCH merges it with what is
//! stored (resource-provider.md 2.18, 4.6).
//!
//! ```text
//! PUT:   body --------------------------> typed, checked
//! PATCH: stored, as rendered + body ----> typed, checked
//! ```
//!
//! The text of a mapping (`…mapping.content`, or `properties.content`) is one
//! value: it is taken as it stands, byte for byte, and replaced as a whole.
//! Everything else follows RFC 7396.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::error::{ArmError, ErrorCode};

/// A body, an object. The texts of mappings in it are JSON strings that hold
/// the text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Body(Map<String, Value>);

/// Where the texts of mappings are.
const CONTENTS: [&[&str]; 3] = [
    &["properties", "deviceMapping", "content"],
    &["properties", "fhirMapping", "content"],
    &["properties", "content"],
];

impl Body {
    /// Reads the body of a request.
    ///
    /// # Errors
    ///
    /// `InvalidRequestContent`: empty, not JSON, not an object.
    pub fn read(bytes: &[u8]) -> Result<Body, ArmError> {
        if bytes.trim_ascii().is_empty() {
            return Err(invalid("The request has no body."));
        }
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let mut deserializer = serde_json::Deserializer::from_slice(bytes);
        let value = Lifting(&[]).deserialize(&mut deserializer).and_then(|value| deserializer.end().map(|()| value));
        // The library's text quotes what it read only as tokens, never a value.
        let value = value.map_err(|error| {
            invalid(format!("The body is not JSON: line {}, column {}.", error.line(), error.column()))
        })?;
        let Value::Object(members) = value else { return Err(invalid("The body is not a JSON object.")) };
        if members.get("properties").is_some_and(|properties| !properties.is_object() && !properties.is_null()) {
            return Err(no_object("properties"));
        }
        Ok(Body(members))
    }

    /// A body that has these members.
    pub(crate) fn of_members(members: Map<String, Value>) -> Body {
        Body(members)
    }

    /// What is asked for when `patch` is merged into this (RFC 7396). `tags` are
    /// not merged but replaced.
    pub fn merged(mut self, patch: Body) -> Body {
        for (name, value) in patch.0 {
            if name == "tags" && !value.is_null() {
                self.0.insert(name, value);
            } else {
                merge_member(&mut self.0, name, value);
            }
        }
        self
    }

    /// A member of the body.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// A member of `properties`.
    pub fn property(&self, name: &str) -> Option<&Value> {
        self.get("properties")?.get(name).filter(|value| !value.is_null())
    }

    /// The body without a member of `properties`.
    pub(crate) fn without_property(mut self, name: &str) -> Body {
        if let Some(Value::Object(properties)) = self.0.get_mut("properties") {
            properties.remove(name);
        }
        self
    }

    /// Takes over a member that the body does not have; for what a PUT keeps.
    pub fn keep(&mut self, name: &str, value: Value) {
        if self.get(name).is_none() {
            self.0.insert(name.to_owned(), value);
        }
    }

    /// A member as a type.
    ///
    /// # Errors
    ///
    /// `InvalidRequestContent`, with the path of the field.
    pub fn read_member<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, ArmError> {
        self.get(name).map(|value| typed(value, name)).transpose()
    }

    /// `properties` as a type; its default when there are none.
    ///
    /// # Errors
    ///
    /// As [`Body::read_member`].
    pub fn read_properties<T: DeserializeOwned + Default>(&self) -> Result<T, ArmError> {
        Ok(self.read_member("properties")?.unwrap_or_default())
    }

    /// Checks what clients may send but not decide: `id` is that of the URL, and
    /// `provisioningState` is the server's.
    ///
    /// # Errors
    ///
    /// `InvalidRequestContent`, `ReadOnlyPropertyConflict`.
    pub fn check_read_only(&self, same_id: impl Fn(&str) -> bool, state: Option<&str>) -> Result<(), ArmError> {
        if let Some(id) = self.read_member::<String>("id")?
            && !same_id(&id)
        {
            let message = "The `id` in the body is not that of the URL.";
            return Err(ArmError::at(ErrorCode::InvalidRequestContent, "id", message));
        }
        let Some(sent) = self.property("provisioningState") else { return Ok(()) };
        if sent.as_str().is_some_and(|sent| state.is_some_and(|state| state.eq_ignore_ascii_case(sent))) {
            return Ok(());
        }
        let message = match state {
            Some(state) => format!("`provisioningState` is read-only and is `{state}` now. Leave it out."),
            None => "`provisioningState` is read-only. Leave it out.".to_owned(),
        };
        Err(ArmError::at(ErrorCode::ReadOnlyPropertyConflict, "properties.provisioningState", message))
    }
}

/// RFC 7396, one member.
fn merge_member(target: &mut Map<String, Value>, name: String, patch: Value) {
    match patch {
        Value::Null => {
            target.remove(&name);
        }
        Value::Object(members) => {
            let slot = target.entry(name).or_insert(Value::Null);
            if !slot.is_object() {
                *slot = Value::Object(Map::new());
            }
            let Value::Object(slot) = slot else { return };
            for (name, value) in members {
                merge_member(slot, name, value);
            }
        }
        other => {
            target.insert(name, other);
        }
    }
}

/// A value as a type that is no array; `name` is where the body has it.
pub(crate) fn typed<T: DeserializeOwned>(value: &Value, name: &str) -> Result<T, ArmError> {
    let typed = serde_path_to_error::deserialize(value).map_err(|error| (error.path().to_string(), error.into_inner()));
    match typed {
        // The members of an object without their names are an array to the library.
        Ok(_) if value.is_array() => Err(no_object(name)),
        Err((path, _)) if value.is_array() && path != "." => Err(no_object(name)),
        Ok(typed) => Ok(typed),
        Err((path, error)) => {
            let target = if path == "." { name.to_owned() } else { format!("{name}.{path}") };
            let message = format!("`{target}` has another type than it should: {}.", expectation(&error));
            Err(ArmError::at(ErrorCode::InvalidRequestContent, target, message))
        }
    }
}

/// Something is there and is no object.
pub(crate) fn no_object(target: &str) -> ArmError {
    let message = format!("`{target}` has another type than it should: expected an object.");
    ArmError::at(ErrorCode::InvalidRequestContent, target, message)
}

/// What was expected, without what came.
fn expectation(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.split_once(", expected ") {
        // Its name is ours.
        Some((_, expected)) if expected.starts_with("struct ") => "expected an object".to_owned(),
        Some((_, expected)) => format!("expected {expected}"),
        None => text,
    }
}

fn invalid(message: impl Into<String>) -> ArmError {
    ArmError::new(ErrorCode::InvalidRequestContent, message)
}

/// Reads a value, and the texts of mappings as strings. Holds the path so far.
struct Lifting<'p>(&'p [&'p str]);

impl<'de> DeserializeSeed<'de> for Lifting<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        let Lifting(path) = self;
        if CONTENTS.contains(&path) {
            let raw = Box::<RawValue>::deserialize(deserializer)?;
            return Ok(if raw.get() == "null" { Value::Null } else { Value::String(raw.get().to_owned()) });
        }
        if CONTENTS.iter().any(|content| content.starts_with(path)) {
            return deserializer.deserialize_any(OnTheWay(path));
        }
        Value::deserialize(deserializer)
    }
}

/// Reads an object that a mapping may be in; anything else as it is.
struct OnTheWay<'p>(&'p [&'p str]);

impl<'de> Visitor<'de> for OnTheWay<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut access: M) -> Result<Value, M::Error> {
        let mut members = Map::new();
        while let Some(name) = access.next_key::<String>()? {
            let path = [self.0, &[name.as_str()]].concat();
            let value = access.next_value_seed(Lifting(&path))?;
            members.insert(name, value);
        }
        Ok(Value::Object(members))
    }

    fn visit_seq<S: serde::de::SeqAccess<'de>>(self, access: S) -> Result<Value, S::Error> {
        Value::deserialize(serde::de::value::SeqAccessDeserializer::new(access))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn body(text: &str) -> Body {
        Body::read(text.as_bytes()).expect(text)
    }

    #[track_caller]
    fn check_merge(stored: &str, patch: &str, expected: Value) {
        let merged = body(stored).merged(body(patch));
        assert_eq!(Value::Object(merged.0), expected, "{patch} into {stored}");
    }

    #[test]
    fn the_text_of_a_mapping_is_kept_byte_for_byte() {
        let body = body(r#"{"properties":{"deviceMapping":{"content": { "b":1.0,  "a":[1e3] } },"content":[1 ,2]}}"#);
        assert_eq!(body.property("deviceMapping"), Some(&json!({ "content": r#"{ "b":1.0,  "a":[1e3] }"# })));
        assert_eq!(body.property("content"), Some(&json!("[1 ,2]")));
    }

    #[test]
    fn properties_merge_and_a_mapping_is_replaced() {
        check_merge(
            r#"{"properties":{"a":{"x":1,"y":2},"deviceMapping":{"content":{"x":1}}}}"#,
            r#"{"properties":{"a":{"y":null,"z":3},"deviceMapping":{"content":{"z":1}}}}"#,
            json!({ "properties": { "a": { "x": 1, "z": 3 }, "deviceMapping": { "content": r#"{"z":1}"# } } }),
        );
        check_merge(
            r#"{"properties":{"deviceMapping":{"content":{}}}}"#,
            r#"{"properties":{"deviceMapping":{"content":null}}}"#,
            json!({ "properties": { "deviceMapping": {} } }),
        );
    }

    #[test]
    fn tags_are_replaced_as_a_whole() {
        check_merge(r#"{"tags":{"a":"1"}}"#, r#"{"tags":{"b":"2"}}"#, json!({ "tags": { "b": "2" } }));
        check_merge(r#"{"tags":{"a":"1"}}"#, r#"{"tags":null}"#, json!({}));
        check_merge(r#"{"tags":{"a":"1"}}"#, r#"{"sku":null}"#, json!({ "tags": { "a": "1" } }));
    }

    /// The examples of RFC 7396, appendix A, that are about objects.
    #[test]
    fn the_rfcs_examples() {
        for (target, patch, result) in [
            (json!({"a":"b"}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"b"}), json!({"b":"c"}), json!({"a":"b","b":"c"})),
            (json!({"a":"b"}), json!({"a":null}), json!({})),
            (json!({"a":"b","b":"c"}), json!({"a":null}), json!({"b":"c"})),
            (json!({"a":["b"]}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"c"}), json!({"a":["b"]}), json!({"a":["b"]})),
            (json!({"a":{"b":"c"}}), json!({"a":{"b":"d","c":null}}), json!({"a":{"b":"d"}})),
            (json!({"a":[{"b":"c"}]}), json!({"a":[1]}), json!({"a":[1]})),
            (json!({"e":null}), json!({"a":1}), json!({"e":null,"a":1})),
            (json!({}), json!({"a":{"bb":{"ccc":null}}}), json!({"a":{"bb":{}}})),
        ] {
            check_merge(&target.to_string(), &patch.to_string(), result);
        }
    }

    #[test]
    fn what_is_no_body() {
        for (text, message) in [
            ("", "no body"),
            (" \n", "no body"),
            ("[]", "not a JSON object"),
            ("3", "not a JSON object"),
            ("{\"a\":", "not JSON"),
            ("{} {}", "not JSON"),
            ("{\"properties\":{\"content\":{]}}", "not JSON"),
        ] {
            let error = Body::read(text.as_bytes()).unwrap_err();
            assert_eq!(error.code, ErrorCode::InvalidRequestContent);
            assert!(error.message.contains(message), "{text}: {}", error.message);
        }
    }

    #[test]
    fn a_field_of_another_type_is_named_and_not_quoted() {
        #[derive(Debug, Default, Deserialize)]
        #[allow(dead_code)]
        struct Properties {
            inner: Option<std::collections::BTreeMap<String, String>>,
        }
        let error = body(r#"{"properties":{"inner":{"a":7431}}}"#).read_properties::<Properties>().unwrap_err();
        assert_eq!(error.target.as_deref(), Some("properties.inner.a"));
        assert!(error.message.contains("expected a string") && !error.message.contains("7431"), "{}", error.message);
        let error = body(r#"{"sku":["x"]}"#).read_member::<Properties>("sku").unwrap_err();
        assert!(error.message.ends_with("expected an object."), "{}", error.message);
        let error = Body::read(br#"{"properties":[]}"#).unwrap_err();
        assert_eq!(error.target.as_deref(), Some("properties"));
    }

    #[test]
    fn what_is_read_only() {
        let same = |id: &str| id == "/a";
        let check = |text: &str, state| body(text).check_read_only(same, state).map_err(|error| error.code);
        assert_eq!(check("{}", None), Ok(()));
        assert_eq!(check(r#"{"id":"/a","properties":{"provisioningState":"succeeded"}}"#, Some("Succeeded")), Ok(()));
        assert_eq!(check(r#"{"id":"/b"}"#, None), Err(ErrorCode::InvalidRequestContent));
        let conflict = Err(ErrorCode::ReadOnlyPropertyConflict);
        assert_eq!(check(r#"{"properties":{"provisioningState":"Failed"}}"#, Some("Succeeded")), conflict);
        assert_eq!(check(r#"{"properties":{"provisioningState":"Succeeded"}}"#, None), conflict);
        assert_eq!(check(r#"{"properties":{"provisioningState":3}}"#, None), conflict);
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "[a-z]{0,3}".prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(
                    prop_oneof![Just("properties".to_owned()), Just("content".to_owned()), "[a-c]"],
                    inner,
                    0..4
                )
                .prop_map(|members| Value::Object(members.into_iter().collect()))
            ]
        })
    }

    proptest! {
        /// Whatever has no mapping in it is read as it is.
        #[test]
        fn any_object_is_read(value in any_json()) {
            let text = json!({ "other": value }).to_string();
            let body = body(&text);
            prop_assert_eq!(body.0.get("other"), Some(&value));
        }

        /// A patch that was merged once changes nothing the second time.
        #[test]
        fn a_patch_repeated_changes_nothing(a in any_json(), b in any_json()) {
            let (stored, patch) = (json!({ "x": a }).to_string(), json!({ "x": b }).to_string());
            let once = body(&stored).merged(body(&patch));
            prop_assert_eq!(once.clone().merged(body(&patch)), once);
        }
    }
}

//! The members of a JSON object in their order, each value as it was written.
//!
//! What we do not understand, and every digit of a number, passes through
//! untouched; what we do understand is read from the text when it is needed.

use std::fmt;

use rust_decimal::Decimal;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;

/// How deep two values are compared; FHIR nests far less.
const DEPTH_MAX: usize = 64;

/// See the module's text. A name given twice has the value given last.
#[derive(Clone, Debug, Default)]
pub(super) struct Members(Vec<(String, Box<RawValue>)>);

impl Members {
    /// The members of an object; none for any other value.
    pub(super) fn read(value: &RawValue) -> Option<Members> {
        serde_json::from_str(value.get()).ok()
    }

    pub(super) fn get(&self, name: &str) -> Option<&RawValue> {
        self.0.iter().find(|member| member.0 == name).map(|member| &*member.1)
    }

    /// The member `name` as text; none when it is no text.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        serde_json::from_str(self.get(name)?.get()).ok()
    }

    /// The member `name` as a number; none when it is no number, or one beyond
    /// 28 digits.
    pub(super) fn number(&self, name: &str) -> Option<Decimal> {
        number(self.get(name)?.get())
    }

    /// Puts a value where the member stood, or at the end.
    pub(super) fn set(&mut self, name: &str, value: Box<RawValue>) {
        match self.0.iter_mut().find(|member| member.0 == name) {
            Some(member) => member.1 = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    /// Puts another member where `old` stood.
    pub(super) fn replace(&mut self, old: &str, name: &str, value: Box<RawValue>) {
        match self.0.iter_mut().find(|member| member.0 == old) {
            Some(member) => *member = (name.to_owned(), value),
            None => self.set(name, value),
        }
    }

    pub(super) fn remove(&mut self, name: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|member| member.0 != name);
        self.0.len() != before
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &RawValue)> {
        self.0.iter().map(|member| (member.0.as_str(), &*member.1))
    }
}

/// Anything of ours as JSON text.
pub(super) fn raw(value: &impl Serialize) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).expect("our types have text keys and no failing Serialize")
}

/// Whether two values mean the same: members in any order, numbers by value.
pub(super) fn is_same(a: &RawValue, b: &RawValue) -> bool {
    is_same_at(a, b, DEPTH_MAX)
}

fn is_same_at(a: &RawValue, b: &RawValue, depth: usize) -> bool {
    let (left, right) = (a.get(), b.get());
    if left == right {
        return true;
    }
    let (Some(kind), Some(other)) = (left.bytes().next(), right.bytes().next()) else { return false };
    match kind {
        _ if depth == 0 => false,
        b'{' => {
            let (Some(left), Some(right)) = (Members::read(a), Members::read(b)) else { return false };
            let same = |(name, value)| right.get(name).is_some_and(|other| is_same_at(value, other, depth - 1));
            left.0.len() == right.0.len() && left.iter().all(same)
        }
        b'[' => {
            let (Some(left), Some(right)) = (elements(a), elements(b)) else { return false };
            let mut pairs = left.iter().zip(&right);
            left.len() == right.len() && pairs.all(|(left, right)| is_same_at(left, right, depth - 1))
        }
        b'"' => other == b'"' && text(left) == text(right),
        _ => number(left).is_some_and(|left| Some(left) == number(right)),
    }
}

/// The elements of an array; none for any other value.
pub(super) fn elements(value: &RawValue) -> Option<Vec<Box<RawValue>>> {
    serde_json::from_str(value.get()).ok()
}

fn text(value: &str) -> Option<String> {
    serde_json::from_str(value).ok()
}

fn number(value: &str) -> Option<Decimal> {
    Decimal::from_str_exact(value).or_else(|_| Decimal::from_scientific(value)).ok()
}

impl Serialize for Members {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Members, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Members::default();
                while let Some((name, value)) = map.next_entry::<String, Box<RawValue>>()? {
                    members.set(&name, value);
                }
                Ok(members)
            }
        }

        deserializer.deserialize_map(InOrder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    #[test]
    fn writes_what_it_read() {
        let text = r#"{"b":1.500,"a":[1e3, {"z":null}],"c":"\u00e4"}"#;
        let members: Members = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&members).unwrap(), text);
    }

    #[test]
    fn compares_by_meaning() {
        let cases = [
            (r#"{"a":1,"b":[2]}"#, r#"{ "b": [2.0], "a": 1e0 }"#, true),
            (r#"{"a":1}"#, r#"{"a":1,"b":null}"#, false),
            (r#""ä""#, r#""\u00e4""#, true),
            ("[1,2]", "[2,1]", false),
            ("65", "\"65\"", false),
            ("true", "false", false),
            ("null", "0", false),
            ("0.1", "0.10000000000000000001", false),
        ];
        for (left, right, same) in cases {
            assert_eq!(is_same(&value(left), &value(right)), same, "{left} {right}");
            assert_eq!(is_same(&value(right), &value(left)), same, "{right} {left}");
        }
    }

    #[test]
    fn does_not_follow_endless_nesting() {
        let deep = |inner: &str| value(&format!("{}{inner}{}", "[".repeat(100), "]".repeat(100)));
        assert!(!is_same(&deep("1"), &deep("1.0")));
    }
}

//! What a document looks like without what it says: names of members and types
//! of values, for a log.
//!
//! ```text
//! {"deviceid":"d-17","hr":[71,72],"at":"2020-11-01T12:00:00Z"}
//! {deviceid: text, hr: [integer], at: date}
//! ```
//!
//! No value gets out, and neither does how long one is or how many there are.
//! Names do, for they are what one needs to see; but devices also use ids and
//! names of people for names of members, so digits become `#`, and what does not
//! look like a word of a program becomes `(name)`.

use super::{Document, Kind, NodeId};
use crate::names::Symbol;

/// Deeper objects and arrays are `…`.
const DEPTH_MAX: usize = 6;
/// Members of an object, and elements of an array, that are looked at.
const MEMBERS_MAX: usize = 32;
const ELEMENTS_MAX: usize = 8;
/// Values of a document that are looked at.
const VALUES_MAX: usize = 200;
/// The text is cut here, in bytes.
const TEXT_MAX: usize = 1500;
/// Words of programs are not longer.
const NAME_MAX: usize = 40;
/// More digits are an id: `spo2` and `accel_x16` are words.
const DIGITS_MAX: usize = 3;
/// Hexadecimal digits alone are an id from here on; shorter ones may be words.
const HEX_MIN: usize = 8;

const MORE: &str = "…";

impl Document<'_> {
    /// The shape of `node` and what is below it, on one line.
    pub fn shape(self, node: NodeId) -> String {
        let mut left = VALUES_MAX;
        let mut text = self.shape_of(node, DEPTH_MAX, &mut left);
        if text.len() > TEXT_MAX {
            let end = (0..=TEXT_MAX).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
            text.truncate(end);
            text.push_str(MORE);
        }
        text
    }

    fn shape_of(self, node: NodeId, depth: usize, left: &mut usize) -> String {
        if *left == 0 {
            return MORE.to_owned();
        }
        *left -= 1;
        let word = match self.kind(node) {
            Kind::Null => "null",
            Kind::Undefined => "undefined",
            Kind::False | Kind::True => "boolean",
            Kind::Integer | Kind::BigInteger => "integer",
            Kind::Float => "number",
            Kind::String => "text",
            Kind::Date => "date",
            Kind::Opaque => "other",
            Kind::Object if depth > 0 => return self.shape_of_object(node, depth, left),
            Kind::Array if depth > 0 => return self.shape_of_array(node, depth, left),
            Kind::Object | Kind::Array => MORE,
        };
        word.to_owned()
    }

    fn shape_of_object(self, node: NodeId, depth: usize, left: &mut usize) -> String {
        let member = |(name, child): (Symbol, NodeId), left: &mut usize| {
            format!("{}: {}", shown_name(self.name(name)), self.shape_of(child, depth - 1, left))
        };
        let members = self.children(node).take(MEMBERS_MAX).map(|child| member(child, left));
        let parts = distinct(members, self.child_count(node) > MEMBERS_MAX);
        format!("{{{parts}}}")
    }

    fn shape_of_array(self, node: NodeId, depth: usize, left: &mut usize) -> String {
        let elements = self.children(node).take(ELEMENTS_MAX);
        let parts = distinct(elements.map(|(_, child)| self.shape_of(child, depth - 1, left)), false);
        format!("[{parts}]")
    }
}

/// The parts, each once: members that are named by ids look all the same, and
/// how many they are is nobody's business.
fn distinct(parts: impl Iterator<Item = String>, has_more: bool) -> String {
    let mut seen: Vec<String> = Vec::new();
    for part in parts {
        if !seen.contains(&part) {
            seen.push(part);
        }
    }
    if has_more {
        seen.push(MORE.to_owned());
    }
    seen.join(", ")
}

/// A name that looks like a word of a program, with `#` for its digits.
fn shown_name(name: &str) -> String {
    let is_word = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.:$".contains(&byte));
    let digits = name.bytes().filter(u8::is_ascii_digit).count();
    let is_hex = name.len() >= HEX_MIN && name.bytes().all(|byte| byte.is_ascii_hexdigit() || b"-:".contains(&byte));
    if name.is_empty() || !is_word || name.len() > NAME_MAX || digits > DIGITS_MAX || is_hex {
        return "(name)".to_owned();
    }
    name.chars().map(|c| if c.is_ascii_digit() { '#' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Scratch;
    use crate::reader::ReadOptions;

    fn shape(json: &str) -> String {
        let mut scratch = Scratch::default();
        let document = scratch.read_value(json.as_bytes(), ReadOptions::default()).expect("JSON");
        document.shape(Document::ROOT)
    }

    #[test]
    fn names_members_and_types() {
        let cases = [
            (
                r#"{"deviceid":"d-17","hr":[71,72],"at":"2020-11-01T12:00:00Z"}"#,
                "{deviceid: text, hr: [integer], at: date}",
            ),
            (r#"{"a":{"b":1.5,"c":null,"d":true,"e":false}}"#, "{a: {b: number, c: null, d: boolean, e: boolean}}"),
            (r#"[{"v":1},{"v":2},"x",{"w":[]}]"#, "[{v: integer}, text, {w: []}]"),
            ("17", "integer"),
            (r#"{"spo2":1,"x-opt_y.z":2,"$type":3}"#, "{spo#: integer, x-opt_y.z: integer, $type: integer}"),
            ("{}", "{}"),
        ];
        for (json, expected) in cases {
            assert_eq!(shape(json), expected, "{json}");
        }
    }

    #[test]
    fn hides_names_that_are_no_words_of_a_program() {
        let names = [
            "Jane Doe",
            "jane.doe@example.org",
            "3f2504e0-4f89-11d3-9a0c-0305e82c3301",
            "deadbeef",
            "00:1b:63:84",
            "MRN12345",
            "Müller",
            "",
            &"x".repeat(NAME_MAX + 1),
        ];
        for name in names {
            let json = format!(r#"{{"{name}":1}}"#);
            assert_eq!(shape(&json), "{(name): integer}", "{name}");
        }
        assert_eq!(shape(r#"{"p 1":{"hr":1},"p 2":{"hr":2},"p 3":{}}"#), "{(name): {hr: integer}, (name): {}}");
    }

    #[test]
    fn is_short_whatever_the_document_is() {
        let deep = format!("{}1{}", "[".repeat(60), "]".repeat(60));
        assert_eq!(shape(&deep), "[[[[[[…]]]]]]");
        let letters = |at: u32| ["a", "b", "c", "d", "e", "f", "g"].map(|l| l.repeat(1 + at as usize % 7)).concat();
        let wide: Vec<String> = (0..5000).map(|at| format!(r#""{}{}":{{"v":{at}}}"#, letters(at), at % 10)).collect();
        let wide = shape(&format!("{{{}}}", wide.join(",")));
        assert!(wide.len() <= TEXT_MAX + MORE.len() && wide.ends_with("…}"), "{wide}");
        let object = format!("{{{}}}", (0..30).map(|at| format!(r#""k{at}":1"#)).collect::<Vec<_>>().join(","));
        let object = (0..30).fold(object.clone(), |inner, at| format!(r#"{{"m{at}":{inner},"n":{object}}}"#));
        assert!(shape(&object).len() <= TEXT_MAX + MORE.len());
    }

    mod no_value_gets_out {
        use proptest::prelude::*;

        use super::shape;

        /// Documents whose values are all marks, beside plain names.
        fn marked() -> impl Strategy<Value = serde_json::Value> {
            let value = prop_oneof![
                any::<u32>().prop_map(|n| serde_json::json!(777_000_000_000_u64 + u64::from(n))),
                (0..1000).prop_map(|n| serde_json::json!(777.5 + f64::from(n) * 1e6)),
                "ZQ777[a-z]{0,9}".prop_map(serde_json::Value::from),
                (10..28).prop_map(|day| serde_json::json!(format!("7772-01-{day}T07:07:07.777Z"))),
                any::<bool>().prop_map(serde_json::Value::from),
            ];
            value.prop_recursive(5, 60, 6, |inner| {
                let name = prop_oneof!["[a-y]{1,8}", "ZQ777[0-9]{4}", "ZQ [a-z]{3}"];
                prop_oneof![
                    prop::collection::vec(inner.clone(), 0..5).prop_map(serde_json::Value::from),
                    prop::collection::hash_map(name, inner, 0..5)
                        .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
                ]
            })
        }

        proptest! {
            #[test]
            fn neither_texts_nor_numbers_nor_dates(document in marked()) {
                let shape = shape(&document.to_string());
                prop_assert!(!shape.contains("ZQ") && !shape.contains('7'), "{shape}");
                prop_assert!(!shape.contains("true") && !shape.contains("false"), "{shape}");
            }
        }
    }
}

//! JSON text that has been checked already, looked into without a tree.
//!
//! ```text
//! text of an object --member--> text of a value
//! ```
//!
//! A value is a slice of the text it came in, so that what nobody asks for is
//! passed by at the speed of a scan, and what nobody changes keeps every digit.
//! Text that is not JSON gives nothing or nonsense here, but never a panic.

use std::borrow::Cow;
use std::fmt;

use expressions::document::json_escape;
use rust_decimal::Decimal;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// How deep two values are compared; FHIR nests far less.
const DEPTH_MAX: usize = 64;

/// The member `name` of an object, given last if it is given twice; none for
/// any other value.
pub(crate) fn member<'t>(object: &'t str, name: &str) -> Option<&'t str> {
    let is_wanted = |written: &str| match written.contains('\\') {
        false => written.get(1..written.len() - 1) == Some(name),
        true => text(written).as_deref() == Some(name),
    };
    members(object)?.filter(|member| is_wanted(member.0)).last().map(|member| member.1)
}

/// The members of an object: the name with its quotes, and the value. None for
/// any other value.
pub(crate) fn members(object: &str) -> Option<impl Iterator<Item = (&str, &str)>> {
    let mut rest = Entries::new(object, b'{')?;
    Some(std::iter::from_fn(move || {
        let name = rest.value()?;
        rest.at = after_blanks(rest.text.as_bytes(), rest.at) + 1;
        Some((name, rest.value()?))
    }))
}

/// The elements of an array; none for any other value.
pub(crate) fn elements(array: &str) -> Option<impl Iterator<Item = &str>> {
    let mut rest = Entries::new(array, b'[')?;
    Some(std::iter::from_fn(move || rest.value()))
}

/// What of an object or array has not been gone through.
struct Entries<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Entries<'t> {
    fn new(text: &'t str, opening: u8) -> Option<Entries<'t>> {
        let start = after_blanks(text.as_bytes(), 0);
        (text.as_bytes().get(start) == Some(&opening)).then_some(Entries { text, at: start + 1 })
    }

    /// The next value; none at the end.
    fn value(&mut self) -> Option<&'t str> {
        let bytes = self.text.as_bytes();
        let mut start = after_blanks(bytes, self.at);
        if bytes.get(start) == Some(&b',') {
            start = after_blanks(bytes, start + 1);
        }
        if matches!(bytes.get(start), None | Some(b'}' | b']')) {
            return None;
        }
        self.at = value_end(bytes, start);
        self.text.get(start..self.at)
    }
}

fn after_blanks(bytes: &[u8], mut at: usize) -> usize {
    while matches!(bytes.get(at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
        at += 1;
    }
    at
}

/// Where the value that begins at `start` ends.
fn value_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start;
    let mut depth = 0_usize;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => at = string_end(bytes, at),
            b'{' | b'[' => {
                depth += 1;
                at += 1;
                continue;
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                at += 1;
            }
            b',' | b':' | b' ' | b'\t' | b'\n' | b'\r' => {
                at += 1;
                continue;
            }
            _ => at = scalar_end(bytes, at),
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// Where the string that begins at `start` ends, its closing quote included.
fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    loop {
        // Most strings are short; for the rest many bytes are looked at a time.
        at = plain_end(&bytes[..bytes.len().min(at + 32)], at);
        match bytes.get(at) {
            Some(b'"') => return at + 1,
            Some(b'\\') => at += 2,
            Some(_) => match memchr::memchr2(b'"', b'\\', &bytes[at..]) {
                Some(found) if bytes[at + found] == b'"' => return at + found + 1,
                Some(found) => at += found + 2,
                None => return bytes.len(),
            },
            None => return bytes.len(),
        }
    }
}

fn scalar_end(bytes: &[u8], start: usize) -> usize {
    let is_end = |byte: &u8| matches!(byte, b',' | b':' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r');
    bytes[start..].iter().position(is_end).map_or(bytes.len(), |length| start + length)
}

/// What a string says; none for any other value.
pub(crate) fn text(value: &str) -> Option<Cow<'_, str>> {
    let plain = value.strip_prefix('"')?.strip_suffix('"')?;
    match memchr::memchr(b'\\', plain.as_bytes()) {
        None => Some(Cow::Borrowed(plain)),
        // A lone half of a surrogate pair gets this far and no further.
        Some(_) => serde_json::from_str(value).ok().map(Cow::Owned),
    }
}

/// A number; none for any other value, and for one beyond 28 digits.
pub(crate) fn number(value: &str) -> Option<Decimal> {
    Decimal::from_str_exact(value).or_else(|_| Decimal::from_scientific(value)).ok()
}

/// Appends a string, escaped as little as JSON wants it.
pub(crate) fn push_text(text: &str, out: &mut String) {
    out.push('"');
    push_escaped(text, out);
    out.push('"');
}

/// Appends what stands between the quotes of a string.
pub(crate) fn push_escaped(text: &str, out: &mut String) {
    if is_plain(text.as_bytes()) {
        out.push_str(text);
        return;
    }
    for c in text.chars() {
        match c {
            // The line ends that only a measurement has escaped.
            '\u{85}' | '\u{2028}' | '\u{2029}' => out.push(c),
            c => out.push_str(json_escape(c, &mut [0; 6])),
        }
    }
}

/// What [`push_escaped`] appends.
pub(crate) fn escaped(text: &str) -> Cow<'_, str> {
    if is_plain(text.as_bytes()) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    push_escaped(text, &mut escaped);
    Cow::Owned(escaped)
}

/// Whether nothing in it is escaped. Without a way out before the end of a
/// chunk, so that a chunk is looked at as a whole.
fn is_plain(text: &[u8]) -> bool {
    if text.len() < 64 {
        return plain_end(text, 0) == text.len();
    }
    let is_plain = |byte: &u8| (*byte >= 0x20) & (*byte != b'"') & (*byte != b'\\');
    text.chunks(64).all(|chunk| chunk.iter().fold(true, |plain, byte| plain & is_plain(byte)))
}

/// Where the first byte from `at` on stands that ends a string or is not to be
/// taken as it is: a quote, a backslash or a control character.
pub(crate) fn plain_end(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES << 7;
    // The high bit of each byte that is less than `n`, at most 128. Bytes after
    // the first found may be told wrongly, as it borrows from them.
    let less = |word: u64, n: u64| word.wrapping_sub(ONES * n) & !word & HIGH;
    while let Some(chunk) = bytes.get(at..at + 8).and_then(|chunk| <[u8; 8]>::try_from(chunk).ok()) {
        let word = u64::from_le_bytes(chunk);
        let quote = less(word ^ (ONES * u64::from(b'"')), 1);
        let backslash = less(word ^ (ONES * u64::from(b'\\')), 1);
        let found = quote | backslash | less(word, 0x20);
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    while bytes.get(at).is_some_and(|byte| *byte >= 0x20 && !matches!(byte, b'"' | b'\\')) {
        at += 1;
    }
    at
}

/// Whether two values mean the same: members in any order, numbers by value.
pub(crate) fn is_same(left: &str, right: &str) -> bool {
    is_same_at(left, right, DEPTH_MAX)
}

fn is_same_at(left: &str, right: &str, depth: usize) -> bool {
    if left == right {
        return true;
    }
    let (Some(kind), Some(other)) = (left.bytes().next(), right.bytes().next()) else { return false };
    match kind {
        _ if depth == 0 => false,
        b'{' => {
            let (Some(left), Some(right)) = (distinct(left), distinct(right)) else { return false };
            let value = |name: &str| right.iter().find(|member| member.0 == name).map(|member| member.1);
            let same = |member: &(Cow<'_, str>, &str)| {
                value(&member.0).is_some_and(|other| is_same_at(member.1, other, depth - 1))
            };
            left.len() == right.len() && left.iter().all(same)
        }
        b'[' => {
            let (Some(mut left), Some(mut right)) = (elements(left), elements(right)) else { return false };
            loop {
                match (left.next(), right.next()) {
                    (Some(left), Some(right)) if is_same_at(left, right, depth - 1) => {}
                    (left, right) => return left.is_none() && right.is_none(),
                }
            }
        }
        b'"' => other == b'"' && text(left) == text(right),
        _ => number(left).is_some_and(|left| Some(left) == number(right)),
    }
}

/// The members of an object, each name once, with the value given last.
fn distinct(object: &str) -> Option<Vec<(Cow<'_, str>, &str)>> {
    let mut distinct: Vec<(Cow<'_, str>, &str)> = Vec::new();
    for (name, value) in members(object)? {
        let name = text(name)?;
        match distinct.iter_mut().find(|member| member.0 == name) {
            Some(member) => member.1 = value,
            None => distinct.push((name, value)),
        }
    }
    Some(distinct)
}

/// The members of an object that comes from outside: checked to be JSON, and
/// unread.
pub(crate) struct Object<'j> {
    /// Names and values, in their order, some names perhaps twice.
    pub(crate) members: Vec<(Cow<'j, str>, &'j RawValue)>,
}

impl<'j> Deserialize<'j> for Object<'j> {
    fn deserialize<D: Deserializer<'j>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor)
    }
}

struct ObjectVisitor;

impl<'j> Visitor<'j> for ObjectVisitor {
    type Value = Object<'j>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'j>>(self, mut map: A) -> Result<Object<'j>, A::Error> {
        let mut members = Vec::with_capacity(16);
        while let Some(Name(name)) = map.next_key()? {
            members.push((name, map.next_value()?));
        }
        Ok(Object { members })
    }
}

/// A member name, borrowed where it holds no escapes.
#[derive(Deserialize)]
struct Name<'j>(#[serde(borrow)] Cow<'j, str>);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn finds_members_whatever_stands_between() {
        let object = r#" { "a" : 1.50 ,"b":{"a":[2,"}\"]"]},"\u0063":"x\\", "a":[ ] ,"d":null}"#;
        let cases = [("a", "[ ]"), ("b", r#"{"a":[2,"}\"]"]}"#), ("c", r#""x\\""#), ("d", "null")];
        for (name, value) in cases {
            assert_eq!(member(object, name), Some(value), "{name}");
        }
        assert_eq!(member(object, "e"), None);
        assert_eq!(member("[1]", "a"), None);
        let values: Vec<&str> = elements(r#"[1, {"a":[]} ,"x,y",[[]], true ]"#).unwrap().collect();
        assert_eq!(values, ["1", r#"{"a":[]}"#, r#""x,y""#, "[[]]", "true"]);
        assert_eq!(elements("[]").unwrap().count() + members("{ }").unwrap().count(), 0);
    }

    #[test]
    fn compares_by_meaning() {
        let cases = [
            (r#"{"a":1,"b":[2]}"#, r#"{ "b": [2.0], "a": 1e0 }"#, true),
            (r#"{"a":1}"#, r#"{"a":1,"b":null}"#, false),
            (r#""ä""#, r#""\u00e4""#, true),
            ("[1,2]", "[2,1]", false),
            ("[1]", "[1,2]", false),
            ("65", "\"65\"", false),
            ("true", "false", false),
            ("null", "0", false),
            ("0.1", "0.10000000000000000001", false),
        ];
        for (left, right, same) in cases {
            assert_eq!(is_same(left, right), same, "{left} {right}");
            assert_eq!(is_same(right, left), same, "{right} {left}");
        }
    }

    #[test]
    fn does_not_follow_endless_nesting() {
        let deep = |inner: &str| format!("{}{inner}{}", "[".repeat(100), "]".repeat(100));
        assert!(!is_same(&deep("1"), &deep("1.0")));
    }

    #[test]
    fn survives_what_is_no_json() {
        for text in ["", "{", "[", "{\"", "{\"a", "{\"a\"", "{\"a\":", "[1,", "[\"\\", "}", "{]}", "\"\\"] {
            let counts = (members(text).map(Iterator::count), elements(text).map(Iterator::count));
            assert!(counts.0.unwrap_or(0) + counts.1.unwrap_or(0) < 2, "{text}");
        }
    }

    proptest! {
        #[test]
        fn texts_come_back(text in "\\PC*|[\\x00-\\x7f]{0,80}") {
            let mut written = String::new();
            push_text(&text, &mut written);
            prop_assert_eq!(&written, &serde_json::to_string(&text).unwrap());
            let read = super::text(&written).map(Cow::into_owned);
            prop_assert_eq!(read, Some(text));
        }

        #[test]
        fn plain_ends_where_a_byte_is_not_plain(text in "[ -~]{0,30}[\\x00-\\x7f]?[ -~äß]{0,30}", start in 0_usize..10) {
            let bytes = text.as_bytes();
            let is_plain = |byte: &u8| *byte >= 0x20 && !matches!(byte, b'"' | b'\\');
            let start = start.min(bytes.len());
            let expected = bytes[start..].iter().position(|byte| !is_plain(byte)).map_or(bytes.len(), |at| start + at);
            prop_assert_eq!(plain_end(bytes, start), expected);
        }

        #[test]
        fn sees_what_a_tree_has(text in r#"[{\[]("[ab]":)?[\[{1-9"a,:}\]]{0,12}[}\]]"#) {
            if let Ok(value) = serde_json::from_str::<Value>(&text) {
                match value {
                    Value::Object(object) => for (name, value) in &object {
                        let found: Option<Value> = member(&text, name).and_then(|value| serde_json::from_str(value).ok());
                        prop_assert_eq!(found.as_ref(), Some(value));
                    },
                    Value::Array(array) => {
                        let found: Vec<Value> = elements(&text).unwrap().map(|v| serde_json::from_str(v).unwrap()).collect();
                        prop_assert_eq!(found, array);
                    }
                    _ => {}
                }
            }
        }
    }
}

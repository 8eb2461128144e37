//! A mapping's text as a tree in which everything knows its place.
//!
//! Read with the lenient reader of device-mapping.md 1.3 (comments, trailing
//! commas and single quotes accepted; a byte order mark skipped), since the
//! mappings in the field were accepted by one.

use crate::finding::{Finding, Place};

/// A value with its place: of its opening brace or bracket, or of the last
/// character of a scalar.
#[derive(Clone, Debug, PartialEq)]
pub struct Text {
    /// Where it stands.
    pub place: Place,
    /// What it is.
    pub value: TextValue,
}

/// See [`Text`].
#[derive(Clone, Debug, PartialEq)]
pub enum TextValue {
    /// `null` or `undefined`.
    Null,
    /// A boolean.
    Bool(bool),
    /// A number without `.` or exponent, in decimal digits.
    Integer(String),
    /// Any other number, as written.
    Float(String),
    /// Text that is not a date.
    String(String),
    /// Text in one of the two date shapes (device-mapping.md 1.3).
    Date(String),
    /// Elements.
    Array(Vec<Text>),
    /// Members in order; a name given twice is here twice.
    Object(Vec<TextMember>),
}

/// A member of an object.
#[derive(Clone, Debug, PartialEq)]
pub struct TextMember {
    /// Its name as written, escapes resolved.
    pub name: String,
    /// The place of the colon after the name.
    pub place: Place,
    /// Its value.
    pub value: Text,
}

impl Text {
    /// Reads one value. The finding says where the text stops being JSON even
    /// to the lenient reader. `None` when there is nothing but blanks and
    /// comments.
    pub fn read(text: &[u8]) -> Result<Option<Text>, Finding> {
        let _ = text;
        todo!()
    }

    /// The member called `name`, letter case ignored: the last one written in
    /// just that case, else the last one at all (device-mapping.md 2.1).
    pub fn member(&self, name: &str) -> Option<&TextMember> {
        let TextValue::Object(members) = &self.value else { return None };
        let mut candidates = members.iter().rev().filter(|member| member.name.eq_ignore_ascii_case(name));
        let last = candidates.clone().next();
        candidates.find(|member| member.name == name).or(last)
    }
}

//! A mapping's text as a tree in which everything knows its place.
//!
//! Read with the lenient reader of device-mapping.md 1.3 (comments, trailing
//! commas and single quotes accepted; a byte order mark skipped), since the
//! mappings in the field were accepted by one.

use expressions::lenient::{Token, Tokenizer, decode};
use expressions::time::DateTime;

use crate::finding::{Finding, Place};

/// How deep a mapping may nest, as in the reference connector.
const DEPTH_MAX: usize = 64;

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
        let text = decode(text);
        let mut reader = Reader {
            tokens: Tokenizer::new(&text, DEPTH_MAX),
            text: &text,
            at: 0,
            place: Place { line: 1, column: 0 },
        };
        let Some(token) = reader.next()? else { return Ok(None) };
        let value = reader.value(token)?;
        // Unlike an event, a mapping ends with its value (device-mapping.md
        // 2.2: the reference connector refuses the file).
        match reader.tokens.finish() {
            Ok(()) => Ok(Some(value)),
            Err(error) => Err(reader.finding(error.reason, error.offset)),
        }
    }

    /// The member called `name`, letter case ignored: the last one written in
    /// just that case, else the last one at all (device-mapping.md 2.1).
    pub fn member(&self, name: &str) -> Option<&TextMember> {
        let mut candidates = self.members().iter().rev().filter(|member| member.name.eq_ignore_ascii_case(name));
        let last = candidates.clone().next();
        candidates.find(|member| member.name == name).or(last)
    }

    /// The members in order; none of what is not an object.
    pub fn members(&self) -> &[TextMember] {
        match &self.value {
            TextValue::Object(members) => members,
            _ => &[],
        }
    }

    /// Whether it is an object.
    pub fn is_object(&self) -> bool {
        matches!(self.value, TextValue::Object(_))
    }

    /// How deep it nests: 0 for a scalar, 1 for an object of scalars.
    pub fn depth(&self) -> usize {
        let deepest = |values: &mut dyn Iterator<Item = &Text>| values.map(Text::depth).max().unwrap_or(0) + 1;
        match &self.value {
            TextValue::Array(elements) => deepest(&mut elements.iter()),
            TextValue::Object(members) => deepest(&mut members.iter().map(|member| &member.value)),
            _ => 0,
        }
    }

    /// The JSON pointer (RFC 6901) of what a finding points at, below this value:
    /// a value, or the name of one.
    pub fn pointer(&self, place: Place) -> Option<String> {
        if self.place == place {
            return Some(String::new());
        }
        // In the order of the text, so it is the last that begins before.
        let last = |count: usize| count.checked_sub(1);
        let (token, value) = match &self.value {
            TextValue::Array(elements) => {
                let index = last(elements.partition_point(|element| element.place <= place))?;
                (index.to_string(), &elements[index])
            }
            TextValue::Object(members) => {
                let member = &members[last(members.partition_point(|member| member.place <= place))?];
                let token = member.name.replace('~', "~0").replace('/', "~1");
                if member.place == place {
                    return Some(format!("/{token}"));
                }
                (token, &member.value)
            }
            _ => return None,
        };
        value.pointer(place).map(|rest| format!("/{token}{rest}"))
    }
}

struct Reader<'t> {
    tokens: Tokenizer<'t>,
    text: &'t str,
    /// What `place` has come to, in bytes.
    at: usize,
    /// The place of the last character before `at`.
    place: Place,
}

impl<'t> Reader<'t> {
    /// The next token; `place` is then that of its last character.
    fn next(&mut self) -> Result<Option<Token<'t>>, Finding> {
        match self.tokens.next_token() {
            Ok(token) => {
                self.advance(self.tokens.offset());
                Ok(token)
            }
            Err(error) => Err(self.finding(error.reason, error.offset)),
        }
    }

    /// The token that is there for certain, since the value is not complete.
    fn next_inside(&mut self) -> Result<Token<'t>, Finding> {
        match self.next()? {
            Some(token) => Ok(token),
            None => Err(self.finding("the text ends inside a value", self.text.len())),
        }
    }

    /// Goes as deep as the tokenizer lets it.
    fn value(&mut self, token: Token<'t>) -> Result<Text, Finding> {
        let place = self.place;
        let value = match token {
            Token::Null | Token::Undefined => TextValue::Null,
            Token::Bool(value) => TextValue::Bool(value),
            Token::Integer(digits) => TextValue::Integer(digits.into_owned()),
            Token::BigInteger(digits) => TextValue::Integer(digits.into_owned()),
            Token::Float(text) => TextValue::Float(text.into_owned()),
            Token::String(text) if DateTime::parse_token(&text).is_some() => TextValue::Date(text.into_owned()),
            Token::String(text) => TextValue::String(text.into_owned()),
            Token::ArrayStart => TextValue::Array(self.elements()?),
            Token::ObjectStart => TextValue::Object(self.members()?),
            Token::Constructor(_) | Token::Name(_) | Token::ObjectEnd | Token::ArrayEnd => {
                return Err(Finding::error("this is not a value", Some(place)));
            }
        };
        Ok(Text { place, value })
    }

    fn elements(&mut self) -> Result<Vec<Text>, Finding> {
        let mut elements = Vec::new();
        loop {
            match self.next_inside()? {
                Token::ArrayEnd => return Ok(elements),
                token => elements.push(self.value(token)?),
            }
        }
    }

    fn members(&mut self) -> Result<Vec<TextMember>, Finding> {
        let mut members = Vec::new();
        while let Token::Name(name) = self.next_inside()? {
            let place = self.place;
            let token = self.next_inside()?;
            members.push(TextMember { name: name.into_owned(), place, value: self.value(token)? });
        }
        Ok(members)
    }

    /// Takes `place` to the last character before `offset`. Columns count
    /// UTF-16 units; a line ends with CR, LF or both, in strings too.
    fn advance(&mut self, offset: usize) {
        let mut was_return = self.at > 0 && self.text.as_bytes()[self.at - 1] == b'\r';
        for c in self.text[self.at..offset].chars() {
            match c {
                '\n' if was_return => {}
                '\n' | '\r' => self.place = Place { line: self.place.line + 1, column: 0 },
                c => self.place.column += c.len_utf16() as u32,
            }
            was_return = c == '\r';
        }
        self.at = offset;
    }

    /// An error at the character that stands at `offset`.
    fn finding(&mut self, reason: &str, offset: usize) -> Finding {
        let wrong = self.text[offset..].chars().next().map_or(0, char::len_utf8);
        self.advance(offset + wrong);
        Finding::error(reason, Some(self.place))
    }
}

#[cfg(test)]
mod tests;

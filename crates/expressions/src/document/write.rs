//! Writes part of a document as JSON text, as Newtonsoft.Json does it without
//! formatting (what `to_string` of JMESPath gives, device-mapping.md 7).

use super::{Document, Kind, NodeId};
use crate::names::Symbol;
use crate::number::write_double;

impl Document<'_> {
    /// Appends `node` and all below it as compact JSON. Floats keep `.0`, dates
    /// are written in their canonical ISO form; what JSON has no word for as
    /// `"NaN"`, `"Infinity"`, `undefined` and the like, as Newtonsoft does.
    pub fn write_json(self, node: NodeId, out: &mut String) {
        match self.kind(node) {
            Kind::Null => out.push_str("null"),
            Kind::Undefined => out.push_str("undefined"),
            Kind::False => out.push_str("false"),
            Kind::True => out.push_str("true"),
            Kind::Integer | Kind::BigInteger => out.push_str(self.raw(node)),
            Kind::Float => write_json_double(self.float(node).unwrap_or(f64::NAN), out),
            Kind::String => write_json_string(&self.text(node), out),
            Kind::Date => self.write_json_date(node, out),
            Kind::Opaque if self.raw(node).is_empty() => out.push_str("null"),
            Kind::Opaque => out.push_str(self.raw(node)),
            Kind::Object => self.write_json_children(node, '{', '}', out),
            Kind::Array => self.write_json_children(node, '[', ']', out),
        }
    }

    fn write_json_date(self, node: NodeId, out: &mut String) {
        out.push('"');
        if let Some(date) = self.date(node) {
            date.write_iso(out);
        }
        out.push('"');
    }

    /// As deep as the document, which its reader has bounded.
    fn write_json_children(self, node: NodeId, open: char, close: char, out: &mut String) {
        out.push(open);
        for (at, (name, child)) in self.children(node).enumerate() {
            if at > 0 {
                out.push(',');
            }
            if name != Symbol::NONE {
                write_json_string(self.name(name), out);
                out.push(':');
            }
            self.below(child).write_json(child, out);
        }
        out.push(close);
    }
}

/// Appends a double as Newtonsoft writes it in JSON: never without `.` or
/// exponent; what is not finite in quotes.
pub fn write_json_double(value: f64, out: &mut String) {
    if !value.is_finite() {
        out.push('"');
        write_double(value, out);
        out.push('"');
        return;
    }
    let start = out.len();
    write_double(value, out);
    if !out[start..].contains(['.', 'E']) {
        out.push_str(".0");
    }
}

/// Appends `text` in quotes, escaped as Newtonsoft does it.
pub fn write_json_string(text: &str, out: &mut String) {
    out.push('"');
    text.chars().for_each(|c| out.push_str(json_escape(c, &mut [0; 6])));
    out.push('"');
}

/// A character as it stands in a JSON string: escaped if it is a quote, a
/// backslash, a control character or one of the three line ends beyond ASCII
/// that Newtonsoft escapes, and else itself. Written into `buffer`.
pub fn json_escape(c: char, buffer: &mut [u8; 6]) -> &str {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    match c {
        '"' => "\\\"",
        '\\' => "\\\\",
        '\u{8}' => "\\b",
        '\t' => "\\t",
        '\n' => "\\n",
        '\u{c}' => "\\f",
        '\r' => "\\r",
        '\u{2028}' => "\\u2028",
        '\u{2029}' => "\\u2029",
        '\0'..='\u{1f}' | '\u{85}' => {
            let code = c as usize;
            *buffer = [b'\\', b'u', b'0', b'0', HEX[code >> 4 & 15], HEX[code & 15]];
            std::str::from_utf8(buffer).unwrap_or_default()
        }
        other => other.encode_utf8(buffer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ReadOptions, Scratch};

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let mut scratch = Scratch::default();
        let document = scratch.read_value(text.as_bytes(), ReadOptions::default()).unwrap();
        let mut actual = String::new();
        document.write_json(Document::ROOT, &mut actual);
        assert_eq!(actual, expected, "{text}");
    }

    #[test]
    fn writes_compact_json() {
        check(r#" { "a" : [ 1 , 2.0 , "x" , null ] , "b" : { } } "#, r#"{"a":[1,2.0,"x",null],"b":{}}"#);
        check("[1e3, 72.40, 1e17, 0.00001, -0.0]", "[1000.0,72.4,1E+17,1E-05,-0.0]");
        check(r#""2019-02-01T22:46:01+01:00""#, r#""2019-02-01T21:46:01+00:00""#);
        check("\"\\u0001\\/'\\\"\\n\u{e9}\u{2028}\"", "\"\\u0001/'\\\"\\n\u{e9}\\u2028\"");
        check("[NaN, undefined, 123456789012345678901]", "[\"NaN\",undefined,123456789012345678901]");
    }
}

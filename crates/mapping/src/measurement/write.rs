//! The JSON of a measurement, to the byte as the reference connector's default
//! form has it (device-mapping.md 8.1), but for times, which always end in `Z`.

use super::{Measurement, MeasurementRef};

impl MeasurementRef<'_> {
    /// Appends the measurement as one compact JSON object: all members, always
    /// in this order, absent ones null.
    pub fn write_json(&self, out: &mut String) {
        out.push_str("{\"Type\":");
        push_text(self.r#type, out);
        out.push_str(",\"OccurrenceTimeUtc\":\"");
        self.occurrence_time.write_iso(out);
        out.push_str("\",\"IngestionTimeUtc\":");
        match self.ingestion_time {
            Some(time) => {
                out.push('"');
                time.write_iso(out);
                out.push('"');
            }
            None => out.push_str("null"),
        }
        out.push_str(",\"DeviceId\":");
        push_text(self.device_id, out);
        out.push_str(",\"PatientId\":");
        push_optional(self.patient_id, out);
        out.push_str(",\"EncounterId\":");
        push_optional(self.encounter_id, out);
        out.push_str(",\"CorrelationId\":");
        push_optional(self.correlation_id, out);
        out.push_str(",\"Properties\":[");
        for (at, (name, value)) in self.properties.iter().enumerate() {
            out.push_str(if at == 0 { "{\"Name\":" } else { ",{\"Name\":" });
            push_text(name, out);
            out.push_str(",\"Value\":");
            push_optional(value, out);
            out.push('}');
        }
        out.push_str("]}");
    }
}

impl Measurement<'_> {
    /// See [`MeasurementRef::write_json`].
    pub fn write_json(&self, out: &mut String) {
        self.as_ref().write_json(out);
    }
}

fn push_optional(text: Option<&str>, out: &mut String) {
    match text {
        Some(text) => push_text(text, out),
        None => out.push_str("null"),
    }
}

/// Appends a JSON string. Escaped are only the quote, the backslash, control
/// characters and the three line ends beyond ASCII that the reference
/// connector's writer escapes.
fn push_text(text: &str, out: &mut String) {
    out.push('"');
    let mut rest = text;
    while let Some(at) = rest.bytes().position(may_need_escape) {
        out.push_str(&rest[..at]);
        let Some(c) = rest[at..].chars().next() else { break };
        push_char(c, out);
        rest = &rest[at + c.len_utf8()..];
    }
    out.push_str(rest);
    out.push('"');
}

/// Whether a character that is escaped begins with this byte. U+0085 begins
/// with 0xC2, U+2028 and U+2029 with 0xE2.
fn may_need_escape(byte: u8) -> bool {
    byte < 0x20 || matches!(byte, b'"' | b'\\' | 0xc2 | 0xe2)
}

fn push_char(c: char, out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    match c {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\u{8}' => out.push_str("\\b"),
        '\t' => out.push_str("\\t"),
        '\n' => out.push_str("\\n"),
        '\u{c}' => out.push_str("\\f"),
        '\r' => out.push_str("\\r"),
        '\u{2028}' => out.push_str("\\u2028"),
        '\u{2029}' => out.push_str("\\u2029"),
        '\u{0}'..='\u{1f}' | '\u{85}' => {
            out.push_str("\\u00");
            let code = c as usize;
            out.push(char::from(HEX[code >> 4 & 15]));
            out.push(char::from(HEX[code & 15]));
        }
        other => out.push(other),
    }
}

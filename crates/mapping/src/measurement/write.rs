//! The JSON of a measurement, to the byte as the reference connector's default
//! form has it (device-mapping.md 8.1), but for times, which always end in `Z`.

use expressions::document::{json_escape, write_json_string};

use super::{Measurement, MeasurementRef, PropertiesRef, Source};

impl MeasurementRef<'_> {
    /// Appends the measurement as one compact JSON object in UTF-8: all
    /// members, always in this order, absent ones null.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"Type\":");
        match self.type_json {
            Some(json) => out.extend_from_slice(json.as_bytes()),
            None => push_text(self.r#type, out),
        }
        out.extend_from_slice(b",\"OccurrenceTimeUtc\":\"");
        out.extend_from_slice(self.occurrence_time.iso().as_bytes());
        match self.ingestion_time {
            Some(time) => {
                out.extend_from_slice(b"\",\"IngestionTimeUtc\":\"");
                out.extend_from_slice(time.iso().as_bytes());
                out.extend_from_slice(b"\",\"DeviceId\":");
            }
            None => out.extend_from_slice(b"\",\"IngestionTimeUtc\":null,\"DeviceId\":"),
        }
        push_text(self.device_id, out);
        out.extend_from_slice(b",\"PatientId\":");
        push_optional(self.patient_id, out);
        out.extend_from_slice(b",\"EncounterId\":");
        push_optional(self.encounter_id, out);
        out.extend_from_slice(b",\"CorrelationId\":");
        push_optional(self.correlation_id, out);
        out.extend_from_slice(b",\"Properties\":[");
        self.properties.write_json(out);
        out.extend_from_slice(b"]}");
    }
}

impl PropertiesRef<'_> {
    fn write_json(self, out: &mut Vec<u8>) {
        match self.0 {
            Source::Owned(properties) => {
                for (at, property) in properties.iter().enumerate() {
                    push_property(at, |out| push_text(&property.name, out), property.value.as_deref(), out);
                }
            }
            Source::Spans { values, spans, text } => {
                for (at, span) in spans.iter().enumerate() {
                    let name = values[span.value].name_json.as_bytes();
                    push_property(at, |out| out.extend_from_slice(name), Some(&text[span.start..span.end]), out);
                }
            }
        }
    }
}

#[inline]
fn push_property(at: usize, push_name: impl FnOnce(&mut Vec<u8>), value: Option<&str>, out: &mut Vec<u8>) {
    out.extend_from_slice(if at == 0 { b"{\"Name\":" } else { b",{\"Name\":" });
    push_name(out);
    out.extend_from_slice(b",\"Value\":");
    push_optional(value, out);
    out.push(b'}');
}

/// A text as JSON has it in a measurement, with its quotes.
pub(crate) fn json_text(text: &str) -> String {
    let mut json = String::with_capacity(text.len() + 2);
    write_json_string(text, &mut json);
    json
}

impl Measurement<'_> {
    /// See [`MeasurementRef::write_json`].
    pub fn write_json(&self, out: &mut Vec<u8>) {
        self.as_ref().write_json(out);
    }
}

#[inline]
fn push_optional(text: Option<&str>, out: &mut Vec<u8>) {
    match text {
        Some(text) => push_text(text, out),
        None => out.extend_from_slice(b"null"),
    }
}

/// Appends a JSON string. Escaped are only the quote, the backslash, control
/// characters and the three line ends beyond ASCII that the reference
/// connector's writer escapes.
fn push_text(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    // Nearly no text of a measurement has a byte that needs a look.
    match is_plain(text.as_bytes()) {
        true => out.extend_from_slice(text.as_bytes()),
        false => push_escaped(text, out),
    }
    out.push(b'"');
}

/// Whether text is all ASCII without control characters, quotes and
/// backslashes. Errs on the side of "no".
#[inline]
fn is_plain(text: &[u8]) -> bool {
    let (chunks, rest) = text.as_chunks::<8>();
    let Some(last) = text.last_chunk::<8>() else { return !rest.iter().any(|byte| may_need_escape(*byte)) };
    // The last eight bytes overlap with the chunk before.
    chunks.iter().chain([last]).all(|chunk| is_plain_chunk(u64::from_le_bytes(*chunk)))
}

#[inline]
fn is_plain_chunk(word: u64) -> bool {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    let is_byte = |byte: u8| {
        let zero = word ^ (ONES * u64::from(byte));
        zero.wrapping_sub(ONES) & !zero
    };
    let control = word.wrapping_sub(ONES * 0x20);
    (word | control | is_byte(b'"') | is_byte(b'\\')) & (ONES << 7) == 0
}

fn push_escaped(text: &str, out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(at) = rest.bytes().position(may_need_escape) {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        let Some(c) = rest[at..].chars().next() else { break };
        out.extend_from_slice(json_escape(c, &mut [0; 6]).as_bytes());
        rest = &rest[at + c.len_utf8()..];
    }
    out.extend_from_slice(rest.as_bytes());
}

/// Whether a character that is escaped begins with this byte. U+0085 begins
/// with 0xC2, U+2028 and U+2029 with 0xE2.
fn may_need_escape(byte: u8) -> bool {
    byte < 0x20 || matches!(byte, b'"' | b'\\' | 0xc2 | 0xe2)
}

//! The fast way to read an invocation: one pass over the request.
//!
//! It takes what the host really sends for `cardinality` many and `dataType`
//! binary, compact JSON whose arrays are text within strings
//! (functions-eventhubs-keda.md 1.9, 1.10), and gives up on anything else:
//! blanks, other escapes, properties that are nested, members twice, lengths
//! that differ. The general way then reads the request anew and says what is
//! wrong with it. Where this one gives an invocation, the general one gives the
//! same (`tests::agreement`).

use memchr::{memchr, memchr2};
use serde_json::value::RawValue;

use super::{Invocation, SYSTEM_TIME, annotation, is_left_out, needs_zone, source_of, utc};

/// Reads `request` into an empty invocation. None when the request has another
/// form; the invocation may then hold a part of it.
pub(super) fn read(request: &[u8], invocation: &mut Invocation) -> Option<()> {
    let text = std::str::from_utf8(request).ok()?;
    // No string may hold one. `fold` looks at many bytes at a time, `any` at one.
    if request.iter().fold(u8::MAX, |least, byte| least.min(*byte)) < b' ' {
        return None;
    }
    let mut reader = Reader { text, bytes: request, at: 0 };
    reader.take(b"{\"Data\":{")?;
    reader.name()?;
    reader.bodies(invocation)?;
    reader.take(b"},\"Metadata\":{")?;
    let mut seen = Seen::default();
    loop {
        let name = reader.name()?;
        reader.metadata(name, invocation, &mut seen)?;
        match reader.next()? {
            b',' => {}
            b'}' => break,
            _ => return None,
        }
    }
    reader.take(b"}")?;
    if reader.at != request.len() || seen.arrays != ALL_ARRAYS {
        return None;
    }
    invocation.source = source_of(seen.trigger.or(seen.partition)?).ok()?;
    Some(())
}

/// What of the metadata was met.
#[derive(Default)]
struct Seen<'r> {
    /// A bit for each array that is needed.
    arrays: u8,
    trigger: Option<&'r RawValue>,
    partition: Option<&'r RawValue>,
}

const ALL_ARRAYS: u8 = 0b1111;

impl Seen<'_> {
    /// None the second time.
    fn array(&mut self, bit: u8) -> Option<()> {
        let is_new = self.arrays & bit == 0;
        self.arrays |= bit;
        is_new.then_some(())
    }
}

struct Reader<'r> {
    text: &'r str,
    bytes: &'r [u8],
    at: usize,
}

impl<'r> Reader<'r> {
    /// Consumes `expected`.
    #[inline]
    fn take(&mut self, expected: &[u8]) -> Option<()> {
        if !self.bytes.get(self.at..)?.starts_with(expected) {
            return None;
        }
        self.at += expected.len();
        Some(())
    }

    /// Consumes a byte.
    #[inline]
    fn next(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    /// A member's name and its colon.
    fn name(&mut self) -> Option<&'r str> {
        self.take(b"\"")?;
        let start = self.at;
        self.at += memchr2(b'"', b'\\', &self.bytes[start..])?;
        let name = self.text.get(start..self.at)?;
        self.take(b"\":")?;
        Some(name)
    }

    /// `"[\"<base64>\",…]"`: a slot for each.
    fn bodies(&mut self, invocation: &mut Invocation) -> Option<()> {
        self.take(b"\"[")?;
        // Three bytes for four characters of what is about two thirds of the request.
        invocation.bodies.reserve(self.bytes.len() / 2);
        loop {
            self.take(b"\\\"")?;
            let length = memchr(b'\\', self.bytes.get(self.at..)?)?;
            let base64 = &self.bytes[self.at..self.at + length];
            self.at += length;
            self.take(b"\\\"")?;
            let start = invocation.bodies.len();
            base64_simd::STANDARD.decode_append(base64, &mut invocation.bodies).ok()?;
            invocation.events.push(super::Slot { body: start..invocation.bodies.len(), ..super::Slot::default() });
            match self.next()? {
                b',' => {}
                b']' => return self.take(b"\""),
                _ => return None,
            }
        }
    }

    /// The value of a member of the metadata.
    fn metadata(&mut self, name: &str, invocation: &mut Invocation, seen: &mut Seen<'r>) -> Option<()> {
        let Invocation { text, events, .. } = invocation;
        match name {
            "SequenceNumberArray" => {
                seen.array(1)?;
                self.array(events, |reader, slot| {
                    slot.sequence_number = reader.integer()?;
                    Some(())
                })
            }
            "EnqueuedTimeUtcArray" => {
                seen.array(2)?;
                self.array(events, |reader, slot| {
                    slot.enqueued_time = utc(reader.plain_string()?).ok()?;
                    Some(())
                })
            }
            "PropertiesArray" => {
                seen.array(4)?;
                self.array(events, |reader, slot| {
                    let start = text.len();
                    reader.object(text, false)?;
                    slot.properties = start..text.len();
                    Some(())
                })
            }
            "SystemPropertiesArray" => {
                seen.array(8)?;
                self.array(events, |reader, slot| {
                    let start = text.len();
                    reader.object(text, true)?;
                    slot.system_properties = start..text.len();
                    Some(())
                })
            }
            // The general way knows what one event without arrays looks like.
            "SequenceNumber" => None,
            "TriggerPartitionContext" => seen.trigger.replace(self.raw()?).is_none().then_some(()),
            "PartitionContext" => seen.partition.replace(self.raw()?).is_none().then_some(()),
            _ if self.bytes.get(self.at) == Some(&b'"') => self.skip_string(),
            _ => self.raw().map(|_| ()),
        }
    }

    /// `"[…]"` with exactly one element for each slot.
    #[inline]
    fn array(
        &mut self,
        slots: &mut [super::Slot],
        mut element: impl FnMut(&mut Self, &mut super::Slot) -> Option<()>,
    ) -> Option<()> {
        self.take(b"\"[")?;
        for (index, slot) in slots.iter_mut().enumerate() {
            if index > 0 {
                self.take(b",")?;
            }
            element(self, slot)?;
        }
        self.take(b"]\"")
    }

    /// An integer of at most 18 digits.
    fn integer(&mut self) -> Option<i64> {
        let is_negative = self.bytes.get(self.at) == Some(&b'-');
        let start = self.at + usize::from(is_negative);
        self.at = start;
        let mut number = 0;
        while let Some(digit @ b'0'..=b'9') = self.bytes.get(self.at) {
            if self.at - start == 18 {
                return None;
            }
            number = number * 10 + i64::from(digit - b'0');
            self.at += 1;
        }
        let digits = self.at - start;
        // Nor a zero that leads or has a sign.
        if digits == 0 || (self.bytes[start] == b'0' && (digits > 1 || is_negative)) {
            return None;
        }
        Some(if is_negative { -number } else { number })
    }

    /// `\"…\"` without an escape in it.
    fn plain_string(&mut self) -> Option<&'r str> {
        self.take(b"\\\"")?;
        let start = self.at;
        self.at += memchr2(b'"', b'\\', self.bytes.get(start..)?)?;
        let text = self.text.get(start..self.at)?;
        self.take(b"\\\"")?;
        Some(text)
    }

    /// An object of scalars, appended without its outer escapes. System
    /// properties get the annotations' own names, as with
    /// `push_system_properties`.
    fn object(&mut self, out: &mut String, is_system: bool) -> Option<()> {
        self.take(b"{")?;
        out.push('{');
        if self.bytes.get(self.at) == Some(&b'}') {
            self.at += 1;
            out.push('}');
            return Some(());
        }
        let first = out.len();
        loop {
            let member = out.len();
            if member > first {
                out.push(',');
            }
            let name = self.plain_string()?;
            self.take(b":")?;
            out.push('"');
            out.push_str(if is_system { annotation(name) } else { name });
            out.push_str("\":");
            let value = out.len();
            self.scalar(out)?;
            if is_system {
                if is_left_out(name, &out[value..]) {
                    out.truncate(member);
                } else if name == SYSTEM_TIME && needs_zone(&out[value..]) {
                    out.truncate(out.len() - 1);
                    out.push_str("Z\"");
                }
            }
            match self.next()? {
                b',' => {}
                b'}' => break,
                _ => return None,
            }
        }
        out.push('}');
        Some(())
    }

    fn scalar(&mut self, out: &mut String) -> Option<()> {
        match self.bytes.get(self.at)? {
            b'\\' => self.string(out),
            b'-' | b'0'..=b'9' => {
                let start = self.at;
                self.integer()?;
                if self.bytes.get(self.at) == Some(&b'.') {
                    self.at += 1;
                    let digits = self.bytes[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
                    if digits == 0 {
                        return None;
                    }
                    self.at += digits;
                }
                out.push_str(self.text.get(start..self.at)?);
                Some(())
            }
            _ => {
                let literal =
                    ["null", "true", "false"].into_iter().find(|literal| self.take(literal.as_bytes()).is_some())?;
                out.push_str(literal);
                Some(())
            }
        }
    }

    /// `\"…\"`, appended as the string that it is one encoding further in.
    fn string(&mut self, out: &mut String) -> Option<()> {
        self.take(b"\\\"")?;
        out.push('"');
        loop {
            let start = self.at;
            self.at += memchr2(b'"', b'\\', self.bytes.get(start..)?)?;
            out.push_str(self.text.get(start..self.at)?);
            match self.bytes.get(self.at..self.at + 2)? {
                b"\\\"" => {
                    self.at += 2;
                    out.push('"');
                    return Some(());
                }
                // An escape of the string itself, whose second character may be escaped again.
                b"\\\\" => {
                    let escaped = match self.bytes.get(self.at + 2..self.at + 4)? {
                        [b'\\', escaped @ (b'"' | b'\\')] => {
                            self.at += 4;
                            *escaped
                        }
                        [escaped @ (b'/' | b'b' | b'f' | b'n' | b'r' | b't'), _] => {
                            self.at += 3;
                            *escaped
                        }
                        _ => return None,
                    };
                    out.push('\\');
                    out.push(char::from(escaped));
                }
                _ => return None,
            }
        }
    }

    /// Moves past a string that nobody needs.
    fn skip_string(&mut self) -> Option<()> {
        self.at += 1;
        loop {
            self.at += memchr2(b'"', b'\\', self.bytes.get(self.at..)?)?;
            match self.bytes[self.at..] {
                [b'"', ..] => {
                    self.at += 1;
                    return Some(());
                }
                [b'\\', b'"' | b'\\', ..] => self.at += 2,
                _ => return None,
            }
        }
    }

    /// An object, unread: one of the few that do not grow with the events.
    fn raw(&mut self) -> Option<&'r RawValue> {
        let rest = self.text.get(self.at..)?;
        if !rest.starts_with('{') {
            return None;
        }
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<&RawValue>();
        let value = values.next()?.ok()?;
        self.at += values.byte_offset();
        Some(value)
    }
}

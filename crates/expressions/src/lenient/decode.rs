//! Bytes to text as a .NET `StreamReader` does it (device-mapping.md 1.2).

use std::borrow::Cow;

/// Decodes bytes: UTF-8, or UTF-16 or UTF-32 when they begin with the byte
/// order mark of one, in either order. The mark is dropped; what is wrong
/// becomes U+FFFD.
pub fn decode(bytes: &[u8]) -> Cow<'_, str> {
    match bytes {
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8_lossy(rest),
        [0xff, 0xfe, 0, 0, rest @ ..] => decode_utf32(rest, u32::from_le_bytes).into(),
        [0, 0, 0xfe, 0xff, rest @ ..] => decode_utf32(rest, u32::from_be_bytes).into(),
        [0xff, 0xfe, rest @ ..] => decode_utf16(rest, u16::from_le_bytes).into(),
        [0xfe, 0xff, rest @ ..] => decode_utf16(rest, u16::from_be_bytes).into(),
        _ => String::from_utf8_lossy(bytes),
    }
}

fn decode_utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> String {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let mut text: String = char::decode_utf16(pairs.iter().map(|pair| unit(*pair)))
        .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect();
    push_cut_off(&mut text, rest);
    text
}

fn decode_utf32(bytes: &[u8], unit: fn([u8; 4]) -> u32) -> String {
    let (quads, rest) = bytes.as_chunks::<4>();
    let mut text: String =
        quads.iter().map(|quad| char::from_u32(unit(*quad)).unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
    push_cut_off(&mut text, rest);
    text
}

/// Marks a last character of which only some bytes are there.
fn push_cut_off(text: &mut String, rest: &[u8]) {
    if !rest.is_empty() {
        text.push(char::REPLACEMENT_CHARACTER);
    }
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn honours_byte_order_marks() {
        for (bytes, text) in [
            (&b"\xef\xbb\xbf{}"[..], "{}"),
            (b"\xff\xfe{\0}\0", "{}"),
            (b"\xfe\xff\0{\0}", "{}"),
            (b"\xff\xfe\0\0{\0\0\0", "{"),
            (b"\0\0\xfe\xff\0\0\0{", "{"),
            (b"\xff\xfe=\xd8\x0a\xde", "\u{1f60a}"),
            (b"\xff\xfe=\xd8{\0x", "\u{fffd}{\u{fffd}"),
            (b"a\xffb\xe2\x82", "a\u{fffd}b\u{fffd}"),
            (b"", ""),
        ] {
            assert_eq!(decode(bytes), text, "{bytes:?}");
        }
    }
}

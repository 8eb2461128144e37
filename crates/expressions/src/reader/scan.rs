//! Finds where the parts of plain JSON end.
//!
//! Each function takes the text and a place in it and gives a place further
//! on, or none where the text is not plain JSON or ends too early.

/// The first byte from `at` on that is not blank.
#[inline]
pub(super) fn past_blanks(bytes: &[u8], at: usize) -> Option<usize> {
    match *bytes.get(at)? {
        b'!'.. => Some(at),
        _ => past_more_blanks(bytes, at),
    }
}

/// Devices send compact JSON, mostly.
#[cold]
fn past_more_blanks(bytes: &[u8], at: usize) -> Option<usize> {
    let blanks = bytes[at..].iter().position(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r'))?;
    Some(at + blanks)
}

/// The closing quote of the string that goes on at `at`, and whether there are
/// escapes before it.
#[inline]
pub(super) fn string_end(bytes: &[u8], at: usize) -> Option<(usize, bool)> {
    let mut at = at;
    let mut escaped = false;
    loop {
        let rest = bytes.get(at..)?;
        at += match rest.first_chunk::<CHUNK>() {
            Some(chunk) => first_mark(chunk),
            None => rest.iter().position(|byte| matches!(byte, b'"' | b'\\'))?,
        };
        match *bytes.get(at)? {
            b'"' => return Some((at, escaped)),
            b'\\' => {
                escaped = true;
                at = past_escape(bytes, at)?;
            }
            // None in this chunk.
            _ => {}
        }
    }
}

/// How many bytes are looked at together.
const CHUNK: usize = 16;

/// Where in `chunk` the first quote or backslash is; its length when there is
/// none. Written so that the compiler compares all bytes at once.
#[inline]
fn first_mark(chunk: &[u8; CHUNK]) -> usize {
    let mut marks = [0; CHUNK];
    for (mark, byte) in marks.iter_mut().zip(chunk) {
        *mark = if (*byte == b'"') | (*byte == b'\\') { u8::MAX } else { 0 };
    }
    u128::from_le_bytes(marks).trailing_zeros() as usize / 8
}

/// The place after the escape whose backslash is at `at`.
fn past_escape(bytes: &[u8], at: usize) -> Option<usize> {
    match bytes.get(at + 1)? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(at + 2),
        b'u' => {
            let hex = bytes.get(at + 2..at + 6)?;
            hex.iter().all(u8::is_ascii_hexdigit).then_some(at + 6)
        }
        _ => None,
    }
}

/// The end of the number at `start`, and whether it has a fraction or an
/// exponent.
#[inline]
pub(super) fn number_end(bytes: &[u8], start: usize) -> Option<(usize, bool)> {
    let first = start + usize::from(bytes[start] == b'-');
    let mut at = past_digits(bytes, first);
    // No number begins with a superfluous zero.
    if at == first || at > first + 1 && bytes[first] == b'0' {
        return None;
    }
    let whole = at;
    if bytes.get(at) == Some(&b'.') {
        at = past_digits(bytes, at + 1);
        if at == whole + 1 {
            return None;
        }
    }
    if let Some(b'e' | b'E') = bytes.get(at) {
        let sign = usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
        let exponent = at + 1 + sign;
        at = past_digits(bytes, exponent);
        if at == exponent {
            return None;
        }
    }
    Some((at, at != whole))
}

#[inline]
fn past_digits(bytes: &[u8], at: usize) -> usize {
    let mut at = at;
    while let Some(b'0'..=b'9') = bytes.get(at) {
        at += 1;
    }
    at
}

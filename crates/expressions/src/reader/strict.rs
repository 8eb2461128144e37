//! The fast pass over plain JSON.
//!
//! One loop over the bytes, no look back and no allocation but the growth of
//! the scratch. Anything that RFC 8259 does not have makes it give up, and the
//! lenient reader starts anew. One thing is let through: control characters in
//! strings, which the reference connector accepts and which cost a test for
//! every byte to reject.

use super::builder::NONE;
use super::{ReadOptions, is_date};
use crate::document::{ESCAPED, Kind, Scratch, unescape};
use crate::lenient::INTEGER_LENGTH_MAX;
use crate::names::Symbol;

/// Appends the first value in `text` as a node called `symbol`. Positions in
/// the nodes are those in `text` plus `base`, with `flags` saying where that
/// is. None when the text is not plain JSON: what was appended so far is then
/// the caller's to remove. What stands after the value is ignored.
pub(crate) fn read(
    scratch: &mut Scratch,
    text: &str,
    base: usize,
    flags: u32,
    symbol: Symbol,
    options: ReadOptions,
) -> Option<()> {
    Strict { scratch, text, bytes: text.as_bytes(), at: 0, base: base as u32, flags, options, previous: symbol }
        .value(symbol)
}

struct Strict<'a> {
    scratch: &'a mut Scratch,
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    base: u32,
    flags: u32,
    options: ReadOptions,
    /// The member name read last.
    previous: Symbol,
}

impl Strict<'_> {
    fn value(&mut self, symbol: Symbol) -> Option<()> {
        let mut symbol = symbol;
        let mut open = NONE;
        let mut depth = 0;
        loop {
            match self.peek()? {
                b'"' => self.string(symbol)?,
                b'-' | b'0'..=b'9' => self.number(symbol)?,
                b't' => self.literal(b"true", Kind::True, symbol)?,
                b'f' => self.literal(b"false", Kind::False, symbol)?,
                b'n' => self.literal(b"null", Kind::Null, symbol)?,
                first @ (b'{' | b'[') => {
                    self.at += 1;
                    if depth == self.options.depth_max {
                        return None;
                    }
                    let kind = if first == b'{' { Kind::Object } else { Kind::Array };
                    open = self.scratch.open(kind, symbol, open);
                    depth += 1;
                    // The closing mark follows the opening one by 2 in ASCII.
                    if self.peek()? == first + 2 {
                        self.at += 1;
                        open = self.scratch.close(open);
                        depth -= 1;
                    } else {
                        symbol = if first == b'{' { self.name(open)? } else { Symbol::NONE };
                        continue;
                    }
                }
                _ => return None,
            }
            loop {
                if open == NONE {
                    return self.ends_well().then_some(());
                }
                self.scratch.add_child(open);
                let is_object = self.scratch.nodes[open as usize].is(Kind::Object);
                match self.peek()? {
                    b',' => {
                        self.at += 1;
                        symbol = if is_object { self.name(open)? } else { Symbol::NONE };
                        break;
                    }
                    b'}' if is_object => {}
                    b']' if !is_object => {}
                    _ => return None,
                }
                self.at += 1;
                open = self.scratch.close(open);
                depth -= 1;
            }
        }
    }

    /// The next byte that is not blank; not consumed.
    #[inline]
    fn peek(&mut self) -> Option<u8> {
        loop {
            match *self.bytes.get(self.at)? {
                b' ' | b'\t' | b'\n' | b'\r' => self.at += 1,
                byte => return Some(byte),
            }
        }
    }

    /// Whether the value that ends here is not run into by something else.
    fn ends_well(&self) -> bool {
        matches!(self.bytes.get(self.at), None | Some(b' ' | b'\t' | b'\n' | b'\r' | b',' | b']' | b'}'))
    }

    /// Reads a member name and its colon.
    #[inline]
    fn name(&mut self, open: u32) -> Option<Symbol> {
        if self.peek()? != b'"' {
            return None;
        }
        self.at += 1;
        let symbol = match self.scratch.names.guess(self.previous, &self.bytes[self.at..]) {
            Some((symbol, length)) => {
                self.at += length + 1;
                symbol
            }
            None => self.new_name()?,
        };
        self.previous = symbol;
        self.scratch.add_name(open, symbol);
        if self.peek()? != b':' {
            return None;
        }
        self.at += 1;
        Some(symbol)
    }

    /// Reads a name other than the one that followed the last time.
    fn new_name(&mut self) -> Option<Symbol> {
        let start = self.at;
        let escaped = self.string_end()?;
        let name = &self.text[start..self.at];
        self.at += 1;
        if escaped {
            return Some(self.scratch.names.intern(&unescape(name)));
        }
        let symbol = self.scratch.names.intern(name);
        self.scratch.names.set_follower(self.previous, symbol);
        Some(symbol)
    }

    #[inline]
    fn string(&mut self, symbol: Symbol) -> Option<()> {
        self.at += 1;
        let start = self.at;
        let escaped = self.string_end()?;
        let end = self.at;
        self.at += 1;
        let mut kind = Kind::String;
        if self.options.dates && end - start >= 9 {
            let text = &self.text[start..end];
            if if escaped { is_date(&unescape(text)) } else { is_date(text) } {
                kind = Kind::Date;
            }
        }
        let flags = self.flags | if escaped { ESCAPED } else { 0 };
        self.push(kind, symbol, flags, start, end);
        Some(())
    }

    /// Moves to the closing quote and says whether there were escapes.
    #[inline]
    fn string_end(&mut self) -> Option<bool> {
        let mut escaped = false;
        loop {
            let rest = self.bytes.get(self.at..)?;
            if let Some(chunk) = rest.first_chunk::<8>() {
                let found = quotes_and_backslashes(u64::from_le_bytes(*chunk));
                if found == 0 {
                    self.at += 8;
                    continue;
                }
                self.at += found.trailing_zeros() as usize / 8;
            }
            match *self.bytes.get(self.at)? {
                b'"' => return Some(escaped),
                b'\\' => {
                    escaped = true;
                    self.escape()?;
                }
                _ => self.at += 1,
            }
        }
    }

    /// Moves past an escape.
    fn escape(&mut self) -> Option<()> {
        match self.bytes.get(self.at + 1)? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.at += 2,
            b'u' => {
                let hex = self.bytes.get(self.at + 2..self.at + 6)?;
                if !hex.iter().all(u8::is_ascii_hexdigit) {
                    return None;
                }
                self.at += 6;
            }
            _ => return None,
        }
        Some(())
    }

    #[inline]
    fn number(&mut self, symbol: Symbol) -> Option<()> {
        let start = self.at;
        if self.bytes[self.at] == b'-' {
            self.at += 1;
        }
        let first = self.at;
        let digits = self.digits();
        if digits == 0 || (digits > 1 && self.bytes[first] == b'0') {
            return None;
        }
        let mut is_float = false;
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            is_float = true;
            if self.digits() == 0 {
                return None;
            }
        }
        if let Some(b'e' | b'E') = self.bytes.get(self.at) {
            self.at += 1;
            is_float = true;
            if let Some(b'+' | b'-') = self.bytes.get(self.at) {
                self.at += 1;
            }
            if self.digits() == 0 {
                return None;
            }
        }
        let end = self.at;
        if is_float {
            self.push(Kind::Float, symbol, self.flags, start, end);
        } else if digits < 19 {
            // An integer has no negative zero.
            let start = if self.bytes[first] == b'0' { first } else { start };
            self.push(Kind::Integer, symbol, self.flags, start, end);
        } else if end - start > INTEGER_LENGTH_MAX {
            return None;
        } else {
            let fits = self.text[start..end].parse::<i64>().is_ok();
            self.push(if fits { Kind::Integer } else { Kind::BigInteger }, symbol, self.flags, start, end);
        }
        Some(())
    }

    #[inline]
    fn digits(&mut self) -> usize {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.bytes.get(self.at) {
            self.at += 1;
        }
        self.at - start
    }

    #[inline]
    fn literal(&mut self, text: &[u8], kind: Kind, symbol: Symbol) -> Option<()> {
        if self.bytes.get(self.at..self.at + text.len())? != text {
            return None;
        }
        self.at += text.len();
        self.scratch.push(kind, symbol, 0, 0, 0);
        Some(())
    }

    #[inline]
    fn push(&mut self, kind: Kind, symbol: Symbol, flags: u32, start: usize, end: usize) {
        self.scratch.push(kind, symbol, flags, self.base + start as u32, self.base + end as u32);
    }
}

/// Marks each byte that is `"` or `\` with its highest bit. Marks above the
/// first may be wrong.
#[inline]
fn quotes_and_backslashes(word: u64) -> u64 {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGHEST: u64 = ONES << 7;
    let quotes = word ^ (ONES * b'"' as u64);
    let backslashes = word ^ (ONES * b'\\' as u64);
    (quotes.wrapping_sub(ONES) & !quotes | backslashes.wrapping_sub(ONES) & !backslashes) & HIGHEST
}

//! The fast pass over plain JSON.
//!
//! One loop over the bytes, no look back and no allocation but the growth of
//! the scratch. Anything that RFC 8259 does not have makes it give up, and the
//! lenient reader starts anew. One thing is let through: control characters in
//! strings, which the reference connector accepts and which cost a test for
//! every byte to reject.

use super::builder::NONE;
use super::scan::{number_end, past_blanks, string_end};
use super::{ReadOptions, has_date_outline, is_date};
use crate::document::{ESCAPED, Kind, OUTLINE, Scratch, unescape};
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
    Strict { scratch, text, base: base as u32, flags, options, previous: symbol }.value(symbol)
}

/// The place in the text is handed from function to function, so that it can
/// stay in a register.
struct Strict<'a> {
    scratch: &'a mut Scratch,
    text: &'a str,
    base: u32,
    flags: u32,
    options: ReadOptions,
    /// The member name read last.
    previous: Symbol,
}

/// The object or array that is being read: what its node and name set will
/// say, at hand until another one opens or it closes.
#[derive(Clone, Copy)]
struct Open {
    node: u32,
    is_object: bool,
    children: u32,
    names: u64,
}

impl Strict<'_> {
    fn value(mut self, symbol: Symbol) -> Option<()> {
        let bytes = self.text.as_bytes();
        let at = past_blanks(bytes, 0)?;
        let at = match bytes[at] {
            first @ (b'{' | b'[') => self.container(first, symbol, at + 1)?,
            b'"' => self.string(symbol, at + 1)?,
            b'-' | b'0'..=b'9' => self.number(symbol, at)?,
            _ => self.word(symbol, at)?,
        };
        // It must not be run into by something else.
        matches!(bytes.get(at), None | Some(b' ' | b'\t' | b'\n' | b'\r' | b',' | b']' | b'}')).then_some(())
    }

    /// Reads the object or array whose mark `first` stands before `at`, and all
    /// in it; gives where it ends.
    fn container(&mut self, first: u8, symbol: Symbol, at: usize) -> Option<usize> {
        let bytes = self.text.as_bytes();
        let mut at = at;
        let mut depth = 1;
        let mut open = self.open(first, symbol, NONE);
        let mut symbol = Symbol::NONE;
        // Whether `at` is at the first member or element of what is open.
        let mut is_first = true;
        loop {
            // The closing mark follows the opening one by 2 in ASCII.
            if is_first && {
                let next = past_blanks(bytes, at)?;
                bytes[next] == if open.is_object { b'}' } else { b']' }
            } {
                at = past_blanks(bytes, at)?;
            } else {
                if open.is_object {
                    (symbol, at) = self.name(&mut open, at)?;
                }
                at = past_blanks(bytes, at)?;
                match bytes[at] {
                    b'"' => at = self.string(symbol, at + 1)?,
                    first @ (b'{' | b'[') => {
                        if depth == self.options.depth_max {
                            return None;
                        }
                        self.note(open);
                        open = self.open(first, symbol, open.node);
                        depth += 1;
                        symbol = Symbol::NONE;
                        at += 1;
                        is_first = true;
                        continue;
                    }
                    b'-' | b'0'..=b'9' => at = self.number(symbol, at)?,
                    _ => at = self.word(symbol, at)?,
                }
                open.children += 1;
            }
            is_first = false;
            // Past what ends here, up to the comma before the next value.
            loop {
                at = past_blanks(bytes, at)?;
                let mark = bytes[at];
                at += 1;
                if mark == b',' {
                    break;
                }
                if mark != if open.is_object { b'}' } else { b']' } {
                    return None;
                }
                self.note(open);
                let around = self.scratch.close(open.node);
                if around == NONE {
                    return Some(at);
                }
                depth -= 1;
                open = self.reopen(around);
                symbol = Symbol::NONE;
            }
        }
    }

    fn open(&mut self, first: u8, symbol: Symbol, around: u32) -> Open {
        let is_object = first == b'{';
        let kind = if is_object { Kind::Object } else { Kind::Array };
        Open { node: self.scratch.open(kind, symbol, around), is_object, children: 0, names: 0 }
    }

    /// Goes on with `node`, in which something has closed.
    fn reopen(&self, node: u32) -> Open {
        let here = self.scratch.nodes[node as usize];
        let is_object = here.is(Kind::Object);
        let names = if is_object { self.scratch.sets[here.start as usize] } else { 0 };
        Open { node, is_object, children: here.end + 1, names }
    }

    /// Writes what is known of `open` to its node and name set.
    fn note(&mut self, open: Open) {
        let node = &mut self.scratch.nodes[open.node as usize];
        node.end = open.children;
        if open.is_object {
            self.scratch.sets[node.start as usize] = open.names;
        }
    }

    /// Reads the member name at `at`, and its colon; gives its symbol and where
    /// its value may begin.
    #[inline(always)]
    fn name(&mut self, open: &mut Open, at: usize) -> Option<(Symbol, usize)> {
        let (symbol, at) = match self.scratch.names.guess(self.previous, &self.text.as_bytes()[at..]) {
            (Symbol::NONE, _) => self.other_name(at)?,
            (symbol, length) => (symbol, at + length),
        };
        self.previous = symbol;
        open.names |= symbol.bit();
        Some((symbol, at))
    }

    /// Reads a name other than the one that followed the last time, or one with
    /// blanks around it.
    #[inline(never)]
    fn other_name(&mut self, at: usize) -> Option<(Symbol, usize)> {
        let bytes = self.text.as_bytes();
        let start = past_blanks(bytes, at)? + 1;
        if bytes[start - 1] != b'"' {
            return None;
        }
        let (end, escaped) = string_end(bytes, start)?;
        let name = &self.text[start..end];
        let colon = past_blanks(bytes, end + 1)?;
        if bytes[colon] != b':' {
            return None;
        }
        if escaped {
            return Some((self.scratch.names.intern(&unescape(name)), colon + 1));
        }
        let symbol = self.scratch.names.intern(name);
        self.scratch.names.set_follower(self.previous, symbol);
        Some((symbol, colon + 1))
    }

    /// Reads the string that begins at `start`, behind its quote.
    #[inline(always)]
    fn string(&mut self, symbol: Symbol, start: usize) -> Option<usize> {
        let bytes = self.text.as_bytes();
        let (end, escaped) = string_end(bytes, start)?;
        let (kind, flags) = match escaped {
            false if self.options.dates && has_date_outline(&bytes[start..end]) => (Kind::Date, OUTLINE),
            false => (Kind::String, 0),
            // An escape may stand for a mark of the outline.
            true if self.options.dates
                && matches!(bytes[start], b'0'..=b'9' | b'/' | b'\\')
                && is_date(unescape(&self.text[start..end]).as_bytes()) =>
            {
                (Kind::Date, ESCAPED)
            }
            true => (Kind::String, ESCAPED),
        };
        let flags = self.flags | flags;
        self.push(kind, symbol, flags, start, end);
        Some(end + 1)
    }

    fn word(&mut self, symbol: Symbol, at: usize) -> Option<usize> {
        let (word, kind) = match self.text.as_bytes()[at] {
            b't' => ("true", Kind::True),
            b'f' => ("false", Kind::False),
            b'n' => ("null", Kind::Null),
            _ => return None,
        };
        let end = at + word.len();
        if self.text.as_bytes().get(at..end)? != word.as_bytes() {
            return None;
        }
        self.scratch.push(kind, symbol, 0, 0, 0);
        Some(end)
    }

    #[inline(always)]
    fn number(&mut self, symbol: Symbol, start: usize) -> Option<usize> {
        let bytes = self.text.as_bytes();
        let (end, is_float) = number_end(bytes, start)?;
        if is_float {
            self.push(Kind::Float, symbol, self.flags, start, end);
        } else if end - start < 19 {
            // An integer has no negative zero.
            let start = if bytes[start..end] == *b"-0" { start + 1 } else { start };
            self.push(Kind::Integer, symbol, self.flags, start, end);
        } else if end - start > INTEGER_LENGTH_MAX {
            return None;
        } else {
            let fits = self.text[start..end].parse::<i64>().is_ok();
            self.push(if fits { Kind::Integer } else { Kind::BigInteger }, symbol, self.flags, start, end);
        }
        Some(end)
    }

    #[inline]
    fn push(&mut self, kind: Kind, symbol: Symbol, flags: u32, start: usize, end: usize) {
        self.scratch.push(kind, symbol, flags, self.base + start as u32, self.base + end as u32);
    }
}

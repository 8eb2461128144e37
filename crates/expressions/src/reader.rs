//! Reads events and values into a [`Scratch`].
//!
//! A strict and fast pass first; when it meets anything that is not plain
//! JSON, the lenient reader of device-mapping.md 1.3 reads the body again.

mod builder;
mod lenient;
mod matched;
mod properties;
mod scan;
mod strict;

use builder::NONE;
pub use matched::MatchedCopies;

use crate::document::{Document, Kind, Node, Scratch, Seen};
use crate::event::Event;
use crate::names::{Names, Symbol};
use crate::time::DateTime;

/// How text is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadOptions {
    /// Strings in one of the two date shapes are dates (device-mapping.md 1.3);
    /// otherwise they, and properties that are dates, are text.
    pub dates: bool,
    /// How deep objects and arrays may nest.
    pub depth_max: usize,
}

impl Default for ReadOptions {
    fn default() -> Self {
        ReadOptions { dates: true, depth_max: 64 }
    }
}

/// Why a body is not a JSON value, even to the lenient reader.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason} at byte {offset}")]
pub struct ReadError {
    /// Byte offset in the body.
    pub offset: usize,
    /// What was wrong there; never quotes the body.
    pub reason: &'static str,
}

impl Scratch {
    /// A scratch for documents whose names are those of a mapping.
    pub fn new(names: &Names) -> Scratch {
        Scratch { names: names.clone(), ..Scratch::default() }
    }

    /// Reads an event into `{"Body": …, "Properties": {…}, "SystemProperties": {…}}`.
    /// Text in properties is text whatever its shape.
    pub fn read_event<'s>(&'s mut self, event: &Event<'s>, options: ReadOptions) -> Result<Document<'s>, ReadError> {
        self.clear();
        let root = self.open(Kind::Object, Symbol::NONE, NONE);
        let body = self.event_members(root, event, options)?;
        self.close(root);
        Ok(self.document(body))
    }

    /// How much memory is held for the next document, in bytes.
    pub fn capacity(&self) -> usize {
        let nodes = self.nodes.capacity() * size_of::<Node>() + self.seen.capacity() * size_of::<Seen>();
        let objects = self.sets.capacity() * size_of::<u64>() + self.objects.capacity() * size_of::<u32>();
        nodes + objects + self.arena.capacity() + self.names.capacity()
    }

    /// Reads one JSON value as the whole document: what the validator and the
    /// conformance cases do. No text at all is null.
    pub fn read_value<'s>(&'s mut self, text: &'s [u8], options: ReadOptions) -> Result<Document<'s>, ReadError> {
        self.clear();
        let body = self.body(text, Symbol::NONE, options)?;
        Ok(self.document(body))
    }

    fn document<'s>(&'s self, body: &'s str) -> Document<'s> {
        Document {
            nodes: &self.nodes,
            sets: &self.sets,
            objects: &self.objects,
            body,
            arena: &self.arena,
            names: &self.names,
            matched: None,
        }
    }

    fn clear(&mut self) {
        self.nodes.clear();
        self.sets.clear();
        self.objects.clear();
        self.arena.clear();
        self.names.forget_if_many();
        if self.pass > u32::MAX / 2 {
            self.seen.clear();
            self.pass = 0;
        }
    }

    fn event_members<'e>(&mut self, root: u32, event: &Event<'e>, options: ReadOptions) -> Result<&'e str, ReadError> {
        self.add_member(root, Symbol::BODY);
        let body = self.body(event.body, Symbol::BODY, options)?;
        self.add_member(root, Symbol::PROPERTIES);
        self.properties(Symbol::PROPERTIES, event.properties, options)?;
        self.add_member(root, Symbol::SYSTEM_PROPERTIES);
        self.properties(Symbol::SYSTEM_PROPERTIES, event.system_properties, options)?;
        Ok(body)
    }

    fn add_member(&mut self, object: u32, symbol: Symbol) {
        self.add_name(object, symbol);
        self.add_child(object);
    }

    /// Appends what a body holds; gives the text that its nodes lie in.
    fn body<'e>(&mut self, bytes: &'e [u8], symbol: Symbol, options: ReadOptions) -> Result<&'e str, ReadError> {
        if bytes.is_empty() {
            self.push(Kind::Null, symbol, 0, 0, 0);
            return Ok("");
        }
        // Positions are 32 bits wide; the arena may need as much again.
        if bytes.len() > BODY_BYTES_MAX {
            return Err(ReadError { offset: BODY_BYTES_MAX, reason: "the text is too long" });
        }
        let (nodes, sets) = (self.nodes.len(), self.sets.len());
        if let Ok(text) = std::str::from_utf8(bytes) {
            if strict::read(self, text, 0, 0, symbol, options).is_some() {
                return Ok(text);
            }
            self.truncate(nodes, sets);
        }
        lenient::read(self, &crate::lenient::decode(bytes), symbol, options)?;
        Ok("")
    }
}

/// The longest text that is read. No tier of Event Hubs takes events of more
/// than 20 MB; symbols, of 24 bits, are enough for the names in it.
const BODY_BYTES_MAX: usize = 32 << 20;

/// The longest text in the second shape that is looked at: 20 characters of
/// milliseconds and five of offset stand in 34, the rest is room for zeros. A
/// date is read anew whenever somebody asks.
const MICROSOFT_BYTES_MAX: usize = 64;

/// Whether text is worth a closer look: it has the marks of a date where they
/// have to be.
#[inline]
pub(crate) fn has_date_outline(text: &[u8]) -> bool {
    match text {
        [_, _, _, _, b'-', _, _, b'-', _, _, b'T', _, _, b':', _, _, b':', _, _, ..] => text.len() <= 40,
        [b'/', b'D', b'a', b't', b'e', b'(', .., b')', b'/'] => text.len() <= MICROSOFT_BYTES_MAX,
        _ => false,
    }
}

/// Whether text has one of the two date shapes of device-mapping.md 1.3.
#[inline]
pub(crate) fn is_date(text: &[u8]) -> bool {
    has_date_outline(text) && DateTime::parse_token_bytes(text).is_some()
}

#[cfg(test)]
mod agreement;
#[cfg(test)]
mod tests;

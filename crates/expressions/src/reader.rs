//! Reads events and values into a [`Scratch`].
//!
//! A strict and fast pass first; when it meets anything that is not plain
//! JSON, the lenient reader of device-mapping.md 1.3 reads the body again.

use crate::document::{Document, Scratch};
use crate::event::Event;
use crate::names::Names;
use crate::value::Value;

/// How text is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadOptions {
    /// Strings in one of the two date shapes are dates (device-mapping.md 1.3).
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
    pub fn read_event<'s>(&'s mut self, event: &Event<'s>, options: ReadOptions) -> Result<Document<'s>, ReadError> {
        let _ = (event, options);
        todo!()
    }

    /// Reads an event and gives its root a fourth member, `matchedToken`, with
    /// a value that was computed: the slow way to what
    /// [`Document::with_matched`] does for nodes of the document. `value` may
    /// hold nodes of `of`.
    pub fn read_event_with_matched<'s>(
        &'s mut self,
        event: &Event<'s>,
        options: ReadOptions,
        of: Document<'_>,
        value: &Value<'_>,
    ) -> Result<Document<'s>, ReadError> {
        let _ = (event, options, of, value);
        todo!()
    }

    /// Reads one JSON value as the whole document: what the validator and the
    /// conformance cases do.
    pub fn read_value<'s>(&'s mut self, text: &'s [u8], options: ReadOptions) -> Result<Document<'s>, ReadError> {
        let _ = (text, options);
        todo!()
    }
}

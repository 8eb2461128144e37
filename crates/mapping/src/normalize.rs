//! Runs a device mapping over events: from an event to its measurements.
//!
//! ```text
//! event --read--> document --templates in order--> matches in order --> MeasurementSink
//! ```
//!
//! Evaluation is lazy and in sequence (device-mapping.md 4): a measurement goes
//! to the sink before the next match is looked for, the first failure ends the
//! event, and what was sent before stays sent. Nothing is allocated for an
//! event once the scratch has grown to its size, but for computed matches and
//! errors.

mod error;
mod extract;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;

use expressions::{Budget, Document, Kind, MatchedCopies, UtcTime, Value};

use crate::compatibility::Compatibility;
use crate::device_mapping::{DeviceMapping, TemplateKind};
use crate::measurement::{MeasurementRef, PropertySpan};
use extract::Extractor;

pub use error::{ErrorKind, NormalizeError};

/// How many measurements an event may give. A body of 1 MB has room for some
/// 40 000 readings that are no more than a number and a time.
pub const MEASUREMENTS_MAX: usize = 200_000;

/// How many bytes the texts of an event's measurements may take, with
/// [`MEASUREMENT_OVERHEAD`] for each. A body of 1 MB with 5000 readings gives
/// some 10 MB with 8 templates.
pub const OUTPUT_BYTES_MAX: usize = 64 << 20;

/// About what the JSON of a measurement takes beside its texts.
pub const MEASUREMENT_OVERHEAD: usize = 160;

/// A received event.
#[derive(Clone, Copy, Debug)]
pub struct Event<'e> {
    /// What expressions see of it.
    pub content: expressions::Event<'e>,
    /// When the hub received it: the ingestion time of its measurements.
    pub enqueued_time: UtcTime,
}

/// Takes measurements as they are made.
pub trait MeasurementSink {
    /// Takes one; what it borrows is gone when this returns.
    fn put(&mut self, measurement: &MeasurementRef<'_>);
}

impl<F: FnMut(&MeasurementRef<'_>)> MeasurementSink for F {
    fn put(&mut self, measurement: &MeasurementRef<'_>) {
        self(measurement);
    }
}

/// The memory of one worker, reused from event to event. Serves any mapping;
/// it adapts when it meets another one.
#[derive(Debug, Default)]
pub struct Scratch {
    /// The mapping whose names the documents have.
    mapping: u64,
    document: expressions::Scratch,
    /// For documents with a computed `matchedToken`.
    matched: expressions::Scratch,
    parts: Parts,
}

/// The parts of the measurement that is being made.
#[derive(Debug, Default)]
struct Parts {
    /// Ids and values, one after the other.
    text: String,
    /// The values that are present.
    properties: Vec<PropertySpan>,
}

impl Scratch {
    /// Room for nothing yet.
    pub fn new() -> Scratch {
        Scratch::default()
    }

    /// How much memory is held for the next event, in bytes.
    pub fn capacity(&self) -> usize {
        let parts = self.parts.text.capacity() + self.parts.properties.capacity() * size_of::<PropertySpan>();
        self.document.capacity() + self.matched.capacity() + parts
    }

    fn adapt(&mut self, mapping: &DeviceMapping) {
        if self.mapping != mapping.id() {
            self.document = expressions::Scratch::new(mapping.names());
            self.matched = expressions::Scratch::new(mapping.names());
            self.mapping = mapping.id();
        }
    }
}

impl DeviceMapping {
    /// Makes the measurements of an event; gives how many. None is no error:
    /// no template matched.
    pub fn normalize(
        &self,
        scratch: &mut Scratch,
        event: &Event<'_>,
        sink: &mut impl MeasurementSink,
    ) -> Result<usize, NormalizeError> {
        scratch.adapt(self);
        let Scratch { document, matched, parts, .. } = scratch;
        let document =
            document.read_event(&event.content, self.read_options()).map_err(NormalizeError::invalid_data_format)?;
        self.run(document, Some(event.enqueued_time), matched, parts, &Budget::default(), sink)
    }

    /// The same over a ready document, the JSON of an object with whatever
    /// members: what tools show and tests try. The measurements have no
    /// ingestion time.
    pub fn normalize_document(
        &self,
        scratch: &mut Scratch,
        json: &[u8],
        sink: &mut impl MeasurementSink,
    ) -> Result<usize, NormalizeError> {
        scratch.adapt(self);
        let Scratch { document, matched, parts, .. } = scratch;
        let document = document.read_value(json, self.read_options()).map_err(NormalizeError::invalid_data_format)?;
        if document.kind(Document::ROOT) != Kind::Object {
            return Err(NormalizeError::not_an_object());
        }
        self.run(document, None, matched, parts, &Budget::default(), sink)
    }

    /// What an event looks like: names of members and types of values, and no
    /// value. None for what is no JSON.
    pub fn shape(&self, scratch: &mut Scratch, event: &Event<'_>) -> Option<String> {
        scratch.adapt(self);
        let document = scratch.document.read_event(&event.content, self.read_options()).ok()?;
        Some(document.shape(Document::ROOT))
    }

    fn run(
        &self,
        document: Document<'_>,
        ingestion_time: Option<UtcTime>,
        matched: &mut expressions::Scratch,
        parts: &mut Parts,
        budget: &Budget,
        sink: &mut impl MeasurementSink,
    ) -> Result<usize, NormalizeError> {
        let mut sent = 0;
        let mut room = OUTPUT_BYTES_MAX;
        let present = document.all_names();
        for template in self.templates().iter().filter(|template| template.type_match_names & !present == 0) {
            let Compatibility { numbers, dates, .. } = *self.compatibility();
            let extractor = Extractor { template, ingestion_time, numbers, dates, budget };
            run_template(&extractor, document, matched, parts, &mut |measurement, bytes| {
                room = within_limits(sent, room, bytes)?;
                sink.put(measurement);
                sent += 1;
                Ok(())
            })
            .map_err(|error| error.at(template, sent))?;
        }
        Ok(sent)
    }
}

/// What is left of the room for texts after one more measurement of so many
/// bytes; an error when there may not be one more.
fn within_limits(sent: usize, room: usize, bytes: usize) -> Result<usize, NormalizeError> {
    if sent == MEASUREMENTS_MAX {
        let message = format!("the event gives more than {MEASUREMENTS_MAX} measurements");
        return Err(NormalizeError::limit("", message));
    }
    room.checked_sub(bytes + MEASUREMENT_OVERHEAD).ok_or_else(|| {
        let mib = OUTPUT_BYTES_MAX >> 20;
        NormalizeError::limit("", format!("the measurements of the event take more than {mib} MiB"))
    })
}

/// Takes a measurement and the bytes of its ids and values.
type Put<'p> = dyn FnMut(&MeasurementRef<'_>, usize) -> Result<(), NormalizeError> + 'p;

/// Makes a measurement of each match of a template.
fn run_template(
    extractor: &Extractor<'_>,
    document: Document<'_>,
    matched: &mut expressions::Scratch,
    parts: &mut Parts,
    put: &mut Put<'_>,
) -> Result<(), NormalizeError> {
    let mut copies = MatchedCopies::new(matched);
    let template = extractor.template;
    let Some(type_match) = &template.type_match else {
        return Err(NormalizeError::not_set("TypeMatchExpression"));
    };
    let mut failure = None;
    let selected = type_match.program.select_within(
        document,
        Document::ROOT,
        extractor.budget,
        &mut |value| match take(extractor, document, &value, &mut copies, parts, put) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failure = Some(error);
                ControlFlow::Break(())
            }
        },
    );
    match (failure, selected) {
        (Some(error), _) => Err(error),
        (None, Err(error)) => Err(NormalizeError::expression("TypeMatchExpression", type_match, "JsonTokens", error)),
        (None, Ok(())) => Ok(()),
    }
}

/// Makes one measurement of one match (device-mapping.md 4.2): expressions see
/// the document with the match as `matchedToken`, or the match alone.
fn take(
    extractor: &Extractor<'_>,
    document: Document<'_>,
    value: &Value<'_>,
    copies: &mut MatchedCopies<'_>,
    parts: &mut Parts,
    put: &mut Put<'_>,
) -> Result<(), NormalizeError> {
    match (extractor.template.kind, value) {
        (TemplateKind::Calculated, Value::Node(node)) => {
            extractor.extract(document.with_matched(*node), Document::ROOT, parts, put)
        }
        (TemplateKind::Calculated, computed) => {
            let copy = copies
                .with_matched(document, computed, extractor.budget)
                .map_err(|error| NormalizeError::limit("TypeMatchExpression", error.to_string()))?;
            extractor.extract(copy, Document::ROOT, parts, put)
        }
        (_, Value::Node(node)) => extractor.extract(document, *node, parts, put),
        // Only JSONPath is found in these kinds, and it computes nothing.
        (_, _) => Ok(()),
    }
}

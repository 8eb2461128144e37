//! Reads the events of the internal hub into measurements (fhir-conversion.md
//! 1.3).
//!
//! An event is one measurement, or, when its property `IsMeasurementGroup` is
//! true, a list of them, gzipped when its content type says so.

use std::borrow::Cow;
use std::fmt;
use std::io::Read;

use expressions::{Properties, PropertyValue};
use mapping::Measurement;
use mapping::measurement::MeasurementReadError;

use crate::batch::{Batch, BatchEvent};
use crate::fate::Reason;
use crate::replay::REPLAY_PROPERTY;

/// How large the packed lists of a batch may get in all when they are unpacked,
/// in bytes: far above what a batch of the hub holds, so that only bombs meet it.
const UNPACKED_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// What each event of a batch holds, unpacked.
pub struct Bodies<'b>(Vec<Unpacked<'b>>);

struct Unpacked<'b> {
    body: Result<Body<'b>, Reason>,
    replayed: bool,
}

enum Body<'b> {
    One(&'b [u8]),
    List(Cow<'b, [u8]>),
}

/// The measurements of a batch in their order, each with its origin; those of
/// replayed events stand behind all others.
#[derive(Default)]
pub struct Incoming<'b> {
    /// The measurements.
    pub measurements: Vec<Measurement<'b>>,
    /// How many of them, from the front, are not replayed (design.md D7).
    pub live: usize,
    /// For each measurement its event and its place in it.
    pub origins: Vec<(usize, usize)>,
    /// What is no measurement: event, place in it, and why.
    pub rejected: Vec<((usize, usize), Reason)>,
}

/// Unpacks what is packed in a batch, for measurements to borrow from.
pub fn unpack<'b>(batch: &Batch<'b>) -> Bodies<'b> {
    let mut room = UNPACKED_BYTES_MAX;
    let mut unpack = |event: &BatchEvent<'b>| {
        let body = match flag(event.properties, "IsMeasurementGroup") {
            true => list(event, &mut room).map(Body::List),
            false => Ok(Body::One(event.body)),
        };
        Unpacked { body, replayed: flag(event.properties, REPLAY_PROPERTY) }
    };
    Bodies(batch.events.iter().map(&mut unpack).collect())
}

/// Reads a batch. Events are taken in their order, lists or not (quirk 55).
/// `lenient` is [`Compatibility::lenient_measurements`](mapping::Compatibility);
/// lists never were.
pub fn read<'b>(bodies: &'b Bodies<'_>, lenient: bool) -> Incoming<'b> {
    let mut incoming = Incoming::default();
    incoming.measurements.reserve(bodies.0.len());
    incoming.origins.reserve(bodies.0.len());
    for replayed in [false, true] {
        let events = bodies.0.iter().enumerate().filter(|(_, event)| event.replayed == replayed);
        for (index, event) in events {
            incoming.take_event(index, &event.body, lenient);
        }
        if !replayed {
            incoming.live = incoming.measurements.len();
        }
    }
    incoming
}

/// Without the measurements: they are a patient's.
impl fmt::Debug for Incoming<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Incoming");
        shown
            .field("measurements.len", &self.measurements.len())
            .field("rejected", &self.rejected)
            .finish_non_exhaustive()
    }
}

impl<'b> Incoming<'b> {
    fn take_event(&mut self, index: usize, body: &'b Result<Body<'_>, Reason>, lenient: bool) {
        match body {
            Ok(Body::One(body)) if lenient => self.take((index, 0), Measurement::read_lenient(body)),
            Ok(Body::One(body)) => self.take((index, 0), Measurement::read(body)),
            Ok(Body::List(body)) => match Measurement::read_list(body) {
                Ok(read) => {
                    for (place, measurement) in read.into_iter().enumerate() {
                        self.take((index, place), measurement);
                    }
                }
                Err(error) => self.rejected.push(((index, 0), invalid(&error))),
            },
            Err(reason) => self.rejected.push(((index, 0), reason.clone())),
        }
    }

    fn take(&mut self, origin: (usize, usize), read: Result<Measurement<'b>, MeasurementReadError>) {
        match read {
            Ok(measurement) => {
                self.measurements.push(measurement);
                self.origins.push(origin);
            }
            Err(error) => self.rejected.push((origin, invalid(&error))),
        }
    }
}

fn invalid(error: &MeasurementReadError) -> Reason {
    Reason::new("InvalidMeasurement", error.to_string())
}

fn list<'b>(event: &BatchEvent<'b>, room: &mut u64) -> Result<Cow<'b, [u8]>, Reason> {
    match text_property(event.system_properties, "content-type") {
        Some(kind) if kind == "application/gzip" => Ok(Cow::Owned(inflate(event.body, room)?)),
        _ => Ok(Cow::Borrowed(event.body)),
    }
}

/// Unpacks a list and takes its bytes off the batch's `room`.
fn inflate(body: &[u8], room: &mut u64) -> Result<Vec<u8>, Reason> {
    let mut unpacked = Vec::new();
    let reader = flate2::read::GzDecoder::new(body);
    match reader.take(*room + 1).read_to_end(&mut unpacked) {
        Ok(length) if length as u64 <= *room => {
            *room -= length as u64;
            Ok(unpacked)
        }
        Ok(_) => Err(Reason::new("InvalidMeasurement", "the unpacked lists of the batch are larger than 64 MiB")),
        Err(_) => Err(Reason::new("InvalidMeasurement", "the content type says gzip and the body is not")),
    }
}

/// Whether a property says yes: it may be a boolean or text.
fn flag(properties: Properties<'_>, wanted: &str) -> bool {
    match properties {
        Properties::Typed(members) => members.iter().any(|(name, value)| {
            *name == wanted
                && match value {
                    PropertyValue::Bool(value) => *value,
                    PropertyValue::String(text) => text.eq_ignore_ascii_case("true"),
                    _ => false,
                }
        }),
        Properties::Json { text, .. } => match json_member(text, wanted) {
            Some(serde_json::Value::Bool(value)) => value,
            Some(serde_json::Value::String(text)) => text.eq_ignore_ascii_case("true"),
            _ => false,
        },
    }
}

fn text_property(properties: Properties<'_>, wanted: &str) -> Option<String> {
    match properties {
        Properties::Typed(members) => members.iter().find_map(|(name, value)| match value {
            PropertyValue::String(text) if *name == wanted => Some((*text).to_owned()),
            _ => None,
        }),
        Properties::Json { text, .. } => json_member(text, wanted).and_then(|value| value.as_str().map(str::to_owned)),
    }
}

/// A member of an object given as text; the text is parsed only when the name
/// occurs in it.
fn json_member(text: &str, name: &str) -> Option<serde_json::Value> {
    if !text.contains(name) {
        return None;
    }
    serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text).ok()?.remove(name)
}

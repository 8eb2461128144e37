//! Reads an Event Hubs invocation of the host into a batch.
//!
//! The host encodes most values twice: arrays and strings arrive as JSON text
//! within a JSON string (functions-eventhubs-keda.md 1.8). All four forms of
//! the trigger are understood, one or many events, as bytes or as text; ours
//! are declared as many and bytes, the only lossless one.
//!
//! What the host really sends for ours is read in one pass (`compact`); any
//! other form by the general way here, which is also the one that says what is
//! wrong.
//!
//! An array of the metadata that is missing or has another length than there
//! are events is an error, never filled up: device ids and times are there.

mod compact;

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use delivery::hub::{APPLICATION_DATES, SYSTEM_DATES};
use delivery::{Batch, BatchEvent, Source};
use expressions::{DateTime, Properties, UtcTime};
use serde::Deserialize;
use serde_json::value::RawValue;

/// The host's names of message annotations, and the annotations' own.
const ANNOTATIONS: [(&str, &str); 4] = [
    ("SequenceNumber", "x-opt-sequence-number"),
    ("Offset", "x-opt-offset"),
    ("EnqueuedTimeUtc", "x-opt-enqueued-time"),
    ("PartitionKey", "x-opt-partition-key"),
];

/// The enqueued time as the host calls it: the one time that has lost its zone.
const SYSTEM_TIME: &str = "EnqueuedTimeUtc";

/// The host sent something that is not an invocation as documented. Answered
/// with 500, so that the batch is not lost (functions-eventhubs-keda.md 9.1).
#[derive(Debug, thiserror::Error)]
pub enum InvocationError {
    /// The request is not the JSON that the protocol says.
    #[error("the invocation is not as documented: {0}")]
    Malformed(&'static str),
    /// A part is not JSON; the text of the parser's error names a place only.
    #[error("`{part}` of the invocation is not JSON, line {line}, column {column}")]
    NotJson {
        /// Which part.
        part: &'static str,
        /// Line in that part.
        line: usize,
        /// Column in that part.
        column: usize,
    },
    /// An array of the metadata does not fit the events.
    #[error("`{array}` has {length} entries for {events} events")]
    Misaligned {
        /// The array.
        array: &'static str,
        /// Its length; 0 when it is missing.
        length: usize,
        /// How many events there are.
        events: usize,
    },
    /// A time of the metadata is not a date.
    #[error("`EnqueuedTimeUtcArray` has an entry that is not a date-time")]
    NotATime,
}

/// A decoded invocation; owns what its [`Batch`] borrows.
#[derive(Default)]
pub struct Invocation {
    source: Source,
    bodies: Vec<u8>,
    text: String,
    events: Vec<Slot>,
}

#[derive(Default)]
struct Slot {
    body: Range<usize>,
    properties: Range<usize>,
    system_properties: Range<usize>,
    sequence_number: i64,
    enqueued_time: UtcTime,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Request<'r> {
    #[serde(borrow)]
    data: Members<'r>,
    #[serde(borrow)]
    metadata: Members<'r>,
}

/// Without bodies and properties: they hold what is a patient's.
impl fmt::Debug for Invocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Invocation");
        shown.field("source", &self.source).field("events.len", &self.events.len()).finish_non_exhaustive()
    }
}

impl Invocation {
    /// Reads a request's body.
    pub fn read(request: &[u8]) -> Result<Invocation, InvocationError> {
        let mut invocation = Invocation::default();
        invocation.read_again(request)?;
        Ok(invocation)
    }

    /// Reads another request's body into the same memory. After an error it
    /// holds no invocation.
    pub fn read_again(&mut self, request: &[u8]) -> Result<(), InvocationError> {
        self.clear();
        if compact::read(request, self).is_some() {
            return Ok(());
        }
        self.clear();
        self.read_any(request)
    }

    /// The general way.
    fn read_any(&mut self, request: &[u8]) -> Result<(), InvocationError> {
        let request: Request<'_> = parse(request, "request")?;
        let [(_, data)] = request.data.0.as_slice() else {
            return Err(InvocationError::Malformed("`Data` has to have one member, the trigger's binding"));
        };
        self.source = source(&request.metadata)?;
        if request.metadata.get("SequenceNumberArray").is_some() {
            self.read_many(data, &request.metadata)
        } else {
            self.read_one(data, &request.metadata)
        }
    }

    /// Forgets the events and keeps their memory.
    pub(crate) fn clear(&mut self) {
        self.bodies.clear();
        self.text.clear();
        self.events.clear();
    }

    /// How much memory is held for the next invocation, in bytes.
    pub(crate) fn capacity(&self) -> usize {
        self.bodies.capacity() + self.text.capacity() + self.events.capacity() * size_of::<Slot>()
    }

    /// The events, as delivery takes them.
    pub fn batch(&self) -> Batch<'_> {
        let events = self.events.iter().map(|slot| BatchEvent {
            body: &self.bodies[slot.body.clone()],
            properties: Properties::Json { text: &self.text[slot.properties.clone()], dates: APPLICATION_DATES },
            system_properties: Properties::Json {
                text: &self.text[slot.system_properties.clone()],
                dates: SYSTEM_DATES,
            },
            sequence_number: Some(slot.sequence_number),
            enqueued_time: slot.enqueued_time,
        });
        Batch { source: &self.source, events: events.collect() }
    }

    fn read_many(&mut self, data: &RawValue, metadata: &Members<'_>) -> Result<(), InvocationError> {
        let inner = inner_text(data, "Data")?;
        let bodies: Vec<&RawValue> = parse(inner.as_bytes(), "Data")?;
        let events = bodies.len();
        let bodies = self.push_bodies(&bodies)?;
        let sequence_numbers: Vec<i64> = array(metadata, "SequenceNumberArray", events)?;
        let times: Vec<String> = array(metadata, "EnqueuedTimeUtcArray", events)?;
        let properties = array_text(metadata, "PropertiesArray")?;
        let properties: Vec<&RawValue> = aligned(&properties, "PropertiesArray", events)?;
        let system_properties = array_text(metadata, "SystemPropertiesArray")?;
        let system_properties: Vec<Members<'_>> = aligned(&system_properties, "SystemPropertiesArray", events)?;
        for (index, body) in bodies.into_iter().enumerate() {
            let slot = Slot {
                body,
                properties: self.push_properties(properties[index]),
                system_properties: self.push_system_properties(&system_properties[index]),
                sequence_number: sequence_numbers[index],
                enqueued_time: utc(&times[index])?,
            };
            self.events.push(slot);
        }
        Ok(())
    }

    fn read_one(&mut self, data: &RawValue, metadata: &Members<'_>) -> Result<(), InvocationError> {
        let missing = |array| InvocationError::Misaligned { array, length: 0, events: 1 };
        let sequence_number = metadata.get("SequenceNumber").ok_or(missing("SequenceNumber"))?;
        let sequence_number = inner_text(sequence_number, "SequenceNumber")?;
        let properties = metadata.get("Properties").ok_or(missing("Properties"))?;
        let system_properties = metadata.get("SystemProperties").ok_or(missing("SystemProperties"))?;
        let system_properties: Members<'_> = parse(system_properties.get().as_bytes(), "SystemProperties")?;
        // The time of the system properties has its fraction; the other has lost it.
        let time = system_properties.get("EnqueuedTimeUtc").or_else(|| metadata.get("EnqueuedTimeUtc"));
        let time = inner_text(time.ok_or(missing("EnqueuedTimeUtc"))?, "EnqueuedTimeUtc")?;
        let slot = Slot {
            body: self.push_single_body(data)?,
            properties: self.push_properties(properties),
            system_properties: self.push_system_properties(&system_properties),
            sequence_number: parse(sequence_number.as_bytes(), "SequenceNumber")?,
            enqueued_time: utc(time.trim_matches('"'))?,
        };
        self.events.push(slot);
        Ok(())
    }

    /// Bytes when every element is base64, else text: no body that is a JSON
    /// object or array is base64 by chance.
    fn push_bodies(&mut self, elements: &[&RawValue]) -> Result<Vec<Range<usize>>, InvocationError> {
        let mut ranges = Vec::with_capacity(elements.len());
        for element in elements {
            let start = self.bodies.len();
            let base64 = element.get().strip_prefix('"').and_then(|text| text.strip_suffix('"'));
            // The alphabet of base64 needs no escape but `\/` and `\u002B`, which some writers use.
            let base64 = base64.map(|text| match text.contains('\\') {
                true => Cow::Owned(text.replace("\\/", "/").replace("\\u002B", "+")),
                false => Cow::Borrowed(text),
            });
            if base64.is_none_or(|text| BASE64_STANDARD.decode_vec(&*text, &mut self.bodies).is_err()) {
                self.bodies.clear();
                return self.push_text_bodies(elements);
            }
            ranges.push(start..self.bodies.len());
        }
        Ok(ranges)
    }

    fn push_text_bodies(&mut self, elements: &[&RawValue]) -> Result<Vec<Range<usize>>, InvocationError> {
        elements.iter().map(|element| Ok(self.push_body(string_or_json(element)?.as_bytes()))).collect()
    }

    /// A single event is a string with JSON text of a string in it, or base64
    /// (functions-eventhubs-keda.md 1.9).
    fn push_single_body(&mut self, data: &RawValue) -> Result<Range<usize>, InvocationError> {
        if !data.get().starts_with('"') {
            return Ok(self.push_body(data.get().as_bytes()));
        }
        let text: Cow<'_, str> = parse_string(data, "Data")?;
        if let Ok(inner) = serde_json::from_str::<String>(&text) {
            return Ok(self.push_body(inner.as_bytes()));
        }
        match BASE64_STANDARD.decode(text.as_bytes()) {
            Ok(bytes) => Ok(self.push_body(&bytes)),
            Err(_) => Ok(self.push_body(text.as_bytes())),
        }
    }

    fn push_body(&mut self, body: &[u8]) -> Range<usize> {
        let start = self.bodies.len();
        self.bodies.extend_from_slice(body);
        start..self.bodies.len()
    }

    fn push_properties(&mut self, properties: &RawValue) -> Range<usize> {
        let start = self.text.len();
        self.text.push_str(if properties.get() == "null" { "{}" } else { properties.get() });
        start..self.text.len()
    }

    /// Gives the annotations their own names again. The host's zone-less time
    /// means UTC.
    fn push_system_properties(&mut self, members: &Members<'_>) -> Range<usize> {
        let start = self.text.len();
        self.text.push('{');
        for (name, value) in &members.0 {
            let value = value.get();
            if is_left_out(name, value) {
                continue;
            }
            if self.text.len() > start + 1 {
                self.text.push(',');
            }
            self.text.push_str(&serde_json::Value::from(annotation(name)).to_string());
            self.text.push(':');
            match value.strip_suffix('"').filter(|_| name == SYSTEM_TIME && needs_zone(value)) {
                Some(time) => {
                    self.text.push_str(time);
                    self.text.push_str("Z\"");
                }
                None => self.text.push_str(value),
            }
        }
        self.text.push('}');
        start..self.text.len()
    }
}

/// The annotation that the host calls `name`, or the name as it is.
fn annotation(name: &str) -> &str {
    ANNOTATIONS.iter().find(|(host, _)| *host == name).map_or(name, |(_, annotation)| annotation)
}

/// Whether a system property is none of the event's: nothing, or the host's
/// second form of the offset.
fn is_left_out(name: &str, json: &str) -> bool {
    json == "null" || name == "OffsetString"
}

/// Whether a string's JSON is a time without a zone.
fn needs_zone(json: &str) -> bool {
    json.strip_suffix('"').is_some_and(|time| {
        !time.ends_with('Z') && time.bytes().filter(|byte| matches!(byte, b':' | b'+')).count() == 2
    })
}

/// The members of an object in order, values unread.
struct Members<'m>(Vec<(Cow<'m, str>, &'m RawValue)>);

impl<'m> Members<'m> {
    fn get(&self, name: &str) -> Option<&'m RawValue> {
        self.0.iter().find(|member| member.0 == name).map(|member| member.1)
    }
}

impl<'de: 'm, 'm> Deserialize<'de> for Members<'m> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some((Name(name), value)) = map.next_entry()? {
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

/// Text that is borrowed when it holds no escapes.
#[derive(Deserialize)]
struct Name<'n>(#[serde(borrow)] Cow<'n, str>);

fn parse<'t, T: Deserialize<'t>>(text: &'t [u8], part: &'static str) -> Result<T, InvocationError> {
    serde_json::from_slice(text).map_err(|error| InvocationError::NotJson {
        part,
        line: error.line(),
        column: error.column(),
    })
}

fn parse_string<'t>(value: &'t RawValue, part: &'static str) -> Result<Cow<'t, str>, InvocationError> {
    parse::<Name<'t>>(value.get().as_bytes(), part).map(|name| name.0)
}

/// What a doubly encoded value says: the text within a string, or the value
/// itself when it is not encoded twice.
fn inner_text<'t>(value: &'t RawValue, part: &'static str) -> Result<Cow<'t, str>, InvocationError> {
    if value.get().starts_with('"') { parse_string(value, part) } else { Ok(Cow::Borrowed(value.get())) }
}

/// A string's text, or any other value's JSON.
fn string_or_json(value: &RawValue) -> Result<Cow<'_, str>, InvocationError> {
    inner_text(value, "Data")
}

fn array_text<'t>(metadata: &Members<'t>, name: &'static str) -> Result<Cow<'t, str>, InvocationError> {
    match metadata.get(name) {
        Some(value) => inner_text(value, name),
        None => Ok(Cow::Borrowed("[]")),
    }
}

fn aligned<'t, T: Deserialize<'t>>(
    text: &'t str,
    array: &'static str,
    events: usize,
) -> Result<Vec<T>, InvocationError> {
    let entries: Vec<T> = parse(text.as_bytes(), array)?;
    if entries.len() == events {
        return Ok(entries);
    }
    Err(InvocationError::Misaligned { array, length: entries.len(), events })
}

fn array<T: for<'t> Deserialize<'t>>(
    metadata: &Members<'_>,
    name: &'static str,
    events: usize,
) -> Result<Vec<T>, InvocationError> {
    aligned(&array_text(metadata, name)?, name, events)
}

/// A time of the host; without a zone it means UTC.
fn utc(text: &str) -> Result<UtcTime, InvocationError> {
    DateTime::parse_token(text).map(|date| date.instant).ok_or(InvocationError::NotATime)
}

fn source(metadata: &Members<'_>) -> Result<Source, InvocationError> {
    let context = metadata.get("TriggerPartitionContext").or_else(|| metadata.get("PartitionContext"));
    source_of(context.ok_or(InvocationError::Malformed("`Metadata` has no `PartitionContext`"))?)
}

fn source_of(context: &RawValue) -> Result<Source, InvocationError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Context {
        #[serde(default)]
        fully_qualified_namespace: String,
        #[serde(default)]
        event_hub_name: String,
        #[serde(default)]
        consumer_group: String,
        partition_id: String,
    }
    let context: Context = parse(context.get().as_bytes(), "PartitionContext")?;
    Ok(Source {
        namespace: context.fully_qualified_namespace,
        hub: context.event_hub_name,
        consumer_group: context.consumer_group,
        partition: context.partition_id,
    })
}

#[cfg(test)]
mod tests;

//! What unmatched events look like: one line for each shape that is new, at a
//! measured rate.
//!
//! "Nothing arrives and nothing says why" is most often a mapping that looks for
//! another name than the device sends. A shape has names of members and types
//! of values, and no value (`expressions::Document::shape`).

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use delivery::{Batch, EventFate};
use mapping::DeviceMapping;
use mapping::normalize::Scratch;

use crate::rate::RateLimit;

/// How many shapes are known again; with more, all are forgotten. Who sends so
/// many has ids for names.
const SHAPES_MAX: usize = 1024;

/// How many events are looked at a minute to find new shapes: reading one again
/// takes some microseconds.
const LOOKS_A_MINUTE: u32 = 1000;

/// Writes the lines.
#[derive(Debug)]
pub struct Shapes {
    lines: RateLimit,
    looks: RateLimit,
    seen: Mutex<HashSet<u64>>,
}

impl Shapes {
    /// At most this many lines a minute; 0 for none.
    pub fn new(lines_a_minute: u32) -> Shapes {
        Shapes { lines: RateLimit::new(lines_a_minute), looks: RateLimit::new(LOOKS_A_MINUTE), seen: Mutex::default() }
    }

    /// Logs the shapes of the unmatched events of a batch that were not seen
    /// yet.
    pub fn log(&self, mapping: &DeviceMapping, batch: &Batch<'_>, fates: &[EventFate]) {
        for (index, shape) in self.new_ones(mapping, batch, fates, Instant::now()) {
            tracing::warn!(
                partition = batch.source.partition,
                sequence_number = batch.events[index].sequence_number,
                shape,
                "No template of the device mapping matches an event of this shape"
            );
        }
    }

    /// The shapes that get a line, each with the index of its first event.
    fn new_ones(
        &self,
        mapping: &DeviceMapping,
        batch: &Batch<'_>,
        fates: &[EventFate],
        now: Instant,
    ) -> Vec<(usize, String)> {
        let mut scratch = Scratch::new();
        let mut found = Vec::new();
        for (index, (event, fate)) in batch.events.iter().zip(fates).enumerate() {
            if *fate != EventFate::Unmatched {
                continue;
            }
            if !self.lines.is_open(now) || self.looks.take(now).is_none() {
                break;
            }
            let shape = mapping.shape(&mut scratch, &event.for_mapping());
            if let Some(shape) = shape.filter(|shape| self.is_new(shape))
                && self.lines.take(now).is_some()
            {
                found.push((index, shape));
            }
        }
        found
    }

    fn is_new(&self, shape: &str) -> bool {
        let mut hasher = DefaultHasher::new();
        shape.hash(&mut hasher);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= SHAPES_MAX {
            seen.clear();
        }
        seen.insert(hasher.finish())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use delivery::{BatchEvent, Source};
    use expressions::{Properties, UtcTime};
    use mapping::Compatibility;

    use super::*;

    const MAPPING: &[u8] = br#"{"templateType":"CollectionContent","template":[{"templateType":"JsonPathContent",
        "template":{"typeName":"hr","typeMatchExpression":"$..[?(@hr)]","deviceIdExpression":"$.d",
        "timestampExpression":"$.t","values":[{"valueExpression":"$.hr","valueName":"hr"}]}}]}"#;

    /// The bodies of the shapes that get a line.
    fn lines(shapes: &Shapes, bodies: &[&'static str], now: Instant) -> Vec<String> {
        let mapping = DeviceMapping::load(MAPPING, &Compatibility::default()).expect("a good mapping");
        let source = Source::default();
        let event = |body: &&'static str| BatchEvent {
            body: body.as_bytes(),
            properties: Properties::NONE,
            system_properties: Properties::NONE,
            sequence_number: None,
            enqueued_time: UtcTime::MIN,
        };
        let batch = Batch { source: &source, events: bodies.iter().map(event).collect() };
        let fate = |body: &&str| match body.contains("hr") {
            true => EventFate::Normalized { measurements: 1 },
            false => EventFate::Unmatched,
        };
        let fates: Vec<_> = bodies.iter().map(fate).collect();
        let of_body = |shape: String| shape["{Body: ".len()..shape.find(", Properties").unwrap_or_default()].to_owned();
        shapes.new_ones(&mapping, &batch, &fates, now).into_iter().map(|(_, shape)| of_body(shape)).collect()
    }

    #[test]
    fn each_shape_gets_one_line_and_a_minute_so_many() {
        let (shapes, now) = (Shapes::new(2), Instant::now());
        let bodies = ["{\"hr\":1}", "{\"a\":1}", "{\"a\":2}", "{\"b\":\"x\"}", "{\"c\":1}"];
        assert_eq!(lines(&shapes, &bodies, now), ["{a: integer}", "{b: text}"]);
        let later = now + Duration::from_secs(60);
        assert_eq!(lines(&shapes, &bodies, later), ["{c: integer}"]);
        assert_eq!(lines(&Shapes::new(0), &bodies, now), [""; 0]);
    }

    #[test]
    fn looks_at_no_more_events_than_it_may() {
        let (shapes, now) = (Shapes::new(1000), Instant::now());
        let known = vec!["{\"a\":1}"; LOOKS_A_MINUTE as usize];
        assert_eq!(lines(&shapes, &known, now), ["{a: integer}"]);
        assert_eq!(lines(&shapes, &["{\"b\":1}"], now), [""; 0]);
    }
}

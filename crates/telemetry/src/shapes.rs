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
        let mut scratch = Scratch::new();
        let unmatched = batch.events.iter().zip(fates).filter(|(_, fate)| **fate == EventFate::Unmatched);
        for (event, _) in unmatched {
            let now = Instant::now();
            if !self.lines.is_open(now) || self.looks.take(now).is_none() {
                return;
            }
            let Some(shape) = mapping.shape(&mut scratch, &event.for_mapping()) else { continue };
            if !self.is_new(&shape) {
                continue;
            }
            if self.lines.take(now).is_some() {
                tracing::warn!(
                    partition = batch.source.partition,
                    sequence_number = event.sequence_number,
                    shape,
                    "No template of the device mapping matches an event of this shape"
                );
            }
        }
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

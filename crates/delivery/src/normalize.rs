//! Turns a batch of device events into measurements in the internal hub.
//!
//! ```text
//! Batch --device mapping--> measurements by partition key --> MeasurementOutput
//!       \--what failed--> DeadLetters
//! ```
//!
//! The measurements are sent before the dead letters are recorded and both
//! before the fates are given, so a fate says what has happened, not what will.

use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use mapping::compatibility::OnFailure;
use mapping::normalize::{ErrorKind, MeasurementSink, NormalizeError, Scratch};
use mapping::partition::PartitionKey;
use mapping::{DeviceMapping, MeasurementRef};
use tracing::Instrument;

use crate::away::{Away, one_line};
use crate::batch::Batch;
use crate::current_mapping::Compiled;
use crate::dead_letter::{DeadLetter, DeadLetters, LETTERS_AT_ONCE, Stage};
use crate::fate::{EventFate, Imbalance, Reason, Tally, TemplateCount};
use crate::text::properties_json;
use crate::turn::Fence;

/// How much scratch memory is kept from one batch for the next, in bytes: what
/// an ordinary batch needs. A rare large one must not hold its memory for ever.
const SPARE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// How many bytes of measurements are gathered before they are sent. All those
/// of an ordinary batch are sent at once; what hostile events give must not
/// pile up.
const SEND_BYTES_MAX: usize = 32 * 1024 * 1024;

/// The serialised measurements of one batch.
#[derive(Default)]
pub struct OutgoingMeasurements {
    text: Vec<u8>,
    entries: Vec<Outgoing>,
    /// The event that measurements are put for now.
    event: usize,
}

struct Outgoing {
    key: PartitionKey,
    /// Of the mapping, to count by; none for what no template made.
    template: Option<usize>,
    event: usize,
    text: Range<usize>,
}

/// Without the measurements: they are a patient's.
impl fmt::Debug for OutgoingMeasurements {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutgoingMeasurements").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl OutgoingMeasurements {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The indexes of the measurements by partition key, keys in order of
    /// first appearance, order inside kept (device-mapping.md 8.2).
    pub fn by_partition_key(&self) -> Vec<(PartitionKey, Vec<usize>)> {
        let mut buckets: Vec<(PartitionKey, Vec<usize>)> = Vec::new();
        let mut bucket_of_key = [usize::MAX; 256];
        for (index, entry) in self.entries.iter().enumerate() {
            let bucket = &mut bucket_of_key[entry.key.bucket()];
            if *bucket == usize::MAX {
                *bucket = buckets.len();
                buckets.push((entry.key, Vec::new()));
            }
            buckets[*bucket].1.push(index);
        }
        buckets
    }

    /// The JSON of measurement `index` (device-mapping.md 8.1).
    pub fn json(&self, index: usize) -> &[u8] {
        &self.text[self.entries[index].text.clone()]
    }

    fn clear(&mut self) {
        self.text.clear();
        self.entries.clear();
    }
}

impl MeasurementSink for OutgoingMeasurements {
    fn put(&mut self, measurement: &MeasurementRef<'_>) {
        let start = self.text.len();
        measurement.write_json(&mut self.text);
        let key = PartitionKey::of_device(measurement.device_id);
        let text = start..self.text.len();
        self.entries.push(Outgoing { key, template: measurement.template, event: self.event, text });
    }
}

/// How a batch ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Normalization {
    /// For each event its fate.
    pub events: Vec<EventFate>,
    /// The measurements that the internal hub took, by template.
    pub templates: Vec<TemplateCount>,
}

impl Normalization {
    /// Whether each of the `received` events has its fate, and the measurements
    /// that the fates tell of are those that were sent.
    pub fn check(&self, received: usize) -> Result<(), Imbalance> {
        let tally = Tally::of_events(&self.events);
        Imbalance::check("events", received, tally.event_fates())?;
        let sent = self.templates.iter().map(|count| count.measurements).sum();
        Imbalance::check("measurements", tally.measurements, sent)
    }
}

/// The internal hub.
pub trait MeasurementOutput {
    /// Sends all measurements, one batch or more for each partition key, and
    /// returns when the hub has them. Gives the indexes of those that are too
    /// large for any batch; all others are sent.
    ///
    /// Fails when `fence` no longer holds, and sends nothing from then on.
    fn send(
        &self,
        measurements: &OutgoingMeasurements,
        fence: &dyn Fence,
    ) -> impl Future<Output = Result<Vec<usize>, Away>> + Send;
}

/// Normalizes batches; shared by all partitions.
pub struct Normalizer<O, D> {
    output: O,
    dead_letters: D,
    /// Scratch memory of batches that are done, for the next ones.
    spare: Mutex<Vec<Memory>>,
}

#[derive(Default)]
struct Memory {
    scratch: Scratch,
    outgoing: OutgoingMeasurements,
}

impl Memory {
    fn capacity(&self) -> usize {
        let OutgoingMeasurements { text, entries, .. } = &self.outgoing;
        self.scratch.capacity() + text.capacity() + entries.capacity() * size_of::<Outgoing>()
    }
}

/// Without the scratch memory: it holds what is left of events.
impl<O: fmt::Debug, D: fmt::Debug> fmt::Debug for Normalizer<O, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Normalizer");
        shown.field("output", &self.output).field("dead_letters", &self.dead_letters).finish_non_exhaustive()
    }
}

impl<O: MeasurementOutput + Sync, D: DeadLetters + Sync> Normalizer<O, D> {
    /// A normalizer that sends to `output`.
    pub fn new(output: O, dead_letters: D) -> Normalizer<O, D> {
        Normalizer { output, dead_letters, spare: Mutex::new(Vec::new()) }
    }

    /// Works through a batch: sends what it gave, records what was rejected,
    /// and gives each event's fate, by index.
    pub async fn normalize(
        &self,
        mapping: &Compiled<DeviceMapping>,
        batch: &Batch<'_>,
        fence: &dyn Fence,
    ) -> Result<Normalization, Away> {
        let mut memory = self.spare().pop().unwrap_or_default();
        let done = self.normalize_in(&mut memory, mapping, batch, fence).await;
        memory.outgoing.clear();
        if memory.capacity() <= SPARE_BYTES_MAX {
            self.spare().push(memory);
        }
        done
    }

    async fn normalize_in(
        &self,
        memory: &mut Memory,
        mapping: &Compiled<DeviceMapping>,
        batch: &Batch<'_>,
        fence: &dyn Fence,
    ) -> Result<Normalization, Away> {
        let Memory { scratch, outgoing } = memory;
        let mut sent = vec![0; mapping.mapping.templates().len()];
        let mut fates: Vec<EventFate> = Vec::with_capacity(batch.events.len());
        for (index, event) in batch.events.iter().enumerate() {
            outgoing.event = index;
            let before = outgoing.len();
            let outcome = mapping.mapping.normalize(scratch, &event.for_mapping(), outgoing);
            let measurements = outgoing.len() - before;
            fates.push(match outcome {
                Ok(_) if measurements == 0 => EventFate::Unmatched,
                Ok(_) => EventFate::Normalized { measurements },
                // What was sent before comes again, and changes nothing then.
                Err(error) if is_to_be_retried(&error, mapping) => {
                    return Err(Away::new("a device mapping that fits the event", one_line(&error.to_string())));
                }
                Err(error) => {
                    // The reference connector's text has a line for each cause; a log has one.
                    let message = one_line(&error.to_string());
                    EventFate::Rejected { reason: Reason::new(error.code(), message), measurements }
                }
            });
            if outgoing.text.len() >= SEND_BYTES_MAX {
                self.send(outgoing, &mut fates, &mut sent, fence).await?;
            }
        }
        self.send(outgoing, &mut fates, &mut sent, fence).await?;
        self.record(mapping, batch, &fates).await?;
        Ok(Normalization { events: fates, templates: by_template(&mapping.mapping, &sent) })
    }

    /// Sends what there is of a batch, takes note of what could not be, and
    /// counts what was by template.
    async fn send(
        &self,
        outgoing: &mut OutgoingMeasurements,
        fates: &mut [EventFate],
        sent: &mut [usize],
        fence: &dyn Fence,
    ) -> Result<(), Away> {
        if outgoing.is_empty() {
            return Ok(());
        }
        let span = tracing::info_span!("send", measurements = outgoing.len());
        for too_large in self.output.send(outgoing, fence).instrument(span).await? {
            let entry = &mut outgoing.entries[too_large];
            entry.template = None;
            reject_too_large(&mut fates[entry.event]);
        }
        for template in outgoing.entries.iter().filter_map(|entry| entry.template) {
            sent[template] += 1;
        }
        outgoing.clear();
        Ok(())
    }

    async fn record(
        &self,
        mapping: &Compiled<DeviceMapping>,
        batch: &Batch<'_>,
        fates: &[EventFate],
    ) -> Result<(), Away> {
        let mut letters = Vec::with_capacity(LETTERS_AT_ONCE);
        for (index, fate) in fates.iter().enumerate() {
            let EventFate::Rejected { reason, .. } = fate else { continue };
            if letters.len() == LETTERS_AT_ONCE {
                self.record_some(&letters).await?;
                letters.clear();
            }
            let event = &batch.events[index];
            letters.push(DeadLetter {
                stage: Stage::Normalize,
                reason: reason.clone(),
                mapping_version: mapping.version.clone(),
                position: batch.position(index),
                measurement: 0,
                body: event.body,
                properties: properties_json(event.properties),
                system_properties: properties_json(event.system_properties),
            });
        }
        if letters.is_empty() { Ok(()) } else { self.record_some(&letters).await }
    }

    async fn record_some(&self, letters: &[DeadLetter<'_>]) -> Result<(), Away> {
        let span = tracing::info_span!("record", letters = letters.len());
        self.dead_letters.record(letters).instrument(span).await
    }

    fn spare(&self) -> std::sync::MutexGuard<'_, Vec<Memory>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The counts that are not 0, each with its template's name. Templates may
/// share one: they count as one then.
fn by_template(mapping: &DeviceMapping, sent: &[usize]) -> Vec<TemplateCount> {
    let mut counts: Vec<TemplateCount> = Vec::new();
    for (template, measurements) in mapping.templates().iter().zip(sent).filter(|(_, sent)| **sent > 0) {
        let name = template.type_name.as_str();
        match counts.iter_mut().find(|count| count.template.as_deref() == Some(name)) {
            Some(count) => count.measurements += measurements,
            None => counts.push(TemplateCount {
                template: Some(name.to_owned()),
                fate: "sent",
                reason: None,
                measurements: *measurements,
            }),
        }
    }
    counts
}

/// Whether the event waits for another mapping (device-mapping.md quirk 61).
/// For one that is not JSON or meets a limit no mapping will do.
fn is_to_be_retried(error: &NormalizeError, mapping: &Compiled<DeviceMapping>) -> bool {
    let waits = mapping.mapping.compatibility().on_mapping_failure == OnFailure::Retry;
    waits && !matches!(error.kind, ErrorKind::InvalidDataFormat | ErrorKind::Limit)
}

/// A measurement of this event was not sent: the whole event counts as
/// rejected, with what was sent of it (device-mapping.md quirk 22, design.md
/// D12).
fn reject_too_large(fate: &mut EventFate) {
    let (EventFate::Normalized { measurements } | EventFate::Rejected { measurements, .. }) = &*fate else { return };
    let measurements = measurements - 1;
    let reason = match fate {
        EventFate::Rejected { reason, .. } => reason.clone(),
        _ => Reason::new("MeasurementTooLarge", "a measurement is larger than the hub takes"),
    };
    *fate = EventFate::Rejected { reason, measurements };
}

#[cfg(test)]
mod tests;

//! Events of a hub as a batch that borrows them.

use std::fmt;

use expressions::{Properties, PropertyValue};

use crate::batch::{Batch, BatchEvent, Source};
use crate::hub::{HubEvent, Property};

type Typed<'e> = Vec<(&'e str, PropertyValue<'e>)>;

/// What a [`Batch`] of hub events borrows.
pub struct HubBatch<'e> {
    events: &'e [HubEvent],
    /// Application and system properties of all events, one after the other.
    typed: Typed<'e>,
}

/// Without the events: they hold what is a patient's.
impl fmt::Debug for HubBatch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubBatch").field("events.len", &self.events.len()).finish_non_exhaustive()
    }
}

impl<'e> HubBatch<'e> {
    /// For a batch of these events.
    pub fn new(events: &'e [HubEvent]) -> HubBatch<'e> {
        let mut typed: Typed<'e> = Vec::with_capacity(events.iter().map(count).sum());
        for event in events {
            typed.extend(borrow(&event.properties));
            typed.extend(borrow(&event.system_properties));
        }
        HubBatch { events, typed }
    }

    /// The batch.
    pub fn batch<'b>(&'b self, source: &'b Source) -> Batch<'b> {
        let mut rest = self.typed.as_slice();
        let mut take = |count: usize| {
            let (taken, left) = rest.split_at(count);
            rest = left;
            Properties::Typed(taken)
        };
        let events = self.events.iter().map(|event| BatchEvent {
            body: &event.body,
            properties: take(event.properties.len()),
            system_properties: take(event.system_properties.len()),
            sequence_number: Some(event.sequence_number),
            enqueued_time: event.enqueued_time,
        });
        Batch { source, events: events.collect() }
    }
}

fn count(event: &HubEvent) -> usize {
    event.properties.len() + event.system_properties.len()
}

fn borrow(properties: &[(String, Property)]) -> impl Iterator<Item = (&str, PropertyValue<'_>)> {
    properties.iter().map(|(name, value)| (name.as_str(), value.value()))
}

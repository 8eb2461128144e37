//! The internal hub as the output of normalize.

use std::time::Duration;

use delivery::replay::REPLAY_PROPERTY;
use delivery::{Away, Fence, MeasurementOutput, OutgoingMeasurements};
use futures::future::try_join_all;

use crate::event_hubs::HubProducer;
use crate::outgoing_event::PropertiedEvent;

/// How long sending one batch's measurements may take, tries and waits for
/// connections included: below half of the host's `functionTimeout` of ten
/// minutes, after which it would kill the process for all partitions
/// (design.md D5).
const TIME_LIMIT: Duration = Duration::from_secs(240);

const WHAT: &str = "the internal hub";

/// Sends measurements through a [`HubProducer`], each partition key's in
/// batches of their own, keys side by side.
#[derive(Debug)]
pub struct HubOutput {
    producer: HubProducer,
    replay: bool,
}

impl HubOutput {
    /// An output to the hub of `producer`.
    pub fn new(producer: HubProducer) -> HubOutput {
        HubOutput { producer, replay: false }
    }

    /// The same for what was read before: group-convert merges it stored-wins
    /// (design.md D7).
    #[must_use]
    pub fn replaying(self) -> HubOutput {
        HubOutput { replay: true, ..self }
    }

    /// The hub that it sends to.
    pub fn producer(&self) -> &HubProducer {
        &self.producer
    }
}

impl MeasurementOutput for HubOutput {
    async fn send(&self, measurements: &OutgoingMeasurements, fence: &dyn Fence) -> Result<Vec<usize>, Away> {
        let keys = measurements.by_partition_key();
        let mut sends = Vec::with_capacity(keys.len());
        for (key, indexes) in keys {
            sends.push(async move {
                let events: Vec<&[u8]> = indexes.iter().map(|index| measurements.json(*index)).collect();
                let key = key.to_string();
                let sent = match self.replay {
                    false => self.producer.send(&key, &events, fence).await,
                    true => {
                        let events: Vec<_> = events.into_iter().map(marked).collect();
                        self.producer.send(&key, &events, fence).await
                    }
                };
                let sent = sent.map_err(|error| Away::new(WHAT, error))?;
                Ok(sent.too_large.into_iter().map(|position| indexes[position]).collect::<Vec<_>>())
            });
        }
        // A hub that refuses events is as good as away: data waits until somebody mends it.
        let sent = tokio::time::timeout(TIME_LIMIT, try_join_all(sends)).await;
        let sent =
            sent.map_err(|_| Away::new(WHAT, format!("not all was accepted within {} s", TIME_LIMIT.as_secs())))?;
        Ok(sent?.concat())
    }
}

fn marked(body: &[u8]) -> PropertiedEvent<'_> {
    PropertiedEvent::new(body).property(REPLAY_PROPERTY, true)
}

//! A link on which a client receives: events in order, as long as there is
//! credit, already settled.
//!
//! Settled, because the Python client never settles what it receives; Event
//! Hubs keeps no state for a receiver either way (functions-eventhubs-keda.md 7.9).

use std::io;
use std::sync::Arc;

use fe2o3_amqp::types::definitions::{Error, LinkError};
use fe2o3_amqp::{Sendable, Sender};

use super::connection::{close_sender, error, internal_error};
use super::faults::{Faults, LinkFaults};
use super::log::StoredEvent;
use super::message::{AmqpMessage, runtime_metrics, to_deliver};
use super::partition::{Partition, PartitionReader};
use super::permit::Permit;
use super::receivers::Place;
use super::store::now_ms;

/// What a client receives from.
pub struct Receiving {
    /// The partition.
    pub partition: Arc<Partition>,
    /// Where it reads.
    pub reader: PartitionReader,
    /// Its right to receive.
    pub place: Place,
    /// Whether it wants to know the end of the partition with each event.
    pub runtime_metrics: bool,
    /// What it may do.
    pub permit: Permit,
    /// What goes wrong on command.
    pub faults: Faults,
}

impl Receiving {
    /// Delivers events until the client ends the link or loses its place.
    pub async fn serve(mut self, mut link: Sender) {
        let mut faults = self.faults.of_link();
        loop {
            tokio::select! {
                error = lost(&self.place, &self.permit, &mut faults) => return close_sender(link, error).await,
                _ = link.on_detach() => return,
                () = self.reader.ready() => (),
            }
            let messages = match self.read().await {
                Ok(messages) => messages,
                Err(error) => {
                    tracing::error!(%error, "Stored events can't be read");
                    return close_sender(link, internal_error()).await;
                }
            };
            for message in messages {
                let sendable = Sendable::builder().message(message).settled(true).build();
                let sent = tokio::select! {
                    error = lost(&self.place, &self.permit, &mut faults) => Err(error),
                    sent = link.send_batchable(sendable) => Ok(sent.is_ok()),
                };
                match sent {
                    Ok(true) => (),
                    Ok(false) => return,
                    Err(error) => return close_sender(link, error).await,
                }
            }
        }
    }

    async fn read(&mut self) -> io::Result<Vec<AmqpMessage>> {
        let events = self.reader.read().await?;
        events.iter().map(|event| self.message(event)).collect()
    }

    fn message(&self, event: &StoredEvent) -> io::Result<AmqpMessage> {
        let mut message = to_deliver(event).map_err(io::Error::other)?;
        if self.runtime_metrics {
            message.delivery_annotations = Some(runtime_metrics(&self.partition.status(), now_ms()));
        }
        Ok(message)
    }
}

/// Waits until a client may not receive any more, and says why.
async fn lost(place: &Place, permit: &Permit, faults: &mut LinkFaults) -> Error {
    tokio::select! {
        error = faults.closed() => error,
        () = place.stolen() => error(LinkError::Stolen, "a receiver with a higher or equal epoch took the partition"),
        error = permit.lost() => error,
    }
}

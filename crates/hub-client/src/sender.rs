//! Sends to a hub or a partition.

use std::time::Duration;

use fe2o3_amqp::link::SendError;
use fe2o3_amqp::types::messaging::Outcome;
use fe2o3_amqp::{Sendable, Sender};

use crate::client::Client;
use crate::error::{ClientError, in_time, link_failed, sender_attach_failed};
use crate::event::{self, NewEvent};
use crate::message::{AmqpMessage, BATCH_FORMAT};

impl Client {
    /// Sends to a partition, or to the hub, which then chooses for each batch.
    pub async fn sender(&mut self, partition: Option<&str>) -> Result<EventSender, ClientError> {
        let doing = "opening a sender";
        if let Some(id) = partition.filter(|id| !self.partition_ids.iter().any(|known| known == id)) {
            let description = format!("hub `{}` has no partition `{id}`", self.hub);
            return Err(ClientError::Refused { doing, condition: "amqp:not-found".to_owned(), description });
        }
        let address = match partition {
            Some(partition) => format!("{}/Partitions/{partition}", self.hub),
            None => self.hub.clone(),
        };
        let name = self.next_link_name();
        let attaching = Sender::attach(&mut self.session, name, address);
        let attaching = async { attaching.await.map_err(|error| sender_attach_failed(doing, error)) };
        let link = in_time(self.wait, doing, attaching).await?;
        Ok(EventSender { link, wait: self.wait })
    }
}

/// Sends events to a hub or one of its partitions.
#[derive(Debug)]
pub struct EventSender {
    link: Sender,
    wait: Duration,
}

impl EventSender {
    /// Sends events in order, in as few batches as they fit into; each batch
    /// stays together in one partition. Returns when all are on the hub's
    /// disk. After an error some of the batches may be there.
    pub async fn send(&mut self, events: &[NewEvent], partition_key: Option<&str>) -> Result<(), ClientError> {
        let bytes_max = self.link.max_message_size().and_then(|bytes| usize::try_from(bytes).ok());
        let batches = event::batches(events, partition_key, bytes_max.unwrap_or(usize::MAX))?;
        for batch in batches {
            in_time(self.wait, "sending", self.send_batch(batch)).await?;
        }
        Ok(())
    }

    async fn send_batch(&mut self, batch: AmqpMessage) -> Result<(), ClientError> {
        let doing = "sending";
        let sendable = Sendable::builder().message(batch).message_format(BATCH_FORMAT).build();
        let failed = |error| match error {
            SendError::LinkStateError(error) => link_failed(doing, error),
            SendError::Detached(error) => link_failed(doing, error.into()),
            error => ClientError::away(doing, error),
        };
        let settled = self.link.send_batchable(sendable).await.map_err(failed)?;
        // The library leaves a delivery pending when its connection breaks off.
        let outcome = tokio::select! {
            outcome = settled => outcome.map_err(failed)?,
            error = self.link.on_detach() => return Err(link_failed(doing, error.into())),
        };
        match outcome {
            Outcome::Accepted(_) => Ok(()),
            Outcome::Rejected(rejected) => Err(match &rejected.error {
                Some(error) => ClientError::refused(doing, error),
                None => ClientError::Unreadable { doing },
            }),
            _ => Err(ClientError::away(doing, "the events were not taken")),
        }
    }
}

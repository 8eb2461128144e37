//! A link on which a client sends: events go to a partition and are accepted
//! once they are on disk.

use std::sync::Arc;

use fe2o3_amqp::Receiver;
use fe2o3_amqp::link::RecvError;
use fe2o3_amqp::link::delivery::{Delivery, DeliveryInfo};
use fe2o3_amqp::types::definitions::AmqpError;
use fe2o3_amqp::types::messaging::Body;
use fe2o3_amqp::types::primitives::Value;
use futures::StreamExt;
use futures::stream::FuturesUnordered;

use super::connection::{close_receiver, error, internal_error};
use super::message::Transferred;
use super::partition::{AppendError, Partition, Pending};
use super::store::Hub;

/// What a client sends to.
pub struct Sending {
    /// The hub.
    pub hub: Arc<Hub>,
    /// The partition, when the client chose it.
    pub partition: Option<Arc<Partition>>,
}

/// A transfer whose events are on their way to the disk, or are not to go there.
enum Outcome {
    Stored(Pending),
    Unreadable,
    Failed(AppendError),
}

impl Sending {
    /// Takes transfers until the client ends the link. Many may be on their way
    /// to the disk at once, as many as the link's credit allows.
    pub async fn serve(self, mut link: Receiver) {
        let mut settling = FuturesUnordered::new();
        loop {
            let (info, stored) = tokio::select! {
                Some(settled) = settling.next() => settled,
                delivery = link.recv::<Body<Value>>() => {
                    let (info, outcome) = match delivery {
                        Ok(delivery) => self.take(delivery).await,
                        Err(RecvError::MessageDecode(error)) => (error.info, Outcome::Unreadable),
                        // Also a message above the announced size, for which
                        // the library closes the link with the right error.
                        Err(_) => return,
                    };
                    settling.push(settle(info, outcome));
                    continue;
                }
            };
            let settled = match stored {
                Ok(true) => link.accept(info).await,
                Ok(false) => link.reject(info, error(AmqpError::DecodeError, "the message can't be read")).await,
                // Not released: the Rust client takes that for success.
                Err(AppendError::Io(_) | AppendError::Closed) => return close_receiver(link, internal_error()).await,
            };
            if settled.is_err() {
                return;
            }
        }
    }

    /// Hands the events of a transfer to their partition.
    async fn take(&self, delivery: Delivery<Body<Value>>) -> (DeliveryInfo, Outcome) {
        let format = *delivery.message_format();
        let (info, message) = delivery.into_parts();
        let Ok(transferred) = Transferred::new(message, format) else { return (info, Outcome::Unreadable) };
        let key = transferred.partition_key.as_deref();
        let partition = self.partition.as_ref().unwrap_or_else(|| self.hub.choose(key));
        match partition.append(transferred.events).await {
            Ok(pending) => (info, Outcome::Stored(pending)),
            Err(error) => (info, Outcome::Failed(error)),
        }
    }
}

/// Waits until a transfer may be settled: whether it is stored, or can't be read.
async fn settle(info: DeliveryInfo, outcome: Outcome) -> (DeliveryInfo, Result<bool, AppendError>) {
    let stored = match outcome {
        Outcome::Stored(pending) => pending.stored().await.map(|()| true),
        Outcome::Unreadable => Ok(false),
        Outcome::Failed(error) => Err(error),
    };
    (info, stored)
}

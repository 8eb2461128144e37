//! A link on which a client sends: events go to a partition and are accepted
//! once they are on disk.

use std::sync::Arc;

use fe2o3_amqp::Receiver;
use fe2o3_amqp::link::RecvError;
use fe2o3_amqp::link::delivery::{Delivery, DeliveryInfo};
use fe2o3_amqp::types::definitions::{AmqpError, Error};
use fe2o3_amqp::types::messaging::Body;
use fe2o3_amqp::types::primitives::Value;
use futures::StreamExt;
use futures::stream::FuturesUnordered;

use super::connection::{close_receiver, error, internal_error};
use super::faults::Faults;
use super::message::Transferred;
use super::partition::{AppendError, Partition, Pending};
use super::permit::Permit;

/// What a client sends to.
pub struct Sending {
    /// What it may do, and with which hub.
    pub permit: Permit,
    /// The partition, when the client chose it.
    pub partition: Option<Arc<Partition>>,
    /// What goes wrong on command.
    pub faults: Faults,
}

/// A transfer whose events are on their way to the disk, or are not to go there.
enum Outcome {
    Stored(Pending),
    Refused(Error),
    Failed(AppendError),
}

impl Sending {
    /// Takes transfers until the client ends the link. Many may be on their way
    /// to the disk at once, as many as the link's credit allows.
    pub async fn serve(self, mut link: Receiver) {
        let mut settling = FuturesUnordered::new();
        let mut faults = self.faults.of_link();
        let permit = self.permit.clone();
        let mut lost = std::pin::pin!(permit.lost());
        loop {
            let (info, stored) = tokio::select! {
                error = faults.detached() => return close_receiver(link, error).await,
                error = &mut lost => return close_receiver(link, error).await,
                Some(settled) = settling.next() => settled,
                delivery = link.recv::<Body<Value>>() => {
                    let (info, outcome) = match delivery {
                        Ok(delivery) => self.take(delivery).await,
                        Err(RecvError::MessageDecode(error)) => (error.info, Outcome::Refused(unreadable())),
                        // Also a message above the announced size, for which
                        // the library closes the link with the right error.
                        Err(_) => return,
                    };
                    settling.push(settle(info, outcome));
                    continue;
                }
            };
            let settled = match stored {
                Ok(None) => link.accept(info).await,
                Ok(Some(error)) => link.reject(info, error).await,
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
        if let Some(busy) = self.faults.busy() {
            return (info, Outcome::Refused(busy));
        }
        // Looked at with each transfer: one that came together with the change
        // would else still be taken.
        if let Err(error) = self.permit.check() {
            return (info, Outcome::Refused(error));
        }
        let Ok(transferred) = Transferred::new(message, format) else {
            return (info, Outcome::Refused(unreadable()));
        };
        let key = transferred.partition_key.as_deref();
        let partition = self.partition.as_ref().unwrap_or_else(|| self.permit.hub.choose(key));
        match partition.append(transferred.events).await {
            Ok(pending) => (info, Outcome::Stored(pending)),
            Err(error) => (info, Outcome::Failed(error)),
        }
    }
}

fn unreadable() -> Error {
    error(AmqpError::DecodeError, "the message can't be read")
}

/// Waits until a transfer may be settled: it is stored, or there is a reason why
/// not.
async fn settle(info: DeliveryInfo, outcome: Outcome) -> (DeliveryInfo, Result<Option<Error>, AppendError>) {
    let stored = match outcome {
        Outcome::Stored(pending) => pending.stored().await.map(|()| None),
        Outcome::Refused(error) => Ok(Some(error)),
        Outcome::Failed(error) => Err(error),
    };
    (info, stored)
}

//! Why something could not be done with a hub.

use std::error::Error;
use std::time::Duration;

use fe2o3_amqp::link::{LinkStateError, ReceiverAttachError, SenderAttachError};
use fe2o3_amqp::types::definitions::{self, ErrorCondition};
use fe2o3_amqp::types::primitives::Symbol;

/// Why something could not be done.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The hub is not there, or the connection or link broke off. Connect
    /// anew and try again.
    #[error("the hub is away while {doing}")]
    Away {
        /// What was being done.
        doing: &'static str,
        /// What the AMQP library said.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The hub took too long.
    #[error("the hub did not answer in time while {doing}")]
    TimedOut {
        /// What was being done.
        doing: &'static str,
    },
    /// The hub said no: `amqp:not-found`, `amqp:link:stolen` and the like.
    #[error("the hub refused {doing}: `{condition}`, {description}")]
    Refused {
        /// What was being done.
        doing: &'static str,
        /// The AMQP error condition.
        condition: String,
        /// The reason in words.
        description: String,
    },
    /// An event is larger than a message may be.
    #[error("event {index} has {bytes} encoded bytes; a message may have {bytes_max}")]
    TooLarge {
        /// Position of the event in what was to be sent.
        index: usize,
        /// Its size as a batch of one.
        bytes: usize,
        /// What the hub announced.
        bytes_max: usize,
    },
    /// An answer or event does not have the form it must have.
    #[error("the hub sent something unreadable while {doing}")]
    Unreadable {
        /// What was being done.
        doing: &'static str,
    },
}

impl ClientError {
    /// Whether connecting anew may help.
    pub fn is_away(&self) -> bool {
        matches!(self, Self::Away { .. } | Self::TimedOut { .. })
    }

    /// Whether another receiver took the partition.
    pub fn is_stolen(&self) -> bool {
        matches!(self, Self::Refused { condition, .. } if condition == "amqp:link:stolen")
    }

    pub(crate) fn refused(doing: &'static str, error: &definitions::Error) -> Self {
        let condition = match &error.condition {
            ErrorCondition::AmqpError(condition) => Symbol::from(condition),
            ErrorCondition::ConnectionError(condition) => Symbol::from(condition),
            ErrorCondition::SessionError(condition) => Symbol::from(condition),
            ErrorCondition::LinkError(condition) => Symbol::from(condition),
            ErrorCondition::Custom(condition) => condition.clone(),
        };
        let condition = condition.0;
        Self::Refused { doing, condition, description: error.description.clone().unwrap_or_default() }
    }

    pub(crate) fn away(doing: &'static str, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Away { doing, source: source.into() }
    }
}

/// Gives up when `work` takes longer than `wait`. fe2o3-amqp now and then waits
/// for ever when the other side goes while a connection or link is opened.
pub(crate) async fn in_time<T>(
    wait: Duration,
    doing: &'static str,
    work: impl Future<Output = Result<T, ClientError>>,
) -> Result<T, ClientError> {
    // The library's futures are of many kilobytes.
    tokio::time::timeout(wait, Box::pin(work)).await.unwrap_or(Err(ClientError::TimedOut { doing }))
}

pub(crate) fn link_failed(doing: &'static str, error: LinkStateError) -> ClientError {
    match error {
        LinkStateError::RemoteClosedWithError(error) | LinkStateError::RemoteDetachedWithError(error) => {
            ClientError::refused(doing, &error)
        }
        error => ClientError::away(doing, error),
    }
}

pub(crate) fn attach_failed(doing: &'static str, error: ReceiverAttachError) -> ClientError {
    match error {
        ReceiverAttachError::RemoteClosedWithError(error) => ClientError::refused(doing, &error),
        error => ClientError::away(doing, error),
    }
}

pub(crate) fn sender_attach_failed(doing: &'static str, error: SenderAttachError) -> ClientError {
    match error {
        SenderAttachError::RemoteClosedWithError(error) => ClientError::refused(doing, &error),
        error => ClientError::away(doing, error),
    }
}
